/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "conf/suggest.h"

static void test_distance(void)
{
  g_assert_cmpint(mr_suggest_distance("kafka", "kafka", 3), ==, 0);
  g_assert_cmpint(mr_suggest_distance("kafak", "kafka", 3), ==, 1);
  g_assert_cmpint(mr_suggest_distance("Tables", "table", 3), ==, 1);
  g_assert_cmpint(mr_suggest_distance("abc", "xyz", 2), ==, 3);
  g_assert_cmpint(mr_suggest_distance("", "abc", 3), ==, 3);
  g_assert_cmpint(mr_suggest_distance("short", "a much longer name", 3), ==, 4);
}

static void test_nearest(void)
{
  static const char *const names[] = {"table", "topics", "mode", "id"};
  g_assert_cmpstr(mr_suggest("tabel", names, 4), ==, "table");
  g_assert_cmpstr(mr_suggest("topic", names, 4), ==, "topics");
  g_assert_null(mr_suggest("zebra", names, 4));
  g_assert_null(
      mr_suggest("xy", names, 4)); /* two edits of a two-letter name: nothing of it is left */
  g_autofree char *text = mr_suggest_text("moed", names, 4),
                  *none = mr_suggest_text("zebra", names, 4);
  g_assert_cmpstr(text, ==, " (did you mean `mode`?)");
  g_assert_cmpstr(none, ==, "");
}

static void test_long(void)
{
  g_autofree char *a = g_strnfill(5000, 'a');
  const char *names[] = {a};
  g_assert_null(mr_suggest(a, names, 1)); /* longer than is compared: no suggestion, no overrun */
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/suggest/distance", test_distance);
  g_test_add_func("/suggest/nearest", test_nearest);
  g_test_add_func("/suggest/long", test_long);
  return g_test_run();
}
