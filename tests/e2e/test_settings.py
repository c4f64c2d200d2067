# SPDX-License-Identifier: Apache-2.0
"""settings and overrides: what a user who writes them sees."""

import json

FOLLOW = """name: follow
sources:
  - name: lines
    file: {path: in.jsonl, format: jsonl, mode: follow, columns: {id: int64}}
sinks:
  - name: out
    file: {path: out.jsonl}
settings:
  checkpoint: {interval: 1h}
  batch: {rows: 8192, linger: %s}
  state: "${STATE}"
"""


def rows(millrace):
    path = millrace.folder / "out.jsonl"
    return [json.loads(line)["id"] for line in path.read_text().splitlines()] if path.exists() else []


def append(millrace, n):
    with open(millrace.folder / "in.jsonl", "a") as out:
        out.write(f'{{"id": {n}}}\n')


def test_linger_commits_the_rows_of_a_silent_source(millrace):
    """Batches are far from full and the next checkpoint is an hour away."""
    append(millrace, 1)
    running = millrace.start(FOLLOW % "50ms")
    for n in (1, 2, 3):
        running.wait_for(lambda: rows(millrace) == list(range(1, n + 1)), what=f"row {n}")
        append(millrace, n + 1)
    running.wait_for(lambda: rows(millrace) == [1, 2, 3, 4], what="the last row")
    assert running.terminate().code == 0
    assert rows(millrace) == [1, 2, 3, 4]


OVERRIDDEN = """name: overridden
sources:
  - name: made
    generate: {kind: trades, rows: "${NO_SUCH_ROWS}"}
sinks:
  - name: out
    file: {path: "${NO_SUCH_PATH:?where to}"}
settings:
  state: "${STATE}"
"""


def test_an_override_rescues_an_unset_variable(millrace):
    env = {"MILLRACE_SET_OUT__PATH": "there.jsonl"}
    refused = millrace.run(OVERRIDDEN, env=env).expect(2)
    assert "NO_SUCH_ROWS" in refused.err and "NO_SUCH_PATH" not in refused.err
    millrace.run(OVERRIDDEN, "--set", "made.rows=7", env=env).expect(0)
    assert len(millrace.read("there.jsonl").splitlines()) == 7
