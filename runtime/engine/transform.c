/* SPDX-License-Identifier: Apache-2.0 */
/* A transform's loop. A row that it refuses is cut out and the rest goes on. */
#include "engine/engine.h"
#include "data/array.h"
#include "data/types.h"

static const struct mr_transform *vt(const struct mr_stage *s)
{
  return s->spec->plugin->transform;
}

static int apply_rows(struct mr_stage *s, struct mr_batch *b);

static int send_batch(struct mr_stage *s, struct mr_batch *b)
{
  struct mr_message *m = mr_message_batch(&s->p->budget, s->out, b);
  if (!m)
    g_error("out of memory");
  m->since = s->since;
  return mr_stage_send(s, m) ? MR_OK : MR_FATAL;
}

/* Applies rows [from, from + n) of b. */
static int apply_slice(struct mr_stage *s, struct mr_batch *b, int64_t from, int64_t n)
{
  struct mr_batch part = *b;
  if (!n)
    return MR_OK;
  if (!mr_rows_slice(&b->rows, from, n, &part.rows))
    g_error("out of memory");
  int st = apply_rows(s, &part);
  mr_array_release(&part.rows);
  return st;
}

/* Row err->row (or, unknown, some row) of b can never pass: a letter for it, the others go on in
 * their order. */
static int isolate(struct mr_stage *s, struct mr_batch *b, const struct mr_error *err)
{
  int64_t n = b->rows.length, k = err->row;
  if (n > 1 && (k < 0 || k >= n)) {
    int st = apply_slice(s, b, 0, n / 2);
    return st < 0 ? st : apply_slice(s, b, n / 2, n - n / 2);
  }
  k = n > 1 ? k : 0;
  int st = apply_slice(s, b, 0, k);
  if (st < 0)
    return st;
  g_ptr_array_add(s->letters, mr_letter_new(s, b, k, err->code, err->msg, NULL));
  mr_stage_settle(s, true);
  return apply_slice(s, b, k + 1, n - k - 1);
}

static int apply_rows(struct mr_stage *s, struct mr_batch *b)
{
  struct mr_batch *in = b;
  for (int tries = 1;;) {
    struct mr_error err = MR_ERROR_INIT;
    struct mr_batch out = {.size = sizeof out,
                           .lane = b->lane,
                           .upto = b->upto,
                           .watermark_us = b->watermark_us,
                           .id = b->id};
    int st = vt(s)->apply(s->self, in, &out, &err);
    if (st == MR_REJECT && in && b->rows.length) {
      mr_stage_settle(s, false);
      return isolate(s, b, &err);
    }
    if (st == MR_RETRY) {
      mr_stage_settle(s, false);
      if (!mr_stage_backoff(s, tries++, &err))
        return MR_FATAL;
      continue;
    }
    if (st < 0) {
      mr_pipeline_fail(s->p, s, st, &err);
      return st;
    }
    mr_stage_settle(s, true);
    if (st != MR_IDLE && send_batch(s, &out) < 0)
      return MR_FATAL;
    if (st != MR_MORE)
      return MR_OK;
    in = NULL;
  }
}

static bool on_shape(struct mr_stage *s, struct mr_shape *in);

static bool apply_message(struct mr_stage *s, struct mr_message *m)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_batch b;
  if (s->when && mr_when_apply(s->when, s, &m, &err) < 0) {
    mr_pipeline_fail(s->p, s, MR_FATAL, &err);
    mr_message_unref(m);
    return false;
  }
  int64_t t = mr_now_us(s->p->os), rows = m->batch.rows.length;
  if (!mr_message_lend(m, &b))
    g_error("out of memory");
  atomic_fetch_add_explicit(&s->rows_in, rows, memory_order_relaxed);
  int st = apply_rows(s, &b);
  mr_array_release(&b.rows);
  mr_message_unref(m);
  atomic_fetch_add_explicit(&s->busy_us, mr_now_us(s->p->os) - t, memory_order_relaxed);
  return st >= 0;
}

/* No rows, but their position: readers follow the stream without a gap. */
static bool pass_position(struct mr_stage *s, const struct mr_batch *b)
{
  const struct ArrowSchema *out = &s->out->schema;
  struct mr_batch none = *b;
  g_autofree struct mr_column *c = g_new0(struct mr_column, out->n_children + 1);
  for (int64_t i = 0; i < out->n_children; i++)
    if (!mr_column_init(&c[i], out->children[i]))
      g_error("out of memory");
  memset(&none.rows, 0, sizeof none.rows);
  if (!mr_rows_finish(c, out->n_children, 0, &none.rows))
    g_error("out of memory");
  for (int64_t i = 0; i < out->n_children; i++)
    mr_column_done(&c[i]);
  return send_batch(s, &none) >= 0;
}

/* Stages that keep state see each row of a lane once, from where their sink stands. */
static bool apply_to_lane(struct mr_stage *s, struct mr_message *m)
{
  bool ok = true;
  switch (mr_state_enter(s, &m->batch)) {
  case MR_STATE_APPLY:
    ok = apply_message(s, m);
    mr_state_leave(s);
    return ok;
  case MR_STATE_PAST: ok = pass_position(s, &m->batch); break;
  case MR_STATE_FAILED: ok = false; break;
  default: break;
  }
  mr_message_unref(m);
  return ok;
}

static bool on_batch(struct mr_stage *s, struct mr_message *m)
{
  s->since = m->since;
  if (!s->in && !on_shape(s, m->shape)) { /* of an input that was known before the others */
    mr_message_unref(m);
    return false;
  }
  return s->selves ? apply_to_lane(s, m) : apply_message(s, m);
}

/* Tells the readers what comes out now. */
static bool announce(struct mr_stage *s)
{
  struct mr_shape *out;
  if (!mr_stage_shape(s, &out))
    return false;
  if (!out)
    return true;
  mr_shape_unref(s->out);
  s->out = out;
  struct mr_message *m = mr_message_control(MR_MSG_SHAPE, 0);
  m->shape = mr_shape_ref(out);
  return mr_stage_send(s, m);
}

/* A first or another input schema: open or evolve, then tell the readers what comes out now. */
static bool on_shape(struct mr_stage *s, struct mr_shape *in)
{
  struct mr_error err = MR_ERROR_INIT;
  if (s->in && mr_schema_equal(&s->in->schema, &in->schema, NULL))
    return true; /* the second of inputs that agree */
  if (!s->in) {
    if (!mr_stage_open(s, in) || !mr_stage_start(s))
      return false;
  } else {
    int st = mr_stage_evolve(s, &in->schema, &err);
    if (st < 0) {
      mr_pipeline_fail(s->p, s, st, &err);
      return false;
    }
    mr_shape_unref(s->in);
    s->in = mr_shape_ref(in);
    s->open.in = &s->in->schema;
  }
  mr_when_free(s->when);
  s->when = NULL;
  if (s->spec->when && !(s->when = mr_when_new(s, &in->schema, &err))) {
    mr_pipeline_fail(s->p, s, MR_BADCONF, &err);
    return false;
  }
  return announce(s);
}

bool mr_transform_handle(struct mr_stage *s, struct mr_message *m)
{
  bool ok = true;
  switch (m->kind) {
  case MR_MSG_BATCH: return on_batch(s, m);
  case MR_MSG_SHAPE:
    ok = on_shape(s, m->shape);
    mr_message_unref(m);
    return ok;
  case MR_MSG_BARRIER:
    m->lettered |= s->letters->len > 0;
    if (s->letters->len)
      ok = mr_letters_flush(s, s->letters);
    s->letters_kept = 0;
    if (s->selves && !mr_state_barrier(s, m))
      ok = false;
    return mr_stage_send(s, m) && ok;
  case MR_MSG_ATTEMPT:
    if (s->selves)
      mr_state_attempt(s, m);
    g_ptr_array_set_size(s->letters, 0);
    s->letters_kept = 0;
    return mr_stage_send(s, m);
  default: mr_message_unref(m); return false;
  }
}

void mr_transform_run(void *stage)
{
  struct mr_stage *s = stage;
  struct mr_pipeline *p = s->p;
  bool go = !s->opened || mr_stage_start(s);
  if (go && s->opened && !s->out) /* what comes out is known since start only */
    go = announce(s);
  while (go && mr_stopping(p) != MR_ABORT) {
    uint32_t seen = mr_event_seen(&s->event);
    struct mr_message *m = mr_stage_next(s);
    if (m)
      go = mr_transform_handle(s, m);
    else
      mr_stage_wait(s, seen, mr_stage_behind(s) ? 20000 : 500000);
  }
  mr_stage_end(s);
}
