/* SPDX-License-Identifier: Apache-2.0 */
/* Reading JSON texts in place (RFC 8259). */
#ifndef MR_EXPR_JSON_H
#define MR_EXPR_JSON_H
#include "expr/internal.h"

/* One value with nothing but blanks around it, at most 512 levels deep. */
bool mr_json_valid(struct mr_span s);

#endif
