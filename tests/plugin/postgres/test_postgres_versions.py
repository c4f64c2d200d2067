# SPDX-License-Identifier: Apache-2.0
"""The postgres sink: the newest version of each column wins, and deletes of many rows."""

import itertools
import random
import threading

import pyarrow as pa
import pytest

import versions
from abi import BADCONF, REJECT, RETRY, UNSURE, Failure, SinkUnderTest
from versions import many, row, span

TABLE = ('CREATE TABLE t (k bigint, c1 integer, c2 text COLLATE "en-x-icu", a bigint, b text,'
         " n integer NOT NULL DEFAULT 7, at timestamptz, millrace_written jsonb,"
         " PRIMARY KEY (k, c1, c2))")
VERSION = {"version": "at"}
pipelines = itertools.count(1)


def sink(db, schema=versions.SCHEMA, **options):
    values = {"url": db.url, "table": "public.t", "mode": "upsert", "key": versions.KEY, **options}
    return SinkUnderTest("postgres", schema, **values)


def content(db):
    rows = db.sql("SELECT k, c1, c2, a, b, n, at FROM t")
    return sorted(((*r[:-1], r[-1].astimezone(versions.EPOCH.tzinfo)) for r in rows), key=repr)


# ---------------------------------------------------------------- random changes against a model

@pytest.mark.parametrize("seed, options", [(0, {}), (1, {}), (2, {}), (3, {"method": "insert"}),
                                           (4, {"method": "insert", "insert_rows": "3"})])
@pytest.mark.parametrize("equal", [False, True])
def test_random_changes_leave_what_the_model_has(db, seed, options, equal):
    db.sql(TABLE)
    model = versions.Model()
    with sink(db, **VERSION, **options) as s:
        player = versions.Player(s)
        for number, unit in enumerate(versions.cut(seed, versions.changes(seed, 400, equal=equal))):
            player.unit(unit)
            model.unit([c for batch in unit for c in batch])
            assert content(db) == model.table(), f"seed {seed}, unit {number}"
        assert not s.rejects
    assert model.rows


@pytest.mark.parametrize("seed", range(3))
def test_whole_rows_leave_what_the_model_has(db, seed):
    db.sql(TABLE)
    model = versions.Model()
    with sink(db, versions.WHOLE, **VERSION) as s:
        player = versions.Player(s, versions.WHOLE)
        for unit in versions.cut(seed, versions.changes(seed, 400, whole=True)):
            player.unit(unit)
            model.unit([c for batch in unit for c in batch])
            assert content(db) == model.table()
    assert model.rows


@pytest.mark.parametrize("seed", range(4))
def test_order_within_a_unit_does_not_matter(db, seed):
    changes = versions.changes(seed, 150)
    model = versions.Model()
    model.unit(changes)
    assert model.rows
    for order in range(4):
        db.sql("DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS millrace_offsets")
        db.sql(TABLE)
        random.Random(order).shuffle(changes)
        with sink(db, **VERSION) as s:
            versions.Player(s).unit([changes[:70], changes[70:]])
        assert content(db) == model.table(), f"seed {seed}, order {order}"


@pytest.mark.parametrize("seed", range(3))
def test_readers_that_come_in_any_order_end_alike(db, seed):
    """Each reader brings all changes in an order of its own; the last brings them as they were made."""
    db.sql(TABLE)
    changes = versions.changes(seed, 200)
    model = versions.Model()
    model.unit(changes)
    for reader in range(3):
        with sink(db, pipeline=f"p{reader}", **VERSION) as s:
            player = versions.Player(s)
            for unit in versions.cut(reader, changes):
                player.unit(unit)
        random.Random(reader).shuffle(changes)
        if reader == 1:
            changes.sort(key=lambda c: c["v"])
    assert content(db) == model.table()


# ---------------------------------------------------------------- the rules, one by one

def write(db, *changes, schema=versions.SCHEMA, **options):
    with sink(db, schema, pipeline=f"p{next(pipelines)}", **{**VERSION, **options}) as s:
        versions.Player(s, schema).unit([list(changes)])
        return s


def values(db):
    return db.sql("SELECT a, b, n, extract(epoch FROM at) * 1000000 FROM t ORDER BY k, c1, c2")


def test_each_column_has_its_newest_write(db):
    db.sql(TABLE)
    write(db, row(10, a=1, b="x"))
    write(db, row(5, a=0, n=5))
    assert values(db) == [(1, "x", 5, 10)]
    write(db, row(7, n=6, b="old"), row(12, b=None))
    assert values(db) == [(1, None, 6, 12)]
    assert db.value("SELECT millrace_written FROM t") == {"a": 10, "b": 12, "n": 7, "at": 12}


def test_of_equal_versions_the_later_wins_and_a_delete_over_both(db):
    db.sql(TABLE)
    write(db, row(10, a=1), row(10, a=2))
    write(db, row(10, a=3))
    assert values(db) == [(3, None, 7, 10)]
    write(db, row(10, _op="delete"))
    assert values(db) == []
    write(db, row(10, _op="delete"), row(10, a=4))
    assert values(db) == []


def test_a_delete_takes_what_is_older_and_the_row_remembers_it(db):
    db.sql(TABLE)
    write(db, row(10, a=1, n=3), row(20, b="new"))
    write(db, row(15, _op="delete"))
    assert values(db) == [(None, "new", 7, 20)]
    write(db, row(12, a=2))
    assert values(db) == [(None, "new", 7, 20)]
    write(db, row(16, a=3))
    assert values(db) == [(3, "new", 7, 20)]
    write(db, row(20, _op="delete"))
    assert values(db) == []


def test_rows_without_times_are_older_than_everything(db):
    db.sql(TABLE)
    db.sql("INSERT INTO t (k, c1, c2, a, b, at) VALUES (1, 1, 'x', 5, 'kept', '2999-01-01'),"
           " (2, 1, 'x', 5, 'gone', '2999-01-01'), (3, 1, 'x', 5, 'gone', '2999-01-01')")
    write(db, row(-5, a=6), {**row(1, _op="delete"), "k": 2},
          {"k": 3, "_op": "delete", "_range": {"c1": None, "c2": None}, "v": 1})
    assert values(db) == [(6, "kept", 7, -5)]


def test_an_integer_is_a_version_too(db):
    schema = pa.schema([("id", pa.int64()), ("x", pa.string()), ("rev", pa.uint64())])
    with sink(db, schema, key=["id"], version="rev", create="true") as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1, 1, 2, 3], ["new", "old", "x", "y"], [2 ** 63 - 1, 3, 2 ** 63, None]],
                              schema=schema))
        assert [(r[1], r[2], r[4]) for r in s.rejects] == [(2, "22003", "rev"), (3, "23502", "rev")]
    assert db.sql("SELECT id, x, rev, millrace_written FROM t") == [
        (1, "new", 2 ** 63 - 1, {"x": 2 ** 63 - 1, "rev": 2 ** 63 - 1})]


def test_names_that_need_quotes(db):
    schema = pa.schema([("it's", pa.int64()), ('a "b" \\', pa.int64()), ("Vér'", pa.int64())])
    with sink(db, schema, key=["it's"], version="Vér'", create="true") as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1, 1], [5, 6], [9, 8]], schema=schema))
        s.put(pa.record_batch([[1, 1], [7, 8], [3, 10]], schema=schema), 2)
    assert db.sql('''SELECT "a ""b"" \\", millrace_written FROM t''') == [
        (8, {'a "b" \\': 10, "Vér'": 10})]


# ---------------------------------------------------------------- deletes of many rows in their order

def grid(db):
    db.sql(TABLE)
    db.sql("INSERT INTO t SELECT k, c1, c2, 0 FROM generate_series(1, 3) k, generate_series(0, 4) c1,"
           " unnest(array['A', 'a', 'b', 'é']) c2")


def keys(db, k):
    return db.sql("SELECT c1, c2 FROM t WHERE k = %s ORDER BY c1, c2 COLLATE \"C\"", k)


def test_without_versions_rows_count_in_their_order(db):
    grid(db)
    write(db, row(1, a=1), many(1), row(1, b="after"), many(2, c1=span(1, 3, False)), many(3, c2=span("a", "b", True, False), c1=span(None, 3, True, False)),
          version=None)
    assert db.sql("SELECT * FROM t WHERE k = 1") == [(1, 1, "x", None, "after", 7, versions.at(1), None)]
    assert {c1 for c1, _ in keys(db, 2)} == {0, 1, 4} and len(keys(db, 2)) == 12
    assert keys(db, 3)[:4] == [(0, "A"), (0, "b"), (0, "é"), (1, "A")] and len(keys(db, 3)) == 17


def test_text_is_bound_by_its_bytes(db):
    grid(db)
    write(db, many(1, c1=None, c2=span("B", "b")), version=None)
    assert {c2 for _, c2 in keys(db, 1)} == {"A", "é"}


def test_without_set_a_key_column_that_is_null_has_any_value(db):
    grid(db)
    schema = pa.schema([f for f in versions.SCHEMA if f.name != "_set"])
    s = write(db, many(1, c1=span(1, 2)), {**many(2, c2=span("a", "b")), "c1": 3}, many(3), many(None),
              schema=schema, version=None)
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(3, "23502", "k")]
    assert {c1 for c1, _ in keys(db, 1)} == {0, 3, 4}
    assert len(keys(db, 2)) == 18 and (3, "a") not in keys(db, 2) and (3, "A") in keys(db, 2)
    assert keys(db, 3) == []


def test_rows_that_cannot_be_meant_are_refused(db):
    grid(db)
    s = write(db, {"k": 1, "c1": 1, "_op": "delete", "v": 1}, many(None), {**many(1), "_op": "update"},
              row(1, c2=None), row(1, a=5), version=None)
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [
        (0, "23502", "c2"), (1, "23502", "k"), (2, "22023", "_range"), (3, "23502", "c2")]
    assert "does not write its key" in s.rejects[0][3]
    assert db.value("SELECT count(*) FROM t WHERE a = 5") == 1


def test_bounds_of_what_the_table_orders_otherwise_are_refused(db):
    db.sql("CREATE TYPE size AS ENUM ('small', 'large')")
    db.sql("CREATE TABLE t (k bigint, s size, PRIMARY KEY (k, s))")
    db.sql("INSERT INTO t VALUES (1, 'small'), (1, 'large'), (2, 'small')")
    schema = pa.schema([("k", pa.int64()), ("s", pa.string()), ("_op", pa.string()),
                        ("_range", pa.struct([("s", versions.bounds(pa.string()))]))])
    change = {"_op": "delete", "v": 1}
    s = write(db, {**change, "k": 1, "_range": {"s": span("a", "m")}},
              {**change, "k": 2, "_range": {"s": None}}, {**change, "k": 1, "s": "small"},
              schema=schema, version=None, key=["k", "s"])
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "0A000", "s")]
    assert db.sql("SELECT k, s::text FROM t") == [(1, "large")]


def test_bounds_of_numbers_that_the_table_has_as_text_are_refused(db):
    db.sql("CREATE TABLE t (k bigint, s text, PRIMARY KEY (k, s))")
    db.sql("INSERT INTO t VALUES (1, '5'), (1, '10')")
    schema = pa.schema([("k", pa.int64()), ("s", pa.int64()), ("_op", pa.string()),
                        ("_range", pa.struct([("s", versions.bounds(pa.int64()))]))])
    s = write(db, {"_op": "delete", "v": 1, "k": 1, "_range": {"s": span(None, 7)}}, schema=schema,
              version=None, key=["k", "s"])
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "0A000", "s")]
    assert len(db.sql("SELECT * FROM t")) == 2


# ---------------------------------------------------------------- faults

def outcomes(db, changes, spoil):
    """Units through a sink whose calls spoil(call, unit) may break; what broke is done again."""
    codes = []
    with sink(db, **VERSION) as s:
        s.found({"0": 0})
        at = 0
        for number, batches in enumerate(versions.cut(3, changes)):
            count = sum(len(b) for b in batches)
            unit = s.unit({"0": (at, at + count, 1, count)}, number + 1)
            for attempt in range(20):
                try:
                    s.begin(unit)
                    for batch in batches:
                        s.write(versions.rows(batch))
                        spoil(s, number, attempt)
                    s.commit(unit)
                    break
                except Failure as f:
                    codes.append(f.status)
                    assert f.status in (RETRY, UNSURE), f
                    if f.status == UNSURE and s.reread(unit)["0"][0] == at + count:
                        break
                    s.abort(unit)
            else:
                raise AssertionError(f"20 tries: {codes[-5:]}")
            at += count
    return codes


@pytest.mark.parametrize("seed", range(2))
def test_a_backend_that_is_killed_in_the_middle_changes_nothing(db, seed):
    db.sql(TABLE)
    changes, model, r = versions.changes(seed, 300), versions.Model(), random.Random(seed)

    def spoil(_, number, attempt):
        if attempt == 0 and r.random() < 0.6:
            for pid in db.backends():
                db.sql("SELECT pg_terminate_backend(%s, 60000)", pid)
    codes = outcomes(db, changes, spoil)
    for unit in versions.cut(3, changes):
        model.unit([c for batch in unit for c in batch])
    assert content(db) == model.table() and len(codes) > 2


@pytest.mark.parametrize("seed", range(2))
def test_a_bad_row_is_found_and_the_others_land(db, seed):
    """Rows that the server refuses: each batch answers for itself, deletes of many rows too."""
    db.sql(TABLE.replace("a bigint", "a bigint CHECK (a <> 13)"))
    changes, model = versions.changes(seed, 120), versions.Model()
    bad = [{**row(1000 + i, a=13), "k": 9} for i in range(3)]
    with sink(db, **VERSION) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 123, 1, 123)})
        data = [versions.rows(b) for b in (changes[:50] + bad[:2], changes[50:] + bad[2:])]
        s.begin(unit)
        with pytest.raises(Failure) as caught:
            [s.write(d) for d in data]
            s.commit(unit)
        assert caught.value.status == REJECT and caught.value.unit_lost
        s.abort(unit)
        s.begin(unit)
        [s.write(d) for d in data]
        s.commit(unit)
        assert sorted((r[1], r[2]) for r in s.rejects) == [(50, "23514"), (51, "23514"), (70, "23514")]
    model.unit(changes)
    assert content(db) == model.table()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("whole", [False, True])
def test_order_does_not_matter_in_a_unit_that_is_flushed(db, seed, whole):
    db.sql(TABLE)
    schema = versions.WHOLE if whole else versions.SCHEMA
    changes, model = versions.changes(seed, 120, whole=whole), versions.Model()
    with sink(db, schema, **VERSION) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 120, 1, 120)})
        s.begin(unit)
        for i in range(0, 120, 20):
            s.write(versions.rows(changes[i:i + 20], schema))
            s.flush()
        s.commit(unit)
    model.unit(changes)
    assert content(db) == model.table()


# ---------------------------------------------------------------- what is refused at start

def refused(db, schema=versions.SCHEMA, **options):
    with pytest.raises(Failure) as caught:
        sink(db, schema, **options).__enter__()
    assert caught.value.status == BADCONF, caught.value
    return caught.value


def test_a_table_without_the_helper_column(db):
    db.sql(TABLE.replace("millrace_written jsonb,", ""))
    failure = refused(db, **VERSION)
    assert failure.option == "version"
    alter = failure.msg[failure.msg.index("ALTER TABLE"):]
    db.sql(alter)
    write(db, row(1, a=1))
    assert values(db) == [(1, None, 7, 1)]


def test_evolve_adds_the_helper_column(db):
    db.sql(TABLE.replace("millrace_written jsonb,", ""))
    write(db, row(1, a=1), evolve="add")
    assert db.value("SELECT millrace_written FROM t") == {"a": 1, "at": 1}


@pytest.mark.parametrize("options, word", [
    ({"version": "at", "mode": "append", "key": []}, "upsert"), ({"version": "k"}, "no key"),
    ({"version": "zz"}, "no column"), ({"version": "b"}, "neither"),
    ({"mode": "append", "key": []}, "_range")])
def test_options_that_make_no_sense(db, options, word):
    db.sql(TABLE)
    assert word in refused(db, **options).msg


# ---------------------------------------------------------------- several writers, TimescaleDB

class Reader(threading.Thread):
    """A pipeline that brings the changes in its own order; what is transient is done again."""

    def __init__(self, db, number, changes, early):
        super().__init__()
        self.db, self.number, self.failure, self.retries = db, number, None, 0
        changes = list(changes)
        r = random.Random(number)
        # old ones late: so that what the log has in order comes near to it, as on replicas
        changes.sort(key=lambda c: c["v"] + r.randrange(early))
        self.units = versions.cut(number, changes)

    def run(self):
        try:
            with sink(self.db, pipeline=f"r{self.number}", **VERSION) as s:
                s.found({"0": 0})
                at = 0
                for batches in self.units:
                    at = self.unit(s, batches, at)
        except Exception as e:  # shown by the test
            self.failure = e

    def unit(self, s, batches, at):
        count = sum(len(b) for b in batches)
        unit = s.unit({"0": (at, at + count, 1, count)}, at + 1)
        for _ in range(100):
            try:
                s.begin(unit)
                for batch in batches:
                    s.write(versions.rows(batch))
                s.commit(unit)
                return at + count
            except Failure as f:
                assert f.status == RETRY, f
                self.retries += 1
                s.abort(unit)
        raise AssertionError("100 tries")


@pytest.mark.parametrize("seed", range(2))
def test_replicas_that_bring_the_same_changes_have_one_effect(db, seed):
    db.sql(TABLE)
    changes, model = versions.changes(seed, 600, keys=3), versions.Model()
    for number in range(2):
        readers = [Reader(db, 2 * number + i, changes, 80 if number == 0 else 1) for i in range(2)]
        [r.start() for r in readers]
        for r in readers:
            r.join(300)
            assert not r.is_alive(), "stuck"
            assert r.failure is None, r.failure
    model.unit(changes)
    assert content(db) == model.table() and model.rows


def test_a_hypertable(ts):
    schema = pa.schema([versions.SCHEMA.field(n) for n in ("k", "_op", "a", "b", "at", "_set")]
                       + [pa.field("day", pa.timestamp("us", "UTC"))])
    r = random.Random(1)
    made = [{**c, "k": r.randrange(4), "day": versions.at(r.randrange(5) * 86400 * 10 ** 6)}
            for c in versions.changes(1, 200, keys=4) if "c2" in c and "c1" in c]
    model = {}
    options = {"key": ["k", "day"], "create": "true", "hypertable": {"time": "day", "chunk": "1d"}}
    with sink(ts, schema, **VERSION, **options) as s:
        player = versions.Player(s, schema)
        player.unit([made[:60], made[60:]])
        assert not s.rejects
    for c in sorted(made, key=lambda c: c["v"]):
        key = c["k"], c["day"]
        if c["_op"] == "delete":
            model.pop(key, None)
        else:
            model.setdefault(key, {}).update(c)
    assert ts.value("SELECT count(*) FROM show_chunks('t')") == 5
    assert sorted(ts.sql("SELECT k, day, a, b, at FROM t")) == sorted(
        (*key, m.get("a"), m.get("b"), versions.at(m["v"])) for key, m in model.items())
