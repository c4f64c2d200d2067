/* SPDX-License-Identifier: Apache-2.0 */
/* The kafka source: what its files share. Everything here is called on the stage's thread.
 *
 *   conf.c     options, and the librdkafka configuration made of them
 *   client.c   the client handle: events, log, metadata, offsets
 *   start.c    lanes: where each partition starts, assign, consumer group
 *   read.c     messages -> rows
 *   kafka.c    the plugin object
 *
 * One lane is one partition, named "topic/partition"; a position is the next offset. Each partition
 * keeps its own queue, not forwarded to the consumer's: a batch holds rows of one lane, and one
 * decoder serves all of them. */
#ifndef KAFKA_H
#define KAFKA_H
#include <stdlib.h>
#include <librdkafka/rdkafka.h>
#include "common/kfk-conf.h"
#include "common/src-error.h"
#include "common/src-system.h"
#include "millrace/plugin.h"

#define KAFKA_CHUNK 512        /* messages taken from librdkafka at once */
#define KAFKA_DEADLINE_MS 4000 /* of start(): below the 5 s in which a user wants to know */
#define KAFKA_CALL_MS 2000     /* of one request while running */
#define KAFKA_REFRESH_MS 30000 /* looking for new partitions */
#define KAFKA_MAX_POLL_MS 300000
#define KAFKA_FIXED_STICKY 0x02030000 /* librdkafka from here on: see may_destroy */
#define KAFKA_REJOIN_MS \
  10000 /* after that long the group must have said that a lost partition went away */
#define KAFKA_MESSAGE_COST \
  256 /* bytes that librdkafka spends on a queued message beside its value */
#define KAFKA_QUEUE                                                            \
  (32 << 20) /* bytes fetched ahead, over all partitions, unless the file says \
              */
#define KAFKA_FETCH_MIN (64 << 10) /* bytes of one partition in one answer */
#define KAFKA_FETCH_MAX (1 << 20)
#define KAFKA_QUEUE_MIN (1 << 20)
#define KAFKA_QUEUES \
  8 /* partitions among which the queue is divided before their number is known */
#define KAFKA_ORIGINAL_MAX \
  (1 << 20) /* bytes of _original where a format repeats a message for each of its rows */

enum kafka_members { KAFKA_ONE, KAFKA_MANY };
enum kafka_start { KAFKA_EARLIEST, KAFKA_LATEST, KAFKA_COMMITTED };
enum kafka_on_gap { KAFKA_GAP_FAIL, KAFKA_GAP_CONTINUE };

struct kafka_conf {
  struct mr_list brokers, topics, start_offsets, key_columns, rdkafka, options;
  const char *group, *start_at, *client_id;
  int32_t members, start, on_gap;
  const struct mr_format *format;
  int64_t queue;
  struct kfk_tls tls;
  struct kfk_sasl sasl;
};

/* How full a partition's queue was, to see when librdkafka has stopped fetching. */
struct kafka_flow {
  size_t before, high; /* messages queued: after the last look, and at most since the last kick */
  int64_t bytes, messages; /* taken so far */
  bool kicked;
};
struct kafka_part {
  char *name; /* of the lane */
  const char *topic;
  int32_t number;
  uint32_t lane;
  bool placed;   /* has its lane and first position; else the lane could not be asked yet */
  bool ended;    /* bounded run: nothing more is wanted */
  bool assigned; /* librdkafka fetches it */
  bool lost;     /* another process has taken the lane: nothing more of it is given */
  int64_t at, end, cut, committed,
      sought; /* offsets: next to give, first not wanted, batch border, last sent to the group,
               * and where a seek that has not happened yet should go (-1: none) */
  rd_kafka_queue_t *queue;
  rd_kafka_message_t **held; /* KAFKA_CHUNK messages taken but not given: [first_held, n_held) */
  size_t n_held, first_held;
  struct kafka_flow flow;
};
struct kafka {
  const struct mr_host *host;
  const struct kafka_conf *conf;
  uint32_t instance, instances;
  const char *store; /* mr_open.store */
  bool new_store;
  char *pipeline_stage; /* "pipeline-stage", for the client id and the default group */
  struct src_system system;
  struct mr_decoder *decoder;
  rd_kafka_t *rk;
  rd_kafka_queue_t *events;
  rd_kafka_topic_t **topic; /* one for each conf->topics */
  int wake;                 /* eventfd: a queue became non-empty, or wake() */
  struct kafka_part **part;
  size_t n_part, next;
  int64_t queue, queues; /* bytes fetched ahead; among how many partitions the queue is divided */
  bool bounded, subscribed, rebalancing, closing;
  bool joined; /* the group has assigned something, or nothing, once */
  int64_t refreshed_ms, placed_ms, measured_ms; /* when it was last tried */
  int64_t lost_ms;                              /* when a lane was found taken, 0: none */

  /* what callbacks learnt */
  bool down, fatal;
  char reason[256], code[32];

  /* the batch under construction: rows of `open` are in the decoder and the system columns */
  struct kafka_part *open;
  int64_t rows, bytes;
  bool hungry; /* the decoder wants more rows before it knows the columns: go on with `open` */
  bool warned_tombstone, warned_commit;
  struct src_header *header; /* scratch of one message's headers */
  size_t header_cap;
  char *key_json; /* scratch of tombstones */
  size_t key_json_cap;
};

extern const struct mr_opt kafka_options[];
/* Frees a heap array when its variable goes out of scope. */
#define KAFKA_SCOPED __attribute__((cleanup(kafka_scoped_free)))
static inline void kafka_scoped_free(void *pointer)
{
  free(*(void **)pointer);
}

/* conf.c */
int kafka_validate(const void *conf, struct mr_error *err);
/* The client's configuration; max_queues: among how many partitions the queue is divided. give
 * *ret: rd_kafka_new takes it. */
int kafka_conf_make(const struct kafka *k, int64_t max_queues, rd_kafka_conf_t **ret,
                    struct mr_error *err);
/* Milliseconds since 1970 of "2026-01-28T10:00:00[.sss][Z|+hh:mm]" or a date alone (UTC). false:
 * not a time. */
/* n digits as a number; -1: not digits. */
int kafka_digits(const char *s, int n);
bool kafka_time(const char *text, int64_t *ret_ms);

/* client.c */
int kafka_client_open(struct kafka *k, struct mr_error *err);
void kafka_client_close(struct kafka *k);
/* A new handle whose queue is divided among more partitions. */
int kafka_client_reopen(struct kafka *k, int64_t queues, struct mr_error *err);
/* Serves callbacks (log, errors, rebalance); returns without waiting. */
void kafka_client_serve(struct kafka *k);
/* An error of a request to the cluster as a status: MR_RETRY with the brokers named, unreachable
 * set where it is so. */
int kafka_client_fail(struct kafka *k, rd_kafka_resp_err_t e, const char *what,
                      struct mr_error *err);
/* Metadata of the topics; give *ret (rd_kafka_metadata_destroy). deadline_ms: for all tries
 * together. */
int kafka_client_metadata(struct kafka *k, int64_t deadline_ms,
                          const struct rd_kafka_metadata **ret, struct mr_error *err);
/* MR_OK when every topic is there; MR_BADCONF for a missing one; MR_RETRY while one has no leader.
 */
int kafka_client_topics(struct kafka *k, const struct rd_kafka_metadata *md, struct mr_error *err);
/* Replaces each offset of the list: OFFSET_BEGINNING, OFFSET_END or a time in ms -> the offset it
 * stands for (times past the last message: the end). One request for each broker. */
int kafka_client_offsets(struct kafka *k, rd_kafka_topic_partition_list_t *list,
                         struct mr_error *err);

/* start.c */
int kafka_start(void *self, struct mr_error *err);
/* Asks for the lanes of partitions that have none yet; MR_RETRY when some still have none. */
int kafka_place(struct kafka *k, struct mr_error *err);
/* Looks for new partitions when it is time. */
int kafka_refresh(struct kafka *k, struct mr_error *err);
/* Another process has taken the lane. In a group nothing more of it is read; a member that still
 * has the partition after a while joins again, since only an assignment gives a lane back. */
int kafka_lost(void *self, uint32_t lane, struct mr_error *err);
void kafka_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t e, rd_kafka_topic_partition_list_t *list,
                     void *opaque);
struct kafka_part *kafka_part_of_lane(struct kafka *k, uint32_t lane);
void kafka_part_drop_held(struct kafka_part *p);
void kafka_parts_free(struct kafka *k);
/* Fetches the partition from `offset` on: what librdkafka still has of it is dropped. */
int kafka_part_seek(struct kafka *k, struct kafka_part *p, int64_t offset, struct mr_error *err);
/* Tells librdkafka's broker thread to look at the partition again. A full queue puts that thread to
 * sleep for up to a second (librdkafka 2.0.2 has no fetch.queue.backoff.ms); any request to the
 * broker wakes it. Returns at once. */
void kafka_part_kick(struct kafka *k, struct kafka_part *p);

/* read.c */
int kafka_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
               struct mr_batch *give, struct mr_error *err);
int kafka_schema(void *self, struct ArrowSchema *give, struct mr_error *err);
/* Drops the rows under construction (of a lane that went away, or is read again). */
void kafka_forget_open(struct kafka *k);

/* discover.c */
int kafka_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                   struct mr_error *err);

/* kafka.c: an instance without lanes, for check and discover. */
int kafka_open(const struct mr_open *o, void **self, struct mr_error *err);
void kafka_close(void *self);

#endif
