# SPDX-License-Identifier: Apache-2.0
"""./dev bench lag [--rate N] [--seconds N]: trades at a rate into PostgreSQL; how old each is when it is
committed there (PostgreSQL's own commit time less Kafka's time of the message), and what the pipeline
says of itself meanwhile."""

import json
import time
import urllib.request

from faults.common import Stream
from servers import trades
from servers.postgres import Postgres
from servers.process import free_port, wait_until

LIMIT_S = 5  # of 99 in 100 rows

PIPELINE = """name: lag
sources:
  - name: trades
    time: {{column: _timestamp, late: 1s}}
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: {topic}
      start: earliest
      format: json
      columns:
{columns}transforms:
  - name: stamp
    select:
      set:
        sent_at: _timestamp
sinks:
  - name: out
    postgres:
      url: "${{PG_URL}}"
      table: public.trades
settings:
  http: 127.0.0.1:{port}
  state: "${{STATE}}"
"""

AGES = """SELECT count(*), count(DISTINCT trade_id), percentile_disc(ARRAY[0.5, 0.95, 0.99, 1])
  WITHIN GROUP (ORDER BY extract(epoch FROM pg_xact_commit_timestamp(xmin) - sent_at)) FROM trades"""


def sink_of(port):
    answer = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=20).read())
    return next(s for s in answer["stages"] if s["kind"] == "sink")


def measure(kafka, postgres, program, rate, seconds):
    """Gives rows, [p50, p95, p99, most] as the database has them, the same of /status, the greatest lag."""
    topic, port = kafka.create_topic(f"lag{time.monotonic_ns()}", 4), free_port()
    database = f"lag{port}"
    program.env.update(KAFKA_BROKERS=kafka.brokers, PG_URL=postgres.create_database(database))
    postgres.sql(trades.table_sql("trades").replace(")", ", sent_at timestamptz)"), database=database)
    running = program.start(PIPELINE.format(topic=topic, columns=trades.columns_yaml(8), port=port), "--quiet")
    stream, lag = Stream(kafka, topic, rate, False), 0.0
    stream.start()
    running.wait_for(lambda: postgres.sql("SELECT count(*) FROM trades", database=database)[0][0], 60, "rows")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lag = max(lag, sink_of(port)["lag_seconds"])
        time.sleep(0.2)
    count = stream.finish()
    wait_until(lambda: sink_of(port)["rows_out"] >= count, 60, f"{count} rows")
    said = sink_of(port)
    running.terminate().expect(0)
    rows, distinct, ages = postgres.sql(AGES, database=database)[0]
    postgres.drop_database(database)
    if rows != count or distinct != count:
        raise SystemExit(f"{rows} rows and {distinct} distinct ones in the table, wanted {count}")
    return count, [float(a) for a in ages], said, lag


def bench_lag(bench, options):
    """Prints the table; ends with an error when 1 of 100 rows is older than LIMIT_S."""
    with Postgres(bench.folder / "stamped", settings="track_commit_timestamp = on") as postgres:
        with bench.disturbance() as around:
            count, ages, said, lag = measure(bench.kafka, postgres, bench.millrace(), options.rate, options.seconds)
    print(f"\nKafka -> PostgreSQL, {count} trades in {options.seconds} s ({count / options.seconds:.0f}/s), from the"
          " message's time to the commit")
    print(f"{'':<38}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}   seconds")
    print(f"{'by PostgreSQL (commit timestamps)':<38}" + "".join(f"{a:>8.3f}" for a in ages))
    for name, title in (("event_latency_seconds", "by /status, from the event"), ("latency_seconds", "by /status, from reading")):
        print(f"{title:<38}" + "".join(f"{said[name][p]:>8.3f}" for p in ("p50", "p95", "p99")))
    print(f"greatest lag_seconds seen: {lag:.3f}; machine busy {around.busy / around.seconds:.1f} cores")
    if ages[2] > LIMIT_S:
        raise SystemExit(f"p99 is over {LIMIT_S} s")
