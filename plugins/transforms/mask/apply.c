/* SPDX-License-Identifier: Apache-2.0 */
#include "apply.h"
#include <stdio.h>

/* ---- one value */

#define TOKEN_BITS 128
#define STARS "***"

/* "h1:KEYID:" + 64 hexadecimal digits. */
static size_t write_hash(const uint8_t *sum, char *out)
{
  static const char digits[] = "0123456789abcdef";
  for (int i = 0; i < MR_HMAC_SIZE; i++) {
    *out++ = digits[sum[i] >> 4];
    *out++ = digits[sum[i] & 15];
  }
  return 2 * MR_HMAC_SIZE;
}

/* The first 128 bits in base32 (RFC 4648, section 6, lower case, no padding). */
static size_t write_token(const uint8_t *sum, char *out)
{
  static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
  uint32_t acc = 0;
  int bits = 0, at = 0;
  for (int i = 0; i < TOKEN_BITS / 8; i++) {
    acc = acc << 8 | sum[i];
    for (bits += 8; bits >= 5; bits -= 5)
      out[at++] = digits[acc >> (bits - 5) & 31];
  }
  out[at++] = digits[acc << (5 - bits) & 31];
  return (size_t)at;
}

static bool put_keyed(struct mask_tools *t, const struct mask_node *n, const char *p, size_t len,
                      struct mr_column *c)
{
  uint8_t sum[MR_HMAC_SIZE];
  char out[3 + 64 + 1 + 2 * MR_HMAC_SIZE];
  bool hash = n->method.kind == MASK_HASH;
  if (!mr_hmac_sum(t->hmac, n->domain, n->domain_len, p, len, sum))
    return false;
  size_t at = (size_t)snprintf(out, sizeof out, "%s:%s:", hash ? "h1" : "t1", t->key_id);
  at += hash ? write_hash(sum, out + at) : write_token(sum, out + at);
  return mr_column_bytes(c, out, (int64_t)at);
}

static bool starts_char(char c)
{
  return ((unsigned char)c & 0xc0) != 0x80;
}

/* Shows the first and last characters only where at least as many stay hidden; the number of hidden
 * ones is not shown. */
static bool put_partial(const struct mask_method *m, const char *p, size_t len, struct mr_column *c)
{
  char out[4 * 2 * MASK_PARTIAL_MAX + sizeof STARS];
  size_t chars = 0, head = 0, tail = len, at = 0;
  for (size_t i = 0; i < len; i++)
    chars += starts_char(p[i]);
  if (chars < 2 * (size_t)(m->first + m->last))
    return mr_column_text(c, STARS);
  for (int i = 0; i < m->first; i++)
    for (head++; head < len && !starts_char(p[head]);)
      head++;
  for (int i = 0; i < m->last; i++)
    for (tail--; tail > head && !starts_char(p[tail]);)
      tail--;
  if (head + (len - tail) > 4 * 2 * MASK_PARTIAL_MAX)
    return mr_column_text(c, STARS); /* no UTF-8 */
  memcpy(out, p, head);
  at = head;
  memcpy(out + at, STARS, sizeof STARS - 1);
  at += sizeof STARS - 1;
  memcpy(out + at, p + tail, len - tail);
  return mr_column_bytes(c, out, (int64_t)(at + len - tail));
}

static bool put_redacted(const struct mask_method *m, struct mr_column *c)
{
  return m->text ? mr_column_bytes(c, m->text, (int64_t)m->text_len)
                 : mr_column_text(c, MASK_REDACTED);
}

static int64_t floor_div(int64_t a, int64_t b)
{
  return a / b - (a % b < 0);
}

/* Days of the first of the year or month in which `days` lies. Proleptic Gregorian calendar; Howard
 * Hinnant, "chrono-compatible low-level date algorithms". Its years begin in March. */
static int64_t truncate_days(int64_t days, enum mask_unit unit)
{
  int64_t shifted = days + 719468, era = floor_div(shifted, 146097), doe = shifted - era * 146097;
  int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  if (unit == MASK_MONTH)
    return days - (doy - (153 * mp + 2) / 5);
  int64_t y = yoe + era * 400 - (mp < 10); /* January is ten months into the March year before */
  return 365 * y + floor_div(y, 4) - floor_div(y, 100) + floor_div(y, 400) + 306 - 719468;
}

/* A result that the column's type cannot hold (290,000 years before our era) is null. */
static bool put_truncated(const struct mask_method *m, const struct mr_view *v, int64_t i,
                          struct mr_column *c)
{
  const int64_t hour_us = INT64_C(3600000000);
  int64_t value = mr_view_int(v, i), step = m->unit == MASK_HOUR ? hour_us : 24 * hour_us, first;
  if (v->kind == MR_K_DATE) {
    first = m->unit == MASK_DAY ? value : truncate_days(value, m->unit);
    return first < INT32_MIN ? mr_column_null(c) : mr_column_int(c, first);
  }
  first = floor_div(value, step);
  if (m->unit < MASK_DAY)
    first = truncate_days(first, m->unit);
  return __builtin_mul_overflow(first, step, &first) ? mr_column_null(c) : mr_column_int(c, first);
}

static bool put_value(struct mask_tools *t, const struct mask_node *n, const struct mr_view *v,
                      int64_t i, struct mr_column *c)
{
  const char *p;
  size_t len;
  if (n->method.kind == MASK_NULL || mr_view_null(v, i))
    return mr_column_null(c);
  if (n->method.kind == MASK_REDACT)
    return put_redacted(&n->method, c);
  if (n->method.kind == MASK_TRUNCATE)
    return put_truncated(&n->method, v, i, c);
  if (!mask_canon(&t->buf, v, i, &p, &len))
    return false;
  return n->method.kind == MASK_PARTIAL ? put_partial(&n->method, p, len, c)
                                        : put_keyed(t, n, p, len, c);
}

/* ---- one column. Elements outside [from, to) belong to no row of the batch: they are there for
 * the offsets' sake only. */

static bool put_filler(struct mr_column *c, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    if (!(c->kind == MR_K_TEXT ? mr_column_bytes(c, "", 0) : mr_column_null(c)))
      return false;
  return true;
}

static bool mask_column(struct mask_tools *t, const struct mask_node *n, const struct mr_view *v,
                        int64_t from, int64_t to, struct ArrowArray *give)
{
  struct ArrowSchema type = *v->schema;
  bool text = n->method.kind != MASK_NULL && n->method.kind != MASK_TRUNCATE;
  if (text) {
    type.format = "u";
    type.n_children = 0;
  }
  struct mr_column c;
  bool ok = mr_column_init(&c, &type) && put_filler(&c, from);
  for (int64_t i = from; ok && i < to; i++)
    ok = put_value(t, n, v, i, &c);
  ok = ok && put_filler(&c, v->length - to) && mr_column_finish(&c, give);
  mr_column_done(&c);
  return ok;
}

/* ---- rows, structs and lists: a shell around the input's own buffers, with other children */

struct shell {
  struct ArrowArray in; /* the input, its kept children moved out; released with the shell */
};

static void shell_release(struct ArrowArray *a)
{
  struct shell *s = a->private_data;
  for (int64_t i = 0; i < a->n_children; i++) {
    mr_array_release(a->children[i]);
    free(a->children[i]);
  }
  free(a->children);
  mr_array_release(&s->in);
  free(s);
  a->release = NULL;
}

static bool shell_init(struct ArrowArray *a, const struct ArrowArray *in, int64_t n_children)
{
  struct shell *s = calloc(1, sizeof *s);
  if (!s)
    return false;
  *a = *in;
  a->n_children = 0;
  a->private_data = s;
  a->release = shell_release;
  a->children = calloc((size_t)(n_children ? n_children : 1), sizeof *a->children);
  if (!a->children)
    return false;
  for (; a->n_children < n_children; a->n_children++)
    if (!(a->children[a->n_children] = calloc(1, sizeof **a->children)))
      return false;
  return true;
}

static int64_t kept_children(const struct mask_node *n)
{
  int64_t k = 0;
  for (int64_t i = 0; i < n->n; i++)
    k += n->child[i].method.kind != MASK_DROP;
  return k;
}

/* The child's range that rows [from, to) of v use. */
static void child_range(const struct mr_view *v, int64_t from, int64_t to, int64_t *ret_from,
                        int64_t *ret_to)
{
  int64_t ignore;
  *ret_from = v->offset + from;
  *ret_to = v->offset + to;
  if (v->kind != MR_K_LIST)
    return;
  *ret_from = *ret_to = 0;
  if (from == to)
    return;
  mr_view_range(v, from, ret_from, &ignore);
  mr_view_range(v, to - 1, &ignore, ret_to);
}

/* First half, which may fail: makes what is new; give's untouched children stay empty. The input is
 * not changed. */
static bool prepare(struct mask_tools *t, const struct mask_node *n, const struct ArrowSchema *s,
                    const struct ArrowArray *in, int64_t from, int64_t to, struct ArrowArray *give)
{
  struct mr_view v;
  mr_view_init(&v, s, in);
  if (!n->touched)
    return true;
  if (!n->n)
    return mask_column(t, n, &v, from, to, give);
  if (!shell_init(give, in, kept_children(n)))
    return false;
  int64_t a, b, at = 0;
  child_range(&v, from, to, &a, &b);
  for (int64_t i = 0; i < n->n; i++) {
    if (n->child[i].method.kind == MASK_DROP)
      continue;
    if (!prepare(t, &n->child[i], s->children[i], in->children[i], a, b, give->children[at++]))
      return false;
  }
  return true;
}

/* Second half, which cannot: moves the untouched children over and frees the unmasked ones. */
static void adopt(const struct mask_node *n, struct ArrowArray *in, struct ArrowArray *give)
{
  int64_t at = 0;
  for (int64_t i = 0; i < n->n; i++) {
    const struct mask_node *c = &n->child[i];
    struct ArrowArray *from = in->children[i];
    if (c->method.kind == MASK_DROP) {
      mr_array_release(from);
      continue;
    }
    struct ArrowArray *to = give->children[at++];
    if (!c->touched)
      mr_array_move(from, to);
    else if (c->n)
      adopt(c, from, to);
    else
      mr_array_release(from);
  }
  struct shell *s = give->private_data;
  mr_array_move(in, &s->in);
}

int mask_rows(struct mask_tools *t, const struct mask_plan *plan, struct ArrowArray *rows,
              struct ArrowArray *give, struct mr_error *err)
{
  struct ArrowArray out = {0};
  if (!prepare(t, &plan->root, &plan->in, rows, 0, rows->length, &out)) {
    mr_array_release(&out);
    snprintf(err->msg, sizeof err->msg,
             "a column could not be masked: out of memory, or more than 2 GiB in one batch");
    return MR_FATAL;
  }
  adopt(&plan->root, rows, &out);
  mr_array_move(&out, give);
  return MR_OK;
}
