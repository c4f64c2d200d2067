/* SPDX-License-Identifier: Apache-2.0 */
/* What JSON values have looked like so far: columns are inferred from it. A shape only ever widens:
 *
 *   nothing or null -> bool | int64 | float64 | text | list | struct
 *   int64 -> decimal(38,0) for integers past 64 bits; int64 -> float64 while every integer seen is
 * exact as a double any other meeting of two -> json, which keeps each value as its own text
 *
 * So no value is changed by widening. A shape without content (null, [], {}) is no column yet. */
#ifndef MR_JSON_SHAPE_H
#define MR_JSON_SHAPE_H
#include "format/json-scan.h"

#define MR_JSON_COLUMNS 2000      /* inferred columns, at most */
#define MR_JSON_STRUCT_FIELDS 256 /* of an inferred struct; past that it is json */
#define MR_JSON_SHAPE_DEPTH 8     /* nested deeper than this is json */

enum mr_json_looks {
  MR_LOOKS_NULL,
  MR_LOOKS_BOOL,
  MR_LOOKS_INT,
  MR_LOOKS_BIG,
  MR_LOOKS_FLOAT,
  MR_LOOKS_TEXT,
  MR_LOOKS_LIST,
  MR_LOOKS_STRUCT,
  MR_LOOKS_JSON
};
struct mr_json_shape {
  enum mr_json_looks looks;
  bool fixed;   /* a declared column: not looked at */
  bool inexact; /* int: it held a value that a double may not hold */
  char *name;
  struct mr_json_shape **kid; /* struct: fields; list: the element */
  int64_t n_kid;
};

/* A struct shape whose first fields are the declared columns (NULL: none). NULL: no memory. */
struct mr_json_shape *mr_json_shape_new(const struct ArrowSchema *declared);
void mr_json_shape_free(struct mr_json_shape *s); /* takes NULL */
/* The field of that name, or NULL. */
struct mr_json_shape *mr_json_shape_find(const struct mr_json_shape *s, const char *name,
                                         int64_t len);
/* Widens s by a message. new_keys: a key that is no column yet may become one. MR_REJECT with `in`
 * filled when the message is not JSON objects, or has too many columns (then s may be wider).
 * MR_FATAL: no memory. */
int mr_json_shape_merge(struct mr_json_shape *s, bool new_keys, struct mr_json_in *in,
                        const void *data, size_t len);
/* Gives the columns: those of `before` in their order with their types as they are now, then new
 * ones. false: no memory. */
bool mr_json_shape_schema(const struct mr_json_shape *s, const struct ArrowSchema *before,
                          struct ArrowSchema *give);

#endif
