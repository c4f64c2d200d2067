/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "engine/replay.h"
#include "specs.h"

static const struct mr_plugin none = {.name = "none"};

/* Two ways from the source to `both`, and a sink on each of them. */
static struct mr_spec *diamond(void)
{
  struct mr_spec *s = specs_new();
  specs_add(s, MR_STAGE_SOURCE, "in", &none, NULL, NULL, NULL);
  specs_add(s, MR_STAGE_TRANSFORM, "first", &none, NULL, "in", NULL);
  specs_add(s, MR_STAGE_TRANSFORM, "left", &none, NULL, "first", "x > 1");
  specs_add(s, MR_STAGE_TRANSFORM, "right", &none, NULL, "first", "otherwise");
  specs_add(s, MR_STAGE_SINK, "both", &none, NULL, "left right", NULL);
  specs_add(s, MR_STAGE_SINK, "only", &none, NULL, "left", "y");
  return s;
}

/* "name(when)<input,input ..." of each stage. */
static char *shown(const struct mr_spec *s)
{
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < s->stages->len; i++) {
    const struct mr_stage_spec *st = s->stages->pdata[i];
    g_autofree char *inputs = st->input ? g_strjoinv(",", st->input) : g_strdup("");
    g_string_append_printf(text, "%s%s", i ? " " : "", st->name);
    if (st->when)
      g_string_append_printf(text, "(%s)", st->when);
    g_string_append_printf(text, "<%s", inputs);
  }
  return g_string_free(text, FALSE);
}

static void check(const char *stage, const char *sink, bool by_row, const char *expected)
{
  struct mr_spec *s = diamond();
  struct mr_replay_group g = {.stage = (char *)stage, .sink = (char *)sink, .by_row = by_row};
  mr_replay_graph(&g, s, "in");
  g_autofree char *text = shown(g.spec);
  g_assert_cmpstr(text, ==, expected);
  const struct mr_stage_spec *source = mr_spec_stage(g.spec, "in");
  g_assert_true(source->plugin == &mr_given_plugin && source->conf == &g.given);
  mr_replay_graph_free(g.spec);
  specs_free(s);
}

static void test_leads(void)
{
  struct mr_spec *s = diamond();
  g_assert_true(mr_replay_leads(s, "in", "both"));
  g_assert_true(mr_replay_leads(s, "left", "left"));
  g_assert_false(mr_replay_leads(s, "right", "only"));
  g_assert_false(mr_replay_leads(s, "both", "in"));
  specs_free(s);
}

static void test_of_the_source(void)
{
  check("in", "both", false,
        "in< first<in left(x > 1)<first right(NOT COALESCE((x > 1), false))<first both<left,right");
  check("in", "only", false, "in< first<in left(x > 1)<first only(y)<left");
}

/* What the other branch gave was not refused: it does not go again. */
static void test_of_a_branch(void)
{
  check("left", "both", false, "in< first<in left(x > 1)<first both<left");
  check("right", "both", false,
        "in< first<in right(NOT COALESCE((x > 1), false))<first both<right");
}

static void test_of_a_sink(void)
{
  check("only", "only", false, "in< first<in left(x > 1)<first only(y)<left");
}

/* A row is past the condition of the stage that refused it. */
static void test_by_row(void)
{
  check("left", "both", true, "in< left<in both<left");
  check("only", "only", true, "in< only<in");
  check("first", "only", true, "in< first<in left(x > 1)<first only(y)<left");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/replay-graph/leads", test_leads);
  g_test_add_func("/replay-graph/of-the-source", test_of_the_source);
  g_test_add_func("/replay-graph/of-a-branch", test_of_a_branch);
  g_test_add_func("/replay-graph/of-a-sink", test_of_a_sink);
  g_test_add_func("/replay-graph/by-row", test_by_row);
  return g_test_run();
}
