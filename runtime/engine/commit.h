/* SPDX-License-Identifier: Apache-2.0 */
/* What making a unit durable (commit.c) and finishing a predecessor's (recover.c) share. On the
 * sink's thread. */
#ifndef COMMIT_H
#define COMMIT_H
#include "engine/engine.h"

static inline const struct mr_sink *mr_commit_sink(const struct mr_stage *s)
{
  return mr_stage_sink(s->spec);
}
static inline struct mr_store *mr_commit_store(struct mr_stage *s)
{
  return s->p->store;
}

/* DONE, STOPPED, or < 0; MR_FENCED is the caller's to settle, other failures are recorded. */
#define STORE_TRY(s, err, call)                                     \
  ({                                                                \
    int st_, tries_ = 1;                                            \
    do {                                                            \
      mr_error_clear(err);                                          \
      st_ = (call);                                                 \
    } while (st_ == MR_RETRY && mr_stage_again(s, &tries_, err));   \
    if (st_ < 0 && st_ != MR_RETRY && st_ != MR_FENCED)             \
      mr_pipeline_fail((s)->p, s, st_, err);                        \
    st_ == MR_RETRY ? MR_COMMIT_STOPPED : MIN(st_, MR_COMMIT_DONE); \
  })
#define STORE_CALL(s, err, call)              \
  ({                                          \
    int out_ = STORE_TRY(s, err, call);       \
    if (out_ == MR_FENCED)                    \
      mr_pipeline_fail((s)->p, s, out_, err); \
    out_;                                     \
  })

/* Decides what a failed call means for the unit: an MR_COMMIT_…; DONE: the same call again. */
int mr_commit_failed(struct mr_stage *s, int st, const struct mr_error *err, int *tries);
/* After the record: the label alone decides. AGAIN: the record is gone, positions stay. */
int mr_commit_finish_label(struct mr_stage *s, struct mr_unit *u, bool ask_first,
                           struct mr_error *err);
/* Sends a recorded block until the target has it; fresh: it was never sent before. */
int mr_commit_send_kept(struct mr_stage *s, struct mr_unit *u, const void *data, size_t len,
                        bool fresh, struct mr_error *err);

#endif
