/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lookup-journal.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "data/array.h"
#include "data/types.h"

#define MAGIC "mrlookup1"
#define RECORD_MAX (INT64_C(1) << 31) /* bytes */

enum record { RECORD_HEADER = 1, RECORD_ROWS, RECORD_LOADED };

struct frame { /* before each record */
  uint64_t len, sum;
};
struct mr_journal {
  char *path, *aside, *fingerprint;
  int fd;      /* -1: not open */
  bool beside; /* fd is the file that was begun aside */
  int64_t bytes;
  struct ArrowSchema columns;
};

/* ---- bytes */

static uint64_t checksum(const void *data, size_t len)
{
  const uint8_t *p = data;
  uint64_t h = UINT64_C(0x9e3779b97f4a7c15) ^ len;
  for (size_t i = 0; i < len; i += 8) {
    uint64_t w = 0;
    memcpy(&w, p + i, len - i < 8 ? len - i : 8);
    h = (h ^ w) * UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 29;
  }
  return h;
}

static void put(GByteArray *b, const void *p, int64_t n)
{
  if (n)
    g_byte_array_append(b, p, (guint)n);
}
static void put_i64(GByteArray *b, int64_t v)
{
  put(b, &v, sizeof v);
}
static void put_text(GByteArray *b, const char *s)
{
  put_i64(b, (int64_t)strlen(s));
  put(b, s, (int64_t)strlen(s));
}

struct cursor {
  const uint8_t *p, *end;
  bool bad;
};
/* n bytes, lent; NULL and bad when there are fewer. */
static const void *get(struct cursor *c, int64_t n)
{
  if (c->bad || n < 0 || n > c->end - c->p) {
    c->bad = true;
    return NULL;
  }
  c->p += n;
  return c->p - n;
}
static int64_t get_i64(struct cursor *c)
{
  int64_t v = 0;
  const void *p = get(c, sizeof v);
  if (p)
    memcpy(&v, p, sizeof v);
  return v;
}
static char *get_text(struct cursor *c)
{
  int64_t n = get_i64(c);
  const char *p = get(c, n);
  return g_strndup(p ? p : "", p ? (gsize)n : 0);
}

/* ---- arrays, as builders make them: no offset, buffers by kind */

static int64_t data_bytes(enum mr_kind k, int64_t n)
{
  int width = mr_kind_width(k);
  if (k == MR_K_BOOL)
    return (n + 7) / 8;
  if (k == MR_K_TEXT || k == MR_K_BINARY || k == MR_K_LIST || k == MR_K_MAP)
    return (n + 1) * 4;
  return width > 0 ? n * width : 0;
}

static void put_array(GByteArray *b, const struct ArrowSchema *s, const struct ArrowArray *a)
{
  enum mr_kind k = mr_kind_of(s);
  int64_t n = a->length, data = data_bytes(k, n);
  put_i64(b, n);
  put_i64(b, a->null_count);
  if (k == MR_K_NULL)
    return;
  if (a->null_count)
    put(b, a->buffers[0], (n + 7) / 8);
  if (data)
    put(b, a->buffers[1], data);
  if (k == MR_K_TEXT || k == MR_K_BINARY)
    put(b, a->buffers[2], ((const int32_t *)a->buffers[1])[n]);
  for (int64_t i = 0; i < a->n_children; i++)
    put_array(b, s->children[i], a->children[i]);
}

static const void *get_buffer(struct cursor *c, int64_t n)
{
  const void *p = get(c, n);
  void *copy = p ? mr_buf_alloc(n) : NULL;
  if (!copy)
    c->bad = true;
  else if (n)
    memcpy(copy, p, (size_t)n);
  return copy;
}

static void get_array(struct cursor *c, const struct ArrowSchema *s, struct ArrowArray *a)
{
  enum mr_kind k = mr_kind_of(s);
  bool text = k == MR_K_TEXT || k == MR_K_BINARY;
  int64_t n = get_i64(c), nulls = get_i64(c);
  if (c->bad || n < 0 || n > RECORD_MAX || nulls < 0 || nulls > n ||
      !mr_array_init(a, n,
                     k == MR_K_NULL     ? 0
                     : k == MR_K_STRUCT ? 1
                     : text             ? 3
                                        : 2,
                     s->n_children)) {
    c->bad = true;
    return;
  }
  a->null_count = nulls;
  if (k == MR_K_NULL)
    return;
  if (nulls)
    a->buffers[0] = get_buffer(c, (n + 7) / 8);
  if (data_bytes(k, n))
    a->buffers[1] = get_buffer(c, data_bytes(k, n));
  if (text && !c->bad)
    a->buffers[2] = get_buffer(c, ((const int32_t *)a->buffers[1])[n]);
  for (int64_t i = 0; !c->bad && i < s->n_children; i++)
    get_array(c, s->children[i], a->children[i]);
}

/* ---- records */

static int io_error(struct mr_journal *j, const char *what, struct mr_error *err)
{
  return mr_fail(err, MR_FATAL, "%s: %s: %s", j->beside ? j->aside : j->path, what,
                 g_strerror(errno));
}

static int write_all(struct mr_journal *j, const void *p, size_t n, struct mr_error *err)
{
  const char *at = p;
  while (n) {
    ssize_t w = write(j->fd, at, n);
    if (w < 0 && errno == EINTR)
      continue;
    if (w < 0)
      return io_error(j, "write", err);
    at += w;
    n -= (size_t)w;
    j->bytes += w;
  }
  return MR_OK;
}

static int write_record(struct mr_journal *j, const GByteArray *b, struct mr_error *err)
{
  struct frame f = {b->len, checksum(b->data, b->len)};
  int rc = write_all(j, &f, sizeof f, err);
  return rc < 0 ? rc : write_all(j, b->data, b->len, err);
}

static GByteArray *record(enum record kind)
{
  GByteArray *b = g_byte_array_new();
  put_i64(b, kind);
  return b;
}

static int write_header(struct mr_journal *j, int64_t now_us, struct mr_error *err)
{
  g_autoptr(GByteArray) b = record(RECORD_HEADER);
  put_text(b, MAGIC);
  put_text(b, j->fingerprint);
  put_i64(b, now_us);
  put_i64(b, j->columns.n_children);
  for (int64_t i = 0; i < j->columns.n_children; i++) {
    char type[1024];
    put_text(b, j->columns.children[i]->name);
    put_text(b, mr_type_name(j->columns.children[i], type, sizeof type));
  }
  return write_record(j, b, err);
}

/* false: not ours. */
static bool read_header(struct mr_journal *j, struct cursor *c, int64_t *ret_started_us)
{
  struct mr_error err = MR_ERROR_INIT;
  int64_t kind = get_i64(c);
  g_autofree char *magic = get_text(c), *fingerprint = get_text(c);
  *ret_started_us = get_i64(c);
  int64_t n = get_i64(c);
  if (c->bad || kind != RECORD_HEADER || strcmp(magic, MAGIC) ||
      strcmp(fingerprint, j->fingerprint))
    return false;
  mr_schema_release(&j->columns);
  bool ok = mr_schema_struct(&j->columns);
  for (int64_t i = 0; ok && i < n; i++) {
    g_autofree char *name = get_text(c), *type = get_text(c);
    struct ArrowSchema s;
    ok = !c->bad && mr_type_parse(type, name, &s, &err) >= 0;
    if (ok && !mr_schema_add(&j->columns, &s)) {
      mr_schema_release(&s);
      ok = false;
    }
  }
  return ok;
}

static bool holds_all(const struct ArrowSchema *all, const struct ArrowSchema *some)
{
  for (int64_t i = 0; i < some->n_children; i++) {
    int64_t at = mr_schema_find(all, some->children[i]->name);
    if (at < 0 || !mr_type_equal(all->children[at], some->children[i]))
      return false;
  }
  return true;
}

static int read_rows(struct mr_journal *j, struct cursor *c, mr_journal_rows_fn *each, void *out,
                     struct mr_error *err)
{
  struct mr_position upto = {0};
  struct ArrowArray rows = {0};
  g_autofree char *lane = get_text(c);
  int64_t len = get_i64(c);
  const void *token = get(c, len);
  int64_t n = get_i64(c), has_deleted = get_i64(c);
  const uint8_t *deleted = has_deleted ? get(c, n < 0 || n > RECORD_MAX ? -1 : (n + 7) / 8) : NULL;
  if (c->bad || len > (int64_t)sizeof upto.token ||
      !mr_array_init(&rows, n, 1, j->columns.n_children)) {
    mr_array_release(&rows);
    return MR_IDLE;
  }
  upto.len = (uint16_t)len;
  memcpy(upto.token, token, (size_t)len);
  for (int64_t i = 0; !c->bad && i < rows.n_children; i++)
    get_array(c, j->columns.children[i], rows.children[i]);
  int rc = c->bad || mr_array_check(&j->columns, &rows, true, err) < 0
               ? MR_IDLE
               : each(out, lane, &upto, &j->columns, &rows, deleted, err);
  mr_array_release(&rows);
  return rc;
}

/* Reads one whole record into b. false: the end, or a torn one. */
static bool next_record(struct mr_journal *j, GByteArray *b)
{
  struct frame f;
  if (pread(j->fd, &f, sizeof f, j->bytes) != (ssize_t)sizeof f || f.len > RECORD_MAX)
    return false;
  g_byte_array_set_size(b, (guint)f.len);
  for (size_t at = 0; at < f.len;) {
    ssize_t n = pread(j->fd, b->data + at, f.len - at, j->bytes + (int64_t)(sizeof f + at));
    if (n <= 0)
      return false;
    at += (size_t)n;
  }
  if (checksum(b->data, f.len) != f.sum)
    return false;
  j->bytes += (int64_t)(sizeof f + f.len);
  return true;
}

static int read_records(struct mr_journal *j, mr_journal_rows_fn *each, void *out,
                        struct mr_journal_state *ret, struct mr_error *err)
{
  g_autoptr(GByteArray) b = g_byte_array_new();
  for (int64_t at = j->bytes; next_record(j, b); at = j->bytes) {
    struct cursor c = {b->data, b->data + b->len, false};
    int64_t kind = get_i64(&c);
    int rc = kind == RECORD_ROWS ? read_rows(j, &c, each, out, err) : MR_OK;
    if (rc < 0)
      return rc;
    if (kind == RECORD_LOADED)
      ret->loaded = true;
    if (rc == MR_IDLE) { /* whole, but not to be understood: it ends here */
      j->bytes = at;
      break;
    }
  }
  return MR_OK;
}

/* ---- the file */

static void close_file(struct mr_journal *j)
{
  if (j->fd >= 0)
    close(j->fd);
  j->fd = -1;
  j->beside = false;
  j->bytes = 0;
}

struct mr_journal *mr_journal_new(const char *dir, const char *name, const char *fingerprint)
{
  struct mr_journal *j = g_new0(struct mr_journal, 1);
  j->path = g_strdup_printf("%s/%s.lookup", dir, name);
  j->aside = g_strdup_printf("%s/%s.lookup.new", dir, name);
  j->fingerprint = g_strdup(fingerprint);
  j->fd = -1;
  return j;
}

void mr_journal_free(struct mr_journal *j)
{
  if (!j)
    return;
  close_file(j);
  mr_schema_release(&j->columns);
  g_free(j->path);
  g_free(j->aside);
  g_free(j->fingerprint);
  g_free(j);
}

int mr_journal_resume(struct mr_journal *j, const struct ArrowSchema *need,
                      const struct ArrowSchema *from, mr_journal_rows_fn *each, void *out,
                      struct mr_journal_state *ret, struct mr_error *err)
{
  struct mr_journal_state state = {0};
  g_autoptr(GByteArray) b = g_byte_array_new();
  close_file(j);
  j->fd = open(j->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (j->fd < 0)
    return errno == ENOENT ? MR_IDLE : io_error(j, "open", err);
  struct cursor c = {0};
  bool ours = next_record(j, b);
  if (ours) {
    c = (struct cursor){b->data, b->data + b->len, false};
    ours = read_header(j, &c, &state.started_us) && holds_all(&j->columns, need) &&
           holds_all(from, &j->columns);
  }
  if (!ours) {
    close_file(j);
    return MR_IDLE;
  }
  int rc = read_records(j, each, out, &state, err);
  if (rc >= 0 && (ftruncate(j->fd, j->bytes) < 0 || lseek(j->fd, j->bytes, SEEK_SET) < 0))
    rc = io_error(j, "truncate", err);
  if (rc < 0)
    close_file(j);
  else
    *ret = state;
  return rc;
}

int mr_journal_begin(struct mr_journal *j, const struct ArrowSchema *columns, int64_t now_us,
                     bool aside, struct mr_error *err)
{
  struct ArrowSchema copy;
  close_file(j);
  if (!mr_schema_copy(columns, &copy)) {
    mr_schema_release(&copy);
    return mr_fail(err, MR_FATAL, "out of memory");
  }
  mr_schema_release(&j->columns);
  mr_schema_move(&copy, &j->columns);
  j->beside = aside;
  j->fd =
      open(aside ? j->aside : j->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  return j->fd < 0 ? io_error(j, "create", err) : write_header(j, now_us, err);
}

int mr_journal_switch(struct mr_journal *j, struct mr_error *err)
{
  /* the old file must not be replaced by one whose bytes are not there yet */
  if (fdatasync(j->fd) < 0 || rename(j->aside, j->path) < 0)
    return io_error(j, "replace", err);
  j->beside = false;
  return MR_OK;
}

/* The file's columns of rows as arrays without offset, in b. */
static bool put_columns(struct mr_journal *j, GByteArray *b, const struct ArrowSchema *s,
                        const struct mr_view *column, const int64_t *row, int64_t n)
{
  bool ok = true;
  for (int64_t i = 0; ok && i < j->columns.n_children; i++) {
    int64_t at = mr_schema_find(s, j->columns.children[i]->name);
    struct mr_column c;
    struct ArrowArray a = {0};
    ok = mr_column_init(&c, j->columns.children[i]) && mr_column_reserve(&c, n);
    for (int64_t k = 0; ok && k < n; k++)
      ok = at < 0 ? mr_column_null(&c) : mr_column_append(&c, &column[at], row ? row[k] : k);
    ok = ok && mr_column_finish(&c, &a);
    if (ok)
      put_array(b, j->columns.children[i], &a);
    mr_array_release(&a);
    mr_column_done(&c);
  }
  return ok;
}

int mr_journal_rows(struct mr_journal *j, const char *lane, const struct mr_position *upto,
                    const struct ArrowSchema *s, const struct mr_view *column, const int64_t *row,
                    int64_t n, const uint8_t *deleted, struct mr_error *err)
{
  g_autoptr(GByteArray) b = record(RECORD_ROWS);
  put_text(b, lane);
  put_i64(b, upto->len);
  put(b, upto->token, upto->len);
  put_i64(b, n);
  put_i64(b, deleted != NULL);
  if (deleted)
    put(b, deleted, (n + 7) / 8);
  if (!put_columns(j, b, s, column, row, n))
    return mr_fail(err, MR_FATAL, "out of memory");
  return write_record(j, b, err);
}

int mr_journal_loaded(struct mr_journal *j, struct mr_error *err)
{
  g_autoptr(GByteArray) b = record(RECORD_LOADED);
  return write_record(j, b, err);
}

void mr_journal_drop(struct mr_journal *j)
{
  close_file(j);
  unlink(j->path);
  unlink(j->aside);
}

bool mr_journal_is_open(const struct mr_journal *j)
{
  return j && j->fd >= 0;
}

int64_t mr_journal_bytes(const struct mr_journal *j)
{
  return j->bytes;
}
