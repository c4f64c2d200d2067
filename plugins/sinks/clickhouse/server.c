/* SPDX-License-Identifier: Apache-2.0 */
/* What the server and the table's engine can do. Settings that a server does not have are refused
 * by it, so it is asked first. */
#include <ctype.h>
#include "clickhouse.h"

/* What every insert says, where the server has it: no asynchronous inserts; nothing is converted,
 * filled in or left out in silence; one block stays one block; a block that comes twice is dropped,
 * in views, too. */
static const struct {
  const char *name, *value;
} wanted[] = {
    {"async_insert", "0"},
    {"wait_for_async_insert", "1"},
    {"insert_deduplicate", "1"},
    {"deduplicate_insert", "enable"},
    {"deduplicate_blocks_in_dependent_materialized_views", "1"},
    {"input_format_null_as_default", "0"},
    {"input_format_skip_unknown_fields", "0"},
    {"max_partitions_per_insert_block", "0"},
    {"max_insert_block_size", "1073741824"},
    {"max_insert_block_size_bytes", "0"},
    {"min_insert_block_size_rows", "0"},
    {"min_insert_block_size_bytes", "0"},
    {"use_strict_insert_block_limits", "0"},
    {"http_write_exception_in_output_format", "0"},
    {"http_native_compression_disable_checksumming_on_decompress", "1"},
    {"insert_deduplication_token", NULL}, /* each block's own */
};
#define N_WANTED (sizeof wanted / sizeof *wanted)

void ch_server_forget(struct ch_server *v)
{
  free(v->insert_settings);
  memset(v, 0, sizeof *v);
}

static int number(const char **at)
{
  int v = 0;
  for (; isdigit((unsigned char)**at) && v < 1000000; (*at)++)
    v = 10 * v + (**at - '0');
  return v;
}

/* As many digits as there are: block numbers are not negative and below 2^63. */
static uint64_t block_number(const char *p)
{
  uint64_t v = 0;
  for (; isdigit((unsigned char)*p) && v < UINT64_MAX / 10 - 9; p++)
    v = 10 * v + (uint64_t)(*p - '0');
  return v;
}

static void read_version(struct ch_server *v, char *text)
{
  bool last;
  char *at = text, *name = ch_field(&at, &last);
  const char *p = name ? name : "";
  snprintf(v->version, sizeof v->version, "%s", p);
  v->major = number(&p);
  p += *p == '.';
  v->minor = number(&p);
  v->modern = v->major > 21 || (v->major == 21 && v->minor >= 12);
}

static int read_settings(struct ch_sink *s, char *text, struct mr_error *err)
{
  struct sql_buf settings = {0};
  bool last;
  for (char *name; (name = ch_field(&text, &last));)
    for (size_t i = 0; i < N_WANTED; i++) {
      if (strcmp(name, wanted[i].name))
        continue;
      s->server.unsummed |= !strncmp(name, "http_native_", 12);
      if (wanted[i].value)
        sql_buf_fmt(&settings, "&%s=%s", name, wanted[i].value);
      else
        s->server.token = true;
    }
  sql_buf_text(&settings);
  s->server.insert_settings = (char *)settings.p;
  return settings.p ? MR_OK : ch_no_memory(err);
}

int ch_server_learn(struct ch_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0}, answer = {0};
  if (s->server.known)
    return MR_OK;
  ch_server_forget(&s->server);
  int status = ch_query(s, "SELECT version()", "SELECT version()", &answer, err);
  if (status < 0)
    return status;
  read_version(&s->server, (char *)answer.p);
  sql_buf_done(&answer);
  sql_buf_str(&sql, "SELECT name FROM system.settings WHERE name IN (");
  for (size_t i = 0; i < N_WANTED; i++)
    sql_buf_fmt(&sql, "%s'%s'", i ? ", " : "", wanted[i].name);
  sql_buf_byte(&sql, ')');
  status = ch_query(s, sql_buf_text(&sql), "SELECT from system.settings", &answer, err);
  if (status >= 0)
    status = read_settings(s, (char *)answer.p, err);
  sql_buf_done(&sql);
  sql_buf_done(&answer);
  s->server.known = status >= 0;
  return status;
}

/* ---------------------------------------------------------------- the table's engine */

static void forget_engine(struct ch_table *t)
{
  free(t->engine);
  free(t->engine_full);
  free(t->version_column);
  free(t->deleted_column);
  memset(t, 0, sizeof *t);
}

/* The value of a setting in "… SETTINGS a = 1, b = 2"; false: it is not there. */
static bool setting_of(const char *engine_full, const char *name, int64_t *ret)
{
  const char *p = strstr(engine_full, "SETTINGS ");
  size_t n = strlen(name);
  for (p = p ? p + 8 : NULL; p && *p; p = strchr(p, ',')) {
    p += strspn(p, ", ");
    if (strncmp(p, name, n) || (p[n] != ' ' && p[n] != '='))
      continue;
    p += n + strspn(p + n, " =");
    *ret = number(&p);
    return true;
  }
  return false;
}

static char *take_word(const char **at)
{
  const char *p = *at + strspn(*at, ", ");
  size_t n = strcspn(p, ",) ");
  *at = p + n;
  if (n > 2 && *p == '`') {
    p++;
    n -= 2;
  }
  return n ? strndup(p, n) : NULL;
}

/* Arguments of ReplacingMergeTree, those of replication (quoted) left out. */
static void read_replacing(struct ch_table *t)
{
  const char *p = strstr(t->engine, "Replacing") ? strchr(t->engine_full, '(') : NULL;
  size_t named = strlen(t->engine);
  if (!p || (size_t)(p - t->engine_full) != named)
    return;
  for (p++; *p == '\'' || *p == ',' || *p == ' ';) {
    p += strspn(p, ", ");
    if (*p == '\'')
      p += 1 + strcspn(p + 1, "'") + 1;
  }
  t->version_column = *p && *p != ')' ? take_word(&p) : NULL;
  t->deleted_column = t->version_column && *p == ',' ? take_word(&p) : NULL;
}

static int default_of(struct ch_sink *s, const char *name, int64_t *ret, struct mr_error *err)
{
  struct sql_buf sql = {0}, answer = {0};
  sql_buf_fmt(&sql, "SELECT value FROM system.%s WHERE name = '%s'",
              s->engine.replicated && s->server.major >= 24 ? "replicated_merge_tree_settings"
                                                            : "merge_tree_settings",
              name);
  int status =
      ch_query(s, sql_buf_text(&sql), "SELECT from system.merge_tree_settings", &answer, err);
  const char *p = status >= 0 ? (const char *)answer.p : "";
  *ret = number(&p);
  sql_buf_done(&sql);
  sql_buf_done(&answer);
  return status;
}

static int read_window(struct ch_sink *s, const char *name, int64_t *ret, struct mr_error *err)
{
  return setting_of(s->engine.engine_full, name, ret) ? MR_OK : default_of(s, name, ret, err);
}

static int windows(struct ch_sink *s, struct mr_error *err)
{
  struct ch_table *t = &s->engine;
  size_t n = strlen(t->engine);
  t->replicated = !strncmp(t->engine, "Replicated", 10) || !strncmp(t->engine, "Shared", 6);
  if (n < 9 || strcmp(t->engine + n - 9, "MergeTree"))
    return MR_OK; /* nothing is known of what such a table remembers */
  if (!t->replicated)
    return read_window(s, "non_replicated_deduplication_window", &t->window, err);
  int status = read_window(s, "replicated_deduplication_window", &t->window, err);
  if (status >= 0)
    status = read_window(s, "replicated_deduplication_window_seconds", &t->window_seconds, err);
  return status;
}

int ch_server_newest(struct ch_sink *s, uint64_t *ret, struct mr_error *err)
{
  struct sql_buf sql = {0}, answer = {0};
  sql_buf_fmt(
      &sql, "SELECT %s FROM (SELECT max(max_block_number) AS n FROM system.parts WHERE database = ",
      s->engine.replicated ? "sum(n)" : "max(n)");
  ch_literal(&sql, s->table.schema ? s->table.schema : s->database);
  sql_buf_str(&sql, " AND table = ");
  ch_literal(&sql, s->table.table);
  sql_buf_str(&sql, " GROUP BY partition_id)");
  int status = ch_query(s, sql_buf_text(&sql), "SELECT from system.parts", &answer, err);
  if (status >= 0)
    *ret = block_number((const char *)answer.p);
  sql_buf_done(&sql);
  sql_buf_done(&answer);
  return status;
}

int ch_server_window(struct ch_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0}, answer = {0};
  bool last;
  forget_engine(&s->engine);
  sql_buf_str(&sql, "SELECT engine, engine_full FROM system.tables WHERE database = ");
  ch_literal(&sql, s->table.schema ? s->table.schema : s->database);
  sql_buf_str(&sql, " AND name = ");
  ch_literal(&sql, s->table.table);
  int status = ch_query(s, sql_buf_text(&sql), "SELECT from system.tables", &answer, err);
  char *at = (char *)answer.p;
  char *engine = status >= 0 ? ch_field(&at, &last) : NULL;
  char *full = engine && !last ? ch_field(&at, &last) : NULL;
  s->engine.engine = strdup(engine ? engine : "");
  s->engine.engine_full = strdup(full ? full : "");
  sql_buf_done(&sql);
  sql_buf_done(&answer);
  if (!s->engine.engine || !s->engine.engine_full)
    return ch_no_memory(err);
  read_replacing(&s->engine);
  if (status >= 0)
    status = windows(s, err);
  s->exactly_once = status >= 0 && s->server.token && s->engine.window > 0;
  return status;
}
