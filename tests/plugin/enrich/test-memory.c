/* SPDX-License-Identifier: Apache-2.0 */
/* enrich with every allocation failing once: an error, nothing lost, nothing leaked, the same
 * result when called again. */
#include "harness.h"
#include "transforms/enrich/plan.h"

long fault_at;

/* A lookup that knows 1 and 3. */
static int lookup(void *ctx, const char *name, const struct ArrowSchema *keys,
                  struct mr_lookup **ret, struct ArrowSchema *give_row, struct mr_error *err)
{
  *give_row = harness_schema("email: utf8, tags: list<bool>");
  *ret = g_malloc(1);
  return MR_OK;
}
static int find(struct mr_lookup *l, const struct ArrowArray *keys, struct ArrowArray *give,
                struct mr_error *err)
{
  struct ArrowSchema s = harness_schema("email: utf8, tags: list<bool>");
  g_assert_cmpint(keys->length, ==, 3);
  *give = harness_rows(&s, "ann|[true]\n~|~\ncy|[]\n");
  uint8_t *bits = mr_buf_alloc(1);
  bits[0] = 5;
  give->buffers[0] = bits;
  give->null_count = 1;
  mr_schema_release(&s);
  return MR_OK;
}
static void lookup_free(struct mr_lookup *l)
{
  g_free(l);
}

#define ROWS "1|[a,b]|{1,x}\n2|~|~\n3|[]|{~,~}\n"

static char *run(struct harness *h, const struct enrich_conf *conf, const struct ArrowSchema *in,
                 long at, bool *ret_reached)
{
  const struct mr_transform *t = mr_plugin_desc.transform;
  struct mr_open o = harness_open(h, conf, in);
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema out = {0};
  struct ArrowArray rows = harness_rows(in, ROWS);
  struct mr_batch b = harness_batch(in, &rows), give = {.size = sizeof give};
  void *self = NULL;
  char *text = NULL;
  fault_at = at;
  int rc = t->open(&o, &self, &err);
  if (rc >= 0)
    rc = t->evolve(self, in, &err);
  if (rc >= 0)
    rc = t->schema(self, &out, &err);
  if (rc >= 0)
    rc = t->apply(self, &b, &give, &err);
  *ret_reached = at && !fault_at;
  fault_at = 0;
  if (rc < 0) {
    g_autofree char *same = harness_text(in, &b.rows);
    g_assert_cmpint(rc, ==, MR_FATAL);
    g_assert_nonnull(strstr(err.msg, "memory"));
    g_assert_cmpstr(same, ==, ROWS);
    if (self && out.release)
      g_assert_cmpint(t->apply(self, &b, &give, &err), ==, MR_OK);
  }
  if (give.rows.release && out.release)
    text = harness_text(&out, &give.rows);
  mr_array_release(&give.rows);
  mr_array_release(&b.rows);
  mr_schema_release(&out);
  t->close(self);
  return text;
}

static void sweep(int32_t missing, const char *want)
{
  static const char *const on_key[] = {"id"}, *const on[] = {"k"},
                           *const add_key[] = {"tags", "email"}, *const add[] = {"t", "e"};
  struct enrich_conf conf = {
      .with = "users", .on = {on, on_key, 1}, .add = {add, add_key, 2}, .missing = missing};
  struct harness h;
  struct ArrowSchema in = harness_schema("id: int8, l: list<utf8>, s: struct<a: int16, b: utf8>");
  bool reached = true;
  long at = 0, failed = 0;
  harness_init(&h);
  h.host.lookup = lookup;
  h.host.find = find;
  h.host.lookup_free = lookup_free;
  for (; reached; at++) {
    g_autofree char *got = run(&h, &conf, &in, at, &reached);
    failed += !got;
    reached |= !at;
    if (got)
      g_assert_cmpstr(got, ==, want);
  }
  g_assert_cmpint(at, >, 60);
  g_assert_cmpint(failed, >, 30);
  mr_schema_release(&in);
  harness_done(&h);
}

static void test_keep(void)
{
  sweep(ENRICH_KEEP, "1|[a,b]|{1,x}|[true]|ann\n2|~|~|~|~\n3|[]|{~,~}|[]|cy\n");
}
static void test_drop(void)
{
  sweep(ENRICH_DROP, "1|[a,b]|{1,x}|[true]|ann\n3|[]|{~,~}|[]|cy\n");
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/enrich/memory/keep", test_keep);
  g_test_add_func("/enrich/memory/drop", test_drop);
  return g_test_run();
}
