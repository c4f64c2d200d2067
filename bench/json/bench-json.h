/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmark's C and C++ halves share. */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H
#include "millrace/build.h"
#ifdef __cplusplus
extern "C" {
#endif

#define BATCH 8192 /* rows */

/* Columns to fill; kinds int64, float64, bool, text only. Every column has room for BATCH values.
 */
struct table {
  const struct ArrowSchema *schema;
  struct mr_column *col;
  const char **key;
  size_t *key_len;
  int64_t n;
};

/* The column of a key: the one after `last`, else by search; -1: none. */
static inline int64_t table_find(const struct table *t, int64_t last, const char *key, size_t len)
{
  int64_t next = last + 1 < t->n ? last + 1 : 0;
  if (t->key_len[next] == len && !memcmp(t->key[next], key, len))
    return next;
  for (int64_t i = 0; i < t->n; i++)
    if (t->key_len[i] == len && !memcmp(t->key[i], key, len))
      return i;
  return -1;
}
static inline void push(struct mr_column *c)
{
  if (c->valid)
    mr_bit_set(c->valid, c->length, true);
  c->length++;
}
static inline void push_int(struct mr_column *c, int64_t v)
{
  ((int64_t *)(void *)c->data)[c->length] = v;
  push(c);
}
static inline void push_real(struct mr_column *c, double v)
{
  ((double *)(void *)c->data)[c->length] = v;
  push(c);
}
static inline void push_bool(struct mr_column *c, bool v)
{
  mr_bit_set(c->data, c->length, v);
  push(c);
}
static inline bool push_text(struct mr_column *c, const char *s, size_t n)
{
  if (c->bytes_cap - c->bytes_len < (int64_t)n && !mr_column_reserve_bytes(c, (int64_t)n))
    return false;
  memcpy(c->bytes + c->bytes_len, s, n);
  c->bytes_len += (int64_t)n;
  ((int32_t *)(void *)c->data)[c->length + 1] = (int32_t)c->bytes_len;
  push(c);
  return true;
}

/* One message into the table, a row each; false: refused. padded: 64 more bytes may be read behind
 * it. */
typedef bool bench_row_fn(struct table *t, const char *data, size_t len);
bool simdjson_row_padded(struct table *t, const char *data, size_t len);
bool simdjson_row_copied(struct table *t, const char *data, size_t len);
bool yyjson_row(struct table *t, const char *data, size_t len);

#ifdef __cplusplus
}
#endif
#endif
