/* SPDX-License-Identifier: Apache-2.0 */
/* One server's health and what it promises; what tables and columns it has. */
#include "clickhouse.h"
#include "common/sql-ddl.h"

static int put_text(mr_put_fn *put, void *out, struct sql_buf *text, struct mr_error *err)
{
  int status = text->failed ? ch_no_memory(err) : put(out, text->p, text->len);
  sql_buf_done(text);
  return status < 0 ? status : MR_OK;
}

static int check_table(struct ch_sink *s, struct sql_buf *text, struct mr_error *err)
{
  int status = ch_target_columns(s, err);
  if (status == MR_BADCONF && !strcmp(err->code, "60") && s->conf->create) {
    sql_buf_str(text, "will be created");
    return MR_OK;
  }
  if (status >= 0)
    status = ch_server_window(s, err);
  if (status >= 0 && s->in.n_children)
    status = ch_target_plan(s, err); /* what start would find wrong with the columns */
  if (status < 0)
    return status;
  sql_buf_str(text, "ok, ");
  ch_promise(s, text);
  if (s->conf->delivery == DELIVERY_EXACTLY_ONCE && !s->exactly_once)
    return src_badconf(err, "delivery", "%.400s", sql_buf_text(text));
  return MR_OK;
}

int ch_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  struct sql_buf text = {0};
  int status = ch_open(o, &self, err);
  struct ch_sink *s = self;
  if (status >= 0)
    status = ch_server_learn(s, err);
  if (status >= 0) {
    sql_buf_fmt(&text, "ClickHouse %s%s, table %s: ", s->server.version, s->where, s->shown);
    status = check_table(s, &text, err);
  }
  if (status >= 0)
    status = put_text(put, out, &text, err);
  sql_buf_done(&text);
  ch_free(s);
  return status;
}

static int list_tables(struct ch_sink *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  static const char sql[] = "SELECT database, name FROM system.tables WHERE lower(database) NOT IN "
                            "('system', 'information_schema') AND name NOT LIKE '.inner%' "
                            "ORDER BY database, name";
  struct sql_buf answer = {0}, text = {0}, name = {0};
  bool last;
  int status = ch_query(s, sql, "SELECT from system.tables", &answer, err);
  char *at = (char *)answer.p, *database;
  while (status >= 0 && (database = ch_field(&at, &last))) {
    char *table = last ? NULL : ch_field(&at, &last);
    sql_buf_clear(&name);
    sql_buf_fmt(&name, "%s.%s", database, table ? table : "");
    sql_buf_str(&text, "{\"table\": ");
    sql_buf_json(&text, sql_buf_text(&name));
    sql_buf_str(&text, "}\n");
  }
  sql_buf_done(&answer);
  sql_buf_done(&name);
  if (status >= 0)
    return put_text(put, out, &text, err);
  sql_buf_done(&text);
  return status;
}

static int list_columns(struct ch_sink *s, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sql_buf text = {0};
  int status = ch_target_columns(s, err);
  for (int i = 0; status >= 0 && i < s->n_columns; i++) {
    const struct ch_column *c = &s->column[i];
    sql_buf_str(&text, "{\"column\": ");
    sql_buf_json(&text, c->name);
    sql_buf_str(&text, ", \"source_type\": ");
    sql_buf_json(&text, c->shown);
    sql_buf_str(&text, ", \"type\": \"");
    ch_type_pipeline(&c->type, &text);
    sql_buf_fmt(&text, "\", \"nullable\": %s}\n", c->type.nullable ? "true" : "false");
  }
  if (status >= 0)
    return put_text(put, out, &text, err);
  sql_buf_done(&text);
  return status;
}

/* Points the instance at another table than the file's. */
static int use_table(struct ch_sink *s, const char *table, struct mr_error *err)
{
  struct sql_name name;
  const char *why = NULL;
  char *shown = strdup(table);
  if (!shown || !sql_name_parse(table, 256, &name, &why)) {
    free(shown);
    return src_fail(err, MR_BADCONF, "", "table name: %s", why ? why : "out of memory");
  }
  sql_name_done(&s->table);
  free(s->shown);
  s->table = name;
  s->shown = shown;
  return MR_OK;
}

int ch_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err)
{
  void *self = NULL;
  int status = ch_open(o, &self, err);
  struct ch_sink *s = self;
  if (status >= 0)
    status = ch_server_learn(s, err);
  if (status >= 0 && table)
    status = use_table(s, table, err);
  if (status >= 0)
    status = table ? list_columns(s, put, out, err) : list_tables(s, put, out, err);
  ch_free(s);
  return status;
}

static bool type_ddl(void *self, const struct ArrowSchema *c, struct sql_buf *out)
{
  const struct ch_sink *s = self;
  return ch_type_ddl(c, s && ch_takes_nulls(s, c), true, out);
}

static int table_ddl(void *self, struct sql_buf *out, struct mr_error *err)
{
  return ch_target_ddl(self, out, err);
}

/* No server is asked: the table is one of today's. */
int ch_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  int status = ch_open(o, &self, err);
  struct ch_sink *s = self;
  if (status >= 0) {
    s->server.modern = s->server.token = true;
    s->server.major = CH_TODAY;
    status = sql_put_ddl(self, o->in, type_ddl, table_ddl, put, out, err);
  }
  ch_free(self);
  return status;
}

int ch_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  return sql_put_type(type_ddl, c, put, out, err);
}
