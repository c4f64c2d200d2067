/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"
#include <dlfcn.h>
#include <stdio.h>
#include "data/types.h"

/* ---- services */

static void on_log(void *ctx, int level, const char *text)
{
  g_ptr_array_add(((struct harness *)ctx)->logs, g_strdup(text));
}
static void on_metric(void *ctx, const char *name, uint32_t lane, int64_t value)
{
  struct harness *h = ctx;
  int64_t *v = g_hash_table_lookup(h->metrics, name);
  if (!v)
    g_hash_table_insert(h->metrics, g_strdup(name), v = g_new0(int64_t, 1));
  *v = g_str_has_suffix(name, "_total") ? *v + value : value;
}
static void on_notify(void *ctx)
{
}
static int on_reject(void *ctx, const struct mr_reject *r)
{
  struct harness_reject *j = g_new0(struct harness_reject, 1);
  *j = (struct harness_reject){r->batch_id, r->row, g_strdup(r->code), g_strdup(r->msg),
                               g_strdup(r->column)};
  g_ptr_array_add(((struct harness *)ctx)->rejects, j);
  return MR_OK;
}
static int on_type(void *ctx, const char *text, const char *name, struct ArrowSchema *give,
                   struct mr_error *err)
{
  return mr_type_parse(text, name, give, err);
}
static void reject_free(void *p)
{
  struct harness_reject *j = p;
  g_free(j->code);
  g_free(j->msg);
  g_free(j->column);
  g_free(j);
}

void harness_init(struct harness *h)
{
  memset(h, 0, sizeof *h);
  h->logs = g_ptr_array_new_with_free_func(g_free);
  h->rejects = g_ptr_array_new_with_free_func(reject_free);
  h->metrics = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  h->host = (struct mr_host){.abi = MR_ABI,
                             .size = sizeof h->host,
                             .ctx = h,
                             .wake_fd = -1,
                             .log = on_log,
                             .metric = on_metric,
                             .notify = on_notify,
                             .reject = on_reject,
                             .type = on_type};
}
void harness_done(struct harness *h)
{
  g_ptr_array_unref(h->logs);
  g_ptr_array_unref(h->rejects);
  g_hash_table_unref(h->metrics);
}

const struct mr_plugin *harness_load(const char *kind, const char *name)
{
  g_autofree char *path =
      g_strdup_printf("%s/%s/%s/%s.so", g_getenv("MILLRACE_TEST_PLUGINS"), kind, name, name);
  void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!module)
    g_error("%s", dlerror());
  const struct mr_plugin *p = dlsym(module, "mr_plugin_desc");
  g_assert_nonnull(p);
  g_assert_cmpuint(p->abi, ==, MR_ABI);
  g_assert_cmpstr(p->name, ==, name);
  return p;
}
struct mr_open harness_open(struct harness *h, const void *conf, const struct ArrowSchema *in)
{
  return (struct mr_open){.size = sizeof(struct mr_open),
                          .instances = 1,
                          .host = &h->host,
                          .conf = conf,
                          .in = in,
                          .pipeline = "test",
                          .stage = "stage"};
}

/* ---- rows from text */

struct ArrowSchema harness_schema(const char *columns)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  g_autofree char *type = g_strdup_printf("struct<%s>", columns);
  if (mr_type_parse(type, "", &s, &err) < 0)
    g_error("%s: %s", columns, err.msg);
  s.flags = 0;
  return s;
}

static void push(struct mr_column *c, const char **at);

static void push_fixed(struct mr_column *c, const char *text)
{
  uint8_t b[16];
  if (c->kind == MR_K_FIXED) {
    for (int i = 0; i < 16; i++)
      b[i] =
          (uint8_t)(g_ascii_xdigit_value(text[2 * i]) << 4 | g_ascii_xdigit_value(text[2 * i + 1]));
    g_assert_true(mr_column_fixed(c, b));
  } else if (c->kind == MR_K_DECIMAL) {
    __int128 v = g_ascii_strtoll(text, NULL, 10);
    g_assert_true(mr_column_fixed(c, &v));
  } else if (c->kind == MR_K_UINT64) {
    uint64_t v = g_ascii_strtoull(text, NULL, 10);
    g_assert_true(mr_column_fixed(c, &v));
  } else if (c->kind == MR_K_FLOAT32 || c->kind == MR_K_FLOAT64) {
    g_assert_true(mr_column_f64(c, g_ascii_strtod(text, NULL)));
  } else {
    g_assert_true(mr_column_int(c, g_ascii_strtoll(text, NULL, 10)));
  }
}

static void push_nested(struct mr_column *c, const char **at)
{
  char close = **at == '[' ? ']' : '}';
  for (int64_t k = 0; *++*at != close; k += c->kind == MR_K_STRUCT) {
    push(&c->child[k], at);
    if (**at != ',')
      break;
  }
  g_assert_cmpint(**at, ==, close);
  ++*at;
  g_assert_true(mr_column_end(c));
}

static void push(struct mr_column *c, const char **at)
{
  if (**at == '[' || **at == '{')
    return push_nested(c, at);
  g_autofree char *text = g_strndup(*at, strcspn(*at, "|,]}\n"));
  *at += strlen(text);
  if (!strcmp(text, "~"))
    g_assert_true(mr_column_null(c));
  else if (c->kind == MR_K_BOOL)
    g_assert_true(mr_column_bool(c, !strcmp(text, "true")));
  else if (c->width < 0)
    g_assert_true(mr_column_text(c, text));
  else
    push_fixed(c, text);
}

struct ArrowArray harness_rows(const struct ArrowSchema *s, const char *text)
{
  struct ArrowArray rows;
  int64_t n = 0;
  g_autofree struct mr_column *c = g_new0(struct mr_column, s->n_children);
  for (int64_t i = 0; i < s->n_children; i++)
    g_assert_true(mr_column_init(&c[i], s->children[i]));
  for (const char *at = text; *at; n++, at += *at == '\n')
    for (int64_t i = 0; i < s->n_children; i++, at += *at == '|')
      push(&c[i], &at);
  g_assert_true(mr_rows_finish(c, s->n_children, n, &rows));
  for (int64_t i = 0; i < s->n_children; i++)
    mr_column_done(&c[i]);
  return rows;
}

/* ---- rows to text */

static void print(GString *out, const struct mr_view *v, int64_t i);

static void print_children(GString *out, const struct mr_view *v, int64_t k, int64_t from,
                           int64_t to)
{
  struct mr_view c;
  mr_view_init(&c, v->schema->children[k], v->array->children[k]);
  for (int64_t i = from; i < to; i++) {
    if (i > from)
      g_string_append_c(out, ',');
    print(out, &c, i);
  }
}

static void print_nested(GString *out, const struct mr_view *v, int64_t i)
{
  int64_t from, to;
  g_string_append_c(out, v->kind == MR_K_STRUCT ? '{' : '[');
  if (v->kind == MR_K_STRUCT) {
    for (int64_t k = 0; k < v->schema->n_children; k++) {
      if (k)
        g_string_append_c(out, ',');
      print_children(out, v, k, v->offset + i, v->offset + i + 1);
    }
  } else {
    mr_view_range(v, i, &from, &to);
    print_children(out, v, 0, from, to);
  }
  g_string_append_c(out, v->kind == MR_K_STRUCT ? '}' : ']');
}

static void append_int128(GString *out, __int128 v)
{
  char text[48], *p = text + sizeof text;
  unsigned __int128 left = v < 0 ? 0 - (unsigned __int128)v : (unsigned __int128)v;
  *--p = 0;
  do
    *--p = (char)('0' + (int)(left % 10));
  while (left /= 10);
  g_string_append_printf(out, "%s%s", v < 0 ? "-" : "", p);
}

static void print_fixed(GString *out, const struct mr_view *v, int64_t i)
{
  const uint8_t *p = mr_view_fixed(v, i);
  __int128 d;
  if (v->kind == MR_K_FIXED) {
    for (int k = 0; k < 16; k++)
      g_string_append_printf(out, "%02x", p[k]);
  } else if (v->kind == MR_K_DECIMAL) {
    memcpy(&d, p, sizeof d);
    append_int128(out, d);
  } else if (v->kind == MR_K_UINT64) {
    g_string_append_printf(out, "%llu", (unsigned long long)mr_view_int(v, i));
  } else if (v->kind == MR_K_FLOAT32 || v->kind == MR_K_FLOAT64) {
    g_string_append_printf(out, "%g", mr_view_f64(v, i));
  } else {
    g_string_append_printf(out, "%lld", (long long)mr_view_int(v, i));
  }
}

static void print(GString *out, const struct mr_view *v, int64_t i)
{
  int64_t n;
  if (mr_view_null(v, i)) {
    g_string_append_c(out, '~');
  } else if (v->width < 0) {
    const char *p = mr_view_bytes(v, i, &n);
    g_string_append_len(out, p, n);
  } else if (v->kind == MR_K_BOOL) {
    g_string_append(out, mr_view_bool(v, i) ? "true" : "false");
  } else if (v->width) {
    print_fixed(out, v, i);
  } else {
    print_nested(out, v, i);
  }
}

char *harness_text(const struct ArrowSchema *s, const struct ArrowArray *rows)
{
  GString *out = g_string_new(NULL);
  for (int64_t i = 0; i < rows->length; i++) {
    for (int64_t k = 0; k < s->n_children; k++) {
      struct mr_view v;
      mr_view_column(&v, s, rows, k);
      if (k)
        g_string_append_c(out, '|');
      print(out, &v, i);
    }
    g_string_append_c(out, '\n');
  }
  return g_string_free(out, FALSE);
}

char *harness_columns(const struct ArrowSchema *s)
{
  GString *out = g_string_new(NULL);
  for (int64_t i = 0; i < s->n_children; i++) {
    char type[512];
    size_t n = 0;
    const char *label = mr_schema_meta(s->children[i], MR_META_CLASS, &n);
    g_string_append_printf(out, "%s%s: %s", i ? ", " : "", s->children[i]->name,
                           mr_type_name(s->children[i], type, sizeof type));
    if (label)
      g_string_append_printf(out, "!%.*s", (int)n, label);
  }
  return g_string_free(out, FALSE);
}

struct mr_batch harness_batch(const struct ArrowSchema *s, struct ArrowArray *rows)
{
  struct mr_batch b = {.size = sizeof b, .schema = s, .watermark_us = INT64_MIN, .id = 1};
  mr_array_move(rows, &b.rows);
  return b;
}

int harness_put(void *out, const void *data, size_t len)
{
  g_string_append_len(out, data, (gssize)len);
  return MR_OK;
}
