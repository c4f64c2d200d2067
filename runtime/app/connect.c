/* SPDX-License-Identifier: Apache-2.0 */
/* A child for each stage: its deadline can be kept whatever a library does, and one check cannot
 * harm another. */
#include "app/connect.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "engine/store.h"
#include "plug/host.h"

#define LINE_BYTES 4096 /* of a child's answer that are shown */

struct probe {
  const char *name;               /* what the line begins with */
  const struct mr_stage_spec *st; /* NULL: settings.state */
  pid_t pid;
  int fd;
  GString *text;
};

static int put(void *out, const void *data, size_t len)
{
  g_string_append_len(out, data, (gssize)len);
  return MR_OK;
}

/* "ok: …", "down: …", "wrong: …": the first byte of what the child writes tells the parent which.
 */
static void conclude(int rc, const struct mr_error *err, GString *answer)
{
  if (rc < 0)
    g_string_assign(answer, err->msg[0] ? err->msg : mr_status_name(rc));
  g_string_prepend_c(answer, rc >= 0 ? '+' : rc == MR_BADCONF ? '?' : '-');
}

static void ask_state(const struct mr_app_file *f, GString *answer)
{
  struct mr_error err = MR_ERROR_INIT;
  g_autofree char *text = NULL;
  int rc = mr_store_postgres_check(f->spec->settings.state, f->spec->name, &text, &err);
  g_string_append(answer, text ? text : "");
  conclude(rc, &err, answer);
}

static void ask(const struct mr_app_file *f, const struct mr_stage_spec *st, GString *answer)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_host host;
  g_auto(GStrv) want = st->plugin->source ? mr_check_wants(f->spec, st) : NULL;
  mr_host_init(&host, NULL);
  struct mr_open o = {.size = sizeof o,
                      .instances = 1,
                      .host = &host,
                      .conf = st->conf,
                      .pipeline = f->spec->name,
                      .stage = st->name};
  if (want)
    o.want = (struct mr_list){.item = want, .n = g_strv_length(want)};
  else
    o.in = mr_checked_schema(f->checked, mr_spec_stage(f->spec, st->name));
  int rc = st->plugin->check(&o, put, answer, &err);
  conclude(rc, &err, answer);
}

static void run_child(const struct mr_app_file *f, const struct mr_stage_spec *st, int fd)
{
  GString *answer = g_string_new(NULL);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (st)
    ask(f, st, answer);
  else
    ask_state(f, answer);
  const char *at = answer->str;
  for (gsize left = MIN(answer->len, LINE_BYTES); left;) {
    ssize_t n = write(fd, at, left);
    if (n < 0 && errno != EINTR)
      break;
    if (n < 0)
      continue;
    at += n;
    left -= (gsize)n;
  }
  _exit(0);
}

static void start(const struct mr_app_file *f, const char *name, const struct mr_stage_spec *st,
                  GArray *probes)
{
  int pair[2];
  struct probe p = {.name = name, .st = st, .pid = -1, .fd = -1, .text = g_string_new(NULL)};
  fflush(NULL);
  if (pipe(pair) == 0) {
    p.fd = pair[0];
    p.pid = fork();
    if (p.pid == 0)
      run_child(f, st, pair[1]);
    close(pair[1]);
  }
  g_array_append_val(probes, p);
}

static void start_stage(const struct mr_app_file *f, const struct mr_stage_spec *st, GArray *probes)
{
  if (st->broken)
    printf("%s: not asked: its settings have errors\n", st->name);
  else if (MR_HAS(st->plugin, check))
    start(f, st->name, st, probes);
}

/* Reads until the child closes its end or the deadline has passed; false: it has. */
static bool collect(struct probe *p, int64_t deadline_us)
{
  char buf[512];
  while (p->fd >= 0 && p->text->len <= LINE_BYTES) {
    int64_t left = (deadline_us - g_get_monotonic_time()) / 1000;
    struct pollfd fd = {.fd = p->fd, .events = POLLIN};
    int n = poll(&fd, 1, left > 0 ? (int)left : 0); /* what is there already counts */
    if (n == 0)
      return false;
    if (n < 0 && errno == EINTR)
      continue;
    ssize_t got = n > 0 ? read(p->fd, buf, sizeof buf) : -1;
    if (got <= 0)
      break;
    g_string_append_len(p->text, buf, got);
  }
  return true;
}

static int finish(const struct mr_app_file *f, struct probe *p, int64_t deadline_us)
{
  bool in_time = collect(p, deadline_us);
  int status = 0;
  if (p->pid > 0 && !in_time)
    kill(p->pid, SIGKILL);
  if (p->pid > 0)
    waitpid(p->pid, &status, 0);
  if (p->fd >= 0)
    close(p->fd);
  char kind = in_time && p->text->len ? p->text->str[0] : '-';
  g_autofree char *answer =
      mr_spec_redact(f->spec, in_time && p->text->len ? p->text->str + 1 : "");
  g_autofree char *whose =
      p->st ? g_strdup_printf("plugin `%s`", p->st->plugin->name) : g_strdup("the state");
  g_strchomp(answer);
  g_string_free(p->text, TRUE);
  if (!in_time)
    printf("%s: down: no answer within %d s\n", p->name, MR_CONNECT_MS / 1000);
  else if (WIFSIGNALED(status))
    printf("%s: down: the check of %s crashed (signal %d)\n", p->name, whose, WTERMSIG(status));
  else
    printf("%s: %s: %s\n", p->name, kind == '+' ? "ok" : kind == '?' ? "wrong" : "down", answer);
  fflush(stdout);
  return kind == '+' ? MR_EXIT_OK : kind == '?' ? MR_EXIT_USAGE : MR_EXIT_UNREACHABLE;
}

int mr_connect_all(const struct mr_app_file *f)
{
  g_autoptr(GArray) probes = g_array_new(FALSE, FALSE, sizeof(struct probe));
  int worst = MR_EXIT_OK;
  int64_t deadline_us = g_get_monotonic_time() + (int64_t)MR_CONNECT_MS * 1000;
  for (guint i = 0; i < f->spec->lookups->len; i++)
    start_stage(f, g_ptr_array_index(f->spec->lookups, i), probes);
  for (guint i = 0; i < f->spec->stages->len; i++)
    start_stage(f, g_ptr_array_index(f->spec->stages, i), probes);
  if (f->spec->dead_letter)
    start_stage(f, f->spec->dead_letter, probes);
  if (mr_store_is_postgres(f->spec->settings.state))
    start(f, "state", NULL, probes);
  for (guint i = 0; i < probes->len; i++) {
    int code = finish(f, &g_array_index(probes, struct probe, i), deadline_us);
    worst = MAX(worst, code);
  }
  return worst;
}
