/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the tree for MR_CHUNK rows at a time, with vectors from a pool: nothing is allocated for a
 * row. */
#include "expr/internal.h"
#include <stdio.h>
#include <time.h>

/* ---- vectors */

static struct mr_vec *vec_new(void)
{
  int64_t size = MR_CHUNK * (int64_t)sizeof(union mr_value);
  struct mr_vec *v = calloc(1, sizeof *v);
  if (!v)
    return NULL;
  v->storage = mr_buf_alloc(size + MR_CHUNK);
  if (!v->storage) {
    free(v);
    return NULL;
  }
  memset(v->storage, 0, (size_t)size + MR_CHUNK);
  v->valid_store = (uint8_t *)v->storage + size;
  return v;
}

struct mr_vec *mr_vec_get(struct mr_run *r)
{
  struct mr_vec *v = r->pool;
  if (v)
    r->pool = v->next;
  else
    v = vec_new();
  if (!v)
    return NULL;
  v->data = v->storage;
  v->valid = v->valid_store;
  return v;
}

void mr_vec_put(struct mr_run *r, struct mr_vec *v)
{
  if (!v)
    return;
  v->next = r->pool;
  r->pool = v;
}

#define MERGE(T)                    \
  do {                              \
    const T *a = from->data;        \
    T *b = to->data;                \
    for (int64_t i = 0; i < n; i++) \
      if (mask[i])                  \
        b[i] = a[i];                \
  } while (0)

void mr_vec_merge(enum mr_phys p, int64_t n, const uint8_t *mask, const struct mr_vec *from,
                  struct mr_vec *to)
{
  for (int64_t i = 0; i < n; i++)
    if (mask[i])
      to->valid[i] = from->valid[i];
  switch (p) {
  case MR_P_BOOL: MERGE(uint8_t); break;
  case MR_P_I64:
  case MR_P_U64:
  case MR_P_F64: MERGE(int64_t); break;
  case MR_P_DEC: MERGE(mr_i128); break;
  case MR_P_TEXT: MERGE(struct mr_span); break;
  case MR_P_IVAL: MERGE(struct mr_ival); break;
  case MR_P_ANY: break;
  }
}

/* ---- bad rows, text */

void mr_run_bad(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                const char *code, const char *msg)
{
  char text[160];
  out->valid[i] = 0;
  r->n_bad++;
  if (r->failed[i])
    return;
  r->failed[i] = 1;
  if (r->folding || !r->bad)
    return;
  snprintf(text, sizeof text, "%d:%d: %s", n->line, n->col, msg);
  r->bad(r->out, r->base + i, code, text);
}

char *mr_run_text(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                  int64_t size)
{
  if (size > MR_MAX_VALUE || r->text.used + size > MR_MAX_SCRATCH - 16) {
    mr_run_bad(r, n, out, i, MR_E_LIMIT, "the text is too long");
    return NULL;
  }
  char *p = mr_arena_alloc(&r->text, size);
  if (!p) {
    r->no_memory = true;
    out->valid[i] = 0;
  }
  return p;
}

/* ---- nodes */

#define FILL(T, v)                     \
  do {                                 \
    T *d = out->data;                  \
    for (int64_t i = 0; i < r->n; i++) \
      d[i] = v;                        \
  } while (0)

static struct mr_vec *eval_const(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *out = mr_vec_get(r);
  if (!out)
    return NULL;
  memset(out->valid, !n->null, MR_CHUNK);
  if (n->null)
    return out;
  switch (mr_phys_of(&n->type)) {
  case MR_P_BOOL: FILL(uint8_t, n->value.b); break;
  case MR_P_I64:
  case MR_P_U64:
  case MR_P_F64: FILL(int64_t, n->value.i); break;
  case MR_P_DEC: FILL(mr_i128, n->value.d); break;
  case MR_P_TEXT: FILL(struct mr_span, n->value.s); break;
  case MR_P_IVAL: FILL(struct mr_ival, n->value.v); break;
  case MR_P_ANY: break;
  }
  return out;
}

static struct mr_vec *eval_column(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *out = mr_vec_get(r);
  if (!out)
    return NULL;
  if (mr_column_load(r, n, out))
    return out;
  mr_vec_put(r, out);
  return NULL;
}

static struct mr_vec *eval_ref(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *out = mr_vec_get(r);
  if (!out)
    return NULL;
  out->data = n->let->saved->data;
  out->valid = n->let->saved->valid;
  return out;
}

static struct mr_vec *eval_let(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *saved = mr_eval_node(r, n->arg[0]);
  if (!saved)
    return NULL;
  ((struct mr_node *)n)->saved = saved;
  struct mr_vec *out = mr_eval_node(r, n->arg[1]);
  if (out && (out->data == saved->data || out->valid == saved->valid)) {
    struct mr_vec *copy = mr_vec_get(r);
    if (copy)
      mr_vec_merge(mr_phys_of(&n->type), r->n, r->all, out, copy);
    mr_vec_put(r, out);
    out = copy;
  }
  mr_vec_put(r, saved);
  return out;
}

/* Rows whose arguments are all there and that are wanted. */
static void set_live(struct mr_run *r, const struct mr_node *n, struct mr_vec *out)
{
  memset(out->valid, 1, MR_CHUNK);
  if (!n->null_ok)
    for (int k = 0; k < n->n_arg; k++) {
      const uint8_t *v = n->argv[k]->valid;
      for (int64_t i = 0; i < MR_CHUNK; i++)
        out->valid[i] &= v[i];
    }
  for (int64_t i = 0; i < r->n; i++)
    r->live[i] = out->valid[i] & r->active[i];
}

static struct mr_vec *eval_strict(struct mr_run *r, const struct mr_node *n)
{
  struct mr_vec *out = NULL;
  int k = 0;
  for (; k < n->n_arg; k++)
    if (!(n->argv[k] = mr_eval_node(r, n->arg[k])))
      goto done;
  if (!(out = mr_vec_get(r)))
    goto done;
  set_live(r, n, out);
  n->run(r, n, n->argv, out);
done:
  while (k-- > 0)
    mr_vec_put(r, n->argv[k]);
  return out;
}

struct mr_vec *mr_eval_node(struct mr_run *r, const struct mr_node *n)
{
  switch (n->kind) {
  case MR_N_CONST: return eval_const(r, n);
  case MR_N_COLUMN: return eval_column(r, n);
  case MR_N_LET: return eval_let(r, n);
  case MR_N_REF: return eval_ref(r, n);
  default: return n->form ? n->form(r, n) : eval_strict(r, n);
  }
}

/* ---- folding */

static bool keep_value(struct mr_expr *e, struct mr_node *n, const struct mr_vec *v)
{
  enum mr_phys p = mr_phys_of(&n->type);
  union mr_value value = {.d = 0};
  size_t size = p == MR_P_BOOL ? 1 : p == MR_P_I64 || p == MR_P_U64 || p == MR_P_F64 ? 8 : 16;
  n->null = !v->valid[0];
  if (!n->null)
    memcpy(&value, v->data, size);
  if (!n->null && p == MR_P_TEXT) {
    value.s.p = mr_arena_strndup(&e->arena, value.s.p, value.s.n);
    if (!value.s.p)
      return false;
  }
  n->value = value;
  n->kind = MR_N_CONST;
  n->literal = false;
  return true;
}

bool mr_run_fold(struct mr_expr *e, struct mr_node *n)
{
  struct mr_run *r = e->run;
  bool ok = false;
  r->n = 1;
  r->n_bad = 0;
  r->folding = true;
  memset(r->failed, 0, sizeof r->failed);
  r->active = r->all;
  struct mr_vec *v = mr_eval_node(r, n);
  r->no_memory |= !v;
  if (v && !r->n_bad && !r->no_memory)
    ok = keep_value(e, n, v);
  mr_vec_put(r, v);
  mr_arena_reset(&r->text);
  r->folding = false;
  return ok;
}

/* ---- the run */

int mr_run_new(struct mr_run **ret)
{
  struct mr_run *r = calloc(1, sizeof *r);
  if (!r)
    return MR_FATAL;
  memset(r->all, 1, sizeof r->all);
  r->text.max = MR_MAX_SCRATCH;
  *ret = r;
  return MR_OK;
}

void mr_run_free(struct mr_run *r)
{
  if (!r)
    return;
  while (r->pool) {
    struct mr_vec *v = r->pool;
    r->pool = v->next;
    free(v->storage);
    free(v);
  }
  mr_arena_done(&r->text);
  free(r->view);
  free(r);
}
