/* SPDX-License-Identifier: Apache-2.0 */
#include "type.h"
#include <ctype.h>

struct scan {
  const char *p;
  int depth;
};

static void blanks(struct scan *s)
{
  while (*s->p == ' ' || *s->p == '\n')
    s->p++;
}

static bool sign(struct scan *s, char c)
{
  blanks(s);
  if (*s->p != c)
    return false;
  s->p++;
  return true;
}

/* A word, or a name in backquotes; malloc'd, NULL when there is none. */
static char *word(struct scan *s)
{
  struct sql_buf b = {0};
  blanks(s);
  if (*s->p == '`' || *s->p == '"') {
    char quote = *s->p++;
    while (*s->p && *s->p != quote) {
      if (*s->p == '\\' && s->p[1])
        s->p++;
      sql_buf_byte(&b, *s->p++);
    }
    s->p += *s->p == quote;
  } else {
    while (isalnum((unsigned char)*s->p) || *s->p == '_' || *s->p == '.')
      sql_buf_byte(&b, *s->p++);
  }
  if (!b.len)
    return sql_buf_done(&b), NULL;
  sql_buf_text(&b);
  return (char *)b.p;
}

static int64_t number(struct scan *s)
{
  blanks(s);
  bool minus = *s->p == '-';
  int64_t v = 0;
  s->p += minus;
  for (; isdigit((unsigned char)*s->p) && v < INT32_MAX; s->p++)
    v = v * 10 + (*s->p - '0');
  return minus ? -v : v;
}

/* A quoted text; malloc'd. */
static char *literal(struct scan *s)
{
  static const char escape[] = "n\nt\tr\r0\0b\bf\f";
  struct sql_buf b = {0};
  if (!sign(s, '\''))
    return NULL;
  while (*s->p && *s->p != '\'') {
    char c = *s->p++;
    if (c == '\\' && *s->p) {
      c = *s->p++;
      for (size_t i = 0; i + 1 < sizeof escape; i += 2)
        if (escape[i] == c) {
          c = escape[i + 1];
          break;
        }
    }
    sql_buf_byte(&b, c);
  }
  s->p += *s->p == '\'';
  sql_buf_text(&b);
  return (char *)b.p;
}

/* What is left of a parenthesis that nobody reads. */
static void skip_arguments(struct scan *s)
{
  for (int open = 1; *s->p && open;) {
    if (*s->p == '\'') {
      free(literal(s));
      continue;
    }
    open += (*s->p == '(') - (*s->p == ')');
    s->p++;
  }
}

static struct ch_type *add_child(struct ch_type *t)
{
  struct ch_type *grown = realloc(t->child, (size_t)(t->n_child + 1) * sizeof *grown);
  if (!grown)
    return NULL;
  t->child = grown;
  memset(&grown[t->n_child], 0, sizeof *grown);
  return &grown[t->n_child++];
}

static struct ch_label *add_label(struct ch_type *t, char *take_name)
{
  struct ch_label *grown =
      take_name ? realloc(t->label, (size_t)(t->n_label + 1) * sizeof *grown) : NULL;
  if (!grown) {
    free(take_name);
    return NULL;
  }
  t->label = grown;
  grown[t->n_label] = (struct ch_label){.name = take_name};
  return &grown[t->n_label++];
}

static bool parse(struct scan *s, struct ch_type *t);

static bool parse_enum(struct scan *s, struct ch_type *t)
{
  do {
    struct ch_label *l = add_label(t, literal(s));
    if (!l || !sign(s, '='))
      return false;
    l->number = number(s);
  } while (sign(s, ','));
  return sign(s, ')');
}

/* "name Type" or "Type". */
static bool parse_element(struct scan *s, struct ch_type *t)
{
  const char *begin = s->p;
  char *name = word(s);
  blanks(s);
  bool named = name && *s->p && *s->p != ',' && *s->p != ')' && *s->p != '(';
  if (!named)
    s->p = begin;
  if (named && !add_label(t, name))
    return false;
  if (!named)
    free(name);
  struct ch_type *child = add_child(t);
  return child && parse(s, child);
}

static bool parse_children(struct scan *s, struct ch_type *t)
{
  if (sign(s, ')'))
    return true;
  do
    if (!parse_element(s, t))
      return false;
  while (sign(s, ','));
  return sign(s, ')');
}

/* Nullable(T), LowCardinality(T): T with a mark. SimpleAggregateFunction(f, T): T. */
static bool parse_wrapped(struct scan *s, struct ch_type *t, bool *mark)
{
  bool ok = parse(s, t) && sign(s, ')');
  *mark = true;
  return ok;
}

static void parse_decimal(struct scan *s, struct ch_type *t, int precision)
{
  t->precision = precision ? precision : (int)number(s);
  if (precision || sign(s, ','))
    t->scale = (int)number(s);
  t->width = t->precision <= 9 ? 4 : t->precision <= 18 ? 8 : t->precision <= 38 ? 16 : 32;
  skip_arguments(s);
}

static const struct {
  const char *name;
  enum ch_kind kind;
  int width;
} plain[] = {
    {"Int8", CH_INT, 1},          {"Int16", CH_INT, 2},     {"Int32", CH_INT, 4},
    {"Int64", CH_INT, 8},         {"Int128", CH_INT, 16},   {"Int256", CH_INT, 32},
    {"UInt8", CH_UINT, 1},        {"UInt16", CH_UINT, 2},   {"UInt32", CH_UINT, 4},
    {"UInt64", CH_UINT, 8},       {"UInt128", CH_UINT, 16}, {"UInt256", CH_UINT, 32},
    {"Float32", CH_FLOAT, 4},     {"Float64", CH_FLOAT, 8}, {"Bool", CH_BOOL, 1},
    {"String", CH_STRING, 0},     {"UUID", CH_UUID, 16},    {"Date", CH_DATE, 2},
    {"Date32", CH_DATE32, 4},     {"IPv4", CH_IPV4, 4},     {"IPv6", CH_IPV6, 16},
    {"DateTime", CH_DATETIME, 4}, {"JSON", CH_JSON, 0},     {"Array", CH_ARRAY, 0},
    {"Map", CH_MAP, 0},           {"Tuple", CH_TUPLE, 0},   {"DateTime64", CH_DATETIME64, 8},
    {"Time64", CH_TIME64, 8},     {"Enum8", CH_ENUM, 1},    {"Enum16", CH_ENUM, 2},
    {"FixedString", CH_FIXED, 0},
};

static void name_of(struct ch_type *t, const char *name)
{
  for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
    if (!strcmp(plain[i].name, name)) {
      t->kind = plain[i].kind;
      t->width = plain[i].width;
    }
}

static bool parse_arguments(struct scan *s, struct ch_type *t, const char *name)
{
  bool ignored;
  if (!strcmp(name, "Nullable"))
    return parse_wrapped(s, t, &t->nullable);
  if (!strcmp(name, "LowCardinality"))
    return parse_wrapped(s, t, &t->low_cardinality);
  if (!strcmp(name, "SimpleAggregateFunction")) {
    free(word(s));
    return sign(s, ',') && parse_wrapped(s, t, &ignored);
  }
  name_of(t, name);
  if (!strncmp(name, "Decimal", 7)) {
    static const char *const bits[] = {"32", "64", "128", "256"};
    static const int digits[] = {9, 18, 38, 76};
    int precision = 0;
    for (int i = 0; i < 4; i++)
      if (!strcmp(name + 7, bits[i]))
        precision = digits[i];
    t->kind = CH_DECIMAL;
    parse_decimal(s, t, precision);
    return true;
  }
  switch (t->kind) {
  case CH_ENUM: return parse_enum(s, t);
  case CH_ARRAY:
  case CH_MAP:
  case CH_TUPLE: return parse_children(s, t);
  case CH_FIXED: t->width = (int)number(s); break;
  case CH_DATETIME64:
  case CH_TIME64: t->scale = (int)number(s); break;
  default: break;
  }
  skip_arguments(s);
  return true;
}

static bool parse(struct scan *s, struct ch_type *t)
{
  char *name = word(s);
  if (!name || s->depth > CH_DEPTH_MAX)
    return free(name), false;
  bool ok = true;
  s->depth++;
  if (sign(s, '('))
    ok = parse_arguments(s, t, name);
  else
    name_of(t, name);
  s->depth--;
  free(name);
  return ok;
}

bool ch_type_parse(const char *text, struct ch_type *ret)
{
  struct scan s = {.p = text};
  memset(ret, 0, sizeof *ret);
  return parse(&s, ret);
}

void ch_type_done(struct ch_type *t)
{
  for (int i = 0; i < t->n_child; i++)
    ch_type_done(&t->child[i]);
  for (int i = 0; i < t->n_label; i++)
    free(t->label[i].name);
  free(t->child);
  free(t->label);
  memset(t, 0, sizeof *t);
}

bool ch_type_unknown(const struct ch_type *t)
{
  bool unknown = t->kind == CH_NONE || (t->kind == CH_ARRAY && t->n_child != 1) ||
                 (t->kind == CH_MAP && t->n_child != 2);
  for (int i = 0; i < t->n_child && !unknown; i++)
    unknown = ch_type_unknown(&t->child[i]) || t->child[i].kind == CH_JSON;
  return unknown;
}

bool ch_type_has_low_cardinality(const struct ch_type *t)
{
  bool has = t->low_cardinality;
  for (int i = 0; i < t->n_child && !has; i++)
    has = ch_type_has_low_cardinality(&t->child[i]);
  return has;
}

void ch_type_wire(const char *text, const struct ch_type *t, struct sql_buf *out)
{
  static const char mark[] = "LowCardinality(";
  bool drop[256] = {false}; /* parentheses that close a LowCardinality */
  int open = 0;
  char quote = 0;
  if (t->kind == CH_JSON) {
    sql_buf_str(out, t->nullable ? "Nullable(String)" : "String");
    return;
  }
  for (const char *p = text; *p; p++) {
    if (quote) {
      sql_buf_byte(out, *p);
      if (*p == '\\' && p[1])
        sql_buf_byte(out, *++p);
      else if (*p == quote)
        quote = 0;
      continue;
    }
    if (!strncmp(p, mark, sizeof mark - 1) && open < 255) {
      p += sizeof mark - 2;
      drop[++open] = true;
      continue;
    }
    if (*p == '(' && open < 255)
      drop[++open] = false;
    bool dropped = *p == ')' && open > 0 && drop[open];
    open -= *p == ')' && open > 0;
    if (!dropped)
      sql_buf_byte(out, *p);
    if (*p == '\'' || *p == '`')
      quote = *p;
  }
}

/* ---------------------------------------------------------------- between the pipeline's types and
 * these */

static const char *scalar_ddl(const struct ArrowSchema *s, bool modern)
{
  switch (mr_kind_of(s)) {
  case MR_K_BOOL: return modern ? "Bool" : "UInt8";
  case MR_K_INT8: return "Int8";
  case MR_K_INT16: return "Int16";
  case MR_K_INT32: return "Int32";
  case MR_K_INT64: return "Int64";
  case MR_K_UINT8: return "UInt8";
  case MR_K_UINT16: return "UInt16";
  case MR_K_UINT32: return "UInt32";
  case MR_K_UINT64: return "UInt64";
  case MR_K_FLOAT32: return "Float32";
  case MR_K_FLOAT64: return "Float64";
  case MR_K_DATE: return modern ? "Date32" : "Date";
  case MR_K_TIMESTAMP: return modern ? "DateTime64(6, 'UTC')" : "String"; /* no parts of seconds */
  case MR_K_FIXED: return "UUID";
  case MR_K_TIME:
  case MR_K_TEXT:
  case MR_K_BINARY:
  case MR_K_NULL: return "String";
  default: return NULL;
  }
}

static bool tuple_ddl(const struct ArrowSchema *s, bool modern, struct sql_buf *out)
{
  sql_buf_str(out, "Tuple(");
  for (int64_t i = 0; i < s->n_children; i++) {
    const struct ArrowSchema *c = s->children[i];
    sql_buf_fmt(out, "%s`", i ? ", " : "");
    for (const char *p = c->name; *p; p++) {
      if (*p == '`' || *p == '\\')
        sql_buf_byte(out, '\\');
      sql_buf_byte(out, *p);
    }
    sql_buf_str(out, "` ");
    if (!ch_type_ddl(c, c->flags & ARROW_FLAG_NULLABLE, modern, out))
      return false;
  }
  sql_buf_byte(out, ')');
  return s->n_children > 0;
}

static bool nested_ddl(const struct ArrowSchema *s, bool modern, struct sql_buf *out)
{
  const struct ArrowSchema *c = s->n_children ? s->children[0] : NULL;
  switch (mr_kind_of(s)) {
  case MR_K_LIST:
    sql_buf_str(out, "Array(");
    if (!c || !ch_type_ddl(c, c->flags & ARROW_FLAG_NULLABLE, modern, out))
      return false;
    break;
  case MR_K_MAP:
    if (!c || c->n_children != 2)
      return false;
    sql_buf_str(out, "Map(");
    if (!ch_type_ddl(c->children[0], false, modern, out))
      return false;
    sql_buf_str(out, ", ");
    if (!ch_type_ddl(c->children[1], c->children[1]->flags & ARROW_FLAG_NULLABLE, modern, out))
      return false;
    break;
  default: return tuple_ddl(s, modern, out);
  }
  sql_buf_byte(out, ')');
  return true;
}

bool ch_type_ddl(const struct ArrowSchema *s, bool nullable, bool modern, struct sql_buf *out)
{
  int precision, scale;
  enum mr_kind kind = mr_kind_of(s);
  if (kind == MR_K_LIST || (modern && (kind == MR_K_MAP || kind == MR_K_STRUCT)))
    return nested_ddl(s, modern, out);
  if (nullable)
    sql_buf_str(out, "Nullable(");
  mr_decimal_of(s, &precision, &scale);
  const char *name = kind == MR_K_MAP || kind == MR_K_STRUCT ? "String" : scalar_ddl(s, modern);
  if (kind == MR_K_DECIMAL && scale >= 0)
    sql_buf_fmt(out, "Decimal(%d, %d)", precision, scale);
  else if (kind == MR_K_DECIMAL)
    sql_buf_fmt(out, "Decimal(%d, 0)", precision - scale > 76 ? 76 : precision - scale);
  else if (name)
    sql_buf_str(out, name);
  if (nullable)
    sql_buf_byte(out, ')');
  return name || kind == MR_K_DECIMAL;
}

static void nested_name(const struct ch_type *t, struct sql_buf *out)
{
  sql_buf_str(out, t->kind == CH_ARRAY ? "list<" : t->kind == CH_MAP ? "map<" : "struct<");
  for (int i = 0; i < t->n_child; i++) {
    sql_buf_str(out, i ? ", " : "");
    if (t->kind == CH_TUPLE && i < t->n_label)
      sql_buf_fmt(out, "%s: ", t->label[i].name);
    else if (t->kind == CH_TUPLE)
      sql_buf_fmt(out, "f%d: ", i + 1);
    ch_type_pipeline(&t->child[i], out);
  }
  sql_buf_byte(out, '>');
}

void ch_type_pipeline(const struct ch_type *t, struct sql_buf *out)
{
  static const char *const names[] = {[CH_BOOL] = "bool",
                                      [CH_UUID] = "uuid",
                                      [CH_DATE] = "date",
                                      [CH_DATE32] = "date",
                                      [CH_DATETIME] = "timestamptz",
                                      [CH_DATETIME64] = "timestamptz",
                                      [CH_TIME64] = "time",
                                      [CH_JSON] = "json",
                                      [CH_TUPLE] = NULL};
  bool wide = t->width > 8;
  switch (t->kind) {
  case CH_INT:
  case CH_UINT:
    if (wide)
      sql_buf_str(out, "decimal(38,0)");
    else
      sql_buf_fmt(out, "%sint%d", t->kind == CH_UINT ? "u" : "", 8 * t->width);
    break;
  case CH_FLOAT: sql_buf_fmt(out, "float%d", 8 * t->width); break;
  case CH_DECIMAL:
    sql_buf_fmt(out, "decimal(%d,%d)", t->precision > 38 ? 38 : t->precision, t->scale);
    break;
  case CH_ARRAY:
  case CH_MAP:
  case CH_TUPLE: nested_name(t, out); break;
  default: sql_buf_str(out, names[t->kind] ? names[t->kind] : "utf8");
  }
}

bool ch_type_widens(const struct ch_type *from, const struct ch_type *to)
{
  if (from->nullable && !to->nullable)
    return false;
  if (from->kind == CH_UINT && to->kind == CH_INT)
    return to->width > from->width;
  if (from->kind == CH_DECIMAL && to->kind == CH_DECIMAL)
    return to->scale == from->scale && to->precision > from->precision;
  if ((from->kind == CH_INT || from->kind == CH_UINT || from->kind == CH_FLOAT) &&
      from->kind == to->kind)
    return to->width > from->width;
  if ((from->kind == CH_DATE && to->kind == CH_DATE32) ||
      (from->kind == CH_FIXED && to->kind == CH_STRING))
    return true;
  return from->kind == to->kind && !from->nullable && to->nullable && from->n_child == 0 &&
         from->width == to->width && from->scale == to->scale && from->precision == to->precision;
}
