/* SPDX-License-Identifier: Apache-2.0 */
/* `absent: unset`: which keys an object had becomes `_set`. A bit is put only for a key that is not
 * there; what lies before it is filled up with ones then, and the rest when the rows are taken. */
#include "format/json.h"
#include "millrace/changes.h"

struct mr_json_set {
  struct ArrowSchema schema; /* of `_set` */
  struct mr_column col;
  int64_t *child; /* of each column: its child here, or -1 */
  int64_t at;     /* where `_set` stands among the columns */
};

void mr_json_set_finish(struct mr_json *d)
{
  struct mr_json_set *s = d->set;
  if (!s)
    return;
  mr_column_done(&s->col);
  mr_schema_release(&s->schema);
  free(s->child);
  free(s);
  d->set = NULL;
}

/* Columns without the declared `_set`. */
static bool strip(struct mr_json *d, int64_t at)
{
  const struct ArrowSchema *all = d->conf.columns;
  bool ok = mr_schema_struct(&d->declared);
  for (int64_t i = 0; ok && i < all->n_children; i++) {
    struct ArrowSchema c = {0};
    ok = i == at || (mr_schema_copy(all->children[i], &c) && mr_schema_add(&d->declared, &c));
    if (!ok)
      mr_schema_release(&c);
  }
  d->conf.columns = &d->declared;
  return ok;
}

bool mr_json_set_init(struct mr_json *d)
{
  const struct ArrowSchema *columns = d->conf.columns;
  struct mr_json_set *s = d->set = calloc(1, sizeof *s);
  if (!s)
    return false;
  s->at = columns ? mr_schema_find(columns, MR_SET) : -1;
  if (s->at < 0 || !mr_set_valid(columns->children[s->at]))
    return true;
  return mr_schema_copy(columns->children[s->at], &s->schema) && strip(d, s->at);
}

/* A child for each column, unless those were declared and nothing can be new. */
static bool make_schema(struct mr_json *d)
{
  struct mr_json_set *s = d->set;
  struct ArrowSchema rows;
  if (s->schema.release && !d->shape)
    return true;
  mr_schema_release(&s->schema);
  if (!mr_schema_copy(&d->schema, &rows) || !mr_set_field(&rows)) {
    mr_schema_release(&rows);
    return false;
  }
  mr_schema_move(rows.children[rows.n_children - 1], &s->schema);
  mr_schema_release(&rows);
  return true;
}

bool mr_json_set_plan(struct mr_json *d)
{
  struct mr_json_set *s = d->set;
  int64_t n = d->schema.n_children;
  if (!s)
    return true;
  mr_column_done(&s->col);
  free(s->child);
  s->child = calloc((size_t)n + 1, sizeof *s->child);
  if (!s->child || !make_schema(d) || !mr_column_init(&s->col, &s->schema))
    return false;
  for (int64_t i = 0; i < n; i++)
    s->child[i] = mr_schema_find(&s->schema, d->schema.children[i]->name);
  return true;
}

bool mr_json_set_schema(const struct mr_json *d, struct ArrowSchema *rows)
{
  const struct mr_json_set *s = d->set;
  struct ArrowSchema c;
  if (!s)
    return true;
  if (!mr_schema_copy(&s->schema, &c) || !mr_schema_add(rows, &c)) {
    mr_schema_release(&c);
    return false;
  }
  for (int64_t i = rows->n_children - 1; s->at >= 0 && i > s->at; i--) {
    struct ArrowSchema *other = rows->children[i - 1];
    rows->children[i - 1] = rows->children[i];
    rows->children[i] = other;
  }
  return true;
}

static bool fill(struct mr_column *c, int64_t length)
{
  if (!mr_column_reserve(c, length - c->length))
    return false;
  while (c->length < length)
    mr_bit_set(c->data, c->length++, true);
  return true;
}

bool mr_json_set_absent(struct mr_json *d, int64_t column, int64_t row)
{
  struct mr_json_set *s = d->set;
  if (!s || s->child[column] < 0)
    return true;
  struct mr_column *c = &s->col.child[s->child[column]];
  return fill(c, row) && mr_column_bool(c, false);
}

void mr_json_set_rollback(struct mr_json *d, int64_t rows)
{
  for (int64_t i = 0; d->set && i < d->set->col.n_child; i++)
    mr_column_truncate(&d->set->col.child[i], rows);
}

static bool take(struct mr_json_set *s, int64_t rows, struct ArrowArray *give)
{
  for (int64_t i = 0; i < s->col.n_child; i++)
    if (!fill(&s->col.child[i], rows))
      return false;
  s->col.length = rows;
  return mr_column_finish(&s->col, give);
}

bool mr_json_set_take(struct mr_json *d, struct ArrowArray *give)
{
  struct mr_column *col = d->rows.child;
  int64_t n = d->rows.n_child + 1, at = d->set->at < 0 ? n - 1 : d->set->at;
  bool ok = mr_array_init(give, d->rows.length, 1, n);
  for (int64_t i = 0; ok && i < n; i++)
    ok = i == at ? take(d->set, d->rows.length, give->children[i])
                 : mr_column_finish(col++, give->children[i]);
  if (!ok)
    mr_array_release(give);
  return ok;
}
