/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers for tests that must be repeatable: the same seed, the same numbers, everywhere
 * (xorshift64). One state for a program. */
#ifndef FUZZ_RANDOM_H
#define FUZZ_RANDOM_H
#include <stdint.h>

static uint64_t random_state = 1;

static inline void random_seed(uint64_t seed)
{
  random_state = ((seed + 1) * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}
/* 0 … n - 1; n > 0. */
static inline uint32_t below(uint32_t n)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 33) % n;
}

#endif
