/* SPDX-License-Identifier: Apache-2.0 */
/* The sealed block: everything that a later process needs to send it, whatever has become of the
 * pipeline file meanwhile.
 *
 *   8 bytes    "MRCHB\0\0\1"
 *   u64 rows, u64 number of the table's newest block, u32 flags (1: the body is compressed)
 *   16 bytes nonce
 *   u32 length of the columns' text, u32 length of the query (0: the body begins with it)
 *   columns, query, body
 *
 * Numbers are little-endian. The body is one Native block, as it goes over the wire: compressed
 * into ClickHouse's own frames, whose checksum is left zero. */
#include <lz4.h>
#include <sys/random.h>
#include <zstd.h>
#include "clickhouse.h"

#define FRAME (1u << 20) /* bytes of the body in one compressed frame */
#define FRAME_HEAD 25    /* 16 of checksum, method, two lengths */
#define METHOD_LZ4 0x82
#define METHOD_ZSTD 0x90
#define ZSTD_LEVEL 1
#define QUERY_IN_URL_MAX 4000 /* bytes; servers bound the length of a URL */
#define ROWS_AT 8
#define AFTER_AT 16
#define FLAGS_AT 24
#define NONCE_AT 28
#define LENGTHS_AT 44
#define HEAD 52

static const char magic[8] = "MRCHB\0\0\1";

struct body {
  struct ch_sink *s;
  mr_put_fn *put;
  void *out;
  bool compressed;
  uint64_t after;
  struct sql_buf raw, packed;
};

static int put_frame(struct body *b, const void *raw, size_t len)
{
  bool lz4 = b->s->compression == COMPRESSION_LZ4;
  size_t most = lz4 ? (size_t)LZ4_COMPRESSBOUND(len) : ZSTD_compressBound(len);
  sql_buf_clear(&b->packed);
  if (!len)
    return MR_OK;
  if (!sql_buf_reserve(&b->packed, most + FRAME_HEAD))
    return MR_FATAL;
  char *to = (char *)b->packed.p + FRAME_HEAD;
  size_t n = lz4 ? (size_t)LZ4_compress_default(raw, to, (int)len, (int)most)
                 : ZSTD_compress(to, most, raw, len, ZSTD_LEVEL);
  if (!n || (!lz4 && ZSTD_isError(n)))
    return MR_FATAL;
  uint32_t lengths[2] = {(uint32_t)(n + 9), (uint32_t)len};
  memset(b->packed.p, 0, 16);
  b->packed.p[16] = lz4 ? METHOD_LZ4 : METHOD_ZSTD;
  memcpy(b->packed.p + 17, lengths, 8);
  return b->put(b->out, b->packed.p, n + FRAME_HEAD);
}

static int put_gathered(struct body *b)
{
  int status = b->raw.failed ? MR_FATAL : put_frame(b, b->raw.p, b->raw.len);
  sql_buf_clear(&b->raw);
  return status;
}

/* Whole frames are compressed where they lie, the ends of columns are gathered. */
static int put_raw(void *out, const void *data, size_t len)
{
  struct body *b = out;
  int status = MR_OK;
  if (!b->compressed)
    return b->put(b->out, data, len);
  for (const uint8_t *p = data; len && status >= 0;) {
    size_t n = FRAME - b->raw.len < len ? FRAME - b->raw.len : len;
    if (n == FRAME) {
      status = put_frame(b, p, n);
    } else {
      sql_buf_bytes(&b->raw, p, n);
      if (b->raw.len == FRAME || b->raw.failed)
        status = put_gathered(b);
    }
    p += n;
    len -= n;
  }
  return status;
}

static int put_small(struct body *b, struct sql_buf *take)
{
  int status = take->failed ? MR_FATAL : put_raw(b, take->p, take->len);
  sql_buf_done(take);
  return status;
}

static int put_columns(struct body *b)
{
  struct ch_sink *s = b->s;
  struct sql_buf head = {0};
  ch_varint(&head, (uint64_t)s->n_nodes);
  ch_varint(&head, (uint64_t)s->rows);
  int status = put_small(b, &head);
  for (int i = 0; i < s->n_nodes && status >= 0; i++) {
    const struct ch_column *c = &s->column[s->node_column[i]];
    ch_varint(&head, strlen(c->name));
    sql_buf_str(&head, c->name);
    ch_varint(&head, strlen(c->wire));
    sql_buf_str(&head, c->wire);
    status = put_small(b, &head);
    if (status >= 0)
      status = ch_node_give(&s->node[i], put_raw, b);
  }
  if (status >= 0 && b->compressed)
    status = put_gathered(b);
  return status;
}

void ch_block_columns(const struct ch_sink *s, struct sql_buf *out)
{
  for (int i = 0; i < s->n_nodes; i++)
    sql_buf_fmt(out, "%s %s\n", s->column[s->node_column[i]].name,
                s->column[s->node_column[i]].wire);
}

static void insert_query(const struct ch_sink *s, struct sql_buf *out)
{
  sql_buf_fmt(out, "INSERT INTO %s (", s->target);
  for (int i = 0; i < s->n_nodes; i++) {
    sql_buf_str(out, i ? ", " : "");
    ch_ident(out, s->column[s->node_column[i]].name);
  }
  sql_buf_str(out, ") FORMAT Native");
}

static void nonce_text(const uint8_t *nonce, char ret[2 * CH_NONCE + 1])
{
  for (int i = 0; i < CH_NONCE; i++)
    snprintf(ret + 2 * i, 3, "%02x", nonce[i]);
}

static int put_head(struct body *b, struct sql_buf *columns, struct sql_buf *query, bool in_url)
{
  uint8_t head[HEAD] = {0};
  uint64_t rows = (uint64_t)b->s->rows;
  uint32_t flags = b->compressed,
           lengths[2] = {(uint32_t)columns->len, in_url ? (uint32_t)query->len : 0};
  memcpy(head, magic, 8);
  memcpy(head + ROWS_AT, &rows, 8);
  memcpy(head + AFTER_AT, &b->after, 8);
  memcpy(head + FLAGS_AT, &flags, 4);
  if (getrandom(head + NONCE_AT, CH_NONCE, 0) != CH_NONCE)
    return MR_FATAL;
  nonce_text(head + NONCE_AT, b->s->sealed);
  b->s->sent = false;
  memcpy(head + LENGTHS_AT, lengths, 8);
  int status = b->put(b->out, head, HEAD);
  if (status >= 0)
    status = b->put(b->out, columns->p, columns->len);
  if (status >= 0 && in_url)
    status = b->put(b->out, query->p, query->len);
  if (status >= 0 && !in_url) {
    sql_buf_byte(query, '\n');
    status = put_raw(b, query->p, query->len);
  }
  return status;
}

int ch_block_write(struct ch_sink *s, uint64_t after, mr_put_fn *put, void *out,
                   struct mr_error *err)
{
  struct body b = {.s = s, .put = put, .out = out, .after = after};
  struct sql_buf columns = {0}, query = {0};
  b.compressed = s->compression != COMPRESSION_NONE && s->server.unsummed;
  ch_block_columns(s, &columns);
  insert_query(s, &query);
  int status = columns.failed || query.failed
                   ? MR_FATAL
                   : put_head(&b, &columns, &query, query.len <= QUERY_IN_URL_MAX);
  if (status >= 0 && s->rows)
    status = put_columns(&b);
  sql_buf_done(&columns);
  sql_buf_done(&query);
  sql_buf_done(&b.raw);
  sql_buf_done(&b.packed);
  return status < 0 ? ch_no_memory(err) : MR_OK;
}

void ch_block_done(struct ch_block *b)
{
  free(b->columns);
  free(b->query);
  memset(b, 0, sizeof *b);
}

int ch_block_read(const void *data, size_t len, struct ch_block *ret, struct mr_error *err)
{
  const uint8_t *p = data;
  uint32_t flags, lengths[2];
  memset(ret, 0, sizeof *ret);
  if (len < HEAD || memcmp(p, magic, 8))
    return src_fail(err, MR_FATAL, "", "the kept block is not one of the clickhouse sink's");
  memcpy(&ret->rows, p + ROWS_AT, 8);
  memcpy(&ret->after, p + AFTER_AT, 8);
  memcpy(&flags, p + FLAGS_AT, 4);
  memcpy(lengths, p + LENGTHS_AT, 8);
  if ((size_t)lengths[0] + lengths[1] > len - HEAD)
    return src_fail(err, MR_FATAL, "", "the kept block is cut off");
  nonce_text(p + NONCE_AT, ret->nonce);
  ret->compressed = flags & 1;
  ret->columns = strndup((const char *)p + HEAD, lengths[0]);
  ret->query = lengths[1] ? strndup((const char *)p + HEAD + lengths[0], lengths[1]) : NULL;
  ret->body = p + HEAD + lengths[0] + lengths[1];
  ret->len = len - HEAD - lengths[0] - lengths[1];
  return ret->columns && (ret->query || !lengths[1]) ? MR_OK : ch_no_memory(err);
}
