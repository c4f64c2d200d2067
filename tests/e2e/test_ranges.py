# SPDX-License-Identifier: Apache-2.0
"""Deletes of many rows (`_range`) on their way through a pipeline."""

import json

import pytest

from changes import bounds, plugins, write
from pipelines import ENDING

COLUMNS = "{k: utf8, at: int64, v: int64}"


def row(k, at, v, op="insert"):
    return {"k": k, "at": at, "v": v, "_op": op}


def many(k, **given):
    """The delete of a partition, or of a part of it."""
    return {"k": k, "_op": "delete", "_range": {"at": bounds(**given) if given else None}}


def pipeline(rest, source=""):
    return f"""name: changes
sources:
  - name: in
    changes: {{path: in.jsonl, bounds: at, columns: {COLUMNS}{source}}}
{rest}{ENDING}"""


def lines(millrace, name):
    return [json.loads(line) for line in (millrace.folder / name).read_text().splitlines()]


@pytest.mark.parametrize("sink, late", [("file: {path: out.jsonl}", ""), ("file: {path: out.jsonl}", ", late: true"),
                                        ("kafka: {brokers: 127.0.0.1:1, topic: t}", "")])
def test_a_stage_that_does_not_know_them_is_refused(millrace, sink, late):
    write(millrace, [many("a")])
    name = sink[:sink.index(":")]
    text = pipeline(f"sinks:\n  - name: out\n    {sink}\n", late)
    said = f"(`_range`), and `{name}` would take each for a row; if that is meant, drop `_range` before: select: {{drop: _range}}"
    checked = millrace.command("check", millrace.write("p.yaml", text), env=plugins(millrace))
    assert checked.code == (0 if late else 2) and (late or said in checked.err)
    result = millrace.run(text, env=plugins(millrace)).expect(2)
    assert said in result.text and "out" in result.text
    whole = text.replace("sinks:", "transforms:\n  - {name: whole, select: {drop: _range}}\nsinks:")
    millrace.command("check", millrace.write("good.yaml", whole), env=plugins(millrace)).expect(0)


def test_a_delete_goes_into_each_branch_that_it_may_concern(millrace):
    deletes = [many("a"), many("b", lower=3, lower_inc=True), many("no")]
    write(millrace, [row("a", 1, 9), row("b", 2, 1), row("b", 3, None), *deletes])
    millrace.run(pipeline("""transforms:
  - name: large
    input: in
    when: v > 5 AND k <> 'no'
    select: {set: {op: _op}, rename: {_range: range}}
  - name: rest
    input: in
    when: otherwise
    select: {set: {op: _op}, rename: {_range: range}}
sinks:
  - name: a
    input: large
    file: {path: large.jsonl}
  - name: b
    input: rest
    file: {path: rest.jsonl}
"""), env=plugins(millrace)).expect(0)

    def seen(k, at, v, op, range_=None):
        return {"k": k, "at": at, "v": v, "op": op, "range": range_}
    both = [seen("a", None, None, "delete", {"at": None}),
            seen("b", None, None, "delete", deletes[1]["_range"])]
    assert sorted(lines(millrace, "large.jsonl"), key=str) == sorted(
        [seen("a", 1, 9, "insert"), *both], key=str)
    assert sorted(lines(millrace, "rest.jsonl"), key=str) == sorted(
        [seen("b", 2, 1, "insert"), seen("b", 3, None, "insert"), *both,
         seen("no", None, None, "delete", {"at": None})], key=str)
