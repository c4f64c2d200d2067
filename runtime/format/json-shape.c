/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json-shape.h"

/* ---------------------------------------------------------------- the tree */

void mr_json_shape_free(struct mr_json_shape *s)
{
  if (!s)
    return;
  for (int64_t i = 0; i < s->n_kid; i++)
    mr_json_shape_free(s->kid[i]);
  free(s->kid);
  free(s->name);
  free(s);
}

static struct mr_json_shape *kid_add(struct mr_json_shape *s, const char *name, int64_t len)
{
  if ((s->n_kid & (s->n_kid - 1)) == 0) { /* at powers of two, room for as many again */
    struct mr_json_shape **kid =
        realloc(s->kid, (size_t)(s->n_kid ? 2 * s->n_kid : 1) * sizeof *kid);
    if (!kid)
      return NULL;
    s->kid = kid;
  }
  struct mr_json_shape *k = calloc(1, sizeof *k);
  if (!k || !(k->name = malloc((size_t)len + 1))) {
    free(k);
    return NULL;
  }
  if (len)
    memcpy(k->name, name, (size_t)len);
  k->name[len] = 0;
  return s->kid[s->n_kid++] = k;
}

struct mr_json_shape *mr_json_shape_new(const struct ArrowSchema *declared)
{
  struct mr_json_shape *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->looks = MR_LOOKS_STRUCT;
  for (int64_t i = 0; declared && i < declared->n_children; i++) {
    const char *name = declared->children[i]->name;
    struct mr_json_shape *k = kid_add(s, name, (int64_t)strlen(name));
    if (!k) {
      mr_json_shape_free(s);
      return NULL;
    }
    k->fixed = true;
  }
  return s;
}

struct mr_json_shape *mr_json_shape_find(const struct mr_json_shape *s, const char *name,
                                         int64_t len)
{
  for (int64_t i = 0; i < s->n_kid; i++)
    if ((int64_t)strlen(s->kid[i]->name) == len && !memcmp(s->kid[i]->name, name, (size_t)len))
      return s->kid[i];
  return NULL;
}

static bool has_content(const struct mr_json_shape *s)
{
  if (s->looks != MR_LOOKS_LIST && s->looks != MR_LOOKS_STRUCT)
    return s->looks != MR_LOOKS_NULL;
  for (int64_t i = 0; i < s->n_kid; i++)
    if (has_content(s->kid[i]))
      return true;
  return false;
}

static void becomes_json(struct mr_json_shape *s)
{
  for (int64_t i = 0; i < s->n_kid; i++)
    mr_json_shape_free(s->kid[i]);
  free(s->kid);
  s->kid = NULL;
  s->n_kid = 0;
  s->looks = MR_LOOKS_JSON;
}

/* ---------------------------------------------------------------- widening */

/* One walk over a message that is known to be valid. */
struct walk {
  struct mr_json_in *in;
  uint8_t *key; /* room for the longest key */
  bool new_keys, no_memory, too_many;
};

/* How s looks once a value that looks like `v` has come. */
static enum mr_json_looks wider(const struct mr_json_shape *s, enum mr_json_looks v, bool inexact)
{
  enum mr_json_looks a = s->looks < v ? s->looks : v, b = s->looks < v ? v : s->looks;
  if (a == b && !(a == MR_LOOKS_FLOAT && inexact))
    return a;
  if (a == MR_LOOKS_NULL)
    return b;
  if (a == MR_LOOKS_INT && b == MR_LOOKS_BIG)
    return b;
  if (a == MR_LOOKS_INT && b == MR_LOOKS_FLOAT && !inexact && !s->inexact)
    return b;
  return MR_LOOKS_JSON;
}

static void widen(struct mr_json_shape *s, enum mr_json_looks v, bool inexact)
{
  enum mr_json_looks to = wider(s, v, inexact);
  if (to == MR_LOOKS_JSON && s->looks != MR_LOOKS_JSON)
    becomes_json(s);
  s->looks = to;
  s->inexact |= inexact;
}

static void widen_number(struct mr_json_shape *s, const uint8_t *p, const uint8_t *end)
{
  bool minus = *p == '-', over = false;
  uint64_t v = 0;
  const uint8_t *from = p + minus;
  for (p = from; p < end && *p >= '0' && *p <= '9'; p++)
    over |=
        __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v);
  if (p < end)
    widen(s, MR_LOOKS_FLOAT, false);
  else if (end - from > 38)
    widen(s, MR_LOOKS_JSON, true);
  else if (over || v > (UINT64_C(1) << 63) - !minus)
    widen(s, MR_LOOKS_BIG, true);
  else
    widen(s, MR_LOOKS_INT, v >> 53 != 0);
}

static const uint8_t *walk_value(struct walk *w, struct mr_json_shape *s, const uint8_t *p,
                                 int depth);

static struct mr_json_shape *element_of(struct walk *w, struct mr_json_shape *s)
{
  if (s->n_kid)
    return s->kid[0];
  struct mr_json_shape *k = kid_add(s, "item", 4);
  w->no_memory |= !k;
  return k;
}

static const uint8_t *walk_list(struct walk *w, struct mr_json_shape *s, const uint8_t *p,
                                int depth)
{
  struct mr_json_shape *k = element_of(w, s);
  p = mr_json_ws(p + 1);
  while (p && k && *p != ']')
    if ((p = walk_value(w, k, p, depth + 1)))
      p = mr_json_next(w->in, p, ']');
  return p && k ? p + 1 : NULL;
}

/* The field of a key; NULL without no_memory: not to be looked at. */
static struct mr_json_shape *field_of(struct walk *w, struct mr_json_shape *s, int64_t len,
                                      bool top)
{
  const char *key = (const char *)w->key;
  if ((top && len && key[0] == '_') || memchr(key, 0, (size_t)len))
    return NULL;
  struct mr_json_shape *k = mr_json_shape_find(s, key, len);
  if (!w->new_keys && !(k && has_content(k)))
    return NULL;
  if (k)
    return k;
  if (s->n_kid >= (top ? MR_JSON_COLUMNS : MR_JSON_STRUCT_FIELDS)) {
    w->too_many = true;
    return NULL;
  }
  w->no_memory |= !(k = kid_add(s, key, len));
  return k;
}

static const uint8_t *walk_object(struct walk *w, struct mr_json_shape *s, const uint8_t *p,
                                  int depth)
{
  int64_t len;
  p = mr_json_ws(p + 1);
  while (*p != '}') {
    if (!(p = mr_json_string(w->in, p + 1, w->key, &len)) || !(p = mr_json_colon(w->in, p)))
      return NULL;
    struct mr_json_shape *k = field_of(w, s, len, depth == 0);
    if (w->no_memory)
      return NULL;
    p = k && !k->fixed ? walk_value(w, k, p, depth + 1) : mr_json_skip(w->in, p, 0);
    if (!p || !(p = mr_json_next(w->in, p, '}')))
      return NULL;
  }
  if (depth && w->too_many) {
    w->too_many = false;
    becomes_json(s);
  }
  return p + 1;
}

static const uint8_t *walk_nested(struct walk *w, struct mr_json_shape *s, const uint8_t *p,
                                  int depth)
{
  bool list = *p == '[';
  if (depth >= MR_JSON_SHAPE_DEPTH)
    widen(s, MR_LOOKS_JSON, false);
  else
    widen(s, list ? MR_LOOKS_LIST : MR_LOOKS_STRUCT, false);
  if (s->looks == MR_LOOKS_JSON)
    return mr_json_skip(w->in, p, 0);
  return list ? walk_list(w, s, p, depth) : walk_object(w, s, p, depth);
}

static const uint8_t *walk_value(struct walk *w, struct mr_json_shape *s, const uint8_t *p,
                                 int depth)
{
  if (*p == '[' || *p == '{')
    return walk_nested(w, s, p, depth);
  const uint8_t *end = mr_json_skip(w->in, p, 0);
  if (*p == '"')
    widen(s, MR_LOOKS_TEXT, false);
  else if (*p == 't' || *p == 'f')
    widen(s, MR_LOOKS_BOOL, false);
  else if (*p != 'n')
    widen_number(s, p, end);
  return end;
}

static void walk_rows(struct walk *w, struct mr_json_shape *s, const uint8_t *p)
{
  if (*p == '{')
    walk_object(w, s, p, 0);
  if (*p != '[')
    return;
  p = mr_json_ws(p + 1);
  while (p && *p != ']')
    if ((p = walk_object(w, s, p, 0)))
      p = mr_json_next(w->in, p, ']');
}

/* Whether all of the message is an object or an array of objects. */
static bool is_rows(struct mr_json_in *in, const uint8_t *p)
{
  const uint8_t *q = mr_json_skip(in, p, 0);
  if (!q)
    return false;
  if (q != in->end)
    return mr_json_fail(in, q, MR_CODE_JSON, "text behind the end of the value");
  if (*p != '[')
    return true;
  for (p = mr_json_ws(p + 1); *p != ']'; p = mr_json_next(in, p, ']')) {
    if (*p != '{')
      return mr_json_fail(in, p, MR_CODE_TYPE, "not an object");
    p = mr_json_skip(in, p, 1);
  }
  return true;
}

int mr_json_shape_merge(struct mr_json_shape *s, bool new_keys, struct mr_json_in *in,
                        const void *data, size_t len)
{
  const uint8_t *p = mr_json_begin(in, data, len);
  if (!p || !is_rows(in, p))
    return MR_REJECT;
  MR_AUTOFREE uint8_t *key = malloc(len + 16);
  struct walk w = {.in = in, .key = key, .new_keys = new_keys, .no_memory = !key};
  if (key)
    walk_rows(&w, s, p);
  if (w.no_memory)
    return MR_FATAL;
  if (!w.too_many)
    return MR_OK;
  mr_json_fail(in, p, MR_CODE_LIMIT, "more than 2000 columns");
  return MR_REJECT;
}

/* ---------------------------------------------------------------- columns */

static bool add_field(const struct mr_json_shape *s, const struct ArrowSchema *before,
                      struct ArrowSchema *parent);

static bool add_fields(const struct mr_json_shape *s, const struct ArrowSchema *before,
                       struct ArrowSchema *to)
{
  int64_t n = before ? before->n_children : 0;
  for (int64_t i = 0; i < n; i++) {
    const struct ArrowSchema *b = before->children[i];
    if (!add_field(mr_json_shape_find(s, b->name, (int64_t)strlen(b->name)), b, to))
      return false;
  }
  for (int64_t i = 0; i < s->n_kid; i++)
    if (has_content(s->kid[i]) && (!before || mr_schema_find(before, s->kid[i]->name) < 0) &&
        !add_field(s->kid[i], NULL, to))
      return false;
  return true;
}

static const struct ArrowSchema *only(const struct ArrowSchema *s, const char *format)
{
  return s && !strcmp(s->format, format) ? s : NULL;
}

static bool make_type(const struct mr_json_shape *s, const struct ArrowSchema *before,
                      struct ArrowSchema *ret)
{
  static const char *const format[] = {
      [MR_LOOKS_NULL] = "n",     [MR_LOOKS_BOOL] = "b",    [MR_LOOKS_INT] = "l",
      [MR_LOOKS_BIG] = "d:38,0", [MR_LOOKS_FLOAT] = "g",   [MR_LOOKS_TEXT] = "u",
      [MR_LOOKS_LIST] = "+l",    [MR_LOOKS_STRUCT] = "+s", [MR_LOOKS_JSON] = "u"};
  if (!mr_schema_init(ret, s->name, format[s->looks], true))
    return false;
  if (s->looks == MR_LOOKS_JSON)
    return mr_schema_set_meta(ret, MR_META_EXTENSION, "arrow.json");
  if (s->looks == MR_LOOKS_STRUCT)
    return add_fields(s, only(before, "+s"), ret);
  if (s->looks != MR_LOOKS_LIST)
    return true;
  before = only(before, "+l");
  return add_field(s->kid[0], before ? before->children[0] : NULL, ret);
}

/* Adds the column of s (its type before: `before`, or NULL) to parent. */
static bool add_field(const struct mr_json_shape *s, const struct ArrowSchema *before,
                      struct ArrowSchema *parent)
{
  struct ArrowSchema c = {0};
  if ((s->fixed ? mr_schema_copy(before, &c) : make_type(s, before, &c)) &&
      mr_schema_add(parent, &c))
    return true;
  mr_schema_release(&c);
  return false;
}

bool mr_json_shape_schema(const struct mr_json_shape *s, const struct ArrowSchema *before,
                          struct ArrowSchema *give)
{
  if (mr_schema_struct(give) && add_fields(s, before, give))
    return true;
  mr_schema_release(give);
  return false;
}
