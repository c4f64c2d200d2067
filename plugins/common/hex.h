/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as hexadecimal digits, in lower case, and back. */
#ifndef HEX_H
#define HEX_H
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * n digits and a NUL; gives where the NUL stands. */
static inline char *hex_write(char *ret, const void *data, size_t n)
{
  static const char digit[] = "0123456789abcdef";
  const uint8_t *p = data;
  for (size_t i = 0; i < n; i++) {
    *ret++ = digit[p[i] >> 4];
    *ret++ = digit[p[i] & 15];
  }
  *ret = 0;
  return ret;
}

static inline int hex_digit(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 32;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads pairs of digits into at most max bytes, up to the first character that is none. Gives how
 * many bytes; SIZE_MAX: an odd digit, or more than max. */
static inline size_t hex_read(const char *text, void *ret, size_t max)
{
  uint8_t *to = ret;
  size_t n = 0;
  for (int high, low; (high = hex_digit(text[0])) >= 0; text += 2) {
    if ((low = hex_digit(text[1])) < 0 || n == max)
      return SIZE_MAX;
    to[n++] = (uint8_t)(high << 4 | low);
  }
  return n;
}

#endif
