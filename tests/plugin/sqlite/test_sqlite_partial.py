# SPDX-License-Identifier: Apache-2.0
"""The sqlite sink and rows that write only some of their columns."""

import pyarrow as pa
import pytest

import partial
from abi import REJECT, Failure, SinkUnderTest

TABLE = ("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER, b TEXT, n INTEGER NOT NULL DEFAULT 7,"
         " d TEXT DEFAULT 'new')")


def sink(file, schema=partial.SCHEMA, **options):
    values = {"path": file.path, "table": "t", "mode": "upsert", "key": ["id"], **options}
    return SinkUnderTest("sqlite", schema, **values)


def content(file):
    return file.sql("SELECT id, a, b, n, d FROM t ORDER BY id")


def write(file, *changes, **options):
    with sink(file, **options) as s:
        s.found({"0": 0})
        s.put(partial.rows(*changes))
        return s


@pytest.mark.parametrize("seed", range(6))
def test_random_changes_leave_what_a_dict_has(file, seed):
    file.sql(TABLE)

    def check(model, where):
        assert content(file) == partial.table(model), where
    with sink(file) as s:
        partial.play(s, seed, 25, check)
        assert not s.rejects


def test_only_written_columns_change(file):
    file.sql(TABLE)
    file.sql("INSERT INTO t VALUES (1, 10, 'old', 3, 'd'), (2, 20, 'old', 3, 'd')")
    write(file, {"id": 1, "a": 11}, {"id": 2, "b": None}, {"id": 3, "b": "x"}, {"id": 4})
    assert content(file) == [(1, 11, "old", 3, "d"), (2, 20, None, 3, "d"), (3, None, "x", 7, "new"),
                             (4, None, None, 7, "new")]


def test_rows_of_one_key_are_merged_in_their_order(file):
    file.sql(TABLE)
    file.sql("INSERT INTO t VALUES (1, 10, 'old', 3, 'd')")
    write(file, {"id": 1, "a": 1, "b": "x"}, {"id": 1, "b": None}, {"id": 1, "a": 2},
          {"id": 2, "a": 5}, {"id": 2, "_op": "delete"}, {"id": 2, "b": "y"})
    assert content(file) == [(1, 2, None, 3, "d"), (2, None, "y", 7, "new")]


def test_a_new_key_without_a_needed_column_is_refused_alone(file):
    file.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER NOT NULL, b TEXT, n INTEGER, d TEXT)")
    file.sql("INSERT INTO t VALUES (1, 10, 'old', 3, 'd')")
    data = partial.rows({"id": 1, "b": "kept a"}, {"id": 2, "b": "no a"}, {"id": 3, "a": 30})
    with sink(file) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 3, 1, 3)})
        s.begin(unit)
        s.write(data)
        with pytest.raises(Failure) as caught:
            s.commit(unit)
        assert caught.value.status == REJECT and caught.value.row == 1
        s.abort(unit)
        s.begin(unit)
        s.write(data)
        s.commit(unit)
        [(_, row, _, msg, *_)] = s.rejects
        assert row == 1 and "NOT NULL" in msg and "t.a" in msg
    assert content(file) == [(1, 10, "kept a", 3, "d"), (3, 30, None, None, None)]


def test_a_row_that_does_not_write_its_key_is_refused(file):
    file.sql(TABLE)
    s = write(file, {"a": 1}, {"id": 2})
    [(_, row, _, msg, *_)] = s.rejects
    assert row == 0 and msg == "the row does not write its key"
    assert content(file) == [(2, None, None, 7, "new")]


def test_append_writes_nulls(file):
    file.sql("CREATE TABLE t (id INTEGER, a INTEGER DEFAULT 5, b TEXT NOT NULL, n INTEGER, d TEXT)")
    s = write(file, {"id": 1, "b": "x"}, {"id": 2, "a": 3}, mode="append", key=[])
    assert content(file) == [(1, None, "x", None, None)]
    [(_, row, _, msg, column, *_)] = s.rejects
    assert (row, column, msg) == (1, "b", "the row does not write a NOT NULL column")


def test_more_sets_than_statements_are_kept(file):
    columns = [f"c{i}" for i in range(8)]
    schema = pa.schema([("id", pa.int64())] + [(c, pa.int64()) for c in columns] +
                       [("_set", pa.struct([(c, pa.bool_()) for c in columns]))])
    file.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, %s)" % ", ".join(columns))
    changes = [{"id": i, **{c: i for k, c in enumerate(columns) if i >> k & 1}} for i in range(256)]
    with sink(file, schema) as s:
        s.found({"0": 0})
        s.put(partial.rows(*changes, schema=schema))
    assert file.sql("SELECT * FROM t ORDER BY id") == [
        (i, *(i if i >> k & 1 else None for k in range(8))) for i in range(256)]


def test_a_new_column_mid_run_is_unwritten_before(file):
    file.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER)")
    first = pa.schema([("id", pa.int64()), ("a", pa.int64()),
                       ("_set", pa.struct([("a", pa.bool_())]))])
    second = pa.schema([("id", pa.int64()), ("a", pa.int64()), ("b", pa.string()),
                        ("_set", pa.struct([("a", pa.bool_()), ("b", pa.bool_())]))])
    with sink(file, first, evolve="add") as s:
        s.found({"0": 0})
        s.put(partial.rows({"id": 1, "a": 1}, schema=first))
        s.evolve(second)
        s.put(partial.rows({"id": 1, "b": "x"}, {"id": 2, "b": "y"}, schema=second), 1)
    assert file.sql("SELECT * FROM t ORDER BY id") == [(1, 1, "x"), (2, None, "y")]
