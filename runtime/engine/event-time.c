/* SPDX-License-Identifier: Apache-2.0 */
/* Event time of a source (`time: {column, late, idle}`): how far each lane is, which rows come too
 * late, and the watermark of all lanes together. */
#include "engine/engine.h"
#include "millrace/build.h"

/* Of the rows' column: the greatest value, the least (INT64_MAX: none), and how many are below the
 * lane's watermark. */
static int64_t greatest(const struct mr_view *v, int64_t watermark_us, int64_t *ret_least,
                        int64_t *ret_late)
{
  int64_t most = INT64_MIN;
  *ret_late = 0;
  *ret_least = INT64_MAX;
  for (int64_t i = 0; i < v->length; i++) {
    if (mr_view_null(v, i))
      continue;
    int64_t us = mr_view_int(v, i);
    *ret_late += us < watermark_us;
    most = MAX(most, us);
    *ret_least = MIN(*ret_least, us);
  }
  return most;
}

static int64_t watermark(const struct mr_lane *l, int64_t late_us)
{
  return l->event_us == INT64_MIN ? INT64_MIN : l->event_us - late_us;
}

int64_t mr_event_time(struct mr_stage *s, struct mr_lane *l, struct mr_batch *b)
{
  const struct mr_stage_spec *spec = s->spec;
  int64_t column = spec->time_column ? mr_schema_find(b->schema, spec->time_column) : -1;
  int64_t late_us = spec->time_late_ms * 1000, least, late;
  struct mr_view v;
  if (column < 0 || !b->rows.length)
    return INT64_MIN;
  mr_view_column(&v, b->schema, &b->rows, column);
  if (v.kind != MR_K_TIMESTAMP)
    return INT64_MIN;
  int64_t most = greatest(&v, watermark(l, late_us), &least, &late);
  l->event_us = MAX(l->event_us, most);
  l->event_seen_us = mr_now_us(s->p->os);
  b->watermark_us = MAX(b->watermark_us, watermark(l, late_us));
  atomic_fetch_add_explicit(&s->late_rows, late, memory_order_relaxed);
  mr_event_time_settle(s);
  return least == INT64_MAX ? INT64_MIN : least;
}

/* A lane without a row yet holds the others up, unless it has been silent for `idle`. */
void mr_event_time_settle(struct mr_stage *s)
{
  int64_t least = INT64_MAX, now = mr_now_us(s->p->os), idle_us = s->spec->time_idle_ms * 1000;
  for (guint i = 0; i < s->src.lanes->len; i++) {
    struct mr_lane *l = s->src.lanes->pdata[i];
    if (!l->event_seen_us)
      l->event_seen_us = now;
    if (!l->gone && (!idle_us || now - l->event_seen_us <= idle_us))
      least = MIN(least, watermark(l, s->spec->time_late_ms * 1000));
  }
  if (least != INT64_MAX && least > s->watermark_us)
    atomic_store_explicit(&s->watermark_us, least, memory_order_relaxed);
}
