/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-system.h"
#include <stdlib.h>
#include "common/clog-cql.h"
#include "common/clog-private.h"
#include "common/src-error.h"

/* The union of what 4.0, 4.1 and 5.0 have (SchemaKeyspace). */
#define OPTIONS                                                                                \
  "additional_write_policy text, allow_auto_snapshot boolean, bloom_filter_fp_chance double, " \
  "caching frozen<map<text, text>>, cdc boolean, comment text, "                               \
  "compaction frozen<map<text, text>>, compression frozen<map<text, text>>, "                  \
  "crc_check_chance double, dclocal_read_repair_chance double, default_time_to_live int, "     \
  "extensions frozen<map<text, blob>>, gc_grace_seconds int, id uuid, "                        \
  "incremental_backups boolean, max_index_interval int, memtable text, "                       \
  "memtable_flush_period_in_ms int, min_index_interval int, read_repair text, "                \
  "read_repair_chance double, speculative_retry text, "
static const char system_schema[] =
    "CREATE TABLE system_schema.keyspaces (keyspace_name text PRIMARY KEY, durable_writes boolean, "
    "replication frozen<map<text, text>>) WITH ID = abac5682-dea6-31c5-b535-b3d6cffd0fb6;"
    "CREATE TABLE system_schema.tables (keyspace_name text, table_name text, " OPTIONS
    "flags frozen<set<text>>, PRIMARY KEY (keyspace_name, table_name)) "
    "WITH ID = afddfb9d-bc1e-3068-8056-eed6c302ba09;"
    "CREATE TABLE system_schema.views (keyspace_name text, view_name text, " OPTIONS
    "base_table_id uuid, base_table_name text, include_all_columns boolean, where_clause text, "
    "PRIMARY KEY (keyspace_name, view_name)) WITH ID = 9786ac1c-dd58-3201-a7cd-ad556410c985;"
    "CREATE TABLE system_schema.columns (keyspace_name text, table_name text, column_name text, "
    "clustering_order text, column_name_bytes blob, kind text, position int, type text, "
    "PRIMARY KEY (keyspace_name, table_name, column_name)) "
    "WITH ID = 24101c25-a2ae-3af7-87c1-b40ee1aca33f;"
    "CREATE TABLE system_schema.column_masks (keyspace_name text, table_name text, "
    "column_name text, function_argument_nulls frozen<list<boolean>>, "
    "function_argument_types frozen<list<text>>, function_argument_values frozen<list<text>>, "
    "function_keyspace text, function_name text, "
    "PRIMARY KEY (keyspace_name, table_name, column_name)) "
    "WITH ID = 738cc5ed-0168-3268-b9d1-853d4bc278af;"
    "CREATE TABLE system_schema.dropped_columns (keyspace_name text, table_name text, "
    "column_name text, dropped_time timestamp, kind text, type text, "
    "PRIMARY KEY (keyspace_name, table_name, column_name)) "
    "WITH ID = 5e7583b5-f3f4-3af1-9a39-b7e1d6f5f11f;"
    "CREATE TABLE system_schema.types (keyspace_name text, type_name text, "
    "field_names frozen<list<text>>, field_types frozen<list<text>>, "
    "PRIMARY KEY (keyspace_name, type_name)) WITH ID = 5a8b1ca8-6602-3f77-a045-9273d308917a;"
    "CREATE TABLE system_schema.triggers (keyspace_name text, table_name text, trigger_name text, "
    "options frozen<map<text, text>>, PRIMARY KEY (keyspace_name, table_name, trigger_name)) "
    "WITH ID = 4df70b66-6b05-3251-95a1-32b54005fd48;"
    "CREATE TABLE system_schema.indexes (keyspace_name text, table_name text, index_name text, "
    "kind text, options frozen<map<text, text>>, "
    "PRIMARY KEY (keyspace_name, table_name, index_name)) "
    "WITH ID = 0feb57ac-311f-382f-ba6d-9024d305702f;"
    "CREATE TABLE system_schema.functions (keyspace_name text, function_name text, "
    "argument_types frozen<list<text>>, argument_names frozen<list<text>>, body text, "
    "called_on_null_input boolean, language text, return_type text, "
    "PRIMARY KEY (keyspace_name, function_name, argument_types)) "
    "WITH ID = 96489b79-80be-3e14-a701-66a0b9159450;"
    "CREATE TABLE system_schema.aggregates (keyspace_name text, aggregate_name text, "
    "argument_types frozen<list<text>>, final_func text, initcond text, return_type text, "
    "state_func text, state_type text, "
    "PRIMARY KEY (keyspace_name, aggregate_name, argument_types)) "
    "WITH ID = 924c5587-2e3a-345b-b10c-12f37c1ba895;";

int clog_system_put(struct clog_schema *self, struct mr_error *err)
{
  return clog_cql_read(self, system_schema, sizeof system_schema - 1, err);
}

/* ---------------------------------------------------------------- rows' texts */

/* Texts of one row, freed together. */
struct texts {
  char *p[3]; /* keyspace, name, column; NULL: not there */
};

/* Null and empty are the same: no name is either. */
static char *copy_text(struct clog_bytes v)
{
  return v.len > 0 ? strndup((const char *)v.p, (size_t)v.len) : strdup("");
}

static void texts_done(struct texts *t)
{
  for (int i = 0; i < 3; i++)
    free(t->p[i]);
}

/* The row's keyspace and the first n values of its clustering. false: no memory. */
static bool texts_init(struct texts *t, const struct clog_event *e, const struct clog_bytes *value,
                       uint32_t n)
{
  *t = (struct texts){.p = {copy_text(e->key[0])}};
  bool ok = t->p[0] != NULL;
  for (uint32_t i = 0; i < n && i < 2 && ok; i++)
    ok = (t->p[i + 1] = copy_text(value[i])) != NULL;
  return ok;
}

/* The value that the event sets a column to; NULL: it does not. */
static const struct clog_bytes *set_value(const struct clog_event *e, const char *column)
{
  for (uint32_t i = 0; i < e->n_cells; i++)
    if (e->cell[i].op == CLOG_SET && !strcmp(e->cell[i].column->name, column))
      return &e->cell[i].value;
  return NULL;
}

static bool is_text(const struct clog_bytes *v, const char *text)
{
  return v && v->len == (int32_t)strlen(text) && !memcmp(v->p, text, (size_t)v->len);
}

static char *set_text(const struct clog_event *e, const char *column)
{
  const struct clog_bytes *v = set_value(e, column);
  return v && v->len >= 0 ? copy_text(*v) : NULL;
}

int clog_system_kind(const struct clog_bytes *v)
{
  return is_text(v, "partition_key") ? CLOG_PARTITION_KEY
         : is_text(v, "clustering")  ? CLOG_CLUSTERING
         : is_text(v, "static")      ? CLOG_STATIC
         : is_text(v, "regular")     ? CLOG_REGULAR
                                     : -1;
}

static int kind_of(const struct clog_event *e)
{
  return clog_system_kind(set_value(e, "kind"));
}

/* ---------------------------------------------------------------- rows */

/* Is a text among the elements of a frozen set? */
static bool set_has(const struct clog_bytes *set, const char *text)
{
  struct cql_read r = cql_read_of(set->p, set->len < 0 ? 0 : (size_t)set->len);
  for (int32_t n = cql_read_i32(&r); n > 0 && !r.failed; n--) {
    int64_t len;
    const uint8_t *p = cql_read_value(&r, &len);
    if (p && len == (int64_t)strlen(text) && !memcmp(p, text, (size_t)len))
      return true;
  }
  return false;
}

void clog_system_flags(const struct clog_bytes *flags, struct clog_table_row *row)
{
  row->compact = !set_has(flags, "compound") || set_has(flags, "dense") || set_has(flags, "super");
  row->counter = set_has(flags, "counter");
}

static int put_table(struct clog_schema *s, const struct clog_event *e, const struct texts *t,
                     bool view, struct mr_error *err)
{
  const struct clog_bytes *id = set_value(e, "id"), *cdc = set_value(e, "cdc"),
                          *flags = set_value(e, "flags");
  struct clog_table_row row = {
      .keyspace = t->p[0], .table = t->p[1], .cdc = -1, .compact = -1, .counter = -1};
  if (id && id->len == 16)
    row.id = id->p;
  if (cdc && cdc->len == 1)
    row.cdc = cdc->p[0] != 0;
  if (flags)
    clog_system_flags(flags, &row);
  if (view)
    row.compact = 0;
  return clog_schema_put_table(s, &row, e->timestamp, err);
}

int64_t clog_system_us(const struct clog_bytes *at)
{
  int64_t us = CLOG_NEVER;
  if (at && at->len == 8 && __builtin_mul_overflow((int64_t)cql_be64(at->p), INT64_C(1000), &us))
    us = INT64_MAX;
  return us;
}

static int put_column(struct clog_schema *s, const struct clog_event *e, const struct texts *t,
                      struct mr_error *err)
{
  const struct clog_bytes *position = set_value(e, "position");
  char *type = set_text(e, "type");
  struct clog_column_row row = {.keyspace = t->p[0],
                                .table = t->p[1],
                                .column = t->p[2],
                                .kind = kind_of(e),
                                .position = -1,
                                .descending = is_text(set_value(e, "clustering_order"), "desc"),
                                .type = type};
  if (position && position->len == 4)
    row.position = (int32_t)cql_be32(position->p);
  int status = clog_schema_put_column(s, &row, e->timestamp, err);
  free(type);
  return status;
}

static int put_dropped(struct clog_schema *s, const struct clog_event *e, const struct texts *t,
                       struct mr_error *err)
{
  const struct clog_bytes *at = set_value(e, "dropped_time"); /* ms */
  char *type = set_text(e, "type");
  struct clog_dropped_row row = {.keyspace = t->p[0],
                                 .table = t->p[1],
                                 .column = t->p[2],
                                 .kind = kind_of(e),
                                 .type = type,
                                 .dropped = clog_system_us(at)};
  int status = clog_schema_put_dropped(s, &row, e->timestamp, err);
  free(type);
  return status;
}

char **clog_system_texts(const struct clog_bytes *list, size_t *ret_n)
{
  struct cql_read r = cql_read_of(list->p, list->len < 0 ? 0 : (size_t)list->len);
  int32_t n = cql_read_i32(&r);
  if (n < 0 || (size_t)n > cql_read_left(&r))
    return NULL;
  char **out = calloc((size_t)n + 1, sizeof *out);
  bool ok = out != NULL;
  for (int32_t i = 0; i < n && ok; i++) {
    int64_t len;
    const uint8_t *p = cql_read_value(&r, &len);
    ok = p && (out[i] = strndup((const char *)p, (size_t)len));
  }
  *ret_n = (size_t)n;
  if (ok)
    return out;
  for (int32_t i = 0; out && i < n; i++)
    free(out[i]);
  free(out);
  return NULL;
}

void clog_system_texts_free(char **list)
{
  for (size_t i = 0; list && list[i]; i++)
    free(list[i]);
  free(list);
}

static int put_type(struct clog_schema *s, const struct clog_event *e, const struct texts *t,
                    struct mr_error *err)
{
  const struct clog_bytes *names = set_value(e, "field_names"),
                          *types = set_value(e, "field_types");
  size_t n = 0, n_types = 0;
  if (!names || !types)
    return MR_OK;
  char **name = clog_system_texts(names, &n), **type = clog_system_texts(types, &n_types);
  struct clog_type_row row = {t->p[0], t->p[1], (const char *const *)name,
                              (const char *const *)type, n};
  int status = name && type && n == n_types
                   ? clog_schema_put_type(s, &row, e->timestamp, err)
                   : src_fail(err, MR_REJECT, "schema", "user type %s.%s has malformed fields",
                              t->p[0], t->p[1]);
  clog_system_texts_free(name);
  clog_system_texts_free(type);
  return status;
}

/* ---------------------------------------------------------------- events */

enum part { PART_TABLES, PART_VIEWS, PART_COLUMNS, PART_DROPPED, PART_TYPES, PART_OTHER };

static enum part part_of(const struct clog_event *e)
{
  static const char *const names[] = {"tables", "views", "columns", "dropped_columns", "types"};
  int i = PART_TABLES;
  while (i < PART_OTHER && strcmp(names[i], e->table->name))
    i++;
  return (enum part)i;
}

static int put(struct clog_schema *s, const struct clog_event *e, enum part part,
               struct mr_error *err)
{
  struct texts t;
  int status = texts_init(&t, e, e->clustering, e->n_clustering) ? MR_OK : src_no_memory(err);
  if (status == MR_OK && part <= PART_VIEWS)
    status = put_table(s, e, &t, part == PART_VIEWS, err);
  else if (status == MR_OK && part == PART_COLUMNS)
    status = put_column(s, e, &t, err);
  else if (status == MR_OK && part == PART_DROPPED)
    status = put_dropped(s, e, &t, err);
  else if (status == MR_OK)
    status = put_type(s, e, &t, err);
  texts_done(&t);
  return status;
}

/* A deletion of rows that share a prefix of the clustering. */
static int delete_prefix(struct clog_schema *s, const struct clog_event *e, enum part part,
                         const struct clog_bytes *value, uint32_t n, struct mr_error *err)
{
  static const enum clog_row_kind kinds[] = {CLOG_ROW_TABLE, CLOG_ROW_TABLE, CLOG_ROW_COLUMN,
                                             CLOG_ROW_DROPPED, CLOG_ROW_TYPE};
  struct texts t;
  bool ok = texts_init(&t, e, value, n);
  if (ok)
    clog_schema_delete(s, kinds[part], t.p[0], t.p[1], t.p[2], e->timestamp);
  texts_done(&t);
  return ok ? MR_OK : src_no_memory(err);
}

static bool is_prefix(const struct clog_bound *a, const struct clog_bound *b)
{
  bool same = a->n == b->n && a->inclusive && b->inclusive;
  for (uint32_t i = 0; same && i < a->n; i++)
    same = a->value[i].len == b->value[i].len &&
           (a->value[i].len <= 0 || !memcmp(a->value[i].p, b->value[i].p, (size_t)a->value[i].len));
  return same;
}

/* A starting node deletes and writes the rows of system_schema's own tables, piece by piece. */
static bool is_own(struct clog_bytes keyspace)
{
  return is_text(&keyspace, "system_schema");
}

static int apply(struct clog_schema *s, const struct clog_event *e, struct mr_error *err)
{
  enum part part = part_of(e);
  if (part == PART_OTHER || is_own(e->key[0]))
    return MR_OK;
  switch (e->op) {
  case CLOG_INSERT:
  case CLOG_UPDATE: return put(s, e, part, err);
  case CLOG_DELETE_ROW: return delete_prefix(s, e, part, e->clustering, e->n_clustering, err);
  case CLOG_DELETE_PARTITION: return delete_prefix(s, e, part, NULL, 0, err);
  default:
    if (is_prefix(&e->start, &e->end))
      return delete_prefix(s, e, part, e->start.value, e->start.n, err);
    return src_fail(err, MR_REJECT, "schema",
                    "a deletion within system_schema.%s that is no prefix", e->table->name);
  }
}

int clog_system_apply(struct clog_schema *schema, const struct clog_events *events,
                      const struct clog_entry *e, struct mr_error *err)
{
  int status = MR_OK;
  for (size_t i = 0; i < events->n && status >= 0; i++)
    if (clog_id_is_system(events->event[i].table->id))
      status = apply(schema, &events->event[i], err);
  return status < 0 ? status : clog_schema_commit(schema, e->segment, e->end, err);
}
