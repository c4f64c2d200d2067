/* SPDX-License-Identifier: Apache-2.0 */
/* One commit log segment of Cassandra 4.0, 4.1 or 5.0: its mutations as bytes, each with its
 * checksum proven. Plain, compressed and direct I/O; whole files and the one that a node is
 * writing. One thread, one owner.
 *
 * A POSITION counts bytes as Cassandra does: in a plain segment it is the offset in the file, in a
 * compressed one what the offset would be were its sections not compressed. Positions rise within a
 * segment, and segments' ids rise within a node.
 *
 * DAMAGE is told with file and offset, once for each place, and the next call goes on behind it
 * where that is possible: nothing is left out silently. The codes of err: "header", "version",
 * "encrypted", "codec" (the file cannot be read at all), "marker" (a section's head: what follows
 * is lost), "torn" (a marker that was being written when the node died, with nothing behind it),
 * "section" (it does not unpack), "entry" (one mutation, or the rest of its section), "truncated"
 * (the file is shorter than its idx, or ends within a section). */
#ifndef CLOG_SEGMENT_H
#define CLOG_SEGMENT_H
#include "common/clog-file.h"

enum clog_follow {
  CLOG_WHOLE,  /* a file at rest: what is not whole is damage */
  CLOG_FAST,   /* a live one, up to its last marker; a power cut at the node may take it back */
  CLOG_DURABLE /* a live one, up to what its idx says */
};

struct clog_entry {
  const uint8_t *data;   /* lent until the next call */
  uint32_t len;          /* bytes */
  int64_t segment;       /* the segment's id */
  int64_t offset;        /* in the file; compressed: of the section that holds it */
  int64_t position, end; /* of its first byte, and of what follows it */
};

struct clog_segment;

/* Opens a segment. path is copied; the idx is looked for beside it. Give: *ret is closed by
 * clog_segment_close. MR_IDLE: its head is not written yet (not with CLOG_WHOLE); MR_RETRY: it
 * cannot be opened (err->code "ENOENT": it is gone); MR_REJECT: it cannot be read; MR_FATAL: no
 * memory. */
int clog_segment_open(const char *path, enum clog_follow follow, struct clog_segment **ret,
                      struct mr_error *err);
/* The next mutation. MR_OK; MR_IDLE: no more yet (CLOG_FAST, CLOG_DURABLE); MR_END: no more, ever;
 * MR_REJECT: damage, the next call goes on behind it; MR_RETRY: the file could not be read. */
int clog_segment_next(struct clog_segment *self, struct clog_entry *ret, struct mr_error *err);
/* Goes on with the first mutation that ends behind this position. Only before the first
 * clog_segment_next. */
void clog_segment_seek(struct clog_segment *self, int64_t position);
/* A later segment has data, so that Cassandra writes no more into this one, though no idx says so
 * (a segment without changes of CDC tables has none). */
void clog_segment_seal(struct clog_segment *self);
/* The segment's descriptor, lent. */
const struct clog_header *clog_segment_header(const struct clog_segment *self);
/* Where the marker of the next section is or will be: offset in the file. */
int64_t clog_segment_offset(const struct clog_segment *self);
/* NULL is fine. */
void clog_segment_close(struct clog_segment *self);

#endif
