/* SPDX-License-Identifier: Apache-2.0 */
/* select: casts, computes, renames, then drops or keeps columns. */
#include "common/rows.h"
#include "common/src-error.h"
#include "plan.h"

struct select {
  const struct select_conf *conf;
  const struct mr_host *host;
  struct select_plan plan; /* n_in 0 and no out: not known yet */
};

/* One batch on its way through. */
struct work {
  struct select *self;
  const struct mr_batch *batch;
  struct ArrowArray *made;    /* the steps' results */
  struct ArrowArray **column; /* room for one step's columns */
  const struct select_step *step;
  uint8_t *keep; /* bit 0: a row that goes to the dead letters; NULL: all stay */
  int64_t n_bad;
  int rc;
  struct mr_error *err;
};

static const char *const on_error_choices[] = {"dead_letter", "set_null", "fail", NULL};
#define AT(field) offsetof(struct select_conf, field)
static const struct mr_opt options[] = {
    {"cast", MR_TEXT, MR_KEYED, AT(cast), 0, NULL, NULL, NULL, NULL,
     "column: its new type; first of all"},
    {"set", MR_EXPR, MR_KEYED, AT(set), 0, NULL, NULL, NULL, NULL,
     "column: expression; in order, each sees the columns before it"},
    {"rename", MR_TEXT, MR_KEYED, AT(rename), 0, NULL, NULL, NULL, NULL, "column: its new name"},
    {"drop", MR_TEXT, MR_MANY, AT(drop), 0, NULL, NULL, NULL, NULL,
     "columns to leave out, by their new names"},
    {"keep", MR_TEXT, MR_MANY, AT(keep), 0, NULL, NULL, NULL, NULL,
     "the only columns to keep, in this order; * stands for all others; system columns stay"},
    {"on_error", MR_CHOICE, 0, AT(on_error), 0, NULL, "dead_letter", on_error_choices, NULL,
     "rows with a value that cannot be computed: dead_letter, set_null or fail"},
    {0}};

/* ---- life */

static int validate(const void *conf, struct mr_error *err)
{
  const struct select_conf *c = conf;
  if (c->drop.n && c->keep.n)
    return src_badconf(err, "keep", "drop or keep, not both");
  for (size_t i = 0; i < c->rename.n; i++)
    if (!*((const char *const *)c->rename.item)[i])
      return src_badconf(err, "rename", "an empty name for `%s`", c->rename.key[i]);
  for (size_t i = 0; i < c->set.n; i++)
    if (!*c->set.key[i])
      return src_badconf(err, "set", "a column without a name");
  return MR_OK;
}

static void select_close(void *self)
{
  struct select *s = self;
  if (!s)
    return;
  select_plan_done(&s->plan);
  free(s);
}

static int select_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  int rc = validate(o->conf, err);
  if (rc < 0)
    return rc;
  struct select *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->conf = o->conf;
  s->host = o->host;
  rc = o->in ? select_plan_init(&s->plan, s->host, s->conf, o->in, err) : MR_OK;
  if (rc < 0)
    select_close(s);
  else
    *self = s;
  return rc;
}

static int select_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct select *s = self;
  struct ArrowSchema copy;
  if (!s->plan.out.release)
    return MR_IDLE;
  if (mr_schema_copy(&s->plan.out, &copy)) {
    *give = copy;
    return MR_OK;
  }
  mr_schema_release(&copy);
  return src_no_memory(err);
}

static int select_start(void *self, struct mr_error *err)
{
  return MR_OK;
}

static int select_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  struct select *s = self;
  struct select_plan plan;
  int rc = select_plan_init(&plan, s->host, s->conf, in, err);
  if (rc < 0)
    return rc;
  select_plan_done(&s->plan);
  s->plan = plan;
  return MR_OK;
}

/* ---- bad rows */

static int stop_at(struct work *w, int64_t row, const char *code, const char *msg)
{
  w->err->row = row;
  return src_fail(w->err, MR_FATAL, code, "%s.%s: %s", w->step->option, w->step->name, msg);
}

/* A row goes to the dead letters once, for the first of its bad values. */
static int refuse(struct work *w, int64_t row, const char *code, const char *msg)
{
  const struct mr_host *host = w->self->host;
  struct mr_reject r = {.size = sizeof r,
                        .lane = w->batch->lane,
                        .batch = w->batch,
                        .batch_id = w->batch->id,
                        .row = row,
                        .code = code,
                        .msg = msg,
                        .column = w->step->name};
  size_t size = (size_t)w->batch->rows.length / 8 + 1;
  if (!w->keep && !(w->keep = malloc(size)))
    return src_no_memory(w->err);
  if (!w->n_bad)
    memset(w->keep, 0xff, size);
  if (!mr_bit_get(w->keep, row))
    return MR_OK;
  mr_bit_set(w->keep, row, false);
  w->n_bad++;
  if (host->reject(host->ctx, &r) < 0)
    return src_fail(w->err, MR_FATAL, code, "a row could not be put among the dead letters");
  return MR_OK;
}

/* A cast has no text of its own that a place could point into. */
static const char *without_place(const char *msg)
{
  size_t n = strspn(msg, "0123456789:");
  return n && msg[n] == ' ' ? msg + n + 1 : msg;
}

static void on_bad(void *out, int64_t row, const char *code, const char *msg)
{
  struct work *w = out;
  if (w->rc < 0)
    return;
  if (!strcmp(w->step->option, "cast"))
    msg = without_place(msg);
  if (w->self->conf->on_error == SELECT_FAIL)
    w->rc = stop_at(w, row, code, msg);
  else if (w->self->conf->on_error == SELECT_DEAD_LETTER)
    w->rc = refuse(w, row, code, msg);
}

/* ---- rows */

static struct ArrowArray *slot(const struct work *w, int64_t i)
{
  int64_t n_in = w->self->plan.n_in;
  return i < n_in ? w->batch->rows.children[i] : &w->made[i - n_in];
}

static int run_step(struct work *w, int64_t k)
{
  static const void *const no_nulls[1];
  struct mr_batch b = *w->batch;
  w->step = &w->self->plan.step[k];
  for (int64_t i = 0; i < w->step->in.n_children; i++)
    w->column[i] = slot(w, w->step->slot[i]);
  b.schema = &w->step->in;
  b.rows = (struct ArrowArray){.length = w->batch->rows.length,
                               .n_buffers = 1,
                               .buffers = (const void **)no_nulls,
                               .n_children = w->step->in.n_children,
                               .children = w->column};
  int rc = w->self->host->eval(w->step->expr, &b, &w->made[k], on_bad, w, w->err);
  return rc < 0 ? rc : w->rc;
}

static bool gather(struct work *w, const int64_t *index, int64_t n, struct ArrowArray *rows)
{
  const struct select_plan *p = &w->self->plan;
  bool ok = mr_array_init(rows, n, 1, p->out.n_children);
  for (int64_t i = 0; ok && i < p->out.n_children; i++)
    ok = rows_gather(p->out.children[i], slot(w, p->from[i]), index, n, rows->children[i]);
  if (!ok)
    mr_array_release(rows);
  return ok;
}

/* The rows that have no bad value. */
static bool give_good(struct work *w, struct ArrowArray *rows)
{
  int64_t n;
  int64_t *index = rows_indices(w->keep, w->batch->rows.length, &n);
  bool ok = index && gather(w, index, n, rows);
  free(index);
  return ok;
}

/* All rows: the columns change hands. */
static bool give_all(struct work *w, struct ArrowArray *rows)
{
  const struct select_plan *p = &w->self->plan;
  if (!mr_array_init(rows, w->batch->rows.length, 1, p->out.n_children)) {
    mr_array_release(rows);
    return false;
  }
  for (int64_t i = 0; i < p->out.n_children; i++)
    mr_array_move(slot(w, p->from[i]), rows->children[i]);
  return true;
}

static int run(struct work *w, struct ArrowArray *rows)
{
  const struct select_plan *p = &w->self->plan;
  int64_t most = p->n_in + p->n_step + 1;
  w->made = calloc((size_t)most, sizeof *w->made); /* the last: `_set` */
  w->column = calloc((size_t)most, sizeof *w->column);
  if (!w->made || !w->column)
    return src_no_memory(w->err);
  for (int64_t k = 0; k < p->n_step; k++) {
    int rc = run_step(w, k);
    if (rc < 0)
      return rc;
  }
  if (p->makes_set &&
      !partial_make(&p->set, w->batch->schema, &w->batch->rows, &w->made[p->n_step]))
    return src_no_memory(w->err);
  if (w->n_bad ? give_good(w, rows) : give_all(w, rows))
    return MR_OK;
  return src_no_memory(w->err);
}

static int select_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                        struct mr_error *err)
{
  struct select *s = self;
  struct work w = {.self = s, .batch = take, .err = err};
  struct ArrowArray rows;
  int rc = run(&w, &rows);
  for (int64_t k = 0; w.made && k <= s->plan.n_step; k++)
    mr_array_release(&w.made[k]);
  free(w.made);
  free(w.column);
  free(w.keep);
  if (rc < 0)
    return rc;
  mr_array_release(&take->rows);
  mr_array_move(&rows, &give->rows);
  give->lane = take->lane;
  give->upto = take->upto;
  give->watermark_us = take->watermark_us;
  return MR_OK;
}

/* ---- explain */

static int say(mr_put_fn *put, void *out, const char *fmt, const char *a, const char *b)
{
  char line[512];
  size_t n = 0;
  for (; *fmt && n + 1 < sizeof line; fmt++) {
    if (*fmt != '%')
      line[n++] = *fmt;
    else
      n += (size_t)snprintf(line + n, sizeof line - n, "%.200s", *++fmt == 'a' ? a : b);
  }
  return put(out, line, n);
}

static int explain(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct select_conf *c = o->conf;
  const struct {
    const struct mr_list *list;
    const char *text;
  } parts[] = {{&c->cast, "%a: cast to %b\n"},
               {&c->set, "%a: %b\n"},
               {&c->rename, "%a: renamed to %b\n"},
               {&c->drop, "%b: dropped\n"},
               {&c->keep, "%b: kept\n"}};
  int rc = MR_OK;
  for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
    for (size_t i = 0; rc >= 0 && i < parts[k].list->n; i++)
      rc = say(put, out, parts[k].text, parts[k].list->key ? parts[k].list->key[i] : "",
               ((const char *const *)parts[k].list->item)[i]);
  return rc;
}

static const struct mr_transform transform = {
    .size = sizeof transform,
    .open = select_open,
    .schema = select_schema,
    .start = select_start,
    .apply = select_apply,
    .evolve = select_evolve,
    .close = select_close,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct select_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "select",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "casts, computes, renames, drops and keeps columns",
    .options = options,
    .transform = &transform,
    .validate = validate,
    .explain = explain,
    .flags = MR_PARTIAL | MR_RANGES,
};
