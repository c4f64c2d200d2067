/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lookup-table.h"
#include <pthread.h>
#include "data/array.h"
#include "data/types.h"

#define CHUNK_BITS 16
#define CHUNK_ROWS (1 << CHUNK_BITS)
#define SLOTS_MIN 64
#define TAG_EMPTY 0
#define TAG_GONE 1 /* a slot whose key was taken out */
#define TAG_FIRST 2

/* Rows [k << CHUNK_BITS, ...) in builders; view[i] reads column i, through shell[i] where it has
 * children. */
struct chunk {
  struct mr_column *column;
  struct mr_view *view;
  struct ArrowArray *shell;
};
struct mr_table {
  pthread_mutex_t refs_lock;
  pthread_rwlock_t lock;
  int refs;
  struct ArrowSchema columns;
  int64_t n_keys;
  uint64_t seed[2];
  struct chunk *chunk;
  int64_t n_chunks, rows, live;
  uint8_t *tag; /* for each slot */
  uint32_t *slot;
  int64_t slots, used; /* used: live and gone */
};

/* ---- shells: Arrow arrays that lend a builder's memory, for views of nested columns */

static void lend_free(struct ArrowArray *a)
{
  for (int64_t i = 0; i < a->n_children; i++) {
    lend_free(a->children[i]);
    free(a->children[i]);
  }
  free(a->children);
  free(a->buffers);
  memset(a, 0, sizeof *a);
}

static bool lend(const struct mr_column *c, struct ArrowArray *a)
{
  memset(a, 0, sizeof *a);
  a->length = c->length;
  a->null_count = c->nulls;
  a->n_buffers = 3;
  a->buffers = calloc(3, sizeof *a->buffers);
  if (!a->buffers)
    return false;
  a->buffers[0] = c->valid;
  a->buffers[1] = c->data;
  a->buffers[2] = c->bytes;
  if (!c->n_child)
    return true;
  a->children = calloc((size_t)c->n_child, sizeof *a->children);
  for (; a->children && a->n_children < c->n_child; a->n_children++) {
    struct ArrowArray *child = calloc(1, sizeof *child);
    if (!child)
      return false;
    a->children[a->n_children] = child;
    if (!lend(&c->child[a->n_children], child)) {
      a->n_children++;
      return false;
    }
  }
  return a->children != NULL;
}

static bool refresh_views(struct mr_table *t, struct chunk *k)
{
  for (int64_t i = 0; i < t->columns.n_children; i++) {
    lend_free(&k->shell[i]);
    if (!lend(&k->column[i], &k->shell[i]))
      return false;
    mr_view_init(&k->view[i], t->columns.children[i], &k->shell[i]);
  }
  return true;
}

static void chunk_done(struct mr_table *t, struct chunk *k)
{
  for (int64_t i = 0; i < t->columns.n_children; i++) {
    if (k->column)
      mr_column_done(&k->column[i]);
    if (k->shell)
      lend_free(&k->shell[i]);
  }
  free(k->column);
  free(k->view);
  free(k->shell);
}

static bool chunk_init(struct mr_table *t, struct chunk *k)
{
  size_t n = (size_t)(t->columns.n_children ? t->columns.n_children : 1);
  k->column = calloc(n, sizeof *k->column);
  k->view = calloc(n, sizeof *k->view);
  k->shell = calloc(n, sizeof *k->shell);
  bool ok = k->column && k->view && k->shell;
  for (int64_t i = 0; ok && i < t->columns.n_children; i++)
    ok = mr_column_init(&k->column[i], t->columns.children[i]);
  return ok;
}

/* The chunk that the next row goes to; NULL: no memory. */
static struct chunk *tail(struct mr_table *t)
{
  int64_t k = t->rows >> CHUNK_BITS;
  if (k < t->n_chunks)
    return &t->chunk[k];
  struct chunk *more = realloc(t->chunk, (size_t)(k + 1) * sizeof *more);
  if (!more)
    return NULL;
  t->chunk = more;
  memset(&more[k], 0, sizeof *more);
  if (!chunk_init(t, &more[k])) {
    chunk_done(t, &more[k]);
    return NULL;
  }
  t->n_chunks = k + 1;
  return &more[k];
}

/* ---- trimming */

static void shrink(uint8_t **buf, int64_t *cap, int64_t used)
{
  if (!*buf || *cap - used < used / 8 + 64)
    return;
  uint8_t *p = mr_buf_alloc(used);
  if (!p)
    return;
  if (used)
    memcpy(p, *buf, (size_t)used);
  free(*buf);
  *buf = p;
  *cap = used;
}

static void column_trim(struct mr_column *c)
{
  int64_t n = c->length, used = c->width > 0 ? n * c->width : (n + 1) * 4;
  if (c->kind == MR_K_BOOL)
    used = (n + 7) / 8;
  shrink(&c->data, &c->data_cap, used);
  shrink(&c->valid, &c->valid_cap, (n + 7) / 8);
  shrink(&c->bytes, &c->bytes_cap, c->bytes_len);
  for (int64_t i = 0; i < c->n_child; i++)
    column_trim(&c->child[i]);
}

static void chunk_trim(struct mr_table *t, struct chunk *k)
{
  for (int64_t i = 0; i < t->columns.n_children; i++)
    column_trim(&k->column[i]);
}

static int64_t column_bytes(const struct mr_column *c)
{
  int64_t n = c->data_cap + c->valid_cap + c->bytes_cap;
  for (int64_t i = 0; i < c->n_child; i++)
    n += (int64_t)sizeof *c + column_bytes(&c->child[i]);
  return n;
}

/* ---- keys: hashing and comparing. An integer is its 64 bits and its sign, whatever its width. */

static uint64_t int_bits(const struct mr_view *v, int64_t i, bool *ret_negative)
{
  int64_t n = mr_view_int(v, i);
  *ret_negative = mr_kind_is_signed(v->kind) && n < 0;
  return (uint64_t)n;
}

/* Folded multiplication, keyed by the table's secret seed. */
static uint64_t mix(const struct mr_table *t, uint64_t h, uint64_t word)
{
  unsigned __int128 p = (unsigned __int128)(word ^ t->seed[0]) * (h ^ t->seed[1]);
  return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash_bytes(const struct mr_table *t, uint64_t h, const char *p, int64_t n)
{
  h = mix(t, h, (uint64_t)n);
  for (; n > 0; p += 8, n -= 8) {
    uint64_t w = 0;
    memcpy(&w, p, n < 8 ? (size_t)n : 8);
    h = mix(t, h, w);
  }
  return h;
}

static const char *value_bytes(const struct mr_view *v, int64_t i, int64_t *ret_len)
{
  if (v->width < 0)
    return mr_view_bytes(v, i, ret_len);
  *ret_len = v->width;
  return mr_view_fixed(v, i);
}

static uint64_t hash_value(const struct mr_table *t, uint64_t h, const struct mr_view *v, int64_t i)
{
  bool negative;
  int64_t n;
  if (v->kind == MR_K_BOOL)
    return mix(t, h, mr_view_bool(v, i));
  if (mr_kind_is_int(v->kind)) {
    uint64_t bits = int_bits(v, i, &negative);
    return mix(t, h + negative, bits);
  }
  const char *p = value_bytes(v, i, &n);
  return hash_bytes(t, h, p, n);
}

static bool same_value(const struct mr_view *a, int64_t i, const struct mr_view *b, int64_t j)
{
  if (a->kind == MR_K_BOOL)
    return mr_view_bool(a, i) == mr_view_bool(b, j);
  if (mr_kind_is_int(a->kind)) {
    bool na, nb;
    uint64_t x = int_bits(a, i, &na), y = int_bits(b, j, &nb);
    return x == y && na == nb;
  }
  int64_t n, m;
  const char *p = value_bytes(a, i, &n), *q = value_bytes(b, j, &m);
  return n == m && !memcmp(p, q, (size_t)n);
}

/* false: a null is in the key. */
static bool hash_key(const struct mr_table *t, const struct mr_view *key, int64_t i, uint64_t *ret)
{
  uint64_t h = t->seed[0] ^ t->seed[1];
  for (int64_t k = 0; k < t->n_keys; k++) {
    if (mr_view_null(&key[k], i))
      return false;
    h = hash_value(t, h, &key[k], i);
  }
  *ret = mix(t, h, 0);
  return true;
}

static bool same_key(const struct mr_table *t, const struct mr_view *key, int64_t i, uint32_t row)
{
  const struct chunk *c = &t->chunk[row >> CHUNK_BITS];
  for (int64_t k = 0; k < t->n_keys; k++)
    if (!same_value(&key[k], i, &c->view[k], row & (CHUNK_ROWS - 1)))
      return false;
  return true;
}

/* ---- the index: open addressing, linear probing; the top bits of the hash choose the slot, the
 * low ones the tag */

static uint8_t tag_of(uint64_t h)
{
  return (uint8_t)(TAG_FIRST + (h & 0xff) % (256 - TAG_FIRST));
}
static int64_t slot_of(const struct mr_table *t, uint64_t h)
{
  return (int64_t)((unsigned __int128)h * (uint64_t)t->slots >> 64);
}
static int64_t next_slot(const struct mr_table *t, int64_t s)
{
  return s + 1 == t->slots ? 0 : s + 1;
}

/* The slot of the key, or -1; *ret_free (may be NULL): where it could go. */
static int64_t probe(const struct mr_table *t, const struct mr_view *key, int64_t i, uint64_t h,
                     int64_t *ret_free)
{
  int64_t free_at = -1, s = t->slots ? slot_of(t, h) : -1;
  uint8_t tag = tag_of(h);
  for (; s >= 0; s = next_slot(t, s)) {
    if (t->tag[s] == tag && same_key(t, key, i, t->slot[s]))
      return s;
    if (t->tag[s] == TAG_GONE && free_at < 0)
      free_at = s;
    if (t->tag[s] == TAG_EMPTY)
      break;
  }
  if (ret_free)
    *ret_free = free_at >= 0 ? free_at : s;
  return -1;
}

/* Moves the live entries into an index of another size. */
static bool resize(struct mr_table *t, int64_t slots)
{
  struct mr_table old = *t;
  uint8_t *tag = calloc((size_t)slots, 1);
  uint32_t *slot = malloc((size_t)slots * sizeof *slot);
  if (!tag || !slot) {
    free(tag);
    free(slot);
    return false;
  }
  t->tag = tag;
  t->slot = slot;
  t->slots = slots;
  t->used = t->live;
  for (int64_t s = 0; s < old.slots; s++) {
    uint64_t h = 0;
    if (old.tag[s] < TAG_FIRST)
      continue;
    uint32_t row = old.slot[s];
    hash_key(t, t->chunk[row >> CHUNK_BITS].view, row & (CHUNK_ROWS - 1), &h);
    int64_t to = slot_of(t, h);
    while (tag[to])
      to = next_slot(t, to);
    tag[to] = old.tag[s];
    slot[to] = row;
  }
  free(old.tag);
  free(old.slot);
  return true;
}

/* Makes room for n more keys: a larger index, or the same size without the slots that are gone. */
static bool room_for(struct mr_table *t, int64_t n)
{
  if (t->used + n < t->slots - t->slots / 8)
    return true;
  int64_t keys = t->live + n, need = keys * 8 / 7 + SLOTS_MIN;
  int64_t grown = keys < t->slots / 2 ? t->slots : t->slots + t->slots / 2;
  return resize(t, need > grown ? need : grown);
}

/* ---- rows in */

static int no_memory(struct mr_error *err)
{
  return mr_fail(err, MR_FATAL, "the table does not fit into memory");
}

static bool append(struct mr_table *t, struct chunk *k, const struct mr_view *column, int64_t i)
{
  int64_t at = t->rows & (CHUNK_ROWS - 1), c = 0;
  while (c < t->columns.n_children && mr_column_append(&k->column[c], &column[c], i))
    c++;
  if (c == t->columns.n_children)
    return true;
  for (c = 0; c < t->columns.n_children; c++)
    mr_column_truncate(&k->column[c], at);
  return false;
}

static void take_out(struct mr_table *t, const struct mr_view *column, int64_t i, uint64_t h)
{
  int64_t s = probe(t, column, i, h, NULL);
  if (s < 0)
    return;
  t->tag[s] = TAG_GONE;
  t->live--;
}

/* The views of the chunk must read the row before another key is compared with it. */
static bool put_row(struct mr_table *t, const struct mr_view *column, int64_t i, uint64_t h)
{
  int64_t free_at;
  int64_t s = probe(t, column, i, h, &free_at);
  struct chunk *k = tail(t);
  if (!k || !append(t, k, column, i))
    return false;
  uint32_t row = (uint32_t)t->rows++;
  for (int64_t c = 0; c < t->n_keys;
       c++) { /* flat columns: cheap to follow when the builder moved */
    struct mr_column *b = &k->column[c];
    k->view[c] = (struct mr_view){.kind = b->kind,
                                  .width = b->width,
                                  .length = b->length,
                                  .valid = b->nulls ? b->valid : NULL,
                                  .data = b->data,
                                  .bytes = b->bytes,
                                  .schema = t->columns.children[c]};
  }
  if (s < 0) {
    s = free_at;
    t->used += t->tag[s] == TAG_EMPTY;
    t->live++;
  }
  t->tag[s] = tag_of(h);
  t->slot[s] = row;
  return true;
}

static int apply_rows(struct mr_table *t, const struct mr_view *column, const uint8_t *deleted,
                      int64_t n, struct mr_error *err)
{
  for (int64_t i = 0; i < n; i++) {
    uint64_t h;
    if (!hash_key(t, column, i, &h))
      continue;
    if (deleted && mr_bit_get(deleted, i)) {
      take_out(t, column, i, h);
      continue;
    }
    if (t->rows >= MR_TABLE_ROWS_MAX)
      return mr_fail(err, MR_FATAL, "a table holds at most %u rows", MR_TABLE_ROWS_MAX);
    if (!put_row(t, column, i, h))
      return no_memory(err);
  }
  return MR_OK;
}

int mr_table_apply(struct mr_table *t, const struct mr_view *column, const uint8_t *deleted,
                   int64_t n, struct mr_error *err)
{
  int64_t first = t->rows >> CHUNK_BITS;
  if (!n)
    return MR_OK;
  if (!room_for(t, n))
    return no_memory(err);
  int rc = apply_rows(t, column, deleted, n, err);
  for (int64_t k = first; k < t->n_chunks; k++) {
    if (k + 1 < t->n_chunks)
      chunk_trim(t, &t->chunk[k]);
    if (!refresh_views(t, &t->chunk[k]))
      return no_memory(err);
  }
  return rc;
}

void mr_table_trim(struct mr_table *t)
{
  for (int64_t k = 0; k < t->n_chunks; k++) {
    chunk_trim(t, &t->chunk[k]);
    if (!refresh_views(t, &t->chunk[k]))
      return;
  }
  resize(t, t->live + t->live / 4 + SLOTS_MIN);
}

/* ---- rows out */

void mr_table_find(const struct mr_table *t, const struct mr_view *key, int64_t n,
                   uint32_t *ret_row)
{
  for (int64_t i = 0; i < n; i++) {
    uint64_t h;
    int64_t s = hash_key(t, key, i, &h) ? probe(t, key, i, h, NULL) : -1;
    ret_row[i] = s < 0 ? MR_TABLE_MISSING : t->slot[s];
  }
}

bool mr_table_gather(const struct mr_table *t, int64_t column, const uint32_t *row, int64_t n,
                     struct mr_column *c)
{
  bool ok = mr_column_reserve(c, n);
  for (int64_t i = 0; ok && i < n; i++)
    ok = row[i] == MR_TABLE_MISSING
             ? mr_column_null(c)
             : mr_column_append(c, &t->chunk[row[i] >> CHUNK_BITS].view[column],
                                row[i] & (CHUNK_ROWS - 1));
  return ok;
}

int mr_table_each(const struct mr_table *t, mr_table_rows_fn *each, void *out, struct mr_error *err)
{
  int rc = MR_OK;
  uint8_t *live = calloc((size_t)(t->rows / 8 + 1), 1);
  int64_t *row = malloc(CHUNK_ROWS * sizeof *row);
  if (!live || !row)
    rc = no_memory(err);
  for (int64_t s = 0; rc >= 0 && s < t->slots; s++)
    if (t->tag[s] >= TAG_FIRST)
      mr_bit_set(live, t->slot[s], true);
  for (int64_t k = 0; rc >= 0 && k < t->n_chunks; k++) {
    int64_t n = 0, first = k << CHUNK_BITS;
    for (int64_t i = first; i < t->rows && i < first + CHUNK_ROWS; i++)
      if (mr_bit_get(live, i))
        row[n++] = i - first;
    if (n)
      rc = each(out, t->chunk[k].view, row, n, err);
  }
  free(live);
  free(row);
  return rc;
}

/* ---- the table as a whole */

struct mr_table *mr_table_new(const struct ArrowSchema *columns, int64_t n_keys,
                              const uint64_t seed[2])
{
  struct mr_table *t = calloc(1, sizeof *t);
  if (!t)
    return NULL;
  t->refs = 1;
  t->n_keys = n_keys;
  t->seed[0] = seed[0] | 1;
  t->seed[1] = seed[1] | 1;
  pthread_mutex_init(&t->refs_lock, NULL);
  pthread_rwlock_init(&t->lock, NULL);
  if (mr_schema_copy(columns, &t->columns))
    return t;
  mr_table_unref(t);
  return NULL;
}

struct mr_table *mr_table_ref(struct mr_table *t)
{
  pthread_mutex_lock(&t->refs_lock);
  t->refs++;
  pthread_mutex_unlock(&t->refs_lock);
  return t;
}

void mr_table_unref(struct mr_table *t)
{
  if (!t)
    return;
  pthread_mutex_lock(&t->refs_lock);
  bool last = !--t->refs;
  pthread_mutex_unlock(&t->refs_lock);
  if (!last)
    return;
  for (int64_t k = 0; k < t->n_chunks; k++)
    chunk_done(t, &t->chunk[k]);
  free(t->chunk);
  free(t->tag);
  free(t->slot);
  mr_schema_release(&t->columns);
  pthread_rwlock_destroy(&t->lock);
  pthread_mutex_destroy(&t->refs_lock);
  free(t);
}

void mr_table_read(struct mr_table *t)
{
  pthread_rwlock_rdlock(&t->lock);
}
void mr_table_write(struct mr_table *t)
{
  pthread_rwlock_wrlock(&t->lock);
}
void mr_table_unlock(struct mr_table *t)
{
  pthread_rwlock_unlock(&t->lock);
}

struct mr_table_size mr_table_size(const struct mr_table *t)
{
  struct mr_table_size s = {.live = t->live, .rows = t->rows, .bytes = t->slots * 5};
  for (int64_t k = 0; k < t->n_chunks; k++)
    for (int64_t i = 0; i < t->columns.n_children; i++)
      s.bytes +=
          (int64_t)(sizeof(struct mr_column) + sizeof(struct mr_view) + sizeof(struct ArrowArray)) +
          column_bytes(&t->chunk[k].column[i]);
  return s;
}

bool mr_table_key_ok(const struct ArrowSchema *key)
{
  enum mr_kind k = mr_kind_of(key);
  return k == MR_K_NULL || k == MR_K_BOOL || mr_kind_is_int(k) || k == MR_K_DECIMAL ||
         k == MR_K_DATE || k == MR_K_TIME || k == MR_K_TIMESTAMP || k == MR_K_TEXT ||
         k == MR_K_BINARY || k == MR_K_FIXED;
}

bool mr_table_key_fits(const struct ArrowSchema *key, const struct ArrowSchema *probe_type)
{
  if (!mr_table_key_ok(key))
    return false;
  if (mr_kind_is_int(mr_kind_of(key)) && mr_kind_is_int(mr_kind_of(probe_type)))
    return true;
  if (mr_kind_of(key) == MR_K_NULL || mr_kind_of(probe_type) == MR_K_NULL)
    return true; /* nothing but nulls, which match nothing */
  return mr_type_equal(key, probe_type);
}
