# SPDX-License-Identifier: Apache-2.0
"""SIGHUP: the file is read again while the pipeline runs. Also what a restart with another file does."""

import json
import re
import signal
import threading
import urllib.request

from pipelines import block, kafka_source
from servers.process import free_port

KEY = "0123456789abcdef0123456789abcdef"
RULES = "email: hash"


def pipeline(topic, rules=RULES, url="${PG_URL}", settings="", name="people"):
    return (f"name: {name}\n" + kafka_source(topic, block({"id": "int64", "email": "utf8", "phone": "utf8"}))
            + f'transforms:\n  - name: private\n    mask: {{key: "{KEY}", classify: off, rules: {{{rules}}}}}\n'
            + f'sinks:\n  - name: kept\n    postgres: {{url: "{url}", table: public.t}}\n'
            + f'settings:\n  state: "${{STATE}}"\n  checkpoint: {{interval: 50ms}}\n{settings}')


def people(first, count):
    return [json.dumps({"id": i, "email": f"u{i}@example.com", "phone": f"555-{i}"}).encode()
            for i in range(first, first + count)]


def empty_table(database):
    database.sql("CREATE TABLE t (id bigint, email text, phone text)")


def masks(running):
    """(position, what is masked from there on) as the log tells, in order."""
    return [(int(at), what) for at, what in re.findall(r"mask: from position (\d+) of lane \S+ on: (.*)", running.log)]


def check_boundary(database, count, boundary):
    """Offsets are ids here: all rows once, the phone clear before the boundary and not from it on."""
    rows = database.sql("SELECT id, email, phone FROM t ORDER BY id")
    assert [row[0] for row in rows] == list(range(count))
    assert 0 < boundary < count
    for i, email, phone in rows:
        assert "@" not in email
        assert (phone == f"555-{i}") == (i < boundary), (i, phone, boundary)


def test_a_mask_that_is_added_holds_from_a_position_on(millrace, kafka, topic, database):
    """Rows go on all the time; the log says where the change is, and the rows agree."""
    empty_table(database)
    name, port, done, count = topic(1), free_port(), threading.Event(), [100]
    http = f"  http: 127.0.0.1:{port}\n"
    kafka.produce(name, people(0, 100))
    running = millrace.start(pipeline(name, settings=http))
    running.wait_for(lambda: database.count("t") == 100, 60, "rows before")

    def go_on():
        while not done.is_set():
            count[0] += kafka.produce(name, people(count[0], 10))
    producer = threading.Thread(target=go_on)
    producer.start()
    try:
        millrace.write("pipeline.yaml", pipeline(name, RULES + ", phone: redact", settings=http))
        running.signal(signal.SIGHUP)
        running.wait_for(lambda: len(masks(running)) == 2, 60, "the second mask")
        boundary = masks(running)[1][0]
        running.wait_for(lambda: database.count("t") > boundary, 60, "rows behind it")
    finally:
        done.set()
        producer.join()
    running.wait_for(lambda: database.count("t") == count[0], 60, "all rows")
    assert [what for _, what in masks(running)] == ["email (hash)", "email (hash), phone (redact)"]
    check_boundary(database, count[0], boundary)
    answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=20).read()
    assert json.loads(answer)["pipeline"] == "people"
    running.terminate().expect(0)


def test_a_restart_with_another_mask(millrace, kafka, topic, database):
    empty_table(database)
    name = topic(1)
    kafka.produce(name, people(0, 10))
    millrace.run(pipeline(name)).expect(0)
    kafka.produce(name, people(10, 10))
    done = millrace.run(pipeline(name, RULES + ", phone: redact")).expect(0)
    assert f"mask: from position 10 of lane {name}/0 on: email (hash), phone (redact)" in done.err
    check_boundary(database, 20, 10)


def test_a_file_with_mistakes_changes_nothing(millrace, kafka, topic, database):
    empty_table(database)
    name = topic(1)
    kafka.produce(name, people(0, 10))
    running = millrace.start(pipeline(name))
    running.wait_for(lambda: database.count("t") == 10, 60, "rows before")
    for number, (text, says) in enumerate(((pipeline(name, "email: hush"), "hush"),
                       (pipeline(name, name="others"), "`name` is another one: that needs a restart"),
                       (pipeline(name).replace('"${STATE}"', "elsewhere"), "`settings.state` is another one"))):
        millrace.write("pipeline.yaml", text)
        running.signal(signal.SIGHUP)
        running.wait_for(lambda: running.log.count("nothing was changed") > number, 60, says)
        assert says in running.log
    kafka.produce(name, people(10, 10))
    running.wait_for(lambda: database.count("t") == 20, 60, "rows as before")
    assert [what for _, what in masks(running)] == ["email (hash)"]
    running.terminate().expect(0)


def test_again_and_again_while_rows_come(millrace, kafka, topic, database):
    empty_table(database)
    name = topic(1)
    kafka.produce(name, people(0, 100))
    running = millrace.start(pipeline(name))
    running.wait_for(lambda: masks(running), 60, "the start")
    for i in range(1, 6):
        kafka.produce(name, people(100 * i, 100))
        running.signal(signal.SIGHUP)
        running.wait_for(lambda: running.log.count("SIGHUP: what was read") == i, 60, f"reload {i}")
    running.wait_for(lambda: database.count("t") == 600, 60, "all rows")
    assert database.sql("SELECT count(DISTINCT id) FROM t") == [(600,)]
    running.signal(signal.SIGHUP)
    running.terminate().expect(0)


def test_while_the_sink_is_away(millrace, kafka, topic, database, proxy):
    """What cannot be committed within settings.shutdown is read again by the new pipeline."""
    empty_table(database)
    name, url = topic(1), proxy.url(database)
    kafka.produce(name, people(0, 10))
    running = millrace.start(pipeline(name, url=url))
    running.wait_for(lambda: database.count("t") == 10, 60, "rows before")
    proxy.refuse()
    proxy.cut()
    kafka.produce(name, people(10, 10))
    running.wait_for(lambda: "warning" in running.log, 60, "the lost database")
    millrace.write("pipeline.yaml", pipeline(name, RULES + ", phone: redact", url))
    running.signal(signal.SIGHUP)
    running.wait_for(lambda: "SIGHUP: what was read" in running.log, 60, "the signal")
    proxy.refuse(False)
    running.wait_for(lambda: database.count("t") == 20, 60, "the rest")
    kafka.produce(name, people(20, 10))
    running.wait_for(lambda: database.count("t") == 30, 60, "rows of the new file")
    check_boundary(database, 30, masks(running)[-1][0])
    running.terminate().expect(0)
