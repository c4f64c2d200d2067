/* SPDX-License-Identifier: Apache-2.0 */
/* Making one unit durable, by delivery class, and finishing what a predecessor left. The order of
 * the steps is the protocol: see docs/protocol.md. Nothing is ever rebuilt from the source: a unit
 * is recorded only when it can be finished without it. */
#include "engine/commit.h"
#include <stdio.h>

int mr_commit_failed(struct mr_stage *s, int st, const struct mr_error *err, int *tries)
{
  switch (st) {
  case MR_RETRY:
    if (*tries == 1 && *err->msg)
      mr_pipeline_log(s->p, s, MR_WARN, "%s", err->msg);
    mr_stage_status(s, MR_ST_WAITING, "%s", err->msg);
    if (!mr_stage_backoff(s, (*tries)++, err))
      return MR_COMMIT_STOPPED;
    s->snk.lost += err->unit_lost;
    return err->unit_lost ? MR_COMMIT_REWRITE : MR_COMMIT_DONE; /* DONE: the same call again */
  case MR_REJECT: mr_unit_isolate(s, err); return MR_COMMIT_REWRITE;
  default: mr_pipeline_fail(s->p, s, st, err); return st;
  }
}

/* ---- transactional */

struct reread {
  const struct mr_unit *u;
  struct mr_stage *s;
  uint32_t upto, from, other;
};

/* Lanes of a unit that are ours and durable, although the unit as a whole is not ours to finish. */
struct landed {
  struct mr_mark *mark;
  uint32_t n;
};

static void landed_add(struct landed *l, const struct mr_mark *mine)
{
  l->mark = g_renew(struct mr_mark, l->mark, l->n + 1);
  l->mark[l->n++] = *mine;
}

/* Their dead letters count: nobody else writes these marks. Frees. */
static int landed_mark(struct mr_stage *s, const struct mr_unit *u, struct landed *l)
{
  struct mr_unit part = *u;
  part.mark = l->mark;
  part.n = l->n;
  bool ok = mr_letters_mark(s, &part);
  g_free(l->mark);
  return ok ? MR_COMMIT_DONE : MR_COMMIT_STOPPED;
}

static void on_reread(void *out, const struct mr_mark *m)
{
  struct reread *r = out;
  for (uint32_t i = 0; i < r->u->n; i++) {
    struct mr_mark *mine = (struct mr_mark *)&r->u->mark[i];
    if (strcmp(mine->name, m->name) || strcmp(mine->source, m->source))
      continue;
    struct mr_sink_lane *sl = mr_sink_lane(r->s, mine->lane);
    mine->owner = sl->owner = m->owner;
    if (!mr_position_cmp(&m->upto, &mine->upto))
      r->upto++;
    else if (!mr_position_cmp(&m->upto, &mine->from))
      r->from++;
    else
      r->other++;
    pthread_mutex_lock(&r->s->p->lock);
    sl->stored = m->upto;
    mr_state_read(sl, m);
    pthread_mutex_unlock(&r->s->p->lock);
  }
}

/* Reads the row of one lane. MR_FENCED: another process owns it. */
static int ask_lane(struct mr_stage *s, struct mr_unit *u, uint32_t i, struct landed *landed,
                    struct mr_error *err)
{
  struct mr_unit one = *u;
  struct reread r = {&one, s, 0, 0, 0};
  one.mark = &u->mark[i];
  one.n = 1;
  for (int tries = 1;;) {
    mr_error_clear(err);
    int st = mr_commit_sink(s)->reread(s->self, &one, on_reread, &r, err);
    if (st >= 0 && r.upto)
      landed_add(landed, &one.mark[0]);
    if (st >= 0 || st == MR_FENCED)
      return MIN(st, MR_OK);
    err->unit_lost = false;
    if ((st = mr_commit_failed(s, st == MR_UNSURE ? MR_RETRY : st, err, &tries)))
      return st;
  }
}

/* Another process owns lanes of the unit: they are found out one by one and given up, the others
 * are read again from where they stand. */
static int find_taken(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  struct mr_error first = *err;
  struct landed landed = {NULL, 0};
  bool any = false;
  for (uint32_t i = 0; mr_commit_sink(s)->reread && i < u->n; i++) {
    int st = ask_lane(s, u, i, &landed, err);
    if (st && st != MR_FENCED) {
      g_free(landed.mark);
      return st;
    }
    if (st == MR_FENCED)
      mr_lane_taken(s, u->mark[i].lane, err->msg);
    any |= st == MR_FENCED;
  }
  if (landed_mark(s, u, &landed))
    return MR_COMMIT_STOPPED;
  if (any)
    return MR_COMMIT_AGAIN;
  *err = first;
  mr_pipeline_fail(s->p, s, MR_FENCED, err);
  return MR_FENCED;
}

/* The outcome is not known, or the compare-and-set missed: the lane rows decide. They are at
 * `upto`: it is durable. All at `from`: it is not and, the owner being raised, never will be; the
 * kept rows may be written again. Anything else: read again. */
static int ask_rows(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  for (int tries = 1;;) {
    struct reread r = {u, s, 0, 0, 0};
    mr_error_clear(err);
    int st = mr_commit_sink(s)->reread
                 ? mr_commit_sink(s)->reread(s->self, u, on_reread, &r, err)
                 : mr_fail(err, MR_FATAL, "the outcome of a commit is unknown and `%s` cannot ask",
                           s->spec->plugin->name);
    if (st == MR_FENCED)
      return find_taken(s, u, err);
    if (st >= 0) {
      if (r.upto == u->n)
        return MR_COMMIT_DONE;
      s->snk.lost += r.from == u->n;
      return r.from == u->n ? MR_COMMIT_REWRITE : MR_COMMIT_AGAIN;
    }
    err->unit_lost = false;
    if ((st = mr_commit_failed(s, st == MR_UNSURE ? MR_RETRY : st, err, &tries)))
      return st;
  }
}

static int commit_transactional(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  for (int tries = 1;;) {
    mr_error_clear(err);
    int st = mr_commit_sink(s)->commit(s->self, u, err);
    if (st >= 0)
      return MR_COMMIT_DONE;
    if (st == MR_UNSURE || (st == MR_FENCED && !strcmp(err->code, "position")))
      return ask_rows(s, u, err);
    if (st == MR_FENCED)
      return find_taken(s, u, err);
    if ((st = mr_commit_failed(s, st, err, &tries)))
      return st;
  }
}

/* ---- the store's side of the other classes: tries until the store answers */

struct looked {
  const struct mr_unit *u;
  struct mr_stage *s;
  uint32_t seen, upto, from, taken;
  struct landed landed;
};

static void on_look(void *out, const struct mr_mark *row)
{
  struct looked *l = out;
  for (uint32_t i = 0; i < l->u->n; i++) {
    const struct mr_mark *mine = &l->u->mark[i];
    if (strcmp(mine->name, row->name) || strcmp(mine->source, row->source))
      continue;
    g_autofree char *why =
        g_strdup_printf("lane %s of %s was taken over: owner %lu, mine %lu", mine->name,
                        mine->source, (unsigned long)row->owner, (unsigned long)mine->owner);
    l->seen++;
    l->upto += !mr_position_cmp(&row->upto, &mine->upto);
    l->from += !mr_position_cmp(&row->upto, &mine->from);
    if (row->owner != mine->owner) {
      l->taken++;
      mr_lane_taken(l->s, mine->lane, why);
      continue;
    }
    if (!mr_position_cmp(&row->upto, &mine->upto) && row->run == mine->run)
      landed_add(&l->landed, mine);
    pthread_mutex_lock(&l->s->p->lock);
    mr_sink_lane(l->s, mine->lane)->stored = row->upto;
    mr_state_read(mr_sink_lane(l->s, mine->lane), row);
    pthread_mutex_unlock(&l->s->p->lock);
  }
}

/* The store refused the unit: its lane rows decide. Lanes of another owner are given up. DONE: all
 * are ours and at `upto`, an answer was lost. */
static int settle_fenced(struct mr_stage *s, const struct mr_unit *u, bool may_be_done,
                         struct mr_error *err)
{
  struct mr_error first = *err;
  struct looked l = {u, s, 0, 0, 0, 0, {NULL, 0}};
  int st = STORE_CALL(s, err,
                      (l.seen = l.upto = l.from = l.taken = l.landed.n = 0,
                       mr_commit_store(s)->look(mr_commit_store(s), s->spec->name, u->mark, u->n,
                                                on_look, &l, err)));
  if (st) {
    g_free(l.landed.mark);
    return st;
  }
  if (l.seen == u->n && !l.taken && l.upto == u->n && may_be_done) {
    g_free(l.landed.mark);
    return MR_COMMIT_DONE;
  }
  if (landed_mark(s, u, &l.landed))
    return MR_COMMIT_STOPPED;
  if (l.seen == u->n && (l.taken || l.from < u->n))
    return MR_COMMIT_AGAIN;
  *err = first;
  mr_pipeline_fail(s->p, s, MR_FENCED, err);
  return MR_FENCED;
}

static int record(struct mr_stage *s, struct mr_unit *u, enum mr_pending_state state,
                  struct mr_error *err)
{
  s->snk.recorded_us = mr_now_us(s->p->os);
  s->snk.recorded_wall_us = s->p->os->wall_us(s->p->os);
  struct mr_pending p = {.sink = s->spec->name,
                         .label = u->label,
                         .state = state,
                         .recorded_us = s->snk.recorded_wall_us,
                         .n = u->n,
                         .mark = u->mark};
  int st = STORE_TRY(s, err, mr_commit_store(s)->record(mr_commit_store(s), &p, err));
  if (st == MR_FENCED)
    return settle_fenced(s, u, false, err);
  s->snk.begun = false; /* a label that is recorded, or may be, is never rolled back */
  return st;
}

int mr_commit_positions(struct mr_stage *s, const struct mr_unit *u, const char *label,
                        struct mr_error *err)
{
  int st = STORE_TRY(
      s, err,
      mr_commit_store(s)->done(mr_commit_store(s), s->spec->name, label, u->mark, u->n, err));
  if (st == MR_FENCED && s->snk.recovering)
    return MR_COMMIT_DONE; /* the record is gone: whoever wrote it has finished it meanwhile */
  return st == MR_FENCED ? settle_fenced(s, u, true, err) : st;
}

static int commit_plain(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  for (int tries = 1;;) {
    mr_error_clear(err);
    int st = mr_commit_sink(s)->commit(s->self, u, err);
    if (st >= 0)
      return mr_commit_positions(s, u, NULL, err);
    if ((st = mr_commit_failed(s, st == MR_UNSURE ? MR_RETRY : st, err, &tries)))
      return st;
  }
}

/* ---- two-phase: prepare -> letters -> record -> commit -> done */

static bool keyed(const struct mr_stage *s)
{
  return s->snk.keyed;
}

/* Rolls a label back until the target confirms it. */
static int roll_back(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  for (int tries = 1;;) {
    mr_error_clear(err);
    int st = mr_commit_sink(s)->abort(s->self, u, err);
    if (st >= 0)
      return MR_COMMIT_DONE;
    if ((st = mr_commit_failed(s, st == MR_UNSURE ? MR_RETRY : st, err, &tries)))
      return st;
  }
}

/* Before the record: PREPARED goes on; anything else is rolled back, confirmed, and written again
 * under another label. */
static int prepare(struct mr_stage *s, struct mr_unit *u, bool *ret_empty, struct mr_error *err)
{
  for (int tries = 1;;) {
    mr_error_clear(err);
    int st = mr_commit_sink(s)->prepare(s->self, u, err);
    *ret_empty = st == MR_IDLE;
    if (st >= 0)
      return MR_COMMIT_DONE;
    if (st == MR_UNSURE) {
      int tries2 = 1;
      do {
        mr_error_clear(err);
        st = mr_commit_sink(s)->resolve(s->self, u->label, err);
        if (st == MR_RUNNING)
          err->retry_ms = 200;
      } while ((st == MR_RETRY || st == MR_UNSURE || st == MR_RUNNING) &&
               mr_stage_backoff(s, tries2++, err));
      if (st == MR_PREPARED)
        return MR_COMMIT_DONE;
      if (st == MR_RETRY || st == MR_UNSURE || st == MR_RUNNING)
        return MR_COMMIT_STOPPED;
      if (st >= 0) {
        int rb = roll_back(s, u, err);
        return rb ? rb : MR_COMMIT_REWRITE;
      }
    }
    if ((st = mr_commit_failed(s, st, err, &tries)))
      return st;
  }
}

static char *bounds_text(const struct mr_unit *u)
{
  GString *out = g_string_new(NULL);
  for (uint32_t i = 0; i < u->n && out->len < 160; i++) {
    const struct mr_mark *m = &u->mark[i];
    char from[130], upto[130];
    mr_position_text(&m->from, from, sizeof from);
    mr_position_text(&m->upto, upto, sizeof upto);
    g_string_append_printf(out, "%s%.40s/%.60s from %.20s to %.20s", i ? ", " : "", m->source,
                           m->name, from, upto);
  }
  return g_string_free(out, FALSE);
}

/* Nobody but the user can tell whether the unit landed. */
static int stop_unknown(struct mr_stage *s, const struct mr_unit *u, const char *why,
                        struct mr_error *err)
{
  g_autofree char *bounds = bounds_text(u);
  g_autoptr(GDateTime) at = g_date_time_new_from_unix_utc(s->snk.recorded_wall_us / 1000000);
  g_autofree char *time = at ? g_date_time_format(at, "%F %T UTC") : NULL;
  mr_fail(err, MR_FATAL,
          "%s label %s (%s; recorded %s): look whether its rows are there, then start with "
          "`--pending landed` or `--pending not-landed`",
          why, u->label, bounds, time ? time : "at an unknown time");
  mr_pipeline_fail(s->p, s, MR_FATAL, err);
  return MR_FATAL;
}

int mr_commit_finish_label(struct mr_stage *s, struct mr_unit *u, bool ask_first,
                           struct mr_error *err)
{
  for (int tries = 1;; ask_first = true) {
    mr_error_clear(err);
    int st = ask_first ? mr_commit_sink(s)->resolve(s->self, u->label, err) : MR_PREPARED;
    if (st == MR_UNKNOWN && s->p->pending != MR_PENDING_ASK)
      st = s->p->pending == MR_PENDING_LANDED ? MR_COMMITTED : MR_ABORTED;
    if (st == MR_COMMITTED)
      return mr_commit_positions(s, u, u->label, err);
    if (st == MR_PREPARED) {
      st = mr_commit_sink(s)->commit(s->self, u, err);
      if (st >= 0)
        return mr_commit_positions(s, u, u->label, err);
      if (st == MR_UNSURE || st == MR_RETRY)
        st = MR_RUNNING;
    }
    if (st == MR_ABORTED || (st == MR_UNKNOWN && keyed(s))) {
      st = STORE_CALL(s, err,
                      mr_commit_store(s)->drop(mr_commit_store(s), s->spec->name, u->label, err));
      return st ? st : MR_COMMIT_AGAIN;
    }
    if (st == MR_UNKNOWN)
      return stop_unknown(s, u, "the target no longer knows what became of", err);
    if (st == MR_UNSURE || st == MR_RUNNING)
      st = MR_RETRY;
    err->unit_lost = false;
    if ((st = mr_commit_failed(s, st, err, &tries)))
      return st;
  }
}

static int commit_two_phase(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  bool empty;
  int st = prepare(s, u, &empty, err);
  if (st)
    return st;
  if (s->snk.letters->len && !mr_letters_flush(s, s->snk.letters))
    return MR_COMMIT_STOPPED;
  if (empty)
    return mr_commit_positions(s, u, NULL, err);
  if ((st = record(s, u, MR_PENDING_PREPARED, err)))
    return st;
  return mr_commit_finish_label(s, u, false, err);
}

/* ---- idempotent: encode -> block file, letters -> record -> send -> done; what the target would
 * not know again: encode -> letters -> send -> done */

/* Whether a record is still there. */
struct sought {
  const char *label;
  bool found;
};
static int put_block(void *out, const void *data, size_t len)
{
  g_byte_array_append(out, data, (guint)len);
  return 0;
}

static int see_label(void *out, const struct mr_pending *p, struct mr_error *err)
{
  struct sought *w = out;
  w->found |= !strcmp(p->label, w->label);
  return MR_OK;
}

/* The record is gone, its rows will be read again. */
static int forget_block(struct mr_stage *s, const struct mr_unit *u, struct mr_error *err)
{
  int st = STORE_CALL(s, err,
                      mr_commit_store(s)->drop(mr_commit_store(s), s->spec->name, u->label, err));
  if (!st)
    st = STORE_CALL(s, err, mr_commit_store(s)->block_drop(mr_commit_store(s), u->label, err));
  return st ? st : MR_COMMIT_AGAIN;
}

/* The target may have forgotten the token (outside of half of its window, in time or in blocks):
 * was it sent before and did it land, it would land again. DONE: it landed, or another process has
 * finished it while this one slept. */
static int too_old(struct mr_stage *s, const struct mr_unit *u, struct mr_error *err)
{
  struct sought w = {u->label, false};
  int st = STORE_CALL(
      s, err, mr_commit_store(s)->pending(mr_commit_store(s), s->spec->name, see_label, &w, err));
  if (st || !w.found || s->p->pending == MR_PENDING_LANDED)
    return st;
  if (s->p->pending == MR_PENDING_NOT_LANDED)
    return forget_block(s, u, err);
  return stop_unknown(s, u, "the target may no longer know, after half of its window,", err);
}

static bool is_young(const struct mr_stage *s)
{
  int64_t window_ms = MR_HAS(mr_commit_sink(s), window) ? mr_commit_sink(s)->window(s->self) : 0;
  return window_ms <= 0 || (mr_now_us(s->p->os) - s->snk.recorded_us) / 500 < window_ms;
}

/* The target refused the block for one row, and it never landed: the unit is written again, under
 * another label, without the row. */
static int without_row(struct mr_stage *s, const struct mr_unit *u, bool kept,
                       const struct mr_error *refusal)
{
  struct mr_error err = MR_ERROR_INIT;
  int st = kept ? forget_block(s, u, &err) : MR_COMMIT_AGAIN;
  if (st != MR_COMMIT_AGAIN)
    return st;
  mr_unit_isolate(s, refusal);
  return MR_COMMIT_REWRITE;
}

/* A sealed unit on its way. */
struct sending {
  const void *data;
  size_t len;
  bool fresh; /* it was never sent before */
  bool kept;  /* it is in the store, and recorded */
};

/* Sends the block until the target has it. */
static int send_until(struct mr_stage *s, struct mr_unit *u, const struct sending *b,
                      struct mr_error *err)
{
  for (int tries = 1;;) {
    mr_error_clear(err);
    bool known = !b->kept || is_young(s);
    int st = known ? mr_commit_sink(s)->send(s->self, u->label, b->data, b->len, err) : MR_FENCED;
    if (st == MR_FENCED && b->kept) {
      if (*err->msg)
        mr_pipeline_log(s->p, s, MR_WARN, "%s", err->msg);
      return too_old(s, u, err);
    }
    if (st >= 0)
      return MR_COMMIT_DONE;
    if (st == MR_REJECT && b->fresh && (tries == 1 || err->unit_lost) && err->batch &&
        err->row >= 0)
      return without_row(s, u, b->kept, err);
    if (st == MR_REJECT && !b->fresh && err->unit_lost)
      return forget_block(s, u, err);
    st = st == MR_UNSURE ? MR_RETRY : st == MR_REJECT ? MR_FATAL : st;
    err->unit_lost = false;
    if ((st = mr_commit_failed(s, st, err, &tries)))
      return st;
  }
}

int mr_commit_send_kept(struct mr_stage *s, struct mr_unit *u, const void *data, size_t len,
                        bool fresh, struct mr_error *err)
{
  struct sending b = {data, len, fresh, true};
  int st = send_until(s, u, &b, err);
  if (!st)
    st = mr_commit_positions(s, u, u->label, err);
  return st ? st
            : STORE_CALL(s, err, mr_commit_store(s)->block_drop(mr_commit_store(s), u->label, err));
}

/* The target would not know the block again, so keeping it would promise nothing: it goes out from
 * memory, and what a crash leaves open is read again. */
static int send_unkept(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  struct sending b = {s->snk.block->data, s->snk.block->len, true, false};
  if (s->snk.letters->len && !mr_letters_flush(s, s->snk.letters))
    return MR_COMMIT_STOPPED;
  int st = send_until(s, u, &b, err);
  return st ? st : mr_commit_positions(s, u, NULL, err);
}

static int keep_and_send(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  const GByteArray *b = s->snk.block;
  int st = STORE_CALL(
      s, err, mr_commit_store(s)->block_put(mr_commit_store(s), u->label, b->data, b->len, err));
  if (!st && s->snk.letters->len && !mr_letters_flush(s, s->snk.letters))
    st = MR_COMMIT_STOPPED;
  if (!st)
    st = record(s, u, MR_PENDING_SEALED, err);
  if (!st)
    return mr_commit_send_kept(s, u, b->data, b->len, true, err);
  if (st == MR_COMMIT_AGAIN) {
    int dropped =
        STORE_CALL(s, err, mr_commit_store(s)->block_drop(mr_commit_store(s), u->label, err));
    return dropped ? dropped : st;
  }
  return st;
}

static int commit_idempotent(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  for (int tries = 1;;) {
    mr_error_clear(err);
    g_byte_array_set_size(s->snk.block, 0);
    int st = mr_commit_sink(s)->seal(s->self, u, put_block, s->snk.block, err);
    if (st >= 0)
      return st == MR_IDLE ? send_unkept(s, u, err) : keep_and_send(s, u, err);
    if ((st = mr_commit_failed(s, st, err, &tries)))
      return st;
  }
}

int mr_commit_unit(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  bool flush_first =
      mr_commit_sink(s)->delivery == MR_TRANSACTIONAL || mr_commit_sink(s)->delivery == MR_PLAIN;
  if (flush_first && s->snk.letters->len && !mr_letters_flush(s, s->snk.letters))
    return MR_COMMIT_STOPPED;
  switch (mr_commit_sink(s)->delivery) {
  case MR_TRANSACTIONAL: return commit_transactional(s, u, err);
  case MR_TWO_PHASE: return commit_two_phase(s, u, err);
  case MR_IDEMPOTENT: return commit_idempotent(s, u, err);
  default: return commit_plain(s, u, err);
  }
}
