/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that runs short when a test wants it to: put in front of a plugin's sources with
 * `-include`. While fault_at is not 0 every allocation counts it down, and the one that reaches 0
 * fails. One thread. */
#ifndef FAULT_H
#define FAULT_H
#include <stdlib.h>
#include <string.h>

extern long fault_at;
static inline int fault_now(void)
{
  return fault_at && !--fault_at;
}
static inline void *fault_malloc(size_t n)
{
  return fault_now() ? NULL : malloc(n);
}
static inline void *fault_calloc(size_t n, size_t size)
{
  return fault_now() ? NULL : calloc(n, size);
}
static inline void *fault_realloc(void *p, size_t n)
{
  return fault_now() ? NULL : realloc(p, n);
}
static inline char *fault_strdup(const char *s)
{
  return fault_now() ? NULL : strdup(s);
}
static inline int fault_memalign(void **ret, size_t align, size_t n)
{
  return fault_now() ? 12 : posix_memalign(ret, align, n);
}
#define malloc fault_malloc
#define calloc fault_calloc
#define realloc fault_realloc
#define strdup fault_strdup
#define posix_memalign fault_memalign

#endif
