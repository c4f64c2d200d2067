# SPDX-License-Identifier: Apache-2.0
"""Tables of a real Cassandra node, read over CQL by our own client, written by another's."""

import json
import pathlib
import signal

import pytest
from cassandra.query import BatchStatement, BatchType

from pipelines import ENDING, LETTERS, dead_letters, postgres_sink
from servers.cassandra import Cassandra
from servers.proxy import Proxy

TREE = pathlib.Path(__file__).resolve().parents[2]
FILE = """sinks:
  - name: out
    file: {path: out.jsonl, format: json}
"""


def source(cassandra, table, options="", port=None, stage=""):
    return f"""name: scan
sources:
  - name: rows
{stage}    cassandra:
      hosts: 127.0.0.1:{port or cassandra.port}
      table: {table}
      consistency: one
{options}"""


def lines(millrace, name="out.jsonl"):
    return [json.loads(line) for line in millrace.read(name).splitlines()]


def read(cassandra, millrace, table, options="", letters=""):
    """What a scan of a table gives, as JSON, by its key `id`."""
    millrace.run(source(cassandra, table, options) + FILE + letters + ENDING).expect(4 if letters else 0)
    return {row["id"]: row for row in lines(millrace)}


EVERY_TYPE = {
    # column: (CQL type, CQL literal, what arrives)
    "asci": ("ascii", "'plain'", "plain"),
    "big": ("bigint", "-9223372036854775808", -9223372036854775808),
    "bin": ("blob", "0x00ff", "AP8="),
    "day": ("date", "'1969-12-31'", "1969-12-31"),
    "dbl": ("double", "1e300", 1e300),
    "dec": ("decimal", "-12.345", -12.345),
    "dur": ("duration", "1mo2d3ns", {"months": 1, "days": 2, "nanoseconds": 3}),
    "dur_minus": ("duration", "-1mo2d3ns", {"months": -1, "days": -2, "nanoseconds": -3}),
    "flo": ("float", "1.5", 1.5),
    "net": ("inet", "'127.0.0.1'", "127.0.0.1"),
    "net6": ("inet", "'2001:db8::1'", "2001:db8::1"),
    "num": ("int", "-2147483648", -2147483648),
    "small": ("smallint", "-32768", -32768),
    "tim": ("time", "'23:59:59.999999'", "23:59:59.999999"),
    "tiny": ("tinyint", "-128", -128),
    "ts": ("timestamp", "'2026-01-28 10:20:30.123+0000'", "2026-01-28T10:20:30.123000Z"),
    "ts_old": ("timestamp", "'1955-11-05 06:15:00+0000'", "1955-11-05T06:15:00.000000Z"),
    "tu": ("timeuuid", "50554d6e-29bb-11e5-b345-feff819cdc9f", "50554d6e-29bb-11e5-b345-feff819cdc9f"),
    "txt": ("text", "'häß'", "häß"),
    "txt_empty": ("text", "''", ""),
    "u": ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
    "vi": ("varint", "-99999999999999999999999999999999999999", -99999999999999999999999999999999999999),
    "yes": ("boolean", "true", True),
    "l": ("list<int>", "[1, 2, 1]", [1, 2, 1]),
    "s": ("set<text>", "{'b', 'a'}", ["a", "b"]),
    "m": ("map<text, int>", "{'k': 1}", {"k": 1}),
    "fl": ("frozen<list<int>>", "[]", []),
    "ml": ("map<text, frozen<list<int>>>", "{'x': [1, 2]}", {"x": [1, 2]}),
    "tup": ("tuple<int, text>", "(7, null)", {"f1": 7, "f2": None}),
    "pl": ("place", "{street: 'main', no: 5, tags: {'x'}}", {"street": "main", "no": 5, "tags": ["x"]}),
    "fpl": ("frozen<place>", "{street: 'side'}", {"street": "side", "no": None, "tags": None}),
    "lp": ("list<frozen<place>>", "[{no: 1}]", [{"street": None, "no": 1, "tags": None}]),
    "vec": ("vector<float, 3>", "[1.5, -2, 0]", [1.5, -2.0, 0.0]),
    "vtx": ("vector<text, 2>", "['a', 'bc']", ["a", "bc"]),
}


@pytest.fixture
def every_type(cassandra, keyspace):
    cassandra.cql(f"CREATE TYPE {keyspace}.place (street text, no int, tags frozen<set<text>>)")
    types = ", ".join(f"{name} {kind}" for name, (kind, _, _) in EVERY_TYPE.items())
    table = f"{keyspace}.everything"
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY, {types})")
    values = ", ".join(value for _, value, _ in EVERY_TYPE.values())
    cassandra.cql(f"INSERT INTO {table} (id, {', '.join(EVERY_TYPE)}) VALUES (1, {values})")
    cassandra.cql(f"INSERT INTO {table} (id) VALUES (2)")
    return table


@pytest.mark.parametrize("options", ["", "      compression: false\n", "      protocol: 4\n",
                                     "      protocol: 4\n      compression: false\n"])
def test_every_type_arrives_by_value(cassandra, every_type, millrace, options):
    rows = read(cassandra, millrace, every_type, options)
    assert rows[1] == {"id": 1, **{name: want for name, (_, _, want) in EVERY_TYPE.items()}}
    assert rows[2] == {"id": 2, **{name: None for name in EVERY_TYPE}}
    assert len(rows) == 2


def test_discover_shows_tables_columns_and_types(cassandra, every_type, millrace):
    text = source(cassandra, every_type) + FILE
    tables = millrace.command("discover", millrace.write("p.yaml", text), "rows").expect(0).out
    assert every_type in tables.splitlines() and "system" not in tables
    shown = millrace.command("discover", "p.yaml", "rows", every_type).expect(0).out
    for words in ("id int int32 not null", "lp list<frozen<place>> list<struct<street: utf8, no: int32,",
                  "vec vector<float, 3> list<float32>", "dec decimal decimal(38,9)", "u uuid uuid"):
        assert words in " ".join(shown.split()), shown


def test_what_does_not_fit_exactly_is_a_dead_letter(cassandra, keyspace, millrace):
    table = f"{keyspace}.odd"
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY, dec decimal, tim time, vi varint)")
    for row in ("1, 0.123456789, '00:00:00.000001', 1", "2, 0.1234567891, null, null",
                "3, null, '00:00:00.0000000001', null", "4, null, '00:00:00.000000001', null",
                "5, null, null, 100000000000000000000000000000000000000"):
        if ".0000000001'" not in row:  # that one Cassandra itself refuses
            cassandra.cql(f"INSERT INTO {table} (id, dec, tim, vi) VALUES ({row})")
    rows = read(cassandra, millrace, table, letters=LETTERS)
    assert rows == {1: {"id": 1, "dec": 0.123456789, "tim": "00:00:00.000001", "vi": 1}}
    assert sorted(letter["column"] for letter in dead_letters(millrace)) == ["dec", "tim", "vi"]


def test_declared_columns_take_what_the_defaults_cannot(cassandra, keyspace, millrace):
    table = f"{keyspace}.odd"
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY, dec decimal, tim time, vi varint, other text)")
    cassandra.cql(f"INSERT INTO {table} (id, dec, tim, vi) VALUES (1, 0.12345678901234567890123,"
                  " '00:00:00.000000001', 100000000000000000000000000000000000000)")
    rows = read(cassandra, millrace, table, "      columns: {id: int64, dec: utf8, tim: int64, vi: utf8}\n")
    assert rows[1] == {"id": 1, "dec": "0.12345678901234567890123", "tim": 1,
                       "vi": "100000000000000000000000000000000000000"}


def test_write_time_and_time_to_live(cassandra, keyspace, millrace):
    table = f"{keyspace}.t"
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY, a text, b int, l list<int>)")
    cassandra.cql(f"INSERT INTO {table} (id, a) VALUES (1, 'x') USING TIMESTAMP 1769595630123456 AND TTL 86400")
    cassandra.cql(f"UPDATE {table} USING TIMESTAMP 1769595630123457 SET b = 2, l = [1, 2] WHERE id = 1")
    text = (source(cassandra, table, "      writetime: [a, l]\n      ttl: [a, b]\n")
            + "transforms:\n  - name: t\n    select:\n      set: {latest: _timestamp, op: _op}\n" + FILE + ENDING)
    millrace.run(text).expect(0)
    [row] = lines(millrace)
    assert row.pop("a_ttl") in range(80000, 86401)
    assert row == {"id": 1, "a": "x", "b": 2, "l": [1, 2], "a_writetime": "2026-01-28T10:20:30.123456Z",
                   "l_writetime": [1769595630123457] * 2, "b_ttl": None,
                   "latest": "2026-01-28T10:20:30.123457Z", "op": "insert"}


def wide(cassandra, keyspace, partitions, rows, text="x" * 40):
    """A table of partitions with many rows each, filled a partition at a time."""
    table = f"{keyspace}.wide"
    cassandra.cql(f"CREATE TABLE {table} (p int, c int, v text, PRIMARY KEY (p, c))")
    session = cassandra.session()
    one = session.prepare(f"INSERT INTO {table} (p, c, v) VALUES (?, ?, ?)")
    waiting = []
    for p in range(partitions):
        for first in range(0, rows, 250):
            batch = BatchStatement(BatchType.UNLOGGED)
            for c in range(first, min(rows, first + 250)):
                batch.add(one, (p, c, text))
            waiting.append(session.execute_async(batch))
        if len(waiting) > 32:
            [future.result() for future in waiting]
            waiting = []
    [future.result() for future in waiting]
    return table


def test_a_hundred_thousand_rows_in_parallel(cassandra, keyspace, database, millrace):
    table = wide(cassandra, keyspace, 1000, 100, "")
    text = (source(cassandra, table, "      ranges: 16\n", stage="    parallel: 3\n")
            + postgres_sink("copy", options="      create: true\n") + ENDING)
    millrace.run(text, timeout=300).expect(0)
    assert database.sql("SELECT count(*), count(DISTINCT (p, c)), sum(p), sum(c) FROM copy") == [
        (100_000, 100_000, 100 * 499_500, 1000 * 4950)]
    millrace.run(text).expect(0)  # the scan is over: nothing is read again
    assert database.count("copy") == 100_000


@pytest.mark.parametrize("page, ranges, concurrent", [(7, 5, 1), (7, 5, 3), (40, 300, 64)])
def test_several_ranges_at_a_time(cassandra, keyspace, database, millrace, page, ranges, concurrent):
    """Fewer queries than ranges, and more ranges than partitions, so that some are empty."""
    table = wide(cassandra, keyspace, 40, 30, "")
    text = (source(cassandra, table,
                   f"      page: {page}\n      ranges: {ranges}\n      concurrent_queries: {concurrent}\n")
            + postgres_sink("copy", options="      create: true\n") + ENDING)
    millrace.run(text, timeout=120).expect(0)
    assert database.sql("SELECT count(*), count(DISTINCT (p, c)), sum(p), sum(c) FROM copy") == [
        (1200, 1200, 30 * 780, 40 * 435)]


@pytest.mark.parametrize("partitions", [1, 40])
def test_killed_in_the_middle_it_goes_on_there(cassandra, keyspace, database, millrace, partitions):
    rows = 12_000 // partitions
    table = wide(cassandra, keyspace, partitions, rows)
    with Proxy("127.0.0.1", cassandra.port) as proxy:
        text = (source(cassandra, table, "      page: 200\n      ranges: 8\n      compression: false\n", proxy.port)
                + postgres_sink("copy", options="      create: true\n") + ENDING
                + "  checkpoint: {interval: 100ms}\n")
        proxy.freeze_after(300_000)  # of about 900,000
        running = millrace.start(text)
        running.wait_for(lambda: proxy.frozen() and database.count("copy"), 60, "the first rows")
        running.kill()
        assert 0 < database.count("copy") < 12_000
        proxy.thaw()
        millrace.run(text).expect(0)
    assert database.sql("SELECT count(*), count(DISTINCT (p, c)) FROM copy") == [(12_000, 12_000)]


def test_a_row_deleted_where_the_scan_stood_loses_no_other(cassandra, keyspace, database, millrace):
    table = wide(cassandra, keyspace, 1, 12_000)
    with Proxy("127.0.0.1", cassandra.port) as proxy:
        text = (source(cassandra, table, "      page: 200\n      ranges: 1\n      compression: false\n", proxy.port)
                + postgres_sink("copy", "upsert", "p, c", "      create: true\n") + ENDING
                + "  checkpoint: {interval: 100ms}\n")
        proxy.freeze_after(300_000)
        running = millrace.start(text)
        running.wait_for(lambda: proxy.frozen() and database.count("copy"), 60, "the first rows")
        running.kill()
        [(last,)] = database.sql("SELECT max(c) FROM copy")
        cassandra.cql(f"DELETE FROM {table} WHERE p = 0 AND c >= {last - 5000} AND c <= {last}")
        proxy.thaw()
        millrace.run(text).expect(0)
    assert database.sql("SELECT count(*) FROM copy WHERE c > %s", last) == [(12_000 - last - 1,)]


def halted(cassandra, keyspace, database, millrace, proxy, options=""):
    """A scan that stands still in the middle of a table of 12,000 rows."""
    table = wide(cassandra, keyspace, 40, 300)
    text = (source(cassandra, table, "      page: 200\n      compression: false\n" + options, proxy.port)
            + postgres_sink("copy", options="      create: true\n") + ENDING + "  checkpoint: {interval: 100ms}\n")
    proxy.freeze_after(300_000)
    running = millrace.start(text, "--once")
    running.wait_for(lambda: proxy.frozen() and database.count("copy"), 60, "the first rows")
    return table, running


def test_a_column_that_is_added_meanwhile_changes_nothing(cassandra, keyspace, database, millrace):
    """The node forgets the prepared statement; it also tells of the change."""
    with Proxy("127.0.0.1", cassandra.port) as proxy:
        table, running = halted(cassandra, keyspace, database, millrace, proxy)
        cassandra.cql(f"ALTER TABLE {table} ADD more int")
        proxy.thaw()
        log = running.wait().expect(0).text
    assert f"UPDATED of TABLE {table}" in log
    assert database.sql("SELECT count(*), count(DISTINCT (p, c)), count(v) FROM copy") == [(12_000,) * 3]


def test_a_column_that_is_added_for_another_client_too(cassandra, keyspace, database, millrace):
    """It prepares the same statement: the node knows it again, and answers with the new column."""
    with Proxy("127.0.0.1", cassandra.port) as proxy:
        table, running = halted(cassandra, keyspace, database, millrace, proxy, "      protocol: 4\n")
        cassandra.cql(f"ALTER TABLE {table} ADD more int")
        cassandra.session().prepare(f'SELECT * FROM "{keyspace}"."wide" WHERE token("p") >= ? AND token("p") <= ?')
        proxy.thaw()
        log = running.wait().expect(0).text
    assert f"columns of table {table} changed during the scan" in log
    assert database.sql("SELECT count(*), count(DISTINCT (p, c)), count(v) FROM copy") == [(12_000,) * 3]


def test_a_column_that_is_dropped_meanwhile_stops_the_scan(cassandra, keyspace, database, millrace):
    with Proxy("127.0.0.1", cassandra.port) as proxy:
        table, running = halted(cassandra, keyspace, database, millrace, proxy)
        cassandra.cql(f"ALTER TABLE {table} DROP v")
        proxy.thaw()
        log = running.wait().expect(1, 2).text
    assert "0x2200" in log and "v" in log and f"127.0.0.1:{proxy.port}" in log


def test_a_lost_connection_is_made_again(cassandra, keyspace, database, millrace):
    with Proxy("127.0.0.1", cassandra.port) as proxy:
        _, running = halted(cassandra, keyspace, database, millrace, proxy)
        proxy.cut()
        proxy.thaw()
        running.wait().expect(0)
    assert database.sql("SELECT count(*), count(DISTINCT (p, c)) FROM copy") == [(12_000, 12_000)]


def test_names_with_capitals_and_keys_of_several_columns(cassandra, keyspace, millrace):
    cassandra.cql(f'CREATE TABLE {keyspace}."OddName" ("A" text, b int, id int, "v ""x" text, s int static,'
                  ' PRIMARY KEY (("A", b), id)) WITH CLUSTERING ORDER BY (id DESC)')
    cassandra.cql(f"""INSERT INTO {keyspace}."OddName" ("A", b, id, "v ""x", s) VALUES ('a', 1, 2, 'v', 5)""")
    cassandra.cql(f"""INSERT INTO {keyspace}."OddName" ("A", b, s) VALUES ('only static', 1, 6)""")
    rows = read(cassandra, millrace, f"'{keyspace}.\"OddName\"'")
    assert rows == {2: {"A": "a", "b": 1, "id": 2, "s": 5, 'v "x': "v"},
                    None: {"A": "only static", "b": 1, "id": None, "s": 6, 'v "x': None}}


def tokens(cassandra, millrace, table, key, columns):
    """Tokens of all rows by their `id`: those in the positions of a scan, and those that the node tells."""
    millrace.run(source(cassandra, table, f"      columns: {{{columns}}}\n") + "transforms:\n  - name: t\n"
                 "    select:\n      set: {at: _position}\n" + FILE + ENDING).expect(0)
    ours = {row["id"]: row["at"] - 2 ** 63 for row in lines(millrace)}
    return ours, dict(cassandra.cql(f"SELECT id, token({key}) FROM {table}"))


def test_the_tokens_of_keys_are_those_of_the_node(cassandra, keyspace, millrace):
    table = f"{keyspace}.texts"
    cassandra.cql(f"CREATE TABLE {table} (k text PRIMARY KEY, id int)")
    cassandra.cql_many(f"INSERT INTO {table} (k, id) VALUES (?, ?)",
                       [("aé\U0001f600"[i % 3] * (1 + i // 3), i) for i in range(300)])
    ours, theirs = tokens(cassandra, millrace, table, "k", "id: int32")
    assert len(theirs) == 300 and ours == theirs


def test_the_tokens_of_keys_of_every_type_are_those_of_the_node(cassandra, keyspace, millrace):
    cassandra.cql(f"CREATE TYPE {keyspace}.place (street text, no int, tags frozen<set<text>>)")
    key = {name: (f"frozen<{kind}>" if kind.startswith(("list", "set", "map", "place")) else kind, value)
           for name, (kind, value, _) in EVERY_TYPE.items() if kind != "duration"}
    names = ", ".join(key)
    table = f"{keyspace}.everything"
    cassandra.cql(f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, (kind, _) in key.items())}, id int,"
                  f" PRIMARY KEY (({names}), id))")
    cassandra.cql(f"INSERT INTO {table} (id, {names}) VALUES (1, {', '.join(value for _, value in key.values())})")
    ours, theirs = tokens(cassandra, millrace, table, names, "id: int32")
    assert theirs and ours == theirs


@pytest.mark.parametrize("change, code, words", [
    (("table: {t}", "table: nowhere.t"), 2, "there is no keyspace `nowhere`"),
    (("table: {t}", "table: {k}.nothing"), 2, "there is no table `nothing` in keyspace `{k}`"),
    (("consistency: one", "datacenter: elsewhere"), 2, "the node is in data centre datacenter1, not in elsewhere"),
    (("consistency: one", "columns: {{nothing: int64}}"), 2, "has no column `nothing`"),
    (("consistency: one", "columns: {{v: int32}}"), 2, "column `v` is a text in the table"),
    (("consistency: one", "writetime: id"), 2, "`id` is a key column: those have no write time"),
    (("hosts: 127.0.0.1", "hosts: 127.0.0.9"), 3, "connect: Connection refused at 127.0.0.9:"),
    (("consistency: one", "tls: require"), 3, "TLS"),
])
def test_what_is_wrong_is_said_with_its_place(cassandra, keyspace, millrace, change, code, words):
    table = f"{keyspace}.t"
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
    old, new = (part.format(t=table, k=keyspace) for part in change)
    text = source(cassandra, table)
    assert old in text
    result = millrace.check(text.replace(old, new) + FILE + ENDING, "--connect").expect(code)
    assert words.format(k=keyspace) in result.text, result.text
    assert f":{cassandra.port}" in result.text or "column" in result.text


@pytest.mark.parametrize("old, new, words", [
    ("table: k.t", "table: t", "say KEYSPACE.TABLE"),
    ("hosts: 127.0.0.1", "hosts: '127.0.0.1:port'", "`127.0.0.1:port` is not HOST or HOST:PORT"),
    ("consistency: one", "user: u", "user and password go together"),
    ("consistency: one", "consistency: most", "most"),
    ("consistency: one", "mode: cdc2", "cdc2"),
])
def test_check_finds_mistakes_without_a_server(millrace, old, new, words):
    text = f"""name: scan
sources:
  - name: rows
    cassandra:
      hosts: 127.0.0.1
      table: k.t
      consistency: one
{FILE}"""
    assert old in text
    result = millrace.check(text.replace(old, new)).expect(2)
    assert words in result.text


def test_the_second_contact_point_is_used(cassandra, keyspace, millrace):
    table = f"{keyspace}.t"
    cassandra.cql(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    cassandra.cql(f"INSERT INTO {table} (id) VALUES (7)")
    text = source(cassandra, table).replace("hosts: ", f"hosts: ['127.0.0.9:{cassandra.port}', '").replace(
        f":{cassandra.port}\n", f":{cassandra.port}']\n")
    millrace.run(text + FILE + ENDING).expect(0)
    assert lines(millrace) == [{"id": 7}]


def test_tls_and_password(tmp_path, millrace):
    """A node of its own: both are the node's settings."""
    with Cassandra(tmp_path / "node", password=True, tls=True) as node:
        node.create_keyspace("k")
        node.cql("CREATE TABLE k.t (id int PRIMARY KEY) WITH cdc = true")
        node.cql("INSERT INTO k.t (id) VALUES (7)")
        login = "      user: cassandra\n      password: cassandra\n"
        trust = f"      tls: verify-full\n      tls_ca: {node.ca}\n"

        def check(options, code=3):
            return millrace.check(source(node, "k.t", options) + FILE + ENDING, "--connect").expect(code).text

        for protocol in ("", "      protocol: 4\n"):
            assert read(node, millrace, "k.t", login + trust + protocol) == {7: {"id": 7}}
            (millrace.folder / "out.jsonl").unlink()
            millrace.env["STATE"] += "2"
        log = f"      mode: cdc\n      directory: {node.cdc_raw}\n      history: history\n"
        following = millrace.start(source(node, "k.t", login + trust + log) + FILE + ENDING)
        following.wait_for(lambda: (millrace.folder / "out.jsonl").exists() and lines(millrace) == [{"id": 7}], 60,
                           "the row from the log")
        following.terminate().expect(0)
        wrong = check("      user: cassandra\n      password: 'wrong horse'\n" + trust)
        assert "0x0100" in wrong and "wrong horse" not in wrong
        assert "the node asks for a user and a password" in check(trust)
        assert "the node's certificate is not accepted" in check(login + "      tls: verify-full\n")
        check(login)  # plain text to a node that speaks TLS
        assert ": ok" in check(login + "      tls: require\n", 0)
        node.stop(signal.SIGKILL)


def test_the_example_copies_readings(cassandra, keyspace, database, millrace):
    """pipelines/cassandra-snapshot.yaml, as it is, but for the keyspace's name."""
    cassandra.cql(f"CREATE TABLE {keyspace}.readings (sensor uuid, at timestamp, value double, price decimal,"
                  " tags map<text, text>, PRIMARY KEY (sensor, at))")
    for i in range(20):
        cassandra.cql(f"INSERT INTO {keyspace}.readings (sensor, at, value, price, tags) VALUES (uuid(),"
                      f" toTimestamp(now()), {i}.5, {i}.25, {{'n': '{i}'}})")
    text = (TREE / "pipelines" / "cassandra-snapshot.yaml").read_text()
    assert "table: sensors.readings" in text
    millrace.run(text.replace("sensors.", f"{keyspace}."),
                 env={"CASSANDRA": f"127.0.0.1:{cassandra.port}"}).expect(0)
    assert database.sql("SELECT count(*), sum(value), sum(price), sum((tags->>'n')::int),"
                        " count(value_writetime) FROM readings") == [(20, 200, 195, 190, 20)]
