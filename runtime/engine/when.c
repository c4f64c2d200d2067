/* SPDX-License-Identifier: Apache-2.0 */
/* Routing by `when`: the reader of a branch takes the rows for which its expression is true;
 * `otherwise` takes those that no sibling takes, the NULLs included. A delete of many rows
 * (`_range`) for which it is NULL may mean rows of each branch: it goes into all of them. */
#include "data/array.h"
#include "engine/engine.h"
#include "expr/expr.h"
#include "millrace/changes.h"

struct mr_when {
  GPtrArray *exprs; /* struct mr_expr *: the stage's own one, or all siblings' */
  bool otherwise;
};

void mr_when_free(struct mr_when *w)
{
  if (!w)
    return;
  for (guint i = 0; i < w->exprs->len; i++)
    mr_expr_free(w->exprs->pdata[i]);
  g_ptr_array_unref(w->exprs);
  g_free(w);
}

static bool add(struct mr_when *w, const char *text, const struct ArrowSchema *in,
                struct mr_error *err)
{
  struct mr_expr *e = NULL;
  struct ArrowSchema type = {0};
  if (mr_expr_new(text, in, &e, &type, err) < 0)
    return false;
  enum mr_kind k = mr_kind_of(&type);
  mr_schema_release(&type);
  g_ptr_array_add(w->exprs, e);
  if (k == MR_K_BOOL || k == MR_K_NULL)
    return true;
  mr_fail(err, MR_BADCONF, "`when: %s` is no condition: its type is not bool", text);
  return false;
}

static bool same_input(const struct mr_stage_spec *a, const struct mr_stage_spec *b)
{
  return a->input && b->input &&
         g_strv_equal((const char *const *)a->input, (const char *const *)b->input);
}

struct mr_when *mr_when_new(struct mr_stage *s, const struct ArrowSchema *in, struct mr_error *err)
{
  struct mr_when *w = g_new0(struct mr_when, 1);
  bool ok = true;
  w->exprs = g_ptr_array_new();
  w->otherwise = !strcmp(s->spec->when, "otherwise");
  if (!w->otherwise)
    ok = add(w, s->spec->when, in, err);
  for (guint i = 0; ok && w->otherwise && i < s->p->spec->stages->len; i++) {
    const struct mr_stage_spec *o = s->p->spec->stages->pdata[i];
    if (o->when && strcmp(o->when, "otherwise") && same_input(o, s->spec))
      ok = add(w, o->when, in, err);
  }
  if (ok)
    return w;
  mr_when_free(w);
  return NULL;
}

/* Sets the bits of rows where the expression is true. ranges: those of deletes of many rows, too,
 * where it is not false. */
static int mark_true(struct mr_expr *e, const struct mr_batch *b, bool ranges, uint8_t *bits,
                     struct mr_error *err)
{
  static const struct ArrowSchema type = {.format = "b"};
  struct ArrowArray a = {0};
  struct mr_range_columns range;
  struct mr_view v = {0};
  int st = mr_expr_eval(e, b->schema, &b->rows, &a, NULL, NULL, err);
  if (st < 0)
    return st;
  bool all_null = a.n_buffers < 2;
  if (!all_null)
    mr_view_init(&v, &type, &a);
  mr_range_view(&range, b->schema, &b->rows, "");
  for (int64_t i = 0; i < b->rows.length; i++) {
    bool null = all_null || mr_view_null(&v, i);
    if (null ? ranges && mr_range_has(&range, i) : mr_view_bool(&v, i))
      mr_bit_set(bits, i, true);
  }
  mr_array_release(&a);
  return MR_OK;
}

int mr_when_apply(struct mr_when *w, struct mr_stage *s, struct mr_message **m,
                  struct mr_error *err)
{
  struct mr_batch *b = &(*m)->batch, out = *b;
  gsize size = (gsize)(b->rows.length + 7) / 8;
  g_autofree uint8_t *bits = g_malloc0(size + 1);
  for (guint i = 0; i < w->exprs->len; i++) {
    int st = mark_true(w->exprs->pdata[i], b, !w->otherwise, bits, err);
    if (st < 0)
      return st;
  }
  for (gsize i = 0; w->otherwise && i < size; i++)
    bits[i] = (uint8_t)~bits[i];
  if (!mr_rows_filter(b->schema, &b->rows, bits, &out.rows))
    return mr_fail(err, MR_FATAL, "out of memory");
  struct mr_message *n = mr_message_batch(&s->p->budget, (*m)->shape, &out);
  if (!n)
    g_error("out of memory");
  n->since = (*m)->since;
  mr_message_unref(*m);
  *m = n;
  return MR_OK;
}
