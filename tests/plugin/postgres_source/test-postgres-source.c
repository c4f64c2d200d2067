/* SPDX-License-Identifier: Apache-2.0 */
/* The postgres source, through its module, on a real server (see with-postgres.sh). */
#include <libpq-fe.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "data/array.h"
#include "harness.h"
#include "sources/postgres/postgres.h"

struct fixture {
  struct harness h;
  const struct mr_plugin *p;
  struct pg_conf conf;
  PGconn *pg;
  struct ArrowSchema columns, schema;
  void *self;
  bool bounded;
  struct mr_position at; /* len 0: none */
  struct mr_error err;
};

static int on_lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
                   struct mr_position *ret_from, struct mr_error *err)
{
  struct fixture *f = ((struct harness *)ctx)->user;
  *ret = 3;
  if (!f->at.len && !first)
    return MR_LANE_NEW;
  if (!f->at.len)
    f->at = *first;
  *ret_from = f->at;
  return MR_LANE_KNOWN;
}

static void sql(struct fixture *f, const char *text)
{
  PGresult *res = PQexec(f->pg, text);
  if (PQresultStatus(res) != PGRES_COMMAND_OK && PQresultStatus(res) != PGRES_TUPLES_OK)
    g_error("%s: %s", text, PQerrorMessage(f->pg));
  PQclear(res);
}

static void setup(struct fixture *f, gconstpointer data)
{
  memset(f, 0, sizeof *f);
  harness_init(&f->h);
  f->h.user = f;
  f->h.host.lane = on_lane;
  f->h.host.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  f->p = harness_load("sources", "postgres");
  g_assert_cmpuint(f->p->conf_size, ==, sizeof f->conf);
  f->conf = (struct pg_conf){
      .login = {.url = g_getenv("MILLRACE_TEST_PG_URL"), .port = INT64_MIN, .tls = -1},
      .connect_timeout_ms = 5000,
      .statement_timeout_ms = 20000,
      .query = {.poll_ms = 1}};
  f->pg = PQconnectdb(f->conf.login.url);
  sql(f, "SET client_min_messages = error; DROP SCHEMA IF EXISTS \"S x\" CASCADE; CREATE SCHEMA "
         "\"S x\"; SET search_path = \"S x\";"
         "ALTER ROLE tester SET search_path = \"S x\"");
  mr_error_clear(&f->err);
}
static void close_source(struct fixture *f)
{
  f->p->source->close(f->self);
  f->self = NULL;
  mr_schema_release(&f->schema);
}
static void teardown(struct fixture *f, gconstpointer data)
{
  close_source(f);
  mr_schema_release(&f->columns);
  PQfinish(f->pg);
  close(f->h.host.wake_fd);
  harness_done(&f->h);
}

static int begin(struct fixture *f)
{
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  close_source(f);
  mr_error_clear(&f->err);
  o.bounded = f->bounded;
  int rc = f->p->source->open(&o, &f->self, &f->err);
  if (rc >= 0)
    rc = f->p->source->start(f->self, &f->err);
  if (rc >= 0)
    rc = f->p->source->schema(f->self, &f->schema, &f->err);
  return rc;
}
static void start(struct fixture *f)
{
  if (begin(f) < 0)
    g_error("%s: %s", f->err.option, f->err.msg);
}
static void declare(struct fixture *f, const char *columns)
{
  mr_schema_release(&f->columns);
  f->columns = harness_schema(columns);
  f->conf.query.columns = &f->columns;
}

static int read_batch(struct fixture *f, int64_t rows, int32_t timeout_ms, struct mr_batch *b)
{
  *b = (struct mr_batch){.size = sizeof *b};
  mr_error_clear(&f->err);
  return f->p->source->read(f->self, rows, 1 << 20, timeout_ms, b, &f->err);
}
/* One batch as text, or the status' number: "4" is MR_END. g_free. */
static char *read_one(struct fixture *f, int64_t rows)
{
  struct mr_batch b;
  int rc = read_batch(f, rows, 2000, &b);
  if (rc != MR_OK)
    return g_strdup_printf("%d", rc);
  if (mr_array_check(&f->schema, &b.rows, true, &f->err) < 0)
    g_error("%s", f->err.msg);
  g_assert_cmpuint(b.lane, ==, 3);
  g_assert_cmpint(mr_position_cmp(&f->at, &b.upto), <=, 0);
  f->at = b.upto;
  char *text = harness_text(&f->schema, &b.rows);
  mr_array_release(&b.rows);
  return text;
}
static void reads(struct fixture *f, int64_t rows, const char *want)
{
  g_autofree char *got = read_one(f, rows);
  if (strcmp(got, want))
    g_error("`%s`, not `%s` (%s)", got, want, f->err.msg);
}
static void check_columns(struct fixture *f, const char *want)
{
  g_autofree char *got = harness_columns(&f->schema);
  g_assert_cmpstr(got, ==, want);
}
#define END "4"
#define IDLE "1"

static void test_types(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TYPE mood AS ENUM ('ok', 'sad'); CREATE TABLE t (a smallint, b integer, c bigint, "
         "d real, e double precision, f boolean,"
         " g text, h varchar(9), i bytea, j date, k time, l timestamp, m timestamptz, n "
         "numeric(12,2), o numeric, p uuid, q jsonb, r int[],"
         " s text[], t mood, u numeric(5,1)[])");
  sql(f, "INSERT INTO t VALUES (-32768, 2147483647, -9223372036854775808, 1.5, 0.1, true, "
         "'gr\xc3\xbc\xc3\x9f', 'v', '\\x414243',"
         " '2026-01-28', '10:00:00.000001', '2026-01-28 10:20:30.5', '2026-01-28 11:20:30+01', "
         "12345.67, 1e-20,"
         " '00112233-4455-6677-8899-aabbccddeeff', '{\"a\": 1}', '{1,NULL,3}', '{\"b c\",d}', "
         "'sad', '{1.5,2}'); INSERT INTO t (a) VALUES (NULL), ('5')");
  f->conf.query.table = "t";
  start(f);
  check_columns(f, "a: int16, b: int32, c: int64, d: float32, e: float64, f: bool, g: utf8, h: "
                   "utf8, i: binary, j: date, k: time, "
                   "l: timestamp, m: timestamptz, n: decimal(12,2), o: utf8, p: uuid, q: json, r: "
                   "list<int32>, s: list<utf8>, t: utf8, "
                   "u: list<decimal(5,1)>");
  reads(f, 100,
        "-32768|2147483647|-9223372036854775808|1.5|0.1|true|gr\xc3\xbc\xc3\x9f|v|ABC|20481|"
        "36000000001|1769595630500000|1769595630000000|"
        "1234567|0.00000000000000000001|00112233445566778899aabbccddeeff|{\"a\": 1}|[1,~,3]|[b "
        "c,d]|sad|[15,20]\n"
        "~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~\n5|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~\n");
  reads(f, 100, END);
  g_assert_cmpuint(f->h.rejects->len, ==, 0);
}

/* Values that Arrow's types do not have are refused one by one. */
static void test_refused_rows(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE t (id int PRIMARY KEY, d date, n numeric(5,2))");
  sql(f, "INSERT INTO t VALUES (1, '2026-01-28', 1), (2, 'infinity', 1), (3, '0044-03-15 BC', 1), "
         "(4, '2026-01-28', 'NaN'), (5, NULL, 2)");
  f->conf.query.table = "t";
  start(f);
  reads(f, 100, "1|20481|100\n5|~|200\n");
  g_assert_cmpuint(f->h.rejects->len, ==, 3);
  g_assert_cmpstr(((struct harness_reject *)f->h.rejects->pdata[0])->column, ==, "d");
  g_assert_cmpstr(((struct harness_reject *)f->h.rejects->pdata[2])->column, ==, "n");
  reads(f, 100, END);
}

static void test_query(struct fixture *f, gconstpointer data)
{
  sql(f,
      "CREATE TABLE users AS SELECT i AS user_id, 'u' || i AS email FROM generate_series(1, 5) i");
  f->conf.query.query = "SELECT count(*) AS n, upper(min(email)) AS first FROM users -- note";
  start(f);
  check_columns(f, "n: int64, first: utf8");
  reads(f, 100, "5|U1\n");
  reads(f, 100, END);
  f->conf.query.query = "SELECT user_id, email FROM users ORDER BY user_id";
  declare(f, "email: utf8, user_id: uint8");
  memset(&f->at, 0, sizeof f->at);
  start(f);
  reads(f, 2, "u1|1\nu2|2\n");
  reads(f, 2, "u3|3\nu4|4\n");
  reads(f, 2, "u5|5\n");
  reads(f, 2, END);
}

/* Many pages, and batches by bytes; each row once. */
static void test_large(struct fixture *f, gconstpointer data)
{
  enum { N = 50000 };
  sql(f, "CREATE TABLE big AS SELECT i AS id, repeat('x', i % 300) AS pad FROM generate_series(0, "
         "49999) i");
  f->conf.query.table = "big";
  start(f);
  int64_t seen = 0, batches = 0;
  struct mr_batch b;
  int rc;
  while ((rc = read_batch(f, 8192, 2000, &b)) == MR_OK) {
    const int32_t *id = b.rows.length ? b.rows.children[0]->buffers[1] : NULL;
    for (int64_t i = 0; i < b.rows.length; i++)
      g_assert_cmpint(id[i], ==, seen++);
    batches++;
    mr_array_release(&b.rows);
  }
  g_assert_cmpint(rc, ==, MR_END);
  g_assert_cmpint(seen, ==, N);
  g_assert_cmpint(batches, >, 6);
}

/* Broken off and begun again at every position, in the order of the key whatever the table's own.
 */
static void test_resume(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE t (a int, \"B b\" int, v text, PRIMARY KEY (\"B b\", a)); INSERT INTO t "
         "SELECT i % 3, 10 - i, 'v' || i FROM "
         "generate_series(1, 9) i; UPDATE t SET v = v || '!' WHERE a = 1");
  declare(f, "v: utf8");
  f->conf.query.table = "\"S x\".t";
  for (int64_t size = 1; size <= 10; size += 3) {
    g_autoptr(GString) all = g_string_new(NULL);
    memset(&f->at, 0, sizeof f->at);
    for (;;) {
      start(f);
      g_autofree char *got = read_one(f, size);
      if (!strcmp(got, END))
        break;
      g_string_append(all, got);
    }
    g_assert_cmpstr(all->str, ==, "v9\nv8\nv7!\nv6\nv5\nv4!\nv3\nv2\nv1!\n");
  }
}

static void follow(struct fixture *f, const char *type, const char *const v[4])
{
  sql(f, "DROP TABLE IF EXISTS e");
  g_autofree char *create = g_strdup_printf("CREATE TABLE e (at %s, n int)", type);
  sql(f, create);
  static const char *const insert[] = {
      "INSERT INTO e VALUES ('%s', 1), (NULL, 99), ('%s', 2), ('%s', 3)",
      "INSERT INTO e VALUES ('%s', 4), ('%s', 5)"};
  g_autofree char *first = g_strdup_printf(insert[0], v[0], v[1], v[1]),
                  *second = g_strdup_printf(insert[1], v[2], v[3]);
  sql(f, first);
  declare(f, "n: int32");
  f->conf.query.table = "e";
  f->conf.query.incremental = "at";
  f->conf.query.poll_ms = 1;
  memset(&f->at, 0, sizeof f->at);
  start(f);
  reads(f, 2, "1\n2\n");
  start(f); /* in the middle of equal values */
  reads(f, 9, "3\n");
  reads(f, 9, IDLE);
  sql(f, second);
  g_usleep(5000);
  reads(f, 9, "4\n5\n");
  start(f);
  reads(f, 9, IDLE);
  close_source(f);
}
static void test_incremental(struct fixture *f, gconstpointer data)
{
  follow(f, "timestamptz",
         (const char *const[]){"1969-12-31 23:59:59.999999+00", "2026-01-28 10:00:00.5+01",
                               "2026-01-28 10:00:00.500001+01", "2027-01-01"});
  follow(f, "timestamp",
         (const char *const[]){"2026-01-28", "2026-01-28 10:00:00", "2026-01-28 10:00:00.000001",
                               "2027-01-01"});
  follow(f, "date", (const char *const[]){"1969-12-01", "2026-01-28", "2026-01-29", "2027-01-01"});
  follow(f, "bigint",
         (const char *const[]){"-9223372036854775808", "0", "1", "9223372036854775807"});
  follow(f, "text", (const char *const[]){"A", "a", "a b", "\xc3\xa4"});
  follow(f, "uuid",
         (const char *const[]){
             "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-0000000000aa",
             "10000000-0000-0000-0000-000000000000", "f0000000-0000-0000-0000-000000000000"});
}

static void test_bounded(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE e (id serial, n int); INSERT INTO e (n) VALUES (1), (2)");
  declare(f, "n: int32");
  f->conf.query.table = "e";
  f->conf.query.incremental = "id";
  f->bounded = true;
  start(f);
  reads(f, 9, "1\n2\n");
  reads(f, 9, END);
  sql(f, "INSERT INTO e (n) VALUES (3)");
  start(f);
  reads(f, 9, "3\n");
  reads(f, 9, END);
}

/* A query that takes long: read comes back in time, and its rows come later. */
static void test_slow(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  f->conf.query.query = "SELECT 1 AS one FROM pg_sleep(0.3)";
  declare(f, "one: int32");
  start(f);
  int rc, idle = 0;
  while ((rc = read_batch(f, 10, 10, &b)) == MR_IDLE)
    idle++;
  g_assert_cmpint(rc, ==, MR_OK);
  g_assert_cmpint(idle, >, 3);
  mr_array_release(&b.rows);
}
static void test_deadline(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  int rc;
  f->conf.query.query = "SELECT 1 AS one FROM pg_sleep(100)";
  f->conf.statement_timeout_ms = 200;
  declare(f, "one: int32");
  start(f);
  while ((rc = read_batch(f, 10, 50, &b)) == MR_IDLE)
    continue;
  g_assert_cmpint(rc, ==, MR_RETRY);
  g_assert_true(f->err.unreachable);
  g_assert_nonnull(strstr(f->err.msg, "no answer within 200 ms"));
}
static void test_wake(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  f->conf.query.query = "SELECT 1 AS one FROM pg_sleep(100)";
  declare(f, "one: int32");
  start(f);
  g_assert_cmpint(eventfd_write(f->h.host.wake_fd, 1), ==, 0);
  g_assert_cmpint(read_batch(f, 10, 60000, &b), ==, MR_RETRY);
  g_assert_false(f->err.unreachable);
}

/* The connection is cut between two batches: every row once all the same. */
static void test_cut_connection(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5000)");
  for (int round = 0; round < 2; round++) {
    int64_t seen = 0, cuts = 0;
    struct mr_batch b;
    int rc;
    f->conf.query.table = "t";
    f->conf.query.incremental = round ? "id" : NULL;
    f->bounded = true;
    memset(&f->at, 0, sizeof f->at);
    start(f);
    while ((rc = read_batch(f, 700, 2000, &b)) != MR_END) {
      if (rc == MR_RETRY) {
        cuts++;
        continue;
      }
      g_assert_cmpint(rc, ==, MR_OK);
      const int32_t *id = b.rows.length ? b.rows.children[0]->buffers[1] : NULL;
      for (int64_t i = 0; i < b.rows.length; i++)
        g_assert_cmpint(id[i], ==, ++seen);
      mr_array_release(&b.rows);
      if (cuts < 3)
        sql(f, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
               "'millrace/test/stage'");
    }
    g_assert_cmpint(seen, ==, 5000);
    g_assert_cmpint(cuts, ==, 3);
  }
}

static void wrong(struct fixture *f, int status, const char *msg)
{
  g_assert_cmpint(begin(f), ==, status);
  if (!strstr(f->err.msg, msg))
    g_error("`%s` does not say `%s`", f->err.msg, msg);
  g_assert_null(strstr(f->err.msg, "secret"));
}
static void test_wrong(struct fixture *f, gconstpointer data)
{
  wrong(f, MR_BADCONF, "either query or table");
  f->conf.query.table = "nobody";
  wrong(f, MR_BADCONF, "relation \"nobody\" does not exist (SQLSTATE 42P01)");
  f->conf.query.table = "a.b.c";
  g_assert_cmpint(begin(f), ==, MR_BADCONF);
  g_assert_cmpstr(f->err.option, ==, "table");
  f->conf.query.table = NULL;
  f->conf.query.query = "SELECT FROM WHERE";
  wrong(f, MR_BADCONF, "syntax error");
  f->conf.query.query = "SELECT 1 AS a, 2 AS a";
  wrong(f, MR_BADCONF, "two columns");
  f->conf.query.query = "SELECT 1 AS a, 1.5::float8 AS f";
  f->conf.query.incremental = "stamp";
  wrong(f, MR_BADCONF, "no column `stamp`");
  f->conf.query.incremental = "f";
  wrong(f, MR_BADCONF, "no integer, date");
  f->conf.query.incremental = NULL;
  declare(f, "a: int32, emial: utf8");
  wrong(f, MR_BADCONF, "no column `emial`");
  f->conf.login.password = "another-secret";
  wrong(f, MR_RETRY, "password authentication failed");
  g_assert_true(f->err.unreachable);
  f->conf.login.password = NULL;
  f->conf.login.host = "/nowhere";
  wrong(f, MR_RETRY, "/nowhere");
  g_assert_true(f->err.unreachable);
  f->conf.login.host = NULL;
  f->conf.login.url = "postgresql://tester:secret-of-the-test@[bad";
  wrong(f, MR_BADCONF, "not a URL");
  g_assert_cmpstr(f->err.option, ==, "url");
}

/* An error while rows are read stops; it shows no value. */
static void test_failing_query(struct fixture *f, gconstpointer data)
{
  f->conf.query.query = "SELECT v::int AS n FROM (VALUES ('1'), ('canary')) x (v)";
  start(f);
  reads(f, 9, "-4");
  g_assert_nonnull(strstr(f->err.msg, "22P02"));
  g_assert_null(strstr(f->err.msg, "canary"));
}

static void test_check_and_discover(struct fixture *f, gconstpointer data)
{
  g_autoptr(GString) out = g_string_new(NULL);
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  sql(f, "CREATE TABLE users (id bigint NOT NULL, tags text[], price numeric(18,4), seen "
         "timestamptz, doc jsonb, m money)");
  f->conf.query.table = "users";
  g_assert_cmpint(f->p->check(&o, harness_put, out, &f->err), ==, MR_OK);
  g_assert_true(g_str_has_prefix(out->str, "PostgreSQL "));
  g_assert_true(g_str_has_suffix(out->str, ", database postgres, user tester, table users: ok\n"));
  g_string_truncate(out, 0);
  g_assert_cmpint(f->p->discover(&o, NULL, harness_put, out, &f->err), ==, MR_OK);
  g_assert_cmpstr(out->str, ==, "{\"table\":\"\\\"S x\\\".users\"}\n");
  g_string_truncate(out, 0);
  g_assert_cmpint(f->p->discover(&o, "\"S x\".users", harness_put, out, &f->err), ==, MR_OK);
  g_assert_cmpstr(
      out->str, ==,
      "{\"column\":\"id\",\"source_type\":\"bigint\",\"type\":\"int64\",\"nullable\":false}\n"
      "{\"column\":\"tags\",\"source_type\":\"text[]\",\"type\":\"list<utf8>\",\"nullable\":true}\n"
      "{\"column\":\"price\",\"source_type\":\"numeric(18,4)\",\"type\":\"decimal(18,4)\","
      "\"nullable\":true}\n"
      "{\"column\":\"seen\",\"source_type\":\"timestamp with time "
      "zone\",\"type\":\"timestamptz\",\"nullable\":true}\n"
      "{\"column\":\"doc\",\"source_type\":\"jsonb\",\"type\":\"json\",\"nullable\":true}\n"
      "{\"column\":\"m\",\"source_type\":\"money\",\"type\":\"utf8\",\"nullable\":true}\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_assert_nonnull(g_getenv("MILLRACE_TEST_PG_URL"));
#define ADD(path, fn) \
  g_test_add("/postgres-source/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("types", test_types);
  ADD("refused-rows", test_refused_rows);
  ADD("query", test_query);
  ADD("large", test_large);
  ADD("resume", test_resume);
  ADD("incremental", test_incremental);
  ADD("bounded", test_bounded);
  ADD("slow", test_slow);
  ADD("deadline", test_deadline);
  ADD("wake", test_wake);
  ADD("cut-connection", test_cut_connection);
  ADD("wrong", test_wrong);
  ADD("failing-query", test_failing_query);
  ADD("check-and-discover", test_check_and_discover);
  return g_test_run();
}
