/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json.h"
#include <stdio.h>

/* ---------------------------------------------------------------- keys */

uint32_t mr_json_hash(const uint8_t *key, int64_t len)
{
  uint32_t h = 2166136261u; /* FNV-1a */
  for (int64_t i = 0; i < len; i++)
    h = (h ^ key[i]) * 16777619u;
  return h;
}

struct mr_json_field *mr_json_field_find(const struct mr_json_keys *k, const uint8_t *key,
                                         int64_t len, uint32_t hash)
{
  for (uint32_t i = hash & k->mask; k->slot[i]; i = (i + 1) & k->mask) {
    struct mr_json_field *f = k->slot[i];
    if (f->hash == hash && f->key_len == len && !memcmp(f->key, key, (size_t)len))
      return f;
  }
  return NULL;
}

/* A key that JSON writes as it is: then its text can be predicted. */
static bool plain_key(const uint8_t *key, int64_t len)
{
  for (int64_t i = 0; i < len; i++)
    if (key[i] < 0x20 || key[i] == '"' || key[i] == '\\')
      return false;
  return true;
}

/* The text to compare with; \1 never stands where a key does. */
static void field_text(struct mr_json_field *f)
{
  if (plain_key((const uint8_t *)f->key, f->key_len)) {
    f->text[0] = '"';
    if (f->key_len)
      memcpy(f->text + 1, f->key, (size_t)f->key_len);
    memcpy(f->text + 1 + f->key_len, "\":", 2);
    f->len = f->key_len + 3;
  } else {
    f->text[0] = 1;
    f->len = 1;
  }
  int64_t n = f->len < MR_JSON_KEY_INLINE ? f->len : MR_JSON_KEY_INLINE;
  memcpy(f->word, f->text, (size_t)n);
  memset(f->mask, 0xff, (size_t)n);
}

static void field_free(struct mr_json_field *f)
{
  if (!f)
    return;
  free(f->text);
  free(f->key);
  free(f);
}

static struct mr_json_field *field_new(const struct mr_json_keys *k, const uint8_t *key,
                                       int64_t len, uint32_t hash)
{
  struct mr_json_field *f = calloc(1, sizeof *f);
  if (!f)
    return NULL;
  f->text = malloc((size_t)len + 3);
  f->key = malloc((size_t)len + 1);
  if (!f->text || !f->key) {
    field_free(f);
    return NULL;
  }
  if (len)
    memcpy(f->key, key, (size_t)len);
  f->key[len] = 0;
  f->key_len = len;
  f->hash = hash;
  f->next = f->other = (struct mr_json_field *)&k->other;
  field_text(f);
  return f;
}

/* The table always has free places: it is made for all declared and ignored keys. */
static void field_insert(struct mr_json_keys *k, struct mr_json_field *f)
{
  uint32_t i = f->hash & k->mask;
  while (k->slot[i])
    i = (i + 1) & k->mask;
  k->slot[i] = f;
}

struct mr_json_field *mr_json_field_ignore(struct mr_json_keys *k, const uint8_t *key, int64_t len,
                                           uint32_t hash)
{
  struct mr_json_field *f = NULL;
  if (k->ignored >= MR_JSON_IGNORED || len > 256 || !(f = field_new(k, key, len, hash)))
    return &k->other;
  k->ignored++;
  field_insert(k, f);
  return f;
}

static void keys_free(struct mr_json_keys *k)
{
  if (!k)
    return;
  for (uint32_t i = 0; k->slot && i <= k->mask; i++)
    field_free(k->slot[i]);
  free(k->slot);
  free(k);
}

static bool keys_fill(struct mr_json_keys *k, struct mr_json_node *n, const struct ArrowSchema *s)
{
  struct mr_json_field *last = &k->first;
  for (int64_t i = 0; i < s->n_children; i++) {
    const uint8_t *key = (const uint8_t *)s->children[i]->name;
    int64_t len = (int64_t)strlen(s->children[i]->name);
    uint32_t hash = mr_json_hash(key, len);
    struct mr_json_field *f = field_new(k, key, len, hash);
    if (!f)
      return false;
    f->node = &n->kid[i];
    last = last->next = f;
    field_insert(k, f);
  }
  return true;
}

static bool keys_init(struct mr_json_node *n, const struct ArrowSchema *s)
{
  struct mr_json_keys *k = n->keys = calloc(1, sizeof *k);
  uint32_t size = 16;
  if (!k)
    return false;
  while (size < 2 * (s->n_children + MR_JSON_IGNORED))
    size *= 2;
  k->mask = size - 1;
  if (!(k->slot = calloc(size, sizeof(struct mr_json_field *))))
    return false;
  k->other.text = (char *)"\1";
  k->other.len = 1;
  k->other.word[0] = htole64(1);
  k->other.mask[0] = htole64(0xff);
  k->other.next = k->other.other = k->first.next = k->first.other = &k->other;
  return keys_fill(k, n, s);
}

/* ---------------------------------------------------------------- nodes */

static bool node_path(struct mr_json_node *n, const char *above, const char *name, const char *tail)
{
  return asprintf(&n->path, "%s%s%s%s", above ? above : "", above && *above && *name ? "." : "",
                  name, tail) >= 0;
}

static bool node_init(struct mr_json_node *n, const struct ArrowSchema *s, struct mr_column *c,
                      const char *above);

/* The shape that a part of an inferred column comes from, or NULL. */
static struct mr_json_shape *kid_shape(const struct mr_json_shape *s, const char *name)
{
  struct mr_json_shape *k = s ? mr_json_shape_find(s, name, (int64_t)strlen(name)) : NULL;
  return k && !k->fixed ? k : NULL;
}

static bool node_kids(struct mr_json_node *n, const struct ArrowSchema *s, struct mr_column *c)
{
  if (n->t.kind == MR_K_MAP) { /* straight to key and value */
    s = s->children[0];
    c = &c->child[0];
  }
  if (!s->n_children)
    return true;
  if (!(n->kid = calloc((size_t)s->n_children, sizeof *n->kid)))
    return false;
  n->n_kid = s->n_children;
  for (int64_t i = 0; i < n->n_kid; i++) {
    n->kid[i].shape = kid_shape(n->shape, s->children[i]->name);
    if (!node_init(&n->kid[i], s->children[i], &c->child[i], n->path))
      return false;
  }
  return true;
}

static bool node_init(struct mr_json_node *n, const struct ArrowSchema *s, struct mr_column *c,
                      const char *above)
{
  n->col = c;
  mr_cell_init(&n->t, s);
  if (!node_path(n, above, s->name ? s->name : "", n->t.kind == MR_K_LIST ? "[]" : ""))
    return false;
  bool nested = n->t.kind == MR_K_STRUCT || n->t.kind == MR_K_LIST || n->t.kind == MR_K_MAP;
  if (nested && !node_kids(n, s, c))
    return false;
  return n->t.kind != MR_K_STRUCT || keys_init(n, s);
}

static void node_done(struct mr_json_node *n)
{
  for (int64_t i = 0; i < n->n_kid; i++)
    node_done(&n->kid[i]);
  free(n->kid);
  free(n->path);
  keys_free(n->keys);
  memset(n, 0, sizeof *n);
}

bool mr_json_plan(struct mr_json *d)
{
  if (!d->rows.kind && !mr_column_init(&d->rows, &d->schema))
    return false;
  node_done(&d->root);
  d->root.shape = d->shape;
  return mr_json_set_plan(d) && node_init(&d->root, &d->schema, &d->rows, NULL);
}

void mr_json_plan_free(struct mr_json *d)
{
  node_done(&d->root);
  mr_column_done(&d->rows);
}

/* ---------------------------------------------------------------- builders */

bool mr_json_grow(struct mr_json_node *n)
{
  struct mr_column *c = n->col;
  int64_t more = c->length < 128 ? 128 : c->length;
  if (more < n->hint)
    more = n->hint;
  if (!mr_column_reserve(c, more))
    return false;
  int64_t used = (c->length + 7) / 8, need = (c->length + more + 7) / 8;
  if (c->valid && !mr_buf_reserve(&c->valid, &c->valid_cap, used, need))
    return false;
  n->room = c->length + more;
  return true;
}

static bool start_valid(struct mr_json_node *n)
{
  struct mr_column *c = n->col;
  if (!mr_buf_reserve(&c->valid, &c->valid_cap, 0, (n->room + 7) / 8))
    return false;
  memset(c->valid, 0xff, (size_t)((c->length + 8) / 8));
  return true;
}

static void zero_element(struct mr_column *c)
{
  int32_t *o = mr_json_offsets(c);
  if (c->kind == MR_K_BOOL)
    mr_bit_set(c->data, c->length, false);
  else if (mr__is_var(c->kind))
    o[c->length + 1] = o[c->length];
  else if (c->width > 0)
    memset(c->data + c->length * c->width, 0, (size_t)c->width);
}

bool mr_json_put_null(struct mr_json_node *n)
{
  struct mr_column *c = n->col;
  if (c->kind == MR_K_NULL)
    return mr_column_null(c);
  if (!mr_json_room(n) || (!c->valid && !start_valid(n)))
    return false;
  zero_element(c);
  if (c->kind == MR_K_STRUCT)
    for (int64_t i = 0; i < n->n_kid; i++)
      if (!mr_json_put_null(&n->kid[i]))
        return false;
  mr_bit_set(c->valid, c->length, false);
  c->nulls++;
  c->length++;
  return true;
}

void mr_json_rollback(struct mr_json_node *n, int64_t length)
{
  struct mr_column *c = n->col;
  if (c->kind == MR_K_LIST || c->kind == MR_K_MAP) {
    int64_t end = c->data ? mr_json_offsets(c)[length] : 0;
    for (int64_t i = 0; i < n->n_kid; i++)
      mr_json_rollback(&n->kid[i], end);
    if (c->kind == MR_K_MAP)
      mr_column_truncate(&c->child[0], end); /* the entries, which have no node */
  }
  if (c->kind == MR_K_STRUCT)
    for (int64_t i = 0; i < n->n_kid; i++)
      mr_json_rollback(&n->kid[i], length);
  mr_column_truncate(c, length);
}

void mr_json_rollback_rows(struct mr_json *d, int64_t rows)
{
  mr_json_rollback(&d->root, rows);
  mr_json_set_rollback(d, rows);
}

/* After the builders were emptied. */
static void forget(struct mr_json_node *n)
{
  n->room = 0;
  for (int64_t i = 0; i < n->n_kid; i++)
    forget(&n->kid[i]);
}

static void remember(struct mr_json_node *n)
{
  n->hint = n->col->length;
  n->bytes_hint = n->col->bytes_len;
  for (int64_t i = 0; i < n->n_kid; i++)
    remember(&n->kid[i]);
}

bool mr_json_take(struct mr_json *d, struct ArrowArray *give)
{
  remember(&d->root);
  if (d->set ? !mr_json_set_take(d, give)
             : !mr_rows_finish(d->rows.child, d->rows.n_child, d->rows.length, give))
    return false;
  d->rows.length = 0;
  forget(&d->root);
  return true;
}
