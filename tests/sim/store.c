/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated store: what it answered is durable. A process may die before or after any call.
 * Owners are compared as the real one does; both processes of a group share it (a store that
 * refuses a deposed owner). */
#include <string.h>
#include "sim.h"

struct store {
  struct mr_store vt;
  struct sim_world *w;
};
static struct sim_world *w_of(struct mr_store *s)
{
  return ((struct store *)s)->w;
}
static int sink_index(const char *sink)
{
  return strcmp(sink, "a") ? 1 : 0;
}
static int lane_index(const char *name)
{
  return strcmp(name, "zero") ? 1 : 0;
}

/* The call was carried out and its answer is lost: it is made again. */
static bool answer_lost(struct mr_store *s, struct mr_error *err)
{
  if (!sim_spend(w_of(s), &w_of(s)->c.store_lost, 6))
    return false;
  sim_trace(w_of(s), "store: answer lost");
  mr_fail(err, MR_RETRY, "no answer of the store");
  return true;
}

static int st_ran(struct mr_store *s, const char *const *key, size_t n, bool set, bool *ret,
                  struct mr_error *err)
{
  sim_yield();
  for (size_t i = 0; i < n; i++) {
    bool *ran = &w_of(s)->ran[g_str_has_suffix(key[i], "/a") ? 0 : 1];
    ret[i] = *ran && (g_str_has_suffix(key[i], "/a") || g_str_has_suffix(key[i], "/b"));
    *ran |= set;
  }
  sim_yield();
  return MR_OK;
}
static int st_take(struct mr_store *s, const char *sink, const char *source,
                   const char *const *lane, size_t n, mr_mark_fn *mark, void *out,
                   struct mr_error *err)
{
  sim_yield();
  for (size_t i = 0; i < n; i++) {
    struct sim_lane_row *r = &w_of(s)->store_rows[sink_index(sink)][lane_index(lane[i])];
    if (!r->exists)
      continue;
    r->owner++;
    struct mr_mark m = {.source = source,
                        .name = lane[i],
                        .upto = r->position,
                        .from = r->from,
                        .owner = r->owner,
                        .run = r->run};
    sim_row_state(w_of(s), r, &m);
    sim_trace(w_of(s), "store: take %s/%s at %lu, owner %lu", sink, lane[i],
              (unsigned long)mr_position_get(&r->position), (unsigned long)r->owner);
    mark(out, &m);
  }
  sim_yield();
  return answer_lost(s, err) ? MR_RETRY : MR_OK;
}
static int st_look(struct mr_store *s, const char *sink, const struct mr_mark *m, size_t n,
                   mr_mark_fn *mark, void *out, struct mr_error *err)
{
  sim_yield();
  for (size_t i = 0; i < n; i++) {
    const struct sim_lane_row *r = &w_of(s)->store_rows[sink_index(sink)][lane_index(m[i].name)];
    struct mr_mark row = {.source = m[i].source,
                          .name = m[i].name,
                          .upto = r->position,
                          .from = r->from,
                          .owner = r->owner,
                          .run = r->run};
    sim_row_state(w_of(s), r, &row);
    if (r->exists)
      mark(out, &row);
  }
  sim_yield();
  return MR_OK;
}
static int st_found(struct mr_store *s, const char *sink, const struct mr_mark *m, size_t n,
                    struct mr_error *err)
{
  sim_yield();
  for (size_t i = 0; i < n; i++) {
    const struct sim_lane_row *r = &w_of(s)->store_rows[sink_index(sink)][lane_index(m[i].name)];
    if (r->exists && (r->founder != s || r->owner != m[i].owner))
      return mr_fail(err, MR_FENCED, "there already");
  }
  for (size_t i = 0; i < n; i++)
    w_of(s)->founded[sink_index(sink)][lane_index(m[i].name)] = mr_position_get(&m[i].upto);
  for (size_t i = 0; i < n; i++)
    w_of(s)->store_rows[sink_index(sink)][lane_index(m[i].name)] =
        (struct sim_lane_row){true, m[i].owner, 0, m[i].upto, m[i].upto, s};
  sim_yield();
  return answer_lost(s, err) ? MR_RETRY : MR_OK;
}
static int st_number(struct mr_store *s, const char *sink, uint64_t *ret, struct mr_error *err)
{
  sim_yield();
  *ret = ++w_of(s)->numbers[sink_index(sink)];
  sim_yield();
  return answer_lost(s, err) ? MR_RETRY : MR_OK;
}

static int st_claim(struct mr_store *s, const char *sink, const char *label,
                    const struct mr_mark *m, size_t n, struct mr_error *err)
{
  sim_yield();
  for (size_t i = 0; i < n; i++) {
    struct sim_lane_row *r = &w_of(s)->store_rows[sink_index(sink)][lane_index(m[i].name)];
    if (r->exists && r->owner == m[i].owner)
      r->label = g_strdup(label);
  }
  sim_yield();
  return answer_lost(s, err) ? MR_RETRY : MR_OK;
}

static int st_claimed(struct mr_store *s, const char *sink, const char *source,
                      const char *const *lane, size_t n, mr_label_fn *label, void *out,
                      struct mr_error *err)
{
  sim_yield();
  for (size_t i = 0; i < n; i++) {
    const struct sim_lane_row *r = &w_of(s)->store_rows[sink_index(sink)][lane_index(lane[i])];
    if (r->label && !(w_of(s)->c.broken & SIM_NO_LABELS))
      label(out, r->label);
  }
  for (size_t i = 0; w_of(s)->c.broken & SIM_ALL_LABELS && i < SIM_LANES; i++)
    if (w_of(s)->store_rows[sink_index(sink)][i].label)
      label(out, w_of(s)->store_rows[sink_index(sink)][i].label);
  sim_yield();
  return MR_OK;
}

static int is(struct sim_world *w, const char *sink, const struct mr_mark *m, bool owner,
              struct mr_error *err)
{
  const struct sim_lane_row *r = &w->store_rows[sink_index(sink)][lane_index(m->name)];
  if (owner && r->owner != m->owner && !(w->c.broken & SIM_NO_FENCE))
    return mr_fail(err, MR_FENCED, "another owner");
  if (mr_position_cmp(&r->position, &m->from) && !(w->c.broken & SIM_NO_FENCE))
    return mr_fail_code(err, MR_FENCED, "position", "moved");
  return MR_OK;
}

static int st_record(struct mr_store *s, const struct mr_pending *p, struct mr_error *err)
{
  struct sim_world *w = w_of(s);
  sim_yield();
  if (sim_recorded(w, p->label))
    return MR_OK; /* the answer was lost */
  for (size_t i = 0; i < p->n; i++) {
    int st = is(w, p->sink, &p->mark[i], true, err);
    if (st < 0)
      return st;
  }
  if (p->state == MR_PENDING_SEALED && !g_hash_table_contains(w->blocks, p->label))
    sim_violate(w, "RECORD of %s without its block", p->label);
  struct sim_pending *c = g_new0(struct sim_pending, 1);
  c->sink = sink_index(p->sink);
  c->label = g_strdup(p->label);
  c->state = p->state;
  c->recorded_us = p->recorded_us;
  c->marks = sim_copy_marks(p->mark, p->n);
  g_ptr_array_add(w->pending, c);
  for (size_t i = 0; i < p->n; i++)
    sim_trace(w, "store: record %s lane %s (%lu, %lu] owner %lu", p->label, p->mark[i].name,
              (unsigned long)mr_position_get(&p->mark[i].from),
              (unsigned long)mr_position_get(&p->mark[i].upto), (unsigned long)p->mark[i].owner);
  sim_yield();
  return answer_lost(s, err) ? MR_RETRY : MR_OK;
}

bool sim_recorded(const struct sim_world *w, const char *label)
{
  for (guint i = 0; i < w->pending->len; i++)
    if (!strcmp(((struct sim_pending *)w->pending->pdata[i])->label, label))
      return true;
  return false;
}

static int find_pending(struct sim_world *w, const char *sink, const char *label)
{
  for (guint i = 0; label && i < w->pending->len; i++) {
    const struct sim_pending *p = w->pending->pdata[i];
    if (p->sink == sink_index(sink) && !strcmp(p->label, label))
      return (int)i;
  }
  return -1;
}

static int st_done(struct mr_store *s, const char *sink, const char *label, const struct mr_mark *m,
                   size_t n, struct mr_error *err)
{
  struct sim_world *w = w_of(s);
  sim_yield();
  if (label && find_pending(w, sink, label) < 0 && !(w->c.broken & SIM_NO_FENCE))
    return mr_fail_code(err, MR_FENCED, "position", "finished by another process");
  for (size_t i = 0; i < n; i++) {
    int st = is(w, sink, &m[i], !label, err);
    if (st < 0)
      return st;
  }
  for (size_t i = 0; i < n; i++) {
    struct sim_lane_row *r = &w->store_rows[sink_index(sink)][lane_index(m[i].name)];
    sim_row_move(w, r, &m[i]);
  }
  int at = find_pending(w, sink, label);
  if (at >= 0)
    g_ptr_array_remove_index(w->pending, (guint)at);
  sim_trace(w, "store: done %s", label ? label : "");
  sim_yield();
  return answer_lost(s, err) ? MR_RETRY : MR_OK;
}
static int st_drop(struct mr_store *s, const char *sink, const char *label, struct mr_error *err)
{
  sim_yield();
  int at = find_pending(w_of(s), sink, label);
  if (at >= 0)
    g_ptr_array_remove_index(w_of(s)->pending, (guint)at);
  sim_yield();
  return MR_OK;
}
static int st_pending(struct mr_store *s, const char *sink, mr_pending_fn *each, void *out,
                      struct mr_error *err)
{
  struct sim_world *w = w_of(s);
  sim_yield();
  for (guint i = 0; i < w->pending->len; i++) {
    const struct sim_pending *c = w->pending->pdata[i];
    if (c->sink != sink_index(sink))
      continue;
    struct mr_pending p = {.sink = sink,
                           .label = c->label,
                           .state = c->state,
                           .recorded_us = c->recorded_us,
                           .n = c->marks->len,
                           .mark = (const struct mr_mark *)(void *)c->marks->data};
    each(out, &p, err);
  }
  return MR_OK;
}
static int st_block_put(struct mr_store *s, const char *label, const void *data, size_t len,
                        struct mr_error *err)
{
  sim_yield();
  g_hash_table_insert(w_of(s)->blocks, g_strdup(label), g_bytes_new(data, len));
  sim_yield();
  return MR_OK;
}
static int st_block_get(struct mr_store *s, const char *label, void **give, size_t *ret_len,
                        struct mr_error *err)
{
  sim_yield();
  GBytes *b = g_hash_table_lookup(w_of(s)->blocks, label);
  if (!b && !sim_recorded(w_of(s), label))
    return mr_fail(err, MR_FENCED, "finished by another process");
  if (!b)
    return mr_fail(err, MR_FATAL, "no block %s", label);
  gsize n;
  const void *p = g_bytes_get_data(b, &n);
  *give = g_memdup2(p, n);
  *ret_len = n;
  return MR_OK;
}
static int st_block_drop(struct mr_store *s, const char *label, struct mr_error *err)
{
  sim_yield();
  g_hash_table_remove(w_of(s)->blocks, label);
  return MR_OK;
}
static void st_free(struct mr_store *s)
{
  g_free(s);
}

struct mr_store *sim_store_new(struct sim_world *w)
{
  struct store *s = g_new0(struct store, 1);
  s->vt = (struct mr_store){.ran = st_ran,
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
                            .free = st_free};
  s->w = w;
  return &s->vt;
}
