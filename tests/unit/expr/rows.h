/* SPDX-License-Identifier: Apache-2.0 */
/* Rows from a line of text, results as a line of text: for the table tests of expressions. */
#ifndef MR_TEST_ROWS_H
#define MR_TEST_ROWS_H
#include "data/array.h"
#include "data/types.h"
#include "expr/expr.h"
#include <glib.h>

struct test_rows {
  struct ArrowSchema schema;
  struct ArrowArray rows;
};
/* "a int64: 1|NULL|3; b utf8: x|y|z" (";" inside a value as "\;"); times repeats every row. A text
 * without a column gives one row. Fails the test on a mistake in the text. */
void test_rows_make(struct test_rows *t, const char *text, int times);
void test_rows_done(struct test_rows *t);

/* What an expression gives: the type's name and the values joined by "|", or "error" and the
 * message. */
struct test_result {
  char *type, *values;
};
/* Evaluates over rows [from, from + n) (n < 0: all). A bad row shows as "!22012". */
void test_rows_eval(struct test_rows *t, const char *expr, int64_t from, int64_t n,
                    struct test_result *ret);
void test_result_done(struct test_result *r);

#endif
