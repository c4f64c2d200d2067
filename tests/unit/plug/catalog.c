/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog.h"
#include <string.h>
#include "stages.h"

static const struct mr_plugin *const plugins[] = {&stage_rows, &stage_calc, &stage_ask,
                                                  &stage_keep};

static const struct mr_plugin *find_plugin(void *ctx, enum mr_stage_kind kind, const char *name,
                                           char **ret_why)
{
  for (size_t i = 0; i < G_N_ELEMENTS(plugins); i++)
    if (!strcmp(plugins[i]->name, name))
      return plugins[i];
  *ret_why = g_strdup("no such plugin");
  return NULL;
}

static bool find_format(void *ctx, const char *name, const struct mr_format_desc **ret,
                        const struct mr_opt **ret_options, size_t *ret_size)
{
  return false;
}

static const char *const *format_names(void *ctx)
{
  static const char *const none[] = {NULL};
  return none;
}

const struct mr_catalog stages_catalog = {
    .plugin = find_plugin, .format = find_format, .format_names = format_names};
