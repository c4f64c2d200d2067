# SPDX-License-Identifier: Apache-2.0
"""The short form of the fault runs (./dev faults is the long one)."""

import random

import pytest

from faults import (backends, cassandra as following, clickhouse as into_clickhouse, common, kills, memory, network, outage,
                    starrocks, starrocks_answers)
from servers import trades
from servers.http_faults import FAULTS

SEED = random.SystemRandom().randrange(10 ** 6)


@pytest.fixture
def where(kafka, postgres, tmp_path):
    return kafka, postgres, tmp_path


def check(outcome):
    print(f"{common.HEADER}\n{outcome.line()}")
    assert outcome.rows > 0 and outcome.good, outcome.line()


@pytest.mark.parametrize("kind", ["append", "upsert", "sqlite", "kafka", "kafka_lane"])
def test_kills(where, kind):
    check(kills.run(*where, kind, 10, SEED))


def test_kills_of_a_pipeline_into_clickhouse(where, clickhouse):
    check(kills.run(*where, "clickhouse", 10, SEED, clickhouse))


@pytest.mark.parametrize("faults", [[f for f in FAULTS if f not in into_clickhouse.SLOW],
                                    list(into_clickhouse.SLOW)], ids=["quick", "slow"])
def test_spoiled_answers_of_clickhouse(where, clickhouse, faults):
    check(into_clickhouse.run(*where, clickhouse, faults, 1))


@pytest.mark.parametrize("knob", [("commit", "late"), ("prepare", "drop_after")])
def test_kills_of_a_pipeline_into_starrocks(kafka, tmp_path, knob):
    check(starrocks.run(kafka, tmp_path, *knob, 5, SEED))


@pytest.mark.parametrize("answer", starrocks_answers.ANSWERS, ids=lambda a: a.name)
def test_spoiled_answers_of_starrocks(tmp_path, answer):
    check(starrocks_answers.run(tmp_path, answer, 2, SEED))


def test_kills_of_a_pipeline_that_follows_cassandra(cassandra, postgres, tmp_path):
    check(following.run(cassandra, postgres, tmp_path, 3, 0, 500, SEED, delete=False))


@pytest.mark.parametrize("mode", ["append", "upsert"])
def test_terminated_backends(where, mode):
    check(backends.terminated(*where, mode, 5, SEED))


@pytest.mark.parametrize("fault, count", [("swallow", 5), ("late", 5), ("drop", 5),
                                          ("half_open", 1)])
def test_broken_commits(where, fault, count):
    check(backends.broken_commits(*where, fault, count))


def test_stopped_backend_is_noticed_within_its_deadline(where):
    check(backends.stopped(*where, 1))


def test_writers_while_columns_come_and_go(where):
    check(backends.altered(*where, 1))


def test_memory_stays_flat_while_the_sink_stands_still(where):
    check(memory.run(*where, rows=500_000, seconds=5))


def test_a_sink_that_is_down_stops_no_other(kafka, postgres, mariadb, clickhouse, tmp_path):
    """S2-15, S3-12: COPY and INSERT into PostgreSQL, MariaDB and ClickHouse in one process."""
    outcomes, _ = outage.run(kafka, postgres, mariadb, clickhouse, tmp_path, 1, 1000, ("copied", "analytics"))
    assert len(outcomes) == 4
    for outcome in outcomes:
        check(outcome)


def test_the_comparison_finds_what_is_lost_doubled_or_changed():
    wanted = [trades.row(i) for i in range(10)]
    assert common.compare_rows(list(wanted), wanted) == (0, 0, 0)
    assert common.compare_rows(wanted[1:], wanted) == (1, 0, 0)
    assert common.compare_rows(wanted + wanted[:2], wanted) == (0, 2, 0)
    changed = [(*wanted[0][:-1], 0), *wanted[1:]]
    assert common.compare_rows(changed, wanted) == (0, 0, 1)
    assert common.compare_rows([*wanted, trades.row(77)], wanted) == (0, 0, 1)


@pytest.mark.parametrize("how", network.HOW)
@pytest.mark.parametrize("side", network.SIDES)
def test_a_network_that_is_cut(where, side, how):
    outcome, _ = network.run(*where, side, how, 1, 1000)
    check(outcome)


@pytest.mark.parametrize("how", network.HOW)
def test_a_network_that_is_cut_in_the_middle_of_a_scan(cassandra, postgres, tmp_path, how):
    outcome, _ = network.run_cassandra(cassandra, postgres, tmp_path, how, 1)
    check(outcome)
