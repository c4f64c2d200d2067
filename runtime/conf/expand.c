/* SPDX-License-Identifier: Apache-2.0 */
/* ${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:PATH}, $$: replaced in the text of values, after
 * YAML has been parsed, so that what they bring in can never become structure. */
#include "conf/load.h"
#include <string.h>

#define NESTED 4 /* ${A:-${B:-${C}}} */
#define FILE_BYTES (1 << 20)

struct expand {
  struct mr_load *load;
  struct mr_ynode *node;
  const char *text; /* the value as the file has it */
  bool failed;
};

static void fail(struct expand *e, const char *at, const char *fmt, ...) MR_PRINTF(3, 4);
static void fail(struct expand *e, const char *at, const char *fmt, ...)
{
  if (e->failed)
    return;
  e->failed = true;
  int line = 1, column = 1;
  for (const char *c = e->text; c < at; c = g_utf8_next_char(c)) {
    if (*c == '\n')
      line++;
    column = *c == '\n' ? 1 : column + 1;
  }
  va_list ap;
  va_start(ap, fmt);
  e->node->lacks = g_strdup_vprintf(fmt, ap);
  va_end(ap);
  e->node->lacks_at = mr_ynode_locate(e->node, e->load->own->source, line, column);
}

/* The } that ends what begins after ${; inner ${…} are skipped. */
static const char *closing(const char *c)
{
  int depth = 1;
  for (; *c; c++) {
    if (c[0] == '$' && c[1] == '{')
      depth++;
    if (*c == '}' && --depth == 0)
      return c;
  }
  return NULL;
}

static bool is_name(const char *from, const char *to)
{
  if (from == to || g_ascii_isdigit(*from))
    return false;
  for (; from < to; from++)
    if (!g_ascii_isalnum(*from) && *from != '_')
      return false;
  return true;
}

static void expand_into(struct expand *e, GString *out, const char *from, const char *to,
                        int depth);

static char *expanded(struct expand *e, const char *from, const char *to, int depth)
{
  GString *out = g_string_new(NULL);
  expand_into(e, out, from, to, depth);
  return g_string_free(out, FALSE);
}

static void put_file(struct expand *e, GString *out, const char *at, const char *from,
                     const char *to, int depth)
{
  g_autofree char *path = expanded(e, from, to, depth), *data = NULL;
  g_autoptr(GError) error = NULL;
  gsize len;
  if (e->failed)
    return;
  if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
    fail(e, at, "no file `%s`", path);
  } else if (!g_file_test(path, G_FILE_TEST_IS_REGULAR)) {
    fail(e, at, "`%s` is no regular file", path);
  } else if (!g_file_get_contents(path, &data, &len, &error)) {
    fail(e, at, "cannot read `%s`: %s", path,
         g_strerror(error->code == G_FILE_ERROR_ACCES ? EACCES : EIO));
  } else if (len > FILE_BYTES || memchr(data, 0, len) || !g_utf8_validate_len(data, len, NULL)) {
    fail(e, at, "`%s` is no text of at most %d bytes", path, FILE_BYTES);
  } else {
    if (len && data[len - 1] == '\n')
      data[--len] = 0;
    if (len && data[len - 1] == '\r')
      data[--len] = 0;
    mr_secret_add(e->load->own, data);
    e->node->secret = true;
    g_string_append(out, data);
  }
}

static void put_variable(struct expand *e, GString *out, const char *at, const char *from,
                         const char *to, int depth)
{
  const char *colon = memchr(from, ':', (size_t)(to - from)), *end = colon ? colon : to;
  char mode = colon && colon + 1 < to ? colon[1] : 0;
  if (!is_name(from, end) || (colon && mode != '-' && mode != '?')) {
    fail(e, at,
         "`${%.*s}` is none of ${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:PATH}; $$ is a "
         "dollar sign",
         (int)(to - from), from);
    return;
  }
  g_autofree char *name = g_strndup(from, (gsize)(end - from));
  const char *value = g_getenv(name);
  bool missing = !value || (mode && !value[0]);
  if (!missing) {
    g_string_append(out, value);
  } else if (mode == '-') {
    expand_into(e, out, colon + 2, to, depth);
  } else if (mode == '?') {
    g_autofree char *message = expanded(e, colon + 2, to, depth);
    fail(e, at, "the environment variable %s is not set: %s", name, message);
  } else {
    fail(e, at, "the environment variable %s is not set (${%s:-…} gives a default)", name, name);
  }
}

static void expand_into(struct expand *e, GString *out, const char *from, const char *to, int depth)
{
  for (const char *c = from; c < to && !e->failed; c++) {
    if (c[0] == '$' && c + 1 < to && c[1] == '$') {
      g_string_append_c(out, *c++);
      continue;
    }
    if (c[0] != '$' || c + 1 >= to || c[1] != '{') {
      g_string_append_c(out, *c);
      continue;
    }
    const char *end = closing(c + 2);
    if (!end || end >= to || depth >= NESTED) {
      fail(e, c, end ? "${ is nested too deep" : "`${` without its `}`");
      return;
    }
    if (!strncmp(c + 2, "file:", 5))
      put_file(e, out, c, c + 7, end, depth + 1);
    else
      put_variable(e, out, c, c + 2, end, depth + 1);
    c = end;
  }
}

static void expand_scalar(struct mr_load *l, struct mr_ynode *n)
{
  if (n->broken || !strchr(n->text, '$'))
    return;
  struct expand e = {.load = l, .node = n, .text = n->text};
  char *text = expanded(&e, n->text, n->text + strlen(n->text), 0);
  if (!strcmp(text, n->text)) {
    g_free(text);
    return;
  }
  g_free(n->text);
  n->text = text;
  n->expanded = true;
  if (e.failed)
    n->broken = true;
}

void mr_expand_tree(struct mr_load *l, struct mr_ynode *n)
{
  if (n->type == MR_NODE_SCALAR)
    expand_scalar(l, n);
  for (guint i = 0; i < mr_ynode_count(n); i++)
    mr_expand_tree(l, mr_ynode_kid(n, i));
}

void mr_expand_report(struct mr_load *l, const struct mr_ynode *n)
{
  if (n->lacks) {
    g_autofree char *path = mr_ynode_path(n);
    mr_problem_add(l->problems, n->lacks_at, path, "%s", n->lacks);
  }
  for (guint i = 0; i < mr_ynode_count(n); i++)
    mr_expand_report(l, mr_ynode_kid(n, i));
}
