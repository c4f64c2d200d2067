# SPDX-License-Identifier: Apache-2.0
"""What the fault runs share: a steady stream of trades and the comparison at the end."""

import contextlib
import dataclasses
import json
import os
import pathlib
import sqlite3
import tempfile
import threading
import time

from servers import trades
from servers.cassandra import Cassandra
from servers.kafka import Kafka
from servers.postgres import Postgres
from servers.process import wait_until
from servers.runner import Millrace

PARTITIONS = 4
KEYS = 5000
SHOWN = 5  # ids named in a report of a difference

PIPELINE = """name: faults
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
  checkpoint: {{interval: {interval}}}
  memory: {memory}
"""

POSTGRES = """    postgres:
      url: "${{PG_URL}}"
      table: public.trades
      mode: {mode}
{options}"""

SQLITE = """    sqlite:
      path: "${SQLITE_FILE}"
      table: trades
      mode: append
"""

CLICKHOUSE = """    clickhouse:
      url: "${CLICKHOUSE_URL}"
      table: trades
      delivery: exactly_once
"""

KAFKA = """    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topic: "${{KAFKA_OUT}}"
      key: [trade_id]
      transactions: {transactions}
"""

KEY = "      key: [trade_id]\n"


def sink_yaml(kind, options=""):
    if kind.startswith("kafka"):
        return KAFKA.format(transactions="lane" if kind == "kafka_lane" else "sink")
    if kind in ("sqlite", "clickhouse"):
        return SQLITE if kind == "sqlite" else CLICKHOUSE
    mode = "upsert" if kind == "upsert" else "append"
    return POSTGRES.format(mode=mode, options=(KEY if mode == "upsert" else "") + options)


def pipeline(topic, sink, interval="20ms", memory="256MiB"):
    return PIPELINE.format(topic=topic, columns=trades.columns_yaml(8), sink=sink,
                           interval=interval, memory=memory)


class Stream(threading.Thread):
    """Produces trades at a rate until stopped. Row i of an upsert stream has key i % KEYS, so that
    the last row of each key is known."""

    def __init__(self, kafka, topic, rate, keyed):
        super().__init__(daemon=True)
        self.kafka, self.topic, self.rate, self.keyed = kafka, topic, rate, keyed
        self.count, self.done = 0, threading.Event()
        self.error = None

    def _message(self, i):
        if self.keyed:
            [message] = trades.keyed(1, KEYS, i)
            return {**message, "partition": i % KEYS % PARTITIONS}
        return {"value": trades.message(i), "partition": i % PARTITIONS}

    def run(self):
        producer, begin = self.kafka.producer(), time.monotonic()
        try:
            while not self.done.is_set():
                due = int((time.monotonic() - begin) * self.rate) + 1
                while self.count < due:
                    self.kafka._enqueue(producer, self.topic, self._message(self.count), self._report)
                    self.count += 1
                self.done.wait(0.005)
            if producer.flush(60):
                self.error = "messages not delivered"
        except Exception as e:
            self.error = e

    def _report(self, error, _message):
        if error:
            self.error = error

    def finish(self):
        """Stops producing and returns how many rows there are."""
        self.done.set()
        self.join(90)
        if self.error or self.is_alive():
            raise RuntimeError(f"producer: {self.error or 'does not end'}")
        return self.count


@dataclasses.dataclass
class Outcome:
    """What a run did and what it found."""

    name: str
    faults: int
    rows: int
    lost: int
    duplicated: int
    wrong: int
    seconds: float
    note: str = ""

    @property
    def good(self):
        return not (self.lost or self.duplicated or self.wrong)

    def line(self):
        return (f"{self.name:<22}{self.faults:>7}{self.rows:>10}{self.lost:>7}{self.duplicated:>12}"
                f"{self.wrong:>7}{self.seconds:>9.1f}  {self.note}")


HEADER = (f"{'run':<22}{'faults':>7}{'rows':>10}{'lost':>7}{'duplicated':>12}{'wrong':>7}"
          f"{'seconds':>9}")


def report(runs):
    """Prints the table line by line as the runs (callables) end; returns the exit status."""
    print(HEADER, flush=True)
    good = True
    for run in runs:
        outcome = run()
        print(outcome.line(), flush=True)
        good = good and outcome.good
    return 0 if good else 1


def compare_rows(found, wanted):
    """(lost, duplicated, wrong) of two lists of rows, by trade_id and by value."""
    seen, duplicated, wrong = {}, 0, 0
    for row in found:
        duplicated += row[0] in seen
        seen[row[0]] = row
    lost = sum(1 for row in wanted if row[0] not in seen)
    wrong = sum(1 for row in wanted if row[0] in seen and seen[row[0]] != row)
    return lost, duplicated, wrong + max(0, len(seen) + lost - len(wanted))


def wanted_rows(count, keyed):
    if not keyed:
        return [trades.row(i) for i in range(count)]
    last = {i % KEYS: (trades.FIRST_TRADE + i % KEYS, *trades.row(i)[1:])
            for i in range(max(0, count - KEYS), count)}
    return list(last.values())


class World:
    """Servers, a topic, an empty target and the program, for one run of faults."""

    def __init__(self, kafka, postgres, folder, kind, rate=20000, proxy=None, clickhouse=None):
        self.kafka, self.postgres, self.kind = kafka, postgres, kind
        self.clickhouse = clickhouse if kind == "clickhouse" else None
        self.name = f"f{os.getpid()}_{time.monotonic_ns()}"
        self.folder = pathlib.Path(folder) / self.name
        self.topic = kafka.create_topic(self.name, PARTITIONS)
        self.url = postgres.create_database(self.name)
        if proxy:
            self.url = postgres.database_url(self.name, proxy.port)
        self.sql(trades.table_sql("trades", key=kind == "upsert"))
        self.sqlite = self.folder / "trades.db"
        self.program = Millrace(self.folder, {
            "KAFKA_BROKERS": kafka.brokers, "PG_URL": self.url, "SQLITE_FILE": str(self.sqlite)})
        if kind == "sqlite":
            self._make_sqlite()
        if kind.startswith("kafka"):
            self.program.env["KAFKA_OUT"] = kafka.create_topic(f"{self.name}_out", PARTITIONS)
        if self.clickhouse:
            self._make_clickhouse()
        self.stream = Stream(kafka, self.topic, rate, kind == "upsert")
        self.begun = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.done.set()
        self.program.stop_all()
        self.postgres.drop_database(self.name)
        if self.clickhouse:
            self.clickhouse.drop_database(self.name)

    def _make_clickhouse(self):
        url = self.clickhouse.create_database(self.name)
        self.program.env["CLICKHOUSE_URL"] = url
        columns = ", ".join(f"`{f}` Int64" for f in trades.FIELDS)
        self.clickhouse.query(f"CREATE TABLE trades ({columns}) ENGINE = MergeTree ORDER BY trade_id"
                              " SETTINGS non_replicated_deduplication_window = 10000", self.name)

    def _make_sqlite(self):
        with contextlib.closing(sqlite3.connect(self.sqlite)) as db:
            db.execute(trades.table_sql("trades"))
            db.commit()

    def sql(self, query, *args):
        return self.postgres.sql(query, *args, database=self.name)

    def backends(self):
        return self.postgres.backends(self.name)

    def found_rows(self):
        columns = ", ".join(f'"{f}"' for f in trades.FIELDS)
        query = f"SELECT {columns} FROM trades"
        if self.kind == "sqlite":
            with contextlib.closing(sqlite3.connect(self.sqlite)) as db:
                return db.execute(query).fetchall()
        if self.kind.startswith("kafka"):
            values = (json.loads(m.value()) for m in self.kafka.committed(f"{self.name}_out"))
            return [tuple(int(v[f]) for f in trades.FIELDS) for v in values]
        if self.clickhouse:
            return [tuple(map(int, row)) for row in
                    self.clickhouse.rows(query.replace('"', "`"), self.name)]
        return self.sql(query)

    def rows_counted(self):
        """Rows that the lane rows say were written."""
        return sum(int(self.sql(f"SELECT coalesce(sum(rows_total), 0) FROM {table}")[0][0])
                   for table in ("millrace_offsets", "millrace_state_lanes")
                   if self.sql("SELECT to_regclass(%s) IS NOT NULL", table)[0][0])

    def wait_for_rows(self, running, count, timeout=60):
        running.wait_for(lambda: self.rows_counted() >= count, timeout, f"{count} rows")

    def outcome(self, name, faults, note=""):
        """Compares; in upsert mode rows_total tells what a key hides."""
        count = self.stream.finish()
        lost, duplicated, wrong = compare_rows(self.found_rows(),
                                               wanted_rows(count, self.stream.keyed))
        if self.kind == "upsert":
            duplicated += max(0, self.rows_counted() - count)
        return Outcome(name, faults, count, lost, duplicated, wrong,
                       time.monotonic() - self.begun, note)


@contextlib.contextmanager
def run_folder():
    """A folder for a run from the command line, which servers with a user of their own can enter."""
    with tempfile.TemporaryDirectory(prefix="millrace-faults-") as folder:
        os.chmod(folder, 0o755)
        yield folder


@contextlib.contextmanager
def servers():
    """Kafka, PostgreSQL and a folder, for a run from the command line."""
    with run_folder() as folder:
        with Postgres(f"{folder}/postgres", durable=False) as postgres:
            with Kafka(f"{folder}/kafka", heap="1g") as kafka:
                yield kafka, postgres, folder


@contextlib.contextmanager
def cassandra_servers():
    """A Cassandra node, PostgreSQL and a folder, for a run from the command line."""
    with run_folder() as folder:
        with Postgres(f"{folder}/postgres", durable=False) as postgres, Cassandra(f"{folder}/node") as node:
            yield node, postgres, folder


__all__ = ["KEYS", "Outcome", "Stream", "World", "compare_rows", "pipeline", "report", "servers",
           "sink_yaml", "wait_until", "wanted_rows"]
