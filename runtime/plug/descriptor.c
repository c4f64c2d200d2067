/* SPDX-License-Identifier: Apache-2.0 */
#include "plug/descriptor.h"
#include <glib.h>
#include <string.h>
#include "conf/option.h"

/* The sizes of abi 1's first release: up to and with the field that was the last then. */
#define END(type, field) (offsetof(struct type, field) + sizeof(((struct type *)0)->field))
#define PLUGIN_SIZE END(mr_plugin, explain)
#define OPT_SIZE END(mr_opt, doc)
#define SOURCE_SIZE END(mr_source, close)
#define TRANSFORM_SIZE END(mr_transform, close)
#define SINK_SIZE END(mr_sink, reread)
#define STRUCT_LIMIT (1 << 16) /* no struct of the ABI is as large: a larger size is garbage */

static char *check_size(const char *what, uint32_t size, size_t least)
{
  if (size >= least && size <= STRUCT_LIMIT)
    return NULL;
  return g_strdup_printf("%s has size %u, abi %u has at least %zu: built against another header",
                         what, size, MR_ABI, least);
}

static char *check_head(const struct mr_plugin *p, size_t object_size)
{
  if (object_size && object_size < 2 * sizeof(uint32_t))
    return g_strdup("mr_plugin_desc is no plugin descriptor");
  if (p->abi != MR_ABI)
    return g_strdup_printf("abi %u, this runtime has %u", p->abi, MR_ABI);
  if (object_size && object_size < p->size)
    return g_strdup_printf("mr_plugin_desc says %u bytes and has %zu", p->size, object_size);
  char *why = check_size("struct mr_plugin", p->size, PLUGIN_SIZE);
  return why ? why : check_size("struct mr_opt", p->opt_size, OPT_SIZE);
}

static char *check_kind(const struct mr_plugin *p, const char *folder)
{
  int kinds = (p->source != NULL) + (p->transform != NULL) + (p->sink != NULL);
  const char *kind = p->source ? "source" : p->transform ? "transform" : "sink";
  if (kinds != 1)
    return g_strdup_printf("%d of source, transform and sink are set, not one", kinds);
  if (strncmp(folder, kind, strlen(kind)))
    return g_strdup_printf("a %s in the folder %s", kind, folder);
  return NULL;
}

static char *check_name(const struct mr_plugin *p, const char *name)
{
  if (!p->name || strcmp(p->name, name))
    return g_strdup_printf("the plugin in it is called `%s`, not `%s`", p->name ? p->name : "",
                           name);
  if (!p->version || !p->license || !p->summary)
    return g_strdup("version, license or summary is missing");
  return NULL;
}

struct need {
  const char *name;
  bool there;
};

static char *first_missing(const char *what, const struct need *need)
{
  for (; need->name; need++)
    if (!need->there)
      return g_strdup_printf("%s.%s is missing", what, need->name);
  return NULL;
}

static char *check_source(const struct mr_source *v)
{
  char *why = check_size("struct mr_source", v->size, SOURCE_SIZE);
  const struct need need[] = {{"open", v->open},   {"schema", v->schema}, {"start", v->start},
                              {"read", v->read},   {"cut", v->cut},       {"seek", v->seek},
                              {"close", v->close}, {NULL, false}};
  return why ? why : first_missing("source", need);
}

static char *check_transform(const struct mr_transform *v)
{
  char *why = check_size("struct mr_transform", v->size, TRANSFORM_SIZE);
  const struct need need[] = {{"open", v->open},
                              {"schema", v->schema},
                              {"start", v->start},
                              {"apply", v->apply},
                              {"close", v->close},
                              {"load", !v->save || v->load},
                              {"save", !v->load || v->save},
                              {NULL, false}};
  if (!why && v->advance)
    return g_strdup("transform.advance is for a later version: this one gives transforms no "
                    "watermarks");
  return why ? why : first_missing("transform", need);
}

char *mr_descriptor_sink(const struct mr_sink *v)
{
  char *why = check_size("struct mr_sink", v->size, SINK_SIZE);
  if (!why && (v->delivery < MR_PLAIN || v->delivery > MR_TRANSACTIONAL))
    return g_strdup_printf("delivery class %u is unknown", v->delivery);
  bool own_lanes = !why && v->delivery == MR_TRANSACTIONAL,
       labels = !why && v->delivery == MR_TWO_PHASE, blocks = !why && v->delivery == MR_IDEMPOTENT;
  const struct need need[] = {{"open", v->open},
                              {"start", v->start},
                              {"write", v->write},
                              {"begin", v->begin},
                              {"abort", v->abort},
                              {"close", v->close},
                              {"commit", v->commit || blocks},
                              {"take", v->take || !own_lanes},
                              {"found", v->found || !own_lanes},
                              {"prepare", v->prepare || !labels},
                              {"resolve", v->resolve || !labels},
                              {"seal", v->seal || !blocks},
                              {"send", v->send || !blocks},
                              {NULL, false}};
  return why ? why : first_missing("sink", need);
}

static char *check_functions(const struct mr_plugin *p)
{
  if (p->source)
    return check_source(p->source);
  return p->transform ? check_transform(p->transform) : mr_descriptor_sink(p->sink);
}

char *mr_descriptor_check(const struct mr_plugin *p, size_t object_size, const char *folder,
                          const char *name)
{
  char *why = check_head(p, object_size);
  if (!why)
    why = check_kind(p, folder);
  if (!why)
    why = check_name(p, name);
  if (!why)
    why = check_functions(p);
  if (!why)
    why = mr_option_table_check(p->options, p->opt_size, p->conf_size);
  return why;
}
