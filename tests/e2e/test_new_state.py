# SPDX-License-Identifier: Apache-2.0
"""Two states for one pipeline, or a lost one: noticed by what stands beside the group's offsets in Kafka."""

import json
import shutil

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipelines import block, kafka_source
from servers.process import wait_until

COLUMNS = block({"id": "int64"})
FILE = """  - name: out
    file: {path: out.jsonl}
"""
SQLITE = """  - name: out
    sqlite: {path: out.db, table: t, create: true}
"""


def pipeline(topic, sink=FILE, start="earliest"):
    source = kafka_source(topic, COLUMNS, f"      group: {topic}\n").replace("earliest", start)
    return f"name: watched\n{source}sinks:\n{sink}settings:\n  state: state\n"


def produce(kafka, topic, first, count):
    kafka.produce(topic, [b'{"id":%d}' % i for i in range(first, first + count)])


def ids(millrace):
    return [json.loads(line)["id"] for line in millrace.read("out.jsonl").splitlines()]


def in_group(kafka, topic, offset):
    """Waits until the group's offset is there: it is sent, and not waited for."""
    def there():
        consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": topic})
        try:
            [p] = consumer.committed([TopicPartition(topic, 0)], timeout=30)
            return p.offset == offset
        except KafkaException:  # the broker looks for the group's coordinator
            return False
        finally:
            consumer.close()
    wait_until(there, 60, f"offset {offset} in the group")


def run_to(millrace, kafka, topic, text, offset, *arguments):
    """Runs until the group knows of the offset."""
    running = millrace.start(text, *arguments)
    in_group(kafka, topic, offset)
    running.terminate().expect(0)


def test_a_lost_state_is_noticed(millrace, kafka, topic):
    name = topic(1)
    produce(kafka, name, 0, 100)
    run_to(millrace, kafka, name, pipeline(name), 100)
    shutil.rmtree(millrace.folder / "state")
    refused = millrace.run(pipeline(name)).expect(1)
    assert f"group {name} has read {name}/0 up to offset 100 with another state" in refused.err
    assert "--new-state" in refused.err and ids(millrace) == list(range(100))
    millrace.run(pipeline(name)).expect(1)  # it is not forgotten by trying
    produce(kafka, name, 100, 50)
    run_to(millrace, kafka, name, pipeline(name, start="committed"), 150, "--new-state")
    assert ids(millrace) == list(range(150))
    millrace.run(pipeline(name)).expect(0)


def test_two_states_are_noticed_by_the_one_that_is_behind(millrace, kafka, topic):
    name = topic(1)
    produce(kafka, name, 0, 10)
    run_to(millrace, kafka, name, pipeline(name), 10)
    produce(kafka, name, 10, 10)
    run_to(millrace, kafka, name, pipeline(name, start="committed"), 20, "--new-state", "--set", "settings.state=other")
    refused = millrace.run(pipeline(name)).expect(1)
    assert f"has read {name}/0 up to offset 20 with another state" in refused.err
    assert ids(millrace) == list(range(20))


def test_positions_in_the_target_need_no_state(millrace, kafka, topic):
    name = topic(1)
    produce(kafka, name, 0, 10)
    run_to(millrace, kafka, name, pipeline(name, SQLITE), 10)
    shutil.rmtree(millrace.folder / "state")
    millrace.run(pipeline(name, SQLITE)).expect(0)
