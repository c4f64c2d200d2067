# SPDX-License-Identifier: Apache-2.0
"""Changes with versions, deletes of many rows among them, that go to a sink and to a model alike."""

import datetime as dt
import random

import pyarrow as pa

import partial

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
INC = [("lower_inc", pa.bool_()), ("upper_inc", pa.bool_())]


def bounds(kind):
    return pa.struct([("lower", kind), ("upper", kind), *INC])


# k, c1, c2 are the key; `at` is the version, which every row writes
SCHEMA = pa.schema([
    ("k", pa.int64()), ("a", pa.int64()), ("_op", pa.string()), ("c1", pa.int32()), ("b", pa.string()),
    ("c2", pa.string()), ("n", pa.int32()),
    ("_range", pa.struct([("c1", bounds(pa.int32())), ("c2", bounds(pa.string()))])),
    ("at", pa.timestamp("us", "UTC")),
    ("_set", pa.struct([(c, pa.bool_()) for c in ("c2", "n", "a", "k", "b", "c1")]))])
PARTS = pa.schema([f for f in SCHEMA if f.name != "_range"])
WHOLE = pa.schema([f for f in SCHEMA if f.name not in ("_set", "_range")])
KEY = ["k", "c1", "c2"]
DEFAULTS = {"a": None, "b": None, "n": 7}
COLUMNS = list(DEFAULTS)
TEXTS = ["", "A", "Z", "a", "b", "z", "é"]


def at(version):
    return EPOCH + dt.timedelta(microseconds=version)


def number(moment):
    """The version of a time, which is UTC when it says nothing else."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    return (moment - EPOCH) // dt.timedelta(microseconds=1)


def rows(changes, schema=SCHEMA):
    """A record batch; "v" of a change is its version."""
    return partial.rows(*[{**c, "at": at(c["v"])} for c in changes], schema=schema)


def row(v, **columns):
    """One change of a row, the same each time."""
    return {"k": 1, "c1": 1, "c2": "x", "_op": "update", "v": v, **columns}


def many(k, c1=None, c2=None, v=1, **written):
    """A delete of many rows."""
    return {"k": k, "_op": "delete", "v": v, "_range": {"c1": c1, "c2": c2}, **written}


def span(lower, upper, lower_inc=True, upper_inc=True):
    return {"lower": lower, "upper": upper, "lower_inc": lower_inc, "upper_inc": upper_inc}


# ---------------------------------------------------------------- random changes

def _span(r, values):
    lower, upper = sorted(r.choice(values) for _ in range(2))
    return {"lower": r.choice([None, lower]), "upper": r.choice([None, upper]),
            "lower_inc": r.random() < 0.5, "upper_inc": r.random() < 0.5}


def delete_many(r, keys):
    made = {"k": r.randrange(keys), "_op": "delete", "_range": {"c1": None, "c2": None}}
    kind = r.randrange(4)
    if kind == 1:
        made["_range"]["c1"] = _span(r, range(3))
    elif kind == 2:
        made["c1"] = r.randrange(3)
        made["_range"]["c2"] = _span(r, TEXTS)
    elif kind == 3:
        made["c1"] = r.randrange(3)
    return made


def change(r, keys, whole=False):
    if not whole and r.random() < 0.08:
        return delete_many(r, keys)
    made = {"k": r.randrange(keys), "c1": r.randrange(3), "c2": r.choice(TEXTS)}
    if r.random() < 0.15:
        return {**made, "_op": "delete"}
    made["_op"] = r.choice(["insert", "update"])
    for c in COLUMNS if whole else r.sample(COLUMNS, r.randrange(len(COLUMNS) + 1)):
        value = r.randrange(1000)
        made[c] = None if c != "n" and r.random() < 0.3 else f"text {value}" if c == "b" else value
    return made


def changes(seed, n, keys=2, whole=False, equal=False):
    """n changes in random order of their versions; equal: some have the same."""
    r = random.Random(seed)
    made = [{**change(r, keys, whole), "v": v // 3 if equal else v} for v in range(n)]
    r.shuffle(made)
    return made


def cut(seed, things):
    """Cuts a list into units, these into batches."""
    r = random.Random(seed)
    units = []
    while things:
        n = r.randrange(1, 60)
        unit, things = things[:n], things[n:]
        m = r.randrange(1, len(unit) + 1)
        units.append([b for b in (unit[:m], unit[m:]) if b])
    return units


# ---------------------------------------------------------------- the model

def fits(change, key):
    """Does the delete mean the row of this key?"""
    spans = change.get("_range")
    for name, value in zip(KEY, key):
        if name in change and change[name] != value:
            return False
        span = (spans or {}).get(name)
        if span is None:
            continue
        value = value.encode() if isinstance(value, str) else value
        for end, sign in (("lower", 1), ("upper", -1)):
            bound = span[end]
            bound = bound.encode() if isinstance(bound, str) else bound
            if bound is None or value == bound and span[end + "_inc"]:
                continue
            if value == bound or (value > bound) != (sign > 0):
                return False
    return True


class Model:
    """The last write wins, by column; deletes are known within a unit, and by rows that outlive them."""

    def __init__(self):
        self.rows = {}  # key -> {"": newest delete, column: (version, value)}

    def unit(self, changes):
        writes = [c for c in changes if c["_op"] != "delete"]
        deletes = [c for c in changes if c["_op"] == "delete"]
        for key in {tuple(c[k] for k in KEY) for c in writes} | set(self.rows):
            row = self.rows.pop(key, {"": -1})
            row[""] = max([row[""]] + [c["v"] for c in deletes if fits(c, key)])
            for c in writes:
                if tuple(c[k] for k in KEY) != key:
                    continue
                for name in ["at", *COLUMNS]:
                    if (name == "at" or name in c) and c["v"] >= row.get(name, (-1,))[0]:
                        row[name] = c["v"], at(c["v"]) if name == "at" else c[name]
            if row["at"][0] > row[""]:
                self.rows[key] = row

    def table(self):
        """Rows as (key…, COLUMNS…, version), sorted."""
        def value(row, name):
            version, value = row.get(name, (-1, None))
            return value if version > row[""] else DEFAULTS[name]
        return sorted(((*key, *(value(row, c) for c in COLUMNS), row["at"][1])
                       for key, row in self.rows.items()), key=repr)


class InOrder:
    """Without versions: each change counts for what came before it."""

    def __init__(self):
        self.rows = {}

    def unit(self, changes):
        for c in changes:
            if c["_op"] == "delete":
                for key in [k for k in self.rows if fits(c, k)]:
                    del self.rows[key]
                continue
            row = self.rows.setdefault(tuple(c[k] for k in KEY), dict(DEFAULTS))
            row.update({name: value for name, value in c.items() if name in DEFAULTS}, at=at(c["v"]))

    def table(self):
        return sorted(((*key, *(row[c] for c in COLUMNS), row["at"]) for key, row in self.rows.items()), key=repr)


class Player:
    """Writes units to a sink."""

    def __init__(self, sink, schema=SCHEMA):
        self.sink, self.schema, self.at = sink, schema, 0
        sink.found({"0": 0})

    def unit(self, batches):
        count = sum(len(b) for b in batches)
        unit = self.sink.unit({"0": (self.at, self.at + count, 1, count)}, self.at + 1)
        self.sink.begin(unit)
        for batch in batches:
            self.sink.write(rows(batch, self.schema))
        self.sink.commit(unit)
        self.at += count
