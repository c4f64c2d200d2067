/* SPDX-License-Identifier: Apache-2.0 */
/* One server's health, and what tables and columns it has. */
#include "common/sql-text.h"
#include "postgres.h"

static int put_text(mr_put_fn *put, void *out, struct sql_buf *text, struct mr_error *err)
{
  int status = text->failed ? pg_no_memory(err) : put(out, text->p, text->len);
  sql_buf_done(text);
  return status < 0 ? status : MR_OK;
}

static int server_version(struct pg_sink *s, struct sql_buf *text, struct mr_error *err)
{
  PGresult *res = NULL;
  int status = pg_query(s, "SELECT version()", "SELECT version()", &res, err);
  if (status >= 0 && PQntuples(res) == 1) {
    const char *v = PQgetvalue(res, 0, 0);
    sql_buf_bytes(text, v, strcspn(v, ",("));
    while (text->len && text->p[text->len - 1] == ' ')
      text->len--;
  }
  PQclear(res);
  return status;
}

int pg_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  struct sql_buf text = {0};
  int status = pg_open(o, &self, err);
  struct pg_sink *s = self;
  if (status >= 0)
    status = pg_connect(s, err);
  if (status >= 0)
    status = server_version(s, &text, err);
  if (status >= 0) {
    sql_buf_fmt(&text, "%s, table %s: ", s->where, s->shown);
    status = pg_target_columns(s, err);
    if (status == MR_BADCONF && !strcmp(err->code, "42P01") && s->conf->create) {
      sql_buf_str(&text, "will be created");
      sql_buf_str(&text, s->conf->hypertable.time ? " as a hypertable" : "");
      status = pg_hyper_available(s, err);
    } else {
      sql_buf_str(&text, "ok");
      if (status >= 0)
        status = pg_hyper_available(s, err);
      if (status >= 0)
        status = pg_hyper_check(s, err);
      if (status >= 0 && s->in.n_children)
        status = pg_target_plan(s, err); /* what start would find wrong with the columns */
    }
  }
  if (status >= 0)
    status = put_text(put, out, &text, err);
  sql_buf_done(&text);
  pg_free(s);
  return status;
}

static const char tables_sql[] =
    "SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
    " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE"
    " 'pg\\_%' AND n.nspname <> 'information_schema' ORDER BY 1";

static int list_tables(struct pg_sink *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  PGresult *res = NULL;
  struct sql_buf text = {0};
  int status = pg_query(s, tables_sql, "SELECT from the catalog", &res, err);
  for (int i = 0; status >= 0 && i < PQntuples(res); i++) {
    sql_buf_str(&text, "{\"table\": ");
    sql_buf_json(&text, PQgetvalue(res, i, 0));
    sql_buf_str(&text, "}\n");
  }
  PQclear(res);
  if (status >= 0)
    return put_text(put, out, &text, err);
  sql_buf_done(&text);
  return status;
}

/* The pipeline's name of what the column holds. */
static void type_name(const struct pg_type *t, struct sql_buf *out)
{
  static const struct {
    uint32_t oid;
    const char *name;
  } names[] = {{PG_BOOL, "bool"},
               {PG_BYTEA, "binary"},
               {PG_INT2, "int16"},
               {PG_INT4, "int32"},
               {PG_INT8, "int64"},
               {PG_JSON, "json"},
               {PG_JSONB, "json"},
               {PG_FLOAT4, "float32"},
               {PG_FLOAT8, "float64"},
               {PG_DATE, "date"},
               {PG_TIME, "time"},
               {PG_TIMESTAMP, "timestamp"},
               {PG_TIMESTAMPTZ, "timestamptz"},
               {PG_UUID, "uuid"}};
  if (t->elem_oid) {
    struct pg_type item = {.oid = t->elem_oid, .typmod = t->typmod};
    sql_buf_str(out, "list<");
    type_name(&item, out);
    sql_buf_byte(out, '>');
    return;
  }
  if (t->oid == PG_NUMERIC && t->typmod >= 4) {
    sql_buf_fmt(out, "decimal(%d,%d)", (t->typmod - 4) >> 16 & 0xffff,
                (((t->typmod - 4) & 0x7ff) ^ 1024) - 1024);
    return;
  }
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].oid == t->oid) {
      sql_buf_str(out, names[i].name);
      return;
    }
  sql_buf_str(out, "utf8");
}

static int list_columns(struct pg_sink *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sql_buf text = {0};
  int status = pg_target_columns(s, err);
  for (int i = 0; status >= 0 && i < s->n_columns; i++) {
    const struct pg_column *c = &s->column[i];
    sql_buf_str(&text, "{\"column\": ");
    sql_buf_json(&text, c->name);
    sql_buf_str(&text, ", \"source_type\": ");
    sql_buf_json(&text, c->shown ? c->shown : "");
    sql_buf_str(&text, ", \"type\": \"");
    type_name(&c->type, &text);
    sql_buf_fmt(&text, "\", \"nullable\": %s}\n", c->type.not_null ? "false" : "true");
  }
  if (status >= 0)
    return put_text(put, out, &text, err);
  sql_buf_done(&text);
  return status;
}

/* Points the instance at another table than the file's. */
static int use_table(struct pg_sink *s, const char *table, struct mr_error *err)
{
  struct sql_name name;
  struct sql_buf quoted = {0};
  const char *why = NULL;
  char *shown = strdup(table);
  if (!shown || !sql_name_parse(table, PG_NAME_MAX, &name, &why)) {
    free(shown);
    return src_fail(err, MR_BADCONF, "", "table name: %s", why ? why : "out of memory");
  }
  sql_name_quoted(&quoted, &name);
  sql_buf_text(&quoted);
  sql_name_done(&name);
  free(s->target);
  free(s->shown);
  s->target = (char *)quoted.p;
  s->shown = shown;
  return s->target ? MR_OK : pg_no_memory(err);
}

int pg_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err)
{
  void *self = NULL;
  int status = pg_open(o, &self, err);
  struct pg_sink *s = self;
  if (status >= 0)
    status = pg_connect(s, err);
  if (status >= 0 && table)
    status = use_table(s, table, err);
  if (status >= 0)
    status = table ? list_columns(s, put, out, err) : list_tables(s, put, out, err);
  pg_free(s);
  return status;
}
