# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments while rows stream in. usage: ./dev faults kills [--n N]
[--seed S] [--kinds append,upsert,sqlite,clickhouse,kafka,kafka_lane]"""

import argparse
import contextlib
import functools
import random
import sys
import time

from faults.common import World, pipeline, report, servers, sink_yaml
from servers.clickhouse import Chdb

EARLIEST_MS, LATEST_MS = 5, 250
LATEST_KAFKA_MS = 600  # init_transactions waits for what the last kill left open


def run(kafka, postgres, folder, kind, kills, seed, clickhouse=None):
    """Kills the program `kills` times, lets it finish, compares."""
    chance = random.Random(f"{seed}-{kind}")
    latest = LATEST_KAFKA_MS if kind.startswith("kafka") else LATEST_MS
    with World(kafka, postgres, folder, kind, clickhouse=clickhouse) as world:
        text = pipeline(world.topic, sink_yaml(kind))
        world.stream.start()
        ended = 0
        for _ in range(kills):
            running = world.program.start(text, "--quiet")
            time.sleep(chance.uniform(EARLIEST_MS, latest) / 1000)
            ended += not running.alive()
            running.kill()
        world.stream.finish()
        world.program.run(text, timeout=120).expect(0)
        note = f"seed {seed}" + (f", {ended} ended before their kill" if ended else "")
        outcome = world.outcome(f"kills, {kind}", kills, note)
        outcome.wrong += ended
        return outcome


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults kills", description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kinds", default="append,upsert,sqlite,clickhouse,kafka,kafka_lane")
    options = parser.parse_args(arguments)
    kinds = options.kinds.split(",")
    with servers() as (kafka, postgres, folder), contextlib.ExitStack() as more:
        clickhouse = None
        if "clickhouse" in kinds:
            clickhouse = more.enter_context(Chdb(f"{folder}/clickhouse"))
        return report([functools.partial(run, kafka, postgres, folder, kind, options.n, options.seed,
                                         clickhouse) for kind in kinds])


if __name__ == "__main__":
    sys.exit(main())
