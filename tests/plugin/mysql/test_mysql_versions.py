# SPDX-License-Identifier: Apache-2.0
"""The mysql sink: the newest version of each column wins, and deletes of many rows."""

import datetime as dt
import uuid

import pyarrow as pa
import pytest

import versions
from version_cases import *  # noqa: F401, F403
from version_cases import VersionTarget, many, row, span


class MysqlTarget(VersionTarget):
    plugin = "mysql"
    TABLE = ("CREATE TABLE t (k bigint, c1 int, c2 varchar(20) CHARACTER SET utf8mb4 COLLATE %(collation)s, %(a)s,"
             " b text, n int NOT NULL DEFAULT 7, at datetime(6), %(millrace_written)s PRIMARY KEY (k, c1, c2))")
    TYPES = {"a": "a bigint", "millrace_written": "millrace_written json,", "collation": "uca1400_as_cs"}
    variants = ({}, {"method": "insert"}, {"statement_bytes": "1KiB"}, {"method": "insert", "statement_bytes": "1KiB"})

    def kill_sessions(self):
        for session in self.db.sessions():
            self.db.server.kill(session)


@pytest.fixture
def target(db):
    return MysqlTarget(db)
