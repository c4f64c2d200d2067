/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/channel.h"
#include <glib.h>

bool mr_channel_init(struct mr_channel *c, struct mr_os *os, size_t slots,
                     struct mr_event *producer, struct mr_event *consumer)
{
  memset(c, 0, sizeof *c);
  c->os = os;
  c->producer = producer;
  c->consumer = consumer;
  return mr_ring_init(&c->ring, slots);
}

void mr_channel_finish(struct mr_channel *c)
{
  struct mr_message *m;
  mr_shape_unref(c->shape);
  if (!c->ring.slot)
    return;
  while ((m = mr_ring_pop(&c->ring)))
    mr_message_unref(m);
  while (c->first) {
    struct mr_overflow *o = c->first;
    c->first = o->next;
    mr_message_unref(o->m);
    g_free(o);
  }
  mr_ring_finish(&c->ring);
}

bool mr_channel_flush(struct mr_channel *c)
{
  bool moved = false;
  while (c->first && mr_ring_push(&c->ring, c->first->m)) {
    struct mr_overflow *o = c->first;
    c->first = o->next;
    if (!c->first)
      c->last = NULL;
    g_free(o);
    atomic_fetch_sub_explicit(&c->behind, 1, memory_order_relaxed);
    moved = true;
  }
  if (moved)
    c->os->wake(c->os, c->consumer);
  return !c->first;
}

bool mr_channel_room(struct mr_channel *c)
{
  return mr_channel_flush(c) && mr_ring_used(&c->ring) <= c->ring.mask;
}

/* Control messages have no rows. */
static int64_t rows_of(const struct mr_message *m)
{
  return m->kind == MR_MSG_BATCH ? m->batch.rows.length : 0;
}

void mr_channel_push(struct mr_channel *c, struct mr_message *take)
{
  atomic_fetch_add_explicit(&c->rows, rows_of(take), memory_order_relaxed);
  atomic_fetch_add_explicit(&c->barriers, take->kind == MR_MSG_BARRIER, memory_order_relaxed);
  if (mr_channel_flush(c) && mr_ring_push(&c->ring, take)) {
    c->os->wake(c->os, c->consumer);
    return;
  }
  struct mr_overflow *o = g_new0(struct mr_overflow, 1);
  o->m = take;
  if (c->last)
    c->last->next = o;
  else
    c->first = o;
  c->last = o;
  atomic_fetch_add_explicit(&c->behind, 1, memory_order_relaxed);
}

struct mr_message *mr_channel_pop(struct mr_channel *c)
{
  struct mr_message *m = mr_ring_pop(&c->ring);
  if (!m)
    return NULL;
  atomic_fetch_sub_explicit(&c->rows, rows_of(m), memory_order_relaxed);
  atomic_fetch_sub_explicit(&c->barriers, m->kind == MR_MSG_BARRIER, memory_order_relaxed);
  c->os->wake(c->os, c->producer);
  return m;
}
