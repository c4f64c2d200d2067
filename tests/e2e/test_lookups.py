# SPDX-License-Identifier: Apache-2.0
"""Lookup tables fed by a topic: loaded, followed, resumed, and what /status says of them."""

import json
import re
import urllib.request

import pytest

from pipelines import block, kafka_source

KEYS = 10000


def user(i, country):
    return {"key": b'{"user_id":%d}' % i, "value": b'{"user_id":%d,"country":"%s"}' % (i, country)}


def gone(i):
    return {"key": b'{"user_id":%d}' % i, "value": None}


def pipeline(stream, users, port):
    return f"""name: joined
lookups:
  - name: users
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: {users}
      key_columns: [user_id]
      columns: {{user_id: int64, country: utf8}}
{kafka_source(stream, block({"id": "int64", "user_id": "int64"}))}transforms:
  - name: known
    enrich:
      with: users
      on: {{user_id: user_id}}
      add: {{country: country}}
sinks:
  - name: kept
    file: {{path: out.jsonl}}
settings:
  http: 127.0.0.1:{port}
  state: "${{STATE}}"
"""


class Joined:
    """The running pipeline, and what it wrote."""

    def __init__(self, kafka, millrace, stream, port):
        self.kafka, self.millrace, self.stream, self.port = kafka, millrace, stream, port
        self.count = 0

    def ask(self, path):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10).read().decode()

    def lookup(self):
        try:
            return json.loads(self.ask("/status"))["lookups"][0]
        except OSError:
            return {"state": "no answer"}

    def countries(self):
        path = self.millrace.folder / "out.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return {r["id"]: r["country"] for r in map(json.loads, lines)}

    def country_of(self, running, user_id):
        """What a row gets that comes now."""
        self.count += 1
        mark = self.count
        self.kafka.produce(self.stream, [b'{"id":%d,"user_id":%d}' % (mark, user_id)])
        running.wait_for(lambda: mark in self.countries(), what=f"row {mark}")
        return self.countries()[mark]

    def wait_for_country(self, running, user_id, country):
        running.wait_for(lambda: self.country_of(running, user_id) == country, what=f"{user_id} is {country}")


def test_a_topic_is_loaded_followed_and_resumed(kafka, topic, millrace, port):
    stream, users = topic(1), topic(2)
    kafka.produce(users, [user(i, b"AT") for i in range(KEYS)])
    kafka.produce(users, [user(7, b"CH"), gone(8)])  # by key, so behind the first of each
    joined = Joined(kafka, millrace, stream, port)
    text = pipeline(stream, users, port)
    running = millrace.start(text)
    assert joined.country_of(running, 1) == "AT"
    assert joined.country_of(running, 7) == "CH"
    assert joined.country_of(running, 8) is None
    state = joined.lookup()
    assert (state["state"], state["keys"], state["rejected"]) == ("ready", KEYS - 1, 0)
    kafka.produce(users, [user(i, b"DE") for i in range(100, 200)] + [gone(9)])
    joined.wait_for_country(running, 199, "DE")
    joined.wait_for_country(running, 100, "DE")
    joined.wait_for_country(running, 9, None)
    assert joined.lookup()["following"] is True
    running.kill()
    kafka.produce(users, [user(1, b"FR")])
    again = millrace.start(text)
    joined.wait_for_country(again, 1, "FR")
    assert joined.country_of(again, 150) == "DE" and joined.country_of(again, 9) is None
    assert joined.lookup()["rows"] < KEYS  # the table came from the state folder
    again.terminate().expect(0)


def test_refused_rows_of_a_lookup_are_told_and_counted(kafka, topic, millrace, port):
    stream, users = topic(1), topic(1)
    kafka.produce(users, [user(1, b"AT"), {"key": b'{"user_id":2}', "value": b'{"user_id":"two"}'},
                          {"key": b'{"user_id":3}', "value": b"not JSON"}, user(4, b"CH")])
    joined = Joined(kafka, millrace, stream, port)
    running = millrace.start(pipeline(stream, users, port))
    assert joined.country_of(running, 4) == "CH" and joined.country_of(running, 2) is None
    assert joined.lookup()["rejected"] == 2
    metrics = joined.ask("/metrics")
    assert re.search(r'^millrace_lookup_rows_rejected_total\{lookup="users"\} 2$', metrics, re.M), metrics
    assert re.search(r'^millrace_lookup_ready\{lookup="users"\} 1$', metrics, re.M), metrics
    line = next(x.split() for x in millrace.command("top", f"http://127.0.0.1:{port}").out.splitlines()
                if x.startswith("users"))
    assert line[:3] == ["users", "lookup", "ready"] and line[-1] == "2", line
    done = running.terminate()
    assert re.search(rf"users: a row was refused \(.*\): {users}/0 at 1: .*user_id", done.text), done.text
    assert "2 rows of this load were refused" in done.text
