# SPDX-License-Identifier: Apache-2.0
"""Pipelines into TimescaleDB 2.19 on PostgreSQL 17 (Debian 13): the example of the tree, and the main
job's tests once more."""

import datetime as dt
import json

import pytest

import conftest
# run here with this module's `database`
from test_kafka_postgres import (  # noqa: F401
    test_a_row_the_database_refuses_is_isolated, test_append_arrives_by_value,
    test_created_table_keeps_every_value, test_second_run_writes_only_what_is_new,
    test_tombstone_deletes_in_upsert_mode, test_upsert_keeps_the_last_of_each_key)
from servers.runner import TREE

EXAMPLE = TREE / "pipelines" / "readings-timescale.yaml"
START = dt.datetime(2026, 1, 28, 10, tzinfo=dt.timezone.utc)


@pytest.fixture
def database(timescale):
    made = conftest.Database(timescale, f"d{next(conftest.numbers)}")
    yield made
    timescale.drop_database(made.name)


def reading(n, temperature, device="d1"):
    at = START + dt.timedelta(hours=6 * n)
    return {"value": json.dumps({"device": device, "at": at.isoformat(),
                                 "temperature": temperature, "humidity": 0.5}).encode()}


def test_the_example(kafka, database, millrace):
    kafka.create_topic("sensor.readings", 1)
    kafka.produce("sensor.readings", [reading(n, n % 50) for n in range(100)] + [reading(1, 999)])
    millrace.command("check", EXAMPLE).expect(0)
    connected = millrace.command("check", "--connect", EXAMPLE).expect(0)
    assert "will be created as a hypertable" in connected.text
    millrace.command("run", "--once", EXAMPLE).expect(0)
    kafka.produce("sensor.readings", [reading(n, 20) for n in range(10)])
    millrace.command("run", "--once", EXAMPLE).expect(0)
    kafka.delete_topic("sensor.readings")
    wanted = [(START + dt.timedelta(hours=6 * n), 20.0 if n < 10 else float(n % 50))
              for n in range(100)]
    assert database.sql("SELECT at, temperature FROM readings ORDER BY at") == wanted
    assert database.value("SELECT count(*) FROM show_chunks('readings')") == 26


def test_a_key_without_the_time_column_is_an_error_of_the_file(millrace, database):
    text = EXAMPLE.read_text().replace("key: [device, at]", "key: [device]")
    result = millrace.command("check", millrace.write("bad.yaml", text)).expect(2)
    assert "unique key of a hypertable must contain its time column at" in result.text
    assert "bad.yaml:32:7: /sinks/warehouse/postgres/key" in result.text


def test_the_statements_are_shown(millrace, database):
    shown = millrace.command("discover", "--ddl", EXAMPLE, "warehouse").expect(0).text
    assert "create_hypertable('\"public\".\"readings\"', 'at'" in shown
    assert '"at" timestamp with time zone NOT NULL' in shown
