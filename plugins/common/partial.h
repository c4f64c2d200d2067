/* SPDX-License-Identifier: Apache-2.0 */
/* `_set` behind a transform: each column that comes out is written where all the columns that it
 * was made from are. Header-only, any thread, one owner.
 *
 * A need is a row of flags, one for each child of the input's `_set`: those that must hold. */
#ifndef COMMON_PARTIAL_H
#define COMMON_PARTIAL_H
#include "millrace/changes.h"

struct partial {
  int64_t at, n_in;          /* `_set` in the input, -1: none; its children */
  struct ArrowSchema schema; /* the `_set` that comes out */
  uint8_t *need;             /* n_in flags for each of its children */
};

/* false: no memory; to be finished all the same. Input without `_set` is fine: all is written. */
static inline bool partial_init(struct partial *p, const struct ArrowSchema *in)
{
  memset(p, 0, sizeof *p);
  p->at = mr_schema_find(in, MR_SET);
  if (p->at >= 0 && !mr_set_valid(in->children[p->at]))
    p->at = -1;
  if (p->at < 0)
    return true;
  p->n_in = in->children[p->at]->n_children;
  return mr_schema_init(&p->schema, MR_SET, "+s", false);
}
static inline void partial_done(struct partial *p)
{
  mr_schema_release(&p->schema);
  free(p->need);
  p->need = NULL;
}
/* Adds to a need what a column of the input needs. */
static inline void partial_need(const struct partial *p, const struct ArrowSchema *in,
                                const char *column, uint8_t *need)
{
  int64_t k = p->at < 0 ? -1 : mr_schema_find(in->children[p->at], column);
  if (k >= 0)
    need[k] = 1;
}
/* A column comes out that needs this; one that needs nothing is always written. false: no memory.
 */
static inline bool partial_add(struct partial *p, const char *column, const uint8_t *need)
{
  if (p->at < 0 || !p->n_in || !memchr(need, 1, (size_t)p->n_in))
    return true;
  size_t n = (size_t)p->n_in, had = (size_t)p->schema.n_children * n;
  uint8_t *grown = (uint8_t *)realloc(p->need, had + n);
  if (!grown)
    return false;
  p->need = grown;
  memcpy(grown + had, need, n);
  return mr_schema_field(&p->schema, column, "b", false);
}

/* One child: the bits that are needed, joined. */
static inline bool partial__child(const struct partial *p, const uint8_t *need,
                                  const struct ArrowSchema *in, const struct ArrowArray *rows,
                                  struct mr_column *c)
{
  int64_t n = rows->length;
  if (!mr_column_reserve(c, n ? n : 1))
    return false;
  memset(c->data, 0xff, (size_t)((n + 7) / 8));
  for (int64_t k = 0; k < p->n_in; k++) {
    struct mr_view v;
    if (!need[k])
      continue;
    mr_set_view(&v, in, rows, in->children[p->at]->children[k]->name);
    for (int64_t i = 0; i < n; i++)
      if (!mr_set_has(&v, i))
        mr_bit_set(c->data, i, false);
  }
  c->length = n;
  return true;
}
/* The `_set` that comes out, for all rows of the input (lent). p->at is not -1. false: no memory.
 */
static inline bool partial_make(const struct partial *p, const struct ArrowSchema *in,
                                const struct ArrowArray *rows, struct ArrowArray *give)
{
  struct mr_column c;
  bool ok = mr_column_init(&c, &p->schema);
  for (int64_t i = 0; ok && i < c.n_child; i++)
    ok = partial__child(p, p->need + i * p->n_in, in, rows, &c.child[i]);
  c.length = rows->length;
  ok = ok && mr_column_finish(&c, give);
  mr_column_done(&c);
  return ok;
}

#endif
