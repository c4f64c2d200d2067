/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a batch as texts: what `preview` prints and `test` compares. Main thread. */
#ifndef MR_ROWS_H
#define MR_ROWS_H
#include <glib.h>
#include <stdio.h>
#include "base/base.h"
#include "millrace/build.h"

/* Values of columns as JSON: the same value of the same type always gives the same text, integers
 * and decimals exactly. NULL in a row: null. */
struct mr_rows {
  struct ArrowSchema schema; /* of the columns, names included; release NULL: no batch yet */
  GPtrArray *rows;           /* char ** with as many elements as the schema has children */
};
void mr_rows_init(struct mr_rows *r);
void mr_rows_finish_all(struct mr_rows *r);
/* Adds at most max rows of a batch. Another schema than the rows before: these are dropped. false:
 * a value that cannot be shown (err). */
bool mr_rows_add(struct mr_rows *r, const struct ArrowSchema *schema, const struct ArrowArray *rows,
                 int64_t max, struct mr_error *err);
/* The text of a cell as people want to see it: no quotes around text, line breaks and the like
 * escaped, "NULL". Caller frees. */
char *mr_rows_plain(const char *json);
/* Prints the rows under their columns' names; system columns only when told; numbers to the right.
 * A cell is cut after `width` columns of the terminal. */
void mr_rows_print(FILE *out, const struct mr_rows *r, bool system, int width);

#endif
