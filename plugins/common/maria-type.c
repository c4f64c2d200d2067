/* SPDX-License-Identifier: Apache-2.0 */
#include "common/maria-type.h"

#define KEY_MAX 255 /* characters or bytes of a key column that is created */
#define LONG_MAX_BYTES INT64_C(4294967295)

/* ---------------------------------------------------------------- the catalog */

static const struct {
  const char *name;
  enum maria_kind kind;
  int bits;
} names[] = {{"tinyint", MARIA_INT, 8},         {"smallint", MARIA_INT, 16},
             {"mediumint", MARIA_INT, 24},      {"int", MARIA_INT, 32},
             {"bigint", MARIA_INT, 64},         {"bit", MARIA_BIT, 0},
             {"float", MARIA_FLOAT, 0},         {"double", MARIA_DOUBLE, 0},
             {"decimal", MARIA_DECIMAL, 0},     {"date", MARIA_DATE, 0},
             {"time", MARIA_TIME, 0},           {"datetime", MARIA_DATETIME, 0},
             {"timestamp", MARIA_TIMESTAMP, 0}, {"year", MARIA_YEAR, 0},
             {"char", MARIA_TEXT, 0},           {"varchar", MARIA_TEXT, 0},
             {"tinytext", MARIA_TEXT, 1},       {"text", MARIA_TEXT, 1},
             {"mediumtext", MARIA_TEXT, 1},     {"longtext", MARIA_TEXT, 1},
             {"enum", MARIA_ENUM, 0},           {"set", MARIA_ENUM, 0},
             {"binary", MARIA_BINARY, 1},       {"varbinary", MARIA_BINARY, 0},
             {"tinyblob", MARIA_BINARY, 0},     {"blob", MARIA_BINARY, 0},
             {"mediumblob", MARIA_BINARY, 0},   {"longblob", MARIA_BINARY, 0},
             {"json", MARIA_JSON, 0},           {"uuid", MARIA_UUID, 0}};

void maria_type_read(const struct maria_catalog *row, struct maria_type *ret)
{
  struct maria_type t = {.kind = MARIA_OTHER};
  int given = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcasecmp(names[i].name, row->data_type)) {
      t.kind = names[i].kind;
      given = names[i].bits;
    }
  t.is_unsigned = strstr(row->column_type, "unsigned") != NULL;
  t.precision = row->precision < 0 ? 0 : (int)row->precision;
  t.scale = row->scale < 0 ? 0 : (int)row->scale;
  if (t.kind == MARIA_INT)
    t.bits = given;
  if (t.kind == MARIA_BIT)
    t.bits = t.precision ? t.precision : 1;
  if (t.kind == MARIA_TIME || t.kind == MARIA_DATETIME || t.kind == MARIA_TIMESTAMP)
    t.scale = row->fraction < 0 ? 0 : (int)row->fraction;
  t.in_bytes = t.kind == MARIA_BINARY || (t.kind == MARIA_TEXT && given);
  t.fixed = t.kind == MARIA_BINARY && given;
  if (t.kind == MARIA_TEXT || t.kind == MARIA_BINARY)
    t.max = t.in_bytes ? row->bytes : row->characters;
  if (t.max < 0)
    t.max = 0;
  *ret = t;
}

/* ---------------------------------------------------------------- from the pipeline's types */

struct made {
  enum mr_kind from;
  const char *ddl, *key_ddl; /* key_ddl NULL: the same */
  struct maria_type type;
};
static const struct made made[] = {
    {MR_K_BOOL, "boolean", NULL, {.kind = MARIA_INT, .bits = 8}},
    {MR_K_INT8, "tinyint", NULL, {.kind = MARIA_INT, .bits = 8}},
    {MR_K_INT16, "smallint", NULL, {.kind = MARIA_INT, .bits = 16}},
    {MR_K_INT32, "int", NULL, {.kind = MARIA_INT, .bits = 32}},
    {MR_K_INT64, "bigint", NULL, {.kind = MARIA_INT, .bits = 64}},
    {MR_K_UINT8, "tinyint unsigned", NULL, {.kind = MARIA_INT, .bits = 8, .is_unsigned = true}},
    {MR_K_UINT16, "smallint unsigned", NULL, {.kind = MARIA_INT, .bits = 16, .is_unsigned = true}},
    {MR_K_UINT32, "int unsigned", NULL, {.kind = MARIA_INT, .bits = 32, .is_unsigned = true}},
    {MR_K_UINT64, "bigint unsigned", NULL, {.kind = MARIA_INT, .bits = 64, .is_unsigned = true}},
    {MR_K_FLOAT32, "float", NULL, {.kind = MARIA_FLOAT}},
    {MR_K_FLOAT64, "double", NULL, {.kind = MARIA_DOUBLE}},
    {MR_K_DATE, "date", NULL, {.kind = MARIA_DATE}},
    {MR_K_TIME, "time(6)", NULL, {.kind = MARIA_TIME, .scale = 6}},
    {MR_K_TIMESTAMP, "datetime(6)", NULL, {.kind = MARIA_DATETIME, .scale = 6}},
    {MR_K_TEXT, "longtext", "varchar(255)", {.kind = MARIA_TEXT}},
    {MR_K_NULL, "longtext", "varchar(255)", {.kind = MARIA_TEXT}},
    {MR_K_BINARY, "longblob", "varbinary(255)", {.kind = MARIA_BINARY, .in_bytes = true}},
    {MR_K_FIXED, "char(36) CHARACTER SET ascii", NULL, {.kind = MARIA_TEXT, .max = 36}},
    {MR_K_LIST, "json", NULL, {.kind = MARIA_JSON}},
    {MR_K_STRUCT, "json", NULL, {.kind = MARIA_JSON}},
    {MR_K_MAP, "json", NULL, {.kind = MARIA_JSON}},
    {MR_K_DECIMAL, NULL, NULL, {.kind = MARIA_DECIMAL}},
};
static const struct made json = {MR_K_TEXT, "json", NULL, {.kind = MARIA_JSON}};
static const struct made *lookup(const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  if (k == MR_K_TEXT && mr_schema_is_json(s))
    return &json;
  for (size_t i = 0; i < sizeof made / sizeof *made; i++)
    if (made[i].from == k)
      return &made[i];
  return NULL;
}

static void decimal_of(const struct ArrowSchema *s, struct maria_type *t)
{
  mr_decimal_of(s, &t->precision, &t->scale);
  if (t->scale < 0) {
    t->precision -= t->scale;
    t->scale = 0;
  }
}

bool maria_type_of(const struct ArrowSchema *s, bool key, struct maria_type *ret)
{
  const struct made *m = lookup(s);
  if (!m)
    return false;
  *ret = m->type;
  if (ret->kind == MARIA_DECIMAL)
    decimal_of(s, ret);
  if (m->key_ddl) {
    ret->max = key ? KEY_MAX : LONG_MAX_BYTES;
    ret->in_bytes = !key || ret->kind == MARIA_BINARY;
  }
  return ret->kind != MARIA_DECIMAL || ret->precision <= 65;
}

bool maria_type_ddl(const struct ArrowSchema *s, bool key, struct sql_buf *out)
{
  const struct made *m = lookup(s);
  struct maria_type t;
  if (!m || !maria_type_of(s, key, &t))
    return false;
  if (m->ddl)
    sql_buf_str(out, key && m->key_ddl ? m->key_ddl : m->ddl);
  else
    sql_buf_fmt(out, "decimal(%d,%d)", t.precision, t.scale);
  return true;
}

/* ---------------------------------------------------------------- widening */

static int digits_of(const struct maria_type *t)
{
  static const int digits[] = {3, 5, 8, 10, 19};
  int step = t->bits == 8 ? 0 : t->bits == 16 ? 1 : t->bits == 24 ? 2 : t->bits == 32 ? 3 : 4;
  return digits[step] + (t->is_unsigned && t->bits == 64);
}

static bool widens_int(const struct maria_type *from, const struct maria_type *to)
{
  if (to->kind == MARIA_DECIMAL)
    return to->precision - to->scale >= digits_of(from);
  if (to->kind != MARIA_INT || to->bits <= from->bits)
    return false;
  return from->is_unsigned || !to->is_unsigned;
}

bool maria_type_widens(const struct maria_type *from, const struct maria_type *to)
{
  switch (from->kind) {
  case MARIA_INT: return widens_int(from, to);
  case MARIA_FLOAT: return to->kind == MARIA_DOUBLE;
  case MARIA_DECIMAL:
    return to->kind == MARIA_DECIMAL && to->scale >= from->scale &&
           to->precision - to->scale >= from->precision - from->scale &&
           to->precision > from->precision;
  case MARIA_TIME:
  case MARIA_DATETIME: return to->kind == from->kind && to->scale > from->scale;
  case MARIA_TEXT:
  case MARIA_BINARY:
    return to->kind == from->kind && from->max && !from->fixed && to->max > from->max &&
           (to->in_bytes >= from->in_bytes) &&
           (to->max >= 4 * from->max || to->in_bytes == from->in_bytes);
  default: return false;
  }
}

/* ---------------------------------------------------------------- for discover */

void maria_type_name(const struct maria_type *t, struct sql_buf *out)
{
  static const char *const plain[] = {
      [MARIA_FLOAT] = "float32", [MARIA_DOUBLE] = "float64",     [MARIA_DATE] = "date",
      [MARIA_TIME] = "time",     [MARIA_DATETIME] = "timestamp", [MARIA_TIMESTAMP] = "timestamptz",
      [MARIA_YEAR] = "int16",    [MARIA_BINARY] = "binary",      [MARIA_JSON] = "json",
      [MARIA_UUID] = "uuid"};
  if (t->kind == MARIA_INT)
    sql_buf_fmt(out, "%sint%d", t->is_unsigned ? "u" : "", t->bits == 24 ? 32 : t->bits);
  else if (t->kind == MARIA_BIT)
    sql_buf_str(out, t->bits == 1 ? "bool" : "uint64");
  else if (t->kind == MARIA_DECIMAL && t->precision <= 38)
    sql_buf_fmt(out, "decimal(%d,%d)", t->precision, t->scale);
  else
    sql_buf_str(out, (size_t)t->kind < sizeof plain / sizeof *plain && plain[t->kind]
                         ? plain[t->kind]
                         : "utf8");
}
