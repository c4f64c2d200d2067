/* SPDX-License-Identifier: Apache-2.0 */
/* The Arrow C Data Interface: how rows cross every border of Millrace.
 *
 * Source: Apache Arrow, "The Arrow C data interface" (format specification, stable since 1.0). The
 * two structs and the three flags are that page's; ARROW_C_DATA_INTERFACE is the guard it asks for,
 * so that this header and another copy of the same definition can meet in one file.
 *
 * Ownership: whoever holds a struct whose `release` is set owns it. It is given away by copying the
 * struct bitwise and setting the source's release to NULL (mr_array_move, mr_schema_move). release
 * may be called on any thread. */
#ifndef MILLRACE_ARROW_H
#define MILLRACE_ARROW_H
#include <stdint.h>
#include <string.h>
#ifdef __cplusplus
extern "C" {
#endif

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  const char *format;
  const char *name;
  const char *metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema **children;
  struct ArrowSchema *dictionary;
  void (*release)(struct ArrowSchema *);
  void *private_data;
};

struct ArrowArray {
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void **buffers;
  struct ArrowArray **children;
  struct ArrowArray *dictionary;
  void (*release)(struct ArrowArray *);
  void *private_data;
};
#endif

/* Moves src into dst (dst is overwritten, not released); src is left released. Any thread. */
static inline void mr_array_move(struct ArrowArray *src, struct ArrowArray *dst)
{
  *dst = *src;
  src->release = NULL;
}
static inline void mr_schema_move(struct ArrowSchema *src, struct ArrowSchema *dst)
{
  *dst = *src;
  src->release = NULL;
}

/* Releases what is there; takes NULL, zeroed and already released structs. Any thread. */
static inline void mr_array_release(struct ArrowArray *a)
{
  if (a && a->release)
    a->release(a);
}
static inline void mr_schema_release(struct ArrowSchema *s)
{
  if (s && s->release)
    s->release(s);
}

#ifdef __cplusplus
}
#endif
#endif
