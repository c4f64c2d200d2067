/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/store-tables.h"
#include <string.h>
#include "engine/store.h"

#define STORE_VERSION 2
#define RUN(c, ret, err, ...) mr_pg_run(c, MR_STORE_CALL_MS, ret, err, __VA_ARGS__)

static const char schema_sql[] =
    "BEGIN; SELECT pg_advisory_xact_lock(7811335530162974);"
    "CREATE TABLE IF NOT EXISTS millrace_state(pipeline text NOT NULL, key text NOT NULL,"
    " value bigint NOT NULL, PRIMARY KEY(pipeline, key));"
    "CREATE TABLE IF NOT EXISTS millrace_state_lanes(pipeline text NOT NULL, sink text NOT NULL,"
    " source text NOT NULL, lane text NOT NULL, position bytea NOT NULL, owner bigint NOT NULL,"
    " rows_total bigint NOT NULL DEFAULT 0, last_run bigint NOT NULL DEFAULT 0,"
    " last_from bytea NOT NULL, founder text NOT NULL, state bytea, label text,"
    " updated_at timestamp with time zone NOT NULL DEFAULT now(),"
    " PRIMARY KEY(pipeline, sink, source, lane));"
    "CREATE TABLE IF NOT EXISTS millrace_state_units(pipeline text NOT NULL, sink text NOT NULL,"
    " label text NOT NULL, state integer NOT NULL, recorded_us bigint NOT NULL,"
    " PRIMARY KEY(pipeline, sink, label));"
    /* its key: one unit at most is pending on a lane */
    "CREATE TABLE IF NOT EXISTS millrace_state_unit_lanes(pipeline text NOT NULL, sink text NOT "
    "NULL,"
    " label text NOT NULL, source text NOT NULL, lane text NOT NULL, id bigint NOT NULL,"
    " position_from bytea NOT NULL, position_to bytea NOT NULL, owner bigint NOT NULL,"
    " rows bigint NOT NULL, run bigint NOT NULL, state bytea,"
    " PRIMARY KEY(pipeline, sink, source, lane),"
    " FOREIGN KEY(pipeline, sink, label) REFERENCES millrace_state_units ON DELETE CASCADE);"
    "CREATE TABLE IF NOT EXISTS millrace_state_blocks(pipeline text NOT NULL, label text NOT NULL,"
    " data bytea NOT NULL, made_at timestamp with time zone NOT NULL DEFAULT now(),"
    " PRIMARY KEY(pipeline, label));"
    "INSERT INTO millrace_state VALUES('', 'version', 2) ON CONFLICT DO NOTHING;"
    "COMMIT";

/* A store of version 1 kept no state of transforms, and no labels with the lanes. */
static const char upgrade_sql[] =
    "BEGIN; SELECT pg_advisory_xact_lock(7811335530162974);"
    "ALTER TABLE millrace_state_lanes ADD COLUMN IF NOT EXISTS state bytea,"
    " ADD COLUMN IF NOT EXISTS label text;"
    "ALTER TABLE millrace_state_unit_lanes ADD COLUMN IF NOT EXISTS state bytea;"
    "UPDATE millrace_state SET value = 2 WHERE pipeline = '' AND key = 'version' AND value < 2;"
    "COMMIT";

int mr_store_pg_init(struct mr_pg *c, const char *url, const char *pipeline, struct mr_error *err)
{
  g_autofree char *application = g_strdup_printf("millrace/%s/state", pipeline);
  return mr_pg_init(c, url, application, err);
}

static int read_version(struct mr_pg *c, bool *ret_old, struct mr_error *err)
{
  PGresult *res = NULL;
  int status = RUN(c, &res, err,
                   "SELECT value FROM millrace_state WHERE pipeline = '' AND key = 'version'", "");
  if (status >= 0 && PQntuples(res) && mr_pg_int(res, 0, 0) > STORE_VERSION)
    status = mr_fail(err, MR_FATAL, "the state%s was written by a newer millrace", c->where);
  *ret_old = status >= 0 && PQntuples(res) && mr_pg_int(res, 0, 0) < STORE_VERSION;
  PQclear(res);
  return status;
}

int mr_store_tables_make(struct mr_pg *c, struct mr_error *err)
{
  bool old = false;
  int status = read_version(c, &old, err);
  bool absent = status < 0 && !strcmp(err->code, "42P01");
  if (!absent && !old)
    return status;
  mr_error_clear(err);
  status = RUN(c, NULL, err, old ? upgrade_sql : schema_sql, "");
  if (status >= 0)
    return read_version(c, &old, err);
  mr_pg_close(c); /* out of the transaction */
  return status;
}

static int describe(struct mr_pg *c, char **give_text, struct mr_error *err)
{
  PGresult *res = NULL;
  int status = RUN(c, &res, err,
                   "SELECT current_setting('server_version'), current_schema(),"
                   " to_regclass('millrace_state') IS NOT NULL,"
                   " coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)",
                   "");
  if (status >= 0) {
    bool there = *PQgetvalue(res, 0, 2) == 't', may = *PQgetvalue(res, 0, 3) == 't';
    if (there)
      status = read_version(c, &(bool){false}, err);
    else if (!may)
      status = mr_fail(err, MR_BADCONF,
                       "the state%s: no table millrace_state, and no right to make"
                       " tables in schema `%s`",
                       c->where, PQgetvalue(res, 0, 1));
    if (status >= 0)
      *give_text = g_strdup_printf("PostgreSQL %s%s, tables of the state %s", PQgetvalue(res, 0, 0),
                                   c->where, there ? "there" : "will be made");
  }
  PQclear(res);
  return status;
}

int mr_store_postgres_check(const char *url, const char *pipeline, char **give_text,
                            struct mr_error *err)
{
  struct mr_pg c = {0};
  int status = mr_store_pg_init(&c, url, pipeline, err);
  if (status >= 0)
    status = mr_pg_connect(&c, err);
  if (status >= 0)
    status = describe(&c, give_text, err);
  mr_pg_finish(&c);
  return status;
}
