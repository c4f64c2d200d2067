/* SPDX-License-Identifier: Apache-2.0 */
/* Single values: exact decimals, calendar arithmetic, time zones, reading and writing text. */
#ifndef MR_EXPR_SCALAR_H
#define MR_EXPR_SCALAR_H
#include "expr/internal.h"

/* ---- decimals (decimal.c) */

/* 10 to the n, 0 <= n <= 38. */
mr_i128 mr_pow10(int n);
/* |v| has at most precision digits. */
bool mr_decimal_fits(mr_i128 v, int precision);
/* Moves v from one scale to another, half away from zero. false: more than 38 digits. */
bool mr_decimal_rescale(mr_i128 v, int from, int to, mr_i128 *ret);
/* a * m / b, half away from zero, with a 256-bit product. b is not 0. false: more than 38 digits.
 */
bool mr_decimal_muldiv(mr_i128 a, mr_i128 m, mr_i128 b, mr_i128 *ret);
/* The nearest double. */
double mr_decimal_to_double(mr_i128 v, int scale);
/* < 0, 0, > 0; exact for every value. NaN is above all numbers. */
int mr_decimal_cmp(mr_i128 a, int scale_a, mr_i128 b, int scale_b);
int mr_decimal_cmp_double(mr_i128 a, int scale, double b);
/* Both by PostgreSQL's order: NaN equals NaN and is above all numbers. */
int mr_double_cmp(double a, double b);

/* ---- calendar (civil.c): proleptic Gregorian, years 1 to 9999 */

#define MR_DAY_US 86400000000LL
#define MR_MIN_DAY (-719162) /* 0001-01-01 */
#define MR_MAX_DAY 2932896   /* 9999-12-31 */
#define MR_MIN_US (MR_MIN_DAY * MR_DAY_US)
#define MR_MAX_US ((MR_MAX_DAY + 1) * MR_DAY_US - 1)

struct mr_civil {
  int64_t year;
  int month, day, hour, minute, second, us;
};
int64_t mr_civil_days(int64_t year, int month, int day);
struct mr_civil mr_civil_of_days(int64_t days);
struct mr_civil mr_civil_of_us(int64_t us);
int64_t mr_civil_us(const struct mr_civil *c);
/* The month exists, the day is in it, the time is below 24:00 (second 60 is not). */
bool mr_civil_valid(const struct mr_civil *c);
int mr_civil_month_days(int64_t year, int month);
/* Division that rounds down. */
int64_t mr_floor_div(int64_t a, int64_t b);
/* us + interval on the calendar: months (the day is cut to the month's length), days, time. false:
 * out of range. */
bool mr_civil_add(int64_t us, const struct mr_ival *v, int sign, int64_t *ret);

/* ---- zones (zone.c) */

struct mr_zone;
/* A fixed offset ("+02:00", "UTC") or a name of the system's zone database. NULL: there is none
 * such (or no memory). Freed with mr_zone_free. */
struct mr_zone *mr_zone_new(const char *name);
void mr_zone_free(void *zone);
/* us east of UTC at an instant. */
int64_t mr_zone_offset(struct mr_zone *z, int64_t utc_us);
/* Local time to an instant: in a gap by the offset before it, in an overlap by the one after it. */
int64_t mr_zone_to_utc(struct mr_zone *z, int64_t local_us);
/* The zone of a column for node n, kept until the expression is freed. MR_BADCONF: no such zone. */
int mr_zone_check(struct mr_check *c, const struct mr_node *n, const char *name,
                  struct mr_zone **ret);

/* ---- text to value (scan.c, scan_time.c); surrounding blanks are allowed */

enum mr_scan {
  MR_SCAN_OK,
  MR_SCAN_BAD,  /* no value of the type */
  MR_SCAN_RANGE /* outside of the type's range */
};
/* Without blanks at both ends. */
struct mr_span mr_scan_trim(struct mr_span s);
enum mr_scan mr_scan_int(struct mr_span s, mr_i128 *ret);
enum mr_scan mr_scan_float(struct mr_span s, double *ret);
/* Rounded half away from zero to the scale. */
enum mr_scan mr_scan_decimal(struct mr_span s, int precision, int scale, mr_i128 *ret);
enum mr_scan mr_scan_bool(struct mr_span s, uint8_t *ret);
enum mr_scan mr_scan_uuid(struct mr_span s, uint8_t ret[16]);
enum mr_scan mr_scan_date(struct mr_span s, int64_t *ret_days);
enum mr_scan mr_scan_time(struct mr_span s, int64_t *ret_us);
/* zone NULL: local time, an offset in the text is refused. Else: an instant; a text without an
 * offset is in that zone. */
enum mr_scan mr_scan_timestamp(struct mr_span s, struct mr_zone *zone, int64_t *ret_us);
enum mr_scan mr_scan_interval(struct mr_span s, struct mr_ival *ret);

/* ---- value to text (print.c): at most MR_PRINT bytes into buf, not terminated; the length comes
 * back */

#define MR_PRINT 96
/* width digits of v, 0 <= v < 10^width. */
int64_t mr_print_digits(int64_t v, int width, char *buf);
int64_t mr_print_int(mr_i128 v, char *buf);
int64_t mr_print_float(double v, char *buf);
int64_t mr_print_float32(float v, char *buf);
int64_t mr_print_decimal(mr_i128 v, int scale, char *buf);
int64_t mr_print_date(int64_t days, char *buf);
int64_t mr_print_time(int64_t us, char *buf);
int64_t mr_print_timestamp(int64_t us, char *buf);
/* local us, its offset in us: "2026-01-28 11:00:00+01" */
int64_t mr_print_timestamptz(int64_t local_us, int64_t offset_us, char *buf);
int64_t mr_print_interval(const struct mr_ival *v, char *buf);
int64_t mr_print_uuid(const uint8_t *v, char *buf);

#endif
