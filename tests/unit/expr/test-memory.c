/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of compiling and evaluating fails once: an error comes back, nothing leaks, and
 * the same call then succeeds. The linker routes the allocators of the tested code through here. */
#include "rows.h"

static int64_t countdown = INT64_MAX; /* allocations until one fails */

static bool fails(void)
{
  return countdown != INT64_MAX && countdown-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);

void *__wrap_malloc(size_t n)
{
  return fails() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t m)
{
  return fails() ? NULL : __real_calloc(n, m);
}
void *__wrap_realloc(void *p, size_t n)
{
  return fails() ? NULL : __real_realloc(p, n);
}
int __wrap_posix_memalign(void **p, size_t align, size_t n)
{
  return fails() ? 12 : __real_posix_memalign(p, align, n);
}

static const char *const exprs[] = {
    "a + 1",
    "CASE WHEN a > 1 THEN s || 'x' ELSE upper(s) END",
    "a BETWEEN 1 AND 5 OR s LIKE 'a%b' OR s IN ('x', 'y')",
    "CAST(s AS decimal(10,2)) / 3",
    "regexp_replace(s, '(a)', '<\\1>', 'g') || concat_ws('-', a, s)",
    "p AT TIME ZONE 'Europe/Berlin' + INTERVAL '1 month'",
    "parse_timestamp(s, 'YYYY-MM-DD')",
    "json_value(s, '$.a.b')",
    "l",
    "set_header(_headers, 'k', a)",
    "coalesce(nullif(a, 1), greatest(a, 2, 3)) % 7",
    "st.x || ' ' || CAST(a AS utf8)",
};

/* Fails allocation k of compiling; false when it was not reached. */
static bool fail_compile(const struct test_rows *t, const char *expr, int64_t k)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema type = {0};
  struct mr_expr *e = NULL;
  countdown = k;
  int st = mr_expr_new(expr, &t->schema, &e, &type, &err);
  bool reached = countdown < 0;
  countdown = INT64_MAX;
  g_assert_cmpint(st < 0, ==, reached);
  if (!reached) {
    mr_schema_release(&type);
    mr_expr_free(e);
  } else {
    g_assert_null(e);
    g_assert_null(type.release);
  }
  return reached;
}

static bool fail_eval(const struct test_rows *t, const char *expr, int64_t k)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray out = {0};
  struct mr_expr *e = NULL;
  g_assert_cmpint(mr_expr_new(expr, &t->schema, &e, NULL, &err), ==, MR_OK);
  countdown = k;
  int st = mr_expr_eval(e, &t->schema, &t->rows, &out, NULL, NULL, &err);
  bool reached = countdown < 0;
  countdown = INT64_MAX;
  g_assert_cmpint(st < 0, ==, reached);
  if (reached) {
    g_assert_cmpint(st, ==, MR_FATAL);
    g_assert_null(out.release);
    g_assert_cmpint(mr_expr_eval(e, &t->schema, &t->rows, &out, NULL, NULL, &err), ==, MR_OK);
  }
  mr_array_release(&out);
  mr_expr_free(e);
  return reached;
}

static void sweep(bool (*fail)(const struct test_rows *, const char *, int64_t))
{
  struct test_rows t;
  test_rows_make(&t,
                 "a int64: 1|NULL|3; s utf8: a|bb|NULL; p timestamp: 2026-01-28|NULL|2026-01-29; "
                 "l list<int64>: [1,2]|NULL|[]; _headers map<utf8,binary>: {a=1}|NULL|{}; "
                 "st struct<x:utf8,y:int64>: {q,1}|NULL|{r,2}",
                 700);
  for (size_t i = 0; i < G_N_ELEMENTS(exprs); i++) {
    int64_t k = 0;
    while (fail(&t, exprs[i], k))
      k++;
    g_assert_cmpint(k, >, 1);
    g_assert_cmpint(k, <, 2000);
  }
  test_rows_done(&t);
}

static void test_compile(void)
{
  sweep(fail_compile);
}

static void test_eval(void)
{
  sweep(fail_eval);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/expr/memory/compile", test_compile);
  g_test_add_func("/expr/memory/eval", test_eval);
  return g_test_run();
}
