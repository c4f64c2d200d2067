/* SPDX-License-Identifier: Apache-2.0 */
/* millrace/build.h: make and read Arrow columns without linking anything. Header-only; C11 and
 * C++17.
 *
 * Schemas    mr_schema_struct + mr_schema_field build a rows schema; mr_schema_copy copies one
 * deeply; metadata by key. Builders   struct mr_column grows one column; mr_column_finish gives it
 * as an ArrowArray, mr_rows_finish several as rows. Readers    struct mr_view reads one column of a
 * lent array, slices included.
 *
 * Errors: functions that allocate return false when memory is short (or a size would overflow) and
 * leave the object releasable. Units: lengths and offsets in elements, sizes in bytes. Threads: no
 * shared state; an object belongs to one thread at a time. */
#ifndef MILLRACE_BUILD_H
#define MILLRACE_BUILD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "millrace/arrow.h"
#ifdef __cplusplus
extern "C" {
#endif

/* What an Arrow format string means to Millrace. */
enum mr_kind {
  MR_K_NONE = 0, /* not a type that Millrace carries */
  MR_K_BOOL,
  MR_K_INT8,
  MR_K_INT16,
  MR_K_INT32,
  MR_K_INT64,
  MR_K_UINT8,
  MR_K_UINT16,
  MR_K_UINT32,
  MR_K_UINT64,
  MR_K_FLOAT32,
  MR_K_FLOAT64,
  MR_K_DECIMAL,   /* decimal128: 16 bytes, two's complement, little-endian words */
  MR_K_DATE,      /* date32: days since 1970-01-01 */
  MR_K_TIME,      /* time64, us since midnight */
  MR_K_TIMESTAMP, /* us since 1970-01-01; a zone in the format: an instant, else local time */
  MR_K_TEXT,      /* utf8 */
  MR_K_BINARY,
  MR_K_FIXED, /* fixed_size_binary(16): a UUID */
  MR_K_LIST,
  MR_K_STRUCT,
  MR_K_MAP,
  MR_K_NULL /* a column of which no value was seen yet */
};

static inline enum mr_kind mr_kind_of_format(const char *f)
{
  if (!f || !f[0])
    return MR_K_NONE;
  if (!f[1]) {
    switch (f[0]) {
    case 'n': return MR_K_NULL;
    case 'b': return MR_K_BOOL;
    case 'c': return MR_K_INT8;
    case 's': return MR_K_INT16;
    case 'i': return MR_K_INT32;
    case 'l': return MR_K_INT64;
    case 'C': return MR_K_UINT8;
    case 'S': return MR_K_UINT16;
    case 'I': return MR_K_UINT32;
    case 'L': return MR_K_UINT64;
    case 'f': return MR_K_FLOAT32;
    case 'g': return MR_K_FLOAT64;
    case 'u': return MR_K_TEXT;
    case 'z': return MR_K_BINARY;
    default: return MR_K_NONE;
    }
  }
  if (f[0] == 'd' && f[1] == ':') {
    /* d:p,s or d:p,s,128 */
    const char *c = strchr(f + 2, ',');
    c = c ? strchr(c + 1, ',') : NULL;
    return !c || !strcmp(c, ",128") ? MR_K_DECIMAL : MR_K_NONE;
  }
  if (!strcmp(f, "tdD"))
    return MR_K_DATE;
  if (!strcmp(f, "ttu"))
    return MR_K_TIME;
  if (!strncmp(f, "tsu:", 4))
    return MR_K_TIMESTAMP;
  if (!strcmp(f, "w:16"))
    return MR_K_FIXED;
  if (!strcmp(f, "+l"))
    return MR_K_LIST;
  if (!strcmp(f, "+s"))
    return MR_K_STRUCT;
  if (!strcmp(f, "+m"))
    return MR_K_MAP;
  return MR_K_NONE;
}
static inline enum mr_kind mr_kind_of(const struct ArrowSchema *s)
{
  return mr_kind_of_format(s->format);
}

/* Bytes of one value of a fixed-width kind; 0 for bool, null and nested kinds; -1 for text and
 * binary. */
static inline int mr_kind_width(enum mr_kind k)
{
  switch (k) {
  case MR_K_INT8:
  case MR_K_UINT8: return 1;
  case MR_K_INT16:
  case MR_K_UINT16: return 2;
  case MR_K_INT32:
  case MR_K_UINT32:
  case MR_K_FLOAT32:
  case MR_K_DATE: return 4;
  case MR_K_INT64:
  case MR_K_UINT64:
  case MR_K_FLOAT64:
  case MR_K_TIME:
  case MR_K_TIMESTAMP: return 8;
  case MR_K_DECIMAL:
  case MR_K_FIXED: return 16;
  case MR_K_TEXT:
  case MR_K_BINARY: return -1;
  default: return 0;
  }
}
static inline bool mr_kind_is_int(enum mr_kind k)
{
  return k >= MR_K_INT8 && k <= MR_K_UINT64;
}
static inline bool mr_kind_is_signed(enum mr_kind k)
{
  return k >= MR_K_INT8 && k <= MR_K_INT64;
}

/* Precision and scale of "d:p,s"; 0, 0 for another format. */
static inline void mr_decimal_of(const struct ArrowSchema *s, int *ret_precision, int *ret_scale)
{
  *ret_precision = *ret_scale = 0;
  if (mr_kind_of(s) != MR_K_DECIMAL)
    return;
  const char *c = s->format + 2;
  while (*c >= '0' && *c <= '9')
    *ret_precision = *ret_precision * 10 + (*c++ - '0');
  bool minus = *++c == '-';
  if (minus)
    c++;
  while (*c >= '0' && *c <= '9')
    *ret_scale = *ret_scale * 10 + (*c++ - '0');
  if (minus)
    *ret_scale = -*ret_scale;
}
/* The zone of a timestamp column; "" means local time without a zone. */
static inline const char *mr_zone_of(const struct ArrowSchema *s)
{
  return mr_kind_of(s) == MR_K_TIMESTAMP ? s->format + 4 : "";
}

/* ---------------------------------------------------------------- schemas */

static inline size_t mr__meta_size(const char *m)
{
  if (!m)
    return 0;
  const char *p = m;
  int32_t n, len;
  memcpy(&n, p, 4);
  p += 4;
  for (int32_t i = 0; i < 2 * n; i++) {
    memcpy(&len, p, 4);
    p += 4 + len;
  }
  return (size_t)(p - m);
}
static inline char *mr__dup(const char *s, size_t n)
{
  char *d = (char *)malloc(n ? n : 1);
  if (d && n)
    memcpy(d, s, n);
  return d;
}
static inline void mr__schema_free(struct ArrowSchema *s)
{
  for (int64_t i = 0; i < s->n_children; i++) {
    if (!s->children || !s->children[i])
      continue;
    mr_schema_release(s->children[i]);
    free(s->children[i]);
  }
  free(s->children);
  free((void *)s->format);
  free((void *)s->name);
  free((void *)s->metadata);
  s->release = NULL;
}
/* A schema without children. *ret is overwritten. The strings are copied. */
static inline bool mr_schema_init(struct ArrowSchema *ret, const char *name, const char *format,
                                  bool nullable)
{
  memset(ret, 0, sizeof *ret);
  ret->format = mr__dup(format, strlen(format) + 1);
  ret->name = mr__dup(name ? name : "", name ? strlen(name) + 1 : 1);
  if (!name && ret->name)
    *(char *)ret->name = 0;
  ret->flags = nullable ? ARROW_FLAG_NULLABLE : 0;
  ret->release = mr__schema_free;
  return ret->format && ret->name;
}
/* Gives parent room for one more child and takes child (moved out) into it; on failure child stays
 * the caller's. */
static inline bool mr_schema_add(struct ArrowSchema *parent, struct ArrowSchema *child)
{
  size_t n = (size_t)parent->n_children;
  struct ArrowSchema **kids =
      (struct ArrowSchema **)realloc(parent->children, (n + 1) * sizeof *kids);
  if (!kids)
    return false;
  parent->children = kids;
  kids[n] = (struct ArrowSchema *)malloc(sizeof **kids);
  if (!kids[n])
    return false;
  mr_schema_move(child, kids[n]);
  parent->n_children++;
  return true;
}
/* An empty rows schema ("+s"), to be filled with mr_schema_field or mr_schema_add. */
static inline bool mr_schema_struct(struct ArrowSchema *ret)
{
  return mr_schema_init(ret, "", "+s", false);
}
/* Adds a column without children to a rows schema. */
static inline bool mr_schema_field(struct ArrowSchema *parent, const char *name, const char *format,
                                   bool nullable)
{
  struct ArrowSchema c;
  if (mr_schema_init(&c, name, format, nullable) && mr_schema_add(parent, &c))
    return true;
  mr_schema_release(&c);
  return false;
}
/* A deep copy, independent of src. *ret is overwritten; half-built on failure, but releasable. */
static inline bool mr_schema_copy(const struct ArrowSchema *src, struct ArrowSchema *ret)
{
  if (!mr_schema_init(ret, src->name, src->format, (src->flags & ARROW_FLAG_NULLABLE) != 0))
    return false;
  ret->flags = src->flags;
  if (src->metadata && !(ret->metadata = mr__dup(src->metadata, mr__meta_size(src->metadata))))
    return false;
  for (int64_t i = 0; i < src->n_children; i++) {
    struct ArrowSchema c;
    if (mr_schema_copy(src->children[i], &c) && mr_schema_add(ret, &c))
      continue;
    mr_schema_release(&c);
    return false;
  }
  return true;
}
/* Renames a schema that was made by this header. */
static inline bool mr_schema_rename(struct ArrowSchema *s, const char *name)
{
  char *d = mr__dup(name, strlen(name) + 1);
  if (!d)
    return false;
  free((void *)s->name);
  s->name = d;
  return true;
}
/* The value of a metadata key, lent (not NUL-terminated), or NULL. */
static inline const char *mr_schema_meta(const struct ArrowSchema *s, const char *key,
                                         size_t *ret_len)
{
  if (!s->metadata)
    return NULL;
  const char *p = s->metadata;
  int32_t n, kl, vl;
  memcpy(&n, p, 4);
  p += 4;
  for (int32_t i = 0; i < n; i++) {
    memcpy(&kl, p, 4);
    const char *k = p + 4;
    memcpy(&vl, k + kl, 4);
    const char *v = k + kl + 4;
    if ((size_t)kl == strlen(key) && !memcmp(k, key, (size_t)kl)) {
      *ret_len = (size_t)vl;
      return v;
    }
    p = v + vl;
  }
  return NULL;
}
static inline bool mr_schema_meta_is(const struct ArrowSchema *s, const char *key,
                                     const char *value)
{
  size_t n = 0;
  const char *v = mr_schema_meta(s, key, &n);
  return v && n == strlen(value) && !memcmp(v, value, n);
}
/* Sets a metadata key of a schema that was made by this header; value NULL removes it. */
static inline bool mr_schema_set_meta(struct ArrowSchema *s, const char *key, const char *value)
{
  size_t old = mr__meta_size(s->metadata), kl = strlen(key), vl = value ? strlen(value) : 0, at = 4;
  char *m = (char *)malloc(old + 12 + kl + vl);
  if (!m)
    return false;
  int32_t n = 0, kept = 0, len;
  const char *p = s->metadata;
  if (p) {
    memcpy(&n, p, 4);
    p += 4;
  }
  for (int32_t i = 0; i < n; i++) {
    memcpy(&len, p, 4);
    bool same = (size_t)len == kl && !memcmp(p + 4, key, kl);
    size_t size = 8 + (size_t)len;
    memcpy(&len, p + 4 + len, 4);
    size += (size_t)len;
    if (!same) {
      memcpy(m + at, p, size);
      at += size;
      kept++;
    }
    p += size;
  }
  if (value) {
    int32_t k32 = (int32_t)kl, v32 = (int32_t)vl;
    memcpy(m + at, &k32, 4);
    memcpy(m + at + 4, key, kl);
    memcpy(m + at + 4 + kl, &v32, 4);
    memcpy(m + at + 8 + kl, value, vl);
    kept++;
  }
  memcpy(m, &kept, 4);
  free((void *)s->metadata);
  s->metadata = m;
  return true;
}
/* Index of a column by name (exact), or -1. */
static inline int64_t mr_schema_find(const struct ArrowSchema *s, const char *name)
{
  for (int64_t i = 0; i < s->n_children; i++)
    if (!strcmp(s->children[i]->name, name))
      return i;
  return -1;
}
#define MR_META_CLASS "millrace.class"   /* label: pii, phi, ... (comma-separated) */
#define MR_META_MASKED "millrace.masked" /* on a masked column: how */
#define MR_META_WANT "millrace.want"     /* on the keys of mr_host.lookup: names, \n between them */
#define MR_META_EXTENSION "ARROW:extension:name" /* arrow.json, arrow.uuid */
static inline bool mr_schema_is_json(const struct ArrowSchema *s)
{
  return mr_schema_meta_is(s, MR_META_EXTENSION, "arrow.json");
}
static inline bool mr_schema_is_system(const struct ArrowSchema *s)
{
  return s->name && s->name[0] == '_';
}

/* ---------------------------------------------------------------- memory: 64-byte aligned, grown
 * by copying */

static inline void *mr_buf_alloc(int64_t size)
{
  if (size < 0 || size > INT64_MAX - 128)
    return NULL;
  return aligned_alloc(64, ((size_t)size + 127) / 64 * 64); /* C11: no feature macro needed */
}
/* Grows *buf (capacity *cap bytes, used bytes are kept) to at least need bytes; at least doubles.
 */
static inline bool mr_buf_reserve(uint8_t **buf, int64_t *cap, int64_t used, int64_t need)
{
  if (need <= *cap && *buf)
    return true;
  int64_t n = *cap > INT64_MAX / 4 ? need : *cap * 2;
  if (n < need)
    n = need;
  if (n < 1024)
    n = 1024;
  uint8_t *p = (uint8_t *)mr_buf_alloc(n);
  if (!p)
    return false;
  if (used)
    memcpy(p, *buf, (size_t)used);
  free(*buf);
  *buf = p;
  *cap = n;
  return true;
}

/* ---------------------------------------------------------------- builders */

/* One column under construction. Fixed-width kinds: `data` holds length values. Bool: `data` is a
 * bitmap. Text and binary: `data` holds length + 1 int32 offsets, `bytes` the bytes. List, map:
 * `data` holds length + 1 int32 offsets into child[0]; struct: no data. `valid` is NULL until the
 * first null. Fields may be read and, by a fast path that keeps these rules, written. */
struct mr_column {
  enum mr_kind kind;
  int32_t width; /* mr_kind_width */
  int64_t length, nulls;
  uint8_t *data, *valid, *bytes;
  int64_t data_cap, valid_cap, bytes_cap, bytes_len; /* bytes */
  struct mr_column *child;
  int64_t n_child;
};

/* An empty column of the schema's type. false: no memory or a type that Millrace does not carry. */
static inline bool mr_column_init(struct mr_column *c, const struct ArrowSchema *s)
{
  memset(c, 0, sizeof *c);
  c->kind = mr_kind_of(s);
  c->width = mr_kind_width(c->kind);
  if (c->kind == MR_K_NONE)
    return false;
  if (s->n_children && (c->kind == MR_K_LIST || c->kind == MR_K_STRUCT || c->kind == MR_K_MAP)) {
    c->child = (struct mr_column *)calloc((size_t)s->n_children, sizeof *c->child);
    if (!c->child)
      return false;
    c->n_child = s->n_children;
    for (int64_t i = 0; i < c->n_child; i++)
      if (!mr_column_init(&c->child[i], s->children[i]))
        return false;
  }
  return true;
}
/* Frees what the builder holds; takes zeroed and half-built ones. */
static inline void mr_column_done(struct mr_column *c)
{
  for (int64_t i = 0; i < c->n_child; i++)
    mr_column_done(&c->child[i]);
  free(c->child);
  free(c->data);
  free(c->valid);
  free(c->bytes);
  memset(c, 0, sizeof *c);
}
static inline bool mr__is_var(enum mr_kind k)
{
  return k == MR_K_TEXT || k == MR_K_BINARY || k == MR_K_LIST || k == MR_K_MAP;
}
/* Makes room for n more elements (not for the bytes of text). */
static inline bool mr_column_reserve(struct mr_column *c, int64_t n)
{
  int64_t len = c->length, need, used;
  if (n < 0 || len > INT64_MAX / 32 - n)
    return false;
  if (c->kind == MR_K_STRUCT || c->kind == MR_K_NULL)
    return true;
  if (c->kind == MR_K_BOOL) {
    need = (len + n + 7) / 8;
    used = (len + 7) / 8;
  } else if (mr__is_var(c->kind)) {
    need = (len + n + 1) * 4;
    used = c->data ? (len + 1) * 4 : 0;
  } else {
    need = (len + n) * c->width;
    used = len * c->width;
  }
  bool fresh = !c->data;
  if (!mr_buf_reserve(&c->data, &c->data_cap, used, need))
    return false;
  if (fresh && mr__is_var(c->kind))
    memset(c->data, 0, 4);
  if (c->valid && !mr_buf_reserve(&c->valid, &c->valid_cap, (len + 7) / 8, (len + n + 7) / 8))
    return false;
  return true;
}
static inline bool mr_column_reserve_bytes(struct mr_column *c, int64_t n)
{
  if (n < 0 || c->bytes_len > INT32_MAX - n)
    return false;
  return mr_buf_reserve(&c->bytes, &c->bytes_cap, c->bytes_len, c->bytes_len + n);
}
static inline void mr_bit_set(uint8_t *bits, int64_t i, bool v)
{
  uint8_t m = (uint8_t)(1u << (i & 7));
  bits[i >> 3] = (uint8_t)(v ? bits[i >> 3] | m : bits[i >> 3] & ~m);
}
static inline bool mr_bit_get(const uint8_t *bits, int64_t i)
{
  return bits[i >> 3] >> (i & 7) & 1;
}

/* Marks element `length` (room is there) as valid or null and counts it. */
static inline bool mr__column_push(struct mr_column *c, bool valid)
{
  if (!valid && !c->valid) {
    int64_t n = (c->length + 8) / 8;
    if (!mr_buf_reserve(&c->valid, &c->valid_cap, 0, n < c->data_cap / 4 ? c->data_cap / 4 : n))
      return false;
    memset(c->valid, 0xff, (size_t)n);
  }
  if (c->valid) {
    if (!mr_buf_reserve(&c->valid, &c->valid_cap, (c->length + 7) / 8, c->length / 8 + 1))
      return false;
    mr_bit_set(c->valid, c->length, valid);
    if (!valid)
      c->nulls++;
  }
  c->length++;
  return true;
}
/* Appends a null (a struct's children get one too). */
static inline bool mr_column_null(struct mr_column *c)
{
  if (c->kind == MR_K_NULL) {
    c->length++;
    c->nulls++;
    return true;
  }
  if (!mr_column_reserve(c, 1))
    return false;
  if (c->kind == MR_K_BOOL)
    mr_bit_set(c->data, c->length, false);
  else if (mr__is_var(c->kind))
    ((int32_t *)(void *)c->data)[c->length + 1] = ((int32_t *)(void *)c->data)[c->length];
  else if (c->width > 0)
    memset(c->data + c->length * c->width, 0, (size_t)c->width);
  if (c->kind == MR_K_STRUCT)
    for (int64_t i = 0; i < c->n_child; i++)
      if (!mr_column_null(&c->child[i]))
        return false;
  return mr__column_push(c, false);
}
static inline bool mr_column_bool(struct mr_column *c, bool v)
{
  if (!mr_column_reserve(c, 1))
    return false;
  mr_bit_set(c->data, c->length, v);
  return mr__column_push(c, true);
}
/* Appends one value of a fixed-width kind, `width` bytes in native order. */
static inline bool mr_column_fixed(struct mr_column *c, const void *value)
{
  if (!mr_column_reserve(c, 1))
    return false;
  memcpy(c->data + c->length * c->width, value, (size_t)c->width);
  return mr__column_push(c, true);
}
/* Appends an integer to a column of any integer kind, or date, time, timestamp (8 bytes or fewer);
 * the caller has checked the range. */
static inline bool mr_column_int(struct mr_column *c, int64_t v)
{
  int8_t v8 = (int8_t)v;
  int16_t v16 = (int16_t)v;
  int32_t v32 = (int32_t)v;
  return mr_column_fixed(c, c->width == 1   ? (void *)&v8
                            : c->width == 2 ? (void *)&v16
                            : c->width == 4 ? (void *)&v32
                                            : (void *)&v);
}
static inline bool mr_column_f64(struct mr_column *c, double v)
{
  float f = (float)v;
  return mr_column_fixed(c, c->width == 4 ? (void *)&f : (void *)&v);
}
/* Appends text or binary of n bytes; text must be valid UTF-8. */
static inline bool mr_column_bytes(struct mr_column *c, const void *p, int64_t n)
{
  if (!mr_column_reserve(c, 1) || !mr_column_reserve_bytes(c, n))
    return false;
  if (n)
    memcpy(c->bytes + c->bytes_len, p, (size_t)n);
  c->bytes_len += n;
  ((int32_t *)(void *)c->data)[c->length + 1] = (int32_t)c->bytes_len;
  return mr__column_push(c, true);
}
static inline bool mr_column_text(struct mr_column *c, const char *s)
{
  return mr_column_bytes(c, s, (int64_t)strlen(s));
}
/* Ends a list, map or struct element: what was appended to the children since the last end belongs
 * to it. */
static inline bool mr_column_end(struct mr_column *c)
{
  if (!mr_column_reserve(c, 1))
    return false;
  if (c->kind != MR_K_STRUCT) {
    if (c->child[0].length > INT32_MAX)
      return false;
    ((int32_t *)(void *)c->data)[c->length + 1] = (int32_t)c->child[0].length;
  }
  return mr__column_push(c, true);
}
/* Cuts the column back to n elements: undoes appends (of children too). */
static inline void mr_column_truncate(struct mr_column *c, int64_t n)
{
  if (n >= c->length)
    return;
  if (c->kind == MR_K_NULL)
    c->nulls -= c->length - n;
  else if (c->valid)
    for (int64_t i = n; i < c->length; i++)
      c->nulls -= !mr_bit_get(c->valid, i);
  c->length = n;
  int64_t end = mr__is_var(c->kind) ? ((int32_t *)(void *)c->data)[n] : 0;
  if (c->kind == MR_K_TEXT || c->kind == MR_K_BINARY)
    c->bytes_len = end;
  if (c->kind == MR_K_LIST || c->kind == MR_K_MAP)
    mr_column_truncate(&c->child[0], end);
  if (c->kind == MR_K_STRUCT)
    for (int64_t i = 0; i < c->n_child; i++)
      mr_column_truncate(&c->child[i], n);
}

struct mr__array_own {
  const void *buffers[3];
};
static inline void mr__array_free(struct ArrowArray *a)
{
  struct mr__array_own *own = (struct mr__array_own *)a->private_data;
  for (int64_t i = 0; i < a->n_children; i++) {
    if (!a->children || !a->children[i])
      continue;
    mr_array_release(a->children[i]);
    free(a->children[i]);
  }
  free(a->children);
  if (own)
    for (int i = 0; i < 3; i++)
      free((void *)own->buffers[i]);
  free(own);
  a->release = NULL;
}
/* An array shell with its own buffer table (up to three malloc'd buffers, freed on release) and n
 * child shells (zeroed). */
static inline bool mr_array_init(struct ArrowArray *a, int64_t length, int64_t n_buffers,
                                 int64_t n_children)
{
  memset(a, 0, sizeof *a);
  struct mr__array_own *own = (struct mr__array_own *)calloc(1, sizeof *own);
  if (!own)
    return false;
  a->length = length;
  a->n_buffers = n_buffers;
  a->buffers = own->buffers;
  a->private_data = own;
  a->release = mr__array_free;
  if (!n_children)
    return true;
  a->children = (struct ArrowArray **)calloc((size_t)n_children, sizeof *a->children);
  if (!a->children)
    return false;
  for (; a->n_children < n_children; a->n_children++)
    if (!(a->children[a->n_children] = (struct ArrowArray *)calloc(1, sizeof **a->children)))
      return false;
  return true;
}
/* Gives the column as an array and leaves the builder empty, of the same type. false: the builder
 * keeps everything. */
static inline bool mr_column_finish(struct mr_column *c, struct ArrowArray *give)
{
  bool var = c->kind == MR_K_TEXT || c->kind == MR_K_BINARY;
  int64_t n_buf = c->kind == MR_K_NULL ? 0 : c->kind == MR_K_STRUCT ? 1 : var ? 3 : 2;
  if (!mr_column_reserve(c, 0) || (var && !mr_column_reserve_bytes(c, 0)))
    return false;
  if (!mr_array_init(give, c->length, n_buf, c->n_child)) {
    mr_array_release(give);
    return false;
  }
  for (int64_t i = 0; i < c->n_child; i++)
    if (!mr_column_finish(&c->child[i], give->children[i])) {
      mr_array_release(give); /* children finished so far are lost: memory is gone anyway */
      return false;
    }
  give->null_count = c->nulls;
  if (n_buf)
    give->buffers[0] = c->nulls ? c->valid : NULL;
  if (n_buf && !c->nulls)
    free(c->valid);
  if (n_buf > 1)
    give->buffers[1] = c->data;
  if (n_buf > 2)
    give->buffers[2] = c->bytes;
  c->data = c->valid = c->bytes = NULL;
  c->length = c->nulls = c->bytes_len = c->data_cap = c->valid_cap = c->bytes_cap = 0;
  return true;
}
/* Gives n columns of equal length as rows (a struct array without nulls); the builders are left
 * empty. */
static inline bool mr_rows_finish(struct mr_column *cols, int64_t n, int64_t length,
                                  struct ArrowArray *give)
{
  if (!mr_array_init(give, length, 1, n)) {
    mr_array_release(give);
    return false;
  }
  for (int64_t i = 0; i < n; i++)
    if (!mr_column_finish(&cols[i], give->children[i])) {
      mr_array_release(give);
      return false;
    }
  return true;
}

/* ---------------------------------------------------------------- readers */

/* One column of a lent array; i counts from 0 in the slice. Nothing is owned. */
struct mr_view {
  enum mr_kind kind;
  int32_t width;
  int64_t length, offset;
  const uint8_t *valid, *data, *bytes; /* valid NULL: no nulls */
  const struct ArrowSchema *schema;
  const struct ArrowArray *array;
};
static inline void mr_view_init(struct mr_view *v, const struct ArrowSchema *s,
                                const struct ArrowArray *a)
{
  memset(v, 0, sizeof *v);
  v->kind = mr_kind_of(s);
  v->width = mr_kind_width(v->kind);
  v->length = a->length;
  v->offset = a->offset;
  v->schema = s;
  v->array = a;
  if (a->n_buffers > 0 && a->null_count != 0)
    v->valid = (const uint8_t *)a->buffers[0];
  if (a->n_buffers > 1)
    v->data = (const uint8_t *)a->buffers[1];
  if (a->n_buffers > 2)
    v->bytes = (const uint8_t *)a->buffers[2];
}
/* The i-th column of rows. */
static inline void mr_view_column(struct mr_view *v, const struct ArrowSchema *rows_schema,
                                  const struct ArrowArray *rows, int64_t i)
{
  mr_view_init(v, rows_schema->children[i], rows->children[i]);
}
static inline bool mr_view_null(const struct mr_view *v, int64_t i)
{
  return v->kind == MR_K_NULL || (v->valid && !mr_bit_get(v->valid, v->offset + i));
}
/* Pointer to value i of a fixed-width kind. */
static inline const void *mr_view_fixed(const struct mr_view *v, int64_t i)
{
  return v->data + (v->offset + i) * v->width;
}
static inline bool mr_view_bool(const struct mr_view *v, int64_t i)
{
  return mr_bit_get(v->data, v->offset + i);
}
/* An integer, date, time or timestamp, widened; a uint64 keeps its bits. */
static inline int64_t mr_view_int(const struct mr_view *v, int64_t i)
{
  const void *p = mr_view_fixed(v, i);
  switch (v->kind) {
  case MR_K_INT8: return *(const int8_t *)p;
  case MR_K_INT16: return *(const int16_t *)p;
  case MR_K_INT32:
  case MR_K_DATE: return *(const int32_t *)p;
  case MR_K_UINT8: return *(const uint8_t *)p;
  case MR_K_UINT16: return *(const uint16_t *)p;
  case MR_K_UINT32: return *(const uint32_t *)p;
  default: return *(const int64_t *)p;
  }
}
static inline double mr_view_f64(const struct mr_view *v, int64_t i)
{
  const void *p = mr_view_fixed(v, i);
  return v->kind == MR_K_FLOAT32 ? (double)*(const float *)p : *(const double *)p;
}
/* Text or binary, lent, not NUL-terminated. */
static inline const char *mr_view_bytes(const struct mr_view *v, int64_t i, int64_t *ret_len)
{
  const int32_t *o = (const int32_t *)(const void *)v->data + v->offset + i;
  *ret_len = o[1] - o[0];
  return (const char *)v->bytes + o[0];
}
/* Element range of a list or map value in its child. */
static inline void mr_view_range(const struct mr_view *v, int64_t i, int64_t *ret_from,
                                 int64_t *ret_to)
{
  const int32_t *o = (const int32_t *)(const void *)v->data + v->offset + i;
  *ret_from = o[0];
  *ret_to = o[1];
}

#ifdef __cplusplus
}
#endif
#endif
