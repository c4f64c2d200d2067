/* SPDX-License-Identifier: Apache-2.0 */
/* The postgres source's own parts: one instance, one connection, one thread.
 *
 * conn.c connecting, waiting with deadlines    query.c the statement, its cursor, types and values
 * discover.c tables and columns */
#ifndef POSTGRES_SOURCE_H
#define POSTGRES_SOURCE_H
#include <libpq-fe.h>
#include "common/pg-login.h"
#include "common/qry-source.h"
#include "common/sql-ident.h"

#define PG_NAME_MAX 63 /* bytes of a name that the server keeps (NAMEDATALEN - 1) */

struct pg_conf {
  struct pg_login login;
  int64_t connect_timeout_ms, statement_timeout_ms;
  struct qry_conf query;
};
enum pg_key {
  PG_KEY_NONE,
  PG_KEY_INT,
  PG_KEY_DATE,
  PG_KEY_TIMESTAMP,
  PG_KEY_TIMESTAMPTZ,
  PG_KEY_TEXT
};

struct pg_source {
  const struct pg_conf *conf;
  const struct mr_host *host;
  struct qry_source source;
  char *where, *application; /* where: " at HOST:PORT, database D, user U" */
  PGconn *pg;
  PGresult *page;         /* rows of the last FETCH; NULL: none */
  int at;                 /* the current row in it */
  bool fetching, over;    /* a FETCH was sent and not answered; the cursor is at its end */
  int64_t fetch_deadline; /* ms, monotonic */
  int64_t read_until;     /* ms, monotonic: when read should be back */
  int64_t asked;          /* rows that the last FETCH asked for */
  int64_t row_bytes;      /* size of a row, as seen so far */
  enum pg_key key_type;
  int key;     /* the growing column in the result; -1: none */
  char *order; /* primary key of the table, quoted; NULL: none */
};

/* ---- conn.c */
/* Fills `where`. MR_BADCONF: the URL. */
int pg_describe_server(struct pg_source *s, struct mr_error *err);
/* Connects when there is no connection. MR_RETRY with unreachable: no server, or it refused us. */
int pg_connect(struct pg_source *s, struct mr_error *err);
void pg_disconnect(struct pg_source *s);
/* Runs a statement and waits for its answer; params: text, n of them. *ret (may be NULL): the
 * result, PQclear it. */
int pg_query(struct pg_source *s, const char *sql, const char *const *param, int n, PGresult **ret,
             struct mr_error *err);
/* Sends a statement without waiting, and takes its answer: MR_IDLE while there is none by until_ms.
 */
int pg_send(struct pg_source *s, const char *sql, struct mr_error *err);
int pg_receive(struct pg_source *s, int64_t until_ms, int64_t deadline_ms, PGresult **ret,
               struct mr_error *err);

/* ---- query.c */
extern const struct qry_backend pg_backend;
/* The query's columns: schema (give, may be NULL) and whether declared and growing columns are
 * among them. */
int pg_check_query(struct pg_source *s, struct ArrowSchema *give, struct mr_error *err);
/* The type of a column that the server describes by OID and modifier; added to columns. false: no
 * memory. */
bool pg_add_column(struct ArrowSchema *columns, const char *name, Oid type, int modifier);

/* ---- discover.c */
int pg_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err);
int pg_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err);

#endif
