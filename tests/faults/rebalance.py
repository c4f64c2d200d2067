# SPDX-License-Identifier: Apache-2.0
"""Two or three members of a consumer group share a topic while members join, are stopped, killed, or
sleep past their session and wake up. usage: ./dev faults rebalance [--n ROUNDS] [--seed S]
[--kinds append,upsert,two_phase,idempotent]"""

import argparse
import functools
import itertools
import random
import signal
import sys
import time

from faults.common import PARTITIONS, World, pipeline, report, servers, sink_yaml
from servers import trades
from servers.process import wait_until
from servers.runner import BINARY, Millrace

SESSION_S = 3.0
RATE = 4000
FEWEST, MOST = 2, 3
EVENTS = ("join", "stop", "kill", "sleep")
GROUP = """      group: {topic}
      members: many
      rdkafka: {{session.timeout.ms: {session}, heartbeat.interval.ms: 300}}
      start: earliest
"""
LANDING = """    landing_{kind}:
      url: "${{PG_URL}}"
      table: trades
      prefix: {prefix}
"""
SHARED = ("two_phase", "idempotent")  # their positions are in the database that all members share


class Members:
    """The processes of one group; each has a folder of its own."""

    def __init__(self, world):
        self.world, self.running = world, []
        self.numbers = itertools.count(1)
        sink = (LANDING.format(kind=world.kind, prefix=world.name) if world.kind in SHARED
                else sink_yaml(world.kind))
        group = GROUP.format(topic=world.topic, session=int(SESSION_S * 1000))
        self.text = pipeline(world.topic, sink).replace("      start: earliest\n", group)
        self.wrong = []

    def join(self):
        program = Millrace(self.world.folder / f"m{next(self.numbers)}", self.world.program.env)
        program.env["STATE"] = (self.world.url if self.world.kind in SHARED
                                else str(program.folder / "state"))
        program.env["MILLRACE_PLUGIN_PATH"] = str(BINARY.parent / "tests" / "plugin" / "landing")
        self.running.append(program.start(self.text))
        self.world.program.runs.append(self.running[-1])

    def look(self):
        """Takes those off the list that ended by themselves: none may."""
        for member in [m for m in self.running if not m.alive()]:
            self.running.remove(member)
            ended = member.wait()
            self.wrong.append(f"exit code {ended.code}: {ended.err[-1500:]}")

    def stop(self, member):
        self.running.remove(member)
        early = not member.log  # it may not have come to hear SIGTERM yet
        code = member.terminate(60).code
        if code != 0 and not (early and code == -signal.SIGTERM):
            self.wrong.append(f"exit code {code}: {member.log[-1500:]}")

    def kill(self, member):
        self.running.remove(member)
        member.kill()

    def sleep(self, member, seconds):
        """A zombie: it wakes up when its lanes are long with others."""
        member.signal(signal.SIGSTOP)
        time.sleep(seconds)
        member.signal(signal.SIGCONT)

    def happen(self, event, chance):
        """Lets the event happen if the number of members allows it, and keeps enough of them."""
        self.look()
        while len(self.running) < FEWEST:
            self.join()
        if event == "join" and len(self.running) >= MOST:
            event = "kill"
        member = chance.choice(self.running)
        if event == "join":
            self.join()
        elif event == "sleep":
            self.sleep(member, SESSION_S + chance.uniform(1, 3))
        else:
            getattr(self, event)(member)
        time.sleep(chance.uniform(0.2, 2.5))


def prepare_tables(world):
    world.sql("CREATE TABLE labels(label text PRIMARY KEY)")
    world.sql("CREATE TABLE tokens(token text PRIMARY KEY)")


def roll_back_rest(world):
    """What was prepared and never recorded: its process died in between."""
    for (gid,) in world.sql("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        world.sql(f"ROLLBACK PREPARED '{gid}'")


def tell(world):
    """What is missing, for whoever looks for the reason."""
    found = {row[0] for row in world.found_rows()}
    gone = [i for i in range(world.stream.count) if trades.FIRST_TRADE + i not in found]
    places = [(i % PARTITIONS, i // PARTITIONS) for i in gone]
    return f", counted {world.rows_counted()}, missing (partition, number) {places[:3]} to {places[-3:]}"


def settle(world, members):
    """The stream ends; the members that are left finish it. Nobody may have ended by himself."""
    count = world.stream.finish()
    members.look()
    if not members.running:
        members.join()
    wait_until(lambda: members.look() or world.rows_counted() >= count or not members.running,
               180, f"{count} rows")
    for member in list(members.running):
        members.stop(member)


def run(kafka, postgres, folder, kind, rounds, seed):
    """One round: each of the events, in random order."""
    chance = random.Random(f"{seed}-{kind}")
    with World(kafka, postgres, folder, kind, rate=RATE) as world:
        prepare_tables(world)
        members, faults = Members(world), 0
        members.join()
        world.stream.start()
        world.wait_for_rows(members.running[0], 1)
        for _ in range(rounds):
            for event in chance.sample(EVENTS, len(EVENTS)):
                members.happen(event, chance)
                faults += 1
        settle(world, members)
        roll_back_rest(world)
        outcome = world.outcome(f"rebalance, {kind}", faults, f"seed {seed}")
        if not outcome.good:
            outcome.note += tell(world)
        if members.wrong:
            outcome.wrong += len(members.wrong)
            outcome.note += f", {len(members.wrong)} members ended by themselves"
            print("\n".join(members.wrong), file=sys.stderr)
        return outcome


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults rebalance", description=__doc__)
    parser.add_argument("--n", type=int, default=20, help="rounds of four events each")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kinds", default="append,upsert,two_phase,idempotent")
    options = parser.parse_args(arguments)
    with servers() as where:
        return report([functools.partial(run, *where, kind, options.n, options.seed)
                       for kind in options.kinds.split(",")])


if __name__ == "__main__":
    sys.exit(main())
