/* SPDX-License-Identifier: Apache-2.0 */
/* filter: keeps the rows for which an expression is true. */
#include "common/rows.h"
#include "common/src-error.h"
#include "millrace/changes.h"

enum { ON_DEAD_LETTER, ON_DROP, ON_FAIL };

struct filter_conf {
  const char *where;
  int32_t on_error;
};
struct filter {
  const struct filter_conf *conf;
  const struct mr_host *host;
  struct ArrowSchema in; /* released: not known */
  struct mr_expr *where;
};
struct verdict { /* of one batch */
  struct filter *self;
  const struct mr_batch *batch;
  uint8_t *keep;
  int rc;
  struct mr_error *err;
};

static const char *const on_error_choices[] = {"dead_letter", "drop", "fail", NULL};
static const struct mr_opt options[] = {
    {"where", MR_EXPR, MR_REQUIRED, offsetof(struct filter_conf, where), 0, NULL, NULL, NULL, NULL,
     "condition; rows for which it is false or NULL are dropped"},
    {"on_error", MR_CHOICE, 0, offsetof(struct filter_conf, on_error), 0, NULL, "dead_letter",
     on_error_choices, NULL, "rows for which it cannot be computed: dead_letter, drop or fail"},
    {0}};

/* ---- life */

static void filter_close(void *self)
{
  struct filter *f = self;
  if (!f)
    return;
  if (f->where)
    f->host->expr_free(f->where);
  mr_schema_release(&f->in);
  free(f);
}

static int compile(struct filter *f, const struct ArrowSchema *in, struct mr_error *err)
{
  struct ArrowSchema copy, type = {0};
  struct mr_expr *where = NULL;
  int rc = f->host->expr(f->host->ctx, f->conf->where, in, &where, &type, err);
  if (rc < 0) {
    snprintf(err->option, sizeof err->option, "where");
    return rc;
  }
  enum mr_kind kind = mr_kind_of(&type);
  mr_schema_release(&type);
  if (kind != MR_K_BOOL)
    rc = src_badconf(err, "where", "1:1: a condition is expected: true or false");
  else if (!mr_schema_copy(in, &copy)) {
    mr_schema_release(&copy);
    rc = src_no_memory(err);
  }
  if (rc < 0) {
    f->host->expr_free(where);
    return rc;
  }
  if (f->where)
    f->host->expr_free(f->where);
  mr_schema_release(&f->in);
  f->in = copy;
  f->where = where;
  return MR_OK;
}

static int filter_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct filter *f = calloc(1, sizeof *f);
  if (!f)
    return src_no_memory(err);
  f->conf = o->conf;
  f->host = o->host;
  int rc = o->in ? compile(f, o->in, err) : MR_OK;
  if (rc < 0)
    filter_close(f);
  else
    *self = f;
  return rc;
}

static int filter_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct filter *f = self;
  struct ArrowSchema copy;
  if (!f->in.release)
    return MR_IDLE;
  if (mr_schema_copy(&f->in, &copy)) {
    *give = copy;
    return MR_OK;
  }
  mr_schema_release(&copy);
  return src_no_memory(err);
}

static int filter_start(void *self, struct mr_error *err)
{
  return MR_OK;
}

static int filter_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  return compile(self, in, err);
}

/* ---- rows */

static void on_bad(void *out, int64_t row, const char *code, const char *msg)
{
  struct verdict *v = out;
  const struct mr_host *host = v->self->host;
  struct mr_reject r = {.size = sizeof r,
                        .lane = v->batch->lane,
                        .batch = v->batch,
                        .batch_id = v->batch->id,
                        .row = row,
                        .code = code,
                        .msg = msg};
  if (v->rc < 0)
    return;
  if (v->self->conf->on_error == ON_DEAD_LETTER && host->reject(host->ctx, &r) < 0)
    v->rc = src_fail(v->err, MR_FATAL, code, "a row could not be put among the dead letters");
  if (v->self->conf->on_error != ON_FAIL)
    return;
  v->rc = src_fail(v->err, MR_FATAL, code, "where: %s", msg);
  v->err->row = row;
}

/* A bit for each row to keep; how many. NULL of a delete of many rows: it may mean some of those
 * that are kept. */
static int64_t mark(const struct ArrowArray *a, const struct mr_batch *b, uint8_t *keep)
{
  static const struct ArrowSchema type = {.format = "b"};
  struct mr_range_columns range;
  struct mr_view v;
  int64_t n = 0;
  mr_view_init(&v, &type, a);
  mr_range_view(&range, b->schema, &b->rows, "");
  for (int64_t i = 0; i < a->length; i++) {
    bool yes = mr_view_null(&v, i) ? mr_range_has(&range, i) : mr_view_bool(&v, i);
    mr_bit_set(keep, i, yes);
    n += yes;
  }
  return n;
}

static int decide(struct verdict *v, int64_t *ret_n)
{
  struct filter *f = v->self;
  struct ArrowArray a = {0};
  int rc = f->host->eval(f->where, v->batch, &a, on_bad, v, v->err);
  if (rc < 0)
    return rc;
  *ret_n = mark(&a, v->batch, v->keep);
  mr_array_release(&a);
  return v->rc;
}

static int select_rows(struct filter *f, struct mr_batch *b, const uint8_t *keep, int64_t n,
                       struct ArrowArray *give, struct mr_error *err)
{
  if (n == b->rows.length) {
    mr_array_move(&b->rows, give);
    return MR_OK;
  }
  if (!rows_filter(&f->in, &b->rows, keep, give))
    return src_no_memory(err);
  mr_array_release(&b->rows);
  return MR_OK;
}

static int filter_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                        struct mr_error *err)
{
  struct filter *f = self;
  struct verdict v = {f, take, calloc((size_t)take->rows.length / 8 + 1, 1), MR_OK, err};
  int64_t n = 0, all = take->rows.length;
  if (!v.keep)
    return src_no_memory(err);
  int rc = decide(&v, &n);
  if (rc >= 0)
    rc = select_rows(f, take, v.keep, n, &give->rows, err);
  free(v.keep);
  if (rc < 0)
    return rc;
  give->lane = take->lane;
  give->upto = take->upto;
  give->watermark_us = take->watermark_us;
  if (n < all)
    f->host->metric(f->host->ctx, "filter_dropped_total", give->lane, all - n);
  return MR_OK;
}

static int explain(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  char line[512];
  const struct filter_conf *c = o->conf;
  int n = snprintf(line, sizeof line, "keeps rows where %.480s\n", c->where);
  return put(out, line, (size_t)n);
}

static const struct mr_transform transform = {
    .size = sizeof transform,
    .open = filter_open,
    .schema = filter_schema,
    .start = filter_start,
    .apply = filter_apply,
    .evolve = filter_evolve,
    .close = filter_close,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct filter_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "filter",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "keeps the rows for which an expression is true",
    .options = options,
    .transform = &transform,
    .explain = explain,
    .flags = MR_PARTIAL | MR_RANGES,
};
