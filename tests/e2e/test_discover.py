# SPDX-License-Identifier: Apache-2.0
"""discover --ddl: the table that a sink would make, and that it makes."""

import re
import sqlite3

PIPELINE = """name: ddl
sources:
  - name: in
    file:
      path: in.jsonl
      format: jsonl
      columns:
        id: uint64
        price: decimal(18,4)
        at: timestamptz
        day: date
        "odd name": utf8
        raw: json
        flag: bool
        ratio: float64
transforms:
  - name: more
    select: {set: {twice: price * 2}, drop: [ratio]}
sinks:
  - name: out
    %s
settings:
  state: "${STATE}"
"""
POSTGRES = 'postgres: {url: "%s", table: public.t, mode: upsert, key: [id], create: true}'
SQLITE = "sqlite: {path: rows.db, table: t, mode: upsert, key: [id], create: true}"
COLUMNS = ["id", "price", "at", "day", "odd name", "raw", "flag", "twice"]


def ddl(millrace, sink):
    done = millrace.command("discover", "--ddl", millrace.write("p.yaml", PIPELINE % sink), "out").expect(0)
    types = dict(re.findall(r"^-- (.+): \S.* -> (.+)$", done.out, re.M))
    assert list(types) == COLUMNS
    return types, "".join(line for line in done.out.splitlines(True) if not line.startswith("--"))


def test_ddl_of_postgres_is_the_table_it_makes(millrace, database):
    described = ("SELECT column_name, data_type, numeric_precision, numeric_scale, datetime_precision, is_nullable"
                 " FROM information_schema.columns WHERE table_name = 't' ORDER BY ordinal_position")
    unreachable = POSTGRES % "postgresql://nobody@127.0.0.1:1/none"
    types, statement = ddl(millrace, unreachable)  # no server is asked
    assert types["id"].lower() == "numeric(20,0)" and types["price"].lower() == "numeric(18,4)"
    database.sql(statement)
    shown = database.sql(described)
    database.sql("DROP TABLE t")
    millrace.write("in.jsonl", '{"id": 1, "price": 2.5, "odd name": "x"}\n')
    millrace.run(PIPELINE % (POSTGRES % database.url)).expect(0)
    assert database.sql(described) == shown and len(shown) == len(COLUMNS)


def test_ddl_of_sqlite_is_the_table_it_makes(millrace):
    _, statement = ddl(millrace, SQLITE)
    assert not (millrace.folder / "rows.db").exists()
    made = sqlite3.connect(":memory:")
    made.executescript(statement)
    millrace.write("in.jsonl", '{"id": 1, "price": 2.5}\n')
    millrace.run(PIPELINE % SQLITE).expect(0)
    real = sqlite3.connect(millrace.folder / "rows.db")
    assert real.execute("PRAGMA table_info(t)").fetchall() == made.execute("PRAGMA table_info(t)").fetchall()


def mysql_columns(schema):
    return schema.sql("SELECT column_name, column_type, is_nullable, column_key, collation_name FROM"
                      " information_schema.columns WHERE table_schema = DATABASE() AND table_name = 't'"
                      " ORDER BY ordinal_position")


def test_ddl_of_mysql_is_the_table_it_makes(millrace, schema):
    sink = 'mysql: {url: "%s", table: t, mode: upsert, key: [id], create: true}'
    types, statement = ddl(millrace, sink % "mysql://nobody@127.0.0.1:1/none")  # no server is asked
    assert types["id"] == "bigint unsigned" and types["price"] == "decimal(18,4)"
    schema.sql(statement)
    shown = mysql_columns(schema)
    schema.sql("DROP TABLE t")
    millrace.write("in.jsonl", '{"id": 1, "price": 2.5, "odd name": "x"}\n')
    millrace.run(PIPELINE % (sink % schema.url)).expect(0)
    assert mysql_columns(schema) == shown and len(shown) == len(COLUMNS)


def test_ddl_of_clickhouse_is_the_table_it_makes(millrace, clickhouse):
    sink = 'clickhouse: {url: "%s", table: ddl.t, create: true, key: [id]}'
    types, statement = ddl(millrace, sink % "http://127.0.0.1:1/")
    assert types["id"] == "UInt64" and types["price"] == "Nullable(Decimal(18, 4))"
    clickhouse.query("DROP DATABASE IF EXISTS ddl")
    clickhouse.query("CREATE DATABASE ddl")
    clickhouse.query(statement.rstrip().rstrip(";"))
    shown = clickhouse.query("SHOW CREATE TABLE ddl.t")
    clickhouse.query("DROP TABLE ddl.t SYNC")
    millrace.write("in.jsonl", '{"id": 1, "price": 2.5, "odd name": "x"}\n')
    millrace.run(PIPELINE % (sink % clickhouse.url)).expect(0)
    assert clickhouse.query("SHOW CREATE TABLE ddl.t") == shown and "MergeTree" in str(shown)


def test_ddl_of_messages_and_files_is_what_values_become(millrace):
    for sink in ("kafka: {brokers: '127.0.0.1:1', topic: t}", "file: {path: out.jsonl}"):
        types, statement = ddl(millrace, sink)
        assert types["id"] == "number" and types["at"] == "text, 2026-01-28T10:00:00.123456Z"
        assert statement == ""
    types, _ = ddl(millrace, "file: {path: out.csv, format: csv}")
    assert types["at"] == "2026-01-28T10:00:00.123456Z" and types["raw"] == "JSON"


def test_ddl_says_why_there_is_none(millrace):
    file = millrace.write("p.yaml", PIPELINE % "null: {}")
    assert "makes no table" in millrace.command("discover", "--ddl", file, "out").expect(2).err
    assert "no stage `nobody`" in millrace.command("discover", "--ddl", file, "nobody").expect(2).err
    inferred = re.sub(r"      columns:\n(        .*\n)+", "", PIPELINE % SQLITE).replace("{set: {twice: price * 2}, drop: [ratio]}", "{set: {one: \"1\"}}")
    file = millrace.write("q.yaml", inferred)
    done = millrace.command("discover", "--ddl", file, "out").expect(2)
    assert "not known before the run" in done.err
