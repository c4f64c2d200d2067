/* SPDX-License-Identifier: Apache-2.0 */
#include "data/types.h"
#include <ctype.h>
#include <stdio.h>
#include <strings.h>

#define MAX_DEPTH 16

struct parser {
  const char *at;
  struct mr_error *err;
  int depth;
};

static const struct {
  const char *name, *format, *extension;
} simple[] = {
    {"bool", "b", NULL},
    {"boolean", "b", NULL},
    {"int8", "c", NULL},
    {"int16", "s", NULL},
    {"int32", "i", NULL},
    {"int64", "l", NULL},
    {"int", "l", NULL},
    {"integer", "l", NULL},
    {"bigint", "l", NULL},
    {"smallint", "s", NULL},
    {"uint8", "C", NULL},
    {"uint16", "S", NULL},
    {"uint32", "I", NULL},
    {"uint64", "L", NULL},
    {"float32", "f", NULL},
    {"real", "f", NULL},
    {"float64", "g", NULL},
    {"float", "g", NULL},
    {"double", "g", NULL},
    {"date", "tdD", NULL},
    {"date32", "tdD", NULL},
    {"time", "ttu", NULL},
    {"time64", "ttu", NULL},
    {"utf8", "u", NULL},
    {"text", "u", NULL},
    {"string", "u", NULL},
    {"varchar", "u", NULL},
    {"str", "u", NULL},
    {"binary", "z", NULL},
    {"bytes", "z", NULL},
    {"uuid", "w:16", "arrow.uuid"},
    {"json", "u", "arrow.json"},
    {"timestamptz", "tsu:UTC", NULL},
    {"datetime", "tsu:", NULL},
};

static void skip(struct parser *p)
{
  while (isspace((unsigned char)*p->at))
    p->at++;
}

static bool take(struct parser *p, char c)
{
  skip(p);
  if (*p->at != c)
    return false;
  p->at++;
  return true;
}

static int expect(struct parser *p, char c)
{
  if (take(p, c))
    return MR_OK;
  return mr_fail(p->err, MR_BADCONF, "expected `%c` at `%.20s`", c, *p->at ? p->at : "the end");
}

static size_t word(struct parser *p, char *buf, size_t size)
{
  size_t n = 0;
  skip(p);
  while (isalnum((unsigned char)*p->at) || *p->at == '_') {
    if (n + 1 < size)
      buf[n++] = *p->at;
    p->at++;
  }
  buf[n] = 0;
  return n;
}

static int number(struct parser *p, int max, int *ret)
{
  int v = 0, digits = 0;
  skip(p);
  for (; isdigit((unsigned char)*p->at) && digits < 4; digits++)
    v = v * 10 + (*p->at++ - '0');
  if (!digits || v > max)
    return mr_fail(p->err, MR_BADCONF, "expected a whole number up to %d", max);
  *ret = v;
  return MR_OK;
}

static int parse_type(struct parser *p, const char *name, struct ArrowSchema *ret);

static int no_memory(struct parser *p)
{
  return mr_fail(p->err, MR_FATAL, "out of memory");
}

static int parse_decimal(struct parser *p, const char *name, struct ArrowSchema *ret)
{
  int precision = 38, scale = 0, st;
  char format[32];
  if (take(p, '(')) {
    if ((st = number(p, 38, &precision)) < 0)
      return st;
    if (take(p, ',') && (st = number(p, 38, &scale)) < 0)
      return st;
    if ((st = expect(p, ')')) < 0)
      return st;
  }
  if (precision < 1 || scale > precision)
    return mr_fail(p->err, MR_BADCONF,
                   "decimal(%d,%d): precision is 1 to 38 and scale 0 to precision", precision,
                   scale);
  snprintf(format, sizeof format, "d:%d,%d", precision, scale);
  return mr_schema_init(ret, name, format, true) ? MR_OK : no_memory(p);
}

static int parse_timestamp(struct parser *p, const char *name, struct ArrowSchema *ret)
{
  char format[64] = "tsu:";
  if (take(p, '(')) {
    size_t n = strcspn(p->at, ")");
    if (!n || n > 40 || p->at[n] != ')')
      return mr_fail(p->err, MR_BADCONF, "timestamp(ZONE): no zone found");
    memcpy(format + 4, p->at, n);
    format[4 + n] = 0;
    p->at += n + 1;
  }
  return mr_schema_init(ret, name, format, true) ? MR_OK : no_memory(p);
}

static int add_child(struct parser *p, struct ArrowSchema *parent, struct ArrowSchema *child)
{
  if (mr_schema_add(parent, child))
    return MR_OK;
  mr_schema_release(child);
  return no_memory(p);
}

static int parse_child(struct parser *p, struct ArrowSchema *parent, const char *name,
                       bool nullable)
{
  struct ArrowSchema c = {0};
  int st = parse_type(p, name, &c);
  if (st < 0)
    return st;
  if (!nullable)
    c.flags &= ~(int64_t)ARROW_FLAG_NULLABLE;
  return add_child(p, parent, &c);
}

static int parse_list(struct parser *p, const char *name, struct ArrowSchema *ret)
{
  int st = expect(p, '<');
  if (st < 0)
    return st;
  if (!mr_schema_init(ret, name, "+l", true))
    return no_memory(p);
  if ((st = parse_child(p, ret, "item", true)) < 0)
    return st;
  return expect(p, '>');
}

static int parse_map(struct parser *p, const char *name, struct ArrowSchema *ret)
{
  struct ArrowSchema entries = {0};
  int st = expect(p, '<');
  if (st < 0)
    return st;
  if (!mr_schema_init(ret, name, "+m", true) || !mr_schema_init(&entries, "entries", "+s", false))
    return no_memory(p);
  st = parse_child(p, &entries, "key", false);
  if (st >= 0)
    st = expect(p, ',');
  if (st >= 0)
    st = parse_child(p, &entries, "value", true);
  if (st >= 0)
    st = expect(p, '>');
  if (st >= 0)
    return add_child(p, ret, &entries);
  mr_schema_release(&entries);
  return st;
}

static int parse_struct(struct parser *p, const char *name, struct ArrowSchema *ret)
{
  char field[128];
  int st = expect(p, '<');
  if (st < 0)
    return st;
  if (!mr_schema_init(ret, name, "+s", true))
    return no_memory(p);
  do {
    if (!word(p, field, sizeof field))
      return mr_fail(p->err, MR_BADCONF, "expected a field name at `%.20s`", p->at);
    if ((st = expect(p, ':')) < 0 || (st = parse_child(p, ret, field, true)) < 0)
      return st;
  } while (take(p, ','));
  return expect(p, '>');
}

static int parse_simple(struct parser *p, const char *w, const char *name, struct ArrowSchema *ret)
{
  for (size_t i = 0; i < MR_COUNT(simple); i++) {
    if (strcasecmp(w, simple[i].name))
      continue;
    if (!mr_schema_init(ret, name, simple[i].format, true))
      return no_memory(p);
    if (simple[i].extension && !mr_schema_set_meta(ret, MR_META_EXTENSION, simple[i].extension))
      return no_memory(p);
    return MR_OK;
  }
  return mr_fail(
      p->err, MR_BADCONF,
      "no type `%.40s`; types are bool, int8…int64, uint8…uint64, float32, float64, decimal(p,s), "
      "date, "
      "time, timestamp, timestamptz, utf8, binary, uuid, json, list<T>, map<K,V>, struct<a: T>",
      *w ? w : p->at);
}

static int parse_type(struct parser *p, const char *name, struct ArrowSchema *ret)
{
  char w[64];
  int st;
  memset(ret, 0, sizeof *ret);
  if (++p->depth > MAX_DEPTH)
    return mr_fail(p->err, MR_BADCONF, "types nest at most %d deep", MAX_DEPTH);
  word(p, w, sizeof w);
  if (!strcasecmp(w, "decimal") || !strcasecmp(w, "numeric"))
    st = parse_decimal(p, name, ret);
  else if (!strcasecmp(w, "timestamp"))
    st = parse_timestamp(p, name, ret);
  else if (!strcasecmp(w, "list"))
    st = parse_list(p, name, ret);
  else if (!strcasecmp(w, "map"))
    st = parse_map(p, name, ret);
  else if (!strcasecmp(w, "struct"))
    st = parse_struct(p, name, ret);
  else
    st = parse_simple(p, w, name, ret);
  p->depth--;
  if (st < 0)
    mr_schema_release(ret);
  return st;
}

int mr_type_parse(const char *text, const char *name, struct ArrowSchema *ret, struct mr_error *err)
{
  struct parser p = {text, err, 0};
  struct ArrowSchema s;
  int st = parse_type(&p, name, &s);
  if (st < 0)
    return st;
  skip(&p);
  if (*p.at) {
    mr_schema_release(&s);
    return mr_fail(err, MR_BADCONF, "unexpected `%.20s` after the type", p.at);
  }
  mr_schema_move(&s, ret);
  return MR_OK;
}

/* Appends to buf as snprintf does, never past size. */
static void put(char *buf, size_t size, const char *text)
{
  size_t n = strlen(buf);
  if (n + 1 < size)
    snprintf(buf + n, size - n, "%s", text);
}

static void put_type(const struct ArrowSchema *s, char *buf, size_t size)
{
  char t[64];
  int precision, scale;
  switch (mr_kind_of(s)) {
  case MR_K_DECIMAL:
    mr_decimal_of(s, &precision, &scale);
    snprintf(t, sizeof t, "decimal(%d,%d)", precision, scale);
    put(buf, size, t);
    return;
  case MR_K_TIMESTAMP:
    if (!*mr_zone_of(s))
      snprintf(t, sizeof t, "timestamp");
    else if (!strcmp(mr_zone_of(s), "UTC"))
      snprintf(t, sizeof t, "timestamptz");
    else
      snprintf(t, sizeof t, "timestamp(%.40s)", mr_zone_of(s));
    put(buf, size, t);
    return;
  case MR_K_LIST:
  case MR_K_STRUCT:
  case MR_K_MAP: {
    bool map = mr_kind_of(s) == MR_K_MAP, list = mr_kind_of(s) == MR_K_LIST;
    const struct ArrowSchema *kids = map ? s->children[0] : s;
    put(buf, size, map ? "map<" : list ? "list<" : "struct<");
    for (int64_t i = 0; i < kids->n_children; i++) {
      if (i)
        put(buf, size, ", ");
      if (!map && !list)
        put(buf, size, kids->children[i]->name), put(buf, size, ": ");
      put_type(kids->children[i], buf, size);
    }
    put(buf, size, ">");
    return;
  }
  case MR_K_FIXED: put(buf, size, "uuid"); return;
  case MR_K_NULL: put(buf, size, "null"); return;
  case MR_K_NONE: put(buf, size, s->format); return;
  default: break;
  }
  if (mr_schema_is_json(s)) {
    put(buf, size, "json");
    return;
  }
  for (size_t i = 0; i < MR_COUNT(simple); i++)
    if (!strcmp(simple[i].format, s->format)) {
      put(buf, size, simple[i].name);
      return;
    }
}

char *mr_type_name(const struct ArrowSchema *s, char *buf, size_t size)
{
  buf[0] = 0;
  put_type(s, buf, size);
  return buf;
}

/* Formats may differ in text but mean the same: "d:18,4" and "d:18,4,128". */
static bool format_equal(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
  if (mr_kind_of(a) != MR_K_DECIMAL)
    return !strcmp(a->format, b->format);
  int pa, sa, pb, sb;
  mr_decimal_of(a, &pa, &sa);
  mr_decimal_of(b, &pb, &sb);
  return mr_kind_of(b) == MR_K_DECIMAL && pa == pb && sa == sb;
}

bool mr_type_equal(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
  if (!format_equal(a, b) || a->n_children != b->n_children ||
      mr_schema_is_json(a) != mr_schema_is_json(b))
    return false;
  bool named = mr_kind_of(a) == MR_K_STRUCT;
  for (int64_t i = 0; i < a->n_children; i++) {
    if (named && strcmp(a->children[i]->name, b->children[i]->name))
      return false;
    if (!mr_type_equal(a->children[i], b->children[i]))
      return false;
  }
  return true;
}

bool mr_schema_equal(const struct ArrowSchema *a, const struct ArrowSchema *b, int64_t *ret_column)
{
  int64_t n = a->n_children < b->n_children ? a->n_children : b->n_children, i = 0;
  while (i < n && !strcmp(a->children[i]->name, b->children[i]->name) &&
         mr_type_equal(a->children[i], b->children[i]))
    i++;
  if (ret_column)
    *ret_column = i;
  return i == n && a->n_children == b->n_children;
}
