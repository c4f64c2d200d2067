/* SPDX-License-Identifier: Apache-2.0 */
/* Other columns: one ALTER TABLE, which the server carries out as a job of its own. It is asked for
 * its state between calls (MR_RETRY), and it is never started while this pipeline may have a
 * transaction open, for which it would wait. Every call may come twice. */
#include "starrocks.h"

/* The state of the table's last ALTER job: true while it runs. */
static bool altering(struct sr_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  struct mr_error ignored = {.size = sizeof ignored};
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  bool runs = false;
  sql_buf_str(&sql, "SHOW ALTER TABLE COLUMN FROM ");
  sr_sql_ident(&sql, s->database);
  sql_buf_str(&sql, " WHERE TableName = ");
  sr_sql_literal(&sql, s->table);
  sql_buf_str(&sql, " ORDER BY CreateTime DESC LIMIT 1");
  if (sr_sql_query(s, sql_buf_text(&sql), "SHOW ALTER", &res, &ignored) >= 0) {
    row = mysql_fetch_row(res);
    MYSQL_FIELD *field = mysql_fetch_fields(res);
    for (unsigned i = 0; row && i < mysql_num_fields(res); i++)
      if (!strcasecmp(field[i].name, "State") && row[i])
        runs = !strcmp(row[i], "PENDING") || !strcmp(row[i], "WAITING_TXN") ||
               !strcmp(row[i], "RUNNING");
  }
  mysql_free_result(res);
  sql_buf_done(&sql);
  if (runs) {
    src_fail(err, MR_RETRY, "", "ALTER TABLE of %s has not finished yet", s->shown);
    err->retry_ms = 200;
  }
  return runs;
}

/* ---------------------------------------------------------------- the clauses */

static void clause(struct sr_sink *s, const char *words, const char *name)
{
  sql_buf_fmt(&s->alter, "%s%s COLUMN ", s->alter.len ? ", " : "", words);
  if (name)
    sr_sql_ident(&s->alter, name);
}

/* Columns that are added come first, and go into one clause: ADD COLUMN (a INT, b INT). */
static int add_column(struct sr_sink *s, const struct ArrowSchema *to, struct mr_error *err)
{
  bool more = s->alter.len && s->alter.p[s->alter.len - 1] == ')' && s->adding;
  if (more) {
    s->alter.len--;
    sql_buf_str(&s->alter, ", ");
  } else {
    clause(s, "ADD", NULL);
    sql_buf_byte(&s->alter, '(');
  }
  s->adding = true;
  int status = sr_target_column(s, to, false, &s->alter, err);
  sql_buf_byte(&s->alter, ')');
  return status;
}

static int change(void *self, enum evo_act act, int i, const struct ArrowSchema *to,
                  struct mr_error *err)
{
  struct sr_sink *s = self;
  if (act == EVO_ADD)
    return add_column(s, to, err);
  const struct sr_column *c = &s->column[i];
  s->adding = false;
  clause(s, act == EVO_DROP ? "DROP" : "MODIFY", c->name);
  sql_buf_str(&s->alter, act == EVO_DROP ? "" : " ");
  if (act == EVO_WIDEN)
    sr_type_ddl(to, false, &s->alter);
  else if (act == EVO_RELAX)
    sql_buf_str(&s->alter, c->shown);
  if (act != EVO_DROP)
    sql_buf_str(&s->alter, act == EVO_RELAX || c->nullable ? " NULL" : " NOT NULL");
  return MR_OK;
}

static int look(void *self, struct mr_error *err)
{
  struct sr_sink *s = self;
  struct sql_buf sql = {0};
  sql_buf_str(&sql, "ALTER TABLE ");
  sr_sql_ident(&sql, s->database);
  sql_buf_byte(&sql, '.');
  sr_sql_ident(&sql, s->table);
  sql_buf_fmt(&sql, " %s", sql_buf_text(&s->alter));
  int status = sql.failed || s->alter.failed
                   ? src_no_memory(err)
                   : sr_sql_query(s, sql_buf_text(&sql), "ALTER TABLE", NULL, err);
  sql_buf_done(&sql);
  return status;
}

/* ---------------------------------------------------------------- for evo_follow */

bool sr_evolve_column(void *self, int i, struct evo_column *ret)
{
  struct sr_sink *s = self;
  if (i >= s->n_columns)
    return false;
  const struct sr_column *c = &s->column[i];
  *ret = (struct evo_column){.name = c->name,
                             .type = c->shown,
                             .key = sr_in_key(s, c->name),
                             .fixed = c->is_key || c->generated,
                             .demands = !c->nullable && !c->has_default};
  return true;
}

static bool widens(void *self, int i, const struct ArrowSchema *to)
{
  struct sr_sink *s = self;
  return sr_type_widens(&s->column[i], to);
}

struct evo_table sr_evolve_table(struct sr_sink *s)
{
  return (struct evo_table){.host = s->host,
                            .shown = s->shown,
                            .policy = s->conf->evolve,
                            .drop_columns = s->conf->drop_columns,
                            .any_case = true,
                            .self = s,
                            .column = sr_evolve_column,
                            .widens = widens,
                            .alter = change,
                            .look = look};
}

bool sr_evolve_needed(struct sr_sink *s)
{
  for (int64_t k = 0; s->conf->evolve != EVOLVE_NONE && k < s->in.n_children; k++) {
    const struct ArrowSchema *c = s->in.children[k];
    int i = mr_schema_is_system(c) ? -1 : sr_target_find(s, c->name);
    if (!mr_schema_is_system(c) &&
        (i < 0 || (s->conf->evolve == EVOLVE_FULL && !s->column[i].is_key && widens(s, i, c))))
      return true;
  }
  return false;
}

int sr_evolve_follow(struct sr_sink *s, const struct ArrowSchema *before,
                     const struct ArrowSchema *to, struct mr_error *err)
{
  struct evo_table t = sr_evolve_table(s);
  bool alters = s->conf->evolve != EVOLVE_NONE;
  if (alters && altering(s, err))
    return MR_RETRY;
  int status = alters ? sr_target_columns(s, err) : MR_OK;
  sql_buf_clear(&s->alter);
  s->adding = false;
  if (status >= 0)
    status = evo_follow(&t, before, to, err);
  if (status < 0 || !s->alter.len)
    return status;
  if (to != &s->in) /* what was asked for is not asked for again */
    status = evo_input(&s->in, to, err);
  if (status >= 0 && altering(s, err))
    return MR_RETRY;
  return status < 0 ? status : sr_target_columns(s, err);
}

int sr_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct sr_sink *s = self;
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  s->learned = false;
  int status = s->n_columns ? MR_OK : sr_target_columns(s, err);
  if (status >= 0)
    status = sr_evolve_follow(s, s->in.release ? &s->in : NULL, to, err);
  if (status >= 0)
    status = evo_input(&s->in, to, err);
  if (status >= 0)
    status = sr_target_plan(s, err);
  s->learned = status >= 0;
  return status;
}
