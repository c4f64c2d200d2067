/* SPDX-License-Identifier: Apache-2.0 */
#include <float.h>
#include "format/json.h"

#define NOT_FINITE_MAX 9 /* bytes of "-Infinity" */

static const uint8_t *put_fixed(struct mr_json *d, const uint8_t *at, const uint8_t *p,
                                struct mr_json_node *n, const uint8_t *v)
{
  struct mr_column *c = n->col;
  if (!mr_json_room(n))
    return mr_json_no_memory(d, at);
  if (c->kind == MR_K_BOOL)
    mr_bit_set(c->data, c->length, v[0]);
  else
    memcpy(c->data + c->length * c->width, v, (size_t)c->width);
  mr_json_push(c);
  return p;
}

static const uint8_t *refuse(struct mr_json *d, const uint8_t *at, struct mr_json_node *n,
                             enum mr_text_status st)
{
  return mr_json_bad(d, at, n, mr_cell_code(&n->t, st), mr_cell_reason(&n->t, st));
}

/* Text in quotes as a value of a fixed-width kind. */
static const uint8_t *quoted(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  const uint8_t *at = p;
  uint8_t v[16];
  int64_t len, most = d->in.end - p;
  uint8_t *s = mr_json_scratch(d, 2 * most + 16); /* the text, and floats a copy of it */
  if (!s)
    return mr_json_no_memory(d, p);
  if (!(p = mr_json_string(&d->in, p + 1, s, &len)))
    return NULL;
  enum mr_text_status st = mr_cell_parse(&n->t, (char *)s, len, d->c, (char *)s + most + 8, v);
  return st == MR_TEXT_OK ? put_fixed(d, at, p, n, v) : refuse(d, at, n, st);
}

static const uint8_t *base64(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  const uint8_t *at = p;
  int64_t len;
  if (*p != '"')
    return mr_json_bad(d, p, n, MR_CODE_TYPE, "not base64 in quotes");
  uint8_t *s = mr_json_scratch(d, d->in.end - p);
  if (!s)
    return mr_json_no_memory(d, p);
  if (!(p = mr_json_string(&d->in, p + 1, s, &len)))
    return NULL;
  struct mr_column *c = n->col;
  if (!mr_json_room(n) || !mr_column_reserve_bytes(c, len))
    return mr_json_no_memory(d, at);
  enum mr_text_status st = mr_text_base64((char *)s, len, c->bytes + c->bytes_len, &len);
  if (st != MR_TEXT_OK)
    return refuse(d, at, n, st);
  c->bytes_len += len;
  mr_json_offsets(c)[c->length + 1] = (int32_t)c->bytes_len;
  mr_json_push(c);
  return p;
}

/* An integer that a double holds exactly, or a number with a fraction or exponent, which is never
 * held exactly anyway. */
static bool is_exact(const uint8_t *p, const uint8_t *end)
{
  bool over = false;
  uint64_t v = 0;
  p += *p == '-';
  if (mr_json_digits(p, end + 1, &v, &over) != end)
    return true;
  return !over && v <= UINT64_MAX - 2048 && (uint64_t)(double)v == v;
}

/* m / 10^k; few digits: both operands are exact, so the one division rounds once. */
static double scaled_down(uint64_t m, int64_t k)
{
  static const double p10[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                               1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  if (m == 0)
    return 0;
  bool few = m <= UINT64_C(1) << 53 && k <= 15 && FLT_EVAL_METHOD == 0;
  return few ? (double)m / p10[k] : mr_text_quotient(m, (int)k);
}

/* A float64 of up to 19 digits and no exponent, in one go. NULL: not such a number, not
 * well-formed, or an integer that may not be exact. */
static const uint8_t *short_float(struct mr_json *d, const uint8_t *p, double *ret)
{
  bool minus = *p == '-', over = false;
  const uint8_t *from = p + minus, *whole, *end;
  uint64_t m = 0;
  whole = end = mr_json_digits(from, d->in.end, &m, &over);
  if (whole == from || (*from == '0' && whole - from > 1))
    return NULL;
  if (*whole == '.' && (end = mr_json_digits(whole + 1, d->in.end, &m, &over)) == whole + 1)
    return NULL;
  int64_t fraction = end == whole ? 0 : end - whole - 1;
  bool inexact = !fraction && m > UINT64_C(1) << 53;
  if (over || whole - from + fraction > 19 || inexact || (*end | 0x20) == 'e')
    return NULL;
  double v = scaled_down(m, fraction);
  *ret = minus ? -v : v;
  return end;
}

/* A float's digits as they come: exact when few, else as the library reads them. */
static const uint8_t *number(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  const uint8_t *at = p;
  uint8_t v[16];
  double f;
  if (n->t.kind == MR_K_FLOAT64 && (p = short_float(d, at, &f))) {
    memcpy(v, &f, 8);
    return put_fixed(d, at, p, n, v);
  }
  if (!(p = mr_json_number_skip(&d->in, at)))
    return NULL;
  char *s = (char *)mr_json_scratch(d, p - at);
  if (!s)
    return mr_json_no_memory(d, at);
  enum mr_text_status st = mr_cell_parse(&n->t, (const char *)at, p - at, d->c, s, v);
  if (st != MR_TEXT_OK)
    return refuse(d, at, n, st);
  if (n->shape && n->t.kind == MR_K_FLOAT64 && !is_exact(at, p))
    return mr_json_bad(d, at, n, MR_CODE_RANGE, "an integer that no float64 holds");
  return put_fixed(d, at, p, n, v);
}

static const uint8_t *epoch(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  static const int scale[] = {[MR_TIME_S] = 6, [MR_TIME_MILLI] = 3, [MR_TIME_MICRO] = 0};
  const uint8_t *at = p;
  uint8_t v[16];
  if (d->conf.timestamps <= MR_TIME_ISO)
    return mr_json_bad(d, p, n, MR_CODE_TYPE,
                       "not text in quotes (for numbers say `timestamps: s`, `ms` or `us`)");
  if (!(p = mr_json_number_skip(&d->in, p)))
    return NULL;
  enum mr_text_status st = mr_cell_epoch((const char *)at, p - at, scale[d->conf.timestamps], v);
  return st == MR_TEXT_OK ? put_fixed(d, at, p, n, v) : refuse(d, at, n, st);
}

static bool is_number(uint8_t c)
{
  return c == '-' || (c >= '0' && c <= '9');
}

/* "NaN", "Infinity", "-Infinity": no numbers of JSON; in columns that were declared. */
static bool is_not_finite(const struct mr_json *d, const uint8_t *p, const struct mr_json_node *n)
{
  int64_t left = d->in.end - p - 1;
  const uint8_t *end = memchr(p + 1, '"', left > NOT_FINITE_MAX ? NOT_FINITE_MAX + 1 : left);
  double ignored;
  return !n->shape && end && mr_text_not_finite((const char *)p + 1, end - p - 1, &ignored);
}

const uint8_t *mr_json_scalar(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  enum mr_kind k = n->t.kind;
  if (k == MR_K_BINARY)
    return base64(d, p, n);
  bool is_float = k == MR_K_FLOAT32 || k == MR_K_FLOAT64, is_int = mr_kind_is_int(k);
  if (*p == '"' &&
      ((!is_float && !is_int) || d->conf.quoted_numbers || (is_float && is_not_finite(d, p, n))))
    return quoted(d, p, n);
  if (is_number(*p) && (is_float || k == MR_K_DECIMAL))
    return number(d, p, n);
  if (is_number(*p) && k == MR_K_TIMESTAMP)
    return epoch(d, p, n);
  return mr_json_bad(d, p, n, MR_CODE_TYPE, mr_cell_reason(&n->t, MR_TEXT_BAD));
}

/* ---------------------------------------------------------------- maps */

/* Entries of a map that a later one with the same key replaces; most maps have none. */
struct replaced {
  int64_t *index; /* ordinals of entries to pass over, ascending; freed by the caller */
  int64_t n;
};

static bool same_key(const struct mr_column *c, int64_t a, int64_t b)
{
  if (c->width > 0)
    return !memcmp(c->data + a * c->width, c->data + b * c->width, (size_t)c->width);
  if (c->kind == MR_K_BOOL)
    return mr_bit_get(c->data, a) == mr_bit_get(c->data, b);
  const int32_t *o = (const int32_t *)(const void *)c->data;
  int32_t len = o[a + 1] - o[a];
  return len == o[b + 1] - o[b] && !memcmp(c->bytes + o[a], c->bytes + o[b], (size_t)len);
}

static uint32_t key_hash(const struct mr_column *c, int64_t i)
{
  const int32_t *o = (const int32_t *)(const void *)c->data;
  if (c->width > 0)
    return mr_json_hash(c->data + i * c->width, c->width);
  if (c->kind == MR_K_BOOL)
    return mr_bit_get(c->data, i);
  return mr_json_hash(c->bytes + o[i], o[i + 1] - o[i]);
}

/* Puts entry i into the table of ordinals + 1; returns the entry it replaces, or -1. */
static int64_t table_put(const struct mr_column *c, int64_t from, int64_t *table, int64_t mask,
                         int64_t i)
{
  int64_t at = key_hash(c, from + i) & mask;
  for (; table[at]; at = (at + 1) & mask) {
    int64_t old = table[at] - 1;
    if (!same_key(c, from + old, from + i))
      continue;
    table[at] = i + 1;
    return old;
  }
  table[at] = i + 1;
  return -1;
}

static int by_value(const void *a, const void *b)
{
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static bool any_repeated(const struct mr_column *c, int64_t from, int64_t end)
{
  for (int64_t i = from; i < end; i++)
    for (int64_t j = i + 1; j < end; j++)
      if (same_key(c, i, j))
        return true;
  return false;
}

/* Finds repeated keys among elements [from, end) of the key column. false: no memory. */
static bool find_replaced(const struct mr_column *c, int64_t from, int64_t end,
                          struct replaced *ret)
{
  int64_t size = 8, n = end - from;
  if (n <= 16 && !any_repeated(c, from, end))
    return true;
  while (size < 2 * n)
    size *= 2;
  MR_AUTOFREE int64_t *table = calloc((size_t)size, sizeof *table);
  if (!table || !(ret->index = calloc((size_t)n, sizeof *ret->index)))
    return false;
  for (int64_t i = 0; i < n; i++) {
    int64_t old = table_put(c, from, table, size - 1, i);
    if (old >= 0)
      ret->index[ret->n++] = old;
  }
  if (ret->n)
    qsort(ret->index, (size_t)ret->n, sizeof *ret->index, by_value);
  return true;
}

static const uint8_t *map_key(struct mr_json *d, const uint8_t *p, struct mr_json_node *key)
{
  if (*p != '"')
    return mr_json_fail(&d->in, p, MR_CODE_JSON, "a key in quotes is missing");
  p = key->t.kind == MR_K_TEXT || key->t.kind == MR_K_BINARY ? mr_json_value(d, p, key, 0)
                                                             : quoted(d, p, key);
  return p ? mr_json_colon(&d->in, p) : NULL;
}

static const uint8_t *entry(struct mr_json *d, const uint8_t *p, struct mr_json_node *n, int depth,
                            bool skip)
{
  if (!skip)
    return (p = map_key(d, p, &n->kid[0])) ? mr_json_value(d, p, &n->kid[1], depth) : NULL;
  return (p = mr_json_string_skip(&d->in, p + 1)) && (p = mr_json_colon(&d->in, p))
             ? mr_json_skip(&d->in, p, depth)
             : NULL;
}

/* All entries but the replaced ones; p behind the brace; returns the place of the closing one. */
static const uint8_t *entries(struct mr_json *d, const uint8_t *p, struct mr_json_node *n,
                              int depth, const struct replaced *r)
{
  int64_t next = 0;
  for (int64_t i = 0; *p != '}'; i++) {
    bool skip = next < r->n && r->index[next] == i;
    next += skip;
    if (!(p = entry(d, p, n, depth, skip)) || !(p = mr_json_next(&d->in, p, '}')))
      return NULL;
  }
  return p;
}

const uint8_t *mr_json_map(struct mr_json *d, const uint8_t *p, struct mr_json_node *n, int depth)
{
  struct replaced r = {0};
  int64_t from = n->kid[0].col->length;
  if (*p != '{')
    return mr_json_bad(d, p, n, MR_CODE_TYPE, "not an object");
  if (depth >= MR_JSON_DEPTH)
    return mr_json_fail(&d->in, p, MR_CODE_LIMIT, "nested deeper than 512 brackets");
  const uint8_t *first = mr_json_ws(p + 1);
  if (!(p = entries(d, first, n, depth + 1, &r)))
    return NULL;
  bool ok = find_replaced(n->kid[0].col, from, n->kid[0].col->length, &r);
  if (ok && r.n) {
    mr_json_rollback(&n->kid[0], from);
    mr_json_rollback(&n->kid[1], from);
    p = entries(d, first, n, depth + 1, &r);
  }
  free(r.index);
  if (!ok)
    return mr_json_no_memory(d, first);
  if (!p)
    return NULL;
  n->col->child[0].length = n->kid[0].col->length; /* the entries themselves are never null */
  return mr_json_end_nested(d, p, n, n->kid[0].col->length);
}
