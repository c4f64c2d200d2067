/* SPDX-License-Identifier: Apache-2.0 */
/* The sqlite source, through its module, on real files. */
#include <glib/gstdio.h>
#include <sqlite3.h>
#include "data/array.h"
#include "harness.h"

struct conf {
  const char *path;
  const char *query, *table, *incremental;
  const struct ArrowSchema *columns;
  int64_t poll_ms;
};
struct fixture {
  struct harness h;
  const struct mr_plugin *p;
  struct conf conf;
  char *dir, *path;
  sqlite3 *db;
  struct ArrowSchema columns, schema;
  const char *want[4];
  size_t n_want;
  void *self;
  bool bounded;
  struct mr_position at; /* len 0: none */
  struct mr_error err;
};

/* One lane whose position is kept by the test. */
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
  char *msg = NULL;
  if (sqlite3_exec(f->db, text, NULL, NULL, &msg) != SQLITE_OK)
    g_error("%s: %s", text, msg);
}

static void setup(struct fixture *f, gconstpointer data)
{
  memset(f, 0, sizeof *f);
  harness_init(&f->h);
  f->h.user = f;
  f->h.host.lane = on_lane;
  f->p = harness_load("sources", "sqlite");
  g_assert_cmpuint(f->p->conf_size, ==, sizeof f->conf);
  f->dir = g_dir_make_tmp("millrace-test-XXXXXX", NULL);
  f->path = g_build_filename(f->dir, "t.db", NULL);
  g_assert_cmpint(sqlite3_open(f->path, &f->db), ==, SQLITE_OK);
  sql(f, "CREATE TABLE users (user_id INTEGER PRIMARY KEY, email TEXT, balance DECIMAL(12,2), born "
         "DATE, seen TIMESTAMP, ok BOOLEAN, "
         "score REAL, raw BLOB, ref UUID, extra JSON)");
  f->conf.path = f->path;
  f->conf.poll_ms = 1;
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
  sqlite3_close(f->db);
  g_unlink(f->path);
  g_rmdir(f->dir);
  g_free(f->path);
  g_free(f->dir);
  harness_done(&f->h);
}

static int begin(struct fixture *f)
{
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  close_source(f);
  mr_error_clear(&f->err);
  o.want = (struct mr_list){f->want, NULL, f->n_want};
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
  f->columns = harness_schema(columns);
  f->conf.columns = &f->columns;
}

/* One batch as text, or the status' number: "4" is MR_END. g_free. */
static char *read_one(struct fixture *f, int64_t rows)
{
  struct mr_batch b = {.size = sizeof b};
  mr_error_clear(&f->err);
  int rc = f->p->source->read(f->self, rows, 1 << 20, 1, &b, &f->err);
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
  g_assert_cmpstr(got, ==, want);
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
  sql(f, "INSERT INTO users VALUES (1, 'ann@x', 12.34, '2026-01-28', '2026-01-28 10:20:30.5', 1, "
         "1.5, x'414243', "
         "'00112233-4455-6677-8899-aabbccddeeff', '{\"a\":1}'), (2, NULL, NULL, NULL, NULL, NULL, "
         "NULL, NULL, NULL, NULL), "
         "(-3, '', 5, '1969-12-31', '2026-01-28', 0, 7, x'', '00112233445566778899aabbccddeeff', "
         "'[]')");
  f->conf.table = "users";
  start(f);
  check_columns(f, "user_id: int64, email: utf8, balance: decimal(12,2), born: date, seen: "
                   "timestamp, ok: bool, score: float64, raw: "
                   "binary, ref: uuid, extra: json");
  reads(f, 100,
        "-3||500|-1|1769558400000000|false|7||00112233445566778899aabbccddeeff|[]\n"
        "1|ann@x|1234|20481|1769595630500000|true|1.5|ABC|00112233445566778899aabbccddeeff|{\"a\":"
        "1}\n"
        "2|~|~|~|~|~|~|~|~|~\n");
  reads(f, 100, END);
  g_assert_cmpuint(f->h.rejects->len, ==, 0);
}

static void test_query(struct fixture *f, gconstpointer data)
{
  sql(f, "INSERT INTO users (user_id, email) VALUES (1, 'a'), (2, 'b'), (3, 'c')");
  f->conf.query = "SELECT user_id * 10 AS ten, upper(email) AS email, 1.5 AS x, NULL AS nix "
                  "FROM users ORDER BY 1 DESC -- note";
  start(f);
  check_columns(f, "ten: int64, email: utf8, x: float64, nix: utf8");
  reads(f, 2, "30|C|1.5|~\n20|B|1.5|~\n");
  reads(f, 2, "10|A|1.5|~\n");
  reads(f, 2, END);
}

/* Declared columns are known without the file, picked by name, and rule over what SQLite thinks. */
static void test_declared(struct fixture *f, gconstpointer data)
{
  struct ArrowSchema s;
  sql(f, "INSERT INTO users (user_id, email, balance) VALUES (1, '2026-01-28T10:00:00Z', 3)");
  declare(f, "email: timestamptz, user_id: uint8, balance: float32");
  f->conf.table = "users";
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  g_assert_cmpint(f->p->source->open(&o, &f->self, &f->err), ==, MR_OK);
  g_assert_cmpint(f->p->source->schema(f->self, &s, &f->err), ==, MR_OK);
  g_assert_cmpint(s.n_children, ==, 3);
  mr_schema_release(&s);
  start(f);
  check_columns(f, "email: timestamptz, user_id: uint8, balance: float32");
  reads(f, 9, "1769594400000000|1|3\n");
}

/* Without columns nothing is known before start. */
static void test_not_known(struct fixture *f, gconstpointer data)
{
  struct ArrowSchema s;
  f->conf.table = "users";
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  g_assert_cmpint(f->p->source->open(&o, &f->self, &f->err), ==, MR_OK);
  g_assert_cmpint(f->p->source->schema(f->self, &s, &f->err), ==, MR_IDLE);
}

/* A value that the type cannot hold is refused with its column, and the rest goes on. */
static void test_refused_rows(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE t (id INTEGER, n INT, d DATE, s TEXT)");
  sql(f, "INSERT INTO t VALUES (1, 5, '2026-01-28', 'a'), (2, 'many', '2026-01-28', 'b'), (3, 1.5, "
         "'2026-01-28', 'c'), "
         "(4, 6, 20481, 'd'), (5, 7, '2026-01-28', CAST(x'ff' AS TEXT)), (6, x'00', NULL, NULL), "
         "(7, 8, NULL, 'g')");
  f->conf.table = "t";
  start(f);
  reads(f, 100, "1|5|20481|a\n7|8|~|g\n");
  g_assert_cmpuint(f->h.rejects->len, ==, 5);
  static const char *const columns[] = {"n", "n", "d", "s", "n"};
  for (guint i = 0; i < 5; i++) {
    const struct harness_reject *r = f->h.rejects->pdata[i];
    g_assert_cmpstr(r->column, ==, columns[i]);
    g_assert_cmpstr(r->code, ==, "22P02");
    g_assert_null(strstr(r->msg, "many")); /* no values */
  }
  reads(f, 100, END);
}

/* Broken off and begun again at every position: every row once, whatever the sizes of the batches.
 */
static void test_resume(struct fixture *f, gconstpointer data)
{
  for (int i = 1; i <= 10; i++) {
    g_autofree char *text =
        g_strdup_printf("INSERT INTO users (user_id, email) VALUES (%d, 'u%d')", i, i);
    sql(f, text);
  }
  declare(f, "user_id: int64");
  f->conf.table = "users";
  for (int64_t size = 1; size <= 11; size++) {
    g_autoptr(GString) all = g_string_new(NULL);
    memset(&f->at, 0, sizeof f->at);
    for (;;) {
      start(f); /* a new instance for each batch */
      g_autofree char *got = read_one(f, size);
      if (!strcmp(got, END))
        break;
      g_string_append(all, got);
    }
    g_assert_cmpstr(all->str, ==, "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
  }
  start(f);
  reads(f, 5, END); /* once read, a query is over */
}

static void test_cut_and_seek(struct fixture *f, gconstpointer data)
{
  sql(f, "INSERT INTO users (user_id) VALUES (1), (2), (3), (4), (5)");
  declare(f, "user_id: int64");
  for (int round = 0; round < 2; round++) {
    f->conf.table = "users";
    f->conf.incremental = round ? "user_id" : NULL;
    memset(&f->at, 0, sizeof f->at);
    start(f);
    struct mr_position first = f->at, two;
    reads(f, 2, "1\n2\n");
    two = f->at;
    f->p->source->seek(f->self, 3, &first, &f->err);
    f->at = first;
    f->p->source->cut(f->self, 3, &two);
    reads(f, 100, "1\n2\n");
    g_assert_cmpint(mr_position_cmp(&f->at, &two), ==, 0);
    f->p->source->cut(f->self, 3, &two); /* it stands there: nothing to cut */
    reads(f, 1, "3\n");
    f->p->source->cut(f->self, 3, &two); /* and behind it */
    reads(f, 100, "4\n5\n");
  }
}

/* New rows come as they are written; rows of the same value are not given twice, nor left out. */
static void test_incremental(struct fixture *f, gconstpointer data)
{
  sql(f, "CREATE TABLE e (at TEXT, n INTEGER)");
  sql(f,
      "INSERT INTO e VALUES ('2026-01-01', 1), ('2026-01-02', 2), ('2026-01-02', 3), (NULL, 99)");
  f->conf.table = "e";
  f->conf.incremental = "at";
  start(f);
  check_columns(f, "at: utf8, n: int64");
  reads(f, 2, "2026-01-01|1\n2026-01-02|2\n");
  start(f); /* in the middle of equal values */
  reads(f, 9, "2026-01-02|3\n");
  reads(f, 9, IDLE);
  sql(f, "INSERT INTO e VALUES ('2026-01-02', 4), ('2026-01-03', 5)");
  g_usleep(3000);
  reads(f, 9, "2026-01-02|4\n2026-01-03|5\n");
  start(f);
  reads(f, 9, IDLE);
  f->bounded = true;
  sql(f, "INSERT INTO e VALUES ('2026-01-04', 6)");
  start(f);
  reads(f, 9, "2026-01-04|6\n");
  reads(f, 9, END);
  reads(f, 9, END);
}

static void test_incremental_numbers(struct fixture *f, gconstpointer data)
{
  sql(f, "INSERT INTO users (user_id, email) VALUES (-5, 'a'), (300, 'b'), (70000, 'c')");
  f->conf.query = "SELECT user_id, email FROM users";
  f->conf.incremental = "user_id";
  start(f);
  reads(f, 1, "-5|a\n");
  start(f);
  reads(f, 1, "300|b\n");
  reads(f, 1, "70000|c\n");
  close_source(f); /* a running query keeps writers out of a file that has no write-ahead log */
  sql(f, "UPDATE users SET score = 1.5");
  f->conf.incremental = "score";
  f->conf.query = "SELECT user_id, score FROM users";
  memset(&f->at, 0, sizeof f->at);
  start(f);
  reads(f, 1, "-4"); /* a float is no position: MR_FATAL */
  g_assert_nonnull(strstr(f->err.msg, "`score`"));
}

static void test_system_columns(struct fixture *f, gconstpointer data)
{
  sql(f, "INSERT INTO users (user_id, email) VALUES (1, 'a'), (2, 'b')");
  declare(f, "email: utf8");
  f->conf.table = "users";
  f->want[0] = "_op";
  f->want[1] = "_position";
  f->n_want = 2;
  start(f);
  check_columns(f, "email: utf8, _op: utf8, _position: uint64");
  reads(f, 1, "a|insert|0\n");
  start(f);
  reads(f, 1, "b|insert|1\n");
  f->want[1] = "_topic";
  g_assert_cmpint(begin(f), ==, MR_BADCONF);
}

static void wrong(struct fixture *f, int status, const char *msg)
{
  g_assert_cmpint(begin(f), ==, status);
  if (!strstr(f->err.msg, msg))
    g_error("`%s` does not say `%s`", f->err.msg, msg);
}
static void test_wrong(struct fixture *f, gconstpointer data)
{
  wrong(f, MR_BADCONF, "either query or table");
  f->conf.table = "nobody";
  wrong(f, MR_BADCONF, "no such table: nobody");
  f->conf.query = "SELECT 1";
  wrong(f, MR_BADCONF, "either query or table");
  f->conf.table = NULL;
  f->conf.query = "SELECT FROM";
  wrong(f, MR_BADCONF, "syntax error");
  f->conf.query = "DELETE FROM users";
  wrong(f, MR_BADCONF, "syntax error");
  f->conf.query = NULL;
  f->conf.table = "users";
  f->conf.incremental = "stamp";
  wrong(f, MR_BADCONF, "no column `stamp`");
  f->conf.incremental = NULL;
  declare(f, "user_id: int64, emial: utf8");
  wrong(f, MR_BADCONF, "no column `emial`");
  mr_schema_release(&f->columns);
  declare(f, "user_id: map<utf8, utf8>");
  wrong(f, MR_BADCONF, "cannot give structs");
  mr_schema_release(&f->columns);
  f->conf.columns = NULL;
  f->conf.path = "/nowhere/t.db";
  wrong(f, MR_FATAL, "unable to open");
  f->conf.path = f->dir;
  wrong(f, MR_FATAL, "open: ");
}

/* A position of another mode is said to be so, not read as something else. */
static void test_other_mode(struct fixture *f, gconstpointer data)
{
  sql(f, "INSERT INTO users (user_id) VALUES (1), (2)");
  f->conf.table = "users";
  start(f);
  g_free(read_one(f, 1));
  f->conf.incremental = "user_id";
  wrong(f, MR_FATAL, "read once");
}

static void test_locked(struct fixture *f, gconstpointer data)
{
  sql(f, "INSERT INTO users (user_id) VALUES (1)");
  declare(f, "user_id: int64");
  f->conf.table = "users";
  start(f);
  sql(f, "BEGIN EXCLUSIVE");
  reads(f, 1, "-1"); /* MR_RETRY */
  sql(f, "COMMIT");
  reads(f, 1, "1\n");
}

static void test_check_and_discover(struct fixture *f, gconstpointer data)
{
  g_autoptr(GString) out = g_string_new(NULL);
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  f->conf.table = "users";
  sql(f, "CREATE VIEW v AS SELECT 1 AS one");
  g_assert_cmpint(f->p->check(&o, harness_put, out, &f->err), ==, MR_OK);
  g_assert_true(g_str_has_prefix(out->str, "SQLite 3."));
  g_assert_true(g_str_has_suffix(out->str, "t.db: ok\n"));
  g_string_truncate(out, 0);
  g_assert_cmpint(f->p->discover(&o, NULL, harness_put, out, &f->err), ==, MR_OK);
  g_assert_cmpstr(out->str, ==, "{\"table\":\"users\"}\n{\"table\":\"v\"}\n");
  g_string_truncate(out, 0);
  g_assert_cmpint(f->p->discover(&o, "users", harness_put, out, &f->err), ==, MR_OK);
  g_assert_nonnull(strstr(out->str, "{\"column\":\"balance\",\"source_type\":\"DECIMAL(12,2)\","
                                    "\"type\":\"decimal(12,2)\",\"nullable\":true}\n"));
  g_assert_nonnull(strstr(
      out->str,
      "{\"column\":\"extra\",\"source_type\":\"JSON\",\"type\":\"json\",\"nullable\":true}\n"));
  f->conf.table = "nobody";
  g_assert_cmpint(f->p->check(&o, harness_put, out, &f->err), ==, MR_BADCONF);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(path, fn) g_test_add("/sqlite-source/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("types", test_types);
  ADD("query", test_query);
  ADD("declared", test_declared);
  ADD("not-known", test_not_known);
  ADD("refused-rows", test_refused_rows);
  ADD("resume", test_resume);
  ADD("cut-and-seek", test_cut_and_seek);
  ADD("incremental", test_incremental);
  ADD("incremental-numbers", test_incremental_numbers);
  ADD("system-columns", test_system_columns);
  ADD("wrong", test_wrong);
  ADD("other-mode", test_other_mode);
  ADD("locked", test_locked);
  ADD("check-and-discover", test_check_and_discover);
  return g_test_run();
}
