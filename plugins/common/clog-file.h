/* SPDX-License-Identifier: Apache-2.0 */
/* Files of Cassandra's cdc_raw directory: names, the idx beside each segment, the descriptor at a
 * segment's head (Apache Cassandra 4.0 to 5.0: CommitLogDescriptor, CommitLogSegment). Any thread.
 */
#ifndef CLOG_FILE_H
#define CLOG_FILE_H
#include "common/clog-inflate.h"
#include "millrace/plugin.h"

#define CLOG_HEADER_FIXED 14 /* bytes before the descriptor's params */
#define CLOG_HEADER_MAX (CLOG_HEADER_FIXED + UINT16_MAX + 4)

/* "CommitLog-<version>-<id>.log", the folder before it left out. false: another file. */
bool clog_name_parse(const char *name, int32_t *ret_version, int64_t *ret_id);

struct clog_segment_name {
  int64_t id;
  char *path;
};
/* The segments of a folder, sorted by id. Give: *ret is freed by clog_names_free. MR_RETRY: the
 * folder cannot be read. */
int clog_names(const char *folder, struct clog_segment_name **ret, size_t *ret_n,
               struct mr_error *err);
void clog_names_free(struct clog_segment_name *names, size_t n);

/* What `CommitLog-…_cdc.idx` says: up to where (a position, see clog-segment.h) the segment's data
 * is on disk. The file is rewritten in place at each sync, and after a crash with the length of the
 * file instead of a position. */
struct clog_idx {
  int64_t position;
  bool completed; /* Cassandra writes no more into the segment */
};
/* Reads the idx beside a segment (path: the .log). MR_OK; MR_IDLE: there is none, or it is just
 * being written: *ret untouched; MR_RETRY: it cannot be read, or holds something else. */
int clog_idx_read(const char *path, struct clog_idx *ret, struct mr_error *err);

struct clog_header {
  int32_t version; /* 7: 4.0, 4.1 and a 5.0 that stays compatible; 8: 5.0 */
  int64_t id;
  enum clog_codec codec;
  uint32_t len; /* bytes: where the first section's marker stands */
};
/* Reads a descriptor from the first n bytes of a file. MR_OK; MR_IDLE: n is too small; MR_REJECT:
 * damaged, encrypted, of a version or compressor that is not known (err says which). */
int clog_header_parse(const uint8_t *p, size_t n, struct clog_header *ret, struct mr_error *err);

#endif
