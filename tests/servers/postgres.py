# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL from the distribution: its own data folder, port and socket folder."""

import glob
import os
import pathlib
import re
import shutil
import signal
import subprocess

from .process import Process, ServerError, free_port, require_tool, wait_until

USER = "millrace"
PASSWORD = "millrace-test-password"

SETTINGS = """listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 100
max_prepared_transactions = 50
shared_buffers = 256MB
max_wal_size = 4GB
min_wal_size = 1GB
checkpoint_timeout = 30min
log_min_messages = warning
log_line_prefix = '%m [%p] %d %e '
log_timezone = 'UTC'
timezone = 'UTC'
"""


def _version(path):
    return [int(n) for n in re.findall(r"\d+", path.split("/postgresql/")[-1])]


def bin_folder():
    """Folder of the newest installed server."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version)
    return found[-1] if found else os.path.dirname(require_tool("initdb"))


class Postgres:
    """A server; `url` reaches it as superuser over TCP. Use as a context manager or call stop()."""

    def __init__(self, folder, *, durable=True, settings="", programs=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.bin = programs or bin_folder()
        self.user = "postgres" if os.geteuid() == 0 else None
        self.port = free_port()
        self.process = None
        self.data = self.folder / "data"
        self._hand_over()
        self._initdb()
        text = SETTINGS.format(port=self.port, sockets=self.folder) + settings + "\n"
        if not durable:
            text += "fsync = off\nfull_page_writes = off\n"
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.write(text)
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return self.database_url("postgres")

    def database_url(self, database, port=None, user=USER, password=PASSWORD):
        return f"postgresql://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def _hand_over(self):
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
            self.folder.chmod(0o755)

    def _initdb(self):
        secret = self.folder / "password"
        secret.write_text(PASSWORD + "\n")
        if self.user:
            shutil.chown(secret, self.user, self.user)
        account = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        done = subprocess.run(
            [f"{self.bin}/initdb", "-D", str(self.data), "-U", USER, "-A", "scram-sha-256",
             f"--pwfile={secret}", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=self.folder, **account)
        if done.returncode != 0:
            raise ServerError(f"initdb: {done.stderr}")

    def start(self, timeout=30):
        """Starts the server (again, with its data) and waits until it answers."""
        self.process = Process([f"{self.bin}/postgres", "-D", str(self.data)],
                               self._log(), user=self.user, cwd=self.folder, death=signal.SIGINT)
        wait_until(self._answers, timeout, "postgres")

    def _log(self):
        return self.folder / "postgres.log"

    def _answers(self):
        self.process.require_running("postgres")
        import psycopg
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False

    def stop(self, sig=signal.SIGINT):
        """Stops the server: SIGINT ends its sessions, SIGQUIT is a crash."""
        if self.process:
            self.process.stop(sig)

    def connect(self, database="postgres", **options):
        import psycopg
        return psycopg.connect(self.database_url(database), autocommit=True, **options)

    def sql(self, query, *args, database="postgres"):
        """Runs one statement and returns its rows as a list of tuples (empty without a result)."""
        with self.connect(database) as connection:
            cursor = connection.execute(query, args or None)
            return cursor.fetchall() if cursor.description else []

    def create_database(self, name):
        """Makes an empty database and returns its URL."""
        self.sql(f'CREATE DATABASE "{name}"')
        return self.database_url(name)

    def drop_database(self, name):
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def backends(self, database):
        """Process ids of the client backends of a database, this call's own excluded."""
        rows = self.sql("SELECT pid FROM pg_stat_activity WHERE datname = %s AND"
                        " backend_type = 'client backend' AND pid <> pg_backend_pid()", database)
        return [pid for (pid,) in rows]
