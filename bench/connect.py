# SPDX-License-Identifier: Apache-2.0
"""The peer that one configures: Kafka Connect, standalone, with Debezium's JDBC sink. It needs the
schema inside each message (or a registry), so it reads a topic of its own."""

import json

from servers import maven, trades
from servers.process import free_port, require_tool

COORDINATES = (
    "io.debezium:debezium-connector-jdbc:3.0.0.Final",
    "org.apache.kafka:connect-runtime:3.9.1",
    "org.apache.kafka:connect-json:3.9.1",
    "org.postgresql:postgresql:42.7.4",
    "org.slf4j:slf4j-simple:1.7.36",
)

WORKER = """bootstrap.servers={brokers}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=true
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{port}
plugin.discovery=only_scan
connector.client.config.override.policy=All
"""

SINK = """name={name}
connector.class=io.debezium.connector.jdbc.JdbcSinkConnector
tasks.max=2
topics={topic}
connection.url=jdbc:postgresql://127.0.0.1:{pg_port}/{database}?reWriteBatchedInserts=true
connection.username={user}
connection.password={password}
insert.mode=insert
primary.key.mode=none
schema.evolution=none
table.name.format={table}
batch.size=10000
consumer.override.max.poll.records=10000
consumer.override.auto.offset.reset=earliest
consumer.override.fetch.min.bytes=100000
"""


def enveloped(count):
    """The trades as Connect wants them: each message with its schema."""
    schema = json.dumps({"type": "struct", "fields": [
        {"type": "int64", "field": f} for f in trades.FIELDS]}, separators=(",", ":")).encode()
    for i in range(count):
        yield b'{"schema":' + schema + b',"payload":' + trades.message(i) + b"}"


def command(folder, kafka, postgres, database, topic, table, user, password):
    """Writes the two property files and returns the command line; the folder's name is the
    connector's, so that each run begins at the beginning."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "worker.properties").write_text(WORKER.format(
        brokers=kafka.brokers, folder=folder, port=free_port()))
    (folder / "sink.properties").write_text(SINK.format(
        name=folder.name, topic=topic, pg_port=postgres.port, database=database, table=table, user=user,
        password=password))
    jars = maven.libraries("connect-3.9.1", *COORDINATES)
    return [require_tool("java"), "-Xmx700m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*",
            "org.apache.kafka.connect.cli.ConnectStandalone",
            str(folder / "worker.properties"), str(folder / "sink.properties")]
