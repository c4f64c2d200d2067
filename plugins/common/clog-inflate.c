/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-inflate.h"
#include <libdeflate.h>
#include <limits.h>
#include <lz4.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include "common/cql-read.h"

#define LZ4_PREFIX 4     /* the length again, little-endian */
#define DEFLATE_MAX 1032 /* times: no stream is packed tighter */

static const char *const classes[CLOG_CODECS] = {
    [CLOG_LZ4] = "LZ4Compressor",         [CLOG_SNAPPY] = "SnappyCompressor",
    [CLOG_DEFLATE] = "DeflateCompressor", [CLOG_ZSTD] = "ZstdCompressor",
    [CLOG_NOOP] = "NoopCompressor",
};

bool clog_codec_find(const char *name, enum clog_codec *ret)
{
  const char *dot = strrchr(name, '.');
  for (int i = CLOG_PLAIN + 1; i < CLOG_CODECS; i++)
    if (!strcmp(dot ? dot + 1 : name, classes[i])) {
      *ret = (enum clog_codec)i;
      return true;
    }
  return false;
}

static const char *unpack_lz4(const uint8_t *in, size_t n, uint8_t *out, size_t size)
{
  uint32_t length;
  if (n < LZ4_PREFIX || n > INT_MAX || size > INT_MAX)
    return "an LZ4 block without its length";
  memcpy(&length, in, sizeof length);
  if (le32toh(length) != size)
    return "the LZ4 block's length is not the section's";
  int got = LZ4_decompress_safe((const char *)in + LZ4_PREFIX, (char *)out, (int)(n - LZ4_PREFIX),
                                (int)size);
  return got == (int)size ? NULL : "not a whole LZ4 block";
}

static const char *unpack_snappy(const uint8_t *in, size_t n, uint8_t *out, size_t size)
{
  size_t length = 0;
  if (snappy_uncompressed_length((const char *)in, n, &length) != SNAPPY_OK || length != size)
    return "the Snappy block's length is not the section's";
  if (snappy_uncompress((const char *)in, n, (char *)out, &length) != SNAPPY_OK || length != size)
    return "not a whole Snappy block";
  return NULL;
}

static bool has_deflate(struct clog_inflate *self)
{
  if (!self->state)
    self->state = libdeflate_alloc_decompressor();
  return self->state != NULL;
}

/* A stream that ends before its input does is not what the node wrote: the section's end was
 * damaged. */
static enum libdeflate_result unpack_zlib(struct clog_inflate *self, const uint8_t *in, size_t n,
                                          uint8_t *out, size_t size, size_t *ret_got)
{
  size_t used = 0;
  enum libdeflate_result r =
      libdeflate_zlib_decompress_ex(self->state, in, n, out, size, &used, ret_got);
  return r == LIBDEFLATE_SUCCESS && used != n ? LIBDEFLATE_BAD_DATA : r;
}

static const char *unpack_deflate(struct clog_inflate *self, const uint8_t *in, size_t n,
                                  uint8_t *out, size_t size)
{
  if (!has_deflate(self))
    return "out of memory";
  enum libdeflate_result r = unpack_zlib(self, in, n, out, size, NULL);
  return r == LIBDEFLATE_SUCCESS ? NULL : "not a whole zlib stream";
}

/* A zlib stream does not say how long it is: unpacked until there is room enough. */
static size_t deflate_size(struct clog_inflate *self, const uint8_t *in, size_t n, size_t most)
{
  enum libdeflate_result r = LIBDEFLATE_INSUFFICIENT_SPACE;
  size_t got = 0, size = 0;
  if (n < most / DEFLATE_MAX)
    most = n * DEFLATE_MAX;
  while (has_deflate(self) && r == LIBDEFLATE_INSUFFICIENT_SPACE && size < most) {
    size = !size && n < most / 4 ? n * 4 : size && size < most / 4 ? size * 4 : most;
    uint8_t *out = malloc(size);
    if (!out)
      return 0;
    r = unpack_zlib(self, in, n, out, size, &got);
    free(out);
  }
  return r == LIBDEFLATE_SUCCESS ? got : 0;
}

static const char *unpack_zstd(struct clog_inflate *self, const uint8_t *in, size_t n, uint8_t *out,
                               size_t size)
{
  if (!self->state)
    self->state = ZSTD_createDCtx();
  if (!self->state)
    return "out of memory";
  size_t got = ZSTD_decompressDCtx(self->state, out, size, in, n);
  return got == size ? NULL : "not a whole zstd frame";
}

static const char *unpack_noop(const uint8_t *in, size_t n, uint8_t *out, size_t size)
{
  if (n != size)
    return "stored bytes of another length";
  memcpy(out, in, n);
  return NULL;
}

const char *clog_inflate(struct clog_inflate *self, const uint8_t *in, size_t n, uint8_t *out,
                         size_t size)
{
  switch (self->codec) {
  case CLOG_LZ4: return unpack_lz4(in, n, out, size);
  case CLOG_SNAPPY: return unpack_snappy(in, n, out, size);
  case CLOG_DEFLATE: return unpack_deflate(self, in, n, out, size);
  case CLOG_ZSTD: return unpack_zstd(self, in, n, out, size);
  default: return unpack_noop(in, n, out, size);
  }
}

size_t clog_inflate_size(struct clog_inflate *self, const uint8_t *in, size_t n, size_t most)
{
  uint32_t length;
  size_t size = 0;
  unsigned long long frame;
  switch (self->codec) {
  case CLOG_LZ4:
    if (n < LZ4_PREFIX)
      return 0;
    memcpy(&length, in, sizeof length);
    size = le32toh(length);
    break;
  case CLOG_SNAPPY:
    if (snappy_uncompressed_length((const char *)in, n, &size) != SNAPPY_OK)
      return 0;
    break;
  case CLOG_DEFLATE: size = deflate_size(self, in, n, most); break;
  case CLOG_ZSTD:
    frame = ZSTD_getFrameContentSize(in, n);
    size = frame < ZSTD_CONTENTSIZE_ERROR ? (size_t)frame : 0;
    break;
  default: size = n;
  }
  return size <= most ? size : 0;
}

void clog_inflate_done(struct clog_inflate *self)
{
  if (self->state && self->codec == CLOG_DEFLATE)
    libdeflate_free_decompressor(self->state);
  if (self->state && self->codec == CLOG_ZSTD)
    ZSTD_freeDCtx(self->state);
  self->state = NULL;
}
