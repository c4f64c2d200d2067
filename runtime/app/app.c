/* SPDX-License-Identifier: Apache-2.0 */
#include "app/app.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "conf/node.h"

/* How many words args has, and how many of them are not in brackets. */
static void count_args(const char *args, int *ret_all, int *ret_needed)
{
  g_auto(GStrv) words = g_strsplit(args, " ", -1);
  *ret_all = *ret_needed = 0;
  for (char **word = words; *word; word++) {
    if (!**word)
      continue;
    ++*ret_all;
    *ret_needed += **word != '[';
  }
}

const char *mr_app_options(int *argc, char ***argv, const char *args, const char *summary,
                           GOptionEntry *entries)
{
  g_autofree char *program = g_strdup_printf("millrace %s", (*argv)[0]);
  g_autoptr(GOptionContext) context = g_option_context_new(args);
  g_autoptr(GError) error = NULL;
  int all, needed;
  count_args(args, &all, &needed);
  g_set_prgname(program);
  g_option_context_set_summary(context, summary);
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, argc, argv, &error)) {
    fprintf(stderr, "%s: %s; `%s --help` shows what there is\n", program, error->message, program);
    return NULL;
  }
  if (*argc > 1 && !strcmp((*argv)[1], "--")) {
    (*argv)[1] = (*argv)[0];
    ++*argv;
    --*argc;
  }
  if (*argc - 1 < needed || *argc - 1 > all) {
    fprintf(stderr, "usage: %s %s\n", program, args);
    return NULL;
  }
  return *argc > 1 ? (*argv)[1] : "";
}

/* The folder of plugins beside this executable, as a build folder has it; NULL: there is none.
 * Caller frees. */
static char *beside(void)
{
  g_autofree char *exe = g_file_read_link("/proc/self/exe", NULL);
  g_autofree char *dir = exe ? g_path_get_dirname(exe) : NULL;
  char *plugins = dir ? g_build_filename(dir, "plugins", NULL) : NULL;
  if (plugins && g_file_test(plugins, G_FILE_TEST_IS_DIR))
    return plugins;
  g_free(plugins);
  return NULL;
}

struct mr_registry *mr_app_registry(bool guarded)
{
  g_autofree char *own = beside();
  const char *const dirs[] = {own, NULL};
  struct mr_registry *r = mr_registry_new(dirs);
  if (guarded)
    mr_registry_guard(r);
  return r;
}

/* The file's text, up to one byte more than may be; NULL: *ret_errno says why. Caller frees. */
static char *read_file(const char *path, size_t *ret_len, int *ret_errno)
{
  FILE *in = fopen(path, "re");
  if (!in) {
    *ret_errno = errno;
    return NULL;
  }
  char *text = g_malloc(MR_YAML_BYTES + 2);
  *ret_len = fread(text, 1, MR_YAML_BYTES + 1, in);
  *ret_errno = ferror(in) ? errno : 0;
  fclose(in);
  if (!*ret_errno)
    return text;
  g_free(text);
  return NULL;
}

static int load(struct mr_app_file *f, const char *file, const char *const *sets, bool guarded,
                char **ret_why)
{
  size_t len = 0;
  int error = 0;
  *f = (struct mr_app_file){.problems = mr_problems_new()};
  g_autofree char *text = read_file(file, &len, &error);
  if (!text) {
    *ret_why = g_strdup_printf("millrace: %s: %s\n", file, g_strerror(error));
    return MR_EXIT_USAGE;
  }
  f->registry = mr_app_registry(guarded);
  f->catalog = mr_registry_catalog(f->registry);
  f->spec = mr_spec_read(file, text, len, sets, &f->catalog, f->problems);
  if (f->spec)
    f->checked = mr_checked_new(f->spec, f->problems);
  *ret_why = mr_problems_text(file, f->problems);
  return f->problems->len ? MR_EXIT_USAGE : MR_EXIT_OK;
}

static int load_aloud(struct mr_app_file *f, const char *file, const char *const *sets,
                      bool guarded)
{
  g_autofree char *why = NULL;
  int code = load(f, file, sets, guarded, &why);
  fputs(why, stderr);
  return code;
}

int mr_app_load(struct mr_app_file *f, const char *file, const char *const *sets)
{
  return load_aloud(f, file, sets, false);
}

int mr_app_load_again(struct mr_app_file *f, const char *file, const char *const *sets,
                      char **ret_why)
{
  return load(f, file, sets, false, ret_why);
}

int mr_app_inspect(struct mr_app_file *f, const char *file, const char *const *sets)
{
  return load_aloud(f, file, sets, true);
}

void mr_app_unload(struct mr_app_file *f)
{
  mr_checked_free(f->checked);
  mr_spec_free(f->spec);
  mr_registry_free(f->registry);
  g_ptr_array_unref(f->problems);
}

char *mr_app_state_dir(const struct mr_spec *spec)
{
  if (mr_store_is_postgres(spec->settings.state))
    return NULL;
  if (spec->settings.state)
    return g_strdup(spec->settings.state);
  if (geteuid() == 0)
    return g_build_filename("/var/lib/millrace", spec->name, NULL);
  return g_build_filename(g_get_user_state_dir(), "millrace", spec->name, NULL);
}

struct mr_store *mr_app_store(const struct mr_spec *spec, char **ret_why, int *ret_code)
{
  struct mr_error err = MR_ERROR_INIT;
  int status = MR_FATAL;
  g_autofree char *dir = mr_app_state_dir(spec);
  *ret_code = MR_EXIT_FAILED;
  if (dir)
    return mr_store_sqlite_new(dir, spec->name, ret_why);
  struct mr_store *store = mr_store_postgres_new(spec->settings.state, spec->name, &status, &err);
  if (store)
    return store;
  *ret_why = g_strdup(err.msg);
  *ret_code = status == MR_BADCONF ? MR_EXIT_USAGE
              : err.unreachable    ? MR_EXIT_UNREACHABLE
                                   : MR_EXIT_FAILED;
  return NULL;
}

const char *mr_app_promise(const struct mr_plugin *p)
{
  switch (p->sink ? p->sink->delivery : 0) {
  case MR_PLAIN: return "at least once";
  case MR_IDEMPOTENT: return "exactly once within the target's token window";
  case MR_TWO_PHASE:
  case MR_TRANSACTIONAL: return "exactly once";
  default: return "";
  }
}

const char *mr_app_kind(enum mr_stage_kind kind)
{
  static const char *const names[] = {"", "source", "transform", "sink", "lookup", "dead letters"};
  return names[kind];
}
