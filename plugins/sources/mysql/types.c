/* SPDX-License-Identifier: Apache-2.0 */
/* Types of a result's columns, and their values. */
#include "mysql-source.h"

#define BINARY_CHARSET 63 /* charsetnr of columns that hold bytes */
#define DECIMAL_DIGITS 38 /* that Arrow's decimal128 has */

/* The type's own name where the protocol has one that says more: "uuid", "json", "inet6". */
static bool is_called(const MYSQL_FIELD *f, const char *name)
{
  MARIADB_CONST_STRING s = {0};
  for (int i = 0; i < 2; i++) {
    enum mariadb_field_attr_t attr =
        i ? MARIADB_FIELD_ATTR_FORMAT_NAME : MARIADB_FIELD_ATTR_DATA_TYPE_NAME;
    if (!mariadb_field_attr(&s, f, attr) && s.length == strlen(name) &&
        !memcmp(s.str, name, s.length))
      return true;
  }
  return false;
}

static const char *integer_format(const MYSQL_FIELD *f)
{
  bool is_unsigned = f->flags & UNSIGNED_FLAG;
  switch (f->type) {
  case MYSQL_TYPE_TINY: return is_unsigned ? "C" : "c";
  case MYSQL_TYPE_SHORT: return is_unsigned ? "S" : "s";
  case MYSQL_TYPE_INT24:
  case MYSQL_TYPE_LONG: return is_unsigned ? "I" : "i";
  case MYSQL_TYPE_LONGLONG: return is_unsigned ? "L" : "l";
  case MYSQL_TYPE_YEAR: return "s";
  default: return NULL;
  }
}

/* A decimal with more digits than Arrow's is text: all of them stay. */
static const char *decimal_format(const MYSQL_FIELD *f, char *out, size_t size)
{
  int scale = (int)f->decimals;
  int precision = (int)f->length - (scale > 0) - !(f->flags & UNSIGNED_FLAG);
  snprintf(out, size, "d:%d,%d", precision, scale);
  return precision > DECIMAL_DIGITS ? "u" : out;
}

static const char *format_of(const MYSQL_FIELD *f, char *out, size_t size)
{
  const char *integer = integer_format(f);
  if (integer)
    return integer;
  switch (f->type) {
  case MYSQL_TYPE_FLOAT: return "f";
  case MYSQL_TYPE_DOUBLE: return "g";
  case MYSQL_TYPE_DECIMAL:
  case MYSQL_TYPE_NEWDECIMAL: return decimal_format(f, out, size);
  case MYSQL_TYPE_DATE:
  case MYSQL_TYPE_NEWDATE: return "tdD";
  case MYSQL_TYPE_TIME: return "ttu";
  case MYSQL_TYPE_DATETIME: return "tsu:";
  case MYSQL_TYPE_TIMESTAMP: return "tsu:UTC";
  case MYSQL_TYPE_BIT: return f->length == 1 ? "b" : "L";
  case MYSQL_TYPE_JSON: return "u";
  case MYSQL_TYPE_GEOMETRY: return "z";
  case MYSQL_TYPE_NULL: return "n";
  default: break;
  }
  if (is_called(f, "uuid"))
    return "w:16";
  return f->charsetnr == BINARY_CHARSET && !is_called(f, "inet6") && !is_called(f, "inet4") ? "z"
                                                                                            : "u";
}

bool my_add_column(struct ArrowSchema *columns, const MYSQL_FIELD *f)
{
  char room[24];
  struct ArrowSchema c;
  const char *format = format_of(f, room, sizeof room), *extension = NULL;
  if (!strcmp(format, "w:16"))
    extension = "arrow.uuid";
  else if (f->type == MYSQL_TYPE_JSON || is_called(f, "json"))
    extension = "arrow.json";
  bool ok = mr_schema_init(&c, f->name, format, true) &&
            (!extension || mr_schema_set_meta(&c, MR_META_EXTENSION, extension)) &&
            mr_schema_add(columns, &c);
  if (!ok)
    mr_schema_release(&c);
  return ok;
}

enum my_key my_key_of(const MYSQL_FIELD *f)
{
  if (integer_format(f))
    return KEY_INT;
  switch (f->type) {
  case MYSQL_TYPE_DATE:
  case MYSQL_TYPE_NEWDATE: return KEY_DATE;
  case MYSQL_TYPE_DATETIME: return KEY_DATETIME;
  case MYSQL_TYPE_TIMESTAMP: return KEY_TIMESTAMP;
  case MYSQL_TYPE_VARCHAR:
  case MYSQL_TYPE_VAR_STRING:
  case MYSQL_TYPE_STRING:
  case MYSQL_TYPE_BLOB:
    return f->charsetnr == BINARY_CHARSET && !is_called(f, "uuid") ? KEY_NONE : KEY_TEXT;
  default: return KEY_NONE;
  }
}

/* The bytes of a BIT column, the highest first, as a number's text. */
static int bits(struct mr_column *c, const struct ArrowSchema *s, const uint8_t *p, unsigned long n,
                const char **ret_why)
{
  char text[24];
  uint64_t v = 0;
  for (unsigned long i = 0; i < n && i < 8; i++)
    v = v << 8 | p[i];
  int len = snprintf(text, sizeof text, "%llu", (unsigned long long)v);
  return qry_value(c, s, text, len, ret_why);
}

int my_value(struct mr_column *c, const struct ArrowSchema *s, const MYSQL_FIELD *f, const char *p,
             unsigned long n, const char **ret_why)
{
  if (f->type == MYSQL_TYPE_BIT)
    return bits(c, s, (const uint8_t *)p, n, ret_why);
  if (c->kind == MR_K_BINARY)
    return mr_column_bytes(c, p, (int64_t)n) ? MR_OK : MR_FATAL;
  if (c->kind == MR_K_FIXED && n == 16 && f->charsetnr == BINARY_CHARSET && !is_called(f, "uuid"))
    return mr_column_fixed(c, p) ? MR_OK : MR_FATAL;
  return qry_value(c, s, p, (int64_t)n, ret_why);
}
