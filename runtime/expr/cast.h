/* SPDX-License-Identifier: Apache-2.0 */
/* What coerce.c, cast.c and cast_text.c share. */
#ifndef MR_EXPR_CAST_H
#define MR_EXPR_CAST_H
#include "expr/scalar.h"

struct mr_cast { /* n->data of a cast */
  struct mr_xtype from, to;
  mr_i128 min, max;                 /* integer targets */
  struct mr_zone *zone_from, *zone; /* of timestamps with a zone */
  bool quiet;                       /* TRY_CAST: null without a report */
};
/* Reports a value that cannot be cast, unless the cast is quiet. */
void mr_cast_bad(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                 const char *code, const char *why);
/* Makes n (a call with one checked argument) a cast to a type. MR_BADCONF: there is no such cast.
 */
int mr_cast_make(struct mr_check *c, struct mr_node *n, struct mr_xtype to, bool quiet);
/* The kernel for a pair of types, NULL: none (cast_text.c: one side is text). */
mr_kernel_fn *mr_cast_text_kernel(const struct mr_xtype *from, const struct mr_xtype *to);
/* Smallest and largest value of an integer kind. */
void mr_cast_int_range(int kind, mr_i128 *ret_min, mr_i128 *ret_max);

#endif
