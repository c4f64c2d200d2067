/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes of many rows (`_range`). They are staged with the other rows and then moved to a table of
 * their own; statements take together those that name the same key columns, so that each finds its
 * rows by an index that begins with these. */
#include "postgres.h"
#include "millrace/changes.h"

#define RANGES "millrace_ranges" /* the session's own temporary table */

static const char *const bound_name[MR_BOUNDS] = {"_millrace_lower", "_millrace_upper",
                                                  "_millrace_lower_inc", "_millrace_upper_inc"};

/* ---------------------------------------------------------------- columns */

static const char *key_name(const struct pg_sink *s, int key)
{
  return ((const char *const *)s->conf->key.item)[key];
}

void pg_range_list(const struct pg_sink *s, const char *prefix, struct sql_buf *sql)
{
  if (s->range_source < 0)
    return;
  sql_buf_fmt(sql, ", %s" PG_STAGE_RANGE, prefix);
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; b < MR_BOUNDS; b++)
      sql_buf_fmt(sql, ", %s%s%d", prefix, bound_name[b], s->range[r].key);
}

void pg_range_ddl(const struct pg_sink *s, struct sql_buf *sql)
{
  if (s->range_source < 0)
    return;
  sql_buf_str(sql, ", CAST(NULL AS bigint) AS " PG_STAGE_RANGE);
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; b < MR_BOUNDS; b++) {
      sql_buf_str(sql, ", ");
      if (b < MR_LOWER_INC)
        sql_ident(sql, key_name(s, s->range[r].key));
      else
        sql_buf_str(sql, "CAST(NULL AS boolean)");
      sql_buf_fmt(sql, " AS %s%d", bound_name[b], s->range[r].key);
    }
}

static void columns(const struct pg_sink *s, struct sql_buf *sql)
{
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ", " PG_STAGE_NUMBER);
  sql_buf_str(sql, s->versioned ? ", " PG_STAGE_VERSION : "");
  pg_range_list(s, "", sql);
}

int pg_range_prepare(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_str(sql, "DROP TABLE IF EXISTS pg_temp." RANGES "; CREATE TEMPORARY TABLE " RANGES
                   " ON COMMIT DELETE ROWS AS SELECT ");
  columns(s, sql);
  if (s->range_source < 0)
    sql_buf_str(sql, ", CAST(NULL AS bigint) AS " PG_STAGE_RANGE);
  sql_buf_str(sql, " FROM " PG_STAGE " WHERE 1 = 0");
  return pg_statement(s, sql, "CREATE TEMPORARY TABLE for", err);
}

/* ---------------------------------------------------------------- plan */

void pg_range_forget(struct pg_sink *s)
{
  for (int r = 0; r < s->n_range; r++)
    for (int b = 0; b < MR_BOUNDS; b++) {
      if (b < MR_LOWER_INC)
        pg_field_done(&s->range[r].bound[b]);
      free(s->range[r].bits[b]);
    }
  free(s->range);
  s->range = NULL;
  s->n_range = 0;
}

static bool is_text(uint32_t oid)
{
  return oid == PG_TEXT || oid == PG_VARCHAR || oid == PG_BPCHAR;
}

/* Can values be compared there as the rows' values are? */
static bool has_order(const struct ArrowSchema *from, const struct pg_type *t)
{
  if (is_text(t->oid))
    return ups_text_orders(mr_kind_of(from));
  return !t->elem_oid && !t->text_like && t->oid != PG_JSON && t->oid != PG_JSONB &&
         t->oid != PG_XML;
}

static void plan_key(struct pg_sink *s, int key, const struct ArrowSchema *bounds)
{
  struct pg_type type = s->column[pg_column_find(s, key_name(s, key))].type;
  struct pg_range *r = &s->range[s->n_range++];
  type.not_null = false;
  *r = (struct pg_range){
      .key = key, .oid = type.oid, .ordered = has_order(bounds->children[0], &type)};
  for (int b = 0; b < 2; b++)
    if (!pg_field_plan(bounds->children[b], &type, &r->bound[b]))
      pg_field_unfit(bounds->children[b], &type, &r->bound[b]);
}

int pg_range_plan(struct pg_sink *s, struct mr_error *err)
{
  pg_range_forget(s);
  if (s->range_source < 0)
    return MR_OK;
  const struct ArrowSchema *range = s->in.children[s->range_source];
  int status = ups_range_check(range, s->conf->mode == MODE_UPSERT, err);
  if (status < 0)
    return status;
  if (!s->genuine) {
    snprintf(err->option, sizeof err->option, "table");
    return src_fail(err, MR_BADCONF, "0A000",
                    "deletes of many rows (_range) can go into PostgreSQL alone; this"
                    " server has not its catalog%s",
                    s->where);
  }
  s->range = calloc(s->conf->key.n, sizeof *s->range);
  for (size_t k = 0; s->range && k < s->conf->key.n; k++) {
    int64_t at = mr_schema_find(range, key_name(s, (int)k));
    if (at >= 0)
      plan_key(s, (int)k, range->children[at]);
  }
  return s->range ? MR_OK : pg_no_memory(err);
}

/* ---------------------------------------------------------------- a batch */

/* Points a bound's field at its values; they count where the row bounds the column. */
static void bind(struct pg_field *f, const struct mr_view *v, const struct mr_range_columns *c,
                 int64_t n, uint8_t *bits)
{
  struct ArrowArray a = *v->array;
  a.offset = v->offset;
  a.length = n;
  pg_field_bind(f, v->schema, &a);
  f->v.array = v->array;
  for (int64_t i = 0; i < n; i++)
    mr_bit_set(bits, f->v.offset + i, mr_range_bounds(c, i) && !mr_view_null(v, i));
  f->v.valid = bits;
}

int pg_range_fill(struct pg_sink *s, const struct mr_batch *b, int *k, struct mr_error *err)
{
  const struct ArrowSchema *schema = b->schema ? b->schema : &s->in;
  int64_t n = b->rows.length;
  for (int r = 0; r < s->n_range; r++) {
    struct mr_range_columns c;
    mr_range_view(&c, schema, &b->rows, key_name(s, s->range[r].key));
    for (int i = 0; i < MR_BOUNDS; i++) {
      struct pg_field flag = {.op = PG_OP_BOOL},
                      *f = i < MR_LOWER_INC ? &s->range[r].bound[i] : &flag;
      uint8_t **bits = &s->range[r].bits[i];
      if (!mr_buf_reserve(bits, &s->range[r].bits_cap[i], 0, (c.bound[i].offset + n) / 8 + 1))
        return pg_no_memory(err);
      bind(f, &c.bound[i], &c, n, *bits);
      pg_stage_field(s, k, f);
    }
  }
  return MR_OK;
}

/* ---------------------------------------------------------------- statements */

/* Text goes by its bytes, whatever the column's collation says. */
static void value(const struct pg_sink *s, const struct pg_range *r, const char *prefix,
                  const char *bound, struct sql_buf *sql)
{
  bool text = is_text(r->oid);
  sql_buf_str(sql, prefix);
  if (bound)
    sql_buf_fmt(sql, "%s%d", bound, r->key);
  else
    sql_ident(sql, key_name(s, r->key));
  sql_buf_str(sql, text ? " COLLATE \"C\"" : "");
}

/* " AND (r.lower0 IS NULL OR t.key > r.lower0 OR …)" for both ends. */
static void within(const struct pg_sink *s, const struct pg_range *range, const char *row,
                   struct sql_buf *sql)
{
  for (int b = 0; b < MR_LOWER_INC; b++) {
    sql_buf_fmt(sql, " AND (r.%s%d IS NULL OR ", bound_name[b], range->key);
    value(s, range, row, NULL, sql);
    sql_buf_str(sql, b == MR_LOWER ? " > " : " < ");
    value(s, range, "r.", bound_name[b], sql);
    sql_buf_fmt(sql, " OR (r.%s%d AND ", bound_name[b + MR_LOWER_INC], range->key);
    value(s, range, row, NULL, sql);
    sql_buf_str(sql, " = ");
    value(s, range, "r.", bound_name[b], sql);
    sql_buf_str(sql, "))");
  }
}

/* "r._millrace_range = mask AND …": does the row fit the delete r of these key columns? */
static void fits(const struct pg_sink *s, int64_t mask, const char *row, struct sql_buf *sql)
{
  sql_buf_fmt(sql, "r." PG_STAGE_RANGE " = %lld", (long long)mask);
  for (size_t k = 0; k < s->conf->key.n; k++) {
    if (!(mask >> k & 1))
      continue;
    sql_buf_fmt(sql, " AND %s", row);
    sql_ident(sql, key_name(s, (int)k));
    sql_buf_str(sql, " = r.");
    sql_ident(sql, key_name(s, (int)k));
  }
  for (int r = 0; r < s->n_range; r++)
    if (s->range[r].ordered)
      within(s, &s->range[r], row, sql);
}

static int move(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_str(sql, "WITH m AS (DELETE FROM " PG_STAGE " WHERE " PG_STAGE_RANGE
                   " IS NOT NULL RETURNING *) INSERT INTO " RANGES " SELECT ");
  columns(s, sql);
  sql_buf_str(sql, " FROM m");
  return pg_statement(s, sql, "stage deletes of many rows of", err);
}

/* With versions a unit that is merged in parts must know in each what was deleted in those before;
 * so deletes of one row, too, become such that name all key columns. */
static int keep_deletes(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int64_t all = (INT64_C(1) << s->conf->key.n) - 1;
  if (!s->versioned || !s->flushed || !s->has_delete)
    return MR_OK;
  s->kept_deletes = true;
  sql_buf_str(sql, "INSERT INTO " RANGES " (");
  pg_keys(s, sql, "", NULL);
  sql_buf_str(sql, ", " PG_STAGE_NUMBER ", " PG_STAGE_VERSION ", " PG_STAGE_RANGE ") SELECT ");
  pg_keys(s, sql, "", NULL);
  sql_buf_fmt(sql,
              ", " PG_STAGE_NUMBER ", " PG_STAGE_VERSION ", %lld FROM " PG_STAGE
              " WHERE " PG_STAGE_DELETED,
              (long long)all);
  return pg_statement(s, sql, "stage deletes of", err);
}

static bool has_deletes(const struct pg_sink *s)
{
  return s->has_range || s->kept_deletes;
}

typedef int each_mask_fn(struct pg_sink *s, int64_t mask, struct sql_buf *sql,
                         struct mr_error *err);

static int each_mask(struct pg_sink *s, each_mask_fn *each, struct sql_buf *sql,
                     struct mr_error *err)
{
  PGresult *res = NULL;
  int status = pg_query(s, "SELECT DISTINCT " PG_STAGE_RANGE " FROM " RANGES,
                        "SELECT from the staged deletes", &res, err);
  for (int i = 0; status >= 0 && i < PQntuples(res); i++)
    status = each(s, strtoll(PQgetvalue(res, i, 0), NULL, 10), sql, err);
  PQclear(res);
  return status;
}

static int take_staged(struct pg_sink *s, int64_t mask, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_str(sql, "DELETE FROM " PG_STAGE " a USING " RANGES " r WHERE ");
  fits(s, mask, "a.", sql);
  sql_buf_str(sql, s->versioned ? " AND a." PG_STAGE_VERSION " <= r." PG_STAGE_VERSION
                                : " AND a." PG_STAGE_NUMBER " < r." PG_STAGE_NUMBER);
  return pg_statement(s, sql, "take the deleted rows of", err);
}

int pg_range_stage(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int status = s->has_range ? move(s, sql, err) : MR_OK;
  if (status >= 0)
    status = keep_deletes(s, sql, err);
  s->kept_deletes |= s->versioned && s->flushed && s->has_range;
  return status < 0 || !has_deletes(s) ? status : each_mask(s, take_staged, sql, err);
}

static int take_stored(struct pg_sink *s, int64_t mask, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "DELETE FROM %s t USING " RANGES " r WHERE ", s->target);
  fits(s, mask, "t.", sql);
  if (s->versioned) {
    sql_buf_str(sql, " AND ");
    pg_version_older(s, "r." PG_STAGE_VERSION, sql);
  }
  return pg_statement(s, sql, "DELETE FROM", err);
}

static void count_rows(void *ctx, PGresult *res)
{
  *(int64_t *)ctx = strtoll(PQcmdTuples(res), NULL, 10);
}

/* Rows that are newer lose what is older. An UPDATE takes one delete for each row, and not always
 * the newest; each round leaves fewer, as the rows note the delete. */
static int clear_stored(struct pg_sink *s, int64_t mask, struct sql_buf *sql, struct mr_error *err)
{
  char what[160];
  int64_t rows = 1;
  int status = MR_OK;
  snprintf(what, sizeof what, "UPDATE of deleted columns of %s", s->shown);
  sql_buf_fmt(sql, "UPDATE %s t SET ", s->target);
  pg_version_clear(s, "r." PG_STAGE_VERSION, sql);
  sql_buf_str(sql, " FROM " RANGES " r WHERE ");
  fits(s, mask, "t.", sql);
  sql_buf_str(sql, " AND ");
  pg_version_unmarked(s, "r." PG_STAGE_VERSION, sql);
  while (status >= 0 && rows > 0)
    status = pg_run(s, sql_buf_text(sql), what, s->conf->statement_timeout_ms, PG_GO_ON, count_rows,
                    &rows, err);
  sql_buf_clear(sql);
  return status;
}

int pg_range_target(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  if (!has_deletes(s))
    return MR_OK;
  int status = each_mask(s, take_stored, sql, err);
  return status < 0 || !s->versioned ? status : each_mask(s, clear_stored, sql, err);
}

int pg_range_empty(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  if (!s->has_range || !s->flushed || s->versioned)
    return MR_OK;
  sql_buf_str(sql, "TRUNCATE " RANGES);
  return pg_statement(s, sql, "empty the staging table of", err);
}
