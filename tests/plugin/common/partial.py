# SPDX-License-Identifier: Apache-2.0
"""Partial updates: rows with `_set`, and random changes that go to a sink and to a dict alike."""

import random

import pyarrow as pa

# id is the key; n is NOT NULL with a default, d has a default; tags is nested
SCHEMA = pa.schema([
    ("id", pa.int64()), ("a", pa.int64()), ("_op", pa.string()), ("b", pa.string()),
    ("n", pa.int32()), ("d", pa.string()),
    ("_set", pa.struct([(c, pa.bool_()) for c in ("n", "id", "b", "a", "d")]))])
DEFAULTS = {"a": None, "b": None, "n": 7, "d": "new"}
COLUMNS = list(DEFAULTS)
BITS = [f.name for f in SCHEMA.field("_set").type]


def rows(*changes, schema=SCHEMA):
    """A record batch of changes: dicts of the columns that are written, "_op" beside them."""
    bits = [f.name for f in schema.field("_set").type] if "_set" in schema.names else []
    columns = []
    for field in schema:
        if field.name == "_set":
            columns.append(pa.array([{b: b in c for b in bits} for c in changes], field.type))
        else:
            columns.append(pa.array([c.get(field.name) for c in changes], field.type))
    return pa.record_batch(columns, schema=schema)


def apply(model, change):
    key = change["id"]
    if change.get("_op") == "delete":
        model.pop(key, None)
        return
    row = model.setdefault(key, dict(DEFAULTS))
    row.update((c, v) for c, v in change.items() if c in DEFAULTS)


def change(random_, keys):
    key = random_.randrange(keys)
    if random_.random() < 0.15:
        return {"id": key, "_op": "delete"}
    made = {"id": key, "_op": random_.choice(["insert", "update", None])}
    for c in random_.sample(COLUMNS, random_.randrange(len(COLUMNS) + 1)):
        value = random_.randrange(1000)
        if c != "n" and random_.random() < 0.3:
            value = None
        elif c in "bd":
            value = f"text {value}"
        made[c] = value
    return made


def units(seed, n):
    """n units, each a list of batches, each a list of changes."""
    random_ = random.Random(seed)
    for _ in range(n):
        keys = random_.choice([2, 5, 40])
        yield [[change(random_, keys) for _ in range(random_.randrange(1, 30))]
               for _ in range(random_.randrange(1, 4))]


def play(sink, seed, n, check):
    """Writes random units; check(model) after each of them."""
    model, at = {}, 0
    sink.found({"0": 0})
    for number, batches in enumerate(units(seed, n)):
        count = sum(len(b) for b in batches)
        unit = sink.unit({"0": (at, at + count, 1, count)}, number + 1)
        sink.begin(unit)
        for changes in batches:
            sink.write(rows(*changes))
            for c in changes:
                apply(model, c)
        sink.commit(unit)
        at += count
        check(model, f"seed {seed}, unit {number}")


def table(model):
    return [(key, *(model[key][c] for c in COLUMNS)) for key in sorted(model)]
