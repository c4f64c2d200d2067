/* SPDX-License-Identifier: Apache-2.0 */
/* The file's health, and what tables and columns it has. */
#include <unistd.h>
#include "sqlite.h"

static int put_text(mr_put_fn *put, void *out, struct sql_buf *text, struct mr_error *err)
{
  int status = text->failed ? sq_no_memory(err) : put(out, text->p, text->len);
  sql_buf_done(text);
  return status < 0 ? status : MR_OK;
}

/* A look must not make the file. */
static int open_existing(struct sq_sink *s, struct mr_error *err)
{
  if (access(s->conf->path, R_OK | W_OK) == 0)
    return sq_connect(s, err);
  snprintf(err->option, sizeof err->option, "path");
  return src_fail(err, MR_BADCONF, "SQLITE_CANTOPEN", "%s does not exist or may not be written",
                  s->conf->path);
}

int sq_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  struct sql_buf text = {0};
  int status = sq_open(o, &self, err);
  struct sq_sink *s = self;
  if (status < 0)
    return status;
  const char *state = "ok";
  if (s->conf->create && access(s->conf->path, F_OK) != 0) {
    state = "will be created";
  } else {
    status = open_existing(s, err);
    if (status >= 0)
      status = sq_table_columns(s, err);
    if (status >= 0 && s->in.n_children)
      status = sq_table_plan(s, err); /* what start would find wrong with the columns */
    if (status < 0 && s->conf->create && !strcmp(err->code, "no such table")) {
      state = "will be created";
      status = MR_OK;
    }
  }
  sql_buf_fmt(&text, "SQLite %s, file %s, table %s: %s", sqlite3_libversion(), s->conf->path,
              s->conf->table, state);
  if (status >= 0)
    status = put_text(put, out, &text, err);
  sql_buf_done(&text);
  sq_free(s);
  return status;
}

static int list_tables(struct sq_sink *s, struct sql_buf *text, struct mr_error *err)
{
  sqlite3_stmt *st = NULL;
  int rc = SQLITE_DONE;
  int status = sq_prepare(s,
                          "SELECT name FROM main.sqlite_schema WHERE type IN ('table', 'view') AND"
                          " name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
                          "SELECT from sqlite_schema", &st, err);
  while (status >= 0 && (rc = sqlite3_step(st)) == SQLITE_ROW) {
    sql_buf_str(text, "{\"table\": ");
    sql_buf_json(text, (const char *)sqlite3_column_text(st, 0));
    sql_buf_str(text, "}\n");
  }
  if (status >= 0 && rc != SQLITE_DONE)
    status = sq_error(s, "SELECT from sqlite_schema", err);
  sqlite3_finalize(st);
  return status;
}

static int list_columns(struct sq_sink *s, const char *table, struct sql_buf *text,
                        struct mr_error *err)
{
  static const char *const type[] = {"binary", "int64", "float64", "utf8", "utf8"};
  struct sql_name name;
  const char *why = NULL;
  if (!sql_name_parse(table, SQ_NAME_MAX, &name, &why))
    return src_fail(err, MR_BADCONF, "", "table name: %s", why);
  sql_name_done(&s->table);
  s->table = name;
  int status = sq_table_columns(s, err);
  for (int i = 0; status >= 0 && i < s->n_columns; i++) {
    const struct sq_column *c = &s->column[i];
    sql_buf_str(text, "{\"column\": ");
    sql_buf_json(text, c->name);
    sql_buf_str(text, ", \"source_type\": ");
    sql_buf_json(text, c->declared);
    sql_buf_fmt(text, ", \"type\": \"%s\", \"nullable\": %s}\n", type[c->affinity],
                c->not_null ? "false" : "true");
  }
  return status;
}

int sq_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err)
{
  void *self = NULL;
  struct sql_buf text = {0};
  int status = sq_open(o, &self, err);
  struct sq_sink *s = self;
  if (status < 0)
    return status;
  status = open_existing(s, err);
  if (status >= 0)
    status = table ? list_columns(s, table, &text, err) : list_tables(s, &text, err);
  if (status >= 0)
    status = put_text(put, out, &text, err);
  sql_buf_done(&text);
  sq_free(s);
  return status;
}
