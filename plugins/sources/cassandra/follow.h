/* SPDX-License-Identifier: Apache-2.0 */
/* The mutations of a cdc_raw directory, one segment after the other, while the node writes them.
 * One object, one thread. */
#ifndef CASSANDRA_FOLLOW_H
#define CASSANDRA_FOLLOW_H
#include "common/clog-segment.h"

struct cass_follow {
  const char *directory;          /* lent */
  enum clog_follow mode;          /* CLOG_FAST or CLOG_DURABLE */
  int watch;                      /* inotify; -1: none */
  struct clog_segment_name *name; /* the directory as it was last listed, sorted */
  size_t n;
  bool stale;                /* something came or went since */
  int64_t looked_ms;         /* when later segments were last looked into */
  struct clog_segment *open; /* NULL: none */
  int64_t segment;           /* of `open`; else the first that may be opened next */
  int64_t from;              /* position to begin at in that */
};

/* Nothing is read before cass_follow_seek. */
void cass_follow_init(struct cass_follow *f, const char *directory, enum clog_follow mode);
void cass_follow_done(struct cass_follow *f);
/* Goes on with the first mutation that ends behind this place. */
void cass_follow_seek(struct cass_follow *f, int64_t segment, int64_t position);
/* Lists the directory again. MR_RETRY: it cannot be read. */
int cass_follow_list(struct cass_follow *f, struct mr_error *err);
/* The next mutation, lent until the next call. MR_OK; MR_IDLE: no more yet; MR_REJECT: damage, told
 * once for each place, the next call goes on behind it (with f->open NULL: the whole segment cannot
 * be read, see cass_follow_skip); MR_RETRY; MR_FATAL. f->segment is where it stands. */
int cass_follow_next(struct cass_follow *f, struct clog_entry *ret, struct mr_error *err);
/* Leaves the segment that cannot be read. */
void cass_follow_skip(struct cass_follow *f);
/* Waits until something may have come, at most until until_ms, or until wake_fd is readable. */
void cass_follow_wait(struct cass_follow *f, int64_t until_ms, int wake_fd);
/* Where the log ends now: behind the last mutation that is there. *ret_segment INT64_MIN: the
 * directory has no segment with data. */
int cass_follow_end(struct cass_follow *f, int64_t *ret_segment, int64_t *ret_position,
                    struct mr_error *err);

#endif
