# SPDX-License-Identifier: Apache-2.0
"""Every type, with its extremes: what arrives is what was sent, by LOAD DATA and by INSERT."""

import datetime as dt
import decimal
import json
import uuid

import pyarrow as pa
import pytest

from abi import BADCONF, TREE, Failure, SinkUnderTest, batch

D = decimal.Decimal
decimal.getcontext().prec = 60
UUIDS = [uuid.UUID(int=0), uuid.UUID("0123456789abcdef0123456789abcdef"), uuid.UUID(int=2**128 - 1)]
LONG = "x" * (1 << 20)

# name, Arrow type, values, what the server gives as text where str() of the value is not it
CASES = [
    ("b", pa.bool_(), [True, False, None], ["1", "0", None]),
    ("i8", pa.int8(), [-128, 127, None], None),
    ("i16", pa.int16(), [-32768, 32767, None], None),
    ("i32", pa.int32(), [-2**31, 2**31 - 1, None], None),
    ("i64", pa.int64(), [-2**63, 2**63 - 1, None], None),
    ("u8", pa.uint8(), [0, 255, None], None),
    ("u16", pa.uint16(), [0, 65535, None], None),
    ("u32", pa.uint32(), [0, 2**32 - 1, None], None),
    ("u64", pa.uint64(), [0, 18446744073709551615, None], None),
    ("d18", pa.decimal128(18, 4), [D("99999999999999.9999"), D("-0.0001"), None], None),
    ("d38", pa.decimal128(38, 0), [D("9" * 38), D("-" + "9" * 38), D(0)], None),
    ("d3838", pa.decimal128(38, 38), [D("0." + "9" * 38), D("-0." + "0" * 37 + "1"), None],
     ["0." + "9" * 38, "-0." + "0" * 37 + "1", None]),
    ("day", pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1969, 12, 31)], None),
    ("time", pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999999), None],
     ["00:00:00.000000", "23:59:59.999999", None]),
    ("ts", pa.timestamp("us"), [dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
                                dt.datetime(1, 1, 1, 0, 0, 0, 1), None], None),
    ("tz", pa.timestamp("us", "UTC"),
     [dt.datetime(1900, 1, 1, 0, 0, 0, 1, dt.timezone.utc),
      dt.datetime(2026, 1, 28, 10, 0, 0, 123456, dt.timezone.utc), None],
     ["1900-01-01 00:00:00.000001", "2026-01-28 10:00:00.123456", None]),
    ("s", pa.string(), ["", "aé€😀\\N\t\n\r\"'\\\0%_", LONG], None),
    ("id", pa.binary(16), [u.bytes for u in UUIDS], [str(u) for u in UUIDS]),
]
BYTES = ("bin", pa.binary(), [b"", bytes(range(256)), None])
FLOATS = [("f32", pa.float32(), [3.4028234663852886e38, 0.10000000149011612, None]),
          ("f64", pa.float64(), [1.7976931348623157e308, 5e-324, None])]
NESTED = [
    ("li", pa.list_(pa.int64()), [[], [1, None, -2**63], None]),
    ("ls", pa.list_(pa.string()), [["", "a,b", "NULL", 'q"\\\n'], [None], []]),
    ("st", pa.struct([("a", pa.int64()), ("b", pa.string())]),
     [{"a": 2**63 - 1, "b": 'x"\n'}, {"a": None, "b": None}, None]),
    ("mp", pa.map_(pa.string(), pa.int32()), [[("k", 1), ("l", None)], [], None]),
]
COLUMNS = [c[:3] for c in CASES] + [BYTES] + FLOATS + NESTED
SCHEMA = pa.schema([("n", pa.int32())] + [(name, kind) for name, kind, _ in COLUMNS])


def rows():
    arrays = [pa.array(range(3), pa.int32())] + [pa.array(v, t) for _, t, v in COLUMNS]
    return pa.record_batch(arrays, schema=SCHEMA)


def sink(db, schema, **options):
    return SinkUnderTest("mysql", schema, url=db.url, **{"table": "t", **options})


def put(db, schema, record, **options):
    with sink(db, schema, **options) as s:
        s.found({"0": 0})
        s.put(record)
        return s


def column(db, name, expr="{}"):
    return [v for (v,) in db.sql(f"SELECT {expr.format(f'`{name}`')} FROM t ORDER BY n")]


@pytest.mark.parametrize("options", [{"method": "load"}, {"method": "insert"},
                                     {"mode": "upsert", "key": ["n"]},
                                     {"mode": "upsert", "key": ["n"], "method": "insert"}])
def test_every_type_arrives_in_the_table_that_create_makes(db, options):
    assert put(db, SCHEMA, rows(), create="true", **options).rejects == []
    for name, _, values, shown in CASES:
        want = shown or [None if v is None else str(v) for v in values]
        got = column(db, name, "CAST({} AS char)") if name != "s" else column(db, name)
        if name == "ts":
            got = [v and v.lstrip("0") for v in got]
            want = [v and v.lstrip("0") for v in want]
        assert got == want, name
    assert column(db, "bin") == BYTES[2]
    for name, _, values in FLOATS:
        assert column(db, name, "{} + 0e0") == values, name
    for name, _, values in NESTED:
        got = [v and json.loads(v) for v in column(db, name)]
        assert got == [dict(v) if name == "mp" and v is not None else v for v in values], name


def test_slices_are_read_from_where_they_begin(db):
    whole = rows()
    put(db, SCHEMA, whole.slice(1, 2), create="true")
    assert column(db, "u64") == [18446744073709551615, None]
    assert column(db, "s") == CASES[16][2][1:]


def test_naughty_strings(db):
    path = TREE.parent / "shared" / "data" / "blns" / "blns.json"
    if not path.exists():
        pytest.skip("no ../shared/data/blns")
    strings = json.loads(path.read_text())
    schema = pa.schema([("n", pa.int32()), ("s", pa.string())])
    for method in ("load", "insert"):
        db.sql("DROP TABLE IF EXISTS t")
        db.sql("DROP TABLE IF EXISTS millrace_offsets")
        put(db, schema, batch(schema, list(enumerate(strings))), create="true", method=method)
        assert column(db, "s") == strings


@pytest.mark.parametrize("kind, ddl, value, got", [
    (pa.bool_(), "bit(1)", True, b"\1"), (pa.int32(), "bit(9)", 300, b"\1\x2c"),
    (pa.int32(), "decimal(5,1)", -9999, D("-9999.0")), (pa.int64(), "double", 2**53, 2.0**53),
    (pa.uint16(), "year", 2026, 2026), (pa.int64(), "varchar(20)", -5, "-5"),
    (pa.bool_(), "varchar(20)", False, "false"), (pa.float64(), "text", 0.1, "0.1"),
    (pa.date32(), "datetime", dt.date(1969, 12, 31), dt.datetime(1969, 12, 31)),
    (pa.timestamp("us", "UTC"), "timestamp(3) NULL", 1_500_000, dt.datetime(1970, 1, 1, 0, 0, 1, 500000)),
    (pa.string(), "varbinary(10)", "ä", "ä".encode()), (pa.binary(16), "binary(16)", UUIDS[1].bytes, UUIDS[1].bytes),
    (pa.binary(16), "char(36)", UUIDS[1].bytes, str(UUIDS[1])), (pa.string(), "uuid", str(UUIDS[0]), str(UUIDS[0])),
    (pa.binary(16), "uuid", UUIDS[0].bytes, str(UUIDS[0])),
    (pa.string(), "inet6", "::1", "::1"), (pa.string(), "set('a','b')", "a,b", "a,b"),
    (pa.decimal128(10, 4), "decimal(6,2)", D("1234.5600"), D("1234.56")),
    (pa.string(), "varchar(5) CHARACTER SET latin1", "äöü", "äöü"),
])
@pytest.mark.parametrize("method", ["load", "insert"])
def test_pairs_that_keep_the_value(db, kind, ddl, value, got, method):
    db.sql(f"CREATE TABLE t (n int, v {ddl})")
    schema = pa.schema([("n", pa.int32()), ("v", kind)])
    assert put(db, schema, batch(schema, [(0, value), (1, None)]), method=method).rejects == []
    assert column(db, "v") == [got, None]


@pytest.mark.parametrize("kind, ddl", [
    (pa.string(), "int"), (pa.string(), "date"), (pa.uint64(), "bigint"), (pa.float64(), "decimal(10,2)"),
    (pa.float64(), "int"), (pa.decimal128(10, 2), "double"), (pa.timestamp("us"), "date"),
    (pa.binary(), "text"), (pa.int32(), "datetime"), (pa.list_(pa.int32()), "int"),
])
def test_pairs_that_could_change_a_value_are_refused_at_start(db, kind, ddl):
    db.sql(f"CREATE TABLE t (v {ddl})")
    with pytest.raises(Failure) as caught:
        sink(db, pa.schema([("v", kind)])).__enter__()
    assert caught.value.status == BADCONF and "column v of t has type" in caught.value.msg


@pytest.mark.parametrize("kind, ddl, value", [
    (pa.date32(), "date", -719163), (pa.date32(), "date", 2932897), (pa.timestamp("us"), "datetime(6)", 2**62),
    (pa.int64(), "double", 2**53 + 1), (pa.int64(), "float", 2**24 + 1), (pa.int64(), "decimal(5,2)", 1000),
    (pa.int32(), "year", 1900), (pa.int32(), "bit(3)", 8),
    (pa.binary(16), "char(20)", UUIDS[1].bytes),
])
def test_values_that_do_not_fit_are_rejected_alone(db, kind, ddl, value):
    db.sql(f"CREATE TABLE t (n int, v {ddl})")
    schema = pa.schema([("n", pa.int32()), ("v", kind)])
    record = pa.record_batch([pa.array([0, 1, 2], pa.int32()), pa.array([None, value, None], kind)], schema=schema)
    assert [r[1] for r in put(db, schema, record).rejects] == [1]
    assert column(db, "n") == [0, 2]
