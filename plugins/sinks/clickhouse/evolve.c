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
         : src_fail(err, MR_BADCONF, "", "column %s has a type without a ClickHouse name", c->name);
  sql_buf_done(&change);
  return status;
}

static int modify_column(struct ch_sink *s, const char *name, const char *type,
                         struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, "MODIFY COLUMN ");
  ch_ident(&change, name);
  sql_buf_fmt(&change, " %s", type);
  int status = alter(s, sql_buf_text(&change), "ALTER TABLE MODIFY COLUMN", err);
  sql_buf_done(&change);
  return status;
}

static int drop_column(struct ch_sink *s, const char *name, struct mr_error *err)
{
  struct sql_buf change = {0};
  sql_buf_str(&change, "DROP COLUMN ");
  ch_ident(&change, name);
  int status = alter(s, sql_buf_text(&change), "ALTER TABLE DROP COLUMN", err);
  sql_buf_done(&change);
  return status;
}

/* ---------------------------------------------------------------- for evo_follow */

/* A column that takes no nulls would get its type's default, 0 or '', in rows that leave it out. */
static bool lacks_null(const struct ch_type *t)
{
  return !t->nullable && !t->low_cardinality && t->n_child == 0 && t->kind != CH_JSON;
}

bool ch_evolve_column(void *self, int i, struct evo_column *ret)
{
  struct ch_sink *s = self;
  if (i >= s->n_columns)
    return false;
  const struct ch_column *c = &s->column[i];
  const char *own[] = {s->engine.version_column, s->engine.deleted_column, CH_DELETED};
  const char *const *key = s->conf->key.item;
  *ret = (struct evo_column){.name = c->name, .type = c->shown, .fixed = c->is_key || c->computed};
  for (size_t k = 0; k < s->conf->key.n; k++)
    ret->key |= !strcmp(key[k], c->name);
  for (int k = 0; k < 3; k++)
    ret->fixed |= own[k] && !strcmp(own[k], c->name);
  ret->demands = lacks_null(&c->type) && !c->has_default;
  return true;
}

/* The type that the pipeline would have the column be, as nullable as it is now. */
static bool wider(struct ch_sink *s, const struct ch_column *c, const struct ArrowSchema *to,
                  struct sql_buf *ret_name)
{
  struct ch_type wanted = {0};
  bool does = ch_type_ddl(to, c->type.nullable, s->server.modern, ret_name) &&
              ch_type_parse(sql_buf_text(ret_name), &wanted) && ch_type_widens(&c->type, &wanted);
  ch_type_done(&wanted);
  return does;
}

static bool widens(void *self, int i, const struct ArrowSchema *to)
{
  struct ch_sink *s = self;
  struct sql_buf name = {0};
  bool does = wider(s, &s->column[i], to, &name);
  sql_buf_done(&name);
  return does;
}

static int change(void *self, enum evo_act act, int i, const struct ArrowSchema *to,
                  struct mr_error *err)
{
  struct ch_sink *s = self;
  struct sql_buf type = {0};
  int status;
  if (act == EVO_ADD)
    return add_column(s, to, err);
  if (act == EVO_DROP)
    return drop_column(s, s->column[i].name, err);
  if (act == EVO_WIDEN)
    wider(s, &s->column[i], to, &type);
  else
    sql_buf_fmt(&type, "Nullable(%s)", s->column[i].shown);
  status = modify_column(s, s->column[i].name, sql_buf_text(&type), err);
  sql_buf_done(&type);
  return status;
}

static int look(void *self, struct mr_error *err)
{
  return ch_target_columns(self, err);
}

struct evo_table ch_evolve_table(struct ch_sink *s)
{
  return (struct evo_table){.host = s->host,
                            .shown = s->shown,
                            .policy = s->conf->evolve,
                            .drop_columns = s->conf->drop_columns,
                            .self = s,
                            .column = ch_evolve_column,
                            .widens = widens,
                            .alter = change,
                            .look = look};
}

int ch_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct ch_sink *s = self;
  struct evo_table t = ch_evolve_table(s);
  int status = ch_input_check(s, to, err);
  if (status >= 0)
    status = ch_server_learn(s, err);
  if (status >= 0)
    status = ch_target_columns(s, err);
  if (status >= 0)
    status = evo_follow(&t, s->in.release ? &s->in : NULL, to, err);
  if (status >= 0)
    status = evo_input(&s->in, to, err);
  if (status < 0)
    return status == MR_REJECT ? MR_FATAL : status;
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  status = ch_target_plan(s, err);
  s->learned = status >= 0;
  return status == MR_REJECT ? MR_FATAL : status;
}
