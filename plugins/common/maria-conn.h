/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to a MariaDB or MySQL server through libmariadb's non-blocking calls: every wait
 * has a deadline and looks at the runtime's wake_fd. One owner, one thread.
 *
 * A session is UTC, utf8mb4, and strict where the caller says so. LOAD DATA LOCAL reads only what
 * maria_load was given: no server gets a file of this machine. */
#ifndef MARIA_CONN_H
#define MARIA_CONN_H
#include <mysql.h>
#include "common/sql-buf.h"
#include "common/sql-ident.h"
#include "common/src-error.h"
#include "millrace/plugin.h"

#define MARIA_NAME_MAX 64 /* characters of a name that the server keeps */

enum maria_tls { MARIA_TLS_DISABLE, MARIA_TLS_PREFER, MARIA_TLS_REQUIRE, MARIA_TLS_VERIFY };
/* Part of a plugin's config struct: the options of a connection. */
struct maria_conf {
  const char *url, *host, *database, *user, *password, *tls_ca;
  int64_t port, connect_timeout_ms, statement_timeout_ms;
  int32_t tls;
};
extern const char *const maria_tls_choices[];

/* Rows for the option table; conf_: the plugin's struct, field_: its struct maria_conf. */
#define MARIA_OPTION(conf_, field_, name_, type_, ...)                                  \
  {                                                                                     \
    .name = name_, .type = type_, .offset = offsetof(struct conf_, field_), __VA_ARGS__ \
  }
#define MARIA_OPTIONS(conf_, field_, statement_timeout_)                                   \
  MARIA_OPTION(conf_, field_.url, "url", MR_TEXT, .flags = MR_SECRET,                      \
               .doc = "mysql://user:password@host:port/database"),                         \
      MARIA_OPTION(conf_, field_.host, "host", MR_TEXT,                                    \
                   .doc = "Server name, address or socket file; wins over url"),           \
      MARIA_OPTION(conf_, field_.port, "port", MR_INT, .range = "1..65535",                \
                   .doc = "Server port; left out: 3306"),                                  \
      MARIA_OPTION(conf_, field_.database, "database", MR_TEXT, .doc = "Database name"),   \
      MARIA_OPTION(conf_, field_.user, "user", MR_TEXT, .doc = "User name"),               \
      MARIA_OPTION(conf_, field_.password, "password", MR_TEXT, .flags = MR_SECRET,        \
                   .doc = "Password"),                                                     \
      MARIA_OPTION(conf_, field_.tls, "tls", MR_CHOICE, .choices = maria_tls_choices,      \
                   .doc = "Encryption; left out: verify, on loopback prefer"),             \
      MARIA_OPTION(conf_, field_.tls_ca, "tls_ca", MR_TEXT,                                \
                   .doc = "File of certificate authorities"),                              \
      MARIA_OPTION(conf_, field_.connect_timeout_ms, "connect_timeout", MR_TIME_MS,        \
                   .range = "1ms..1h", .dflt = "10s", .doc = "Deadline for a connection"), \
      MARIA_OPTION(conf_, field_.statement_timeout_ms, "statement_timeout", MR_TIME_MS,    \
                   .range = "1ms..24h", .dflt = statement_timeout_,                        \
                   .doc = "Deadline for an answer of the server")

/* What a wait does when the runtime wants the call to return: give up, or go on a little. */
enum maria_patience { MARIA_GIVE_UP, MARIA_GO_ON };

struct maria_data { /* rows of a LOAD DATA LOCAL, lent while it runs */
  const uint8_t *p;
  size_t len, at;
  bool open; /* maria_load runs: the server may ask */
};
struct maria_fetch;
struct maria_conn {
  const struct maria_conf *conf;
  const struct mr_host *host;
  char *server, *base, *user, *password; /* of url and options together */
  unsigned port;
  char *where; /* " at HOST:PORT, database D, user U" */
  MYSQL *db;
  bool writes;           /* strict sql_mode, and LOAD DATA LOCAL is asked for */
  bool genuine;          /* MariaDB 10.7 or newer: GET DIAGNOSTICS knows ROW_NUMBER */
  bool loads;            /* the server takes LOAD DATA LOCAL */
  bool in_tx;            /* kept by the owner: a transaction is open */
  int64_t packet;        /* max_allowed_packet, bytes */
  uint64_t old_id;       /* session of a connection that was lost in a transaction; 0: none */
  char *old_peer, *peer; /* how the server names our end, to know it again */
  unsigned long id;      /* of this connection */
  uint64_t connected;    /* how many connections there were: what a session had went with it */
  struct maria_data data;
  struct maria_fetch *fetch; /* whose rows come on this connection; NULL: none */
};

/* Reads url and options; no I/O. conf, host: lent until maria_done. MR_BADCONF: the URL. */
int maria_init(struct maria_conn *c, const struct maria_conf *conf, const struct mr_host *host,
               struct mr_error *err);
void maria_done(struct maria_conn *c);
/* Does the URL parse? For validate; no I/O. */
int maria_validate(const struct maria_conf *conf, struct mr_error *err);
/* Connects when there is no connection, and prepares the session. MR_RETRY with unreachable. */
int maria_connect(struct maria_conn *c, struct mr_error *err);
void maria_close(struct maria_conn *c);

/* Runs the statements in sql (len bytes) and takes every result. each (may be NULL): for every
 * result in order, res NULL for a statement without rows, changed: rows that it counted. The first
 * error ends the statements. Statuses: that of the server's error (maria_status), MR_RETRY with
 * unreachable when the connection is gone; then c->db is NULL. timeout: ms for each answer. */
typedef void maria_result_fn(void *ctx, MYSQL_RES *res, uint64_t changed);
int maria_run(struct maria_conn *c, const char *sql, size_t len, const char *what, int64_t timeout,
              enum maria_patience patience, maria_result_fn *each, void *ctx, struct mr_error *err);
/* The same for a NUL-terminated statement with the statement timeout and no result. */
int maria_exec(struct maria_conn *c, const char *sql, const char *what,
               enum maria_patience patience, struct mr_error *err);
/* One statement with rows; *ret: mysql_free_result it. */
int maria_query(struct maria_conn *c, const char *sql, const char *what, MYSQL_RES **ret,
                struct mr_error *err);
/* What columns a statement would give, without running it: each sees a result without rows, and its
 * status is the call's. */
typedef int maria_describe_fn(void *ctx, MYSQL_RES *res, struct mr_error *err);
int maria_describe(struct maria_conn *c, const char *sql, const char *what, maria_describe_fn *each,
                   void *ctx, struct mr_error *err);
/* A LOAD DATA LOCAL statement that reads the n bytes at p (lent). */
int maria_load(struct maria_conn *c, const char *sql, const void *p, size_t n, const char *what,
               struct mr_error *err);
/* A statement whose rows come one by one: maria_ask sends it (sql is lent until maria_quit), and
 * maria_next gives the rows, *ret_row NULL at the end; a row is lent until the next call. MR_IDLE:
 * nothing came by until_ms (monotonic); at deadline_ms the connection is given up. */
struct maria_fetch {
  MYSQL_RES *res;
  bool asking, waiting; /* the statement, or a row of it, is under way */
  int state, wrong;     /* of the library's call */
};
int maria_ask(struct maria_conn *c, struct maria_fetch *f, const char *sql, struct mr_error *err);
int maria_next(struct maria_conn *c, struct maria_fetch *f, int64_t until_ms, int64_t deadline_ms,
               MYSQL_ROW *ret_row, struct mr_error *err);
/* Ends it; rows that were not taken end with the connection. */
void maria_quit(struct maria_conn *c, struct maria_fetch *f, bool over);

/* The status of a server's error: MR_RETRY, MR_REJECT, MR_BADCONF or MR_FATAL. state: SQLSTATE. */
int maria_status(unsigned code, const char *state);
/* Fills err with a server's error or warning, without values of rows, and returns its status. */
int maria_refused(const struct maria_conn *c, unsigned code, const char *state, const char *text,
                  const char *what, struct mr_error *err);
/* Gives the connection up with MR_RETRY; why NULL: the library's words. */
int maria_lost(struct maria_conn *c, const char *what, const char *why, struct mr_error *err);

/* Appends a name in backquotes; [schema.]table. */
void maria_ident(struct sql_buf *out, const char *name);
void maria_name(struct sql_buf *out, const struct sql_name *n);
/* Appends text as a literal that holds in every sql_mode. */
void maria_literal(struct sql_buf *out, const char *text);
void maria_hex(struct sql_buf *out, const void *p, size_t n); /* x'…' */
/* One line of a server's message; hide: without the quoted part, which may be a value of a row. */
void maria_clean(char *out, size_t size, const char *text, bool hide);

#endif
