/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/saved.h"
#include <string.h>

static GBytes *one(const char *stage, const char *data)
{
  uint8_t print[MR_SAVED_PRINT];
  memset(print, stage[0], sizeof print);
  return mr_saved_one(stage, print, data, strlen(data));
}

/* "a=1 b=2", in order. */
static char *text(GBytes *value)
{
  GString *out = g_string_new(NULL);
  struct mr_saved_entry e;
  for (size_t at = 0; mr_saved_next(value, &at, &e);) {
    g_assert_cmpint(e.print[0], ==, e.stage[0]);
    g_string_append_printf(out, "%s%.*s=%.*s", out->len ? " " : "", (int)e.stage_len, e.stage,
                           (int)e.len, (const char *)e.data);
  }
  return g_string_free(out, FALSE);
}

#define IS(value, want)                   \
  G_STMT_START                            \
  {                                       \
    g_autofree char *text_ = text(value); \
    g_assert_cmpstr(text_, ==, want);     \
  }                                       \
  G_STMT_END

static void test_merge(void)
{
  g_autoptr(GBytes) a = one("a", "1"), b = one("b", "2"), longer = one("ab", "");
  g_autoptr(GBytes) ab = mr_saved_merge(a, b), again = one("a", "new");
  g_autoptr(GBytes) three = mr_saved_merge(ab, longer), newer = mr_saved_merge(three, again);
  g_autoptr(GBytes) alone = mr_saved_merge(NULL, again);
  struct mr_saved_entry e;
  IS(ab, "a=1 b=2");
  IS(newer, "b=2 ab= a=new");
  IS(alone, "a=new");
  g_assert_true(mr_saved_find(newer, "ab", &e));
  g_assert_cmpint(e.len, ==, 0);
  g_assert_false(mr_saved_find(newer, "abc", &e));
  g_assert_false(mr_saved_find(NULL, "a", &e));
}

static bool not_b(void *out, const struct mr_saved_entry *e)
{
  return e->stage[0] != 'b';
}

static bool nothing(void *out, const struct mr_saved_entry *e)
{
  return false;
}

static void test_filter(void)
{
  g_autoptr(GBytes) a = one("a", "1"), b = one("b", "2"), ab = mr_saved_merge(a, b);
  g_autoptr(GBytes) left = mr_saved_filter(ab, not_b, NULL);
  IS(left, "a=1");
  g_assert_null(mr_saved_filter(ab, nothing, NULL));
}

/* What was cut, or is something else, is told apart; no prefix is read past its end. */
static void test_broken(void)
{
  g_autoptr(GBytes) a = one("a", "1"), b = one("bc", "some more"), ab = mr_saved_merge(a, b);
  gsize len, first = g_bytes_get_size(a);
  const char *data = g_bytes_get_data(ab, &len);
  g_assert_true(mr_saved_valid(ab));
  for (gsize n = 0; n < len; n++) {
    g_autofree void *copy = g_memdup2(data, n);
    g_autoptr(GBytes) cut = g_bytes_new(copy, n);
    g_assert_true(mr_saved_valid(cut) == (n == 3 || n == first));
  }
  g_autoptr(GBytes) other = g_bytes_new_static("XYZ and so on", 13);
  g_assert_false(mr_saved_valid(other));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/saved/merge", test_merge);
  g_test_add_func("/saved/filter", test_filter);
  g_test_add_func("/saved/broken", test_broken);
  return g_test_run();
}
