/* SPDX-License-Identifier: Apache-2.0 */
#include "history.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "common/cql-read.h"
#include "common/src-error.h"

#define FILE_BYTES_MAX (64u << 20)
static const char position_suffix[] = ".position";

/* ---------------------------------------------------------------- sets of segments */

static size_t lower_bound(const struct cass_ids *ids, int64_t id)
{
  size_t low = 0, high = ids->n;
  while (low < high) {
    size_t mid = (low + high) / 2;
    if (ids->id[mid] < id)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

bool cass_ids_has(const struct cass_ids *ids, int64_t id)
{
  size_t i = lower_bound(ids, id);
  return i < ids->n && ids->id[i] == id;
}

bool cass_ids_add(struct cass_ids *ids, int64_t id)
{
  size_t i = lower_bound(ids, id);
  if (i < ids->n && ids->id[i] == id)
    return true;
  int64_t *more = realloc(ids->id, (ids->n + 1) * sizeof *more);
  if (!more)
    return false;
  ids->id = more;
  memmove(more + i + 1, more + i, (ids->n - i) * sizeof *more);
  more[i] = id;
  ids->n++;
  return true;
}

void cass_ids_drop(struct cass_ids *ids, int64_t id)
{
  size_t i = lower_bound(ids, id);
  if (i == ids->n || ids->id[i] != id)
    return;
  ids->n--;
  memmove(ids->id + i, ids->id + i + 1, (ids->n - i) * sizeof *ids->id);
}

void cass_ids_drop_below(struct cass_ids *ids, int64_t id)
{
  size_t i = lower_bound(ids, id);
  if (!i)
    return;
  ids->n -= i;
  memmove(ids->id, ids->id + i, ids->n * sizeof *ids->id);
}

void cass_ids_done(struct cass_ids *ids)
{
  free(ids->id);
  *ids = (struct cass_ids){0};
}

void cass_note_done(struct cass_note *note)
{
  cass_ids_done(&note->cdc);
  cass_ids_done(&note->kept);
}

/* ---------------------------------------------------------------- files */

static char *path_of(const struct cass_history *h, const char *name, const char *suffix)
{
  char *path;
  return asprintf(&path, "%s/%s%s", h->folder, name, suffix) < 0 ? NULL : path;
}

static int failed(const char *path, struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "history", "%s: %s", path ? path : "history",
                  path ? strerror(errno) : "out of memory");
}

/* The whole file, with a NUL behind it. MR_IDLE: there is none. */
static int read_file(const char *path, struct sql_buf *ret, struct mr_error *err)
{
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT)
    return MR_IDLE;
  ssize_t n = fd < 0 ? -1 : 1;
  while (n > 0 && ret->len < FILE_BYTES_MAX && sql_buf_reserve(ret, 65536)) {
    n = read(fd, ret->p + ret->len, 65535);
    ret->len += n > 0 ? (size_t)n : 0;
  }
  int rc = n < 0 ? failed(path, err) : ret->failed ? src_no_memory(err) : MR_OK;
  if (fd >= 0)
    close(fd);
  return rc;
}

static bool write_all(int fd, const uint8_t *p, size_t n)
{
  while (n) {
    ssize_t w = write(fd, p, n);
    if (w < 0 && errno == EINTR)
      continue;
    if (w < 0)
      return false;
    p += w;
    n -= (size_t)w;
  }
  return true;
}

static bool sync_folder(const char *folder)
{
  int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0)
    close(fd);
  return ok;
}

/* Replaces a file: either the old or the new one is there whenever the machine stops. Readers that
 * share the folder may do so at a time. */
static int replace_file(const struct cass_history *h, const char *path, const struct sql_buf *text,
                        struct mr_error *err)
{
  char *beside;
  if (!path || text->failed || asprintf(&beside, "%s.%s.new", path, h->reader) < 0)
    return src_no_memory(err);
  int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  bool ok = fd >= 0 && write_all(fd, text->p, text->len) && fsync(fd) == 0;
  if (fd >= 0)
    ok = close(fd) == 0 && ok;
  ok = ok && rename(beside, path) == 0 && sync_folder(h->folder);
  int rc = ok ? MR_OK : failed(path, err);
  free(beside);
  return rc;
}

/* ---------------------------------------------------------------- the folder */

int cass_history_open(struct cass_history *h, const char *folder, const char *pipeline,
                      const char *stage, struct mr_error *err)
{
  *h = (struct cass_history){.folder = strdup(folder)};
  if (!h->folder || asprintf(&h->reader, "%s.%s", pipeline, stage) < 0) {
    h->reader = NULL;
    return src_no_memory(err);
  }
  if (mkdir(folder, 0750) < 0 && errno != EEXIST)
    return src_badconf(err, "history", "%.300s: %s", folder, strerror(errno));
  if (access(folder, R_OK | W_OK | X_OK) < 0)
    return src_badconf(err, "history", "%.300s: %s", folder, strerror(errno));
  return MR_OK;
}

void cass_history_done(struct cass_history *h)
{
  free(h->folder);
  free(h->reader);
  *h = (struct cass_history){0};
}

int cass_history_node(const struct cass_history *h, const char *host_id, struct mr_error *err)
{
  struct sql_buf text = {0};
  char *path = path_of(h, "node", "");
  int rc = path ? read_file(path, &text, err) : src_no_memory(err);
  if (rc == MR_IDLE) {
    sql_buf_fmt(&text, "%s\n", host_id);
    rc = replace_file(h, path, &text, err);
  } else if (rc == MR_OK) {
    const char *known = sql_buf_text(&text);
    size_t n = strcspn(known, "\n");
    if (n != strlen(host_id) || memcmp(known, host_id, n))
      rc = src_badconf(err, "hosts",
                       "the directory's log is that of node %.*s (%.200s/node), and the node that "
                       "answers is %s",
                       (int)(n < 40 ? n : 40), known, h->folder, host_id);
  }
  free(path);
  sql_buf_done(&text);
  return rc;
}

/* ---------------------------------------------------------------- notes */

static int hex_digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_position(const char *text, struct mr_position *ret)
{
  size_t n = strcspn(text, "\n");
  *ret = (struct mr_position){0};
  if (n % 2 || n / 2 > sizeof ret->token)
    return false;
  for (size_t i = 0; i < n; i += 2) {
    int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
    if (high < 0 || low < 0)
      return false;
    ret->token[ret->len++] = (uint8_t)(high << 4 | low);
  }
  return true;
}

static bool parse_id(const char *text, struct cass_ids *ids)
{
  long long id;
  return sscanf(text, "%lld", &id) == 1 && cass_ids_add(ids, id);
}

static bool parse_line(const char *line, struct cass_note *note)
{
  if (!strncmp(line, "position ", 9))
    return parse_position(line + 9, &note->at);
  if (!strncmp(line, "store ", 6)) {
    snprintf(note->store, sizeof note->store, "%.*s", (int)strcspn(line + 6, "\n"), line + 6);
    return true;
  }
  if (!strncmp(line, "changes ", 8))
    return parse_id(line + 8, &note->cdc);
  return strncmp(line, "kept ", 5) || parse_id(line + 5, &note->kept);
}

static int read_note(const char *path, struct cass_note *ret, struct mr_error *err)
{
  struct sql_buf text = {0};
  *ret = (struct cass_note){0};
  int rc = path ? read_file(path, &text, err) : src_no_memory(err);
  const char *p = rc == MR_OK ? sql_buf_text(&text) : "";
  for (const char *eol; rc == MR_OK && (eol = strchr(p, '\n')); p = eol + 1)
    if (!parse_line(p, ret))
      rc = src_fail(err, MR_FATAL, "history", "%s: not understood: %.60s", path, p);
  sql_buf_done(&text);
  return rc;
}

int cass_history_read(const struct cass_history *h, struct cass_note *ret, struct mr_error *err)
{
  char *path = path_of(h, h->reader, position_suffix);
  int rc = read_note(path, ret, err);
  free(path);
  return rc;
}

static void put_ids(struct sql_buf *b, const char *word, const struct cass_ids *ids)
{
  for (size_t i = 0; i < ids->n; i++)
    sql_buf_fmt(b, "%s %lld\n", word, (long long)ids->id[i]);
}

int cass_history_write(const struct cass_history *h, const struct cass_note *note,
                       struct mr_error *err)
{
  struct sql_buf b = {0};
  char *path = path_of(h, h->reader, position_suffix);
  sql_buf_str(&b, "position ");
  for (uint16_t i = 0; i < note->at.len; i++)
    sql_buf_fmt(&b, "%02x", note->at.token[i]);
  sql_buf_fmt(&b, "\nstore %s\n", note->store);
  put_ids(&b, "changes", &note->cdc);
  put_ids(&b, "kept", &note->kept);
  int rc = replace_file(h, path, &b, err);
  free(path);
  sql_buf_done(&b);
  return rc;
}

/* ---------------------------------------------------------------- all readers */

static int64_t segment_of(const struct mr_position *at)
{
  return at->len >= 8 ? (int64_t)cql_be64(at->token) : INT64_MIN;
}

static bool join_note(struct cass_readers *all, const char *name, const struct cass_note *note)
{
  int64_t segment = segment_of(&note->at);
  if (segment < all->oldest || !*all->slowest)
    snprintf(all->slowest, sizeof all->slowest, "%.*s",
             (int)(strlen(name) - (sizeof position_suffix - 1)), name);
  if (segment < all->oldest)
    all->oldest = segment;
  bool ok = true;
  for (size_t i = 0; ok && i < note->kept.n; i++)
    ok = cass_ids_add(&all->kept, note->kept.id[i]);
  return ok;
}

static bool is_note(const char *name)
{
  size_t n = strlen(name), s = sizeof position_suffix - 1;
  return n > s && !strcmp(name + n - s, position_suffix);
}

int cass_history_readers(const struct cass_history *h, struct cass_readers *ret,
                         struct mr_error *err)
{
  *ret = (struct cass_readers){.oldest = INT64_MAX};
  DIR *dir = opendir(h->folder);
  int rc = dir ? MR_OK : failed(h->folder, err);
  for (const struct dirent *d; rc >= 0 && dir && (d = readdir(dir));) {
    struct cass_note note;
    if (!is_note(d->d_name))
      continue;
    char *path = path_of(h, d->d_name, "");
    rc = read_note(path, &note, err);
    if (rc >= 0 && !join_note(ret, d->d_name, &note))
      rc = src_no_memory(err);
    cass_note_done(&note);
    free(path);
  }
  if (dir)
    closedir(dir);
  if (ret->oldest == INT64_MAX || rc < 0)
    ret->oldest = INT64_MIN;
  return rc < 0 ? rc : MR_OK;
}

/* ---------------------------------------------------------------- the schema */

int cass_history_load(const struct cass_history *h, struct sql_buf *ret, struct mr_error *err)
{
  char *path = path_of(h, h->reader, ".cql");
  int rc = path ? read_file(path, ret, err) : src_no_memory(err);
  free(path);
  return rc;
}

int cass_history_save(const struct cass_history *h, const struct sql_buf *text,
                      struct mr_error *err)
{
  char *path = path_of(h, h->reader, ".cql");
  int rc = replace_file(h, path, text, err);
  free(path);
  return rc;
}
