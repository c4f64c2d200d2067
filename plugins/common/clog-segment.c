/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-segment.h"
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/cql-read.h"
#include "common/src-error.h"

#define MARKER 8                  /* bytes: next section's offset, checksum */
#define ENTRY_HEAD 8              /* bytes: size, its checksum */
#define ENTRY_TAIL 4              /* bytes: checksum of size and mutation */
#define ENTRY_MIN 10              /* bytes of a mutation: less is no mutation */
#define SECTION_MAX (1u << 30)    /* bytes, unpacked: commitlog_segment_size stays below 2 GiB */
#define RATIO_MAX UINT64_C(65536) /* no section of a log is packed tighter */
#define RATIO_SLACK UINT64_C(4096)

struct clog_segment {
  char *path;
  int fd;
  enum clog_follow follow;
  struct clog_header header;
  struct clog_inflate inflate;
  int64_t size;   /* of the file, bytes, when last asked */
  int64_t marker; /* offset of the next section's marker */
  int64_t at;     /* the position of that marker */
  int64_t from;   /* a mutation that ends at or before this position is left out */
  bool sealed, ended;
  uint8_t *packed, *data; /* as read; the section's bytes (data == packed when plain) */
  size_t packed_cap, data_cap;
  size_t cursor, len;     /* within data, bytes; cursor == len: no section is open */
  int64_t section;        /* offset of its marker in the file */
  int64_t first_position; /* of data[0] */
};

enum marker_state { MARKER_GOOD, MARKER_NONE, MARKER_TORN, MARKER_BROKEN };
struct marker {
  enum marker_state state;
  int64_t next;
};

static bool is_packed(const struct clog_segment *s)
{
  return s->header.codec != CLOG_PLAIN;
}

static int damage(const struct clog_segment *s, struct mr_error *err, const char *code,
                  int64_t offset, const char *what)
{
  return src_fail(err, MR_REJECT, code, "%s: offset %lld: %s", s->path, (long long)offset, what);
}

/* ---------------------------------------------------------------- the file */

static int read_failed(const struct clog_segment *s, struct mr_error *err)
{
  return src_fail(err, MR_RETRY, "read", "%s: %s", s->path, strerror(errno));
}

/* Reads up to n bytes at an offset; *ret_n is less only at the end of the file. */
static int read_at(struct clog_segment *s, int64_t offset, void *out, size_t n, size_t *ret_n,
                   struct mr_error *err)
{
  size_t got = 0;
  while (got < n) {
    ssize_t r = pread(s->fd, (uint8_t *)out + got, n - got, offset + (int64_t)got);
    if (r < 0 && errno == EINTR)
      continue;
    if (r < 0)
      return read_failed(s, err);
    if (r == 0)
      break;
    got += (size_t)r;
  }
  *ret_n = got;
  return MR_OK;
}

static int ask_size(struct clog_segment *s, struct mr_error *err)
{
  struct stat st;
  if (fstat(s->fd, &st) < 0)
    return read_failed(s, err);
  s->size = st.st_size;
  return MR_OK;
}

static bool reserve(uint8_t **p, size_t *cap, size_t n)
{
  if (n <= *cap)
    return true;
  free(*p);
  *p = malloc(n);
  *cap = *p ? n : 0;
  return *p != NULL;
}

/* ---------------------------------------------------------------- opening */

/* Nothing more is written into the file. */
static bool is_finished(const struct clog_segment *s)
{
  struct clog_idx idx = {0};
  struct mr_error ignored = {.size = sizeof ignored, .row = -1};
  return s->follow == CLOG_WHOLE ||
         (clog_idx_read(s->path, &idx, &ignored) == MR_OK && idx.completed);
}

static int read_header(struct clog_segment *s, struct mr_error *err)
{
  uint8_t *head = malloc(CLOG_HEADER_MAX);
  if (!head)
    return src_no_memory(err);
  size_t n = 0;
  struct mr_error why = *err;
  int status = read_at(s, 0, head, CLOG_HEADER_MAX, &n, err);
  if (status == MR_OK)
    status = clog_header_parse(head, n, &s->header, &why);
  free(head);
  if (status == MR_IDLE && is_finished(s))
    return damage(s, err, "truncated", (int64_t)n, "the file ends within the segment's head");
  if (status == MR_REJECT)
    return src_fail(err, MR_REJECT, why.code, "%s: offset 0: %s", s->path, why.msg);
  return status;
}

/* The name tells the id too; a file of another name is taken as it is. */
static int check_id(const struct clog_segment *s, struct mr_error *err)
{
  int32_t version;
  int64_t id;
  if (!clog_name_parse(s->path, &version, &id) || id == s->header.id)
    return MR_OK;
  return src_fail(err, MR_REJECT, "header", "%s: offset 4: the segment says that its id is %lld",
                  s->path, (long long)s->header.id);
}

static int open_file(struct clog_segment *s, struct mr_error *err)
{
  s->fd = open(s->path, O_RDONLY | O_CLOEXEC);
  if (s->fd >= 0)
    return MR_OK;
  return src_fail(err, MR_RETRY, errno == ENOENT ? "ENOENT" : "read", "%s: %s", s->path,
                  strerror(errno));
}

int clog_segment_open(const char *path, enum clog_follow follow, struct clog_segment **ret,
                      struct mr_error *err)
{
  struct clog_segment *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->fd = -1;
  s->follow = follow;
  s->path = strdup(path);
  int status = s->path ? open_file(s, err) : src_no_memory(err);
  if (status == MR_OK)
    status = ask_size(s, err);
  if (status == MR_OK)
    status = read_header(s, err);
  if (status == MR_OK)
    status = check_id(s, err);
  if (status != MR_OK) {
    clog_segment_close(s);
    return status;
  }
  s->inflate.codec = s->header.codec;
  s->marker = s->at = s->header.len;
  *ret = s;
  return MR_OK;
}

void clog_segment_close(struct clog_segment *self)
{
  if (!self)
    return;
  if (self->fd >= 0)
    close(self->fd);
  clog_inflate_done(&self->inflate);
  if (self->data != self->packed)
    free(self->data);
  free(self->packed);
  free(self->path);
  free(self);
}

void clog_segment_seek(struct clog_segment *self, int64_t position)
{
  self->from = position;
}

void clog_segment_seal(struct clog_segment *self)
{
  self->sealed = true;
}

const struct clog_header *clog_segment_header(const struct clog_segment *self)
{
  return &self->header;
}

int64_t clog_segment_offset(const struct clog_segment *self)
{
  return self->marker;
}

/* ---------------------------------------------------------------- markers */

static uint32_t marker_crc(int64_t id, int64_t offset)
{
  uint8_t fed[12];
  uint32_t part[3] = {htobe32((uint32_t)id), htobe32((uint32_t)((uint64_t)id >> 32)),
                      htobe32((uint32_t)offset)};
  memcpy(fed, part, sizeof fed);
  return libdeflate_crc32(0, fed, sizeof fed);
}

static bool is_next_sane(const struct clog_segment *s, int64_t next)
{
  return next >= s->marker + MARKER + (is_packed(s) ? 4 : 0) && next <= s->size;
}

/* Looks at the marker where the chain goes on. */
static int look(struct clog_segment *s, struct marker *ret, struct mr_error *err)
{
  uint8_t b[MARKER];
  size_t n = 0;
  *ret = (struct marker){.state = MARKER_NONE};
  int status = ask_size(s, err);
  if (status == MR_OK && s->marker <= s->size - MARKER)
    status = read_at(s, s->marker, b, sizeof b, &n, err);
  if (status != MR_OK || n < MARKER)
    return status;
  uint32_t next = cql_be32(b), crc = cql_be32(b + 4);
  ret->next = next;
  if (!next && !crc)
    ret->state = MARKER_NONE;
  else if (crc != marker_crc(s->header.id, s->marker))
    ret->state = crc ? MARKER_BROKEN : MARKER_TORN;
  else
    ret->state = is_next_sane(s, next) ? MARKER_GOOD : MARKER_BROKEN;
  return MR_OK;
}

/* ---------------------------------------------------------------- the end of the chain */

static int bad_marker(struct clog_segment *s, const struct marker *m, struct mr_error *err)
{
  s->ended = true;
  if (m->state == MARKER_TORN)
    return damage(s, err, "torn", s->marker,
                  "a sync marker without its checksum: the node died while it wrote here");
  if (m->next > s->size)
    return damage(s, err, "truncated", s->marker, "the section goes on behind the end of the file");
  return damage(s, err, "marker", s->marker,
                "the sync marker's checksum is wrong: what follows cannot be read");
}

/* A segment holds what its idx says; after a crash that is the file's length. */
static int check_length(struct clog_segment *s, const struct clog_idx *idx, struct mr_error *err)
{
  if (idx->position <= s->at || (idx->completed && idx->position == s->size))
    return MR_END;
  return src_fail(err, MR_REJECT, "truncated",
                  "%s: offset %lld: the segment ends at position %lld, its idx says %lld", s->path,
                  (long long)s->marker, (long long)s->at, (long long)idx->position);
}

static int at_rest(struct clog_segment *s, const struct marker *m, const struct clog_idx *idx,
                   struct mr_error *err)
{
  if (m->state != MARKER_NONE)
    return bad_marker(s, m, err);
  s->ended = true;
  return check_length(s, idx, err);
}

/* No good marker where the chain goes on: it grows, has ended, or is broken. */
static int no_section(struct clog_segment *s, struct marker *m, struct mr_error *err)
{
  struct clog_idx idx = {0};
  int status = clog_idx_read(s->path, &idx, err);
  if (status < 0)
    return status;
  if (s->follow != CLOG_WHOLE && !idx.completed && !s->sealed)
    return MR_IDLE;
  status = look(s, m, err); /* what came before the idx was written */
  if (status != MR_OK || m->state == MARKER_GOOD)
    return status;
  return at_rest(s, m, &idx, err);
}

/* ---------------------------------------------------------------- sections */

static int read_packed(struct clog_segment *s, int64_t next, struct mr_error *err)
{
  size_t n = (size_t)(next - s->marker - MARKER), got = 0;
  if (!reserve(&s->packed, &s->packed_cap, n ? n : 1))
    return src_no_memory(err);
  int status = read_at(s, s->marker + MARKER, s->packed, n, &got, err);
  if (status == MR_OK && got < n)
    status = src_fail(err, MR_RETRY, "read", "%s: the file became shorter", s->path);
  return status;
}

static void open_section(struct clog_segment *s, int64_t next, size_t len)
{
  s->section = s->marker;
  s->first_position = s->at + MARKER;
  s->cursor = 0;
  s->len = len;
  s->at += MARKER + (int64_t)len;
  s->marker = next;
}

/* The section is passed over; its damage is told. */
static int broken_section(struct clog_segment *s, int64_t next, size_t len, const char *why,
                          struct mr_error *err)
{
  int64_t offset = s->marker;
  open_section(s, next, len);
  s->cursor = s->len;
  return damage(s, err, "section", offset, why);
}

static int plain_section(struct clog_segment *s, int64_t next, struct mr_error *err)
{
  size_t n = (size_t)(next - s->marker - MARKER);
  bool wanted = next > s->from;
  int status = wanted ? read_packed(s, next, err) : MR_OK;
  if (status != MR_OK)
    return status;
  open_section(s, next, n);
  s->data = s->packed;
  if (!wanted)
    s->cursor = s->len;
  return MR_OK;
}

/* Unpacks n bytes into exactly len. MR_REJECT: *ret_why. */
static int unpack(struct clog_segment *s, size_t n, size_t len, const char **ret_why,
                  struct mr_error *err)
{
  *ret_why = "the section's length cannot be";
  if (len > SECTION_MAX || len > n * RATIO_MAX + RATIO_SLACK)
    return MR_REJECT;
  if (!reserve(&s->data, &s->data_cap, len ? len : 1))
    return src_no_memory(err);
  *ret_why = len || n ? clog_inflate(&s->inflate, s->packed + 4, n, s->data, len) : NULL;
  return *ret_why ? MR_REJECT : MR_OK;
}

/* The section's length has no checksum, and every position behind it depends on it: where the block
 * does not unpack to it but to what it says itself, the length is what was damaged. */
static int unpack_either(struct clog_segment *s, size_t n, size_t *len, const char **ret_why,
                         struct mr_error *err)
{
  const char *again;
  int status = unpack(s, n, *len, ret_why, err);
  if (status != MR_REJECT)
    return status;
  size_t own = clog_inflate_size(&s->inflate, s->packed + 4, n, SECTION_MAX);
  if (own)
    status = unpack(s, n, own, &again, err);
  if (status == MR_OK)
    *len = own;
  else if (*len > SECTION_MAX)
    *len = 0;
  return status;
}

static int packed_section(struct clog_segment *s, int64_t next, struct mr_error *err)
{
  const char *why;
  int status = read_packed(s, next, err);
  if (status != MR_OK)
    return status;
  size_t n = (size_t)(next - s->marker - MARKER) - 4, len = cql_be32(s->packed);
  status = unpack_either(s, n, &len, &why, err);
  bool wanted = s->at + MARKER + (int64_t)len > s->from;
  if (status == MR_REJECT && wanted)
    return broken_section(s, next, len, why, err);
  if (status != MR_OK && status != MR_REJECT)
    return status;
  open_section(s, next, len);
  if (!wanted)
    s->cursor = s->len;
  return MR_OK;
}

/* Whether the idx says that the section at the marker is on disk. */
static int is_durable(struct clog_segment *s, int64_t next, bool *ret, struct mr_error *err)
{
  struct clog_idx idx = {0};
  uint8_t head[4] = {0};
  size_t got = 0;
  int status = clog_idx_read(s->path, &idx, err);
  if (status == MR_OK && is_packed(s) && !idx.completed)
    status = read_at(s, s->marker + MARKER, head, sizeof head, &got, err);
  if (status < 0)
    return status;
  int64_t end = is_packed(s) ? s->at + MARKER + (int64_t)cql_be32(head) : next;
  *ret = idx.completed || s->sealed || idx.position >= end;
  return MR_OK;
}

/* Opens the next section. */
static int next_section(struct clog_segment *s, struct mr_error *err)
{
  struct marker m;
  bool durable = true;
  if (s->ended)
    return MR_END;
  int status = look(s, &m, err);
  if (status == MR_OK && m.state != MARKER_GOOD)
    status = no_section(s, &m, err);
  if (status == MR_OK && s->follow == CLOG_DURABLE)
    status = is_durable(s, m.next, &durable, err);
  if (status != MR_OK)
    return status;
  if (!durable)
    return MR_IDLE;
  return is_packed(s) ? packed_section(s, m.next, err) : plain_section(s, m.next, err);
}

/* ---------------------------------------------------------------- entries */

/* Tells the damage at the cursor, which then moves on. */
static int bad_entry(struct clog_segment *s, size_t next, const char *why, struct mr_error *err)
{
  long long position = s->first_position + (int64_t)s->cursor;
  s->cursor = next;
  if (!is_packed(s))
    return damage(s, err, "entry", position, why);
  return src_fail(err, MR_REJECT, "entry", "%s: offset %lld: position %lld: %s", s->path,
                  (long long)s->section, position, why);
}

/* Nothing but zeros may follow the last entry. */
static int end_of_entries(struct clog_segment *s, struct mr_error *err)
{
  for (size_t i = s->cursor; i < s->len; i++)
    if (s->data[i])
      return bad_entry(s, s->len, "neither a mutation nor the end of its section", err);
  s->cursor = s->len;
  return MR_IDLE;
}

/* The entry at the cursor. MR_IDLE: the section has no more. */
static int next_entry(struct clog_segment *s, struct clog_entry *ret, struct mr_error *err)
{
  const uint8_t *p = s->data + s->cursor;
  size_t left = s->len - s->cursor;
  if (left < ENTRY_HEAD + ENTRY_TAIL || !cql_be32(p))
    return end_of_entries(s, err);
  uint32_t size = cql_be32(p), crc = libdeflate_crc32(0, p, 4);
  if (crc != cql_be32(p + 4))
    return bad_entry(s, s->len, "the checksum of a mutation's length is wrong", err);
  if (size < ENTRY_MIN || size > left - ENTRY_HEAD - ENTRY_TAIL)
    return bad_entry(s, s->len, "a mutation's length cannot be", err);
  size_t next = s->cursor + ENTRY_HEAD + size + ENTRY_TAIL;
  if (libdeflate_crc32(crc, p + ENTRY_HEAD, size) != cql_be32(p + ENTRY_HEAD + size))
    return bad_entry(s, next, "the checksum of a mutation is wrong", err);
  *ret = (struct clog_entry){.data = p + ENTRY_HEAD,
                             .len = size,
                             .segment = s->header.id,
                             .position = s->first_position + (int64_t)s->cursor,
                             .end = s->first_position + (int64_t)next};
  ret->offset = is_packed(s) ? s->section : ret->position;
  s->cursor = next;
  return MR_OK;
}

int clog_segment_next(struct clog_segment *self, struct clog_entry *ret, struct mr_error *err)
{
  for (;;) {
    int status = MR_IDLE;
    if (self->cursor < self->len)
      status = next_entry(self, ret, err);
    if (status == MR_OK && ret->end <= self->from)
      continue;
    if (status != MR_IDLE)
      return status;
    status = next_section(self, err);
    if (status != MR_OK)
      return status;
  }
}
