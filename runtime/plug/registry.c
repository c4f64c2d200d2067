/* SPDX-License-Identifier: Apache-2.0 */
/* Where modules are, and loading one: looked at as a file, in a child when guarded, then in this
 * process, then its descriptor. */
#include "plug/plug.h"
#include <dlfcn.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include "conf/suggest.h"
#include "format/format.h"
#include "plug/descriptor.h"
#include "plug/elf-check.h"

#define SYMBOL "mr_plugin_desc"

static const char *const folders[] = {"sources", "transforms", "sinks"};

struct module {
  const struct mr_plugin *plugin; /* NULL: refused */
  char *why;
};
struct mr_registry {
  GPtrArray *dirs;     /* char *, absolute, first wins */
  GHashTable *modules; /* path -> struct module */
  GPtrArray *formats;  /* const char *, NULL at the end */
  bool guarded;
};

static void module_free(void *p)
{
  struct module *m = p;
  g_free(m->why);
  g_free(m);
}

static void add_dir(struct mr_registry *r, const char *dir)
{
  if (!dir || !dir[0])
    return;
  char *absolute = g_canonicalize_filename(dir, NULL);
  g_ptr_array_add(r->dirs, absolute);
}

static void add_list(struct mr_registry *r, const char *list)
{
  g_auto(GStrv) dirs = g_strsplit(list, ":", -1);
  for (char **dir = dirs; *dir; dir++)
    add_dir(r, *dir);
}

/* A setuid process takes nothing from its caller: neither variables nor the folder that its file
 * was linked into. */
static void add_dirs(struct mr_registry *r, const char *const *dirs)
{
  bool trusting = !getauxval(AT_SECURE);
  const char *extra = g_getenv("MILLRACE_PLUGIN_PATH"),
             *system = g_getenv("MILLRACE_PLUGIN_SYSTEM_PATH");
  for (; trusting && dirs && *dirs; dirs++)
    add_dir(r, *dirs);
  if (trusting && extra)
    add_list(r, extra);
  if (trusting && system)
    add_list(r, system);
  else
    add_dir(r, MR_PLUGIN_DIR);
}

static void list_formats(struct mr_registry *r)
{
  for (const struct mr_format_desc *const *f = mr_format_all(); f && *f; f++)
    g_ptr_array_add(r->formats, (char *)(*f)->name);
  g_ptr_array_add(r->formats, NULL);
}

struct mr_registry *mr_registry_new(const char *const *dirs)
{
  struct mr_registry *r = g_new0(struct mr_registry, 1);
  r->dirs = g_ptr_array_new_with_free_func(g_free);
  r->modules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, module_free);
  r->formats = g_ptr_array_new();
  add_dirs(r, dirs);
  list_formats(r);
  return r;
}

void mr_registry_free(struct mr_registry *r)
{
  if (!r)
    return;
  g_ptr_array_unref(r->dirs);
  g_hash_table_unref(r->modules);
  g_ptr_array_unref(r->formats);
  g_free(r);
}

void mr_registry_guard(struct mr_registry *r)
{
  r->guarded = true;
}

const char *mr_registry_folder(enum mr_stage_kind kind)
{
  if (kind == MR_STAGE_TRANSFORM)
    return folders[1];
  return kind == MR_STAGE_SOURCE || kind == MR_STAGE_LOOKUP ? folders[0] : folders[2];
}

/* ---- finding */

/* DIR/KIND/NAME.so, or DIR/KIND/NAME/NAME.so as a build folder has it; NULL: not there. Caller
 * frees. */
static char *find_in(const char *dir, const char *folder, const char *name)
{
  char *path = g_strdup_printf("%s/%s/%s.so", dir, folder, name);
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return path;
  g_free(path);
  path = g_strdup_printf("%s/%s/%s/%s.so", dir, folder, name, name);
  if (g_file_test(path, G_FILE_TEST_EXISTS))
    return path;
  g_free(path);
  return NULL;
}

static bool name_is_fine(const char *name)
{
  return name[0] && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
}

static char *find(const struct mr_registry *r, const char *folder, const char *name)
{
  char *path = NULL;
  for (guint i = 0; name_is_fine(name) && !path && i < r->dirs->len; i++)
    path = find_in(g_ptr_array_index(r->dirs, i), folder, name);
  return path;
}

char *mr_registry_tool(const struct mr_registry *r, const char *name)
{
  for (guint i = 0; name_is_fine(name) && i < r->dirs->len; i++) {
    const char *dir = g_ptr_array_index(r->dirs, i);
    g_autofree char *installed = g_build_filename(dir, "tools", name, NULL),
                    *built = g_build_filename(dir, "tools", name, name, NULL);
    if (g_file_test(installed, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer(&installed);
    if (g_file_test(built, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer(&built);
  }
  return NULL;
}

static void found_free(void *p)
{
  struct mr_found *f = p;
  g_free(f->kind);
  g_free(f->name);
  g_free(f->path);
  g_free(f);
}

static bool is_listed(const GPtrArray *list, const char *folder, const char *name)
{
  for (guint i = 0; i < list->len; i++) {
    const struct mr_found *f = g_ptr_array_index(list, i);
    if (!strcmp(f->kind, folder) && !strcmp(f->name, name))
      return true;
  }
  return false;
}

static void list_folder(GPtrArray *out, const char *dir, const char *folder)
{
  g_autofree char *path = g_build_filename(dir, folder, NULL);
  GDir *entries = g_dir_open(path, 0, NULL);
  const char *entry;
  while (entries && (entry = g_dir_read_name(entries))) {
    g_autofree char *name =
        g_str_has_suffix(entry, ".so") ? g_strndup(entry, strlen(entry) - 3) : g_strdup(entry);
    char *module =
        name_is_fine(name) && !is_listed(out, folder, name) ? find_in(dir, folder, name) : NULL;
    if (!module)
      continue;
    struct mr_found *f = g_new0(struct mr_found, 1);
    *f =
        (struct mr_found){.kind = g_strdup(folder), .name = g_steal_pointer(&name), .path = module};
    g_ptr_array_add(out, f);
  }
  if (entries)
    g_dir_close(entries);
}

static int by_kind_and_name(const void *a, const void *b)
{
  const struct mr_found *x = *(struct mr_found *const *)a, *y = *(struct mr_found *const *)b;
  int kind = strcmp(x->kind, y->kind);
  return kind ? kind : strcmp(x->name, y->name);
}

GPtrArray *mr_registry_list(struct mr_registry *r)
{
  GPtrArray *out = g_ptr_array_new_with_free_func(found_free);
  for (guint i = 0; i < r->dirs->len; i++)
    for (size_t k = 0; k < G_N_ELEMENTS(folders); k++)
      list_folder(out, g_ptr_array_index(r->dirs, i), folders[k]);
  g_ptr_array_sort(out, by_kind_and_name);
  return out;
}

/* ---- loading */

/* The bytes of the symbol as the module's own table has it. */
static size_t object_size(const void *symbol)
{
  Dl_info info;
  ElfW(Sym) *entry = NULL;
  if (!dladdr1(symbol, &info, (void **)&entry, RTLD_DL_SYMENT) || !entry ||
      info.dli_saddr != symbol)
    return 0;
  return ELF64_ST_TYPE(entry->st_info) == STT_OBJECT ? entry->st_size : 1;
}

static void load_here(struct module *m, const char *path, const char *folder, const char *name)
{
  void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!handle) {
    const char *raw = dlerror();
    /* a damaged file's own bytes may stand in it */
    g_autofree char *why = g_utf8_make_valid(raw ? raw : "no reason given", -1);
    const char *text = g_str_has_prefix(why, path) ? why + strlen(path) : why;
    m->why = g_strdup_printf("cannot be loaded%s%s", text[0] == ':' ? "" : ": ", text);
    return;
  }
  const struct mr_plugin *p = dlsym(handle, SYMBOL);
  if (!p)
    m->why = g_strdup("is no plugin: it does not export " SYMBOL);
  else
    m->why = mr_descriptor_check(p, object_size(p), folder, name);
  if (!m->why)
    m->plugin = p;
}

static struct module *load(struct mr_registry *r, const char *path, const char *folder,
                           const char *name)
{
  struct module *m = g_new0(struct module, 1);
  const char *wrong = mr_elf_check(path);
  if (wrong)
    m->why = g_strdup(wrong);
  if (!m->why && r->guarded)
    m->why = mr_registry_probe(path);
  if (!m->why)
    load_here(m, path, folder, name);
  g_hash_table_insert(r->modules, g_strdup(path), m);
  return m;
}

static const char *singular(const char *folder)
{
  return folder == folders[0] || !strcmp(folder, "sources") ? "source"
         : !strcmp(folder, "sinks")                         ? "sink"
                                                            : "transform";
}

static const char *folder_having(const struct mr_registry *r, const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
    g_autofree char *path = find(r, folders[i], name);
    if (path)
      return folders[i];
  }
  return NULL;
}

static char *not_found(struct mr_registry *r, const char *folder, const char *name)
{
  g_autoptr(GPtrArray) list = mr_registry_list(r), names = g_ptr_array_new();
  for (guint i = 0; i < list->len; i++) {
    struct mr_found *f = g_ptr_array_index(list, i);
    if (!strcmp(f->kind, folder))
      g_ptr_array_add(names, f->name);
  }
  const char *elsewhere = folder_having(r, name), *kind = singular(folder);
  if (elsewhere)
    return g_strdup_printf("`%s` is a %s, not a %s", name, singular(elsewhere), kind);
  g_autofree char *hint = mr_suggest_text(name, (const char *const *)names->pdata, names->len);
  if (hint[0] || !name_is_fine(name))
    return g_strdup_printf("no %s plugin `%s`%s", kind, name, hint);
  g_autofree char *package = g_strdelimit(g_strdup(name), "_", '-');
  return g_strdup_printf(
      "no %s plugin `%s` is installed: the package millrace-plugin-%s would have it", kind, name,
      package);
}

const struct mr_plugin *mr_registry_load(struct mr_registry *r, const char *kind, const char *name,
                                         char **ret_why)
{
  g_autofree char *path = find(r, kind, name);
  if (!path) {
    *ret_why = not_found(r, kind, name);
    return NULL;
  }
  struct module *m = g_hash_table_lookup(r->modules, path);
  if (!m)
    m = load(r, path, kind, name);
  if (!m->plugin)
    *ret_why = g_strdup_printf("plugin `%s` is refused: %s: %s", name, path, m->why);
  return m->plugin;
}

/* ---- the catalog */

static const struct mr_plugin *catalog_plugin(void *ctx, enum mr_stage_kind kind, const char *name,
                                              char **ret_why)
{
  return mr_registry_load(ctx, mr_registry_folder(kind), name, ret_why);
}

static bool catalog_format(void *ctx, const char *name, const struct mr_format_desc **ret,
                           const struct mr_opt **ret_options, size_t *ret_conf_size)
{
  const struct mr_format_desc *f = mr_format_find(name);
  if (!f)
    return false;
  *ret = f;
  *ret_options = f->options;
  *ret_conf_size = f->conf_size;
  return true;
}

static const char *const *catalog_format_names(void *ctx)
{
  struct mr_registry *r = ctx;
  return (const char *const *)r->formats->pdata;
}

struct mr_catalog mr_registry_catalog(struct mr_registry *r)
{
  return (struct mr_catalog){.ctx = r,
                             .plugin = catalog_plugin,
                             .format = catalog_format,
                             .format_names = catalog_format_names};
}
