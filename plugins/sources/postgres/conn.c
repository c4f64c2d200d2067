/* SPDX-License-Identifier: Apache-2.0 */
/* One connection through libpq's non-blocking calls: every wait has a deadline and looks at the
 * runtime's wake_fd. */
#include <errno.h>
#include <poll.h>
#include "common/src-error.h"
#include "common/wait.h"
#include "postgres.h"

int pg_describe_server(struct pg_source *s, struct mr_error *err)
{
  free(s->where);
  s->where = NULL;
  return pg_login_where(&s->conf->login, &s->where, err);
}

/* ---- failures */

/* One line; what stands between double quotes may be a value of a row: hidden when asked. */
static void clean(char *out, size_t size, const char *text, bool hide)
{
  size_t n = 0;
  bool quoted = false;
  for (; *text && n + 6 < size; text++) {
    char c = *text == '\n' || *text == '\r' || *text == '\t' ? ' ' : *text;
    if (hide && c == '"') {
      if (!quoted)
        n += (size_t)snprintf(out + n, size - n, "\"…\"");
      quoted = !quoted;
    } else if (!quoted && !(c == ' ' && n && out[n - 1] == ' ')) {
      out[n++] = c;
    }
  }
  while (n && out[n - 1] == ' ')
    n--;
  out[n] = 0;
}

static int lost(struct pg_source *s, const char *what, const char *why, bool unreachable,
                struct mr_error *err)
{
  char text[300];
  clean(text, sizeof text, why ? why : s->pg ? PQerrorMessage(s->pg) : "not connected", false);
  src_fail(err, MR_RETRY, "08006", "%s: %s%s", what, *text ? text : "connection lost", s->where);
  err->unreachable = unreachable;
  pg_disconnect(s);
  return MR_RETRY;
}

static bool is_class(const char *state, const char *class)
{
  return !strncmp(state, class, 2);
}

/* The server answered with an error. */
static int refused(struct pg_source *s, const PGresult *res, struct mr_error *err)
{
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE),
             *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  char text[300];
  if (!state)
    state = "";
  bool again = is_class(state, "08") || is_class(state, "40") || is_class(state, "53") ||
               is_class(state, "57") || is_class(state, "25") || !*state;
  bool wrong = is_class(state, "42") || is_class(state, "3F") || is_class(state, "28") ||
               is_class(state, "3D");
  clean(text, sizeof text, primary ? primary : PQresultErrorMessage(res), !again && !wrong);
  src_fail(err,
           again   ? MR_RETRY
           : wrong ? MR_BADCONF
                   : MR_FATAL,
           state, "query: %s (SQLSTATE %s)%s", text, state, s->where);
  if (again)
    pg_disconnect(s);
  return again ? MR_RETRY : wrong ? MR_BADCONF : MR_FATAL;
}

/* ---- waiting */

static enum waited wait_for(const struct pg_source *s, short events, int64_t until_ms)
{
  return wait_fd(PQsocket(s->pg), events, s->host ? s->host->wake_fd : -1, until_ms, 0, NULL);
}

static int gave_up(struct pg_source *s, enum waited w, const char *what, int64_t timeout_ms,
                   struct mr_error *err)
{
  char why[80];
  return lost(s, what, wait_why(w, timeout_ms, why, sizeof why), w == WAITED_OVER, err);
}

/* ---- connecting */

static void ignore_notice(void *ctx, const PGresult *res)
{
}

static int poll_connection(struct pg_source *s, struct mr_error *err)
{
  int64_t deadline = clock_now_ms() + s->conf->connect_timeout_ms;
  for (PostgresPollingStatusType state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;
       state = PQconnectPoll(s->pg)) {
    if (state == PGRES_POLLING_FAILED)
      return lost(s, "connect", NULL, true, err);
    enum waited w = wait_for(s, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
    if (w != WAITED_READY)
      return gave_up(s, w, "connect", s->conf->connect_timeout_ms, err);
  }
  return MR_OK;
}

static int open_connection(struct pg_source *s, struct mr_error *err)
{
  struct pg_params p;
  int rc = pg_params_init(&p, &s->conf->login, err);
  if (rc < 0)
    return rc;
  pg_params_default(&p, "application_name", s->application);
  s->pg = PQconnectStartParams(p.key, p.value, 0);
  pg_params_done(&p);
  if (!s->pg)
    return src_no_memory(err);
  if (PQstatus(s->pg) == CONNECTION_BAD)
    return lost(s, "connect", NULL, true, err);
  PQsetNoticeReceiver(s->pg, ignore_notice, s);
  rc = poll_connection(s, err);
  if (rc >= 0 && PQsetnonblocking(s->pg, 1))
    rc = lost(s, "connect", NULL, true, err);
  return rc;
}

/* The texts of values as qry_value reads them, and table scans that begin at the beginning. */
#define SESSION                                                                           \
  "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET bytea_output = 'hex'; SET "           \
  "synchronize_seqscans = off;"                                                           \
  " SET client_min_messages = warning; SET idle_in_transaction_session_timeout = 0; SET " \
  "statement_timeout = 0"

int pg_connect(struct pg_source *s, struct mr_error *err)
{
  if (s->pg && PQstatus(s->pg) == CONNECTION_OK)
    return MR_OK;
  pg_disconnect(s);
  int rc = open_connection(s, err);
  if (rc >= 0)
    rc = pg_query(s, SESSION, NULL, -1, NULL, err);
  return rc;
}

void pg_disconnect(struct pg_source *s)
{
  PQclear(s->page);
  s->page = NULL;
  PQfinish(s->pg);
  s->pg = NULL;
  s->fetching = false;
}

/* ---- statements */

static int flush(struct pg_source *s, int64_t deadline, struct mr_error *err)
{
  int left;
  while ((left = PQflush(s->pg)) > 0) {
    enum waited w = wait_for(s, POLLOUT | POLLIN, deadline);
    if (w != WAITED_READY)
      return gave_up(s, w, "query", s->conf->statement_timeout_ms, err);
    if (!PQconsumeInput(s->pg))
      break;
  }
  return left ? lost(s, "query", NULL, true, err) : MR_OK;
}

/* Everything up to the end of the answer; the last result is kept. */
int pg_receive(struct pg_source *s, int64_t until_ms, int64_t deadline_ms, PGresult **ret,
               struct mr_error *err)
{
  PGresult *res = NULL, *next;
  for (;;) {
    while (PQisBusy(s->pg)) {
      enum waited w = wait_for(s, POLLIN, until_ms < deadline_ms ? until_ms : deadline_ms);
      if (w == WAITED_OVER && clock_now_ms() < deadline_ms && !res)
        return MR_IDLE;
      if (w != WAITED_READY) {
        PQclear(res);
        return gave_up(s, w, "query", s->conf->statement_timeout_ms, err);
      }
      if (!PQconsumeInput(s->pg)) {
        PQclear(res);
        return lost(s, "query", NULL, true, err);
      }
    }
    if (!(next = PQgetResult(s->pg)))
      break;
    PQclear(res);
    res = next;
    until_ms = deadline_ms; /* the rest is on its way */
    if (PQresultStatus(res) == PGRES_FATAL_ERROR && PQstatus(s->pg) == CONNECTION_BAD)
      break;
  }
  ExecStatusType st = PQresultStatus(res);
  int rc = st == PGRES_COMMAND_OK || st == PGRES_TUPLES_OK ? MR_OK
           : PQstatus(s->pg) == CONNECTION_BAD             ? lost(s, "query", NULL, true, err)
                                                           : refused(s, res, err);
  if (rc == MR_OK && ret)
    *ret = res;
  else
    PQclear(res);
  return rc;
}

int pg_send(struct pg_source *s, const char *sql, struct mr_error *err)
{
  if (!s->pg || !PQsendQuery(s->pg, sql))
    return lost(s, "query", NULL, true, err);
  return flush(s, clock_now_ms() + s->conf->statement_timeout_ms, err);
}

/* n -1: several statements in one text, without parameters. */
int pg_query(struct pg_source *s, const char *sql, const char *const *param, int n, PGresult **ret,
             struct mr_error *err)
{
  int64_t deadline = clock_now_ms() + s->conf->statement_timeout_ms;
  if (!s->pg || !(n < 0 ? PQsendQuery(s->pg, sql)
                        : PQsendQueryParams(s->pg, sql, n, NULL, param, NULL, NULL, 0)))
    return lost(s, "query", NULL, true, err);
  int rc = flush(s, deadline, err);
  return rc < 0 ? rc : pg_receive(s, deadline, deadline, ret, err);
}
