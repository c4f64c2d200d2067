/* SPDX-License-Identifier: Apache-2.0 */
/* One value of a column, read from text: what JSON strings, JSON map keys and CSV fields have in
 * common. */
#ifndef MR_FORMAT_CELL_H
#define MR_FORMAT_CELL_H
#include "format/text.h"
#include "millrace/build.h"

/* Codes of refused messages: SQLSTATE where one fits. */
#define MR_CODE_JSON "22032"  /* not JSON */
#define MR_CODE_CSV "22P04"   /* not CSV */
#define MR_CODE_UTF8 "22021"  /* not UTF-8, or half a surrogate pair */
#define MR_CODE_TYPE "42804"  /* a value of another type than the column's */
#define MR_CODE_TEXT "22P02"  /* text that does not spell a value of the column's type */
#define MR_CODE_RANGE "22003" /* out of range */
#define MR_CODE_TIME "22007"  /* not a date or time */
#define MR_CODE_TIME_RANGE "22008"
#define MR_CODE_UNKNOWN "42703" /* a key that is no column */
#define MR_CODE_SHAPE "22023"   /* not the shape of message that the format wants */
#define MR_CODE_LIMIT "54000"   /* a limit of this program */
#define MR_CODE_MEMORY "53200"  /* not a refusal: no memory */

/* What reading a value needs to know of its column. */
struct mr_cell {
  enum mr_kind kind;
  bool zoned, utc;           /* timestamp: has a zone; it is UTC */
  bool is_json;              /* text that holds JSON */
  int precision, scale;      /* decimal */
  uint64_t most, most_minus; /* integers: greatest amount above and below zero */
};
void mr_cell_init(struct mr_cell *t, const struct ArrowSchema *s);

/* Reads a value of a fixed-width kind into ret (t's width in bytes, native order; bool: one byte).
 * scratch: room for n + 1 bytes, floats only. A timestamp without an offset is UTC in a column of
 * UTC, refused in a column of another zone; a column without a zone keeps the UTC time of a text
 * with an offset. */
enum mr_text_status mr_cell_parse(const struct mr_cell *t, const char *s, int64_t n, locale_t c,
                                  char *scratch, uint8_t ret[16]);
/* A decimal number of any form as an epoch timestamp; unit_scale: digits from its unit to the
 * microsecond (s: 6, ms: 3, us: 0). */
enum mr_text_status mr_cell_epoch(const char *s, int64_t n, int unit_scale, uint8_t ret[16]);
/* Why a value was refused, as a code and as "not a date": static strings. */
const char *mr_cell_code(const struct mr_cell *t, enum mr_text_status st);
const char *mr_cell_reason(const struct mr_cell *t, enum mr_text_status st);

#endif
