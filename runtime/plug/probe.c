/* SPDX-License-Identifier: Apache-2.0 */
/* Loads a module in a child process: what it does to that process is told, and this one goes on. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "plug/plug.h"

#define DEADLINE_S 10

/* The child: quiet, without a core file, and gone after the deadline. */
static void load_in_child(const char *path)
{
  struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  for (int s = 1; s < 32; s++)
    if (s != SIGKILL && s != SIGSTOP)
      signal(s, SIG_DFL);
  alarm(DEADLINE_S);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; null >= 0 && fd < 3; fd++)
    dup2(null, fd);
  dlopen(path, RTLD_NOW | RTLD_LOCAL);
  _exit(0); /* a module that merely does not load is told by this process's own attempt */
}

static char *tell(int status)
{
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
    return NULL;
  if (WIFEXITED(status))
    return g_strdup_printf("ended the process while loading (exit status %d)", WEXITSTATUS(status));
  int sig = WTERMSIG(status);
  if (sig == SIGALRM)
    return g_strdup_printf("did not finish loading within %d seconds", DEADLINE_S);
  if (sig == SIGABRT)
    return g_strdup_printf("aborted while loading (signal %d)", sig);
  return g_strdup_printf("crashed while loading (signal %d, %s)", sig, strsignal(sig));
}

char *mr_registry_probe(const char *path)
{
  pid_t pid = fork();
  int status;
  if (pid < 0)
    return g_strdup_printf("cannot be tried in a child process: %s", g_strerror(errno));
  if (pid == 0)
    load_in_child(path);
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR)
      return g_strdup_printf("cannot be tried in a child process: %s", g_strerror(errno));
  return tell(status);
}
