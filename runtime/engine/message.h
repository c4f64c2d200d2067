/* SPDX-License-Identifier: Apache-2.0 */
/* What travels through the channels: batches and control messages, in one order. */
#ifndef MR_MESSAGE_H
#define MR_MESSAGE_H
#include <glib.h>
#include <stdatomic.h>
#include "base/base.h"
#include "millrace/build.h"

struct mr_budget; /* bytes in flight */

/* A schema that several batches and stages point to. Any thread. */
struct mr_shape {
  _Atomic int32_t refs;
  struct ArrowSchema schema;
};
struct mr_shape *mr_shape_new(struct ArrowSchema *take); /* NULL: no memory, *take stays */
struct mr_shape *mr_shape_ref(struct mr_shape *s);
void mr_shape_unref(struct mr_shape *s); /* takes NULL */

enum mr_message_kind {
  MR_MSG_BATCH = 1, /* rows */
  MR_MSG_BARRIER,   /* everything of the listed lanes before these positions has passed */
  MR_MSG_SHAPE,   /* the batches behind it have another schema; a barrier stands right before it */
  MR_MSG_ATTEMPT, /* what was in flight is void; reading begins anew */
  MR_MSG_END, /* nothing follows; a barrier stands right before it, unless the run is broken off */
};
struct mr_lane_at {
  uint32_t lane;
  struct mr_position position;
};
/* What a stage has saved of a lane, when a barrier passed it. */
struct mr_saved {
  uint32_t lane;
  struct mr_position from; /* where the state stood that this attempt began with */
  GBytes *state;           /* saved.h */
};
/* Since when rows are on their way, for the sinks' latency. */
struct mr_since {
  int64_t read_us;         /* the engine's clock, when their source gave them; 0: not known */
  struct mr_position from; /* where their batch began */
  int64_t event_us;        /* the least event time among them, by the wall clock; INT64_MIN: none */
};
struct mr_message {
  _Atomic int32_t refs;
  uint8_t kind;
  bool urgent;   /* barrier: commit now, whatever a sink's own interval says */
  bool lettered; /* barrier: dead letters were written for rows before it */
  /* batch */
  struct mr_batch batch;  /* batch.schema = &shape->schema */
  struct mr_shape *shape; /* batch, shape */
  int64_t bytes;
  struct mr_since since;
  struct mr_budget *budget;
  /* barrier, attempt */
  uint64_t number;
  size_t n_lanes;
  struct mr_lane_at *lanes;
  GArray *saved; /* barrier: struct mr_saved; NULL: none */
};

/* Bytes of batches that exist. Any thread. */
struct mr_budget {
  _Atomic int64_t used;
  int64_t limit;
  void (*freed)(void *ctx); /* called when bytes went away, any thread */
  void *ctx;
};

/* A batch message; takes rows and a reference of shape (shared). id: of mr_batch. NULL: no memory,
 * rows stay. */
struct mr_message *mr_message_batch(struct mr_budget *budget, struct mr_shape *shape,
                                    struct mr_batch *take);
struct mr_message *mr_message_control(enum mr_message_kind kind, uint64_t number);
/* Adds or raises a lane's position in a barrier. false: no memory. */
bool mr_message_lane(struct mr_message *m, uint32_t lane, const struct mr_position *at);
/* Adds a stage's state; shares it. */
void mr_message_save(struct mr_message *m, const struct mr_saved *share);
struct mr_message *mr_message_ref(struct mr_message *m);
void mr_message_unref(struct mr_message *m); /* takes NULL */
/* Makes the rows shareable by several consumers at once; the producer calls it before it pushes a
 * message to more than one channel. false: no memory. */
bool mr_message_spread(struct mr_message *m);
/* Another reference to the rows as an own struct mr_batch (zero-copy), for a plugin that takes.
 * false: no memory. */
bool mr_message_lend(struct mr_message *m, struct mr_batch *ret);

#endif
