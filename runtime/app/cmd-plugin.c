/* SPDX-License-Identifier: Apache-2.0 */
/* millrace plugin new */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include "app/app.h"
#include "app/skeleton.h"

#define NAME_LENGTH 64

struct kind {
  const char *name, *code, *example;
};
static const struct kind kinds[] = {
    {"source", mr_skeleton_source_c, mr_skeleton_source_yaml},
    {"transform", mr_skeleton_transform_c, mr_skeleton_transform_yaml},
    {"sink", mr_skeleton_sink_c, mr_skeleton_sink_yaml},
};

static const struct kind *find_kind(const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++)
    if (!strcmp(kinds[i].name, name))
      return &kinds[i];
  fprintf(stderr, "millrace: `%s` is no kind of plugin: source, transform or sink\n", name);
  return NULL;
}

static bool name_is_fine(const char *name)
{
  size_t n = strlen(name);
  if (g_ascii_islower(name[0]) && n <= NAME_LENGTH &&
      strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n)
    return true;
  fprintf(stderr,
          "millrace: `%s` is no name for a plugin: %d characters at most, of a-z, 0-9 and _, a "
          "letter first\n",
          name, NAME_LENGTH);
  return false;
}

static char *filled(const char *text, const struct kind *kind, const char *name)
{
  GString *out = g_string_new(text);
  g_string_replace(out, "KIND", kind->name, 0);
  g_string_replace(out, "skeleton", name, 0);
  return g_string_free(out, FALSE);
}

static bool write_file(const char *folder, const char *file, const char *text)
{
  g_autofree char *path = g_build_filename(folder, file, NULL);
  g_autoptr(GError) error = NULL;
  if (!g_file_set_contents(path, text, -1, &error)) {
    fprintf(stderr, "millrace: %s\n", error->message);
    return false;
  }
  puts(path);
  return true;
}

static bool make_folder(const char *path)
{
  if (!g_mkdir(path, 0777))
    return true;
  fprintf(stderr, "millrace: %s: %s\n", path, g_strerror(errno));
  return false;
}

static bool write_all(const struct kind *kind, const char *name)
{
  g_autofree char *below = g_strdup_printf("%s/%ss", name, kind->name),
                  *file = g_strdup_printf("%s.c", name);
  g_autofree char *project = filled(mr_skeleton_project_txt, kind, name),
                  *module = filled(mr_skeleton_module_txt, kind, name),
                  *code = filled(kind->code, kind, name),
                  *example = filled(kind->example, kind, name);
  return make_folder(name) && make_folder(below) && write_file(name, "meson.build", project) &&
         write_file(below, "meson.build", module) && write_file(below, file, code) &&
         write_file(name, "example.yaml", example);
}

int mr_cmd_plugin(int argc, char **argv)
{
  GOptionEntry entries[] = {{NULL}};
  if (!mr_app_options(&argc, &argv, "new KIND NAME",
                      "Writes a plugin that works, as a beginning of your own, into the new folder "
                      "NAME. KIND: source, transform or sink.",
                      entries))
    return MR_EXIT_USAGE;
  if (strcmp(argv[1], "new")) {
    fprintf(stderr, "usage: millrace plugin new KIND NAME\n");
    return MR_EXIT_USAGE;
  }
  const struct kind *kind = find_kind(argv[2]);
  const char *name = argv[3];
  if (!kind || !name_is_fine(name))
    return MR_EXIT_USAGE;
  if (!write_all(kind, name))
    return MR_EXIT_USAGE;
  printf("\ncd %s && meson setup build && ninja -C build\n"
         "MILLRACE_PLUGIN_PATH=$PWD/build millrace run --once example.yaml\n",
         name);
  return MR_EXIT_OK;
}
