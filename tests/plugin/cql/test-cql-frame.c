/* SPDX-License-Identifier: Apache-2.0 */
/* Frames and segments: written and read again, in pieces, compressed, damaged at each byte. */
#include "base/base.h"
#include "common/cql-frame.h"
#include <lz4.h>
#include "wire.h"

static GByteArray *frame_bytes(int version, uint8_t flags, int16_t stream, uint8_t opcode,
                               const GByteArray *body)
{
  GByteArray *b = g_byte_array_new();
  guint8 h[9] = {(guint8)(0x80 | version), flags, (guint8)(stream >> 8), (guint8)stream, opcode};
  for (int i = 0; i < 4; i++)
    h[5 + i] = (guint8)(body->len >> (24 - 8 * i));
  g_byte_array_append(b, h, 9);
  return g_byte_array_append(b, body->data, body->len);
}

static void little(GByteArray *b, guint64 v, int n)
{
  for (; n; n--, v >>= 8)
    g_byte_array_append(b, (const guint8[]){(guint8)v}, 1);
}

/* One segment around bytes; lz4: header of 5 bytes, packed: its payload is an LZ4 block. */
static void segment(GByteArray *out, const guint8 *p, guint n, bool whole, bool lz4, bool packed)
{
  g_autofree guint8 *block = g_malloc((gsize)LZ4_compressBound((int)n));
  guint wire = n, at = out->len;
  if (packed)
    wire = (guint)LZ4_compress_default((const char *)p, (char *)block, (int)n,
                                       LZ4_compressBound((int)n));
  little(out, wire | (packed ? (guint64)n << 17 : 0) | (guint64)whole << (lz4 ? 34 : 17),
         lz4 ? 5 : 3);
  little(out, cql_crc24(out->data + at, lz4 ? 5 : 3), 3);
  at = out->len;
  g_byte_array_append(out, packed ? block : p, wire);
  little(out, cql_crc32(out->data + at, wire), 4);
}

/* Feeds bytes `step` at a time; the bodies that come out as text, separated by |, and the status
 * that ended it. */
static char *read_all(struct cql_codec *c, const GByteArray *in, guint step, int *ret_rc)
{
  GString *out = g_string_new(NULL);
  struct mr_error err = MR_ERROR_INIT;
  struct cql_frame f;
  *ret_rc = MR_IDLE;
  for (guint at = 0; at < in->len && *ret_rc >= 0; at += step) {
    sql_buf_bytes(&c->in, in->data + at, MIN(step, in->len - at));
    while ((*ret_rc = cql_codec_next(c, &f, &err)) == MR_OK)
      g_string_append_printf(out, "%d:%d:%.*s|", f.stream, f.opcode, (int)MIN(f.len, 40),
                             (const char *)f.body);
  }
  g_assert_true(*ret_rc >= 0 || *err.msg);
  return g_string_free(out, FALSE);
}

static void check(int version, bool lz4, bool segments, const GByteArray *in, const char *want)
{
  static const guint steps[] = {1, 2, 7, 100000};
  for (size_t i = in->len > 5000 ? 3 : 0; i < G_N_ELEMENTS(steps); i++) {
    struct cql_codec c;
    int rc;
    cql_codec_init(&c, version);
    c.lz4 = lz4;
    c.segments = segments;
    g_autofree char *got = read_all(&c, in, steps[i], &rc);
    g_assert_cmpstr(got, ==, want);
    g_assert_cmpint(rc, ==, MR_IDLE);
    cql_codec_done(&c);
  }
}

static void test_vectors(void)
{
  /* OPTIONS, stream 1, v5, uncompressed: a segment that a 5.0.4 node understood */
  g_autoptr(GByteArray) want = wire_bytes("090002a4c8c1 050000010500000000 b5557486");
  struct cql_codec c;
  struct sql_buf out = {0};
  cql_codec_init(&c, 5);
  c.segments = true;
  g_assert_true(cql_codec_put(&c, CQL_OPTIONS, 1, NULL, 0, &out));
  g_assert_cmpmem(out.p, out.len, want->data, want->len);
  sql_buf_clear(&out);
  c.segments = false;
  g_assert_true(cql_codec_put(&c, CQL_OPTIONS, 1, NULL, 0, &out));
  g_assert_cmpmem(out.p, out.len, want->data + 6, 9);
  sql_buf_done(&out);
  cql_codec_done(&c);
}

/* Before the first byte has come. */
static void test_nothing(void)
{
  struct mr_error err = MR_ERROR_INIT;
  struct cql_frame f;
  for (int kind = 0; kind < 4; kind++) {
    struct cql_codec c;
    cql_codec_init(&c, kind & 1 ? 5 : 4);
    c.segments = kind & 1;
    c.lz4 = kind & 2;
    g_assert_cmpint(cql_codec_next(&c, &f, &err), ==, MR_IDLE);
    cql_codec_done(&c);
  }
}

static void test_plain(void)
{
  g_autoptr(GByteArray) a = wire_bytes("'abc'"), b = wire_bytes("''"), all = g_byte_array_new();
  g_autoptr(GByteArray) fa = frame_bytes(4, 0, 7, CQL_RESULT, a),
                        fb = frame_bytes(4, 0, -1, CQL_EVENT, b);
  g_byte_array_append(all, fa->data, fa->len);
  g_byte_array_append(all, fb->data, fb->len);
  g_byte_array_append(all, fa->data, fa->len);
  check(4, false, false, all, "7:8:abc|-1:12:|7:8:abc|");
}

/* Trace id, warnings and payload stand before the message. */
static void test_extras(void)
{
  g_autoptr(GByteArray) body =
      wire_bytes("00000000000000000000000000000000 0002 0001'w' 0000 0001 0001'k' "
                 "00000001'v' 'rest'");
  g_autoptr(GByteArray) f = frame_bytes(5, 0x0e, 0, CQL_RESULT, body);
  check(5, false, false, f, "0:8:rest|");
}

static void test_compressed_body(void)
{
  char text[200];
  memset(text, 'x', sizeof text);
  g_autoptr(GByteArray) body = wire_bytes("000000c8"), bad = wire_bytes("00000fff 00");
  guint8 block[300];
  int n = LZ4_compress_default(text, (char *)block, sizeof text, sizeof block);
  g_byte_array_append(body, block, (guint)n);
  g_autoptr(GByteArray) f = frame_bytes(4, 1, 3, CQL_RESULT, body),
                        fb = frame_bytes(4, 1, 3, CQL_RESULT, bad);
  check(4, true, false, f, "3:8:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx|");
  for (int i = 0; i < 2; i++) { /* not agreed on; does not unpack */
    struct cql_codec c;
    int rc;
    cql_codec_init(&c, 4);
    c.lz4 = i;
    g_autofree char *got = read_all(&c, i ? fb : f, 1000, &rc);
    g_assert_cmpint(rc, ==, MR_RETRY);
    g_assert_cmpstr(got, ==, "");
    cql_codec_done(&c);
  }
}

static void test_segments(void)
{
  g_autoptr(GByteArray) a = wire_bytes("'abc'"), big = g_byte_array_new();
  g_byte_array_set_size(big, 300000);
  memset(big->data, 'y', big->len);
  g_autoptr(GByteArray) small = frame_bytes(5, 0, 1, CQL_RESULT, a),
                        large = frame_bytes(5, 0, 2, CQL_RESULT, big);
  for (int kind = 0; kind < 3; kind++) { /* plain; LZ4 agreed but not used; LZ4 */
    bool lz4 = kind > 0, packed = kind > 1;
    g_autoptr(GByteArray) two = g_byte_array_new(), all = g_byte_array_new();
    g_byte_array_append(two, small->data, small->len);
    g_byte_array_append(two, small->data, small->len);
    segment(all, two->data, two->len, true, lz4, packed);
    check(5, lz4, true, all, "1:8:abc|1:8:abc|");
    for (guint at = 0; at < large->len; at += CQL_SEGMENT_MAX)
      segment(all, large->data + at, MIN(CQL_SEGMENT_MAX, large->len - at), false, lz4, packed);
    segment(all, small->data, small->len, true, lz4, packed);
    check(5, lz4, true, all,
          "1:8:abc|1:8:abc|2:8:yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy|1:8:abc|");
  }
}

/* Whatever byte is changed: a checksum finds it, or more bytes are waited for; never a wrong frame.
 */
static void test_damage(void)
{
  g_autoptr(GByteArray) a = wire_bytes("'some text that is not too short'");
  g_autoptr(GByteArray) f = frame_bytes(5, 0, 1, CQL_RESULT, a);
  for (int lz4 = 0; lz4 < 2; lz4++) {
    g_autoptr(GByteArray) good = g_byte_array_new();
    segment(good, f->data, f->len, true, lz4, lz4);
    for (guint bit = 0; bit < good->len * 8; bit++) {
      g_autoptr(GByteArray) bad = g_byte_array_append(g_byte_array_new(), good->data, good->len);
      bad->data[bit / 8] ^= (guint8)(1u << bit % 8);
      struct cql_codec c;
      int rc;
      cql_codec_init(&c, 5);
      c.lz4 = lz4;
      c.segments = true;
      g_autofree char *got = read_all(&c, bad, 1000, &rc);
      g_assert_cmpstr(got, ==, "");
      g_assert_cmpint(rc, ==, MR_RETRY);
      cql_codec_done(&c);
    }
  }
}

static void test_other_server(void)
{
  g_autoptr(GByteArray) http = wire_bytes("'HTTP/1.1 400 Bad Request'"),
                        huge = wire_bytes("840000010f7fffffff");
  for (int i = 0; i < 2; i++) {
    struct cql_codec c;
    int rc;
    cql_codec_init(&c, 4);
    g_autofree char *got = read_all(&c, i ? huge : http, 1000, &rc);
    g_assert_cmpint(rc, ==, MR_RETRY);
    cql_codec_done(&c);
  }
}

/* A request of more than one segment comes out of a reader whole. */
static void test_large_request(void)
{
  struct cql_codec to, from;
  struct cql_frame f;
  struct mr_error err = MR_ERROR_INIT;
  struct sql_buf out = {0};
  g_autofree uint8_t *body = g_malloc(400000);
  for (int i = 0; i < 400000; i++)
    body[i] = (uint8_t)(i * 7);
  for (int lz4 = 0; lz4 < 2; lz4++) {
    cql_codec_init(&to, 0x85); /* as an answer, so that it can be read */
    cql_codec_init(&from, 5);
    to.segments = from.segments = true;
    to.lz4 = from.lz4 = lz4;
    g_assert_true(cql_codec_put(&to, CQL_EXECUTE, 9, body, 400000, &out));
    sql_buf_bytes(&from.in, out.p, out.len);
    g_assert_cmpint(cql_codec_next(&from, &f, &err), ==, MR_OK);
    g_assert_cmpmem(f.body, f.len, body, 400000);
    sql_buf_clear(&out);
    cql_codec_done(&to);
    cql_codec_done(&from);
  }
  sql_buf_done(&out);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cql-frame/vectors", test_vectors);
  g_test_add_func("/cql-frame/nothing", test_nothing);
  g_test_add_func("/cql-frame/plain", test_plain);
  g_test_add_func("/cql-frame/extras", test_extras);
  g_test_add_func("/cql-frame/compressed-body", test_compressed_body);
  g_test_add_func("/cql-frame/segments", test_segments);
  g_test_add_func("/cql-frame/damage", test_damage);
  g_test_add_func("/cql-frame/other-server", test_other_server);
  g_test_add_func("/cql-frame/large-request", test_large_request);
  return g_test_run();
}
