/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text, the way SQL servers read them: exact integers and decimals, ISO dates, shortest
 * floats, JSON for nested values. Any thread; nothing is kept. */
#ifndef SQL_TEXT_H
#define SQL_TEXT_H
#include "common/sql-buf.h"
#include "millrace/build.h"

/* Appends v (128-bit two's complement, low word first) with `scale` digits behind the point; scale
 * < 0 appends zeros. */
void sql_text_decimal(struct sql_buf *out, uint64_t lo, int64_t hi, int scale);
/* Days since 1970-01-01 as YYYY-MM-DD; years before 1 as "YYYY-MM-DD BC", as PostgreSQL writes
 * them. */
void sql_text_date(struct sql_buf *out, int64_t days);
/* Microseconds since midnight as HH:MM:SS[.ffffff]. */
void sql_text_time(struct sql_buf *out, int64_t us);
/* Microseconds since 1970 as "YYYY-MM-DD HH:MM:SS[.ffffff][+00][ BC]"; sep stands between date and
 * time. */
void sql_text_timestamp(struct sql_buf *out, int64_t us, char sep, const char *zone);
/* The shortest text that reads back as the same double (or float, when single); NaN, Infinity,
 * -Infinity. */
void sql_text_double(struct sql_buf *out, double v, bool single);
/* 16 bytes as 8-4-4-4-12 hexadecimal digits. */
void sql_text_uuid(struct sql_buf *out, const uint8_t *p);
void sql_text_hex(struct sql_buf *out, const uint8_t *p, size_t n);

/* Appends element i of a column as plain text; the value is not null. bool: true, false; binary: \x
 * and hexadecimal digits; lists, maps and structs as JSON. false: a kind that has no text. */
bool sql_text_value(struct sql_buf *out, const struct mr_view *v, int64_t i);
/* Appends element i as JSON; nulls too. Decimals and 64-bit integers as numbers with all their
 * digits; NaN and infinities as text; binary in base64; a column that holds JSON goes in as it is.
 */
bool sql_text_json(struct sql_buf *out, const struct mr_view *v, int64_t i);
/* For readers that turn JSON into typed values by way of doubles: decimals and uint64 in quotes,
 * timestamps without a zone (UTC). false: NaN or an infinity. */
bool sql_text_json_exact(struct sql_buf *out, const struct mr_view *v, int64_t i);
/* Appends a list of scalars as a PostgreSQL array literal: {1,NULL,"a b"}. */
bool sql_text_pg_array(struct sql_buf *out, const struct mr_view *v, int64_t i);
/* Parses 32 hexadecimal digits with or without hyphens and braces into 16 bytes. */
bool sql_uuid_parse(const char *s, int64_t n, uint8_t ret[16]);

/* The child of a list, map or struct. */
static inline void sql_view_child(const struct mr_view *v, int64_t child, struct mr_view *ret)
{
  mr_view_init(ret, v->schema->children[child], v->array->children[child]);
}

#endif
