# SPDX-License-Identifier: Apache-2.0
"""ClickHouse: the distribution's 18.16, and today's engine (chdb) behind a front of HTTP."""

import json
import pathlib
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request

from .process import Process, ServerError, free_port, require_tool, wait_until

USER = "default"
PASSWORD = "millrace-test-password"

CONFIG = """<?xml version="1.0"?>
<yandex>
  <logger><level>warning</level><log>{folder}/server.log</log><errorlog>{folder}/error.log</errorlog></logger>
  <http_port>{port}</http_port><tcp_port>{tcp_port}</tcp_port>
  <interserver_http_port>{inter_port}</interserver_http_port>
  <listen_host>127.0.0.1</listen_host>
  <path>{folder}/data/</path><tmp_path>{folder}/tmp/</tmp_path>
  <user_files_path>{folder}/files/</user_files_path>
  <format_schema_path>{folder}/schemas/</format_schema_path>
  <users_config>{folder}/users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>268435456</mark_cache_size><timezone>UTC</timezone>
</yandex>
"""
USERS = """<?xml version="1.0"?>
<yandex>
  <profiles><default><max_memory_usage>4000000000</max_memory_usage></default></profiles>
  <users><default><password>{password}</password><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota></default></users>
  <quotas><default><interval><duration>3600</duration><queries>0</queries><errors>0</errors>
    <result_rows>0</result_rows><read_rows>0</read_rows><execution_time>0</execution_time>
  </interval></default></quotas>
</yandex>
"""


class Refused(RuntimeError):
    """The server's own words about a query."""


class Server:
    """What both have: an URL for pipelines, SQL for tests, stop by pid."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, self.process = free_port(), None
        self.prepare()
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def database_url(self, database="default", port=None):
        return f"http://{USER}:{PASSWORD}@127.0.0.1:{port or self.port}/?database={database}"

    @property
    def url(self):
        return self.database_url()

    def start(self, timeout=60):
        self.process = Process(self.command(), self.folder / "output.log", cwd=self.folder)
        wait_until(self._answers, timeout, type(self).__name__)

    def stop(self, sig=9):
        if self.process:
            self.process.stop(sig)

    def _answers(self):
        self.process.require_running(type(self).__name__)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ping", timeout=2) as answer:
                return answer.read() == b"Ok.\n"
        except OSError:
            return False

    def query(self, sql, database="default", **settings):
        """Runs one statement and returns its answer's bytes."""
        parameters = urllib.parse.urlencode({"database": database, **settings})
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/?{parameters}", data=sql.encode(),
            headers={"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.read()
        except urllib.error.HTTPError as e:
            raise Refused(e.read().decode(errors="replace")) from None

    def rows(self, sql, database="default"):
        """Rows of a SELECT as lists of Python values; 64-bit numbers as text."""
        text = self.query(f"{sql} FORMAT JSONCompactEachRow" if not self.old
                          else f"{sql} FORMAT JSONCompact", database)
        if self.old:
            return json.loads(text)["data"]
        return [json.loads(line) for line in text.splitlines()]

    def value(self, sql, database="default"):
        return self.query(f"{sql} FORMAT TabSeparated", database).decode().strip()

    def create_database(self, name):
        self.query(f"CREATE DATABASE `{name}`")
        return self.database_url(name)

    def drop_database(self, name):
        self.query(f"DROP DATABASE IF EXISTS `{name}`")


class ClickHouse18(Server):
    """The server that the distribution has."""

    old = True

    def prepare(self):
        require_tool("clickhouse-server")
        for name in ("data", "tmp", "files", "schemas"):
            (self.folder / name).mkdir(exist_ok=True)
        self.tcp_port = free_port()
        (self.folder / "config.xml").write_text(CONFIG.format(
            folder=self.folder, port=self.port, tcp_port=self.tcp_port, inter_port=free_port()))
        (self.folder / "users.xml").write_text(USERS.format(password=PASSWORD))

    def command(self):
        return [require_tool("clickhouse-server"), f"--config-file={self.folder}/config.xml"]

    def client(self, database, query):
        """The command line of the server's own client."""
        return [require_tool("clickhouse-client"), "--host=127.0.0.1", f"--port={self.tcp_port}",
                f"--user={USER}", f"--password={PASSWORD}", f"--database={database}", f"--query={query}"]


class Chdb(Server):
    """Today's engine. It takes every user and password."""

    old = False

    def prepare(self):
        self.front = self.folder / "chdb_front.py"
        shutil.copy(pathlib.Path(__file__).with_name("chdb_front.py"), self.front)

    def command(self):
        return [sys.executable, str(self.front), str(self.port), str(self.folder / "engine")]


__all__ = ["Chdb", "ClickHouse18", "Refused", "Server", "ServerError"]
