/* SPDX-License-Identifier: Apache-2.0 */
/* enrich: adds columns of a lookup table to each row, found by key. */
#include <stdio.h>
#include "common/src-error.h"
#include "millrace/changes.h"
#include "plan.h"
#include "rows.h"

struct enrich {
  const struct enrich_conf *conf;
  const struct mr_host *host;
  struct enrich_plan plan;
  struct ArrowArray **keys; /* room for the children that are lent to find */
};

static const char *const missing_choices[] = {"keep", "drop", "dead_letter", "fail", NULL};
#define AT(field) offsetof(struct enrich_conf, field)
static const struct mr_opt options[] = {
    {"with", MR_LOOKUP, MR_REQUIRED, AT(with), 0, NULL, NULL, NULL, NULL,
     "the lookup to join with"},
    {"on", MR_TEXT, MR_KEYED | MR_REQUIRED, AT(on), 0, NULL, NULL, NULL, NULL,
     "column of the stream: column of the lookup, for each part of the key"},
    {"add", MR_TEXT, MR_KEYED | MR_REQUIRED, AT(add), 0, NULL, NULL, NULL, NULL,
     "column of the lookup: name of the new column"},
    {"missing", MR_CHOICE, 0, AT(missing), 0, NULL, "keep", missing_choices, NULL,
     "rows without a match: keep (nulls), drop, dead_letter or fail"},
    {0}};

static const char *item(const struct mr_list *l, size_t i)
{
  return ((const char *const *)l->item)[i];
}

/* ---- life */

static int validate(const void *conf, struct mr_error *err)
{
  const struct enrich_conf *c = conf;
  if (!c->on.n)
    return src_badconf(err, "on", "it needs at least one pair of columns");
  if (!c->add.n)
    return src_badconf(err, "add", "it needs at least one column");
  for (size_t i = 0; i < c->add.n; i++)
    if (!*item(&c->add, i) || item(&c->add, i)[0] == '_')
      return src_badconf(err, "add", "`%s` cannot be the name of a new column", item(&c->add, i));
  for (size_t i = 0; i < c->on.n; i++)
    for (size_t k = 0; k < i; k++)
      if (!strcmp(item(&c->on, i), item(&c->on, k)))
        return src_badconf(err, "on", "column `%s` of the lookup is there twice", item(&c->on, i));
  return MR_OK;
}

static void enrich_close(void *self)
{
  struct enrich *e = self;
  if (!e)
    return;
  enrich_plan_done(&e->plan);
  free(e->keys);
  free(e);
}

static int enrich_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  int rc = validate(o->conf, err);
  if (rc < 0)
    return rc;
  struct enrich *e = calloc(1, sizeof *e);
  if (!e)
    return src_no_memory(err);
  e->conf = o->conf;
  e->host = o->host;
  e->keys = calloc(e->conf->on.n, sizeof(struct ArrowArray *));
  if (!e->keys)
    rc = src_no_memory(err);
  else if (o->in)
    rc = enrich_plan_init(&e->plan, e->host, e->conf, o->in, err);
  if (rc < 0)
    enrich_close(e);
  else
    *self = e;
  return rc < 0 ? rc : MR_OK;
}

static int enrich_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct enrich *e = self;
  struct ArrowSchema copy;
  if (!e->plan.lookup)
    return MR_IDLE;
  if (mr_schema_copy(&e->plan.out, &copy)) {
    *give = copy;
    return MR_OK;
  }
  mr_schema_release(&copy);
  return src_no_memory(err);
}

static int replace_plan(struct enrich *e, const struct ArrowSchema *in, struct mr_error *err)
{
  struct enrich_plan plan;
  int rc = enrich_plan_init(&plan, e->host, e->conf, in, err);
  if (rc < 0)
    return rc;
  enrich_plan_done(&e->plan);
  e->plan = plan;
  return MR_OK;
}

/* A lookup that could not tell its columns before it was connected can now. */
static int enrich_start(void *self, struct mr_error *err)
{
  struct enrich *e = self;
  return e->plan.in.release && !e->plan.lookup ? replace_plan(e, &e->plan.in, err) : MR_OK;
}

static int enrich_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  return replace_plan(self, in, err);
}

/* ---- rows */

static int ask(struct enrich *e, const struct ArrowArray *rows, struct ArrowArray *found,
               struct mr_error *err)
{
  const void *no_nulls = NULL;
  struct ArrowArray keys = {.length = rows->length,
                            .n_buffers = 1,
                            .buffers = &no_nulls,
                            .n_children = (int64_t)e->conf->on.n,
                            .children = e->keys};
  for (size_t i = 0; i < e->conf->on.n; i++)
    e->keys[i] = rows->children[e->plan.key[i]];
  return e->host->find(e->plan.lookup, &keys, found, err);
}

static bool is_missing(const struct ArrowArray *found, int64_t i)
{
  return found->null_count && found->buffers[0] &&
         !mr_bit_get(found->buffers[0], found->offset + i);
}

/* A bit for each row that has a match, or needs none, as it is no row but a delete of many;
 * *ret_missing: how many have none. NULL: no memory. */
static uint8_t *matches(const struct enrich *e, const struct mr_batch *b,
                        const struct ArrowArray *found, int64_t *ret_missing)
{
  struct mr_range_columns range;
  uint8_t *keep = calloc((size_t)(found->length / 8 + 1), 1);
  *ret_missing = 0;
  mr_range_view(&range, &e->plan.in, &b->rows, "");
  for (int64_t i = 0; keep && i < found->length; i++) {
    bool missing = is_missing(found, i) && !mr_range_has(&range, i);
    mr_bit_set(keep, i, !missing);
    *ret_missing += missing;
  }
  return keep;
}

static void say_missing(const struct enrich *e, char *buf, size_t size)
{
  int n = snprintf(buf, size, "lookup `%s` has no row for ", e->conf->with);
  for (size_t i = 0; i < e->conf->on.n && (size_t)n < size; i++)
    n += snprintf(buf + n, size - (size_t)n, "%s`%s`", i ? ", " : "", e->conf->on.key[i]);
}

static int reject_missing(struct enrich *e, const struct mr_batch *b, const uint8_t *keep,
                          struct mr_error *err)
{
  char msg[256];
  int rc = MR_OK;
  say_missing(e, msg, sizeof msg);
  for (int64_t i = 0; rc >= 0 && i < b->rows.length; i++) {
    struct mr_reject r = {.size = sizeof r,
                          .lane = b->lane,
                          .batch = b,
                          .batch_id = b->id,
                          .row = i,
                          .code = "no_match",
                          .msg = msg,
                          .column = e->conf->on.key[0]};
    if (!mr_bit_get(keep, i))
      rc = e->host->reject(e->host->ctx, &r);
  }
  return rc < 0 ? src_fail(err, rc, "", "a row could not be put among the dead letters") : rc;
}

static int stop_at_missing(const struct enrich *e, const uint8_t *keep, struct mr_error *err)
{
  int64_t row = 0;
  while (mr_bit_get(keep, row))
    row++;
  say_missing(e, err->msg, sizeof err->msg);
  err->row = row;
  return MR_FATAL;
}

/* Only the rows that were found; in: the batch's rows with the new `_set`. */
static int some_rows(struct enrich *e, const struct mr_batch *b, const struct ArrowArray *in,
                     const struct ArrowArray *found, const uint8_t *keep, struct ArrowArray *give,
                     struct mr_error *err)
{
  if (e->conf->missing == ENRICH_FAIL)
    return stop_at_missing(e, keep, err);
  struct ArrowArray rows;
  if (!enrich_pick(&e->plan.out, in, found, e->plan.from, keep, &rows))
    return src_no_memory(err);
  int rc = e->conf->missing == ENRICH_DEAD_LETTER ? reject_missing(e, b, keep, err) : MR_OK;
  if (rc < 0)
    mr_array_release(&rows);
  else
    *give = rows;
  return rc;
}

/* All rows: the new `_set` takes the place of the old one, then the columns change hands. */
static int all_rows(struct enrich *e, struct mr_batch *b, struct ArrowArray *found,
                    struct ArrowArray *set, struct ArrowArray *give, struct mr_error *err)
{
  if (set->release) {
    mr_array_release(b->rows.children[e->plan.set.at]);
    mr_array_move(set, b->rows.children[e->plan.set.at]);
  }
  if (enrich_join(&b->rows, found, e->plan.from, (int64_t)e->conf->add.n, give))
    return MR_OK;
  return src_no_memory(err);
}

/* Some rows are copied: they look at the batch with the new `_set` in the old one's place. */
static int picked_rows(struct enrich *e, const struct mr_batch *b, const struct ArrowArray *found,
                       const uint8_t *keep, struct ArrowArray *set, struct ArrowArray *give,
                       struct mr_error *err)
{
  struct ArrowArray in = b->rows;
  struct ArrowArray **child = calloc((size_t)in.n_children + 1, sizeof *child);
  if (!child)
    return src_no_memory(err);
  memcpy(child, in.children, (size_t)in.n_children * sizeof *child);
  if (set->release)
    child[e->plan.set.at] = set;
  in.children = child;
  int rc = some_rows(e, b, &in, found, keep, give, err);
  free(child);
  return rc;
}

static int combine(struct enrich *e, struct mr_batch *b, struct ArrowArray *found,
                   struct ArrowArray *give, struct mr_error *err)
{
  int64_t missing;
  uint8_t *keep = matches(e, b, found, &missing);
  if (!keep)
    return src_no_memory(err);
  bool all = !missing || e->conf->missing == ENRICH_KEEP;
  struct ArrowArray set = {0};
  int rc = MR_OK;
  if (e->plan.set.at >= 0 && !partial_make(&e->plan.set, &e->plan.in, &b->rows, &set))
    rc = src_no_memory(err);
  if (rc >= 0)
    rc = all ? all_rows(e, b, found, &set, give, err)
             : picked_rows(e, b, found, keep, &set, give, err);
  mr_array_release(&set);
  free(keep);
  if (rc >= 0 && missing)
    e->host->metric(e->host->ctx, "enrich_missing_total", b->lane, missing);
  return rc;
}

static int enrich_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                        struct mr_error *err)
{
  struct enrich *e = self;
  struct ArrowArray found = {0}, rows;
  if (!e->plan.lookup)
    return src_fail(err, MR_RETRY, "", "lookup `%s` does not know its columns yet", e->conf->with);
  int rc = ask(e, &take->rows, &found, err);
  if (rc < 0)
    return rc;
  rc = combine(e, take, &found, &rows, err);
  mr_array_release(&found);
  if (rc < 0)
    return rc;
  mr_array_release(&take->rows);
  give->lane = take->lane;
  give->upto = take->upto;
  give->watermark_us = take->watermark_us;
  mr_array_move(&rows, &give->rows);
  return MR_OK;
}

/* ---- explain */

static int explain(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct enrich_conf *c = o->conf;
  char line[512];
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < c->add.n; i++) {
    int n = snprintf(line, sizeof line, "%.120s: column %.120s of lookup %.120s", item(&c->add, i),
                     c->add.key[i], c->with);
    for (size_t k = 0; k < c->on.n && (size_t)n < sizeof line - 100; k++)
      n += snprintf(line + n, sizeof line - (size_t)n, "%s %.30s = %.30s", k ? "," : " where",
                    item(&c->on, k), c->on.key[k]);
    n += snprintf(line + n, sizeof line - (size_t)n, "\n");
    rc = put(out, line, (size_t)n);
  }
  return rc;
}

static const struct mr_transform transform = {
    .size = sizeof transform,
    .open = enrich_open,
    .schema = enrich_schema,
    .start = enrich_start,
    .apply = enrich_apply,
    .evolve = enrich_evolve,
    .close = enrich_close,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct enrich_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "enrich",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "adds columns of a lookup table, found by key",
    .options = options,
    .transform = &transform,
    .validate = validate,
    .explain = explain,
    .flags = MR_PARTIAL | MR_RANGES,
};
