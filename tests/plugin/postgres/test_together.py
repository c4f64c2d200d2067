# SPDX-License-Identifier: Apache-2.0
"""Several instances of the postgres sink at work in one process, while others change the table."""

import random
import threading

import pyarrow as pa
import pytest

from abi import RETRY, UNSURE, Failure, SinkUnderTest, batch
from servers.process import wait_until

ROWS = pa.schema([("id", pa.int64()), ("worker", pa.int64()), ("n", pa.int64())])


class Worker(threading.Thread):
    """Writes units as the runtime does: what is transient is done again."""

    def __init__(self, db, number, units, rows, **options):
        super().__init__()
        self.db, self.number, self.units = db, number, units
        self.rows, self.options = rows, options
        self.codes, self.failure = [], None

    def run(self):
        try:
            with SinkUnderTest("postgres", ROWS, url=self.db.url, table="public.t",
                               stage=f"w{self.number}", **self.options) as s:
                s.found({"0": 0})
                for n in range(self.units):
                    self.write(s, n)
        except Exception as e:  # shown by the test
            self.failure = e

    def write(self, s, n):
        owner = 1
        for _ in range(100):
            unit = s.unit({"0": (n, n + 1, owner, 1)})
            try:
                s.begin(unit)
                s.write(self.rows(self.number, n))
                return s.commit(unit)
            except Failure as f:
                self.codes.append(f.code)
                if f.status == UNSURE:
                    raise
                assert f.status == RETRY, f
                s.abort(unit)
        raise AssertionError(f"100 tries: {self.codes[-5:]}")


def run(workers):
    [w.start() for w in workers]
    return workers


def finish(workers):
    for w in workers:
        w.join(120)
        assert not w.is_alive(), "stuck"
        assert w.failure is None, w.failure


def own_rows(worker, n):
    return batch(ROWS, [(worker * 1000000 + n * 100 + i, worker, n) for i in range(100)])


def test_writers_and_alter_table(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, worker bigint, n bigint)")
    workers = run([Worker(db, i, 60, own_rows) for i in range(4)])
    changes = 0
    while any(w.is_alive() for w in workers):
        db.sql("ALTER TABLE t ADD COLUMN extra int DEFAULT 1")
        db.sql("ALTER TABLE t DROP COLUMN extra")
        changes += 1
    finish(workers)
    assert changes > 0
    assert db.sql("SELECT worker, count(*) FROM t GROUP BY 1 ORDER BY 1") == [
        (i, 6000) for i in range(4)]


def shared_rows(worker, n):
    keys = random.Random(worker * 1000 + n).sample(range(300), 200)
    return batch(ROWS, [(k, worker, n) for k in keys])


def test_writers_of_the_same_keys(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, worker bigint, n bigint)")
    workers = run([Worker(db, i, 30, shared_rows, mode="upsert", key=["id"]) for i in range(4)])
    finish(workers)
    assert db.value("SELECT count(*) FROM t") == 300
    assert db.sql("SELECT sum(rows_total), count(*) FROM millrace_offsets") == [(120, 4)]


def test_the_victim_of_a_deadlock_is_written_again(db):
    """Another session has key 2 and waits for key 1, which the sink has; then the sink wants key 2.
    The other one never looks for deadlocks, so it is the sink that the server ends."""
    def rows(*keys):
        return batch(ROWS, [(k, 0, 7) for k in keys])
    with SinkUnderTest("postgres", ROWS, url=db.url, table="public.t", create="true", mode="upsert",
                       key=["id"]) as s, db.connect() as other:
        s.found({"0": 0})
        s.put(rows(1, 2))
        unit = s.unit({"0": (2, 4, 1, 2)})
        s.begin(unit)
        s.write(rows(1))
        s.flush()
        other.execute("SET deadlock_timeout = '1h'")
        other.execute("BEGIN")
        other.execute("UPDATE t SET worker = 1 WHERE id = 2")
        waits = threading.Thread(
            target=other.execute, args=("UPDATE t SET worker = 1 WHERE id = 1",))
        waits.start()
        wait_until(lambda: db.value("SELECT count(*) FROM pg_locks WHERE NOT granted"), 60, "a lock")
        with pytest.raises(Failure) as caught:
            s.write(rows(2))
            s.commit(unit)
        assert (caught.value.status, caught.value.code) == (RETRY, "40P01")
        s.abort(unit)
        waits.join(60)
        assert not waits.is_alive()
        other.execute("COMMIT")
        s.begin(unit)
        s.write(rows(1, 2))
        s.commit(unit)
    assert db.sql("SELECT * FROM t ORDER BY id") == [(1, 0, 7), (2, 0, 7)]


@pytest.mark.parametrize("other", [{"method": "insert", "insert_rows": "30"}, {"mode": "upsert", "key": ["id"]}])
def test_ways_of_writing_side_by_side(db, other):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, worker bigint, n bigint)")
    finish(run([Worker(db, 0, 30, own_rows), Worker(db, 1, 30, own_rows, **other)]))
    assert db.sql("SELECT worker, count(*) FROM t GROUP BY 1 ORDER BY 1") == [(0, 3000), (1, 3000)]
