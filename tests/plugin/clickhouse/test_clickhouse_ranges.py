# SPDX-License-Identifier: Apache-2.0
"""Deletes of many rows into ClickHouse: a mark for each row that they mean."""

import datetime
import decimal
import random

import pyarrow as pa
import pytest

import ranges
from abi import BADCONF, REJECT, batch
from ranges import bounds
from test_clickhouse_sink import WINDOW, fails, started

KEY = ["k", "at", "n"]
SCHEMA = pa.schema([("k", pa.string()), ("at", pa.date32()), ("n", pa.int32()), ("v", pa.string()),
                    ("_op", pa.string()), ranges.kind(at=pa.date32(), n=pa.int32())])
VERSIONED = pa.schema([*SCHEMA, pa.field("ver", pa.int64())])


def rows_of(schema, changes):
    return batch(schema, [tuple(c.get(f.name) for f in schema) for c in changes])


def sink(db, schema=SCHEMA, **options):
    return db.sink(schema, **{"mode": "upsert", "key": KEY, "create": True, **options})


def unit(s, schema, upto, *batches):
    s.begin()
    for each in batches:
        made = s.batch(each if isinstance(each, pa.RecordBatch) else rows_of(schema, each))
        made.upto = type(made.upto).of(upto)
        s.write(made)
        upto += 1
    block = s.seal()
    s.send(block, f"l{upto}")
    return block


def found(db, columns="k, toString(at), toString(n), v", where="_is_deleted = 0"):
    """A condition beside FINAL would be looked at first by 18.16."""
    return sorted(tuple(r) for r in db.rows(f"SELECT {columns} FROM (SELECT * FROM t FINAL) WHERE {where}"))


def wanted(table):
    return sorted((k, str(at), str(n), row["v"]) for (k, at, n), row in table.items())


def day(n):
    return datetime.date(2024, 1, 1) + datetime.timedelta(n)


def pick(random_):
    return {"k": random_.choice("ab'\\\t"), "at": day(random_.randrange(4)),
            "n": random_.randrange(-2, 4)}


def cut(random_, items):
    while items:
        n = random_.randrange(1, 12)
        yield items[:n]
        items = items[n:]


@pytest.mark.parametrize("seed", range(2))
def test_random_changes(either, seed):
    """Units of several batches; versions are made of positions."""
    random_ = random.Random(seed)
    changes = list(ranges.random_changes(seed, 150, pick, lambda i: {"v": f"v{i}"}))
    batches, upto = list(cut(random_, changes)), 10
    with sink(either) as s:
        for some in cut(random_, batches):
            unit(s, SCHEMA, upto, *some)
            upto += 20
        assert not s.rejects
    assert found(either) == wanted(ranges.play(changes, KEY))


@pytest.mark.parametrize("seed", range(2))
def test_random_changes_with_a_version(either, seed):
    """What is newer than a delete stays, wherever the delete stands."""
    random_ = random.Random(seed)

    changes = []
    for c in ranges.random_changes(seed, 150, pick, lambda i: {"v": f"v{i}", "ver": i}):
        late = c.get("_range") is not None and random_.random() < 0.5
        changes.append({**c, "ver": max(0, c["ver"] - random_.randrange(60))} if late else c)
    batches = list(cut(random_, changes))
    with sink(either, VERSIONED, version="ver") as s:
        for i, some in enumerate(cut(random_, batches)):
            unit(s, VERSIONED, i, *some)
        assert not s.rejects
    assert found(either) == wanted(ranges.play(changes, KEY, "ver"))


def test_a_kept_block_is_complete(db):
    """It is sent again as it is, by a later process, when other rows have come meanwhile."""
    with sink(db, window=100) as s:
        unit(s, SCHEMA, 1, [{"k": "a", "at": day(i), "n": 1, "v": "x", "_op": "insert"} for i in range(3)])
        s.begin()
        made = s.batch(rows_of(SCHEMA, [
            {"k": "a", "at": day(7), "n": 1, "v": "x", "_op": "insert"},
            {"k": "a", "_op": "delete", "_range": {"at": bounds(day(1))}}]))
        made.upto = type(made.upto).of(5)
        s.write(made)
        block = s.seal()
        s.send(block, "l5")
        assert found(db) == [("a", "2024-01-01", "1", "x")]
        unit(s, SCHEMA, 9, [{"k": "a", "at": day(1), "n": 1, "v": "new", "_op": "insert"}])
    with sink(db, window=100) as later:
        later.send(block, "l5")
    assert found(db) == [("a", "2024-01-01", "1", "x"), ("a", "2024-01-02", "1", "new")]


def test_rows_that_are_read_again(old):
    """At least once: the same changes, over what they have left themselves."""
    changes = list(ranges.random_changes(7, 60, pick, lambda i: {"v": f"v{i}"}))
    for _ in range(2):
        with sink(old) as s:
            unit(s, SCHEMA, 100, changes[:30])
            unit(s, SCHEMA, 200, changes[30:])
    assert found(old) == wanted(ranges.play(changes, KEY))


TYPES = [("s", pa.string(), ["", "a", "a\x00b", "ä"], "String"), ("i", pa.int64(), [-2**63, -1, 0, 2**63 - 1], "Int64"),
         ("u", pa.uint64(), [0, 1, 2**63, 2**64 - 1], "UInt64"),
         ("d", pa.decimal128(20, 3), [decimal.Decimal(t) for t in ("-1.5", "0", "0.001", "12345678901234567.891")], "Decimal(20, 3)"),
         ("t", pa.timestamp("us", "UTC"), [datetime.datetime(1969, 5, 5), datetime.datetime(2024, 1, 1, 1, 2, 3, 4),
                                           datetime.datetime(2024, 1, 1, 1, 2, 3, 5), datetime.datetime(2262, 1, 1)], "DateTime64(6)"),
         ("w", pa.timestamp("us", "UTC"), [datetime.datetime(2000, 1, 1), datetime.datetime(2024, 1, 1, 1, 2, 3),
                                           datetime.datetime(2024, 1, 1, 1, 2, 4), datetime.datetime(2100, 1, 1)], "DateTime"),
         ("y", pa.date32(), [datetime.date(1950, 1, 1), datetime.date(2024, 1, 1), datetime.date(2024, 1, 2), datetime.date(2200, 1, 1)],
          "Date32"),
         ("b", pa.bool_(), [False, True], "Bool"), ("f", pa.float64(), [-1.5, 0.1, 0.30000000000000004, 1e300], "Float64"),
         ("x", pa.binary(), [b"", b"\x00\xff", b"\x01", b"'\\"], "String"),
         ("c", pa.string(), ["a", "b", "c"], "LowCardinality(String)"), ("l", pa.string(), ["ab", "b", "zz"], "FixedString(2)")]


@pytest.mark.parametrize("kind, values, column", [t[1:] for t in TYPES], ids=[t[0] for t in TYPES])
def test_every_type_of_a_key(db, kind, values, column):
    """As a value and as bound, of rows in the table and of rows in the unit."""
    schema = pa.schema([("p", kind), ("c", kind), ("_op", pa.string()), ranges.kind(c=kind)])
    db.query(f"CREATE TABLE t (p {column}, c {column}, ver UInt64, gone UInt8) ENGINE = "
             f"ReplacingMergeTree(ver, gone) ORDER BY (p, c) {WINDOW}")
    all_rows = [{"p": p, "c": c, "_op": "insert"} for p in values for c in values]
    deletes = [{"p": values[0], "_op": "delete", "_range": {"c": bounds(values[-2], values[-1], (False, True))}},
               {"p": values[1], "_op": "delete", "_range": {"c": bounds(None, values[-1])}}]
    left = ranges.play([*all_rows, *deletes], ["p", "c"])
    assert 0 < len(left) == len(all_rows) - len(values)
    for units in ([all_rows, deletes], [[*all_rows, *deletes]]):
        with db.sink(schema, mode="upsert", key=["p", "c"]) as s:
            for n, rows in enumerate(units):
                unit(s, schema, 10 + n, rows)
            assert not s.rejects
        assert db.value("SELECT count() FROM t FINAL") == str(len(left)), units
        db.query("TRUNCATE TABLE t")


def test_a_row_is_deleted_where_it_stands(db):
    """The table is ordered and parted by more than the key."""
    schema = pa.schema([*SCHEMA, ("day", pa.date32())])
    db.query("CREATE TABLE t (k String, at Date32, n Int32, v Nullable(String), day Date, ver UInt64, gone UInt8) "
             "ENGINE = ReplacingMergeTree(ver, gone) PARTITION BY toYYYYMM(day) ORDER BY (day, k, at, n) " + WINDOW)
    with sink(db, schema, create=False) as s:
        unit(s, schema, 1, [{"k": "a", "at": day(i), "n": 0, "_op": "insert", "day": day(40 * i)} for i in range(5)])
        unit(s, schema, 2, [{"k": "a", "_op": "delete", "_range": {"at": bounds(day(1), day(3))}}])
    assert db.rows("SELECT toString(at) FROM t FINAL ORDER BY at") == [["2024-01-01"], ["2024-01-04"], ["2024-01-05"]]
    db.query("OPTIMIZE TABLE t FINAL")
    assert db.value("SELECT count() FROM t WHERE gone = 0") == "3"


def test_deletes_that_cannot_be_carried_out_are_refused(db):
    schema = pa.schema([("k", pa.string()), ("u", pa.binary(16)), ("n", pa.int32()), ("_op", pa.string()),
                        ranges.kind(u=pa.binary(16), n=pa.int32(), z=pa.int32())])
    db.query("CREATE TABLE t (k String, u UUID, n Int8, ver UInt64, gone UInt8) ENGINE = "
             f"ReplacingMergeTree(ver, gone) ORDER BY (k, u, n) {WINDOW}")

    def delete(k, **range_):
        return {"k": k, "_op": "delete", "_range": range_}
    with db.sink(schema, mode="upsert", key=["k", "u", "n"]) as s:
        unit(s, schema, 1, [{"k": "a", "u": bytes(16), "n": i, "_op": "insert"} for i in range(4)])
        unit(s, schema, 2, [delete("a", u=bounds(bytes(16))), delete(None), delete("a", n=bounds(300)),
                            delete("a", n=bounds(3))])
        assert [(row, code) for _, row, code, *_ in s.rejects] == [(0, "0A000"), (1, "23502"), (2, "22003")]
        assert "orders in another way" in s.rejects[0][3]
    assert db.rows("SELECT toString(n) FROM t FINAL ORDER BY n") == [["0"], ["1"], ["2"]]


def test_only_upserts_can(db):
    failure = fails(BADCONF, started, db, SCHEMA, create=True, order_by=["k"])
    assert failure.option == "mode" and "select: {drop: _range}" in failure.msg


def test_a_unit_of_many_deletes(db):
    """One unit of many deletes; each means a part of the table."""
    with sink(db) as s:
        unit(s, SCHEMA, 1, [{"k": f"k{i}", "at": day(0), "n": i % 7, "v": "x", "_op": "insert"} for i in range(120)])
        unit(s, SCHEMA, 2, [{"k": f"k{i}", "_op": "delete", "_range": {}} for i in range(0, 120, 2)])
    assert db.value("SELECT count() FROM t FINAL") == "60"


def test_a_delete_of_too_many_rows_is_refused_alone(db):
    with sink(db) as s:
        unit(s, SCHEMA, 1, [{"k": "small", "at": day(0), "n": 1, "v": "x", "_op": "insert"}])
        db.query("INSERT INTO t SELECT 'large', toDate(0), number, 'x', 1, 0 FROM numbers(2000001)")
        unit(s, SCHEMA, 2, [{"k": k, "_op": "delete", "_range": {}} for k in ("none", "large", "small")])
        assert [(row, code) for _, row, code, *_ in s.rejects] == [(1, "54000")]
    assert db.rows("SELECT k, toString(count()) FROM t FINAL GROUP BY k") == [["large", "2000001"]]


def test_a_mark_that_the_table_refuses_is_its_deletes_fault(db):
    db.query("CREATE TABLE t (k String, at Date32, n Int32, v String, ver UInt64, gone UInt8, CONSTRAINT c CHECK v != '') "
             "ENGINE = ReplacingMergeTree(ver, gone) ORDER BY (k, at, n) " + WINDOW)
    with sink(db, create=False) as s:
        unit(s, SCHEMA, 1, [{"k": "a", "at": day(i), "n": 1, "v": "x", "_op": "insert"} for i in range(3)])
        failure = fails(REJECT, unit, s, SCHEMA, 5, [
            {"k": "b", "at": day(1), "n": 1, "v": "x", "_op": "insert"}, {"k": "c", "_op": "delete", "_range": {}},
            {"k": "a", "_op": "delete", "_range": {"at": bounds(day(1))}}])
        assert (failure.batch, failure.row) == (2, 2)
    assert db.value("SELECT count() FROM t FINAL") == "3"
