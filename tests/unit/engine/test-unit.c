/* SPDX-License-Identifier: Apache-2.0 */
/* A sink's unit, with sinks that answer in the ways the contract allows: what may be read when, one
 * letter for each refused row. */
#include "engine/engine.h"
#include "engine/pipeline.h"
#include <glib/gstdio.h>

#define ROWS 400
#define BATCH 40

/* What the target holds, and what it does. */
struct target {
  int landed[ROWS], letters[ROWS];
  int calls, flushes, rows_written;
  bool late;         /* the first write answers for an earlier one, without a row */
  bool reports;      /* write reports the rows whose id ends in 3 */
  int64_t poison;    /* a row that flush and commit refuse without saying which; -1: none */
  bool flush_breaks; /* the first flush has to be called again */
};
struct conf {
  struct target *t;
};

/* ---- a source of one lane: row i has id i */

struct source {
  const struct mr_host *host;
  uint32_t lane;
  uint64_t at;
};
static int source_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct source *s = g_new0(struct source, 1);
  s->host = o->host;
  *self = s;
  return MR_OK;
}
static int source_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return mr_schema_struct(give) && mr_schema_field(give, "id", "l", true) &&
                 mr_schema_field(give, "_position", "L", true)
             ? MR_OK
             : MR_FATAL;
}
static int source_start(void *self, struct mr_error *err)
{
  struct source *s = self;
  struct mr_position at, zero = mr_position_u64(0);
  int st = s->host->lane(s->host->ctx, "l0", NULL, &s->lane, &at, err);
  if (st == MR_LANE_NEW || st == MR_LANE_LATER)
    st = s->host->lane(s->host->ctx, "l0", &zero, &s->lane, &at, err);
  s->at = mr_position_get(&at);
  return st;
}
static int source_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                       struct mr_batch *give, struct mr_error *err)
{
  struct source *s = self;
  struct ArrowSchema schema = {0};
  struct mr_column c[2];
  uint64_t to = MIN(s->at + (uint64_t)max_rows, ROWS);
  if (s->at >= ROWS)
    return MR_END;
  g_assert_cmpint(source_schema(s, &schema, err), ==, MR_OK);
  for (int j = 0; j < 2; j++)
    g_assert_true(mr_column_init(&c[j], schema.children[j]));
  for (uint64_t r = s->at; r < to; r++)
    for (int j = 0; j < 2; j++)
      g_assert_true(mr_column_int(&c[j], (int64_t)r));
  give->lane = s->lane;
  give->upto = mr_position_u64(to);
  g_assert_true(mr_rows_finish(c, 2, (int64_t)(to - s->at), &give->rows));
  mr_schema_release(&schema);
  s->at = to;
  return MR_OK;
}
static int source_seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  ((struct source *)self)->at = mr_position_get(p);
  return MR_OK;
}
static const struct mr_source source_vt = {.size = sizeof source_vt,
                                           .open = source_open,
                                           .schema = source_schema,
                                           .start = source_start,
                                           .read = source_read,
                                           .seek = source_seek,
                                           .close = g_free};
static const struct mr_plugin source_plugin = {
    .abi = MR_ABI, .size = sizeof source_plugin, .name = "source", .source = &source_vt};

/* ---- a sink that copies nothing: it reads what was written when it is flushed or committed */

struct sink {
  struct target *t;
  const struct mr_host *host;
  GPtrArray *staged;  /* const struct mr_batch *, since the last flush */
  GPtrArray *flushed; /* accepted by the target */
};
static int sink_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct sink *s = g_new0(struct sink, 1);
  s->t = ((const struct conf *)o->conf)->t;
  s->host = o->host;
  s->staged = g_ptr_array_new();
  s->flushed = g_ptr_array_new();
  *self = s;
  return MR_OK;
}
static void forget(struct sink *s)
{
  g_ptr_array_set_size(s->staged, 0);
  g_ptr_array_set_size(s->flushed, 0);
}
static int sink_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  forget(self);
  return MR_OK;
}
static int64_t id_of(const struct mr_batch *b, int64_t row)
{
  struct mr_view v;
  mr_view_column(&v, b->schema, &b->rows, 0);
  return mr_view_int(&v, row);
}
static bool is_reported(const struct sink *s, int64_t id)
{
  return s->t->reports && id % 10 == 3;
}
static int sink_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sink *s = self;
  if (s->t->late && s->t->calls++ == 0) {
    err->unit_lost = true;
    return mr_fail_code(err, MR_REJECT, "23514", "a row of an earlier write");
  }
  for (int64_t i = 0; i < b->rows.length; i++) {
    struct mr_reject r = {
        .size = sizeof r, .batch = b, .row = i, .code = "22003", .msg = "does not fit"};
    if (is_reported(s, id_of(b, i)))
      s->host->reject(s->host->ctx, &r);
  }
  s->t->rows_written += (int)b->rows.length;
  g_ptr_array_add(s->staged, (void *)b);
  return MR_OK;
}
static bool is_poisoned(const struct sink *s)
{
  for (guint i = 0; i < s->staged->len; i++) {
    const struct mr_batch *b = s->staged->pdata[i];
    for (int64_t k = 0; k < b->rows.length; k++)
      if (id_of(b, k) == s->t->poison)
        return true;
  }
  return false;
}
static void accept_staged(struct sink *s)
{
  for (guint i = 0; i < s->staged->len; i++)
    g_ptr_array_add(s->flushed, s->staged->pdata[i]);
  g_ptr_array_set_size(s->staged, 0);
}
static int sink_flush(void *self, struct mr_error *err)
{
  struct sink *s = self;
  if (s->t->flush_breaks && s->t->flushes++ == 0) {
    err->retry_ms = 1;
    return mr_fail(err, MR_RETRY, "not now");
  }
  if (is_poisoned(s)) {
    g_ptr_array_set_size(s->staged, 0);
    return mr_fail_code(err, MR_REJECT, "23514", "some row is bad");
  }
  accept_staged(s);
  return MR_OK;
}
static int sink_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sink *s = self;
  if (is_poisoned(s))
    return mr_fail_code(err, MR_REJECT, "23514", "some row is bad");
  accept_staged(s);
  for (guint i = 0; i < s->flushed->len; i++) {
    const struct mr_batch *b = s->flushed->pdata[i];
    for (int64_t k = 0; k < b->rows.length; k++)
      if (!is_reported(s, id_of(b, k)))
        s->t->landed[id_of(b, k)]++;
  }
  forget(s);
  return MR_OK;
}
static int sink_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  is_poisoned(self); /* until it returns everything can be read */
  forget(self);
  return MR_OK;
}
static void sink_close(void *self)
{
  struct sink *s = self;
  g_ptr_array_unref(s->staged);
  g_ptr_array_unref(s->flushed);
  g_free(s);
}
static const struct mr_sink sink_vt = {.size = sizeof sink_vt,
                                       .delivery = MR_PLAIN,
                                       .open = sink_open,
                                       .begin = sink_begin,
                                       .write = sink_write,
                                       .flush = sink_flush,
                                       .commit = sink_commit,
                                       .abort = sink_abort,
                                       .close = sink_close};
static const struct mr_plugin sink_plugin = {
    .abi = MR_ABI, .size = sizeof sink_plugin, .name = "sink", .sink = &sink_vt};

/* ---- dead letters */

static int letters_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  *self = ((const struct conf *)o->conf)->t;
  return MR_OK;
}
static int letters_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct target *t = self;
  struct mr_view kind, at;
  int64_t n;
  mr_view_column(&kind, b->schema, &b->rows, mr_schema_find(b->schema, "kind"));
  mr_view_column(&at, b->schema, &b->rows, mr_schema_find(b->schema, "position"));
  for (int64_t i = 0; i < b->rows.length; i++) {
    if (*mr_view_bytes(&kind, i, &n) != 'l')
      continue;
    const char *p = mr_view_bytes(&at, i, &n);
    g_autofree char *text = g_strndup(p, (gsize)n);
    t->letters[atoi(text)]++;
  }
  return MR_OK;
}
static int letters_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  return MR_OK;
}
static void letters_close(void *self)
{
}
static const struct mr_sink letters_vt = {.size = sizeof letters_vt,
                                          .delivery = MR_PLAIN,
                                          .open = letters_open,
                                          .write = letters_write,
                                          .commit = letters_commit,
                                          .close = letters_close};
static const struct mr_plugin letters_plugin = {
    .abi = MR_ABI, .size = sizeof letters_plugin, .name = "letters", .sink = &letters_vt};

/* ---- the tests */

static void run(struct target *t)
{
  g_autofree char *dir = g_dir_make_tmp("millrace-test-XXXXXX", NULL), *why = NULL;
  struct conf conf = {t};
  struct mr_error err = MR_ERROR_INIT;
  char *from_src[] = {"src", NULL};
  const char *where;
  struct mr_stage_spec source = {.kind = MR_STAGE_SOURCE,
                                 .name = "src",
                                 .plugin = &source_plugin,
                                 .conf = &conf,
                                 .parallel = 1};
  struct mr_stage_spec sink = {.kind = MR_STAGE_SINK,
                               .name = "a",
                               .plugin = &sink_plugin,
                               .conf = &conf,
                               .input = from_src,
                               .parallel = 1};
  struct mr_stage_spec letters = {.kind = MR_STAGE_DEAD_LETTER,
                                  .name = "dead_letter",
                                  .plugin = &letters_plugin,
                                  .conf = &conf,
                                  .parallel = 1};
  struct mr_spec spec = {.name = "unit",
                         .stages = g_ptr_array_new(),
                         .lookups = g_ptr_array_new(),
                         .dead_letter = &letters,
                         .settings = {.checkpoint_ms = 20,
                                      .batch_rows = BATCH,
                                      .batch_bytes = 1 << 20,
                                      .linger_ms = 1,
                                      .memory = 1 << 20,
                                      .shutdown_ms = 30000}};
  g_ptr_array_add(spec.stages, &source);
  g_ptr_array_add(spec.stages, &sink);
  struct mr_store *store = mr_store_sqlite_new(dir, "unit", &why);
  g_assert_nonnull(store);
  struct mr_pipeline_options o = {.os = mr_os_real(), .store = store, .once = true};
  struct mr_pipeline *p = mr_pipeline_new(&spec, &o, &err, &where);
  g_assert_nonnull(p);
  bool unreachable;
  if (mr_pipeline_run(p) < 0)
    g_error("%s", mr_pipeline_failure(p, &unreachable));
  g_assert_cmpint(mr_pipeline_memory(p), ==, 0);
  mr_pipeline_free(p);
  store->free(store);
  g_ptr_array_unref(spec.stages);
  g_ptr_array_unref(spec.lookups);
  g_autofree char *rm = g_strdup_printf("rm -r '%s'", dir);
  g_assert_cmpint(system(rm), ==, 0);
}

/* Each row landed once, or is one letter. */
static void check(const struct target *t)
{
  for (int i = 0; i < ROWS; i++) {
    int dead = i == t->poison || (t->reports && i % 10 == 3);
    if (t->landed[i] != !dead)
      g_error("row %d landed %d times", i, t->landed[i]);
    if (t->letters[i] != dead)
      g_error("row %d has %d letters", i, t->letters[i]);
  }
}

static void test_batches_stay(void)
{
  struct target t = {.poison = -1};
  run(&t);
  check(&t);
}

static void test_batches_stay_in_bisecting(void)
{
  struct target t = {.poison = 157, .flush_breaks = true};
  run(&t);
  check(&t);
  g_assert_cmpint(t.flushes, >, 1);
}

/* write reports rows, flush refuses another one of the slice: it is written in halves, and the rows
 * are reported again. */
static void test_one_letter_a_row(void)
{
  struct target t = {.poison = 57, .late = true, .reports = true};
  run(&t);
  check(&t);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/unit/batches-stay", test_batches_stay);
  g_test_add_func("/unit/batches-stay-in-bisecting", test_batches_stay_in_bisecting);
  g_test_add_func("/unit/one-letter-a-row", test_one_letter_a_row);
  return g_test_run();
}
