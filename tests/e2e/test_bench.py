# SPDX-License-Identifier: Apache-2.0
"""Short forms of ./dev bench."""

import pathlib
import sys
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import into_clickhouse  # noqa: E402
import lag  # noqa: E402
import run  # noqa: E402
from measure import table  # noqa: E402
from servers.clickhouse import ClickHouse18  # noqa: E402
from servers.postgres import Postgres  # noqa: E402


def test_clickhouse(kafka, tmp_path):
    """Both ways fill the table, each with every row once."""
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


def test_lag(kafka, millrace, server_folder):
    """What PostgreSQL and the pipeline say of the rows' ages; nothing of how long they are."""
    with Postgres(server_folder / f"stamped{time.monotonic_ns()}", settings="track_commit_timestamp = on", durable=False) as postgres:
        count, ages, said, seen = lag.measure(kafka, postgres, millrace, 200, 1)
    assert count > 0 and seen >= 0
    assert 0 < ages[0] <= ages[1] <= ages[2] <= ages[3]
    assert all(0 <= said[name]["p50"] <= said[name]["p99"] for name in ("latency_seconds", "event_latency_seconds"))
