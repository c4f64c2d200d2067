# SPDX-License-Identifier: Apache-2.0
"""Deletes of many rows for tests of sinks: `_range` as pyarrow has it, random changes, and what they should leave."""

import random

import pyarrow as pa


def kind(**columns):
    """The field of `_range` for key columns of these types."""
    bounds = {name: pa.struct([("lower", t), ("upper", t), ("lower_inc", pa.bool_()),
                               ("upper_inc", pa.bool_())]) for name, t in columns.items()}
    return pa.field("_range", pa.struct(list(bounds.items())))


def bounds(lower=None, upper=None, inc=(True, False)):
    return {"lower": lower, "upper": upper, "lower_inc": inc[0], "upper_inc": inc[1]}


def within(value, b):
    lower, upper = b["lower"], b["upper"]
    return (lower is None or value > lower or (value == lower and b["lower_inc"])) and (
        upper is None or value < upper or (value == upper and b["upper_inc"]))


def means(change, key, names):
    """Does a delete of many rows mean the row of this key (a tuple, by names)?"""
    for name, value in zip(names, key):
        given, bound = change.get(name), change["_range"].get(name)
        if given is not None and given != value:
            return False
        if given is None and bound is not None and not within(value, bound):
            return False
    return True


def play(changes, names, version=None):
    """key -> row, of changes in order. version: the column by which newer rows stay; None: the last change counts."""
    table = {}
    for change in changes:
        if change.get("_range") is not None:
            for key in [k for k, row in table.items() if means(change, k, names)]:
                if version is None or table[key][version] <= change[version]:
                    del table[key]
            continue
        key = tuple(change[n] for n in names)
        if change["_op"] == "delete":
            table.pop(key, None)
        else:
            table[key] = change
    return table


def random_changes(seed, n, pick, columns):
    """Writes, deletes of rows and deletes of many. pick(random): values of the key columns, in order; the first is always
    equal in a delete of many. columns: makes the other columns of change number i."""
    random_ = random.Random(seed)
    for i in range(n):
        key, what = pick(random_), random_.random()
        if what < 0.75:
            yield {**key, **columns(i), "_op": random_.choice(["insert", "update"])}
        elif what < 0.85:
            yield {**key, **columns(i), "_op": "delete"}
        else:
            yield {**part_of(random_, key, pick), **columns(i), "_op": "delete"}


def part_of(random_, key, pick):
    """As Cassandra has them: some columns equal, one of the rest bounded."""
    names = list(key)
    equal = random_.randrange(1, len(names))
    made = {name: key[name] if k < equal else None for k, name in enumerate(names)}
    made["_range"] = {}
    if random_.random() < 0.7:
        ends = sorted([key[names[equal]], pick(random_)[names[equal]]])
        inc = (random_.random() < 0.5, random_.random() < 0.5)
        made["_range"][names[equal]] = bounds(random_.choice([ends[0], None]), ends[1], inc)
    return made
