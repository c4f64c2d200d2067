/* SPDX-License-Identifier: Apache-2.0 */
#include <glib.h>
#include <string.h>
#include "millrace/build.h"
#include "plug/host.h"

static void test_whole(void)
{
  struct mr_host h;
  int ctx;
  mr_host_init(&h, &ctx);
  g_assert_cmpuint(h.abi, ==, MR_ABI);
  g_assert_cmpuint(h.size, ==, sizeof h);
  g_assert_true(h.ctx == &ctx);
  g_assert_cmpint(h.wake_fd, ==, -1); /* poll() ignores it */
  /* every service is there: a plugin need not ask */
  void *const *from = (void *const *)(const void *)&h.log, *const *to =
                                                               (void *const *)(const void *)(&h +
                                                                                             1);
  for (; from < to; from++)
    g_assert_nonnull(*from);
}

static void test_harmless(void)
{
  struct mr_host h;
  struct mr_error err = {.size = sizeof err};
  struct mr_position from;
  uint32_t lane;
  mr_host_init(&h, NULL);
  h.log(h.ctx, MR_WARN, "not shown");
  h.metric(h.ctx, "rows_total", MR_NO_LANE, 1);
  h.notify(h.ctx);
  g_assert_cmpint(h.reject(h.ctx, &(struct mr_reject){.size = sizeof(struct mr_reject)}), ==,
                  MR_OK);
  g_assert_cmpint(h.lane(h.ctx, "0", NULL, &lane, &from, &err), ==, MR_FATAL);
  g_assert_cmpstr(err.msg, ==, "lanes are known only while a pipeline runs");
}

static void test_services(void)
{
  struct mr_host h;
  struct mr_error err = {.size = sizeof err};
  struct ArrowSchema rows, type = {0}, column = {0};
  struct mr_expr *e = NULL;
  mr_host_init(&h, NULL);
  g_assert_true(mr_schema_struct(&rows) && mr_schema_field(&rows, "a", "l", true));
  g_assert_cmpint(h.expr(h.ctx, "a * 2", &rows, &e, &type, &err), ==, MR_OK);
  g_assert_cmpstr(type.format, ==, "l");
  h.expr_free(e);
  mr_schema_release(&type);
  g_assert_cmpint(h.expr(h.ctx, "b", &rows, &e, &type, &err), ==, MR_BADCONF);
  g_assert_cmpint(h.type(h.ctx, "decimal(18,4)", "price", &column, &err), ==, MR_OK);
  g_assert_cmpstr(column.name, ==, "price");
  mr_schema_release(&column);
  mr_schema_release(&rows);
}

static int match(const char *key_format, const char *key, const char *row_format, char *message)
{
  struct ArrowSchema keys, row;
  struct mr_error err = {.size = sizeof err};
  g_assert_true(mr_schema_struct(&keys) && mr_schema_field(&keys, key, key_format, true));
  g_assert_true(mr_schema_struct(&row) && mr_schema_field(&row, "id", row_format, true));
  int rc = mr_lookup_match(&keys, &row, "users", &err);
  strcpy(message, err.msg);
  mr_schema_release(&keys);
  mr_schema_release(&row);
  return rc;
}

static void test_match(void)
{
  char message[512];
  g_assert_cmpint(match("l", "id", "l", message), ==, MR_OK);
  g_assert_cmpint(match("i", "id", "L", message), ==,
                  MR_OK); /* integers of any width can be equal */
  g_assert_cmpint(match("u", "id", "u", message), ==, MR_OK);
  g_assert_cmpint(match("u", "id", "l", message), ==, MR_BADCONF);
  g_assert_cmpstr(message, ==, "column `id` of lookup `users` is int64, the key for it is utf8");
  g_assert_cmpint(match("l", "idd", "l", message), ==, MR_BADCONF);
  g_assert_cmpstr(message, ==, "lookup `users` has no column `idd` (did you mean `id`?)");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/host/whole", test_whole);
  g_test_add_func("/host/harmless", test_harmless);
  g_test_add_func("/host/services", test_services);
  g_test_add_func("/host/match", test_match);
  return g_test_run();
}
