/* SPDX-License-Identifier: Apache-2.0 */
/* New columns and wider types, between units. Every statement may come twice. */
#include "common/pg-type.h"
#include "postgres.h"

#define LOCK_TIMEOUT_MS \
  5000 /* ALTER TABLE waits this long for readers and writers; then the call is made again */

static int alter(struct pg_sink *s, const char *change, const char *what, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (s->multi)
    sql_buf_fmt(&sql, "SET lock_timeout = %d; ", LOCK_TIMEOUT_MS);
  sql_buf_fmt(&sql, "ALTER TABLE %s %s", s->target, change);
  int status = pg_run(s, sql_buf_text(&sql), what, s->conf->statement_timeout_ms, PG_GIVE_UP, NULL,
                      NULL, err);
  sql_buf_done(&sql);
  if (s->multi && s->pg)
    pg_run(s, "SET lock_timeout = 0", "SET", s->conf->statement_timeout_ms, PG_GIVE_UP, NULL, NULL,
           &(struct mr_error){.size = sizeof(struct mr_error)});
  return status;
}

static int add_column(struct pg_sink *s, const struct ArrowSchema *c, struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, s->genuine ? "ADD COLUMN IF NOT EXISTS " : "ADD COLUMN ");
  sql_ident(&change, c->name);
  sql_buf_byte(&change, ' ');
  int status =
      pg_hyper_type(s, c, &change)
          ? alter(s, sql_buf_text(&change), "ALTER TABLE ADD COLUMN", err)
          : pg_fail(err, MR_BADCONF, "", "column %s has a type without a PostgreSQL name", c->name);
  if (status >= 0)
    pg_log(s, MR_INFO, "added column %s to %s", c->name, s->shown);
  sql_buf_done(&change);
  return status;
}

int pg_evolve_add(struct pg_sink *s, struct mr_error *err)
{
  bool added = false;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    if (mr_schema_is_system(c) || pg_column_find(s, c->name) >= 0)
      continue;
    int status = add_column(s, c, err);
    if (status < 0)
      return status;
    added = true;
  }
  return added ? pg_target_columns(s, err) : MR_OK;
}

static int widen_column(struct pg_sink *s, const struct ArrowSchema *c, struct pg_column *column,
                        bool *ret_changed, struct mr_error *err)
{
  struct sql_buf type = {0}, change = {0};
  int status = MR_OK;
  if (pg_type_ddl(c, &type) && column->shown &&
      pg_type_widens(column->shown, sql_buf_text(&type))) {
    sql_buf_str(&change, "ALTER COLUMN ");
    sql_ident(&change, column->name);
    sql_buf_fmt(&change, " TYPE %s", sql_buf_text(&type));
    status = alter(s, sql_buf_text(&change), "ALTER TABLE ALTER COLUMN", err);
    *ret_changed = true;
    if (status >= 0)
      pg_log(s, MR_INFO, "column %s of %s is now %s", column->name, s->shown, sql_buf_text(&type));
  }
  sql_buf_done(&type);
  sql_buf_done(&change);
  return status;
}

static int widen(struct pg_sink *s, struct mr_error *err)
{
  bool changed = false;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    int at = mr_schema_is_system(c) ? -1 : pg_column_find(s, c->name);
    int status = at < 0 ? MR_OK : widen_column(s, c, &s->column[at], &changed, err);
    if (status < 0)
      return status;
  }
  return changed ? pg_target_columns(s, err) : MR_OK;
}

int pg_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct pg_sink *s = self;
  struct ArrowSchema copy;
  int status = pg_connect(s, err);
  if (status < 0)
    return status;
  if (!mr_schema_copy(to, &copy)) {
    mr_schema_release(&copy);
    return pg_no_memory(err);
  }
  mr_schema_release(&s->in);
  s->in = copy;
  status = pg_target_columns(s, err);
  if (status >= 0 && s->conf->evolve != EVOLVE_NONE)
    status = pg_evolve_add(s, err);
  if (status >= 0 && s->conf->evolve == EVOLVE_FULL)
    status = widen(s, err);
  s->staged = false; /* the staging table has the old columns */
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  if (status >= 0)
    status = pg_target_plan(s, err);
  s->learned = status >= 0;
  return status == MR_REJECT ? MR_FATAL : status;
}
