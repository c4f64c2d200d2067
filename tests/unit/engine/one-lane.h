/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of a sink's side of the engine: a pipeline of one source with one lane, whose row i has
 * id i, a sink of the test's own, and dead letters; all of it real but the plugins. */
#ifndef ONE_LANE_H
#define ONE_LANE_H
#include "engine/engine.h"
#include "engine/pipeline.h"
#include <glib/gstdio.h>

#define ROWS 400
#define BATCH 40
#define TRICKLE 4

/* What the target holds, and what it does: each test's sink has its own behaviour. */
struct target {
  int landed[ROWS], letters[ROWS];
  int calls, flushes, commits;
  int64_t most_rows; /* of the largest unit that was committed */
  bool late;         /* the first write answers for an earlier one, without a row */
  bool reports;      /* write reports the rows whose id ends in 3 */
  int64_t poison;    /* a row that flush and commit refuse without saying which; -1: none */
  bool flush_breaks; /* the first flush has to be called again */
  bool lands;        /* idempotent: the first send arrives, though nobody hears of it */
  int breaks_after;  /* the connection is lost after so many rows of a unit; 0: never */
  bool trickles;     /* the source runs dry behind a few rows; a commit lasts for three such */
  _Atomic int given; /* how often it gave some; INT_MAX: all */
  struct mr_pipeline *p;
  _Atomic(GThread *) sink; /* the thread that writes */
};
struct conf {
  struct target *t;
};

/* ---- a source of one lane */

struct source {
  const struct mr_host *host;
  struct target *t;
  uint32_t lane;
  uint64_t at;
  bool dry;
};
static int source_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct source *s = g_new0(struct source, 1);
  s->host = o->host;
  s->t = ((const struct conf *)o->conf)->t;
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
  if (s->at >= ROWS) {
    s->t->given = INT_MAX;
    return MR_END;
  }
  if (s->t->trickles) {
    if ((s->dry = !s->dry))
      return g_usleep(1500), MR_IDLE; /* longer than linger: a barrier follows */
    to = MIN(s->at + TRICKLE, ROWS);
    s->t->given++;
  }
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

static inline int64_t id_of(const struct mr_batch *b, int64_t row)
{
  struct mr_view v;
  mr_view_column(&v, b->schema, &b->rows, 0);
  return mr_view_int(&v, row);
}

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

/* ---- one process */

/* Runs the pipeline to its end, or until it fails: then gives why, else NULL. */
static char *run_once(struct target *t, const struct mr_plugin *sink_plugin, struct mr_os *os,
                      const char *dir, enum mr_pending_word pending)
{
  g_autofree char *why = NULL;
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
                               .plugin = sink_plugin,
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
                         .settings = {.checkpoint_ms = t->trickles ? 60000 : 20,
                                      .batch_rows = BATCH,
                                      .batch_bytes = 1 << 20,
                                      .linger_ms = 1,
                                      .memory = 1 << 20,
                                      .shutdown_ms = 30000}};
  g_ptr_array_add(spec.stages, &source);
  g_ptr_array_add(spec.stages, &sink);
  struct mr_store *store = mr_store_sqlite_new(dir, "unit", &why);
  g_assert_nonnull(store);
  struct mr_pipeline_options o = {.os = os, .store = store, .once = true, .pending = pending};
  struct mr_pipeline *p = mr_pipeline_new(&spec, &o, &err, &where);
  g_assert_nonnull(p);
  t->p = p;
  bool unreachable;
  char *failure = NULL;
  if (mr_pipeline_run(p) < 0)
    failure = g_strdup(mr_pipeline_failure(p, &unreachable));
  if (!failure)
    g_assert_cmpint(mr_pipeline_memory(p), ==, 0);
  mr_pipeline_free(p);
  store->free(store);
  g_ptr_array_unref(spec.stages);
  g_ptr_array_unref(spec.lookups);
  return failure;
}

static inline char *new_state(void)
{
  char *dir = g_dir_make_tmp("millrace-test-XXXXXX", NULL);
  g_assert_nonnull(dir);
  return dir;
}

static inline void remove_state(char *take)
{
  g_autofree char *rm = g_strdup_printf("rm -r '%s'", take);
  g_assert_cmpint(system(rm), ==, 0);
  g_free(take);
}

#endif
