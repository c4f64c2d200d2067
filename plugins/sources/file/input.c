/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"
#include "file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <time.h>
#include <unistd.h>

struct mr_position file_position(const struct file_input *in, uint64_t number)
{
  struct mr_position p = mr_position_u64(number), inode = mr_position_u64(in->inode);
  memcpy(p.token + 8, inode.token, 8);
  p.len = 16;
  return p;
}

static uint64_t inode_of(const struct mr_position *p)
{
  struct mr_position second = {.len = 8};
  if (p->len < 16)
    return 0;
  memcpy(second.token, p->token + 8, 8);
  return mr_position_get(&second);
}

struct file_input *file_input_new(const char *path)
{
  struct file_input *in = calloc(1, sizeof *in);
  if (!in)
    return NULL;
  in->fd = -1;
  in->cut = in->end = UINT64_MAX;
  in->path = strdup(path);
  if (in->path)
    return in;
  free(in);
  return NULL;
}

void file_input_close(struct file *f, struct file_input *in)
{
  if (in->gz)
    gzclose(in->gz);
  else if (in->fd >= 0)
    close(in->fd);
  in->gz = NULL;
  in->fd = -1;
  in->from = in->to = in->scanned = 0;
  in->skipping = in->probed = in->final = false;
  in->rotated_ms = 0;
  if (in->own && in->own == f->current)
    f->current = NULL;
  if (in->own)
    f->host->decoder_free(in->own);
  in->own = NULL;
}

void file_input_free(struct file *f, struct file_input *in)
{
  if (!in)
    return;
  file_input_close(f, in);
  free(in->buf);
  free(in->path);
  free(in);
}

/* ---------------------------------------------------------------- opening */

static bool is_gzip(const char *path)
{
  size_t n = strlen(path);
  return n > 3 && !strcmp(path + n - 3, ".gz");
}

static int fails(const char *path, int e, struct mr_error *err)
{
  err->native = e;
  return src_fail(err, e == EMFILE || e == ENFILE || e == EINTR ? MR_RETRY : MR_FATAL, "", "%s: %s",
                  path, strerror(e));
}

static int open_path(struct file *f, struct file_input *in, const char *path, struct mr_error *err)
{
  struct stat st;
  file_input_close(f, in);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return errno == ENOENT ? MR_IDLE : fails(path, errno, err);
  if (fstat(fd, &st) || S_ISDIR(st.st_mode)) {
    int e = S_ISDIR(st.st_mode) ? EISDIR : errno;
    close(fd);
    return fails(path, e, err);
  }
  in->fd = fd;
  in->inode = (uint64_t)st.st_ino;
  in->modified = st.st_mtim;
  in->at = 0;
  in->final = f->conf->mode == FILE_WHOLE;
  if (is_gzip(path) && f->conf->mode == FILE_WHOLE && !(in->gz = gzdopen(fd, "rb"))) {
    file_input_close(f, in);
    return src_no_memory(err);
  }
  return MR_OK;
}

int file_input_open(struct file *f, struct file_input *in, struct mr_error *err)
{
  return open_path(f, in, in->path, err);
}

/* ---------------------------------------------------------------- files that were moved */

static bool before(const struct timespec *a, const struct timespec *b)
{
  return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

/* Whether `name` can be what rotation made of `base`: base.1, base-20260128, and not compressed. */
static bool is_rotated(const char *name, const char *base)
{
  static const char *const packed[] = {".gz", ".xz", ".bz2", ".zst"};
  size_t n = strlen(base), len = strlen(name);
  if (strncmp(name, base, n) || (name[n] && name[n] != '.' && name[n] != '-'))
    return false;
  for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
    if (len > strlen(packed[i]) && !strcmp(name + len - strlen(packed[i]), packed[i]))
      return false;
  return true;
}

/* Visits the path and what it was rotated to. NULL: no memory, or no such one. The caller frees.
 * wanted: an inode, or 0 for the oldest file that was written after `after`, and is not `not`. */
static char *find_sibling(const char *path, uint64_t wanted, const struct timespec *after,
                          uint64_t not )
{
  char *copy = strdup(path), *copy2 = strdup(path), *found = NULL;
  const char *folder = copy ? dirname(copy) : NULL, *base = copy2 ? basename(copy2) : NULL;
  DIR *d = folder && base ? opendir(folder) : NULL;
  struct timespec oldest = {0};
  for (struct dirent *e; d && (e = readdir(d));) {
    struct stat st;
    char *full = NULL;
    if (!is_rotated(e->d_name, base) || asprintf(&full, "%s/%s", folder, e->d_name) < 0)
      continue;
    bool ok = !stat(full, &st) && S_ISREG(st.st_mode);
    uint64_t inode = (uint64_t)st.st_ino;
    if (ok && wanted)
      ok = inode == wanted;
    else if (ok)
      ok = inode != not &&!before(&st.st_mtim, after) && (!found || before(&st.st_mtim, &oldest));
    if (ok) {
      free(found);
      found = full;
      oldest = st.st_mtim;
    } else {
      free(full);
    }
  }
  if (d)
    closedir(d);
  free(copy);
  free(copy2);
  return found;
}

/* Moves to an offset of the file that is open; what was buffered is dropped. */
static bool skip_to(struct file_input *in, uint64_t offset)
{
  in->at = offset;
  in->from = in->to = in->scanned = 0;
  if (in->gz)
    return gzseek(in->gz, (z_off_t)offset, SEEK_SET) == (z_off_t)offset;
  return lseek(in->fd, (off_t)offset, SEEK_SET) == (off_t)offset;
}

static bool is_longer(const struct file_input *in, uint64_t offset)
{
  struct stat st;
  return in->gz || (!fstat(in->fd, &st) && (uint64_t)st.st_size >= offset);
}

/* What was not read yet is gone: by on_gap an error, or a warning and the path from its beginning
 * as a new generation. */
static int lost(struct file *f, struct file_input *in, uint64_t generation, struct mr_error *err)
{
  char line[512];
  snprintf(line, sizeof line,
           "%.300s: the file read before is no longer there, or is shorter than what was read",
           in->path);
  bool whole = f->conf->mode == FILE_WHOLE; /* a new file under the same name is new data */
  if (!whole && f->conf->on_gap == FILE_GAP_FAIL) {
    file_input_close(f, in);
    return src_fail(err, MR_FATAL, "gap", "%s (on_gap: continue starts the file that is there)",
                    line);
  }
  f->host->log(f->host->ctx, whole ? MR_INFO : MR_WARN, line);
  if (!whole)
    f->host->metric(f->host->ctx, "gaps_total", in->lane, 1);
  int r = file_input_open(f, in, err);
  in->generation = generation + 1;
  in->at = 0;
  return r;
}

/* From offset 0 of the file that is open to where an earlier run stopped. */
static int resume(struct file *f, struct file_input *in, uint64_t offset, struct mr_error *err)
{
  if (!is_longer(in, offset))
    return lost(f, in, in->generation, err);
  int r = offset ? file_probe(f, in, err) : MR_OK;
  if (r < 0)
    return r;
  return skip_to(in, offset) ? MR_OK : fails(in->path, errno, err);
}

int file_input_seek(struct file *f, struct file_input *in, const struct mr_position *to,
                    struct mr_error *err)
{
  uint64_t number = mr_position_get(to), wanted = inode_of(to);
  uint64_t generation = number >> FILE_OFFSET_BITS,
           offset = number & ((UINT64_C(1) << FILE_OFFSET_BITS) - 1);
  int r = file_input_open(f, in, err);
  if (r < 0)
    return r;
  in->generation = generation;
  if (!wanted) /* a first position of a file that was not there */
    return r;
  if (r == MR_OK && in->inode == wanted)
    return resume(f, in, offset, err);
  char *moved = f->conf->mode == FILE_FOLLOW ? find_sibling(in->path, wanted, NULL, 0) : NULL;
  if (!moved)
    return lost(f, in, generation, err);
  r = open_path(f, in, moved, err);
  free(moved);
  in->generation = generation;
  return r == MR_OK ? resume(f, in, offset, err) : lost(f, in, generation, err);
}

/* ---------------------------------------------------------------- lines */

static int fill(struct file_input *in, struct mr_error *err)
{
  if (in->from && (in->from == in->to || in->to == in->cap)) {
    memmove(in->buf, in->buf + in->from, in->to - in->from);
    in->to -= in->from;
    in->from = 0;
  }
  if (in->to == in->cap) {
    size_t cap = in->cap ? 2 * in->cap : FILE_BUFFER;
    char *more = realloc(in->buf, cap);
    if (!more)
      return src_no_memory(err);
    in->buf = more;
    in->cap = cap;
  }
  size_t room = in->cap - in->to;
  ssize_t n;
  do
    n = in->gz ? gzread(in->gz, in->buf + in->to, (unsigned)(room < 1 << 30 ? room : 1 << 30))
               : read(in->fd, in->buf + in->to, room);
  while (n < 0 && !in->gz && errno == EINTR);
  if (n < 0 && in->gz)
    return src_fail(err, MR_FATAL, "", "%s: not a whole gzip file", in->path);
  if (n < 0 && errno != EAGAIN)
    return fails(in->path, errno, err);
  in->to += n > 0 ? (size_t)n : 0;
  return n > 0 ? (int)(n < INT32_MAX ? n : INT32_MAX) : 0;
}

void file_input_take(struct file_input *in, size_t n)
{
  in->from += n;
  in->at += n;
  in->scanned = 0;
}

/* Passes over the rest of a line that was too long. true: its end was found. */
static bool skip_rest(struct file_input *in)
{
  char *nl = memchr(in->buf + in->from, '\n', in->to - in->from);
  file_input_take(in, nl ? (size_t)(nl + 1 - (in->buf + in->from)) : in->to - in->from);
  in->skipping = !nl;
  return nl;
}

enum file_line file_input_line(struct file *f, struct file_input *in, size_t skip, const char **ret,
                               size_t *ret_len, size_t *ret_next, struct mr_error *err)
{
  if (in->fd < 0)
    return FILE_WAIT;
  in->scanned = in->scanned > skip ? in->scanned : skip;
  for (;;) {
    if (in->skipping && in->from < in->to)
      skip_rest(in);
    char *start = in->buf + in->from, *nl = NULL;
    size_t have = in->to - in->from;
    if (have > in->scanned)
      nl = memchr(start + in->scanned, '\n', have - in->scanned);
    *ret = start + skip;
    if (nl) {
      in->scanned = 0;
      *ret_len = (size_t)(nl - start) - skip;
      *ret_next = *ret_len + 1;
      return FILE_LINE;
    }
    in->scanned = have;
    if ((int64_t)have > f->conf->max_line && !in->skipping) {
      *ret_len = have - skip;
      return FILE_TOO_LONG;
    }
    int n = fill(in, err);
    if (n < 0)
      return FILE_FAILED;
    if (n > 0)
      continue;
    if (!in->final)
      return FILE_WAIT;
    if (have <= skip)
      return FILE_END;
    *ret = in->buf + in->from + skip;
    *ret_len = *ret_next = have - skip;
    return FILE_LINE;
  }
}

bool file_input_all(struct file *f, struct file_input *in, const char **ret, size_t *ret_len)
{
  struct mr_error ignored = {.size = sizeof ignored, .row = -1};
  int n = 1;
  while (n > 0 && (int64_t)(in->to - in->from) <= f->conf->max_line)
    n = fill(in, &ignored);
  *ret = in->buf + in->from;
  *ret_len = in->to - in->from;
  return n == 0;
}

/* ---------------------------------------------------------------- rotation */

static int cut_short(struct file *f, struct file_input *in, struct mr_error *err)
{
  char line[400];
  uint64_t generation = in->generation + 1;
  snprintf(line, sizeof line, "%.300s was cut short: it is read from its beginning", in->path);
  f->host->log(f->host->ctx, MR_INFO, line);
  int r = file_input_open(f, in, err);
  in->generation = generation;
  return r;
}

/* The file after the one that was read to its end: the oldest of those written later. */
static int next_file(struct file *f, struct file_input *in, struct mr_error *err)
{
  struct stat st;
  if (fstat(in->fd, &st) == 0)
    in->modified = st.st_mtim;
  char *path = find_sibling(in->path, 0, &in->modified, in->inode);
  uint64_t generation = in->generation + 1;
  int r = open_path(f, in, path ? path : in->path, err);
  free(path);
  in->generation = generation;
  return r;
}

bool file_input_turn(struct file *f, struct file_input *in, int *ret_status, struct mr_error *err)
{
  struct stat now, own;
  *ret_status = MR_OK;
  if (in->fd < 0) {
    uint64_t generation = in->generation;
    *ret_status = file_input_open(f, in, err);
    in->generation = generation;
    return *ret_status == MR_OK;
  }
  if (!fstat(in->fd, &own) && (uint64_t)own.st_size < in->at) {
    *ret_status = cut_short(f, in, err);
    return *ret_status == MR_OK;
  }
  if (stat(in->path, &now) || (uint64_t)now.st_ino == in->inode) {
    in->rotated_ms = 0;
    return false;
  }
  if (!in->rotated_ms)
    in->rotated_ms = clock_now_ms(); /* its writer may not have noticed yet */
  if (clock_now_ms() - in->rotated_ms < FILE_GRACE_MS)
    return false;
  if (!in->final) {
    in->final = true;
    return in->to > in->from;
  }
  *ret_status = next_file(f, in, err);
  return *ret_status == MR_OK;
}
