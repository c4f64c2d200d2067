/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of partition keys, against those that the Python driver's murmur3 has for the same bytes;
 * what a node says of them is in the end-to-end tests. */
#include <glib.h>
#include "sources/cassandra/cassandra.h"

static struct cass_cell cell(const void *p, int64_t n)
{
  return (struct cass_cell){.p = p, .n = n};
}

static int64_t token(const struct cass_cell *c, const size_t *key, size_t n)
{
  struct sql_buf room = {0};
  int64_t ret = 0;
  g_assert_true(cass_token(c, key, n, &room, &ret));
  sql_buf_done(&room);
  return ret;
}

static void test_one_column(void)
{
  uint8_t high[56];
  for (int i = 0; i < 56; i++)
    high[i] = (uint8_t)(200 + i);
  const struct {
    struct cass_cell key;
    int64_t token;
  } cases[] = {
      {cell("\0\0\0\1", 4), -4069959284402364209},
      {cell("\xff\xff\xff\xff", 4), 7297452126230313552},
      {cell("Z\xc3\xbcrich", 7), -5540362457254946660},
      {cell("0123456789abcdef", 16), 5467490433528156583},
      {cell("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 15),
       -2195530867418009455},
      {cell(high, 56), 4032995824025522200},
  };
  const size_t key = 1;
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct cass_cell row[] = {cell("other", 5), cases[i].key};
    g_assert_cmpint(token(row, &key, 1), ==, cases[i].token);
  }
}

static void test_several_columns(void)
{
  const struct cass_cell row[] = {cell("a", 1), cell("\0\0\0\7", 4), cell("", 0),
                                  cell("\xf0\x9f\x98\x80", 4)};
  g_assert_cmpint(token(row, (const size_t[]){1, 0}, 2), ==, 3863798732273570418);
  g_assert_cmpint(token(row, (const size_t[]){3, 2}, 2), ==, -5813830714861330853);
}

static void test_values_that_no_key_has(void)
{
  g_autofree uint8_t *large = g_malloc0(65536);
  const struct cass_cell row[] = {cell(NULL, -1), cell("a", 1), cell(large, 65536)};
  struct sql_buf room = {0};
  int64_t ret;
  g_assert_false(cass_token(row, (const size_t[]){0}, 1, &room, &ret));
  g_assert_false(cass_token(row, (const size_t[]){1, 0}, 2, &room, &ret));
  g_assert_false(cass_token(row, (const size_t[]){1, 2}, 2, &room, &ret));
  sql_buf_done(&room);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cassandra/token/one-column", test_one_column);
  g_test_add_func("/cassandra/token/several-columns", test_several_columns);
  g_test_add_func("/cassandra/token/values-that-no-key-has", test_values_that_no_key_has);
  return g_test_run();
}
