# SPDX-License-Identifier: Apache-2.0
"""The StarRocks stand-in, driven by StarRocks' own Java client: a client that is not ours."""

import pathlib
import subprocess

import pytest

from servers.maven import libraries
from servers.process import require_tool
from servers.starrocks import StarRocks

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "servers" / "StarRocksClient.java"
ROWS = ['{"id":1,"name":"one"}', '{"id":2,"name":"zwei"}', '{"id":3,"name":null}']
STORED = [{"id": 1, "name": "one"}, {"id": 2, "name": "zwei"}, {"id": 3, "name": None}]
DUPLICATE = "CREATE TABLE db.t (id BIGINT NOT NULL, name VARCHAR(10)) DUPLICATE KEY (id)"
PRIMARY = """CREATE TABLE db.t (id BIGINT NOT NULL, name VARCHAR(10)) PRIMARY KEY (id)
DISTRIBUTED BY HASH (id)"""


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    folder = libraries("starrocks-client", "com.starrocks:starrocks-stream-load-sdk:1.0",
                       "org.slf4j:slf4j-simple:1.7.36")
    out = tmp_path_factory.mktemp("classes")
    subprocess.run([require_tool("javac"), "-cp", f"{folder}/*", "-d", str(out), str(SOURCE)],
                   check=True, capture_output=True, timeout=120)
    return f"{folder}/*:{out}"


@pytest.fixture
def server():
    with StarRocks() as made:
        made.create(DUPLICATE)
        yield made


@pytest.fixture
def client(classes, server):
    def run(mode="plain", form="json", packed="-", rows=ROWS):
        done = subprocess.run([require_tool("java"), "-Xmx200m", "-cp", classes, "StarRocksClient",
                               server.fe_url, "db", "t", mode, form, packed, *rows],
                              capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip(), done.stderr
    return run


def by_id(server):
    return sorted(server.rows("db.t"), key=lambda r: r["id"])


def steps(server):
    return [(r["server"], r["step"], r["status"]) for r in server.seen()]


@pytest.mark.parametrize("packed", ["-", "lz4"])
def test_a_plain_load_of_json(client, server, packed):
    said, log = client(packed=packed)
    assert said == "ok", log[-3000:]
    assert by_id(server) == STORED
    assert steps(server)[:2] == [("fe", "put", 307), ("be", "put", 200)]

    fe, be = server.seen(step="put")
    assert fe["label"] == be["label"]
    assert be["headers"]["Expect"] == "100-continue"
    assert ("compression" in be["headers"]) == (packed == "lz4")


def test_a_plain_load_of_csv(client, server):
    said, log = client(form="csv", rows=["1\tone", "2\tzwei", "3\t\\N"])
    assert said == "ok", log[-3000:]
    assert by_id(server) == STORED


def test_deletes_by_op(client, server):
    server.create(PRIMARY)
    client(rows=['{"id":1,"name":"one","__op":0}', '{"id":2,"name":"zwei","__op":0}'])
    client(rows=['{"id":1,"__op":1}'])
    assert by_id(server) == STORED[1:2]


def test_a_transaction(client, server):
    said, log = client("commit")
    assert said == "ok", log[-3000:]
    assert by_id(server) == STORED
    assert [s for f, s, _ in steps(server) if f == "be"] == ["begin", "load", "prepare"]
    assert steps(server)[-1] == ("fe", "commit", 200)  # prepared: FE answers itself


def test_a_transaction_that_is_rolled_back(client, server):
    said, log = client("abort")
    assert said == "ok", log[-3000:]
    assert server.rows("db.t") == []
    assert set(server.states().values()) <= {"ABORTED"}


@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_lost_answer_is_sent_again_with_its_label(client, server, action):
    server.fault("put", action)
    said, log = client()
    assert said == "ok", log[-3000:]
    assert by_id(server) == STORED
    assert len({r["label"] for r in server.seen(step="put")}) == 1


def test_a_commit_that_failed_though_it_was_done(client, server):
    server.fault("commit", "fail_after")
    said, log = client("commit")
    assert said == "ok", log[-3000:]
    assert by_id(server) == STORED
    assert server.seen(step="state"), "the client asks for the label's state"


def test_a_publish_that_takes_long_counts_as_done(client, server):
    server.fault("put", "publish_timeout")
    assert client()[0] == "ok"
    assert by_id(server) == STORED


def test_filtered_rows_fail_the_load_and_are_shown(client, server):
    said, _ = client(rows=['{"id":1,"name":"one"}', '{"id":"x","name":"no number"}'])
    assert said.startswith("failed:")
    assert server.rows("db.t") == []
    assert server.seen("be", "error_log"), "the client fetches the error URL"


def test_a_wrong_password(client, server):
    server.users["root"] = "another"
    assert client()[0].startswith("failed:")
    assert server.rows("db.t") == []


def test_metadata_by_the_mysql_protocol(server):
    answer = subprocess.run(
        [require_tool("mariadb"), "-h127.0.0.1", f"-P{server.mysql.port}", "-uroot", "-psecret",
         "--batch", "--skip-column-names", "-e",
         "SELECT column_name, column_type, is_nullable FROM information_schema.columns "
         "WHERE table_schema='db' AND table_name='t' ORDER BY ordinal_position"],
        capture_output=True, text=True, timeout=30)
    assert answer.stdout.splitlines() == ["id\tbigint\tNO", "name\tvarchar(10)\tYES"], answer.stderr
    wrong = subprocess.run([require_tool("mariadb"), "-h127.0.0.1", f"-P{server.mysql.port}",
                            "-uroot", "-pwrong", "-e", "SELECT version()"],
                           capture_output=True, text=True, timeout=30)
    assert wrong.returncode and "Access denied" in wrong.stderr
