# SPDX-License-Identifier: Apache-2.0
"""./dev bench cassandra-latency [--writes N]: single CQL writes, one after the other, until each row is visible
in PostgreSQL; the log is followed as it is by default (plain segments, periodic sync, `read: fast`)."""

import random
import time

import measure
from servers.cassandra import Cassandra
from servers.postgres import Postgres
from servers.process import wait_until
from servers.runner import Millrace

POLL_S = 0.002  # between looks at the table
PAUSE_S = 0.3   # at most, between a row that was seen and the next write: so that no period of ours is met

PIPELINE = """name: latency
sources:
  - name: changes
    cassandra:
      hosts: 127.0.0.1:{port}
      table: {keyspace}.latency
      mode: cdc
      directory: {cdc_raw}
      history: {history}
      consistency: one
      start: latest
      delete: {delete}
transforms:
  - name: stamped
    select:
      set: {{written_at: _timestamp}}
sinks:
  - name: out
    postgres:
      url: {url}
      table: public.latency
      mode: upsert
      key: [id]
      version: written_at
      create: true
settings:
  state: "${{STATE}}"
  checkpoint: {{interval: 100ms}}
  batch: {{linger: 10ms}}
"""


class Path:
    """A table of the node, the pipeline that follows it, and the table that it fills."""

    def __init__(self, node, url, connection, folder, keyspace, delete="true"):
        self.node, self.connection, self.keyspace = node, connection, keyspace
        (folder / "history").mkdir(parents=True)
        node.cql(f"CREATE TABLE {keyspace}.latency (id int PRIMARY KEY, v text) WITH cdc = true")
        self.insert = node.session().prepare(f"INSERT INTO {keyspace}.latency (id, v) VALUES (?, ?)")
        self.program = Millrace(folder / "millrace")
        self.running = self.program.start(
            PIPELINE.format(port=node.port, keyspace=keyspace, cdc_raw=node.cdc_raw, history=folder / "history",
                            url=url, delete=delete), "--quiet")

    def is_there(self, i):
        return self.connection.execute("SELECT to_regclass('latency') IS NOT NULL").fetchone()[0] and bool(
            self.connection.execute("SELECT 1 FROM latency WHERE id = %s", (i,)).fetchone())

    def warm_up(self):
        """Writes until the pipeline has begun to follow the log and has made its table."""
        def step():
            self.node.session().execute(self.insert, (-1, "first"))
            time.sleep(PAUSE_S)
            return self.is_there(-1)
        self.running.wait_for(step, 120, "the first row")

    def one(self, i):
        """Seconds from before the write until the row is seen."""
        begin = time.perf_counter()
        self.node.session().execute(self.insert, (i, f"value {i}"))
        wait_until(lambda: self.connection.execute("SELECT 1 FROM latency WHERE id = %s", (i,)).fetchone(), 60,
                   f"row {i}", POLL_S)
        return time.perf_counter() - begin


def measure_path(path, writes, seed=1):
    """Milliseconds of each write."""
    chance, times = random.Random(seed), []
    path.warm_up()
    for i in range(writes):
        time.sleep(chance.uniform(0, PAUSE_S))
        times.append(path.one(i) * 1e3)
    path.running.terminate().expect(0)
    return times


def bench_latency(folder, options, say, _rounds_of):
    with Cassandra(folder / "node") as node, Postgres(folder / "postgres") as postgres:
        node.create_keyspace("bench")
        url = postgres.create_database("bench")
        say(f"{options.writes} writes")
        with postgres.connect("bench") as connection:
            times = measure_path(Path(node, url, connection, folder, "bench"), options.writes)
    p50, p95 = measure.percentile(times, 0.5), measure.percentile(times, 0.95)
    print(f"\nCQL write to visible row in PostgreSQL, plain segments, periodic sync, ms, n={len(times)}: "
          f"p50 {p50:.0f}, p95 {p95:.0f}, max {max(times):.0f}")
