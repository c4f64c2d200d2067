/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lane-table.h"
#include <glib.h>

uint32_t mr_lane_table_add(struct mr_lane_table *t, struct mr_lane *take)
{
  uint32_t n = atomic_load_explicit(&t->n, memory_order_relaxed);
  g_assert(n < MR_LANE_SEGMENT * MR_LANE_SEGMENTS);
  struct mr_lane ***segment = &t->segment[n / MR_LANE_SEGMENT];
  if (!*segment)
    *segment = g_new0(struct mr_lane *, MR_LANE_SEGMENT);
  (*segment)[n % MR_LANE_SEGMENT] = take;
  atomic_store_explicit(&t->n, n + 1, memory_order_release);
  return n;
}

void mr_lane_table_finish(struct mr_lane_table *t)
{
  for (size_t i = 0; i < MR_LANE_SEGMENTS; i++)
    g_free(t->segment[i]);
}
