# SPDX-License-Identifier: Apache-2.0
"""The mysql sink against a real MariaDB: units, positions, bad rows, lost connections."""

import os
import signal
import time

import pyarrow as pa
import pytest

import saved
from abi import BADCONF, FATAL, FENCED, REJECT, RETRY, UNSURE, Failure, SinkUnderTest, batch, halve

TRADES = pa.schema([("id", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", "UTC"))])


def trades(n, first=0):
    return batch(TRADES, [(i, f"n{i}", 1700000000000000 + i) for i in range(first, first + n)])


@pytest.fixture
def table(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, name varchar(20), at datetime(6))")
    return db


def sink(db, schema=TRADES, url=None, **options):
    return SinkUnderTest("mysql", schema, url=url or db.url, **{"table": "t", **options})


@pytest.fixture
def made(table):
    """A started sink with lane 0 at position 0, owner 1."""
    with sink(table) as s:
        s.found({"0": 0})
        yield s


def ids(db):
    return [i for (i,) in db.sql("SELECT id FROM t ORDER BY id")]


def fails(status, call, *arguments):
    with pytest.raises(Failure) as caught:
        call(*arguments)
    assert caught.value.status == status, caught.value
    return caught.value


# ---------------------------------------------------------------- units and positions

@pytest.mark.parametrize("method", ["load", "insert"])
def test_rows_and_position_arrive_together(table, method):
    with sink(table, method=method) as s:
        assert s.take(["0"]) == {}
        s.found({"0": 100})
        assert s.take(["0"]) == {"0": (100, 2, 0, 100, 0)}
        unit = s.unit({"0": (100, 103, 2, 3)}, run=7)
        s.begin(unit)
        s.write(trades(3))
        assert table.value("SELECT count(*) FROM t") == 0
        s.commit(unit)
        assert table.sql("SELECT id, name, cast(at AS char) FROM t ORDER BY id") == [
            (i, f"n{i}", f"2023-11-14 22:13:20.00000{i}") for i in range(3)]
        assert s.take(["0"]) == {"0": (103, 3, 3, 100, 7)}


def test_many_lanes_in_one_unit(table):
    lanes = {f"it's\\{i}": (0, i + 1, 1, 0) for i in range(450)}
    with sink(table) as s:
        s.found({name: 0 for name in lanes})
        unit = s.unit(lanes)
        s.begin(unit)
        s.write(trades(10))
        s.commit(unit)
        got = s.take(list(lanes))
        assert {name: v[0] for name, v in got.items()} == {n: v[1] for n, v in lanes.items()}


def test_lanes_that_differ_in_case_or_blanks_are_different(table):
    with sink(table) as s:
        s.found({"a": 1, "A": 2, "a ": 3})
        assert {n: v[0] for n, v in s.take(["a", "A", "a "]).items()} == {"a": 1, "A": 2, "a ": 3}


def test_one_connection_and_one_lane_row_for_many_units(table, made):
    at, first = 0, table.sessions()
    for i in range(100):
        at = made.put(trades(2, 2 * i), at)
    assert ids(table) == list(range(200)) and table.sessions() == first
    assert table.sql("SELECT lane, owner, rows_total FROM millrace_offsets") == [(b"0", 1, 200)]


def test_unit_without_rows_moves_the_position(table, made):
    unit = made.unit({"0": (0, 9, 1, 0)})
    made.begin(unit)
    made.commit(unit)
    assert made.take(["0"])["0"][0] == 9


def test_setting_the_same_position_counts_as_found(table, made):
    """Without CLIENT_FOUND_ROWS an update that changes nothing would count as a miss."""
    table.sql("ALTER TABLE millrace_offsets MODIFY updated_at timestamp NOT NULL DEFAULT '2001-01-01'")
    unit = made.unit({"0": (0, 0, 1, 0)}, run=0)
    for _ in range(2):
        made.begin(unit)
        made.commit(unit)


def test_found_twice_is_fenced(table, made):
    assert fails(FENCED, made.found, {"0": 5}).code == "23000"
    assert made.take(["0"])["0"][:2] == (0, 2)


def test_a_stolen_lane_is_not_written(table, made):
    unit = made.unit({"0": (0, 3, 1, 3)})
    made.begin(unit)
    made.write(trades(3))
    table.sql("UPDATE millrace_offsets SET owner = owner + 1")
    assert fails(FENCED, made.commit, unit).code == "owner"
    assert ids(table) == []


def test_a_moved_position_is_not_written(table, made):
    unit = made.unit({"0": (1, 3, 1, 3)})
    made.begin(unit)
    made.write(trades(3))
    assert fails(FENCED, made.commit, unit).code == "position"
    assert ids(table) == []


def test_a_vanished_lane_row_is_an_error(table, made):
    table.sql("DELETE FROM millrace_offsets")
    unit = made.unit({"0": (0, 3, 1, 3)})
    made.begin(unit)
    assert fails(FATAL, made.commit, unit).code == "vanished"


def test_state_of_transforms_is_kept_with_the_position(table):
    with sink(table) as s:
        s.found({"a": 0})
        saved.is_kept(s, 1 << 20)
        saved.is_kept_for_many_lanes(s)


def test_an_older_table_gets_the_column_for_state(table):
    saved.column_is_added(table, lambda **options: sink(table, **options), 'longblob')


def test_abort_leaves_nothing(table, made):
    unit = made.unit({"0": (0, 3, 1, 3)})
    made.begin(unit)
    made.write(trades(3))
    made.abort(unit)
    made.put(trades(2, 10))
    assert ids(table) == [10, 11]


def test_reread_raises_the_owner_and_tells_the_position(table, made):
    made.put(trades(3))
    unit = made.unit({"0": (0, 3, 1, 3)})
    assert made.reread(unit) == {"0": (3, 2, 3, 0, 1)}
    assert fails(FENCED, made.reread, unit).code == "owner"


# ---------------------------------------------------------------- rows that the server refuses

def rewrite(s, record, unit):
    """What the engine does with rows that lost their unit; the rows that were refused."""
    s.begin(unit)
    with pytest.raises(Failure) as caught:
        s.write(record)
        s.flush()
    assert caught.value.status == REJECT and caught.value.unit_lost
    s.abort(unit)
    s.begin(unit)
    dead = []
    halve(s, record, 0, dead)
    s.commit(unit)
    return dead


BAD = pa.schema([("id", pa.int64()), ("v", pa.string())])


@pytest.mark.parametrize("method", ["load", "insert"])
def test_every_kind_of_refused_row_is_found_and_the_others_land(db, method):
    db.sql("CREATE TABLE p (n bigint PRIMARY KEY)")
    db.sql("INSERT INTO p SELECT seq FROM seq_1_to_3000 WHERE seq % 500 <> 17")
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, v enum('a','b'), CHECK (id <> 7 AND id % 400 <> 9),"
           " FOREIGN KEY (id) REFERENCES p (n))")
    db.sql("INSERT INTO t VALUES (33, 'a')")
    values = [(i, "a") for i in range(1, 2001)]
    values[99] = (100, "no such word")
    values[1499] = (1500, "neither")
    values[500] = (40, "b")  # twice in the batch
    bad = {i - 1 for i in range(1, 2001) if i == 7 or i % 400 == 9 or i % 500 == 17}
    bad |= {32, 99, 1499, 500}
    with sink(db, BAD, method=method) as s:
        s.found({"0": 0})
        record = batch(BAD, values)
        unit = s.unit({"0": (0, 2000, 1, 2000)})
        dead = rewrite(s, record, unit)
        assert sorted(dead) == sorted(bad)
        assert method == "insert" or len(s.rejects) == len(bad)  # all at once, by their numbers
        assert all("no such word" not in msg and "'40'" not in msg for *_, msg, _ in s.rejects)
    assert ids(db) == sorted({33} | {values[i][0] for i in range(2000) if i not in bad})
    assert db.value("SELECT v FROM t WHERE id = 40") == "a"


def test_nothing_is_cut_rounded_or_filled_in(db):
    """Each of these the server would take with a warning, or without a word."""
    db.sql("CREATE TABLE t (c char(3), b binary(2), d decimal(5,2), at datetime, n int unsigned, y tinyint,"
           " i int NOT NULL AUTO_INCREMENT, KEY (i), f float)")
    schema = pa.schema([("c", pa.string()), ("b", pa.binary()), ("d", pa.decimal128(9, 4)),
                        ("at", pa.timestamp("us")), ("n", pa.int64()), ("y", pa.int64()), ("i", pa.int64()),
                        ("f", pa.float64())])
    good = ["äöü", b"\0\1", "1.2500", 1_000_000, 7, -128, 0, 1.5]
    wrong = [(0, "abcd", "22001"), (1, b"\1", "22001"), (2, "1.2345", "22003"), (2, "1000.0000", "22003"),
             (3, 1_000_001, "22008"), (4, -1, "22003"), (4, 2**32, "22003"), (5, 128, "22003"),
             (6, None, "23502"), (7, float("nan"), "22003"), (7, 1e39, "22003")]
    import decimal
    rows = [list(good)]
    for column, value, _ in wrong:
        rows.append(list(good))
        rows[-1][column] = value
    for row in rows:
        row[2] = decimal.Decimal(row[2])
    with sink(db, schema) as s:
        s.found({"0": 0})
        s.put(batch(schema, [tuple(r) for r in rows]))
        assert [(row, code, column) for _, row, code, _, column in s.rejects] == [
            (k + 1, code, schema.names[column]) for k, (column, _, code) in enumerate(wrong)]
    assert db.sql("SELECT c, b, d, cast(at AS char), n, y, i, f FROM t") == [
        ("äöü", b"\0\1", decimal.Decimal("1.25"), "1970-01-01 00:00:01", 7, -128, 0, 1.5)]


def test_a_column_that_changed_meanwhile_is_noticed(table, made):
    at = made.put(trades(1))
    table.sql("ALTER TABLE t MODIFY name varchar(3), MODIFY id int")
    unit = made.unit({"0": (at, at + 2, 1, 2)})
    made.begin(unit)
    made.write(batch(TRADES, [(5, "abc", 0), (6, "abcd", 0)]))
    made.commit(unit)
    assert ids(table) == [0, 5] and [r[2] for r in made.rejects] == ["22001"]


# ---------------------------------------------------------------- upsert

OPS = pa.schema([("id", pa.string()), ("v", pa.int64()), ("_op", pa.string())])


@pytest.mark.parametrize("method", ["load", "insert"])
@pytest.mark.parametrize("other", ["", ", UNIQUE (v)"])
def test_the_last_row_of_each_key_wins_and_deletes_delete(db, method, other):
    db.sql(f"CREATE TABLE t (id varchar(10) PRIMARY KEY, v bigint, kept int DEFAULT 5{other})")
    db.sql("INSERT INTO t VALUES ('old', 1, 9), ('gone', 2, 9)")
    with sink(db, OPS, mode="upsert", key=["id"], method=method) as s:
        s.found({"0": 0})
        at = s.put(batch(OPS, [("a", 10, "insert"), ("a", 11, "update"), ("b", 20, None),
                               ("gone", None, "delete"), ("old", 30, "update"), ("c", 40, "insert"),
                               ("c", None, "delete"), ("b", None, "delete"), ("b", 21, "insert")]))
        assert db.sql("SELECT * FROM t ORDER BY id") == [("a", 11, 5), ("b", 21, 5), ("old", 30, 9)]
        s.put(batch(OPS, [("old", None, "delete")]), at)
        assert db.sql("SELECT * FROM t ORDER BY id") == [("a", 11, 5), ("b", 21, 5)]


def test_another_unique_index_never_sends_a_row_elsewhere(db):
    """ON DUPLICATE KEY UPDATE would change the row that has the same v."""
    db.sql("CREATE TABLE t (id varchar(10) PRIMARY KEY, v bigint UNIQUE)")
    db.sql("INSERT INTO t VALUES ('x', 1)")
    with sink(db, OPS, mode="upsert", key=["id"]) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 1, 1, 1)})
        s.begin(unit)
        s.write(batch(OPS, [("y", 1, "insert")]))
        assert fails(REJECT, s.commit, unit).code == "23000"
    assert db.sql("SELECT * FROM t") == [("x", 1)]


def test_upsert_needs_a_unique_index_on_the_whole_key(db):
    db.sql("CREATE TABLE t (id varchar(10), v bigint, UNIQUE (id(3)))")
    s = sink(db, OPS, mode="upsert", key=["id"])
    assert fails(BADCONF, s.__enter__).option == "key"


# ---------------------------------------------------------------- tables

def test_a_table_without_transactions_is_refused(db):
    db.sql("CREATE TABLE t (id bigint) ENGINE=Aria")
    f = fails(BADCONF, sink(db, pa.schema([("id", pa.int64())])).__enter__)
    assert "Aria" in f.msg and f.option == "table"


def test_missing_table_and_columns_are_named(db):
    f = fails(BADCONF, sink(db).__enter__)
    assert f.code == "42S02" and "create: true" in f.msg
    db.sql("CREATE TABLE t (id bigint, needed int NOT NULL)")
    assert "name, at" in fails(BADCONF, sink(db).__enter__).msg
    db.sql("ALTER TABLE t ADD (name text, at datetime(6))")
    assert "needed" in fails(BADCONF, sink(db).__enter__).msg
    db.sql("ALTER TABLE t DROP needed, MODIFY at date")
    assert "column at of t has type date" in fails(BADCONF, sink(db).__enter__).msg


def test_columns_are_added_and_widened(db):
    db.sql("CREATE TABLE t (id int NOT NULL DEFAULT 7 COMMENT 'it''s', name varchar(3) CHARACTER SET latin1)")
    wide = pa.schema([("id", pa.int64()), ("name", pa.string()), ("extra", pa.decimal128(20, 2))])
    with sink(db, pa.schema([("id", pa.int32())]), evolve="full") as s:
        s.found({"0": 0})
        s.evolve(wide)
        s.evolve(wide)
        s.put(batch(wide, [(2**40, "longer than before", None)]))
        assert [c for c in db.sql("SHOW FULL COLUMNS FROM t") if c[0] == "id"][0][1:6:4] == ("bigint(20)", "7")
    assert db.sql("SELECT * FROM t") == [(2**40, "longer than before", None)]
    assert db.value("SELECT column_comment FROM information_schema.columns WHERE table_schema = DATABASE()"
                    " AND column_name = 'id' AND table_name = 't'") == "it's"


# ---------------------------------------------------------------- sessions

def test_the_session_is_strict_utc_and_utf8mb4(table, log):
    table.server.sql("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PIPES_AS_CONCAT'")
    try:
        with sink(table, method="insert") as s:
            s.found({"it's \\": 0})
            s.put(batch(TRADES, [(1, "a'b\\c\"😀", 0)]), lane="it's \\")
    finally:
        table.server.sql("SET GLOBAL sql_mode = DEFAULT")
    assert table.sql("SELECT name, cast(at AS char) FROM t") == [("a'b\\c\"😀", "1970-01-01 00:00:00.000000")]


def test_local_infile_is_used_only_where_it_is_allowed(table, log):
    table.server.sql("SET GLOBAL local_infile = 0")
    try:
        with sink(table) as s:
            s.found({"0": 0})
            s.put(trades(3))
            assert any("local_infile is off" in text for _, text in s.logs)
        assert fails(BADCONF, sink(table, method="load").__enter__).option == "method"
    finally:
        table.server.sql("SET GLOBAL local_infile = 1")
    assert ids(table) == [0, 1, 2] and "LOAD DATA" not in log()


def test_a_row_larger_than_a_packet_is_rejected_and_no_other(db):
    db.sql("CREATE TABLE t (id int PRIMARY KEY, v longtext)")
    schema = pa.schema([("id", pa.int32()), ("v", pa.string())])
    db.server.sql("SET GLOBAL max_allowed_packet = 1048576")
    try:
        with sink(db, schema, method="insert") as s:
            s.found({"0": 0})
            s.put(batch(schema, [(1, "a"), (2, "x" * (1 << 20)), (3, "y" * 900000), (4, "z" * 900000)]))
            assert [(r[1], r[2]) for r in s.rejects] == [(1, "08S01")]
    finally:
        db.server.sql("SET GLOBAL max_allowed_packet = DEFAULT")
    assert db.sql("SELECT id, length(v) FROM t ORDER BY id") == [(1, 1), (3, 900000), (4, 900000)]


def test_wrong_password_and_missing_database_are_named_without_secrets(table):
    wrong = table.server.database_url(table.name, password="not-this-one")
    f = fails(RETRY, sink(table, url=wrong).__enter__)
    assert f.unreachable and "Access denied" in f.msg and "user millrace" in f.msg
    assert "not-this-one" not in f.msg
    f = fails(RETRY, sink(table, url=table.server.database_url("nowhere")).__enter__)
    assert f.unreachable and "Unknown database" in f.msg
    f = fails(RETRY, sink(table, url="mysql://a:secret@127.0.0.1:1/x").__enter__)
    assert f.unreachable and "secret" not in f.msg


@pytest.mark.parametrize("url", ["postgres://x", "mysql://h:0/d", "mysql://h:99999/d", "mysql://h/d?x=1",
                                 "mysql://u:%zz@h/d", "mysql://[::1/d"])
def test_bad_urls_are_refused_before_anything_is_read(table, url):
    assert fails(BADCONF, sink(table, url=url).validate).option == "url"


def test_tls_is_asked_for_and_verified(table):
    """The server has no certificate: only where the file leaves it open is it taken."""
    for tls in ("require", "verify"):
        f = fails(RETRY, sink(table, tls=tls).__enter__)
        assert "SSL" in f.msg or "TLS" in f.msg, f.msg
    with sink(table, tls="disable") as s:
        s.found({"0": 0})


# ---------------------------------------------------------------- lost connections

def test_a_killed_session_loses_the_unit_and_nothing_else(table, made):
    unit = made.unit({"0": (0, 3, 1, 3)})
    made.begin(unit)
    made.write(trades(3))
    made.flush()
    [session] = table.sessions()
    table.server.sql(f"KILL {session}")
    with pytest.raises(Failure) as caught:
        made.commit(unit)
    assert caught.value.status in (RETRY, UNSURE) and caught.value.unit_lost
    assert made.reread(unit)["0"][:2] == (0, 2)
    unit = made.unit({"0": (0, 3, 2, 3)})
    made.begin(unit)
    made.write(trades(3))
    made.commit(unit)
    assert ids(table) == [0, 1, 2]


def test_a_staging_table_that_went_with_its_session_is_made_again(db):
    """Lost before it had rows, and reread connected anew: nothing else tells that it is gone."""
    db.sql("CREATE TABLE t (id varchar(10) PRIMARY KEY, v bigint)")
    with sink(db, OPS, mode="upsert", key=["id"]) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 1, 1, 1)})
        s.begin(unit)
        [session] = db.sessions()
        db.server.sql(f"KILL {session}")
        with pytest.raises(Failure) as caught:
            s.write(batch(OPS, [("a", 1, "insert")]))
            s.commit(unit)
        assert caught.value.unit_lost
        assert s.reread(unit)["0"][:2] == (0, 2)
        unit = s.unit({"0": (0, 1, 2, 1)})
        s.begin(unit)
        s.write(batch(OPS, [("a", 1, "insert")]))
        s.commit(unit)
    assert db.sql("SELECT * FROM t") == [("a", 1)]


def test_an_old_session_that_holds_the_lane_is_ended(table, proxy):
    """The network breaks in a transaction; the server does not know. The next connection ends it."""
    with sink(table, url=proxy.url(table), statement_timeout="2s", commit_timeout="2s") as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 3, 1, 3)})
        s.begin(unit)
        s.write(trades(3))
        s.flush()
        proxy.freeze()
        with pytest.raises(Failure) as caught:
            s.commit(unit)
        assert caught.value.unit_lost
        proxy.thaw()
        assert s.reread(unit)["0"][:2] == (0, 2)
        unit = s.unit({"0": (0, 3, 2, 3)})
        s.begin(unit)
        s.write(trades(3))
        s.commit(unit)
    assert ids(table) == [0, 1, 2]


def test_a_lock_that_others_hold_is_waited_for_and_tried_again(table, made):
    other = table.connect()
    with sink(table, statement_timeout="2s") as s:
        s.found({"1": 0})
        with other.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("INSERT INTO t VALUES (1, 'other', NULL)")
            unit = s.unit({"1": (0, 3, 1, 3)})
            s.begin(unit)
            s.write(trades(3))
            f = fails(RETRY, s.commit, unit)
            assert f.unit_lost and "1205" in f.msg
            cursor.execute("ROLLBACK")
        s.begin(unit)
        s.write(trades(3))
        s.commit(unit)
    other.close()
    assert ids(table) == [0, 1, 2]


def test_a_stopped_server_is_given_up_at_the_deadline(table, made):
    with sink(table, statement_timeout="1s") as s:
        pid = table.server.process.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            f = fails(RETRY, s.take, ["0"])
            assert f.unreachable and "no answer within" in f.msg and time.monotonic() - begin < 20
        finally:
            os.kill(pid, signal.SIGCONT)


def test_waking_ends_a_wait(table, made):
    pid = table.server.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        made.wake()
        f = fails(RETRY, made.take, ["0"])
        assert not f.unreachable
    finally:
        os.kill(pid, signal.SIGCONT)


# ---------------------------------------------------------------- check and discover

def test_check_and_discover(table):
    s = sink(table)
    assert s.check().startswith("MariaDB 10.") and s.check().rstrip().endswith("table t: ok")
    assert '{"table": "t"}' in s.discover()
    assert s.discover("t").splitlines()[0] == \
        '{"column": "id", "source_type": "bigint(20)", "type": "int64", "nullable": false}'
    assert fails(BADCONF, s.discover, "none").code == "42S02"
    assert "will be created" in sink(table, table="new", create="true").check()
