/* SPDX-License-Identifier: Apache-2.0 */
#include "app/types.h"
#include "conf/option.h"
#include "data/types.h"
#include "format/format.h"

/* The types of the pipeline file, with parameters where a type has some. */
static const char *const types[] = {"bool",
                                    "int8",
                                    "int16",
                                    "int32",
                                    "int64",
                                    "uint8",
                                    "uint16",
                                    "uint32",
                                    "uint64",
                                    "float32",
                                    "float64",
                                    "decimal(18,4)",
                                    "date",
                                    "time",
                                    "timestamp",
                                    "timestamptz",
                                    "utf8",
                                    "binary",
                                    "uuid",
                                    "json",
                                    "list<int64>",
                                    "map<utf8, int64>",
                                    "struct<a: int64>",
                                    NULL};

static int put(void *out, const void *data, size_t len)
{
  g_string_append_len(out, data, (gssize)len);
  return MR_OK;
}

/* What the plugin or (plugin without `type`) the format makes of a type; NULL: nothing. */
static char *target_of(const struct mr_plugin *p, const struct mr_format_desc *format,
                       const char *type)
{
  struct ArrowSchema column = {0};
  struct mr_error err = MR_ERROR_INIT;
  GString *text = g_string_new(NULL);
  int rc = mr_type_parse(type, "a", &column, &err);
  if (rc >= 0 && !format)
    rc = p->type(&column, put, text, &err);
  else if (rc >= 0 && format->text)
    rc = format->text->type(&column, put, text, &err);
  else if (rc >= 0)
    g_string_append(text, "the bytes");
  mr_schema_release(&column);
  return g_string_free(text, rc < 0);
}

static void each(const struct mr_plugin *p, const struct mr_format_desc *format, mr_app_type_fn *f,
                 void *ctx)
{
  for (size_t i = 0; types[i]; i++) {
    g_autofree char *target = target_of(p, format, types[i]);
    f(ctx, format ? format->name : NULL, types[i], target);
  }
}

/* jsonl is json, in lines. */
static bool is_like_another(const struct mr_format_desc *const *all, size_t i)
{
  for (size_t k = 0; k < i; k++)
    if (all[k]->text == all[i]->text)
      return true;
  return false;
}

static bool has_format(const struct mr_plugin *p)
{
  const struct mr_opt *opt;
  for (size_t i = 0; (opt = mr_option_at(p->options, p->opt_size, i)); i++)
    if (opt->type == MR_FORMAT)
      return true;
  return false;
}

void mr_app_types(const struct mr_plugin *p, mr_app_type_fn *f, void *ctx)
{
  const struct mr_format_desc *const *all = mr_format_all();
  if (!p->sink)
    return;
  if (MR_HAS(p, type))
    each(p, NULL, f, ctx);
  for (size_t i = 0; has_format(p) && all[i]; i++)
    if (all[i]->encoder && all[i]->text && !is_like_another(all, i))
      each(p, all[i], f, ctx);
}
