/* SPDX-License-Identifier: Apache-2.0 */
/* The PostgreSQL store's connection: libpq's non-blocking calls, each with a deadline. Not locked:
 * the store's mutex guards it. */
#ifndef MR_PG_CONN_H
#define MR_PG_CONN_H
#include <libpq-fe.h>
#include "base/base.h"

struct mr_pg {
  PGconn *pg;                      /* NULL: not connected */
  char *url, *application, *where; /* where: " at HOST:PORT, database D", for messages */
  int pid, old_pid; /* of the session; of one that was cut off and may still hold locks, or 0 */
};

/* Takes nothing; no I/O. MR_BADCONF: not a URL that libpq understands. */
int mr_pg_init(struct mr_pg *c, const char *url, const char *application, struct mr_error *err);
void mr_pg_finish(struct mr_pg *c);
/* Connects when there is no connection. MR_RETRY with unreachable set: no server, or it refused us.
 */
int mr_pg_connect(struct mr_pg *c, struct mr_error *err);
void mr_pg_close(struct mr_pg *c);
/* Runs one statement (without parameters: several), up to timeout_ms. kinds: t const char *, i
 * int64_t, p const struct mr_position *, b const void * and size_t, in the order $1, $2… give *ret
 * (PQclear; NULL: not wanted). MR_RETRY: connection lost, or the server asks to come again; the
 * connection is closed then. MR_BADCONF: no privilege or the like. MR_FATAL: the rest. err->code:
 * SQLSTATE. */
int mr_pg_run(struct mr_pg *c, int64_t timeout_ms, PGresult **ret, struct mr_error *err,
              const char *sql, const char *kinds, ...);
int64_t mr_pg_int(const PGresult *res, int row, int column);
/* false: not a position. */
bool mr_pg_position(const PGresult *res, int row, int column, struct mr_position *ret);
/* Bytes of a bytea; malloc'd, caller frees; NULL: no memory. */
void *mr_pg_bytes(const PGresult *res, int row, int column, size_t *ret_len);

#endif
