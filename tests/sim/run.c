/* SPDX-License-Identifier: Apache-2.0 */
/* One seed: builds the world, runs processes until one finishes everything, checks what is in the
 * target. */
#include <stdio.h>
#include <string.h>
#include "sim.h"

#define MAX_STEPS 400000
#define RESTART_US 200000

uint64_t sim_draw(struct sim_world *w, uint64_t n)
{
  w->rng += 0x9e3779b97f4a7c15u; /* splitmix64 */
  uint64_t z = w->rng;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return n ? z % n : 0;
}

bool sim_spend(struct sim_world *w, int *budget, unsigned one_in)
{
  if (*budget <= 0 || sim_draw(w, one_in))
    return false;
  --*budget;
  return true;
}

void sim_trace(struct sim_world *w, const char *fmt, ...)
{
  if (!w->c.trace)
    return;
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "%9ld P%d ", (long)w->now, sim_current_proc());
  vfprintf(stderr, fmt, ap);
  fputc('\n', stderr);
  va_end(ap);
}

void sim_violate(struct sim_world *w, const char *fmt, ...)
{
  va_list ap;
  if (w->violation)
    return;
  va_start(ap, fmt);
  w->violation = g_strdup_vprintf(fmt, ap);
  va_end(ap);
  sim_trace(w, "VIOLATION %s", w->violation);
}

/* ---- a process */

struct proc {
  struct sim_world *w;
  int number;
  int64_t restart_at, paused_until;
  bool finished, stopped;
};
static struct proc procs[SIM_PROCS];

static struct mr_stage_spec *stage(struct mr_spec *spec, enum mr_stage_kind kind, const char *name,
                                   const struct mr_plugin *plugin, struct sim_world *w,
                                   const char *input)
{
  struct mr_stage_spec *s = g_new0(struct mr_stage_spec, 1);
  s->kind = kind;
  s->name = g_strdup(name);
  s->plugin = plugin;
  s->parallel = 1;
  struct sim_sink_conf *c = g_new0(struct sim_sink_conf, 1);
  c->w = w;
  c->sink = strcmp(name, "a") ? 1 : 0;
  s->conf = c;
  if (input) {
    s->input = g_new0(char *, 2);
    s->input[0] = g_strdup(input);
  }
  if (kind != MR_STAGE_DEAD_LETTER)
    g_ptr_array_add(spec->stages, s);
  return s;
}

static struct mr_spec *spec_new(struct sim_world *w)
{
  struct mr_spec *spec = g_new0(struct mr_spec, 1);
  spec->name = g_strdup("sim");
  spec->stages = g_ptr_array_new();
  spec->lookups = g_ptr_array_new();
  spec->settings = (struct mr_settings){.checkpoint_ms = 10,
                                        .batch_rows = 4,
                                        .batch_bytes = 1 << 20,
                                        .linger_ms = 3,
                                        .memory = w->c.memory ? w->c.memory : 1 << 20,
                                        .shutdown_ms = 30000};
  stage(spec, MR_STAGE_SOURCE, "src", &sim_source, w, NULL);
  stage(spec, MR_STAGE_TRANSFORM, "t", &sim_transform, w, "src");
  if (w->c.stateful)
    stage(spec, MR_STAGE_TRANSFORM, "n", &sim_number, w, "t");
  const char *last = w->c.stateful ? "n" : "t";
  stage(spec, MR_STAGE_SINK, "a", sim_sink_plugin(w->c.delivery), w, last);
  if (w->c.two_sinks)
    stage(spec, MR_STAGE_SINK, "b", sim_sink_plugin(w->c.delivery), w, last);
  spec->dead_letter = stage(spec, MR_STAGE_DEAD_LETTER, "dead_letter", &sim_letters_sink, w, NULL);
  return spec;
}

static void on_log(void *ctx, int level, const char *name, const char *text)
{
  struct proc *p = ctx;
  sim_trace(p->w, "log %s: %s", name ? name : "", text);
}

static void process(void *arg)
{
  struct proc *p = arg;
  struct mr_error err = MR_ERROR_INIT;
  const char *where = NULL;
  p->w->life[p->number]++;
  struct mr_pipeline_options o = {.os = sim_os_new(p->w, p->number),
                                  .store = sim_store_new(p->w),
                                  .once = true,
                                  .log = on_log,
                                  .ctx = p};
  struct mr_pipeline *pl = mr_pipeline_new(spec_new(p->w), &o, &err, &where);
  sim_trace(p->w, "process starts");
  int st = pl ? mr_pipeline_run(pl) : MR_FATAL;
  bool unreachable;
  const char *why = pl ? mr_pipeline_failure(pl, &unreachable) : err.msg;
  sim_trace(p->w, "process ends: %d %s", st, why ? why : "");
  if (st >= 0)
    p->finished = true;
  else if (why && strstr(why, p->w->c.window_ms ? "may no longer know" : "no longer knows"))
    p->stopped = true;
  else if (why && (sim_group(&p->w->c) || (!strstr(why, "owner") && !strstr(why, "moved") &&
                                           !strstr(why, "there already"))))
    sim_violate(p->w, "FAILED: %s", why);
  p->restart_at = p->w->now + 1 + (int64_t)sim_draw(p->w, RESTART_US);
}

/* ---- the environment */

const struct sim_lane_row *sim_durable(const struct sim_world *w, int sink, int lane)
{
  return w->c.delivery == MR_TRANSACTIONAL ? &w->rows[sink][lane] : &w->store_rows[sink][lane];
}

/* Every lane of every sink stands at its end, and nothing is on its way. */
static bool all_done(struct sim_world *w)
{
  bool stopped = procs[0].stopped || procs[1].stopped;
  if (stopped)
    return true;
  if (w->pending->len || w->requests->len)
    return false;
  for (int s = 0; s < (w->c.two_sinks ? 2 : 1); s++)
    for (int l = 0; l < SIM_LANES; l++) {
      const struct sim_lane_row *r = sim_durable(w, s, l);
      if (!r->exists || mr_position_get(&r->position) < (uint64_t)w->c.rows[l])
        return false;
    }
  return true;
}

static void move_lane(struct sim_world *w)
{
  int l = (int)sim_draw(w, SIM_LANES);
  w->owner_of[l] = 1 - w->owner_of[l];
  w->generation[l]++;
  sim_trace(w, "lane %d moves to P%d", l, w->owner_of[l]);
}

static void forget_label(struct sim_world *w)
{
  if (!w->labels->len || sim_draw(w, 2))
    return;
  guint i = (guint)sim_draw(w, w->labels->len);
  const struct sim_label *l = w->labels->pdata[i];
  if (l->state == MR_PREPARED)
    return;
  sim_trace(w, "target forgets %s", l->label);
  g_ptr_array_remove_index_fast(w->labels, i);
  w->forgot = true;
}

static int64_t between(struct sim_world *w)
{
  int64_t next = INT64_MAX;
  sim_land_due(w);
  for (int i = 0; i < w->c.procs; i++) {
    struct proc *p = &procs[i];
    if (sim_alive(i) && sim_spend(w, &w->c.crashes, 150)) {
      sim_trace(w, "CRASH of P%d", i);
      sim_kill(w, i);
      p->restart_at = w->now + 1 + (int64_t)sim_draw(w, RESTART_US);
    }
    bool again = !p->stopped &&
                 (!p->finished ||
                  !all_done(w)); /* after a crash it comes up once more, to repeat its marks */
    if (p->restart_at && w->now >= p->restart_at && again) {
      p->restart_at = 0;
      p->finished = false;
      sim_kill(w, i);
      sim_start(w, i, process, p);
    }
    if (p->restart_at && again && !p->stopped)
      next = MIN(next, p->restart_at);
  }
  if (w->c.procs > 1 && sim_spend(w, &w->c.moves, 300))
    move_lane(w);
  if (sim_spend(w, &w->c.pauses, 300))
    sim_pause(w, (int)sim_draw(w, (uint64_t)w->c.procs), (int64_t)sim_draw(w, 1000000));
  if (w->c.delivery == MR_TWO_PHASE && sim_spend(w, &w->c.forgotten, 200))
    forget_label(w);
  return next;
}

/* ---- the check */

/* The letter of the row that counts for the sink, NULL: none. */
static const struct sim_letter *counted(const struct sim_world *w, int sink, int lane,
                                        int64_t position)
{
  const char *name = sink ? "b" : "a";
  for (guint i = 0; i < w->letters->len; i++) {
    const struct sim_letter *l = w->letters->pdata[i];
    if (l->mark || l->lane != lane || l->position != position || (l->sink && strcmp(l->sink, name)))
      continue;
    for (guint k = 0; k < w->letters->len; k++) {
      const struct sim_letter *m = w->letters->pdata[k];
      if (w->c.broken & SIM_NO_RUNS)
        return l;
      if (m->mark && m->run == l->run && m->lane == lane && !strcmp(m->sink, name) &&
          m->position <= position && position < m->upto)
        return l;
    }
  }
  return NULL;
}

static void check_id(struct sim_world *w, int sink, int lane, int row, int element)
{
  int n = w->landed[sink][sim_id(lane, (uint64_t)row, element)];
  bool dead = w->kind[lane][row] == 'f' && counted(w, sink, lane, row);
  if (w->c.delivery == MR_PLAIN || w->c.unkept) {
    if (!n && !dead)
      sim_violate(w, "LOST: lane %d row %d in sink %d", lane, row, sink);
    return;
  }
  if (!n && !dead)
    sim_violate(w, "LOST: lane %d row %d element %d in sink %d", lane, row, element, sink);
  if (n && dead)
    sim_violate(w, "BOTH: lane %d row %d in sink %d landed and is a counted letter", lane, row,
                sink);
}

/* A label that nobody recorded is rolled back by the next process, if it had come to be by then. */
static void check_labels(struct sim_world *w, const struct sim_config *c)
{
  for (guint i = 0; i < w->labels->len && c->procs == 1 && !c->late_requests; i++) {
    const struct sim_label *l = w->labels->pdata[i];
    if (l->state == MR_PREPARED)
      sim_violate(w, "LEFT: %s is prepared for ever", l->label);
  }
}

/* Rows that reached the stage that numbers them, in order: those that landed, and those that the
 * sink refused behind it. */
static void check_number(struct sim_world *w, int sink, int lane, int row, int element, int *last)
{
  int64_t id = sim_id(lane, (uint64_t)row, element);
  const struct sim_letter *l = w->kind[lane][row] == 'f' ? counted(w, sink, lane, row) : NULL;
  if (l && !strcmp(l->stage, "t"))
    return;
  ++*last;
  if (!l && w->number[sink][id] != *last)
    sim_violate(w, "STATE: lane %d row %d in sink %d has number %d, not %d", lane, row, sink,
                w->number[sink][id], *last);
}

static void check_numbers(struct sim_world *w, int sink, int lane)
{
  int last = 0;
  for (int r = (int)w->founded[sink][lane]; r < w->c.rows[lane]; r++) {
    if (w->kind[lane][r] == 'd')
      continue;
    check_number(w, sink, lane, r, 0, &last);
    if (w->kind[lane][r] == 'x')
      check_number(w, sink, lane, r, 1, &last);
  }
}

static void check_all(struct sim_world *w)
{
  for (int s = 0; s < (w->c.two_sinks ? 2 : 1); s++)
    for (int l = 0; l < SIM_LANES; l++)
      for (int r = 0; r < w->c.rows[l]; r++) {
        if (w->kind[l][r] == 'd' || (uint64_t)r < w->founded[s][l])
          continue;
        check_id(w, s, l, r, 0);
        if (w->kind[l][r] == 'x')
          check_id(w, s, l, r, 1);
      }
}

void sim_config_draw(struct sim_config *c, uint64_t seed)
{
  struct sim_world w = {.rng = seed * 0x2545f4914f6cdd1du + 1};
  *c = (struct sim_config){.seed = seed};
  c->delivery = 1 + (uint32_t)sim_draw(&w, 4);
  c->procs = 1 + (int)sim_draw(&w, 2);
  c->crashes = (int)sim_draw(&w, 4);
  c->lost_replies = (int)sim_draw(&w, 4);
  c->late_requests = (int)sim_draw(&w, 4);
  c->forgotten = sim_draw(&w, 4) ? 0 : 1;
  c->breaks = (int)sim_draw(&w, 4);
  c->pauses = (int)sim_draw(&w, 3);
  c->late_start = !sim_draw(&w, 4);
  c->memory = sim_draw(&w, 4) ? 0 : 3000;
  c->moves = c->procs > 1 ? (int)sim_draw(&w, 4) : 0;
  c->schema_changes = (int)sim_draw(&w, 2);
  c->flaky = sim_draw(&w, 2);
  c->explode = sim_draw(&w, 2);
  c->two_sinks = sim_draw(&w, 2);
  for (int i = 0; i < SIM_LANES; i++)
    c->rows[i] = (int)sim_draw(&w, SIM_MAX_ROWS);
  c->store_lost = (int)sim_draw(&w, 4);
  c->stateful = sim_draw(&w, 2);
}

static void world_init(struct sim_world *w, const struct sim_config *c)
{
  memset(w, 0, sizeof *w);
  w->c = *c;
  w->rng = c->seed;
  w->labels = g_ptr_array_new();
  w->requests = g_ptr_array_new_with_free_func(sim_request_free);
  w->letters = g_ptr_array_new();
  w->pending = g_ptr_array_new();
  w->blocks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
  for (int l = 0; l < SIM_LANES; l++)
    for (int r = 0; r < c->rows[l]; r++) {
      uint64_t k = sim_draw(w, 8);
      w->kind[l][r] = k == 0 && c->flaky ? 'f' : k == 1 && c->explode ? 'x' : k == 2 ? 'd' : 'n';
    }
  if (c->procs > 1)
    w->owner_of[1] = 1;
  w->sent = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
}

enum sim_result sim_run(const struct sim_config *c, char **ret_violation)
{
  static struct sim_world world;
  struct sim_world *w = &world;
  world_init(w, c);
  sim_reset();
  memset(procs, 0, sizeof procs);
  for (int i = 0; i < c->procs; i++) {
    procs[i] = (struct proc){.w = w, .number = i, .restart_at = 1};
    sim_start(w, i, process, &procs[i]);
    procs[i].restart_at = 0;
  }
  bool ended = sim_schedule(w, MAX_STEPS, between);
  bool stopped = procs[0].stopped || procs[1].stopped;
  if (!ended && !w->violation)
    sim_violate(w, "STUCK: not done after %d steps", MAX_STEPS);
  if (stopped && !w->forgot && !c->window_ms)
    sim_violate(w, "STOPPED although the target forgot nothing");
  if (!stopped && !w->violation)
    check_all(w);
  /* at least once: a deposed process, or a late request, may have written last */
  bool exact = !c->unkept && (c->delivery != MR_PLAIN || c->procs == 1);
  for (int i = 0; c->stateful && exact && !stopped && !w->violation && i < 2 * SIM_LANES; i++)
    if (i < SIM_LANES || c->two_sinks)
      check_numbers(w, i / SIM_LANES, i % SIM_LANES);
  if (!stopped && !w->violation)
    check_labels(w, c);
  *ret_violation = w->violation;
  sim_reset();
  return w->violation ? SIM_VIOLATION : stopped ? SIM_STOPPED : SIM_OK;
}
