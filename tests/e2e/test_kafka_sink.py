# SPDX-License-Identifier: Apache-2.0
"""Kafka as a sink, read back by a client that we did not write, committed messages only."""

import json
import random
import signal
import time

import pytest

from pipelines import ENDING, block, dead_letters, kafka_source

COLUMNS = block({"id": "int64", "name": "utf8"})
FAST = "  checkpoint: {interval: 50ms}\n"


def committed(kafka, topic):
    return kafka.committed(topic)


def sink(topic, options=""):
    return f"""sinks:
  - name: out
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topic: {topic}
{options}"""


def pipeline(source, target, options="", settings="", source_options=""):
    return ("name: copy\n" + kafka_source(source, COLUMNS, source_options) + sink(target, options)
            + ENDING + settings)


def rows(first, count):
    return [b'{"id":%d,"name":"n%d"}' % (i, i) for i in range(first, first + count)]


def ids(messages):
    return sorted(json.loads(m.value())["id"] for m in messages)


def test_rows_arrive_once_with_key_and_header(kafka, topic, millrace):
    source, target = topic(3), topic(2)
    kafka.produce(source, rows(0, 5000))
    text = pipeline(source, target, "      key: name\n      headers: {who: name}\n")
    millrace.run(text).expect(0)
    found = committed(kafka, target)
    assert ids(found) == list(range(5000))
    for m in found:
        value = json.loads(m.value())
        assert m.key().decode() == value["name"] == f"n{value['id']}"
        assert m.headers() == [("who", value["name"].encode())]
    millrace.run(text).expect(0)
    assert len(committed(kafka, target)) == 5000


def test_a_lost_state_directory_writes_nothing_twice(kafka, topic, millrace):
    source, target = topic(2), topic(1)
    kafka.produce(source, rows(0, 100))
    text = pipeline(source, target)
    millrace.run(text).expect(0)
    millrace.run(text, env={"STATE": str(millrace.folder / "other")}).expect(0)
    assert ids(committed(kafka, target)) == list(range(100))


def test_keys_land_in_the_partition_that_java_chooses(kafka, topic, millrace):
    source, target = topic(1), topic(8)
    kafka.produce(source, rows(0, 200))
    millrace.run(pipeline(source, target, "      key: name\n")).expect(0)
    wanted = topic(8)
    kafka.producer(partitioner="murmur2_random")  # the client's name for Java's
    producer = kafka.producer(partitioner="murmur2_random")
    for i in range(200):
        producer.produce(wanted, key=f"n{i}", value=b"x")
    producer.flush(20)
    place = {m.key(): m.partition() for m in committed(kafka, wanted)}
    assert {m.key(): m.partition() for m in committed(kafka, target)} == place


def test_a_composite_key_is_json_and_a_delete_is_a_tombstone(kafka, topic, millrace):
    source, target = topic(1), topic(1)
    kafka.produce(source, [{"key": b'{"id":1}', "value": b'{"id":1,"name":"a"}'},
                           {"key": b'{"id":1}', "value": None}])
    millrace.run(pipeline(source, target, "      key: [id]\n",
                          source_options="      key_columns: [id]\n")).expect(0)
    found = [(m.key(), m.value()) for m in committed(kafka, target)]
    assert [key for key, _ in found] == [b'{"id":1}'] * 2
    assert json.loads(found[0][1]) == {"id": 1, "name": "a"} and found[1][1] is None


STAGES = {
    "select": "  - name: pass\n    select:\n      set: {_headers: _headers}\n",
    "filter": "  - name: pass\n    filter: {where: id < 1 AND _headers IS NOT NULL}\n",
    "enrich": ("  - name: pass\n    select:\n      set: {_headers: _headers}\n"
               "  - name: with_more\n    enrich: {with: more, on: {id: id}, add: {more: more}}\n"),
}
LOOKUP = "lookups:\n  - name: more\n    file: {path: more.jsonl, format: jsonl, columns: {id: int64, more: utf8}}\n"


@pytest.mark.parametrize("stage", STAGES)
def test_headers_pass_through(kafka, topic, millrace, stage):
    """Every stage passes the headers of a row on; what enrich adds brings none."""
    source, target = topic(1), topic(1)
    (millrace.folder / "more.jsonl").write_text('{"id": 0, "more": "x"}\n')
    kafka.produce(source, [{"value": row, "headers": [("trace", b"42"), ("trace", b"43")]}
                           for row in rows(0, 2)])
    lookup = LOOKUP if stage == "enrich" else ""
    millrace.run("name: copy\n" + lookup + kafka_source(source, COLUMNS)
                 + "transforms:\n" + STAGES[stage] + sink(target) + ENDING).expect(0)
    found = committed(kafka, target)
    assert len(found) == (1 if stage == "filter" else 2)
    assert all(m.headers() == [("trace", b"42"), ("trace", b"43")] for m in found)


def test_headers_are_read_set_and_removed(kafka, topic, millrace):
    """S4-6: from one topic to the other; numbers keep their digits."""
    source, target = topic(1), topic(1)
    value = b'{"id":7,"price":12345678901234567890.123456789000}'
    kafka.produce(source, [{"value": value, "headers": [("trace", b"42"), ("secret", b"x")]}, {"value": value}])
    text = "name: copy\n" + kafka_source(source, block({"id": "int64", "price": "decimal(38,12)"})) + """transforms:
  - name: marked
    select:
      set:
        seen: HEADER('trace')
        has: HAS_HEADER('secret')
        names: CAST(HEADER_KEYS() AS utf8)
        _headers: "SET_HEADER(SET_HEADER(REMOVE_HEADER(_headers, 'secret'), 'offset', _offset), 'price', price)"
""" + sink(target) + ENDING
    millrace.run(text).expect(0)
    found = committed(kafka, target)
    price = b"12345678901234567890.123456789000"
    assert [m.headers() for m in found] == [[("trace", b"42"), ("offset", b"0"), ("price", price)],
                                            [("offset", b"1"), ("price", price)]]
    values = [json.loads(m.value()) for m in found]
    assert [(v["seen"], v["has"]) for v in values] == [("42", True), (None, False)]
    assert json.loads(values[0]["names"]) == ["trace", "secret"]


def test_bytes_go_through_as_they_are(kafka, topic, millrace):
    """Line ends at the end of a message are the message's own."""
    source, target = topic(1), topic(1)
    values = [b"a", b"", b"\n", b"b\n", b"c\n\n", bytes(range(256)), b"\0"]
    kafka.produce(source, values)
    text = ("name: copy\n" + kafka_source(source, "").replace("json", "raw").replace("      columns:\n", "")
            + sink(target, "      format: raw\n") + ENDING)
    millrace.run(text).expect(0)
    assert [m.value() for m in committed(kafka, target)] == values


def test_what_avro_cannot_name_is_told_by_check(millrace):
    columns = "        odd name: int64\n        by: map<int64, utf8>\n"
    text = "name: copy\n" + kafka_source("t", columns) + sink("u", "      format: avro\n") + ENDING
    env = {"KAFKA_BROKERS": "127.0.0.1:1"}
    found = millrace.command("check", millrace.write("p.yaml", text), env=env).expect(2).text
    assert "odd name" in found and "rename it" in found
    text = text.replace("odd name", "fine")
    assert "keys are text" in millrace.command("check", millrace.write("p.yaml", text), env=env).expect(2).text
    text = text.replace("map<int64", "map<utf8")
    millrace.command("check", millrace.write("p.yaml", text), env=env).expect(0)
    bad = text.replace("format: avro", "format: avro\n      record: 1st")
    assert "record" in millrace.command("check", millrace.write("p.yaml", bad), env=env).expect(2).text
    file = text[:text.index("sinks:")] + "sinks:\n  - name: out\n    file: {path: x, format: avro}\n" + ENDING
    assert "told apart" in millrace.command("check", millrace.write("p.yaml", file), env=env).expect(2).text


def test_a_missing_topic_is_named_and_can_be_made(kafka, topic, millrace):
    source = topic(1)
    kafka.produce(source, rows(0, 3))
    result = millrace.run(pipeline(source, "nowhere"))
    result.expect(2)
    assert "no topic nowhere" in result.text and kafka.brokers in result.text
    millrace.run(pipeline(source, "made", "      create: true\n      partitions: 3\n")).expect(0)
    assert ids(committed(kafka, "made")) == [0, 1, 2] and len(kafka.ends("made")) == 3


def random_text(length):
    return "".join(random.Random(1).choices("abcdefgh123456", k=length))


def oversize_rows():
    big = json.dumps({"id": 50, "name": random_text(60000)})
    return [*rows(0, 50), big.encode(), *rows(51, 49)]


def oversize_pipeline(source, target):
    return pipeline(source, target, "      compression: none\n").replace(
        "settings:", "dead_letter:\n  file: {path: rejected.jsonl}\nsettings:")


def test_an_oversize_message_is_a_dead_letter(kafka, topic, millrace):
    source, target = topic(1), topic(1, max_message_bytes=20000)
    kafka.produce(source, oversize_rows())
    millrace.run(oversize_pipeline(source, target)).expect(4)
    assert ids(committed(kafka, target)) == [i for i in range(100) if i != 50]
    assert [(x["code"], x["position"]) for x in dead_letters(millrace)] == [
        ("MSG_SIZE_TOO_LARGE", "50")]


def test_a_limit_that_sank_while_running_blames_the_right_row(kafka, topic, millrace):
    """The broker refuses whole batches: the message at fault is found by sending each alone."""
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
    source, target = topic(1), topic(1)
    first = b'{"id":1000,"name":"first"}'
    kafka.produce(source, [first])
    text = oversize_pipeline(source, target)
    running = millrace.start(text)
    running.wait_for(lambda: len(committed(kafka, target)) == 1, what="the first row")
    limit = ConfigEntry("max.message.bytes", "20000",
                        incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, target, incremental_configs=[limit])
    kafka.admin().incremental_alter_configs([resource])[resource].result(10)
    kafka.produce(source, oversize_rows())
    running.wait_for(lambda: len(committed(kafka, target)) == 100, what="the good rows")
    running.terminate().expect(4)
    assert ids(committed(kafka, target)) == [i for i in range(100) if i != 50] + [1000]
    letters = dead_letters(millrace)
    assert [(x["code"], x["position"]) for x in letters] == [("MSG_SIZE_TOO_LARGE", "51")]


def test_dead_letters_into_kafka(kafka, topic, millrace):
    source, target, letters = topic(1), topic(1), topic(1)
    kafka.produce(source, [*rows(0, 5), b"broken", *rows(5, 5)])
    text = pipeline(source, target).replace("settings:", f"""dead_letter:
  kafka: {{brokers: "${{KAFKA_BROKERS}}", topic: {letters}}}
settings:""")
    millrace.run(text).expect(4)
    assert ids(committed(kafka, target)) == list(range(10))
    found = [json.loads(m.value()) for m in committed(kafka, letters)]
    assert [(f["stage"], f["original"]) for f in found if f["kind"] == "letter"] == [("in", "broken")]


def test_a_paused_process_cannot_write_after_its_successor(kafka, topic, millrace):
    source, target = topic(2), topic(2)
    text = pipeline(source, target, "", FAST)
    kafka.produce(source, rows(0, 100))
    old = millrace.start(text, log="old.log")
    old.wait_for(lambda: len(committed(kafka, target)) == 100, what="the first rows")
    kafka.produce(source, rows(100, 100))
    old.signal(signal.SIGSTOP)
    new = millrace.start(text, env={"STATE": str(millrace.folder / "other")}, log="new.log")
    new.wait_for(lambda: len(committed(kafka, target)) == 200, what="the successor's rows")
    old.signal(signal.SIGCONT)
    kafka.produce(source, rows(200, 100))
    result = old.wait(30)
    assert result.code == 1 and "taken over" in result.text
    new.wait_for(lambda: len(committed(kafka, target)) >= 300, what="all rows")
    new.terminate().expect(0)
    assert ids(committed(kafka, target)) == list(range(300))


def test_members_of_a_group_share_the_work(kafka, topic, millrace):
    source, target = topic(4), topic(2)
    text = pipeline(source, target, "      transactions: lane\n", FAST,
                    "      group: sharers\n      members: many\n")
    members = [millrace.start(text, env={"STATE": str(millrace.folder / f"s{i}")}, log=f"{i}.log")
               for i in range(2)]
    for i in range(20):
        kafka.produce(source, rows(i * 100, 100))
        time.sleep(0.2)
        if i == 10:
            members[0].terminate().expect(0)
    members[1].wait_for(lambda: len(committed(kafka, target)) >= 2000, what="all rows")
    members[1].terminate().expect(0)
    assert ids(committed(kafka, target)) == list(range(2000))


def test_a_restarted_broker_is_waited_for(kafka, topic, millrace):
    source, target = topic(1), topic(1)
    text = pipeline(source, target, "", FAST)
    kafka.produce(source, rows(0, 100))
    running = millrace.start(text)
    running.wait_for(lambda: len(committed(kafka, target)) == 100, what="the first rows")
    kafka.stop()
    kafka.start()
    kafka.produce(source, rows(100, 100))
    running.wait_for(lambda: len(committed(kafka, target)) >= 200, timeout=60, what="the rest")
    running.terminate().expect(0)
    assert ids(committed(kafka, target)) == list(range(200))


def test_the_example_runs(kafka, millrace):
    from servers import trades
    from servers.runner import TREE
    if "trade.history" not in kafka.admin().list_topics(timeout=10).topics:
        kafka.create_topic("trade.history", 2)
    before = sum(kafka.ends("trade.history").values())
    kafka.produce("trade.history", [*trades.messages(20), b"broken"])
    millrace.command("run", TREE / "pipelines" / "trades-enriched.yaml", "--once").expect(4)
    found = [json.loads(m.value()) for m in committed(kafka, "trades.enriched")]
    assert len(found) >= 20 and all("amount" in row for row in found)
    assert len(found) <= before + 20
    assert any(m.value() and b"broken" in m.value() for m in committed(kafka, "trades.rejected"))
