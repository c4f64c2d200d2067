/* SPDX-License-Identifier: Apache-2.0 */
/* The source's loop: reads, sends barriers when they are due, slows down when memory is spent,
 * begins anew when told to. */
#include "engine/engine.h"
#include "engine/lookup.h"

#define LOOKUP_WAIT_US 100000

static const struct mr_source *vt(const struct mr_stage *s)
{
  return s->spec->plugin->source;
}

/* ---- barriers */

static void inject(struct mr_stage *s, bool urgent)
{
  struct mr_message *m = mr_message_control(MR_MSG_BARRIER, ++s->src.injected);
  if (!m)
    g_error("out of memory");
  m->urgent = urgent;
  for (guint i = 0; i < s->src.lanes->len; i++) {
    const struct mr_lane *l = s->src.lanes->pdata[i];
    if (l->has_first && !l->gone && !mr_message_lane(m, l->id, &l->read))
      g_error("out of memory");
  }
  s->src.dirty = false;
  s->src.rows = s->src.bytes = 0;
  s->src.injected_us = mr_now_us(s->p->os);
  m->lettered = s->letters->len > 0;
  if (s->letters->len)
    mr_letters_flush(s, s->letters); /* before the barrier: a sink commits only what is covered */
  s->letters_kept = 0;
  mr_stage_send(s, m);
}

void mr_source_serve(struct mr_stage *s)
{
  struct mr_pipeline *p = s->p;
  mr_checkpoint_poll(p, mr_now_us(p->os));
  /* acquire: pairs with the release in mr_checkpoint_force */
  uint64_t wanted = atomic_load_explicit(&p->barrier_wanted, memory_order_acquire);
  if (s->src.injected >= wanted)
    return;
  bool urgent = atomic_exchange_explicit(&p->urgent, false, memory_order_relaxed);
  while (s->src.injected < wanted)
    inject(s, urgent);
  if (urgent && atomic_load_explicit(&p->sources_left, memory_order_relaxed) > 1)
    atomic_store_explicit(&p->urgent, true, memory_order_relaxed);
}

/* A barrier of this source's own accord. */
static void inject_now(struct mr_stage *s, bool urgent)
{
  struct mr_pipeline *p = s->p;
  uint64_t n = s->src.injected;
  atomic_compare_exchange_strong_explicit(&p->barrier_wanted, &n, n + 1, memory_order_acq_rel,
                                          memory_order_acquire);
  if (urgent)
    atomic_store_explicit(&p->urgent, true, memory_order_relaxed);
  mr_source_serve(s);
}

static void barrier_by_need(struct mr_stage *s, bool idle)
{
  const struct mr_settings *set = &s->p->spec->settings;
  struct mr_source_state *src = &s->src;
  if (!src->dirty)
    return;
  bool first = !src->injected_us;
  int64_t limit = mr_checkpoint_rows(s->p);
  bool full = (set->checkpoint_bytes && src->bytes >= set->checkpoint_bytes) ||
              (set->checkpoint_rows && src->rows >= set->checkpoint_rows) ||
              (limit && src->rows >= limit);
  bool quiet = idle && mr_now_us(s->p->os) - src->injected_us >= set->linger_ms * 1000;
  if (first || full || quiet)
    inject_now(s, false);
}

/* ---- beginning anew */

static bool seek_all(struct mr_stage *s)
{
  struct mr_error err = MR_ERROR_INIT;
  for (guint i = 0; i < s->src.lanes->len; i++) {
    struct mr_lane *l = s->src.lanes->pdata[i];
    struct mr_position at;
    if (!l->has_first || l->gone || !mr_checkpoint_live(s->p, l, &at))
      continue;
    int st = vt(s)->seek ? vt(s)->seek(s->self, l->id, &at, &err)
                         : mr_fail(&err, MR_FATAL, "the source cannot read again");
    for (int tries = 1; st == MR_RETRY && mr_stage_backoff(s, tries, &err); tries++) {
      mr_error_clear(&err);
      st = vt(s)->seek(s->self, l->id, &at, &err);
    }
    if (st < 0) {
      if (st != MR_RETRY)
        mr_pipeline_fail(s->p, s, st, &err);
      return false;
    }
    l->read = at;
    memset(&l->cut, 0, sizeof l->cut);
  }
  s->src.cutting = true;
  return true;
}

static bool begin_again(struct mr_stage *s)
{
  uint64_t attempt = atomic_load_explicit(&s->p->attempt, memory_order_acquire);
  if (attempt == s->attempt)
    return true;
  if (!mr_lanes_give_up(s) || !seek_all(s))
    return false;
  struct mr_message *m = mr_message_control(MR_MSG_ATTEMPT, attempt);
  if (!m)
    g_error("out of memory");
  for (guint i = 0; i < s->src.lanes->len; i++) {
    const struct mr_lane *l = s->src.lanes->pdata[i];
    if (l->has_first && !l->gone)
      mr_message_lane(m, l->id, &l->read);
  }
  s->attempt = attempt;
  s->src.dirty = false;
  s->src.rows = s->src.bytes = 0;
  return mr_stage_send(s, m);
}

/* ---- cuts: a batch must not straddle the position of a sink that is ahead */

struct next_cut {
  const struct mr_lane *l;
  bool any;
  struct mr_position at;
};
static void each_cut(void *out, struct mr_stage *sink, struct mr_sink_lane *sl)
{
  struct next_cut *c = out;
  if (!sl || mr_position_cmp(&sl->stored, &c->l->read) <= 0)
    return;
  if (!c->any || mr_position_cmp(&sl->stored, &c->at) < 0)
    c->at = sl->stored;
  c->any = true;
}

static void set_cuts(struct mr_stage *s)
{
  if (!s->src.cutting)
    return;
  s->src.cutting = false;
  for (guint i = 0; i < s->src.lanes->len; i++) {
    struct mr_lane *l = s->src.lanes->pdata[i];
    struct next_cut c = {.l = l};
    if (!l->has_first || l->gone)
      continue;
    pthread_mutex_lock(&s->p->lock);
    mr_lanes_each(s->p, l, each_cut, &c);
    pthread_mutex_unlock(&s->p->lock);
    if (!c.any)
      continue;
    s->src.cutting = true; /* there is something to look at again */
    if (l->cut.len && !mr_position_cmp(&l->cut, &c.at))
      continue;
    l->cut = c.at;
    if (vt(s)->cut)
      vt(s)->cut(s->self, l->id, &c.at);
  }
}

/* ---- acknowledgement */

static void acknowledge(struct mr_stage *s)
{
  if (!vt(s)->ack)
    return;
  struct mr_error err = MR_ERROR_INIT;
  g_autofree struct mr_mark *marks = g_new0(struct mr_mark, s->src.lanes->len + 1);
  struct mr_unit u = {.size = sizeof u,
                      .mark = marks,
                      .pipeline = s->p->spec->name,
                      .run = s->p->run,
                      .label = s->p->store_name};
  for (guint i = 0; i < s->src.lanes->len; i++) {
    struct mr_lane *l = s->src.lanes->pdata[i];
    struct mr_position done;
    if (!l->has_first || l->gone || !mr_checkpoint_done(s->p, l, &done) ||
        mr_position_cmp(&done, &l->acked) <= 0)
      continue;
    marks[u.n++] = (struct mr_mark){
        .source = s->spec->name, .name = l->name, .lane = l->id, .from = l->acked, .upto = done};
  }
  if (!u.n || vt(s)->ack(s->self, &u, &err) < 0)
    return; /* for lag tools: it is said again next time */
  for (uint32_t i = 0; i < u.n; i++)
    mr_lane_table_at(&s->p->lanes, marks[i].lane)->acked = marks[i].upto;
}

/* ---- reading */

static bool memory_spent(struct mr_stage *s)
{
  struct mr_budget *b = &s->p->budget;
  return atomic_load_explicit(&b->used, memory_order_relaxed) >= b->limit;
}

/* Waits while memory is spent. Sinks are told once to make durable what they hold. */
static void wait_for_memory(struct mr_stage *s)
{
  uint32_t seen = mr_event_seen(&s->event);
  int64_t t = mr_now_us(s->p->os);
  if (!s->src.pressed)
    inject_now(s, true);
  s->src.pressed = true;
  if (memory_spent(s) && !mr_stopping(s->p))
    mr_stage_wait(s, seen, 50000);
  atomic_fetch_add_explicit(&s->stall_us, mr_now_us(s->p->os) - t, memory_order_relaxed);
}

static bool new_shape(struct mr_stage *s)
{
  struct mr_shape *shape;
  if (!mr_stage_shape(s, &shape))
    return false;
  if (!shape)
    return true;
  bool first = !s->out;
  mr_shape_unref(s->out);
  s->out = shape;
  if (!first)
    inject_now(s, true);
  struct mr_message *m = mr_message_control(MR_MSG_SHAPE, 0);
  if (!m)
    g_error("out of memory");
  m->shape = mr_shape_ref(shape);
  return mr_stage_send(s, m);
}

static bool send_rows(struct mr_stage *s, struct mr_batch *b)
{
  struct mr_pipeline *p = s->p;
  struct mr_lane *l = mr_lane_table_at(&p->lanes, b->lane);
  if (!l || !s->out) {
    struct mr_error err = MR_ERROR_INIT;
    mr_array_release(&b->rows);
    mr_fail(&err, MR_FATAL, "plugin `%s` gave a batch of a lane or a schema it never named",
            s->spec->plugin->name);
    mr_pipeline_fail(p, s, MR_FATAL, &err);
    return false;
  }
  if (l->gone) {
    mr_array_release(&b->rows);
    return true;
  }
  if (s->src.to_found->len && !mr_lanes_found(s)) {
    mr_array_release(&b->rows);
    return false;
  }
  b->id = ++s->next_batch << 8 | s->index;
  b->schema = &s->out->schema;
  int64_t event_us = mr_event_time(s, l, b);
  struct mr_position from = l->read;
  l->read = b->upto;
  int64_t rows = b->rows.length;
  struct mr_message *m = mr_message_batch(&p->budget, s->out, b);
  if (!m)
    g_error("out of memory");
  s->src.dirty = true;
  s->src.pressed = false;
  s->src.rows += rows;
  s->src.bytes += m->bytes;
  atomic_fetch_add_explicit(&s->rows_in, rows, memory_order_relaxed);
  m->since = (struct mr_since){mr_now_us(p->os), from, event_us};
  if (rows)
    atomic_store_explicit(&s->last_rows_us, m->since.read_us, memory_order_relaxed);
  return mr_stage_send(s, m);
}

/* How long read may wait, in ms: until the next barrier, shortly when rows wait for one. */
static int32_t patience(struct mr_stage *s)
{
  const struct mr_settings *set = &s->p->spec->settings;
  int64_t left =
      atomic_load_explicit(&s->p->next_barrier_us, memory_order_relaxed) - mr_now_us(s->p->os);
  int64_t ms = CLAMP(left / 1000, 1, 1000);
  if (s->src.dirty)
    ms = MIN(ms, MAX(set->linger_ms, 1));
  if (mr_stage_behind(s))
    ms = MIN(ms, 10);
  return (int32_t)ms;
}

/* One call of read. Gives what became of it; *tries counts failures in a row. */
static int read_once(struct mr_stage *s, int *tries)
{
  const struct mr_settings *set = &s->p->spec->settings;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_batch b = {.size = sizeof b, .watermark_us = INT64_MIN};
  int64_t t = mr_now_us(s->p->os);
  int64_t limit = mr_checkpoint_rows(s->p), rows = set->batch_rows;
  if (limit)
    rows = MIN(rows, MAX(limit - s->src.rows, 1));
  int st = vt(s)->read(s->self, rows, set->batch_bytes, patience(s), &b, &err);
  mr_stage_settle(s, st >= 0);
  if (st == MR_OK) {
    atomic_fetch_add_explicit(&s->busy_us, mr_now_us(s->p->os) - t, memory_order_relaxed);
    *tries = 0;
    return send_rows(s, &b) ? MR_OK : MR_FATAL;
  }
  if (st == MR_SCHEMA)
    return new_shape(s) ? MR_OK : MR_FATAL;
  if (st == MR_RETRY) {
    if (mr_stopping(s->p))
      return MR_IDLE;
    if (!*tries && *err.msg)
      mr_pipeline_log(s->p, s, MR_WARN, "%s", err.msg);
    mr_stage_status(s, MR_ST_WAITING, "%s", err.msg);
    mr_stage_backoff(s, ++*tries, &err);
    mr_stage_status(s, MR_ST_RUNNING, "%s", "");
    return MR_IDLE;
  }
  if (st < 0)
    mr_pipeline_fail(s->p, s, st, &err);
  return st;
}

static void loop(struct mr_stage *s)
{
  int tries = 0;
  for (;;) {
    mr_stage_flush(s);
    if (mr_stopping(s->p) || !begin_again(s))
      return;
    mr_source_serve(s);
    set_cuts(s);
    acknowledge(s);
    if (memory_spent(s)) {
      wait_for_memory(s);
      continue;
    }
    int st = read_once(s, &tries);
    if (st < 0 || (s->src.to_found->len && !mr_lanes_found(s)))
      return;
    if (st == MR_END) {
      /* what the sinks could not keep is read again: stay until all of it is durable */
      s->src.bounded = true;
      return;
    }
    if (st == MR_IDLE && s->spec->time_column)
      mr_event_time_settle(s);
    barrier_by_need(s, st == MR_IDLE);
  }
}

static bool all_durable(struct mr_stage *s)
{
  for (guint i = 0; i < s->src.lanes->len; i++) {
    struct mr_lane *l = s->src.lanes->pdata[i];
    struct mr_position done;
    if (!l->has_first || l->gone)
      continue;
    if (!mr_checkpoint_live(s->p, l, &done) || mr_position_cmp(&done, &l->read) < 0)
      return false;
  }
  return true;
}

/* After the last row: a barrier that commits, then until everything is durable, the stop, or a new
 * attempt (true). */
static bool settle(struct mr_stage *s)
{
  inject_now(s, true);
  while (!all_durable(s)) {
    uint32_t seen = mr_event_seen(&s->event);
    if (atomic_load_explicit(&s->p->attempt, memory_order_acquire) != s->attempt)
      return true;
    if (all_durable(s) || mr_stopping(s->p) == MR_ABORT)
      break;
    mr_source_serve(s);
    mr_stage_wait(s, seen, 100000);
  }
  return false;
}

/* Rows wait at their source until the tables they are joined with are loaded: nothing is to be
 * drained when the run is stopped before. false: the run is over. */
static bool await_lookups(struct mr_stage *s)
{
  struct mr_error err = MR_ERROR_INIT;
  int st = MR_OK;
  while (s->p->lookups && !mr_stopping(s->p)) {
    mr_error_clear(&err);
    st = mr_lookups_ready(s->p->lookups, LOOKUP_WAIT_US, &err);
    if (st != MR_RETRY)
      break;
    mr_stage_status(s, MR_ST_WAITING, "%s", err.msg);
    mr_source_serve(s);
  }
  if (st < 0 && st != MR_RETRY)
    mr_pipeline_fail(s->p, s, st, &err);
  return st >= 0 && !mr_stopping(s->p);
}

static void run(struct mr_stage *s)
{
  if (!await_lookups(s))
    return;
  if (!mr_stage_start(s) || !mr_lanes_found(s))
    return;
  if (!s->out && !new_shape(s))
    return;
  loop(s);
  while (s->src.bounded && mr_stopping(s->p) != MR_ABORT && settle(s)) {
    s->src.bounded = false;
    loop(s);
  }
  if (mr_stopping(s->p) != MR_ABORT) {
    if (!s->src.bounded)
      settle(s);
    acknowledge(s);
  }
}

void mr_source_run(void *stage)
{
  struct mr_stage *s = stage;
  struct mr_pipeline *p = s->p;
  run(s);
  atomic_fetch_sub_explicit(&p->sources_left, 1, memory_order_relaxed);
  mr_stage_end(s);
  p->os->wake(p->os, &p->done);
}
