# SPDX-License-Identifier: Apache-2.0
"""Schema changes, one table of cases for every sink: a pipeline whose sources are PostgreSQL tables that are
altered while it runs, a chain for each case, so that a table that stops has others beside it that go on."""

import itertools
import json
import re
import sqlite3
import urllib.request

import pytest

from evolution_cases import CASES, put
from pipelines import dead_letters
from servers.process import free_port
from servers.starrocks import StarRocks

PATIENCE = 60
numbers = itertools.count(1)


# ---- one adapter for each sink

class Postgres:
    types = {"utf8": "text", "int64": "bigint", "int32": "integer", "float64": "double precision",
             "list<int32>": "integer[]", "date": "date", "decimal(12,2)": "numeric(12,2)",
             "decimal(6,2)": "numeric(6,2)"}

    def __init__(self, request):
        self.database = request.getfixturevalue("database")

    def sink(self, table):
        return f"postgres: {{url: '{self.database.url}', table: public.{table}, %s}}"

    @staticmethod
    def more(options):
        """Options that this sink needs."""
        return ""

    def sql(self, text):
        return self.database.sql(text)

    def create(self, table, columns):
        self.sql(f"CREATE TABLE {table} ({', '.join(f'{n} {self.types[t]}' for n, t in columns)})")

    def columns(self, table):
        return dict(self.sql("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE"
                             f" attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped"))

    def ids(self, table):
        return {row[0] for row in self.sql(f"SELECT id FROM {table}")}

    def rows(self, table):
        names = list(self.columns(table))
        return [dict(zip(names, row)) for row in self.sql(f"SELECT {', '.join(names)} FROM {table}")]


class Mysql(Postgres):
    types = {"utf8": "longtext", "int64": "bigint(20)", "int32": "int(11)", "float64": "double",
             "list<int32>": "longtext", "date": "date", "decimal(12,2)": "decimal(12,2)",
             "decimal(6,2)": "decimal(6,2)"}

    def __init__(self, request):
        self.database = request.getfixturevalue("schema")

    def sink(self, table):
        return f"mysql: {{url: '{self.database.url}', table: {table}, %s}}"

    def columns(self, table):
        return {row[0]: row[1] for row in self.sql(f"SHOW COLUMNS FROM {table}")}


class Sqlite(Postgres):
    types = {"utf8": "TEXT", "int64": "INTEGER", "int32": "INTEGER", "float64": "REAL", "list<int32>": "TEXT",
             "date": "TEXT", "decimal(12,2)": "TEXT"}

    def __init__(self, request):
        self.folder = request.getfixturevalue("tmp_path")

    def sink(self, table):
        return f"sqlite: {{path: '{self.folder}/{table}.db', table: {table}, %s}}"

    def create(self, table, columns):
        with sqlite3.connect(self.folder / f"{table}.db") as db:
            db.execute(f"CREATE TABLE {table} ({', '.join(f'{n} {self.types[t]}' for n, t in columns)})")

    def query(self, table, text):
        db = sqlite3.connect(self.folder / f"{table}.db", timeout=20)
        try:
            return db.execute(text).fetchall()
        finally:
            db.close()

    def columns(self, table):
        return {row[1]: row[2] for row in self.query(table, f"PRAGMA table_info({table})")}

    def ids(self, table):
        return {row[0] for row in self.query(table, f"SELECT id FROM {table}")}

    def rows(self, table):
        names = list(self.columns(table))
        return [dict(zip(names, row)) for row in self.query(table, f"SELECT * FROM {table}")]


class Clickhouse(Postgres):
    types = {"utf8": "Nullable(String)", "int64": "Nullable(Int64)", "int32": "Nullable(Int32)",
             "float64": "Nullable(Float64)", "list<int32>": "Array(Nullable(Int32))",
             "date": "Nullable(Date32)", "decimal(12,2)": "Nullable(Decimal(12, 2))"}

    fixture = "clickhouse"

    def __init__(self, request):
        self.server, self.name = request.getfixturevalue(self.fixture), f"e{next(numbers)}"
        self.url = self.server.create_database(self.name)
        request.addfinalizer(lambda: self.server.drop_database(self.name))

    @staticmethod
    def more(options):
        return ", version: id" if "key" in options else ", order_by: [id]"

    def sink(self, table):
        return f"clickhouse: {{url: '{self.url}', table: {table}, %s}}"

    def create(self, table, columns):
        self.server.query(f"CREATE TABLE {table} ({', '.join(f'{n} {self.types[t]}' for n, t in columns)})"
                          " ENGINE = MergeTree ORDER BY tuple()", self.name)

    def columns(self, table):
        found = self.server.rows("SELECT name, type FROM system.columns WHERE database ="
                                 f" '{self.name}' AND table = '{table}'", self.name)
        return {name: kind for name, kind in found if not name.startswith("_")}

    def ids(self, table):
        return {int(row[0]) for row in self.server.rows(f"SELECT toString(id) FROM {table}", self.name)}

    def rows(self, table):
        names = list(self.columns(table))
        shown = ", ".join(f"toJSONString({n})" for n in names)
        return [dict(zip(names, (json.loads(v) if v else None for v in row)))
                for row in self.server.rows(f"SELECT {shown} FROM {table}", self.name)]


class Clickhouse18(Clickhouse):
    """It has no toJSONString, and a Date of 16 bits."""
    types = {**Clickhouse.types, "date": "Nullable(Date)"}
    fixture = "clickhouse18"

    def rows(self, table):
        answer = self.server.query(f"SELECT * FROM {table} FORMAT JSONEachRow", self.name,
                                   output_format_json_quote_64bit_integers=0)
        return [json.loads(line) for line in answer.splitlines()]


class Starrocks(Postgres):
    types = {"utf8": "VARCHAR(1048576)", "int64": "BIGINT", "int32": "INT", "float64": "DOUBLE",
             "list<int32>": "ARRAY<INT>", "date": "DATE", "decimal(12,2)": "DECIMAL(12,2)",
             "decimal(6,2)": "DECIMAL(6,2)"}

    def __init__(self, request):
        self.server = StarRocks()
        self.server.__enter__()
        request.addfinalizer(lambda: self.server.__exit__(None, None, None))
        self.server.databases.add("db")
        self.server.alter_delay = 0.2

    def sink(self, table):
        return (f"starrocks: {{url: '{self.server.fe_url}', sql_port: {self.server.mysql.port}, user: root,"
                f" password: secret, table: db.{table}, %s}}")

    def create(self, table, columns):
        self.server.create(f"CREATE TABLE db.{table} ("
                           + ", ".join(f"{n} {self.types[t]}" for n, t in columns)
                           + ") DUPLICATE KEY (id) DISTRIBUTED BY HASH (id)")

    def columns(self, table):
        return {c.name: c.kind for c in self.server.tables[f"db.{table}"].columns}

    def ids(self, table):
        return {row["id"] for row in self.server.rows(f"db.{table}")}

    def rows(self, table):
        return self.server.rows(f"db.{table}")


SINKS = {"postgres": Postgres, "mysql": Mysql, "sqlite": Sqlite, "clickhouse": Clickhouse, "clickhouse18": Clickhouse18,
         "starrocks": Starrocks}


# ---- the pipeline

def last_of(step):
    """The row behind all of a step's."""
    return 10 * step + 9


def chain(adapter, case):
    options = {"evolve": case.evolve, "create": "true", **case.options}
    words = ", ".join(f"{k}: {v}" for k, v in options.items())
    words += adapter.more(options)
    source = (f"  - name: s_{case.name}\n    postgres: {{url: '${{SOURCE}}', table: public.{case.name},"
              f" incremental: id, poll: 200ms}}\n")
    sink = f"  - name: {case.name}\n    input: s_{case.name}\n    {adapter.sink('t_' + case.name) % words}\n"
    return source, sink


def pipeline(adapter, cases, port):
    chains = [chain(adapter, case) for case in cases]
    return ("name: evolution\nsources:\n" + "".join(c[0] for c in chains)
            + "sinks:\n" + "".join(c[1] for c in chains) + """dead_letter:
  file: {path: rejected.jsonl}
  originals: keep
settings:
  state: "${STATE}"
  http: 127.0.0.1:PORT
  checkpoint: {interval: 200ms}
""".replace("PORT", str(port)))


def ids_so_far(adapter, table):
    try:
        return adapter.ids(table)
    except Exception as e:  # whatever the client calls a table that is not there yet
        if re.search(r"not exist|no such table|unable to open|doesn't exist|t_", str(e)):
            return set()
        raise


class Run:
    """All cases of one sink in one pipeline."""

    def __init__(self, adapter, cases, source, millrace):
        self.adapter, self.cases, self.source = adapter, cases, source
        for case in cases:
            source.sql(f"CREATE TABLE {case.name} (id bigint PRIMARY KEY, {case.columns})")
            if case.target:
                adapter.create("t_" + case.name, [c.split() for c in case.target.split(", ")])
        self.step(0)
        self.port = free_port()
        self.running = millrace.start(pipeline(adapter, cases, self.port), env={"SOURCE": source.url})
        self.wait(0)

    def step(self, number):
        """What the cases do to their tables, and a row behind it that fits anywhere."""
        with self.source.server.connect(self.source.name) as db:
            for case in self.cases:
                with db.transaction():
                    for statement in case.steps[number] if number < len(case.steps) else []:
                        db.execute(statement.replace("{t}", case.name).encode())
                    more = ", k" if re.search(r"\bk int", case.columns) and case.name != "key_dropped" else ""
                    value = f", {last_of(number)}" if more else ""
                    db.execute(f"INSERT INTO {case.name} (id{more}) VALUES ({last_of(number)}{value})".encode()
                               if case.name != "key_dropped" or number else b"SELECT 1")

    def stopped(self, case):
        return f"{case.name}: paused" in self.running.log

    def wait(self, number):
        """The step has come to every table that goes on; those that stop have stopped."""
        for case in self.cases:
            def there():
                if case.stops and number:
                    return self.stopped(case)
                last = last_of(number) if case.name != "key_dropped" else 1
                return last in self.ids(case)
            self.running.wait_for(there, PATIENCE, f"step {number} of {case.name}")

    def ids(self, case):
        return ids_so_far(self.adapter, "t_" + case.name)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as answer:
            return answer.read().decode()


@pytest.fixture(params=list(SINKS))
def run(request, postgres, millrace):
    name, sink = f"evolution_{next(numbers)}", request.param
    adapter = SINKS[sink](request)
    cases = [case.for_sink(sink) for case in CASES]
    source = type("Source", (), {"server": postgres, "name": name, "url": postgres.create_database(name),
                                 "sql": lambda self, q: postgres.sql(q, database=name)})()
    yield Run(adapter, cases, source, millrace)
    millrace.stop_all()
    postgres.drop_database(name)


# ---- what must be there

def same(found, wanted):
    """Lists and decimals have another form in some targets."""
    if isinstance(wanted, list):
        return (json.loads(found) if isinstance(found, str) else found) == wanted
    if isinstance(wanted, str) and re.fullmatch(r"[\d.]+", wanted):
        return found is not None and float(found) == float(wanted)
    return found == wanted


def wrong_rows(run, case):
    rows = {row["id"]: row for row in run.adapter.rows("t_" + case.name)}
    refused = [i for i, _, _ in case.letters]
    for i, wanted in case.rows.items():
        if i not in rows:
            yield f"row {i} is not there"
        for column, value in wanted.items() if i in rows else ():
            if not same(rows[i].get(column), value):
                yield f"row {i}: {column} is {rows[i].get(column)!r}, not {value!r}"
    yield from (f"row {i} is there" for i in refused if i in rows)


def wrong_types(run, case):
    columns = run.adapter.columns("t_" + case.name)
    for column, kind in case.types.items():
        wanted = kind and run.adapter.types[kind]
        if columns.get(column) != wanted and not (
                wanted and columns.get(column, "").lower() == wanted.lower()):
            yield f"column {column} is {columns.get(column)}, not {wanted}"


def wrong_letters(run, case, letters):
    mine = [x for x in letters if x["sink"] == case.name]
    if len(mine) != len(case.letters):
        yield f"letters: {mine}"
        return
    columns = run.adapter.columns("t_" + case.name)
    for (i, column, brings), letter in zip(case.letters, mine):
        row = letter["row"] if isinstance(letter["row"], dict) else json.loads(letter["row"])
        expected = f"(expected {columns[column]}, got {brings})".lower()
        if not (row["id"] == i and letter["column"] == column and expected in letter["message"].lower()
                and row[column] is not None and letter["position"] is not None):
            yield f"letter {letter}, not {expected}"


def wrong_words(run, case, log, metrics):
    lines = [line for line in log.splitlines() if f"{case.name}: " in line]
    if case.says and not any(case.says in line for line in lines):
        yield f"the log does not say {case.says!r}: {lines}"
    if case.counts and not re.search(rf'{case.counts}\{{[^}}]*"{case.name}"[^}}]*\}} [1-9]', metrics):
        yield f"no {case.counts}"
    if case.stops and not any(case.stops in line and "paused" in line for line in lines):
        yield f"not stopped for {case.stops!r}: {lines}"


def test_schema_changes(run, millrace):
    steps = max(len(case.steps) for case in run.cases)
    for number in range(1, steps + 1):  # the last one only has rows: others go on beside those that stopped
        run.step(number)
        run.wait(number)
    metrics = run.metrics()
    ended = run.running.terminate()
    letters, wrong = dead_letters(millrace), []
    for case in run.cases:
        wrong += [f"{case.name}: {w}" for w in (*wrong_rows(run, case), *wrong_types(run, case),
                                                *wrong_letters(run, case, letters),
                                                *wrong_words(run, case, ended.text, metrics))]
    assert not wrong, "\n".join(wrong) + "\n" + ended.text[-3000:]
    first = ended.text.splitlines()[-1]
    assert ended.code == 2 and any(f" {c.name}: " in first and c.stops in first for c in run.cases if c.stops)


# ---- columns that a file's rows bring, or that the file declares from the next run on

@pytest.fixture(params=list(SINKS))
def adapter(request):
    made = SINKS[request.param](request)
    made.options = {"nulls": "default"} if request.param.startswith("clickhouse") else {}  # an Array is never null
    return made


def from_file(adapter, columns, source="", **options):
    words = {"create": "true", "evolve": "add", **adapter.options, **options}
    text = ", ".join(f"{k}: {v}" for k, v in words.items()) + adapter.more(words)
    return f"""name: grows
sources:
  - name: in
    file: {{path: in.jsonl, format: jsonl, columns: {columns}{source}}}
sinks:
  - name: out
    {adapter.sink('t_grows') % text}
settings:
  state: "${{STATE}}"
  checkpoint: {{interval: 100ms}}
"""


def add_rows(millrace, *rows):
    with open(millrace.folder / "in.jsonl", "a") as out:
        out.writelines(json.dumps(row) + "\n" for row in rows)


def differences(adapter, wanted):
    rows = {row["id"]: row for row in adapter.rows("t_grows")}
    assert rows.keys() == wanted.keys()
    return [f"row {i}: {column} is {rows[i].get(column)!r}, not {value!r}" for i, row in wanted.items()
            for column, value in row.items() if not same(rows[i].get(column), value)]


def test_keys_that_no_column_had(millrace, adapter):
    add_rows(millrace, {"id": 1})
    running = millrace.start(from_file(adapter, "{id: int64}", ", mode: follow, unknown: add"))

    def arrive(n):
        running.wait_for(lambda: n in ids_so_far(adapter, "t_grows"), PATIENCE, f"row {n}")
    arrive(1)
    add_rows(millrace, {"id": 2, "v": "x"})
    arrive(2)
    add_rows(millrace, {"id": 3, "a": 2 ** 40, "b": True, "c": 0.5}, {"id": 4, "v": "y", "tags": ["p", "q"]})
    arrive(4)
    running.terminate().expect(0)
    assert not differences(adapter, {1: {"v": None, "a": None}, 2: {"v": "x"}, 3: {"v": None, "a": 2 ** 40, "c": 0.5},
                                     4: {"v": "y", "tags": ["p", "q"]}})


def test_columns_declared_from_the_next_run_on(millrace, adapter):
    add_rows(millrace, {"id": 1, "k": 5, "v": "early"})
    millrace.run(from_file(adapter, "{id: int64, k: int32}")).expect(0)
    add_rows(millrace, {"id": 2, "k": 2 ** 40, "v": "x"})
    millrace.run(from_file(adapter, "{id: int64, k: int64, v: utf8}", evolve="full")).expect(0)
    assert not differences(adapter, {1: {"k": 5, "v": None}, 2: {"k": 2 ** 40, "v": "x"}})
    add_rows(millrace, {"id": 3, "v": "z"})
    millrace.run(from_file(adapter, "{id: int64, v: utf8}")).expect(0)
    assert not differences(adapter, {1: {"k": 5}, 2: {"k": 2 ** 40}, 3: {"k": None, "v": "z"}})
