/* SPDX-License-Identifier: Apache-2.0 */
/* millrace top [URL]: a table of the stages, again every second. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include "app/app.h"
#include "app/top.h"

#define EVERY_MS 1000

static volatile sig_atomic_t interrupted; /* a signal handler has nowhere else to write */

static void on_signal(int number)
{
  interrupted = 1;
}

/* Keys come one by one and are not shown, until terminal_done. */
struct terminal {
  bool live, keys;
  struct termios before;
};

static void terminal_init(struct terminal *t)
{
  struct sigaction act = {.sa_handler = on_signal};
  *t = (struct terminal){.live = isatty(STDOUT_FILENO)};
  t->keys = t->live && isatty(STDIN_FILENO) && !tcgetattr(STDIN_FILENO, &t->before);
  if (!t->live)
    return;
  sigaction(SIGINT, &act, NULL);
  sigaction(SIGTERM, &act, NULL);
  struct termios raw = t->before;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  if (t->keys)
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

static void terminal_done(const struct terminal *t)
{
  if (t->keys)
    tcsetattr(STDIN_FILENO, TCSANOW, &t->before);
}

static int columns_of(const struct terminal *t)
{
  struct winsize size;
  return t->live && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ? size.ws_col : 0;
}

/* Waits until a second is over; true: the user wants to end. */
static bool wait_second(const struct terminal *t, gint64 since)
{
  gint64 left;
  while (!interrupted && (left = EVERY_MS - (g_get_monotonic_time() - since) / 1000) > 0) {
    struct pollfd in = {.fd = t->keys ? STDIN_FILENO : -1, .events = POLLIN};
    char key = 0;
    if (poll(&in, 1, (int)left) <= 0 || !in.revents)
      continue;
    if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
      return true;
  }
  return interrupted;
}

static int show(const struct terminal *t, const char *url, gint times)
{
  gint64 at = g_get_monotonic_time();
  g_autofree char *before = mr_status_get(url, "/status");
  for (gint i = 0; before && (!times || i < times); i++) {
    if (wait_second(t, at))
      return MR_EXIT_OK;
    gint64 now = g_get_monotonic_time();
    char *body = mr_status_get(url, "/status");
    g_autofree char *table =
        body ? mr_top_table(before, body, (double)(now - at) / 1e6, columns_of(t)) : NULL;
    g_free(before);
    before = body;
    at = now;
    if (body && !table) {
      fprintf(stderr, "millrace: %s does not answer as a pipeline does\n", url);
      return MR_EXIT_FAILED;
    }
    if (table)
      printf("%s%s", t->live ? "\033[H\033[J" : "", table);
    fflush(stdout);
  }
  return before ? MR_EXIT_OK : MR_EXIT_UNREACHABLE;
}

int mr_cmd_top(int argc, char **argv)
{
  gint times = 0;
  struct terminal t;
  GOptionEntry entries[] = {{"times", 'n', 0, G_OPTION_ARG_INT, &times,
                             "stop after so many tables (1 when this is no terminal)", "N"},
                            {NULL}};
  const char *url = mr_app_options(
      &argc, &argv, "[URL]",
      "What each stage of a running pipeline does, again every second; q or Ctrl-C ends.", entries);
  if (!url)
    return MR_EXIT_USAGE;
  terminal_init(&t);
  int code = show(&t, mr_status_url(url), times > 0 ? times : t.live ? 0 : 1);
  terminal_done(&t);
  return code;
}
