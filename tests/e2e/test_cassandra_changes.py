# SPDX-License-Identifier: Apache-2.0
"""What CQL statements do to a table in PostgreSQL that follows Cassandra's commit log.
./dev faults cassandra-replay is the long form of the random statements, on nodes of each version and
compression."""

import contextlib
import datetime as dt
import json
import random
import sqlite3

import pytest

from faults import cassandra_replay
from pipelines import ENDING, LETTERS, dead_letters

UTC = dt.timezone.utc


def test_random_statements_end_as_select_shows_them(cassandra, postgres, database, tmp_path, keyspace):
    seed = random.randrange(10 ** 6)
    partial = random.Random(seed).choice(cassandra_replay.PARTIALS)
    found, rows = cassandra_replay.replay(cassandra, database.url, database.sql, tmp_path, f"{keyspace}x",
                                          seed, 60, kills=1, partials=[partial])
    cassandra.drop_keyspace(f"{keyspace}x")
    assert not found and rows > 5, (seed, partial, found[:3])


class Table:
    """One stream of a table, followed into PostgreSQL, and what `sinks` adds, by runs to the log's end."""

    def __init__(self, cassandra, keyspace, millrace, folder, key, name="t", options="", select="", sinks=""):
        self.cassandra, self.keyspace, self.millrace = cassandra, keyspace, millrace
        self.pipeline = f"""name: follow-{keyspace}-{name}
sources:
  - name: changes
    cassandra:
      hosts: 127.0.0.1:{cassandra.port}
      table: {keyspace}.t
      consistency: one
      mode: cdc
      directory: {cassandra.cdc_raw}
      history: {folder}/history-{name}
      delete: false
{options}
transforms:
  - name: at
    select: {{set: {{written_at: _timestamp{select}}}}}
sinks:
  - name: out
    postgres:
      url: "${{PG_URL}}"
      table: public.{name}
      mode: upsert
      key: [{key}]
      version: written_at
      create: true
{sinks}{LETTERS}{ENDING}"""

    def cql(self, *statements):
        for statement in statements:
            self.cassandra.cql(statement.replace(" t ", f" {self.keyspace}.t "))

    def follow(self, code=0):
        return self.millrace.run(self.pipeline, timeout=120).expect(code)


KINDS = [  # each of a partition of its own
    ("INSERT INTO t (a, c, d, v) VALUES (1, 1, 'x', 5)",),
    ("INSERT INTO t (a, c, d) VALUES (2, 1, 'x')",),
    ("UPDATE t SET v = 6 WHERE a = 3 AND c = 1 AND d = 'x'",
     "UPDATE t SET v = null WHERE a = 3 AND c = 1 AND d = 'x'"),
    ("INSERT INTO t (a, c, d, v) VALUES (4, 1, 'x', 5)", "DELETE v FROM t WHERE a = 4 AND c = 1 AND d = 'x'"),
    ("INSERT INTO t (a, c, d, l) VALUES (5, 1, 'x', [1, 2])",
     "UPDATE t SET l = l + [3], m['k'] = 1, u.a = 4 WHERE a = 5 AND c = 1 AND d = 'x'",
     "UPDATE t SET l[0] = 9, m = m + {'j': 2}, u.b = 'b' WHERE a = 5 AND c = 1 AND d = 'x'",
     "DELETE l[1], m['k'] FROM t WHERE a = 5 AND c = 1 AND d = 'x'"),
    ("UPDATE t SET l = [1] WHERE a = 6 AND c = 1 AND d = 'x'",
     "UPDATE t SET l = l - [1] WHERE a = 6 AND c = 1 AND d = 'x'"),
    ("INSERT INTO t (a, c, d, v) VALUES (7, 1, 'x', 5)", "DELETE FROM t WHERE a = 7 AND c = 1 AND d = 'x'"),
    (*(f"INSERT INTO t (a, c, d, v) VALUES (8, {c}, '{d}', 5)" for c in range(4) for d in "xyz"),
     "DELETE FROM t WHERE a = 8 AND (c, d) > (2, 'y') AND (c) <= (3)",
     "DELETE FROM t WHERE a = 8 AND c = 1 AND d > 'x'", "DELETE FROM t WHERE a = 8 AND c < 1"),
    ("INSERT INTO t (a, c, d, v) VALUES (9, 1, 'x', 5)", "DELETE FROM t WHERE a = 9",
     "INSERT INTO t (a, c, d, v) VALUES (9, 2, 'x', 6)"),
    ("INSERT INTO t (a, c, d, v) VALUES (10, 1, 'x', 5) USING TIMESTAMP 2000",
     "INSERT INTO t (a, c, d, v) VALUES (10, 1, 'x', 6) USING TIMESTAMP 1000"),
    ("DELETE FROM t USING TIMESTAMP 2000 WHERE a = 11 AND c = 1 AND d = 'x'",
     "INSERT INTO t (a, c, d, v) VALUES (11, 1, 'x', 5) USING TIMESTAMP 1000"),
    ("INSERT INTO t (a, c, d, v) VALUES (12, 1, 'x', 5) USING TIMESTAMP 3000",
     "DELETE FROM t USING TIMESTAMP 4000 WHERE a = 12 AND c = 2",
     "DELETE FROM t USING TIMESTAMP 3500 WHERE a = 12"),
]
EXPECTED = {  # a, c, d: v, l, m, u
    (1, 1, "x"): (5, None, None, None), (2, 1, "x"): (None, None, None, None), (4, 1, "x"): (None,) * 4,
    (5, 1, "x"): (None, [9, 3], {"j": 2}, {"a": 4, "b": "b"}),
    (8, 1, "x"): (5, None, None, None), (8, 2, "x"): (5, None, None, None),
    (8, 2, "y"): (5, None, None, None), (9, 2, "x"): (6, None, None, None),
    (10, 1, "x"): (5, None, None, None),
}


LOCAL = """  - name: local
    sqlite: {path: local.db, table: t, mode: upsert, key: [a, c, d], version: written_at, create: true}
"""


@pytest.mark.parametrize("partial", ["keep", "read_back"])
def test_every_kind_of_statement(cassandra, keyspace, database, millrace, tmp_path, partial):
    t = Table(cassandra, keyspace, millrace, tmp_path, "a, c, d", options=f"      partial: {partial}", sinks=LOCAL)
    t.cql(f"CREATE TYPE {keyspace}.pair (a int, b text)",
          "CREATE TABLE t (a int, c int, d text, v int, l list<int>, m map<text, int>, u pair,"
          " PRIMARY KEY (a, c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC) AND cdc = true")
    t.cql(*(s for kind in KINDS for s in kind))
    t.follow()
    rows = database.sql("SELECT a, c, d, v, l, m, u FROM t")
    assert {r[:3]: r[3:] for r in rows} == EXPECTED
    with contextlib.closing(sqlite3.connect(millrace.folder / "local.db")) as db:
        rows = db.execute("SELECT a, c, d, v, l, m, u FROM t").fetchall()
    assert {r[:3]: (r[3], *(text and json.loads(text) for text in r[4:])) for r in rows} == EXPECTED


def test_static_columns_are_a_stream_of_their_own(cassandra, keyspace, database, millrace, tmp_path):
    t = Table(cassandra, keyspace, millrace, tmp_path, "a", options="      rows: static")
    t.cql("CREATE TABLE t (a int, c int, s int static, tags set<text> static, v int, PRIMARY KEY (a, c))"
          " WITH cdc = true",
          "INSERT INTO t (a, c, s, v) VALUES (1, 1, 10, 100)", "UPDATE t SET tags = tags + {'x'} WHERE a = 1",
          "INSERT INTO t (a, c, v) VALUES (2, 1, 100)",
          "INSERT INTO t (a, s) VALUES (3, 30)", "DELETE FROM t WHERE a = 3",
          "UPDATE t SET s = 40 WHERE a = 4", "UPDATE t SET s = null WHERE a = 4",
          "INSERT INTO t (a, s) VALUES (5, 50)", "DELETE FROM t WHERE a = 5 AND c > 0")
    t.follow()
    assert sorted(database.sql("SELECT a, s, tags FROM t")) == [(1, 10, ["x"]), (5, 50, None)]


def test_times_come_along(cassandra, keyspace, database, millrace, tmp_path):
    t = Table(cassandra, keyspace, millrace, tmp_path, "a", select=", ttl: _ttl, expires: _expires, op: _op")
    t.cql("CREATE TABLE t (a int PRIMARY KEY, v int, w int) WITH cdc = true",
          "INSERT INTO t (a, v) VALUES (1, 5) USING TIMESTAMP 1700000000000001 AND TTL 86400",
          "UPDATE t USING TIMESTAMP 1700000000000002 SET w = 6 WHERE a = 2")
    t.follow()
    [first, second] = sorted(database.sql("SELECT a, v, w, written_at, ttl, expires, op FROM t"))
    at = dt.datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert first[:5] == (1, 5, None, at.replace(microsecond=1), 86400) and first[6] == "insert"
    assert dt.timedelta(0) < first[5] - dt.datetime.now(UTC) <= dt.timedelta(days=1)
    assert second == (2, None, 6, at.replace(microsecond=2), None, None, "update")


def test_a_restart_still_knows_that_something_was_deleted(cassandra, keyspace, database, millrace, tmp_path):
    t = Table(cassandra, keyspace, millrace, tmp_path, "a")
    t.cql("CREATE TABLE t (a int PRIMARY KEY, v int) WITH cdc = true",
          "INSERT INTO t (a, v) VALUES (1, 5) USING TIMESTAMP 1000",
          "DELETE FROM t USING TIMESTAMP 3000 WHERE a = 1")
    t.follow()
    t.cql("INSERT INTO t (a, v) VALUES (1, 6) USING TIMESTAMP 2000",
          "INSERT INTO t (a, v) VALUES (2, 7) USING TIMESTAMP 2000")
    t.follow()
    assert database.sql("SELECT a, v FROM t") == [(2, 7)]


def test_what_does_not_fit_is_a_dead_letter(cassandra, keyspace, database, millrace, tmp_path):
    t = Table(cassandra, keyspace, millrace, tmp_path, "a",
              options="      columns: {a: int32, v: int8, x: \"decimal(10,2)\"}")
    t.cql("CREATE TABLE t (a int PRIMARY KEY, v int, x decimal, other text) WITH cdc = true",
          "INSERT INTO t (a, v, x, other) VALUES (1, 127, 1.25, 'not read')",
          "INSERT INTO t (a, v) VALUES (2, 128)", "INSERT INTO t (a, x) VALUES (3, 1.255)",
          "INSERT INTO t (a, v) VALUES (4, 1)")
    t.follow(4)
    assert sorted(database.sql("SELECT a, v, x::text FROM t")) == [(1, 127, "1.25"), (4, 1, None)]
    letters = dead_letters(millrace)
    assert [x["column"] for x in letters] == ["v", "x"]
    assert all(f"table {keyspace}.t: " in x["message"] and x["position"] for x in letters)


def test_columns_that_cannot_be_followed(cassandra, keyspace, database, millrace, tmp_path):
    t = Table(cassandra, keyspace, millrace, tmp_path, "a", options="      columns: {a: int32, s: int32}")
    t.cql("CREATE TABLE t (a int, c int, s int static, v int, PRIMARY KEY (a, c)) WITH cdc = true")
    told = t.follow(2).text
    assert "column `s` is static: `rows: static` reads those" in told, told
    without = Table(cassandra, keyspace, millrace, tmp_path, "a", "u", "      columns: {a: int32, v: int32}")
    told = without.follow(2).text
    assert "column `c` is of the key, and must be among them" in told, told
