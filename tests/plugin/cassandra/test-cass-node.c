/* SPDX-License-Identifier: Apache-2.0 */
/* What a node's settings say, and which tables' changes can be had. */
#include <glib.h>
#include "common/clog-cql.h"
#include "sources/cassandra/node.h"

static void test_times(void)
{
  g_assert_cmpint(cass_node_ms("10000ms"), ==, 10000);
  g_assert_cmpint(cass_node_ms("10s"), ==, 10000);
  g_assert_cmpint(cass_node_ms("2m"), ==, 120000);
  g_assert_cmpint(cass_node_ms("10000"), ==, 10000); /* commitlog_sync_period_in_ms of 4.0 */
  g_assert_cmpint(cass_node_ms("ms"), ==, 0);
  g_assert_cmpint(cass_node_ms("10 s"), ==, 0);
  g_assert_cmpint(cass_node_ms("99999999999999999999s"), ==, 0);
  g_assert_cmpint(cass_node_ms("null"), ==, 0);
}

static void test_bytes(void)
{
  g_assert_cmpint(cass_node_bytes("4096MiB"), ==, INT64_C(4096) << 20);
  g_assert_cmpint(cass_node_bytes("4GiB"), ==, INT64_C(4) << 30);
  g_assert_cmpint(cass_node_bytes("4096"), ==, INT64_C(4096) << 20); /* …_in_mb of 4.0 */
  g_assert_cmpint(cass_node_bytes("12B"), ==, 12);
  g_assert_cmpint(cass_node_bytes("9999999999GiB"), ==, 0);
  g_assert_cmpint(cass_node_bytes(""), ==, 0);
}

#define ID "WITH ID = 5bc52802-de25-35ed-aeab-188eecebb09"
static const char tables[] =
    "CREATE TABLE k.good (id int PRIMARY KEY, v int) " ID "0 AND cdc = true;"
    "CREATE TABLE k.plain (id int PRIMARY KEY, v int) " ID "1;"
    "CREATE TABLE k.counted (id int PRIMARY KEY, v counter) " ID "2 AND cdc = true;"
    "CREATE TABLE k.dense (id int PRIMARY KEY, v int) " ID "3 AND COMPACT STORAGE AND cdc = true;"
    "CREATE TABLE k.\"Good\" (id int PRIMARY KEY, v int) " ID "4 AND cdc = false;";

static void check(const char *table, const char *want)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct sql_name name = {.schema = (char *)"k", .table = (char *)table};
  struct clog_schema *s = clog_schema_new(NULL, NULL);
  g_assert_cmpint(clog_cql_read(s, tables, strlen(tables), &err), ==, MR_OK);
  int rc = cass_node_table(s, &name, table, " at n:9042", &err);
  g_assert_cmpint(rc, ==, want ? MR_BADCONF : MR_OK);
  if (want) {
    g_assert_cmpstr(err.option, ==, "table");
    g_assert_nonnull(strstr(err.msg, want));
    g_assert_nonnull(strstr(err.msg, table));
  }
  clog_schema_free(s);
}

static void test_tables(void)
{
  check("good", NULL);
  check("plain", "WITH cdc = true");
  check("Good", "WITH cdc = true");
  check("counted", "counters");
  check("dense", "COMPACT STORAGE");
  check("absent", "there is no table");
}

#define MADE(id) \
  "CREATE TABLE k.t (id int PRIMARY KEY, a int, b int) WITH ID = " id " AND cdc = true;"
#define FIRST MADE("5bc52800-de25-11ed-aeab-188eecebb090")
#define LATER MADE("5bc52800-de25-11ee-aeab-188eecebb090")
#define NARROW                                                                               \
  "CREATE TYPE k.u (x int); CREATE TABLE k.t (id int PRIMARY KEY, a int, b frozen<u>) WITH " \
  "ID = 5bc52800-de25-11ed-aeab-188eecebb090 AND cdc = true;"
#define WIDE                                                                                   \
  "CREATE TYPE k.u (x int, y int); CREATE TABLE k.t (id int PRIMARY KEY, a int, b frozen<u>) " \
  "WITH ID = 5bc52800-de25-11ed-aeab-188eecebb090 AND cdc = true;"

static const struct clog_table *table_of(struct clog_schema *s, const char *text)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct sql_name name = {.schema = (char *)"k", .table = (char *)"t"};
  g_assert_cmpint(clog_cql_read(s, text, strlen(text), &err), ==, MR_OK);
  return cass_node_find(s, &name);
}

static void agrees(const char *logged, const char *node, enum cass_agree want)
{
  struct clog_schema *a = clog_schema_new(NULL, NULL), *b = clog_schema_new(NULL, NULL);
  g_assert_cmpint(cass_node_agrees(table_of(a, logged), table_of(b, node)), ==, want);
  clog_schema_free(a);
  clog_schema_free(b);
}

static void test_agrees(void)
{
  const char *added = FIRST "ALTER TABLE k.t ADD c int;";
  const char *dropped = FIRST "ALTER TABLE k.t DROP b USING TIMESTAMP 7000;";
  const char *again =
      FIRST "ALTER TABLE k.t DROP b USING TIMESTAMP 7000; ALTER TABLE k.t ADD b int;";
  agrees(FIRST, FIRST, CASS_SAME);
  agrees(added, FIRST, CASS_BEHIND); /* going on would lose what is written into c */
  agrees(FIRST, added, CASS_SAME);   /* it is further on */
  agrees(dropped, FIRST, CASS_SLOW);
  agrees(FIRST, dropped, CASS_SAME);
  agrees(dropped, again, CASS_SLOW);
  agrees(again, dropped, CASS_BEHIND); /* the log has added it again, after that drop */
  agrees(FIRST, again, CASS_SAME);
  agrees(added, again, CASS_BEHIND);
  agrees(LATER, FIRST, CASS_BEHIND); /* dropped and made anew: the node has the old one */
  agrees(FIRST, LATER, CASS_SAME);
  agrees(WIDE, NARROW, CASS_BEHIND);
  agrees(NARROW, WIDE, CASS_SAME);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/node/times", test_times);
  g_test_add_func("/node/bytes", test_bytes);
  g_test_add_func("/node/tables", test_tables);
  g_test_add_func("/node/agrees", test_agrees);
  return g_test_run();
}
