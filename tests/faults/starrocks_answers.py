# SPDX-License-Identifier: Apache-2.0
"""Answers of the StarRocks stand-in that are spoiled while rows come: lost, late, refused, cut, labels that
exist already, redirects to nowhere. Each comes many times, with transactions and with plain loads."""

import dataclasses
import json
import pathlib
import random
import re
import time

from faults.common import Outcome
from servers.runner import Millrace
from servers.starrocks import OPEN, StarRocks

WAIT = 120  # s for one batch of rows: a machine may be slow
STEPS = {"transaction": ("begin", "load", "prepare", "commit"), "labelled": ("put",)}

PIPELINE = """name: answers
sources:
  - name: in
    file: {{path: in.jsonl, format: jsonl, mode: follow, columns: {{id: int64}}}}
sinks:
  - name: out
    starrocks:
      url: {url}
      sql_port: {port}
      password: secret
      table: db.t
      load: {load}
      request_timeout: 1s
settings:
  state: "${{STATE}}"
  checkpoint: {{interval: 20ms}}
"""


@dataclasses.dataclass
class Answer:
    name: str
    action: str
    logged: str       # what the log must say of it
    more: dict = dataclasses.field(default_factory=dict)
    steps: dict = dataclasses.field(default_factory=lambda: STEPS)


def _exists(state, logged, load):
    step = {"transaction": ("begin",), "labelled": ("put",)}[load]
    return Answer(f"exists-{state.lower()}-{load}", "exists", logged, {"text": state, "delay": 0.3},
                  {load: step})


ANSWERS = [
    Answer("lost", "drop_after", "nothing|empty|reset|closed|transfer"),
    Answer("late", "late", "nothing|empty|reset|closed|transfer", {"delay": 0.4}),
    Answer("500", "http", "HTTP status 500", {"status": 500}),
    Answer("503", "http", "HTTP status 503", {"status": 503}),
    Answer("429", "http", "HTTP status 429", {"status": 429}),
    Answer("hang", "hang", "[Tt]ime", {"delay": 1.5}),
    Answer("half", "half", "[Tt]ransferred a partial file"),
    Answer("unreachable", "unreachable", "127.0.0.1:1\\b",
           steps={"transaction": ("fe",), "labelled": ("fe",)}),
    *(_exists(state, "is in use already", "transaction")
      for state in ("PREPARE", "PREPARED", "VISIBLE", "ABORTED")),
    *(_exists(state, logged, "labelled") for state, logged in (
        ("PREPARE", "has not ended yet"), ("PREPARED", "has not ended yet"),
        ("VISIBLE", "has landed all the same"), ("ABORTED", "Label Already Exists"),
        ("UNKNOWN", "Label Already Exists"))),
]


def spoil(server, running, file, answer, load, faults, chance):
    """Rows come a few at a time, and each time an answer is spoiled. Gives the number of rows."""
    rows = 0
    for _ in range(faults):
        fault = server.fault(chance.choice(answer.steps[load]), answer.action,
                             **{"delay": 0.3, **answer.more})
        while True:
            with open(file, "a") as out:
                out.write("".join(json.dumps({"id": rows + i}) + "\n" for i in range(5)))
            rows += 5
            running.wait_for(lambda: len(server.rows("db.t")) >= rows, WAIT, f"{rows} rows")
            if not fault.times:
                break  # else the step was not asked for: a commit that was settled by its label
    return rows


def run_load(folder, answer, load, faults, chance):
    """(rows, ids that arrived, lines of the log that name the fault, transactions left open)"""
    program = Millrace(pathlib.Path(folder) / f"answers{time.monotonic_ns()}")
    with StarRocks() as server:
        server.create("CREATE TABLE db.t (id BIGINT) DUPLICATE KEY (id)")
        running = program.start(PIPELINE.format(url=server.fe_url, port=server.mysql.port, load=load))
        try:
            (program.folder / "in.jsonl").touch()
            rows = spoil(server, running, program.folder / "in.jsonl", answer, load, faults, chance)
            time.sleep(1)  # what is late, and what would come twice
            ended = running.terminate()
        finally:
            program.stop_all()
        strangers = answer.action == "exists" and load == "transaction"
        # a begin that comes late leaves an empty transaction, which nobody can know of
        left = sum(txn.state in OPEN and bool(txn.loads) for txn in server.labels["db"].values())
        named = len(re.findall(answer.logged, ended.err))
        return rows, [r["id"] for r in server.rows("db.t")], named, 0 if strangers else left


def run(folder, answer, faults, seed):
    begun, chance = time.monotonic(), random.Random(f"{seed}-{answer.name}")
    total = lost = doubled = wrong = 0
    notes = []
    shares = list(answer.steps)
    for i, load in enumerate(shares):
        times = faults // len(shares) + (i < faults % len(shares))
        rows, found, named, left = run_load(folder, answer, load, times, chance)
        total += rows
        lost += len(set(range(rows)) - set(found))
        doubled += len(found) - len(set(found))
        wrong += left + max(0, times - named)
        notes.append(f"{load}: {times}, named {named} times")
    return Outcome(f"answer {answer.name}", faults, total, lost, doubled, wrong,
                   time.monotonic() - begun, "; ".join(notes))
