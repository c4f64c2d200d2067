/* SPDX-License-Identifier: Apache-2.0 */
/* Newest times of partitions, in sets of a few: the oldest of a full set makes room. */
#include "change-in.h"

bool seen_init(struct seen *s)
{
  s->slot = malloc(sizeof *s->slot * SEEN_SETS * SEEN_WAYS);
  if (s->slot)
    seen_reset(s, CLOG_NEVER);
  return s->slot != NULL;
}

void seen_done(struct seen *s)
{
  free(s->slot);
  s->slot = NULL;
}

void seen_reset(struct seen *s, int64_t floor)
{
  s->floor = s->newest = floor;
  for (size_t i = 0; i < (size_t)SEEN_SETS * SEEN_WAYS; i++)
    s->slot[i] = (struct seen_slot){.time = CLOG_NEVER};
}

static struct seen_slot *set_of(const struct seen *s, uint64_t partition)
{
  return s->slot + (partition >> 32) % SEEN_SETS * SEEN_WAYS;
}

int64_t seen_time(const struct seen *s, uint64_t partition)
{
  const struct seen_slot *slot = set_of(s, partition);
  int64_t time = s->floor;
  for (int i = 0; i < SEEN_WAYS; i++)
    if (slot[i].partition == partition && slot[i].time > time)
      time = slot[i].time;
  return time;
}

void seen_raise(struct seen *s, uint64_t partition, int64_t time)
{
  struct seen_slot *slot = set_of(s, partition), *oldest = slot;
  if (time > s->newest)
    s->newest = time;
  if (time <= s->floor)
    return;
  for (int i = 0; i < SEEN_WAYS; i++) {
    if (slot[i].time != CLOG_NEVER && slot[i].partition == partition) {
      if (time > slot[i].time)
        slot[i].time = time;
      return;
    }
    if (slot[i].time < oldest->time)
      oldest = &slot[i];
  }
  if (oldest->time > s->floor)
    s->floor = oldest->time;
  *oldest = (struct seen_slot){.partition = partition, .time = time};
}
