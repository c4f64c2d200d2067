# SPDX-License-Identifier: Apache-2.0
"""Kafka -> ClickHouse 18.16 against clickhouse-client, which inserts the same rows from a file in
the Native format."""

import array
import shlex

import measure
from servers import trades
from servers.clickhouse import ClickHouse18

BLOCK_ROWS = 65536

SINK = """    commit: 2s
    parallel: {parallel}
    clickhouse:
      url: "{url}"
      table: trades"""


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def native_block(first, count):
    """Trades first..first+count-1 as one block of the Native format."""
    out = [varint(len(trades.FIELDS)), varint(count)]
    for name, values in zip(trades.FIELDS, zip(*map(trades.row, range(first, first + count)))):
        out += [varint(len(name)), name.encode(), varint(5), b"Int64", array.array("q", values).tobytes()]
    return b"".join(out)


class Inserts:
    """An empty table and the two ways to fill it."""

    def __init__(self, bench, server):
        self.bench, self.server = bench, server
        self.url = server.create_database("bench")
        self.file = bench.folder / "trades.native"
        with open(self.file, "wb") as out:
            for first in range(0, bench.rows, BLOCK_ROWS):
                out.write(native_block(first, min(BLOCK_ROWS, bench.rows - first)))

    def into_table(self, run):
        """Runs something that fills an empty table; checks that every row came exactly once."""
        columns = ", ".join(f"`{f}` Int64" for f in trades.FIELDS)
        self.server.query("DROP TABLE IF EXISTS trades", "bench")
        self.server.query(f"CREATE TABLE trades ({columns}) ENGINE = MergeTree ORDER BY trade_id",
                          "bench")
        sample = run()
        found = self.server.value("SELECT count(), uniqExact(trade_id) FROM trades", "bench")
        if found != f"{self.bench.rows}\t{self.bench.rows}":
            raise SystemExit(f"rows and distinct rows in the table: {found}, not {self.bench.rows}")
        return sample

    def client(self):
        argv = shlex.join(self.server.client("bench", "INSERT INTO trades FORMAT Native"))
        around, result = self.bench.run_process(["sh", "-c", f"exec {argv} < {self.file}"])
        return self.bench.sample(around, result)

    def millrace(self, parallel=1):
        return self.bench.run_pipeline(SINK.format(url=self.url, parallel=parallel))

    def candidates(self):
        runs = {"client": self.client, "millrace": self.millrace,
                "millrace x2": lambda: self.millrace(2)}
        return {name: lambda run=run: self.into_table(run) for name, run in runs.items()}


def bench_clickhouse(bench, options, rounds_of):
    bench.make_topic()
    with ClickHouse18(bench.folder / "clickhouse") as server:
        bench.servers.append(server)
        samples = rounds_of(Inserts(bench, server).candidates(), options.rounds)
    print(f"\nKafka -> ClickHouse 18.16, {bench.rows} trades, against clickhouse-client with a file"
          f" in Native\n{measure.table(samples, 'client')}")
