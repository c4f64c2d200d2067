# SPDX-License-Identifier: Apache-2.0
"""Apache Kafka 3.9.1, one KRaft node."""

import base64
import pathlib
import signal
import time
import uuid

from . import maven
from .process import Process, ServerError, free_port, require_tool, tail, wait_until
from .proxy import Proxy

COORDINATES = ("org.apache.kafka:kafka_2.13:3.9.1", "org.slf4j:slf4j-simple:1.7.36")

FORMATS = 3  # a JVM that the machine has no room for at this moment is tried again

PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{behind},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},PROXIED://127.0.0.1:{front}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms={rebalance_delay_ms}
group.min.session.timeout.ms=1000
log.retention.ms=-1
log.message.timestamp.before.max.ms=9223372036854775807
"""


class Kafka:
    """A broker; `brokers` is its address, `proxied` that through `proxy`, by which a client finds no other.
    Use as a context manager or call stop()."""

    def __init__(self, folder, *, heap="512m", fast_start=True, rebalance_delay_ms=100):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.heap = heap
        self.flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"] if fast_start else []
        self.port = free_port()
        self.brokers = f"127.0.0.1:{self.port}"
        self.proxy = Proxy("127.0.0.1", free_port())
        self.proxied = f"127.0.0.1:{self.proxy.port}"
        self.process = None
        self._admin = None
        self.properties = self.folder / "server.properties"
        self.properties.write_text(PROPERTIES.format(
            port=self.port, behind=self.proxy.target[1], front=self.proxy.port, controller=free_port(), data=self.folder / "data",
            rebalance_delay_ms=rebalance_delay_ms))
        self._format()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.proxy.stop()

    def _java(self, main, *args, heap="256m"):
        jars = maven.libraries("kafka-3.9.1", *COORDINATES)
        return [require_tool("java"), f"-Xmx{heap}", *self.flags, "-cp", f"{jars}/*", main, *args]

    def _format(self, *options):
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        log = self.folder / "format.log"
        for _ in range(FORMATS):
            process = Process(self._java("kafka.tools.StorageTool", "format", "--ignore-formatted", f"--cluster-id={cluster}",
                                         "-c", str(self.properties), *options), log)
            if process.popen.wait(120) == 0:
                return
        raise ServerError(f"kafka's format ended with {process.popen.returncode}:\n{tail(log)}")

    def start(self, timeout=60):
        """Starts the broker (again, with its data) and waits until it answers."""
        self.process = Process(self._java("kafka.Kafka", str(self.properties), heap=self.heap),
                               self.folder / "kafka.log")
        wait_until(self._answers, timeout, "kafka")

    def _answers(self):
        self.process.require_running("kafka")
        try:
            return self.admin().list_topics(timeout=1).brokers
        except Exception as e:  # the client raises its own type for "not yet"
            self.last_error = e
            return None

    def stop(self):
        if self.process:
            self.process.stop(signal.SIGTERM)

    def admin(self):
        """The one admin client of this broker (it must outlive the futures that it gives)."""
        from confluent_kafka.admin import AdminClient
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        return self._admin

    def create_topic(self, name, partitions=1, **config):
        from confluent_kafka.admin import NewTopic
        topic = NewTopic(name, partitions, 1, config={k.replace("_", "."): str(v)
                                                      for k, v in config.items()})
        self.admin().create_topics([topic])[name].result(30)
        self._wait_for_leaders(name, partitions)
        return name

    def _wait_for_leaders(self, name, partitions):
        admin = self.admin()

        def led():
            found = admin.list_topics(name, timeout=5).topics.get(name)
            return found and len(found.partitions) == partitions and all(
                p.leader >= 0 for p in found.partitions.values())
        wait_until(led, 20, f"leaders of {name}")

    def delete_topic(self, name):
        self.admin().delete_topics([name])[name].result(30)

    def producer(self, **config):
        """Idempotent, because a retry must not change the order within a partition: the first
        batches to a topic just created are often refused once."""
        from confluent_kafka import Producer
        return Producer({"bootstrap.servers": self.brokers, "linger.ms": 20, "log_level": 3,
                         "enable.idempotence": True,
                         "batch.size": 500000, "queue.buffering.max.messages": 500000,
                         "queue.buffering.max.kbytes": 262144, **config})

    def produce(self, topic, messages, partition=None):
        """Writes messages: bytes, or dicts with value, key, headers, partition, timestamp (ms)."""
        producer = self.producer()
        errors = []

        def report(error, _message):
            if error:
                errors.append(error)
        count = 0
        for message in messages:
            fields = message if isinstance(message, dict) else {"value": message}
            if partition is not None:
                fields = {"partition": partition, **fields}
            self._enqueue(producer, topic, fields, report)
            count += 1
        if producer.flush(60) or errors:
            raise ServerError(f"messages not delivered to {topic}: {errors[:1]}")
        return count

    @staticmethod
    def _enqueue(producer, topic, fields, report):
        while True:
            try:
                producer.produce(topic, on_delivery=report, **fields)
                return producer.poll(0)
            except BufferError:
                producer.poll(0.1)

    def ends(self, topic):
        """End offset of each partition, by partition number."""
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "ends"})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=10)[1]
                for p in partitions}
        consumer.close()
        return ends

    def consume(self, topic, timeout=20):
        """Every message of a topic, from the beginning to its end at the time of the call."""
        from confluent_kafka import Consumer, TopicPartition
        ends = self.ends(topic)
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "reader",
                             "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        consumer.assign([TopicPartition(topic, p, 0) for p in ends])
        messages, end = [], time.monotonic() + timeout
        while len(messages) < sum(ends.values()) and time.monotonic() < end:
            messages += [m for m in consumer.consume(10000, 0.5) if not m.error()]
        consumer.close()
        return messages

    def committed(self, topic, timeout=60):
        """Messages of committed transactions, from each partition's beginning to its end. A broker
        answers a commit before it has marked every partition: the end is where nothing is open."""
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "reader",
                             "isolation.level": "read_committed", "enable.partition.eof": True,
                             "auto.offset.reset": "earliest", "enable.auto.commit": False})
        ends, found = self.ends(topic), []
        left, until = set(ends), time.monotonic() + timeout
        consumer.assign([TopicPartition(topic, p, 0) for p in ends])
        while left:
            if time.monotonic() > until:
                raise ServerError(f"partitions {left} have no end: an open transaction?")
            for message in consumer.consume(10000, 0.2):
                if not message.error():
                    found.append(message)
                elif message.offset() >= ends[message.partition()]:
                    left.discard(message.partition())
        consumer.close()
        return found
