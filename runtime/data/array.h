/* SPDX-License-Identifier: Apache-2.0 */
/* Zero-copy and copying work on Arrow arrays of any type that Millrace carries. Any thread; shares
 * may be released on any thread. */
#ifndef MR_ARRAY_H
#define MR_ARRAY_H
#include "base/base.h"
#include "millrace/build.h"

/* One more reference to the same buffers: *a is turned into a counted array (still the caller's),
 * *ret is given. */
bool mr_array_share(struct ArrowArray *a, struct ArrowArray *ret);
/* Rows [from, from + n) of a rows struct, zero-copy; offsets go to the children, the top level
 * keeps offset 0. *rows stays the caller's. */
bool mr_rows_slice(struct ArrowArray *rows, int64_t from, int64_t n, struct ArrowArray *ret);
/* The rows whose bit in keep (bit i = row i) is set: copies, or shares when all are kept. *rows
 * stays the caller's. */
bool mr_rows_filter(const struct ArrowSchema *s, struct ArrowArray *rows, const uint8_t *keep,
                    struct ArrowArray *ret);
/* A new array: element index[i] of a for each i < n; index -1 gives a null. */
bool mr_array_gather(const struct ArrowSchema *s, const struct ArrowArray *a, const int64_t *index,
                     int64_t n, struct ArrowArray *ret);
/* Appends element i of view v to a column builder of the same type. */
bool mr_column_append(struct mr_column *c, const struct mr_view *v, int64_t i);
/* Payload bytes that the array's elements take (not the buffers' capacity). */
int64_t mr_array_bytes(const struct ArrowSchema *s, const struct ArrowArray *a);
/* Checks that an array obeys the ABI for the schema: buffer and child counts, lengths, offsets
 * monotonic, UTF-8 when deep. MR_FATAL with the place. */
int mr_array_check(const struct ArrowSchema *s, const struct ArrowArray *a, bool deep,
                   struct mr_error *err);
/* Valid UTF-8 (no surrogates, no overlong forms, up to U+10FFFF). */
bool mr_utf8_valid(const void *p, size_t n);

#endif
