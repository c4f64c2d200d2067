/* SPDX-License-Identifier: Apache-2.0 */
/* The kafka sink: what its files share. Everything here is called on the stage's thread.
 *
 *   conf.c      options, and the librdkafka configuration made of them
 *   producer.c  a transactional producer: its life, and what its errors mean
 *   topics.c    whether the topics are there; making them
 *   offsets.c   lane rows in the compacted topic millrace_offsets
 *   rows.c      rows -> messages
 *   unit.c      begin, write, flush, commit, abort; take, found, reread
 *   plugin.c    the plugin object
 *
 * A unit is one Kafka transaction: the messages and the lane rows. Whoever starts with the same
 * transactional.id fences its predecessor (KIP-98: init_transactions ends the predecessor's open
 * transaction and raises the epoch), so the compare-and-set needs no help of the broker: a producer
 * that is not fenced is the only writer of its lane rows, and knows them. After every
 * init_transactions the rows are read again. */
#ifndef KAFKA_SINK_H
#define KAFKA_SINK_H
#include <librdkafka/rdkafka.h>
#include "common/kfk-conf.h"
#include "common/src-error.h"
#include "millrace/build.h"
#include "millrace/plugin.h"

#define KFS_START_MS 4000      /* of start(): below the 5 s in which a user wants to know */
#define KFS_CALL_MS 10000      /* of one request while running */
#define KFS_SLICE_MS 250       /* between looks at host->wake_fd */
#define KFS_BATCH_OVERHEAD 512 /* bytes that a batch has beside its messages, at most */
#define KFS_OFFSETS_SEGMENT                                            \
  "4194304" /* bytes: small segments are compacted soon, and read fast \
             */

#define KFS_STATE_MAX \
  262144 /* bytes of saved state in a lane row: its message has a digit for each half */

enum kfs_transactions { KFS_SINK, KFS_LANE };

struct kfs_conf {
  struct mr_list brokers, key, headers, rdkafka;
  const char *topic, *partition, *timestamp, *offsets_topic, *transactional_id, *client_id;
  const struct mr_format *format, *key_format;
  int32_t transactions, compression;
  bool create;
  int64_t partitions, replication, transaction_timeout_ms, commit_timeout_ms;
  struct kfk_tls tls;
  struct kfk_sasl sasl;
};

/* A lane row. */
struct kfs_row {
  char *source, *lane;
  struct mr_position position, from;
  uint64_t owner, rows, run;
  void *state; /* malloc'd, shared by nobody; NULL: none */
  size_t state_len;
  bool mine;    /* written last by this process */
  bool unsaved; /* changed, and in no transaction that is committed */
};

/* One producer: of the sink, or of one lane. */
struct kfs_producer {
  struct kfs *sink;
  char *id;            /* transactional.id; NULL: without transactions */
  char *source, *lane; /* of one lane; NULL: of all */
  rd_kafka_t *rk;      /* NULL: not made, or given up; then the rows must be read again */
  bool open;           /* a transaction is begun */
  bool ready;          /* init_transactions was answered: predecessors are fenced */
  bool stale;          /* made ready since the rows were read */
  /* what delivery reports and the error callback learnt of this transaction */
  rd_kafka_resp_err_t failed;
  uint64_t failed_batch;
  int64_t failed_row;
  bool down;
  char reason[256];
};

/* Columns that are encoded together. */
struct kfs_subset {
  struct ArrowSchema schema; /* shallow: its children are lent */
  int64_t *column;           /* their places among the rows' columns */
  struct mr_encoder *encoder;
  bool line; /* the format ends each row with a line end, which is no part of a message */
};
struct kfs_lane {
  uint32_t number;
  struct kfs_producer *producer;
};
struct kfs {
  const struct mr_host *host;
  const struct kfs_conf *conf;
  char *pipeline, *stage;
  struct kfs_producer plain;      /* without transactions: looks at topics, writes dead letters */
  struct kfs_producer **producer; /* transactional */
  size_t n_producer;
  struct kfs_row **row;
  size_t n_row;
  struct kfs_lane *lane; /* of the unit */
  size_t n_lane;
  uint64_t self_id;     /* random: tells our rows from another process's */
  int64_t offsets_next; /* of millrace_offsets: next message to read */
  bool alone;           /* each message is sent alone until the unit is committed */
  int64_t max_bytes;    /* of a message of the topic; 0: not known */
  bool taken;           /* lanes were; else rows are dead letters, at least once */

  uint64_t *batch; /* ids of the unit's batches: a message's opaque holds an index */
  size_t n_batch, cap_batch;

  /* what of the rows goes where */
  struct ArrowSchema schema; /* a copy */
  struct kfs_subset value, keys;
  int64_t raw_key, op, headers_in, partition, timestamp; /* columns, or -1 */
  int64_t *header_column;                                /* one for each conf->headers */
};

extern const struct mr_opt kfs_options[];

/* ---- conf.c */
int kfs_validate(const void *conf, struct mr_error *err);
/* Configuration of a producer (id NULL: without transactions) or of the reader of lane rows.
 * give *ret: rd_kafka_new takes it. */
int kfs_conf_producer(const struct kfs *s, const char *id, rd_kafka_conf_t **ret,
                      struct mr_error *err);
int kfs_conf_reader(const struct kfs *s, rd_kafka_conf_t **ret, struct mr_error *err);

/* ---- producer.c */
/* " (Kafka at …)" errors: MR_RETRY with the brokers named. what: "no metadata". */
int kfs_fail(struct kfs *s, const struct kfs_producer *p, rd_kafka_resp_err_t e, const char *what,
             struct mr_error *err);
/* Makes the handle and fences predecessors; MR_OK at once when it stands. Sets `stale`. */
int kfs_producer_ready(struct kfs_producer *p, int64_t deadline_ms, struct mr_error *err);
/* Gives the handle up: messages not sent are dropped, an open transaction is left to whoever comes
 * next. */
void kfs_producer_drop(struct kfs_producer *p);
int kfs_producer_begin(struct kfs_producer *p, struct mr_error *err);
/* MR_OK: committed. MR_UNSURE: nobody knows; the handle is dropped. MR_RETRY or MR_REJECT with
 * unit_lost: aborted. */
int kfs_producer_commit(struct kfs_producer *p, int64_t deadline_ms, struct mr_error *err);
/* Ends the open transaction; the handle is dropped when it does not answer. */
void kfs_producer_abort(struct kfs_producer *p);
/* Waits until the messages are delivered; what went wrong as MR_REJECT or MR_RETRY, unit_lost. */
int kfs_producer_flush(struct kfs_producer *p, struct mr_error *err);
/* After a message was not taken: aborts what is open. MR_RETRY or MR_REJECT with unit_lost;
 * MR_UNSURE when somebody else may have fenced us: the handle is dropped. err has the message. */
int kfs_producer_give_up(struct kfs_producer *p, struct mr_error *err);
/* The producer whose transaction takes rows of this lane; made when it is not there. */
struct kfs_producer *kfs_producer_of(struct kfs *s, const char *source, const char *lane);
/* Whether the topics are there; those that may be made are. *ret_partitions: of conf->topic. */
int kfs_topics_ready(struct kfs *s, bool make, int *ret_partitions, struct mr_error *err);
void kfs_producers_free(struct kfs *s);

/* ---- offsets.c */
/* Reads the lane rows that were committed since the last time, to the end the topic has now. Rows
 * that wait to be saved stay as they are. */
int kfs_offsets_read(struct kfs *s, int64_t deadline_ms, struct mr_error *err);
struct kfs_row *kfs_row_find(struct kfs *s, const char *source, const char *lane);
/* The row, made when there is none; NULL: no memory. */
struct kfs_row *kfs_row_add(struct kfs *s, const char *source, const char *lane);
/* Puts the row into the producer's open transaction. */
int kfs_row_send(struct kfs_producer *p, const struct kfs_row *row, struct mr_error *err);
void kfs_rows_free(struct kfs *s);

/* ---- rows.c */
int kfs_rows_plan(struct kfs *s, const struct ArrowSchema *in, struct mr_error *err);
void kfs_rows_done(struct kfs *s);
int kfs_rows_send(struct kfs_producer *p, const struct mr_batch *b, struct mr_error *err);
/* The opaque of a message, and back. */
void *kfs_opaque(const struct kfs *s, int64_t row);
uint64_t kfs_opaque_batch(const struct kfs *s, const void *opaque, int64_t *ret_row);

/* ---- unit.c */
int kfs_start(void *self, struct mr_error *err);
int kfs_take(void *self, const char *source, const char *const *lane, size_t n, mr_mark_fn *mark,
             void *out, struct mr_error *err);
int kfs_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err);
int kfs_begin(void *self, const struct mr_unit *u, struct mr_error *err);
int kfs_write(void *self, const struct mr_batch *b, struct mr_error *err);
int kfs_flush(void *self, struct mr_error *err);
int kfs_commit(void *self, const struct mr_unit *u, struct mr_error *err);
int kfs_abort(void *self, const struct mr_unit *u, struct mr_error *err);
int kfs_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
               struct mr_error *err);

/* ---- plugin.c: an instance, for check and discover too. */
int kfs_open(const struct mr_open *o, void **self, struct mr_error *err);
void kfs_close(void *self);

#endif
