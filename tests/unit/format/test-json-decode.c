/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "format/json.h"
#include "millrace/changes.h"

/* Decodes messages (NULL-terminated) with these columns; returns the rows as text, refused messages
 * as "!code". */
static char *decode_all(const char *columns, struct mr_json_conf conf, const char *const *message)
{
  struct ArrowSchema s;
  schema_of(columns, &s);
  conf.columns = &s;
  struct mr_decoder *d = decoder_of("json", &conf);
  GString *out = g_string_new(NULL);
  for (; *message; message++) {
    struct mr_error err;
    if (decode_n(d, *message, strlen(*message), &err) >= 0)
      continue;
    g_string_append_printf(out, "!%s ", err.code);
  }
  g_autofree char *rows = take_text(d);
  g_string_append(out, rows);
  mr_decoder_free(d);
  mr_schema_release(&s);
  return g_string_free(out, FALSE);
}

#define assert_rows(columns, want, ...)                                              \
  do {                                                                               \
    const char *const message_[] = {__VA_ARGS__, NULL};                              \
    g_autofree char *got_ = decode_all(columns, (struct mr_json_conf){0}, message_); \
    g_assert_cmpstr(got_, ==, want);                                                 \
  } while (0)
#define assert_rows_conf(columns, conf, want, ...)                                    \
  do {                                                                                \
    const char *const message_[] = {__VA_ARGS__, NULL};                               \
    g_autofree char *got_ = decode_all(columns, (struct mr_json_conf)conf, message_); \
    g_assert_cmpstr(got_, ==, want);                                                  \
  } while (0)

static void test_shapes(void)
{
  assert_rows("a int64; b utf8", "1,x", "{\"a\":1,\"b\":\"x\"}");
  assert_rows("a int64; b utf8", "1,x|2,y|3,null", "[{\"a\":1,\"b\":\"x\"},{\"b\":\"y\",\"a\":2}]",
              " \n{ \"a\" : 3 } \r\t");
  assert_rows("a int64", "", "[]", " [ ] ");
  assert_rows("a int64", "null|null", "{}", "[{}]");
  assert_rows("a int64", "!22023 !22023 !22023 !22023 !22023 !22032 !42804 1", "", " ", "null", "7",
              "\"a\"", "{\"a\":1} {}", "[[{\"a\":1}]]", "{\"a\":1}");
  assert_rows("a int64", "!22032 !22032 !22032 !22032 !22032 !22032 !22023 ", "{\"a\":1,}", "[{},]",
              "{,}", "[{}{}]", "{\"a\" 1}", "{a:1}", "{\"a\":1");
}

static void test_whole_message(void)
{
  assert_rows("a int64; b utf8; c list<int64>; d map<utf8,int64>; e struct<f: utf8, g: int64>",
              "!22003 !42804 !22P02 !42804 1,x,[1 2],[{key=k value=1}],{f=t g=5}",
              "[{\"a\":1,\"b\":\"one\",\"c\":[1,2,3]},{\"a\":2,\"b\":\"two\",\"c\":[4,"
              "9223372036854775808]}]",
              "[{\"a\":1,\"d\":{\"x\":1,\"y\":\"\"}}]", "{\"e\":{\"f\":\"abc\",\"g\":1.5}}",
              "[{\"a\":1},{\"a\":2},7]",
              "{\"a\":1,\"b\":\"x\",\"c\":[1,2],\"d\":{\"k\":1},\"e\":{\"f\":\"t\",\"g\":5}}");
}

static void test_integers(void)
{
  assert_rows("a int64; b uint64",
              "-9223372036854775808,18446744073709551615|9223372036854775807,0|9007199254740993,0",
              "{\"a\":-9223372036854775808,\"b\":18446744073709551615}",
              "{\"a\":9223372036854775807,\"b\":-0}", "{\"a\":9007199254740993,\"b\":0}");
  assert_rows("a int64; b uint64", "!22003 !22003 !22003 !22003 !22003 ",
              "{\"a\":9223372036854775808}", "{\"a\":-9223372036854775809}",
              "{\"b\":18446744073709551616}", "{\"b\":-1}",
              "{\"a\":100000000000000000000000000000000000000000000}");
  assert_rows("a int8; b uint8; c int16; d uint16; e int32; f uint32",
              "-128,255,-32768,65535,-2147483648,4294967295",
              "{\"a\":-128,\"b\":255,\"c\":-32768,\"d\":65535,\"e\":-2147483648,\"f\":4294967295}");
  assert_rows("a int8; b uint8; c int16; d uint16; e int32; f uint32",
              "!22003 !22003 !22003 !22003 !22003 !22003 ", "{\"a\":128}", "{\"b\":256}",
              "{\"c\":32768}", "{\"d\":65536}", "{\"e\":2147483648}", "{\"f\":4294967296}");
  assert_rows("a int64", "!22P02 !22P02 !42804 !42804 !42804 !22032 !22032 !22032 ", "{\"a\":1.0}",
              "{\"a\":1e3}", "{\"a\":\"1\"}", "{\"a\":true}", "{\"a\":[1]}", "{\"a\":01}",
              "{\"a\":-}", "{\"a\":-01}");
  assert_rows_conf("a int64; b float64", {.quoted_numbers = true}, "!22P02 1,1.5", "{\"a\":\"1x\"}",
                   "{\"a\":\"1\",\"b\":\"1.5\"}");
}

/* Every length of number, at every distance from the end of the message. */
static void test_integer_lengths(void)
{
  uint64_t v = 0;
  for (int digits = 1; digits <= 19; digits++) {
    v = v * 10 + (uint64_t)(digits % 10);
    for (int pad = 0; pad < 12; pad++) {
      g_autofree char *m = g_strdup_printf("{\"a\":%" G_GUINT64_FORMAT "%*s}", v, pad, "");
      g_autofree char *want = g_strdup_printf("%" G_GUINT64_FORMAT, v);
      assert_rows("a uint64", want, m);
    }
  }
}

static void test_text(void)
{
  assert_rows("a utf8", "a\"b\\c/d\be\ff\ng\rh\ti|\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80|a\\0b|",
              "{\"a\":\"a\\\"b\\\\c\\/d\\be\\ff\\ng\\rh\\ti\"}",
              "{\"a\":\"\\u00e9\\u20AC\\ud83d\\ude00\"}", "{\"a\":\"a\\u0000b\"}", "{\"a\":\"\"}");
  assert_rows("a utf8", "!22021 !22021 !22021 !22021 !22032 !22032 !22032 !22032 ",
              "{\"a\":\"\\ud800\"}", "{\"a\":\"\\udc00\\ud800\"}", "{\"a\":\"\\ud800\\u0041\"}",
              "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\x\"}",
              "{\"a\":\"\n\"}", "{\"a\":\"\\u12\"}");
  assert_rows("a utf8", "!22021 !22021 !22021 !22021 ", "{\"z\":\"\\ud800\"}", "{\"z\":\"\xff\"}",
              "{\"\xc0\x80\":1}", "{\"z\":[{\"y\":\"\xe2\x82\"}]}");
  assert_rows("a utf8", "!22032 !22032 ", "\xef\xbb\xbf{\"a\":\"x\"}", "{\"a\":\"}");
  assert_rows("a utf8", "!42804 !42804 !42804 null", "{\"a\":1}", "{\"a\":{}}", "{\"a\":true}",
              "{\"a\":null}");
}

/* Plain runs of every length meet an escape and a non-ASCII letter at every place of a machine
 * word. */
static void test_text_lengths(void)
{
  for (int n = 0; n < 40; n++) {
    g_autofree char *run = g_strnfill((gsize)n, 'x');
    g_autofree char *m = g_strdup_printf("{\"a\":\"%s\\n%s\xc3\xa9%s\"}", run, run, run);
    g_autofree char *want = g_strdup_printf("%s\n%s\xc3\xa9%s", run, run, run);
    assert_rows("a utf8", want, m);
  }
}

static void test_duplicates(void)
{
  assert_rows(
      "a int64; b utf8; c list<int64>; d struct<x: int64, y: utf8>",
      "2,two,[3],{x=null y=q}|null,null,null,null",
      "{\"a\":1,\"b\":\"one\",\"a\":2,\"c\":[1,2],\"b\":\"two\",\"c\":[3],\"d\":{\"x\":1,\"y\":"
      "\"p\"},\"d\":{\"y\":\"q\"}}",
      "{\"a\":1,\"a\":null,\"b\":\"x\",\"b\":null,\"c\":[1],\"c\":null,\"d\":{},\"d\":null}");
  assert_rows("m map<utf8,int64>", "[{key=b value=2} {key=a value=3}]",
              "{\"m\":{\"a\":1,\"b\":2,\"\\u0061\":3}}");
}

static void test_map_many(void)
{
  GString *m = g_string_new("{\"m\":{");
  for (int i = 0; i < 1000; i++)
    g_string_append_printf(m, "%s\"k%d\":%d", i ? "," : "", i % 300, i);
  g_string_append(m, "}}");
  GString *want = g_string_new("[");
  for (int i = 700; i < 1000; i++)
    g_string_append_printf(want, "%s{key=k%d value=%d}", i > 700 ? " " : "", i % 300, i);
  g_string_append_c(want, ']');
  assert_rows("m map<utf8,int64>", want->str, m->str);
  g_string_free(m, TRUE);
  g_string_free(want, TRUE);
}

/* Key order that changes, keys that come and go, keys that need escapes, long keys, more than 64
 * columns. */
static void test_keys(void)
{
  assert_rows("a int64; b int64; c int64", "1,2,3|1,null,3|3,2,1|1,2,3|null,null,null",
              "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1,\"c\":3}", "{\"c\":1,\"b\":2,\"a\":3}",
              "{\"x\":0,\"a\":1,\"y\":[{}],\"b\":2,\"c\":3,\"z\":\"\"}", "{\"A\":1}");
  assert_rows("key int64", "7|8|9", "{\"\\u006bey\":7}", "{\"key\" :8}",
              "{\"k\\u0065\\u0079\": 9}");
  struct ArrowSchema s;
  g_assert_true(mr_schema_struct(&s));
  g_autofree char *longer = g_strnfill(200, 'k'),
                  *m = g_strdup_printf("{\"%s\":1,\"a\\\"b\":2,\"\\u00e9\":3}", longer);
  g_assert_true(mr_schema_field(&s, longer, "l", true) && mr_schema_field(&s, "a\"b", "l", true) &&
                mr_schema_field(&s, "\xc3\xa9", "l", true));
  struct mr_json_conf conf = {.columns = &s};
  struct mr_decoder *d = decoder_of("json", &conf);
  g_assert_cmpint(decode_text(d, m), ==, 1);
  g_assert_cmpint(decode_text(d, m), ==, 1);
  g_autofree char *got = take_text(d);
  g_assert_cmpstr(got, ==, "1,2,3|1,2,3");
  mr_decoder_free(d);
  mr_schema_release(&s);
}

static void test_many_columns(void)
{
  GString *columns = g_string_new(NULL), *m = g_string_new("{"), *want = g_string_new(NULL);
  for (int i = 0; i < 300; i++)
    g_string_append_printf(columns, "c%d int64;", i);
  for (int i = 299; i >= 0; i--)
    if (i % 3)
      g_string_append_printf(m, "\"c%d\":%d%s", i, i, i > 1 ? "," : "}");
  for (int i = 0; i < 300; i++)
    g_string_append_printf(want, i % 3 ? "%s%d" : "%snull", i ? "," : "", i);
  assert_rows(columns->str, want->str, m->str);
  g_string_free(columns, TRUE);
  g_string_free(m, TRUE);
  g_string_free(want, TRUE);
}

/* More different undeclared keys than are remembered. */
static void test_unknown_keys(void)
{
  struct ArrowSchema s;
  schema_of("a int64", &s);
  struct mr_json_conf conf = {.columns = &s};
  struct mr_decoder *d = decoder_of("json", &conf);
  for (int i = 0; i < 3 * MR_JSON_IGNORED; i++) {
    g_autofree char *m = g_strdup_printf("{\"k%d\":[%d],\"a\":%d}", i, i, i);
    g_assert_cmpint(decode_text(d, m), ==, 1);
  }
  g_autofree char *got = take_text(d);
  g_assert_true(g_str_has_suffix(got, "|766|767"));
  mr_decoder_free(d);
  mr_schema_release(&s);
  assert_rows_conf("a int64; b struct<c: int64>", {.unknown = MR_UNKNOWN_DEAD_LETTER},
                   "!42703 !42703 1,null", "{\"a\":1,\"x\":2}", "{\"b\":{\"d\":1}}", "{\"a\":1}");
}

static void test_depth(void)
{
  for (int n = 510; n <= 514; n++) {
    GString *m = g_string_new("{\"z\":");
    for (int i = 0; i < n; i++)
      g_string_append_c(m, '[');
    for (int i = 0; i < n; i++)
      g_string_append_c(m, ']');
    g_string_append_c(m, '}');
    assert_rows("a int64", n + 1 <= 512 ? "null" : "!54000 ", m->str);
    m->str[2] = 'j';
    g_autofree char *value = g_strndup(m->str + 5, m->len - 6);
    assert_rows("j json", n + 1 <= 512 ? value : "!54000 ", m->str);
    g_string_free(m, TRUE);
  }
}

static void test_messages(void)
{
  struct ArrowSchema s;
  struct mr_error err;
  schema_of("price decimal(18,4); o struct<p: int64>", &s);
  struct mr_json_conf conf = {.columns = &s};
  struct mr_decoder *d = decoder_of("json", &conf);
  const char *m = "{\"price\":\"secret\"}";
  g_assert_cmpint(decode_n(d, m, strlen(m), &err), ==, MR_REJECT);
  g_assert_cmpstr(err.msg, ==, "byte 9, column price: not a decimal number");
  m = "[{\"o\":{\"p\":{}}}]";
  g_assert_cmpint(decode_n(d, m, strlen(m), &err), ==, MR_REJECT);
  g_assert_cmpstr(err.msg, ==, "byte 11, column o.p: not an integer");
  m = "{\"price\":1]";
  g_assert_cmpint(decode_n(d, m, strlen(m), &err), ==, MR_REJECT);
  g_assert_cmpstr(err.msg, ==, "byte 10: a comma or closing bracket is missing");
  g_assert_cmpint(err.row, ==, -1);
  mr_decoder_free(d);
  mr_schema_release(&s);
}

/* Each element's own bytes, also where columns are widened on the way; an object is the message. */
static void test_extents(void)
{
  struct mr_json_conf conf = {.unknown = MR_UNKNOWN_ADD};
  struct mr_decoder *d = decoder_of("json", &conf);
  assert_extents(d, " {\"a\":1} ", "");
  assert_extents(d, " [ {\"a\":1} ,{\"a\":2}]\n", "{\"a\":1}|{\"a\":2}");
  assert_extents(d, "[{\"a\":1},{\"a\":\"x, {\"}, {\"b\":[{}]}]",
                 "{\"a\":1}|{\"a\":\"x, {\"}|{\"b\":[{}]}");
  assert_extents(d, "[]", "");
  assert_extents(d, "[{\"a\":1},{]", "");
  assert_extents(d, "{\"a\":1}", "");
  mr_decoder_free(d);
}

/* ---- absent: unset */

#define UNSET                 \
  {                           \
    .absent = MR_ABSENT_UNSET \
  }
static void test_unset(void)
{
  assert_rows_conf("a int64; b utf8", UNSET,
                   "1,x,{a=true b=true}|2,null,{a=true b=false}|3,null,{a=true b=true}|"
                   "null,null,{a=false b=false}|null,y,{a=false b=true}",
                   "{\"a\":1,\"b\":\"x\"}", "[{\"a\":2},{\"b\":null,\"a\":3}]", "{}",
                   "{\"c\":1,\"b\":\"y\"}");
  /* a refused message leaves no bit behind; only the top level counts */
  assert_rows_conf("a int64; b struct<c: int64>", UNSET,
                   "!22P02 1,{c=null},{a=true b=true}|2,null,{a=true b=false}",
                   "[{},{},{\"a\":1.5}]", "{\"a\":1,\"b\":{}}", "{\"a\":2}");
  /* the last of two equal keys wins, and the key is there */
  assert_rows_conf("a int64", UNSET, "null,{a=true}", "{\"a\":1,\"a\":null}");
}

/* A declared `_set` keeps its place and its columns. */
static void test_unset_declared(void)
{
  assert_rows_conf("a int64; _set struct<b: bool>; b int64", UNSET,
                   "null,{b=true},1|2,{b=false},null", "{\"b\":1}", "{\"a\":2}");
}

static void test_unset_batches(void)
{
  struct ArrowSchema s, out;
  struct mr_error err;
  schema_of("a int64; b int64", &s);
  struct mr_json_conf conf = {.columns = &s, .absent = MR_ABSENT_UNSET};
  struct mr_decoder *d = decoder_of("json", &conf);
  g_assert_cmpint(mr_decoder_schema(d, &out, &err), ==, MR_OK);
  g_autofree char *columns = schema_text(&out);
  g_assert_cmpstr(columns, ==, "a int64; b int64; _set struct<a: bool, b: bool>");
  g_assert_true(mr_set_valid(out.children[2]));
  for (int round = 0; round < 3; round++) {
    struct ArrowArray rows;
    for (int i = 0; i < 1000; i++) {
      g_autofree char *text = g_strdup_printf("{\"%s\":%d}", i % 3 ? "a" : "b", i);
      g_assert_cmpint(decode_n(d, text, strlen(text), &err), ==, 1);
    }
    g_assert_cmpint(mr_decoded(d, &rows, &err), ==, MR_OK);
    g_assert_cmpint(mr_array_check(&out, &rows, true, &err), ==, MR_OK);
    struct mr_view a, b;
    mr_set_view(&a, &out, &rows, "a");
    mr_set_view(&b, &out, &rows, "b");
    for (int i = 0; i < 1000; i++) {
      g_assert_cmpint(mr_set_has(&a, i), ==, i % 3 != 0);
      g_assert_cmpint(mr_set_has(&b, i), ==, i % 3 == 0);
    }
    mr_array_release(&rows);
  }
  mr_decoder_free(d);
  mr_schema_release(&out);
  mr_schema_release(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/json/decode/shapes", test_shapes);
  g_test_add_func("/json/decode/whole-message", test_whole_message);
  g_test_add_func("/json/decode/integers", test_integers);
  g_test_add_func("/json/decode/integer-lengths", test_integer_lengths);
  g_test_add_func("/json/decode/text", test_text);
  g_test_add_func("/json/decode/text-lengths", test_text_lengths);
  g_test_add_func("/json/decode/duplicates", test_duplicates);
  g_test_add_func("/json/decode/map-many", test_map_many);
  g_test_add_func("/json/decode/keys", test_keys);
  g_test_add_func("/json/decode/many-columns", test_many_columns);
  g_test_add_func("/json/decode/unknown-keys", test_unknown_keys);
  g_test_add_func("/json/decode/depth", test_depth);
  g_test_add_func("/json/decode/messages", test_messages);
  g_test_add_func("/json/decode/extents", test_extents);
  g_test_add_func("/json/decode/unset", test_unset);
  g_test_add_func("/json/decode/unset-declared", test_unset_declared);
  g_test_add_func("/json/decode/unset-batches", test_unset_batches);
  return g_test_run();
}
