/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>
#include "conf/node.h"

static void expect_bytes(const char *text, size_t len, const char *want)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  mr_ynode_free(mr_yaml_parse(text, len, problems));
  g_autofree char *got = mr_problems_text("f", problems);
  g_assert_cmpstr(got, ==, want);
}

static void expect(const char *text, const char *want)
{
  expect_bytes(text, strlen(text), want);
}

static struct mr_ynode *parse(const char *text)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_ynode *n = mr_yaml_parse(text, strlen(text), problems);
  g_assert_cmpuint(problems->len, ==, 0);
  g_assert_nonnull(n);
  return n;
}

static void assert_at(struct mr_mark_at at, int line, int column)
{
  g_assert_cmpint(at.line, ==, line);
  g_assert_cmpint(at.column, ==, column);
}

static void test_places(void)
{
  struct mr_ynode *root = parse("a: 1\nbä:\n  - x\n  - {k: 'v'}\n");
  struct mr_ynode *list = mr_ynode_get(root, "bä"), *map = mr_ynode_kid(list, 1),
                  *v = mr_ynode_get(map, "k");
  assert_at(mr_ynode_get(root, "a")->at, 1, 4);
  assert_at(list->key_at, 2, 1);
  assert_at(mr_ynode_kid(list, 0)->at, 3, 5);
  assert_at(v->key_at, 4, 6);
  assert_at(v->at, 4, 9);
  g_assert_true(v->flow);
  g_assert_false(list->flow);
  g_autofree char *path = mr_ynode_path(v);
  g_assert_cmpstr(path, ==, "/bä/1/k");
  mr_ynode_free(root);
}

static void test_empty(void)
{
  expect("", "f:1:1: /: the file is empty\n");
  expect("# only a comment\n", "f:1:1: /: the file is empty\n");
}

static void test_second_document(void)
{
  expect("a: 1\n---\nb: 2\n",
         "f:2:1: /: a second document begins here: a file holds one pipeline\n");
}

static void test_aliases(void)
{
  expect("a: &x 1\nb: *x\n",
         "f:1:4: /a: anchors (&x) are not allowed: write the value out, or put it in quotes\n"
         "f:2:4: /b: aliases (*x) are not allowed: write the value out, or put it in quotes if it "
         "begins with *\n");
  expect("a:\n  <<: {b: 1}\n", "f:2:3: /a/<<: merge keys are not allowed: write the entries out\n");
  expect(
      "path: *.csv\n",
      "f:1:8: /: no YAML while scanning an alias (which begins at line 1): did not find expected "
      "alphabetic or numeric character; a value that begins with * or & needs quotes\n");
}

/* The path of an entry whose name is not read yet. */
static void test_unread_name(void)
{
  expect("l:\n  - &x name: 1\n", "f:2:5: /l/0/name: a key cannot have an anchor or a tag\n");
}

static void test_tags(void)
{
  expect("a: !!int 5\n", "f:1:4: /a: tags (tag:yaml.org,2002:int) are not allowed: put the value "
                         "in quotes if it begins with !\n");
}

static void test_duplicates(void)
{
  expect("a: 1\nb: 2\na: 3\na: 4\n",
         "f:3:1: /a: `a` is here twice: it stands in line 1 already\nf:4:1: /a: `a` is here twice: "
         "it stands in line 1 already\n");
}

static void test_parentheses(void)
{
  expect("c: {total: decimal(12,2), n: int64}\n",
         "f:1:12: /c/total: `decimal(12` has unbalanced parentheses (inside [ ] and { } a comma "
         "ends it): put the value in quotes\n");
  expect("c: [price decimal(18,4), b]\n",
         "f:1:5: /c/0: `price decimal(18` has unbalanced parentheses (inside [ ] and { } a comma "
         "ends it): put the value in quotes\n");
  expect("when: f(x\n",
         "f:1:7: /when: `f(x` has unbalanced parentheses: put the value in quotes\n");
  expect("when: x)\n", "f:1:7: /when: `x)` has unbalanced parentheses: put the value in quotes\n");
  expect("a: name = '('\nb: \"f(\"\nc: decimal(12,2)\n", "");
}

static void test_variable_in_flow(void)
{
  expect("b: [${A}, ${B}]\n",
         "f:1:6: /: no YAML while parsing a flow sequence (which begins at line 1): did not find "
         "expected ',' or ']'; inside [ ] and { } a value with ${…} needs quotes: \"${…}\"\n");
  expect("b: ['${A}', \"${B}\"]\nc: ${C}\n", "");
}

static void test_syntax(void)
{
  expect("a:\n\tb: 1\n",
         "f:2:1: /: no YAML while scanning for the next token (which begins at line 2): found "
         "character that cannot start any token; indent with blanks, not with tabs\n");
  expect("a: b: c\n", "f:1:5: /: no YAML: mapping values are not allowed in this context; a value "
                      "that holds `: ` needs quotes\n");
  expect("a: @b\n", "f:1:4: /: no YAML while scanning for the next token (which begins at line 1): "
                    "found character that cannot start any token; put the value in quotes\n");
}

static void test_keys(void)
{
  expect("? [a]\n: 1\n", "f:1:3: /: a key must be a plain name; a value with { needs quotes\n");
  expect("${X}: 1\n", "f:1:1: /${X}: ${…} is replaced in values only, not in names\n");
}

static char *nested(int depth)
{
  g_autofree char *open = g_strnfill((gsize)depth, '['), *close = g_strnfill((gsize)depth, ']');
  return g_strconcat(open, close, NULL);
}

static void test_depth(void)
{
  g_autofree char *fine = nested(MR_YAML_DEPTH), *deep = nested(MR_YAML_DEPTH + 1),
                  *abyss = nested(200000);
  expect(fine, "");
  g_autofree char *path =
      g_strdup_printf("f:1:%d: %s: nested deeper than %d levels\n", MR_YAML_DEPTH + 1,
                      "/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0/0", MR_YAML_DEPTH);
  expect(deep, path);
  expect(abyss, path);
}

static void test_size(void)
{
  g_autofree char *text = g_strnfill(MR_YAML_BYTES + 1, '#');
  expect_bytes(text, MR_YAML_BYTES, "f:1:1: /: the file is empty\n");
  expect_bytes(text, MR_YAML_BYTES + 1,
               "f:1:1: /: the file has 1048577 bytes, more than 1048576\n");
}

static void test_count(void)
{
  GString *text = g_string_new("[");
  for (int i = 0; i <= MR_YAML_NODES; i++)
    g_string_append(text, "1,");
  g_string_append_c(text, ']');
  g_autoptr(GPtrArray) problems = mr_problems_new();
  g_assert_null(mr_yaml_parse(text->str, text->len, problems));
  g_assert_cmpuint(problems->len, ==, 1);
  g_string_free(text, TRUE);
}

static void test_encoding(void)
{
  expect_bytes("a: \xff\n", 5,
               "f:1:4: /: invalid leading UTF-8 octet: the file must be UTF-8 text\n");
  expect_bytes("a: b\nc: \x01\n", 10,
               "f:2:4: /: control characters are not allowed: the file must be UTF-8 text\n");
  expect("a: \"x\\0y\"\n", "f:1:4: /a: a value cannot hold a NUL character\n");
  struct mr_ynode *n = parse("\xef\xbb\xbf"
                             "a: 1\n");
  g_assert_nonnull(mr_ynode_get(n, "a"));
  mr_ynode_free(n);
}

static void test_bare(void)
{
  struct mr_ynode *n = parse("a:\nb: ''\nc: null\n");
  g_assert_true(mr_ynode_get(n, "a")->bare);
  g_assert_false(mr_ynode_get(n, "b")->bare);
  g_assert_cmpstr(mr_ynode_get(n, "c")->text, ==, "null");
  mr_ynode_free(n);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/yaml/places", test_places);
  g_test_add_func("/yaml/empty", test_empty);
  g_test_add_func("/yaml/second-document", test_second_document);
  g_test_add_func("/yaml/aliases", test_aliases);
  g_test_add_func("/yaml/unread-name", test_unread_name);
  g_test_add_func("/yaml/tags", test_tags);
  g_test_add_func("/yaml/duplicates", test_duplicates);
  g_test_add_func("/yaml/parentheses", test_parentheses);
  g_test_add_func("/yaml/variable-in-flow", test_variable_in_flow);
  g_test_add_func("/yaml/syntax", test_syntax);
  g_test_add_func("/yaml/keys", test_keys);
  g_test_add_func("/yaml/depth", test_depth);
  g_test_add_func("/yaml/size", test_size);
  g_test_add_func("/yaml/count", test_count);
  g_test_add_func("/yaml/encoding", test_encoding);
  g_test_add_func("/yaml/bare", test_bare);
  return g_test_run();
}
