/* SPDX-License-Identifier: Apache-2.0 */
/* sim [FIRST [COUNT]]: that many seeds in forked chunks (a killed process leaves its memory
 * behind). sim --trace SEED: one, told. sim --rows: the named regressions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sim.h"

#define CHUNK 200
static const char *const classes[] = {"", "plain", "idempotent", "two-phase", "transactional"};

static int one(uint64_t seed, bool trace)
{
  struct sim_config c;
  char *why = NULL;
  sim_config_draw(&c, seed);
  c.trace = trace;
  enum sim_result r = sim_run(&c, &why);
  if (r == SIM_VIOLATION)
    printf("seed %lu (%s, %d processes%s): %s\n", (unsigned long)seed, classes[c.delivery], c.procs,
           c.two_sinks ? ", two sinks" : "", why);
  fflush(stdout);
  return r;
}

static void chunk(uint64_t first, uint64_t n, int fd)
{
  uint32_t count[3] = {0};
  for (uint64_t i = 0; i < n; i++)
    count[one(first + i, false)]++;
  if (write(fd, count, sizeof count) != sizeof count)
    _exit(3);
  _exit(0);
}

static bool run_chunk(uint64_t first, uint64_t n, uint64_t *total)
{
  int fds[2], status;
  uint32_t count[3];
  if (pipe(fds))
    return false;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0)
    chunk(first, n, fds[1]);
  close(fds[1]);
  bool ok = read(fds[0], count, sizeof count) == sizeof count;
  close(fds[0]);
  waitpid(pid, &status, 0);
  if (!ok) {
    printf("seeds %lu..%lu: the simulation itself crashed\n", (unsigned long)first,
           (unsigned long)(first + n - 1));
    return false;
  }
  for (int i = 0; i < 3; i++)
    total[i] += count[i];
  return true;
}

int main(int argc, char **argv)
{
  uint64_t first = 1, n = 2000, total[3] = {0};
  if (argc == 3 && !strcmp(argv[1], "--trace"))
    return one(strtoull(argv[2], NULL, 10), true) == SIM_VIOLATION;
  if (argc == 2 && !strcmp(argv[1], "--rows"))
    return sim_rows();
  if (argc > 1)
    first = strtoull(argv[1], NULL, 10);
  if (argc > 2)
    n = strtoull(argv[2], NULL, 10);
  bool crashed = false;
  printf("1..1\n");
  for (uint64_t i = 0; i < n; i += CHUNK)
    crashed |= !run_chunk(first + i, MIN(CHUNK, n - i), total);
  bool ok = !crashed && !total[SIM_VIOLATION];
  printf("# %lu seeds: %lu ended exactly, %lu stopped (label forgotten), %lu violations\n",
         (unsigned long)n, (unsigned long)total[0], (unsigned long)total[1],
         (unsigned long)total[2]);
  printf("%s 1 - seeds %lu to %lu\n", ok ? "ok" : "not ok", (unsigned long)first,
         (unsigned long)(first + n - 1));
  return !ok;
}
