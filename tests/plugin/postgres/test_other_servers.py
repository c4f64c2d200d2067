# SPDX-License-Identifier: Apache-2.0
"""The postgres sink against a server that is not PostgreSQL: H2 behind its PostgreSQL port."""

import datetime as dt
import decimal
import socket
import subprocess

import pyarrow as pa
import pytest

from abi import FENCED, Failure, SinkUnderTest, batch
from servers.maven import libraries
from servers.process import Process, ServerError, free_port, require_tool, wait_until

H2 = "com.h2database:h2:2.5.252"
WHEN = dt.datetime(2026, 1, 28, 10, 0, 0, 5, dt.timezone.utc)
ROWS = pa.schema([("id", pa.int64()), ("name", pa.string()), ("at", pa.timestamp("us", "UTC")),
                  ("price", pa.decimal128(18, 4)), ("ok", pa.bool_()), ("_op", pa.string())])


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Server:
    def __init__(self, folder, jars):
        self.port = free_port()
        self.url = f"postgresql://sa:sa@127.0.0.1:{self.port}/test?sslmode=disable"
        self.process = Process(
            [require_tool("java"), "-cp", f"{jars}/*", "org.h2.tools.Server", "-pg", "-pgPort",
             str(self.port), "-baseDir", str(folder), "-ifNotExists"], folder / "h2.log")
        wait_until(lambda: answers(self.port), 60, "H2")

    def sql(self, query):
        done = subprocess.run([require_tool("psql"), self.url, "-Atqc", query], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stderr
        return [tuple(line.split("|")) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def h2(tmp_path_factory):
    try:
        jars = libraries("h2", H2)
        server = Server(tmp_path_factory.mktemp("h2"), jars)
    except ServerError as e:
        pytest.skip(f"H2 is not here: {e}")
    yield server
    server.process.stop()


def rows(*ids, name="n", op=None):
    return batch(ROWS, [(i, f"{name}{i}", WHEN, decimal.Decimal(i) / 4, i % 2 == 0, op)
                        for i in ids])


@pytest.mark.parametrize("options", [{}, {"mode": "upsert"}])
def test_units_on_h2(h2, options):
    table = f"t{len(options)}"
    with SinkUnderTest("postgres", ROWS, url=h2.url, table=table, create="true", stage=table,
                       key=["id"], **options) as s:
        s.found({"0": 0})
        at = s.put(rows(*range(2500)))
        unit = s.unit({"0": (at, at + 1, 1, 1)})
        s.begin(unit)
        s.write(rows(9000))
        s.abort(unit)
        at = s.put(rows(3000), at)
        assert s.take(["0"])["0"][:3] == (at, 2, 2501)
        with pytest.raises(Failure) as caught:  # the owner has changed
            s.put(rows(4000), at)
        assert (caught.value.status, caught.value.code) == (FENCED, "owner")
        warnings = [text for level, text in s.logs if level == 2]
        assert any("binary COPY" in text for text in warnings)
    assert h2.sql(f"SELECT count(*), max(id) FROM {table}") == [("2501", "3000")]
    assert h2.sql(f"SELECT * FROM {table} WHERE id = 3") == [
        ("3", "n3", "2026-01-28 10:00:00.000005+00", "0.7500", "f")]


def test_upserts_and_deletes_on_h2(h2):
    with SinkUnderTest("postgres", ROWS, url=h2.url, table="u", create="true", stage="u",
                       mode="upsert", key=["id"]) as s:
        s.found({"0": 0})
        at = s.put(rows(1, 2, 3))
        s.put(pa.concat_batches([rows(1, name="x"), rows(2, op="delete"), rows(1, name="y"),
                                 rows(4), rows(4, op="delete")]), at)
    assert h2.sql("SELECT id, name FROM u ORDER BY 1") == [("1", "y1"), ("3", "n3")]
