/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands share. Main thread. */
#ifndef MR_APP_H
#define MR_APP_H
#include <glib.h>
#include "conf/spec.h"
#include "engine/store.h"
#include "plug/check.h"
#include "plug/plug.h"

enum {
  MR_EXIT_OK = 0,
  MR_EXIT_FAILED = 1,
  MR_EXIT_USAGE = 2,
  MR_EXIT_UNREACHABLE = 3,
  MR_EXIT_LETTERS = 4
};

/* Parses a command's options (argv[0] is the command). args names what may follow them ("FILE STAGE
 * [TABLE]"; those in brackets may be missing). Gives the first argument ("" when it may be missing
 * and is), or NULL after it printed what is wrong. The others are (*argv)[2] and on, *argc counts
 * them. */
const char *mr_app_options(int *argc, char ***argv, const char *args, const char *summary,
                           GOptionEntry *entries);

/* The registry of this process: the plugins beside the executable (as a build folder has them),
 * MILLRACE_PLUGIN_PATH, the installed ones. guarded: modules are tried in a child first. Caller
 * frees. */
struct mr_registry *mr_app_registry(bool guarded);

/* A pipeline file with what it was read with. */
struct mr_app_file {
  struct mr_registry *registry;
  struct mr_catalog catalog;
  struct mr_spec *spec;       /* NULL: nothing could be read */
  struct mr_checked *checked; /* NULL when spec is */
  GPtrArray *problems;        /* struct mr_problem * */
};
/* Reads and checks a file (columns and types too, no server). Prints what is wrong and gives
 * MR_EXIT_USAGE; f is always to be unloaded. */
int mr_app_load(struct mr_app_file *f, const char *file, const char *const *sets);
/* The same while a pipeline runs: what is wrong is given in *ret_why (caller frees), not printed.
 */
int mr_app_load_again(struct mr_app_file *f, const char *file, const char *const *sets,
                      char **ret_why);
/* The same for commands that look at a file instead of running it: modules are guarded, and with
 * problems the parts that are not broken are there to be used. */
int mr_app_inspect(struct mr_app_file *f, const char *file, const char *const *sets);
void mr_app_unload(struct mr_app_file *f);

/* The folder where the pipeline keeps its state: settings.state, or a folder of its name; NULL: a
 * database has it. Caller frees. */
char *mr_app_state_dir(const struct mr_spec *spec);
/* Opens the pipeline's store, a folder or a database. NULL: *ret_why (caller frees; may hold
 * secrets) and *ret_code, an exit code. Caller frees the store. */
struct mr_store *mr_app_store(const struct mr_spec *spec, char **ret_why, int *ret_code);
/* What a sink's delivery class promises ("exactly once"). Static. */
const char *mr_app_promise(const struct mr_plugin *p);
/* The stage's kind as a word. Static. */
const char *mr_app_kind(enum mr_stage_kind kind);

/* One command each; argv[0] is its name. Gives the exit code. */
int mr_cmd_check(int argc, char **argv);
int mr_cmd_discover(int argc, char **argv);
int mr_cmd_graph(int argc, char **argv);
int mr_cmd_inspect(int argc, char **argv);
int mr_cmd_schema(int argc, char **argv);
int mr_cmd_run(int argc, char **argv);
int mr_cmd_preview(int argc, char **argv);
int mr_cmd_replay(int argc, char **argv);
int mr_cmd_test(int argc, char **argv);
int mr_cmd_status(int argc, char **argv);
int mr_cmd_top(int argc, char **argv);
int mr_cmd_plugin(int argc, char **argv);

#endif
