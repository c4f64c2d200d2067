/* SPDX-License-Identifier: Apache-2.0 */
/* The MySQL protocol's side: metadata and DDL, by text queries through libmariadb's non-blocking
 * calls, so that every wait has a deadline and looks at the runtime's wake_fd. */
#include <errmsg.h>
#include <errno.h>
#include <poll.h>
#include "common/wait.h"
#include "starrocks.h"

void sr_sql_close(struct sr_sink *s)
{
  if (s->sql)
    mysql_close(s->sql);
  s->sql = NULL;
}

static int lost(struct sr_sink *s, const char *what, const char *why, bool unreachable,
                struct mr_error *err)
{
  src_fail(err, MR_RETRY, "08006", "%s: %s%s", what, why, s->where);
  err->unreachable = unreachable;
  sr_sql_close(s);
  return MR_RETRY;
}

/* Waits for what the library wants; it finds out by its next call which of it is there. */
#define READY_BITS (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE)
static enum waited wait_for(struct sr_sink *s, int wants, int64_t deadline)
{
  short events =
      (short)((wants & MYSQL_WAIT_READ ? POLLIN : 0) | (wants & MYSQL_WAIT_WRITE ? POLLOUT : 0));
  return wait_fd(mysql_get_socket(s->sql), events, s->host ? s->host->wake_fd : -1, deadline, 0,
                 NULL);
}

static int gave_up(struct sr_sink *s, enum waited w, const char *what, struct mr_error *err)
{
  bool over = w == WAITED_OVER;
  return lost(s, what, over ? "no answer in time" : "stopped waiting because the run is to end",
              over, err);
}

/* What the server said; the connection may be gone. */
static int refused(struct sr_sink *s, const char *what, struct mr_error *err)
{
  unsigned code = mysql_errno(s->sql);
  const char *text = mysql_error(s->sql);
  if (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR) {
    char why[300];
    snprintf(why, sizeof why, "%s", text);
    return lost(s, what, why, true, err);
  }
  bool log_in = code == 1045 || code == 1044 || code == 1049;
  bool no_table = code == 1146 || code == 5501 || code == 5502;
  int status = log_in ? MR_RETRY : MR_BADCONF;
  char number[16];
  snprintf(number, sizeof number, "%u", code);
  src_fail(err, status, no_table ? "42S02" : number, "%s: %.300s%s", what, text, s->where);
  err->unreachable = log_in;
  if (log_in)
    sr_sql_close(s);
  return status;
}

/* ---------------------------------------------------------------- connecting */

static void set_options(struct sr_sink *s)
{
  unsigned seconds = (unsigned)(s->conf->connect_timeout_ms / 1000 + 1);
  mysql_options(s->sql, MYSQL_OPT_NONBLOCK, 0);
  mysql_options(s->sql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
  mysql_options(s->sql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (s->conf->tls_ca) {
    my_bool on = 1;
    mysql_options(s->sql, MYSQL_OPT_SSL_ENFORCE, &on);
    mysql_options(s->sql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
    mysql_options(s->sql, MYSQL_OPT_SSL_CA, s->conf->tls_ca);
  }
}

static int run_connect(struct sr_sink *s, const char *host, struct mr_error *err)
{
  MYSQL *made = NULL;
  int64_t deadline = clock_now_ms() + s->conf->connect_timeout_ms;
  int wants = mysql_real_connect_start(&made, s->sql, host, s->conf->user ? s->conf->user : "root",
                                       s->conf->password ? s->conf->password : "", NULL,
                                       (unsigned)s->conf->sql_port, NULL, 0);
  while (wants) {
    enum waited w = wait_for(s, wants, deadline);
    if (w != WAITED_READY)
      return gave_up(s, w, "connect", err);
    wants = mysql_real_connect_cont(&made, s->sql, READY_BITS);
  }
  return made ? MR_OK : refused(s, "connect", err);
}

int sr_sql_connect(struct sr_sink *s, struct mr_error *err)
{
  const char *const *url = s->conf->url.item;
  if (s->sql)
    return MR_OK;
  char *host = s->conf->sql_host ? strdup(s->conf->sql_host) : sr_url_host(url[s->fe]);
  s->sql = host ? mysql_init(NULL) : NULL;
  if (!s->sql) {
    free(host);
    return src_no_memory(err);
  }
  set_options(s);
  int status = run_connect(s, host, err);
  free(host);
  if (status < 0)
    sr_sql_close(s);
  return status;
}

/* ---------------------------------------------------------------- statements */

static int run_query(struct sr_sink *s, const char *sql, const char *what, int64_t deadline,
                     struct mr_error *err)
{
  int wrong = 0, wants = mysql_real_query_start(&wrong, s->sql, sql, strlen(sql));
  while (wants) {
    enum waited w = wait_for(s, wants, deadline);
    if (w != WAITED_READY)
      return gave_up(s, w, what, err);
    wants = mysql_real_query_cont(&wrong, s->sql, READY_BITS);
  }
  return wrong ? refused(s, what, err) : MR_OK;
}

static int take_result(struct sr_sink *s, const char *what, int64_t deadline, MYSQL_RES **ret,
                       struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  int wants = mysql_store_result_start(&res, s->sql);
  while (wants) {
    enum waited w = wait_for(s, wants, deadline);
    if (w != WAITED_READY)
      return gave_up(s, w, what, err);
    wants = mysql_store_result_cont(&res, s->sql, READY_BITS);
  }
  if (!res && mysql_errno(s->sql))
    return refused(s, what, err);
  if (!res && ret)
    return src_fail(err, MR_FATAL, "", "%s: the server gave no rows%s", what, s->where);
  if (ret)
    *ret = res;
  else
    mysql_free_result(res);
  return MR_OK;
}

int sr_sql_query(struct sr_sink *s, const char *sql, const char *what, MYSQL_RES **ret,
                 struct mr_error *err)
{
  int64_t deadline = clock_now_ms() + s->conf->request_timeout_ms;
  int status = sr_sql_connect(s, err);
  if (status >= 0)
    status = run_query(s, sql, what, deadline, err);
  return status < 0 ? status : take_result(s, what, deadline, ret, err);
}

void sr_sql_ident(struct sql_buf *out, const char *name)
{
  sql_buf_byte(out, '`');
  for (; *name; name++) {
    if (*name == '`')
      sql_buf_byte(out, '`');
    sql_buf_byte(out, *name);
  }
  sql_buf_byte(out, '`');
}

void sr_sql_literal(struct sql_buf *out, const char *text)
{
  sql_buf_byte(out, '\'');
  for (; *text; text++) {
    if (*text == '\'' || *text == '\\')
      sql_buf_byte(out, '\\');
    sql_buf_byte(out, *text);
  }
  sql_buf_byte(out, '\'');
}
