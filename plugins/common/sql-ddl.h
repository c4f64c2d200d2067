/* SPDX-License-Identifier: Apache-2.0 */
/* What mr_plugin.ddl and mr_plugin.type of SQL sinks share: the text that they put. Any thread. */
#ifndef SQL_DDL_H
#define SQL_DDL_H
#include "common/sql-buf.h"
#include "common/src-error.h"
#include "millrace/build.h"

/* Appends the type of a column as the sink's table has it. false: the target has none. */
typedef bool sql_type_fn(void *self, const struct ArrowSchema *column, struct sql_buf *out);
/* Appends the statement that makes the table. */
typedef int sql_table_fn(void *self, struct sql_buf *out, struct mr_error *err);

/* Puts what `type` appends. MR_BADCONF: it has no type for the column. */
static inline int sql_put_type(sql_type_fn *type, const struct ArrowSchema *column, mr_put_fn *put,
                               void *out, struct mr_error *err)
{
  struct sql_buf text = {0};
  int status = MR_OK;
  if (!type(NULL, column, &text))
    status = src_fail(err, MR_BADCONF, "42704", "no type there holds it");
  else if (text.failed || put(out, text.p, text.len) < 0)
    status = src_no_memory(err);
  sql_buf_done(&text);
  return status;
}

/* Puts a line with the type of each column of `in`, system columns left out, then the statement. */
static inline int sql_put_ddl(void *self, const struct ArrowSchema *in, sql_type_fn *type,
                              sql_table_fn *table, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sql_buf text = {0};
  for (int64_t i = 0; i < in->n_children; i++) {
    if (mr_schema_is_system(in->children[i]))
      continue;
    type(self, in->children[i], &text); /* one without is named by `table` */
    sql_buf_byte(&text, '\n');
  }
  int status = table(self, &text, err);
  sql_buf_byte(&text, '\n');
  if (status >= 0 && (text.failed || put(out, text.p, text.len) < 0))
    status = src_no_memory(err);
  sql_buf_done(&text);
  return status;
}

#endif
