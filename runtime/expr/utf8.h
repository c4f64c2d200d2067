/* SPDX-License-Identifier: Apache-2.0 */
/* Characters of valid UTF-8. */
#ifndef MR_EXPR_UTF8_H
#define MR_EXPR_UTF8_H
#include "expr/internal.h"
#include <locale.h>

static inline bool mr_utf8_starts(char c)
{
  return (c & 0xC0) != 0x80;
}

/* Characters in n bytes. */
static inline int64_t mr_utf8_count(const char *p, int64_t n)
{
  int64_t count = 0;
  for (int64_t i = 0; i < n; i++)
    count += mr_utf8_starts(p[i]);
  return count;
}
/* Bytes of the first k characters; n when there are fewer. */
static inline int64_t mr_utf8_prefix(const char *p, int64_t n, int64_t k)
{
  int64_t i = 0;
  while (i < n && k > 0) {
    i++;
    while (i < n && !mr_utf8_starts(p[i]))
      i++;
    k--;
  }
  return i;
}
/* The character at p and its bytes. */
static inline uint32_t mr_utf8_decode(const char *p, int *ret_bytes)
{
  const uint8_t *b = (const uint8_t *)p;
  if (b[0] < 0x80)
    return *ret_bytes = 1, b[0];
  if (b[0] < 0xE0)
    return *ret_bytes = 2, (uint32_t)(b[0] & 31) << 6 | (b[1] & 63);
  if (b[0] < 0xF0)
    return *ret_bytes = 3, (uint32_t)(b[0] & 15) << 12 | (uint32_t)(b[1] & 63) << 6 | (b[2] & 63);
  *ret_bytes = 4;
  return (uint32_t)(b[0] & 7) << 18 | (uint32_t)(b[1] & 63) << 12 | (uint32_t)(b[2] & 63) << 6 |
         (b[3] & 63);
}
/* Writes a character, up to 4 bytes; their number comes back. */
static inline int mr_utf8_encode(uint32_t c, char *p)
{
  if (c < 0x80)
    return p[0] = (char)c, 1;
  if (c < 0x800) {
    p[0] = (char)(0xC0 | c >> 6);
    p[1] = (char)(0x80 | (c & 63));
    return 2;
  }
  if (c < 0x10000) {
    p[0] = (char)(0xE0 | c >> 12);
    p[1] = (char)(0x80 | (c >> 6 & 63));
    p[2] = (char)(0x80 | (c & 63));
    return 3;
  }
  p[0] = (char)(0xF0 | c >> 18);
  p[1] = (char)(0x80 | (c >> 12 & 63));
  p[2] = (char)(0x80 | (c >> 6 & 63));
  p[3] = (char)(0x80 | (c & 63));
  return 4;
}

/* text.c: the locale C.UTF-8 for node n, kept until the expression is freed. MR_BADCONF: not
 * there. */
int mr_text_locale(struct mr_check *c, const struct mr_node *n, locale_t *ret);
/* Puts LOWER around argument i. */
int mr_text_lower_arg(struct mr_check *c, struct mr_node *n, int i);

#endif
