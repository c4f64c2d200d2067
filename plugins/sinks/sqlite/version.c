/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts where the last write wins, column by column, by a version that each row has. The target's
 * helper column says which versions are stored: it is read before a row is written, and by the
 * statements of deletes, for which it is an SQL function. Both run in the transaction that has the
 * file's write lock. */
#include "sqlite.h"

#define HELPER_TYPE "TEXT"
#define VERSION_OF "millrace_version" /* an SQL function */
#define DELETED -1                    /* its field for the newest delete */

/* ---------------------------------------------------------------- plan */

int sq_version_add(struct sq_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (!s->conf->version || sq_column_find(s, UPS_WRITTEN) >= 0 || s->conf->evolve == EVOLVE_NONE)
    return MR_OK;
  sql_buf_fmt(&sql, "ALTER TABLE %s ADD COLUMN " UPS_WRITTEN " " HELPER_TYPE, s->target);
  int status = sq_exec(s, sql_buf_text(&sql), "ALTER TABLE", err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  src_log(s->host, MR_INFO, "added column " UPS_WRITTEN " to %s", s->conf->table);
  return sq_table_columns(s, err);
}

static int check_helper(struct sq_sink *s, int at, struct mr_error *err)
{
  const struct sq_column *c = at < 0 ? NULL : &s->column[at];
  if (!c && s->conf->evolve == EVOLVE_NONE)
    return src_badconf(err, "version",
                       "`version` keeps the columns' versions in a column that %s has not: ALTER"
                       " TABLE %s ADD COLUMN " UPS_WRITTEN " " HELPER_TYPE,
                       s->conf->table, s->target);
  if (c && (c->generated || c->source >= 0 || c->affinity == SQ_INTEGER || c->affinity == SQ_REAL))
    return src_badconf(err, "version",
                       "column " UPS_WRITTEN " of %s is no " HELPER_TYPE " that only this sink"
                       " writes",
                       s->conf->table);
  return MR_OK;
}

static void version_of(sqlite3_context *ctx, int n, sqlite3_value **argument);

static int prepare_stored(struct sq_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_fmt(&sql, "SELECT t." UPS_WRITTEN " FROM %s AS t WHERE ", s->target);
  for (int k = 0; k < s->n_keys; k++) {
    sql_buf_str(&sql, k ? " AND t." : "t.");
    sql_ident(&sql, s->column[s->field[s->key_field[k]].column].name);
    sql_buf_fmt(&sql, " = ?%d", s->key_field[k] + 1);
  }
  int status = sq_prepare(s, sql_buf_text(&sql), "SELECT of versions", &s->known.stored, err);
  sql_buf_done(&sql);
  if (status >= 0)
    status = sq_prepare(s, "SELECT e.key, e.value, e.type FROM json_each(?1) AS e",
                        "SELECT of versions", &s->known.entries, err);
  if (status >= 0 && sqlite3_create_function(s->db, VERSION_OF, 2, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                             s, version_of, NULL, NULL) != SQLITE_OK)
    status = sq_error(s, "function " VERSION_OF, err);
  return status;
}

int sq_version_plan(struct sq_sink *s, struct mr_error *err)
{
  s->versioned = s->conf->version != NULL;
  if (!s->versioned)
    return MR_OK;
  int helper = sq_column_find(s, UPS_WRITTEN), at = sq_column_find(s, s->conf->version);
  bool brought = at >= 0 && s->column[at].source >= 0;
  int status = brought ? MR_OK : ups_version_source(s->conf->version, &s->in, NULL, at >= 0, err);
  if (status >= 0)
    status = check_helper(s, helper, err);
  if (status < 0 || helper < 0)
    return status;
  size_t n = (size_t)s->n_fields;
  s->known.has = calloc(n, sizeof *s->known.has);
  s->known.version = calloc(n, sizeof *s->known.version);
  s->known.wins = calloc(n, 1);
  if (!s->known.has || !s->known.version || !s->known.wins)
    return sq_no_memory(err);
  return prepare_stored(s, err);
}

void sq_version_forget(struct sq_sink *s)
{
  sqlite3_finalize(s->known.stored);
  sqlite3_finalize(s->known.entries);
  free(s->known.has);
  free(s->known.version);
  free(s->known.wins);
  sql_buf_done(&s->known.text);
  sql_buf_done(&s->known.other);
  s->known = (struct sq_versions){0};
}

/* ---------------------------------------------------------------- pieces of statements */

static void put_older(int field, const char *comparison, int parameter, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "coalesce(" VERSION_OF "(t." UPS_WRITTEN ", %d) %s ?%d, 1)", field, comparison,
              parameter);
}

void sq_version_older(const struct sq_sink *s, int parameter, struct sql_buf *sql)
{
  int at = sq_column_find(s, s->conf->version), f = 0;
  while (s->field[f].column != at)
    f++;
  put_older(f, "<=", parameter, sql);
}

void sq_version_unmarked(int parameter, struct sql_buf *sql)
{
  put_older(DELETED, "<", parameter, sql);
}

/* A name alone is a text where it is a default; in an expression it would be a column. */
static bool is_name(const char *preset)
{
  static const char *const value[] = {"null",         "true",         "false",
                                      "current_time", "current_date", "current_timestamp"};
  const char *p = preset;
  for (size_t i = 0; i < sizeof value / sizeof *value; i++)
    if (!sqlite3_stricmp(preset, value[i]))
      return false;
  while ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_' || (*p & 0x80) ||
         (p > preset && *p >= '0' && *p <= '9'))
    p++;
  return p > preset && !*p;
}

/* The text of a name in double quotes, which is that of a default, too; NULL: it is none. */
static char *unquoted(const char *preset)
{
  struct sql_buf text = {0};
  const char *p = preset + 1;
  if (*preset != '"')
    return NULL;
  for (; *p && !(*p == '"' && p[1] != '"'); p += *p == '"' ? 2 : 1)
    sql_buf_byte(&text, *p);
  bool whole = *p == '"' && !p[1];
  sql_buf_text(&text);
  if (!whole)
    sql_buf_done(&text);
  return (char *)text.p;
}

static void put_default(const struct sq_column *c, struct sql_buf *sql)
{
  char *text = c->preset ? unquoted(c->preset) : NULL;
  if (text || (c->preset && is_name(c->preset)))
    sql_literal(sql, text ? text : c->preset);
  else
    sql_buf_fmt(sql, "(%s)", c->preset ? c->preset : "NULL");
  free(text);
}

void sq_version_clear(const struct sq_sink *s, int parameter, struct sql_buf *sql)
{
  for (int f = 0; f < s->n_fields; f++) {
    const struct sq_column *c = &s->column[s->field[f].column];
    if (c->is_key)
      continue;
    sql_ident(sql, c->name);
    sql_buf_str(sql, " = CASE WHEN ");
    put_older(f, "<=", parameter, sql);
    sql_buf_str(sql, " THEN ");
    put_default(c, sql);
    sql_buf_str(sql, " ELSE t.");
    sql_ident(sql, c->name);
    sql_buf_str(sql, " END, ");
  }
  sql_buf_fmt(sql,
              UPS_WRITTEN " = (SELECT json_group_object(m.key, m.value) FROM (SELECT e.key, e.value"
                          " FROM json_each(t." UPS_WRITTEN ") AS e WHERE e.key <> '' UNION ALL"
                          " SELECT '', ?%d) AS m)",
              parameter);
}

int sq_version_error(struct sq_sink *s, const char *what, int rc, struct mr_error *err)
{
  if (s->versioned && rc == SQLITE_ERROR)
    return src_fail(err, MR_REJECT, "22023",
                    "%s: " UPS_WRITTEN " of the stored row is not what this sink writes", what);
  return rc == SQLITE_NOMEM ? sq_no_memory(err) : sq_error(s, what, err);
}

/* ---------------------------------------------------------------- what is stored */

/* The field that is a column of this name and no key; those of a row come in their order. */
static int find_field(const struct sq_sink *s, const char *name, int *hint)
{
  for (int i = 0; i < s->n_fields; i++) {
    int f = (*hint + i) % s->n_fields;
    const struct sq_column *c = &s->column[s->field[f].column];
    if (c->is_key || strcmp(c->name, name))
      continue;
    *hint = f + 1;
    return f;
  }
  return -1;
}

static void note(struct sq_sink *s, const char *name, int64_t version, int *hint)
{
  struct sq_versions *k = &s->known;
  int f = *name ? find_field(s, name, hint) : -1;
  if (f >= 0) {
    k->has[f] = true;
    k->version[f] = version;
  } else if (!*name) {
    k->deleted = true;
    k->newest_delete = version;
  } else {
    sql_buf_byte(&k->other, ',');
    sql_buf_json(&k->other, name);
    sql_buf_byte(&k->other, ':');
    sql_buf_int(&k->other, version);
  }
}

static bool note_entry(struct sq_sink *s, int *hint)
{
  sqlite3_stmt *st = s->known.entries;
  bool named = sqlite3_column_type(st, 0) == SQLITE_TEXT;
  const char *type = (const char *)sqlite3_column_text(st, 2);
  if (!named || !type || strcmp(type, "integer"))
    return false;
  note(s, (const char *)sqlite3_column_text(st, 0), sqlite3_column_int64(st, 1), hint);
  return true;
}

/* SQLITE_OK; SQLITE_ERROR: this is no object of versions. */
static int read_entries(struct sq_sink *s)
{
  struct sq_versions *k = &s->known;
  int hint = 0, rc = sqlite3_bind_text64(k->entries, 1, (const char *)k->text.p, k->text.len,
                                         SQLITE_STATIC, SQLITE_UTF8);
  while (rc == SQLITE_OK && (rc = sqlite3_step(k->entries)) == SQLITE_ROW)
    rc = note_entry(s, &hint) ? SQLITE_OK : SQLITE_ERROR;
  sqlite3_reset(k->entries);
  if (k->other.failed)
    return SQLITE_NOMEM;
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Makes `known` what the helper column's text says, as read_entries. A statement asks for each
 * column in turn: the same text is read once. */
static int know(struct sq_sink *s, const void *text, int n)
{
  struct sq_versions *k = &s->known;
  if (k->valid && k->text.len == (size_t)n && (!n || !memcmp(k->text.p, text, (size_t)n)))
    return SQLITE_OK;
  k->valid = k->deleted = false;
  memset(k->has, 0, (size_t)s->n_fields * sizeof *k->has);
  sql_buf_clear(&k->other);
  sql_buf_clear(&k->text);
  sql_buf_bytes(&k->text, text, (size_t)n);
  if (k->text.failed)
    return SQLITE_NOMEM;
  int rc = n ? read_entries(s) : SQLITE_OK;
  k->valid = rc == SQLITE_OK;
  return rc;
}

/* millrace_version(helper column, field): NULL where there is none. */
static void version_of(sqlite3_context *ctx, int n, sqlite3_value **argument)
{
  struct sq_sink *s = sqlite3_user_data(ctx);
  const struct sq_versions *k = &s->known;
  const void *text = sqlite3_value_text(argument[0]);
  int field = sqlite3_value_int(argument[1]), rc = know(s, text, sqlite3_value_bytes(argument[0]));
  if (rc != SQLITE_OK)
    sqlite3_result_error_code(ctx, rc);
  else if (field == DELETED && k->deleted)
    sqlite3_result_int64(ctx, k->newest_delete);
  else if (field != DELETED && k->has[field])
    sqlite3_result_int64(ctx, k->version[field]);
}

static bool bind_keys(struct sq_sink *s, sqlite3_stmt *st, const uint8_t *cells)
{
  const uint8_t *p = cells;
  for (int c = 0; p && c < s->n_fields; c++)
    p = s->column[s->field[c].column].is_key ? sq_cell_bind(st, c + 1, p) : sq_cell_skip(p);
  return p != NULL;
}

static int read_stored(struct sq_sink *s, const uint8_t *cells, bool *ret_found,
                       struct mr_error *err)
{
  sqlite3_stmt *st = s->known.stored;
  int rc = bind_keys(s, st, cells) ? sqlite3_step(st) : SQLITE_TOOBIG, known = SQLITE_OK;
  if (rc == SQLITE_ROW) {
    const void *text = sqlite3_column_text(st, 0);
    known = know(s, text, sqlite3_column_bytes(st, 0));
  } else if (rc == SQLITE_DONE) {
    known = know(s, NULL, 0);
  }
  int status = MR_OK;
  if (rc != SQLITE_ROW && rc != SQLITE_DONE)
    status = sq_error(s, "SELECT of versions", err);
  else if (known != SQLITE_OK)
    status = sq_version_error(s, "SELECT of versions", known, err);
  sqlite3_reset(st);
  *ret_found = rc == SQLITE_ROW;
  return status;
}

/* ---------------------------------------------------------------- a row */

static bool wins(const struct sq_versions *k, int field, int64_t version)
{
  return (!k->has[field] || version >= k->version[field]) &&
         (!k->deleted || version > k->newest_delete);
}

/* The bits of the key, and of what the row writes and wins. false: it wins nothing. */
static bool find_wins(struct sq_sink *s, const uint8_t *bits, int64_t version)
{
  bool some = false;
  for (int f = 0; f < s->n_fields; f++) {
    bool key = s->column[s->field[f].column].is_key;
    bool won = !key && mr_bit_get(bits, f) && wins(&s->known, f, version);
    mr_bit_set(s->known.wins, f, key || won);
    some |= won;
  }
  return some;
}

static void put_entry(struct sql_buf *out, const char *name, int64_t version)
{
  sql_buf_byte(out, out->len ? ',' : '{');
  sql_buf_json(out, name);
  sql_buf_byte(out, ':');
  sql_buf_int(out, version);
}

/* {"a":7,"b":5,"":3}: what was known, with what is written now. The row writes its version. */
static bool put_written(struct sq_sink *s, const uint8_t *bits, int64_t version)
{
  const struct sq_versions *k = &s->known;
  sql_buf_clear(&s->written);
  for (int f = 0; f < s->n_fields; f++) {
    const struct sq_column *c = &s->column[s->field[f].column];
    if (!c->is_key && (mr_bit_get(bits, f) || k->has[f]))
      put_entry(&s->written, c->name, mr_bit_get(bits, f) ? version : k->version[f]);
  }
  if (k->deleted)
    put_entry(&s->written, "", k->newest_delete);
  sql_buf_bytes(&s->written, k->other.p, k->other.len);
  sql_buf_byte(&s->written, '}');
  return !s->written.failed && !k->other.failed;
}

int sq_version_row(struct sq_sink *s, const struct sq_row *row, const uint8_t *bits,
                   const uint8_t *cells, struct mr_error *err)
{
  struct sq_pair *set = NULL;
  bool found = false;
  int status = read_stored(s, cells, &found, err);
  if (status < 0 || (found && !find_wins(s, bits, row->version)))
    return status;
  if (!put_written(s, found ? s->known.wins : bits, row->version))
    return sq_no_memory(err);
  status = sq_set_find(s, found ? s->known.wins : bits, &set, err);
  if (status < 0)
    return status;
  return found ? sq_set_run(s, set->first, s->known.wins, cells, "UPDATE", err)
               : sq_set_run(s, set->second, bits, cells, "INSERT of a new key", err);
}
