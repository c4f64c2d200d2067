# SPDX-License-Identifier: Apache-2.0
"""The postgres sink against a real server: units, positions, bad rows, lost connections."""

import os
import signal
import time

import pyarrow as pa
import pytest

import saved
from abi import BADCONF, FATAL, FENCED, REJECT, RETRY, UNSURE, Failure, SinkUnderTest, batch

TRADES = pa.schema([("id", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", "UTC"))])


def trades(n, first=0):
    return batch(TRADES, [(i, f"n{i}", 1700000000000000 + i) for i in range(first, first + n)])


@pytest.fixture
def table(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text, at timestamptz)")
    return db


def sink(db, schema=TRADES, url=None, **options):
    return SinkUnderTest("postgres", schema, url=url or db.url, **{"table": "public.t", **options})


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


def test_many_lanes_in_one_unit(table):
    lanes = {f"topic/{i}": (0, i + 1, 1, 0) for i in range(450)}
    with sink(table) as s:
        s.found({name: 0 for name in lanes})
        unit = s.unit(lanes)
        s.begin(unit)
        s.write(trades(10))
        s.commit(unit)
        got = s.take(list(lanes))
        assert {name: v[0] for name, v in got.items()} == {n: v[1] for n, v in lanes.items()}


def test_a_row_each_after_100_commits(table, made):
    at = 0
    for i in range(100):
        at = made.put(trades(2, 2 * i), at)
    assert ids(table) == list(range(200))
    assert table.sql("SELECT lane, owner, rows_total FROM millrace_offsets") == [("0", 1, 200)]


def test_one_connection_for_many_units(table, made):
    at = 0
    first = table.backends()
    for i in range(1000):
        at = made.put(trades(1, i), at)
    assert table.backends() == first and len(first) == 1
    assert ids(table) == list(range(1000))


def test_ten_thousand_batches_on_one_connection(table, made):
    """Also in the server's log: one backend wrote them all."""
    at = 0
    for unit_number in range(10):
        unit = made.unit({"0": (at, at + 1000, 1, 1000)})
        made.begin(unit)
        for i in range(1000):
            made.write(trades(1, at + i))
        made.commit(unit)
        at += 1000
    assert table.value("SELECT count(*) FROM t") == 10000
    wrote = {line.split("[")[1].split("]")[0] for line in table.log() if "COPY" in line or "INSERT" in line}
    assert len(wrote) == 1, wrote


def test_fresh_connection_for_each_batch(table):
    with sink(table, connection={"max_batches": "1"}) as s:
        s.found({"0": 0})
        at, seen = 0, set()
        for i in range(20):
            at = s.put(trades(1, i), at)
            now = table.backends()
            assert len(now) <= 1
            seen.update(now)
    assert len(seen) == 20 and ids(table) == list(range(20))


def test_unit_without_rows_moves_the_position(table, made):
    unit = made.unit({"0": (0, 9, 1, 0)})
    made.begin(unit)
    made.commit(unit)
    assert made.take(["0"])["0"][0] == 9


def test_found_twice_is_fenced(table, made):
    assert fails(FENCED, made.found, {"0": 5}).code == "23505"
    assert made.take(["0"])["0"][:2] == (0, 2)


def test_a_stolen_lane_is_not_written(table, made):
    unit = made.unit({"0": (0, 3, 1, 3)})
    made.begin(unit)
    made.write(trades(3))
    with sink(table) as other:
        assert other.take(["0"])["0"][1] == 2
        f = fails(FENCED, made.commit, unit)
        assert f.code == "owner"
        assert ids(table) == []
        other.put(trades(2), 0, owner=2)
    assert ids(table) == [0, 1]


def test_another_position_is_told_apart(table, made):
    made.put(trades(3))
    unit = made.unit({"0": (0, 3, 1, 3)})
    made.begin(unit)
    made.write(trades(3, 10))
    assert fails(FENCED, made.commit, unit).code == "position"
    assert ids(table) == [0, 1, 2]


def test_a_vanished_lane_row_is_an_error(table, made):
    table.sql("DELETE FROM millrace_offsets")
    unit = made.unit({"0": (0, 3, 1, 3)})
    made.begin(unit)
    made.write(trades(3))
    assert fails(FATAL, made.commit, unit).code == "vanished"
    assert ids(table) == [] and table.sql("SELECT * FROM millrace_offsets") == []


def test_reread_raises_the_owner_of_all_lanes_or_none(table):
    with sink(table) as s, sink(table) as other:
        s.found({"0": 0, "1": 0})
        unit = s.unit({"0": (0, 1, 1, 1), "1": (0, 1, 1, 0)})
        assert s.reread(unit) == {"0": (0, 2, 0, 0, 0), "1": (0, 2, 0, 0, 0)}
        other.take(["1"])
        again = s.unit({"0": (0, 1, 2, 1), "1": (0, 1, 2, 0)})
        assert fails(FENCED, s.reread, again).code == "owner"
        assert table.sql("SELECT lane, owner FROM millrace_offsets ORDER BY 1") == [("0", 2), ("1", 3)]


def test_state_of_transforms_is_kept_with_the_position(table):
    with sink(table) as s:
        s.found({"a": 0})
        saved.is_kept(s, 1 << 20)
        saved.is_kept_for_many_lanes(s)


def test_an_older_table_gets_the_column_for_state(table):
    saved.column_is_added(table, lambda **options: sink(table, **options), 'bytea')


def test_abort_leaves_nothing_and_the_connection_works(table, made):
    made.begin()
    made.write(trades(5))
    made.abort()
    made.put(trades(2))
    assert ids(table) == [0, 1] and len(table.backends()) == 1


def test_close_in_the_middle_leaves_nothing(table):
    s = sink(table).__enter__()
    s.found({"0": 0})
    s.begin()
    s.write(trades(5))
    s.close()
    assert ids(table) == [] and table.value("SELECT rows_total FROM millrace_offsets") == 0


# ---------------------------------------------------------------- bad rows

def test_the_row_that_breaks_a_constraint_is_named(table, made):
    table.sql("INSERT INTO t VALUES (12, 'there', now())")
    unit = made.unit({"0": (0, 1, 1, 30)})
    made.begin(unit)
    made.write(trades(10))
    second = made.write(trades(10, 10))
    made.write(trades(10, 20))
    f = fails(REJECT, made.commit, unit)
    assert (f.code, f.batch, f.row, f.unit_lost) == ("23505", second, 2, True)
    assert 't_pkey' in f.msg and "COPY public.t" in f.msg and "SQLSTATE 23505" in f.msg
    assert "row 2" in f.msg and "12" not in f.msg.split(" at ")[0].replace("23505", "")
    made.abort(unit)
    made.put(trades(10))
    assert ids(table) == list(range(10)) + [12]


def test_row_numbers_count_rows_that_were_left_out(table, made):
    table.sql("INSERT INTO t VALUES (3, 'there', now())")
    bad = batch(TRADES, [(0, "a\0", 0), (1, "b", 0), (2, "c\0", 0), (3, "d", 0), (4, "e\0", 0)])
    unit = made.unit({"0": (0, 1, 1, 0)})
    made.begin(unit)
    made.write(bad)
    assert [r[1] for r in made.rejects] == [0, 2, 4]
    f = fails(REJECT, made.commit, unit)
    assert (f.code, f.row) == ("23505", 3)


def test_values_of_rows_are_not_in_messages(db):
    db.sql("CREATE TYPE mood AS ENUM ('glad')")
    db.sql("CREATE TABLE t (m mood, i int, d date)")
    for column in ("m", "i", "d"):
        schema = pa.schema([(column, pa.string())])
        with sink(db, schema, stage=column) as s:
            s.found({"0": 0})
            f = fails(REJECT, s.put, batch(schema, [("canary-4711",)]))
            assert "canary" not in f.msg and column in f.msg and f.row == 0, f.msg


def test_after_a_refused_row_each_batch_finds_all_of_its_own(table, made):
    table.sql("INSERT INTO t SELECT i, 'there', now() FROM generate_series(0, 5000, 100) i")
    unit = made.unit({"0": (0, 1, 1, 0)})
    made.begin(unit)
    made.write(trades(3000, 1))
    f = fails(REJECT, made.commit, unit)
    assert (f.row, f.unit_lost) == (99, True)
    made.abort(unit)
    made.begin(unit)
    bad = batch(TRADES, [(9000, "a\0", 0), (9001, "b", 0), (9001, "again", 0), (9002, "c", 0)])
    one, two, three = made.write(trades(3000, 1)), made.write(trades(50, 6001)), made.write(bad)
    made.flush()
    made.write(trades(100, 3001))
    assert [(r[0], r[1], r[2]) for r in made.rejects] == (
        [(one, i - 1, "23505") for i in range(100, 3001, 100)] +
        [(three, 0, "22021"), (three, 2, "23505"), (4 + 1, 99, "23505")])
    assert all("t_pkey" in r[3] for r in made.rejects if r[2] == "23505")
    made.commit(unit)
    assert ids(table) == sorted({*range(3101), *range(0, 5001, 100), *range(6001, 6051), 9001, 9002})
    made.put(trades(10, 7000), 1)  # the next unit is careful, too; nothing is wrong with it
    made.put(trades(10, 7010), 11)  # and this one is not
    assert len(ids(table)) == 3101 + 19 + 50 + 2 + 20


def test_deferred_constraint_fails_at_commit(db):
    db.sql("CREATE TABLE p (id bigint PRIMARY KEY)")
    db.sql("CREATE TABLE t (id bigint REFERENCES p DEFERRABLE INITIALLY DEFERRED)")
    schema = pa.schema([("id", pa.int64())])
    with sink(db, schema) as s:
        s.found({"0": 0})
        f = fails(REJECT, s.put, batch(schema, [(1,)]))
        assert (f.code, f.unit_lost, f.row) == ("23503", True, -1)
        s.abort()
        db.sql("INSERT INTO p VALUES (1), (3)")
        s.put(batch(schema, [(1,), (2,), (3,)]))  # now it is found
        assert [(r[1], r[2]) for r in s.rejects] == [(1, "23503")]
        assert ids(db) == [1, 3]


def test_an_error_is_noticed_before_the_unit_ends(table, made):
    table.sql("INSERT INTO t VALUES (0, 'there', now())")
    unit = made.unit({"0": (0, 1, 1, 0)})
    made.begin(unit)
    with pytest.raises(Failure) as caught:
        for i in range(2000):
            made.write(trades(500, i * 500))
    assert caught.value.code == "23505" and caught.value.row == 0 and caught.value.batch == 1
    assert caught.value.unit_lost


# ---------------------------------------------------------------- lost connections

def test_lost_answer_to_commit(table, proxy):
    for fault, landed in (("swallow", 3), ("drop", 0)):
        with sink(table, url=proxy.url(table), stage=fault) as s:
            s.found({"0": 0})
            unit = s.unit({"0": (0, 3, 1, 3)})
            s.begin(unit)
            s.write(trades(3))
            proxy.break_commits(1, fault)
            fails(UNSURE, s.commit, unit)
            assert s.reread(unit)["0"][:2] == (landed, 2)
            assert len(ids(table)) == landed
            table.sql("TRUNCATE t")


def test_a_commit_that_arrives_late_cannot_pass_reread(table, proxy):
    with sink(table, url=proxy.url(table)) as s:
        s.found({"0": 0})
        for i in range(5):
            at, owner = s.take(["0"])["0"][:2]
            unit = s.unit({"0": (at, at + 3, owner, 3)})
            s.begin(unit)
            s.write(trades(3, at))
            proxy.break_commits(1, "late", delay=0.2)
            fails(UNSURE, s.commit, unit)
            position, owner = s.reread(unit)["0"][:2]
            time.sleep(0.3)  # the late COMMIT has come by now, if its session still lives
            assert s.take(["0"])["0"][0] == position
            assert len(ids(table)) == position
            if position == at:
                s.put(trades(3, at), at, owner=owner + 1)


@pytest.mark.parametrize("call", ["write", "commit"])
def test_killed_backend_loses_the_unit_and_nothing_else(table, made, call):
    made.put(trades(5))
    unit = made.unit({"0": (5, 10, 1, 5)})
    made.begin(unit)
    made.write(trades(5, 5))
    for pid in table.backends():
        table.sql("SELECT pg_terminate_backend(%s, 2000)", pid)

    def again():
        made.write(trades(5, 10)) if call == "write" else None
        made.commit(unit)
    f = fails(RETRY, again)
    assert f.unit_lost and "127.0.0.1" in f.msg and "user millrace" in f.msg
    made.abort(unit)
    made.put(trades(5, 5), 5)
    assert ids(table) == list(range(10))


def test_stopped_backend_is_noticed_at_the_deadline(table):
    with sink(table, statement_timeout="300ms", commit_timeout="300ms") as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 3, 1, 3)})
        s.begin(unit)
        s.write(trades(3))
        pid, = table.backends()
        os.kill(pid, signal.SIGSTOP)
        try:
            f = fails(RETRY, s.commit, unit)
            assert f.unit_lost and "300 ms" in f.msg
        finally:
            os.kill(pid, signal.SIGCONT)
        s.abort()
        s.put(trades(3))
        assert ids(table) == [0, 1, 2]


def test_frozen_network_during_copy(table, proxy):
    with sink(table, url=proxy.url(table), statement_timeout="400ms") as s:
        s.found({"0": 0})
        s.begin()
        s.write(trades(3))
        proxy.freeze()
        with pytest.raises(Failure) as caught:
            for i in range(500):
                s.write(trades(5000, i * 5000))
        proxy.thaw()
        assert caught.value.status == RETRY and caught.value.unit_lost
        s.abort()
        s.put(trades(3))
        assert ids(table) == [0, 1, 2]


def test_wake_ends_a_wait_but_not_a_write(table, proxy):
    with sink(table, url=proxy.url(table)) as s:
        s.found({"0": 0})
        s.begin()
        s.write(trades(3))
        proxy.freeze()
        s.wake()
        s.write(trades(100000, 3))  # all of it is queued
        f = fails(RETRY, s.commit, s.unit({"0": (0, 9, 1, 9)}))
        assert f.unit_lost and not f.unreachable and "stopped waiting" in f.msg
        proxy.thaw()
        s.unwake()
        s.abort()
        s.put(trades(3))
        assert ids(table) == [0, 1, 2]


def test_restarted_server(server, table):
    with sink(table) as s:
        s.found({"0": 0})
        s.put(trades(3))
        server.stop()
        f = fails(RETRY, s.put, trades(3, 3), 3)
        assert f.unit_lost and f.unreachable
        s.abort()
        f = fails(RETRY, s.begin)
        assert f.unreachable and not f.unit_lost
        server.start()
        s.put(trades(3, 3), 3)
        assert ids(table) == list(range(6))


def test_no_server_and_wrong_password(db):
    for url, text in (("postgresql://u:secret-canary@127.0.0.1:1/d", "127.0.0.1"),
                      (db.url.replace("millrace-test-password", "secret-canary"), "millrace")):
        with pytest.raises(Failure) as caught:
            sink(db, url=url, connect_timeout="5s").__enter__()
        f = caught.value
        assert f.status == RETRY and f.unreachable and text in f.msg and "canary" not in f.msg


