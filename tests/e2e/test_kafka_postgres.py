# SPDX-License-Identifier: Apache-2.0
"""The main job: Kafka to PostgreSQL, on real servers."""

import datetime
import decimal
import json
import time

import pytest

from pipelines import (ENDING, LETTERS, block, dead_letters, expected, kafka_source, postgres_sink, stored,
                       trades_pipeline)
from servers import trades

COUNT = 20000


def test_append_arrives_by_value(kafka, topic, database, millrace):
    name = topic(4)
    kafka.produce(name, trades.messages(COUNT))
    database.sql(trades.table_sql("trades"))
    millrace.run(trades_pipeline(name)).expect(0)
    assert stored(database) == expected(COUNT)


def test_second_run_writes_only_what_is_new(kafka, topic, database, millrace):
    name = topic(2)
    kafka.produce(name, trades.messages(1000))
    database.sql(trades.table_sql("trades"))
    for count in (1000, 1000, 1500):
        kafka.produce(name, trades.messages(count - database.count("trades"), 1000)) \
            if count > 1000 else None
        millrace.run(trades_pipeline(name)).expect(0)
        assert stored(database) == expected(count)


def test_second_run_with_lost_state_directory_still_writes_nothing_twice(
        kafka, topic, database, millrace):
    """Positions of a transactional sink live in the target, not in the state directory."""
    name = topic(2)
    kafka.produce(name, trades.messages(1000))
    database.sql(trades.table_sql("trades"))
    millrace.run(trades_pipeline(name)).expect(0)
    millrace.run(trades_pipeline(name), env={"STATE": str(millrace.folder / "other")})
    assert stored(database) == expected(1000)


def test_one_lane_row_for_each_partition_after_many_commits(kafka, topic, database, millrace):
    name = topic(3)
    database.sql(trades.table_sql("trades"))
    running = millrace.start(trades_pipeline(name) + "  checkpoint: {interval: 50ms}\n")
    for i in range(20):
        kafka.produce(name, trades.messages(30, i * 30))
    running.wait_for(lambda: database.count("trades") == 600, what="600 rows")
    running.terminate().expect(0)
    assert database.value("SELECT count(*) FROM millrace_offsets") == 3
    assert stored(database) == expected(600)


def test_upsert_keeps_the_last_of_each_key(kafka, topic, database, millrace):
    name = topic(4)
    kafka.produce(name, trades.keyed(5000, keys=700))
    database.sql(trades.table_sql("trades", key=True))
    millrace.run(trades_pipeline(name, "upsert")).expect(0)
    last = {i % 700: (trades.FIRST_TRADE + i % 700, *trades.row(i)[1:]) for i in range(5000)}
    assert stored(database) == sorted(last.values())


def test_tombstone_deletes_in_upsert_mode(kafka, topic, database, millrace):
    name = topic(1)
    columns = block({"id": "int64", "v": "utf8"})
    text = ("name: tombs\n"
            + kafka_source(name, columns, "      key_columns: [id]\n")
            + postgres_sink("t", "upsert", "id", "      create: true\n") + ENDING)
    kafka.produce(name, [{"key": b'{"id":%d}' % i, "value": b'{"id":%d,"v":"x"}' % i}
                         for i in range(10)])
    kafka.produce(name, [{"key": b'{"id":3}', "value": None}, {"key": b'{"id":4}', "value": None},
                         {"key": b'{"id":4}', "value": b'{"id":4,"v":"again"}'}])
    millrace.run(text).expect(0)
    rows = dict(database.sql("SELECT id, v FROM t"))
    assert 3 not in rows and rows[4] == "again" and len(rows) == 9
    kafka.produce(name, [{"key": b'{"id":5}', "value": None}])
    millrace.run(text).expect(0)
    assert 5 not in dict(database.sql("SELECT id, v FROM t"))


def test_array_message_becomes_a_row_for_each_element(kafka, topic, database, millrace):
    name = topic(1)
    kafka.produce(name, [trades.array(0, 3), trades.message(3), b"[]", trades.array(4, 50)])
    database.sql(trades.table_sql("trades"))
    millrace.run(trades_pipeline(name)).expect(0)
    assert stored(database) == expected(54)


def test_created_table_keeps_every_value(kafka, topic, database, millrace):
    name = topic(1)
    columns = block({"u": "uint64", "i": "int64", "d": "decimal(18,4)", "f": "float64", "b": "bool",
                     "s": "utf8", "day": "date32", "at": "timestamp"})
    kafka.produce(name, [
        b'{"u":18446744073709551615,"i":-9223372036854775808,"d":12345678901234.5678,"f":0.1,'
        b'"b":true,"s":"\\u00e4\\ud83d\\ude00 \\\\t\\t\\n","day":"2024-02-29",'
        b'"at":"2026-01-28 10:00:00.123456"}',
        b'{"u":null,"i":9223372036854775807,"d":-0.0001,"f":-1e300,"b":false,"s":"",'
        b'"day":"1969-12-31","at":"1969-12-31 23:59:59.999999"}',
        b'{}'])
    text = ("name: types\n" + kafka_source(name, columns)
            + postgres_sink("v", options="      create: true\n") + ENDING)
    millrace.run(text).expect(0)
    rows = database.sql("SELECT u, i, d, f, b, s, day, at FROM v ORDER BY i")
    at = rows[0][7].replace(tzinfo=None)
    assert rows[0][:7] == (18446744073709551615, -9223372036854775808,
                           decimal.Decimal("12345678901234.5678"), 0.1, True,
                           "ä😀 \\t\t\n", datetime.date(2024, 2, 29))
    assert at == datetime.datetime(2026, 1, 28, 10, 0, 0, 123456)
    assert rows[1][:7] == (None, 9223372036854775807, decimal.Decimal("-0.0001"), -1e300, False,
                           "", datetime.date(1969, 12, 31))
    assert rows[2] == (None,) * 8


def test_derived_columns_from_the_message_time(kafka, topic, database, millrace):
    name = topic(1)
    kafka.produce(name, [{"value": b'{"id":1}', "timestamp": 1700000000123}])
    text = ("name: stamped\n" + kafka_source(name, block({"id": "int64"})) + """transforms:
  - name: stamp
    select:
      set:
        trade_date: CAST(_timestamp AS date)
        settled_at: _timestamp
        from_offset: _offset
        from_partition: _partition
        from_topic: _topic
""" + postgres_sink("t", options="      create: true\n") + ENDING)
    millrace.run(text).expect(0)
    [(day, at, offset, partition, source)] = database.sql(
        "SELECT trade_date, settled_at, from_offset, from_partition, from_topic FROM t")
    assert day == datetime.date(2023, 11, 14)
    assert (at.hour, at.minute, at.second, at.microsecond) == (22, 13, 20, 123000)
    assert (offset, partition, source) == (0, 0, name)


def test_headers_are_read(kafka, topic, database, millrace):
    name = topic(1)
    kafka.produce(name, [{"value": b'{"id":1}', "headers": [("type", b"order")]},
                         {"value": b'{"id":2}', "headers": [("type", b"audit")]},
                         {"value": b'{"id":3}'}])
    text = ("name: headers\n" + kafka_source(name, block({"id": "int64"})) + """transforms:
  - name: kind
    select:
      set:
        kind: header('type')
""" + postgres_sink("t", options="      create: true\n") + ENDING)
    millrace.run(text).expect(0)
    assert dict(database.sql("SELECT id, kind FROM t")) == {1: "order", 2: "audit", 3: None}


MASK_KEY = "0123456789abcdef0123456789abcdef"

PEOPLE = """transforms:
  - name: countries
    enrich:
      with: users
      on: {user_id: user_id}
      add: {country: country}
      missing: keep
  - name: privacy
    mask:
      key: "${MASK_KEY}"
      classify: auto
      rules:
        note: redact
        phone: partial(4)
"""

USERS = """lookups:
  - name: users
    file:
      path: users.csv
      format: csv
      columns: {user_id: int64, country: utf8}
"""


def test_masked_and_enriched(kafka, topic, database, millrace):
    name = topic(1)
    millrace.write("users.csv", "user_id,country\n1,AT\n2,CH\n")
    people = [{"user_id": i, "email": f"canary{i}@example.org", "ssn": f"078-05-112{i}",
               "phone": f"+43 660 555010{i}", "note": f"canary-note-{i}", "city": "Wien"}
              for i in (1, 2, 3)]
    kafka.produce(name, [json.dumps(p).encode() for p in people])
    columns = block({"user_id": "int64", "email": "utf8", "ssn": "utf8", "phone": "utf8",
                     "note": "utf8", "city": "utf8"})
    text = ("name: people\n" + USERS + kafka_source(name, columns) + PEOPLE
            + postgres_sink("people", options="      create: true\n") + ENDING)
    done = millrace.run(text, env={"MASK_KEY": MASK_KEY}).expect(0)
    rows = database.sql("SELECT user_id, email, ssn, phone, note, city, country FROM people"
                        " ORDER BY user_id")
    assert [r[6] for r in rows] == ["AT", "CH", None]
    assert {r[5] for r in rows} == {"Wien"}
    everything = repr(rows) + done.text
    for canary in ("canary", "078-05", "5550", MASK_KEY):
        assert canary not in everything
    assert len({r[1] for r in rows}) == 3 and len({r[2] for r in rows}) == 3
    assert [r[3][-4:] for r in rows] == ["0101", "0102", "0103"]


def test_filter_and_fan_out(kafka, topic, database, millrace):
    name = topic(1)
    kafka.produce(name, [b'{"id":%d}' % i for i in range(100)])
    text = ("name: fan\n" + kafka_source(name, block({"id": "int64"})) + """sinks:
  - name: small
    input: in
    when: id < 10
    postgres:
      url: "${PG_URL}"
      table: public.small
      create: true
  - name: rest
    input: in
    when: otherwise
    postgres:
      url: "${PG_URL}"
      table: public.rest
      create: true
  - name: everything
    input: in
    postgres:
      url: "${PG_URL}"
      table: public.everything
      create: true
""" + ENDING)
    millrace.run(text).expect(0)
    assert [database.count(t) for t in ("small", "rest", "everything")] == [10, 90, 100]


@pytest.mark.parametrize("start, wanted", [
    ("start_at: 2026-01-28T10:00:00.050Z", range(50, 100)),
    ('start_offsets: {"0": 90}', range(90, 100)),
    ("start: latest", range(0)),
])
def test_first_position(kafka, topic, database, millrace, start, wanted):
    name = topic(1)
    kafka.produce(name, [{"value": b'{"id":%d}' % i, "timestamp": 1769594400000 + i}
                         for i in range(100)])
    source = kafka_source(name, block({"id": "int64"})).replace("start: earliest", start)
    text = "name: first\n" + source + postgres_sink("t", options="      create: true\n") + ENDING
    database.sql("CREATE TABLE t (id bigint)")
    millrace.run(text).expect(0)
    assert [i for (i,) in database.sql("SELECT id FROM t ORDER BY id")] == list(wanted)
    kafka.produce(name, [b'{"id":100}'])
    millrace.run(text).expect(0)
    assert [i for (i,) in database.sql("SELECT id FROM t ORDER BY id")] == [*wanted, 100]


def test_undecodable_messages_become_dead_letters(kafka, topic, database, millrace):
    name = topic(1)
    bad = {1: b'{"id":1,"s":', 3: b'{"id":1e3}', 5: b'{"id":"x"}', 7: b'\xff\xfe',
           9: b'{"id":9223372036854775808}', 11: b'[{"id":11},{"id":"y"}]',
           13: b'{"id":13,"s":"\xed\xa0\x80"}'}
    kafka.produce(name, [bad.get(i, b'{"id":%d,"s":"ok"}' % i) for i in range(20)])
    database.sql("CREATE TABLE t (id bigint, s text)")
    text = ("name: bad\n" + kafka_source(name, block({"id": "int64", "s": "utf8"}))
            + postgres_sink("t") + LETTERS + ENDING)
    millrace.run(text).expect(4)
    assert {i for (i,) in database.sql("SELECT id FROM t")} == set(range(20)) - set(bad)
    letters = dead_letters(millrace)
    assert {int(letter["position"]) for letter in letters} == set(bad)
    for letter in letters:
        assert letter["stage"] == "in" and letter["message"] and letter["code"]
    first = next(letter for letter in letters if int(letter["position"]) == 1)
    assert first["original"] == bad[1].decode()


def test_a_row_the_database_refuses_is_isolated(kafka, topic, database, millrace):
    """One bad row in 10,000: the others land, it becomes a dead letter with its original bytes."""
    name = topic(1)
    bad = b'{"id":6543,"v":-1}'
    kafka.produce(name, [bad if i == 6543 else b'{"id":%d,"v":%d}' % (i, i) for i in range(10000)])
    database.sql("CREATE TABLE t (id bigint, v bigint CHECK (v >= 0))")
    text = ("name: refused\n" + kafka_source(name, block({"id": "int64", "v": "int64"}))
            + postgres_sink("t") + LETTERS + ENDING)
    millrace.run(text).expect(4)
    assert database.value("SELECT count(DISTINCT id) FROM t") == 9999 == database.count("t")
    [letter] = dead_letters(millrace)
    assert letter["original"] == bad.decode() and letter["code"] == "23514"
    assert letter["stage"] == "out" and int(letter["position"]) == 6543


def test_nul_in_text_becomes_a_dead_letter(kafka, topic, database, millrace):
    name = topic(1)
    kafka.produce(name, [b'{"s":"a"}', b'{"s":"a\\u0000b"}', b'{"s":"c"}'])
    database.sql("CREATE TABLE t (s text)")
    text = "name: nul\n" + kafka_source(name, block({"s": "utf8"})) + postgres_sink("t") + LETTERS + ENDING
    millrace.run(text).expect(4)
    assert sorted(s for (s,) in database.sql("SELECT s FROM t")) == ["a", "c"]
    assert len(dead_letters(millrace)) == 1


def test_refused_row_without_dead_letters_stops_the_pipeline(kafka, topic, database, millrace):
    name = topic(1)
    kafka.produce(name, [b'{"id":1}', b"nonsense", b'{"id":2}'])
    database.sql("CREATE TABLE t (id bigint)")
    text = "name: strict\n" + kafka_source(name, block({"id": "int64"})) + postgres_sink("t") + ENDING
    done = millrace.run(text).expect(1)
    assert "dead_letter" in done.err


def test_graceful_stop_commits_what_was_read(kafka, topic, database, millrace):
    name = topic(1)
    database.sql(trades.table_sql("trades"))
    text = trades_pipeline(name) + "  checkpoint: {interval: 60s}\n"
    running = millrace.start(text)
    kafka.produce(name, trades.messages(100))
    running.wait_for(lambda: database.count("trades") >= 0 and database.sql(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND"
        " pid <> pg_backend_pid()"), what="a connection")
    time.sleep(1.5)
    running.terminate(20).expect(0)
    assert stored(database) == expected(100)
    millrace.run(trades_pipeline(name)).expect(0)
    assert stored(database) == expected(100)
