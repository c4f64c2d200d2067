/* SPDX-License-Identifier: Apache-2.0 */
/* millrace run FILE [--once] [--set stage.option=value]… [--quiet] */
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

struct run {
  const struct mr_spec *spec;
  bool quiet, progress;
  enum mr_pending_word pending;
  gboolean reset_state, new_state;
  int64_t begun_us, shown_us, rows_then;
};

static struct mr_pipeline
    *running; /* for the signal handler: set once, before signals are let in */

static void on_signal(int number)
{
  (void)number;
  if (running)
    mr_pipeline_stop(running);
}

static void catch_signals(void)
{
  struct sigaction a = {.sa_handler = on_signal};
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
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

static void on_tick(void *ctx, struct mr_pipeline *p)
{
  struct run *r = ctx;
  int64_t now = g_get_monotonic_time();
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
    return mr_pipeline_letters(p) ? MR_EXIT_LETTERS : MR_EXIT_OK;
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

static int run_spec(struct run *r, bool once)
{
  g_autofree char *dir = mr_app_state_dir(r->spec);
  g_autofree char *why = NULL;
  struct mr_error err = MR_ERROR_INIT;
  const char *stage = NULL;
  int code = MR_EXIT_USAGE;
  struct mr_store *store = mr_app_store(r->spec, &why, &code);
  if (!store)
    return refused(r, why, code);
  g_autofree char *name = store_name(store, &err);
  if (!name) {
    store->free(store);
    return refused(r, err.msg, err.unreachable ? MR_EXIT_UNREACHABLE : MR_EXIT_FAILED);
  }
  struct mr_pipeline_options o = {.os = mr_os_real(),
                                  .store = store,
                                  .dir = dir,
                                  .once = once,
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
  code = MR_EXIT_USAGE;
  if (p) {
    running = p;
    catch_signals();
    r->begun_us = r->shown_us = g_get_monotonic_time();
    struct mr_status_http *http =
        r->spec->settings.http ? mr_status_http_new(r->spec, p, &why) : NULL;
    if (why)
      say_error(r, why);
    int status = why ? MR_BADCONF : mr_pipeline_run(p);
    running = NULL;
    mr_status_http_free(http);
    show_end(r, p);
    code = exit_code(r, p, status);
    mr_pipeline_free(p);
  } else {
    g_autofree char *text =
        g_strdup_printf("%s%s%s", stage ? stage : "", stage ? ": " : "", err.msg);
    say_error(r, text);
  }
  store->free(store);
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
  struct mr_app_file f;
  int code = mr_app_load(&f, file, (const char *const *)sets);
  if (code == MR_EXIT_OK) {
    struct run r = {.spec = f.spec,
                    .quiet = quiet,
                    .pending = pending_word(pending),
                    .reset_state = reset_state,
                    .new_state = new_state,
                    .progress = !quiet && isatty(STDERR_FILENO) &&
                                f.spec->settings.log_format == MR_LOG_TEXT};
    code = run_spec(&r, once);
  }
  mr_app_unload(&f);
  return code;
}
