/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"
#include "plug/plug.h"
#include <stdio.h>
#include <unistd.h>
#include "data/array.h"
#include "data/types.h"
#include "plug/check.h"

#define BACKOFF_FIRST_US 50000
#define BACKOFF_CAP_US 10000000
#define ONCE_PATIENCE_US \
  2000000 /* --once: a server that is away this long at start fails the run */

void mr_stage_status(struct mr_stage *s, enum mr_stage_status st, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  char *text = *fmt ? g_strdup_vprintf(fmt, ap) : NULL;
  va_end(ap);
  pthread_mutex_lock(&s->p->lock);
  char *old = s->status_text;
  s->status_text = text;
  if (text && *text) {
    g_free(s->last_error);
    s->last_error = g_strdup(text);
  }
  pthread_mutex_unlock(&s->p->lock);
  atomic_store_explicit(&s->status, st, memory_order_relaxed);
  g_free(old);
}

uint64_t mr_stage_run(const struct mr_stage *s, uint32_t lane)
{
  return s->p->run | (uint64_t)(lane & 0xfff) << 12 | (s->attempt & 0xfff);
}

/* ---- receiving */

static size_t open_inputs(const struct mr_stage *s, bool *ret_all_blocked)
{
  size_t n = 0;
  *ret_all_blocked = true;
  for (guint i = 0; i < s->inputs->len; i++) {
    const struct mr_channel *c = s->inputs->pdata[i];
    if (c->ended)
      continue;
    n++;
    if (!c->blocked)
      *ret_all_blocked = false;
  }
  return n;
}

static void unblock(struct mr_stage *s)
{
  for (guint i = 0; i < s->inputs->len; i++)
    ((struct mr_channel *)s->inputs->pdata[i])->blocked = false;
}

/* Takes a barrier, attempt or end of channel c into the alignment. Gives what has become complete,
 * or NULL. */
static struct mr_message *align(struct mr_stage *s, struct mr_channel *c, struct mr_message *m)
{
  bool all;
  if (m && s->pending && m->kind == MR_MSG_ATTEMPT &&
      (s->pending->kind == MR_MSG_BARRIER || s->pending->number < m->number)) {
    /* what is pending is void: its channels go on to the attempt that stands behind it */
    mr_message_unref(s->pending);
    s->pending = NULL;
    unblock(s);
  }
  if (m)
    c->blocked = true;
  if (m && !s->pending) {
    s->pending = mr_message_control((enum mr_message_kind)m->kind, m->number);
    if (!s->pending)
      g_error("out of memory");
  }
  if (m) {
    for (size_t i = 0; i < m->n_lanes; i++)
      mr_message_lane(s->pending, m->lanes[i].lane, &m->lanes[i].position);
    for (guint i = 0; m->saved && i < m->saved->len; i++)
      mr_message_save(s->pending, &g_array_index(m->saved, struct mr_saved, i));
    s->pending->urgent |= m->urgent;
    s->pending->lettered |= m->lettered;
    s->pending->number = MAX(s->pending->number, m->number);
    mr_message_unref(m);
  }
  if (!s->pending || !open_inputs(s, &all)) {
    m = s->pending; /* every input has ended: what was being aligned is complete */
    s->pending = NULL;
    return m;
  }
  if (!all)
    return NULL;
  m = s->pending;
  s->pending = NULL;
  unblock(s);
  if (m->kind == MR_MSG_ATTEMPT)
    s->attempt = m->number;
  return m;
}

/* What a popped message means for the stage: given back, aligned, or dropped because it belongs to
 * an attempt that is over. */
static struct mr_message *sort_in(struct mr_stage *s, struct mr_channel *c, struct mr_message *m)
{
  bool old = atomic_load_explicit(&s->p->attempt, memory_order_acquire) > s->attempt;
  switch (m->kind) {
  case MR_MSG_BATCH:
    if (!old)
      return m;
    mr_message_unref(m);
    return NULL;
  case MR_MSG_BARRIER:
    if (!old)
      return align(s, c, m);
    mr_message_unref(m);
    return NULL;
  case MR_MSG_ATTEMPT:
    /* inputs may begin different attempts; only the last one is of all of them */
    if (m->number >= atomic_load_explicit(&s->p->attempt, memory_order_acquire))
      return align(s, c, m);
    mr_message_unref(m);
    return NULL;
  case MR_MSG_END:
    c->ended = true;
    mr_message_unref(m);
    return align(s, c, NULL);
  default: return m;
  }
}

static bool all_ended(const struct mr_stage *s)
{
  bool blocked;
  return open_inputs(s, &blocked) == 0;
}

/* What belongs to an attempt that is over never becomes complete: where its counterpart was dropped
 * or never sent, its channels would wait for ever. */
static void drop_void(struct mr_stage *s)
{
  uint64_t attempt = atomic_load_explicit(&s->p->attempt, memory_order_acquire);
  const struct mr_message *m = s->pending;
  if (!m || attempt <= (m->kind == MR_MSG_BARRIER ? s->attempt : m->number))
    return;
  mr_message_unref(s->pending);
  s->pending = NULL;
  unblock(s);
}

/* What different stages send into one has the same columns in the same order; where they are only
 * known from the data, that shows here. false: they differ, the run has failed. */
static bool agrees(struct mr_stage *s, struct mr_channel *c, struct mr_shape *shape)
{
  if (c->shape == shape)
    return true;
  mr_shape_unref(c->shape);
  c->shape = mr_shape_ref(shape);
  for (guint i = 0; i < s->inputs->len; i++) {
    const struct mr_channel *o = s->inputs->pdata[i];
    if (!o->shape || o->from->spec == c->from->spec ||
        mr_schema_equal(&o->shape->schema, &shape->schema, NULL))
      continue;
    struct mr_error err = MR_ERROR_INIT;
    g_autofree char *how = mr_check_difference(o->from->spec->name, &o->shape->schema,
                                               c->from->spec->name, &shape->schema);
    mr_fail(&err, MR_BADCONF, "%s: declare the columns, or cast them before they meet", how);
    mr_pipeline_fail(s->p, s, MR_BADCONF, &err);
    return false;
  }
  return true;
}

struct mr_message *mr_stage_next(struct mr_stage *s)
{
  guint n = s->inputs->len;
  drop_void(s);
  if (mr_stopping(s->p) == MR_ABORT)
    return NULL;
  for (guint k = 0; k < n; k++) {
    struct mr_channel *c = s->inputs->pdata[(s->turn + k) % n];
    struct mr_message *m;
    while (!c->blocked && !c->ended && (m = mr_channel_pop(c))) {
      m = sort_in(s, c, m);
      if (!m)
        continue;
      if (m->shape && !agrees(s, c, m->shape)) {
        mr_message_unref(m);
        return NULL;
      }
      s->turn = (s->turn + k + (m->kind != MR_MSG_SHAPE)) % n;
      return m;
    }
  }
  return all_ended(s) && !s->pending ? mr_message_control(MR_MSG_END, 0) : NULL;
}

/* ---- sending */

static bool any_room(struct mr_stage *s, const struct mr_message *m)
{
  if (!s->outputs->len)
    return true;
  for (guint i = 0; i < s->outputs->len; i++) {
    struct mr_fan *f = s->outputs->pdata[i];
    if (mr_channel_room(&f->channel[m->batch.lane % f->n]))
      return true;
  }
  return false;
}

static void push_all(struct mr_stage *s, struct mr_message *m)
{
  for (guint i = 0; i < s->outputs->len; i++) {
    struct mr_fan *f = s->outputs->pdata[i];
    for (size_t k = 0; k < f->n; k++)
      if (m->kind != MR_MSG_BATCH || k == m->batch.lane % f->n)
        mr_channel_push(&f->channel[k], mr_message_ref(m));
  }
  mr_message_unref(m);
}

bool mr_stage_send(struct mr_stage *s, struct mr_message *take)
{
  struct mr_pipeline *p = s->p;
  if (p->dry)
    return mr_dry_sent(p->dry, s, take);
  while (take->kind == MR_MSG_BATCH) {
    uint32_t seen = mr_event_seen(&s->event);
    if (any_room(s, take))
      break;
    if (mr_stopping(p) == MR_ABORT) {
      mr_message_unref(take);
      return false;
    }
    int64_t t = mr_now_us(p->os);
    p->os->wait(p->os, &s->event, seen, 100000);
    atomic_fetch_add_explicit(&s->stall_us, mr_now_us(p->os) - t, memory_order_relaxed);
  }
  if (take->kind == MR_MSG_BATCH) {
    mr_trace_batch(s, s->spec->kind == MR_STAGE_SOURCE ? "read" : "passed", take);
    atomic_fetch_add_explicit(&s->rows_out, take->batch.rows.length, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->bytes_out, take->bytes, memory_order_relaxed);
    if (s->outputs->len > 1 && !mr_message_spread(take))
      g_error("out of memory");
  }
  push_all(s, take);
  return true;
}

void mr_stage_flush(struct mr_stage *s)
{
  for (guint i = 0; i < s->outputs->len; i++) {
    struct mr_fan *f = s->outputs->pdata[i];
    for (size_t k = 0; k < f->n; k++)
      mr_channel_flush(&f->channel[k]);
  }
}

bool mr_stage_behind(struct mr_stage *s)
{
  for (guint i = 0; i < s->outputs->len; i++) {
    struct mr_fan *f = s->outputs->pdata[i];
    for (size_t k = 0; k < f->n; k++)
      if (f->channel[k].first)
        return true;
  }
  return false;
}

/* ---- waiting */

void mr_stage_wait(struct mr_stage *s, uint32_t seen, int64_t timeout_us)
{
  mr_stage_flush(s);
  s->p->os->wait(s->p->os, &s->event, seen, timeout_us);
}

bool mr_stage_backoff(struct mr_stage *s, int tries, const struct mr_error *err)
{
  struct mr_os *os = s->p->os;
  int64_t cap = BACKOFF_FIRST_US << MIN(tries - 1, 8);
  if (cap > BACKOFF_CAP_US)
    cap = BACKOFF_CAP_US;
  int64_t pause = cap / 2 + (int64_t)(os->random(os) % (uint64_t)(cap / 2 + 1));
  if (err->retry_ms > 0)
    pause = err->retry_ms * 1000;
  int64_t until = mr_now_us(os) + pause, now;
  atomic_fetch_add_explicit(&s->retries, 1, memory_order_relaxed);
  atomic_fetch_add_explicit(&s->connect_errors, err->unreachable, memory_order_relaxed);
  mr_stage_error(s, err->unreachable ? "unreachable" : "transient", err->code);
  while ((now = mr_now_us(os)) < until) {
    uint32_t seen = mr_event_seen(&s->event);
    int stop = mr_stopping(s->p);
    if (stop == MR_ABORT || (stop == MR_DRAIN && s->spec->kind == MR_STAGE_SOURCE))
      return false;
    if (s->spec->kind == MR_STAGE_SOURCE)
      mr_source_serve(s);
    mr_stage_wait(s, seen, MIN(until - now, 100000));
  }
  return true;
}

bool mr_stage_again(struct mr_stage *s, int *tries, const struct mr_error *err)
{
  if (*tries == 1 && *err->msg)
    mr_pipeline_log(s->p, s, MR_WARN, "waiting: %s", err->msg);
  mr_stage_status(s, MR_ST_WAITING, "%s", err->msg);
  bool go = mr_stage_backoff(s, (*tries)++, err);
  mr_stage_status(s, MR_ST_RUNNING, "%s", "");
  return go;
}

void mr_stage_end(struct mr_stage *s)
{
  mr_stage_send(s, mr_message_control(MR_MSG_END, 0));
  while (mr_stage_behind(s) && mr_stopping(s->p) != MR_ABORT) {
    uint32_t seen = mr_event_seen(&s->event);
    mr_stage_wait(s, seen, 20000);
  }
  mr_stage_status(s, MR_ST_DONE, "%s", "");
}

/* ---- the plugin's life */

static mr_open_fn *open_of(const struct mr_stage_spec *st)
{
  const struct mr_plugin *pl = st->plugin;
  return pl->source      ? pl->source->open
         : pl->transform ? pl->transform->open
                         : mr_stage_sink(st)->open;
}
static mr_self_fn *start_of(const struct mr_stage_spec *st)
{
  const struct mr_plugin *pl = st->plugin;
  return pl->source      ? pl->source->start
         : pl->transform ? pl->transform->start
                         : mr_stage_sink(st)->start;
}

void mr_stage_close(struct mr_stage *s)
{
  const struct mr_plugin *pl = s->spec->plugin;
  if (!s->opened)
    return;
  mr_state_close(s);
  pthread_mutex_lock(&s->p->lock); /* nobody wakes an instance that is going away */
  s->opened = s->started = false;
  pthread_mutex_unlock(&s->p->lock);
  (pl->source      ? pl->source->close
   : pl->transform ? pl->transform->close
                   : mr_stage_sink(s->spec)->close)(s->self);
  s->self = NULL;
}

bool mr_stage_open(struct mr_stage *s, struct mr_shape *in)
{
  struct mr_error err = MR_ERROR_INIT;
  mr_stage_close(s);
  if (in)
    mr_shape_ref(in);
  mr_shape_unref(s->in);
  s->in = in;
  s->open.in = in ? &in->schema : NULL;
  void *self = NULL;
  int st = mr_plugin_takes(s->spec->plugin, s->open.in, &err);
  if (st >= 0)
    st = open_of(s->spec)(&s->open, &self, &err);
  if (st < 0) {
    mr_pipeline_fail(s->p, s, st, &err);
    return false;
  }
  pthread_mutex_lock(&s->p->lock);
  s->self = self;
  s->opened = true;
  pthread_mutex_unlock(&s->p->lock);
  return true;
}

int mr_stage_evolve(struct mr_stage *s, const struct ArrowSchema *in, struct mr_error *err)
{
  const struct mr_plugin *pl = s->spec->plugin;
  int (*evolve)(void *, const struct ArrowSchema *, struct mr_error *) =
      pl->sink ? mr_stage_sink(s->spec)->evolve : pl->transform->evolve;
  int st = mr_plugin_takes(pl, in, err);
  if (st < 0)
    return st;
  if (evolve && s->selves && (st = mr_state_evolve(s, in, err)) < 0)
    return st;
  return evolve ? evolve(s->self, in, err)
                : mr_fail(err, MR_FATAL, "its input changed, which `%s` cannot follow", pl->name);
}

bool mr_stage_start(struct mr_stage *s)
{
  struct mr_error err = MR_ERROR_INIT;
  mr_self_fn *start = start_of(s->spec);
  int64_t begun = mr_now_us(s->p->os);
  for (int tries = 1;; tries++) {
    int st = start ? start(s->self, &err) : MR_OK;
    if (st >= 0)
      break;
    if (st != MR_RETRY) {
      mr_pipeline_fail(s->p, s, st, &err);
      return false;
    }
    if (mr_stopping(s->p))
      return false;
    if (tries == 1 && *err.msg)
      mr_pipeline_log(s->p, s, MR_WARN, "waiting: %s", err.msg);
    mr_stage_status(s, MR_ST_WAITING, "%s", err.msg);
    if (s->p->once && err.unreachable && mr_now_us(s->p->os) - begun > ONCE_PATIENCE_US) {
      mr_pipeline_fail(s->p, s, st, &err);
      return false;
    }
    if (!mr_stage_backoff(s, tries, &err))
      return false;
    mr_error_clear(&err);
  }
  s->started = true;
  mr_stage_status(s, MR_ST_RUNNING, "%s", "");
  return true;
}

bool mr_stage_shape(struct mr_stage *s, struct mr_shape **ret)
{
  const struct mr_plugin *pl = s->spec->plugin;
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema schema = {0};
  int st = (pl->source ? pl->source->schema : pl->transform->schema)(s->self, &schema, &err);
  if (st == MR_IDLE) {
    *ret = NULL;
    return true;
  }
  if (st < 0) {
    mr_pipeline_fail(s->p, s, st, &err);
    return false;
  }
  *ret = mr_shape_new(&schema);
  return *ret != NULL;
}
