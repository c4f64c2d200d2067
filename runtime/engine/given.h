/* SPDX-License-Identifier: Apache-2.0 */
/* A source whose rows are in memory: it takes the place of a file's own source in replays, and of a
 * lookup's in pipeline tests. Positions are the caller's and ascend within a lane. */
#ifndef MR_GIVEN_H
#define MR_GIVEN_H
#include <glib.h>
#include "millrace/build.h"
#include "millrace/plugin.h"

/* What came of one entry: rows, or a refusal. */
struct mr_given_entry {
  uint64_t position;    /* the entry's; above that of the entry before */
  int64_t from, end;    /* rows [from, end) of `rows`; from = end of the entry before in the lane */
  char *code, *message; /* refused: it has no rows; else NULL */
  GBytes *data;         /* refused: the bytes as they came, or NULL */
};
struct mr_given_lane {
  char *name;
  GArray *entries; /* struct mr_given_entry */
};
/* The conf of mr_given_plugin. Everything is the caller's and stays until close. */
struct mr_given {
  const struct ArrowSchema *schema; /* system columns included */
  struct ArrowArray rows;
  GPtrArray *lanes; /* struct mr_given_lane * */
};
/* Adds a lane without entries. name is copied. */
struct mr_given_lane *mr_given_add(struct mr_given *g, const char *name);
/* Frees the lanes, with their entries' texts and bytes, and the rows. */
void mr_given_finish(struct mr_given *g);
extern const struct mr_plugin mr_given_plugin;

#endif
