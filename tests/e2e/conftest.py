# SPDX-License-Identifier: Apache-2.0
"""Fixtures: real servers once for a run, a database and topics for each test, the program."""

import itertools
import os
import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from servers.clickhouse import Chdb, ClickHouse18  # noqa: E402
from servers.kafka import Kafka  # noqa: E402
from servers.mariadb import Mariadb  # noqa: E402
from servers.postgres import Postgres  # noqa: E402
from servers.process import free_port  # noqa: E402
from servers.proxy import Proxy  # noqa: E402
from servers.runner import BINARY, Millrace  # noqa: E402
from servers.shared import SharedCassandra  # noqa: E402
from servers.timescale import Timescale  # noqa: E402

numbers = itertools.count(1)


@pytest.fixture
def port():
    return free_port()


@pytest.fixture(scope="session")
def server_folder():
    with tempfile.TemporaryDirectory(prefix="millrace-test-") as folder:
        os.chmod(folder, 0o755)  # the database runs as another user
        yield pathlib.Path(folder)


@pytest.fixture(scope="session")
def kafka(server_folder):
    with Kafka(server_folder / "kafka") as server:
        yield server


@pytest.fixture(scope="session")
def postgres(server_folder):
    with Postgres(server_folder / "postgres", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def timescale(server_folder):
    """TimescaleDB and pgvector on PostgreSQL 17."""
    with Timescale(server_folder / "timescale", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse(server_folder):
    """Today's engine."""
    with Chdb(server_folder / "clickhouse") as server:
        yield server


@pytest.fixture(scope="session")
def clickhouse18(server_folder):
    """The distribution's version."""
    with ClickHouse18(server_folder / "clickhouse18") as server:
        yield server


@pytest.fixture(scope="session")
def mariadb(server_folder):
    with Mariadb(server_folder / "mariadb", durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def cassandra(tmp_path_factory):
    """A node shared by all workers: it takes long to start."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with SharedCassandra(folder / "cassandra") as server:
        yield server


@pytest.fixture
def keyspace(cassandra):
    """An empty keyspace of one test; its name is no other worker's."""
    name = f"k{next(numbers)}{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    cassandra.create_keyspace(name)
    yield name
    cassandra.drop_keyspace(name)


@pytest.fixture
def topic(kafka):
    """Makes topics: topic(partitions=1, **config) gives a name of its own each time."""
    def make(partitions=1, **config):
        return kafka.create_topic(f"t{next(numbers)}", partitions, **config)
    return make


class Database:
    """An empty database of one test."""

    def __init__(self, server, name):
        self.server, self.name, self.url = server, name, server.create_database(name)

    def sql(self, query, *args):
        return self.server.sql(query, *args, database=self.name)

    def value(self, query, *args):
        return self.sql(query, *args)[0][0]

    def count(self, table):
        """Rows of a table; 0 while it does not exist."""
        known = self.value("SELECT to_regclass(%s) IS NOT NULL", table)
        return self.value(f"SELECT count(*) FROM {table}") if known else 0

    def backends(self):
        return self.server.backends(self.name)


@pytest.fixture
def database(postgres):
    made = Database(postgres, f"d{next(numbers)}")
    yield made
    postgres.drop_database(made.name)


class Schema:
    """An empty MariaDB database of one test."""

    def __init__(self, server, name):
        self.server, self.name, self.url = server, name, server.create_database(name)

    def sql(self, query, *args):
        return self.server.sql(query, *args, database=self.name)

    def count(self, table):
        """Rows of a table; 0 while it does not exist."""
        known = self.sql("SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE()"
                         " AND table_name = %s", table)
        return self.sql(f"SELECT count(*) FROM `{table}`")[0][0] if known else 0


@pytest.fixture
def schema(mariadb):
    made = Schema(mariadb, f"d{next(numbers)}")
    yield made
    mariadb.drop_database(made.name)


@pytest.fixture
def proxy(postgres):
    """A proxy in front of the database server; proxied(database) is a URL through it."""
    with Proxy("127.0.0.1", postgres.port, postgres=True) as made:
        made.url = lambda database: postgres.database_url(database.name, made.port)
        yield made


@pytest.fixture
def millrace(request, tmp_path):
    """The program; KAFKA_BROKERS and PG_URL are set for tests that use those servers."""
    assert BINARY.exists(), f"{BINARY} is not built (./dev build)"
    env = {}
    if "kafka" in request.fixturenames:
        env["KAFKA_BROKERS"] = request.getfixturevalue("kafka").brokers
    if "database" in request.fixturenames:
        env["PG_URL"] = request.getfixturevalue("database").url
    if "schema" in request.fixturenames:
        env["MYSQL_URL"] = request.getfixturevalue("schema").url
    program = Millrace(tmp_path / "run", env)
    yield program
    program.stop_all()
