/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of transforms; those of sources are refused as modules in tests/abi. */
#include <glib.h>
#include "plug/descriptor.h"

static int call(void) /* stands for any function: nothing here is called */
{
  return 0;
}
#define ANY ((void *)call)

static struct mr_transform whole(void)
{
  return (struct mr_transform){.size = sizeof(struct mr_transform),
                               .open = ANY,
                               .schema = ANY,
                               .start = ANY,
                               .apply = ANY,
                               .close = ANY};
}

static void expect(const struct mr_transform *t, const char *reason)
{
  const struct mr_plugin p = {.abi = MR_ABI,
                              .size = sizeof p,
                              .opt_size = sizeof(struct mr_opt),
                              .name = "probe",
                              .version = "1",
                              .license = "Apache-2.0",
                              .summary = "for a test",
                              .transform = t};
  g_autofree char *why = mr_descriptor_check(&p, sizeof p, "transforms", "probe");
  g_assert_cmpstr(why, ==, reason);
}

static void test_transform(void)
{
  struct mr_transform t = whole();
  expect(&t, NULL);
  t.save = ANY;
  expect(&t, "transform.load is missing");
  t.load = ANY;
  expect(&t, NULL);
  t.apply = NULL;
  expect(&t, "transform.apply is missing");
}

static void test_watermarks(void)
{
  struct mr_transform t = whole();
  t.advance = ANY;
  expect(&t, "transform.advance is for a later version: this one gives transforms no watermarks");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/descriptor/transform", test_transform);
  g_test_add_func("/descriptor/watermarks", test_watermarks);
  return g_test_run();
}
