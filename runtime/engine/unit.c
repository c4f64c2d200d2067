/* SPDX-License-Identifier: Apache-2.0 */
/* A sink's unit: batches are kept until they are durable, so that the unit can be written again
 * without its bad rows, or after the connection was lost. Bad rows are cut out by the row the
 * target names, or by bisecting zero-copy slices. */
#include "engine/engine.h"
#include "data/array.h"

/* Times that a unit is lost before units are made smaller: the first may be anything. */
#define LOSSES_BEFORE_CUT 2

static const struct mr_sink *vt(const struct mr_stage *s)
{
  return mr_stage_sink(s->spec);
}

static struct mr_kept *kept_at(struct mr_stage *s, guint i)
{
  return &g_array_index(s->snk.unit, struct mr_kept, i);
}

/* false: there is no such row, or it is dead already. */
static bool mark_dead(struct mr_kept *k, int64_t row)
{
  int64_t n = k->m->batch.rows.length;
  if (row < 0 || row >= n)
    return false;
  if (!k->dead)
    k->dead = g_malloc0((gsize)(n + 7) / 8);
  if (mr_bit_get(k->dead, row))
    return false;
  mr_bit_set(k->dead, row, true);
  k->n_dead++;
  return true;
}

static void add_letter(struct mr_stage *s, struct mr_letter *take)
{
  g_ptr_array_add(s->snk.letters, take);
  s->snk.lettered = true;
  atomic_fetch_add_explicit(&s->rejected, 1, memory_order_relaxed);
  mr_stage_error(s, "refused", take->code);
}

/* A row becomes one letter, however often it is refused; false: it is dead already. */
static bool bury(struct mr_stage *s, guint kept, int64_t row, const struct mr_error *err)
{
  struct mr_kept *k = kept_at(s, kept);
  if (!mark_dead(k, row))
    return false;
  const char *column = *err->option ? err->option : NULL;
  add_letter(s, mr_letter_new(s, &k->m->batch, row, err->code, err->msg, column));
  return true;
}

void mr_written_free(void *p)
{
  struct mr_written *w = p;
  mr_array_release(&w->batch.rows);
  g_free(w);
}

static const struct mr_written *written_by_id(struct mr_stage *s, uint64_t id)
{
  for (guint i = s->snk.written->len; i-- > 0;) {
    const struct mr_written *w = s->snk.written->pdata[i];
    if (w->batch.id == id)
      return w;
  }
  return NULL;
}

void mr_unit_isolate(struct mr_stage *s, const struct mr_error *err)
{
  const struct mr_written *w = err->batch ? written_by_id(s, err->batch) : NULL;
  if (!w || err->row < 0 || err->row >= w->batch.rows.length ||
      !bury(s, w->kept, w->from + err->row, err))
    s->snk.careful = true;
}

/* Rejects that the plugin reported during calls that succeeded: letters of the unit, their rows are
 * dead. */
static void settle(struct mr_stage *s, bool ok)
{
  for (guint i = 0; ok && i < s->letters->len; i++) {
    struct mr_letter *l = s->letters->pdata[i];
    const struct mr_written *w = l->row >= 0 ? written_by_id(s, l->batch) : NULL;
    if (w && !mark_dead(kept_at(s, w->kept), w->from + l->row))
      continue;
    add_letter(s, l);
    s->letters->pdata[i] = NULL;
  }
  g_ptr_array_set_size(s->letters, 0);
  s->letters_kept = 0;
}

static int write_slice(struct mr_stage *s, guint kept, int64_t from, int64_t n);

/* The slice has a row that can never pass and left nothing behind: find it. */
static int bisect(struct mr_stage *s, guint kept, int64_t from, int64_t n,
                  const struct mr_error *err)
{
  int64_t at = err->row;
  if (n == 1)
    at = 0;
  if (at < 0 || at >= n) {
    int st = write_slice(s, kept, from, n / 2);
    return st ? st : write_slice(s, kept, from + n / 2, n - n / 2);
  }
  bury(s, kept, from + at, err);
  int st = write_slice(s, kept, from, at);
  return st ? st : write_slice(s, kept, from + at + 1, n - at - 1);
}

static struct mr_written *written_new(struct mr_stage *s, guint kept, int64_t from, int64_t n)
{
  struct mr_written *w = g_new0(struct mr_written, 1);
  struct mr_message *m = kept_at(s, kept)->m;
  w->kept = kept;
  w->from = from;
  w->batch = m->batch;
  w->batch.id = ++s->next_batch << 8 | s->index;
  if (!mr_rows_slice(&m->batch.rows, from, n, &w->batch.rows))
    g_error("out of memory");
  return w;
}

/* Careful: the target answers for each slice. Tries until it does. */
static int call_flush(struct mr_stage *s, uint64_t id, struct mr_error *err)
{
  int st = MR_OK;
  if (!s->snk.careful || !vt(s)->flush)
    return MR_OK;
  for (int tries = 1;; tries++) {
    st = vt(s)->flush(s->self, err);
    if (st != MR_RETRY || err->unit_lost)
      break;
    if (tries == 1 && *err->msg)
      mr_pipeline_log(s->p, s, MR_WARN, "%s", err->msg);
    if (!mr_stage_backoff(s, tries, err))
      break;
    mr_error_clear(err);
  }
  if (st < 0 && err->batch && err->batch != id && err->row >= 0)
    err->unit_lost = true; /* not of this slice: begin anew */
  return st;
}

/* One slice; refused rows that the plugin reports are settled once it was accepted: those of a
 * slice that is written again are reported again. */
static int call_write(struct mr_stage *s, guint kept, int64_t from, int64_t n, struct mr_error *err)
{
  struct mr_written *w = written_new(s, kept, from, n);
  int st = vt(s)->write(s->self, &w->batch, err);
  if (st < 0) {
    mr_written_free(w);
    settle(s, false);
    return st;
  }
  g_ptr_array_add(s->snk.written, w);
  st = call_flush(s, w->batch.id, err);
  settle(s, st >= 0);
  return st;
}

/* 0: written; MR_COMMIT_REWRITE: the unit must be written anew; MR_COMMIT_STOPPED; < 0: final,
 * failure recorded. */
static int write_slice(struct mr_stage *s, guint kept, int64_t from, int64_t n)
{
  if (!n)
    return MR_COMMIT_DONE;
  for (int tries = 1;; tries++) {
    struct mr_error err = MR_ERROR_INIT;
    int st = call_write(s, kept, from, n, &err);
    if (st >= 0)
      return MR_COMMIT_DONE;
    if (st == MR_REJECT && !err.unit_lost)
      return bisect(s, kept, from, n, &err);
    if (st == MR_REJECT) {
      if (!err.batch && err.row >= 0 && err.row < n)
        bury(s, kept, from + err.row, &err);
      else
        mr_unit_isolate(s, &err);
      return MR_COMMIT_REWRITE;
    }
    if (st != MR_RETRY) {
      mr_pipeline_fail(s->p, s, st, &err);
      return st;
    }
    if (*err.msg && tries == 1)
      mr_pipeline_log(s->p, s, MR_WARN, "%s", err.msg);
    if (!mr_stage_backoff(s, tries, &err))
      return MR_COMMIT_STOPPED;
    s->snk.lost += err.unit_lost;
    if (err.unit_lost)
      return MR_COMMIT_REWRITE;
  }
}

static int write_kept(struct mr_stage *s, guint i)
{
  struct mr_kept *k = kept_at(s, i);
  int64_t n = k->m->batch.rows.length, from = 0;
  if (!k->n_dead)
    return write_slice(s, i, 0, n);
  while (from < n) {
    int64_t to = from;
    while (to < n && !mr_bit_get(k->dead, to))
      to++;
    int st = write_slice(s, i, from, to - from);
    if (st)
      return st;
    k = kept_at(s, i);
    from = to + 1;
  }
  return MR_COMMIT_DONE;
}

/* The lanes that may be in the unit, as they stand. */
static struct mr_mark *lanes_now(struct mr_stage *s, uint32_t *ret_n)
{
  struct mr_mark *marks = g_new0(struct mr_mark, s->snk.lanes->len + 1);
  uint32_t n = 0;
  for (guint i = 0; i < s->snk.lanes->len; i++) {
    const struct mr_sink_lane *sl = s->snk.lanes->pdata[i];
    if (!sl->mine)
      continue;
    marks[n++] = (struct mr_mark){.source = sl->lane->source->spec->name,
                                  .name = sl->lane->name,
                                  .lane = sl->lane->id,
                                  .from = sl->stored,
                                  .upto = sl->stored,
                                  .owner = sl->owner,
                                  .run = mr_stage_run(s, sl->lane->id)};
  }
  *ret_n = n;
  return marks;
}

/* Two-phase: the rows of its lanes remember the label of a unit that begins; whoever takes them
 * over finds it there. */
static int claim(struct mr_stage *s, const struct mr_unit *u)
{
  struct mr_store *store = s->p->store;
  struct mr_error err = MR_ERROR_INIT;
  int st = MR_OK, tries = 1;
  while (vt(s)->delivery == MR_TWO_PHASE &&
         (st = store->claim(store, s->spec->name, u->label, u->mark, u->n, &err)) == MR_RETRY &&
         mr_stage_again(s, &tries, &err))
    mr_error_clear(&err);
  if (st < 0 && st != MR_RETRY)
    mr_pipeline_fail(s->p, s, st, &err);
  return st == MR_RETRY ? MR_COMMIT_STOPPED : MIN(st, MR_COMMIT_DONE);
}

/* Tells the sink that a unit begins, until it works. */
static int begin(struct mr_stage *s)
{
  if (s->snk.begun || !vt(s)->begin)
    return MR_COMMIT_DONE;
  struct mr_unit u = s->snk.now;
  g_autofree struct mr_mark *marks = lanes_now(s, &u.n);
  u.mark = marks;
  int claimed = claim(s, &u);
  if (claimed)
    return claimed;
  for (int tries = 1;; tries++) {
    struct mr_error err = MR_ERROR_INIT;
    int st = vt(s)->begin(s->self, &u, &err);
    if (st >= 0)
      break;
    if (st != MR_RETRY) {
      mr_pipeline_fail(s->p, s, st, &err);
      return st;
    }
    if (tries == 1 && *err.msg)
      mr_pipeline_log(s->p, s, MR_WARN, "waiting: %s", err.msg);
    mr_stage_status(s, MR_ST_WAITING, "%s", err.msg);
    if (!mr_stage_backoff(s, tries, &err))
      return MR_COMMIT_STOPPED;
  }
  s->snk.begun = true;
  mr_stage_status(s, MR_ST_RUNNING, "%s", "");
  return MR_COMMIT_DONE;
}

static void call_abort(struct mr_stage *s)
{
  struct mr_error err = MR_ERROR_INIT;
  if (s->snk.begun && vt(s)->abort)
    vt(s)->abort(s->self, &s->snk.now, &err);
  s->snk.begun = false;
  g_ptr_array_set_size(s->snk.written, 0);
}

/* The unit was lost once more when it was written again: would it ever pass whole? Units are halved
 * from now on, and its rows are read again. false: a unit of one row cannot be. */
static bool cut_smaller(struct mr_stage *s)
{
  int64_t limit = atomic_load_explicit(&s->snk.limit, memory_order_relaxed);
  int64_t rows = limit ? MIN(limit, s->snk.unit_rows) : s->snk.unit_rows;
  if (s->snk.lost < LOSSES_BEFORE_CUT || rows < 2)
    return false;
  if (!limit)
    s->snk.whole = rows;
  atomic_store_explicit(&s->snk.limit, rows / 2, memory_order_relaxed);
  mr_pipeline_log(s->p, s, MR_WARN, "lost %d times: units of %ld rows from here on", s->snk.lost,
                  (long)(rows / 2));
  return true;
}

bool mr_unit_pause(struct mr_stage *s)
{
  bool open = s->snk.begun && vt(s)->delivery != MR_PLAIN;
  if (open)
    call_abort(s);
  return open;
}

int mr_unit_rewrite(struct mr_stage *s)
{
  int st;
  do {
    if (cut_smaller(s))
      return MR_COMMIT_AGAIN;
    call_abort(s);
    if ((st = mr_label_next(s)) || (st = begin(s)))
      return st;
    for (guint i = 0; !st && i < s->snk.unit->len; i++)
      st = write_kept(s, i);
  } while (st == MR_COMMIT_REWRITE);
  return st;
}

int mr_unit_add(struct mr_stage *s, struct mr_message *take)
{
  struct mr_kept k = {.m = take};
  int st;
  if (!s->snk.begun && s->snk.unit->len == 0 && (st = mr_label_next(s))) {
    mr_message_unref(take);
    return st;
  }
  g_array_append_val(s->snk.unit, k);
  s->snk.unit_bytes += take->bytes;
  s->snk.unit_rows += take->batch.rows.length;
  atomic_store_explicit(&s->held_rows, s->snk.unit_rows, memory_order_relaxed);
  if (s->snk.guessed || !atomic_load_explicit(&s->oldest_us, memory_order_relaxed))
    atomic_store_explicit(&s->oldest_us, take->since.read_us, memory_order_relaxed);
  s->snk.guessed = false;
  st = begin(s);
  if (!st)
    st = write_kept(s, s->snk.unit->len - 1);
  return st == MR_COMMIT_REWRITE ? mr_unit_rewrite(s) : st;
}

/* Notices lanes that were taken away since the last look. */
static bool notice_lost(struct mr_stage *s)
{
  bool lost = false;
  pthread_mutex_lock(&s->p->lock);
  for (guint i = 0; i < s->snk.lanes->len; i++) {
    struct mr_sink_lane *sl = s->snk.lanes->pdata[i];
    lost |= sl->mine && !sl->owned;
    sl->mine = sl->owned;
  }
  pthread_mutex_unlock(&s->p->lock);
  return lost;
}

bool mr_unit_purge(struct mr_stage *s)
{
  guint kept = 0;
  if (!notice_lost(s))
    return false;
  for (guint i = 0; i < s->snk.unit->len; i++) {
    struct mr_kept *k = kept_at(s, i);
    if (mr_sink_lane(s, k->m->batch.lane)->mine) {
      *kept_at(s, kept++) = *k;
      continue;
    }
    call_abort(s); /* it may still read them */
    s->snk.unit_bytes -= k->m->bytes;
    s->snk.unit_rows -= k->m->batch.rows.length;
    mr_message_unref(k->m);
    g_free(k->dead);
  }
  bool some = kept < s->snk.unit->len;
  atomic_store_explicit(&s->held_rows, s->snk.unit_rows, memory_order_relaxed);
  g_array_set_size(s->snk.unit, kept);
  return some;
}

void mr_unit_clear(struct mr_stage *s, bool done)
{
  if (!done)
    call_abort(s);
  g_ptr_array_set_size(s->snk.written, 0);
  for (guint i = 0; i < s->snk.unit->len; i++) {
    struct mr_kept *k = kept_at(s, i);
    mr_message_unref(k->m);
    g_free(k->dead);
  }
  g_array_set_size(s->snk.unit, 0);
  g_ptr_array_set_size(s->snk.letters, 0);
  for (guint i = 0; i < s->snk.lanes->len; i++) {
    struct mr_sink_lane *sl = s->snk.lanes->pdata[i];
    sl->rows = 0;
    if (!done)
      mr_state_drop(sl);
  }
  s->snk.unit_bytes = s->snk.unit_rows = s->snk.lost = 0;
  atomic_store_explicit(&s->held_rows, 0, memory_order_relaxed);
  s->snk.begun = s->snk.careful = s->snk.forced = false;
}
