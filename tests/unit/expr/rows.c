/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"
#include <math.h>
#include <stdio.h>
#include <time.h>

static const char *const INT_FORMATS = "csilCSIL";

/* ---- making rows */

static char *replace(const char *text, const char *what, const char *by)
{
  char **parts = g_strsplit(text, what, -1), *joined = g_strjoinv(by, parts);
  g_strfreev(parts);
  return joined;
}

/* A value of a type that only the engine can read: through a cast of a text. */
static void append_cast(struct mr_column *c, const struct ArrowSchema *s, const char *value)
{
  char type[128], *quoted = replace(value, "'", "''"), *text;
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema none, result;
  struct ArrowArray rows = {.length = 1, .n_buffers = 1}, array;
  const void *buffers[1] = {NULL};
  struct mr_expr *e = NULL;
  struct mr_view v;
  rows.buffers = buffers;
  g_assert_true(mr_schema_struct(&none));
  text = g_strdup_printf("CAST('%s' AS %s)", quoted, mr_type_name(s, type, sizeof type));
  if (mr_expr_new(text, &none, &e, &result, &err) < 0)
    g_error("%s: %s", text, err.msg);
  g_assert_cmpint(mr_expr_eval(e, &none, &rows, &array, NULL, NULL, &err), ==, MR_OK);
  mr_view_init(&v, &result, &array);
  if (mr_view_null(&v, 0))
    g_error("%s is no value", text);
  g_assert_true(mr_column_append(c, &v, 0));
  mr_expr_free(e);
  mr_array_release(&array);
  mr_schema_release(&result);
  mr_schema_release(&none);
  g_free(quoted);
  g_free(text);
}

static void append(struct mr_column *c, const struct ArrowSchema *s, const char *value);

/* "[a,b]" of a list, "{k=v,k=v}" of a map, "{a,b}" of a struct */
static void append_nested(struct mr_column *c, const struct ArrowSchema *s, const char *value)
{
  char *inner = g_strndup(value + 1, strlen(value) - 2), **parts = g_strsplit(inner, ",", -1);
  for (int i = 0; parts[i]; i++) {
    if (c->kind == MR_K_MAP) {
      char **kv = g_strsplit(parts[i], "=", 2);
      append(&c->child[0].child[0], s->children[0]->children[0], kv[0]);
      append(&c->child[0].child[1], s->children[0]->children[1], kv[1]);
      g_assert_true(mr_column_end(&c->child[0]));
      g_strfreev(kv);
    } else {
      int k = c->kind == MR_K_STRUCT ? i : 0;
      append(&c->child[k], s->children[k], parts[i]);
    }
  }
  g_assert_true(mr_column_end(c));
  g_strfreev(parts);
  g_free(inner);
}

static void append(struct mr_column *c, const struct ArrowSchema *s, const char *value)
{
  bool ok = true;
  if (!strcmp(value, "NULL"))
    ok = mr_column_null(c);
  else if (c->kind == MR_K_LIST || c->kind == MR_K_MAP || c->kind == MR_K_STRUCT)
    append_nested(c, s, value);
  else if (c->kind == MR_K_TEXT || c->kind == MR_K_BINARY) {
    char *raw = g_strcompress(value);
    ok = mr_column_text(c, raw);
    g_free(raw);
  } else if (c->kind == MR_K_BOOL)
    ok = mr_column_bool(c, !strcmp(value, "true"));
  else if (c->kind == MR_K_UINT64)
    ok = mr_column_int(c, (int64_t)g_ascii_strtoull(value, NULL, 10));
  else if (mr_kind_is_int(c->kind))
    ok = mr_column_int(c, g_ascii_strtoll(value, NULL, 10));
  else if (c->kind == MR_K_FLOAT32 || c->kind == MR_K_FLOAT64)
    ok = mr_column_f64(c, g_ascii_strtod(value, NULL));
  else
    append_cast(c, s, value);
  g_assert_true(ok);
}

/* "name type: v|v" */
static int64_t make_column(const char *text, int times, struct ArrowSchema *ret_schema,
                           struct ArrowArray *ret)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_column c;
  const char *colon = strstr(text, ": "), *space = strchr(text, ' ');
  if (!colon || !space || space > colon)
    g_error("no column: `%s`", text);
  char *name = g_strndup(text, (size_t)(space - text));
  char *type = g_strndup(space + 1, (size_t)(colon - space - 1));
  char **values = g_strsplit(colon + 2, "|", -1);
  if (mr_type_parse(type, name, ret_schema, &err) < 0)
    g_error("%s: %s", type, err.msg);
  g_assert_true(mr_column_init(&c, ret_schema));
  for (int i = 0; i < times; i++)
    for (char **v = values; *v; v++)
      append(&c, ret_schema, *v);
  int64_t n = c.length;
  g_assert_true(mr_column_finish(&c, ret));
  mr_column_done(&c);
  g_strfreev(values);
  g_free(name);
  g_free(type);
  return n;
}

void test_rows_make(struct test_rows *t, const char *text, int times)
{
  char **columns = g_regex_split_simple("(?<!\\\\); *", text, 0, 0);
  int n = 0;
  int64_t length = times;
  while (*text && columns[n])
    n++;
  g_assert_true(mr_schema_struct(&t->schema));
  g_assert_true(mr_array_init(&t->rows, 0, 1, n));
  for (int i = 0; i < n; i++) {
    struct ArrowSchema s;
    char *plain = replace(columns[i], "\\;", ";");
    int64_t got = make_column(plain, times, &s, t->rows.children[i]);
    if (i && got != length)
      g_error("columns of different length: %s", text);
    length = got;
    g_assert_true(mr_schema_add(&t->schema, &s));
    g_free(plain);
  }
  t->rows.length = length;
  g_strfreev(columns);
}

void test_rows_done(struct test_rows *t)
{
  mr_array_release(&t->rows);
  mr_schema_release(&t->schema);
}

/* ---- showing results */

static void show_decimal(GString *s, const void *p, int scale)
{
  __int128 v;
  memcpy(&v, p, 16);
  char digits[64];
  int n = 0;
  unsigned __int128 m = v < 0 ? -(unsigned __int128)v : (unsigned __int128)v;
  for (; m || n <= scale; m /= 10) {
    if (n == scale && scale)
      digits[n] = 0;
    digits[n++] = (char)('0' + (int)(m % 10));
  }
  if (v < 0)
    g_string_append_c(s, '-');
  for (int i = n - 1; i >= 0; i--) {
    g_string_append_c(s, digits[i]);
    if (i == scale && scale)
      g_string_append_c(s, '.');
  }
}

/* By the C library's calendar, so that the engine's own is not asked about itself. */
static void show_time(GString *s, int64_t us, const char *format)
{
  char buf[64];
  int64_t sec = us / 1000000 - (us % 1000000 < 0), rest = us - sec * 1000000;
  time_t t = (time_t)sec;
  struct tm tm;
  strftime(buf, sizeof buf, format, gmtime_r(&t, &tm));
  g_string_append(s, buf);
  if (strstr(format, "%S") && rest)
    g_string_append_printf(s, ".%06d", (int)rest);
}

static void show_float(GString *s, double v, int digits)
{
  char buf[64];
  for (int k = 1; k <= digits; k++) {
    snprintf(buf, sizeof buf, "%.*g", k, v);
    if (strtod(buf, NULL) == v || k == digits)
      break;
  }
  g_string_append(s, isnan(v) ? "NaN" : buf);
}

static void show_bytes(GString *s, const struct mr_view *v, int64_t i)
{
  int64_t n;
  const char *p = mr_view_bytes(v, i, &n);
  for (int64_t k = 0; k < n; k++) {
    if ((unsigned char)p[k] < ' ')
      g_string_append_printf(s, "\\x%02x", (unsigned char)p[k]);
    else
      g_string_append_c(s, p[k]);
  }
}

static void show(GString *s, const struct mr_view *v, int64_t i);

static void show_nested(GString *s, const struct mr_view *v, int64_t i)
{
  int64_t from = i, to = i;
  struct mr_view child;
  if (v->kind != MR_K_STRUCT)
    mr_view_range(v, i, &from, &to);
  g_string_append_c(s, v->kind == MR_K_LIST ? '[' : '{');
  if (v->kind == MR_K_STRUCT)
    for (int64_t k = 0; k < v->schema->n_children; k++) {
      mr_view_init(&child, v->schema->children[k], v->array->children[k]);
      if (k)
        g_string_append_c(s, v->schema->n_children == 2 ? '=' : ',');
      show(s, &child, v->offset + i);
    }
  mr_view_init(&child, v->schema->children[0], v->array->children[0]);
  for (int64_t k = from; v->kind != MR_K_STRUCT && k < to; k++) {
    if (k > from)
      g_string_append_c(s, ',');
    show(s, &child, k);
  }
  g_string_append_c(s, v->kind == MR_K_LIST ? ']' : '}');
}

static void show(GString *s, const struct mr_view *v, int64_t i)
{
  int precision, scale;
  mr_decimal_of(v->schema, &precision, &scale);
  if (mr_view_null(v, i))
    g_string_append(s, "NULL");
  else if (v->kind == MR_K_BOOL)
    g_string_append(s, mr_view_bool(v, i) ? "true" : "false");
  else if (v->kind == MR_K_UINT64)
    g_string_append_printf(s, "%" G_GUINT64_FORMAT, (guint64)mr_view_int(v, i));
  else if (strchr(INT_FORMATS, v->schema->format[0]) && !v->schema->format[1])
    g_string_append_printf(s, "%" G_GINT64_FORMAT, (gint64)mr_view_int(v, i));
  else if (v->kind == MR_K_FLOAT32)
    show_float(s, mr_view_f64(v, i), 9);
  else if (v->kind == MR_K_FLOAT64)
    show_float(s, mr_view_f64(v, i), 17);
  else if (v->kind == MR_K_DECIMAL)
    show_decimal(s, mr_view_fixed(v, i), scale);
  else if (v->kind == MR_K_DATE)
    show_time(s, mr_view_int(v, i) * 86400000000, "%Y-%m-%d");
  else if (v->kind == MR_K_TIME)
    show_time(s, mr_view_int(v, i), "%H:%M:%S");
  else if (v->kind == MR_K_TIMESTAMP)
    show_time(s, mr_view_int(v, i), "%Y-%m-%d %H:%M:%S");
  else if (v->kind == MR_K_TEXT || v->kind == MR_K_BINARY)
    show_bytes(s, v, i);
  else if (v->kind == MR_K_FIXED)
    for (int k = 0; k < 16; k++)
      g_string_append_printf(s, "%02x", ((const uint8_t *)mr_view_fixed(v, i))[k]);
  else
    show_nested(s, v, i);
}

struct bad {
  char code[8];
};

static void on_bad(void *out, int64_t row, const char *code, const char *msg)
{
  struct bad *b = (struct bad *)((GArray *)out)->data + row;
  g_assert_cmpint(row, <, ((GArray *)out)->len);
  g_assert_cmpstr(b->code, ==, ""); /* once for each row */
  g_assert_nonnull(strstr(msg, ": "));
  g_snprintf(b->code, sizeof b->code, "%s", code);
}

static char *show_all(const struct ArrowSchema *type, const struct ArrowArray *a, GArray *bad)
{
  GString *s = g_string_new("");
  struct mr_view v;
  mr_view_init(&v, type, a);
  for (int64_t i = 0; i < a->length; i++) {
    const char *code = g_array_index(bad, struct bad, i).code;
    if (i)
      g_string_append_c(s, '|');
    if (*code)
      g_assert_true(mr_view_null(&v, i));
    if (*code)
      g_string_append_printf(s, "!%s", code);
    else
      show(s, &v, i);
  }
  return g_string_free(s, FALSE);
}

void test_rows_eval(struct test_rows *t, const char *expr, int64_t from, int64_t n,
                    struct test_result *ret)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema type;
  struct ArrowArray array, slice;
  struct mr_expr *e = NULL;
  char name[256];
  if (n < 0)
    n = t->rows.length;
  if (mr_expr_new(expr, &t->schema, &e, &type, &err) < 0) {
    *ret = (struct test_result){g_strdup("error"), g_strdup(err.msg)};
    return;
  }
  GArray *bad = g_array_sized_new(FALSE, TRUE, sizeof(struct bad), (guint)n);
  g_array_set_size(bad, (guint)n);
  g_assert_true(mr_rows_slice(&t->rows, from, n, &slice));
  if (mr_expr_eval(e, &t->schema, &slice, &array, on_bad, bad, &err) < 0)
    g_error("%s: %s", expr, err.msg);
  g_assert_cmpint(array.length, ==, n);
  if (mr_array_check(&type, &array, true, &err) < 0)
    g_error("%s: %s", expr, err.msg);
  *ret = (struct test_result){g_strdup(mr_type_name(&type, name, sizeof name)),
                              show_all(&type, &array, bad)};
  mr_expr_free(e);
  mr_array_release(&array);
  mr_array_release(&slice);
  mr_schema_release(&type);
  g_array_unref(bad);
}

void test_result_done(struct test_result *r)
{
  g_free(r->type);
  g_free(r->values);
}
