/* SPDX-License-Identifier: Apache-2.0 */
/* "did you mean": the nearest of the names that would have been right. */
#ifndef MR_SUGGEST_H
#define MR_SUGGEST_H
#include <stddef.h>

/* Edits (insert, delete, replace, swap of neighbours) that turn a into b, both ASCII
 * case-insensitive; at most `limit` + 1. */
int mr_suggest_distance(const char *a, const char *b, int limit);
/* The nearest of n names, when it is near enough to be meant; else NULL. Lent. */
const char *mr_suggest(const char *wrong, const char *const *names, size_t n);
/* " (did you mean `x`?)" or "". Caller frees. */
char *mr_suggest_text(const char *wrong, const char *const *names, size_t n);

#endif
