# SPDX-License-Identifier: Apache-2.0
"""Reads a table of Cassandra by the Python driver as cqlsh's COPY TO does: ranges of the token ring, several
at a time, page by page. usage: cassandra_scan.py PORT TABLE RANGES CONCURRENT PAGE; prints JSON."""

import json
import resource
import sys
import threading
import time

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.query import tuple_factory

LOWEST, SIZE = -2 ** 63, 2 ** 64


class Scan:
    """Each range goes on with its next page as soon as one has come."""

    def __init__(self, session, table, ranges, concurrent):
        self.session, self.rows, self.error = session, 0, None
        self.statement = session.prepare(f"SELECT * FROM {table} WHERE token(p) > ? AND token(p) <= ?")
        cuts = [LOWEST + SIZE * i // ranges for i in range(ranges)] + [2 ** 63 - 1]
        self.waiting = list(zip(cuts, cuts[1:]))
        self.lock, self.done, self.running = threading.Lock(), threading.Event(), concurrent
        for _ in range(concurrent):
            self.next_range()

    def next_range(self):
        with self.lock:
            bounds = self.waiting.pop() if self.waiting else None
            self.running -= bounds is None
            if not self.running:
                self.done.set()
        if bounds:
            future = self.session.execute_async(self.statement, bounds)
            future.add_callbacks(self.page, self.failed, callback_args=(future,))

    def page(self, rows, future):
        n = len(list(rows or ()))
        with self.lock:
            self.rows += n
        if future.has_more_pages:
            future.start_fetching_next_page()
        else:
            self.next_range()

    def failed(self, error):
        self.error = error
        self.done.set()


def main(port, table, ranges, concurrent, page):
    profile = ExecutionProfile(request_timeout=120, row_factory=tuple_factory)
    cluster = Cluster(["127.0.0.1"], port=int(port), compression=False, protocol_version=5,
                      execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect()
    session.default_fetch_size = int(page)
    begin = time.perf_counter()
    scan = Scan(session, table, int(ranges), int(concurrent))
    scan.done.wait()
    seconds = time.perf_counter() - begin
    if scan.error:
        raise scan.error
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"rows": scan.rows, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
