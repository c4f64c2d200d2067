# SPDX-License-Identifier: Apache-2.0
"""The postgres sink on TimescaleDB 2.19 and PostgreSQL 17 of Debian 13: hypertables, their keys,
types, and pgvector."""

import datetime as dt
import threading
import uuid

import pyarrow as pa
import pytest

from abi import BADCONF, Failure, SinkUnderTest, batch

DAY = dt.timedelta(days=1)
START = dt.datetime(2026, 1, 28, 10, tzinfo=dt.timezone.utc)
ROWS = pa.schema([("at", pa.timestamp("us", "UTC")), ("device", pa.string()),
                  ("value", pa.float64())])
HYPER = {"time": "at", "chunk": "1d"}
KEYED = {"create": "true", "mode": "upsert", "key": ["device", "at"], "hypertable": HYPER}


def sink(db, schema=ROWS, **options):
    return SinkUnderTest("postgres", schema, url=db.url, **{"table": "public.t", **options})


def rows(*values):
    return batch(ROWS, list(values))


def refused(call):
    with pytest.raises(Failure) as caught:
        call()
    assert caught.value.status == BADCONF, caught.value
    return caught.value


def start_refused(db, **options):
    return refused(sink(db, **options).__enter__)


def put(db, *records, schema=ROWS, **options):
    with sink(db, schema, **options) as s:
        s.found({"0": 0})
        at = 0
        for record in records:
            at = s.put(record, at)
        return s


def dimensions(db, table="t"):
    return db.sql("SELECT column_name, column_type::text, time_interval, num_partitions FROM"
                  " timescaledb_information.dimensions WHERE hypertable_name = %s"
                  " ORDER BY dimension_number", table)


# ---------------------------------------------------------------- making one

def test_a_hypertable_is_made_with_its_chunks(ts):
    put(ts, rows(*[(START + n * DAY, "a", float(n)) for n in range(5)]),
        create="true", hypertable=HYPER)
    assert dimensions(ts) == [("at", "timestamp with time zone", DAY, None)]
    assert len(ts.sql("SELECT show_chunks('t')")) == 5
    assert ts.value("SELECT sum(value) FROM t") == 10.0


def test_space_partitions_and_a_name_that_needs_quotes(ts):
    schema = pa.schema([("A t", pa.timestamp("us")), ("it's", pa.string())])
    put(ts, batch(schema, [(START.replace(tzinfo=None), "x")]), schema=schema, create="true",
        table='public."My ""Table"', hypertable={"time": "A t", "space": "it's", "partitions": "3"})
    assert dimensions(ts, 'My "Table') == [
        ("A t", "timestamp with time zone", 7 * DAY, None), ("it's", "text", None, 3)]
    assert ts.value('SELECT "A t" FROM "My ""Table"') == START


def test_the_inherited_types_and_the_one_that_differs(ts):
    schema = pa.schema([("at", pa.timestamp("us")), ("seen", pa.timestamp("us")),
                        ("zoned", pa.timestamp("us", "UTC")), ("id", pa.binary(16)),
                        ("n", pa.uint64()), ("d", pa.decimal128(18, 4)), ("day", pa.date32()),
                        ("l", pa.list_(pa.string())), ("st", pa.struct([("a", pa.int64())]))])
    key = uuid.UUID("0b9c8f2e-3f0a-4f2d-9e55-0123456789ab")
    row = (START.replace(tzinfo=None), START.replace(tzinfo=None), START, key.bytes, 2**64 - 1,
           None, START.date(), ["x"], {"a": 1})
    put(ts, batch(schema, [row]), schema=schema, create="true", hypertable={"time": "at"})
    types = dict(ts.sql("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                        " WHERE attrelid = 't'::regclass AND attnum > 0"))
    assert types == {"at": "timestamp with time zone", "seen": "timestamp with time zone",
                     "zoned": "timestamp with time zone", "id": "uuid", "n": "numeric(20,0)",
                     "d": "numeric(18,4)", "day": "date", "l": "text[]", "st": "jsonb"}
    assert ts.sql("SELECT at, seen, zoned, id, n FROM t") == [(START, START, START, key, 2**64 - 1)]


def test_a_date_as_time_column(ts):
    schema = pa.schema([("day", pa.date32()), ("n", pa.int64())])
    put(ts, batch(schema, [(START.date(), 1)]), schema=schema, create="true",
        hypertable={"time": "day", "chunk": "30d"})
    assert dimensions(ts) == [("day", "date", 30 * DAY, None)]
    f = start_refused(ts, schema=schema, create="true", table="public.u",
                      hypertable={"time": "day", "chunk": "36h"})
    assert f.option == "hypertable" and "whole days" in f.msg


def test_columns_that_come_later(ts):
    wider = ROWS.append(pa.field("seen", pa.timestamp("us")))
    put(ts, rows((START, "a", 1.0)), **KEYED)
    with sink(ts, wider, **KEYED, evolve="add") as s:
        s.put(batch(wider, [(START + DAY, "a", 2.0, START.replace(tzinfo=None))]), 1)
    assert ts.sql("SELECT value, seen FROM t ORDER BY at") == [(1.0, None), (2.0, START)]


def test_instances_that_make_it_at_the_same_time(ts):
    failed = []

    def start(n):
        try:
            with sink(ts, **KEYED, stage=f"s{n}"):
                pass
        except Failure as f:
            failed.append(f)
    threads = [threading.Thread(target=start, args=(n,)) for n in range(4)]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    assert not failed and dimensions(ts) == [("at", "timestamp with time zone", DAY, None)]


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize("options, option, words", [
    ({"key": ["device"]}, "key", "time column at"),
    ({"key": ["at"], "hypertable": {**HYPER, "space": "device", "partitions": "4"}}, "key",
     "space column device"),
    ({"create": "false"}, "hypertable", "create: true"),
    ({"hypertable": {**HYPER, "space": "device"}}, "hypertable", "go together"),
    ({"hypertable": {**HYPER, "space": "at", "partitions": "4"}}, "hypertable", "time column"),
    ({"hypertable": {"time": "nope"}, "mode": "append", "key": []}, "hypertable", "nope"),
    ({"hypertable": {"time": "value"}, "mode": "append", "key": []}, "hypertable", "value"),
])
def test_options_that_cannot_be(ts, options, option, words):
    f = start_refused(ts, **{**KEYED, **options})
    assert f.option == option and words in f.msg
    assert ts.value("SELECT to_regclass('t')") is None


def test_a_table_that_is_there(ts):
    ts.sql("CREATE TABLE t (at timestamptz, device text, value float8, PRIMARY KEY (device, at))")
    f = start_refused(ts, **KEYED)
    assert f.option == "hypertable" and "is no hypertable" in f.msg and "public.t" in f.msg
    s = sink(ts, **KEYED)
    assert "is no hypertable" in refused(s.check).msg
    s.close()
    ts.sql("ALTER TABLE t ADD COLUMN made timestamptz NOT NULL DEFAULT now(), DROP CONSTRAINT t_pkey")
    ts.sql("SELECT create_hypertable('t', by_range('made'))")
    f = start_refused(ts, **KEYED)
    assert f.option == "hypertable" and "by made, not by at" in f.msg


def test_a_database_without_the_extension(db):
    f = start_refused(db, **KEYED)
    assert f.option == "hypertable" and "CREATE EXTENSION timescaledb" in f.msg
    assert db.value("SELECT to_regclass('t')") is None
    s = sink(db, **KEYED)
    assert "CREATE EXTENSION" in refused(s.check).msg
    s.close()


def test_a_key_that_no_index_of_the_hypertable_has(ts):
    ts.sql("CREATE TABLE t (at timestamptz NOT NULL, device text, value float8)")
    ts.sql("SELECT create_hypertable('t', by_range('at'))")
    f = start_refused(ts, mode="upsert", key=["device"])
    assert f.code == "42P10" and f.option == "key" and "its time column at" in f.msg


def test_check_says_what_will_be_made(ts):
    s = sink(ts, **KEYED)
    assert s.check().endswith("table public.t: will be created as a hypertable")
    s.close()
    put(ts, rows((START, "a", 1.0)), **KEYED)
    s = sink(ts, **KEYED)
    assert s.check().endswith("table public.t: ok")
    s.close()


# ---------------------------------------------------------------- writing

def test_upserts_on_the_key_of_a_hypertable(ts):
    put(ts, rows((START, "a", 1.0), (START, "a", 2.0), (START + DAY, "a", 3.0)),
        rows((START, "a", 4.0), (START, "b", 5.0)), **KEYED)
    assert ts.sql("SELECT * FROM t ORDER BY at, device") == [
        (START, "a", 4.0), (START, "b", 5.0), (START + DAY, "a", 3.0)]


def test_deletes_in_chunks(ts):
    schema = ROWS.append(pa.field("_op", pa.string()))
    days = [(START + n * DAY, "a", float(n), "insert") for n in range(10)]
    put(ts, batch(schema, days),
        batch(schema, [(START + 3 * DAY, "a", None, "delete"), (START + 7 * DAY, "a", None, "delete"),
                       (START + 7 * DAY, "a", 70.0, "insert")]), schema=schema, **KEYED)
    assert [v for (v,) in ts.sql("SELECT value FROM t ORDER BY at")] == [
        0.0, 1.0, 2.0, 4.0, 5.0, 6.0, 70.0, 8.0, 9.0]


def test_a_unit_locks_the_chunks_that_it_writes(ts):
    """Not all of them: there may be thousands, and their locks have room for some."""
    put(ts, rows(*[(START + n * DAY, "a", float(n)) for n in range(40)]), **KEYED)
    with sink(ts, **KEYED) as s:
        unit = s.unit({"0": (40, 41, 1, 1)})
        s.begin(unit)
        s.write(rows((START + 3 * DAY, "a", 1.0)))
        s.flush()
        locked = ts.sql("SELECT DISTINCT c.relname FROM pg_locks l JOIN pg_class c ON c.oid ="
                        " l.relation WHERE c.relname LIKE '_hyper%%chunk' AND l.pid ="
                        " ANY(%s)", ts.backends())
        s.commit(unit)
    assert len(locked) == 1 and ts.value("SELECT count(*) FROM t") == 40


@pytest.mark.parametrize("options", [{}, {"method": "insert", "insert_rows": "7"}])
def test_a_row_without_time_is_refused_alone(ts, options):
    values = [(START + n * DAY, "a", float(n)) for n in range(20)]
    values[11] = (None, "a", 11.0)
    with sink(ts, create="true", hypertable=HYPER, **options) as s:
        s.found({"0": 0})
        s.put(rows(*values))
        assert [r[1:3] for r in s.rejects] == [(11, "23502")]
    assert ts.value("SELECT count(*) FROM t") == 19


def test_partial_updates(ts):
    bits = pa.struct([(name, pa.bool_()) for name in ROWS.names])
    schema = ROWS.append(pa.field("_set", bits))
    every = dict.fromkeys(ROWS.names, True)
    put(ts, batch(schema, [(START, "a", 1.0, every), (START + DAY, "a", 2.0, every)]),
        batch(schema, [(START, "a", None, {**every, "value": False})]), schema=schema, **KEYED)
    assert ts.sql("SELECT at, value FROM t ORDER BY at") == [(START, 1.0), (START + DAY, 2.0)]


# ---------------------------------------------------------------- pgvector

@pytest.mark.parametrize("kind, values", [
    (pa.string(), ["[1,2,3]", "[0.5,-1e-05,3]", None]),
    (pa.list_(pa.float32()), [[1, 2, 3], [0.5, -1e-05, 3], None]),
    (pa.list_(pa.float64()), [[1, 2, 3], [0.5, -1e-05, 3], None]),
])
@pytest.mark.parametrize("options", [{}, {"method": "insert"}, {"mode": "upsert", "key": ["id"]}])
def test_vectors_arrive_as_they_are(ts, kind, values, options):
    schema = pa.schema([("id", pa.int64()), ("v", kind)])
    ts.sql("CREATE TABLE t (id bigint PRIMARY KEY, v vector(3))")
    put(ts, batch(schema, list(enumerate(values))), schema=schema, **options)
    assert ts.sql("SELECT id, v::text FROM t ORDER BY id") == [
        (0, "[1,2,3]"), (1, "[0.5,-1e-05,3]"), (2, None)]


def test_a_vector_of_another_length_is_refused_alone(ts):
    schema = pa.schema([("id", pa.int64()), ("v", pa.list_(pa.float32()))])
    ts.sql("CREATE TABLE t (id bigint, v vector(3))")
    record = batch(schema, [(n, [1.0] * (2 if n == 4 else 3)) for n in range(9)])
    with sink(ts, schema) as s:
        s.found({"0": 0})
        with pytest.raises(Failure) as caught:
            s.put(record)
        assert caught.value.code == "22000" and caught.value.row == 4
