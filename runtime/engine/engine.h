/* SPDX-License-Identifier: Apache-2.0 */
/* The engine's own structures, shared by its files. Public to the commands: pipeline.h. */
#ifndef MR_ENGINE_H
#define MR_ENGINE_H
#include <glib.h>
#include <pthread.h>
#include "conf/spec.h"
#include "engine/pipeline.h"
#include "engine/lane-table.h"
#include "engine/channel.h"
#include "engine/latency.h"
#include "engine/saved.h"
#include "engine/store.h"

#define MR_STATE_MAX 1048576 /* bytes that a stage may save of one lane, and all before a sink */

struct mr_pipeline;
struct mr_stage;

/* A lane of a source, known to the whole pipeline. Guarded by mr_pipeline.lock, but for what is
 * said. */
struct mr_lane {
  uint32_t id;
  struct mr_stage *source;
  char *name;
  struct mr_position first; /* where reading begins or began: the lowest of all sinks */
  bool has_first, gone;
  bool taken; /* another process owns it: its source gives it up, or the run ends */
  const struct mr_stage *taken_at; /* the sink that found out */
  char *taken_why;
  struct mr_position read;         /* source's thread: upto of the last batch, or first */
  struct mr_position cut;          /* source's thread: the cut that was asked for last */
  struct mr_position acked;        /* source's thread */
  int64_t event_us, event_seen_us; /* source's thread: greatest event time, INT64_MIN: none; when
                                    * the last row came, 0: never looked at */
};

/* What one sink instance knows of one lane. Sink's thread, but `stored`, `has_row`, `answered`:
 * also under mr_pipeline.lock. */
struct mr_sink_lane {
  struct mr_lane *lane;
  bool answered, has_row, owned; /* owned: cleared by the source's thread, under mr_pipeline.lock */
  bool mine;                     /* sink's thread: what it last saw of owned */
  uint64_t owner;
  struct mr_position stored; /* durable: under mr_pipeline.lock where others read it */
  struct mr_position at;     /* where the stream of this attempt stands */
  int64_t rows;              /* of the unit */
  struct mr_position base;   /* stored, when the attempt began */
  uint32_t masks;            /* mr_sink_state.masks, when the lane was told of it */
  GBytes *state; /* saved state at stored, NULL: none; under mr_pipeline.lock, as stored */
  GBytes *next;  /* sink's thread: at the last barrier; NULL: as state */
};

/* A batch of the unit: kept until the unit is durable; `dead` bit i: row i went to the dead
 * letters. */
struct mr_kept {
  struct mr_message *m;
  uint8_t *dead; /* NULL: none */
  int64_t n_dead;
};
/* One write of the unit: what mr_error.batch and row of a later call refer to, and the slice that
 * the sink may read until the unit is over. */
struct mr_written {
  guint kept;
  int64_t from;
  struct mr_batch batch;
};

/* A row that is on its way to the dead letters: counts when the call (sink: the unit) succeeds. */
struct mr_letter {
  char *stage, *sink, *source, *lane, *code, *message, *column, *row_json, *change_json;
  bool has_position;
  struct mr_position position;
  int64_t element, row; /* row: in its batch */
  uint64_t batch;       /* its id */
  GBytes *original;
  uint64_t run;
};

struct mr_request { /* from a source to a sink: take these lanes, or create their rows */
  struct mr_request *next;
  struct mr_stage *source;
  GPtrArray *lanes;          /* struct mr_lane * */
  struct mr_position *first; /* one for each lane: create the rows with these; NULL: take them */
};

struct mr_source_state {
  GPtrArray *lanes;    /* struct mr_lane *, its own */
  uint64_t injected;   /* number of the last barrier it sent */
  int64_t injected_us; /* when; 0: none yet */
  bool dirty;          /* batches since the last barrier */
  bool bounded;        /* it gave MR_END */
  bool cutting;        /* a sink was ahead when the attempt began */
  bool pressed;        /* memory was spent and the sinks were told to commit */
  GPtrArray *to_found; /* lanes whose first position is not durable yet */
  int64_t rows, bytes; /* since the last barrier */
};

struct mr_sink_state {
  GPtrArray *lanes;   /* struct mr_sink_lane * */
  GPtrArray *states;  /* GBytes *: what the marks of the unit point to */
  GArray *unit;       /* struct mr_kept */
  GPtrArray *written; /* struct mr_written *: freed behind commit, send or abort */
  int64_t unit_bytes, unit_rows;
  bool begun, careful, adrift; /* adrift: what comes is void until the next attempt */
  bool keyed;                  /* rows have keys: writing them again does no harm */
  bool forced;                 /* asked for a barrier because the unit is large */
  bool recovering;             /* a predecessor's unit: another process may finish it meanwhile */
  struct mr_unit now;          /* what begin, abort and commit are told */
  int64_t last_commit_us;
  bool committed_once;
  bool guessed; /* oldest_us, from what is durable */
  uint64_t label_number;
  int64_t recorded_us, recorded_wall_us; /* when the unit was recorded: mr_now_us, wall clock */
  char *label;
  GPtrArray *letters; /* struct mr_letter * of this unit */
  GByteArray *block;  /* idempotent: the sealed bytes; its room is kept from unit to unit */
  struct mr_request *requests; /* under mr_pipeline.lock */
  int lost;                    /* times that the unit was lost on its way to the target */
  int64_t whole;               /* rows of the unit that could not be written whole */
  _Atomic int64_t limit;       /* rows after which units end since then; 0: no limit */
  bool paused; /* its table cannot go on, the others do: what comes is dropped until the end of the
                * run. Written under mr_pipeline.lock */
  struct mr_latency *latency, *event_latency; /* of durable rows, since they were read, and since
                                               * their event; NULL: none yet; under
                                               * mr_pipeline.lock */
  char *masked;               /* what is masked in the rows that come; NULL: not known yet */
  uint32_t masks;             /* counts how often that has become something else */
  struct mr_shape *masked_of; /* of which columns */
  bool lettered; /* letters were written for rows since the last commit: it must be marked */
};

enum mr_stage_status {
  MR_ST_NEW = 0,
  MR_ST_WAITING,
  MR_ST_RUNNING,
  MR_ST_DONE,
  MR_ST_FAILED,
  MR_ST_PAUSED
};

struct mr_stage {
  struct mr_pipeline *p;
  const struct mr_stage_spec *spec;
  size_t index; /* of the spec in the pipeline's order */
  uint32_t instance, instances;
  /* Stages that keep state, and those behind them: the sink that they work for, which has them for
   * itself. NULL: they work for all. */
  const struct mr_stage_spec *sink;
  void *self;         /* the plugin's instance */
  GHashTable *selves; /* state.c: lane -> struct mr_lane_self *, own instances; NULL: keeps none */
  void *model;        /* of those: the instance that answers for the schema */
  uint8_t print[MR_SAVED_PRINT];
  bool opened, started;
  struct mr_host host;
  int wake_fd;
  struct mr_open open;
  char **wants; /* of open.want */
  struct mr_event event;
  void *thread;
  struct mr_shape *in, *out; /* NULL: not known yet */
  GPtrArray *inputs;         /* struct mr_channel *, owned by the producer */
  GPtrArray *outputs;        /* struct mr_fan *: one for each stage that reads from this one */
  struct mr_when *when;      /* or NULL */
  GPtrArray *letters;        /* struct mr_letter * of the running call or stretch */
  size_t letters_kept; /* letters of calls that succeeded: a failed call drops what is behind */
  uint64_t attempt;
  uint64_t next_batch;
  size_t turn;                /* next input to look at */
  struct mr_message *pending; /* the barrier or attempt that is being aligned */
  struct mr_trace *trace;     /* trace.c; NULL: nothing yet */
  struct mr_since since;      /* transform: of the rows that are being applied */
  struct mr_source_state src;
  struct mr_sink_state snk;
  /* metrics and status: written by the stage, read by anybody */
  _Atomic int64_t rows_in, rows_out, bytes_out, rejected, retries, busy_us, stall_us, last_rows_us,
      connect_errors;
  _Atomic int64_t watermark_us, late_rows; /* source with `time`; INT64_MIN: none */
  _Atomic int64_t oldest_us; /* sink: when the oldest row came that is not durable; 0: none */
  _Atomic int64_t held_rows; /* sink: of the unit */
  _Atomic int status;
  char *status_text, *last_error; /* under mr_pipeline.lock */
  GHashTable *metrics;            /* the plugin's own: name -> int64_t *; under mr_pipeline.lock */
  GHashTable *errors;             /* "kind\tcode" -> int64_t *; under mr_pipeline.lock */
};
/* The channels from one stage instance to all instances of one reader. */
struct mr_fan {
  struct mr_channel *channel;
  struct mr_stage **to;
  size_t n;
};

enum mr_stop { MR_RUN = 0, MR_DRAIN, MR_ABORT };

struct mr_pipeline {
  const struct mr_spec *spec;
  struct mr_os *os;
  struct mr_store *store;
  pthread_mutex_t lock;
  GPtrArray *stages; /* struct mr_stage *, topological */
  struct mr_lane_table lanes;
  bool *reach; /* [from spec * n + to spec] */
  struct mr_budget budget;
  _Atomic int stop;
  _Atomic int64_t stop_by_us;      /* a drain becomes an abort then */
  _Atomic uint64_t barrier_wanted; /* sources inject barriers up to this number */
  _Atomic bool urgent;
  _Atomic int64_t next_barrier_us;
  _Atomic uint64_t attempt; /* raised to have everything read again */
  _Atomic int32_t sources_left, sinks_left;
  uint64_t run; /* drawn at random: of this process */
  bool once;
  int pending;        /* enum mr_pending_word */
  char *store_name;   /* NULL: every sink keeps its positions itself, or nobody said it */
  bool new_store;     /* the user's word: another store may have come further */
  bool reset_state;   /* what stages have saved is forgotten */
  struct mr_dry *dry; /* not NULL: a dry run, which gets what stages send */
  _Atomic uint64_t letters_written;
  struct mr_letters *letters; /* NULL: no dead letters */
  struct mr_lookups *lookups; /* NULL: none */
  struct mr_host lookup_services;
  void (*log)(void *ctx, int level, const char *stage, const char *text);
  void (*event)(void *ctx, const struct mr_log_event *lend); /* NULL: nobody asks */
  GHashTable *traced; /* texts of settings.trace.values; NULL: none, or nobody asks */
  void (*tick)(void *ctx, struct mr_pipeline *p);
  void *log_ctx;
  /* result, under lock */
  int failed_status;
  bool failed_unreachable;
  bool overdue; /* main thread */
  char *failed_text;
  struct mr_event done;
};

/* ---- stage.c: what every stage does */
void mr_stage_status(struct mr_stage *s, enum mr_stage_status st, const char *fmt, ...)
    MR_PRINTF(3, 4);
/* The next message in order, barriers aligned over all inputs; NULL: nothing now, or the run is
 * aborted. The message is given. */
struct mr_message *mr_stage_next(struct mr_stage *s);
/* Sends to all readers; takes m. A batch waits while every channel is full (false: aborted, m is
 * gone); control never waits. */
bool mr_stage_send(struct mr_stage *s, struct mr_message *take);
void mr_stage_flush(struct mr_stage *s);  /* moves overflow on; never waits */
bool mr_stage_behind(struct mr_stage *s); /* overflow is left */
/* Waits on the stage's event, up to timeout_us, with overflow moved on. seen: read before the
 * condition was looked at. */
void mr_stage_wait(struct mr_stage *s, uint32_t seen, int64_t timeout_us);
/* Waits before try number `tries` (1...) of a failed call: err->retry_ms or capped exponential
 * backoff with jitter. false: stop. */
bool mr_stage_backoff(struct mr_stage *s, int tries, const struct mr_error *err);
/* After a call that gave MR_RETRY: says so the first time, waits. false: stop. *tries: counts from
 * 1. */
bool mr_stage_again(struct mr_stage *s, int *tries, const struct mr_error *err);
/* start() of the plugin until it succeeds. false: failed or stopped. */
bool mr_stage_start(struct mr_stage *s);
/* open() with this input; replaces an instance. false: failed. */
bool mr_stage_open(struct mr_stage *s, struct mr_shape *in);
/* Asks the plugin for the schema of what it gives; *ret NULL: not known yet. false: failed. */
bool mr_stage_shape(struct mr_stage *s, struct mr_shape **ret);
/* Other columns for an open transform or sink; as its evolve, MR_BADCONF also for rows that it does
 * not take (mr_plugin_takes). */
int mr_stage_evolve(struct mr_stage *s, const struct ArrowSchema *in, struct mr_error *err);
void mr_stage_close(struct mr_stage *s);
/* The last thing a stage with readers does: END goes out, behind what is still in the overflow. */
void mr_stage_end(struct mr_stage *s);
/* Does what the source gives reach the stage (through any path)? */
bool mr_stage_reaches(const struct mr_stage *source, const struct mr_stage *to);
/* Rejects that plugins reported since the last call count now (ok) or are dropped. */
void mr_stage_settle(struct mr_stage *s, bool ok);
/* What letters and marks of a lane carry: unique for each process, assignment of the lane, and
 * attempt. */
uint64_t mr_stage_run(const struct mr_stage *s, uint32_t lane);
static inline int mr_stopping(struct mr_pipeline *p)
{
  return atomic_load_explicit(&p->stop, memory_order_acquire);
}

/* ---- the loops */
/* A source's barriers while it does something else (connects, waits for memory): sends those that
 * are due. */
void mr_source_serve(struct mr_stage *s);
void mr_source_run(void *stage);
void mr_transform_run(void *stage);
/* What the loop does with one message, which it takes. false: the loop is over. */
bool mr_transform_handle(struct mr_stage *s, struct mr_message *take);
void mr_sink_run(void *stage);
/* Sink's thread: drops everything in memory and has it read again. */
void mr_sink_adrift(struct mr_stage *s);

/* ---- pipeline.c */
/* Records the first failure and aborts the run; MR_BADCONF of a sink that has run while others do
 * (its table has become another one) pauses that sink alone: its positions stay, and the run ends
 * with this failure. */
void mr_pipeline_fail(struct mr_pipeline *p, struct mr_stage *s, int status,
                      const struct mr_error *err);
void mr_pipeline_log(struct mr_pipeline *p, struct mr_stage *s, int level, const char *fmt, ...)
    MR_PRINTF(4, 5);
void mr_pipeline_wake(struct mr_pipeline *p); /* every stage looks around */

/* ---- watch.c: what is counted for those who watch */
/* Counts an error of the stage by kind ("unreachable", "transient", "refused": a row, "failed") and
 * code (may be NULL). Takes mr_pipeline.lock. */
void mr_stage_error(struct mr_stage *s, const char *kind, const char *code);
/* Sink's thread, under mr_pipeline.lock: the rows of the unit are durable now. */
void mr_sink_watch(struct mr_stage *sink);

/* ---- trace.c: what happened to rows, told to mr_pipeline_options.event; stage's thread */
void mr_trace_init(struct mr_pipeline *p);
void mr_trace_finish(struct mr_stage *s);
/* A batch, at debug level, and each of its rows that is traced. */
void mr_trace_batch(struct mr_stage *s, const char *event, const struct mr_message *m);
/* Row of b was refused, with this code. */
void mr_trace_refused(struct mr_stage *s, const struct mr_batch *b, int64_t row, const char *code);
/* The lanes of a unit that is durable, at debug level, and its traced rows. */
void mr_trace_durable(struct mr_stage *sink, const struct mr_unit *u);
/* Behind a mask stage: tells once for each lane, and again when it becomes something else, which
 * columns are masked in what the sink takes, from which position on. */
void mr_trace_masks(struct mr_stage *sink, struct mr_sink_lane *sl, const struct mr_position *from);

/* ---- checkpoint.c */
void mr_checkpoint_poll(struct mr_pipeline *p, int64_t now); /* time for the next barrier? */
void mr_checkpoint_force(struct mr_pipeline *p); /* a barrier now, to be committed at once */
void mr_checkpoint_again(struct mr_pipeline *p); /* everything not durable is read again */
/* Rows after which a barrier is sent, because a sink cannot write larger units; 0: no limit. */
int64_t mr_checkpoint_rows(const struct mr_pipeline *p);
/* Lowest stored position of the lane over all sinks; false: one has none yet. */
bool mr_checkpoint_done(struct mr_pipeline *p, struct mr_lane *l, struct mr_position *ret);
/* The same, over those that are not paused; of none: where its source stands. Source's thread. */
bool mr_checkpoint_live(struct mr_pipeline *p, struct mr_lane *l, struct mr_position *ret);

void mr_stage_init(struct mr_stage *s, struct mr_pipeline *p, const struct mr_stage_spec *spec,
                   size_t index, uint32_t instance, uint32_t instances);
void mr_stage_finish(struct mr_stage *s); /* closed; threads have ended */

/* ---- lanes.c: source's side and sink's side of naming lanes */
int mr_lanes_announce(struct mr_stage *s, const char *const *names, size_t n, struct mr_error *err);
int mr_lanes_name(struct mr_stage *s, const char *name, const struct mr_position *first,
                  uint32_t *ret, struct mr_position *ret_from, struct mr_error *err);
int mr_lanes_end(struct mr_stage *s, uint32_t lane, bool lost, int64_t wait_ms);
/* Sink's thread: another process owns the lane. Its rows are dropped, and with the next attempt,
 * which the caller asks for, its source gives it up. */
void mr_lane_taken(struct mr_stage *sink, uint32_t lane, const char *why);
/* Source's thread: gives up the lanes that were taken. false: its plugin cannot; the run has
 * failed. */
bool mr_lanes_give_up(struct mr_stage *s);
bool mr_lanes_found(struct mr_stage *s); /* makes first positions durable; false: stop */
/* Sink's thread: answers requests. A unit that is open meanwhile is written again: its transaction
 * and the lanes' are not one. false: the run stops. */
bool mr_lanes_serve(struct mr_stage *sink);
struct mr_sink_lane *mr_sink_lane(struct mr_stage *sink,
                                  uint32_t lane); /* NULL: not this instance's */
bool mr_sink_has_lane(
    const struct mr_stage *sink,
    const struct mr_lane *l); /* reached by its source, and this instance's share */
/* Under the lock: calls each() for every sink instance that gets the lane; sl NULL: it does not
 * know the lane yet. */
typedef void mr_sink_lane_fn(void *out, struct mr_stage *sink, struct mr_sink_lane *sl);
void mr_lanes_each(struct mr_pipeline *p, const struct mr_lane *l, mr_sink_lane_fn *each,
                   void *out);

/* ---- unit.c: the rows of a sink's unit */
/* Keeps the batch and writes it. Takes m. Gives enum mr_commit (DONE: written; AGAIN: it was lost
 * again, smaller units are on their way; REWRITE never) or < 0: status, failure recorded. */
int mr_unit_add(struct mr_stage *s, struct mr_message *take);
/* Aborts and writes everything again, until it works. As mr_unit_add. */
int mr_unit_rewrite(struct mr_stage *s);
void mr_written_free(void *written);
/* Aborts what was written, the rows are kept: the sink is to do something else than this unit.
 * true: mr_unit_rewrite must follow. */
bool mr_unit_pause(struct mr_stage *s);
/* Marks the row that err names as dead, or turns to careful mode. */
void mr_unit_isolate(struct mr_stage *s, const struct mr_error *err);
/* Takes the rows of lanes that are gone out of the unit; true: some were there, the unit must be
 * written again. */
bool mr_unit_purge(struct mr_stage *s);
/* Forgets the unit; done: it is durable; else it is aborted at the sink. */
void mr_unit_clear(struct mr_stage *s, bool done);

/* The label of unit n: [a-z0-9_]{1,64}, and no two pairs of pipeline and counter (a sink's name, or
 * an instance's) share one: names that are cut or changed get their checksum. give. */
char *mr_label_text(const char *pipeline, const char *counter, uint64_t n);
/* A fresh label for the next unit (two-phase, idempotent: durable before it is used). 0,
 * MR_COMMIT_STOPPED, or < 0. */
int mr_label_next(struct mr_stage *s);

/* ---- commit.c: one unit, by delivery class. 0: done; > 0: enum mr_commit; < 0: enum mr_status,
 * final */
enum mr_commit {
  MR_COMMIT_DONE = 0,
  MR_COMMIT_REWRITE = 1,
  MR_COMMIT_AGAIN = 2,
  MR_COMMIT_STOPPED = 3
};
int mr_commit_unit(struct mr_stage *s, struct mr_unit *u, struct mr_error *err);
/* Positions that live in the store := upto; the record of this label (NULL: none) goes with it.
 * DONE, STOPPED, or < 0: recorded. */
int mr_commit_positions(struct mr_stage *s, const struct mr_unit *u, const char *label,
                        struct mr_error *err);
/* What a predecessor left pending on these lanes is finished, by the record alone; the lanes are
 * taken already. false: failed or stopped. */
bool mr_commit_recover(struct mr_stage *s, const char *source, const char *const *lane, size_t n,
                       bool *ret_finished);

/* ---- letters.c */
/* A look at one row of b, as a batch that owns nothing: the children's offsets move. memory: to be
 * freed with g_free behind it. */
struct mr_batch mr_row_look(const struct mr_batch *b, int64_t row, void **ret_memory);
/* Does a mask stage stand before this one, so that what reaches it is masked? */
bool mr_stage_masked(const struct mr_stage *s);
struct mr_letter *mr_letter_new(struct mr_stage *s, const struct mr_batch *b, int64_t row,
                                const char *code, const char *msg, const char *column);
struct mr_letter *mr_letter_from(struct mr_stage *s, const struct mr_reject *r);
void mr_letter_free(void *letter);
/* A position of eight bytes as a number, others as hex. */
void mr_position_text(const struct mr_position *p, char *ret, size_t size);
/* Writes letters durably and frees them. false: the run has failed. */
bool mr_letters_flush(struct mr_stage *s, GPtrArray *letters);
/* Writes a sink's mark after its commit. */
bool mr_letters_mark(struct mr_stage *s, const struct mr_unit *u);
/* NULL with err->msg empty: the file declares none. */
struct mr_letters *mr_letters_new(struct mr_pipeline *p, struct mr_error *err);
void mr_letters_free(struct mr_letters *l);

/* ---- dry.c: hands what a stage sends to its readers, on the caller's thread; takes m. false: one
 * failed. */
bool mr_dry_sent(struct mr_dry *d, struct mr_stage *s, struct mr_message *take);

/* ---- state.c: stages that remember something from row to row */
bool mr_state_kept(const struct mr_stage_spec *spec); /* is it one? */
void mr_state_init(struct mr_stage *s);
void mr_state_close(struct mr_stage *s); /* its instances; stage's thread, or when that has ended */
void mr_state_finish(struct mr_stage *s);
enum mr_state_row {
  MR_STATE_FAILED = -1, /* the run has failed */
  MR_STATE_VOID = 0,    /* the rows are void: they are read again, or the lane is gone */
  MR_STATE_PAST = 1,    /* the sink holds them, the state knows them: only the position moves on */
  MR_STATE_APPLY = 2,   /* the stage's calls go to the lane's instance until mr_state_leave */
};
enum mr_state_row mr_state_enter(struct mr_stage *s, const struct mr_batch *b);
void mr_state_leave(struct mr_stage *s);
/* Other columns for the lanes' instances. */
int mr_state_evolve(struct mr_stage *s, const struct ArrowSchema *in, struct mr_error *err);
/* A barrier passes: what the instances remember goes with it. false: failed or stopped. */
bool mr_state_barrier(struct mr_stage *s, struct mr_message *m);
/* Reading begins anew, and so do the instances. */
void mr_state_attempt(struct mr_stage *s, const struct mr_message *m);
/* Sink's thread: takes in what came with a barrier. VOID: it does not fit what is durable, all is
 * to be read again; APPLY: done. */
enum mr_state_row mr_state_gather(struct mr_stage *sink, const struct mr_message *barrier);
/* Sink's thread: the state that becomes durable with the mark; valid until snk.states is cleared.
 */
void mr_state_mark(struct mr_stage *sink, const struct mr_sink_lane *sl, struct mr_mark *mark);
/* Under mr_pipeline.lock, wherever `stored` is set: what came with the last barrier is durable; the
 * row was read. */
void mr_state_durable(struct mr_sink_lane *sl);
void mr_state_read(struct mr_sink_lane *sl, const struct mr_mark *row);
void mr_state_drop(struct mr_sink_lane *sl); /* what came with barriers is void */
/* A lane was taken: entries that no stage has use for are dropped. false: failed. */
bool mr_state_take(struct mr_stage *sink, struct mr_sink_lane *sl);
void mr_sink_lane_free(void *sink_lane);

/* ---- services.c: the host table of a stage */
void mr_services_init(struct mr_stage *s);

/* ---- when.c */
/* Compiles a stage's `when` (and its siblings' for `otherwise`) for an input schema. */
struct mr_when *mr_when_new(struct mr_stage *s, const struct ArrowSchema *in, struct mr_error *err);
/* Replaces *m by a message with the rows that the stage takes; may leave 0 rows. < 0: status. */
int mr_when_apply(struct mr_when *w, struct mr_stage *s, struct mr_message **m,
                  struct mr_error *err);
void mr_when_free(struct mr_when *w);

/* ---- event-time.c; source's thread */

/* Sets the batch's watermark and counts late rows, where the source has `time`. lend. Gives the
 * least event time of the rows, INT64_MIN: none. */
int64_t mr_event_time(struct mr_stage *s, struct mr_lane *l, struct mr_batch *b);
/* The stage's watermark: the least of its lanes that are not idle. It never falls. */
void mr_event_time_settle(struct mr_stage *s);

#endif
