/* SPDX-License-Identifier: Apache-2.0 */
/* Where a query stands: the position of its one lane. Any thread.
 *
 * A query that is read once counts its rows. One that follows a growing column stands behind so
 * many rows of a value of that column: the next query begins at the value and leaves those rows
 * out. As tokens they are ordered as the rows are. */
#ifndef QRY_MARK_H
#define QRY_MARK_H
#include "millrace/plugin.h"

#define QRY_TEXT_MAX 48 /* bytes of a growing column's text */

enum qry_mark_kind {
  QRY_START = 0,
  QRY_ROWS,   /* behind `number` rows of a query that is read once */
  QRY_DONE,   /* such a query has been read to its end */
  QRY_NUMBER, /* behind `ties` rows with the value `number` */
  QRY_TEXT,   /* behind `ties` rows with the value `text` */
};
struct qry_mark {
  enum qry_mark_kind kind;
  int64_t number;
  uint32_t ties;
  char text[QRY_TEXT_MAX + 1];
};

struct mr_position qry_mark_position(const struct qry_mark *m);
/* false: not a token of qry_mark_position. */
bool qry_mark_read(const struct mr_position *p, struct qry_mark *ret);
/* Do both stand at the same value (ties aside)? */
bool qry_mark_same_value(const struct qry_mark *a, const struct qry_mark *b);

#endif
