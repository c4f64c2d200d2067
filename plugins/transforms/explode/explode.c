/* SPDX-License-Identifier: Apache-2.0 */
/* explode: one row for each element of a list column; the other columns are repeated. */
#include "common/partial.h"
#include "common/rows.h"
#include "common/src-error.h"
#include "millrace/changes.h"

enum { EMPTY_DROP, EMPTY_KEEP };

struct explode_conf {
  const char *column, *into, *index;
  int32_t empty;
};
struct explode {
  const struct explode_conf *conf;
  const struct mr_host *host;
  struct ArrowSchema in, out; /* released: not known */
  int64_t column;             /* in both */
  struct partial set;         /* element and index are written where the list is */
};
/* For each row that comes out: which row it was, which element of the list's child (-1: none). */
struct layout {
  int64_t *row, *element, n;
};

static const char *const empty_choices[] = {"drop", "keep", NULL};
#define AT(field) offsetof(struct explode_conf, field)
static const struct mr_opt options[] = {
    {"column", MR_TEXT, MR_REQUIRED, AT(column), 0, NULL, NULL, NULL, NULL, "the list column"},
    {"into", MR_TEXT, 0, AT(into), 0, NULL, NULL, NULL, NULL,
     "name of the element's column (the list's name when absent)"},
    {"index", MR_TEXT, 0, AT(index), 0, NULL, NULL, NULL, NULL,
     "name of a new column with the element's place in its list, from 0"},
    {"empty", MR_CHOICE, 0, AT(empty), 0, NULL, "drop", empty_choices, NULL,
     "rows whose list is empty or null: drop, or keep (with a null element)"},
    {0}};

/* ---- schema */

static const char *new_name(const struct explode *e)
{
  return e->conf->into ? e->conf->into : e->conf->column;
}

static int check_names(const struct explode *e, const struct ArrowSchema *in, struct mr_error *err)
{
  const struct explode_conf *c = e->conf;
  int64_t at = mr_schema_find(in, new_name(e));
  if (at >= 0 && at != mr_schema_find(in, c->column))
    return src_badconf(err, "into", "there is a column `%.100s` already", new_name(e));
  if (c->index && (mr_schema_find(in, c->index) >= 0 || !strcmp(c->index, new_name(e))))
    return src_badconf(err, "index", "there is a column `%.100s` already", c->index);
  return MR_OK;
}

/* The element has the labels of its list. */
static bool copy_labels(const struct ArrowSchema *from, struct ArrowSchema *to)
{
  static const char *const keys[] = {MR_META_CLASS, MR_META_MASKED};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    size_t n;
    const char *v = mr_schema_meta(from, keys[i], &n);
    char *text = v ? strndup(v, n) : NULL;
    bool ok = !v || (text && mr_schema_set_meta(to, keys[i], text));
    free(text);
    if (!ok)
      return false;
  }
  return true;
}

static bool add_element(const struct explode *e, const struct ArrowSchema *list,
                        struct ArrowSchema *out)
{
  struct ArrowSchema c;
  bool ok = mr_schema_copy(list->children[0], &c) && mr_schema_rename(&c, new_name(e)) &&
            copy_labels(list, &c);
  c.flags |= ARROW_FLAG_NULLABLE;
  ok = ok && mr_schema_add(out, &c) &&
       (!e->conf->index || mr_schema_field(out, e->conf->index, "I", true));
  if (!ok)
    mr_schema_release(&c);
  return ok;
}

/* The element in the place of its list, the index behind it. */
static bool make_out(const struct explode *e, const struct ArrowSchema *in, int64_t column,
                     struct ArrowSchema *out)
{
  if (!mr_schema_struct(out))
    return false;
  for (int64_t i = 0; i < in->n_children; i++) {
    struct ArrowSchema c = {0};
    if (i == column ? add_element(e, in->children[i], out)
                    : mr_schema_copy(in->children[i], &c) && mr_schema_add(out, &c))
      continue;
    mr_schema_release(&c);
    return false;
  }
  return true;
}

/* The `_set` of what comes out, in its place. */
static bool make_set(const struct explode *e, const struct ArrowSchema *in, int64_t column,
                     struct partial *p, struct ArrowSchema *out)
{
  bool ok = partial_init(p, in);
  if (!ok || p->at < 0)
    return ok;
  uint8_t *need = malloc((size_t)p->n_in + 1);
  for (int64_t i = 0; ok && need && i < in->n_children; i++) {
    memset(need, 0, (size_t)p->n_in + 1);
    partial_need(p, in, in->children[i]->name, need);
    ok = partial_add(p, i == column ? new_name(e) : in->children[i]->name, need);
    if (ok && i == column && e->conf->index)
      ok = partial_add(p, e->conf->index, need);
  }
  ok = ok && need;
  free(need);
  struct ArrowSchema copy = {0};
  if (!ok || !mr_schema_copy(&p->schema, &copy)) {
    mr_schema_release(&copy);
    return false;
  }
  int64_t at = mr_schema_find(out, MR_SET);
  mr_schema_release(out->children[at]);
  mr_schema_move(&copy, out->children[at]);
  return true;
}

static int plan(struct explode *e, const struct ArrowSchema *in, struct mr_error *err)
{
  struct ArrowSchema copy = {0}, out = {0};
  struct partial set = {0};
  int64_t at = mr_schema_find(in, e->conf->column);
  if (at < 0)
    return src_badconf(err, "column", "no column `%.100s`", e->conf->column);
  if (mr_kind_of(in->children[at]) != MR_K_LIST)
    return src_badconf(err, "column", "`%.100s` is no list", e->conf->column);
  int64_t range = mr_schema_find(in, MR_RANGE);
  if (range >= 0 && mr_schema_find(in->children[range], e->conf->column) >= 0)
    return src_badconf(err, "column",
                       "`%.100s` bounds deletes of many rows (`_range`): its elements cannot take "
                       "its place",
                       e->conf->column);
  int rc = check_names(e, in, err);
  if (rc < 0)
    return rc;
  if (!mr_schema_copy(in, &copy) || !make_out(e, in, at, &out) ||
      !make_set(e, in, at, &set, &out)) {
    mr_schema_release(&copy);
    mr_schema_release(&out);
    partial_done(&set);
    return src_no_memory(err);
  }
  mr_schema_release(&e->in);
  mr_schema_release(&e->out);
  partial_done(&e->set);
  e->in = copy;
  e->out = out;
  e->set = set;
  e->column = at;
  return MR_OK;
}

/* ---- life */

static void explode_close(void *self)
{
  struct explode *e = self;
  if (!e)
    return;
  mr_schema_release(&e->in);
  mr_schema_release(&e->out);
  partial_done(&e->set);
  free(e);
}

static int explode_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct explode *e = calloc(1, sizeof *e);
  if (!e)
    return src_no_memory(err);
  e->set.at = -1;
  e->conf = o->conf;
  e->host = o->host;
  int rc = o->in ? plan(e, o->in, err) : MR_OK;
  if (rc < 0)
    explode_close(e);
  else
    *self = e;
  return rc;
}

static int explode_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct explode *e = self;
  struct ArrowSchema copy;
  if (!e->out.release)
    return MR_IDLE;
  if (mr_schema_copy(&e->out, &copy)) {
    *give = copy;
    return MR_OK;
  }
  mr_schema_release(&copy);
  return src_no_memory(err);
}

static int explode_start(void *self, struct mr_error *err)
{
  return MR_OK;
}

static int explode_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  return plan(self, in, err);
}

/* ---- rows */

/* Elements of row i; a kept row without any counts as one. */
static int64_t count_of(const struct mr_view *v, int64_t i, bool keep, int64_t *ret_from)
{
  int64_t from = 0, to = 0;
  if (!mr_view_null(v, i))
    mr_view_range(v, i, &from, &to);
  *ret_from = to > from ? from : -1;
  return to > from ? to - from : keep;
}

static bool lay_out(const struct explode *e, const struct ArrowArray *rows, struct layout *l)
{
  struct mr_view v;
  struct mr_range_columns range;
  int64_t total = 0, at = 0, from;
  bool keep = e->conf->empty == EMPTY_KEEP;
  mr_view_column(&v, &e->in, rows, e->column);
  mr_range_view(&range, &e->in, rows, ""); /* a delete of many rows goes on as it is */
  for (int64_t i = 0; i < rows->length; i++)
    total += count_of(&v, i, keep || mr_range_has(&range, i), &from);
  l->row = malloc((size_t)(total + 1) * sizeof *l->row);
  l->element = malloc((size_t)(total + 1) * sizeof *l->element);
  if (!l->row || !l->element)
    return false;
  for (int64_t i = 0; i < rows->length; i++) {
    int64_t n = count_of(&v, i, keep || mr_range_has(&range, i), &from);
    for (int64_t k = 0; k < n; k++, at++) {
      l->row[at] = i;
      l->element[at] = from < 0 ? -1 : from + k;
    }
  }
  l->n = total;
  return true;
}

/* The place of each element in its list; null where there is none. */
static bool make_index(const struct ArrowSchema *s, const struct layout *l, struct ArrowArray *give)
{
  struct mr_column c;
  int64_t place = 0;
  bool ok = mr_column_init(&c, s) && mr_column_reserve(&c, l->n);
  for (int64_t i = 0; ok && i < l->n; i++) {
    place = i && l->row[i] == l->row[i - 1] ? place + 1 : 0;
    ok = l->element[i] < 0 ? mr_column_null(&c) : mr_column_int(&c, place);
  }
  ok = ok && mr_column_finish(&c, give);
  mr_column_done(&c);
  return ok;
}

static bool gather_set(const struct explode *e, const struct ArrowArray *rows,
                       const struct layout *l, struct ArrowArray *give)
{
  struct ArrowArray set = {0};
  bool ok = partial_make(&e->set, &e->in, rows, &set) &&
            rows_gather(&e->set.schema, &set, l->row, l->n, give);
  mr_array_release(&set);
  return ok;
}

static bool make_rows(const struct explode *e, const struct ArrowArray *rows,
                      const struct layout *l, struct ArrowArray *give)
{
  const struct ArrowArray *list = rows->children[e->column];
  int64_t to = 0;
  bool ok = mr_array_init(give, l->n, 1, e->out.n_children);
  for (int64_t i = 0; ok && i < rows->n_children; i++, to++) {
    if (i == e->set.at && i != e->column) {
      ok = gather_set(e, rows, l, give->children[to]);
      continue;
    }
    if (i != e->column) {
      ok = rows_gather(e->in.children[i], rows->children[i], l->row, l->n, give->children[to]);
      continue;
    }
    ok = rows_gather(e->out.children[to], list->children[0], l->element, l->n, give->children[to]);
    if (ok && e->conf->index) {
      to++;
      ok = make_index(e->out.children[to], l, give->children[to]);
    }
  }
  if (!ok)
    mr_array_release(give);
  return ok;
}

/* Repeating a long text for each element can pass the 2 GiB that a column holds: smaller batches
 * may do, so the rows are refused and the caller cuts them. */
static bool too_long(const struct explode *e, const struct ArrowArray *rows, const struct layout *l)
{
  for (int64_t i = 0; i < rows->n_children; i++)
    if (i != e->column &&
        rows_text_bytes(e->in.children[i], rows->children[i], l->row, l->n) > INT32_MAX)
      return true;
  return false;
}

static int explode_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                         struct mr_error *err)
{
  struct explode *e = self;
  struct layout l = {0};
  struct ArrowArray rows;
  int rc = MR_OK;
  if (!lay_out(e, &take->rows, &l))
    rc = src_no_memory(err);
  else if (too_long(e, &take->rows, &l))
    rc = src_fail(err, MR_REJECT, "54000", "the exploded rows hold over 2 GiB in one column");
  else if (!make_rows(e, &take->rows, &l, &rows))
    rc = src_no_memory(err);
  free(l.row);
  free(l.element);
  if (rc < 0)
    return rc;
  mr_array_release(&take->rows);
  mr_array_move(&rows, &give->rows);
  give->lane = take->lane;
  give->upto = take->upto;
  give->watermark_us = take->watermark_us;
  return MR_OK;
}

static const struct mr_transform transform = {
    .size = sizeof transform,
    .open = explode_open,
    .schema = explode_schema,
    .start = explode_start,
    .apply = explode_apply,
    .evolve = explode_evolve,
    .close = explode_close,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct explode_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "explode",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "one row for each element of a list column",
    .options = options,
    .transform = &transform,
    .flags = MR_PARTIAL | MR_RANGES,
};
