# SPDX-License-Identifier: Apache-2.0
"""The mysql sink and rows that write only some of their columns."""

import pyarrow as pa
import pytest

import partial
from abi import REJECT, Failure, SinkUnderTest

TABLE = ("CREATE TABLE t (id bigint PRIMARY KEY, a bigint, b text, n int NOT NULL DEFAULT 7,"
         " d varchar(20) DEFAULT 'new')")


def sink(db, schema=partial.SCHEMA, **options):
    values = {"url": db.url, "table": "t", "mode": "upsert", "key": ["id"], **options}
    return SinkUnderTest("mysql", schema, **values)


def content(db):
    return db.sql("SELECT id, a, b, n, d FROM t ORDER BY id")


def write(db, *changes, **options):
    with sink(db, **options) as s:
        s.found({"0": 0})
        s.put(partial.rows(*changes))
        return s


@pytest.mark.parametrize("seed", range(4))
def test_random_changes_leave_what_a_dict_has(db, seed):
    db.sql(TABLE)

    def check(model, where):
        assert content(db) == partial.table(model), where
    with sink(db) as s:
        partial.play(s, seed, 20, check)
        assert not s.rejects


def test_only_written_columns_change(db):
    db.sql(TABLE)
    db.sql("INSERT INTO t VALUES (1, 10, 'old', 3, 'd'), (2, 20, 'old', 3, 'd')")
    write(db, {"id": 1, "a": 11}, {"id": 2, "b": None}, {"id": 3, "b": "x"}, {"id": 4})
    assert content(db) == [(1, 11, "old", 3, "d"), (2, 20, None, 3, "d"), (3, None, "x", 7, "new"),
                           (4, None, None, 7, "new")]


def test_rows_of_one_key_are_merged_in_their_order(db):
    db.sql(TABLE)
    db.sql("INSERT INTO t VALUES (1, 10, 'old', 3, 'd'), (3, 30, 'old', 3, 'd')")
    write(db, {"id": 1, "a": 1, "b": "x"}, {"id": 1, "b": None}, {"id": 1, "a": 2},
          {"id": 2, "a": 5}, {"id": 2, "_op": "delete"}, {"id": 2, "b": "y"},
          {"id": 3, "_op": "delete"}, {"id": 3, "a": 4}, {"id": 4, "a": 4}, {"id": 4, "_op": "delete"})
    assert content(db) == [(1, 2, None, 3, "d"), (2, None, "y", 7, "new"), (3, 4, None, 7, "new")]


def test_a_new_key_without_a_needed_column_is_refused(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, a bigint NOT NULL, b text, n int, d text)")
    db.sql("INSERT INTO t VALUES (1, 10, 'old', 3, 'd')")
    with sink(db) as s:
        s.found({"0": 0})
        s.put(partial.rows({"id": 1, "b": "kept a"}, {"id": 3, "a": 30}))
        unit = s.unit({"0": (2, 3, 1, 1)})
        s.begin(unit)
        s.write(partial.rows({"id": 2, "b": "no a"}))
        with pytest.raises(Failure) as caught:
            s.commit(unit)
        assert caught.value.status == REJECT
        s.abort(unit)
    assert content(db) == [(1, 10, "kept a", 3, "d"), (3, 30, None, None, None)]


def test_a_row_that_does_not_write_its_key_is_refused(db):
    db.sql(TABLE)
    s = write(db, {"a": 1}, {"id": 2})
    [(_, row, _, msg, *_)] = s.rejects
    assert row == 0 and "the row does not write its key" in msg
    assert content(db) == [(2, None, None, 7, "new")]


@pytest.mark.parametrize("method", ["load", "insert"])
def test_append_writes_nulls(db, method):
    db.sql("CREATE TABLE t (id bigint, a bigint DEFAULT 5, b text NOT NULL, n int, d text)")
    s = write(db, {"id": 1, "b": "x"}, {"id": 2, "a": 3}, mode="append", key=[], method=method)
    assert content(db) == [(1, None, "x", None, None)]
    [(_, row, _, msg, column, *_)] = s.rejects
    assert (row, column) == (1, "b") and "the row does not write a NOT NULL column" in msg


def test_more_columns_than_a_word_has_bits(db):
    columns = [f"c{i}" for i in range(70)]
    schema = pa.schema([("id", pa.int64())] + [(c, pa.int64()) for c in columns] +
                       [("_set", pa.struct([(c, pa.bool_()) for c in columns]))])
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, %s)" % ", ".join(f"{c} bigint" for c in columns))
    changes = [{"id": i % 7, **{c: i for k, c in enumerate(columns) if (i * 7 + k) % 3 == 0}} for i in range(50)]
    model = {}
    for change in changes:
        model.setdefault(change["id"], {}).update(change)
    with sink(db, schema) as s:
        s.found({"0": 0})
        s.put(partial.rows(*changes, schema=schema))
    assert db.sql("SELECT * FROM t ORDER BY id") == [
        (i, *(model[i].get(c) for c in columns)) for i in sorted(model)]


def test_a_new_column_mid_run_is_unwritten_before(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, a bigint)")
    first = pa.schema([("id", pa.int64()), ("a", pa.int64()), ("_set", pa.struct([("a", pa.bool_())]))])
    second = pa.schema([("id", pa.int64()), ("a", pa.int64()), ("b", pa.string()),
                        ("_set", pa.struct([("a", pa.bool_()), ("b", pa.bool_())]))])
    with sink(db, first, evolve="add") as s:
        s.found({"0": 0})
        s.put(partial.rows({"id": 1, "a": 1}, schema=first))
        s.evolve(second)
        s.put(partial.rows({"id": 1, "b": "x"}, {"id": 2, "b": "y"}, schema=second), 1)
    assert db.sql("SELECT * FROM t ORDER BY id") == [(1, 1, "x"), (2, None, "y")]
