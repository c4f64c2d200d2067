/* SPDX-License-Identifier: Apache-2.0 */
/* Other columns, between units: the DDL. An ALTER TABLE ends a transaction on this server.
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
  return status < 0 && err->native == ER_DUP_FIELDNAME ? MR_OK : status; /* another was first */
}

void my_default(const struct my_sink *s, const struct my_column *column, struct sql_buf *sql)
{
  if (strstr(mysql_get_server_info(s->conn.db), "MariaDB"))
    sql_buf_str(sql, column->preset); /* an expression, as the catalog has it */
  else
    maria_literal(sql, column->preset);
}

/* A column is said anew as a whole: what it had besides its type goes with it. */
static void modify_sql(struct my_sink *s, const struct my_column *column, const char *type,
                       bool not_null, struct sql_buf *change)
{
  sql_buf_str(change, "MODIFY COLUMN ");
  maria_ident(change, column->name);
  sql_buf_fmt(change, " %s", type);
  if (column->collation && column->type.kind == MARIA_TEXT)
    sql_buf_fmt(change, " COLLATE %s", column->collation);
  sql_buf_str(change, not_null ? " NOT NULL" : " NULL");
  if (column->preset) {
    sql_buf_str(change, " DEFAULT ");
    my_default(s, column, change);
  }
  if (column->comment && *column->comment) {
    sql_buf_str(change, " COMMENT '");
    for (const char *p = column->comment; *p; p++)
      sql_buf_fmt(change, *p == '\'' || *p == '\\' ? "\\%c" : "%c", *p);
    sql_buf_byte(change, '\'');
  }
}

static int modify_column(struct my_sink *s, const struct my_column *column, const char *type,
                         bool not_null, struct mr_error *err)
{
  struct sql_buf change = {0};
  modify_sql(s, column, type, not_null, &change);
  int status = alter(s, sql_buf_text(&change), "ALTER TABLE MODIFY COLUMN", err);
  sql_buf_done(&change);
  return status;
}

static int widen_column(struct my_sink *s, const struct my_column *column,
                        const struct ArrowSchema *to, struct mr_error *err)
{
  struct sql_buf type = {0};
  maria_type_ddl(to, false, &type);
  int status = modify_column(s, column, sql_buf_text(&type), column->type.not_null, err);
  sql_buf_done(&type);
  return status;
}

static int drop_column(struct my_sink *s, const char *name, struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, "DROP COLUMN ");
  maria_ident(&change, name);
  int status = alter(s, sql_buf_text(&change), "ALTER TABLE DROP COLUMN", err);
  sql_buf_done(&change);
  return status;
}

/* ---------------------------------------------------------------- for evo_follow */

bool my_evolve_column(void *self, int i, struct evo_column *ret)
{
  struct my_sink *s = self;
  if (i >= s->n_columns)
    return false;
  const struct my_column *c = &s->column[i];
  *ret = (struct evo_column){.name = c->name,
                             .type = c->shown,
                             .key = my_is_key(s, c->name),
                             .fixed = c->generated || c->counts,
                             .demands = c->type.not_null && !c->has_default};
  return true;
}

static bool widens(void *self, int i, const struct ArrowSchema *to)
{
  struct my_sink *s = self;
  struct maria_type wide;
  return maria_type_of(to, false, &wide) && maria_type_widens(&s->column[i].type, &wide);
}

static int change(void *self, enum evo_act act, int i, const struct ArrowSchema *to,
                  struct mr_error *err)
{
  struct my_sink *s = self;
  switch (act) {
  case EVO_ADD: return add_column(s, to, err);
  case EVO_WIDEN: return widen_column(s, &s->column[i], to, err);
  case EVO_RELAX: return modify_column(s, &s->column[i], s->column[i].shown, false, err);
  default: return drop_column(s, s->column[i].name, err);
  }
}

static int look(void *self, struct mr_error *err)
{
  return my_target_columns(self, err);
}

struct evo_table my_evolve_table(struct my_sink *s)
{
  return (struct evo_table){.host = s->host,
                            .shown = s->shown,
                            .policy = s->conf->evolve,
                            .drop_columns = s->conf->drop_columns,
                            .any_case = true,
                            .self = s,
                            .column = my_evolve_column,
                            .widens = widens,
                            .alter = change,
                            .look = look};
}

int my_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct my_sink *s = self;
  struct evo_table t = my_evolve_table(s);
  int status = maria_connect(&s->conn, err);
  if (status >= 0)
    status = my_target_columns(s, err);
  if (status >= 0)
    status = evo_follow(&t, s->in.release ? &s->in : NULL, to, err);
  if (status >= 0)
    status = evo_input(&s->in, to, err);
  if (status < 0)
    return status == MR_REJECT ? MR_FATAL : status;
  s->staged = false; /* the staging table has the old columns */
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  status = my_target_plan(s, err);
  s->learned = status >= 0;
  return status == MR_REJECT ? MR_FATAL : status;
}
