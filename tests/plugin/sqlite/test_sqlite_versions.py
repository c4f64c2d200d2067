# SPDX-License-Identifier: Apache-2.0
"""The sqlite sink: the newest version of each column wins, and deletes of many rows."""

import datetime as dt
import decimal
import itertools
import json
import pathlib
import random

import pyarrow as pa
import pytest

import versions
from abi import BADCONF, REJECT, RETRY, Failure, SinkUnderTest
from versions import many, row, span

TABLE = ("CREATE TABLE t (k INTEGER, c1 INTEGER, c2 TEXT, a INTEGER, b TEXT, n INTEGER NOT NULL DEFAULT 7,"
         " at TEXT, millrace_written TEXT, PRIMARY KEY (k, c1, c2))")
VERSION = {"version": "at"}
D = decimal.Decimal
pipelines = itertools.count(1)


def sink(file, schema=versions.SCHEMA, **options):
    values = {"path": file.path, "table": "t", "mode": "upsert", "key": versions.KEY, **options}
    return SinkUnderTest("sqlite", schema, **values)


def stamp(text):
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def content(file):
    rows = file.sql("SELECT k, c1, c2, a, b, n, at FROM t")
    return sorted(((*r[:-1], stamp(r[-1])) for r in rows), key=repr)


# ---------------------------------------------------------------- random changes against a model

@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["", " WITHOUT ROWID", " STRICT"])
@pytest.mark.parametrize("equal", [False, True])
def test_random_changes_leave_what_the_model_has(file, seed, kind, equal):
    file.sql(TABLE + kind)
    model = versions.Model()
    with sink(file, **VERSION) as s:
        player = versions.Player(s)
        for number, unit in enumerate(versions.cut(seed, versions.changes(seed, 400, equal=equal))):
            player.unit(unit)
            model.unit([c for batch in unit for c in batch])
            assert content(file) == model.table(), f"seed {seed}, unit {number}"
        assert not s.rejects
    assert model.rows


@pytest.mark.parametrize("seed", range(3))
def test_whole_rows_leave_what_the_model_has(file, seed):
    file.sql(TABLE)
    model = versions.Model()
    with sink(file, versions.WHOLE, **VERSION) as s:
        player = versions.Player(s, versions.WHOLE)
        for unit in versions.cut(seed, versions.changes(seed, 400, whole=True)):
            player.unit(unit)
            model.unit([c for batch in unit for c in batch])
            assert content(file) == model.table()
    assert model.rows


@pytest.mark.parametrize("seed", range(4))
def test_order_within_a_unit_does_not_matter(file, seed):
    changes = versions.changes(seed, 150)
    model = versions.Model()
    model.unit(changes)
    assert model.rows
    for order in range(4):
        file.sql("DROP TABLE IF EXISTS t")
        file.sql("DROP TABLE IF EXISTS millrace_offsets")
        file.sql(TABLE)
        random.Random(order).shuffle(changes)
        with sink(file, **VERSION) as s:
            versions.Player(s).unit([changes[:70], changes[70:]])
        assert content(file) == model.table(), f"seed {seed}, order {order}"


@pytest.mark.parametrize("seed", range(3))
def test_readers_that_come_in_any_order_end_alike(file, seed):
    """Each reader brings all changes in an order of its own; the last brings them as they were made."""
    file.sql(TABLE)
    changes = versions.changes(seed, 200)
    model = versions.Model()
    model.unit(changes)
    for reader in range(3):
        with sink(file, pipeline=f"p{reader}", **VERSION) as s:
            player = versions.Player(s)
            for unit in versions.cut(reader, changes):
                player.unit(unit)
        random.Random(reader).shuffle(changes)
        if reader == 1:
            changes.sort(key=lambda c: c["v"])
    assert content(file) == model.table()


# ---------------------------------------------------------------- the rules, one by one

def write(file, *changes, schema=versions.SCHEMA, **options):
    with sink(file, schema, pipeline=f"p{next(pipelines)}", **{**VERSION, **options}) as s:
        versions.Player(s, schema).unit([list(changes)])
        return s


def values(file):
    return [(*r[:-1], (stamp(r[-1]) - versions.EPOCH) // dt.timedelta(microseconds=1))
            for r in file.sql("SELECT a, b, n, at FROM t ORDER BY k, c1, c2")]


def written(file):
    [(text,)] = file.sql("SELECT millrace_written FROM t")
    return json.loads(text)


def test_each_column_has_its_newest_write(file):
    file.sql(TABLE)
    write(file, row(10, a=1, b="x"))
    write(file, row(5, a=0, n=5))
    assert values(file) == [(1, "x", 5, 10)]
    write(file, row(7, n=6, b="old"), row(12, b=None))
    assert values(file) == [(1, None, 6, 12)]
    assert written(file) == {"a": 10, "b": 12, "n": 7, "at": 12}


def test_of_equal_versions_the_later_wins_and_a_delete_over_both(file):
    file.sql(TABLE)
    write(file, row(10, a=1), row(10, a=2))
    write(file, row(10, a=3))
    assert values(file) == [(3, None, 7, 10)]
    write(file, row(10, _op="delete"))
    assert values(file) == []
    write(file, row(10, _op="delete"), row(10, a=4))
    assert values(file) == []


def test_a_delete_takes_what_is_older_and_the_row_remembers_it(file):
    file.sql(TABLE)
    write(file, row(10, a=1, n=3), row(20, b="new"))
    write(file, row(15, _op="delete"))
    assert values(file) == [(None, "new", 7, 20)]
    assert written(file)[""] == 15
    write(file, row(12, a=2))
    assert values(file) == [(None, "new", 7, 20)]
    write(file, row(16, a=3))
    assert values(file) == [(3, "new", 7, 20)]
    write(file, row(20, _op="delete"))
    assert values(file) == []


def test_rows_without_times_are_older_than_everything(file):
    file.sql(TABLE)
    file.sql("INSERT INTO t (k, c1, c2, a, b, at) VALUES (1, 1, 'x', 5, 'kept', '2999-01-01'),"
             " (2, 1, 'x', 5, 'gone', '2999-01-01'), (3, 1, 'x', 5, 'gone', '2999-01-01')")
    write(file, row(-5, a=6), {**row(1, _op="delete"), "k": 2},
          {"k": 3, "_op": "delete", "_range": {"c1": None, "c2": None}, "v": 1})
    assert values(file) == [(6, "kept", 7, -5)]


def test_what_others_put_into_the_helper_column(file):
    """Versions of columns that are not written here stay; what is no version makes a dead letter."""
    file.sql(TABLE)
    file.sql("INSERT INTO t (k, c1, c2, a, at, millrace_written) VALUES (1, 1, 'x', 5, '2999-01-01',"
             " '{\"a\": 10, \"gone \\u00e9\\\"\": 3}')")
    write(file, row(9, a=6), row(8, b="x"))
    assert written(file) == {"a": 10, 'gone é"': 3, "b": 8, "at": 9}
    assert file.sql("SELECT a, b FROM t") == [(5, "x")]
    for text in ('{"a": "ten"}', "no JSON", "[1]"):
        file.sql("UPDATE t SET millrace_written = ?", text)
        with sink(file, pipeline=f"p{next(pipelines)}", **VERSION) as s:
            s.found({"0": 0})
            unit = s.unit({"0": (0, 1, 1, 1)})
            s.begin(unit)
            s.write(versions.rows([row(11, a=7)]))
            with pytest.raises(Failure) as caught:
                s.commit(unit)
            assert (caught.value.status, caught.value.row) == (REJECT, 0), text
            assert "millrace_written of the stored row" in caught.value.msg


def test_an_integer_is_a_version_too(file):
    schema = pa.schema([("id", pa.int64()), ("x", pa.string()), ("rev", pa.uint64())])
    with sink(file, schema, key=["id"], version="rev", create="true") as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1, 1, 2, 3], ["new", "old", "x", "y"], [2 ** 63 - 1, 3, 2 ** 63, None]],
                              schema=schema))
        assert [(r[1], r[2], r[4]) for r in s.rejects] == [(2, "22003", "rev"), (3, "23502", "rev")]
    assert file.sql("SELECT id, x, rev FROM t") == [(1, "new", 2 ** 63 - 1)]
    assert written(file) == {"x": 2 ** 63 - 1, "rev": 2 ** 63 - 1}


def test_names_that_need_quotes(file):
    schema = pa.schema([("it's", pa.int64()), ('a "b" \\', pa.int64()), ("Vér'", pa.int64()), ("_op", pa.string())])
    with sink(file, schema, key=["it's"], version="Vér'", create="true") as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1, 1], [5, 6], [9, 8], [None, None]], schema=schema))
        s.put(pa.record_batch([[1, 1], [7, 8], [3, 10], [None, None]], schema=schema), 2)
        assert file.sql('SELECT "a ""b"" \\" FROM t') == [(8,)]
        assert written(file) == {'a "b" \\': 10, "Vér'": 10}
        s.put(pa.record_batch([[1], [None], [9], ["delete"]], schema=schema), 4)
        assert written(file) == {'a "b" \\': 10, "Vér'": 10, "": 9}
        s.put(pa.record_batch([[1], [None], [10], ["delete"]], schema=schema), 5)
    assert file.sql("SELECT * FROM t") == []


def test_defaults_of_every_form_come_back(file):
    """What a delete empties is what an INSERT without the column has."""
    presets = ["5", "-5", "'it''s'", "NULL", "(1 + 2)", "word", '"two ""words"""', "true", "x'6162'",
               "('a' || 'b')", '"k"', "at"]
    columns = "".join(f", c{i} DEFAULT {p}" for i, p in enumerate(presets))
    file.sql(f"CREATE TABLE t (k INTEGER PRIMARY KEY, at INTEGER, word, millrace_written TEXT{columns})")
    file.sql("INSERT INTO t (k) VALUES (9)")
    names = [f"c{i}" for i in range(len(presets))]
    schema = pa.schema([("k", pa.int64()), ("at", pa.int64()), ("word", pa.string()), ("_op", pa.string())] +
                       [(n, pa.string()) for n in names] +
                       [("_set", pa.struct([(n, pa.bool_()) for n in ("word", *names)]))])
    with sink(file, schema, key=["k"], **VERSION) as s:
        s.found({"0": 0})
        change = versions.partial.rows
        s.put(change({"k": 1, "at": 5, **{n: "text" for n in names}}, {"k": 1, "at": 7, "word": "kept"},
                     {"k": 1, "at": 6, "_op": "delete"}, schema=schema))
        assert not s.rejects
    [(new, emptied)] = zip(*[iter(file.sql(f"SELECT {', '.join(names)} FROM t ORDER BY k DESC"))] * 2)
    assert emptied == new and len(set(new)) > 8
    assert file.sql("SELECT word FROM t WHERE k = 1") == [("kept",)]


def test_a_unique_column_that_a_delete_frees_within_the_unit(file):
    file.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, at INTEGER, millrace_written TEXT)")
    schema = pa.schema([("id", pa.int64()), ("u", pa.int64()), ("at", pa.int64()), ("_op", pa.string())])
    with sink(file, schema, key=["id"], **VERSION) as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1], [5], [1], ["insert"]], schema=schema))
        s.put(pa.record_batch([[1, 2], [None, 5], [2, 3], ["delete", "insert"]], schema=schema), 1)
    assert file.sql("SELECT id, u FROM t") == [(2, 5)]


# ---------------------------------------------------------------- deletes of many rows in their order

def grid(file):
    file.sql(TABLE.replace("c2 TEXT", "c2 TEXT COLLATE NOCASE"))
    for k, c1, c2 in itertools.product((1, 2, 3), range(5), ("A", "b", "é", "z")):
        file.sql("INSERT INTO t (k, c1, c2, a) VALUES (?, ?, ?, 0)", k, c1, c2)


def keys(file, k):
    return file.sql("SELECT c1, c2 FROM t WHERE k = ? ORDER BY c1, c2 COLLATE BINARY", k)


def test_without_versions_rows_count_in_their_order(file):
    grid(file)
    write(file, row(1, a=1), many(1), row(1, b="after"), many(2, c1=span(1, 3, False)),
          many(3, c2=span("b", "z", True, False), c1=span(None, 3, True, False)), version=None)
    assert file.sql("SELECT k, c1, c2, a, b, n FROM t WHERE k = 1") == [(1, 1, "x", None, "after", 7)]
    assert {c1 for c1, _ in keys(file, 2)} == {0, 1, 4} and len(keys(file, 2)) == 12
    assert keys(file, 3)[:4] == [(0, "A"), (0, "z"), (0, "é"), (1, "A")] and len(keys(file, 3)) == 17


def test_text_is_bound_by_its_bytes(file):
    grid(file)
    write(file, many(1, c1=None, c2=span("B", "b")), version=None)
    assert {c2 for _, c2 in keys(file, 1)} == {"A", "z", "é"}


def test_without_set_a_key_column_that_is_null_has_any_value(file):
    grid(file)
    schema = pa.schema([f for f in versions.SCHEMA if f.name != "_set"])
    s = write(file, many(1, c1=span(1, 2)), {**many(2, c2=span("b", "c")), "c1": 3}, many(3), many(None),
              schema=schema, version=None)
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(3, "23502", "k")]
    assert {c1 for c1, _ in keys(file, 1)} == {0, 3, 4}
    assert len(keys(file, 2)) == 19 and (3, "b") not in keys(file, 2)
    assert keys(file, 3) == []


def test_rows_that_cannot_be_meant_are_refused(file):
    grid(file)
    s = write(file, {"k": 1, "c1": 1, "_op": "delete", "v": 1}, many(None), {**many(1), "_op": "update"},
              row(1, c2=None), row(1, a=5), version=None)
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [
        (0, "23502", "c2"), (1, "23502", "k"), (2, "22023", "_range"), (3, "23502", "c2")]
    assert "does not write its key" in s.rejects[0][3]
    assert file.sql("SELECT count(*) FROM t WHERE a = 5") == [(1,)]


@pytest.mark.parametrize("declared, kind, stored, lower, upper, left", [
    ("TEXT", pa.string(), ["A", "a", "b", "é"], "B", "b", ["A", "é"]),
    ("INTEGER", pa.int64(), [-1, 5, 10, 2 ** 62], 0, 10, [-1, 2 ** 62]),
    ("REAL", pa.float64(), [-1.5, 0.25, 10.0], -1.0, 1.0, [-1.5, 10.0]),
    ("NUMERIC", pa.decimal128(9, 2), [D("5.00"), D("10.25")], D("4"), D("9"), [10.25]),
    ("TEXT", pa.timestamp("us"), [1, 1000000], 0, 999999, ["1970-01-01 00:00:01.000000"]),
    ("INTEGER", pa.timestamp("us"), [1, 1000000], 0, 999999, [1000000]),
    ("TEXT", pa.date32(), [1, 20000], 0, 10000, ["2024-10-04"]),
    ("TEXT", pa.time64("us"), [1500000, 1250000, 10000000], 1240000, 1400000, ["00:00:01.500000", "00:00:10"]),
    ("BLOB", pa.binary(), [b"a", b"a\0", b"b"], b"a", b"a\x7f", [b"b"]),
    ("TEXT", pa.bool_(), [False, True], None, False, ["true"]),
    ("TEXT", pa.binary(16), [b"\x0f" * 16, b"\x20" * 16], None, b"\x10" * 16, ["20202020-2020-2020-2020-202020202020"]),
])
def test_bounds_of_every_kind(file, declared, kind, stored, lower, upper, left):
    file.sql(f"CREATE TABLE t (k INTEGER, c {declared}, PRIMARY KEY (k, c))")
    schema = pa.schema([("k", pa.int64()), ("c", kind), ("_op", pa.string()),
                        ("_range", pa.struct([("c", versions.bounds(kind))]))])
    with sink(file, schema, key=["k", "c"]) as s:
        s.found({"0": 0})
        s.put(versions.partial.rows(*[{"k": 1, "c": v} for v in stored], schema=schema))
        s.put(versions.partial.rows({"k": 1, "_op": "delete", "_range": {"c": span(lower, upper)}}, schema=schema), len(stored))
        assert not s.rejects
    assert file.sql("SELECT c FROM t ORDER BY c") == [(v,) for v in left]


@pytest.mark.parametrize("kind, stored, upper", [(pa.int64(), ["5", "10"], 7), (pa.decimal128(9, 2), ["5.00", "10.00"], D(7)),
                                                 (pa.float64(), ["5", "10"], 7.0)])
def test_bounds_of_numbers_that_the_table_has_as_text_are_refused(file, kind, stored, upper):
    file.sql("CREATE TABLE t (k INTEGER, c TEXT, PRIMARY KEY (k, c))")
    for text in stored:
        file.sql("INSERT INTO t VALUES (1, ?), (2, ?)", text, text)
    schema = pa.schema([("k", pa.int64()), ("c", kind), ("_op", pa.string()),
                        ("_range", pa.struct([("c", versions.bounds(kind))]))])
    s = write(file, {"_op": "delete", "k": 1, "_range": {"c": span(None, upper)}, "v": 1},
              {"_op": "delete", "k": 2, "_range": {"c": None}, "v": 1}, schema=schema, version=None, key=["k", "c"])
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "0A000", "c")]
    assert [k for (k,) in file.sql("SELECT k FROM t")] == [1, 1]


def test_deletes_of_many_rows_use_the_index(file):
    """The whole file is not read for each: what a delete means is found by the key."""
    file.sql(TABLE)
    file.sql("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
             " INSERT INTO t (k, c1, c2) SELECT i, 0, 'x' FROM n")
    plan = file.sql("EXPLAIN QUERY PLAN DELETE FROM t AS t WHERE 1 AND t.k = 1 AND t.c1 = 2 AND t.c2 COLLATE BINARY > 'a'")
    assert "SEARCH" in plan[0][3] and "k=? AND c1=? AND c2>?" in plan[0][3]


# ---------------------------------------------------------------- faults

@pytest.mark.parametrize("seed", range(2))
def test_a_writer_that_holds_the_file_changes_nothing(file, seed):
    """Each commit meets a lock first and is made again; so are units that were aborted half way."""
    file.sql(TABLE)
    changes, model = versions.changes(seed, 200), versions.Model()
    at, busy = 0, 0
    with sink(file, busy_timeout="0s", **VERSION) as s:
        s.found({"0": 0})
        for batches in versions.cut(seed, changes):
            count = sum(len(b) for b in batches)
            unit = s.unit({"0": (at, at + count, 1, count)}, at + 1)
            s.begin(unit)
            s.write(versions.rows(batches[0]))
            s.abort(unit)
            s.begin(unit)
            for batch in batches:
                s.write(versions.rows(batch))
            other = file.connect()
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Failure) as caught:
                s.commit(unit)
            busy += caught.value.status == RETRY
            other.execute("ROLLBACK")
            other.close()
            s.commit(unit)
            at += count
            model.unit([c for batch in batches for c in batch])
            assert content(file) == model.table()
    assert busy > 2


@pytest.mark.parametrize("seed", range(2))
def test_a_bad_row_is_found_and_the_others_land(file, seed):
    """Rows that the table refuses: each batch answers for itself, deletes of many rows too."""
    file.sql(TABLE.replace("a INTEGER", "a INTEGER CHECK (a <> 13)"))
    changes, model = versions.changes(seed, 120), versions.Model()
    bad = [{**row(1000 + i, a=13), "k": 9} for i in range(3)]
    with sink(file, **VERSION) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 123, 1, 123)})
        data = [versions.rows(b) for b in (changes[:50] + bad[:2], changes[50:] + bad[2:])]
        s.begin(unit)
        [s.write(d) for d in data]
        with pytest.raises(Failure) as caught:
            s.commit(unit)
        assert caught.value.status == REJECT and caught.value.unit_lost and caught.value.row == 50
        s.abort(unit)
        s.begin(unit)
        [s.write(d) for d in data]
        s.commit(unit)
        assert sorted((r[1], r[2]) for r in s.rejects) == [(50, "SQLITE_CONSTRAINT_CHECK")] * 1 + [
            (51, "SQLITE_CONSTRAINT_CHECK"), (70, "SQLITE_CONSTRAINT_CHECK")]
    model.unit(changes)
    assert content(file) == model.table()


def test_a_delete_that_the_table_refuses_is_rejected(file):
    """What is emptied must not be null: known when older writes come behind newer ones."""
    file.sql(TABLE.replace("b TEXT", "b TEXT NOT NULL"))
    write(file, row(10, b="x"), row(20, a=1))
    with sink(file, pipeline="p", **VERSION) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 2, 1, 2)})
        data = versions.rows([row(15, _op="delete"), row(21, a=2)])
        s.begin(unit)
        s.write(data)
        with pytest.raises(Failure) as caught:
            s.commit(unit)
        assert (caught.value.status, caught.value.row) == (REJECT, 0)
        s.abort(unit)
        s.begin(unit)
        s.write(data)
        s.commit(unit)
        assert [(r[1], r[2]) for r in s.rejects] == [(0, "SQLITE_CONSTRAINT_NOTNULL")]
    assert values(file) == [(2, "x", 7, 21)]


# ---------------------------------------------------------------- columns that come, and what is refused at start

def test_a_column_that_comes_later_has_its_versions(file):
    fields = [f for f in versions.SCHEMA if f.name != "b"]
    first = pa.schema(fields)
    file.sql(TABLE.replace("b TEXT, ", ""))
    with sink(file, first, evolve="add", **VERSION) as s:
        s.found({"0": 0})
        s.put(versions.rows([row(10, a=1)], first))
        s.evolve(versions.SCHEMA)
        s.put(versions.rows([row(5, b="x"), row(4, b="old")]), 1)
        s.put(versions.rows([row(4, _op="delete")]), 3)
    assert values(file) == [(1, "x", 7, 10)]
    assert written(file) == {"a": 10, "at": 10, "b": 5, "": 4}


def refused(file, schema=versions.SCHEMA, **options):
    with pytest.raises(Failure) as caught:
        sink(file, schema, **options).__enter__()
    assert caught.value.status == BADCONF, caught.value
    return caught.value


def test_a_table_without_the_helper_column(file):
    file.sql(TABLE.replace("millrace_written TEXT,", ""))
    failure = refused(file, **VERSION)
    assert failure.option == "version"
    file.sql(failure.msg[failure.msg.index("ALTER TABLE"):])
    write(file, row(1, a=1))
    assert values(file) == [(1, None, 7, 1)]


def test_evolve_adds_the_helper_column(file):
    file.sql(TABLE.replace("millrace_written TEXT,", ""))
    write(file, row(1, a=1), evolve="add")
    assert written(file) == {"a": 1, "at": 1}


@pytest.mark.parametrize("options, word", [
    ({"version": "at", "mode": "append", "key": []}, "upsert"), ({"version": "k"}, "no key"),
    ({"version": "zz"}, "not among"), ({"version": "b"}, "neither"),
    ({"mode": "append", "key": []}, "_range"), ({"key": [f"k{i}" for i in range(33)]}, "32")])
def test_options_that_make_no_sense(file, options, word):
    file.sql(TABLE)
    assert word in refused(file, **options).msg


@pytest.mark.parametrize("options, word", [
    ({"version": "zz"}, "not among"), ({"version": "b"}, "neither"), ({"mode": "append", "key": []}, "_range")])
def test_what_rows_cannot_have_is_known_without_a_file(file, options, word):
    """As `check` opens it; nothing is made."""
    with pytest.raises(Failure) as caught:
        sink(file, create="true", **options).open()
    assert caught.value.status == BADCONF and word in caught.value.msg
    assert not pathlib.Path(file.path).exists()


@pytest.mark.parametrize("column", ["millrace_written INTEGER", "millrace_written TEXT AS (b)"])
def test_a_helper_column_that_cannot_be_written(file, column):
    file.sql(TABLE.replace("millrace_written TEXT", column))
    assert "is no TEXT" in refused(file, **VERSION).msg


def test_rows_must_not_bring_the_helper_column(file):
    file.sql(TABLE)
    for name in ("millrace_written", "MILLRACE_WRITTEN"):
        schema = versions.SCHEMA.append(pa.field(name, pa.string()))
        assert "millrace_written" in refused(file, schema, **VERSION).msg
