/* SPDX-License-Identifier: Apache-2.0 */
#include "data/array.h"

/* Length of the multi-byte sequence at p (n bytes are there), 0 when it is not valid. Table 3-7 of
 * the Unicode standard. */
static size_t sequence(const uint8_t *p, size_t n)
{
  uint8_t a = p[0];
  if (a >= 0xc2 && a <= 0xdf)
    return n >= 2 && (p[1] & 0xc0) == 0x80 ? 2 : 0;
  if (a >= 0xe0 && a <= 0xef) {
    uint8_t low = a == 0xe0 ? 0xa0 : 0x80, high = a == 0xed ? 0x9f : 0xbf;
    return n >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 ? 3 : 0;
  }
  if (a >= 0xf0 && a <= 0xf4) {
    uint8_t low = a == 0xf0 ? 0x90 : 0x80, high = a == 0xf4 ? 0x8f : 0xbf;
    return n >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xc0) == 0x80 && (p[3] & 0xc0) == 0x80
               ? 4
               : 0;
  }
  return 0;
}

bool mr_utf8_valid(const void *data, size_t n)
{
  const uint8_t *p = data;
  size_t i = 0;
  while (i < n) {
    uint64_t w;
    if (n - i >= 8 && (memcpy(&w, p + i, 8), !(w & 0x8080808080808080u))) {
      i += 8;
      continue;
    }
    if (p[i] < 0x80) {
      i++;
      continue;
    }
    size_t len = sequence(p + i, n - i);
    if (!len)
      return false;
    i += len;
  }
  return true;
}
