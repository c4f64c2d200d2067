/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to a Cassandra node: TCP or TLS, STARTUP, password, requests with deadlines. Every
 * wait also ends when the runtime's wake_fd is readable. One object, one thread. */
#ifndef CQL_CONN_H
#define CQL_CONN_H
#include <openssl/ssl.h>
#include "common/cql-reply.h"

enum cql_tls { CQL_TLS_DISABLE, CQL_TLS_REQUIRE, CQL_TLS_VERIFY_CA, CQL_TLS_VERIFY_FULL };
extern const char *const cql_tls_choices[];
extern const char *const cql_consistency_choices[]; /* index into cql_consistency_codes */
extern const uint16_t cql_consistency_codes[];

struct cql_conf {
  struct mr_list hosts; /* const char *, HOST or HOST:PORT or [IPv6]:PORT */
  const char *datacenter, *user, *password, *tls_ca, *tls_cert, *tls_key;
  int64_t connect_timeout_ms, request_timeout_ms;
  int32_t tls, consistency; /* tls -1: by host; consistency: index into the choices */
  int64_t protocol;         /* 5 or 4; INT64_MIN: 5, and 4 where a node wants that */
  bool compression;
};
#define CQL_OPTION(conf_, field_, name_, type_, ...)                                    \
  {                                                                                     \
    .name = name_, .type = type_, .offset = offsetof(struct conf_, field_), __VA_ARGS__ \
  }
/* Rows for the option table; conf_: the plugin's struct, field_: its struct cql_conf. */
#define CQL_OPTIONS(conf_, field_)                                                                 \
  CQL_OPTION(conf_, field_.hosts, "hosts", MR_TEXT, .flags = MR_REQUIRED | MR_MANY,                \
             .doc =                                                                                \
                 "Nodes to begin with, HOST or HOST:PORT (9042); the first that answers is used"), \
      CQL_OPTION(conf_, field_.datacenter, "datacenter", MR_TEXT,                                  \
                 .doc = "Use only nodes of this data centre"),                                     \
      CQL_OPTION(conf_, field_.user, "user", MR_TEXT,                                              \
                 .doc = "User name (password authentication)"),                                    \
      CQL_OPTION(conf_, field_.password, "password", MR_TEXT, .flags = MR_SECRET,                  \
                 .doc = "Password"),                                                               \
      CQL_OPTION(conf_, field_.tls, "tls", MR_CHOICE, .choices = cql_tls_choices,                  \
                 .doc = "Encryption; left out: verify-full, on loopback disable"),                 \
      CQL_OPTION(conf_, field_.tls_ca, "tls_ca", MR_TEXT,                                          \
                 .doc = "File of certificate authorities; left out: the system's"),                \
      CQL_OPTION(conf_, field_.tls_cert, "tls_cert", MR_TEXT,                                      \
                 .doc = "File of the client's certificate (PEM), where nodes ask for one"),        \
      CQL_OPTION(conf_, field_.tls_key, "tls_key", MR_TEXT, .doc = "File of its key (PEM)"),       \
      CQL_OPTION(conf_, field_.consistency, "consistency", MR_CHOICE,                              \
                 .choices = cql_consistency_choices, .dflt = "local_quorum",                       \
                 .doc = "How many replicas answer a read"),                                        \
      CQL_OPTION(conf_, field_.protocol, "protocol", MR_INT, .range = "4..5",                      \
                 .doc =                                                                            \
                     "Version of the native protocol; left out: 5, or 4 where a node wants that"), \
      CQL_OPTION(conf_, field_.compression, "compression", MR_BOOL, .dflt = "true",                \
                 .doc = "LZ4 on the wire"),                                                        \
      CQL_OPTION(conf_, field_.connect_timeout_ms, "connect_timeout", MR_TIME_MS,                  \
                 .range = "1ms..1h", .dflt = "10s", .doc = "Deadline for a connection"),           \
      CQL_OPTION(conf_, field_.request_timeout_ms, "request_timeout", MR_TIME_MS,                  \
                 .range = "1ms..24h", .dflt = "60s", .doc = "Deadline for an answer of a node")

struct cql_conn {
  const struct cql_conf *conf;
  int wake_fd; /* -1: none */
  int fd;      /* -1: not connected */
  SSL_CTX *ctx;
  SSL *ssl;
  struct cql_codec codec;
  char where[300];     /* " at HOST:PORT" */
  size_t last;         /* the contact point that answered last, the next ones are tried behind it */
  int version;         /* of the protocol: 5, or 4 where a node wants that */
  int32_t asked;       /* requests that were sent and not answered */
  int64_t deadline_ms; /* for the next answer, monotonic */
  char release[32], datacenter[64], partitioner[96]; /* of the node */
  /* Optional: an event came; called from within cql_conn_receive. */
  void (*event)(void *event_ctx, const struct cql_event *lend);
  void *event_ctx;
};

/* Across the options; no I/O. */
int cql_conf_validate(const struct cql_conf *conf, struct mr_error *err);
/* conf is lent until cql_conn_close. first: the contact point to begin with. */
void cql_conn_init(struct cql_conn *c, const struct cql_conf *conf, int wake_fd, size_t first);
/* Connects when there is no connection: tries each contact point, speaks v5 or v4, logs on, looks
 * at the data centre. MR_RETRY with unreachable: no node answered, or they refused us (err says
 * which and why for the last one). */
int cql_conn_open(struct cql_conn *c, struct mr_error *err);
void cql_conn_close(struct cql_conn *c);

/* Sends a request without waiting for its answer. */
int cql_conn_send(struct cql_conn *c, enum cql_opcode opcode, const struct sql_buf *body,
                  struct mr_error *err);
/* The same while others are on their way; stream (not negative, of none of these) comes back with
 * its answer. Answers come in any order. */
int cql_conn_send_more(struct cql_conn *c, enum cql_opcode opcode, int16_t stream,
                       const struct sql_buf *body, struct mr_error *err);
/* The answer to it, lent until the next call. MR_IDLE: not there by until_ms. MR_RETRY: the
 * deadline has passed, or the run is to end, or the connection was lost (it is closed). An ERROR
 * is an answer. */
int cql_conn_receive(struct cql_conn *c, int64_t until_ms, struct cql_frame *ret,
                     struct mr_error *err);
/* Both; an ERROR becomes a status (cql_reply_error), the connection stays but for what the protocol
 * is to blame for. */
int cql_conn_ask(struct cql_conn *c, enum cql_opcode opcode, const struct sql_buf *body,
                 struct cql_frame *ret, struct mr_error *err);
/* The status of an ERROR: closes the connection where it is of no more use, names the node. */
int cql_conn_refused(struct cql_conn *c, const struct cql_frame *f, int32_t *ret_code,
                     struct mr_error *err);

/* One page of a statement with text values, for the server's own tables. */
int cql_conn_query(struct cql_conn *c, const char *cql, const char *const *value, uint16_t n,
                   struct cql_rows *ret, struct mr_error *err);
int cql_conn_prepare(struct cql_conn *c, const char *cql, struct cql_prepared *ret,
                     struct mr_error *err);

/* Parts of request bodies. */
void cql_put_u16(struct sql_buf *b, uint16_t v);
void cql_put_i32(struct sql_buf *b, int32_t v);
void cql_put_i64(struct sql_buf *b, int64_t v);
void cql_put_short(struct sql_buf *b, const void *p, size_t n); /* string, short bytes */
void cql_put_value(struct sql_buf *b, const void *p, size_t n); /* long string, bytes, value */

#endif
