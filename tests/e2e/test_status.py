# SPDX-License-Identifier: Apache-2.0
"""status and top: what a running pipeline says of itself."""

import fcntl
import json
import os
import pty
import re
import select
import socket
import subprocess
import termios
import time

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
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


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
