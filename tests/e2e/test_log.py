# SPDX-License-Identifier: Apache-2.0
"""What `run` says on standard error: as text and as JSON, and rows that are followed through it."""

import json
import pathlib
import re

import pytest

from pipelines import LETTERS, block, kafka_source

KEY = "0123456789abcdef0123456789abcdef"


def lines_of(running):
    return [json.loads(line) for line in running.log.splitlines()]


def traced(column, *values):
    return f"  log: {{format: json}}\n  trace: {{column: {column}, values: [{', '.join(map(str, values))}]}}\n"


def ending(more=""):
    return f'settings:\n  state: "${{STATE}}"\n{more}'


def test_a_row_is_found_at_every_stage_by_its_id(kafka, topic, database, millrace):
    """grep of one id: read, passed by the transform, taken and durable at the sink, with the place of its batch."""
    name = topic(2)
    database.sql("CREATE TABLE t (id bigint CHECK (id <> 30), double bigint)")
    kafka.produce(name, [{"value": b'{"id":%d}' % i, "partition": i % 2} for i in range(100)])
    text = ("name: followed\n" + kafka_source(name, block({"id": "int64"}))
            + "transforms:\n  - name: doubled\n    select: {set: {double: 2 * id}}\n"
            + 'sinks:\n  - name: kept\n    postgres: {url: "${PG_URL}", table: public.t}\n' + LETTERS + ending(traced("id", 17, 30)))
    running = millrace.start(text, "--once")
    running.wait().expect(4)
    lines = lines_of(running)  # every line is JSON
    assert all(line["pipeline"] == "followed" and line["time"].endswith("Z") for line in lines)
    found = [json.loads(line) for line in running.log.splitlines() if '"id=17"' in line]
    assert [(x["kind"], x["stage"], x["event"]) for x in found if x["event"] != "taken"] == [
        ("source", "in", "read"), ("transform", "doubled", "passed"), ("sink", "kept", "durable")]
    assert any(x["event"] == "taken" for x in found)
    for line in found:
        assert line["source"] == "in" and line["lane"] == f"{name}/1" and line["position"] == "8"
        assert int(line["from"]) <= 8 < int(line["upto"])
    refused = [json.loads(line) for line in running.log.splitlines() if '"id=30"' in line]
    assert [x["message"] for x in refused if x["event"] == "refused"] == ["23514"]
    assert not any(x["event"] == "durable" for x in refused)
    assert not any("row" in line and line["row"] not in ("id=17", "id=30") for line in lines)


VALUES = {"uuid": "6b2f6a3e-7a5c-4e0e-9a0b-0a1b2c3d4e5f", "utf8": "Zürich \"1\"", "decimal(10,2)": "12.50", "uint64": "18446744073709551615",
          "date": "2026-01-28", "bool": "true"}


@pytest.mark.parametrize("kind", VALUES)
def test_values_of_many_types(millrace, kind):
    value = VALUES[kind]
    shown = value if kind in ("uint64", "bool", "decimal(10,2)") else json.dumps(value)
    millrace.write("rows.jsonl", "".join(f'{{"key":{v}}}\n' for v in (shown, "null")))
    done = millrace.run(f"""name: typed
sources:
  - name: in
    file:
      path: rows.jsonl
      format: jsonl
      columns:
        key: {kind}
sinks:
  - name: out
    null: {{}}
settings:
  state: "${{STATE}}"
  log: {{format: json}}
  trace: {{column: key, values: [{json.dumps(value)}, other]}}
""").expect(0)
    events = [json.loads(line) for line in done.err.splitlines() if '"row"' in line]
    assert [e["event"] for e in events] == ["read", "taken", "durable"]
    assert {e["row"] for e in events} == {f"key={value}"}


PEOPLE = """name: people
sources:
  - name: made
    generate: {kind: people, rows: 10}
transforms:
  - name: private
    mask: {key: "%s", rules: {notes: keep}}
sinks:
  - name: out
    null: {}
""" % KEY


@pytest.mark.parametrize("column, says", [
    ("email", "column `email` is masked in `private`"),
    ("nobody", "no stage has a column `nobody`"),
])
def test_a_column_that_must_not_stand_in_the_log(millrace, column, says):
    answer = millrace.check(PEOPLE + ending(f"  trace: {{column: {column}, values: [x]}}\n")).expect(2)
    assert "/settings/trace/column" in answer.err and says in answer.err
    assert millrace.run(PEOPLE + ending(f"  trace: {{column: {column}, values: [x]}}\n")).code == 2


def test_columns_that_only_the_data_tells_cannot_be_traced(millrace):
    text = "name: late\nsources:\n  - name: in\n    file: {path: rows.jsonl, format: jsonl}\nsinks:\n  - name: out\n    null: {}\n"
    answer = millrace.check(text + ending("  trace: {column: id, values: [1]}\n")).expect(2)
    assert "columns of `in` are not known before the run" in answer.err


def test_the_example(millrace):
    """That of docs/pipeline-file.md."""
    page = (pathlib.Path(__file__).parents[2] / "docs" / "pipeline-file.md").read_text()
    text = re.search(r"```yaml\n# followed.yaml\n(.*?)```", page, re.S)[1]
    wanted = re.search(r"followed.yaml 2>&1 \| grep '(.*)'", page)[1]
    found = [line for line in millrace.run(text).expect(0).err.splitlines() if wanted in line]
    assert [json.loads(line)["event"] for line in found] == ["read", "passed", "taken", "durable"]


def test_debug_tells_of_batches_and_commits(millrace):
    done = millrace.run(PEOPLE + ending("  log: {level: debug}\n")).expect(0)
    for line in ("made: read source=made lane=0 from=0 upto=10 rows=10", "private: passed source=made lane=0 from=0 upto=10 rows=10",
                 "out: taken source=made lane=0 from=0 upto=10 rows=10"):
        assert line in done.err
    assert "out: durable source=made lane=0 from=0 upto=10 unit=" in done.err
    assert "read source" not in millrace.run(PEOPLE + ending("  log: {level: info}\n").replace("STATE}", "STATE}2")).expect(0).err


def test_errors_are_lines_of_json_too_and_secrets_are_left_out(millrace):
    text = PEOPLE.replace("null: {}", 'postgres: {url: "postgresql://me:the-secret@127.0.0.1:1/x", table: public.t}')
    done = millrace.run(text + ending("  log: {format: json}\n")).expect(3)
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert lines[-1]["level"] == "error" and lines[-1]["message"]
    assert "the-secret" not in done.err
