/* SPDX-License-Identifier: Apache-2.0 */
/* Writes commit log segments as Cassandra does, for tests: descriptor, sections, entries. */
#ifndef WRITER_H
#define WRITER_H
#include <glib.h>
#include <libdeflate.h>
#include <lz4.h>
#include <snappy-c.h>
#include <zstd.h>
#include "common/clog-segment.h"

struct writer {
  GByteArray *out;
  int64_t id;
  enum clog_codec codec;
  GByteArray *section; /* entries of the section that is open */
};

static inline void writer_be32(GByteArray *a, uint32_t v)
{
  v = GUINT32_TO_BE(v);
  g_byte_array_append(a, (uint8_t *)&v, 4);
}

static inline uint32_t writer_crc(const uint32_t *word, size_t n)
{
  uint32_t crc = 0;
  for (size_t i = 0; i < n; i++) {
    uint32_t v = GUINT32_TO_BE(word[i]);
    crc = libdeflate_crc32(crc, &v, 4);
  }
  return crc;
}

static inline void writer_begin(struct writer *w, uint32_t version, int64_t id, const char *params)
{
  uint32_t n = (uint32_t)strlen(params), low = (uint32_t)id, high = (uint32_t)((uint64_t)id >> 32);
  uint32_t words[] = {version, low, high, n};
  uint8_t length[2] = {(uint8_t)(n >> 8), (uint8_t)n};
  w->out = g_byte_array_new();
  w->section = g_byte_array_new();
  w->id = id;
  writer_be32(w->out, version);
  writer_be32(w->out, high);
  writer_be32(w->out, low);
  g_byte_array_append(w->out, length, 2);
  g_byte_array_append(w->out, (const uint8_t *)params, n);
  writer_be32(w->out, libdeflate_crc32(writer_crc(words, 4), params, n));
}

static inline void writer_entry(struct writer *w, const void *data, uint32_t n)
{
  uint32_t crc = writer_crc(&n, 1);
  writer_be32(w->section, n);
  writer_be32(w->section, crc);
  g_byte_array_append(w->section, data, n);
  writer_be32(w->section, libdeflate_crc32(crc, data, n));
}

static inline void writer_pack(struct writer *w)
{
  size_t n = w->section->len, cap = n * 2 + 1024, got = cap;
  g_autofree uint8_t *to = g_malloc(cap);
  uint32_t little = GUINT32_TO_LE((uint32_t)n);
  struct libdeflate_compressor *c;
  switch (w->codec) {
  case CLOG_LZ4:
    memcpy(to, &little, 4);
    got = 4 + (size_t)LZ4_compress_default((const char *)w->section->data, (char *)to + 4, (int)n,
                                           (int)cap - 4);
    break;
  case CLOG_SNAPPY:
    g_assert_cmpint(snappy_compress((const char *)w->section->data, n, (char *)to, &got), ==,
                    SNAPPY_OK);
    break;
  case CLOG_DEFLATE:
    c = libdeflate_alloc_compressor(6);
    got = libdeflate_zlib_compress(c, w->section->data, n, to, cap);
    libdeflate_free_compressor(c);
    break;
  case CLOG_ZSTD: got = ZSTD_compress(to, cap, w->section->data, n, 3); break;
  default:
    if (n)
      memcpy(to, w->section->data, n);
    got = n;
  }
  writer_be32(w->out, (uint32_t)n);
  g_byte_array_append(w->out, to, (guint)got);
}

/* Ends the section with the entries so far. */
static inline void writer_sync(struct writer *w)
{
  guint at = w->out->len;
  uint32_t words[] = {(uint32_t)w->id, (uint32_t)((uint64_t)w->id >> 32), at};
  writer_be32(w->out, 0);
  writer_be32(w->out, writer_crc(words, 3));
  if (w->codec == CLOG_PLAIN)
    g_byte_array_append(w->out, w->section->data, w->section->len);
  else
    writer_pack(w);
  uint32_t next = GUINT32_TO_BE(w->out->len);
  memcpy(w->out->data + at, &next, 4);
  g_byte_array_set_size(w->section, 0);
}

static inline void writer_zeros(struct writer *w, guint n)
{
  guint at = w->out->len;
  g_byte_array_set_size(w->out, at + n);
  memset(w->out->data + at, 0, n);
}

static inline void writer_done(struct writer *w)
{
  g_byte_array_unref(w->out);
  g_byte_array_unref(w->section);
}

static inline void writer_save(const char *path, const void *data, gssize n)
{
  g_assert_true(g_file_set_contents(path, data, n, NULL));
}

#endif
