/* SPDX-License-Identifier: Apache-2.0 */
/* Naming lanes. The source's thread asks; each sink's thread takes the lane rows (raising their
 * owner) and answers under the lock; first positions are made durable, all together, before the
 * first row of a lane goes on its way. */
#include "engine/engine.h"
#include <stdio.h>

bool mr_sink_has_lane(const struct mr_stage *sink, const struct mr_lane *l)
{
  return l->id % sink->instances == sink->instance && mr_stage_reaches(l->source, sink);
}

struct mr_sink_lane *mr_sink_lane(struct mr_stage *sink, uint32_t lane)
{
  for (guint i = 0; i < sink->snk.lanes->len; i++) {
    struct mr_sink_lane *sl = sink->snk.lanes->pdata[i];
    if (sl->lane->id == lane)
      return sl;
  }
  return NULL;
}

void mr_lanes_each(struct mr_pipeline *p, const struct mr_lane *l, mr_sink_lane_fn *each, void *out)
{
  for (guint i = 0; i < p->stages->len; i++) {
    struct mr_stage *s = p->stages->pdata[i];
    if (s->spec->kind == MR_STAGE_SINK && mr_sink_has_lane(s, l))
      each(out, s, mr_sink_lane(s, l->id));
  }
}

/* ---- the source's side */

static struct mr_lane *lane_of(struct mr_stage *s, const char *name)
{
  for (guint i = 0; i < s->src.lanes->len; i++) {
    struct mr_lane *l = s->src.lanes->pdata[i];
    if (!l->gone && !strcmp(l->name, name))
      return l;
  }
  return NULL;
}

static struct mr_lane *lane_new(struct mr_stage *s, const char *name)
{
  struct mr_lane *l = g_new0(struct mr_lane, 1);
  l->event_us = INT64_MIN;
  l->source = s;
  l->name = g_strdup(name);
  pthread_mutex_lock(&s->p->lock);
  l->id = mr_lane_table_len(&s->p->lanes);
  mr_lane_table_add(&s->p->lanes, l);
  pthread_mutex_unlock(&s->p->lock);
  g_ptr_array_add(s->src.lanes, l);
  return l;
}

static void post(struct mr_stage *sink, struct mr_request *r)
{
  struct mr_pipeline *p = sink->p;
  pthread_mutex_lock(&p->lock);
  struct mr_request **end = &sink->snk.requests;
  while (*end)
    end = &(*end)->next;
  *end = r;
  pthread_mutex_unlock(&p->lock);
  p->os->wake(p->os, &sink->event);
}

static void request_free(struct mr_request *r)
{
  g_ptr_array_unref(r->lanes);
  g_free(r->first);
  g_free(r);
}

/* Has every sink answered for these lanes (rows: and do all have rows)? */
struct answered {
  bool all, rows;
};
static void each_answered(void *out, struct mr_stage *sink, struct mr_sink_lane *sl)
{
  struct answered *a = out;
  if (sl && sl->lane->taken)
    return;
  if (!sl || !sl->answered)
    a->all = false;
  if (!sl || !sl->has_row)
    a->rows = false;
}
static struct answered answered(struct mr_stage *s, GPtrArray *lanes)
{
  struct answered a = {true, true};
  pthread_mutex_lock(&s->p->lock);
  for (guint i = 0; i < lanes->len; i++)
    mr_lanes_each(s->p, lanes->pdata[i], each_answered, &a);
  pthread_mutex_unlock(&s->p->lock);
  return a;
}

/* Waits for the sinks' answers; serves barriers meanwhile. false: the run stops. */
static bool await(struct mr_stage *s, GPtrArray *lanes, bool rows)
{
  for (;;) {
    uint32_t seen = mr_event_seen(&s->event);
    struct answered a = answered(s, lanes);
    if (rows ? a.rows : a.all)
      return true;
    if (mr_stopping(s->p))
      return false;
    mr_source_serve(s);
    mr_stage_wait(s, seen, 100000);
  }
}

/* Posts a request to each sink instance, for the lanes of its share that `want` picks. */
static void ask(struct mr_stage *s, GPtrArray *lanes, bool found)
{
  struct mr_pipeline *p = s->p;
  for (guint k = 0; k < p->stages->len; k++) {
    struct mr_stage *sink = p->stages->pdata[k];
    if (sink->spec->kind != MR_STAGE_SINK)
      continue;
    struct mr_request *r = g_new0(struct mr_request, 1);
    r->source = s;
    r->lanes = g_ptr_array_new();
    if (found)
      r->first = g_new0(struct mr_position, lanes->len);
    for (guint i = 0; i < lanes->len; i++) {
      struct mr_lane *l = lanes->pdata[i];
      if (!mr_sink_has_lane(sink, l))
        continue;
      pthread_mutex_lock(&p->lock);
      struct mr_sink_lane *sl = mr_sink_lane(sink, l->id);
      bool need = found ? sl && !sl->has_row : !sl;
      if (need && found)
        r->first[r->lanes->len] = sl->stored;
      pthread_mutex_unlock(&p->lock);
      if (need)
        g_ptr_array_add(r->lanes, l);
    }
    if (r->lanes->len)
      post(sink, r);
    else
      request_free(r);
  }
}

static int stopped(struct mr_error *err)
{
  return mr_fail(err, MR_RETRY, "stopping");
}

int mr_lanes_announce(struct mr_stage *s, const char *const *names, size_t n, struct mr_error *err)
{
  g_autoptr(GPtrArray) lanes = g_ptr_array_new();
  for (size_t i = 0; i < n; i++) {
    struct mr_lane *l = lane_of(s, names[i]);
    g_ptr_array_add(lanes, l ? l : lane_new(s, names[i]));
  }
  ask(s, lanes, false);
  return await(s, lanes, false) ? MR_OK : stopped(err);
}

/* What the sinks' rows say of a lane. */
struct known {
  bool some, all;
  struct mr_position lowest;
  GPtrArray *without; /* struct mr_stage *: sinks that have no row */
};
static void each_known(void *out, struct mr_stage *sink, struct mr_sink_lane *sl)
{
  struct known *k = out;
  if (!sl->has_row) {
    k->all = false;
    g_ptr_array_add(k->without, sink);
    return;
  }
  if (!k->some || mr_position_cmp(&sl->stored, &k->lowest) < 0)
    k->lowest = sl->stored;
  k->some = true;
}
static struct known known(struct mr_stage *s, const struct mr_lane *l)
{
  struct known k = {.all = true, .without = g_ptr_array_new()};
  pthread_mutex_lock(&s->p->lock);
  mr_lanes_each(s->p, l, each_known, &k);
  pthread_mutex_unlock(&s->p->lock);
  return k;
}

/* Whether this source's lanes were once all founded for its sinks (by their index in the file);
 * set: they are now. */
static int ran(struct mr_stage *s, bool set, bool *ret, bool *ret_any, struct mr_error *err)
{
  const GPtrArray *specs = s->p->spec->stages;
  g_autoptr(GPtrArray) keys = g_ptr_array_new_with_free_func(g_free);
  for (guint i = 0; i < specs->len; i++)
    g_ptr_array_add(keys, g_strconcat(s->spec->name, "/",
                                      ((struct mr_stage_spec *)specs->pdata[i])->name, NULL));
  int st =
      s->p->store->ran(s->p->store, (const char *const *)keys->pdata, keys->len, set, ret, err);
  for (guint i = 0; ret_any && i < specs->len; i++)
    *ret_any |= st >= 0 && ret[i];
  return st;
}

/* Others have positions, these sinks none: either the first start did not get to them (they begin
 * where the others stand, nothing was read yet), or they were added to the file later and say where
 * they begin. ret_earliest: one of them at the lane's beginning. */
static int look_at_new_sinks(const bool *before, const GPtrArray *without, bool *ret_earliest,
                             struct mr_error *err)
{
  for (guint i = 0; i < without->len; i++) {
    struct mr_stage *sink = without->pdata[i];
    if (before[sink->index])
      continue;
    if (!sink->spec->start)
      return mr_fail(
          err, MR_BADCONF,
          "sink `%s` has no position but others have: say `start: earliest` or `start: now` for it",
          sink->spec->name);
    *ret_earliest |= !strcmp(sink->spec->start, "earliest");
  }
  return MR_OK;
}

struct begin {
  struct mr_position fresh, at; /* for sinks without a row; where reading begins */
};
static void each_begin(void *out, struct mr_stage *sink, struct mr_sink_lane *sl)
{
  struct begin *b = out;
  if (!sl->has_row)
    sl->stored = sl->base = b->fresh;
  sl->at = b->at;
}

/* Reading of the lane begins at `at`; sinks without a row get `fresh` as their first position. */
static void lane_begin(struct mr_stage *s, struct mr_lane *l, const struct mr_position *at,
                       const struct mr_position *fresh, bool all)
{
  struct begin b = {*fresh, *at};
  pthread_mutex_lock(&s->p->lock);
  l->first = l->read = l->acked = *at;
  l->has_first = true;
  mr_lanes_each(s->p, l, each_begin, &b);
  pthread_mutex_unlock(&s->p->lock);
  s->src.cutting = true;
  if (!all)
    g_ptr_array_add(s->src.to_found, l);
}

int mr_lanes_name(struct mr_stage *s, const char *name, const struct mr_position *first,
                  uint32_t *ret, struct mr_position *ret_from, struct mr_error *err)
{
  struct mr_lane *l = lane_of(s, name);
  g_autofree bool *before = g_new0(bool, s->p->spec->stages->len + 1);
  bool any = false, earliest = false;
  int st = l ? MR_OK : mr_lanes_announce(s, &name, 1, err);
  if (st < 0)
    return st;
  l = lane_of(s, name);
  if ((st = ran(s, false, before, &any, err)) < 0)
    return st;
  struct known k = known(s, l);
  g_autoptr(GPtrArray) without = k.without;
  if (!k.some && !first)
    return any ? MR_LANE_LATER : MR_LANE_NEW;
  if (any && k.some && !k.all && (st = look_at_new_sinks(before, without, &earliest, err)) < 0)
    return st;
  if (earliest && !first)
    return MR_LANE_LATER;
  struct mr_position fresh = first ? *first : k.lowest, at = k.some ? k.lowest : fresh;
  if (k.some && !earliest)
    fresh = k.lowest;
  if (mr_position_cmp(&fresh, &at) < 0)
    at = fresh;
  lane_begin(s, l, &at, &fresh, k.all);
  *ret = l->id;
  *ret_from = at;
  return MR_LANE_KNOWN;
}

bool mr_lanes_found(struct mr_stage *s)
{
  struct mr_error err = MR_ERROR_INIT;
  if (s->src.to_found->len) {
    ask(s, s->src.to_found, true);
    if (!await(s, s->src.to_found, true))
      return false;
    g_ptr_array_set_size(s->src.to_found, 0);
  }
  g_autofree bool *before = g_new0(bool, s->p->spec->stages->len + 1);
  int st = MR_OK, tries = 1;
  while (s->src.lanes->len && (st = ran(s, true, before, NULL, &err)) == MR_RETRY &&
         mr_stage_again(s, &tries, &err))
    mr_error_clear(&err);
  if (st < 0 && st != MR_RETRY)
    mr_pipeline_fail(s->p, s, st, &err);
  return st >= 0;
}

/* ---- the sink's side */

struct taking {
  struct mr_stage *sink;
  struct mr_request *r;
  GPtrArray *got; /* struct mr_sink_lane *, as many as lanes in the request */
  GArray *rows;   /* struct mr_mark: the rows as they were */
};

static void on_mark(void *out, const struct mr_mark *m)
{
  struct taking *t = out;
  for (guint i = 0; i < t->r->lanes->len; i++) {
    struct mr_lane *l = t->r->lanes->pdata[i];
    struct mr_sink_lane *sl = t->got->pdata[i];
    if (strcmp(l->name, m->name))
      continue;
    sl->has_row = true;
    sl->owner = m->owner;
    sl->stored = m->upto;
    mr_state_read(sl, m);
    struct mr_mark row = *m;
    row.state = NULL;
    row.state_len = 0;
    row.source = l->source->spec->name;
    row.name = l->name;
    g_array_append_val(t->rows, row);
  }
}

/* The last commit may have died before its mark: it is written again. */
static bool repeat_marks(struct mr_stage *s, const GArray *rows)
{
  for (guint i = 0; i < rows->len; i++) {
    const struct mr_mark *m = &g_array_index(rows, struct mr_mark, i);
    struct mr_unit u = {
        .size = sizeof u, .n = 1, .pipeline = s->p->spec->name, .sink = s->spec->name, .mark = m};
    s->snk.lettered = true;
    if (m->run && !mr_letters_mark(s, &u))
      return false;
  }
  s->snk.lettered = false;
  return true;
}

/* Lanes whose rows live in the store: the owner is raised, then what others left pending on them is
 * finished, until nothing is: while one unit is finished, an owner in between may record another.
 */
static int take_from_store(struct mr_stage *s, struct taking *t, const char *source,
                           const char *const *names, size_t n, struct mr_error *err)
{
  struct mr_store *st = s->p->store;
  for (bool again = true; again;) {
    g_array_set_size(t->rows, 0);
    int status = st->take(st, s->spec->name, source, names, n, on_mark, t, err);
    if (status < 0)
      return status;
    again = false;
    mr_error_clear(err);
    if (!mr_commit_recover(s, source, names, n, &again))
      return MR_RETRY;
  }
  return MR_OK;
}

static int take_rows(struct mr_stage *s, struct taking *t, const char *const *names, size_t n,
                     struct mr_error *err)
{
  const struct mr_sink *v = mr_stage_sink(s->spec);
  const char *source = t->r->source->spec->name;
  if (v->delivery == MR_TRANSACTIONAL)
    return v->take(s->self, source, names, n, on_mark, t, err);
  return take_from_store(s, t, source, names, n, err);
}

/* Tries again until there is an answer; MR_RETRY: the run stops. */
static int found_rows(struct mr_stage *s, const struct mr_mark *marks, size_t n,
                      struct mr_error *err)
{
  const struct mr_sink *v = mr_stage_sink(s->spec);
  int st, tries = 1;
  do {
    mr_error_clear(err);
    st = v->delivery == MR_TRANSACTIONAL
             ? v->found(s->self, marks, n, err)
             : s->p->store->found(s->p->store, s->spec->name, marks, n, err);
  } while (st == MR_RETRY && mr_stage_again(s, &tries, err));
  return st;
}

/* Tries again until it works. false: the run stops. */
static bool serve_take(struct mr_stage *s, struct mr_request *r)
{
  struct mr_error err = MR_ERROR_INIT;
  g_autofree const char **names = g_new0(const char *, r->lanes->len + 1);
  struct taking t = {s, r, g_ptr_array_new(), g_array_new(FALSE, TRUE, sizeof(struct mr_mark))};
  for (guint i = 0; i < r->lanes->len; i++) {
    struct mr_sink_lane *sl = g_new0(struct mr_sink_lane, 1);
    sl->lane = r->lanes->pdata[i];
    names[i] = sl->lane->name;
    g_ptr_array_add(t.got, sl);
  }
  int st, tries = 1;
  while ((st = take_rows(s, &t, names, r->lanes->len, &err)) == MR_RETRY &&
         mr_stage_again(s, &tries, &err)) {
    mr_error_clear(&err);
    g_array_set_size(t.rows, 0);
  }
  if (st >= 0 && !repeat_marks(s, t.rows))
    st = MR_RETRY;
  if (st < 0 && st != MR_RETRY)
    mr_pipeline_fail(s->p, s, st, &err);
  for (guint i = 0; st >= 0 && i < t.got->len; i++)
    if (!mr_state_take(s, t.got->pdata[i]))
      st = MR_FATAL;
  pthread_mutex_lock(&s->p->lock);
  for (guint i = 0; i < t.got->len; i++) {
    struct mr_sink_lane *sl = t.got->pdata[i];
    sl->base = sl->stored;
    sl->answered = sl->owned = sl->mine = st >= 0;
    g_ptr_array_add(s->snk.lanes, sl);
  }
  pthread_mutex_unlock(&s->p->lock);
  g_ptr_array_unref(t.got);
  g_array_unref(t.rows);
  return st >= 0;
}

static void has_row(struct mr_stage *s, const struct mr_mark *m)
{
  pthread_mutex_lock(&s->p->lock);
  struct mr_sink_lane *sl = mr_sink_lane(s, m->lane);
  sl->has_row = true;
  sl->owner = m->owner;
  sl->stored = m->upto;
  pthread_mutex_unlock(&s->p->lock);
}

/* A lane has a row already: another process was first, its lane is given up. */
static int found_each(struct mr_stage *s, const struct mr_mark *marks, size_t n,
                      struct mr_error *err)
{
  bool any = false;
  for (size_t i = 0; i < n; i++) {
    int st = found_rows(s, &marks[i], 1, err);
    if (st < 0 && st != MR_FENCED)
      return st;
    any |= st == MR_FENCED;
    if (st == MR_FENCED)
      mr_lane_taken(s, marks[i].lane, err->msg);
    else
      has_row(s, &marks[i]);
  }
  if (any)
    mr_sink_adrift(s);
  return MR_OK;
}

static bool serve_found(struct mr_stage *s, struct mr_request *r)
{
  struct mr_error err = MR_ERROR_INIT;
  g_autofree struct mr_mark *marks = g_new0(struct mr_mark, r->lanes->len);
  for (guint i = 0; i < r->lanes->len; i++) {
    struct mr_lane *l = r->lanes->pdata[i];
    marks[i] = (struct mr_mark){.source = r->source->spec->name,
                                .name = l->name,
                                .lane = l->id,
                                .from = r->first[i],
                                .upto = r->first[i],
                                .owner = 1};
  }
  int st = found_rows(s, marks, r->lanes->len, &err);
  if (st == MR_FENCED)
    st = found_each(s, marks, r->lanes->len, &err);
  else if (st >= 0)
    for (guint i = 0; i < r->lanes->len; i++)
      has_row(s, &marks[i]);
  if (st < 0 && st != MR_RETRY)
    mr_pipeline_fail(s->p, s, st, &err);
  return st >= 0;
}

static struct mr_request *next_request(struct mr_stage *s)
{
  pthread_mutex_lock(&s->p->lock);
  struct mr_request *r = s->snk.requests;
  if (r)
    s->snk.requests = r->next;
  pthread_mutex_unlock(&s->p->lock);
  return r;
}

bool mr_lanes_serve(struct mr_stage *s)
{
  bool paused = false;
  for (struct mr_request *r; (r = next_request(s));) {
    struct mr_stage *source = r->source;
    paused |= mr_unit_pause(s);
    if (r->first)
      serve_found(s, r);
    else
      serve_take(s, r);
    request_free(r);
    s->p->os->wake(s->p->os, &source->event);
  }
  int st = paused && !s->snk.adrift ? mr_unit_rewrite(s) : MR_COMMIT_DONE;
  if (st == MR_COMMIT_AGAIN)
    mr_sink_adrift(s);
  return st == MR_COMMIT_DONE || st == MR_COMMIT_AGAIN;
}

/* ---- a lane goes away (a group's rebalance) */

static void each_release(void *out, struct mr_stage *sink, struct mr_sink_lane *sl)
{
  if (sl)
    sl->owned = false;
}

static void release(struct mr_pipeline *p, struct mr_lane *l)
{
  pthread_mutex_lock(&p->lock);
  l->gone = true;
  mr_lanes_each(p, l, each_release, NULL);
  pthread_mutex_unlock(&p->lock);
}

int mr_lanes_end(struct mr_stage *s, uint32_t lane, bool lost, int64_t wait_ms)
{
  struct mr_pipeline *p = s->p;
  struct mr_lane *l = mr_lane_table_at(&p->lanes, lane);
  int64_t until = mr_now_us(p->os) + wait_ms * 500;
  struct mr_position done;
  if (!lost)
    mr_checkpoint_force(p);
  while (!lost && !mr_stopping(p)) {
    uint32_t seen = mr_event_seen(&s->event);
    int64_t now = mr_now_us(p->os);
    mr_source_serve(s);
    if ((mr_checkpoint_live(p, l, &done) && mr_position_cmp(&done, &l->read) >= 0) || now >= until)
      break;
    /* what is in flight is void: it will not become durable here */
    if (atomic_load_explicit(&p->attempt, memory_order_acquire) != s->attempt)
      break;
    mr_stage_wait(s, seen, MIN(until - now, 20000));
  }
  release(p, l);
  return MR_OK;
}

/* ---- a lane was taken and nobody said so */

void mr_lane_taken(struct mr_stage *sink, uint32_t lane, const char *why)
{
  struct mr_pipeline *p = sink->p;
  pthread_mutex_lock(&p->lock);
  struct mr_sink_lane *sl = mr_sink_lane(sink, lane);
  struct mr_lane *l = sl->lane;
  sl->owned = sl->mine = false;
  if (!l->taken) {
    l->taken_at = sink;
    l->taken_why = g_strdup(why);
  }
  l->taken = true;
  pthread_mutex_unlock(&p->lock);
}

static bool give_up(struct mr_stage *s, struct mr_lane *l)
{
  const struct mr_source *v = s->spec->plugin->source;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_stage *at = (struct mr_stage *)l->taken_at;
  if (!MR_HAS(v, lost) || v->lost(s->self, l->id, &err) < 0) {
    mr_error_clear(&err);
    mr_fail(&err, MR_FENCED, "%s", l->taken_why);
    mr_pipeline_fail(s->p, at, MR_FENCED, &err);
    return false;
  }
  mr_pipeline_log(s->p, at, MR_WARN, "%s: its rows are dropped here", l->taken_why);
  release(s->p, l);
  return true;
}

bool mr_lanes_give_up(struct mr_stage *s)
{
  for (guint i = 0; i < s->src.lanes->len; i++) {
    struct mr_lane *l = s->src.lanes->pdata[i];
    pthread_mutex_lock(&s->p->lock);
    bool taken = l->taken && !l->gone;
    pthread_mutex_unlock(&s->p->lock);
    if (taken && !give_up(s, l))
      return false;
  }
  return true;
}
