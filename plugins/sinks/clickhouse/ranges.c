/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes of many rows (`_range`). A table of versions can delete only a row that it is told, so
 * each row that such a delete means gets a mark: a row of its key with the delete's version, that
 * says it is deleted. Rows of earlier units have landed, as a unit begins when the one before is
 * done: they are looked up in the table. Those of this unit are still in the batches it was given.
 * So the kept block is complete, and sending it again asks for nothing. */
#include "clickhouse.h"

/* One batch on its way into the block. */
struct put {
  struct ch_deletes d;
  struct ch_batch *work;
  int newest;          /* the node of the column that is the version; -1: versions are made here */
  uint64_t version;    /* of the marks that are put now */
  struct ch_lent here; /* the batch itself */
  bool ok;             /* memory */
};

bool ch_ranges_in(const struct ch_sink *s, const struct mr_batch *b)
{
  struct mr_range_columns range;
  if (s->conf->mode != MODE_UPSERT || s->range_source < 0)
    return false;
  mr_range_view(&range, b->schema, &b->rows, "");
  for (int64_t i = 0; i < b->rows.length; i++)
    if (mr_range_has(&range, i))
      return true;
  return false;
}

/* ---------------------------------------------------------------- what was given before */

bool ch_ranges_lend(struct ch_sink *s, const struct mr_batch *b, const uint8_t *dead)
{
  size_t bytes = (size_t)b->rows.length / 8 + 1;
  if (s->n_lent == s->cap_lent) {
    int cap = s->cap_lent ? 2 * s->cap_lent : 64;
    struct ch_lent *grown = realloc(s->lent, (size_t)cap * sizeof *grown);
    if (!grown)
      return false;
    s->lent = grown;
    s->cap_lent = cap;
  }
  struct ch_lent l = {b->schema, b->rows, dead ? malloc(bytes) : NULL, NULL};
  if (dead && !l.dead)
    return false;
  if (dead)
    memcpy(l.dead, dead, bytes);
  s->lent[s->n_lent++] = l;
  return true;
}

void ch_ranges_clear(struct ch_sink *s)
{
  for (int i = 0; i < s->n_lent; i++) {
    free(s->lent[i].dead);
    free(s->lent[i].hash);
  }
  s->n_lent = 0;
}

/* ---------------------------------------------------------------- what the deletes say */

static int node_of(const struct ch_sink *s, const char *name)
{
  for (int i = 0; i < s->n_nodes; i++)
    if (!strcmp(s->column[s->node_column[i]].name, name))
      return i;
  return -1;
}

static void add_bound(struct put *p, const char *name)
{
  struct ch_deletes *d = &p->d;
  int64_t source = mr_schema_find(d->b->schema, name);
  for (int k = 0; k < d->n_bound; k++)
    if (!strcmp(d->bound[k].name, name))
      return;
  if (source < 0)
    return;
  struct ch_bound *c = &d->bound[d->n_bound++];
  c->name = name;
  c->source = source;
  c->node = node_of(d->s, name);
  mr_view_column(&c->value, d->b->schema, &d->b->rows, source);
  mr_range_view(&c->range, d->b->schema, &d->b->rows, name);
}

/* The key's columns, and those that can be bounded. */
static bool learn(struct put *p)
{
  struct ch_deletes *d = &p->d;
  struct ch_sink *s = d->s;
  const struct ArrowSchema *range = d->b->schema->children[s->range_source];
  d->bound = calloc(s->conf->key.n + (size_t)range->n_children + 1, sizeof *d->bound);
  d->row = calloc((size_t)d->b->rows.length + 1, sizeof *d->row);
  if (!d->bound || !d->row)
    return false;
  for (size_t i = 0; i < s->conf->key.n; i++)
    add_bound(p, ((const char *const *)s->conf->key.item)[i]);
  for (int64_t i = 0; i < range->n_children; i++)
    add_bound(p, range->children[i]->name);
  p->newest = s->version_node < 0 ? node_of(s, s->engine.version_column) : -1;
  return true;
}

static bool is_range(const struct put *p, int64_t i)
{
  return mr_range_has(&p->d.bound[0].range, i);
}

/* Is the value one that the column can hold? The node forgets it later. */
static void try_value(struct put *p, int node, const struct mr_view *v, int64_t i)
{
  p->work->column = p->d.s->column[p->d.s->node_column[node]].name;
  p->work->is_key = true;
  ch_node_put(p->work, &p->d.s->node[node], v, i, i + 1, NULL);
}

static void check_bounds(struct put *p, const struct ch_bound *c, int64_t i)
{
  if (c->node < 0) {
    ch_bad(p->work, NULL, i, "0A000", "it bounds `%s`, which is no column of the table", c->name);
    return;
  }
  for (int b = MR_LOWER; b <= MR_UPPER; b++)
    if (!mr_view_null(&c->range.bound[b], i) && !ch_lookup_orders(p->d.s, c))
      ch_bad(p->work, NULL, i, "0A000",
             "it bounds `%s`, whose values the table orders in another way", c->name);
    else if (!mr_view_null(&c->range.bound[b], i))
      try_value(p, c->node, &c->range.bound[b], i);
}

/* Refuses a delete that cannot be carried out. */
static void check_delete(struct put *p, int64_t i)
{
  struct ch_sink *s = p->d.s;
  int said = 0;
  if (s->deleted_node < 0)
    ch_bad(p->work, NULL, i, "0A000",
           "the table has no column that could say that a row is deleted");
  for (int k = 0; k < p->d.n_bound; k++) {
    const struct ch_bound *c = &p->d.bound[k];
    bool bounded = mr_range_bounds(&c->range, i);
    if (bounded)
      check_bounds(p, c, i);
    if (c->node >= 0 && !mr_view_null(&c->value, i))
      try_value(p, c->node, &c->value, i);
    said += bounded || !mr_view_null(&c->value, i);
  }
  if (!said)
    ch_bad(p->work, NULL, i, "23502", "it has no key at all: it would delete every row");
  for (int k = 0; k < s->n_nodes; k++)
    if (ch_lookup_keeps(s, k) && !ch_lookup_copies(s->node[k].type))
      ch_bad(p->work, NULL, i, "0A000", "rows are not looked up by a column of type %.60s",
             s->column[s->node_column[k]].shown);
  if (p->newest >= 0) {
    struct mr_view v;
    mr_view_column(&v, p->d.b->schema, &p->d.b->rows, s->column[s->node_column[p->newest]].source);
    try_value(p, p->newest, &v, i);
  }
}

/* Finds what is refused: the nodes are as they were, then. */
static void check_rows(struct put *p)
{
  const struct mr_batch *b = p->d.b;
  int64_t from = 0;
  for (int64_t i = 0; i <= b->rows.length; i++) {
    if (i < b->rows.length && !is_range(p, i))
      continue;
    ch_put_rows(p->d.s, b, from, i, p->work);
    if (i < b->rows.length)
      check_delete(p, i);
    from = i + 1;
  }
}

/* ---------------------------------------------------------------- comparing values */

static int compare_bytes(const char *a, int64_t n, const char *b, int64_t m)
{
  int c = memcmp(a, b, (size_t)(n < m ? n : m));
  return c ? c : (n > m) - (n < m);
}

static int compare_wide(const uint8_t *a, const uint8_t *b)
{
  int64_t high[2];
  uint64_t low[2];
  memcpy(&low[0], a, 8);
  memcpy(&low[1], b, 8);
  memcpy(&high[0], a + 8, 8);
  memcpy(&high[1], b + 8, 8);
  if (high[0] != high[1])
    return high[0] < high[1] ? -1 : 1;
  return (low[0] > low[1]) - (low[0] < low[1]);
}

/* Two values of one type, none of them null. */
static int compare(const struct mr_view *a, int64_t i, const struct mr_view *b, int64_t j)
{
  int64_t n, m, x, y;
  switch (a->kind) {
  case MR_K_TEXT:
  case MR_K_BINARY: {
    const char *p = mr_view_bytes(a, i, &n), *q = mr_view_bytes(b, j, &m);
    return compare_bytes(p, n, q, m);
  }
  case MR_K_FIXED: return memcmp(mr_view_fixed(a, i), mr_view_fixed(b, j), (size_t)a->width);
  case MR_K_DECIMAL: return compare_wide(mr_view_fixed(a, i), mr_view_fixed(b, j));
  case MR_K_BOOL: return mr_view_bool(a, i) - mr_view_bool(b, j);
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: {
    double v = mr_view_f64(a, i), w = mr_view_f64(b, j);
    return (v > w) - (v < w);
  }
  default: break;
  }
  x = mr_view_int(a, i);
  y = mr_view_int(b, j);
  if (a->kind == MR_K_UINT64)
    return ((uint64_t)x > (uint64_t)y) - ((uint64_t)x < (uint64_t)y);
  return (x > y) - (x < y);
}

static bool within(const struct ch_bound *c, int64_t row, const struct mr_view *v, int64_t j)
{
  const struct mr_view *b = c->range.bound;
  int low = mr_view_null(&b[MR_LOWER], row) ? 1 : compare(v, j, &b[MR_LOWER], row);
  int high = mr_view_null(&b[MR_UPPER], row) ? -1 : compare(v, j, &b[MR_UPPER], row);
  return (low > 0 || (low == 0 && mr_view_bool(&b[MR_LOWER_INC], row))) &&
         (high < 0 || (high == 0 && mr_view_bool(&b[MR_UPPER_INC], row)));
}

/* Does the delete in `row` mean row j of the columns v? */
static bool means(const struct put *p, int64_t row, const struct mr_view *v, int64_t j)
{
  for (int k = 0; k < p->d.n_bound; k++) {
    const struct ch_bound *c = &p->d.bound[k];
    bool bounded = mr_range_bounds(&c->range, row), equal = !mr_view_null(&c->value, row);
    if (!bounded && !equal)
      continue;
    if (mr_view_null(&v[k], j) || (equal && compare(&v[k], j, &c->value, row)) ||
        (bounded && !within(c, row, &v[k], j)))
      return false;
  }
  return true;
}

/* FNV-1a. Values that compare equal have the same; floating point is left to the comparison. */
static uint32_t hash_value(const struct mr_view *v, int64_t i)
{
  uint32_t h = 2166136261u;
  uint8_t bit;
  int64_t len = v->width;
  const uint8_t *p = &bit;
  if (mr_view_null(v, i) || v->kind == MR_K_FLOAT32 || v->kind == MR_K_FLOAT64)
    return 0;
  if (v->kind == MR_K_TEXT || v->kind == MR_K_BINARY) {
    p = (const uint8_t *)mr_view_bytes(v, i, &len);
  } else if (v->kind == MR_K_BOOL) {
    bit = mr_view_bool(v, i);
    len = 1;
  } else {
    p = mr_view_fixed(v, i);
  }
  for (int64_t k = 0; k < len; k++)
    h = (h ^ p[k]) * 16777619u;
  return h;
}

/* Hashes of the first key column, so that most rows need no look: made once for a batch. */
static const uint32_t *hashes(struct ch_lent *l, const struct mr_view *v)
{
  if (l->hash || !(l->hash = malloc((size_t)l->rows.length * sizeof *l->hash + 1)))
    return l->hash;
  for (int64_t j = 0; j < l->rows.length; j++)
    l->hash[j] = hash_value(v, j);
  return l->hash;
}

/* ---------------------------------------------------------------- marks */

/* The version of a mark: the delete's. */
static void put_version(struct put *p, int node, int64_t row)
{
  struct ch_sink *s = p->d.s;
  struct mr_view v;
  if (node == s->version_node) {
    sql_buf_bytes(&s->node[node].data, &p->version, 8);
    return;
  }
  mr_view_column(&v, p->d.b->schema, &p->d.b->rows, s->column[s->node_column[node]].source);
  try_value(p, node, &v, row);
}

/* A mark for row j of rows that are in the block already. */
static void put_mark(struct put *p, int64_t row, const struct ArrowSchema *schema,
                     const struct ArrowArray *rows, int64_t j)
{
  struct ch_sink *s = p->d.s;
  struct ch_batch again = {
      .defaults = true, .dead = p->work->dead, .bad = p->work->bad, .out = p->work->out};
  for (int i = 0; i < s->n_nodes; i++) {
    struct mr_view v;
    if (i == s->version_node || i == p->newest) {
      put_version(p, i, row);
    } else if (i == s->deleted_node) {
      sql_buf_byte(&s->node[i].data, 1);
    } else {
      mr_view_column(&v, schema, rows, s->column[s->node_column[i]].source);
      ch_node_put(&again, &s->node[i], &v, j, j + 1, NULL);
    }
  }
}

/* Marks those of the first n rows that the delete means. Gives their number. */
static int64_t mark_rows(struct put *p, int64_t row, struct ch_lent *l, int64_t n)
{
  struct mr_range_columns range;
  struct mr_view *v = calloc((size_t)p->d.n_bound, sizeof *v);
  const struct ch_bound *first = p->d.bound;
  const uint32_t *hash = NULL;
  uint32_t wanted = 0;
  int64_t found = 0;
  if (!v) {
    p->ok = false;
    return 0;
  }
  for (int k = 0; k < p->d.n_bound; k++)
    mr_view_column(&v[k], l->schema, &l->rows, p->d.bound[k].source);
  mr_range_view(&range, l->schema, &l->rows, "");
  if (!mr_view_null(&first->value, row)) {
    wanted = hash_value(&first->value, row);
    hash = hashes(l, v);
  }
  for (int64_t j = 0; j < n; j++)
    if (!(hash && hash[j] != wanted) && !(l->dead && mr_bit_get(l->dead, j)) &&
        !mr_range_has(&range, j) && means(p, row, v, j)) {
      put_mark(p, row, l->schema, &l->rows, j);
      found++;
    }
  free(v);
  return found;
}

static void mark_unit(struct put *p, int64_t row)
{
  struct ch_sink *s = p->d.s;
  int64_t found = 0;
  p->version = ++s->version;
  for (int i = 0; i < s->n_lent; i++)
    found += mark_rows(p, row, &s->lent[i], s->lent[i].rows.length);
  found += mark_rows(p, row, &p->here, row);
  p->ok = p->ok &&
          (!found ||
           ch_remember(s, &(struct ch_written){
                              .batch = p->d.b->id, .rows = found, .from = row, .marks = true}));
}

static void put_copies(struct put *p, int node, const struct ch_found *f)
{
  struct ch_sink *s = p->d.s;
  struct ch_node *n = &s->node[node];
  const struct ch_found_column *c = &f->column[node];
  if (node == s->version_node || node == p->newest) {
    for (int64_t i = 0; i < f->rows; i++)
      put_version(p, node, p->d.row[f->which[i]]);
  } else if (node == s->deleted_node) {
    for (int64_t i = 0; i < f->rows; i++)
      sql_buf_byte(&n->data, 1);
  } else if (c->data) {
    sql_buf_bytes(&n->nulls, c->nulls, c->nulls ? (size_t)f->rows : 0);
    sql_buf_bytes(&n->data, c->data, c->len);
  } else {
    ch_node_put_nothing(n, f->rows);
  }
}

/* Marks for rows of the table. */
static int put_found(void *out, const struct ch_found *f, struct mr_error *err)
{
  struct put *p = out;
  for (int64_t i = 0; i < f->rows; i++)
    if (f->which[i] >= (uint64_t)p->d.n)
      return src_fail(err, MR_RETRY, "", "%s%s gave rows that nobody asked for", p->d.s->shown,
                      p->d.s->where);
  for (int i = 0; i < p->d.s->n_nodes; i++)
    put_copies(p, i, f);
  for (int64_t i = 0, n; i < f->rows; i += n) {
    for (n = 1; i + n < f->rows && f->which[i + n] == f->which[i]; n++) {}
    struct ch_written w = {
        .batch = p->d.b->id, .rows = n, .from = p->d.row[f->which[i]], .marks = true};
    p->ok = p->ok && ch_remember(p->d.s, &w);
  }
  return p->ok ? MR_OK : ch_no_memory(err);
}

/* ---------------------------------------------------------------- the batch */

/* The rows [from, to) that were not refused. */
static void put_live(struct put *p, int64_t from, int64_t to)
{
  struct ch_sink *s = p->d.s;
  while (from < to) {
    int64_t end = from;
    while (end < to && !mr_bit_get(p->work->dead, end))
      end++;
    ch_put_rows(s, p->d.b, from, end, p->work);
    ch_put_made(s, from, end, p->work);
    if (end > from && p->ok)
      p->ok = ch_remember(
          s, &(struct ch_written){.batch = p->d.b->id, .rows = end - from, .from = from});
    from = end + 1;
  }
}

static void put_all(struct put *p)
{
  int64_t from = 0, n = p->d.b->rows.length;
  for (int64_t i = 0; i < n; i++) {
    if (!is_range(p, i))
      continue;
    put_live(p, from, i);
    if (!mr_bit_get(p->work->dead, i))
      mark_unit(p, i);
    from = i + 1;
  }
  put_live(p, from, n);
}

/* The deletes that are carried out. Of those that mean one row the newest is found first: they are
 * sorted by it, the later one first where they are equal. */
static void collect(struct put *p)
{
  struct ch_deletes *d = &p->d;
  struct mr_view v;
  d->n = 0;
  if (p->newest >= 0)
    mr_view_column(&v, d->b->schema, &d->b->rows,
                   d->s->column[d->s->node_column[p->newest]].source);
  for (int64_t i = d->b->rows.length; i-- > 0;) {
    if (!is_range(p, i) || mr_bit_get(p->work->dead, i))
      continue;
    int64_t at = d->n++;
    for (; at > 0 && p->newest >= 0 && compare(&v, d->row[at - 1], &v, i) < 0; at--)
      d->row[at] = d->row[at - 1];
    d->row[at] = i;
  }
}

static void back(struct ch_sink *s, int n_written, int64_t rows)
{
  for (int i = 0; i < s->n_nodes; i++)
    ch_node_back(&s->node[i]);
  s->n_written = n_written;
  s->rows = rows;
}

int ch_ranges_put(struct ch_sink *s, const struct mr_batch *b, struct ch_batch *work,
                  struct mr_error *err)
{
  struct put p = {.d = {.s = s, .b = b}, .work = work, .newest = -1, .ok = true};
  int n_written = s->n_written, status = learn(&p) ? MR_OK : ch_no_memory(err);
  p.here = (struct ch_lent){b->schema, b->rows, work->dead, NULL};
  int64_t rows = s->rows;
  if (status >= 0)
    check_rows(&p);
  for (bool more = status >= 0; more;) {
    back(s, n_written, rows);
    collect(&p);
    p.version = ++s->version;
    status = ch_lookup(&p.d, 0, p.d.n, put_found, &p, err);
    more = status == MR_MORE;
    if (more)
      ch_bad(work, NULL, p.d.row[err->row], "54000", "it means more than %d rows of the table",
             CH_FOUND_ROWS);
  }
  if (status >= 0)
    put_all(&p);
  if (status >= 0 && !p.ok)
    status = ch_no_memory(err);
  if (status < 0)
    back(s, n_written, rows);
  free(p.d.bound);
  free(p.d.row);
  free(p.here.hash);
  return status;
}
