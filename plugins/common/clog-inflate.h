/* SPDX-License-Identifier: Apache-2.0 */
/* The compressors of Cassandra's commit log, by the class names its descriptors carry. Any thread,
 * one owner for each struct clog_inflate. */
#ifndef CLOG_INFLATE_H
#define CLOG_INFLATE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum clog_codec {
  CLOG_PLAIN, /* no compressor: the section is the data */
  CLOG_LZ4,
  CLOG_SNAPPY,
  CLOG_DEFLATE,
  CLOG_ZSTD,
  CLOG_NOOP, /* framed as if compressed, stored as it is */
  CLOG_CODECS
};

struct clog_inflate {
  enum clog_codec codec;
  void *state; /* of libdeflate, libzstd; NULL until needed */
};

/* The codec of a compressor's class, with or without its package ("LZ4Compressor"); false: none
 * that is known. */
bool clog_codec_find(const char *name, enum clog_codec *ret);
/* Unpacks n bytes into exactly `size` bytes at out. NULL: done; else why not (static text). */
const char *clog_inflate(struct clog_inflate *self, const uint8_t *in, size_t n, uint8_t *out,
                         size_t size);
/* The bytes that n bytes unpack to as the block itself has it; 0: it does not say, or more than
 * `most`. After a clog_inflate that failed. */
size_t clog_inflate_size(struct clog_inflate *self, const uint8_t *in, size_t n, size_t most);
void clog_inflate_done(struct clog_inflate *self);

#endif
