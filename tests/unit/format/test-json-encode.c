/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "format/json.h"

/* Columns decoded from `in` (a JSON message), encoded again: values separated by "|". */
static char *encode_rows(const char *format, const struct ArrowSchema *s, struct ArrowArray *rows,
                         struct mr_error *err)
{
  struct mr_encoder *e = NULL;
  struct mr_format f = {mr_format_find(format), NULL};
  struct mr_batch b = {.size = sizeof b, .schema = s, .rows = *rows};
  struct ArrowArray out;
  g_assert_cmpint(mr_encoder_new(&f, s, &e, err), ==, MR_OK);
  int st = mr_encode(e, &b, &out, err);
  GString *text = g_string_new(NULL);
  if (st != MR_OK)
    g_string_printf(text, "!%s row %d", err->code, (int)err->row);
  else {
    struct ArrowSchema z;
    struct mr_view v;
    g_assert_true(mr_schema_init(&z, "", "z", true));
    if (mr_array_check(&z, &out, true, err) != MR_OK)
      g_error("bad array: %s", err->msg);
    g_assert_cmpint(out.length, ==, rows->length);
    mr_view_init(&v, &z, &out);
    for (int64_t i = 0; i < out.length; i++) {
      int64_t n;
      const char *p = mr_view_bytes(&v, i, &n);
      if (i)
        g_string_append_c(text, '|');
      g_string_append_len(text, p, n);
    }
    mr_array_release(&out);
    mr_schema_release(&z);
  }
  mr_encoder_free(e);
  return g_string_free(text, FALSE);
}

static void rows_of(const struct ArrowSchema *s, const char *message, struct ArrowArray *ret)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_json_conf conf = {.columns = s};
  struct mr_decoder *d = decoder_of("json", &conf);
  if (decode_n(d, message, strlen(message), &err) < 0)
    g_error("%s", err.msg);
  g_assert_cmpint(mr_decoded(d, ret, &err), ==, MR_OK);
  mr_decoder_free(d);
}

static void check(const char *format, const char *columns, const char *in, const char *want)
{
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_error err = MR_ERROR_INIT;
  schema_of(columns, &s);
  rows_of(&s, in, &rows);
  g_autofree char *got = encode_rows(format, &s, &rows, &err);
  g_assert_cmpstr(got, ==, want);
  mr_array_release(&rows);
  mr_schema_release(&s);
}

static void test_lines(void)
{
  check("json", "a int64; b utf8", "[{\"a\":1,\"b\":\"x\"},{\"a\":2}]",
        "{\"a\":1,\"b\":\"x\"}|{\"a\":2,\"b\":null}");
  check("jsonl", "a int64; b utf8", "[{\"a\":1,\"b\":\"x\"},{\"a\":2}]",
        "{\"a\":1,\"b\":\"x\"}\n|{\"a\":2,\"b\":null}\n");
  check("json", "a int64", "[]", "");
  check("json", "_op utf8; a int64; _key utf8", "{\"_op\":\"u\",\"a\":1,\"_key\":\"k\"}",
        "{\"a\":1}");
  check("json", "_op utf8", "[{\"_op\":\"u\"}]", "{}");
}

/* What the encoder writes, the decoder reads to the same rows. */
static void test_round_trip(void)
{
  static const struct {
    const char *type, *values;
  } c[] = {
      {"bool", "true,false,null"},
      {"int8", "-128,127,0"},
      {"int16", "-32768,32767"},
      {"int32", "-2147483648,2147483647"},
      {"int64", "-9223372036854775808,9223372036854775807,9007199254740993"},
      {"uint8", "255"},
      {"uint16", "65535"},
      {"uint32", "4294967295"},
      {"uint64", "18446744073709551615,0"},
      {"float32", "1.5,-0.0,3.4028235e+38,0.1,16777216.0,1.4013e-45"},
      {"float64", "1.5,0.1,-0.0,1.7976931348623157e+308,4.94065645841247e-324,12345678901234568.0,"
                  "0.30000000000000004,1e+22,100.0"},
      {"decimal(18,4)", "123.4500,-0.0001,99999999999999.9999"},
      {"decimal(38,0)",
       "99999999999999999999999999999999999999,-99999999999999999999999999999999999999"},
      {"date", "\"1970-01-01\",\"2026-02-28\",\"0001-01-01\",\"9999-12-31\""},
      {"time", "\"13:00:00.250000\",\"23:59:59.999999\""},
      {"timestamp", "\"2026-01-28T13:00:00.250000\",\"1969-12-31T23:59:59.999999\""},
      {"timestamptz", "\"2026-01-28T13:00:00.250000Z\",\"1900-03-01T00:00:00.000000Z\""},
      {"timestamp(Europe/Berlin)", "\"2026-01-28T13:00:00.250000Z\""},
      {"utf8", "\"\",\"a\\\"b\\\\c/\\b\\f\\n\\r\\t\\u0000\\u001f\",\"\xc3\xa9\xf0\x9f\x98\x80 long "
               "enough to go by words \x7f\",null"},
      {"binary", "\"\",\"AA==\",\"AAE=\",\"AAEC\",\"////\""},
      {"uuid", "\"01234567-89ab-cdef-0123-456789abcdef\""},
      {"json", "{\"a\": [1, 2.50, null]},\"text\",17,true,[]"},
      {"list<int64>", "[],[1,null,3],null"},
      {"list<list<utf8>>", "[[\"a\"],[],null]"},
      {"struct<a: int64, b: list<utf8>>", "{\"a\":1,\"b\":[\"x\"]},{\"a\":null,\"b\":null},null"},
      {"map<utf8,int64>", "{},{\"a\":1,\"b\":null},null"},
      {"map<int64,utf8>", "{\"1\":\"a\",\"-2\":\"b\"}"},
      {"map<timestamptz,bool>", "{\"2026-01-28T13:00:00.250000Z\":true}"},
      {"map<uuid,decimal(5,2)>", "{\"01234567-89ab-cdef-0123-456789abcdef\":1.25}"},
      {"list<struct<k: uuid, v: map<utf8,list<decimal(9,1)>>>>",
       "[{\"k\":\"01234567-89ab-cdef-0123-456789abcdef\",\"v\":{\"x\":[1.5,null]}}],[]"},
  };
  for (size_t i = 0; i < MR_COUNT(c); i++) {
    g_autofree char *columns = g_strdup_printf("v %s", c[i].type),
                    *one = g_strdup_printf("l list<%s>", c[i].type);
    g_autofree char *in = g_strdup_printf("{\"l\":[%s]}", c[i].values);
    check("json", one, in, in);
    if (strchr("[{", c[i].values[0]))
      continue; /* not to be split at commas */
    g_auto(GStrv) v = g_strsplit(c[i].values, ",", -1);
    for (char **p = v; *p; p++) {
      g_autofree char *row = g_strdup_printf("{\"v\":%s}", *p);
      check("json", columns, row, row);
    }
  }
}

static void test_floats(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_column c[2];
  struct mr_error err = MR_ERROR_INIT;
  schema_of("f float64; g float32", &s);
  const double v[] = {1.0 / 0.0, -1.0 / 0.0, 0.0 / 0.0, 2.5};
  for (int k = 0; k < 2; k++) {
    g_assert_true(mr_column_init(&c[k], s.children[k]));
    for (size_t i = 0; i < MR_COUNT(v); i++)
      g_assert_true(mr_column_f64(&c[k], v[i]));
  }
  g_assert_true(mr_rows_finish(c, 2, 4, &rows));
  for (int k = 0; k < 2; k++)
    mr_column_done(&c[k]);
  g_autofree char *got = encode_rows("json", &s, &rows, &err);
  g_assert_cmpstr(
      got, ==,
      "{\"f\":\"Infinity\",\"g\":\"Infinity\"}|{\"f\":\"-Infinity\",\"g\":\"-Infinity\"}|"
      "{\"f\":\"NaN\",\"g\":\"NaN\"}|{\"f\":2.5,\"g\":2.5}");
  mr_array_release(&rows);
  mr_schema_release(&s);
}

/* What was written for them is read again; other texts are no numbers. */
static void test_floats_again(void)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  const char *text = "{\"f\":\"Infinity\",\"g\":\"-Infinity\"}|{\"f\":\"NaN\",\"g\":-0.0}";
  check("json", "f float64; g float32",
        "[{\"f\":\"Infinity\",\"g\":\"-Infinity\"},{\"f\":\"NaN\",\"g\":-0.0}]", text);
  schema_of("f float64", &s);
  struct mr_json_conf conf = {.columns = &s};
  struct mr_decoder *d = decoder_of("json", &conf);
  static const char *const bad[] = {"\"nan\"",        "\"1.5\"",       "\"\"",
                                    "\"-Infinity \"", "\"Infinityy\"", "NaN"};
  for (size_t i = 0; i < MR_COUNT(bad); i++) {
    g_autofree char *message = g_strdup_printf("{\"f\":%s}", bad[i]);
    g_assert_cmpint(decode_n(d, message, strlen(message), &err), ==, MR_REJECT);
  }
  mr_decoder_free(d);
  mr_schema_release(&s);
}

/* A slice is written from its own first row, nested columns too. */
static void test_slice(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows, part;
  struct mr_error err = MR_ERROR_INIT;
  schema_of("a int64; t utf8; s struct<x: int64, y: list<int64>>; m map<utf8,int64>", &s);
  rows_of(&s,
          "[{\"a\":1,\"t\":\"one\",\"s\":{\"x\":1,\"y\":[1]},\"m\":{\"a\":1}},{\"a\":2,\"t\":"
          "\"two\",\"s\":{\"x\":2,\"y\":[2,2]},\"m\":{\"b\":2}},"
          "{\"a\":null,\"t\":null,\"s\":null,\"m\":null},{\"a\":4}]",
          &rows);
  g_assert_true(mr_rows_slice(&rows, 1, 2, &part));
  g_autofree char *got = encode_rows("json", &s, &part, &err);
  g_assert_cmpstr(got, ==,
                  "{\"a\":2,\"t\":\"two\",\"s\":{\"x\":2,\"y\":[2,2]},\"m\":{\"b\":2}}|{\"a\":null,"
                  "\"t\":null,\"s\":null,\"m\":null}");
  mr_array_release(&part);
  mr_array_release(&rows);
  mr_schema_release(&s);
}

/* A json column: no line breaks in the output, and nothing but JSON. */
static void test_json_column(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_error err = MR_ERROR_INIT;
  static const char *const text[] = {"{\n \"a\": 1\r\n}", " 7 ", "{", "1}", "", "1,2"};
  for (size_t i = 0; i < MR_COUNT(text); i++) {
    struct mr_column c;
    schema_of("j json", &s);
    g_assert_true(mr_column_init(&c, s.children[0]) && mr_column_text(&c, "1") &&
                  mr_column_text(&c, text[i]));
    g_assert_true(mr_rows_finish(&c, 1, 2, &rows));
    mr_column_done(&c);
    g_autofree char *got = encode_rows("jsonl", &s, &rows, &err);
    g_assert_cmpstr(got, ==,
                    i == 0   ? "{\"j\":1}\n|{\"j\":{  \"a\": 1  }}\n"
                    : i == 1 ? "{\"j\":1}\n|{\"j\": 7 }\n"
                             : "!22032 row 1");
    mr_array_release(&rows);
    mr_schema_release(&s);
  }
}

/* Keys of columns that a row does not write are left out; from slices too. */
static void test_unset(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows, part;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_json_conf conf = {.columns = &s, .absent = MR_ABSENT_UNSET};
  schema_of("a int64; _set struct<b: bool, a: bool, gone: bool>; b utf8; c int64", &s);
  struct mr_decoder *d = decoder_of("json", &conf);
  g_assert_cmpint(decode_text(d, "[{\"a\":1,\"b\":\"x\"},{\"b\":null},{\"a\":3},{}]"), ==, 4);
  g_assert_cmpint(mr_decoded(d, &rows, &err), ==, MR_OK);
  mr_decoder_free(d);
  g_assert_true(mr_rows_slice(&rows, 1, 3, &part));
  g_autofree char *all = encode_rows("json", &s, &rows, &err);
  g_assert_cmpstr(all, ==,
                  "{\"a\":1,\"b\":\"x\",\"c\":null}|{\"b\":null,\"c\":null}|{\"a\":3,\"c\":null}|"
                  "{\"c\":null}");
  g_autofree char *some = encode_rows("json", &s, &part, &err);
  g_assert_cmpstr(some, ==, "{\"b\":null,\"c\":null}|{\"a\":3,\"c\":null}|{\"c\":null}");
  mr_array_release(&part);
  mr_array_release(&rows);
  /* csv has no way to say it */
  struct mr_format csv = {mr_format_find("csv"), NULL};
  struct mr_encoder *e = NULL;
  g_assert_cmpint(mr_encoder_new(&csv, &s, &e, &err), ==, MR_BADCONF);
  g_assert_nonnull(strstr(err.msg, "_set"));
  mr_schema_release(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/json/encode/lines", test_lines);
  g_test_add_func("/json/encode/round-trip", test_round_trip);
  g_test_add_func("/json/encode/floats", test_floats);
  g_test_add_func("/json/encode/floats-again", test_floats_again);
  g_test_add_func("/json/encode/slice", test_slice);
  g_test_add_func("/json/encode/json-column", test_json_column);
  g_test_add_func("/json/encode/unset", test_unset);
  return g_test_run();
}
