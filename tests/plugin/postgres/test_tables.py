# SPDX-License-Identifier: Apache-2.0
"""The postgres sink and its table: what it finds, makes, changes and upserts, also on servers that refuse things."""

import json
import threading

import pyarrow as pa
import pytest

from abi import BADCONF, FATAL, REJECT, RETRY, Failure, SinkUnderTest, batch
from limited import Limited

ROWS = pa.schema([("id", pa.int64()), ("name", pa.string())])


def sink(db, schema=ROWS, url=None, **options):
    return SinkUnderTest("postgres", schema, url=url or db.url, **{"table": "public.t", **options})


def rows(*values):
    return batch(ROWS, list(values))


def fails(status, call, *arguments):
    with pytest.raises(Failure) as caught:
        call(*arguments)
    assert caught.value.status == status, caught.value
    return caught.value


def refused(db, schema=ROWS, **options):
    return fails(BADCONF, sink(db, schema, **options).__enter__)


def content(db):
    return db.sql("SELECT * FROM t ORDER BY 1")


# ---------------------------------------------------------------- what start finds

def test_missing_table_is_named(db):
    f = refused(db, table="shop.trades")
    assert f.option == "table" and "shop.trades" in f.msg and db.name in f.msg
    assert f.code == "42P01"


def test_create_false_changes_nothing(db):
    db.sql("CREATE TABLE t (id bigint, name text)")
    with sink(db) as s:
        s.found({"0": 0})
        s.put(rows((1, "a")))
    before = len(db.log())
    with sink(db, create="false") as s:
        s.put(rows((2, "b")), 1)
    log = db.log()[before:]
    assert log and not any(word in line for line in log for word in ("CREATE", "ALTER", "DROP"))


def test_offsets_table_only_when_allowed(db):
    db.sql("CREATE TABLE t (id bigint, name text)")
    f = refused(db, create_offsets="false")
    assert f.option == "create_offsets" and "millrace_offsets" in f.msg


def test_create_makes_the_table_and_its_key(db):
    with sink(db, create="true", key=["id"]) as s:
        s.found({"0": 0})
        s.put(rows((1, "a")))
    assert content(db) == [(1, "a")]
    assert db.value("SELECT indisprimary FROM pg_index WHERE indrelid = 't'::regclass")


def test_instances_that_create_at_the_same_time(db):
    failed = []

    def start(i):
        try:
            with sink(db, create="true", stage=f"s{i}"):
                pass
        except Failure as f:
            failed.append(f)
    threads = [threading.Thread(target=start, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not failed
    assert content(db) == []


def test_not_null_column_that_nothing_fills(db):
    db.sql("CREATE TABLE t (id bigint, name text, trade_date date NOT NULL, n int NOT NULL DEFAULT 1,"
           " g int NOT NULL GENERATED ALWAYS AS (1) STORED, s serial)")
    f = refused(db)
    assert "trade_date" in f.msg and "n," not in f.msg and f.option == "table"


def test_columns_that_the_table_has_not(db):
    db.sql("CREATE TABLE t (id bigint)")
    f = refused(db)
    assert "name" in f.msg and "evolve" in f.msg


def test_types_that_do_not_meet(db):
    db.sql("CREATE TABLE t (id date, name text)")
    f = refused(db)
    assert "id" in f.msg and "date" in f.msg and "int64" in f.msg


def test_generated_column(db):
    db.sql("CREATE TABLE t (id bigint, name text GENERATED ALWAYS AS ('x') STORED)")
    assert "name" in refused(db).msg


def test_system_columns_are_not_written(db):
    schema = ROWS.append(pa.field("_op", pa.string())).append(pa.field("_offset", pa.int64()))
    with sink(db, schema, create="true") as s:
        s.found({"0": 0})
        s.put(batch(schema, [(1, "a", "delete", 7)]))
    assert content(db) == [(1, "a")]


def test_options_are_checked(db):
    for options, name in (({"table": "a.b.c"}, "table"), ({"table": "x" * 64}, "table"),
                          ({"mode": "upsert"}, "key"), ({"url": "postgresql://u:pw@h/d?no=1"}, "url"),
                          ({"key": ["k" * 64]}, "key")):
        s = sink(db, **options)
        f = fails(BADCONF, s.open)
        assert f.option == name and "pw" not in f.msg
        s.close()


def test_options_in_place_of_a_url(db, server):
    s = SinkUnderTest("postgres", ROWS, host="127.0.0.1", port=str(server.port), database=db.name,
                      user="millrace", password="millrace-test-password", table="t", create="true",
                      tls="disable", application_name="teller")
    with s:
        s.found({"0": 0})
        s.put(rows((1, "a")))
        assert db.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'teller'")
    assert content(db) == [(1, "a")]


def test_tls_is_demanded_where_the_file_says_so(db):
    f = fails(RETRY, sink(db, tls="require").__enter__)
    assert f.unreachable and "SSL" in f.msg


# ---------------------------------------------------------------- evolve

MORE = ROWS.append(pa.field("note", pa.string())).append(pa.field("tags", pa.list_(pa.string())))


def test_new_columns_are_added(db):
    with sink(db, create="true", evolve="add") as s:
        s.found({"0": 0})
        s.put(rows((1, "a")))
        s.evolve(MORE)
        s.evolve(MORE)
        s.put(batch(MORE, [(2, "b", "n", ["x"])]), 1)
    assert content(db) == [(1, "a", None, None), (2, "b", "n", ["x"])]


def test_new_columns_at_start(db):
    db.sql("CREATE TABLE t (id bigint)")
    with sink(db, MORE, evolve="add") as s:
        s.found({"0": 0})
        s.put(batch(MORE, [(2, "b", "n", ["x"])]))
    assert content(db) == [(2, "b", "n", ["x"])]


def test_without_evolve_new_columns_are_left_out_with_a_warning(db):
    with sink(db, create="true") as s:
        s.found({"0": 0})
        s.evolve(MORE)
        assert any("note" in text and level == 2 for level, text in s.logs)
        s.put(batch(MORE, [(2, "b", "n", ["x"])]))
    assert content(db) == [(2, "b")]


def test_columns_that_no_longer_come_stay_null(db):
    with sink(db, MORE, create="true") as s:
        s.found({"0": 0})
        s.evolve(ROWS)
        s.put(rows((1, "a")))
    assert content(db) == [(1, "a", None, None)]


def test_types_are_widened(db):
    db.sql("CREATE TABLE t (a int, b numeric(4,2), c real, d varchar(3), e bigint)")
    wide = pa.schema([("a", pa.int64()), ("b", pa.decimal128(10, 4)), ("c", pa.float64()),
                      ("d", pa.string()), ("e", pa.uint64())])
    narrow = pa.schema([("a", pa.int32()), ("b", pa.decimal128(4, 2)), ("c", pa.float32()),
                        ("d", pa.string()), ("e", pa.int64())])
    with sink(db, narrow, evolve="full") as s:
        s.found({"0": 0})
        s.evolve(wide)
        s.put(batch(wide, [(2**40, None, 0.1, "abcdef", 2**64 - 1)]))
    assert content(db) == [(2**40, None, 0.1, "abcdef", 2**64 - 1)]
    assert db.value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
                    " WHERE attrelid = 't'::regclass AND attname = 'b'") == "numeric(10,4)"


def test_narrowing_is_not_applied(db):
    db.sql("CREATE TABLE t (id int, name text)")
    number = pa.schema([("id", pa.string()), ("name", pa.string())])
    with sink(db, pa.schema([("id", pa.int32()), ("name", pa.string())]), evolve="full") as s:
        s.found({"0": 0})
        s.evolve(number)
        f = fails(REJECT, s.put, batch(number, [("12", "a"), ("twelve", "b")]))
        assert f.row == 1 and "id" in f.msg and f.code == "22P02"


def test_alter_waits_and_is_made_again(db):
    with sink(db, create="true", evolve="add", statement_timeout="20s") as s:
        s.found({"0": 0})
        s.put(rows((1, "a")))
        with db.connect() as other:
            other.execute("BEGIN; SELECT * FROM t")
            f = fails(RETRY, s.evolve, MORE)
            assert f.code == "55P03"
            other.execute("COMMIT")
        s.evolve(MORE)
        s.put(batch(MORE, [(2, "b", "n", [])]), 1)
    assert len(content(db)) == 2


def test_table_altered_by_others_between_units(db):
    with sink(db, create="true") as s:
        s.found({"0": 0})
        at = s.put(rows((1, "a")))
        db.sql("ALTER TABLE t ADD COLUMN x int DEFAULT 5")
        at = s.put(rows((2, "b")), at)
        db.sql("ALTER TABLE t ALTER COLUMN id TYPE numeric")
        at = s.put(rows((3, "c")), at)
        db.sql("ALTER TABLE t RENAME COLUMN name TO title")
        f = fails(BADCONF, s.put, rows((4, "d")), at)
        assert "name" in f.msg
    assert content(db) == [(1, "a", 5), (2, "b", 5), (3, "c", 5)]


# ---------------------------------------------------------------- upsert

CHANGES = ROWS.append(pa.field("_op", pa.string()))


def upsert(db, schema=ROWS, **options):
    return sink(db, schema, mode="upsert", key=["id"], **options)


def test_the_last_row_of_a_key_wins(db):
    with upsert(db, create="true") as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 9, 1, 0)})
        s.begin(unit)
        s.write(rows((1, "a"), (2, "b"), (1, "c")))
        s.write(rows((2, "d"), (3, "e"), (3, None)))
        s.commit(unit)
        assert content(db) == [(1, "c"), (2, "d"), (3, None)]
        s.put(rows((1, "z")), 9)
        assert content(db) == [(1, "z"), (2, "d"), (3, None)]


def test_deletes_and_inserts_in_order(db):
    with upsert(db, CHANGES, create="true") as s:
        s.found({"0": 0})
        at = s.put(batch(CHANGES, [(1, "a", "insert"), (2, "b", "insert"), (3, "c", "insert")]))
        at = s.put(batch(CHANGES, [(1, None, "delete"), (2, None, "delete"), (2, "again", "insert"),
                                   (4, "d", "insert"), (4, None, "delete"), (9, None, "delete"),
                                   (3, "u", "update")]), at)
        assert content(db) == [(2, "again"), (3, "u")]
        s.put(batch(CHANGES, [(5, "e", None)]), at)
        assert content(db) == [(2, "again"), (3, "u"), (5, "e")]


def test_other_columns_of_the_row_stay(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text, other int)")
    db.sql("INSERT INTO t VALUES (1, 'old', 7)")
    with upsert(db) as s:
        s.found({"0": 0})
        s.put(rows((1, "new"), (2, "x")))
    assert content(db) == [(1, "new", 7), (2, "x", None)]


def test_key_alone(db):
    schema = pa.schema([("id", pa.int64())])
    with upsert(db, schema, create="true") as s:
        s.found({"0": 0})
        s.put(batch(schema, [(1,), (1,), (2,)]))
    assert content(db) == [(1,), (2,)]


def test_key_of_two_columns_and_a_time_column(db):
    schema = pa.schema([("ts", pa.timestamp("us", "UTC")), ("dev", pa.string()), ("v", pa.float64())])
    with sink(db, schema, mode="upsert", key=["ts", "dev"], create="true") as s:
        s.found({"0": 0})
        s.put(batch(schema, [(0, "a", 1.0), (0, "b", 2.0), (0, "a", 3.0), (1, "a", 4.0)]))
    assert [r[1:] for r in content(db)] == [("a", 3.0), ("b", 2.0), ("a", 4.0)] or \
        sorted(r[1:] for r in content(db)) == [("a", 3.0), ("a", 4.0), ("b", 2.0)]


def test_upsert_needs_its_unique_index(db):
    db.sql("CREATE TABLE t (id bigint, name text)")
    f = fails(BADCONF, upsert(db).__enter__)
    assert f.option == "key" and f.code == "42P10"


def test_upsert_needs_its_key_columns(db):
    db.sql("CREATE TABLE t (id bigint, name text, k int PRIMARY KEY)")
    f = fails(BADCONF, sink(db, mode="upsert", key=["k"]).__enter__)
    assert "k" in f.msg


def test_upsert_null_key_is_a_bad_row(db):
    with upsert(db, CHANGES, create="true") as s:
        s.found({"0": 0})
        s.put(batch(CHANGES, [(None, "a", "insert"), (1, "b", "insert")]))
        assert [(r[1], r[2], r[4]) for r in s.rejects] == [(0, "23502", "id")]
    assert content(db) == [(1, "b")]


@pytest.mark.parametrize("method", ["auto", "insert"])
def test_upsert_finds_bad_rows_by_halves(db, method):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text CHECK (name <> 'bad'))")
    with upsert(db, CHANGES, method=method) as s:
        s.found({"0": 0})
        values = [(i, "bad" if i in (5, 300, 301, 999) else "a", "insert") for i in range(1000)]
        values += [(7, None, "delete"), (5, "good", "update"), (6, "b", "update")]
        unit = s.unit({"0": (0, 9, 1, 0)})
        s.begin(unit)
        s.write(batch(CHANGES, values))
        f = fails(REJECT, s.commit, unit)
        assert (f.code, f.unit_lost, f.row) == ("23514", True, -1)
        s.abort(unit)
        s.begin(unit)
        s.write(batch(CHANGES, values))
        s.commit(unit)
        assert sorted(r[1] for r in s.rejects) in ([300, 301, 999], [5, 300, 301, 999])
        want = [(i, "a") for i in range(1000) if i not in (5, 6, 7, 300, 301, 999)]
        assert content(db) == sorted(want + [(5, "good"), (6, "b")])
        s.put(batch(CHANGES, [(2000, "d", None)]), 9)
        assert content(db)[-1] == (2000, "d")


@pytest.mark.parametrize("bad", [False, True])
def test_a_large_unit_of_upserts_is_merged_in_parts(db, bad):
    """Later parts win over earlier ones; a row that is refused in the first is found all the same."""
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, n bigint CHECK (n <> 131005))")
    schema = pa.schema([("id", pa.int64()), ("n", pa.int64())])
    numbers = [n for n in range(133000) if bad or n != 131005]
    parts = [pa.record_batch([pa.array([n % 10000 for n in part], pa.int64()),
                              pa.array(part, pa.int64())], schema=schema)
             for part in (numbers[at:at + 33000] for at in range(0, len(numbers), 33000))]
    with upsert(db, schema) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 2, 1, len(numbers))})

        def write():
            s.begin(unit)
            for part in parts:
                s.write(part)
            s.commit(unit)
        if bad:
            assert fails(REJECT, write).unit_lost
            s.abort(unit)
        write()
        assert [r[1] for r in s.rejects] == ([131005 - 3 * 33000] if bad else [])
    merges = [line for line in db.log() if "INSERT INTO" in line and "ON CONFLICT" in line]
    assert len([line for line in merges if "EXPLAIN" not in line]) >= 2
    assert content(db) == sorted({n % 10000: n for n in numbers if n != 131005}.items())


def test_upsert_after_a_lost_connection(db):
    with upsert(db, create="true") as s:
        s.found({"0": 0})
        s.put(rows((1, "a")))
        for pid in db.backends():
            db.sql("SELECT pg_terminate_backend(%s, 2000)", pid)
        fails(RETRY, s.put, rows((2, "b")), 1)
        s.abort()
        s.put(rows((2, "b")), 1)
    assert content(db) == [(1, "a"), (2, "b")]


def test_upsert_every_type_goes_through_the_staging_table(db):
    schema = pa.schema([("id", pa.decimal128(20, 2)), ("l", pa.list_(pa.int32())),
                        ("j", pa.struct([("a", pa.int8())])), ("u", pa.uint64())])
    with upsert(db, schema, create="true", evolve="add") as s:
        s.found({"0": 0})
        s.put(batch(schema, [(1, [1], {"a": 1}, 2**64 - 1), (1, [], None, 0)]))
        wider = schema.append(pa.field("n", pa.string()))
        s.evolve(wider)
        s.put(batch(wider, [(2, None, {"a": 2}, 2**64 - 1, "x")]), 2)
    assert content(db) == [(1, [], None, 0, None), (2, None, {"a": 2}, 2**64 - 1, "x")]


# ---------------------------------------------------------------- servers that are not PostgreSQL

CATALOG = (r"pg_catalog|information_schema|to_regclass", "42P01")
VERSION = (r"version\(\)", "42883")
COPY = (r"^COPY", "0A000")
BINARY = (r"^COPY.*binary", "0A000")
CONFLICT = (r"ON CONFLICT", "42601")
TEMP = (r"TEMPORARY", "0A000")


def limited(server, db, *rules):
    made = Limited(server.port, rules)
    made.url = server.database_url(db.name, made.port) + "?sslmode=disable"
    return made


def test_a_server_without_a_catalog(server, db):
    db.sql("CREATE TABLE t (id bigint, name text)")
    with limited(server, db, CATALOG, VERSION) as other, sink(db, url=other.url, columns=ROWS) as s:
        s.found({"0": 0})
        s.put(rows((1, "a")))
        assert any("declared" in text for _, text in s.logs)
        assert s.take(["0"])["0"][:3] == (1, 2, 1)
    assert content(db) == [(1, "a")]


def test_no_such_table_is_not_a_catalog_error(server, db):
    with limited(server, db, CATALOG, VERSION) as other:
        f = fails(BADCONF, sink(db, url=other.url, columns=ROWS).__enter__)
        assert f.code == "42P01" and "public.t" in f.msg


@pytest.mark.parametrize("rules,used", [((BINARY,), "text COPY"), ((COPY,), "INSERT")])
def test_fall_back_when_copy_is_refused(server, db, rules, used):
    db.sql("CREATE TABLE t (id bigint, name text)")
    with limited(server, db, VERSION, *rules) as other, sink(db, url=other.url) as s:
        s.found({"0": 0})
        at = s.put(rows(*[(i, f"n{i}\t\\") for i in range(2500)]))
        s.start()
        s.put(rows((5000, None)), at)
        warnings = [text for level, text in s.logs if level == 2]
        assert len(warnings) == 1 and used in warnings[0]
    assert content(db) == [(i, f"n{i}\t\\") for i in range(2500)] + [(5000, None)]


@pytest.mark.parametrize("rules", [(CONFLICT,), (TEMP,), (CONFLICT, TEMP), (COPY, CONFLICT),
                                   (COPY, TEMP, CONFLICT, CATALOG)])
def test_upsert_where_much_is_refused(server, db, rules):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text)")
    db.sql("INSERT INTO t VALUES (1, 'old'), (2, 'old'), (3, 'stays')")
    with limited(server, db, VERSION, *rules) as other:
        with upsert(db, CHANGES, url=other.url) as s:
            s.found({"0": 0})
            at = s.put(batch(CHANGES, [(1, "a", "insert"), (2, None, "delete"), (1, "b", "update"),
                                       (4, "x", "insert"), (4, None, "delete")]))
            s.put(batch(CHANGES, [(2, "c", "insert")]), at)
    assert content(db) == [(1, "b"), (2, "c"), (3, "stays")]


def test_a_server_that_only_pretends_to_roll_back_is_refused(server, db):
    db.sql("CREATE TABLE t (id bigint, name text)")
    rules = (VERSION, (r"^(BEGIN|ROLLBACK)", "OK"))
    with limited(server, db, *rules) as other:
        f = fails(FATAL, sink(db, url=other.url).__enter__)
        assert "exactly once" in f.msg and "ROLLBACK" in f.msg


@pytest.mark.parametrize("options", [{"method": "insert", "insert_rows": "100"},
                                     {"method": "insert", "insert_rows": "10000"},
                                     {"method": "insert", "insert_waits": "true"}, {}])
def test_every_way_of_writing_gives_the_same_rows(db, options):
    with sink(db, create="true", **options) as s:
        s.found({"0": 0})
        s.put(rows(*[(i, f"n{i % 97}") for i in range(100000)]))
    assert db.sql("SELECT count(*), sum(id), count(DISTINCT name) FROM t") == [
        (100000, 4999950000, 97)]


@pytest.mark.parametrize("insert_waits", ["false", "true"])
def test_refused_rows_among_many_statements(db, insert_waits):
    """In pipeline mode the answers come behind the batch; the rows are found all the same."""
    db.sql("CREATE TABLE t (id bigint, name text CHECK (name <> 'bad'))")
    values = [(i, "bad" if i in (33, 34, 99) else "good") for i in range(100)]
    with sink(db, method="insert", insert_rows="7", insert_waits=insert_waits) as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 100, 1, 100)})
        s.begin(unit)
        f = fails(REJECT, s.write, rows(*values))
        assert f.code == "23514" and f.unit_lost
        s.abort(unit)
        s.begin(unit)
        s.write(rows(*values))
        s.commit(unit)
        assert sorted(r[1] for r in s.rejects) == [33, 34, 99]
        assert content(db) == [v for v in values if v[1] == "good"]
        s.put(rows(*[(i, "next") for i in range(100, 200)]), 100)
        assert db.value("SELECT count(*) FROM t") == 197


def test_a_backend_that_dies_before_a_pipeline(db):
    with sink(db, create="true", method="insert", insert_rows="3") as s:
        s.found({"0": 0})
        unit = s.unit({"0": (0, 50, 1, 50)})
        s.begin(unit)
        s.write(rows(*[(i, "a") for i in range(20)]))
        for pid in db.backends():
            db.sql("SELECT pg_terminate_backend(%s, 60000)", pid)
        f = fails(RETRY, s.write, rows(*[(i, "a") for i in range(20, 50)]))
        assert f.unit_lost and "127.0.0.1" in f.msg
        s.abort(unit)
        s.put(rows(*[(i, "a") for i in range(50)]))
    assert [i for i, _ in content(db)] == list(range(50))


def test_an_insert_that_is_not_answered_in_time(db):
    """The deadline holds for the answers of a pipeline, too: another session has the table."""
    with sink(db, create="true", method="insert", insert_rows="3", statement_timeout="2s") as s:
        s.found({"0": 0})
        db.sql("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
               " $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$")
        db.sql("CREATE TRIGGER wait BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait()")
        unit = s.unit({"0": (0, 9, 1, 9)})
        with db.connect() as other:
            other.execute("SELECT pg_advisory_lock(1)")
            s.begin(unit)
            f = fails(RETRY, s.write, rows(*[(i, "a") for i in range(9)]))
            assert f.unit_lost and "no answer within 2000 ms" in f.msg
        s.abort(unit)
        s.put(rows(*[(i, "a") for i in range(9)]))
    assert [i for i, _ in content(db)] == list(range(9))


# ---------------------------------------------------------------- check, discover

def test_check_says_one_line(db):
    db.sql("CREATE TABLE t (id bigint, name text)")
    s = sink(db, schema=None)
    text = s.check()
    assert text.startswith("PostgreSQL ") and "127.0.0.1" in text and text.endswith("public.t: ok")
    s.close()
    s = sink(db, schema=None, table="public.nope", create="true")
    assert s.check().endswith("will be created")
    s.close()
    s = sink(db, schema=None, table="public.nope")
    assert "public.nope" in fails(BADCONF, s.check).msg
    s.close()


def test_check_finds_what_start_would(db):
    db.sql("CREATE TABLE t (id bigint, name text, trade_date date NOT NULL)")
    s = sink(db)
    assert "trade_date" in fails(BADCONF, s.check).msg
    s.close()
    db.sql("ALTER TABLE t DROP COLUMN trade_date, DROP COLUMN name")
    s = sink(db)
    assert "name" in fails(BADCONF, s.check).msg
    s.close()
    s = sink(db, evolve="add")
    assert s.check().endswith("ok")
    s.close()
    assert db.sql("SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0"
                  " AND NOT attisdropped") == [(1,)]


def test_discover_lists_tables_and_columns(db):
    db.sql("CREATE TABLE t (id bigint PRIMARY KEY, p numeric(18,4), l text[], ts timestamptz, j jsonb)")
    db.sql('CREATE TABLE "odd ""name" (a int)')
    s = sink(db, schema=None)
    tables = [json.loads(line)["table"] for line in s.discover().splitlines()]
    assert tables == ['public.odd "name', "public.t"]
    columns = [json.loads(line) for line in s.discover("public.t").splitlines()]
    assert [(c["column"], c["type"], c["source_type"], c["nullable"]) for c in columns] == [
        ("id", "int64", "bigint", False), ("p", "decimal(18,4)", "numeric(18,4)", True),
        ("l", "list<utf8>", "text[]", True),
        ("ts", "timestamptz", "timestamp with time zone", True), ("j", "json", "jsonb", True)]
    s.close()
