# SPDX-License-Identifier: Apache-2.0
"""The clickhouse sink against real servers: units, tokens, refused rows, what is checked at start."""

import pyarrow as pa
import pytest

from abi import BADCONF, RETRY, Failure, batch

TRADES = pa.schema([("id", pa.int64()), ("name", pa.string())])
WINDOW = "SETTINGS non_replicated_deduplication_window = 100"
COMPRESSIONS = ["none", "lz4", "zstd"]


def trades(n, first=0):
    return batch(TRADES, [(i, f"n{i}") for i in range(first, first + n)])


def make(db, columns="id Int64, name String", end="", engine="MergeTree ORDER BY id"):
    db.query(f"CREATE TABLE t ({columns}) ENGINE = {engine} {end}")
    return db


def ids(db):
    return [int(i) for (i,) in db.rows("SELECT id FROM t ORDER BY id")]


def fails(status, call, *arguments, **options):
    with pytest.raises(Failure) as caught:
        call(*arguments, **options)
    assert caught.value.status == status, caught.value
    return caught.value


def started(db, schema=TRADES, **options):
    """Opens and starts; for calls that are to fail."""
    with db.sink(schema, **options):
        pass


# ---------------------------------------------------------------- units and tokens

@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_batches_of_a_unit_arrive_as_one_block(either, compression):
    make(either)
    with either.sink(TRADES, compression=compression) as s:
        s.begin()
        s.write(trades(3))
        s.write(trades(4, 3).slice(1, 2))
        s.write(trades(0))
        assert either.value("SELECT count() FROM t") == "0"
        s.send(s.seal())
        assert ids(either) == [0, 1, 2, 4, 5]
        assert either.value("SELECT count() FROM system.parts WHERE table = 't' AND active"
                            f" AND database = '{either.name}'") == "1"


def test_nothing_is_compressed_for_a_server_on_this_machine(either):
    make(either)
    sizes = {}
    for compression in ("auto", *COMPRESSIONS):
        with either.sink(TRADES, compression=compression) as s:
            sizes[compression] = len(s.insert(trades(5000)))
    assert sizes["auto"] == sizes["none"] > max(sizes["lz4"], sizes["zstd"])


def test_a_block_that_is_sent_again_is_dropped(db):
    make(db, end=WINDOW)
    with db.sink(TRADES) as s:
        block = s.insert(trades(3), token="p_s_1")
        s.send(block, "p_s_1")
        assert ids(db) == [0, 1, 2]
    with db.sink(TRADES) as another:  # a later process
        another.send(block, "p_s_1")
        assert ids(db) == [0, 1, 2]
        another.insert(trades(2, 3), token="p_s_2")
        assert ids(db) == [0, 1, 2, 3, 4]


def test_equal_rows_and_equal_labels_are_not_taken_for_the_same_block(db):
    """A fresh state folder counts its labels from 1 again."""
    make(db, end=WINDOW)
    for _ in range(2):
        with db.sink(TRADES) as s:
            s.insert(trades(2), token="p_s_1")
    assert ids(db) == [0, 0, 1, 1]


def test_18_16_repeats_a_block_and_says_so(old):
    make(old)
    with old.sink(TRADES) as s:
        s.send(s.insert(trades(2)))
        assert ids(old) == [0, 0, 1, 1]
        assert any("at least once: version 18.16" in text for _, text in s.logs)
    assert "no insert_deduplication_token" in fails(BADCONF, started, old,
                                                    delivery="exactly_once").msg


def test_aborted_units_leave_nothing(either):
    make(either)
    with either.sink(TRADES) as s:
        s.begin()
        s.write(trades(3))
        s.abort()
        s.insert(trades(1, 7))
        assert ids(either) == [7]


# ---------------------------------------------------------------- refused rows

def test_refused_rows_are_named_and_the_others_go_on(either):
    make(either, "id UInt8, name String")
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    rows = batch(schema, [(1, "a"), (256, "b"), (2, None), (-1, "c"), (255, "d")])
    with either.sink(schema) as s:
        s.insert(rows)
        assert [(row, code, column) for _, row, code, _, column in s.rejects] == [
            (1, "22003", "id"), (3, "22003", "id"), (2, "23502", "name")]
    assert ids(either) == [1, 255]


def test_nulls_may_become_defaults(either):
    make(either)
    with either.sink(TRADES, nulls="default") as s:
        s.insert(batch(TRADES, [(None, None), (1, "a")]))
        assert s.rejects == []
    assert either.rows("SELECT toString(id), name FROM t ORDER BY id") == [["0", ""], ["1", "a"]]


# ---------------------------------------------------------------- at start

def test_missing_table_and_missing_column_are_named(either):
    assert "table t does not exist" in fails(BADCONF, started, either).msg
    make(either, "id Int64")
    assert "no column name" in fails(BADCONF, started, either).msg


def test_computed_columns_are_not_sent(either):
    make(either, "id Int64, name String, twice Int64 MATERIALIZED id * 2, more Int64 ALIAS id + 1")
    with either.sink(TRADES) as s:
        s.insert(trades(2))
    assert either.rows("SELECT toString(twice), toString(more) FROM t ORDER BY id") == [
        ["0", "1"], ["2", "2"]]
    schema = pa.schema([("id", pa.int64()), ("name", pa.string()), ("twice", pa.int64())])
    assert "twice of t is computed" in fails(BADCONF, started, either, schema).msg


def test_columns_that_the_pipeline_has_not_get_their_defaults(either):
    make(either, "id Int64, name String, note String DEFAULT concat('d', name), n Nullable(Int8)")
    with either.sink(TRADES) as s:
        s.insert(trades(1))
    assert either.rows("SELECT note, n FROM t") == [["dn0", None]]


def test_a_server_that_is_not_there_is_waited_for(db):
    failure = fails(RETRY, started, db, url="http://127.0.0.1:1/")
    assert failure.unreachable and "127.0.0.1:1" in failure.msg


def test_a_wrong_password_is_no_secret_and_no_end(old):
    make(old)
    url = old.url.replace("millrace-test-password", "wrong-password")
    failure = fails(RETRY, started, old, url=url)
    assert failure.unreachable and "wrong-password" not in failure.msg and failure.code == "193"
