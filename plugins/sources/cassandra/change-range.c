/* SPDX-License-Identifier: Apache-2.0 */
/* A range of the clustering's order, cut into boxes. With the start s1, s2, s3 and the end e1, e2
 * of three columns (a common beginning is equal in all of them, and left out):
 *
 *   c1 = s1, c2 = s2, c3 > s3      c1 = s1, c2 > s2
 *   c1 > s1, c1 < e1
 *   c1 = e1, c2 < e2
 *
 * What is > in storage is < in value of a descending column. */
#include "change-in.h"

static bool same(const struct clog_bytes *a, const struct clog_bytes *b)
{
  return a->len == b->len && (a->len <= 0 || !memcmp(a->p, b->p, (size_t)a->len));
}

/* Bounds column k of a box by b's value of it, on that side of storage order (0: behind, 1:
 * before). */
static void bound(const struct clog_event *e, struct box *box, const struct clog_bound *b,
                  uint32_t k, int side)
{
  bool descending = clog_table_columns(e->table, CLOG_CLUSTERING)[k].descending;
  int at = descending ? !side : side;
  box->bounded = (int32_t)k;
  box->has[at] = true;
  box->bound[at] = b->value[k];
  box->inclusive[at] = k + 1 == b->n && b->inclusive;
}

/* All boxes of one bound that are narrower than the one in the middle, which has n_equal. */
static size_t narrow(const struct clog_event *e, const struct clog_bound *b, uint32_t n_equal,
                     int side, struct box *ret)
{
  size_t n = 0;
  for (uint32_t k = n_equal + 1; k < b->n; k++, n++) {
    ret[n] = (struct box){.equal = b->value, .n_equal = k};
    bound(e, &ret[n], b, k, side);
  }
  return n;
}

size_t range_boxes(const struct clog_event *e, struct box *ret)
{
  const struct clog_bound *start = &e->start, *end = &e->end;
  uint32_t common = 0;
  while (common < start->n && common < end->n && same(&start->value[common], &end->value[common]))
    common++;
  /* A bound that all the rows of its prefix are outside of. */
  if ((start->n && start->n == common && !start->inclusive) ||
      (end->n && end->n == common && !end->inclusive))
    return 0;
  size_t n = narrow(e, start, common, 0, ret);
  ret[n] =
      (struct box){.equal = start->n ? start->value : end->value, .n_equal = common, .bounded = -1};
  if (start->n > common)
    bound(e, &ret[n], start, common, 0);
  if (end->n > common)
    bound(e, &ret[n], end, common, 1);
  n++;
  return n + narrow(e, end, common, 1, ret + n);
}
