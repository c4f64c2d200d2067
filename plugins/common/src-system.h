/* SPDX-License-Identifier: Apache-2.0 */
/* System columns: what a source adds behind its own columns when the pipeline names them
 * (mr_open.want).
 *
 * A source tells what it can make, describes each message once, and joins the finished columns to
 * the rows. Values that belong to a message are repeated for each of its rows. One object, one
 * thread. */
#ifndef SRC_SYSTEM_H
#define SRC_SYSTEM_H
#include "millrace/build.h"
#include "millrace/plugin.h"

enum src_column {
  SRC_KEY,       /* _key        binary */
  SRC_TOPIC,     /* _topic      utf8 */
  SRC_PARTITION, /* _partition  int32 */
  SRC_OFFSET,    /* _offset     int64 */
  SRC_TIMESTAMP, /* _timestamp  timestamp(us, UTC) */
  SRC_HEADERS,   /* _headers    map<utf8, binary> */
  SRC_OP,        /* _op         utf8 */
  SRC_POSITION,  /* _position   uint64 */
  SRC_ELEMENT,   /* _element    uint32 */
  SRC_ORIGINAL,  /* _original   binary */
  SRC_TTL,       /* _ttl        int32: seconds to live, from when it was written */
  SRC_EXPIRES,   /* _expires    timestamp(us, UTC) */
  SRC_COLUMNS
};
#define SRC_BIT(column) (1u << (column))
#define SRC_NO_TIME INT64_MIN

struct src_header {
  const char *name;
  const void *value; /* NULL: null */
  size_t len;
};
/* What a message says about its rows. All pointers are lent for the call. Zero is a fine default
 * for what is not wanted. */
struct src_message {
  const void *key; /* NULL: null */
  size_t key_len;
  const char *topic;
  int32_t partition;
  int64_t offset, timestamp_us; /* SRC_NO_TIME: null */
  const struct src_header *header;
  size_t n_header;
  const char *op; /* insert, update or delete */
  uint64_t position;
  const void *original; /* NULL: null */
  size_t original_len;
  const struct mr_extent *extent; /* original: the part of each row; NULL: all of it */
  bool position_by_row; /* position is that of the first row, each further row has the next one */
  uint32_t element;     /* of the first row */
  int32_t ttl;          /* s; 0: null */
  int64_t expires_us;   /* since 1970; 0: null */
};
struct src_system {
  int n;
  enum src_column which[SRC_COLUMNS]; /* in the order of `want` */
  struct mr_column column[SRC_COLUMNS];
  uint32_t wanted; /* SRC_BIT for each of which[] */
};

/* Reads the want list. makes: SRC_BITs that this source can make. MR_BADCONF: a wanted column that
 * it cannot make, named in err; MR_FATAL: no memory. self is releasable (src_system_done) in every
 * case. */
int src_system_init(struct src_system *self, const struct mr_list *want, uint32_t makes,
                    struct mr_error *err);
void src_system_done(struct src_system *self);
/* Adds the wanted columns to a rows schema made by build.h. false: no memory. */
bool src_system_fields(const struct src_system *self, struct ArrowSchema *rows);
/* Appends n rows of one message. false: no memory, and what was appended before is still whole
 * after src_system_truncate. */
bool src_system_add(struct src_system *self, const struct src_message *lend, int64_t n);
/* Cuts every column back to n rows. */
void src_system_truncate(struct src_system *self, int64_t n);
/* Joins the finished columns to rows (its children are moved out) and gives the whole; the columns
 * begin anew. false: no memory, rows and columns are lost but releasable. */
bool src_system_join(struct src_system *self, struct ArrowArray *take, struct ArrowArray *give);

static inline bool src_system_wants(const struct src_system *self, enum src_column c)
{
  return self->wanted & SRC_BIT(c);
}

#endif
