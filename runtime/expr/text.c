/* SPDX-License-Identifier: Apache-2.0 */
/* Text functions that look at one text or join some. Positions and lengths count characters. */
#include "expr/scalar.h"
#include "expr/utf8.h"
#include <wctype.h>

#define KERNEL(name)                                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)
#define FOR_LIVE                     \
  for (int64_t i = 0; i < r->n; i++) \
    if (r->live[i])

static struct mr_xtype text_type(void)
{
  return mr_xtype_of_kind(MR_K_TEXT);
}

/* ---- joining */

/* Room for the live row's total, then each part; parts that are null are passed over. */
static void join_row(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg,
                     struct mr_vec *out, int64_t i, struct mr_span between)
{
  int first = strcmp(n->name, "concat_ws") ? 0 : 1;
  int64_t size = 0, at = 0;
  for (int k = first; k < n->n_arg; k++)
    if (arg[k]->valid[i])
      size += MR_VS(arg[k])[i].n + between.n;
  char *p = mr_run_text(r, n, out, i, size);
  if (!p)
    return;
  bool some = false;
  for (int k = first; k < n->n_arg; k++) {
    if (!arg[k]->valid[i])
      continue;
    struct mr_span s = MR_VS(arg[k])[i];
    if (some && between.n)
      memcpy(p + at, between.p, (size_t)between.n);
    at += some ? between.n : 0;
    if (s.n)
      memcpy(p + at, s.p, (size_t)s.n);
    at += s.n;
    some = true;
  }
  MR_VS(out)[i] = (struct mr_span){p, at};
}

KERNEL(run_concat)
{
  FOR_LIVE join_row(r, n, arg, out, i, (struct mr_span){"", 0});
}

KERNEL(run_concat_ws)
{
  for (int64_t i = 0; i < r->n; i++) {
    out->valid[i] = arg[0]->valid[i];
    if (r->live[i] && out->valid[i])
      join_row(r, n, arg, out, i, MR_VS(arg[0])[i]);
  }
}

/* Every value that a cast to text takes. */
static int want_any_text(struct mr_check *c, struct mr_node *n, int i)
{
  return n->arg[i]->type.kind == MR_K_TEXT ? MR_OK : mr_coerce_arg(c, n, i, text_type());
}

static int check_concat(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  for (int i = 0; st >= 0 && i < n->n_arg; i++)
    st = want_any_text(c, n, i);
  n->type = text_type();
  n->null_ok = true;
  n->run = strcmp(n->name, "concat_ws") ? run_concat : run_concat_ws;
  return st;
}

static int check_join(struct mr_check *c, struct mr_node *n)
{
  char a[128], b[128];
  int st = mr_check_args(c, n);
  if (st < 0)
    return st;
  const struct mr_xtype *x = &n->arg[0]->type, *y = &n->arg[1]->type;
  bool nulls = x->kind == MR_K_NULL || y->kind == MR_K_NULL;
  if (x->kind != MR_K_TEXT && y->kind != MR_K_TEXT && !nulls)
    return mr_check_fail(c, n, "no operator || for %s and %s", mr_xtype_name(x, a, sizeof a),
                         mr_xtype_name(y, b, sizeof b));
  st = want_any_text(c, n, 0);
  n->type = text_type();
  n->run = run_concat;
  return st < 0 ? st : want_any_text(c, n, 1);
}

/* ---- lengths and places */

KERNEL(run_length)
{
  FOR_LIVE MR_VI(out)[i] = mr_utf8_count(MR_VS(arg[0])[i].p, MR_VS(arg[0])[i].n);
}

KERNEL(run_octets)
{
  FOR_LIVE MR_VI(out)[i] = MR_VS(arg[0])[i].n;
}

static const char *find(struct mr_span s, struct mr_span part)
{
  if (!part.n)
    return s.p;
  return s.n ? memmem(s.p, (size_t)s.n, part.p, (size_t)part.n) : NULL;
}

KERNEL(run_strpos)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    const char *at = find(s, MR_VS(arg[1])[i]);
    MR_VI(out)[i] = at ? mr_utf8_count(s.p, at - s.p) + 1 : 0;
  }
}

KERNEL(run_starts)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i], p = MR_VS(arg[1])[i];
    MR_VB(out)[i] = p.n <= s.n && (!p.n || !memcmp(s.p, p.p, (size_t)p.n));
  }
}

KERNEL(run_ends)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i], p = MR_VS(arg[1])[i];
    MR_VB(out)[i] = p.n <= s.n && (!p.n || !memcmp(s.p + s.n - p.n, p.p, (size_t)p.n));
  }
}

/* ---- pieces: spans of the argument, nothing is copied */

/* Characters [from, to) of s, from 0. */
static struct mr_span slice(struct mr_span s, int64_t from, int64_t to)
{
  int64_t skip = mr_utf8_prefix(s.p, s.n, from);
  return (struct mr_span){s.p + skip, mr_utf8_prefix(s.p + skip, s.n - skip, to - from)};
}

/* SUBSTRING(s FROM a FOR b): characters a to a + b - 1, what lies before the first does not count.
 */
KERNEL(run_substring)
{
  FOR_LIVE
  {
    int64_t from = MR_VI(arg[1])[i], to = INT64_MAX;
    if (n->n_arg == 3) {
      int64_t count = MR_VI(arg[2])[i];
      if (count < 0) {
        mr_run_bad(r, n, out, i, MR_E_LENGTH, "a negative substring length");
        continue;
      }
      if (__builtin_add_overflow(from, count, &to))
        to = INT64_MAX;
    }
    if (from < 1)
      from = 1;
    MR_VS(out)[i] = slice(MR_VS(arg[0])[i], from - 1, to > from ? to - 1 : from - 1);
  }
}

/* n characters; a negative n: all but that many of the other side. */
static int64_t wanted(struct mr_span s, int64_t n)
{
  if (n >= 0)
    return n;
  int64_t all = mr_utf8_count(s.p, s.n);
  return n < -all ? 0 : all + n;
}

KERNEL(run_left)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    MR_VS(out)[i] = slice(s, 0, wanted(s, MR_VI(arg[1])[i]));
  }
}

KERNEL(run_right)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    int64_t all = mr_utf8_count(s.p, s.n), k = wanted(s, MR_VI(arg[1])[i]);
    MR_VS(out)[i] = slice(s, k < all ? all - k : 0, all);
  }
}

static bool in_set(struct mr_span set, const char *c, int64_t bytes)
{
  for (int64_t i = 0, step; i < set.n; i += step) {
    step = mr_utf8_prefix(set.p + i, set.n - i, 1);
    if (step == bytes && !memcmp(set.p + i, c, (size_t)bytes))
      return true;
  }
  return false;
}

static struct mr_span trim_left(struct mr_span s, struct mr_span set)
{
  while (s.n) {
    int64_t step = mr_utf8_prefix(s.p, s.n, 1);
    if (!in_set(set, s.p, step))
      break;
    s.p += step;
    s.n -= step;
  }
  return s;
}

static struct mr_span trim_right(struct mr_span s, struct mr_span set)
{
  while (s.n) {
    int64_t at = s.n - 1;
    while (at > 0 && !mr_utf8_starts(s.p[at]))
      at--;
    if (!in_set(set, s.p + at, s.n - at))
      break;
    s.n = at;
  }
  return s;
}

KERNEL(run_trim)
{
  bool left = n->name[0] != 'r', right = n->name[0] != 'l';
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    struct mr_span set = n->n_arg == 2 ? MR_VS(arg[1])[i] : (struct mr_span){" ", 1};
    if (left)
      s = trim_left(s, set);
    MR_VS(out)[i] = right ? trim_right(s, set) : s;
  }
}

/* Part k of s between occurrences of by, from 1. */
static struct mr_span part_of(struct mr_span s, struct mr_span by, int64_t k)
{
  while (true) {
    const char *at = by.n ? find(s, by) : NULL;
    struct mr_span part = {s.p, at ? at - s.p : s.n};
    if (k == 1)
      return part;
    if (!at)
      return (struct mr_span){s.p, 0};
    s.n -= at + by.n - s.p;
    s.p = at + by.n;
    k--;
  }
}

static int64_t count_parts(struct mr_span s, struct mr_span by)
{
  int64_t parts = 1;
  for (const char *at; by.n && (at = find(s, by)); parts++) {
    s.n -= at + by.n - s.p;
    s.p = at + by.n;
  }
  return parts;
}

KERNEL(run_split_part)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i], by = MR_VS(arg[1])[i];
    int64_t k = MR_VI(arg[2])[i];
    if (!k) {
      mr_run_bad(r, n, out, i, MR_E_ARGUMENT, "parts are counted from 1");
      continue;
    }
    if (k < 0) {
      int64_t parts = count_parts(s, by);
      k = k < -parts ? INT64_MAX : parts + k + 1;
    }
    MR_VS(out)[i] = part_of(s, by, k);
  }
}

/* ---- new texts */

KERNEL(run_replace)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i], what = MR_VS(arg[1])[i], by = MR_VS(arg[2])[i];
    int64_t hits = what.n ? count_parts(s, what) - 1 : 0;
    MR_VS(out)[i] = s;
    if (!hits)
      continue;
    char *p = mr_run_text(r, n, out, i, s.n + hits * (by.n - what.n));
    if (!p)
      continue;
    MR_VS(out)[i].p = p;
    for (const char *at; (at = find(s, what));) {
      memcpy(p, s.p, (size_t)(at - s.p));
      p += at - s.p;
      if (by.n)
        memcpy(p, by.p, (size_t)by.n);
      p += by.n;
      s.n -= at + what.n - s.p;
      s.p = at + what.n;
    }
    if (s.n)
      memcpy(p, s.p, (size_t)s.n);
    MR_VS(out)[i].n = p + s.n - MR_VS(out)[i].p;
  }
}

KERNEL(run_repeat)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    int64_t k = MR_VI(arg[1])[i], size;
    if (k < 0 || !s.n)
      k = 0;
    if (__builtin_mul_overflow(s.n, k, &size))
      size = INT64_MAX;
    char *p = mr_run_text(r, n, out, i, size);
    if (!p)
      continue;
    MR_VS(out)[i] = (struct mr_span){p, size};
    for (; k > 0; k--, p += s.n)
      memcpy(p, s.p, (size_t)s.n);
  }
}

KERNEL(run_reverse)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    char *p = mr_run_text(r, n, out, i, s.n);
    if (!p)
      continue;
    MR_VS(out)[i] = (struct mr_span){p, s.n};
    for (int64_t at = 0, step; at < s.n; at += step) {
      step = mr_utf8_prefix(s.p + at, s.n - at, 1);
      memcpy(p + s.n - at - step, s.p + at, (size_t)step);
    }
  }
}

/* Fills up with a repeated text to k characters, or cuts. */
static void pad_row(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                    struct mr_span s, int64_t k, struct mr_span by)
{
  int64_t have = mr_utf8_count(s.p, s.n), by_chars = mr_utf8_count(by.p, by.n);
  if (k < 0)
    k = 0;
  MR_VS(out)[i] = slice(s, 0, k);
  if (have >= k || !by_chars)
    return;
  int64_t whole = (k - have) / by_chars, rest = mr_utf8_prefix(by.p, by.n, (k - have) % by_chars);
  int64_t fill = whole > MR_MAX_VALUE ? MR_MAX_VALUE + 1 : whole * by.n + rest;
  char *p = mr_run_text(r, n, out, i, s.n + fill), *f;
  if (!p)
    return;
  bool left = n->name[0] == 'l';
  if (s.n)
    memcpy(left ? p + fill : p, s.p, (size_t)s.n);
  f = left ? p : p + s.n;
  for (; whole > 0; whole--, f += by.n)
    memcpy(f, by.p, (size_t)by.n);
  memcpy(f, by.p, (size_t)rest);
  MR_VS(out)[i] = (struct mr_span){p, s.n + fill};
}

KERNEL(run_pad)
{
  FOR_LIVE
  {
    struct mr_span by = n->n_arg == 3 ? MR_VS(arg[2])[i] : (struct mr_span){" ", 1};
    pad_row(r, n, out, i, MR_VS(arg[0])[i], MR_VI(arg[1])[i], by);
  }
}

/* ---- case: Unicode's simple mappings, whatever the process's locale */

int mr_text_locale(struct mr_check *c, const struct mr_node *n, locale_t *ret)
{
  *ret = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
  if (!*ret)
    return mr_check_fail(c, n, "%s needs the locale C.UTF-8 of the system", n->name);
  return mr_check_cleanup(c, (void (*)(void *))freelocale, *ret);
}

/* A character's other case may take one byte more than itself, never more. */
static int64_t change_case(struct mr_span s, locale_t l, bool upper, char *p)
{
  int64_t at = 0;
  for (int64_t i = 0; i < s.n;) {
    int bytes;
    uint32_t ch = mr_utf8_decode(s.p + i, &bytes);
    i += bytes;
    if (ch >= 0x80)
      ch = upper ? towupper_l(ch, l) : towlower_l(ch, l);
    else if (upper)
      ch -= ch >= 'a' && ch <= 'z' ? 32 : 0;
    else
      ch += ch >= 'A' && ch <= 'Z' ? 32 : 0;
    at += mr_utf8_encode(ch, p + at);
  }
  return at;
}

static bool is_ascii(struct mr_span s)
{
  uint8_t all = 0;
  for (int64_t i = 0; i < s.n; i++)
    all |= (uint8_t)s.p[i];
  return all < 0x80;
}

static int64_t change_ascii(struct mr_span s, bool upper, char *p)
{
  char first = upper ? 'a' : 'A';
  for (int64_t i = 0; i < s.n; i++)
    p[i] = (char)(s.p[i] ^ ((uint8_t)(s.p[i] - first) < 26 ? 32 : 0));
  return s.n;
}

KERNEL(run_case)
{
  locale_t l = (locale_t)n->data;
  bool upper = n->name[0] == 'u';
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    bool ascii = is_ascii(s);
    char *p = mr_run_text(r, n, out, i, ascii ? s.n : s.n + mr_utf8_count(s.p, s.n));
    if (!p)
      continue;
    int64_t size = ascii ? change_ascii(s, upper, p) : change_case(s, l, upper, p);
    MR_VS(out)[i] = (struct mr_span){p, size};
  }
}

static int check_case(struct mr_check *c, struct mr_node *n)
{
  locale_t l;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = mr_want_text(c, n, 0)) < 0 || (st = mr_text_locale(c, n, &l)) < 0)
    return st;
  n->type = text_type();
  n->data = l;
  n->run = run_case;
  return MR_OK;
}

int mr_text_lower_arg(struct mr_check *c, struct mr_node *n, int i)
{
  struct mr_node *l = mr_node_new(&c->e->arena, MR_N_CALL, n->line, n->col);
  if (!l || !(l->arg = mr_check_alloc(c, sizeof *l->arg)))
    return mr_check_memory(c);
  locale_t loc;
  l->name = "lower";
  l->n_arg = 1;
  l->arg[0] = n->arg[i];
  int st = mr_text_locale(c, l, &loc);
  if (st < 0)
    return st;
  l->type = text_type();
  l->data = loc;
  l->run = run_case;
  n->arg[i] = l;
  return mr_check_finish(c, l);
}

/* ---- the table: what each takes (t text, i integer) and gives */

static const struct {
  const char *name, *args; /* args beyond the call's count are optional */
  mr_kernel_fn *run;
  int kind;
} plain[] = {
    {"length", "t", run_length, MR_K_INT64},
    {"char_length", "t", run_length, MR_K_INT64},
    {"character_length", "t", run_length, MR_K_INT64},
    {"strpos", "tt", run_strpos, MR_K_INT64},
    {"starts_with", "tt", run_starts, MR_K_BOOL},
    {"ends_with", "tt", run_ends, MR_K_BOOL},
    {"substring", "tii", run_substring, MR_K_TEXT},
    {"left", "ti", run_left, MR_K_TEXT},
    {"right", "ti", run_right, MR_K_TEXT},
    {"btrim", "tt", run_trim, MR_K_TEXT},
    {"ltrim", "tt", run_trim, MR_K_TEXT},
    {"rtrim", "tt", run_trim, MR_K_TEXT},
    {"split_part", "tti", run_split_part, MR_K_TEXT},
    {"replace", "ttt", run_replace, MR_K_TEXT},
    {"repeat", "ti", run_repeat, MR_K_TEXT},
    {"reverse", "t", run_reverse, MR_K_TEXT},
    {"lpad", "tit", run_pad, MR_K_TEXT},
    {"rpad", "tit", run_pad, MR_K_TEXT},
};

static int check_plain(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  size_t k = 0;
  while (strcmp(plain[k].name, n->name))
    k++;
  for (int i = 0; st >= 0 && i < n->n_arg; i++)
    st = plain[k].args[i] == 't' ? mr_want_text(c, n, i) : mr_want_int(c, n, i);
  n->run = plain[k].run;
  n->type = mr_xtype_of_kind(plain[k].kind);
  return st;
}

static int check_octets(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  n->run = run_octets;
  n->type = mr_xtype_of_kind(MR_K_INT64);
  return st < 0 || n->arg[0]->type.kind == MR_K_BINARY ? st : mr_want_text(c, n, 0);
}

const struct mr_function mr_text_functions[] = {
    {"||", 2, 2, check_join, NULL},
    {"concat", 1, -1, check_concat, "CONCAT(a, b, ...)"},
    {"concat_ws", 2, -1, check_concat, "CONCAT_WS(separator, a, b, ...)"},
    {"length", 1, 1, check_plain, "LENGTH(text)"},
    {"char_length", 1, 1, check_plain, "CHAR_LENGTH(text)"},
    {"character_length", 1, 1, check_plain, "CHARACTER_LENGTH(text)"},
    {"octet_length", 1, 1, check_octets, "OCTET_LENGTH(text)"},
    {"lower", 1, 1, check_case, "LOWER(text)"},
    {"upper", 1, 1, check_case, "UPPER(text)"},
    {"btrim", 1, 2, check_plain, "TRIM([BOTH | LEADING | TRAILING] [characters FROM] text)"},
    {"ltrim", 1, 2, check_plain, "LTRIM(text [, characters])"},
    {"rtrim", 1, 2, check_plain, "RTRIM(text [, characters])"},
    {"substring", 2, 3, check_plain, "SUBSTRING(text, from [, count])"},
    {"left", 2, 2, check_plain, "LEFT(text, n)"},
    {"right", 2, 2, check_plain, "RIGHT(text, n)"},
    {"replace", 3, 3, check_plain, "REPLACE(text, what, by)"},
    {"strpos", 2, 2, check_plain, "STRPOS(text, part)"},
    {"split_part", 3, 3, check_plain, "SPLIT_PART(text, delimiter, n)"},
    {"lpad", 2, 3, check_plain, "LPAD(text, length [, fill])"},
    {"rpad", 2, 3, check_plain, "RPAD(text, length [, fill])"},
    {"repeat", 2, 2, check_plain, "REPEAT(text, n)"},
    {"reverse", 1, 1, check_plain, "REVERSE(text)"},
    {"starts_with", 2, 2, check_plain, "STARTS_WITH(text, prefix)"},
    {"ends_with", 2, 2, check_plain, "ENDS_WITH(text, suffix)"},
    {NULL}};
