# SPDX-License-Identifier: Apache-2.0
"""The servers and the faults that the other tests build on do what they say."""

import threading
import time

import psycopg
import pytest

from servers import trades
from servers.proxy import PostgresStream


def test_kafka_keeps_key_headers_and_time(kafka, topic):
    name = topic(2)
    kafka.produce(name, [{"value": b"v", "key": b"k", "headers": [("h", b"1")],
                          "timestamp": 1700000000123, "partition": 1}])
    [message] = kafka.consume(name)
    assert (message.key(), message.value(), message.headers()) == (b"k", b"v", [("h", b"1")])
    assert message.timestamp()[1] == 1700000000123 and message.partition() == 1


def test_bulk_produce(kafka, topic):
    name = topic(4)
    assert kafka.produce(name, trades.messages(20000)) == 20000
    assert sum(kafka.ends(name).values()) == 20000


def test_trade_is_203_bytes():
    assert {len(trades.message(i)) for i in (0, 1, 1_999_999)} == {203}


def test_databases_are_apart(database, postgres):
    database.sql("CREATE TABLE t (i int)")
    assert database.count("t") == 0
    assert postgres.sql("SELECT to_regclass('t')") == [(None,)]


def test_wrong_password_is_refused(postgres):
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.database_url("postgres", password="wrong"))


def insert_through(proxy, database, value):
    """Inserts and commits; returns whether the client heard of the commit."""
    try:
        with psycopg.connect(proxy.url(database)) as connection:
            connection.execute("INSERT INTO t VALUES (%s)", (value,))
        return True
    except psycopg.OperationalError:
        return False


def landed(database, value):
    return database.value("SELECT count(*) FROM t WHERE i = %s", value) == 1


def test_swallowed_commit_landed(database, proxy):
    database.sql("CREATE TABLE t (i int)")
    proxy.break_commits(1, "swallow")
    assert not insert_through(proxy, database, 1) and landed(database, 1)
    assert insert_through(proxy, database, 2) and landed(database, 2)
    assert proxy.cut_commits == 1


def test_late_commit_lands_after_the_client_has_gone(database, proxy):
    database.sql("CREATE TABLE t (i int)")
    proxy.break_commits(1, "late", delay=3.0)
    assert not insert_through(proxy, database, 1) and not landed(database, 1)
    until = time.monotonic() + 20
    while not landed(database, 1) and time.monotonic() < until:
        time.sleep(0.1)
    assert landed(database, 1)


def test_dropped_commit_never_lands(database, proxy):
    database.sql("CREATE TABLE t (i int)")
    proxy.break_commits(1, "drop")
    assert not insert_through(proxy, database, 1)
    assert not landed(database, 1)


def test_every_third_commit_is_broken(database, proxy):
    database.sql("CREATE TABLE t (i int)")
    proxy.break_commits(2, "drop", every=3)
    heard = [insert_through(proxy, database, i) for i in range(9)]
    assert heard == [True, True, False, True, True, False, True, True, True]


def test_commit_is_found_in_any_split_of_the_stream():
    def message(kind, body):
        return kind + (len(body) + 4).to_bytes(4, "big") + body
    start = (8 + 5).to_bytes(4, "big") + (196608).to_bytes(4, "big") + b"user\0"
    stream = start + b"".join([message(b"Q", b"BEGIN\0"), message(b"d", b"x COMMIT\0" * 9),
                               message(b"Q", b"COMMIT\0"), message(b"Q", b"select 1\0"),
                               message(b"P", b"\0commit\0\0\0"), message(b"X", b"")])
    for step in (1, 2, 3, 5, 7, 64, len(stream)):
        parser, parts = PostgresStream(), []
        for at in range(0, len(stream), step):
            parts += parser.feed(stream[at:at + step])
        assert b"".join(p for p, _ in parts) == stream
        assert [p for p, is_commit in parts if is_commit] == [
            message(b"Q", b"COMMIT\0"), message(b"P", b"\0commit\0\0\0")]


def test_frozen_proxy_is_silent_and_recovers(database, proxy):
    database.sql("CREATE TABLE t (i int)")
    proxy.freeze()
    insert = threading.Thread(target=insert_through, args=(proxy, database, 1), daemon=True)
    insert.start()
    insert.join(0.4)
    assert insert.is_alive() and not landed(database, 1)
    proxy.thaw()
    insert.join(20)
    assert not insert.is_alive() and landed(database, 1)


def test_cassandra_keeps_rows_and_writes_segments(cassandra, keyspace):
    cassandra.cql(f"CREATE TABLE {keyspace}.t (id int PRIMARY KEY, v text) WITH cdc = true")
    cassandra.cql_many(f"INSERT INTO {keyspace}.t (id, v) VALUES (?, ?)", [(i, f"v{i}") for i in range(50)])
    assert sorted(cassandra.cql(f"SELECT id, v FROM {keyspace}.t")) == [(i, f"v{i}") for i in range(50)]
    assert list(cassandra.cdc_raw.glob("CommitLog-7-*.log"))
    assert cassandra.table_id(keyspace, "t").version in (1, 4)
