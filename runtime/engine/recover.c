/* SPDX-License-Identifier: Apache-2.0 */
/* Start: what a predecessor left is finished by its record alone. */
#include "engine/commit.h"

#define CLOCK_SLACK_US \
  60000000 /* a wall clock set back by more than this says nothing of a record's age */

struct copied {
  struct mr_unit u;
  struct mr_mark *marks;
  char *label;
  enum mr_pending_state state;
  int64_t recorded_us;
};

static void copied_free(void *p)
{
  struct copied *c = p;
  for (uint32_t i = 0; i < c->u.n; i++) {
    g_free((char *)c->marks[i].source);
    g_free((char *)c->marks[i].name);
    g_free((void *)c->marks[i].state);
  }
  g_free(c->marks);
  g_free(c->label);
  g_free(c);
}

static int on_pending(void *out, const struct mr_pending *p, struct mr_error *err)
{
  struct copied *c = g_new0(struct copied, 1);
  c->marks = g_memdup2(p->mark, p->n * sizeof *p->mark);
  for (size_t i = 0; i < p->n; i++) {
    c->marks[i].source = g_strdup(p->mark[i].source);
    c->marks[i].name = g_strdup(p->mark[i].name);
    c->marks[i].state = g_memdup2(p->mark[i].state, p->mark[i].state_len);
  }
  c->label = g_strdup(p->label);
  c->state = p->state;
  c->recorded_us = p->recorded_us;
  c->u = (struct mr_unit){
      .size = sizeof c->u, .n = (uint32_t)p->n, .label = c->label, .mark = c->marks};
  g_ptr_array_add(out, c);
  return MR_OK;
}

static int finish_block(struct mr_stage *s, struct mr_unit *u, struct mr_error *err)
{
  MR_AUTOFREE void *data = NULL;
  size_t len = 0;
  int st = STORE_TRY(s, err,
                     mr_commit_store(s)->block_get(mr_commit_store(s), u->label, &data, &len, err));
  if (st == MR_FENCED)
    return MR_COMMIT_DONE; /* finished meanwhile */
  return st ? st : mr_commit_send_kept(s, u, data, len, false, err);
}

static bool concerns(const struct mr_unit *u, const char *source, const char *const *lane, size_t n)
{
  for (uint32_t i = 0; i < u->n; i++)
    for (size_t k = 0; k < n; k++)
      if (!strcmp(u->mark[i].source, source) && !strcmp(u->mark[i].name, lane[k]))
        return true;
  return false;
}

/* Of a record of another process, by the wall clock. */
static int64_t age_us(const struct mr_stage *s, int64_t recorded_us)
{
  int64_t age = s->p->os->wall_us(s->p->os) - recorded_us;
  return age >= 0 ? age : age > -CLOCK_SLACK_US ? 0 : INT64_MAX / 4;
}

/* Rolls a label back that may be prepared, or about to be, until the target confirms it. */
static int sweep_label(struct mr_stage *s, const char *label, struct mr_error *err)
{
  struct mr_unit u = {.size = sizeof u, .run = s->p->run, .label = label};
  u.pipeline = s->p->spec->name, u.sink = s->spec->name;
  for (int st, tries = 1;;) {
    mr_error_clear(err);
    st = mr_commit_sink(s)->resolve(s->self, label, err);
    bool held = st == MR_PREPARED || st == MR_RUNNING; /* running: it was being loaded */
    if (held)
      st = mr_commit_sink(s)->abort(s->self, &u, err);
    if (st >= 0)
      return MR_COMMIT_DONE;
    err->unit_lost = false; /* not aborted: another process may have committed it since */
    st = mr_commit_failed(s, st == MR_UNSURE || (held && st == MR_FATAL) ? MR_RETRY : st, err,
                          &tries);
    if (st)
      return st;
  }
}

static void on_claimed(void *out, const char *label)
{
  g_hash_table_add(out, g_strdup(label));
}

/* Whoever had these lanes may have died between prepare and record, which holds a transaction of
 * the target. Now that they are taken its unit cannot be recorded; what is recorded is not touched.
 */
static int sweep(struct mr_stage *s, const GPtrArray *pending, const char *source,
                 const char *const *lane, size_t n, struct mr_error *err)
{
  g_autoptr(GHashTable) labels = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  struct mr_store *st = mr_commit_store(s);
  int status =
      STORE_CALL(s, err, st->claimed(st, s->spec->name, source, lane, n, on_claimed, labels, err));
  for (guint i = 0; i < pending->len; i++)
    g_hash_table_remove(labels, ((const struct copied *)pending->pdata[i])->label);
  g_autofree void **label = g_hash_table_get_keys_as_array(labels, NULL);
  for (guint i = 0; !status && label[i]; i++)
    status = sweep_label(s, label[i], err);
  return status;
}

bool mr_commit_recover(struct mr_stage *s, const char *source, const char *const *lane, size_t n,
                       bool *ret_finished)
{
  struct mr_error err = MR_ERROR_INIT;
  uint32_t class = mr_commit_sink(s)->delivery;
  if (class != MR_TWO_PHASE && class != MR_IDEMPOTENT)
    return true;
  g_autoptr(GPtrArray) pending = g_ptr_array_new_with_free_func(copied_free);
  int st = STORE_CALL(
      s, &err,
      (g_ptr_array_set_size(pending, 0),
       mr_commit_store(s)->pending(mr_commit_store(s), s->spec->name, on_pending, pending, &err)));
  if (!st && class == MR_TWO_PHASE)
    st = sweep(s, pending, source, lane, n, &err);
  s->snk.recovering = true;
  for (guint i = 0; !st && i < pending->len; i++) {
    struct copied *c = pending->pdata[i];
    if (!concerns(&c->u, source, lane, n))
      continue;
    *ret_finished = true;
    c->u.pipeline = s->p->spec->name;
    c->u.sink = s->spec->name;
    s->snk.recorded_wall_us = c->recorded_us;
    s->snk.recorded_us = mr_now_us(s->p->os) - age_us(s, c->recorded_us);
    st = c->state == MR_PENDING_SEALED ? finish_block(s, &c->u, &err)
                                       : mr_commit_finish_label(s, &c->u, true, &err);
    if (st == MR_COMMIT_AGAIN)
      st = MR_COMMIT_DONE; /* it did not land: the rows are read again */
  }
  s->snk.recovering = false;
  return st == MR_COMMIT_DONE;
}
