# SPDX-License-Identifier: Apache-2.0
"""What every sink with versions and deletes of many rows must do. A test module of a sink imports all of it
and has a fixture `target`: a VersionTarget with a database of its own."""

import itertools
import json
import random
import threading

import pyarrow as pa
import pytest

import versions
from abi import BADCONF, REJECT, RETRY, UNSURE, Failure, SinkUnderTest, halve
from versions import many, row, span

VERSION = {"version": "at"}


class VersionTarget:
    """A sink and its table t, which has the columns of versions.SCHEMA, n NOT NULL DEFAULT 7, millrace_written."""

    plugin = TABLE = None  # TABLE: makes t, with %(column)s for definitions; its text has another order than bytes
    TYPES = {}             # definitions: a, at, millrace_written
    options = {}           # of the sink
    variants = ({},)       # options that write rows in other ways

    def __init__(self, db):
        self.db, self.numbers = db, itertools.count(1)

    def sql(self, query, *args):
        return self.db.sql(query, *args)

    def place(self):
        """Options that say where the table is."""
        return {"url": self.db.url}

    def sink(self, schema=versions.SCHEMA, **options):
        values = {**self.place(), "table": "t", "mode": "upsert", "key": versions.KEY,
                  **self.options, **options}
        return SinkUnderTest(self.plugin, schema, **values)

    def write(self, *changes, schema=versions.SCHEMA, **options):
        """One unit of one batch, by a pipeline of its own."""
        with self.sink(schema, pipeline=f"p{next(self.numbers)}", **{**VERSION, **options}) as s:
            versions.Player(s, schema).unit([list(changes)])
            return s

    def create(self, **replaced):
        """Makes the table anew; replaced: other definitions than TYPES."""
        self.sql("DROP TABLE IF EXISTS t")
        self.sql("DROP TABLE IF EXISTS millrace_offsets")
        self.sql(self.TABLE % {**self.TYPES, **replaced})

    def number(self, at):
        """A version as its number; a row of before has none."""
        return None if at is None else versions.number(at)

    def content(self):
        rows = self.sql("SELECT k, c1, c2, a, b, n, at FROM t")
        return sorted(((*r[:-1], versions.at(self.number(r[-1]))) for r in rows), key=repr)

    def values(self):
        return [(*r[:-1], self.number(r[-1]))
                for r in self.sql("SELECT a, b, n, at FROM t ORDER BY k, c1, c2")]

    def written(self):
        """millrace_written of each row."""
        made = [r[0] for r in self.sql("SELECT millrace_written FROM t")]
        return [json.loads(w) if isinstance(w, str) else w for w in made]

    def grid(self):
        """Three partitions of five by four rows, as a pipeline without versions has them."""
        self.create()
        self.sql("INSERT INTO t (k, c1, c2, a) VALUES " + ", ".join(
            f"({k}, {c1}, '{c2}', 0)" for k in (1, 2, 3) for c1 in range(5) for c2 in ("A", "a", "b", "é")))

    def keys(self, k):
        return sorted(tuple(r) for r in self.sql(f"SELECT c1, c2 FROM t WHERE k = {k}"))

    def kill_sessions(self):
        raise NotImplementedError

    def refused(self, schema=versions.SCHEMA, **options):
        """Why the sink does not start."""
        with pytest.raises(Failure) as caught:
            self.sink(schema, **options).__enter__()
        assert caught.value.status == BADCONF, caught.value
        return caught.value


# ---------------------------------------------------------------- random changes against a model

def play(target, sink, model, units, seed, schema=versions.SCHEMA):
    """Each unit goes into the sink and into the model; the table must then have what the model has."""
    player = versions.Player(sink, schema)
    for number, unit in enumerate(units):
        player.unit(unit)
        model.unit([c for batch in unit for c in batch])
        assert target.content() == model.table(), f"seed {seed}, unit {number}"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("equal", [False, True])
def test_random_changes_leave_what_the_model_has(target, seed, equal):
    target.create()
    model = versions.Model()
    with target.sink(**VERSION, **target.variants[seed % len(target.variants)]) as s:
        play(target, s, model, versions.cut(seed, versions.changes(seed, 400, equal=equal)), seed)
        assert not s.rejects
    assert model.rows


@pytest.mark.parametrize("seed", range(3))
def test_whole_rows_leave_what_the_model_has(target, seed):
    target.create()
    model = versions.Model()
    with target.sink(versions.WHOLE, **VERSION, **target.variants[seed % len(target.variants)]) as s:
        units = versions.cut(seed, versions.changes(seed, 400, whole=True))
        play(target, s, model, units, seed, versions.WHOLE)
    assert model.rows


@pytest.mark.parametrize("seed", range(4))
def test_without_versions_random_changes_count_in_their_order(target, seed):
    target.create()
    model = versions.InOrder()
    changes = [{**c, "v": v} for v, c in enumerate(versions.changes(seed, 400))]
    with target.sink(**target.variants[seed % len(target.variants)]) as s:
        play(target, s, model, versions.cut(seed, changes), seed)
        assert not s.rejects
    assert model.rows


@pytest.mark.parametrize("seed", range(4))
def test_order_within_a_unit_does_not_matter(target, seed):
    changes = versions.changes(seed, 150)
    model = versions.Model()
    model.unit(changes)
    assert model.rows
    for order in range(4):
        target.create()
        random.Random(order).shuffle(changes)
        with target.sink(**VERSION) as s:
            versions.Player(s).unit([changes[:70], changes[70:]])
        assert target.content() == model.table(), f"seed {seed}, order {order}"


@pytest.mark.parametrize("seed", range(3))
def test_readers_that_come_in_any_order_end_alike(target, seed):
    """Each reader brings all changes in an order of its own; the last brings them as they were made."""
    target.create()
    changes = versions.changes(seed, 200)
    model = versions.Model()
    model.unit(changes)
    for reader in range(3):
        with target.sink(pipeline=f"p{reader}", **VERSION) as s:
            player = versions.Player(s)
            for unit in versions.cut(reader, changes):
                player.unit(unit)
        random.Random(reader).shuffle(changes)
        if reader == 1:
            changes.sort(key=lambda c: c["v"])
    assert target.content() == model.table()


# ---------------------------------------------------------------- the rules, one by one

def test_each_column_has_its_newest_write(target):
    target.create()
    target.write(row(10, a=1, b="x"))
    target.write(row(5, a=0, n=5))
    assert target.values() == [(1, "x", 5, 10)]
    target.write(row(7, n=6, b="old"), row(12, b=None))
    assert target.values() == [(1, None, 6, 12)]
    assert target.written() == [{"a": 10, "b": 12, "n": 7, "at": 12}]


def test_of_equal_versions_the_later_wins_and_a_delete_over_both(target):
    target.create()
    target.write(row(10, a=1), row(10, a=2))
    target.write(row(10, a=3))
    assert target.values() == [(3, None, 7, 10)]
    target.write(row(10, _op="delete"))
    assert target.values() == []
    target.write(row(10, _op="delete"), row(10, a=4))
    assert target.values() == []


def test_a_delete_takes_what_is_older_and_the_row_remembers_it(target):
    target.create()
    target.write(row(10, a=1, n=3), row(20, b="new"))
    target.write(row(15, _op="delete"))
    assert target.values() == [(None, "new", 7, 20)]
    assert target.written()[0][""] == 15
    target.write(row(12, a=2))
    assert target.values() == [(None, "new", 7, 20)]
    target.write(row(16, a=3))
    assert target.values() == [(3, "new", 7, 20)]
    target.write(row(20, _op="delete"))
    assert target.values() == []


def test_of_many_deletes_of_one_row_the_newest_counts(target):
    target.create()
    target.write(row(100, b="new"), row(31, a=31), row(3, n=3))
    target.write(*[many(1, c1=span(0, 2), v=v) for v in (5, 30, 10)], *[many(1, v=v) for v in (20, 7, 25)],
                 *[row(v, _op="delete") for v in (8, 29, 9)])
    assert target.values() == [(31, "new", 7, 100)]
    assert target.written()[0][""] == 30


def test_rows_without_times_are_older_than_everything(target):
    target.create()
    target.sql("INSERT INTO t (k, c1, c2, a, b, at) VALUES (1, 1, 'x', 5, 'kept', '2999-01-01'),"
               " (2, 1, 'x', 5, 'gone', '2999-01-01'), (3, 1, 'x', 5, 'gone', '2999-01-01')")
    target.write(row(-5, a=6), {**row(1, _op="delete"), "k": 2},
                 {"k": 3, "_op": "delete", "_range": {"c1": None, "c2": None}, "v": 1})
    assert target.values() == [(6, "kept", 7, -5)]


def test_an_integer_is_a_version_too(target):
    schema = pa.schema([("id", pa.int64()), ("x", pa.string()), ("rev", pa.uint64())])
    with target.sink(schema, key=["id"], version="rev", create="true") as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1, 1, 2, 3], ["new", "old", "x", "y"], [2 ** 63 - 1, 3, 2 ** 63, None]],
                              schema=schema))
        assert [(r[1], r[2], r[4]) for r in s.rejects] == [(2, "22003", "rev"), (3, "23502", "rev")]
    assert [tuple(r) for r in target.sql("SELECT id, x, rev FROM t")] == [(1, "new", 2 ** 63 - 1)]
    assert target.written() == [{"x": 2 ** 63 - 1, "rev": 2 ** 63 - 1}]


def test_names_that_need_quotes(target):
    schema = pa.schema([("it's", pa.int64()), ('a "b" \\', pa.int64()), ("Vér'", pa.int64())])
    with target.sink(schema, key=["it's"], version="Vér'", create="true") as s:
        s.found({"0": 0})
        s.put(pa.record_batch([[1, 1], [5, 6], [9, 8]], schema=schema))
        s.put(pa.record_batch([[1, 1], [7, 8], [3, 10]], schema=schema), 2)
    [stored] = target.sql("SELECT * FROM t")
    assert tuple(stored[:3]) == (1, 8, 10) and target.written() == [{'a "b" \\': 10, "Vér'": 10}]


# ---------------------------------------------------------------- deletes of many rows in their order

def test_without_versions_rows_count_in_their_order(target):
    target.grid()
    target.write(row(1, a=1), many(1), row(1, b="after"), many(2, c1=span(1, 3, False)),
                 many(3, c2=span("a", "b", True, False), c1=span(None, 3, True, False)), version=None)
    assert target.keys(1) == [(1, "x")] and (None, "after", 7, 1) in target.values()
    assert {c1 for c1, _ in target.keys(2)} == {0, 1, 4} and len(target.keys(2)) == 12
    assert target.keys(3)[:4] == [(0, "A"), (0, "b"), (0, "é"), (1, "A")] and len(target.keys(3)) == 17


def test_text_is_bound_by_its_bytes(target):
    target.grid()
    target.write(many(1, c1=None, c2=span("B", "b")), version=None)
    assert {c2 for _, c2 in target.keys(1)} == {"A", "é"}


def test_without_set_a_key_column_that_is_null_has_any_value(target):
    target.grid()
    schema = pa.schema([f for f in versions.SCHEMA if f.name != "_set"])
    s = target.write(many(1, c1=span(1, 2)), {**many(2, c2=span("a", "b")), "c1": 3}, many(3), many(None),
                     schema=schema, version=None)
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(3, "23502", "k")]
    assert {c1 for c1, _ in target.keys(1)} == {0, 3, 4}
    assert len(target.keys(2)) == 18
    assert (3, "a") not in target.keys(2) and (3, "A") in target.keys(2)
    assert target.keys(3) == []


def test_rows_that_cannot_be_meant_are_refused(target):
    target.grid()
    s = target.write({"k": 1, "c1": 1, "_op": "delete", "v": 1}, many(None), {**many(1), "_op": "update"},
                     row(1, c2=None), row(1, a=5), version=None)
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [
        (0, "23502", "c2"), (1, "23502", "k"), (2, "22023", "_range"), (3, "23502", "c2")]
    assert "does not write its key" in s.rejects[0][3]
    assert [tuple(r) for r in target.sql("SELECT count(*) FROM t WHERE a = 5")] == [(1,)]


def test_bounds_of_numbers_that_the_table_has_as_text_are_refused(target):
    target.sql("CREATE TABLE t (k bigint NOT NULL, s varchar(20) NOT NULL, PRIMARY KEY (k, s))")
    target.sql("INSERT INTO t VALUES (1, '5'), (1, '10')")
    schema = pa.schema([("k", pa.int64()), ("s", pa.int64()), ("_op", pa.string()),
                        ("_range", pa.struct([("s", versions.bounds(pa.int64()))]))])
    s = target.write({"_op": "delete", "v": 1, "k": 1, "_range": {"s": span(None, 7)}}, schema=schema,
                     version=None, key=["k", "s"])
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "0A000", "s")]
    assert len(target.sql("SELECT * FROM t")) == 2


# ---------------------------------------------------------------- faults

def outcomes(target, changes, spoil):
    """Units through a sink whose calls spoil(unit, attempt) may break; what broke is done again."""
    codes = []
    with target.sink(**VERSION) as s:
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
                        spoil(number, attempt)
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
def test_a_session_that_is_killed_in_the_middle_changes_nothing(target, seed):
    target.create()
    changes, model, r = versions.changes(seed, 300), versions.Model(), random.Random(seed)

    def spoil(number, attempt):
        if attempt == 0 and r.random() < 0.6:
            target.kill_sessions()
    codes = outcomes(target, changes, spoil)
    for unit in versions.cut(3, changes):
        model.unit([c for batch in unit for c in batch])
    assert target.content() == model.table() and len(codes) > 2


@pytest.mark.parametrize("seed", range(2))
def test_a_bad_row_is_found_and_the_others_land(target, seed):
    """Rows that the server refuses: each batch answers for itself, deletes of many rows too."""
    target.create(a="a bigint CHECK (a <> 13)")
    changes, model = versions.changes(seed, 120), versions.Model()
    bad = [{**row(1000 + i, a=13), "k": 9} for i in range(3)]
    with target.sink(**VERSION) as s:
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
        dead = []
        for first, record in ((0, data[0]), (52, data[1])):
            halve(s, record, first, dead)
        s.commit(unit)
        assert sorted(dead) == [50, 51, 122]
    model.unit(changes)
    assert target.content() == model.table()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("whole", [False, True])
def test_order_does_not_matter_in_a_unit_that_is_flushed(target, seed, whole):
    target.create()
    schema = versions.WHOLE if whole else versions.SCHEMA
    changes, model = versions.changes(seed, 120, whole=whole), versions.Model()
    with target.sink(schema, **VERSION) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 120, 1, 120)})
        s.begin(unit)
        for i in range(0, 120, 20):
            s.write(versions.rows(changes[i:i + 20], schema))
            s.flush()
        s.commit(unit)
    model.unit(changes)
    assert target.content() == model.table()


def test_a_unit_of_many_rows_is_one_all_the_same(target):
    """Sinks take it to the table in parts: what was deleted in one counts for those behind it."""
    target.create()
    others = [{**row(1, k=k), "a": k} for k in range(100, 17100)]
    first = [many(1, v=100), row(90, k=2, _op="delete"), row(50, k=3, a=5), row(120, k=4, b="new"), row(80, k=4, a=1)]
    last = [row(60, a=1), row(80, k=2, a=2), row(91, k=2, b="x"), many(3, v=60), row(70, k=4, a=2, b="old"),
            row(85, k=4, _op="delete"), row(110, n=8)]
    with target.sink(**VERSION) as s:
        versions.Player(s).unit([first, others, last])
        assert not s.rejects
    model = versions.Model()
    model.unit(first + last)
    assert [r for r in target.content() if r[0] < 100] == model.table()
    assert len(target.sql("SELECT k FROM t")) == 17000 + len(model.rows)


@pytest.mark.parametrize("seed", range(2))
def test_without_versions_order_counts_in_a_unit_that_is_flushed(target, seed):
    target.create()
    changes, model = [{**c, "v": v} for v, c in enumerate(versions.changes(seed, 120))], versions.InOrder()
    with target.sink() as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 120, 1, 120)})
        s.begin(unit)
        for i in range(0, 120, 20):
            s.write(versions.rows(changes[i:i + 20]))
            s.flush()
        s.commit(unit)
    model.unit(changes)
    assert target.content() == model.table()


# ---------------------------------------------------------------- what is refused at start

def test_a_table_without_the_helper_column(target):
    target.create(millrace_written="")
    failure = target.refused(**VERSION)
    assert failure.option == "version"
    target.sql(failure.msg[failure.msg.index("ALTER TABLE"):])
    target.write(row(1, a=1))
    assert target.values() == [(1, None, 7, 1)]


def test_a_helper_column_of_another_type_is_refused(target):
    target.create(millrace_written="millrace_written integer,")
    assert "millrace_written" in target.refused(**VERSION).msg


def test_evolve_adds_the_helper_column(target):
    target.create(millrace_written="")
    target.write(row(1, a=1), evolve="add")
    assert target.written() == [{"a": 1, "at": 1}]


@pytest.mark.parametrize("options, word", [
    ({"version": "at", "mode": "append", "key": []}, "upsert"), ({"version": "k"}, "no key"),
    ({"version": "zz"}, "column zz is no"), ({"version": "b"}, "neither"),
    ({"mode": "append", "key": []}, "_range")])
def test_options_that_make_no_sense(target, options, word):
    target.create()
    assert word in target.refused(**options).msg


# ---------------------------------------------------------------- several writers

class Reader(threading.Thread):
    """A pipeline that brings the changes in its own order; what is transient is done again."""

    def __init__(self, target, number, changes, early):
        super().__init__()
        self.target, self.number, self.failure, self.retries = target, number, None, 0
        changes = list(changes)
        r = random.Random(number)
        # old ones late: so that what the log has in order comes near to it, as on replicas
        changes.sort(key=lambda c: c["v"] + r.randrange(early))
        self.units = versions.cut(number, changes)

    def run(self):
        try:
            with self.target.sink(pipeline=f"r{self.number}", **VERSION) as s:
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
def test_replicas_that_bring_the_same_changes_have_one_effect(target, seed):
    target.create()
    changes, model = versions.changes(seed, 600, keys=3), versions.Model()
    for number in range(2):
        readers = [Reader(target, 2 * number + i, changes, 80 if number == 0 else 1) for i in range(2)]
        [r.start() for r in readers]
        for r in readers:
            r.join(300)
            assert not r.is_alive(), "stuck"
            assert r.failure is None, r.failure
    model.unit(changes)
    assert target.content() == model.table() and model.rows
