#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""./dev bench [null|postgres|postgres-key|peers|clickhouse|starrocks|first-row|lag|upsert|timescale|insert|
commitlog|cassandra-latency|
cassandra-snapshot|memory|all] [--rows N] [--rounds N] [--starts N] [--keys N]: candidates take turns round by round;
ratios are to the floor of the same round."""

import argparse
import contextlib
import json
import os
import pathlib
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time

import cassandra_latency
import cassandra_snapshot
import commitlog
import connect
import into_clickhouse
import lag
import measure
import starrocks
import upsert
from measure import Disturbance, FirstByte, Sample
from servers import postgres as pg
from servers import trades
from servers.kafka import Kafka
from servers.postgres import Postgres
from servers.runner import TREE, Millrace, Running

PARTITIONS = 4
ROWS = 2_000_000
CONNECT_SHARE = 4  # Connect reads this part of the rows: its messages are four times as long
FLOOR = TREE / "build" / "bench" / "floor-consumer"
WARM_READS = 8  # a fresh broker compiles its code for as many: 0.3 s of CPU a million rows, which no old one takes

PIPELINE = """name: bench
sources:
  - name: trades
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: {topic}
      start: earliest
      format: json
      columns:
{columns}
sinks:
  - name: out
{sink}
settings:
  state: "${{STATE}}"
"""

NULL_SINK = "    'null': {}"

POSTGRES_SINK = """    parallel: {parallel}
    postgres:
      url: "${{PG_URL}}"
      table: public.{table}
      mode: append"""


def pipeline(topic, sink):
    return PIPELINE.format(topic=topic, columns=trades.columns_yaml(8), sink=sink)


def postgres_sink(table, parallel=1):
    return POSTGRES_SINK.format(table=table, parallel=parallel)


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


class Bench:
    """Servers, data and the ways to run each candidate."""

    def __init__(self, folder, rows):
        self.folder, self.rows = pathlib.Path(folder), rows
        self.stack = contextlib.ExitStack()
        self.numbers = 0

    def __enter__(self):
        self.kafka = self.stack.enter_context(
            Kafka(self.folder / "kafka", heap="1g", fast_start=False))
        self.postgres = self.stack.enter_context(Postgres(self.folder / "postgres"))
        self.postgres.create_database("bench")
        self.servers = [self.kafka, self.postgres]
        return self

    def __exit__(self, *_):
        self.stack.close()

    def say(self, text):
        say(text)

    def make_topic(self, name="trades", rows=None):
        rows = rows or self.rows
        self.say(f"producing {rows} trades into {name}")
        self.kafka.create_topic(name, PARTITIONS)
        self.kafka.produce(name, ({"value": trades.message(i), "partition": i % PARTITIONS}
                                  for i in range(rows)))
        for _ in range(WARM_READS):
            subprocess.run([FLOOR, self.kafka.brokers, name], check=True, stdout=subprocess.DEVNULL)

    def make_copy_file(self):
        """The same rows as a file in PostgreSQL's binary COPY format."""
        path, width = self.folder / "trades.bin", len(trades.FIELDS)
        packer = struct.Struct("!h" + "iq" * width)
        with open(path, "wb", buffering=1 << 20) as out:
            out.write(b"PGCOPY\n\xff\r\n\0" + bytes(8))
            for i in range(self.rows):
                fields = [x for value in trades.row(i) for x in (8, value)]
                out.write(packer.pack(width, *fields))
            out.write(b"\xff\xff")
        path.chmod(0o644)
        return path

    def millrace(self):
        self.numbers += 1
        return Millrace(self.folder / f"run{self.numbers}", {
            "KAFKA_BROKERS": self.kafka.brokers, "PG_URL": self.url})

    @property
    def url(self):
        return self.postgres.database_url("bench")

    def sql(self, query, *args):
        return self.postgres.sql(query, *args, database="bench")

    def disturbance(self):
        return Disturbance(*(server.process.pid for server in self.servers))

    def fresh_table(self, key):
        self.sql("DROP TABLE IF EXISTS trades")
        self.sql("DROP TABLE IF EXISTS millrace_offsets")
        self.sql(trades.table_sql("trades", key))
        self.sql("CHECKPOINT")

    def run_process(self, argv, env=None):
        """Runs a program to its end and measures it."""
        log = self.folder / "candidate.log"
        log.unlink(missing_ok=True)
        with self.disturbance() as around:
            running = Running([str(a) for a in argv], log, env or dict(os.environ), self.folder)
            result = running.wait(1800)
        if result.code != 0:
            raise SystemExit(f"{argv[0]} ended with {result.code}:\n{result.err[-3000:]}")
        return around, result

    def sample(self, around, result, rows=None):
        rows = self.rows if rows is None else rows
        return around.into(Sample(rows, result.seconds, result.cpu_seconds, result.max_rss))

    def rounds(self, candidates, rounds):
        return rounds_of(candidates, rounds)

    def floor(self, topic="trades"):
        around, result = self.run_process([FLOOR, self.kafka.brokers, topic])
        counted = json.loads(result.err.strip().splitlines()[-1])
        if counted["rows"] != self.rows:
            raise SystemExit(f"the floor consumer saw {counted['rows']} rows of {self.rows}")
        sample = self.sample(around, result)
        sample.steady_seconds = counted["seconds"] - counted["first"]
        return sample

    def run_pipeline(self, sink):
        return self.run_file(pipeline("trades", sink))

    def run_file(self, text, url=None):
        """Runs a pipeline to its end."""
        program = self.millrace()
        program.env["PG_URL"] = url or self.url
        argv = [program.binary, "run", program.write("bench.yaml", text), "--once", "--quiet"]
        around, result = self.run_process(argv, program.env)
        shutil.rmtree(program.folder)
        return self.sample(around, result)

    def into_table(self, run, key, rows=None):
        """Runs something that fills an empty table; checks that every row came exactly once."""
        rows = rows or self.rows
        self.fresh_table(key)
        watch = FirstByte(self.postgres.connect("bench"), "trades")
        sample = run()
        end = time.perf_counter()
        first = watch.stop()
        found = self.sql("SELECT count(*), count(DISTINCT trade_id) FROM trades")
        if found != [(rows, rows)]:
            raise SystemExit(f"rows and distinct rows in the table: {found}, wanted {rows}")
        sample.steady_seconds = end - first if first else 0.0
        return sample

    def copy(self, path):
        around, result = self.run_process(
            [f"{self.postgres.bin}/psql", "-X", "-q", self.url, "-c",
             f"\\copy trades from '{path}' (format binary)"])
        return self.sample(around, result)

    def script(self):
        around, result = self.run_process(
            [sys.executable, TREE / "bench" / "peer_script.py", self.kafka.brokers, "trades",
             self.url, "trades", self.rows])
        return self.sample(around, result)

    def kafka_connect(self, rows):
        """Connect does not end by itself: its time is until the last row is in the table."""
        folder = self.folder / f"connect{self.numbers}"
        self.numbers += 1
        argv = connect.command(folder, self.kafka, self.postgres, "bench", "enveloped",
                               "trades", pg.USER, pg.PASSWORD)
        with self.disturbance() as around:
            running = Running(argv, folder / "connect.log", dict(os.environ), folder)
            running.wait_for(lambda: self._arrived(rows), 600, f"{rows} rows by Connect")
            seconds = time.monotonic() - running.started
            result = running.kill()
        sample = self.sample(around, result, rows)
        sample.seconds = seconds
        return sample

    def _arrived(self, rows):
        time.sleep(0.3)
        about = self.sql("SELECT pg_relation_size('trades') / 110")[0][0]
        return about >= rows * 0.9 and self.sql("SELECT count(*) FROM trades")[0][0] >= rows


def rounds_of(candidates, rounds):
    """Runs every candidate once in each round, each round in another order."""
    samples, names = {name: [] for name in candidates}, list(candidates)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            sample = candidates[name]()
            samples[name].append(sample)
            say(f"round {number + 1}/{rounds} {name}: {sample.rate / 1e3:.0f} k rows/s")
    return samples


def bench_null(bench, options):
    bench.make_topic()
    samples = rounds_of({
        "floor": bench.floor,
        "millrace": lambda: bench.run_pipeline(NULL_SINK),
    }, options.rounds)
    print(f"\nKafka -> null, {bench.rows} trades\n{measure.table(samples, 'floor')}")


def postgres_candidates(bench, key, path):
    def into(run):
        return lambda: bench.into_table(run, key)
    return {
        "copy": into(lambda: bench.copy(path)),
        "millrace": into(lambda: bench.run_pipeline(postgres_sink("trades"))),
        "millrace x2": into(lambda: bench.run_pipeline(postgres_sink("trades", 2))),
    }


def bench_postgres(bench, options, key=False):
    bench.make_topic()
    path = bench.make_copy_file()
    samples = rounds_of(postgres_candidates(bench, key, path), options.rounds)
    title = "with a primary key" if key else "no key"
    print(f"\nKafka -> PostgreSQL append, {title}, {bench.rows} trades,"
          f" against \\copy binary\n{measure.table(samples, 'copy')}")


def bench_postgres_key(bench, options):
    bench_postgres(bench, options, key=True)


def bench_peers(bench, options):
    few = max(1, bench.rows // CONNECT_SHARE)
    bench.make_topic()
    bench.kafka.create_topic("enveloped", PARTITIONS)
    bench.kafka.produce("enveloped", ({"value": value, "partition": i % PARTITIONS}
                                      for i, value in enumerate(connect.enveloped(few))))
    samples = rounds_of({
        "script": lambda: bench.into_table(bench.script, False),
        "connect": lambda: bench.into_table(lambda: bench.kafka_connect(few), False, few),
        "millrace": lambda: bench.into_table(
            lambda: bench.run_pipeline(postgres_sink("trades")), False),
    }, options.rounds)
    print(f"\nKafka -> PostgreSQL append, {bench.rows} trades (connect: {few}, its messages carry"
          f" their schema)\n{measure.table(samples, 'script')}")


def bench_clickhouse(bench, options):
    into_clickhouse.bench_clickhouse(bench, options, rounds_of)


def bench_starrocks(bench, options):
    starrocks.bench_starrocks(bench, options, rounds_of)


NOTIFY = """CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NOTIFY arrived; RETURN NULL; END $$;
CREATE TRIGGER tell AFTER INSERT ON trades FOR EACH STATEMENT EXECUTE FUNCTION tell()"""


def first_row_seconds(bench, listener):
    """Seconds from exec to the notification that a first commit sent."""
    bench.sql("TRUNCATE trades")
    bench.sql("DROP TABLE IF EXISTS millrace_offsets")
    while list(listener.notifies(timeout=0)):
        pass
    program = bench.millrace()
    begin = time.perf_counter()
    running = program.start(pipeline("trades", postgres_sink("trades")), "--quiet")
    ready, _, _ = select.select([listener.fileno()], [], [], 30)
    seconds = time.perf_counter() - begin
    visible = bench.sql("SELECT count(*) FROM trades")[0][0]
    result = running.kill()
    if not ready or not visible:
        raise SystemExit(f"no row within 30 s:\n{result.err[-3000:]}")
    shutil.rmtree(program.folder)
    return seconds


def bench_first_row(bench, options):
    bench.rows = min(bench.rows, 10000)
    bench.make_topic()
    bench.fresh_table(False)
    bench.sql(NOTIFY)
    with bench.postgres.connect("bench") as listener:
        listener.execute("LISTEN arrived")
        times = [first_row_seconds(bench, listener) * 1e3 for _ in range(options.starts)]
    print(f"\nexec to first visible row in PostgreSQL, warm servers, ms, n={len(times)}: "
          f"p50 {measure.percentile(times, 0.5):.0f}, p95 {measure.percentile(times, 0.95):.0f}, "
          f"max {max(times):.0f}")


BENCHES = {"null": bench_null, "postgres": bench_postgres, "postgres-key": bench_postgres_key,
           "peers": bench_peers, "clickhouse": bench_clickhouse, "starrocks": bench_starrocks,
           "first-row": bench_first_row, "lag": lag.bench_lag,
           "upsert": upsert.bench_upsert, "timescale": upsert.bench_timescale,
           "insert": upsert.bench_insert}
ALONE = {"commitlog": commitlog.bench_commitlog,  # those that start their own servers
         "cassandra-latency": cassandra_latency.bench_latency,
         "cassandra-snapshot": cassandra_snapshot.bench_snapshot}
ROWS_OF = {"upsert": upsert.ROWS, "timescale": upsert.ROWS, "insert": upsert.INSERTED}


def run_memory(options):
    from faults import memory
    return memory.main(["--rows", str(options.rows or ROWS)])


def run(name, options):
    if name == "memory":
        return run_memory(options)
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        os.chmod(folder, 0o755)
        if name in ALONE:
            ALONE[name](pathlib.Path(folder), options, say, rounds_of)
            return 0
        with Bench(folder, options.rows or ROWS_OF.get(name, ROWS)) as bench:
            BENCHES[name](bench, options)
    return 0


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("name", nargs="?", default="all", choices=[*BENCHES, *ALONE, "memory", "all"])
    parser.add_argument("--rows", type=int, help=f"{ROWS}; upserts: {upsert.ROWS}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=50)
    parser.add_argument("--rate", type=int, default=1000, help="events a second, of lag")
    parser.add_argument("--seconds", type=int, default=60, help="of lag")
    parser.add_argument("--writes", type=int, default=300, help="of cassandra-latency")
    parser.add_argument("--keys", type=int, default=upsert.ROWS)
    parser.add_argument("--only", type=lambda names: names.split(","),
                        help="candidates of upsert and timescale")
    options = parser.parse_args()
    names = [*BENCHES, *ALONE, "memory"] if options.name == "all" else [options.name]
    return max([run(name, options) or 0 for name in names])


if __name__ == "__main__":
    sys.exit(main())
