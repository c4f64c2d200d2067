# SPDX-License-Identifier: Apache-2.0
"""The program is killed, or its sessions are, or answers to COMMIT are lost, while trades stream into
MariaDB. usage: ./dev faults mariadb [--n N] [--seed S]"""

import argparse
import functools
import os
import pathlib
import random
import sys
import time

from faults.common import PARTITIONS, Outcome, Stream, compare_rows, pipeline, report, run_folder, wanted_rows
from servers import trades
from servers.kafka import Kafka
from servers.mariadb import Mariadb
from servers.proxy import FAULTS, Proxy
from servers.runner import Millrace

EARLIEST_MS, LATEST_MS = 5, 250
SINK = """    mysql:
      url: "${{MYSQL_URL}}"
      table: trades
      mode: {mode}
      statement_timeout: 4s
      commit_timeout: 2s
{key}"""


class Shop:
    """A topic, an empty table and the program, for one run of faults."""

    def __init__(self, kafka, mariadb, folder, mode, rate=20000, proxy=None):
        self.mariadb, self.mode = mariadb, mode
        self.name = f"f{os.getpid()}_{time.monotonic_ns()}"
        self.topic = kafka.create_topic(self.name, PARTITIONS)
        url = mariadb.create_database(self.name)
        if proxy:
            url = mariadb.database_url(self.name, proxy.port)
        self.sql(trades.table_sql("trades", key=mode == "upsert").replace('"', "`"))
        self.program = Millrace(pathlib.Path(folder) / self.name,
                                {"KAFKA_BROKERS": kafka.brokers, "MYSQL_URL": url})
        self.stream = Stream(kafka, self.topic, rate, mode == "upsert")
        key = "      key: [trade_id]\n" if mode == "upsert" else ""
        self.text = pipeline(self.topic, SINK.format(mode=mode, key=key))
        self.begun = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stream.done.set()
        self.program.stop_all()
        self.mariadb.drop_database(self.name)

    def sql(self, query, *args):
        return self.mariadb.sql(query, *args, database=self.name)

    def rows_counted(self):
        """Rows that the lane rows say were written."""
        known = self.sql("SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE()"
                         " AND table_name = 'millrace_offsets'")
        return int(self.sql("SELECT coalesce(sum(rows_total), 0) FROM millrace_offsets")[0][0]) if known else 0

    def finish(self, running, name, faults, note=""):
        """Waits until everything has arrived, stops the pipeline, compares."""
        rows = self.stream.finish()
        running.wait_for(lambda: self.rows_counted() >= rows, 120, f"{rows} rows")
        running.terminate().expect(0)
        return self.outcome(name, faults, note)

    def outcome(self, name, faults, note=""):
        count = self.stream.finish()
        columns = ", ".join(f"`{f}`" for f in trades.FIELDS)
        lost, duplicated, wrong = compare_rows(self.sql(f"SELECT {columns} FROM trades"),
                                               wanted_rows(count, self.stream.keyed))
        if self.mode == "upsert":
            duplicated += max(0, self.rows_counted() - count)
        return Outcome(name, faults, count, lost, duplicated, wrong, time.monotonic() - self.begun, note)


def kills(kafka, mariadb, folder, mode, count, seed):
    """kill -9 at random moments; then it runs to the end."""
    chance = random.Random(f"{seed}-{mode}")
    with Shop(kafka, mariadb, folder, mode) as shop:
        shop.stream.start()
        ended = 0
        for _ in range(count):
            running = shop.program.start(shop.text, "--quiet")
            time.sleep(chance.uniform(EARLIEST_MS, LATEST_MS) / 1000)
            ended += not running.alive()
            running.kill()
        shop.stream.finish()
        shop.program.run(shop.text, timeout=120).expect(0)
        outcome = shop.outcome(f"kills, mysql {mode}", count, f"seed {seed}")
        outcome.wrong += ended
        return outcome


def sessions(kafka, mariadb, folder, mode, count, seed):
    """KILL of the sink's session at random moments."""
    chance = random.Random(f"{seed}-session-{mode}")
    with Shop(kafka, mariadb, folder, mode) as shop:
        running = shop.program.start(shop.text)
        shop.stream.start()
        done = 0
        while done < count:
            running.wait_for(lambda: mariadb.sessions(shop.name), 60, "a session")
            time.sleep(chance.uniform(5, 150) / 1000)
            done += sum(mariadb.kill(session) for session in mariadb.sessions(shop.name)[:count - done])
        return shop.finish(running, f"sessions, mysql {mode}", done, f"seed {seed}")


def commits(kafka, mariadb, folder, fault, count):
    """Every third COMMIT meets the fault until there were enough."""
    with Proxy("127.0.0.1", mariadb.port, mariadb=True) as proxy:
        with Shop(kafka, mariadb, folder, "append", proxy=proxy) as shop:
            running = shop.program.start(shop.text)
            shop.stream.start()
            running.wait_for(lambda: shop.rows_counted() > 0, 60, "the first rows")
            proxy.break_commits(count, fault, every=3)
            running.wait_for(lambda: proxy.left == 0, 300, f"{count} broken commits")
            return shop.finish(running, f"COMMIT mysql, {fault}", proxy.cut_commits)


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults mariadb", description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args(arguments)
    with run_folder() as folder:
        with Mariadb(f"{folder}/mariadb", durable=False) as mariadb:
            with Kafka(f"{folder}/kafka", heap="1g") as kafka:
                where, few = (kafka, mariadb, folder), max(1, options.n // 10)
                runs = [functools.partial(run, *where, mode, options.n, options.seed)
                        for run in (kills, sessions) for mode in ("append", "upsert")]
                runs += [functools.partial(commits, *where, fault, few if fault == "half_open" else options.n)
                         for fault in FAULTS]
                return report(runs)


if __name__ == "__main__":
    sys.exit(main())
