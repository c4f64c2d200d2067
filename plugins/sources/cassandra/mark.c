/* SPDX-License-Identifier: Apache-2.0 */
/* Positions: kind, then the token with its sign bit turned, count and hash, all big-endian. */
#include "cassandra.h"

#define SIGN (UINT64_C(1) << 63)
#define AT_BYTES 21

static void put(struct mr_position *p, uint64_t v, int bytes)
{
  for (int i = bytes - 1; i >= 0; i--)
    p->token[p->len++] = (uint8_t)(v >> (8 * i));
}

struct mr_position cass_mark_position(const struct cass_mark *m)
{
  struct mr_position p = {0};
  put(&p, m->kind, 1);
  if (m->kind != CASS_AT)
    return p;
  put(&p, (uint64_t)m->token ^ SIGN, 8);
  put(&p, m->count, 4);
  put(&p, m->hash, 8);
  return p;
}

bool cass_mark_read(const struct mr_position *p, struct cass_mark *ret)
{
  if (!p->len || p->token[0] > CASS_DONE || p->len != (p->token[0] == CASS_AT ? AT_BYTES : 1))
    return false;
  *ret = (struct cass_mark){.kind = (enum cass_mark_kind)p->token[0]};
  if (ret->kind != CASS_AT)
    return true;
  ret->token = (int64_t)(cql_be64(p->token + 1) ^ SIGN);
  ret->count = cql_be32(p->token + 9);
  ret->hash = cql_be64(p->token + 13);
  return true;
}

/* Where piece i begins, counted from the least token. */
static uint64_t begin_of(int64_t i, int64_t n)
{
  return (uint64_t)(((unsigned __int128)1 << 64) * (unsigned __int128)i / (unsigned __int128)n);
}

void cass_range(int64_t i, int64_t n, int64_t *ret_first, int64_t *ret_last)
{
  *ret_first = (int64_t)(begin_of(i, n) ^ SIGN);
  *ret_last = i + 1 == n ? INT64_MAX : (int64_t)((begin_of(i + 1, n) - 1) ^ SIGN);
}

uint64_t cass_hash(uint64_t hash, const uint8_t *p, int64_t n)
{
  uint64_t prime = UINT64_C(0x100000001b3);
  for (int i = 0; i < 4; i++) /* the length too: ab, c is not a, bc */
    hash = (hash ^ (uint8_t)(n >> (8 * i))) * prime;
  for (int64_t i = 0; i < n; i++)
    hash = (hash ^ p[i]) * prime;
  return hash;
}
