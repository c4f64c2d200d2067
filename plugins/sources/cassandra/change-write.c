/* SPDX-License-Identifier: Apache-2.0 */
/* What an event writes: its cells by column, elements of one collection joined. */
#include "change-in.h"

static struct write *push_write(struct cass_changes *s)
{
  if (s->n_write == s->cap_write) {
    size_t cap = s->cap_write ? s->cap_write * 2 : 64;
    struct write *w = realloc(s->write, cap * sizeof *w);
    if (!w)
      return NULL;
    s->write = w;
    s->cap_write = cap;
  }
  return &s->write[s->n_write++];
}

struct write *change_push(struct cass_changes *s, int32_t column)
{
  struct write *w = push_write(s);
  if (w)
    *w = (struct write){
        .column = column,
        .value = {NULL, -1},
        .type = column < 0 ? NULL : &s->t.col[column].type,
    };
  return w;
}

static bool add_simple(struct cass_changes *s, const struct clog_cell *c, int32_t column)
{
  struct write *w = change_push(s, column);
  if (!w)
    return false;
  w->time = c->timestamp;
  if (c->op != CLOG_SET)
    return true;
  w->value = c->value;
  w->live = true;
  w->ttl = c->ttl;
  w->expires = c->expires;
  return true;
}

/* ---- values made from the elements of an assignment */

static void put_bytes(struct sql_buf *b, const struct clog_bytes *v)
{
  cql_put_i32(b, v->len < 0 ? -1 : v->len);
  if (v->len > 0)
    sql_buf_bytes(b, v->p, (size_t)v->len);
}

static void put_fields(struct sql_buf *b, const struct clog_cell *c, uint32_t n, size_t fields)
{
  for (size_t f = 0; f < fields; f++) {
    static const struct clog_bytes null = {NULL, -1};
    const struct clog_bytes *v = &null;
    for (uint32_t i = 0; i < n; i++)
      if (c[i].op == CLOG_SET && c[i].path.len == 2 && cql_be16(c[i].path.p) == f)
        v = &c[i].value;
    put_bytes(b, v);
  }
}

static void put_elements(struct sql_buf *b, const struct clog_cell *c, uint32_t n,
                         const struct cql_type *t)
{
  size_t at = b->len;
  int32_t count = 0;
  cql_put_i32(b, 0);
  for (uint32_t i = 0; i < n; i++) {
    if (c[i].op != CLOG_SET)
      continue;
    if (t->kind != CQL_LIST)
      put_bytes(b, &c[i].path);
    if (t->kind != CQL_SET)
      put_bytes(b, &c[i].value);
    count++;
  }
  uint32_t be = htobe32((uint32_t)count);
  if (!b->failed)
    memcpy(b->p + at, &be, sizeof be);
}

static bool build(struct cass_changes *s, struct write *w, const struct clog_cell *c, uint32_t n)
{
  w->at = s->built.len;
  w->built = w->live = true;
  if (w->type->kind == CQL_UDT)
    put_fields(&s->built, c, n, w->type->n_child);
  else
    put_elements(&s->built, c, n, w->type);
  w->value.len = (int32_t)(s->built.len - w->at);
  return !s->built.failed;
}

/* ---- cells of one collection */

struct run {
  const struct clog_cell *cell;
  uint32_t n;
  uint32_t sets, clears;
  int64_t cleared, newest, oldest; /* newest, oldest: of what is no clear */
  bool void_;                      /* some are of before the column was dropped */
};

static struct run run_of(const struct clog_event *e, uint32_t from)
{
  struct run r = {
      .cell = &e->cell[from], .cleared = CLOG_NEVER, .newest = CLOG_NEVER, .oldest = INT64_MAX};
  for (; from + r.n < e->n_cells && r.cell[r.n].column == r.cell->column; r.n++) {
    const struct clog_cell *c = &r.cell[r.n];
    r.void_ |= c->dropped;
    if (c->dropped)
      continue;
    r.sets += c->op == CLOG_SET;
    r.clears += c->op == CLOG_CLEAR;
    if (c->op == CLOG_CLEAR && c->timestamp > r.cleared)
      r.cleared = c->timestamp;
    if (c->op != CLOG_CLEAR && c->timestamp > r.newest)
      r.newest = c->timestamp;
    if (c->op != CLOG_CLEAR && c->timestamp < r.oldest)
      r.oldest = c->timestamp;
  }
  return r;
}

/* Is it the whole value that was assigned? Cassandra clears a moment before it sets. */
static bool is_whole(const struct run *r)
{
  bool fields = r->cell->column->type.kind == CQL_UDT;
  return r->clears == 1 && !r->void_ && r->newest == r->oldest && r->cleared < r->newest &&
         (fields || r->sets + r->clears == r->n);
}

static bool add_multi(struct cass_changes *s, const struct clog_event *e, const struct run *r,
                      int32_t column)
{
  const struct clog_cell *first = &r->cell[r->n - 1]; /* a cell that is no clear, if there is one */
  struct write *w = r->clears || r->newest != CLOG_NEVER ? change_push(s, column) : NULL;
  if (!r->clears && r->newest == CLOG_NEVER)
    return true; /* all of it void */
  if (!w)
    return false;
  w->live = r->sets > 0;
  w->time = r->newest > r->cleared ? r->newest : r->cleared;
  if (r->newest == CLOG_NEVER) { /* nothing but a clear: null */
    w->time = r->cleared + (r->cleared + 1 == e->timestamp);
    return true;
  }
  w->ttl = first->ttl;
  w->expires = first->expires;
  if (column >= 0 && r->sets && is_whole(r))
    return build(s, w, r->cell, r->n);
  w->stored = column >= 0 && !(r->clears && !r->sets && is_whole(r));
  return true;
}

/* ---- what a stored value shows */

static bool same_bytes(const struct clog_bytes *a, const struct clog_bytes *b)
{
  return a->len == b->len && (a->len <= 0 || !memcmp(a->p, b->p, (size_t)a->len));
}

static struct clog_bytes next_value(struct cql_read *r)
{
  int64_t len;
  const uint8_t *p = cql_read_value(r, &len);
  return (struct clog_bytes){p, (int32_t)len};
}

static bool has_field(const struct clog_cell *c, struct cql_read *r)
{
  struct clog_bytes v = {NULL, -1};
  uint32_t field = c->path.len == 2 ? cql_be16(c->path.p) : 0;
  for (uint32_t i = 0; i <= field && cql_read_left(r); i++) {
    struct clog_bytes next = next_value(r);
    if (i == field)
      v = next;
  }
  return same_bytes(&c->value, &v);
}

/* Elements of lists are known by a time that is not shown: by their values then. */
static bool finds(const struct clog_cell *c, enum cql_kind kind, struct cql_read *r)
{
  bool found = false;
  for (int32_t n = cql_read_left(r) ? cql_read_i32(r) : 0; n > 0 && !found && !r->failed; n--) {
    struct clog_bytes first = next_value(r);
    struct clog_bytes second = kind == CQL_MAP ? next_value(r) : first;
    if (kind == CQL_LIST)
      found = same_bytes(&first, &c->value);
    else
      found = same_bytes(&first, &c->path) &&
              (kind == CQL_SET || c->op != CLOG_SET || same_bytes(&second, &c->value));
  }
  return found;
}

bool change_has_element(const struct clog_cell *c, const struct cql_type *t,
                        const struct clog_bytes *value)
{
  struct cql_read r = cql_read_of(value->p, value->len > 0 ? (size_t)value->len : 0);
  if (c->op == CLOG_CLEAR || c->dropped)
    return true;
  if (t->kind == CQL_UDT)
    return has_field(c, &r);
  if (c->op == CLOG_UNSET)
    return t->kind == CQL_LIST || !finds(c, t->kind, &r);
  return finds(c, t->kind, &r);
}

/* ---- */

bool change_writes(struct cass_changes *s, const struct clog_event *e)
{
  s->n_write = 0;
  sql_buf_clear(&s->built);
  for (uint32_t i = 0; i < e->n_cells;) {
    const struct clog_cell *c = &e->cell[i];
    int32_t column = change_column(s, e, c->column);
    if (c->column->multi) {
      struct run r = run_of(e, i);
      if (!add_multi(s, e, &r, column))
        return false;
      i += r.n;
    } else {
      if (!c->dropped && !add_simple(s, c, column))
        return false;
      i++;
    }
  }
  return true;
}
