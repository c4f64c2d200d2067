/* SPDX-License-Identifier: Apache-2.0 */
/* Arrow columns -> rows of LOAD DATA or of an INSERT, as text that the server reads exactly: what
 * it would cut, round or turn into something else is refused here. One way for each pair of source
 * column and target type is chosen once. Any thread, one owner. */
#ifndef MARIA_ENCODE_H
#define MARIA_ENCODE_H
#include "common/maria-type.h"

enum maria_op {
  MARIA_OP_NULL, /* a column of which no value was seen: always null */
  MARIA_OP_BOOL,
  MARIA_OP_INT,
  MARIA_OP_INT_FLOAT,
  MARIA_OP_FLOAT,
  MARIA_OP_DECIMAL,
  MARIA_OP_DATE,
  MARIA_OP_TIME,
  MARIA_OP_TIMESTAMP,
  MARIA_OP_BYTES, /* text or binary into text */
  MARIA_OP_HEX,   /* text, binary or uuid into binary */
  MARIA_OP_UUID,
  MARIA_OP_AS_TEXT, /* any value's canonical text */
  MARIA_OP_AS_JSON,
  MARIA_OP_UNFIT /* every value is refused */
};
enum maria_form { MARIA_FORM_LOAD, MARIA_FORM_INSERT };

struct maria_field {
  enum maria_op op;
  struct maria_type type;
  uint64_t max; /* integers: the largest magnitude above and below zero */
  uint64_t min;
  int src_scale;
  struct mr_view v;
};

/* Chooses how a source column is written into a target type. false: this pair has no exact way. */
bool maria_field_plan(const struct ArrowSchema *from, const struct maria_type *to,
                      struct maria_field *ret);
/* For a pair that has no way: nulls pass, every value is refused (but small ones of uint64). */
void maria_field_unfit(const struct ArrowSchema *from, const struct maria_type *to,
                       struct maria_field *ret);
/* Points the field at a column of a lent array. */
void maria_field_bind(struct maria_field *f, const struct ArrowSchema *s,
                      const struct ArrowArray *a);
/* LOAD DATA reads the column through an expression of a variable (hexadecimal digits, bits);
 * appends it, "UNHEX(@v)". false: it reads the column as it is. */
bool maria_field_load(const struct maria_field *f, const char *variable, struct sql_buf *out);
/* Appends value i. false: the target cannot hold it: *ret_code (an SQLSTATE) and *ret_msg (static
 * text) say why; what was appended is to be cut off again. */
bool maria_field_value(const struct maria_field *f, int64_t i, enum maria_form form,
                       struct sql_buf *out, const char **ret_code, const char **ret_msg);

#endif
