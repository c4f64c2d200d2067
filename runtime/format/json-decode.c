/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json.h"

uint8_t *mr_json_scratch(struct mr_json *d, int64_t n)
{
  if (!mr_buf_reserve(&d->scratch, &d->scratch_cap, 0, n + 16))
    return NULL;
  return d->scratch;
}

const uint8_t *mr_json_bad(struct mr_json *d, const uint8_t *at, struct mr_json_node *n,
                           const char *code, const char *what)
{
  d->in.column = n->path;
  d->widen = n->shape != NULL;
  return mr_json_fail(&d->in, at, code, what);
}

const uint8_t *mr_json_no_memory(struct mr_json *d, const uint8_t *at)
{
  return mr_json_fail(&d->in, at, MR_CODE_MEMORY,
                      "no memory, or more than 2 GiB of text in one column");
}

/* ---------------------------------------------------------------- keys */

static inline bool key_is(const uint8_t *p, const uint8_t *end, const struct mr_json_field *f)
{
  uint64_t x, w[3];
  if (MR_UNLIKELY(end - p < MR_JSON_KEY_INLINE || f->len > MR_JSON_KEY_INLINE))
    return end - p > f->len && !memcmp(p, f->text, (size_t)f->len);
  memcpy(w, p, sizeof w);
  x = ((w[0] ^ f->word[0]) & f->mask[0]) | ((w[1] ^ f->word[1]) & f->mask[1]) |
      ((w[2] ^ f->word[2]) & f->mask[2]);
  return x == 0;
}

/* null, [] and {}: common values that make no column. */
static bool says_nothing(const uint8_t *value)
{
  return *value == 'n' || (*value == '[' && value[1] == ']') || (*value == '{' && value[1] == '}');
}

/* A key without a column: what becomes of it. value: where its value is. */
static struct mr_json_field *unknown_key(struct mr_json *d, const uint8_t *at, const uint8_t *value,
                                         struct mr_json_node *n, const uint8_t *key, int64_t len,
                                         uint32_t hash)
{
  bool system = n == &d->root && len && key[0] == '_';
  if (n->shape && d->new_keys && !system) {
    if (d->pass_new || says_nothing(value))
      return &n->keys->other; /* may be a column one day */
    mr_json_bad(d, at, n, MR_CODE_UNKNOWN, "a new key");
    return NULL;
  }
  if (d->conf.unknown == MR_UNKNOWN_DEAD_LETTER) {
    mr_json_bad(d, at, n, MR_CODE_UNKNOWN, "a key that is no column");
    d->widen = false;
    return NULL;
  }
  return mr_json_field_ignore(n->keys, key, len, hash);
}

/* The key at p, by its name; returns the place of its value. */
static const uint8_t *key_by_name(struct mr_json *d, const uint8_t *p, struct mr_json_node *n,
                                  struct mr_json_field **ret)
{
  int64_t len;
  const uint8_t *at = p;
  if (*p != '"')
    return mr_json_fail(&d->in, p, MR_CODE_JSON, "a key in quotes is missing");
  uint8_t *key = mr_json_scratch(d, d->in.end - p);
  if (!key)
    return mr_json_no_memory(d, p);
  if (!(p = mr_json_string(&d->in, p + 1, key, &len)) || !(p = mr_json_colon(&d->in, p)))
    return NULL;
  uint32_t hash = mr_json_hash(key, len);
  struct mr_json_field *f = mr_json_field_find(n->keys, key, len, hash);
  if (!f && !(f = unknown_key(d, at, p, n, key, len, hash)))
    return NULL;
  *ret = f;
  return p;
}

/* Another key than the one that followed last time. */
static const uint8_t *key_missed(struct mr_json *d, const uint8_t *p, struct mr_json_node *n,
                                 struct mr_json_field *last, struct mr_json_field **ret)
{
  struct mr_json_field *f = last->other;
  if (key_is(p, d->in.end, f))
    p += f->len;
  else if (!(p = key_by_name(d, p, n, &f)))
    return NULL;
  last->other = last->next;
  last->next = f;
  *ret = f;
  return p;
}

/* ---------------------------------------------------------------- values */

static inline const uint8_t *integer(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  struct mr_column *c = n->col;
  bool minus, over;
  uint64_t v;
  const uint8_t *at = p;
  if (MR_UNLIKELY((uint8_t)(*p - '0') > 9 && *p != '-'))
    return mr_json_scalar(d, p, n);
  if (!(p = mr_json_integer(&d->in, p, &minus, &v, &over)))
    return NULL;
  if (MR_UNLIKELY(*p == '.' || (*p | 0x20) == 'e'))
    return mr_json_bad(d, at, n, MR_CODE_TEXT, "not an integer");
  if (MR_UNLIKELY(over || v > (minus ? n->t.most_minus : n->t.most)))
    return mr_json_bad(d, at, n, MR_CODE_RANGE, "an integer out of range");
  if (MR_UNLIKELY(!mr_json_room(n)))
    return mr_json_no_memory(d, at);
  if (MR_UNLIKELY(n->shape != NULL))
    n->shape->inexact |= v >> 53 != 0;
  if (minus)
    v = 0 - v;
  if (MR_LIKELY(c->width == 8))
    ((uint64_t *)(void *)c->data)[c->length] = v;
  else if (c->width == 4)
    ((uint32_t *)(void *)c->data)[c->length] = (uint32_t)v;
  else if (c->width == 2)
    ((uint16_t *)(void *)c->data)[c->length] = (uint16_t)v;
  else
    c->data[c->length] = (uint8_t)v;
  mr_json_push(c);
  return p;
}

/* Room for the text of everything that is left of the message. */
static inline bool room_for_text(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  struct mr_column *c = n->col;
  int64_t need = d->in.end - p + 16;
  if (!mr_json_room(n))
    return false;
  if (MR_LIKELY(c->bytes_cap - c->bytes_len >= need))
    return true;
  return mr_column_reserve_bytes(c, c->bytes ? need : need + n->bytes_hint);
}

static inline const uint8_t *text_done(struct mr_column *c, const uint8_t *p, int64_t len)
{
  c->bytes_len += len;
  mr_json_offsets(c)[c->length + 1] = (int32_t)c->bytes_len;
  mr_json_push(c);
  return p;
}

static inline const uint8_t *text(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  struct mr_column *c = n->col;
  int64_t len;
  if (MR_UNLIKELY(*p != '"'))
    return mr_json_bad(d, p, n, MR_CODE_TYPE, "not text in quotes");
  if (MR_UNLIKELY(!room_for_text(d, p, n)))
    return mr_json_no_memory(d, p);
  if (!(p = mr_json_string(&d->in, p + 1, c->bytes + c->bytes_len, &len)))
    return NULL;
  return text_done(c, p, len);
}

/* A json column takes the value's own text. */
static const uint8_t *raw(struct mr_json *d, const uint8_t *p, struct mr_json_node *n, int depth)
{
  const uint8_t *from = p;
  struct mr_column *c = n->col;
  if (!(p = mr_json_skip(&d->in, p, depth)))
    return NULL;
  if (!room_for_text(d, from, n))
    return mr_json_no_memory(d, from);
  memcpy(c->bytes + c->bytes_len, from, (size_t)(p - from));
  return text_done(c, p, p - from);
}

static const uint8_t *boolean(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  struct mr_column *c = n->col;
  bool v = *p == 't';
  if (*p != 't' && *p != 'f')
    return mr_json_bad(d, p, n, MR_CODE_TYPE, "not true or false");
  if (!(p = mr_json_literal(&d->in, p, v ? "true" : "false")))
    return NULL;
  if (!mr_json_room(n))
    return mr_json_no_memory(d, p);
  mr_bit_set(c->data, c->length, v);
  mr_json_push(c);
  return p;
}

static const uint8_t *null_value(struct mr_json *d, const uint8_t *p, struct mr_json_node *n)
{
  if (!(p = mr_json_literal(&d->in, p, "null")))
    return NULL;
  return mr_json_put_null(n) ? p : mr_json_no_memory(d, p);
}

/* Fields that the object did not have. */
static bool fill_missing(struct mr_json *d, struct mr_json_node *n, int64_t row)
{
  for (int64_t i = 0; i < n->n_kid; i++) {
    if (n->kid[i].col->length != row)
      continue;
    if (n == &d->root && !mr_json_set_absent(d, i, row))
      return false;
    if (!mr_json_put_null(&n->kid[i]))
      return false;
  }
  return true;
}

/* The value of key f; a key that was there already is taken back: the last one wins. */
static inline const uint8_t *member(struct mr_json *d, const uint8_t *p, struct mr_json_field *f,
                                    int64_t row, int depth, int64_t *seen)
{
  struct mr_json_node *n = f->node;
  if (!n)
    return mr_json_skip(&d->in, p, depth);
  if (MR_UNLIKELY(n->col->length != row))
    mr_json_rollback(n, row);
  else
    ++*seen;
  return mr_json_value(d, p, n, depth);
}

/* An object as one element of a struct node (or one row); p at its brace. */
static const uint8_t *object(struct mr_json *d, const uint8_t *p, struct mr_json_node *n, int depth)
{
  struct mr_json_field *f = &n->keys->first, *last;
  int64_t row = n->col->length, seen = 0;
  if (*p != '{')
    return mr_json_bad(d, p, n, MR_CODE_TYPE, "not an object");
  if (depth >= MR_JSON_DEPTH)
    return mr_json_fail(&d->in, p, MR_CODE_LIMIT, "nested deeper than 512 brackets");
  p = mr_json_ws(p + 1);
  while (*p != '}') {
    last = f;
    f = last->next;
    if (MR_LIKELY(key_is(p, d->in.end, f)))
      p += f->len;
    else if (!(p = key_missed(d, p, n, last, &f)))
      return NULL;
    if (!(p = member(d, mr_json_ws(p), f, row, depth + 1, &seen)) ||
        !(p = mr_json_next(&d->in, p, '}')))
      return NULL;
  }
  if (seen < n->n_kid && !fill_missing(d, n, row))
    return mr_json_no_memory(d, p);
  if (!mr_json_room(n))
    return mr_json_no_memory(d, p);
  mr_json_push(n->col);
  return p + 1;
}

/* Ends a list or map element. */
const uint8_t *mr_json_end_nested(struct mr_json *d, const uint8_t *p, struct mr_json_node *n,
                                  int64_t end)
{
  if (end > INT32_MAX || !mr_json_room(n))
    return mr_json_no_memory(d, p);
  mr_json_offsets(n->col)[n->col->length + 1] = (int32_t)end;
  mr_json_push(n->col);
  return p + 1;
}

static const uint8_t *list(struct mr_json *d, const uint8_t *p, struct mr_json_node *n, int depth)
{
  if (*p != '[')
    return mr_json_bad(d, p, n, MR_CODE_TYPE, "not an array");
  if (depth >= MR_JSON_DEPTH)
    return mr_json_fail(&d->in, p, MR_CODE_LIMIT, "nested deeper than 512 brackets");
  p = mr_json_ws(p + 1);
  while (*p != ']')
    if (!(p = mr_json_value(d, p, &n->kid[0], depth + 1)) || !(p = mr_json_next(&d->in, p, ']')))
      return NULL;
  return mr_json_end_nested(d, p, n, n->kid[0].col->length);
}

const uint8_t *mr_json_value(struct mr_json *d, const uint8_t *p, struct mr_json_node *n, int depth)
{
  if (MR_UNLIKELY(*p == 'n'))
    return null_value(d, p, n);
  switch (n->t.kind) {
  case MR_K_INT8:
  case MR_K_INT16:
  case MR_K_INT32:
  case MR_K_INT64:
  case MR_K_UINT8:
  case MR_K_UINT16:
  case MR_K_UINT32:
  case MR_K_UINT64: return integer(d, p, n);
  case MR_K_TEXT: return n->t.is_json ? raw(d, p, n, depth) : text(d, p, n);
  case MR_K_BOOL: return boolean(d, p, n);
  case MR_K_STRUCT: return object(d, p, n, depth);
  case MR_K_LIST: return list(d, p, n, depth);
  case MR_K_MAP: return mr_json_map(d, p, n, depth);
  case MR_K_NULL: return mr_json_bad(d, p, n, MR_CODE_TYPE, "not null");
  default: return mr_json_scalar(d, p, n);
  }
}

/* ---------------------------------------------------------------- messages */

static const uint8_t *array_of_rows(struct mr_json *d, const uint8_t *p)
{
  p = mr_json_ws(p + 1);
  while (*p != ']') {
    const uint8_t *from = p;
    if (!(p = object(d, p, &d->root, 1)))
      return NULL;
    if (!mr_extents_add(&d->extents, (size_t)(from - d->start), (size_t)(p - from)))
      return mr_json_no_memory(d, from);
    if (!(p = mr_json_next(&d->in, p, ']')))
      return NULL;
  }
  return p + 1;
}

int64_t mr_json_rows(struct mr_json *d, const uint8_t *p)
{
  int64_t before = d->rows.length;
  if (*p == '{')
    p = object(d, p, &d->root, 0);
  else if (*p == '[')
    p = array_of_rows(d, p);
  else
    p = mr_json_fail(&d->in, p, MR_CODE_SHAPE, "the message is not an object or array of objects");
  if (p && p != d->in.end)
    p = mr_json_fail(&d->in, p, MR_CODE_JSON, "text behind the end of the value");
  return p ? d->rows.length - before : -1;
}

int64_t mr_json_message(struct mr_json *d, const void *data, size_t len)
{
  int64_t before = d->rows.length, rows = -1;
  d->start = data;
  d->widen = false;
  d->extents.n = 0;
  const uint8_t *p = mr_json_begin(&d->in, data, len);
  if (p)
    rows = mr_json_rows(d, p);
  if (MR_UNLIKELY(rows < 0))
    mr_json_rollback_rows(d, before);
  return rows;
}
