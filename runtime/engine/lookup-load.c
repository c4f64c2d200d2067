/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of one lookup: loads, refreshes, follows. */
#include <sys/eventfd.h>

#include "engine/lookup-private.h"

#define READ_ROWS 8192
#define READ_BYTES (INT64_C(1) << 20)
#define READ_WAIT_MS 200
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 10000
#define PROGRESS_US 500000
#define RESUME_MAX_US INT64_C(3600000000) /* a load that began earlier is begun anew */
#define GARBAGE_MIN 65536                 /* replaced rows that are never worth a compaction */

/* ---- what the others ask for */

bool mr_lookup_stopping(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  bool stop = s->stopping;
  pthread_mutex_unlock(&s->lock);
  return stop;
}

/* Stopping, or another table is wanted. */
static bool interrupted(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  bool yes = s->stopping || s->reload;
  pthread_mutex_unlock(&s->lock);
  return yes;
}

/* Waits until interrupted or until_us (monotonic; < 0: for ever). */
static void wait_until(struct mr_lookup_source *s, int64_t until_us)
{
  for (;;) {
    uint32_t seen = mr_event_seen(&s->event);
    int64_t left = until_us < 0 ? -1 : until_us - mr_now_us(s->os);
    if (interrupted(s) || (until_us >= 0 && left <= 0))
      return;
    s->os->wait(s->os, &s->event, seen, left);
  }
}

static void backoff(struct mr_lookup_source *s, int tries, const struct mr_error *err)
{
  int64_t ms = BACKOFF_FIRST_MS;
  for (int i = 1; i < tries && ms < BACKOFF_MAX_MS; i++)
    ms *= 2;
  ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
  if (err->retry_ms > 0)
    ms = err->retry_ms;
  int64_t jitter = (int64_t)(s->os->random(s->os) % (uint64_t)(ms / 2 + 1)) - ms / 4;
  wait_until(s, mr_now_us(s->os) + (ms + jitter) * 1000);
}

/* The source does not answer. A table that is shown stays. */
static void trouble(struct mr_lookup_source *s, int tries, const struct mr_error *err)
{
  pthread_mutex_lock(&s->lock);
  bool ready = s->ready;
  s->unreachable = err->unreachable;
  pthread_mutex_unlock(&s->lock);
  if (*err->msg && (tries == 1 || tries == 8))
    mr_lookup_log(s, MR_WARN, "%s; trying again", err->msg);
  mr_lookup_tell(s, ready ? MR_LOOKUP_READY : MR_LOOKUP_WAITING, "%s: %s",
                 ready ? "not refreshed" : "waiting for its source", err->msg);
  backoff(s, tries, err);
}

static void clear_wake(struct mr_lookup_source *s)
{
  eventfd_t n;
  if (eventfd_read(s->wake_fd, &n) < 0)
    return; /* nobody woke */
}

/* ---- feeds: the tables under construction */

void mr_lookup_feed_free(void *p)
{
  struct mr_lookup_feed *f = p;
  mr_table_unref(f->table);
  g_free(f->pick);
  g_free(f->read);
  g_free(f);
}

/* The first n columns of a view as a schema. */
static bool view_schema(struct mr_lookup_source *s, const struct mr_lookup_view *v, int64_t n,
                        struct ArrowSchema *ret)
{
  bool ok = mr_schema_struct(ret);
  for (int64_t i = 0; ok && i < n; i++) {
    struct ArrowSchema c;
    int64_t at = mr_schema_find(&s->columns, v->columns->pdata[i]);
    ok = mr_schema_copy(s->columns.children[at], &c) && mr_schema_add(ret, &c);
    if (!ok)
      mr_schema_release(&c);
  }
  return ok;
}

static struct mr_lookup_feed *feed_new(struct mr_lookup_source *s, struct mr_lookup_view *v,
                                       int64_t n)
{
  struct ArrowSchema schema;
  struct mr_lookup_feed *f = g_new0(struct mr_lookup_feed, 1);
  f->view = v;
  f->n = n;
  f->pick = g_new0(int64_t, n);
  f->read = g_new0(struct mr_view, n);
  if (view_schema(s, v, n, &schema))
    f->table = mr_table_new(&schema, v->n_keys, s->seed);
  mr_schema_release(&schema);
  if (f->table)
    return f;
  mr_lookup_feed_free(f);
  return NULL;
}

/* Fresh tables for all views. */
static int make_feeds(struct mr_lookup_source *s, struct mr_error *err)
{
  int rc = MR_OK;
  g_ptr_array_set_size(s->feeds, 0);
  pthread_mutex_lock(&s->lock);
  s->reload = false;
  clear_wake(s);
  for (guint i = 0; rc >= 0 && i < s->views->len; i++) {
    struct mr_lookup_view *v = s->views->pdata[i];
    struct mr_lookup_feed *f = feed_new(s, v, v->columns->len);
    if (f)
      g_ptr_array_add(s->feeds, f);
    else
      rc = mr_fail(err, MR_FATAL, "out of memory");
  }
  pthread_mutex_unlock(&s->lock);
  return rc;
}

/* Finds each table's columns in `from`. */
static void pick_columns(struct mr_lookup_source *s, const struct ArrowSchema *from)
{
  for (guint i = 0; i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    pthread_mutex_lock(&s->lock); /* the list grows in other threads */
    for (int64_t k = 0; k < f->n; k++)
      f->pick[k] = mr_schema_find(from, f->view->columns->pdata[k]);
    pthread_mutex_unlock(&s->lock);
  }
}

/* Upserts rows of `from` into every table. */
static int feed_rows(struct mr_lookup_source *s, const struct mr_view *column,
                     const uint8_t *deleted, int64_t n, struct mr_error *err)
{
  int rc = MR_OK;
  for (guint i = 0; rc >= 0 && i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    for (int64_t k = 0; k < f->n; k++)
      f->read[k] = column[f->pick[k]];
    if (f->shown)
      mr_table_write(f->table);
    rc = mr_table_apply(f->table, f->read, deleted, n, err);
    if (f->shown)
      mr_table_unlock(f->table);
  }
  return rc;
}

/* Shows the tables; those that were there go when their last reader is done. */
static void show(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  for (guint i = 0; i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    mr_table_unref(f->view->table);
    f->view->table = mr_table_ref(f->table);
    f->view->table_columns = f->n;
    f->shown = true;
  }
  s->ready = true;
  s->unreachable = false;
  s->loaded_us = mr_now_us(s->os);
  pthread_mutex_unlock(&s->lock);
}

/* ---- the journal: trouble with it costs a full load after a restart, never the lookup */

static void journal_failed(struct mr_lookup_source *s, const struct mr_error *err)
{
  mr_lookup_log(s, MR_WARN, "%s: the load cannot be continued after a restart", err->msg);
  mr_journal_drop(s->journal);
}

/* The columns that any view holds, in the source's order. */
static bool journal_schema(struct mr_lookup_source *s, struct ArrowSchema *ret)
{
  bool ok = mr_schema_struct(ret);
  for (int64_t i = 0; ok && i < s->columns.n_children; i++) {
    bool used = false;
    for (guint v = 0; v < s->views->len; v++)
      used |=
          g_ptr_array_find_with_equal_func(((struct mr_lookup_view *)s->views->pdata[v])->columns,
                                           s->columns.children[i]->name, g_str_equal, NULL);
    struct ArrowSchema c;
    if (!used)
      continue;
    ok = mr_schema_copy(s->columns.children[i], &c) && mr_schema_add(ret, &c);
    if (!ok)
      mr_schema_release(&c);
  }
  return ok;
}

static void set_lane(struct mr_lookup_source *s, const char *name, const struct mr_position *at)
{
  uint32_t id;
  struct mr_lookup_lane *lane = mr_lookup_lane(s, name, &id);
  lane->has = true;
  lane->at = *at;
}

static int on_journal_rows(void *out, const char *lane, const struct mr_position *upto,
                           const struct ArrowSchema *columns, const struct ArrowArray *rows,
                           const uint8_t *deleted, struct mr_error *err)
{
  struct mr_lookup_source *s = out;
  g_autofree struct mr_view *column = g_new0(struct mr_view, columns->n_children);
  for (int64_t i = 0; i < columns->n_children; i++)
    mr_view_column(&column[i], columns, rows, i);
  pick_columns(s, columns);
  set_lane(s, lane, upto);
  return feed_rows(s, column, deleted, rows->length, err);
}

static void forget_lanes(struct mr_lookup_source *s)
{
  for (guint i = 0; i < s->lanes->len; i++)
    g_array_index(s->lanes, struct mr_lookup_lane, i).has = false;
}

/* Goes on where the journal ends, or begins a new one. true: its load was complete. */
static int resume(struct mr_lookup_source *s, bool fresh, bool *ret_loaded, struct mr_error *err)
{
  struct ArrowSchema need;
  struct mr_journal_state state = {0};
  int64_t now = s->os->wall_us(s->os),
          max = s->spec->refresh_ms ? s->spec->refresh_ms * 1000 : RESUME_MAX_US;
  *ret_loaded = false;
  if (!s->journal)
    return MR_OK;
  pthread_mutex_lock(&s->lock);
  bool ok = journal_schema(s, &need);
  pthread_mutex_unlock(&s->lock);
  int rc = !ok ? mr_fail(err, MR_FATAL, "out of memory")
           : fresh
               ? MR_IDLE
               : mr_journal_resume(s->journal, &need, &s->columns, on_journal_rows, s, &state, err);
  bool stale = state.loaded ? s->spec->refresh_ms > 0
                            : now - state.started_us > max || now < state.started_us;
  if (rc == MR_OK && stale) {
    rc = make_feeds(s, err);
    rc = rc < 0 ? rc : MR_IDLE;
  }
  if (rc == MR_IDLE) {
    forget_lanes(s);
    rc = mr_journal_begin(s->journal, &need, now, false, err);
  } else if (rc == MR_OK) {
    *ret_loaded = state.loaded;
  }
  mr_schema_release(&need);
  return rc;
}

/* What was read again from the journal may have come half way when that failed: everything is made
 * anew. */
static int begin_load(struct mr_lookup_source *s, bool fresh, bool *ret_loaded,
                      struct mr_error *err)
{
  forget_lanes(s);
  int rc = make_feeds(s, err);
  if (rc < 0 || resume(s, fresh, ret_loaded, err) >= 0)
    return rc;
  journal_failed(s, err);
  *ret_loaded = false;
  forget_lanes(s);
  return make_feeds(s, err);
}

static int journal_copy(void *out, const struct mr_view *column, const int64_t *row, int64_t n,
                        struct mr_error *err)
{
  struct mr_lookup_source *s = out;
  struct mr_lookup_feed *f = s->feeds->pdata[0];
  struct ArrowSchema schema;
  struct mr_position none = {0};
  pthread_mutex_lock(&s->lock);
  bool ok = view_schema(s, f->view, f->n, &schema);
  pthread_mutex_unlock(&s->lock);
  int rc = ok ? mr_journal_rows(s->journal, "", &none, &schema, column, row, n, NULL, err)
              : mr_fail(err, MR_FATAL, "out of memory");
  mr_schema_release(&schema);
  return rc;
}

/* Replaces the journal of a followed table by one of its live rows. */
static int journal_rewrite(struct mr_lookup_source *s, struct mr_error *err)
{
  struct mr_lookup_feed *f = s->feeds->pdata[0];
  struct ArrowSchema schema;
  pthread_mutex_lock(&s->lock);
  bool ok = view_schema(s, f->view, f->n, &schema);
  pthread_mutex_unlock(&s->lock);
  int rc = ok ? mr_journal_begin(s->journal, &schema, s->os->wall_us(s->os), true, err)
              : mr_fail(err, MR_FATAL, "out of memory");
  if (rc >= 0)
    rc = mr_table_each(f->table, journal_copy, s, err);
  for (guint i = 0; rc >= 0 && i < s->lanes->len; i++) {
    const struct mr_lookup_lane *l = &g_array_index(s->lanes, struct mr_lookup_lane, i);
    if (l->has && *l->name)
      rc = mr_journal_rows(s->journal, l->name, &l->at, &schema, NULL, NULL, 0, NULL, err);
  }
  mr_schema_release(&schema);
  if (rc >= 0)
    rc = mr_journal_loaded(s->journal, err);
  return rc < 0 ? rc : mr_journal_switch(s->journal, err);
}

/* ---- compaction of followed tables */

static int copy_rows(void *out, const struct mr_view *column, const int64_t *row, int64_t n,
                     struct mr_error *err)
{
  struct mr_lookup_feed *f = out;
  int rc = MR_OK;
  for (int64_t i = 0; rc >= 0 && i < n;) {
    int64_t run = 1; /* rows that stand next to each other go in one call */
    while (i + run < n && row[i + run] == row[i] + run)
      run++;
    for (int64_t k = 0; k < f->n; k++) {
      f->read[k] = column[k];
      f->read[k].offset += row[i];
    }
    rc = mr_table_apply(f->table, f->read, NULL, run, err);
    i += run;
  }
  return rc;
}

static int compact(struct mr_lookup_source *s, struct mr_lookup_feed *f, struct mr_error *err)
{
  pthread_mutex_lock(&s->lock);
  struct mr_lookup_feed *to = feed_new(s, f->view, f->n);
  pthread_mutex_unlock(&s->lock);
  if (!to)
    return mr_fail(err, MR_FATAL, "out of memory");
  int rc = mr_table_each(f->table, copy_rows, to, err); /* only this thread writes: no lock */
  if (rc >= 0) {
    mr_table_trim(to->table);
    struct mr_table *old = f->table;
    f->table = to->table;
    to->table = old;
  }
  mr_lookup_feed_free(to);
  return rc;
}

static int compact_all(struct mr_lookup_source *s, struct mr_error *err)
{
  bool any = false;
  for (guint i = 0; i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    struct mr_table_size size = mr_table_size(f->table);
    if (size.rows - size.live < GARBAGE_MIN || size.rows < 2 * size.live)
      continue;
    int rc = compact(s, f, err);
    if (rc < 0)
      return rc;
    any = true;
  }
  if (!any)
    return MR_OK;
  show(s);
  /* several tables with different keys do not fold into one list of rows: their journal keeps
   * growing until the next full load */
  if (mr_journal_is_open(s->journal) && s->feeds->len == 1 && journal_rewrite(s, err) < 0) {
    journal_failed(s, err);
    mr_error_clear(err);
  }
  return MR_OK;
}

/* ---- reading */

/* A bit for each row whose _op is delete; NULL: none. */
static uint8_t *deleted_rows(struct mr_lookup_source *s, const struct ArrowArray *rows)
{
  struct mr_view op;
  uint8_t *bits = NULL;
  if (s->op < 0)
    return NULL;
  mr_view_column(&op, &s->schema, rows, s->op);
  for (int64_t i = 0; op.kind == MR_K_TEXT && i < rows->length; i++) {
    int64_t n = 0;
    const char *text = mr_view_null(&op, i) ? "" : mr_view_bytes(&op, i, &n);
    if (n != 6 || memcmp(text, "delete", 6))
      continue;
    if (!bits)
      bits = g_malloc0((gsize)rows->length / 8 + 1);
    mr_bit_set(bits, i, true);
  }
  return bits;
}

static int take_rows(struct mr_lookup_source *s, struct mr_batch *b, struct mr_error *err)
{
  int64_t n = b->rows.length;
  if (b->lane >= s->lanes->len)
    return mr_fail(err, MR_FATAL, "plugin `%s` gave rows of a lane it never named",
                   s->spec->plugin->name);
  struct mr_lookup_lane *lane = &g_array_index(s->lanes, struct mr_lookup_lane, b->lane);
  g_autofree struct mr_view *column = g_new0(struct mr_view, s->schema.n_children + 1);
  for (int64_t i = 0; i < s->schema.n_children; i++)
    mr_view_column(&column[i], &s->schema, &b->rows, i);
  g_autofree uint8_t *deleted = deleted_rows(s, &b->rows);
  int rc = feed_rows(s, column, deleted, n, err);
  if (rc >= 0 && n && mr_journal_is_open(s->journal)) {
    struct mr_error why = MR_ERROR_INIT;
    if (mr_journal_rows(s->journal, lane->name, &b->upto, &s->schema, column, NULL, n, deleted,
                        &why) < 0)
      journal_failed(s, &why);
  }
  lane->at = b->upto;
  pthread_mutex_lock(&s->lock);
  s->rows += n;
  s->unreachable = false;
  if (s->following && n)
    s->loaded_us = mr_now_us(s->os);
  pthread_mutex_unlock(&s->lock);
  return rc;
}

static void tell_progress(struct mr_lookup_source *s, bool always)
{
  int64_t now = mr_now_us(s->os);
  if (!always && now - s->told_us < PROGRESS_US)
    return;
  s->told_us = now;
  pthread_mutex_lock(&s->lock);
  bool ready = s->ready;
  int64_t rows = s->rows;
  pthread_mutex_unlock(&s->lock);
  if (ready)
    mr_lookup_tell(s, MR_LOOKUP_READY, NULL);
  else
    mr_lookup_tell(s, MR_LOOKUP_LOADING, "loading: %lld rows", (long long)rows);
}

/* What read gives has changed, or is known for the first time. */
static int learn(struct mr_lookup_source *s, struct mr_error *err)
{
  int rc = mr_lookup_learn(s, err);
  if (rc != MR_OK)
    return rc;
  pick_columns(s, &s->schema);
  s->op = mr_schema_find(&s->schema, "_op");
  return MR_OK;
}

static int read_once(struct mr_lookup_source *s, struct mr_error *err)
{
  struct mr_batch b = {.size = sizeof b, .watermark_us = INT64_MIN};
  int rc = mr_lookup_vt(s)->read(s->self, READ_ROWS, READ_BYTES, READ_WAIT_MS, &b, err);
  if (rc == MR_SCHEMA)
    return learn(s, err);
  if (rc != MR_OK)
    return rc;
  rc = take_rows(s, &b, err);
  mr_array_release(&b.rows);
  if (rc >= 0 && s->following)
    rc = compact_all(s, err);
  return rc;
}

/* Reads until the end (MR_END), an interruption (MR_IDLE), or a failure. */
static int read_all(struct mr_lookup_source *s, struct mr_error *err)
{
  for (int tries = 0; !interrupted(s);) {
    mr_error_clear(err);
    int rc = read_once(s, err);
    if (rc == MR_RETRY) {
      trouble(s, ++tries, err);
      continue;
    }
    if (rc < 0 || rc == MR_END)
      return rc;
    if (rc == MR_OK)
      tell_progress(s, tries > 0);
    tries = 0;
  }
  return MR_IDLE;
}

static void answered(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  s->unreachable = false;
  pthread_mutex_unlock(&s->lock);
  tell_progress(s, true);
}

/* open and start, as often as it takes. MR_IDLE: interrupted. */
static int begin_source(struct mr_lookup_source *s, bool bounded, struct mr_error *err)
{
  int rc = s->self && s->bounded == bounded ? MR_OK : mr_lookup_connect(s, bounded, err);
  if (rc < 0)
    return rc;
  for (int tries = 1;; tries++) {
    mr_error_clear(err);
    rc = mr_lookup_vt(s)->start(s->self, err);
    if (rc != MR_RETRY)
      break;
    trouble(s, tries, err);
    if (interrupted(s))
      return MR_IDLE;
  }
  if (rc < 0)
    return rc;
  answered(s);
  rc = learn(s, err);
  return rc < 0 ? rc : MR_OK; /* MR_IDLE: read will say MR_SCHEMA */
}

/* ---- the life of a lookup */

static int64_t rejected_now(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  int64_t n = s->rejected;
  pthread_mutex_unlock(&s->lock);
  return n;
}

static void tell_rejected(struct mr_lookup_source *s)
{
  int64_t n = rejected_now(s) - s->rejected_before;
  if (n > 1)
    mr_lookup_log(s, MR_WARN, "%lld rows of this load were refused", (long long)n);
  s->rejected_before += n;
}

/* One whole load, shown at its end. MR_IDLE: interrupted. */
static int load(struct mr_lookup_source *s, bool fresh, struct mr_error *err)
{
  bool loaded;
  s->rejected_before = rejected_now(s);
  int rc = begin_load(s, fresh, &loaded, err);
  s->resumed = rc >= 0 && loaded;
  if (rc >= 0 && !loaded) {
    tell_progress(s, true);
    rc = begin_source(s, true, err);
    if (rc == MR_OK)
      rc = read_all(s, err);
    mr_lookup_disconnect(s);
    if (rc != MR_END)
      return rc;
    struct mr_error why = MR_ERROR_INIT;
    if (mr_journal_is_open(s->journal) && mr_journal_loaded(s->journal, &why) < 0)
      journal_failed(s, &why);
  }
  for (guint i = 0; rc >= 0 && i < s->feeds->len; i++)
    mr_table_trim(((struct mr_lookup_feed *)s->feeds->pdata[i])->table);
  if (rc < 0)
    return rc;
  show(s);
  tell_rejected(s);
  tell_progress(s, true);
  return MR_OK;
}

static void set_following(struct mr_lookup_source *s, bool yes)
{
  pthread_mutex_lock(&s->lock);
  s->following = yes;
  pthread_mutex_unlock(&s->lock);
}

/* Applies what comes, until interrupted or the source says that nothing ever will. */
static int follow(struct mr_lookup_source *s, struct mr_error *err)
{
  int rc = begin_source(s, false, err);
  set_following(s, true);
  if (rc == MR_OK)
    rc = read_all(s, err);
  set_following(s, false);
  mr_lookup_disconnect(s);
  if (rc == MR_END && s->journal)
    mr_journal_drop(s->journal); /* the next process reads the whole again */
  return rc;
}

/* After a complete load: until it is time for another one. */
static int stay_current(struct mr_lookup_source *s, struct mr_error *err)
{
  if (s->spec->refresh_ms > 0) {
    wait_until(s, mr_now_us(s->os) + s->spec->refresh_ms * 1000);
    return MR_OK;
  }
  int rc = follow(s, err);
  if (rc == MR_END &&
      !s->resumed) /* else the rows are a predecessor's, and old: they are read anew */
    wait_until(s, -1);
  return rc == MR_END ? MR_OK : rc;
}

static void fail(struct mr_lookup_source *s, int status, const struct mr_error *err)
{
  pthread_mutex_lock(&s->lock);
  s->failed = status;
  g_free(s->text); /* who sees that it failed sees why */
  s->text = g_strdup(err->msg);
  s->unreachable = err->unreachable;
  pthread_mutex_unlock(&s->lock);
  mr_lookup_tell(s, MR_LOOKUP_FAILED, "%s", err->msg);
}

static bool is_ready(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  bool ready = mr_lookup_complete(s);
  pthread_mutex_unlock(&s->lock);
  return ready;
}

/* A source that must be asked for its columns: connected to, or even read until it knows them from
 * its rows. */
static int learn_first(struct mr_lookup_source *s, struct mr_error *err)
{
  int rc = begin_source(s, true, err);
  for (int tries = 0; rc >= 0 && !s->known && !interrupted(s);) {
    struct mr_batch b = {.size = sizeof b, .watermark_us = INT64_MIN};
    mr_error_clear(err);
    rc = mr_lookup_vt(s)->read(s->self, READ_ROWS, READ_BYTES, READ_WAIT_MS, &b, err);
    mr_array_release(&b.rows); /* what is read now is read again by the load */
    if (rc == MR_SCHEMA)
      rc = learn(s, err);
    else if (rc == MR_OK || rc == MR_END)
      rc = mr_fail(err, MR_BADCONF, "its columns cannot be told from its rows: declare them");
    if (rc == MR_RETRY) {
      trouble(s, ++tries, err);
      rc = MR_OK;
    }
  }
  mr_lookup_disconnect(s);
  forget_lanes(s);
  return rc;
}

/* Waits for the first who asks. */
static int wait_for_views(struct mr_lookup_source *s, struct mr_error *err)
{
  int rc = s->known ? MR_OK : learn_first(s, err);
  while (rc >= 0) {
    uint32_t seen = mr_event_seen(&s->event);
    pthread_mutex_lock(&s->lock);
    bool go = s->stopping || s->views->len;
    pthread_mutex_unlock(&s->lock);
    if (go)
      break;
    s->os->wait(s->os, &s->event, seen, -1);
  }
  return rc < 0 ? rc : MR_OK;
}

void mr_lookup_run(void *source)
{
  struct mr_lookup_source *s = source;
  struct mr_error err = MR_ERROR_INIT;
  bool fresh = false; /* what the journal holds is old */
  int rc = wait_for_views(s, &err);
  for (int tries = 1; rc >= 0 && !mr_lookup_stopping(s);) {
    rc = load(s, fresh, &err);
    if (rc == MR_OK)
      rc = stay_current(s, &err);
    fresh = rc == MR_OK && !mr_lookup_stopping(s) && s->spec->refresh_ms > 0 && is_ready(s);
    if (rc >= 0) {
      tries = 1;
    } else if (is_ready(s)) { /* the rows that are shown stay; later, perhaps */
      trouble(s, tries++, &err);
      rc = MR_OK;
    }
  }
  if (rc < 0)
    fail(s, rc, &err);
  mr_lookup_disconnect(s);
}
