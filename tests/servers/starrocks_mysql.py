# SPDX-License-Identifier: Apache-2.0
"""The MySQL side of the StarRocks stand-in: log-in by password, text queries on the metadata.

Protocol: MySQL's documentation, "Protocol::HandshakeV10", "Text Resultset". Names and values of
information_schema as StarRocks' documentation has them."""

import hashlib
import os
import re
import socket
import socketserver
import struct
import threading
import time

from .starrocks_table import Column, Refused, Table, split_outside

CAPABILITIES = 0x0200 | 0x8000 | 0x00080000 | 0x8 | 0x1 | 0x4  # 4.1, secure, plugin auth, with db
TLS = 0x800
PLUGIN = b"mysql_native_password"
SERVER_STATUS = 2


def scramble(password, salt):
    if not password:
        return b""
    one = hashlib.sha1(password.encode()).digest()
    two = hashlib.sha1(salt + hashlib.sha1(one).digest()).digest()
    return bytes(a ^ b for a, b in zip(one, two))


def lenenc(n):
    if n < 251:
        return bytes([n])
    if n < 1 << 16:
        return b"\xfc" + struct.pack("<H", n)
    return b"\xfd" + struct.pack("<I", n)[:3] if n < 1 << 24 else b"\xfe" + struct.pack("<Q", n)


def text(value):
    if value is None:
        return b"\xfb"
    data = str(value).encode()
    return lenenc(len(data)) + data


class Session(socketserver.BaseRequestHandler):
    world = None

    def handle(self):
        self.number = 0
        try:
            if self._log_in():
                while self._command():
                    pass
        except (ConnectionError, OSError):
            pass

    # ---- packets
    def _read(self, n):
        data = b""
        while len(data) < n:
            part = self.request.recv(n - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def _packet(self):
        head = self._read(4)
        self.number = head[3] + 1
        return self._read(int.from_bytes(head[:3], "little"))

    def _send(self, data):
        self.request.sendall(len(data).to_bytes(3, "little") + bytes([self.number & 255]) + data)
        self.number += 1

    def _ok(self):
        self._send(b"\x00\x00\x00" + struct.pack("<HH", SERVER_STATUS, 0))

    def _error(self, code, state, message):
        self._send(b"\xff" + struct.pack("<H", code) + b"#" + state.encode() + message.encode())

    # ---- log-in
    def _log_in(self):
        salt = bytes(b % 94 + 33 for b in os.urandom(20))
        capabilities = CAPABILITIES | (TLS if self.world.tls else 0)
        low, high = capabilities & 0xffff, capabilities >> 16
        self._send(b"\x0a8.0.33\x00" + struct.pack("<I", 1) + salt[:8] + b"\x00"
                   + struct.pack("<HBHHB", low, 33, SERVER_STATUS, high, 21) + bytes(10)
                   + salt[8:] + b"\x00" + PLUGIN + b"\x00")
        answer = self._packet()
        flags, = struct.unpack_from("<I", answer)
        self.encrypted = bool(flags & TLS)
        if self.encrypted:
            self.request = self.world.tls.wrap_socket(self.request, server_side=True)
            answer = self._packet()
        rest = answer[32:]
        user, _, rest = rest.partition(b"\x00")
        n, rest = rest[0], rest[1:]
        given, rest = rest[:n], rest[n:]
        database = rest.partition(b"\x00")[0].decode() if flags & 8 else ""
        user = user.decode()
        password = self.world.users.get(user)
        if password is None or given != scramble(password, salt):
            self._error(1045, "28000", f"Access denied for user '{user}' (using password: YES)")
            return False
        if database and database not in self.world.databases:
            self._error(1049, "42000", f"Unknown database '{database}'")
            return False
        self.database = database
        self._ok()
        return True

    # ---- commands
    def _command(self):
        packet = self._packet()
        kind, rest = packet[0], packet[1:].decode(errors="replace")
        if kind == 1:
            return False
        if kind == 2:
            self.database = rest
        if kind != 3:
            self._ok()
            return True
        with self.world.lock:
            self.world.statements.append(rest)
            self.world.encrypted.add(self.encrypted)
        fault = self.world.take_fault("sql")
        if fault and fault.action in ("slow", "hang"):
            time.sleep(fault.delay)
        if fault and fault.action != "slow":
            return False
        try:
            answer = Statement(self.world, self.database, rest).run()
        except Refused as e:
            code = 5502 if "Unknown table" in str(e) else 1064
            self._error(code, "42S02" if code == 5502 else "42000", str(e))
            return True
        self._ok() if answer is None else self._rows(*answer)
        return True

    def _rows(self, names, rows):
        self._send(lenenc(len(names)))
        for name in names:
            self._send(text("def") + text("") + text("") + text("") + text(name) + text("")
                       + b"\x0c" + struct.pack("<HIBHB", 33, 65535, 253, 0, 0) + bytes(2))
        self._send(b"\xfe" + struct.pack("<HH", 0, SERVER_STATUS))
        for row in rows:
            self._send(b"".join(text(v) for v in row))
        self._send(b"\xfe" + struct.pack("<HH", 0, SERVER_STATUS))


class Statement:
    def __init__(self, world, database, sql):
        self.world, self.database, self.sql = world, database, " ".join(sql.split()).rstrip("; ")
        self.raw = sql

    def run(self):
        """None: done; else names and rows."""
        for pattern, call in ((r"SELECT (.*?) FROM information_schema\.(\w+)(.*)$", self._catalog),
                              (r"SELECT (?:current_)?version\(\)$", self._version),
                              (r"ADMIN SHOW FRONTEND CONFIG(?: LIKE '(.*)')?$", self._config),
                              (r"SHOW CREATE TABLE (\S+)$", self._show_create),
                              (r"SHOW ALTER TABLE COLUMN FROM (\S+)(.*)$", self._show_alter),
                              (r"CREATE TABLE (IF NOT EXISTS )?(\S+)", self._create),
                              (r"ALTER TABLE (\S+) (.*)$", self._alter),
                              (r"INSERT INTO (\S+) \((.*?)\) VALUES (.*)$", self._insert),
                              (r"SELECT (.*?) FROM (\S+) WHERE `(\w+)` IN \((.*)\)$", self._select),
                              (r"(SET|USE) ", lambda _: None)):
            found = re.match(pattern, self.sql, re.I)
            if found:
                return call(found)
        raise Refused(f"Getting syntax error near {self.sql[:40]!r}")

    def _version(self, found):
        own = "current" in self.sql.lower()
        return ["version"], [[self.world.version if own else "8.0.33"]]

    def _full_name(self, written):
        parts = [p.strip("`") for p in written.split(".")]
        return ".".join(parts if len(parts) == 2 else [self.database, parts[0]])

    def _table(self, written):
        name = self._full_name(written)
        if name not in self.world.tables:
            raise Refused(f"Unknown table '{name}'")
        return name, self.world.tables[name]

    def _config(self, found):
        like = re.compile((found[1] or "%").replace("%", ".*"))
        return (["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"],
                [[k, "[]", v, "int", "true", ""] for k, v in self.world.config.items()
                 if like.fullmatch(k)])

    def _show_create(self, found):
        _, table = self._table(found[1])
        return ["Table", "Create Table"], [[table.name, table.ddl]]

    def _show_alter(self, found):
        table = re.search(r"TableName ?= ?'([^']+)'", found[2], re.I)
        job = self.world.job(f"{found[1].strip('`')}.{table[1]}")
        names = ["JobId", "TableName", "CreateTime", "State", "Msg"]
        return names, [[job["time"], table[1], "2026-01-01 00:00:00", job["state"], ""]] if job else []

    def _create(self, found):
        name = self._full_name(found[2].split("(")[0])
        if name.split(".")[0] not in self.world.databases:
            raise Refused(f"Unknown database '{name.split('.')[0]}'")
        with self.world.lock:
            if name in self.world.tables and not found[1]:
                raise Refused(f"Table '{name.split('.')[1]}' already exists")
            if name not in self.world.tables:
                self.world.tables[name] = Table.parse(self.raw, self.database)

    def _alter(self, found):
        name, table = self._table(found[1])
        changes = [change for clause in split_outside(found[2]) for change in self._clause(clause)]
        for word, c in changes:
            self._check_change(table, word, c)
        self.world.alter(name, changes)

    @staticmethod
    def _clause(text):
        """ADD COLUMN (a INT, b INT), MODIFY COLUMN a BIGINT, DROP COLUMN a -> (word, column)."""
        found = re.match(r"(ADD|MODIFY|DROP) COLUMN (.*)$", text, re.I)
        if not found:
            raise Refused(f"Getting syntax error near {text[:40]!r}")
        word, body = found[1].upper(), found[2].strip()
        if word == "DROP":
            return [(word, Column(body.strip("`"), "INT"))]
        parts = split_outside(body[1:-1]) if body.startswith("(") else [body]
        return [(word, Table._column(p)) for p in parts]

    @staticmethod
    def _check_change(table, word, column):
        known = table.column(column.name)
        if word == "ADD" and known:
            raise Refused(f"Can not add column which already exists in base table: {column.name}")
        if word != "ADD" and not known:
            raise Refused(f"Column does not exists: {column.name}")
        if word == "DROP" and column.name in table.key:
            raise Refused(f"Can not drop key column: {column.name}")
        if word == "MODIFY" and known.nullable and not column.nullable:
            raise Refused(f"Can not change from nullable to non-nullable: {column.name}")
        if word == "MODIFY" and not known.widens_to(column):
            raise Refused(f"Can not change {known.kind} to {column.kind}")

    @staticmethod
    def _values(text):
        return [v[1:-1] if v.startswith("'") else None if v.upper() == "NULL" else int(v)
                for v in split_outside(text)]

    def _insert(self, found):
        """A load of its own: done and visible when it is answered."""
        _, table = self._table(found[1])
        names = [c.strip(" `") for c in found[2].split(",")]
        rows = [dict(zip(names, self._values(part[1:-1]))) for part in split_outside(found[3])]
        with self.world.lock:
            table.apply([(False, row, False) for row in rows])

    def _select(self, found):
        _, table = self._table(found[2])
        names, wanted = [c.strip(" `") for c in found[1].split(",")], self._values(found[4])
        with self.world.lock:
            rows = [r for r in table.rows() if r[found[3]] in wanted]
        return names, [[r[n] for n in names] for r in rows]

    # ---- information_schema
    def _catalog(self, found):
        wanted = [c.strip().strip("`") for c in split_outside(found[1])]
        rows = {"columns": self._columns, "tables": self._tables,
                "tables_config": self._tables_config}.get(found[2].lower())
        if not rows:
            raise Refused(f"Unknown table 'information_schema.{found[2]}'")
        same = dict(re.findall(r"(\w+) ?= ?'([^']*)'", found[3]))
        same = {k.upper(): v for k, v in same.items()}
        out = [r for r in rows() if all(str(r.get(k)) == v for k, v in same.items())]
        return wanted, [[r.get(w.upper()) for w in wanted] for r in out]

    def _each(self):
        with self.world.lock:
            return list(self.world.tables.values())

    def _tables(self):
        return [{"TABLE_CATALOG": "def", "TABLE_SCHEMA": t.database, "TABLE_NAME": t.name,
                 "TABLE_TYPE": "BASE TABLE", "ENGINE": "StarRocks"} for t in self._each()]

    def _tables_config(self):
        models = {"PRIMARY": "PRIMARY_KEYS", "UNIQUE": "UNIQUE_KEYS", "DUPLICATE": "DUP_KEYS"}
        return [{"TABLE_SCHEMA": t.database, "TABLE_NAME": t.name, "TABLE_MODEL": models[t.model],
                 "TABLE_ENGINE": "OLAP",
                 "PRIMARY_KEY": ", ".join(f"`{k}`" for k in t.key) if t.primary else ""}
                for t in self._each()]

    def _columns(self):
        return [self._column(t, i, c) for t in self._each() for i, c in enumerate(t.columns, 1)]

    @staticmethod
    def _column(table, i, column):
        names = {"PRIMARY": "PRI", "UNIQUE": "UNI", "DUPLICATE": "DUP"}
        decimal = column.base.startswith("DECIMAL")
        bare = {"STRING": "varchar", "INTEGER": "int"}.get(column.base, column.base.lower())
        full = {"STRING": "varchar(65533)"}.get(column.base, column.kind.lower())
        return {"TABLE_CATALOG": None, "TABLE_SCHEMA": table.database, "TABLE_NAME": table.name,
                "COLUMN_NAME": column.name, "ORDINAL_POSITION": i, "COLUMN_DEFAULT": column.default,
                "IS_NULLABLE": "YES" if column.nullable else "NO", "DATA_TYPE": bare,
                "COLUMN_TYPE": full,
                "CHARACTER_MAXIMUM_LENGTH": column.sizes[0] if bare.endswith("char") and column.sizes
                else None,
                "NUMERIC_PRECISION": (column.sizes + [10])[0] if decimal else None,
                "NUMERIC_SCALE": (column.sizes + [0, 0])[1] if decimal else None,
                "COLUMN_KEY": names[table.model] if column.name in table.key else "",
                "EXTRA": "", "GENERATION_EXPRESSION": ""}


class MySql(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, world):
        super().__init__(("127.0.0.1", 0), type("WorldSession", (Session,), {"world": world}))
        self.port = self.server_address[1]
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, *_):
        pass  # a client that goes away is no news

    def stop(self):
        self.shutdown()
        self.server_close()


__all__ = ["Column", "MySql"]
