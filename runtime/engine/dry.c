/* SPDX-License-Identifier: Apache-2.0 */
/* The pipeline is built as for a run, but no thread is started: what a stage sends is handed to its
 * readers right away. */
#include "engine/dry.h"
#include <stdio.h>
#include "engine/engine.h"
#include "data/types.h"
#include "engine/lookup.h"

#define LOOKUP_WAIT_US 30000000

struct mr_dry {
  struct mr_pipeline *p;
  struct mr_dry_options o;
  guint upto; /* index of the spec; the number of specs: none */
  guint turn;
  bool looked;       /* lookups are loaded */
  GHashTable *ended; /* struct mr_stage *: sources without further rows */
};

static const struct mr_source *vt(const struct mr_stage *s)
{
  return s->spec->plugin->source;
}

/* ---- lanes: of this run alone */

static uint32_t lane_id(struct mr_stage *s, const char *name)
{
  struct mr_pipeline *p = s->p;
  for (uint32_t i = 0; i < mr_lane_table_len(&p->lanes); i++) {
    const struct mr_lane *l = mr_lane_table_at(&p->lanes, i);
    if (l->source == s && !strcmp(l->name, name))
      return l->id;
  }
  struct mr_lane *l = g_new0(struct mr_lane, 1);
  l->id = mr_lane_table_len(&p->lanes);
  l->source = s;
  l->name = g_strdup(name);
  mr_lane_table_add(&p->lanes, l);
  return l->id;
}

static int host_lanes(void *ctx, const char *const *names, size_t n, struct mr_error *err)
{
  return MR_OK;
}

static int host_lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
                     struct mr_position *ret_from, struct mr_error *err)
{
  if (!first)
    return MR_LANE_NEW;
  *ret = lane_id(ctx, name);
  *ret_from = *first;
  return MR_LANE_KNOWN;
}

static int host_lane_end(void *ctx, uint32_t lane, bool lost, int64_t wait_ms)
{
  return MR_OK;
}

/* ---- life */

static guint spec_index(const struct mr_spec *spec, const char *name)
{
  guint i = 0;
  while (i < spec->stages->len &&
         (!name || strcmp(((struct mr_stage_spec *)spec->stages->pdata[i])->name, name)))
    i++;
  return i;
}

static struct mr_stage *stage_of(struct mr_dry *d, const char *name)
{
  for (guint i = 0; i < d->p->stages->len; i++) {
    struct mr_stage *s = d->p->stages->pdata[i];
    if (!strcmp(s->spec->name, name))
      return s;
  }
  return NULL;
}

/* Do rows of the stage matter: is it the wanted one, or on the way to it? */
static bool is_wanted(const struct mr_dry *d, const struct mr_stage *s)
{
  guint n = d->p->spec->stages->len;
  return d->upto >= n || s->index == d->upto || d->p->reach[s->index * n + d->upto];
}

struct mr_dry *mr_dry_new(struct mr_spec *spec, const struct mr_dry_options *o,
                          struct mr_error *err)
{
  struct mr_dry *d = g_new0(struct mr_dry, 1);
  const char *stage = NULL;
  struct mr_pipeline_options po = {
      .os = mr_os_real(), .log = o->log, .ctx = o->ctx, .wants = o->wants, .dry = d};
  for (guint i = 0; i < spec->stages->len; i++)
    ((struct mr_stage_spec *)spec->stages->pdata[i])->parallel = 1;
  d->o = *o;
  d->upto = spec_index(spec, o->upto);
  d->ended = g_hash_table_new(NULL, NULL);
  d->p = mr_pipeline_new(spec, &po, err, &stage);
  if (!d->p) {
    g_autofree char *why = g_strdup(err->msg);
    if (stage)
      mr_fail(err, MR_BADCONF, "%s: %s", stage, why);
    mr_dry_free(d);
    return NULL;
  }
  d->p->once = true; /* a server that is not there is given up */
  for (guint i = 0; i < d->p->stages->len; i++) {
    struct mr_stage *s = d->p->stages->pdata[i];
    s->host.lanes = host_lanes;
    s->host.lane = host_lane;
    s->host.lane_end = host_lane_end;
  }
  return d;
}

void mr_dry_free(struct mr_dry *d)
{
  if (!d)
    return;
  if (d->p && d->p->lookups)
    mr_lookups_stop(d->p->lookups);
  mr_pipeline_free(d->p);
  g_hash_table_unref(d->ended);
  g_free(d);
}

const struct ArrowSchema *mr_dry_schema(struct mr_dry *d, const char *stage)
{
  const struct mr_stage *s = stage_of(d, stage);
  const struct mr_shape *shape = !s ? NULL : s->spec->kind == MR_STAGE_SINK ? s->in : s->out;
  return shape ? &shape->schema : NULL;
}

/* MR_OK, or the failure that a stage recorded. */
static int outcome(struct mr_dry *d, struct mr_error *err)
{
  struct mr_pipeline *p = d->p;
  if (!p->failed_text)
    return MR_OK;
  err->unreachable = p->failed_unreachable;
  return mr_fail(err, p->failed_status < 0 ? p->failed_status : MR_FATAL, "%s", p->failed_text);
}

int mr_dry_start(struct mr_dry *d, struct mr_error *err)
{
  struct mr_pipeline *p = d->p;
  if (p->lookups && mr_lookups_start(p->lookups, err) < 0)
    return MR_FATAL;
  for (guint i = 0; i < p->stages->len; i++) {
    struct mr_stage *s = p->stages->pdata[i];
    bool reads = s->spec->kind == MR_STAGE_SOURCE && d->o.read;
    if (!s->opened || !is_wanted(d, s) || !(reads || s->spec->kind == MR_STAGE_TRANSFORM))
      continue;
    if (!mr_stage_start(s))
      return outcome(d, err);
  }
  return MR_OK;
}

/* ---- rows on their way */

static void report_rejects(struct mr_dry *d, struct mr_stage *s)
{
  for (guint i = 0; i < s->letters->len; i++) {
    const struct mr_letter *l = s->letters->pdata[i];
    const struct mr_dry_reject r = {.stage = s->spec,
                                    .code = l->code,
                                    .message = l->message,
                                    .column = l->column,
                                    .row = l->row_json};
    if (d->o.reject)
      d->o.reject(d->o.ctx, &r);
  }
  g_ptr_array_set_size(s->letters, 0);
  s->letters_kept = 0;
}

static void report_rows(struct mr_dry *d, struct mr_stage *s, const struct mr_message *m)
{
  if (m->kind == MR_MSG_BATCH && m->batch.rows.length && d->o.rows)
    d->o.rows(d->o.ctx, s->spec, &m->batch);
}

/* A sink only says what would be written. */
static bool sink_gets(struct mr_dry *d, struct mr_stage *s, struct mr_message *m)
{
  struct mr_error err = MR_ERROR_INIT;
  int st = MR_OK;
  if (m->kind == MR_MSG_SHAPE) {
    mr_shape_unref(s->in);
    s->in = mr_shape_ref(m->shape);
    mr_when_free(s->when);
    s->when = s->spec->when ? mr_when_new(s, &m->shape->schema, &err) : NULL;
    if (s->spec->when && !s->when)
      st = MR_BADCONF;
  } else if (m->kind == MR_MSG_BATCH && s->when)
    st = mr_when_apply(s->when, s, &m, &err);
  if (st < 0)
    mr_pipeline_fail(d->p, s, st, &err);
  else
    report_rows(d, s, m);
  mr_message_unref(m);
  return st >= 0;
}

static bool stage_gets(struct mr_dry *d, struct mr_stage *s, struct mr_message *take)
{
  if (s->spec->kind == MR_STAGE_SINK)
    return sink_gets(d, s, take);
  bool ok = mr_transform_handle(s, take);
  report_rejects(d, s);
  return ok;
}

bool mr_dry_sent(struct mr_dry *d, struct mr_stage *s, struct mr_message *take)
{
  bool ok = true;
  report_rows(d, s, take);
  if (s->outputs->len > 1 && !mr_message_spread(take))
    g_error("out of memory");
  for (guint i = 0; ok && i < s->outputs->len; i++) {
    struct mr_fan *f = s->outputs->pdata[i];
    if (is_wanted(d, f->to[0]))
      ok = stage_gets(d, f->to[0], mr_message_ref(take));
  }
  mr_message_unref(take);
  return ok;
}

/* ---- rows from outside */

static bool new_shape(struct mr_dry *d, struct mr_stage *s, struct mr_shape *give)
{
  struct mr_message *m = mr_message_control(MR_MSG_SHAPE, 0);
  if (!m)
    g_error("out of memory");
  mr_shape_unref(s->out);
  s->out = give;
  m->shape = mr_shape_ref(give);
  return mr_dry_sent(d, s, m);
}

static bool set_schema(struct mr_dry *d, struct mr_stage *s, const struct ArrowSchema *schema)
{
  struct ArrowSchema copy;
  struct mr_shape *shape;
  if (s->out && mr_schema_equal(&s->out->schema, schema, NULL))
    return true;
  if (!mr_schema_copy(schema, &copy) || !(shape = mr_shape_new(&copy)))
    g_error("out of memory");
  return new_shape(d, s, shape);
}

/* Tables that a transform asked for when it was opened are there before its first row. */
static int await_lookups(struct mr_dry *d, struct mr_error *err)
{
  if (d->looked || !d->p->lookups)
    return MR_OK;
  d->looked = true;
  return mr_lookups_ready(d->p->lookups, LOOKUP_WAIT_US, err);
}

static int send_batch(struct mr_dry *d, struct mr_stage *s, struct mr_batch *b,
                      struct mr_error *err)
{
  int st = await_lookups(d, err);
  if (st < 0) {
    mr_array_release(&b->rows);
    return st;
  }
  b->id = ++s->next_batch << 8 | s->index;
  struct mr_message *m = mr_message_batch(&d->p->budget, s->out, b);
  if (!m)
    g_error("out of memory");
  mr_dry_sent(d, s, m);
  return outcome(d, err);
}

int mr_dry_give(struct mr_dry *d, const char *stage, const struct ArrowSchema *schema,
                struct ArrowArray *take, struct mr_error *err)
{
  struct mr_stage *s = stage_of(d, stage);
  struct mr_batch b = {.size = sizeof b, .watermark_us = INT64_MIN, .lane = MR_NO_LANE};
  mr_array_move(take, &b.rows);
  if (!s || s->spec->kind == MR_STAGE_SINK || !set_schema(d, s, schema)) {
    mr_array_release(&b.rows);
    int st = outcome(d, err);
    return st < 0 ? st : mr_fail(err, MR_BADCONF, "`%s` is no stage that gives rows", stage);
  }
  if (s->spec->kind == MR_STAGE_SOURCE)
    b.lane = lane_id(s, "given");
  return send_batch(d, s, &b, err);
}

static struct mr_stage *next_source(struct mr_dry *d)
{
  guint n = d->p->stages->len;
  for (guint k = 0; k < n; k++) {
    struct mr_stage *s = d->p->stages->pdata[(d->turn + k) % n];
    if (s->spec->kind != MR_STAGE_SOURCE || !is_wanted(d, s) || g_hash_table_contains(d->ended, s))
      continue;
    d->turn = (d->turn + k + 1) % n;
    return s;
  }
  return NULL;
}

/* The columns of a source that finds them in its data. */
static int learn_schema(struct mr_dry *d, struct mr_stage *s, struct mr_error *err)
{
  struct mr_shape *shape = NULL;
  if (mr_stage_shape(s, &shape) && shape)
    new_shape(d, s, shape);
  return outcome(d, err);
}

int mr_dry_read(struct mr_dry *d, int64_t max_rows, int32_t timeout_ms, struct mr_error *err)
{
  struct mr_stage *s = next_source(d);
  if (!s)
    return MR_END;
  struct mr_batch b = {.size = sizeof b, .watermark_us = INT64_MIN};
  int st = s->out ? MR_OK : learn_schema(d, s, err);
  if (st < 0)
    return st;
  st = vt(s)->read(s->self, max_rows, d->p->spec->settings.batch_bytes, timeout_ms, &b, err);
  mr_stage_settle(s, st >= 0);
  report_rejects(d, s);
  if (st == MR_OK)
    return send_batch(d, s, &b, err);
  if (st == MR_SCHEMA)
    return (st = learn_schema(d, s, err)) < 0 ? st : MR_IDLE;
  if (st == MR_END)
    g_hash_table_add(d->ended, s);
  if (st < 0 && st != MR_RETRY) {
    g_autofree char *why = g_strdup(err->msg);
    return mr_fail(err, st, "%s: %s", s->spec->name, why);
  }
  return MR_IDLE;
}
