# SPDX-License-Identifier: Apache-2.0
"""Every type of a pipeline file with its extremes, and how each target gives them back.

VALUES names a column for each type and what goes through it; a value is written down as JSON of the file source. Each row
of the test fills one column. A reader of a target answers with Python values that are compared by `same`."""

import base64
import decimal
import json
import pathlib
import struct

NAUGHTY = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data" / "blns" / "blns.json"
D = decimal.Decimal
decimal.getcontext().prec = 80
LONG = 1 << 20
DAYS = ["0001-01-01", "1582-10-15", "1899-12-31", "1900-01-01", "1969-12-31", "1970-01-01", "2038-01-20",
        "2106-02-08", "2149-06-07", "2299-12-31", "2300-01-01", "9999-12-31"]
TIMES = ["0001-01-01T00:00:00", "1582-10-15T12:00:00.000001", "1899-12-31T23:59:59.999999", "1900-01-01T00:00:00",
         "1969-12-31T23:59:59.999999", "1970-01-01T00:00:00", "2038-01-19T03:14:08", "2106-02-07T06:28:16.5",
         "2262-04-11T23:47:16.854776", "2299-12-31T23:59:59.999999", "2300-01-01T00:00:00", "9999-12-31T23:59:59.999999"]
NOT_FINITE = ["NaN", "Infinity", "-Infinity"]


def integers(bits, signed):
    return [-2 ** (bits - 1), -1, 2 ** (bits - 1) - 1] if signed else [0, 2 ** bits - 1]


def digits(precision, scale):
    """The largest, the smallest step, and zero, of both signs."""
    most = D(10 ** precision - 1).scaleb(-scale)
    return [str(most), str(-most), f"{D(1).scaleb(-scale):f}", f"{-D(1).scaleb(-scale):f}", "0"]


def naughty():
    return json.loads(NAUGHTY.read_text()) if NAUGHTY.exists() else []


def b64(data):
    return base64.b64encode(data).decode()


# column: (type, values)
VALUES = {
    "b": ("bool", [True, False]),
    "i8": ("int8", integers(8, True)), "i16": ("int16", integers(16, True)),
    "i32": ("int32", integers(32, True)), "i64": ("int64", integers(64, True)),
    "u8": ("uint8", integers(8, False)), "u16": ("uint16", integers(16, False)),
    "u32": ("uint32", integers(32, False)), "u64": ("uint64", [*integers(64, False), 2 ** 63 - 1, 2 ** 63]),
    "f32": ("float32", [3.4028234663852886e38, -3.4028234663852886e38, 1e-45, 0.1, -0.0, *NOT_FINITE]),
    "f64": ("float64", [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 0.1, -0.0, 2.0 ** 53 + 2, *NOT_FINITE]),
    "d18_4": ("decimal(18,4)", digits(18, 4)), "d38_0": ("decimal(38,0)", digits(38, 0)),
    "d38_9": ("decimal(38,9)", digits(38, 9)), "d38_38": ("decimal(38,38)", digits(38, 38)),
    "day": ("date", DAYS), "clock": ("time", ["00:00:00", "12:34:56.000001", "23:59:59.999999"]),
    "ts": ("timestamp", TIMES), "tz": ("timestamptz", [*(t + "Z" for t in TIMES), "2026-03-29T02:30:00+02:00"]),
    "s": ("utf8", ["", " ", "end ", "NULL", "\\N", "null", "a,b;c\td", "'\"`\\", "a\r\nb\n", "é€😀", "e\u0301", "\x01\x02\x7f",
                   "a\0b", "\ufeffx", "12", "x" * LONG]),
    "bin": ("binary", [b64(v) for v in (b"", b"\0", b"a\0b", bytes(range(256)), b"\xff\xfe", bytes(LONG))]),
    "id_": ("uuid", ["00000000-0000-0000-0000-000000000000", "01234567-89ab-cdef-0123-456789abcdef",
                     "ffffffff-ffff-ffff-ffff-ffffffffffff", "9b2c3d4e-0000-1000-8000-00805f9b34fb"]),
    "js": ("json", [{"a": [1, None, "x"], "b": {}}, [], "text", 1.5, True, {"n": 2 ** 63}, {"k": "é\"\\\n"}]),
    "li": ("list<int64>", [[], [1, None, -2 ** 63], [2 ** 63 - 1] * 1000]),
    "ls": ("list<utf8>", [["", "a,b", "NULL", "q\"\\", "{}", None], ["é😀\n"]]),
    "lf": ("list<float64>", [[0.1, -0.0, 5e-324], ["NaN"], ["-Infinity", 1.0]]),
    "ld": ("list<decimal(38,9)>", [[str(D(10 ** 38 - 1).scaleb(-9)), "-0.000000001", None]]),
    "lt": ("list<timestamptz>", [["1969-12-31T23:59:59.999999Z", "2026-01-28T10:00:00Z"]]),
    "ll": ("list<list<int32>>", [[[1, 2], []]]),
    "m": ("map<utf8, int64>", [{}, {"k": 1, "": None, "é\"": -2 ** 63}]),
    "st": ("struct<a: int64, b: utf8>", [{"a": 2 ** 63 - 1, "b": "x\"\n"}, {"a": None, "b": None}]),
    "sl": ("list<struct<a: uint64, b: binary>>", [[{"a": 2 ** 64 - 1, "b": b64(b"\0\xff")}]]),
}
NESTED = {"li": [], "ls": [], "lf": [], "ld": [], "lt": [], "ll": [], "m": {}, "st": {"a": 0, "b": ""}, "sl": []}


def cases():
    """(number, column, value): one for each row, a null of each type among them."""
    made = [(column, value) for column, (_, values) in VALUES.items() for value in [*values, None]]
    made += [("s", value) for value in naughty()]
    return [(i, column, value) for i, (column, value) in enumerate(made)]


def line(number, column, value):
    """A nested column that has nothing to do with the row is empty: not every target has nulls there."""
    row = {"n": number, **NESTED, column: value}
    return json.dumps(row, ensure_ascii=False)


def columns_yaml(indent=8):
    types = {"n": "int32"} | {name: kind for name, (kind, _) in VALUES.items()}
    return "".join(f"{' ' * indent}{name}: {kind!r}\n" for name, kind in types.items())


# ---- comparing

def moment(text):
    """A date or time of any notation as (date, hh:mm:ss.ffffff), in UTC."""
    text = str(text).strip().replace("T", " ").removesuffix("Z").removesuffix("+00:00").removesuffix("+00")
    if text.endswith("+02:00"):
        assert text == "2026-03-29 02:30:00+02:00"
        text = "2026-03-29 00:30:00"
    day, _, clock = text.rpartition(" ")
    whole, _, part = clock.partition(".")
    return day, whole, part.ljust(6, "0")


def document(value):
    """A JSON value with exact numbers."""
    if isinstance(value, (dict, list)):
        return {k: document(v) for k, v in value.items()} if isinstance(value, dict) else [document(v) for v in value]
    return D(str(value)) if isinstance(value, (int, float, D)) and not isinstance(value, bool) else value


def plain(value, kind):
    """A value as its type compares it: exact numbers, bits of floats, bytes, moments."""
    if value is None:
        return None
    if kind.startswith("list<"):
        return [plain(v, kind[5:-1]) for v in value]
    if kind.startswith("map<"):
        return {k: plain(v, kind.split(", ", 1)[1][:-1]) for k, v in dict(value).items()}
    if kind.startswith("struct<"):
        fields = dict(f.split(": ") for f in kind[7:-1].split(", "))
        return {k: plain(v, fields[k]) for k, v in dict(value).items()}
    if "int" in kind:
        return int(value) if not isinstance(value, bool) else value
    if kind.startswith("decimal"):
        return D(str(value))
    if kind.startswith("float"):
        return struct.pack("<f" if kind == "float32" else "<d", float(value))
    if kind.startswith(("timestamp", "time")):
        return moment(value)
    if kind == "binary":
        return value if isinstance(value, bytes) else base64.b64decode(value)
    if kind == "json":
        return document(value)
    if kind == "bool":
        return bool(value)
    return str(value)


def show(value):
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) < 60 else f"{text[:40]}… ({len(text)})"


# ---- what targets do not hold

def every(columns, code, values, words):
    """The values are dead letters of that code; words: how a page says which."""
    return {column: (code, values, words) for column in columns}


NO_ZERO = every(["s"], "22021", ["a\0b"], "a zero byte")
FLOATS = ["f32", "f64"]
EARLY_AND_LATE = ["0001-01-01", "1582-10-15", "1899-12-31", "2300-01-01", "9999-12-31"]


def of_days(days, column):
    return [v for v in VALUES[column][1] if v[:10] in days]


def not_null(columns):
    return every(columns, "23502", [None], "null")


def out_of_days(columns, days, words):
    return {c: ("22008", of_days(days, c), words) for c in columns}


STARROCKS = (every(FLOATS, "22003", NOT_FINITE, "NaN, infinities")
             | every(["lf"], "22003", [["NaN"], ["-Infinity", 1.0]], "NaN, infinities in it")
             | every(["bin"], "22001", [b64(bytes(LONG))], "more than 524287 bytes"))
# target: column: (code, values that are refused or a function that tells them, words)
REFUSED = {
    "postgres": NO_ZERO,
    "sqlite": NO_ZERO | every(["u64"], "22003", [2 ** 64 - 1, 2 ** 63], "above 9223372036854775807")
    | every(FLOATS, "22003", ["NaN"], "NaN"),
    "mysql": every(FLOATS, "22003", NOT_FINITE, "NaN, infinities"),
    "clickhouse": not_null(NESTED) | out_of_days(["day", "ts", "tz"], EARLY_AND_LATE, "before 1900, after 2299"),
    "clickhouse 18": not_null([c for c in NESTED if c not in ("m", "st")])
    | out_of_days(["day"], [d for d in DAYS if not "1970-01-01" <= d <= "2106-02-07"], "before 1970, after 2106-02-07"),
    "starrocks": STARROCKS,
    "starrocks csv": STARROCKS | every(["s"], "22021", lambda v: v == "\\N" or "\1" in v or "\2" in v, "bytes 1 and 2"),
    "json": {}, "csv": {}, "avro": {},
}
# target: columns whose -0.0 is kept as 0.0, which is equal
UNSIGNED_ZERO = {"sqlite": ("f32", "f64"), "mysql": ("f32", "f64")}


def is_refused(target, column, value):
    """The code by which a target refuses the value, or None."""
    code, values, _ = REFUSED[target].get(column, (None, [], None))
    if callable(values):
        return code if value is not None and values(value) else None
    return code if any(value == v and type(value) is type(v) for v in values) else None


def kept(target, column, value):
    """What a target gives back for a value that it takes."""
    if value == 0 and isinstance(value, float) and column in UNSIGNED_ZERO.get(target, ()):
        return 0.0
    return value


# ---- what a page says

def base(kind):
    return kind.split("(")[0].split("<")[0]


def table(target, types):
    """The map of types as the page of a sink has it; types: what `inspect --json` says."""
    words = {}
    for column, (_, _, said) in REFUSED[target].items():
        words.setdefault(base(VALUES[column][0]), []).append(said)
    lines = ["| pipeline | `create` makes | rows that are refused: with |", "|---|---|---|"]
    for pair in types:
        kind = pair["type"]
        refused = "; ".join(sorted(set(words.get(base(kind), ()))))
        lines.append(f"| {kind} | {pair['target']} | {refused} |".replace("  |", " |"))
    return "\n".join(lines) + "\n"
