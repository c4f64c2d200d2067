# SPDX-License-Identifier: Apache-2.0
"""Kafka -> StarRocks sink -> a server that throws the bodies away, against curl uploading the same
bytes: what the first run sends is kept as files, one for each load, and curl uploads those."""

import contextlib
import json
import shutil
import subprocess

import measure
from servers import trades
from servers.runner import TREE
from servers.starrocks import StarRocks

BINARY = TREE / "build" / "bench" / "discard-load"

SINK = """    commit: 10s
    starrocks:
      url: http://127.0.0.1:{fe}
      sql_port: {sql}
      password: secret
      table: db.trades
      format: {form}"""


@contextlib.contextmanager
def discarder(*folder):
    """A running server; gives its ports and a function that says what came since the last call."""
    with subprocess.Popen([BINARY, *folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        ports = json.loads(process.stdout.readline())

        def counted():
            process.stdin.write("count\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())
        try:
            yield ports, counted
        finally:
            process.stdin.close()


class Loads:
    """What one format sends, and the two ways to send it."""

    def __init__(self, bench, server, form):
        self.bench, self.server, self.form = bench, server, form
        self.folder = bench.folder / f"bodies-{form}"
        self.folder.mkdir()
        with discarder(self.folder) as (ports, counted):
            bench.run_pipeline(self.sink(ports))
            self.wanted = counted()
        self.files = sorted(self.folder.iterdir())

    def sink(self, ports):
        return SINK.format(fe=ports["fe"], sql=self.server.mysql.port, form=self.form)

    def check(self, counted):
        found = counted()
        if found["bytes"] < self.wanted["bytes"] * 0.999:
            raise SystemExit(f"{found} came where {self.wanted} was to come")

    def millrace(self):
        with discarder() as (ports, counted):
            sample = self.bench.run_pipeline(self.sink(ports))
            self.check(counted)
        return sample

    def curl(self):
        """One curl; a redirect and 100-continue for each file, as the sink has them."""
        argv = [shutil.which("curl"), "--silent", "--fail", "--location-trusted",
                "--user", "root:secret", "--header", "Expect: 100-continue", "--output", "/dev/null"]
        with discarder() as (ports, counted):
            for file in self.files:
                argv += ["--upload-file", file, f"http://127.0.0.1:{ports['fe']}/api/transaction/load",
                         "--output", "/dev/null"]
            around, result = self.bench.run_process(argv)
            self.check(counted)
        return self.bench.sample(around, result)

    def describe(self):
        return (f"{self.form}: {len(self.files)} loads, {self.wanted['bytes'] / 1e6:.0f} MB, "
                f"{self.wanted['bytes'] / self.bench.rows:.0f} bytes a row")


def bench_starrocks(bench, options, rounds_of):
    bench.make_topic()
    with StarRocks() as server:
        columns = ", ".join(f"`{f}` BIGINT" for f in trades.FIELDS)
        server.create(f"CREATE TABLE db.trades ({columns}) DUPLICATE KEY (trade_id)")
        for form in ("json", "csv"):
            loads = Loads(bench, server, form)
            samples = rounds_of({"curl": loads.curl, "floor": bench.floor,
                                        "millrace": loads.millrace}, options.rounds)
            shutil.rmtree(loads.folder)
            print(f"\nKafka -> StarRocks (a server that discards), {bench.rows} trades, "
                  f"{loads.describe()};\ncurl uploads the same files, floor only reads Kafka and "
                  f"counts\n{measure.table(samples, 'curl')}\nagainst the floor:\n"
                  f"{measure.table(samples, 'floor')}")
