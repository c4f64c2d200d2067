/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>
#include "conf/node.h"

static struct mr_ynode *parse(const char *text)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_ynode *n = mr_yaml_parse(text, strlen(text), problems);
  g_assert_cmpuint(problems->len, ==, 0);
  return n;
}

static void locate(const char *text, int line, int column, int want_line, int want_column)
{
  struct mr_ynode *root = parse(text);
  struct mr_mark_at at = mr_ynode_locate(mr_ynode_get(root, "w"), text, line, column);
  g_assert_cmpint(at.line, ==, want_line);
  g_assert_cmpint(at.column, ==, want_column);
  mr_ynode_free(root);
}

static void test_locate(void)
{
  locate("w: a + b\n", 1, 5, 1, 8);
  locate("w: 'a + b'\n", 1, 5, 1, 9);
  locate("w: 'a = ''x'' + b'\n", 1, 11, 1, 17); /* both '' before it take two columns in the file */
  locate("w: \"a = \\\"x\\\" + b\"\n", 1, 11, 1, 17);
  locate("w: \"\\x41 + b\"\n", 1, 5, 1,
         4); /* an escape whose width is not known: the value's start */
  locate("w: |\n  a +\n  b\nz: 1\n", 2, 1, 3, 3);
  locate("w: ä + b\n", 1, 5, 1, 8); /* columns are characters, not bytes */
}

/* YAML joins the lines of plain scalars and folded blocks; each character is found where it stands.
 */
static void test_locate_lines(void)
{
  locate("w: a +\n   b * c\nz: 1\n", 1, 3, 1, 6); /* + */
  locate("w: a +\n   b * c\nz: 1\n", 1, 5, 2, 4); /* b */
  locate("w: a +\n   b * c\nz: 1\n", 1, 9, 2, 8);
  locate("w: a +\n\n   b\n", 2, 1, 3, 4);   /* an empty line is a line break of the text */
  locate("w: a +\n   b # c\n", 1, 7, 2, 5); /* the end of the text */
  locate("w:\n  ä +\n  b\n", 1, 5, 3, 3);
  locate("w: >\n  a +\n  b\nz: 1\n", 1, 3, 2, 5);
  locate("w: >\n  a +\n  b\nz: 1\n", 1, 5, 3, 3);
  locate("w: >-\n\n    a +\n      b\n    c\n", 2, 1, 3, 5);
  locate("w: >-\n    a +\n      b\n    c\n", 2, 3, 3, 7); /* deeper lines are not joined */
  locate("w: >-\n    a +\n      b\n    c\n", 3, 1, 4, 5);
  locate("w: >2\n    a\n  b\nz: 1\n", 1, 3, 2, 5); /* the indentation is said */
  locate("w: |\n\n  a +\n\n   b\n", 4, 2, 5, 4);
  locate("w: |\n  a +\n  b\nz: 1\n", 3, 1, 3, 4); /* behind the last line: its end */
  locate("w: |\r\n  a +\r\n  b\r\n", 2, 1, 3, 3);
  locate("w: [x, a +\n    b]\n", 1, 1, 1, 4);
}

static void test_comment(void)
{
  const char *text = "a: x # 1\nb: y\nc: 'z' # no\nd: q#r\n";
  struct mr_ynode *root = parse(text);
  g_assert_true(mr_ynode_comment(mr_ynode_get(root, "a"), text));
  g_assert_false(mr_ynode_comment(mr_ynode_get(root, "b"), text));
  g_assert_false(mr_ynode_comment(mr_ynode_get(root, "c"), text));
  g_assert_false(mr_ynode_comment(mr_ynode_get(root, "d"), text));
  mr_ynode_free(root);
}

static void test_path(void)
{
  struct mr_ynode *root =
      parse("sources:\n  - name: trades\n    kafka: {topics: [a, b]}\n  - kafka: {}\n");
  struct mr_ynode *list = mr_ynode_get(root, "sources");
  struct mr_ynode *topics = mr_ynode_get(mr_ynode_get(mr_ynode_kid(list, 0), "kafka"), "topics");
  g_autofree char *a = mr_ynode_path(mr_ynode_kid(topics, 1)),
                  *b = mr_ynode_path(mr_ynode_kid(list, 1)), *c = mr_ynode_path(root);
  g_assert_cmpstr(a, ==, "/sources/trades/kafka/topics/1");
  g_assert_cmpstr(b, ==, "/sources/1");
  g_assert_cmpstr(c, ==, "/");
  mr_ynode_free(root);
}

static void test_text(void)
{
  struct mr_ynode *root = parse("a: [1, 'x, y', '']\nb: plain text\n");
  g_autofree char *all = mr_ynode_text(root), *b = mr_ynode_text(mr_ynode_get(root, "b"));
  g_assert_cmpstr(all, ==, "{a: [1, \"x, y\", \"\"], b: plain text}");
  g_assert_cmpstr(b, ==, "plain text");
  mr_ynode_free(root);
}

static void test_put(void)
{
  struct mr_ynode *root = parse("a: 1\nb: 2\n");
  mr_ynode_put(root, "a", mr_ynode_scalar("3", root));
  mr_ynode_put(root, "c", mr_ynode_scalar("4", root));
  g_assert_cmpuint(mr_ynode_count(root), ==, 3);
  g_assert_cmpstr(mr_ynode_get(root, "a")->text, ==, "3");
  g_assert_cmpstr(mr_ynode_get(root, "c")->text, ==, "4");
  g_assert_null(mr_ynode_get(root, "d"));
  g_assert_null(mr_ynode_get(NULL, "a"));
  mr_ynode_free(root);
  mr_ynode_free(NULL);
}

/* One mistake is told once. */
static void test_broken(void)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_ynode *root = parse("a: 1\n"), *a = mr_ynode_get(root, "a");
  mr_ynode_problem(problems, a, "first");
  mr_ynode_problem(problems, a, "second");
  mr_ynode_key_problem(problems, a, "third");
  g_assert_cmpuint(problems->len, ==, 1);
  mr_ynode_free(root);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/node/locate", test_locate);
  g_test_add_func("/node/locate-lines", test_locate_lines);
  g_test_add_func("/node/comment", test_comment);
  g_test_add_func("/node/path", test_path);
  g_test_add_func("/node/text", test_text);
  g_test_add_func("/node/put", test_put);
  g_test_add_func("/node/broken", test_broken);
  return g_test_run();
}
