# SPDX-License-Identifier: Apache-2.0
"""`mode: snapshot+cdc` into PostgreSQL while the table is written: rows that are there are changed, emptied and
deleted, others come, before and behind where the scan stands; millrace is killed (-9) in the middle. In the end
PostgreSQL has what SELECT shows. A few rows a page, and one query at a time, so that the scan lasts.
usage: ./dev faults cassandra-merge [--n KILLS] [--rows N] [--writes N] [--seed S]"""

import argparse
import os
import pathlib
import random
import sys
import threading
import time

from faults.common import Outcome, cassandra_servers, report
from servers.runner import Millrace

WINDOW = 8        # statements under way
NEW = 10          # of so many writes one is to a row that was not there
SETTLE_S = 300

PIPELINE = """name: merge
sources:
  - name: rows
    cassandra:
      hosts: 127.0.0.1:{port}
      table: {keyspace}.t
      mode: snapshot+cdc
      directory: {cdc_raw}
      history: history
      consistency: one
      delete: {delete}
      page: 20
      concurrent_queries: 1
transforms:
  - name: stamped
    select:
      set: {{written_at: _timestamp}}
sinks:
  - name: out
    postgres:
      url: {url}
      table: public.t
      mode: upsert
      key: [id]
      version: written_at
      create: true
settings:
  state: "${{STATE}}"
  checkpoint: {{interval: 50ms}}
"""


def statement(chance, keyspace, i, rows):
    key = rows + i if i % NEW == 0 else chance.randrange(rows)
    return chance.choice((f"UPDATE {keyspace}.t SET n = {-i} WHERE id = {key}",
                          f"UPDATE {keyspace}.t SET v = 'w{i}', n = null WHERE id = {key}",
                          f"INSERT INTO {keyspace}.t (id, v, n) VALUES ({key}, 'new {i}', {i})",
                          f"DELETE FROM {keyspace}.t WHERE id = {key}"))


class Writer(threading.Thread):
    """Sends the statements, and counts those that ended while the target had fewer rows than the table had."""

    def __init__(self, node, keyspace, rows, writes, seed, scanning):
        super().__init__(daemon=True)
        chance = random.Random(seed)
        self.statements = [statement(chance, keyspace, i, rows) for i in range(writes)]
        self.session, self.scanning = node.session(), scanning
        self.during, self.done, self.error = 0, 0, None

    def run(self):
        try:
            for first in range(0, len(self.statements), WINDOW):
                sent = [self.session.execute_async(s) for s in self.statements[first:first + WINDOW]]
                for answer in sent:
                    answer.result()
                self.done += len(sent)
                self.during = self.done if self.scanning() else self.during
        except Exception as e:  # told by finish()
            self.error = e

    def finish(self):
        self.join(600)
        if self.error or self.is_alive():
            raise RuntimeError(f"writer: {self.error or 'does not end'}")


class World:
    """A keyspace with a table of rows, an empty database, and the pipeline between them."""

    def __init__(self, node, postgres, folder, rows, delete):
        self.node, self.postgres, self.rows = node, postgres, rows
        self.name = f"merge{os.getpid()}_{time.monotonic_ns()}"
        node.create_keyspace(self.name)
        node.cql(f"CREATE TABLE {self.name}.t (id int PRIMARY KEY, v text, n int) WITH cdc = true")
        node.cql_many(f"INSERT INTO {self.name}.t (id, v, n) VALUES (?, ?, ?)", [(i, f"v{i}", i) for i in range(rows)])
        url = postgres.create_database(self.name)
        self.text = PIPELINE.format(keyspace=self.name, port=node.port, cdc_raw=node.cdc_raw, url=url,
                                    delete=str(delete).lower())
        self.program = Millrace(pathlib.Path(folder) / self.name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.program.stop_all()
        self.postgres.drop_database(self.name)

    def _sql(self, query):
        return self.postgres.sql(query, database=self.name)

    def stored(self):
        """Rows that the target has; 0: there is no target yet."""
        there = self._sql("SELECT to_regclass('t') IS NOT NULL")[0][0]
        return self._sql("SELECT count(*) FROM t")[0][0] if there else 0

    def scanning(self):
        return self.stored() < self.rows * 9 // 10

    def compare(self):
        """(lost, more than there should be, wrong)"""
        if not self.stored():
            return self.rows, 0, 0
        want = {row[0]: tuple(row) for row in self.node.cql(f"SELECT id, v, n FROM {self.name}.t")}
        got = {row[0]: tuple(row) for row in self._sql("SELECT id, v, n FROM t")}
        return (len(want.keys() - got.keys()), len(got.keys() - want.keys()),
                sum(want[k] != got[k] for k in want.keys() & got.keys()))


def run(node, postgres, folder, kills, rows, writes, seed, delete=True):
    """delete: the node's segments may go."""
    begun = time.monotonic()
    with World(node, postgres, folder, rows, delete) as world:
        writer = Writer(node, world.name, rows, writes, seed, world.scanning)
        running = world.program.start(world.text, "--quiet")
        writer.start()
        for i in range(kills):
            due = rows * (i + 1) // (2 * kills + 2)
            running.wait_for(lambda due=due: world.stored() > due, SETTLE_S, f"{due} rows")
            running.kill()
            running = world.program.start(world.text, "--quiet", log=f"run{i}.log")
        writer.finish()
        found = settle(world, running)
        running.terminate().expect(0)
        return Outcome("cassandra, snapshot+cdc", kills, rows + writes, *found, time.monotonic() - begun,
                       f"seed {seed}, {writer.during} of {writes} writes during the scan")


def settle(world, running):
    """Waits until the comparison finds nothing; what it found last, where it always does."""
    end = time.monotonic() + SETTLE_S
    while any(found := world.compare()) and running.alive() and time.monotonic() < end:
        time.sleep(0.5)
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults cassandra-merge", description=__doc__)
    parser.add_argument("--n", type=int, default=3, help="kills of millrace during the scan")
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--writes", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(arguments)
    with cassandra_servers() as where:
        return report([lambda: run(*where, options.n, options.rows, options.writes, options.seed)])


if __name__ == "__main__":
    sys.exit(main())
