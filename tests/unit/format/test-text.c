/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include <stdio.h>
#include "format/cell.h"
#include "format/json.h"

static void test_dates(void)
{
  static const struct {
    const char *text;
    enum mr_text_status st;
    int32_t days;
  } c[] = {{"1970-01-01", MR_TEXT_OK, 0},         {"1969-12-31", MR_TEXT_OK, -1},
           {"2000-02-29", MR_TEXT_OK, 11016},     {"0000-01-01", MR_TEXT_OK, -719528},
           {"9999-12-31", MR_TEXT_OK, 2932896},   {"+10000-01-01", MR_TEXT_OK, 2932897},
           {"-00001-12-31", MR_TEXT_OK, -719529}, {"1582-10-10", MR_TEXT_OK, -141432},
           {"1900-02-29", MR_TEXT_RANGE, 0},      {"2026-13-01", MR_TEXT_RANGE, 0},
           {"2026-00-01", MR_TEXT_RANGE, 0},      {"2026-04-31", MR_TEXT_RANGE, 0},
           {"2026-1-1", MR_TEXT_BAD, 0},          {"2026-01-01x", MR_TEXT_BAD, 0},
           {"20260101", MR_TEXT_BAD, 0},          {"", MR_TEXT_BAD, 0},
           {"2026/01/01", MR_TEXT_BAD, 0}};
  for (size_t i = 0; i < MR_COUNT(c); i++) {
    int32_t days = 0;
    enum mr_text_status st = mr_text_date(c[i].text, (int64_t)strlen(c[i].text), &days);
    if (st != c[i].st || days != c[i].days)
      g_error("%s: %d, %d", c[i].text, st, days);
  }
}

/* Every day of 12,000 years, written and read again. */
static void test_all_days(void)
{
  char buf[MR_TEXT_DATE_MAX];
  for (int32_t d = -1000000; d < 3400000; d += 1 + (d & 7)) {
    int32_t again = 0;
    int n = mr_put_date(buf, d);
    g_assert_cmpint(n, <=, MR_TEXT_DATE_MAX);
    if (mr_text_date(buf, n, &again) != MR_TEXT_OK || again != d)
      g_error("%d: %.*s", d, n, buf);
  }
}

static void test_timestamps(void)
{
  static const struct {
    const char *text;
    enum mr_text_status st;
    int64_t us;
    bool offset;
  } c[] = {{"1970-01-01T00:00:00Z", MR_TEXT_OK, 0, true},
           {"1970-01-01 00:00:01", MR_TEXT_OK, 1000000, false},
           {"1970-01-01T01:00:00+01:00", MR_TEXT_OK, 0, true},
           {"1970-01-01T01:00:00+0100", MR_TEXT_OK, 0, true},
           {"1970-01-01T00:00-08", MR_TEXT_OK, INT64_C(28800000000), true},
           {"1969-12-31T23:59:59.9999999Z", MR_TEXT_OK, -1, true},
           {"2026-01-28", MR_TEXT_OK, INT64_C(1769558400000000), false},
           {"1970-01-01t00:00:00.5z", MR_TEXT_OK, 500000, true},
           {"1970-01-01T24:00:00Z", MR_TEXT_RANGE, 0, false},
           {"1970-01-01T00:00:60Z", MR_TEXT_RANGE, 0, false},
           {"1970-01-01T00:00:00+24:00", MR_TEXT_RANGE, 0, false},
           {"1970-02-30T00:00:00Z", MR_TEXT_RANGE, 0, false},
           {"+300000-01-01T00:00:00Z", MR_TEXT_RANGE, 0, false},
           {"1970-01-01T00:00:00.Z", MR_TEXT_BAD, 0, false},
           {"1970-01-01T00:00:00 Z", MR_TEXT_BAD, 0, false},
           {"1970-01-01T0:00", MR_TEXT_BAD, 0, false},
           {"1970-01-01T", MR_TEXT_BAD, 0, false},
           {"now", MR_TEXT_BAD, 0, false}};
  for (size_t i = 0; i < MR_COUNT(c); i++) {
    int64_t us = 0;
    bool offset = false;
    enum mr_text_status st = mr_text_timestamp(c[i].text, (int64_t)strlen(c[i].text), &us, &offset);
    if (st != c[i].st || (st == MR_TEXT_OK && (us != c[i].us || offset != c[i].offset)))
      g_error("%s: %d, %" G_GINT64_FORMAT, c[i].text, st, us);
  }
}

static void test_decimals(void)
{
  static const struct {
    const char *text;
    int precision, scale;
    bool cut;
    enum mr_text_status st;
    int64_t v;
  } c[] = {{"123.45", 5, 2, false, MR_TEXT_OK, 12345},
           {"123.450", 5, 2, false, MR_TEXT_OK, 12345},
           {"123.456", 5, 2, false, MR_TEXT_RANGE, 0},
           {"1234.5", 5, 2, false, MR_TEXT_RANGE, 0},
           {"-0.01", 5, 2, false, MR_TEXT_OK, -1},
           {"1.5e1", 5, 2, false, MR_TEXT_OK, 1500},
           {"15e-1", 5, 2, false, MR_TEXT_OK, 150},
           {"1e-3", 5, 2, false, MR_TEXT_RANGE, 0},
           {"0e999999999999", 5, 2, false, MR_TEXT_OK, 0},
           {"1e999999999999", 5, 2, false, MR_TEXT_RANGE, 0},
           {"1e-999999999999", 5, 2, true, MR_TEXT_OK, 0},
           {"-1.239", 5, 2, true, MR_TEXT_OK, -124},
           {"1.239", 5, 2, true, MR_TEXT_OK, 123},
           {"", 5, 2, false, MR_TEXT_BAD, 0},
           {".", 5, 2, false, MR_TEXT_BAD, 0},
           {"1e", 5, 2, false, MR_TEXT_BAD, 0},
           {"1,5", 5, 2, false, MR_TEXT_BAD, 0},
           {"0000000000000000000000000000000000000000000001", 5, 0, false, MR_TEXT_OK, 1}};
  for (size_t i = 0; i < MR_COUNT(c); i++) {
    __int128 v = 0;
    enum mr_text_status st = mr_text_decimal(c[i].text, (int64_t)strlen(c[i].text), c[i].precision,
                                             c[i].scale, c[i].cut, &v);
    if (st != c[i].st || (st == MR_TEXT_OK && v != c[i].v))
      g_error("%s: %d, %" G_GINT64_FORMAT, c[i].text, st, (gint64)v);
  }
}

static void test_bytes(void)
{
  static const struct {
    const char *text, *hex;
  } c[] = {{"", ""},           {"AA==", "00"}, {"AAE=", "0001"}, {"AAEC", "000102"},
           {"+/+/", "fbffbf"}, {"AA=", NULL},  {"AA", NULL},     {"AB==", NULL},
           {"AAF=", NULL},     {"A===", NULL}, {"=AAA", NULL},   {"AA==AA==", NULL},
           {"AA\n=", NULL},    {"-_-_", NULL}};
  for (size_t i = 0; i < MR_COUNT(c); i++) {
    uint8_t out[16];
    int64_t n = 0;
    g_autoptr(GString) hex = g_string_new(NULL);
    enum mr_text_status st = mr_text_base64(c[i].text, (int64_t)strlen(c[i].text), out, &n);
    for (int64_t k = 0; st == MR_TEXT_OK && k < n; k++)
      g_string_append_printf(hex, "%02x", out[k]);
    if ((st == MR_TEXT_OK) != (c[i].hex != NULL) || (c[i].hex && strcmp(hex->str, c[i].hex)))
      g_error("%s: %s", c[i].text, hex->str);
  }
  uint8_t id[16];
  static const char *const bad[] = {
      "01234567-89ab-cdef-0123-456789abcde", "0123456789abcdef0123456789abcdef",
      "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-0123456789-abcdef"};
  g_assert_cmpint(mr_text_uuid("01234567-89AB-cdef-0123-456789abcdef", 36, id), ==, MR_TEXT_OK);
  for (size_t i = 0; i < MR_COUNT(bad); i++)
    g_assert_cmpint(mr_text_uuid(bad[i], (int64_t)strlen(bad[i]), id), ==, MR_TEXT_BAD);
}

static uint64_t next(uint64_t *x)
{
  *x ^= *x << 13;
  *x ^= *x >> 7;
  *x ^= *x << 17;
  return *x;
}

/* Doubles and floats of all sizes: what is written reads back as the same bits, and as the C
 * library reads it. */
static void test_floats(void)
{
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  uint64_t x = 88172645463325252;
  for (int i = 0; i < 200000; i++) {
    uint64_t bits = next(&x);
    uint32_t bits32 = (uint32_t)(bits >> 7);
    char text[MR_TEXT_FLOAT_MAX + 1], scratch[MR_TEXT_FLOAT_MAX + 1];
    double d, again;
    float f, againf;
    memcpy(&d, &bits, 8);
    memcpy(&f, &bits32, 4);
    if (i % 4 == 1)
      d = (double)(bits % 1000000000) / 1000;
    if (i % 4 == 2)
      d = (double)(int64_t)bits;
    if (d - d == 0) {
      int n = mr_put_f64(text, d, c);
      text[n] = 0;
      if (mr_text_f64(text, n, c, scratch, &again) != MR_TEXT_OK || memcmp(&d, &again, 8))
        g_error("%a: %s", d, text);
      n = sprintf(text, "%.17g", d);
      double want = strtod(text, NULL);
      if (mr_text_f64(text, n, c, scratch, &again) != MR_TEXT_OK || memcmp(&want, &again, 8))
        g_error("%a: %s", d, text);
    }
    if (f - f == 0) {
      int n = mr_put_f32(text, f, c);
      text[n] = 0;
      if (mr_text_f32(text, n, c, scratch, &againf) != MR_TEXT_OK || memcmp(&f, &againf, 4))
        g_error("%a: %s", (double)f, text);
    }
  }
  freelocale(c);
}

/* Doubles in messages, in plain notation with up to 22 digits: as the C library reads them. */
static void test_json_floats(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_error err = MR_ERROR_INIT;
  uint64_t x = 1234567;
  schema_of("v float64", &s);
  struct mr_json_conf conf = {.columns = &s};
  struct mr_decoder *d = decoder_of("json", &conf);
  for (int i = 0; i < 100000; i++) {
    char m[80], number[64];
    uint64_t digits = next(&x) >> (x % 60);
    int n = sprintf(number, "%.*f", (int)(x % 20), (double)digits / (double)(1 + (x >> 40) % 1000));
    if (i % 2)
      n = sprintf(number, "%u.%0*lu", (unsigned)(x % 100000), 1 + i % 17, (unsigned long)digits);
    g_assert_cmpint(n, <, 64);
    sprintf(m, "{\"v\":%s%s}", i % 3 ? "" : "-", number);
    g_assert_cmpint(decode_text(d, m), ==, 1);
    g_assert_cmpint(mr_decoded(d, &rows, &err), ==, MR_OK);
    double want = strtod(m + 5, NULL), got = ((const double *)rows.children[0]->buffers[1])[0];
    if (memcmp(&want, &got, 8))
      g_error("%s: %a, not %a", m, got, want);
    mr_array_release(&rows);
  }
  mr_decoder_free(d);
  mr_schema_release(&s);
}

/* Kinds that JSON spells as text or number. */
static void check(const char *type, struct mr_json_conf conf, const char *value, const char *want)
{
  struct ArrowSchema s;
  struct mr_error err;
  g_autofree char *columns = g_strdup_printf("v %s", type),
                  *m = g_strdup_printf("{\"v\":%s}", value);
  schema_of(columns, &s);
  conf.columns = &s;
  struct mr_decoder *d = decoder_of("json", &conf);
  int st = decode_n(d, m, strlen(m), &err);
  g_autofree char *row = take_text(d),
                  *got = st < 0 ? g_strdup_printf("!%s", err.code) : g_strdup(row);
  if (strcmp(got, want))
    g_error("%s of %s: %s", type, value, got);
  mr_decoder_free(d);
  mr_schema_release(&s);
}

static void test_json_scalars(void)
{
  struct mr_json_conf iso = {0}, s = {.timestamps = MR_TIME_S}, ms = {.timestamps = MR_TIME_MILLI},
                      us = {.timestamps = MR_TIME_MICRO};
  check("decimal(9,2)", iso, "1.5", "150");
  check("decimal(9,2)", iso, "\"1.5\"", "150");
  check("decimal(9,2)", iso, "1.005", "!22003");
  check("decimal(38,0)", iso, "99999999999999999999999999999999999999",
        "99999999999999999999999999999999999999");
  check("decimal(38,0)", iso, "100000000000000000000000000000000000000", "!22003");
  check("decimal(9,2)", iso, "true", "!42804");
  check("decimal(9,2)", iso, "\"x\"", "!22P02");
  check("float64", iso, "1e309", "!22003");
  check("float64", iso, "\"1.5\"", "!42804");
  check("float64", iso, "1e-400", "0");
  check("float64", iso, "1844674407370955.161600000000000",
        "1844674407370955.2"); /* digits: 2^64 * 10^11 */
  check("float64", iso, "-0.0", "-0");
  check("float64", iso, "0.000000000000000000", "0");
  check("float64", iso, "0.30000000000000004", "0.30000000000000004");
  check("float64", iso, "9007199254740993", "9007199254740992");
  check("float64", iso, "9007199254740993.1", "9007199254740994");
  check("float64", iso, "01.5", "!22032");
  check("float64", iso, "1.", "!22032");
  check("float32", iso, "3.5e38", "!22003");
  check("date", iso, "\"1970-01-02\"", "1");
  check("date", iso, "\"1970-02-30\"", "!22008");
  check("date", iso, "1", "!42804");
  check("time", iso, "\"00:00:01\"", "1000000");
  check("time", iso, "\"24:00:00\"", "!22008");
  check("timestamptz", iso, "\"1970-01-01T00:00:00.25Z\"", "250000");
  check("timestamptz", iso, "\"1970-01-01T01:00:00+01:00\"", "0");
  check("timestamptz", iso, "\"1970-01-01T00:00:00\"", "0");
  check("timestamp(Europe/Berlin)", iso, "\"1970-01-01T00:00:00\"", "!22007");
  check("timestamp", iso, "\"1970-01-01T01:00:00+01:00\"", "0");
  check("timestamptz", iso, "1", "!42804");
  check("timestamptz", s, "1.5", "1500000");
  check("timestamptz", ms, "1769605200000", "1769605200000000");
  check("timestamptz", ms, "-0.5", "-500");
  check("timestamptz", us, "1.9", "1");
  check("timestamptz", s, "1e300", "!22008");
  check("timestamptz", s, "\"1970-01-01T00:00:01Z\"", "1000000");
  check("uuid", iso, "\"00010203-0405-0607-0809-0A0B0C0D0E0F\"",
        "000102030405060708090a0b0c0d0e0f");
  check("uuid", iso, "\"00010203\"", "!22P02");
  check("binary", iso, "\"AP8=\"", "00ff");
  check("binary", iso, "\"AP8\"", "!22P02");
  check("binary", iso, "1", "!42804");
  check("bool", iso, "1", "!42804");
  check("bool", iso, "truex", "!22032");
  check("json", iso, "{\"a\": [1.0, \"\\u00e9\"]}", "{\"a\": [1.0, \"\\u00e9\"]}");
  check("json", iso, "null", "null");
  check("map<int64,bool>", iso, "{\"1\":true,\"-2\":false}",
        "[{key=1 value=true} {key=-2 value=false}]");
  check("map<int64,bool>", iso, "{\"x\":true}", "!22P02");
  check("map<utf8,bool>", iso, "[1]", "!42804");
  check("list<int64>", iso, "{}", "!42804");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/text/dates", test_dates);
  g_test_add_func("/text/all-days", test_all_days);
  g_test_add_func("/text/timestamps", test_timestamps);
  g_test_add_func("/text/decimals", test_decimals);
  g_test_add_func("/text/bytes", test_bytes);
  g_test_add_func("/text/floats", test_floats);
  g_test_add_func("/text/json-floats", test_json_floats);
  g_test_add_func("/text/json-scalars", test_json_scalars);
  return g_test_run();
}
