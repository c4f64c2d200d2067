/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of Murmur3Partitioner, from the key's bytes as the nodes store them: the value of the one
 * column; of several, each with its length (u16) before it and a zero byte behind it. The hash is
 * MurmurHash3_x64_128 (Austin Appleby, public domain) with seed 0, of which the first half counts,
 * but for one thing: Cassandra's Java has signed bytes, so each of those behind the last whole 16
 * is extended by its sign before it is shifted. */
#include "cassandra.h"

#define C1 UINT64_C(0x87c37b91114253d5)
#define C2 UINT64_C(0x4cf5ad432745937f)

static uint64_t turn(uint64_t x, int by)
{
  return x << by | x >> (64 - by);
}

static uint64_t word(const uint8_t *p)
{
  uint64_t x;
  memcpy(&x, p, sizeof x);
  return le64toh(x);
}

static uint64_t last_mix(uint64_t x)
{
  x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
  x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  return x ^ x >> 33;
}

/* Up to eight bytes, each with its sign. */
static uint64_t signed_bytes(const uint8_t *p, size_t n)
{
  uint64_t x = 0;
  for (size_t i = 0; i < n; i++)
    x ^= (uint64_t)(int64_t)(int8_t)p[i] << (8 * i);
  return x;
}

static uint64_t mix1(uint64_t k)
{
  return turn(k * C1, 31) * C2;
}

static uint64_t mix2(uint64_t k)
{
  return turn(k * C2, 33) * C1;
}

static int64_t hash(const uint8_t *p, size_t n)
{
  uint64_t a = 0, b = 0;
  size_t left = n;
  for (; left >= 16; left -= 16, p += 16) {
    a = (turn(a ^ mix1(word(p)), 27) + b) * 5 + 0x52dce729;
    b = (turn(b ^ mix2(word(p + 8)), 31) + a) * 5 + 0x38495ab5;
  }
  if (left > 8)
    b ^= mix2(signed_bytes(p + 8, left - 8));
  if (left)
    a ^= mix1(signed_bytes(p, left < 8 ? left : 8));
  a ^= n;
  b ^= n;
  a += b;
  b += a;
  return (int64_t)(last_mix(a) + last_mix(b));
}

/* Puts a key of several columns together. */
static bool join(const struct cass_cell *cell, const size_t *key, size_t n, struct sql_buf *room)
{
  sql_buf_clear(room);
  for (size_t i = 0; i < n; i++) {
    const struct cass_cell *c = &cell[key[i]];
    if (c->n < 0 || c->n > UINT16_MAX)
      return false;
    sql_buf_byte(room, (char)(c->n >> 8));
    sql_buf_byte(room, (char)c->n);
    sql_buf_bytes(room, c->p, (size_t)c->n);
    sql_buf_byte(room, 0);
  }
  return !room->failed;
}

bool cass_token(const struct cass_cell *cell, const size_t *key, size_t n, struct sql_buf *room,
                int64_t *ret)
{
  if (n == 1 && (cell[*key].n < 0 || cell[*key].n > UINT16_MAX))
    return false;
  if (n > 1 && !join(cell, key, n, room))
    return false;
  int64_t token =
      n == 1 ? hash(cell[*key].p, (size_t)cell[*key].n) : hash((uint8_t *)room->p, room->len);
  *ret = token == INT64_MIN ? INT64_MAX : token; /* the least is no partition's */
  return true;
}
