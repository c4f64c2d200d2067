/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts where the last write wins, column by column, by a version that each row has.
 *
 * The target's helper column millrace_written, jsonb, has the version of the last write of each
 * column, and under "" that of the newest delete that the row outlived. Staged rows have the same:
 * what they write, each with the row's version; a delete has "" alone. So two rows of a key become
 * one by `older || newer`. */
#include <inttypes.h>
#include "postgres.h"
#include "millrace/changes.h"

/* ---------------------------------------------------------------- plan */

void pg_version_ddl(const struct pg_sink *s, struct sql_buf *sql)
{
  if (s->conf->version)
    sql_buf_str(sql, ", " UPS_WRITTEN " jsonb");
}

int pg_version_add(struct pg_sink *s, struct mr_error *err)
{
  if (!s->conf->version || pg_column_find(s, UPS_WRITTEN) >= 0 || s->conf->evolve == EVOLVE_NONE)
    return MR_OK;
  int status =
      pg_alter(s, "ADD COLUMN IF NOT EXISTS " UPS_WRITTEN " jsonb", "ALTER TABLE ADD COLUMN", err);
  if (status < 0)
    return status;
  src_log(s->host, MR_INFO, "added column " UPS_WRITTEN " to %s", s->shown);
  return pg_target_columns(s, err);
}

/* Types whose order and values are those of the versions. */
static bool keeps_versions(const struct pg_type *t)
{
  switch (t->oid) {
  case PG_INT2:
  case PG_INT4:
  case PG_INT8:
  case PG_NUMERIC: return true;
  case PG_TIMESTAMP:
  case PG_TIMESTAMPTZ: return t->typmod < 0 || t->typmod == 6;
  default: return false;
  }
}

static int check_column(struct pg_sink *s, struct mr_error *err)
{
  const char *name = s->conf->version;
  int at = pg_column_find(s, name);
  const struct pg_column *c = at < 0 ? NULL : &s->column[at];
  const struct ArrowSchema *from = c && c->source >= 0 ? s->in.children[c->source] : NULL;
  int status = ups_version_source(name, &s->in, from, c != NULL, err);
  if (status < 0)
    return status;
  if (!keeps_versions(&c->type))
    return src_badconf(err, "version",
                       "version column %s has type %s in %s: that does not keep versions"
                       " as they are",
                       name, c->shown, s->shown);
  return MR_OK;
}

static int check_helper(struct pg_sink *s, struct mr_error *err)
{
  int at = pg_column_find(s, UPS_WRITTEN);
  if (at < 0 && s->conf->evolve == EVOLVE_NONE)
    return src_badconf(err, "version",
                       "`version` keeps the columns' versions in a column that %s has not"
                       "%s: ALTER TABLE %s ADD COLUMN " UPS_WRITTEN " jsonb",
                       s->shown, s->where, s->target);
  if (at >= 0 && (s->column[at].type.oid != PG_JSONB || s->column[at].generated))
    return src_badconf(err, "version", "column " UPS_WRITTEN " of %s is no jsonb to be written",
                       s->shown);
  return MR_OK;
}

static bool label_columns(struct pg_sink *s)
{
  for (int f = 0; f < s->n_fields; f++) {
    struct pg_column *c = &s->column[s->field_column[f]];
    struct sql_buf text = {0};
    sql_buf_json(&text, c->name);
    sql_buf_byte(&text, ':');
    sql_buf_text(&text);
    free(c->label);
    c->label = text.failed ? NULL : (char *)text.p;
    if (!c->label)
      return false;
  }
  return true;
}

int pg_version_plan(struct pg_sink *s, struct mr_error *err)
{
  s->versioned = s->conf->version != NULL;
  if (!s->versioned)
    return MR_OK;
  if (!s->genuine)
    return src_badconf(err, "version",
                       "versions need PostgreSQL itself; this server has not its catalog"
                       "%s",
                       s->where);
  int status = check_column(s, err);
  if (status >= 0)
    status = check_helper(s, err);
  return status < 0 || label_columns(s) ? status : pg_no_memory(err);
}

/* ---------------------------------------------------------------- a batch */

static void view_version(const struct pg_sink *s, const struct mr_batch *b, struct ups_version *ret)
{
  const struct ArrowSchema *schema = b->schema ? b->schema : &s->in;
  ups_version_view(ret, schema, &b->rows, s->column[pg_column_find(s, s->conf->version)].source);
}

const struct ups_fault *pg_version_fault(const struct pg_sink *s, const struct mr_batch *b,
                                         int64_t row)
{
  struct ups_version v;
  if (!s->versioned)
    return NULL;
  view_version(s, b, &v);
  return ups_version_fault(&v, row);
}

bool pg_version_sound(const struct pg_sink *s, const struct mr_batch *b, uint8_t *bits)
{
  struct ups_version v;
  bool sound = true;
  if (!s->versioned)
    return true;
  view_version(s, b, &v);
  for (int64_t i = 0; i < b->rows.length; i++)
    if (ups_version_fault(&v, i)) {
      mr_bit_set(bits, i, false);
      sound = false;
    }
  return sound;
}

/* {"a":7,"b":7}: what the row writes. */
static void put_written(const struct pg_sink *s, const struct mr_view *set, int64_t i,
                        int64_t version, bool deleted, struct sql_buf *out)
{
  char number[24];
  size_t n = (size_t)snprintf(number, sizeof number, "%" PRId64, version);
  sql_buf_str(out, deleted ? "{\"\":" : "{");
  if (deleted)
    sql_buf_bytes(out, number, n);
  bool more = false;
  for (int f = 0; !deleted && f < s->n_fields; f++) {
    const struct pg_column *c = &s->column[s->field_column[f]];
    if (c->is_key || !mr_set_has(&set[f], i))
      continue;
    if (more)
      sql_buf_byte(out, ',');
    more = true;
    sql_buf_str(out, c->label);
    sql_buf_bytes(out, number, n);
  }
  sql_buf_byte(out, '}');
}

static bool fill_written(struct pg_sink *s, const struct mr_batch *b, const uint8_t *deleted,
                         const int64_t *version, int32_t *ends)
{
  const struct ArrowSchema *schema = b->schema ? b->schema : &s->in;
  struct mr_view *set = malloc((size_t)s->n_fields * sizeof *set);
  for (int f = 0; set && f < s->n_fields; f++)
    mr_set_view(&set[f], schema, &b->rows, s->column[s->field_column[f]].name);
  sql_buf_clear(&s->written);
  ends[0] = 0;
  for (int64_t i = 0; set && i < b->rows.length && s->written.len < INT32_MAX; i++) {
    put_written(s, set, i, version[i], mr_bit_get(deleted, i), &s->written);
    ends[i + 1] = (int32_t)s->written.len;
  }
  free(set);
  return set && !s->written.failed && s->written.len < INT32_MAX;
}

int pg_version_fill(struct pg_sink *s, const struct mr_batch *b, const uint8_t *deleted,
                    uint8_t *versions, int *k, struct mr_error *err)
{
  int64_t n = b->rows.length, *version = (int64_t *)(void *)versions;
  struct ups_version v;
  view_version(s, b, &v);
  for (int64_t i = 0; i < n; i++)
    version[i] = mr_view_null(&v.value, i) ? 0 : mr_view_int(&v.value, i);
  if (!mr_buf_reserve(&s->ends, &s->ends_cap, 0, (n + 1) * 4) ||
      !fill_written(s, b, deleted, version, (int32_t *)(void *)s->ends))
    return pg_no_memory(err);
  struct pg_field number = {.op = PG_OP_SAME8, .data = versions};
  number.v = (struct mr_view){.kind = MR_K_INT64, .width = 8, .length = n, .data = versions};
  struct pg_field written = {
      .op = PG_OP_JSONB_BYTES, .oid = PG_JSONB, .offsets = (int32_t *)(void *)s->ends};
  written.v =
      (struct mr_view){.kind = MR_K_TEXT, .length = n, .data = s->ends, .bytes = s->written.p};
  pg_stage_field(s, k, &number);
  pg_stage_field(s, k, &written);
  return MR_OK;
}

/* ---------------------------------------------------------------- pieces of statements */

/* "(row.millrace_written -> 'column')::bigint"; column "": the newest delete. */
static void put_time(struct pg_sink *s, const char *row, const char *column, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "(%s." UPS_WRITTEN " -> ", row);
  pg_literal(s, sql, column);
  sql_buf_str(sql, ")::bigint");
}

static void put_has(struct pg_sink *s, const char *row, const char *column, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "%s." UPS_WRITTEN " ? ", row);
  pg_literal(s, sql, column);
}

void pg_version_older(struct pg_sink *s, const char *than, struct sql_buf *sql)
{
  sql_buf_str(sql, "coalesce(");
  put_time(s, "t", s->conf->version, sql);
  sql_buf_fmt(sql, " <= %s, true)", than);
}

void pg_version_unmarked(struct pg_sink *s, const char *delete, struct sql_buf *sql)
{
  sql_buf_str(sql, "coalesce(");
  put_time(s, "t", "", sql);
  sql_buf_fmt(sql, " < %s, true)", delete);
}

static const char *name_of(struct pg_sink *s, int field)
{
  return s->column[s->field_column[field]].name;
}

static bool is_key(struct pg_sink *s, int field)
{
  return s->column[s->field_column[field]].is_key;
}

static void put_fallback(struct pg_sink *s, int field, struct sql_buf *sql)
{
  const char *fallback = s->column[s->field_column[field]].fallback;
  sql_buf_str(sql, fallback ? fallback : "NULL");
}

/* "name = CASE WHEN coalesce(time <= delete, true) THEN default ELSE t.name END, …" */
void pg_version_clear(struct pg_sink *s, const char *delete, struct sql_buf *sql)
{
  for (int f = 0; f < s->n_fields; f++) {
    if (is_key(s, f))
      continue;
    sql_ident(sql, name_of(s, f));
    sql_buf_str(sql, " = CASE WHEN coalesce(");
    put_time(s, "t", name_of(s, f), sql);
    sql_buf_fmt(sql, " <= %s, true) THEN ", delete);
    put_fallback(s, f, sql);
    sql_buf_str(sql, " ELSE t.");
    sql_ident(sql, name_of(s, f));
    sql_buf_str(sql, " END, ");
  }
  sql_buf_fmt(sql, UPS_WRITTEN " = coalesce(t." UPS_WRITTEN ", '{}') || jsonb_build_object('', %s)",
              delete);
}

/* Everything that the row writes is newer than all that is stored: most rows, found out without a
 * look at the columns. A row that was made of several has older parts. */
static void put_newer(struct pg_sink *s, const char *row, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "t." UPS_WRITTEN " IS NULL OR (%s.", row);
  sql_ident(sql, s->conf->version);
  sql_buf_str(sql, " >= t.");
  sql_ident(sql, s->conf->version);
  sql_buf_fmt(sql, s->partial ? " AND %s." PG_STAGE_MERGED " IS NULL)" : ")", row);
}

/* Does the row write the column? One that is proposed has not the staging table's bits. */
static void put_writes(struct pg_sink *s, const char *row, bool proposed, int field,
                       struct sql_buf *sql)
{
  if (s->partial && !proposed)
    pg_set_bit(row, field, sql);
  else
    put_has(s, row, name_of(s, field), sql);
}

/* Does the row's write of the column win over what is stored? */
static void put_wins(struct pg_sink *s, const char *row, bool proposed, int field,
                     struct sql_buf *sql)
{
  const char *column = name_of(s, field);
  bool some = s->partial || s->has_delete; /* writes some columns, or none */
  if (some) {
    put_writes(s, row, proposed, field, sql);
    sql_buf_str(sql, " AND (");
  }
  if (proposed && s->partial)
    sql_buf_str(sql, "t." UPS_WRITTEN " IS NULL");
  else
    put_newer(s, row, sql);
  sql_buf_str(sql, " OR (coalesce(");
  put_time(s, row, column, sql);
  sql_buf_str(sql, " >= ");
  put_time(s, "t", column, sql);
  sql_buf_str(sql, ", true) AND coalesce(");
  put_time(s, row, column, sql);
  sql_buf_str(sql, " > ");
  put_time(s, "t", "", sql);
  sql_buf_str(sql, ", true))");
  sql_buf_str(sql, some ? ")" : "");
}

static void assign(struct pg_sink *s, const char *row, bool proposed, int field,
                   struct sql_buf *sql)
{
  const char *name = name_of(s, field);
  sql_ident(sql, name);
  sql_buf_str(sql, " = CASE WHEN ");
  put_wins(s, row, proposed, field, sql);
  sql_buf_fmt(sql, " THEN %s.", row);
  sql_ident(sql, name);
  if (s->has_delete) {
    sql_buf_str(sql, " WHEN ");
    put_has(s, row, "", sql);
    sql_buf_str(sql, " AND coalesce(");
    put_time(s, "t", name, sql);
    sql_buf_str(sql, " <= ");
    put_time(s, row, "", sql);
    sql_buf_str(sql, ", true) THEN ");
    put_fallback(s, field, sql);
  }
  sql_buf_str(sql, " ELSE t.");
  sql_ident(sql, name);
  sql_buf_str(sql, " END, ");
}

/* What is to be stored for a row that is there; proposed: of ON CONFLICT. */
static void assignments(struct pg_sink *s, const char *row, bool proposed, struct sql_buf *sql)
{
  for (int f = 0; f < s->n_fields; f++)
    if (!is_key(s, f))
      assign(s, row, proposed, f, sql);
  sql_buf_fmt(sql, UPS_WRITTEN " = CASE WHEN t." UPS_WRITTEN " IS NULL THEN %s." UPS_WRITTEN, row);
  if (!s->has_delete && !(proposed && s->partial)) {
    sql_buf_str(sql, " WHEN ");
    put_newer(s, row, sql);
    sql_buf_fmt(sql, " THEN t." UPS_WRITTEN " || %s." UPS_WRITTEN, row);
  }
  sql_buf_fmt(sql,
              " ELSE (SELECT jsonb_object_agg(m.k, m.v) FROM (SELECT e.key AS k,"
              " max(e.value::bigint) AS v FROM (SELECT * FROM jsonb_each(t." UPS_WRITTEN
              ") UNION ALL"
              " SELECT * FROM jsonb_each(%s." UPS_WRITTEN ")) e GROUP BY e.key) m) END",
              row);
}

/* ---------------------------------------------------------------- one row for each key */

/* What is older than a key's newest delete goes, other deletes too. */
static int take_deleted(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  if (!s->has_delete)
    return MR_OK;
  sql_buf_str(sql, "DELETE FROM " PG_STAGE " a USING (SELECT DISTINCT ON (");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ") * FROM " PG_STAGE " WHERE " PG_STAGE_DELETED " ORDER BY ");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ", " PG_STAGE_VERSION " DESC, " PG_STAGE_NUMBER " DESC) d WHERE a"
                   "." PG_STAGE_VERSION " <= d." PG_STAGE_VERSION " AND a." PG_STAGE_NUMBER
                   " <> d." PG_STAGE_NUMBER " AND ");
  pg_keys(s, sql, "a.", "d.");
  return pg_statement(s, sql, "take the deleted rows of", err);
}

/* Sets b, a later row, to what a and b make together. A delete, a, writes nothing. */
static void join(struct pg_sink *s, struct sql_buf *sql)
{
  if (s->partial) {
    pg_set_join(s, sql);
    sql_buf_str(sql, ", ");
  }
  sql_buf_str(sql,
              UPS_WRITTEN " = a." UPS_WRITTEN " || b." UPS_WRITTEN ", " PG_STAGE_MERGED " = true");
}

static int fold(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  return pg_fold(s, join, PG_STAGE_VERSION ", " PG_STAGE_NUMBER, sql, err);
}

/* The row of each key that wins as a whole, as d. */
static void newest_rows(struct pg_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, "(SELECT DISTINCT ON (");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ") * FROM " PG_STAGE " ORDER BY ");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ", " PG_STAGE_VERSION " DESC, " PG_STAGE_NUMBER " DESC) d");
}

/* ---------------------------------------------------------------- into the target */

static int delete_rows(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  if (!s->has_delete)
    return MR_OK;
  sql_buf_fmt(sql, "DELETE FROM %s t USING " PG_STAGE " d WHERE d." UPS_WRITTEN " ? '' AND ",
              s->target);
  pg_keys(s, sql, "t.", "d.");
  sql_buf_str(sql, " AND ");
  pg_version_older(s, "(d." UPS_WRITTEN " -> '')::bigint", sql);
  return pg_statement(s, sql, "DELETE FROM", err);
}

static int update_rows(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "UPDATE %s t SET ", s->target);
  assignments(s, "d", false, sql);
  sql_buf_str(sql, " FROM " PG_STAGE " d WHERE ");
  pg_keys(s, sql, "t.", "d.");
  return pg_statement(s, sql, "UPDATE", err);
}

/* A field of a new row. */
static void put_new(struct pg_sink *s, int field, struct sql_buf *sql)
{
  bool sure = is_key(s, field) || !s->partial;
  if (!sure) {
    sql_buf_str(sql, "CASE WHEN ");
    pg_set_bit("d", field, sql);
    sql_buf_str(sql, " THEN ");
  }
  sql_buf_str(sql, "d.");
  sql_ident(sql, name_of(s, field));
  if (sure)
    return;
  sql_buf_str(sql, " ELSE ");
  put_fallback(s, field, sql);
  sql_buf_str(sql, " END");
}

/* folded: rows that are there were updated, and who inserts one meanwhile is met here. */
static int insert_rows(struct pg_sink *s, bool folded, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "INSERT INTO %s AS t (", s->target);
  pg_column_list(s, "", sql);
  sql_buf_str(sql, ", " UPS_WRITTEN ") SELECT ");
  for (int f = 0; f < s->n_fields; f++) {
    put_new(s, f, sql);
    sql_buf_str(sql, ", ");
  }
  sql_buf_str(sql, "d." UPS_WRITTEN " FROM ");
  if (folded) {
    sql_buf_fmt(sql,
                PG_STAGE " d WHERE NOT d." PG_STAGE_DELETED
                         " AND NOT EXISTS (SELECT 1 FROM %s o WHERE ",
                s->target);
    pg_keys(s, sql, "o.", "d.");
    sql_buf_byte(sql, ')');
  } else {
    newest_rows(s, sql);
  }
  sql_buf_str(sql, " ON CONFLICT (");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ") DO UPDATE SET ");
  assignments(s, "EXCLUDED", true, sql);
  return pg_statement(s, sql, "INSERT ON CONFLICT INTO", err);
}

int pg_version_merge(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  bool folded = s->partial || s->has_delete;
  int status = pg_range_stage(s, sql, err);
  if (status >= 0)
    status = take_deleted(s, sql, err);
  if (status >= 0 && folded)
    status = fold(s, sql, err);
  if (status >= 0)
    status = delete_rows(s, sql, err);
  if (status >= 0 && folded)
    status = update_rows(s, sql, err);
  if (status >= 0)
    status = insert_rows(s, folded, sql, err);
  return status < 0 ? status : pg_range_target(s, sql, err);
}
