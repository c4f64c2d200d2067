/* SPDX-License-Identifier: Apache-2.0 */
/* Types of ClickHouse as their names say: "Nullable(Decimal(18, 4))". Any thread; trees are owned
 * by whoever parsed them. */
#ifndef CLICKHOUSE_TYPE_H
#define CLICKHOUSE_TYPE_H
#include "common/sql-buf.h"
#include "millrace/build.h"

#define CH_DEPTH_MAX 16 /* types inside of types */

enum ch_kind {
  CH_NONE = 0, /* a type that rows cannot be sent for */
  CH_INT,      /* width bytes, signed */
  CH_UINT,
  CH_FLOAT, /* width 4 or 8 */
  CH_BOOL,
  CH_DECIMAL, /* width bytes; precision, scale */
  CH_STRING,
  CH_FIXED, /* FixedString(width) */
  CH_UUID,
  CH_DATE,       /* u16 days */
  CH_DATE32,     /* i32 days */
  CH_DATETIME,   /* u32 seconds */
  CH_DATETIME64, /* i64 ticks of 10^-scale seconds */
  CH_TIME64,     /* i64 ticks since midnight */
  CH_ENUM,       /* width 1 or 2 */
  CH_IPV4,
  CH_IPV6,
  CH_JSON,  /* sent as String */
  CH_ARRAY, /* child[0] */
  CH_MAP,   /* child[0], child[1] */
  CH_TUPLE, /* children; label[i].name where the type names them */
};
struct ch_label { /* of an Enum: name and number; of a Tuple: name */
  char *name;
  int64_t number;
};
struct ch_type {
  enum ch_kind kind;
  bool nullable, low_cardinality;
  int width, precision, scale;
  struct ch_label *label;
  int n_label;
  struct ch_type *child;
  int n_child;
};

/* Parses a type's name. true: *ret is a tree (kind CH_NONE where a part of it is not known); false:
 * no memory or not a type at all. *ret is releasable (ch_type_done) either way. */
bool ch_type_parse(const char *text, struct ch_type *ret);
void ch_type_done(struct ch_type *t);
/* Does the tree have a part that rows cannot be sent for? */
bool ch_type_unknown(const struct ch_type *t);
bool ch_type_has_low_cardinality(const struct ch_type *t);
/* Appends the type's name as it goes on the wire: no LowCardinality; JSON as String. */
void ch_type_wire(const char *text, const struct ch_type *t, struct sql_buf *out);
/* Appends the type that a table is created with for a column of the pipeline. nullable: whether the
 * column may have nulls. modern: the server has Bool, Date32, DateTime64, Map. false: none. */
bool ch_type_ddl(const struct ArrowSchema *s, bool nullable, bool modern, struct sql_buf *out);
/* Appends the pipeline's name of what the type holds. */
void ch_type_pipeline(const struct ch_type *t, struct sql_buf *out);
/* Can the column's type be changed to the other one without losing a value? */
bool ch_type_widens(const struct ch_type *from, const struct ch_type *to);

#endif
