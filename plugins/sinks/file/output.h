/* SPDX-License-Identifier: Apache-2.0 */
/* What the file sink writes to: one file that grows by whole units. Called on the stage's thread.
 *
 * append  the file of that path, also one that was there before
 * rotate  PATH.part until it is large or old enough; then it gets a name of its own. What stands
 * under a final name is complete.
 *
 * A unit is collected in memory up to OUTPUT_BUFFER and written at its commit; one that is larger
 * goes to the file earlier, and is cut off again when it is aborted. */
#ifndef FILE_OUTPUT_H
#define FILE_OUTPUT_H
#include <stdlib.h>
#include "common/src-error.h"

#define OUTPUT_BUFFER (8 << 20)

struct output {
  char *path;                /* as in the file, with the number of a parallel instance */
  char *name;                /* what is open: path, or path.part */
  int64_t max_bytes, max_ms; /* rotate when reached; both 0: append */
  int fd;
  int64_t size, base, opened_ms; /* bytes in the file; at the last commit */
  uint64_t sequence;
  bool synced_folder;
  char *buf;
  size_t len, cap;
};
/* instances > 1: the instance's number goes before the extension. false: no memory. */
bool output_init(struct output *o, const char *path, int64_t max_bytes, int64_t max_ms,
                 uint32_t instance, uint32_t instances);
/* A rotated file whose every byte is committed gets its final name. */
void output_done(struct output *o);
/* Opens (or makes) the file; finishes a .part that an earlier run left. A last line without its end
 * gets one. */
int output_open(struct output *o, struct mr_error *err);
static inline bool output_is_empty(const struct output *o)
{
  return !o->size && !o->len;
}
/* Whether the file begins with these bytes; an empty one does. */
bool output_begins(const struct output *o, const void *data, size_t len);
static inline bool output_rotates(const struct output *o)
{
  return o->max_bytes || o->max_ms;
}
/* Gives what is committed its final name; the next write begins another file. */
int output_rotate(struct output *o, struct mr_error *err);
int output_write(struct output *o, const void *data, size_t len, struct mr_error *err);
/* Everything written is on the disk; rotates afterwards when it is time. */
int output_commit(struct output *o, struct mr_error *err);
/* Drops what was written since the last commit. */
int output_abort(struct output *o, struct mr_error *err);

#endif
