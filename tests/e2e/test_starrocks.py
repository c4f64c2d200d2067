# SPDX-License-Identifier: Apache-2.0
"""The starrocks sink against the stand-in: rows, labels, faults."""

import json
import re
import socket
import urllib.request

import pytest

from pipelines import dead_letters
from servers.starrocks import StarRocks

DUPLICATE = """CREATE TABLE db.t (id BIGINT NOT NULL, name VARCHAR(20), price DECIMAL(18,4))
DUPLICATE KEY (id) DISTRIBUTED BY HASH (id)"""
PRIMARY = """CREATE TABLE db.t (id BIGINT NOT NULL, name VARCHAR(20), price DECIMAL(18,4))
PRIMARY KEY (id) DISTRIBUTED BY HASH (id)"""
COLUMNS = "{id: int64, name: utf8, price: 'decimal(18,4)'}"


@pytest.fixture
def server():
    with StarRocks() as made:
        made.create(DUPLICATE)
        yield made


def write_rows(millrace, count, first=0, name="in.jsonl"):
    with open(millrace.folder / name, "a") as out:
        for i in range(first, first + count):
            out.write(json.dumps({"id": i, "name": f"n{i}", "price": f"{i}.25"}) + "\n")


def pipeline(server, options="", columns=COLUMNS, mode="whole", settings="", source=""):
    return f"""name: to_starrocks
sources:
  - name: in
    file:
      path: in.jsonl
      format: jsonl
      mode: {mode}
      columns: {columns}
{source}sinks:
  - name: out
    starrocks:
      url: {server.fe_url}
      sql_port: {server.mysql.port}
      user: root
      password: secret
      table: db.t
{options}dead_letter:
  file: {{path: rejected.jsonl}}
  originals: keep
settings:
  state: "${{STATE}}"
{settings}"""


def ids(server):
    return sorted(r["id"] for r in server.rows("db.t"))


def test_ten_thousand_rows_in_one_load(millrace, server):
    write_rows(millrace, 10000)
    millrace.run(pipeline(server, settings="  batch: {rows: 20000}\n")).expect(0)
    assert ids(server) == list(range(10000))
    assert str(server.rows("db.t")[7]["price"]) == "7.2500"
    fe, be = server.seen(step="load")
    assert (fe["server"], fe["status"], be["server"], be["status"]) == ("fe", 307, "be", 200)
    assert fe["label"] == be["label"]
    assert fe["headers"]["Authorization"] == be["headers"]["Authorization"]
    for name, value in {"Expect": "100-continue", "timezone": "UTC", "strict_mode": "true",
                        "max_filter_ratio": "0"}.items():
        assert be["headers"][name] == value, name
    assert list(server.states().values()) == ["VISIBLE"]


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("packed", ["none", "lz4", "zstd"])
def test_formats_and_compressions(millrace, server, form, packed):
    write_rows(millrace, 500)
    millrace.run(pipeline(server, f"      format: {form}\n      compression: {packed}\n")).expect(0)
    assert sorted((r["id"], r["name"], str(r["price"])) for r in server.rows("db.t")) == \
        [(i, f"n{i}", f"{i}.2500") for i in range(500)]


# ---------------------------------------------------------------- faults

QUICK = "      request_timeout: 2s\n"
FAULTS = [("begin", "drop_before", {}), ("begin", "drop_after", {}), ("begin", "http", {"status": 503}),
          ("begin", "fail", {"message": "current running txns on db 1 is larger than limit"}),
          ("load", "drop_before", {}), ("load", "drop_after", {}), ("load", "half", {}),
          ("load", "fail", {"message": "too many tablet versions"}),
          ("prepare", "drop_before", {}), ("prepare", "drop_after", {}),
          ("prepare", "fail_after", {"text": "INTERNAL_ERROR", "message": "rpc failed"}),
          ("prepare", "http_after", {"status": 500}),
          ("prepare", "fail", {"text": "TXN_IN_PROCESSING"}),
          ("commit", "drop_before", {}), ("commit", "drop_after", {}),
          ("commit", "late", {"delay": 1.0}), ("commit", "half", {}),
          ("commit", "fail", {}), ("commit", "fail_after", {}),
          ("commit", "http", {"status": 429}), ("commit", "http_after", {"status": 500}),
          ("commit", "hang", {"delay": 3.0}), ("load", "hang", {"delay": 3.0}),
          ("state", "drop_before", {"times": 2}), ("fe", "http", {"status": 503, "skip": 2}),
          ("fe", "slow", {"delay": 1.5, "skip": 3})]


def each_fault(faults):
    """Each test once for each of these: step, action, more of server.fault."""
    return pytest.mark.parametrize("step, action, more", faults,
                                   ids=[f"{s}-{a}-{i}" for i, (s, a, _) in enumerate(faults)])


def meets_fault(millrace, server, options, fault, decides="commit"):
    """The fault meets the second unit. decides: the step whose lost answer makes the sink ask for the
    label's state."""
    step, action, more = fault
    write_rows(millrace, 300)
    running = millrace.start(pipeline(server, options + QUICK, mode="follow"))
    running.wait_for(lambda: len(ids(server)) == 300, 60, "the first rows")
    fault = server.fault(step, action, **more)
    if step == "state":
        server.fault(decides, "drop_after")
    write_rows(millrace, 200, first=300)
    running.wait_for(lambda: len(ids(server)) >= 500 and not fault.times, 60, "the other rows")
    write_rows(millrace, 10, first=500)
    running.wait_for(lambda: len(ids(server)) >= 510, 60, "rows after the fault")
    running.terminate().expect(0)
    assert ids(server) == list(range(510))


@each_fault(FAULTS)
def test_nothing_is_lost_or_doubled(millrace, server, step, action, more):
    """Each fault meets the second unit; the label's state decides, not a guess."""
    meets_fault(millrace, server, "", (step, action, more))


def test_two_labels_that_exist_already_are_left_alone(millrace, server):
    """A lost state folder: label 1 is finished, label 2 is running; both stay as they are."""
    headers = {"db": "db", "table": "t"}
    for label in ("to_starrocks_out_1", "to_starrocks_out_2"):
        server.transaction("begin", {**headers, "label": label}, b"")
    row = b'{"id": -1, "name": "old", "price": "1"}'
    server.transaction("load", {**headers, "label": "to_starrocks_out_1", "format": "json"}, row)
    server.transaction("commit", {**headers, "label": "to_starrocks_out_1"}, b"")
    write_rows(millrace, 100)
    millrace.run(pipeline(server, settings="  batch: {rows: 1000}\n")).expect(0)
    assert ids(server) == [-1, *range(100)]
    states = server.states()
    assert states["to_starrocks_out_2"] == "PREPARE" and states["to_starrocks_out_3"] == "VISIBLE"


def test_a_label_that_was_aborted_by_its_timeout_is_written_again(millrace, server):
    """The record is there, the transaction is not: the rows go again under a new label."""
    server.fault("commit", "drop_before", times=1000)
    write_rows(millrace, 100)
    running = millrace.start(pipeline(server))
    running.wait_for(lambda: ("commit", "drop_before") in server.hit, 30, "a commit")
    server.expire("to_starrocks_out_1")
    server.faults.clear()
    running.wait_for(lambda: len(ids(server)) >= 100, 30, "the rows")
    running.terminate().expect(0)
    assert ids(server) == list(range(100))
    assert server.states() == {"to_starrocks_out_1": "ABORTED", "to_starrocks_out_2": "VISIBLE"}


def stopped_with_forgotten_label(millrace, server, options=""):
    """kill -9 after the server committed, before the record is done; then the label is forgotten."""
    server.fault("commit", "drop_after", times=1000)
    write_rows(millrace, 100)
    running = millrace.start(pipeline(server, options))
    running.wait_for(lambda: ("commit", "drop_after") in server.hit, 30, "a commit")
    server.fault("state", "hang", delay=2)
    running.kill()
    server.faults.clear()
    server.forget("to_starrocks_out_1")


def test_a_forgotten_label_stops_a_table_without_key(millrace, server):
    stopped_with_forgotten_label(millrace, server)
    stopped = millrace.run(pipeline(server)).expect(1)
    assert "to_starrocks_out_1" in stopped.text and "--pending landed" in stopped.text
    assert ids(server) == list(range(100))
    millrace.run(pipeline(server), "--pending", "landed").expect(0)
    assert ids(server) == list(range(100))


def test_a_forgotten_label_of_a_table_with_key_is_written_again(millrace, server):
    server.create(PRIMARY)
    upsert = "      mode: upsert\n      key: id\n"
    stopped_with_forgotten_label(millrace, server, upsert)
    millrace.run(pipeline(server, upsert)).expect(0)
    assert ids(server) == list(range(100))


def test_kill_after_the_commit(millrace, server):
    """The server has committed, our record does not know: the label is asked, nothing goes again."""
    server.fault("commit", "drop_after", times=1000)
    write_rows(millrace, 100)
    running = millrace.start(pipeline(server))
    running.wait_for(lambda: ("commit", "drop_after") in server.hit, 30, "a commit")
    running.kill()
    server.faults.clear()
    before = len(server.seen())
    millrace.run(pipeline(server)).expect(0)
    assert ids(server) == list(range(100))
    later = server.seen()[before:]
    assert [r for r in later if r["step"] == "state" and r["label"] == "to_starrocks_out_1"]
    assert not [r for r in later if r["step"] == "load"]


@pytest.mark.parametrize("step", ["begin", "load", "prepare", "commit"])
def test_kill_at_each_step(millrace, server, step):
    """kill -9 while the server holds back its answer to a step that it has carried out."""
    for i in range(3):
        write_rows(millrace, 50, first=50 * i)
        fault = server.fault(step, "drop_after")
        server.fault("state", "hang", delay=0.3)
        running = millrace.start(pipeline(server, mode="follow"))
        running.wait_for(lambda: not fault.times, 30, "the fault")
        running.kill()
    server.faults.clear()
    millrace.run(pipeline(server)).expect(0)
    assert ids(server) == list(range(150))
    assert set(server.states().values()) <= {"VISIBLE", "ABORTED"}


# ---------------------------------------------------------------- rows that are refused

def test_filtered_rows_are_dead_letters(millrace, server):
    """The client lets them pass: only the server knows better."""
    write_rows(millrace, 1000)
    server.filters = lambda row: row["id"] in (3, 500, 501, 998, 999)
    done = millrace.run(pipeline(server, settings="  batch: {rows: 400}\n")).expect(4)
    assert ids(server) == [i for i in range(998) if i not in (3, 500, 501)]
    letters = dead_letters(millrace)
    assert sorted(json.loads(entry["original"])["id"] for entry in letters) == [3, 500, 501, 998, 999]
    assert {entry["code"] for entry in letters} == {"filtered"}
    assert all("not wanted" in entry["message"] for entry in letters)
    assert server.seen("be", "error_log"), done.text
    assert set(server.states().values()) <= {"VISIBLE", "ABORTED"}


@pytest.mark.parametrize("load", ["transaction", "labelled"])
def test_filtered_rows_are_counted(millrace, server, load):
    """S1-6: as rows that the sink rejected, while the pipeline goes on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    write_rows(millrace, 100)
    server.filters = lambda row: row["id"] % 20 == 0
    running = millrace.start(pipeline(server, f"      load: {load}\n", mode="follow",
                                      settings=f"  http: 127.0.0.1:{port}\n"))
    running.wait_for(lambda: len(ids(server)) == 95, 60, "the good rows")

    def counted():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return re.search(r'^millrace_sink_rows_rejected_total\{stage="out"[^}]*\} (\d+)', answer.read().decode(),
                             re.M)
    running.wait_for(lambda: counted() and counted()[1] == "5", 60, "5 rejected rows in /metrics")
    running.terminate()
    assert len(dead_letters(millrace)) == 5


def test_filtered_rows_without_a_log_are_found_by_halves(millrace, server):
    write_rows(millrace, 64)
    server.filters = lambda row: row["id"] in (5, 40)
    server.fault("error_log", "http", status=404, times=1000)
    millrace.run(pipeline(server)).expect(4)
    assert ids(server) == [i for i in range(64) if i not in (5, 40)]


def test_rows_that_cannot_fit_are_not_sent(millrace, server):
    rows = [{"id": 1, "name": "x" * 21, "price": "1"}, {"id": None, "name": "x", "price": "1"},
            {"id": 3, "name": "good", "price": None}]
    millrace.write("in.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    millrace.run(pipeline(server)).expect(4)
    assert server.rows("db.t") == [{"id": 3, "name": "good", "price": None}]
    assert sorted(entry["code"] for entry in dead_letters(millrace)) == ["22001", "23502"]


def test_a_unit_of_rejected_rows_alone_moves_the_positions(millrace, server):
    millrace.write("in.jsonl", json.dumps({"id": None, "name": "x", "price": "1"}) + "\n")
    millrace.run(pipeline(server)).expect(4)
    assert server.seen(step="begin") == [] and len(dead_letters(millrace)) == 1
    millrace.run(pipeline(server))
    assert len(dead_letters(millrace)) == 1


# ---------------------------------------------------------------- addresses

def test_credentials_go_to_mapped_hosts_only(millrace, server):
    server.be_host = "be-internal"
    write_rows(millrace, 10)
    refused = millrace.run(pipeline(server)).expect(2)
    assert f"be-internal:{server.be.port}" in refused.text and "be_address_map" in refused.text
    assert server.seen("be") == [] and server.rows("db.t") == []
    mapped = "      be_address_map:\n        be-internal: 127.0.0.1\n"
    millrace.run(pipeline(server, mapped)).expect(0)
    assert ids(server) == list(range(10))


def test_an_unreachable_backend_is_named_and_waited_for(millrace, server):
    server.fault("fe", "unreachable", times=3, skip=1)
    write_rows(millrace, 10)
    done = millrace.run(pipeline(server)).expect(0)
    assert "127.0.0.1:1" in done.text and ids(server) == list(range(10))


# ---------------------------------------------------------------- tables

def test_upserts_and_deletes(millrace, server):
    server.create(PRIMARY)
    write_rows(millrace, 100)
    upsert = "      mode: upsert\n      key: id\n"
    millrace.run(pipeline(server, upsert)).expect(0)
    be = server.seen("be", "load")[0]
    assert '"__op":0' in json.dumps(be["headers"]) or server.rows("db.t")
    with open(millrace.folder / "in.jsonl", "a") as out:
        out.write(json.dumps({"id": 5, "name": "again", "price": "9"}) + "\n")
    millrace.run(pipeline(server, upsert)).expect(0)
    assert ids(server) == list(range(100))
    assert [r["name"] for r in server.rows("db.t") if r["id"] == 5] == ["again"]


def test_a_table_is_created(millrace, server):
    server.tables.clear()
    write_rows(millrace, 10)
    options = "      create: true\n      mode: upsert\n      key: id\n      replicas: 1\n"
    millrace.run(pipeline(server, options)).expect(0)
    made = server.tables["db.t"]
    assert [(c.name, c.kind, c.nullable) for c in made.columns] == [
        ("id", "BIGINT", False), ("name", "VARCHAR(1048576)", True), ("price", "DECIMAL(18,4)", True)]
    assert made.primary and '"replication_num" = "1"' in made.ddl and ids(server) == list(range(10))


def test_columns_are_added_while_the_job_takes_its_time(millrace, server):
    server.alter_delay = 1.0
    write_rows(millrace, 10)
    columns = "{id: int64, name: utf8, price: 'decimal(18,4)', more: 'list<int32>', at: timestamptz}"
    millrace.run(pipeline(server, "      evolve: add\n", columns)).expect(0)
    assert [(c.name, c.kind) for c in server.tables["db.t"].columns][3:] == [
        ("more", "ARRAY<INT>"), ("at", "DATETIME")]
    assert ids(server) == list(range(10))
    assert len([s for s in server.statements if s.startswith("ALTER")]) == 1


def test_check_and_discover(millrace, server):
    write_rows(millrace, 1)
    done = millrace.check(pipeline(server), "--connect").expect(0)
    assert "StarRocks 3.3.5-stand-in" in done.text and "db.t: ok" in done.text
    assert "label_keep_max_num is 1000" in millrace.run(pipeline(server)).expect(0).text
    found = millrace.command("discover", str(millrace.folder / "pipeline.yaml"), "out", "db.t").expect(0)
    for line in (("id", "bigint", "int64"), ("name", "varchar(20)", "utf8"),
                 ("price", "decimal(18,4)", "decimal(18,4)")):
        assert all(word in found.out for word in line), found.out
    server.users["root"] = "another"
    wrong = millrace.check(pipeline(server), "--connect").expect(3)
    assert "127.0.0.1" in wrong.text and "root" in wrong.text and "secret" not in wrong.text


def test_a_table_that_is_not_there(millrace, server):
    server.tables.clear()
    write_rows(millrace, 1)
    missing = millrace.run(pipeline(server)).expect(2)
    assert "db.t" in missing.text and server.seen(step="load") == []
