/* SPDX-License-Identifier: Apache-2.0 */
#include "app/rows.h"
#include <string.h>
#include "data/types.h"
#include "format/json-writer.h"

void mr_rows_init(struct mr_rows *r)
{
  memset(r, 0, sizeof *r);
  r->rows = g_ptr_array_new_with_free_func(g_free);
}

static void row_free(char **row, int64_t n)
{
  for (int64_t i = 0; row && i < n; i++)
    g_free(row[i]);
}

static void drop_rows(struct mr_rows *r)
{
  for (guint i = 0; i < r->rows->len; i++)
    row_free(r->rows->pdata[i], r->schema.n_children);
  g_ptr_array_set_size(r->rows, 0);
}

void mr_rows_finish_all(struct mr_rows *r)
{
  drop_rows(r);
  g_ptr_array_unref(r->rows);
  mr_schema_release(&r->schema);
}

/* The JSON writer leaves system columns out by their names: it gets others. */
static bool writer_init(struct mr_json_writer *w, const struct ArrowSchema *schema)
{
  struct ArrowSchema named;
  bool ok = mr_schema_copy(schema, &named);
  for (int64_t i = 0; ok && i < named.n_children; i++)
    ok = mr_schema_rename(named.children[i], "c");
  ok = ok && mr_json_writer_init(w, &named);
  mr_schema_release(&named);
  return ok;
}

/* One row's texts, or NULL: w->what says why. */
static char **row_texts(struct mr_json_writer *w, int64_t row)
{
  int64_t n = w->root.n_kid;
  char **texts = g_new0(char *, n + 1);
  for (int64_t i = 0; i < n; i++) {
    int64_t from = w->out.bytes_len;
    if (mr_view_null(&w->root.kid[i].v, row))
      continue;
    if (!mr_json_writer_value(w, &w->root.kid[i], row)) {
      row_free(texts, n);
      g_free(texts);
      return NULL;
    }
    texts[i] = g_strndup((const char *)w->out.bytes + from, (gsize)(w->out.bytes_len - from));
  }
  w->out.bytes_len = 0;
  return texts;
}

bool mr_rows_add(struct mr_rows *r, const struct ArrowSchema *schema, const struct ArrowArray *rows,
                 int64_t max, struct mr_error *err)
{
  struct mr_json_writer w;
  struct mr_batch b = {.size = sizeof b, .schema = schema, .rows = *rows};
  if (!r->schema.release || !mr_schema_equal(&r->schema, schema, NULL)) {
    drop_rows(r);
    mr_schema_release(&r->schema);
    if (!mr_schema_copy(schema, &r->schema))
      g_error("out of memory");
  }
  if (!writer_init(&w, schema)) {
    mr_json_writer_finish(&w);
    mr_fail(err, MR_FATAL, "a column of a type that cannot be shown");
    return false;
  }
  mr_json_writer_batch(&w, &b);
  bool ok = true;
  for (int64_t i = 0; ok && i < rows->length && i < max; i++) {
    char **texts = row_texts(&w, i);
    if (texts)
      g_ptr_array_add(r->rows, texts);
    else
      ok = mr_fail(err, MR_FATAL, "a value cannot be shown: %s", w.what) >= 0;
  }
  mr_json_writer_finish(&w);
  return ok;
}

/* ---- for people */

char *mr_rows_plain(const char *json)
{
  gsize n = json ? strlen(json) : 0;
  if (!json)
    return g_strdup("NULL");
  if (json[0] != '"')
    return g_strdup(json);
  GString *s = g_string_new(NULL);
  for (const char *c = json + 1; c < json + n - 1; c++) {
    bool plain = *c == '\\' && (c[1] == '"' || c[1] == '\\');
    g_string_append_c(s, plain ? *++c : *c);
  }
  return g_string_free(s, FALSE);
}

/* How many columns of a terminal a text takes. */
static int width_of(const char *text)
{
  int n = 0;
  for (const char *c = text; *c; c = g_utf8_next_char(c)) {
    gunichar u = g_utf8_get_char(c);
    n += g_unichar_iszerowidth(u) ? 0 : g_unichar_iswide(u) ? 2 : 1;
  }
  return n;
}

/* Cuts text after width columns, the sign of the cut included. */
static char *cut(const char *text, int width)
{
  int n = 0;
  if (width_of(text) <= width)
    return g_strdup(text);
  GString *s = g_string_new(NULL);
  for (const char *c = text; *c; c = g_utf8_next_char(c)) {
    gunichar u = g_utf8_get_char(c);
    n += g_unichar_iszerowidth(u) ? 0 : g_unichar_iswide(u) ? 2 : 1;
    if (n > width - 1)
      break;
    g_string_append_unichar(s, u);
  }
  g_string_append(s, "…");
  return g_string_free(s, FALSE);
}

static void print_cell(FILE *out, const char *text, int width, bool right, bool last)
{
  int pad = width - width_of(text);
  if (right)
    fprintf(out, "%*s", pad, "");
  fputs(text, out);
  if (!right && !last)
    fprintf(out, "%*s", pad, "");
  fputs(last ? "\n" : "  ", out);
}

static bool is_number(const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  return mr_kind_is_int(k) || k == MR_K_FLOAT32 || k == MR_K_FLOAT64 || k == MR_K_DECIMAL;
}

/* One column: its texts, the name first, and its width. */
struct table_column {
  GPtrArray *texts;
  int width;
  bool right;
};

static struct table_column table_column(const struct mr_rows *r, int64_t i, int width)
{
  struct table_column c = {g_ptr_array_new_with_free_func(g_free), 0,
                           is_number(r->schema.children[i])};
  g_ptr_array_add(c.texts, cut(r->schema.children[i]->name, width));
  for (guint k = 0; k < r->rows->len; k++) {
    g_autofree char *plain = mr_rows_plain(((char **)r->rows->pdata[k])[i]);
    g_ptr_array_add(c.texts, cut(plain, width));
  }
  for (guint k = 0; k < c.texts->len; k++)
    c.width = MAX(c.width, width_of(c.texts->pdata[k]));
  return c;
}

void mr_rows_print(FILE *out, const struct mr_rows *r, bool system, int width)
{
  g_autoptr(GArray) columns = g_array_new(FALSE, FALSE, sizeof(struct table_column));
  for (int64_t i = 0; i < r->schema.n_children; i++) {
    if (!system && mr_schema_is_system(r->schema.children[i]))
      continue;
    struct table_column c = table_column(r, i, width);
    g_array_append_val(columns, c);
  }
  for (guint k = 0; k < r->rows->len + 1; k++)
    for (guint i = 0; i < columns->len; i++) {
      const struct table_column *c = &g_array_index(columns, struct table_column, i);
      print_cell(out, c->texts->pdata[k], c->width, c->right, i + 1 == columns->len);
    }
  for (guint i = 0; i < columns->len; i++)
    g_ptr_array_unref(g_array_index(columns, struct table_column, i).texts);
}
