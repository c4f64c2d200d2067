/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that write only some columns: an UPDATE of those; where no row has the key, an INSERT of
 * those, so that the others get their defaults. (INSERT ... ON CONFLICT would ask for every NOT
 * NULL column also of a row that is there.) Statements are kept for the sets that came last. */
#include "sqlite.h"

bool sq_set_whole(const struct sq_sink *s, const uint8_t *bits)
{
  for (int c = 0; c < s->n_fields; c++)
    if (!mr_bit_get(bits, c))
      return false;
  return true;
}

/* ---------------------------------------------------------------- statements that are kept */

static void pair_done(struct sq_pair *pair)
{
  sqlite3_finalize(pair->first);
  sqlite3_finalize(pair->second);
  free(pair->shape);
  *pair = (struct sq_pair){0};
}

void sq_kept_forget(struct sq_kept *kept)
{
  for (int i = 0; i < SQ_KEPT; i++)
    pair_done(&kept->pair[i]);
  kept->next = 0;
}

int sq_kept_find(struct sq_sink *s, struct sq_kept *kept, const uint8_t *shape, size_t size,
                 sq_prepare_fn *prepare, struct sq_pair **ret, struct mr_error *err)
{
  for (int i = 0; i < SQ_KEPT && kept->pair[i].shape; i++)
    if (!memcmp(kept->pair[i].shape, shape, size)) {
      *ret = &kept->pair[i];
      return MR_OK;
    }
  struct sq_pair *pair = &kept->pair[kept->next], made = {.shape = malloc(size)};
  if (!made.shape)
    return sq_no_memory(err);
  memcpy(made.shape, shape, size);
  int status = prepare(s, &made, err);
  if (status < 0) {
    pair_done(&made);
    return status;
  }
  pair_done(pair);
  *pair = made;
  kept->next = (kept->next + 1) % SQ_KEPT;
  *ret = pair;
  return MR_OK;
}

/* ---------------------------------------------------------------- rows that write a set */

static const struct sq_column *column(const struct sq_sink *s, int field)
{
  return &s->column[s->field[field].column];
}

/* "name = ?n" for the fields that are key columns, or those that are not and are written. */
static int assignments(const struct sq_sink *s, const uint8_t *bits, bool key, const char *between,
                       struct sql_buf *sql)
{
  int n = 0;
  for (int c = 0; c < s->n_fields; c++) {
    if (column(s, c)->is_key != key || !mr_bit_get(bits, c))
      continue;
    sql_buf_str(sql, n++ ? between : "");
    sql_ident(sql, column(s, c)->name);
    sql_buf_fmt(sql, " = ?%d", c + 1);
  }
  return n;
}

static int prepare_update(struct sq_sink *s, struct sq_pair *set, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_fmt(&sql, "UPDATE %s SET ", s->target);
  if (!assignments(s, set->shape, false, ", ", &sql))
    assignments(s, set->shape, true, ", ", &sql); /* is there a row? */
  if (s->versioned)
    sql_buf_fmt(&sql, ", " UPS_WRITTEN " = ?%d", s->n_fields + 1);
  sql_buf_str(&sql, " WHERE ");
  assignments(s, set->shape, true, " AND ", &sql);
  int status = sq_prepare(s, sql_buf_text(&sql), "UPDATE", &set->first, err);
  sql_buf_done(&sql);
  return status;
}

static int prepare_insert(struct sq_sink *s, struct sq_pair *set, struct mr_error *err)
{
  struct sql_buf sql = {0}, values = {0};
  int n = 0;
  sql_buf_fmt(&sql, "INSERT INTO %s (", s->target);
  for (int c = 0; c < s->n_fields; c++) {
    if (!mr_bit_get(set->shape, c))
      continue;
    sql_buf_str(&sql, n ? ", " : "");
    sql_ident(&sql, column(s, c)->name);
    sql_buf_fmt(&values, "%s?%d", n++ ? ", " : "", c + 1);
  }
  if (s->versioned) {
    sql_buf_str(&sql, ", " UPS_WRITTEN);
    sql_buf_fmt(&values, ", ?%d", s->n_fields + 1);
  }
  sql_buf_fmt(&sql, ") VALUES (%s)", sql_buf_text(&values));
  int status = sq_prepare(s, sql_buf_text(&sql), "INSERT", &set->second, err);
  sql_buf_done(&sql);
  sql_buf_done(&values);
  return status;
}

static int prepare_set(struct sq_sink *s, struct sq_pair *set, struct mr_error *err)
{
  int status = prepare_update(s, set, err);
  return status < 0 ? status : prepare_insert(s, set, err);
}

int sq_set_find(struct sq_sink *s, const uint8_t *bits, struct sq_pair **ret, struct mr_error *err)
{
  return sq_kept_find(s, &s->sets, bits, sq_set_bytes(s), prepare_set, ret, err);
}

int sq_set_run(struct sq_sink *s, sqlite3_stmt *st, const uint8_t *bits, const uint8_t *cells,
               const char *what, struct mr_error *err)
{
  const uint8_t *p = cells;
  for (int c = 0; p && c < s->n_fields; c++)
    p = mr_bit_get(bits, c) ? sq_cell_bind(st, c + 1, p) : sq_cell_skip(p);
  if (p && s->versioned &&
      sqlite3_bind_text64(st, s->n_fields + 1, (const char *)s->written.p, s->written.len,
                          SQLITE_STATIC, SQLITE_UTF8) != SQLITE_OK)
    p = NULL;
  int rc = p ? sqlite3_step(st) : SQLITE_TOOBIG;
  int status = rc == SQLITE_DONE ? MR_OK : sq_error(s, what, err);
  sqlite3_reset(st);
  return status;
}

int sq_partial_row(struct sq_sink *s, const uint8_t *bits, const uint8_t *cells,
                   struct mr_error *err)
{
  struct sq_pair *set = NULL;
  int status = sq_set_find(s, bits, &set, err);
  if (status >= 0)
    status = sq_set_run(s, set->first, bits, cells, "UPDATE", err);
  if (status < 0 || sqlite3_changes(s->db))
    return status;
  return sq_set_run(s, set->second, bits, cells, "INSERT of a new key", err);
}
