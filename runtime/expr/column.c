/* SPDX-License-Identifier: Apache-2.0 */
/* Between Arrow columns and vectors. */
#include "expr/internal.h"

/* ---- loading */

static void load_valid(const struct mr_view *v, int64_t base, int64_t n, uint8_t *to)
{
  if (v->kind == MR_K_NULL)
    memset(to, 0, MR_CHUNK);
  else
    memset(to, 1, MR_CHUNK);
  if (!v->valid)
    return;
  for (int64_t i = 0; i < n; i++)
    to[i] = mr_bit_get(v->valid, v->offset + base + i);
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

static bool store_text(const struct mr_vec *v, int64_t n, struct mr_column *to)
{
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++)
    total += v->valid[i] ? MR_VS(v)[i].n : 0;
  if (!mr_column_reserve_bytes(to, total))
    return false;
  int32_t *offset = (int32_t *)(void *)to->data + to->length;
  for (int64_t i = 0; i < n; i++) {
    const struct mr_span *s = &MR_VS(v)[i];
    if (v->valid[i] && s->n) {
      memcpy(to->bytes + to->bytes_len, s->p, (size_t)s->n);
      to->bytes_len += s->n;
    }
    offset[i + 1] = (int32_t)to->bytes_len;
  }
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

static bool store_values(const struct mr_vec *v, int64_t n, struct mr_column *to)
{
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
  case MR_K_BINARY: return store_text(v, n, to);
  default: return false;
  }
  return true;
}

bool mr_column_store(struct mr_run *r, const struct mr_vec *v, struct mr_column *to)
{
  if (!store_values(v, r->n, to))
    return false;
  for (int64_t i = 0; i < r->n; i++) {
    mr_bit_set(to->valid, to->length + i, v->valid[i]);
    to->nulls += !v->valid[i];
  }
  to->length += r->n;
  return true;
}
