/* SPDX-License-Identifier: Apache-2.0 */
/* A running pipeline, for the commands and for tests. */
#ifndef MR_PIPELINE_H
#define MR_PIPELINE_H
#include <glib.h>
#include "conf/spec.h"
#include "engine/latency.h"
#include "engine/os.h"
#include "engine/store.h"

struct mr_pipeline;
struct mr_dry;
enum mr_pending_word { MR_PENDING_ASK = 0, MR_PENDING_LANDED, MR_PENDING_NOT_LANDED };
/* Something that happened to rows, for the log. Texts may be NULL: not said. */
struct mr_log_event {
  int level; /* enum mr_level */
  const char *stage;
  enum mr_stage_kind kind;
  /* read (a source), passed (a transform), taken and durable (a sink), refused; masked: rows from
   * here on are */
  const char *event;
  const char *source, *lane, *from, *upto; /* positions of the batch, or of the unit's lane */
  const char *position, *row;              /* one row: where it stands, "column=value" */
  const char *unit;                        /* the unit's label */
  int64_t rows;                            /* < 0: not said */
  const char *text;
};
struct mr_pipeline_options {
  struct mr_os *os;       /* lent */
  struct mr_store *store; /* lent */
  const char *dir;        /* for journals of lookups; NULL: none are kept */
  /* What became of a pending unit that its target has forgotten, by the user's word. */
  enum mr_pending_word pending;
  /* Names the store to sources that tell others how far they were read; NULL: they do not say it.
   * new_store: go on although another one has come further. */
  const char *store_name;
  bool new_store;
  bool reset_state; /* what transforms have saved is forgotten */
  bool once;        /* sources give MR_END at the end they had at start */
  /* Messages of the run, any thread. stage may be NULL. */
  void (*log)(void *ctx, int level, const char *stage, const char *text);
  /* The same for what happened to rows; NULL: nobody asks. */
  void (*event)(void *ctx, const struct mr_log_event *lend);
  /* Main thread, about five times a second while the pipeline runs; may call mr_pipeline_stop. */
  void (*tick)(void *ctx, struct mr_pipeline *p);
  void *ctx;
  /* The system columns that anything downstream of this source names (mr_check_wants). NULL: none.
   */
  char **(*wants)(const struct mr_spec *spec, const struct mr_stage_spec *source);
  struct mr_dry *dry; /* dry.c alone: not run, but driven by hand */
};
/* Opens every plugin (no I/O). NULL with err filled and *ret_stage the stage's name (lent), or
 * NULL. */
struct mr_pipeline *mr_pipeline_new(const struct mr_spec *spec, const struct mr_pipeline_options *o,
                                    struct mr_error *err, const char **ret_stage);
/* Runs until done, stopped or failed. >= 0, or the status that ended it. Main thread. */
int mr_pipeline_run(struct mr_pipeline *p);
/* First call: drain; second: abort. Any thread, a signal handler too. */
void mr_pipeline_stop(struct mr_pipeline *p);
/* Drain, however often it is called. Any thread, a signal handler too. */
void mr_pipeline_drain(struct mr_pipeline *p);
void mr_pipeline_free(struct mr_pipeline *p);
/* Whether it was aborted because it could not drain within settings.shutdown. */
bool mr_pipeline_overdue(const struct mr_pipeline *p);
/* Why it failed ("stage `warehouse`: …"), lent, or NULL; unreachable: a server could not be
 * reached. */
const char *mr_pipeline_failure(struct mr_pipeline *p, bool *ret_unreachable);

struct mr_stage_stats {
  const char *name, *plugin;
  enum mr_stage_kind kind;
  uint32_t instance;
  int64_t rows_in, rows_out, bytes_out, rejected, retries, busy_us, stall_us, connect_errors;
  int64_t queued, slots; /* messages waiting in its input channels; what their rings hold */
  int64_t watermark_us, late_rows; /* source with `time`; INT64_MIN: none yet */
  int64_t lag_us; /* sink: how long ago its oldest row that is not durable was read; 0: none */
  int64_t backlog_rows; /* that wait before it, and those a sink holds that are not durable */
  struct mr_latency_view latency;       /* sink: from reading to durable */
  struct mr_latency_view event_latency; /* the same from the event, where the source has `time` */
  int status;                           /* 0 new, 1 waiting, 2 running, 3 done, 4 failed */
  char text[200];                       /* of status waiting */
  char last_error[200]; /* what it last waited for, also when it has gone on since */
};
size_t mr_pipeline_stats(struct mr_pipeline *p, struct mr_stage_stats *ret,
                         size_t max); /* any thread */
/* The metrics that the stage's plugin named, sorted; lane NULL: of the stage. i as in
 * mr_pipeline_stats. Any thread. */
typedef void mr_metric_fn(void *out, const char *name, const char *lane, int64_t value);
void mr_pipeline_metrics(struct mr_pipeline *p, size_t i, mr_metric_fn *metric, void *out);
/* The same of errors: name is their kind (unreachable, transient, refused, failed), lane their code
 * or "". */
void mr_pipeline_errors(struct mr_pipeline *p, size_t i, mr_metric_fn *error, void *out);
/* The lanes of a sink and how far they are durable in it; position: as text. i as in
 * mr_pipeline_stats. Any thread. */
void mr_pipeline_lanes(struct mr_pipeline *p, size_t i,
                       void (*lane)(void *out, const char *source, const char *name,
                                    const char *position),
                       void *out);
struct mr_lookup_info; /* lookup.h */
/* Calls each() for every lookup of the file. Any thread. */
void mr_pipeline_lookups(struct mr_pipeline *p,
                         void (*each)(void *out, const struct mr_lookup_info *lend), void *out);
uint64_t mr_pipeline_letters(const struct mr_pipeline *p);
int64_t mr_pipeline_memory(const struct mr_pipeline *p); /* bytes of batches in flight */

#endif
