# SPDX-License-Identifier: Apache-2.0
"""One of several sinks is down for a while, each in turn: the others go on, and in the end all have
every row once. usage: ./dev faults outage [--seconds S] [--rate R]"""

import argparse
import contextlib
import json
import os
import pathlib
import sys
import time
import urllib.request

from faults.common import PARTITIONS, Outcome, Stream, compare_rows, pipeline, report, run_folder, wanted_rows
from servers import trades
from servers.clickhouse import Chdb
from servers.kafka import Kafka
from servers.mariadb import Mariadb
from servers.postgres import Postgres
from servers.process import free_port
from servers.proxy import Proxy
from servers.runner import Millrace

LAG_S = 5  # what the others may have
CAUGHT_UP_S = 1

SINKS = """sinks:
  - name: copied
    postgres: {url: "${PG_URL}", table: public.copied}
  - name: inserted
    postgres: {url: "${PG_INSERT_URL}", table: public.inserted, method: insert}
  - name: shop
    mysql: {url: "${MYSQL_URL}", table: trades}
  - name: analytics
    clickhouse: {url: "${CLICKHOUSE_URL}", table: trades, delivery: exactly_once}
"""
NAMES = ("copied", "inserted", "shop", "analytics")


class Targets:
    """A database in each server, each sink behind a proxy of its own."""

    def __init__(self, stack, postgres, mariadb, clickhouse, name):
        self.postgres, self.mariadb, self.clickhouse, self.name = postgres, mariadb, clickhouse, name
        servers = {"copied": postgres, "inserted": postgres, "shop": mariadb, "analytics": clickhouse}
        self.proxy = {sink: stack.enter_context(Proxy("127.0.0.1", server.port)) for sink, server in servers.items()}
        for server in (postgres, mariadb, clickhouse):
            url = server.create_database(name)
            stack.callback(server.drop_database, name)
        self.env = {
            "PG_URL": postgres.database_url(name, self.proxy["copied"].port),
            "PG_INSERT_URL": postgres.database_url(name, self.proxy["inserted"].port),
            "MYSQL_URL": mariadb.database_url(name, self.proxy["shop"].port),
            "CLICKHOUSE_URL": url.replace(f":{clickhouse.port}", f":{self.proxy['analytics'].port}")}
        for table in ("copied", "inserted"):
            postgres.sql(trades.table_sql(table), database=name)
        mariadb.sql(trades.table_sql("trades").replace('"', "`"), database=name)
        columns = ", ".join(f"`{f}` Int64" for f in trades.FIELDS)
        clickhouse.query(f"CREATE TABLE trades ({columns}) ENGINE = MergeTree ORDER BY trade_id"
                         " SETTINGS non_replicated_deduplication_window = 10000", name)

    def rows(self, sink):
        quote = '"' if sink in ("copied", "inserted") else "`"
        columns = ", ".join(f"{quote}{f}{quote}" for f in trades.FIELDS)
        if sink == "analytics":
            found = self.clickhouse.rows(f"SELECT {columns} FROM trades", self.name)
            return [tuple(map(int, row)) for row in found]
        if sink == "shop":
            return self.mariadb.sql(f"SELECT {columns} FROM trades", database=self.name)
        return self.postgres.sql(f"SELECT {columns} FROM {sink}", database=self.name)


class Watch:
    """What /status says of the sinks, and the greatest lag seen of each."""

    def __init__(self, port):
        self.url, self.lag = f"http://127.0.0.1:{port}/status", {}

    def sinks(self):
        answer = json.loads(urllib.request.urlopen(self.url, timeout=20).read())
        return {s["name"]: s for s in answer["stages"] if s["kind"] == "sink"}

    def look(self, down):
        """Notes the lag of those that are not down."""
        sinks = self.sinks()
        for name in NAMES:
            if name != down:
                self.lag[name] = max(self.lag.get(name, 0), sinks[name]["lag_seconds"])
        return sinks


def take_down(targets, watch, running, sink, seconds):
    """The others must go on for as long as it is down; then it must catch up."""
    proxy = targets.proxy[sink]
    proxy.refuse()
    proxy.cut()
    running.wait_for(lambda: watch.sinks()[sink]["state"] == "waiting", 60, f"{sink} down")
    before, end = watch.look(sink), time.monotonic() + seconds
    while time.monotonic() < end:
        watch.look(sink)
        time.sleep(0.2)

    def others_went_on():
        now = watch.look(sink)
        return all(now[n]["rows_out"] > before[n]["rows_out"] + 100 for n in NAMES if n != sink)
    running.wait_for(others_went_on, 60, f"the others, with {sink} down")
    assert watch.sinks()[sink]["rows_out"] == before[sink]["rows_out"]
    proxy.refuse(False)
    running.wait_for(lambda: watch.sinks()[sink]["rows_out"] > before[sink]["rows_out"], 60, f"{sink} up")
    running.wait_for(lambda: watch.sinks()[sink]["lag_seconds"] < CAUGHT_UP_S, 120, f"{sink} caught up")


def run(kafka, postgres, mariadb, clickhouse, folder, seconds, rate, down=NAMES):
    """An outcome for each sink; its note is the greatest lag it had while another was down."""
    name, begun = f"o{os.getpid()}_{time.monotonic_ns()}", time.monotonic()
    topic, port = kafka.create_topic(name, PARTITIONS), free_port()
    with contextlib.ExitStack() as stack:
        targets = Targets(stack, postgres, mariadb, clickhouse, name)
        program = Millrace(pathlib.Path(folder) / name, {"KAFKA_BROKERS": kafka.brokers, **targets.env})
        stack.callback(program.stop_all)
        stream = Stream(kafka, topic, rate, False)
        stack.callback(stream.done.set)
        head, _, rest = pipeline(topic, "@", "1s").partition("sinks:\n")
        text = head + SINKS + rest.partition("@\n")[2] + f"  http: 127.0.0.1:{port}\n"
        watch, running = Watch(port), program.start(text)
        stream.start()
        running.wait_for(lambda: answers(watch) and all(s["rows_out"] > 0 for s in watch.sinks().values()), 60, "rows")
        for sink in down:
            take_down(targets, watch, running, sink, seconds)
        count = stream.finish()
        running.wait_for(lambda: all(s["rows_out"] >= count for s in watch.sinks().values()), 120, f"{count} rows")
        running.terminate().expect(0)
        wanted = wanted_rows(count, False)
        return [Outcome(f"outage, {sink}", 1, count, *compare_rows(targets.rows(sink), wanted),
                        time.monotonic() - begun, f"lag {watch.lag[sink]:.1f} s at most while another was down")
                for sink in NAMES], watch.lag


def answers(watch):
    try:
        return bool(watch.sinks())
    except OSError:
        return False


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults outage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--rate", type=int, default=3000)
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(run_folder())
        servers = (stack.enter_context(Kafka(f"{folder}/kafka", heap="1g")),
                   stack.enter_context(Postgres(f"{folder}/postgres", durable=False)),
                   stack.enter_context(Mariadb(f"{folder}/mariadb", durable=False)),
                   stack.enter_context(Chdb(f"{folder}/clickhouse")))
        outcomes, lag = run(*servers, folder, options.seconds, options.rate)
        return max(report([lambda o=o: o for o in outcomes]), int(max(lag.values()) >= LAG_S))


if __name__ == "__main__":
    sys.exit(main())
