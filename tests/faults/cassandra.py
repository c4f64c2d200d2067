# SPDX-License-Identifier: Apache-2.0
"""kill -9 of millrace and of the node while it follows a node's commit log into PostgreSQL: rows that are only
inserted, appended there; rows that are inserted, changed and deleted, upserted there with `version`.
usage: ./dev faults cassandra [--n KILLS] [--node KILLS] [--events N] [--seed S]"""

import argparse
import os
import pathlib
import random
import signal
import sys
import threading
import time

from faults.common import Outcome, cassandra_servers, report
from servers.process import wait_until
from servers.runner import Millrace

KEYS = 2000
EARLIEST_S, LATEST_S = 0.05, 1.5  # after its start millrace is killed
UNSYNCED_S = 3                    # what was acknowledged so shortly before a crash may be lost by the node
WINDOW = 16                       # statements under way
RATE = 600                        # statements a second, at most

PIPELINE = """name: {keyspace}
sources:
  - name: journal
    cassandra:
      hosts: 127.0.0.1:{port}
      table: {keyspace}.journal
      mode: cdc
      directory: {cdc_raw}
      history: {folder}/history
      consistency: one
      delete: {delete}
  - name: items
    cassandra:
      hosts: 127.0.0.1:{port}
      table: {keyspace}.items
      mode: cdc
      directory: {cdc_raw}
      history: {folder}/history
      consistency: one
      delete: {delete}
transforms:
  - name: stamped
    input: items
    select:
      set: {{written_at: _timestamp}}
sinks:
  - name: journal_table
    input: journal
    postgres:
      url: {url}
      table: public.journal
      mode: append
  - name: items_table
    input: stamped
    postgres:
      url: {url}
      table: public.items
      mode: upsert
      key: [id]
      version: written_at
      create: true
settings:
  state: "${{STATE}}"
  checkpoint: {{interval: 50ms}}
"""

TABLES = ("CREATE TABLE {}.journal (id int PRIMARY KEY, n int) WITH cdc = true",
          "CREATE TABLE {}.items (id int PRIMARY KEY, n int, v text, w text) WITH cdc = true")
INSERT, NUMBER, TEXT, EMPTY, DELETE = range(5)
SHARES = {INSERT: 40, NUMBER: 20, TEXT: 20, EMPTY: 5, DELETE: 15}


class Statements:
    """Statement i, always the same; every second one is the next row of the journal. Each has a time of its own,
    so that it may be sent again."""

    def __init__(self, keyspace, count, seed):
        chance, self.keyspace, self.count = random.Random(seed), keyspace, count
        self.first = int(time.time() * 1e6)
        self.changes = [(kind, chance.randrange(KEYS), chance.randrange(10 ** 6))
                        for kind in chance.choices(list(SHARES), SHARES.values(), k=count // 2 + 1)]

    def text(self, i):
        k, at = self.keyspace, f"USING TIMESTAMP {self.first + i}"
        if i % 2 == 0:
            return f"INSERT INTO {k}.journal (id, n) VALUES ({i}, {i * 7}) {at}"
        kind, key, n = self.changes[i // 2]
        return {INSERT: f"INSERT INTO {k}.items (id, n, v, w) VALUES ({key}, {n}, 'v{n}', 'w{i}') {at}",
                NUMBER: f"UPDATE {k}.items {at} SET n = {n} WHERE id = {key}",
                TEXT: f"UPDATE {k}.items {at} SET v = 'text {n}' WHERE id = {key}",
                EMPTY: f"UPDATE {k}.items {at} SET w = null WHERE id = {key}",
                DELETE: f"DELETE FROM {k}.items {at} WHERE id = {key}"}[kind]


class Writer(threading.Thread):
    """Sends every statement until the node has acknowledged it. What it may have lost in a crash is sent again."""

    def __init__(self, node, statements):
        super().__init__(daemon=True)
        self.node, self.statements = node, statements
        self.up = threading.Event()
        self.up.set()
        self.next, self.again = 0, []
        self.done_at = {}  # statement -> when it was acknowledged
        self.twice = set()  # statements that may be in the log more than once
        self.lock, self.ended = threading.Lock(), threading.Event()

    def _take(self):
        with self.lock:
            taken, self.again = self.again[:WINDOW], self.again[WINDOW:]
            more = min(WINDOW - len(taken), self.statements.count - self.next)
            taken += range(self.next, self.next + more)
            self.next += more
            return taken

    def _send(self, i):
        try:
            return self.node.session().execute_async(self.statements.text(i))
        except Exception:  # the node is down: the driver has many words for it
            return None

    def _finish(self, i, sent):
        try:
            sent.result()
            self.done_at[i] = time.monotonic()
        except Exception:
            with self.lock:
                self.again.append(i)
                self.twice.add(i)

    def run(self):
        begin, sent = time.monotonic(), 0
        while not self.ended.is_set():
            self.up.wait(1)
            taken = self._take() if self.up.is_set() else []
            for i, answer in [(i, self._send(i)) for i in taken]:
                self._finish(i, answer)
            sent += len(taken)
            time.sleep(max(0.01, begin + sent / RATE - time.monotonic()))

    def left(self):
        with self.lock:
            return self.statements.count - self.next + len(self.again)

    def crashed(self, at):
        """The node died: what it acknowledged just before goes again."""
        with self.lock:
            lost = [i for i, when in self.done_at.items() if when > at - UNSYNCED_S]
            self.again += lost
            self.twice.update(lost)


class World:
    """A keyspace of the node, a database, a pipeline between them, and the writer."""

    def __init__(self, node, postgres, folder, events, seed, delete):
        self.node, self.postgres = node, postgres
        self.name = f"kills{os.getpid()}_{time.monotonic_ns()}"
        folder = pathlib.Path(folder) / self.name
        (folder / "history").mkdir(parents=True)
        url = postgres.create_database(self.name)
        self.sql("CREATE TABLE journal (id int, n int)")
        node.create_keyspace(self.name)
        for table in TABLES:
            node.cql(table.format(self.name))
        self.text = PIPELINE.format(keyspace=self.name, port=node.port, cdc_raw=node.cdc_raw, folder=folder, url=url,
                                    delete=str(delete).lower())
        self.program = Millrace(folder / "millrace")
        self.statements = Statements(self.name, events, seed)
        self.writer = Writer(node, self.statements)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.writer.ended.set()
        self.program.stop_all()
        self.postgres.drop_database(self.name)

    def sql(self, query, *args):
        return self.postgres.sql(query, *args, database=self.name)

    def kill_node(self):
        self.writer.up.clear()
        at = time.monotonic()
        self.node.stop(signal.SIGKILL)
        self.node.start()
        self.writer.crashed(at)
        self.writer.up.set()

    def journal(self):
        """(lost, duplicated, wrong) of the rows that were only inserted."""
        seen = {}
        for i, n in self.sql("SELECT id, n FROM journal"):
            seen.setdefault(i, []).append(n)
        wanted = range(0, self.statements.count, 2)
        lost = sum(i not in seen for i in wanted)
        duplicated = sum(len(ns) - 1 for i, ns in seen.items() if i not in self.writer.twice)
        wrong = sum(i % 2 or i >= self.statements.count or set(ns) != {i * 7} for i, ns in seen.items())
        return lost, duplicated, wrong

    def items(self):
        """(lost, more than there should be, wrong): PostgreSQL's rows against the node's."""
        want = {row[0]: row for row in self.node.cql(f"SELECT id, n, v, w FROM {self.name}.items")}
        got = {row[0]: row for row in self.sql("SELECT id, n, v, w FROM items")}
        return (len(want.keys() - got.keys()), len(got.keys() - want.keys()),
                sum(want[k] != got[k] for k in want.keys() & got.keys()))

    def compare(self):
        return tuple(map(sum, zip(self.journal(), self.items())))


def run(node, postgres, folder, kills, node_kills, events, seed, delete=True):
    """The node must be one that may be killed where node_kills > 0, and whose segments may go unless `delete` is False."""
    begun, chance = time.monotonic(), random.Random(seed)
    crashes = set(chance.sample(range(kills), node_kills))
    with World(node, postgres, folder, events, seed, delete) as world:
        world.writer.start()
        done = ended = 0
        while done < kills or world.writer.left():
            running = world.program.start(world.text, "--quiet")
            if done in crashes:
                time.sleep(chance.uniform(EARLIEST_S, LATEST_S))
                world.kill_node()
            time.sleep(chance.uniform(EARLIEST_S, LATEST_S))
            ended += not running.alive()
            running.kill()
            done += 1
        wait_until(lambda: not world.writer.left(), 600, "all statements acknowledged", 0.2)
        world.writer.ended.set()
        world.writer.join(60)
        found = settle(world)
        lost, duplicated, wrong = found
        return Outcome(f"cassandra, {node_kills} node", done, events, lost, duplicated, wrong + ended,
                       time.monotonic() - begun, f"seed {seed}, {len(world.writer.twice)} statements sent again"
                       + (f", {ended} ended before their kill" if ended else ""))


def settle(world, rounds=5):
    """Lets the pipeline finish; the last writes are in the log a moment later."""
    for _ in range(rounds):
        time.sleep(1)
        world.program.run(world.text, timeout=600).expect(0)
        found = world.compare()
        if not found[0]:
            break
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults cassandra", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="kills of millrace")
    parser.add_argument("--node", type=int, default=10, help="kills of the node")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(arguments)
    with cassandra_servers() as where:
        return report([lambda: run(*where, options.n, options.node, options.events, options.seed)])


if __name__ == "__main__":
    sys.exit(main())
