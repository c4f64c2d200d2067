/* SPDX-License-Identifier: Apache-2.0 */
/* Stages that remember something. Such a stage, and every one behind it, works for one sink alone
 * (stage.sink), and has an instance of its plugin for each lane. An instance begins where the sink
 * stands, with what was saved there; rows before that place are not shown to it. When a barrier
 * passes, what it remembers goes along; the sink makes it durable with the lane's position. So the
 * compare-and-set on owner and position is that of the state, too. */
#include "engine/engine.h"
#include "engine/saved.h"

/* One lane of a stage that remembers. The stage's thread. */
struct mr_lane_self {
  struct mr_lane *lane;    /* NULL: a dry run, of rows of no lane */
  void *self;              /* NULL: no row has come */
  GBytes *saved;           /* at `from`; NULL: none */
  struct mr_position from; /* where the sink stood when this attempt began */
  struct mr_position at;   /* where the stream of this attempt stands */
  bool dirty;              /* rows came since the last barrier */
};

static const struct mr_transform *vt(const struct mr_stage *s)
{
  return s->spec->plugin->transform;
}

bool mr_state_kept(const struct mr_stage_spec *spec)
{
  return spec->kind == MR_STAGE_TRANSFORM && MR_HAS(spec->plugin->transform, save);
}

/* Of the options that the file, or who runs it, gave the stage. Another print: another stage. */
static void fingerprint(const struct mr_stage *s, uint8_t *ret)
{
  GPtrArray *values = s->p->spec->own ? mr_spec_values(s->p->spec) : NULL;
  g_autofree char *prefix = g_strconcat(s->spec->name, ".", NULL);
  g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
  gsize n = 32;
  uint8_t all[32];
  g_checksum_update(sum, (const guchar *)s->spec->plugin->name, -1);
  for (guint i = 0; values && i < values->len; i++) {
    const struct mr_value *v = values->pdata[i];
    if (!g_str_has_prefix(v->path, prefix) || !g_strcmp0(v->origin, "default"))
      continue;
    g_checksum_update(sum, (const guchar *)v->path, (gssize)strlen(v->path) + 1);
    g_checksum_update(sum, (const guchar *)v->text, (gssize)strlen(v->text) + 1);
  }
  g_checksum_get_digest(sum, all, &n);
  memcpy(ret, all, MR_SAVED_PRINT);
}

/* ---- a stage's side: instances */

/* Which instance the stage's calls go to, and whoever wakes it. */
static void *use(struct mr_stage *s, void *self)
{
  void *before = s->self;
  pthread_mutex_lock(&s->p->lock);
  s->self = self;
  pthread_mutex_unlock(&s->p->lock);
  return before;
}

static void lane_self_free(void *p)
{
  struct mr_lane_self *ls = p;
  if (ls->saved)
    g_bytes_unref(ls->saved);
  g_free(ls);
}

static void close_self(struct mr_stage *s, struct mr_lane_self *ls)
{
  if (ls->self)
    vt(s)->close(ls->self);
  ls->self = NULL;
}

void mr_state_init(struct mr_stage *s)
{
  if (!mr_state_kept(s->spec))
    return;
  s->selves = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, lane_self_free);
  fingerprint(s, s->print);
}

void mr_state_close(struct mr_stage *s)
{
  GHashTableIter i;
  void *ls;
  if (!s->selves)
    return;
  g_hash_table_iter_init(&i, s->selves);
  while (g_hash_table_iter_next(&i, NULL, &ls))
    close_self(s, ls);
  g_hash_table_remove_all(s->selves);
}

void mr_state_finish(struct mr_stage *s)
{
  if (s->selves)
    g_hash_table_unref(s->selves);
}

struct look {
  struct mr_stage *s;
  struct mr_lane_self *ls;
  bool known;
};
/* Under the lock: what the stage's sink knows of the lane. */
static void look_at(void *out, struct mr_stage *sink, struct mr_sink_lane *sl)
{
  struct look *look = out;
  if (sink->spec != look->s->sink || !sl || !sl->answered)
    return;
  look->known = true;
  look->ls->from = sl->stored;
  look->ls->saved = mr_saved_ref(sl->state);
}

/* false: the lane is gone, or not the sink's. */
static bool begin_at_sink(struct mr_stage *s, struct mr_lane_self *ls)
{
  struct look look = {s, ls, false};
  pthread_mutex_lock(&s->p->lock);
  if (!ls->lane->gone)
    mr_lanes_each(s->p, ls->lane, look_at, &look);
  pthread_mutex_unlock(&s->p->lock);
  return look.known;
}

/* The stage's part of a lane; where it begins is settled when it is first heard of, which is before
 * anything of this attempt can become durable. at: where reading began; NULL: the lane is new.
 * NULL: nothing of the lane is for this stage. */
static struct mr_lane_self *lane_self(struct mr_stage *s, uint32_t lane,
                                      const struct mr_position *at)
{
  struct mr_lane_self *ls = g_hash_table_lookup(s->selves, GUINT_TO_POINTER(lane));
  if (ls)
    return ls;
  ls = g_new0(struct mr_lane_self, 1);
  ls->lane = mr_lane_table_at(&s->p->lanes, lane);
  if (!s->p->dry) {
    if (!ls->lane || !begin_at_sink(s, ls)) {
      lane_self_free(ls);
      return NULL;
    }
    ls->at = at ? *at : ls->lane->first;
  }
  g_hash_table_insert(s->selves, GUINT_TO_POINTER(lane), ls);
  return ls;
}

static const char *lane_name(const struct mr_lane_self *ls)
{
  return ls->lane ? ls->lane->name : "";
}

/* What was saved where reading begins. */
static int load(struct mr_stage *s, struct mr_lane_self *ls, struct mr_error *err)
{
  struct mr_saved_entry e;
  if (!mr_saved_find(ls->saved, s->spec->name, &e))
    return MR_OK;
  if (memcmp(e.print, s->print, MR_SAVED_PRINT))
    return mr_fail(err, MR_BADCONF,
                   "it was changed, and has saved state from before (lane %s): undo the change, or "
                   "start with --reset-state to have it forget what it remembers",
                   lane_name(ls));
  return vt(s)->load(s->self, e.data, e.len, err);
}

/* A new instance; the stage's calls go to it. */
static bool open_self(struct mr_stage *s, struct mr_lane_self *ls)
{
  struct mr_error err = MR_ERROR_INIT;
  int st = vt(s)->open(&s->open, &ls->self, &err);
  if (st >= 0) {
    use(s, ls->self);
    st = load(s, ls, &err);
  }
  if (st < 0) {
    mr_pipeline_fail(s->p, s, st, &err);
    return false;
  }
  return mr_stage_start(s);
}

enum mr_state_row mr_state_enter(struct mr_stage *s, const struct mr_batch *b)
{
  struct mr_lane_self *ls = lane_self(s, b->lane, NULL);
  if (!ls)
    return MR_STATE_VOID;
  struct mr_position start = ls->at;
  if (mr_position_cmp(&b->upto, &ls->at) > 0)
    ls->at = b->upto;
  if (mr_position_cmp(&b->upto, &ls->from) <= 0 && !s->p->dry)
    return MR_STATE_PAST;
  if (mr_position_cmp(&start, &ls->from) < 0) { /* read it again, with a cut there */
    mr_checkpoint_again(s->p);
    return MR_STATE_VOID;
  }
  s->model = s->self;
  if (ls->self)
    use(s, ls->self);
  else if (!open_self(s, ls)) {
    mr_state_leave(s);
    return MR_STATE_FAILED;
  }
  ls->dirty = true;
  return MR_STATE_APPLY;
}

void mr_state_leave(struct mr_stage *s)
{
  use(s, s->model);
}

int mr_state_evolve(struct mr_stage *s, const struct ArrowSchema *in, struct mr_error *err)
{
  GHashTableIter i;
  void *p;
  int st = MR_OK;
  g_hash_table_iter_init(&i, s->selves);
  while (st >= 0 && g_hash_table_iter_next(&i, NULL, &p)) {
    struct mr_lane_self *ls = p;
    if (ls->self)
      st = vt(s)->evolve(ls->self, in, err);
  }
  return st;
}

/* ---- a stage's side: barriers and attempts */

static int put(void *out, const void *data, size_t len)
{
  GByteArray *a = out;
  if (len > MR_STATE_MAX || a->len > MR_STATE_MAX)
    g_byte_array_set_size(a, MR_STATE_MAX + 1);
  else
    g_byte_array_append(a, data, (guint)len);
  return 0;
}

static int save(struct mr_stage *s, struct mr_lane_self *ls, GByteArray *out, struct mr_error *err)
{
  for (int tries = 1;; mr_error_clear(err)) {
    g_byte_array_set_size(out, 0);
    int st = vt(s)->save(ls->self, put, out, err);
    if (st != MR_RETRY)
      return st;
    if (!mr_stage_backoff(s, tries++, err))
      return MR_RETRY;
  }
}

/* false: the run has failed or stops. */
static bool save_to(struct mr_stage *s, struct mr_lane_self *ls, struct mr_message *barrier)
{
  struct mr_error err = MR_ERROR_INIT;
  g_autoptr(GByteArray) data = g_byte_array_new();
  int st = save(s, ls, data, &err);
  if (st >= 0 && data->len > MR_STATE_MAX)
    st = mr_fail(&err, MR_FATAL, "its state of lane %s takes more than %d bytes", lane_name(ls),
                 MR_STATE_MAX);
  if (st < 0) {
    if (st != MR_RETRY)
      mr_pipeline_fail(s->p, s, st, &err);
    return false;
  }
  g_autoptr(GBytes) state = mr_saved_one(s->spec->name, s->print, data->data, data->len);
  mr_message_save(barrier, &(struct mr_saved){ls->lane->id, ls->from, state});
  ls->dirty = false;
  return true;
}

static bool is_gone(struct mr_stage *s, const struct mr_lane_self *ls)
{
  pthread_mutex_lock(&s->p->lock);
  bool gone = ls->lane->gone;
  pthread_mutex_unlock(&s->p->lock);
  return gone;
}

/* Lanes of the message that this instance gets rows of. */
static void meet_lanes(struct mr_stage *s, const struct mr_message *m)
{
  uint32_t n = (uint32_t)MAX(s->spec->parallel, 1);
  for (size_t i = 0; i < m->n_lanes; i++) {
    const struct mr_lane *l = mr_lane_table_at(&s->p->lanes, m->lanes[i].lane);
    if (l->id % n == s->instance % n && mr_stage_reaches(l->source, s))
      lane_self(s, l->id, m->kind == MR_MSG_ATTEMPT ? &m->lanes[i].position : NULL);
  }
}

bool mr_state_barrier(struct mr_stage *s, struct mr_message *m)
{
  GHashTableIter i;
  void *p;
  meet_lanes(s, m);
  g_hash_table_iter_init(&i, s->selves);
  while (g_hash_table_iter_next(&i, NULL, &p)) {
    struct mr_lane_self *ls = p;
    if (is_gone(s, ls)) {
      close_self(s, ls);
      g_hash_table_iter_remove(&i);
    } else if (ls->dirty && !save_to(s, ls, m))
      return false;
  }
  return true;
}

void mr_state_attempt(struct mr_stage *s, const struct mr_message *m)
{
  mr_state_close(s);
  meet_lanes(s, m);
}

/* ---- the sink's side */

/* What a lane row can hold at this sink. */
static int64_t room(const struct mr_stage *sink)
{
  const struct mr_sink *v = mr_stage_sink(sink->spec);
  if (v->delivery != MR_TRANSACTIONAL)
    return MR_STATE_MAX;
  return MR_HAS(v, state_bytes) ? MIN(v->state_bytes, MR_STATE_MAX) : 0;
}

static bool gather(struct mr_stage *sink, const struct mr_saved *saved, struct mr_sink_lane *sl)
{
  struct mr_error err = MR_ERROR_INIT;
  GBytes *all = mr_saved_merge(sl->next ? sl->next : sl->state, saved->state);
  if (sl->next)
    g_bytes_unref(sl->next);
  sl->next = all;
  if ((int64_t)g_bytes_get_size(all) <= room(sink))
    return true;
  mr_fail(&err, MR_FATAL,
          "the saved state of lane %s takes %zu bytes, %ld is the most that can be kept with its "
          "position",
          sl->lane->name, g_bytes_get_size(all), (long)room(sink));
  mr_pipeline_fail(sink->p, sink, MR_FATAL, &err);
  return false;
}

enum mr_state_row mr_state_gather(struct mr_stage *sink, const struct mr_message *barrier)
{
  for (guint i = 0; barrier->saved && i < barrier->saved->len; i++) {
    const struct mr_saved *saved = &g_array_index(barrier->saved, struct mr_saved, i);
    struct mr_sink_lane *sl = mr_sink_lane(sink, saved->lane);
    if (!sl || !sl->mine)
      continue;
    /* a unit of the attempt before landed when the stage had begun already */
    if (mr_position_cmp(&saved->from, &sl->base))
      return MR_STATE_VOID;
    if (!gather(sink, saved, sl))
      return MR_STATE_FAILED;
  }
  return MR_STATE_APPLY;
}

void mr_state_mark(struct mr_stage *sink, const struct mr_sink_lane *sl, struct mr_mark *mark)
{
  GBytes *state = mr_saved_ref(sl->next ? sl->next : sl->state);
  gsize n = 0;
  if (!state)
    return;
  mark->state = g_bytes_get_data(state, &n);
  mark->state_len = n;
  g_ptr_array_add(sink->snk.states, state);
}

void mr_state_durable(struct mr_sink_lane *sl)
{
  if (!sl->next)
    return;
  if (sl->state)
    g_bytes_unref(sl->state);
  sl->state = sl->next;
  sl->next = NULL;
}

void mr_state_read(struct mr_sink_lane *sl, const struct mr_mark *row)
{
  if (sl->state)
    g_bytes_unref(sl->state);
  sl->state = row->state_len ? g_bytes_new(row->state, row->state_len) : NULL;
}

void mr_state_drop(struct mr_sink_lane *sl)
{
  if (sl->next)
    g_bytes_unref(sl->next);
  sl->next = NULL;
}

struct known {
  struct mr_stage *sink;
  const struct mr_lane *lane;
};

/* Stages that have left the file, or no longer remember, have nothing to go on with. */
static bool is_known(void *out, const struct mr_saved_entry *e)
{
  const struct known *k = out;
  struct mr_pipeline *p = k->sink->p;
  g_autofree char *name = g_strndup(e->stage, e->stage_len);
  for (guint i = 0; i < p->stages->len; i++) {
    const struct mr_stage *s = p->stages->pdata[i];
    if (s->selves && s->sink == k->sink->spec && !strcmp(s->spec->name, name) &&
        mr_stage_reaches(k->lane->source, s))
      return true;
  }
  mr_pipeline_log(p, k->sink, MR_WARN,
                  "what `%s` saved of lane %s is dropped: no such stage leads here", name,
                  k->lane->name);
  return false;
}

bool mr_state_take(struct mr_stage *sink, struct mr_sink_lane *sl)
{
  struct mr_error err = MR_ERROR_INIT;
  g_autoptr(GBytes) all = g_steal_pointer(&sl->state);
  if (!all || sink->p->reset_state)
    return true;
  if (!mr_saved_valid(all)) {
    mr_fail(&err, MR_FATAL, "the saved state of lane %s cannot be read", sl->lane->name);
    mr_pipeline_fail(sink->p, sink, MR_FATAL, &err);
    return false;
  }
  struct known k = {sink, sl->lane};
  sl->state = mr_saved_filter(all, is_known, &k);
  return true;
}

void mr_sink_lane_free(void *p)
{
  struct mr_sink_lane *sl = p;
  if (sl->state)
    g_bytes_unref(sl->state);
  mr_state_drop(sl);
  g_free(sl);
}
