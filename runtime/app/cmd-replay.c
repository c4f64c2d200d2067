/* SPDX-License-Identifier: Apache-2.0 */
/* millrace replay FILE DEADLETTERS [--rows] [--set stage.option=value]… */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "app/app.h"
#include "engine/pipeline.h"
#include "engine/replay.h"

#define MAX_STAGES 256

struct replaying {
  const struct mr_spec *spec;
  struct mr_store *store;
  int code;
};

static struct mr_pipeline *running; /* for the signal handler */
static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
  (void)number;
  stopped = 1;
  if (running)
    mr_pipeline_stop(running);
}

static void on_log(void *ctx, int level, const char *stage, const char *text)
{
  struct replaying *r = ctx;
  g_autofree char *safe = mr_spec_redact(r->spec, text);
  if (level >= MR_WARN)
    fprintf(stderr, "millrace: %s%s%s\n", stage ? stage : "", stage ? ": " : "", safe);
}

static void worsen(struct replaying *r, int code)
{
  /* done with dead letters is better than any failure */
  int badness[] = {0, 2, 4, 3, 1};
  if (badness[code] > badness[r->code])
    r->code = code;
}

static void failed(struct replaying *r, const char *why, int code)
{
  g_autofree char *safe = mr_spec_redact(r->spec, why);
  fprintf(stderr, "millrace: %s\n", safe);
  worsen(r, code);
}

static void report(struct replaying *r, const struct mr_replay_group *g, struct mr_pipeline *p)
{
  struct mr_stage_stats stats[MAX_STAGES];
  size_t n = mr_pipeline_stats(p, stats, MAX_STAGES);
  int64_t read = 0, written = 0;
  unsigned long again = (unsigned long)mr_pipeline_letters(p);
  for (size_t i = 0; i < n; i++) {
    read += stats[i].kind == MR_STAGE_SOURCE ? stats[i].rows_in : 0;
    written += stats[i].kind == MR_STAGE_SINK ? stats[i].rows_out : 0;
  }
  printf("%s, refused by %s: %u letter%s, %" G_GINT64_FORMAT " row%s sent, %" G_GINT64_FORMAT
         " written, %lu refused again%s\n",
         g->sink, g->stage, g->letters->len, g->letters->len == 1 ? "" : "s", read,
         read == 1 ? "" : "s", written, again,
         !read && !again ? " (they were replayed before)" : "");
  fflush(stdout);
  if (again)
    worsen(r, MR_EXIT_LETTERS);
}

static void run_group(struct replaying *r, const struct mr_replay_group *g)
{
  struct mr_error err = MR_ERROR_INIT;
  const char *stage = NULL;
  bool unreachable = false;
  struct mr_pipeline_options o = {.os = mr_os_real(),
                                  .store = r->store,
                                  .once = true,
                                  .log = on_log,
                                  .ctx = r,
                                  .wants = mr_check_wants};
  struct mr_pipeline *p = mr_pipeline_new(g->spec, &o, &err, &stage);
  if (!p) {
    g_autofree char *why =
        g_strdup_printf("%s%s%s", stage ? stage : "", stage ? ": " : "", err.msg);
    failed(r, why, MR_EXIT_USAGE);
    return;
  }
  running = p;
  int st = mr_pipeline_run(p);
  running = NULL;
  const char *why = mr_pipeline_failure(p, &unreachable);
  if (st >= 0)
    report(r, g, p);
  else
    failed(r, why ? why : "stopped before everything was committed",
           unreachable        ? MR_EXIT_UNREACHABLE
           : st == MR_BADCONF ? MR_EXIT_USAGE
                              : MR_EXIT_FAILED);
  mr_pipeline_free(p);
}

static void tell(int64_t n, const char *what)
{
  if (n)
    printf("%" G_GINT64_FORMAT " letter%s %s\n", n, n == 1 ? "" : "s", what);
}

static void run_groups(struct replaying *r, const struct mr_replay *replay)
{
  g_autofree char *why = NULL;
  int code;
  r->store = mr_app_store(r->spec, &why, &code);
  if (!r->store) {
    failed(r, why, code);
    return;
  }
  struct sigaction a = {.sa_handler = on_signal};
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  signal(SIGPIPE, SIG_IGN);
  for (guint i = 0; !stopped && i < replay->groups->len; i++)
    run_group(r, g_ptr_array_index(replay->groups, i));
  r->store->free(r->store);
}

static int replay_file(struct mr_app_file *f, const char *path, bool rows)
{
  struct replaying r = {.spec = f->spec};
  struct mr_error err = MR_ERROR_INIT;
  struct mr_letter_file *file = mr_letter_file_read(path, &err);
  struct mr_replay *replay = file ? mr_replay_new(f->spec, f->checked, file, rows, &err) : NULL;
  if (!replay)
    failed(&r, err.msg, MR_EXIT_USAGE);
  if (replay) {
    if (file->bad_lines)
      fprintf(stderr,
              "millrace: %s: %" G_GINT64_FORMAT
              " line%s no dead letter, the first is %" G_GINT64_FORMAT "\n",
              path, file->bad_lines, file->bad_lines == 1 ? " is" : "s are", file->first_bad);
    run_groups(&r, replay);
    tell(replay->early, "not counted: no sink has committed past the row in the run that wrote it");
    tell(replay->hopeless, "left: neither a message that can be read again nor a row");
    tell(replay->unknown, "left: the pipeline has no such stage or source");
    if (!file->letters->len)
      puts("no letters");
  }
  mr_replay_free(replay);
  mr_letter_file_free(file);
  return r.code;
}

int mr_cmd_replay(int argc, char **argv)
{
  gboolean rows = FALSE;
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"rows", 0, 0, G_OPTION_ARG_NONE, &rows,
       "rows enter at the stage that refused them, even where the message is there", NULL},
      {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sets, "override an option", "STAGE.OPTION=VALUE"},
      {NULL}};
  const char *file = mr_app_options(&argc, &argv, "FILE LETTERS",
                                    "Sends dead letters through the pipeline again, each only to "
                                    "the sinks it counts for. A second replay writes nothing.",
                                    entries);
  if (!file)
    return MR_EXIT_USAGE;
  prctl(PR_SET_DUMPABLE, 0); /* keys and rows do not go into core files */
  const char *letters = argv[2];
  struct mr_app_file f;
  int code = mr_app_load(&f, file, (const char *const *)sets);
  if (code == MR_EXIT_OK)
    code = replay_file(&f, letters, rows);
  mr_app_unload(&f);
  return code;
}
