/* SPDX-License-Identifier: Apache-2.0 */
/* Whole numbers of 256 bits: as much arithmetic as rescaling a decimal takes. */
#include "encode.h"

#define WORDS 4

__extension__ typedef unsigned __int128 u128; /* the only spelling the compiler knows */

struct wide {
  uint64_t w[WORDS]; /* low word first; without sign */
};

/* false: it does not fit. */
static bool multiply(struct wide *v, uint64_t by)
{
  u128 carry = 0;
  for (int i = 0; i < WORDS; i++) {
    carry += (u128)v->w[i] * by;
    v->w[i] = (uint64_t)carry;
    carry >>= 64;
  }
  return !carry;
}

/* Divides and gives the remainder. */
static uint64_t divide(struct wide *v, uint64_t by)
{
  u128 rest = 0;
  for (int i = WORDS; i-- > 0;) {
    rest = rest << 64 | v->w[i];
    v->w[i] = (uint64_t)(rest / by);
    rest %= by;
  }
  return (uint64_t)rest;
}

static bool below(const struct wide *a, const struct wide *b)
{
  for (int i = WORDS; i-- > 0;)
    if (a->w[i] != b->w[i])
      return a->w[i] < b->w[i];
  return false;
}

static void negate(struct wide *v)
{
  u128 carry = 1;
  for (int i = 0; i < WORDS; i++) {
    carry += (uint64_t)~v->w[i];
    v->w[i] = (uint64_t)carry;
    carry >>= 64;
  }
}

/* 2^bit; bit < 256. */
static struct wide power2(int bit)
{
  struct wide v = {{0}};
  v.w[bit / 64] = 1ull << (bit % 64);
  return v;
}

/* Does the magnitude keep within the precision, or (0) within signed, (-1) unsigned `width` bytes?
 */
static bool fits(const struct wide *v, bool minus, int precision, int width)
{
  struct wide most = {{1}}, zero = {{0}};
  if (precision < 0) {
    most = power2(8 * width - (width == 32));
    return (!minus || !below(&zero, v)) && (width == 32 || below(v, &most));
  }
  for (int i = 0; i < precision; i++)
    multiply(&most, 10);
  if (!precision)
    most = power2(8 * width - 1);
  return below(v, &most) || (!precision && minus && !below(&most, v));
}

int ch_put_wide(struct sql_buf *out, const uint8_t value[16], int digits, int precision, int width)
{
  struct wide v = {{0}};
  bool minus = value[15] & 0x80;
  memcpy(v.w, value, 16);
  if (minus) {
    v.w[2] = v.w[3] = UINT64_MAX;
    negate(&v);
  }
  for (; digits > 0; digits--)
    if (!multiply(&v, 10))
      return 2;
  for (; digits < 0; digits++)
    if (divide(&v, 10))
      return 1;
  if (!fits(&v, minus, precision, width))
    return 2;
  if (minus)
    negate(&v);
  sql_buf_bytes(out, v.w, (size_t)width);
  return 0;
}
