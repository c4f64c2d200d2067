/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated targets, one for each delivery class, and the network before them: a request may
 * land at once, later, or never, and its reply may be lost. */
#include <string.h>
#include "sim.h"

struct sink {
  struct sim_world *w;
  int sink;
  GArray *lanes; /* struct mr_mark: of the open unit, when it began */
  GArray *ids;   /* of the open unit */
  bool open;     /* rows were written and not committed or aborted */
};

void sim_request_free(void *p)
{
  struct sim_request *r = p;
  g_free(r->label);
  if (r->ids)
    g_array_unref(r->ids);
  if (r->marks)
    g_array_unref(r->marks);
  if (r->lanes)
    g_array_unref(r->lanes);
  g_free(r);
}

GArray *sim_copy_marks(const struct mr_mark *m, size_t n)
{
  GArray *a = g_array_new(FALSE, TRUE, sizeof *m);
  for (size_t i = 0; i < n; i++) {
    struct mr_mark c = m[i];
    c.name = strcmp(c.name, "zero") ? "one" : "zero";
    c.source = "src";
    c.state = g_memdup2(c.state, c.state_len); /* freed with the process, as it were */
    g_array_append_val(a, c);
  }
  return a;
}

void sim_row_move(struct sim_world *w, struct sim_lane_row *row, const struct mr_mark *m)
{
  row->position = m->upto;
  row->from = m->from;
  row->run = m->run;
  row->old = row->state;
  row->state = m->state_len ? g_bytes_new(m->state, m->state_len) : NULL;
}

void sim_row_state(const struct sim_world *w, const struct sim_lane_row *row, struct mr_mark *ret)
{
  GBytes *state = w->c.broken & SIM_NO_STATE    ? NULL
                  : w->c.broken & SIM_OLD_STATE ? row->old
                                                : row->state;
  gsize n = 0;
  ret->state = state ? g_bytes_get_data(state, &n) : NULL;
  ret->state_len = n;
}

static int lane_index(const char *name)
{
  return strcmp(name, "zero") ? 1 : 0;
}

static void land(struct sim_world *w, int sink, const GArray *ids)
{
  for (guint i = 0; ids && i < ids->len; i++) {
    int64_t id = g_array_index(ids, int64_t, i) & UINT32_MAX;
    w->number[sink][id] = (int)(g_array_index(ids, int64_t, i) >> 32);
    if (++w->landed[sink][id] > 1 && w->c.delivery != MR_PLAIN && !w->c.unkept)
      sim_violate(w, "DUP: id %ld landed twice in sink %d", (long)id, sink);
  }
}

static struct sim_label *label_of(struct sim_world *w, const char *label)
{
  for (guint i = 0; i < w->labels->len; i++) {
    struct sim_label *l = w->labels->pdata[i];
    if (!strcmp(l->label, label))
      return l;
  }
  return NULL;
}

static struct sim_label *label_new(struct sim_world *w, int sink, const char *label, int state,
                                   GArray *ids)
{
  struct sim_label *l = g_new0(struct sim_label, 1);
  l->label = g_strdup(label);
  l->sink = sink;
  l->state = state;
  l->at = w->now;
  l->ids = ids ? g_array_ref(ids) : NULL;
  g_ptr_array_add(w->labels, l);
  return l;
}

/* ---- what the target does with a request; 0 or a status */

static int do_txn(struct sim_world *w, struct sim_request *r, struct mr_error *err)
{
  for (guint i = 0; i < r->marks->len; i++) {
    const struct mr_mark *m = &g_array_index(r->marks, struct mr_mark, i);
    struct sim_lane_row *row = &w->rows[r->sink][lane_index(m->name)];
    bool owner = row->owner == m->owner || w->c.broken & SIM_NO_OWNER;
    if (!row->exists || !owner)
      return mr_fail_code(err, MR_FENCED, "owner", "another owner");
    if (mr_position_cmp(&row->position, &m->from) && !(w->c.broken & SIM_NO_POSITION))
      return mr_fail_code(err, MR_FENCED, "position", "another position");
  }
  for (guint i = 0; i < r->marks->len; i++) {
    const struct mr_mark *m = &g_array_index(r->marks, struct mr_mark, i);
    struct sim_lane_row *row = &w->rows[r->sink][lane_index(m->name)];
    if (mr_position_cmp(&m->upto, &row->position) < 0)
      sim_violate(w, "BACK: position of %s", m->name);
    sim_row_move(w, row, m);
  }
  land(w, r->sink, r->ids);
  return MR_OK;
}

static int do_prepare(struct sim_world *w, struct sim_request *r, struct mr_error *err)
{
  struct sim_label *l = label_of(w, r->label);
  if (l && l->state != MR_ABORTED)
    return mr_fail(err, MR_UNSURE, "label exists");
  if (l)
    return mr_fail(err, MR_RETRY, "label was aborted"), err->unit_lost = true, MR_RETRY;
  l = label_new(w, r->sink, r->label, MR_PREPARED, r->ids);
  l->proc = r->proc;
  l->life = r->life;
  l->lanes = r->lanes ? g_array_ref(r->lanes) : NULL;
  return MR_OK;
}

static int do_commit(struct sim_world *w, struct sim_request *r, struct mr_error *err)
{
  struct sim_label *l = label_of(w, r->label);
  if (!l || l->state == MR_ABORTED)
    return mr_fail(err, MR_UNSURE, "no such transaction");
  if (l->state == MR_PREPARED && !sim_recorded(w, r->label))
    sim_violate(w, "COMMIT of %s before its record", r->label);
  if (l->state == MR_PREPARED)
    land(w, l->sink, l->ids);
  l->state = MR_COMMITTED;
  return MR_OK;
}

/* Is there a process that may record the label yet? */
static bool is_owned(const struct sim_world *w, const struct sim_label *l)
{
  if (!sim_alive(l->proc) || w->life[l->proc] != l->life)
    return false;
  for (guint i = 0; l->lanes && i < l->lanes->len; i++) {
    const struct mr_mark *m = &g_array_index(l->lanes, struct mr_mark, i);
    if (w->store_rows[l->sink][lane_index(m->name)].owner != m->owner)
      return false;
  }
  return true;
}

static int do_abort(struct sim_world *w, struct sim_request *r, struct mr_error *err)
{
  struct sim_label *l = label_of(w, r->label);
  if (!l)
    label_new(w, r->sink, r->label, MR_ABORTED, NULL);
  else if (l->state == MR_PREPARED) {
    if (l->proc != r->proc && is_owned(w, l))
      sim_violate(w, "ABORT of %s by P%d, while P%d may record it", r->label, r->proc, l->proc);
    l->state = MR_ABORTED;
  }
  return MR_OK;
}

static int do_send(struct sim_world *w, struct sim_request *r, struct mr_error *err)
{
  GBytes *bytes = g_bytes_new(r->ids->data, r->ids->len * sizeof(int64_t)),
         *before = g_hash_table_lookup(w->sent, r->label);
  if (before && !g_bytes_equal(before, bytes))
    sim_violate(w, "other bytes under the token %s", r->label);
  g_hash_table_replace(w->sent, g_strdup(r->label), bytes);
  const struct sim_label *known = label_of(w, r->label);
  if (known && w->c.window_ms && w->now - known->at > w->c.window_ms * 1000)
    known = NULL; /* forgotten */
  if (known && !(w->c.broken & SIM_NO_TOKEN))
    return MR_OK;
  label_new(w, r->sink, r->label, MR_COMMITTED, NULL);
  land(w, r->sink, r->ids);
  return MR_OK;
}

static int perform(struct sim_world *w, struct sim_request *r, struct mr_error *err)
{
  int st = r->kind == SIM_TXN       ? do_txn(w, r, err)
           : r->kind == SIM_PREPARE ? do_prepare(w, r, err)
           : r->kind == SIM_COMMIT  ? do_commit(w, r, err)
           : r->kind == SIM_ABORT   ? do_abort(w, r, err)
                                    : do_send(w, r, err);
  sim_trace(w, "target %d: request %d %s -> %d", r->sink, r->kind, r->label ? r->label : "", st);
  return st;
}

void sim_land_due(struct sim_world *w)
{
  for (guint i = 0; i < w->requests->len;) {
    struct sim_request *r = w->requests->pdata[i];
    struct mr_error err = MR_ERROR_INIT;
    if (r->due > w->now) {
      i++;
      continue;
    }
    g_ptr_array_steal_index(w->requests, i);
    perform(w, r, &err);
    sim_request_free(r);
  }
}

/* The network: the sender may die before or after; the request lands now, later or never; its reply
 * may be lost. */
static int request(struct sink *s, enum sim_request_kind kind, const struct mr_unit *u, GArray *ids,
                   struct mr_error *err)
{
  struct sim_world *w = s->w;
  struct sim_request *r = g_new0(struct sim_request, 1);
  r->kind = kind;
  r->sink = s->sink;
  r->label = g_strdup(u->label);
  r->proc = sim_current_proc();
  r->life = w->life[r->proc];
  r->lanes = s->lanes ? g_array_ref(s->lanes) : NULL;
  r->ids = ids ? g_array_ref(ids) : NULL;
  r->marks = sim_copy_marks(u->mark, u->n);
  if (kind != SIM_SEND || !w->c.window_ms) /* a pause behind the look at the clock: not closed */
    sim_yield();
  if (sim_spend(w, &w->c.late_requests, 4)) {
    r->due = w->now + 1 + (int64_t)sim_draw(w, 400000);
    r->holds_lock = kind == SIM_TXN && sim_draw(w, 2);
    g_ptr_array_add(w->requests, r);
    sim_trace(w, "P%d request %d %s is late", sim_current_proc(), kind, r->label);
    sim_yield();
    return mr_fail(err, MR_UNSURE, "no answer");
  }
  bool lost = sim_spend(w, &w->c.lost_replies, 4), never = lost && sim_draw(w, 2);
  int st = never ? MR_UNSURE : perform(w, r, err);
  sim_request_free(r);
  sim_yield();
  return lost ? mr_fail(err, MR_UNSURE, "no answer") : st;
}

/* ---- the sink's calls */

static int sink_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  const struct sim_sink_conf *c = o->conf;
  struct sink *s = g_new0(struct sink, 1);
  s->w = c->w;
  s->sink = c->sink;
  s->ids = g_array_new(FALSE, TRUE, sizeof(int64_t));
  *self = s;
  return MR_OK;
}
static int sink_start(void *self, struct mr_error *err)
{
  struct sink *s = self;
  sim_yield();
  return sim_spend(s->w, &s->w->c.breaks, 6) ? mr_fail(err, MR_RETRY, "not up yet") : MR_OK;
}
static void sink_close(void *self)
{
}

/* Waits while a transaction in flight holds the row of the lane. */
static void wait_for_lock(struct sink *s, int lane)
{
  if (s->w->c.broken & SIM_NO_WAIT)
    return;
  for (bool held = true; held;) {
    held = false;
    for (guint i = 0; i < s->w->requests->len; i++) {
      const struct sim_request *r = s->w->requests->pdata[i];
      for (guint k = 0; r->holds_lock && r->sink == s->sink && k < r->marks->len; k++)
        held |= lane_index(g_array_index(r->marks, struct mr_mark, k).name) == lane;
    }
    if (held)
      sim_sleep(5000);
  }
}

static void give_row(struct sink *s, int lane, const char *name, mr_mark_fn *mark, void *out)
{
  struct sim_lane_row *row = &s->w->rows[s->sink][lane];
  if (!(s->w->c.broken & SIM_NO_WAIT))
    row->owner++;
  struct mr_mark m = {.source = "src",
                      .name = name,
                      .upto = row->position,
                      .from = row->from,
                      .owner = row->owner,
                      .run = row->run};
  sim_row_state(s->w, row, &m);
  mark(out, &m);
}

static int sink_take(void *self, const char *source, const char *const *names, size_t n,
                     mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct sink *s = self;
  sim_yield();
  for (size_t i = 0; i < n; i++) {
    int lane = lane_index(names[i]);
    wait_for_lock(s, lane);
    if (s->w->rows[s->sink][lane].exists)
      give_row(s, lane, names[i], mark, out);
  }
  sim_yield();
  return MR_OK;
}

static int sink_found(void *self, const struct mr_mark *m, size_t n, struct mr_error *err)
{
  struct sink *s = self;
  sim_yield();
  for (size_t i = 0; i < n; i++)
    if (s->w->rows[s->sink][lane_index(m[i].name)].exists)
      return mr_fail(err, MR_FENCED, "there already");
  for (size_t i = 0; i < n; i++)
    s->w->founded[s->sink][lane_index(m[i].name)] = mr_position_get(&m[i].upto);
  for (size_t i = 0; i < n; i++)
    s->w->rows[s->sink][lane_index(m[i].name)] =
        (struct sim_lane_row){true, m[i].owner, 0, m[i].upto, m[i].upto};
  sim_yield();
  return MR_OK;
}

static int sink_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
                       struct mr_error *err)
{
  struct sink *s = self;
  sim_yield();
  for (uint32_t i = 0; i < u->n; i++)
    wait_for_lock(s, lane_index(u->mark[i].name));
  for (uint32_t i = 0; i < u->n; i++)
    if (s->w->rows[s->sink][lane_index(u->mark[i].name)].owner != u->mark[i].owner)
      return mr_fail(err, MR_FENCED, "another owner");
  for (uint32_t i = 0; i < u->n; i++)
    give_row(s, lane_index(u->mark[i].name), u->mark[i].name, mark, out);
  sim_yield();
  return MR_OK;
}

static int sink_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sink *s = self;
  g_array_unref(s->ids); /* a request in flight may hold the old one */
  s->ids = g_array_new(FALSE, TRUE, sizeof(int64_t));
  s->lanes = sim_copy_marks(u->mark, u->n);
  s->open = false;
  return MR_OK;
}

static bool refuses(struct sink *s, char kind)
{
  return kind == 'f' && sim_draw(s->w, 4) == 0;
}

static int sink_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sink *s = self;
  struct mr_view id, kind;
  guint before = s->ids->len;
  sim_yield();
  if (sim_spend(s->w, &s->w->c.breaks, 10)) {
    err->unit_lost = true;
    return mr_fail(err, MR_RETRY, "connection lost");
  }
  mr_view_column(&id, b->schema, &b->rows, 0);
  mr_view_column(&kind, b->schema, &b->rows, 1);
  for (int64_t i = 0; i < b->rows.length; i++) {
    int64_t v = mr_view_int(&id, i);
    if (refuses(s, (char)mr_view_int(&kind, i))) {
      bool whole = sim_draw(s->w, 2), blind = sim_draw(s->w, 2) && b->rows.length > 1;
      g_array_set_size(s->ids, before);
      err->row = blind ? -1 : i;
      err->batch = blind ? 0 : b->id;
      err->unit_lost = whole && !blind;
      return mr_fail_code(err, MR_REJECT, "23514", "refused by the target");
    }
    g_array_append_val(s->ids, v);
    s->open = true;
  }
  return MR_OK;
}

static int sink_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sink *s = self;
  s->open = false;
  if (s->w->c.delivery == MR_TWO_PHASE)
    return request(s, SIM_COMMIT, u, NULL, err);
  if (s->w->c.delivery == MR_TRANSACTIONAL)
    return request(s, SIM_TXN, u, s->ids, err);
  sim_yield();
  land(s->w, s->sink, s->ids);
  sim_yield();
  if (sim_spend(s->w, &s->w->c.lost_replies, 4))
    return mr_fail(err, MR_UNSURE, "no answer");
  return MR_OK;
}

static int sink_prepare(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sink *s = self;
  return request(s, SIM_PREPARE, u, s->ids, err);
}

static int sink_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sink *s = self;
  s->open = false;
  return s->w->c.delivery == MR_TWO_PHASE ? request(s, SIM_ABORT, u, NULL, err) : MR_OK;
}

static int sink_resolve(void *self, const char *label, struct mr_error *err)
{
  struct sink *s = self;
  sim_yield();
  const struct sim_label *l = label_of(s->w, label);
  int state = l ? l->state : MR_UNKNOWN;
  sim_yield();
  return state;
}

static int sink_seal(void *self, const struct mr_unit *u, mr_put_fn *put, void *out,
                     struct mr_error *err)
{
  struct sink *s = self;
  sim_yield();
  s->open = false;
  put(out, s->ids->data, s->ids->len * sizeof(int64_t));
  return s->w->c.unkept ? MR_IDLE : MR_OK;
}

static int64_t sink_window(void *self)
{
  const struct sim_world *w = ((struct sink *)self)->w;
  return w->c.broken & SIM_NO_WINDOW ? 0 : w->c.window_ms;
}

static int sink_send(void *self, const char *token, const void *block, size_t len,
                     struct mr_error *err)
{
  struct sink *s = self;
  struct mr_unit u = {.size = sizeof u, .label = token};
  if (!s->w->c.unkept && !sim_recorded(s->w, token) && !label_of(s->w, token))
    sim_violate(s->w, "SEND of %s before its record", token);
  g_autoptr(GArray) ids = g_array_new(FALSE, TRUE, sizeof(int64_t));
  g_array_append_vals(ids, block, (guint)(len / sizeof(int64_t)));
  return request(s, SIM_SEND, &u, ids, err);
}

static int sink_evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  struct sink *s = self;
  if (s->open)
    sim_violate(s->w, "EVOLVE inside a unit");
  sim_yield();
  return MR_OK;
}

#define COMMON(class)                                                                        \
  .size = sizeof(struct mr_sink), .delivery = class, .open = sink_open, .start = sink_start, \
  .begin = sink_begin, .write = sink_write, .commit = sink_commit, .abort = sink_abort,      \
  .evolve = sink_evolve, .close = sink_close
static const struct mr_sink transactional = {COMMON(MR_TRANSACTIONAL), .state_bytes = 1000,
                                             .take = sink_take, .found = sink_found,
                                             .reread = sink_reread};
static const struct mr_sink two_phase = {COMMON(MR_TWO_PHASE), .prepare = sink_prepare,
                                         .resolve = sink_resolve};
static const struct mr_sink idempotent = {COMMON(MR_IDEMPOTENT), .seal = sink_seal,
                                          .send = sink_send, .window = sink_window};
static const struct mr_sink plain = {COMMON(MR_PLAIN)};
#define PLUGIN(name_, vt)                                                                       \
  {                                                                                             \
    .abi = MR_ABI, .size = sizeof(struct mr_plugin), .conf_size = sizeof(struct sim_sink_conf), \
    .name = name_, .sink = vt                                                                   \
  }
static const struct mr_plugin plugins[] = {
    PLUGIN("sim_plain", &plain), PLUGIN("sim_idempotent", &idempotent),
    PLUGIN("sim_two_phase", &two_phase), PLUGIN("sim_transactional", &transactional)};

const struct mr_plugin *sim_sink_plugin(uint32_t delivery)
{
  return &plugins[delivery - 1];
}
