# SPDX-License-Identifier: Apache-2.0
"""The postgres sink against a real server: append, positions, fencing."""

import pyarrow as pa
import pytest

import abi
from abi import SinkUnderTest, batch

TRADES = pa.schema([("id", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", "UTC"))])


def trades(n, first=0):
    return batch(TRADES, [(i, f"n{i}", 1700000000000000 + i) for i in range(first, first + n)])


@pytest.fixture
def table(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz)")
    return db


def sink(db, schema=TRADES, **options):
    return SinkUnderTest("postgres", schema, url=db.url, **{"table": "public.t", **options})


def test_rows_and_position_arrive_together(table):
    with sink(table) as s:
        assert s.take(["0"]) == {}
        s.found({"0": 100})
        assert s.take(["0"]) == {"0": (100, 2, 0, 100, 0)}
        unit = s.unit({"0": (100, 103, 2, 3)}, run=7)
        s.begin(unit)
        s.write(trades(3))
        assert table.value("SELECT count(*) FROM t") == 0
        s.commit(unit)
        assert table.sql("SELECT id, name, extract(epoch FROM at)::text FROM t ORDER BY id") == [
            (i, f"n{i}", f"1700000000.00000{i}") for i in range(3)]
        assert s.take(["0"]) == {"0": (103, 3, 3, 100, 7)}
