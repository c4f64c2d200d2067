/* SPDX-License-Identifier: Apache-2.0 */
/* The source of replays: entries in order, cuts, seeks, lanes that are known already. */
#include "engine/given.h"
#include <string.h>
#include "base/base.h"

struct fixture {
  struct ArrowSchema schema;
  struct mr_given given;
  struct mr_host host;
  uint64_t known[2]; /* where each lane stands */
  uint32_t named;
  int rejected;
  uint64_t rejected_at;
  void *self;
};

static int lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
                struct mr_position *ret_from, struct mr_error *err)
{
  struct fixture *f = ctx;
  int i = name[0] - 'a';
  if (!first && !f->known[i])
    return MR_LANE_NEW;
  *ret = (uint32_t)i;
  *ret_from = f->known[i] ? mr_position_u64(f->known[i]) : *first;
  f->named++;
  return MR_LANE_KNOWN;
}
static int lanes(void *ctx, const char *const *names, size_t n, struct mr_error *err)
{
  return MR_OK;
}
static int reject(void *ctx, const struct mr_reject *r)
{
  struct fixture *f = ctx;
  f->rejected++;
  f->rejected_at = mr_position_get(r->position);
  g_assert_cmpstr(r->code, ==, "22032");
  return MR_OK;
}

static void add(struct mr_given_lane *l, uint64_t position, int64_t from, int64_t end)
{
  struct mr_given_entry e = {.position = position, .from = from, .end = end};
  if (from == end)
    e.code = g_strdup("22032");
  g_array_append_val(l->entries, e);
}

/* Lane a: 3 (rows 0, 1), 5 (row 2), 7 (refused); lane b: 4 (row 3). */
static void set_up(struct fixture *f, gconstpointer known)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_column c;
  memset(f, 0, sizeof *f);
  f->known[0] = (uint64_t)GPOINTER_TO_UINT(known);
  g_assert_true(mr_schema_struct(&f->schema) && mr_schema_field(&f->schema, "id", "l", true) &&
                mr_column_init(&c, f->schema.children[0]));
  for (int i = 0; i < 4; i++)
    mr_column_int(&c, i);
  g_assert_true(mr_rows_finish(&c, 1, 4, &f->given.rows));
  f->given.schema = &f->schema;
  struct mr_given_lane *a = mr_given_add(&f->given, "a"), *b = mr_given_add(&f->given, "b");
  add(a, 3, 0, 2);
  add(a, 5, 2, 3);
  add(a, 7, 3, 3);
  add(b, 4, 3, 4);
  f->host = (struct mr_host){.abi = MR_ABI,
                             .size = sizeof f->host,
                             .ctx = f,
                             .lane = lane,
                             .lanes = lanes,
                             .reject = reject};
  struct mr_open o = {
      .size = sizeof o, .instances = 1, .host = &f->host, .conf = &f->given, .stage = "in"};
  const struct mr_source *v = mr_given_plugin.source;
  g_assert_cmpint(v->open(&o, &f->self, &err), ==, MR_OK);
  g_assert_cmpint(v->start(f->self, &err), ==, MR_OK);
  g_assert_cmpuint(f->named, ==, 2);
}

static void tear_down(struct fixture *f, gconstpointer known)
{
  mr_given_plugin.source->close(f->self);
  mr_given_finish(&f->given);
  mr_schema_release(&f->schema);
}

/* Reads a batch and expects these ids from `first` on, of a lane, up to a position. */
static void expect(struct fixture *f, int64_t max, uint32_t lane_id, int64_t first, int64_t n,
                   uint64_t upto)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_batch b = {.size = sizeof b};
  g_assert_cmpint(mr_given_plugin.source->read(f->self, max, 1 << 20, 0, &b, &err), ==, MR_OK);
  g_assert_cmpuint(b.lane, ==, lane_id);
  g_assert_cmpint(b.rows.length, ==, n);
  g_assert_cmpuint(mr_position_get(&b.upto), ==, upto);
  struct mr_view v;
  mr_view_column(&v, &f->schema, &b.rows, 0);
  for (int64_t i = 0; i < n; i++)
    g_assert_cmpint(mr_view_int(&v, i), ==, first + i);
  mr_array_release(&b.rows);
}

static void expect_end(struct fixture *f)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_batch b = {.size = sizeof b};
  g_assert_cmpint(mr_given_plugin.source->read(f->self, 10, 1 << 20, 0, &b, &err), ==, MR_END);
}

static void test_all(struct fixture *f, gconstpointer known)
{
  expect(f, 100, 0, 0, 3, 8);
  g_assert_cmpint(f->rejected, ==, 1);
  g_assert_cmpuint(f->rejected_at, ==, 7);
  expect(f, 100, 1, 3, 1, 5);
  expect_end(f);
}

/* An entry is never divided: a message of two rows is one position. */
static void test_small_batches(struct fixture *f, gconstpointer known)
{
  expect(f, 1, 0, 0, 2, 4);
  expect(f, 1, 0, 2, 1, 8);
  expect(f, 1, 1, 3, 1, 5);
  expect_end(f);
}

static void test_cut(struct fixture *f, gconstpointer known)
{
  struct mr_position at = mr_position_u64(5);
  mr_given_plugin.source->cut(f->self, 0, &at);
  expect(f, 100, 0, 0, 2, 4);
  g_assert_cmpint(f->rejected, ==, 0);
  expect(f, 100, 0, 2, 1, 8);
}

static void test_seek(struct fixture *f, gconstpointer known)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_position at = mr_position_u64(4);
  test_all(f, known);
  mr_given_plugin.source->seek(f->self, 0, &at, &err);
  expect(f, 100, 0, 2, 1, 8);
  expect_end(f);
}

/* What is replayed already is not read. */
static void test_known(struct fixture *f, gconstpointer known)
{
  expect(f, 100, 1, 3, 1, 5);
  expect_end(f);
  g_assert_cmpint(f->rejected, ==, 0);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/given/all", struct fixture, NULL, set_up, test_all, tear_down);
  g_test_add("/given/small-batches", struct fixture, NULL, set_up, test_small_batches, tear_down);
  g_test_add("/given/cut", struct fixture, NULL, set_up, test_cut, tear_down);
  g_test_add("/given/seek", struct fixture, NULL, set_up, test_seek, tear_down);
  g_test_add("/given/known", struct fixture, GUINT_TO_POINTER(8), set_up, test_known, tear_down);
  return g_test_run();
}
