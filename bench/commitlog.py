# SPDX-License-Identifier: Apache-2.0
"""./dev bench commitlog [--rounds N]: a full segment that a node wrote, read and decoded by one thread of
ours (bench/commitlog-reader.c) and by Cassandra's own CommitLogReader with a handler that does nothing
(bench/CommitLogFloor.java), warmed up in its own process; they take turns."""

import contextlib
import json
import random
import shutil
import statistics
import subprocess
import uuid

import yaml

import measure
from servers import cassandra
from servers.process import require_tool
from servers.runner import TREE

SEGMENT_MIB = 32
WARM_UP = 12  # rounds of each before any counts
KEYSPACE, SEED, CHUNK = "bench", 1, 10_000

TABLE = """CREATE TABLE {keyspace}.readings (sensor uuid, at timestamp, value double, quality int,
  unit text, site text, tags map<text, text>, PRIMARY KEY (sensor, at)) WITH cdc = true"""
INSERT = "INSERT INTO {keyspace}.readings (sensor, at, value, quality, unit, site) VALUES (?, ?, ?, ?, ?, ?)"
UPDATE = "UPDATE {keyspace}.readings SET value = ?, quality = ? WHERE sensor = ? AND at = ?"
TAG = "UPDATE {keyspace}.readings SET tags = tags + ? WHERE sensor = ? AND at = ?"
DELETE = "DELETE FROM {keyspace}.readings WHERE sensor = ? AND at = ?"
SHARES = {INSERT: 70, UPDATE: 15, TAG: 10, DELETE: 5}
BATCH, WINDOW = 50, 8  # statements of one batch, batches that are under way


class Workload:
    """Changes of one table, the same for the same seed: as SHARES has them."""

    def __init__(self, node, keyspace, seed=SEED):
        self.node, self.keyspace, self.random = node, keyspace, random.Random(seed)
        self.sensors = [uuid.UUID(bytes=self.random.randbytes(16), version=4) for _ in range(500)]
        node.cql(TABLE.format(keyspace=keyspace))

    def _key(self):
        return self.random.choice(self.sensors), self.random.randrange(10 ** 12, 10 ** 12 + 10 ** 9)

    def _values(self, statement):
        r = self.random
        value = r.uniform(-50, 50), r.randrange(100)
        return {INSERT: lambda: (*self._key(), *value, "celsius", f"plant {r.randrange(9)}, hall {r.randrange(40)}"),
                UPDATE: lambda: (*value, *self._key()),
                TAG: lambda: ({f"tag {r.randrange(9)}": f"value {r.randrange(10 ** 6)}"}, *self._key()),
                DELETE: self._key}[statement]()

    def _batches(self, n):
        """Batches that are not logged are quick to send; what is of one partition becomes one mutation."""
        from cassandra.query import BatchStatement, BatchType
        prepared = {s: self.node.session().prepare(s.format(keyspace=self.keyspace)) for s in SHARES}
        for _ in range(0, n, BATCH):
            batch = BatchStatement(BatchType.UNLOGGED)
            for statement in self.random.choices(list(SHARES), SHARES.values(), k=BATCH):
                batch.add(prepared[statement], self._values(statement))
            yield batch

    def write(self, n):
        waiting = []
        for batch in self._batches(n):
            waiting.append(self.node.session().execute_async(batch))
            if len(waiting) == WINDOW:
                waiting.pop(0).result()
        for sent in waiting:
            sent.result()


def full_segment(node, workload, folder, say):
    """Writes until a segment is full; a copy of it."""
    written = 0
    while True:
        for idx in sorted(node.cdc_raw.glob("*_cdc.idx")):
            if "COMPLETED" in idx.read_text():
                log = idx.with_name(idx.name.replace("_cdc.idx", ".log"))
                return kept(log, folder), kept(idx, folder)
        workload.write(CHUNK)
        written += CHUNK
        say(f"{written} changes written")


def kept(path, folder):
    return shutil.copy(path, folder / path.name)


def write_schema(node, keyspace, path):
    """The keyspace's types and tables with their ids, as both readers take them."""
    rows = node.cql(f"DESCRIBE KEYSPACE {keyspace} WITH INTERNALS")
    path.write_text("".join(row[-1].rstrip(";\n") + ";\n" for row in rows))
    return path


class Reader:
    """A process that reads the segment once for each line that it gets."""

    def __init__(self, argv, log):
        self.log = open(log, "w")
        self.process = subprocess.Popen([str(a) for a in argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.log, text=True)

    def read(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]} ended:\n{open(self.log.name).read()[-3000:]}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.log.close()


CONFIGURATION = {  # as much of cassandra.yaml as its reader wants to see
    "cluster_name": "bench", "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
    "commitlog_sync": "periodic", "commitlog_sync_period": "10000ms", "endpoint_snitch": "SimpleSnitch",
    "seed_provider": [{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                       "parameters": [{"seeds": "127.0.0.1"}]}],
}
FOLDERS = "commitlog_directory", "saved_caches_directory", "hints_directory", "cdc_raw_directory"


def java_command(folder, segment, schema, keyspace):
    conf = {**CONFIGURATION, "data_file_directories": [f"{folder}/java"], **{f: f"{folder}/{f}" for f in FOLDERS}}
    (folder / "java.yaml").write_text(yaml.safe_dump(conf))
    (folder / "logback.xml").write_text(cassandra.LOGBACK.format(level="OFF"))
    return [require_tool("java"), "-Xms1g", "-Xmx1g", "-Xmn700m", "-XX:+UseSerialGC", *cassandra.java_flags(),
            f"-Dlogback.configurationFile=file://{folder}/logback.xml", f"-Dcassandra.storagedir={folder}",
            f"-Dcassandra.config=file://{folder}/java.yaml", "-cp", f"{cassandra.jars()}/*", TREE / "bench" / "CommitLogFloor.java", segment, schema, keyspace]


@contextlib.contextmanager
def readers(folder, segment, schema, keyspace):
    ours = Reader([TREE / "build" / "bench" / "commitlog-reader", segment, schema, keyspace], folder / "ours.log")
    theirs = Reader(java_command(folder, segment, schema, keyspace), folder / "java.log")
    try:
        yield {"cassandra": theirs, "millrace": ours}
    finally:
        ours.close()
        theirs.close()


def compare(readers, rounds, warm_up, say=lambda text: None):
    """{name: [Sample of each round]}; both must find the same mutations."""
    samples = {name: [] for name in readers}
    for number in range(-warm_up, rounds):
        found = {}
        for name, reader in readers.items():
            with measure.Disturbance() as around:
                found[name] = reader.read()
            sample = measure.Sample(found[name]["mutations"], found[name]["seconds"], found[name]["cpu"])
            if number >= 0:
                samples[name].append(around.into(sample))
            say(f"round {number + 1} {name}: {sample.rate / 1e3:.0f} k mutations/s")
        if found["cassandra"]["mutations"] != found["millrace"]["mutations"] or not found["millrace"]["mutations"]:
            raise SystemExit(f"not the same mutations: {found}")
    return samples, found["millrace"]


def cpu_ratio(samples):
    """Mutations for each CPU-second of the reading thread, against Cassandra's in the same round."""
    return statistics.median(c.cpu / m.cpu for c, m in zip(samples["cassandra"], samples["millrace"]))


def bench_commitlog(folder, options, say, _rounds_of):
    settings = {"commitlog_segment_size": f"{SEGMENT_MIB}MiB", "commitlog_total_space": "1024MiB"}
    with cassandra.Cassandra(folder / "node", settings=settings, heap="1g") as node:
        node.create_keyspace(KEYSPACE)
        segment, _ = full_segment(node, Workload(node, KEYSPACE), folder, say)
        schema = write_schema(node, KEYSPACE, folder / "schema.cql")
    with readers(folder, segment, schema, KEYSPACE) as pair:
        samples, found = compare(pair, options.rounds, WARM_UP, say)
    print(f"\nCommit log segment of {SEGMENT_MIB} MiB, {found['mutations']} mutations, {found['events']} events, "
          f"{found['cells']} cells; rows are mutations\n{measure.table(samples, 'cassandra')}\n"
          f"by CPU time of the reading thread (without Java's collector and compiler): "
          f"{cpu_ratio(samples):.2f} times")
