/* SPDX-License-Identifier: Apache-2.0 */
#include "common/sql-ident.h"

static void quoted(struct sql_buf *out, const char *text, char quote)
{
  sql_buf_byte(out, quote);
  for (const char *p = text; *p; p++) {
    if (*p == quote)
      sql_buf_byte(out, quote);
    sql_buf_byte(out, *p);
  }
  sql_buf_byte(out, quote);
}

void sql_ident(struct sql_buf *out, const char *name)
{
  quoted(out, name, '"');
}

void sql_literal(struct sql_buf *out, const char *text)
{
  quoted(out, text, '\'');
}

/* One part up to a dot or the end; NULL with *ret_why when it is not a name. */
static char *part(const char **at, size_t max, const char **ret_why)
{
  struct sql_buf b = {0};
  const char *p = *at;
  bool closed = true;
  if (*p == '"') {
    closed = false;
    for (p++; *p; p++) {
      if (*p == '"' && *++p != '"') {
        closed = true;
        break;
      }
      sql_buf_byte(&b, *p);
    }
  } else {
    while (*p && *p != '.' && *p != '"')
      sql_buf_byte(&b, *p++);
  }
  *at = p;
  if (!closed || (*p && *p != '.'))
    *ret_why = "a quote is not closed or stands inside a name";
  else if (b.len == 0)
    *ret_why = "a name is empty";
  else if (b.len > max)
    *ret_why = "a name is longer than the server keeps";
  else if (sql_buf_text(&b)[0])
    return (char *)b.p;
  else
    *ret_why = "out of memory";
  sql_buf_done(&b);
  return NULL;
}

bool sql_name_parse(const char *text, size_t max_part, struct sql_name *ret, const char **ret_why)
{
  struct sql_name n = {0};
  n.table = part(&text, max_part, ret_why);
  if (n.table && *text == '.') {
    n.schema = n.table;
    text++;
    n.table = part(&text, max_part, ret_why);
  }
  if (n.table && *text)
    *ret_why = "more than schema.table";
  if (!n.table || *text) {
    sql_name_done(&n);
    return false;
  }
  *ret = n;
  return true;
}

void sql_name_done(struct sql_name *n)
{
  free(n->schema);
  free(n->table);
  n->schema = n->table = NULL;
}

void sql_name_quoted(struct sql_buf *out, const struct sql_name *n)
{
  if (n->schema) {
    sql_ident(out, n->schema);
    sql_buf_byte(out, '.');
  }
  sql_ident(out, n->table);
}
