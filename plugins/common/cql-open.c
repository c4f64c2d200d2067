/* SPDX-License-Identifier: Apache-2.0 */
/* Contact points, the protocol's beginning, and the questions that every user of a connection asks.
 */
#include "common/cql-conn.h"
#include "common/cql-host.h"
#include "common/src-error.h"

#define DEFAULT_PORT "9042"
#define CONSISTENCY_ONE 1
#define QUERY_VALUES 1

const char *const cql_consistency_choices[] = {"one", "two",          "three",     "quorum",
                                               "all", "local_quorum", "local_one", NULL};
const uint16_t cql_consistency_codes[] = {1, 2, 3, 4, 5, 6, 10};

/* ---- contact points */

static bool port_ok(const char *port)
{
  size_t n = strspn(port, "0123456789");
  return n && n <= 5 && !port[n] && strtol(port, NULL, 10) <= 65535 && strtol(port, NULL, 10) > 0;
}

bool cql_host_parse(const char *text, struct cql_host *ret)
{
  const char *port = DEFAULT_PORT, *end = text + strlen(text), *colon = strchr(text, ':');
  if (*text == '[') {
    end = strchr(++text, ']');
    if (!end || (end[1] && end[1] != ':'))
      return false;
    port = end[1] ? end + 2 : port;
  } else if (colon && !strchr(colon + 1, ':')) {
    end = colon;
    port = colon + 1;
  }
  size_t n = (size_t)(end - text);
  if (!n || n >= sizeof ret->name || !port_ok(port))
    return false;
  snprintf(ret->name, sizeof ret->name, "%.*s", (int)n, text);
  snprintf(ret->port, sizeof ret->port, "%s", port);
  return true;
}

bool cql_host_loopback(const struct cql_host *h)
{
  return !strcmp(h->name, "localhost") || !strncmp(h->name, "127.", 4) || !strcmp(h->name, "::1");
}

int cql_conf_validate(const struct cql_conf *conf, struct mr_error *err)
{
  struct cql_host h;
  for (size_t i = 0; i < conf->hosts.n; i++)
    if (!cql_host_parse(((const char *const *)conf->hosts.item)[i], &h))
      return src_badconf(err, "hosts", "`%.100s` is not HOST or HOST:PORT",
                         ((const char *const *)conf->hosts.item)[i]);
  if (!conf->hosts.n)
    return src_badconf(err, "hosts", "no contact point");
  if (!conf->user != !conf->password)
    return src_badconf(err, conf->user ? "password" : "user", "user and password go together");
  if (conf->tls_key && !conf->tls_cert)
    return src_badconf(err, "tls_key", "a key without `tls_cert`");
  return MR_OK;
}

/* ---- parts of requests */

void cql_put_u16(struct sql_buf *b, uint16_t v)
{
  sql_buf_bytes(b, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}
void cql_put_i32(struct sql_buf *b, int32_t v)
{
  uint32_t be = htobe32((uint32_t)v);
  sql_buf_bytes(b, &be, sizeof be);
}
void cql_put_i64(struct sql_buf *b, int64_t v)
{
  uint64_t be = htobe64((uint64_t)v);
  sql_buf_bytes(b, &be, sizeof be);
}
void cql_put_short(struct sql_buf *b, const void *p, size_t n)
{
  b->failed = b->failed || n > UINT16_MAX;
  cql_put_u16(b, (uint16_t)n);
  sql_buf_bytes(b, p, n);
}
void cql_put_value(struct sql_buf *b, const void *p, size_t n)
{
  b->failed = b->failed || n > INT32_MAX;
  cql_put_i32(b, (int32_t)n);
  sql_buf_bytes(b, p, n);
}
static void put_text(struct sql_buf *b, const char *s)
{
  cql_put_short(b, s, strlen(s));
}

/* ---- the protocol's beginning */

static int unexpected(struct cql_conn *c, const struct cql_frame *f, struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "", "unexpected answer (opcode 0x%02x)%s", f->opcode, c->where);
}

static int authenticate(struct cql_conn *c, struct mr_error *err)
{
  struct sql_buf token = {0}, b = {0};
  struct cql_frame f;
  if (!c->conf->user)
    return src_fail(err, MR_RETRY, "28000", "the node asks for a user and a password%s", c->where);
  sql_buf_byte(&token, 0);
  sql_buf_str(&token, c->conf->user);
  sql_buf_byte(&token, 0);
  sql_buf_str(&token, c->conf->password);
  cql_put_value(&b, token.p, token.len);
  int rc = cql_conn_ask(c, CQL_AUTH_RESPONSE, &b, &f, err);
  if (rc == MR_OK && f.opcode == CQL_AUTH_CHALLENGE)
    rc = src_fail(err, MR_RETRY, "28000", "the node wants more than a user and a password%s",
                  c->where);
  else if (rc == MR_OK && f.opcode != CQL_AUTH_SUCCESS)
    rc = unexpected(c, &f, err);
  sql_buf_done(&token);
  sql_buf_done(&b);
  return rc;
}

static int ask_options(struct cql_conn *c, bool *ret_lz4, struct mr_error *err)
{
  struct sql_buf none = {0};
  struct cql_frame f;
  int rc = cql_conn_ask(c, CQL_OPTIONS, &none, &f, err);
  *ret_lz4 = rc == MR_OK && c->conf->compression && cql_reply_supports(&f, "COMPRESSION", "lz4");
  return rc;
}

static int startup(struct cql_conn *c, bool lz4, struct mr_error *err)
{
  struct sql_buf b = {0};
  struct cql_frame f;
  cql_put_u16(&b, lz4 ? 4 : 3);
  put_text(&b, "CQL_VERSION");
  put_text(&b, "3.0.0");
  put_text(&b, "DRIVER_NAME");
  put_text(&b, "millrace");
  put_text(&b, "THROW_ON_OVERLOAD");
  put_text(&b, "1");
  if (lz4) {
    put_text(&b, "COMPRESSION");
    put_text(&b, "lz4");
  }
  c->codec.lz4 = lz4 && c->version == 4; /* of v5 only segments are compressed */
  int rc = cql_conn_ask(c, CQL_STARTUP, &b, &f, err);
  sql_buf_done(&b);
  c->codec.lz4 = lz4;
  c->codec.segments = c->version >= 5;
  if (rc == MR_OK && f.opcode == CQL_AUTHENTICATE)
    return authenticate(c, err);
  return rc == MR_OK && f.opcode != CQL_READY ? unexpected(c, &f, err) : rc;
}

/* Versions 5, then 4: a node that cannot speak one says so and hangs up. */
static int speak(struct cql_conn *c, const struct cql_host *h, struct mr_error *err)
{
  int rc = MR_RETRY;
  int64_t said = c->conf->protocol, last = said < 0 ? 4 : said;
  for (c->version = said < 0 ? 5 : (int)said; c->version >= last; c->version--) {
    bool lz4;
    if ((rc = cql_conn_dial(c, h, err)) < 0)
      return rc;
    rc = ask_options(c, &lz4, err);
    if (rc >= 0)
      rc = startup(c, lz4, err);
    if (rc >= 0 || strcmp(err->code, "0x000a"))
      break;
  }
  return rc;
}

static void copy_cell(struct cql_read *r, char *buf, size_t size)
{
  int64_t n;
  const uint8_t *p = cql_read_value(r, &n);
  snprintf(buf, size, "%.*s", p ? (int)n : 0, p ? (const char *)p : "");
}

static int look_around(struct cql_conn *c, struct mr_error *err)
{
  struct cql_rows rows;
  int rc = cql_conn_query(c, "SELECT release_version, data_center, partitioner FROM system.local",
                          NULL, 0, &rows, err);
  if (rc >= 0 && (rows.n != 1 || rows.columns.n != 3))
    rc = src_fail(err, MR_FATAL, "", "the node does not describe itself%s", c->where);
  if (rc >= 0) {
    copy_cell(&rows.cells, c->release, sizeof c->release);
    copy_cell(&rows.cells, c->datacenter, sizeof c->datacenter);
    copy_cell(&rows.cells, c->partitioner, sizeof c->partitioner);
  }
  cql_columns_done(&rows.columns);
  if (rc >= 0 && c->conf->datacenter && strcmp(c->conf->datacenter, c->datacenter))
    rc = src_fail(err, MR_BADCONF, "", "the node is in data centre %s, not in %s%s", c->datacenter,
                  c->conf->datacenter, c->where);
  return rc;
}

static int register_events(struct cql_conn *c, struct mr_error *err)
{
  struct sql_buf b = {0};
  struct cql_frame f;
  if (!c->event)
    return MR_OK;
  cql_put_u16(&b, 2);
  put_text(&b, "SCHEMA_CHANGE");
  put_text(&b, "STATUS_CHANGE");
  int rc = cql_conn_ask(c, CQL_REGISTER, &b, &f, err);
  sql_buf_done(&b);
  return rc;
}

static int open_one(struct cql_conn *c, const char *text, struct mr_error *err)
{
  struct cql_host h;
  if (!cql_host_parse(text, &h))
    return src_badconf(err, "hosts", "`%.100s` is not HOST or HOST:PORT", text);
  int rc = speak(c, &h, err);
  if (rc >= 0)
    rc = look_around(c, err);
  if (rc >= 0)
    rc = register_events(c, err);
  return rc;
}

/* What a node says about who we are and where: another one may think otherwise, and it may change.
 */
static bool refuses_us(const struct mr_error *err)
{
  return !strcmp(err->code, "0x0100") || !strcmp(err->code, "28000");
}

int cql_conn_open(struct cql_conn *c, struct mr_error *err)
{
  size_t n = c->conf->hosts.n;
  int rc = MR_RETRY;
  if (c->fd >= 0 && !c->asked)
    return MR_OK;
  for (size_t i = 0; i < n; i++) {
    size_t at = (c->last + i) % n;
    err->unreachable = false;
    rc = open_one(c, ((const char *const *)c->conf->hosts.item)[at], err);
    c->last = at;
    if (rc >= 0)
      return rc;
    if (refuses_us(err)) {
      err->unreachable = true;
      rc = MR_RETRY;
    }
    cql_conn_close(c);
    if (*err->option)
      return rc;
  }
  c->last = (c->last + 1) % n;
  if (rc == MR_BADCONF && c->conf->datacenter)
    snprintf(err->option, sizeof err->option, "datacenter");
  return rc;
}

/* ---- questions */

int cql_conn_query(struct cql_conn *c, const char *cql, const char *const *value, uint16_t n,
                   struct cql_rows *ret, struct mr_error *err)
{
  struct sql_buf b = {0};
  struct cql_frame f;
  int32_t flags = n ? QUERY_VALUES : 0;
  memset(ret, 0, sizeof *ret);
  cql_put_value(&b, cql, strlen(cql));
  cql_put_u16(&b, CONSISTENCY_ONE);
  if (c->version >= 5)
    cql_put_i32(&b, flags);
  else
    sql_buf_byte(&b, (char)flags);
  if (n)
    cql_put_u16(&b, n);
  for (uint16_t i = 0; i < n; i++)
    cql_put_value(&b, value[i], strlen(value[i]));
  int rc = cql_conn_ask(c, CQL_QUERY, &b, &f, err);
  sql_buf_done(&b);
  return rc < 0 ? rc : cql_reply_rows(&f, ret, err);
}

int cql_conn_prepare(struct cql_conn *c, const char *cql, struct cql_prepared *ret,
                     struct mr_error *err)
{
  struct sql_buf b = {0};
  struct cql_frame f;
  memset(ret, 0, sizeof *ret);
  cql_put_value(&b, cql, strlen(cql));
  if (c->version >= 5)
    cql_put_i32(&b, 0);
  int rc = cql_conn_ask(c, CQL_PREPARE, &b, &f, err);
  sql_buf_done(&b);
  return rc < 0 ? rc : cql_reply_prepared(&f, ret, err);
}
