/* SPDX-License-Identifier: Apache-2.0 */
/* The clock that deadlines are kept by. */
#ifndef CLOCK_H
#define CLOCK_H
#include <stdint.h>
#include <time.h>

/* Milliseconds, monotonic. Any thread. */
static inline int64_t clock_now_ms(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#endif
