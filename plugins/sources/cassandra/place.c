/* SPDX-License-Identifier: Apache-2.0 */
/* Positions of a log: segment, position, event, newest deletion time; all big-endian, the last with
 * its sign bit turned. */
#include "log.h"

#define SIGN (UINT64_C(1) << 63)
#define PLACE_BYTES 28

static void put(struct mr_position *p, uint64_t v, int bytes)
{
  for (int i = bytes - 1; i >= 0; i--)
    p->token[p->len++] = (uint8_t)(v >> (8 * i));
}

struct mr_position cass_place_position(const struct cass_place *p)
{
  struct mr_position out = {0};
  put(&out, (uint64_t)p->segment, 8);
  put(&out, (uint64_t)p->position, 8);
  put(&out, p->event, 4);
  put(&out, (uint64_t)p->deleted ^ SIGN, 8);
  return out;
}

bool cass_place_read(const struct mr_position *p, struct cass_place *ret)
{
  if (p->len != PLACE_BYTES)
    return false;
  struct cass_place at = {.segment = (int64_t)cql_be64(p->token),
                          .position = (int64_t)cql_be64(p->token + 8),
                          .event = cql_be32(p->token + 16),
                          .deleted = (int64_t)(cql_be64(p->token + 20) ^ SIGN)};
  if (at.segment < 0 || at.position < 0)
    return false;
  *ret = at;
  return true;
}

int cass_place_cmp(const struct cass_place *a, const struct cass_place *b)
{
  if (a->segment != b->segment)
    return a->segment < b->segment ? -1 : 1;
  if (a->position != b->position)
    return a->position < b->position ? -1 : 1;
  return (a->event > b->event) - (a->event < b->event);
}
