/* SPDX-License-Identifier: Apache-2.0 */
/* What every store must do, asked of SQLite here, and of PostgreSQL by tests/e2e/test_groups.py,
 * which names a database in MILLRACE_TEST_PG_URL. Two handles of that store are two processes. */
#include <glib/gstdio.h>
#include <sqlite3.h>
#include "engine/store.h"

#define RUN UINT64_C(0x7f12345678001001)

struct fixture {
  char *dir;
  struct mr_store *a, *b; /* b: another process; NULL where the store is locked */
  struct mr_error err;
};

static const char *url(void)
{
  return g_getenv("MILLRACE_TEST_PG_URL");
}

static struct mr_store *open_postgres(const char *pipeline)
{
  struct mr_error err = MR_ERROR_INIT;
  int status = MR_OK;
  struct mr_store *s = mr_store_postgres_new(url(), pipeline, &status, &err);
  if (!s)
    g_error("%s", err.msg);
  return s;
}

static void set_up(struct fixture *f, gconstpointer postgres)
{
  g_autofree char *pipeline = g_strdup_printf("test%d", g_random_int_range(0, G_MAXINT32));
  char *why = NULL;
  *f = (struct fixture){.err = MR_ERROR_INIT};
  if (postgres) {
    f->a = open_postgres(pipeline);
    f->b = open_postgres(pipeline);
    return;
  }
  f->dir = g_dir_make_tmp("store-XXXXXX", NULL);
  f->a = mr_store_sqlite_new(f->dir, pipeline, &why);
  g_assert_null(why);
}

static void tear_down(struct fixture *f, gconstpointer postgres)
{
  if (f->a)
    f->a->free(f->a);
  if (f->b)
    f->b->free(f->b);
  if (!f->dir)
    return;
  g_autoptr(GDir) d = g_dir_open(f->dir, 0, NULL);
  for (const char *name; (name = g_dir_read_name(d));) {
    g_autofree char *path = g_build_filename(f->dir, name, NULL);
    g_unlink(path);
  }
  g_rmdir(f->dir);
  g_free(f->dir);
}

static struct mr_mark mark(const char *lane, uint64_t from, uint64_t upto, uint64_t owner)
{
  return (struct mr_mark){.source = "src",
                          .name = lane,
                          .lane = 3,
                          .from = mr_position_u64(from),
                          .upto = mr_position_u64(upto),
                          .owner = owner,
                          .rows = upto - from,
                          .run = RUN};
}

static void put_state(GString *s, const struct mr_mark *m)
{
  if (m->state_len)
    g_string_append_printf(s, " state %.*s", (int)m->state_len, (const char *)m->state);
}

static void on_mark(void *out, const struct mr_mark *m)
{
  GString *s = out;
  g_string_append_printf(s, "%s@%lu owner %lu rows %lu%s", m->name,
                         (unsigned long)mr_position_get(&m->upto), (unsigned long)m->owner,
                         (unsigned long)m->rows, m->run == RUN ? " run" : "");
  put_state(s, m);
  g_string_append_c(s, '\n');
}

#define IS(text, want)                \
  G_STMT_START                        \
  {                                   \
    g_autofree char *text_ = (text);  \
    g_assert_cmpstr(text_, ==, want); \
  }                                   \
  G_STMT_END

static char *look(struct fixture *f, struct mr_store *s, const char *lane)
{
  GString *out = g_string_new(NULL);
  struct mr_mark m = mark(lane, 0, 0, 0);
  g_assert_cmpint(s->look(s, "out", &m, 1, on_mark, out, &f->err), ==, MR_OK);
  return g_string_free(out, FALSE);
}

static char *take(struct fixture *f, struct mr_store *s, const char *lane)
{
  GString *out = g_string_new(NULL);
  g_assert_cmpint(s->take(s, "out", "src", &lane, 1, on_mark, out, &f->err), ==, MR_OK);
  return g_string_free(out, FALSE);
}

static int found(struct fixture *f, struct mr_store *s, const char *lane, uint64_t at)
{
  struct mr_mark m = mark(lane, at, at, 1);
  return s->found(s, "out", &m, 1, &f->err);
}

static int record(struct fixture *f, struct mr_store *s, const char *label,
                  enum mr_pending_state state, const struct mr_mark *m, size_t n)
{
  struct mr_pending p = {"out", label, state, 1234567, n, m};
  return s->record(s, &p, &f->err);
}

static int on_pending(void *out, const struct mr_pending *p, struct mr_error *err)
{
  g_string_append_printf(out, "%s %d %ld:", p->label, p->state, (long)p->recorded_us);
  for (size_t i = 0; i < p->n; i++) {
    g_string_append_printf(out, " %s/%s (%lu, %lu] owner %lu rows %lu%s", p->mark[i].source,
                           p->mark[i].name, (unsigned long)mr_position_get(&p->mark[i].from),
                           (unsigned long)mr_position_get(&p->mark[i].upto),
                           (unsigned long)p->mark[i].owner, (unsigned long)p->mark[i].rows,
                           p->mark[i].run == RUN ? " run" : "");
    put_state(out, &p->mark[i]);
  }
  g_string_append_c(out, '\n');
  return MR_OK;
}

static char *pending(struct fixture *f, struct mr_store *s)
{
  GString *out = g_string_new(NULL);
  g_assert_cmpint(s->pending(s, "out", on_pending, out, &f->err), ==, MR_OK);
  return g_string_free(out, FALSE);
}

/* ---- any store */

static void test_lanes(struct fixture *f, gconstpointer data)
{
  IS(take(f, f->a, "l"), "");
  g_assert_cmpint(found(f, f->a, "l", 7), ==, MR_OK);
  IS(look(f, f->a, "l"), "l@7 owner 1 rows 0\n");
  IS(take(f, f->a, "l"), "l@7 owner 2 rows 0\n");
  struct mr_mark m = mark("l", 7, 9, 2);
  g_assert_cmpint(f->a->done(f->a, "out", NULL, &m, 1, &f->err), ==, MR_OK);
  IS(look(f, f->a, "l"), "l@9 owner 2 rows 2 run\n");
  g_assert_cmpint(f->a->done(f->a, "out", NULL, &m, 1, &f->err), ==, MR_FENCED);
  g_assert_cmpstr(f->err.code, ==, "position");
  struct mr_mark old = mark("l", 9, 11, 1);
  mr_error_clear(&f->err);
  g_assert_cmpint(f->a->done(f->a, "out", NULL, &old, 1, &f->err), ==, MR_FENCED);
  g_assert_cmpstr(f->err.code, !=, "position");
  IS(look(f, f->a, "l"), "l@9 owner 2 rows 2 run\n");
}

static void test_several_lanes_move_together(struct fixture *f, gconstpointer data)
{
  g_assert_cmpint(found(f, f->a, "x", 0), ==, MR_OK);
  g_assert_cmpint(found(f, f->a, "y", 5), ==, MR_OK);
  struct mr_mark m[2] = {mark("x", 0, 3, 1), mark("y", 4, 6, 1)};
  g_assert_cmpint(f->a->done(f->a, "out", NULL, m, 2, &f->err), ==, MR_FENCED);
  IS(look(f, f->a, "x"), "x@0 owner 1 rows 0\n");
  m[1].from = mr_position_u64(5);
  g_assert_cmpint(f->a->done(f->a, "out", NULL, m, 2, &f->err), ==, MR_OK);
  IS(look(f, f->a, "x"), "x@3 owner 1 rows 3 run\n");
  IS(look(f, f->a, "y"), "y@6 owner 1 rows 2 run\n");
}

static void test_units(struct fixture *f, gconstpointer data)
{
  g_assert_cmpint(found(f, f->a, "x", 0), ==, MR_OK);
  g_assert_cmpint(found(f, f->a, "y", 0), ==, MR_OK);
  struct mr_mark m[2] = {mark("x", 0, 3, 1), mark("y", 0, 6, 1)};
  g_assert_cmpint(record(f, f->a, "u1", MR_PENDING_PREPARED, m, 2), ==, MR_OK);
  IS(pending(f, f->a), "u1 1 1234567: src/x (0, 3] owner 1 rows 3 run"
                       " src/y (0, 6] owner 1 rows 6 run\n");
  IS(look(f, f->a, "x"), "x@0 owner 1 rows 0\n");
  IS(take(f, f->a, "x"), "x@0 owner 2 rows 0\n");
  /* the record is the claim: whoever took the lane finishes it */
  g_assert_cmpint(f->a->done(f->a, "out", "u1", m, 2, &f->err), ==, MR_OK);
  IS(pending(f, f->a), "");
  IS(look(f, f->a, "x"), "x@3 owner 2 rows 3 run\n");
  struct mr_mark late = mark("x", 3, 4, 1);
  g_assert_cmpint(record(f, f->a, "u2", MR_PENDING_PREPARED, &late, 1), ==, MR_FENCED);
  IS(pending(f, f->a), "");
  late.owner = 2;
  g_assert_cmpint(record(f, f->a, "u3", MR_PENDING_PREPARED, &late, 1), ==, MR_OK);
  g_assert_cmpint(f->a->drop(f->a, "out", "u3", &f->err), ==, MR_OK);
  IS(pending(f, f->a), "");
  IS(look(f, f->a, "x"), "x@3 owner 2 rows 3 run\n");
}

/* What transforms have saved goes with the position, by way of the record where there is one. */
static void test_state(struct fixture *f, gconstpointer data)
{
  struct mr_mark m = mark("l", 0, 4, 1);
  m.state = "four";
  m.state_len = 4;
  found(f, f->a, "l", 0);
  g_assert_cmpint(f->a->done(f->a, "out", NULL, &m, 1, &f->err), ==, MR_OK);
  IS(look(f, f->a, "l"), "l@4 owner 1 rows 4 run state four\n");
  m = mark("l", 4, 6, 1);
  m.state = "six";
  m.state_len = 3;
  g_assert_cmpint(record(f, f->a, "u1", MR_PENDING_PREPARED, &m, 1), ==, MR_OK);
  IS(take(f, f->a, "l"), "l@4 owner 2 rows 4 run state four\n");
  IS(pending(f, f->a), "u1 1 1234567: src/l (4, 6] owner 1 rows 2 run state six\n");
  g_assert_cmpint(f->a->done(f->a, "out", "u1", &m, 1, &f->err), ==, MR_OK);
  IS(look(f, f->a, "l"), "l@6 owner 2 rows 6 run state six\n");
  m = mark("l", 6, 7, 2);
  g_assert_cmpint(f->a->done(f->a, "out", NULL, &m, 1, &f->err), ==, MR_OK);
  IS(look(f, f->a, "l"), "l@7 owner 2 rows 7 run\n");
}

static void run_sql(const char *dir, const char *sql)
{
  g_autofree char *path = g_build_filename(dir, "store.db", NULL);
  sqlite3 *db = NULL;
  g_assert_cmpint(sqlite3_open(path, &db), ==, SQLITE_OK);
  g_assert_cmpint(sqlite3_exec(db, sql, NULL, NULL, NULL), ==, SQLITE_OK);
  sqlite3_close(db);
}

static void reopen(struct fixture *f, const char *sql)
{
  char *why = NULL;
  f->a->free(f->a);
  run_sql(f->dir, sql);
  f->a = mr_store_sqlite_new(f->dir, "p", &why);
  g_assert_cmpstr(why, ==, NULL);
}

static void test_older_store(struct fixture *f, gconstpointer data)
{
  found(f, f->a, "old", 3);
  reopen(f, "ALTER TABLE lanes DROP COLUMN state; ALTER TABLE lanes DROP COLUMN label; ALTER TABLE "
            "pending_lanes DROP COLUMN state;"
            "UPDATE meta SET value=1 WHERE key='version'");
  IS(look(f, f->a, "old"), "old@3 owner 1 rows 0\n");
  test_state(f, data);
  reopen(f, "SELECT 1");
  IS(look(f, f->a, "l"), "l@7 owner 2 rows 7 run\n");
}

static void on_label(void *out, const char *label)
{
  g_string_append_printf(out, "%s ", label);
}

static char *claimed(struct fixture *f, struct mr_store *s)
{
  const char *lanes[] = {"a", "b", "nobody"};
  GString *out = g_string_new(NULL);
  g_assert_cmpint(s->claimed(s, "out", "src", lanes, 3, on_label, out, &f->err), ==, MR_OK);
  return g_string_free(out, FALSE);
}

/* A lane's row remembers the label of the unit that its owner began last. */
static void test_labels(struct fixture *f, gconstpointer data)
{
  found(f, f->a, "a", 0);
  found(f, f->a, "b", 0);
  struct mr_mark m[] = {mark("a", 0, 0, 1), mark("b", 0, 0, 1)};
  IS(claimed(f, f->a), "");
  g_assert_cmpint(f->a->claim(f->a, "out", "u1", m, 2, &f->err), ==, MR_OK);
  IS(claimed(f, f->a), "u1 u1 ");
  IS(take(f, f->a, "b"), "b@0 owner 2 rows 0\n");
  g_assert_cmpint(f->a->claim(f->a, "out", "u2", m, 2, &f->err), ==, MR_OK);
  IS(claimed(f, f->a), "u2 u1 ");
}

static void test_identity(struct fixture *f, gconstpointer data)
{
  uint64_t id = 0, again = 0;
  g_assert_cmpint(f->a->identity(f->a, &id, &f->err), ==, MR_OK);
  g_assert_cmpint(f->a->identity(f->a, &again, &f->err), ==, MR_OK);
  g_assert_cmpuint(id, !=, 0);
  g_assert_cmpuint(id, ==, again);
}

static void test_blocks(struct fixture *f, gconstpointer data)
{
  char bytes[] = "a\0b\\c\xff'", *got = NULL;
  size_t n = 0;
  struct mr_mark m = mark("x", 0, 3, 1);
  g_assert_cmpint(found(f, f->a, "x", 0), ==, MR_OK);
  g_assert_cmpint(f->a->block_put(f->a, "u1", bytes, sizeof bytes, &f->err), ==, MR_OK);
  g_assert_cmpint(record(f, f->a, "u1", MR_PENDING_SEALED, &m, 1), ==, MR_OK);
  g_assert_cmpint(f->a->block_get(f->a, "u1", (void **)&got, &n, &f->err), ==, MR_OK);
  g_assert_cmpmem(got, n, bytes, sizeof bytes);
  free(got);
  g_assert_cmpint(f->a->done(f->a, "out", "u1", &m, 1, &f->err), ==, MR_OK);
  g_assert_cmpint(f->a->block_drop(f->a, "u1", &f->err), ==, MR_OK);
  g_assert_cmpint(f->a->block_drop(f->a, "u1", &f->err), ==, MR_OK);
  g_assert_cmpint(f->a->block_get(f->a, "u1", (void **)&got, &n, &f->err), <, MR_OK);
}

static void test_counters(struct fixture *f, gconstpointer data)
{
  const char *keys[] = {"src/a", "src/b"};
  uint64_t n = 0;
  bool ran[2] = {true, true};
  g_assert_cmpint(f->a->ran(f->a, keys, 2, false, ran, &f->err), ==, MR_OK);
  g_assert_false(ran[0] || ran[1]);
  g_assert_cmpint(f->a->ran(f->a, keys, 1, true, ran, &f->err), ==, MR_OK);
  g_assert_cmpint(f->a->ran(f->a, keys, 2, false, ran, &f->err), ==, MR_OK);
  g_assert_true(ran[0] && !ran[1]);
  for (uint64_t i = 1; i < 4; i++) {
    g_assert_cmpint(f->a->number(f->a, "out", &n, &f->err), ==, MR_OK);
    g_assert_cmpint(n, ==, i);
  }
  g_assert_cmpint(f->a->number(f->a, "other", &n, &f->err), ==, MR_OK);
  g_assert_cmpint(n, ==, 1);
}

/* ---- a store that processes share */

static void test_deposed(struct fixture *f, gconstpointer data)
{
  uint64_t n = 0, k = 0;
  g_assert_cmpint(found(f, f->a, "x", 0), ==, MR_OK);
  g_assert_cmpint(found(f, f->b, "x", 0), ==, MR_FENCED);
  IS(take(f, f->b, "x"), "x@0 owner 2 rows 0\n");
  struct mr_mark old = mark("x", 0, 3, 1), mine = mark("x", 0, 4, 2);
  g_assert_cmpint(record(f, f->a, "u1", MR_PENDING_PREPARED, &old, 1), ==, MR_FENCED);
  g_assert_cmpint(f->a->done(f->a, "out", NULL, &old, 1, &f->err), ==, MR_FENCED);
  g_assert_cmpint(record(f, f->b, "u2", MR_PENDING_PREPARED, &mine, 1), ==, MR_OK);
  IS(look(f, f->a, "x"), "x@0 owner 2 rows 0\n");
  g_assert_cmpint(f->a->number(f->a, "out", &n, &f->err), ==, MR_OK);
  g_assert_cmpint(f->b->number(f->b, "out", &k, &f->err), ==, MR_OK);
  g_assert_cmpint(n, !=, k);
}

/* One finishes what the other recorded; the other finds the record gone, not its positions wrong.
 */
static void test_finished_by_another(struct fixture *f, gconstpointer data)
{
  void *data_read;
  size_t n;
  struct mr_mark m = mark("x", 0, 3, 1);
  g_assert_cmpint(found(f, f->a, "x", 0), ==, MR_OK);
  g_assert_cmpint(f->a->block_put(f->a, "u1", "rows", 4, &f->err), ==, MR_OK);
  g_assert_cmpint(record(f, f->a, "u1", MR_PENDING_SEALED, &m, 1), ==, MR_OK);
  IS(take(f, f->b, "x"), "x@0 owner 2 rows 0\n");
  g_assert_cmpint(f->b->done(f->b, "out", "u1", &m, 1, &f->err), ==, MR_OK);
  g_assert_cmpint(f->b->block_drop(f->b, "u1", &f->err), ==, MR_OK);
  g_assert_cmpint(f->a->done(f->a, "out", "u1", &m, 1, &f->err), ==, MR_FENCED);
  g_assert_cmpint(f->a->block_get(f->a, "u1", &data_read, &n, &f->err), ==, MR_FENCED);
  IS(look(f, f->a, "x"), "x@3 owner 2 rows 3 run\n");
}

/* Calls whose answer was lost are made again. */
static void test_again(struct fixture *f, gconstpointer data)
{
  struct mr_mark m = mark("x", 0, 3, 1), other = mark("x", 0, 2, 1);
  g_assert_cmpint(found(f, f->a, "x", 0), ==, MR_OK);
  g_assert_cmpint(found(f, f->a, "x", 0), ==, MR_OK);
  g_assert_cmpint(record(f, f->a, "u1", MR_PENDING_PREPARED, &m, 1), ==, MR_OK);
  g_assert_cmpint(record(f, f->a, "u1", MR_PENDING_PREPARED, &m, 1), ==, MR_OK);
  /* one unit at most is pending on a lane, and a sealed one has its block */
  g_assert_cmpint(record(f, f->a, "u2", MR_PENDING_PREPARED, &other, 1), ==, MR_FENCED);
  g_assert_cmpint(f->a->drop(f->a, "out", "u1", &f->err), ==, MR_OK);
  g_assert_cmpint(record(f, f->a, "u3", MR_PENDING_SEALED, &m, 1), ==, MR_FATAL);
  IS(pending(f, f->a), "");
}

static void test_lost_server(void)
{
  struct mr_error err = MR_ERROR_INIT;
  int status = MR_OK;
  g_assert_null(mr_store_postgres_new("postgresql://me:geheim@127.0.0.1:1/db", "p", &status, &err));
  g_assert_cmpint(status, ==, MR_RETRY);
  g_assert_true(err.unreachable);
  g_assert_nonnull(strstr(err.msg, "127.0.0.1:1, database db"));
  g_assert_null(strstr(err.msg, "geheim"));
  mr_error_clear(&err);
  g_assert_null(mr_store_postgres_new("postgresql://me:geheim@[x", "p", &status, &err));
  g_assert_cmpint(status, ==, MR_BADCONF);
  g_assert_null(strstr(err.msg, "geheim"));
}

static void add(const char *store, const char *name,
                void (*fn)(struct fixture *f, gconstpointer data))
{
  bool postgres = !strcmp(store, "postgres");
  g_autofree char *path = g_strdup_printf("/store/%s/%s", store, name);
  g_test_add(path, struct fixture, postgres ? "" : NULL, set_up, fn, tear_down);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  static const char *const stores[] = {"sqlite", "postgres"};
  for (int i = 0; i < (url() ? 2 : 1); i++) {
    add(stores[i], "lanes", test_lanes);
    add(stores[i], "several-lanes", test_several_lanes_move_together);
    add(stores[i], "units", test_units);
    add(stores[i], "state", test_state);
    add(stores[i], "labels", test_labels);
    add(stores[i], "identity", test_identity);
    add(stores[i], "blocks", test_blocks);
    add(stores[i], "counters", test_counters);
  }
  if (url()) {
    add("postgres", "deposed", test_deposed);
    add("postgres", "finished-by-another", test_finished_by_another);
    add("postgres", "again", test_again);
  }
  add("sqlite", "older", test_older_store);
  g_test_add_func("/store/postgres/lost-server", test_lost_server);
  return g_test_run();
}
