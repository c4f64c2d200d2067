/* SPDX-License-Identifier: Apache-2.0 */
/* What compare.c and in.c share. */
#ifndef MR_EXPR_COMPARE_H
#define MR_EXPR_COMPARE_H
#include "expr/internal.h"

struct mr_compare;
/* sign[i] = -1, 0, 1 as arg[0] is below, equal to or above arg[1]; rows that are null are left as
 * they are or get anything. */
typedef void mr_sign_fn(struct mr_run *r, const struct mr_compare *k, struct mr_vec *const *arg,
                        int8_t *sign);
struct mr_compare {
  mr_sign_fn *sign;
  int scale_a, scale_b;
  uint8_t table[3]; /* an operator's results for -1, 0, 1 */
};
/* Makes arguments i and j comparable (literals adapt, dates meet timestamps). MR_BADCONF: they are
 * not. */
int mr_compare_pair(struct mr_check *c, struct mr_node *n, int i, int j, struct mr_compare *ret);
/* x IN (a, b, ...) */
int mr_in_check(struct mr_check *c, struct mr_node *n);

#endif
