/* SPDX-License-Identifier: Apache-2.0 */
/* LIKE, ILIKE and POSIX extended regular expressions. */
#include "expr/utf8.h"
#include <regex.h>
#include <stdio.h>

#define KERNEL(name)                                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)

/* ---- LIKE */

enum shape { ANY_PATTERN, EQUAL, PREFIX, SUFFIX, CONTAINS };
struct like { /* of a constant pattern */
  enum shape shape;
  struct mr_span part; /* the pattern without its wildcards, unescaped */
  char escape;         /* 0: none */
};

/* One character of the pattern at p (which may be escaped) against one of the text. */
static bool same_char(const char *p, const char *s, int64_t bytes)
{
  return !memcmp(p, s, (size_t)bytes);
}

/* Walks both; after a % it remembers where to take up again when the rest does not fit. */
static bool like_match(struct mr_span s, struct mr_span p, char escape)
{
  int64_t i = 0, j = 0, star = -1, from = 0;
  while (i < s.n) {
    int64_t step = mr_utf8_prefix(s.p + i, s.n - i, 1);
    if (j < p.n && p.p[j] == '%') {
      star = ++j;
      from = i;
      continue;
    }
    bool escaped = j < p.n && escape && p.p[j] == escape && j + 1 < p.n;
    int64_t at = j + escaped, size = at < p.n ? mr_utf8_prefix(p.p + at, p.n - at, 1) : 0;
    if (size &&
        ((!escaped && p.p[at] == '_') || (size == step && same_char(p.p + at, s.p + i, step)))) {
      i += step;
      j = at + size;
    } else if (star >= 0) {
      from += mr_utf8_prefix(s.p + from, s.n - from, 1);
      i = from;
      j = star;
    } else {
      return false;
    }
  }
  while (j < p.n && p.p[j] == '%')
    j++;
  return j == p.n;
}

static bool ends_with_escape(struct mr_span p, char escape)
{
  for (int64_t j = 0; escape && j < p.n; j++)
    if (p.p[j] == escape && ++j == p.n)
      return true;
  return false;
}

static bool equal(struct mr_span a, const char *b, int64_t n)
{
  return a.n <= n && (!a.n || !memcmp(a.p, b, (size_t)a.n));
}

static bool shape_match(const struct like *k, struct mr_span s)
{
  struct mr_span p = k->part;
  switch (k->shape) {
  case EQUAL: return s.n == p.n && equal(p, s.p, s.n);
  case PREFIX: return equal(p, s.p, s.n);
  case SUFFIX: return s.n >= p.n && equal(p, s.p + s.n - p.n, p.n);
  default: return !p.n || (s.n && memmem(s.p, (size_t)s.n, p.p, (size_t)p.n));
  }
}

KERNEL(run_like)
{
  const struct like *k = n->data;
  for (int64_t i = 0; i < r->n; i++) {
    if (!r->live[i])
      continue;
    if (k->shape != ANY_PATTERN) {
      MR_VB(out)[i] = shape_match(k, MR_VS(arg[0])[i]);
      continue;
    }
    if (ends_with_escape(MR_VS(arg[1])[i], k->escape))
      mr_run_bad(r, n, out, i, "22025", "the pattern ends with the escape character");
    else
      MR_VB(out)[i] = like_match(MR_VS(arg[0])[i], MR_VS(arg[1])[i], k->escape);
  }
}

/* Sets shape and part when wildcards stand at the ends only. */
static int find_shape(struct mr_check *c, struct like *k, struct mr_span p)
{
  bool front = p.n && p.p[0] == '%', back = false;
  char *d = mr_check_alloc(c, p.n + 1);
  int64_t at = 0;
  if (!d)
    return mr_check_memory(c);
  for (int64_t j = front; j < p.n; j++) {
    if (k->escape && p.p[j] == k->escape)
      j++;
    else if (p.p[j] == '_' || (p.p[j] == '%' && j + 1 < p.n))
      return MR_OK;
    else if (p.p[j] == '%') {
      back = true;
      break;
    }
    d[at++] = p.p[j];
  }
  k->part = (struct mr_span){d, at};
  k->shape = front ? back || p.n == 1 ? CONTAINS : SUFFIX : back ? PREFIX : EQUAL;
  return MR_OK;
}

static int set_escape(struct mr_check *c, struct mr_node *n, struct like *k)
{
  const char *e;
  k->escape = '\\';
  if (n->n_arg == 2)
    return MR_OK;
  int st = mr_want_const_text(c, n, 2, &e);
  if (st < 0)
    return st;
  if (strlen(e) > 1 || (unsigned char)*e >= 0x80)
    return mr_check_fail(c, n->arg[2], "ESCAPE takes one ASCII character or ''");
  k->escape = *e;
  n->n_arg = 2;
  return MR_OK;
}

static int check_like(struct mr_check *c, struct mr_node *n)
{
  struct like *k = mr_check_alloc(c, sizeof *k);
  int st = mr_check_args(c, n);
  if (!k)
    return mr_check_memory(c);
  for (int i = 0; st >= 0 && i < 2; i++) {
    st = mr_want_text(c, n, i);
    if (st >= 0 && n->name[0] == 'i')
      st = mr_text_lower_arg(c, n, i);
  }
  if (st < 0 || (st = set_escape(c, n, k)) < 0)
    return st;
  n->type = mr_xtype_of_kind(MR_K_BOOL);
  n->data = k;
  n->run = run_like;
  const struct mr_node *p = n->arg[1];
  if (p->kind != MR_N_CONST || p->null)
    return MR_OK;
  if (ends_with_escape(p->value.s, k->escape))
    return mr_check_fail(c, p, "the pattern ends with the escape character");
  return find_shape(c, k, p->value.s);
}

/* ---- regular expressions */

#define MAX_GROUPS 10

struct regex {
  regex_t re;
  locale_t locale;
  bool all, negate;
};

static void regex_free(void *p)
{
  regfree(&((struct regex *)p)->re);
  free(p);
}

/* \d and \D, which POSIX does not know, become classes (outside of brackets). */
static char *translate(struct mr_check *c, const char *p)
{
  char *d = mr_check_alloc(c, (int64_t)strlen(p) * 5 + 1), *at = d;
  bool bracket = false;
  for (; d && *p; p++) {
    if (!bracket && p[0] == '\\' && (p[1] == 'd' || p[1] == 'D')) {
      at = stpcpy(at, p[1] == 'd' ? "[0-9]" : "[^0-9]");
      p++;
      continue;
    }
    if (!bracket && p[0] == '\\' && p[1])
      *at++ = *p++;
    else if (!bracket && *p == '[')
      bracket = true;
    else if (bracket && *p == ']' && p[-1] != '[' && !(p[-1] == '^' && p[-2] == '['))
      bracket = false;
    *at++ = *p;
  }
  return d;
}

static int compile(struct mr_check *c, const struct mr_node *at, const char *pattern, int flags,
                   struct regex *x)
{
  char message[128];
  locale_t old = uselocale(x->locale);
  int rc = regcomp(&x->re, pattern, REG_EXTENDED | flags);
  if (rc)
    regerror(rc, &x->re, message, sizeof message);
  uselocale(old);
  return rc ? mr_check_fail(c, at, "not a regular expression: %s", message) : MR_OK;
}

static int regex_new(struct mr_check *c, struct mr_node *n, const char *flags, struct regex **ret)
{
  const char *pattern;
  int st = mr_want_const_text(c, n, 1, &pattern);
  if (st < 0)
    return st;
  if (strspn(flags, "gi") != strlen(flags))
    return mr_check_fail(c, n, "unknown flags '%.20s': i ignores case, g replaces all", flags);
  if (!(pattern = translate(c, pattern)))
    return mr_check_memory(c);
  struct regex *x = calloc(1, sizeof *x);
  if (!x)
    return mr_check_memory(c);
  x->all = strchr(flags, 'g') != NULL;
  st = mr_text_locale(c, n, &x->locale);
  if (st >= 0)
    st = compile(c, n->arg[1], pattern, strchr(flags, 'i') ? REG_ICASE : 0, x);
  if (st < 0) {
    free(x);
    return st;
  }
  *ret = x;
  return mr_check_cleanup(c, regex_free, x);
}

/* A copy with a NUL behind it: regexec is told the length, but not all that wraps it (sanitizers)
 * know. */
static bool terminated(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                       struct mr_span *s)
{
  char *p = mr_run_text(r, n, out, i, s->n + 1);
  if (!p)
    return false;
  if (s->n)
    memcpy(p, s->p, (size_t)s->n);
  p[s->n] = 0;
  s->p = p;
  return true;
}

/* Matches from byte `from` of s. */
static bool search(struct mr_run *r, const struct regex *x, struct mr_span s, int64_t from,
                   regmatch_t *m, size_t n)
{
  m[0].rm_so = (regoff_t)from;
  m[0].rm_eo = (regoff_t)s.n;
  int rc = regexec(&x->re, s.p, n, m, REG_STARTEND | (from ? REG_NOTBOL : 0));
  r->no_memory |= rc == REG_ESPACE;
  return !rc;
}

KERNEL(run_regexp_like)
{
  const struct regex *x = n->data;
  regmatch_t m[1];
  locale_t old = uselocale(x->locale);
  for (int64_t i = 0; i < r->n; i++) {
    struct mr_span s = MR_VS(arg[0])[i];
    if (!r->live[i] || !terminated(r, n, out, i, &s))
      continue;
    MR_VB(out)[i] = search(r, x, s, 0, m, 1) != x->negate;
  }
  uselocale(old);
}

KERNEL(run_regexp_substr)
{
  const struct regex *x = n->data;
  regmatch_t m[1];
  locale_t old = uselocale(x->locale);
  for (int64_t i = 0; i < r->n; i++) {
    struct mr_span s = MR_VS(arg[0])[i];
    if (!r->live[i] || !terminated(r, n, out, i, &s))
      continue;
    if (search(r, x, s, 0, m, 1))
      MR_VS(out)[i] = (struct mr_span){s.p + m[0].rm_so, m[0].rm_eo - m[0].rm_so};
    else
      out->valid[i] = 0;
  }
  uselocale(old);
}

/* Appends the replacement, \1 to \9 and \& filled in, to `to` (NULL: only counts). The bytes come
 * back. */
static int64_t expand(struct mr_span s, struct mr_span by, const regmatch_t *m, char *to)
{
  int64_t size = 0;
  for (int64_t j = 0; j < by.n; j++) {
    struct mr_span part = {by.p + j, 1};
    if (by.p[j] == '\\' && j + 1 < by.n) {
      char next = by.p[++j];
      int group = next == '&' ? 0 : next >= '1' && next <= '9' ? next - '0' : -1;
      if (group < 0)
        part.p = by.p + j;
      else if (m[group].rm_so < 0)
        part.n = 0;
      else
        part = (struct mr_span){s.p + m[group].rm_so, m[group].rm_eo - m[group].rm_so};
    }
    if (to && part.n)
      memcpy(to + size, part.p, (size_t)part.n);
    size += part.n;
  }
  return size;
}

static void copy(char *to, int64_t at, const char *from, int64_t n)
{
  if (to && n > 0)
    memcpy(to + at, from, (size_t)n);
}

/* Replaces into `to` (NULL: only counts). An empty match moves on by one character. */
static int64_t replace(struct mr_run *r, const struct regex *x, struct mr_span s, struct mr_span by,
                       char *to)
{
  regmatch_t m[MAX_GROUPS];
  int64_t at = 0, from = 0, done = 0;
  while (from <= s.n && search(r, x, s, from, m, MAX_GROUPS)) {
    copy(to, at, s.p + done, m[0].rm_so - done);
    at += m[0].rm_so - done;
    at += expand(s, by, m, to ? to + at : NULL);
    done = from = m[0].rm_eo;
    if (m[0].rm_eo == m[0].rm_so)
      from += from < s.n ? mr_utf8_prefix(s.p + from, s.n - from, 1) : 1;
    if (!x->all)
      break;
  }
  copy(to, at, s.p + done, s.n - done);
  return at + s.n - done;
}

KERNEL(run_regexp_replace)
{
  const struct regex *x = n->data;
  locale_t old = uselocale(x->locale);
  for (int64_t i = 0; i < r->n; i++) {
    struct mr_span s = MR_VS(arg[0])[i], by = MR_VS(arg[2])[i];
    if (!r->live[i] || !terminated(r, n, out, i, &s))
      continue;
    char *p = mr_run_text(r, n, out, i, replace(r, x, s, by, NULL));
    if (p)
      MR_VS(out)[i] = (struct mr_span){p, replace(r, x, s, by, p)};
  }
  uselocale(old);
}

static int flags_of(struct mr_check *c, struct mr_node *n, int i, const char **ret)
{
  *ret = "";
  return n->n_arg > i ? mr_want_const_text(c, n, i, ret) : MR_OK;
}

static int check_regexp(struct mr_check *c, struct mr_node *n, mr_kernel_fn *run, int args,
                        int kind)
{
  struct regex *x = NULL;
  const char *flags;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = mr_want_text(c, n, 0)) < 0)
    return st;
  if (args == 3 && (st = mr_want_text(c, n, 2)) < 0)
    return st;
  if ((st = flags_of(c, n, args, &flags)) < 0 || (st = regex_new(c, n, flags, &x)) < 0)
    return st;
  n->data = x;
  n->run = run;
  n->type = mr_xtype_of_kind(kind);
  return MR_OK;
}

static int check_regexp_like(struct mr_check *c, struct mr_node *n)
{
  return check_regexp(c, n, run_regexp_like, 2, MR_K_BOOL);
}

static int check_regexp_substr(struct mr_check *c, struct mr_node *n)
{
  return check_regexp(c, n, run_regexp_substr, 2, MR_K_TEXT);
}

static int check_regexp_replace(struct mr_check *c, struct mr_node *n)
{
  return check_regexp(c, n, run_regexp_replace, 3, MR_K_TEXT);
}

/* ~ ~* !~ !~* */
static int check_tilde(struct mr_check *c, struct mr_node *n)
{
  struct regex *x = NULL;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = mr_want_text(c, n, 0)) < 0)
    return st;
  if ((st = regex_new(c, n, strchr(n->name, '*') ? "i" : "", &x)) < 0)
    return st;
  x->negate = n->name[0] == '!';
  n->data = x;
  n->run = run_regexp_like;
  n->type = mr_xtype_of_kind(MR_K_BOOL);
  return MR_OK;
}

const struct mr_function mr_pattern_functions[] = {
    {"like", 2, 3, check_like, NULL},
    {"ilike", 2, 3, check_like, NULL},
    {"~", 2, 2, check_tilde, NULL},
    {"~*", 2, 2, check_tilde, NULL},
    {"!~", 2, 2, check_tilde, NULL},
    {"!~*", 2, 2, check_tilde, NULL},
    {"regexp_like", 2, 3, check_regexp_like, "REGEXP_LIKE(text, pattern [, flags])"},
    {"regexp_substr", 2, 3, check_regexp_substr, "REGEXP_SUBSTR(text, pattern [, flags])"},
    {"regexp_replace", 3, 4, check_regexp_replace, "REGEXP_REPLACE(text, pattern, by [, flags])"},
    {NULL}};
