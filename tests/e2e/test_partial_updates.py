# SPDX-License-Identifier: Apache-2.0
"""Partial updates: messages that carry only some columns, from the source to the table."""

import json
import random
import shutil
import sqlite3

import pytest

from pipelines import ENDING, LETTERS, dead_letters
from servers.runner import BINARY

COLUMNS = ("name", "email", "price", "quantity")
DEFAULTS = {"name": None, "email": None, "price": None, "quantity": 1}


def changes(seed, n, keys=50):
    """Messages: a key and some columns; a null is a value."""
    random_ = random.Random(seed)
    for _ in range(n):
        made = {"id": random_.randrange(keys)}
        for c in random_.sample(COLUMNS, random_.randrange(len(COLUMNS) + 1)):
            value = random_.randrange(1000)
            made[c] = f"{c} {value}" if c in ("name", "email") else value
            if c != "quantity" and random_.random() < 0.3:
                made[c] = None
        yield made


def play(messages):
    """What the table should have: the rows by key, with `total` computed where all of it is written."""
    model = {}
    for m in messages:
        if m.get("gone"):
            model.pop(m["id"], None)
            continue
        row = model.setdefault(m["id"], {**DEFAULTS, "total": None})
        row.update((c, v) for c, v in m.items() if c in DEFAULTS)
        if "price" in m and "quantity" in m:
            row["total"] = None if m["price"] is None else m["price"] * m["quantity"]
    return model


KAFKA = """name: changes
sources:
  - name: in
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: {topic}
      start: earliest
      format: json
      absent: unset
      key_columns: id
      columns: {{id: int64, name: utf8, email: utf8, price: int64, quantity: int64}}
transforms:
  - name: compute
    select:
      set: {{total: price * quantity}}
      rename: {{name: title}}
  - name: some
    filter: {{where: id < 45}}
  - name: privacy
    mask:
      key: 0123456789abcdef0123456789abcdef
      classify: off
      rules: {{email: partial(1)}}
sinks:
  - name: out
    postgres:
      url: "${{PG_URL}}"
      table: public.orders
      mode: upsert
      key: id
"""


def test_random_changes_through_kafka(kafka, topic, database, millrace):
    name = topic(1)
    database.sql("CREATE TABLE orders (id bigint PRIMARY KEY, title text, email text, price bigint,"
                 " quantity bigint NOT NULL DEFAULT 1, total bigint)")
    sent = []
    for wave in range(3):
        made = list(changes(wave, 2000))
        for i in range(0, len(made), 97):
            made[i] = {"id": made[i]["id"], "gone": True}
        kafka.produce(name, [
            {"key": json.dumps({"id": m["id"]}), "value": None if m.get("gone") else json.dumps(m)}
            for m in made])
        sent += made
        millrace.run(KAFKA.format(topic=name) + ENDING).expect(0)
        want = sorted(
            (k, r["name"], r["email"] and "***" + r["email"][-1], r["price"], r["quantity"], r["total"])
            for k, r in play(sent).items() if k < 45)
        got = database.sql("SELECT id, title, email, price, quantity, total FROM orders"
                           " ORDER BY id")
        assert got == want


FILE = """name: changes
sources:
  - name: in
    file: {path: in.jsonl, format: jsonl, absent: unset%s}
sinks:
  - name: out
    sqlite: {path: out.db, table: orders, mode: upsert, key: id, create: true, evolve: add}
""" + ENDING


def rows(millrace, query):
    connection = sqlite3.connect(millrace.folder / "out.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def write(millrace, name, messages):
    return millrace.write(name, "".join(json.dumps(m) + "\n" for m in messages))


def test_random_changes_from_a_file_with_columns_that_appear(millrace):
    made = [{**m, "quantity": m.get("quantity", 1)} for m in changes(9, 3000, 20)]
    write(millrace, "in.jsonl", [{k: v for k, v in m.items() if k != "email" or i > 2000}
                                 for i, m in enumerate(made)])
    millrace.run(FILE % "" + "  batch: {rows: 100}\n").expect(0)
    want = play([{k: v for k, v in m.items() if k != "email" or i > 2000}
                 for i, m in enumerate(made)])
    assert rows(millrace, "SELECT id, name, email, price, quantity FROM orders ORDER BY id") == [
        (k, *(want[k][c] for c in COLUMNS)) for k in sorted(want)]


def test_lines_leave_out_what_is_not_written(millrace):
    sent = [{"id": 1, "a": "x"}, {"id": 2, "a": None}, {"id": 3}, {"a": "y"}]
    write(millrace, "in.jsonl", sent)
    millrace.run("""name: copy
sources:
  - name: in
    file: {path: in.jsonl, format: jsonl, absent: unset, columns: {id: int64, a: utf8}}
sinks:
  - name: out
    file: {path: out.jsonl}
""" + ENDING).expect(0)
    got = [json.loads(line) for line in (millrace.folder / "out.jsonl").read_text().splitlines()]
    assert got == sent


NEEDS = """name: needs
sources:
  - name: in
    file: {path: in.jsonl, format: jsonl, absent: unset, columns: {id: int64, a: int64, ssn: utf8}}
%ssinks:
  - name: out
    postgres:
      url: "${PG_URL}"
      table: public.needs
      mode: upsert
      key: id
"""
MASK = """transforms:
  - name: privacy
    mask: {key: 0123456789abcdef0123456789abcdef, rules: {ssn: redact}}
"""


@pytest.mark.parametrize("mask, letters, ssn", [
    ("", LETTERS, "1"), (MASK, LETTERS.replace("keep", "drop"), "[redacted]")])
def test_a_new_key_that_lacks_a_column_is_a_letter(database, millrace, mask, letters, ssn):
    database.sql("CREATE TABLE needs (id bigint PRIMARY KEY, a bigint NOT NULL, ssn text)")
    database.sql("INSERT INTO needs VALUES (1, 10, 'old'), (2, 20, 'old')")
    write(millrace, "in.jsonl", [{"id": 1, "ssn": None}, {"id": 3, "ssn": "1"}, {"id": 2, "a": 21},
                                 {"id": 4, "a": 40}])
    text = NEEDS % mask + letters + ENDING
    millrace.run(text).expect(4)
    assert database.sql("SELECT * FROM needs ORDER BY id") == [
        (1, 10, None), (2, 21, "old"), (4, 40, None)]
    [letter] = dead_letters(millrace)
    assert letter["code"] == "23502" and "column a" in letter["message"]
    assert letter["row"] == {"id": 3, "ssn": ssn}
    # the key is there now: the letter says only what it said before
    database.sql("INSERT INTO needs VALUES (3, 30, 'old')")
    millrace.command("replay", millrace.write("again.yaml", text), "rejected.jsonl").expect(0)
    assert database.sql("SELECT * FROM needs WHERE id = 3") == [(3, 30, ssn)]


@pytest.mark.parametrize("sink, said", [
    ("file: {path: out.csv, format: csv}", "csv cannot tell"),
    ("clickhouse: {url: 'http://127.0.0.1:1', table: t}", "`clickhouse` would write the others as")])
def test_check_refuses_a_sink_that_would_write_nulls(millrace, sink, said):
    text = FILE.replace("%s", ", columns: {id: int64, a: utf8}")
    start, rest = text.index("    sqlite:"), text.index("settings:")
    text = text[:start] + f"    {sink}\n" + text[rest:]
    result = millrace.command("check", millrace.write("bad.yaml", text)).expect(2)
    assert said in result.err and "_set" in result.err and "sinks/out" in result.err
    whole = text.replace("sinks:", "transforms:\n  - {name: whole, select: {drop: _set}}\nsinks:")
    millrace.command("check", millrace.write("good.yaml", whole)).expect(0)


def test_a_run_refuses_too_where_only_the_data_tells_the_columns(millrace):
    write(millrace, "in.jsonl", [{"id": 1}])
    text = FILE % ""
    text = text[:text.index("    sqlite:")] + "    file: {path: out.csv, format: csv}\n" + ENDING
    millrace.command("check", millrace.write("late.yaml", text)).expect(0)
    assert "csv cannot tell" in millrace.run(text).expect(2).err
    assert not (millrace.folder / "out.csv").read_text()


def test_a_plugin_that_does_not_know_them_gets_none(millrace):
    """A sink without the flag, also where `check` cannot know what comes."""
    (millrace.folder / "plugins" / "sinks").mkdir(parents=True)
    shutil.copy(BINARY.parent / "tests" / "bad" / "stage-keep.so",
                millrace.folder / "plugins" / "sinks" / "keep.so")
    env = {"MILLRACE_PLUGIN_PATH": str(millrace.folder / "plugins")}
    write(millrace, "in.jsonl", [{"id": 1}])
    text = FILE[:FILE.index("    sqlite:")] + "    keep: {table: t}\n" + ENDING
    for columns, status in (("", 0), (", columns: {id: int64}", 2)):
        file = millrace.write("keep.yaml", text % columns)
        assert millrace.command("check", file, env=env).code == status
        result = millrace.run(text % columns, env=env).expect(2)
        assert "`keep` would write the others as null" in result.text


def test_pipeline_tests_know_unwritten_columns(millrace):
    millrace.write("p.yaml", """name: p
sources:
  - name: in
    file: {path: in.jsonl, format: jsonl, absent: unset, columns: {id: int64, a: int64, b: int64}}
transforms:
  - name: sum
    select:
      set:
        s: COALESCE(a, 0) + COALESCE(b, 0)
sinks:
  - name: out
    file: {path: out.jsonl}
""" + ENDING)
    file = millrace.write("p.test.yaml", """pipeline: p.yaml
tests:
  - name: sums
    input:
      in: [{id: 1, a: 1, b: null}, {id: 2, a: 1}]
    expect:
      sum: [{id: 1, s: 1}, {id: 2, s: 1}]
""")
    millrace.command("test", file).expect(0)
