/* SPDX-License-Identifier: Apache-2.0 */
/* Single values as text, shared by JSON and CSV: dates, times, decimals, floats, UUIDs, base64. All
 * functions are pure, but for the two that say which locale they need. Parsers take text that is
 * not NUL-terminated and must match as a whole. */
#ifndef MR_FORMAT_TEXT_H
#define MR_FORMAT_TEXT_H
#include <locale.h>
#include "base/base.h"

/* What became of a parse. */
enum mr_text_status {
  MR_TEXT_OK,
  MR_TEXT_BAD,   /* it does not spell such a value */
  MR_TEXT_RANGE, /* it does, but the value does not exist or does not fit */
};

/* YYYY-MM-DD to days since 1970-01-01; proleptic Gregorian, years 0000 to 9999, or a sign and five
 * or six digits. */
enum mr_text_status mr_text_date(const char *s, int64_t n, int32_t *ret_days);
/* HH:MM[:SS[.fraction]] to us since midnight, below 24:00; digits past the microsecond are cut off;
 * no leap seconds. */
enum mr_text_status mr_text_time(const char *s, int64_t n, int64_t *ret_us);
/* ISO 8601 / RFC 3339: a date, or a date, `T`, `t` or a space, a time, and perhaps Z or an offset
 * (+HH, +HHMM, +HH:MM). us since 1970-01-01 00:00, with the offset subtracted; *ret_offset says
 * whether there was one. */
enum mr_text_status mr_text_timestamp(const char *s, int64_t n, int64_t *ret_us, bool *ret_offset);
/* [+-]digits[.digits][e[+-]digits] to value * 10^scale, exactly: MR_TEXT_RANGE when it has other
 * digits past the scale than 0 or needs more than `precision` digits (at most 38). cut: digits past
 * the scale are cut off instead (toward minus infinity). */
enum mr_text_status mr_text_decimal(const char *s, int64_t n, int precision, int scale, bool cut,
                                    __int128 *ret);
/* 8-4-4-4-12 hex digits to 16 bytes. */
enum mr_text_status mr_text_uuid(const char *s, int64_t n, uint8_t ret[16]);
/* Base64 (RFC 4648 section 4, with padding) to bytes; out has room for n / 4 * 3. */
enum mr_text_status mr_text_base64(const char *s, int64_t n, uint8_t *out, int64_t *ret_len);
/* A number in the form of mr_text_decimal to the nearest double (or float). c: a "C" locale.
 * scratch: room for n + 1 bytes. MR_TEXT_RANGE: beyond the largest. */
enum mr_text_status mr_text_f64(const char *s, int64_t n, locale_t c, char *scratch, double *ret);
enum mr_text_status mr_text_f32(const char *s, int64_t n, locale_t c, char *scratch, float *ret);
/* NaN, Infinity and -Infinity, as they are written here: what a float column may hold besides
 * numbers. false: another text. */
bool mr_text_not_finite(const char *s, int64_t n, double *ret);

/* The double nearest to m / 10^k; m > 0, k 0 to 19. */
double mr_text_quotient(uint64_t m, int k);

/* Writers: put text without NUL at out and return its length. */
enum {
  MR_TEXT_INT_MAX = 20,
  MR_TEXT_DATE_MAX = 16,
  MR_TEXT_TIME_MAX = 16,
  MR_TEXT_TIMESTAMP_MAX = 40,
  MR_TEXT_DECIMAL_MAX = 96,
  MR_TEXT_FLOAT_MAX = 40,
  MR_TEXT_UUID_LEN = 36
};
int mr_put_int(char *out, int64_t v);
int mr_put_uint(char *out, uint64_t v);
int mr_put_date(char *out, int32_t days);
int mr_put_time(char *out, int64_t us);              /* 13:00:00.250000 */
int mr_put_timestamp(char *out, int64_t us, bool z); /* 2026-01-28T13:00:00.250000, and Z */
int mr_put_decimal(char *out, __int128 v, int scale);
int mr_put_f64(char *out, double v,
               locale_t c); /* the shortest digits that read back as v; or NaN, Infinity … */
int mr_put_f32(char *out, float v, locale_t c);
int mr_put_uuid(char *out, const uint8_t v[16]);
int64_t mr_put_base64(char *out, const uint8_t *p, int64_t n); /* room: (n + 2) / 3 * 4 */

#endif
