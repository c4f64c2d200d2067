/* SPDX-License-Identifier: Apache-2.0 */
/* A growable byte buffer for statements and encoded rows. Any thread, one owner.
 *
 * Memory: `failed` stays set once an allocation did not succeed; what was appended since is then
 * lost, and callers test it once at the end instead of after every append. */
#ifndef SQL_BUF_H
#define SQL_BUF_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sql_buf {
  uint8_t *p;
  size_t len, cap; /* bytes */
  bool failed;
};

static inline void sql_buf_done(struct sql_buf *b)
{
  free(b->p);
  memset(b, 0, sizeof *b);
}
static inline void sql_buf_clear(struct sql_buf *b)
{
  b->len = 0;
  b->failed = false;
}
/* Room for n more bytes; at least doubles. */
static inline bool sql_buf_reserve(struct sql_buf *b, size_t n)
{
  if (b->cap - b->len >= n)
    return true;
  size_t want = b->cap > SIZE_MAX / 4 ? SIZE_MAX : b->cap * 2;
  if (n > SIZE_MAX / 2 - b->len) {
    b->failed = true;
    return false;
  }
  if (want < b->len + n)
    want = b->len + n;
  if (want < 256)
    want = 256;
  uint8_t *p = (uint8_t *)realloc(b->p, want);
  if (!p) {
    b->failed = true;
    return false;
  }
  b->p = p;
  b->cap = want;
  return true;
}
static inline void sql_buf_bytes(struct sql_buf *b, const void *p, size_t n)
{
  if (!n || !sql_buf_reserve(b, n))
    return;
  memcpy(b->p + b->len, p, n);
  b->len += n;
}
static inline void sql_buf_byte(struct sql_buf *b, char c)
{
  if (!sql_buf_reserve(b, 1))
    return;
  b->p[b->len++] = (uint8_t)c;
}
static inline void sql_buf_str(struct sql_buf *b, const char *s)
{
  sql_buf_bytes(b, s, strlen(s));
}
#define SQL_BUF_DIGITS 20 /* of UINT64_MAX */
/* The digits of v, so many (with zeros in front) at least; 0 < least <= SQL_BUF_DIGITS. Integers
 * are most of what is written: printf takes ten times as long. */
static inline void sql_buf_uint(struct sql_buf *b, uint64_t v, int least)
{
  static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                              "34353637383940414243444546474849505152535455565758596061626364656667"
                              "6869707172737475767778798081828384858687888990919293949596979899";
  char digits[SQL_BUF_DIGITS];
  int at = SQL_BUF_DIGITS;
  for (; v >= 100; v /= 100)
    memcpy(digits + (at -= 2), pairs + v % 100 * 2, 2);
  if (v >= 10)
    memcpy(digits + (at -= 2), pairs + v * 2, 2);
  else
    digits[--at] = (char)('0' + v);
  while (SQL_BUF_DIGITS - at < least)
    digits[--at] = '0';
  sql_buf_bytes(b, digits + at, (size_t)(SQL_BUF_DIGITS - at));
}
static inline void sql_buf_int(struct sql_buf *b, int64_t v)
{
  if (v < 0)
    sql_buf_byte(b, '-');
  sql_buf_uint(b, v < 0 ? -(uint64_t)v : (uint64_t)v, 1);
}
__attribute__((format(printf, 2, 3))) static inline void sql_buf_fmt(struct sql_buf *b,
                                                                     const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n < 0 || !sql_buf_reserve(b, (size_t)n + 1))
    return;
  va_start(ap, fmt);
  vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->len += (size_t)n;
}
/* n bytes (UTF-8) as a JSON string, quotes included. */
static inline void sql_buf_json_bytes(struct sql_buf *b, const char *p, size_t n)
{
  size_t from = 0;
  sql_buf_byte(b, '"');
  for (size_t i = 0; i < n; i++) {
    unsigned char c = (unsigned char)p[i];
    if (c >= 0x20 && c != '"' && c != '\\')
      continue;
    sql_buf_bytes(b, p + from, i - from);
    from = i + 1;
    if (c == '"' || c == '\\')
      sql_buf_fmt(b, "\\%c", c);
    else
      sql_buf_fmt(b, "\\u%04x", c);
  }
  sql_buf_bytes(b, p + from, n - from);
  sql_buf_byte(b, '"');
}
/* The same for a C string; NULL: an empty one. */
static inline void sql_buf_json(struct sql_buf *b, const char *s)
{
  sql_buf_json_bytes(b, s, s ? strlen(s) : 0);
}
/* The text so far, NUL-terminated, lent until the next append; "" when memory was short. */
static inline const char *sql_buf_text(struct sql_buf *b)
{
  if (!sql_buf_reserve(b, 1))
    return "";
  b->p[b->len] = 0;
  return (const char *)b->p;
}

#endif
