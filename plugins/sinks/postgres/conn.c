/* SPDX-License-Identifier: Apache-2.0 */
/* One connection through libpq's non-blocking calls: every wait has a deadline and looks at the
 * runtime's wake_fd. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include "common/hex.h"
#include "common/sql-text.h"
#include "postgres.h"

#define GRACE_MS 1000 /* how long a call that should end now may go on to finish cleanly */

int pg_conn_describe(struct pg_sink *s, struct mr_error *err)
{
  free(s->where);
  s->where = NULL;
  return pg_login_where(&s->conf->login, &s->where, err);
}

/* ---------------------------------------------------------------- waiting */

enum waited pg_wait(struct pg_sink *s, short events, int64_t deadline, enum pg_patience patience)
{
  return wait_fd(PQsocket(s->pg), events, s->host ? s->host->wake_fd : -1, deadline,
                 patience == PG_GO_ON ? GRACE_MS : 0, NULL);
}

static int gave_up(struct pg_sink *s, enum waited waited, const char *what, int64_t timeout,
                   struct mr_error *err)
{
  char why[80];
  int status = pg_lost(s, what, wait_why(waited, timeout, why, sizeof why), err);
  err->unreachable = waited == WAITED_OVER;
  return status;
}

/* ---------------------------------------------------------------- connecting */

static void notice(void *ctx, const PGresult *res)
{
  struct pg_sink *s = ctx;
  const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  src_log(s->host, MR_DEBUG, "server: %s", text ? text : "");
}

static int poll_connection(struct pg_sink *s, struct mr_error *err)
{
  int64_t deadline = clock_now_ms() + s->conf->connect_timeout_ms;
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED)
      return pg_lost(s, "connect", NULL, err);
    enum waited w =
        pg_wait(s, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, PG_GIVE_UP);
    if (w != WAITED_READY)
      return gave_up(s, w, "connect", s->conf->connect_timeout_ms, err);
    state = PQconnectPoll(s->pg);
  }
  return MR_OK;
}

static int open_connection(struct pg_sink *s, struct mr_error *err)
{
  struct pg_params p;
  char name[PG_NAME_MAX + 1], timeout[24];
  int status = pg_params_init(&p, &s->conf->login, err);
  if (status < 0)
    return status;
  snprintf(name, sizeof name, "millrace/%s/%s", s->pipeline, s->stage);
  snprintf(timeout, sizeof timeout, "%lld", (long long)s->conf->commit_timeout_ms);
  pg_params_default(&p, "tcp_user_timeout", timeout);
  pg_params_default(&p, "application_name", name);
  s->pg = PQconnectStartParams(p.key, p.value, 0);
  pg_params_done(&p);
  if (!s->pg)
    return pg_no_memory(err);
  if (PQstatus(s->pg) == CONNECTION_BAD)
    return pg_lost(s, "connect", NULL, err);
  PQsetNoticeReceiver(s->pg, notice, s);
  return poll_connection(s, err);
}

/* Is this PostgreSQL itself? Others say so in version(), or fail at it. */
static void learn_server(struct pg_sink *s)
{
  struct mr_error ignored = {.size = sizeof ignored};
  PGresult *res = NULL;
  s->genuine = false;
  if (pg_query(s, "SELECT version()", "SELECT version()", &res, &ignored) < 0)
    return;
  const char *text = PQntuples(res) == 1 ? PQgetvalue(res, 0, 0) : "";
  s->genuine = !strncmp(text, "PostgreSQL ", 11) && !strstr(text, "QuestDB") &&
               !strstr(text, "Redshift") && !strstr(text, "Cockroach") && !strstr(text, "H2");
  PQclear(res);
  s->multi = s->genuine;
  if (s->genuine)
    strcpy(s->commit_tag, "COMMIT");
}

/* A session that was cut off may still hold lane rows: it is ended, if it still is that session. */
static void end_old_session(struct pg_sink *s)
{
  struct mr_error ignored = {.size = sizeof ignored};
  PGresult *res = NULL;
  struct sql_buf sql = {0};
  int pid = s->old_pid;
  s->old_pid = 0;
  if (!pid || !s->genuine)
    return;
  sql_buf_fmt(&sql,
              "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %d AND"
              " usename = current_user AND datname = current_database() AND"
              " application_name = current_setting('application_name')",
              pid);
  if (pg_query(s, sql_buf_text(&sql), "SELECT pg_terminate_backend", &res, &ignored) >= 0)
    PQclear(res);
  sql_buf_done(&sql);
}

/* Statements run once a unit: to compile them takes longer than to run them. Servers before 11
 * have no such setting. */
static const char session_sql[] =
    "SET statement_timeout = 0; SET client_min_messages = warning; SET timezone = 'UTC';"
    " SET bytea_output = 'hex'; SET datestyle = 'ISO';"
    " SELECT set_config(name, 'off', false) FROM pg_settings WHERE name = 'jit'";

static int prepare_session(struct pg_sink *s, struct mr_error *err)
{
  learn_server(s);
  if (!s->pg)
    return src_fail(err, MR_RETRY, "08006", "connect: connection lost%s", s->where);
  if (!s->genuine)
    return MR_OK;
  int status =
      pg_run(s, session_sql, "SET", s->conf->statement_timeout_ms, PG_GIVE_UP, NULL, NULL, err);
  if (status >= 0)
    end_old_session(s);
  return s->pg ? status : MR_RETRY;
}

int pg_connect(struct pg_sink *s, struct mr_error *err)
{
  if (s->pg && PQstatus(s->pg) == CONNECTION_OK)
    return MR_OK;
  pg_close(s);
  int status = open_connection(s, err);
  if (status < 0)
    return status;
  if (PQsetnonblocking(s->pg, 1))
    return pg_lost(s, "connect", NULL, err);
  s->pid = PQbackendPID(s->pg); /* libpq forgets it when the connection breaks */
  status = prepare_session(s, err);
  if (status < 0)
    err->unreachable = true;
  return status;
}

void pg_close(struct pg_sink *s)
{
  if (s->pg) {
    s->old_pid = s->in_tx ? s->pid : 0;
    PQfinish(s->pg);
  }
  s->pg = NULL;
  s->in_tx = s->copying = s->staged = s->dirty = s->savepoint = false;
  s->connection_batches = 0;
}

/* ---------------------------------------------------------------- statements */

/* Sends everything that libpq holds back. */
static int send_all(struct pg_sink *s, const char *what, int64_t timeout, enum pg_patience patience,
                    struct mr_error *err)
{
  int64_t deadline = clock_now_ms() + timeout;
  int left;
  while ((left = PQflush(s->pg)) > 0) {
    enum waited w = pg_wait(s, POLLOUT | POLLIN, deadline, patience);
    if (w != WAITED_READY)
      return gave_up(s, w, what, timeout, err);
    if (!PQconsumeInput(s->pg))
      break;
  }
  return left < 0 ? pg_lost(s, what, NULL, err) : MR_OK;
}

/* The next result, or NULL at the end. */
static int next_result(struct pg_sink *s, const char *what, int64_t timeout,
                       enum pg_patience patience, PGresult **ret, struct mr_error *err)
{
  int64_t deadline = clock_now_ms() + timeout;
  while (PQisBusy(s->pg)) {
    enum waited w = pg_wait(s, POLLIN, deadline, patience);
    if (w != WAITED_READY)
      return gave_up(s, w, what, timeout, err);
    if (!PQconsumeInput(s->pg))
      return pg_lost(s, what, NULL, err);
  }
  *ret = PQgetResult(s->pg);
  return MR_OK;
}

static bool is_copy(const PGresult *res)
{
  return PQresultStatus(res) == PGRES_COPY_IN || PQresultStatus(res) == PGRES_COPY_OUT;
}

static bool is_error(const PGresult *res)
{
  ExecStatusType t = PQresultStatus(res);
  return t == PGRES_FATAL_ERROR || t == PGRES_BAD_RESPONSE || t == PGRES_NONFATAL_ERROR;
}

int pg_take_results(struct pg_sink *s, const char *what, int64_t timeout, enum pg_patience patience,
                    pg_result_fn *each, void *ctx, struct mr_error *err)
{
  int failed = MR_OK, status = send_all(s, what, timeout, patience, err);
  if (status < 0)
    return status;
  for (;;) {
    PGresult *res = NULL;
    status = next_result(s, what, timeout, patience, &res, err);
    if (status < 0)
      return status;
    if (!res)
      break;
    bool copy = is_copy(res);
    if (is_error(res) && failed == MR_OK)
      failed = pg_refused(s, res, what, err);
    else if (failed == MR_OK && each)
      each(ctx, res);
    PQclear(res);
    if (copy)
      break;
  }
  if (PQstatus(s->pg) == CONNECTION_BAD)
    return pg_lost(s, what, failed < 0 ? err->msg : NULL, err);
  return failed;
}

int pg_run(struct pg_sink *s, const char *sql, const char *what, int64_t timeout,
           enum pg_patience patience, pg_result_fn *each, void *ctx, struct mr_error *err)
{
  if (!s->pg)
    return pg_lost(s, what, "not connected", err);
  if (!PQsendQuery(s->pg, sql))
    return pg_lost(s, what, NULL, err);
  return pg_take_results(s, what, timeout, patience, each, ctx, err);
}

int pg_run_values(struct pg_sink *s, const char *sql, int n, const char *const *value,
                  const char *what, struct mr_error *err)
{
  if (!PQsendQueryParams(s->pg, sql, n, NULL, value, NULL, NULL, 0))
    return pg_lost(s, what, NULL, err);
  return pg_take_results(s, what, s->conf->statement_timeout_ms, PG_GO_ON, NULL, NULL, err);
}

/* ---------------------------------------------------------------- pipeline mode
 *
 * Source: PostgreSQL manual, libpq, "Pipeline Mode". */

int pg_pipeline_begin(struct pg_sink *s, const char *what, struct mr_error *err)
{
  return PQenterPipelineMode(s->pg) ? MR_OK : pg_lost(s, what, NULL, err);
}

/* Waits until the socket has taken it, so that no more than a statement is kept here. */
static int queued(struct pg_sink *s, int sent, const char *what, struct mr_error *err)
{
  if (!sent)
    return pg_lost(s, what, NULL, err);
  return send_all(s, what, s->conf->statement_timeout_ms, PG_GO_ON, err);
}

int pg_pipeline_prepare(struct pg_sink *s, const char *sql, int n, const char *what,
                        struct mr_error *err)
{
  return queued(s, PQsendPrepare(s->pg, "", sql, n, NULL), what, err);
}

int pg_pipeline_values(struct pg_sink *s, const char *sql, int n, const char *const *value,
                       const char *what, struct mr_error *err)
{
  int sent = sql ? PQsendQueryParams(s->pg, sql, n, NULL, value, NULL, NULL, 0)
                 : PQsendQueryPrepared(s->pg, "", n, value, NULL, NULL, 0);
  return queued(s, sent, what, err);
}

/* One result, or the NULL behind a statement's results. */
static int take_one(struct pg_sink *s, const char *what, bool *ret_last, int *failed,
                    struct mr_error *err)
{
  PGresult *res = NULL;
  int status = next_result(s, what, s->conf->statement_timeout_ms, PG_GO_ON, &res, err);
  if (status < 0)
    return status;
  *ret_last = res && PQresultStatus(res) == PGRES_PIPELINE_SYNC;
  if (res && is_error(res) && *failed == MR_OK)
    *failed = pg_refused(s, res, what, err);
  PQclear(res);
  if (PQstatus(s->pg) == CONNECTION_BAD)
    return pg_lost(s, what, *failed < 0 ? err->msg : NULL, err);
  return MR_OK;
}

int pg_pipeline_end(struct pg_sink *s, const char *what, struct mr_error *err)
{
  bool last = false;
  int failed = MR_OK, status = queued(s, PQpipelineSync(s->pg), what, err);
  while (status >= 0 && !last)
    status = take_one(s, what, &last, &failed, err);
  if (status >= 0 && !PQexitPipelineMode(s->pg))
    status = pg_lost(s, what, NULL, err);
  return status < 0 ? status : failed;
}

static void keep_result(void *ctx, PGresult *res)
{
  PGresult **kept = ctx;
  PQclear(*kept);
  *kept = PQcopyResult(res, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
}

int pg_query(struct pg_sink *s, const char *sql, const char *what, PGresult **ret,
             struct mr_error *err)
{
  PGresult *kept = NULL;
  int status =
      pg_run(s, sql, what, s->conf->statement_timeout_ms, PG_GIVE_UP, keep_result, &kept, err);
  if (status >= 0 && !kept)
    status = src_fail(err, MR_RETRY, "08P01", "%s: the server gave no result%s", what, s->where);
  if (status < 0)
    PQclear(kept);
  else
    *ret = kept;
  return status;
}

void pg_literal(struct pg_sink *s, struct sql_buf *out, const char *text)
{
  char *quoted = PQescapeLiteral(s->pg, text, strlen(text));
  if (quoted)
    sql_buf_str(out, quoted);
  else
    out->failed = true;
  PQfreemem(quoted);
}

void pg_hex_bytes(const struct pg_sink *s, struct sql_buf *out, const void *p, size_t n)
{
  sql_buf_str(out, s->text_positions ? "'" : "decode('");
  sql_text_hex(out, p, n);
  sql_buf_str(out, s->text_positions ? "'" : "', 'hex')");
}

void pg_hex_literal(const struct pg_sink *s, struct sql_buf *out, const struct mr_position *p)
{
  pg_hex_bytes(s, out, p->token, p->len);
}

bool pg_position(const struct pg_sink *s, const PGresult *res, int row, int column,
                 struct mr_position *ret)
{
  const char *text = PQgetvalue(res, row, column);
  size_t n = 0;
  memset(ret, 0, sizeof *ret);
  if (PQgetisnull(res, row, column))
    return false;
  if (s->text_positions) {
    n = hex_read(text, ret->token, sizeof ret->token);
  } else {
    unsigned char *p = PQunescapeBytea((const unsigned char *)text, &n);
    if (p && n <= sizeof ret->token)
      memcpy(ret->token, p, n);
    else
      n = SIZE_MAX;
    PQfreemem(p);
  }
  ret->len = (uint16_t)n;
  return n <= sizeof ret->token;
}
