# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of a pipeline into the StarRocks stand-in, each fault of the stand-in on
in turn; then each kind of spoiled answer --answers times, without kills, each named in the log.
usage: ./dev faults starrocks [--n N] [--answers N] [--seed S] [--only STEP-ACTION,...]"""

import argparse
import contextlib
import functools
import pathlib
import random
import sys
import time

from faults.common import PARTITIONS, Outcome, Stream, compare_rows, pipeline, report, run_folder, wanted_rows
from faults import starrocks_answers
from servers import trades
from servers.kafka import Kafka
from servers.runner import Millrace
from servers.starrocks import StarRocks

RATE = 1500  # rows a second: the stand-in reads rows in Python
EARLIEST_MS, LATEST_MS = 50, 600
HIT_WITHIN, AFTER_HIT = 3.0, 0.4  # seconds: of every second kill, so that it meets a spoiled answer
KNOBS = [("none", "none"), ("begin", "drop_after"), ("load", "drop_after"), ("load", "half"),
         ("load", "fail"), ("prepare", "drop_before"), ("prepare", "drop_after"),
         ("prepare", "late"), ("commit", "drop_before"), ("commit", "drop_after"),
         ("commit", "late"), ("commit", "fail"), ("commit", "fail_after"), ("commit", "http"),
         ("commit", "http_after"), ("commit", "hang"), ("commit", "half"), ("state", "drop_before"),
         ("fe", "http"), ("fe", "unreachable"), ("put", "drop_before"), ("put", "drop_after"),
         ("put", "late"), ("put", "half"), ("put", "fail_after"), ("put", "http_after"),
         ("multi-begin", "drop_after"), ("multi-load", "drop_after"), ("multi-commit", "drop_before"),
         ("multi-commit", "drop_after"), ("multi-commit", "late"), ("multi-commit", "half")]

SINK = """    starrocks:
      url: {url}
      sql_port: {port}
      password: secret
      table: db.trades
      request_timeout: 1s
      load: {load}
"""


def found_rows(server):
    return [tuple(row[f] for f in trades.FIELDS) for row in server.rows("db.trades")]


def until_kill(server, chance, spoiled):
    """Sleeps until the next kill: at any moment, or (spoiled) soon after an answer was spoiled."""
    before, limit = len(server.hit), time.monotonic() + HIT_WITHIN
    if not spoiled:
        time.sleep(chance.uniform(EARLIEST_MS, LATEST_MS) / 1000)
        return
    while len(server.hit) == before and time.monotonic() < limit:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, AFTER_HIT))


def run(kafka, folder, step, action, kills, seed):
    """Kills the program `kills` times while answers fail, lets it finish, compares."""
    chance = random.Random(f"{seed}-{step}-{action}")
    name, begun = f"sr{time.monotonic_ns()}", time.monotonic()
    topic = kafka.create_topic(name, PARTITIONS)
    stream = Stream(kafka, topic, RATE, False)
    load, step = ("multi", step[6:]) if step.startswith("multi-") else ("transaction", step)
    with StarRocks(version="4.0.1-stand-in") as server:
        columns = ", ".join(f"`{f}` BIGINT" for f in trades.FIELDS)
        server.create(f"CREATE TABLE db.trades ({columns}) DUPLICATE KEY (trade_id)")
        program = Millrace(pathlib.Path(folder) / name, {"KAFKA_BROKERS": kafka.brokers})
        text = pipeline(topic, SINK.format(
            url=server.fe_url, port=server.mysql.port,
            load="labelled" if step == "put" else load))
        try:
            stream.start()
            for i in range(kills):
                if step != "none":
                    server.fault(step, action, times=2, skip=chance.randrange(2), status=503,
                                 delay=chance.uniform(0.05, 0.5), message="try again")
                running = program.start(text, "--quiet")
                until_kill(server, chance, step != "none" and i % 2 == 1)
                running.kill()
            count = stream.finish()
            server.faults.clear()
            time.sleep(0.6)  # what is late may land
            program.run(text, timeout=120).expect(0)
        finally:
            stream.done.set()
            program.stop_all()
        lost, duplicated, wrong = compare_rows(found_rows(server), wanted_rows(count, False))
        left = sum(state not in ("VISIBLE", "ABORTED") for state in server.states().values())
        return Outcome(f"{'multi ' * (load == 'multi')}{step}, {action}", kills, count, lost, duplicated, wrong + left,
                       time.monotonic() - begun, f"seed {seed}, {len(server.hit)} answers spoiled")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="./dev faults starrocks", description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--answers", type=int, default=50)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", type=lambda names: names.split(","))
    options = parser.parse_args(arguments)
    each = max(1, options.n // len(KNOBS))
    knobs = [k for k in KNOBS if not options.only or "-".join(k) in options.only]
    answers = [a for a in starrocks_answers.ANSWERS
               if options.answers and (not options.only or a.name in options.only)]
    with run_folder() as folder, contextlib.ExitStack() as stack:
        runs = [functools.partial(starrocks_answers.run, folder, a, options.answers, options.seed)
                for a in answers]
        if options.n and knobs:
            kafka = stack.enter_context(Kafka(f"{folder}/kafka", heap="1g"))
            runs[:0] = [functools.partial(run, kafka, folder, *knob, each, options.seed)
                        for knob in knobs]
        return report(runs)


if __name__ == "__main__":
    sys.exit(main())
