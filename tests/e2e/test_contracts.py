# SPDX-License-Identifier: Apache-2.0
"""What the program writes is as its schemas say (share/schemas, and `millrace schema FILE STAGE` of rows); an event that fits none
is a dead letter."""

import functools
import json
import pathlib
import random
import urllib.request

import jsonschema
import pytest

from faults import commitlog
from pipelines import block, kafka_source
from servers.process import free_port

TREE = pathlib.Path(__file__).resolve().parents[2]
CORPUS = TREE.parent / "shared" / "data" / "json-test-suite"
COLUMNS = {"id": "int64", "small": "int8", "ratio": "float64", "price": "decimal(10,2)", "name": "utf8", "at": "timestamptz", "day": "date",
           "key": "uuid", "ok": "bool", "tags": "list<utf8>", "more": "json", "raw": "binary"}
EVENT = {"id": 1, "small": 7, "ratio": 0.5, "price": 12.5, "name": "Zürich", "at": "2026-01-28T10:00:00Z", "day": "2026-01-28",
         "key": "6b2f6a3e-7a5c-4e0e-9a0b-0a1b2c3d4e5f", "ok": True, "tags": ["a", None], "more": {"x": [1]}, "raw": "AP8="}
ODD = [None, True, -1, 2 ** 63, 2 ** 64, 1e400, 0.1, "NaN", "", "2026-13-01", "\u0000", "é", [], {}, [[]], {"x": 1}, "1", "-Infinity", 128]


@functools.cache
def schema(name):
    loaded = json.loads((TREE / "share" / "schemas" / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(loaded)
    return jsonschema.Draft202012Validator(loaded)


def check(validator, value):
    errors = sorted(validator.iter_errors(value), key=lambda e: len(e.path))
    assert not errors, f"{errors[0].message}\nin {json.dumps(value)[:2000]}"


def spoiled(rng):
    """An event, mostly with something wrong in it, as bytes."""
    event = dict(EVENT, id=rng.randrange(10 ** 6))
    for key in rng.sample(sorted(event), rng.randrange(4)):
        if rng.random() < 0.3:
            del event[key]
        else:
            event[key] = rng.choice(ODD)
    data = json.dumps(event, ensure_ascii=rng.random() < 0.5).encode(errors="surrogatepass")
    if rng.random() < 0.3:
        at, n = rng.randrange(len(data)), rng.randrange(4)
        data = data[:at] + rng.randbytes(n) + data[at + rng.randrange(3):]
    return data[:rng.randrange(len(data))] if rng.random() < 0.1 else data


def corpus():
    """Test texts of JSON parsers, alone and as a value of an event."""
    for path in sorted(CORPUS.glob("**/*.json")):
        data = path.read_bytes()
        if data:
            yield data
            yield b'{"id":1,"more":' + data + b"}"


FUZZED = ("transforms:\n  - name: numbered\n    select: {set: {place: _offset}}\n"
          "sinks:\n  - name: out\n    file: {path: out.jsonl, format: jsonl}\n  - name: sent\n"
          '    kafka: {brokers: "${KAFKA_BROKERS}", topic: %s, format: json}\n'
          "dead_letter:\n  file: {path: rejected.jsonl}\n  originals: keep\n"
          'settings:\n  state: "${STATE}"\n')


def lines_of(millrace, name):
    """Not by splitlines: texts hold what that takes for line ends."""
    path = millrace.folder / name
    return [json.loads(line) for line in path.read_text().split("\n") if line] if path.exists() else []


def send_and_check(millrace, kafka, topic, events):
    """Every event is rows that are as their schema says, in both sinks, or dead letters; gives how many of each."""
    name, sent = topic(1), topic(1)
    kafka.produce(name, events)
    text = "name: fuzzed\n" + kafka_source(name, block(COLUMNS)) + FUZZED % sent
    rows_schema = jsonschema.Draft202012Validator(json.loads(millrace.command(
        "schema", millrace.write("pipeline.yaml", text), "out").expect(0).out))
    jsonschema.Draft202012Validator.check_schema(rows_schema.schema)
    millrace.run(text, timeout=240).expect(0, 4)
    rows = lines_of(millrace, "out.jsonl")
    for row in rows:
        check(rows_schema, row)
    assert sorted(json.dumps(json.loads(m.value())) for m in kafka.committed(sent)) == sorted(map(json.dumps, rows))
    letters = lines_of(millrace, "rejected.jsonl")
    for letter in letters:
        check(schema("dead-letter"), letter)
    landed = {row["place"] for row in rows}
    refused = {int(letter["position"]) for letter in letters if letter["kind"] == "letter"}
    for i, event in enumerate(events):
        assert i in landed or i in refused or event.strip() == b"[]", (i, event)
    return len(landed), len(refused)


def test_fuzzed_events_are_rows_or_dead_letters(millrace, kafka, topic):
    seed = random.SystemRandom().randrange(10 ** 6)
    rng = random.Random(seed)
    print(f"seed {seed}")
    landed, refused = send_and_check(millrace, kafka, topic, [spoiled(rng) for _ in range(300)])
    assert landed > 30 and refused > 30, (seed, landed, refused)


def test_texts_of_parsers_are_rows_or_dead_letters(millrace, kafka, topic):
    if not CORPUS.exists():
        pytest.skip("no ../shared/data/json-test-suite")
    landed, refused = send_and_check(millrace, kafka, topic, list(corpus()))
    assert landed > 50 and refused > 50


def test_the_schema_of_rows_says_what_is_no_row(millrace):
    text = "name: rows\n" + kafka_source("t", block(COLUMNS)) + 'sinks:\n  - name: out\n    null: {}\nsettings:\n  state: "${STATE}"\n'
    text = text.replace("${KAFKA_BROKERS}", "127.0.0.1:1")
    path = millrace.write("pipeline.yaml", text)
    rows = jsonschema.Draft202012Validator(json.loads(millrace.command("schema", path, "out").expect(0).out))
    event = dict(EVENT, at="2026-01-28T10:00:00.000000Z")
    check(rows, event)
    check(rows, {key: None for key in EVENT})
    for key, value in (("id", 2 ** 63), ("small", 128), ("ratio", "high"), ("at", "2026-01-28"), ("day", "tomorrow"), ("key", "x"), ("ok", 1),
                       ("tags", [1]), ("name", 5), ("price", "12"), ("more_of_it", 1)):
        assert not rows.is_valid(dict(event, **{key: value})), key
    assert not rows.is_valid({"id": 1})
    assert "no stage `nobody`" in millrace.command("schema", path, "nobody").expect(2).err
    assert "name a stage" in millrace.command("schema", path).expect(2).err


def test_status_and_log(millrace, kafka, topic):
    name, port = topic(2), free_port()
    kafka.produce(name, [{"value": b'{"id":%d}' % i, "partition": i % 2} for i in range(20)] + [b"no json"])
    running = millrace.start(
        "name: shown\n" + kafka_source(name, block({"id": "int64"})) + "transforms:\n  - name: same\n    select: {set: {more: id + 1}}\n"
        "sinks:\n  - name: kept\n    null: {}\ndead_letter:\n  file: {path: rejected.jsonl}\n  originals: keep\n"
        f'settings:\n  state: "${{STATE}}"\n  http: 127.0.0.1:{port}\n  log: {{format: json, level: debug}}\n'
        "  trace: {column: id, values: [3]}\n")

    def status():
        try:
            return json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=20).read())
        except OSError:
            return None

    def positions():
        answer = status()
        lanes = [s for s in answer["stages"] if s["kind"] == "sink"][0]["lanes"] if answer else []
        return sum(int(lane["position"]) for lane in lanes)
    running.wait_for(lambda: positions() == 21, 60, "all rows")
    check(schema("status"), status())
    running.terminate().expect(4)
    lines = [json.loads(line) for line in running.log.splitlines()]
    for line in lines:
        check(schema("log"), line)
    assert {line.get("event") for line in lines} >= {"read", "passed", "taken", "durable"}


def test_lines_of_the_commit_log(millrace, cassandra, keyspace, tmp_path):
    """All kinds of statements, and the node's own tables."""
    folder, lines = tmp_path / "log", schema("commitlog")
    seed = random.SystemRandom().randrange(10 ** 6)
    try:
        commitlog.compare(cassandra, folder, seed, 60, f"{keyspace}x")
    finally:
        cassandra.drop_keyspace(f"{keyspace}x")
    found = millrace.command("inspect", "--commitlog", folder, timeout=240).out.splitlines()
    seen = {json.loads(line)["op"] for line in found}
    found += millrace.command("inspect", "--commitlog", folder, "--system", timeout=240).out.splitlines()[:500]
    assert {"insert", "update"} < seen
    for line in found[-1500:]:
        check(lines, json.loads(line))
