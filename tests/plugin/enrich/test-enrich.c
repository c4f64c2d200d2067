/* SPDX-License-Identifier: Apache-2.0 */
/* enrich, through its module, with the real lookup service behind it. */
#include "harness.h"
#include "data/array.h"
#include "engine/lookup.h"

struct conf {
  const char *with;
  struct mr_list on, add;
  int32_t missing;
};
enum { KEEP, DROP, DEAD_LETTER, FAIL };

/* ---- the lookup's source: one table, given whole */

struct table_conf {
  const char *columns, *rows;
  bool down, late; /* late: its columns are known after start only */
};
struct table_self {
  const struct table_conf *conf;
  const struct mr_host *host;
  struct ArrowSchema schema;
  uint32_t lane;
  bool done, started;
};
static int table_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct table_self *s = g_new0(struct table_self, 1);
  if (o->want.n) {
    g_free(s);
    return mr_fail(err, MR_BADCONF, "no system columns");
  }
  s->conf = o->conf;
  s->host = o->host;
  s->schema = harness_schema(s->conf->columns);
  g_assert_true(mr_schema_set_meta(s->schema.children[1], MR_META_CLASS, "pii"));
  *self = s;
  return MR_OK;
}
static int table_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct table_self *s = self;
  if (s->conf->late && !s->started)
    return MR_IDLE;
  return mr_schema_copy(&s->schema, give) ? MR_OK : MR_FATAL;
}
static int table_start(void *self, struct mr_error *err)
{
  struct table_self *s = self;
  s->started = true;
  struct mr_position zero = mr_position_u64(0), from;
  if (s->conf->down)
    return mr_fail(err, MR_RETRY, "down");
  if (s->host->lane(s->host->ctx, "all", NULL, &s->lane, &from, err) != MR_LANE_KNOWN)
    return s->host->lane(s->host->ctx, "all", &zero, &s->lane, &from, err);
  s->done = mr_position_get(&from) > 0;
  return MR_OK;
}
static int table_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                      struct mr_batch *give, struct mr_error *err)
{
  struct table_self *s = self;
  if (s->done)
    return MR_END;
  give->rows = harness_rows(&s->schema, s->conf->rows);
  give->lane = s->lane;
  give->upto = mr_position_u64(1);
  s->done = true;
  return MR_OK;
}
static void table_close(void *self)
{
  struct table_self *s = self;
  mr_schema_release(&s->schema);
  g_free(s);
}
static const struct mr_source table_source = {.size = sizeof table_source,
                                              .open = table_open,
                                              .schema = table_schema,
                                              .start = table_start,
                                              .read = table_read,
                                              .close = table_close};
static const struct mr_plugin table_plugin = {
    .abi = MR_ABI, .size = sizeof table_plugin, .name = "table", .source = &table_source};

/* ---- */

struct fixture {
  struct harness h;
  const struct mr_plugin *p;
  struct conf conf;
  const char *on_key[4], *on[4], *add_key[4], *add[4];
  struct table_conf table;
  struct mr_stage_spec stage;
  struct mr_spec spec;
  struct mr_lookups *l;
  void *self;
  struct ArrowSchema in, out;
  struct mr_error err;
};

static int host_lookup(void *ctx, const char *name, const struct ArrowSchema *keys,
                       struct mr_lookup **ret, struct ArrowSchema *give_row, struct mr_error *err)
{
  struct fixture *f = ((struct harness *)ctx)->user;
  return mr_lookup_open(f->l, name, keys, ret, give_row, err);
}

static void setup(struct fixture *f, gconstpointer data)
{
  memset(f, 0, sizeof *f);
  harness_init(&f->h);
  f->h.user = f;
  f->h.host.lookup = host_lookup;
  f->h.host.find = mr_lookup_find;
  f->h.host.lookup_free = mr_lookup_close;
  f->p = harness_load("transforms", "enrich");
  g_assert_cmpuint(f->p->conf_size, ==, sizeof f->conf);
  f->table = (struct table_conf){
      .columns = "user_id: uint64, email: utf8, country: utf8, tags: list<int8>",
      .rows = "1|ann@x|DE|[1,2]\n2|bob@x|~|~\n3|cy@x|FR|[]\n"};
  f->stage = (struct mr_stage_spec){
      .kind = MR_STAGE_LOOKUP, .name = (char *)"users", .plugin = &table_plugin, .conf = &f->table};
  f->spec.lookups = g_ptr_array_new();
  g_ptr_array_add(f->spec.lookups, &f->stage);
  f->conf.with = "users";
  f->on_key[0] = "buyer";
  f->on[0] = "user_id";
  f->conf.on = (struct mr_list){f->on, f->on_key, 1};
  f->add_key[0] = "email";
  f->add[0] = "buyer_email";
  f->add_key[1] = "country";
  f->add[1] = "country";
  f->conf.add = (struct mr_list){f->add, f->add_key, 2};
  mr_error_clear(&f->err);
}
static void close_all(struct fixture *f)
{
  f->p->transform->close(f->self);
  f->self = NULL;
  mr_schema_release(&f->in);
  mr_schema_release(&f->out);
  mr_lookups_free(f->l);
  f->l = NULL;
}
static void teardown(struct fixture *f, gconstpointer data)
{
  close_all(f);
  g_ptr_array_unref(f->spec.lookups);
  harness_done(&f->h);
}

static int open_with(struct fixture *f, const char *columns, bool start)
{
  struct mr_lookup_hooks hooks = {.os = mr_os_real(), .pipeline = "test"};
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  close_all(f);
  mr_error_clear(&f->err);
  f->l = mr_lookups_new(&f->spec, &hooks, &f->err);
  g_assert_nonnull(f->l);
  if (start)
    g_assert_cmpint(mr_lookups_start(f->l, &f->err), ==, MR_OK);
  f->in = harness_schema(columns);
  o.in = &f->in;
  return f->p->transform->open(&o, &f->self, &f->err);
}
/* Opened, and the table loaded. */
static void open_ready(struct fixture *f, const char *columns)
{
  if (open_with(f, columns, true) < 0)
    g_error("%s: %s", f->err.option, f->err.msg);
  g_assert_cmpint(f->p->transform->schema(f->self, &f->out, &f->err), ==, MR_OK);
  g_assert_cmpint(mr_lookups_ready(f->l, 20000000, &f->err), ==, MR_OK);
}

static int apply(struct fixture *f, struct mr_batch *b, char **ret_text)
{
  struct mr_batch give = {.size = sizeof give};
  mr_error_clear(&f->err);
  int rc = f->p->transform->apply(f->self, b, &give, &f->err);
  if (rc < 0) {
    g_assert_nonnull(b->rows.release); /* it stays the caller's */
    return rc;
  }
  g_assert_null(b->rows.release);
  g_assert_cmpuint(mr_position_get(&give.upto), ==, 9);
  if (mr_array_check(&f->out, &give.rows, true, &f->err) < 0)
    g_error("%s", f->err.msg);
  *ret_text = harness_text(&f->out, &give.rows);
  mr_array_release(&give.rows);
  return rc;
}
static struct mr_batch batch(struct fixture *f, const char *text)
{
  struct ArrowArray rows = harness_rows(&f->in, text);
  struct mr_batch b = harness_batch(&f->in, &rows);
  b.upto = mr_position_u64(9);
  return b;
}
static void check(struct fixture *f, const char *text, const char *want)
{
  struct mr_batch b = batch(f, text);
  g_autofree char *got = NULL;
  if (apply(f, &b, &got) < 0)
    g_error("%s", f->err.msg);
  g_assert_cmpstr(got, ==, want);
}
static void check_columns(struct fixture *f, const char *want)
{
  g_autofree char *got = harness_columns(&f->out);
  g_assert_cmpstr(got, ==, want);
}

#define COLUMNS "id: int32, buyer: int64, note: list<utf8>, _op: utf8"
#define ROWS "7|1|[a]|insert\n8|99|[b,c]|insert\n9|~|~|update\n10|2|[]|insert\n"

static void test_keep(struct fixture *f, gconstpointer data)
{
  open_ready(f, COLUMNS);
  check_columns(
      f,
      "id: int32, buyer: int64, note: list<utf8>, _op: utf8, buyer_email: utf8!pii, country: utf8");
  check(
      f, ROWS,
      "7|1|[a]|insert|ann@x|DE\n8|99|[b,c]|insert|~|~\n9|~|~|update|~|~\n10|2|[]|insert|bob@x|~\n");
  check(f, "", "");
}

static void test_drop(struct fixture *f, gconstpointer data)
{
  f->conf.missing = DROP;
  open_ready(f, COLUMNS);
  check(f, ROWS, "7|1|[a]|insert|ann@x|DE\n10|2|[]|insert|bob@x|~\n");
  check(f, "7|1|[a]|insert\n", "7|1|[a]|insert|ann@x|DE\n");
  check(f, "7|5|[a]|insert\n", ""); /* no rows, but the position moves */
  g_assert_cmpuint(f->h.rejects->len, ==, 0);
  g_assert_cmpint(*(int64_t *)g_hash_table_lookup(f->h.metrics, "enrich_missing_total"), ==, 3);
}

static void test_dead_letter(struct fixture *f, gconstpointer data)
{
  f->conf.missing = DEAD_LETTER;
  open_ready(f, COLUMNS);
  check(f, ROWS, "7|1|[a]|insert|ann@x|DE\n10|2|[]|insert|bob@x|~\n");
  g_assert_cmpuint(f->h.rejects->len, ==, 2);
  const struct harness_reject *r = f->h.rejects->pdata[0];
  g_assert_cmpint(r->row, ==, 1);
  g_assert_cmpuint(r->batch_id, ==, 1);
  g_assert_cmpstr(r->code, ==, "no_match");
  g_assert_cmpstr(r->msg, ==, "lookup `users` has no row for `buyer`");
  g_assert_cmpint(((struct harness_reject *)f->h.rejects->pdata[1])->row, ==, 2);
}

static void test_fail(struct fixture *f, gconstpointer data)
{
  f->conf.missing = FAIL;
  open_ready(f, COLUMNS);
  struct mr_batch b = batch(f, ROWS);
  char *text = NULL;
  g_assert_cmpint(apply(f, &b, &text), ==, MR_FATAL);
  g_assert_cmpint(f->err.row, ==, 1);
  g_assert_null(strstr(f->err.msg, "99")); /* no values */
  mr_array_release(&b.rows);
  check(f, "7|1|[a]|insert\n", "7|1|[a]|insert|ann@x|DE\n");
}

static void test_slices(struct fixture *f, gconstpointer data)
{
  for (f->conf.missing = KEEP; f->conf.missing <= DROP; f->conf.missing++) {
    open_ready(f, COLUMNS);
    struct ArrowArray rows = harness_rows(&f->in, ROWS);
    struct mr_batch b = {.size = sizeof b, .upto = mr_position_u64(9)};
    g_autofree char *got = NULL;
    g_assert_true(mr_rows_slice(&rows, 2, 2, &b.rows));
    g_assert_cmpint(apply(f, &b, &got), ==, MR_OK);
    g_assert_cmpstr(got, ==,
                    f->conf.missing ? "10|2|[]|insert|bob@x|~\n"
                                    : "9|~|~|update|~|~\n10|2|[]|insert|bob@x|~\n");
    mr_array_release(&rows);
  }
}

/* Two columns make the key; the table's may be in another order, of another width; nested values
 * come along. */
static void test_two_keys(struct fixture *f, gconstpointer data)
{
  f->on_key[0] = "land";
  f->on[0] = "country";
  f->on_key[1] = "who";
  f->on[1] = "user_id";
  f->conf.on.n = 2;
  f->add_key[0] = "tags";
  f->add[0] = "t";
  f->conf.add.n = 1;
  open_ready(f, "land: utf8, who: int16");
  check_columns(f, "land: utf8, who: int16, t: list<int8>");
  check(f, "DE|1\nFR|1\nFR|3\nDE|~\n~|2\n", "DE|1|[1,2]\nFR|1|~\nFR|3|[]\nDE|~|~\n~|2|~\n");
}

/* What was looked up is written where the key is. */
static void test_set(struct fixture *f, gconstpointer data)
{
  char *text = NULL;
  for (f->conf.missing = KEEP; f->conf.missing <= DROP; f->conf.missing++) {
    open_ready(f, "buyer: uint64, _set: struct<n: bool, buyer: bool>, n: int64");
    g_autofree char *columns = harness_columns(&f->out);
    g_assert_nonnull(
        strstr(columns, "_set: struct<buyer: bool, n: bool, buyer_email: bool, country: bool>"));
    struct mr_batch b = batch(f, "1|{true,true}|7\n~|{true,false}|8\n2|{false,true}|~");
    g_assert_cmpint(apply(f, &b, &text), ==, MR_OK);
    g_assert_cmpstr(text, ==,
                    f->conf.missing == KEEP
                        ? "1|{true,true,true,true}|7|ann@x|DE\n~|{false,true,false,false}|8|~|~\n"
                          "2|{true,false,true,true}|~|bob@x|~\n"
                        : "1|{true,true,true,true}|7|ann@x|DE\n"
                          "2|{true,false,true,true}|~|bob@x|~\n");
    g_free(text);
  }
}

/* A delete of many rows has no key to look up, and is not missing. */
static void test_ranges(struct fixture *f, gconstpointer data)
{
  f->conf.missing = DEAD_LETTER;
  open_ready(f, "buyer: int64, at: int64, _range: struct<at: " HARNESS_BOUNDS("int64") ">");
  check(f, "1|1|~\n~|~|{{1,~,true,false}}\n99|2|~\n",
        "1|1|~|ann@x|DE\n~|~|{{1,~,true,false}}|~|~\n");
  g_assert_cmpuint(f->h.rejects->len, ==, 1);
}

static void refused(struct fixture *f, const char *columns, const char *option, const char *msg)
{
  g_assert_cmpint(open_with(f, columns, false), ==, MR_BADCONF);
  g_assert_null(f->self);
  g_assert_cmpstr(f->err.option, ==, option);
  if (!strstr(f->err.msg, msg))
    g_error("`%s` does not say `%s`", f->err.msg, msg);
}
static void test_refused(struct fixture *f, gconstpointer data)
{
  refused(f, "id: int8", "on.buyer", "no column `buyer`");
  refused(f, "buyer: utf8", "with", "is uint64, what is looked up is utf8");
  refused(f, "buyer: int8, country: utf8", "add.country", "there is a column `country` already");
  f->add[1] = "buyer_email";
  refused(f, "buyer: int8", "add.country", "there is a column `buyer_email` already");
  f->add[1] = "_x";
  refused(f, "buyer: int8", "add", "`_x`");
  f->add[1] = "x";
  f->add_key[1] = "phone";
  refused(f, "buyer: int8", "with", "no column `phone`");
  f->on[0] = "uid";
  refused(f, "buyer: int8", "with", "no column `uid`");
  f->conf.with = "nobody";
  refused(f, "buyer: int8", "with", "no lookup `nobody`");
  f->on_key[1] = "id";
  f->on[1] = "uid";
  f->conf.on.n = 2;
  refused(f, "buyer: int8, id: int8", "on", "twice");
}

/* Without a table the call is refused whole, to be made again. */
static void test_not_loaded(struct fixture *f, gconstpointer data)
{
  f->table.down = true;
  g_assert_cmpint(open_with(f, COLUMNS, true), ==, MR_OK);
  g_assert_cmpint(f->p->transform->schema(f->self, &f->out, &f->err), ==, MR_OK);
  struct mr_batch b = batch(f, ROWS);
  char *text = NULL;
  g_assert_cmpint(apply(f, &b, &text), ==, MR_RETRY);
  g_assert_nonnull(strstr(f->err.msg, "lookup `users`"));
  mr_array_release(&b.rows);
}

/* A lookup that must be connected before it can tell its columns: so is what comes out. */
static void test_late(struct fixture *f, gconstpointer data)
{
  f->table.late = true;
  g_assert_cmpint(open_with(f, COLUMNS, false), ==, MR_OK);
  g_assert_cmpint(f->p->transform->schema(f->self, &f->out, &f->err), ==, MR_IDLE);
  struct mr_batch b = batch(f, "7|1|[a]|insert\n");
  char *text = NULL;
  g_assert_cmpint(apply(f, &b, &text), ==, MR_RETRY);
  mr_array_release(&b.rows);
  g_assert_cmpint(mr_lookups_start(f->l, &f->err), ==, MR_OK);
  g_assert_cmpint(f->p->transform->start(f->self, &f->err), ==, MR_OK);
  g_assert_cmpint(f->p->transform->schema(f->self, &f->out, &f->err), ==, MR_OK);
  g_assert_cmpint(mr_lookups_ready(f->l, 20000000, &f->err), ==, MR_OK);
  check(f, "7|1|[a]|insert\n", "7|1|[a]|insert|ann@x|DE\n");
}

/* Columns that come or move mid-run; the lookup is asked again. */
static void test_evolve(struct fixture *f, gconstpointer data)
{
  open_ready(f, COLUMNS);
  struct ArrowSchema bad = harness_schema("id: int32"),
                     next = harness_schema("extra: bool, buyer: uint32");
  g_assert_cmpint(f->p->transform->evolve(f->self, &bad, &f->err), ==, MR_BADCONF);
  check(f, "7|1|[a]|insert\n", "7|1|[a]|insert|ann@x|DE\n");
  g_assert_cmpint(f->p->transform->evolve(f->self, &next, &f->err), ==, MR_OK);
  mr_schema_release(&f->out);
  mr_schema_release(&f->in);
  mr_schema_move(&next, &f->in);
  g_assert_cmpint(f->p->transform->schema(f->self, &f->out, &f->err), ==, MR_OK);
  check_columns(f, "extra: bool, buyer: uint32, buyer_email: utf8!pii, country: utf8");
  check(f, "true|3\n", "true|3|cy@x|FR\n");
  mr_schema_release(&bad);
}

static void test_explain(struct fixture *f, gconstpointer data)
{
  g_autoptr(GString) out = g_string_new(NULL);
  struct mr_open o = harness_open(&f->h, &f->conf, NULL);
  g_assert_cmpint(f->p->explain(&o, harness_put, out, &f->err), ==, MR_OK);
  g_assert_cmpstr(out->str, ==,
                  "buyer_email: column email of lookup users where user_id = buyer\n"
                  "country: column country of lookup users where user_id = buyer\n");
  void *self = NULL;
  struct ArrowSchema s;
  g_assert_cmpint(f->p->transform->open(&o, &self, &f->err), ==, MR_OK); /* input not known yet */
  g_assert_cmpint(f->p->transform->schema(self, &s, &f->err), ==, MR_IDLE);
  f->p->transform->close(self);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(path, fn) g_test_add("/enrich/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("missing/keep", test_keep);
  ADD("missing/drop", test_drop);
  ADD("missing/dead-letter", test_dead_letter);
  ADD("missing/fail", test_fail);
  ADD("slices", test_slices);
  ADD("two-keys", test_two_keys);
  ADD("refused", test_refused);
  ADD("set", test_set);
  ADD("ranges", test_ranges);
  ADD("not-loaded", test_not_loaded);
  ADD("late", test_late);
  ADD("evolve", test_evolve);
  ADD("explain", test_explain);
  return g_test_run();
}
