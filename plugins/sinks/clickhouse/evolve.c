/* SPDX-License-Identifier: Apache-2.0 */
/* New columns and wider types, between units. Every statement may come twice. */
#include "clickhouse.h"

static int alter(struct ch_sink *s, const char *change, const char *what, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_fmt(&sql, "ALTER TABLE %s %s", s->target, change);
  int status = ch_query(s, sql_buf_text(&sql), what, NULL, err);
  sql_buf_done(&sql);
  return status;
}

static int add_column(struct ch_sink *s, const struct ArrowSchema *c, struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, s->server.major > 18 ? "ADD COLUMN IF NOT EXISTS " : "ADD COLUMN ");
  ch_ident(&change, c->name);
  sql_buf_byte(&change, ' ');
  bool ok = ch_type_ddl(c, true, s->server.modern, &change); /* rows before have none */
  int status =
      ok ? alter(s, sql_buf_text(&change), "ALTER TABLE ADD COLUMN", err)
         : ch_fail(err, MR_BADCONF, "", "column %s has a type without a ClickHouse name", c->name);
  if (status >= 0)
    ch_log(s, MR_INFO, "added column %s to %s", c->name, s->shown);
  sql_buf_done(&change);
  return status;
}

int ch_evolve_add(struct ch_sink *s, struct mr_error *err)
{
  bool added = false;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    if (mr_schema_is_system(c) || ch_column_find(s, c->name) >= 0)
      continue;
    int status = add_column(s, c, err);
    if (status < 0)
      return status;
    added = true;
  }
  return added ? ch_target_columns(s, err) : MR_OK;
}

/* The type that the pipeline would have the column be, as nullable as it is now. */
static int widen_column(struct ch_sink *s, const struct ArrowSchema *from, struct ch_column *c,
                        bool *ret_changed, struct mr_error *err)
{
  struct sql_buf name = {0}, change = {0};
  struct ch_type wanted = {0};
  int status = MR_OK;
  bool named = ch_type_ddl(from, c->type.nullable, s->server.modern, &name);
  if (named && !c->is_key && !c->computed && ch_type_parse(sql_buf_text(&name), &wanted) &&
      ch_type_widens(&c->type, &wanted)) {
    sql_buf_str(&change, "MODIFY COLUMN ");
    ch_ident(&change, c->name);
    sql_buf_fmt(&change, " %s", sql_buf_text(&name));
    status = alter(s, sql_buf_text(&change), "ALTER TABLE MODIFY COLUMN", err);
    *ret_changed = true;
    if (status >= 0)
      ch_log(s, MR_INFO, "column %s of %s is now %s", c->name, s->shown, sql_buf_text(&name));
  }
  ch_type_done(&wanted);
  sql_buf_done(&name);
  sql_buf_done(&change);
  return status;
}

static int widen(struct ch_sink *s, struct mr_error *err)
{
  bool changed = false;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    int at = mr_schema_is_system(c) ? -1 : ch_column_find(s, c->name);
    int status = at < 0 ? MR_OK : widen_column(s, c, &s->column[at], &changed, err);
    if (status < 0)
      return status;
  }
  return changed ? ch_target_columns(s, err) : MR_OK;
}

int ch_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct ch_sink *s = self;
  struct ArrowSchema copy;
  int status = ch_server_learn(s, err);
  if (status < 0)
    return status;
  if (!mr_schema_copy(to, &copy)) {
    mr_schema_release(&copy);
    return ch_no_memory(err);
  }
  mr_schema_release(&s->in);
  s->in = copy;
  status = ch_target_columns(s, err);
  if (status >= 0 && s->conf->evolve != EVOLVE_NONE)
    status = ch_evolve_add(s, err);
  if (status >= 0 && s->conf->evolve == EVOLVE_FULL)
    status = widen(s, err);
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  if (status >= 0)
    status = ch_target_plan(s, err);
  s->learned = status >= 0;
  return status == MR_REJECT ? MR_FATAL : status;
}
