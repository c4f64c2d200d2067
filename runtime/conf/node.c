/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/node.h"
#include <string.h>

struct mr_ynode *mr_ynode_new(enum mr_ynode_type type, struct mr_ynode *parent)
{
  struct mr_ynode *n = g_new0(struct mr_ynode, 1);
  n->type = type;
  n->parent = parent;
  if (parent)
    n->origin = parent->origin;
  if (type != MR_NODE_SCALAR)
    n->kids = g_ptr_array_new_with_free_func((GDestroyNotify)mr_ynode_free);
  return n;
}

struct mr_ynode *mr_ynode_scalar(const char *text, struct mr_ynode *parent)
{
  struct mr_ynode *n = mr_ynode_new(MR_NODE_SCALAR, parent);
  n->text = g_strdup(text);
  return n;
}

void mr_ynode_free(struct mr_ynode *n)
{
  if (!n)
    return;
  if (n->kids)
    g_ptr_array_unref(n->kids);
  g_free(n->key);
  g_free(n->text);
  g_free(n->label);
  g_free(n->lacks);
  g_free(n);
}

guint mr_ynode_count(const struct mr_ynode *n)
{
  return n && n->kids ? n->kids->len : 0;
}

struct mr_ynode *mr_ynode_kid(const struct mr_ynode *n, guint i)
{
  return g_ptr_array_index(n->kids, i);
}

struct mr_ynode *mr_ynode_get(const struct mr_ynode *map, const char *key)
{
  if (!map || map->type != MR_NODE_MAP)
    return NULL;
  for (guint i = 0; i < map->kids->len; i++) {
    struct mr_ynode *kid = mr_ynode_kid(map, i);
    if (!strcmp(kid->key, key))
      return kid;
  }
  return NULL;
}

void mr_ynode_put(struct mr_ynode *parent, const char *key, struct mr_ynode *take)
{
  take->parent = parent;
  if (key) {
    struct mr_ynode *old = mr_ynode_get(parent, key);
    g_free(take->key);
    take->key = g_strdup(key);
    if (old)
      g_ptr_array_remove(parent->kids, old);
  }
  g_ptr_array_add(parent->kids, take);
}

static guint index_in(const struct mr_ynode *parent, const struct mr_ynode *kid)
{
  guint i = 0;
  g_ptr_array_find(parent->kids, kid, &i);
  return i;
}

static void put_step(GString *out, const struct mr_ynode *n)
{
  const struct mr_ynode *name = mr_ynode_get(n, "name");
  g_string_append_c(out, '/');
  if (n->key)
    g_string_append(out, n->key);
  else if (name && name->type == MR_NODE_SCALAR && name->text && name->text[0])
    g_string_append(out, name->text);
  else
    g_string_append_printf(out, "%u", index_in(n->parent, n));
}

static void put_path(GString *out, const struct mr_ynode *n)
{
  if (!n->parent)
    return;
  put_path(out, n->parent);
  put_step(out, n);
}

char *mr_ynode_path(const struct mr_ynode *n)
{
  for (const struct mr_ynode *up = n; up; up = up->parent)
    if (up->label)
      return g_strdup(up->label);
  GString *out = g_string_new(NULL);
  put_path(out, n);
  if (!out->len)
    g_string_append_c(out, '/');
  return g_string_free(out, FALSE);
}

bool mr_ynode_damaged(const struct mr_ynode *n)
{
  bool damaged = n->broken;
  for (guint i = 0; !damaged && i < mr_ynode_count(n); i++)
    damaged = mr_ynode_damaged(mr_ynode_kid(n, i));
  return damaged;
}

static bool needs_quotes(const char *text)
{
  static const char *const special = ",[]{}#&*!|>%@`\"'";
  if (!text[0] || g_ascii_isspace(text[0]) || strchr("-?:", text[0]))
    return true;
  if (g_ascii_isspace(text[strlen(text) - 1]) || strstr(text, ": "))
    return true;
  return strpbrk(text, special) != NULL || strchr(text, '\n');
}

static void put_scalar(GString *out, const char *text)
{
  if (!needs_quotes(text)) {
    g_string_append(out, text);
    return;
  }
  g_string_append_c(out, '"');
  for (const char *c = text; *c; c++) {
    if (*c == '"' || *c == '\\')
      g_string_append_c(out, '\\');
    if (*c == '\n')
      g_string_append(out, "\\n");
    else
      g_string_append_c(out, *c);
  }
  g_string_append_c(out, '"');
}

static void put_text(GString *out, const struct mr_ynode *n)
{
  if (n->type == MR_NODE_SCALAR) {
    put_scalar(out, n->text);
    return;
  }
  bool map = n->type == MR_NODE_MAP;
  g_string_append_c(out, map ? '{' : '[');
  for (guint i = 0; i < n->kids->len; i++) {
    const struct mr_ynode *kid = mr_ynode_kid(n, i);
    if (i)
      g_string_append(out, ", ");
    if (map)
      put_scalar(out, kid->key);
    if (map)
      g_string_append(out, ": ");
    put_text(out, kid);
  }
  g_string_append_c(out, map ? '}' : ']');
}

char *mr_ynode_text(const struct mr_ynode *n)
{
  GString *out = g_string_new(NULL);
  if (n->type == MR_NODE_SCALAR)
    g_string_append(out, n->text);
  else
    put_text(out, n);
  return g_string_free(out, FALSE);
}

/* The byte at line:column of source, or its end. */
static const char *seek(const char *source, int line, int column)
{
  const char *c = source;
  for (int l = 1; l < line; l++) {
    c = strchr(c, '\n');
    if (!c)
      return source + strlen(source);
    c++;
  }
  for (int i = 1; i < column && *c && *c != '\n'; i++)
    c = g_utf8_next_char(c);
  return c;
}

/* How many characters of the file the next character of the text takes inside this kind of quotes.
 * 0: cannot be told. */
static int width_in_file(const struct mr_ynode *n, const char *c)
{
  if (n->quote == '\'' && c[0] == '\'')
    return 2;
  if (n->quote == '"' && c[0] == '\\')
    return strchr("\"\\/ntre0abvf ", c[1]) ? 2 : 0;
  return *c && *c != '\n' ? 1 : 0;
}

/* Inside quotes, as long as the text is on the line where it begins. */
static struct mr_mark_at locate_line(const struct mr_ynode *n, const char *source, int column)
{
  struct mr_mark_at at = {n->at.line, n->at.column + 1};
  const char *c = seek(source, at.line, at.column);
  for (int i = 1; i < column; i++) {
    int width = width_in_file(n, c);
    if (!width || at.line != n->at.line)
      return n->at;
    at.column += width;
    for (; width; width--)
      c = g_utf8_next_char(c);
  }
  return at;
}

/* How far a block's lines are moved right: its first line with content, in the file and in the
 * text. */
static int block_indent(const struct mr_ynode *n, const char *source)
{
  const char *t = n->text + strspn(n->text, "\n"), *c = seek(source, n->at.line + 1, 1);
  int deeper = (int)strspn(t, " ");
  while (*c && strspn(c, " \r") == strcspn(c, "\n"))
    c += strcspn(c, "\n") + (c[strcspn(c, "\n")] == '\n');
  int indent = (int)strspn(c, " ") - deeper;
  return indent < 0 ? 0 : indent;
}

/* What line of the file has of the scalar, without what YAML cuts off. */
static void content_of(const struct mr_ynode *n, const char *source, int line, int indent,
                       const char **ret_from, const char **ret_to)
{
  bool block = n->quote, first = !block && line == n->at.line, last = line == n->end.line;
  const char *from = seek(source, line, first ? n->at.column : 1);
  const char *to =
      !block && last ? seek(source, line, n->end.column) : from + strcspn(from, "\r\n");
  if (block)
    from += MIN(strspn(from, " "), (size_t)indent);
  else
    from += strspn(from, " \t");
  while (!block && to > from && (to[-1] == ' ' || to[-1] == '\t'))
    to--;
  *ret_from = from;
  *ret_to = MAX(from, to);
}

static struct mr_mark_at mark_of(const char *source, int line, const char *at)
{
  const char *begin = seek(source, line, 1);
  return (struct mr_mark_at){line, (int)g_utf8_pointer_to_offset(begin, at) + 1};
}

/* Plain scalars and blocks may go over several lines of the file, and YAML joins them in its own
 * way; the content of each line stands in the text as it is. */
static struct mr_mark_at locate_lines(const struct mr_ynode *n, const char *source, int line,
                                      int column)
{
  const char *t = n->text, *target = seek(n->text, line, column), *from, *to;
  struct mr_mark_at end = n->at;
  int indent = n->quote ? block_indent(n, source) : 0;
  for (int l = n->at.line + (n->quote ? 1 : 0); l <= n->end.line; l++) {
    content_of(n, source, l, indent, &from, &to);
    size_t len = (size_t)(to - from);
    if (!len)
      continue;
    while ((*t == ' ' || *t == '\n') && strncmp(t, from, len))
      t++;
    if (strncmp(t, from, len))
      break; /* behind the block's last line */
    if (target < t + len)
      return mark_of(source, l, target > t ? from + (target - t) : from);
    end = mark_of(source, l, to);
    t += len;
  }
  return end;
}

struct mr_mark_at mr_ynode_locate(const struct mr_ynode *n, const char *source, int line,
                                  int column)
{
  if (n->type != MR_NODE_SCALAR || n->expanded || n->origin != MR_FROM_FILE || !source)
    return n->at;
  if (n->quote != '\'' && n->quote != '"')
    return locate_lines(n, source, line, column);
  return line == 1 ? locate_line(n, source, column) : n->at;
}

bool mr_ynode_comment(const struct mr_ynode *n, const char *source)
{
  if (n->type != MR_NODE_SCALAR || n->quote || n->origin != MR_FROM_FILE || !source)
    return false;
  const char *c = seek(source, n->end.line, n->end.column);
  const char *from = c;
  while (*c == ' ' || *c == '\t')
    c++;
  return c > from && *c == '#';
}

static void add(GPtrArray *problems, const struct mr_ynode *n, struct mr_mark_at at,
                const char *fmt, va_list ap)
{
  g_autofree char *message = g_strdup_vprintf(fmt, ap);
  g_autofree char *path = mr_ynode_path(n);
  mr_problem_add(problems, at, path, "%s", message);
}

void mr_ynode_problem(GPtrArray *problems, struct mr_ynode *n, const char *fmt, ...)
{
  if (n->broken)
    return;
  va_list ap;
  va_start(ap, fmt);
  add(problems, n, n->at, fmt, ap);
  va_end(ap);
  n->broken = true;
}

void mr_ynode_key_problem(GPtrArray *problems, struct mr_ynode *n, const char *fmt, ...)
{
  if (n->broken)
    return;
  va_list ap;
  va_start(ap, fmt);
  add(problems, n, n->key ? n->key_at : n->at, fmt, ap);
  va_end(ap);
  n->broken = true;
}

void mr_ynode_remark(GPtrArray *problems, const struct mr_ynode *n, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  add(problems, n, n->key ? n->key_at : n->at, fmt, ap);
  va_end(ap);
}
