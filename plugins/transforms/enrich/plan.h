/* SPDX-License-Identifier: Apache-2.0 */
/* What enrich does with one input schema: which columns are the keys, what is asked for, what comes
 * out. */
#ifndef ENRICH_PLAN_H
#define ENRICH_PLAN_H
#include "common/partial.h"
#include "millrace/plugin.h"

enum enrich_missing { ENRICH_KEEP = 0, ENRICH_DROP, ENRICH_DEAD_LETTER, ENRICH_FAIL };
struct enrich_conf {
  const char *with;
  struct mr_list on;  /* const char *: stream column -> table column */
  struct mr_list add; /* const char *: table column -> new column */
  int32_t missing;    /* enum enrich_missing */
};
struct enrich_plan {
  const struct mr_host *host;
  struct mr_lookup *lookup; /* NULL: the table's columns are not known (MR_IDLE) */
  int64_t *key;             /* the input's column of each `on` */
  int64_t *from;            /* for each `add`: the child of what find gives */
  struct ArrowSchema in, row, out;
  struct partial set; /* new columns are written where all of the key is */
};

/* MR_BADCONF with err->option. MR_IDLE: the lookup does not know its columns yet: *ret has no
 * lookup and no `out`. *ret is the caller's (enrich_plan_done) unless the status is < 0. */
int enrich_plan_init(struct enrich_plan *ret, const struct mr_host *host,
                     const struct enrich_conf *conf, const struct ArrowSchema *in,
                     struct mr_error *err);
void enrich_plan_done(struct enrich_plan *p); /* takes a zeroed one */

#endif
