# SPDX-License-Identifier: Apache-2.0
"""One MariaDB server for these tests, a database for each test."""

import itertools
import os
import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / "plugin" / "common")]

pytest.register_assert_rewrite("version_cases")

from servers.mariadb import Mariadb  # noqa: E402
from servers.proxy import Proxy  # noqa: E402

numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server():
    with tempfile.TemporaryDirectory(prefix="millrace-my-") as folder:
        os.chmod(folder, 0o755)  # the server runs as another user
        made = pathlib.Path(folder) / "mariadb"
        with Mariadb(made, durable=False, settings=f"general_log = 1\ngeneral_log_file = {made}/general.log") as up:
            yield up


class Database:
    def __init__(self, server, name):
        self.server, self.name, self.url = server, name, server.create_database(name)

    def sql(self, query, *args):
        return self.server.sql(query, *args, database=self.name)

    def value(self, query, *args):
        return self.sql(query, *args)[0][0]

    def connect(self, **options):
        return self.server.connect(self.name, **options)

    def sessions(self):
        return self.server.sessions(self.name)


@pytest.fixture
def db(server):
    made = Database(server, f"db{next(numbers)}")
    yield made
    server.drop_database(made.name)


@pytest.fixture
def log(server):
    """What the server was asked during the test."""
    path = server.folder / "general.log"
    begin = path.stat().st_size

    def read():
        return path.read_bytes()[begin:].decode(errors="replace")
    return read


@pytest.fixture
def proxy(server):
    with Proxy("127.0.0.1", server.port) as made:
        made.url = lambda database: server.database_url(database.name, made.port)
        yield made
