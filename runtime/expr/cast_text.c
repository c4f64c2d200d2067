/* SPDX-License-Identifier: Apache-2.0 */
/* CAST from and to text. */
#include "expr/cast.h"
#include "expr/json.h"

/* ---- from text */

static void bad_scan(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                     enum mr_scan s)
{
  const struct mr_cast *k = n->data;
  bool time = k->to.kind == MR_K_DATE || k->to.kind == MR_K_TIME || k->to.kind == MR_K_TIMESTAMP ||
              k->to.kind == MR_K_INTERVAL;
  if (s == MR_SCAN_RANGE)
    mr_cast_bad(r, n, out, i, time ? MR_E_FIELD : MR_E_RANGE, "the text is out of the range of");
  else
    mr_cast_bad(r, n, out, i, time ? MR_E_DATETIME : MR_E_TEXT, "the text is no");
}

/* A kernel that scans each live text; the statement sets `st` from `s`. */
#define SCAN_KERNEL(name, statement)                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)                                                   \
  {                                                                                      \
    const struct mr_cast *k = n->data;                                                   \
    (void)k;                                                                             \
    for (int64_t i = 0; i < r->n; i++) {                                                 \
      if (!r->live[i])                                                                   \
        continue;                                                                        \
      struct mr_span s = MR_VS(arg[0])[i];                                               \
      enum mr_scan st;                                                                   \
      statement;                                                                         \
      if (st != MR_SCAN_OK)                                                              \
        bad_scan(r, n, out, i, st);                                                      \
    }                                                                                    \
  }

static enum mr_scan scan_int(struct mr_span s, const struct mr_cast *k, uint64_t *ret)
{
  mr_i128 v;
  enum mr_scan st = mr_scan_int(s, &v);
  if (st != MR_SCAN_OK)
    return st;
  if (v < k->min || v > k->max)
    return MR_SCAN_RANGE;
  *ret = (uint64_t)v;
  return MR_SCAN_OK;
}

static enum mr_scan scan_float(struct mr_span s, const struct mr_cast *k, double *ret)
{
  double v;
  enum mr_scan st = mr_scan_float(s, &v);
  if (st != MR_SCAN_OK)
    return st;
  if (k->to.kind == MR_K_FLOAT32) {
    bool finite = v - v == 0;
    v = (float)v;
    if (finite && v - v != 0)
      return MR_SCAN_RANGE;
  }
  *ret = v;
  return MR_SCAN_OK;
}

SCAN_KERNEL(text_to_int, st = scan_int(s, k, &MR_VU(out)[i]))
SCAN_KERNEL(text_to_float, st = scan_float(s, k, &MR_VF(out)[i]))
SCAN_KERNEL(text_to_decimal, st = mr_scan_decimal(s, k->to.precision, k->to.scale, &MR_VD(out)[i]))
SCAN_KERNEL(text_to_bool, st = mr_scan_bool(s, &MR_VB(out)[i]))
SCAN_KERNEL(text_to_date, st = mr_scan_date(s, &MR_VI(out)[i]))
SCAN_KERNEL(text_to_time, st = mr_scan_time(s, &MR_VI(out)[i]))
SCAN_KERNEL(text_to_timestamp, st = mr_scan_timestamp(s, k->zone, &MR_VI(out)[i]))
SCAN_KERNEL(text_to_interval, st = mr_scan_interval(s, &MR_VV(out)[i]))
SCAN_KERNEL(text_to_json, st = mr_json_valid(s) ? MR_SCAN_OK : MR_SCAN_BAD; MR_VS(out)[i] = s)

static void text_to_uuid(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                         struct mr_vec *out)
{
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    char *p = mr_run_text(r, n, out, i, 16);
    if (!p)
      continue;
    MR_VS(out)[i] = (struct mr_span){p, 16};
    enum mr_scan st = mr_scan_uuid(MR_VS(arg[0])[i], (uint8_t *)p);
    if (st != MR_SCAN_OK)
      bad_scan(r, n, out, i, st);
  }
}

static void same_bytes(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                       struct mr_vec *out)
{
  memcpy(out->data, arg[0]->data, (size_t)r->n * sizeof(struct mr_span));
}

static void binary_to_text(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                           struct mr_vec *out)
{
  same_bytes(r, n, arg, out);
  for (int64_t i = 0; i < r->n; i++)
    if (r->live[i] && !mr_utf8_valid(MR_VS(out)[i].p, (size_t)MR_VS(out)[i].n))
      mr_cast_bad(r, n, out, i, MR_E_UTF8, "the bytes are no UTF-8 for");
}

/* ---- to text */

#define PRINT_KERNEL(name, statement)                                                    \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)                                                   \
  {                                                                                      \
    const struct mr_cast *k = n->data;                                                   \
    (void)k;                                                                             \
    for (int64_t i = 0; i < r->n; i++) {                                                 \
      char *buf = r->live[i] ? mr_run_text(r, n, out, i, MR_PRINT) : NULL;               \
      if (!buf)                                                                          \
        continue;                                                                        \
      int64_t size;                                                                      \
      statement;                                                                         \
      MR_VS(out)[i] = (struct mr_span){buf, size};                                       \
    }                                                                                    \
  }

static int64_t print_timestamp(const struct mr_cast *k, int64_t us, char *buf)
{
  if (!k->zone_from)
    return mr_print_timestamp(us, buf);
  int64_t offset = mr_zone_offset(k->zone_from, us);
  if (__builtin_add_overflow(us, offset, &us))
    offset = 0;
  return mr_print_timestamptz(us, offset, buf);
}

static int64_t print_bool(bool v, char *buf)
{
  memcpy(buf, v ? "true" : "false", 5);
  return v ? 4 : 5;
}

PRINT_KERNEL(text_from_int, size = mr_print_int(MR_VI(arg[0])[i], buf))
PRINT_KERNEL(text_from_u64, size = mr_print_int(MR_VU(arg[0])[i], buf))
PRINT_KERNEL(text_from_float, size = k->from.kind == MR_K_FLOAT32
                                         ? mr_print_float32((float)MR_VF(arg[0])[i], buf)
                                         : mr_print_float(MR_VF(arg[0])[i], buf))
PRINT_KERNEL(text_from_decimal, size = mr_print_decimal(MR_VD(arg[0])[i], k->from.scale, buf))
PRINT_KERNEL(text_from_bool, size = print_bool(MR_VB(arg[0])[i], buf))
PRINT_KERNEL(text_from_date, size = mr_print_date(MR_VI(arg[0])[i], buf))
PRINT_KERNEL(text_from_time, size = mr_print_time(MR_VI(arg[0])[i], buf))
PRINT_KERNEL(text_from_timestamp, size = print_timestamp(k, MR_VI(arg[0])[i], buf))
PRINT_KERNEL(text_from_interval, size = mr_print_interval(&MR_VV(arg[0])[i], buf))
PRINT_KERNEL(text_from_uuid, size = mr_print_uuid((const uint8_t *)MR_VS(arg[0])[i].p, buf))

/* ---- picking a kernel */

static mr_kernel_fn *from_text(const struct mr_xtype *from, const struct mr_xtype *to)
{
  if (mr_xtype_is_int(to))
    return text_to_int;
  switch (to->kind) {
  case MR_K_TEXT: return to->json ? text_to_json : same_bytes;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return text_to_float;
  case MR_K_DECIMAL: return text_to_decimal;
  case MR_K_BOOL: return text_to_bool;
  case MR_K_DATE: return text_to_date;
  case MR_K_TIME: return text_to_time;
  case MR_K_TIMESTAMP: return text_to_timestamp;
  case MR_K_INTERVAL: return text_to_interval;
  case MR_K_BINARY: return same_bytes;
  case MR_K_FIXED: return text_to_uuid;
  default: return NULL;
  }
}

static mr_kernel_fn *to_text(const struct mr_xtype *from)
{
  switch (from->kind) {
  case MR_K_UINT64: return text_from_u64;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return text_from_float;
  case MR_K_DECIMAL: return text_from_decimal;
  case MR_K_BOOL: return text_from_bool;
  case MR_K_DATE: return text_from_date;
  case MR_K_TIME: return text_from_time;
  case MR_K_TIMESTAMP: return text_from_timestamp;
  case MR_K_INTERVAL: return text_from_interval;
  case MR_K_BINARY: return binary_to_text;
  case MR_K_FIXED: return text_from_uuid;
  default: return mr_xtype_is_int(from) ? text_from_int : NULL;
  }
}

mr_kernel_fn *mr_cast_text_kernel(const struct mr_xtype *from, const struct mr_xtype *to)
{
  if (from->kind == MR_K_TEXT && from->json && !mr_xtype_is_text(to))
    return NULL;
  if (from->kind == MR_K_TEXT)
    return from_text(from, to);
  if (to->kind == MR_K_TEXT && !to->json)
    return to_text(from);
  return NULL;
}
