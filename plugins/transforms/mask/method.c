/* SPDX-License-Identifier: Apache-2.0 */
#include "method.h"
#include <stdio.h>

static const char *const kind_names[] = {
    [MASK_NONE] = "none",         [MASK_KEEP] = "keep",         [MASK_HASH] = "hash",
    [MASK_TOKENIZE] = "tokenize", [MASK_REDACT] = "redact",     [MASK_PARTIAL] = "partial",
    [MASK_NULL] = "null",         [MASK_TRUNCATE] = "truncate", [MASK_DROP] = "dropped"};
static const char *const unit_names[] = {"year", "month", "day", "hour"};

const char *mask_kind_name(enum mask_kind k)
{
  return kind_names[k];
}

static int bad(struct mr_error *err, const char *text, const char *why)
{
  snprintf(err->msg, sizeof err->msg, "`%.80s`: %s", text, why);
  return MR_BADCONF;
}

/* A number of one or two digits at *p, which moves on; -1: none there. */
static int digits(const char **p, const char *end)
{
  int v = -1;
  for (int i = 0; i < 2 && *p < end && **p >= '0' && **p <= '9'; i++, ++*p)
    v = (v < 0 ? 0 : v) * 10 + (**p - '0');
  return v;
}
static void spaces(const char **p, const char *end)
{
  while (*p < end && **p == ' ')
    ++*p;
}

static bool read_partial(struct mask_method *m, const char *p, const char *end)
{
  spaces(&p, end);
  m->last = digits(&p, end);
  spaces(&p, end);
  if (p < end && *p == ',') {
    m->first = m->last;
    p++;
    spaces(&p, end);
    m->last = digits(&p, end);
    spaces(&p, end);
  }
  return p == end && m->last >= 0 && m->first >= 0 && m->first + m->last > 0 &&
         m->first <= MASK_PARTIAL_MAX && m->last <= MASK_PARTIAL_MAX;
}

static bool read_unit(struct mask_method *m, const char *p, size_t n)
{
  for (size_t i = 0; i < sizeof unit_names / sizeof *unit_names; i++)
    if (strlen(unit_names[i]) == n && !memcmp(unit_names[i], p, n)) {
      m->unit = (enum mask_unit)i;
      return true;
    }
  return false;
}

static enum mask_kind kind_of(const char *p, size_t n)
{
  for (int k = MASK_KEEP; k <= MASK_TRUNCATE; k++)
    if (strlen(kind_names[k]) == n && !memcmp(kind_names[k], p, n))
      return (enum mask_kind)k;
  return MASK_NONE;
}

/* args NULL: no parentheses. */
static const char *read_args(struct mask_method *m, const char *args, size_t n)
{
  switch (m->kind) {
  case MASK_HASH:
  case MASK_TOKENIZE:
  case MASK_REDACT:
    if (args && !n)
      return "the parentheses are empty";
    m->text = args;
    m->text_len = n;
    return NULL;
  case MASK_PARTIAL:
    return args && read_partial(m, args, args + n)
               ? NULL
               : "write partial(4), the last 4 characters stay, or partial(2,4), "
                 "the first 2 and the last 4 (up to 64 each)";
  case MASK_TRUNCATE:
    return args && read_unit(m, args, n)
               ? NULL
               : "write truncate(year), truncate(month), truncate(day) or truncate(hour)";
  default: return args ? "this method takes nothing in parentheses" : NULL;
  }
}

int mask_method_parse(const char *text, struct mask_method *ret, struct mr_error *err)
{
  struct mask_method m = {0};
  const char *open = strchr(text, '('), *args = NULL;
  size_t n = strlen(text), n_args = 0, name = open ? (size_t)(open - text) : n;
  if (open) {
    if (text[n - 1] != ')')
      return bad(err, text, "the closing parenthesis is missing");
    args = open + 1;
    n_args = (size_t)(text + n - 1 - args);
  }
  m.kind = kind_of(text, name);
  if (!m.kind)
    return bad(err, text,
               "no such method; there are hash, tokenize, redact, partial(n), partial(a,b), null, "
               "truncate(part), keep");
  const char *why = read_args(&m, args, n_args);
  if (why)
    return bad(err, text, why);
  *ret = m;
  return MR_OK;
}

/* `*` in pattern stands for any run of characters. */
static bool fits(const char *pattern, const char *text)
{
  const char *star = NULL, *mark = text;
  while (*text) {
    if (*pattern == '*') {
      star = pattern++;
      mark = text;
    } else if (*pattern == *text) {
      pattern++;
      text++;
    } else if (star) {
      pattern = star + 1;
      text = ++mark;
    } else {
      return false;
    }
  }
  while (*pattern == '*')
    pattern++;
  return !*pattern;
}

const char *mask_rule_find(const struct mr_list *rules, const char *path, size_t *ret_index)
{
  const char *const *item = rules->item;
  for (size_t i = 0; i < rules->n; i++)
    if (!strcmp(rules->key[i], path))
      return *ret_index = i, item[i];
  for (size_t i = 0; i < rules->n; i++) {
    const char *key = rules->key[i];
    if (strchr(key, '*') && (path[0] != '_' || key[0] == '_') && fits(key, path))
      return *ret_index = i, item[i];
  }
  return NULL;
}

int mask_rules_check(const struct mr_list *rules, struct mr_error *err)
{
  for (size_t i = 0; i < rules->n; i++) {
    struct mask_method m;
    int rc = mask_method_parse(((const char *const *)rules->item)[i], &m, err);
    if (rc < 0) {
      snprintf(err->option, sizeof err->option, "rules.%s", rules->key[i]);
      return rc;
    }
  }
  return MR_OK;
}
