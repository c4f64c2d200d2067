/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/message.h"
#include "data/array.h"

struct mr_shape *mr_shape_new(struct ArrowSchema *take)
{
  struct mr_shape *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  atomic_init(&s->refs, 1);
  mr_schema_move(take, &s->schema);
  return s;
}

struct mr_shape *mr_shape_ref(struct mr_shape *s)
{
  atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
  return s;
}

void mr_shape_unref(struct mr_shape *s)
{
  /* release and acquire: the last holder frees after everybody's reads */
  if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
    return;
  mr_schema_release(&s->schema);
  free(s);
}

struct mr_message *mr_message_control(enum mr_message_kind kind, uint64_t number)
{
  struct mr_message *m = calloc(1, sizeof *m);
  if (!m)
    return NULL;
  atomic_init(&m->refs, 1);
  m->kind = (uint8_t)kind;
  m->number = number;
  return m;
}

struct mr_message *mr_message_batch(struct mr_budget *budget, struct mr_shape *shape,
                                    struct mr_batch *take)
{
  struct mr_message *m = mr_message_control(MR_MSG_BATCH, 0);
  if (!m)
    return NULL;
  m->batch = *take;
  take->rows.release = NULL;
  m->shape = mr_shape_ref(shape);
  m->batch.schema = &shape->schema;
  m->batch.size = sizeof m->batch;
  m->since.event_us = INT64_MIN;
  m->budget = budget;
  m->bytes = mr_array_bytes(&shape->schema, &m->batch.rows) + (int64_t)sizeof *m;
  if (budget)
    atomic_fetch_add_explicit(&budget->used, m->bytes, memory_order_relaxed);
  return m;
}

bool mr_message_lane(struct mr_message *m, uint32_t lane, const struct mr_position *at)
{
  for (size_t i = 0; i < m->n_lanes; i++) {
    if (m->lanes[i].lane != lane)
      continue;
    if (mr_position_cmp(at, &m->lanes[i].position) > 0)
      m->lanes[i].position = *at;
    return true;
  }
  struct mr_lane_at *l = realloc(m->lanes, (m->n_lanes + 1) * sizeof *l);
  if (!l)
    return false;
  m->lanes = l;
  l[m->n_lanes++] = (struct mr_lane_at){lane, *at};
  return true;
}

static void saved_clear(void *p)
{
  g_bytes_unref(((struct mr_saved *)p)->state);
}

void mr_message_save(struct mr_message *m, const struct mr_saved *share)
{
  struct mr_saved s = *share;
  if (!m->saved) {
    m->saved = g_array_new(FALSE, FALSE, sizeof s);
    g_array_set_clear_func(m->saved, saved_clear);
  }
  g_bytes_ref(s.state);
  g_array_append_val(m->saved, s);
}

struct mr_message *mr_message_ref(struct mr_message *m)
{
  atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
  return m;
}

void mr_message_unref(struct mr_message *m)
{
  if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
    return;
  mr_array_release(&m->batch.rows);
  mr_shape_unref(m->shape);
  free(m->lanes);
  if (m->saved)
    g_array_unref(m->saved);
  if (m->budget) {
    atomic_fetch_sub_explicit(&m->budget->used, m->bytes, memory_order_relaxed);
    if (m->budget->freed)
      m->budget->freed(m->budget->ctx);
  }
  free(m);
}

bool mr_message_lend(struct mr_message *m, struct mr_batch *ret)
{
  struct ArrowArray rows;
  if (atomic_load_explicit(&m->refs, memory_order_acquire) == 1)
    mr_array_move(&m->batch.rows, &rows);
  else if (!mr_array_share(&m->batch.rows, &rows))
    return false;
  *ret = m->batch;
  ret->rows = rows;
  return true;
}

bool mr_message_spread(struct mr_message *m)
{
  struct ArrowArray probe;
  if (m->kind != MR_MSG_BATCH)
    return true;
  if (!mr_array_share(&m->batch.rows, &probe))
    return false;
  mr_array_release(&probe);
  return true;
}
