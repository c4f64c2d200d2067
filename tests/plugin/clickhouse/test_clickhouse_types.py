# SPDX-License-Identifier: Apache-2.0
"""Every type, with its extremes: what arrives is what was sent; what does not fit is refused."""

import datetime as dt
import decimal
import json
import pathlib
import uuid

import pyarrow as pa
import pytest

from abi import BADCONF, TREE, Failure, batch

D = decimal.Decimal
decimal.getcontext().prec = 60
UTC = dt.timezone.utc
LONG = "x" * (1 << 20)
UUIDS = ["00000000-0000-0000-0000-000000000000", "01234567-89ab-cdef-0123-456789abcdef",
         "ffffffff-ffff-ffff-ffff-ffffffffffff"]


def raw(text):
    return uuid.UUID(text).bytes


# name, Arrow type, values, the column's type in a created table, toString() of the values
CASES = [
    ("b", pa.bool_(), [True, False, None], "Bool", ["true", "false", None]),
    ("i8", pa.int8(), [-128, 127, None], "Int8", ["-128", "127", None]),
    ("i16", pa.int16(), [-32768, 32767, None], "Int16", ["-32768", "32767", None]),
    ("i32", pa.int32(), [-2**31, 2**31 - 1, None], "Int32", [str(-2**31), str(2**31 - 1), None]),
    ("i64", pa.int64(), [-2**63, 2**63 - 1, None], "Int64", [str(-2**63), str(2**63 - 1), None]),
    ("u8", pa.uint8(), [0, 255, None], "UInt8", ["0", "255", None]),
    ("u16", pa.uint16(), [0, 65535, None], "UInt16", ["0", "65535", None]),
    ("u32", pa.uint32(), [0, 2**32 - 1, None], "UInt32", ["0", str(2**32 - 1), None]),
    ("u64", pa.uint64(), [0, 2**64 - 1, None], "UInt64", ["0", str(2**64 - 1), None]),
    ("f32", pa.float32(), [1.5, -0.5, None], "Float32", ["1.5", "-0.5", None]),
    ("f64", pa.float64(), [1.7976931348623157e308, float("inf"), None], "Float64",
     ["1.7976931348623157e308", "inf", None]),
    ("d9", pa.decimal128(9, 5), [D("1000.00000"), D("-1234.50000"), D("0.00010")], "Decimal(9, 5)",
     ["1000", "-1234.5", "0.0001"]),
    ("d18", pa.decimal128(18, 4), [D("99999999999999.9999"), D("-0.0001"), None], "Decimal(18, 4)",
     ["99999999999999.9999", "-0.0001", None]),
    ("d38", pa.decimal128(38, 0), [D("9" * 38), D("-" + "9" * 38), D(0)], "Decimal(38, 0)",
     ["9" * 38, "-" + "9" * 38, "0"]),
    ("d3838", pa.decimal128(38, 38), [D("0." + "9" * 38), D("-0." + "0" * 37 + "1"), None],
     "Decimal(38, 38)", ["0." + "9" * 38, "-0." + "0" * 37 + "1", None]),
    ("day", pa.date32(), [dt.date(1900, 1, 1), dt.date(2299, 12, 31), dt.date(1969, 12, 31)],
     "Date32", ["1900-01-01", "2299-12-31", "1969-12-31"]),
    ("time", pa.time64("us"), [dt.time(0), dt.time(23, 59, 59, 999999), None], "String",
     ["00:00:00", "23:59:59.999999", None]),
    ("ts", pa.timestamp("us"), [dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
                                dt.datetime(2262, 4, 12, 1, 2, 3, 4), None],
     "DateTime64(6, 'UTC')", ["1969-12-31 23:59:59.999999", "2262-04-12 01:02:03.000004", None]),
    ("tz", pa.timestamp("us", "UTC"), [dt.datetime(1900, 1, 1, 0, 0, 0, 1, UTC),
                                       dt.datetime(2026, 1, 28, 10, 0, 0, 123456, UTC), None],
     "DateTime64(6, 'UTC')", ["1900-01-01 00:00:00.000001", "2026-01-28 10:00:00.123456", None]),
    ("s", pa.string(), ["", "aé€😀\\N\t\n\r\"'\\", LONG], "String", ["", "aé€😀\\N\t\n\r\"'\\", LONG]),
    ("bin", pa.binary(), [b"", b"\0\n\\", None], "String", ["", "\0\n\\", None]),
    ("id", pa.binary(16), [raw(u) for u in UUIDS], "UUID", UUIDS),
]
# nested ones: what JSON of the row has
NESTED = [
    ("li", pa.list_(pa.int64()), [[], [1, None, -2**63]], "Array(Nullable(Int64))",
     [[], ["1", None, str(-2**63)]]),
    ("ls", pa.list_(pa.string()), [["", "a,b"], [None]], "Array(Nullable(String))",
     [["", "a,b"], [None]]),
    ("ll", pa.list_(pa.field("e", pa.list_(pa.field("e", pa.int32(), False)), False)),
     [[[1], [], [2, 3]], []], "Array(Array(Int32))", [[[1], [], [2, 3]], []]),
    ("st", pa.struct([("a", pa.int64()), ("b", pa.string())]),
     [{"a": 2**63 - 1, "b": 'x"\n'}, {"a": None, "b": None}],
     "Tuple(\n    a Nullable(Int64),\n    b Nullable(String))",
     [{"a": str(2**63 - 1), "b": 'x"\n'}, {"a": None, "b": None}]),
    ("mp", pa.map_(pa.string(), pa.int32()), [[("k", 1), ("l", None)], []],
     "Map(String, Nullable(Int32))", [{"k": 1, "l": None}, {}]),
    ("ml", pa.list_(pa.map_(pa.string(), pa.list_(pa.int8()))), [[[("k", [1, 2])], []], []],
     None, [[{"k": [1, 2]}, {}], []]),
]


@pytest.mark.parametrize("name, kind, values, made, texts", CASES, ids=[c[0] for c in CASES])
def test_a_created_column_keeps_every_value(db, name, kind, values, made, texts):
    schema = pa.schema([("n", pa.int32()), (name, kind)])
    with db.sink(schema, create=True, order_by=["n"]) as s:
        s.insert(batch(schema, list(zip(range(3), values))))
        assert s.rejects == []
    [[shown]] = db.rows(f"SELECT type FROM system.columns WHERE database = '{db.name}'"
                        f" AND table = 't' AND name = '{name}'")
    assert shown == f"Nullable({made})"
    assert [v for (v,) in db.rows(f"SELECT toString({name}) FROM t ORDER BY n")] == texts


@pytest.mark.parametrize("name, kind, values, made, texts", CASES, ids=[c[0] for c in CASES])
def test_an_old_server_keeps_every_value(old, name, kind, values, made, texts):
    """Types that it has not are text there."""
    schema = pa.schema([("n", pa.int32()), (name, kind)])
    rows = batch(schema, list(zip(range(3), values)))
    dates = name == "day"  # its Date begins in 1970: see test_what_does_not_fit_is_refused
    with old.sink(schema, create=True, order_by=["n"]) as s:
        s.insert(rows)
        assert len(s.rejects) == (3 if dates else 0)
    if dates:
        return
    if name == "b":
        texts = ["1", "0", None]
    if isinstance(values[0], D):  # its toString() of a Decimal is broken
        lines = old.query(f"SELECT {name} FROM t ORDER BY n FORMAT TabSeparated").decode().split()
        assert [None if v == "\\N" else D(v) for v in lines] == values
        return
    found = [v for (v,) in old.rows(f"SELECT toString({name}) FROM t ORDER BY n")]
    if name == "tz":
        found = [v and v.replace("+00", "") for v in found]
    assert found == texts


@pytest.mark.parametrize("name, kind, values, made, found", NESTED, ids=[c[0] for c in NESTED])
def test_nested_values(db, name, kind, values, made, found):
    schema = pa.schema([("n", pa.int32()), (name, kind)])
    rows = batch(schema, list(zip(range(2), values)))
    with db.sink(schema, create=True, order_by=["n"]) as s:
        s.insert(rows, rows.slice(1, 1))
        assert s.rejects == []
    text = db.query(f"SELECT {name} FROM t ORDER BY n FORMAT JSONEachRow",
                    output_format_json_quote_64bit_integers=1)
    assert [json.loads(line)[name] for line in text.splitlines()] == [*found, found[1]]


# the pipeline's type, the column's, what goes in (toString) and what is refused
PAIRS = [
    (pa.int64(), "UInt8", {0: "0", 255: "255"}, [-1, 256]),
    (pa.int64(), "Int8", {-128: "-128", 127: "127"}, [-129, 128]),
    (pa.uint64(), "Int64", {2**63 - 1: str(2**63 - 1)}, [2**63, 2**64 - 1]),
    (pa.int64(), "UInt64", {2**63 - 1: str(2**63 - 1)}, [-1]),
    (pa.uint64(), "Int128", {2**64 - 1: str(2**64 - 1)}, []),
    (pa.int64(), "Int256", {-1: "-1", -2**63: str(-2**63)}, []),
    (pa.int64(), "Bool", {0: "false", 1: "true"}, [2]),
    (pa.int64(), "Float64", {-3: "-3"}, []),
    (pa.int32(), "String", {-3: "-3"}, []),
    (pa.int32(), "Enum8('a' = -1, 'b' = 5)", {-1: "a", 5: "b"}, [0]),
    (pa.string(), "Enum16('a' = -1, 'it\\'s' = 500)", {"a": "a", "it's": "it's"}, ["b", ""]),
    (pa.int64(), "Decimal(9, 2)", {9999999: "9999999"}, [10**7]),
    (pa.decimal128(20, 2), "Decimal(18, 4)", {D("-1.50"): "-1.5"}, [D("123456789012345678.00")]),
    (pa.decimal128(20, 2), "Decimal(9, 1)", {D("1.50"): "1.5"}, [D("1.55")]),
    (pa.decimal128(38, 0), "Decimal(76, 30)", {D("9" * 38): "9" * 38, D("-1"): "-1"}, []),
    (pa.decimal128(20, 0), "UInt64", {D(2**64 - 1): str(2**64 - 1)}, [D(2**64), D(-1)]),
    (pa.decimal128(38, 1), "UInt256", {D("1.0"): "1"}, [D("1.5"), D("-1.0")]),
    (pa.date32(), "Date", {dt.date(1970, 1, 1): "1970-01-01", dt.date(2149, 6, 6): "2149-06-06"},
     [dt.date(1969, 12, 31), dt.date(2149, 6, 7)]),
    (pa.date32(), "Date32", {dt.date(1900, 1, 1): "1900-01-01"},
     [dt.date(1899, 12, 31), dt.date(2300, 1, 1)]),
    (pa.date32(), "DateTime('UTC')", {dt.date(2026, 1, 2): "2026-01-02 00:00:00"},
     [dt.date(1969, 1, 1)]),
    (pa.date32(), "DateTime64(3, 'UTC')", {dt.date(1950, 1, 2): "1950-01-02 00:00:00.000"},
     [dt.date(1850, 1, 1)]),
    (pa.timestamp("us"), "DateTime('UTC')",
     {dt.datetime(2026, 1, 1): "2026-01-01 00:00:00"},
     [dt.datetime(2026, 1, 1, 0, 0, 0, 1), dt.datetime(1969, 1, 1), dt.datetime(2107, 1, 1)]),
    (pa.timestamp("us"), "DateTime64(3, 'UTC')",
     {dt.datetime(1969, 12, 31, 23, 59, 59, 999000): "1969-12-31 23:59:59.999"},
     [dt.datetime(2026, 1, 1, 0, 0, 0, 1), dt.datetime(1899, 12, 31), dt.datetime(2300, 1, 1)]),
    (pa.timestamp("us", "UTC"), "DateTime64(9, 'UTC')",
     {dt.datetime(2026, 1, 1, 0, 0, 0, 1, UTC): "2026-01-01 00:00:00.000001000"},
     [dt.datetime(2262, 12, 31, tzinfo=UTC)]),
    (pa.string(), "FixedString(3)", {"ab": "ab", "abc": "abc"}, ["abcd"]),
    (pa.binary(16), "FixedString(16)", {b"0123456789abcdef": "0123456789abcdef"}, []),
    (pa.binary(16), "String", {raw(UUIDS[1]): UUIDS[1]}, []),
    (pa.string(), "UUID", {UUIDS[1].upper(): UUIDS[1]}, ["x", "0123"]),
    (pa.string(), "IPv4", {"1.2.3.4": "1.2.3.4"}, ["1.2.3", "::1"]),
    (pa.string(), "IPv6", {"::1": "::1", "1.2.3.4": "::ffff:1.2.3.4"}, ["1.2.3"]),
    (pa.string(), "LowCardinality(String)", {"a": "a"}, [None]),
    (pa.string(), "LowCardinality(Nullable(String))", {"a": "a", None: None}, []),
    (pa.int64(), "SimpleAggregateFunction(sum, Int64)", {7: "7"}, []),
    (pa.list_(pa.string()), "Array(LowCardinality(String))", {}, [[None], None]),
    (pa.list_(pa.int64()), "String", {}, []),
]


@pytest.mark.parametrize("kind, column, good, bad", PAIRS, ids=[f"{p[0]}-{p[1]}" for p in PAIRS])
def test_what_does_not_fit_is_refused(db, kind, column, good, bad):
    schema = pa.schema([("n", pa.int32()), ("v", kind)])
    db.query(f"CREATE TABLE t (n Int32, v {column}) ENGINE = MergeTree ORDER BY n",
             allow_suspicious_low_cardinality_types=1)
    values = [*good, *bad]
    rows = batch(schema, list(enumerate(values)))
    with db.sink(schema) as s:
        s.insert(rows)
        assert sorted(row for _, row, *_ in s.rejects) == list(range(len(good), len(values)))
        assert {column for *_, column in s.rejects} <= {"v"}
    assert [v for (v,) in db.rows("SELECT toString(v) FROM t ORDER BY n")] == list(good.values())


def test_nested_values_as_text(either):
    schema = pa.schema([("n", pa.int32()), ("v", pa.list_(pa.int64()))])
    either.query("CREATE TABLE t (n Int32, v Nullable(String)) ENGINE = MergeTree ORDER BY n")
    with either.sink(schema) as s:
        s.insert(batch(schema, [(0, [1, None]), (1, None)]))
    assert either.rows("SELECT v FROM t ORDER BY n") == [["[1,null]"], [None]]


def test_an_old_servers_types_are_sent_as_they_are(old):
    """It takes the bytes of another type for what they are not: Decimal(18,2) for Decimal(18,4)."""
    old.query("CREATE TABLE t (n Int32, d Decimal(18,4), u UInt64, s Nullable(String)) "
              "ENGINE = MergeTree ORDER BY n")
    schema = pa.schema([("n", pa.int32()), ("d", pa.decimal128(18, 2)), ("u", pa.int32()),
                        ("s", pa.string())])
    with old.sink(schema) as s:
        s.insert(batch(schema, [(0, D("100.00"), 5, "a"), (1, D("-0.01"), -9, "b")]))
        assert [(row, column) for _, row, _, _, column in s.rejects] == [(1, "u")]
    assert old.rows("SELECT toString(d), toString(u), s FROM t") == [["100.0000", "5", "a"]]


@pytest.mark.parametrize("column, kind", [("Date", pa.string()), ("UInt8", pa.string()),
                                          ("Array(Int8)", pa.int8()), ("Point", pa.string()),
                                          ("AggregateFunction(sum, Int64)", pa.int64()),
                                          ("Tuple(a Int8, b Int8)", pa.struct([("a", pa.int8())]))])
def test_types_that_do_not_meet_are_named_at_start(db, column, kind):
    db.query(f"CREATE TABLE t (n Int32, v {column}) ENGINE = MergeTree ORDER BY n")
    with pytest.raises(Failure) as caught:
        with db.sink(pa.schema([("n", pa.int32()), ("v", kind)])):
            pass
    assert caught.value.status == BADCONF and "column v of t" in caught.value.msg


def test_low_cardinality_of_18_16_is_refused_at_start(old):
    old.query("CREATE TABLE t (n Int32, v LowCardinality(String)) ENGINE = MergeTree ORDER BY n",
              allow_experimental_low_cardinality_type=1)
    with pytest.raises(Failure, match="LowCardinality"):
        with old.sink(pa.schema([("n", pa.int32()), ("v", pa.string())])):
            pass


def test_rows_in_lists_are_refused_by_their_row(db):
    db.query("CREATE TABLE t (n Int32, v Array(UInt8)) ENGINE = MergeTree ORDER BY n")
    schema = pa.schema([("n", pa.int32()), ("v", pa.list_(pa.int64()))])
    rows = [(0, [1, 2]), (1, []), (2, [3, 256]), (3, None), (4, [4]), (5, [5, None])]
    with db.sink(schema) as s:
        s.insert(batch(schema, rows).slice(1, 5))
        assert sorted((row, code) for _, row, code, *_ in s.rejects) == [
            (1, "22003"), (2, "23502"), (4, "23502")]
    assert db.rows("SELECT n, v FROM t ORDER BY n") == [[1, []], [4, [4]]]


def naughty():
    path = TREE.parent / "shared" / "data" / "blns" / "blns.json"
    if not path.exists():
        pytest.skip(f"no {path.name} beside the tree")
    return json.loads(path.read_text())


def test_naughty_strings_and_names(either):
    strings = naughty()
    name = "na`m\\e 'x'\""
    schema = pa.schema([("n", pa.int32()), (name, pa.string())])
    with either.sink(schema, table='"ta`b\\le 1"', create=True, order_by=["n"]) as s:
        s.insert(batch(schema, list(enumerate(strings))))
    found = either.rows("SELECT * FROM `ta\\`b\\\\le 1` ORDER BY n")
    assert [v for _, v in found] == strings
