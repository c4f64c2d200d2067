/* SPDX-License-Identifier: Apache-2.0 */
/* Type names as pipeline files and messages write them, and Arrow schemas. */
#ifndef MR_TYPES_H
#define MR_TYPES_H
#include "base/base.h"
#include "millrace/build.h"

/* Compiles a type name into a schema called `name` (nullable). Names: bool, int8…int64,
 * uint8…uint64, float32, float64, decimal(p,s), date, time, timestamp, timestamptz (also
 * timestamp(Zone)), utf8, binary, uuid, json, list<T>, map<K,V>, struct<a: T, b: T>; aliases:
 * text/string = utf8, int = int64, float/double = float64, date32, bytes = binary. MR_BADCONF with
 * a message that says what is wrong. *ret is overwritten on success only. Any thread. */
int mr_type_parse(const char *text, const char *name, struct ArrowSchema *ret,
                  struct mr_error *err);

/* Writes the name of the schema's type into buf (always terminated) and returns buf. */
char *mr_type_name(const struct ArrowSchema *s, char *buf, size_t size);

/* Equal formats, children and extension, names of children included; nullability and labels do not
 * count. */
bool mr_type_equal(const struct ArrowSchema *a, const struct ArrowSchema *b);
/* The same columns in the same order, with equal types. ret_column (may be NULL): index of the
 * first difference. */
bool mr_schema_equal(const struct ArrowSchema *a, const struct ArrowSchema *b, int64_t *ret_column);

#endif
