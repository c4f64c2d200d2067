# SPDX-License-Identifier: Apache-2.0
"""The starrocks sink with transactions over several tables: rows and positions become visible together."""

import json

import pytest

from pipelines import dead_letters
from servers.starrocks import StarRocks
from test_starrocks import DUPLICATE, each_fault, ids, meets_fault, pipeline, write_rows

MULTI = "      load: multi\n"


@pytest.fixture
def server():
    with StarRocks(version="4.0.1-stand-in") as made:
        made.create(DUPLICATE)
        yield made


def positions(server):
    return [(r["source"], r["owner"], r["rows_total"]) for r in server.rows("db.millrace_offsets")]


def test_rows_and_positions_in_one_transaction(millrace, server):
    write_rows(millrace, 10000)
    text = pipeline(server, MULTI, settings="  batch: {rows: 20000}\n")
    millrace.run(text).expect(0)
    assert ids(server) == list(range(10000))
    begin, *_, commit = [r for r in server.seen() if r["step"] in ("begin", "load", "commit")]
    assert (begin["server"], begin["status"], commit["server"], commit["status"]) == ("fe", 200, "fe", 200)
    assert begin["headers"]["transaction_type"] == "multi"
    loads = server.seen("be", "load")
    assert [r["headers"]["table"] for r in loads] == ["t", "millrace_offsets"]
    assert server.seen(step="prepare") == []
    assert sorted(positions(server)) == [("", 1, 1), ("in", 1, 10000)]
    millrace.run(text).expect(0)  # nothing new
    write_rows(millrace, 10, first=10000)
    millrace.run(text).expect(0)
    assert ids(server) == list(range(10010))
    assert sorted(positions(server))[1] == ("in", 3, 10010)


def test_a_server_before_4_is_told(millrace, server):
    server.version = "3.5.2-stand-in"
    write_rows(millrace, 10)
    stopped = millrace.run(pipeline(server, MULTI)).expect(2)
    assert "3.5.2" in stopped.text and "load: transaction" in stopped.text and server.rows("db.t") == []


FAULTS = [("begin", "drop_before", {}), ("begin", "drop_after", {}), ("begin", "http", {"status": 503}),
          ("load", "drop_before", {}), ("load", "drop_after", {}), ("load", "half", {}),
          ("load", "fail", {"message": "too many tablet versions"}),
          ("commit", "drop_before", {}), ("commit", "drop_after", {}), ("commit", "late", {"delay": 1.0}),
          ("commit", "half", {}), ("commit", "fail", {}), ("commit", "fail_after", {}),
          ("commit", "http", {"status": 429}), ("commit", "http_after", {"status": 500}),
          ("commit", "hang", {"delay": 3.0}), ("state", "drop_before", {"times": 2}),
          ("sql", "drop_before", {})]


@each_fault(FAULTS)
def test_nothing_is_lost_or_doubled(millrace, server, step, action, more):
    meets_fault(millrace, server, MULTI, (step, action, more))


@pytest.mark.parametrize("step", ["begin", "load", "commit"])
@pytest.mark.parametrize("action", ["drop_before", "drop_after", "late"])
def test_kill_at_each_step(millrace, server, step, action):
    """The one label that may be open is known from the table, and settled before anything is read."""
    for i in range(3):
        write_rows(millrace, 50, first=50 * i)
        fault = server.fault(step, action, delay=0.2)
        server.fault("state", "slow", delay=0.3)
        running = millrace.start(pipeline(server, MULTI, mode="follow"))
        running.wait_for(lambda: not fault.times, 60, "the fault")
        running.kill()
        server.faults.clear()
    millrace.run(pipeline(server, MULTI)).expect(0)
    assert ids(server) == list(range(150))


def test_a_process_that_was_followed_by_another_stops(millrace, server):
    write_rows(millrace, 50)
    running = millrace.start(pipeline(server, MULTI, mode="follow"))
    running.wait_for(lambda: len(ids(server)) == 50, 60, "rows")
    with server.lock:
        for row in server.tables["db.millrace_offsets"].by_key.values():
            row["owner"] += 1
    write_rows(millrace, 50, first=50)
    stopped = running.wait(60).expect(1)
    assert "taken over" in stopped.text and ids(server) == list(range(50))


def test_filtered_rows_are_dead_letters(millrace, server):
    write_rows(millrace, 1000)
    server.filters = lambda row: row["id"] in (3, 500, 999)
    millrace.run(pipeline(server, MULTI, settings="  batch: {rows: 400}\n")).expect(4)
    assert ids(server) == [i for i in range(1000) if i not in (3, 500, 999)]
    assert sorted(json.loads(x["original"])["id"] for x in dead_letters(millrace)) == [3, 500, 999]


def test_parallel_instances_are_refused(millrace, server):
    text = pipeline(server, MULTI).replace("  - name: out\n", "  - name: out\n    parallel: 2\n")
    write_rows(millrace, 1)
    assert "parallel: 1" in millrace.run(text).expect(2).text


def test_a_group_is_refused(millrace, server):
    """The offsets table has no compare-and-set: nothing would hold a deposed member back."""
    text = pipeline(server, MULTI, settings="  state: postgresql://u@127.0.0.1/db\n").replace(
        '  state: "${STATE}"\n', "")
    head, _, tail = text.partition("sources:\n")
    sinks = tail[tail.index("sinks:\n"):]
    kafka = """sources:
  - name: in
    kafka: {brokers: "127.0.0.1:1", topics: t, group: g, members: many, format: json, columns: {id: int64}}
"""
    refused = millrace.check(head + kafka + sinks).expect(2)
    assert "deposed" in refused.text
    millrace.check(head + kafka + sinks.replace("load: multi", "load: transaction")).expect(0)
