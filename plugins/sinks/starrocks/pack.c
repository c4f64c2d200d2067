/* SPDX-License-Identifier: Apache-2.0 */
#include <lz4frame.h>
#include <zstd.h>
#include "starrocks.h"

#define ZSTD_LEVEL 1 /* a load is read once, and soon */

static int packed(struct sr_sink *s, bool failed, const char *why, size_t n, struct mr_error *err)
{
  if (failed)
    return src_fail(err, MR_FATAL, "", "compression: %s", why);
  s->packed.len = n;
  return MR_OK;
}

int sr_pack(struct sr_sink *s, const uint8_t *rows, size_t len, struct mr_error *err)
{
  bool lz4 = s->conf->compression == PACK_LZ4;
  size_t room = lz4 ? LZ4F_compressFrameBound(len, NULL) : ZSTD_compressBound(len), n;
  sql_buf_clear(&s->packed);
  if (!sql_buf_reserve(&s->packed, room))
    return src_no_memory(err);
  if (lz4) {
    n = LZ4F_compressFrame(s->packed.p, s->packed.cap, rows, len, NULL);
    return packed(s, LZ4F_isError(n), LZ4F_isError(n) ? LZ4F_getErrorName(n) : "", n, err);
  }
  n = ZSTD_compress(s->packed.p, s->packed.cap, rows, len, ZSTD_LEVEL);
  return packed(s, ZSTD_isError(n), ZSTD_isError(n) ? ZSTD_getErrorName(n) : "", n, err);
}
