/* SPDX-License-Identifier: Apache-2.0 */
/* The columns of a table that rows have, the schema, and the statements that read stored rows. */
#include "change-in.h"
#include "common/src-error.h"

#define CODE_INVALID "0x2200" /* of an ERROR: the question makes no sense to the node */

void change_table_done(struct change_table *t)
{
  for (size_t i = 0; i < t->n_col; i++) {
    free(t->col[i].name);
    cql_type_done(&t->col[i].type);
  }
  for (int64_t i = 0; t->column && i < t->rows.n_children; i++)
    mr_column_done(&t->column[i]);
  for (int i = 0; i < STATEMENTS; i++) {
    free(t->statement[i].cql);
    cql_prepared_done(&t->statement[i].prepared);
  }
  mr_schema_release(&t->rows);
  free(t->col);
  free(t->key);
  free(t->clustering);
  free(t->items);
  free(t->column);
  free(t->map);
  free(t->by_column);
  free(t->cell);
  free(t->box);
  *t = (struct change_table){0};
}

/* ---- columns */

static bool is_key(enum cass_kind kind)
{
  return kind <= CASS_CLUSTERING;
}

/* Are the table's columns of this kind among those of the rows? */
static bool is_given(const struct cass_changes *s, enum cass_kind kind)
{
  return kind == CASS_PARTITION_KEY || kind == (s->is_static ? CASS_STATIC : CASS_REGULAR) ||
         (kind == CASS_CLUSTERING && !s->is_static);
}

static bool add_column(struct change_table *t, const struct cass_column *c)
{
  struct change_column *col = &t->col[t->n_col];
  *col = (struct change_column){
      .name = strdup(c->name), .kind = c->kind, .multi = cass_column_multi(c), .time = -1};
  if (!col->name)
    return false;
  if (c->kind == CASS_PARTITION_KEY)
    t->key[c->position] = (int32_t)t->n_col;
  if (c->kind == CASS_CLUSTERING)
    t->clustering[c->position] = (int32_t)t->n_col;
  t->n_key += c->kind == CASS_PARTITION_KEY;
  t->n_clustering += c->kind == CASS_CLUSTERING;
  t->n_col++;
  return true;
}

static int not_given(const struct cass_changes *s, const char *name, const char *why,
                     struct mr_error *err)
{
  snprintf(err->option, sizeof err->option, "columns.%.80s", name);
  return src_fail(err, MR_BADCONF, "", "table %.200s: column `%.100s` %s", s->conf->table, name,
                  why);
}

static int add_declared(const struct cass_changes *s, const struct cass_table *from,
                        struct change_table *t, struct mr_error *err)
{
  const struct ArrowSchema *declared = s->conf->columns;
  for (int64_t i = 0; i < declared->n_children; i++) {
    const char *name = declared->children[i]->name;
    int64_t at = cass_table_find(from, name);
    if (at < 0)
      return not_given(s, name, "is none of the table's", err);
    enum cass_kind kind = from->column[at].kind;
    if (!is_given(s, kind))
      return not_given(s, name,
                       kind == CASS_STATIC ? "is static: `rows: static` reads those"
                                           : "is none of those that `rows: static` reads",
                       err);
    if (!add_column(t, &from->column[at]))
      return src_no_memory(err);
  }
  for (size_t i = 0; i < from->n; i++)
    if (is_key(from->column[i].kind) && is_given(s, from->column[i].kind) &&
        mr_schema_find(declared, from->column[i].name) < 0)
      return not_given(s, from->column[i].name, "is of the key, and must be among them", err);
  return MR_OK;
}

static int add_columns(const struct cass_changes *s, const struct cass_table *from,
                       struct change_table *t, struct mr_error *err)
{
  size_t most = from->n + (s->conf->columns ? (size_t)s->conf->columns->n_children : 0) + 1;
  t->col = calloc(most, sizeof *t->col);
  t->key = calloc(most, sizeof *t->key);
  t->clustering = calloc(most, sizeof *t->clustering);
  if (!t->col || !t->key || !t->clustering)
    return src_no_memory(err);
  if (s->conf->columns)
    return add_declared(s, from, t, err);
  for (size_t i = 0; i < from->n; i++)
    if (is_given(s, from->column[i].kind) && !add_column(t, &from->column[i]))
      return src_no_memory(err);
  return MR_OK;
}

/* ---- statements */

static void add_item(struct change_table *t, struct sql_buf *b, const struct change_column *c,
                     bool time)
{
  const char *name = c->name;
  if (c->missing) { /* what stands for it is not looked at, and keeps the others in their places */
    name = t->col[t->key[0]].name;
    time = false;
  }
  if (t->n_items++)
    sql_buf_str(b, ", ");
  if (time)
    sql_buf_str(b, "writetime(");
  sql_ident(b, name);
  if (time)
    sql_buf_byte(b, ')');
}

/* WRITETIME of a collection's elements: from 5.0 on. */
static bool has_element_times(const struct cass_changes *s)
{
  return strtol(s->conn->release, NULL, 10) >= 5;
}

static void add_items(const struct cass_changes *s, struct change_table *t, struct sql_buf *b)
{
  for (uint32_t i = 0; i < t->n_key + t->n_clustering; i++) {
    struct change_column *c = &t->col[i < t->n_key ? t->key[i] : t->clustering[i - t->n_key]];
    c->item = t->n_items;
    add_item(t, b, c, false);
  }
  for (size_t i = 0; i < t->n_col; i++)
    if (!is_key(t->col[i].kind)) {
      t->col[i].item = t->n_items;
      add_item(t, b, &t->col[i], false);
    }
  for (size_t i = 0; i < t->n_col; i++)
    if (!is_key(t->col[i].kind) && (!t->col[i].multi || has_element_times(s))) {
      t->col[i].time = t->n_items;
      add_item(t, b, &t->col[i], true);
    }
}

static char *statement(const struct cass_changes *s, const struct change_table *t,
                       enum statement which)
{
  struct sql_buf b = {0};
  uint32_t n = t->n_key + (which == STATEMENT_ROW ? t->n_clustering : 0);
  sql_buf_fmt(&b, "SELECT %s FROM ", t->items);
  sql_name_quoted(&b, s->name);
  for (uint32_t i = 0; i < n; i++) {
    sql_buf_str(&b, i ? " AND " : " WHERE ");
    sql_ident(&b, t->col[i < t->n_key ? t->key[i] : t->clustering[i - t->n_key]].name);
    sql_buf_str(&b, " = ?");
  }
  if (s->is_static)
    sql_buf_str(&b, " LIMIT 1");
  char *cql = b.failed ? NULL : strdup(sql_buf_text(&b));
  sql_buf_done(&b);
  return cql;
}

static int make_statements(const struct cass_changes *s, struct change_table *t,
                           struct mr_error *err)
{
  struct sql_buf b = {0};
  t->n_items = 0;
  add_items(s, t, &b);
  free(t->items);
  t->items = b.failed ? NULL : strdup(sql_buf_text(&b));
  sql_buf_done(&b);
  bool ok = t->items != NULL;
  for (int i = 0; ok && i < STATEMENTS; i++) {
    free(t->statement[i].cql);
    cql_prepared_done(&t->statement[i].prepared);
    ok = (t->statement[i].cql = statement(s, t, (enum statement)i)) != NULL;
  }
  return ok ? MR_OK : src_no_memory(err);
}

/* Looks which columns are gone. The log will tell, too, but only behind the events at hand. */
static int find_missing(struct cass_changes *s, struct mr_error *err)
{
  struct cass_table now = {0};
  bool found = false;
  int rc = cass_table_read(s->conn, s->name, &now, err);
  for (size_t i = 0; rc >= 0 && i < s->t.n_col; i++) {
    struct change_column *c = &s->t.col[i];
    bool gone = cass_table_find(&now, c->name) < 0;
    found |= gone && !c->missing;
    c->missing |= gone;
  }
  cass_table_done(&now);
  if (rc < 0)
    return rc;
  return found ? make_statements(s, &s->t, err)
               : src_fail(err, MR_RETRY, CODE_INVALID,
                          "the node does not go by its own schema tables yet%s", s->conn->where);
}

int change_prepare(struct cass_changes *s, enum statement which, struct mr_error *err)
{
  struct change_statement *st = &s->t.statement[which];
  int rc = st->prepared.id ? MR_OK : cql_conn_prepare(s->conn, st->cql, &st->prepared, err);
  if (rc != MR_BADCONF || strcmp(err->code, CODE_INVALID))
    return rc;
  rc = find_missing(s, err);
  return rc < 0 ? rc : cql_conn_prepare(s->conn, st->cql, &st->prepared, err);
}

static int learn_types(struct change_table *t, struct mr_error *err)
{
  const struct cql_columns *got = &t->statement[STATEMENT_ROW].prepared.columns;
  if (got->n != t->n_items)
    return src_fail(err, MR_FATAL, "",
                    "the node prepared another number of columns than were asked for");
  for (size_t i = 0; i < t->n_col; i++)
    if (!cql_type_copy(&got->item[t->col[i].item].type, &t->col[i].type))
      return src_no_memory(err);
  return MR_OK;
}

/* ---- schema */

/* Do values of the Arrow column compare as Cassandra sorts the type? Not UUIDs (by version and
 * time), and not what becomes text or has elements. */
static bool is_ordered(const struct cql_type *t, const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  if (t->kind == CQL_TEXT || t->kind == CQL_ASCII)
    return k == MR_K_TEXT || k == MR_K_BINARY;
  return k != MR_K_TEXT && k != MR_K_FIXED && t->kind < CQL_LIST && t->kind != CQL_DURATION;
}

static int add_fields(const struct cass_changes *s, struct change_table *t, struct mr_error *err)
{
  for (size_t i = 0; i < t->n_col; i++) {
    struct ArrowSchema child = {0};
    int rc = cass_value_column(s->conf, t->col[i].name, &t->col[i].type, &child, err);
    if (rc >= 0)
      t->col[i].ordered = is_ordered(&t->col[i].type, &child);
    if (rc >= 0 && !mr_schema_add(&t->rows, &child))
      rc = src_no_memory(err);
    if (rc < 0) {
      mr_schema_release(&child);
      return rc;
    }
  }
  return MR_OK;
}

static bool add_range(struct change_table *t)
{
  const char **name = calloc(t->n_clustering, sizeof *name);
  for (uint32_t i = 0; name && i < t->n_clustering; i++)
    name[i] = t->col[t->clustering[i]].name;
  bool ok = name && mr_range_field(&t->rows, name, t->n_clustering);
  free(name);
  return ok;
}

static int make_schema(const struct cass_changes *s, struct change_table *t, struct mr_error *err)
{
  bool ok = mr_schema_struct(&t->rows);
  int rc = ok ? add_fields(s, t, err) : src_no_memory(err);
  if (rc < 0)
    return rc;
  ok = (s->whole || mr_set_field(&t->rows)) && (!t->n_clustering || add_range(t));
  t->at_set = mr_schema_find(&t->rows, MR_SET);
  t->at_range = mr_schema_find(&t->rows, MR_RANGE);
  t->column = calloc((size_t)t->rows.n_children, sizeof *t->column);
  for (int64_t i = 0; ok && t->column && i < t->rows.n_children; i++)
    ok = mr_column_init(&t->column[i], t->rows.children[i]);
  return ok && t->column ? MR_OK : src_no_memory(err);
}

static int make_room(struct change_table *t, struct mr_error *err)
{
  t->by_column = calloc(t->n_col + 1, sizeof *t->by_column);
  t->cell = calloc((size_t)t->n_items + 1, sizeof *t->cell);
  t->box = calloc(2 * (size_t)t->n_clustering + 1, sizeof *t->box);
  return t->by_column && t->cell && t->box ? MR_OK : src_no_memory(err);
}

/* The columns' names are the node's own: it is about to know them. */
static int prepare_row(struct cass_changes *s, struct change_table *t, struct mr_error *err)
{
  struct change_statement *st = &t->statement[STATEMENT_ROW];
  int rc = cql_conn_prepare(s->conn, st->cql, &st->prepared, err);
  return rc == MR_BADCONF && !strcmp(err->code, CODE_INVALID) ? MR_RETRY : rc;
}

static bool same_schema(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
  bool same =
      !strcmp(a->name, b->name) && !strcmp(a->format, b->format) && a->n_children == b->n_children;
  for (int64_t i = 0; same && i < a->n_children; i++)
    same = same_schema(a->children[i], b->children[i]);
  return same;
}

int cass_changes_table(struct cass_changes *self, const struct cass_table *t, bool *ret_changed,
                       struct mr_error *err)
{
  struct change_table n = {0};
  int rc = cql_conn_open(self->conn, err);
  if (rc >= 0)
    rc = add_columns(self, t, &n, err);
  if (rc >= 0)
    rc = make_statements(self, &n, err);
  if (rc >= 0)
    rc = prepare_row(self, &n, err);
  if (rc >= 0)
    rc = learn_types(&n, err);
  if (rc >= 0)
    rc = make_schema(self, &n, err);
  if (rc >= 0)
    rc = make_room(&n, err);
  if (rc < 0) {
    change_table_done(&n);
    return rc;
  }
  *ret_changed = self->t.rows.release && !same_schema(&self->t.rows, &n.rows);
  change_table_done(&self->t);
  self->t = n;
  return MR_OK;
}

int cass_changes_schema(const struct cass_changes *self, struct ArrowSchema *give,
                        struct mr_error *err)
{
  struct ArrowSchema copy;
  if (mr_schema_copy(&self->t.rows, &copy) && src_system_fields(&self->system, &copy)) {
    mr_schema_move(&copy, give);
    return MR_OK;
  }
  mr_schema_release(&copy);
  return src_no_memory(err);
}

struct cass_scan_items cass_changes_scan(const struct cass_changes *self)
{
  return (struct cass_scan_items){.cql = self->t.items,
                                  .n = self->t.n_items,
                                  .key = (int32_t)self->t.n_key,
                                  .clustering = (int32_t)self->t.n_clustering};
}

bool cass_changes_knows(const struct cass_changes *self, const struct clog_table *t)
{
  const struct change_table *ours = &self->t;
  bool knows = true;
  for (uint32_t i = 0; knows && i < t->kind_start[CLOG_COLUMN_KINDS]; i++)
    for (size_t k = 0; knows && k < ours->n_col; k++)
      if (!strcmp(ours->col[k].name, t->column[i].name))
        knows = cql_type_covers(&ours->col[k].type, &t->column[i].type);
  return knows;
}

/* ---- columns of events */

static int32_t find(const struct change_table *t, const struct clog_column *c)
{
  for (size_t i = 0; i < t->n_col; i++)
    if (!is_key(t->col[i].kind) && !strcmp(t->col[i].name, c->name))
      return (int32_t)i;
  return -1;
}

static void map_table(struct change_table *t, const struct clog_table *from)
{
  uint32_t n = from->kind_start[CLOG_COLUMN_KINDS];
  int32_t *map = realloc(t->map, (n + 1) * sizeof *map);
  if (!map)
    return; /* found by name then */
  for (uint32_t i = 0; i < n; i++)
    map[i] = find(t, &from->column[i]);
  t->map = map;
  t->mapped = from;
}

int32_t change_column(struct cass_changes *s, const struct clog_event *e,
                      const struct clog_column *c)
{
  if (s->t.mapped != e->table)
    map_table(&s->t, e->table);
  const struct clog_column *first = e->table->column;
  if (s->t.mapped != e->table || c < first || c >= first + e->table->kind_start[CLOG_COLUMN_KINDS])
    return find(&s->t, c); /* of another version of the table */
  return s->t.map[c - first];
}
