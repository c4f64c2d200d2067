/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts of rows that write only some columns. The staging table has a bit for each field of a
 * row, in words of 64; the rows of one key become one there, and then each statement writes only
 * what the bits say. */
#include "postgres.h"
#include "millrace/changes.h"

static const char *name_of(const struct pg_sink *s, int field)
{
  return s->column[s->field_column[field]].name;
}

static bool is_key(const struct pg_sink *s, int field)
{
  return s->column[s->field_column[field]].is_key;
}

/* ---------------------------------------------------------------- bits of a batch */

int pg_set_words(const struct pg_sink *s)
{
  return s->partial ? (s->n_fields + PG_SET_BITS - 1) / PG_SET_BITS : 0;
}

void pg_set_columns(const struct pg_sink *s, const char *before, const char *after,
                    struct sql_buf *sql)
{
  for (int w = 0; w < pg_set_words(s); w++)
    sql_buf_fmt(sql, "%s" PG_STAGE_SET "%d%s", before, w, after);
}

static void field_set(const struct pg_sink *s, const struct mr_batch *b, int field,
                      struct mr_view *ret)
{
  const struct ArrowSchema *schema = b->schema ? b->schema : &s->in;
  mr_set_view(ret, schema, &b->rows, s->column[s->field_column[field]].name);
}

bool pg_set_has(const struct pg_sink *s, const struct mr_batch *b, int field, int64_t row)
{
  struct mr_view set;
  field_set(s, b, field, &set);
  return mr_set_has(&set, row);
}

void pg_set_fill(const struct pg_sink *s, const struct mr_batch *b, uint8_t *words)
{
  int64_t n = b->rows.length;
  if (!pg_set_words(s))
    return;
  memset(words, 0, (size_t)(n * 8 * pg_set_words(s)));
  for (int f = 0; f < s->n_fields; f++) {
    uint8_t *at = words + f / PG_SET_BITS * n * 8;
    uint64_t bit = UINT64_C(1) << f % PG_SET_BITS, word;
    struct mr_view set;
    field_set(s, b, f, &set);
    for (int64_t i = 0; i < n; i++) {
      memcpy(&word, at + i * 8, 8);
      word |= mr_set_has(&set, i) ? bit : 0;
      memcpy(at + i * 8, &word, 8);
    }
  }
}

/* Valid where it was and where the row writes it; many: NULL, or a delete of many rows has no
 * value there. */
static void mask(struct mr_view *v, const struct mr_view *set, const struct mr_range_columns *many,
                 uint8_t *bits)
{
  for (int64_t i = 0; i < v->length; i++)
    mr_bit_set(bits, v->offset + i,
               !mr_view_null(v, i) && mr_set_has(set, i) && !(many && mr_range_has(many, i)));
  v->valid = bits;
}

bool pg_set_mask(struct pg_sink *s, const struct mr_batch *b)
{
  int64_t bytes = 0, at = 0;
  struct mr_range_columns many;
  if (s->set_source < 0 && s->range_source < 0)
    return true;
  mr_range_view(&many, b->schema ? b->schema : &s->in, &b->rows, "");
  for (int f = 0; f < s->n_fields; f++)
    bytes += (s->field[f].v.offset + b->rows.length) / 8 + 1;
  if (!mr_buf_reserve(&s->masks, &s->masks_cap, 0, bytes))
    return false;
  for (int f = 0; f < s->n_fields; f++) {
    struct mr_view *v = &s->field[f].v, set;
    field_set(s, b, f, &set);
    bool emptied = s->range_source >= 0 && !is_key(s, f);
    if (set.kind == MR_K_BOOL || emptied)
      mask(v, &set, emptied ? &many : NULL, s->masks + at);
    at += (v->offset + b->rows.length) / 8 + 1;
  }
  return true;
}

/* ---------------------------------------------------------------- defaults */

/* What an INSERT that leaves the column out would put there, as an expression. */
static const char defaults_sql[] =
    "SELECT a.attname, CASE WHEN a.attidentity <> '' THEN pg_catalog.format('nextval(%%L)',"
    " pg_catalog.pg_get_serial_sequence(%s, a.attname)) ELSE coalesce("
    "pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.pg_get_expr(t.typdefaultbin, 0)) END"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid"
    " LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum"
    " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped";

static bool keep_default(struct pg_sink *s, const PGresult *res, int row)
{
  int at = pg_column_find(s, PQgetvalue(res, row, 0));
  if (at < 0 || PQgetisnull(res, row, 1))
    return true;
  free(s->column[at].fallback);
  s->column[at].fallback = strdup(PQgetvalue(res, row, 1));
  return s->column[at].fallback != NULL;
}

int pg_partial_learn(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf name = {0}, sql = {0};
  PGresult *res = NULL;
  if (!s->genuine)
    return src_fail(
        err, MR_BADCONF, "0A000",
        "rows that write only some columns (_set) can be upserted into PostgreSQL alone;"
        " this server has not its catalog%s",
        s->where);
  pg_literal(s, &name, s->target);
  sql_buf_fmt(&sql, defaults_sql, sql_buf_text(&name), sql_buf_text(&name));
  int status = pg_query(s, sql_buf_text(&sql), "SELECT of the defaults", &res, err);
  for (int i = 0; status >= 0 && i < PQntuples(res); i++)
    if (!keep_default(s, res, i))
      status = pg_no_memory(err);
  PQclear(res);
  sql_buf_done(&name);
  sql_buf_done(&sql);
  return status;
}

/* ---------------------------------------------------------------- statements */

void pg_set_bit(const char *row, int field, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "((%s." PG_STAGE_SET "%d >> %d) & 1) = 1", row, field / PG_SET_BITS,
              field % PG_SET_BITS);
}

/* "name = CASE WHEN … THEN row.name ELSE other.name END, …" for all fields that are no keys. */
static int assignments(const struct pg_sink *s, const char *row, const char *other,
                       struct sql_buf *sql)
{
  int n = 0;
  for (int f = 0; f < s->n_fields; f++) {
    if (is_key(s, f))
      continue;
    sql_buf_str(sql, n++ ? ", " : "");
    sql_ident(sql, name_of(s, f));
    sql_buf_str(sql, " = CASE WHEN ");
    pg_set_bit(row, f, sql);
    sql_buf_fmt(sql, " THEN %s.", row);
    sql_ident(sql, name_of(s, f));
    sql_buf_fmt(sql, " ELSE %s.", other);
    sql_ident(sql, name_of(s, f));
    sql_buf_str(sql, " END");
  }
  return n;
}

/* The most staged rows that one key has. */
static int most_rows(struct pg_sink *s, struct sql_buf *sql, int64_t *ret, struct mr_error *err)
{
  PGresult *res = NULL;
  sql_buf_str(sql, "SELECT max(g.n) FROM (SELECT count(*) AS n FROM " PG_STAGE " GROUP BY ");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ") g");
  int status = pg_query(s, sql_buf_text(sql), "SELECT from the staging table", &res, err);
  sql_buf_clear(sql);
  if (status >= 0)
    *ret = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
  PQclear(res);
  return status;
}

static void numbered(const struct pg_sink *s, const char *neighbour, const char *order,
                     struct sql_buf *sql)
{
  sql_buf_fmt(sql,
              "(SELECT " PG_STAGE_NUMBER " AS x, %s(" PG_STAGE_NUMBER
              ") OVER w AS y, row_number() OVER w AS r FROM " PG_STAGE
              " WINDOW w AS (PARTITION BY ",
              neighbour);
  pg_keys(s, sql, "", NULL);
  sql_buf_fmt(sql, " ORDER BY %s)) o", order);
}

void pg_set_join(struct pg_sink *s, struct sql_buf *sql)
{
  int n = assignments(s, "b", "a", sql);
  for (int w = 0; w < pg_set_words(s); w++)
    sql_buf_fmt(sql, "%s" PG_STAGE_SET "%d = a." PG_STAGE_SET "%d | b." PG_STAGE_SET "%d",
                n || w ? ", " : "", w, w, w);
}

/* Every second row of a key takes what it does not write from the row before, which then goes. */
static int fold_pairs(struct pg_sink *s, pg_join_fn *set, const char *order, struct sql_buf *sql,
                      struct mr_error *err)
{
  sql_buf_str(sql, "UPDATE " PG_STAGE " b SET ");
  set(s, sql);
  sql_buf_str(sql, " FROM ");
  numbered(s, "lag", order, sql);
  sql_buf_str(sql, " JOIN " PG_STAGE " a ON a." PG_STAGE_NUMBER " = o.y WHERE b." PG_STAGE_NUMBER
                   " = o.x AND o.r % 2 = 0");
  int status = pg_statement(s, sql, "merge the rows of a key for", err);
  if (status < 0)
    return status;
  sql_buf_str(sql, "DELETE FROM " PG_STAGE " a USING ");
  numbered(s, "lead", order, sql);
  sql_buf_str(sql, " WHERE a." PG_STAGE_NUMBER " = o.x AND o.r % 2 = 1 AND o.y IS NOT NULL");
  return pg_statement(s, sql, "merge the rows of a key for", err);
}

int pg_fold(struct pg_sink *s, pg_join_fn *set, const char *order, struct sql_buf *sql,
            struct mr_error *err)
{
  int64_t n = 0;
  int status = most_rows(s, sql, &n, err);
  for (; status >= 0 && n > 1; n = (n + 1) / 2)
    status = fold_pairs(s, set, order, sql, err);
  return status;
}

/* A delete takes the stored row and every staged one before it. */
static int delete_rows(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  if (!s->has_delete)
    return MR_OK;
  sql_buf_fmt(sql, "DELETE FROM %s t USING " PG_STAGE " d WHERE d." PG_STAGE_DELETED " AND ",
              s->target);
  pg_keys(s, sql, "t.", "d.");
  int status = pg_statement(s, sql, "DELETE FROM", err);
  if (status < 0)
    return status;
  sql_buf_str(sql, "DELETE FROM " PG_STAGE " a USING (SELECT ");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ", max(" PG_STAGE_NUMBER ") AS x FROM " PG_STAGE " WHERE " PG_STAGE_DELETED
                   " GROUP BY ");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ") d WHERE a." PG_STAGE_NUMBER " <= d.x AND ");
  pg_keys(s, sql, "a.", "d.");
  return pg_statement(s, sql, "take the deleted rows of", err);
}

static int update_rows(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "UPDATE %s t SET ", s->target);
  if (!assignments(s, "d", "t", sql)) { /* nothing but the key */
    sql_buf_clear(sql);
    return MR_OK;
  }
  sql_buf_str(sql, " FROM " PG_STAGE " d WHERE ");
  pg_keys(s, sql, "t.", "d.");
  return pg_statement(s, sql, "UPDATE", err);
}

/* A field of a new row; what is not written is staged as null. */
static void put_new(const struct pg_sink *s, int field, struct sql_buf *sql)
{
  const char *fallback = s->column[s->field_column[field]].fallback;
  bool chosen = fallback && !is_key(s, field);
  if (chosen) {
    sql_buf_str(sql, "CASE WHEN ");
    pg_set_bit("d", field, sql);
    sql_buf_str(sql, " THEN ");
  }
  sql_buf_str(sql, "d.");
  sql_ident(sql, name_of(s, field));
  if (chosen)
    sql_buf_fmt(sql, " ELSE %s END", fallback);
}

static int insert_rows(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "INSERT INTO %s (", s->target);
  pg_column_list(s, "", sql);
  sql_buf_str(sql, ") SELECT ");
  for (int f = 0; f < s->n_fields; f++) {
    sql_buf_str(sql, f ? ", " : "");
    put_new(s, f, sql);
  }
  sql_buf_fmt(sql, " FROM " PG_STAGE " d WHERE NOT EXISTS (SELECT 1 FROM %s t WHERE ", s->target);
  pg_keys(s, sql, "t.", "d.");
  sql_buf_byte(sql, ')');
  return pg_statement(s, sql, "INSERT of new keys into", err);
}

int pg_partial_merge(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = delete_rows(s, sql, err);
  if (status >= 0)
    status = pg_fold(s, pg_set_join, PG_STAGE_NUMBER, sql, err);
  if (status >= 0)
    status = update_rows(s, sql, err);
  return status < 0 ? status : insert_rows(s, sql, err);
}
