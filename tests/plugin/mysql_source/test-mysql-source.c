/* SPDX-License-Identifier: Apache-2.0 */
/* The mysql source, through its module, on a real MariaDB (see with-mariadb.sh). */
#include <mysql.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "data/array.h"
#include "harness.h"

struct conf {
  const char *url, *host, *database, *user, *password, *tls_ca;
  int64_t port, connect_timeout_ms, statement_timeout_ms;
  int32_t tls;
  const char *query, *table, *incremental;
  const struct ArrowSchema *columns;
  int64_t poll_ms;
};
struct fixture {
  struct harness h;
  const struct mr_plugin *p;
  struct conf conf;
  MYSQL *db;
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

/* One statement, or several with semicolons. */
static void sql(struct fixture *f, const char *text)
{
  if (mysql_query(f->db, text))
    g_error("%s: %s", text, mysql_error(f->db));
  do {
    mysql_free_result(mysql_store_result(f->db));
    if (mysql_errno(f->db))
      g_error("%s: %s", text, mysql_error(f->db));
  } while (mysql_next_result(f->db) == 0);
  if (mysql_errno(f->db))
    g_error("%s: %s", text, mysql_error(f->db));
}

static void setup(struct fixture *f, gconstpointer data)
{
  const char *socket = g_getenv("MILLRACE_TEST_MY_SOCKET"), *password = "secret-of-the-test";
  memset(f, 0, sizeof *f);
  harness_init(&f->h);
  f->h.user = f;
  f->h.host.lane = on_lane;
  f->h.host.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  f->p = harness_load("sources", "mysql");
  g_assert_cmpuint(f->p->conf_size, ==, sizeof f->conf);
  f->conf = (struct conf){.host = socket,
                          .database = "S x",
                          .user = "tester",
                          .password = password,
                          .port = INT64_MIN,
                          .connect_timeout_ms = 5000,
                          .statement_timeout_ms = 20000,
                          .tls = -1,
                          .poll_ms = 1};
  f->db = mysql_init(NULL);
  mysql_options(f->db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (!mysql_real_connect(f->db, NULL, "tester", password, NULL, 0, socket,
                          CLIENT_MULTI_STATEMENTS))
    g_error("%s", mysql_error(f->db));
  sql(f,
      "SET time_zone = '+00:00'; DROP DATABASE IF EXISTS `S x`; CREATE DATABASE `S x`; USE `S x`");
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
  mysql_close(f->db);
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
  f->conf.columns = &f->columns;
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
  sql(f,
      "CREATE TABLE t (a tinyint, b smallint unsigned, c mediumint, d bigint unsigned, e float, f "
      "double, g bool, h varchar(9) CHARACTER SET latin1, i varbinary(9), j date, k time(6), l "
      "datetime(6), m timestamp NULL, n decimal(12,2), o decimal(40,1), p uuid, q json, r "
      "enum('ok','sad'), s bit(1), u bit(12), v year, w inet6, x char(3))");
  sql(f, "INSERT INTO t VALUES (-128, 65535, -8388608, 18446744073709551615, 1.5, 0.1, true, "
         "'gr\xc3\xbc\xc3\x9f', x'414243', '1969-12-31', '10:00:00.000001', '1969-12-31 "
         "23:59:59.999999', '2026-01-28 10:20:30', -12345.67, -1.5, "
         "'00112233-4455-6677-8899-aabbccddeeff', '{\"a\": 1}', 'sad', 1, 300, 2026, '::1', 'a'); "
         "INSERT INTO t (a) VALUES (NULL), (5)");
  f->conf.table = "t";
  start(f);
  check_columns(f,
                "a: int8, b: uint16, c: int32, d: uint64, e: float32, f: float64, g: int8, h: "
                "utf8, i: binary, j: date, k: time, l: timestamp, m: timestamptz, n: "
                "decimal(12,2), o: utf8, p: uuid, q: json, r: utf8, s: bool, u: uint64, v: int16, "
                "w: utf8, x: utf8");
  reads(
      f, 100,
      "-128|65535|-8388608|18446744073709551615|1.5|0.1|1|gr\xc3\xbc\xc3\x9f|ABC|-1|36000000001|"
      "-1|1769595630000000|-1234567|-1.5|00112233445566778899aabbccddeeff|{\"a\": 1}|sad|true|300|"
      "2026|::1|a\n"
      "~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~\n5|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~|~"
      "\n");
  reads(f, 100, END);
  g_assert_cmpuint(f->h.rejects->len, ==, 0);
}

/* The server writes a float with six digits; here all of them come. */
static void test_floats(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE t (id int PRIMARY KEY, v float); INSERT INTO t VALUES (1, 16777215), (2, "
         "-1.17549435e-38), (3, 3.4028234663852886e38)");
  f->conf.query = "SELECT v, id FROM t ORDER BY id DESC";
  declare(f, "id: int32, v: float32");
  start(f);
  struct mr_batch b;
  g_assert_cmpint(read_batch(f, 9, 2000, &b), ==, MR_OK);
  g_assert_cmpint(b.rows.length, ==, 3);
  const int32_t *id = b.rows.children[0]->buffers[1];
  const float *v = b.rows.children[1]->buffers[1];
  g_assert_true(id[0] == 3 && id[1] == 2 && id[2] == 1);
  g_assert_true(v[0] == 3.4028234663852886e38f && v[1] == -1.17549435e-38f && v[2] == 16777215);
  mr_array_release(&b.rows);
}

/* Values that Arrow's types do not have are refused one by one; zero dates are no dates. */
static void test_refused_rows(struct fixture *f, gconstpointer data)
{
  sql(f,
      "SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, d date, k time, at datetime); INSERT "
      "INTO t VALUES (1, '2026-01-28', '1:00', '2026-01-28'), (2, '0000-00-00', NULL, NULL), (3, "
      "'2026-00-00', NULL, NULL), (4, NULL, '-00:00:01', NULL), (5, NULL, '24:00:01', NULL), (6, "
      "NULL, NULL, 0), (7, NULL, NULL, NULL)");
  f->conf.table = "t";
  start(f);
  reads(f, 100, "1|20481|3600000000|1769558400000000\n7|~|~|~\n");
  g_assert_cmpuint(f->h.rejects->len, ==, 5);
  g_assert_cmpstr(((struct harness_reject *)f->h.rejects->pdata[0])->column, ==, "d");
  g_assert_cmpstr(((struct harness_reject *)f->h.rejects->pdata[4])->column, ==, "at");
  reads(f, 100, END);
}

static void test_query(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE users AS SELECT seq AS user_id, concat('u', seq) AS email FROM seq_1_to_5");
  f->conf.query = "SELECT count(*) AS n, upper(min(email)) AS first FROM users -- note";
  start(f);
  check_columns(f, "n: int64, first: utf8");
  reads(f, 100, "5|U1\n");
  reads(f, 100, END);
  f->conf.query = "SELECT user_id, email FROM users ORDER BY -user_id -- in this order";
  declare(f, "email: utf8, user_id: uint8");
  memset(&f->at, 0, sizeof f->at);
  start(f);
  reads(f, 2, "u5|5\nu4|4\n");
  reads(f, 2, "u3|3\nu2|2\n");
  reads(f, 2, "u1|1\n");
  reads(f, 2, END);
}

/* Many pages, and batches by bytes; each row once. */
static void test_large(struct fixture *f, gconstpointer data)
{
  enum { N = 50000 };
  sql(f, "CREATE TABLE big (id int PRIMARY KEY, pad text) AS SELECT seq AS id, repeat('x', seq % "
         "300) AS "
         "pad FROM seq_0_to_49999");
  f->conf.table = "big";
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
  sql(f, "CREATE TABLE t (a int, `B b` int, v text, PRIMARY KEY (`B b`, a)); INSERT INTO t SELECT "
         "seq % "
         "3, 10 - seq, concat('v', seq, if(seq % 3 = 1, '!', '')) FROM seq_1_to_9");
  declare(f, "v: utf8");
  f->conf.table = "S x.t";
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
  f->conf.table = "e";
  f->conf.incremental = "at";
  f->conf.poll_ms = 1;
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
  follow(f, "timestamp(6) NULL",
         (const char *const[]){"1970-01-01 00:00:01.999999", "2026-01-28 10:00:00.5",
                               "2026-01-28 10:00:00.500001", "2037-01-01"});
  follow(f, "datetime(6)",
         (const char *const[]){"1000-01-28", "2026-01-28 10:00:00", "2026-01-28 10:00:00.000001",
                               "2027-01-01"});
  follow(f, "date", (const char *const[]){"1969-12-01", "2026-01-28", "2026-01-29", "2027-01-01"});
  follow(f, "bigint",
         (const char *const[]){"-9223372036854775808", "0", "1", "9223372036854775807"});
  follow(f, "varchar(9) CHARACTER SET utf8mb4", (const char *const[]){"A", "a", "a b", "\xc3\xa4"});
  follow(f, "uuid",
         (const char *const[]){
             "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-0000000000aa",
             "10000000-0000-0000-0000-000000000000", "f0000000-0000-0000-0000-000000000000"});
}

static void test_bounded(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE e (id int AUTO_INCREMENT PRIMARY KEY, n int); INSERT INTO e (n) VALUES (1), "
         "(2)");
  declare(f, "n: int32");
  f->conf.table = "e";
  f->conf.incremental = "id";
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
  f->conf.query = "SELECT 1 + sleep(0.3) AS one";
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
  f->conf.query = "SELECT 1 + sleep(100) AS one";
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
  f->conf.query = "SELECT 1 + sleep(100) AS one";
  declare(f, "one: int32");
  start(f);
  g_assert_cmpint(eventfd_write(f->h.host.wake_fd, 1), ==, 0);
  g_assert_cmpint(read_batch(f, 10, 60000, &b), ==, MR_IDLE);
}

static void kill_others(struct fixture *f)
{
  if (mysql_query(f->db,
                  "SELECT id FROM information_schema.processlist WHERE id <> connection_id() "
                  "AND user = 'tester'"))
    g_error("%s", mysql_error(f->db));
  MYSQL_RES *res = mysql_store_result(f->db);
  MYSQL_ROW row;
  while ((row = mysql_fetch_row(res))) {
    g_autofree char *kill = g_strdup_printf("KILL %s", row[0]);
    mysql_query(f->db, kill); /* it may be gone by itself */
  }
  mysql_free_result(res);
}

/* The connection is cut between two batches: every row once all the same. */
static void test_cut_connection(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE t (id int PRIMARY KEY, pad text) AS SELECT seq AS id, repeat('x', 4000) AS "
         "pad FROM "
         "seq_1_to_5000"); /* more than the network holds */
  for (int round = 0; round < 2; round++) {
    int64_t seen = 0, cuts = 0;
    struct mr_batch b;
    int rc;
    f->conf.table = "t";
    f->conf.incremental = round ? "id" : NULL;
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
        kill_others(f);
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
  const char *socket = f->conf.host;
  wrong(f, MR_BADCONF, "either query or table");
  f->conf.table = "nobody";
  wrong(f, MR_BADCONF, "nobody' doesn't exist");
  f->conf.table = "a.b.c";
  g_assert_cmpint(begin(f), ==, MR_BADCONF);
  g_assert_cmpstr(f->err.option, ==, "table");
  f->conf.table = NULL;
  f->conf.query = "SELECT FROM WHERE";
  wrong(f, MR_BADCONF, "error in your SQL syntax");
  f->conf.query = "SELECT 1 AS a, 2 AS a";
  wrong(f, MR_BADCONF, "Duplicate column name");
  f->conf.query = "SELECT 1 AS a, 1.5e0 AS f";
  f->conf.incremental = "stamp";
  wrong(f, MR_BADCONF, "no column `stamp`");
  f->conf.incremental = "f";
  wrong(f, MR_BADCONF, "no integer, date");
  f->conf.incremental = NULL;
  declare(f, "a: int32, emial: utf8");
  wrong(f, MR_BADCONF, "no column `emial`");
  f->conf.password = "another-secret";
  wrong(f, MR_RETRY, "Access denied");
  g_assert_true(f->err.unreachable);
  f->conf.host = "/nowhere";
  wrong(f, MR_RETRY, "/nowhere");
  g_assert_true(f->err.unreachable);
  f->conf.host = socket;
  f->conf.url = "mysql://tester:secret-of-the-test@[bad";
  wrong(f, MR_BADCONF, "not a URL");
  g_assert_cmpstr(f->err.option, ==, "url");
}

/* An error while rows are read stops; it shows no value. */
static void test_failing_query(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE t (v varchar(10)); INSERT INTO t VALUES ('1'), ('canary'), ('canary2')");
  f->conf.query = "SELECT v, (SELECT v FROM t x WHERE x.v LIKE concat(t.v, '%')) AS w FROM t";
  start(f);
  reads(f, 9, "-4");
  g_assert_nonnull(strstr(f->err.msg, "21000"));
  g_assert_null(strstr(f->err.msg, "canary"));
}

static void test_check_and_discover(struct fixture *f, gconstpointer data)
{
  g_autoptr(GString) out = g_string_new(NULL);
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  sql(f, "CREATE TABLE users (id bigint NOT NULL, price decimal(18,4), seen timestamp NULL, doc "
         "blob, m "
         "enum('it''s','\"'))");
  f->conf.table = "users";
  g_assert_cmpint(f->p->check(&o, harness_put, out, &f->err), ==, MR_OK);
  g_assert_true(g_str_has_prefix(out->str, "MariaDB 10."));
  g_assert_true(g_str_has_suffix(out->str, ", database S x, user tester, table users: ok"));
  g_string_truncate(out, 0);
  g_assert_cmpint(f->p->discover(&o, NULL, harness_put, out, &f->err), ==, MR_OK);
  g_assert_cmpstr(out->str, ==, "{\"table\": \"users\"}\n");
  g_string_truncate(out, 0);
  g_assert_cmpint(f->p->discover(&o, "users", harness_put, out, &f->err), ==, MR_OK);
  g_assert_cmpstr(
      out->str, ==,
      "{\"column\": \"id\", \"source_type\": \"bigint(20)\", \"type\": \"int64\", "
      "\"nullable\": false}\n"
      "{\"column\": \"price\", \"source_type\": \"decimal(18,4)\", \"type\": "
      "\"decimal(18,4)\", \"nullable\": true}\n"
      "{\"column\": \"seen\", \"source_type\": \"timestamp\", \"type\": \"timestamptz\", "
      "\"nullable\": true}\n"
      "{\"column\": \"doc\", \"source_type\": \"blob\", \"type\": \"binary\", \"nullable\": "
      "true}\n"
      "{\"column\": \"m\", \"source_type\": \"enum('it''s','\\\"')\", \"type\": \"utf8\", "
      "\"nullable\": true}\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_assert_nonnull(g_getenv("MILLRACE_TEST_MY_SOCKET"));
#define ADD(path, fn) g_test_add("/mysql-source/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("types", test_types);
  ADD("floats", test_floats);
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
