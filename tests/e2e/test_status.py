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
    assert head == ["STAGE", "KIND", "STATE", "ROWS/S", "MB/S", "RING", "STALL", "LAG", "LETTERS", "LAST", "ERROR"]
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
