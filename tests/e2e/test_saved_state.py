# SPDX-License-Identifier: Apache-2.0
"""Transforms that remember something: the rows of each lane are numbered, and every number is right, whatever happened."""

import json
import random
import sqlite3

import pytest

from servers.runner import BINARY

LANES = 3
PLUGINS = BINARY.parent / "tests" / "plugin"
ENV = {"MILLRACE_PLUGIN_PATH": f"{PLUGINS / 'number'}:{PLUGINS / 'landing'}"}

HEAD = """name: numbered
sources:
  - name: made
    generate: {kind: sequence, rows: 3000, lanes: 3}
transforms:
  - name: count
    number: {column: n}
sinks:
"""
TAIL = """settings:
  state: "${STATE}"
  checkpoint: {interval: 20ms}
"""
KEPT = """  - name: kept
    sqlite: {path: kept.db, table: t, create: true}
"""


def number(i):
    """Row i is of lane i % LANES, where it is the (i // LANES)-th."""
    return i // LANES + 1


def numbered(count):
    return [(i, number(i)) for i in range(count)]


def stored(millrace, name="kept.db"):
    path = millrace.folder / name
    if not path.exists():
        return []
    with sqlite3.connect(path, timeout=30) as db:
        there = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 't'").fetchone()[0]
        return db.execute("SELECT id, n FROM t ORDER BY id").fetchall() if there else []


def test_kill_9_loses_and_repeats_no_state(millrace):
    """Two sinks that stand at different places, each with the state of its own place; and a file, which may get rows again, but
    with the numbers they had."""
    text = HEAD + KEPT + """  - name: slow
    commit: 100ms
    sqlite: {path: slow.db, table: t, create: true}
  - name: twice
    file: {path: twice.jsonl}
""" + TAIL
    rows, draw = 12000, random.Random(7)
    sizes = ["--set", f"made.rows={rows}"]
    for _ in range(5):
        before = len(stored(millrace))
        running = millrace.start(text, "--set", "made.rate=20000", *sizes, env=ENV)
        wanted = min(before + draw.randrange(1, 2500), rows)
        running.wait_for(lambda: len(stored(millrace)) >= wanted, timeout=60, what=f"{wanted} rows")
        running.kill()
    millrace.run(text, *sizes, env=ENV).expect(0)
    for name in ("kept.db", "slow.db"):
        assert stored(millrace, name) == numbered(rows)
    whole = [line for line in millrace.read("twice.jsonl").splitlines() if line.endswith("}")]  # a kill cuts lines
    lines = [json.loads(line) for line in whole]
    assert {(line["id"], line["n"]) for line in lines} == set(numbered(rows))


def goes_on(millrace, text):
    """Two runs, the second goes on where the first ended."""
    for rows in ("1000", "3000"):
        millrace.run(text, "--set", f"made.rows={rows}", env=ENV).expect(0)


def test_postgres_keeps_state_with_its_positions(millrace, database):
    goes_on(millrace, HEAD + """  - name: out
    postgres: {url: "${PG_URL}", table: t, create: true}
""" + TAIL)
    assert database.sql("SELECT id, n FROM t ORDER BY id") == numbered(3000)
    assert database.sql("SELECT lane, state IS NOT NULL FROM millrace_offsets ORDER BY lane") == [
        (lane, True) for lane in "012"]


def test_mysql_keeps_state_with_its_positions(millrace, schema):
    goes_on(millrace, HEAD + """  - name: out
    mysql: {url: "${MYSQL_URL}", table: t, create: true}
""" + TAIL)
    assert list(schema.sql("SELECT id, n FROM t ORDER BY id")) == numbered(3000)


@pytest.mark.parametrize("transactions", ["sink", "lane"])
def test_kafka_keeps_state_with_its_positions(millrace, kafka, topic, transactions):
    target = topic(1)
    goes_on(millrace, HEAD + f"""  - name: out
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topic: {target}
      transactions: {transactions}
      offsets_topic: {target}-offsets
""" + TAIL)
    values = [json.loads(m.value()) for m in kafka.committed(target)]
    assert sorted((v["id"], v["n"]) for v in values) == numbered(3000)


@pytest.mark.parametrize("delivery", ["two_phase", "idempotent"])
def test_a_store_in_postgresql_keeps_state(millrace, database, delivery):
    database.sql("CREATE TABLE t (id bigint, n bigint)")
    database.sql("CREATE TABLE labels (label text PRIMARY KEY)")
    database.sql("CREATE TABLE tokens (token text PRIMARY KEY)")
    goes_on(millrace, HEAD + f"""  - name: out
    landing_{delivery}: {{url: "${{PG_URL}}", table: t, prefix: {database.name}}}
""" + TAIL.replace("${STATE}", "${PG_URL}"))
    assert database.sql("SELECT id, n FROM t ORDER BY id") == numbered(3000)
    assert database.sql("SELECT count(*) FROM millrace_state_lanes WHERE state IS NOT NULL") == [(3,)]


def test_a_changed_transform_is_refused_until_it_may_forget(millrace):
    millrace.run(HEAD + KEPT + TAIL, env=ENV).expect(0)
    changed = HEAD.replace("column: n", "column: n, first: 100").replace("3000", "3300") + KEPT + TAIL
    refused = millrace.run(changed, env=ENV).expect(2)
    assert "count: it was changed, and has saved state from before" in refused.err
    assert "--reset-state" in refused.err and stored(millrace) == numbered(3000)
    millrace.run(changed, "--reset-state", env=ENV).expect(0)
    assert stored(millrace) == numbered(3000) + [(i, i // LANES - 900) for i in range(3000, 3300)]


def test_what_a_removed_transform_saved_is_dropped(millrace):
    millrace.run(HEAD + KEPT + TAIL, env=ENV).expect(0)
    renamed = HEAD.replace("name: count", "name: again").replace("3000", "3300") + KEPT + TAIL
    done = millrace.run(renamed, env=ENV).expect(0)
    assert "what `count` saved of lane 0 is dropped" in done.err
    assert stored(millrace)[3000:] == [(i, i // LANES - 999) for i in range(3000, 3300)]
    back = millrace.run((HEAD + KEPT + TAIL).replace("3000", "3600"), env=ENV).expect(0)
    assert "what `again` saved of lane 0 is dropped" in back.err


def test_too_much_state_is_an_error_that_says_so(millrace):
    done = millrace.run(HEAD + KEPT + TAIL, "--set", "count.ballast=1MiB", env=ENV).expect(1)
    assert "count: its state of lane " in done.err and "takes more than 1048576 bytes" in done.err
    assert stored(millrace) == []


def test_a_preview_numbers_from_the_beginning(millrace):
    done = millrace.command("preview", millrace.write("p.yaml", HEAD + KEPT + TAIL), "--rows", "6", env=ENV).expect(0)
    rows = [tuple(map(int, line.split())) for line in done.out.splitlines()[1:7]]
    assert len(rows) == 6 and all(n == number(i) for i, n in rows), done.out
