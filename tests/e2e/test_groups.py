# SPDX-License-Identifier: Apache-2.0
"""Members of a consumer group: the store they share, and lanes that move between them."""

import os
import random
import subprocess

import pytest

from faults import common, rebalance
from servers.runner import BINARY

STORE_TEST = BINARY.parent / "tests" / "unit" / "engine" / "test-store"


def test_a_database_keeps_what_every_store_must(database):
    for _ in range(2):  # as it is made now; and as it was before transforms could save state
        done = subprocess.run([STORE_TEST], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "MILLRACE_TEST_PG_URL": database.url})
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("\nok ") >= 16 and "/store/postgres/deposed" in done.stdout
        for table in ("lanes", "unit_lanes"):
            database.sql(f"ALTER TABLE millrace_state_{table} DROP COLUMN state")
        database.sql("ALTER TABLE millrace_state_lanes DROP COLUMN label")
        database.sql("UPDATE millrace_state SET value = 1 WHERE key = 'version'")


SHARED = """name: shared
sources:
  - name: trades
    kafka:
      brokers: "${KAFKA_BROKERS}"
      topics: TOPIC
      group: TOPIC
      members: many
      rdkafka: {heartbeat.interval.ms: 100}
      columns: {id: int64}
sinks:
  - name: out
    file: {path: "${OUT}", format: jsonl}
settings:
  state: "${STATE}"
  checkpoint: {interval: 50ms}
"""


def test_a_sink_without_positions_of_its_own_needs_a_shared_store(millrace, topic):
    text = SHARED.replace("TOPIC", topic())
    millrace.env["OUT"] = str(millrace.folder / "out.jsonl")
    refused = millrace.run(text, timeout=20)
    assert refused.code == 2
    assert "/sinks/out: source `trades` shares its work with other processes" in refused.text
    assert "settings.state must be a database" in refused.text


def test_a_url_of_another_kind_is_no_state(millrace, topic):
    millrace.env |= {"OUT": "/dev/null", "STATE": "mysql://u:geheim@localhost/x"}
    refused = millrace.run(SHARED.replace("TOPIC", topic()), timeout=20)
    assert refused.code == 2 and "/settings/state: a folder, or a URL" in refused.text
    assert "geheim" not in refused.text


def test_check_asks_the_database_of_the_state(millrace, kafka, database, topic):
    millrace.env |= {"OUT": "/dev/null", "STATE": database.url}
    text = SHARED.replace("TOPIC", topic(1))
    said = millrace.check(text, "--connect").expect(0).text
    assert "state: ok: PostgreSQL 1" in said and "tables of the state will be made" in said
    assert database.sql("SELECT to_regclass('millrace_state')") == [(None,)]
    millrace.run(text).expect(0)
    assert "tables of the state there" in millrace.check(text, "--connect").expect(0).text
    wrong = database.url.rpartition("/")[0] + "/no_such_database"
    said = millrace.check(text, "--connect", env={"STATE": wrong}).expect(3).text
    assert "state: down: " in said and "no_such_database" in said


def test_positions_are_kept_in_the_database(millrace, kafka, database, topic):
    name, out = topic(2), millrace.folder / "out.jsonl"
    millrace.env |= {"OUT": str(out), "STATE": database.url}
    text = SHARED.replace("TOPIC", name)
    for start in (0, 50):
        kafka.produce(name, [{"value": b'{"id": %d}' % i, "partition": i % 2}
                             for i in range(start, start + 50)])
        running = millrace.start(text)
        running.wait_for(lambda: out.exists() and len(out.read_text().split()) >= start + 50,
                         60, "the rows")
        running.terminate().expect(0)
    ids = sorted(int(line.split(":")[1].rstrip("}")) for line in out.read_text().split())
    assert ids == list(range(100))
    lanes = database.sql("SELECT pipeline, sink, source, lane, encode(position, 'hex'), rows_total"
                         " FROM millrace_state_lanes ORDER BY lane")
    assert lanes == [("shared", "out", "trades", f"{name}/{p}", f"{50:016x}", 50) for p in (0, 1)]


def test_a_database_that_is_away_is_named_without_its_password(millrace, postgres, topic):
    name = topic()
    millrace.env |= {"OUT": "/dev/null",
                     "STATE": "postgresql://me:geheim@127.0.0.1:1/nobody?password=leise"}
    away = millrace.run(SHARED.replace("TOPIC", name), timeout=30)
    assert away.code == 3 and "127.0.0.1:1, database nobody" in away.text
    millrace.env["STATE"] = postgres.database_url("postgres", password="geheim")
    wrong = millrace.run(SHARED.replace("TOPIC", name), timeout=30)
    assert wrong.code == 3 and "authentication failed" in wrong.text
    assert not any(secret in run.text for run in (away, wrong) for secret in ("geheim", "leise"))


def test_a_connection_to_the_store_that_breaks_is_made_again(millrace, kafka, database, topic):
    name, out = topic(2), millrace.folder / "out.jsonl"
    millrace.env |= {"OUT": str(out), "STATE": database.url}
    running = millrace.start(SHARED.replace("TOPIC", name))
    for i in range(20):
        kafka.produce(name, [{"value": b'{"id": %d}' % i, "partition": i % 2}])
        running.wait_for(lambda i=i: out.exists() and len(out.read_text().split()) >= i + 1, 60,
                         "the row")
        for pid in database.backends():
            database.sql("SELECT pg_terminate_backend(%s)", pid)
    running.terminate().expect(0)
    assert running.log.count("waiting: the state") >= 1


KINDS = ["append", "upsert", *rebalance.SHARED]


@pytest.mark.parametrize("kind", KINDS)
def test_members_join_stop_die_and_sleep(kafka, postgres, tmp_path, kind):
    outcome = rebalance.run(kafka, postgres, tmp_path, kind, 1, random.randrange(10 ** 6))
    print(f"{common.HEADER}\n{outcome.line()}")
    assert outcome.rows > 0 and outcome.good, outcome.line()


@pytest.mark.parametrize("kind", ["append", *rebalance.SHARED])
def test_a_member_drops_a_lane_that_was_taken_and_goes_on(kafka, postgres, tmp_path, kind):
    table = "millrace_state_lanes" if kind in rebalance.SHARED else "millrace_offsets"
    with common.World(kafka, postgres, tmp_path, kind, rate=500) as world:
        rebalance.prepare_tables(world)
        members = rebalance.Members(world)
        members.join()
        [member] = members.running
        world.stream.start()
        world.wait_for_rows(member, 100)
        world.sql(f"UPDATE {table} SET owner = owner + 1 WHERE lane = %s", f"{world.topic}/0")
        member.wait_for(lambda: f"lane {world.topic}/0 of trades was taken over" in member.log, 30,
                        "the member to see it")
        others = f"SELECT sum(rows_total) FROM {table} WHERE lane <> '{world.topic}/0'"
        before = world.sql(others)[0][0]
        member.wait_for(lambda: world.sql(others)[0][0] > before + 100, 30, "the other lanes")
        member.wait_for(lambda: "joining again" in member.log, 60, "a new assignment")
        rebalance.settle(world, members)
        rebalance.roll_back_rest(world)
        outcome = world.outcome("taken", 1)
        assert outcome.good and not members.wrong, f"{outcome.line()} {members.wrong}"


def test_without_a_group_the_process_ends(millrace, kafka, database, topic):
    name = topic()
    millrace.env["PG_URL"] = database.url
    database.sql("CREATE TABLE rows(id bigint)")
    kafka.produce(name, [{"value": b'{"id": 1}'}])
    running = millrace.start(f"""name: alone
sources:
  - name: in
    kafka: {{brokers: "${{KAFKA_BROKERS}}", topics: {name}, columns: {{id: int64}}}}
sinks:
  - name: out
    postgres: {{url: "${{PG_URL}}", table: rows}}
settings: {{state: "${{STATE}}", checkpoint: {{interval: 50ms}}}}
""")
    running.wait_for(lambda: database.count("rows") == 1, 60, "the first row")
    database.sql("UPDATE millrace_offsets SET owner = owner + 1")
    kafka.produce(name, [{"value": b'{"id": 2}'}])
    ended = running.wait(60)
    assert ended.code == 1 and f"out: lane {name}/0 of in was taken over" in ended.text
    assert database.count("rows") == 1
