/* SPDX-License-Identifier: Apache-2.0 */
/* millrace run FILE [--once] [--set stage.option=value]… [--quiet]
 *
 * SIGHUP reads the file again: when it is fine, the pipeline commits what it has read and ends, and
 * the one of the new file goes on at these positions, in the same process. */
#include <errno.h>
#include <glib/gprintf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/app.h"
#include "app/log-text.h"
#include "app/status-http.h"
#include "engine/pipeline.h"
#include "plug/check.h"
#include "plug/plug.h"

#define MAX_STAGES 256
#define PROGRESS_US 1000000
#define GO_ON (-1) /* no exit code */

struct run {
  const struct mr_spec *spec;
  bool quiet, progress;
  enum mr_pending_word pending;
  gboolean reset_state, new_state;
  bool once, letters; /* letters: there were some before the file was read again */
  const char *file;
  const char *const *sets;
  struct mr_app_file loaded, next;
  bool has_next;
  int64_t begun_us, shown_us, rows_then;
};

/* For the signal handler: running is set before signals are let in. */
static struct mr_pipeline *running;
static volatile sig_atomic_t stops, hangups;

static void on_signal(int number)
{
  if (number == SIGHUP) {
    hangups = 1;
    return;
  }
  stops++;
  if (running)
    mr_pipeline_drain(running);
  if (running && stops > 1)
    mr_pipeline_stop(running);
}

static void catch_signals(bool reloads)
{
  struct sigaction a = {.sa_handler = on_signal};
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  if (reloads)
    sigaction(SIGHUP, &a, NULL);
  signal(SIGPIPE, SIG_IGN);
}

static void on_event(void *ctx, const struct mr_log_event *e)
{
  const struct run *r = ctx;
  if (e->level < r->spec->settings.log_level || (r->quiet && e->level < MR_WARN))
    return;
  g_autofree char *line = mr_log_text(r->spec, e, g_get_real_time());
  fprintf(stderr, "%s%s", r->progress ? "\r\033[K" : "", line);
}

static void on_log(void *ctx, int level, const char *stage, const char *text)
{
  on_event(ctx, &(struct mr_log_event){.level = level, .stage = stage, .text = text, .rows = -1});
}

static bool is_json(const struct run *r)
{
  return r->spec->settings.log_format == MR_LOG_JSON;
}

/* Why the command ends. */
static void say_error(struct run *r, const char *text)
{
  g_autofree char *safe = mr_spec_redact(r->spec, text);
  if (is_json(r))
    on_log(r, MR_LOG_ERROR, NULL, safe);
  else
    fprintf(stderr, "millrace: %s\n", safe);
}

/* Rows that all sinks together have made durable. */
static int64_t rows_done(struct mr_pipeline *p, const char **ret_waiting)
{
  static struct mr_stage_stats stats[MAX_STAGES];
  size_t n = mr_pipeline_stats(p, stats, MAX_STAGES);
  int64_t rows = 0;
  for (size_t i = 0; i < n; i++) {
    if (stats[i].kind == MR_STAGE_SINK)
      rows += stats[i].rows_out;
    if (stats[i].status == 1 && *stats[i].text)
      *ret_waiting = stats[i].name;
  }
  return rows;
}

static void show_progress(struct run *r, struct mr_pipeline *p, int64_t now)
{
  const char *waiting = NULL;
  int64_t rows = rows_done(p, &waiting);
  double rate = (double)(rows - r->rows_then) * 1e6 / (double)MAX(now - r->shown_us, 1);
  g_autofree char *tail =
      waiting ? g_strdup_printf(", %s waits for its server", waiting) : g_strdup("");
  fprintf(stderr,
          "\r\033[K%" G_GINT64_FORMAT " rows, %.0f rows/s, %.1f MiB in flight, %lu dead letters%s",
          rows, rate, (double)mr_pipeline_memory(p) / 1048576,
          (unsigned long)mr_pipeline_letters(p), tail);
  fflush(stderr);
  r->rows_then = rows;
  r->shown_us = now;
}

/* ---- SIGHUP */

/* What would make it another pipeline; NULL: nothing. */
static const char *changed(const struct mr_spec *a, const struct mr_spec *b)
{
  g_autofree char *a_dir = mr_app_state_dir(a), *b_dir = mr_app_state_dir(b);
  if (strcmp(a->name, b->name))
    return "name";
  return g_strcmp0(a_dir, b_dir) || g_strcmp0(a->settings.state, b->settings.state)
             ? "settings.state"
             : NULL;
}

/* Tells what is wrong with the file, a line each. */
static void say_wrong(struct run *r, const char *why)
{
  g_auto(GStrv) lines = g_strsplit(why, "\n", -1);
  for (char **line = lines; *line; line++)
    if (**line)
      on_log(r, MR_WARN, NULL, *line);
  on_log(r, MR_WARN, NULL, "SIGHUP: nothing was changed, the pipeline goes on as it was");
}

/* Reads the file again. false: it stays as it was. */
static bool look_again(struct run *r)
{
  g_autofree char *why = NULL;
  bool fine = mr_app_load_again(&r->next, r->file, r->sets, &why) == MR_EXIT_OK;
  const char *other = fine ? changed(r->spec, r->next.spec) : NULL;
  if (other) {
    g_free(why);
    why = g_strdup_printf("%s: `%s` is another one: that needs a restart", r->file, other);
  }
  if (fine && !other)
    return true;
  say_wrong(r, why);
  mr_app_unload(&r->next);
  return false;
}

static void serve_hangup(struct run *r, struct mr_pipeline *p)
{
  hangups = 0;
  if (r->has_next || stops || !look_again(r))
    return;
  r->has_next = true;
  on_log(r, MR_INFO, NULL,
         "SIGHUP: what was read is committed, then the file as it is now goes on");
  mr_pipeline_drain(p);
}

/* Is the next file to run, now that this pipeline has ended? */
static bool goes_on(const struct run *r, const struct mr_pipeline *p, int status)
{
  return r->has_next && !stops && (status >= 0 || mr_pipeline_overdue(p));
}

static void set_spec(struct run *r)
{
  r->spec = r->loaded.spec;
  r->progress = !r->quiet && isatty(STDERR_FILENO) && r->spec->settings.log_format == MR_LOG_TEXT;
}

/* The next file takes the place of this one. */
static void take_next(struct run *r)
{
  mr_app_unload(&r->loaded);
  r->loaded = r->next;
  r->has_next = false;
  r->rows_then = 0;
  r->pending = MR_PENDING_ASK;
  r->reset_state = r->new_state = FALSE;
  set_spec(r);
}

static void on_tick(void *ctx, struct mr_pipeline *p)
{
  struct run *r = ctx;
  int64_t now = g_get_monotonic_time();
  if (hangups)
    serve_hangup(r, p);
  if (r->progress && now - r->shown_us >= PROGRESS_US)
    show_progress(r, p, now);
}

static void show_end(struct run *r, struct mr_pipeline *p)
{
  const char *waiting = NULL;
  double seconds = (double)(g_get_monotonic_time() - r->begun_us) / 1e6;
  int64_t rows = rows_done(p, &waiting);
  g_autofree char *text = g_strdup_printf(
      "%" G_GINT64_FORMAT " rows in %.1f s (%.0f rows/s), %lu dead letters", rows, seconds,
      (double)rows / MAX(seconds, 1e-6), (unsigned long)mr_pipeline_letters(p));
  if (is_json(r))
    on_log(r, MR_INFO, NULL, text);
  else if (!r->quiet)
    fprintf(stderr, "%s%s\n", r->progress ? "\r\033[K" : "", text);
}

static int exit_code(struct run *r, struct mr_pipeline *p, int status)
{
  bool unreachable = false;
  const char *why = mr_pipeline_failure(p, &unreachable);
  if (status >= 0)
    return mr_pipeline_letters(p) || r->letters ? MR_EXIT_LETTERS : MR_EXIT_OK;
  say_error(r, why ? why : "stopped before everything was committed");
  if (unreachable)
    return MR_EXIT_UNREACHABLE;
  return status == MR_BADCONF ? MR_EXIT_USAGE : MR_EXIT_FAILED;
}

static int refused(struct run *r, const char *why, int code)
{
  say_error(r, why);
  return code;
}

/* NULL: err. */
static char *store_name(struct mr_store *store, struct mr_error *err)
{
  uint64_t id = 0;
  return store->identity(store, &id, err) < 0 ? NULL : g_strdup_printf("%016lx", (unsigned long)id);
}

/* Runs a pipeline until it ends. GO_ON: it made room for that of the next file. */
static int run_pipeline(struct run *r, struct mr_pipeline *p)
{
  g_autofree char *why = NULL;
  running = p;
  if (stops) /* meanwhile */
    mr_pipeline_drain(p);
  r->begun_us = r->shown_us = g_get_monotonic_time();
  struct mr_status_http *http =
      r->spec->settings.http ? mr_status_http_new(r->spec, p, &why) : NULL;
  if (why)
    say_error(r, why);
  int status = why ? MR_BADCONF : mr_pipeline_run(p);
  running = NULL;
  mr_status_http_free(http);
  r->letters |= mr_pipeline_letters(p) > 0;
  if (goes_on(r, p, status))
    return GO_ON;
  show_end(r, p);
  return exit_code(r, p, status);
}

static int run_with(struct run *r, struct mr_store *store)
{
  g_autofree char *dir = mr_app_state_dir(r->spec);
  struct mr_error err = MR_ERROR_INIT;
  const char *stage = NULL;
  g_autofree char *name = store_name(store, &err);
  if (!name)
    return refused(r, err.msg, err.unreachable ? MR_EXIT_UNREACHABLE : MR_EXIT_FAILED);
  struct mr_pipeline_options o = {.os = mr_os_real(),
                                  .store = store,
                                  .dir = dir,
                                  .once = r->once,
                                  .pending = r->pending,
                                  .reset_state = r->reset_state,
                                  .store_name = name,
                                  .new_store = r->new_state,
                                  .log = on_log,
                                  .event = on_event,
                                  .tick = on_tick,
                                  .ctx = r,
                                  .wants = mr_check_wants};
  struct mr_pipeline *p = mr_pipeline_new(r->spec, &o, &err, &stage);
  if (!p) {
    g_autofree char *text =
        g_strdup_printf("%s%s%s", stage ? stage : "", stage ? ": " : "", err.msg);
    return refused(r, text, MR_EXIT_USAGE);
  }
  int code = run_pipeline(r, p);
  mr_pipeline_free(p);
  return code;
}

static int run_spec(struct run *r)
{
  g_autofree char *why = NULL;
  int code = MR_EXIT_USAGE;
  struct mr_store *store = mr_app_store(r->spec, &why, &code);
  if (!store)
    return refused(r, why, code);
  code = run_with(r, store);
  store->free(store);
  return code;
}

static int run_file(struct run *r)
{
  /* of a terminal that is closed SIGHUP means the end */
  catch_signals(!r->once && !isatty(STDERR_FILENO));
  int code = mr_app_load(&r->loaded, r->file, r->sets);
  if (code == MR_EXIT_OK) {
    set_spec(r);
    while ((code = run_spec(r)) == GO_ON)
      take_next(r);
  }
  if (r->has_next)
    mr_app_unload(&r->next);
  mr_app_unload(&r->loaded);
  return code;
}

static enum mr_pending_word pending_word(const char *text)
{
  if (!g_strcmp0(text, "landed"))
    return MR_PENDING_LANDED;
  return !g_strcmp0(text, "not-landed") ? MR_PENDING_NOT_LANDED : MR_PENDING_ASK;
}

int mr_cmd_run(int argc, char **argv)
{
  gboolean once = FALSE, quiet = FALSE, reset_state = FALSE, new_state = FALSE;
  g_autofree char *pending = NULL;
  g_auto(GStrv) sets = NULL;
  GOptionEntry entries[] = {
      {"once", 0, 0, G_OPTION_ARG_NONE, &once, "stop at the end each source had at start", NULL},
      {"set", 0, 0, G_OPTION_ARG_STRING_ARRAY, &sets, "override an option", "STAGE.OPTION=VALUE"},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &quiet, "warnings and errors only", NULL},
      {"pending", 0, 0, G_OPTION_ARG_STRING, &pending,
       "what became of a unit that its target has forgotten", "landed|not-landed"},
      {"new-state", 0, 0, G_OPTION_ARG_NONE, &new_state,
       "go on, although another state has come further in the group", NULL},
      {"reset-state", 0, 0, G_OPTION_ARG_NONE, &reset_state,
       "have transforms forget what they have saved", NULL},
      {NULL}};
  const char *file =
      mr_app_options(&argc, &argv, "FILE", "run a pipeline until it is stopped", entries);
  if (!file)
    return MR_EXIT_USAGE;
  prctl(PR_SET_DUMPABLE, 0); /* keys and rows do not go into core files */
  if (pending && !pending_word(pending)) {
    fprintf(stderr, "millrace: --pending is `landed` or `not-landed`\n");
    return MR_EXIT_USAGE;
  }
  struct run r = {.file = file,
                  .sets = (const char *const *)sets,
                  .quiet = quiet,
                  .once = once,
                  .pending = pending_word(pending),
                  .reset_state = reset_state,
                  .new_state = new_state};
  return run_file(&r);
}
