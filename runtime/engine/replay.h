/* SPDX-License-Identifier: Apache-2.0 */
/* Replays: dead letters become the rows of a source that stands in a pipeline in the place of the
 * file's own. Letters are grouped by the stage that refused them and the sink they count for; each
 * group is a pipeline of its own, of the stages between, so that no other sink gets them.
 *
 * Lanes of a replay are named by the letter file, the stage, and the lane and run of the letters;
 * positions are line numbers. Sinks remember them as they remember any lane: what was replayed once
 * is not read again. Main thread. */
#ifndef MR_REPLAY_H
#define MR_REPLAY_H
#include "conf/spec.h"
#include "engine/given.h"
#include "engine/letter-file.h"
#include "plug/check.h"

struct mr_replay_group {
  char *stage, *sink;   /* that refused them; that they count for */
  bool by_row;          /* rows enter at `stage`; else messages at the source */
  GPtrArray *letters;   /* struct mr_letter_entry *, lent by the file */
  struct mr_spec *spec; /* a pipeline of this group, for mr_pipeline_new */
  struct mr_given given;
  struct ArrowSchema schema;
};
struct mr_replay {
  GPtrArray *groups; /* struct mr_replay_group * */
  int64_t early;     /* letters that count for no sink (yet) */
  int64_t hopeless;  /* letters with neither a message that can be read again nor a row */
  int64_t unknown;   /* letters of a stage or source that the file no longer has */
};
/* spec, checked and file are lent until free. rows: letters with a row enter where they were
 * refused, even if their message is there. NULL: err. */
struct mr_replay *mr_replay_new(const struct mr_spec *spec, const struct mr_checked *checked,
                                const struct mr_letter_file *file, bool rows, struct mr_error *err);
void mr_replay_free(struct mr_replay *r); /* takes NULL */

/* replay-graph.c: the pipeline of a group. source: the letters' source, which g->given replaces. */
void mr_replay_graph(struct mr_replay_group *g, const struct mr_spec *spec, const char *source);
void mr_replay_graph_free(struct mr_spec *spec); /* takes NULL */
/* Do rows of stage `from` reach `to`, or are they the same? */
bool mr_replay_leads(const struct mr_spec *spec, const char *from, const char *to);

#endif
