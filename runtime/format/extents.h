/* SPDX-License-Identifier: Apache-2.0 */
/* Where the rows of a message stand in it: filled by a decoder, told by mr_host.extents. Zeroed to
 * begin with. */
#ifndef MR_EXTENTS_H
#define MR_EXTENTS_H
#include <stdlib.h>
#include "millrace/plugin.h"

struct mr_extents {
  struct mr_extent *extent;
  size_t n, cap;
};

/* Appends one. false: no memory, nothing changed. */
static inline bool mr_extents_add(struct mr_extents *s, size_t at, size_t len)
{
  if (__builtin_expect(s->n == s->cap, 0)) {
    size_t cap = s->cap ? 2 * s->cap : 64;
    struct mr_extent *more = realloc(s->extent, cap * sizeof *more);
    if (!more)
      return false;
    s->extent = more;
    s->cap = cap;
  }
  s->extent[s->n++] = (struct mr_extent){at, len};
  return true;
}
/* What mr_host.extents gives; lent. */
static inline const struct mr_extent *mr_extents_of(const struct mr_extents *s)
{
  return s->n ? s->extent : NULL;
}
static inline void mr_extents_finish(struct mr_extents *s)
{
  free(s->extent);
  *s = (struct mr_extents){0};
}

#endif
