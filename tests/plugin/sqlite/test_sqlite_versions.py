# SPDX-License-Identifier: Apache-2.0
"""The sqlite sink: the newest version of each column wins, and deletes of many rows."""

import contextlib
import datetime as dt
import decimal
import itertools
import pathlib

import pyarrow as pa
import pytest

import partial
import versions
from abi import BADCONF, REJECT, RETRY, Failure
from version_cases import *  # noqa: F401, F403
from version_cases import VERSION, VersionTarget, many, row, span

D = decimal.Decimal


class SqliteTarget(VersionTarget):
    plugin = "sqlite"
    TABLE = ("CREATE TABLE t (k INTEGER, c1 INTEGER, c2 %(c2)s, %(a)s, %(b)s, n INTEGER NOT NULL DEFAULT 7,"
             " at TEXT, %(millrace_written)s PRIMARY KEY (k, c1, c2)) %(kind)s")
    TYPES = {"c2": "TEXT", "a": "a INTEGER", "b": "b TEXT", "millrace_written": "millrace_written TEXT,", "kind": ""}

    def place(self):
        return {"path": self.db.path}

    def number(self, at):
        return super().number(at and dt.datetime.fromisoformat(at.replace("Z", "+00:00")))

    def kill_sessions(self):
        """There are none; but a file whose tables have changed makes a unit be written again."""
        self.sql("CREATE TABLE other (x)")
        self.sql("DROP TABLE other")


@pytest.fixture
def target(file):
    return SqliteTarget(file)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ["WITHOUT ROWID", "STRICT"])
def test_random_changes_in_other_kinds_of_tables(target, seed, kind):
    target.create(kind=kind)
    model = versions.Model()
    with target.sink(**VERSION) as s:
        player = versions.Player(s)
        for unit in versions.cut(seed, versions.changes(seed, 400, equal=seed == 1)):
            player.unit(unit)
            model.unit([c for batch in unit for c in batch])
            assert target.content() == model.table()
    assert model.rows


def test_what_others_put_into_the_helper_column(target):
    """Versions of columns that are not written here stay; what is no version makes a dead letter."""
    target.create()
    target.sql("INSERT INTO t (k, c1, c2, a, at, millrace_written) VALUES (1, 1, 'x', 5, '2999-01-01',"
               " '{\"a\": 10, \"gone \\u00e9\\\"\": 3}')")
    target.write(row(9, a=6), row(8, b="x"))
    assert target.written() == [{"a": 10, 'gone é"': 3, "b": 8, "at": 9}]
    assert target.sql("SELECT a, b FROM t") == [(5, "x")]
    for text, change in itertools.product(('{"a": "ten"}', "no JSON", "[1]"), (row(11, a=7), row(11, _op="delete"))):
        target.sql("UPDATE t SET millrace_written = ?", text)
        with target.sink(pipeline=f"p{next(target.numbers)}", **VERSION) as s:
            s.found({"0": 0})
            unit = s.unit({"0": (0, 1, 1, 1)})
            s.begin(unit)
            s.write(versions.rows([change]))
            with pytest.raises(Failure) as caught:
                s.commit(unit)
            assert (caught.value.status, caught.value.row) == (REJECT, 0), text
            assert "millrace_written of the stored row" in caught.value.msg


def test_deletes_know_names_that_need_quotes(target):
    schema = pa.schema([("it's", pa.int64()), ('a "b" \\', pa.int64()), ("Vér'", pa.int64()), ("_op", pa.string())])
    with target.sink(schema, key=["it's"], version="Vér'", create="true") as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1, 1], [8, 7], [10, 3], [None, None]], schema=schema))
        s.put(pa.record_batch([[1], [None], [9], ["delete"]], schema=schema), 2)
        assert target.written() == [{'a "b" \\': 10, "Vér'": 10, "": 9}]
        s.put(pa.record_batch([[1], [None], [10], ["delete"]], schema=schema), 3)
    assert target.sql("SELECT * FROM t") == []


def test_defaults_of_every_form_come_back(target):
    """What a delete empties is what an INSERT without the column has."""
    presets = ["5", "-5", "'it''s'", "NULL", "(1 + 2)", "word", '"two ""words"""', "true", "x'6162'",
               "('a' || 'b')", '"k"', "at"]
    columns = "".join(f", c{i} DEFAULT {p}" for i, p in enumerate(presets))
    target.sql(f"CREATE TABLE t (k INTEGER PRIMARY KEY, at INTEGER, word, millrace_written TEXT{columns})")
    target.sql("INSERT INTO t (k) VALUES (9)")
    names = [f"c{i}" for i in range(len(presets))]
    schema = pa.schema([("k", pa.int64()), ("at", pa.int64()), ("word", pa.string()), ("_op", pa.string())] +
                       [(n, pa.string()) for n in names] +
                       [("_set", pa.struct([(n, pa.bool_()) for n in ("word", *names)]))])
    with target.sink(schema, key=["k"], **VERSION) as s:
        s.found({"0": 0})
        s.put(partial.rows({"k": 1, "at": 5, **{n: "text" for n in names}}, {"k": 1, "at": 7, "word": "kept"},
                           {"k": 1, "at": 6, "_op": "delete"}, schema=schema))
        assert not s.rejects
    new, emptied = target.sql(f"SELECT {', '.join(names)} FROM t ORDER BY k DESC")
    assert emptied == new and len(set(new)) > 8
    assert target.sql("SELECT word FROM t WHERE k = 1") == [("kept",)]


def test_a_unique_column_that_a_delete_frees_within_the_unit(target):
    target.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, u INTEGER UNIQUE, at INTEGER, millrace_written TEXT)")
    schema = pa.schema([("id", pa.int64()), ("u", pa.int64()), ("at", pa.int64()), ("_op", pa.string())])
    with target.sink(schema, key=["id"], **VERSION) as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1], [5], [1], ["insert"]], schema=schema))
        s.put(pa.record_batch([[1, 2], [None, 5], [2, 3], ["delete", "insert"]], schema=schema), 1)
    assert target.sql("SELECT id, u FROM t") == [(2, 5)]


def test_text_is_bound_by_its_bytes_whatever_the_collation(target):
    target.create(c2="TEXT COLLATE NOCASE")
    for c2 in ("A", "b", "é", "z"):
        target.sql("INSERT INTO t (k, c1, c2) VALUES (1, 1, ?)", c2)
    target.write(many(1, c1=None, c2=span("B", "b")), version=None)
    assert {c2 for _, c2 in target.keys(1)} == {"A", "z", "é"}
    target.write({**row(1, _op="delete"), "c2": "Z"}, version=None)  # a key as the table's index has it
    assert {c2 for _, c2 in target.keys(1)} == {"A", "é"}


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
def test_bounds_of_every_kind(target, declared, kind, stored, lower, upper, left):
    target.sql(f"CREATE TABLE t (k INTEGER, c {declared}, PRIMARY KEY (k, c))")
    schema = pa.schema([("k", pa.int64()), ("c", kind), ("_op", pa.string()),
                        ("_range", pa.struct([("c", versions.bounds(kind))]))])
    with target.sink(schema, key=["k", "c"]) as s:
        s.found({"0": 0})
        s.put(partial.rows(*[{"k": 1, "c": v} for v in stored], schema=schema))
        s.put(partial.rows({"k": 1, "_op": "delete", "_range": {"c": span(lower, upper)}}, schema=schema), len(stored))
        assert not s.rejects
    assert target.sql("SELECT c FROM t ORDER BY c") == [(v,) for v in left]


@pytest.mark.parametrize("kind, stored, upper", [
    (pa.decimal128(9, 2), ["5.00", "10.00"], D(7)), (pa.float64(), ["5", "10"], 7.0)])
def test_bounds_of_fractions_that_the_table_has_as_text_are_refused(target, kind, stored, upper):
    target.sql("CREATE TABLE t (k INTEGER, c TEXT, PRIMARY KEY (k, c))")
    for text in stored:
        target.sql("INSERT INTO t VALUES (1, ?), (2, ?)", text, text)
    schema = pa.schema([("k", pa.int64()), ("c", kind), ("_op", pa.string()),
                        ("_range", pa.struct([("c", versions.bounds(kind))]))])
    s = target.write({"_op": "delete", "k": 1, "_range": {"c": span(None, upper)}, "v": 1},
                     {"_op": "delete", "k": 2, "_range": {"c": None}, "v": 1},
                     schema=schema, version=None, key=["k", "c"])
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "0A000", "c")]
    assert [k for (k,) in target.sql("SELECT k FROM t")] == [1, 1]


@pytest.mark.parametrize("seed", range(2))
def test_a_writer_that_holds_the_file_changes_nothing(target, seed):
    """Each commit meets a lock first and is made again; so are units that were aborted half way."""
    target.create()
    changes, model = versions.changes(seed, 200), versions.Model()
    at = 0
    with target.sink(busy_timeout="0s", **VERSION) as s:
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
            with contextlib.closing(target.db.connect()) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(Failure) as caught:
                    s.commit(unit)
            assert caught.value.status == RETRY
            s.commit(unit)
            at += count
            model.unit([c for batch in batches for c in batch])
            assert target.content() == model.table()
    assert model.rows


def test_a_delete_that_the_table_refuses_is_rejected(target):
    """What is emptied must not be null: known when older writes come behind newer ones."""
    target.create(b="b TEXT NOT NULL")
    target.write(row(10, b="x"), row(20, a=1))
    with target.sink(pipeline="p", **VERSION) as s:
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
    assert target.values() == [(2, "x", 7, 21)]


def test_a_column_that_comes_later_has_its_versions(target):
    fields = [f for f in versions.SCHEMA if f.name != "b"]
    first = pa.schema(fields)
    target.create()
    target.sql("ALTER TABLE t DROP COLUMN b")
    with target.sink(first, evolve="add", **VERSION) as s:
        s.found({"0": 0})
        s.put(versions.rows([row(10, a=1)], first))
        s.evolve(versions.SCHEMA)
        s.put(versions.rows([row(5, b="x"), row(4, b="old")]), 1)
        s.put(versions.rows([row(4, _op="delete")]), 3)
    assert target.values() == [(1, "x", 7, 10)]
    assert target.written() == [{"a": 10, "at": 10, "b": 5, "": 4}]


@pytest.mark.parametrize("options, word", [
    ({"version": "zz"}, "not among"), ({"version": "b"}, "neither"), ({"mode": "append", "key": []}, "_range")])
def test_what_rows_cannot_have_is_known_without_a_file(target, options, word):
    """As `check` opens it; nothing is made."""
    with pytest.raises(Failure) as caught:
        target.sink(create="true", **options).open()
    assert caught.value.status == BADCONF and word in caught.value.msg
    assert not pathlib.Path(target.db.path).exists()


@pytest.mark.parametrize("column", ["millrace_written INTEGER,", "millrace_written TEXT AS (b),"])
def test_a_helper_column_that_cannot_be_written(target, column):
    target.create(millrace_written=column)
    assert "is no TEXT" in target.refused(**VERSION).msg


@pytest.mark.parametrize("name", ["millrace_written", "MILLRACE_WRITTEN"])
def test_rows_must_not_bring_the_helper_column(target, name):
    target.create()
    schema = versions.SCHEMA.append(pa.field(name, pa.string()))
    assert "millrace_written" in target.refused(schema, **VERSION).msg


def test_a_key_of_more_columns_than_there_may_be(target):
    target.create()
    assert "32" in target.refused(key=[f"k{i}" for i in range(33)]).msg
