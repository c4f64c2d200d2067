# SPDX-License-Identifier: Apache-2.0
"""Every type, with its extremes: what arrives is what was sent, by COPY in both forms and by INSERT."""

import datetime as dt
import decimal
import json
import math
import pathlib
import uuid

import pyarrow as pa
import pytest

from abi import TREE, Failure, SinkUnderTest, batch

D = decimal.Decimal
decimal.getcontext().prec = 60
UUIDS = [uuid.UUID(int=0), uuid.UUID("0123456789abcdef0123456789abcdef"), uuid.UUID(int=2**128 - 1)]
LONG = "x" * (1 << 20)

# name, Arrow type, values
CASES = [
    ("b", pa.bool_(), [True, False, None]),
    ("i8", pa.int8(), [-128, 127, None]),
    ("i16", pa.int16(), [-32768, 32767, None]),
    ("i32", pa.int32(), [-2**31, 2**31 - 1, None]),
    ("i64", pa.int64(), [-2**63, 2**63 - 1, None]),
    ("u8", pa.uint8(), [0, 255, None]),
    ("u16", pa.uint16(), [0, 65535, None]),
    ("u32", pa.uint32(), [0, 2**32 - 1, None]),
    ("u64", pa.uint64(), [0, 18446744073709551615, None]),
    ("f32", pa.float32(), [3.4028234663852886e38, -0.5, None]),
    ("f64", pa.float64(), [1.7976931348623157e308, 5e-324, None]),
    ("d18", pa.decimal128(18, 4), [D("99999999999999.9999"), D("-0.0001"), None]),
    ("d38", pa.decimal128(38, 0), [D("9" * 38), D("-" + "9" * 38), D(0)]),
    ("d3838", pa.decimal128(38, 38), [D("0." + "9" * 38), D("-0." + "0" * 37 + "1"), None]),
    ("d5", pa.decimal128(9, 5), [D("1000.00000"), D("-1234.50000"), D("0.00010")]),
    ("day", pa.date32(), [dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(1969, 12, 31)]),
    ("time", pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999999), None]),
    ("ts", pa.timestamp("us"), [dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
                                dt.datetime(2262, 4, 12, 1, 2, 3, 4), None]),
    ("tz", pa.timestamp("us", "UTC"),
     [dt.datetime(1900, 1, 1, 0, 0, 0, 1, dt.timezone.utc),
      dt.datetime(2026, 1, 28, 10, 0, 0, 123456, dt.timezone.utc), None]),
    ("s", pa.string(), ["", "aé€😀\\N\t\n\r\"'\\", LONG]),
    ("bin", pa.binary(), [b"", bytes(range(256)), None]),
    ("id", pa.binary(16), [u.bytes for u in UUIDS]),
    ("li", pa.list_(pa.int64()), [[], [1, None, -2**63], None]),
    ("ls", pa.list_(pa.string()), [["", "a,b", "NULL", 'q"\\'], [None], []]),
    ("ld", pa.list_(pa.decimal128(10, 2)), [[D("1.50"), D("-0.01")], [], None]),
    ("st", pa.struct([("a", pa.int64()), ("b", pa.string())]),
     [{"a": 2**63 - 1, "b": 'x"\n'}, {"a": None, "b": None}, None]),
    ("mp", pa.map_(pa.string(), pa.int32()), [[("k", 1), ("l", None)], [], None]),
]
EXPECT = {  # where psycopg gives something else than pyarrow took
    "id": lambda v: uuid.UUID(bytes=v),
    "mp": lambda v: dict(v),
    "bin": lambda v: v,
}
SCHEMA = pa.schema([("n", pa.int32())] + [(name, kind) for name, kind, _ in CASES])


def rows():
    arrays = [pa.array(range(3), pa.int32())] + [pa.array(v, t) for _, t, v in CASES]
    return pa.record_batch(arrays, schema=SCHEMA)


def sink(db, schema, **options):
    return SinkUnderTest("postgres", schema, url=db.url, **{"table": "public.t", **options})


def put(db, schema, record, **options):
    with sink(db, schema, **options) as s:
        s.found({"0": 0})
        s.put(record)
        return s


def column(db, name, order=""):
    cast = "::float8" if name == "f32" else ""
    return [v for (v,) in db.sql(f'SELECT "{name}"{cast} FROM t {order}')]


def same(want, got):
    if isinstance(want, float):
        return want == got or (math.isnan(want) and math.isnan(got))
    return want == got


@pytest.mark.parametrize("how", ["binary", "text", "insert"])
def test_every_type_and_its_extremes(db, how):
    options = {"create": "true", "method": "insert" if how == "insert" else "auto"}
    schema, record = SCHEMA, rows()
    if how == "text":  # one column of a type without a binary form here moves the table to text
        db.sql("CREATE TABLE t ()")
        db.sql("ALTER TABLE t ADD COLUMN net inet")
        options["evolve"] = "add"
        schema = SCHEMA.append(pa.field("net", pa.string()))
        record = record.append_column("net", pa.array(["10.0.0.1/8", None, "::1"], pa.string()))
    put(db, schema, record, **options)
    if how == "text":
        assert any("COPY" in line and "FROM STDIN" in line and "binary" not in line
                   for line in db.log())
    for name, _, values in CASES:
        got = column(db, name, "ORDER BY n")
        want = [None if v is None else EXPECT.get(name, lambda x: x)(v) for v in values]
        assert all(map(same, want, got)), (name, want, got)


def test_created_types(db):
    put(db, SCHEMA, rows(), create="true")
    types = dict(db.sql("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
                        " WHERE attrelid = 't'::regclass AND attnum > 0"))
    assert types["u64"] == "numeric(20,0)" and types["d18"] == "numeric(18,4)"
    assert types["tz"] == "timestamp with time zone" and types["ls"] == "text[]"
    assert types["u32"] == "bigint" and types["id"] == "uuid" and types["st"] == "jsonb"


def test_slices_are_read_at_their_offset(db):
    record = pa.concat_batches([rows()] * 3).slice(4, 4)
    put(db, SCHEMA, record, create="true")
    for name, _, values in CASES:
        want = [values[i % 3] for i in range(4, 8)]
        want = [None if v is None else EXPECT.get(name, lambda x: x)(v) for v in want]
        got = column(db, name)
        assert all(map(same, want, got)), name


def test_text_forms_into_types_of_the_server(db):
    db.sql("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    db.sql("CREATE DOMAIN short AS varchar(5)")
    db.sql("CREATE TABLE t (id uuid, j json, jb jsonb, m mood, d short, c char(3), n name)")
    schema = pa.schema([(n, pa.string()) for n in ("id", "j", "jb", "m", "d", "c", "n")])
    put(db, schema, batch(schema, [(str(UUIDS[1]), '{"a": 1}', '[1, "x"]', "glad", "abcde", "ab",
                                    "nm")]))
    assert db.sql("SELECT * FROM t") == [(UUIDS[1], {"a": 1}, [1, "x"], "glad", "abcde", "ab ",
                                          "nm")]
    assert any("FORMAT binary" in line for line in db.log())


def test_values_that_the_server_parses(db):
    db.sql("CREATE TABLE t (i int, d date, v interval, r numrange)")
    schema = pa.schema([(n, pa.string()) for n in ("i", "d", "v", "r")])
    put(db, schema, batch(schema, [("42", "2026-01-28", "1 day", "[1,2)")]))
    assert db.sql("SELECT i, d, v::text, r::text FROM t") == [
        (42, dt.date(2026, 1, 28), "1 day", "[1,2)")]


def test_wider_and_other_targets(db):
    db.sql("CREATE TABLE t (a numeric(20,0), b numeric, c double precision, d text, e text, f timestamp,"
           " g timestamptz, h numeric, i numeric(10,2), j bytea, k real)")
    schema = pa.schema([
        ("a", pa.uint64()), ("b", pa.int64()), ("c", pa.float32()), ("d", pa.decimal128(9, 3)),
        ("e", pa.timestamp("us", "UTC")), ("f", pa.date32()), ("g", pa.timestamp("us")),
        ("h", pa.float64()), ("i", pa.decimal128(20, 4)), ("j", pa.binary(16)),
        ("k", pa.float64())])
    when = dt.datetime(2026, 1, 2, 3, 4, 5, 6)
    put(db, schema, batch(schema, [
        (2**63 - 1, -2**63, 0.5, D("1.250"), when, when.date(), when, 1e300, D("12345678.9100"),
         UUIDS[1].bytes, 0.1)]))
    got = db.sql("SELECT a, b, c, d, e, f, g AT TIME ZONE 'UTC', h, i, j, k FROM t")[0]
    assert got == (2**63 - 1, -2**63, 0.5, "1.250", "2026-01-02 03:04:05.000006+00",
                   dt.datetime(2026, 1, 2), when, D(10) ** 300, D("12345678.91"), UUIDS[1].bytes,
                   got[10])
    assert abs(got[10] - 0.1) < 1e-7


@pytest.mark.parametrize("target,kind,good,bad,code", [
    ("smallint", pa.int32(), -32768, 32768, "22003"),
    ("integer", pa.uint32(), 7, 2**31, "22003"),
    ("numeric(4,2)", pa.decimal128(10, 4), D("99.9900"), D("99.9990"), "22003"),
    ("numeric(4,2)", pa.decimal128(10, 2), D("-99.99"), D("100.00"), "22003"),
    ("numeric(3,0)", pa.int64(), 999, 1000, "22003"),
    ("real", pa.float64(), 1.5, 1e300, "22003"),
    ("double precision", pa.int64(), 2**53, 2**53 + 1, "22003"),
    ("varchar(3)", pa.string(), "äöü", "äöü!", "22001"),
    ("text", pa.string(), "ok", "a\0b", "22021"),
    ("uuid", pa.string(), str(UUIDS[1]), "no", "22P02"),
    ("text NOT NULL", pa.string(), "", None, "23502"),
    ("timestamp", pa.timestamp("us"), 0, -2**63, "22008"),
    ("jsonb", pa.string(), "{}", "{", "22P02"),
    ("int CHECK (v > 0)", pa.int32(), 1, 0, "23514"),
])
@pytest.mark.parametrize("method", ["auto", "insert"])
def test_a_bad_value_is_rejected_with_its_row_and_the_others_arrive(db, target, kind, good, bad,
                                                                   code, method):
    db.sql(f"CREATE TABLE t (n int, v {target})")
    schema = pa.schema([("n", pa.int32()), ("v", kind)])
    record = batch(schema, [(0, good), (1, bad), (2, good)])
    with sink(db, schema, method=method) as s:
        s.found({"0": 0})
        try:
            s.put(record)
            assert [(r[1], r[2], r[4]) for r in s.rejects] == [(1, code, "v")]
        except Failure as f:  # only the server can tell: the unit goes again without that row
            assert (f.status, f.code, f.unit_lost) == (-2, code, True)
            assert f.row == (1 if method == "auto" else -1), f.msg
            assert "100" not in f.msg and "{" not in f.msg
            s.abort()
            s.put(pa.concat_batches([record.slice(0, 1), record.slice(2)]))
    assert db.sql("SELECT n FROM t ORDER BY n") == [(0,), (2,)]


def test_nan_and_infinity(db):
    schema = pa.schema([("a", pa.float64()), ("b", pa.float32()), ("c", pa.float64())])
    db.sql("CREATE TABLE t (a float8, b float4, c numeric)")
    put(db, schema, batch(schema, [(math.nan, math.inf, math.nan), (-math.inf, math.nan, -math.inf),
                                   (-0.0, 0.0, 0.1)]))
    assert db.sql("SELECT a::text, b::text, c::text FROM t") == [
        ("NaN", "Infinity", "NaN"), ("-Infinity", "NaN", "-Infinity"), ("-0", "0", "0.1")]


def test_naughty_strings(db):
    folder = pathlib.Path(TREE).parent / "shared" / "data" / "blns"
    if not (folder / "blns.json").exists():
        pytest.skip("the list of naughty strings is not beside this checkout")
    texts = [t for t in json.loads((folder / "blns.json").read_text()) if "\0" not in t]
    schema = pa.schema([("n", pa.int32()), ("t", pa.string())])
    for method in ("auto", "insert"):
        db.sql("DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS millrace_offsets")
        put(db, schema, batch(schema, list(enumerate(texts))), create="true", method=method)
        assert [t for (t,) in db.sql("SELECT t FROM t ORDER BY n")] == texts


def test_naughty_names(db):
    folder = pathlib.Path(TREE).parent / "shared" / "data" / "blns"
    if not (folder / "blns.json").exists():
        pytest.skip("the list of naughty strings is not beside this checkout")
    names = dict.fromkeys(
        t for t in json.loads((folder / "blns.json").read_text())
        if t and "\0" not in t and len(t.encode()) < 64 and not t.startswith("_"))
    schema = pa.schema([(name, pa.int32()) for name in names])
    put(db, schema, batch(schema, [tuple(range(len(names)))]), create="true")
    with db.connect() as connection:
        cursor = connection.execute("SELECT * FROM t")
        assert [c.name for c in cursor.description] == list(names)
        assert cursor.fetchone() == tuple(range(len(names)))
