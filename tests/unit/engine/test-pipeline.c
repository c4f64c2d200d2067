/* SPDX-License-Identifier: Apache-2.0 */
/* The engine with real threads (what the sanitizers look at): sources with several lanes, a
 * transform, parallel sinks that lose connections, refuse rows and leave commits unanswered. Every
 * row must arrive once, or be a dead letter. */
#include "engine/engine.h"
#include "engine/pipeline.h"
#include <glib/gstdio.h>
#include <stdio.h>

#define LANES 6
#define ROWS 3000

/* What the target holds; the sinks' instances share it. */
struct target {
  pthread_mutex_t lock;
  int landed[LANES][ROWS];
  struct {
    bool exists;
    uint64_t owner, position;
  } row[LANES];
  int letters[LANES][ROWS];
  int commits, unsure;
  int steals; /* how often another process takes a lane in the middle of a commit */
};
struct conf {
  struct target *t;
  bool shared; /* the source is a member of a group */
};

static int lane_number(const char *name)
{
  return atoi(name + 1);
}

/* ---- a source: lane l's row i has id l * 100000 + i */

struct source {
  const struct mr_host *host;
  uint32_t instance, instances;
  struct {
    uint32_t lane;
    uint64_t at, cut;
    int away; /* reads until the lane is assigned again; 0: it is ours */
  } l[LANES];
  int turn;
  bool shared;
};

static int source_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct source *s = g_new0(struct source, 1);
  s->host = o->host;
  s->instance = o->instance;
  s->instances = o->instances;
  s->shared = ((const struct conf *)o->conf)->shared;
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
static int source_take(struct source *s, int i, struct mr_error *err)
{
  char name[8];
  struct mr_position at, zero = mr_position_u64(0);
  snprintf(name, sizeof name, "l%d", i);
  int st = s->host->lane(s->host->ctx, name, NULL, &s->l[i].lane, &at, err);
  if (st == MR_LANE_NEW || st == MR_LANE_LATER)
    st = s->host->lane(s->host->ctx, name, &zero, &s->l[i].lane, &at, err);
  if (st < 0)
    return st;
  s->l[i].at = mr_position_get(&at);
  s->l[i].cut = UINT64_MAX;
  s->l[i].away = 0;
  return MR_OK;
}
static int source_start(void *self, struct mr_error *err)
{
  struct source *s = self;
  for (int i = 0; i < LANES; i++) {
    int st = (uint32_t)i % s->instances == s->instance ? source_take(s, i, err) : MR_OK;
    if (st < 0)
      return st;
  }
  return MR_OK;
}
static int source_lost(void *self, uint32_t lane, struct mr_error *err)
{
  struct source *s = self;
  for (int i = 0; s->shared && i < LANES; i++)
    if (s->l[i].lane == lane && (uint32_t)i % s->instances == s->instance)
      s->l[i].away = 5;
  return s->shared ? MR_OK : mr_fail(err, MR_FENCED, "no group");
}
static int source_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                       struct mr_batch *give, struct mr_error *err)
{
  struct source *s = self;
  struct ArrowSchema schema = {0};
  struct mr_column c[2];
  bool away = false;
  for (int k = 0; k < LANES; k++) {
    int i = s->turn++ % LANES;
    if ((uint32_t)i % s->instances != s->instance)
      continue;
    if (s->l[i].away && --s->l[i].away == 0 && source_take(s, i, err) < 0)
      return MR_RETRY;
    away |= s->l[i].away > 0;
    if (s->l[i].away || s->l[i].at >= ROWS)
      continue;
    uint64_t to = MIN(MIN(s->l[i].at + 97, ROWS), MAX(s->l[i].cut, s->l[i].at + 1));
    source_schema(s, &schema, err);
    for (int j = 0; j < 2; j++)
      mr_column_init(&c[j], schema.children[j]);
    for (uint64_t r = s->l[i].at; r < to; r++) {
      mr_column_int(&c[0], i * 100000 + (int64_t)r);
      mr_column_int(&c[1], (int64_t)r);
    }
    give->lane = s->l[i].lane;
    give->upto = mr_position_u64(to);
    mr_rows_finish(c, 2, (int64_t)(to - s->l[i].at), &give->rows);
    mr_schema_release(&schema);
    s->l[i].at = to;
    return MR_OK;
  }
  return away ? MR_IDLE : MR_END;
}
static int source_place(void *self, uint32_t lane, const struct mr_position *p, bool cut)
{
  struct source *s = self;
  for (int i = 0; i < LANES; i++) {
    if (s->l[i].lane != lane || s->l[i].away || (uint32_t)i % s->instances != s->instance)
      continue;
    if (!cut)
      s->l[i].at = mr_position_get(p);
    s->l[i].cut = cut ? mr_position_get(p) : UINT64_MAX;
  }
  return MR_OK;
}
static int source_cut(void *self, uint32_t lane, const struct mr_position *p)
{
  return source_place(self, lane, p, true);
}
static int source_seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  return source_place(self, lane, p, false);
}
static void close_free(void *self)
{
  g_free(self);
}

static const struct mr_source source_vt = {.size = sizeof source_vt,
                                           .open = source_open,
                                           .schema = source_schema,
                                           .start = source_start,
                                           .read = source_read,
                                           .cut = source_cut,
                                           .seek = source_seek,
                                           .close = close_free,
                                           .lost = source_lost};
static const struct mr_plugin source_plugin = {
    .abi = MR_ABI, .size = sizeof source_plugin, .name = "source", .source = &source_vt};

/* ---- a transform that passes rows */

struct transform {
  struct ArrowSchema in;
};
static int transform_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct transform *t = g_new0(struct transform, 1);
  *self = t;
  return mr_schema_copy(o->in, &t->in) ? MR_OK : MR_FATAL;
}
static int transform_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return mr_schema_copy(&((struct transform *)self)->in, give) ? MR_OK : MR_FATAL;
}
static int transform_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                           struct mr_error *err)
{
  mr_array_move(&take->rows, &give->rows);
  return MR_OK;
}
static void transform_close(void *self)
{
  mr_schema_release(&((struct transform *)self)->in);
  g_free(self);
}
static const struct mr_transform transform_vt = {.size = sizeof transform_vt,
                                                 .open = transform_open,
                                                 .schema = transform_schema,
                                                 .apply = transform_apply,
                                                 .close = transform_close};
static const struct mr_plugin transform_plugin = {.abi = MR_ABI,
                                                  .size = sizeof transform_plugin,
                                                  .name = "transform",
                                                  .transform = &transform_vt};

/* ---- a transactional sink with trouble */

struct sink {
  struct target *t;
  GArray *ids;
  int calls;
};
static int sink_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct sink *s = g_new0(struct sink, 1);
  s->t = ((const struct conf *)o->conf)->t;
  s->ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
  *self = s;
  return MR_OK;
}
static int sink_take(void *self, const char *source, const char *const *name, size_t n,
                     mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct target *t = ((struct sink *)self)->t;
  /* one connection: a unit that was open on it is gone */
  g_array_set_size(((struct sink *)self)->ids, 0);
  pthread_mutex_lock(&t->lock);
  for (size_t i = 0; i < n; i++) {
    int l = lane_number(name[i]);
    if (!t->row[l].exists)
      continue;
    struct mr_mark m = {.source = source,
                        .name = name[i],
                        .upto = mr_position_u64(t->row[l].position),
                        .owner = ++t->row[l].owner};
    mark(out, &m);
  }
  pthread_mutex_unlock(&t->lock);
  return MR_OK;
}
static int sink_found(void *self, const struct mr_mark *m, size_t n, struct mr_error *err)
{
  struct target *t = ((struct sink *)self)->t;
  pthread_mutex_lock(&t->lock);
  for (size_t i = 0; i < n; i++) {
    int l = lane_number(m[i].name);
    t->row[l].exists = true;
    t->row[l].owner = m[i].owner;
    t->row[l].position = mr_position_get(&m[i].upto);
  }
  pthread_mutex_unlock(&t->lock);
  return MR_OK;
}
static int sink_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
                       struct mr_error *err)
{
  struct sink *s = self;
  g_autofree const char **names = g_new0(const char *, u->n + 1);
  bool others = false;
  pthread_mutex_lock(&s->t->lock);
  for (uint32_t i = 0; i < u->n; i++) {
    names[i] = u->mark[i].name;
    others |= s->t->row[lane_number(names[i])].owner != u->mark[i].owner;
  }
  pthread_mutex_unlock(&s->t->lock);
  if (others)
    return mr_fail_code(err, MR_FENCED, "owner", "taken over");
  return sink_take(s, "src", names, u->n, mark, out, err);
}
static int sink_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  g_array_set_size(((struct sink *)self)->ids, 0);
  return MR_OK;
}
static int sink_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sink *s = self;
  struct mr_view v;
  if (++s->calls % 53 == 0) {
    err->unit_lost = true;
    err->retry_ms = 1;
    return mr_fail(err, MR_RETRY, "connection lost");
  }
  mr_view_column(&v, b->schema, &b->rows, 0);
  guint before = s->ids->len;
  for (int64_t i = 0; i < b->rows.length; i++) {
    int64_t id = mr_view_int(&v, i);
    if (id % 701 == 0) {
      g_array_set_size(s->ids, before);
      err->row = s->calls % 2 ? i : -1;
      return mr_fail_code(err, MR_REJECT, "23514", "a bad row");
    }
    g_array_append_val(s->ids, id);
  }
  return MR_OK;
}
static int sink_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sink *s = self;
  struct target *t = s->t;
  int st = MR_OK;
  pthread_mutex_lock(&t->lock);
  int n = ++t->commits;
  if (n % 3 == 1 && t->steals > 0 && u->n) {
    t->steals--;
    t->row[lane_number(u->mark[0].name)].owner++;
  }
  for (uint32_t i = 0; i < u->n; i++) {
    int l = lane_number(u->mark[i].name);
    if (t->row[l].owner != u->mark[i].owner ||
        t->row[l].position != mr_position_get(&u->mark[i].from))
      st = mr_fail(err, MR_FENCED, "missed");
  }
  bool lands = n % 11 != 5;
  for (uint32_t i = 0; st == MR_OK && lands && i < u->n; i++)
    t->row[lane_number(u->mark[i].name)].position = mr_position_get(&u->mark[i].upto);
  for (guint i = 0; st == MR_OK && lands && i < s->ids->len; i++) {
    int64_t id = g_array_index(s->ids, int64_t, i);
    t->landed[id / 100000][id % 100000]++;
  }
  if (st == MR_OK && (n % 11 == 5 || n % 13 == 7)) {
    t->unsure++;
    st = mr_fail(err, MR_UNSURE, "no answer");
  }
  pthread_mutex_unlock(&t->lock);
  return st;
}
static int sink_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  return MR_OK;
}
static void sink_close(void *self)
{
  g_array_unref(((struct sink *)self)->ids);
  g_free(self);
}
static const struct mr_sink sink_vt = {.size = sizeof sink_vt,
                                       .delivery = MR_TRANSACTIONAL,
                                       .open = sink_open,
                                       .take = sink_take,
                                       .found = sink_found,
                                       .begin = sink_begin,
                                       .write = sink_write,
                                       .commit = sink_commit,
                                       .abort = sink_abort,
                                       .reread = sink_reread,
                                       .close = sink_close};
static const struct mr_plugin sink_plugin = {
    .abi = MR_ABI, .size = sizeof sink_plugin, .name = "sink", .sink = &sink_vt};

/* ---- dead letters into the target */

static int letters_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  *self = ((const struct conf *)o->conf)->t;
  return MR_OK;
}
static const char *text(const struct mr_batch *b, const char *name, int64_t row, char *buf,
                        size_t size)
{
  struct mr_view v;
  int64_t n;
  mr_view_column(&v, b->schema, &b->rows, mr_schema_find(b->schema, name));
  const char *p = mr_view_null(&v, row) ? (n = 0, "") : mr_view_bytes(&v, row, &n);
  snprintf(buf, size, "%.*s", (int)n, p);
  return buf;
}
static int letters_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct target *t = self;
  char kind[10], lane[10], at[20];
  for (int64_t i = 0; i < b->rows.length; i++) {
    if (strcmp(text(b, "kind", i, kind, sizeof kind), "letter"))
      continue;
    int l = lane_number(text(b, "lane", i, lane, sizeof lane)),
        row = atoi(text(b, "position", i, at, sizeof at));
    t->letters[l][row]++;
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

/* ---- the test */

static void stage(struct mr_spec *spec, struct mr_stage_spec *st, enum mr_stage_kind kind,
                  const char *name, const struct mr_plugin *pl, struct conf *conf, char **input,
                  int parallel)
{
  *st = (struct mr_stage_spec){.kind = kind,
                               .name = (char *)name,
                               .plugin = pl,
                               .conf = conf,
                               .input = input,
                               .parallel = parallel};
  if (kind != MR_STAGE_DEAD_LETTER)
    g_ptr_array_add(spec->stages, st);
}

static void check_all(const struct target *t)
{
  for (int l = 0; l < LANES; l++)
    for (int r = 0; r < ROWS; r++) {
      bool bad = (l * 100000 + r) % 701 == 0;
      if (t->landed[l][r] != !bad)
        g_error("lane %d row %d landed %d times", l, r, t->landed[l][r]);
      if ((t->letters[l][r] > 0) != bad)
        g_error("lane %d row %d has %d letters", l, r, t->letters[l][r]);
    }
}

/* steals: how often another process takes a lane. shared: the source is told and goes on, else the
 * run must end. */
static void run_stolen(int sources, int transforms, int sinks, int steals, bool shared)
{
  g_autofree struct target *t = g_new0(struct target, 1);
  g_autofree char *dir = g_dir_make_tmp("millrace-test-XXXXXX", NULL), *why = NULL;
  struct conf conf = {t, shared};
  struct mr_error err = MR_ERROR_INIT;
  char *from_src[] = {"src", NULL}, *from_t[] = {"t", NULL};
  const char *where;
  struct mr_stage_spec specs[4];
  struct mr_spec spec = {.name = "threads",
                         .stages = g_ptr_array_new(),
                         .lookups = g_ptr_array_new(),
                         .dead_letter = &specs[3],
                         .settings = {.checkpoint_ms = 5,
                                      .batch_rows = 100,
                                      .batch_bytes = 1 << 20,
                                      .linger_ms = 1,
                                      .memory = 200000,
                                      .shutdown_ms = 30000}};
  pthread_mutex_init(&t->lock, NULL);
  t->steals = steals;
  stage(&spec, &specs[0], MR_STAGE_SOURCE, "src", &source_plugin, &conf, NULL, sources);
  stage(&spec, &specs[1], MR_STAGE_TRANSFORM, "t", &transform_plugin, &conf, from_src, transforms);
  stage(&spec, &specs[2], MR_STAGE_SINK, "a", &sink_plugin, &conf, from_t, sinks);
  stage(&spec, &specs[3], MR_STAGE_DEAD_LETTER, "dead_letter", &letters_plugin, &conf, NULL, 1);
  struct mr_store *store = mr_store_sqlite_new(dir, "threads", &why);
  g_assert_nonnull(store);
  struct mr_pipeline_options o = {.os = mr_os_real(), .store = store, .once = true};
  struct mr_pipeline *p = mr_pipeline_new(&spec, &o, &err, &where);
  g_assert_nonnull(p);
  int st = mr_pipeline_run(p);
  bool unreachable, ends = steals && !shared;
  const char *failure = mr_pipeline_failure(p, &unreachable);
  if (ends)
    g_assert_true(st == MR_FENCED && strstr(failure, "a: taken over"));
  else if (st < 0)
    g_error("%s", failure);
  if (!ends)
    g_assert_cmpint(mr_pipeline_memory(p), ==, 0);
  mr_pipeline_free(p);
  store->free(store);
  if (!ends)
    check_all(t);
  g_assert_cmpint(t->commits, >, 0);
  g_assert_true(!steals || t->steals < steals);
  g_ptr_array_unref(spec.stages);
  g_ptr_array_unref(spec.lookups);
  g_autofree char *rm = g_strdup_printf("rm -r '%s'", dir);
  g_assert_cmpint(system(rm), ==, 0);
}

static void run(int sources, int transforms, int sinks)
{
  run_stolen(sources, transforms, sinks, 0, false);
}

static void test_lanes_are_taken(void)
{
  run_stolen(1, 1, 1, 12, true);
}
static void test_lanes_are_taken_in_parallel(void)
{
  run_stolen(2, 2, 2, 12, true);
}
static void test_a_lane_is_taken_without_a_group(void)
{
  run_stolen(1, 1, 1, 1, false);
}

static void test_straight(void)
{
  run(1, 1, 1);
}
static void test_parallel_sinks(void)
{
  run(1, 1, 3);
}
static void test_everything_parallel(void)
{
  run(2, 3, 2);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/pipeline/straight", test_straight);
  g_test_add_func("/pipeline/parallel-sinks", test_parallel_sinks);
  g_test_add_func("/pipeline/everything-parallel", test_everything_parallel);
  g_test_add_func("/pipeline/lanes-are-taken", test_lanes_are_taken);
  g_test_add_func("/pipeline/lanes-are-taken-in-parallel", test_lanes_are_taken_in_parallel);
  g_test_add_func("/pipeline/a-lane-is-taken-without-a-group",
                  test_a_lane_is_taken_without_a_group);
  return g_test_run();
}
