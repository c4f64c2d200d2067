/* SPDX-License-Identifier: Apache-2.0 */
/* The lookup service, fed by a scripted source: what its tests share. */
#ifndef SCRIPTED_LOOKUP_H
#define SCRIPTED_LOOKUP_H
#include "engine/lookup.h"
#include <glib.h>
#include <glib/gstdio.h>
#include <pthread.h>
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

static inline bool wanted(const struct mr_open *o, const char *name)
{
  bool yes = false;
  for (size_t i = 0; i < o->want.n; i++)
    yes |= !strcmp(((const char *const *)o->want.item)[i], name);
  return yes;
}

static inline int script_open(const struct mr_open *o, void **self, struct mr_error *err)
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

static inline int script_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
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

static inline int script_start(void *self, struct mr_error *err)
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

static inline void push_row(struct script_self *s, struct mr_column *c, const char *row)
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

static inline void make_rows(struct script_self *s, const char *text, struct mr_batch *give)
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

static inline int script_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
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

static inline void script_close(void *self)
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
static inline int64_t shifted_wall(struct mr_os *o)
{
  return mr_os_real()->wall_us(o) + wall_shift_us;
}

static inline void on_state(void *ctx, const struct mr_lookup_info *i)
{
  struct fixture *f = ctx;
  pthread_mutex_lock(&f->lock);
  g_string_append_printf(f->states, "%d:%s\n", i->state, i->text);
  pthread_mutex_unlock(&f->lock);
}

static inline void add(struct fixture *f, const char *rows)
{
  pthread_mutex_lock(&f->script.lock);
  g_ptr_array_add(f->script.batch, g_strdup(rows));
  pthread_mutex_unlock(&f->script.lock);
}
static inline void set(struct fixture *f, int *field, int value)
{
  pthread_mutex_lock(&f->script.lock);
  *field = value;
  pthread_mutex_unlock(&f->script.lock);
}
static inline int get(struct fixture *f, const int *field)
{
  pthread_mutex_lock(&f->script.lock);
  int v = *field;
  pthread_mutex_unlock(&f->script.lock);
  return v;
}

static inline void setup(struct fixture *f, gconstpointer data)
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
static inline void service_free(struct fixture *f)
{
  mr_lookups_free(f->l);
  f->l = NULL;
}
static inline void teardown(struct fixture *f, gconstpointer data)
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

static inline void service(struct fixture *f)
{
  struct mr_error err = MR_ERROR_INIT;
  f->l = mr_lookups_new(&f->spec, &f->hooks, &err);
  if (!f->l)
    g_error("%s", err.msg);
}
static inline void start(struct fixture *f)
{
  struct mr_error err = MR_ERROR_INIT;
  service(f);
  g_assert_cmpint(mr_lookups_start(f->l, &err), ==, MR_OK);
}

static inline struct ArrowSchema schema(const char *text)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  g_autofree char *type = g_strdup_printf("struct<%s>", text);
  if (mr_type_parse(type, "", &s, &err) < 0)
    g_error("%s", err.msg);
  return s;
}

/* A handle for key `id` (typed as said) that wants `want` (NULL: all). */
static inline struct mr_lookup *handle(struct fixture *f, const char *keys, const char *want)
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
static inline void ready(struct fixture *f)
{
  struct mr_error err = MR_ERROR_INIT;
  if (mr_lookups_ready(f->l, WAIT_US, &err) != MR_OK)
    g_error("%s", err.msg);
}

/* What find gives for these int64 keys: the first wanted column, "-" for missing, "~" for null;
 * "MR_RETRY: text" and so on. */
static inline char *find(struct mr_lookup *h, const int64_t *key, int64_t n)
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

#endif
