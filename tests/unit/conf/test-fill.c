/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <math.h>
#include "fake.h"
#include "millrace/build.h"

#define DOTS "\xe2\x80\xa6"
#define NO_TYPE                                                                                \
  "no type `int65`; types are bool, int8" DOTS "int64, uint8" DOTS                             \
  "uint64, float32, float64, decimal(p,s), date, time, timestamp, timestamptz, utf8, binary, " \
  "uuid, json, list<T>, map<K,V>, struct<a: T>"
#define NAMED "      topics: t\n"

static const char *text_at(const struct mr_list *list, size_t i)
{
  return ((const char *const *)list->item)[i];
}

/* Options of tap (lines, indented by six) and the problems they give; lines count from 5. */
static void expect(const char *options, const char *want)
{
  g_autofree char *text = fake_file(options);
  fake_expect(text, want);
}

static void test_absent(void)
{
  const struct fake_source *s;
  struct mr_spec *spec = fake_tap(NAMED, &s);
  g_assert_null(s->password);
  g_assert_true(s->port == INT64_MIN);
  g_assert_true(isnan(s->ratio));
  g_assert_false(s->strict);
  g_assert_cmpint(s->begin, ==, 0); /* its default */
  g_assert_cmpint(s->wait_ms, ==, 5000);
  g_assert_null(s->columns);
  g_assert_null(s->format);
  g_assert_cmpuint(s->options.n, ==, 0);
  g_assert_cmpint(((const struct fake_out *)mr_spec_stage(spec, "to")->conf)->mode, ==, -1);
  mr_spec_free(spec);
}

static void test_scalars(void)
{
  const struct fake_source *s;
  struct mr_spec *spec = fake_tap(NAMED "      port: 9092\n      size: 64KiB\n      wait: 1m\n     "
                                        " ratio: 0.25\n      strict: true\n      begin: latest\n",
                                  &s);
  g_assert_cmpint(s->port, ==, 9092);
  g_assert_cmpint(s->size, ==, 65536);
  g_assert_cmpint(s->wait_ms, ==, 60000);
  g_assert_cmpfloat(s->ratio, ==, 0.25);
  g_assert_true(s->strict);
  g_assert_cmpint(s->begin, ==, 1);
  mr_spec_free(spec);
}

static void test_many(void)
{
  const struct fake_source *s;
  struct mr_spec *one = fake_tap("      topics: a\n", &s);
  g_assert_cmpuint(s->topics.n, ==, 1);
  g_assert_cmpstr(text_at(&s->topics, 0), ==, "a");
  g_assert_null(s->topics.key);
  mr_spec_free(one);
  struct mr_spec *two = fake_tap("      topics: [a, 'b,c']\n", &s);
  g_assert_cmpuint(s->topics.n, ==, 2);
  g_assert_cmpstr(text_at(&s->topics, 1), ==, "b,c");
  mr_spec_free(two);
}

static void test_keyed(void)
{
  const struct fake_source *s;
  struct mr_spec *spec =
      fake_tap(NAMED "      options: {queued.min.messages: 100000, b: true, a: ''}\n", &s);
  g_assert_cmpuint(s->options.n, ==, 3);
  g_assert_cmpstr(s->options.key[0], ==, "queued.min.messages");
  g_assert_cmpstr(text_at(&s->options, 0), ==, "100000");
  g_assert_cmpstr(s->options.key[2], ==, "a"); /* the file's order */
  g_assert_cmpstr(text_at(&s->options, 2), ==, "");
  mr_spec_free(spec);
}

static void test_groups(void)
{
  const struct fake_source *s;
  struct mr_spec *spec =
      fake_tap(NAMED "      sasl: {user: u}\n      routes:\n        - topic: a\n        - {topic: "
                     "b, weight: 3}\n      shards: {x: {topic: c}}\n",
               &s);
  const struct fake_route *routes = s->routes.item, *shards = s->shards.item;
  g_assert_cmpstr(s->sasl.user, ==, "u");
  g_assert_cmpuint(s->routes.n, ==, 2);
  g_assert_cmpint(routes[0].weight, ==, 1);
  g_assert_cmpstr(routes[1].topic, ==, "b");
  g_assert_cmpint(routes[1].weight, ==, 3);
  g_assert_cmpstr(s->shards.key[0], ==, "x");
  g_assert_cmpstr(shards[0].topic, ==, "c");
  mr_spec_free(spec);
}

static void test_columns(void)
{
  const struct fake_source *s;
  struct mr_spec *spec = fake_tap(
      NAMED "      columns:\n        price: decimal(18,4)\n        tags: list<utf8>\n", &s);
  g_assert_cmpint(s->columns->n_children, ==, 2);
  g_assert_cmpstr(s->columns->children[0]->name, ==, "price");
  g_assert_cmpstr(s->columns->children[0]->format, ==, "d:18,4");
  g_assert_cmpstr(s->columns->children[1]->format, ==, "+l");
  mr_spec_free(spec);
}

static void test_format(void)
{
  const struct fake_source *s;
  struct mr_spec *spec = fake_tap(NAMED "      format: csv\n      delimiter: \";\"\n", &s);
  g_assert_cmpstr((const char *)s->format->desc, ==, "csv");
  g_assert_cmpstr(s->format->conf->delimiter, ==, ";");
  g_assert_false(s->format->conf->header);
  mr_spec_free(spec);
}

static void test_wrong_values(void)
{
  expect(NAMED "      port: 70000\n", "f:6:13: /sources/in/tap/port: `70000` is not in 1..65535\n");
  expect(NAMED "      port: -5\n", "f:6:13: /sources/in/tap/port: `-5` is not in 1..65535\n");
  expect(NAMED "      port: 64k\n", "f:6:13: /sources/in/tap/port: `64k` is not a whole number\n");
  expect(NAMED "      size: 1\n", "f:6:13: /sources/in/tap/size: `1` is not in 1KiB..\n");
  expect(NAMED "      wait: 5\n", "f:6:13: /sources/in/tap/wait: `5` is no duration: write a whole "
                                  "number and ms, s, m, h or d, as 50ms\n");
  expect(NAMED "      strict: maybe\n",
         "f:6:15: /sources/in/tap/strict: `maybe` is not true or false\n");
  expect(NAMED "      begin: latets\n", "f:6:14: /sources/in/tap/begin: `latets` is none of "
                                        "earliest, latest (did you mean `latest`?)\n");
}

static void test_wrong_shapes(void)
{
  expect(NAMED "      port: [1]\n",
         "f:6:13: /sources/in/tap/port: `port` is one value, not a list\n");
  expect(NAMED "      sasl: u\n",
         "f:6:13: /sources/in/tap/sasl: `sasl` is a mapping, not one value\n");
  expect(NAMED "      options: [a]\n",
         "f:6:16: /sources/in/tap/options: `options` is a mapping, not a list\n");
  expect(NAMED "      columns: [a]\n",
         "f:6:16: /sources/in/tap/columns: `columns` is a mapping, not a list\n");
  expect(NAMED "      url:\n", "f:6:7: /sources/in/tap/url: `url` has no value: leave the line "
                               "out, or write \"\" for an empty text\n");
  expect(NAMED "      port:\n",
         "f:6:7: /sources/in/tap/port: `port` has no value: leave the line out\n");
  expect("      topics: []\n", "f:5:15: /sources/in/tap/topics: `topics` is empty\n");
  expect("      topics: [a, [b]]\n",
         "f:5:19: /sources/in/tap/topics/1: `topics` is one value, not a list\n");
}

static void test_names(void)
{
  expect("      topcis: t\n",
         "f:4:5: /sources/in/tap: `topics` is required: what to read\nf:5:7: "
         "/sources/in/tap/topcis: unknown option `topcis` (did you mean `topics`?)\n");
  expect(NAMED "      sasl: {password: secret}\n",
         "f:6:7: /sources/in/tap/sasl: `user` is required: who\n");
  expect(NAMED "      zebra: 1\n", "f:6:7: /sources/in/tap/zebra: unknown option `zebra`\n");
}

static void test_wrong_columns(void)
{
  expect(
      NAMED "      columns: {a: int65, _b: utf8, c: , d: [x]}\n",
      "f:6:20: /sources/in/tap/columns/a: " NO_TYPE "\n"
      "f:6:27: /sources/in/tap/columns/_b: `_b`: names that begin with _ are system columns\n"
      "f:6:37: /sources/in/tap/columns/c: column `c` needs a type, as `c: utf8` or `list<int64>`\n"
      "f:6:42: /sources/in/tap/columns/d: column `d` needs a type, as `d: utf8` or "
      "`list<int64>`\n");
}

static void test_wrong_format(void)
{
  expect(NAMED "      format: avro\n      registry: x\n      prot: 1\n",
         "f:6:15: /sources/in/tap/format: no format `avro`: there are csv, json\nf:8:7: "
         "/sources/in/tap/prot: unknown option `prot` (did you mean `port`?)\n");
  expect(NAMED "      format: cvs\n      delimiter: x\n",
         "f:6:15: /sources/in/tap/format: no format `cvs` (did you mean `csv`?): there are csv, "
         "json\n");
  expect(NAMED "      format: json\n      delimiter: x\n",
         "f:7:7: /sources/in/tap/delimiter: `delimiter` is an option of format csv only\n");
  expect(NAMED "      format: csv\n      delimiter: xx\n",
         "f:7:18: /sources/in/tap/delimiter: `xx` must have 1..1 bytes\n");
}

/* No message shows what is secret. */
static void test_secret(void)
{
  expect(NAMED "      password: abc\n",
         "f:6:17: /sources/in/tap/password: the value must have 4.. bytes\n");
  expect(NAMED "      password: hunter2\n      begin: hunter2\n",
         "f:7:14: /sources/in/tap/begin: `***` is none of earliest, latest\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/fill/absent", test_absent);
  g_test_add_func("/fill/scalars", test_scalars);
  g_test_add_func("/fill/many", test_many);
  g_test_add_func("/fill/keyed", test_keyed);
  g_test_add_func("/fill/groups", test_groups);
  g_test_add_func("/fill/columns", test_columns);
  g_test_add_func("/fill/format", test_format);
  g_test_add_func("/fill/wrong-values", test_wrong_values);
  g_test_add_func("/fill/wrong-shapes", test_wrong_shapes);
  g_test_add_func("/fill/names", test_names);
  g_test_add_func("/fill/wrong-columns", test_wrong_columns);
  g_test_add_func("/fill/wrong-format", test_wrong_format);
  g_test_add_func("/fill/secret", test_secret);
  return g_test_run();
}
