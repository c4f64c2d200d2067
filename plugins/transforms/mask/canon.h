/* SPDX-License-Identifier: Apache-2.0 */
/* The one text that stands for a value of any type: what is hashed, and what partial shows parts
 * of. */
#ifndef MASK_CANON_H
#define MASK_CANON_H
#include "millrace/build.h"

struct mask_buf {
  char *p;
  size_t len, cap;
};
void mask_buf_done(struct mask_buf *b); /* wipes it: it held unmasked values */

/* Element i of v (not null), as bytes. Text and binary are lent as they are; everything else is
 * written into b (from its beginning): integers          decimal digits: 5, -17 decimal exact,
 * without zeros at the end of the fraction: 5, 5.1 float             the shortest digits that read
 * back the same: 5, 0.1, 1e+22, NaN, Infinity; -0 is 0 bool              true, false date, time
 * 2026-01-28, 10:00:00 or 10:00:00.000001 timestamp         2026-01-28T10:00:00.5, with Z when the
 * column has a zone uuid              lower-case, with hyphens list, struct, map JSON without
 * spaces; fields in the column's order, null where null; binary as hexadecimal text; a map with
 *                     text keys is an object, another one an array of [key,value]
 * So equal values give equal text whatever the integer or decimal type. false: no memory. */
bool mask_canon(struct mask_buf *b, const struct mr_view *v, int64_t i, const char **ret,
                size_t *ret_len);

#endif
