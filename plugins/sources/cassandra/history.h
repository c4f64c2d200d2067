/* SPDX-License-Identifier: Apache-2.0 */
/* The folder `history`: what all readers of one node's commit log write down there. It says which
 * node it belongs to, and has for each reader (PIPELINE.STAGE) the schema that its log was read
 * with (.cql) and up to where every sink holds it (.position). Files are replaced whole: written
 * beside, on disk, then renamed. One object, one thread; several processes share the folder. */
#ifndef CASSANDRA_HISTORY_H
#define CASSANDRA_HISTORY_H
#include "common/sql-buf.h"
#include "millrace/plugin.h"

/* A sorted set of segments. */
struct cass_ids {
  int64_t *id;
  size_t n;
};
bool cass_ids_add(struct cass_ids *ids, int64_t id); /* false: no memory */
bool cass_ids_has(const struct cass_ids *ids, int64_t id);
void cass_ids_drop(struct cass_ids *ids, int64_t id);
void cass_ids_drop_below(struct cass_ids *ids, int64_t id);
void cass_ids_done(struct cass_ids *ids);

/* What one reader has written down. */
struct cass_note {
  struct mr_position at; /* len 0: nothing yet; durable in every sink */
  char store[72];        /* mr_open.store of the run that wrote it */
  struct cass_ids cdc;   /* segments with changes, from `at` on, that were seen */
  struct cass_ids kept;  /* segments in which something could not be read: they stay */
};
void cass_note_done(struct cass_note *note);

struct cass_history {
  char *folder, *reader;
};
/* Makes the folder if it is not there. MR_BADCONF (option history). */
int cass_history_open(struct cass_history *h, const char *folder, const char *pipeline,
                      const char *stage, struct mr_error *err);
void cass_history_done(struct cass_history *h);
/* The folder is this node's from now on. MR_BADCONF (option directory): it is another's. */
int cass_history_node(const struct cass_history *h, const char *host_id, struct mr_error *err);

/* What this reader wrote last; at.len 0: nothing. *ret is overwritten; free it with cass_note_done.
 * MR_FATAL: it cannot be read. */
int cass_history_read(const struct cass_history *h, struct cass_note *ret, struct mr_error *err);
int cass_history_write(const struct cass_history *h, const struct cass_note *note,
                       struct mr_error *err);

/* What all readers together say: segments below `oldest` were read by all, but those in `kept`
 * stay. INT64_MIN: one of them has no position yet, or cannot be read. slowest: who is there. */
struct cass_readers {
  int64_t oldest;
  char slowest[256];
  struct cass_ids kept;
};
int cass_history_readers(const struct cass_history *h, struct cass_readers *ret,
                         struct mr_error *err);

/* The schema's text. MR_IDLE: there is none. */
int cass_history_load(const struct cass_history *h, struct sql_buf *ret, struct mr_error *err);
int cass_history_save(const struct cass_history *h, const struct sql_buf *text,
                      struct mr_error *err);

#endif
