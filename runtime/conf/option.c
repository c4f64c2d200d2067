/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables themselves: finding, naming, checking, walking. */
#include "conf/option.h"
#include <string.h>
#include "conf/scalar.h"

const struct mr_opt *mr_option_at(const struct mr_opt *table, size_t stride, size_t i)
{
  if (!table)
    return NULL;
  const struct mr_opt *opt =
      (const struct mr_opt *)(const void *)((const char *)table + i * stride);
  return opt->name ? opt : NULL;
}

const struct mr_opt *mr_option_find(const struct mr_opt *table, size_t stride, const char *name)
{
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++)
    if (!strcmp(opt->name, name))
      return opt;
  return NULL;
}

GPtrArray *mr_option_names(const struct mr_opt *table, size_t stride)
{
  GPtrArray *names = g_ptr_array_new();
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++)
    g_ptr_array_add(names, (char *)opt->name);
  return names;
}

size_t mr_option_field_size(const struct mr_opt *opt)
{
  switch (opt->type) {
  case MR_BOOL: return sizeof(bool);
  case MR_REAL: return sizeof(double);
  case MR_CHOICE: return sizeof(int32_t);
  case MR_INT:
  case MR_BYTES:
  case MR_TIME_MS: return sizeof(int64_t);
  case MR_GROUP: return opt->sub_size;
  default: return sizeof(void *);
  }
}

const char *mr_option_type_name(const struct mr_opt *opt)
{
  switch (opt->type) {
  case MR_BOOL: return "true or false";
  case MR_INT: return "whole number";
  case MR_REAL: return "number";
  case MR_TEXT: return "text";
  case MR_CHOICE: return "choice";
  case MR_BYTES: return "size";
  case MR_TIME_MS: return "duration";
  case MR_GROUP: return "group";
  case MR_COLUMNS: return "columns";
  case MR_EXPR: return "expression";
  case MR_FORMAT: return "format";
  case MR_LOOKUP: return "lookup";
  default: return "unknown";
  }
}

static bool is_number(const struct mr_opt *opt)
{
  return opt->type == MR_INT || opt->type == MR_REAL || opt->type == MR_BYTES ||
         opt->type == MR_TIME_MS;
}

static bool name_is_fine(const char *name)
{
  if (!g_ascii_islower(name[0]))
    return false;
  return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static bool is_choice(const struct mr_opt *opt, const char *text)
{
  return opt->choices && g_strv_contains(opt->choices, text);
}

/* A default of one number or choice can be checked on its own; lists and mappings are read when a
 * file is. */
static bool default_is_fine(const struct mr_opt *opt)
{
  struct mr_number v;
  struct mr_range range;
  bool b;
  if (!opt->dflt || opt->flags & (MR_MANY | MR_KEYED))
    return true;
  if (opt->type == MR_BOOL)
    return !mr_scalar_bool(opt->dflt, &b);
  if (opt->type == MR_CHOICE)
    return is_choice(opt, opt->dflt);
  if (!is_number(opt))
    return opt->type != MR_GROUP;
  if (mr_scalar_number(opt->type, opt->dflt, &v))
    return false;
  return !opt->range || !mr_range_parse(opt->type, opt->range, &range) ||
         mr_range_holds(opt->type, &range, v);
}

static const char *opt_wrong(const struct mr_opt *opt, size_t conf_size)
{
  const uint16_t known =
      MR_REQUIRED | MR_SECRET | MR_DEPRECATED | MR_MANY | MR_KEYED | MR_PARTITION;
  bool listed = opt->flags & (MR_MANY | MR_KEYED);
  size_t size = listed ? sizeof(struct mr_list) : mr_option_field_size(opt);
  struct mr_range range;
  if (!name_is_fine(opt->name))
    return "is no name of [a-z][a-z0-9_]*";
  if (opt->type < MR_BOOL || opt->type > MR_LOOKUP)
    return "has an unknown type";
  if (opt->flags & ~known)
    return "has unknown flags";
  if ((opt->flags & MR_MANY) && (opt->flags & MR_KEYED))
    return "is both MR_MANY and MR_KEYED";
  if (opt->offset > conf_size || size > conf_size - opt->offset)
    return "lies outside the config struct";
  if (opt->type == MR_CHOICE && (!opt->choices || !opt->choices[0]))
    return "has no choices";
  if (opt->type == MR_GROUP && (!opt->sub || !opt->sub_size))
    return "has no table of its own";
  if (opt->range && !is_number(opt) && opt->type != MR_TEXT)
    return "has a range, but is no number";
  if (opt->range && !mr_range_parse(opt->type, opt->range, &range))
    return "has a range that cannot be read";
  if (!default_is_fine(opt))
    return "has a default that it refuses itself";
  if (!opt->doc)
    return "has no line of help";
  return NULL;
}

static char *table_check(const struct mr_opt *table, size_t stride, size_t conf_size, int depth)
{
  const struct mr_opt *opt;
  if (depth > MR_OPTION_DEPTH)
    return g_strdup("groups are nested too deep");
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++) {
    if (i >= MR_OPTION_TABLE)
      return g_strdup("the option table has no end");
    const char *wrong = opt_wrong(opt, conf_size);
    if (wrong)
      return g_strdup_printf("option `%s` %s", opt->name, wrong);
    if (mr_option_find(table, stride, opt->name) != opt)
      return g_strdup_printf("option `%s` is there twice", opt->name);
    char *sub =
        opt->type == MR_GROUP ? table_check(opt->sub, stride, opt->sub_size, depth + 1) : NULL;
    if (sub)
      return sub;
  }
  return NULL;
}

char *mr_option_table_check(const struct mr_opt *table, size_t stride, size_t conf_size)
{
  return table_check(table, stride, conf_size, 0);
}

struct walk {
  size_t stride;
  mr_option_visit_fn *visit;
  void *out;
};

static void walk_table(const struct walk *w, const struct mr_opt *table, const char *prefix,
                       char *conf);

static void walk_value(const struct walk *w, const struct mr_opt *opt, const char *path,
                       const char *key, char *field)
{
  if (opt->type == MR_GROUP)
    walk_table(w, opt->sub, path, field);
  else
    w->visit(w->out, opt, path, key, field);
}

static void walk_list(const struct walk *w, const struct mr_opt *opt, const char *path,
                      const struct mr_list *list)
{
  size_t size = mr_option_field_size(opt);
  for (size_t i = 0; i < list->n; i++) {
    const char *key = list->key ? list->key[i] : NULL;
    g_autofree char *item =
        key ? g_strdup_printf("%s.%s", path, key) : g_strdup_printf("%s.%zu", path, i);
    walk_value(w, opt, item, key, (char *)list->item + i * size);
  }
}

static void walk_table(const struct walk *w, const struct mr_opt *table, const char *prefix,
                       char *conf)
{
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(table, w->stride, i)); i++) {
    g_autofree char *path =
        prefix ? g_strdup_printf("%s.%s", prefix, opt->name) : g_strdup(opt->name);
    char *field = conf + opt->offset;
    if (opt->flags & (MR_MANY | MR_KEYED))
      walk_list(w, opt, path, (const struct mr_list *)(const void *)field);
    else
      walk_value(w, opt, path, NULL, field);
  }
}

void mr_option_walk(const struct mr_opt *table, size_t stride, void *conf,
                    mr_option_visit_fn *visit, void *out)
{
  struct walk w = {stride, visit, out};
  if (table)
    walk_table(&w, table, NULL, conf);
}
