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

static void set_done(struct sq_set *set)
{
  sqlite3_finalize(set->update);
  sqlite3_finalize(set->insert);
  free(set->bits);
  *set = (struct sq_set){0};
}

void sq_sets_forget(struct sq_sink *s)
{
  for (int i = 0; i < SQ_SETS; i++)
    set_done(&s->set[i]);
  s->next_set = 0;
}

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

static int prepare_update(struct sq_sink *s, struct sq_set *set, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_fmt(&sql, "UPDATE %s SET ", s->target);
  if (!assignments(s, set->bits, false, ", ", &sql))
    assignments(s, set->bits, true, ", ", &sql); /* is there a row? */
  sql_buf_str(&sql, " WHERE ");
  assignments(s, set->bits, true, " AND ", &sql);
  int status = sq_prepare(s, sql_buf_text(&sql), "UPDATE", &set->update, err);
  sql_buf_done(&sql);
  return status;
}

static int prepare_insert(struct sq_sink *s, struct sq_set *set, struct mr_error *err)
{
  struct sql_buf sql = {0}, values = {0};
  int n = 0;
  sql_buf_fmt(&sql, "INSERT INTO %s (", s->target);
  for (int c = 0; c < s->n_fields; c++) {
    if (!mr_bit_get(set->bits, c))
      continue;
    sql_buf_str(&sql, n ? ", " : "");
    sql_ident(&sql, column(s, c)->name);
    sql_buf_fmt(&values, "%s?%d", n++ ? ", " : "", c + 1);
  }
  sql_buf_fmt(&sql, ") VALUES (%s)", sql_buf_text(&values));
  int status = sq_prepare(s, sql_buf_text(&sql), "INSERT", &set->insert, err);
  sql_buf_done(&sql);
  sql_buf_done(&values);
  return status;
}

/* The statements for a set; the one made longest ago gives its place. */
static int find_set(struct sq_sink *s, const uint8_t *bits, struct sq_set **ret,
                    struct mr_error *err)
{
  size_t size = sq_set_bytes(s);
  for (int i = 0; i < SQ_SETS && s->set[i].bits; i++)
    if (!memcmp(s->set[i].bits, bits, size)) {
      *ret = &s->set[i];
      return MR_OK;
    }
  struct sq_set *set = &s->set[s->next_set], made = {.bits = malloc(size)};
  if (!made.bits)
    return sq_no_memory(err);
  memcpy(made.bits, bits, size);
  int status = prepare_update(s, &made, err);
  if (status >= 0)
    status = prepare_insert(s, &made, err);
  if (status < 0) {
    set_done(&made);
    return status;
  }
  set_done(set);
  *set = made;
  s->next_set = (s->next_set + 1) % SQ_SETS;
  *ret = set;
  return MR_OK;
}

static int run(struct sq_sink *s, sqlite3_stmt *st, const uint8_t *bits, const uint8_t *cells,
               const char *what, struct mr_error *err)
{
  const uint8_t *p = cells;
  for (int c = 0; p && c < s->n_fields; c++)
    p = mr_bit_get(bits, c) ? sq_cell_bind(st, c + 1, p) : sq_cell_skip(p);
  int rc = p ? sqlite3_step(st) : SQLITE_TOOBIG;
  int status = rc == SQLITE_DONE ? MR_OK : sq_error(s, what, err);
  sqlite3_reset(st);
  return status;
}

int sq_partial_row(struct sq_sink *s, const uint8_t *bits, const uint8_t *cells,
                   struct mr_error *err)
{
  struct sq_set *set = NULL;
  int status = find_set(s, bits, &set, err);
  if (status >= 0)
    status = run(s, set->update, bits, cells, "UPDATE", err);
  if (status < 0 || sqlite3_changes(s->db))
    return status;
  return run(s, set->insert, bits, cells, "INSERT of a new key", err);
}
