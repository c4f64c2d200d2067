/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "format/avro.h"
#include "format/json.h"

static int put(void *out, const void *data, size_t len)
{
  g_string_append_len(out, data, (gssize)len);
  return MR_OK;
}

/* Rows given as JSON, in hexadecimal digits with "|" between them; "!CODE" where they are refused.
 */
static char *encode(const struct mr_avro_conf *conf, const char *columns, const char *in)
{
  struct ArrowSchema s, z;
  struct ArrowArray rows, out;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_encoder *e = NULL;
  struct mr_view v;
  schema_of(columns, &s);
  struct mr_json_conf json = {.columns = &s};
  struct mr_decoder *d = decoder_of("json", &json);
  g_assert_cmpint(decode_n(d, in, strlen(in), &err), >=, 0);
  g_assert_cmpint(mr_decoded(d, &rows, &err), ==, MR_OK);
  mr_decoder_free(d);
  struct mr_format f = {mr_format_find("avro"), conf};
  GString *text = g_string_new(NULL);
  struct mr_batch b = {.size = sizeof b, .schema = &s, .rows = rows};
  if (mr_encoder_new(&f, &s, &e, &err) < 0) {
    g_string_printf(text, "!%s", err.msg);
  } else {
    g_assert_cmpint(mr_encode(e, &b, &out, &err), ==, MR_OK);
    g_assert_true(mr_schema_init(&z, "", "z", true));
    mr_view_init(&v, &z, &out);
    for (int64_t i = 0, n; i < out.length; i++) {
      const char *p = mr_view_bytes(&v, i, &n);
      g_string_append(text, i ? "|" : "");
      for (int64_t k = 0; k < n; k++)
        g_string_append_printf(text, "%02x", (unsigned char)p[k]);
    }
    mr_array_release(&out);
    mr_schema_release(&z);
  }
  mr_encoder_free(e);
  mr_array_release(&rows);
  mr_schema_release(&s);
  return g_string_free(text, FALSE);
}

static void assert_bytes(const char *columns, const char *in, const char *want)
{
  g_autofree char *got = encode(NULL, columns, in);
  g_assert_cmpstr(got, ==, want);
}

/* Numbers of the specification's examples, behind the union's index of a value (02). */
static void test_numbers(void)
{
  assert_bytes("a int64", "[{\"a\":0},{\"a\":-1},{\"a\":1},{\"a\":-64},{\"a\":64},{\"a\":null}]",
               "0200|0201|0202|027f|028001|00");
  assert_bytes("a int64", "{\"a\":-9223372036854775808}", "02ffffffffffffffffff01");
  assert_bytes("a uint32", "{\"a\":4294967295}", "02feffffff1f");
  assert_bytes("a uint64", "[{\"a\":18446744073709551615},{\"a\":0},{\"a\":127},{\"a\":128}]",
               "021200ffffffffffffffff|020200|02027f|02040080");
  assert_bytes("a decimal(5,2)", "[{\"a\":-0.01},{\"a\":-1.28},{\"a\":-1.29}]",
               "0202ff|020280|0204ff7f");
  assert_bytes("a float64; b float32", "{\"a\":1,\"b\":-2}", "02000000000000f03f02000000c0");
}

static void test_texts_and_nested(void)
{
  assert_bytes("a utf8; b binary", "{\"a\":\"foo\",\"b\":\"AAo=\"}", "0206666f6f0204000a");
  assert_bytes("a list<int64>", "[{\"a\":[3,27]},{\"a\":[]},{\"a\":null}]",
               "02040206023600|0200|00");
  assert_bytes("a map<utf8,int64>", "{\"a\":{\"k\":1}}", "0202026b020200");
  assert_bytes("a struct<x: int64, y: utf8>", "{\"a\":{\"x\":1,\"y\":null}}", "02020200");
}

static void test_number_of_the_schema(void)
{
  struct mr_avro_conf conf = {.schema_id = 258};
  g_autofree char *got = encode(&conf, "a int64", "[{\"a\":1},{\"a\":null}]");
  g_assert_cmpstr(got, ==, "00000001020202|000000010200");
}

static void test_refused(void)
{
  struct mr_avro_conf named = {.record = "1st", .schema_id = INT64_MIN},
                      spaced = {.space = "a..b", .schema_id = INT64_MIN};
  g_autofree char *key = encode(NULL, "a map<int64,utf8>", "{}"),
                  *record = encode(&named, "a int64", "{}"),
                  *space = encode(&spaced, "a int64", "{}");
  g_assert_cmpstr(key, ==, "!column a: a map's keys are text in Avro");
  g_assert_true(g_str_has_prefix(record, "!record: "));
  g_assert_true(g_str_has_prefix(space, "!namespace: "));
}

static void test_schema(void)
{
  struct ArrowSchema s;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_avro_conf conf = {.record = "r", .space = "a.b", .schema_id = INT64_MIN};
  struct mr_format f = {mr_format_find("avro"), &conf};
  g_autoptr(GString) text = g_string_new(NULL);
  schema_of("n timestamp; s struct<x: uuid>", &s);
  g_assert_cmpint(mr_format_ddl(&f, &s, put, text, &err), ==, MR_OK);
  const char *last = strstr(text->str, "\n{\"type\": \"record\", \"name\": \"r\"");
  g_assert_nonnull(last);
  g_assert_cmpstr(
      last + 1, ==,
      "{\"type\": \"record\", \"name\": \"r\", \"namespace\": \"a.b\", \"fields\": [{\"name\": "
      "\"n\", \"type\": [\"null\", {\"type\": \"long\", \"logicalType\": "
      "\"local-timestamp-micros\"}], \"default\": null}, {\"name\": \"s\", \"type\": [\"null\", "
      "{\"type\": \"record\", \"name\": \"a.b.r.s\", \"fields\": [{\"name\": \"x\", \"type\": "
      "[\"null\", {\"type\": \"string\", \"logicalType\": \"uuid\"}], \"default\": null}]}], "
      "\"default\": null}]}\n");
  mr_schema_release(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/avro/numbers", test_numbers);
  g_test_add_func("/avro/texts-and-nested", test_texts_and_nested);
  g_test_add_func("/avro/number-of-the-schema", test_number_of_the_schema);
  g_test_add_func("/avro/refused", test_refused);
  g_test_add_func("/avro/schema", test_schema);
  return g_test_run();
}
