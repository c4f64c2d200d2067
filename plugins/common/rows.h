/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a batch by index: new columns from chosen rows of old ones. Header-only, any thread.
 *
 * Copies run a column at a time over typed values. Text or lists that would pass 2 GiB (the reach
 * of their offsets) and short memory both give false; rows_text_bytes tells them apart beforehand.
 */
#ifndef COMMON_ROWS_H
#define COMMON_ROWS_H
#include "millrace/build.h"

static inline bool rows__valid(const struct mr_view *v, const int64_t *index, int64_t n,
                               struct mr_column *c)
{
  bool plain = v->kind != MR_K_NULL && !v->valid;
  for (int64_t i = 0; i < n && plain; i++)
    plain = index[i] >= 0;
  if (plain)
    return true;
  if (!mr_buf_reserve(&c->valid, &c->valid_cap, 0, n / 8 + 1))
    return false;
  for (int64_t i = 0; i < n; i++) {
    bool ok = index[i] >= 0 && !mr_view_null(v, index[i]);
    mr_bit_set(c->valid, i, ok);
    c->nulls += !ok;
  }
  return true;
}

#define ROWS__COPY(T)             \
  for (int64_t i = 0; i < n; i++) \
  ((T *)(void *)c->data)[i] =     \
      index[i] < 0 ? (T)0 : ((const T *)(const void *)v->data)[v->offset + index[i]]

static inline void rows__fixed(const struct mr_view *v, const int64_t *index, int64_t n,
                               struct mr_column *c)
{
  switch (v->width) {
  case 1: ROWS__COPY(uint8_t); break;
  case 2: ROWS__COPY(uint16_t); break;
  case 4: ROWS__COPY(uint32_t); break;
  case 8: ROWS__COPY(uint64_t); break;
  default:
    for (int64_t i = 0; i < n; i++) {
      uint8_t *to = c->data + i * v->width;
      if (index[i] < 0)
        memset(to, 0, (size_t)v->width);
      else
        memcpy(to, v->data + (v->offset + index[i]) * v->width, (size_t)v->width);
    }
  }
}
#undef ROWS__COPY

static inline bool rows__text(const struct mr_view *v, const int64_t *index, int64_t n,
                              struct mr_column *c)
{
  const int32_t *from = (const int32_t *)(const void *)v->data + v->offset;
  int32_t *to = (int32_t *)(void *)c->data;
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++) {
    if (index[i] >= 0)
      total += from[index[i] + 1] - from[index[i]];
    if (total > INT32_MAX)
      return false;
    to[i + 1] = (int32_t)total;
  }
  if (!mr_column_reserve_bytes(c, total))
    return false;
  for (int64_t i = 0; i < n; i++)
    if (to[i + 1] > to[i])
      memcpy(c->bytes + to[i], v->bytes + from[index[i]], (size_t)(to[i + 1] - to[i]));
  c->bytes_len = total;
  return true;
}

static inline bool rows__column(const struct mr_view *v, const int64_t *index, int64_t n,
                                struct mr_column *c);

/* The elements of the chosen lists (maps) become the chosen elements of the child. */
static inline bool rows__list(const struct mr_view *v, const int64_t *index, int64_t n,
                              struct mr_column *c)
{
  int32_t *to = (int32_t *)(void *)c->data;
  int64_t total = 0, at = 0, begin, end;
  for (int64_t i = 0; i < n; i++) {
    if (index[i] >= 0 && !mr_view_null(v, index[i])) {
      mr_view_range(v, index[i], &begin, &end);
      total += end - begin;
    }
    if (total > INT32_MAX)
      return false;
    to[i + 1] = (int32_t)total;
  }
  int64_t *child = (int64_t *)malloc((size_t)(total ? total : 1) * sizeof *child);
  if (!child)
    return false;
  for (int64_t i = 0; i < n; i++) {
    if (to[i + 1] == to[i])
      continue;
    mr_view_range(v, index[i], &begin, &end);
    while (begin < end)
      child[at++] = begin++;
  }
  struct mr_view cv;
  mr_view_init(&cv, v->schema->children[0], v->array->children[0]);
  bool ok = rows__column(&cv, child, total, &c->child[0]);
  free(child);
  return ok;
}

static inline bool rows__struct(const struct mr_view *v, const int64_t *index, int64_t n,
                                struct mr_column *c)
{
  for (int64_t k = 0; k < c->n_child; k++) {
    struct mr_view cv;
    mr_view_init(&cv, v->schema->children[k], v->array->children[k]);
    cv.offset += v->offset;
    if (!rows__column(&cv, index, n, &c->child[k]))
      return false;
  }
  return true;
}

/* Fills an empty column with elements index[0 .. n); -1 is a null. */
static inline bool rows__column(const struct mr_view *v, const int64_t *index, int64_t n,
                                struct mr_column *c)
{
  bool ok = mr_column_reserve(c, n);
  if (ok && v->kind == MR_K_NULL)
    c->nulls = n;
  else
    ok = ok && rows__valid(v, index, n, c);
  if (!ok)
    return false;
  if (v->kind == MR_K_BOOL) {
    for (int64_t i = 0; i < n; i++)
      mr_bit_set(c->data, i, index[i] >= 0 && mr_view_bool(v, index[i]));
  } else if (v->kind == MR_K_TEXT || v->kind == MR_K_BINARY) {
    ok = rows__text(v, index, n, c);
  } else if (v->kind == MR_K_LIST || v->kind == MR_K_MAP) {
    ok = rows__list(v, index, n, c);
  } else if (v->kind == MR_K_STRUCT) {
    ok = rows__struct(v, index, n, c);
  } else if (v->kind != MR_K_NULL) {
    rows__fixed(v, index, n, c);
  }
  c->length = n;
  return ok;
}

/* A new array with element index[i] of a (lent, slices too) for each i < n; index -1 gives a null.
 */
static inline bool rows_gather(const struct ArrowSchema *s, const struct ArrowArray *a,
                               const int64_t *index, int64_t n, struct ArrowArray *give)
{
  struct mr_column c;
  struct mr_view v;
  mr_view_init(&v, s, a);
  bool ok = mr_column_init(&c, s) && rows__column(&v, index, n, &c) && mr_column_finish(&c, give);
  mr_column_done(&c);
  return ok;
}

/* New rows with all columns of `rows` (lent). */
static inline bool rows_pick(const struct ArrowSchema *s, const struct ArrowArray *rows,
                             const int64_t *index, int64_t n, struct ArrowArray *give)
{
  struct ArrowArray out;
  bool ok = mr_array_init(&out, n, 1, s->n_children);
  for (int64_t i = 0; ok && i < s->n_children; i++)
    ok = rows_gather(s->children[i], rows->children[i], index, n, out.children[i]);
  if (ok)
    mr_array_move(&out, give);
  else
    mr_array_release(&out);
  return ok;
}

/* Indices of the set bits among the first n, malloc'd; NULL: no memory. */
static inline int64_t *rows_indices(const uint8_t *keep, int64_t n, int64_t *ret_n)
{
  int64_t *index = (int64_t *)malloc((size_t)(n ? n : 1) * sizeof *index), k = 0;
  for (int64_t i = 0; index && i < n; i++) {
    index[k] = i;
    k += mr_bit_get(keep, i);
  }
  *ret_n = k;
  return index;
}

/* New rows with those whose bit in keep is set. */
static inline bool rows_filter(const struct ArrowSchema *s, const struct ArrowArray *rows,
                               const uint8_t *keep, struct ArrowArray *give)
{
  int64_t n;
  int64_t *index = rows_indices(keep, rows->length, &n);
  bool ok = index && rows_pick(s, rows, index, n, give);
  free(index);
  return ok;
}

/* Bytes (text) or elements (lists) that the chosen elements of one column hold on this level; what
 * is over INT32_MAX cannot be one column. */
static inline int64_t rows_text_bytes(const struct ArrowSchema *s, const struct ArrowArray *a,
                                      const int64_t *index, int64_t n)
{
  struct mr_view v;
  int64_t total = 0, from, to;
  mr_view_init(&v, s, a);
  if (!mr__is_var(v.kind))
    return 0;
  for (int64_t i = 0; i < n; i++) {
    if (index[i] < 0)
      continue;
    mr_view_range(&v, index[i], &from, &to);
    total += to - from;
  }
  return total;
}

#endif
