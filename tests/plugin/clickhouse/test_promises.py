# SPDX-License-Identifier: Apache-2.0
"""What a table promises, answers that are lost, versions, columns that come, discover and check."""

import json
import re

import pyarrow as pa
import pytest

from abi import BADCONF, FATAL, FENCED, RETRY, Failure, batch
from servers.http_faults import FAULTS, NEVER_EXECUTED, SHOWN, HttpFaults
from test_clickhouse_sink import COMPRESSIONS, TRADES, WINDOW, fails, ids, make, started, trades

CHANGES = pa.schema([("id", pa.int64()), ("v", pa.string()), ("_op", pa.string())])


# ---------------------------------------------------------------- the window

def test_check_says_what_a_table_promises(db):
    make(db)
    with db.sink(TRADES) as s:
        assert any("deduplication_window = 0" in text for _, text in s.logs)
        line = s.check()
    assert "ClickHouse 26." in line and f"127.0.0.1:{db.server.port}" in line
    assert "at least once: non_replicated_deduplication_window = 0" in line
    assert "MODIFY SETTING non_replicated_deduplication_window" in line
    db.query("ALTER TABLE t MODIFY SETTING non_replicated_deduplication_window = 7")
    with db.sink(TRADES) as s:
        assert s.logs == [] and "exactly once within the last 7 blocks" in s.check()


def test_the_advice_of_check_works(db):
    make(db)
    with db.sink(TRADES) as s:
        db.query(s.check().split("(")[1].split(" makes")[0])
    with db.sink(TRADES, delivery="exactly_once") as s:
        s.send(s.insert(trades(2)))
    assert ids(db) == [0, 1]


def test_exactly_once_is_refused_where_it_is_not(db):
    make(db)
    assert "window = 0" in fails(BADCONF, started, db, delivery="exactly_once").msg
    db.query("CREATE TABLE m (id Int64, name String) ENGINE = Memory")
    failure = fails(BADCONF, started, db, table="m", delivery="exactly_once")
    assert "engine Memory remembers no blocks" in failure.msg and failure.option == "delivery"


def test_at_least_once_that_was_asked_for_is_no_warning(db):
    make(db)
    with db.sink(TRADES, delivery="at_least_once") as s:
        assert s.logs == []


def test_blocks_over_several_partitions_come_once(db):
    """More of them than max_partitions_per_insert_block; each counts in the window."""
    make(db, end=WINDOW.replace("100", "1000"), engine="MergeTree PARTITION BY id ORDER BY id")
    with db.sink(TRADES) as s:
        block = s.insert(trades(120))
        s.send(block)
    assert ids(db) == list(range(120))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_large_block_stays_one(db, compression):
    """Larger than what the server would cut text into, and than a compressed frame."""
    schema = pa.schema([("id", pa.int64())])
    make(db, "id Int64", WINDOW)
    rows = pa.record_batch([pa.array(range(2_200_000), pa.int64())], schema=schema)
    with db.sink(schema, compression=compression) as s:
        s.send(s.insert(rows))
        assert s.sink.window(s.self) == 0 and s.sink.unit_rows == 1_000_000
    assert db.value("SELECT count(), uniqExact(id) FROM t") == "2200000\t2200000"
    assert db.value("SELECT count() FROM system.parts WHERE active AND table = 't' AND"
                    f" database = '{db.name}'") == "1"


def test_a_block_is_not_sent_again_when_half_of_the_window_has_passed(db):
    make(db, end=WINDOW.replace("100", "10"))
    with db.sink(TRADES) as s:
        block = s.insert(trades(2))
        assert s.to_keep
        for i in range(4):
            db.query(f"INSERT INTO t VALUES ({10 + i}, 'other')")
        s.send(block)  # the fifth block is its own; that it came again counts, too
        db.query("INSERT INTO t VALUES (14, 'other')")
        failure = fails(FENCED, s.send, block)
        assert re.search(r"\d blocks have come into t .*remembers 10", failure.msg)
    with db.sink(TRADES) as s:  # another process knows it, too
        assert "blocks have come" in fails(FENCED, s.send, block).msg
    assert ids(db) == [0, 1, 10, 11, 12, 13, 14]


def test_blocks_of_many_partitions_pass_the_window_as_often(db):
    make(db, end=WINDOW.replace("100", "10"), engine="MergeTree PARTITION BY id ORDER BY id")
    with db.sink(TRADES) as s:
        block = s.insert(trades(3))
        s.send(block)
        s.insert(trades(3, 10), token="other")
        assert "blocks have come" in fails(FENCED, s.send, block).msg


def test_what_would_not_be_known_again_is_not_kept(either):
    make(either)
    with either.sink(TRADES) as s:
        block = s.insert(trades(2))
        assert not s.to_keep
        s.send(block)
    assert ids(either) == [0, 0, 1, 1]


def test_views_get_a_block_once(db):
    make(db, end=WINDOW)
    db.query("CREATE TABLE sums (n UInt64) ENGINE = MergeTree ORDER BY n " + WINDOW)
    db.query("CREATE MATERIALIZED VIEW v TO sums AS SELECT count() AS n FROM t")
    with db.sink(TRADES) as s:
        s.send(s.insert(trades(5)))
    assert db.value("SELECT sum(n) FROM sums") == "5"


# ---------------------------------------------------------------- answers that do not come

@pytest.mark.parametrize("fault", FAULTS)
def test_an_insert_without_an_answer_is_sent_again(db, fault):
    make(db, end=WINDOW)
    with HttpFaults(db.server.port) as proxy:
        proxy.delay = 6.0
        url = db.server.database_url(db.name, proxy.port)
        passes = SHOWN[fault] == "timed out"  # the deadline, which else is for slow machines
        with db.sink(TRADES, url=url, insert_timeout="2s" if passes else "60s") as s:
            s.begin()
            s.write(trades(4))
            block = s.seal()
            proxy.spoil(1, fault)
            failure = fails(RETRY, s.send, block)
            assert f":{proxy.port}" in failure.msg and "INSERT" in failure.msg
            assert "millrace-test-password" not in failure.msg
            assert re.search(SHOWN[fault], failure.msg), failure.msg
            assert ids(db) == ([] if fault in NEVER_EXECUTED else [0, 1, 2, 3])
            s.send(block)
            assert ids(db) == [0, 1, 2, 3]


def test_passwords_are_in_no_address(db):
    make(db, end=WINDOW)
    with HttpFaults(db.server.port) as proxy:
        with db.sink(TRADES, url=db.server.database_url(db.name, proxy.port)) as s:
            s.insert(trades(1))
        assert proxy.requests and all("password" not in path for path, _ in proxy.requests)


def test_a_call_that_should_end_ends(db):
    make(db, end=WINDOW)
    with HttpFaults(db.server.port) as proxy:
        proxy.delay = 20.0
        with db.sink(TRADES, url=db.server.database_url(db.name, proxy.port)) as s:
            s.begin()
            s.write(trades(1))
            block = s.seal()
            proxy.spoil(1, "late")
            s.wake()
            failure = fails(RETRY, s.send, block)
            assert "the pipeline ends" in failure.msg


def test_a_kept_block_is_sent_whatever_the_file_says_now(db):
    make(db, end=WINDOW)
    with db.sink(TRADES) as s:
        s.begin()
        s.write(trades(3))
        block = s.seal()
    make_other = "CREATE TABLE other (x UInt8) ENGINE = MergeTree ORDER BY x " + WINDOW
    db.query(make_other)
    other = pa.schema([("x", pa.uint8())])
    with db.sink(other, table="other") as s:
        s.send(block)
    assert ids(db) == [0, 1, 2]


def test_a_damaged_block_stops(db):
    make(db, end=WINDOW)
    with db.sink(TRADES) as s:
        block = s.insert(trades(3))
        for damaged in (b"", block[:20], b"x" * 60, block[:60]):
            fails(FATAL, s.send, damaged)


def test_a_table_that_has_gone_stops_the_pending_block(db):
    make(db, end=WINDOW)
    with db.sink(TRADES) as s:
        s.begin()
        s.write(trades(1))
        block = s.seal()
        db.query("DROP TABLE t SYNC")
        failure = fails(FATAL, s.send, block)
        assert failure.code == "60"


def test_a_column_that_changes_before_the_seal_makes_the_unit_anew(either):
    make(either)
    with either.sink(TRADES) as s:
        s.begin()
        s.write(trades(2))
        either.query("ALTER TABLE t MODIFY COLUMN name Nullable(String)")
        failure = fails(RETRY, s.seal)
        assert failure.unit_lost
        s.insert(trades(2))
    assert ids(either) == [0, 1]


# ---------------------------------------------------------------- upsert

def changes(*rows):
    return batch(CHANGES, rows)


def live(db):
    return [tuple(r) for r in db.rows("SELECT toString(id), v FROM t FINAL ORDER BY id")]


def upsert(db, **options):
    return db.sink(CHANGES, mode="upsert", key=["id"], create=True, **options)


def put(s, upto, *rows):
    made = s.batch(changes(*rows))
    made.upto = type(made.upto).of(upto)
    s.begin()
    s.write(made)
    s.send(s.seal(), f"l{upto}")


def test_the_last_change_of_a_key_stays(db):
    with upsert(db) as s:
        put(s, 10, (1, "a", "insert"), (2, "b", None), (1, "c", "update"))
        assert live(db) == [("1", "c"), ("2", "b")]
        put(s, 12, (2, None, "delete"), (3, "d", "insert"))
        assert live(db) == [("1", "c"), ("3", "d")]
        put(s, 13, (2, "back", "insert"))
        assert live(db) == [("1", "c"), ("2", "back"), ("3", "d")]
    assert "ReplacingMergeTree(_version, _is_deleted)" in db.ddl()


def test_changes_that_are_read_again_do_not_win_over_later_ones(db):
    """A fresh start from the beginning: old positions make old versions."""
    with upsert(db) as s:
        put(s, 10, (1, "old", "insert"))
        put(s, 20, (1, "new", "update"))
        put(s, 10, (1, "old", "insert"))
        assert live(db) == [("1", "new")]
    with upsert(db) as s:
        put(s, 10, (1, "old", "insert"))
    assert live(db) == [("1", "new")]


def test_18_16_keeps_the_last_version_and_marks_what_is_deleted(old):
    """Its ReplacingMergeTree has no is_deleted: deleted rows stay, with 1 in _is_deleted."""
    with upsert(old) as s:
        put(s, 10, (1, "old", "insert"), (2, "b", "insert"))
        put(s, 20, (1, "new", "update"), (2, None, "delete"))
        put(s, 10, (1, "old", "insert"), (2, "b", "insert"))  # read again
    found = old.rows("SELECT toString(id), v, toString(_is_deleted) FROM t FINAL ORDER BY id")
    assert found == [["1", "new", "0"], ["2", None, "1"]]
    assert "ReplacingMergeTree(_version)" in old.ddl()


def test_slices_of_a_batch_keep_their_order(db):
    """A unit that is written again goes in slices around its dead rows."""
    with upsert(db) as s:
        rows = s.batch(changes(*[(1, f"v{i}", None) for i in range(8)]))
        rows.upto = type(rows.upto).of(9)
        s.begin()
        s.write(rows)
        tail = s.batch(changes((1, "last", None)))
        tail.upto = type(tail.upto).of(9)
        s.write(tail)
        s.send(s.seal())
    assert live(db) == [("1", "last")]


def test_a_delete_needs_only_its_key(db):
    db.query("CREATE TABLE t (id Int64, v String, ver UInt64, gone UInt8) "
             "ENGINE = ReplacingMergeTree(ver, gone) ORDER BY id " + WINDOW)
    with upsert(db) as s:
        put(s, 5, (1, "a", None), (2, None, None), (None, None, "delete"))
        put(s, 6, (1, None, "delete"), (3, "c", None))
        assert [(code, row) for _, row, code, *_ in s.rejects] == [("23502", 2), ("23502", 1)]
    assert live(db) == [("3", "c")]


def test_a_column_may_be_the_version(db):
    schema = pa.schema([("id", pa.int64()), ("v", pa.string()), ("seq", pa.uint32())])
    with db.sink(schema, mode="upsert", key=["id"], create=True, version="seq",
                 order_by=["id"]) as s:
        s.insert(batch(schema, [(1, "new", 9), (1, "late", 3)]))
    assert live(db) == [("1", "new")]


def test_positions_that_are_no_numbers_need_a_version_column(db):
    with upsert(db) as s:
        s.begin()
        assert fails(BADCONF, s.write, changes((1, "a", None))).option == "version"


def test_upsert_wants_a_table_with_versions(db):
    make(db)
    assert "ReplacingMergeTree" in fails(BADCONF, started, db, mode="upsert", key=["id"]).msg
    db.query("CREATE TABLE r (id Int64, name String, ver UInt64) "
             "ENGINE = ReplacingMergeTree(ver) ORDER BY id")
    schema = pa.schema([*TRADES, ("_op", pa.string())])
    with db.sink(schema, table="r", mode="upsert", key=["id"]) as s:
        rows = s.batch(batch(schema, [(1, "a", None), (1, None, "delete")]))
        rows.upto = type(rows.upto).of(2)
        s.begin()
        s.write(rows)
        assert [(row, code) for _, row, code, *_ in s.rejects] == [(1, "0A000")]
    assert fails(BADCONF, started, db, schema, table="r", mode="upsert").option == "key"


# ---------------------------------------------------------------- columns that come and change

ID = [("id", pa.int64())]
DECIMAL = pa.decimal128
ADDED = [("s", pa.string(), "a", "a"), ("l", pa.list_(pa.int8()), [1], "[1]"),
         ("d", DECIMAL(18, 2), None, None), ("u", pa.uint64(), 2**64 - 1, str(2**64 - 1))]


@pytest.mark.parametrize("name, kind, value, text", ADDED, ids=[a[0] for a in ADDED])
def test_new_columns_are_added(db, name, kind, value, text):
    make(db, "id Int64", WINDOW)
    with db.sink(pa.schema(ID), evolve="add") as s:
        s.insert(batch(pa.schema(ID), [(0,)]))
        wider = pa.schema([*ID, (name, kind)])
        s.evolve(wider)
        s.evolve(wider)  # may come twice
        s.insert(batch(wider, [(1, value)]))
    assert db.rows(f"SELECT toString({name}) FROM t ORDER BY id")[1] == [text]
    assert len(db.rows(f"SELECT {name} FROM t")) == 2


def test_columns_that_are_missing_at_start_are_added(either):
    make(either, "id Int64")
    with either.sink(TRADES, evolve="add") as s:
        s.insert(trades(1))
    assert either.rows("SELECT toString(id), name FROM t") == [["0", "n0"]]


def test_without_evolve_new_columns_are_left_out_and_named(db):
    make(db, "id Int64", WINDOW)
    with db.sink(pa.schema(ID)) as s:
        s.evolve(TRADES)
        s.insert(trades(2))
        assert any("left out (evolve: none): name" in text for _, text in s.logs)
    assert ids(db) == [0, 1]


WIDENED = [("Int32", pa.int64(), 2**40, "Int64"), ("UInt8", pa.int32(), -5, "Int32"),
           ("Nullable(Float32)", pa.float64(), 0.1, "Nullable(Float64)"),
           ("Decimal(9, 2)", DECIMAL(18, 2), None, "Decimal(18, 2)")]


@pytest.mark.parametrize("before, kind, value, after", WIDENED, ids=[w[0] for w in WIDENED])
def test_types_are_widened(db, before, kind, value, after):
    make(db, f"id Int64, v {before}", WINDOW)
    wider = pa.schema([*ID, ("v", kind)])
    with db.sink(pa.schema(ID), evolve="full") as s:
        s.evolve(wider)
        if value is not None:
            s.insert(batch(wider, [(0, value)]))
            assert s.rejects == []
    assert db.value(f"SELECT type FROM system.columns WHERE database = '{db.name}'"
                    " AND table = 't' AND name = 'v'") == after


KEPT = [("Int64", pa.int32()), ("Int64", pa.uint64()), ("String", pa.int64()),
        ("Decimal(18, 4)", DECIMAL(18, 2))]


@pytest.mark.parametrize("column, kind", KEPT, ids=[k[0] + str(k[1]) for k in KEPT])
def test_nothing_is_narrowed(db, column, kind):
    make(db, f"id Int64, v {column}", WINDOW)
    with db.sink(pa.schema(ID), evolve="full") as s:
        s.evolve(pa.schema([*ID, ("v", kind)]))
    assert db.value(f"SELECT type FROM system.columns WHERE database = '{db.name}'"
                    " AND table = 't' AND name = 'v'") == column


def test_a_column_that_no_longer_comes_stays(db):
    make(db, "id Int64, name Nullable(String)", WINDOW)
    with db.sink(TRADES, evolve="full") as s:
        s.insert(trades(1))
        s.evolve(pa.schema(ID))
        s.insert(batch(pa.schema(ID), [(1,)]))
    assert db.rows("SELECT name FROM t ORDER BY id") == [["n0"], [None]]


# ---------------------------------------------------------------- creating, discover, check

def test_a_table_is_created_once_with_a_window(db):
    for _ in range(2):
        with db.sink(TRADES, create=True, order_by=["id"], partition_by="id % 2",
                     delivery="exactly_once", window="77") as s:
            s.insert(trades(4))
    assert "non_replicated_deduplication_window = 77" in db.ddl()
    assert "PARTITION BY id % 2" in db.ddl() and ids(db) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_tables_without_an_order(either):
    with either.sink(TRADES, create=True) as s:
        s.insert(trades(2))
    assert ids(either) == [0, 1]


def test_discover_lists_tables_and_columns(either):
    make(either, "id UInt64, d Nullable(Decimal(18, 4)), l Array(String), at DateTime('UTC'), e "
         "Enum8('a' = 1)")
    with either.sink(None) as s:
        tables = [json.loads(line)["table"] for line in s.discover().splitlines()]
        columns = [json.loads(line) for line in s.discover(f"{either.name}.t").splitlines()]
        failure = fails(BADCONF, s.discover, "nowhere")
    assert f"{either.name}.t" in tables and not [t for t in tables if t.startswith("system.")]
    assert [(c["column"], c["type"], c["nullable"]) for c in columns] == [
        ("id", "uint64", False), ("d", "decimal(18,4)", True), ("l", "list<utf8>", False),
        ("at", "timestamptz", False), ("e", "utf8", False)]
    assert columns[1]["source_type"].replace(" ", "") == "Nullable(Decimal(18,4))"
    assert "table nowhere does not exist" in failure.msg


def test_check_finds_what_start_would_find(either):
    with either.sink(None) as s:
        s.schema = None
    made = either.sink(TRADES)
    try:
        assert "table t does not exist" in fails(BADCONF, made.check).msg
        make(either, "id Int64")
        assert "no column name" in fails(BADCONF, made.check).msg
    finally:
        made.close()


def test_a_missing_database_is_waited_for(either):
    failure = fails(RETRY, started, either, url=either.server.database_url("nowhere"))
    assert failure.unreachable and failure.code == "81"


@pytest.mark.parametrize("options, option", [
    ({"url": "ftp://h/"}, "url"), ({"table": "a.b.c"}, "table"), ({"mode": "upsert"}, "key"),
    ({"version": "v"}, "version")])
def test_wrong_options_are_named(db, options, option):
    assert fails(BADCONF, started, db, **options).option == option
