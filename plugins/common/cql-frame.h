/* SPDX-License-Identifier: Apache-2.0 */
/* Frames (envelopes) of Cassandra's native protocol v4 and v5, without a socket: bytes in, frames
 * out, and the other way round. v5 wraps them in segments with checksums once the server has
 * answered STARTUP (native_protocol_v5.spec, sections 2.1 to 2.4); v4 may compress each body.
 * One object, one thread. */
#ifndef CQL_FRAME_H
#define CQL_FRAME_H
#include "common/cql-read.h"
#include "common/sql-buf.h"
#include "millrace/plugin.h"

enum cql_opcode {
  CQL_ERROR = 0x00,
  CQL_STARTUP = 0x01,
  CQL_READY = 0x02,
  CQL_AUTHENTICATE = 0x03,
  CQL_OPTIONS = 0x05,
  CQL_SUPPORTED = 0x06,
  CQL_QUERY = 0x07,
  CQL_RESULT = 0x08,
  CQL_PREPARE = 0x09,
  CQL_EXECUTE = 0x0a,
  CQL_REGISTER = 0x0b,
  CQL_EVENT = 0x0c,
  CQL_AUTH_CHALLENGE = 0x0e,
  CQL_AUTH_RESPONSE = 0x0f,
  CQL_AUTH_SUCCESS = 0x10,
};
#define CQL_BODY_MAX (256u << 20) /* bytes, the protocol's limit */
#define CQL_SEGMENT_MAX 131071    /* bytes of a segment's payload */
#define CQL_EVENT_STREAM (-1)

struct cql_frame {
  uint8_t version, opcode; /* version: without the direction bit */
  int16_t stream;
  const uint8_t *body; /* what the flags put before the message is left out */
  size_t len;
};

struct cql_codec {
  int version;           /* 4 or 5: of what is written */
  bool lz4;              /* agreed on at STARTUP */
  bool segments;         /* v5: the server has answered STARTUP */
  struct sql_buf in;     /* bytes as they came; append to it */
  struct sql_buf line;   /* v5: payloads of segments, joined */
  struct sql_buf body;   /* v4: a body that was compressed */
  size_t in_at, line_at; /* how far each was read */
};

/* A codec for one connection. Nothing is held until bytes come. */
void cql_codec_init(struct cql_codec *c, int version);
void cql_codec_done(struct cql_codec *c);
/* The next whole frame in c->in; its body is lent until the next call. MR_IDLE: more bytes are
 * needed. MR_RETRY: what came is damaged (checksum, length, compression): the connection is of no
 * more use. MR_FATAL: no memory. */
int cql_codec_next(struct cql_codec *c, struct cql_frame *ret, struct mr_error *err);
/* Appends a request to out. false: no memory. */
bool cql_codec_put(struct cql_codec *c, enum cql_opcode opcode, int16_t stream, const uint8_t *body,
                   size_t len, struct sql_buf *out);

uint32_t cql_crc24(const uint8_t *p, size_t n);
uint32_t cql_crc32(const uint8_t *p, size_t n); /* as segments have it: four bytes go before */

#endif
