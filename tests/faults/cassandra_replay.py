# SPDX-License-Identifier: Apache-2.0
"""Random CQL statements on live Cassandra nodes, one for each form of the commit log; pipelines follow the
log into PostgreSQL while they run, each table's rows and its static columns, with `partial: keep` and with
`read_back`, and are killed (-9) now and then; in the end every table is compared with SELECT.
usage: ./dev faults cassandra-replay [--n SEEDS] [--statements N] [--form NAME]"""

import base64
import pathlib
import sys
import tempfile
import time

from faults import cql_values
from faults.commitlog import FORMS, node_version, parse, selected, tell
from faults.cql_statements import Statements
from servers.cassandra import Cassandra
from servers.postgres import Postgres
from servers.runner import Millrace

REFUSED = 4  # exit code: done, with dead letters
PARTIALS = ("keep", "read_back")
DECLARED = {  # where the column's own type has room for less, or another text
    "varint": "utf8", "decimal": "utf8", "timestamp": "int64", "time": "int64", "duration": "utf8",
    "int": "int32", "bigint": "int64", "smallint": "int16", "tinyint": "int8", "double": "float64",
    "float": "float32", "boolean": "bool", "text": "utf8", "ascii": "utf8", "blob": "binary",
    "uuid": "uuid", "date": "date", "inet": "utf8",
}


def bytes_of(v):
    """A bytea, or a blob within JSON."""
    return bytes.fromhex(v[2:]) if v.startswith("\\x") else base64.b64decode(v)


OF_TABLE = cql_values.SCALAR | {
    "blob": bytes_of,
    "timestamp": lambda v: v if isinstance(v, int) else cql_values.timestamp(v.removesuffix(":00")),
}


def tables(statements):
    """Those of the statements that can be followed; the tuple's time is of whole days, as JSON has less."""
    statements.table("collections").columns["tu"] = ("tuple", "int", "text", "date")
    statements.tables = [t for t in statements.tables if not t.counter]
    return statements.tables


class Stream:
    """What one source reads of a table: its rows, or what belongs to the partition."""

    def __init__(self, table, static):
        self.table, self.static = table, static
        self.name = f"{table.name}_static" if static else table.name
        self.key = [*table.key] if static else [*table.key, *table.clustering]
        self.columns = table.static if static else table.columns

    def declared(self):
        if self.table.name != "scalars":
            return ""
        kinds = {n: DECLARED[t] if isinstance(t, str) else f"list<{DECLARED[t[1]]}>"
                 for n, t in [(k, self.table.key[k]) for k in self.key] + [*self.columns.items()]}
        return "".join(["      columns:\n"] + [f"        {n}: {t}\n" for n, t in kinds.items()])

    def expected(self, rows):
        """Of commitlog.selected: key -> values."""
        n, found = len(self.table.static), {}
        for key, (values, _) in rows.items():
            if self.static and any(v is not None for v in values[:n]):
                found[key[:len(self.table.key)]] = values[:n]
            if not self.static and None not in key:
                found[key] = values[n:]
        return found

    def arrived(self, database, schema):
        types, found = self.table.types(), {}
        for (text,) in database(f"SELECT row_to_json(whole)::text FROM {schema}.{self.name} AS whole"):
            row = cql_values.loads(text)

            def value(c):
                return cql_values.canonical(types[c], row.get(c), OF_TABLE)
            found[tuple(value(c) for c in self.key)] = tuple(value(c) for c in self.columns)
        return found


def streams(table):
    return [Stream(table, False)] + ([Stream(table, True)] if table.static else [])


def pipeline(node, url, keyspace, every, partial, history, schema):
    sources, transforms, sinks = [], [], []
    for s in every:
        sources.append(f"""  - name: {s.name}
    cassandra:
      hosts: 127.0.0.1:{node.port}
      table: {keyspace}.{s.table.name}
      mode: cdc
      rows: {"static" if s.static else "regular"}
      partial: {partial}
      directory: {node.cdc_raw}
      history: {history}
      consistency: one
      delete: false
{s.declared()}""")
        transforms.append(f"""  - name: {s.name}_at
    input: {s.name}
    select:
      set: {{written_at: _timestamp}}
""")
        sinks.append(f"""  - name: {s.name}_table
    input: {s.name}_at
    postgres:
      url: {url}
      table: {schema}.{s.name}
      mode: upsert
      key: [{", ".join(s.key)}]
      version: written_at
      create: true
      evolve: add
""")
    return (f"name: {keyspace}-{partial.replace('_', '-')}\nsources:\n{''.join(sources)}transforms:\n{''.join(transforms)}"
            f"sinks:\n{''.join(sinks)}dead_letter:\n  originals: drop\n  file: {{path: rejected.jsonl}}\n"
            "settings:\n  state: state\n  checkpoint: {interval: 200ms}\n")


class Follower:
    """One pipeline with its own schema of the database."""

    def __init__(self, node, postgres_url, sql, folder, keyspace, every, partial):
        self.schema, self.sql, self.streams = f"{keyspace}_{partial}", sql, every
        self.program = Millrace(folder / partial)
        sql(f"CREATE SCHEMA {self.schema}")
        self.text = pipeline(node, postgres_url, keyspace, every, partial, folder / "history", self.schema)
        self.running = None

    def start(self):
        self.running = self.program.start(self.text)

    def kill(self):
        self.running.kill()
        self.start()

    def finish(self):
        """What the log has by now has arrived when this returns."""
        self.running.terminate(60).expect(0, REFUSED)
        self.program.run(self.text, timeout=300).expect(0, REFUSED)

    def differences(self, rows):
        letters = self.program.folder / "rejected.jsonl"
        for line in letters.read_text().splitlines() if letters.exists() else []:
            if '"kind":"letter"' in line:
                yield f"{self.schema}: refused: {line}"
        for s in self.streams:
            want, got = s.expected(rows[s.table.name]), s.arrived(self.sql, self.schema)
            for key in sorted({*want, *got}, key=repr):
                if want.get(key) != got.get(key):
                    yield f"{self.schema}.{s.name} {key}: " + difference(s, want.get(key), got.get(key))


def difference(stream, want, got):
    if want is None or got is None:
        return f"{want!r} in Cassandra, {got!r} in PostgreSQL"
    return "; ".join(f"{c}: {w!r} in Cassandra, {g!r} in PostgreSQL"
                     for c, w, g in zip(stream.columns, want, got) if w != g)


def send(node, statements, n):
    """Returns how many the node refused: elements of lists that are not there."""
    from cassandra import InvalidRequest
    refused = 0
    for _ in range(n):
        try:
            node.session().execute(statements.next())
        except InvalidRequest:
            refused += 1
    return refused


def replay(node, url, sql, folder, keyspace, seed, n, kills=4, partials=PARTIALS):
    """Differences of one seed, and how many rows there are in the end."""
    print(f"seed {seed}: {n} statements, {' and '.join(partials)}", flush=True)
    statements = Statements(keyspace, node_version(node), seed, int(time.time() * 1e6))
    every = [s for t in tables(statements) for s in streams(t)]
    node.create_keyspace(keyspace)
    for statement in statements.schema():
        node.cql(statement)
    (folder / "history").mkdir(parents=True)
    followers = [Follower(node, url, sql, folder, keyspace, every, p) for p in partials]
    try:
        for f in followers:
            f.start()
        refused = send(node, statements, n // (kills + 1))
        for _ in range(kills):
            for f in followers:
                f.kill()
            refused += send(node, statements, n // (kills + 1))
        for f in followers:
            f.finish()
        rows = {t.name: selected(node, keyspace, t) for t in statements.tables}
        found = [line for f in followers for line in f.differences(rows)]
    finally:
        for f in followers:
            f.program.stop_all()
    if refused > n // 4:
        found.append(f"{refused} of {n} statements were refused by the node")
    return found, sum(len(r) for r in rows.values())


def connect(url):
    """A function that runs one statement and returns its rows."""
    import psycopg
    connection = psycopg.connect(url, autocommit=True)

    def sql(statement):
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []
    return sql


def run_form(name, options, postgres):
    wrong = 0
    sql = connect(postgres.url)
    with tempfile.TemporaryDirectory(prefix="millrace-replay-") as folder:
        with Cassandra(f"{folder}/node", **FORMS[name]) as node:
            for seed in range(options.first, options.first + options.n):
                keyspace = f"k{seed}_{name}".replace("-", "_").replace(".", "_")
                begin = time.monotonic()
                found, rows = replay(node, postgres.url, sql, pathlib.Path(folder) / str(seed), keyspace, seed,
                                     options.statements)
                wrong += len(found)
                tell(name, seed, f"{rows} rows in the end", found, f", {time.monotonic() - begin:.0f} s")
    return wrong


def main(arguments=None):
    options = parse("cassandra-replay", __doc__, arguments)
    with tempfile.TemporaryDirectory(prefix="millrace-replay-") as folder:
        pathlib.Path(folder).chmod(0o755)  # PostgreSQL does not run as root
        with Postgres(f"{folder}/postgres", durable=False) as postgres:
            wrong = sum(run_form(name, options, postgres) for name in options.form or FORMS)
    print(f"{wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
