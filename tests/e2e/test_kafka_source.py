# SPDX-License-Identifier: Apache-2.0
"""The kafka source against a real broker: where it starts, transactions, restarts, TLS and log-in."""

import json
import subprocess
import time

import pytest
from confluent_kafka import Producer, TopicPartition

from servers.kafka import Kafka

PASSWORD = "hunter2-and-more"


def pipeline(topic, options="", columns="        id: int64\n"):
    """Kafka -> lines of out.jsonl, with the message's offset."""
    return f"""name: source
sources:
  - name: in
    kafka:
      brokers: "${{KAFKA_BROKERS}}"
      topics: {topic}
      columns:
{columns}{options}transforms:
  - name: place
    select:
      set:
        at: _offset
sinks:
  - name: out
    file: {{path: out.jsonl}}
settings:
  state: "${{STATE}}"
"""


def rows(millrace):
    return [json.loads(line) for line in millrace.read("out.jsonl").splitlines()]


def messages(count, first=0, start_ms=None):
    for i in range(first, first + count):
        message = {"value": b'{"id":%d}' % i}
        if start_ms is not None:
            message["timestamp"] = start_ms + 1000 * i
        yield message


# Aborted transactions and the marks of transactions are not rows, but the position passes them.

def transact(kafka, topic, *parts):
    """parts: (first, count, committed)."""
    producer = Producer({"bootstrap.servers": kafka.brokers, "transactional.id": topic, "log_level": 0})
    producer.init_transactions(30)
    for first, count, committed in parts:
        producer.begin_transaction()
        for i in range(first, first + count):
            producer.produce(topic, b'{"id":%d}' % i)
        producer.flush(30)
        producer.commit_transaction(30) if committed else producer.abort_transaction(30)


def test_transactions(kafka, topic, millrace):
    name = topic(1)
    transact(kafka, name, (0, 10, True), (100, 5, False), (10, 3, True), (200, 4, False))
    millrace.run(pipeline(name)).expect(0)
    assert [r["id"] for r in rows(millrace)] == list(range(13))
    transact(kafka, name, (300, 2, False), (13, 1, True))
    millrace.run(pipeline(name)).expect(0)
    assert [r["id"] for r in rows(millrace)] == list(range(14))


# The first run begins where the file says; later runs go on.

START_MS = 1_700_000_000_000


def test_start_at(kafka, topic, millrace):
    name = topic(1)
    kafka.produce(name, messages(100, start_ms=START_MS))
    millrace.run(pipeline(name, '      start_at: "2023-11-14T22:14:02.5Z"\n')).expect(0)
    from confluent_kafka import Consumer
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "times"})
    expected = consumer.offsets_for_times([TopicPartition(name, 0, START_MS + 42500)], timeout=10)[0].offset
    consumer.close()
    found = [r["at"] for r in rows(millrace)]
    assert found[0] == expected == 43
    assert found == list(range(expected, 100))


def test_start_at_after_the_last_message(kafka, topic, millrace):
    name = topic(1)
    kafka.produce(name, messages(5, start_ms=START_MS))
    text = pipeline(name, '      start_at: "2030-01-01"\n')
    millrace.run(text).expect(0)
    assert rows(millrace) == []
    kafka.produce(name, messages(2, first=5))
    millrace.run(text).expect(0)
    assert [r["id"] for r in rows(millrace)] == [5, 6]


def test_start_latest_and_offsets(kafka, topic, millrace):
    name = topic(2)
    kafka.produce(name, messages(10), partition=0)
    kafka.produce(name, messages(10, first=100), partition=1)
    text = pipeline(name, f"      start: latest\n      start_offsets:\n        \"{name}:1\": 7\n")
    millrace.run(text).expect(0)
    assert [r["id"] for r in rows(millrace)] == [107, 108, 109]


def test_start_committed(kafka, topic, millrace):
    name = topic(1)
    kafka.produce(name, messages(10))
    from confluent_kafka import Consumer
    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": name})
    consumer.commit(offsets=[TopicPartition(name, 0, 6)], asynchronous=False)
    consumer.close()
    millrace.run(pipeline(name, f"      group: {name}\n      start: committed\n")).expect(0)
    assert [r["at"] for r in rows(millrace)] == [6, 7, 8, 9]


def test_group_offsets_follow_for_lag_tools(kafka, topic, millrace):
    name = topic(1)
    kafka.produce(name, messages(50))
    running = millrace.start(pipeline(name, f"      group: {name}\n"))

    def committed():
        from confluent_kafka import Consumer, TopicPartition
        consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": name})
        [found] = consumer.committed([TopicPartition(name, 0)], timeout=10)
        consumer.close()
        return found.offset == 50
    running.wait_for(committed, what="offset 50 in the group")
    running.terminate().expect(0)


# A partition that appears while the pipeline runs, or between two runs, is read from its beginning.

def test_new_partition(kafka, topic, millrace):
    from confluent_kafka.admin import NewPartitions
    name = topic(1)
    kafka.produce(name, messages(3))
    text = pipeline(name, "      start: latest\n")
    millrace.run(text).expect(0)
    kafka.admin().create_partitions([NewPartitions(name, 2)])[name].result(30)
    kafka._wait_for_leaders(name, 2)
    kafka.produce(name, messages(4, first=10), partition=1)
    millrace.run(text).expect(0)
    assert [r["id"] for r in rows(millrace)] == [10, 11, 12, 13]


# Records that retention deleted before they were read.

def delete_before(kafka, name, offset):
    kafka.admin().delete_records([TopicPartition(name, 0, offset)])
    time.sleep(0.5)


def test_gap(kafka, topic, millrace):
    name = topic(1)
    kafka.produce(name, messages(5))
    millrace.run(pipeline(name)).expect(0)
    kafka.produce(name, messages(10, first=5))
    delete_before(kafka, name, 9)
    failed = millrace.run(pipeline(name)).expect(1)
    assert "offset 5 is no longer there, the oldest is 9" in failed.text
    millrace.run(pipeline(name, "      on_gap: continue\n")).expect(0)
    assert [r["at"] for r in rows(millrace)] == [0, 1, 2, 3, 4, *range(9, 15)]


# A broker of its own, for what would disturb the others.

def make_certificates(folder):
    """An authority, a broker for localhost and 127.0.0.1, and one for another name."""
    def run(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
        "-subj", "/CN=test authority", "-days", "30")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "broker.key", "-out", "broker.csr",
        "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    run("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "broker.crt", "-days", "30", "-extfile", "names")
    key, certificate = (folder / "broker.key").read_text(), (folder / "broker.crt").read_text()
    (folder / "broker.pem").write_text(key + certificate)


class SecureKafka(Kafka):
    """With a second listener that wants TLS and a log-in of any kind; `secure` is its address."""

    def _format(self):
        from servers.process import free_port
        port = free_port()
        self.secure = f"localhost:{port}"
        make_certificates(self.folder)
        text = self.properties.read_text()
        text = text.replace("listeners=PLAINTEXT:", f"listeners=SECURE://127.0.0.1:{port},PLAINTEXT:", 1)
        text = text.replace("advertised.listeners=", f"advertised.listeners=SECURE://localhost:{port},")
        text = text.replace("protocol.map=", "protocol.map=SECURE:SASL_SSL,CONTROLLER:PLAINTEXT,")
        modules = "org.apache.kafka.common.security"
        self.properties.write_text(text + f"""sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.secure.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_etl="{PASSWORD}";
listener.name.secure.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.secure.oauthbearer.sasl.jaas.config={modules}.oauthbearer.OAuthBearerLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={self.folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={self.folder}/ca.pem
""")
        super()._format(*(f"--add-scram=SCRAM-SHA-{bits}=[name=etl,password={PASSWORD}]" for bits in (256, 512)))


@pytest.fixture(scope="module")
def secure(server_folder):
    with SecureKafka(server_folder / "secure-kafka") as server:
        server.create_topic("t", 1)
        server.produce("t", messages(20))
        yield server


def login(password=PASSWORD, ca="${CA}", tls="", mechanism="plain"):
    return f"""      tls:
        mode: on
        ca: "{ca}"
{tls}      sasl: {{mechanism: {mechanism}, user: etl, password: "{password}"}}
"""


def run_secure(secure, millrace, options, brokers=None):
    env = {"KAFKA_BROKERS": brokers or secure.secure, "CA": str(secure.folder / "ca.pem")}
    return millrace.run(pipeline("t", options), env=env)


def test_tls_and_password(secure, millrace):
    run_secure(secure, millrace, login()).expect(0)
    assert [r["id"] for r in rows(millrace)] == list(range(20))


def refused(result, *words):
    assert PASSWORD not in result.text and "wrong-secret" not in result.text
    result.expect(3)
    assert all(word in result.text for word in words), result.text
    assert result.seconds < 40


def test_wrong_password(secure, millrace):
    refused(run_secure(secure, millrace, login("wrong-secret")), "in", "localhost", "uthentication")


@pytest.mark.parametrize("mechanism", ["scram_sha_256", "scram_sha_512"])
def test_scram(secure, millrace, mechanism):
    run_secure(secure, millrace, login(mechanism=mechanism)).expect(0)
    assert [r["id"] for r in rows(millrace)] == list(range(20))
    wrong = login("wrong-secret", mechanism=mechanism)
    refused(run_secure(secure, millrace, wrong), "in", "localhost", "uthentication")


def test_oauthbearer(secure, millrace):
    """A token that the library makes itself; the broker takes unsigned ones."""
    options = """      tls: {mode: on, ca: "${CA}"}
      sasl: {mechanism: oauthbearer}
      rdkafka:
        enable.sasl.oauthbearer.unsecure.jwt: "true"
        sasl.oauthbearer.config: principal=etl
"""
    run_secure(secure, millrace, options).expect(0)
    assert [r["id"] for r in rows(millrace)] == list(range(20))


def test_unknown_authority(secure, millrace):
    options = login().replace('        ca: "${CA}"\n', "")
    refused(run_secure(secure, millrace, options), "in", "certificate")


def test_certificate_of_another_name(secure, millrace):
    address = secure.secure.replace("localhost", "127.0.0.1")
    refused(run_secure(secure, millrace, login(), address), "in", "127.0.0.1")


def test_no_encryption_where_the_broker_wants_it(secure, millrace):
    options = "      tls: {mode: off}\n      sasl: {mechanism: plain, user: etl, password: wrong-secret}\n"
    refused(run_secure(secure, millrace, options), "in", "localhost")


def test_broker_restarts_while_running(secure, millrace):
    """Plain listener: the one the other tests do not need."""
    secure.create_topic("restart", 2)
    secure.produce("restart", messages(100))
    running = millrace.start(pipeline("restart"), env={"KAFKA_BROKERS": secure.brokers})
    running.wait_for(lambda: (millrace.folder / "out.jsonl").exists() and len(rows(millrace)) == 100)
    secure.stop()
    time.sleep(1)
    secure.start()
    secure.produce("restart", messages(50, first=100))
    running.wait_for(lambda: len(rows(millrace)) == 150, what="150 rows")
    running.terminate().expect(0)
    assert sorted(r["id"] for r in rows(millrace)) == list(range(150))
