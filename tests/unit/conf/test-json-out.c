/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "conf/json-out.h"

static void test_document(void)
{
  struct mr_json_out w = {.text = g_string_new(NULL)};
  mr_json_out_open(&w, NULL, '{');
  mr_json_out_text(&w, "a\"b", "x\\y\n\xc3\xa4");
  mr_json_out_text(&w, "n", NULL);
  mr_json_out_open(&w, "list", '[');
  mr_json_out_int(&w, NULL, -5);
  mr_json_out_real(&w, NULL, 0.25);
  mr_json_out_bool(&w, NULL, true);
  mr_json_out_close(&w, '[');
  mr_json_out_open(&w, "empty", '{');
  mr_json_out_close(&w, '{');
  mr_json_out_close(&w, '{');
  g_assert_cmpstr(w.text->str, ==,
                  "{\n  \"a\\\"b\": \"x\\\\y\\u000a\xc3\xa4\",\n  \"n\": null,\n  \"list\": [\n    "
                  "-5,\n    0.25,\n    true\n  ],\n  \"empty\": {}\n}\n");
  g_string_free(w.text, TRUE);
}

static void real(double value, const char *want)
{
  char buf[MR_REAL_TEXT];
  g_assert_cmpstr(mr_real_text(buf, value), ==, want);
  g_assert_true(g_ascii_strtod(buf, NULL) == value);
}

static void test_real(void)
{
  real(0, "0");
  real(0.1, "0.1");
  real(12.345678, "12.345678");
  real(1e6, "1e+06");
  real(1234567, "1234567");
  real(0.1 + 0.2, "0.30000000000000004");
  real(1.0 / 3, "0.3333333333333333");
  real(-2.5e-7, "-2.5e-07");
}

/* A line of a log. */
static void test_flat(void)
{
  struct mr_json_out w = {.text = g_string_new(NULL), .flat = true};
  mr_json_out_open(&w, NULL, '{');
  mr_json_out_text(&w, "a", "b\n");
  mr_json_out_open(&w, "list", '[');
  mr_json_out_int(&w, NULL, 1);
  mr_json_out_int(&w, NULL, 2);
  mr_json_out_close(&w, '[');
  mr_json_out_close(&w, '{');
  g_assert_cmpstr(w.text->str, ==, "{\"a\": \"b\\u000a\", \"list\": [1, 2]}\n");
  g_string_free(w.text, TRUE);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/json-out/document", test_document);
  g_test_add_func("/json-out/flat", test_flat);
  g_test_add_func("/json-out/real", test_real);
  return g_test_run();
}
