/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cql-frame.h"
#include <lz4.h>
#include <zlib.h>
#include "common/src-error.h"

#define HEADER 9
enum { FLAG_COMPRESSED = 1, FLAG_TRACING = 2, FLAG_PAYLOAD = 4, FLAG_WARNING = 8 };

void cql_codec_init(struct cql_codec *c, int version)
{
  *c = (struct cql_codec){.version = version};
}

void cql_codec_done(struct cql_codec *c)
{
  sql_buf_done(&c->in);
  sql_buf_done(&c->line);
  sql_buf_done(&c->body);
}

uint32_t cql_crc24(const uint8_t *p, size_t n)
{
  uint32_t crc = 0x875060;
  for (size_t i = 0; i < n; i++) {
    crc ^= (uint32_t)p[i] << 16;
    for (int k = 0; k < 8; k++)
      if ((crc <<= 1) & 0x1000000)
        crc ^= 0x1974f0b;
  }
  return crc;
}

uint32_t cql_crc32(const uint8_t *p, size_t n)
{
  static const uint8_t first[] = {0xfa, 0x2d, 0x55, 0xca};
  uLong crc = crc32(crc32(0, Z_NULL, 0), first, sizeof first);
  return (uint32_t)crc32(crc, p, (uInt)n);
}

static int damaged(struct mr_error *err, const char *what)
{
  return src_fail(err, MR_RETRY, "", "damaged answer: %s", what);
}

/* Drops what was read from the front of a buffer. */
static void compact(struct sql_buf *b, size_t *at)
{
  if (*at && *at < b->len)
    memmove(b->p, b->p + *at, b->len - *at);
  b->len -= *at;
  *at = 0;
}

/* ---- segments */

static uint64_t little(const uint8_t *p, int n)
{
  uint64_t v = 0;
  while (n--)
    v = v << 8 | p[n];
  return v;
}

struct segment {
  size_t head, wire,
      plain; /* bytes: header with its checksum, payload as sent, uncompressed or 0 */
};
static struct segment segment_of(const struct cql_codec *c, uint64_t word)
{
  return (struct segment){.head = c->lz4 ? 8 : 6,
                          .wire = word & CQL_SEGMENT_MAX,
                          .plain = c->lz4 ? word >> 17 & CQL_SEGMENT_MAX : 0};
}

static int unpack(struct cql_codec *c, const uint8_t *p, const struct segment *s,
                  struct mr_error *err)
{
  if (!s->plain) {
    sql_buf_bytes(&c->line, p, s->wire);
    return c->line.failed ? src_no_memory(err) : MR_OK;
  }
  if (!sql_buf_reserve(&c->line, s->plain))
    return src_no_memory(err);
  int n = LZ4_decompress_safe((const char *)p, (char *)c->line.p + c->line.len, (int)s->wire,
                              (int)s->plain);
  if (n < 0 || (size_t)n != s->plain)
    return damaged(err, "an LZ4 block that does not unpack");
  c->line.len += s->plain;
  return MR_OK;
}

/* One segment from `in` to `line`. MR_IDLE: it is not there yet. */
static int take_segment(struct cql_codec *c, struct mr_error *err)
{
  size_t left = c->in.len - c->in_at, word = c->lz4 ? 5 : 3;
  if (left < word + 3)
    return MR_IDLE;
  const uint8_t *p = c->in.p + c->in_at;
  struct segment s = segment_of(c, little(p, (int)word));
  if (cql_crc24(p, word) != little(p + word, 3))
    return damaged(err, "the checksum of a segment's header is wrong");
  if (left < s.head + s.wire + 4)
    return MR_IDLE;
  if (cql_crc32(p + s.head, s.wire) != little(p + s.head + s.wire, 4))
    return damaged(err, "the checksum of a segment is wrong");
  c->in_at += s.head + s.wire + 4;
  return unpack(c, p + s.head, &s, err);
}

/* ---- frames */

static int inflate_body(struct cql_codec *c, struct cql_frame *f, struct mr_error *err)
{
  uint32_t n = f->len >= 4 ? cql_be32(f->body) : UINT32_MAX;
  if (!c->lz4 || n > CQL_BODY_MAX || n / 256 > f->len) /* LZ4 packs at most 255 to 1 */
    return damaged(err, "a compressed body that was not agreed on, or is too large");
  sql_buf_clear(&c->body);
  if (!sql_buf_reserve(&c->body, (size_t)n + 1))
    return src_no_memory(err);
  int got =
      LZ4_decompress_safe((const char *)f->body + 4, (char *)c->body.p, (int)f->len - 4, (int)n);
  if (got < 0 || (uint32_t)got != n)
    return damaged(err, "an LZ4 body that does not unpack");
  f->body = c->body.p;
  f->len = n;
  return MR_OK;
}

/* Leaves out what stands before the message: a trace's id, warnings, a payload of the server's. */
static int skip_extras(struct cql_frame *f, uint8_t flags, struct mr_error *err)
{
  struct cql_read r = cql_read_of(f->body, f->len);
  size_t len;
  int64_t size;
  if (flags & FLAG_TRACING)
    cql_read_bytes(&r, 16);
  if (flags & FLAG_WARNING)
    for (int n = cql_read_u16(&r); n > 0 && !r.failed; n--)
      cql_read_short(&r, &len);
  if (flags & FLAG_PAYLOAD)
    for (int n = cql_read_u16(&r); n > 0 && !r.failed; n--) {
      cql_read_short(&r, &len);
      cql_read_value(&r, &size);
    }
  f->body = r.p;
  f->len = cql_read_left(&r);
  return r.failed ? damaged(err, "warnings that end too early") : MR_OK;
}

/* One frame from the front of b. */
static int take_frame(struct cql_codec *c, struct sql_buf *b, size_t *at, struct cql_frame *ret,
                      struct mr_error *err)
{
  size_t left = b->len - *at;
  if (left < HEADER)
    return MR_IDLE;
  const uint8_t *p = b->p + *at;
  uint32_t len = cql_be32(p + 5);
  if (!(p[0] & 0x80) || len > CQL_BODY_MAX)
    return damaged(err, "this is no answer of Cassandra's native protocol");
  if (left - HEADER < len)
    return MR_IDLE;
  *at += HEADER + len;
  *ret = (struct cql_frame){.version = p[0] & 0x7f,
                            .stream = (int16_t)cql_be16(p + 2),
                            .opcode = p[4],
                            .body = p + HEADER,
                            .len = len};
  int rc = p[1] & FLAG_COMPRESSED && !c->segments ? inflate_body(c, ret, err) : MR_OK;
  return rc < 0 ? rc : skip_extras(ret, p[1], err);
}

int cql_codec_next(struct cql_codec *c, struct cql_frame *ret, struct mr_error *err)
{
  compact(&c->in, &c->in_at);
  if (!c->segments)
    return take_frame(c, &c->in, &c->in_at, ret, err);
  compact(&c->line, &c->line_at);
  for (;;) {
    int rc = take_frame(c, &c->line, &c->line_at, ret, err);
    if (rc == MR_IDLE)
      rc = take_segment(c, err);
    else
      return rc;
    if (rc != MR_OK)
      return rc;
  }
}

/* ---- requests */

static void put_little(struct sql_buf *out, uint64_t v, int n)
{
  for (; n; n--, v >>= 8)
    sql_buf_byte(out, (char)v);
}

/* One segment: of whole frames, or of a piece of a large one. Requests are small, so they are not
 * compressed. */
static void put_segment(const struct cql_codec *c, const uint8_t *p, size_t n, bool whole,
                        struct sql_buf *out)
{
  size_t at = out->len, word = c->lz4 ? 5 : 3;
  put_little(out, (uint64_t)n | (uint64_t)whole << (c->lz4 ? 34 : 17), (int)word);
  if (!out->failed)
    put_little(out, cql_crc24(out->p + at, word), 3);
  sql_buf_bytes(out, p, n);
  put_little(out, cql_crc32(p, n), 4);
}

static void put_header(const struct cql_codec *c, enum cql_opcode opcode, int16_t stream,
                       size_t len, struct sql_buf *out)
{
  uint8_t h[HEADER] = {(uint8_t)c->version, 0, (uint8_t)(stream >> 8), (uint8_t)stream,
                       (uint8_t)opcode};
  for (int i = 0; i < 4; i++)
    h[5 + i] = (uint8_t)(len >> (24 - 8 * i));
  sql_buf_bytes(out, h, sizeof h);
}

bool cql_codec_put(struct cql_codec *c, enum cql_opcode opcode, int16_t stream, const uint8_t *body,
                   size_t len, struct sql_buf *out)
{
  struct sql_buf frame = {0}, *to = c->segments ? &frame : out;
  if (len > CQL_BODY_MAX)
    return false;
  put_header(c, opcode, stream, len, to);
  sql_buf_bytes(to, body, len);
  bool whole = frame.len <= CQL_SEGMENT_MAX;
  for (size_t at = 0; at < frame.len && !frame.failed; at += CQL_SEGMENT_MAX) {
    size_t n = frame.len - at;
    put_segment(c, frame.p + at, n < CQL_SEGMENT_MAX ? n : CQL_SEGMENT_MAX, whole, out);
  }
  bool ok = !to->failed && !out->failed;
  sql_buf_done(&frame);
  return ok;
}
