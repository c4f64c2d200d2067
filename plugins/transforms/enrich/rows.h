/* SPDX-License-Identifier: Apache-2.0 */
/* Putting rows together: the input's columns and the found ones side by side, all rows or some. */
#ifndef ENRICH_ROWS_H
#define ENRICH_ROWS_H
#include "millrace/build.h"

/* Moves the children of in, then those children of found that from[] names, into one struct. false:
 * no memory, in and found stay whole. */
bool enrich_join(struct ArrowArray *in, struct ArrowArray *found, const int64_t *from,
                 int64_t n_from, struct ArrowArray *give);
/* The same with copies of the rows whose bit in keep is set; in and found stay the caller's. s: the
 * schema of the result. */
bool enrich_pick(const struct ArrowSchema *s, const struct ArrowArray *in,
                 const struct ArrowArray *found, const int64_t *from, const uint8_t *keep,
                 struct ArrowArray *give);

#endif
