/* SPDX-License-Identifier: Apache-2.0 */
/* The lookup service, fed by a scripted source. */
#include "engine/lookup.h"
#include <glib.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
#include "data/array.h"
#include "data/types.h"

#define WAIT_US \
  (INT64_C(20) * 1000000) /* longer than anything here takes: a failure, not a measure */

/* ---- the source: batches of rows "1=a" (upsert) and "1-" (delete), a batch's number is its
 * position */

struct script {
  pthread_mutex_t lock;
  const char *columns;
  GPtrArray *batch;                     /* char * */
  bool follow, op;                      /* op: it knows _op */
  bool infer;                           /* its columns are known after the first read only */
  bool late;                            /* its columns are known after start only */
  int fail_starts;                      /* start answers MR_RETRY so many times */
  int start_status;                     /* what start answers then; 0: fine */
  int read_status;                      /* read answers that instead */
  int hold_at;                          /* read gives nothing from this batch on; -1: never */
  int rejects;                          /* rows refused with the next batch */
  int opens, starts, reads, first_read; /* first_read: position at which the last instance began */
};
struct script_conf {
  struct script *script;
};
struct script_self {
  struct script *script;
  const struct mr_host *host;
  bool bounded, op, offset, started, inferred;
  uint64_t at, end;
  uint32_t lane;
};

static bool wanted(const struct mr_open *o, const char *name)
{
  bool yes = false;
  for (size_t i = 0; i < o->want.n; i++)
    yes |= !strcmp(((const char *const *)o->want.item)[i], name);
  return yes;
}

static int script_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct script *sc = ((const struct script_conf *)o->conf)->script;
  if (wanted(o, "_op") && !sc->op)
    return mr_fail(err, MR_BADCONF, "no _op here");
  struct script_self *s = g_new0(struct script_self, 1);
  *s = (struct script_self){.script = sc,
                            .host = o->host,
                            .bounded = o->bounded,
                            .op = wanted(o, "_op"),
                            .offset = wanted(o, "_offset")};
  pthread_mutex_lock(&sc->lock);
  sc->opens++;
  pthread_mutex_unlock(&sc->lock);
  *self = s;
  return MR_OK;
}

static int script_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct script_self *s = self;
  g_autofree char *type =
      g_strdup_printf("struct<%s%s%s>", s->script->columns, s->offset ? ", _offset: int64" : "",
                      s->op ? ", _op: utf8" : "");
  if ((s->script->late && !s->started) || (s->script->infer && !s->inferred))
    return MR_IDLE;
  int rc = mr_type_parse(type, "", give, err);
  if (rc >= 0)
    g_assert_true(mr_schema_set_meta(give->children[1], MR_META_CLASS, "pii"));
  return rc;
}

static int script_start(void *self, struct mr_error *err)
{
  struct script_self *s = self;
  struct script *sc = s->script;
  struct mr_position from, zero = mr_position_u64(0);
  pthread_mutex_lock(&sc->lock);
  sc->starts++;
  bool down = sc->fail_starts > 0 && sc->fail_starts--;
  int status = sc->start_status;
  s->end = sc->batch->len;
  pthread_mutex_unlock(&sc->lock);
  if (down) {
    err->retry_ms = 5;
    err->unreachable = true;
    return mr_fail(err, MR_RETRY, "connection refused");
  }
  if (status < 0)
    return mr_fail(err, status, "table missing");
  if (s->host->lane(s->host->ctx, "all", NULL, &s->lane, &from, err) != MR_LANE_KNOWN)
    g_assert_cmpint(s->host->lane(s->host->ctx, "all", &zero, &s->lane, &from, err), ==,
                    MR_LANE_KNOWN);
  s->at = mr_position_get(&from);
  s->started = true;
  pthread_mutex_lock(&sc->lock);
  sc->first_read = (int)s->at;
  pthread_mutex_unlock(&sc->lock);
  return MR_OK;
}

static void push_row(struct script_self *s, struct mr_column *c, const char *row)
{
  char *end;
  int64_t id = g_ascii_strtoll(row, &end, 10);
  g_assert_true(mr_column_int(&c[0], id));
  if (*end == '=')
    g_assert_true(mr_column_text(&c[1], end + 1));
  else
    g_assert_true(mr_column_null(&c[1]));
  g_assert_true(mr_column_int(&c[2], id * 10));
  if (s->offset)
    g_assert_true(mr_column_int(&c[3], id * 100));
  if (s->op)
    g_assert_true(mr_column_text(&c[3 + s->offset], *end == '=' ? "insert" : "delete"));
}

static void make_rows(struct script_self *s, const char *text, struct mr_batch *give)
{
  struct mr_column c[5];
  struct ArrowSchema schema;
  struct mr_error err = MR_ERROR_INIT;
  g_auto(GStrv) row = g_strsplit(text, " ", -1);
  g_assert_cmpint(script_schema(s, &schema, &err), ==, MR_OK);
  for (int64_t i = 0; i < schema.n_children; i++)
    g_assert_true(mr_column_init(&c[i], schema.children[i]));
  for (char **r = row; *r; r++)
    push_row(s, c, *r);
  g_assert_true(mr_rows_finish(c, schema.n_children, g_strv_length(row), &give->rows));
  mr_schema_release(&schema);
  give->lane = s->lane;
  give->upto = mr_position_u64(s->at + 1);
}

static int script_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                       struct mr_batch *give, struct mr_error *err)
{
  struct script_self *s = self;
  struct script *sc = s->script;
  pthread_mutex_lock(&sc->lock);
  sc->reads++;
  int status = sc->read_status;
  bool held = sc->hold_at >= 0 && s->at >= (uint64_t)sc->hold_at;
  bool have = s->at < (s->bounded ? s->end : sc->batch->len);
  g_autofree char *text = have ? g_strdup(sc->batch->pdata[s->at]) : NULL;
  int rejects = have ? sc->rejects : 0;
  sc->rejects -= rejects;
  pthread_mutex_unlock(&sc->lock);
  if (status < 0) {
    err->retry_ms = 5;
    return mr_fail(err, status, "read failed");
  }
  if (have && sc->infer && !s->inferred) {
    s->inferred = true;
    return MR_SCHEMA;
  }
  if (!have && (s->bounded || !sc->follow))
    return MR_END;
  if (!have || held) {
    g_usleep(1000);
    return MR_IDLE;
  }
  for (int i = 0; i < rejects; i++) {
    struct mr_reject r = {.size = sizeof r, .code = "22P02", .msg = "bad row"};
    s->host->reject(s->host->ctx, &r);
  }
  make_rows(s, text, give);
  s->at++;
  return MR_OK;
}

static void script_close(void *self)
{
  g_free(self);
}

static const struct mr_source script_source = {.size = sizeof script_source,
                                               .open = script_open,
                                               .schema = script_schema,
                                               .start = script_start,
                                               .read = script_read,
                                               .close = script_close};
static const struct mr_plugin script_plugin = {.abi = MR_ABI,
                                               .size = sizeof script_plugin,
                                               .conf_size = sizeof(struct script_conf),
                                               .name = "script",
                                               .source = &script_source};

/* ---- a service with one lookup, `users` */

struct fixture {
  struct script script;
  struct script_conf conf;
  struct mr_stage_spec stage;
  struct mr_spec spec;
  struct mr_lookup_hooks hooks;
  struct mr_lookups *l;
  char *dir;
  pthread_mutex_t lock;
  GString *states; /* texts in the order they came, each once in a row */
};

static struct mr_os os; /* the real one with a wall clock that can be set */
static int64_t wall_shift_us;
static int64_t shifted_wall(struct mr_os *o)
{
  return mr_os_real()->wall_us(o) + wall_shift_us;
}

static void on_state(void *ctx, const struct mr_lookup_info *i)
{
  struct fixture *f = ctx;
  pthread_mutex_lock(&f->lock);
  g_string_append_printf(f->states, "%d:%s\n", i->state, i->text);
  pthread_mutex_unlock(&f->lock);
}

static void add(struct fixture *f, const char *rows)
{
  pthread_mutex_lock(&f->script.lock);
  g_ptr_array_add(f->script.batch, g_strdup(rows));
  pthread_mutex_unlock(&f->script.lock);
}
static void set(struct fixture *f, int *field, int value)
{
  pthread_mutex_lock(&f->script.lock);
  *field = value;
  pthread_mutex_unlock(&f->script.lock);
}
static int get(struct fixture *f, const int *field)
{
  pthread_mutex_lock(&f->script.lock);
  int v = *field;
  pthread_mutex_unlock(&f->script.lock);
  return v;
}

static void setup(struct fixture *f, gconstpointer data)
{
  memset(f, 0, sizeof *f);
  os = *mr_os_real();
  os.wall_us = shifted_wall;
  wall_shift_us = 0;
  pthread_mutex_init(&f->script.lock, NULL);
  pthread_mutex_init(&f->lock, NULL);
  f->script.columns = "id: int64, email: utf8, ten: int32";
  f->script.batch = g_ptr_array_new_with_free_func(g_free);
  f->script.hold_at = -1;
  f->script.op = true;
  f->conf.script = &f->script;
  f->stage = (struct mr_stage_spec){
      .kind = MR_STAGE_LOOKUP, .name = (char *)"users", .plugin = &script_plugin, .conf = &f->conf};
  f->spec.name = (char *)"test";
  f->spec.lookups = g_ptr_array_new();
  g_ptr_array_add(f->spec.lookups, &f->stage);
  f->states = g_string_new(NULL);
  f->dir = g_dir_make_tmp("millrace-test-XXXXXX", NULL);
  f->hooks = (struct mr_lookup_hooks){.ctx = f, .os = &os, .pipeline = "test", .state = on_state};
}
static void service_free(struct fixture *f)
{
  mr_lookups_free(f->l);
  f->l = NULL;
}
static void teardown(struct fixture *f, gconstpointer data)
{
  service_free(f);
  g_autofree char *path = g_build_filename(f->dir, "users.lookup", NULL);
  g_unlink(path);
  g_assert_cmpint(g_rmdir(f->dir), ==, 0); /* nothing else was left there */
  g_ptr_array_unref(f->script.batch);
  g_ptr_array_unref(f->spec.lookups);
  g_string_free(f->states, TRUE);
  g_free(f->dir);
}

static void service(struct fixture *f)
{
  struct mr_error err = MR_ERROR_INIT;
  f->l = mr_lookups_new(&f->spec, &f->hooks, &err);
  if (!f->l)
    g_error("%s", err.msg);
}
static void start(struct fixture *f)
{
  struct mr_error err = MR_ERROR_INIT;
  service(f);
  g_assert_cmpint(mr_lookups_start(f->l, &err), ==, MR_OK);
}

static struct ArrowSchema schema(const char *text)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  g_autofree char *type = g_strdup_printf("struct<%s>", text);
  if (mr_type_parse(type, "", &s, &err) < 0)
    g_error("%s", err.msg);
  return s;
}

/* A handle for key `id` (typed as said) that wants `want` (NULL: all). */
static struct mr_lookup *handle(struct fixture *f, const char *keys, const char *want)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema k = schema(keys), row;
  struct mr_lookup *h = NULL;
  if (want)
    g_assert_true(mr_schema_set_meta(&k, MR_META_WANT, want));
  if (mr_lookup_open(f->l, "users", &k, &h, &row, &err) != MR_OK)
    g_error("%s", err.msg);
  mr_schema_release(&row);
  mr_schema_release(&k);
  return h;
}
static void ready(struct fixture *f)
{
  struct mr_error err = MR_ERROR_INIT;
  if (mr_lookups_ready(f->l, WAIT_US, &err) != MR_OK)
    g_error("%s", err.msg);
}

/* What find gives for these int64 keys: the first wanted column, "-" for missing, "~" for null;
 * "MR_RETRY: text" and so on. */
static char *find(struct mr_lookup *h, const int64_t *key, int64_t n)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s = schema("id: int64");
  struct ArrowArray keys, rows;
  struct mr_column c;
  GString *out = g_string_new(NULL);
  g_assert_true(mr_column_init(&c, s.children[0]));
  for (int64_t i = 0; i < n; i++)
    g_assert_true(mr_column_int(&c, key[i]));
  g_assert_true(mr_rows_finish(&c, 1, n, &keys));
  int rc = mr_lookup_find(h, &keys, &rows, &err);
  if (rc < 0)
    g_string_append_printf(out, "%s: %s", mr_status_name(rc), err.msg);
  for (int64_t i = 0; rc >= 0 && i < n; i++) {
    struct mr_view row, v;
    struct ArrowSchema text = schema("v: utf8");
    int64_t len = 0;
    mr_view_init(&row, &text, &rows);
    mr_view_init(&v, text.children[0], rows.children[0]);
    if (mr_view_null(&row, i))
      g_string_append(out, "- ");
    else if (mr_view_null(&v, i))
      g_string_append(out, "~ ");
    else
      g_string_append_printf(out, "%.*s ", (int)(mr_view_bytes(&v, i, &len), len),
                             mr_view_bytes(&v, i, &len));
    mr_schema_release(&text);
  }
  if (rc >= 0)
    mr_array_release(&rows);
  mr_array_release(&keys);
  mr_schema_release(&s);
  return g_string_free(out, FALSE);
}
#define KEYS(...) (int64_t[]){__VA_ARGS__}, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)
#define CHECK(h, want, ...)                             \
  do {                                                  \
    g_autofree char *got_ = find(h, KEYS(__VA_ARGS__)); \
    g_assert_cmpstr(got_, ==, want);                    \
  } while (0)
/* Until the answer is what is wanted. */
#define UNTIL(h, want, ...)                                       \
  do {                                                            \
    int64_t end_ = g_get_monotonic_time() + WAIT_US;              \
    g_autofree char *got_ = find(h, KEYS(__VA_ARGS__));           \
    while (strcmp(got_, want) && g_get_monotonic_time() < end_) { \
      g_free(got_);                                               \
      g_usleep(1000);                                             \
      got_ = find(h, KEYS(__VA_ARGS__));                          \
    }                                                             \
    g_assert_cmpstr(got_, ==, want);                              \
  } while (0)

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

/* ---- restart */

/* A child loads until batch 5 and is killed there; the next process goes on at batch 5. */
static void killed_at_5(struct fixture *f)
{
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (!pid) {
    f->script.hold_at = 5;
    start(f);
    handle(f, "id: int64", "email");
    while (get(f, &f->script.reads) < 8)
      g_usleep(1000);
    kill(getpid(), SIGKILL);
  }
  int status;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void ten_batches(struct fixture *f)
{
  for (int i = 0; i < 10; i++) {
    g_autofree char *rows = g_strdup_printf("%d=b%d %d=b%d 100=b%d", i, i, i + 10, i, i);
    add(f, rows);
  }
}
static void check_ten(struct fixture *f, struct mr_lookup *h)
{
  CHECK(h, "b0 b0 b4 b5 b9 b9 b9 - ", 0, 10, 4, 5, 9, 19, 100, 101);
}

static void test_killed_mid_load(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  f->script.follow = true;
  ten_batches(f);
  killed_at_5(f);
  f->script.hold_at = 5;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  while (get(f, &f->script.reads) < 1)
    g_usleep(1000);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 5);
  set(f, &f->script.hold_at, -1);
  ready(f);
  check_ten(f, h);
  g_assert_cmpint(get(f, &f->script.opens), <=, 3);
  mr_lookup_close(h);
}

/* Too long ago, with other columns, or with a journal that cannot be read: loaded anew, and
 * complete. */
static void test_killed_long_ago(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  ten_batches(f);
  killed_at_5(f);
  wall_shift_us = INT64_C(2) * 3600 * 1000000;
  f->script.hold_at = 0;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  while (get(f, &f->script.reads) < 1)
    g_usleep(1000);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 0);
  set(f, &f->script.hold_at, -1);
  ready(f);
  check_ten(f, h);
  mr_lookup_close(h);
}

static void test_killed_other_columns(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  ten_batches(f);
  killed_at_5(f);
  f->script.hold_at = 0;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email\nten");
  while (get(f, &f->script.reads) < 1)
    g_usleep(1000);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 0);
  set(f, &f->script.hold_at, -1);
  ready(f);
  check_ten(f, h);
  mr_lookup_close(h);
}

/* A followed table: rows, updates and deletes are there again, and only what came meanwhile is
 * read. */
static void test_restart_followed(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  f->script.follow = true;
  ten_batches(f);
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  add(f, "0=new 19-");
  UNTIL(h, "new - b9 ", 0, 19, 9);
  mr_lookup_close(h);
  service_free(f);
  add(f, "9=newer");
  start(f);
  h = handle(f, "id: int64", "email");
  ready(f);
  UNTIL(h, "new - newer b4 ", 0, 19, 9, 4);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 11);
  mr_lookup_close(h);
}

/* A table that does not follow, or is refreshed, is read anew. */
static void test_restart_whole(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  for (int round = 0; round < 2; round++) {
    f->stage.refresh_ms = round ? 3600000 : 0;
    g_ptr_array_set_size(f->script.batch, 0);
    add(f, "1=a 2=b");
    start(f);
    struct mr_lookup *h = handle(f, "id: int64", "email");
    ready(f);
    CHECK(h, "a b ", 1, 2);
    mr_lookup_close(h);
    service_free(f);
    f->script.opens = 0;
    g_ptr_array_set_size(f->script.batch, 0);
    add(f, "2=c");
    start(f);
    h = handle(f, "id: int64", "email");
    ready(f);
    UNTIL(h, "- c ", 1, 2); /* at once, unless it was stopped before it knew that nothing follows */
    mr_lookup_close(h);
    service_free(f);
    f->script.opens = 0;
  }
}

/* A journal that cannot be written costs nothing but the restart. */
static void test_no_journal(struct fixture *f, gconstpointer data)
{
  g_autofree char *missing = g_build_filename(f->dir, "missing", NULL);
  f->hooks.dir = missing;
  ten_batches(f);
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  check_ten(f, h);
  mr_lookup_close(h);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(path, fn) g_test_add("/lookup/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("killed/mid-load", test_killed_mid_load); /* these fork: before any other thread is */
  ADD("killed/long-ago", test_killed_long_ago);
  ADD("killed/other-columns", test_killed_other_columns);
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
  ADD("restart/followed", test_restart_followed);
  ADD("restart/whole", test_restart_whole);
  ADD("restart/no-journal", test_no_journal);
  return g_test_run();
}
