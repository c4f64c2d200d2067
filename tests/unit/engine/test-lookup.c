/* SPDX-License-Identifier: Apache-2.0 */
/* The lookup service: answers, staying current, trouble. */
#include "scripted-lookup.h"

/* ---- answers */

static void test_find(struct fixture *f, gconstpointer data)
{
  add(f, "1=a 2=b");
  add(f, "3=c 1=d 2-");
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  CHECK(h, "d - c - c ", 1, 2, 3, 4, 3);
  mr_lookup_close(h);
}

/* Keys of another width, in a slice, with nulls; all columns. */
static void test_rows(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema k = schema("id: uint8"), row;
  struct ArrowArray keys, slice, rows;
  struct mr_lookup *h;
  struct mr_column c;
  add(f, "1=a 2=b 3=c");
  start(f);
  g_assert_cmpint(mr_lookup_open(f->l, "users", &k, &h, &row, &err), ==, MR_OK);
  g_assert_cmpint(row.n_children, ==, 3);
  g_assert_cmpstr(row.children[2]->name, ==, "ten");
  ready(f);
  g_assert_true(mr_column_init(&c, k.children[0]));
  for (int i = 0; i < 6; i++)
    g_assert_true(i == 3 ? mr_column_null(&c) : mr_column_int(&c, i));
  g_assert_true(mr_rows_finish(&c, 1, 6, &keys));
  g_assert_true(mr_rows_slice(&keys, 2, 4, &slice)); /* 2, null, 4, 5 */
  g_assert_cmpint(mr_lookup_find(h, &slice, &rows, &err), ==, MR_OK);
  g_assert_cmpint(mr_array_check(&row, &rows, true, &err), ==, MR_OK);
  g_assert_cmpint(rows.length, ==, 4);
  g_assert_cmpint(rows.null_count, ==, 3);
  g_assert_cmpint(((const int32_t *)rows.children[2]->buffers[1])[0], ==, 20);
  mr_array_release(&rows);
  mr_array_release(&slice);
  mr_array_release(&keys);
  mr_schema_release(&row);
  mr_schema_release(&k);
  mr_lookup_close(h);
}

static void refused(struct fixture *f, const char *name, const char *keys, const char *want,
                    const char *msg)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema k = schema(keys), row = {0};
  struct mr_lookup *h = NULL;
  if (want)
    g_assert_true(mr_schema_set_meta(&k, MR_META_WANT, want));
  g_assert_cmpint(mr_lookup_open(f->l, name, &k, &h, &row, &err), ==, MR_BADCONF);
  if (!strstr(err.msg, msg))
    g_error("`%s` does not say `%s`", err.msg, msg);
  g_assert_null(h);
  g_assert_null(row.release);
  mr_schema_release(&k);
}
/* Without a thread: what `check` needs. */
static void test_refused(struct fixture *f, gconstpointer data)
{
  f->script.columns = "id: int64, email: utf8, ten: int32, f: float64";
  service(f);
  refused(f, "nobody", "id: int64", NULL, "no lookup `nobody`");
  refused(f, "users", "ident: int64", NULL, "no column `ident`");
  refused(f, "users", "id: utf8", NULL, "is int64, what is looked up is utf8");
  refused(f, "users", "f: float64", NULL, "cannot be a key");
  refused(f, "users", "id: int64", "email\nphone", "no column `phone`");
  struct mr_lookup *h = handle(f, "id: int16", "email");
  g_assert_cmpint(f->script.starts, ==, 0);
  mr_lookup_close(h);
}

/* Columns that only the rows tell: every load learns them again. */
static void test_inferred_columns(struct fixture *f, gconstpointer data)
{
  f->script.infer = true;
  f->stage.refresh_ms = 5;
  add(f, "1=a");
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  CHECK(h, "a ", 1);
  add(f, "2=b");
  UNTIL(h, "a b ", 1, 2);
  mr_lookup_close(h);
}
/* Without a row nobody can tell. */
static void test_inferred_from_nothing(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema k = schema("id: int64"), row;
  struct mr_lookup *h;
  f->script.infer = true;
  start(f);
  g_assert_cmpint(mr_lookup_open(f->l, "users", &k, &h, &row, &err), ==, MR_BADCONF);
  g_assert_nonnull(strstr(err.msg, "declare them"));
  mr_schema_release(&k);
}

static void test_unknown_columns(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema k = schema("id: int64"), row;
  struct mr_lookup *h;
  f->script.late = true;
  add(f, "1=a");
  service(f);
  g_assert_cmpint(mr_lookup_open(f->l, "users", &k, &h, &row, &err), ==, MR_IDLE);
  g_assert_cmpint(mr_lookups_start(f->l, &err), ==, MR_OK);
  mr_schema_release(&k);
  h = handle(f, "id: int64", "email"); /* waits for the source */
  ready(f);
  CHECK(h, "a ", 1);
  mr_lookup_close(h);
}

/* Two sets of keys, and more columns later: each has all rows, and nobody loses what they had. */
static void test_more_asked(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  add(f, "1=a 2=b");
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  CHECK(h, "a b ", 1, 2);
  struct mr_lookup *more = handle(f, "id: int32", "email\nten");
  struct ArrowSchema k = schema("ten: int64, email: utf8"), row;
  struct mr_lookup *by_ten = NULL;
  g_assert_true(mr_schema_set_meta(&k, MR_META_WANT, "email\nid"));
  g_assert_cmpint(mr_lookup_open(f->l, "users", &k, &by_ten, &row, &err), ==, MR_OK);
  CHECK(h, "a b ", 1, 2);
  ready(f);
  CHECK(h, "a b ", 1, 2);
  struct ArrowArray keys, rows;
  struct mr_column c[2];
  for (int i = 0; i < 2; i++)
    g_assert_true(mr_column_init(&c[i], k.children[i]));
  g_assert_true(mr_column_int(&c[0], 20) && mr_column_text(&c[1], "b") &&
                mr_column_int(&c[0], 20) && mr_column_text(&c[1], "a"));
  g_assert_true(mr_rows_finish(c, 2, 2, &keys));
  g_assert_cmpint(mr_lookup_find(by_ten, &keys, &rows, &err), ==, MR_OK);
  g_assert_cmpint(rows.null_count, ==, 1);
  g_assert_cmpint(((const int64_t *)rows.children[1]->buffers[1])[0], ==, 2);
  mr_array_release(&rows);
  mr_array_release(&keys);
  mr_schema_release(&row);
  mr_schema_release(&k);
  mr_lookup_close(by_ten);
  mr_lookup_close(more);
  mr_lookup_close(h);
}

static char **want_offset(const struct mr_spec *spec, const struct mr_stage_spec *lookup)
{
  g_assert_cmpstr(lookup->name, ==, "users");
  return g_strsplit("_offset,_op", ",", -1);
}
/* A system column that somebody names is a column of the table, and may be its key. */
static void test_system_column(struct fixture *f, gconstpointer data)
{
  add(f, "1=a 2=b");
  start(f);
  refused(f, "users", "_offset: int64", NULL, "no column `_offset`");
  service_free(f);
  f->hooks.wants = want_offset;
  start(f);
  struct mr_lookup *h = handle(f, "_offset: int64", "email");
  ready(f);
  CHECK(h, "a - b ", 100, 1, 200);
  refused(f, "users", "_op: utf8", NULL, "no column `_op`");
  mr_lookup_close(h);
}

static void test_labels(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema k = schema("id: int64"), row;
  struct mr_lookup *h;
  service(f);
  g_assert_cmpint(mr_lookup_open(f->l, "users", &k, &h, &row, &err), ==, MR_OK);
  g_assert_true(row.flags & ARROW_FLAG_NULLABLE);
  g_assert_true(mr_schema_meta_is(row.children[1], MR_META_CLASS, "pii"));
  for (int64_t i = 0; i < row.n_children; i++)
    g_assert_true(row.children[i]->flags & ARROW_FLAG_NULLABLE);
  mr_schema_release(&row);
  mr_schema_release(&k);
  mr_lookup_close(h);
}

/* ---- staying current */

/* 10,000 keys, then 100 updates and a delete: seen, without reading the rest again. */
static void test_follow(struct fixture *f, gconstpointer data)
{
  f->script.follow = true;
  for (int b = 0; b < 100; b++) {
    GString *rows = g_string_new(NULL);
    for (int i = 0; i < 100; i++)
      g_string_append_printf(rows, "%s%d=v", i ? " " : "", b * 100 + i);
    add(f, rows->str);
    g_string_free(rows, TRUE);
  }
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  CHECK(h, "v v - ", 0, 9999, 10000);
  for (int i = 0; i < 100; i++) {
    g_autofree char *row = g_strdup_printf("%d=new", i * 7);
    add(f, row);
  }
  add(f, "5-");
  UNTIL(h, "new new v - ", 0, 693, 9999, 5);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 100); /* not from the beginning */
  mr_lookup_close(h);
}

/* A source that cannot say what was deleted is used without. */
static void test_no_op(struct fixture *f, gconstpointer data)
{
  f->script.op = false;
  add(f, "1=a");
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  CHECK(h, "a ", 1);
  mr_lookup_close(h);
}

struct reader {
  struct mr_lookup *h;
  _Atomic int stop, mixed, seen;
};
static void *read_on(void *p)
{
  struct reader *r = p;
  while (!r->stop) {
    g_autofree char *got = find(r->h, KEYS(1, 2, 3));
    if (strcmp(got, "a a a ") && strcmp(got, "b b b "))
      r->mixed = 1;
    r->seen++;
  }
  return NULL;
}
/* Refreshed in one step: a reader sees the old rows or the new ones, never some of each, also while
 * the source is away. */
static void test_refresh(struct fixture *f, gconstpointer data)
{
  f->stage.refresh_ms = 5;
  add(f, "1=a 2=a");
  add(f, "3=a 4=a");
  start(f);
  struct reader r = {.h = handle(f, "id: int64", "email")};
  ready(f);
  pthread_t t;
  g_assert_cmpint(pthread_create(&t, NULL, read_on, &r), ==, 0);
  for (int round = 0; round < 20; round++) {
    pthread_mutex_lock(&f->script.lock);
    g_ptr_array_set_size(f->script.batch, 0);
    g_ptr_array_add(f->script.batch, g_strdup(round % 2 ? "1=a 2=a" : "1=b 2=b"));
    g_ptr_array_add(f->script.batch, g_strdup(round % 2 ? "3=a 4=a" : "3=b"));
    f->script.fail_starts = round % 3;
    pthread_mutex_unlock(&f->script.lock);
    UNTIL(r.h, round % 2 ? "a a " : "b - ", 3, 4);
  }
  r.stop = 1;
  pthread_join(t, NULL);
  g_assert_cmpint(r.seen, >, 0);
  g_assert_cmpint(r.mixed, ==, 0);
  mr_lookup_close(r.h);
}

/* A refresh that fails for good leaves the rows and is tried again. */
static void test_refresh_fails(struct fixture *f, gconstpointer data)
{
  f->stage.refresh_ms = 5;
  add(f, "1=a");
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  set(f, &f->script.start_status, MR_FATAL);
  int starts = get(f, &f->script.starts);
  while (get(f, &f->script.starts) < starts + 2)
    g_usleep(1000);
  CHECK(h, "a ", 1);
  pthread_mutex_lock(&f->lock);
  g_assert_nonnull(strstr(f->states->str, "3:not refreshed: table missing"));
  pthread_mutex_unlock(&f->lock);
  add(f, "1=z");
  set(f, &f->script.start_status, 0);
  UNTIL(h, "z ", 1);
  mr_lookup_close(h);
}

/* Replaced rows do not pile up. */
static void test_compaction(struct fixture *f, gconstpointer data)
{
  f->script.follow = true;
  f->hooks.dir = f->dir;
  add(f, "1=a 2=b 3=c");
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  GString *rows = g_string_new("1=x");
  for (int i = 1; i < 1000; i++)
    g_string_append(rows, " 1=x");
  for (int i = 0; i < 150; i++)
    add(f, rows->str);
  add(f, "1=last");
  UNTIL(h, "last b c ", 1, 2, 3);
  g_autofree char *path = g_build_filename(f->dir, "users.lookup", NULL);
  GStatBuf st;
  mr_lookup_close(h);
  service_free(f);
  g_assert_cmpint(g_stat(path, &st), ==, 0);
  g_assert_cmpint(st.st_size, <, 2000000); /* 150,000 rows take 3 MB */
  start(f);
  h = handle(f, "id: int64", "email");
  ready(f);
  CHECK(h, "last b c - ", 1, 2, 3, 4);
  while (get(f, &f->script.first_read) == 1) /* the first service's */
    g_usleep(1000);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 152);
  mr_lookup_close(h);
  g_string_free(rows, TRUE);
}

/* ---- trouble */

static void test_source_down(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  f->script.fail_starts = 1000000;
  add(f, "1=a");
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  while (get(f, &f->script.starts) < 3)
    g_usleep(1000);
  CHECK(h, "retry: lookup `users`: waiting for its source: connection refused", 1);
  g_assert_cmpint(mr_lookups_ready(f->l, 0, &err), ==, MR_RETRY);
  g_assert_true(err.unreachable);
  set(f, &f->script.fail_starts, 0);
  ready(f);
  CHECK(h, "a ", 1);
  pthread_mutex_lock(&f->lock);
  g_assert_nonnull(strstr(f->states->str, "1:waiting for its source: connection refused\n"));
  g_assert_nonnull(strstr(f->states->str, "3:1 keys, "));
  pthread_mutex_unlock(&f->lock);
  mr_lookup_close(h);
}

static void test_source_wrong(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  f->script.start_status = MR_FATAL;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  g_assert_cmpint(mr_lookups_ready(f->l, WAIT_US, &err), ==, MR_FATAL);
  g_assert_cmpstr(err.msg, ==, "lookup `users`: table missing");
  CHECK(h, "fatal: lookup `users`: table missing", 1);
  mr_lookup_close(h);
}

/* A read that fails half way is tried again where it was. */
static void test_read_retry(struct fixture *f, gconstpointer data)
{
  for (int i = 0; i < 10; i++)
    add(f, i % 2 ? "1=a 2=b" : "3=c");
  f->script.read_status = MR_RETRY;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  while (get(f, &f->script.reads) < 3)
    g_usleep(1000);
  set(f, &f->script.read_status, 0);
  ready(f);
  CHECK(h, "a b c ", 1, 2, 3);
  g_assert_cmpint(get(f, &f->script.starts), <=, 2); /* load and follow */
  mr_lookup_close(h);
}

static void keep_info(void *out, const struct mr_lookup_info *i)
{
  *(struct mr_lookup_info *)out = *i;
}
static void test_info(struct fixture *f, gconstpointer data)
{
  struct mr_lookup_info i;
  f->script.rejects = 7;
  add(f, "1=a 2=b 1=c");
  start(f);
  mr_lookups_each(f->l, keep_info, &i);
  g_assert_cmpint(i.state, ==, MR_LOOKUP_NEW);
  g_assert_cmpint(i.age_us, ==, -1);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  mr_lookups_each(f->l, keep_info, &i);
  g_assert_cmpint(i.keys, ==, 2);
  g_assert_cmpint(i.rows, ==, 3);
  g_assert_cmpint(i.rejected, ==, 7);
  g_assert_cmpint(i.bytes, >, 0);
  g_assert_cmpint(i.age_us, >=, 0);
  mr_lookup_close(h);
}

struct opener {
  struct fixture *f;
  int status;
};
static void *open_late(void *p)
{
  struct opener *o = p;
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema k = schema("id: int64"), row;
  struct mr_lookup *h = NULL;
  o->status = mr_lookup_open(o->f->l, "users", &k, &h, &row, &err);
  mr_schema_release(&k);
  return NULL;
}
/* Stopping ends what waits: a source that never answers, a stage that asks for its columns. */
static void test_stop(struct fixture *f, gconstpointer data)
{
  f->script.late = true;
  f->script.fail_starts = 1000000;
  start(f);
  struct opener o = {f, MR_OK};
  pthread_t t;
  g_assert_cmpint(pthread_create(&t, NULL, open_late, &o), ==, 0);
  while (get(f, &f->script.starts) < 2)
    g_usleep(1000);
  mr_lookups_stop(f->l);
  pthread_join(t, NULL);
  g_assert_cmpint(o.status, ==, MR_FATAL);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(path, fn) g_test_add("/lookup/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("find", test_find);
  ADD("rows", test_rows);
  ADD("refused", test_refused);
  ADD("unknown-columns", test_unknown_columns);
  ADD("inferred-columns", test_inferred_columns);
  ADD("inferred-from-nothing", test_inferred_from_nothing);
  ADD("more-asked", test_more_asked);
  ADD("system-column", test_system_column);
  ADD("labels", test_labels);
  ADD("follow", test_follow);
  ADD("no-op", test_no_op);
  ADD("refresh", test_refresh);
  ADD("refresh-fails", test_refresh_fails);
  ADD("compaction", test_compaction);
  ADD("source-down", test_source_down);
  ADD("source-wrong", test_source_wrong);
  ADD("read-retry", test_read_retry);
  ADD("info", test_info);
  ADD("stop", test_stop);
  return g_test_run();
}
