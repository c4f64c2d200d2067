/* SPDX-License-Identifier: Apache-2.0 */
/* Gives a harness the expression services of the runtime. For tests that link dep_expr. */
#ifndef HARNESS_EXPR_H
#define HARNESS_EXPR_H
#include "expr/expr.h"
#include "harness.h"

static inline int harness__expr(void *ctx, const char *text, const struct ArrowSchema *in,
                                struct mr_expr **ret, struct ArrowSchema *give_type,
                                struct mr_error *err)
{
  return mr_expr_new(text, in, ret, give_type, err);
}
static inline int harness__eval(struct mr_expr *e, const struct mr_batch *b,
                                struct ArrowArray *give, mr_bad_row_fn *bad, void *out,
                                struct mr_error *err)
{
  return mr_expr_eval(e, b->schema, &b->rows, give, bad, out, err);
}
static inline void harness_add_expr(struct harness *h)
{
  h->host.expr = harness__expr;
  h->host.eval = harness__eval;
  h->host.expr_free = mr_expr_free;
  h->host.expr_columns = mr_expr_columns;
}

#endif
