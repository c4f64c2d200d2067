/* SPDX-License-Identifier: Apache-2.0 */
/* The sqlite source: rows of a query or table of an SQLite file, read once or followed by a growing
 * column. */
#include <sqlite3.h>
#include <strings.h>
#include "common/qry-source.h"
#include "common/sql-ident.h"
#include "common/src-error.h"

#define BUSY_TIMEOUT_MS 1000

struct conf {
  const char *path;
  struct qry_conf query;
};
struct sqlite {
  const struct conf *conf;
  struct qry_source source;
  sqlite3 *db;
  sqlite3_stmt *stmt;
  int key; /* result column of the growing column; -1: none */
};

static const struct mr_opt options[] = {
    {.name = "path",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = offsetof(struct conf, path),
     .doc = "Database file; it is opened for reading only"},
    QRY_OPTIONS(conf, query),
    {0},
};

/* ---- failures */

/* Values of rows are in none of SQLite's messages for reading. */
static int failed(struct sqlite *s, const char *what, struct mr_error *err)
{
  int code = sqlite3_errcode(s->db), primary = code & 0xff;
  bool busy = primary == SQLITE_BUSY || primary == SQLITE_LOCKED || primary == SQLITE_INTERRUPT;
  bool wrong = primary == SQLITE_ERROR || primary == SQLITE_AUTH;
  err->native = code;
  return src_fail(err,
                  busy    ? MR_RETRY
                  : wrong ? MR_BADCONF
                          : MR_FATAL,
                  "", "%s: %s (%s)", what, sqlite3_errmsg(s->db), s->conf->path);
}

static void disconnect(struct sqlite *s)
{
  sqlite3_finalize(s->stmt);
  s->stmt = NULL;
  sqlite3_close(s->db);
  s->db = NULL;
}

static int connect_db(struct sqlite *s, struct mr_error *err)
{
  if (s->db)
    return MR_OK;
  int code =
      sqlite3_open_v2(s->conf->path, &s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
  if (code == SQLITE_OK)
    code = sqlite3_exec(s->db, "SELECT 1 FROM sqlite_master", NULL, NULL,
                        NULL); /* open alone reads nothing */
  if (code == SQLITE_OK) {
    sqlite3_busy_timeout(s->db, BUSY_TIMEOUT_MS);
    return MR_OK;
  }
  if (!s->db)
    return src_no_memory(err);
  int rc = failed(s, "open", err);
  disconnect(s);
  return rc == MR_BADCONF ? MR_FATAL : rc;
}

/* ---- the statement */

static void from_text(const struct sqlite *s, struct sql_buf *sql)
{
  const struct qry_conf *q = &s->conf->query;
  sql_buf_str(sql, " FROM ");
  if (q->table) {
    sql_ident(sql, q->table);
    return;
  }
  sql_buf_str(sql, "(");
  sql_buf_str(sql, q->query);
  sql_buf_str(sql, "\n)"); /* a comment at its end ends with the line */
}

static void select_text(const struct sqlite *s, const struct qry_mark *from, struct sql_buf *sql)
{
  const struct qry_conf *q = &s->conf->query;
  sql_buf_str(sql, "SELECT ");
  if (q->columns)
    for (int64_t i = 0; i < q->columns->n_children; i++) {
      if (i)
        sql_buf_str(sql, ", ");
      sql_ident(sql, q->columns->children[i]->name);
    }
  else
    sql_buf_str(sql, "*");
  if (q->incremental) {
    sql_buf_str(sql, ", ");
    sql_ident(sql, q->incremental);
  }
  from_text(s, sql);
  if (!q->incremental)
    return;
  sql_buf_str(sql, " WHERE ");
  sql_ident(sql, q->incremental);
  sql_buf_str(sql, from->kind == QRY_START ? " IS NOT NULL ORDER BY " : " >= ?1 ORDER BY ");
  sql_ident(sql, q->incremental);
}

static int prepare_text(struct sqlite *s, struct sql_buf *sql, struct mr_error *err)
{
  int code = sqlite3_prepare_v2(s->db, sql_buf_text(sql), -1, &s->stmt, NULL);
  return code != SQLITE_OK ? failed(s, "query", err) : s->stmt ? MR_OK : src_no_memory(err);
}

static int prepare(struct sqlite *s, const struct qry_mark *from, struct mr_error *err)
{
  const struct qry_conf *q = &s->conf->query;
  struct sql_buf sql = {0};
  select_text(s, from, &sql);
  size_t len = sql.len;
  if (q->table && !q->incremental)
    sql_buf_str(&sql, " ORDER BY rowid");
  int rc = prepare_text(s, &sql, err);
  if (rc < 0 &&
      sql.len > len) { /* a view, or a table WITHOUT ROWID, which is in the order of its key */
    sql.len = len;
    rc = prepare_text(s, &sql, err);
  }
  sql_buf_done(&sql);
  if (rc >= 0)
    s->key = q->incremental ? sqlite3_column_count(s->stmt) - 1 : -1;
  return rc;
}

static void finish(struct sqlite *s)
{
  sqlite3_finalize(s->stmt);
  s->stmt = NULL;
}

static void end(void *self)
{
  struct sqlite *s = self;
  finish(s);
  if (s->db && !sqlite3_get_autocommit(s->db))
    sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
}

/* One snapshot for the look at the columns and the query behind it. */
static int begin_transaction(struct sqlite *s, struct mr_error *err)
{
  if (sqlite3_get_autocommit(s->db) && sqlite3_exec(s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
    return failed(s, "BEGIN", err);
  return MR_OK;
}

static int begin(void *self, const struct qry_mark *from, struct mr_error *err)
{
  struct sqlite *s = self;
  int rc = begin_transaction(s, err);
  if (rc >= 0)
    rc = prepare(s, from, err);
  if (rc >= 0 && from->kind == QRY_NUMBER)
    sqlite3_bind_int64(s->stmt, 1, from->number);
  if (rc >= 0 && from->kind == QRY_TEXT)
    sqlite3_bind_text(s->stmt, 1, from->text, -1, SQLITE_TRANSIENT);
  if (rc < 0)
    end(s);
  return rc;
}

static int next(void *self, int64_t most, int64_t bytes, struct mr_error *err)
{
  struct sqlite *s = self;
  int code = sqlite3_step(s->stmt);
  if (code == SQLITE_ROW)
    return MR_OK;
  return code == SQLITE_DONE ? MR_END : failed(s, "read", err);
}

static int key(void *self, struct qry_mark *ret, struct mr_error *err)
{
  struct sqlite *s = self;
  int type = sqlite3_column_type(s->stmt, s->key);
  if (type == SQLITE_INTEGER) {
    *ret = (struct qry_mark){.kind = QRY_NUMBER, .number = sqlite3_column_int64(s->stmt, s->key)};
    return MR_OK;
  }
  const char *text =
      type == SQLITE_TEXT ? (const char *)sqlite3_column_text(s->stmt, s->key) : NULL;
  int n = sqlite3_column_bytes(s->stmt, s->key);
  if (!text || n > QRY_TEXT_MAX || memchr(text, 0, (size_t)n))
    return src_fail(
        err, MR_FATAL, "",
        "column `%s` has a value that is neither an integer nor a text of at most %d bytes",
        s->conf->query.incremental, QRY_TEXT_MAX);
  *ret = (struct qry_mark){.kind = QRY_TEXT};
  memcpy(ret->text, text, (size_t)n);
  return MR_OK;
}

/* ---- types of the result */

static bool has(const char *decl, const char *word)
{
  for (size_t n = strlen(word); *decl; decl++)
    if (!strncasecmp(decl, word, n))
      return true;
  return false;
}

/* "DECIMAL(18,4)" -> d:18,4 */
static bool decimal_format(const char *decl, char *out, size_t size)
{
  int precision = 0, scale = 0;
  const char *open = strchr(decl, '(');
  if (!open || sscanf(open, "(%2d , %2d )", &precision, &scale) < 1)
    return false;
  if (precision < 1 || precision > 38 || scale < 0 || scale > precision)
    return false;
  snprintf(out, size, "d:%d,%d", precision, scale);
  return true;
}

/* The type that a declaration means. The order matters: "POINT" is no integer, "DATETIME" no date.
 */
static void format_of(const char *decl, char *out, size_t size, const char **ret_extension)
{
  static const struct {
    const char *word, *format, *extension;
  } types[] = {{"UUID", "w:16", "arrow.uuid"},
               {"JSON", "u", "arrow.json"},
               {"TIMESTAMPTZ", "tsu:UTC", NULL},
               {"TIMESTAMP", "tsu:", NULL},
               {"DATETIME", "tsu:", NULL},
               {"DATE", "tdD", NULL},
               {"BOOL", "b", NULL},
               {"INT", "l", NULL},
               {"CHAR", "u", NULL},
               {"CLOB", "u", NULL},
               {"TEXT", "u", NULL},
               {"BLOB", "z", NULL},
               {"REAL", "g", NULL},
               {"FLOA", "g", NULL},
               {"DOUB", "g", NULL}};
  *ret_extension = NULL;
  if ((has(decl, "DECIMAL") || has(decl, "NUMERIC")) && decimal_format(decl, out, size))
    return;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (has(decl, types[i].word)) {
      *ret_extension = types[i].extension;
      snprintf(out, size, "%s", types[i].format);
      return;
    }
  snprintf(out, size, "u");
}

/* An expression has no declaration: what its first row holds decides. */
static const char *format_of_value(sqlite3_stmt *stmt, int i)
{
  switch (sqlite3_column_type(stmt, i)) {
  case SQLITE_INTEGER: return "l";
  case SQLITE_FLOAT: return "g";
  case SQLITE_BLOB: return "z";
  default: return "u";
  }
}

static bool add_column(struct sqlite *s, int i, bool row, struct ArrowSchema *columns)
{
  struct ArrowSchema c;
  char format[24];
  const char *decl = sqlite3_column_decltype(s->stmt, i), *extension = NULL;
  if (decl)
    format_of(decl, format, sizeof format, &extension);
  else
    snprintf(format, sizeof format, "%s", row ? format_of_value(s->stmt, i) : "u");
  bool ok = mr_schema_init(&c, sqlite3_column_name(s->stmt, i), format, true) &&
            (!extension || mr_schema_set_meta(&c, MR_META_EXTENSION, extension)) &&
            mr_schema_add(columns, &c);
  if (!ok)
    mr_schema_release(&c);
  return ok;
}

static int describe(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct sqlite *s = self;
  struct ArrowSchema columns;
  int rc = begin(s, &(struct qry_mark){.kind = QRY_START}, err);
  if (rc < 0)
    return rc;
  int code = sqlite3_step(s->stmt), n = sqlite3_column_count(s->stmt) - (s->key >= 0);
  bool ok = mr_schema_struct(&columns);
  for (int i = 0; ok && i < n; i++)
    ok = add_column(s, i, code == SQLITE_ROW, &columns);
  rc = code != SQLITE_ROW && code != SQLITE_DONE ? failed(s, "read", err)
       : ok                                      ? MR_OK
                                                 : src_no_memory(err);
  finish(s);
  if (rc < 0)
    mr_schema_release(&columns);
  else
    *give = columns;
  return rc;
}

/* ---- values */

/* SQLite keeps decimals as doubles: up to 15 digits come back as they were written. */
static int value_real(struct mr_column *c, const struct ArrowSchema *schema, double v,
                      const char **ret_why)
{
  char text[40];
  *ret_why = "a floating-point number, which the column's type cannot hold exactly";
  if (c->kind == MR_K_FLOAT32 || c->kind == MR_K_FLOAT64)
    return mr_column_f64(c, v) ? MR_OK : MR_FATAL;
  if (c->kind != MR_K_DECIMAL && c->kind != MR_K_TEXT)
    return MR_REJECT;
  int n = snprintf(text, sizeof text, "%.15g", v);
  if (c->kind == MR_K_DECIMAL)
    return qry_value(c, schema, text, n, ret_why);
  for (int digits = 16; digits <= 17 && strtod(text, NULL) != v; digits++)
    n = snprintf(text, sizeof text, "%.*g", digits, v);
  return mr_column_bytes(c, text, n) ? MR_OK : MR_FATAL;
}

static int value_blob(struct mr_column *c, const void *p, int n, const char **ret_why)
{
  *ret_why = "a BLOB, which the column's type cannot hold";
  if (c->kind == MR_K_BINARY)
    return mr_column_bytes(c, p, n) ? MR_OK : MR_FATAL;
  if (c->kind == MR_K_FIXED && n == c->width)
    return mr_column_fixed(c, p) ? MR_OK : MR_FATAL;
  return MR_REJECT;
}

static int value(void *self, int64_t at, struct mr_column *c, const struct ArrowSchema *schema,
                 int64_t *ret_bytes, const char **ret_why)
{
  struct sqlite *s = self;
  int i = (int)at, type = sqlite3_column_type(s->stmt, i);
  *ret_bytes += 8;
  if (type == SQLITE_NULL)
    return mr_column_null(c) ? MR_OK : MR_FATAL;
  if (type == SQLITE_INTEGER)
    return qry_value_int(c, schema, sqlite3_column_int64(s->stmt, i), ret_why);
  if (type == SQLITE_FLOAT)
    return value_real(c, schema, sqlite3_column_double(s->stmt, i), ret_why);
  const void *p =
      type == SQLITE_TEXT ? sqlite3_column_text(s->stmt, i) : sqlite3_column_blob(s->stmt, i);
  int n = sqlite3_column_bytes(s->stmt, i);
  *ret_bytes += n;
  if (type == SQLITE_BLOB)
    return value_blob(c, p, n, ret_why);
  if (!p)
    return MR_FATAL;
  return c->kind == MR_K_BINARY ? value_blob(c, p, n, ret_why)
                                : qry_value(c, schema, p, n, ret_why);
}

static bool is_result(const struct sqlite *s, const char *name)
{
  for (int i = 0; i < sqlite3_column_count(s->stmt); i++)
    if (!strcasecmp(sqlite3_column_name(s->stmt, i), name))
      return true;
  return false;
}

/* A name in double quotes that is no column would be a text to SQLite. */
static int check_names(struct sqlite *s, struct mr_error *err)
{
  const struct qry_conf *q = &s->conf->query;
  for (int64_t i = 0; q->columns && i < q->columns->n_children; i++)
    if (!is_result(s, q->columns->children[i]->name))
      return src_badconf(err, "columns", "the database has no column `%s` here (%s)",
                         q->columns->children[i]->name, s->conf->path);
  if (q->incremental && strcasecmp(q->incremental, "rowid") && !is_result(s, q->incremental))
    return src_badconf(err, "incremental", "the database has no column `%s` here (%s)",
                       q->incremental, s->conf->path);
  return MR_OK;
}

static int check_query(struct sqlite *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_str(&sql, "SELECT *");
  from_text(s, &sql);
  int rc = prepare_text(s, &sql, err);
  sql_buf_done(&sql);
  if (rc >= 0)
    rc = check_names(s, err);
  end(s);
  return rc;
}

/* What is wrong with the query is said at start. */
static int connect_(void *self, struct mr_error *err)
{
  struct sqlite *s = self;
  int rc = connect_db(s, err);
  return rc < 0 || s->source.named ? rc : check_query(s, err);
}

static const struct qry_backend backend = {.connect = connect_,
                                           .describe = describe,
                                           .begin = begin,
                                           .next = next,
                                           .value = value,
                                           .key = key,
                                           .end = end};

/* ---- the plugin */

static int validate(const void *conf, struct mr_error *err)
{
  return qry_validate(&((const struct conf *)conf)->query, err);
}

static void close_(void *self)
{
  struct sqlite *s = self;
  if (!s)
    return;
  qry_source_done(&s->source);
  disconnect(s);
  free(s);
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct sqlite *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->conf = o->conf;
  int rc = qry_source_init(&s->source, o, &s->conf->query, &backend, s, err);
  if (rc < 0)
    free(s);
  else
    *self = s;
  return rc;
}

static int schema_(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return qry_source_schema(&((struct sqlite *)self)->source, give, err);
}
static int start(void *self, struct mr_error *err)
{
  return qry_source_start(&((struct sqlite *)self)->source, err);
}
static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  return qry_source_read(&((struct sqlite *)self)->source, max_rows, max_bytes, timeout_ms, give,
                         err);
}
static int cut(void *self, uint32_t lane, const struct mr_position *at)
{
  return qry_source_cut(&((struct sqlite *)self)->source, lane, at);
}
static int seek(void *self, uint32_t lane, const struct mr_position *at, struct mr_error *err)
{
  return qry_source_seek(&((struct sqlite *)self)->source, lane, at, err);
}

/* ---- check and discover */

static int put_line(mr_put_fn *put, void *out, struct sql_buf *b)
{
  sql_buf_byte(b, '\n');
  const char *text = sql_buf_text(b);
  int rc = put(out, text, strlen(text));
  sql_buf_clear(b);
  return rc;
}

static int check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct sqlite s = {.conf = o->conf};
  struct sql_buf b = {0};
  int rc = connect_db(&s, err);
  if (rc >= 0)
    rc = check_query(&s, err);
  if (rc >= 0) {
    sql_buf_fmt(&b, "SQLite %s, file %s: ok", sqlite3_libversion(), s.conf->path);
    rc = put_line(put, out, &b);
  }
  end(&s);
  disconnect(&s);
  sql_buf_done(&b);
  return rc;
}

static void json_text(struct sql_buf *b, const char *s)
{
  sql_buf_byte(b, '"');
  for (; s && *s; s++) {
    if ((unsigned char)*s < 0x20)
      sql_buf_fmt(b, "\\u%04x", (unsigned char)*s);
    else if (*s == '"' || *s == '\\')
      sql_buf_fmt(b, "\\%c", *s);
    else
      sql_buf_byte(b, *s);
  }
  sql_buf_byte(b, '"');
}

/* The type as pipeline files write it. */
static const char *type_text(const char *decl, char *buf, size_t size)
{
  static const char *const names[][2] = {
      {"l", "int64"},  {"g", "float64"}, {"u", "utf8"},         {"z", "binary"},
      {"b", "bool"},   {"tdD", "date"},  {"tsu:", "timestamp"}, {"tsu:UTC", "timestamptz"},
      {"w:16", "uuid"}};
  const char *extension;
  char format[24];
  int precision, scale;
  format_of(decl, format, sizeof format, &extension);
  if (sscanf(format, "d:%d,%d", &precision, &scale) == 2)
    snprintf(buf, size, "decimal(%d,%d)", precision, scale);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcmp(format, names[i][0]))
      snprintf(buf, size, "%s",
               extension && !strcmp(extension, "arrow.json") ? "json" : names[i][1]);
  return buf;
}

static int put_table(struct sqlite *s, mr_put_fn *put, void *out)
{
  struct sql_buf b = {0};
  sql_buf_str(&b, "{\"table\":");
  json_text(&b, (const char *)sqlite3_column_text(s->stmt, 0));
  sql_buf_byte(&b, '}');
  int rc = put_line(put, out, &b);
  sql_buf_done(&b);
  return rc;
}

static int put_column(struct sqlite *s, mr_put_fn *put, void *out)
{
  struct sql_buf b = {0};
  char type[32];
  const char *decl = (const char *)sqlite3_column_text(s->stmt, 1);
  sql_buf_str(&b, "{\"column\":");
  json_text(&b, (const char *)sqlite3_column_text(s->stmt, 0));
  sql_buf_str(&b, ",\"source_type\":");
  json_text(&b, decl);
  sql_buf_fmt(&b, ",\"type\":\"%s\",\"nullable\":%s}",
              type_text(decl ? decl : "", type, sizeof type),
              sqlite3_column_int(s->stmt, 2) ? "false" : "true");
  int rc = put_line(put, out, &b);
  sql_buf_done(&b);
  return rc;
}

static int discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                    struct mr_error *err)
{
  struct sqlite s = {.conf = o->conf};
  const char *sql = table ? "SELECT name, type, \"notnull\" FROM pragma_table_info(?1)"
                          : "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND "
                            "name NOT LIKE 'sqlite_%' "
                            "ORDER BY name";
  int rc = connect_db(&s, err), code;
  if (rc >= 0 && sqlite3_prepare_v2(s.db, sql, -1, &s.stmt, NULL) != SQLITE_OK)
    rc = failed(&s, "discover", err);
  if (rc >= 0 && table)
    sqlite3_bind_text(s.stmt, 1, table, -1, SQLITE_STATIC);
  int64_t rows = 0;
  for (; rc >= 0 && (code = sqlite3_step(s.stmt)) == SQLITE_ROW; rows++)
    rc = table ? put_column(&s, put, out) : put_table(&s, put, out);
  if (rc >= 0 && code != SQLITE_DONE)
    rc = failed(&s, "discover", err);
  if (rc >= 0 && table && !rows) /* every table has a column */
    rc = src_fail(err, MR_BADCONF, "no such table", "table %s does not exist in %s", table,
                  s.conf->path);
  disconnect(&s);
  return rc;
}

static const struct mr_source source = {
    .size = sizeof source,
    .open = open_,
    .schema = schema_,
    .start = start,
    .read = read_,
    .cut = cut,
    .seek = seek,
    .close = close_,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "sqlite",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "rows of an SQLite query or table, read once or followed by a growing column",
    .options = options,
    .source = &source,
    .validate = validate,
    .check = check,
    .discover = discover,
};
