/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-schema.h"
#include <stdlib.h>
#include "common/clog-private.h"
#include "common/src-error.h"

struct clog_schema {
  struct raw_list keyspaces;
  struct clog_table **version; /* n of them, by id, then by place */
  size_t n, cap;
  clog_want_fn *want;
  void *want_ctx;
};

struct raw_list *clog_schema_raw(struct clog_schema *self)
{
  return &self->keyspaces;
}

/* ---------------------------------------------------------------- tables */

static void table_free(struct clog_table *t)
{
  if (!t)
    return;
  for (uint32_t i = 0; t->column && i < t->kind_start[CLOG_COLUMN_KINDS]; i++) {
    free(t->column[i].name);
    cql_type_done(&t->column[i].type);
  }
  free(t->column);
  free(t->keyspace);
  free(t->name);
  free(t);
}

struct resolve {
  const struct raw_keyspace *keyspace;
};

/* A cql_udt_fn: the keyspace's own user types. */
static int find_udt(void *ctx, const char *name, int depth, struct cql_type *ret,
                    struct mr_error *err)
{
  const struct resolve *r = ctx;
  const struct raw_type *raw = (struct raw_type *)raw_find(&r->keyspace->types, name);
  if (!raw)
    return src_fail(err, MR_REJECT, "type", "unknown type `%s`", name);
  if (!cql_type_udt(ret, r->keyspace->base.name, name))
    return src_no_memory(err);
  int status = MR_OK;
  for (size_t i = 0; status >= 0 && i < raw->n; i++) {
    struct cql_type *child = cql_type_add_field(ret, raw->field[i]);
    if (!child)
      return src_no_memory(err);
    status = cql_type_text(raw->type[i], strlen(raw->type[i]), find_udt, ctx, depth, child, err);
    child->multi = false;
  }
  return status;
}

static int32_t fixed_size(const struct cql_type *t)
{
  int64_t n = cql_type_fixed(t);
  return t->kind == CQL_EMPTY ? 0 : n ? (int32_t)n : -1;
}

static int build_column(const struct raw_keyspace *k, const struct raw_table *t,
                        const struct raw_column *raw, struct clog_column *ret, struct mr_error *err)
{
  struct resolve r = {k};
  struct mr_error why = *err;
  *ret = (struct clog_column){.name = strdup(raw->base.name),
                              .name_len = (uint32_t)strlen(raw->base.name),
                              .kind = raw->kind,
                              .descending = raw->descending,
                              .dropped = CLOG_NEVER};
  if (!ret->name)
    return src_no_memory(err);
  if (cql_type_text(raw->type, strlen(raw->type), find_udt, &r, 0, &ret->type, &why) < 0)
    return src_fail(err, MR_REJECT, "type", "table %s.%s: column %s: %.300s", k->base.name,
                    t->base.name, ret->name, why.msg);
  ret->multi = ret->type.multi && (raw->kind == CLOG_STATIC || raw->kind == CLOG_REGULAR);
  ret->fixed = fixed_size(&ret->type);
  return MR_OK;
}

struct sortable { /* a column and its place among the keys */
  struct clog_column column;
  int32_t position;
};

static int by_place(const void *a, const void *b)
{
  const struct sortable *x = a, *y = b;
  const struct clog_column *c = &x->column, *d = &y->column;
  if (c->kind != d->kind)
    return (int)c->kind - (int)d->kind;
  if (c->kind == CLOG_PARTITION_KEY || c->kind == CLOG_CLUSTERING)
    return (x->position > y->position) - (x->position < y->position);
  if (c->multi != d->multi)
    return (int)c->multi - (int)d->multi;
  uint32_t n = c->name_len < d->name_len ? c->name_len : d->name_len;
  int order = memcmp(c->name, d->name, n);
  return order ? order : (c->name_len > d->name_len) - (c->name_len < d->name_len);
}

/* Sorts n columns into the table, which takes them. */
static bool take_columns(struct clog_table *t, struct sortable *s, size_t n)
{
  t->column = calloc(n ? n : 1, sizeof *t->column);
  if (!t->column)
    return false;
  if (n)
    qsort(s, n, sizeof *s, by_place);
  for (size_t i = 0; i < n; i++) {
    t->column[i] = s[i].column;
    t->kind_start[s[i].column.kind + 1]++;
  }
  for (int k = 0; k < CLOG_COLUMN_KINDS; k++)
    t->kind_start[k + 1] += t->kind_start[k];
  return true;
}

/* The current columns, then those that are gone; *ret_n counts what is to be freed in any case. */
static int build_columns(const struct raw_keyspace *k, const struct raw_table *t,
                         struct sortable *out, size_t *ret_n, struct mr_error *err)
{
  size_t n = 0;
  int status = MR_OK;
  for (size_t i = 0; status >= 0 && i < t->columns.n; i++) {
    const struct raw_column *raw = (struct raw_column *)t->columns.item[i];
    const struct raw_column *old = (struct raw_column *)raw_find(&t->dropped, raw->base.name);
    if (!raw->type)
      continue;
    status = build_column(k, t, raw, &out[n].column, err);
    out[n].column.dropped = old ? old->dropped : CLOG_NEVER;
    out[n++].position = raw->position;
  }
  for (size_t i = 0; status >= 0 && i < t->dropped.n; i++) {
    const struct raw_column *raw = (struct raw_column *)t->dropped.item[i];
    if (!raw->type || raw_find(&t->columns, raw->base.name))
      continue;
    status = build_column(k, t, raw, &out[n].column, err);
    out[n].column.gone = true;
    out[n++].column.dropped = raw->dropped;
  }
  *ret_n = n;
  return status;
}

static void find_counter(struct clog_table *t)
{
  for (uint32_t i = 0; i < t->kind_start[CLOG_COLUMN_KINDS]; i++)
    t->counter |= t->column[i].type.kind == CQL_COUNTER;
}

static int build_table(const struct clog_schema *s, const struct raw_keyspace *k,
                       const struct raw_table *raw, struct clog_table **ret, struct mr_error *err)
{
  struct clog_table *t = calloc(1, sizeof *t);
  size_t max = raw->columns.n + raw->dropped.n, n = 0;
  struct sortable *columns = calloc(max ? max : 1, sizeof *columns);
  int status = t && columns ? MR_OK : src_no_memory(err);
  if (status >= 0) {
    t->keyspace = strdup(k->base.name);
    t->name = strdup(raw->base.name);
    memcpy(t->id, raw->id, sizeof t->id);
    t->cdc = raw->cdc;
    t->counter = raw->counter;
    t->compact = raw->compact;
    status = build_columns(k, raw, columns, &n, err);
  }
  if (status >= 0 && (!t->keyspace || !t->name || !take_columns(t, columns, n)))
    status = src_no_memory(err);
  for (size_t i = 0; status < 0 && i < n; i++) {
    free(columns[i].column.name);
    cql_type_done(&columns[i].column.type);
  }
  free(columns);
  if (status < 0) {
    free(t ? t->column : NULL);
    if (t)
      t->column = NULL;
    table_free(t);
    return status;
  }
  find_counter(t);
  t->wanted =
      s->want ? s->want(s->want_ctx, t->keyspace, t->name) : strncmp(t->keyspace, "system", 6) != 0;
  *ret = t;
  return MR_OK;
}

static bool same_column(const struct clog_column *a, const struct clog_column *b)
{
  return a->kind == b->kind && a->descending == b->descending && a->gone == b->gone &&
         a->dropped == b->dropped && !strcmp(a->name, b->name) &&
         cql_type_equal(&a->type, &b->type);
}

static bool same_table(const struct clog_table *a, const struct clog_table *b)
{
  bool same = !memcmp(a->kind_start, b->kind_start, sizeof a->kind_start) && a->cdc == b->cdc &&
              a->counter == b->counter && a->compact == b->compact && !strcmp(a->name, b->name) &&
              !strcmp(a->keyspace, b->keyspace);
  for (uint32_t i = 0; same && i < a->kind_start[CLOG_COLUMN_KINDS]; i++)
    same = same_column(&a->column[i], &b->column[i]);
  return same;
}

/* ---------------------------------------------------------------- versions */

static int compare_place(const struct clog_table *t, int64_t segment, int64_t position)
{
  if (t->from_segment != segment)
    return t->from_segment < segment ? -1 : 1;
  return (t->from_position > position) - (t->from_position < position);
}

/* How many versions stand before this id and place, or at it. */
static size_t upper_bound(const struct clog_schema *s, const uint8_t id[16], int64_t segment,
                          int64_t position)
{
  size_t low = 0, high = s->n;
  while (low < high) {
    size_t mid = (low + high) / 2;
    const struct clog_table *t = s->version[mid];
    int order = memcmp(t->id, id, 16);
    if (order < 0 || (!order && compare_place(t, segment, position) <= 0))
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static bool is_id(const struct clog_schema *s, size_t i, const uint8_t id[16])
{
  return i < s->n && !memcmp(s->version[i]->id, id, 16);
}

const struct clog_table *clog_schema_table(const struct clog_schema *self, const uint8_t id[16],
                                           int64_t segment, int64_t position)
{
  size_t i = upper_bound(self, id, segment, position);
  if (i && is_id(self, i - 1, id))
    return self->version[i - 1];
  return is_id(self, i, id) ? self->version[i] : NULL;
}

const struct clog_column *clog_schema_column(const struct clog_schema *self, const uint8_t id[16],
                                             enum clog_column_kind kind, const uint8_t *name,
                                             size_t n)
{
  for (size_t i = upper_bound(self, id, INT64_MAX, INT64_MAX); i && is_id(self, i - 1, id); i--) {
    const struct clog_table *t = self->version[i - 1];
    for (uint32_t c = t->kind_start[kind]; c < t->kind_start[kind + 1]; c++)
      if (t->column[c].name_len == n && !memcmp(t->column[c].name, name, n))
        return &t->column[c];
  }
  return NULL;
}

const struct clog_table *clog_schema_nth(const struct clog_schema *self, size_t i)
{
  return i < self->n ? self->version[i] : NULL;
}

/* Takes the table. */
static int add_version(struct clog_schema *s, struct clog_table *t, struct mr_error *err)
{
  size_t i = upper_bound(s, t->id, t->from_segment, t->from_position);
  if (s->n == s->cap) {
    size_t cap = s->cap ? s->cap * 2 : 64;
    struct clog_table **more = realloc(s->version, cap * sizeof *more);
    if (!more) {
      table_free(t);
      return src_no_memory(err);
    }
    s->version = more;
    s->cap = cap;
  }
  memmove(s->version + i + 1, s->version + i, (s->n - i) * sizeof *s->version);
  s->version[i] = t;
  s->n++;
  return MR_OK;
}

static int commit_table(struct clog_schema *s, const struct raw_keyspace *k,
                        const struct raw_table *raw, int64_t segment, int64_t position,
                        struct mr_error *err)
{
  struct clog_table *new = NULL;
  int status = build_table(s, k, raw, &new, err);
  if (status < 0)
    return status;
  if (!clog_table_count(new, CLOG_PARTITION_KEY)) { /* its columns come in another mutation */
    table_free(new);
    return MR_OK;
  }
  const struct clog_table *old = clog_schema_table(s, new->id, segment, position);
  if (old && compare_place(old, segment, position) <= 0 && same_table(old, new)) {
    table_free(new);
    return MR_OK;
  }
  new->from_segment = segment;
  new->from_position = position;
  return add_version(s, new, err);
}

static int commit_keyspace(struct clog_schema *s, struct raw_keyspace *k, int64_t segment,
                           int64_t position, struct mr_error *err)
{
  int first = MR_OK;
  for (size_t i = 0; i < k->tables.n; i++) {
    struct mr_error why = *err;
    const struct raw_table *t = (struct raw_table *)k->tables.item[i];
    int status = t->has_id ? commit_table(s, k, t, segment, position, &why) : MR_OK;
    if (status == MR_FATAL || (status < 0 && first == MR_OK)) {
      first = status;
      *err = why;
    }
    if (status == MR_FATAL)
      return status;
  }
  k->touched = false;
  return first;
}

int clog_schema_commit(struct clog_schema *self, int64_t segment, int64_t position,
                       struct mr_error *err)
{
  int first = MR_OK;
  for (size_t i = 0; i < self->keyspaces.n; i++) {
    struct raw_keyspace *k = (struct raw_keyspace *)self->keyspaces.item[i];
    struct mr_error why = *err;
    int status = k->touched ? commit_keyspace(self, k, segment, position, &why) : MR_OK;
    if (status < 0 && first == MR_OK) {
      first = status;
      *err = why;
    }
  }
  return first;
}

/* ---------------------------------------------------------------- the schema */

struct clog_schema *clog_schema_new(clog_want_fn *want, void *ctx)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_schema *s = calloc(1, sizeof *s);
  if (!s)
    return NULL;
  s->want = want;
  s->want_ctx = ctx;
  if (clog_system_put(s, &err) < 0 || clog_schema_commit(s, 0, 0, &err) < 0) {
    clog_schema_free(s);
    return NULL;
  }
  return s;
}

void clog_schema_free(struct clog_schema *self)
{
  if (!self)
    return;
  for (size_t i = 0; i < self->n; i++)
    table_free(self->version[i]);
  free(self->version);
  raw_done(&self->keyspaces);
  free(self);
}
