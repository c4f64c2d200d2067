/* SPDX-License-Identifier: Apache-2.0 */
/* -> ->> JSON_VALUE JSON_QUERY JSON_ARRAY_LENGTH JSON_TYPEOF on JSON and text columns. */
#include "expr/json.h"
#include "expr/scalar.h"

#define KERNEL(name)                                                                     \
  static void name(struct mr_run *r, const struct mr_node *n, struct mr_vec *const *arg, \
                   struct mr_vec *out)
#define FOR_LIVE                     \
  for (int64_t i = 0; i < r->n; i++) \
    if (r->live[i])

static void bad_json(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i)
{
  mr_run_bad(r, n, out, i, MR_E_JSON, "the text is no JSON");
}

static struct mr_xtype json_type(void)
{
  struct mr_xtype t = mr_xtype_of_kind(MR_K_TEXT);
  t.json = true;
  return t;
}

/* A value as SQL text: a string without quotes and escapes, null as NULL, others as they stand. */
static void put_text(struct mr_run *r, const struct mr_node *n, struct mr_vec *out, int64_t i,
                     struct mr_span v)
{
  MR_VS(out)[i] = v;
  if (v.p[0] == 'n')
    out->valid[i] = 0;
  if (v.p[0] != '"')
    return;
  MR_VS(out)[i] = (struct mr_span){v.p + 1, v.n - 2};
  if (!memchr(v.p, '\\', (size_t)v.n))
    return;
  char *to = mr_run_text(r, n, out, i, v.n);
  int64_t size = to ? mr_json_unescape(v, to) : 0;
  if (size < 0)
    mr_run_bad(r, n, out, i, "22P05", "the JSON string has an escape that is no character");
  else
    MR_VS(out)[i] = (struct mr_span){to ? to : "", size};
}

/* ---- -> and ->> */

KERNEL(run_arrow)
{
  bool text = n->name[2] == '>', by_key = n->arg[1]->type.kind == MR_K_TEXT;
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i], v = {"", 0};
    enum mr_json_found f =
        by_key ? mr_json_member(s, MR_VS(arg[1])[i], &v) : mr_json_element(s, MR_VI(arg[1])[i], &v);
    if (f == MR_JSON_BAD)
      bad_json(r, n, out, i);
    else if (f == MR_JSON_NONE)
      out->valid[i] = 0;
    else if (text)
      put_text(r, n, out, i, v);
    else
      MR_VS(out)[i] = v;
  }
}

static int check_arrow(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  if (st < 0 || (st = mr_want_text(c, n, 0)) < 0)
    return st;
  n->run = run_arrow;
  n->type = n->name[2] == '>' ? mr_xtype_of_kind(MR_K_TEXT) : json_type();
  return mr_xtype_is_int(&n->arg[1]->type) ? mr_want_int(c, n, 1) : mr_want_text(c, n, 1);
}

/* ---- paths: $.key."other key"[0] */

struct step {
  struct mr_span key; /* p NULL: an index */
  int64_t index;
};
struct path {
  struct step step[32];
  int n;
};

static bool in_key(char c)
{
  return c && !strchr(".[ \t\"*", c);
}

/* One step at p; where it ends, NULL: none. */
static const char *parse_step(const char *p, struct step *s)
{
  *s = (struct step){{NULL, 0}, 0};
  if (p[0] == '.' && p[1] == '"') {
    const char *end = strchr(p + 2, '"');
    s->key = (struct mr_span){p + 2, end ? end - p - 2 : 0};
    return end ? end + 1 : NULL;
  }
  if (*p == '.') {
    const char *end = ++p;
    while (in_key(*end))
      end++;
    s->key = (struct mr_span){p, end - p};
    return end > p ? end : NULL;
  }
  char *end;
  if (*p != '[' || !((p[1] >= '0' && p[1] <= '9') || p[1] == '-'))
    return NULL;
  s->index = strtoll(p + 1, &end, 10);
  return *end == ']' ? end + 1 : NULL;
}

static int parse_path(struct mr_check *c, struct mr_node *n, struct path **ret)
{
  const char *p;
  struct path *k = mr_check_alloc(c, sizeof *k);
  int st = mr_want_const_text(c, n, 1, &p);
  if (st < 0)
    return st;
  if (!k)
    return mr_check_memory(c);
  const char *text = p;
  if (*p++ != '$')
    return mr_check_fail(c, n->arg[1], "a path begins with $: '$.key', '$.list[0]'");
  while (*p) {
    if (k->n == (int)MR_COUNT(k->step))
      return mr_check_fail(c, n->arg[1], "a path of too many steps");
    if (!(p = parse_step(p, &k->step[k->n++])))
      return mr_check_fail(c, n->arg[1], "'%.60s' is no path: '$.key', '$.\"a key\"', '$.list[0]'",
                           text);
  }
  *ret = k;
  return MR_OK;
}

static enum mr_json_found follow(const struct path *k, struct mr_span s, struct mr_span *ret)
{
  if (!k->n && !mr_json_valid(s))
    return MR_JSON_BAD;
  for (int j = 0; j < k->n; j++) {
    const struct step *t = &k->step[j];
    enum mr_json_found f =
        t->key.p ? mr_json_member(s, t->key, &s) : mr_json_element(s, t->index, &s);
    if (f != MR_JSON_FOUND)
      return f;
  }
  *ret = mr_scan_trim(s);
  return MR_JSON_FOUND;
}

KERNEL(run_path)
{
  bool query = n->type.json;
  FOR_LIVE
  {
    struct mr_span v;
    enum mr_json_found f = follow(n->data, MR_VS(arg[0])[i], &v);
    if (f == MR_JSON_BAD)
      bad_json(r, n, out, i);
    else if (f == MR_JSON_NONE)
      out->valid[i] = 0;
    else if (query)
      MR_VS(out)[i] = v;
    else if (v.p[0] == '{' || v.p[0] == '[')
      out->valid[i] = 0;
    else
      put_text(r, n, out, i, v);
  }
}

static int check_path(struct mr_check *c, struct mr_node *n)
{
  struct path *k = NULL;
  int st = mr_check_args(c, n);
  if (st < 0 || (st = mr_want_text(c, n, 0)) < 0 || (st = parse_path(c, n, &k)) < 0)
    return st;
  n->data = k;
  n->run = run_path;
  n->type = strcmp(n->name, "json_query") ? mr_xtype_of_kind(MR_K_TEXT) : json_type();
  return MR_OK;
}

/* ---- about a value */

KERNEL(run_length)
{
  FOR_LIVE
  {
    int64_t v = mr_json_length(MR_VS(arg[0])[i]);
    if (v == -1)
      bad_json(r, n, out, i);
    else if (v == -2)
      out->valid[i] = 0;
    else
      MR_VI(out)[i] = v;
  }
}

static const char *type_name(char first)
{
  switch (first) {
  case '{': return "object";
  case '[': return "array";
  case '"': return "string";
  case 't':
  case 'f': return "boolean";
  case 'n': return "null";
  default: return "number";
  }
}

KERNEL(run_typeof)
{
  FOR_LIVE
  {
    struct mr_span s = MR_VS(arg[0])[i];
    const char *name = type_name(mr_json_first(s));
    if (!mr_json_valid(s))
      bad_json(r, n, out, i);
    else
      MR_VS(out)[i] = (struct mr_span){name, (int64_t)strlen(name)};
  }
}

static int check_about(struct mr_check *c, struct mr_node *n)
{
  int st = mr_check_args(c, n);
  bool length = n->name[5] == 'a';
  n->run = length ? run_length : run_typeof;
  n->type = mr_xtype_of_kind(length ? MR_K_INT64 : MR_K_TEXT);
  return st < 0 ? st : mr_want_text(c, n, 0);
}

const struct mr_function mr_json_functions[] = {
    {"->", 2, 2, check_arrow, NULL},
    {"->>", 2, 2, check_arrow, NULL},
    {"json_value", 2, 2, check_path, "JSON_VALUE(json, '$.path')"},
    {"json_query", 2, 2, check_path, "JSON_QUERY(json, '$.path')"},
    {"json_array_length", 1, 1, check_about, "JSON_ARRAY_LENGTH(json)"},
    {"json_typeof", 1, 1, check_about, "JSON_TYPEOF(json)"},
    {NULL}};
