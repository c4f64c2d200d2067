# SPDX-License-Identifier: Apache-2.0
"""check --connect, /health/STAGE and discover, for every plugin that has a server: each stage by its own settings alone."""

import contextlib
import itertools
import json
import socket
import sqlite3
import urllib.request

import pytest

from servers.starrocks import StarRocks

numbers = itertools.count(1)
CLOSED = "127.0.0.1:1"


class System:
    """One plugin. stage(table, closed=False) is its entry; TABLE has the columns n and s."""

    table, absent = "t", "nowhere"

    def __init__(self, get, folder):
        self.get, self.folder = get, folder
        self.prepare()

    def close(self):
        pass


class Postgres(System):
    says, columns = "PostgreSQL", {"n": "int32", "s": "utf8"}
    table, absent = "public.t", "public.nowhere"

    def prepare(self):
        self.database = self.get("database")
        self.database.sql("CREATE TABLE t (n integer NOT NULL, s text)")

    def stage(self, table, closed=False):
        return f'postgres: {{url: "{f"postgresql://u@{CLOSED}/d" if closed else self.database.url}", table: {table}}}'


class Mysql(System):
    says, columns = "MariaDB", {"n": "int32", "s": "utf8"}

    def prepare(self):
        self.schema = self.get("schema")
        self.schema.sql("CREATE TABLE t (n int NOT NULL, s text)")

    def stage(self, table, closed=False):
        return f'mysql: {{url: "{f"mysql://u@{CLOSED}/d" if closed else self.schema.url}", table: {table}}}'


class Sqlite(System):
    says, columns = "SQLite", {"n": "int64", "s": "utf8"}

    def prepare(self):
        self.path = self.folder / "rows.db"
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.execute("CREATE TABLE t (n INTEGER NOT NULL, s TEXT)")

    def stage(self, table, closed=False):
        return f"sqlite: {{path: {'/nowhere/rows.db' if closed else self.path}, table: {table}}}"


class Clickhouse(System):
    says, columns = "ClickHouse", {"n": "int32", "s": "utf8"}

    def prepare(self):
        self.server, self.name = self.get("clickhouse"), f"health{next(numbers)}"
        self.url = self.server.create_database(self.name)
        self.server.query("CREATE TABLE t (n Int32, s Nullable(String)) ENGINE = MergeTree ORDER BY n", self.name)
        self.table = f"{self.name}.t"

    def stage(self, table, closed=False):
        return f'clickhouse: {{url: "{f"http://{CLOSED}/" if closed else self.url}", table: {table}}}'

    def close(self):
        self.server.drop_database(self.name)


class Starrocks(System):
    says, columns = "StarRocks", {"n": "int32", "s": "utf8"}
    table, absent = "db.t", "db.nowhere"

    def prepare(self):
        self.server = StarRocks().__enter__()
        self.server.create("CREATE TABLE db.t (n INT NOT NULL, s VARCHAR(100)) DUPLICATE KEY (n)")

    def stage(self, table, closed=False):
        url, port = (f"http://{CLOSED}", 1) if closed else (self.server.fe_url, self.server.mysql.port)
        return f'starrocks: {{url: "{url}", sql_port: {port}, user: root, password: secret, table: {table}}}'

    def close(self):
        self.server.__exit__(None, None, None)


class Kafka(System):
    says, columns = "Kafka", {"n": "int64", "s": "utf8"}

    def prepare(self):
        self.server = self.get("kafka")
        self.table = self.get("topic")(1)
        self.server.produce(self.table, [b'{"n": 1, "s": "x"}'])

    def stage(self, table, closed=False):
        word = "topics" if self.kind == "sources" else "topic"
        return f'kafka: {{brokers: "{CLOSED if closed else self.server.brokers}", {word}: {table}}}'


SYSTEMS = {"postgres": Postgres, "mysql": Mysql, "sqlite": Sqlite, "clickhouse": Clickhouse, "starrocks": Starrocks,
           "kafka": Kafka}
STAGES = [f"sources/{name}" for name in ("postgres", "mysql", "sqlite", "kafka")] + [f"sinks/{name}" for name in SYSTEMS]


@pytest.fixture(params=STAGES)
def system(request, tmp_path):
    kind, name = request.param.split("/")
    SYSTEMS[name].kind = kind
    made = SYSTEMS[name](request.getfixturevalue, tmp_path)
    yield made
    made.close()


def pipeline(system, table, closed=False, settings=""):
    """The stage `asked`, and others that need no server."""
    stage = system.stage(table, closed)
    if system.kind == "sources":
        stages = f"sources:\n  - name: asked\n    {stage}\n  - name: made\n    generate: {{kind: sequence, rate: 100}}\n" \
                 "sinks:\n  - name: lines\n    input: made\n    file: {path: out.jsonl}\n" \
                 "  - name: more\n    input: asked\n    file: {path: more.jsonl}\n"
    else:
        stages = "sources:\n  - name: made\n    generate: {kind: sequence, rate: 100}\n" \
                 "transforms:\n  - name: pair\n    select: {set: {n: 'CAST(1 AS int32)', s: \"'x'\"}, keep: [n, s]}\n" \
                 f"sinks:\n  - name: asked\n    {stage}\n  - name: lines\n    file: {{path: out.jsonl}}\n"
    return f"name: health\n{stages}settings:\n  state: \"${{STATE}}\"\n{settings}"


def lines(text):
    return dict(line.split(": ", 1) for line in text.splitlines() if line.startswith(("asked: ", "lines: ")))


def connected(millrace, text, *codes):
    """What check --connect says of the stages; asked again where a slow machine has passed its deadline."""
    for _ in range(10):
        result = millrace.check(text, "--connect")
        if "no answer within" not in result.text:
            break
    return lines(result.expect(*codes).text)


def test_check_connect_of_each_stage_by_itself(system, millrace):
    said = connected(millrace, pipeline(system, system.table), 0)
    assert said["asked"].startswith("ok: ") and system.says in said["asked"], said
    assert system.table in said["asked"], said
    closed = connected(millrace, pipeline(system, system.table, closed=True), 2, 3)
    assert closed["asked"].startswith(("down: ", "wrong: ")) and closed["lines"].startswith("ok"), closed
    missing = connected(millrace, pipeline(system, system.absent), 1, 2, 3)
    assert not missing["asked"].startswith("ok") and system.absent in missing["asked"], missing
    assert missing["lines"].startswith("ok"), missing


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_health_of_a_running_stage(system, millrace):
    port = free_port()
    running = millrace.start(pipeline(system, system.table, settings=f"  http: 127.0.0.1:{port}\n"))

    answers = []

    def answer():
        with contextlib.suppress(OSError):  # not there yet, or 503
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/asked", timeout=60) as found:
                answers.append(json.load(found))
        return answers
    running.wait_for(answer, timeout=60, what="an answer")
    found = answers[0]
    assert found["stage"] == "asked" and found["status"] == "up" and found["error"] is None, found
    assert system.says in found["detail"], found
    running.kill()


def test_discover_tables_and_columns_and_what_is_missing(system, millrace):
    file = millrace.write("p.yaml", pipeline(system, system.table))
    if system.kind == "sinks" and isinstance(system, Kafka):
        assert "nothing to discover" in millrace.command("discover", file, "asked").expect(2).err
        return
    tables = [json.loads(line)["table"] for line in
              millrace.command("discover", "--json", file, "asked").expect(0).out.splitlines()]
    assert system.table in tables
    columns = [json.loads(line) for line in
               millrace.command("discover", "--json", file, "asked", system.table).expect(0).out.splitlines()]
    assert {c["column"]: c["type"] for c in columns} == system.columns
    assert [c["nullable"] for c in columns] == [isinstance(system, Kafka), True]
    missing = millrace.command("discover", file, "asked", system.absent).expect(1, 2)
    assert system.absent in missing.err and not missing.out
