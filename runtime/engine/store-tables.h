/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a state in PostgreSQL: made, brought up to date, described. */
#ifndef STORE_TABLES_H
#define STORE_TABLES_H
#include <glib.h>
#include "engine/pg-conn.h"

#define MR_STORE_CALL_MS 10000

/* Not connected yet; c is zeroed before. MR_BADCONF: the URL is none. mr_pg_finish after it. */
int mr_store_pg_init(struct mr_pg *c, const char *url, const char *pipeline, struct mr_error *err);
/* Makes the tables when there are none, and those of an older version new. MR_FATAL: they are of a
 * newer millrace. Connected. */
int mr_store_tables_make(struct mr_pg *c, struct mr_error *err);

#endif
