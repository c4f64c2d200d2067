/* SPDX-License-Identifier: Apache-2.0 */
/* The mysql source's own parts: one instance, one connection, one thread.
 *
 * plugin.c the calls    query.c the statement and its rows    types.c what the result's columns are
 */
#ifndef MYSQL_SOURCE_H
#define MYSQL_SOURCE_H
#include "common/maria-conn.h"
#include "common/qry-source.h"

struct my_conf {
  struct maria_conf server;
  struct qry_conf query;
};
enum my_key { KEY_NONE, KEY_INT, KEY_DATE, KEY_DATETIME, KEY_TIMESTAMP, KEY_TEXT };

struct my_source {
  const struct my_conf *conf;
  struct qry_source source;
  struct maria_conn conn;
  struct maria_fetch fetch;
  struct sql_buf sql;           /* the running statement */
  MYSQL_ROW row;                /* the current one */
  const unsigned long *lengths; /* of its values */
  const MYSQL_FIELD *field;     /* of the running statement */
  int *place;                   /* of each column of the schema in the result */
  bool over;                    /* every row was taken */
  int64_t read_until;           /* ms, monotonic: when read should be back */
  int64_t deadline;             /* of the answer that is waited for */
  struct ArrowSchema result;    /* of the query, as described last */
  bool floats;                  /* one of its columns is a FLOAT */
  enum my_key key_type;
  int key;     /* the growing column in the result; -1: none */
  char *order; /* primary key of the table, quoted; NULL: none */
};

/* ---- types.c */
/* Adds the column that a result's field becomes. false: no memory. */
bool my_add_column(struct ArrowSchema *columns, const MYSQL_FIELD *f);
enum my_key my_key_of(const MYSQL_FIELD *f);
/* Appends a value that is not null, of n bytes as the server gave it. Statuses of qry_value. */
int my_value(struct mr_column *c, const struct ArrowSchema *s, const MYSQL_FIELD *f, const char *p,
             unsigned long n, const char **ret_why);

/* ---- query.c */
extern const struct qry_backend my_backend;
/* Asks the server for the query's columns; connected. */
int my_check_query(struct my_source *s, struct mr_error *err);

#endif
