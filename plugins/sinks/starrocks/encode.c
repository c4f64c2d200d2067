/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as Stream Load reads them: elements of a JSON array, or CSV with separators that text does
 * not have. What the table can never hold is rejected here, row by row: with strict_mode off the
 * server would store NULL in its place, and with it on one such row fails the whole load. */
#include <math.h>
#include "common/sql-text.h"
#include "common/unfit.h"
#include "starrocks.h"
#include "millrace/changes.h"

#define FIELD_END '\x01' /* CSV, see label.c */
#define ROW_END '\x02'
#define DATE_MIN (-719528) /* 0000-01-01 */
#define DATE_MAX 2932896   /* 9999-12-31 */
#define DAY_US 86400000000

__extension__ typedef __int128 i128; /* the only spelling the compiler knows */

static bool misfit(struct sr_misfit *m, const char *code, const char *why)
{
  m->code = code;
  m->why = why;
  return false;
}

static bool is_csv(const struct sr_sink *s)
{
  return s->conf->format == FORMAT_CSV;
}

/* ---------------------------------------------------------------- texts */

static bool csv_text(struct sql_buf *out, const char *p, size_t n, struct sr_misfit *m)
{
  if (memchr(p, FIELD_END, n) || memchr(p, ROW_END, n))
    return misfit(m, "22021", "text with a byte 1 or 2 cannot go as CSV; format: json can");
  if (n == 2 && !memcmp(p, "\\N", 2))
    return misfit(m, "22021", "the text \\N would become NULL as CSV; format: json can");
  sql_buf_bytes(out, p, n);
  return true;
}

static bool put_text(struct sr_sink *s, const struct sr_column *c, const char *p, int64_t n,
                     struct sr_misfit *m)
{
  if (c->type == SR_TEXT && n > c->bytes)
    return misfit(m, "22001", "text is longer than the column holds (bytes)");
  if (is_csv(s))
    return csv_text(&s->rows, p, (size_t)n, m);
  sql_buf_json_bytes(&s->rows, p, (size_t)n);
  return true;
}

/* The canonical text of any value. */
static bool put_as_text(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  struct sql_buf text = {0};
  bool ok = sql_text_value(&text, &f->v, i);
  if (!ok)
    misfit(m, "42804", "a value without text");
  else
    ok = put_text(s, f->column, text.p ? (const char *)text.p : "", (int64_t)text.len, m);
  s->rows.failed |= text.failed;
  sql_buf_done(&text);
  return ok;
}

/* ---------------------------------------------------------------- numbers */

static void int_limits(enum sr_type t, int64_t *ret_min, int64_t *ret_max)
{
  int bits = t == SR_TINYINT ? 8 : t == SR_SMALLINT ? 16 : t == SR_INT ? 32 : 64;
  *ret_max = bits == 64 ? INT64_MAX : ((int64_t)1 << (bits - 1)) - 1;
  *ret_min = -*ret_max - 1;
}

static bool put_int(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  int64_t v = f->v.kind == MR_K_BOOL ? mr_view_bool(&f->v, i) : mr_view_int(&f->v, i), min, max;
  bool huge = f->v.kind == MR_K_UINT64 && v < 0, large = f->column->type == SR_LARGEINT;
  int_limits(f->column->type, &min, &max);
  if (!large && (huge || v < min || v > max))
    return misfit(m, "22003", "number is out of the column's range");
  bool quoted = large && !is_csv(s);
  if (quoted)
    sql_buf_byte(&s->rows, '"');
  if (huge)
    sql_buf_uint(&s->rows, (uint64_t)v, 1);
  else
    sql_buf_int(&s->rows, v);
  if (quoted)
    sql_buf_byte(&s->rows, '"');
  return true;
}

static bool put_float(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  bool real = f->v.kind == MR_K_FLOAT32 || f->v.kind == MR_K_FLOAT64;
  double v = real ? mr_view_f64(&f->v, i) : (double)mr_view_int(&f->v, i);
  if (!isfinite(v))
    return misfit(m, "22003", "StarRocks has no NaN and no infinity");
  if (f->column->type == SR_FLOAT && !isfinite((float)v))
    return misfit(m, "22003", "number is out of the column's range");
  sql_text_double(&s->rows, v, f->v.kind == MR_K_FLOAT32);
  return true;
}

static i128 decimal_of(const struct mr_view *v, int64_t i, int *ret_scale)
{
  int precision;
  *ret_scale = 0;
  if (v->kind != MR_K_DECIMAL)
    return v->kind == MR_K_UINT64 ? (i128)(uint64_t)mr_view_int(v, i) : (i128)mr_view_int(v, i);
  i128 n;
  memcpy(&n, mr_view_fixed(v, i), sizeof n);
  mr_decimal_of(v->schema, &precision, ret_scale);
  return n;
}

/* Whole digits that the column has room for. */
static bool decimal_fits(i128 n, int scale, const struct sr_column *c)
{
  int room = c->precision - c->scale + scale; /* digits of n */
  i128 limit = 1;
  if (room < 0)
    return n == 0;
  for (int i = 0; i < room && i < 38; i++)
    limit *= 10;
  return room > 38 || (n < limit && n > -limit);
}

static bool put_decimal(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  int scale;
  i128 n = decimal_of(&f->v, i, &scale);
  if (!decimal_fits(n, scale, f->column))
    return misfit(m, "22003", "number has more digits than the column holds");
  if (!is_csv(s))
    sql_buf_byte(&s->rows, '"'); /* a bare number could pass through a double */
  sql_text_decimal(&s->rows, (uint64_t)n, (int64_t)(n >> 64), scale);
  if (!is_csv(s))
    sql_buf_byte(&s->rows, '"');
  return true;
}

/* ---------------------------------------------------------------- times */

static bool put_time(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  int64_t v = mr_view_int(&f->v, i);
  bool date = f->v.kind == MR_K_DATE;
  int64_t days = date ? v : v / DAY_US - (v % DAY_US < 0);
  if (days < DATE_MIN || days > DATE_MAX)
    return misfit(m, "22008", "StarRocks' dates go from 0000-01-01 to 9999-12-31");
  if (days < DATE_MIN + 366)
    return misfit(m, "22008", "dates of the year 0 are not sent");
  if (!is_csv(s))
    sql_buf_byte(&s->rows, '"');
  if (date)
    sql_text_date(&s->rows, v);
  else
    sql_text_timestamp(&s->rows, v, ' ', "");
  if (date && f->column->type == SR_DATETIME)
    sql_buf_str(&s->rows, " 00:00:00");
  if (!is_csv(s))
    sql_buf_byte(&s->rows, '"');
  return true;
}

/* ---------------------------------------------------------------- values */

/* Elements of the target's own types. */
static bool put_nested(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  struct sql_buf text = {0};
  bool ok = sql_text_json_exact(&text, &f->v, i);
  if (!ok)
    misfit(m, "22003", "StarRocks has no NaN and no infinity");
  else if (is_csv(s))
    ok = csv_text(&s->rows, (const char *)text.p, text.len, m);
  else
    sql_buf_bytes(&s->rows, text.p, text.len);
  s->rows.failed |= text.failed;
  sql_buf_done(&text);
  return ok;
}

static bool put_json(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  if (is_csv(s))
    return put_as_text(s, f, i, m);
  return sql_text_json(&s->rows, &f->v, i) || misfit(m, "42804", "a value without JSON");
}

static bool put_value(struct sr_sink *s, const struct sr_field *f, int64_t i, struct sr_misfit *m)
{
  int64_t n;
  const char *p;
  if (f->unfit)
    return misfit(m, UNFIT_CODE, UNFIT_WHY);
  switch (f->column->type) {
  case SR_BOOLEAN: sql_buf_str(&s->rows, mr_view_bool(&f->v, i) ? "true" : "false"); return true;
  case SR_TINYINT:
  case SR_SMALLINT:
  case SR_INT:
  case SR_BIGINT:
  case SR_LARGEINT: return put_int(s, f, i, m);
  case SR_FLOAT:
  case SR_DOUBLE: return put_float(s, f, i, m);
  case SR_DECIMAL: return put_decimal(s, f, i, m);
  case SR_DATE:
  case SR_DATETIME: return put_time(s, f, i, m);
  case SR_JSON: return put_json(s, f, i, m);
  case SR_NESTED: return put_nested(s, f, i, m);
  default:
    if (f->v.kind != MR_K_TEXT)
      return put_as_text(s, f, i, m);
    p = mr_view_bytes(&f->v, i, &n);
    return put_text(s, f->column, p, n, m);
  }
}

static bool put_null(struct sr_sink *s, const struct sr_field *f, bool deleted, struct sr_misfit *m)
{
  if (!f->column->nullable && (!deleted || f->column->is_key))
    return misfit(m, "23502", "NULL in a column that is NOT NULL");
  sql_buf_str(&s->rows, is_csv(s) ? "\\N" : "null");
  return true;
}

/* ---------------------------------------------------------------- rows */

bool sr_is_delete(const struct sr_encoding *e, int64_t row)
{
  int64_t n;
  if (e->s->op_source < 0 || mr_view_null(&e->op, row))
    return false;
  const char *p = mr_view_bytes(&e->op, row, &n);
  return n && (*p == 'd' || *p == 'D');
}

bool sr_put_row(const struct sr_encoding *e, int64_t row, struct sr_misfit *m, int *ret_bad)
{
  struct sr_sink *s = e->s;
  bool csv = is_csv(s), deleted = e->ops && sr_is_delete(e, row), ok = true;
  size_t start = s->rows.len;
  int n = 0;
  if (!csv)
    sql_buf_str(&s->rows, s->n_rows ? ",\n{" : "[{");
  for (int i = 0; i < s->n_fields && ok; i++) {
    const struct sr_field *f = &s->field[i];
    if (e->use && !e->use[i])
      continue;
    *ret_bad = i;
    if (n && csv)
      sql_buf_byte(&s->rows, FIELD_END);
    if (!csv)
      sql_buf_bytes(&s->rows, f->key + !n, f->key_len - !n);
    n++;
    ok = mr_view_null(&f->v, row) ? put_null(s, f, deleted, m) : put_value(s, f, row, m);
  }
  if (ok && e->ops && csv)
    sql_buf_byte(&s->rows, FIELD_END);
  else if (ok && e->ops)
    sql_buf_str(&s->rows, ",\"__op\":");
  if (ok && e->ops)
    sql_buf_byte(&s->rows, deleted ? '1' : '0');
  if (!ok) {
    s->rows.len = start;
    return false;
  }
  sql_buf_byte(&s->rows, csv ? ROW_END : '}');
  s->n_rows++;
  return true;
}

int sr_reject(const struct sr_encoding *e, int64_t row, const struct sr_misfit *m,
              const char *column, struct mr_error *err)
{
  int at = column ? sr_target_find(e->s, column) : -1;
  const struct sr_column *c = at < 0 ? NULL : &e->s->column[at];
  const char *why = m->why;
  if (c && c->source >= 0 && strcmp(m->code, "23502"))
    why = evo_message(&e->s->words, why, c->shown, e->b->schema->children[c->source]);
  struct mr_reject r = {.size = sizeof r,
                        .batch = e->b,
                        .batch_id = e->b->id,
                        .row = row,
                        .code = m->code,
                        .msg = why,
                        .column = column};
  int status = e->s->host->reject(e->s->host->ctx, &r);
  return status < 0 ? src_fail(err, status, "", "a rejected row") : MR_OK;
}

const char *sr_row_text(const struct sr_sink *s, size_t start, size_t end, size_t *ret_len)
{
  const char *p = (const char *)s->rows.p + start;
  size_t n = end - start;
  bool csv = is_csv(s);
  while (!csv && n && *p != '{') {
    p++;
    n--;
  }
  *ret_len = csv && n ? n - 1 : n;
  return p;
}

bool sr_dead_clear(struct sr_sink *s, int64_t n)
{
  if (!mr_buf_reserve(&s->dead, &s->dead_cap, 0, n / 8 + 1))
    return false;
  memset(s->dead, 0, (size_t)(n / 8 + 1));
  return true;
}

void sr_encoding_bind(struct sr_encoding *e, struct sr_sink *s, const struct mr_batch *b)
{
  *e = (struct sr_encoding){.s = s, .b = b};
  for (int i = 0; i < s->n_fields; i++) {
    struct sr_field *f = &s->field[i];
    mr_view_column(&f->v, b->schema, &b->rows, f->column->source);
    mr_set_view(&f->set, b->schema, &b->rows, b->schema->children[f->column->source]->name);
  }
  if (s->op_source >= 0)
    mr_view_column(&e->op, b->schema, &b->rows, s->op_source);
  e->ops = s->model == MODEL_PRIMARY && s->conf->mode == MODE_UPSERT;
}

int sr_encode(struct sr_sink *s, const struct mr_batch *b, int64_t *row_end, struct mr_error *err)
{
  struct sr_encoding e;
  int status = MR_OK, bad = 0;
  sr_encoding_bind(&e, s, b);
  for (int64_t row = 0; row < b->rows.length && status >= 0; row++) {
    struct sr_misfit m = {0};
    if (!mr_bit_get(s->dead, row) && !sr_put_row(&e, row, &m, &bad)) {
      mr_bit_set(s->dead, row, true);
      status = sr_reject(&e, row, &m, s->field[bad].column->name, err);
    }
    if (row_end)
      row_end[row] = (int64_t)s->rows.len;
  }
  return status >= 0 && s->rows.failed ? src_no_memory(err) : status;
}
