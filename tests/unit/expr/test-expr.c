/* SPDX-License-Identifier: Apache-2.0 */
/* What no table shows: limits, positions in messages, names, the time now, failing memory-sized
 * inputs, and random expressions, which must never crash and must not depend on how rows are cut
 * into batches. */
#include "rows.h"

/* ---- limits */

static void assert_error(const char *expr, const char *wanted)
{
  struct test_rows t;
  struct test_result r;
  test_rows_make(&t, "a int64: 1", 1);
  test_rows_eval(&t, expr, 0, -1, &r);
  g_assert_cmpstr(r.type, ==, "error");
  if (!strstr(r.values, wanted))
    g_error("`%s` is not in `%s`", wanted, r.values);
  test_result_done(&r);
  test_rows_done(&t);
}

static char *repeat(const char *before, const char *middle, const char *after, int n)
{
  GString *s = g_string_new("");
  for (int i = 0; i < n; i++)
    g_string_append(s, before);
  g_string_append(s, middle);
  for (int i = 0; i < n; i++)
    g_string_append(s, after);
  return g_string_free(s, FALSE);
}

static void assert_too_deep(const char *before, const char *middle, const char *after)
{
  char *s = repeat(before, middle, after, 1500);
  assert_error(s, "nested deeper than 200 levels");
  g_free(s);
}

static void test_depth(void)
{
  assert_too_deep("(", "a", ")");
  assert_too_deep("- ", "a", "");
  assert_too_deep("NOT ", "TRUE", "");
  assert_too_deep("", "a", "+a");
  assert_too_deep("abs(", "a", ")");
  assert_too_deep("CASE WHEN ", "TRUE", " THEN TRUE END");
  assert_too_deep("CASE ", "1", " WHEN 1 THEN 1 END");
  assert_too_deep("", "a", "::utf8");
  assert_too_deep("", "TRUE", " IS TRUE");
  assert_too_deep("", "a", " BETWEEN 1 AND 2");
  assert_too_deep("a IN (", "1", ")");
}

static void assert_value(const char *expr, const char *type, const char *value)
{
  struct test_rows t;
  struct test_result r;
  test_rows_make(&t, "a int64: 1", 1);
  test_rows_eval(&t, expr, 0, -1, &r);
  g_assert_cmpstr(r.type, ==, type);
  g_assert_cmpstr(r.values, ==, value);
  test_result_done(&r);
  test_rows_done(&t);
}

static void test_wide(void)
{
  char *s = repeat("", "a = 1", " AND a = 1", 4000);
  assert_value(s, "bool", "true");
  g_free(s);
  s = repeat("", "a IN (0", ", 7", 9000);
  char *in = g_strconcat(s, ")", NULL);
  assert_value(in, "bool", "false");
  g_free(s);
  g_free(in);
  s = repeat("(((((((((", "a", ")))))))))", 20);
  assert_value(s, "int64", "1");
  g_free(s);
  s = repeat("", "concat(a", ", a", 300);
  in = g_strconcat(s, ")", NULL);
  assert_error(in, "more than 255 arguments");
  g_free(s);
  g_free(in);
}

static void test_length(void)
{
  char *s = repeat("", "a", " ", 64 * 1024 - 1);
  assert_value(s, "int64", "1");
  g_free(s);
  s = repeat("", "a", " ", 64 * 1024);
  assert_error(s, "at most 65536 bytes");
  g_free(s);
  assert_error("", "1:1: an empty expression");
  assert_error("  -- nothing\n", "1:1: an empty expression");
  assert_error("\xff", "not valid UTF-8");
}

static void test_position(void)
{
  assert_error("a +\n  b", "2:3: no column `b`");
  assert_error("'é' || b", "1:8: no column `b`");
  assert_error("a -- first\n\n + ", "3:4: expected a value");
  assert_error("'two\nlines' || b", "2:11: no column `b`");
}

/* ---- names */

static void on_name(void *out, const char *name)
{
  g_string_append_printf(out, "%s ", name);
}

static void assert_names(const char *expr, const char *names)
{
  struct mr_error err = MR_ERROR_INIT;
  GString *s = g_string_new("");
  g_assert_cmpint(mr_expr_names(expr, on_name, s, &err), ==, MR_OK);
  g_assert_cmpstr(s->str, ==, names);
  g_string_free(s, TRUE);
}

static void test_names(void)
{
  struct mr_error err = MR_ERROR_INIT;
  assert_names("1 + 2", "");
  assert_names("price * qty > 5 AND status = 'x'", "price qty status ");
  assert_names("CASE x WHEN 1 THEN y ELSE CAST(\"a b\" AS date) END", "x y a b ");
  assert_names("a BETWEEN b AND c", "a b c ");
  assert_names("CAST(_timestamp AS date)", "_timestamp ");
  assert_names("header('type') = 'order'", "_headers ");
  assert_names("s.field + EXTRACT(YEAR FROM d)", "s d ");
  assert_names("set_header(_headers, 'k', a)", "_headers a ");
  g_assert_cmpint(mr_expr_names("a +", on_name, NULL, &err), ==, MR_BADCONF);
  g_assert_cmpstr(err.msg, ==, "1:4: expected a value, the expression ends here");
}

static void test_columns(void)
{
  struct test_rows t;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_expr *e = NULL;
  test_rows_make(&t, "A int64: 1; b int64: 2; s struct<x:int64,y:int64>: {1,2}", 1);
  g_assert_cmpint(mr_expr_new("a + A + s.x + s.y", &t.schema, &e, NULL, &err), ==, MR_OK);
  const char *const *names = mr_expr_columns(e);
  g_assert_cmpstr(names[0], ==, "A");
  g_assert_cmpstr(names[1], ==, "s");
  g_assert_null(names[2]);
  mr_expr_free(e);
  mr_expr_free(NULL);
  test_rows_done(&t);
}

/* ---- evaluation */

static void assert_labels(struct test_rows *t, const char *expr, const char *labels,
                          const char *masked)
{
  struct ArrowSchema type;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_expr *e = NULL;
  size_t n = 0, m = 0;
  g_assert_cmpint(mr_expr_new(expr, &t->schema, &e, &type, &err), ==, MR_OK);
  const char *class = mr_schema_meta(&type, MR_META_CLASS, &n);
  const char *how = mr_schema_meta(&type, "millrace.masked", &m);
  g_assert_cmpstr(type.name, ==, "");
  g_autofree char *got = g_strndup(class ? class : "", n), *got_how = g_strndup(how ? how : "", m);
  g_assert_cmpstr(got, ==, labels);
  g_assert_cmpstr(got_how, ==, masked);
  mr_schema_release(&type);
  mr_expr_free(e);
}

static void set_meta(struct test_rows *t, int column, const char *key, const char *value)
{
  g_assert_true(mr_schema_set_meta(t->schema.children[column], key, value));
}

/* Labels follow what is computed from a column; masked columns do not make the open ones masked. */
static void test_labels(void)
{
  struct test_rows t;
  test_rows_make(&t, "a json: 1; b utf8: x; c utf8: x; d utf8: x; s struct<f:utf8,g:int64>: {1,2}",
                 1);
  set_meta(&t, 0, MR_META_CLASS, "pii");
  set_meta(&t, 1, MR_META_CLASS, "phi,pii");
  set_meta(&t, 2, MR_META_CLASS, "pii");
  set_meta(&t, 2, "millrace.masked", "hash");
  set_meta(&t, 4, MR_META_CLASS, "phi");
  assert_labels(&t, "a", "pii", "");
  assert_labels(&t, "a ->> 'x' || b", "pii,phi", "");
  assert_labels(&t, "CAST(b AS int) > 1", "phi,pii", "");
  assert_labels(&t, "upper(c) || d", "pii", "hash");
  assert_labels(&t, "c || b", "phi,pii", "");
  assert_labels(&t, "d IS NULL", "", "");
  assert_labels(&t, "s.f", "phi", "");
  assert_labels(&t, "s", "phi", "");
  assert_labels(&t, "1 + 1", "", "");
  test_rows_done(&t);
}

static void test_other_schema(void)
{
  struct test_rows t, u;
  struct ArrowArray out;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_expr *e = NULL;
  test_rows_make(&t, "a int64: 1", 1);
  test_rows_make(&u, "a utf8: 1", 1);
  g_assert_cmpint(mr_expr_new("a + 1", &t.schema, &e, NULL, &err), ==, MR_OK);
  g_assert_cmpint(mr_expr_eval(e, &u.schema, &u.rows, &out, NULL, NULL, &err), ==, MR_FATAL);
  g_assert_nonnull(strstr(err.msg, "another type"));
  g_assert_cmpint(mr_expr_eval(e, &t.schema, &t.rows, &out, NULL, NULL, &err), ==, MR_OK);
  mr_array_release(&out);
  mr_expr_free(e);
  test_rows_done(&t);
  test_rows_done(&u);
}

static void test_empty(void)
{
  struct test_rows t;
  struct test_result r;
  test_rows_make(&t, "a int64: 1|2; b utf8: x|y; l list<int64>: [1]|[]", 1);
  const char *const exprs[] = {"a", "b || a", "l", "a > 1", "CAST(a AS decimal(5,2))", "1"};
  for (size_t i = 0; i < G_N_ELEMENTS(exprs); i++) {
    test_rows_eval(&t, exprs[i], 1, 0, &r);
    g_assert_cmpstr(r.values, ==, "");
    test_result_done(&r);
  }
  test_rows_done(&t);
}

/* A row is reported with its place in the batch, over chunks, and without the values of the row. */
static void on_bad_place(void *out, int64_t row, const char *code, const char *msg)
{
  GString *s = out;
  g_string_append_printf(s, "%d %s %s;", (int)row, code, msg);
}

static void test_bad_place(void)
{
  struct test_rows t;
  struct ArrowArray out;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_expr *e = NULL;
  GString *s = g_string_new(""), *text = g_string_new("a utf8: 1");
  for (int i = 1; i < 3000; i++)
    g_string_append(text, i == 1500 ? "|secret" : "|5");
  test_rows_make(&t, text->str, 1);
  g_assert_cmpint(mr_expr_new("1 + CAST(a AS int)", &t.schema, &e, NULL, &err), ==, MR_OK);
  g_assert_cmpint(mr_expr_eval(e, &t.schema, &t.rows, &out, on_bad_place, s, &err), ==, MR_OK);
  g_assert_cmpstr(s->str, ==, "1500 22P02 1:5: the text is no int64;");
  g_assert_cmpint(out.null_count, ==, 1);
  mr_array_release(&out);
  mr_expr_free(e);
  test_rows_done(&t);
  g_string_free(s, TRUE);
  g_string_free(text, TRUE);
}

/* ---- random expressions */

#define INPUT                                                                                      \
  "i int64: 1|NULL|-9223372036854775808|9223372036854775807|0|7|-3|5; "                            \
  "j int32: 2|0|NULL|-2147483648|2147483647|1|7|3; u uint64: "                                     \
  "18446744073709551615|0|1|NULL|7|8|9|2; "                                                        \
  "f float64: 1.5|nan|inf|-inf|NULL|0|-2.5|1e300; d decimal(18,4): "                               \
  "1.2500|-0.0001|NULL|99999999999999.9999|0|1|2|3; "                                              \
  "e decimal(38,10): 1|2|-3|NULL|0.0000000001|5|6|7; b bool: "                                     \
  "true|false|NULL|true|false|NULL|true|false; "                                                   \
  "s utf8: abc|NULL||äöü€😀|12|2026-01-28|{\"a\":[1,2]}|-7.5; t utf8: "                     \
  "b|%|a_c|x|NULL|0|\\\\|2026-01-28 10:00:00; "                                                    \
  "k date: 2026-01-28|NULL|1970-01-01|9999-12-31|0001-01-01|2024-02-29|2000-01-01|1999-12-31; "    \
  "p timestamp: 2026-01-28 10:00:00.123456|NULL|1970-01-01|9999-12-31 23:59:59.999999|0001-01-01|" \
  "2024-02-29 12:00:00|2000-01-01|1999-12-31; "                                                    \
  "q timestamp(Europe/Berlin): 2026-03-29 "                                                        \
  "01:30:00Z|NULL|1970-01-01|9999-12-30|0001-01-02|2024-10-27 00:30:00Z|"                          \
  "2000-01-01|1999-12-31; m time: "                                                                \
  "10:00:00|NULL|00:00:00|23:59:59.999999|12:00:00|01:02:03|00:00:01|00:00:02"

static const char *const atoms[] = {"i",
                                    "j",
                                    "u",
                                    "f",
                                    "d",
                                    "e",
                                    "b",
                                    "s",
                                    "t",
                                    "k",
                                    "p",
                                    "q",
                                    "m",
                                    "0",
                                    "1",
                                    "-1",
                                    "2.5",
                                    "1e3",
                                    "'x'",
                                    "''",
                                    "'12'",
                                    "NULL",
                                    "TRUE",
                                    "FALSE",
                                    "18446744073709551615",
                                    "9223372036854775807",
                                    "DATE '2026-01-28'",
                                    "INTERVAL '1 month 2 days 3.5 s'",
                                    "TIMESTAMP '2026-01-28 10:00:00.5'",
                                    "TIMESTAMPTZ '2026-01-28 10:00:00Z'"};
static const char *const twos[] = {"+",  "-",  "*",    "/",     "%",
                                   "=",  "<>", "<",    ">=",    "AND",
                                   "OR", "||", "LIKE", "ILIKE", "IS DISTINCT FROM",
                                   "->", "->>"};
static const char *const calls1[] = {"abs(%s)",
                                     "-(%s)",
                                     "NOT (%s)",
                                     "(%s) IS NULL",
                                     "(%s) IS NOT TRUE",
                                     "round(%s)",
                                     "floor(%s)",
                                     "upper(%s)",
                                     "reverse(%s)",
                                     "length(%s)",
                                     "trim(%s)",
                                     "CAST(%s AS utf8)",
                                     "CAST(%s AS int)",
                                     "CAST(%s AS int8)",
                                     "CAST(%s AS uint64)",
                                     "CAST(%s AS double)",
                                     "CAST(%s AS decimal(20,3))",
                                     "CAST(%s AS bool)",
                                     "CAST(%s AS date)",
                                     "CAST(%s AS timestamp)",
                                     "CAST(%s AS timestamptz)",
                                     "TRY_CAST(%s AS interval)",
                                     "CAST(%s AS json)",
                                     "EXTRACT(EPOCH FROM %s)",
                                     "EXTRACT(WEEK FROM %s)",
                                     "date_trunc('month', %s)",
                                     "date_trunc('hour', %s)",
                                     "to_timestamp(%s)",
                                     "timestamp_ms(%s)",
                                     "epoch_us(%s)",
                                     "(%s) AT TIME ZONE 'Europe/Berlin'",
                                     "sqrt(%s)",
                                     "exp(%s)",
                                     "json_value(%s, '$.a[1]')",
                                     "json_typeof(%s)",
                                     "parse_timestamp(%s, 'YYYY-MM-DD')",
                                     "format_timestamp(%s, '%%F %%T.%%f %%z')",
                                     "regexp_replace(%s, '[a-c]*', '<\\&>', 'g')",
                                     "(%s) ~ '^[0-9]+$'"};
static const char *const calls2[] = {
    "coalesce(%s, %s)",       "nullif(%s, %s)",          "greatest(%s, %s)",
    "least(%s, %s)",          "concat(%s, %s)",          "left(%s, %s)",
    "repeat(%s, %s)",         "lpad(%s, %s, 'ab')",      "split_part(%s, '-', %s)",
    "power(%s, %s)",          "strpos(%s, %s)",          "replace(%s, %s, 'zz')",
    "substring(%s, %s, 3)",   "IF(b, %s, %s)",           "CASE WHEN i > 1 THEN %s ELSE %s END",
    "(%s) IN (%s, 1, 'x')",   "(%s) BETWEEN 1 AND (%s)", "CASE %s WHEN %s THEN 1 ELSE 2 END",
    "make_date(2026, %s, %s)"};

static const char *pick(GRand *r, const char *const *from, size_t n)
{
  return from[g_rand_int_range(r, 0, (gint32)n)];
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static char *random_expr(GRand *r, int depth)
{
  int kind = depth ? g_rand_int_range(r, 0, 10) : 0;
  if (kind < 2)
    return g_strdup(pick(r, atoms, G_N_ELEMENTS(atoms)));
  char *a = random_expr(r, depth - 1), *b = random_expr(r, depth - 1), *s;
  if (kind < 5)
    s = g_strdup_printf("(%s) %s (%s)", a, pick(r, twos, G_N_ELEMENTS(twos)), b);
  else if (kind < 8)
    s = g_strdup_printf(pick(r, calls1, G_N_ELEMENTS(calls1)), a);
  else
    s = g_strdup_printf(pick(r, calls2, G_N_ELEMENTS(calls2)), a, b);
  g_free(a);
  g_free(b);
  return s;
}
#pragma GCC diagnostic pop

static void check_cuts(struct test_rows *t, const char *expr, const struct test_result *whole)
{
  char **values = g_strsplit(whole->values, "|", -1);
  for (int64_t i = 0; i < t->rows.length; i++) {
    struct test_result r;
    test_rows_eval(t, expr, i, 1, &r);
    if (strcmp(r.values, values[i]))
      g_error("%s: row %d: %s, alone %s", expr, (int)i, values[i], r.values);
    test_result_done(&r);
  }
  g_strfreev(values);
}

static void test_random(void)
{
  GRand *r = g_rand_new_with_seed(20260128);
  struct test_rows t;
  int good = 0, n = g_test_slow() ? 200000 : 12000;
  test_rows_make(&t, INPUT, 1);
  for (int i = 0; i < n; i++) {
    char *expr = random_expr(r, g_rand_int_range(r, 1, 5));
    struct test_result whole;
    test_rows_eval(&t, expr, 0, -1, &whole);
    bool ok = strcmp(whole.type, "error") != 0;
    good += ok;
    if (ok && !strstr(whole.values, "||") && !strchr(expr, '|'))
      check_cuts(&t, expr, &whole);
    if (!ok && !g_regex_match_simple("^[0-9]+:[0-9]+: ", whole.values, 0, 0))
      g_error("%s: no place in `%s`", expr, whole.values);
    test_result_done(&whole);
    g_free(expr);
  }
  g_assert_cmpint(good, >, n / 20);
  g_test_message("%d of %d random expressions compiled", good, n);
  test_rows_done(&t);
  g_rand_free(r);
}

/* Bytes cut out of, doubled in and added to good expressions. */
static void test_mangled(void)
{
  GRand *r = g_rand_new_with_seed(7);
  struct test_rows t;
  test_rows_make(&t, INPUT, 1);
  for (int i = 0; i < 20000; i++) {
    char *expr = random_expr(r, 3);
    GString *s = g_string_new(expr);
    for (int k = 0; k < 3; k++) {
      gint32 at = g_rand_int_range(r, 0, (gint32)s->len + 1);
      if (g_rand_boolean(r) && at < (gint32)s->len)
        g_string_erase(s, at, 1);
      else
        g_string_insert_c(s, at, "()'\"+-*/.,:;<>=|%[]eE09 \n\\$#~"[g_rand_int_range(r, 0, 30)]);
    }
    struct test_result whole;
    test_rows_eval(&t, s->str, 0, -1, &whole);
    test_result_done(&whole);
    g_string_free(s, TRUE);
    g_free(expr);
  }
  test_rows_done(&t);
  g_rand_free(r);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/expr/depth", test_depth);
  g_test_add_func("/expr/wide", test_wide);
  g_test_add_func("/expr/length", test_length);
  g_test_add_func("/expr/position", test_position);
  g_test_add_func("/expr/names", test_names);
  g_test_add_func("/expr/columns", test_columns);
  g_test_add_func("/expr/labels", test_labels);
  g_test_add_func("/expr/other-schema", test_other_schema);
  g_test_add_func("/expr/empty", test_empty);
  g_test_add_func("/expr/bad-place", test_bad_place);
  g_test_add_func("/expr/random", test_random);
  g_test_add_func("/expr/mangled", test_mangled);
  return g_test_run();
}
