/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of Cassandra's native protocol for tests. */
#ifndef CQL_TEST_WIRE_H
#define CQL_TEST_WIRE_H
#include <glib.h>
#include <stdint.h>

/* hex: bytes in hexadecimal, blanks left out; what follows `'` up to the next one is text. */
static inline GByteArray *wire_bytes(const char *hex)
{
  GByteArray *b = g_byte_array_new();
  while (*hex) {
    if (*hex == ' ') {
      hex++;
    } else if (*hex == '\'') {
      const char *end = strchr(++hex, '\'');
      g_byte_array_append(b, (const guint8 *)hex, (guint)(end - hex));
      hex = end + 1;
    } else {
      guint8 v = (guint8)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1]));
      g_byte_array_append(b, &v, 1);
      hex += 2;
    }
  }
  return b;
}

#endif
