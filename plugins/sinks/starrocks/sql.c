/* SPDX-License-Identifier: Apache-2.0 */
/* The MySQL protocol's side: metadata and DDL, by text queries through libmariadb's non-blocking
 * calls, so that every wait has a deadline and looks at the runtime's wake_fd. */
#include <errmsg.h>
#include <errno.h>
#include <poll.h>
#include <time.h>
#include "starrocks.h"

static int64_t now_ms(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

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

/* Waits for what the library wants: bits to go on with, 0: deadline, -1: woken. */
static int wait_for(struct sr_sink *s, int wants, int64_t deadline)
{
  short events =
      (short)((wants & MYSQL_WAIT_READ ? POLLIN : 0) | (wants & MYSQL_WAIT_WRITE ? POLLOUT : 0));
  struct pollfd fd[2] = {{.fd = mysql_get_socket(s->sql), .events = events},
                         {.fd = s->host ? s->host->wake_fd : -1, .events = POLLIN}};
  for (;;) {
    int64_t left = deadline - now_ms();
    int n = poll(fd, 2, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 || fd[0].revents)
      return MYSQL_WAIT_READ | MYSQL_WAIT_WRITE;
    return n ? -1 : 0;
  }
}

static int gave_up(struct sr_sink *s, int waited, const char *what, struct mr_error *err)
{
  return lost(s, what, waited ? "stopped waiting because the run is to end" : "no answer in time",
              !waited, err);
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
  int64_t deadline = now_ms() + s->conf->connect_timeout_ms;
  int wants = mysql_real_connect_start(&made, s->sql, host, s->conf->user ? s->conf->user : "root",
                                       s->conf->password ? s->conf->password : "", NULL,
                                       (unsigned)s->conf->sql_port, NULL, 0);
  while (wants) {
    int ready = wait_for(s, wants, deadline);
    if (ready <= 0)
      return gave_up(s, ready, "connect", err);
    wants = mysql_real_connect_cont(&made, s->sql, ready);
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
    int ready = wait_for(s, wants, deadline);
    if (ready <= 0)
      return gave_up(s, ready, what, err);
    wants = mysql_real_query_cont(&wrong, s->sql, ready);
  }
  return wrong ? refused(s, what, err) : MR_OK;
}

static int take_result(struct sr_sink *s, const char *what, int64_t deadline, MYSQL_RES **ret,
                       struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  int wants = mysql_store_result_start(&res, s->sql);
  while (wants) {
    int ready = wait_for(s, wants, deadline);
    if (ready <= 0)
      return gave_up(s, ready, what, err);
    wants = mysql_store_result_cont(&res, s->sql, ready);
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
  int64_t deadline = now_ms() + s->conf->request_timeout_ms;
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
