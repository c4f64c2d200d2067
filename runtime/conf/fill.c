/* SPDX-License-Identifier: Apache-2.0 */
/* From YAML values to config structs: the one place where an option's text becomes a typed field.
 */
#include <math.h>
#include <string.h>
#include "conf/load.h"
#include "conf/scalar.h"
#include "conf/suggest.h"
#include "data/types.h"

struct fill {
  struct mr_load *load;
  size_t stride;
  const char *prefix;
  struct mr_ynode *map; /* NULL: defaults only */
  char *conf;
  GPtrArray *formats; /* option tables of formats that stand in this mapping (stride: sizeof(struct
                         mr_opt)) */
  bool open;          /* a format is unknown: keys that any format has may be its own */
};
/* What a format option becomes; the layout of struct mr_format, which is the format layer's. */
struct format_pair {
  const struct mr_format_desc *desc;
  const void *conf;
};

static void fill_table(struct fill *f, const struct mr_opt *table);
static void fill_value(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n,
                       const char *path, void *field);

/* The value in backticks, or "the value" where it must not be seen. Caller frees. */
static char *shown(const struct mr_opt *opt, const struct mr_ynode *n)
{
  bool hide = opt->flags & MR_SECRET || n->secret;
  return hide ? g_strdup("the value") : g_strdup_printf("`%s`", n->text);
}

static void refuse(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, const char *why)
{
  g_autofree char *value = shown(opt, n);
  mr_ynode_problem(f->load->problems, n, "%s %s", value, why);
}

static bool want_type(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n,
                      enum mr_ynode_type type)
{
  static const char *const names[] = {"", "one value", "a list", "a mapping"};
  if (n->broken)
    return false;
  if (n->type == type)
    return true;
  if (n->type == MR_NODE_SCALAR && n->bare)
    mr_ynode_key_problem(f->load->problems, n, "`%s` has no value: leave the line out%s", opt->name,
                         opt->type == MR_TEXT ? ", or write \"\" for an empty text" : "");
  else
    mr_ynode_problem(f->load->problems, n, "`%s` is %s, not %s", opt->name, names[type],
                     names[n->type]);
  return false;
}

static void set_absent(const struct mr_opt *opt, void *field)
{
  switch (opt->type) {
  case MR_BOOL: *(bool *)field = false; break;
  case MR_INT:
  case MR_BYTES:
  case MR_TIME_MS: *(int64_t *)field = INT64_MIN; break;
  case MR_REAL: *(double *)field = NAN; break;
  case MR_CHOICE: *(int32_t *)field = -1; break;
  case MR_GROUP: break;
  default: *(const void **)field = NULL; break;
  }
}

static bool in_range(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n,
                     struct mr_number v)
{
  struct mr_range range;
  if (!opt->range || !mr_range_parse(opt->type, opt->range, &range))
    return true;
  if (mr_range_holds(opt->type, &range, v))
    return true;
  bool text = opt->type == MR_TEXT;
  g_autofree char *why = g_strdup_printf(text ? "must have %s bytes" : "is not in %s", opt->range);
  refuse(f, opt, n, why);
  return false;
}

static void fill_number(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  struct mr_number v = {0};
  const char *why = mr_scalar_number(opt->type, n->text, &v);
  if (why)
    refuse(f, opt, n, why);
  else if (!in_range(f, opt, n, v))
    return;
  else if (opt->type == MR_REAL)
    *(double *)field = v.real;
  else
    *(int64_t *)field = v.whole;
}

static void fill_bool(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  const char *why = mr_scalar_bool(n->text, field);
  if (why)
    refuse(f, opt, n, why);
}

static void fill_text(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  if (opt->flags & MR_SECRET)
    mr_secret_add(f->load->own, n->text);
  else
    mr_secret_find(f->load->own, n->text);
  if (!in_range(f, opt, n, (struct mr_number){.whole = (int64_t)strlen(n->text)}))
    return;
  *(const char **)field = mr_own_dup(f->load->own, n->text);
}

static void fill_choice(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  guint count = g_strv_length((char **)opt->choices);
  for (guint i = 0; i < count; i++) {
    if (strcmp(opt->choices[i], n->text))
      continue;
    *(int32_t *)field = (int32_t)i;
    return;
  }
  g_autofree char *all = g_strjoinv(", ", (char **)opt->choices);
  g_autofree char *hint = mr_suggest_text(n->text, opt->choices, count);
  g_autofree char *why = g_strdup_printf("is none of %s%s", all, hint);
  refuse(f, opt, n, why);
}

static void fill_lookup(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  const GPtrArray *names = f->load->lookup_names;
  for (guint i = 0; i < names->len; i++) {
    if (strcmp(g_ptr_array_index(names, i), n->text))
      continue;
    *(const char **)field = mr_own_dup(f->load->own, n->text);
    return;
  }
  g_autofree char *hint = mr_suggest_text(n->text, (const char *const *)names->pdata, names->len);
  mr_ynode_problem(f->load->problems, n, "no lookup `%s`%s", n->text,
                   names->len ? hint : ": the file has no `lookups`");
}

static void add_column(struct fill *f, struct ArrowSchema *columns, struct mr_ynode *n)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema column;
  if (n->broken)
    return;
  if (n->key[0] == '_') {
    mr_ynode_key_problem(f->load->problems, n, "`%s`: names that begin with _ are system columns",
                         n->key);
  } else if (n->type != MR_NODE_SCALAR || n->bare) {
    mr_ynode_key_problem(f->load->problems, n,
                         "column `%s` needs a type, as `%s: utf8` or `list<int64>`", n->key,
                         n->key);
  } else if (mr_type_parse(n->text, n->key, &column, &err)) {
    mr_ynode_problem(f->load->problems, n, "%s", err.msg);
  } else if (!mr_schema_add(columns, &column)) {
    mr_schema_release(&column);
  }
}

static void fill_columns(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  if (!want_type(f, opt, n, MR_NODE_MAP))
    return;
  struct ArrowSchema *columns = g_new0(struct ArrowSchema, 1);
  g_ptr_array_add(f->load->own->schemas, columns);
  mr_schema_struct(columns);
  for (guint i = 0; i < n->kids->len; i++)
    add_column(f, columns, mr_ynode_kid(n, i));
  *(const struct ArrowSchema **)field = columns;
}

static void fill_format(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  const struct mr_catalog *catalog = f->load->catalog;
  const struct mr_format_desc *desc;
  const struct mr_opt *table;
  size_t size;
  if (!catalog->format(catalog->ctx, n->text, &desc, &table, &size)) {
    const char *const *names = catalog->format_names(catalog->ctx);
    guint count = g_strv_length((char **)names);
    g_autofree char *all = g_strjoinv(", ", (char **)names),
                    *hint = mr_suggest_text(n->text, names, count);
    mr_ynode_problem(f->load->problems, n, "no format `%s`%s: there are %s", n->text, hint, all);
    f->open = true;
    return;
  }
  struct format_pair *pair = mr_own_alloc(f->load->own, sizeof *pair);
  struct fill own = {.load = f->load, .stride = sizeof *table, .prefix = f->prefix, .map = f->map};
  own.conf = mr_own_alloc(f->load->own, size);
  own.formats = f->formats;
  if (table)
    g_ptr_array_add(f->formats, (void *)table);
  fill_table(&own, table);
  pair->desc = desc;
  pair->conf = own.conf;
  *(const struct format_pair **)field = pair;
}

static void fill_scalar(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n, void *field)
{
  if (!want_type(f, opt, n, MR_NODE_SCALAR))
    return;
  if (n->bare && !n->expanded) {
    mr_ynode_key_problem(f->load->problems, n, "`%s` has no value: leave the line out%s", opt->name,
                         opt->type == MR_TEXT ? ", or write \"\" for an empty text" : "");
    return;
  }
  switch (opt->type) {
  case MR_BOOL: fill_bool(f, opt, n, field); break;
  case MR_TEXT:
  case MR_EXPR: fill_text(f, opt, n, field); break;
  case MR_CHOICE: fill_choice(f, opt, n, field); break;
  case MR_LOOKUP: fill_lookup(f, opt, n, field); break;
  case MR_FORMAT: fill_format(f, opt, n, field); break;
  default: fill_number(f, opt, n, field); break;
  }
}

static void fill_group(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n,
                       const char *path, void *field)
{
  if (n && !want_type(f, opt, n, MR_NODE_MAP))
    n = NULL;
  mr_option_fill(f->load, opt->sub, f->stride, n, path, NULL, field);
}

static void fill_value(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n,
                       const char *path, void *field)
{
  set_absent(opt, field);
  if (opt->type == MR_GROUP)
    fill_group(f, opt, n, path, field);
  else if (opt->type == MR_COLUMNS)
    fill_columns(f, opt, n, field);
  else
    fill_scalar(f, opt, n, field);
}

static void fill_items(struct fill *f, const struct mr_opt *opt, struct mr_ynode **items, size_t n,
                       const char *path, struct mr_list *ret)
{
  size_t size = mr_option_field_size(opt);
  char *item = mr_own_alloc(f->load->own, n * size);
  bool keyed = opt->flags & MR_KEYED;
  const char **key = keyed ? mr_own_alloc(f->load->own, (n + 1) * sizeof *key) : NULL;
  for (size_t i = 0; i < n; i++) {
    g_autofree char *at =
        keyed ? g_strdup_printf("%s.%s", path, items[i]->key) : g_strdup_printf("%s.%zu", path, i);
    fill_value(f, opt, items[i], at, item + i * size);
    if (keyed)
      key[i] = mr_own_dup(f->load->own, items[i]->key);
  }
  *ret = (struct mr_list){.item = item, .key = key, .n = n};
}

/* A list, or one value alone; or a mapping with free keys. */
static void fill_list(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n,
                      const char *path, struct mr_list *ret)
{
  bool keyed = opt->flags & MR_KEYED;
  if (keyed && !want_type(f, opt, n, MR_NODE_MAP))
    return;
  if (n->broken)
    return;
  if (!keyed && n->type != MR_NODE_LIST) {
    fill_items(f, opt, &n, 1, path, ret);
    return;
  }
  if (!n->kids->len && opt->flags & MR_REQUIRED)
    mr_ynode_problem(f->load->problems, n, "`%s` is empty", opt->name);
  fill_items(f, opt, (struct mr_ynode **)n->kids->pdata, n->kids->len, path, ret);
}

static void fill_option(struct fill *f, const struct mr_opt *opt, struct mr_ynode *n,
                        const char *path)
{
  void *field = f->conf + opt->offset;
  bool group = opt->type == MR_GROUP && !(opt->flags & (MR_MANY | MR_KEYED));
  if (!group)
    mr_own_value(f->load->own, path, n, opt->flags & MR_SECRET || n->secret);
  if (opt->flags & (MR_MANY | MR_KEYED))
    fill_list(f, opt, n, path, field);
  else
    fill_value(f, opt, n, path, field);
}

static struct mr_ynode *parse_default(const char *text)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_ynode *n =
      text[0] == '[' || text[0] == '{' ? mr_yaml_parse(text, strlen(text), problems) : NULL;
  return n ? n : mr_ynode_scalar(text, NULL);
}

static void set_origin(struct mr_ynode *n)
{
  n->origin = MR_FROM_DEFAULT;
  n->at = n->key_at = (struct mr_mark_at){0, 0};
  for (guint i = 0; i < mr_ynode_count(n); i++)
    set_origin(mr_ynode_kid(n, i));
}

static void fill_default(struct fill *f, const struct mr_opt *opt, const char *path)
{
  void *field = f->conf + opt->offset;
  bool listed = opt->flags & (MR_MANY | MR_KEYED);
  if (opt->dflt) {
    struct mr_ynode *n = parse_default(opt->dflt);
    set_origin(n);
    fill_option(f, opt, n, path);
    mr_ynode_free(n);
  } else if (opt->type == MR_GROUP && !listed) {
    fill_group(f, opt, NULL, path, field);
  } else if (listed) {
    *(struct mr_list *)field = (struct mr_list){0};
  } else {
    set_absent(opt, field);
  }
}

static void fill_table(struct fill *f, const struct mr_opt *table)
{
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(table, f->stride, i)); i++) {
    g_autofree char *path = g_strdup_printf("%s.%s", f->prefix, opt->name);
    struct mr_ynode *n = mr_ynode_get(f->map, opt->name);
    if (n) {
      fill_option(f, opt, n, path);
      continue;
    }
    if (f->map && opt->flags & MR_REQUIRED)
      mr_ynode_remark(f->load->problems, f->map, "`%s` is required: %s", opt->name, opt->doc);
    fill_default(f, opt, path);
  }
}

static bool known_to_formats(const struct fill *f, const char *key)
{
  for (guint i = 0; i < f->formats->len; i++)
    if (mr_option_find(g_ptr_array_index(f->formats, i), sizeof(struct mr_opt), key))
      return true;
  return false;
}

/* The first format that has such an option, or NULL. */
static const char *format_having(const struct mr_catalog *catalog, const char *key)
{
  const char *const *name = catalog->format_names(catalog->ctx);
  for (; name && *name; name++) {
    const struct mr_format_desc *desc;
    const struct mr_opt *table;
    size_t size;
    bool ok = catalog->format(catalog->ctx, *name, &desc, &table, &size);
    if (ok && mr_option_find(table, sizeof *table, key))
      return *name;
  }
  return NULL;
}

static bool has_format(const struct mr_opt *table, size_t stride)
{
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++)
    if (opt->type == MR_FORMAT)
      return true;
  return false;
}

static void report_unknown(struct fill *f, const struct mr_opt *table, const char *const *also,
                           struct mr_ynode *n)
{
  const char *format =
      has_format(table, f->stride) ? format_having(f->load->catalog, n->key) : NULL;
  g_autoptr(GPtrArray) names = mr_option_names(table, f->stride);
  const struct mr_opt *opt;
  for (guint k = 0; k < f->formats->len; k++)
    for (size_t i = 0; (opt = mr_option_at(g_ptr_array_index(f->formats, k), sizeof *opt, i)); i++)
      g_ptr_array_add(names, (char *)opt->name);
  for (; also && *also; also++)
    g_ptr_array_add(names, (char *)*also);
  g_autofree char *hint = mr_suggest_text(n->key, (const char *const *)names->pdata, names->len);
  if (f->open && (format || !hint[0]))
    return; /* it may belong to the format that was meant */
  if (format && !hint[0])
    mr_ynode_key_problem(f->load->problems, n, "`%s` is an option of format %s only", n->key,
                         format);
  else
    mr_ynode_key_problem(f->load->problems, n, "unknown option `%s`%s", n->key, hint);
}

static void check_unknown(struct fill *f, const struct mr_opt *table, const char *const *also)
{
  for (guint i = 0; i < mr_ynode_count(f->map); i++) {
    struct mr_ynode *n = mr_ynode_kid(f->map, i);
    if (n->broken || mr_option_find(table, f->stride, n->key) || known_to_formats(f, n->key))
      continue;
    if (also && g_strv_contains(also, n->key))
      continue;
    report_unknown(f, table, also, n);
  }
}

void mr_option_fill(struct mr_load *l, const struct mr_opt *table, size_t stride,
                    struct mr_ynode *map, const char *prefix, const char *const *also, void *conf)
{
  g_autoptr(GPtrArray) formats = g_ptr_array_new();
  struct fill f = {
      .load = l, .stride = stride, .prefix = prefix, .map = map, .conf = conf, .formats = formats};
  fill_table(&f, table);
  check_unknown(&f, table, also);
}
