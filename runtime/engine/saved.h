/* SPDX-License-Identifier: Apache-2.0 */
/* What the stages before a sink have saved of one lane, as one value: it is kept in the lane row
 * beside the position it belongs to. A value holds an entry for each stage; NULL: none. Layout:
 * "MS1", then for each entry the length of the stage's name (2 bytes), of its data (4 bytes), the
 * fingerprint, the name, the data; integers are little-endian. */
#ifndef MR_ENGINE_SAVED_H
#define MR_ENGINE_SAVED_H
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define MR_SAVED_PRINT 16 /* bytes of a fingerprint */

struct mr_saved_entry {
  const char *stage; /* not terminated */
  size_t stage_len;
  const uint8_t *print; /* MR_SAVED_PRINT bytes: of the stage's options when it was saved */
  const void *data;
  size_t len;
};
/* The entry at *at (begin with 0), lent as long as the value; *at: behind it. false: no more. Of a
 * value that mr_saved_valid knows to be whole. */
bool mr_saved_next(GBytes *value, size_t *at, struct mr_saved_entry *ret);
bool mr_saved_valid(GBytes *value);
/* The entry of one stage. false: it has none. */
bool mr_saved_find(GBytes *value, const char *stage, struct mr_saved_entry *ret);
/* A value with this entry alone. give. */
GBytes *mr_saved_one(const char *stage, const uint8_t *print, const void *data, size_t len);
/* The entries of `over`, and those of `under` whose stage has none there. give; both are lent,
 * NULL: none. */
GBytes *mr_saved_merge(GBytes *under, GBytes *over);
/* The entries that keep() wants. give; NULL: none is left. */
typedef bool mr_saved_keep_fn(void *out, const struct mr_saved_entry *entry);
GBytes *mr_saved_filter(GBytes *value, mr_saved_keep_fn *keep, void *out);
/* Another reference, NULL for NULL. */
static inline GBytes *mr_saved_ref(GBytes *value)
{
  return value ? g_bytes_ref(value) : NULL;
}

#endif
