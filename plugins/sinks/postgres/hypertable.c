/* SPDX-License-Identifier: Apache-2.0 */
/* TimescaleDB: a table that is made becomes a hypertable, and one that is there is looked at.
 *
 * Source: TimescaleDB 2.19, create_hypertable(relation, time_column_name, partitioning_column,
 * number_partitions, …), the form that every version has. */
#include "common/pg-type.h"
#include "postgres.h"

#define DAY_MS 86400000

/* A chunk has its own unique index: only a key that says which chunk can be unique in all. */
static int check_in_key(const struct pg_conf *c, const char *kind, const char *column,
                        struct mr_error *err)
{
  const char *const *key = c->key.item;
  for (size_t i = 0; i < c->key.n; i++)
    if (!strcmp(key[i], column))
      return MR_OK;
  if (c->key.n == 0)
    return MR_OK;
  return src_badconf(
      err, "key", "the unique key of a hypertable must contain its %s column %s: add it to the key",
      kind, column);
}

int pg_hyper_validate(const struct pg_conf *c, struct mr_error *err)
{
  const struct pg_conf_hypertable *h = &c->hypertable;
  if (!h->time)
    return MR_OK;
  if (!c->create)
    return src_badconf(err, "hypertable",
                       "a hypertable is made with create: true; one that is there needs no option");
  if (h->space && !strcmp(h->space, h->time))
    return src_badconf(err, "hypertable", "`space` is the time column");
  if ((h->space != NULL) != (h->partitions != INT64_MIN))
    return src_badconf(err, "hypertable", "`space` and `partitions` go together");
  int status = check_in_key(c, "time", h->time, err);
  return status < 0 || !h->space ? status : check_in_key(c, "space", h->space, err);
}

bool pg_hyper_type(const struct pg_sink *s, const struct ArrowSchema *column, struct sql_buf *out)
{
  if (!s->conf->hypertable.time || mr_kind_of(column) != MR_K_TIMESTAMP)
    return pg_type_ddl(column, out);
  sql_buf_str(out, "timestamp with time zone");
  return true;
}

static const struct ArrowSchema *input_column(const struct pg_sink *s, const char *name)
{
  for (int64_t i = 0; i < s->in.n_children; i++)
    if (!strcmp(s->in.children[i]->name, name) && !mr_schema_is_system(s->in.children[i]))
      return s->in.children[i];
  return NULL;
}

static int check_columns(const struct pg_sink *s, struct mr_error *err)
{
  const struct pg_conf_hypertable *h = &s->conf->hypertable;
  const struct ArrowSchema *time = input_column(s, h->time);
  if (!time)
    return src_badconf(err, "hypertable", "time column %s is not among the pipeline's columns",
                       h->time);
  if (mr_kind_of(time) != MR_K_TIMESTAMP && mr_kind_of(time) != MR_K_DATE)
    return src_badconf(err, "hypertable", "time column %s is neither a timestamp nor a date",
                       h->time);
  if (mr_kind_of(time) == MR_K_DATE && h->chunk_ms % DAY_MS)
    return src_badconf(err, "hypertable",
                       "`chunk` is whole days where the time column %s is a date", h->time);
  if (h->space && !input_column(s, h->space))
    return src_badconf(err, "hypertable", "space column %s is not among the pipeline's columns",
                       h->space);
  return MR_OK;
}

/* Inside a statement's text; the names were checked to be columns. */
static void quoted_text(struct sql_buf *sql, const char *text)
{
  sql_buf_byte(sql, '\'');
  for (; *text; text++) {
    if (*text == '\'')
      sql_buf_byte(sql, '\'');
    sql_buf_byte(sql, (uint8_t)*text);
  }
  sql_buf_byte(sql, '\'');
}

int pg_hyper_ddl(const struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  const struct pg_conf_hypertable *h = &s->conf->hypertable;
  if (!h->time)
    return MR_OK;
  sql_buf_str(sql, "; SELECT ");
  if (s->hyper_schema)
    sql_buf_fmt(sql, "%s.", s->hyper_schema);
  sql_buf_str(sql, "create_hypertable(");
  quoted_text(sql, s->target);
  sql_buf_str(sql, ", ");
  quoted_text(sql, h->time);
  if (h->space) {
    sql_buf_str(sql, ", ");
    quoted_text(sql, h->space);
    sql_buf_fmt(sql, ", %lld", (long long)h->partitions);
  }
  sql_buf_fmt(sql, ", chunk_time_interval => INTERVAL '%lld milliseconds', if_not_exists => true)",
              (long long)h->chunk_ms);
  return check_columns(s, err);
}

/* The first value of the answer, quoted as a name when asked; NULL: no row, or no memory. */
static int first_value(struct pg_sink *s, const char *sql, char **ret, struct mr_error *err)
{
  PGresult *res = NULL;
  int status = pg_query(s, sql, "SELECT from TimescaleDB's catalog", &res, err);
  if (status >= 0 && PQntuples(res) > 0) {
    *ret = strdup(PQgetvalue(res, 0, 0));
    if (!*ret)
      status = pg_no_memory(err);
  }
  PQclear(res);
  return status;
}

int pg_hyper_available(struct pg_sink *s, struct mr_error *err)
{
  if (!s->conf->hypertable.time || s->hyper_schema)
    return MR_OK;
  int status = first_value(s,
                           "SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e"
                           " JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace"
                           " WHERE e.extname = 'timescaledb'",
                           &s->hyper_schema, err);
  if (status >= 0 && !s->hyper_schema)
    return src_badconf(err, "hypertable",
                       "this database has not TimescaleDB: CREATE EXTENSION timescaledb%s",
                       s->where);
  return status;
}

int pg_hyper_time_column(struct pg_sink *s, char **ret, struct mr_error *err)
{
  struct sql_buf sql = {0}, name = {0};
  pg_literal(s, &name, s->target);
  sql_buf_fmt(&sql,
              "SELECT column_name FROM timescaledb_information.dimensions WHERE dimension_number"
              " = 1 AND pg_catalog.format('%%I.%%I', hypertable_schema, hypertable_name)::regclass"
              " = %s::regclass",
              sql_buf_text(&name));
  int status = first_value(s, sql_buf_text(&sql), ret, err);
  sql_buf_done(&sql);
  sql_buf_done(&name);
  return status;
}

int pg_hyper_check(struct pg_sink *s, struct mr_error *err)
{
  const struct pg_conf_hypertable *h = &s->conf->hypertable;
  char *column = NULL;
  if (!h->time)
    return MR_OK;
  int status = pg_hyper_time_column(s, &column, err);
  if (status >= 0 && !column)
    status =
        src_badconf(err, "hypertable",
                    "table %s is there and is no hypertable: make it one with create_hypertable(…,"
                    " migrate_data => true), or leave the option out%s",
                    s->shown, s->where);
  else if (status >= 0 && strcmp(column, h->time))
    status = src_badconf(err, "hypertable", "%s is a hypertable by %s, not by %s%s", s->shown,
                         column, h->time, s->where);
  free(column);
  return status;
}
