/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL's numeric in its wire form: base-10000 digit groups. Any thread. */
#ifndef PG_NUMERIC_H
#define PG_NUMERIC_H
#include "common/sql-buf.h"

#define PG_NUMERIC_MAX 64 /* bytes of one value with its length word */

__extension__ typedef unsigned __int128 pg_u128; /* the only spelling the compiler knows */

/* Writes the field (length word and value) of sign * v * 10^exponent to p; dscale digits show
 * behind the point. Returns its bytes. */
size_t pg_numeric_put(uint8_t *p, pg_u128 v, bool minus, int exponent, int dscale);
/* The same of a double: its shortest decimal form; NaN and infinities too. */
size_t pg_numeric_put_double(uint8_t *p, double v, bool single);
/* Does v * 10^exponent fit numeric(precision, scale) without losing a digit? */
bool pg_numeric_fits(pg_u128 v, int exponent, int precision, int scale);

#endif
