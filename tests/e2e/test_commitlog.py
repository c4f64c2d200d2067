# SPDX-License-Identifier: Apache-2.0
"""Commit logs of Cassandra, read by `millrace inspect --commitlog`: a live node's, and damaged copies.
./dev faults commitlog is the long form, on nodes of each version and compression."""

import json
import random
import shutil

import pytest

from faults import commitlog, commitlog_damage
from servers.process import wait_until
from servers.runner import TREE


def inspect(millrace, *arguments):
    return millrace.command("inspect", *arguments, timeout=120)


def events(result, table=None):
    found = [json.loads(line) for line in result.out.splitlines()]
    return [e for e in found if table in (None, e.get("table"))]


@pytest.fixture
def reader(cassandra, tmp_path):
    return commitlog.LogReader(cassandra.commitlog, tmp_path / "log")


def logged(reader, keyspace, table, n):
    """The keyspace's events, once the log shows n of this table."""
    def read():
        found = reader.events(keyspace)
        return found if sum(e.get("table") == table for e in found) >= n else None
    return wait_until(read, 120, f"{n} events of {table} in the log", 0.2)


def test_random_statements_come_out_of_the_log_as_select_shows_them(cassandra, keyspace, tmp_path):
    seed = random.randrange(10**6)
    found, n, _ = commitlog.compare(cassandra, tmp_path / "log", seed, 100, f"{keyspace}x")
    try:
        assert not found and n > 50, (seed, found[:3])
    finally:
        cassandra.drop_keyspace(f"{keyspace}x")


def test_rows_of_each_time_are_read_with_the_schema_of_that_time(cassandra, keyspace, reader):
    t = f"{keyspace}.history"
    for statement in (f"CREATE TABLE {t} (id int PRIMARY KEY, a text, b int) WITH cdc = true",
                      f"INSERT INTO {t} (id, a, b) VALUES (1, 'one', 1)",
                      f"ALTER TABLE {t} ADD c list<int>",
                      f"INSERT INTO {t} (id, c) VALUES (2, [7])",
                      f"ALTER TABLE {t} DROP b",
                      f"INSERT INTO {t} (id, a) VALUES (3, 'three')"):
        cassandra.cql(statement)
    found = [e for e in logged(reader, keyspace, "history", 3) if e["table"] == "history"]
    cells = [[(c["column"], c.get("value")) for c in e["cells"] if not c.get("cleared")] for e in found]
    assert cells == [[("a", "one"), ("b", 1)], [("c", 7)], [("a", "three")]]
    assert not any(c.get("dropped") for e in found for c in e["cells"])


def test_each_kind_of_change_has_its_line(cassandra, keyspace, reader):
    t = f"{keyspace}.kinds"
    cassandra.cql(f"CREATE TABLE {t} (p int, c text, v int, s int static, m map<text, int>,"
                  " PRIMARY KEY (p, c)) WITH cdc = true")
    for statement in (f"INSERT INTO {t} (p, c, v) VALUES (1, 'a', 2) USING TIMESTAMP 1000 AND TTL 86400",
                      f"UPDATE {t} USING TIMESTAMP 2000 SET m['k'] = 3, v = null WHERE p = 1 AND c = 'a'",
                      f"UPDATE {t} USING TIMESTAMP 3000 SET s = 4 WHERE p = 1",
                      f"DELETE FROM {t} USING TIMESTAMP 4000 WHERE p = 1 AND c = 'a'",
                      f"DELETE FROM {t} USING TIMESTAMP 5000 WHERE p = 1 AND c >= 'b' AND c < 'd'",
                      f"DELETE FROM {t} USING TIMESTAMP 6000 WHERE p = 1"):
        cassandra.cql(statement)
    found = [e for e in logged(reader, keyspace, "kinds", 6) if e["table"] == "kinds"]
    for e in found:
        assert e.pop("segment") > 0 and e.pop("position") > 0
        assert (e.pop("keyspace"), e.pop("table"), e["key"]) == (keyspace, "kinds", {"p": 1})
        e.pop("key")
    expires = found[0].pop("expires")
    assert found == [
        {"op": "insert", "timestamp": 1000, "ttl": 86400, "clustering": {"c": "a"},
         "cells": [{"column": "v", "value": 2, "ttl": 86400, "expires": expires}]},
        {"op": "update", "timestamp": 2000, "clustering": {"c": "a"},
         "cells": [{"column": "v", "deleted": True}, {"column": "m", "path": "k", "value": 3}]},
        {"op": "update", "timestamp": 3000, "static": True, "cells": [{"column": "s", "value": 4}]},
        {"op": "delete_row", "timestamp": 4000, "clustering": {"c": "a"}},
        {"op": "delete_range", "timestamp": 5000, "start": {"inclusive": True, "clustering": {"c": "b"}},
         "end": {"inclusive": False, "clustering": {"c": "d"}}},
        {"op": "delete_partition", "timestamp": 6000}]


def test_a_schema_file_reads_what_the_log_alone_does_not(cassandra, keyspace, reader, millrace, tmp_path):
    t = f"{keyspace}.known"
    cassandra.cql(f"CREATE TYPE {keyspace}.place (street text, no int)")
    cassandra.cql(f"CREATE TABLE {t} (id int, c text, at place, gone int, PRIMARY KEY (id, c))"
                  " WITH CLUSTERING ORDER BY (c DESC) AND cdc = true")
    cassandra.cql(f"INSERT INTO {t} (id, c, at) VALUES (1, 'x', {{street: 's', no: 2}})")
    want = logged(reader, keyspace, "known", 1)
    [segment] = {e["segment"] for e in want}
    [path] = reader.folder.glob(f"CommitLog-*-{segment}.log")
    cassandra.cql(f"ALTER TABLE {t} DROP gone")
    (tmp_path / "schema.cql").write_text(
        "\n".join(row[-1] for row in cassandra.cql(f"DESCRIBE KEYSPACE {keyspace} WITH INTERNALS")))
    # the mutation alone, behind the segment's own head: as in a segment that begins after CREATE TABLE
    alone = only(path, want[-1]["position"], tmp_path)
    bare = inspect(millrace, "--commitlog", alone)
    assert [e["op"] for e in events(bare)] == ["unknown"] and "does not have" in bare.err
    known = inspect(millrace, "--commitlog", alone, "--schema", tmp_path / "schema.cql")
    assert known.code == 0
    asked = inspect(millrace, "--commitlog", alone, "--node", f"127.0.0.1:{cassandra.port}")
    assert asked.code == 0 and asked.out == known.out
    [got] = events(known)
    assert {**got, "position": 0} == {**json.loads(json.dumps(want[-1], default=str)), "position": 0}


def only(path, position, folder):
    """A segment with one mutation of a plain one."""
    import struct
    import zlib
    data = path.read_bytes()
    head = 14 + int.from_bytes(data[12:14], "big") + 4
    size = int.from_bytes(data[position:position + 4], "big") + 12
    high, low = struct.unpack(">II", data[4:12])
    marker = struct.pack(">II", head + 8 + size, zlib.crc32(struct.pack(">III", low, high, head)))
    out = folder / "alone" / path.name
    out.parent.mkdir()
    out.write_bytes(data[:head] + marker + data[position:position + size])
    return out


def test_damage_is_told_with_file_and_offset(cassandra, keyspace, reader, millrace, tmp_path):
    t = f"{keyspace}.damaged"
    cassandra.cql(f"CREATE TABLE {t} (id int PRIMARY KEY, v text) WITH cdc = true")
    cassandra.cql_many(f"INSERT INTO {t} (id, v) VALUES (?, ?)", [(i, f"v{i}") for i in range(40)])
    whole = [e for e in logged(reader, keyspace, "damaged", 40) if e["table"] == "damaged"]
    victim = whole[20]
    [path] = reader.folder.glob(f"CommitLog-*-{victim['segment']}.log")
    copy = tmp_path / "copy"
    shutil.copytree(reader.folder, copy)
    with open(copy / path.name, "r+b") as f:
        f.seek(victim["position"] + 20)
        [byte] = f.read(1)
        f.seek(victim["position"] + 20)
        f.write(bytes([byte ^ 1]))
    result = inspect(millrace, "--commitlog", copy)
    assert result.code == 1
    assert f"{path.name}: offset {victim['position']}: the checksum of a mutation is wrong" in result.err
    got = [(e["segment"], e["position"]) for e in events(result, "damaged") if e["keyspace"] == keyspace]
    assert got == [(e["segment"], e["position"]) for e in whole if e is not victim]


def test_wrong_use_is_told(millrace, tmp_path):
    missing = inspect(millrace, "--commitlog", tmp_path / "no.log")
    assert missing.code == 1 and "no.log: No such file" in missing.err
    (tmp_path / "CommitLog-7-1.log").write_bytes(b"\0\0\0\6" + bytes(20))
    old = inspect(millrace, "--commitlog", tmp_path)
    assert old.code == 1 and "commit log version 6" in old.err
    (tmp_path / "schema.cql").write_text("CREATE TABLE a.b (id int PRIMARY KEY)\nWITH cdc = true;")
    schema = inspect(millrace, "--commitlog", tmp_path, "--schema", tmp_path / "schema.cql")
    assert schema.code == 2 and "line 2" in schema.err and "WITH INTERNALS" in schema.err
    assert inspect(millrace, "--schema", "x").code == 2
    away = inspect(millrace, "--commitlog", tmp_path, "--node", "127.0.0.1:1")
    assert away.code == 3 and "127.0.0.1:1" in away.err
    assert inspect(millrace, "kafka", "--commitlog", "x").code == 2


def test_bits_and_cuts_of_a_segment(tmp_path):
    """The short form of ./dev faults commitlog-damage; the program test of the same name takes every form."""
    program = TREE / "build" / commitlog_damage.PROGRAM
    sample = TREE / "tests" / "plugin" / "commitlog" / "data" / "lz4-8.log"
    (tmp_path / "none.cql").write_text("")
    code, text = commitlog_damage.damage(program, [sample], tmp_path / "none.cql", 50, 1, cuts=5)
    assert code == 0 and "50 bits" in text and "0 wrong" in text
    broken = tmp_path / "broken.log"
    broken.write_bytes(sample.read_bytes()[:-1])
    code, text = commitlog_damage.damage(program, [broken], tmp_path / "none.cql", 1, 1, cuts=1)
    assert code != 0 and "damaged before anything was done" in text
