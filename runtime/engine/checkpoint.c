/* SPDX-License-Identifier: Apache-2.0 */
/* When barriers are sent, and how far all sinks have come. */
#include "engine/engine.h"

static void wake_sources(struct mr_pipeline *p)
{
  for (guint i = 0; i < p->stages->len; i++) {
    struct mr_stage *s = p->stages->pdata[i];
    if (s->spec->kind != MR_STAGE_SOURCE)
      continue;
    p->os->wake(p->os, &s->event);
    pthread_mutex_lock(&p->lock);
    if (s->started && s->spec->plugin->source->wake)
      s->spec->plugin->source->wake(s->self);
    pthread_mutex_unlock(&p->lock);
  }
}

void mr_checkpoint_poll(struct mr_pipeline *p, int64_t now)
{
  int64_t due = atomic_load_explicit(&p->next_barrier_us, memory_order_relaxed);
  if (now < due)
    return;
  int64_t next = now + p->spec->settings.checkpoint_ms * 1000;
  if (!atomic_compare_exchange_strong_explicit(&p->next_barrier_us, &due, next,
                                               memory_order_relaxed, memory_order_relaxed))
    return;
  atomic_fetch_add_explicit(&p->barrier_wanted, 1, memory_order_release);
  if (atomic_load_explicit(&p->sources_left, memory_order_relaxed) > 1)
    wake_sources(p);
}

void mr_checkpoint_force(struct mr_pipeline *p)
{
  /* the next one by the clock is an interval after this one */
  int64_t next = mr_now_us(p->os) + p->spec->settings.checkpoint_ms * 1000;
  atomic_store_explicit(&p->next_barrier_us, next, memory_order_relaxed);
  atomic_store_explicit(&p->urgent, true, memory_order_relaxed);
  /* release: a source that sees the number sees `urgent` */
  atomic_fetch_add_explicit(&p->barrier_wanted, 1, memory_order_release);
  wake_sources(p);
}

void mr_checkpoint_again(struct mr_pipeline *p)
{
  atomic_fetch_add_explicit(&p->attempt, 1, memory_order_acq_rel);
  mr_pipeline_wake(p);
  wake_sources(p);
}

int64_t mr_checkpoint_rows(const struct mr_pipeline *p)
{
  int64_t least = 0;
  for (guint i = 0; i < p->stages->len; i++) {
    const struct mr_stage *s = p->stages->pdata[i];
    int64_t limit = atomic_load_explicit(&s->snk.limit, memory_order_relaxed);
    if (limit && (!least || limit < least))
      least = limit;
  }
  return least;
}

struct lowest {
  bool all, any;
  bool live; /* paused sinks are left out */
  struct mr_position at;
};
static void each_lowest(void *out, struct mr_stage *sink, struct mr_sink_lane *sl)
{
  struct lowest *l = out;
  if (l->live && sink->snk.paused)
    return;
  if (!sl || !sl->has_row) {
    l->all = false;
    return;
  }
  if (!l->any || mr_position_cmp(&sl->stored, &l->at) < 0)
    l->at = sl->stored;
  l->any = true;
}

bool mr_checkpoint_done(struct mr_pipeline *p, struct mr_lane *l, struct mr_position *ret)
{
  struct lowest lo = {.all = true};
  pthread_mutex_lock(&p->lock);
  mr_lanes_each(p, l, each_lowest, &lo);
  pthread_mutex_unlock(&p->lock);
  if (!lo.all || !lo.any)
    return false;
  *ret = lo.at;
  return true;
}

bool mr_checkpoint_live(struct mr_pipeline *p, struct mr_lane *l, struct mr_position *ret)
{
  struct lowest lo = {.all = true, .live = true};
  pthread_mutex_lock(&p->lock);
  mr_lanes_each(p, l, each_lowest, &lo);
  pthread_mutex_unlock(&p->lock);
  if (lo.all)
    *ret = lo.any ? lo.at : l->read;
  return lo.all;
}
