# SPDX-License-Identifier: Apache-2.0
"""Random CQL statements on live Cassandra nodes, one for each form of the commit log; its segments
are decoded by `millrace inspect --commitlog`, the events applied to a model, and the model compared
with SELECT of every table. usage: ./dev faults commitlog [--n SEEDS] [--statements N] [--form NAME]"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from faults.cql_model import Model
from faults.cql_statements import Statements, is_multi
from faults.cql_values import canonical, loads
from servers.cassandra import Cassandra
from servers.process import wait_until
from servers.runner import BINARY

FORMS = {  # name: arguments of a node
    "plain": {},
    "plain-4.1": {"version": "4.1.8"},
    "lz4": {"compression": "LZ4Compressor", "compatible": False},
    "zstd": {"compression": "ZstdCompressor", "compatible": False},
    "snappy": {"compression": "SnappyCompressor"},
    "deflate": {"compression": "DeflateCompressor"},
    "lz4-4.1": {"compression": "LZ4Compressor", "version": "4.1.8"},
    "direct": {"direct": True, "compatible": False},
}
SHOWN = 5  # differences that are printed


class LogReader:
    """What `inspect --commitlog` says of a node's segments. They are linked into a folder of its own
    while they are there: a node removes those that it has flushed."""

    def __init__(self, commitlog, folder, binary=BINARY):
        self.commitlog, self.folder = pathlib.Path(commitlog), pathlib.Path(folder)
        self.folder.mkdir()
        self.binary = binary

    def link(self):
        for path in self.commitlog.glob("CommitLog-*.log"):
            try:
                os.link(path, self.folder / path.name)
            except (FileExistsError, FileNotFoundError):
                pass

    def events(self, keyspace):
        self.link()
        done = subprocess.run([self.binary, "inspect", "--commitlog", self.folder], text=True,
                              capture_output=True, timeout=300)
        # a section that is being written just now is told as damage: callers wait for what they wrote last
        return [loads(line) for line in done.stdout.splitlines() if f'"{keyspace}"' in line]


class Run:
    """One keyspace, one seed."""

    def __init__(self, node, reader, keyspace, seed):
        self.node, self.reader, self.keyspace, self.seed = node, reader, keyspace, seed
        self.statements = Statements(keyspace, node_version(node), seed, int(time.time() * 1e6))
        self.refused = self.sent = 0

    def send(self, n):
        from cassandra import InvalidRequest
        for statement in self.statements.schema():
            self.node.cql(statement)
        self.node.cql(f"CREATE TABLE {self.keyspace}.done (id int PRIMARY KEY) WITH cdc = true")
        for i in range(n):
            self.sent += 1
            statement = self.statements.next()
            try:
                self.node.session().execute(statement)
            except InvalidRequest:  # an element of a list that is not there
                self.refused += 1
            if i % 50 == 0:
                self.reader.link()
        self.node.cql(f"INSERT INTO {self.keyspace}.done (id) VALUES (1)")

    def events(self):
        """Once the log shows the last statement."""
        def read():
            events = self.reader.events(self.keyspace)
            return events if any(e.get("table") == "done" for e in events) else None
        return wait_until(read, 120, f"seed {self.seed}: the log shows all statements", 0.2)

    def differences(self, events):
        models = {t.name: Model(t) for t in self.statements.tables}
        for e in events:
            if e["op"] == "unknown":
                yield f"not decoded: {e}"
            elif e["table"] in models:
                models[e["table"]].apply(e)
        for table in self.statements.tables:
            want, got = selected(self.node, self.keyspace, table), models[table.name].rows()
            for key in sorted({*want, *got}, key=repr):
                if want.get(key) != got.get(key):
                    yield difference(table, key, want.get(key), got.get(key))


def node_version(node):
    [(version,)] = node.cql("SELECT release_version FROM system.local")
    return version


def difference(table, key, want, got):
    parts = []
    if want and got:
        names = [*table.static, *table.columns]
        parts = [f"{n}: {w!r} in the table, {g!r} from the log"
                 for n, w, g in zip(names, want[0], got[0]) if w != g]
        parts += [f"{n}: written {w} in the table, {g} from the log"
                  for n, w, g in zip(table.columns, want[1], got[1]) if w != g]
    return f"{table.name} {key}: " + ("; ".join(parts) or f"{want!r} in the table, {got!r} from the log")


def selected(node, keyspace, table):
    """The table as SELECT shows it, in the form of Model.rows."""
    types, rows = table.types(), {}
    simple = [] if table.counter else [c for c, t in table.columns.items() if not is_multi(t)]
    asked = ["JSON *"] if not simple else []
    for (text,) in node.cql(f"SELECT JSON * FROM {keyspace}.{table.name}"):
        row = loads(text)
        key = tuple(canonical(types[c], row[c]) for c in [*table.key, *table.clustering])
        rows[key] = (tuple(canonical(types[c], row[c]) for c in [*table.static, *table.columns]), {})
    if simple:
        asked = ", ".join([*table.key, *table.clustering,
                           *(f"WRITETIME({c}) AS w_{c}, TTL({c}) AS t_{c}" for c in simple)])
        for (text,) in node.cql(f"SELECT JSON {asked} FROM {keyspace}.{table.name}"):
            row = loads(text)
            key = tuple(canonical(types[c], row[c]) for c in [*table.key, *table.clustering])
            rows[key][1].update({c: (row[f"w_{c}"], row[f"t_{c}"] is not None) for c in simple
                                 if row[f"w_{c}"] is not None})
    return {k: (values, tuple(times.get(c) for c in table.columns)) for k, (values, times) in rows.items()}


def compare(node, folder, seed, statements, keyspace, binary=BINARY):
    """Differences of one seed; the seed is printed."""
    print(f"seed {seed}: {statements} statements", flush=True)
    node.create_keyspace(keyspace)
    run = Run(node, LogReader(node.commitlog, folder, binary), keyspace, seed)
    run.reader.link()
    run.send(statements)
    events = run.events()
    found = list(run.differences(events))
    if run.refused > run.sent // 4:
        found.append(f"{run.refused} of {run.sent} statements were refused by the node")
    return found, len(events), run


def tell(name, seed, what, found, after=""):
    """The result of one seed, with the first differences."""
    print(f"{name:10} seed {seed}: {what}, {len(found)} differences{after}", flush=True)
    for line in found[:SHOWN]:
        print(f"    {line[:1000]}", flush=True)


def run_form(name, seeds, statements, first):
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="millrace-commitlog-") as folder:
        with Cassandra(f"{folder}/node", **FORMS[name]) as node:
            for seed in range(first, first + seeds):
                found, events, _ = compare(node, f"{folder}/{seed}", seed, statements, f"k{seed}")
                wrong += len(found)
                tell(name, seed, f"{events} events", found)
    return wrong


def parse(name, doc, arguments):
    """Which seeds and forms, of a command that compares after random statements."""
    parser = argparse.ArgumentParser(prog=f"./dev faults {name}", description=doc)
    parser.add_argument("--n", type=int, default=1, help="seeds for each form")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--statements", type=int, default=10_000, help="for each seed")
    parser.add_argument("--form", action="append", choices=list(FORMS))
    return parser.parse_args(arguments)


def main(arguments=None):
    options = parse("commitlog", __doc__, arguments)
    wrong = sum(run_form(name, options.n, options.statements, options.first)
                for name in options.form or FORMS)
    print(f"{wrong} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
