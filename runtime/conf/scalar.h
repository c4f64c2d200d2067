/* SPDX-License-Identifier: Apache-2.0 */
/* The one strict reader of scalar values. Each function returns NULL, or what is wrong as the rest
 * of a sentence that begins with the value ("is not a whole number"; static text); *ret is written
 * on success only. */
#ifndef MR_SCALAR_H
#define MR_SCALAR_H
#include <stdbool.h>
#include <stdint.h>

const char *mr_scalar_bool(const char *text, bool *ret);   /* true, false */
const char *mr_scalar_int(const char *text, int64_t *ret); /* -?digits, no leading zero */
const char *mr_scalar_real(const char *text,
                           double *ret); /* -?digits[.digits][e[+-]digits], finite */
const char *mr_scalar_bytes(const char *text, int64_t *ret); /* digits[B|KiB|MiB|GiB|TiB] */
const char *mr_scalar_time(const char *text,
                           int64_t *ret); /* digits(ms|s|m|h|d), or 0; milliseconds */

/* A number of MR_INT, MR_BYTES, MR_TIME_MS (and the length of MR_TEXT, in bytes) in whole; of
 * MR_REAL in real. */
struct mr_number {
  int64_t whole;
  double real;
};
const char *mr_scalar_number(int type, const char *text, struct mr_number *ret);
/* A range as option tables write it: "1..65535", "64KiB..", "..5". false: no such range. Either
 * bound may be absent. */
struct mr_range {
  bool has_low, has_high;
  struct mr_number low, high;
};
bool mr_range_parse(int type, const char *text, struct mr_range *ret);
bool mr_range_holds(int type, const struct mr_range *range, struct mr_number value);

#endif
