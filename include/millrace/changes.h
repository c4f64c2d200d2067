/* SPDX-License-Identifier: Apache-2.0 */
/* millrace/changes.h: rows that change stored ones, told by system columns. Header-only, over
 * build.h.
 *
 * `_op` (utf8): "insert", "update" or "delete"; without it every row is an insert.
 *
 * PARTIAL UPDATES  The system column `_set` says which columns each row writes: a struct whose
 * children are bools, each named as a column of the same rows. true: the row writes the column,
 * null included. false: the row says nothing about it; whatever value stands there means nothing.
 * Names carry it: order does not matter, a column without a child is written by every row, a child
 * without a column says nothing. Whoever renames a column renames the child; whoever adds one whose
 * name an old child has takes that child out. There are no nulls in it, and it has no child for
 * system columns, which are always written. Rows without `_set` write all their columns. Plugins
 * that know it have MR_PARTIAL.
 *
 * DELETES OF MANY ROWS  The system column `_range` is null in every row but in a delete that means
 * all rows which fit it: key columns that have a value in it are equal, and key columns that
 * `_range` bounds lie within.  It is a struct, nullable, with a child for each key column that can
 * be bounded, named as that, nullable: a struct of lower, upper (both of the column's type,
 * nullable; null: no bound) and lower_inc, upper_inc (bool: the bound itself belongs to it). All
 * other columns are null in it, and not written where there is a `_set`; a key column that is null
 * and not bounded has any value. So a condition on a column that is not there is NULL: it may hold
 * for some of the rows that are meant, and the delete goes on; only where a condition is false is
 * it left out. Whoever renames a key column renames the child; a key column that is bounded is
 * neither dropped nor given other values. Plugins that know it have MR_RANGES; without, `check` and
 * the run refuse the pipeline. */
#ifndef MILLRACE_CHANGES_H
#define MILLRACE_CHANGES_H
#include "millrace/build.h"
#ifdef __cplusplus
extern "C" {
#endif

#define MR_SET "_set"
#define MR_RANGE "_range"

/* Is this column a `_set`? */
static inline bool mr_set_valid(const struct ArrowSchema *s)
{
  bool ok = mr_kind_of(s) == MR_K_STRUCT;
  for (int64_t i = 0; ok && i < s->n_children; i++)
    ok = mr_kind_of(s->children[i]) == MR_K_BOOL;
  return ok;
}
/* Adds `_set` to a rows schema, with a child for each column so far that is no system column. */
static inline bool mr_set_field(struct ArrowSchema *rows)
{
  struct ArrowSchema s;
  bool ok = mr_schema_init(&s, MR_SET, "+s", false);
  for (int64_t i = 0; ok && i < rows->n_children; i++)
    ok = mr_schema_is_system(rows->children[i]) ||
         mr_schema_field(&s, rows->children[i]->name, "b", false);
  ok = ok && mr_schema_add(rows, &s);
  if (!ok)
    mr_schema_release(&s);
  return ok;
}
/* What `_set` says of one column: a view for mr_set_has. For any rows, with and without `_set`. */
static inline void mr_set_view(struct mr_view *v, const struct ArrowSchema *rows_schema,
                               const struct ArrowArray *rows, const char *column)
{
  int64_t at = mr_schema_find(rows_schema, MR_SET);
  const struct ArrowSchema *s = at < 0 ? NULL : rows_schema->children[at];
  int64_t k = s && mr_set_valid(s) ? mr_schema_find(s, column) : -1;
  memset(v, 0, sizeof *v);
  if (k < 0)
    return;
  mr_view_init(v, s->children[k], rows->children[at]->children[k]);
  v->offset += rows->children[at]->offset;
  v->length = rows->length;
}
/* Does row i write the column? v: of mr_set_view. */
static inline bool mr_set_has(const struct mr_view *v, int64_t i)
{
  return v->kind != MR_K_BOOL || mr_view_bool(v, i);
}

/* ---------------------------------------------------------------- `_range` */

enum mr_bound { MR_LOWER, MR_UPPER, MR_LOWER_INC, MR_UPPER_INC, MR_BOUNDS };

/* Is this column a `_range`? */
static inline bool mr_range_valid(const struct ArrowSchema *s)
{
  static const char *const name[MR_BOUNDS] = {"lower", "upper", "lower_inc", "upper_inc"};
  bool ok = mr_kind_of(s) == MR_K_STRUCT;
  for (int64_t i = 0; ok && i < s->n_children; i++) {
    const struct ArrowSchema *c = s->children[i];
    ok = mr_kind_of(c) == MR_K_STRUCT && c->n_children == MR_BOUNDS;
    for (int b = 0; ok && b < MR_BOUNDS; b++)
      ok = !strcmp(c->children[b]->name, name[b]) &&
           (b < MR_LOWER_INC || mr_kind_of(c->children[b]) == MR_K_BOOL);
  }
  return ok;
}
static inline bool mr__range_bounds(struct ArrowSchema *bounds, const struct ArrowSchema *key)
{
  static const char *const name[] = {"lower", "upper"};
  for (int b = 0; b < 2; b++) {
    struct ArrowSchema c;
    if (mr_schema_copy(key, &c) && mr_schema_rename(&c, name[b])) {
      c.flags |= ARROW_FLAG_NULLABLE;
      if (mr_schema_add(bounds, &c))
        continue;
    }
    mr_schema_release(&c);
    return false;
  }
  return mr_schema_field(bounds, "lower_inc", "b", false) &&
         mr_schema_field(bounds, "upper_inc", "b", false);
}
/* Adds `_range` to a rows schema, to bound these key columns of it. */
static inline bool mr_range_field(struct ArrowSchema *rows, const char *const *key, size_t n)
{
  struct ArrowSchema range, bounds;
  bool ok = mr_schema_init(&range, MR_RANGE, "+s", true);
  for (size_t i = 0; ok && i < n; i++) {
    int64_t at = mr_schema_find(rows, key[i]);
    if (at < 0) {
      ok = false;
      break;
    }
    ok = mr_schema_init(&bounds, key[i], "+s", true) &&
         mr__range_bounds(&bounds, rows->children[at]) && mr_schema_add(&range, &bounds);
    if (!ok)
      mr_schema_release(&bounds);
  }
  ok = ok && mr_schema_add(rows, &range);
  if (!ok)
    mr_schema_release(&range);
  return ok;
}
/* What `_range` says of one column. bounded(i): bound[MR_LOWER], … have values for row i. */
struct mr_range_columns {
  struct mr_view row, column, bound[MR_BOUNDS]; /* kind 0: there are none */
};
static inline void mr_range_view(struct mr_range_columns *v, const struct ArrowSchema *rows_schema,
                                 const struct ArrowArray *rows, const char *column)
{
  int64_t at = mr_schema_find(rows_schema, MR_RANGE);
  const struct ArrowSchema *s = at < 0 ? NULL : rows_schema->children[at];
  memset(v, 0, sizeof *v);
  if (!s || !mr_range_valid(s))
    return;
  const struct ArrowArray *range = rows->children[at];
  mr_view_init(&v->row, s, range);
  int64_t k = mr_schema_find(s, column);
  if (k < 0)
    return;
  const struct ArrowArray *bounds = range->children[k];
  mr_view_init(&v->column, s->children[k], bounds);
  v->column.offset += range->offset;
  for (int b = 0; b < MR_BOUNDS; b++) {
    mr_view_init(&v->bound[b], s->children[k]->children[b], bounds->children[b]);
    v->bound[b].offset += range->offset + bounds->offset;
  }
}
/* Is row i a delete of many rows? v: for any column. */
static inline bool mr_range_has(const struct mr_range_columns *v, int64_t i)
{
  return v->row.kind == MR_K_STRUCT && !mr_view_null(&v->row, i);
}
/* Does such a row bound the column? */
static inline bool mr_range_bounds(const struct mr_range_columns *v, int64_t i)
{
  return mr_range_has(v, i) && v->column.kind == MR_K_STRUCT && !mr_view_null(&v->column, i);
}

#ifdef __cplusplus
}
#endif
#endif
