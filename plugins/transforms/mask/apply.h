/* SPDX-License-Identifier: Apache-2.0 */
/* Masks the columns of a batch as a plan says. */
#ifndef MASK_APPLY_H
#define MASK_APPLY_H
#include "canon.h"
#include "common/hmac-sha256.h"
#include "plan.h"

struct mask_tools {
  struct mr_hmac *hmac;
  struct mask_buf buf;
  const char *key_id;
};

/* Takes rows (of plan->in) and gives rows of plan->out: masked columns are made anew, the others
 * moved; the unmasked originals are released before this returns. On failure (MR_FATAL: memory, a
 * column over 2 GiB, libcrypto) rows stays as it was. */
int mask_rows(struct mask_tools *t, const struct mask_plan *plan, struct ArrowArray *rows,
              struct ArrowArray *give, struct mr_error *err);

#endif
