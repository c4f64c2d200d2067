/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include "conf/option.h"

struct conf {
  int64_t n;
  struct mr_list list;
  struct sub {
    const char *text;
  } group;
};
static const struct mr_opt sub[] = {{"text", MR_TEXT, 0, offsetof(struct sub, text), .doc = "d"},
                                    {NULL}};

static void refuse(struct mr_opt opt, const char *want)
{
  const struct mr_opt table[] = {opt, {NULL}};
  g_autofree char *why = mr_option_table_check(table, sizeof *table, sizeof(struct conf));
  g_assert_cmpstr(why, ==, want);
}

static void test_table(void)
{
  refuse((struct mr_opt){"n", MR_INT, 0, 0, .doc = "d"}, NULL);
  refuse((struct mr_opt){"N", MR_INT, 0, 0, .doc = "d"},
         "option `N` is no name of [a-z][a-z0-9_]*");
  refuse((struct mr_opt){"n", 99, 0, 0, .doc = "d"}, "option `n` has an unknown type");
  refuse((struct mr_opt){"n", MR_INT, 4096, 0, .doc = "d"}, "option `n` has unknown flags");
  refuse((struct mr_opt){"n", MR_TEXT, MR_MANY | MR_KEYED, 0, .doc = "d"},
         "option `n` is both MR_MANY and MR_KEYED");
  refuse((struct mr_opt){"n", MR_INT, 0, sizeof(struct conf) - 4, .doc = "d"},
         "option `n` lies outside the config struct");
  refuse((struct mr_opt){"n", MR_INT, 0, UINT32_MAX, .doc = "d"},
         "option `n` lies outside the config struct");
  refuse((struct mr_opt){"n", MR_CHOICE, 0, 0, .doc = "d"}, "option `n` has no choices");
  refuse((struct mr_opt){"n", MR_GROUP, 0, 0, .doc = "d"}, "option `n` has no table of its own");
  refuse((struct mr_opt){"n", MR_INT, 0, 0, .range = "x", .doc = "d"},
         "option `n` has a range that cannot be read");
  refuse((struct mr_opt){"n", MR_BOOL, 0, 0, .range = "0..1", .doc = "d"},
         "option `n` has a range, but is no number");
  refuse((struct mr_opt){"n", MR_INT, 0, 0, .range = "1..5", .dflt = "6", .doc = "d"},
         "option `n` has a default that it refuses itself");
  refuse((struct mr_opt){"n", MR_INT, 0, 0}, "option `n` has no line of help");
}

static void test_twice(void)
{
  const struct mr_opt table[] = {
      {"n", MR_INT, 0, 0, .doc = "d"}, {"n", MR_INT, 0, 0, .doc = "d"}, {NULL}};
  g_autofree char *why = mr_option_table_check(table, sizeof *table, sizeof(struct conf));
  g_assert_cmpstr(why, ==, "option `n` is there twice");
}

static void test_endless(void)
{
  struct mr_opt *table = g_new0(struct mr_opt, MR_OPTION_TABLE + 2);
  for (int i = 0; i <= MR_OPTION_TABLE; i++)
    table[i] = (struct mr_opt){g_strdup_printf("n%d", i), MR_INT, 0, 0, .doc = "d"};
  g_autofree char *why = mr_option_table_check(table, sizeof *table, sizeof(struct conf));
  g_assert_cmpstr(why, ==, "the option table has no end");
  for (int i = 0; i <= MR_OPTION_TABLE; i++)
    g_free((char *)table[i].name);
  g_free(table);
}

static void test_nested(void)
{
  struct mr_opt loop[] = {{"again", MR_GROUP, 0, 0, 8, .doc = "d"}, {NULL}};
  loop[0].sub = loop;
  g_autofree char *why = mr_option_table_check(loop, sizeof *loop, 8);
  g_assert_cmpstr(why, ==, "groups are nested too deep");
}

static void note(void *out, const struct mr_opt *opt, const char *path, const char *key,
                 void *field)
{
  g_string_append_printf(out, "%s%s%s=%s ", path, key ? "@" : "", key ? key : "",
                         opt->type == MR_TEXT ? *(const char **)field : "-");
}

static void test_walk(void)
{
  const char *items[] = {"x", "y"}, *keys[] = {"k.1", "k.2"};
  struct conf conf = {.list = {.item = items, .key = keys, .n = 2}, .group = {.text = "t"}};
  const struct mr_opt table[] = {
      {"n", MR_INT, 0, offsetof(struct conf, n), .doc = "d"},
      {"list", MR_TEXT, MR_KEYED, offsetof(struct conf, list), .doc = "d"},
      {"group", MR_GROUP, 0, offsetof(struct conf, group), sizeof(struct sub), .sub = sub,
       .doc = "d"},
      {NULL},
  };
  GString *out = g_string_new(NULL);
  mr_option_walk(table, sizeof *table, &conf, note, out);
  g_assert_cmpstr(out->str, ==, "n=- list.k.1@k.1=x list.k.2@k.2=y group.text=t ");
  g_string_free(out, TRUE);
}

/* Elements of an older or newer table are opt_size apart. */
static void test_stride(void)
{
  struct larger {
    struct mr_opt opt;
    int more;
  } table[] = {
      {{"a", MR_INT, 0, 0, .doc = "d"}, 7}, {{"b", MR_INT, 0, 0, .doc = "d"}, 7}, {{NULL}, 7}};
  g_assert_cmpstr(mr_option_find(&table[0].opt, sizeof *table, "b")->name, ==, "b");
  g_assert_null(mr_option_find(&table[0].opt, sizeof *table, "c"));
  g_assert_null(mr_option_find(NULL, sizeof *table, "c"));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/option/table", test_table);
  g_test_add_func("/option/twice", test_twice);
  g_test_add_func("/option/endless", test_endless);
  g_test_add_func("/option/nested", test_nested);
  g_test_add_func("/option/walk", test_walk);
  g_test_add_func("/option/stride", test_stride);
  return g_test_run();
}
