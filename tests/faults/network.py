# SPDX-License-Identifier: Apache-2.0
"""The network between the program and a server is cut for a while: that of its source, of its sink, of both. Once it is
back everything must arrive within a minute, each row once. `cut`: connections are reset and new ones are refused;
`silent`: nothing comes through, and nobody says so.
usage: ./dev faults network [--seconds S] [--rate R] [--only source,sink,both,cassandra] [--how cut,silent]"""

import argparse
import contextlib
import os
import pathlib
import sys
import tempfile
import time

from faults.common import Outcome, World, pipeline, report, servers, sink_yaml
from servers.cassandra import Cassandra
from servers.proxy import Proxy
from servers.runner import Millrace

LIMIT_S = 60
HOW = ("cut", "silent")
SIDES = ("source", "sink", "both")
CASSANDRA_ROWS = 12_000

SCAN = """name: scan
sources:
  - name: rows
    cassandra:
      hosts: 127.0.0.1:{port}
      table: {table}
      consistency: one
      page: 200
      compression: false
      ranges: 8
sinks:
  - name: out
    postgres: {{url: "${{PG_URL}}", table: public.copy, create: true}}
settings:
  state: "${{STATE}}"
  checkpoint: {{interval: 100ms}}
"""


def take_away(proxies, how):
    for proxy in proxies:
        if how == "silent":
            proxy.freeze()
        else:
            proxy.refuse()
            proxy.cut()


def give_back(proxies):
    for proxy in proxies:
        proxy.refuse(False)
        proxy.thaw()


def note_of(seconds):
    return f"all there {seconds:.1f} s after the network was back"


def run(kafka, postgres, folder, side, how, seconds, rate=3000):
    """Trades from Kafka into PostgreSQL go on; the outcome, and seconds until all of the meantime had arrived."""
    with Proxy("127.0.0.1", postgres.port) as database, World(kafka, postgres, folder, "append", rate, database) as world:
        cut = {"source": [kafka.proxy], "sink": [database], "both": [kafka.proxy, database]}[side]
        world.program.env["KAFKA_BROKERS"] = kafka.proxied
        running = world.program.start(pipeline(world.topic, sink_yaml("append")))
        world.stream.start()
        try:
            world.wait_for_rows(running, 1)
            take_away(cut, how)
            time.sleep(seconds)  # the outage
        finally:
            give_back(cut)
        back, count = time.monotonic(), world.stream.count
        world.wait_for_rows(running, count, 4 * LIMIT_S)
        took = time.monotonic() - back
        count = world.stream.finish()
        world.wait_for_rows(running, count, 4 * LIMIT_S)
        running.terminate().expect(0)
        return world.outcome(f"network, {side} {how}", 1, note_of(took)), took


def fill(cassandra, keyspace, rows):
    table = f"{keyspace}.wide"
    cassandra.create_keyspace(keyspace)
    cassandra.cql(f"CREATE TABLE {table} (p int, c int, v text, PRIMARY KEY (p, c))")
    cassandra.cql_many(f"INSERT INTO {table} (p, c, v) VALUES (?, ?, ?)",
                       ((i % 40, i // 40, f"value {i:050d}") for i in range(rows)))
    return table


def run_cassandra(cassandra, postgres, folder, how, seconds, rows=CASSANDRA_ROWS):
    """A scan of a table, in the middle of which the node is away."""
    name, begun = f"n{os.getpid()}_{time.monotonic_ns()}", time.monotonic()
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(Proxy("127.0.0.1", cassandra.port))
        program = Millrace(pathlib.Path(folder) / name, {"PG_URL": postgres.create_database(name)})
        stack.callback(postgres.drop_database, name)
        stack.callback(program.stop_all)
        table = fill(cassandra, name, rows)
        stack.callback(cassandra.drop_keyspace, name)
        proxy.freeze_after(300_000)  # of about 900,000
        running = program.start(SCAN.format(port=proxy.port, table=table), "--once")
        running.wait_for(proxy.frozen, 60, "the middle of the table")
        if how == "cut":
            proxy.refuse()
            proxy.cut()
            proxy.thaw()
        time.sleep(seconds)  # the outage
        give_back([proxy])
        back = time.monotonic()
        running.wait(4 * LIMIT_S).expect(0)
        took = time.monotonic() - back
        found, distinct = postgres.sql("SELECT count(*), count(DISTINCT (p, c)) FROM copy", database=name)[0]
        return Outcome(f"network, cassandra {how}", 1, rows, rows - distinct, found - distinct, 0,
                       time.monotonic() - begun, note_of(took)), took


def within_the_limit(pair, late):
    outcome, took = pair
    if took > LIMIT_S:
        late.append(outcome.name)
    return outcome


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults network", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=int, default=3000)
    parser.add_argument("--only", type=lambda names: names.split(","), default=[*SIDES, "cassandra"])
    parser.add_argument("--how", type=lambda names: names.split(","), default=HOW)
    options = parser.parse_args(arguments)
    late = []
    with servers() as (kafka, postgres, folder), contextlib.ExitStack() as stack:
        runs = [lambda side=side, how=how: within_the_limit(
            run(kafka, postgres, folder, side, how, options.seconds, options.rate), late)
            for side in SIDES if side in options.only for how in options.how]
        if "cassandra" in options.only:
            node = stack.enter_context(Cassandra(stack.enter_context(tempfile.TemporaryDirectory()) + "/node"))
            runs += [lambda how=how: within_the_limit(run_cassandra(node, postgres, folder, how, options.seconds), late)
                     for how in options.how]
        status = report(runs)
    for name in late:
        print(f"{name}: it took longer than {LIMIT_S} s")
    return status or bool(late)


if __name__ == "__main__":
    sys.exit(main())
