/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json-writer.h"
#include "format/json-scan.h"
#include "millrace/changes.h"
#include <math.h>

/* ---------------------------------------------------------------- output */

static inline uint8_t *room(struct mr_json_writer *e, int64_t n)
{
  struct mr_column *c = &e->out;
  if (MR_UNLIKELY(c->bytes_cap - c->bytes_len < n || c->bytes_len > INT32_MAX - n) &&
      !mr_column_reserve_bytes(c, n)) {
    e->code = MR_CODE_LIMIT;
    e->what = "no memory, or more than 2 GiB of output for one batch";
    return NULL;
  }
  return c->bytes + c->bytes_len;
}

bool mr_json_writer_put(struct mr_json_writer *e, const void *p, int64_t n)
{
  uint8_t *o = room(e, n);
  if (!o)
    return false;
  if (n)
    memcpy(o, p, (size_t)n);
  e->out.bytes_len += n;
  return true;
}

static bool put_char(struct mr_json_writer *e, char c)
{
  return mr_json_writer_put(e, &c, 1);
}

/* One byte that JSON escapes; returns the length. */
static int escape(uint8_t c, uint8_t *o)
{
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
  const char *s = c ? strchr(from, c) : NULL;
  o[0] = '\\';
  if (s) {
    o[1] = (uint8_t)to[s - from];
    return 2;
  }
  memcpy(o + 1, "u00", 3);
  o[4] = (uint8_t)hex[c >> 4];
  o[5] = (uint8_t)hex[c & 15];
  return 6;
}

static int64_t put_escaped(uint8_t *o, const uint8_t *p, int64_t n)
{
  const uint8_t *end = p + n, *run;
  uint8_t *from = o;
  while (p < end) {
    run = mr_json_run(p, end);
    memcpy(o, p, (size_t)(run - p));
    o += run - p;
    p = run;
    for (; p < end && *p >= 0x80; p++)
      *o++ = *p;
    if (p < end && !mr_json_plain(*p) && *p < 0x80)
      o += escape(*p++, o);
  }
  return o - from;
}

static bool put_text(struct mr_json_writer *e, const char *s, int64_t n)
{
  uint8_t *o = n <= INT32_MAX / 6 - 16 ? room(e, 6 * n + 2) : NULL;
  if (!o)
    return false;
  o[0] = '"';
  n = put_escaped(o + 1, (const uint8_t *)s, n);
  o[n + 1] = '"';
  e->out.bytes_len += n + 2;
  return true;
}

/* ---------------------------------------------------------------- values */

static bool put_binary(struct mr_json_writer *e, const uint8_t *p, int64_t n)
{
  uint8_t *o = room(e, (n + 2) / 3 * 4 + 2);
  if (!o)
    return false;
  o[0] = '"';
  n = mr_put_base64((char *)o + 1, p, n);
  o[n + 1] = '"';
  e->out.bytes_len += n + 2;
  return true;
}

/* A json column's text as it is, but without line breaks between its tokens; checked, so that it
 * cannot spoil what is around. */
static bool put_json(struct mr_json_writer *e, const char *s, int64_t n)
{
  uint8_t *o = room(e, n + 1);
  struct mr_json_in in = {0};
  if (!o)
    return false;
  memcpy(o, s, (size_t)n);
  o[n] = '}'; /* what the scanner wants as the last byte */
  in.end = o + n + 1;
  const uint8_t *p = mr_json_skip(&in, mr_json_ws(o), 0);
  if (!p || p > o + n || mr_json_ws(p) != o + n) {
    e->code = MR_CODE_JSON;
    e->what = "not JSON";
    return false;
  }
  for (int64_t i = 0; i < n; i++)
    if (o[i] == '\n' || o[i] == '\r')
      o[i] = ' ';
  e->out.bytes_len += n;
  return true;
}

static int put_float(struct mr_json_writer *e, const struct mr_view *v, int64_t i, char *o)
{
  double d = mr_view_f64(v, i);
  return v->kind == MR_K_FLOAT32 ? mr_put_f32(o, (float)d, e->c) : mr_put_f64(o, d, e->c);
}

/* The text of a value of a kind with short ones, without quotes. */
int mr_json_writer_short(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i,
                         char *o)
{
  const struct mr_view *v = &n->v;
  __int128 d;
  switch (v->kind) {
  case MR_K_BOOL:
    memcpy(o, mr_view_bool(v, i) ? "true" : "false", 5);
    return mr_view_bool(v, i) ? 4 : 5;
  case MR_K_UINT64: return mr_put_uint(o, (uint64_t)mr_view_int(v, i));
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return put_float(e, v, i, o);
  case MR_K_DECIMAL: memcpy(&d, mr_view_fixed(v, i), 16); return mr_put_decimal(o, d, n->scale);
  case MR_K_DATE: return mr_put_date(o, (int32_t)mr_view_int(v, i));
  case MR_K_TIME: return mr_put_time(o, mr_view_int(v, i));
  case MR_K_TIMESTAMP: return mr_put_timestamp(o, mr_view_int(v, i), n->zoned);
  case MR_K_FIXED: return mr_put_uuid(o, mr_view_fixed(v, i));
  default: return mr_put_int(o, mr_view_int(v, i));
  }
}

/* JSON has no NaN and no infinities: they are text. */
static bool is_quoted(const struct mr_view *v, int64_t i)
{
  enum mr_kind k = v->kind;
  if (k == MR_K_FLOAT32 || k == MR_K_FLOAT64)
    return !isfinite(mr_view_f64(v, i));
  return k == MR_K_DATE || k == MR_K_TIME || k == MR_K_TIMESTAMP || k == MR_K_FIXED;
}

static bool put_short(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i,
                      bool quote)
{
  uint8_t *o = room(e, 2 + MR_TEXT_DECIMAL_MAX + MR_TEXT_FLOAT_MAX), *from = o;
  if (!o)
    return false;
  if (quote)
    *o++ = '"';
  o += mr_json_writer_short(e, n, i, (char *)o);
  if (quote)
    *o++ = '"';
  e->out.bytes_len += o - from;
  return true;
}

static bool put_object(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i)
{
  if (!put_char(e, '{'))
    return false;
  for (int64_t k = 0; k < n->n_kid; k++) {
    const struct mr_json_writer_node *kid = &n->kid[k];
    if ((k && !put_char(e, ',')) || !mr_json_writer_put(e, kid->key, kid->key_len) ||
        !mr_json_writer_value(e, kid, n->v.offset + i))
      return false;
  }
  return put_char(e, '}');
}

static bool put_list(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i)
{
  int64_t from, to;
  mr_view_range(&n->v, i, &from, &to);
  if (!put_char(e, '['))
    return false;
  for (int64_t k = from; k < to; k++)
    if ((k > from && !put_char(e, ',')) || !mr_json_writer_value(e, &n->kid[0], k))
      return false;
  return put_char(e, ']');
}

/* A map key: text, or a value's text in quotes. */
static bool put_key(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i)
{
  if (n->v.kind == MR_K_TEXT || n->v.kind == MR_K_BINARY)
    return mr_json_writer_value(e, n, i);
  return put_short(e, n, i, true);
}

static bool put_map(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i)
{
  int64_t from, to, at = n->v.array->children[0]->offset;
  mr_view_range(&n->v, i, &from, &to);
  if (!put_char(e, '{'))
    return false;
  for (int64_t k = from; k < to; k++)
    if ((k > from && !put_char(e, ',')) || !put_key(e, &n->kid[0], at + k) || !put_char(e, ':') ||
        !mr_json_writer_value(e, &n->kid[1], at + k))
      return false;
  return put_char(e, '}');
}

bool mr_json_writer_value(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i)
{
  int64_t len;
  const char *s;
  if (mr_view_null(&n->v, i))
    return mr_json_writer_put(e, "null", 4);
  switch (n->v.kind) {
  case MR_K_TEXT:
    s = mr_view_bytes(&n->v, i, &len);
    return n->is_json ? put_json(e, s, len) : put_text(e, s, len);
  case MR_K_BINARY:
    s = mr_view_bytes(&n->v, i, &len);
    return put_binary(e, (const uint8_t *)s, len);
  case MR_K_STRUCT: return put_object(e, n, i);
  case MR_K_LIST: return put_list(e, n, i);
  case MR_K_MAP: return put_map(e, n, i);
  default: return put_short(e, n, i, is_quoted(&n->v, i));
  }
}

/* ---------------------------------------------------------------- plan */

static void node_done(struct mr_json_writer_node *n)
{
  for (int64_t i = 0; i < n->n_kid; i++)
    node_done(&n->kid[i]);
  free(n->kid);
  free(n->key);
}

static bool node_key(struct mr_json_writer_node *n, const char *name)
{
  int64_t len = (int64_t)strlen(name);
  if (!(n->key = malloc(6 * (size_t)len + 4)))
    return false;
  n->key[0] = '"';
  n->key_len = put_escaped(n->key + 1, (const uint8_t *)name, len) + 3;
  memcpy(n->key + n->key_len - 2, "\":", 2);
  return true;
}

static bool node_init(struct mr_json_writer_node *n, const struct ArrowSchema *s, bool top)
{
  int precision;
  n->v.kind = mr_kind_of(s);
  n->is_json = mr_schema_is_json(s);
  n->zoned = mr_zone_of(s)[0] != 0;
  mr_decimal_of(s, &precision, &n->scale);
  if (n->v.kind == MR_K_NONE || !node_key(n, s->name ? s->name : ""))
    return false;
  if (n->v.kind == MR_K_MAP)
    s = s->children[0];
  if (!s->n_children)
    return true;
  if (!(n->kid = calloc((size_t)s->n_children, sizeof *n->kid)))
    return false;
  for (int64_t i = 0; i < s->n_children; i++) {
    if (top && mr_schema_is_system(s->children[i]))
      continue;
    struct mr_json_writer_node *kid = &n->kid[n->n_kid++];
    kid->column = i;
    if (!node_init(kid, s->children[i], false))
      return false;
  }
  return true;
}

static void node_view(struct mr_json_writer_node *n, const struct ArrowSchema *s,
                      const struct ArrowArray *a)
{
  mr_view_init(&n->v, s, a);
  if (n->v.kind == MR_K_MAP) {
    s = s->children[0];
    a = a->children[0];
  }
  for (int64_t i = 0; i < n->n_kid; i++)
    node_view(&n->kid[i], s->children[n->kid[i].column], a->children[n->kid[i].column]);
}

bool mr_json_writer_init(struct mr_json_writer *e, const struct ArrowSchema *in)
{
  memset(e, 0, sizeof *e);
  e->c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  e->out.kind = MR_K_BINARY;
  e->out.width = mr_kind_width(MR_K_BINARY);
  return e->c && node_init(&e->root, in, true);
}

void mr_json_writer_finish(struct mr_json_writer *e)
{
  node_done(&e->root);
  mr_column_done(&e->out);
  if (e->c)
    freelocale(e->c);
}

void mr_json_writer_batch(struct mr_json_writer *e, const struct mr_batch *b)
{
  node_view(&e->root, b->schema, &b->rows);
  for (int64_t i = 0; i < e->root.n_kid; i++)
    mr_set_view(&e->root.kid[i].set, b->schema, &b->rows, e->root.kid[i].v.schema->name);
  e->code = MR_CODE_LIMIT;
  e->what = "no memory, or more than 2 GiB of output for one batch";
}

bool mr_json_writer_end(struct mr_json_writer *e)
{
  if (!mr_column_reserve(&e->out, 1))
    return false;
  ((int32_t *)(void *)e->out.data)[++e->out.length] = (int32_t)e->out.bytes_len;
  return true;
}

int mr_json_writer_refused(struct mr_json_writer *e, int64_t row, struct mr_error *err)
{
  bool limit = !strcmp(e->code, MR_CODE_LIMIT);
  mr_column_truncate(&e->out, 0);
  e->out.bytes_len = 0;        /* also of the row that was begun */
  err->row = limit ? -1 : row; /* a batch that is too long: smaller ones may do */
  return mr_fail_code(err, MR_REJECT, e->code, "column %.200s: %s", e->name ? e->name : "",
                      e->what);
}
