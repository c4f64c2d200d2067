# SPDX-License-Identifier: Apache-2.0
"""What goes wrong is named: within seconds, with stage and server, without secrets, and with the
right exit code."""

import pytest

from pipelines import ENDING, block, kafka_source, postgres_sink
from servers.postgres import PASSWORD
from servers.process import free_port

SOON = 5.0


def pipeline(topic, table="t", options="", columns=None):
    return ("name: bad\n" + kafka_source(topic, block(columns or {"id": "int64"}))
            + postgres_sink(table, options=options) + ENDING)


@pytest.fixture
def filled(kafka, topic):
    name = topic(1)
    kafka.produce(name, [b'{"id":%d}' % i for i in range(10)])
    return name


def check_named(result, code, *words):
    result.expect(code)
    assert result.seconds < SOON, f"named after {result.seconds:.1f} s"
    for word in words:
        assert str(word) in result.err, f"{word!r} is not in:\n{result.err}"
    assert PASSWORD not in result.text and "s3cret" not in result.text


def test_wrong_password(filled, database, postgres, millrace):
    database.sql("CREATE TABLE t (id bigint)")
    url = postgres.database_url(database.name, password="s3cret-wrong")
    result = millrace.run(pipeline(filled), env={"PG_URL": url}, timeout=40)
    check_named(result, 3, "out", f"127.0.0.1:{postgres.port}", "millrace", "password")


def test_unreachable_database(filled, database, millrace):
    port = free_port()
    url = f"postgresql://u:s3cret@127.0.0.1:{port}/d"
    result = millrace.run(pipeline(filled), env={"PG_URL": url}, timeout=40)
    check_named(result, 3, "out", f"127.0.0.1:{port}")


def test_unreachable_broker(database, millrace, kafka):
    database.sql("CREATE TABLE t (id bigint)")
    address = f"127.0.0.1:{free_port()}"
    result = millrace.run(pipeline("any"), env={"KAFKA_BROKERS": address}, timeout=40)
    check_named(result, 3, "in", address)


def test_missing_topic(kafka, database, millrace):
    database.sql("CREATE TABLE t (id bigint)")
    result = millrace.run(pipeline("no.such.topic"), timeout=40)
    check_named(result, 2, "in", "no.such.topic")


def test_missing_table(filled, database, millrace):
    result = millrace.run(pipeline(filled, "nowhere"), timeout=40)
    check_named(result, 2, "out", "nowhere", "create: true")


def test_not_null_column_that_nobody_produces(filled, database, millrace):
    database.sql("CREATE TABLE t (id bigint, trade_date date NOT NULL)")
    result = millrace.run(pipeline(filled), timeout=40)
    check_named(result, 2, "out", "trade_date")
    assert database.count("t") == 0


def test_bigint_target_of_an_unsigned_column_is_refused(filled, database, millrace):
    database.sql("CREATE TABLE t (id bigint)")
    result = millrace.run(pipeline(filled, columns={"id": "uint64"}), timeout=40)
    check_named(result, 2, "out", "id", "bigint")


def test_unset_variable(millrace):
    result = millrace.check(pipeline("t").replace("${PG_URL}", "${NOT_SET_HERE}"))
    check_named(result, 2, "pipeline.yaml:", "NOT_SET_HERE")


def test_wrong_usage(millrace):
    millrace.command("run").expect(2)
    millrace.command("no-such-command").expect(2)
    millrace.command("run", "no-such-file.yaml").expect(2)


def test_check_reads_no_server(kafka, database, millrace):
    result = millrace.check(pipeline("t"), env={"KAFKA_BROKERS": "127.0.0.1:1",
                                                "PG_URL": "postgresql://u:s3cret@127.0.0.1:1/d"})
    check_named(result, 0)


def test_check_connect_names_each_server_by_itself(filled, kafka, database, millrace):
    database.sql("CREATE TABLE t (id bigint)")
    good = millrace.check(pipeline(filled), "--connect")
    good.expect(0)
    assert "PostgreSQL" in good.text and kafka.brokers in good.text
    bad = millrace.check(pipeline(filled), "--connect", env={"KAFKA_BROKERS": "127.0.0.1:1"})
    bad.expect(3)
    assert "PostgreSQL" in bad.text and "127.0.0.1:1" in bad.text


@pytest.mark.parametrize("kind, where", [("postgres", "url: 'postgres://u@127.0.0.1:1/d'"),
                                         ("mysql", "url: 'mysql://u@127.0.0.1:1/d'"), ("sqlite", "path: t.db")])
def test_a_version_that_no_row_has_is_found_without_a_server(millrace, kind, where):
    text = ("name: bad\n" + kafka_source("t", block({"id": "int64", "at": "int64"})) + f"""sinks:
  - name: out
    {kind}: {{{where}, table: t, mode: upsert, key: [id], version: VERSION}}
""" + ENDING)
    env = {"KAFKA_BROKERS": "127.0.0.1:1"}
    millrace.check(text.replace("VERSION", "at"), env=env).expect(0)
    check_named(millrace.check(text.replace("VERSION", "att"), env=env), 2, "version column att is not among")
    assert not (millrace.folder / "t.db").exists()
