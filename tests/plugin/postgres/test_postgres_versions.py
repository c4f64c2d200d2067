# SPDX-License-Identifier: Apache-2.0
"""The postgres sink: the newest version of each column wins, and deletes of many rows."""

import random

import pyarrow as pa
import pytest

import versions
from version_cases import *  # noqa: F401, F403
from version_cases import VERSION, VersionTarget, span


class PostgresTarget(VersionTarget):
    plugin = "postgres"
    TABLE = ('CREATE TABLE t (k bigint, c1 integer, c2 text COLLATE "en-x-icu", %(a)s, b text,'
             " n integer NOT NULL DEFAULT 7, at timestamptz, %(millrace_written)s PRIMARY KEY (k, c1, c2))")
    TYPES = {"a": "a bigint", "millrace_written": "millrace_written jsonb,"}
    options = {"table": "public.t"}
    variants = ({}, {}, {"method": "insert"}, {"method": "insert", "insert_rows": "3"})

    def kill_sessions(self):
        for pid in self.db.backends():
            self.sql("SELECT pg_terminate_backend(%s, 60000)", pid)


@pytest.fixture
def target(db):
    return PostgresTarget(db)


def test_bounds_of_what_the_table_orders_otherwise_are_refused(target):
    target.sql("CREATE TYPE size AS ENUM ('small', 'large')")
    target.sql("CREATE TABLE t (k bigint, s size, PRIMARY KEY (k, s))")
    target.sql("INSERT INTO t VALUES (1, 'small'), (1, 'large'), (2, 'small')")
    schema = pa.schema([("k", pa.int64()), ("s", pa.string()), ("_op", pa.string()),
                        ("_range", pa.struct([("s", versions.bounds(pa.string()))]))])
    change = {"_op": "delete", "v": 1}
    s = target.write({**change, "k": 1, "_range": {"s": span("a", "m")}},
              {**change, "k": 2, "_range": {"s": None}}, {**change, "k": 1, "s": "small"},
              schema=schema, version=None, key=["k", "s"])
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "0A000", "s")]
    assert target.sql("SELECT k, s::text FROM t") == [(1, "large")]


def test_a_hypertable(ts):
    schema = pa.schema([versions.SCHEMA.field(n) for n in ("k", "_op", "a", "b", "at", "_set")]
                       + [pa.field("day", pa.timestamp("us", "UTC"))])
    r = random.Random(1)
    made = [{**c, "k": r.randrange(4), "day": versions.at(r.randrange(5) * 86400 * 10 ** 6)}
            for c in versions.changes(1, 200, keys=4) if "c2" in c and "c1" in c]
    model = {}
    options = {"key": ["k", "day"], "create": "true", "hypertable": {"time": "day", "chunk": "1d"}}
    with PostgresTarget(ts).sink(schema, **VERSION, **options) as s:
        player = versions.Player(s, schema)
        player.unit([made[:60], made[60:]])
        assert not s.rejects
    for c in sorted(made, key=lambda c: c["v"]):
        key = c["k"], c["day"]
        if c["_op"] == "delete":
            model.pop(key, None)
        else:
            model.setdefault(key, {}).update(c)
    assert ts.value("SELECT count(*) FROM show_chunks('t')") == 5
    assert sorted(ts.sql("SELECT k, day, a, b, at FROM t")) == sorted(
        (*key, m.get("a"), m.get("b"), versions.at(m["v"])) for key, m in model.items())
