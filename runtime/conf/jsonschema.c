/* SPDX-License-Identifier: Apache-2.0 */
#include "conf/jsonschema.h"
#include <string.h>
#include "conf/json-out.h"
#include "conf/load.h"
#include "conf/scalar.h"

struct writer {
  struct mr_json_out w;
  const GPtrArray *plugins;
  const struct mr_catalog *catalog;
};

static void put_table(struct writer *s, const struct mr_opt *table, size_t stride);

static void put_types(struct writer *s, const char *const *types)
{
  mr_json_out_open(&s->w, "type", '[');
  for (; *types; types++)
    mr_json_out_text(&s->w, NULL, *types);
  mr_json_out_close(&s->w, '[');
}

/* Text of any kind: what YAML reads as a number or a truth value is text here. */
static void put_any_scalar(struct writer *s)
{
  static const char *const types[] = {"string", "number", "boolean", NULL};
  put_types(s, types);
}

static void put_ref(struct writer *s, const char *name)
{
  g_autofree char *ref = g_strdup_printf("#/$defs/%s", name);
  mr_json_out_open(&s->w, NULL, '{');
  mr_json_out_text(&s->w, "$ref", ref);
  mr_json_out_close(&s->w, '{');
}

static void put_bound(struct writer *s, const struct mr_opt *opt, const char *key,
                      struct mr_number v)
{
  if (opt->type == MR_REAL)
    mr_json_out_real(&s->w, key, v.real);
  else
    mr_json_out_int(&s->w, key, v.whole);
}

static void put_range(struct writer *s, const struct mr_opt *opt)
{
  struct mr_range range;
  if (!opt->range || !mr_range_parse(opt->type, opt->range, &range))
    return;
  if (range.has_low)
    put_bound(s, opt, "minimum", range.low);
  if (range.has_high)
    put_bound(s, opt, "maximum", range.high);
}

/* A number, a text that is one with a unit, or a text with a variable in it. */
static void put_number(struct writer *s, const struct mr_opt *opt)
{
  static const char *const patterns[] = {
      [MR_BYTES] = "^[0-9]+(B|KiB|MiB|GiB|TiB)?$", [MR_TIME_MS] = "^[0-9]+(ms|s|m|h|d)$"};
  bool unit = opt->type == MR_BYTES || opt->type == MR_TIME_MS;
  mr_json_out_open(&s->w, "anyOf", '[');
  mr_json_out_open(&s->w, NULL, '{');
  mr_json_out_text(&s->w, "type", opt->type == MR_REAL ? "number" : "integer");
  if (opt->type == MR_TIME_MS)
    mr_json_out_int(&s->w, "const", 0);
  else
    put_range(s, opt);
  mr_json_out_close(&s->w, '{');
  if (unit) {
    mr_json_out_open(&s->w, NULL, '{');
    mr_json_out_text(&s->w, "type", "string");
    mr_json_out_text(&s->w, "pattern", patterns[opt->type]);
    mr_json_out_close(&s->w, '{');
  }
  put_ref(s, "variable");
  mr_json_out_close(&s->w, '[');
}

/* A choice that YAML takes for null or a truth value is text here and something else to editors. */
static void put_choice(struct writer *s, const char *choice)
{
  mr_json_out_text(&s->w, NULL, choice);
  if (!strcmp(choice, "null"))
    mr_json_out_text(&s->w, NULL, NULL);
  if (!strcmp(choice, "true") || !strcmp(choice, "false"))
    mr_json_out_bool(&s->w, NULL, choice[0] == 't');
}

static void put_choices(struct writer *s, const char *const *choices)
{
  mr_json_out_open(&s->w, "anyOf", '[');
  mr_json_out_open(&s->w, NULL, '{');
  mr_json_out_open(&s->w, "enum", '[');
  for (; choices && *choices; choices++)
    put_choice(s, *choices);
  mr_json_out_close(&s->w, '[');
  mr_json_out_close(&s->w, '{');
  put_ref(s, "variable");
  mr_json_out_close(&s->w, '[');
}

static void put_bool(struct writer *s)
{
  mr_json_out_open(&s->w, "anyOf", '[');
  mr_json_out_open(&s->w, NULL, '{');
  mr_json_out_text(&s->w, "type", "boolean");
  mr_json_out_close(&s->w, '{');
  put_ref(s, "variable");
  mr_json_out_close(&s->w, '[');
}

static void put_columns(struct writer *s)
{
  mr_json_out_text(&s->w, "type", "object");
  mr_json_out_open(&s->w, "propertyNames", '{');
  mr_json_out_text(&s->w, "pattern", "^[^_]");
  mr_json_out_close(&s->w, '{');
  mr_json_out_open(&s->w, "additionalProperties", '{');
  mr_json_out_text(&s->w, "type", "string");
  mr_json_out_close(&s->w, '{');
}

/* What one value may be: keywords into the bracket that is open. */
static void put_value(struct writer *s, const struct mr_opt *opt, size_t stride)
{
  switch (opt->type) {
  case MR_BOOL: put_bool(s); break;
  case MR_INT:
  case MR_REAL:
  case MR_BYTES:
  case MR_TIME_MS: put_number(s, opt); break;
  case MR_CHOICE: put_choices(s, opt->choices); break;
  case MR_GROUP: put_table(s, opt->sub, stride); break;
  case MR_COLUMNS: put_columns(s); break;
  case MR_FORMAT: put_choices(s, s->catalog->format_names(s->catalog->ctx)); break;
  default: put_any_scalar(s); break;
  }
}

static void put_items(struct writer *s, const struct mr_opt *opt, size_t stride, const char *key)
{
  mr_json_out_open(&s->w, key, '{');
  put_value(s, opt, stride);
  mr_json_out_close(&s->w, '{');
}

/* One value alone, or a list. */
static void put_many(struct writer *s, const struct mr_opt *opt, size_t stride)
{
  mr_json_out_open(&s->w, "anyOf", '[');
  put_items(s, opt, stride, NULL);
  mr_json_out_open(&s->w, NULL, '{');
  mr_json_out_text(&s->w, "type", "array");
  put_items(s, opt, stride, "items");
  mr_json_out_close(&s->w, '{');
  mr_json_out_close(&s->w, '[');
}

static void put_option(struct writer *s, const struct mr_opt *opt, size_t stride)
{
  mr_json_out_open(&s->w, opt->name, '{');
  mr_json_out_text(&s->w, "description", opt->doc);
  if (opt->dflt)
    mr_json_out_text(&s->w, "default", opt->dflt);
  if (opt->flags & MR_DEPRECATED)
    mr_json_out_bool(&s->w, "deprecated", true);
  if (opt->flags & MR_KEYED) {
    mr_json_out_text(&s->w, "type", "object");
    put_items(s, opt, stride, "additionalProperties");
  } else if (opt->flags & MR_MANY) {
    put_many(s, opt, stride);
  } else {
    put_value(s, opt, stride);
  }
  mr_json_out_close(&s->w, '{');
}

/* Options of all formats: they stand beside `format`. */
static void put_format_options(struct writer *s, const struct mr_opt *table, size_t stride)
{
  g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
  const char *const *name = s->catalog->format_names(s->catalog->ctx);
  for (; name && *name; name++) {
    const struct mr_format_desc *desc;
    const struct mr_opt *options, *opt;
    size_t size;
    if (!s->catalog->format(s->catalog->ctx, *name, &desc, &options, &size))
      continue;
    for (size_t i = 0; (opt = mr_option_at(options, sizeof *opt, i)); i++)
      if (!mr_option_find(table, stride, opt->name) && g_hash_table_add(seen, (char *)opt->name))
        put_option(s, opt, sizeof *opt);
  }
}

static void put_properties(struct writer *s, const struct mr_opt *table, size_t stride)
{
  const struct mr_opt *opt;
  bool format = false;
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++) {
    put_option(s, opt, stride);
    format |= opt->type == MR_FORMAT;
  }
  if (format)
    put_format_options(s, table, stride);
}

static void put_required(struct writer *s, const struct mr_opt *table, size_t stride)
{
  const struct mr_opt *opt;
  mr_json_out_open(&s->w, "required", '[');
  for (size_t i = 0; (opt = mr_option_at(table, stride, i)); i++)
    if (opt->flags & MR_REQUIRED)
      mr_json_out_text(&s->w, NULL, opt->name);
  mr_json_out_close(&s->w, '[');
}

static void put_table(struct writer *s, const struct mr_opt *table, size_t stride)
{
  mr_json_out_text(&s->w, "type", "object");
  mr_json_out_open(&s->w, "properties", '{');
  put_properties(s, table, stride);
  mr_json_out_close(&s->w, '{');
  put_required(s, table, stride);
  mr_json_out_bool(&s->w, "additionalProperties", false);
}

static bool serves(const struct mr_plugin *p, enum mr_stage_kind kind)
{
  if (kind == MR_STAGE_SOURCE || kind == MR_STAGE_LOOKUP)
    return p->source;
  return kind == MR_STAGE_TRANSFORM ? p->transform != NULL : p->sink != NULL;
}

/* A plugin that takes no options may be written without a value. */
static void put_plugin_refs(struct writer *s, enum mr_stage_kind kind)
{
  for (guint i = 0; i < s->plugins->len; i++) {
    const struct mr_plugin *p = g_ptr_array_index(s->plugins, i);
    const char *folder = p->source ? "source" : p->transform ? "transform" : "sink";
    g_autofree char *name = g_strdup_printf("%s.%s", folder, p->name);
    if (!serves(p, kind))
      continue;
    mr_json_out_open(&s->w, p->name, '{');
    mr_json_out_open(&s->w, "anyOf", '[');
    put_ref(s, name);
    mr_json_out_open(&s->w, NULL, '{');
    mr_json_out_text(&s->w, "type", "null");
    mr_json_out_close(&s->w, '{');
    mr_json_out_close(&s->w, '[');
    mr_json_out_close(&s->w, '{');
  }
}

static void put_one_plugin(struct writer *s, enum mr_stage_kind kind)
{
  bool any = false;
  for (guint i = 0; i < s->plugins->len; i++)
    any |= serves(g_ptr_array_index(s->plugins, i), kind);
  if (!any)
    return;
  mr_json_out_open(&s->w, "oneOf", '[');
  for (guint i = 0; i < s->plugins->len; i++) {
    const struct mr_plugin *p = g_ptr_array_index(s->plugins, i);
    if (!serves(p, kind))
      continue;
    mr_json_out_open(&s->w, NULL, '{');
    mr_json_out_open(&s->w, "required", '[');
    mr_json_out_text(&s->w, NULL, p->name);
    mr_json_out_close(&s->w, '[');
    mr_json_out_close(&s->w, '{');
  }
  mr_json_out_close(&s->w, '[');
}

static void put_name(struct writer *s, const char *pattern, const char *doc)
{
  mr_json_out_open(&s->w, "name", '{');
  mr_json_out_text(&s->w, "description", doc);
  mr_json_out_text(&s->w, "type", "string");
  mr_json_out_text(&s->w, "pattern", pattern);
  mr_json_out_close(&s->w, '{');
}

static void put_entry(struct writer *s, const char *key, enum mr_stage_kind kind)
{
  bool named = kind != MR_STAGE_DEAD_LETTER;
  mr_json_out_open(&s->w, key, '{');
  mr_json_out_text(&s->w, "type", "object");
  mr_json_out_open(&s->w, "properties", '{');
  if (named)
    put_name(s, "^[a-z][a-z0-9_]{0,63}$", "unique in the file");
  put_properties(s, mr_entry_options(kind), sizeof(struct mr_opt));
  put_plugin_refs(s, kind);
  mr_json_out_close(&s->w, '{');
  if (named) {
    mr_json_out_open(&s->w, "required", '[');
    mr_json_out_text(&s->w, NULL, "name");
    mr_json_out_close(&s->w, '[');
  }
  put_one_plugin(s, kind);
  mr_json_out_bool(&s->w, "additionalProperties", false);
  mr_json_out_close(&s->w, '{');
}

static void put_plugin(struct writer *s, const struct mr_plugin *p)
{
  const char *folder = p->source ? "source" : p->transform ? "transform" : "sink";
  g_autofree char *name = g_strdup_printf("%s.%s", folder, p->name);
  mr_json_out_open(&s->w, name, '{');
  mr_json_out_text(&s->w, "description", p->summary);
  put_table(s, p->options, p->opt_size);
  mr_json_out_close(&s->w, '{');
}

static void put_definitions(struct writer *s)
{
  mr_json_out_open(&s->w, "$defs", '{');
  mr_json_out_open(&s->w, "variable", '{');
  mr_json_out_text(&s->w, "type", "string");
  mr_json_out_text(&s->w, "pattern", "\\$\\{[^}]+\\}");
  mr_json_out_close(&s->w, '{');
  put_entry(s, "source", MR_STAGE_SOURCE);
  put_entry(s, "transform", MR_STAGE_TRANSFORM);
  put_entry(s, "sink", MR_STAGE_SINK);
  put_entry(s, "lookup", MR_STAGE_LOOKUP);
  put_entry(s, "dead_letter", MR_STAGE_DEAD_LETTER);
  for (guint i = 0; i < s->plugins->len; i++)
    put_plugin(s, g_ptr_array_index(s->plugins, i));
  mr_json_out_close(&s->w, '{');
}

static void put_section(struct writer *s, const char *key, const char *entry, bool needed)
{
  g_autofree char *ref = g_strdup_printf("#/$defs/%s", entry);
  mr_json_out_open(&s->w, key, '{');
  mr_json_out_text(&s->w, "type", "array");
  if (needed)
    mr_json_out_int(&s->w, "minItems", 1);
  mr_json_out_open(&s->w, "items", '{');
  mr_json_out_text(&s->w, "$ref", ref);
  mr_json_out_close(&s->w, '{');
  mr_json_out_close(&s->w, '{');
}

static void put_sections(struct writer *s)
{
  mr_json_out_open(&s->w, "properties", '{');
  put_name(s, "^[a-z][a-z0-9_-]{0,63}$", "the pipeline's name: positions are kept under it");
  put_section(s, "lookups", "lookup", false);
  put_section(s, "sources", "source", true);
  put_section(s, "transforms", "transform", false);
  put_section(s, "sinks", "sink", true);
  mr_json_out_open(&s->w, "dead_letter", '{');
  mr_json_out_text(&s->w, "$ref", "#/$defs/dead_letter");
  mr_json_out_close(&s->w, '{');
  mr_json_out_open(&s->w, "settings", '{');
  put_table(s, mr_settings_options, sizeof(struct mr_opt));
  mr_json_out_close(&s->w, '{');
  mr_json_out_open(&s->w, "tests", '{');
  mr_json_out_text(&s->w, "description", "read by `millrace test`");
  mr_json_out_close(&s->w, '{');
  mr_json_out_close(&s->w, '{');
}

char *mr_jsonschema(const GPtrArray *plugins, const struct mr_catalog *catalog)
{
  struct writer s = {.w = {.text = g_string_new(NULL)}, .plugins = plugins, .catalog = catalog};
  static const char *const required[] = {"name", "sources", "sinks"};
  mr_json_out_open(&s.w, NULL, '{');
  mr_json_out_text(&s.w, "$schema", "https://json-schema.org/draft/2020-12/schema");
  mr_json_out_text(&s.w, "title", "Millrace pipeline file");
  mr_json_out_text(&s.w, "type", "object");
  put_sections(&s);
  mr_json_out_open(&s.w, "required", '[');
  for (size_t i = 0; i < G_N_ELEMENTS(required); i++)
    mr_json_out_text(&s.w, NULL, required[i]);
  mr_json_out_close(&s.w, '[');
  mr_json_out_bool(&s.w, "additionalProperties", false);
  put_definitions(&s);
  mr_json_out_close(&s.w, '{');
  return g_string_free(s.w.text, FALSE);
}
