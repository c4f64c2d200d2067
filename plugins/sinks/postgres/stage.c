/* SPDX-License-Identifier: Apache-2.0 */
/* The staging table of upserts: the target's columns that are written, and its own beside them: a
 * number for each row, whether it is a delete, and what partial.c, version.c and range.c need. */
#include "postgres.h"
#include "millrace/changes.h"

/* What is looked at in each row of a batch. */
struct looks {
  struct mr_view op;
  struct ups_key key[UPS_KEYS_MAX];
};

/* ---------------------------------------------------------------- the table */

void pg_stage_list(const struct pg_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, ", " PG_STAGE_NUMBER ", " PG_STAGE_DELETED);
  pg_set_columns(s, ", ", "", sql);
  if (s->versioned)
    sql_buf_str(sql, ", " PG_STAGE_VERSION ", " UPS_WRITTEN);
  pg_range_list(s, "", sql);
}

static void create_sql(const struct pg_sink *s, struct sql_buf *sql)
{
  if (s->genuine)
    sql_buf_str(sql, "DROP TABLE IF EXISTS pg_temp." PG_STAGE "; ");
  sql_buf_str(sql, "CREATE TEMPORARY TABLE " PG_STAGE);
  sql_buf_str(sql, s->genuine ? " ON COMMIT DELETE ROWS AS SELECT " : " AS SELECT ");
  pg_column_list(s, "", sql);
  sql_buf_str(sql, ", CAST(0 AS bigint) AS " PG_STAGE_NUMBER ", CAST(1 = 0 AS boolean) AS"
                   " " PG_STAGE_DELETED);
  pg_set_columns(s, ", CAST(0 AS bigint) AS ", "", sql);
  if (s->versioned)
    sql_buf_str(sql, ", CAST(0 AS bigint) AS " PG_STAGE_VERSION ", CAST(NULL AS jsonb)"
                     " AS " UPS_WRITTEN ", CAST(NULL AS boolean) AS " PG_STAGE_MERGED);
  pg_range_ddl(s, sql);
  sql_buf_fmt(sql, " FROM %s WHERE 1 = 0", s->target);
}

int pg_stage_prepare(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (s->staged)
    return MR_OK;
  create_sql(s, &sql);
  int status = pg_statement(s, &sql, "CREATE TEMPORARY TABLE for", err);
  if (status >= 0 && (s->range_source >= 0 || s->versioned))
    status = pg_range_prepare(s, &sql, err);
  sql_buf_done(&sql);
  s->staged = status >= 0;
  return status;
}

/* ---------------------------------------------------------------- its columns for a batch */

static const struct ArrowSchema *schema_of(const struct pg_sink *s, const struct mr_batch *b)
{
  return b->schema ? b->schema : &s->in;
}

static bool is_unordered(const struct pg_sink *s, size_t key)
{
  for (int r = 0; r < s->n_range; r++)
    if (s->range[r].key == (int)key)
      return !s->range[r].ordered;
  return false;
}

static void look(const struct pg_sink *s, const struct mr_batch *b, struct looks *l)
{
  const struct ArrowSchema *schema = schema_of(s, b);
  memset(&l->op, 0, sizeof l->op);
  if (s->op_source >= 0)
    mr_view_column(&l->op, schema, &b->rows, s->op_source);
  for (size_t k = 0; s->range_source >= 0 && k < s->conf->key.n; k++) {
    int at = pg_column_find(s, ((const char *const *)s->conf->key.item)[k]);
    ups_key_view(&l->key[k], schema, &b->rows, s->column[at].source, is_unordered(s, k));
  }
}

/* NULL: the row can be staged. Only for rows that may have `_range`: else the encoder sees null in
 * a key. *ret_key: of which key column, -1: `_range`. */
static const struct ups_fault *key_fault(const struct pg_sink *s, const struct looks *l, int64_t i,
                                         int *ret_key)
{
  if (s->range_source < 0)
    return NULL;
  return ups_key_fault(l->key, s->conf->key.n, i, ups_is_delete(&l->op, i), ret_key);
}

const struct ups_fault *pg_stage_fault(const struct pg_sink *s, const struct mr_batch *b,
                                       int64_t row, const char **ret_column)
{
  struct looks l;
  int key = 0;
  look(s, b, &l);
  const struct ups_fault *why = pg_version_fault(s, b, row);
  *ret_column = s->conf->version;
  if (!why) {
    why = key_fault(s, &l, row, &key);
    *ret_column = key < 0 ? MR_RANGE : ((const char *const *)s->conf->key.item)[key];
  }
  return why;
}

void pg_stage_field(struct pg_sink *s, int *k, const struct pg_field *f)
{
  s->field[s->n_fields + (*k)++] = *f;
}

static void add_numbers(struct pg_sink *s, int *k, const uint8_t *data, int64_t n,
                        const uint8_t *valid)
{
  struct pg_field f = {.op = PG_OP_SAME8, .data = data, .not_null = *k == 0};
  f.v = (struct mr_view){.kind = MR_K_INT64, .width = 8, .length = n, .data = data, .valid = valid};
  pg_stage_field(s, k, &f);
}

static void add_bits(struct pg_sink *s, int *k, const uint8_t *data, int64_t n)
{
  struct pg_field f = {.op = PG_OP_BOOL, .data = data};
  f.v = (struct mr_view){.kind = MR_K_BOOL, .length = n, .data = data};
  pg_stage_field(s, k, &f);
}

/* Numbers the rows; *bits: of deletes. */
static void number_rows(struct pg_sink *s, const struct looks *l, int64_t n, uint8_t *numbers,
                        uint8_t *bits)
{
  memset(bits, 0, (size_t)(n / 8 + 1));
  for (int64_t i = 0; i < n; i++) {
    int64_t number = s->sequence++;
    memcpy(numbers + i * 8, &number, 8);
    if (ups_is_delete(&l->op, i)) {
      mr_bit_set(bits, i, true);
      s->has_delete = true;
    }
  }
}

/* Rows that cannot be staged have no number, which the encoder then refuses. NULL: all can be. */
static const uint8_t *sound_rows(struct pg_sink *s, const struct mr_batch *b, const struct looks *l,
                                 uint8_t *bits)
{
  bool sound = true;
  int key;
  memset(bits, 0xff, (size_t)(b->rows.length / 8 + 1));
  for (int64_t i = 0; i < b->rows.length; i++)
    if (key_fault(s, l, i, &key)) {
      mr_bit_set(bits, i, false);
      sound = false;
    }
  return !pg_version_sound(s, b, bits) || !sound ? bits : NULL;
}

/* Which key columns a delete of many rows names: a bit for each; other rows have null. */
static void range_masks(struct pg_sink *s, const struct looks *l, int64_t n, uint8_t *masks,
                        uint8_t *valid)
{
  memset(valid, 0, (size_t)(n / 8 + 1));
  for (int64_t i = 0; i < n; i++) {
    bool many = mr_range_has(&l->key[0].range, i);
    int64_t mask = many ? ups_key_mask(l->key, s->conf->key.n, i) : 0;
    memcpy(masks + i * 8, &mask, 8);
    mr_bit_set(valid, i, many);
    s->has_range |= many;
  }
}

/* With versions a delete takes its place among the writes of its key, and writes nothing. */
static void clear_sets(uint8_t *words, int64_t sets, const uint8_t *deleted, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    for (int64_t w = 0; w < sets && mr_bit_get(deleted, i); w++)
      memset(words + (w * n + i) * 8, 0, 8);
}

int pg_stage_fill(struct pg_sink *s, const struct mr_batch *b, int *ret_fields,
                  struct mr_error *err)
{
  int64_t n = b->rows.length, sets = pg_set_words(s), bit = n / 8 + 1, words = n * 8 * (3 + sets);
  bool ranges = s->range_source >= 0, looked = ranges || s->versioned;
  int k = 0;
  struct looks l;
  if (!mr_buf_reserve(&s->made, &s->made_cap, 0, words + 3 * bit))
    return pg_no_memory(err);
  uint8_t *set = s->made + n * 8, *version = set + n * 8 * sets, *mask = version + n * 8;
  uint8_t *deleted = s->made + words, *sound = deleted + bit, *many = sound + bit;
  look(s, b, &l);
  number_rows(s, &l, n, s->made, deleted);
  pg_set_fill(s, b, set);
  if (s->versioned && s->has_delete)
    clear_sets(set, sets, deleted, n);
  add_numbers(s, &k, s->made, n, looked ? sound_rows(s, b, &l, sound) : NULL);
  add_bits(s, &k, deleted, n);
  for (int w = 0; w < sets; w++)
    add_numbers(s, &k, set + n * 8 * w, n, NULL);
  int status = s->versioned ? pg_version_fill(s, b, deleted, version, &k, err) : MR_OK;
  if (status < 0 || !ranges) {
    *ret_fields = k;
    return status;
  }
  range_masks(s, &l, n, mask, many);
  add_numbers(s, &k, mask, n, many);
  status = pg_range_fill(s, b, &k, err);
  *ret_fields = k;
  return status;
}
