# SPDX-License-Identifier: Apache-2.0
"""MariaDB from the distribution: its own data folder, port and socket."""

import os
import pathlib
import shutil
import signal
import subprocess

from .process import Process, ServerError, free_port, require_tool, wait_until

USER = "millrace"
PASSWORD = "millrace-test-password"

SETTINGS = """[mariadbd]
bind-address = 127.0.0.1
port = {port}
socket = {folder}/mariadb.sock
datadir = {folder}/data
pid-file = {folder}/mariadb.pid
tmpdir = {folder}
skip-name-resolve
max_connections = 200
innodb_buffer_pool_size = 128M
innodb_log_file_size = 96M
character-set-server = latin1
default-time-zone = +05:00
"""


class Mariadb:
    """A server; `url` reaches it as a user with all rights over TCP. Its zone and character set are none
    that a session should rely on. Use as a context manager or call stop()."""

    def __init__(self, folder, *, durable=True, settings=""):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.user = "mysql" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
            self.folder.chmod(0o755)
        self.port = free_port()
        self.process = None
        text = SETTINGS.format(port=self.port, folder=self.folder) + settings + "\n"
        if not durable:
            text += "innodb_flush_log_at_trx_commit = 0\nskip-innodb-doublewrite\n"
        self.conf = self.folder / "my.cnf"
        self.conf.write_text(text)
        self._install()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return self.database_url("")

    def database_url(self, database, port=None, user=USER, password=PASSWORD):
        return f"mysql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def _account(self):
        return {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}

    def _install(self):
        tool = require_tool("mariadb-install-db")
        done = subprocess.run(
            [tool, f"--defaults-file={self.conf}", "--auth-root-authentication-method=normal",
             "--skip-test-db"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.folder,
            **self._account())
        if done.returncode != 0:
            raise ServerError(f"mariadb-install-db: {done.stdout}{done.stderr}")
        self.first = self.folder / "first.sql"
        self.first.write_text(
            f"CREATE OR REPLACE USER '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'127.0.0.1' WITH GRANT OPTION;\n")

    def start(self, timeout=60):
        """Starts the server (again, with its data) and waits until it answers."""
        program = require_tool("mariadbd", "/usr/sbin")
        self.process = Process(
            [program, f"--defaults-file={self.conf}", f"--init-file={self.first}"],
            self.folder / "mariadb.log", user=self.user, cwd=self.folder)
        wait_until(self._answers, timeout, "mariadb")

    def _answers(self):
        self.process.require_running("mariadb")
        import pymysql
        try:
            self.connect(connect_timeout=2).close()
            return True
        except pymysql.OperationalError:
            return False

    def stop(self, sig=signal.SIGTERM):
        """Stops the server: SIGTERM in order, SIGKILL is a crash."""
        if self.process:
            self.process.stop(sig)

    def connect(self, database=None, **options):
        import pymysql
        return pymysql.connect(host="127.0.0.1", port=self.port, user=USER, password=PASSWORD,
                               database=database or None, charset="utf8mb4", autocommit=True, ssl_disabled=True,
                               init_command="SET time_zone = '+00:00'", **options)

    def sql(self, query, *args, database=None):
        """Runs one statement and returns its rows as a list of tuples (empty without a result)."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, args or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def create_database(self, name):
        """Makes an empty database and returns its URL."""
        self.sql(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.database_url(name)

    def drop_database(self, name):
        self.sql(f"DROP DATABASE IF EXISTS `{name}`")

    def sessions(self, database):
        """Connection ids of the clients that use a database."""
        return [row[0] for row in self.sql(
            "SELECT id FROM information_schema.processlist WHERE db = %s", database)]

    def kill(self, session):
        """KILL of a session; False: it was gone."""
        import pymysql
        try:
            self.sql(f"KILL {int(session)}")
            return True
        except pymysql.MySQLError:
            return False
