# SPDX-License-Identifier: Apache-2.0
"""TimescaleDB and pgvector on PostgreSQL 17, as Debian 13 has them."""

import os
import pathlib

from . import debian13
from .postgres import Postgres

BIN = "usr/lib/postgresql/17/bin"
PACKAGES = ("postgresql-17", "postgresql-17-timescaledb", "postgresql-17-pgvector")
PROGRAMS = tuple(f"{BIN}/{name}" for name in ("postgres", "initdb", "psql"))
SETTINGS = """shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 0
jit = off
"""


class Timescale(Postgres):
    """The server; each database that is made has both extensions. No jobs run in the background."""

    def __init__(self, folder, *, settings="", **options):
        root = debian13.folder("postgresql-17", *PACKAGES, programs=PROGRAMS)
        if os.geteuid() == 0:  # the server runs as another user
            root = debian13.copy(root, pathlib.Path(folder) / "debian13")
        super().__init__(folder, settings=SETTINGS + settings, programs=root / BIN, **options)
        for extension in ("timescaledb", "vector"):
            self.sql(f"CREATE EXTENSION {extension}", database="template1")
