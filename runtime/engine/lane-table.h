/* SPDX-License-Identifier: Apache-2.0 */
/* All lanes of a run by their ids. Lanes are added under mr_pipeline.lock and never removed; any
 * thread reads without it: the segments that hold them stay where they are. */
#ifndef MR_ENGINE_LANE_TABLE_H
#define MR_ENGINE_LANE_TABLE_H
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define MR_LANE_SEGMENT 256   /* lanes in a segment */
#define MR_LANE_SEGMENTS 4096 /* so a run has at most 1,048,576 lanes, those given up included */

struct mr_lane;
struct mr_lane_table {
  _Atomic uint32_t n;
  struct mr_lane **segment[MR_LANE_SEGMENTS]; /* of lanes below n: written before n is raised */
};

/* How many there are. Any thread. */
static inline uint32_t mr_lane_table_len(const struct mr_lane_table *t)
{
  return atomic_load_explicit(&t->n, memory_order_acquire); /* pairs with mr_lane_table_add */
}
/* The lane of that id, NULL: there is none. lend. Any thread. */
static inline struct mr_lane *mr_lane_table_at(const struct mr_lane_table *t, uint32_t id)
{
  if (id >= mr_lane_table_len(t))
    return NULL;
  return t->segment[id / MR_LANE_SEGMENT][id % MR_LANE_SEGMENT];
}
/* take l; gives its id. One thread at a time. */
uint32_t mr_lane_table_add(struct mr_lane_table *t, struct mr_lane *take);
/* Frees the segments; the lanes are the caller's. */
void mr_lane_table_finish(struct mr_lane_table *t);

#endif
