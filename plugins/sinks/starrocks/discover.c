/* SPDX-License-Identifier: Apache-2.0 */
/* One server's health, and what tables and columns it has. */
#include "common/sql-ddl.h"
#include "starrocks.h"

static int put_text(mr_put_fn *put, void *out, struct sql_buf *text, struct mr_error *err)
{
  int status = text->failed ? src_no_memory(err) : put(out, text->p, text->len);
  sql_buf_done(text);
  return status < 0 ? status : MR_OK;
}

static int version(struct sr_sink *s, struct sql_buf *text, struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  int status = sr_sql_query(s, "SELECT current_version()", "SELECT current_version()", &res, err);
  MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
  if (row && row[0])
    sql_buf_fmt(text, "StarRocks %.60s", row[0]);
  mysql_free_result(res);
  return status;
}

static int health(struct sr_sink *s, struct sql_buf *text, struct mr_error *err)
{
  int status = sr_http_open(s, err);
  if (status >= 0)
    status = version(s, text, err);
  if (status >= 0)
    status = sr_label_state(s, "millrace_check", err);
  if (status < 0)
    return status;
  sql_buf_fmt(text, "%s, table %s: ", s->where, s->shown);
  status = sr_target_columns(s, err);
  if (status == MR_BADCONF && !strcmp(err->code, "42S02") && s->conf->create) {
    sql_buf_str(text, "will be created");
    return MR_OK;
  }
  sql_buf_str(text, "ok");
  s->lenient = s->conf->evolve == EVOLVE_ADD; /* missing ones will be added */
  if (status >= 0 && s->in.n_children)
    status = sr_target_plan(s, err); /* what start would find wrong with the columns */
  if (status >= 0)
    sr_labels_warn(s);
  return status;
}

int sr_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  struct sql_buf text = {0};
  int status = sr_open(o, &self, err);
  struct sr_sink *s = self;
  if (status >= 0)
    status = health(s, &text, err);
  if (status >= 0)
    status = put_text(put, out, &text, err);
  sql_buf_done(&text);
  sr_free(s);
  return status;
}

static int list_tables(struct sr_sink *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sql_buf text = {0}, name = {0};
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  int status = sr_sql_query(s, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.tables",
                            "SELECT", &res, err);
  while (status >= 0 && (row = mysql_fetch_row(res))) {
    const char *schema = row[0] ? row[0] : "";
    if (!strcmp(schema, "information_schema") || !strcmp(schema, "sys") ||
        !strcmp(schema, "_statistics_"))
      continue;
    sql_buf_clear(&name);
    sql_buf_fmt(&name, "%s.%s", schema, row[1] ? row[1] : "");
    sql_buf_str(&text, "{\"table\": ");
    sql_buf_json(&text, sql_buf_text(&name));
    sql_buf_str(&text, "}\n");
  }
  mysql_free_result(res);
  sql_buf_done(&name);
  if (status >= 0)
    return put_text(put, out, &text, err);
  sql_buf_done(&text);
  return status;
}

static int list_columns(struct sr_sink *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sql_buf text = {0};
  int status = sr_target_columns(s, err);
  for (int i = 0; status >= 0 && i < s->n_columns; i++) {
    const struct sr_column *c = &s->column[i];
    sql_buf_str(&text, "{\"column\": ");
    sql_buf_json(&text, c->name);
    sql_buf_str(&text, ", \"source_type\": ");
    sql_buf_json(&text, c->shown);
    sql_buf_str(&text, ", \"type\": \"");
    sr_type_name(c, &text);
    sql_buf_fmt(&text, "\", \"nullable\": %s}\n", c->nullable ? "true" : "false");
  }
  if (status >= 0)
    return put_text(put, out, &text, err);
  sql_buf_done(&text);
  return status;
}

/* Points the instance at another table than the file's. */
static int use_table(struct sr_sink *s, const char *table, struct mr_error *err)
{
  const char *dot = strchr(table, '.');
  char *name = strdup(dot ? dot + 1 : table), *shown = strdup(table);
  char *database = dot ? strndup(table, (size_t)(dot - table)) : strdup(s->database);
  free(s->table);
  free(s->database);
  free(s->shown);
  s->table = name;
  s->database = database;
  s->shown = shown;
  return name && database && shown ? MR_OK : src_no_memory(err);
}

int sr_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err)
{
  void *self = NULL;
  int status = sr_open(o, &self, err);
  struct sr_sink *s = self;
  if (status >= 0 && table)
    status = use_table(s, table, err);
  if (status >= 0)
    status = table ? list_columns(s, put, out, err) : list_tables(s, put, out, err);
  sr_free(s);
  return status;
}

static bool type_ddl(void *self, const struct ArrowSchema *c, struct sql_buf *out)
{
  const struct sr_sink *s = self;
  return sr_type_ddl(c, s && s->conf->key.n > 0 && sr_in_key(s, c->name), out);
}

static int table_ddl(void *self, struct sql_buf *out, struct mr_error *err)
{
  return sr_target_ddl(self, out, err);
}

int sr_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  int status = sr_open(o, &self, err);
  if (status >= 0)
    status = sql_put_ddl(self, o->in, type_ddl, table_ddl, put, out, err);
  sr_free(self);
  return status;
}

int sr_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  return sql_put_type(type_ddl, c, put, out, err);
}
