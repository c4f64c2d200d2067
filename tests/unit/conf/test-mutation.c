/* SPDX-License-Identifier: Apache-2.0 */
/* A good file, damaged at random: the loader lives, and every problem stands inside the file. Seeds
 * are printed by the hundred; MR_MUTATION_SEED runs one alone. */
#include <glib.h>
#include <string.h>
#include "fake.h"

#define ROUNDS 4000

static const char file[] =
    "name: p\nlookups:\n  - name: users\n    refresh: 5m\n    tap: {topics: [a, b], columns: "
    "{user_id: uint64, total: \"decimal(12,2)\"}}\n"
    "sources:\n  - name: in\n    time: {column: at, late: 10s}\n    tap:\n      topics: t\n      "
    "url: \"postgresql://u:pw@${MR_T_HOST:-h}/db\"\n"
    "      port: 9092\n      size: 64KiB\n      ratio: 0.5\n      strict: true\n      begin: "
    "latest\n      options: {queued.min.messages: 100000}\n"
    "      format: csv\n      delimiter: ';'\n      sasl: {user: u, password: secret}\n      "
    "routes:\n        - topic: x\n          weight: 2\n"
    "transforms:\n  - name: m\n    input: in\n    mid:\n      with: users\n      set:\n        a: "
    "|\n          b +\n          c\n        d: 'x'' y' # why\n"
    "sinks:\n  - name: to\n    input: [m]\n    when: otherwise\n    commit: 2s\n    allow: [x]\n   "
    " out: {table: t, mode: upsert, key: id}\n"
    "  - name: other\n    input: m\n    when: x > (1 + 2)\n    null:\ndead_letter:\n  originals: "
    "drop\n  limit: {rows: 5, per: 1m}\n  out: {}\n"
    "settings:\n  checkpoint: {interval: 1s, bytes: 64MiB}\n  memory: 256MiB\n";
static const char *const pieces[] = {"{",
                                     "}",
                                     "[",
                                     "]",
                                     ":",
                                     ": ",
                                     "- ",
                                     "\n",
                                     "  ",
                                     "\t",
                                     "'",
                                     "\"",
                                     "|",
                                     ">",
                                     "#",
                                     " # ",
                                     "&a ",
                                     "*a",
                                     "!!x ",
                                     "${",
                                     "}",
                                     "$$",
                                     "(",
                                     ")",
                                     "null",
                                     "~",
                                     "\xc3\xa4",
                                     "\xff",
                                     "%",
                                     "@",
                                     "---\n",
                                     "...\n",
                                     "<<: ",
                                     "? ",
                                     "0",
                                     "-1",
                                     "99999999999999999999",
                                     "name",
                                     "input",
                                     "tap",
                                     "csv",
                                     "otherwise"};

static void damage(GRand *rand, GString *text)
{
  gint32 at = g_rand_int_range(rand, 0, (gint32)text->len + 1);
  gssize n;
  switch (g_rand_int_range(rand, 0, 5)) {
  case 0: g_string_insert(text, at, pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))]); break;
  case 1:
    n = g_rand_int_range(rand, 1, 20);
    g_string_erase(text, at, MIN(n, (gssize)text->len - at));
    break;
  case 2: g_string_truncate(text, (gsize)at); break;
  case 3:
    if ((gsize)at < text->len)
      text->str[at] = (char)g_rand_int_range(rand, 1, 256);
    break;
  default: { /* a piece of the file somewhere else */
    gsize from = (gsize)g_rand_int_range(rand, 0, sizeof file - 30);
    g_string_insert_len(text, at, file + from, g_rand_int_range(rand, 1, 30));
  }
  }
}

static int lines_of(const GString *text)
{
  int n = 1;
  for (gsize i = 0; i < text->len; i++)
    n += text->str[i] == '\n' || text->str[i] == '\r';
  return n;
}

/* NEL, LS and PS end lines too for YAML 1.1. */
static bool plain_lines(const GString *text)
{
  return !strstr(text->str, "\xc2\x85") && !strstr(text->str, "\xe2\x80");
}

static void round_of(guint32 seed)
{
  GRand *rand = g_rand_new_with_seed(seed);
  GString *text = g_string_new(file);
  g_autoptr(GPtrArray) problems = mr_problems_new();
  for (int n = g_rand_int_range(rand, 1, 4); n > 0; n--)
    damage(rand, text);
  struct mr_spec *spec = mr_spec_read("f", text->str, text->len, NULL, &fake_catalog, problems);
  if (!spec)
    g_assert_cmpuint(problems->len, >, 0);
  for (guint i = 0; i < problems->len; i++) {
    const struct mr_problem *p = g_ptr_array_index(problems, i);
    g_assert_true(p->message[0] && p->path[0]);
    g_assert_cmpint(p->line, >=, 0);
    if (plain_lines(text))
      g_assert_cmpint(p->line, <=, lines_of(text) + 1);
  }
  if (spec)
    g_ptr_array_unref(mr_spec_order(spec));
  mr_spec_free(spec);
  g_string_free(text, TRUE);
  g_rand_free(rand);
}

static void test_good(void)
{
  g_autofree char *problems = NULL;
  mr_spec_free(fake_load(file, NULL, &problems));
  g_assert_cmpstr(problems, ==, "");
}

static void test_damaged(void)
{
  const char *given = g_getenv("MR_MUTATION_SEED");
  guint32 first = given ? (guint32)g_ascii_strtoull(given, NULL, 10) : 1;
  for (guint32 seed = first; seed < first + (given ? 1 : ROUNDS); seed++) {
    if (seed % 100 == 1)
      g_test_message("seeds %u and on", seed);
    round_of(seed);
  }
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mutation/good", test_good);
  g_test_add_func("/mutation/damaged", test_damaged);
  return g_test_run();
}
