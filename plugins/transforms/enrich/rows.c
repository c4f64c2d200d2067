/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

bool enrich_join(struct ArrowArray *in, struct ArrowArray *found, const int64_t *from,
                 int64_t n_from, struct ArrowArray *give)
{
  struct ArrowArray rows;
  int64_t n = in->n_children;
  if (!mr_array_init(&rows, in->length, 1, n + n_from)) {
    mr_array_release(&rows);
    return false;
  }
  for (int64_t i = 0; i < n; i++)
    mr_array_move(in->children[i], rows.children[i]);
  for (int64_t i = 0; i < n_from; i++)
    mr_array_move(found->children[from[i]], rows.children[n + i]);
  mr_array_release(in);
  mr_array_release(found);
  mr_array_move(&rows, give);
  return true;
}

static bool copy_value(struct mr_column *c, const struct mr_view *v, int64_t i);

static bool copy_nested(struct mr_column *c, const struct mr_view *v, int64_t i)
{
  int64_t from = v->offset + i, to = from + 1;
  if (v->kind != MR_K_STRUCT)
    mr_view_range(v, i, &from, &to);
  for (int64_t k = 0; k < c->n_child; k++) {
    struct mr_view child;
    mr_view_init(&child, v->schema->children[k], v->array->children[k]);
    for (int64_t j = from; j < to; j++)
      if (!copy_value(&c->child[k], &child, j))
        return false;
  }
  return mr_column_end(c);
}

static bool copy_value(struct mr_column *c, const struct mr_view *v, int64_t i)
{
  if (mr_view_null(v, i))
    return mr_column_null(c);
  if (v->kind == MR_K_BOOL)
    return mr_column_bool(c, mr_view_bool(v, i));
  if (v->width > 0)
    return mr_column_fixed(c, mr_view_fixed(v, i));
  if (!v->width)
    return copy_nested(c, v, i);
  int64_t n;
  const char *p = mr_view_bytes(v, i, &n);
  return mr_column_bytes(c, p, n);
}

static bool copy_column(const struct ArrowSchema *s, const struct ArrowArray *a,
                        const uint8_t *keep, struct mr_column *c)
{
  struct mr_view v;
  mr_view_init(&v, s, a);
  bool ok = mr_column_init(c, s);
  for (int64_t i = 0; ok && i < a->length; i++)
    ok = !mr_bit_get(keep, i) || copy_value(c, &v, i);
  return ok;
}

bool enrich_pick(const struct ArrowSchema *s, const struct ArrowArray *in,
                 const struct ArrowArray *found, const int64_t *from, const uint8_t *keep,
                 struct ArrowArray *give)
{
  int64_t n = 0, cols = s->n_children;
  struct mr_column *c = calloc((size_t)(cols ? cols : 1), sizeof *c);
  bool ok = c != NULL;
  for (int64_t i = 0; i < in->length; i++)
    n += mr_bit_get(keep, i);
  for (int64_t i = 0; ok && i < cols; i++)
    ok = copy_column(s->children[i],
                     i < in->n_children ? in->children[i]
                                        : found->children[from[i - in->n_children]],
                     keep, &c[i]);
  ok = ok && mr_rows_finish(c, cols, n, give);
  for (int64_t i = 0; c && i < cols; i++)
    mr_column_done(&c[i]);
  free(c);
  return ok;
}
