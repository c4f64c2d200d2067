/* SPDX-License-Identifier: Apache-2.0 */
/* Other columns, between units: the DDL. Every statement may come twice. */
#include "common/pg-type.h"
#include "postgres.h"

#define LOCK_TIMEOUT_MS \
  5000 /* ALTER TABLE waits this long for readers and writers; then the call is made again */

int pg_alter(struct pg_sink *s, const char *change, const char *what, struct mr_error *err)
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
  int status = pg_hyper_type(s, c, &change)
                   ? pg_alter(s, sql_buf_text(&change), "ALTER TABLE ADD COLUMN", err)
                   : src_fail(err, MR_BADCONF, "", "column %s has a type without a PostgreSQL name",
                              c->name);
  sql_buf_done(&change);
  return status;
}

static int widen_column(struct pg_sink *s, const char *name, const struct ArrowSchema *to,
                        struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, "ALTER COLUMN ");
  sql_ident(&change, name);
  sql_buf_str(&change, " TYPE ");
  pg_hyper_type(s, to, &change);
  int status = pg_alter(s, sql_buf_text(&change), "ALTER TABLE ALTER COLUMN", err);
  sql_buf_done(&change);
  return status;
}

static int lose_column(struct pg_sink *s, const char *name, bool drop, struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, drop ? "DROP COLUMN " : "ALTER COLUMN ");
  sql_ident(&change, name);
  sql_buf_str(&change, drop ? "" : " DROP NOT NULL");
  int status = pg_alter(s, sql_buf_text(&change),
                        drop ? "ALTER TABLE DROP COLUMN" : "ALTER TABLE ALTER COLUMN", err);
  sql_buf_done(&change);
  return status;
}

/* ---------------------------------------------------------------- for evo_follow */

bool pg_evolve_column(void *self, int i, struct evo_column *ret)
{
  struct pg_sink *s = self;
  if (i >= s->n_columns)
    return false;
  const struct pg_column *c = &s->column[i];
  *ret = (struct evo_column){.name = c->name,
                             .type = c->shown ? c->shown : "of another kind",
                             .key = pg_is_key(s, c->name),
                             .fixed = c->generated,
                             .demands = c->type.not_null && !c->has_default};
  return true;
}

static bool widens(void *self, int i, const struct ArrowSchema *to)
{
  struct pg_sink *s = self;
  struct sql_buf type = {0};
  bool does = pg_hyper_type(s, to, &type) && s->column[i].shown &&
              pg_type_widens(s->column[i].shown, sql_buf_text(&type));
  sql_buf_done(&type);
  return does;
}

static int change(void *self, enum evo_act act, int i, const struct ArrowSchema *to,
                  struct mr_error *err)
{
  struct pg_sink *s = self;
  switch (act) {
  case EVO_ADD: return add_column(s, to, err);
  case EVO_WIDEN: return widen_column(s, s->column[i].name, to, err);
  default: return lose_column(s, s->column[i].name, act == EVO_DROP, err);
  }
}

static int look(void *self, struct mr_error *err)
{
  return pg_target_columns(self, err);
}

struct evo_table pg_evolve_table(struct pg_sink *s)
{
  return (struct evo_table){.host = s->host,
                            .shown = s->shown,
                            .policy = s->conf->evolve,
                            .drop_columns = s->conf->drop_columns,
                            .self = s,
                            .column = pg_evolve_column,
                            .widens = widens,
                            .alter = change,
                            .look = look};
}

int pg_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct pg_sink *s = self;
  struct evo_table t = pg_evolve_table(s);
  int status = pg_connect(s, err);
  if (status >= 0)
    status = pg_target_columns(s, err);
  if (status >= 0)
    status = evo_follow(&t, s->in.release ? &s->in : NULL, to, err);
  if (status >= 0)
    status = evo_input(&s->in, to, err);
  if (status < 0)
    return status == MR_REJECT ? MR_FATAL : status;
  s->staged = false; /* the staging table has the old columns */
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  status = pg_target_plan(s, err);
  s->learned = status >= 0;
  return status == MR_REJECT ? MR_FATAL : status;
}
