# SPDX-License-Identifier: Apache-2.0
"""./dev bench cassandra-snapshot [--rows N] [--rounds N]: a table read by millrace (into nothing, and into a file
of JSON lines), by the Python driver and by the Java driver, in turns, from the same node. The time of the
drivers is that of their scan alone; millrace's is from exec to exit."""

import json
import os
import shutil
import sys
import uuid

import measure
from servers import maven
from servers.cassandra import LOGBACK, Cassandra
from servers.process import require_tool
from servers.runner import TREE, Millrace, Running

ROWS, PER_PARTITION, BATCH, WINDOW = 1_000_000, 100, 50, 16
RANGES, CONCURRENT, PAGE = 32, 8, 5000
DRIVER = "org.apache.cassandra:java-driver-core:4.18.1"

TABLE = """CREATE TABLE {keyspace}.readings (p int, c int, value double, quality bigint, unit text, site text,
  at timestamp, id uuid, PRIMARY KEY (p, c))"""
INSERT = "INSERT INTO {keyspace}.readings (p, c, value, quality, unit, site, at, id) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

PIPELINE = """name: scan
sources:
  - name: readings
    parallel: {parallel}
    cassandra:
      hosts: 127.0.0.1:{port}
      table: {keyspace}.readings
      consistency: one
      compression: false
      ranges: {ranges}
      page: {page}
      concurrent_queries: {concurrent}
sinks:
  - name: out
{sink}
settings:
  state: "${{STATE}}"
"""
SINKS = {"null": "    'null': {}", "jsonl": "    file: {path: out.jsonl, format: json}"}


def fill(node, keyspace, rows):
    """Batches of one partition each, so that a million rows are quick to write."""
    from cassandra.query import BatchStatement, BatchType
    node.cql(TABLE.format(keyspace=keyspace))
    session = node.session()
    insert, waiting = session.prepare(INSERT.format(keyspace=keyspace)), []
    for first in range(0, rows, BATCH):
        batch = BatchStatement(BatchType.UNLOGGED)
        for i in range(first, min(rows, first + BATCH)):
            batch.add(insert, (i // PER_PARTITION, i % PER_PARTITION, i / 7, i * 31, "celsius",
                               f"plant {i % 9}, hall {i % 40}", 1_700_000_000_000 + i, uuid.UUID(int=i * 7919)))
        waiting.append(session.execute_async(batch))
        if len(waiting) == WINDOW:
            waiting.pop(0).result()
    for sent in waiting:
        sent.result()


class Scans:
    """The ways to read the table."""

    def __init__(self, node, keyspace, folder, rows):
        self.node, self.keyspace, self.folder, self.rows, self.runs = node, keyspace, folder, rows, 0
        (folder / "logback.xml").write_text(LOGBACK.format(level="OFF"))

    def _run(self, argv, env=None, cwd=None):
        with measure.Disturbance(*[self.node.process.pid] if getattr(self.node, "process", None) else []) as around:
            self.runs += 1
            running = Running([str(a) for a in argv], self.folder / f"run{self.runs}.log", env or dict(os.environ),
                              cwd or self.folder)
            result = running.wait(1800)
        if result.code:
            raise SystemExit(f"{argv[0]} ended with {result.code}:\n{result.err[-3000:]}")
        return around, result

    def _driver(self, argv):
        around, result = self._run([*argv, self.node.port, f"{self.keyspace}.readings", RANGES, CONCURRENT, PAGE])
        found = json.loads(result.err.strip().splitlines()[-1])
        self._check(found["rows"])
        return around.into(measure.Sample(self.rows, found["seconds"], result.cpu_seconds, result.max_rss))

    def _check(self, rows):
        if rows != self.rows:
            raise SystemExit(f"{rows} rows were read of {self.rows}")

    def python(self):
        return self._driver([sys.executable, TREE / "bench" / "cassandra_scan.py"])

    def java(self):
        jars = maven.libraries("cassandra-driver", DRIVER)
        return self._driver([require_tool("java"), "-Xmx512m", "-cp", f"{jars}/*",
                             TREE / "bench" / "CassandraScan.java"])

    def millrace(self, sink, parallel):
        program = Millrace(self.folder / f"scan{self.runs}")
        text = PIPELINE.format(port=self.node.port, keyspace=self.keyspace, parallel=parallel, ranges=RANGES,
                               page=PAGE, concurrent=CONCURRENT, sink=SINKS[sink])
        argv = [program.binary, "run", program.write("scan.yaml", text), "--once"]
        around, result = self._run(argv, program.env, program.folder)
        written = program.folder / "out.jsonl"
        if sink == "jsonl":
            with open(written, "rb") as lines:
                self._check(sum(1 for _ in lines))
        shutil.rmtree(program.folder)
        return around.into(measure.Sample(self.rows, result.seconds, result.cpu_seconds, result.max_rss))

    def candidates(self):
        return {"python driver": self.python, "java driver": self.java,
                "millrace": lambda: self.millrace("null", 1), "millrace x2": lambda: self.millrace("null", 2),
                "millrace jsonl": lambda: self.millrace("jsonl", 1)}


def tables(samples):
    return "\n".join(measure.table(samples, base) for base in ("python driver", "java driver"))


def bench_snapshot(folder, options, say, rounds_of):
    rows = options.rows or ROWS
    settings = {"memtable_heap_space": "256MiB", "commitlog_total_space": "512MiB"}
    with Cassandra(folder / "node", cdc=False, heap="1g", settings=settings) as node:
        node.create_keyspace("bench")
        say(f"writing {rows} rows")
        fill(node, "bench", rows)
        scans = Scans(node, "bench", folder, rows)
        scans.millrace("null", 1)  # the node's own warming up
        samples = rounds_of(scans.candidates(), options.rounds)
    print(f"\nSnapshot of {rows} rows of Cassandra\n{tables(samples)}")
