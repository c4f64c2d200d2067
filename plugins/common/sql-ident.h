/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers of SQL: splitting schema.table and quoting with double quotes. Any thread. */
#ifndef SQL_IDENT_H
#define SQL_IDENT_H
#include "common/sql-buf.h"

/* Appends name in double quotes, inner quotes doubled. */
void sql_ident(struct sql_buf *out, const char *name);
/* Appends text as a standard string literal: inner single quotes doubled. Only where backslashes
 * are not special. */
void sql_literal(struct sql_buf *out, const char *text);

struct sql_name {
  char *schema, *table; /* malloc'd; schema NULL: none was written */
};
/* Splits [schema.]table; a part may be "quoted", with "" for an inner quote. max_part: bytes that
 * the server keeps of a name. false: empty, too many parts, a part too long or a stray quote;
 * *ret_why then says which (static text). */
bool sql_name_parse(const char *text, size_t max_part, struct sql_name *ret, const char **ret_why);
void sql_name_done(struct sql_name *n);
/* Appends the quoted, qualified name. */
void sql_name_quoted(struct sql_buf *out, const struct sql_name *n);

#endif
