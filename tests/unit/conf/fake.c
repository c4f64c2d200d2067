/* SPDX-License-Identifier: Apache-2.0 */
#include "fake.h"
#include <string.h>
#include "millrace/plugin.h"

#define OPT(type_, flags_, struct_, field_) \
  .type = type_, .flags = flags_, .offset = offsetof(struct struct_, field_)

static const char *const begins[] = {"earliest", "latest", NULL};
static const char *const modes[] = {"append", "upsert", NULL};

static const struct mr_opt sasl[] = {
    {"user", OPT(MR_TEXT, MR_REQUIRED, fake_sasl, user), .doc = "who"},
    {"password", OPT(MR_TEXT, MR_SECRET, fake_sasl, password), .doc = "proof"},
    {NULL},
};
static const struct mr_opt route[] = {
    {"topic", OPT(MR_TEXT, MR_REQUIRED, fake_route, topic), .doc = "where"},
    {"weight", OPT(MR_INT, 0, fake_route, weight), .dflt = "1", .doc = "how much"},
    {NULL},
};
static const struct mr_opt tap[] = {
    {"topics", OPT(MR_TEXT, MR_REQUIRED | MR_MANY, fake_source, topics), .doc = "what to read"},
    {"password", OPT(MR_TEXT, MR_SECRET, fake_source, password), .range = "4..", .doc = "proof"},
    {"url", OPT(MR_TEXT, 0, fake_source, url), .doc = "where"},
    {"port", OPT(MR_INT, 0, fake_source, port), .range = "1..65535", .doc = "port"},
    {"size", OPT(MR_BYTES, 0, fake_source, size), .range = "1KiB..", .doc = "size"},
    {"wait", OPT(MR_TIME_MS, 0, fake_source, wait_ms), .dflt = "5s", .doc = "wait"},
    {"ratio", OPT(MR_REAL, 0, fake_source, ratio), .range = "0..1", .doc = "ratio"},
    {"strict", OPT(MR_BOOL, 0, fake_source, strict), .doc = "strict"},
    {"begin", OPT(MR_CHOICE, 0, fake_source, begin), .choices = begins, .dflt = "earliest",
     .doc = "begin"},
    {"options", OPT(MR_TEXT, MR_KEYED, fake_source, options), .doc = "free"},
    {"columns", OPT(MR_COLUMNS, 0, fake_source, columns), .doc = "columns"},
    {"format", OPT(MR_FORMAT, 0, fake_source, format), .doc = "format"},
    {"sasl", OPT(MR_GROUP, 0, fake_source, sasl), sizeof(struct fake_sasl), .sub = sasl,
     .doc = "sasl"},
    {"routes", OPT(MR_GROUP, MR_MANY, fake_source, routes), sizeof(struct fake_route), .sub = route,
     .doc = "routes"},
    {"shards", OPT(MR_GROUP, MR_KEYED, fake_source, shards), sizeof(struct fake_route),
     .sub = route, .doc = "shards"},
    {NULL},
};
static const struct mr_opt mid[] = {
    {"set", OPT(MR_EXPR, MR_KEYED, fake_mid, set), .doc = "set"},
    {"with", OPT(MR_LOOKUP, 0, fake_mid, with), .doc = "lookup"},
    {"key", OPT(MR_TEXT, MR_SECRET, fake_mid, key), .doc = "key"},
    {NULL},
};
static const struct mr_opt out[] = {
    {"table", OPT(MR_TEXT, 0, fake_out, table), .doc = "table"},
    {"mode", OPT(MR_CHOICE, 0, fake_out, mode), .choices = modes, .doc = "mode"},
    {"key", OPT(MR_TEXT, MR_MANY, fake_out, key), .doc = "key"},
    {NULL},
};
static const struct mr_opt csv[] = {
    {"delimiter", OPT(MR_TEXT, 0, fake_csv, delimiter), .range = "1..1", .dflt = ",",
     .doc = "delimiter"},
    {"header", OPT(MR_BOOL, 0, fake_csv, header), .doc = "header"},
    {NULL},
};

static int validate_out(const void *conf, struct mr_error *err)
{
  const struct fake_out *o = conf;
  if (o->mode != 1 || o->key.n)
    return MR_OK;
  g_strlcpy(err->option, "mode", sizeof err->option);
  g_strlcpy(err->msg, "upsert needs a key", sizeof err->msg);
  return MR_BADCONF;
}

#define PLUGIN(name_, struct_, table_)                                                       \
  .abi = MR_ABI, .size = sizeof(struct mr_plugin), .conf_size = sizeof(struct struct_),      \
  .opt_size = sizeof(struct mr_opt), .name = name_, .version = "1", .license = "Apache-2.0", \
  .summary = "fake", .options = table_

static const struct mr_source source = {.size = sizeof source};
static const struct mr_transform transform = {.size = sizeof transform};
static const struct mr_sink sink = {.size = sizeof sink, .delivery = MR_PLAIN};
static const struct mr_plugin plugins[] = {
    {PLUGIN("tap", fake_source, tap), .source = &source},
    {PLUGIN("mid", fake_mid, mid), .transform = &transform},
    {PLUGIN("mask", fake_mid, mid), .transform = &transform},
    {PLUGIN("out", fake_out, out), .sink = &sink, .validate = validate_out},
    {PLUGIN("null", fake_out, out), .sink = &sink},
};

static const struct mr_plugin *find_plugin(void *ctx, enum mr_stage_kind kind, const char *name,
                                           char **ret_why)
{
  for (size_t i = 0; i < G_N_ELEMENTS(plugins); i++) {
    const struct mr_plugin *p = &plugins[i];
    bool serves = kind == MR_STAGE_TRANSFORM                           ? p->transform != NULL
                  : kind == MR_STAGE_SOURCE || kind == MR_STAGE_LOOKUP ? p->source != NULL
                                                                       : p->sink != NULL;
    if (serves && !strcmp(p->name, name))
      return p;
  }
  *ret_why = g_strdup_printf("no plugin `%s`", name);
  return NULL;
}

static bool find_format(void *ctx, const char *name, const struct mr_format_desc **ret,
                        const struct mr_opt **ret_options, size_t *ret_size)
{
  static const struct mr_opt none[] = {{NULL}};
  bool is_csv = !strcmp(name, "csv");
  if (!is_csv && strcmp(name, "json"))
    return false;
  *ret =
      (const struct mr_format_desc *)(const void *)(is_csv
                                                        ? "csv"
                                                        : "json"); /* never looked into by conf */
  *ret_options = is_csv ? csv : none;
  *ret_size = is_csv ? sizeof(struct fake_csv) : 0;
  return true;
}

static const char *const *format_names(void *ctx)
{
  static const char *const names[] = {"csv", "json", NULL};
  return names;
}

const struct mr_catalog fake_catalog = {
    .plugin = find_plugin, .format = find_format, .format_names = format_names};

struct mr_spec *fake_load(const char *text, const char *const *overrides, char **ret_problems)
{
  g_autoptr(GPtrArray) problems = mr_problems_new();
  struct mr_spec *spec = mr_spec_load("f", text, strlen(text), overrides, &fake_catalog, problems);
  g_assert_true((spec == NULL) == (problems->len > 0));
  *ret_problems = mr_problems_text("f", problems);
  return spec;
}

void fake_expect(const char *text, const char *want)
{
  g_autofree char *got = NULL;
  mr_spec_free(fake_load(text, NULL, &got));
  g_assert_cmpstr(got, ==, want);
}

char *fake_file(const char *tap_options)
{
  return g_strdup_printf(
      "name: p\nsources:\n  - name: in\n    tap:\n%ssinks:\n  - name: to\n    out: {}\n",
      tap_options);
}

struct mr_spec *fake_tap(const char *tap_options, const struct fake_source **ret)
{
  g_autofree char *text = fake_file(tap_options), *problems = NULL;
  struct mr_spec *spec = fake_load(text, NULL, &problems);
  g_assert_cmpstr(problems, ==, "");
  *ret = mr_spec_stage(spec, "in")->conf;
  return spec;
}
