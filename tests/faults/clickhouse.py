# SPDX-License-Identifier: Apache-2.0
"""Answers to INSERTs into ClickHouse (today's engine) are lost, late, cut, refused or wrong while
trades stream in. usage: ./dev faults clickhouse [--n N] [--only FAULT,...]"""

import argparse
import functools
import re
import sys
import time

from faults.common import World, pipeline, report, servers, sink_yaml
from servers.clickhouse import PASSWORD, Chdb
from servers.http_faults import FAULTS, SHOWN, HttpFaults

RATE = 5000  # rows a second
SLOW = ("late", "hang")
LATE_S, DEADLINE = 0.8, "300ms"  # of those
PATIENCE_S = 600
TOLD_S = 30  # the log may tell of the last fault that much later


def named(log, fault):
    """How many lines of the log tell of the fault."""
    return len(re.findall(rf"INSERT at 127\.0\.0\.1:\d+: .*(?:{SHOWN[fault]})", log))


def run(kafka, postgres, folder, clickhouse, faults, count):
    """Every second INSERT meets a fault until there were `count` of each; then the program is
    killed, and what is left arrives."""
    timeout = DEADLINE if set(faults) <= set(SLOW) else "60s"
    with HttpFaults(clickhouse.port) as proxy, World(
            kafka, postgres, folder, "clickhouse", RATE, clickhouse=clickhouse) as world:
        proxy.delay = LATE_S
        world.program.env["CLICKHOUSE_URL"] = clickhouse.database_url(world.name, proxy.port)
        text = pipeline(world.topic, f"{sink_yaml('clickhouse')}      insert_timeout: {timeout}\n")
        running = world.program.start(text)
        world.stream.start()
        for fault in faults:
            proxy.spoil(count, fault, every=2)
            running.wait_for(lambda: proxy.left == 0, PATIENCE_S, f"{count} times {fault}")
        world.stream.finish()
        told_by = time.monotonic() + TOLD_S
        while not all(named(running.log, fault) for fault in faults) and time.monotonic() < told_by:
            time.sleep(0.05)
        log = running.kill().err
        world.program.run(text, timeout=PATIENCE_S).expect(0)
        shown = [named(log, fault) for fault in faults]
        outcome = world.outcome(f"INSERT, {faults[0] if len(faults) == 1 else len(faults)}",
                                count * len(faults), f"named {min(shown)} times in the log")
        outcome.wrong += shown.count(0) + (PASSWORD in log)
        return outcome


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults clickhouse", description=__doc__)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--only", type=lambda names: names.split(","), help=", ".join(FAULTS))
    options = parser.parse_args(arguments)
    with servers() as (kafka, postgres, folder), Chdb(f"{folder}/clickhouse") as clickhouse:
        return report([functools.partial(run, kafka, postgres, folder, clickhouse, [fault], options.n)
                       for fault in options.only or FAULTS])


if __name__ == "__main__":
    sys.exit(main())
