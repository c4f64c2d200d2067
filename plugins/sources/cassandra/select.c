/* SPDX-License-Identifier: Apache-2.0 */
/* The statement of a scan, and the columns that its rows become. */
#include "cassandra.h"
#include "change.h"
#include "common/src-error.h"

void cass_select_done(struct cass_select *s)
{
  for (size_t i = 0; i < s->n; i++)
    free(s->item[i].column);
  free(s->item);
  free(s->key);
  free(s->cql);
  free(s->all);
  *s = (struct cass_select){0};
}

static bool add_item(struct cass_select *s, enum cass_use use, const char *column)
{
  struct cass_item *item = realloc(s->item, (s->n + 1) * sizeof *item);
  if (!item)
    return false;
  s->item = item;
  item[s->n] = (struct cass_item){.use = use, .column = strdup(column)};
  return item[s->n++].column != NULL;
}

/* ---- which columns */

static int add_values(struct cass_select *s, const struct cass_conf *conf,
                      const struct cass_table *t, struct mr_error *err)
{
  bool ok = true;
  for (size_t i = 0; ok && !conf->columns && i < t->n; i++)
    ok = add_item(s, CASS_USE_VALUE, t->column[i].name);
  for (int64_t i = 0; ok && conf->columns && i < conf->columns->n_children; i++) {
    const char *name = conf->columns->children[i]->name;
    if (cass_table_find(t, name) < 0) {
      snprintf(err->option, sizeof err->option, "columns.%.80s", name);
      return src_fail(err, MR_BADCONF, "", "table %.200s has no column `%.100s`", conf->table,
                      name);
    }
    ok = add_item(s, CASS_USE_VALUE, name);
  }
  return ok ? MR_OK : src_no_memory(err);
}

static int add_times(struct cass_select *s, const struct mr_list *list, enum cass_use use,
                     const struct cass_conf *conf, const struct cass_table *t, struct mr_error *err)
{
  const char *option = use == CASS_USE_TTL ? "ttl" : "writetime";
  for (size_t i = 0; i < list->n; i++) {
    const char *name = ((const char *const *)list->item)[i];
    int64_t at = cass_table_find(t, name);
    if (at < 0)
      return src_badconf(err, option, "table %.200s has no column `%.100s`", conf->table, name);
    if (t->column[at].kind <= CASS_CLUSTERING)
      return src_badconf(err, option, "`%.100s` is a key column: those have no %s", name,
                         use == CASS_USE_TTL ? "time to live" : "write time");
    if (!add_item(s, use, name))
      return src_no_memory(err);
  }
  return MR_OK;
}

/* Has WRITETIME(column) one value? Not of collections and user types whose elements are cells. */
static bool one_cell(const struct cass_column *c)
{
  static const char *const many[] = {"list<", "set<", "map<"};
  for (int i = 0; i < 3; i++)
    if (!strncmp(c->type, many[i], strlen(many[i])))
      return false;
  return strcmp(c->type, "counter") != 0;
}

static bool is_plain_type(const char *type)
{
  struct cql_type t;
  struct mr_error err = {.size = sizeof err};
  int rc = cql_type_text(type, strlen(type), NULL, NULL, 0, &t, &err);
  bool frozen = !strncmp(type, "frozen<", 7);
  cql_type_done(&t);
  return frozen || rc >= 0; /* a bare name that is unknown: a user type that is not frozen */
}

bool cass_column_multi(const struct cass_column *c)
{
  return strcmp(c->type, "counter") && (!one_cell(c) || !is_plain_type(c->type));
}

/* The item that is a column as it is; one is added, not to be given, if there is none. -1: no
 * memory. */
static int64_t find_or_add(struct cass_select *s, const char *column)
{
  for (size_t i = 0; i < s->n; i++)
    if ((s->item[i].use == CASS_USE_VALUE || s->item[i].use == CASS_USE_MARK) &&
        !strcmp(s->item[i].column, column))
      return (int64_t)i;
  return add_item(s, CASS_USE_MARK, column) ? (int64_t)s->n - 1 : -1;
}

/* A column of the key: what it is to a position. */
static bool add_key(struct cass_select *s, const struct cass_column *c)
{
  int64_t at = find_or_add(s, c->name);
  if (at < 0)
    return false;
  if (c->kind == CASS_PARTITION_KEY)
    s->key[s->n_key++] = (size_t)at;
  else
    s->clustered = s->item[at].marks = true;
  return true;
}

static bool add_hidden(struct cass_select *s, const struct cass_table *t, bool timestamp)
{
  bool ok = (s->key = calloc(t->n, sizeof *s->key)) != NULL;
  for (size_t i = 0; ok && i < t->n; i++) {
    const struct cass_column *c = &t->column[i];
    if (c->kind <= CASS_CLUSTERING)
      ok = add_key(s, c);
    else if (timestamp && c->kind == CASS_REGULAR && one_cell(c) && is_plain_type(c->type))
      ok = add_item(s, CASS_USE_TIMESTAMP, c->name);
  }
  return ok;
}

/* ---- the statement */

static void put_token(struct sql_buf *b, const struct cass_table *t)
{
  sql_buf_str(b, "token(");
  for (size_t i = 0; i < t->n && t->column[i].kind == CASS_PARTITION_KEY; i++) {
    if (i)
      sql_buf_str(b, ", ");
    sql_ident(b, t->column[i].name);
  }
  sql_buf_byte(b, ')');
}

static char *statement(const char *items, const struct sql_name *name, const struct cass_table *t)
{
  struct sql_buf b = {0};
  sql_buf_fmt(&b, "SELECT %s FROM ", items);
  sql_name_quoted(&b, name);
  sql_buf_str(&b, " WHERE ");
  put_token(&b, t);
  sql_buf_str(&b, " >= ? AND ");
  put_token(&b, t);
  sql_buf_str(&b, " <= ?");
  char *cql = b.failed ? NULL : strdup(sql_buf_text(&b));
  sql_buf_done(&b);
  return cql;
}

static char *scan_statement(const struct cass_select *s, const struct sql_name *name,
                            const struct cass_table *t)
{
  struct sql_buf b = {0};
  for (size_t i = 0; i < s->n; i++) {
    enum cass_use use = s->item[i].use;
    bool plain = use == CASS_USE_VALUE || use == CASS_USE_MARK;
    sql_buf_str(&b, i ? ", " : "");
    sql_buf_str(&b, plain ? "" : use == CASS_USE_TTL ? "ttl(" : "writetime(");
    sql_ident(&b, s->item[i].column);
    if (!plain)
      sql_buf_byte(&b, ')');
  }
  char *cql = b.failed ? NULL : statement(sql_buf_text(&b), name, t);
  sql_buf_done(&b);
  return cql;
}

/* Are the items the table's columns, each once and in their order? */
static bool is_all(const struct cass_select *s, const struct cass_table *t)
{
  bool same = s->n == t->n;
  for (size_t i = 0; same && i < s->n; i++)
    same = (s->item[i].use == CASS_USE_VALUE || s->item[i].use == CASS_USE_MARK) &&
           !strcmp(s->item[i].column, t->column[i].name);
  return same;
}

static bool set_statements(struct cass_select *s, const struct sql_name *name,
                           const struct cass_table *t)
{
  bool all = is_all(s, t);
  s->cql = scan_statement(s, name, t);
  s->all = all ? statement("*", name, t) : NULL;
  return s->cql && (s->all || !all);
}

bool cass_select_has(const struct cass_select *s, const struct cql_columns *c)
{
  bool same = c->n >= 0 && (size_t)c->n == s->n;
  for (size_t i = 0; same && i < s->n; i++)
    same = !strcmp(s->item[i].column, c->item[i].name);
  return same;
}

int cass_select_init(struct cass_select *s, const struct cass_conf *conf,
                     const struct sql_name *name, const struct cass_table *t, bool timestamp,
                     struct mr_error *err)
{
  memset(s, 0, sizeof *s);
  int rc = add_values(s, conf, t, err);
  if (rc >= 0)
    rc = add_times(s, &conf->writetime, CASS_USE_WRITETIME, conf, t, err);
  if (rc >= 0)
    rc = add_times(s, &conf->ttl, CASS_USE_TTL, conf, t, err);
  s->given = s->n;
  if (rc >= 0 && (!add_hidden(s, t, timestamp) || !set_statements(s, name, t)))
    rc = src_no_memory(err);
  if (rc < 0)
    cass_select_done(s);
  return rc;
}

int cass_select_changes(struct cass_select *s, const struct cass_scan_items *items,
                        const struct sql_name *name, const struct cass_table *t,
                        struct mr_error *err)
{
  memset(s, 0, sizeof *s);
  bool ok = (s->key = calloc((size_t)items->n, sizeof *s->key)) != NULL;
  for (int32_t i = 0; ok && i < items->n; i++) {
    ok = add_item(s, CASS_USE_MARK, "");
    if (ok && i < items->key)
      s->key[s->n_key++] = (size_t)i;
    else if (ok)
      s->item[i].marks = i < items->key + items->clustering;
  }
  s->clustered = items->clustering > 0;
  ok = ok && (s->cql = statement(items->cql, name, t));
  return ok ? MR_OK : src_no_memory(err);
}

/* ---- columns */

static bool time_column(const struct cass_item *item, const struct cql_type *t,
                        struct ArrowSchema *ret)
{
  char name[300];
  bool ttl = item->use == CASS_USE_TTL;
  snprintf(name, sizeof name, "%s_%s", item->column, ttl ? "ttl" : "writetime");
  if (t->kind == CQL_BIGINT && !ttl)
    return mr_schema_init(ret, name, "tsu:UTC", true);
  return cql_type_arrow(t, name, ret);
}

int cass_value_column(const struct cass_conf *conf, const char *name, const struct cql_type *t,
                      struct ArrowSchema *ret, struct mr_error *err)
{
  int64_t at = conf->columns ? mr_schema_find(conf->columns, name) : -1;
  const char *why = NULL;
  if (at < 0)
    return cql_type_arrow(t, name, ret) ? MR_OK : src_no_memory(err);
  const struct ArrowSchema *declared = conf->columns->children[at];
  if (!cql_type_fits(t, declared, &why)) {
    struct sql_buf b = {0};
    cql_type_name(t, &b);
    snprintf(err->option, sizeof err->option, "columns.%.80s", name);
    src_fail(err, MR_BADCONF, "", "column `%.100s` is a %.100s in the table: %s", name,
             sql_buf_text(&b), why);
    sql_buf_done(&b);
    return MR_BADCONF;
  }
  return mr_schema_copy(declared, ret) ? MR_OK : src_no_memory(err);
}

int cass_select_schema(const struct cass_select *s, const struct cass_conf *conf,
                       const struct cql_columns *types, struct ArrowSchema *give,
                       struct mr_error *err)
{
  struct ArrowSchema rows, child = {0};
  int rc = MR_OK;
  if (types->n < 0 || (size_t)types->n != s->n)
    return src_fail(err, MR_FATAL, "",
                    "the node prepared another number of columns than were asked for");
  bool ok = mr_schema_struct(&rows);
  for (size_t i = 0; ok && rc >= 0 && i < s->given; i++) {
    const struct cql_type *t = &types->item[i].type;
    child.release = NULL;
    if (s->item[i].use == CASS_USE_VALUE)
      rc = cass_value_column(conf, s->item[i].column, t, &child, err);
    else
      ok = time_column(&s->item[i], t, &child);
    if (rc >= 0 && ok && mr_schema_find(&rows, child.name) >= 0)
      rc = src_badconf(err, "columns", "two columns are named `%.100s`", child.name);
    if (rc >= 0 && ok)
      ok = mr_schema_add(&rows, &child);
    if (rc < 0 || !ok)
      mr_schema_release(&child);
  }
  if (rc >= 0 && ok) {
    mr_schema_move(&rows, give);
    return MR_OK;
  }
  mr_schema_release(&rows);
  return rc < 0 ? rc : src_no_memory(err);
}
