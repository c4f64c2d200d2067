/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "format/json.h"

#define UNSET 16 /* with `unknown`: absent: unset */

/* Reads messages; "/" takes the batch. Returns, for each batch, "columns: rows" (or "idle") with ";
 * then " between. */
static char *infer(const char *declared, int unknown, const char *const *message)
{
  struct ArrowSchema s = {0};
  struct mr_json_conf conf = {.unknown = unknown & ~UNSET,
                              .absent = unknown >= 0 && unknown & UNSET};
  GString *out = g_string_new(NULL);
  bool first = true;
  if (declared) {
    schema_of(declared, &s);
    conf.columns = &s;
  }
  struct mr_decoder *d = decoder_of("json", &conf);
  for (; *message; message++) {
    struct mr_error err;
    if (**message != '/') {
      if (decode_n(d, *message, strlen(*message), &err) < 0)
        g_string_append_printf(out, "!%s ", err.code);
      continue;
    }
    struct ArrowSchema now = {0};
    g_autofree char *rows = take_text(d);
    if (!first)
      g_string_append(out, " then ");
    first = false;
    if (mr_decoder_schema(d, &now, &err) == MR_OK) {
      g_autofree char *columns = schema_text(&now);
      g_string_append_printf(out, "%s: ", columns);
    }
    g_string_append(out, rows);
    mr_schema_release(&now);
  }
  mr_decoder_free(d);
  mr_schema_release(&s);
  return g_string_free(out, FALSE);
}
#define assert_infer(declared, unknown, want, ...)              \
  do {                                                          \
    const char *const message_[] = {__VA_ARGS__, "/", NULL};    \
    g_autofree char *got_ = infer(declared, unknown, message_); \
    g_assert_cmpstr(got_, ==, want);                            \
  } while (0)

static void test_types(void)
{
  assert_infer(NULL, -1, "a int64; b float64; c utf8; d bool: 1,1.5,x,true|2,-2,y,false",
               "{\"a\":1,\"b\":1.5,\"c\":\"x\",\"d\":true}",
               "{\"a\":2,\"b\":-2,\"c\":\"y\",\"d\":false}");
  assert_infer(NULL, -1,
               "a list<int64>; b struct<c: utf8, d: list<bool>>: [1 2],{c=x d=[true]}|null,null",
               "[{\"a\":[1,2],\"b\":{\"c\":\"x\",\"d\":[true]}},{}]");
  assert_infer(
      NULL, -1, "a decimal(38,0): 18446744073709551615|-1|99999999999999999999999999999999999999",
      "[{\"a\":18446744073709551615},{\"a\":-1},{\"a\":99999999999999999999999999999999999999}]");
  assert_infer(NULL, -1, "a int64: 9223372036854775807|-9223372036854775808",
               "[{\"a\":9223372036854775807},{\"a\":-9223372036854775808}]");
  assert_infer(NULL, -1, "a float64: 1000|1", "[{\"a\":1e3},{\"a\":1.0}]");
  assert_infer(NULL, -1, "a json: 123456789012345678901234567890123456789012345",
               "{\"a\":123456789012345678901234567890123456789012345}");
}

static void test_widening(void)
{
  assert_infer(NULL, -1, "a float64: 1|2.5", "{\"a\":1}", "{\"a\":2.5}");
  assert_infer(NULL, -1, "a float64: 2.5|1", "{\"a\":2.5}", "{\"a\":1}");
  assert_infer(NULL, -1, "a decimal(38,0): 1|18446744073709551615", "{\"a\":1}",
               "{\"a\":18446744073709551615}");
  assert_infer(NULL, -1, "a json: 9007199254740993|2.5", "{\"a\":9007199254740993}", "{\"a\":2.5}");
  assert_infer(NULL, -1, "a json: 2.5|9007199254740993", "{\"a\":2.5}", "{\"a\":9007199254740993}");
  assert_infer(NULL, -1, "a json: 18446744073709551615|2.50", "{\"a\":18446744073709551615}",
               "{\"a\":2.50}");
  assert_infer(NULL, -1, "a json: 2.5|\"NaN\"", "{\"a\":2.5}", "{\"a\":\"NaN\"}");
  assert_infer(NULL, -1, "a json: 1|\"x\"|{\"b\": 1.0}|[]|null", "{\"a\":1}", "{\"a\":\"x\"}",
               "{\"a\":{\"b\": 1.0}}", "{\"a\":[]}", "{\"a\":null}");
  assert_infer(NULL, -1, "a list<json>: [1 \"x\"]|[2]", "{\"a\":[1,\"x\"]}", "{\"a\":[2]}");
  assert_infer(NULL, -1, "a struct<b: float64, c: utf8>: {b=1 c=null}|{b=2.5 c=x}",
               "{\"a\":{\"b\":1}}", "{\"a\":{\"b\":2.5,\"c\":\"x\"}}");
}

/* Null, [] and {} say nothing of a column's type. */
static void test_no_content(void)
{
  assert_infer(NULL, -1, "idle then b int64; a utf8: null,null|1,null|null,x", "{\"a\":null}", "/",
               "{\"b\":1}", "{\"a\":\"x\"}");
  assert_infer(NULL, -1, "a list<int64>: []|[1]", "{\"a\":[]}", "{\"a\":[1]}");
  assert_infer(NULL, -1, "k int64; a struct<b: int64>: 1,{b=null}|2,{b=1}", "{\"k\":1,\"a\":{}}",
               "{\"k\":2,\"a\":{\"b\":1}}");
  assert_infer(NULL, -1, "k int64; a list<list<int64>>: 1,[[]]|2,[[1]]", "{\"k\":1,\"a\":[[]]}",
               "{\"k\":2,\"a\":[[1]]}");
  assert_infer(NULL, -1, "k int64: 1|2", "{\"k\":1,\"a\":[null,{\"b\":[]}]}",
               "{\"k\":2,\"_op\":\"x\",\"z\":null}");
  assert_infer(NULL, -1, "idle", "[]");
}

/* Batches that were given stay as they were; the next ones are wider, never narrower. */
static void test_batches(void)
{
  assert_infer(NULL, -1,
               "a int64: 1 then a float64: 2.5 then a float64: 3 then a float64; b utf8: 4,x",
               "{\"a\":1}", "/", "{\"a\":2.5}", "/", "{\"a\":3}", "/", "{\"a\":4,\"b\":\"x\"}");
  assert_infer(NULL, -1, "a int64: 9007199254740993 then a json: 2.5", "{\"a\":9007199254740993}",
               "/", "{\"a\":2.5}");
  assert_infer(NULL, MR_UNKNOWN_IGNORE, "a int64: 1 then a float64: 2.5", "{\"a\":1}", "/",
               "{\"a\":2.5,\"b\":\"x\"}");
  assert_infer(NULL, MR_UNKNOWN_DEAD_LETTER,
               "a int64; b int64: 1,null|null,2!42703  then a int64; b int64: 3,null", "{\"a\":1}",
               "{\"b\":2}", "/", "{\"a\":3,\"c\":1}", "{\"a\":3}");
}

static void test_refused(void)
{
  assert_infer(NULL, -1, "!22032 !22003 !42804 !22023 a float64: 1.5|1", "{\"a\":1.5}",
               "{\"a\":1,\"b\":\"x\",}", "{\"a\":1e999}", "[{\"a\":1},7]", "7", "{\"a\":1}");
}

static void test_add(void)
{
  assert_infer("a int64", MR_UNKNOWN_ADD,
               "a int64; b utf8: 1,null|2,x then a int64; b utf8; c float64: 3,null,1.5",
               "{\"a\":1}", "{\"a\":2,\"b\":\"x\"}", "/", "{\"c\":1.5,\"a\":3}");
  assert_infer("a int64; s struct<x: int64>", MR_UNKNOWN_ADD,
               "!22P02 !42804 a int64; s struct<x: int64>: 1,{x=1}", "{\"a\":1.5}", "{\"a\":\"x\"}",
               "{\"a\":1,\"s\":{\"x\":1,\"y\":2}}");
}

/* Past the limits: a struct becomes json, a message with too many columns is refused. */
static void test_limits(void)
{
  GString *m = g_string_new("{\"a\":{");
  for (int i = 0; i <= MR_JSON_STRUCT_FIELDS; i++)
    g_string_append_printf(m, "%s\"k%d\":%d", i ? "," : "", i, i);
  g_string_append(m, "}}");
  g_autofree char *json = g_strdup_printf("a json: {\"k0\":1}|%.*s", (int)m->len - 6, m->str + 5);
  assert_infer(NULL, -1, json, "{\"a\":{\"k0\":1}}", m->str);
  assert_infer(NULL, -1, "a list<list<list<list<list<list<list<json>>>>>>>: [[[[[[[[[[1]]]]]]]]]]",
               "{\"a\":[[[[[[[[[[1]]]]]]]]]]}");
  g_string_assign(m, "{\"a\":{\"b\":1}");
  for (int i = 0; i <= MR_JSON_COLUMNS; i++)
    g_string_append_printf(m, ",\"k%d\":null", i);
  g_string_append(m, ",\"a\":7}");
  assert_infer(NULL, -1, "!54000 a json: {\"b\":2}", m->str, "{\"a\":{\"b\":2}}");
  g_string_free(m, TRUE);
}

/* A new column is one that the rows before did not write. */
static void test_unset(void)
{
  assert_infer(NULL, MR_UNKNOWN_ADD | UNSET,
               "a int64; b utf8; _set struct<a: bool, b: bool>: "
               "1,null,{a=true b=false}|null,x,{a=false b=true}",
               "{\"a\":1}", "{\"b\":\"x\"}");
  assert_infer(NULL, MR_UNKNOWN_ADD | UNSET,
               "a int64; _set struct<a: bool>: 1,{a=true} then "
               "a int64; b int64; _set struct<a: bool, b: bool>: "
               "null,2,{a=false b=true}|3,null,{a=true b=false}",
               "{\"a\":1}", "/", "{\"b\":2}", "{\"a\":3}");
  assert_infer("a int64", MR_UNKNOWN_ADD | UNSET,
               "a int64; b int64; _set struct<a: bool, b: bool>: "
               "null,null,{a=false b=false}|null,2,{a=true b=true}",
               "{}", "{\"a\":null,\"b\":2}");
  /* widening reads the rows again */
  assert_infer(NULL, MR_UNKNOWN_ADD | UNSET,
               "a float64; b int64; _set struct<a: bool, b: bool>: "
               "1,null,{a=true b=false}|null,2,{a=false b=true}|1.5,null,{a=true b=false}",
               "{\"a\":1}", "{\"b\":2}", "{\"a\":1.5}");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/json/infer/types", test_types);
  g_test_add_func("/json/infer/widening", test_widening);
  g_test_add_func("/json/infer/no-content", test_no_content);
  g_test_add_func("/json/infer/batches", test_batches);
  g_test_add_func("/json/infer/refused", test_refused);
  g_test_add_func("/json/infer/add", test_add);
  g_test_add_func("/json/infer/limits", test_limits);
  g_test_add_func("/json/infer/unset", test_unset);
  return g_test_run();
}
