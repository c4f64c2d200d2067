/* SPDX-License-Identifier: Apache-2.0 */
/* HEADER, HAS_HEADER, HEADER_KEYS, SET_HEADER, REMOVE_HEADER on the column _headers; MAP_VALUE on
 * any map with text keys. */
#include "expr/internal.h"

#define HEADERS "_headers"
#define MAX_EDITS MR_MAX_DEPTH

static const char *const readers[] = {"header", "has_header", "header_keys"};

bool mr_header_reads(const struct mr_node *n)
{
  for (size_t i = 0; i < MR_COUNT(readers); i++)
    if (!strcmp(n->name, readers[i]))
      return true;
  return false;
}

/* ---- reading */

struct entries { /* of a map column */
  const struct mr_view *map;
  struct mr_view key, value;
};

static void entries_init(const struct mr_run *r, const struct mr_node *column, struct entries *e)
{
  e->map = &r->view[column->column];
  const struct ArrowSchema *s = e->map->schema->children[0];
  const struct ArrowArray *a = e->map->array->children[0];
  mr_view_init(&e->key, s->children[0], a->children[0]);
  mr_view_init(&e->value, s->children[1], a->children[1]);
  e->key.offset += a->offset;
  e->value.offset += a->offset;
}

static struct mr_span span_at(const struct mr_view *v, int64_t i)
{
  struct mr_span s;
  s.p = mr_view_bytes(v, i, &s.n);
  return s;
}

static bool same(struct mr_span a, struct mr_span b)
{
  return a.n == b.n && (!a.n || !memcmp(a.p, b.p, (size_t)a.n));
}

/* Index of the last entry with the key, -1: none. */
static int64_t find_last(const struct entries *e, int64_t row, struct mr_span key)
{
  int64_t from, to;
  mr_view_range(e->map, row, &from, &to);
  while (to-- > from)
    if (same(span_at(&e->key, to), key))
      return to;
  return -1;
}

static void run_value(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                      struct mr_vec *out)
{
  struct entries e;
  entries_init(r, n->arg[0], &e);
  for (int64_t i = 0; i < r->n; i++) {
    int64_t at = r->live[i] ? find_last(&e, r->base + i, MR_VS(arg[1])[i]) : -1;
    out->valid[i] = at >= 0 && !mr_view_null(&e.value, at);
    if (!out->valid[i])
      continue;
    struct mr_span s = span_at(&e.value, at);
    MR_VS(out)[i] = s;
    if (e.value.kind == MR_K_BINARY && !mr_utf8_valid(s.p, (size_t)s.n))
      mr_run_bad(r, n, out, i, MR_E_UTF8, "the value is no UTF-8");
  }
}

static void run_has(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                    struct mr_vec *out)
{
  struct entries e;
  entries_init(r, n->arg[0], &e);
  for (int64_t i = 0; i < r->n; i++) {
    out->valid[i] = arg[1]->valid[i];
    MR_VB(out)
    [i] = r->active[i] && arg[0]->valid[i] && arg[1]->valid[i] &&
          find_last(&e, r->base + i, MR_VS(arg[1])[i]) >= 0;
  }
}

/* A key as a JSON string into `to`; the bytes, at most 6 for one. */
static int64_t quote(struct mr_span s, char *to)
{
  static const char hex[] = "0123456789abcdef";
  int64_t n = 0;
  to[n++] = '"';
  for (int64_t i = 0; i < s.n; i++) {
    unsigned char c = (unsigned char)s.p[i];
    if (c < ' ') {
      memcpy(to + n, "\\u00", 4);
      to[n + 4] = hex[c >> 4];
      to[n + 5] = hex[c & 15];
      n += 6;
      continue;
    }
    if (c == '"' || c == '\\')
      to[n++] = '\\';
    to[n++] = s.p[i];
  }
  to[n++] = '"';
  return n;
}

static void run_keys(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                     struct mr_vec *out)
{
  struct entries e;
  entries_init(r, n->arg[0], &e);
  for (int64_t i = 0; i < r->n; i++) {
    int64_t from, to, size = 2, at = 0;
    if (!r->live[i])
      continue;
    mr_view_range(e.map, r->base + i, &from, &to);
    for (int64_t k = from; k < to; k++)
      size += 6 * span_at(&e.key, k).n + 3;
    char *p = mr_run_text(r, n, out, i, size);
    if (!p)
      continue;
    p[at++] = '[';
    for (int64_t k = from; k < to; k++) {
      if (k > from)
        p[at++] = ',';
      at += quote(span_at(&e.key, k), p + at);
    }
    p[at++] = ']';
    MR_VS(out)[i] = (struct mr_span){p, at};
  }
}

/* ---- compiling */

static bool is_text_map(const struct mr_xtype *t)
{
  if (t->kind != MR_K_MAP || !t->schema || t->schema->n_children != 1)
    return false;
  const struct ArrowSchema *e = t->schema->children[0];
  enum mr_kind value = e->n_children == 2 ? mr_kind_of(e->children[1]) : MR_K_NONE;
  return e->n_children == 2 && mr_kind_of(e->children[0]) == MR_K_TEXT &&
         (value == MR_K_TEXT || value == MR_K_BINARY);
}

static int want_map(struct mr_check *c, struct mr_node *n)
{
  char type[128];
  const struct mr_node *x = n->arg[0];
  if (x->kind == MR_N_COLUMN && is_text_map(&x->type))
    return MR_OK;
  return mr_check_fail(c, x, "`%s` takes a map column from text to text or binary, not %s", n->name,
                       mr_xtype_name(&x->type, type, sizeof type));
}

/* Puts the column _headers in front of the arguments. */
static int add_headers(struct mr_check *c, struct mr_node *n)
{
  struct mr_node **arg = mr_check_alloc(c, (n->n_arg + 1) * (int64_t)sizeof *arg);
  struct mr_node *column = mr_node_new(&c->e->arena, MR_N_COLUMN, n->line, n->col);
  if (!arg || !column)
    return mr_check_memory(c);
  if (mr_schema_find(&c->e->in, HEADERS) < 0)
    return mr_check_fail(c, n, "%s reads the column _headers, which the input does not have",
                         n->name);
  column->name = HEADERS;
  column->quoted = true;
  arg[0] = column;
  for (int i = 0; i < n->n_arg; i++)
    arg[i + 1] = n->arg[i];
  n->arg = arg;
  n->n_arg++;
  return MR_OK;
}

static int check_reader(struct mr_check *c, struct mr_node *n)
{
  bool has = !strcmp(n->name, "has_header"), keys = !strcmp(n->name, "header_keys");
  int st = mr_header_reads(n) ? add_headers(c, n) : MR_OK;
  if (st < 0 || (st = mr_check_args(c, n)) < 0 || (st = want_map(c, n)) < 0)
    return st;
  n->type = mr_xtype_of_kind(has ? MR_K_BOOL : MR_K_TEXT);
  n->type.json = keys;
  n->null_ok = has;
  n->run = has ? run_has : keys ? run_keys : run_value;
  return keys ? MR_OK : mr_want_text(c, n, 1);
}

/* ---- editing: SET_HEADER(REMOVE_HEADER(_headers, 'a'), 'b', x), the root of an expression */

static bool is_edit(const struct mr_node *n)
{
  return n->kind == MR_N_CALL &&
         (!strcmp(n->name, "set_header") || !strcmp(n->name, "remove_header"));
}

static struct mr_vec *eval_edit(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *v = mr_vec_get(r);
  if (v)
    memset(v->valid, 1, MR_CHUNK);
  return v;
}

static void free_schema(void *p)
{
  mr_schema_release(p);
  free(p);
}

/* NULL as first argument: no headers yet. */
static int new_map(struct mr_check *c, struct mr_xtype *ret)
{
  struct ArrowSchema *s = calloc(1, sizeof *s);
  if (!s)
    return mr_check_memory(c);
  if (mr_type_parse("map<utf8,binary>", "", s, c->err) < 0) {
    free(s);
    return MR_FATAL;
  }
  *ret = mr_xtype_of_kind(MR_K_MAP);
  ret->schema = s;
  return mr_check_cleanup(c, free_schema, s);
}

static int check_edit(struct mr_check *c, struct mr_node *n)
{
  const char *key;
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  const struct mr_node *map = n->arg[0];
  bool none = map->kind == MR_N_CONST && map->null;
  if (!none && !is_edit(map) && (st = want_map(c, n)) < 0)
    return st;
  if ((st = mr_want_const_text(c, n, 1, &key)) < 0)
    return st;
  n->type = map->type;
  if (none && (st = new_map(c, &n->type)) < 0)
    return st;
  n->form = eval_edit;
  n->varies = true;
  if (n->n_arg < 3 || n->arg[2]->type.kind == MR_K_BINARY || mr_xtype_is_text(&n->arg[2]->type))
    return MR_OK;
  return mr_coerce_arg(c, n, 2, mr_xtype_of_kind(MR_K_TEXT));
}

struct edits {
  struct mr_span key[MAX_EDITS];
  struct mr_vec *value[MAX_EDITS]; /* NULL: removed */
  int n;
  const struct mr_node *base; /* the column, or NULL */
};

/* From the innermost edit outwards. */
static bool collect(struct mr_run *r, const struct mr_node *n, struct edits *d)
{
  if (!is_edit(n)) {
    d->base = n->kind == MR_N_COLUMN ? n : NULL;
    return true;
  }
  if (!collect(r, n->arg[0], d) || d->n == MAX_EDITS)
    return false;
  struct mr_vec *v = n->n_arg == 3 ? mr_eval_node(r, n->arg[2]) : NULL;
  if (n->n_arg == 3 && !v)
    return false;
  d->key[d->n] = n->arg[1]->value.s;
  d->value[d->n++] = v;
  return true;
}

/* The last edit of a key, -1: none. */
static int edit_of(const struct edits *d, struct mr_span key)
{
  int k = d->n;
  while (k-- > 0)
    if (same(d->key[k], key))
      break;
  return k;
}

static bool put(struct mr_column *to, struct mr_span key, struct mr_span value, bool null)
{
  struct mr_column *entry = &to->child[0], *k = &entry->child[0], *v = &entry->child[1];
  return mr_column_bytes(k, key.p, key.n) &&
         (null ? mr_column_null(v) : mr_column_bytes(v, value.p, value.n)) && mr_column_end(entry);
}

static bool keep_entries(const struct entries *e, const struct edits *d, int64_t row,
                         struct mr_column *to)
{
  int64_t from, end;
  struct mr_span none = {"", 0};
  if (mr_view_null(e->map, row))
    return true;
  mr_view_range(e->map, row, &from, &end);
  for (int64_t k = from; k < end; k++) {
    struct mr_span key = span_at(&e->key, k);
    bool null = mr_view_null(&e->value, k);
    if (edit_of(d, key) < 0 && !put(to, key, null ? none : span_at(&e->value, k), null))
      return false;
  }
  return true;
}

static bool put_row(struct mr_run *r, const struct entries *e, const struct edits *d, int64_t i,
                    struct mr_column *to)
{
  if (r->failed[i])
    return mr_column_null(to);
  if (d->base && !keep_entries(e, d, r->base + i, to))
    return false;
  for (int k = 0; k < d->n; k++) {
    const struct mr_vec *v = d->value[k];
    if (v && edit_of(d, d->key[k]) == k && !put(to, d->key[k], MR_VS(v)[i], !v->valid[i]))
      return false;
  }
  return mr_column_end(to);
}

bool mr_header_store(struct mr_expr *x, struct mr_column *to)
{
  struct mr_run *r = x->run;
  struct edits d = {.n = 0};
  struct entries e;
  bool ok = collect(r, x->root, &d);
  if (ok && d.base)
    entries_init(r, d.base, &e);
  for (int64_t i = 0; ok && i < r->n; i++)
    ok = put_row(r, &e, &d, i, to);
  for (int k = 0; k < d.n; k++)
    mr_vec_put(r, d.value[k]);
  return ok;
}

const struct mr_function mr_header_functions[] = {
    {"header", 1, 1, check_reader, "HEADER('name')"},
    {"has_header", 1, 1, check_reader, "HAS_HEADER('name')"},
    {"header_keys", 0, 0, check_reader, "HEADER_KEYS()"},
    {"map_value", 2, 2, check_reader, "MAP_VALUE(map, 'key')"},
    {"set_header", 3, 3, check_edit, "SET_HEADER(_headers, 'name', value)"},
    {"remove_header", 2, 2, check_edit, "REMOVE_HEADER(_headers, 'name')"},
    {NULL}};
