# SPDX-License-Identifier: Apache-2.0
"""Deletes of many rows (`_range`) on their way through a pipeline."""

import json

import pytest

from changes import bounds, plugins, write
from pipelines import ENDING, dead_letters

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
    changes: {{path: in.jsonl, columns: {COLUMNS}{source if "bounds" in source else source + ", bounds: at"}}}
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


LETTERS = """transforms:
  - name: numbers
    select: {set: {n: %s, op: _op, written: _timestamp}%s}
sinks:
  - name: out
    %s
dead_letter:
  originals: keep
  file: {path: rejected.jsonl}
"""
TIME = 1700000000000001
REFUSED = [row("x", 1, 9), {**row("x", 2, None, "delete"), "_timestamp": TIME}, many("x", lower=3)]


def replayed(millrace, code, late="", rename="", sink="file: {path: out.jsonl}"):
    """Rows that a stage refuses, sent again through a file in which it does not."""
    env = plugins(millrace)
    millrace.run(pipeline(LETTERS % ("CAST(k AS int64)", rename, sink), late), env=env).expect(4)
    changes = [letter["change"] for letter in dead_letters(millrace)]
    right = millrace.write("right.yaml", pipeline(LETTERS % ("7", rename, sink), late))
    millrace.command("replay", right, "rejected.jsonl", env=env).expect(code)
    return changes


@pytest.mark.parametrize("late", ["", ", late: true"])
def test_a_replayed_letter_means_what_its_row_meant(millrace, late):
    """Also where only the data tells the columns."""
    write(millrace, [row("1", 1, 1), *REFUSED[:2 if late else 3]])
    bounds_, rename = (", bounds: []", "") if late else ("", ", rename: {_range: range}")
    changes = replayed(millrace, 0, late + bounds_, rename)
    assert [c["op"] for c in changes] == ["insert", "delete", "delete"][:len(changes)]
    sent = [(r["at"], r["op"], r.get("range"), r["written"]) for r in lines(millrace, "out.jsonl")[1:]]
    assert sent == [(1, "insert", None, None), (2, "delete", None, "2023-11-14T22:13:20.000001Z"),
                    (None, "delete", REFUSED[2]["_range"], None)][:2 if late else 3]


def test_bounds_of_columns_that_nobody_knows_are_not_replayed(millrace):
    write(millrace, [row("1", 1, 1), *REFUSED])
    changes = replayed(millrace, 4, ", late: true", sink="null: {}")
    assert changes[2]["range"] == REFUSED[2]["_range"]
    assert "declare `columns`" in dead_letters(millrace)[3]["message"]
