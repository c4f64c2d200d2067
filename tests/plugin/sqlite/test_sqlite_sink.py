# SPDX-License-Identifier: Apache-2.0
"""The sqlite sink: values as SQLite keeps them, units and positions, bad rows, other writers."""

import datetime as dt
import decimal
import json
import math
import pathlib

import pyarrow as pa
import pytest

import saved
from abi import BADCONF, FATAL, FENCED, REJECT, RETRY, TREE, Failure, SinkUnderTest, batch

D = decimal.Decimal
ROWS = pa.schema([("id", pa.int64()), ("name", pa.string())])
UTC = dt.timezone.utc


def sink(file, schema=ROWS, **options):
    return SinkUnderTest("sqlite", schema, path=file.path, **{"table": "t", **options})


def rows(*values):
    return batch(ROWS, list(values))


def fails(status, call, *arguments):
    with pytest.raises(Failure) as caught:
        call(*arguments)
    assert caught.value.status == status, caught.value
    return caught.value


def content(file):
    return file.sql("SELECT * FROM t ORDER BY 1")


def put(file, schema, record, **options):
    with sink(file, schema, **options) as s:
        s.found({"0": 0})
        s.put(record)
        return s


# ---------------------------------------------------------------- values

CASES = [
    ("b", pa.bool_(), [True, False], [1, 0]),
    ("i8", pa.int8(), [-128, 127], [-128, 127]),
    ("i64", pa.int64(), [-2**63, 2**63 - 1], [-2**63, 2**63 - 1]),
    ("u64", pa.uint64(), [0, 2**63 - 1], [0, 2**63 - 1]),
    ("f32", pa.float32(), [0.5, -0.25], [0.5, -0.25]),
    ("f64", pa.float64(), [1.7976931348623157e308, math.inf], [1.7976931348623157e308, math.inf]),
    ("d", pa.decimal128(38, 4), [D("9" * 34 + ".0001"), D("-0.0001")], ["9" * 34 + ".0001", "-0.0001"]),
    ("day", pa.date32(), [dt.date(1969, 12, 31), dt.date(9999, 12, 31)], ["1969-12-31", "9999-12-31"]),
    ("time", pa.time64("us"), [dt.time(0, 0, 1), dt.time(23, 59, 59, 999999)],
     ["00:00:01", "23:59:59.999999"]),
    ("ts", pa.timestamp("us"), [dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
                                dt.datetime(2026, 1, 28, 10)],
     ["1969-12-31 23:59:59.999999", "2026-01-28 10:00:00.000000"]),
    ("tz", pa.timestamp("us", "UTC"), [dt.datetime(1, 1, 1, tzinfo=UTC),
                                       dt.datetime(2026, 1, 28, 10, 0, 0, 123456, UTC)],
     ["0001-01-01 00:00:00.000000Z", "2026-01-28 10:00:00.123456Z"]),
    ("s", pa.string(), ["", "aé😀'\"\n" + "x" * (1 << 20)], ["", "aé😀'\"\n" + "x" * (1 << 20)]),
    ("bin", pa.binary(), [b"", bytes(range(256))], [b"", bytes(range(256))]),
    ("id", pa.binary(16), [bytes(16), bytes(range(16))],
     ["00000000-0000-0000-0000-000000000000", "00010203-0405-0607-0809-0a0b0c0d0e0f"]),
    ("l", pa.list_(pa.int64()), [[1, None], []], ["[1,null]", "[]"]),
    ("st", pa.struct([("a", pa.uint64())]), [{"a": 2**64 - 1}, {"a": None}],
     ['{"a":18446744073709551615}', '{"a":null}']),
    ("m", pa.map_(pa.string(), pa.int32()), [[("k", 1)], []], ['{"k":1}', "{}"]),
]
EVERY = pa.schema([("n", pa.int32())] + [(n, t) for n, t, _, _ in CASES])


def every():
    arrays = [pa.array([0, 1, 2], pa.int32())] + [pa.array(v + [None], t) for _, t, v, _ in CASES]
    return pa.record_batch(arrays, schema=EVERY)


def test_every_type(file):
    put(file, EVERY, every(), create="true")
    for name, _, _, want in CASES:
        got = [v for (v,) in file.sql(f'SELECT "{name}" FROM t ORDER BY n')]
        assert got == want + [None], name
        assert [type(v) for v in got] == [type(v) for v in want + [None]], name


def test_slices_are_read_at_their_offset(file):
    put(file, EVERY, pa.concat_batches([every()] * 3).slice(4, 4), create="true")
    for name, _, _, want in CASES:
        got = [v for (v,) in file.sql(f'SELECT "{name}" FROM t ORDER BY rowid')]
        assert got == [(want + [None])[i % 3] for i in range(4, 8)], name


@pytest.mark.parametrize("declared,kind,good,bad,code", [
    ("INTEGER", pa.uint64(), (5, 5), 2**63, "22003"),
    ("REAL", pa.int64(), (3, 3.0), 2**53 + 1, "22003"),
    ("REAL", pa.float64(), (0.1, 0.1), math.nan, "22003"),
    ("DECIMAL(38,4)", pa.decimal128(38, 4), (D("1.5"), 1.5), D("1234567890123.4567"), "22003"),
    ("TEXT", pa.string(), ("x", "x"), "a\0b", "22021"),
    ("STRING", pa.string(), ("x1", "x1"), "0123", "22P02"),
    ("TEXT NOT NULL", pa.string(), ("", ""), None, "23502"),
    ("TEXT", pa.timestamp("us"), (0, "1970-01-01 00:00:00.000000"), -2**62, "22008"),
    ("INTEGER CHECK (v > 0)", pa.int64(), (1, 1), 0, "SQLITE_CONSTRAINT_CHECK"),
    ("INTEGER UNIQUE", pa.int64(), (1, 1), 7, "SQLITE_CONSTRAINT_UNIQUE"),
])
def test_a_bad_value_is_rejected_and_the_others_arrive(file, declared, kind, good, bad, code):
    file.sql(f"CREATE TABLE t (n INTEGER, v {declared})")
    if "UNIQUE" in declared:
        file.sql("INSERT INTO t VALUES (9, 7)")
    schema = pa.schema([("n", pa.int32()), ("v", kind)])
    record = batch(schema, [(0, good[0]), (1, bad), (2, None if "NOT" not in declared else "z")])
    with sink(file, schema) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 3, 1, 3)})
        s.begin(unit)
        number = s.write(record)
        if code.startswith("SQLITE"):  # known at the commit: the unit is written again, each batch tried
            f = fails(REJECT, s.commit, unit)
            assert (f.code, f.row, f.batch, f.unit_lost) == (code, 1, number, True)
            assert "constraint failed" in f.msg
            s.abort(unit)
            s.begin(unit)
            s.write(record)
        assert [(r[1], r[2]) for r in s.rejects] == [(1, code)]
        s.commit(unit)
    got = [r for r in file.sql("SELECT n, v FROM t ORDER BY n") if r[0] != 9]
    assert got[0] == (0, good[1]) and [r[0] for r in got] == [0, 2]


@pytest.mark.parametrize("declared,kind,want", [
    ("TEXT", pa.uint64(), str(2**64 - 1)), ("", pa.decimal128(20, 0), str(2**64 - 1)),
])
def test_text_columns_keep_every_digit(file, declared, kind, want):
    file.sql(f"CREATE TABLE t (v {declared})")
    schema = pa.schema([("v", kind)])
    value = D(2**64 - 1) if pa.types.is_decimal(kind) else 2**64 - 1
    put(file, schema, batch(schema, [(value,)]))
    assert file.sql("SELECT v, typeof(v) FROM t") == [(want, "text")]


def test_times_as_integers(file):
    file.sql("CREATE TABLE t (d INTEGER, ts BIGINT, tm INT)")
    schema = pa.schema([("d", pa.date32()), ("ts", pa.timestamp("us", "UTC")), ("tm", pa.time64("us"))])
    put(file, schema, batch(schema, [(dt.date(1970, 1, 2), -1, dt.time(0, 0, 1))]))
    assert content(file) == [(1, -1, 1000000)]


@pytest.mark.parametrize("declared,kind", [
    ("INTEGER", pa.string()), ("REAL", pa.string()), ("INTEGER", pa.float64()),
    ("INTEGER", pa.decimal128(9, 2)), ("REAL", pa.timestamp("us")), ("INT", pa.list_(pa.int32()))])
def test_types_that_do_not_meet(file, declared, kind):
    file.sql(f"CREATE TABLE t (v {declared})")
    f = fails(BADCONF, sink(file, pa.schema([("v", kind)])).__enter__)
    assert "v" in f.msg and declared in f.msg


def test_strict_table(file):
    file.sql("CREATE TABLE t (id INT, name TEXT, x ANY) STRICT")
    put(file, ROWS, rows((1, "a")))
    assert content(file) == [(1, "a", None)]


def test_naughty_names_and_strings(file):
    folder = pathlib.Path(TREE).parent / "shared" / "data" / "blns"
    if not (folder / "blns.json").exists():
        pytest.skip("the list of naughty strings is not beside this checkout")
    texts = [t for t in json.loads((folder / "blns.json").read_text()) if "\0" not in t]
    seen, names = set(), []
    for t in texts:
        key = "".join(c.lower() if c.isascii() else c for c in t)
        if t and key not in seen and not t.startswith("_"):
            seen.add(key)
            names.append(t)
    schema = pa.schema([(n, pa.string()) for n in names])
    values = (texts * 2)[:len(names)]
    put(file, schema, batch(schema, [tuple(values)]), create="true")
    cursor = file.connect().execute("SELECT * FROM t")
    assert [d[0] for d in cursor.description] == names
    assert cursor.fetchone() == tuple(values)


# ---------------------------------------------------------------- units and positions

@pytest.fixture
def made(file):
    with sink(file, create="true", key=["id"]) as s:
        s.found({"0": 0})
        yield s


def ids(file):
    return [r[0] for r in content(file)]


def test_rows_and_position_arrive_together(file, made):
    assert made.take(["0", "1"]) == {"0": (0, 2, 0, 0, 0)}
    unit = made.unit({"0": (0, 3, 2, 2)}, run=7)
    made.begin(unit)
    made.write(rows((1, "a")))
    made.write(rows((2, None)))
    assert content(file) == []
    made.commit(unit)
    assert content(file) == [(1, "a"), (2, None)]
    assert made.take(["0"]) == {"0": (3, 3, 2, 0, 7)}


def test_fencing(file, made):
    assert "PRIMARYKEY" in fails(FENCED, made.found, {"0": 5}).code
    with sink(file) as other:
        other.take(["0"])
        unit = made.unit({"0": (0, 1, 1, 1)})
        made.begin(unit)
        made.write(rows((1, "a")))
        assert fails(FENCED, made.commit, unit).code == "owner"
        other.put(rows((2, "b")), 0, owner=2)
        unit = other.unit({"0": (0, 1, 2, 1)})
        other.begin(unit)
        other.write(rows((3, "c")))
        assert fails(FENCED, other.commit, unit).code == "position"
        file.sql("DELETE FROM millrace_offsets")
        assert fails(FATAL, other.commit, unit).code == "vanished"
    assert ids(file) == [2]


def test_reread(file, made):
    made.found({"1": 5})
    unit = made.unit({"0": (0, 1, 1, 1), "1": (5, 6, 1, 0)})
    assert made.reread(unit) == {"0": (0, 2, 0, 0, 0), "1": (5, 2, 0, 5, 0)}
    file.sql("UPDATE millrace_offsets SET owner = 9 WHERE lane = '1'")
    again = made.unit({"0": (0, 1, 2, 1), "1": (5, 6, 2, 0)})
    assert fails(FENCED, made.reread, again).code == "owner"
    assert file.sql("SELECT owner FROM millrace_offsets ORDER BY lane") == [(2,), (9,)]


def test_state_of_transforms_is_kept_with_the_position(file):
    with sink(file, create="true") as s:
        s.found({"a": 0})
        saved.is_kept(s, 1 << 20)
        saved.is_kept_for_many_lanes(s)


def test_an_older_table_gets_the_column_for_state(file):
    saved.column_is_added(file, lambda **options: sink(file, create="true", **options), None)


def test_abort_and_close_leave_nothing(file, made):
    made.begin()
    made.write(rows((1, "a")))
    made.abort()
    made.put(rows((2, "b")))
    made.begin()
    made.write(rows((3, "c")))
    made.close()
    assert ids(file) == [2]


def test_a_failed_write_leaves_nothing_of_its_batch(file, made):
    made.put(rows((1, "a")))
    unit = made.unit({"0": (1, 9, 1, 0)})
    made.begin(unit)
    made.write(rows((2, "b"), (1, "again")))
    f = fails(REJECT, made.commit, unit)
    assert f.row == 1
    made.abort(unit)
    made.begin(unit)
    made.write(rows((2, "b")))
    made.write(rows((3, "c"), (1, "again"), (4, "d")))
    made.commit(unit)
    assert [r[1] for r in made.rejects] == [1] and content(file) == [
        (1, "a"), (2, "b"), (3, "c"), (4, "d")]


def test_two_sinks_share_a_file(file):
    with sink(file, create="true", table="a", stage="a") as a, \
            sink(file, create="true", table="b", stage="b") as b:
        a.found({"0": 0})
        b.found({"0": 0})
        units = []
        for s in (a, b):
            unit = s.unit({"0": (0, 1, 1, 1)})
            s.begin(unit)
            s.write(rows((1, s.stage.decode())))
            units.append(unit)
        b.commit(units[1])
        a.commit(units[0])
    assert file.sql("SELECT * FROM a UNION SELECT * FROM b") == [(1, "a"), (1, "b")]


def test_wake_ends_the_wait_for_another_writer(file):
    with sink(file, create="true", busy_timeout="1h") as made:
        made.found({"0": 0})
        wait_for_writer(file, made)


def wait_for_writer(file, made):
    other = file.connect()
    other.execute("BEGIN IMMEDIATE")
    unit = made.unit({"0": (0, 1, 1, 1)})
    made.begin(unit)
    made.write(rows((1, "a")))
    made.wake()
    f = fails(RETRY, made.commit, unit)
    assert (f.code, f.unit_lost) == ("SQLITE_BUSY", False)
    made.unwake()
    other.execute("COMMIT")
    made.commit(unit)
    assert ids(file) == [1]


def test_table_changed_by_others(file, made):
    at = made.put(rows((1, "a")))
    unit = made.unit({"0": (at, 2, 1, 1)})
    made.begin(unit)
    made.write(rows((2, "b")))
    file.sql("ALTER TABLE t ADD COLUMN x INTEGER DEFAULT 5")
    f = fails(RETRY, made.commit, unit)
    assert f.unit_lost
    made.abort(unit)
    made.put(rows((2, "b")), at)
    assert content(file) == [(1, "a", 5), (2, "b", 5)]


# ---------------------------------------------------------------- tables

def test_what_start_refuses(file):
    assert fails(BADCONF, sink(file).__enter__).option == "table"
    file.sql("CREATE TABLE t (id INTEGER, must TEXT NOT NULL, d TEXT NOT NULL DEFAULT 'x')")
    f = fails(BADCONF, sink(file).__enter__)
    assert "name" in f.msg
    f = fails(BADCONF, sink(file, pa.schema([("id", pa.int64())])).__enter__)
    assert "must" in f.msg and "d," not in f.msg
    for options, name in (({"path": ":memory:"}, "path"), ({"table": "x.y"}, "table"),
                          ({"mode": "upsert"}, "key"), ({"path": "/nowhere/x.db"}, "path")):
        s = SinkUnderTest("sqlite", ROWS, **{"path": file.path, "table": "t", **options})
        assert fails(BADCONF, s.__enter__).option == name
    (pathlib.Path(file.path).parent / "text.db").write_text("no database " * 200)
    s = SinkUnderTest("sqlite", ROWS, path=file.path.replace("data", "text"), table="t")
    assert fails(BADCONF, s.__enter__).code == "SQLITE_NOTADB"


def test_new_columns(file):
    more = ROWS.append(pa.field("note", pa.string()))
    with sink(file, create="true", evolve="add") as s:
        s.found({"0": 0})
        at = s.put(rows((1, "a")))
        s.evolve(more)
        s.evolve(more)
        at = s.put(batch(more, [(2, "b", "n")]), at)
        s.evolve(ROWS)
        s.put(rows((3, "c")), at)
    assert content(file) == [(1, "a", None), (2, "b", "n"), (3, "c", None)]
    with sink(file) as s:
        s.evolve(more.append(pa.field("other", pa.int32())))
        assert any("other" in text and level == 2 for level, text in s.logs)


CHANGES = ROWS.append(pa.field("_op", pa.string()))


def test_upsert(file):
    with sink(file, CHANGES, mode="upsert", key=["id"], create="true") as s:
        s.found({"0": 0})
        at = s.put(batch(CHANGES, [(1, "a", "insert"), (2, "b", "insert"), (1, "c", "update"),
                                   (3, "x", "insert"), (3, None, "delete"), (None, "n", "insert")]))
        assert [(r[1], r[2], r[4]) for r in s.rejects] == [(5, "23502", "id")]
        s.put(batch(CHANGES, [(2, None, "delete"), (4, "d", None), (9, None, "delete")]), at)
    assert content(file) == [(1, "c"), (4, "d")]
    file.sql("CREATE TABLE u (id INTEGER, name TEXT)")
    f = fails(BADCONF, sink(file, table="u", mode="upsert", key=["id"]).__enter__)
    assert f.option == "key"


def test_check_and_discover(file):
    file.sql('CREATE TABLE t (id INTEGER PRIMARY KEY, "odd ""name" TEXT NOT NULL, r DOUBLE)')
    s = sink(file, schema=None)
    assert s.check().startswith("SQLite 3") and s.check().endswith("table t: ok")
    assert [json.loads(line)["table"] for line in s.discover().splitlines()] == ["t"]
    assert [tuple(json.loads(line).values()) for line in s.discover("t").splitlines()] == [
        ("id", "INTEGER", "int64", False), ('odd "name', "TEXT", "utf8", False),
        ("r", "DOUBLE", "float64", True)]
    s.close()
    s = sink(file)
    assert "name" in fails(BADCONF, s.check).msg
    s.close()
    absent = SinkUnderTest("sqlite", None, path=file.path + "x", table="t", create="true")
    assert absent.check().endswith("will be created")
    assert not pathlib.Path(file.path + "x").exists()
    absent.close()
