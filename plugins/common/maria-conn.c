/* SPDX-License-Identifier: Apache-2.0 */
#include "common/wait.h"
#include "common/maria-conn.h"
#include <errmsg.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define GRACE_MS 5000 /* how long a call may go on once it should return */
#define CA_FILE "/etc/ssl/certs/ca-certificates.crt"
#define ROW_NUMBER_SINCE 100700 /* MariaDB's version with ROW_NUMBER in GET DIAGNOSTICS */

const char *const maria_tls_choices[] = {"disable", "prefer", "require", "verify", NULL};

/* ---------------------------------------------------------------- waiting */

static short poll_events(int wants)
{
  return (short)((wants & MYSQL_WAIT_READ ? POLLIN : 0) | (wants & MYSQL_WAIT_WRITE ? POLLOUT : 0) |
                 (wants & MYSQL_WAIT_EXCEPT ? POLLPRI : 0));
}

static int ready_bits(short events)
{
  int bits = (events & POLLIN ? MYSQL_WAIT_READ : 0) | (events & POLLOUT ? MYSQL_WAIT_WRITE : 0) |
             (events & POLLPRI ? MYSQL_WAIT_EXCEPT : 0);
  /* an error or hang-up: the library finds out by its next call */
  return events & (POLLERR | POLLHUP | POLLNVAL) ? bits | MYSQL_WAIT_READ | MYSQL_WAIT_WRITE : bits;
}

/* Waits for what the library wants; *ret: bits to go on with. */
static enum waited wait_for(struct maria_conn *c, int wants, int64_t deadline,
                            enum maria_patience patience, int *ret)
{
  short seen = 0;
  enum waited w =
      wait_fd(mysql_get_socket(c->db), poll_events(wants), c->host ? c->host->wake_fd : -1,
              deadline, patience == MARIA_GIVE_UP ? 0 : GRACE_MS, &seen);
  *ret = ready_bits(seen);
  return w;
}

static int gave_up(struct maria_conn *c, enum waited waited, const char *what, int64_t timeout,
                   struct mr_error *err)
{
  char why[80];
  int status = maria_lost(c, what, wait_why(waited, timeout, why, sizeof why), err);
  err->unreachable = waited == WAITED_OVER;
  return status;
}

/* One asynchronous call of the library: start_ gives what it waits for, cont_ goes on. */
#define AWAIT(c_, start_, cont_, what_, timeout_, patience_, err_)                   \
  ({                                                                                 \
    int wants_ = (start_), ready_, status_ = MR_OK;                                  \
    int64_t deadline_ = clock_now_ms() + (timeout_);                                 \
    while (wants_ && status_ >= 0) {                                                 \
      enum waited waited_ = wait_for((c_), wants_, deadline_, (patience_), &ready_); \
      if (waited_ != WAITED_READY)                                                   \
        status_ = gave_up((c_), waited_, (what_), (timeout_), (err_));               \
      else                                                                           \
        wants_ = (cont_);                                                            \
    }                                                                                \
    status_;                                                                         \
  })

/* ---------------------------------------------------------------- LOAD DATA LOCAL */

static int data_init(void **ret, const char *name, void *conn)
{
  (void)name; /* the server may name any file: only what maria_load lends is given */
  *ret = conn;
  return !((struct maria_conn *)conn)->data.open;
}

static int data_read(void *conn, char *out, unsigned size)
{
  struct maria_data *d = &((struct maria_conn *)conn)->data;
  size_t n = d->len - d->at < size ? d->len - d->at : size;
  if (!d->open)
    return -1;
  if (n)
    memcpy(out, d->p + d->at, n);
  d->at += n;
  return (int)n;
}

static void data_end(void *conn)
{
  (void)conn;
}

static int data_error(void *conn, char *out, unsigned size)
{
  (void)conn;
  snprintf(out, size, "the server asked for a file that was not offered");
  return 2;
}

/* ---------------------------------------------------------------- connecting */

static bool is_loopback(const char *host)
{
  return *host == '/' || !strcmp(host, "localhost") || !strncmp(host, "127.", 4) ||
         !strcmp(host, "::1");
}

static enum maria_tls tls_of(const struct maria_conn *c)
{
  if (c->conf->tls >= 0)
    return (enum maria_tls)c->conf->tls;
  return is_loopback(c->server) ? MARIA_TLS_PREFER : MARIA_TLS_VERIFY;
}

/* Beyond this machine a server must show that it is the one that was meant. */
static void set_tls(struct maria_conn *c)
{
  enum maria_tls tls = tls_of(c);
  my_bool yes = 1, no = 0;
  const char *ca = c->conf->tls_ca;
  if (!ca && tls == MARIA_TLS_VERIFY && !access(CA_FILE, R_OK))
    ca = CA_FILE;
  mysql_options(c->db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, tls == MARIA_TLS_VERIFY ? &yes : &no);
  mysql_options(c->db, MYSQL_OPT_SSL_ENFORCE, tls == MARIA_TLS_DISABLE ? &no : &yes);
  if (ca)
    mysql_options(c->db, MYSQL_OPT_SSL_CA, ca);
}

static void set_options(struct maria_conn *c)
{
  unsigned local = c->writes,
           protocol = *c->server == '/' ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP;
  mysql_options(c->db, MYSQL_OPT_NONBLOCK, 0);
  mysql_options(c->db, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  mysql_options(c->db, MYSQL_OPT_LOCAL_INFILE, &local);
  mysql_options(c->db, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_options4(c->db, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "millrace");
  mysql_set_local_infile_handler(c->db, data_init, data_read, data_end, data_error, c);
  set_tls(c);
}

/* A server without TLS is taken only where the file leaves that open. */
static int check_tls(struct maria_conn *c, struct mr_error *err)
{
  if (tls_of(c) < MARIA_TLS_REQUIRE || *c->server == '/' || mysql_get_ssl_cipher(c->db))
    return MR_OK;
  return maria_lost(c, "connect", "the server offers no TLS, and the pipeline asks for it", err);
}

static int dial(struct maria_conn *c, bool plain, struct mr_error *err)
{
  MYSQL *done = NULL;
  bool file = *c->server == '/';
  unsigned long flags = CLIENT_FOUND_ROWS | CLIENT_MULTI_RESULTS;
  c->db = mysql_init(NULL);
  if (!c->db)
    return src_no_memory(err);
  set_options(c);
  if (plain)
    mysql_options(c->db, MYSQL_OPT_SSL_ENFORCE, &(my_bool){0});
  if (c->writes)
    flags |= CLIENT_MULTI_STATEMENTS;
  int status =
      AWAIT(c,
            mysql_real_connect_start(&done, c->db, file ? NULL : c->server, c->user ? c->user : "",
                                     c->password ? c->password : "", c->base, c->port,
                                     file ? c->server : NULL, flags),
            mysql_real_connect_cont(&done, c->db, ready_), "connect", c->conf->connect_timeout_ms,
            MARIA_GIVE_UP, err);
  if (status < 0)
    return status;
  return done ? MR_OK : maria_lost(c, "connect", NULL, err);
}

static int open_connection(struct maria_conn *c, struct mr_error *err)
{
  bool prefers = tls_of(c) == MARIA_TLS_PREFER && *c->server != '/';
  int status = dial(c, !prefers && tls_of(c) < MARIA_TLS_REQUIRE, err);
  if (status < 0 && prefers && err->native == CR_SSL_CONNECTION_ERROR)
    status = dial(c, true, err);
  return status < 0 ? status : check_tls(c, err);
}

/* ---------------------------------------------------------------- the session */

static const char strict_mode[] =
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
    "NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO";

static void session_sql(const struct maria_conn *c, struct sql_buf *sql)
{
  int64_t wait = c->conf->statement_timeout_ms / 2000;
  sql_buf_str(sql, "SET SESSION time_zone = '+00:00', autocommit = 1");
  if (c->writes) /* the server gives up waiting for a lock before we give up waiting for it */
    sql_buf_fmt(sql,
                ", sql_mode = '%s', max_error_count = 65535, foreign_key_checks = 1,"
                " unique_checks = 1, innodb_lock_wait_timeout = %lld",
                strict_mode,
                (long long)(wait < 1    ? 1
                            : wait > 50 ? 50
                                        : wait));
  else
    sql_buf_str(sql, ", net_write_timeout = 3600");
}

static bool same(const char *a, const char *b)
{
  return a && b && !strcmp(a, b);
}

/* A session that was cut off may still hold lane rows: it is ended, if it still is that session. */
static void end_old_session(struct maria_conn *c)
{
  struct mr_error ignored = {.size = sizeof ignored};
  struct sql_buf sql = {0};
  MYSQL_RES *res = NULL;
  uint64_t id = c->old_id;
  c->old_id = 0;
  if (!id)
    return;
  sql_buf_fmt(&sql, "SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = %llu",
              (unsigned long long)id);
  if (maria_query(c, sql_buf_text(&sql), "SELECT", &res, &ignored) >= 0) {
    MYSQL_ROW row = mysql_fetch_row(res);
    bool ours = row && same(row[0], c->old_peer);
    mysql_free_result(res);
    sql_buf_clear(&sql);
    sql_buf_fmt(&sql, "KILL CONNECTION %llu", (unsigned long long)id);
    if (ours)
      maria_exec(c, sql_buf_text(&sql), "KILL", MARIA_GIVE_UP, &ignored);
  }
  sql_buf_done(&sql);
}

static void learn_server(struct maria_conn *c, MYSQL_ROW row)
{
  const char *version = row[0] ? row[0] : "";
  c->packet = row[1] ? strtoll(row[1], NULL, 10) : 0; /* the server wrote it */
  c->loads = row[2] && (!strcmp(row[2], "1") || !strcasecmp(row[2], "ON"));
  c->genuine = strstr(version, "MariaDB") && mysql_get_server_version(c->db) >= ROW_NUMBER_SINCE;
  c->id = mysql_thread_id(c->db);
  free(c->peer);
  c->peer = row[3] ? strdup(row[3]) : NULL;
}

static int prepare_session(struct maria_conn *c, struct mr_error *err)
{
  struct sql_buf sql = {0};
  MYSQL_RES *res = NULL;
  session_sql(c, &sql);
  int status = maria_exec(c, sql_buf_text(&sql), "SET SESSION", MARIA_GIVE_UP, err);
  sql_buf_done(&sql);
  if (status >= 0)
    status = maria_query(c,
                         "SELECT VERSION(), @@max_allowed_packet, @@local_infile, (SELECT HOST FROM"
                         " information_schema.PROCESSLIST WHERE ID = CONNECTION_ID())",
                         "SELECT VERSION()", &res, err);
  if (status < 0)
    return status;
  MYSQL_ROW row = mysql_fetch_row(res);
  if (row)
    learn_server(c, row);
  mysql_free_result(res);
  if (!row)
    return maria_lost(c, "SELECT VERSION()", "the server gave no row", err);
  end_old_session(c);
  return c->db ? MR_OK : maria_lost(c, "connect", "connection lost", err);
}

int maria_connect(struct maria_conn *c, struct mr_error *err)
{
  if (c->db)
    return MR_OK;
  int status = open_connection(c, err);
  if (status >= 0)
    status = prepare_session(c, err);
  c->connected++;
  if (status >= 0)
    return MR_OK;
  maria_close(c);
  if (status != MR_FATAL || *err->code)
    status = MR_RETRY;
  err->unreachable = true;
  return status;
}

void maria_close(struct maria_conn *c)
{
  if (!c->db)
    return;
  if (c->in_tx) {
    c->old_id = c->id;
    free(c->old_peer);
    c->old_peer = c->peer;
    c->peer = NULL;
  }
  my_socket fd = mysql_get_socket(c->db);
  if (fd >= 0)
    shutdown(fd, SHUT_RDWR);     /* the farewell may not wait for a server that does not read */
  if (c->fetch && c->fetch->res) /* it points to the connection; what it reads ends at once */
    mysql_free_result(c->fetch->res);
  if (c->fetch)
    *c->fetch = (struct maria_fetch){0};
  c->fetch = NULL;
  mysql_close(c->db);
  c->db = NULL;
  c->in_tx = false;
}

/* ---------------------------------------------------------------- statements */

/* The library's error after a call on the living connection, or of one that broke. */
static int failed(struct maria_conn *c, const char *what, struct mr_error *err)
{
  unsigned code = mysql_errno(c->db);
  if (code >= 2000 && code < 3000)
    return maria_lost(c, what, NULL, err);
  int status = maria_refused(c, code, mysql_sqlstate(c->db), mysql_error(c->db), what, err);
  if (code == 1927 || code == 1053 || code == 1317) { /* this session was ended, or soon is */
    maria_close(c);
    err->unreachable = true;
  }
  return status;
}

static int take_result(struct maria_conn *c, const char *what, int64_t timeout,
                       enum maria_patience patience, maria_result_fn *each, void *ctx,
                       struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  int status = MR_OK;
  if (mysql_field_count(c->db))
    status = AWAIT(c, mysql_store_result_start(&res, c->db),
                   mysql_store_result_cont(&res, c->db, ready_), what, timeout, patience, err);
  if (status < 0)
    return status;
  if (!res && mysql_field_count(c->db))
    return failed(c, what, err);
  if (each)
    each(ctx, res, mysql_affected_rows(c->db));
  if (res)
    mysql_free_result(res);
  return MR_OK;
}

int maria_run(struct maria_conn *c, const char *sql, size_t len, const char *what, int64_t timeout,
              enum maria_patience patience, maria_result_fn *each, void *ctx, struct mr_error *err)
{
  int wrong = 0;
  if (!c->db)
    return maria_lost(c, what, "not connected", err);
  int status = AWAIT(c, mysql_real_query_start(&wrong, c->db, sql, len),
                     mysql_real_query_cont(&wrong, c->db, ready_), what, timeout, patience, err);
  while (status >= 0) {
    if (wrong)
      return failed(c, what, err);
    status = take_result(c, what, timeout, patience, each, ctx, err);
    if (status < 0 || !mysql_more_results(c->db))
      break;
    status = AWAIT(c, mysql_next_result_start(&wrong, c->db),
                   mysql_next_result_cont(&wrong, c->db, ready_), what, timeout, patience, err);
  }
  return status;
}

int maria_exec(struct maria_conn *c, const char *sql, const char *what,
               enum maria_patience patience, struct mr_error *err)
{
  return maria_run(c, sql, strlen(sql), what, c->conf->statement_timeout_ms, patience, NULL, NULL,
                   err);
}

/* Keeps a stored result: its rows are all here. */
int maria_query(struct maria_conn *c, const char *sql, const char *what, MYSQL_RES **ret,
                struct mr_error *err)
{
  int wrong = 0;
  MYSQL_RES *res = NULL;
  int64_t timeout = c->conf->statement_timeout_ms;
  if (!c->db)
    return maria_lost(c, what, "not connected", err);
  int status =
      AWAIT(c, mysql_real_query_start(&wrong, c->db, sql, strlen(sql)),
            mysql_real_query_cont(&wrong, c->db, ready_), what, timeout, MARIA_GIVE_UP, err);
  if (status >= 0 && wrong)
    status = failed(c, what, err);
  if (status >= 0)
    status = AWAIT(c, mysql_store_result_start(&res, c->db),
                   mysql_store_result_cont(&res, c->db, ready_), what, timeout, MARIA_GIVE_UP, err);
  if (status < 0)
    return status;
  if (!res && mysql_errno(c->db))
    return failed(c, what, err);
  if (!res)
    return src_fail(err, MR_FATAL, "08P01", "%s: the server gave no rows%s", what, c->where);
  *ret = res;
  return MR_OK;
}

static int prepare(struct maria_conn *c, MYSQL_STMT *stmt, const char *sql, const char *what,
                   struct mr_error *err)
{
  int wrong = 0;
  int status = AWAIT(c, mysql_stmt_prepare_start(&wrong, stmt, sql, strlen(sql)),
                     mysql_stmt_prepare_cont(&wrong, stmt, ready_), what,
                     c->conf->statement_timeout_ms, MARIA_GIVE_UP, err);
  return status >= 0 && wrong ? failed(c, what, err) : status;
}

int maria_describe(struct maria_conn *c, const char *sql, const char *what, maria_describe_fn *each,
                   void *ctx, struct mr_error *err)
{
  if (!c->db)
    return maria_lost(c, what, "not connected", err);
  MYSQL_STMT *stmt = mysql_stmt_init(c->db);
  int status = stmt ? prepare(c, stmt, sql, what, err) : src_no_memory(err);
  MYSQL_RES *res = status >= 0 ? mysql_stmt_result_metadata(stmt) : NULL;
  if (status >= 0)
    status = res ? each(ctx, res, err)
                 : src_fail(err, MR_BADCONF, "", "%s: gives no rows%s", what, c->where);
  mysql_free_result(res);
  if (stmt)
    mysql_stmt_close(stmt);
  return status;
}

int maria_load(struct maria_conn *c, const char *sql, const void *p, size_t n, const char *what,
               struct mr_error *err)
{
  c->data = (struct maria_data){.p = p, .len = n, .open = true};
  int status = maria_exec(c, sql, what, MARIA_GO_ON, err);
  c->data = (struct maria_data){0};
  return status;
}

/* ---------------------------------------------------------------- rows one by one */

int maria_ask(struct maria_conn *c, struct maria_fetch *f, const char *sql, struct mr_error *err)
{
  *f = (struct maria_fetch){0};
  if (!c->db)
    return maria_lost(c, "query", "not connected", err);
  c->fetch = f;
  f->state = mysql_real_query_start(&f->wrong, c->db, sql, strlen(sql));
  f->asking = true;
  return MR_OK;
}

/* Waits until the library needs no more; MR_IDLE: not by until_ms. again: goes on with the call. */
typedef void again_fn(struct maria_conn *c, struct maria_fetch *f, int ready, MYSQL_ROW *row);

static void ask_again(struct maria_conn *c, struct maria_fetch *f, int ready, MYSQL_ROW *row)
{
  f->state = mysql_real_query_cont(&f->wrong, c->db, ready);
}

static void fetch_again(struct maria_conn *c, struct maria_fetch *f, int ready, MYSQL_ROW *row)
{
  f->state = mysql_fetch_row_cont(row, f->res, ready);
}

static int await(struct maria_conn *c, struct maria_fetch *f, int64_t until_ms, int64_t deadline_ms,
                 again_fn *again, MYSQL_ROW *row, struct mr_error *err)
{
  int64_t until = until_ms < deadline_ms ? until_ms : deadline_ms;
  int ready = 0;
  while (f->state) {
    enum waited waited = wait_for(c, f->state, until, MARIA_GIVE_UP, &ready);
    if (waited != WAITED_READY && clock_now_ms() < deadline_ms)
      return MR_IDLE;
    if (waited != WAITED_READY)
      return gave_up(c, waited, "query", c->conf->statement_timeout_ms, err);
    again(c, f, ready, row);
  }
  return MR_OK;
}

/* The statement's answer: what columns its rows have. */
static int answered(struct maria_conn *c, struct maria_fetch *f, struct mr_error *err)
{
  f->asking = false;
  if (f->wrong)
    return failed(c, "query", err);
  f->res = mysql_use_result(c->db);
  if (!f->res && mysql_errno(c->db))
    return failed(c, "query", err);
  return f->res ? MR_OK : src_fail(err, MR_BADCONF, "", "query: gives no rows%s", c->where);
}

int maria_next(struct maria_conn *c, struct maria_fetch *f, int64_t until_ms, int64_t deadline_ms,
               MYSQL_ROW *ret_row, struct mr_error *err)
{
  MYSQL_ROW row = NULL;
  int status = MR_OK;
  if (!c->db)
    return maria_lost(c, "query", "not connected", err);
  if (f->asking)
    status = await(c, f, until_ms, deadline_ms, ask_again, NULL, err);
  if (status == MR_OK && f->asking)
    status = answered(c, f, err);
  if (status != MR_OK)
    return status;
  if (!f->waiting)
    f->state = mysql_fetch_row_start(&row, f->res);
  f->waiting = true;
  status = await(c, f, until_ms, deadline_ms, fetch_again, &row, err);
  if (status != MR_OK)
    return status;
  f->waiting = false;
  if (!row && mysql_errno(c->db))
    return failed(c, "query", err);
  *ret_row = row;
  return MR_OK;
}

void maria_quit(struct maria_conn *c, struct maria_fetch *f, bool over)
{
  if (c->db && (f->asking || f->waiting || (f->res && !over)))
    maria_close(c); /* rows are on their way that nobody wants */
  if (f->res)
    mysql_free_result(f->res);
  *f = (struct maria_fetch){0};
  c->fetch = NULL;
}
