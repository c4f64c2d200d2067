# SPDX-License-Identifier: Apache-2.0
"""Kafka into MariaDB, and MariaDB as a source, on real servers."""

import datetime
import decimal
import pathlib
import random

import pytest

from faults import common, mariadb as faults
from pipelines import ENDING, LETTERS, block, dead_letters, expected, kafka_source
from servers import trades

TREE = pathlib.Path(__file__).resolve().parents[2]
SEED = random.SystemRandom().randrange(10 ** 6)


def sink(table, mode="append", key=None, options=""):
    keyed = f"      key: [{key}]\n" if key else ""
    return f"""sinks:
  - name: out
    mysql:
      url: "${{MYSQL_URL}}"
      table: {table}
      mode: {mode}
{keyed}{options}"""


def trades_pipeline(topic, mode="append", options="", kind="int64"):
    return ("name: trades\n" + kafka_source(topic, trades.columns_yaml(8, kind))
            + sink("trades", mode, "trade_id" if mode == "upsert" else None, options) + ENDING)


def table(schema, key=False):
    schema.sql(trades.table_sql("trades", key=key).replace('"', "`"))


def stored(schema):
    columns = ", ".join(f"`{f}`" for f in trades.FIELDS)
    return sorted(schema.sql(f"SELECT {columns} FROM trades"))


@pytest.mark.parametrize("method", ["load", "insert"])
def test_append_arrives_by_value(kafka, topic, schema, millrace, method):
    name = topic(4)
    kafka.produce(name, trades.messages(20000))
    table(schema)
    text = trades_pipeline(name, options=f"      method: {method}\n")
    millrace.run(text).expect(0)
    assert stored(schema) == expected(20000)
    kafka.produce(name, trades.messages(500, 20000))
    millrace.run(text).expect(0)
    assert stored(schema) == expected(20500)


def test_a_lost_state_directory_writes_nothing_twice(kafka, topic, schema, millrace):
    name = topic(2)
    kafka.produce(name, trades.messages(1000))
    table(schema)
    millrace.run(trades_pipeline(name)).expect(0)
    millrace.run(trades_pipeline(name), env={"STATE": str(millrace.folder / "other")})
    assert stored(schema) == expected(1000)


def test_upsert_keeps_the_last_of_each_key(kafka, topic, schema, millrace):
    name = topic(4)
    kafka.produce(name, trades.keyed(5000, keys=700))
    table(schema, key=True)
    millrace.run(trades_pipeline(name, "upsert")).expect(0)
    last = {i % 700: (trades.FIRST_TRADE + i % 700, *trades.row(i)[1:]) for i in range(5000)}
    assert stored(schema) == sorted(last.values())


def test_tombstones_delete(kafka, topic, schema, millrace):
    name = topic(1)
    text = ("name: tombs\n" + kafka_source(name, block({"id": "int64", "v": "utf8"}),
                                           "      key_columns: [id]\n")
            + sink("t", "upsert", "id", "      create: true\n") + ENDING)
    kafka.produce(name, [{"key": b'{"id":%d}' % i, "value": b'{"id":%d,"v":"x"}' % i}
                         for i in range(5)])
    kafka.produce(name, [{"key": b'{"id":3}', "value": None}, {"key": b'{"id":4}', "value": None},
                         {"key": b'{"id":4}', "value": b'{"id":4,"v":"again"}'}])
    millrace.run(text).expect(0)
    assert sorted(schema.sql("SELECT id, v FROM t")) == [(0, "x"), (1, "x"), (2, "x"), (4, "again")]


def test_refused_rows_become_letters_and_the_others_land(kafka, topic, schema, millrace):
    """A key twice, a CHECK, a foreign key: LOAD DATA LOCAL only warns of these."""
    name = topic(1)
    schema.sql("CREATE TABLE p (id bigint PRIMARY KEY)")
    schema.sql("INSERT INTO p SELECT seq FROM seq_0_to_4999 WHERE seq NOT IN (77, 4000)")
    schema.sql("CREATE TABLE t (id bigint PRIMARY KEY, v varchar(8), CHECK (v <> 'no'),"
               " FOREIGN KEY (id) REFERENCES p (id))")
    bad = {10: b'{"id":10,"v":"no"}', 20: b'{"id":19,"v":"twice"}', 30: b'{"id":30,"v":"far too long"}',
           4999: b'{"id":4999,"v":"no"}'}
    kafka.produce(name, [bad.get(i, b'{"id":%d,"v":"x"}' % i) for i in range(5000)])
    text = ("name: refused\n" + kafka_source(name, block({"id": "int64", "v": "utf8"})) + sink("t")
            + LETTERS + ENDING)
    millrace.run(text).expect(4)
    assert [i for (i,) in schema.sql("SELECT id FROM t ORDER BY id")] == [
        i for i in range(5000) if i not in {*bad, 77, 4000}]
    letters = dead_letters(millrace)
    assert sorted(int(letter["position"]) for letter in letters) == sorted({*bad, 77, 4000})
    assert "far too long" not in "".join(letter["message"] for letter in letters)


def test_new_columns_are_added_while_it_runs(kafka, topic, schema, millrace):
    name = topic(1)
    text = ("name: grows\n" + kafka_source(name, block({"id": "int64"}), "      unknown: add\n")
            + sink("t", options="      create: true\n      evolve: add\n") + ENDING)
    kafka.produce(name, [b'{"id":1}'])
    running = millrace.start(text)
    running.wait_for(lambda: schema.count("t") == 1, what="the first row")
    kafka.produce(name, [b'{"id":2,"note":"\\u00e4\\ud83d\\ude00"}'])
    running.wait_for(lambda: schema.count("t") == 2, what="the second row")
    running.terminate().expect(0)
    assert schema.sql("SELECT id, note FROM t ORDER BY id") == [(1, None), (2, "ä😀")]


def test_a_wrong_password_is_named_and_a_missing_table_too(kafka, topic, schema, millrace):
    name = topic(1)
    text = trades_pipeline(name)
    wrong = schema.server.database_url(schema.name, password="not-this")
    result = millrace.check(text, "--connect", env={"MYSQL_URL": wrong}).expect(3)
    assert "Access denied" in result.text and "not-this" not in result.text
    result = millrace.check(text, "--connect").expect(2)
    assert "table trades does not exist" in result.text
    table(schema)
    assert "table trades: ok" in millrace.check(text, "--connect").expect(0).text
    path = millrace.write("pipeline.yaml", text)
    assert "trade_id" in millrace.command("discover", path, "out", "trades").expect(0).out


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_kill_9_loses_and_doubles_nothing(kafka, mariadb, tmp_path, mode):
    outcome = faults.kills(kafka, mariadb, tmp_path, mode, 8, SEED)
    print(f"{common.HEADER}\n{outcome.line()}")
    assert outcome.rows > 0 and outcome.good, outcome.line()


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_killed_sessions_lose_and_double_nothing(kafka, mariadb, tmp_path, mode):
    outcome = faults.sessions(kafka, mariadb, tmp_path, mode, 8, SEED)
    print(f"{common.HEADER}\n{outcome.line()}")
    assert outcome.rows > 0 and outcome.good, outcome.line()


@pytest.mark.parametrize("fault, count", [("swallow", 4), ("late", 4), ("drop", 4), ("half_open", 1)])
def test_lost_answers_to_commit_lose_and_double_nothing(kafka, mariadb, tmp_path, fault, count):
    outcome = faults.commits(kafka, mariadb, tmp_path, fault, count)
    print(f"{common.HEADER}\n{outcome.line()}")
    assert outcome.rows > 0 and outcome.good and outcome.faults == count, outcome.line()


def test_the_example_follows_a_shop(mariadb, schema, millrace):
    reports = mariadb.create_database(schema.name + "r")
    schema.sql("CREATE TABLE customers (id int unsigned PRIMARY KEY, country char(2), email varchar(90))")
    schema.sql("INSERT INTO customers VALUES (1, 'DE', 'ann@example.org'), (2, 'FR', 'bob@example.org')")
    schema.sql("CREATE TABLE orders (id bigint unsigned AUTO_INCREMENT PRIMARY KEY, customer_id int unsigned,"
               " amount decimal(12,2), created_at timestamp(6))")
    env = {"SHOP_URL": schema.url, "REPORTS_URL": reports, "MASK_KEY": "0123456789abcdef" * 4}
    text = (TREE / "pipelines" / "shop-mysql.yaml").read_text()

    def rows():
        return mariadb.sql("SELECT id, amount, created_at, country, email FROM orders ORDER BY id",
                           database=schema.name + "r")
    for count in (3, 2):
        for i in range(count):
            schema.sql("INSERT INTO orders (customer_id, amount, created_at) VALUES (%s, 12.34,"
                       " '2026-01-28 10:00:00.000001')", i + 1)
        millrace.run(text, env=env).expect(0)
    got = rows()
    mariadb.drop_database(schema.name + "r")
    at = datetime.datetime(2026, 1, 28, 10, 0, 0, 1)
    assert [r[:4] for r in got] == [(i + 1, decimal.Decimal("12.34"), at, c)
                                    for i, c in enumerate(["DE", "FR", None, "DE", "FR"])]
    assert got[0][4] == got[3][4] != got[1][4] and "ann" not in got[0][4]
