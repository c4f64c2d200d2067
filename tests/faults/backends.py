# SPDX-License-Identifier: Apache-2.0
"""The database fails under a running pipeline: backends terminated, COMMITs whose answer is lost,
late or never sent, a backend that is stopped, a table that others alter. usage: ./dev faults backends [--n N] [--seed S]"""

import argparse
import os
import random
import signal
import sys
import time
from functools import partial

from faults.common import World, pipeline, report, servers, sink_yaml
from servers.proxy import FAULTS, Proxy

DEADLINE_S = 2.0
SLACK_S = 2.0
DEADLINES = "      statement_timeout: 2s\n      commit_timeout: 2s\n"


def finish(world, running, name, faults, note=""):
    """Waits until everything has arrived, stops the pipeline, compares."""
    count = world.stream.finish()
    world.wait_for_rows(running, count, 120)
    running.terminate().expect(0)
    return world.outcome(name, faults, note)


def terminated(kafka, postgres, folder, mode, count, seed):
    """pg_terminate_backend at random moments."""
    chance = random.Random(f"{seed}-terminate-{mode}")
    with World(kafka, postgres, folder, mode) as world:
        running = world.program.start(pipeline(world.topic, sink_yaml(mode)))
        world.stream.start()
        done = 0
        while done < count:
            running.wait_for(world.backends, 60, "a connection")
            time.sleep(chance.uniform(5, 150) / 1000)
            done += sum(world.sql("SELECT pg_terminate_backend(%s)", pid)[0][0]
                        for pid in world.backends()[:count - done])
        return finish(world, running, f"terminated, {mode}", done, f"seed {seed}")


def broken_commits(kafka, postgres, folder, fault, count):
    """Every third COMMIT meets the fault until there were enough."""
    with Proxy("127.0.0.1", postgres.port, postgres=True) as proxy:
        with World(kafka, postgres, folder, "append", proxy=proxy) as world:
            running = world.program.start(pipeline(world.topic, sink_yaml("append", DEADLINES)))
            world.stream.start()
            world.wait_for_rows(running, 1)
            proxy.break_commits(count, fault, every=3)
            running.wait_for(lambda: proxy.left == 0, 300, f"{count} broken commits")
            return finish(world, running, f"COMMIT, {fault}", proxy.cut_commits)


def stopped(kafka, postgres, folder, count):
    """SIGSTOP of the backend: the pipeline must notice by its own deadline, and go on."""
    longest = 0.0
    with World(kafka, postgres, folder, "append") as world:
        running = world.program.start(pipeline(world.topic, sink_yaml("append", DEADLINES)))
        world.stream.start()
        for _ in range(count):
            world.wait_for_rows(running, world.rows_counted() + 1)
            [pid, *_] = running.wait_for(world.backends, 60, "a connection")
            begin = time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            try:
                running.wait_for(lambda: set(world.backends()) - {pid}, 60, "a new connection")
                longest = max(longest, time.monotonic() - begin)
            finally:
                os.kill(pid, signal.SIGCONT)
        note = f"noticed after {longest:.1f} s at most, deadline {DEADLINE_S:.0f} s"
        outcome = finish(world, running, "backend stopped", count, note)
        outcome.wrong += longest > DEADLINE_S + SLACK_S
        return outcome


def crashed(kafka, postgres, folder, count):
    """The server crashes (SIGQUIT: no shutdown checkpoint) and comes back."""
    with World(kafka, postgres, folder, "append") as world:
        running = world.program.start(pipeline(world.topic, sink_yaml("append")))
        world.stream.start()
        for _ in range(count):
            world.wait_for_rows(running, world.rows_counted() + 1)
            postgres.stop(signal.SIGQUIT)
            time.sleep(0.3)
            postgres.start()
        return finish(world, running, "server crashed", count)


def alter(world, change):
    """True unless the server chose this statement as the victim of a deadlock."""
    import psycopg
    try:
        world.sql(f"ALTER TABLE trades {change}")
        return True
    except psycopg.errors.DeadlockDetected:
        return False


def altered(kafka, postgres, folder, seconds, least=4):
    """Four writers of one table, by upsert, while its columns come and go."""
    with World(kafka, postgres, folder, "upsert", rate=5000) as world:
        text = pipeline(world.topic, sink_yaml("upsert"))
        running = world.program.start(
            text.replace("  - name: out\n", "  - name: out\n    parallel: 4\n"))
        world.stream.start()
        world.wait_for_rows(running, 1)
        end, changes, victims = time.monotonic() + seconds, 0, 0
        while changes < least or time.monotonic() < end:
            for change in ("ADD COLUMN IF NOT EXISTS extra int DEFAULT 1",
                           "DROP COLUMN IF EXISTS extra"):
                done = alter(world, change)
                changes, victims = changes + done, victims + (not done)
            world.wait_for_rows(running, world.rows_counted() + 1)  # nobody is stuck
        found = running.log.count("40P01") + victims
        return finish(world, running, "ALTER TABLE, 4 writers", changes,
                      f"{found} deadlocks (40P01), tried again")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults backends", description=__doc__)
    parser.add_argument("--n", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=60, help="of the run `altered`")
    parser.add_argument("--only", type=lambda names: names.split(","),
                        help="terminated-append, terminated-upsert, swallow, late, drop, half_open, stopped, crashed, altered")
    options = parser.parse_args(arguments)
    few = max(1, options.n // 10)
    with servers() as where:
        runs = {f"terminated-{mode}": partial(terminated, *where, mode, options.n, options.seed)
                for mode in ("append", "upsert")}
        runs |= {fault: partial(broken_commits, *where, fault, few if fault == "half_open"
                                else options.n) for fault in FAULTS}
        runs |= {"stopped": partial(stopped, *where, few), "crashed": partial(crashed, *where, few),
                 "altered": partial(altered, *where, options.seconds)}
        return report([runs[name] for name in runs if not options.only or name in options.only])


if __name__ == "__main__":
    sys.exit(main())
