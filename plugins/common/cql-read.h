/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what Cassandra writes, on the wire and in its commit log, from lent bytes: integers are
 * big-endian, variable ones have as many extra bytes as the first byte has leading ones. A reader
 * that ran over its end stays `failed` and gives zeros, so that callers test it once after many
 * reads. Any thread. */
#ifndef CQL_READ_H
#define CQL_READ_H
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct cql_read {
  const uint8_t *p, *end;
  bool failed;
};

static inline uint16_t cql_be16(const uint8_t *p)
{
  uint16_t v;
  memcpy(&v, p, sizeof v);
  return be16toh(v);
}
static inline uint32_t cql_be32(const uint8_t *p)
{
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return be32toh(v);
}
static inline uint64_t cql_be64(const uint8_t *p)
{
  uint64_t v;
  memcpy(&v, p, sizeof v);
  return be64toh(v);
}

/* p may be NULL where n is 0. */
static inline struct cql_read cql_read_of(const void *p, size_t n)
{
  const uint8_t *at = n ? (const uint8_t *)p : (const uint8_t *)"";
  return (struct cql_read){at, at + n, false};
}
static inline size_t cql_read_left(const struct cql_read *r)
{
  return (size_t)(r->end - r->p);
}
/* The next n bytes, lent; NULL when there are fewer. */
static inline const uint8_t *cql_read_bytes(struct cql_read *r, uint64_t n)
{
  if (n > cql_read_left(r)) {
    r->failed = true;
    r->p = r->end;
    return NULL;
  }
  const uint8_t *p = r->p;
  r->p += n;
  return p;
}
static inline uint8_t cql_read_u8(struct cql_read *r)
{
  const uint8_t *p = cql_read_bytes(r, 1);
  return p ? *p : 0;
}
static inline uint16_t cql_read_u16(struct cql_read *r)
{
  const uint8_t *p = cql_read_bytes(r, 2);
  return p ? cql_be16(p) : 0;
}
static inline int32_t cql_read_i32(struct cql_read *r)
{
  const uint8_t *p = cql_read_bytes(r, 4);
  return p ? (int32_t)cql_be32(p) : 0;
}
static inline int64_t cql_read_i64(struct cql_read *r)
{
  const uint8_t *p = cql_read_bytes(r, 8);
  return p ? (int64_t)cql_be64(p) : 0;
}
/* An unsigned vint: k leading ones of the first byte, k bytes more. */
static inline uint64_t cql_read_vint(struct cql_read *r)
{
  if (r->p < r->end && *r->p < 0x80)
    return *r->p++;
  const uint8_t *p = cql_read_bytes(r, 1);
  if (!p)
    return 0;
  unsigned extra = (unsigned)__builtin_clz((~(uint32_t)*p << 24) | 0x800000);
  uint64_t v = extra >= 7 ? 0 : *p & (0x7fu >> extra);
  const uint8_t *more = cql_read_bytes(r, extra);
  for (unsigned i = 0; more && i < extra; i++)
    v = v << 8 | more[i];
  return v;
}
/* A signed (zig-zag) vint. */
static inline int64_t cql_read_svint(struct cql_read *r)
{
  uint64_t u = cql_read_vint(r);
  return (int64_t)((u >> 1) ^ (0 - (u & 1)));
}
/* u16 length and bytes ("string", "short bytes"), lent. */
static inline const uint8_t *cql_read_short(struct cql_read *r, size_t *ret_n)
{
  *ret_n = cql_read_u16(r);
  const uint8_t *p = cql_read_bytes(r, *ret_n);
  if (!p)
    *ret_n = 0;
  return p;
}
/* i32 length and bytes, lent. *ret_n < 0 and NULL: null (or not there, then `failed`). */
static inline const uint8_t *cql_read_value(struct cql_read *r, int64_t *ret_n)
{
  *ret_n = cql_read_i32(r);
  const uint8_t *p = *ret_n < 0 || r->failed ? NULL : cql_read_bytes(r, (uint64_t)*ret_n);
  if (!p)
    *ret_n = -1;
  return p;
}

#endif
