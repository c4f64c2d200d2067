/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "format/csv.h"
#include "format/json.h"

/* Reads messages; "/" takes the batch. Returns "columns: rows" of each batch, refused messages as
 * "!code ". */
static char *read_csv(struct mr_csv_conf conf, const char *columns, const char *const *message)
{
  struct ArrowSchema s = {0};
  GString *out = g_string_new(NULL);
  if (columns) {
    schema_of(columns, &s);
    conf.columns = &s;
  }
  struct mr_decoder *d = decoder_of("csv", &conf);
  for (; *message; message++) {
    struct mr_error err;
    if (strcmp(*message, "/")) {
      if (decode_n(d, *message, strlen(*message), &err) < 0)
        g_string_append_printf(out, "!%s ", err.code);
      continue;
    }
    struct ArrowSchema now = {0};
    g_autofree char *rows = take_text(d);
    if (out->len && out->str[out->len - 1] != ' ')
      g_string_append(out, " then ");
    if (!columns && mr_decoder_schema(d, &now, &err) == MR_OK) {
      g_autofree char *text = schema_text(&now);
      g_string_append_printf(out, "%s: ", text);
    }
    g_string_append(out, rows);
    mr_schema_release(&now);
  }
  mr_decoder_free(d);
  mr_schema_release(&s);
  return g_string_free(out, FALSE);
}
#define assert_csv(conf, columns, want, ...)                                       \
  do {                                                                             \
    const char *const message_[] = {__VA_ARGS__, "/", NULL};                       \
    g_autofree char *got_ = read_csv((struct mr_csv_conf)conf, columns, message_); \
    g_assert_cmpstr(got_, ==, want);                                               \
  } while (0)
#define HEADER     \
  {                \
    .header = true \
  }

static void test_records(void)
{
  assert_csv(HEADER, "a utf8; b utf8", "1,2|x,y|,null|,null|p\"q,r\ns|a,b,c", "a,b\r\n", "1,2\r\n",
             "x,y", "\"\",\n\"\",", "\"p\"\"q\",\"r\ns\"\n", "\"a,b\",c\n");
  assert_csv(HEADER, "b int64; a utf8", "2,1|null,x", "\"a\",skipped,b\n1,z,2\n\nx,,\n\n");
  assert_csv({0}, "a utf8; b utf8", "a,b|1,2", "a,b\n", "1,2\n");
  assert_csv(HEADER, "a utf8", "1",
             "\xef\xbb\xbf"
             "a\n1\n");
  assert_csv(HEADER, "a utf8; b utf8", "null,null|,", "a,b\n,\n\"\",\"\"\n");
  assert_csv(HEADER, "a int64", "1|null|2", "a\n1\n\n2\n");
}

static void test_dialects(void)
{
  assert_csv(((struct mr_csv_conf){.header = true, .delimiter = "tab", .null_text = "\\N"}),
             "a utf8; b utf8", "x,null|,\\N", "a\tb\n", "x\t\\N\n", "\t\"\\N\"\n");
  assert_csv(((struct mr_csv_conf){.header = true, .delimiter = ";", .quote = "'"}),
             "a utf8; b float64", "it's,1.5", "a;b\n", "'it''s';1.5\n");
  assert_csv(((struct mr_csv_conf){.header = true, .quote = ""}), "a utf8; b utf8", "\"x\",y",
             "a,b\n\"x\",y\n");
  static const char *const bad[][2] = {{"", NULL}, {"ab", NULL}, {"\n", NULL},
                                       {",", ","}, {",", "ab"},  {"\xc3\xa9", NULL}};
  for (size_t i = 0; i < MR_COUNT(bad); i++) {
    struct mr_csv_conf conf = {.delimiter = bad[i][0], .quote = bad[i][1]};
    struct mr_format f = {mr_format_find("csv"), &conf};
    struct mr_error err = MR_ERROR_INIT;
    struct mr_decoder *d = NULL;
    g_assert_cmpint(mr_decoder_new(&f, &d, &err), ==, MR_BADCONF);
  }
}

/* Each record's own bytes, without its line end; the header is none. */
static void test_extents(void)
{
  struct mr_csv_conf conf = {.header = true};
  struct mr_format f = {mr_format_find("csv"), &conf};
  struct mr_error err = MR_ERROR_INIT;
  struct mr_decoder *d = NULL;
  g_assert_cmpint(mr_decoder_new(&f, &d, &err), ==, MR_OK);
  assert_extents(d, "a,b\n1,x\r\n\n2,\"y\nz\"\n", "1,x|2,\"y\nz\"");
  assert_extents(d, "text,1\n3,u", "text,1|3,u"); /* column a is read again as text */
  assert_extents(d, "4,v\n5\n", "");
  mr_decoder_free(d);
}

static void test_types(void)
{
  assert_csv({0},
             "a bool; b int8; c uint64; d decimal(9,2); e date; f time; g timestamptz; h uuid; i "
             "binary; j json; k float32",
             "true,-128,18446744073709551615,12345,1,3600000000,1000000,"
             "000102030405060708090a0b0c0d0e0f,00ff,{\"x\": 1},1.5",
             "t,-128,18446744073709551615,123.45,1970-01-02,01:00,1970-01-01 "
             "00:00:01Z,00010203-0405-0607-0809-0a0b0c0d0e0f,AP8=,\"{\"\"x\"\": 1}\",1.5\n");
  assert_csv({0}, "a int64; b utf8", "!22P02 !22003 !22P02 1,x", "1.0,x\n",
             "9223372036854775808,x\n", "\"\",x\n", "1,x\n");
  assert_csv({0}, "a json", "!22P02 !22P02 !22P02 1", "{\n", "\"1,2\"\n", "\"\"\n", "1\n");
  struct ArrowSchema s;
  schema_of("a list<int64>", &s);
  struct mr_csv_conf conf = {.columns = &s};
  struct mr_format f = {mr_format_find("csv"), &conf};
  struct mr_error err = MR_ERROR_INIT;
  struct mr_decoder *d = NULL;
  g_assert_cmpint(mr_decoder_new(&f, &d, &err), ==, MR_BADCONF);
  mr_schema_release(&s);
}

/* Nothing of a refused message is kept, and the next one is read as ever. */
static void test_refused(void)
{
  assert_csv({0}, "a int64; b utf8", "!22023 !22023 !22P04 !22P04 !22P04 !22P04 !22021 !22P02 1,x",
             "1\n", "1,2,3\n", "1,\"x\n", "1,\"x\"y\n", "1,x\"y\n", "1,x\ry\n", "1,\xff\n",
             "1,x\n2,y\nz,z\n", "1,x\n");
  struct ArrowSchema s;
  struct mr_error err;
  schema_of("a int64; b int64", &s);
  struct mr_csv_conf conf = {.columns = &s, .header = true};
  struct mr_decoder *d = decoder_of("csv", &conf);
  g_assert_cmpint(decode_n(d, "a,c\n", 4, &err), ==, MR_BADCONF);
  g_assert_cmpstr(err.msg, ==, "column `b` is not in the data: the header does not name it");
  g_assert_cmpint(decode_n(d, "a,b,a\n", 6, &err), ==, MR_BADCONF);
  g_assert_cmpint(decode_n(d, "\"a\n", 3, &err), ==, MR_REJECT);
  g_assert_cmpint(err.native, ==, 1); /* more of the record may follow */
  g_assert_cmpint(decode_n(d, "a,b\n", 4, &err), ==, 0);
  g_assert_cmpint(decode_n(d, "1,2\n3,secret\n", 13, &err), ==, MR_REJECT);
  g_assert_cmpstr(err.msg, ==, "byte 4, column b: not an integer");
  mr_decoder_free(d);
  mr_schema_release(&s);
}

static void test_inferred(void)
{
  assert_csv(HEADER, NULL, "a int64; b float64; c utf8; d bool: 1,1.5,x,true|2,2,y,false",
             "a,b,c,d\n", "1,1.5,x,true\n", "2,2,y,false\n");
  assert_csv(HEADER, NULL, "zip utf8; n int64: 08123,1|123,-2", "zip,n\n", "08123,1\n", "123,-2\n");
  assert_csv(HEADER, NULL, "a utf8: 1.50|x", "a\n1.50\n", "x\n");
  assert_csv(HEADER, NULL, "a utf8: 9007199254740993|1.5", "a\n9007199254740993\n1.5\n");
  assert_csv(HEADER, NULL, "a int64; b utf8: 1,null then a float64; b utf8: 2.5,7", "a,b\n1,\n",
             "/", "2.5,7\n");
  assert_csv(HEADER, NULL, "idle then a int64: 1", "a\n", "/", "1\n");
  assert_csv({0}, NULL, "c1 int64; c2 utf8: 1,x|null,y", "1,x\n", ",y\n");
  assert_csv(HEADER, NULL, "a int64; c2 int64: 1,3", "a,,_op\n1,3,u\n");
  assert_csv(HEADER, NULL, "!22023 !22P04 a float64: 1|1.5", "a\n1\n", "x,y\n", "\"x\n", "1.5\n");
  assert_csv(HEADER, NULL, "!22023 a utf8; b int64: 1,2|x,3", "a,b\n1,2\n", "y,2\nz\n", "x,3\n");
}

static void test_spectrum(void)
{
  g_autofree char *dir = corpus("csv-spectrum");
  if (!dir)
    return;
  static const char *const name[] = {"comma_in_quotes",
                                     "empty",
                                     "empty_crlf",
                                     "escaped_quotes",
                                     "json",
                                     "newlines",
                                     "newlines_crlf",
                                     "quotes_and_newlines",
                                     "simple",
                                     "simple_crlf",
                                     "utf8"};
  for (size_t i = 0; i < MR_COUNT(name); i++) {
    g_autofree char *csv_path = g_strdup_printf("%s/csvs/%s.csv", dir, name[i]),
                    *json_path = g_strdup_printf("%s/json/%s.json", dir, name[i]);
    g_autofree char *csv = NULL, *json = NULL;
    g_assert_true(g_file_get_contents(csv_path, &csv, NULL, NULL) &&
                  g_file_get_contents(json_path, &json, NULL, NULL));
    g_autofree char *names = g_strndup(csv, strcspn(csv, "\r\n"));
    g_auto(GStrv) column = g_strsplit(names, ",", -1);
    g_autofree char *joined = g_strjoinv(" utf8;", column),
                    *columns = g_strconcat(joined, " utf8", NULL);
    const char *const one[] = {csv, "/", NULL};
    g_autofree char *got = read_csv((struct mr_csv_conf)HEADER, columns, one);
    struct ArrowSchema s;
    schema_of(columns, &s);
    struct mr_json_conf conf = {.columns = &s};
    struct mr_decoder *d = decoder_of("json", &conf);
    g_assert_cmpint(decode_text(d, json), >, 0);
    g_autofree char *want = take_text(d);
    if (g_str_has_suffix(name[i], "_crlf")) { /* the twins have \n inside their texts */
      g_auto(GStrv) part = g_strsplit(got, "\r\n", -1);
      g_free(got);
      got = g_strjoinv("\n", part);
      g_auto(GStrv) twin = g_strsplit(want, "\r\n", -1);
      g_free(want);
      want = g_strjoinv("\n", twin);
    }
    g_assert_cmpstr(got, ==, want);
    mr_decoder_free(d);
    mr_schema_release(&s);
  }
}

/* ---------------------------------------------------------------- encoder */

static char *write_csv(const struct mr_csv_conf *conf, const struct ArrowSchema *s,
                       const struct ArrowArray *rows)
{
  struct mr_encoder *e = NULL;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_format f = {mr_format_find("csv"), conf};
  struct mr_batch b = {.size = sizeof b, .schema = s, .rows = *rows};
  struct ArrowArray out;
  GString *text = g_string_new(NULL);
  g_assert_cmpint(mr_encoder_new(&f, s, &e, &err), ==, MR_OK);
  for (int turn = 0; turn < 2; turn++) {
    b.rows.length = turn ? rows->length : 0;
    int st = mr_encode(e, &b, &out, &err);
    if (st != MR_OK) {
      g_string_append_printf(text, "!%s row %d", err.code, (int)err.row);
      break;
    }
    g_assert_cmpint(out.length, ==, turn ? rows->length : conf->header);
    const int32_t *o = out.buffers[1];
    if (out.length)
      g_string_append_len(text, (const char *)out.buffers[2], o[out.length]);
    mr_array_release(&out);
  }
  mr_encoder_free(e);
  return g_string_free(text, FALSE);
}

static void check_write(struct mr_csv_conf conf, const char *columns, const char *json,
                        const char *want, bool back)
{
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_error err = MR_ERROR_INIT;
  schema_of(columns, &s);
  struct mr_json_conf jc = {.columns = &s};
  struct mr_decoder *d = decoder_of("json", &jc);
  g_assert_cmpint(decode_text(d, json), >, 0);
  g_assert_cmpint(mr_decoded(d, &rows, &err), ==, MR_OK);
  g_autofree char *got = write_csv(&conf, &s, &rows);
  g_assert_cmpstr(got, ==, want);
  if (back) {
    conf.columns = &s;
    struct mr_decoder *again = decoder_of("csv", &conf);
    g_assert_cmpint(decode_text(again, got), ==, rows.length);
    g_autofree char *rows_again = take_text(again), *rows_before = rows_text(&s, &rows);
    g_assert_cmpstr(rows_again, ==, rows_before);
    mr_decoder_free(again);
  }
  mr_array_release(&rows);
  mr_decoder_free(d);
  mr_schema_release(&s);
}

static void test_write(void)
{
  check_write(
      (struct mr_csv_conf)HEADER, "a int64; b utf8; _op utf8",
      "[{\"a\":1,\"b\":\"x\",\"_op\":\"u\"},{\"b\":\"a,\\\"b\\\"\\n\"},{\"a\":2,\"b\":\"\"}]",
      "a,b\n1,x\n,\"a,\"\"b\"\"\n\"\n2,\"\"\n", false);
  check_write(
      (struct mr_csv_conf){.header = true, .delimiter = "|", .quote = "'", .null_text = "NULL"},
      "a utf8; b utf8",
      "[{\"a\":\"it's\",\"b\":\"NULL\"},{\"a\":\"x|y\",\"b\":null},{\"a\":\"\\u00e9,\\\"\"}]",
      "a|b\n'it''s'|'NULL'\n'x|y'|NULL\n\xc3\xa9,\"|NULL\n", true);
  check_write((struct mr_csv_conf){.quote = ""}, "a utf8", "[{\"a\":\"x\"},{\"a\":\"x,y\"}]",
              "!22P04 row 1", false);
  check_write((struct mr_csv_conf)HEADER, "a list<utf8>; b map<utf8,int64>",
              "{\"a\":[\"x\",null],\"b\":{\"k\":1}}",
              "a,b\n\"[\"\"x\"\",null]\",\"{\"\"k\"\":1}\"\n", false);
}

/* What the encoder writes, the decoder reads to the same rows. */
static void test_round_trip(void)
{
  static const struct {
    const char *type, *json, *csv;
  } c[] = {
      {"bool", "true", "true"},
      {"int8", "-128", "-128"},
      {"int64", "-9223372036854775808", "-9223372036854775808"},
      {"uint64", "18446744073709551615", "18446744073709551615"},
      {"float32", "0.1", "0.1"},
      {"float64", "1e22", "1e+22"},
      {"decimal(18,4)", "-0.0001", "-0.0001"},
      {"date", "\"2026-02-28\"", "2026-02-28"},
      {"time", "\"13:00:00.25\"", "13:00:00.250000"},
      {"timestamp", "\"2026-01-28T13:00:00\"", "2026-01-28T13:00:00.000000"},
      {"timestamptz", "\"2026-01-28T13:00:00Z\"", "2026-01-28T13:00:00.000000Z"},
      {"utf8", "\"a\\r\\nb\"", "\"a\r\nb\""},
      {"utf8", "\"\"", "\"\""},
      {"binary", "\"AAEC\"", "AAEC"},
      {"binary", "\"\"", "\"\""},
      {"uuid", "\"01234567-89ab-cdef-0123-456789abcdef\"", "01234567-89ab-cdef-0123-456789abcdef"},
      {"json", "{\"x\": [1,2]}", "\"{\"\"x\"\": [1,2]}\""}};
  for (size_t i = 0; i < MR_COUNT(c); i++) {
    g_autofree char *columns = g_strdup_printf("v %s", c[i].type),
                    *in = g_strdup_printf("[{\"v\":%s},{},{\"v\":%s}]", c[i].json, c[i].json);
    g_autofree char *want = g_strdup_printf("v\n%s\n\n%s\n", c[i].csv, c[i].csv);
    check_write((struct mr_csv_conf)HEADER, columns, in, want, true);
  }
}

static void test_raw(void)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_encoder *e = NULL;
  struct ArrowSchema s;
  struct ArrowArray rows, out;
  struct mr_format f = {mr_format_find("raw"), NULL};
  struct mr_decoder *d = decoder_of("raw", NULL);
  g_assert_cmpint(decode_n(d, "a\0\xff", 3, &err), ==, 1);
  g_assert_cmpint(decode_n(d, "", 0, &err), ==, 1);
  g_assert_cmpint(mr_decoder_schema(d, &s, &err), ==, MR_OK);
  g_autofree char *columns = schema_text(&s);
  g_assert_cmpstr(columns, ==, "value binary");
  g_assert_cmpint(mr_decoded(d, &rows, &err), ==, MR_OK);
  g_autofree char *text = rows_text(&s, &rows);
  g_assert_cmpstr(text, ==, "6100ff|");
  g_assert_cmpint(mr_encoder_new(&f, &s, &e, &err), ==, MR_OK);
  g_assert_cmpint(mr_encode(e, &(struct mr_batch){.schema = &s, .rows = rows}, &out, &err), ==,
                  MR_OK);
  g_assert_cmpint(out.length, ==, 2);
  g_assert_cmpmem(out.buffers[2], ((const int32_t *)out.buffers[1])[2], "a\0\xff", 3);
  mr_array_release(&out);
  mr_array_release(&rows);
  mr_encoder_free(e);
  mr_decoder_free(d);
  mr_schema_release(&s);
  schema_of("a int64; b utf8", &s);
  g_assert_cmpint(mr_encoder_new(&f, &s, &e, &err), ==, MR_BADCONF);
  mr_schema_release(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/csv/records", test_records);
  g_test_add_func("/csv/dialects", test_dialects);
  g_test_add_func("/csv/types", test_types);
  g_test_add_func("/csv/extents", test_extents);
  g_test_add_func("/csv/refused", test_refused);
  g_test_add_func("/csv/inferred", test_inferred);
  g_test_add_func("/csv/spectrum", test_spectrum);
  g_test_add_func("/csv/write", test_write);
  g_test_add_func("/csv/round-trip", test_round_trip);
  g_test_add_func("/raw/both-ways", test_raw);
  return g_test_run();
}
