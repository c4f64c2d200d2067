/* SPDX-License-Identifier: Apache-2.0 */
/* The target table: its columns and their affinities, creating it, adding columns. */
#include "common/sql-ddl.h"
#include "sqlite.h"
#include "millrace/changes.h"

static bool contains(const char *text, const char *part)
{
  return sqlite3_strlike(part, text, 0) == 0;
}

/* Source: sqlite.org/datatype3.html, section 3.1, Determination Of Column Affinity. */
enum sq_affinity sq_affinity_of(const char *declared)
{
  if (contains(declared, "%INT%"))
    return SQ_INTEGER;
  if (contains(declared, "%CHAR%") || contains(declared, "%CLOB%") || contains(declared, "%TEXT%"))
    return SQ_TEXT;
  if (!*declared || contains(declared, "%BLOB%"))
    return SQ_NONE;
  if (contains(declared, "%REAL%") || contains(declared, "%FLOA%") || contains(declared, "%DOUB%"))
    return SQ_REAL;
  return SQ_NUMERIC;
}

static bool is_key(const struct sq_sink *s, const char *name)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++)
    if (!sqlite3_stricmp(key[i], name))
      return true;
  return false;
}

/* Names of columns are equal without regard to the case of ASCII letters, as SQLite has it. */
int sq_column_find(const struct sq_sink *s, const char *name)
{
  for (int i = 0; i < s->n_columns; i++)
    if (!sqlite3_stricmp(s->column[i].name, name))
      return i;
  return -1;
}

void sq_table_forget(struct sq_sink *s)
{
  sqlite3_finalize(s->insert);
  s->insert = NULL;
  sq_kept_forget(&s->sets);
  sq_kept_forget(&s->deletes);
  sq_version_forget(s);
  for (int i = 0; i < s->n_columns; i++) {
    free(s->column[i].name);
    free(s->column[i].declared);
    free(s->column[i].preset);
  }
  free(s->column);
  free(s->field);
  s->column = NULL;
  s->field = NULL;
  s->n_columns = s->n_fields = s->n_keys = 0;
  s->learned = false;
}

int sq_schema_version(struct sq_sink *s, int64_t *ret, struct mr_error *err)
{
  sqlite3_stmt *st;
  int status = sq_prepare(s, "PRAGMA schema_version", "PRAGMA schema_version", &st, err);
  if (status < 0)
    return status;
  if (sqlite3_step(st) == SQLITE_ROW)
    *ret = sqlite3_column_int64(st, 0);
  else
    status = sq_error(s, "PRAGMA schema_version", err);
  sqlite3_finalize(st);
  return status;
}

/* ---------------------------------------------------------------- columns */

static const char *text_at(sqlite3_stmt *st, int column)
{
  const unsigned char *t = sqlite3_column_text(st, column);
  return t ? (const char *)t : "";
}

static bool add_column(struct sq_sink *s, sqlite3_stmt *st)
{
  struct sq_column *grown = realloc(s->column, (size_t)(s->n_columns + 1) * sizeof *grown);
  if (!grown)
    return false;
  s->column = grown;
  struct sq_column *c = &grown[s->n_columns++];
  *c = (struct sq_column){.name = strdup(text_at(st, 0)),
                          .declared = strdup(text_at(st, 1)),
                          .not_null = sqlite3_column_int(st, 2) || sqlite3_column_int(st, 4),
                          .has_default = sqlite3_column_type(st, 3) != SQLITE_NULL,
                          .generated = sqlite3_column_int(st, 5) > 1,
                          .source = -1};
  if (c->has_default)
    c->preset = strdup(text_at(st, 3));
  if (!c->name || !c->declared || (c->has_default && !c->preset))
    return false;
  c->affinity = sq_affinity_of(c->declared);
  /* INTEGER PRIMARY KEY numbers its rows by itself */
  if (sqlite3_column_int(st, 4) && !sqlite3_stricmp(c->declared, "INTEGER"))
    c->has_default = true;
  return true;
}

int sq_table_columns(struct sq_sink *s, struct mr_error *err)
{
  sqlite3_stmt *st;
  sq_table_forget(s);
  int status = sq_prepare(s,
                          "SELECT name, type, \"notnull\", dflt_value, pk, hidden FROM"
                          " pragma_table_xinfo(?1, ?2) WHERE hidden <> 1 ORDER BY cid",
                          "PRAGMA table_xinfo", &st, err);
  if (status < 0)
    return status;
  sqlite3_bind_text(st, 1, s->table.table, -1, SQLITE_STATIC);
  sqlite3_bind_text(st, 2, s->table.schema ? s->table.schema : "main", -1, SQLITE_STATIC);
  int rc;
  while ((rc = sqlite3_step(st)) == SQLITE_ROW && status >= 0)
    if (!add_column(s, st))
      status = sq_no_memory(err);
  if (rc != SQLITE_DONE && status >= 0)
    status = sq_error(s, "PRAGMA table_xinfo", err);
  sqlite3_finalize(st);
  if (status >= 0 && s->n_columns == 0) {
    snprintf(err->option, sizeof err->option, "table");
    return src_fail(err, MR_BADCONF, "no such table",
                    "table %s does not exist in %s; create it, or say create: true", s->table.table,
                    s->conf->path);
  }
  return status;
}

/* ---------------------------------------------------------------- DDL */

static const char *type_name(const struct ArrowSchema *s)
{
  switch (mr_kind_of(s)) {
  case MR_K_NONE: return NULL;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return "REAL";
  case MR_K_BINARY: return "BLOB";
  case MR_K_DECIMAL:
  case MR_K_DATE:
  case MR_K_TIME:
  case MR_K_TIMESTAMP:
  case MR_K_TEXT:
  case MR_K_FIXED:
  case MR_K_LIST:
  case MR_K_STRUCT:
  case MR_K_MAP:
  case MR_K_NULL: return "TEXT";
  default: return "INTEGER";
  }
}

static int column_ddl(const struct ArrowSchema *c, struct sql_buf *sql, struct mr_error *err)
{
  const char *type = type_name(c);
  if (!type)
    return src_fail(err, MR_BADCONF, "", "column %s has a type that SQLite cannot keep", c->name);
  sql_ident(sql, c->name);
  sql_buf_fmt(sql, " %s", type);
  return MR_OK;
}

static void key_list(const struct sq_sink *s, struct sql_buf *sql)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++) {
    sql_buf_str(sql, i ? ", " : "");
    sql_ident(sql, key[i]);
  }
}

static int create_sql(struct sq_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int n = 0, status = MR_OK;
  sql_buf_fmt(sql, "CREATE TABLE IF NOT EXISTS %s (", s->target);
  for (int64_t i = 0; i < s->in.n_children && status >= 0; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    if (mr_schema_is_system(c))
      continue;
    sql_buf_str(sql, n++ ? ", " : "");
    status = column_ddl(c, sql, err);
    if (is_key(s, c->name))
      sql_buf_str(sql, " NOT NULL");
  }
  if (s->conf->version)
    sql_buf_str(sql, ", " UPS_WRITTEN " TEXT");
  if (s->conf->key.n) {
    sql_buf_str(sql, ", PRIMARY KEY (");
    key_list(s, sql);
    sql_buf_byte(sql, ')');
  }
  sql_buf_byte(sql, ')');
  return status;
}

static bool type_ddl(void *self, const struct ArrowSchema *c, struct sql_buf *out)
{
  const char *type = type_name(c);
  sql_buf_str(out, type ? type : "");
  return type != NULL;
}

static int table_ddl(void *self, struct sql_buf *out, struct mr_error *err)
{
  return create_sql(self, out, err);
}

int sq_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  int status = sq_open(o, &self, err);
  if (status >= 0)
    status = sql_put_ddl(self, o->in, type_ddl, table_ddl, put, out, err);
  sq_free(self);
  return status;
}

int sq_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  return sql_put_type(type_ddl, c, put, out, err);
}

static int create_table(struct sq_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = create_sql(s, &sql, err);
  if (status >= 0)
    status = sq_exec(s, sql_buf_text(&sql), "CREATE TABLE", err);
  sql_buf_done(&sql);
  if (status >= 0)
    src_log(s->host, MR_INFO, "created table %s in %s", s->conf->table, s->conf->path);
  return status;
}

/* ---------------------------------------------------------------- for evo_follow */

static bool evolve_column(void *self, int i, struct evo_column *ret)
{
  struct sq_sink *s = self;
  if (i >= s->n_columns)
    return false;
  const struct sq_column *c = &s->column[i];
  *ret = (struct evo_column){.name = c->name,
                             .type = *c->declared ? c->declared : "any",
                             .key = is_key(s, c->name),
                             .fixed = c->generated};
  return true; /* demands: NOT NULL cannot be taken from a column */
}

/* SQLite changes no type of a column: integers are as wide as they get, others are refused. */
static bool widens(void *self, int i, const struct ArrowSchema *to)
{
  return false;
}

static int change(void *self, enum evo_act act, int i, const struct ArrowSchema *to,
                  struct mr_error *err)
{
  struct sq_sink *s = self;
  struct sql_buf sql = {0};
  int status = MR_OK;
  sql_buf_fmt(&sql, "ALTER TABLE %s %s COLUMN ", s->target, act == EVO_ADD ? "ADD" : "DROP");
  if (act == EVO_ADD)
    status = column_ddl(to, &sql, err);
  else
    sql_ident(&sql, s->column[i].name);
  if (status >= 0)
    status = sq_exec(s, sql_buf_text(&sql), "ALTER TABLE", err);
  sql_buf_done(&sql);
  return status;
}

static int look(void *self, struct mr_error *err)
{
  return sq_table_columns(self, err);
}

static struct evo_table evolve_table(struct sq_sink *s)
{
  return (struct evo_table){.host = s->host,
                            .shown = s->conf->table,
                            .policy = s->conf->evolve,
                            .drop_columns = s->conf->drop_columns,
                            .any_case = true,
                            .self = s,
                            .column = evolve_column,
                            .widens = widens,
                            .alter = change,
                            .look = look};
}

/* ---------------------------------------------------------------- statements */

static int prepare_insert(struct sq_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int n = 0;
  sql_buf_fmt(&sql, "INSERT INTO %s (", s->target);
  for (int i = 0; i < s->n_fields; i++) {
    sql_buf_str(&sql, i ? ", " : "");
    sql_ident(&sql, s->column[s->field[i].column].name);
  }
  sql_buf_str(&sql, ") VALUES (");
  for (int i = 0; i < s->n_fields; i++)
    sql_buf_fmt(&sql, "%s?%d", i ? ", " : "", i + 1);
  sql_buf_byte(&sql, ')');
  if (s->conf->mode == MODE_UPSERT) {
    sql_buf_str(&sql, " ON CONFLICT (");
    key_list(s, &sql);
    sql_buf_byte(&sql, ')');
    for (int i = 0; i < s->n_fields; i++) {
      const struct sq_column *c = &s->column[s->field[i].column];
      if (c->is_key)
        continue;
      sql_buf_str(&sql, n++ ? ", " : " DO UPDATE SET ");
      sql_ident(&sql, c->name);
      sql_buf_str(&sql, " = excluded.");
      sql_ident(&sql, c->name);
    }
    sql_buf_str(&sql, n ? "" : " DO NOTHING");
  }
  int status = sq_prepare(s, sql_buf_text(&sql), "INSERT", &s->insert, err);
  sql_buf_done(&sql);
  if (status < 0 && strstr(err->msg, "ON CONFLICT")) {
    snprintf(err->option, sizeof err->option, "key");
    return src_fail(err, MR_BADCONF, "42P10",
                    "mode upsert needs a primary key or unique index on exactly the key columns of"
                    " %s",
                    s->conf->table);
  }
  return status;
}

/* ---------------------------------------------------------------- planning */

int sq_table_input(const struct sq_sink *s, struct mr_error *err)
{
  return ups_rows_check(s->conf->version, s->conf->mode == MODE_UPSERT, &s->in, sqlite3_stricmp,
                        err);
}

static int link_columns(struct sq_sink *s, struct mr_error *err)
{
  struct sql_buf missing = {0};
  int status = MR_OK;
  s->op_source = -1;
  s->partial = s->conf->mode == MODE_UPSERT && mr_schema_find(&s->in, MR_SET) >= 0;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const char *name = s->in.children[i]->name;
    int at = sq_column_find(s, name);
    if (!strcmp(name, "_op"))
      s->op_source = (int)i;
    if (mr_schema_is_system(s->in.children[i]))
      continue;
    if (at >= 0)
      s->column[at].source = (int32_t)i;
    else
      sql_buf_fmt(&missing, "%s%s", missing.len ? ", " : "", name);
  }
  if (missing.len && s->lenient) {
    src_log(s->host, MR_WARN, "columns that %s has not are left out (evolve: none): %s",
            s->conf->table, sql_buf_text(&missing));
  } else if (missing.len && s->conf->evolve == EVOLVE_NONE) {
    snprintf(err->option, sizeof err->option, "table");
    status = src_fail(err, MR_BADCONF, "42703",
                      "table %s has no column %.300s; add it, or say evolve: add", s->conf->table,
                      sql_buf_text(&missing));
  }
  sql_buf_done(&missing);
  return status;
}

static int check_unfilled(struct sq_sink *s, struct mr_error *err)
{
  struct sql_buf names = {0};
  for (int i = 0; i < s->n_columns; i++) {
    const struct sq_column *c = &s->column[i];
    bool own = s->conf->version && !sqlite3_stricmp(c->name, UPS_WRITTEN);
    if (c->not_null && !c->has_default && !c->generated && !own && c->source < 0)
      sql_buf_fmt(&names, "%s%s", names.len ? ", " : "", c->name);
  }
  int status = MR_OK;
  if (names.len) {
    snprintf(err->option, sizeof err->option, "table");
    status = src_fail(err, MR_BADCONF, "23502",
                      "table %s: NOT NULL without a default, and nothing fills it: %.300s",
                      s->conf->table, sql_buf_text(&names));
  }
  sql_buf_done(&names);
  return status;
}

/* The input's column has no way into the table's: its rows are refused, or the table is. */
static int no_way(struct sq_sink *s, int column, struct mr_error *err)
{
  const struct sq_column *c = &s->column[column];
  const struct ArrowSchema *from = s->in.children[c->source];
  struct evo_table t = evolve_table(s);
  struct evo_column e;
  struct sql_buf brings = {0};
  evolve_column(s, column, &e);
  if (evo_refuses_rows(&t, &e, from, s->lenient))
    return MR_OK;
  evo_type_name(from, &brings);
  snprintf(err->option, sizeof err->option, "table");
  int status =
      src_fail(err, MR_BADCONF, "42804",
               "column %s of %s is declared %s, which would change what the pipeline brings"
               " (%.100s); add a cast or declare it TEXT",
               c->name, s->conf->table, c->declared, sql_buf_text(&brings));
  sql_buf_done(&brings);
  return status;
}

static int plan_field(struct sq_sink *s, int column, struct mr_error *err)
{
  struct sq_column *c = &s->column[column];
  bool fits = sq_kind_fits(s->in.children[c->source], c->affinity);
  if (c->generated) {
    snprintf(err->option, sizeof err->option, "table");
    return src_fail(err, MR_BADCONF, "428C9", "column %s of %s is generated: it cannot be written",
                    c->name, s->conf->table);
  }
  int status = fits ? MR_OK : no_way(s, column, err);
  if (status < 0)
    return status;
  c->is_key = is_key(s, c->name);
  bool deletes = s->conf->mode == MODE_UPSERT && s->op_source >= 0;
  if (c->is_key && s->conf->mode == MODE_UPSERT)
    s->key_field[s->n_keys++] = s->n_fields;
  s->field[s->n_fields++] = (struct sq_field){.column = column,
                                              .affinity = c->affinity,
                                              .unfit = !fits,
                                              .not_null = (c->not_null && !deletes) || c->is_key};
  return MR_OK;
}

static int check_key(struct sq_sink *s, struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; s->conf->mode == MODE_UPSERT && i < s->conf->key.n; i++) {
    int at = sq_column_find(s, key[i]);
    if (at >= 0 && s->column[at].source >= 0)
      continue;
    snprintf(err->option, sizeof err->option, "key");
    return src_fail(err, MR_BADCONF, "", "key column %s is %s", key[i],
                    at < 0 ? "no column of the table" : "not among the pipeline's columns");
  }
  return MR_OK;
}

int sq_table_plan(struct sq_sink *s, struct mr_error *err)
{
  int status = sq_table_input(s, err);
  if (status >= 0)
    status = link_columns(s, err);
  if (status >= 0)
    status = check_unfilled(s, err);
  s->field = calloc((size_t)s->n_columns + 1, sizeof *s->field);
  if (status >= 0 && !s->field)
    status = sq_no_memory(err);
  for (int i = 0; i < s->n_columns && status >= 0; i++)
    if (s->column[i].source >= 0)
      status = plan_field(s, i, err);
  if (status >= 0 && !s->n_fields)
    status = src_fail(err, MR_BADCONF, "", "table %s has none of the pipeline's columns",
                      s->conf->table);
  if (status >= 0)
    status = check_key(s, err);
  if (status >= 0)
    status = prepare_insert(s, err);
  if (status >= 0)
    status = sq_version_plan(s, err);
  bool ready =
      !s->versioned || s->known.stored; /* else `check`, before the helper column was added */
  if (status >= 0 && s->conf->mode == MODE_UPSERT && ready)
    status = sq_delete_plan(s, err);
  return status;
}

/* Reads the table, makes it follow what the input was and is, and plans. before NULL: first look.
 */
static int learn(struct sq_sink *s, const struct ArrowSchema *before, const struct ArrowSchema *to,
                 struct mr_error *err)
{
  struct evo_table t = evolve_table(s);
  int status = sq_table_columns(s, err);
  if (status == MR_BADCONF && !strcmp(err->code, "no such table") && s->conf->create) {
    status = create_table(s, err);
    if (status >= 0)
      status = sq_table_columns(s, err);
  }
  if (status >= 0)
    status = evo_follow(&t, before, to, err);
  if (status >= 0)
    status = sq_version_add(s, err);
  if (status >= 0 && to != &s->in)
    status = evo_input(&s->in, to, err);
  if (status >= 0)
    status = sq_table_plan(s, err);
  if (status >= 0)
    status = sq_schema_version(s, &s->schema_version, err);
  if (status < 0)
    sq_table_forget(s);
  s->learned = status >= 0;
  return status;
}

int sq_table_learn(struct sq_sink *s, struct mr_error *err)
{
  return learn(s, NULL, &s->in, err);
}

int sq_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct sq_sink *s = self;
  int status = sq_connect(s, err);
  if (status < 0)
    return status;
  s->lenient = s->conf->evolve == EVOLVE_NONE;
  return learn(s, s->in.release ? &s->in : NULL, to, err);
}
