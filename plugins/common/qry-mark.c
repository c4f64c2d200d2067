/* SPDX-License-Identifier: Apache-2.0 */
#include "common/qry-mark.h"

/* Tokens: kind, then big-endian numbers with the sign bit turned, or text and a zero byte; then the
 * ties. */
static void put(struct mr_position *p, uint64_t v, int bytes)
{
  for (int i = bytes - 1; i >= 0; i--)
    p->token[p->len++] = (uint8_t)(v >> (8 * i));
}
static uint64_t get(const uint8_t *p, int bytes)
{
  uint64_t v = 0;
  for (int i = 0; i < bytes; i++)
    v = v << 8 | p[i];
  return v;
}
#define SIGN (UINT64_C(1) << 63)

struct mr_position qry_mark_position(const struct qry_mark *m)
{
  struct mr_position p = {0};
  put(&p, m->kind, 1);
  if (m->kind == QRY_ROWS || m->kind == QRY_NUMBER)
    put(&p, (uint64_t)m->number ^ SIGN, 8);
  if (m->kind == QRY_TEXT) {
    size_t n = strlen(m->text) + 1;
    memcpy(p.token + p.len, m->text, n);
    p.len = (uint16_t)(p.len + n);
  }
  if (m->kind == QRY_NUMBER || m->kind == QRY_TEXT)
    put(&p, m->ties, 4);
  return p;
}

static bool read_text(const struct mr_position *p, struct qry_mark *m)
{
  const uint8_t *zero = memchr(p->token + 1, 0, (size_t)p->len - 1);
  size_t n = zero ? (size_t)(zero - p->token - 1) : QRY_TEXT_MAX + 1;
  if (n > QRY_TEXT_MAX || p->len != n + 6)
    return false;
  memcpy(m->text, p->token + 1, n + 1);
  m->ties = (uint32_t)get(p->token + n + 2, 4);
  return true;
}

bool qry_mark_read(const struct mr_position *p, struct qry_mark *ret)
{
  struct qry_mark m = {0};
  int numbers = 0;
  if (!p->len || p->token[0] > QRY_TEXT)
    return false;
  m.kind = (enum qry_mark_kind)p->token[0];
  if (m.kind == QRY_TEXT) {
    if (!read_text(p, &m))
      return false;
    *ret = m;
    return true;
  }
  numbers = m.kind == QRY_ROWS ? 8 : m.kind == QRY_NUMBER ? 12 : 0;
  if (p->len != 1 + numbers)
    return false;
  if (numbers)
    m.number = (int64_t)(get(p->token + 1, 8) ^ SIGN);
  if (numbers == 12)
    m.ties = (uint32_t)get(p->token + 9, 4);
  *ret = m;
  return true;
}

bool qry_mark_same_value(const struct qry_mark *a, const struct qry_mark *b)
{
  return a->kind == b->kind && a->number == b->number &&
         (a->kind != QRY_TEXT || !strcmp(a->text, b->text));
}
