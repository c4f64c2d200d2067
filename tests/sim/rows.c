/* SPDX-License-Identifier: Apache-2.0 */
/* The table of counterexamples of docs/protocol.md, each as a named test: many seeds with the
 * faults that the row is about must pass, and, where a rule can be broken outside the engine, the
 * same seeds with that rule broken must be caught. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "sim.h"

#define SEEDS 400

struct row {
  const char *name;
  uint32_t delivery;
  int procs;
  int crashes, lost, late, forgotten, pauses, moves, schema, window_ms;
  bool flaky, explode, two_sinks, everybody, late_start, small_memory, unkept, stateful;
  unsigned broken; /* 0: nothing to break from outside */
};
static const struct row rows[] = {
    {"01 late COMMIT after the rows were read again", MR_TRANSACTIONAL, 1, .late = 4, .lost = 2,
     .broken = SIM_NO_POSITION | SIM_NO_WAIT},
    {"02 a deposed process commits late", MR_TRANSACTIONAL, 2, .late = 3, .pauses = 3, .moves = 4,
     .broken = SIM_NO_POSITION | SIM_NO_OWNER},
    {"03 own transaction again under the same owner", MR_TRANSACTIONAL, 1, .late = 5,
     .broken = SIM_NO_POSITION | SIM_NO_WAIT},
    {"04 two owners do not refuse each other without a fault", MR_TRANSACTIONAL, 2},
    {"05 lanes of one process commit at different times", MR_TRANSACTIONAL, 2, .late = 3,
     .moves = 4, .broken = SIM_NO_POSITION | SIM_NO_OWNER},
    {"06 lane rows come to be only by found", MR_TRANSACTIONAL, 1, .crashes = 3, .late = 3,
     .late_start = true},
    {"07 a lost answer to COMMIT", MR_TRANSACTIONAL, 1, .lost = 5, .late = 3,
     .broken = SIM_NO_POSITION | SIM_NO_OWNER | SIM_NO_WAIT},
    {"08 two-phase: prepared before it is recorded, recorded before it is committed", MR_TWO_PHASE,
     2, .crashes = 2, .late = 3, .moves = 3, .broken = SIM_NO_FENCE},
    {"09 two-phase: an unknown label is not taken for committed", MR_TWO_PHASE, 1, .crashes = 4,
     .late = 2},
    {"10 two-phase: no stop unless the target really forgot", MR_TWO_PHASE, 1, .crashes = 4,
     .lost = 3},
    {"11 two-phase: a prepared label is committed, not rolled back", MR_TWO_PHASE, 2, .crashes = 2,
     .late = 4, .moves = 2},
    {"13 idempotent: the same bytes under the same token", MR_IDEMPOTENT, 1, .crashes = 4,
     .lost = 3, .flaky = true, .broken = SIM_NO_TOKEN},
    {"14 idempotent: a row does not land and die", MR_IDEMPOTENT, 1, .crashes = 4, .late = 3,
     .flaky = true},
    {"15 idempotent: the cut of a block is kept", MR_IDEMPOTENT, 1, .crashes = 4, .flaky = true,
     .explode = true},
    {"16 idempotent: a token that the target may have forgotten is not sent", MR_IDEMPOTENT, 1,
     .crashes = 3, .lost = 4, .pauses = 4, .window_ms = 300, .broken = SIM_NO_WINDOW},
    {"17 idempotent: who takes one lane over finishes the whole unit", MR_IDEMPOTENT, 2,
     .crashes = 2, .moves = 4, .late = 2},
    {"18 a store that does not refuse a deposed owner", MR_IDEMPOTENT, 2, .pauses = 3, .moves = 4,
     .late = 3, .broken = SIM_NO_FENCE},
    {"20 letters count by run and mark", MR_TRANSACTIONAL, 1, .crashes = 4, .late = 3,
     .flaky = true, .broken = SIM_NO_RUNS},
    {"22 a stage that keeps state has an instance for each sink", MR_TRANSACTIONAL, 1, .crashes = 4,
     .late = 3, .flaky = true, .explode = true, .two_sinks = true, .stateful = true,
     .broken = SIM_NO_STATE},
    {"22 the same, two-phase, in a group", MR_TWO_PHASE, 2, .crashes = 3, .late = 2, .moves = 4,
     .flaky = true, .two_sinks = true, .stateful = true, .broken = SIM_NO_STATE},
    {"24 state goes with its lane's position", MR_TRANSACTIONAL, 2, .crashes = 2, .lost = 3,
     .late = 3, .pauses = 2, .moves = 4, .flaky = true, .stateful = true, .broken = SIM_OLD_STATE},
    {"24 the same, idempotent: in the record, too", MR_IDEMPOTENT, 2, .crashes = 3, .lost = 3,
     .late = 3, .moves = 3, .flaky = true, .stateful = true, .broken = SIM_OLD_STATE},
    {"23 a sink that is ahead keeps its positions", MR_TRANSACTIONAL, 1, .crashes = 4, .late = 3,
     .two_sinks = true},
    {"25 no barrier inside the outputs of one row", MR_TRANSACTIONAL, 1, .crashes = 4,
     .explode = true},
    {"26 the first position is durable before the first read", MR_PLAIN, 1, .crashes = 4,
     .late_start = true},
    {"27 a lane found later starts at its beginning", MR_TRANSACTIONAL, 2, .crashes = 2, .moves = 4,
     .late_start = true},
    {"28 acknowledged only when done", MR_TRANSACTIONAL, 1, .crashes = 3, .late = 3,
     .two_sinks = true},
    {"29 the schema changes between units", MR_TRANSACTIONAL, 1, .crashes = 2, .late = 2,
     .schema = 1},
    {"30 memory is spent before the barrier", MR_TWO_PHASE, 1, .crashes = 1, .explode = true,
     .small_memory = true},
    {"31 two machines without a group", MR_TRANSACTIONAL, 2, .late = 2, .pauses = 2,
     .everybody = true, .broken = SIM_NO_POSITION | SIM_NO_OWNER},
    {"33 plain: nothing lost", MR_PLAIN, 2, .crashes = 3, .lost = 3, .moves = 3},
    {"33b what the target would not know again is not kept: nothing lost", MR_IDEMPOTENT, 2,
     .crashes = 3, .lost = 3, .late = 2, .moves = 3, .flaky = true, .unkept = true},
    {"35 idempotent: a process that slept looks before it sends", MR_IDEMPOTENT, 2, .lost = 3,
     .pauses = 5, .moves = 5, .window_ms = 300, .broken = SIM_NO_WINDOW},
    {"34 nobody rolls back what a live process has prepared", MR_TWO_PHASE, 2, .crashes = 2,
     .lost = 2, .pauses = 2, .moves = 3, .broken = SIM_ALL_LABELS},
    {"34 a transaction left prepared is rolled back at start", MR_TWO_PHASE, 1, .crashes = 4,
     .lost = 2, .broken = SIM_NO_LABELS},
};

static void configure(struct sim_config *c, const struct row *r, uint64_t seed, unsigned broken)
{
  *c = (struct sim_config){.seed = seed * 7919 + 13,
                           .delivery = r->delivery,
                           .procs = r->procs,
                           .crashes = r->crashes,
                           .lost_replies = r->lost,
                           .late_requests = r->late,
                           .forgotten = r->forgotten,
                           .pauses = r->pauses,
                           .moves = r->moves,
                           .breaks = 1,
                           .schema_changes = r->schema,
                           .window_ms = r->window_ms,
                           .flaky = r->flaky,
                           .explode = r->explode,
                           .two_sinks = r->two_sinks,
                           .everybody = r->everybody,
                           .late_start = r->late_start,
                           .unkept = r->unkept,
                           .stateful = r->stateful,
                           .memory = r->small_memory ? 2000 : 0,
                           .broken = broken};
  struct sim_world w = {.rng = c->seed};
  for (int i = 0; i < SIM_LANES; i++)
    c->rows[i] = 4 + (int)sim_draw(&w, SIM_MAX_ROWS - 4);
}

/* How many seeds of the row end in a violation; a forked child, since killed processes leave their
 * memory behind. */
static int violations(const struct row *r, unsigned broken, char *why, size_t size)
{
  int fds[2], n = 0;
  if (pipe(fds))
    return -1;
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    char first[200] = "";
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
      struct sim_config c;
      char *v = NULL;
      configure(&c, r, seed, broken);
      if (sim_run(&c, &v) != SIM_VIOLATION)
        continue;
      if (!n++)
        snprintf(first, sizeof first, "seed %lu: %s", (unsigned long)seed, v);
    }
    if (write(fds[1], &n, sizeof n) < 0 || write(fds[1], first, sizeof first) < 0)
      _exit(1);
    _exit(0);
  }
  close(fds[1]);
  if (read(fds[0], &n, sizeof n) != sizeof n || read(fds[0], why, size) < 0)
    n = -1;
  close(fds[0]);
  waitpid(pid, NULL, 0);
  return n;
}

int sim_rows(void)
{
  int failed = 0;
  printf("1..%zu\n", MR_COUNT(rows));
  for (size_t i = 0; i < MR_COUNT(rows); i++) {
    char why[200] = "", caught[200] = "";
    int bad = violations(&rows[i], 0, why, sizeof why),
        seen = rows[i].broken ? violations(&rows[i], rows[i].broken, caught, sizeof caught) : 1;
    bool ok = bad == 0 && seen > 0;
    failed += !ok;
    if (bad)
      printf("# %d of %d seeds violate, %s\n", bad, SEEDS, why);
    if (rows[i].broken)
      printf("# with the rule broken: caught in %d of %d seeds, %s\n", seen, SEEDS, caught);
    printf("%s %zu - %s\n", ok ? "ok" : "not ok", i + 1, rows[i].name);
  }
  return failed != 0;
}
