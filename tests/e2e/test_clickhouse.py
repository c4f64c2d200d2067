# SPDX-License-Identifier: Apache-2.0
"""Pipelines into ClickHouse: the example of the tree, upserts, crashes, both servers."""

import itertools
import json
import pathlib

import pytest

from changes import bounds, plugins, write
from pipelines import block, dead_letters, kafka_source
from servers import trades
from servers.http_faults import HttpFaults

TREE = pathlib.Path(__file__).resolve().parents[2]
numbers = itertools.count(1)


@pytest.fixture
def target(clickhouse, millrace):
    """A database of today's engine for one test; CLICKHOUSE_URL points at it."""
    name = f"c{next(numbers)}"
    millrace.env["CLICKHOUSE_URL"] = clickhouse.create_database(name)
    yield name
    clickhouse.drop_database(name)


def clickhouse_sink(options=""):
    return f"""sinks:
  - name: out
    clickhouse:
      url: "${{CLICKHOUSE_URL}}"
      table: t
{options}settings:
  state: "${{STATE}}"
  checkpoint: {{interval: 50ms}}
"""


def generated(rows, options=""):
    return f"""name: made
sources:
  - name: in
    generate: {{kind: sequence, rows: {rows}, lanes: 3}}
""" + clickhouse_sink(options)


CREATE = "      create: true\n      order_by: [id]\n"


def test_the_example(clickhouse, target, kafka, millrace):
    kafka.create_topic("trade.history", 2)
    kafka.produce("trade.history", trades.messages(5000))
    file = TREE / "pipelines" / "trades-clickhouse.yaml"
    millrace.command("check", file).expect(0)
    for _ in range(2):  # the second run finds nothing to do
        millrace.command("run", "--once", file, timeout=90).expect(0)
    wanted = [trades.row(i) for i in range(5000)]
    found = clickhouse.rows("SELECT trade_id, toString(price), toString(amount), buy_user_id"
                            " FROM trades ORDER BY trade_id", target)
    assert [tuple(map(int, row)) for row in found] == [
        (row[0], row[2], row[2] * row[3], row[4]) for row in wanted]
    kafka.delete_topic("trade.history")


def test_both_servers_get_every_row(clickhouse, target, clickhouse18, millrace):
    millrace.run(generated(30000, CREATE)).expect(0)
    counts = "SELECT toString(count()), toString(uniqExact(id)), toString(sum(id)) FROM t"
    assert clickhouse.rows(counts, target) == [["30000", "30000", str(sum(range(30000)))]]
    url = clickhouse18.create_database(target)
    millrace.env["STATE"] += "-old"
    result = millrace.run(generated(30000, CREATE), env={"CLICKHOUSE_URL": url}).expect(0)
    assert "at least once: version 18.16.1 has no insert_deduplication_token" in result.text
    assert clickhouse18.rows(counts, target) == [["30000", "30000", str(sum(range(30000)))]]


def test_a_unit_ends_at_the_block_limit(clickhouse, target, millrace):
    """However rarely the file has it commit."""
    text = generated(4_000_000, CREATE).replace("  - name: out\n", "  - name: out\n    commit: 60s\n")
    millrace.run(text, timeout=120).expect(0)
    parts = clickhouse.rows("SELECT rows FROM system.parts WHERE level = 0 AND table = 't' AND"
                            f" database = '{target}'", target)
    sizes = [int(rows) for (rows,) in parts]
    assert sum(sizes) == 4_000_000 and len(sizes) > 2 and max(sizes) < 2_000_000, sizes


def test_refused_rows_are_letters(clickhouse, target, millrace):
    clickhouse.query("CREATE TABLE t (id UInt8) ENGINE = MergeTree ORDER BY id SETTINGS"
                     " non_replicated_deduplication_window = 100", target)
    text = generated(300) + "dead_letter: {file: {path: rejected.jsonl}}\n"
    millrace.run(text).expect(4)
    assert clickhouse.value("SELECT count() FROM t", target) == "256"
    letters = dead_letters(millrace)
    assert len(letters) == 44 and {(e["stage"], e["code"], e["column"]) for e in letters} == {
        ("out", "22003", "id")}


def test_rows_that_only_the_server_refuses_are_letters(clickhouse, target, millrace):
    clickhouse.query("CREATE TABLE t (id UInt8, CONSTRAINT small CHECK id NOT IN (7, 100, 200))"
                     " ENGINE = MergeTree ORDER BY id SETTINGS"
                     " non_replicated_deduplication_window = 100", target)
    text = generated(300) + "dead_letter: {file: {path: rejected.jsonl}}\n"
    result = millrace.run(text).expect(4)
    assert clickhouse.value("SELECT count(), uniqExact(id) FROM t", target) == "253\t253"
    letters = dead_letters(millrace)
    assert len(letters) == 47 and sum(e["code"] == "469" for e in letters) == 3
    assert "Column values" not in result.text and "Column values" not in str(letters)


def held(proxy):
    """Has an INSERT come that is never answered?"""
    return lambda: proxy.left == 0


def test_18_16_gets_every_row_when_answers_are_lost_and_after_a_crash(clickhouse18, target, millrace):
    """At least once: rows may be there twice. Nothing is kept on disk."""
    clickhouse18.create_database(target)
    counts = "SELECT toString(uniqExact(id)), toString(max(id)) FROM t"
    with HttpFaults(clickhouse18.port) as proxy:
        env = {"CLICKHOUSE_URL": clickhouse18.database_url(target, proxy.port)}
        text = generated(20000, CREATE)
        proxy.spoil(1, "hang")
        running = millrace.start(text, env=env)
        running.wait_for(held(proxy), 60, "an INSERT that hangs")
        running.kill()
        assert not [path for path in pathlib.Path(millrace.env["STATE"]).iterdir()
                    if "block" in path.name]
        proxy.spoil(1, "lost")
        result = millrace.run(text, env=env).expect(0)
        assert proxy.left == 0
    assert "at least once: version 18.16.1 has no insert_deduplication_token" in result.text
    assert "INSERT at 127.0.0.1" in result.text
    assert clickhouse18.rows(counts, target) == [["20000", "19999"]]
    clickhouse18.drop_database(target)


def pending(clickhouse, target, millrace, text):
    """Leaves a unit behind whose INSERT never came, and a table that has got six other blocks since."""
    with HttpFaults(clickhouse.port) as proxy:
        proxy.spoil(1, "hang")
        running = millrace.start(text, env={
            "CLICKHOUSE_URL": clickhouse.database_url(target, proxy.port)})
        running.wait_for(held(proxy), 60, "an INSERT that hangs")
        running.kill()
    for i in range(6):
        clickhouse.query(f"INSERT INTO t VALUES ({10 ** 9 + i})", target)


@pytest.mark.parametrize("answer, rows", [("not-landed", 20000), ("landed", None)])
def test_a_block_that_the_table_may_have_forgotten_stops(clickhouse, target, millrace, answer, rows):
    clickhouse.query("CREATE TABLE t (id UInt64) ENGINE = MergeTree ORDER BY id SETTINGS"
                     " non_replicated_deduplication_window = 10", target)
    text = generated(20000)
    pending(clickhouse, target, millrace, text)
    result = millrace.run(text).expect(1)
    assert "blocks have come into t" in result.text and "--pending landed" in result.text
    millrace.run(text, "--pending", answer).expect(0)
    found, distinct = map(int, clickhouse.value(
        "SELECT count(), uniqExact(id) FROM t WHERE id < 1000000000", target).split())
    assert found == distinct and (found == rows if rows else found < 20000)


def test_changes_become_the_last_row_of_each_key(clickhouse, target, kafka, topic, millrace):
    name = topic(2)
    changes = [(i % 100, None if i % 7 == 0 else i) for i in range(3000)]
    kafka.produce(name, ({"key": json.dumps({"id": key}).encode(),
                          "value": json.dumps({"id": key, "v": v}).encode() if v else None}
                         for key, v in changes))
    text = ("name: changes\n" + kafka_source(name, block({"id": "int64", "v": "int64"}),
                                             "      key_columns: [id]\n")
            + clickhouse_sink("      mode: upsert\n      key: [id]\n      create: true\n"))
    millrace.run(text).expect(0)
    wanted = sorted((key, v) for key, v in dict(changes).items() if v)
    assert 0 < len(wanted) < 100
    found = clickhouse.rows("SELECT id, v FROM t FINAL ORDER BY id", target)
    assert [tuple(map(int, row)) for row in found] == wanted


CDC = """name: cdc
sources:
  - name: in
    changes: {path: in.jsonl, bounds: at, columns: {k: utf8, at: int64, v: int64}}
transforms:
  - name: names
    select: {set: {written_at: _timestamp}, rename: {at: seq}}
"""
UPSERT = "      create: true\n      mode: upsert\n      key: [k, seq]\n      version: written_at\n"


def cdc_row(time, k, at, v, op="insert"):
    return {"k": k, "at": at, "v": v, "_op": op, "_timestamp": time}


def cdc_many(time, k, **given):
    return {"k": k, "_op": "delete", "_range": {"at": bounds(**given) if given else None}, "_timestamp": time}


def test_deletes_of_many_rows(clickhouse, target, millrace):
    """Over many units: rows of earlier ones, of the same, and rows that are newer than the delete."""
    made = [cdc_row(10 + i, k, i, i) for i in range(20) for k in "ab"]
    made += [cdc_many(100, "a", lower=3, upper=6, lower_inc=True), cdc_row(101, "a", 4, 44), cdc_many(102, "b"),
             cdc_row(103, "c", 1, 1), cdc_many(104, "c"), cdc_row(105, "c", 2, 2),
             cdc_row(300, "d", 1, 1), cdc_row(150, "d", 2, 2), cdc_many(200, "d", lower=0)]
    write(millrace, made)
    text = CDC + clickhouse_sink(UPSERT) + "  batch: {rows: 7}\n"
    env = plugins(millrace)
    millrace.run(text, env=env).expect(0)
    query = ("SELECT k, toString(seq), toString(v), toString(toUnixTimestamp64Micro(written_at)) FROM t FINAL"
             " ORDER BY k, seq")
    wanted = sorted([["a", str(i), str(i), str(10 + i)] for i in range(20) if not 3 <= i < 6]
                    + [["a", "4", "44", "101"], ["c", "2", "2", "105"], ["d", "1", "1", "300"]],
                    key=lambda r: (r[0], int(r[1])))
    assert clickhouse.rows(query, target) == wanted
    millrace.env["STATE"] += "-again"  # everything once more: nothing changes
    millrace.run(text, env=env).expect(0)
    assert clickhouse.rows(query, target) == wanted
    several = text.replace("  - name: out\n", "  - name: out\n    parallel: 2\n")
    result = millrace.command("check", millrace.write("two.yaml", several), env=env).expect(2)
    assert "leave out `parallel`" in result.err


def test_check_and_discover(clickhouse, target, millrace):
    millrace.run(generated(10, CREATE)).expect(0)
    line = millrace.check(generated(10, CREATE), "--connect").expect(0).text
    assert "exactly once within the last 10000 blocks" in line
    assert "millrace-test-password" not in line
    file = millrace.write("pipeline.yaml", generated(10, CREATE))
    shown = millrace.command("discover", file, "out", f"{target}.t").expect(0).out
    assert "id" in shown and "uint64" in shown
    millrace.command("discover", file, "out", "nowhere").expect(2)
    closed = {"CLICKHOUSE_URL": "http://127.0.0.1:1/"}
    assert "out:" in millrace.check(generated(10), "--connect", env=closed).expect(3).text
