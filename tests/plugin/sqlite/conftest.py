# SPDX-License-Identifier: Apache-2.0
"""A file for each test."""

import pathlib
import sqlite3
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "common"))

pytest.register_assert_rewrite("version_cases")


class File:
    def __init__(self, path):
        self.path = str(path)

    def connect(self):
        return sqlite3.connect(self.path, isolation_level=None, timeout=20)

    def sql(self, query, *args):
        connection = self.connect()
        try:
            return connection.execute(query, args).fetchall()
        finally:
            connection.close()


@pytest.fixture
def file(tmp_path):
    return File(tmp_path / "data.db")
