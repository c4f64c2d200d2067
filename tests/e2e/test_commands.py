# SPDX-License-Identifier: Apache-2.0
"""preview, test and replay: what a user sees, and what is not written."""

import json
import pathlib
import re

import pytest

TREE = pathlib.Path(__file__).resolve().parents[2]

GENERATE = """name: made
sources:
  - name: trades
    generate: {kind: trades, rows: 5}
transforms:
  - name: value
    select:
      set:
        total: price * CAST(quantity AS decimal(18,0))
      keep: [trade_id, price, total]
sinks:
  - name: out
    when: trade_id > 1000000002
    file: {path: out.jsonl}
settings:
  state: "${STATE}"
"""

ORDERS = """name: orders
sources:
  - name: orders
    file:
      path: in.jsonl
      format: jsonl
      columns: {id: int64, amount: utf8}
transforms:
  - name: cast
    select:
      set:
        amount: CAST(%s AS decimal(10,2))
      on_error: dead_letter
sinks:
  - name: low
    when: amount < 100
    file: {path: low.jsonl}
  - name: high
    when: otherwise
    file: {path: high.jsonl}
dead_letter:
  originals: keep
  file: {path: dead.jsonl}
settings:
  state: "${STATE}"
"""
WRONG = ORDERS % "amount"
RIGHT = ORDERS % "REPLACE(amount, 'EUR', '')"
IN = [(1, "10.50"), (2, "200"), (3, "7EUR"), (4, "700EUR"), (5, "900")]


def lines(millrace, name):
    path = millrace.folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ids(millrace, name):
    return sorted(row["id"] for row in lines(millrace, name))


def write_orders(millrace):
    millrace.write("in.jsonl", "".join(json.dumps({"id": i, "amount": a}) + "\n" for i, a in IN))


# ---- preview

def test_preview_shows_rows_and_writes_nothing(millrace):
    file = millrace.write("made.yaml", GENERATE)
    result = millrace.command("preview", file, "--rows", 3).expect(0)
    table = [line.split() for line in result.out.splitlines()]
    assert table[0] == ["trade_id", "price", "total"]
    assert [row[0] for row in table[1:]] == ["1000000000", "1000000001", "1000000002"]
    assert sorted(p.name for p in millrace.folder.iterdir()) == ["made.yaml"]


def test_preview_of_a_source_and_of_a_sink(millrace):
    file = millrace.write("made.yaml", GENERATE)
    source = millrace.command("preview", file, "trades").expect(0).out.splitlines()
    assert "buy_order_id" in source[0] and len(source) == 1 + 5
    sink = millrace.command("preview", file, "out").expect(0).out.splitlines()
    assert [row.split()[0] for row in sink[1:]] == ["1000000003", "1000000004"]


def test_preview_lists_what_was_refused(millrace):
    write_orders(millrace)
    result = millrace.command("preview", millrace.write("p.yaml", WRONG)).expect(0)
    assert "rejected: 2" in result.out and "cast: 22P02" in result.out and "7EUR" in result.out
    assert not (millrace.folder / "dead.jsonl").exists()
    assert not (millrace.folder / "state").exists()


def test_preview_names_what_is_wrong(millrace):
    file = millrace.write("made.yaml", GENERATE)
    assert "no stage `nope`" in millrace.command("preview", file, "nope").expect(2).err
    assert "--rows" in millrace.command("preview", file, "--rows", 0).expect(2).err


def test_preview_of_kafka_commits_nothing(kafka, topic, millrace):
    name = topic(1)
    kafka.produce(name, [b'{"id":%d,"who":"a\xc3\xa9"}' % i for i in range(4)])
    file = millrace.write("k.yaml", f"""name: k
sources:
  - name: in
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: {name}
      group: preview-group
      start: earliest
      format: json
      columns: {{id: int64, who: utf8}}
sinks:
  - name: out
    null: {{}}
""")
    for _ in range(2):
        out = millrace.command("preview", file, "-n", 3).expect(0).out.splitlines()
        assert [row.split() for row in out] == [["id", "who"], ["0", "aé"], ["1", "aé"],
                                                ["2", "aé"]]
    nothing = millrace.command("preview", file, "--set", "in.start=latest").expect(0)
    assert "no rows within 5 s" in nothing.out


# ---- test

PIPELINE_TESTS = """pipeline: made.yaml
tests:
  - name: totals are exact
    input:
      trades:
        - {trade_id: 18446744073709551615, price: 0.0001, quantity: 3}
        - {trade_id: 7, price: 1, quantity: 1}
    expect:
      value:
        - {trade_id: 18446744073709551615, total: "0.0003"}
        - {trade_id: 7, total: 1}
      out: [{trade_id: 18446744073709551615}]
"""


def test_pipeline_tests_pass(millrace):
    millrace.write("made.yaml", GENERATE)
    file = millrace.write("made.test.yaml", PIPELINE_TESTS)
    assert millrace.command("test", file).expect(0).out == "ok 1 - totals are exact\n1..1\n"
    beside = millrace.command("test", millrace.folder / "made.yaml").expect(0)
    assert beside.out.startswith("ok 1")


@pytest.mark.parametrize("old, new, said", [
    ('total: "0.0003"', 'total: "0.0004"', "value, row 1, column total: got 0.0003, expected 0.0004"),
    ("{trade_id: 7, total: 1}", "{trade_id: 7, total: 2}", "value, row 2, column total"),
    ("out: [{trade_id: 18446744073709551615}]", "out: []", "out: 1 row, expected 0"),
    ("out: [{trade_id: 18446744073709551615}]", "out: [{trade_id: 18446744073709551614}]",
     "got 18446744073709551615, expected 18446744073709551614"),
])
def test_a_wrong_expectation_fails(millrace, old, new, said):
    millrace.write("made.yaml", GENERATE)
    assert old in PIPELINE_TESTS
    file = millrace.write("made.test.yaml", PIPELINE_TESTS.replace(old, new))
    result = millrace.command("test", file).expect(1)
    assert result.out.startswith("not ok 1") and said in result.out


def test_rejects_must_be_expected(millrace):
    millrace.write("p.yaml", WRONG)
    text = """pipeline: p.yaml
tests:
  - name: units are refused
    input: {orders: [{id: 3, amount: 7EUR}]}
    expect: {low: [], high: []}
"""
    unexpected = millrace.command("test", millrace.write("p.test.yaml", text)).expect(1)
    assert "cast rejected a row: 22P02" in unexpected.out
    text += "    rejects: [{stage: cast, code: 22P02, column: amount, row: 7EUR}]\n"
    millrace.command("test", millrace.write("p.test.yaml", text)).expect(0)


def test_mistakes_in_a_test_file_have_a_place(millrace):
    millrace.write("made.yaml", GENERATE)
    file = millrace.write("made.test.yaml", """pipeline: made.yaml
tests:
  - name: wrong
    input:
      trades: [{trade_id: -1}, {prize: 2}]
""")
    result = millrace.command("test", file).expect(2)
    assert "made.test.yaml:5:" in result.err
    assert "did you mean `price`?" in result.err and "trade_id" in result.err


def test_expression_tables(millrace):
    file = millrace.write("t.yaml", """expr:
  - {expr: a / b, columns: {a: int64, b: int64}, row: {a: 1, b: 0}, error: "22012"}
  - {expr: a + 1, columns: {a: uint64}, row: {a: 18446744073709551614},
     equals: 18446744073709551615, type: uint64}
  - {expr: 1 + 1, equals: 3}
""")
    result = millrace.command("test", file).expect(1)
    assert re.findall("^(?:not )?ok", result.out, re.M) == ["ok", "ok", "not ok"]
    assert "got 2, expected 3" in result.out


def test_the_tables_and_examples_of_the_tree(millrace):
    files = sorted([*TREE.glob("pipelines/*.test.yaml"), *TREE.glob("tests/tables/*.yaml")])
    assert files
    for file in files:
        millrace.command("test", file).expect(0)


# ---- replay

@pytest.fixture
def refused(millrace):
    """A run with two letters of `cast`, one meant for each sink; the file as it should have been."""
    write_orders(millrace)
    millrace.run(WRONG).expect(4)
    assert ids(millrace, "low.jsonl") == [1] and ids(millrace, "high.jsonl") == [2, 5]
    return millrace.write("right.yaml", RIGHT)


def test_a_replay_sends_each_letter_once(millrace, refused):
    result = millrace.command("replay", refused, "dead.jsonl").expect(0)
    assert "low, refused by cast: 2 letters, 2 rows sent, 1 written, 0 refused again" in result.out
    assert ids(millrace, "low.jsonl") == [1, 3] and ids(millrace, "high.jsonl") == [2, 4, 5]
    again = millrace.command("replay", refused, "dead.jsonl").expect(0)
    assert again.out.count("they were replayed before") == 2
    millrace.command("replay", "--rows", refused, "dead.jsonl").expect(0)
    assert ids(millrace, "low.jsonl") == [1, 3] and ids(millrace, "high.jsonl") == [2, 4, 5]


def test_a_letter_holds_its_element_of_an_array(millrace):
    orders = [json.dumps({"id": i, "amount": a}) for i, a in IN]
    millrace.write("in.jsonl", "[" + " , ".join(orders) + "]\n")
    millrace.run(WRONG).expect(4)
    letters = [e for e in lines(millrace, "dead.jsonl") if e["kind"] == "letter"]
    assert [(e["element"], e["original"]) for e in letters] == [(2, orders[2]), (3, orders[3])]
    millrace.command("replay", millrace.write("right.yaml", RIGHT), "dead.jsonl").expect(0)
    assert ids(millrace, "low.jsonl") == [1, 3] and ids(millrace, "high.jsonl") == [2, 4, 5]


def test_a_letter_may_hold_the_whole_array(millrace):
    orders = [json.dumps({"id": i, "amount": a}) for i, a in IN]
    millrace.write("in.jsonl", "[" + ",".join(orders) + "]\n")
    millrace.run(WRONG).expect(4)
    letters = lines(millrace, "dead.jsonl")
    for letter in letters:
        if letter["kind"] == "letter":
            letter["original"] = "[" + ",".join(orders) + "]"
    millrace.write("whole.jsonl", "".join(json.dumps(letter) + "\n" for letter in letters))
    millrace.command("replay", millrace.write("right.yaml", RIGHT), "whole.jsonl").expect(0)
    assert ids(millrace, "low.jsonl") == [1, 3] and ids(millrace, "high.jsonl") == [2, 4, 5]


def test_a_replay_of_rows_alone(millrace, refused):
    letters = lines(millrace, "dead.jsonl")
    for letter in letters:
        letter["original"] = None
    millrace.write("rows.jsonl", "".join(json.dumps(letter) + "\n" for letter in letters))
    millrace.command("replay", refused, "rows.jsonl").expect(0)
    assert ids(millrace, "low.jsonl") == [1, 3] and ids(millrace, "high.jsonl") == [2, 4, 5]


def test_a_letter_without_a_mark_is_not_sent(millrace, refused):
    kept = [e for e in lines(millrace, "dead.jsonl") if e["kind"] == "letter" or e["sink"] == "low"]
    millrace.write("some.jsonl", "".join(json.dumps(e) + "\n" for e in kept) + '{"kind": "let')
    result = millrace.command("replay", refused, "some.jsonl").expect(0)
    assert "1 line is no dead letter" in result.err
    assert ids(millrace, "low.jsonl") == [1, 3] and ids(millrace, "high.jsonl") == [2, 5]
    none = [e for e in kept if e["kind"] == "letter"]
    millrace.write("none.jsonl", "".join(json.dumps(e) + "\n" for e in none))
    result = millrace.command("replay", refused, "none.jsonl").expect(0)
    assert "2 letters not counted" in result.out


def test_letters_that_are_refused_again_stay_letters(millrace, refused):
    wrong = millrace.write("wrong.yaml", WRONG)
    millrace.command("replay", wrong, "dead.jsonl").expect(4)
    assert ids(millrace, "low.jsonl") == [1] and ids(millrace, "high.jsonl") == [2, 5]
    millrace.command("replay", refused, "dead.jsonl").expect(0)
    assert ids(millrace, "low.jsonl") == [1, 3] and ids(millrace, "high.jsonl") == [2, 4, 5]


def test_new_letters_after_a_replay(millrace, refused):
    millrace.command("replay", refused, "dead.jsonl").expect(0)
    with open(millrace.folder / "in.jsonl", "a") as file:
        file.write('{"id": 6, "amount": "8EUR"}\n')
    millrace.run(WRONG)
    millrace.command("replay", refused, "dead.jsonl")
    assert ids(millrace, "low.jsonl").count(3) == 1


SINK_BORN = """name: born
sources:
  - name: in
    file:
      path: in.jsonl
      format: jsonl
      columns: {id: int64, amount: utf8}
sinks:
  - name: strict
    postgres:
      url: "${PG_URL}"
      table: public.strict
  - name: all
    file: {path: all.jsonl}
dead_letter:
  originals: keep
  file: {path: dead.jsonl}
settings:
  state: "${STATE}"
"""


@pytest.mark.parametrize("options", [[], ["--rows"]])
def test_a_letter_of_one_sink_goes_to_that_sink_alone(database, millrace, options):
    """The sink's table refuses rows; they are replayed once the table takes them."""
    write_orders(millrace)
    database.sql("CREATE TABLE strict (id bigint, amount text CHECK (amount NOT LIKE '%%EUR'))")
    millrace.run(SINK_BORN).expect(4)
    assert database.value("SELECT count(*) FROM strict") == 3
    database.sql("ALTER TABLE strict DROP CONSTRAINT strict_amount_check")
    file = millrace.folder / "pipeline.yaml"
    for _ in range(2):
        millrace.command("replay", *options, file, "dead.jsonl").expect(0)
        assert [r[0] for r in database.sql("SELECT id FROM strict ORDER BY id")] == [1, 2, 3, 4, 5]
        assert ids(millrace, "all.jsonl") == [1, 2, 3, 4, 5]
    rows = [e for e in lines(millrace, "dead.jsonl") if e["kind"] == "letter"]
    assert {e["sink"] for e in rows} == {"strict"}


# ---- the manual

def blocks(text, language):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def test_examples_of_the_manual(millrace):
    """Each file shown in docs/commands.md is there, and each command ends as it says."""
    text = (TREE / "docs" / "commands.md").read_text()
    for block in blocks(text, "yaml"):
        name = re.match(r"# (\S+)\n", block)
        assert name, f"a block without its file's name:\n{block}"
        millrace.write(name[1], block)
    millrace.write("orders.jsonl", '{"id":1,"amount":"10.50 EUR"}\n{"id":2,"amount":"200"}\n')
    commands = [line[2:] for block in blocks(text, "console") for line in block.splitlines()
                if line.startswith("$ ")]
    assert commands
    for command in commands:
        words, _, remark = command.partition("#")
        assert words.split()[0] == "millrace"
        code = int(remark.split("exit")[1]) if "exit" in remark else 0
        millrace.command(*words.split()[1:]).expect(code)
    assert ids(millrace, "low.jsonl") == [1] and ids(millrace, "high.jsonl") == [2]
