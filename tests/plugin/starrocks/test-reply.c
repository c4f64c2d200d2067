/* SPDX-License-Identifier: Apache-2.0 */
/* What StarRocks' answers mean, and its types. */
#include <glib.h>
#include "starrocks.h"

/* type.c quotes names by it; sql.c is not linked */
void sr_sql_ident(struct sql_buf *out, const char *name)
{
  sql_buf_fmt(out, "`%s`", name);
}

static struct sr_reply parse(const char *text, long http)
{
  struct sql_buf b = {0};
  struct sr_reply r;
  sql_buf_str(&b, text);
  sr_reply_parse(&b, http, &r);
  sql_buf_done(&b);
  return r;
}

static void test_verdicts(void)
{
  static const struct {
    const char *text;
    long http;
    enum sr_verdict verdict;
  } c[] = {
      {"{\"Status\": \"OK\"}", 200, SR_DONE},
      {"{\"TxnId\":1,\"Status\":\"Success\"}", 200, SR_DONE},
      {"{\"Status\":\"Publish Timeout\"}", 200, SR_DONE},
      {"{\"Status\":\"LABEL_ALREADY_EXISTS\"}", 200, SR_LABEL_EXISTS},
      {"{\"Status\":\"Label Already Exists\"}", 200, SR_LABEL_EXISTS},
      {"{\"Status\":\"TXN_NOT_EXISTS\"}", 200, SR_NO_TXN},
      {"{\"Status\":\"TXN_IN_PROCESSING\"}", 200, SR_BUSY},
      {"{\"Status\":\"FAILED\"}", 200, SR_FAILED},
      {"{\"Status\":\"something new\"}", 200, SR_FAILED},
      {"{\"Status\":\"OK\"}", 401, SR_DENIED},
      {"{\"Status\":\"OK\"}", 403, SR_DENIED},
      {"{\"Status\":\"OK\"}", 404, SR_MISSING},
      {"{\"Status\":\"OK\"}", 500, SR_LOST},
      {"{\"Status\":\"OK\"}", 503, SR_LOST},
      {"", 200, SR_LOST},
      {"<html>", 200, SR_LOST},
      {"{\"Message\":\"no status\"}", 200, SR_LOST},
      {"{\"Status\":\"OK\",\"Mess", 200, SR_LOST}, /* cut off */
      {"{\"Status\":\"OK\"", 200, SR_LOST},
      {"[\"Status\",\"OK\"]", 200, SR_LOST},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(c); i++) {
    struct sr_reply r = parse(c[i].text, c[i].http);
    g_test_message("%s, HTTP %ld", c[i].text, c[i].http);
    g_assert_cmpint(r.verdict, ==, c[i].verdict);
    sr_reply_done(&r);
  }
}

static void test_fields(void)
{
  struct sr_reply r =
      parse("{ \"a\": {\"Status\": \"no\", \"x\": [1, 2]}, \"Status\" : \"FAILED\", \"Message\": "
            "\"say \\\"x\\\"\\n\\u0041\", \"NumberFilteredRows\": 12, \"ErrorURL\": "
            "\"http://h:1/api/_load_error_log?file=a\", \"state\": \"PREPARED\", \"reason\": \"\"}",
            200);
  g_assert_cmpstr(r.message, ==, "say \"x\" A");
  g_assert_cmpint(r.filtered, ==, 12);
  g_assert_cmpstr(r.error_url, ==, "http://h:1/api/_load_error_log?file=a");
  g_assert_cmpstr(r.state, ==, "PREPARED");
  g_assert_true(sr_blames_rows(&r));
  sr_reply_done(&r);
}

static void test_refusals(void)
{
  static const struct {
    const char *message;
    int status;
  } c[] = {{"too many filtered rows", MR_REJECT},
           {"parse json failed", MR_REJECT},
           {"too many tablet versions", MR_RETRY},
           {"current running txns on db 1 is 100, larger than limit 100", MR_RETRY},
           {"Memory of process exceed limit", MR_RETRY},
           {"unknown table \\\"db.t\\\"", MR_BADCONF},
           {"Access denied for user", MR_BADCONF}};
  struct sr_sink s = {.shown = (char *)"db.t"};
  for (size_t i = 0; i < G_N_ELEMENTS(c); i++) {
    struct mr_error err = {.size = sizeof err};
    char *text = g_strdup_printf("{\"Status\": \"FAILED\", \"Message\": \"%s\"}", c[i].message);
    struct sr_reply r = parse(text, 200);
    g_assert_cmpint(sr_refused(&s, &r, "load", &err), ==, c[i].status);
    g_assert_true(err.unit_lost && strstr(err.msg, "load of db.t: FAILED"));
    sr_reply_done(&r);
    g_free(text);
  }
}

/* What nobody knows is tried some times, and then the pipeline stops. */
static void test_unknown_refusals_end(void)
{
  struct sr_sink s = {.shown = (char *)"db.t"};
  struct mr_error err = {.size = sizeof err};
  struct sr_reply r = parse("{\"Status\": \"FAILED\", \"Message\": \"the moon is full\"}", 200);
  for (int i = 0; i < 5; i++)
    g_assert_cmpint(sr_refused(&s, &r, "load", &err), ==, MR_RETRY);
  g_assert_cmpint(sr_refused(&s, &r, "load", &err), ==, MR_FATAL);
}

static void test_types(void)
{
  static const struct {
    const char *shown;
    enum sr_type type;
    int precision, scale;
    int64_t bytes;
  } c[] = {{"bigint(20)", SR_BIGINT, 0, 0, 0},       {"TINYINT", SR_TINYINT, 0, 0, 0},
           {"decimal(18, 4)", SR_DECIMAL, 18, 4, 0}, {"DECIMAL128(38,9)", SR_DECIMAL, 38, 9, 0},
           {"decimal", SR_DECIMAL, 10, 0, 0},        {"varchar(20)", SR_TEXT, 0, 0, 20},
           {"string", SR_TEXT, 0, 0, 65533},         {"char", SR_TEXT, 0, 0, 1},
           {"array<int(11)>", SR_NESTED, 0, 0, 0},   {"bitmap", SR_OTHER, 0, 0, 0},
           {"datetime", SR_DATETIME, 0, 0, 0},       {"", SR_OTHER, 0, 0, 0}};
  for (size_t i = 0; i < G_N_ELEMENTS(c); i++) {
    struct sr_column column = {0};
    sr_type_parse(c[i].shown, &column);
    g_test_message("%s", c[i].shown);
    g_assert_cmpint(column.type, ==, c[i].type);
    g_assert_cmpint(column.precision, ==, c[i].precision);
    g_assert_cmpint(column.scale, ==, c[i].scale);
    g_assert_cmpint(column.bytes, ==, c[i].bytes);
  }
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/starrocks/verdicts", test_verdicts);
  g_test_add_func("/starrocks/fields", test_fields);
  g_test_add_func("/starrocks/refusals", test_refusals);
  g_test_add_func("/starrocks/unknown-refusals-end", test_unknown_refusals_end);
  g_test_add_func("/starrocks/types", test_types);
  return g_test_run();
}
