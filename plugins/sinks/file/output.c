/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clock.h"
#include "output.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Where the extension of a path begins, or its end. */
static size_t stem(const char *path)
{
  const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
  return dot && dot > (slash ? slash + 1 : path) ? (size_t)(dot - path) : strlen(path);
}

bool output_init(struct output *o, const char *path, int64_t max_bytes, int64_t max_ms,
                 uint32_t instance, uint32_t instances)
{
  size_t n = stem(path);
  *o = (struct output){
      .fd = -1, .max_bytes = max_bytes > 0 ? max_bytes : 0, .max_ms = max_ms > 0 ? max_ms : 0};
  int r = instances > 1 ? asprintf(&o->path, "%.*s-%u%s", (int)n, path, instance, path + n)
                        : asprintf(&o->path, "%s", path);
  if (r < 0)
    o->path = NULL;
  if (r < 0 || asprintf(&o->name, "%s%s", o->path, output_rotates(o) ? ".part" : "") < 0)
    o->name = NULL;
  return o->name;
}

void output_done(struct output *o)
{
  struct mr_error ignored = {.size = sizeof ignored, .row = -1};
  if (o->fd >= 0 && output_rotates(o) && o->size && o->size == o->base)
    output_rotate(o, &ignored);
  if (o->fd >= 0)
    close(o->fd);
  o->fd = -1;
  free(o->path);
  free(o->name);
  free(o->buf);
  o->path = o->name = o->buf = NULL;
}

/* A full disk may be helped; everything else is final. */
static int fails(const struct output *o, const char *what, int e, struct mr_error *err)
{
  bool passes = e == ENOSPC || e == EDQUOT || e == EMFILE || e == ENFILE;
  err->native = e;
  return src_fail(err, passes ? MR_RETRY : MR_FATAL, "", "%s: %s: %s", o->name, what, strerror(e));
}

/* Makes the file's name durable. */
static int sync_folder(struct output *o, struct mr_error *err)
{
  char *copy = strdup(o->name);
  int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  int e = fd < 0 || fsync(fd) ? errno : 0;
  if (fd >= 0)
    close(fd);
  free(copy);
  return e && e != EINVAL ? fails(o, "folder", e, err) : MR_OK;
}

static int put(struct output *o, const char *p, size_t n, struct mr_error *err)
{
  while (n) {
    ssize_t w = write(o->fd, p, n);
    if (w < 0 && errno == EINTR)
      continue;
    if (w < 0)
      return fails(o, "write", errno, err);
    p += w;
    n -= (size_t)w;
    o->size += w;
  }
  return MR_OK;
}

/* ---------------------------------------------------------------- names */

/* path-20260128T100000-0001.ext, of a name that is not there yet. NULL: no memory. */
static char *final_name(struct output *o)
{
  char stamp[32], *name = NULL;
  time_t t = time(NULL);
  struct tm tm;
  size_t n = stem(o->path);
  gmtime_r(&t, &tm);
  strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
  do {
    free(name);
    if (asprintf(&name, "%.*s-%s-%04llu%s", (int)n, o->path, stamp,
                 (unsigned long long)++o->sequence, o->path + n) < 0)
      return NULL;
  } while (!access(name, F_OK));
  return name;
}

int output_rotate(struct output *o, struct mr_error *err)
{
  char *name = final_name(o);
  if (!name)
    return src_no_memory(err);
  int e = rename(o->name, name) ? errno : 0;
  free(name);
  if (e)
    return fails(o, "rename", e, err);
  close(o->fd);
  o->fd = -1;
  o->size = o->base = 0;
  return sync_folder(o, err);
}

bool output_begins(const struct output *o, const void *data, size_t len)
{
  char *have = malloc(len + 1);
  bool same =
      !o->size || (have && pread(o->fd, have, len, 0) == (ssize_t)len && !memcmp(have, data, len));
  free(have);
  return same;
}

/* ---------------------------------------------------------------- opening */

/* A run that was killed in the middle of a write may leave a last line without its end: the next
 * line must not join it. */
static int end_last_line(struct output *o, struct mr_error *err)
{
  char last = '\n';
  if (o->size && pread(o->fd, &last, 1, o->size - 1) < 0)
    return fails(o, "read", errno, err);
  return last == '\n' ? MR_OK : put(o, "\n", 1, err);
}

static int open_file(struct output *o, struct mr_error *err)
{
  struct stat st;
  o->fd = open(o->name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
  if (o->fd < 0)
    return fails(o, "open", errno, err);
  if (fstat(o->fd, &st))
    return fails(o, "open", errno, err);
  o->size = o->base = S_ISREG(st.st_mode) ? st.st_size : 0;
  o->opened_ms = clock_now_ms();
  o->synced_folder = false;
  return MR_OK;
}

int output_open(struct output *o, struct mr_error *err)
{
  if (o->fd >= 0)
    return MR_OK;
  int r = open_file(o, err);
  if (r == MR_OK)
    r = end_last_line(o, err);
  o->base = o->size;
  if (r == MR_OK && o->size && output_rotates(o)) { /* left by an earlier run */
    r = output_rotate(o, err);
    if (r == MR_OK)
      r = open_file(o, err);
  }
  if (r < 0 && o->fd >= 0) {
    close(o->fd);
    o->fd = -1;
  }
  return r;
}

/* ---------------------------------------------------------------- units */

static int flush(struct output *o, struct mr_error *err)
{
  int64_t before = o->size;
  int r = o->fd < 0 ? open_file(o, err) : MR_OK;
  if (r == MR_OK)
    r = put(o, o->buf, o->len, err);
  if (r == MR_OK) {
    o->len = 0;
  } else if (o->fd >= 0 && o->size > before && !ftruncate(o->fd, before)) {
    o->size = before; /* the same call can be made again */
  }
  return r;
}

int output_write(struct output *o, const void *data, size_t len, struct mr_error *err)
{
  if (o->len + len > o->cap) {
    size_t cap = o->len + len > 2 * o->cap ? o->len + len + 4096 : 2 * o->cap;
    char *more = realloc(o->buf, cap);
    if (!more)
      return src_no_memory(err);
    o->buf = more;
    o->cap = cap;
  }
  memcpy(o->buf + o->len, data, len);
  o->len += len;
  if (o->len < OUTPUT_BUFFER)
    return MR_OK;
  int r = flush(o, err);
  if (r < 0)
    o->len -= len; /* this call leaves nothing */
  return r;
}

static bool is_due(const struct output *o)
{
  return (o->max_bytes && o->size >= o->max_bytes) ||
         (o->max_ms && o->size && clock_now_ms() - o->opened_ms >= o->max_ms);
}

int output_commit(struct output *o, struct mr_error *err)
{
  int r = o->len ? flush(o, err) : MR_OK;
  if (r < 0 || o->fd < 0)
    return r;
  if (o->size != o->base && fdatasync(o->fd) && errno != EINVAL && errno != EROFS) {
    fails(o, "fsync", errno, err);
    return MR_FATAL; /* the kernel may have dropped the pages: trying again would lie */
  }
  if (!o->synced_folder && (r = sync_folder(o, err)) < 0)
    return r;
  o->synced_folder = true;
  o->base = o->size;
  return is_due(o) ? output_rotate(o, err) : MR_OK;
}

int output_abort(struct output *o, struct mr_error *err)
{
  o->len = 0;
  if (o->fd < 0 || o->size == o->base)
    return MR_OK;
  if (ftruncate(o->fd, o->base))
    return fails(o, "truncate", errno, err);
  o->size = o->base;
  return MR_OK;
}
