# SPDX-License-Identifier: Apache-2.0
"""Random CQL statements of every kind that leaves a mark in Cassandra's commit log, from a seed."""

import decimal
import random
import uuid

DAY = 86400
FIELDS = 9  # of the user type, at most
VALUES = 4  # how many different values a key column takes
SCALARS = {
    "int": lambda r: str(r.randint(-2**31, 2**31 - 1)),
    "bigint": lambda r: str(r.randint(-2**63, 2**63 - 1)),
    "smallint": lambda r: str(r.randint(-2**15, 2**15 - 1)),
    "tinyint": lambda r: str(r.randint(-128, 127)),
    "varint": lambda r: str(r.choice([1, -1]) * r.getrandbits(r.choice([3, 31, 64, 200]))),
    "decimal": lambda r: str(decimal.Decimal(r.randint(-10**18, 10**18)).scaleb(-r.randint(0, 12))),
    "double": lambda r: repr(r.uniform(-1e6, 1e6)),
    "float": lambda r: repr(r.randint(-4096, 4096) / 8),
    "boolean": lambda r: r.choice(["true", "false"]),
    "text": lambda r: quote("".join(r.choices("abcxyz äß€'\"\\\n0123", k=r.randint(0, 12)))),
    "ascii": lambda r: quote("".join(r.choices("abc xyz", k=r.randint(0, 6)))),
    "blob": lambda r: "0x" + r.randbytes(r.randint(0, 9)).hex(),
    "uuid": lambda r: str(uuid.UUID(bytes=r.randbytes(16), version=4)),
    "timestamp": lambda r: str(r.randint(-2**41, 2**41)),
    "date": lambda r: quote(f"{r.randint(1, 9999):04}-{r.randint(1, 12):02}-{r.randint(1, 28):02}"),
    "time": lambda r: quote(f"{r.randint(0, 23):02}:{r.randint(0, 59):02}:00.{r.randint(0, 999999999):09}"),
    "inet": lambda r: quote(r.choice([f"10.0.{r.randint(0, 255)}.7", f"2001:db8::{r.randint(1, 9)}"])),
    "duration": lambda r: f"{r.randint(0, 30)}mo{r.randint(0, 99)}d{r.randint(0, 99)}s",
}


def quote(text):
    return "'" + text.replace("'", "''") + "'"


# A type is a name, or a tuple: (list|set|map|tuple|vector|frozen, …) or (udt, name, {field: type}).

def type_text(t):
    if isinstance(t, str):
        return t
    kind, *of = t
    if kind == "udt":
        return of[0]
    if kind == "vector":
        return f"vector<{type_text(of[0])}, {of[1]}>"
    return f"{kind}<{', '.join(type_text(x) for x in of)}>"


def literal(r, t):
    if isinstance(t, str):
        return SCALARS[t](r)
    kind, *of = t
    if kind == "frozen":
        return literal(r, of[0])
    if kind == "udt":
        return "{" + ", ".join(f"{name}: {maybe_null(r, x)}" for name, x in of[1].items()) + "}"
    if kind == "tuple":
        return "(" + ", ".join(maybe_null(r, x) for x in of) + ")"
    if kind == "vector":
        return "[" + ", ".join(literal(r, of[0]) for _ in range(of[1])) + "]"
    n = r.randint(0, 4)
    if kind == "map":
        return "{" + ", ".join(f"{literal(r, of[0])}: {literal(r, of[1])}" for _ in range(n)) + "}"
    inside = ", ".join(literal(r, of[0]) for _ in range(n))
    return f"[{inside}]" if kind == "list" else f"{{{inside}}}"


def maybe_null(r, t):
    return "null" if r.random() < 0.15 else literal(r, t)


def is_multi(t):
    return not isinstance(t, str) and t[0] in ("list", "set", "map", "udt")


class Table:
    """key, clustering, static, columns: name -> type; descending: clustering columns in DESC."""

    def __init__(self, name, key, clustering, static, columns, descending=()):
        self.name, self.key, self.clustering = name, key, clustering
        self.static, self.columns = static, columns
        self.descending = set(descending)
        self.counter = "counter" in columns.values()

    def types(self):
        return {**self.key, **self.clustering, **self.static, **self.columns}

    def create(self, keyspace):
        columns = [f"{n} {type_text(t)}{' static' if n in self.static else ''}"
                   for n, t in self.types().items()]
        columns.append(f"PRIMARY KEY (({', '.join(self.key)}){''.join(', ' + c for c in self.clustering)})")
        order = ", ".join(f"{c} {'DESC' if c in self.descending else 'ASC'}" for c in self.clustering)
        order = f" AND CLUSTERING ORDER BY ({order})" if order else ""
        return f"CREATE TABLE {keyspace}.{self.name} ({', '.join(columns)}) WITH cdc = true{order}"


def tables(version):
    """The tables of one run; their types differ between versions."""
    place = ("udt", "place", {"street": "text", "no": "int", "tags": ("frozen", ("set", "text"))})
    wide = {f"w{i:02}": "int" for i in range(70)}
    every = {f"s_{name}": name for name in SCALARS}
    if version >= "5":
        every["s_vector"] = ("vector", "float", 3)
        every["s_vector_text"] = ("vector", "text", 2)
    return [
        Table("scalars", {"id": "int"}, {}, {}, every),
        Table("rows", {"a": "int", "b": "text"}, {"c": "int", "d": "text"}, {"st": "text", "sm": ("map", "text", "int")},
              {"v": "int", "t": "text", "l": ("list", "int")}, descending=["c"]),
        Table("collections", {"id": "text"}, {"c": "timestamp"}, {"sl": ("list", "text")},
              {"l": ("list", "text"), "s": ("set", "int"), "m": ("map", "int", "text"), "u": place,
               "fl": ("frozen", ("list", ("frozen", ("tuple", "int", "text")))),
               "fm": ("frozen", ("map", "uuid", ("frozen", place))), "tu": ("tuple", "int", "text", "time"),
               "ms": ("map", "text", ("frozen", ("set", "blob")))}),
        Table("wide", {"id": "int"}, {"c": "smallint"}, {}, wide, descending=["c"]),
        Table("counts", {"id": "int"}, {"c": "text"}, {}, {"n": "counter", "o": "counter"}),
    ]


class Statements:
    """Endless random statements over the tables; the same seed gives the same ones."""

    def __init__(self, keyspace, version, seed, start):
        self.random = random.Random(seed)
        self.keyspace, self.tables = keyspace, tables(version)
        self.start, self.number = start, 0  # write timestamps that statements say themselves

    def schema(self):
        yield f"CREATE TYPE {self.keyspace}.place (street text, no int, tags frozen<set<text>>)"
        for table in self.tables:
            yield table.create(self.keyspace)

    def table(self, name):
        return next(t for t in self.tables if t.name == name)

    def value(self, t, n):
        """One of n literals of a key column's type."""
        r = random.Random(f"{t}{self.random.randrange(n)}")
        return str(r.randint(0, 9)) if t in ("int", "smallint") else literal(r, t)

    def where(self, table, columns):
        return " AND ".join(f"{c} = {self.value(table.types()[c], VALUES)}" for c in columns)

    def using(self, ttl=True, timestamp=True):
        parts = []
        if timestamp and self.random.random() < 0.15:
            self.number += 1
            back = self.random.randrange(-3_000_000, 3_000_000) * 1000
            parts.append(f"TIMESTAMP {self.start + back + self.number % 1000}")
        if ttl and self.random.random() < 0.15:
            parts.append(f"TTL {self.random.randint(2 * DAY, 900 * DAY)}")
        return " USING " + " AND ".join(parts) if parts else ""

    def some(self, columns):
        names = list(columns)
        n = self.random.choice([1, 1, 2, self.random.randint(1, len(names))])
        return self.random.sample(names, min(n, len(names)))

    def insert(self, table):
        r, values = self.random, {**table.static, **table.columns}
        columns = self.some(values) if r.random() < 0.8 else []
        keys = list(table.key) + list(table.clustering)
        if table.clustering and table.static and r.random() < 0.1:
            keys, columns = list(table.key), list(table.static)
        texts = [self.value(table.types()[k], VALUES) for k in keys]
        texts += [maybe_null(r, values[c]) for c in columns]
        lwt = " IF NOT EXISTS" if r.random() < 0.05 else ""
        using = self.using(timestamp=not lwt)
        return (f"INSERT INTO {self.keyspace}.{table.name} ({', '.join(keys + columns)})"
                f" VALUES ({', '.join(texts)}){lwt}{using}")

    def change(self, name, t):
        """One assignment of UPDATE."""
        r, kind = self.random, None if isinstance(t, str) else t[0]
        if not is_multi(t) or r.random() < 0.3:
            return f"{name} = {maybe_null(r, t)}"
        if kind == "udt":
            field = r.choice(list(t[2]))
            return f"{name}.{field} = {maybe_null(r, t[2][field])}"
        if kind == "map" and r.random() < 0.5:
            return f"{name}[{literal(r, t[1])}] = {maybe_null(r, t[2])}"
        if kind == "map":
            return r.choice([f"{name} = {name} + {literal(r, t)}",
                             f"{name} = {name} - {literal(r, ('set', t[1]))}"])
        if kind == "list" and r.random() < 0.4:
            return r.choice([f"{name} = {literal(r, t)} + {name}", f"{name}[0] = {maybe_null(r, t[1])}"])
        return f"{name} = {name} {r.choice('++-')} {literal(r, t)}"

    def update(self, table):
        r = self.random
        only_static = table.static and r.random() < 0.3
        columns = table.static if only_static else {**table.static, **table.columns}
        keys = list(table.key) if only_static else list(table.key) + list(table.clustering)
        chosen = self.some(columns)
        if not only_static and not set(chosen) & set(table.columns):
            keys = list(table.key)
        sets = ", ".join(self.change(c, columns[c]) for c in chosen)
        return (f"UPDATE {self.keyspace}.{table.name}{self.using()} SET {sets}"
                f" WHERE {self.where(table, keys)}")

    def delete(self, table):
        r, using = self.random, self.using(ttl=False)
        kind = r.choice(["cells", "cells", "row", "row", "partition", "range", "range"])
        keys, what, more = list(table.key) + list(table.clustering), "", ""
        if kind == "cells":
            chosen = self.some(table.columns)
            what = ", ".join(self.part(c, table.columns[c]) for c in chosen) + " "
        elif kind == "partition" or (kind == "range" and not table.clustering):
            keys = list(table.key)
        elif kind == "range":
            cut = r.randrange(len(table.clustering))
            keys = list(table.key) + list(table.clustering)[:cut]
            column = list(table.clustering)[cut]
            low, high = (self.value(table.clustering[column], VALUES) for _ in range(2))
            more = r.choice([f" AND {column} > {low}", f" AND {column} <= {high}",
                             f" AND {column} >= {low} AND {column} < {high}", "" if cut else f" AND {column} = {low}"])
        return f"DELETE {what}FROM {self.keyspace}.{table.name}{using} WHERE {self.where(table, keys)}{more}"

    def part(self, name, t):
        r = self.random
        if is_multi(t) and r.random() < 0.5:
            if t[0] == "udt":
                return f"{name}.{r.choice(list(t[2]))}"
            return f"{name}[{'0' if t[0] == 'list' else literal(r, t[1])}]"
        return name

    def count(self, table):
        r = self.random
        if r.random() < 0.1:
            return f"DELETE FROM {self.keyspace}.{table.name} WHERE {self.where(table, table.key)} AND c = 'gone'"
        c = r.choice(list(table.columns))
        return (f"UPDATE {self.keyspace}.{table.name} SET {c} = {c} {r.choice('+-')} {r.randint(1, 9)}"
                f" WHERE {self.where(table, [*table.key, *table.clustering])}")

    def batch(self):
        """Statements of one moment; each touches a table of its own, so that none meets another."""
        r = self.random
        plain = [t for t in self.tables if not t.counter]
        parts = [self.one(t, batch=True) for t in r.sample(plain, r.randint(2, len(plain)))]
        return f"BEGIN {r.choice(['', 'UNLOGGED '])}BATCH {'; '.join(parts)}; APPLY BATCH"

    def alter(self):
        """A field more. Columns do not come and go: a 5.0.4 often fails to read such a table afterwards."""
        place = self.table("collections").columns["u"][2]
        place[f"f{len(place)}"] = "bigint"
        return f"ALTER TYPE {self.keyspace}.place ADD f{len(place) - 1} bigint"

    def one(self, table, batch=False):
        if table.counter:
            return self.count(table)
        kind = self.random.choice([self.insert, self.insert, self.update, self.update, self.delete])
        text = kind(table)
        if batch:
            text = text.replace(" IF NOT EXISTS", "")
        return text

    def next(self):
        chance = self.random.random()
        if chance < 0.01 and len(self.table("collections").columns["u"][2]) < FIELDS:
            return self.alter()
        if chance < 0.1:
            return self.batch()
        return self.one(self.random.choice(self.tables))
