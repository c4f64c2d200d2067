/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"
#include "common/src-error.h"
#include "millrace/changes.h"
#include <stdlib.h>

struct planner {
  struct select_plan *plan;
  const struct select_conf *conf;
  struct mr_error *err;
  struct ArrowSchema now; /* the columns as they are so far */
  int64_t *slot;          /* theirs; room for room */
  int64_t room;
  uint8_t *need; /* of each slot, set.n_in flags: which children of `_set` it needs */
};

static const char *item(const struct mr_list *l, size_t i)
{
  return ((const char *const *)l->item)[i];
}

static int bad(struct planner *p, const char *option, const char *key, const char *msg)
{
  snprintf(p->err->option, sizeof p->err->option, "%s.%s", option, key);
  if (msg != p->err->msg)
    snprintf(p->err->msg, sizeof p->err->msg, "%s", msg);
  return MR_BADCONF;
}

/* ---- finding columns */

/* "name", so that the expression means exactly this column. malloc'd; NULL: no memory. */
static char *quote(const char *before, const char *name, const char *after)
{
  size_t size = strlen(before) + 2 * strlen(name) + strlen(after) + 3;
  char *text = malloc(size), *at = text;
  if (!text)
    return NULL;
  at = stpcpy(at, before);
  *at++ = '"';
  for (; *name; name++) {
    if (*name == '"')
      *at++ = '"';
    *at++ = *name;
  }
  *at++ = '"';
  strcpy(at, after);
  return text;
}

/* Without the "1:1: " of a text that the user never wrote. */
static void cut_place(char *msg)
{
  size_t n = strspn(msg, "0123456789:");
  if (n && msg[n] == ' ')
    memmove(msg, msg + n + 1, strlen(msg + n + 1) + 1);
}

/* The compiler says best what the name may have meant. */
static int no_column(struct planner *p, const char *option, const char *key, const char *name)
{
  struct mr_expr *e = NULL;
  struct ArrowSchema type = {0};
  char *text = quote("", name, "");
  if (!text)
    return src_no_memory(p->err);
  int rc = p->plan->host->expr(p->plan->host->ctx, text, &p->now, &e, &type, p->err);
  free(text);
  mr_schema_release(&type);
  if (e)
    p->plan->host->expr_free(e);
  if (rc >= 0)
    snprintf(p->err->msg, sizeof p->err->msg, "no column `%.100s`", name);
  cut_place(p->err->msg);
  const struct mr_list *r = &p->conf->rename;
  for (size_t i = 0; i < r->n && strcmp(option, "drop") && strcmp(option, "keep"); i++)
    if (!strcmp(item(r, i), name))
      snprintf(p->err->msg, sizeof p->err->msg,
               "no column `%.100s` yet: rename comes after %s, write `%.100s` here", name, option,
               r->key[i]);
  return bad(p, option, key, p->err->msg);
}

/* ---- columns so far */

static bool reserve(struct planner *p)
{
  if (p->now.n_children < p->room)
    return true;
  int64_t room = p->room ? p->room * 2 : 16, *slot = realloc(p->slot, (size_t)room * sizeof *slot);
  if (!slot)
    return false;
  p->slot = slot;
  p->room = room;
  return true;
}

/* Appends a column (moved in; released on failure). */
static bool append(struct planner *p, struct ArrowSchema *column, int64_t slot)
{
  if (!reserve(p) || !mr_schema_add(&p->now, column)) {
    mr_schema_release(column);
    return false;
  }
  p->slot[p->now.n_children - 1] = slot;
  return true;
}

/* Moves the last column in front of the system columns, unless it is one. */
static void settle(struct planner *p)
{
  int64_t n = p->now.n_children - 1, to = n;
  struct ArrowSchema *last = p->now.children[n];
  int64_t slot = p->slot[n];
  if (mr_schema_is_system(last))
    return;
  while (to > 0 && mr_schema_is_system(p->now.children[to - 1])) {
    p->now.children[to] = p->now.children[to - 1];
    p->slot[to] = p->slot[to - 1];
    to--;
  }
  p->now.children[to] = last;
  p->slot[to] = slot;
}

/* Puts a computed column (moved in) in the place of the one of its name, or adds it. */
static bool put(struct planner *p, struct ArrowSchema *column, int64_t slot)
{
  int64_t at = mr_schema_find(&p->now, column->name);
  if (at < 0) {
    if (!append(p, column, slot))
      return false;
    settle(p);
    return true;
  }
  mr_schema_release(p->now.children[at]);
  mr_schema_move(column, p->now.children[at]);
  p->slot[at] = slot;
  return true;
}

/* ---- steps */

static int add_step(struct planner *p, const char *option, const char *name, const char *text,
                    struct ArrowSchema *ret_type)
{
  struct select_plan *plan = p->plan;
  struct select_step *s = &plan->step[plan->n_step];
  *s = (struct select_step){.option = option, .name = name};
  plan->n_step++;
  size_t size = (size_t)(p->now.n_children ? p->now.n_children : 1) * sizeof *s->slot;
  s->slot = malloc(size);
  if (!s->slot || !mr_schema_copy(&p->now, &s->in))
    return src_no_memory(p->err);
  memcpy(s->slot, p->slot, (size_t)p->now.n_children * sizeof *s->slot);
  return plan->host->expr(plan->host->ctx, text, &s->in, &s->expr, ret_type, p->err);
}

static uint8_t *need_of(const struct planner *p, int64_t slot)
{
  return p->need + slot * p->plan->set.n_in;
}

/* A result is written where every column that its expression reads is. */
static void result_needs(struct planner *p)
{
  struct select_plan *plan = p->plan;
  const struct select_step *s = &plan->step[plan->n_step - 1];
  uint8_t *need = need_of(p, plan->n_in + plan->n_step - 1);
  if (plan->set.at < 0 || !MR_HAS(plan->host, expr_columns))
    return;
  for (const char *const *c = plan->host->expr_columns(s->expr); c && *c; c++) {
    int64_t at = mr_schema_find(&s->in, *c);
    for (int64_t k = 0; at >= 0 && k < plan->set.n_in; k++)
      need[k] |= need_of(p, s->slot[at])[k];
  }
}

static int keep_result(struct planner *p, struct ArrowSchema *type, const char *name)
{
  if (!mr_schema_rename(type, name)) {
    mr_schema_release(type);
    return src_no_memory(p->err);
  }
  result_needs(p);
  return put(p, type, p->plan->n_in + p->plan->n_step - 1) ? MR_OK : src_no_memory(p->err);
}

static int plan_cast(struct planner *p, size_t i)
{
  const char *name = p->conf->cast.key[i], *to = item(&p->conf->cast, i);
  struct ArrowSchema type = {0};
  char tail[160];
  if (mr_schema_find(&p->now, name) < 0)
    return no_column(p, "cast", name, name);
  if (p->plan->host->type(p->plan->host->ctx, to, "", &type, p->err) < 0)
    return bad(p, "cast", name, p->err->msg);
  mr_schema_release(&type);
  snprintf(tail, sizeof tail, " AS %.140s)", to);
  char *text = quote("CAST(", name, tail);
  if (!text)
    return src_no_memory(p->err);
  int rc = add_step(p, "cast", name, text, &type);
  free(text);
  cut_place(p->err->msg);
  if (rc == MR_BADCONF)
    return bad(p, "cast", name, p->err->msg);
  return rc < 0 ? rc : keep_result(p, &type, name);
}

static int plan_set(struct planner *p, size_t i)
{
  const char *name = p->conf->set.key[i];
  struct ArrowSchema type = {0};
  int rc = add_step(p, "set", name, item(&p->conf->set, i), &type);
  if (rc == MR_BADCONF)
    return bad(p, "set", name, p->err->msg);
  return rc < 0 ? rc : keep_result(p, &type, name);
}

/* ---- names */

/* All at once, so that two columns may change places. */
static int plan_rename(struct planner *p)
{
  const struct mr_list *r = &p->conf->rename;
  int64_t *at = malloc((r->n ? r->n : 1) * sizeof *at);
  int rc = at ? MR_OK : src_no_memory(p->err);
  for (size_t i = 0; rc >= 0 && i < r->n; i++) {
    at[i] = mr_schema_find(&p->now, r->key[i]);
    if (at[i] < 0)
      rc = no_column(p, "rename", r->key[i], r->key[i]);
  }
  for (size_t i = 0; rc >= 0 && i < r->n; i++)
    if (!mr_schema_rename(p->now.children[at[i]], item(r, i)))
      rc = src_no_memory(p->err);
  free(at);
  for (size_t i = 0; rc >= 0 && i < r->n; i++) {
    const struct ArrowSchema *c = p->now.children[mr_schema_find(&p->now, item(r, i))];
    for (int64_t k = 0; k < p->now.n_children; k++)
      if (p->now.children[k] != c && !strcmp(p->now.children[k]->name, c->name))
        rc = bad(p, "rename", r->key[i], "there are two columns of the new name");
  }
  return rc;
}

/* ---- which columns come out */

static bool is_named(const struct mr_list *l, const char *name)
{
  for (size_t i = 0; i < l->n; i++)
    if (!strcmp(item(l, i), name))
      return true;
  return false;
}

static bool is_named_key(const struct mr_list *l, const char *name)
{
  for (size_t i = 0; i < l->n; i++)
    if (!strcmp(l->key[i], name))
      return true;
  return false;
}

/* Moves column i of those so far into the result. */
static int give(struct planner *p, int64_t i)
{
  struct ArrowSchema copy;
  struct select_plan *plan = p->plan;
  int64_t n = plan->out.n_children;
  if (!mr_schema_copy(p->now.children[i], &copy) || !mr_schema_add(&plan->out, &copy)) {
    mr_schema_release(&copy);
    return src_no_memory(p->err);
  }
  plan->from[n] = p->slot[i];
  return MR_OK;
}

/* The `_set` that came in, if it is still there, becomes one for the columns that come out. */
static int give_set(struct planner *p)
{
  struct select_plan *plan = p->plan;
  struct ArrowSchema *out = &plan->out, copy;
  int64_t at = mr_schema_find(out, MR_SET);
  if (plan->set.at < 0 || at < 0 || plan->from[at] != plan->set.at)
    return MR_OK;
  for (int64_t i = 0; i < out->n_children; i++)
    if (!mr_schema_is_system(out->children[i]) &&
        !partial_add(&plan->set, out->children[i]->name, need_of(p, plan->from[i])))
      return src_no_memory(p->err);
  if (!mr_schema_copy(&plan->set.schema, &copy)) {
    mr_schema_release(&copy);
    return src_no_memory(p->err);
  }
  mr_schema_release(out->children[at]);
  mr_schema_move(&copy, out->children[at]);
  plan->from[at] = plan->n_in + plan->n_step;
  plan->makes_set = true;
  return MR_OK;
}

/* The column that comes out in the place of the input's; NULL: none does. */
static const struct ArrowSchema *column_of(const struct select_plan *plan, int64_t slot)
{
  for (int64_t i = 0; i < plan->out.n_children; i++)
    if (plan->from[i] == slot)
      return plan->out.children[i];
  return NULL;
}

static int bad_bound(struct planner *p, const char *name)
{
  const struct mr_list *const lists[] = {&p->conf->cast, &p->conf->set};
  static const char *const option[] = {"cast", "set"};
  for (int k = 0; k < 2; k++)
    if (is_named_key(lists[k], name)) {
      snprintf(p->err->msg, sizeof p->err->msg,
               "column `%.100s` bounds deletes of many rows (`_range`): with other values they "
               "would mean other rows; set another column, or drop `_range`",
               name);
      return bad(p, option[k], name, p->err->msg);
    }
  snprintf(p->err->msg, sizeof p->err->msg,
           "column `%.100s` bounds deletes of many rows (`_range`): without it they would mean "
           "more rows; keep it, or drop `_range`, too",
           name);
  snprintf(p->err->option, sizeof p->err->option, "%s", p->conf->keep.n ? "keep" : "drop");
  return MR_BADCONF;
}

/* The `_range` that came in, if it is still there, bounds columns by the names they have now. */
static int give_range(struct planner *p, const struct ArrowSchema *in)
{
  struct select_plan *plan = p->plan;
  int64_t at = mr_schema_find(&plan->out, MR_RANGE), was = at < 0 ? -1 : plan->from[at];
  if (was < 0 || was >= plan->n_in || strcmp(in->children[was]->name, MR_RANGE) ||
      !mr_range_valid(in->children[was]))
    return MR_OK;
  for (int64_t k = 0; k < in->children[was]->n_children; k++) {
    const char *name = in->children[was]->children[k]->name;
    int64_t slot = mr_schema_find(in, name);
    const struct ArrowSchema *now = slot < 0 ? NULL : column_of(plan, slot);
    if (slot >= 0 && !now)
      return bad_bound(p, name);
    if (now && !mr_schema_rename(plan->out.children[at]->children[k], now->name))
      return src_no_memory(p->err);
  }
  return MR_OK;
}

static int give_kept(struct planner *p)
{
  const struct mr_list *keep = &p->conf->keep;
  char key[24];
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < keep->n; i++) {
    int64_t at = mr_schema_find(&p->now, item(keep, i));
    snprintf(key, sizeof key, "%zu", i);
    if (!strcmp(item(keep, i), "*")) {
      for (int64_t k = 0; rc >= 0 && k < p->now.n_children; k++)
        if (!mr_schema_is_system(p->now.children[k]) && !is_named(keep, p->now.children[k]->name))
          rc = give(p, k);
    } else if (at < 0) {
      rc = no_column(p, "keep", key, item(keep, i));
    } else if (mr_schema_find(&p->plan->out, item(keep, i)) >= 0) {
      rc = bad(p, "keep", key, "the column is there twice");
    } else if (!mr_schema_is_system(p->now.children[at])) {
      rc = give(p, at);
    }
  }
  for (int64_t k = 0; rc >= 0 && k < p->now.n_children; k++)
    if (mr_schema_is_system(p->now.children[k]))
      rc = give(p, k);
  return rc;
}

static int give_rest(struct planner *p)
{
  const struct mr_list *drop = &p->conf->drop;
  char key[24];
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < drop->n; i++) {
    snprintf(key, sizeof key, "%zu", i);
    if (mr_schema_find(&p->now, item(drop, i)) < 0)
      rc = no_column(p, "drop", key, item(drop, i));
  }
  for (int64_t k = 0; rc >= 0 && k < p->now.n_children; k++)
    if (!is_named(drop, p->now.children[k]->name))
      rc = give(p, k);
  return rc;
}

static int plan_out(struct planner *p, const struct ArrowSchema *in)
{
  size_t n = (size_t)p->now.n_children;
  p->plan->from = malloc((n ? n : 1) * sizeof *p->plan->from);
  if (!p->plan->from || !mr_schema_struct(&p->plan->out))
    return src_no_memory(p->err);
  int rc = p->conf->keep.n ? give_kept(p) : give_rest(p);
  if (rc >= 0)
    rc = give_set(p);
  return rc < 0 ? rc : give_range(p, in);
}

static int plan_all(struct planner *p, const struct ArrowSchema *in)
{
  size_t steps = p->conf->cast.n + p->conf->set.n;
  p->plan->n_in = in->n_children;
  p->plan->step = calloc(steps ? steps : 1, sizeof *p->plan->step);
  if (!p->plan->step || !mr_schema_struct(&p->now) || !partial_init(&p->plan->set, in))
    return src_no_memory(p->err);
  p->need = calloc((size_t)p->plan->n_in + steps + 1, (size_t)p->plan->set.n_in + 1);
  if (!p->need)
    return src_no_memory(p->err);
  for (int64_t i = 0; i < in->n_children; i++) {
    struct ArrowSchema copy;
    if (!mr_schema_copy(in->children[i], &copy) || !append(p, &copy, i))
      return src_no_memory(p->err);
    partial_need(&p->plan->set, in, in->children[i]->name, need_of(p, i));
  }
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < p->conf->cast.n; i++)
    rc = plan_cast(p, i);
  for (size_t i = 0; rc >= 0 && i < p->conf->set.n; i++)
    rc = plan_set(p, i);
  if (rc >= 0)
    rc = plan_rename(p);
  return rc < 0 ? rc : plan_out(p, in);
}

int select_plan_init(struct select_plan *plan, const struct mr_host *host,
                     const struct select_conf *conf, const struct ArrowSchema *in,
                     struct mr_error *err)
{
  struct planner p = {.plan = plan, .conf = conf, .err = err};
  *plan = (struct select_plan){.host = host};
  int rc = plan_all(&p, in);
  mr_schema_release(&p.now);
  free(p.slot);
  free(p.need);
  if (rc < 0)
    select_plan_done(plan);
  return rc;
}

void select_plan_done(struct select_plan *p)
{
  for (int64_t i = 0; i < p->n_step; i++) {
    if (p->step[i].expr)
      p->host->expr_free(p->step[i].expr);
    mr_schema_release(&p->step[i].in);
    free(p->step[i].slot);
  }
  free(p->step);
  free(p->from);
  partial_done(&p->set);
  mr_schema_release(&p->out);
  *p = (struct select_plan){0};
}
