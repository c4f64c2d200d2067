# SPDX-License-Identifier: Apache-2.0
"""Changes of a Cassandra table, read from the commit log: a live node's, and directories that are made of
what it wrote."""

import contextlib
import json
import pathlib
import sqlite3

import pytest

from faults import cassandra_merge
from pipelines import ENDING
from servers.process import wait_until
from servers.proxy import Proxy
from servers.segments import NOTHING, Directory, mutations

LONG = 60
FILE = """sinks:
  - name: out
    file: {path: out.jsonl, format: json}
"""


def source(cassandra, table, directory, options="", name="follow", history="history", stage=""):
    return f"""name: {name}
sources:
  - name: changes
{stage}    cassandra:
      hosts: 127.0.0.1:{cassandra.port}
      table: {table}
      consistency: one
      mode: cdc
      directory: {directory}
      history: {history}
{options}"""


SHAPE = """transforms:
  - name: shape
    select: {set: {op: _op}}
"""


def sink(table, key, options="", url="${PG_URL}"):
    return f"""sinks:
  - name: out
    postgres:
      url: "{url}"
      table: public.{table}
      mode: upsert
      key: [{key}]
      create: true
{options}"""


def lines(millrace, name="out.jsonl"):
    path = millrace.folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ids(millrace, name="out.jsonl"):
    return [row["id"] for row in lines(millrace, name)]


def stored(database, table, columns):
    return sorted(database.sql(f"SELECT {columns} FROM {table}")) if database.count(table) else []


def wait_equal(running, read, want, what="equal rows"):
    running.wait_for(lambda: read() == want, LONG * 2, what)


# ---------------------------------------------------------------- a live node

@pytest.fixture
def table(cassandra, keyspace):
    """k.t (id int, v text, n int), captured."""
    cassandra.cql(f"CREATE TABLE {keyspace}.t (id int PRIMARY KEY, v text, n int) WITH cdc = true")
    return f"{keyspace}.t"


def live(cassandra, table, options="", **more):
    return source(cassandra, table, cassandra.cdc_raw, "      delete: false\n" + options, **more)


def test_inserts_updates_and_deletes_arrive_in_postgres(cassandra, table, millrace, database):
    running = millrace.start(live(cassandra, table) + sink("t", "id") + ENDING)
    cassandra.cql_many(f"INSERT INTO {table} (id, v, n) VALUES (?, ?, ?)", [(i, f"v{i}", i) for i in range(1000)])
    read = lambda: stored(database, "t", "id, v, n")
    wait_equal(running, read, [(i, f"v{i}", i) for i in range(1000)])
    cassandra.cql_many(f"UPDATE {table} SET n = ? WHERE id = ?", [(-i, i) for i in range(500)])
    wait_equal(running, read, [(i, f"v{i}", -i if i < 500 else i) for i in range(1000)])
    cassandra.cql_many(f"DELETE FROM {table} WHERE id = ?", [(i,) for i in range(250, 1000)])
    wait_equal(running, read, [(i, f"v{i}", -i) for i in range(250)])
    running.terminate().expect(0)


def test_a_hundred_changes_of_one_key_end_as_cassandra_has_it(cassandra, table, millrace, database):
    running = millrace.start(live(cassandra, table) + sink("t", "id") + ENDING)
    for i in range(100):
        cassandra.cql(f"UPDATE {table} SET v = %s, n = %s WHERE id = 1", f"v{i}", i)
    cassandra.cql(f"INSERT INTO {table} (id, v) VALUES (2, 'last')")
    want = sorted(cassandra.cql(f"SELECT id, v, n FROM {table}"))
    wait_equal(running, lambda: stored(database, "t", "id, v, n"), want)
    running.terminate().expect(0)


def test_what_is_written_while_it_is_stopped_arrives_once(cassandra, table, millrace):
    text = live(cassandra, table) + SHAPE + FILE + ENDING
    for begin in (0, 10, 20):
        for i in range(begin, begin + 10):
            cassandra.cql(f"INSERT INTO {table} (id, n) VALUES ({i}, {i})")
        running = millrace.start(text, log=f"run{begin}.log")
        running.wait_for(lambda: len(ids(millrace)) >= begin + 10, LONG, "the rows")
        running.terminate().expect(0)
    assert ids(millrace) == list(range(30))


def test_once_ends_at_the_end_that_the_log_had(cassandra, table, millrace):
    for i in range(10):
        cassandra.cql(f"INSERT INTO {table} (id, n) VALUES ({i}, {i})")
    text = live(cassandra, table) + SHAPE + FILE + ENDING
    wait_until(lambda: millrace.run(text).expect(0) and len(ids(millrace)) == 10, LONG, "ten rows")
    millrace.run(text).expect(0)
    assert ids(millrace) == list(range(10))


def test_start_latest_leaves_out_what_was_there(cassandra, table, millrace):
    cassandra.cql(f"INSERT INTO {table} (id, n) VALUES (1, 1)")
    table_id = cassandra.table_id(*table.split("."))
    wait_until(lambda: mutations(cassandra.cdc_raw, table_id), LONG, "the row in the log", 0.05)
    text = live(cassandra, table, "      start: latest\n") + SHAPE + FILE + ENDING
    millrace.run(text).expect(0)
    cassandra.cql(f"INSERT INTO {table} (id, n) VALUES (2, 2)")
    wait_until(lambda: millrace.run(text).expect(0) and ids(millrace), LONG, "a row")
    assert ids(millrace) == [2]


def test_kill_9_loses_and_doubles_nothing(cassandra, table, millrace, database):
    text = live(cassandra, table) + sink("t", "id") + ENDING
    count = 0
    for turn in range(4):
        running = millrace.start(text, log=f"run{turn}.log")
        for i in range(300):
            cassandra.cql(f"UPDATE {table} SET v = %s, n = %s WHERE id = %s", f"v{count}", count, count % 400)
            count += 1
        running.wait_for(lambda: database.count("t") > 0, LONG, "a row")
        running.kill()
    cassandra.cql(f"DELETE FROM {table} WHERE id = 7")
    want = sorted(cassandra.cql(f"SELECT id, v, n FROM {table}"))
    running = millrace.start(text)
    wait_equal(running, lambda: stored(database, "t", "id, v, n"), want)
    running.terminate().expect(0)


def test_a_column_that_is_added_while_it_runs_reaches_the_target(cassandra, table, millrace, database):
    running = millrace.start(live(cassandra, table) + sink("t", "id", "      evolve: add\n") + ENDING)
    cassandra.cql(f"INSERT INTO {table} (id, v, n) VALUES (1, 'a', 1)")
    running.wait_for(lambda: database.count("t") == 1, LONG, "a row")
    cassandra.cql(f"ALTER TABLE {table} ADD extra bigint")
    cassandra.cql(f"INSERT INTO {table} (id, v, extra) VALUES (2, 'b', 12345678901)")
    running.wait_for(lambda: database.count("t") == 2, LONG, "the row behind ALTER TABLE")
    assert stored(database, "t", "id, v, n, extra") == [(1, "a", 1, None), (2, "b", None, 12345678901)]
    cassandra.cql(f"ALTER TABLE {table} DROP n")
    cassandra.cql(f"INSERT INTO {table} (id, v, extra) VALUES (3, 'c', 3)")
    running.wait_for(lambda: database.count("t") == 3, LONG, "the row behind DROP")
    assert stored(database, "t", "id, v, n, extra")[2] == (3, "c", None, 3)
    running.terminate().expect(0)


def test_alters_while_it_is_stopped(cassandra, table, millrace):
    text = live(cassandra, table) + SHAPE + FILE + ENDING
    cassandra.cql(f"INSERT INTO {table} (id, v) VALUES (1, 'a')")
    wait_until(lambda: millrace.run(text).expect(0) and ids(millrace), LONG, "a row")
    cassandra.cql(f"INSERT INTO {table} (id, n) VALUES (2, 2)")
    cassandra.cql(f"ALTER TABLE {table} ADD l list<int>")
    cassandra.cql(f"INSERT INTO {table} (id, l) VALUES (3, [7])")
    cassandra.cql(f"ALTER TABLE {table} DROP v")
    cassandra.cql(f"INSERT INTO {table} (id, n) VALUES (4, 4)")
    wait_until(lambda: millrace.run(text).expect(0) and len(ids(millrace)) == 4, LONG, "four rows")
    assert [{k: v for k, v in row.items() if v is not None and k != "op"} for row in lines(millrace)] == [
        {"id": 1, "v": "a"}, {"id": 2, "n": 2}, {"id": 3, "l": [7]}, {"id": 4, "n": 4}]


def test_a_table_of_the_same_name_that_was_dropped_is_another(cassandra, table, millrace):
    cassandra.cql(f"INSERT INTO {table} (id, v) VALUES (1, 'dropped')")
    cassandra.cql(f"DROP TABLE {table}")
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY, n int, other text) WITH cdc = true")
    cassandra.cql(f"INSERT INTO {table} (id, other) VALUES (2, 'b')")
    running = millrace.start(live(cassandra, table) + SHAPE + FILE + ENDING)
    running.wait_for(lambda: ids(millrace), LONG, "a row")
    assert ids(millrace) == [2]
    cassandra.cql(f"DROP TABLE {table}")  # while it is read: the next one goes on where it was
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY, n int, other text) WITH cdc = true")
    cassandra.cql(f"INSERT INTO {table} (id, n) VALUES (3, 3)")
    running.wait_for(lambda: len(ids(millrace)) > 1, LONG, "a row of the new table")
    assert ids(millrace) == [2, 3]
    running.terminate().expect(0)


# ---------------------------------------------------------------- directories of our own

class Log:
    """Rows 0…n-1 as the node wrote them, to be put into segments; later(): a segment with data behind all."""

    def __init__(self, cassandra, table, folder, n=40):
        self.cassandra, self.table = cassandra, table
        self.raw = Directory(folder / "cdc_raw")
        for i in range(n):
            cassandra.cql(f"INSERT INTO {table} (id, v, n) VALUES ({i}, 'v{i}', {i})")
        table_id = cassandra.table_id(*table.split("."))
        self.row = wait_until(lambda: (found := mutations(cassandra.cdc_raw, table_id)) and len(found) == n and found,
                              LONG, "the rows in the log", 0.05)

    def source(self, options="", **more):
        return source(self.cassandra, self.table, self.raw.folder, options, **more)

    def later(self, segment=900):
        self.raw.write(segment, [NOTHING], idx=None)


@pytest.fixture
def log(cassandra, table, tmp_path):
    return Log(cassandra, table, tmp_path)


def test_segments_in_the_order_of_their_numbers(log, millrace):
    log.raw.write(1000, log.row[30:40])
    log.raw.write(999, log.row[20:30])
    log.raw.write(8, log.row[:10], idx=None)
    log.raw.write(9, [], log.row[10:15], [], log.row[15:20])
    log.raw.write(1001, [NOTHING], idx=None)
    millrace.run(log.source() + SHAPE + FILE + ENDING).expect(0)
    assert ids(millrace) == list(range(40))


def test_a_live_segment_grows_and_is_closed(log, millrace):
    log.raw.write(1, log.row[:10], idx=None)
    log.raw.write(2)
    log.raw.log(3).write_bytes(b"")  # allocated, without a head yet
    running = millrace.start(log.source() + SHAPE + FILE + ENDING)
    running.wait_for(lambda: len(ids(millrace)) == 10, LONG, "the first rows")
    log.raw.write(1, log.row[:10], log.row[10:20], idx="")
    running.wait_for(lambda: len(ids(millrace)) == 20, LONG, "more rows")
    log.raw.write(1, log.row[:10], log.row[10:20], log.row[20:25], idx=f"{262144}\nCOMPLETED")
    log.raw.idx(2).unlink()
    log.raw.write(3, log.row[25:40], idx="live")
    running.wait_for(lambda: len(ids(millrace)) == 40, LONG, "the rows of the next one")
    running.wait_for(lambda: log.raw.segments() == [3], LONG, "what was read to be gone")
    assert ids(millrace) == list(range(40))
    running.terminate().expect(0)


def test_durable_reads_no_further_than_the_idx(log, millrace):
    first = log.raw.write(1, log.row[:10], idx="live")
    log.raw.write(1, log.row[:10], log.row[10:20], log.row[20:30], idx=str(first))
    text = log.source("      read: durable\n") + SHAPE + FILE + ENDING
    running = millrace.start(text)
    running.wait_for(lambda: len(ids(millrace)) == 10, LONG, "what is on disk")
    second = log.raw.write(1, log.row[:10], log.row[10:20], idx=None)
    log.raw.idx(1).write_text(str(second))
    running.wait_for(lambda: len(ids(millrace)) >= 20, LONG, "more")
    running.terminate().expect(0)
    assert ids(millrace) == list(range(20))


def test_a_segment_stays_until_its_sink_has_it(log, millrace, database, postgres):
    log.raw.write(1, log.row[:20])
    log.raw.write(2, log.row[20:30], idx="live")
    with Proxy("127.0.0.1", postgres.port, postgres=True) as proxy:
        url = postgres.database_url(database.name, proxy.port)
        running = millrace.start(log.source() + sink("t", "id", url=url) + ENDING)
        running.wait_for(lambda: database.count("t") == 30, LONG, "the rows")
        running.wait_for(lambda: log.raw.segments() == [2], LONG, "the segment that was read to be gone")
        assert log.raw.files() == ["CommitLog-7-2.log", "CommitLog-7-2_cdc.idx"]
        proxy.refuse()
        proxy.cut()
        log.raw.write(2, log.row[20:30], log.row[30:35])
        log.raw.write(3, log.row[35:40], idx="live")
        running.wait_for(lambda: "retry" in running.log or "connection" in running.log.lower(), LONG, "a lost sink")
        assert log.raw.segments() == [2, 3]
        proxy.refuse(False)
        running.wait_for(lambda: database.count("t") == 40, LONG, "all rows")
        running.wait_for(lambda: log.raw.segments() == [3], LONG, "the segment to be gone")
        running.terminate().expect(0)


def test_the_slowest_of_two_readers_keeps_segments(log, millrace):
    log.raw.write(1, log.row[:20])
    log.raw.write(2, log.row[20:40], idx="live")
    slow = log.source(name="slow") + SHAPE + FILE.replace("out.jsonl", "slow.jsonl") + ENDING
    elsewhere = {"STATE": str(millrace.folder / "slow")}
    millrace.run(slow, env=elsewhere).expect(0)
    assert log.raw.segments() == [2]
    log.raw.write(2, log.row[20:40])
    log.raw.write(3, [NOTHING], idx=None)
    fast = log.source(name="fast") + SHAPE + FILE + ENDING
    millrace.run(fast).expect(0)
    assert ids(millrace) == list(range(20, 40)) and log.raw.segments() == [2, 3]
    millrace.run(slow, env=elsewhere).expect(0)
    assert log.raw.segments() == [3] and ids(millrace, "slow.jsonl") == list(range(40))


def test_delete_false_removes_nothing(log, millrace):
    log.raw.write(1, log.row)
    log.later()
    millrace.run(log.source("      delete: false\n") + SHAPE + FILE + ENDING).expect(0)
    assert ids(millrace) == list(range(40)) and log.raw.segments() == [1, 900]


def test_leftovers_without_data_are_removed(log, millrace):
    log.raw.write(1, log.row[:20])
    log.raw.write(2, idx=None)
    log.raw.write(3, [], idx=None)
    log.raw.write(4, log.row[20:], idx="live")
    millrace.run(log.source() + SHAPE + FILE + ENDING).expect(0)
    assert ids(millrace) == list(range(40)) and log.raw.segments() == [4]


def damage(log, segment, row):
    """Turns a bit within a row's mutation; gives its offset."""
    data = bytearray(log.raw.log(segment).read_bytes())
    at = data.index(log.row[row])
    data[at + 20] ^= 1
    log.raw.log(segment).write_bytes(data)
    return at - 8


def test_damage_stops_with_file_and_offset_and_the_segment_stays(log, millrace):
    log.raw.write(1, log.row[:20])
    log.raw.write(2, log.row[20:], idx="live")
    offset = damage(log, 1, 7)
    text = log.source() + SHAPE + FILE + ENDING
    said = millrace.run(text).expect(1).text
    assert f"{log.raw.log(1)}: offset {offset}: the checksum of a mutation is wrong" in said
    assert "on_damage: skip" in said and ids(millrace) == list(range(7))
    millrace.run(text).expect(1)
    assert log.raw.segments() == [1, 2]
    said = millrace.run(text, "--set", "changes.on_damage=skip").expect(0).text
    assert f"offset {offset}" in said
    assert sorted(ids(millrace)) == [i for i in range(40) if i != 7]
    assert log.raw.segments() == [1, 2]  # with what could not be read in it


@pytest.mark.parametrize("head, said", [(b"\x00\x00\x00\x06", "commit log version 6"),
                                        (b"\xff\xff\xff\xff", "commit log version")])
def test_a_segment_that_cannot_be_read_is_kept(log, millrace, head, said):
    log.raw.write(1, log.row[:20])
    log.raw.write(2, log.row[20:], idx="live")
    with open(log.raw.log(1), "r+b") as file:
        file.write(head)
    text = log.source() + SHAPE + FILE + ENDING
    found = millrace.run(text).expect(1).text
    assert said in found and str(log.raw.log(1)) in found and "offset 0" in found
    millrace.run(text, "--set", "changes.on_damage=skip").expect(0)
    assert ids(millrace) == list(range(20, 40)) and log.raw.segments() == [1, 2]


def test_a_gap_is_noticed(log, millrace):
    log.raw.write(1, log.row[:10])
    log.raw.write(2, log.row[10:20], idx="live")
    text = log.source() + SHAPE + FILE + ENDING
    millrace.run(text).expect(0)
    log.raw.log(2).unlink()
    log.raw.idx(2).unlink()
    log.raw.write(3, log.row[20:], idx="live")
    said = millrace.run(text).expect(1).text
    assert "segment 2 has gone before it was read" in said and "on_gap: warn" in said
    said = millrace.run(text, "--set", "changes.on_gap=warn").expect(0).text
    assert "segment 2 has gone" in said
    assert ids(millrace) == [*range(20), *range(20, 40)]


def test_a_segment_without_changes_may_vanish(log, millrace):
    log.raw.write(1, log.row[:10])
    log.raw.write(2, [NOTHING], idx=None)
    text = log.source() + SHAPE + FILE + ENDING
    millrace.run(text).expect(0)
    log.raw.log(2).unlink()
    log.raw.write(3, log.row[10:], idx="live")
    millrace.run(text).expect(0)
    assert ids(millrace) == list(range(40))


def test_alarm_before_the_directory_is_full(log, millrace):
    log.raw.write(1, log.row, idx="live")
    text = log.source("      cap: 400KiB\n") + SHAPE + FILE + ENDING
    said = millrace.run(text).expect(0).text
    assert "(64 %)" in said or "(65 %)" in said, said
    assert "the node refuses writes to captured tables" in said and "follow.changes" in said
    said = millrace.check(text, "--connect").expect(0).text
    assert "of 0 MiB" in said and "%): soon full" in said


# ---------------------------------------------------------------- bad input

def test_bad_input_names_the_table_and_the_reason(cassandra, keyspace, table, millrace, tmp_path):
    cassandra.cql(f"CREATE TABLE {keyspace}.plain (id int PRIMARY KEY, v int)")
    cassandra.cql(f"CREATE TABLE {keyspace}.counted (id int PRIMARY KEY, v counter) WITH cdc = true")
    raw = cassandra.cdc_raw
    rest = SHAPE + FILE + ENDING
    for text, said in [
            (source(cassandra, f"{keyspace}.plain", raw), f"{keyspace}.plain is not captured: ALTER TABLE"),
            (source(cassandra, f"{keyspace}.counted", raw), f"{keyspace}.counted has counters"),
            (source(cassandra, f"{keyspace}.absent", raw), "there is no table `absent`"),
            (source(cassandra, "nowhere.t", raw), "there is no keyspace `nowhere`"),
            (source(cassandra, table, raw, "      datacenter: elsewhere\n"), "not in elsewhere"),
            (source(cassandra, table, tmp_path / "absent"), "absent: No such file or directory"),
            (source(cassandra, table, raw, history="/proc/absent/history"), "/proc/absent/history"),
    ]:
        for command in (millrace.run, lambda t: millrace.check(t, "--connect")):
            if "/proc" in said and command != millrace.run:
                continue
            found = command(text + rest)
            assert found.code == 2 and said in found.text, (said, found.text)


def test_bad_options(cassandra, table, millrace, tmp_path):
    rest = SHAPE + FILE + ENDING
    one = source(cassandra, table, tmp_path)
    for text, said in [
            (one.replace("      directory", "      # directory"), "mode cdc needs the node's cdc_raw_directory"),
            (one.replace("      history", "      # history"), "mode cdc needs a folder"),
            (one.replace("hosts: 127.0.0.1", "hosts: [a, b]  # "), "name that one alone"),
            (source(cassandra, table, tmp_path, stage="    parallel: 2\n"), "parallel must be 1"),
            (source(cassandra, table, tmp_path, "      ttl: [v]\n"), "mode cdc has _timestamp"),
    ]:
        found = millrace.check(text + rest)
        assert found.code == 2 and said in found.text, (said, found.text)


def test_the_directory_of_another_node(log, millrace):
    log.raw.write(1, log.row, idx="live")
    text = log.source() + SHAPE + FILE + ENDING
    millrace.run(text).expect(0)
    node = pathlib.Path(millrace.folder / "history" / "node")
    node.write_text("00000000-0000-0000-0000-000000000001\n")
    said = millrace.run(text).expect(2).text
    assert "is that of node 00000000-0000-0000-0000-000000000001" in said


def test_another_state_does_not_go_back(log, millrace):
    log.raw.write(1, log.row[:20], idx="live")
    text = log.source() + SHAPE + FILE + ENDING
    millrace.run(text).expect(0)
    elsewhere = {"STATE": str(millrace.folder / "elsewhere")}
    assert "with another state" in millrace.run(text, env=elsewhere).expect(1).text
    millrace.run(text, "--new-state", env=elsewhere).expect(0)
    assert ids(millrace) == [*range(20), *range(20)]


# ---------------------------------------------------------------- rows that are there, then changes

VERSIONED = """transforms:
  - name: shape
    select: {set: {written_at: _timestamp}}
"""


LOCAL = """  - name: local
    sqlite: {path: local.db, table: t, mode: upsert, key: id, version: written_at, create: true}
"""


def versioned(text):
    return text + VERSIONED + sink("t", "id", "      version: written_at\n") + LOCAL + ENDING


def stored_locally(millrace):
    with contextlib.closing(sqlite3.connect(millrace.folder / "local.db")) as db:
        return sorted(db.execute("SELECT id, v, n FROM t"))


def test_snapshot_then_log_has_no_gap(cassandra, postgres, tmp_path):
    outcome = cassandra_merge.run(cassandra, postgres, tmp_path, kills=1, rows=3000, writes=500, seed=1, delete=False)
    assert outcome.good, outcome


def test_the_same_changes_from_two_replicas_have_one_effect(cassandra, table, millrace, database, tmp_path):
    """Two nodes' logs hold the same mutations; each has a pipeline, both write one table of each database."""
    for i in range(30):
        cassandra.cql(f"INSERT INTO {table} (id, v, n) VALUES ({i}, 'v{i}', {i})")
    cassandra.cql(f"UPDATE {table} SET n = -1 WHERE id = 3")
    cassandra.cql(f"DELETE FROM {table} WHERE id = 4")
    cassandra.cql(f"UPDATE {table} SET n = 44 WHERE id = 4")
    table_id = cassandra.table_id(*table.split("."))
    row = wait_until(lambda: (found := mutations(cassandra.cdc_raw, table_id)) and len(found) == 33 and found,
                     LONG, "the changes in the log", 0.05)
    want = sorted(cassandra.cql(f"SELECT id, v, n FROM {table}"))
    for name, order in [("one", row), ("two", row)]:
        raw = Directory(tmp_path / name)
        raw.write(1, order[:16], order[16:], idx="live")
        text = source(cassandra, table, raw.folder, name=name, history=f"history-{name}")
        millrace.run(versioned(text), env={"STATE": str(tmp_path / f"state-{name}")}).expect(0)
        assert stored(database, "t", "id, v, n") == want == stored_locally(millrace)
    half = Directory(tmp_path / "late")  # a node that was away has hints of old writes behind newer ones
    half.write(1, row[20:], row[:20], idx="live")
    text = source(cassandra, table, half.folder, name="late", history="history-late")
    millrace.run(versioned(text), env={"STATE": str(tmp_path / "state-late")}).expect(0)
    assert stored(database, "t", "id, v, n") == want == stored_locally(millrace)


def test_changes_of_every_kind_end_alike_in_mariadb(cassandra, keyspace, millrace, schema):
    """Whole rows, parts, old write times, deletes of rows, of ranges and of a partition."""
    table = f"{keyspace}.t"
    cassandra.cql(f"CREATE TABLE {table} (id int, at int, v text, n int, PRIMARY KEY (id, at)) WITH cdc = true")
    mysql = sink("t", "id, at", "      version: written_at\n", "${MYSQL_URL}").replace("postgres:", "mysql:").replace("public.", "")
    running = millrace.start(live(cassandra, table) + VERSIONED + mysql + ENDING)
    cassandra.cql_many(f"INSERT INTO {table} (id, at, v, n) VALUES (?, ?, ?, ?)",
                       [(i, at, f"v{at}", at) for i in range(5) for at in range(20)])
    for statement in ("UPDATE {} SET n = -1 WHERE id = 0 AND at = 3", "UPDATE {} USING TIMESTAMP 1000 SET n = -2 WHERE id = 0 AND at = 4",
                      "UPDATE {} SET v = null WHERE id = 0 AND at = 5", "DELETE FROM {} WHERE id = 0 AND at = 6",
                      "DELETE FROM {} WHERE id = 1 AND at >= 5 AND at < 15", "INSERT INTO {} (id, at, v) VALUES (1, 7, 'again')",
                      "DELETE FROM {} WHERE id = 2", "INSERT INTO {} (id, at, n) VALUES (2, 1, 21)",
                      "DELETE FROM {} USING TIMESTAMP 1000 WHERE id = 3", "DELETE FROM {} WHERE id = 4 AND at > 17"):
        cassandra.cql(statement.format(table))
    want = sorted(cassandra.cql(f"SELECT id, at, v, n FROM {table}"))
    wait_equal(running, lambda: stored(schema, "t", "id, at, v, n"), want)
    running.terminate().expect(0)
