/* SPDX-License-Identifier: Apache-2.0 */
/* What select does with one schema: the expressions to compute and which columns come out. */
#ifndef SELECT_PLAN_H
#define SELECT_PLAN_H
#include "common/partial.h"
#include "millrace/plugin.h"

enum { SELECT_DEAD_LETTER, SELECT_NULL, SELECT_FAIL };

struct select_conf {
  struct mr_list cast, set, rename; /* const char *, by column */
  struct mr_list drop, keep;        /* const char * */
  int32_t on_error;
};

/* Columns have slots: the input's are 0 .. n_in - 1, step k's result is n_in + k, and the `_set`
 * that is true of what comes out is n_in + n_step. */
struct select_step {
  struct mr_expr *expr;
  const char *option, *name; /* "cast" or "set", and its key: lent from the conf */
  struct ArrowSchema in;     /* what the expression was compiled against */
  int64_t *slot;             /* of in's columns */
};
struct select_plan {
  const struct mr_host *host;
  struct select_step *step;
  int64_t n_step, n_in;
  struct ArrowSchema out;
  int64_t *from; /* slots of out's columns */
  struct partial set;
  bool makes_set; /* `_set` comes out */
};

/* MR_BADCONF with the option's path: a column that is not there, a type that is none, an expression
 * that does not compile, a name twice. The plan is empty on failure. */
int select_plan_init(struct select_plan *p, const struct mr_host *host,
                     const struct select_conf *conf, const struct ArrowSchema *in,
                     struct mr_error *err);
void select_plan_done(struct select_plan *p);

#endif
