/* SPDX-License-Identifier: Apache-2.0 */
#include "src-host.h"

#define RUN(host, n, ...)                                         \
  src_host_init(&(host), "sources", "generate");                  \
  src_host_conf(&(host), __VA_ARGS__, NULL);                      \
  g_assert_cmpint(src_host_open(&(host), NULL, NULL), ==, MR_OK); \
  g_assert_cmpint(src_host_start(&(host)), ==, MR_OK);            \
  g_autofree char *host##_rows = src_host_rows(&(host), (n))

static void test_same_seed_same_rows(void)
{
  struct src_host a, b, c;
  RUN(a, 100, "kind=trades", "rows=100");
  RUN(b, 100, "kind=trades", "rows=100");
  RUN(c, 100, "kind=trades", "rows=100", "seed=2");
  g_assert_cmpstr(a_rows, ==, b_rows);
  g_assert_cmpstr(a_rows, !=, c_rows);
  g_assert_true(g_str_has_prefix(a_rows, "1000000000|70000000000|"));
  src_host_done(&a);
  src_host_done(&b);
  src_host_done(&c);
}

static void test_columns(void)
{
  struct src_host h;
  RUN(h, 1, "kind=people", "rows=1");
  g_autofree char *columns = harness_columns(&h.schema);
  g_assert_cmpstr(
      columns, ==,
      "user_id: uint64, name: utf8, email: utf8, phone: utf8, ssn: utf8, address: utf8, "
      "country: utf8, birth_date: date, ip_address: utf8, notes: utf8");
  g_assert_true(g_str_has_prefix(h_rows, "1000000|"));
  src_host_done(&h);
}

static void test_ends_and_resumes(void)
{
  struct src_host h;
  struct mr_batch b;
  RUN(h, 4, "kind=sequence", "rows=10");
  g_assert_cmpstr(h_rows, ==, "0\n1\n2\n3\n");
  g_assert_cmpint(src_host_lane(&h, "0")->position, ==, 4);
  src_host_close(&h);
  g_assert_cmpint(src_host_open(&h, NULL, NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&h), ==, MR_OK);
  g_autofree char *rest = src_host_rows(&h, 100);
  g_assert_cmpstr(rest, ==, "4\n5\n6\n7\n8\n9\n");
  g_assert_cmpint(src_host_read(&h, 1, &b), ==, MR_END);
  src_host_done(&h);
}

static void test_lanes_and_system_columns(void)
{
  struct src_host h;
  src_host_init(&h, "sources", "generate");
  src_host_conf(&h, "kind=sequence", "rows=5", "lanes=2", NULL);
  g_assert_cmpint(src_host_open(&h, "_partition,_position,_element,_op,_timestamp", NULL), ==,
                  MR_OK);
  g_assert_cmpint(src_host_start(&h), ==, MR_OK);
  g_autofree char *rows = src_host_rows(&h, 100);
  g_assert_cmpstr(rows, ==,
                  "0|0|0|0|insert|1769594400000000\n2|0|1|0|insert|1769594400002000\n"
                  "4|0|2|0|insert|1769594400004000\n"
                  "1|1|0|0|insert|1769594400001000\n3|1|1|0|insert|1769594400003000\n");
  src_host_done(&h);
}

static void test_cut_and_seek(void)
{
  struct src_host h;
  struct mr_batch b;
  struct mr_position at = mr_position_u64(3), back = mr_position_u64(1);
  RUN(h, 1, "kind=sequence", "rows=10");
  g_assert_cmpint(h.plugin->source->cut(h.self, 0, &at), ==, MR_OK);
  g_autofree char *before = src_host_rows(&h, 2);
  g_assert_cmpstr(before, ==, "1\n2\n");
  g_assert_cmpint(src_host_read(&h, 100, &b), ==, MR_OK);
  g_assert_cmpint(b.rows.length, ==, 7);
  mr_array_release(&b.rows);
  g_assert_cmpint(h.plugin->source->seek(h.self, 0, &back, &h.err), ==, MR_OK);
  g_autofree char *again = src_host_rows(&h, 2);
  g_assert_cmpstr(again, ==, "1\n2\n");
  src_host_done(&h);
}

static void test_cut_ends_a_large_read(void)
{
  struct src_host h;
  struct mr_batch b;
  struct mr_position at = mr_position_u64(4);
  RUN(h, 1, "kind=sequence", "rows=10");
  h.plugin->source->cut(h.self, 0, &at);
  g_assert_cmpint(src_host_read(&h, 100, &b), ==, MR_OK);
  g_assert_cmpint(b.rows.length, ==, 3);
  g_assert_cmpuint(mr_position_get(&b.upto), ==, 4);
  mr_array_release(&b.rows);
  src_host_done(&h);
}

static void test_rate(void)
{
  struct src_host h;
  struct mr_batch b;
  RUN(h, 1, "kind=sequence", "rate=1"); /* the first row comes at once, the second after a second */
  g_assert_cmpint(src_host_read_once(&h, 100, 0, &b), ==, MR_IDLE);
  src_host_done(&h);
}

static void test_needs_an_end(void)
{
  struct src_host h;
  src_host_init(&h, "sources", "generate");
  src_host_conf(&h, "kind=sequence", NULL);
  h.bounded = true;
  g_assert_cmpint(src_host_open(&h, NULL, NULL), ==, MR_BADCONF);
  g_assert_cmpstr(h.err.option, ==, "rows");
  h.bounded = false;
  g_assert_cmpint(src_host_open(&h, "_topic", NULL), ==, MR_BADCONF);
  g_assert_nonnull(strstr(h.err.msg, "_topic"));
  src_host_done(&h);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/generate/same-seed-same-rows", test_same_seed_same_rows);
  g_test_add_func("/generate/columns", test_columns);
  g_test_add_func("/generate/ends-and-resumes", test_ends_and_resumes);
  g_test_add_func("/generate/lanes-and-system-columns", test_lanes_and_system_columns);
  g_test_add_func("/generate/cut-and-seek", test_cut_and_seek);
  g_test_add_func("/generate/cut-ends-a-large-read", test_cut_ends_a_large_read);
  g_test_add_func("/generate/rate", test_rate);
  g_test_add_func("/generate/needs-an-end", test_needs_an_end);
  return g_test_run();
}
