# SPDX-License-Identifier: Apache-2.0
"""What users of the systems that Millrace replaces must be able to do, where no other test shows it (tests/acceptance)."""

import json
import sqlite3
import urllib.error
import urllib.request

import pytest

MADE = """name: made
sources:
  - name: made
    generate: {kind: sequence, rate: 2000}
"""
SETTINGS = """settings:
  http: 127.0.0.1:%d
  checkpoint: {interval: 200ms}
  state: "${STATE}"
"""
WAREHOUSE = """  - name: warehouse
    postgres: {url: "%s", table: public.t, create: true}
"""


def get(port, path):
    """(HTTP status, body); (0, "") while nothing listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()
    except OSError:
        return 0, ""


def stage(port, name):
    status, body = get(port, "/status")
    stages = json.loads(body)["stages"] if status == 200 else []
    return next((s for s in stages if s["name"] == name), {"state": "", "rows_out": 0})


def metric(port, name, of):
    line = next(x for x in get(port, "/metrics")[1].splitlines() if x.startswith(f'{name}{{stage="{of}"'))
    return float(line.split()[-1])


def test_a_sink_whose_server_comes_later(millrace, database, proxy, port):
    """S1-8: the state is `waiting`, with the reason; then it runs, and nothing is lost."""
    proxy.refuse()
    running = millrace.start(MADE + "sinks:\n" + WAREHOUSE % proxy.url(database) + SETTINGS % port)
    running.wait_for(lambda: stage(port, "warehouse")["state"] == "waiting", what="waiting")
    assert stage(port, "warehouse")["waits_for"]
    assert database.count("t") == 0
    proxy.refuse(False)
    running.wait_for(lambda: database.count("t") > 0, what="rows")
    assert running.terminate().code == 0
    numbers = sorted(int(n) for (n,) in database.sql("SELECT id FROM t"))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] in (0, 1)


def test_an_unreachable_server_is_visible(millrace, database, proxy, port):
    """S1-10: /readyz says 503 and the cause, and the metric rises."""
    proxy.refuse()
    running = millrace.start(MADE + "sinks:\n" + WAREHOUSE % proxy.url(database) + SETTINGS % port)
    running.wait_for(lambda: get(port, "/readyz")[0] == 503 and ": " in get(port, "/readyz")[1], what="/readyz 503")
    assert get(port, "/readyz")[1].startswith("warehouse is waiting: ")
    first = metric(port, "millrace_sink_connect_errors_total", "warehouse")
    running.wait_for(lambda: metric(port, "millrace_sink_connect_errors_total", "warehouse") > first, what="another try")
    proxy.refuse(False)
    running.wait_for(lambda: get(port, "/readyz") == (200, "ready\n"), what="ready")
    assert running.terminate().code == 0


def test_health_of_each_stage_by_itself(millrace, database, proxy, port):
    """S2-26: only what the stage itself needs is asked."""
    text = MADE + "sinks:\n" + WAREHOUSE % proxy.url(database) + "  - name: other\n    file: {path: other.jsonl}\n" + SETTINGS % port
    running = millrace.start(text)
    running.wait_for(lambda: get(port, "/readyz")[0] == 200, what="ready")
    status, body = get(port, "/health/warehouse")
    answer = json.loads(body)
    assert status == 200 and answer["status"] == "up" and answer["error"] is None
    assert answer["last_check"] and answer["latency_ms"] > 0
    proxy.refuse()
    proxy.cut()
    status, body = get(port, "/health/warehouse")
    assert status == 503 and json.loads(body)["status"] == "down" and json.loads(body)["error"]
    assert get(port, "/health/other")[0] == 200
    assert get(port, "/health/nobody")[0] == 404
    proxy.refuse(False)
    running.wait_for(lambda: get(port, "/readyz")[0] == 200, what="ready again")
    assert running.terminate().code == 0


def test_sinks_progress_independently(millrace, database, proxy, port):
    """S2-15: one of three sinks is down; the others go on, and it resumes where it was."""
    text = (MADE + "sinks:\n" + WAREHOUSE % proxy.url(database)
            + "  - name: lines\n    file: {path: lines.jsonl}\n"
            + "  - name: embedded\n    sqlite: {path: rows.db, table: t, create: true}\n" + SETTINGS % port)
    running = millrace.start(text)
    running.wait_for(lambda: database.count("t") > 0, what="rows in all")
    proxy.refuse()
    proxy.cut()
    running.wait_for(lambda: stage(port, "warehouse")["state"] == "waiting", what="one sink down")
    stuck = stage(port, "warehouse")["rows_out"]
    before = {name: stage(port, name)["rows_out"] for name in ("lines", "embedded")}
    running.wait_for(lambda: all(stage(port, n)["rows_out"] > before[n] + 4000 for n in before), what="the others")
    assert stage(port, "warehouse")["rows_out"] == stuck
    assert all(stage(port, n)["lag_seconds"] < 5 for n in before)
    proxy.refuse(False)
    running.wait_for(lambda: stage(port, "warehouse")["rows_out"] > before["lines"], what="the one that was down")
    assert running.terminate().code == 0
    rows = sqlite3.connect(millrace.folder / "rows.db").execute("SELECT * FROM t").fetchall()
    total = len(rows)
    assert len(set(rows)) == total
    assert database.value("SELECT count(*) FROM t") == total
    assert len(set(map(tuple, database.sql("SELECT * FROM t")))) == total
    assert len(set(millrace.read("lines.jsonl").splitlines())) == total


RESERVED = """name: reserved
sources:
  - name: in
    file:
      path: in.jsonl
      format: jsonl
      columns: {status: utf8, metrics: int64, properties: utf8, order: int64, timestamp: utf8}
transforms:
  - name: changed
    select:
      set:
        total: metrics + "order"
        state: UPPER(status) || '/' || properties || '/' || timestamp
sinks:
  - name: out
    when: metrics > 0
    sqlite: {path: rows.db, table: status, create: true}
settings:
  state: "${STATE}"
"""


def test_reserved_words_are_columns(millrace):
    """S4-8: words of SQL are names of columns, in expressions and in the target."""
    millrace.write("in.jsonl", '{"status":"new","metrics":2,"properties":"p","order":40,"timestamp":"t"}\n')
    millrace.run(RESERVED).expect(0)
    db = sqlite3.connect(millrace.folder / "rows.db")
    assert db.execute('SELECT status, metrics, properties, "order", timestamp, total, state FROM status').fetchall() == [
        ("new", 2, "p", 40, "t", 42, "NEW/p/t")]
