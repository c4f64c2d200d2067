/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"
#include <stdio.h>
#include "common/src-error.h"

static const char *item(const struct mr_list *l, size_t i)
{
  return ((const char *const *)l->item)[i];
}

static int bad_key(struct mr_error *err, const char *option, const char *key, const char *msg,
                   const char *name)
{
  snprintf(err->option, sizeof err->option, "%s.%s", option, key);
  snprintf(err->msg, sizeof err->msg, msg, name);
  return MR_BADCONF;
}

/* The stream's columns under the table's names, and the names that are wanted. */
static bool make_keys(struct enrich_plan *p, const struct enrich_conf *conf,
                      struct ArrowSchema *ret)
{
  size_t len = 1;
  for (size_t i = 0; i < conf->add.n; i++)
    len += strlen(conf->add.key[i]) + 1;
  char *want = calloc(len, 1);
  bool ok = mr_schema_struct(ret) && want;
  for (size_t i = 0; ok && i < conf->on.n; i++) {
    struct ArrowSchema c;
    ok = mr_schema_copy(p->in.children[p->key[i]], &c) &&
         mr_schema_rename(&c, item(&conf->on, i)) && mr_schema_add(ret, &c);
    if (!ok)
      mr_schema_release(&c);
  }
  for (size_t i = 0; ok && i < conf->add.n; i++) {
    if (i)
      strcat(want, "\n");
    strcat(want, conf->add.key[i]);
  }
  ok = ok && mr_schema_set_meta(ret, MR_META_WANT, want);
  free(want);
  return ok;
}

static int find_keys(struct enrich_plan *p, const struct enrich_conf *conf, struct mr_error *err)
{
  for (size_t i = 0; i < conf->on.n; i++) {
    p->key[i] = mr_schema_find(&p->in, conf->on.key[i]);
    if (p->key[i] < 0)
      return bad_key(err, "on", conf->on.key[i], "no column `%s` comes in here", conf->on.key[i]);
  }
  return MR_OK;
}

static int ask(struct enrich_plan *p, const struct enrich_conf *conf, struct mr_error *err)
{
  struct ArrowSchema keys;
  if (!make_keys(p, conf, &keys)) {
    mr_schema_release(&keys);
    return src_no_memory(err);
  }
  int rc = p->host->lookup(p->host->ctx, conf->with, &keys, &p->lookup, &p->row, err);
  mr_schema_release(&keys);
  if (rc == MR_BADCONF && !*err->option)
    snprintf(err->option, sizeof err->option, "with");
  return rc;
}

/* A new column of the given name behind the others. */
static int add_column(struct enrich_plan *p, const char *column, const char *name, size_t i,
                      struct mr_error *err)
{
  struct ArrowSchema c;
  p->from[i] = mr_schema_find(&p->row, column);
  if (p->from[i] < 0)
    return bad_key(err, "add", column, "the lookup has no column `%s`", column);
  if (mr_schema_find(&p->out, name) >= 0)
    return bad_key(err, "add", column, "there is a column `%s` already: give it another name",
                   name);
  bool ok = mr_schema_copy(p->row.children[p->from[i]], &c) && mr_schema_rename(&c, name);
  c.flags |= ARROW_FLAG_NULLABLE;
  if (ok && mr_schema_add(&p->out, &c))
    return MR_OK;
  mr_schema_release(&c);
  return src_no_memory(err);
}

static bool make_set(struct enrich_plan *p, const struct enrich_conf *conf)
{
  int64_t n = p->out.n_children, n_in = p->in.n_children;
  size_t flags = (size_t)p->set.n_in + 1;
  uint8_t *need = calloc((size_t)n, flags);
  struct ArrowSchema copy = {0};
  bool ok = need != NULL;
  for (int64_t i = 0; ok && i < n; i++) {
    uint8_t *mine = need + (size_t)i * flags;
    if (i < n_in)
      partial_need(&p->set, &p->in, p->in.children[i]->name, mine);
    for (size_t k = 0; i >= n_in && k < conf->on.n; k++)
      partial_need(&p->set, &p->in, conf->on.key[k], mine);
    ok = partial_add(&p->set, p->out.children[i]->name, mine);
  }
  free(need);
  if (!ok || !mr_schema_copy(&p->set.schema, &copy)) {
    mr_schema_release(&copy);
    return false;
  }
  mr_schema_release(p->out.children[p->set.at]);
  mr_schema_move(&copy, p->out.children[p->set.at]);
  return true;
}

static int make_out(struct enrich_plan *p, const struct enrich_conf *conf, struct mr_error *err)
{
  if (!mr_schema_copy(&p->in, &p->out))
    return src_no_memory(err);
  for (size_t i = 0; i < conf->add.n; i++) {
    int rc = add_column(p, conf->add.key[i], item(&conf->add, i), i, err);
    if (rc < 0)
      return rc;
  }
  return p->set.at < 0 || make_set(p, conf) ? MR_OK : src_no_memory(err);
}

int enrich_plan_init(struct enrich_plan *ret, const struct mr_host *host,
                     const struct enrich_conf *conf, const struct ArrowSchema *in,
                     struct mr_error *err)
{
  struct enrich_plan p = {.host = host};
  p.key = calloc(conf->on.n + 1, sizeof *p.key);
  p.from = calloc(conf->add.n + 1, sizeof *p.from);
  bool ok = p.key && p.from && mr_schema_copy(in, &p.in) && partial_init(&p.set, in);
  int rc = ok ? MR_OK : src_no_memory(err);
  if (rc >= 0)
    rc = find_keys(&p, conf, err);
  if (rc >= 0)
    rc = ask(&p, conf, err);
  if (rc == MR_OK)
    rc = make_out(&p, conf, err);
  if (rc < 0)
    enrich_plan_done(&p);
  else
    *ret = p;
  return rc;
}

void enrich_plan_done(struct enrich_plan *p)
{
  if (p->lookup)
    p->host->lookup_free(p->lookup);
  mr_schema_release(&p->in);
  mr_schema_release(&p->row);
  mr_schema_release(&p->out);
  partial_done(&p->set);
  free(p->key);
  free(p->from);
  memset(p, 0, sizeof *p);
}
