/* SPDX-License-Identifier: Apache-2.0 */
/* SQL scalar expressions, compiled once per schema, evaluated a column at a time. One object, one
 * thread. */
#ifndef MR_EXPR_H
#define MR_EXPR_H
#include "base/base.h"
#include "millrace/build.h"

/* Compiles text against the columns of `in` (a rows schema; names are case-insensitive when
 * unambiguous, "quoted" is exact). ret_type (may be NULL): the result's type, given, named ""; it
 * carries the labels of all columns that are read (masked only when all of them are). MR_BADCONF:
 * err->msg "1:14: no column `prise` (did you mean `price`?)", line:column within the expression
 * first. */
int mr_expr_new(const char *text, const struct ArrowSchema *in, struct mr_expr **ret,
                struct ArrowSchema *ret_type, struct mr_error *err);
/* Evaluates over all rows (slices included); gives an array of the type with rows->length
 * elements. bad (may be NULL) is called for each row whose value cannot be computed (division by
 * zero 22012, out of range 22003, bad cast 22P02, ...); the value is null. */
int mr_expr_eval(struct mr_expr *e, const struct ArrowSchema *schema, const struct ArrowArray *rows,
                 struct ArrowArray *give, mr_bad_row_fn *bad, void *out, struct mr_error *err);
/* The names of the columns that the expression reads, NULL-terminated, lent until free; system
 * columns included. Parsing alone (no schema): mr_expr_names below. */
const char *const *mr_expr_columns(const struct mr_expr *e);
void mr_expr_free(struct mr_expr *e); /* takes NULL */

/* Calls name() for each column name an expression mentions, without knowing the types. MR_BADCONF
 * for a syntax error. */
int mr_expr_names(const char *text, void (*name)(void *out, const char *name), void *out,
                  struct mr_error *err);
/* What can be said of an expression while the columns are not known: its syntax, functions that do
 * not exist, their numbers of arguments, and the types of what reads no column. MR_BADCONF as from
 * mr_expr_new. */
int mr_expr_check_text(const char *text, struct mr_error *err);

#endif
