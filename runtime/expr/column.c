/* SPDX-License-Identifier: Apache-2.0 */
/* Between Arrow columns and vectors. */
#include "expr/internal.h"

/* ---- loading */

static void load_valid(const struct mr_view *v, int64_t base, int64_t n, uint8_t *to)
{
  memset(to, v->kind != MR_K_NULL, MR_CHUNK);
  if (!v->valid)
    return;
  int64_t from = v->offset + base, i = 0;
  for (; from % 8 == 0 && i + 8 <= n; i += 8, from += 8)
    for (int k = 0; k < 8; k++)
      to[i + k] = v->valid[from / 8] >> k & 1;
  for (; i < n; i++, from++)
    to[i] = mr_bit_get(v->valid, from);
}

/* A field of a struct that is null is null. */
static void load_parents(const struct mr_run *r, const struct mr_input *in, uint8_t *to)
{
  const struct ArrowArray *a = r->rows;
  int64_t offset = 0;
  for (int k = 0; k < in->n_path; k++) {
    offset += a->offset;
    const uint8_t *bits = a->n_buffers > 0 && a->null_count ? a->buffers[0] : NULL;
    if (bits && k)
      for (int64_t i = 0; i < r->n; i++)
        to[i] &= mr_bit_get(bits, offset + r->base + i);
    a = a->children[in->path[k]];
  }
}

#define WIDEN(T, TO)                            \
  do {                                          \
    const T *s = (const T *)(const void *)from; \
    for (int64_t i = 0; i < n; i++)             \
      ((TO *)out->data)[i] = s[i];              \
  } while (0)

static void load_text(const struct mr_view *v, int64_t base, int64_t n, struct mr_vec *out)
{
  const int32_t *o = (const int32_t *)(const void *)v->data + v->offset + base;
  const char *bytes = v->bytes ? (const char *)v->bytes : "";
  for (int64_t i = 0; i < n; i++)
    MR_VS(out)[i] = (struct mr_span){bytes + o[i], o[i + 1] - o[i]};
}

static void load_values(const struct mr_view *v, int64_t base, int64_t n, struct mr_vec *out)
{
  const uint8_t *from = v->width > 0 ? v->data + (v->offset + base) * v->width : NULL;
  switch (v->kind) {
  case MR_K_BOOL:
    for (int64_t i = 0; i < n; i++)
      MR_VB(out)[i] = mr_bit_get(v->data, v->offset + base + i);
    break;
  case MR_K_INT8: WIDEN(int8_t, int64_t); break;
  case MR_K_INT16: WIDEN(int16_t, int64_t); break;
  case MR_K_DATE:
  case MR_K_INT32: WIDEN(int32_t, int64_t); break;
  case MR_K_UINT8: WIDEN(uint8_t, int64_t); break;
  case MR_K_UINT16: WIDEN(uint16_t, int64_t); break;
  case MR_K_UINT32: WIDEN(uint32_t, int64_t); break;
  case MR_K_FLOAT32: WIDEN(float, double); break;
  case MR_K_INT64:
  case MR_K_UINT64:
  case MR_K_TIME:
  case MR_K_TIMESTAMP:
  case MR_K_FLOAT64: memcpy(out->data, from, (size_t)n * 8); break;
  case MR_K_DECIMAL:
    memcpy(out->data, from, (size_t)n * 16);
    break; /* may not be 16-byte aligned */
  case MR_K_FIXED:
    for (int64_t i = 0; i < n; i++)
      MR_VS(out)[i] = (struct mr_span){(const char *)from + i * 16, 16};
    break;
  case MR_K_TEXT:
  case MR_K_BINARY: load_text(v, base, n, out); break;
  default: break;
  }
}

bool mr_column_load(struct mr_run *r, const struct mr_node *n, struct mr_vec *v)
{
  const struct mr_view *view = &r->view[n->column];
  const struct mr_input *in = &r->e->input[n->column];
  load_valid(view, r->base, r->n, v->valid);
  if (in->n_path > 1)
    load_parents(r, in, v->valid);
  load_values(view, r->base, r->n, v);
  return true;
}

/* ---- storing */

#define NARROW(T, FROM)                                          \
  do {                                                           \
    T *d = (T *)(void *)at;                                      \
    for (int64_t i = 0; i < n; i++)                              \
      d[i] = v->valid[i] ? (T)((const FROM *)v->data)[i] : (T)0; \
  } while (0)

/* Spans that follow each other in memory (a column's own, mostly) are copied in one go. */
static bool store_text(const struct mr_run *r, const struct mr_vec *v, struct mr_column *to)
{
  int64_t total = 0, run = 0, n = r->n;
  const char *from = NULL;
  for (int64_t i = 0; i < n; i++)
    total += v->valid[i] ? MR_VS(v)[i].n : 0;
  int64_t all = to->length ? total : total * (r->rows->length / n); /* a guess by the first chunk */
  if (!mr_column_reserve_bytes(to, all < MR_MAX_SCRATCH ? all : total) ||
      !mr_column_reserve_bytes(to, total))
    return false;
  int32_t *offset = (int32_t *)(void *)to->data + to->length;
  uint8_t *at = to->bytes + to->bytes_len;
  for (int64_t i = 0; i < n; i++) {
    struct mr_span s = v->valid[i] ? MR_VS(v)[i] : (struct mr_span){NULL, 0};
    if (s.n && s.p != from + run) {
      if (run)
        memcpy(at, from, (size_t)run);
      at += run;
      run = 0;
      from = s.p;
    }
    run += s.n;
    offset[i + 1] = (int32_t)(at - to->bytes + run);
  }
  if (run)
    memcpy(at, from, (size_t)run);
  to->bytes_len += total;
  return true;
}

static void store_uuid(const struct mr_vec *v, int64_t n, uint8_t *at)
{
  for (int64_t i = 0; i < n; i++, at += 16) {
    if (v->valid[i])
      memcpy(at, MR_VS(v)[i].p, 16);
    else
      memset(at, 0, 16);
  }
}

static bool store_values(const struct mr_run *r, const struct mr_vec *v, struct mr_column *to)
{
  int64_t n = r->n;
  uint8_t *at = to->width > 0 ? to->data + to->length * to->width : NULL;
  switch (to->kind) {
  case MR_K_BOOL:
    for (int64_t i = 0; i < n; i++)
      mr_bit_set(to->data, to->length + i, v->valid[i] && MR_VB(v)[i]);
    break;
  case MR_K_INT8:
  case MR_K_UINT8: NARROW(uint8_t, int64_t); break;
  case MR_K_INT16:
  case MR_K_UINT16: NARROW(uint16_t, int64_t); break;
  case MR_K_DATE:
  case MR_K_INT32:
  case MR_K_UINT32: NARROW(uint32_t, int64_t); break;
  case MR_K_FLOAT32: NARROW(float, double); break;
  case MR_K_INT64:
  case MR_K_UINT64:
  case MR_K_TIME:
  case MR_K_TIMESTAMP: NARROW(int64_t, int64_t); break;
  case MR_K_FLOAT64: NARROW(double, double); break;
  case MR_K_DECIMAL: NARROW(mr_i128, mr_i128); break;
  case MR_K_FIXED: store_uuid(v, n, at); break;
  case MR_K_TEXT:
  case MR_K_BINARY: return store_text(r, v, to);
  default: return false;
  }
  return true;
}

/* Chunks begin at multiples of 8 rows, so whole bytes are written. */
static void store_valid(const struct mr_vec *v, int64_t n, struct mr_column *to)
{
  uint8_t *bits = to->valid + to->length / 8;
  int64_t valid = 0, i = 0;
  for (int64_t k = 0; k < n; k++)
    valid += v->valid[k];
  for (; i + 8 <= n; i += 8) {
    uint8_t byte = 0;
    for (int k = 0; k < 8; k++)
      byte = (uint8_t)(byte | v->valid[i + k] << k);
    *bits++ = byte;
  }
  for (; i < n; i++)
    mr_bit_set(to->valid, to->length + i, v->valid[i]);
  to->nulls += n - valid;
}

bool mr_column_store(struct mr_run *r, const struct mr_vec *v, struct mr_column *to)
{
  if (!store_values(r, v, to))
    return false;
  store_valid(v, r->n, to);
  to->length += r->n;
  return true;
}
