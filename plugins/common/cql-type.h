/* SPDX-License-Identifier: Apache-2.0 */
/* Types of Cassandra: read from the three forms in which they are written, and what they become in
 * Arrow.
 *
 *   option   of the native protocol v4 and v5, section "4.2.5.2 Rows": a number, and what it takes
 *   class    org.apache.cassandra.db.marshal.MapType(…), in custom options and in the commit log
 *   text     CQL as system_schema writes it: map<text, frozen<"Place">>
 *
 * Frozen or not makes no difference to a value's bytes on the wire, but in the commit log: `multi`
 * is a collection or user type whose elements are cells of their own. DESC (ReversedType) is left
 * out, bytes are the same. Any thread. */
#ifndef CQL_TYPE_H
#define CQL_TYPE_H
#include "common/cql-read.h"
#include "common/sql-buf.h"
#include "millrace/build.h"
#include "millrace/plugin.h"

enum cql_kind {
  CQL_NONE = 0,
  CQL_ASCII,
  CQL_BIGINT,
  CQL_BLOB,
  CQL_BOOLEAN,
  CQL_COUNTER,
  CQL_DATE,
  CQL_DECIMAL,
  CQL_DOUBLE,
  CQL_DURATION,
  CQL_EMPTY, /* no bytes at all */
  CQL_FLOAT,
  CQL_INET,
  CQL_INT,
  CQL_SMALLINT,
  CQL_TEXT,
  CQL_TIME,
  CQL_TIMESTAMP,
  CQL_TIMEUUID,
  CQL_TINYINT,
  CQL_UUID,
  CQL_VARINT,
  CQL_LIST,   /* child[0] */
  CQL_SET,    /* child[0] */
  CQL_MAP,    /* child[0] key, child[1] value */
  CQL_TUPLE,  /* children */
  CQL_UDT,    /* children with names */
  CQL_VECTOR, /* child[0], `dims` of them */
};
#define CQL_DEPTH_MAX 16     /* how deep types may nest */
#define CQL_FIELDS_MAX 10000 /* fields of one tuple or user type */

struct cql_type {
  enum cql_kind kind;
  bool multi;             /* list, set, map, UDT: not frozen */
  int32_t dims;           /* vector */
  char *keyspace, *name;  /* UDT; keyspace may be NULL */
  struct cql_type *child; /* n_child of them */
  char **field;           /* UDT: n_child names */
  size_t n_child;
};

/* Finds a user type by name, as CQL text has it (no quotes): fills ret (zeroed) with a UDT, or
 * returns MR_FATAL with err filled. Calls cql_type_text for its fields, with `depth` as given. */
typedef int cql_udt_fn(void *ctx, const char *name, int depth, struct cql_type *ret,
                       struct mr_error *err);

/* Each reads one type into *ret (overwritten; free it with cql_type_done, also after a failure).
 * MR_FATAL with a message that names what is unknown or malformed. */
int cql_type_option(struct cql_read *r, struct cql_type *ret, struct mr_error *err);
int cql_type_class(const char *text, size_t n, struct cql_type *ret, struct mr_error *err);
/* udt NULL: user types are unknown types. depth: 0, or what cql_udt_fn was given. */
int cql_type_text(const char *text, size_t n, cql_udt_fn *udt, void *ctx, int depth,
                  struct cql_type *ret, struct mr_error *err);
void cql_type_done(struct cql_type *t);
/* Makes a user type without fields (*ret is overwritten); cql_type_add_field gives the place of one
 * more field, to be filled. keyspace may be NULL. false, NULL: no memory, or too many fields. */
bool cql_type_udt(struct cql_type *ret, const char *keyspace, const char *name);
struct cql_type *cql_type_add_field(struct cql_type *t, const char *name);
bool cql_type_copy(const struct cql_type *t, struct cql_type *ret); /* false: no memory */
bool cql_type_equal(const struct cql_type *a, const struct cql_type *b);

/* Bytes of a value that has no length before it in clusterings, simple cells and vectors; 0: it has
 * one (or is `empty`). */
int64_t cql_type_fixed(const struct cql_type *t);

/* Appends the type as CQL writes it. */
void cql_type_name(const struct cql_type *t, struct sql_buf *out);

/* The column that the type becomes when nothing else is declared. false: no memory. */
bool cql_type_arrow(const struct cql_type *t, const char *name, struct ArrowSchema *ret);
/* Index of the field of a UDT (by name) or tuple (f1, f2, …) that a struct's child is; -1: none. */
int64_t cql_type_field(const struct cql_type *t, const char *name);
/* May a column of type s hold such values? Not: *ret_why (static text). */
bool cql_type_fits(const struct cql_type *t, const struct ArrowSchema *s, const char **ret_why);

#define CQL_DECIMAL_DEFAULT "d:38,9" /* a CQL decimal has no scale of its own */
#define CQL_VARINT_DEFAULT "d:38,0"

/* Has it, at any depth, every field of the other one's user types, or another type in its place? */
bool cql_type_covers(const struct cql_type *self, const struct cql_type *other);

#endif
