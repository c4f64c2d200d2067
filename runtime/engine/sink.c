/* SPDX-License-Identifier: Apache-2.0 */
/* A sink's loop: gathers batches into a unit, commits it at barriers, skips what it has already. */
#include "engine/engine.h"
#include "data/array.h"
#include "data/types.h"
#include <stdio.h>

/* A unit takes at most this share of settings.memory before the sink asks for a barrier. */
#define UNIT_MEMORY_SHARE 4

static const struct mr_sink *vt(const struct mr_stage *s)
{
  return mr_stage_sink(s->spec);
}

/* Parallel instances count for themselves: each has one label that its predecessor may have left.
 */
static char *label_counter(const struct mr_stage *s)
{
  return s->instance ? g_strdup_printf("%s/%u", s->spec->name, s->instance)
                     : g_strdup(s->spec->name);
}

/* Does the name stand in a label as it is? Labels are [a-z0-9_]{1,64}. */
static bool fits(const char *name, size_t room)
{
  return strlen(name) <= room &&
         strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

char *mr_label_text(const char *pipeline, const char *counter, uint64_t n)
{
  if (fits(pipeline, 24) && fits(counter, 18))
    return g_strdup_printf("%s_%s_%lu", pipeline, counter, (unsigned long)n);
  g_autofree char *both = g_strdup_printf("%s/%s", pipeline, counter);
  g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, both, -1);
  char *l = g_strdup_printf("%.17s_%.12s_%.12s_%lu", pipeline, counter, sum, (unsigned long)n);
  for (char *c = l; *c; c++)
    *c = g_ascii_isalnum(*c) ? g_ascii_tolower(*c) : '_';
  return l;
}

static char *label_text(const struct mr_stage *s, uint64_t n)
{
  g_autofree char *counter = label_counter(s);
  return mr_label_text(s->p->spec->name, counter, n);
}

/* Asks the store for the next number until it answers. As mr_label_next. */
static int ask_number(struct mr_stage *s, uint64_t *ret)
{
  struct mr_store *store = s->p->store;
  struct mr_error err = MR_ERROR_INIT;
  g_autofree char *counter = label_counter(s);
  int st, tries = 1;
  do {
    mr_error_clear(&err);
    st = store->number(store, counter, ret, &err);
  } while (st == MR_RETRY && mr_stage_again(s, &tries, &err));
  if (st == MR_RETRY)
    return MR_COMMIT_STOPPED;
  if (st < 0)
    mr_pipeline_fail(s->p, s, st, &err);
  return st;
}

int mr_label_next(struct mr_stage *s)
{
  bool named = vt(s)->delivery == MR_TWO_PHASE || vt(s)->delivery == MR_IDEMPOTENT;
  int st = MR_OK;
  if (named)
    st = ask_number(s, &s->snk.label_number);
  else
    s->snk.label_number++;
  if (st)
    return st;
  g_free(s->snk.label);
  s->snk.label = label_text(s, s->snk.label_number);
  s->snk.now = (struct mr_unit){.size = sizeof s->snk.now,
                                .run = s->p->run,
                                .pipeline = s->p->spec->name,
                                .sink = s->spec->name,
                                .label = s->snk.label};
  return MR_COMMIT_DONE;
}

/* ---- batches */

void mr_sink_adrift(struct mr_stage *s)
{
  mr_unit_clear(s, false);
  s->snk.adrift = true;
  mr_checkpoint_again(s->p);
}

/* Does the unit hold its share of the memory, or what the target takes at once? */
static bool is_full(const struct mr_stage *s)
{
  const struct mr_sink *v = vt(s);
  return s->snk.unit_bytes > s->p->budget.limit / UNIT_MEMORY_SHARE ||
         (MR_HAS(v, unit_rows) && s->snk.unit_rows >= v->unit_rows) ||
         (MR_HAS(v, unit_bytes) && s->snk.unit_bytes >= v->unit_bytes);
}

static bool on_batch(struct mr_stage *s, struct mr_message *m)
{
  struct mr_sink_lane *sl = mr_sink_lane(s, m->batch.lane);
  if (s->snk.adrift || !sl || !sl->mine) {
    mr_message_unref(m);
    return true;
  }
  struct mr_position start = sl->at;
  if (mr_position_cmp(&m->batch.upto, &sl->at) > 0)
    sl->at = m->batch.upto;
  if (mr_position_cmp(&m->batch.upto, &sl->stored) <= 0) { /* this sink is ahead */
    mr_message_unref(m);
    return true;
  }
  if (mr_position_cmp(&start, &sl->stored) <
      0) { /* straddles the stored position: read it again, with a cut there */
    mr_message_unref(m);
    mr_sink_adrift(s);
    return true;
  }
  struct mr_error err = MR_ERROR_INIT;
  int64_t t = mr_now_us(s->p->os);
  atomic_fetch_add_explicit(&s->rows_in, m->batch.rows.length, memory_order_relaxed);
  if (s->when && mr_when_apply(s->when, s, &m, &err) < 0) {
    mr_message_unref(m);
    mr_pipeline_fail(s->p, s, MR_FATAL, &err);
    return false;
  }
  sl->rows += m->batch.rows.length;
  mr_trace_masks(s, sl, &start);
  mr_trace_batch(s, "taken", m);
  int st = MR_COMMIT_DONE;
  if (m->batch.rows.length)
    st = mr_unit_add(s, m);
  else
    mr_message_unref(m);
  atomic_fetch_add_explicit(&s->busy_us, mr_now_us(s->p->os) - t, memory_order_relaxed);
  if (!s->snk.forced && is_full(s)) {
    s->snk.forced = true;
    mr_checkpoint_force(s->p);
  }
  if (st == MR_COMMIT_AGAIN)
    mr_sink_adrift(s);
  return st == MR_COMMIT_DONE || st == MR_COMMIT_AGAIN;
}

/* ---- barriers */

/* Does another barrier wait, and may the unit go with that? A sink whose commits take longer than
 * barriers are apart would fall behind for ever, were each barrier one commit. */
static bool may_wait(const struct mr_stage *s)
{
  const struct mr_settings *set = &s->p->spec->settings;
  if ((set->checkpoint_rows && s->snk.unit_rows >= set->checkpoint_rows) ||
      (set->checkpoint_bytes && s->snk.unit_bytes >= set->checkpoint_bytes) || s->snk.forced)
    return false;
  for (guint i = 0; i < s->inputs->len; i++) {
    struct mr_channel *c = s->inputs->pdata[i];
    if (!c->ended && !atomic_load_explicit(&c->barriers, memory_order_relaxed))
      return false;
  }
  return true;
}

static bool commit_due(const struct mr_stage *s, const struct mr_message *m)
{
  int64_t every = s->spec->commit_ms * 1000, since = mr_now_us(s->p->os) - s->snk.last_commit_us;
  if (m->urgent || atomic_load_explicit(&s->snk.limit, memory_order_relaxed) ||
      !s->snk.committed_once || mr_stopping(s->p))
    return true;
  if (since < s->p->spec->settings.checkpoint_ms * 1000 && may_wait(s))
    return false;
  return since >= every - every / 10;
}

/* The lanes that made progress, from the stored position to the barrier's. */
static struct mr_mark *marks_of(struct mr_stage *s, const struct mr_message *m, uint32_t *ret_n)
{
  struct mr_mark *marks = g_new0(struct mr_mark, m->n_lanes + 1);
  uint32_t n = 0;
  g_ptr_array_set_size(s->snk.states, 0);
  for (size_t i = 0; i < m->n_lanes; i++) {
    struct mr_sink_lane *sl = mr_sink_lane(s, m->lanes[i].lane);
    if (!sl || !sl->mine || mr_position_cmp(&m->lanes[i].position, &sl->stored) <= 0)
      continue;
    marks[n++] = (struct mr_mark){.source = sl->lane->source->spec->name,
                                  .name = sl->lane->name,
                                  .lane = sl->lane->id,
                                  .from = sl->stored,
                                  .upto = m->lanes[i].position,
                                  .owner = sl->owner,
                                  .rows = (uint64_t)sl->rows,
                                  .run = mr_stage_run(s, sl->lane->id)};
    mr_state_mark(s, sl, &marks[n - 1]);
  }
  *ret_n = n;
  return marks;
}

/* Units that had to be cut grow again, by an eighth with each that is written. */
static void grow_units(struct mr_stage *s)
{
  int64_t limit = atomic_load_explicit(&s->snk.limit, memory_order_relaxed);
  if (!limit || !s->snk.unit_rows)
    return;
  limit += limit / 8 + 1;
  atomic_store_explicit(&s->snk.limit, limit < s->snk.whole ? limit : 0, memory_order_relaxed);
}

/* Rows that wait before the sink were read behind those of the unit. The next batch tells when. */
static void set_oldest(struct mr_stage *s)
{
  int64_t rows = 0, newest = 0;
  for (guint i = 0; i < s->inputs->len; i++) {
    struct mr_channel *c = s->inputs->pdata[i];
    rows += atomic_load_explicit(&c->rows, memory_order_relaxed);
  }
  for (guint i = 0; rows && i < s->snk.unit->len; i++)
    newest = MAX(newest, g_array_index(s->snk.unit, struct mr_kept, i).m->since.read_us);
  s->snk.guessed = newest != 0;
  atomic_store_explicit(&s->oldest_us, newest, memory_order_relaxed);
}

static void durable(struct mr_stage *s, const struct mr_unit *u)
{
  pthread_mutex_lock(&s->p->lock);
  for (uint32_t i = 0; i < u->n; i++) {
    struct mr_sink_lane *sl = mr_sink_lane(s, u->mark[i].lane);
    sl->stored = u->mark[i].upto;
    mr_state_durable(sl);
  }
  mr_sink_watch(s);
  pthread_mutex_unlock(&s->p->lock);
  atomic_fetch_add_explicit(&s->rows_out, s->snk.unit_rows, memory_order_relaxed);
  atomic_fetch_add_explicit(&s->bytes_out, s->snk.unit_bytes, memory_order_relaxed);
  set_oldest(s);
  if (s->snk.unit_rows)
    atomic_store_explicit(&s->last_rows_us, mr_now_us(s->p->os), memory_order_relaxed);
  s->snk.last_commit_us = mr_now_us(s->p->os);
  s->snk.committed_once = true;
  grow_units(s);
  mr_trace_durable(s, u);
  mr_unit_clear(s, true);
  mr_pipeline_wake(s->p);
}

/* 0, or what the loop does about it. */
static int commit(struct mr_stage *s, struct mr_mark *marks, uint32_t n)
{
  struct mr_error err = MR_ERROR_INIT;
  int st = MR_COMMIT_DONE;
  /* a unit without rows has no label and no token: it only moves the positions */
  if (!s->snk.begun)
    st = mr_unit_rewrite(s);
  while (!st) {
    struct mr_unit u = s->snk.now;
    u.mark = marks;
    u.n = n;
    st = mr_commit_unit(s, &u, &err);
    if (st == MR_COMMIT_DONE) {
      durable(s, &u);
      return mr_letters_mark(s, &u) ? MR_COMMIT_DONE : MR_COMMIT_STOPPED;
    }
    if (st == MR_COMMIT_REWRITE)
      st = mr_unit_rewrite(s);
  }
  return st;
}

/* A unit without rows for a sink whose positions live in the store. */
static int move_positions(struct mr_stage *s, struct mr_mark *marks, uint32_t n)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_unit u = s->snk.now;
  u.run = s->p->run;
  u.pipeline = s->p->spec->name;
  u.sink = s->spec->name;
  u.mark = marks;
  u.n = n;
  int st = mr_commit_positions(s, &u, NULL, &err);
  if (st)
    return st;
  durable(s, &u);
  return mr_letters_mark(s, &u) ? MR_COMMIT_DONE : MR_COMMIT_STOPPED;
}

static bool on_barrier(struct mr_stage *s, struct mr_message *m)
{
  if (s->snk.guessed && !s->snk.adrift && !s->snk.unit->len)
    set_oldest(s); /* what waited was dropped: the sink has it */
  s->snk.lettered |= m->lettered || s->snk.letters->len;
  enum mr_state_row saved = s->snk.adrift ? MR_STATE_APPLY : mr_state_gather(s, m);
  if (saved == MR_STATE_VOID)
    mr_sink_adrift(s);
  if (saved == MR_STATE_FAILED || s->snk.adrift || !commit_due(s, m)) {
    mr_message_unref(m);
    return saved != MR_STATE_FAILED;
  }
  uint32_t n;
  int st = mr_unit_purge(s) ? mr_unit_rewrite(s) : MR_COMMIT_DONE;
  g_autofree struct mr_mark *marks = marks_of(s, m, &n);
  mr_message_unref(m);
  bool empty = !s->snk.unit->len && !s->snk.letters->len && vt(s)->delivery != MR_TRANSACTIONAL;
  if (!st && n)
    st = empty ? move_positions(s, marks, n) : commit(s, marks, n);
  if (st == MR_COMMIT_AGAIN)
    mr_sink_adrift(s);
  return st == MR_COMMIT_DONE || st == MR_COMMIT_AGAIN;
}

/* ---- the rest */

static bool on_attempt(struct mr_stage *s, struct mr_message *m)
{
  mr_unit_clear(s, false);
  pthread_mutex_lock(&s->p->lock);
  for (size_t i = 0; i < m->n_lanes; i++) {
    struct mr_sink_lane *sl = mr_sink_lane(s, m->lanes[i].lane);
    if (sl)
      sl->at = m->lanes[i].position;
  }
  for (guint i = 0; i < s->snk.lanes->len; i++) {
    struct mr_sink_lane *sl = s->snk.lanes->pdata[i];
    sl->base = sl->stored;
  }
  pthread_mutex_unlock(&s->p->lock);
  s->snk.adrift = s->snk.paused;
  mr_message_unref(m);
  return true;
}

/* The unit has ended at the barrier before; DDL runs outside of units. */
static bool on_shape(struct mr_stage *s, struct mr_message *m)
{
  struct mr_error err = MR_ERROR_INIT;
  if (s->snk.paused) {
    mr_message_unref(m);
    return true;
  }
  if (s->in && mr_schema_equal(&s->in->schema, &m->shape->schema, NULL)) {
    mr_message_unref(m); /* the second of inputs that agree */
    return true;
  }
  struct mr_shape *in = mr_shape_ref(m->shape);
  mr_message_unref(m);
  /* the barrier before it was void when an attempt is on its way: so is the unit */
  if (s->snk.unit->len || s->snk.begun) {
    mr_unit_clear(s, false);
    s->snk.adrift = true;
    if (atomic_load_explicit(&s->p->attempt, memory_order_acquire) == s->attempt)
      mr_checkpoint_again(s->p);
  }
  bool first = !s->in, ok = true;
  if (first)
    ok = mr_stage_open(s, in) && mr_stage_start(s);
  int st = MR_OK, tries = 1;
  while (ok && !first) {
    mr_error_clear(&err);
    st = mr_stage_evolve(s, &in->schema, &err);
    if (st != MR_RETRY || !mr_stage_backoff(s, tries++, &err))
      break;
  }
  if (st < 0 && st != MR_RETRY)
    mr_pipeline_fail(s->p, s, st, &err);
  if (!first && st >= 0) {
    mr_shape_unref(s->in);
    s->in = mr_shape_ref(in);
    s->open.in = &s->in->schema;
  }
  mr_when_free(s->when);
  s->when = NULL;
  if (ok && s->spec->when && !(s->when = mr_when_new(s, &in->schema, &err))) {
    mr_pipeline_fail(s->p, s, MR_BADCONF, &err);
    ok = false;
  }
  mr_shape_unref(in);
  return ok && st >= 0;
}

/* The batch is of an input that was known before the others. */
static bool learn(struct mr_stage *s, const struct mr_message *batch)
{
  struct mr_message *m = mr_message_control(MR_MSG_SHAPE, 0);
  if (!m)
    g_error("out of memory");
  m->shape = mr_shape_ref(batch->shape);
  return on_shape(s, m);
}

static bool handle(struct mr_stage *s, struct mr_message *m)
{
  if (m->kind == MR_MSG_BATCH && !s->in && !learn(s, m)) {
    mr_message_unref(m);
    return false;
  }
  switch (m->kind) {
  case MR_MSG_BATCH: return on_batch(s, m);
  case MR_MSG_BARRIER: return on_barrier(s, m);
  case MR_MSG_ATTEMPT: return on_attempt(s, m);
  case MR_MSG_SHAPE: return on_shape(s, m);
  default: mr_message_unref(m); return false;
  }
}

/* Nothing more of this run goes to the sink: what it has is dropped, its positions stay. Messages
 * are still taken, so that the others get theirs. */
static bool set_aside(struct mr_stage *s)
{
  mr_unit_clear(s, false);
  s->snk.adrift = true;
  atomic_store_explicit(&s->snk.limit, 0, memory_order_relaxed);
  mr_pipeline_wake(s->p);
  return true;
}

void mr_sink_run(void *stage)
{
  struct mr_stage *s = stage;
  struct mr_pipeline *p = s->p;
  bool go = mr_stage_start(s);
  while (go && mr_stopping(p) != MR_ABORT) {
    uint32_t seen = mr_event_seen(&s->event);
    if (!mr_lanes_serve(s))
      break;
    struct mr_message *m = mr_stage_next(s);
    bool paused = s->snk.paused;
    if (m)
      go = handle(s, m) || (!paused && s->snk.paused && set_aside(s));
    else
      mr_stage_wait(s, seen, 500000);
  }
  if (s->opened)
    mr_unit_clear(s, false);
  if (!s->snk.paused)
    mr_stage_status(s, MR_ST_DONE, "%s", "");
  atomic_fetch_sub_explicit(&p->sinks_left, 1, memory_order_release);
  p->os->wake(p->os, &p->done);
}
