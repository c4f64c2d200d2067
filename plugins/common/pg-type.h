/* SPDX-License-Identifier: Apache-2.0 */
/* The PostgreSQL type that holds an Arrow column without loss. Any thread. */
#ifndef PG_TYPE_H
#define PG_TYPE_H
#include "common/pg-encode.h"

/* Appends the type's name as DDL has it ("numeric(18,4)", "bigint[]"); a column of which no value
 * was seen is text. false: a type that Millrace does not carry. */
bool pg_type_ddl(const struct ArrowSchema *s, struct sql_buf *out);
/* The same type as an OID, for servers whose catalog cannot be read. */
bool pg_type_of(const struct ArrowSchema *s, struct pg_type *ret);
/* Does every value of type `from` fit type `to`, and is `to` larger? Both as DDL names ("integer",
 * "numeric(18,4)"). */
bool pg_type_widens(const char *from, const char *to);

#endif
