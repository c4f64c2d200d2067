/* SPDX-License-Identifier: Apache-2.0 */
/* The simulation: the real engine over a fake clock, source, store and sinks. Everything that
 * happens is drawn from one seed: which thread runs next, where a process dies or sleeps, which
 * replies are lost, which requests land late. A seed replays exactly. */
#ifndef SIM_H
#define SIM_H
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "engine/engine.h"

#define SIM_LANES 2
#define SIM_MAX_ROWS 24
#define SIM_PROCS 2
#define SIM_IDS 4096

/* Fault budgets and the shape of the data; all drawn from the seed, or set by a named test. */
struct sim_config {
  uint64_t seed;
  uint32_t delivery; /* enum mr_delivery */
  int procs;         /* 1 or 2 */
  int crashes, lost_replies, late_requests, forgotten, pauses, moves, breaks, schema_changes;
  int store_lost; /* answers of the store that are lost: it did what it was asked to */
  bool flaky, explode, two_sinks;
  bool everybody;    /* two machines without a group: each takes every lane */
  bool unkept;       /* idempotent: the target knows nothing again, so blocks are not kept */
  bool stateful;     /* a transform numbers the rows of each lane */
  bool late_start;   /* the start option means another place at every start, as `latest` does */
  int64_t memory;    /* settings.memory, bytes */
  int64_t window_ms; /* idempotent: the target forgets a token after that; 0: never */
  unsigned
      broken; /* enum sim_broken: a rule of the protocol that the target, store or reader breaks */
  int rows[SIM_LANES]; /* of each lane */
  bool trace;
};

/* Broken on purpose, to show that the simulation sees what the rule is for. */
enum sim_broken {
  SIM_NO_POSITION = 1, /* compare-and-set does not look at the position */
  SIM_NO_OWNER = 2,    /* nor at the owner */
  SIM_NO_WAIT = 4,    /* reading lane rows again does not wait for, nor fence, an old transaction */
  SIM_NO_FENCE = 8,   /* the store accepts a deposed owner */
  SIM_NO_RUNS = 16,   /* letters count without run and mark */
  SIM_NO_TOKEN = 32,  /* the target knows no tokens */
  SIM_NO_WINDOW = 64, /* the sink does not say when its target forgets them */
  SIM_NO_LABELS = 128,   /* lane rows do not remember labels */
  SIM_NO_STATE = 256,    /* what transforms saved is not kept with the positions */
  SIM_ALL_LABELS = 1024, /* asked for labels, the store gives those of other lanes, too */
  SIM_OLD_STATE = 512,   /* it is, but for the last one */
};

enum sim_request_kind { SIM_TXN = 1, SIM_PREPARE, SIM_COMMIT, SIM_ABORT, SIM_SEND };
/* A request that left its sender: it lands when it is due, whatever became of the sender. */
struct sim_request {
  enum sim_request_kind kind;
  int sink;
  int64_t due;
  bool holds_lock; /* transaction: its lane rows are locked already; only COMMIT is outstanding */
  char *label;
  int proc, life; /* its sender */
  GArray *lanes;  /* struct mr_mark: of the unit when it began; NULL: none */
  GArray *ids;    /* int64_t */
  GArray *marks;  /* struct mr_mark, names and state copied */
};
struct sim_lane_row {
  bool exists;
  uint64_t owner, run;
  struct mr_position position, from;
  const void *founder; /* the store instance that made it */
  char *label;         /* of the unit that its owner began last */
  GBytes *state, *old; /* saved state; the one before */
};
struct sim_label {
  char *label;
  int sink;
  int state;      /* enum mr_outcome */
  int64_t at;     /* when it came to be */
  int proc, life; /* who prepared it, and in which of its lives */
  GArray *lanes;  /* struct mr_mark: that it might hold rows of */
  GArray *ids;
};
struct sim_letter {
  bool mark;
  uint64_t run;
  int64_t lane, position, upto;
  char *stage;
  char *sink; /* NULL: all */
};
/* What outlives processes. */
struct sim_world {
  struct sim_config c;
  uint64_t rng;
  int64_t now;
  char kind[SIM_LANES][SIM_MAX_ROWS]; /* n one output, x two, d none, f refused now and then */
  int landed[2][SIM_IDS], number[2][SIM_IDS]; /* number: that the row landed with last */
  struct sim_lane_row rows[2][SIM_LANES];
  GPtrArray *labels, *requests, *letters;
  /* the store's machine-wide memory */
  struct sim_lane_row store_rows[2][SIM_LANES];
  GPtrArray *pending; /* struct sim_pending * */
  GHashTable *blocks;
  uint64_t numbers[2];
  int life[SIM_PROCS]; /* times that a process was started */
  bool ran[2];
  /* group */
  int owner_of[SIM_LANES];
  uint64_t generation[SIM_LANES];
  bool forgot;
  uint64_t first[SIM_LANES];      /* late_start: what the start option means now */
  uint64_t founded[2][SIM_LANES]; /* first positions as they were made durable */
  GHashTable *sent;               /* token -> GBytes: the bytes that were sent first */
  char *violation;
};
struct sim_pending {
  int sink;
  char *label;
  enum mr_pending_state state;
  int64_t recorded_us;
  GArray *marks;
};

uint64_t sim_draw(struct sim_world *w, uint64_t n);                /* 0..n-1 */
bool sim_spend(struct sim_world *w, int *budget, unsigned one_in); /* a fault happens now? */
void sim_trace(struct sim_world *w, const char *fmt, ...) MR_PRINTF(2, 3);
void sim_violate(struct sim_world *w, const char *fmt, ...) MR_PRINTF(2, 3);

/* os.c: coroutines as threads */
struct sim_os;
struct mr_os *sim_os_new(struct sim_world *w, int proc);
void sim_yield(void); /* another thread may run, the process may die here */
void sim_sleep(int64_t us);
int sim_current_proc(void);
void sim_start(struct sim_world *w, int proc, void (*fn)(void *), void *arg);
void sim_kill(struct sim_world *w, int proc);
bool sim_alive(int proc);
void sim_pause(struct sim_world *w, int proc, int64_t us); /* as SIGSTOP does */
/* Runs until nothing is left to happen or steps are used up (false). Calls between() before each
 * step; it gives the time of the next thing that it will do by itself, INT64_MAX: nothing. */
bool sim_schedule(struct sim_world *w, int64_t max_steps, int64_t (*between)(struct sim_world *w));
void sim_reset(void);

/* plugins.c, target.c, store.c */
extern const struct mr_plugin sim_source, sim_transform, sim_number, sim_letters_sink;
const struct mr_plugin *sim_sink_plugin(uint32_t delivery);
struct sim_sink_conf {
  struct sim_world *w;
  int sink;
};
void sim_land_due(struct sim_world *w);
struct mr_store *sim_store_new(struct sim_world *w);
void sim_request_free(void *r);
int64_t sim_id(int lane, uint64_t position, int element);
GArray *sim_copy_marks(const struct mr_mark *m, size_t n);
/* A lane row moves to the mark: position and state. */
void sim_row_move(struct sim_world *w, struct sim_lane_row *row, const struct mr_mark *m);
/* The state as whoever reads the row gets it. */
void sim_row_state(const struct sim_world *w, const struct sim_lane_row *row, struct mr_mark *ret);

const struct sim_lane_row *sim_durable(const struct sim_world *w, int sink, int lane);
bool sim_recorded(const struct sim_world *w, const char *label);

/* rows.c: the rows of the protocol's table of counterexamples, by name. 0: all pass */
int sim_rows(void);

/* run.c */
enum sim_result { SIM_OK = 0, SIM_STOPPED, SIM_VIOLATION };
enum sim_result sim_run(const struct sim_config *c, char **ret_violation);
void sim_config_draw(struct sim_config *c, uint64_t seed);
/* Processes share the lanes as members of one group do. */
static inline bool sim_group(const struct sim_config *c)
{
  return c->procs > 1 && !c->everybody;
}
#endif
