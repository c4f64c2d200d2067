/* SPDX-License-Identifier: Apache-2.0 */
/* What a fuzz target is besides libFuzzer's: `NAME [CASES [SEED]]` damages its own seeds at random,
 * `NAME --seeds FOLDER` writes them down for libFuzzer (./dev fuzz). */
#ifndef FUZZ_H
#define FUZZ_H
#include <glib.h>
#include <string.h>
#include "random.h"

#define FUZZ_CASES 100000

/* One input; whatever it is, the program must go on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Some bytes changed, cut away or copied from elsewhere. */
static inline void fuzz_damage(GByteArray *b)
{
  static const guint8 odd[] = {0, 1, 0x7f, 0x80, 0xff, 4, 9, 0x20, 0x31};
  for (uint32_t n = below(4); n && b->len > 1; n--) {
    guint at = below(b->len), part = 1 + below(12), left = b->len - at;
    switch (below(5)) {
    case 0: b->data[at] ^= (guint8)(1u << below(8)); break;
    case 1: b->data[at] = odd[below(G_N_ELEMENTS(odd))]; break;
    case 2: g_byte_array_set_size(b, at + 1); break;
    case 3: g_byte_array_remove_range(b, at, MIN(part, left)); break;
    default: {
      g_autofree guint8 *copy = g_memdup2(b->data + at, MIN(part, left));
      g_byte_array_append(b, copy, MIN(part, left));
    }
    }
  }
}

static inline int fuzz_write_seeds(const GPtrArray *seeds, const char *folder)
{
  for (guint i = 0; i < seeds->len; i++) {
    const GByteArray *b = seeds->pdata[i];
    g_autofree char *path = g_strdup_printf("%s/seed-%04u", folder, i);
    g_autoptr(GError) error = NULL;
    if (!g_file_set_contents(path, (const char *)b->data, (gssize)b->len, &error)) {
      g_printerr("%s\n", error->message);
      return 1;
    }
  }
  return 0;
}

/* seeds: of GByteArray, lent. */
static inline int fuzz_main(int argc, char **argv, const GPtrArray *seeds)
{
  if (argc > 2 && !strcmp(argv[1], "--seeds"))
    return fuzz_write_seeds(seeds, argv[2]);
  guint64 cases = argc > 1 ? g_ascii_strtoull(argv[1], NULL, 10) : FUZZ_CASES;
  guint64 seed = argc > 2 ? g_ascii_strtoull(argv[2], NULL, 10) : 1;
  random_seed(seed);
  for (guint64 i = 0; i < cases; i++) {
    const GByteArray *good = seeds->pdata[below(seeds->len)];
    g_autoptr(GByteArray) b = g_byte_array_new();
    g_byte_array_append(b, good->data, good->len);
    fuzz_damage(b);
    LLVMFuzzerTestOneInput(b->data, b->len);
  }
  g_print("%s: %" G_GUINT64_FORMAT " inputs of %u seeds, seed %" G_GUINT64_FORMAT "\n", argv[0],
          cases, seeds->len, seed);
  return 0;
}

#endif
