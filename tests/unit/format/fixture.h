/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of formats share: schemas from text, values as text, decoding in buffers of the
 * exact size. */
#ifndef FIXTURE_H
#define FIXTURE_H
#include <glib.h>
#include "data/array.h"
#include "data/types.h"
#include "format/format.h"

/* "a int64; b list<utf8>" to a rows schema. */
static inline void schema_of(const char *text, struct ArrowSchema *ret)
{
  g_auto(GStrv) part = g_strsplit(text, ";", -1);
  g_assert_true(mr_schema_struct(ret));
  for (char **p = part; *p; p++) {
    char *s = g_strstrip(*p), *space = strchr(s, ' ');
    if (!*s)
      continue;
    g_assert_nonnull(space);
    *space = 0;
    struct ArrowSchema c;
    struct mr_error err = MR_ERROR_INIT;
    int st = mr_type_parse(g_strstrip(space + 1), s, &c, &err);
    if (st != MR_OK)
      g_error("%s: %s", space + 1, err.msg);
    g_assert_true(mr_schema_add(ret, &c));
  }
}

/* The schema as "a int64; b utf8". */
static inline char *schema_text(const struct ArrowSchema *s)
{
  GString *out = g_string_new(NULL);
  for (int64_t i = 0; i < s->n_children; i++) {
    char type[512];
    const char *name = mr_kind_of(s->children[i]) == MR_K_NULL
                           ? "null"
                           : mr_type_name(s->children[i], type, sizeof type);
    g_string_append_printf(out, "%s%s %s", i ? "; " : "", s->children[i]->name, name);
  }
  return g_string_free(out, FALSE);
}

static inline void show(GString *out, const struct mr_view *v, int64_t i);

static inline void show_child(GString *out, const struct mr_view *v, int64_t kid, int64_t i)
{
  struct mr_view c;
  mr_view_init(&c, v->schema->children[kid], v->array->children[kid]);
  show(out, &c, i);
}

static inline void show_text(GString *out, const char *s, int64_t n)
{
  for (int64_t i = 0; i < n; i++) {
    if (s[i])
      g_string_append_c(out, s[i]);
    else
      g_string_append(out, "\\0");
  }
}

static inline void show_decimal(GString *out, const struct mr_view *v, int64_t i)
{
  __int128 d;
  memcpy(&d, mr_view_fixed(v, i), 16);
  char buf[48], *p = buf + sizeof buf;
  unsigned __int128 u = d < 0 ? -(unsigned __int128)d : (unsigned __int128)d;
  *--p = 0;
  do
    *--p = (char)('0' + (int)(u % 10));
  while (u /= 10);
  g_string_append_printf(out, "%s%s", d < 0 ? "-" : "", p);
}

static inline void show_nested(GString *out, const struct mr_view *v, int64_t i)
{
  if (v->kind == MR_K_STRUCT) {
    g_string_append_c(out, '{');
    for (int64_t k = 0; k < v->schema->n_children; k++) {
      g_string_append_printf(out, "%s%s=", k ? " " : "", v->schema->children[k]->name);
      show_child(out, v, k, v->offset + i);
    }
    g_string_append_c(out, '}');
    return;
  }
  int64_t from, to;
  mr_view_range(v, i, &from, &to);
  g_string_append_c(out, '[');
  for (int64_t k = from; k < to; k++) {
    if (k > from)
      g_string_append_c(out, ' ');
    show_child(out, v, 0, k);
  }
  g_string_append_c(out, ']');
}

/* A value as text, straight from its buffers: decimals and times as their integers, bytes of binary
 * as hex. */
static inline void show(GString *out, const struct mr_view *v, int64_t i)
{
  int64_t n;
  if (mr_view_null(v, i)) {
    g_string_append(out, "null");
    return;
  }
  switch (v->kind) {
  case MR_K_BOOL: g_string_append(out, mr_view_bool(v, i) ? "true" : "false"); break;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: g_string_append_printf(out, "%.17g", mr_view_f64(v, i)); break;
  case MR_K_UINT64:
    g_string_append_printf(out, "%" G_GUINT64_FORMAT, (guint64)mr_view_int(v, i));
    break;
  case MR_K_DECIMAL: show_decimal(out, v, i); break;
  case MR_K_TEXT: {
    const char *s = mr_view_bytes(v, i, &n);
    show_text(out, s, n);
    break;
  }
  case MR_K_BINARY:
  case MR_K_FIXED: {
    const uint8_t *s =
        v->kind == MR_K_FIXED ? mr_view_fixed(v, i) : (const uint8_t *)mr_view_bytes(v, i, &n);
    if (v->kind == MR_K_FIXED)
      n = 16;
    for (int64_t k = 0; k < n; k++)
      g_string_append_printf(out, "%02x", s[k]);
    break;
  }
  case MR_K_STRUCT:
  case MR_K_LIST:
  case MR_K_MAP: show_nested(out, v, i); break;
  default: g_string_append_printf(out, "%" G_GINT64_FORMAT, (gint64)mr_view_int(v, i));
  }
}

/* Asserts where the rows of message m stand in it: each as text, joined by "|"; "" for none told.
 */
static inline void assert_extents(struct mr_decoder *d, const char *m, const char *expect)
{
  struct mr_error err = MR_ERROR_INIT;
  g_autoptr(GString) out = g_string_new(NULL);
  int n = mr_decode(d, m, strlen(m), &err);
  const struct mr_extent *e = mr_decoder_extents(d);
  for (int i = 0; e && i < n; i++)
    g_string_append_printf(out, "%s%.*s", i ? "|" : "", (int)e[i].len, m + e[i].at);
  g_assert_cmpstr(out->str, ==, expect);
}

/* Rows as "1,abc|2,null". */
static inline char *rows_text(const struct ArrowSchema *s, const struct ArrowArray *rows)
{
  GString *out = g_string_new(NULL);
  for (int64_t r = 0; r < rows->length; r++)
    for (int64_t i = 0; i < s->n_children; i++) {
      struct mr_view v;
      mr_view_column(&v, s, rows, i);
      if (i || r)
        g_string_append_c(out, i ? ',' : '|');
      show(out, &v, r);
    }
  return g_string_free(out, FALSE);
}

/* A decode call whose payload ends where its memory ends, so that sanitizers see one byte too many.
 */
static inline int decode_n(struct mr_decoder *d, const void *data, size_t len, struct mr_error *err)
{
  uint8_t *copy = malloc(len ? len : 1);
  if (len)
    memcpy(copy, data, len);
  mr_error_clear(err);
  int st = mr_decode(d, copy, len, err);
  free(copy);
  return st;
}
static inline int decode_text(struct mr_decoder *d, const char *text)
{
  struct mr_error err;
  return decode_n(d, text, strlen(text), &err);
}

static inline struct mr_decoder *decoder_of(const char *format, const void *conf)
{
  struct mr_decoder *d = NULL;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_format f = {mr_format_find(format), conf};
  g_assert_nonnull(f.desc);
  int st = mr_decoder_new(&f, &d, &err);
  if (st != MR_OK)
    g_error("decoder: %s", err.msg);
  return d;
}

/* The rows so far as text; a schema change is passed over. The array is checked against the schema.
 */
static inline char *take_text(struct mr_decoder *d)
{
  struct ArrowSchema s;
  struct ArrowArray a;
  struct mr_error err = MR_ERROR_INIT;
  int st = mr_decoded(d, &a, &err);
  if (st == MR_SCHEMA)
    st = mr_decoded(d, &a, &err);
  if (st == MR_IDLE)
    return g_strdup("idle");
  g_assert_cmpint(st, ==, MR_OK);
  g_assert_cmpint(mr_decoder_schema(d, &s, &err), ==, MR_OK);
  if (mr_array_check(&s, &a, true, &err) != MR_OK)
    g_error("bad array: %s", err.msg);
  char *text = rows_text(&s, &a);
  mr_array_release(&a);
  mr_schema_release(&s);
  return text;
}

/* Where the published test corpora are: MILLRACE_TEST_DATA, or shared/data beside the checkout.
 * NULL: not here. */
static inline const char *corpus_dir(void)
{
  const char *env = g_getenv("MILLRACE_TEST_DATA"), *beside = SOURCE_ROOT "/../shared/data";
  if (env)
    return env;
  return g_file_test(beside, G_FILE_TEST_IS_DIR) ? beside : NULL;
}
/* A folder of them, to be freed; NULL when it is not here, and then the test is marked as skipped.
 */
static inline char *corpus(const char *name)
{
  const char *dir = corpus_dir();
  char *path = dir ? g_build_filename(dir, name, NULL) : NULL;
  if (path && g_file_test(path, G_FILE_TEST_EXISTS))
    return path;
  g_free(path);
  g_autofree char *why = g_strdup_printf("no %s (set MILLRACE_TEST_DATA)", name);
  g_test_skip(why);
  return NULL;
}

#endif
