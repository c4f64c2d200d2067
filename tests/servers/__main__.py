# SPDX-License-Identifier: Apache-2.0
"""Kafka and PostgreSQL in the foreground, for trying things out: ./dev servers"""

import os
import signal
import sys
import tempfile

from .kafka import Kafka
from .postgres import Postgres


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="millrace-servers-") as folder:
        os.chmod(folder, 0o755)
        with Postgres(f"{folder}/pg") as postgres, Kafka(f"{folder}/kafka") as kafka:
            print(f"export KAFKA_BROKERS={kafka.brokers}")
            print(f"export PG_URL={postgres.url}")
            print("# both stop with Ctrl-C", file=sys.stderr, flush=True)
            sys.stdout.flush()
            try:
                signal.pause()
            except KeyboardInterrupt:
                pass


main()
