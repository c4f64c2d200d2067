/* SPDX-License-Identifier: Apache-2.0 */
#include "common/cql-conn.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/wait.h"
#include "common/cql-host.h"
#include "common/src-error.h"

#define READ_BYTES 65536
const char *const cql_tls_choices[] = {"disable", "require", "verify-ca", "verify-full", NULL};

void cql_conn_init(struct cql_conn *c, const struct cql_conf *conf, int wake_fd, size_t first)
{
  *c = (struct cql_conn){.conf = conf, .wake_fd = wake_fd, .fd = -1, .version = 5, .last = first};
}

static void hang_up(struct cql_conn *c)
{
  if (c->ssl)
    SSL_free(c->ssl);
  c->ssl = NULL;
  if (c->fd >= 0)
    close(c->fd);
  c->fd = -1;
  c->asked = 0;
  cql_codec_done(&c->codec);
}

void cql_conn_close(struct cql_conn *c)
{
  hang_up(c);
  SSL_CTX_free(c->ctx);
  c->ctx = NULL;
}

/* The connection is gone; what: what was being done. */
static int lost(struct cql_conn *c, const char *what, const char *why, struct mr_error *err)
{
  src_fail(err, MR_RETRY, "08006", "%s: %s%s", what, why, c->where);
  err->unreachable = true;
  hang_up(c);
  return MR_RETRY;
}

/* ---- waiting */

static enum waited wait_for(const struct cql_conn *c, short events, int64_t until_ms)
{
  return wait_fd(c->fd, events, c->wake_fd, until_ms, 0, NULL);
}

static int gave_up(struct cql_conn *c, enum waited w, const char *what, int64_t timeout_ms,
                   struct mr_error *err)
{
  char why[80];
  int rc = lost(c, what, wait_why(w, timeout_ms, why, sizeof why), err);
  err->unreachable = w == WAITED_OVER;
  return rc;
}

/* ---- bytes */

static const char *tls_reason(char *buf, size_t size)
{
  unsigned long e = ERR_peek_last_error();
  ERR_error_string_n(e, buf, size);
  const char *reason = e ? ERR_reason_error_string(e) : NULL;
  return reason ? reason : e ? buf : "connection closed";
}

/* Why a TLS call failed: the certificate's fault is named. */
static const char *tls_why(const struct cql_conn *c, char *buf, size_t size)
{
  char text[200];
  long verified = SSL_get_verify_result(c->ssl);
  if (verified != X509_V_OK && SSL_get_verify_mode(c->ssl) != SSL_VERIFY_NONE)
    snprintf(buf, size, "the node's certificate is not accepted: %s",
             X509_verify_cert_error_string(verified));
  else
    snprintf(buf, size, "TLS: %s", tls_reason(text, sizeof text));
  return buf;
}

/* OpenSSL writes with write(): a node that hung up must not end the process by SIGPIPE. Blocks it
 * for this thread, and takes it away again with what came meanwhile. */
static void block_pipe(sigset_t *ret_old)
{
  sigset_t pipe_only;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_only, ret_old);
}
static void unblock_pipe(const sigset_t *old)
{
  static const struct timespec at_once = {0};
  sigset_t pipe_only;
  sigemptyset(&pipe_only);
  sigaddset(&pipe_only, SIGPIPE);
  if (!sigismember(old, SIGPIPE))
    sigtimedwait(&pipe_only, NULL, &at_once);
  pthread_sigmask(SIG_SETMASK, old, NULL);
}

static int tls_move(struct cql_conn *c, void *p, int n, bool out)
{
  sigset_t old;
  block_pipe(&old);
  ERR_clear_error();
  int got = out ? SSL_write(c->ssl, p, n) : SSL_read(c->ssl, p, n);
  unblock_pipe(&old);
  return got;
}

/* One of SSL_read, SSL_write, recv, send. > 0: bytes; 0: wait for *ret_events; < 0: failed, *why.
 */
static ssize_t move(struct cql_conn *c, void *p, size_t n, bool out, short *ret_events, char *why,
                    size_t why_size)
{
  *ret_events = out ? POLLOUT : POLLIN;
  if (!c->ssl) {
    ssize_t got = out ? send(c->fd, p, n, MSG_NOSIGNAL) : recv(c->fd, p, n, 0);
    if (got > 0)
      return got;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
      return 0;
    snprintf(why, why_size, "%s", got ? strerror(errno) : "the node closed the connection");
    return -1;
  }
  int got = tls_move(c, p, n > INT32_MAX ? INT32_MAX : (int)n, out);
  if (got > 0)
    return got;
  int e = SSL_get_error(c->ssl, got);
  if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
    *ret_events = e == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    return 0;
  }
  tls_why(c, why, why_size);
  return -1;
}

/* Writes all of b. */
static int write_all(struct cql_conn *c, const struct sql_buf *b, int64_t deadline_ms,
                     struct mr_error *err)
{
  char why[256];
  short events;
  for (size_t at = 0; at < b->len;) {
    ssize_t n = move(c, b->p + at, b->len - at, true, &events, why, sizeof why);
    if (n < 0)
      return lost(c, "request", why, err);
    at += (size_t)n;
    enum waited w = n ? WAITED_READY : wait_for(c, events, deadline_ms);
    if (w != WAITED_READY)
      return gave_up(c, w, "request", c->conf->request_timeout_ms, err);
  }
  return MR_OK;
}

/* What has come so far, into the codec. MR_IDLE: nothing by until_ms. */
static int read_some(struct cql_conn *c, int64_t until_ms, enum waited *ret_waited,
                     struct mr_error *err)
{
  char why[256];
  short events = POLLIN;
  for (;;) {
    if (!sql_buf_reserve(&c->codec.in, READ_BYTES))
      return src_no_memory(err);
    struct sql_buf *in = &c->codec.in;
    ssize_t n = move(c, in->p + in->len, in->cap - in->len, false, &events, why, sizeof why);
    if (n < 0)
      return lost(c, "answer", why, err);
    in->len += (size_t)n;
    if (n)
      return MR_OK;
    *ret_waited = wait_for(c, events, until_ms);
    if (*ret_waited != WAITED_READY)
      return MR_IDLE;
  }
}

/* ---- requests and answers */

/* STARTUP and OPTIONS go out before segments begin. */
int cql_conn_send(struct cql_conn *c, enum cql_opcode opcode, const struct sql_buf *body,
                  struct mr_error *err)
{
  if (c->asked)
    return src_fail(err, MR_RETRY, "", "no connection is free for a request");
  return cql_conn_send_more(c, opcode, 1, body, err);
}

int cql_conn_send_more(struct cql_conn *c, enum cql_opcode opcode, int16_t stream,
                       const struct sql_buf *body, struct mr_error *err)
{
  struct sql_buf out = {0};
  if (c->fd < 0)
    return src_fail(err, MR_RETRY, "", "no connection is free for a request");
  c->deadline_ms = clock_now_ms() + c->conf->request_timeout_ms;
  bool ok = !body->failed && cql_codec_put(&c->codec, opcode, stream, body->p, body->len, &out);
  int rc = ok ? write_all(c, &out, c->deadline_ms, err) : src_no_memory(err);
  c->asked += rc >= 0;
  sql_buf_done(&out);
  return rc;
}

static void tell_event(struct cql_conn *c, const struct cql_frame *f)
{
  struct cql_event e;
  if (c->event && cql_reply_event(f, &e))
    c->event(c->event_ctx, &e);
}

int cql_conn_receive(struct cql_conn *c, int64_t until_ms, struct cql_frame *ret,
                     struct mr_error *err)
{
  if (c->fd < 0 || !c->asked)
    return src_fail(err, MR_RETRY, "", "no answer is due");
  for (;;) {
    enum waited w;
    int rc = cql_codec_next(&c->codec, ret, err);
    if (rc < 0) {
      char why[sizeof err->msg];
      snprintf(why, sizeof why, "%s", err->msg);
      return rc == MR_RETRY ? lost(c, "answer", why, err) : rc;
    }
    if (rc == MR_OK && ret->stream == CQL_EVENT_STREAM) {
      tell_event(c, ret);
      continue;
    }
    if (rc == MR_OK) {
      c->asked--;
      c->deadline_ms = clock_now_ms() + c->conf->request_timeout_ms;
      return MR_OK;
    }
    bool last = until_ms >= c->deadline_ms;
    rc = read_some(c, last ? c->deadline_ms : until_ms, &w, err);
    if (rc == MR_IDLE && (last || w == WAITED_WOKEN))
      return gave_up(c, w, "answer", c->conf->request_timeout_ms, err);
    if (rc != MR_OK)
      return rc;
  }
}

int cql_conn_refused(struct cql_conn *c, const struct cql_frame *f, int32_t *ret_code,
                     struct mr_error *err)
{
  int rc = cql_reply_error(f, ret_code, err);
  size_t n = strlen(err->msg);
  snprintf(err->msg + n, sizeof err->msg - n, "%s", c->where);
  if (*ret_code == CQL_PROTOCOL_ERROR)
    hang_up(c);
  return rc;
}

int cql_conn_ask(struct cql_conn *c, enum cql_opcode opcode, const struct sql_buf *body,
                 struct cql_frame *ret, struct mr_error *err)
{
  int32_t code;
  int rc = cql_conn_send(c, opcode, body, err);
  if (rc >= 0)
    rc = cql_conn_receive(c, INT64_MAX, ret, err);
  return rc >= 0 && ret->opcode == CQL_ERROR ? cql_conn_refused(c, ret, &code, err) : rc;
}

/* ---- TCP and TLS */

static int dial(struct cql_conn *c, const struct cql_host *h, struct mr_error *err)
{
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
  int64_t deadline = clock_now_ms() + c->conf->connect_timeout_ms;
  int rc = getaddrinfo(h->name, h->port, &hints, &found), on = 1;
  if (rc)
    return lost(c, "connect", gai_strerror(rc), err);
  int status = MR_RETRY;
  for (struct addrinfo *a = found; a && status < 0; a = a->ai_next) {
    enum waited w = WAITED_READY;
    int failed = 0;
    socklen_t size = sizeof failed;
    c->fd = socket(a->ai_family, a->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, a->ai_protocol);
    if (c->fd < 0 || (connect(c->fd, a->ai_addr, a->ai_addrlen) && errno != EINPROGRESS))
      failed = errno;
    else if ((w = wait_for(c, POLLOUT, deadline)) == WAITED_READY)
      getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    if (w != WAITED_READY) {
      gave_up(c, w, "connect", c->conf->connect_timeout_ms, err);
      break;
    }
    status = failed ? lost(c, "connect", strerror(failed), err) : MR_OK;
  }
  freeaddrinfo(found);
  if (status >= 0)
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return status;
}

static enum cql_tls tls_of(const struct cql_conn *c, const struct cql_host *h)
{
  if (c->conf->tls >= 0)
    return (enum cql_tls)c->conf->tls;
  return cql_host_loopback(h) ? CQL_TLS_DISABLE : CQL_TLS_VERIFY_FULL;
}

static int tls_conf(const char *option, const char *file, struct mr_error *err)
{
  char text[200];
  return src_badconf(err, option, "%s: %s", file, tls_reason(text, sizeof text));
}

/* Trust and our own certificate. */
static int tls_context(struct cql_conn *c, enum cql_tls tls, struct mr_error *err)
{
  const struct cql_conf *f = c->conf;
  ERR_clear_error();
  if (!c->ctx && !(c->ctx = SSL_CTX_new(TLS_client_method())))
    return src_no_memory(err);
  SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION);
  SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_verify(c->ctx, tls == CQL_TLS_REQUIRE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  if (f->tls_ca ? !SSL_CTX_load_verify_locations(c->ctx, f->tls_ca, NULL)
                : !SSL_CTX_set_default_verify_paths(c->ctx))
    return tls_conf("tls_ca", f->tls_ca ? f->tls_ca : "the system's authorities", err);
  if (f->tls_cert && SSL_CTX_use_certificate_chain_file(c->ctx, f->tls_cert) != 1)
    return tls_conf("tls_cert", f->tls_cert, err);
  const char *key = f->tls_key ? f->tls_key : f->tls_cert;
  if (key && SSL_CTX_use_PrivateKey_file(c->ctx, key, SSL_FILETYPE_PEM) != 1)
    return tls_conf("tls_key", key, err);
  return MR_OK;
}

static bool tls_name(struct cql_conn *c, enum cql_tls tls, const struct cql_host *h)
{
  uint8_t address[16];
  bool literal =
      inet_pton(AF_INET, h->name, address) == 1 || inet_pton(AF_INET6, h->name, address) == 1;
  bool ok = literal || SSL_set_tlsext_host_name(c->ssl, h->name) == 1;
  if (!ok || tls != CQL_TLS_VERIFY_FULL)
    return ok;
  return literal ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(c->ssl), h->name) == 1
                 : SSL_set1_host(c->ssl, h->name) == 1;
}

static int shake_hands(struct cql_conn *c, struct mr_error *err)
{
  char why[256];
  int64_t deadline = clock_now_ms() + c->conf->connect_timeout_ms;
  for (;;) {
    sigset_t old;
    block_pipe(&old);
    ERR_clear_error();
    int rc = SSL_connect(c->ssl);
    unblock_pipe(&old);
    if (rc == 1)
      return MR_OK;
    int e = SSL_get_error(c->ssl, rc);
    if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE)
      return lost(c, "connect", tls_why(c, why, sizeof why), err);
    enum waited w = wait_for(c, e == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
    if (w != WAITED_READY)
      return gave_up(c, w, "TLS", c->conf->connect_timeout_ms, err);
  }
}

static int start_tls(struct cql_conn *c, const struct cql_host *h, struct mr_error *err)
{
  enum cql_tls tls = tls_of(c, h);
  if (tls == CQL_TLS_DISABLE)
    return MR_OK;
  int rc = tls_context(c, tls, err);
  if (rc >= 0 &&
      (!(c->ssl = SSL_new(c->ctx)) || !SSL_set_fd(c->ssl, c->fd) || !tls_name(c, tls, h)))
    rc = src_no_memory(err);
  return rc < 0 ? rc : shake_hands(c, err);
}

int cql_conn_dial(struct cql_conn *c, const struct cql_host *h, struct mr_error *err)
{
  hang_up(c);
  snprintf(c->where, sizeof c->where, " at %s%s%s:%s", strchr(h->name, ':') ? "[" : "", h->name,
           strchr(h->name, ':') ? "]" : "", h->port);
  int rc = dial(c, h, err);
  if (rc >= 0)
    rc = start_tls(c, h, err);
  if (rc < 0)
    hang_up(c);
  cql_codec_init(&c->codec, c->version);
  return rc;
}
