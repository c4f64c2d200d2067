/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/latency.h"
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#define PARTS 8 /* buckets in each power of two */

/* Up to 7 us a bucket each; then eight in each power of two. */
static size_t bucket_of(int64_t us)
{
  if (us < PARTS)
    return us < 0 ? 0 : (size_t)us;
  int exponent = 63 - __builtin_clzll((unsigned long long)us);
  size_t i = (size_t)(exponent - 2) * PARTS + ((size_t)(us >> (exponent - 3)) & (PARTS - 1));
  return MIN(i, MR_LATENCY_BUCKETS - 1);
}

static int64_t end_of(size_t bucket)
{
  if (bucket < PARTS)
    return (int64_t)bucket;
  int exponent = (int)(bucket / PARTS) + 2;
  return (int64_t)(PARTS + bucket % PARTS + 1) << (exponent - 3);
}

void mr_latency_add(struct mr_latency *l, int64_t now_us, int64_t latency_us, int64_t rows)
{
  int64_t turn = now_us / MR_LATENCY_SLOT_US;
  size_t i = (size_t)(turn % MR_LATENCY_SLOTS);
  if (l->slot[i] != turn)
    memset(l->rows[i], 0, sizeof l->rows[i]);
  l->slot[i] = turn;
  l->rows[i][bucket_of(latency_us)] += rows;
  l->all_rows += rows;
  l->all_us += MAX(latency_us, 0) * rows;
  if (!l->begun_us)
    l->begun_us = now_us;
}

/* Rows of the slots that are at most `back` slots old, added to sum by bucket. Gives how many. */
static int64_t gather(const struct mr_latency *l, int64_t now_us, int64_t back, int64_t *sum)
{
  int64_t turn = now_us / MR_LATENCY_SLOT_US, n = 0;
  memset(sum, 0, MR_LATENCY_BUCKETS * sizeof *sum);
  for (size_t i = 0; i < MR_LATENCY_SLOTS; i++) {
    bool recent = l->begun_us && l->slot[i] >= turn - back && l->slot[i] <= turn;
    for (size_t k = 0; recent && k < MR_LATENCY_BUCKETS; k++) {
      sum[k] += l->rows[i][k];
      n += l->rows[i][k];
    }
  }
  return n;
}

static int64_t percentile(const int64_t *sum, int64_t n, int64_t percent)
{
  int64_t want = (n * percent + 99) / 100, seen = 0;
  for (size_t k = 0; n && k < MR_LATENCY_BUCKETS; k++)
    if ((seen += sum[k]) >= want)
      return end_of(k);
  return -1;
}

/* Over the slot before and what there is of this one. */
static double rate(const struct mr_latency *l, int64_t now_us, int64_t *sum)
{
  int64_t from = (now_us / MR_LATENCY_SLOT_US - 1) * MR_LATENCY_SLOT_US;
  int64_t span = now_us - MAX(from, l->begun_us);
  int64_t n = gather(l, now_us, 1, sum);
  return (double)(n * 10000000 / MAX(span, 1000000)) / 10; /* a tenth is enough */
}

void mr_latency_view(const struct mr_latency *l, int64_t now_us, struct mr_latency_view *ret)
{
  int64_t sum[MR_LATENCY_BUCKETS];
  ret->rows_per_second = rate(l, now_us, sum);
  int64_t n = gather(l, now_us, MR_LATENCY_SLOTS - 1, sum);
  ret->p50_us = percentile(sum, n, 50);
  ret->p95_us = percentile(sum, n, 95);
  ret->p99_us = percentile(sum, n, 99);
  ret->rows = l->all_rows;
  ret->sum_us = l->all_us;
}
