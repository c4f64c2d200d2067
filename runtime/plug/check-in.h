/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of check.h: the walk (check.c), and the rules that hold for stages and what flows between
 * them whatever the plugins say (rules.c). Each adds what it finds to c->problems. */
#ifndef MR_PLUG_CHECK_IN_H
#define MR_PLUG_CHECK_IN_H
#include "plug/check.h"

struct known { /* a stage's columns; schema NULL: not known */
  struct ArrowSchema *schema;
};
struct mr_checked {
  const struct mr_spec *spec;
  GPtrArray *problems;
  GHashTable *known; /* struct mr_stage_spec * -> struct known */
  GPtrArray *lines;
};

/* A labelled column reaches this sink unmasked, and is not allowed to. */
void mr_rule_labels(struct mr_checked *c, const struct mr_stage_spec *st,
                    const struct ArrowSchema *in);
/* What `allow` names reaches this sink. */
void mr_rule_allow(struct mr_checked *c, const struct mr_stage_spec *st,
                   const struct ArrowSchema *in);
/* settings.trace.column: there is such a column, and it is not hidden anywhere. After the walk. */
void mr_rule_trace(struct mr_checked *c);
/* Options that say which instance gets a row name columns of the input; false: one does not. */
bool mr_rule_partition(struct mr_checked *c, const struct mr_stage_spec *st,
                       const struct ArrowSchema *in);
/* A sink behind a source that shares its lanes with other processes: positions must be where all
 * of them find them, and where one that was deposed is refused. */
void mr_rule_group(struct mr_checked *c, const struct mr_stage_spec *st);
/* settings.state is a folder or a database. */
void mr_rule_state(struct mr_checked *c);
/* State that transforms keep goes with the sink's positions. */
void mr_rule_saved(struct mr_checked *c, const struct mr_stage_spec *st);

#endif
