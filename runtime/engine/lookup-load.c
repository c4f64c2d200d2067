/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of one lookup: loads, refreshes, follows. */
#include "engine/lookup-private.h"

#define READ_ROWS 8192
#define READ_BYTES (INT64_C(1) << 20)
#define READ_WAIT_MS 200
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 10000
#define PROGRESS_US 500000

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
  int rc = mr_lookup_feed_rows(s, column, deleted, n, err);
  if (rc >= 0 && n && mr_journal_is_open(s->journal)) {
    struct mr_error why = MR_ERROR_INIT;
    if (mr_journal_rows(s->journal, lane->name, &b->upto, &s->schema, column, NULL, n, deleted,
                        &why) < 0)
      mr_lookup_journal_failed(s, &why);
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
  mr_lookup_pick(s, &s->schema);
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
    rc = mr_lookup_compact(s, err);
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
  int rc = mr_lookup_begin(s, fresh, &loaded, err);
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
      mr_lookup_journal_failed(s, &why);
  }
  for (guint i = 0; rc >= 0 && i < s->feeds->len; i++)
    mr_table_trim(((struct mr_lookup_feed *)s->feeds->pdata[i])->table);
  if (rc < 0)
    return rc;
  mr_lookup_show(s);
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
  mr_lookup_forget_lanes(s);
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
