/* SPDX-License-Identifier: Apache-2.0 */
/* One edge between two stage instances: a ring, and behind it a queue of the producer's own for
 * what must not wait (control messages; batches for a slow sink while a faster one goes on). One
 * producer, one consumer; order is kept. */
#ifndef MR_CHANNEL_H
#define MR_CHANNEL_H
#include "data/ring.h"
#include "engine/message.h"
#include "engine/os.h"

struct mr_overflow {
  struct mr_message *m;
  struct mr_overflow *next;
};
struct mr_stage;
struct mr_channel {
  struct mr_ring ring;
  struct mr_stage *from; /* who sends */
  struct mr_os *os;
  struct mr_event *producer, *consumer; /* the stages' events */
  struct mr_overflow *first, *last;     /* producer's thread only */
  _Atomic int64_t behind;               /* messages in the overflow queue; metrics read it */
  _Atomic int64_t rows;                 /* of the batches inside; metrics read it */
  _Atomic int64_t barriers;             /* inside */
  /* consumer's thread */
  bool blocked; /* a barrier of this channel waits for the other channels */
  bool ended;
  struct mr_shape *shape; /* of what came last; NULL: nothing yet */
};
bool mr_channel_init(struct mr_channel *c, struct mr_os *os, size_t slots,
                     struct mr_event *producer, struct mr_event *consumer);
void mr_channel_finish(struct mr_channel *c); /* unrefs what is inside; both sides have stopped */
/* Producer: is there room in the ring (overflow is moved into it first)? */
bool mr_channel_room(struct mr_channel *c);
/* Producer: takes the message; never waits. What finds the ring full goes to the overflow queue. */
void mr_channel_push(struct mr_channel *c, struct mr_message *take);
/* Producer: moves overflow into the ring; true when none is left. */
bool mr_channel_flush(struct mr_channel *c);
/* Consumer: gives the next message, NULL: none now. */
struct mr_message *mr_channel_pop(struct mr_channel *c);

#endif
