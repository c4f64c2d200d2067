/* SPDX-License-Identifier: Apache-2.0 */
/* What a change of the pipeline's columns asks of a table, and what is refused: decided here, once
 * for every sink. A sink tells its columns and writes the DDL. One thread.
 *
 * new column      added (add, full); left out by the sink's plan (none)
 * wider type      ALTER (full); else values that do not fit are refused row by row
 * other type      rows with a value there are refused; of the key: the table stops
 * gone column     stays, null in new rows (full: also one that was NOT NULL); with `drop_columns`
 *                 it goes (full)
 * renamed column  the table stops */
#ifndef EVOLVE_H
#define EVOLVE_H
#include "common/sql-buf.h"
#include "millrace/plugin.h"

enum evo_policy { EVOLVE_NONE, EVOLVE_ADD, EVOLVE_FULL };

/* Rows for a sink's option table; conf_: its struct, with `int32_t evolve; bool drop_columns;`. */
extern const char *const evo_choices[];
#define EVO_OPTIONS(conf_)                                                                   \
  {.name = "evolve",                                                                         \
   .type = MR_CHOICE,                                                                        \
   .offset = offsetof(struct conf_, evolve),                                                 \
   .choices = evo_choices,                                                                   \
   .dflt = "none",                                                                           \
   .doc = "add: new columns are added; full: types are widened too"},                        \
  {                                                                                          \
    .name = "drop_columns", .type = MR_BOOL, .offset = offsetof(struct conf_, drop_columns), \
    .doc = "With evolve: full, a column that the input loses while it runs is dropped"       \
  }
/* drop_columns wants evolve: full. MR_BADCONF. */
int evo_validate(int policy, bool drop_columns, struct mr_error *err);

enum evo_act { EVO_ADD, EVO_WIDEN, EVO_RELAX, EVO_DROP }; /* RELAX: NOT NULL goes */

struct evo_column {
  const char *name, *type; /* lend until the next alter or look; type: as the server writes it */
  bool key;                /* rows are known by it: a table whose input loses it stops */
  bool fixed;              /* computed, ordering, or the sink's own: never altered; so are keys */
  bool demands;            /* NOT NULL, without a default */
};
struct evo_table { /* filled by the sink for the call */
  const struct mr_host *host;
  const char *shown; /* the table in messages */
  int policy;
  bool drop_columns, any_case; /* any_case: names are the same in upper and lower case */
  void *self;
  /* Column i as it was read last; false: there are no more. */
  bool (*column)(void *self, int i, struct evo_column *ret);
  /* Can its type be made that of the input's column `to` without losing a value, and would that be
   * another one? */
  bool (*widens)(void *self, int i, const struct ArrowSchema *to);
  /* Alters column i, or (ADD) adds `to`. May gather what look() then sends in one statement. */
  int (*alter)(void *self, enum evo_act act, int i, const struct ArrowSchema *to,
               struct mr_error *err);
  /* After the last alter of this call: reads the columns again. */
  int (*look)(void *self, struct mr_error *err);
};

/* Makes the table follow: `before` (NULL: this is the first look at it) became `to`. Logs and
 * counts what it does. MR_BADCONF: a rename, which cannot be followed; other statuses are the
 * sink's. Repeatable with the same `before`. */
int evo_follow(const struct evo_table *t, const struct ArrowSchema *before,
               const struct ArrowSchema *to, struct mr_error *err);

/* *in, the sink's own copy of its input's schema, becomes a copy of `to`. MR_FATAL: no memory. */
int evo_input(struct ArrowSchema *in, const struct ArrowSchema *to, struct mr_error *err);

/* The input's column `from` has no way into a column of that type. true: its rows are refused one
 * by one from now on, which is logged and counted; false: the whole table is refused. came_later:
 * the pipeline runs, or ran. */
bool evo_refuses_rows(const struct evo_table *t, const struct evo_column *c,
                      const struct ArrowSchema *from, bool came_later);
/* A dead letter's message with both types: "MSG (expected integer, got utf8)". Gives out's text. */
const char *evo_message(struct sql_buf *out, const char *msg, const char *expected,
                        const struct ArrowSchema *got);
/* Appends a type as pipeline files write it. */
void evo_type_name(const struct ArrowSchema *s, struct sql_buf *out);

#endif
