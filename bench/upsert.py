# SPDX-License-Identifier: Apache-2.0
"""Changes from Kafka into a table that has their keys, against SQL scripts that do the same with the
same rows from a file: COPY into a temporary table, then one statement. The best script counts."""

import datetime as dt
import struct

import measure
from servers.timescale import Timescale

ROWS = 1_000_000
INSERTED = 100_000  # 1000 statements of 100 rows
PARTITIONS = 4
DAYS = 10
STEP = 7_368_787  # a prime: key i * STEP % keys visits every key once
EPOCH = dt.datetime(2000, 1, 1, tzinfo=dt.timezone.utc)
START = dt.datetime(2026, 1, 28, tzinfo=dt.timezone.utc)
NUMBERS = ("match_seq", "price", "quantity", "buy_user_id", "sell_user_id")
COLUMNS = ("trade_id", "at", *NUMBERS)

PIPELINE = """name: bench
sources:
  - name: changes
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: changes
      start: earliest
      format: json
      columns:
        trade_id: int64
        at: timestamptz
{numbers}
sinks:
  - name: out
    parallel: {parallel}
    postgres:
      url: "${{PG_URL}}"
      table: public.trades
      mode: upsert
      key: [{key}]
settings:
  state: "${{STATE}}"
"""

SCRIPT = """\\set ON_ERROR_STOP on
SET work_mem = '256MB';
BEGIN;
CREATE TEMPORARY TABLE stage (n bigserial, LIKE trades) ON COMMIT DROP;
\\copy stage ({columns}) FROM '{path}' (FORMAT binary)
{statement};
COMMIT;
"""


def columns(prefix=""):
    return ", ".join(prefix + c for c in COLUMNS)


def statements(key, distinct):
    """What one would try by hand; distinct: a key may come more than once."""
    keys = ", ".join(key)
    last = f"(SELECT DISTINCT ON ({keys}) * FROM stage ORDER BY {keys}, n DESC)"
    rest = [c for c in COLUMNS if c not in key]
    conflict = (f"ON CONFLICT ({keys}) DO UPDATE SET "
                + ", ".join(f"{c} = excluded.{c}" for c in rest))
    insert = f"INSERT INTO trades ({columns()}) SELECT {columns()} FROM"
    merge = (f"MERGE INTO trades t USING {last if distinct else 'stage'} s ON "
             + " AND ".join(f"t.{k} = s.{k}" for k in key)
             + " WHEN MATCHED THEN UPDATE SET " + ", ".join(f"{c} = s.{c}" for c in rest)
             + f" WHEN NOT MATCHED THEN INSERT ({columns()}) VALUES ({columns('s.')})")
    made = {"sorted": f"{insert} stage ORDER BY {keys} {conflict}",
            "plain": f"{insert} stage {conflict}", "merge": merge}
    if distinct:
        made = {"sorted": f"{insert} {last} d {conflict}", "merge": merge}
    return {**made, "merge analyzed": "ANALYZE stage;\n" + merge}


class Changes:
    """Row i of `rows`, on `keys` keys; version 0 is what the table holds before."""

    def __init__(self, rows, keys):
        self.rows, self.keys = rows, keys

    def row(self, i, version=1):
        key = i * STEP % self.keys
        at = START + dt.timedelta(microseconds=key * DAYS * 86_400_000_000 // self.keys)
        return (key, at, 3 * i, version * 100_000 + i % 800_000, 100 + i % 900,
                1_000_000 + i % 5_000_000, 1_000_000 + (i >> 5) % 5_000_000)

    def messages(self):
        template = ('{"trade_id":%d,"at":"%s",'
                    + ",".join(f'"{n}":%d' for n in NUMBERS) + "}")
        for i in range(self.rows):
            key, at, *rest = self.row(i)
            yield {"value": (template % (key, at.isoformat(), *rest)).encode(),
                   "partition": key % PARTITIONS}

    def file(self, path, count, version, order=None):
        """Rows in PostgreSQL's binary COPY format."""
        packer = struct.Struct("!h" + "iq" * len(COLUMNS))
        with open(path, "wb", buffering=1 << 20) as out:
            out.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for i in order or range(count):
                key, at, *rest = self.row(i, version)
                micros = (at - EPOCH) // dt.timedelta(microseconds=1)
                fields = [x for value in (key, micros, *rest) for x in (8, value)]
                out.write(packer.pack(len(COLUMNS), *fields))
            out.write(b"\xff\xff")
        path.chmod(0o644)
        return path


def table_sql(key):
    return (f"CREATE TABLE trades (trade_id bigint, at timestamptz, "
            + ", ".join(f"{n} bigint NOT NULL" for n in NUMBERS)
            + f", PRIMARY KEY ({', '.join(key)}))")


class Upserts:
    """Candidates of one server."""

    def __init__(self, bench, server, changes, key, hyper):
        self.bench, self.server, self.changes, self.key = bench, server, changes, key
        self.hyper = hyper

    def prepare(self):
        """The table as every candidate finds it: every key is there, in the order of the keys."""
        run = self.server.sql
        for table in ("trades", "millrace_offsets"):
            run(f"DROP TABLE IF EXISTS {table}", database="bench")
        run(table_sql(self.key), database="bench")
        if self.hyper:
            run("SELECT create_hypertable('trades', by_range('at', INTERVAL '1 day'))",
                database="bench")
        self.psql("-c", f"\\copy trades ({columns()}) from '{self.before}' (format binary)")
        run("VACUUM (ANALYZE, FREEZE) trades", database="bench")
        run("CHECKPOINT", database="bench")

    def psql(self, *arguments):
        return self.bench.run_process([f"{self.bench.postgres.bin}/psql", "-X", "-q",
                                       self.server.database_url("bench"), *arguments])

    def candidate(self, call):
        def run():
            self.prepare()
            sample = call()
            found = self.server.sql("SELECT count(*), sum(match_seq), min(price) >= 100000"
                                    " FROM trades", database="bench")
            last = {i * STEP % self.changes.keys: i for i in range(self.changes.rows)}
            if found != [(self.changes.keys, 3 * sum(last.values()), True)]:
                raise SystemExit(f"the table is not what the changes make of it: {found}")
            return sample
        return run

    def script(self, name, statement):
        path = self.bench.folder / f"{name.replace(' ', '-')}.sql"
        path.write_text(SCRIPT.format(columns=columns(), path=self.after, statement=statement))

        def call():
            around, result = self.psql("-f", path)
            return self.bench.sample(around, result)
        return self.candidate(call)

    def millrace(self, parallel=1):
        numbers = "\n".join(f"        {n}: int64" for n in NUMBERS)
        text = PIPELINE.format(numbers=numbers, parallel=parallel, key=", ".join(self.key))

        def call():
            return self.bench.run_file(text, self.server.database_url("bench"))
        return self.candidate(call)

    def candidates(self):
        made = {f"script {name}": self.script(name, statement) for name, statement in
                statements(self.key, self.changes.rows > self.changes.keys).items()}
        return {**made, "millrace": self.millrace(), "millrace x2": self.millrace(2)}


def bench_upsert(bench, options):
    measure_server(bench, options, bench.postgres, ("trade_id",), False, "PostgreSQL")


def bench_timescale(bench, options):
    with Timescale(bench.folder / "timescale") as server:
        server.create_database("bench")
        bench.servers.append(server)
        measure_server(bench, options, server, ("trade_id", "at"), True, "TimescaleDB")


INSERT = """name: bench
sources:
  - name: in
    generate: {{kind: trades, rows: {rows}}}
sinks:
  - name: out
    postgres: {{url: "${{PG_URL}}", table: public.trades, create: true, {options}}}
settings:
  state: "${{STATE}}"
"""

WAYS = {"COPY": "method: copy",
        "10k rows": "method: insert, insert_rows: 10000",
        "100 rows": "method: insert, insert_rows: 100",
        "10k, waiting": "method: insert, insert_rows: 10000, insert_waits: true",
        "100, waiting": "method: insert, insert_rows: 100, insert_waits: true"}


def bench_insert(bench, options):
    """Rows by COPY and by INSERT; statements of 100 rows that wait for each answer are the base."""
    found = set()

    def way(text):
        def call():
            for table in ("trades", "millrace_offsets"):
                bench.sql(f"DROP TABLE IF EXISTS {table}")
            sample = bench.run_file(INSERT.format(rows=bench.rows, options=text))
            found.add(bench.sql("SELECT count(*), md5(string_agg(t::text, ',' ORDER BY trade_id))"
                                " FROM trades t")[0])
            return sample
        return call
    samples = bench.rounds({name: way(text) for name, text in WAYS.items()}, options.rounds)
    if len(found) != 1 or found.pop()[0] != bench.rows:
        raise SystemExit("the ways do not leave the same rows")
    print(f"\ngenerated -> PostgreSQL append, {bench.rows} trades, the same rows each way;"
          f" INSERT pipelined or waiting\n{measure.table(samples, '100, waiting')}")


def measure_server(bench, options, server, key, hyper, title):
    changes = Changes(bench.rows, options.keys)
    made = Upserts(bench, server, changes, key, hyper)
    order = list(range(options.keys))
    order.sort(key=lambda i: i * STEP % options.keys)
    made.before = changes.file(bench.folder / "before.bin", options.keys, 0, order)
    made.after = changes.file(bench.folder / "after.bin", bench.rows, 1)
    bench.kafka.create_topic("changes", PARTITIONS)
    bench.say(f"producing {bench.rows} changes")
    bench.kafka.produce("changes", changes.messages())
    samples = bench.rounds({name: call for name, call in made.candidates().items()
                            if name in (options.only or [name])}, options.rounds)
    scripts = {n: s for n, s in samples.items() if n.startswith("script")}
    best = max(scripts, key=lambda n: sorted(s.rate for s in scripts[n])[len(scripts[n]) // 2])
    print(f"\nKafka -> {title} upsert, {bench.rows} changes on {options.keys} keys, against the best"
          f" of {len(scripts)} scripts: {best[7:]}\n{measure.table(samples, best)}")
