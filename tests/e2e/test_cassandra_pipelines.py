# SPDX-License-Identifier: Apache-2.0
"""The pipelines of the tree that follow a Cassandra table: what the node has in the end is what each target has."""

import datetime as dt
import hashlib
import hmac
import json
import random

import pytest

import conftest
from pipelines import dead_letters
from servers.runner import TREE

KEY = b"0123456789abcdef0123456789abcdef"
START = dt.datetime(2026, 1, 28, 10)
TOO_FINE = "0.0000000001"  # more digits than decimal(38,9) has
FILES = ["postgres", "timescale", "clickhouse", "fanout"]


def hashed(column, value):
    """As docs/masking.md has it."""
    if value is None:
        return None
    key_id = hashlib.sha256(b"millrace-key-id:" + KEY).hexdigest()[:8]
    return f"h1:{key_id}:" + hmac.new(KEY, b"\0".join([b"h1", column.encode(), value.encode()]), "sha256").hexdigest()


class Follower:
    """A pipeline of the tree, as it is but for the keyspace, on a node whose log other tests read, too."""

    def __init__(self, name, node, keyspace, millrace):
        text = (TREE / "pipelines" / f"cassandra-to-{name}.yaml").read_text() if name != "fanout" else (
            TREE / "pipelines" / "cassandra-fanout.yaml").read_text()
        for known in ("table: shop.", "table: sensors."):
            text = text.replace(known, f"table: {keyspace}.")
        assert "mode: cdc" in text and f"table: {keyspace}." in text
        self.text = text.replace("mode: cdc", "mode: cdc\n      delete: false\n      consistency: one")
        self.millrace = millrace
        history = millrace.folder / "history"
        history.mkdir()
        millrace.env |= {"CASSANDRA": f"127.0.0.1:{node.port}", "CDC_RAW": str(node.cdc_raw), "CDC_HISTORY": str(history),
                         "MASK_KEY": KEY.decode(), "LETTERS": str(millrace.folder / "rejected.jsonl")}

    def catch_up(self, *codes):
        """What the log has by now has arrived when this returns."""
        self.millrace.run(self.text, timeout=120).expect(*codes or (0,))


@pytest.fixture
def node(cassandra, keyspace):
    cassandra.cql(f"CREATE TABLE {keyspace}.customers (shop text, id int, name text, email text, phone text,"
                  " balance decimal, PRIMARY KEY (shop, id)) WITH cdc = true")
    cassandra.cql(f"CREATE TABLE {keyspace}.readings (sensor text, at timestamp, value decimal, operator text, note text,"
                  " PRIMARY KEY (sensor, at)) WITH cdc = true")
    return cassandra


@pytest.fixture
def target(clickhouse, millrace):
    name = f"cassandra{next(conftest.numbers)}"
    millrace.env["CLICKHOUSE_URL"] = clickhouse.create_database(name)
    yield lambda sql: [tuple(r) for r in clickhouse.rows(sql, name)]
    clickhouse.drop_database(name)


@pytest.fixture
def hypertables(timescale):
    made = conftest.Database(timescale, f"d{next(conftest.numbers)}")
    yield made
    timescale.drop_database(made.name)


# ---------------------------------------------------------------- customers

def customers(node, keyspace):
    """What is there, as it should arrive."""
    rows = node.cql(f"SELECT shop, id, name, email, phone, balance FROM {keyspace}.customers")
    return sorted((shop, id_, name, hashed("email", email), phone and "*" * 3 + phone[-4:],
                   None if balance is None else f"{balance:f}") for shop, id_, name, email, phone, balance in rows)


def change_customers(node, keyspace, step):
    table = f"{keyspace}.customers"
    if step == 0:
        node.cql_many(f"INSERT INTO {table} (shop, id, name, email, phone, balance) VALUES (?, ?, ?, ?, ?, ?)",
                      [(f"s{i % 5}", i, f"n{i}", f"user{i}@example.org", f"+49 30 1234{i:04d}", None) for i in range(60)])
        return
    for i in range(5):
        node.cql(f"UPDATE {table} SET balance = {i}.5 WHERE shop = 's{i % 5}' AND id = {i}")
    node.cql(f"UPDATE {table} SET balance = {TOO_FINE} WHERE shop = 's0' AND id = 5")
    node.cql(f"DELETE email FROM {table} WHERE shop = 's0' AND id = 10")
    node.cql(f"DELETE FROM {table} WHERE shop = 's1' AND id = 6")
    node.cql(f"DELETE FROM {table} WHERE shop = 's2' AND id > 20 AND id <= 42")
    node.cql(f"DELETE FROM {table} WHERE shop = 's3'")
    node.cql(f"INSERT INTO {table} (shop, id, name) VALUES ('s3', 1000, 'later')")


def check_customers(node, keyspace, follower, found):
    change_customers(node, keyspace, 0)
    follower.catch_up()
    wanted = customers(node, keyspace)
    assert len(wanted) == 60 and found() == wanted
    change_customers(node, keyspace, 1)
    follower.catch_up(4)
    wanted = [r for r in customers(node, keyspace) if r[:2] != ("s0", 5)]
    assert [r for r in found() if r[:2] != ("s0", 5)] == wanted
    [letter] = dead_letters(follower.millrace)
    assert letter["column"] == "balance" and "more digits" in letter["message"] and letter["source"] == "customers"
    everything = (follower.millrace.folder / "rejected.jsonl").read_text() + json.dumps(found())
    assert "@example.org" not in everything and "+49 30" not in everything


def test_to_postgres(node, keyspace, database, millrace):
    follower = Follower("postgres", node, keyspace, millrace)
    check_customers(node, keyspace, follower, lambda: [
        (*row, None if balance is None else f"{balance.normalize():f}") for *row, balance in database.sql(
            "SELECT shop, id, name, email, phone, balance FROM customers ORDER BY shop, id")])


def test_to_clickhouse(node, keyspace, target, millrace):
    follower = Follower("clickhouse", node, keyspace, millrace)
    check_customers(node, keyspace, follower, lambda: [
        (shop, int(id_), *row) for shop, id_, *row in target(
            "SELECT shop, id, name, email, phone, toString(balance) FROM customers FINAL ORDER BY shop, id")])


# ---------------------------------------------------------------- readings

def readings(node, keyspace):
    rows = node.cql(f"SELECT sensor, at, value, operator, note FROM {keyspace}.readings")
    return sorted((sensor, at.replace(tzinfo=dt.timezone.utc), None if value is None else float(value),
                   hashed("operator", operator), note) for sensor, at, value, operator, note in rows)


def of_postgres(database):
    return [(sensor, at, None if value is None else float(value), *row) for sensor, at, value, *row in database.sql(
        "SELECT sensor, at, value, operator, note FROM readings ORDER BY sensor, at")]


def of_clickhouse(target):
    return [(sensor, dt.datetime.fromtimestamp(int(at) / 1e6, dt.timezone.utc), None if value is None else float(value), *row)
            for sensor, at, value, *row in target(
                "SELECT sensor, toUnixTimestamp64Micro(at), toString(value), operator, note FROM readings FINAL"
                " ORDER BY sensor, at")]


def at(n):
    return START + dt.timedelta(hours=n)


def insert_readings(node, keyspace, n):
    node.cql_many(f"INSERT INTO {keyspace}.readings (sensor, at, value, operator, note) VALUES (?, ?, ?, ?, ?)",
                  [(f"s{i % 8}", at(i), None, f"op{i % 3}@example.org", f"note {i}") for i in range(n)])


def update_readings(node, keyspace, n):
    node.cql_many(f"UPDATE {keyspace}.readings SET note = ? WHERE sensor = ? AND at = ?",
                  [(f"changed {i}", f"s{i % 8}", at(i)) for i in range(n)])


def delete_readings(node, keyspace):
    """A row, a cell, a range, a partition; and one row that does not fit."""
    table = f"{keyspace}.readings"
    node.cql(f"DELETE FROM {table} WHERE sensor = 's0' AND at = %s", at(8))
    node.cql(f"DELETE note FROM {table} WHERE sensor = 's1' AND at = %s", at(9))
    node.cql(f"DELETE FROM {table} WHERE sensor = 's2' AND at >= %s AND at < %s", at(10), at(34))
    node.cql(f"DELETE FROM {table} WHERE sensor = 's3'")
    node.cql(f"INSERT INTO {table} (sensor, at, value) VALUES ('fine', %s, {TOO_FINE})", at(0))


def letter_of(millrace):
    [letter] = dead_letters(millrace)
    assert letter["column"] == "value" and "more digits" in letter["message"] and letter["source"] == "readings"
    assert "@example.org" not in (millrace.folder / "rejected.jsonl").read_text()


def without_fine(rows):
    return [r for r in rows if r[0] != "fine"]


def test_to_timescale(node, keyspace, hypertables, millrace):
    follower = Follower("timescale", node, keyspace, millrace)
    millrace.env["PG_URL"] = hypertables.url
    insert_readings(node, keyspace, 60)
    update_readings(node, keyspace, 20)
    follower.catch_up()
    assert of_postgres(hypertables) == readings(node, keyspace)
    assert hypertables.value("SELECT count(*) FROM show_chunks('readings')") > 1
    delete_readings(node, keyspace)
    follower.catch_up(4)
    assert of_postgres(hypertables) == without_fine(readings(node, keyspace))
    letter_of(millrace)


def test_fanout(node, keyspace, database, hypertables, target, millrace):
    """1000 rows inserted, one column of 500 of them updated, and deletes of each kind, in all three."""
    follower = Follower("fanout", node, keyspace, millrace)
    millrace.env["TIMESCALE_URL"] = hypertables.url

    def check(*codes):
        follower.catch_up(*codes)
        wanted = without_fine(readings(node, keyspace))
        assert of_postgres(database) == wanted
        assert of_postgres(hypertables) == wanted
        assert of_clickhouse(target) == wanted
        return wanted
    insert_readings(node, keyspace, 1000)
    before = check()
    assert len(before) == 1000 and before[0][3] == hashed("operator", "op0@example.org")
    update_readings(node, keyspace, 500)
    after = check()
    assert [r[:4] for r in after] == [r[:4] for r in before]
    assert sum(a != b for a, b in zip(before, after)) == 500
    delete_readings(node, keyspace)
    assert len(check(4)) == 1000 - 1 - 3 - 125
    letter_of(millrace)


@pytest.mark.parametrize("name", FILES)
def test_check_knows_them(name, node, keyspace, millrace):
    follower = Follower(name, node, keyspace, millrace)
    millrace.command("check", millrace.write("p.yaml", follower.text)).expect(0)


def random_statement(random_, table, time):
    """On few keys, so that everything meets everything; some are written with a time of the past."""
    where = f"sensor = 's{random_.randrange(3)}'"
    hour = f"'{at(random_.randrange(6)):%Y-%m-%d %H:00:00.000+0000}'"
    using = f" USING TIMESTAMP {time - random_.randrange(30)}" if random_.random() < 0.3 else f" USING TIMESTAMP {time}"
    value = random_.choice([str(random_.randrange(9)), "null"])
    what = random_.randrange(10)
    if what < 3:
        sensor = where.split(" = ")[1]
        return f"INSERT INTO {table} (sensor, at, value, note) VALUES ({sensor}, {hour}, {value}, 'n{time % 1000}'){using}"
    if what < 6:
        return f"UPDATE {table}{using} SET value = {value} WHERE {where} AND at = {hour}"
    if what == 6:
        return f"DELETE note FROM {table}{using} WHERE {where} AND at = {hour}"
    if what == 7:
        return f"DELETE FROM {table}{using} WHERE {where} AND at = {hour}"
    if what == 8:
        sign = random_.choice(["<", "<=", ">", ">="])
        return f"DELETE FROM {table}{using} WHERE {where} AND at {sign} {hour}"
    return f"DELETE FROM {table}{using} WHERE {where}"


@pytest.mark.parametrize("seed", range(2))
def test_random_statements_to_clickhouse(node, keyspace, target, millrace, seed):
    """The readings of the fan-out, into ClickHouse alone."""
    text = Follower("fanout", node, keyspace, millrace)
    sinks = text.text.index("sinks:\n")
    last = text.text.index("  - name: clickhouse\n")
    text.text = text.text[:sinks] + "sinks:\n" + text.text[last:]
    random_ = random.Random(seed)
    for part in range(3):
        for i in range(60):
            node.cql(random_statement(random_, f"{keyspace}.readings", 1_700_000_000_000_000 + 1000 * part + 10 * i))
        text.catch_up()
        assert of_clickhouse(target) == readings(node, keyspace), (seed, part)
