/* SPDX-License-Identifier: Apache-2.0 */
/* What happens beside the reading: segments that were read are removed, those that have gone
 * unread are noticed, and the directory's size is watched. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "common/src-error.h"
#include "log.h"

#define ALARM_OFF_PERCENT 50

static void metric(struct cass_log *l, const char *name, int64_t value)
{
  l->host->metric(l->host->ctx, name, l->has_lane ? l->lane : MR_NO_LANE, value);
}

/* ---------------------------------------------------------------- size */

int cass_log_used(const char *directory, int64_t *ret, struct mr_error *err)
{
  DIR *dir = opendir(directory);
  int64_t all = 0;
  struct stat st;
  if (!dir)
    return src_fail(err, MR_RETRY, "folder", "%s: %s", directory, strerror(errno));
  for (const struct dirent *d; (d = readdir(dir));)
    if (!fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
      all += st.st_size;
  closedir(dir);
  *ret = all;
  return MR_OK;
}

static void watch_size(struct cass_log *l, const struct cass_readers *readers, int64_t used)
{
  int64_t cap = l->conf->cap > 0 ? l->conf->cap : l->node.cap;
  metric(l, "cdc_bytes", used);
  if (cap <= 0)
    return;
  int percent = (int)((double)used * 100 / (double)cap);
  metric(l, "cdc_cap_bytes", cap);
  metric(l, "cdc_full_percent", percent);
  if (percent < ALARM_OFF_PERCENT)
    l->alarmed = false;
  if (percent < ALARM_PERCENT || l->alarmed)
    return;
  l->alarmed = true;
  src_log(l->host, MR_WARN,
          "%s holds %" PRId64 " of %" PRId64 " bytes (%d %%): when it is full %s. The last of its "
          "readers is %s",
          l->conf->directory, used, cap, percent,
          l->node.blocks ? "the node refuses writes to captured tables"
                         : "the node deletes segments that were not read",
          *readers->slowest ? readers->slowest : l->history.reader);
}

/* ---------------------------------------------------------------- removal */

/* The segment's idx, beside it. NULL: no memory. */
static char *idx_of(const char *path)
{
  char *out;
  return asprintf(&out, "%.*s_cdc.idx", (int)strlen(path) - 4, path) < 0 ? NULL : out;
}

/* The node needs it no more: it is closed, or a leftover that the node has no other name for. */
static bool is_free(const char *path)
{
  struct mr_error err = {.size = sizeof err};
  struct clog_idx idx = {0};
  struct stat st;
  if (clog_idx_read(path, &idx, &err) == MR_OK && idx.completed)
    return true;
  return !stat(path, &st) && st.st_nlink == 1;
}

static bool remove_segment(struct cass_log *l, const char *path)
{
  char *idx = idx_of(path);
  bool ok = idx && (!unlink(path) || errno == ENOENT) && (!unlink(idx) || errno == ENOENT);
  if (!ok)
    src_log(l->host, MR_WARN, "%s cannot be removed: %s", path, strerror(errno));
  free(idx);
  return ok;
}

static void remove_read(struct cass_log *l, const struct cass_readers *readers)
{
  int64_t removed = 0;
  for (size_t i = 0; i < l->follow.n && l->follow.name[i].id < readers->oldest; i++) {
    const struct clog_segment_name *s = &l->follow.name[i];
    if (!cass_ids_has(&readers->kept, s->id) && is_free(s->path))
      removed += remove_segment(l, s->path);
  }
  if (removed) {
    l->follow.stale = true;
    metric(l, "segments_removed_total", removed);
  }
}

int cass_log_sweep(struct cass_log *l, struct mr_error *err)
{
  struct cass_readers readers;
  if (!l->conf->delete_)
    return MR_OK;
  int rc = cass_history_readers(&l->history, &readers, err);
  if (rc >= 0)
    remove_read(l, &readers);
  cass_ids_done(&readers.kept);
  return rc;
}

/* ---------------------------------------------------------------- gaps */

static int lost(struct cass_log *l, int64_t segment, struct mr_error *err)
{
  char text[400];
  snprintf(text, sizeof text,
           "%.200s: segment %" PRId64 " has gone before it was read: changes are missing",
           l->conf->directory, segment);
  cass_ids_drop(&l->note.cdc, segment);
  l->note_changed = true;
  if (l->conf->on_gap == CASS_GAP_FAIL)
    return src_fail(err, MR_FATAL, "gap", "%s (on_gap: warn goes on behind them)", text);
  src_log(l->host, MR_WARN, "%s", text);
  l->host->metric(l->host->ctx, "gaps_total", l->lane, 1);
  return MR_OK;
}

static bool is_listed(const struct cass_follow *f, int64_t id)
{
  for (size_t i = 0; i < f->n; i++)
    if (f->name[i].id == id)
      return true;
  return false;
}

static int note_changes(struct cass_log *l, struct mr_error *err)
{
  const struct cass_follow *f = &l->follow;
  struct clog_idx idx;
  for (size_t i = 0; i < f->n; i++) {
    int64_t id = f->name[i].id;
    if (id < l->at.segment || cass_ids_has(&l->note.cdc, id) ||
        clog_idx_read(f->name[i].path, &idx, err) != MR_OK)
      continue;
    if (!cass_ids_add(&l->note.cdc, id))
      return src_no_memory(err);
    l->note_changed = true;
  }
  return MR_OK;
}

int cass_log_gaps(struct cass_log *l, struct mr_error *err)
{
  const struct cass_ids *seen = &l->note.cdc;
  for (size_t i = 0; i < seen->n; i++) {
    int64_t id = seen->id[i];
    bool reading = l->follow.open && id == l->follow.segment;
    if (id < l->at.segment || reading || is_listed(&l->follow, id))
      continue;
    int rc = lost(l, id, err);
    if (rc < 0)
      return rc;
    i--;
  }
  return note_changes(l, err);
}

/* ---------------------------------------------------------------- once a second */

int cass_log_note(struct cass_log *l, struct mr_error *err)
{
  int rc = cass_history_write(&l->history, &l->note, err);
  l->note_changed = l->note_changed && rc < 0;
  return rc;
}

static int64_t behind(const struct cass_log *l)
{
  struct mr_error err = {.size = sizeof err};
  const struct cass_follow *f = &l->follow;
  int64_t bytes = 0;
  for (size_t i = 0; i < f->n; i++) {
    struct clog_idx idx;
    if (f->name[i].id < l->at.segment || clog_idx_read(f->name[i].path, &idx, &err) != MR_OK)
      continue;
    int64_t from = f->name[i].id == l->at.segment ? l->at.position : 0;
    bytes += idx.position > from ? idx.position - from : 0;
  }
  return bytes;
}

static void measure(struct cass_log *l)
{
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  int64_t bytes = behind(l), late = l->event_us ? now.tv_sec - l->event_us / 1000000 : 0;
  metric(l, "log_lag_bytes", bytes);
  metric(l, "log_lag_seconds", bytes && late > 0 ? late : 0);
}

int cass_log_tick(struct cass_log *l, struct mr_error *err)
{
  struct cass_readers readers = {.oldest = INT64_MIN};
  int64_t used = 0;
  int rc = cass_follow_list(&l->follow, err);
  if (rc >= 0)
    rc = cass_log_gaps(l, err);
  if (rc >= 0 && l->note_changed)
    rc = cass_log_note(l, err);
  if (rc >= 0)
    rc = cass_history_readers(&l->history, &readers, err);
  if (rc >= 0 && l->conf->delete_)
    remove_read(l, &readers);
  if (rc >= 0)
    rc = cass_log_used(l->conf->directory, &used, err);
  if (rc >= 0) {
    watch_size(l, &readers, used);
    measure(l);
  }
  cass_ids_done(&readers.kept);
  return rc;
}
