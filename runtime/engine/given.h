/* SPDX-License-Identifier: Apache-2.0 */
/* A source whose rows are in memory: it takes the place of a file's own source in replays, and of a
 * lookup's in pipeline tests. One lane; positions are the caller's and ascend. */
#ifndef MR_GIVEN_H
#define MR_GIVEN_H
#include <glib.h>
#include "millrace/build.h"
#include "millrace/plugin.h"

/* What came of one entry: rows, or a refusal. */
struct mr_given_entry {
  uint64_t position; /* the entry's; above that of the entry before */
  int64_t end;       /* rows [end of the entry before, end) of `rows` */
  char *code, *message; /* refused: it has no rows; caller's */
  GBytes *data;      /* refused: the bytes as they came; caller's, or NULL */
};
/* The conf of mr_given_plugin. Everything is the caller's and stays until close. */
struct mr_given {
  const struct ArrowSchema *schema; /* system columns included */
  struct ArrowArray rows;
  const char *lane;
  GArray *entries; /* struct mr_given_entry */
};
extern const struct mr_plugin mr_given_plugin;

#endif
