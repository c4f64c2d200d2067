# SPDX-License-Identifier: Apache-2.0
"""The starrocks sink: kills at random moments, every type, orderly ends, the example pipeline."""

import datetime as dt
import decimal
import json
import os
import pathlib
import random
import signal
import sys
import time

import pyarrow as pa
import pytest

from servers import trades
from test_starrocks import QUICK, ids, pipeline, server, write_rows  # noqa: F401 (server: a fixture)

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "plugin" / "common"))

KNOBS = [("begin", "drop_after"), ("load", "drop_after"), ("load", "half"), ("prepare", "drop_after"),
         ("prepare", "late"), ("commit", "drop_before"), ("commit", "drop_after"), ("commit", "late"),
         ("commit", "fail_after"), ("commit", "http_after"), ("state", "drop_before"), ("fe", "http")]


def test_kills_at_random_moments_with_faults(millrace, server):
    """kill -9 again and again while rows come and answers get lost: none lost, none twice."""
    seed = int(time.time())
    chance, written = random.Random(seed), 0
    for _ in range(12):
        for _ in range(3):
            step, action = chance.choice(KNOBS)
            server.fault(step, action, delay=chance.uniform(0.05, 0.4), status=503)
        running = millrace.start(pipeline(server, QUICK, mode="follow",
                                          settings="  checkpoint: {interval: 50ms}\n"))
        end = time.monotonic() + chance.uniform(0.15, 1.2)
        while time.monotonic() < end:
            write_rows(millrace, 20, first=written)
            written += 20
            time.sleep(0.02)
        running.kill()
    server.faults.clear()
    time.sleep(0.5)  # what is late may land
    millrace.run(pipeline(server)).expect(0)
    assert ids(server) == list(range(written)), f"seed {seed}"
    assert set(server.states().values()) <= {"VISIBLE", "ABORTED"}, f"seed {seed}"


def test_the_second_sigterm_ends_a_query(millrace, server):
    server.fault("sql", "hang", delay=20)
    write_rows(millrace, 1)
    running = millrace.start(pipeline(server, mode="follow"))
    running.wait_for(lambda: server.hit, 20, "the query")
    begin = time.monotonic()
    running.signal(signal.SIGTERM)
    time.sleep(0.2)
    running.terminate(15)
    assert time.monotonic() - begin < 3, running.log


def sink(server, schema=None, **options):
    from abi import SinkUnderTest
    return SinkUnderTest("starrocks", schema, url=[server.fe_url], sql_port=str(server.mysql.port),
                         password="secret", **{"table": "db.t", **options})


def test_open_and_close_leave_no_descriptor(server):
    def fds():
        return len(os.listdir("/proc/self/fd"))
    schema = pa.schema([("id", pa.int64())])
    with sink(server, schema):
        pass
    before = fds()
    for _ in range(100):
        with sink(server, schema):
            pass
    assert fds() <= before + 2  # the stand-in is in this process: its side of a connection may linger


TYPES = [("BOOLEAN", "bool"), ("TINYINT", "int8"), ("SMALLINT", "int16"), ("INT", "int32"),
         ("BIGINT", "int64"), ("LARGEINT", "decimal(38,0)"), ("FLOAT", "float32"),
         ("DOUBLE", "float64"), ("DECIMAL(38,9)", "decimal(38,9)"), ("DATE", "date"),
         ("DATETIME", "timestamp"), ("CHAR(10)", "utf8"), ("VARCHAR(100)", "utf8"),
         ("STRING", "utf8"), ("VARBINARY", "binary"), ("JSON", "json"), ("ARRAY<INT>", "json")]


def test_discover_names_every_type(server):
    body = ", ".join(f"c{i} {kind}{' NOT NULL' if i == 3 else ''}" for i, (kind, _) in enumerate(TYPES))
    server.create(f"CREATE TABLE db.every ({body}) DUPLICATE KEY (c0)")
    probe = sink(server)
    lines = [json.loads(line) for line in probe.discover("db.every").splitlines()]
    probe.close()
    assert [(x["column"], x["type"], x["nullable"]) for x in lines] == [
        (f"c{i}", mapped, i != 3) for i, (_, mapped) in enumerate(TYPES)]
    assert lines[10]["source_type"] == "datetime"


VALUES = [("b", pa.bool_(), "BOOLEAN", [True, False]), ("i8", pa.int8(), "TINYINT", [-128, 127]),
          ("u8", pa.uint8(), "SMALLINT", [0, 255]), ("i16", pa.int16(), "SMALLINT", [-2**15, 2**15 - 1]),
          ("u16", pa.uint16(), "INT", [0, 2**16 - 1]), ("i32", pa.int32(), "INT", [-2**31, 2**31 - 1]),
          ("u32", pa.uint32(), "BIGINT", [0, 2**32 - 1]),
          ("i64", pa.int64(), "BIGINT", [-2**63, 2**63 - 1]),
          ("u64", pa.uint64(), "LARGEINT", [0, 2**64 - 1]),
          ("f32", pa.float32(), "FLOAT", [0.5, -1.25]), ("f64", pa.float64(), "DOUBLE", [1e308, -0.1]),
          ("d", pa.decimal128(38, 4), "DECIMAL(38,4)",
           [decimal.Decimal("9" * 34 + ".0001"), decimal.Decimal("-0.0001")]),
          ("day", pa.date32(), "DATE", [dt.date(1969, 12, 31), dt.date(9999, 12, 31)]),
          ("ts", pa.timestamp("us"), "DATETIME", [dt.datetime(1969, 12, 31, 23, 59, 59, 999999),
                                                  dt.datetime(2026, 1, 28, 10)]),
          ("s", pa.string(), "STRING", ["", "aé😀'\"\\\n\t" + "x" * 60000]),
          ("l", pa.list_(pa.int64()), "ARRAY<BIGINT>", [[1, None], []]),
          ("st", pa.struct([("a", pa.int32())]), "STRUCT<a INT>", [{"a": 1}, {"a": None}])]


def load(made, rows):
    """One unit through begin, write, prepare and commit of the vtable."""
    import ctypes as c
    unit = made.unit({"0": (0, rows.num_rows, 1, rows.num_rows)})
    made.begin(unit)
    made.write(rows)
    for call in ("prepare", "commit"):
        made._call(call, getattr(made.sink, call), made.self, c.byref(unit))


@pytest.mark.parametrize("form", ["json", "csv"])
def test_every_type_arrives(server, form):
    body = ", ".join(f"{name} {ddl}" for name, _, ddl, _ in VALUES)
    server.create(f"CREATE TABLE db.t (n INT, {body}) DUPLICATE KEY (n)")
    schema = pa.schema([("n", pa.int32())] + [(name, kind) for name, kind, _, _ in VALUES])
    arrays = [pa.array([0, 1, 2], pa.int32())]
    arrays += [pa.array([*values, None], kind) for _, kind, _, values in VALUES]
    with sink(server, schema, format=form) as made:
        load(made, pa.record_batch(arrays, schema=schema))
        assert made.rejects == []
    for i, row in enumerate(sorted(server.rows("db.t"), key=lambda r: r["n"])):
        for name, _, _, values in VALUES:
            assert row[name] == ([*values, None][i]), (name, i)


@pytest.mark.parametrize("form", ["json", "csv"])
def test_deletes_go_as_op(server, form):
    server.create("CREATE TABLE db.t (id BIGINT NOT NULL, v VARCHAR(9) NOT NULL) PRIMARY KEY (id) "
                  "DISTRIBUTED BY HASH (id)")
    schema = pa.schema([("id", pa.int64()), ("v", pa.string()), ("_op", pa.string())])
    with sink(server, schema, mode="upsert", key=["id"], format=form) as made:
        rows = [(1, "a", "insert"), (2, "b", "insert"), (1, None, "delete"), (2, "c", "update")]
        load(made, pa.record_batch([pa.array(v) for v in zip(*rows)], schema=schema))
    if form == "json":
        assert server.rows("db.t") == [{"id": 2, "v": "c"}]
    assert not [r for r in server.rows("db.t") if r["id"] == 1]


def test_a_partial_update_leaves_other_columns(server):
    server.create("CREATE TABLE db.t (id BIGINT NOT NULL, a INT, b INT) PRIMARY KEY (id) "
                  "DISTRIBUTED BY HASH (id)")
    server.tables["db.t"].apply([(False, {"id": 1, "a": 10, "b": 20}, False)])
    schema = pa.schema([("id", pa.int64()), ("b", pa.int32())])
    with sink(server, schema, mode="upsert", key=["id"], partial_update="row") as made:
        load(made, pa.record_batch([pa.array([1]), pa.array([21], pa.int32())], schema=schema))
    assert server.rows("db.t") == [{"id": 1, "a": 10, "b": 21}]
    be = server.seen("be", "load")[0]["headers"]
    assert be["partial_update"] == "true" and be["columns"] == "`id`,`b`,__op"


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("log", [True, False])
def test_refused_rows_by_the_calls(server, form, log):
    """prepare fails; written again, the batch is tried alone, and the bad rows are rejected."""
    from abi import REJECT, Failure
    schema = pa.schema([("id", pa.int64()), ("name", pa.string())])
    rows = pa.record_batch([pa.array(range(40)), pa.array([f"n{i}" for i in range(40)])], schema=schema)
    server.filters = lambda row: row["id"] in (0, 17, 39)
    with sink(server, schema, format=form, compression="lz4") as made:
        with pytest.raises(Failure) as caught:
            load(made, rows)
        assert caught.value.status == REJECT and caught.value.unit_lost
        made.abort(made.unit({}))
        if not log:
            server.fault("error_log", "http", status=404, times=100)
        load(made, rows)
        assert sorted(r[1] for r in made.rejects) == [0, 17, 39]
        assert all("not wanted" in r[3] or "filtered" in r[3] for r in made.rejects)
    assert ids(server) == [i for i in range(40) if i not in (0, 17, 39)]


def test_ddl_is_the_table_that_it_makes(millrace, server):
    """discover --ddl asks no server; DATETIME has no precision, microseconds arrive."""
    server.tables.clear()
    millrace.write("in.jsonl", '{"id": 1, "at": "2026-01-28T10:00:00.123456Z", "name": "x"}\n')
    options = "      create: true\n      mode: upsert\n      key: id\n"
    text = pipeline(server, options, "{id: uint64, at: timestamptz, name: utf8}")
    done = millrace.command("discover", "--ddl", millrace.write("p.yaml", text), "out").expect(0)
    assert server.seen() == [] and server.statements == []
    assert "DATETIME" in done.out and "DATETIME(" not in done.out
    statement = "".join(line for line in done.out.splitlines(True) if not line.startswith("--"))
    millrace.run(text).expect(0)
    assert " ".join(statement.split()).rstrip(";") == " ".join(server.tables["db.t"].ddl.split())
    assert server.rows("db.t")[0]["at"] == dt.datetime(2026, 1, 28, 10, 0, 0, 123456)


def test_parallel_instances_have_labels_of_their_own(millrace, server):
    server.create("CREATE TABLE db.t (id BIGINT NOT NULL, name VARCHAR(20), price DECIMAL(18,4)) "
                  "PRIMARY KEY (id) DISTRIBUTED BY HASH (id)")
    write_rows(millrace, 1000)
    write_rows(millrace, 1000, first=1000, name="in2.jsonl")  # a lane is a file
    text = pipeline(server, "      mode: upsert\n      key: id\n").replace("in.jsonl", "in*.jsonl")
    millrace.run(text.replace("  - name: out\n", "  - name: out\n    parallel: 2\n")).expect(0)
    assert ids(server) == list(range(2000))
    assert set(server.states().values()) == {"VISIBLE"} and len(server.states()) >= 2


def test_the_example_pipeline(kafka, millrace, server):
    """pipelines/trades-starrocks.yaml, as it is: the table is created, the second run does nothing."""
    server.databases.add("shop")
    kafka.create_topic("trade.history", 2)
    kafka.produce("trade.history", trades.messages(3000))
    env = {"STARROCKS_URL": server.fe_url, "STARROCKS_SQL_PORT": str(server.mysql.port),
           "STARROCKS_PASSWORD": "secret"}
    file = TESTS.parent / "pipelines" / "trades-starrocks.yaml"
    try:
        millrace.command("check", file, env=env).expect(0)
        for _ in range(2):
            millrace.command("run", "--once", file, timeout=90, env=env).expect(0)
    finally:
        kafka.delete_topic("trade.history")
    wanted = [trades.row(i) for i in range(3000)]
    found = sorted(server.rows("shop.trades"), key=lambda r: r["trade_id"])
    assert [(r["trade_id"], int(r["price"]), int(r["amount"]), r["buy_user_id"]) for r in found] == [
        (row[0], row[2], row[2] * row[3], row[4]) for row in wanted]
    assert server.tables["shop.trades"].primary
    assert all(r["traded_at"].year >= 2026 for r in found)
