/* SPDX-License-Identifier: Apache-2.0 */
/* How long rows were on their way and how many came, over the last minute: counts in buckets that
 * grow by an eighth, in slots of ten seconds. Not safe between threads. */
#ifndef MR_LATENCY_H
#define MR_LATENCY_H
#include <stdint.h>

#define MR_LATENCY_SLOT_US 10000000
#define MR_LATENCY_SLOTS 7     /* the last one is being filled: a minute, and up to ten seconds */
#define MR_LATENCY_BUCKETS 312 /* up to 2^40 us */

struct mr_latency {
  int64_t slot[MR_LATENCY_SLOTS]; /* which ten seconds it holds, by the clock */
  int64_t rows[MR_LATENCY_SLOTS][MR_LATENCY_BUCKETS];
  int64_t begun_us; /* first row; 0: none */
  int64_t all_rows, all_us;
};

/* What it comes to. */
struct mr_latency_view {
  int64_t p50_us, p95_us, p99_us; /* of the last minute; -1: no rows in it */
  int64_t rows, sum_us;           /* of all time */
  double rows_per_second;         /* of the last ten to twenty seconds */
};

/* Notes rows that took latency_us (below 0 counts as 0). now_us > 0: of a monotonic clock. */
void mr_latency_add(struct mr_latency *l, int64_t now_us, int64_t latency_us, int64_t rows);
/* Percentiles are the upper ends of buckets: at most an eighth too high. */
void mr_latency_view(const struct mr_latency *l, int64_t now_us, struct mr_latency_view *ret);

#endif
