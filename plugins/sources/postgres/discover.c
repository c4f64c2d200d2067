/* SPDX-License-Identifier: Apache-2.0 */
/* What the server has: its health, its tables, the columns of one. */
#include "common/src-error.h"
#include "postgres.h"

static int put_line(mr_put_fn *put, void *out, struct sql_buf *b)
{
  sql_buf_byte(b, '\n');
  const char *text = sql_buf_text(b);
  int rc = put(out, text, strlen(text));
  sql_buf_clear(b);
  return rc;
}

static void json_text(struct sql_buf *b, const char *s)
{
  sql_buf_byte(b, '"');
  for (; *s; s++) {
    if ((unsigned char)*s < 0x20)
      sql_buf_fmt(b, "\\u%04x", (unsigned char)*s);
    else if (*s == '"' || *s == '\\')
      sql_buf_fmt(b, "\\%c", *s);
    else
      sql_buf_byte(b, *s);
  }
  sql_buf_byte(b, '"');
}

/* A connection for one question. */
static int visit(const struct mr_open *o, struct pg_source *s, struct mr_error *err)
{
  *s = (struct pg_source){.conf = o->conf, .host = o->host, .application = (char *)"millrace"};
  int rc = pg_describe_server(s, err);
  return rc < 0 ? rc : pg_connect(s, err);
}
static void leave(struct pg_source *s)
{
  pg_disconnect(s);
  free(s->where);
}

int pg_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct pg_source s;
  struct sql_buf b = {0};
  int rc = visit(o, &s, err);
  if (rc >= 0)
    rc = pg_check_query(&s, NULL, err);
  if (rc >= 0) {
    const char *version = PQparameterStatus(s.pg, "server_version"), *table = s.conf->query.table;
    sql_buf_fmt(&b, "PostgreSQL %s%s, %s%s: ok", version ? version : "", s.where,
                table ? "table " : "query", table ? table : "");
    rc = put_line(put, out, &b);
  }
  leave(&s);
  sql_buf_done(&b);
  return rc;
}

static const char tables_sql[] =
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = "
    "c.relnamespace"
    " WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', "
    "'information_schema')"
    " AND n.nspname !~ '^pg_(toast|temp)' AND has_table_privilege(c.oid, 'SELECT') ORDER BY 1";
static const char columns_sql[] =
    "SELECT a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, a.atttypid, "
    "a.atttypmod FROM pg_attribute a"
    " WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

static void type_of(const struct ArrowSchema *c, struct sql_buf *b)
{
  static const char *const names[][2] = {
      {"b", "bool"},   {"s", "int16"},   {"i", "int32"},        {"l", "int64"},
      {"I", "uint32"}, {"f", "float32"}, {"g", "float64"},      {"z", "binary"},
      {"tdD", "date"}, {"ttu", "time"},  {"tsu:", "timestamp"}, {"tsu:UTC", "timestamptz"},
      {"w:16", "uuid"}};
  int precision, scale;
  if (mr_kind_of(c) == MR_K_LIST) {
    sql_buf_str(b, "list<");
    type_of(c->children[0], b);
    sql_buf_str(b, ">");
    return;
  }
  mr_decimal_of(c, &precision, &scale);
  if (precision)
    sql_buf_fmt(b, "decimal(%d,%d)", precision, scale);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(c->format, names[i][0]))
      sql_buf_str(b, names[i][1]);
  if (!strcmp(c->format, "u"))
    sql_buf_str(b, mr_schema_is_json(c) ? "json" : "utf8");
}

static int put_column(const PGresult *res, int i, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sql_buf b = {0};
  struct ArrowSchema columns;
  Oid type = (Oid)strtoul(PQgetvalue(res, i, 3), NULL, 10); /* the server wrote both */
  bool ok =
      mr_schema_struct(&columns) && pg_add_column(&columns, PQgetvalue(res, i, 0), type,
                                                  (int)strtol(PQgetvalue(res, i, 4), NULL, 10));
  sql_buf_str(&b, "{\"column\":");
  json_text(&b, PQgetvalue(res, i, 0));
  sql_buf_str(&b, ",\"source_type\":");
  json_text(&b, PQgetvalue(res, i, 1));
  sql_buf_str(&b, ",\"type\":\"");
  if (ok)
    type_of(columns.children[0], &b);
  sql_buf_fmt(&b, "\",\"nullable\":%s}", *PQgetvalue(res, i, 2) == 't' ? "true" : "false");
  int rc = ok ? put_line(put, out, &b) : src_no_memory(err);
  mr_schema_release(&columns);
  sql_buf_done(&b);
  return rc;
}

static int put_table(const PGresult *res, int i, mr_put_fn *put, void *out)
{
  struct sql_buf b = {0};
  sql_buf_str(&b, "{\"table\":");
  json_text(&b, PQgetvalue(res, i, 0));
  sql_buf_byte(&b, '}');
  int rc = put_line(put, out, &b);
  sql_buf_done(&b);
  return rc;
}

int pg_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err)
{
  struct pg_source s;
  PGresult *res = NULL;
  const char *param[] = {table};
  int rc = visit(o, &s, err);
  if (rc >= 0)
    rc = pg_query(&s, table ? columns_sql : tables_sql, param, table != NULL, &res, err);
  for (int i = 0; rc >= 0 && i < PQntuples(res); i++)
    rc = table ? put_column(res, i, put, out, err) : put_table(res, i, put, out);
  PQclear(res);
  leave(&s);
  return rc;
}
