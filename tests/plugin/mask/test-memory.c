/* SPDX-License-Identifier: Apache-2.0 */
/* mask with every allocation failing once: an error, nothing lost, nothing leaked, and the same
 * result when called again. */
#include "harness.h"
#include "data/array.h"
#include "transforms/mask/plan.h"

long fault_at;

#define COLUMNS                                                                                   \
  "id: int64, email: utf8, ssn: list<utf8>, phone: utf8, notes: utf8, seen: timestamp, gone: "    \
  "uuid, user: struct<address: struct<a: decimal(9,2), b: list<float64>>, n: int8, ip: binary>, " \
  "attrs: map<utf8, int8>, odd: map<int8, utf8>, _key: binary, _op: utf8, _original: binary"
#define ROWS                                                                                       \
  "1|ann@x|[a,~]|555-0199|n|1769595630500000|00112233445566778899aabbccddeeff|{{15,[1.5,~]},1,x}|" \
  "[{k,1},{l,~}]|[{1,a}]|k|insert|o\n~|~|~|~|~|~|~|~|~|~|~|~|~\n2||[]||||00112233445566778899aabb" \
  "ccddeeff|{{-5,[]},~,~}|[]|[{1,~},{2,b}]|k|delete|o\n"

static const char *const keys[] = {"phone", "notes", "seen", "gone", "attrs", "odd", "_original"};
static const char *const items[] = {"partial(2,2)", "redact", "truncate(month)", "null", "hash",
                                    "hash",         "null"};
static const struct mask_conf conf = {.key = "0123456789abcdef0123456789abcdef",
                                      .rules = {items, keys, G_N_ELEMENTS(keys)}};

/* The masked rows as text, or NULL when memory ran short at allocation `at`. */
static char *run(struct harness *h, const struct ArrowSchema *in, long at, bool *ret_reached)
{
  const struct mr_transform *t = mr_plugin_desc.transform;
  struct mr_open o = harness_open(h, &conf, in);
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
    g_autofree char *same = harness_text(in, &b.rows); /* what was taken is whole */
    g_assert_cmpint(rc, ==, MR_FATAL);
    g_assert_nonnull(strstr(err.msg, "memory"));
    g_assert_true(g_str_has_prefix(same, "1|ann@x|[a,~]|555-0199|n|1769595630500000|"));
    if (self && out.release) { /* the same call once more */
      rc = t->apply(self, &b, &give, &err);
      g_assert_cmpint(rc, ==, MR_OK);
    }
  }
  if (give.rows.release && out.release)
    text = harness_text(&out, &give.rows);
  mr_array_release(&give.rows);
  mr_array_release(&b.rows);
  mr_schema_release(&out);
  t->close(self);
  return text;
}

static void test_sweep(void)
{
  struct harness h;
  struct ArrowSchema in = harness_schema(COLUMNS);
  bool reached;
  long at = 1, failed = 0;
  harness_init(&h);
  g_autofree char *want = run(&h, &in, 0, &reached);
  g_assert_nonnull(want);
  for (;; at++) {
    g_autofree char *got = run(&h, &in, at, &reached);
    if (!reached)
      break;
    failed += !got;
    if (got)
      g_assert_cmpstr(got, ==, want);
  }
  g_assert_cmpint(at, >, 200);
  g_assert_cmpint(failed, >, 100);
  mr_schema_release(&in);
  harness_done(&h);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/mask/memory/sweep", test_sweep);
  return g_test_run();
}
