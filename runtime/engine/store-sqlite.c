/* SPDX-License-Identifier: Apache-2.0 */
/* The store in an SQLite file of the state directory; blocks are files beside it. One connection
 * under a mutex: the store is asked a few times a second. */
#include "engine/store.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#define STORE_VERSION 2

struct sqlite_store {
  struct mr_store vt;
  pthread_mutex_t lock;
  sqlite3 *db;
  char *dir, *pipeline;
  int lock_fd;
};

/* In one transaction: a new store is one fsync away from its first use. */
static const char schema[] =
    "BEGIN;"
    "CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS lanes(sink TEXT, source TEXT, lane TEXT, position BLOB NOT NULL, "
    "owner INTEGER NOT NULL,"
    " rows_total INTEGER NOT NULL DEFAULT 0, last_run INTEGER NOT NULL DEFAULT 0, last_from BLOB "
    "NOT NULL, state BLOB, label TEXT,"
    " PRIMARY KEY(sink, source, lane)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS pending(sink TEXT, label TEXT, state INTEGER, recorded_us INTEGER,"
    " PRIMARY KEY(sink, label)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS pending_lanes(sink TEXT, label TEXT, source TEXT, lane TEXT, id "
    "INTEGER, position_from BLOB,"
    " position_to BLOB, owner INTEGER, rows INTEGER, run INTEGER, state BLOB, PRIMARY KEY(sink, "
    "label, source, "
    "lane)) WITHOUT ROWID;"
    "INSERT OR IGNORE INTO meta VALUES('version', 2);"
    "INSERT OR IGNORE INTO meta VALUES('id', random() & 9223372036854775807);"
    "COMMIT;";

static struct sqlite_store *self_of(struct mr_store *st)
{
  return (struct sqlite_store *)st;
}

static int fail(struct sqlite_store *s, struct mr_error *err)
{
  int code = sqlite3_errcode(s->db);
  err->native = code;
  bool again = code == SQLITE_BUSY || code == SQLITE_LOCKED;
  return mr_fail(err, again ? MR_RETRY : MR_FATAL, "the store in %s: %s", s->dir,
                 sqlite3_errmsg(s->db));
}

/* Prepares and binds: t text, i int64, p position, b bytes and their number, in the order of the
 * arguments. NULL: failed. */
static sqlite3_stmt *query(struct sqlite_store *s, const char *sql, const char *kinds, ...)
{
  sqlite3_stmt *q = NULL;
  if (sqlite3_prepare_v2(s->db, sql, -1, &q, NULL) != SQLITE_OK)
    return NULL;
  va_list ap;
  va_start(ap, kinds);
  for (int i = 1; *kinds; kinds++, i++) {
    if (*kinds == 't')
      sqlite3_bind_text(q, i, va_arg(ap, const char *), -1, SQLITE_TRANSIENT);
    if (*kinds == 'i')
      sqlite3_bind_int64(q, i, va_arg(ap, int64_t));
    if (*kinds == 'p') {
      const struct mr_position *p = va_arg(ap, const struct mr_position *);
      sqlite3_bind_blob(q, i, p->token, p->len, SQLITE_TRANSIENT);
    }
    if (*kinds == 'b') {
      const void *data = va_arg(ap, const void *);
      sqlite3_bind_blob(q, i, data, (int)va_arg(ap, size_t), SQLITE_TRANSIENT);
    }
  }
  va_end(ap);
  return q;
}

/* Runs to the end. ret_changes may be NULL. */
static bool run(struct sqlite_store *s, sqlite3_stmt *q, int *ret_changes)
{
  if (!q)
    return false;
  int rc;
  while ((rc = sqlite3_step(q)) == SQLITE_ROW)
    ;
  if (ret_changes)
    *ret_changes = sqlite3_changes(s->db);
  sqlite3_finalize(q);
  return rc == SQLITE_DONE;
}

static bool begin(struct sqlite_store *s)
{
  pthread_mutex_lock(&s->lock);
  return sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK;
}

/* Ends what begin began: commits when status is >= 0. */
static int end(struct sqlite_store *s, int status, struct mr_error *err)
{
  if (status >= 0 && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
    status = fail(s, err);
  if (!sqlite3_get_autocommit(s->db))
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
  pthread_mutex_unlock(&s->lock);
  return status;
}

static struct mr_position position(sqlite3_stmt *q, int column)
{
  struct mr_position p = {0};
  int n = sqlite3_column_bytes(q, column);
  p.len = (uint16_t)MIN(n, (int)sizeof p.token);
  if (p.len)
    memcpy(p.token, sqlite3_column_blob(q, column), p.len);
  return p;
}

/* Lent until the statement's next step. */
static void state(sqlite3_stmt *q, int column, struct mr_mark *ret)
{
  ret->state = sqlite3_column_blob(q, column);
  ret->state_len = (size_t)sqlite3_column_bytes(q, column);
}

/* Reads an integer of meta and, when set is given, writes it plus `add`. */
static int counter(struct sqlite_store *s, const char *key, int64_t add, uint64_t *ret,
                   struct mr_error *err)
{
  int64_t v = 0;
  if (!begin(s))
    return end(s, fail(s, err), err);
  sqlite3_stmt *q = query(s, "SELECT value FROM meta WHERE key=?", "t", key);
  if (!q)
    return end(s, fail(s, err), err);
  if (sqlite3_step(q) == SQLITE_ROW)
    v = sqlite3_column_int64(q, 0);
  sqlite3_finalize(q);
  v += add;
  if (add &&
      !run(s,
           query(s,
                 "INSERT INTO meta VALUES(?,?) ON CONFLICT(key) DO UPDATE SET value=excluded.value",
                 "ti", key, v),
           NULL))
    return end(s, fail(s, err), err);
  *ret = (uint64_t)v;
  return end(s, MR_OK, err);
}

static int st_number(struct mr_store *st, const char *sink, uint64_t *ret, struct mr_error *err)
{
  g_autofree char *key = g_strconcat("label:", sink, NULL);
  return counter(self_of(st), key, 1, ret, err);
}

static int st_identity(struct mr_store *st, uint64_t *ret, struct mr_error *err)
{
  return counter(self_of(st), "id", 0, ret, err);
}

static int ran_one(struct sqlite_store *s, const char *key, bool set, bool *ret,
                   struct mr_error *err)
{
  g_autofree char *name = g_strconcat("ran:", key, NULL);
  sqlite3_stmt *q = query(s, "SELECT 1 FROM meta WHERE key=?", "t", name);
  if (!q)
    return fail(s, err);
  *ret = sqlite3_step(q) == SQLITE_ROW;
  sqlite3_finalize(q);
  if (!set || *ret)
    return MR_OK;
  return run(s, query(s, "INSERT INTO meta VALUES(?,1)", "t", name), NULL) ? MR_OK : fail(s, err);
}

static int st_ran(struct mr_store *st, const char *const *key, size_t n, bool set, bool *ret,
                  struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  if (!begin(s))
    return end(s, fail(s, err), err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = ran_one(s, key[i], set, &ret[i], err);
  return end(s, status, err);
}

static int give_lane(struct sqlite_store *s, const char *sink, const char *source, const char *lane,
                     mr_mark_fn *mark, void *out, struct mr_error *err)
{
  sqlite3_stmt *q =
      query(s,
            "SELECT position,owner,rows_total,last_run,last_from,state FROM lanes WHERE "
            "sink=? AND source=? AND lane=?",
            "ttt", sink, source, lane);
  if (!q)
    return fail(s, err);
  if (sqlite3_step(q) == SQLITE_ROW) {
    struct mr_mark m = {.source = source,
                        .name = lane,
                        .upto = position(q, 0),
                        .owner = (uint64_t)sqlite3_column_int64(q, 1),
                        .rows = (uint64_t)sqlite3_column_int64(q, 2),
                        .run = (uint64_t)sqlite3_column_int64(q, 3),
                        .from = position(q, 4)};
    state(q, 5, &m);
    mark(out, &m);
  }
  sqlite3_finalize(q);
  return MR_OK;
}

static int take_one(struct sqlite_store *s, const char *sink, const char *source, const char *lane,
                    mr_mark_fn *mark, void *out, struct mr_error *err)
{
  if (!run(s,
           query(s, "UPDATE lanes SET owner=owner+1 WHERE sink=? AND source=? AND lane=?", "ttt",
                 sink, source, lane),
           NULL))
    return fail(s, err);
  return give_lane(s, sink, source, lane, mark, out, err);
}

static int st_take(struct mr_store *st, const char *sink, const char *source,
                   const char *const *lane, size_t n, mr_mark_fn *mark, void *out,
                   struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  if (!begin(s))
    return end(s, fail(s, err), err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = take_one(s, sink, source, lane[i], mark, out, err);
  return end(s, status, err);
}

static int st_found(struct mr_store *st, const char *sink, const struct mr_mark *m, size_t n,
                    struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK, changes;
  if (!begin(s))
    return end(s, fail(s, err), err);
  for (size_t i = 0; status >= 0 && i < n; i++) {
    if (!run(s,
             query(s,
                   "INSERT INTO lanes(sink,source,lane,position,owner,last_from) "
                   "VALUES(?,?,?,?,?,?) ON CONFLICT DO NOTHING",
                   "tttpip", sink, m[i].source, m[i].name, &m[i].upto, (int64_t)m[i].owner,
                   &m[i].upto),
             &changes))
      status = fail(s, err);
    else if (changes != 1)
      status = mr_fail(err, MR_FENCED, "lane %s/%s was taken by another process", m[i].source,
                       m[i].name);
  }
  return end(s, status, err);
}

static int st_claim(struct mr_store *st, const char *sink, const char *label,
                    const struct mr_mark *m, size_t n, struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  if (!begin(s))
    return end(s, fail(s, err), err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    if (!run(s,
             query(s, "UPDATE lanes SET label=? WHERE sink=? AND source=? AND lane=? AND owner=?",
                   "tttti", label, sink, m[i].source, m[i].name, (int64_t)m[i].owner),
             NULL))
      status = fail(s, err);
  return end(s, status, err);
}

static int st_claimed(struct mr_store *st, const char *sink, const char *source,
                      const char *const *lane, size_t n, mr_label_fn *label, void *out,
                      struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  pthread_mutex_lock(&s->lock);
  for (size_t i = 0; status >= 0 && i < n; i++) {
    sqlite3_stmt *q = query(s,
                            "SELECT label FROM lanes WHERE sink=? AND source=? AND lane=? AND label"
                            " IS NOT NULL",
                            "ttt", sink, source, lane[i]);
    if (!q)
      status = fail(s, err);
    else if (sqlite3_step(q) == SQLITE_ROW)
      label(out, (const char *)sqlite3_column_text(q, 0));
    sqlite3_finalize(q);
  }
  pthread_mutex_unlock(&s->lock);
  return status;
}

/* Tests owner (and from, when positions move) of one lane. */
static int lane_is(struct sqlite_store *s, const char *sink, const struct mr_mark *m,
                   bool position_too, struct mr_error *err)
{
  sqlite3_stmt *q =
      query(s, "SELECT owner,position FROM lanes WHERE sink=? AND source=? AND lane=?", "ttt", sink,
            m->source, m->name);
  if (!q)
    return fail(s, err);
  bool there = sqlite3_step(q) == SQLITE_ROW;
  bool owner = there && (uint64_t)sqlite3_column_int64(q, 0) == m->owner;
  struct mr_position p = position(q, 1);
  sqlite3_finalize(q);
  if (!owner)
    return mr_fail(err, MR_FENCED, "lane %s/%s was taken over by another process", m->source,
                   m->name);
  if (position_too && mr_position_cmp(&p, &m->from))
    return mr_fail_code(err, MR_FENCED, "position", "lane %s/%s has moved", m->source, m->name);
  return MR_OK;
}

static int record_lane(struct sqlite_store *s, const struct mr_pending *p, const struct mr_mark *m,
                       struct mr_error *err)
{
  int status = lane_is(s, p->sink, m, true, err);
  if (status < 0)
    return status;
  return run(s,
             query(s, "INSERT INTO pending_lanes VALUES(?,?,?,?,?,?,?,?,?,?,?)", "ttttippiiib",
                   p->sink, p->label, m->source, m->name, (int64_t)m->lane, &m->from, &m->upto,
                   (int64_t)m->owner, (int64_t)m->rows, (int64_t)m->run, m->state, m->state_len),
             NULL)
             ? MR_OK
             : fail(s, err);
}

static int st_record(struct mr_store *st, const struct mr_pending *p, struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  if (!begin(s))
    return end(s, fail(s, err), err);
  for (size_t i = 0; status >= 0 && i < p->n; i++)
    status = record_lane(s, p, &p->mark[i], err);
  if (status >= 0 && !run(s,
                          query(s, "INSERT INTO pending VALUES(?,?,?,?)", "ttii", p->sink, p->label,
                                (int64_t)p->state, p->recorded_us),
                          NULL))
    status = fail(s, err);
  return end(s, status, err);
}

static bool forget(struct sqlite_store *s, const char *sink, const char *label)
{
  return run(s, query(s, "DELETE FROM pending WHERE sink=? AND label=?", "tt", sink, label),
             NULL) &&
         run(s, query(s, "DELETE FROM pending_lanes WHERE sink=? AND label=?", "tt", sink, label),
             NULL);
}

/* With a record, the record is the claim: it was fenced when it was written, and the owner may have
 * been raised by the process that finishes it. Without one, owner and position are compared. */
static int move_lane(struct sqlite_store *s, const char *sink, const struct mr_mark *m,
                     bool recorded, struct mr_error *err)
{
  int status = recorded ? MR_OK : lane_is(s, sink, m, true, err), changes = 0;
  if (status < 0)
    return status;
  if (!run(s,
           query(s,
                 "UPDATE lanes SET position=?, rows_total=rows_total+?, last_run=?, last_from=?, "
                 "state=? WHERE sink=? AND source=? AND lane=?"
                 " AND position=?",
                 "piipbtttp", &m->upto, (int64_t)m->rows, (int64_t)m->run, &m->from, m->state,
                 m->state_len, sink, m->source, m->name, &m->from),
           &changes))
    return fail(s, err);
  if (changes == 1)
    return MR_OK;
  return mr_fail_code(err, MR_FENCED, "position", "lane %s/%s has moved", m->source, m->name);
}

static int st_done(struct mr_store *st, const char *sink, const char *label,
                   const struct mr_mark *m, size_t n, struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  if (!begin(s))
    return end(s, fail(s, err), err);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = move_lane(s, sink, &m[i], label != NULL, err);
  if (status >= 0 && label && !forget(s, sink, label))
    status = fail(s, err);
  return end(s, status, err);
}

static int st_drop(struct mr_store *st, const char *sink, const char *label, struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  if (!begin(s))
    return end(s, fail(s, err), err);
  return end(s, forget(s, sink, label) ? MR_OK : fail(s, err), err);
}

static int st_look(struct mr_store *st, const char *sink, const struct mr_mark *m, size_t n,
                   mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  pthread_mutex_lock(&s->lock);
  for (size_t i = 0; status >= 0 && i < n; i++)
    status = give_lane(s, sink, m[i].source, m[i].name, mark, out, err);
  pthread_mutex_unlock(&s->lock);
  return status;
}

static int give_pending(struct sqlite_store *s, struct mr_pending *p, mr_pending_fn *each,
                        void *out, struct mr_error *err)
{
  g_autoptr(GArray) marks = g_array_new(FALSE, TRUE, sizeof(struct mr_mark));
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
  sqlite3_stmt *q =
      query(s,
            "SELECT source,lane,id,position_from,position_to,owner,rows,run,state FROM "
            "pending_lanes WHERE sink=? AND label=?",
            "tt", p->sink, p->label);
  if (!q)
    return fail(s, err);
  while (sqlite3_step(q) == SQLITE_ROW) {
    char *source = g_strdup((const char *)sqlite3_column_text(q, 0)),
         *lane = g_strdup((const char *)sqlite3_column_text(q, 1));
    g_ptr_array_add(names, source);
    g_ptr_array_add(names, lane);
    void *saved = g_memdup2(sqlite3_column_blob(q, 8), (gsize)sqlite3_column_bytes(q, 8));
    g_ptr_array_add(names, saved);
    struct mr_mark m = {.source = source,
                        .name = lane,
                        .lane = (uint32_t)sqlite3_column_int64(q, 2),
                        .from = position(q, 3),
                        .upto = position(q, 4),
                        .owner = (uint64_t)sqlite3_column_int64(q, 5),
                        .rows = (uint64_t)sqlite3_column_int64(q, 6),
                        .run = (uint64_t)sqlite3_column_int64(q, 7),
                        .state = saved,
                        .state_len = (size_t)sqlite3_column_bytes(q, 8)};
    g_array_append_val(marks, m);
  }
  sqlite3_finalize(q);
  p->n = marks->len;
  p->mark = (const struct mr_mark *)(void *)marks->data;
  return each(out, p, err);
}

static int st_pending(struct mr_store *st, const char *sink, mr_pending_fn *each, void *out,
                      struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  int status = MR_OK;
  pthread_mutex_lock(&s->lock);
  sqlite3_stmt *q =
      query(s, "SELECT label,state,recorded_us FROM pending WHERE sink=? ORDER BY recorded_us", "t",
            sink);
  if (!q)
    status = fail(s, err);
  while (status >= 0 && sqlite3_step(q) == SQLITE_ROW) {
    g_autofree char *label = g_strdup((const char *)sqlite3_column_text(q, 0));
    struct mr_pending p = {.sink = sink,
                           .label = label,
                           .state = (enum mr_pending_state)sqlite3_column_int(q, 1),
                           .recorded_us = sqlite3_column_int64(q, 2)};
    status = give_pending(s, &p, each, out, err);
  }
  sqlite3_finalize(q);
  pthread_mutex_unlock(&s->lock);
  return status;
}

/* ---- blocks */

static char *block_path(struct sqlite_store *s, const char *label)
{
  return g_strdup_printf("%s/%s.block", s->dir, label);
}

static int io_fail(const char *what, const char *path, struct mr_error *err)
{
  err->native = errno;
  return mr_fail(err, MR_FATAL, "cannot %s %s: %s", what, path, g_strerror(errno));
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

static bool sync_dir(const char *dir)
{
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  bool ok = fd >= 0 && fsync(fd) == 0;
  if (fd >= 0)
    close(fd);
  return ok;
}

static int st_block_put(struct mr_store *st, const char *label, const void *data, size_t len,
                        struct mr_error *err)
{
  struct sqlite_store *s = self_of(st);
  g_autofree char *path = block_path(s, label);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0)
    return io_fail("create", path, err);
  bool ok = write_all(fd, data, len) && fsync(fd) == 0;
  ok = close(fd) == 0 && ok;
  if (!ok || !sync_dir(s->dir))
    return io_fail("write", path, err);
  return MR_OK;
}

static int st_block_get(struct mr_store *st, const char *label, void **give, size_t *ret_len,
                        struct mr_error *err)
{
  g_autofree char *path = block_path(self_of(st), label);
  g_autoptr(GError) e = NULL;
  char *text;
  gsize len;
  if (!g_file_get_contents(path, &text, &len, &e))
    return mr_fail(err, MR_FATAL, "%s", e->message);
  *give = text;
  *ret_len = len;
  return MR_OK;
}

static int st_block_drop(struct mr_store *st, const char *label, struct mr_error *err)
{
  g_autofree char *path = block_path(self_of(st), label);
  return g_unlink(path) && errno != ENOENT ? io_fail("remove", path, err) : MR_OK;
}

static void st_free(struct mr_store *st)
{
  struct sqlite_store *s = self_of(st);
  if (s->db)
    sqlite3_close(s->db);
  if (s->lock_fd >= 0)
    close(s->lock_fd);
  pthread_mutex_destroy(&s->lock);
  g_free(s->dir);
  g_free(s->pipeline);
  g_free(s);
}

static const struct mr_store vtable = {.ran = st_ran,
                                       .take = st_take,
                                       .found = st_found,
                                       .number = st_number,
                                       .claim = st_claim,
                                       .claimed = st_claimed,
                                       .record = st_record,
                                       .done = st_done,
                                       .drop = st_drop,
                                       .look = st_look,
                                       .pending = st_pending,
                                       .block_put = st_block_put,
                                       .block_get = st_block_get,
                                       .block_drop = st_block_drop,
                                       .free = st_free,
                                       .identity = st_identity};

static char *lock_dir(struct sqlite_store *s)
{
  g_autofree char *path = g_build_filename(s->dir, "lock", NULL);
  if (g_mkdir_with_parents(s->dir, 0700))
    return g_strdup_printf("cannot make the state folder %s: %s", s->dir, g_strerror(errno));
  s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (s->lock_fd < 0)
    return g_strdup_printf("cannot open %s: %s", path, g_strerror(errno));
  if (flock(s->lock_fd, LOCK_EX | LOCK_NB))
    return g_strdup_printf("the state folder %s is in use by another process", s->dir);
  return NULL;
}

/* A store of version 1 kept no state of transforms, and no labels with the lanes. */
static bool upgrade(struct sqlite_store *s, uint64_t version)
{
  return version >= 2 || sqlite3_exec(s->db,
                                      "BEGIN; ALTER TABLE lanes ADD COLUMN state BLOB;"
                                      "ALTER TABLE lanes ADD COLUMN label TEXT;"
                                      "ALTER TABLE pending_lanes ADD COLUMN state BLOB;"
                                      "UPDATE meta SET value=2 WHERE key='version'; COMMIT;",
                                      NULL, NULL, NULL) == SQLITE_OK;
}

static char *open_db(struct sqlite_store *s)
{
  g_autofree char *path = g_build_filename(s->dir, "store.db", NULL);
  struct mr_error err = MR_ERROR_INIT;
  uint64_t version = 0;
  if (sqlite3_open_v2(path, &s->db,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                      NULL) != SQLITE_OK ||
      sqlite3_exec(s->db,
                   "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA busy_timeout=5000;",
                   NULL, NULL, NULL) != SQLITE_OK ||
      sqlite3_exec(s->db, schema, NULL, NULL, NULL) != SQLITE_OK)
    return g_strdup_printf("cannot open the store %s: %s", path,
                           s->db ? sqlite3_errmsg(s->db) : "out of memory");
  if (counter(s, "version", 0, &version, &err) < 0)
    return g_strdup(err.msg);
  if (version > STORE_VERSION)
    return g_strdup_printf("the store %s was written by a newer millrace", path);
  if (!upgrade(s, version))
    return g_strdup_printf("cannot bring the store %s up to date: %s", path, sqlite3_errmsg(s->db));
  return NULL;
}

struct mr_store *mr_store_sqlite_new(const char *dir, const char *pipeline, char **ret_why)
{
  struct sqlite_store *s = g_new0(struct sqlite_store, 1);
  s->vt = vtable;
  s->dir = g_strdup(dir);
  s->pipeline = g_strdup(pipeline);
  s->lock_fd = -1;
  pthread_mutex_init(&s->lock, NULL);
  char *why = lock_dir(s);
  if (!why)
    why = open_db(s);
  if (!why)
    return &s->vt;
  st_free(&s->vt);
  *ret_why = why;
  return NULL;
}
