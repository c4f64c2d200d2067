/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of the clustering's order cut into boxes, against every row of a small cube; and the
 * bounded memory of partitions' times. */
#include "common/clog-cql.h"
#include <glib.h>
#include "../../../plugins/sources/cassandra/change-in.h"

#define COLUMNS 3
#define VALUES 4
#define ROWS (VALUES * VALUES * VALUES)

struct fixture {
  struct clog_schema *schema;
  const struct clog_table *table;
};

static void set_up(struct fixture *f, const char *order)
{
  struct mr_error err = {.size = sizeof err};
  g_autofree char *cql = g_strdup_printf(
      "CREATE TABLE k.t (a int, c0 int, c1 int, c2 int, PRIMARY KEY (a, c0, c1, c2)) WITH "
      "CLUSTERING ORDER BY (%s) AND ID = a86f5b40-e55f-11f1-ad33-63fc70c928eb;",
      order);
  f->schema = clog_schema_new(NULL, NULL);
  if (clog_cql_read(f->schema, cql, strlen(cql), &err) < 0)
    g_error("%s", err.msg);
  for (size_t i = 0; (f->table = clog_schema_nth(f->schema, i)); i++)
    if (!strcmp(f->table->keyspace, "k"))
      return;
}

static int value_of(const struct clog_bytes *b)
{
  return (int)cql_be32(b->p);
}
static struct clog_bytes bytes_of(uint8_t *to, int v)
{
  uint32_t be = GUINT32_TO_BE((uint32_t)v);
  memcpy(to, &be, 4);
  return (struct clog_bytes){to, 4};
}

static void row_of(int i, int *ret)
{
  for (int k = COLUMNS - 1; k >= 0; k--, i /= VALUES)
    ret[k] = i % VALUES;
}

/* < 0, 0, > 0: in storage order the row is before the bound's prefix, in it, behind it. */
static int side(const struct fixture *f, const int *row, const struct clog_bound *b)
{
  for (uint32_t k = 0; k < b->n; k++) {
    int sign = clog_table_columns(f->table, CLOG_CLUSTERING)[k].descending ? -1 : 1;
    int v = value_of(&b->value[k]);
    if (row[k] != v)
      return row[k] < v ? -sign : sign;
  }
  return 0;
}
static bool is_within(const struct fixture *f, const int *row, const struct clog_event *e)
{
  int first = side(f, row, &e->start), last = side(f, row, &e->end);
  return (first > 0 || (!first && (e->start.inclusive || !e->start.n))) &&
         (last < 0 || (!last && (e->end.inclusive || !e->end.n)));
}

static bool is_in_box(const int *row, const struct box *b)
{
  for (uint32_t k = 0; k < b->n_equal; k++)
    if (row[k] != value_of(&b->equal[k]))
      return false;
  if (b->bounded < 0)
    return true;
  int v = row[b->bounded];
  for (int s = 0; s < 2; s++) {
    int edge = b->has[s] ? value_of(&b->bound[s]) : 0;
    if (b->has[s] && ((s ? v > edge : v < edge) || (v == edge && !b->inclusive[s])))
      return false;
  }
  return true;
}

static void check(const struct fixture *f, const struct clog_event *e)
{
  struct box box[2 * COLUMNS + 1];
  size_t n = range_boxes(e, box);
  g_assert_cmpuint(n, <=, G_N_ELEMENTS(box));
  for (int i = 0; i < ROWS; i++) {
    int row[COLUMNS], found = 0;
    row_of(i, row);
    for (size_t b = 0; b < n; b++)
      found += is_in_box(row, &box[b]);
    if (found != is_within(f, row, e))
      g_error("row %d %d %d: in %d boxes of %zu, start %u%s end %u%s", row[0], row[1], row[2],
              found, n, e->start.n, e->start.inclusive ? " included" : "", e->end.n,
              e->end.inclusive ? " included" : "");
  }
  for (size_t b = 0; b < n; b++)
    g_assert_true(box[b].bounded == -1 || box[b].bounded == (int32_t)box[b].n_equal);
}

/* Every pair of bounds whose start is not behind its end. */
static void check_all(const char *order)
{
  struct fixture f;
  set_up(&f, order);
  for (int i = 0; i < ROWS * ROWS; i++)
    for (uint32_t shape = 0; shape < 16; shape++)
      for (uint32_t inclusive = 0; inclusive < 4; inclusive++) {
        uint8_t bytes[2 * COLUMNS][4];
        struct clog_bytes value[2 * COLUMNS];
        int start[COLUMNS], end[COLUMNS];
        row_of(i / ROWS, start);
        row_of(i % ROWS, end);
        for (int k = 0; k < COLUMNS; k++) {
          value[k] = bytes_of(bytes[k], start[k]);
          value[COLUMNS + k] = bytes_of(bytes[COLUMNS + k], end[k]);
        }
        struct clog_event e = {.op = CLOG_DELETE_RANGE, .table = f.table};
        e.start = (struct clog_bound){value, shape % 4, inclusive & 1};
        e.end = (struct clog_bound){value + COLUMNS, shape / 4, (inclusive & 2) != 0};
        if (side(&f, start, &e.end) <= 0)
          check(&f, &e);
      }
  clog_schema_free(f.schema);
}

static void test_ascending(void)
{
  check_all("c0 ASC, c1 ASC, c2 ASC");
}
static void test_descending(void)
{
  check_all("c0 DESC, c1 DESC, c2 DESC");
}
static void test_mixed(void)
{
  check_all("c0 DESC, c1 ASC, c2 DESC");
  check_all("c0 ASC, c1 DESC, c2 ASC");
}

/* ---- times of partitions */

static uint64_t partition(uint32_t i)
{
  return (uint64_t)i << 32 | i;
}

static void test_seen(void)
{
  struct seen s;
  g_assert_true(seen_init(&s));
  g_assert_cmpint(seen_time(&s, partition(1)), ==, CLOG_NEVER);
  seen_raise(&s, partition(1), 100);
  seen_raise(&s, partition(1), 50);
  seen_raise(&s, partition(2), 70);
  g_assert_cmpint(seen_time(&s, partition(1)), ==, 100);
  g_assert_cmpint(seen_time(&s, partition(2)), ==, 70);
  g_assert_cmpint(seen_time(&s, partition(3)), ==, CLOG_NEVER);
  g_assert_cmpint(s.newest, ==, 100);
  seen_reset(&s, 80);
  g_assert_cmpint(seen_time(&s, partition(1)), ==, 80);
  seen_raise(&s, partition(1), 60);
  g_assert_cmpint(seen_time(&s, partition(1)), ==, 80);
  g_assert_cmpint(s.newest, ==, 80);
  seen_done(&s);
}

/* More partitions than there is room for: none is forgotten without the floor knowing. */
static void test_seen_full(void)
{
  struct seen s;
  uint32_t n = 3 * SEEN_SETS * SEEN_WAYS;
  g_assert_true(seen_init(&s));
  for (uint32_t i = 0; i < n; i++)
    seen_raise(&s, partition(i), 1000 + i);
  for (uint32_t i = 0; i < n; i++)
    g_assert_cmpint(seen_time(&s, partition(i)), >=, 1000 + i);
  g_assert_cmpint(seen_time(&s, partition(n + 1)), <, 1000 + n); /* the oldest made room */
  g_assert_cmpint(s.newest, ==, 1000 + n - 1);
  seen_done(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cass-range/ascending", test_ascending);
  g_test_add_func("/cass-range/descending", test_descending);
  g_test_add_func("/cass-range/mixed", test_mixed);
  g_test_add_func("/cass-seen/times", test_seen);
  g_test_add_func("/cass-seen/full", test_seen_full);
  return g_test_run();
}
