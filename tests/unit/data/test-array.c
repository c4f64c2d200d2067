/* SPDX-License-Identifier: Apache-2.0 */
#include "data/array.h"
#include "data/types.h"
#include <glib.h>

/* Rows of (id int64, name utf8 with a null in every third row, tags list<int32>). */
static void make_rows(int64_t n, struct ArrowSchema *s, struct ArrowArray *rows)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_column c[3];
  g_assert_cmpint(mr_type_parse("struct<id: int64, name: utf8, tags: list<int32>>", "", s, &err),
                  ==, MR_OK);
  for (int k = 0; k < 3; k++)
    g_assert_true(mr_column_init(&c[k], s->children[k]));
  for (int64_t i = 0; i < n; i++) {
    g_autofree char *name = g_strdup_printf("name-%" G_GINT64_FORMAT, i);
    mr_column_int(&c[0], i * 10);
    if (i % 3 == 2)
      mr_column_null(&c[1]);
    else
      mr_column_text(&c[1], name);
    for (int j = 0; j < i % 4; j++)
      mr_column_int(&c[2].child[0], i + j);
    mr_column_end(&c[2]);
  }
  g_assert_true(mr_rows_finish(c, 3, n, rows));
  for (int k = 0; k < 3; k++)
    mr_column_done(&c[k]);
  g_assert_cmpint(mr_array_check(s, rows, true, &err), ==, MR_OK);
}

/* Row i of rows is row `id` of make_rows. */
static void check_row(const struct ArrowSchema *s, const struct ArrowArray *rows, int64_t i,
                      int64_t id)
{
  struct mr_view v[3];
  int64_t n, from, to;
  for (int k = 0; k < 3; k++)
    mr_view_column(&v[k], s, rows, k);
  g_assert_cmpint(mr_view_int(&v[0], i), ==, id * 10);
  g_assert_cmpint(mr_view_null(&v[1], i), ==, id % 3 == 2);
  if (id % 3 != 2) {
    g_autofree char *name = g_strdup_printf("name-%" G_GINT64_FORMAT, id);
    const char *p = mr_view_bytes(&v[1], i, &n);
    g_assert_cmpmem(p, (size_t)n, name, strlen(name));
  }
  mr_view_range(&v[2], i, &from, &to);
  g_assert_cmpint(to - from, ==, id % 4);
}

static void test_slices_share(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows, a, b;
  make_rows(100, &s, &rows);
  g_assert_true(mr_rows_slice(&rows, 10, 50, &a));
  g_assert_true(mr_rows_slice(&a, 5, 20, &b));
  g_assert_true(a.children[0]->buffers[1] == b.children[0]->buffers[1]);
  mr_array_release(&rows);
  mr_array_release(&a);
  g_assert_cmpint(b.offset, ==, 0);
  for (int64_t i = 0; i < b.length; i++)
    check_row(&s, &b, i, i + 15);
  struct mr_error err = MR_ERROR_INIT;
  g_assert_cmpint(mr_array_check(&s, &b, true, &err), ==, MR_OK);
  struct ArrowArray child;
  mr_array_move(b.children[1], &child); /* a moved-out child keeps its buffers alive */
  mr_array_release(&b);
  struct mr_view v;
  int64_t n;
  mr_view_init(&v, s.children[1], &child);
  g_assert_cmpint(memcmp(mr_view_bytes(&v, 0, &n), "name-15", 7), ==, 0);
  mr_array_release(&child);
  mr_schema_release(&s);
}

static void test_filter(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows, some, all, slice;
  uint8_t keep[8], every[8];
  make_rows(60, &s, &rows);
  memset(keep, 0x55, sizeof keep); /* even rows */
  memset(every, 0xff, sizeof every);
  g_assert_true(mr_rows_slice(&rows, 3, 50, &slice));
  g_assert_true(mr_rows_filter(&s, &slice, keep, &some));
  g_assert_cmpint(some.length, ==, 25);
  for (int64_t i = 0; i < some.length; i++)
    check_row(&s, &some, i, 3 + 2 * i);
  g_assert_true(mr_rows_filter(&s, &rows, every, &all));
  g_assert_true(all.children[0]->buffers[1] == rows.children[0]->buffers[1]);
  mr_array_release(&all);
  mr_array_release(&some);
  mr_array_release(&slice);
  mr_array_release(&rows);
  mr_schema_release(&s);
}

static void test_gather_null(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows, g;
  int64_t index[] = {5, -1, 1};
  make_rows(10, &s, &rows);
  g_assert_true(mr_array_gather(s.children[0], rows.children[0], index, 3, &g));
  struct mr_view v;
  mr_view_init(&v, s.children[0], &g);
  g_assert_cmpint(mr_view_int(&v, 0), ==, 50);
  g_assert_true(mr_view_null(&v, 1));
  g_assert_cmpint(mr_view_int(&v, 2), ==, 10);
  mr_array_release(&g);
  mr_array_release(&rows);
  mr_schema_release(&s);
}

static void test_bytes(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows, half;
  make_rows(1000, &s, &rows);
  int64_t all = mr_array_bytes(&s, &rows);
  g_assert_cmpint(all, >, 1000 * (8 + 8 + 4));
  g_assert_true(mr_rows_slice(&rows, 500, 500, &half));
  int64_t part = mr_array_bytes(&s, &half);
  g_assert_cmpint(part, >, all * 2 / 5);
  g_assert_cmpint(part, <, all * 3 / 5);
  mr_array_release(&half);
  mr_array_release(&rows);
  mr_schema_release(&s);
}

static void test_check_refuses(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_error err = MR_ERROR_INIT;
  make_rows(10, &s, &rows);
  ((char *)rows.children[1]->buffers[2])[0] = (char)0xff;
  g_assert_cmpint(mr_array_check(&s, &rows, false, &err), ==, MR_OK);
  g_assert_cmpint(mr_array_check(&s, &rows, true, &err), ==, MR_FATAL);
  g_assert_nonnull(strstr(err.msg, "`name` (u): text is not UTF-8"));
  ((int32_t *)rows.children[2]->buffers[1])[3] = 1 << 30;
  g_assert_cmpint(mr_array_check(&s, &rows, false, &err), ==, MR_FATAL);
  rows.children[0]->length = 9;
  g_assert_cmpint(mr_array_check(&s, &rows, false, &err), ==, MR_FATAL);
  mr_array_release(&rows);
  mr_schema_release(&s);
}

static void test_truncate(void)
{
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_column c[3];
  struct mr_view v[3];
  struct mr_error err = MR_ERROR_INIT;
  make_rows(12, &s, &rows);
  for (int k = 0; k < 3; k++) {
    g_assert_true(mr_column_init(&c[k], s.children[k]));
    mr_view_column(&v[k], &s, &rows, k);
    for (int64_t i = 0; i < 12; i++)
      g_assert_true(mr_column_append(&c[k], &v[k], i));
    mr_column_truncate(&c[k], 5);
    for (int64_t i = 5; i < 12; i++)
      g_assert_true(mr_column_append(&c[k], &v[k], i));
  }
  struct ArrowArray again;
  g_assert_true(mr_rows_finish(c, 3, 12, &again));
  g_assert_cmpint(mr_array_check(&s, &again, true, &err), ==, MR_OK);
  for (int64_t i = 0; i < 12; i++)
    check_row(&s, &again, i, i);
  g_assert_cmpint(again.children[1]->null_count, ==, 4);
  for (int k = 0; k < 3; k++)
    mr_column_done(&c[k]);
  mr_array_release(&again);
  mr_array_release(&rows);
  mr_schema_release(&s);
}

static void test_metadata(void)
{
  struct ArrowSchema s, copy;
  g_assert_true(mr_schema_init(&s, "email", "u", true));
  g_assert_true(mr_schema_set_meta(&s, "a", "1"));
  g_assert_true(mr_schema_set_meta(&s, MR_META_CLASS, "pii"));
  g_assert_true(mr_schema_set_meta(&s, "a", "22"));
  g_assert_true(mr_schema_copy(&s, &copy));
  mr_schema_release(&s);
  g_assert_true(mr_schema_meta_is(&copy, "a", "22"));
  g_assert_true(mr_schema_meta_is(&copy, MR_META_CLASS, "pii"));
  g_assert_true(mr_schema_set_meta(&copy, MR_META_CLASS, NULL));
  size_t n;
  g_assert_null(mr_schema_meta(&copy, MR_META_CLASS, &n));
  mr_schema_release(&copy);
}

static void test_utf8(void)
{
  g_assert_true(mr_utf8_valid("plain ascii text, long enough", 29));
  g_assert_true(mr_utf8_valid("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", 15));
  g_assert_false(mr_utf8_valid("\xed\xa0\x80", 3));     /* a surrogate */
  g_assert_false(mr_utf8_valid("\xc0\xaf", 2));         /* overlong */
  g_assert_false(mr_utf8_valid("\xf4\x90\x80\x80", 4)); /* past U+10FFFF */
  g_assert_false(mr_utf8_valid("abc\xe2\x82", 5));      /* cut */
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/array/slices-share", test_slices_share);
  g_test_add_func("/array/filter", test_filter);
  g_test_add_func("/array/gather-null", test_gather_null);
  g_test_add_func("/array/bytes", test_bytes);
  g_test_add_func("/array/check-refuses", test_check_refuses);
  g_test_add_func("/array/truncate", test_truncate);
  g_test_add_func("/array/metadata", test_metadata);
  g_test_add_func("/array/utf8", test_utf8);
  return g_test_run();
}
