/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"
#include <stdio.h>
#include <stdlib.h>
#include "millrace/changes.h"

struct planner {
  const struct mask_conf *conf;
  bool *used; /* for each rule: it fitted something */
  struct mr_error *err;
};

static int no_memory(struct mr_error *err)
{
  snprintf(err->msg, sizeof err->msg, "out of memory");
  return MR_FATAL;
}

/* ---- decisions */

static bool is_one_of(const char *name, const char *const *list)
{
  for (; *list; list++)
    if (!strcmp(name, *list))
      return true;
  return false;
}

/* System columns: the ones with numbers and times pass; key and headers are copies of unmasked
 * data; the original message is for the dead letters alone and is labelled, so that no expression
 * can carry it into a sink unseen. */
static bool decide_system(struct mask_node *n, const char *name)
{
  static const char *const safe[] = {"_op",        "_topic",   "_partition", "_offset",
                                     "_timestamp", "_ttl",     "_set",       "_range",
                                     "_position",  "_element", "_expires",   NULL};
  static const char *const copies[] = {"_key", "_headers", NULL};
  n->why = MASK_BY_SYSTEM;
  if (!strcmp(name, "_original"))
    n->class = MASK_PHI;
  else if (is_one_of(name, copies))
    n->method.kind = MASK_DROP;
  else if (!is_one_of(name, safe))
    return n->why = MASK_BY_NOTHING, false;
  if (!n->method.kind)
    n->method.kind = MASK_KEEP;
  return true;
}

/* The class by label ("pii", "phi,pii"): other labels are somebody else's. */
static enum mask_class label_class(const struct ArrowSchema *s)
{
  size_t len = 0;
  enum mask_class best = MASK_CLEAR;
  const char *v = mr_schema_meta(s, MR_META_CLASS, &len);
  for (size_t i = 0; v && i + 3 <= len; i++) {
    bool word = (!i || v[i - 1] == ',' || v[i - 1] == ' ') &&
                (i + 3 == len || v[i + 3] == ',' || v[i + 3] == ' ');
    if (word && !memcmp(v + i, "phi", 3))
      best = MASK_PHI;
    if (word && !memcmp(v + i, "pii", 3) && best < MASK_PII)
      best = MASK_PII;
  }
  return best;
}

static void decide_class(struct mask_node *n, const struct ArrowSchema *s)
{
  enum mask_class by_label = label_class(s), by_name = mask_classify(s->name, strlen(s->name));
  n->class = by_label > by_name ? by_label : by_name;
  n->why = !n->class ? MASK_BY_NOTHING : by_label >= by_name ? MASK_BY_LABEL : MASK_BY_NAME;
  n->method.kind = n->class == MASK_PHI   ? MASK_TOKENIZE
                   : n->class == MASK_PII ? MASK_HASH
                                          : MASK_NONE;
}

static int decide_rule(struct planner *p, struct mask_node *n, const char *rule, size_t index)
{
  int rc = mask_method_parse(rule, &n->method, p->err);
  if (rc < 0)
    snprintf(p->err->option, sizeof p->err->option, "rules.%s", p->conf->rules.key[index]);
  n->why = MASK_BY_RULE;
  return rc;
}

static int decide(struct planner *p, struct mask_node *n, const struct ArrowSchema *s, bool top)
{
  size_t index = 0;
  const char *rule = mask_rule_find(&p->conf->rules, n->path, &index);
  if (!rule && top && mr_schema_is_system(s) && decide_system(n, s->name))
    return MR_OK;
  if (p->conf->classify == MASK_AUTO)
    decide_class(n, s); /* with a rule: for the label of what is kept */
  return rule ? decide_rule(p, n, rule, index) : MR_OK;
}

/* ---- may the method be used on the type? */

static bool is_whole(enum mask_kind k)
{
  return k == MASK_REDACT || k == MASK_NULL || k == MASK_DROP;
}
/* Methods that leave no values are used on a list as a whole, the others on each of its elements.
 */
static bool goes_into_list(const struct mask_node *n, const struct ArrowSchema *s)
{
  return mr_kind_of(s) == MR_K_LIST && n->method.kind > MASK_KEEP && !is_whole(n->method.kind);
}

static const char *unusable(const struct mask_node *n, const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  switch (n->method.kind) {
  case MASK_PARTIAL:
    if (k == MR_K_STRUCT || k == MR_K_MAP || k == MR_K_BINARY || mr_schema_is_json(s))
      return "partial needs single values that have a text: not binary, json, struct or map";
    return NULL;
  case MASK_TRUNCATE:
    if (k == MR_K_DATE && n->method.unit == MASK_HOUR)
      return "a date has no hours";
    if (k != MR_K_DATE && k != MR_K_TIMESTAMP && k != MR_K_NULL)
      return "truncate needs a date or a timestamp";
    return NULL;
  case MASK_NONE:
    if (k == MR_K_MAP || mr_schema_is_json(s))
      return "its keys are data, so that nobody knows yet what is in it; write a rule for it: "
             "keep, hash, redact or null";
    return NULL;
  default: return NULL;
  }
}

static int check_type(struct planner *p, const struct mask_node *n, const struct ArrowSchema *s)
{
  const char *why = unusable(n, s);
  if (!why || (n->method.kind == MASK_NONE && p->conf->classify == MASK_OFF))
    return MR_OK;
  snprintf(p->err->option, sizeof p->err->option, "rules.%s", n->path);
  snprintf(p->err->msg, sizeof p->err->msg, "column `%.120s`: %s", n->path, why);
  return MR_BADCONF;
}

/* ---- nodes */

static char *join(const char *a, const char *b)
{
  size_t n = strlen(a) + strlen(b) + 2;
  char *s = malloc(n);
  if (s)
    snprintf(s, n, "%s%s%s", a, *a ? "." : "", b);
  return s;
}

static bool set_domain(struct mask_node *n)
{
  const char *tag = n->method.kind == MASK_HASH ? "h1" : "t1";
  const char *text = n->method.text ? n->method.text : n->path;
  size_t len = n->method.text ? n->method.text_len : strlen(n->path);
  n->domain = malloc(len + 4);
  if (!n->domain)
    return false;
  memcpy(n->domain, tag, 3);
  memcpy(n->domain + 3, text, len);
  n->domain[3 + len] = 0;
  n->domain_len = len + 4;
  return true;
}

static int plan_node(struct planner *p, struct mask_node *n, const struct ArrowSchema *s);

static int plan_child(struct planner *p, struct mask_node *n, struct mask_node *c,
                      const struct ArrowSchema *s)
{
  bool top = !n->path; /* the rows have no path */
  c->path = join(top ? "" : n->path, s->name);
  if (!c->path)
    return no_memory(p->err);
  int rc = decide(p, c, s, top);
  if (rc >= 0)
    rc = plan_node(p, c, s);
  n->touched |= c->touched;
  return rc;
}

/* The items of a list: its method, or a look at what is below. */
static int plan_items(struct planner *p, struct mask_node *n, const struct ArrowSchema *s)
{
  struct mask_node *c = n->child;
  c->path = join(n->path, "");
  if (!c->path)
    return no_memory(p->err);
  c->path[strlen(n->path)] = 0;
  c->method = n->method;
  c->class = n->class;
  c->why = n->why;
  enum mr_kind k = mr_kind_of(s->children[0]);
  if (n->method.kind == MASK_KEEP && (k == MR_K_STRUCT || k == MR_K_LIST))
    c->method.kind = MASK_NONE;
  int rc = plan_node(p, c, s->children[0]);
  n->touched |= c->touched;
  return rc;
}

static int plan_children(struct planner *p, struct mask_node *n, const struct ArrowSchema *s)
{
  n->child = calloc((size_t)(s->n_children ? s->n_children : 1), sizeof *n->child);
  if (!n->child)
    return no_memory(p->err);
  n->n = s->n_children;
  if (n->path && mr_kind_of(s) == MR_K_LIST)
    return plan_items(p, n, s);
  for (int64_t i = 0; i < n->n; i++) {
    int rc = plan_child(p, n, &n->child[i], s->children[i]);
    if (rc < 0)
      return rc;
  }
  return MR_OK;
}

static int plan_node(struct planner *p, struct mask_node *n, const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  if (goes_into_list(n, s))
    return plan_children(p, n, s);
  int rc = check_type(p, n, s);
  if (rc < 0)
    return rc;
  if (n->why == MASK_BY_SYSTEM && n->method.kind == MASK_KEEP)
    return MR_OK; /* _set has columns' names, and no values; of _range: check_ranges */
  if (n->method.kind <= MASK_KEEP)
    return k == MR_K_STRUCT || k == MR_K_LIST ? plan_children(p, n, s) : MR_OK;
  n->touched = true;
  bool keyed = n->method.kind == MASK_HASH || n->method.kind == MASK_TOKENIZE;
  return !keyed || set_domain(n) ? MR_OK : no_memory(p->err);
}

static void node_done(struct mask_node *n)
{
  for (int64_t i = 0; i < n->n; i++)
    node_done(&n->child[i]);
  free(n->child);
  free(n->path);
  free(n->domain);
}

/* ---- the output schema */

/* A column of another type: the name, nullability and metadata stay, but for the label and what
 * belonged to the type. */
static bool masked_schema(const struct mask_node *n, const struct ArrowSchema *s,
                          struct ArrowSchema *ret)
{
  bool same = n->method.kind == MASK_NULL || n->method.kind == MASK_TRUNCATE;
  if (same) {
    if (!mr_schema_copy(s, ret))
      return false;
  } else {
    struct ArrowSchema flat = *s;
    flat.format = "u";
    flat.n_children = 0;
    if (!mr_schema_copy(&flat, ret) || !mr_schema_set_meta(ret, MR_META_EXTENSION, NULL) ||
        !mr_schema_set_meta(ret, "ARROW:extension:metadata", NULL))
      return false;
  }
  if (n->method.kind == MASK_NULL || n->method.kind == MASK_TRUNCATE)
    ret->flags |= ARROW_FLAG_NULLABLE;
  return mr_schema_set_meta(ret, MR_META_CLASS, NULL) &&
         mr_schema_set_meta(ret, MR_META_MASKED, mask_kind_name(n->method.kind));
}

static bool node_schema(const struct mask_node *n, const struct ArrowSchema *s,
                        struct ArrowSchema *ret);

static bool children_schema(const struct mask_node *n, const struct ArrowSchema *s,
                            struct ArrowSchema *ret)
{
  struct ArrowSchema flat = *s, c;
  flat.n_children = 0;
  if (!mr_schema_copy(&flat, ret))
    return false;
  for (int64_t i = 0; i < n->n; i++) {
    if (n->child[i].method.kind == MASK_DROP)
      continue;
    if (node_schema(&n->child[i], s->children[i], &c) && mr_schema_add(ret, &c))
      continue;
    mr_schema_release(&c);
    return false;
  }
  return true;
}

static bool node_schema(const struct mask_node *n, const struct ArrowSchema *s,
                        struct ArrowSchema *ret)
{
  memset(ret, 0, sizeof *ret);
  if (n->touched && !n->n)
    return masked_schema(n, s, ret);
  if (!(n->n ? children_schema(n, s, ret) : mr_schema_copy(s, ret)))
    return false;
  if (n->method.kind > MASK_KEEP) /* a list whose items are masked */
    return mr_schema_set_meta(ret, MR_META_CLASS, NULL) &&
           mr_schema_set_meta(ret, MR_META_MASKED, mask_kind_name(n->method.kind));
  return !n->class || label_class(s) ||
         mr_schema_set_meta(ret, MR_META_CLASS, mask_class_name(n->class));
}

/* ---- */

static int check_used(const struct planner *p, const struct ArrowSchema *in)
{
  for (size_t i = 0; i < p->conf->rules.n; i++) {
    const char *key = p->conf->rules.key[i];
    if (p->used[i] || strchr(key, '*') || !strcmp(key, "_key") || !strcmp(key, "_headers") ||
        !strcmp(key, "_original"))
      continue;
    snprintf(p->err->option, sizeof p->err->option, "rules.%s", key);
    snprintf(p->err->msg, sizeof p->err->msg,
             "no column `%.100s` comes in here; a name with * may fit nothing", key);
    return MR_BADCONF;
  }
  return MR_OK;
}

static void mark_used(struct planner *p, const struct mask_node *n)
{
  size_t index;
  if (n->path && mask_rule_find(&p->conf->rules, n->path, &index))
    p->used[index] = true;
  for (int64_t i = 0; i < n->n; i++)
    mark_used(p, &n->child[i]);
}

/* Bounds are values of key columns: hidden, they would mean other rows. */
static int check_ranges(struct planner *p, const struct mask_plan *plan,
                        const struct ArrowSchema *in)
{
  int64_t at = mr_schema_find(in, MR_RANGE);
  if (at < 0 || !mr_range_valid(in->children[at]))
    return MR_OK;
  for (int64_t i = 0; i < plan->root.n; i++) {
    const struct mask_node *n = &plan->root.child[i];
    if (!n->touched || mr_schema_find(in->children[at], in->children[i]->name) < 0)
      continue;
    snprintf(p->err->option, sizeof p->err->option, "rules.%s", n->path);
    snprintf(p->err->msg, sizeof p->err->msg,
             "column `%.120s` bounds deletes of many rows (`_range`): masked, they would mean "
             "other rows, and the bounds show what it hides; give it the rule keep, or drop "
             "`_range` before: select: {drop: _range}",
             n->path);
    return MR_BADCONF;
  }
  return MR_OK;
}

static int make_schemas(struct mask_plan *plan, const struct ArrowSchema *in, struct mr_error *err)
{
  plan->root.touched = true;
  if (mr_schema_copy(in, &plan->in) && children_schema(&plan->root, in, &plan->out))
    return MR_OK;
  return no_memory(err);
}

int mask_plan_init(struct mask_plan *ret, const struct mask_conf *conf,
                   const struct ArrowSchema *in, bool first, struct mr_error *err)
{
  struct mask_plan plan = {0};
  struct planner p = {conf, calloc(conf->rules.n + 1, sizeof(bool)), err};
  int rc = p.used ? plan_children(&p, &plan.root, in) : no_memory(err);
  if (rc >= 0 && first) {
    mark_used(&p, &plan.root);
    rc = check_used(&p, in);
  }
  if (rc >= 0)
    rc = check_ranges(&p, &plan, in);
  if (rc >= 0)
    rc = make_schemas(&plan, in, err);
  free(p.used);
  if (rc < 0)
    mask_plan_done(&plan);
  else
    *ret = plan;
  return rc;
}

void mask_plan_done(struct mask_plan *plan)
{
  node_done(&plan->root);
  mr_schema_release(&plan->in);
  mr_schema_release(&plan->out);
  memset(plan, 0, sizeof *plan);
}

/* ---- explain */

static void describe_method(const struct mask_method *m, char *buf, size_t size)
{
  static const char *const units[] = {"year", "month", "day", "hour"};
  const char *name = mask_kind_name(m->kind);
  int len = (int)(m->text_len < 100 ? m->text_len : 100);
  if (m->kind == MASK_PARTIAL && m->first)
    snprintf(buf, size, "partial(%d,%d)", m->first, m->last);
  else if (m->kind == MASK_PARTIAL)
    snprintf(buf, size, "partial(%d)", m->last);
  else if (m->kind == MASK_TRUNCATE)
    snprintf(buf, size, "truncate(%s)", units[m->unit]);
  else if (m->text)
    snprintf(buf, size, "%s(%.*s)", name, len, m->text);
  else
    snprintf(buf, size, "%s", m->kind == MASK_NONE ? "keep" : name);
}

static const char *reason(const struct mask_node *n)
{
  static const char *const by[] = {"", "by rule", "by name", "by label", "system column"};
  if (n->method.kind == MASK_DROP)
    return "system column with unmasked data; a rule can keep it";
  if (n->why == MASK_BY_SYSTEM && n->class)
    return "system column, for dead letters only";
  return n->why == MASK_BY_NOTHING ? "nothing known about it" : by[n->why];
}

static int explain_node(const struct mask_node *n, mr_put_fn *put, void *out)
{
  char method[128], line[512];
  describe_method(&n->method, method, sizeof method);
  bool class = n->class && n->why != MASK_BY_SYSTEM;
  int len = snprintf(line, sizeof line, "%.200s: %s (%s%s%s)\n", n->path, method,
                     class ? mask_class_name(n->class) : "", class ? ", " : "", reason(n));
  int rc = put(out, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
  return rc;
}

static int explain_children(const struct mask_node *n, mr_put_fn *put, void *out)
{
  int rc = MR_OK;
  for (int64_t i = 0; rc >= 0 && i < n->n; i++) {
    const struct mask_node *c = &n->child[i];
    bool items = n->path && !strcmp(c->path, n->path);
    if (!items)
      rc = explain_node(c, put, out);
    if (rc >= 0)
      rc = explain_children(c, put, out);
  }
  return rc;
}

int mask_plan_explain(const struct mask_plan *plan, mr_put_fn *put, void *out)
{
  return explain_children(&plan->root, put, out);
}
