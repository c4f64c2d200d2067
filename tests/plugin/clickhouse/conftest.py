# SPDX-License-Identifier: Apache-2.0
"""Both ClickHouse servers, once for a run; a database for each test."""

import itertools
import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / "plugin" / "common")]

from servers.clickhouse import Chdb, ClickHouse18  # noqa: E402
from abi import SinkUnderTest  # noqa: E402

numbers = itertools.count(1)


def started(kind):
    with tempfile.TemporaryDirectory(prefix="millrace-ch-") as folder:
        with kind(pathlib.Path(folder) / "server") as made:
            yield made


@pytest.fixture(scope="session")
def new_server():
    yield from started(Chdb)


@pytest.fixture(scope="session")
def old_server():
    yield from started(ClickHouse18)


class Database:
    def __init__(self, server):
        self.server, self.name = server, f"db{next(numbers)}"
        self.url = server.create_database(self.name)

    def query(self, sql, **settings):
        return self.server.query(sql, self.name, **settings)

    def rows(self, sql):
        return self.server.rows(sql, self.name)

    def value(self, sql):
        return self.server.value(sql, self.name)

    def sink(self, schema, **options):
        return SinkUnderTest("clickhouse", schema, **{"url": self.url, "table": "t", **options})

    def ddl(self, table="t"):
        return self.server.query(f"SHOW CREATE TABLE {table} FORMAT TabSeparatedRaw",
                                 self.name).decode()


def database(server):
    made = Database(server)
    yield made
    server.drop_database(made.name)


@pytest.fixture
def db(new_server):
    yield from database(new_server)


@pytest.fixture
def old(old_server):
    yield from database(old_server)


@pytest.fixture(params=["18.16", "today"])
def either(request):
    yield from database(request.getfixturevalue(
        "old_server" if request.param == "18.16" else "new_server"))
