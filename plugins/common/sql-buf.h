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
/* s as a JSON string, quotes included; NULL: an empty one. */
static inline void sql_buf_json(struct sql_buf *b, const char *s)
{
  sql_buf_byte(b, '"');
  for (; s && *s; s++) {
    if (*s == '"' || *s == '\\')
      sql_buf_fmt(b, "\\%c", *s);
    else if ((unsigned char)*s < 0x20)
      sql_buf_fmt(b, "\\u%04x", (unsigned char)*s);
    else
      sql_buf_byte(b, *s);
  }
  sql_buf_byte(b, '"');
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
