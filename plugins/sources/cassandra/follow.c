/* SPDX-License-Identifier: Apache-2.0 */
#include "follow.h"
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>
#include "common/clock.h"
#include "common/src-error.h"

#define POLL_MS 20  /* memory that the node has mapped tells nobody when it is written */
#define LOOK_MS 250 /* between two looks into later segments */
#define WATCHED (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE)

void cass_follow_init(struct cass_follow *f, const char *directory, enum clog_follow mode)
{
  *f = (struct cass_follow){.directory = directory, .mode = mode, .watch = -1, .stale = true};
}

static void close_segment(struct cass_follow *f)
{
  clog_segment_close(f->open);
  f->open = NULL;
}

void cass_follow_done(struct cass_follow *f)
{
  close_segment(f);
  clog_names_free(f->name, f->n);
  if (f->watch >= 0)
    close(f->watch);
  *f = (struct cass_follow){.watch = -1};
}

void cass_follow_seek(struct cass_follow *f, int64_t segment, int64_t position)
{
  close_segment(f);
  f->segment = segment;
  f->from = position;
  f->stale = true;
}

/* ---------------------------------------------------------------- the directory */

/* Without inotify (no more watches to be had) polling alone does. */
static void start_watch(struct cass_follow *f)
{
  if (f->watch >= 0)
    return;
  f->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (f->watch >= 0 && inotify_add_watch(f->watch, f->directory, WATCHED) < 0) {
    close(f->watch);
    f->watch = -1;
  }
}

int cass_follow_list(struct cass_follow *f, struct mr_error *err)
{
  struct clog_segment_name *name;
  size_t n;
  start_watch(f);
  int rc = clog_names(f->directory, &name, &n, err);
  if (rc < 0)
    return rc;
  clog_names_free(f->name, f->n);
  f->name = name;
  f->n = n;
  f->stale = false;
  return MR_OK;
}

static void drain_watch(struct cass_follow *f)
{
  char events[4096];
  while (f->watch >= 0 && read(f->watch, events, sizeof events) > 0)
    f->stale = true;
}

void cass_follow_wait(struct cass_follow *f, int64_t until_ms, int wake_fd)
{
  struct pollfd p[2] = {{.fd = f->watch, .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
  int64_t left = until_ms - clock_now_ms();
  if (left > 0)
    poll(p, 2, left < POLL_MS ? (int)left : POLL_MS);
  drain_watch(f);
}

/* ---------------------------------------------------------------- later segments */

/* Has the head not been written yet? Zeros stand there, and nothing says that it has data. */
static bool is_blank(const char *path)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_idx idx;
  uint8_t head[CLOG_HEADER_FIXED] = {0};
  static const uint8_t zeros[CLOG_HEADER_FIXED];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool blank = fd >= 0 && read(fd, head, sizeof head) >= 0 && !memcmp(head, zeros, sizeof head);
  if (fd >= 0)
    close(fd);
  return blank && clog_idx_read(path, &idx, &err) == MR_IDLE;
}

/* Does a segment hold a mutation? What cannot be read does: it is told when its turn comes. */
static bool has_data(const char *path)
{
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct clog_segment *s;
  struct clog_entry e;
  int rc = clog_segment_open(path, CLOG_FAST, &s, &err);
  if (rc != MR_OK)
    return rc == MR_REJECT && strcmp(err.code, "header") != 0 && !is_blank(path);
  rc = clog_segment_next(s, &e, &err);
  clog_segment_close(s);
  return rc == MR_OK || rc == MR_REJECT;
}

/* Has a later segment data, so that the node writes no more into this one? */
static bool is_overtaken(struct cass_follow *f)
{
  int64_t now = clock_now_ms();
  if (now - f->looked_ms < LOOK_MS)
    return false;
  f->looked_ms = now;
  for (size_t i = f->n; i-- && f->name[i].id > f->segment;)
    if (has_data(f->name[i].path))
      return true;
  return false;
}

/* ---------------------------------------------------------------- segments in turn */

static const struct clog_segment_name *next_name(const struct cass_follow *f)
{
  for (size_t i = 0; i < f->n; i++)
    if (f->name[i].id >= f->segment)
      return &f->name[i];
  return NULL;
}

void cass_follow_skip(struct cass_follow *f)
{
  close_segment(f);
  f->segment++;
  f->from = 0;
}

/* A head whose checksum is wrong is being written, as long as no later segment has data. */
static bool is_young(struct cass_follow *f, const struct mr_error *err)
{
  f->looked_ms = 0;
  return !strcmp(err->code, "header") && !is_overtaken(f);
}

/* Opens the first segment from f->segment on. MR_IDLE: there is none yet. */
static int open_next(struct cass_follow *f, struct mr_error *err)
{
  int rc = f->stale ? cass_follow_list(f, err) : MR_OK;
  if (rc < 0)
    return rc;
  const struct clog_segment_name *name = next_name(f);
  if (!name) {
    f->stale = true;
    return MR_IDLE;
  }
  if (name->id != f->segment)
    f->from = 0;
  f->segment = name->id;
  rc = clog_segment_open(name->path, f->mode, &f->open, err);
  if (rc == MR_OK && f->from)
    clog_segment_seek(f->open, f->from);
  if (rc == MR_RETRY && !strcmp(err->code, "ENOENT")) { /* it had no changes of CDC tables */
    f->stale = true;
    cass_follow_skip(f);
    return MR_OK;
  }
  if (rc == MR_REJECT && is_blank(name->path))
    rc = MR_IDLE;
  if (rc == MR_REJECT && is_young(f, err))
    return MR_IDLE;
  if (rc == MR_IDLE && is_overtaken(f)) {
    cass_follow_skip(f);
    return MR_OK;
  }
  return rc;
}

int cass_follow_next(struct cass_follow *f, struct clog_entry *ret, struct mr_error *err)
{
  for (;;) {
    int rc = MR_OK;
    while (!f->open && rc == MR_OK)
      rc = open_next(f, err);
    if (rc != MR_OK)
      return rc;
    rc = clog_segment_next(f->open, ret, err);
    if (rc == MR_IDLE && f->stale && cass_follow_list(f, err) < 0)
      return MR_RETRY;
    if (rc == MR_IDLE && is_overtaken(f)) {
      clog_segment_seal(f->open);
      rc = clog_segment_next(f->open, ret, err);
    }
    if (rc != MR_END)
      return rc;
    cass_follow_skip(f);
  }
}

/* ---------------------------------------------------------------- the end */

static int end_of(const char *path, int64_t *ret_position, struct mr_error *err)
{
  struct clog_segment *s;
  struct clog_entry e;
  int rc = clog_segment_open(path, CLOG_FAST, &s, err);
  if (rc != MR_OK)
    return rc;
  *ret_position = 0;
  while ((rc = clog_segment_next(s, &e, err)) == MR_OK || rc == MR_REJECT)
    if (rc == MR_OK)
      *ret_position = e.end;
  clog_segment_close(s);
  return rc < 0 ? rc : MR_OK;
}

int cass_follow_end(struct cass_follow *f, int64_t *ret_segment, int64_t *ret_position,
                    struct mr_error *err)
{
  int rc = cass_follow_list(f, err);
  *ret_segment = INT64_MIN;
  *ret_position = 0;
  for (size_t i = f->n; rc >= 0 && i--;) {
    if (!has_data(f->name[i].path))
      continue;
    *ret_segment = f->name[i].id;
    rc = end_of(f->name[i].path, ret_position, err);
    if (rc == MR_REJECT || rc == MR_IDLE || (rc == MR_RETRY && !strcmp(err->code, "ENOENT"))) {
      *ret_position = INT64_MAX; /* the whole of it */
      rc = MR_OK;
    }
    break;
  }
  return rc;
}
