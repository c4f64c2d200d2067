/* SPDX-License-Identifier: Apache-2.0 */
/* Column types of MariaDB and MySQL: read from the catalog, written as DDL, compared. Any thread.
 */
#ifndef MARIA_TYPE_H
#define MARIA_TYPE_H
#include "common/sql-buf.h"
#include "millrace/build.h"

enum maria_kind {
  MARIA_INT, /* tinyint … bigint: bits, is_unsigned */
  MARIA_BIT,
  MARIA_FLOAT,
  MARIA_DOUBLE,
  MARIA_DECIMAL, /* precision, scale */
  MARIA_DATE,
  MARIA_TIME, /* scale: digits of a second's fraction; so for the next two */
  MARIA_DATETIME,
  MARIA_TIMESTAMP,
  MARIA_YEAR,
  MARIA_TEXT,   /* char, varchar: max characters; the text types: max bytes */
  MARIA_ENUM,   /* enum and set: the server knows the words */
  MARIA_BINARY, /* max bytes; fixed: exactly so many */
  MARIA_JSON,
  MARIA_UUID,
  MARIA_OTHER, /* what only the server can read, from text */
};
struct maria_type {
  enum maria_kind kind;
  int bits, precision, scale;
  bool is_unsigned, in_bytes, fixed, not_null;
  int64_t max; /* characters or bytes; 0: any */
};

/* A row of information_schema.COLUMNS; numbers < 0: null there. */
struct maria_catalog {
  const char *data_type, *column_type; /* "bigint", "bigint(20) unsigned" */
  int64_t characters, bytes, precision, scale, fraction;
};
void maria_type_read(const struct maria_catalog *row, struct maria_type *ret);

/* The type that a pipeline's column becomes, as DDL; key: a column of the primary key, whose length
 * must have a bound. false: it has no name there. */
bool maria_type_ddl(const struct ArrowSchema *s, bool key, struct sql_buf *out);
/* The same type as maria_type_read would give it. */
bool maria_type_of(const struct ArrowSchema *s, bool key, struct maria_type *ret);
/* Does `to` hold every value of `from`, and more? */
bool maria_type_widens(const struct maria_type *from, const struct maria_type *to);
/* Appends what a pipeline file calls such a column. */
void maria_type_name(const struct maria_type *t, struct sql_buf *out);

#endif
