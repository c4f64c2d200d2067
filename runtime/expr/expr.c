/* SPDX-License-Identifier: Apache-2.0 */
/* The public side: compile, evaluate, free. */
#include "expr/internal.h"
#include <stdio.h>
#include <time.h>

void mr_expr_free(struct mr_expr *e)
{
  if (!e)
    return;
  for (struct mr_cleanup *u = e->cleanup; u; u = u->next)
    u->free(u->p);
  mr_run_free(e->run);
  mr_schema_release(&e->in);
  mr_schema_release(&e->type);
  free(e->input);
  mr_arena_done(&e->arena);
  free(e);
}

/* ---- compiling */

static int set_columns(struct mr_check *c)
{
  struct mr_expr *e = c->e;
  int n = 0;
  e->columns = mr_check_alloc(c, (e->n_input + 1) * (int64_t)sizeof *e->columns);
  if (!e->columns)
    return mr_check_memory(c);
  for (int i = 0; i < e->n_input; i++) {
    int k = 0;
    while (k < n && strcmp(e->columns[k], e->input[i].name))
      k++;
    if (k == n)
      e->columns[n++] = e->input[i].name;
  }
  return MR_OK;
}

static void format_of(const struct mr_xtype *t, char *buf, size_t size)
{
  static const char *const formats[] = {
      [MR_K_BOOL] = "b",   [MR_K_INT8] = "c",    [MR_K_INT16] = "s",   [MR_K_INT32] = "i",
      [MR_K_INT64] = "l",  [MR_K_UINT8] = "C",   [MR_K_UINT16] = "S",  [MR_K_UINT32] = "I",
      [MR_K_UINT64] = "L", [MR_K_FLOAT32] = "f", [MR_K_FLOAT64] = "g", [MR_K_DATE] = "tdD",
      [MR_K_TIME] = "ttu", [MR_K_TEXT] = "u",    [MR_K_BINARY] = "z",  [MR_K_FIXED] = "w:16"};
  if (t->kind == MR_K_DECIMAL)
    snprintf(buf, size, "d:%d,%d", t->precision, t->scale);
  else if (t->kind == MR_K_TIMESTAMP)
    snprintf(buf, size, "tsu:%s", t->zone);
  else
    snprintf(buf, size, "%s", formats[t->kind]);
}

/* ---- labels */

#define LABEL_BYTES 512

/* Is a label (of n bytes) in a list separated by commas? */
static bool has_label(const char *list, const char *label, size_t n)
{
  for (const char *at = list; *at; at += strcspn(at, ","), at += *at == ',')
    if (strcspn(at, ",") == n && !memcmp(at, label, n))
      return true;
  return false;
}

/* Adds the labels of a list (len bytes, separated by commas) that are not there yet. false: no
 * room. */
static bool add_labels(char *to, const char *list, size_t len)
{
  for (size_t i = 0, n; i < len; i += n + 1) {
    const char *comma = memchr(list + i, ',', len - i);
    n = comma ? (size_t)(comma - list) - i : len - i;
    while (n && list[i] == ' ')
      i++, n--;
    size_t used = strlen(to);
    if (!n || has_label(to, list + i, n))
      continue;
    if (used + n + 2 > LABEL_BYTES)
      return false;
    sprintf(to + used, "%s%.*s", used ? "," : "", (int)n, list + i);
  }
  return true;
}

/* The labels of one column that is read: its own and those of the structs around it. */
static bool input_labels(const struct mr_expr *e, const struct mr_input *in, char *open,
                         char *masked, char *how)
{
  const struct ArrowSchema *s = &e->in;
  bool ok = true;
  for (int k = 0; k < in->n_path; k++) {
    size_t n = 0, m = 0;
    s = s->children[in->path[k]];
    const char *label = mr_schema_meta(s, MR_META_CLASS, &n);
    const char *method = mr_schema_meta(s, MR_META_MASKED, &m);
    if (method && m < LABEL_BYTES)
      sprintf(how, "%.*s", (int)m, method);
    if (label)
      ok &= add_labels(method ? masked : open, label, n);
  }
  return ok;
}

/* What is computed from labelled columns has their labels; it counts as masked when all of them
 * are. */
static int set_labels(struct mr_check *c)
{
  char open[LABEL_BYTES] = "", masked[LABEL_BYTES] = "", how[LABEL_BYTES] = "";
  struct ArrowSchema *t = &c->e->type;
  bool ok = true;
  for (int i = 0; i < c->e->n_input; i++)
    ok &= input_labels(c->e, &c->e->input[i], open, masked, how);
  if (!ok)
    return mr_check_fail(c, c->e->root, "the columns have more than %d bytes of labels",
                         LABEL_BYTES);
  const char *labels = *open ? open : masked;
  ok = (!*labels || mr_schema_set_meta(t, MR_META_CLASS, labels)) &&
       (*open || !*masked || mr_schema_set_meta(t, MR_META_MASKED, how));
  return ok ? MR_OK : mr_check_memory(c);
}

/* ---- the result's Arrow type, without a name */

static int set_type(struct mr_check *c)
{
  const struct mr_xtype *t = &c->e->root->type;
  char format[96];
  struct ArrowSchema *s = &c->e->type;
  const char *extension = t->json ? "arrow.json" : t->kind == MR_K_FIXED ? "arrow.uuid" : NULL;
  if (t->schema) {
    bool ok = mr_schema_copy(t->schema, s) && mr_schema_rename(s, "") &&
              mr_schema_set_meta(s, MR_META_CLASS, NULL) &&
              mr_schema_set_meta(s, MR_META_MASKED, NULL);
    s->flags |= ARROW_FLAG_NULLABLE;
    return ok ? MR_OK : mr_check_memory(c);
  }
  format_of(t, format, sizeof format);
  if (!mr_schema_init(s, "", format, true) ||
      (extension && !mr_schema_set_meta(s, MR_META_EXTENSION, extension)))
    return mr_check_memory(c);
  return MR_OK;
}

static int check_root(struct mr_check *c)
{
  struct mr_node *n = c->e->root;
  int st = mr_check_node(c, n);
  if (st < 0)
    return st;
  if (n->type.kind == MR_K_INTERVAL)
    return mr_check_fail(c, n,
                         "an interval cannot be a column: use EPOCH_US(...) (microseconds) or "
                         "EXTRACT(EPOCH FROM ...) (seconds)");
  if (n->type.kind == MR_K_NULL && n->kind != MR_N_COLUMN)
    return mr_check_fail(c, n, "NULL alone has no type: write CAST(NULL AS type)");
  return MR_OK;
}

static int compile(struct mr_check *c, const char *text, const struct ArrowSchema *in)
{
  int st;
  if (!mr_schema_copy(in, &c->e->in) || mr_run_new(&c->e->run) < 0)
    return mr_check_memory(c);
  c->e->run->e = c->e;
  if ((st = mr_parse(&c->e->arena, text, &c->e->root, c->err)) < 0)
    return st;
  if ((st = check_root(c)) < 0 || (st = set_type(c)) < 0 || (st = set_labels(c)) < 0)
    return st;
  c->e->run->view = calloc((size_t)c->e->n_input + 1, sizeof *c->e->run->view);
  if (!c->e->run->view)
    return mr_check_memory(c);
  return set_columns(c);
}

int mr_expr_new(const char *text, const struct ArrowSchema *in, struct mr_expr **ret,
                struct ArrowSchema *ret_type, struct mr_error *err)
{
  struct mr_check c = {calloc(1, sizeof(struct mr_expr)), err};
  struct ArrowSchema type = {0};
  if (!c.e)
    return mr_check_memory(&c);
  int st = compile(&c, text, in);
  if (st >= 0 && ret_type && !mr_schema_copy(&c.e->type, &type))
    st = mr_check_memory(&c);
  if (st < 0) {
    mr_schema_release(&type);
    mr_expr_free(c.e);
    return st;
  }
  if (ret_type)
    *ret_type = type;
  *ret = c.e;
  return MR_OK;
}

const char *const *mr_expr_columns(const struct mr_expr *e)
{
  return e->columns;
}

/* ---- names */

static void walk(const struct mr_node *n, void (*name)(void *out, const char *name), void *out)
{
  if (n->kind == MR_N_COLUMN)
    name(out, n->name);
  if (n->kind == MR_N_CALL && mr_header_reads(n))
    name(out, "_headers");
  for (int i = 0; i < n->n_arg; i++)
    walk(n->arg[i], name, out);
}

int mr_expr_names(const char *text, void (*name)(void *out, const char *name), void *out,
                  struct mr_error *err)
{
  struct mr_arena arena = {0};
  struct mr_node *n = NULL;
  int st = mr_parse(&arena, text, &n, err);
  if (st >= 0)
    walk(n, name, out);
  mr_arena_done(&arena);
  return st;
}

int mr_expr_check_text(const char *text, struct mr_error *err)
{
  struct mr_check c = {calloc(1, sizeof(struct mr_expr)), err};
  if (!c.e || mr_run_new(&c.e->run) < 0) {
    mr_expr_free(c.e);
    return mr_check_memory(&c);
  }
  c.e->run->e = c.e;
  int st = mr_parse(&c.e->arena, text, &c.e->root, err);
  if (st >= 0)
    st = mr_check_unknown(&c, c.e->root);
  mr_expr_free(c.e);
  return st;
}

/* ---- evaluating */

static int bind(struct mr_expr *e, const struct ArrowSchema *schema, const struct ArrowArray *rows,
                struct mr_error *err)
{
  struct mr_run *r = e->run;
  for (int i = 0; i < e->n_input; i++) {
    const struct mr_input *in = &e->input[i];
    const struct ArrowSchema *s = schema;
    const struct ArrowArray *a = rows;
    int64_t offset = 0;
    for (int k = 0; k < in->n_path; k++) {
      if (in->path[k] >= s->n_children || in->path[k] >= a->n_children)
        return mr_fail(err, MR_FATAL, "the rows have no column `%s`", in->name);
      offset += a->offset;
      s = s->children[in->path[k]];
      a = a->children[in->path[k]];
    }
    if (strcmp(s->format, in->schema->format))
      return mr_fail(err, MR_FATAL, "column `%s` has another type than at compile time", in->name);
    mr_view_init(&r->view[i], in->schema, a);
    r->view[i].offset += offset;
  }
  return MR_OK;
}

static int64_t now_us(void)
{
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int no_room(const struct mr_column *c, struct mr_error *err)
{
  if (c->bytes_len > INT32_MAX / 2)
    return mr_fail_code(err, MR_REJECT, MR_E_LIMIT, "the result's text is over 2 GiB in one batch");
  return mr_fail(err, MR_FATAL, "out of memory");
}

/* A list, struct or map column as it is. */
static bool copy_chunk(struct mr_expr *e, const struct mr_vec *v, struct mr_column *c)
{
  const struct mr_run *r = e->run;
  for (int64_t i = 0; i < r->n; i++)
    if (!(v->valid[i] ? mr_column_append(c, &r->view[e->root->column], r->base + i)
                      : mr_column_null(c)))
      return false;
  return true;
}

static bool eval_chunk(struct mr_expr *e, struct mr_column *c)
{
  struct mr_run *r = e->run;
  memset(r->failed, 0, sizeof r->failed);
  r->active = r->all;
  mr_arena_reset(&r->text);
  if (e->root->form && mr_phys_of(&e->root->type) == MR_P_ANY)
    return mr_header_store(e, c) && !r->no_memory;
  struct mr_vec *v = mr_eval_node(r, e->root);
  if (!v)
    return false;
  for (int64_t i = 0; i < r->n; i++)
    v->valid[i] &= !r->failed[i];
  bool ok = mr_phys_of(&e->root->type) == MR_P_ANY ? copy_chunk(e, v, c) : mr_column_store(r, v, c);
  mr_vec_put(r, v);
  return ok && !r->no_memory;
}

static bool reserve(struct mr_expr *e, struct mr_column *c, int64_t rows)
{
  if (!mr_column_init(c, &e->type) || !mr_column_reserve(c, rows))
    return false;
  if (mr_phys_of(&e->root->type) == MR_P_ANY)
    return true;
  return mr_buf_reserve(&c->valid, &c->valid_cap, 0, rows / 8 + 1);
}

int mr_expr_eval(struct mr_expr *e, const struct ArrowSchema *schema, const struct ArrowArray *rows,
                 struct ArrowArray *give, mr_bad_row_fn *bad, void *out, struct mr_error *err)
{
  struct mr_run *r = e->run;
  struct mr_column c;
  int st = bind(e, schema, rows, err);
  if (st < 0)
    return st;
  r->rows = rows;
  r->bad = bad;
  r->out = out;
  r->now_us = now_us();
  r->no_memory = false;
  bool ok = reserve(e, &c, rows->length);
  for (r->base = 0; ok && r->base < rows->length; r->base += r->n) {
    r->n = rows->length - r->base < MR_CHUNK ? rows->length - r->base : MR_CHUNK;
    ok = eval_chunk(e, &c);
  }
  if (!ok || !mr_column_finish(&c, give))
    st = no_room(&c, err);
  mr_column_done(&c);
  return st;
}
