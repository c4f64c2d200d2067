/* SPDX-License-Identifier: Apache-2.0 */
/* Dry runs: where rows go, what is refused, and that no sink is ever started. */
#include "engine/dry.h"
#include <string.h>
#include "engine/given.h"
#include "specs.h"

/* ---- a transform that refuses negative ids, and a sink that nobody may start */

struct pass {
  const struct mr_open *o;
  bool started;
};
static int pass_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct pass *p = g_new0(struct pass, 1);
  p->o = o;
  *self = p;
  return MR_OK;
}
static int pass_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return mr_schema_copy(((struct pass *)self)->o->in, give) ? MR_OK : MR_FATAL;
}
static int pass_start(void *self, struct mr_error *err)
{
  ((struct pass *)self)->started = true;
  return MR_OK;
}
static int pass_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                      struct mr_error *err)
{
  struct mr_view v;
  g_assert_true(((struct pass *)self)->started);
  mr_view_column(&v, take->schema, &take->rows, 0);
  for (int64_t i = 0; i < take->rows.length; i++)
    if (mr_view_int(&v, i) < 0) {
      err->row = i;
      return mr_fail_code(err, MR_REJECT, "22003", "negative");
    }
  mr_array_move(&take->rows, &give->rows);
  return MR_OK;
}
static void free_self(void *self)
{
  g_free(self);
}
static const struct mr_transform pass_vt = {.size = sizeof pass_vt,
                                            .open = pass_open,
                                            .schema = pass_schema,
                                            .start = pass_start,
                                            .apply = pass_apply,
                                            .close = free_self};
static const struct mr_plugin pass = {.abi = MR_ABI, .name = "pass", .transform = &pass_vt};

static int never(void *self, struct mr_error *err)
{
  g_assert_not_reached();
}
static int never_write(void *self, const struct mr_batch *lend, struct mr_error *err)
{
  g_assert_not_reached();
}
static const struct mr_sink never_vt = {.size = sizeof never_vt,
                                        .delivery = MR_PLAIN,
                                        .open = pass_open,
                                        .start = never,
                                        .write = never_write,
                                        .close = free_self};
static const struct mr_plugin never_sink = {.abi = MR_ABI, .name = "never", .sink = &never_vt};

/* ---- in -> check -> (small, large) */

struct fixture {
  struct ArrowSchema schema;
  struct mr_given given;
  struct mr_spec *spec;
  GString *seen; /* "stage:id,id " for each batch */
  GString *rejects;
};

static void on_rows(void *ctx, const struct mr_stage_spec *stage, const struct mr_batch *b)
{
  struct fixture *f = ctx;
  struct mr_view v;
  mr_view_column(&v, b->schema, &b->rows, 0);
  g_string_append_printf(f->seen, "%s:", stage->name);
  for (int64_t i = 0; i < b->rows.length; i++)
    g_string_append_printf(f->seen, "%s%d", i ? "," : "", (int)mr_view_int(&v, i));
  g_string_append_c(f->seen, ' ');
}
static void on_reject(void *ctx, const struct mr_dry_reject *r)
{
  struct fixture *f = ctx;
  g_string_append_printf(f->rejects, "%s %s %s %s;", r->stage->name, r->code, r->message, r->row);
}

static void rows_of(const struct fixture *f, const int *ids, int n, struct ArrowArray *give)
{
  struct mr_column c;
  g_assert_true(mr_column_init(&c, f->schema.children[0]));
  for (int i = 0; i < n; i++)
    mr_column_int(&c, ids[i]);
  g_assert_true(mr_rows_finish(&c, 1, n, give));
}

static const int ids[] = {1, -5, 200, 3};

static void set_up(struct fixture *f, gconstpointer data)
{
  memset(f, 0, sizeof *f);
  g_assert_true(mr_schema_struct(&f->schema) && mr_schema_field(&f->schema, "id", "l", true));
  rows_of(f, ids, 4, &f->given.rows);
  f->given.schema = &f->schema;
  struct mr_given_lane *l = mr_given_add(&f->given, "a");
  for (int i = 0; i < 4; i++) {
    struct mr_given_entry e = {.position = (uint64_t)i + 1, .from = i, .end = i + 1};
    g_array_append_val(l->entries, e);
  }
  f->seen = g_string_new(NULL);
  f->rejects = g_string_new(NULL);
  f->spec = specs_new();
  specs_add(f->spec, MR_STAGE_SOURCE, "in", &mr_given_plugin, &f->given, NULL, NULL)->parallel = 4;
  specs_add(f->spec, MR_STAGE_TRANSFORM, "check", &pass, NULL, "in", NULL);
  specs_add(f->spec, MR_STAGE_SINK, "small", &never_sink, NULL, "check", "id < 100");
  specs_add(f->spec, MR_STAGE_SINK, "large", &never_sink, NULL, "check", "otherwise");
}
static void tear_down(struct fixture *f, gconstpointer data)
{
  specs_free(f->spec);
  mr_given_finish(&f->given);
  mr_schema_release(&f->schema);
  g_string_free(f->seen, TRUE);
  g_string_free(f->rejects, TRUE);
}

static struct mr_dry *begin(struct fixture *f, const char *upto, bool read)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_dry_options o = {
      .upto = upto, .read = read, .rows = on_rows, .reject = on_reject, .ctx = f};
  struct mr_dry *d = mr_dry_new(f->spec, &o, &err);
  g_assert_cmpstr(err.msg, ==, "");
  g_assert_cmpint(mr_dry_start(d, &err), ==, MR_OK);
  return d;
}

static void test_give(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray rows;
  struct mr_dry *d = begin(f, NULL, false);
  rows_of(f, ids, 4, &rows);
  g_assert_cmpint(mr_dry_give(d, "in", &f->schema, &rows, &err), ==, MR_OK);
  g_assert_cmpstr(f->seen->str, ==, "in:1,-5,200,3 check:1 small:1 check:200,3 small:3 large:200 ");
  g_assert_cmpstr(f->rejects->str, ==, "check 22003 negative {\"id\":-5};");
  mr_dry_free(d);
}

/* Rows of a transform pass it by: its own work is left out. */
static void test_give_behind_a_transform(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray rows;
  struct mr_dry *d = begin(f, NULL, false);
  rows_of(f, ids, 2, &rows);
  g_assert_cmpint(mr_dry_give(d, "check", &f->schema, &rows, &err), ==, MR_OK);
  g_assert_cmpstr(f->seen->str, ==, "check:1,-5 small:1,-5 ");
  mr_dry_free(d);
}

static void test_upto(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray rows;
  struct mr_dry *d = begin(f, "large", false);
  rows_of(f, ids + 2, 2, &rows);
  g_assert_cmpint(mr_dry_give(d, "in", &f->schema, &rows, &err), ==, MR_OK);
  g_assert_cmpstr(f->seen->str, ==, "in:200,3 check:200,3 large:200 ");
  mr_dry_free(d);
}

static void test_read(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_dry *d = begin(f, "in", true);
  g_assert_cmpint(mr_dry_read(d, 3, 10, &err), ==, MR_OK);
  g_assert_cmpint(mr_dry_read(d, 3, 10, &err), ==, MR_OK);
  while (mr_dry_read(d, 3, 10, &err) == MR_IDLE) {}
  g_assert_cmpint(mr_dry_read(d, 3, 10, &err), ==, MR_END);
  g_assert_cmpstr(f->seen->str, ==, "in:1,-5,200 in:3 ");
  mr_dry_free(d);
}

static void test_schema(struct fixture *f, gconstpointer data)
{
  struct mr_dry *d = begin(f, NULL, false);
  g_assert_cmpstr(mr_dry_schema(d, "check")->children[0]->name, ==, "id");
  g_assert_cmpstr(mr_dry_schema(d, "small")->children[0]->name, ==, "id");
  g_assert_null(mr_dry_schema(d, "nowhere"));
  mr_dry_free(d);
}

static void test_no_such_stage(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray rows;
  struct mr_dry *d = begin(f, NULL, false);
  rows_of(f, ids, 1, &rows);
  g_assert_cmpint(mr_dry_give(d, "small", &f->schema, &rows, &err), ==, MR_BADCONF);
  g_assert_nonnull(strstr(err.msg, "small"));
  mr_dry_free(d);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add("/dry/give", struct fixture, NULL, set_up, test_give, tear_down);
  g_test_add("/dry/give-behind-a-transform", struct fixture, NULL, set_up,
             test_give_behind_a_transform, tear_down);
  g_test_add("/dry/upto", struct fixture, NULL, set_up, test_upto, tear_down);
  g_test_add("/dry/read", struct fixture, NULL, set_up, test_read, tear_down);
  g_test_add("/dry/schema", struct fixture, NULL, set_up, test_schema, tear_down);
  g_test_add("/dry/no-such-stage", struct fixture, NULL, set_up, test_no_such_stage, tear_down);
  return g_test_run();
}
