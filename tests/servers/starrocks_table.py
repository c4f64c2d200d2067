# SPDX-License-Identifier: Apache-2.0
"""Tables of the StarRocks stand-in: columns from DDL, values checked as a load checks them."""

import datetime as dt
import decimal
import json
import re

INTEGERS = {"TINYINT": 8, "SMALLINT": 16, "INT": 32, "INTEGER": 32, "BIGINT": 64, "LARGEINT": 128}
MODELS = {"PRIMARY": "PRIMARY_KEYS", "UNIQUE": "UNIQUE_KEYS", "DUPLICATE": "DUP_KEYS"}


class Refused(Exception):
    """A statement or a value that the server does not take."""


def split_outside(text, separator=","):
    """Splits at separators that are in no brackets and no quotes."""
    parts, depth, quote, at = [], 0, None, 0
    for i, c in enumerate(text):
        if quote:
            quote = None if c == quote else quote
        elif c in "'\"`":
            quote = c
        elif c in "(<":
            depth += 1
        elif c in ")>":
            depth -= 1
        elif c == separator and depth == 0:
            parts.append(text[at:i].strip())
            at = i + 1
    return [*parts, text[at:].strip()]


class Column:
    def __init__(self, name, kind, nullable=True, default=None):
        self.name, self.kind, self.nullable, self.default = name, kind.strip(), nullable, default
        found = re.match(r"([A-Za-z]+)\s*(?:\(([\d, ]+)\))?", self.kind)
        self.base = found[1].upper()
        self.sizes = [int(n) for n in found[2].split(",")] if found[2] else []

    def widens_to(self, other):
        """Changes of type that every version since 3.0 makes; the same type is one of them."""
        order = ["TINYINT", "SMALLINT", "INT", "BIGINT", "LARGEINT"]
        if self.base in order and other.base in order:
            return order.index(other.base) >= order.index(self.base)
        if self.base == other.base == "VARCHAR":
            return other.sizes[0] >= self.sizes[0]
        return (self.base, other.base) == ("FLOAT", "DOUBLE") or self.kind == other.kind

    def value(self, given):
        """The value as it is stored; Refused when it has no place in the column."""
        if given is None:
            if not self.nullable:
                raise Refused(f"NULL value in non-nullable column '{self.name}'")
            return None
        try:
            return self._value(given)
        except (ValueError, ArithmeticError, TypeError) as e:
            raise Refused(f"Value '{str(given)[:60]}' does not fit column '{self.name}' "
                          f"of type {self.kind}") from e

    def _value(self, given):
        base = self.base
        if base in INTEGERS:
            return self._integer(given, INTEGERS[base])
        if base == "BOOLEAN":
            return {"true": True, "1": True, "false": False, "0": False}.get(str(given).lower()) \
                if str(given).lower() in ("true", "false", "0", "1") else self._bad(given)
        if base in ("FLOAT", "DOUBLE"):
            return float(given)
        if base.startswith("DECIMAL"):
            return self._decimal(given)
        if base == "DATE":
            return dt.date.fromisoformat(str(given))
        if base == "DATETIME":
            return dt.datetime.fromisoformat(str(given).replace("T", " "))
        if base in ("CHAR", "VARCHAR", "STRING"):
            return self._text(given)
        if base == "VARBINARY":
            return given if isinstance(given, bytes) else str(given).encode()
        if base == "JSON":
            return json_or_text(given) if isinstance(given, str) else plain(given)
        if base in ("ARRAY", "MAP", "STRUCT"):
            return self._nested(json.loads(given) if isinstance(given, str) else plain(given))
        raise ValueError(base)

    def _nested(self, given):
        """Elements in the types that the column names; numbers have been through a double."""
        inner = split_outside(self.kind[self.kind.index("<") + 1:self.kind.rindex(">")])
        if self.base == "ARRAY":
            return [Column(self.name, inner[0]).value(v) for v in given]
        if self.base == "MAP":
            return {Column(self.name, inner[0]).value(k): Column(self.name, inner[1]).value(v)
                    for k, v in given.items()}
        fields = {name.strip("`"): Column(self.name, kind)
                  for name, kind in (part.split(None, 1) for part in inner)}
        return {name: field.value(given.get(name)) for name, field in fields.items()}

    @staticmethod
    def _bad(given):
        raise ValueError(given)

    @staticmethod
    def _integer(given, bits):
        if isinstance(given, bool):
            return int(given)
        text = str(given)
        if not re.fullmatch(r"[+-]?\d+", text):
            raise ValueError(text)
        value = int(text)
        if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise ValueError(text)
        return value

    def _decimal(self, given):
        precision, scale = (self.sizes + [0])[:2] if self.sizes else (10, 0)
        with decimal.localcontext() as context:
            context.prec = 90
            value = decimal.Decimal(str(given)).quantize(decimal.Decimal(1).scaleb(-scale))
            if value.copy_abs().scaleb(scale) >= decimal.Decimal(10) ** precision:
                raise ValueError(given)
        return value

    def _text(self, given):
        text = given if isinstance(given, str) else json.dumps(plain(given))
        most = self.sizes[0] if self.sizes else 65533 if self.base == "STRING" else 1
        if len(text.encode()) > most:
            raise ValueError("too long")
        return text


def json_or_text(given):
    """A text into a JSON column: what it says, or a JSON text."""
    try:
        return json.loads(given)
    except ValueError:
        return given


def plain(value):
    """JSON values with decimals made numbers again."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


class Table:
    """Rows in memory; a primary-key table keeps one row for each key."""

    def __init__(self, database, name, columns, key=(), model="DUPLICATE", ddl=""):
        self.database, self.name, self.columns, self.ddl = database, name, columns, ddl
        self.key, self.model = list(key), model
        self.stored, self.version = [], 1
        self.by_key = {}

    @property
    def primary(self):
        return self.model == "PRIMARY"

    def column(self, name):
        for c in self.columns:
            if c.name.lower() == name.lower():
                return c
        return None

    def rows(self):
        return list(self.by_key.values()) if self.primary else list(self.stored)

    def apply(self, operations):
        """(deleted, {column: value}, partial) in order."""
        for deleted, row, partial in operations:
            if not self.primary:
                self.stored.append(row)
                continue
            key = tuple(row.get(k) for k in self.key)
            if deleted:
                self.by_key.pop(key, None)
            elif partial and key in self.by_key:
                self.by_key[key] = {**self.by_key[key], **row}
            else:
                whole = {c.name: c.default for c in self.columns}
                self.by_key[key] = {**whole, **row}

    def change(self, word, column):
        """What a job of ALTER TABLE does: ADD, MODIFY or DROP one column."""
        old = self.column(column.name)
        if word == "MODIFY":
            old.__init__(old.name, column.kind, column.nullable, old.default)
            return
        if word == "DROP":
            self.columns.remove(old)
        else:
            self.columns.append(column)
        for row in [*self.stored, *self.by_key.values()]:
            row.pop(column.name, None)
            if word == "ADD":
                row[column.name] = column.default

    @classmethod
    def parse(cls, sql, current):
        """CREATE TABLE as the documentation has it; current: the connection's database."""
        found = re.match(r"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?([^\s(]+)\s*\((.*)$", sql,
                         re.I | re.S)
        if not found:
            raise Refused("syntax error in CREATE TABLE")
        names = [p.strip("`") for p in found[1].split(".")]
        body, rest = cls._body(found[2])
        columns = [cls._column(part) for part in split_outside(body)]
        model = re.search(r"(PRIMARY|UNIQUE|DUPLICATE)\s+KEY\s*\(([^)]*)\)", rest, re.I)
        key = [k.strip(" `") for k in model[2].split(",")] if model else []
        kind = model[1].upper() if model else "DUPLICATE"
        if kind == "PRIMARY" and [c.name for c in columns[:len(key)]] != key:
            raise Refused("Key columns must be the first few columns of the schema")
        if kind == "PRIMARY":
            for c in columns[:len(key)]:
                if c.nullable:
                    raise Refused(f"primary key column[{c.name}] cannot be nullable")
        if kind == "PRIMARY" and not re.search(r"DISTRIBUTED\s+BY\s+HASH", rest, re.I):
            raise Refused("PRIMARY KEY table needs DISTRIBUTED BY HASH")
        database = names[0] if len(names) == 2 else current
        return cls(database, names[-1], columns, key, kind, sql)

    @staticmethod
    def _body(text):
        depth = 1
        for i, c in enumerate(text):
            depth += {"(": 1, ")": -1}.get(c, 0)
            if not depth:
                return text[:i], text[i + 1:]
        raise Refused("syntax error: unbalanced parentheses")

    @staticmethod
    def _column(part):
        found = re.match(r"(`[^`]+`|\w+)\s+(.*)$", part, re.S)
        if not found:
            raise Refused(f"syntax error near {part!r}")
        name, rest = found[1].strip("`"), found[2]
        nullable = not re.search(r"\bNOT\s+NULL\b", rest, re.I)
        kind = re.split(r"\s+(?:NOT\s+NULL|NULL|DEFAULT|COMMENT)\b", rest, flags=re.I)[0]
        if re.match(r"DATETIME\s*\(", kind, re.I):
            raise Refused("DATETIME takes no precision")
        return Column(name, kind, nullable)
