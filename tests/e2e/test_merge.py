# SPDX-License-Identifier: Apache-2.0
"""Sources whose columns only their data tells merge when these agree; else the run ends and says how
they differ."""

import pytest

DECLARED = ", columns: {id: int64, x: int64}"
PIPELINE = """name: merge
sources:
  - name: one
    file: {{path: one.jsonl, format: json{one}}}
  - name: two
    file: {{path: two.jsonl, format: json{two}}}
transforms:
  - name: both
    filter: {{where: id > 0}}
sinks:
  - name: out
    file: {{path: out.jsonl}}
settings:
  state: "${{STATE}}"
"""


def run(millrace, one, two, declared_one="", declared_two=""):
    millrace.write("one.jsonl", one)
    millrace.write("two.jsonl", two)
    return millrace.run(PIPELINE.format(one=declared_one, two=declared_two))


@pytest.mark.parametrize("one, two", [("", ""), (DECLARED, ""), ("", DECLARED)])
def test_inputs_that_agree_merge(millrace, one, two):
    run(millrace, '{"id":1,"x":1}\n', '{"id":2,"x":2}\n', one, two).expect(0)
    assert sorted(millrace.read("out.jsonl").split()) == ['{"id":1,"x":1}', '{"id":2,"x":2}']


@pytest.mark.parametrize("two, words", [
    ('{"id":2,"x":2.5}', ["`x`", "int64", "float64"]),
    ('{"x":2,"id":2}', ["column 1", "`x`", "`id`"]),
    ('{"id":2}', ["has a column `x`", "has not"])])
def test_inputs_that_differ_are_named(millrace, two, words):
    result = run(millrace, '{"id":1,"x":1}\n', two + "\n")
    result.expect(2)
    for word in ["both: ", "`one`", "`two`", *words]:
        assert word in result.err, result.err
