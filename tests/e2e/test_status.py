# SPDX-License-Identifier: Apache-2.0
"""status and top: what a running pipeline says of itself."""

import fcntl
import json
import os
import pty
import re
import select
import subprocess
import termios
import time
import urllib.request

import pytest

ENDLESS = """name: endless
sources:
  - name: made
    generate: {kind: trades, rate: 2000}
sinks:
  - name: kept
    null: {}
settings:
  http: 127.0.0.1:%d
  state: "${STATE}"
"""


@pytest.fixture
def endless(millrace, port):
    running = millrace.start(ENDLESS % port)
    running.wait_for(lambda: millrace.command("status", url(port)).code == 0, what="status")
    running.wait_for(lambda: stage(millrace, port, "kept")["rows_out"] > 0, what="rows")
    return running


def url(port):
    return f"http://127.0.0.1:{port}"


def stage(millrace, port, name):
    answer = json.loads(millrace.command("status", url(port)).expect(0).out)
    return next(s for s in answer["stages"] if s["name"] == name)


def test_status_prints_short_numbers(millrace, endless, port):
    text = millrace.command("status", url(port)).expect(0).out
    assert json.loads(text)["pipeline"] == "endless"
    assert re.search(r'"busy_seconds": \d', text)
    assert not re.search(r"\d\.\d{7,}", text), text  # microseconds are six digits


def test_top_is_a_table(millrace, endless, port):
    """Where the output is no terminal: one table, with the rates of a second."""
    lines = millrace.command("top", url(port)).expect(0).out.splitlines()
    assert lines[0].startswith("endless: running")
    head = lines[2].split()
    assert head == ["STAGE", "KIND", "STATE", "ROWS/S", "MB/S", "RING", "STALL", "LAG", "P99", "LETTERS", "LAST", "ERROR"]
    rows = {line.split()[0]: line.split() for line in lines[3:]}
    assert rows["made"][1:3] == ["source", "running"] and rows["kept"][1:3] == ["sink", "running"]
    assert int(rows["made"][3]) > 0 and int(rows["kept"][3]) > 0
    assert len(millrace.command("top", "--times", 2, url(port)).expect(0).out.split("STAGE")) == 3


def test_top_knows_a_sink_that_is_behind(millrace, database, proxy, port):
    text = (ENDLESS % port).replace("null: {}", f'postgres: {{url: "{proxy.url(database)}", table: public.t, create: true}}')
    running = millrace.start(text)
    running.wait_for(lambda: database.count("t") > 0, what="rows")
    proxy.refuse()
    proxy.cut()
    running.wait_for(lambda: stage(millrace, port, "kept")["state"] == "waiting"
                     and stage(millrace, port, "kept")["lag_seconds"] > 0.5, what="lag")
    line = next(x for x in millrace.command("top", url(port)).expect(0).out.splitlines() if x.startswith("kept"))
    assert line.split()[2] == "waiting" and len(line.split()) > 10, line  # the error is there
    proxy.refuse(False)
    running.wait_for(lambda: stage(millrace, port, "kept")["state"] == "running", what="running again")
    assert stage(millrace, port, "kept")["last_error"]
    assert running.terminate().code == 0


def test_top_on_a_terminal_ends_by_key_and_by_signal(millrace, endless, port):
    for end in ("q", "\x03"):
        leader, follower = pty.openpty()
        top = subprocess.Popen([millrace.binary, "top", url(port)], stdin=follower, stdout=follower, stderr=follower,
                               env=millrace.env, start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(follower)
        seen = b""
        deadline = time.monotonic() + 30
        while seen.count(b"STAGE") < 2 and time.monotonic() < deadline:
            if select.select([leader], [], [], 1)[0]:
                seen += os.read(leader, 65536)
        os.write(leader, end.encode())
        assert top.wait(20) == 0, (end, seen)
        assert seen.count(b"\x1b[H\x1b[J") >= 2
        os.close(leader)


def test_top_without_a_pipeline(millrace, port):
    assert "no answer" in millrace.command("top", url(port)).expect(3).err


def event_times(text):
    return "".join(f'{{"at":"2026-01-01T00:00:{t:02d}Z","n":{t}}}\n' for t in text)


def test_watermark_and_late_rows_of_a_source_with_event_time(millrace, port):
    """Two lanes (files): the slower one holds the watermark, until it has been silent for `idle`."""
    folder = millrace.folder
    (folder / "a.jsonl").write_text(event_times([10, 30, 5]))
    (folder / "b.jsonl").write_text(event_times([20]))
    running = millrace.start(f"""name: timed
sources:
  - name: in
    time: {{column: at, late: 5s, idle: 2s}}
    file:
      path: {folder}/*.jsonl
      mode: follow
      format: jsonl
      columns:
        at: timestamptz
        n: int64
sinks:
  - name: kept
    file: {{path: out/kept.jsonl}}
settings:
  http: 127.0.0.1:{port}
  state: "${{STATE}}"
""".replace("out/kept.jsonl", "kept.out"))
    first = 1767225600  # 2026-01-01T00:00:00Z

    def seconds():
        return stage(millrace, port, "in").get("watermark_seconds", 0) - first
    running.wait_for(lambda: millrace.command("status", url(port)).code == 0, what="status")
    running.wait_for(lambda: stage(millrace, port, "kept")["rows_out"] == 4, what="rows")
    assert seconds() == 15  # 20 of b less 5: a is at 25
    time.sleep(2.2)         # from now on b is idle

    def more_of_a(times):
        with open(folder / "a.jsonl", "a") as more:
            more.write(event_times(times))
    more_of_a([31])
    running.wait_for(lambda: seconds() == 26, what="the watermark of the lane that is not idle")
    more_of_a([24, 27])
    running.wait_for(lambda: stage(millrace, port, "kept")["rows_out"] == 7, what="late rows too")
    assert stage(millrace, port, "in")["late_rows"] == 1  # 24; 5 came in the batch that made it so
    metrics = urllib.request.urlopen(url(port) + "/metrics").read().decode()
    assert re.search(r'^millrace_source_late_rows_total{stage="in",instance="0"} 1$', metrics, re.M)
    running.terminate().expect(0)


def samples(port):
    """Every sample of /metrics by its name and labels, and the type of each metric."""
    text = urllib.request.urlopen(url(port) + "/metrics").read().decode()
    found, types, name = {}, {}, None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, types[name] = line.split(" ")
        elif not line.startswith("#"):
            key, value = line.rsplit(" ", 1)
            assert key.split("{")[0] in (name, f"{name}_sum", f"{name}_count"), f"{key} stands with {name}"
            assert key not in found
            found[key] = float(value)
    assert all((kind == "counter") == key.endswith("_total") for key, kind in types.items()), types
    return found, types


def test_what_is_measured_of_a_sink(millrace, port):
    running = millrace.start(ENDLESS % port)
    here = '{stage="kept",instance="0"'
    running.wait_for(lambda: millrace.command("status", url(port)).code == 0, what="status")
    running.wait_for(lambda: stage(millrace, port, "kept")["rows_out"] > 0, what="rows")
    before, types = samples(port)
    assert types["millrace_sink_latency_seconds"] == "summary"
    running.wait_for(lambda: samples(port)[0][f"millrace_sink_latency_seconds_count{here}}}"]
                     > before[f"millrace_sink_latency_seconds_count{here}}}"], what="more rows")
    after, _ = samples(port)
    for name in ("rows_out_total", "latency_seconds_count", "latency_seconds_sum"):
        assert after[f"millrace_sink_{name}{here}}}"] > before[f"millrace_sink_{name}{here}}}"], name
    percentiles = [after[f'millrace_sink_latency_seconds{here},quantile="{q}"}}'] for q in ("0.5", "0.95", "0.99")]
    assert 0 < percentiles[0] <= percentiles[1] <= percentiles[2]
    for name in ("lag_seconds", "backlog_rows"):
        assert after[f"millrace_sink_{name}{here}}}"] >= 0, name
    assert after[f"millrace_sink_rows_per_second{here}}}"] > 0
    shown = stage(millrace, port, "kept")
    assert 0 < shown["latency_seconds"]["p50"] <= shown["latency_seconds"]["p99"]
    assert shown["rows_per_second"] > 0 and shown["backlog_rows"] >= 0 and shown["errors"] == []
    running.terminate().expect(0)


def test_errors_and_backlog_of_a_sink(millrace, kafka, topic, database, proxy, port):
    """A row that the database refuses, then a database that is gone: each is counted by its type."""
    from pipelines import LETTERS, block, kafka_source
    name = topic(1)
    database.sql("CREATE TABLE t (id bigint CHECK (id > 0))")
    kafka.produce(name, [b'{"id":1}', b'{"id":-1}'])
    running = millrace.start("name: counted\n" + kafka_source(name, block({"id": "int64"}))
                             + f'sinks:\n  - name: kept\n    postgres: {{url: "{proxy.url(database)}", table: public.t}}\n'
                             + LETTERS + f"settings:\n  http: 127.0.0.1:{port}\n" + '  state: "${STATE}"\n')
    running.wait_for(lambda: database.count("t") == 1, what="the good row")
    running.wait_for(lambda: {"type": "refused", "code": "23514", "count": 1} in stage(millrace, port, "kept")["errors"],
                     what="the refused row")
    assert 'millrace_sink_errors_total{stage="kept",instance="0",type="refused",code="23514"}' in samples(port)[0]
    proxy.refuse()
    proxy.cut()
    kafka.produce(name, [b'{"id":2}', b'{"id":3}'])
    running.wait_for(lambda: any(e["type"] == "unreachable" for e in stage(millrace, port, "kept")["errors"]),
                     what="the lost database")
    running.wait_for(lambda: stage(millrace, port, "kept")["backlog_rows"] == 2, what="rows that wait")
    proxy.refuse(False)
    running.wait_for(lambda: database.count("t") == 3, what="the rest")
    running.wait_for(lambda: stage(millrace, port, "kept")["backlog_rows"] == 0, what="nothing that waits")
    assert running.terminate().code == 4


def test_latency_from_the_event(millrace, kafka, topic, port):
    from pipelines import block, kafka_source
    name = topic(1)
    kafka.produce(name, [{"value": b'{"id":1}', "timestamp": int((time.time() - 1000) * 1000)}])
    source = kafka_source(name, block({"id": "int64"})).replace("    kafka:", "    time: {column: _timestamp, late: 1s}\n    kafka:", 1)
    running = millrace.start("name: aged\n" + source + "sinks:\n  - name: kept\n    null: {}\n"
                             + f"settings:\n  http: 127.0.0.1:{port}\n" + '  state: "${STATE}"\n')
    running.wait_for(lambda: millrace.command("status", url(port)).code == 0, what="status")
    running.wait_for(lambda: stage(millrace, port, "kept").get("event_latency_seconds"), what="the row")
    shown = stage(millrace, port, "kept")
    assert 1000 <= shown["event_latency_seconds"]["p99"] < 2000
    assert shown["latency_seconds"]["p99"] < 900
    assert samples(port)[0]['millrace_sink_event_latency_seconds_count{stage="kept",instance="0"}'] == 1
    running.terminate().expect(0)


def test_a_plugins_own_metrics_are_shown(kafka, topic, millrace, port):
    from pipelines import block, kafka_source
    name = topic(1)
    kafka.produce(name, [b'{"id":1}'])
    running = millrace.start("name: own\n" + kafka_source(name, block({"id": "int64"}))
                             + "sinks:\n  - name: kept\n    null: {}\nsettings:\n"
                             + f"  http: 127.0.0.1:{port}\n" + '  state: "${STATE}"\n')
    running.wait_for(lambda: millrace.command("status", url(port)).code == 0, what="status")
    running.wait_for(lambda: stage(millrace, port, "kept")["rows_out"] == 1, what="the row")
    running.wait_for(lambda: "lag_messages" in stage(millrace, port, "in")["metrics"], what="lag")
    metrics = urllib.request.urlopen(url(port) + "/metrics").read().decode()
    names = [line.split("{")[0].split(" ")[0] + line.split("}")[0] for line in metrics.splitlines()]
    assert len(names) == len(set(names)), "a metric is there twice"
    line = rf'^millrace_kafka_lag_messages{{stage="in",instance="0",lane="{name}/0"}} [01]$'
    assert re.search(line, metrics, re.M), metrics
    running.terminate().expect(0)
