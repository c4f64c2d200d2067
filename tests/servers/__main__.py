# SPDX-License-Identifier: Apache-2.0
"""Servers in the foreground, for trying things out: Kafka and PostgreSQL (./dev servers), or those named."""

import contextlib
import os
import signal
import sys
import tempfile

from .cassandra import Cassandra
from .kafka import Kafka
from .postgres import Postgres


def started(name, folder):
    """One server and the line that tells a shell where it is."""
    if name == "kafka":
        server = Kafka(f"{folder}/kafka")
        return server, f"KAFKA_BROKERS={server.brokers}"
    if name == "postgres":
        server = Postgres(f"{folder}/pg")
        return server, f"PG_URL={server.url}"
    if name == "cassandra":
        server = Cassandra(f"{folder}/cassandra")
        return server, f"CASSANDRA=127.0.0.1:{server.port} CASSANDRA_CDC_RAW={server.cdc_raw}"
    sys.exit(f"no such server: {name} (kafka, postgres, cassandra)")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="millrace-servers-") as folder, contextlib.ExitStack() as stack:
        os.chmod(folder, 0o755)
        for name in sys.argv[1:] or ("postgres", "kafka"):
            server, line = started(name, folder)
            stack.enter_context(server)
            print(f"export {line}", flush=True)
        print("# stop with Ctrl-C", file=sys.stderr, flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass


main()
