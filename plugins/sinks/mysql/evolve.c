/* SPDX-License-Identifier: Apache-2.0 */
/* New columns and wider types, between units: an ALTER TABLE ends a transaction on this server.
 * Every statement may come twice. */
#include "mysql-sink.h"

#define LOCK_WAIT_S 5 /* ALTER TABLE waits this long for others; then the call is made again */
#define ER_DUP_FIELDNAME 1060

static int alter(struct my_sink *s, const char *change, const char *what, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_fmt(&sql, "SET SESSION lock_wait_timeout = %d; ALTER TABLE %s %s", LOCK_WAIT_S, s->target,
              change);
  int status = maria_exec(&s->conn, sql_buf_text(&sql), what, MARIA_GIVE_UP, err);
  sql_buf_done(&sql);
  if (s->conn.db)
    maria_exec(&s->conn, "SET SESSION lock_wait_timeout = DEFAULT", "SET", MARIA_GIVE_UP,
               &(struct mr_error){.size = sizeof(struct mr_error)});
  return status;
}

static int add_column(struct my_sink *s, const struct ArrowSchema *c, struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, "ADD COLUMN ");
  maria_ident(&change, c->name);
  sql_buf_byte(&change, ' ');
  int status = maria_type_ddl(c, false, &change)
                   ? alter(s, sql_buf_text(&change), "ALTER TABLE ADD COLUMN", err)
                   : src_fail(err, MR_BADCONF, "", "column %s has a type without a name in MariaDB",
                              c->name);
  sql_buf_done(&change);
  if (status < 0 && err->native == ER_DUP_FIELDNAME)
    return MR_OK; /* another instance was first */
  if (status >= 0)
    maria_log(&s->conn, MR_INFO, "added column %s to %s", c->name, s->shown);
  return status;
}

int my_evolve_add(struct my_sink *s, struct mr_error *err)
{
  bool added = false;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    if (mr_schema_is_system(c) || my_column_find(s, c->name) >= 0)
      continue;
    int status = add_column(s, c, err);
    if (status < 0)
      return status;
    added = true;
  }
  return added ? my_target_columns(s, err) : MR_OK;
}

/* A column is said anew as a whole: what it had besides its type goes with it. */
static void modify_sql(struct my_sink *s, const struct my_column *column, const char *type,
                       struct sql_buf *change)
{
  bool mariadb = strstr(mysql_get_server_info(s->conn.db), "MariaDB") != NULL;
  sql_buf_str(change, "MODIFY COLUMN ");
  maria_ident(change, column->name);
  sql_buf_fmt(change, " %s", type);
  if (column->collation && column->type.kind == MARIA_TEXT)
    sql_buf_fmt(change, " COLLATE %s", column->collation);
  sql_buf_str(change, column->type.not_null ? " NOT NULL" : " NULL");
  if (column->preset && mariadb)
    sql_buf_fmt(change, " DEFAULT %s", column->preset); /* an expression, as the catalog has it */
  else if (column->preset) {
    sql_buf_str(change, " DEFAULT ");
    maria_literal(change, column->preset);
  }
  if (column->comment && *column->comment) {
    sql_buf_str(change, " COMMENT '");
    for (const char *p = column->comment; *p; p++)
      sql_buf_fmt(change, *p == '\'' || *p == '\\' ? "\\%c" : "%c", *p);
    sql_buf_byte(change, '\'');
  }
}

static int widen_column(struct my_sink *s, const struct ArrowSchema *c, struct my_column *column,
                        bool *ret_changed, struct mr_error *err)
{
  struct sql_buf type = {0}, change = {0};
  struct maria_type to;
  bool key = my_is_key(s, c->name);
  int status = MR_OK;
  if (maria_type_of(c, key, &to) && maria_type_widens(&column->type, &to) &&
      maria_type_ddl(c, key, &type)) {
    modify_sql(s, column, sql_buf_text(&type), &change);
    status = alter(s, sql_buf_text(&change), "ALTER TABLE MODIFY COLUMN", err);
    *ret_changed = true;
    if (status >= 0)
      maria_log(&s->conn, MR_INFO, "column %s of %s is now %s", column->name, s->shown,
                sql_buf_text(&type));
  }
  sql_buf_done(&type);
  sql_buf_done(&change);
  return status;
}

static int widen(struct my_sink *s, struct mr_error *err)
{
  bool changed = false;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    int at = mr_schema_is_system(c) ? -1 : my_column_find(s, c->name);
    int status = at < 0 ? MR_OK : widen_column(s, c, &s->column[at], &changed, err);
    if (status < 0)
      return status;
  }
  return changed ? my_target_columns(s, err) : MR_OK;
}

int my_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct my_sink *s = self;
  struct ArrowSchema copy;
  int status = maria_connect(&s->conn, err);
  if (status < 0)
    return status;
  if (!mr_schema_copy(to, &copy)) {
    mr_schema_release(&copy);
    return src_no_memory(err);
  }
  mr_schema_release(&s->in);
  s->in = copy;
  status = my_target_columns(s, err);
  if (status >= 0 && s->conf->evolve != EVOLVE_NONE)
    status = my_evolve_add(s, err);
  if (status >= 0 && s->conf->evolve == EVOLVE_FULL)
    status = widen(s, err);
  s->staged = false; /* the staging table has the old columns */
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  if (status >= 0)
    status = my_target_plan(s, err);
  s->learned = status >= 0;
  return status == MR_REJECT ? MR_FATAL : status;
}
