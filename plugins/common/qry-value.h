/* SPDX-License-Identifier: Apache-2.0 */
/* Values that a database gives as text -> columns, strictly: what does not fit the type exactly is
 * refused, nothing is rounded, cut or wrapped. Any thread; nothing is kept. */
#ifndef QRY_VALUE_H
#define QRY_VALUE_H
#include "millrace/build.h"
#include "millrace/plugin.h"

/* May a column of this type be read by qry_value? Scalars, and lists of scalars as PostgreSQL's
 * array text. */
bool qry_type_ok(const struct ArrowSchema *s);
/* Appends the value whose text is p[0..n) to c, a column of type s. Forms:
 *   integer, float   as SQL writes them; NaN, Infinity, -Infinity for floats
 *   decimal          digits with a point, or with an exponent; more digits behind the point than
 * the column has: refused, but zeros bool             t f true false 1 0 date 2026-01-28 time
 * 10:00, 10:00:00.000001; up to 6 digits behind the point timestamp        a date, blank or T, a
 * time; in a column with a zone also Z, +01, +01:30 (without: UTC); elsewhere a zone is refused
 *   text, json       valid UTF-8
 *   binary           \x and hexadecimal digits
 *   uuid             32 hexadecimal digits, with or without hyphens
 *   list             {1,NULL,"a b"}, one dimension
 * MR_REJECT: it does not fit: *ret_why says why (static text) and c is as it was. MR_FATAL: no
 * memory. */
int qry_value(struct mr_column *c, const struct ArrowSchema *s, const char *p, int64_t n,
              const char **ret_why);
/* Appends an integer to a column of any numeric, text or bool type; the same statuses. */
int qry_value_int(struct mr_column *c, const struct ArrowSchema *s, int64_t v,
                  const char **ret_why);
/* Microseconds since 1970 of a timestamp's text as above, in a column with a zone or without.
 * false: no such text. */
bool qry_timestamp(const char *p, int64_t n, bool zoned, int64_t *ret_us);
bool qry_utf8(const char *p, int64_t n);

#endif
