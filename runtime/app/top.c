/* SPDX-License-Identifier: Apache-2.0 */
#include "app/top.h"
#include <string.h>
#include "conf/node.h"

#define CELLS 11
static const char *const titles[CELLS + 1] = {"STAGE", "KIND",    "STATE",     "ROWS/S",
                                              "MB/S",  "RING",    "STALL",     "LAG",
                                              "P99",   "LETTERS", "LAST ERROR"};

/* JSON is YAML, flow style. */
static struct mr_ynode *parse(const char *text)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_ynode *n = mr_yaml_parse(text, strlen(text), problems);
  if (mr_ynode_get(n, "stages"))
    return n;
  mr_ynode_free(n);
  return NULL;
}

static const char *text_of(const struct mr_ynode *map, const char *key)
{
  const struct mr_ynode *n = mr_ynode_get(map, key);
  bool null = n && n->type == MR_NODE_SCALAR && !n->quote && !strcmp(n->text, "null");
  return n && n->type == MR_NODE_SCALAR && !null ? n->text : "";
}

static double number_of(const struct mr_ynode *map, const char *key)
{
  return g_ascii_strtod(text_of(map, key), NULL);
}

/* The same stage instance in the other answer, or NULL. */
static const struct mr_ynode *twin(const struct mr_ynode *stages, const struct mr_ynode *s)
{
  for (guint i = 0; i < mr_ynode_count(stages); i++) {
    const struct mr_ynode *other = mr_ynode_kid(stages, i);
    if (!strcmp(text_of(other, "name"), text_of(s, "name")) &&
        !strcmp(text_of(other, "instance"), text_of(s, "instance")))
      return other;
  }
  return NULL;
}

static double grown(const struct mr_ynode *before, const struct mr_ynode *s, const char *key,
                    double seconds)
{
  double by = number_of(s, key) - (before ? number_of(before, key) : 0);
  return before && by > 0 && seconds > 0 ? by / seconds : 0;
}

static char *name_cell(const struct mr_ynode *stages, const struct mr_ynode *s)
{
  guint same = 0;
  for (guint i = 0; i < mr_ynode_count(stages); i++)
    same += !strcmp(text_of(mr_ynode_kid(stages, i), "name"), text_of(s, "name"));
  return same > 1 ? g_strdup_printf("%s.%s", text_of(s, "name"), text_of(s, "instance"))
                  : g_strdup(text_of(s, "name"));
}

static char *latency_cell(const struct mr_ynode *s)
{
  const struct mr_ynode *latency = mr_ynode_get(s, "latency_seconds");
  bool some = latency && *text_of(latency, "p99");
  return some ? g_strdup_printf("%.2fs", number_of(latency, "p99")) : g_strdup("-");
}

static char **cells_of(const struct mr_ynode *stages, const struct mr_ynode *s,
                       const struct mr_ynode *before, double seconds)
{
  char **c = g_new0(char *, CELLS + 1);
  bool source = !strcmp(text_of(s, "kind"), "source"), sink = !strcmp(text_of(s, "kind"), "sink");
  int i = 0;
  c[i++] = name_cell(stages, s);
  c[i++] = g_strdup(text_of(s, "kind"));
  c[i++] = g_strdup(text_of(s, "state"));
  c[i++] = g_strdup_printf("%.0f", grown(before, s, source ? "rows_in" : "rows_out", seconds));
  c[i++] = g_strdup_printf("%.2f", grown(before, s, "bytes_out", seconds) / 1e6);
  c[i++] = source ? g_strdup("-")
                  : g_strdup_printf("%s/%s", text_of(s, "queued"), text_of(s, "ring_slots"));
  c[i++] = g_strdup_printf("%.0f%%", MIN(100 * grown(before, s, "stall_seconds", seconds), 100));
  c[i++] = sink ? g_strdup_printf("%.1fs", number_of(s, "lag_seconds")) : g_strdup("-");
  c[i++] = latency_cell(s);
  c[i++] = g_strdup(text_of(s, "rejected"));
  c[i++] = g_strdelimit(g_strdup(text_of(s, "last_error")), "\n\r\t\033", ' ');
  return c;
}

/* A lookup as one more line: its rows a second, and why it is not ready. */
static char **lookup_cells(const struct mr_ynode *l, const struct mr_ynode *before, double seconds)
{
  const char *state = text_of(l, "state");
  char **c = g_new0(char *, CELLS + 1);
  int i = 0;
  c[i++] = g_strdup(text_of(l, "name"));
  c[i++] = g_strdup("lookup");
  c[i++] = g_strdup(state);
  c[i++] = g_strdup_printf("%.0f", grown(before, l, "rows", seconds));
  while (i < CELLS - 2)
    c[i++] = g_strdup("-");
  c[i++] = g_strdup(text_of(l, "rejected"));
  c[i++] =
      g_strdelimit(g_strdup(strcmp(state, "ready") ? text_of(l, "text") : ""), "\n\r\t\033", ' ');
  return c;
}

static void put_line(GString *out, char *const *cells, const size_t *width, int columns)
{
  g_autoptr(GString) line = g_string_new(NULL);
  for (int i = 0; i < CELLS; i++) {
    bool text = i < 3 || i == CELLS - 1; /* numbers stand at the right */
    g_string_append_printf(line, text ? "%s%-*s" : "%s%*s", i ? "  " : "",
                           i == CELLS - 1 ? 0 : (int)width[i], cells[i]);
  }
  while (line->len && line->str[line->len - 1] == ' ')
    g_string_truncate(line, line->len - 1);
  if (columns > 0 && g_utf8_validate(line->str, -1, NULL) && g_utf8_strlen(line->str, -1) > columns)
    g_string_truncate(line, (gsize)(g_utf8_offset_to_pointer(line->str, columns) - line->str));
  g_string_append_printf(out, "%s\n", line->str);
}

static void put_head(GString *out, const struct mr_ynode *now)
{
  g_string_append_printf(out, "%s: %s, %.1f MB in flight, %s dead letters\n\n",
                         text_of(now, "pipeline"), text_of(now, "state"),
                         number_of(now, "memory_bytes") / 1e6, text_of(now, "dead_letters"));
}

static char *table(const struct mr_ynode *before, const struct mr_ynode *now, double seconds,
                   int columns)
{
  const struct mr_ynode *stages = mr_ynode_get(now, "stages"),
                        *lookups = mr_ynode_get(now, "lookups");
  g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
  GString *out = g_string_new(NULL);
  size_t width[CELLS] = {0};
  g_ptr_array_add(lines, g_strdupv((char **)titles));
  for (guint i = 0; i < mr_ynode_count(stages); i++) {
    const struct mr_ynode *s = mr_ynode_kid(stages, i);
    g_ptr_array_add(lines, cells_of(stages, s, twin(mr_ynode_get(before, "stages"), s), seconds));
  }
  for (guint i = 0; i < mr_ynode_count(lookups); i++) {
    const struct mr_ynode *l = mr_ynode_kid(lookups, i);
    g_ptr_array_add(lines, lookup_cells(l, twin(mr_ynode_get(before, "lookups"), l), seconds));
  }
  for (guint i = 0; i < lines->len; i++)
    for (int k = 0; k < CELLS; k++)
      width[k] = MAX(width[k], strlen(((char **)lines->pdata[i])[k]));
  put_head(out, now);
  for (guint i = 0; i < lines->len; i++)
    put_line(out, lines->pdata[i], width, columns);
  return g_string_free(out, FALSE);
}

char *mr_top_table(const char *before, const char *now, double seconds, int columns)
{
  struct mr_ynode *a = parse(before), *b = parse(now);
  char *text = b ? table(a, b, seconds, columns) : NULL;
  mr_ynode_free(a);
  mr_ynode_free(b);
  return text;
}
