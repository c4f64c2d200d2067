# SPDX-License-Identifier: Apache-2.0
"""One PostgreSQL server for these tests, a database for each test."""

import itertools
import os
import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / "plugin" / "common")]

pytest.register_assert_rewrite("version_cases")

import servers.postgres  # noqa: E402
from servers.postgres import Postgres  # noqa: E402
from servers.proxy import Proxy  # noqa: E402
from servers.timescale import Timescale  # noqa: E402

numbers = itertools.count(1)
if "MILLRACE_TEST_POSTGRES_BIN" in os.environ:  # another version than the newest installed
    servers.postgres.bin_folder = lambda: os.environ["MILLRACE_TEST_POSTGRES_BIN"]


@pytest.fixture(scope="session")
def server():
    with tempfile.TemporaryDirectory(prefix="millrace-pg-") as folder:
        os.chmod(folder, 0o755)  # the server runs as another user
        with Postgres(pathlib.Path(folder) / "postgres", durable=False,
                      settings="log_statement = 'all'") as made:
            yield made


@pytest.fixture(scope="session")
def timescale():
    with tempfile.TemporaryDirectory(prefix="millrace-ts-") as folder:
        os.chmod(folder, 0o755)
        with Timescale(pathlib.Path(folder) / "postgres", durable=False) as made:
            yield made


class Database:
    def __init__(self, server, name):
        self.server, self.name, self.url = server, name, server.create_database(name)

    def sql(self, query, *args):
        return self.server.sql(query, *args, database=self.name)

    def value(self, query, *args):
        return self.sql(query, *args)[0][0]

    def connect(self, **options):
        return self.server.connect(self.name, **options)

    def backends(self):
        return self.server.backends(self.name)

    def log(self):
        """What the server logged about this database."""
        text = (self.server.folder / "postgres.log").read_text(errors="replace")
        return [line for line in text.splitlines() if f"] {self.name} " in line]


@pytest.fixture
def db(server):
    made = Database(server, f"db{next(numbers)}")
    yield made
    server.drop_database(made.name)


@pytest.fixture
def ts(timescale):
    """A database with TimescaleDB and pgvector."""
    made = Database(timescale, f"db{next(numbers)}")
    yield made
    timescale.drop_database(made.name)


@pytest.fixture
def proxy(server):
    with Proxy("127.0.0.1", server.port, postgres=True) as made:
        made.url = lambda database: server.database_url(database.name, made.port)
        yield made
