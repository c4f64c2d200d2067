# SPDX-License-Identifier: Apache-2.0
"""The short form of ./dev bench clickhouse: both ways fill the table, each with every row once."""

import pathlib
import sys
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import into_clickhouse  # noqa: E402
import run  # noqa: E402
from measure import table  # noqa: E402
from servers.clickhouse import ClickHouse18  # noqa: E402


def test_clickhouse(kafka, tmp_path):
    bench = run.Bench(tmp_path, 20000)
    bench.kafka, bench.servers = kafka, [kafka]
    bench.postgres = types.SimpleNamespace(database_url=lambda _: "")
    bench.make_topic()
    with ClickHouse18(tmp_path / "clickhouse") as server:
        inserts = into_clickhouse.Inserts(bench, server)
        samples = {name: [candidate()] for name, candidate in inserts.candidates().items()}
    kafka.delete_topic("trades")
    shown = table(samples, "client")
    assert [line.split("  ")[0] for line in shown.splitlines()[1:4]] == [
        "client", "millrace", "millrace x2"]
