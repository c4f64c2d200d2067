/* SPDX-License-Identifier: Apache-2.0 */
#include "data/array.h"
#include <stdatomic.h>

/* ---- sharing: the first owner moves into a counted block, every share is a tree of shells that
 * point into it */

struct shared {
  _Atomic int64_t refs;
  struct ArrowArray array;
};
/* private_data of a shell. Only the top shell of a tree holds the reference. */
struct shell {
  struct shared *owner;
};

static void shared_unref(struct shared *s)
{
  /* release: this holder's reads are done; acquire: the last one frees after all of them */
  if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
    return;
  mr_array_release(&s->array);
  free(s);
}

static void shell_release(struct ArrowArray *a)
{
  struct shell *sh = a->private_data;
  struct shared *owner = sh->owner;
  for (int64_t i = 0; i < a->n_children; i++) {
    mr_array_release(a->children[i]);
    free(a->children[i]);
  }
  free(a->children);
  free(sh);
  a->release = NULL;
  if (owner)
    shared_unref(owner);
}

/* A shell of src. Every shell holds a reference, so that a child may be moved out of its parent. */
static bool shell_init(struct ArrowArray *ret, const struct ArrowArray *src, struct shared *owner)
{
  *ret = *src;
  ret->children = NULL;
  ret->n_children = 0;
  ret->release = NULL;
  struct shell *sh = malloc(sizeof *sh);
  if (!sh)
    return false;
  sh->owner = owner;
  atomic_fetch_add_explicit(&owner->refs, 1, memory_order_relaxed);
  ret->private_data = sh;
  ret->release = shell_release;
  if (!src->n_children)
    return true;
  ret->children = calloc((size_t)src->n_children, sizeof *ret->children);
  if (!ret->children)
    return false;
  for (int64_t i = 0; i < src->n_children; i++) {
    ret->children[i] = calloc(1, sizeof **ret->children);
    if (!ret->children[i])
      return false;
    ret->n_children++;
    if (!shell_init(ret->children[i], src->children[i], owner))
      return false;
  }
  return true;
}

/* Turns *a into a shell of a counted array, unless it is one already. NULL: no memory, *a
 * unchanged. */
static struct shared *make_shared(struct ArrowArray *a)
{
  if (a->release == shell_release)
    return ((struct shell *)a->private_data)->owner;
  struct shared *s = malloc(sizeof *s);
  if (!s)
    return NULL;
  atomic_init(&s->refs, 1);
  mr_array_move(a, &s->array);
  if (!shell_init(a, &s->array, s)) {
    mr_array_release(a);
    mr_array_move(&s->array, a);
    free(s);
    return NULL;
  }
  shared_unref(s); /* the shells hold it now */
  return s;
}

bool mr_array_share(struct ArrowArray *a, struct ArrowArray *ret)
{
  struct shared *s = make_shared(a);
  if (!s)
    return false;
  if (shell_init(ret, a, s))
    return true;
  mr_array_release(ret);
  return false;
}

bool mr_rows_slice(struct ArrowArray *rows, int64_t from, int64_t n, struct ArrowArray *ret)
{
  if (!mr_array_share(rows, ret))
    return false;
  bool whole = from == 0 && n == rows->length;
  ret->length = n;
  for (int64_t i = 0; i < ret->n_children; i++) {
    struct ArrowArray *c = ret->children[i];
    c->offset += from;
    c->length = n;
    if (!whole && c->null_count)
      c->null_count = -1;
  }
  return true;
}

/* ---- copying */

static bool append_bytes(struct mr_column *c, const struct mr_view *v, int64_t i)
{
  int64_t n;
  const char *p = mr_view_bytes(v, i, &n);
  return mr_column_bytes(c, p, n);
}

static bool append_nested(struct mr_column *c, const struct mr_view *v, int64_t i)
{
  int64_t from = v->offset + i, to = from + 1;
  if (v->kind != MR_K_STRUCT)
    mr_view_range(v, i, &from, &to);
  for (int64_t k = 0; k < c->n_child; k++) {
    struct mr_view child;
    mr_view_init(&child, v->schema->children[k], v->array->children[k]);
    for (int64_t j = from; j < to; j++)
      if (!mr_column_append(&c->child[k], &child, j))
        return false;
  }
  return mr_column_end(c);
}

bool mr_column_append(struct mr_column *c, const struct mr_view *v, int64_t i)
{
  if (mr_view_null(v, i))
    return mr_column_null(c);
  switch (v->kind) {
  case MR_K_BOOL: return mr_column_bool(c, mr_view_bool(v, i));
  case MR_K_TEXT:
  case MR_K_BINARY: return append_bytes(c, v, i);
  case MR_K_LIST:
  case MR_K_MAP:
  case MR_K_STRUCT: return append_nested(c, v, i);
  default: return mr_column_fixed(c, mr_view_fixed(v, i));
  }
}

bool mr_array_gather(const struct ArrowSchema *s, const struct ArrowArray *a, const int64_t *index,
                     int64_t n, struct ArrowArray *ret)
{
  struct mr_column c;
  struct mr_view v;
  mr_view_init(&v, s, a);
  bool ok = mr_column_init(&c, s) && mr_column_reserve(&c, n);
  for (int64_t i = 0; ok && i < n; i++)
    ok = index[i] < 0 ? mr_column_null(&c) : mr_column_append(&c, &v, index[i]);
  ok = ok && mr_column_finish(&c, ret);
  mr_column_done(&c);
  return ok;
}

bool mr_rows_filter(const struct ArrowSchema *s, struct ArrowArray *rows, const uint8_t *keep,
                    struct ArrowArray *ret)
{
  int64_t n = 0;
  int64_t *index = malloc((size_t)(rows->length ? rows->length : 1) * sizeof *index);
  if (!index)
    return false;
  for (int64_t i = 0; i < rows->length; i++)
    if (mr_bit_get(keep, i))
      index[n++] = i;
  bool ok = false;
  if (n == rows->length)
    ok = mr_array_share(rows, ret);
  else if (mr_array_init(ret, n, 1, s->n_children)) {
    ok = true;
    for (int64_t i = 0; ok && i < s->n_children; i++)
      ok = mr_array_gather(s->children[i], rows->children[i], index, n, ret->children[i]);
    if (!ok)
      mr_array_release(ret);
  } else
    mr_array_release(ret);
  free(index);
  return ok;
}

/* ---- measuring and checking */

static int64_t range_bytes(const struct ArrowSchema *s, const struct ArrowArray *a, int64_t from,
                           int64_t n)
{
  enum mr_kind k = mr_kind_of(s);
  int64_t total = a->null_count ? (n + 7) / 8 : 0;
  if (k == MR_K_BOOL)
    return total + (n + 7) / 8;
  if (k == MR_K_STRUCT) {
    for (int64_t i = 0; i < s->n_children; i++) {
      const struct ArrowArray *c = a->children[i];
      total += range_bytes(s->children[i], c, c->offset + from, n);
    }
    return total;
  }
  if (!mr__is_var(k))
    return total + n * (mr_kind_width(k) > 0 ? mr_kind_width(k) : 0);
  total += (n + 1) * 4;
  if (!n || !a->buffers[1])
    return total;
  const int32_t *o = (const int32_t *)a->buffers[1] + from;
  if (k == MR_K_TEXT || k == MR_K_BINARY)
    return total + o[n] - o[0];
  return total +
         range_bytes(s->children[0], a->children[0], a->children[0]->offset + o[0], o[n] - o[0]);
}

int64_t mr_array_bytes(const struct ArrowSchema *s, const struct ArrowArray *a)
{
  return range_bytes(s, a, a->offset, a->length);
}

static int bad(const struct ArrowSchema *s, const char *what, struct mr_error *err)
{
  return mr_fail(err, MR_FATAL, "column `%s` (%s): %s", s->name ? s->name : "",
                 s->format ? s->format : "?", what);
}

static int check_offsets(const struct ArrowSchema *s, const struct ArrowArray *a,
                         struct mr_error *err)
{
  const int32_t *o = a->buffers[1];
  if (!o)
    return a->length ? bad(s, "no offsets", err) : MR_OK;
  for (int64_t i = a->offset; i < a->offset + a->length; i++)
    if (o[i] < 0 || o[i + 1] < o[i])
      return bad(s, "offsets go backwards", err);
  enum mr_kind k = mr_kind_of(s);
  if ((k == MR_K_LIST || k == MR_K_MAP) && o[a->offset + a->length] > a->children[0]->length)
    return bad(s, "offsets point past the child", err);
  return MR_OK;
}

static int check_text(const struct ArrowSchema *s, const struct ArrowArray *a, struct mr_error *err)
{
  struct mr_view v;
  mr_view_init(&v, s, a);
  for (int64_t i = 0; i < a->length; i++) {
    int64_t n;
    if (mr_view_null(&v, i))
      continue;
    const char *p = mr_view_bytes(&v, i, &n);
    if (!mr_utf8_valid(p, (size_t)n)) {
      err->row = i;
      return bad(s, "text is not UTF-8", err);
    }
  }
  return MR_OK;
}

static int64_t buffers_of(enum mr_kind k)
{
  if (k == MR_K_NULL)
    return 0;
  if (k == MR_K_STRUCT)
    return 1;
  return k == MR_K_TEXT || k == MR_K_BINARY ? 3 : 2;
}

static int check_children(const struct ArrowSchema *s, const struct ArrowArray *a, bool deep,
                          struct mr_error *err)
{
  for (int64_t i = 0; i < s->n_children; i++) {
    if (mr_kind_of(s) == MR_K_STRUCT && a->children[i]->length < a->offset + a->length)
      return bad(s->children[i], "shorter than its parent", err);
    int st = mr_array_check(s->children[i], a->children[i], deep, err);
    if (st < 0)
      return st;
  }
  return MR_OK;
}

int mr_array_check(const struct ArrowSchema *s, const struct ArrowArray *a, bool deep,
                   struct mr_error *err)
{
  enum mr_kind k = mr_kind_of(s);
  if (k == MR_K_NONE)
    return bad(s, "a type that Millrace does not carry", err);
  if (!a->release)
    return bad(s, "released already", err);
  if (a->length < 0 || a->offset < 0 || a->null_count < -1 || a->null_count > a->length)
    return bad(s, "bad length, offset or null count", err);
  if (a->n_buffers != buffers_of(k))
    return bad(s, "wrong number of buffers", err);
  if (a->n_children != s->n_children)
    return bad(s, "wrong number of children", err);
  if (a->dictionary)
    return bad(s, "dictionaries are not allowed", err);
  if (a->null_count > 0 && a->n_buffers && !a->buffers[0])
    return bad(s, "nulls without a validity buffer", err);
  if (a->length && a->n_buffers > 1 && !a->buffers[1])
    return bad(s, "no data", err);
  if (mr__is_var(k)) {
    int st = check_offsets(s, a, err);
    if (st < 0)
      return st;
  }
  if (deep && k == MR_K_TEXT && a->length) {
    int st = check_text(s, a, err);
    if (st < 0)
      return st;
  }
  return check_children(s, a, deep, err);
}
