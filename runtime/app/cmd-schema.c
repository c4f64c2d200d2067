/* SPDX-License-Identifier: Apache-2.0 */
/* millrace schema */
#include <stdio.h>
#include "app/app.h"
#include "conf/jsonschema.h"

int mr_cmd_schema(int argc, char **argv)
{
  GOptionEntry entries[] = {{NULL}};
  if (!mr_app_options(&argc, &argv, "",
                      "Prints the JSON Schema of pipeline files, with the plugins found.", entries))
    return MR_EXIT_USAGE;
  struct mr_registry *r = mr_app_registry(true);
  struct mr_catalog catalog = mr_registry_catalog(r);
  g_autoptr(GPtrArray) found = mr_registry_list(r), plugins = g_ptr_array_new();
  for (guint i = 0; i < found->len; i++) {
    const struct mr_found *m = g_ptr_array_index(found, i);
    g_autofree char *why = NULL;
    const struct mr_plugin *p = mr_registry_load(r, m->kind, m->name, &why);
    if (p)
      g_ptr_array_add(plugins, (void *)p);
    else
      fprintf(stderr, "millrace: %s\n", why);
  }
  g_autofree char *text = mr_jsonschema(plugins, &catalog);
  fputs(text, stdout);
  mr_registry_free(r);
  return MR_EXIT_OK;
}
