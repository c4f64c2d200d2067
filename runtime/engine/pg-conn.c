/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/pg-conn.h"
#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_MS 5000
#define SESSION_MS 5000
#define PARAMETERS_MAX 64 /* of a connection */
#define VALUES_MAX 12     /* of a statement */
#define CA_FILE "/etc/ssl/certs/ca-certificates.crt"

static const char session_sql[] =
    "SET statement_timeout = 60000; SET lock_timeout = 8000;"
    " SET idle_in_transaction_session_timeout = 30000; SET client_min_messages = warning;"
    " SET bytea_output = 'hex'; SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'";

/* ---- parameters */

struct parameters {
  const char *key[PARAMETERS_MAX + 1], *value[PARAMETERS_MAX + 1];
  int n;
  PQconninfoOption *parsed;
};

static const char *get(const struct parameters *p, const char *key)
{
  for (int i = 0; i < p->n; i++)
    if (!strcmp(p->key[i], key))
      return p->value[i];
  return NULL;
}

static void set_default(struct parameters *p, const char *key, const char *value)
{
  if (p->n == PARAMETERS_MAX || get(p, key))
    return;
  p->key[p->n] = key;
  p->value[p->n++] = value;
}

static bool is_loopback(const char *host)
{
  return !host || !*host || *host == '/' || *host == '@' || !strcmp(host, "localhost") ||
         g_str_has_prefix(host, "127.") || !strcmp(host, "::1");
}

/* Encrypted and verified unless the server is on this machine or the URL says otherwise, as the
 * postgres sink does. */
static void set_tls(struct parameters *p)
{
  const char *host = get(p, "hostaddr") ? get(p, "hostaddr") : get(p, "host");
  if (!get(p, "service"))
    set_default(p, "sslmode", is_loopback(host) ? "prefer" : "verify-full");
  const char *mode = get(p, "sslmode");
  if (mode && g_str_has_prefix(mode, "verify") && !access(CA_FILE, R_OK))
    set_default(p, "sslrootcert", CA_FILE);
}

/* libpq's own message would repeat pieces of the URL, and the password may be one. */
static bool collect(const struct mr_pg *c, struct parameters *p)
{
  char *message = NULL;
  memset(p, 0, sizeof *p);
  p->parsed = PQconninfoParse(c->url, &message);
  PQfreemem(message);
  for (PQconninfoOption *o = p->parsed; o && o->keyword; o++)
    if (o->val)
      set_default(p, o->keyword, o->val);
  set_tls(p);
  set_default(p, "application_name", c->application);
  set_default(p, "client_encoding", "UTF8");
  set_default(p, "gssencmode", "disable");
  set_default(p, "keepalives_idle", "10");
  set_default(p, "keepalives_interval", "5");
  set_default(p, "keepalives_count", "3");
  return p->parsed != NULL;
}

int mr_pg_init(struct mr_pg *c, const char *url, const char *application, struct mr_error *err)
{
  struct parameters p;
  *c = (struct mr_pg){.url = g_strdup(url), .application = g_strdup(application)};
  if (!collect(c, &p))
    return mr_fail(err, MR_BADCONF, "settings.state: not a URL that libpq understands");
  const char *host = get(&p, "host") ? get(&p, "host") : get(&p, "hostaddr");
  const char *port = get(&p, "port"), *base = get(&p, "dbname");
  c->where = g_strdup_printf(" at %s:%s%s%s", host && *host ? host : "local socket",
                             port ? port : "5432", base ? ", database " : "", base ? base : "");
  PQconninfoFree(p.parsed);
  return MR_OK;
}

void mr_pg_finish(struct mr_pg *c)
{
  PQfinish(c->pg);
  g_free(c->url);
  g_free(c->application);
  g_free(c->where);
}

void mr_pg_close(struct mr_pg *c)
{
  if (c->pg)
    c->old_pid = c->pid;
  PQfinish(c->pg);
  c->pg = NULL;
}

/* ---- failures */

static void one_line(char *text)
{
  g_strdelimit(text, "\n\r\t", ' ');
  g_strchomp(text);
}

static int lost(struct mr_pg *c, const char *why, struct mr_error *err)
{
  g_autofree char *text = g_strdup(why ? why : c->pg ? PQerrorMessage(c->pg) : "not connected");
  one_line(text);
  err->unreachable = true;
  mr_pg_close(c);
  return mr_fail_code(err, MR_RETRY, "08006", "the state%s: %s", c->where,
                      *text ? text : "connection lost");
}

static int timed_out(struct mr_pg *c, int64_t ms, struct mr_error *err)
{
  g_autofree char *why = g_strdup_printf("no answer within %ld ms", (long)ms);
  return lost(c, why, err);
}

/* classes: two characters each, one blank between. */
static bool in_classes(const char *state, const char *classes)
{
  for (const char *c = classes; *c; c += c[2] ? 3 : 2)
    if (!strncmp(state, c, 2))
      return true;
  return false;
}

static int refused(struct mr_pg *c, const PGresult *res, struct mr_error *err)
{
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
  const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  g_autofree char *text = g_strdup(primary ? primary : PQresultErrorMessage(res)),
                  *code = g_strdup(state ? state : "");
  int status = MR_FATAL;
  one_line(text);
  if (!state || in_classes(state, "08 40 53 57 58") || !strcmp(state, "55P03") ||
      !strcmp(state, "25006") || !strcmp(state, "25P03"))
    status = MR_RETRY;
  else if (in_classes(state, "28 3D 3F 42"))
    status = MR_BADCONF;
  if (status == MR_RETRY)
    mr_pg_close(c);
  return mr_fail_code(err, status, code, "the state%s: %s (SQLSTATE %s)", c->where, text,
                      *code ? code : "not given");
}

/* ---- waiting */

static int64_t now_ms(void)
{
  return g_get_monotonic_time() / 1000;
}

/* false: the deadline has passed. */
static bool ready(struct mr_pg *c, short events, int64_t deadline)
{
  for (;;) {
    struct pollfd fd = {.fd = PQsocket(c->pg), .events = events};
    int64_t left = MAX(deadline - now_ms(), 0);
    int n = poll(&fd, 1, (int)MIN(left, INT32_MAX));
    if (n < 0 && errno == EINTR)
      continue;
    return n != 0; /* of a broken socket libpq says what is wrong */
  }
}

/* ---- connecting */

static int poll_connection(struct mr_pg *c, struct mr_error *err)
{
  int64_t deadline = now_ms() + CONNECT_MS;
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED)
      return lost(c, NULL, err);
    if (!ready(c, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
      return timed_out(c, CONNECT_MS, err);
    state = PQconnectPoll(c->pg);
  }
  return PQsetnonblocking(c->pg, 1) ? lost(c, NULL, err) : MR_OK;
}

static void ignore_notice(void *ctx, const PGresult *res)
{
}

static int open_connection(struct mr_pg *c, struct mr_error *err)
{
  struct parameters p;
  collect(c, &p);
  c->pg = PQconnectStartParams(p.key, p.value, 0);
  PQconninfoFree(p.parsed);
  if (!c->pg || PQstatus(c->pg) == CONNECTION_BAD)
    return lost(c, NULL, err);
  PQsetNoticeReceiver(c->pg, ignore_notice, NULL);
  return poll_connection(c, err);
}

/* What the cut session still has in flight must not happen later: it is ended, if it still is ours.
 */
static int end_old_session(struct mr_pg *c, struct mr_error *err)
{
  int64_t pid = c->old_pid;
  if (!pid)
    return MR_OK;
  int status =
      mr_pg_run(c, SESSION_MS, NULL, err,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1::int"
                " AND usename = current_user AND datname = current_database()"
                " AND application_name = current_setting('application_name')",
                "i", pid);
  if (status >= 0)
    c->old_pid = 0;
  return status;
}

int mr_pg_connect(struct mr_pg *c, struct mr_error *err)
{
  if (c->pg && PQstatus(c->pg) == CONNECTION_OK)
    return MR_OK;
  int old = c->pg ? c->pid : c->old_pid;
  mr_pg_close(c);
  int status = open_connection(c, err);
  c->old_pid = old;
  if (status < 0)
    return status;
  c->pid = PQbackendPID(c->pg);
  status = mr_pg_run(c, SESSION_MS, NULL, err, session_sql, "");
  if (status >= 0)
    status = end_old_session(c, err);
  if (status < 0) {
    mr_pg_close(c);
    c->old_pid = old;
  }
  return status;
}

/* ---- statements */

struct values {
  const char *value[VALUES_MAX];
  int length[VALUES_MAX], format[VALUES_MAX], n;
  char number[VALUES_MAX][24];
};

static void values_set(struct values *v, const char *kinds, va_list ap)
{
  for (v->n = 0; kinds[v->n]; v->n++) {
    int i = v->n;
    v->format[i] = kinds[i] == 'p' || kinds[i] == 'b';
    if (kinds[i] == 't') {
      v->value[i] = va_arg(ap, const char *);
    } else if (kinds[i] == 'i') {
      g_snprintf(v->number[i], sizeof v->number[i], "%" G_GINT64_FORMAT, va_arg(ap, int64_t));
      v->value[i] = v->number[i];
    } else if (kinds[i] == 'p') {
      const struct mr_position *p = va_arg(ap, const struct mr_position *);
      v->value[i] = (const char *)p->token;
      v->length[i] = p->len;
    } else {
      v->value[i] = va_arg(ap, const char *);
      v->length[i] = (int)va_arg(ap, size_t);
    }
  }
}

static int send_all(struct mr_pg *c, int64_t deadline, int64_t timeout, struct mr_error *err)
{
  int left;
  while ((left = PQflush(c->pg)) > 0) {
    if (!ready(c, POLLOUT | POLLIN, deadline))
      return timed_out(c, timeout, err);
    if (!PQconsumeInput(c->pg))
      break;
  }
  return left < 0 ? lost(c, NULL, err) : MR_OK;
}

/* Takes every result; the last one is given, the first error counts. */
static int take_results(struct mr_pg *c, int64_t deadline, int64_t timeout, PGresult **ret,
                        struct mr_error *err)
{
  PGresult *last = NULL, *error = NULL;
  for (;;) {
    while (PQisBusy(c->pg)) {
      bool in_time = ready(c, POLLIN, deadline);
      if (in_time && PQconsumeInput(c->pg))
        continue;
      PQclear(last);
      PQclear(error);
      return in_time ? lost(c, NULL, err) : timed_out(c, timeout, err);
    }
    PGresult *res = PQgetResult(c->pg);
    if (!res)
      break;
    ExecStatusType t = PQresultStatus(res);
    PGresult **keep = t == PGRES_COMMAND_OK || t == PGRES_TUPLES_OK ? &last : &error;
    PQclear(keep == &error && error ? res : *keep);
    if (keep == &last || !error)
      *keep = res;
  }
  int status = error ? refused(c, error, err) : MR_OK;
  PQclear(error);
  if (status >= 0 && PQstatus(c->pg) == CONNECTION_BAD)
    status = lost(c, NULL, err);
  if (status >= 0 && ret)
    *ret = last;
  else
    PQclear(last);
  return status;
}

int mr_pg_run(struct mr_pg *c, int64_t timeout_ms, PGresult **ret, struct mr_error *err,
              const char *sql, const char *kinds, ...)
{
  struct values v = {.n = 0};
  int64_t deadline = now_ms() + timeout_ms;
  va_list ap;
  va_start(ap, kinds);
  values_set(&v, kinds, ap);
  va_end(ap);
  if (!c->pg)
    return lost(c, NULL, err);
  int sent = v.n ? PQsendQueryParams(c->pg, sql, v.n, NULL, v.value, v.length, v.format, 0)
                 : PQsendQuery(c->pg, sql);
  if (!sent)
    return lost(c, NULL, err);
  int status = send_all(c, deadline, timeout_ms, err);
  return status < 0 ? status : take_results(c, deadline, timeout_ms, ret, err);
}

int64_t mr_pg_int(const PGresult *res, int row, int column)
{
  return g_ascii_strtoll(PQgetvalue(res, row, column), NULL, 10);
}

void *mr_pg_bytes(const PGresult *res, int row, int column, size_t *ret_len)
{
  const unsigned char *text = (const unsigned char *)PQgetvalue(res, row, column);
  unsigned char *p = PQunescapeBytea(text, ret_len);
  void *copy = p ? malloc(*ret_len + 1) : NULL;
  if (copy)
    memcpy(copy, p, *ret_len);
  PQfreemem(p);
  return copy;
}

bool mr_pg_position(const PGresult *res, int row, int column, struct mr_position *ret)
{
  size_t n = 0;
  MR_AUTOFREE void *p = mr_pg_bytes(res, row, column, &n);
  memset(ret, 0, sizeof *ret);
  if (!p || n > sizeof ret->token)
    return false;
  memcpy(ret->token, p, n);
  ret->len = (uint16_t)n;
  return true;
}
