/* SPDX-License-Identifier: Apache-2.0 */
/* The lexical layer of JSON (RFC 8259): white space, strings, numbers and literals, and skipping
 * whole values with full validation.
 *
 * Bounds: the caller has cut white space off the end and has seen that the last byte is '}' or ']'.
 * So loops over digits, white space and letters stop by themselves, and a string's closing quote is
 * never the last byte. Only strings and whatever follows a closing bracket must look at `end`.
 * Every function takes a place before `end`, returns the place after what it read (which is `end`
 * only after a closing bracket), or NULL with the reason in struct mr_json_in. Nothing is read at
 * or after `end`. */
#ifndef MR_JSON_SCAN_H
#define MR_JSON_SCAN_H
#include <endian.h>
#include "format/cell.h"

#define MR_LIKELY(x) __builtin_expect(!!(x), 1)
#define MR_UNLIKELY(x) __builtin_expect(!!(x), 0)

#define MR_JSON_DEPTH 512 /* brackets that may be open at once */

/* One message while it is read. */
struct mr_json_in {
  const uint8_t *end;
  const uint8_t *at;                /* of a failure: where, why */
  const char *code, *what, *column; /* static strings; column: lent by the decoder, or NULL */
};
static inline const uint8_t *mr_json_fail(struct mr_json_in *in, const uint8_t *at,
                                          const char *code, const char *what)
{
  in->at = at;
  in->code = code;
  in->what = what;
  return NULL;
}

/* Eight bytes as a number whose lowest byte comes first in the text. */
static inline uint64_t mr_load8(const uint8_t *p)
{
  uint64_t v;
  memcpy(&v, p, 8);
  return le64toh(v);
}

static inline const uint8_t *mr_json_ws(const uint8_t *p)
{
  while (MR_UNLIKELY(*p <= ' ') && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
    p++;
  return p;
}

/* ---------------------------------------------------------------- strings */

/* Length of the well-formed UTF-8 sequence at p (first byte >= 0x80), at most n bytes; 0:
 * ill-formed. */
static inline int mr_utf8_seq(const uint8_t *p, int64_t n)
{
  uint8_t a = p[0], lo = 0x80, hi = 0xbf;
  if (a < 0xc2 || a > 0xf4)
    return 0;
  int len = a < 0xe0 ? 2 : a < 0xf0 ? 3 : 4;
  if (n < len)
    return 0;
  if (a == 0xe0)
    lo = 0xa0; /* overlong */
  if (a == 0xed)
    hi = 0x9f; /* surrogates */
  if (a == 0xf0)
    lo = 0x90; /* overlong */
  if (a == 0xf4)
    hi = 0x8f; /* past U+10FFFF */
  if (p[1] < lo || p[1] > hi)
    return 0;
  for (int i = 2; i < len; i++)
    if ((p[i] & 0xc0) != 0x80)
      return 0;
  return len;
}

/* The high bit of each byte that a string cannot simply contain: quote, backslash, control,
 * non-ASCII. Bits above the lowest one may be wrong (borrows). */
static inline uint64_t mr_json_special(uint64_t x)
{
  const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
  return (x | (x - ones * 0x20) | ((x ^ ones * '"') - ones) | ((x ^ ones * '\\') - ones)) & high;
}
static inline bool mr_json_plain(uint8_t c)
{
  return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* First byte from p that is not plain, or end. */
static inline const uint8_t *mr_json_run(const uint8_t *p, const uint8_t *end)
{
  for (; end - p >= 8; p += 8) {
    uint64_t m = mr_json_special(mr_load8(p));
    if (m)
      return p + (__builtin_ctzll(m) >> 3);
  }
  while (p < end && mr_json_plain(*p))
    p++;
  return p;
}

/* Reads an escape at p (the backslash); writes its UTF-8 bytes (at most 4) and advances *out when
 * out is not NULL. */
const uint8_t *mr_json_escape(struct mr_json_in *in, const uint8_t *p, uint8_t **out);
/* The same for a string: p after the opening quote; returns the place after the closing one. */
const uint8_t *mr_json_string_skip(struct mr_json_in *in, const uint8_t *p);
/* What stops a run: returns the place to go on at, or NULL; never called for the quote. Copies to
 * *out when out is not NULL. */
const uint8_t *mr_json_odd(struct mr_json_in *in, const uint8_t *p, uint8_t **out);

/* Unescapes the string whose opening quote is before p into out, which has room for end - p bytes
 * + 8. */
static inline const uint8_t *mr_json_string(struct mr_json_in *in, const uint8_t *p, uint8_t *out,
                                            int64_t *ret_len)
{
  uint8_t *o = out;
  const uint8_t *end = in->end;
  for (;;) {
    while (MR_LIKELY(end - p >= 8)) {
      memcpy(o, p, 8);
      uint64_t m = mr_json_special(mr_load8(p));
      int n = m ? __builtin_ctzll(m) >> 3 : 8;
      p += n;
      o += n;
      if (m)
        break;
    }
    while (p < end && mr_json_plain(*p))
      *o++ = *p++;
    if (MR_LIKELY(p < end && *p == '"'))
      break;
    if (!(p = mr_json_odd(in, p, &o)))
      return NULL;
  }
  *ret_len = o - out;
  return p + 1;
}

/* ---------------------------------------------------------------- numbers */

/* Number of leading decimal digits in eight bytes that were xored with '0'. */
static inline int mr_digit_count(uint64_t t)
{
  uint64_t m = ((t + 0x7676767676767676u) | t) & 0x8080808080808080u;
  return m ? __builtin_ctzll(m) >> 3 : 8;
}
/* The number that eight digit values (first digit in the lowest byte) spell. */
static inline uint64_t mr_digits8(uint64_t t)
{
  t = t * 10 + (t >> 8);
  return ((t & 0x000000ff000000ffu) * 0x000f424000000064u +
          ((t >> 16 & 0x000000ff000000ffu) * 0x0000271000000001u)) >>
         32;
}

extern const uint64_t mr_u64_pow10[20]; /* 10^0 .. 10^19 */

/* Appends the digits at p to *v. Returns the place after them; *over is set when *v no longer fits.
 */
static inline const uint8_t *mr_json_digits(const uint8_t *p, const uint8_t *end, uint64_t *v,
                                            bool *over)
{
  uint64_t x = *v;
  for (int i = 0; i < 2 && end - p >= 8; i++) {
    uint64_t t = mr_load8(p) ^ 0x3030303030303030u;
    int n = mr_digit_count(t);
    if (n < 8) {
      if (n)
        x = x * mr_u64_pow10[n] + mr_digits8(t << (64 - 8 * n));
      *v = x;
      return p + n;
    }
    x = x * 100000000 + mr_digits8(t);
    p += 8;
  }
  for (; *p >= '0' && *p <= '9'; p++)
    if (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, (uint64_t)(*p - '0'), &x))
      *over = true;
  *v = x;
  return p;
}

/* Reads an integer without fraction or exponent. *ret_over: more than 64 bits. */
static inline const uint8_t *mr_json_integer(struct mr_json_in *in, const uint8_t *p,
                                             bool *ret_minus, uint64_t *ret, bool *ret_over)
{
  bool minus = *p == '-';
  p += minus;
  const uint8_t *from = p;
  *ret = 0;
  *ret_over = false;
  p = mr_json_digits(p, in->end, ret, ret_over);
  if (MR_UNLIKELY(p == from || (*from == '0' && p - from > 1)))
    return mr_json_fail(in, from, MR_CODE_JSON, "not a number");
  *ret_minus = minus;
  return p;
}

/* A number of any form, checked; its value is left to the caller. */
const uint8_t *mr_json_number_skip(struct mr_json_in *in, const uint8_t *p);

/* ---------------------------------------------------------------- literals and whole values */

static inline const uint8_t *mr_json_literal(struct mr_json_in *in, const uint8_t *p,
                                             const char *word)
{
  for (; *word; word++, p++)
    if (*p != (uint8_t)*word)
      return mr_json_fail(in, p, MR_CODE_JSON, "not a JSON value");
  return p;
}
/* Validates and passes over one value; depth: brackets open around it. */
const uint8_t *mr_json_skip(struct mr_json_in *in, const uint8_t *p, int depth);
/* From the end of a string (a key) to the value behind its colon. */
static inline const uint8_t *mr_json_colon(struct mr_json_in *in, const uint8_t *p)
{
  p = mr_json_ws(p);
  if (MR_UNLIKELY(*p != ':'))
    return mr_json_fail(in, p, MR_CODE_JSON, "a colon is missing");
  return mr_json_ws(p + 1);
}
/* After a value in brackets: to the next element behind the comma, or to the closing bracket, which
 * is left to the caller. */
static inline const uint8_t *mr_json_next(struct mr_json_in *in, const uint8_t *p, uint8_t close)
{
  if (MR_UNLIKELY(p >= in->end))
    return mr_json_fail(in, p, MR_CODE_JSON, "the message ends too early");
  p = mr_json_ws(p);
  if (*p == close)
    return p;
  if (MR_UNLIKELY(*p != ','))
    return mr_json_fail(in, p, MR_CODE_JSON, "a comma or closing bracket is missing");
  p = mr_json_ws(p + 1);
  if (MR_UNLIKELY(*p == close))
    return mr_json_fail(in, p, MR_CODE_JSON, "a comma before a closing bracket");
  return p;
}
/* Sets up `in` for a message and returns the first byte of its value, or NULL: empty, no bracket
 * around it, ... */
const uint8_t *mr_json_begin(struct mr_json_in *in, const void *data, size_t len);

#endif
