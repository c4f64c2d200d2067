# SPDX-License-Identifier: Apache-2.0
"""Values of Cassandra as it prints them (SELECT JSON) and as `millrace inspect --commitlog` does,
both in one form that can be compared."""

import base64
import datetime
import decimal
import ipaddress
import json
import re
import struct
import uuid

UNITS = {"y": (12, 0, 0), "mo": (1, 0, 0), "w": (0, 7, 0), "d": (0, 1, 0), "h": (0, 0, 3600 * 10**9),
         "m": (0, 0, 60 * 10**9), "s": (0, 0, 10**9), "ms": (0, 0, 10**6), "us": (0, 0, 10**3),
         "ns": (0, 0, 1)}
EPOCH = datetime.datetime(1970, 1, 1)


def loads(text):
    return json.loads(text, parse_float=decimal.Decimal)


def timestamp(text):
    """Milliseconds since 1970, of years 1 to 9999."""
    text = text.replace("T", " ").replace("+00", "").rstrip("Z")
    day, _, clock = text.partition(" ")
    h, m, s = (clock or "0:0:0").split(":")
    seconds = decimal.Decimal(s) + int(m) * 60 + int(h) * 3600
    days = (datetime.datetime.strptime(day.rjust(10, "0"), "%Y-%m-%d") - EPOCH).days
    return days * 86400000 + int(seconds * 1000)


def clock(value):
    """Nanoseconds since midnight."""
    if not isinstance(value, str):
        return int(value)
    h, m, s = value.split(":")
    return (int(h) * 3600 + int(m) * 60) * 10**9 + int(decimal.Decimal(s) * 10**9)


def duration(text):
    """Months, days, nanoseconds; from 1mo2d3h or P1M2DT3.5S."""
    if text.startswith("P"):
        day, _, rest = text[1:].partition("T")
        months = re.search(r"(-?\d+)M", day)
        days = re.search(r"(-?\d+)D", day)
        seconds = re.search(r"(-?[\d.]+)S", rest)
        return (int(months[1]) if months else 0, int(days[1]) if days else 0,
                int(decimal.Decimal(seconds[1]) * 10**9) if seconds else 0)
    total = [0, 0, 0]
    for n, unit in re.findall(r"(\d+)(mo|ms|us|ns|y|w|d|h|m|s)", text):
        for i, factor in enumerate(UNITS[unit]):
            total[i] += int(n) * factor
    return tuple(total)


SCALAR = {
    "blob": lambda v: bytes.fromhex(v[2:]),
    "uuid": lambda v: uuid.UUID(v),
    "decimal": lambda v: decimal.Decimal(str(v)).normalize(decimal.Context(prec=80)),
    "float": lambda v: struct.pack(">f", float(v)),
    "double": lambda v: float(v),
    "inet": lambda v: ipaddress.ip_address(v.lstrip("/")),
    "timestamp": timestamp,
    "time": clock,
    "duration": duration,
    "boolean": lambda v: v if isinstance(v, bool) else {"true": True, "false": False}[v],
}
OF_LOG = SCALAR | {"blob": base64.b64decode}
INTEGERS = {"int", "bigint", "smallint", "tinyint", "varint", "counter"}


def canonical(t, v, scalar=None):
    """v as JSON -> a value that can be compared and hashed; scalar: OF_LOG of what millrace printed."""
    scalar = scalar or SCALAR
    if v is None:
        return None
    if isinstance(t, str):
        return int(v) if t in INTEGERS else scalar[t](v) if t in scalar else v
    kind, *of = t
    if kind == "frozen":
        return canonical(of[0], v, scalar)
    if kind == "udt":
        return tuple((name, canonical(x, v.get(name), scalar)) for name, x in of[1].items())
    if kind == "tuple":
        items = list(v.values()) if isinstance(v, dict) else v
        return tuple(canonical(x, items[i] if i < len(items) else None, scalar) for i, x in enumerate(of))
    if kind in ("list", "vector"):
        return tuple(canonical(of[0], x, scalar) for x in v)
    if kind == "set":
        return frozenset(canonical(of[0], x, scalar) for x in v)
    return frozenset((canonical(of[0], k, scalar), canonical(of[1], x, scalar)) for k, x in v.items())


def order(t, v):
    """A clustering value in the order in which Cassandra sorts the type."""
    return v.encode() if t in ("text", "ascii") else v
