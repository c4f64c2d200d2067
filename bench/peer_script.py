# SPDX-License-Identifier: Apache-2.0
"""The peer that one writes in an afternoon: confluent-kafka, orjson and raw COPY, at least once.
usage: peer_script.py BROKERS TOPIC POSTGRES_URL TABLE ROWS"""

import sys
import time

import orjson
import psycopg
from confluent_kafka import Consumer, TopicPartition

FIELDS = ("trade_id", "match_seq", "price", "quantity", "buy_user_id", "sell_user_id",
          "buy_order_id", "sell_order_id", "timestamp")
LINE = "\t".join(["%d"] * len(FIELDS)) + "\n"


def main(brokers, topic, url, table, rows):
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "peer-script",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest",
                         "fetch.queue.backoff.ms": 5})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    connection, done = psycopg.connect(url), 0
    while done < rows:
        begin = time.monotonic()
        with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            while done < rows and time.monotonic() < begin + 1:
                messages = consumer.consume(10000, 0.2)
                values = [orjson.loads(m.value()) for m in messages]
                copy.write("".join([LINE % tuple([v[f] for f in FIELDS]) for v in values]))
                done += len(values)
        connection.commit()
        consumer.commit(asynchronous=True)


if __name__ == "__main__":
    main(*sys.argv[1:5], int(sys.argv[5]))
