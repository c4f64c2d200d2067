# SPDX-License-Identifier: Apache-2.0
"""Short forms of ./dev bench."""

import pathlib
import sys
import time
import types

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

import cassandra_latency  # noqa: E402
import cassandra_snapshot  # noqa: E402
import commitlog  # noqa: E402
import into_clickhouse  # noqa: E402
import lag  # noqa: E402
import run  # noqa: E402
from measure import table  # noqa: E402
from servers.clickhouse import ClickHouse18  # noqa: E402
from servers.runner import TREE  # noqa: E402
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


def test_commitlog(tmp_path):
    """./dev bench commitlog: Cassandra's own reader and ours find the same mutations."""
    sample = TREE / "tests" / "plugin" / "commitlog" / "data"
    segment = tmp_path / "CommitLog-7-1795281552732.log"
    segment.write_bytes((sample / "snappy-7.log").read_bytes())
    with commitlog.readers(tmp_path, segment, sample / "snappy-7.cql", "damaged") as pair:
        samples, found = commitlog.compare(pair, 1, 0)
    assert found["mutations"] > 50 and found["events"] >= found["mutations"] and found["cells"] > found["events"]
    assert "millrace" in table(samples, "cassandra") and commitlog.cpu_ratio(samples) > 0


def test_cassandra_snapshot(cassandra, keyspace, tmp_path):
    cassandra_snapshot.fill(cassandra, keyspace, 3000)
    scans = cassandra_snapshot.Scans(cassandra, keyspace, tmp_path, 3000)
    samples = run.rounds_of(scans.candidates(), 1)  # each stops the run unless it read 3000 rows
    assert all(line in cassandra_snapshot.tables(samples) for line in ("python driver", "java driver", "millrace x2"))


def test_cassandra_latency(cassandra, keyspace, postgres, tmp_path):
    url = postgres.create_database(keyspace)
    with postgres.connect(keyspace) as connection:
        path = cassandra_latency.Path(cassandra, url, connection, tmp_path, keyspace, delete="false")
        times = cassandra_latency.measure_path(path, 3)
        assert len(times) == 3 and min(times) > 0
        assert connection.execute("SELECT id, v FROM latency WHERE id >= 0 ORDER BY id").fetchall() == [
            (i, f"value {i}") for i in range(3)]
    postgres.drop_database(keyspace)
