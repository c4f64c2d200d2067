# SPDX-License-Identifier: Apache-2.0
"""The sink stands still while the source has plenty: memory must stay flat and under
settings.memory + 64 MiB. usage: ./dev faults memory [--rows N] [--seconds S]"""

import argparse
import sys
import time

from faults.common import PARTITIONS, World, pipeline, report, servers, sink_yaml
from servers import trades
from servers.proxy import Proxy

MEMORY_MIB = 256
EXTRA_MIB = 64
GROWTH_MIB = 16  # allowed between the middle and the end of the standstill
EVERY_S = 0.1


def watch(running, seconds):
    """Resident sizes in MiB, one each EVERY_S."""
    sizes, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        sizes.append(running.rss() / (1 << 20))
        time.sleep(EVERY_S)
    return sizes


def run(kafka, postgres, folder, rows, seconds):
    """Freezes the way to the database, watches, lets go, compares."""
    with Proxy("127.0.0.1", postgres.port, postgres=True) as proxy:
        with World(kafka, postgres, folder, "append", proxy=proxy) as world:
            kafka.produce(world.topic, ({"value": trades.message(i), "partition": i % PARTITIONS}
                                        for i in range(rows)))
            world.stream.count, world.stream.finish = rows, lambda: rows
            running = world.program.start(
                pipeline(world.topic, sink_yaml("append"), "1s", f"{MEMORY_MIB}MiB"))
            world.wait_for_rows(running, 1)
            proxy.freeze()
            sizes = watch(running, seconds)
            proxy.thaw()
            world.wait_for_rows(running, rows, 180)
            sizes.append(running.rss() / (1 << 20))
            running.terminate().expect(0)
            stood = sizes[:-1]
            middle, last = max(stood[:len(stood) // 2]), max(stood[len(stood) // 2:])
            note = (f"peak {max(sizes):.0f} MiB, limit {MEMORY_MIB + EXTRA_MIB} MiB, second half"
                    f" {last - middle:+.0f} MiB")
            outcome = world.outcome("sink stopped", 1, note)
            outcome.wrong += max(sizes) > MEMORY_MIB + EXTRA_MIB
            outcome.wrong += last - middle > GROWTH_MIB
            return outcome


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--n", type=int, help="taken for the sake of the other runs, not used")
    options = parser.parse_args(arguments)
    with servers() as (kafka, postgres, folder):
        return report([lambda: run(kafka, postgres, folder, options.rows, options.seconds)])


if __name__ == "__main__":
    sys.exit(main())
