/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes: of one row, or of all that fit (`_range`). What such a row says of the key is its shape,
 * a byte for each key column; behind it are the values, in the order of the statement's parameters.
 * Statements are kept for shapes, so each finds its rows by an index that begins with the columns
 * that it names. */
#include "sqlite.h"

enum {
  IS = 1,
  ABOVE = 2,
  FROM = 4,
  BELOW = 8,
  UPTO = 16
}; /* FROM, UPTO: the bound belongs to it */

bool sq_kind_ordered(const struct ArrowSchema *from, enum sq_affinity to)
{
  switch (mr_kind_of(from)) {
  case MR_K_BOOL: /* false, true: as text, too */
  case MR_K_DATE:
  case MR_K_TIME:
  case MR_K_TIMESTAMP:
  case MR_K_BINARY:
  case MR_K_FIXED: return true;
  case MR_K_TEXT: return !mr_schema_is_json(from);
  case MR_K_DECIMAL: return to == SQ_NUMERIC || to == SQ_REAL;
  case MR_K_NONE:
  case MR_K_LIST:
  case MR_K_STRUCT:
  case MR_K_MAP:
  case MR_K_NULL: return false;
  default: return to != SQ_TEXT;
  }
}

/* ---------------------------------------------------------------- converting */

static uint8_t shape_of(const struct ups_key *key, int64_t i)
{
  const struct mr_range_columns *r = &key->range;
  uint8_t shape = ups_key_named(key, i) || !mr_range_has(r, i) ? IS : 0;
  if (!mr_range_bounds(r, i))
    return shape;
  if (!mr_view_null(&r->bound[MR_LOWER], i))
    shape |= mr_view_bool(&r->bound[MR_LOWER_INC], i) ? FROM : ABOVE;
  if (!mr_view_null(&r->bound[MR_UPPER], i))
    shape |= mr_view_bool(&r->bound[MR_UPPER_INC], i) ? UPTO : BELOW;
  return shape;
}

static bool put_bound(const struct sq_field *field, const struct ups_key *key, enum mr_bound bound,
                      int64_t i, struct sql_buf *out, const char **ret_code, const char **ret_msg)
{
  struct sq_field f = *field;
  f.v = key->range.bound[bound];
  return sq_cell_put(&f, i, out, ret_code, ret_msg);
}

static bool put_key(const struct sq_field *field, const struct ups_key *key, uint8_t shape,
                    int64_t i, struct sql_buf *out, const char **ret_code, const char **ret_msg)
{
  if ((shape & IS) && !sq_cell_put(field, i, out, ret_code, ret_msg))
    return false;
  if ((shape & (ABOVE | FROM)) && !put_bound(field, key, MR_LOWER, i, out, ret_code, ret_msg))
    return false;
  return !(shape & (BELOW | UPTO)) || put_bound(field, key, MR_UPPER, i, out, ret_code, ret_msg);
}

bool sq_delete_put(const struct sq_sink *s, const struct ups_key *key, int64_t i,
                   struct sql_buf *out, int *ret_field, const char **ret_code, const char **ret_msg)
{
  for (int k = 0; k < s->n_keys; k++)
    sql_buf_byte(out, (char)shape_of(&key[k], i));
  for (int k = 0; k < s->n_keys; k++) {
    *ret_field = s->key_field[k];
    if (!put_key(&s->field[*ret_field], &key[k], shape_of(&key[k], i), i, out, ret_code, ret_msg))
      return false;
  }
  return true;
}

/* ---------------------------------------------------------------- statements */

/* Text goes by its bytes, whatever the column's collation says; but keys are equal as the table's
 * own index has it. */
static void condition(const char *name, const char *comparison, int *parameter, struct sql_buf *sql)
{
  sql_buf_str(sql, " AND t.");
  sql_ident(sql, name);
  sql_buf_fmt(sql, " %s ?%d", comparison, ++*parameter);
}

/* "1 AND t.key = ?1 AND t.other > ?2 …"; the number of parameters. */
static int conditions(const struct sq_sink *s, const uint8_t *shape, struct sql_buf *sql)
{
  int n = 0;
  sql_buf_byte(sql, '1');
  for (int k = 0; k < s->n_keys; k++) {
    const char *name = s->column[s->field[s->key_field[k]].column].name;
    if (shape[k] & IS)
      condition(name, "=", &n, sql);
    if (shape[k] & (ABOVE | FROM))
      condition(name, shape[k] & FROM ? "COLLATE BINARY >=" : "COLLATE BINARY >", &n, sql);
    if (shape[k] & (BELOW | UPTO))
      condition(name, shape[k] & UPTO ? "COLLATE BINARY <=" : "COLLATE BINARY <", &n, sql);
  }
  return n;
}

static int prepare_clear(struct sq_sink *s, struct sq_pair *pair, struct mr_error *err)
{
  struct sql_buf sql = {0}, where = {0};
  int version = conditions(s, pair->shape, &where) + 1;
  sql_buf_fmt(&sql, "UPDATE %s AS t SET ", s->target);
  sq_version_clear(s, version, &sql);
  sql_buf_fmt(&sql, " WHERE %s AND ", sql_buf_text(&where));
  sq_version_unmarked(version, &sql);
  int status = sq_prepare(s, sql_buf_text(&sql), "UPDATE of deleted columns", &pair->second, err);
  sql_buf_done(&where);
  sql_buf_done(&sql);
  return status;
}

static int prepare(struct sq_sink *s, struct sq_pair *pair, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_fmt(&sql, "DELETE FROM %s AS t WHERE ", s->target);
  int version = conditions(s, pair->shape, &sql) + 1;
  if (s->versioned) {
    sql_buf_str(&sql, " AND ");
    sq_version_older(s, version, &sql);
  }
  int status = sq_prepare(s, sql_buf_text(&sql), "DELETE", &pair->first, err);
  sql_buf_done(&sql);
  return status < 0 || !s->versioned ? status : prepare_clear(s, pair, err);
}

int sq_delete_plan(struct sq_sink *s, struct mr_error *err)
{
  uint8_t shape[UPS_KEYS_MAX];
  struct sq_pair *pair;
  memset(shape, IS, sizeof shape);
  return sq_kept_find(s, &s->deletes, shape, (size_t)s->n_keys, prepare, &pair, err);
}

/* ---------------------------------------------------------------- running */

static int run(struct sq_sink *s, sqlite3_stmt *st, const struct sq_row *row, const char *what,
               struct mr_error *err)
{
  const uint8_t *p = s->cells.p + row->at + s->n_keys;
  int values = sqlite3_bind_parameter_count(st) - s->versioned;
  for (int i = 1; p && i <= values; i++)
    p = sq_cell_bind(st, i, p);
  if (p && s->versioned && sqlite3_bind_int64(st, values + 1, row->version) != SQLITE_OK)
    p = NULL;
  int rc = p ? sqlite3_step(st) : SQLITE_TOOBIG;
  int status = rc == SQLITE_DONE ? MR_OK : sq_version_error(s, what, rc & 0xff, err);
  sqlite3_reset(st);
  return status;
}

int sq_delete_row(struct sq_sink *s, const struct sq_row *row, struct mr_error *err)
{
  struct sq_pair *pair = NULL;
  int status =
      sq_kept_find(s, &s->deletes, s->cells.p + row->at, (size_t)s->n_keys, prepare, &pair, err);
  if (status >= 0)
    status = run(s, pair->first, row, "DELETE", err);
  if (status >= 0 && s->versioned)
    status = run(s, pair->second, row, "UPDATE of deleted columns", err);
  return status;
}
