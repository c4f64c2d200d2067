/* SPDX-License-Identifier: Apache-2.0 */
/* The target table: which columns it has, which the input fills, and how each is encoded. */
#include <ctype.h>
#include "clickhouse.h"

int ch_column_find(const struct ch_sink *s, const char *name)
{
  for (int i = 0; i < s->n_columns; i++)
    if (!strcmp(s->column[i].name, name))
      return i;
  return -1;
}

bool ch_is_key(const struct ch_sink *s, const char *name)
{
  const struct mr_list *lists[] = {&s->conf->key, &s->conf->order_by};
  for (int k = 0; k < 2; k++)
    for (size_t i = 0; i < lists[k]->n; i++)
      if (!strcmp(((const char *const *)lists[k]->item)[i], name))
        return true;
  return false;
}

char *ch_quoted_name(const struct ch_sink *s, const struct sql_name *n)
{
  struct sql_buf b = {0};
  ch_ident(&b, n->schema ? n->schema : s->database);
  sql_buf_byte(&b, '.');
  ch_ident(&b, n->table);
  sql_buf_text(&b);
  return (char *)b.p;
}

static void forget_plan(struct ch_sink *s)
{
  for (int i = 0; i < s->n_nodes; i++)
    ch_node_done(&s->node[i]);
  free(s->node);
  free(s->node_column);
  s->node = NULL;
  s->node_column = NULL;
  s->n_nodes = 0;
  s->version_node = s->deleted_node = -1;
}

static void forget_columns(struct ch_column *column, int n)
{
  for (int i = 0; i < n; i++) {
    ch_type_done(&column[i].type);
    free(column[i].name);
    free(column[i].shown);
    free(column[i].wire);
  }
  free(column);
}

void ch_target_forget(struct ch_sink *s)
{
  forget_plan(s);
  forget_columns(s->column, s->n_columns);
  s->column = NULL;
  s->n_columns = 0;
  s->learned = false;
}

/* ---------------------------------------------------------------- reading the columns */

static int fill_column(struct ch_column *c, const char *name, const char *type, const char *kind,
                       struct mr_error *err)
{
  struct sql_buf wire = {0};
  *c = (struct ch_column){.name = strdup(name), .shown = strdup(type), .source = -1};
  if (!ch_type_parse(type, &c->type))
    c->type.kind = CH_NONE;
  ch_type_wire(type, &c->type, &wire);
  sql_buf_text(&wire);
  c->wire = (char *)wire.p;
  c->computed = !strcmp(kind, "MATERIALIZED") || !strcmp(kind, "ALIAS");
  c->has_default = *kind != 0;
  return c->name && c->shown && c->wire && !wire.failed ? MR_OK : ch_no_memory(err);
}

static int read_columns(char *text, struct ch_column **ret, int *ret_n, struct mr_error *err)
{
  bool last;
  for (char *name; (name = ch_field(&text, &last));) {
    char *type = last ? NULL : ch_field(&text, &last);
    char *kind = last || !type ? NULL : ch_field(&text, &last);
    struct ch_column *grown = realloc(*ret, (size_t)(*ret_n + 1) * sizeof *grown);
    if (!grown)
      return ch_no_memory(err);
    *ret = grown;
    int status = fill_column(&grown[(*ret_n)++], name, type ? type : "", kind ? kind : "", err);
    if (status < 0)
      return status;
  }
  return MR_OK;
}

static int ask_columns(struct ch_sink *s, struct ch_column **ret, int *ret_n, struct mr_error *err)
{
  struct sql_buf sql = {0}, answer = {0};
  sql_buf_str(&sql, "SELECT name, type, default_kind FROM system.columns WHERE database = ");
  ch_literal(&sql, s->table.schema ? s->table.schema : s->database);
  sql_buf_str(&sql, " AND table = ");
  ch_literal(&sql, s->table.table);
  int status = ch_query(s, sql_buf_text(&sql), "SELECT from system.columns", &answer, err);
  *ret = NULL;
  *ret_n = 0;
  if (status >= 0)
    status = read_columns((char *)answer.p, ret, ret_n, err);
  sql_buf_done(&sql);
  sql_buf_done(&answer);
  if (status >= 0 && !*ret_n) {
    snprintf(err->option, sizeof err->option, "table");
    return src_fail(err, MR_BADCONF, "60",
                    "table %s does not exist%s, database %s; create it, or say create: true",
                    s->shown, s->where, s->table.schema ? s->table.schema : s->database);
  }
  return status;
}

int ch_target_columns(struct ch_sink *s, struct mr_error *err)
{
  struct ch_column *column;
  int n, status = ask_columns(s, &column, &n, err);
  if (status < 0) {
    forget_columns(column, n);
    return status;
  }
  ch_target_forget(s);
  s->column = column;
  s->n_columns = n;
  for (int i = 0; i < n; i++)
    column[i].is_key = ch_is_key(s, column[i].name);
  return MR_OK;
}

int ch_target_compare(struct ch_sink *s, struct mr_error *err)
{
  struct ch_column *column;
  int n, status = ask_columns(s, &column, &n, err);
  bool same = status >= 0 && n == s->n_columns;
  for (int i = 0; i < n && same; i++)
    same = !strcmp(column[i].name, s->column[i].name) &&
           !strcmp(column[i].shown, s->column[i].shown) &&
           column[i].computed == s->column[i].computed;
  forget_columns(column, n);
  if (status < 0 || same)
    return status;
  src_log(s->host, MR_INFO, "the columns of %s have changed: reading them again", s->shown);
  return ch_target_learn(s, err);
}

/* ---------------------------------------------------------------- creating the table */

static void column_list(const struct mr_list *names, struct sql_buf *sql)
{
  for (size_t i = 0; i < names->n; i++) {
    sql_buf_str(sql, i ? ", " : "");
    ch_ident(sql, ((const char *const *)names->item)[i]);
  }
}

bool ch_mentions(const char *sql, const char *name)
{
  size_t n = strlen(name);
  for (const char *p = sql ? strstr(sql, name) : NULL; p && n; p = strstr(p + 1, name)) {
    bool begins = p == sql || !(isalnum((unsigned char)p[-1]) || p[-1] == '_');
    if (begins && !(isalnum((unsigned char)p[n]) || p[n] == '_'))
      return true;
  }
  return false;
}

/* Columns that order, part or version the rows take no nulls. */
bool ch_takes_nulls(const struct ch_sink *s, const struct ArrowSchema *c)
{
  const char *version = s->conf->version;
  return (c->flags & ARROW_FLAG_NULLABLE) && !ch_is_key(s, c->name) &&
         !(version && !strcmp(c->name, version)) && !ch_mentions(s->conf->partition_by, c->name);
}

static int columns_ddl(struct ch_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int n = 0;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    if (mr_schema_is_system(c))
      continue;
    sql_buf_str(sql, n++ ? ", " : "");
    ch_ident(sql, c->name);
    sql_buf_byte(sql, ' ');
    if (!ch_type_ddl(c, ch_takes_nulls(s, c), s->server.modern, sql))
      return src_fail(err, MR_BADCONF, "", "column %s has a type without a ClickHouse name",
                      c->name);
  }
  if (s->conf->mode == MODE_UPSERT && !s->conf->version)
    sql_buf_str(sql, ", " CH_VERSION " UInt64");
  if (s->conf->mode == MODE_UPSERT)
    sql_buf_str(sql, ", " CH_DELETED " UInt8");
  return MR_OK;
}

static void engine_ddl(struct ch_sink *s, struct sql_buf *sql)
{
  const struct mr_list *order = s->conf->order_by.n ? &s->conf->order_by : &s->conf->key;
  bool deleted = s->server.major > 23 || (s->server.major == 23 && s->server.minor >= 2);
  sql_buf_str(sql, ") ENGINE = ");
  if (s->conf->mode == MODE_UPSERT) {
    sql_buf_str(sql, "ReplacingMergeTree(");
    ch_ident(sql, s->conf->version ? s->conf->version : CH_VERSION);
    sql_buf_str(sql, deleted ? ", " CH_DELETED ")" : ")");
  } else {
    sql_buf_str(sql, "MergeTree");
  }
  if (s->conf->partition_by)
    sql_buf_fmt(sql, " PARTITION BY %s", s->conf->partition_by);
  sql_buf_str(sql, " ORDER BY (");
  if (order->n)
    column_list(order, sql);
  else
    sql_buf_str(sql, "tuple()");
  sql_buf_byte(sql, ')');
  if (s->server.token && s->conf->window > 0)
    sql_buf_fmt(sql, " SETTINGS non_replicated_deduplication_window = %lld",
                (long long)s->conf->window);
}

int ch_target_ddl(struct ch_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  sql_buf_fmt(sql, "CREATE TABLE IF NOT EXISTS %s (", s->target);
  int status = columns_ddl(s, sql, err);
  engine_ddl(s, sql);
  return status;
}

static int create_table(struct ch_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = ch_target_ddl(s, &sql, err);
  if (status >= 0)
    status = ch_query(s, sql_buf_text(&sql), "CREATE TABLE", NULL, err);
  sql_buf_done(&sql);
  if (status >= 0)
    src_log(s->host, MR_INFO, "created table %s", s->shown);
  return status;
}

/* ---------------------------------------------------------------- matching the input */

static int find_source(const struct ch_sink *s, const char *name)
{
  return s->in.release ? (int)mr_schema_find(&s->in, name) : -1;
}

/* Links the input with the columns; appends the names that the table has not. */
static int link_columns(struct ch_sink *s, struct sql_buf *missing)
{
  int n = 0;
  for (int i = 0; i < s->n_columns; i++)
    s->column[i].source = -1;
  s->op_source = find_source(s, "_op");
  s->range_source = find_source(s, MR_RANGE);
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const char *name = s->in.children[i]->name;
    int at = ch_column_find(s, name);
    if (mr_schema_is_system(s->in.children[i]))
      continue;
    if (at >= 0)
      s->column[at].source = (int32_t)i;
    else
      sql_buf_fmt(missing, "%s%s", n++ ? ", " : "", name);
  }
  return n;
}

/* The input's column has no way into the table's: its rows are refused, or the table is. */
static int cannot(struct ch_sink *s, int column, struct mr_error *err)
{
  const struct ch_column *c = &s->column[column];
  const struct ArrowSchema *from = s->in.children[c->source];
  struct evo_table t = ch_evolve_table(s);
  struct evo_column e;
  struct sql_buf brings = {0};
  ch_evolve_column(s, column, &e);
  if (ch_node_unfit(&s->node[s->n_nodes]) && evo_refuses_rows(&t, &e, from, s->lenient)) {
    s->node_column[s->n_nodes++] = column;
    return MR_OK;
  }
  evo_type_name(from, &brings);
  snprintf(err->option, sizeof err->option, "table");
  int status =
      src_fail(err, MR_BADCONF, "53",
               "column %s of %s has type %.120s and the pipeline brings %.120s: add a cast",
               c->name, s->shown, c->shown, sql_buf_text(&brings));
  sql_buf_done(&brings);
  return status;
}

static int plan_column(struct ch_sink *s, int i, struct mr_error *err)
{
  const struct ch_column *c = &s->column[i];
  const struct ArrowSchema *from = s->in.children[c->source];
  snprintf(err->option, sizeof err->option, "table");
  if (c->computed)
    return src_fail(err, MR_BADCONF, "44",
                    "column %s of %s is computed by the table: it cannot be "
                    "written; leave it out of the pipeline",
                    c->name, s->shown);
  if (s->server.major < 19 && ch_type_has_low_cardinality(&c->type))
    return src_fail(err, MR_BADCONF, "368",
                    "column %s of %s is %s, which this server (%s) does not "
                    "fill from plain values",
                    c->name, s->shown, c->shown, s->server.version);
  if (ch_type_unknown(&c->type))
    return src_fail(err, MR_BADCONF, "50",
                    "column %s of %s has type %.200s, which cannot be written", c->name, s->shown,
                    c->shown);
  *err->option = 0;
  if (!ch_node_plan(&s->node[s->n_nodes], from, &c->type))
    return cannot(s, i, err);
  if (s->server.major < 20)
    ch_node_limit_days(&s->node[s->n_nodes]);
  s->node_column[s->n_nodes++] = i;
  return MR_OK;
}

/* Columns that this sink makes: their node has no source. */
static int plan_made(struct ch_sink *s, const char *name, int width, int *ret_node,
                     struct mr_error *err)
{
  int at = name ? ch_column_find(s, name) : -1;
  if (at < 0 || s->column[at].source >= 0)
    return MR_OK;
  const struct ch_type *t = &s->column[at].type;
  if (t->kind != CH_UINT || t->width != width || t->nullable)
    return src_badconf(err, "table", "column %s of %s has type %s; it must be UInt%d", name,
                       s->shown, s->column[at].shown, 8 * width);
  s->node[s->n_nodes].type = t;
  s->node[s->n_nodes].op = CH_OP_SCALED;
  *ret_node = s->n_nodes;
  s->node_column[s->n_nodes++] = at;
  return MR_OK;
}

static int check_upsert(struct ch_sink *s, struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  if (!s->engine.version_column)
    return src_badconf(err, "table",
                       "mode upsert needs a ReplacingMergeTree with a version "
                       "column; %s is %.100s",
                       s->shown, s->engine.engine_full);
  if (s->conf->version && strcmp(s->conf->version, s->engine.version_column))
    return src_badconf(err, "version", "the version column of %s is %s", s->shown,
                       s->engine.version_column);
  for (size_t i = 0; i < s->conf->key.n; i++) {
    int at = ch_column_find(s, key[i]);
    if (at < 0 || s->column[at].source < 0)
      return src_badconf(err, "key", "key column %s is %s", key[i],
                         at < 0 ? "no column of the table" : "not among the pipeline's columns");
  }
  return MR_OK;
}

static int plan_nodes(struct ch_sink *s, struct mr_error *err)
{
  int status = MR_OK;
  forget_plan(s);
  s->node = calloc((size_t)s->n_columns + 1, sizeof *s->node);
  s->node_column = calloc((size_t)s->n_columns + 1, sizeof *s->node_column);
  if (!s->node || !s->node_column)
    return ch_no_memory(err);
  for (int i = 0; i < s->n_columns && status >= 0; i++)
    if (s->column[i].source >= 0)
      status = plan_column(s, i, err);
  if (status >= 0 && !s->n_nodes)
    status =
        src_fail(err, MR_BADCONF, "16", "table %s has none of the pipeline's columns", s->shown);
  if (status < 0 || s->conf->mode != MODE_UPSERT)
    return status;
  status = check_upsert(s, err);
  if (status >= 0)
    status = plan_made(s, s->engine.version_column, 8, &s->version_node, err);
  if (status >= 0)
    status = plan_made(s, s->engine.deleted_column ? s->engine.deleted_column : CH_DELETED, 1,
                       &s->deleted_node, err);
  return status;
}

int ch_target_plan(struct ch_sink *s, struct mr_error *err)
{
  struct sql_buf missing = {0};
  int n = link_columns(s, &missing), status = MR_OK;
  if (n && s->lenient) {
    src_log(s->host, MR_WARN, "columns that %s has not are left out (evolve: none): %s", s->shown,
            sql_buf_text(&missing));
  } else if (n && s->conf->evolve == EVOLVE_NONE) {
    snprintf(err->option, sizeof err->option, "table");
    status =
        src_fail(err, MR_BADCONF, "16", "table %s has no column %.300s; add it, or say evolve: add",
                 s->shown, sql_buf_text(&missing));
  }
  sql_buf_done(&missing);
  return status < 0 ? status : plan_nodes(s, err);
}

/* ---------------------------------------------------------------- the promise */

void ch_promise(const struct ch_sink *s, struct sql_buf *out)
{
  const struct ch_table *t = &s->engine;
  if (s->exactly_once) {
    sql_buf_fmt(out, "exactly once within the last %lld blocks", (long long)t->window);
    if (t->window_seconds)
      sql_buf_fmt(out, " and %lld s", (long long)t->window_seconds);
  } else if (!s->server.token) {
    sql_buf_fmt(out, "at least once: version %s has no insert_deduplication_token",
                s->server.version);
  } else if (strstr(t->engine, "MergeTree")) {
    sql_buf_fmt(
        out,
        "at least once: %s = 0, so a block that is sent again is stored again (ALTER "
        "TABLE %s MODIFY SETTING %s = 10000 makes it exactly once)",
        t->replicated ? "replicated_deduplication_window" : "non_replicated_deduplication_window",
        s->target,
        t->replicated ? "replicated_deduplication_window" : "non_replicated_deduplication_window");
  } else {
    sql_buf_fmt(out, "at least once: a table of engine %s remembers no blocks", t->engine);
  }
}

static int settle_promise(struct ch_sink *s, struct mr_error *err)
{
  struct sql_buf words = {0};
  int status = ch_server_window(s, err);
  if (status < 0)
    return status;
  ch_promise(s, &words);
  if (s->conf->delivery == DELIVERY_EXACTLY_ONCE && !s->exactly_once)
    status = src_badconf(err, "delivery", "table %s%s gives less: %s", s->shown, s->where,
                         sql_buf_text(&words));
  else if (!s->exactly_once && s->conf->delivery == DELIVERY_AUTO && !s->warned)
    src_log(s->host, MR_WARN, "table %s%s: %s", s->shown, s->where, sql_buf_text(&words));
  s->warned = true;
  sql_buf_done(&words);
  return status;
}

int ch_target_learn(struct ch_sink *s, struct mr_error *err)
{
  int status = ch_server_learn(s, err);
  if (status >= 0)
    status = ch_target_columns(s, err);
  if (status == MR_BADCONF && !strcmp(err->code, "60") && s->conf->create) {
    *err = (struct mr_error){.size = sizeof *err, .row = -1};
    status = create_table(s, err);
    if (status >= 0)
      status = ch_target_columns(s, err);
  }
  if (status >= 0)
    status = settle_promise(s, err);
  struct evo_table t = ch_evolve_table(s);
  if (status >= 0)
    status = evo_follow(&t, NULL, &s->in, err);
  if (status >= 0)
    status = ch_target_plan(s, err);
  if (status < 0)
    ch_target_forget(s);
  s->learned = status >= 0;
  return status;
}
