# SPDX-License-Identifier: Apache-2.0
"""The mysql sink: the newest version of each column wins, and deletes of many rows."""

import contextlib
import datetime as dt
import decimal
import threading
import uuid

import pyarrow as pa
import pymysql
import pytest

import ranges
import versions
from abi import BADCONF, REJECT, Failure
from servers.process import wait_until
from version_cases import *  # noqa: F401, F403
from version_cases import VersionTarget, row, span


class MysqlTarget(VersionTarget):
    plugin = "mysql"
    TABLE = ("CREATE TABLE t (k bigint, c1 int, c2 varchar(20) CHARACTER SET utf8mb4 COLLATE %(collation)s, %(a)s,"
             " b text, n int NOT NULL DEFAULT 7, at datetime(6), %(millrace_written)s PRIMARY KEY (k, c1, c2))")
    TYPES = {"a": "a bigint", "millrace_written": "millrace_written json,", "collation": "uca1400_as_cs"}
    variants = ({}, {"method": "insert"}, {"statement_bytes": "1KiB"}, {"method": "insert", "statement_bytes": "1KiB"})

    def kill_sessions(self):
        for session in self.db.sessions():
            self.db.server.kill(session)


@pytest.fixture
def target(db):
    return MysqlTarget(db)


# ---------------------------------------------------------------- types

def moment(second):
    return dt.datetime(2026, 1, 1, 0, 0, second)


KINDS = {  # a key column's type there, the rows' type, values in their order
    "latin1": ("varchar(9) COLLATE latin1_general_cs", pa.string(), ["", "A", "Z", "a", "a\t", "aa", "z", "é"]),
    "char": ("char(9) COLLATE utf8mb4_nopad_bin", pa.string(), ["", "A", "Z", "a", "a!", "z", "é", "\U0001f600"]),
    "varbinary": ("varbinary(9)", pa.binary(), [b"", b"\0", b"\0\xff", b"\t", b"A", b"\\", b"a", b"\xff"]),
    "uuid as text": ("char(36) CHARACTER SET ascii", pa.binary(16), [uuid.UUID(int=i << 100).bytes for i in range(8)]),
    "uuid as bytes": ("binary(16)", pa.binary(16), [uuid.UUID(int=i << 100).bytes for i in range(8)]),
    "bit": ("bit(4)", pa.int16(), list(range(8))),
    "unsigned": ("bigint unsigned", pa.uint64(), [0, 1, 2, 2 ** 31, 2 ** 53 + 1, 2 ** 63, 2 ** 64 - 2, 2 ** 64 - 1]),
    "decimal": ("decimal(20,2)", pa.decimal128(20, 2), [decimal.Decimal(i) / 4 for i in range(-4, 4)]),
    "double": ("double", pa.float64(), [-1e300, -0.5, 0.0, 1e-300, 0.1, 0.5, 2.0, 1e300]),
    "float": ("float", pa.float32(), [-2.5, -0.5, 0.0, 0.25, 0.5, 1.5, 2.0, 1000.0]),
    "date": ("date", pa.date32(), [dt.date(1900 + 20 * i, 2, 3) for i in range(8)]),
    "datetime": ("datetime(6)", pa.timestamp("us"), [moment(i) for i in range(8)]),
    "timestamp": ("timestamp(6)", pa.timestamp("us"), [moment(i) for i in range(8)]),
    "time": ("time(6)", pa.time64("us"), [dt.time(3 * i, 1, 2, i) for i in range(8)]),
}


@pytest.mark.parametrize("method", ["load", "insert"])
@pytest.mark.parametrize("name", KINDS)
def test_bounds_of_every_type(db, name, method):
    ddl, kind, values = KINDS[name]
    schema = pa.schema([("k", pa.int64()), ("x", kind), ("_op", pa.string()), ranges.kind(x=kind)])
    db.sql(f"CREATE TABLE t (k int, x {ddl}, i int, PRIMARY KEY (k, x)) CHARACTER SET utf8mb4")
    schema = schema.append(pa.field("i", pa.int32()))
    spans = [ranges.bounds(lower, upper, inc) for inc in ((True, False), (False, True))
             for lower, upper in ((values[2], values[5]), (None, values[4]), (values[4], None), (values[6], values[6]))]
    rows = [{"k": k, "x": x, "i": i, "_op": "insert"} for k in range(2 * len(spans)) for i, x in enumerate(values)]
    deletes = [{"k": k % len(spans) + k // len(spans) * len(spans), "_op": "delete", "_range": {"x": spans[k % len(spans)]}}
               for k in range(2 * len(spans))]
    half = len(spans) * len(values)
    want = {(r["k"], r["i"]) for r in rows}
    for d in deletes:
        want -= {(d["k"], i) for i, x in enumerate(values) if ranges.within(x, d["_range"]["x"])}
    with MysqlTarget(db).sink(schema, key=["k", "x"], method=method) as s:
        s.found({"0": 0})
        s.put(versions.partial.rows(*rows[:half], schema=schema))
        s.put(versions.partial.rows(*rows[half:], *deletes, schema=schema), half)
        assert not s.rejects
    assert {tuple(r) for r in db.sql("SELECT k, i FROM t")} == want
    assert len(want) < len(rows)


@pytest.mark.parametrize("ddl, kind", [("uuid", pa.binary(16)), ("enum('a', 'b')", pa.string()), ("inet6", pa.string()),
                                       ("float", pa.float64())])
def test_bounds_of_what_the_table_orders_otherwise_are_refused(target, ddl, kind):
    target.sql(f"CREATE TABLE t (k int, s {ddl}, PRIMARY KEY (k, s))")
    schema = pa.schema([("k", pa.int64()), ("s", kind), ("_op", pa.string()), ranges.kind(s=kind)])
    value = {pa.string(): "a", pa.float64(): 0.5}.get(kind, b"0123456789abcdef")
    change = {"_op": "delete", "v": 1}
    s = target.write({**change, "k": 1, "_range": {"s": span(None, value)}}, {**change, "k": 2, "_range": {"s": None}},
                     schema=schema, version=None, key=["k", "s"])
    assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "0A000", "s")]


@pytest.mark.parametrize("ddl, refused", [("datetime", True), ("timestamp(3)", True), ("decimal(20,2)", True), ("double", True),
                                          ("varchar(40)", True), ("timestamp(6)", False)])
def test_a_column_that_does_not_show_the_version(target, ddl, refused):
    kind = pa.timestamp("us") if "time" in ddl else pa.int64()
    schema = pa.schema([("k", pa.int64()), ("at", kind)])
    target.sql(f"CREATE TABLE t (k int PRIMARY KEY, at {ddl} NULL, millrace_written json)")
    if refused:
        assert "does not keep versions" in target.refused(schema, version="at", key=["k"]).msg
    else:
        with target.sink(schema, version="at", key=["k"]):
            pass


# ---------------------------------------------------------------- what this server does in its own way

def test_another_unique_index(target):
    """A delete makes room for a row of the same unit; a clash refuses its row alone."""
    target.sql("CREATE TABLE t (k bigint, c1 int, c2 varchar(9), a bigint UNIQUE, b text, n int NOT NULL DEFAULT 7,"
               " at datetime(6), millrace_written json, PRIMARY KEY (k, c1, c2))")
    target.write(row(1, a=1), row(1, k=2, a=2))
    target.write(row(3, k=3, a=1), row(2, _op="delete"), row(3, k=2, b="x"))
    assert target.sql("SELECT k, a, b FROM t ORDER BY k") == [(2, 2, "x"), (3, 1, None)]
    with target.sink(version="at") as s:
        s.found({"0": 0})
        s.begin(s.unit({"0": (0, 1, 1, 1)}))
        with pytest.raises(Failure) as caught:
            s.write(versions.rows([row(4, k=4, a=2)]))
            s.flush()
        assert caught.value.status == REJECT
    assert len(target.values()) == 2


def test_keys_are_equal_as_the_collation_says(target):
    target.create(collation="utf8mb4_general_ci")
    target.write(row(1, c2="key", a=1), row(2, c2="KEY", b="x"), row(9, c2="other"))
    assert target.values() == [(1, "x", 7, 2), (None, None, 7, 9)]
    target.write(row(3, c2="Key", _op="delete"), row(1, c2="kEy", a=5))
    assert target.values() == [(None, None, 7, 9)]


def test_more_columns_than_a_word_has_bits(target):
    columns = [f"c{i}" for i in range(70)]
    schema = pa.schema([("id", pa.int64()), ("at", pa.int64())] + [(c, pa.int64()) for c in columns] +
                       [("_set", pa.struct([(c, pa.bool_()) for c in columns]))])
    changes = [{"id": i % 7, "at": i * 37 % 50, **{c: i for k, c in enumerate(columns) if (i * 7 + k) % 3 == 0}}
               for i in range(50)]
    model = {}
    for change in sorted(changes, key=lambda c: c["at"]):
        model.setdefault(change["id"], {}).update(change)
    with target.sink(schema, key=["id"], version="at", create="true") as s:
        s.found({"0": 0})
        s.put(versions.partial.rows(*changes[:20], schema=schema))
        s.put(versions.partial.rows(*changes[20:], schema=schema), 20)
    assert [r[:-1] for r in target.sql("SELECT * FROM t ORDER BY id")] == [
        (i, *(model[i].get(c) for c in ["at", *columns])) for i in sorted(model)]


def test_a_new_column_mid_run(target):
    target.create()
    second = versions.SCHEMA.append(pa.field("late", pa.int64()))
    with target.sink(version="at", evolve="add") as s:
        player = versions.Player(s)
        player.unit([[row(5, a=1), row(3, b="x")]])
        s.evolve(second)
        player.schema = second
        player.unit([[row(4, late=1, a=0), row(2, late=2)]])
    assert target.sql("SELECT a, b, late FROM t") == [(1, "x", 1)]
    assert target.written() == [{"a": 5, "at": 5, "b": 3, "late": 4}]


def test_the_helper_column_that_goes_is_asked_for_again(target):
    target.create()
    with target.sink(version="at") as s:
        player = versions.Player(s)
        player.unit([[row(5, a=1)]])
        target.sql("ALTER TABLE t DROP COLUMN millrace_written")
        with pytest.raises(Failure) as caught:
            player.unit([[row(6, a=2)]])
        assert caught.value.status == BADCONF and caught.value.option == "version"
    assert target.values() == [(1, None, 7, 5)]


def test_create_and_its_statement(target):
    schema = pa.schema([("id", pa.int64()), ("v", pa.string()), ("at", pa.timestamp("us"))])
    s = target.sink(schema, key=["id"], version="at", create="true")
    assert "will be created" in s.check()
    assert "`at` datetime(6) NULL, millrace_written json NULL, PRIMARY KEY (`id`)" in s.ddl()

def test_nobody_makes_a_row_that_was_looked_for(target):
    """Whatever isolation the server's sessions begin with."""
    target.create()
    target.sql("CREATE TRIGGER held BEFORE INSERT ON t FOR EACH ROW DO GET_LOCK('held', 100)")
    waiting = "SELECT 1 FROM information_schema.processlist WHERE db = DATABASE() AND state = 'User lock'"
    writer = threading.Thread(target=target.write, args=(row(5, a=1),), kwargs={"statement_timeout": "5m"})
    target.sql("SET GLOBAL tx_isolation = 'READ-COMMITTED'")
    try:
        with contextlib.closing(target.db.connect()) as other:
            cursor = other.cursor()
            cursor.execute("SET innodb_lock_wait_timeout = 1")
            cursor.execute("SELECT GET_LOCK('held', 0)")
            writer.start()
            wait_until(lambda: target.sql(waiting), 60, "the sink before its insert")
            with pytest.raises(pymysql.err.OperationalError) as caught:
                cursor.execute("INSERT INTO t (k, c1, c2) VALUES (1, 1, 'x')")
            assert caught.value.args[0] == 1205  # it waits for the sink
        writer.join(60)
    finally:
        target.sql("SET GLOBAL tx_isolation = 'REPEATABLE-READ'")
    assert target.values() == [(1, None, 7, 5)]


# ---------------------------------------------------------------- check

@pytest.mark.parametrize("options, word", [
    ({"version": "zz", "create": "true", "table": "none"}, "not among the pipeline's columns"),
    ({"version": "b", "create": "true", "table": "none"}, "neither"),
    ({"mode": "append", "key": [], "evolve": "add"}, "_range"), ({"version": "at"}, "ALTER TABLE")])
def test_check_says_what_start_would(target, options, word):
    target.create(millrace_written="")
    with pytest.raises(Failure) as caught:
        target.sink(**options).check()
    assert caught.value.status == BADCONF and word in caught.value.msg


@pytest.mark.parametrize("options, schema, word", [({"version": "at"}, versions.WHOLE, "versions need MariaDB 10.7"),
                                                   ({}, versions.SCHEMA, "(_range) need MariaDB 10.7")])
def test_a_server_that_cannot(target, proxy, options, schema, word):
    target.create()
    proxy.rewrite = lambda data: data.replace(b"10.11.", b"10.06.", 1)
    old = {"url": proxy.url(target.db), **options}
    failure = target.refused(schema, **old)
    assert word in failure.msg and "this server is 10.06." in failure.msg
    with pytest.raises(Failure) as caught:
        target.sink(schema, **old).check()
    assert word in caught.value.msg
    target.write(row(1, a=1), schema=versions.PARTS, version=None, url=old["url"])
    assert target.values() == [(1, None, 7, 1)]
