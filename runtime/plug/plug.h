/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins: finding, loading and checking modules; the catalog that conf reads from. Main thread. */
#ifndef MR_PLUG_H
#define MR_PLUG_H
#include "conf/spec.h"

struct mr_registry;
/* dirs: where to look first (the tree's build folder), NULL-terminated or NULL; then
 * MILLRACE_PLUGIN_PATH (not when setuid), then the installed folder (none when
 * MILLRACE_PLUGIN_SYSTEM_PATH is set: that list instead). */
struct mr_registry *mr_registry_new(const char *const *dirs);
void mr_registry_free(struct mr_registry *r); /* modules stay mapped (RTLD_NODELETE) */
/* Loads KIND/NAME.so, kind "sources", "transforms" or "sinks"; NULL with *ret_why (caller frees).
 */
const struct mr_plugin *mr_registry_load(struct mr_registry *r, const char *kind, const char *name,
                                         char **ret_why);
/* Every plugin file found: kind, name, path for each; nothing is loaded. Caller unrefs; elements
 * struct mr_found *. */
struct mr_found {
  char *kind, *name, *path;
};
GPtrArray *mr_registry_list(struct mr_registry *r);
/* A program that comes with a plugin, in the folder "tools" beside those of the plugins: its path,
 * found as plugins are; NULL: it is not installed. Caller frees. */
char *mr_registry_tool(const struct mr_registry *r, const char *name);
/* Loads a module in a child process first: NULL = it loads, else what happened ("aborted while
 * loading (signal 6)"), caller frees. */
char *mr_registry_probe(const char *path);
/* From now on every module is loaded by mr_registry_probe before this process loads it: one that
 * would take the process down is refused by name instead. Costs a fork for each module. */
void mr_registry_guard(struct mr_registry *r);
/* "sources", "transforms" or "sinks": the folder that has the plugins of a kind of stage. Static.
 */
const char *mr_registry_folder(enum mr_stage_kind kind);
struct mr_catalog mr_registry_catalog(struct mr_registry *r);

/* May rows of these columns (NULL: not known yet) go to a transform or sink? MR_BADCONF: they have
 * `_set` or `_range` and it does not know it, or it is none. Any thread. */
int mr_plugin_takes(const struct mr_plugin *p, const struct ArrowSchema *in, struct mr_error *err);
/* The same for rows that fill a lookup. */
int mr_lookup_takes(const struct ArrowSchema *rows, struct mr_error *err);

#endif
