/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share. Main thread. */
#ifndef MR_APP_H
#define MR_APP_H
#include <glib.h>
#include "conf/spec.h"
#include "plug/plug.h"

enum { MR_EXIT_OK = 0, MR_EXIT_FAILED = 1, MR_EXIT_USAGE = 2, MR_EXIT_UNREACHABLE = 3, MR_EXIT_LETTERS = 4 };

/* Parses a command's options (argv[0] is the command). Gives its first argument (FILE), or NULL after it printed what is wrong. */
const char *mr_app_options(int *argc, char ***argv, const char *args, const char *summary, GOptionEntry *entries);

/* A pipeline file with what it was read with. */
struct mr_app_file {
  struct mr_registry *registry;
  struct mr_catalog catalog;
  struct mr_spec *spec;
};
/* Reads and checks a file (columns and types too, no server). Prints what is wrong and gives MR_EXIT_USAGE; f is always to be unloaded. */
int mr_app_load(struct mr_app_file *f, const char *file, const char *const *sets);
void mr_app_unload(struct mr_app_file *f);

int mr_cmd_run(int argc, char **argv);
#endif
