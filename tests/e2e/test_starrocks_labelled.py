# SPDX-License-Identifier: Apache-2.0
"""The starrocks sink with plain labelled loads: servers without transactions, partial rows."""

import json
import pathlib
import shutil
import sys

import pyarrow as pa
import pytest

from pipelines import dead_letters
from servers.starrocks import StarRocks
from test_starrocks import DUPLICATE, PRIMARY, each_fault, ids, meets_fault, pipeline, write_rows

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "plugin" / "common"))

import partial  # noqa: E402
from abi import SinkUnderTest  # noqa: E402

LABELLED = "      load: labelled\n"


@pytest.fixture
def server():
    with StarRocks(transactions=False, version="2.3.0-stand-in") as made:
        made.create(DUPLICATE)
        yield made


def test_a_server_without_transactions_names_the_option(millrace, server):
    write_rows(millrace, 10)
    stopped = millrace.run(pipeline(server)).expect(2)
    assert "load: labelled" in stopped.text and server.rows("db.t") == []


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("packed", ["none", "lz4", "zstd"])
def test_ten_thousand_rows_in_one_load(millrace, server, form, packed):
    write_rows(millrace, 10000)
    options = f"{LABELLED}      format: {form}\n      compression: {packed}\n"
    millrace.run(pipeline(server, options, settings="  batch: {rows: 20000}\n")).expect(0)
    assert sorted((r["id"], r["name"], str(r["price"])) for r in server.rows("db.t")) == \
        [(i, f"n{i}", f"{i}.2500") for i in range(10000)]
    fe, be = server.seen(step="put")
    assert (fe["server"], fe["status"], be["server"], be["status"]) == ("fe", 307, "be", 200)
    assert fe["label"] == be["label"] and fe["label"].startswith("to_starrocks_out_1_")
    assert fe["headers"]["Authorization"] == be["headers"]["Authorization"]
    for name, value in {"Expect": "100-continue", "timezone": "UTC", "strict_mode": "true",
                        "max_filter_ratio": "0"}.items():
        assert be["headers"][name] == value, name
    assert list(server.states().values()) == ["VISIBLE"]


FAULTS = [("put", "drop_before", {}), ("put", "drop_after", {}), ("put", "late", {"delay": 1.0}),
          ("put", "half", {}), ("put", "http", {"status": 429}), ("put", "http", {"status": 503}),
          ("put", "http_after", {"status": 500}), ("put", "hang", {"delay": 3.0}),
          ("put", "publish_timeout", {}),
          ("put", "fail", {"text": "Fail", "message": "too many tablet versions"}),
          ("put", "fail_after", {"text": "Fail", "message": "rpc failed"}),
          ("put", "fail_after", {"text": "Fail", "message": "Label [x] has already been used."}),
          ("put", "fail", {"text": "Label Already Exists", "message": "RUNNING"}),
          ("fe", "unreachable", {}), ("state", "drop_before", {"times": 2})]


@each_fault(FAULTS)
def test_nothing_is_lost_or_doubled(millrace, server, step, action, more):
    """Each fault meets the second unit; the label's state decides, not a guess."""
    meets_fault(millrace, server, LABELLED, (step, action, more), decides="put")


@pytest.mark.parametrize("action", ["drop_after", "drop_before"])
def test_kill_while_a_load_is_open(millrace, server, action):
    """What was kept is finished by its label: the same one, asked for before it is sent again."""
    server.fault("put", action, times=1000)
    write_rows(millrace, 100)
    running = millrace.start(pipeline(server, LABELLED))
    running.wait_for(lambda: ("put", action) in server.hit, 60, "a load")
    running.kill()
    server.faults.clear()
    before = len(server.seen())
    millrace.run(pipeline(server, LABELLED)).expect(0)
    assert ids(server) == list(range(100))
    later = [r for r in server.seen()[before:] if r["label"] and "_start" not in r["label"]]
    assert later[0]["step"] == "state"
    assert len({r["label"] for r in server.seen(step="put")}) == 1
    assert bool([r for r in later if r["step"] == "put"]) == (action == "drop_before")


def test_a_lost_state_folder_meets_no_label_of_its_past(millrace, server):
    write_rows(millrace, 50)
    text = pipeline(server, LABELLED).replace('state: "${STATE}"', "state: store")
    millrace.run(text).expect(0)
    shutil.rmtree(millrace.folder / "store")
    millrace.run(text).expect(0)
    assert ids(server) == sorted([*range(50), *range(50)])  # read again, and nothing taken for done


@pytest.mark.parametrize("options", ["", "      compression: zstd\n      format: csv\n"])
def test_filtered_rows_are_dead_letters(millrace, server, options):
    write_rows(millrace, 1000)
    server.filters = lambda row: row["id"] in (3, 500, 501, 998, 999)
    millrace.run(pipeline(server, LABELLED + options, settings="  batch: {rows: 400}\n")).expect(4)
    assert ids(server) == [i for i in range(998) if i not in (3, 500, 501)]
    letters = dead_letters(millrace)
    assert sorted(json.loads(entry["original"])["id"] for entry in letters) == [3, 500, 501, 998, 999]
    assert {entry["code"] for entry in letters} == {"filtered"}
    assert all("not wanted" in entry["message"] for entry in letters)


@pytest.mark.parametrize("kill", [True, False])
def test_filtered_rows_after_an_answer_that_was_lost(millrace, server, kill):
    """The block was kept, and is refused when it goes again: here, or in the next process."""
    write_rows(millrace, 100)
    server.filters = lambda row: row["id"] in (7, 70)
    server.fault("put", "drop_before", times=1000 if kill else 1)
    if kill:
        running = millrace.start(pipeline(server, LABELLED))
        running.wait_for(lambda: ("put", "drop_before") in server.hit, 60, "a load")
        running.kill()
        server.faults.clear()
    millrace.run(pipeline(server, LABELLED)).expect(4)
    assert ids(server) == [i for i in range(100) if i not in (7, 70)]
    assert sorted(json.loads(entry["original"])["id"] for entry in dead_letters(millrace)) == [7, 70]


def test_filtered_rows_without_a_log_stop_the_run(millrace, server):
    write_rows(millrace, 20)
    server.filters = lambda row: row["id"] == 7
    server.fault("error_log", "http", status=404, times=1000)
    stopped = millrace.run(pipeline(server, LABELLED)).expect(1)
    assert "too many filtered rows" in stopped.text and ids(server) == []


def test_upserts_and_deletes(server):
    server.create(PRIMARY)
    schema = pa.schema([("id", pa.int64()), ("name", pa.string()), ("_op", pa.string())])
    with SinkUnderTest("starrocks", schema, url=[server.fe_url], sql_port=str(server.mysql.port),
                       password="secret", table="db.t", mode="upsert", key=["id"],
                       load="labelled") as made:
        rows = [(1, "a", "insert"), (2, "b", "insert"), (1, None, "delete"), (2, "c", "update")]
        made.begin()
        made.write(pa.record_batch([pa.array(v) for v in zip(*rows)], schema=schema))
        made.send(made.seal(), "label_1")
    assert server.rows("db.t") == [{"id": 2, "name": "c", "price": None}]


# ---------------------------------------------------------------- rows that carry only some columns

def partial_table(server):
    server.create("CREATE TABLE db.t (id BIGINT NOT NULL, a BIGINT, b VARCHAR(99), n INT NOT NULL, "
                  "d VARCHAR(99)) PRIMARY KEY (id) DISTRIBUTED BY HASH (id)")
    for column in server.tables["db.t"].columns:
        column.default = partial.DEFAULTS.get(column.name)


@pytest.mark.parametrize("form", ["json", "csv"])
@pytest.mark.parametrize("seed", range(3))
def test_random_partial_changes(server, form, seed):
    """Rows go by the columns that they write, and in an order that makes no difference."""
    partial_table(server)
    model = {}
    with SinkUnderTest("starrocks", partial.SCHEMA, url=[server.fe_url],
                       sql_port=str(server.mysql.port), password="secret", table="db.t",
                       mode="upsert", key=["id"], load="labelled", format=form) as made:
        for number, unit in enumerate(partial.units(seed, 6)):
            made.begin()
            for changes in unit:
                made.write(partial.rows(*changes))
                for change in changes:
                    partial.apply(model, change)
            block = made.seal()
            made.send(block, f"label_{number}")
            made.send(block, f"label_{number}")  # again: nothing happens
            found = {r["id"]: {k: v for k, v in r.items() if k != "id"} for r in server.rows("db.t")}
            assert found == model, number
        assert made.rejects == []
    puts = [r["headers"] for r in server.seen("be", "put")]
    assert {h.get("partial_update") for h in puts} == {"true", None}
    assert all(h["partial_update_mode"] == "row" and "`id`" in h["columns"]
               for h in puts if "partial_update" in h)


def test_rows_of_other_columns_go_in_few_loads(server):
    """Keys that do not meet: one load for each set of columns."""
    partial_table(server)
    with SinkUnderTest("starrocks", partial.SCHEMA, url=[server.fe_url],
                       sql_port=str(server.mysql.port), password="secret", table="db.t",
                       mode="upsert", key=["id"], load="labelled") as made:
        made.begin()
        made.write(partial.rows(*[{"id": i, "n": 1, **({"a": i} if i % 2 else {"b": str(i)})}
                                  for i in range(1000)]))
        made.write(partial.rows(*[{"id": i, "d": "later"} for i in range(1000)]))
        made.send(made.seal(), "label")
    assert len(server.seen("be", "put")) == 3
    assert all(r["d"] == "later" and (r["a"] == r["id"]) == bool(r["id"] % 2)
               for r in server.rows("db.t")) and len(server.rows("db.t")) == 1000


def test_partial_rows_need_labelled_loads(millrace, server):
    server.create(PRIMARY)
    millrace.write("in.jsonl", '{"id": 1, "name": "x"}\n{"id": 1, "price": "2.5"}\n')
    text = pipeline(server, "      mode: upsert\n      key: id\n").replace(
        "      mode: whole\n", "      mode: whole\n      absent: unset\n")
    refused = millrace.check(text).expect(2)
    assert "load: labelled" in refused.text
    millrace.run(text.replace("mode: upsert", "mode: upsert\n      load: labelled")).expect(0)
    assert [(r["id"], r["name"], str(r["price"])) for r in server.rows("db.t")] == [(1, "x", "2.5000")]
