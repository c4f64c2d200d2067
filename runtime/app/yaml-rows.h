/* SPDX-License-Identifier: Apache-2.0 */
/* Rows written in YAML, as test files have them: typed by columns that are known. Main thread. */
#ifndef MR_YAML_ROWS_H
#define MR_YAML_ROWS_H
#include "conf/node.h"
#include "millrace/build.h"

/* Makes rows of a list of mappings column: value. schema: the columns; those that a row does not
 * name are null, and unwritten where the columns have `_set`. What is wrong is reported at its
 * place; false: something was. *give: rows of the schema, the caller's. `whose` says in messages
 * what has the columns ("stage `stamp`"). */
bool mr_yaml_rows(struct mr_ynode *list, const struct ArrowSchema *schema, const char *whose,
                  GPtrArray *problems, struct ArrowArray *give);
/* A single value of a column's type, as rows of one column. */
bool mr_yaml_value(struct mr_ynode *value, const struct ArrowSchema *schema, GPtrArray *problems,
                   struct ArrowArray *give);
/* Columns from a mapping name: type, added to an empty rows schema. false: reported. */
bool mr_yaml_columns(struct mr_ynode *map, GPtrArray *problems, struct ArrowSchema *rows);
/* A JSON decoder that makes rows of exactly these columns and refuses other keys; integers may
 * stand in quotes. schema is lent until it is freed (mr_decoder_free). NULL: err. */
struct mr_decoder *mr_yaml_decoder(const struct ArrowSchema *schema, struct mr_error *err);

#endif
