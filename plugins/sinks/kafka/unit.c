/* SPDX-License-Identifier: Apache-2.0 */
/* The transactional class: docs/protocol.md. */
#include <stdlib.h>
#include "kafka.h"

static struct kfs_producer *producer_of(struct kfs *s, const char *source, const char *lane,
                                        struct mr_error *err)
{
  struct kfs_producer *p = kfs_producer_of(s, source, lane);
  if (!p)
    src_no_memory(err);
  return p;
}

/* A producer that fences its predecessors, and rows as they are since. */
static int fresh(struct kfs_producer *p, struct mr_error *err)
{
  int r = kfs_producer_ready(p, KFS_CALL_MS, err);
  if (r < 0 || !p->stale)
    return r;
  r = kfs_offsets_read(p->sink, KFS_CALL_MS, err);
  if (r >= 0)
    p->stale = false;
  return r;
}

static bool belongs(const struct kfs_row *row, const struct kfs_producer *p)
{
  return !p->lane || (!strcmp(row->lane, p->lane) && !strcmp(row->source, p->source));
}

static int send_unsaved(struct kfs_producer *p, struct mr_error *err)
{
  struct kfs *s = p->sink;
  int r = MR_OK;
  for (size_t i = 0; r >= 0 && i < s->n_row; i++)
    if (s->row[i]->unsaved && belongs(s->row[i], p))
      r = kfs_row_send(p, s->row[i], err);
  return r;
}

static void saved(struct kfs_producer *p)
{
  struct kfs *s = p->sink;
  for (size_t i = 0; i < s->n_row; i++)
    if (belongs(s->row[i], p))
      s->row[i]->unsaved = false;
}

/* Rows that wait get a transaction of their own, or go with the unit that is open. A lost answer is
 * found out when the rows are read again. */
static int save(struct kfs_producer *p, struct mr_error *err)
{
  if (p->open)
    return MR_OK;
  int r = kfs_producer_begin(p, err);
  if (r >= 0)
    r = send_unsaved(p, err);
  if (r >= 0)
    r = kfs_producer_commit(p, p->sink->conf->commit_timeout_ms, err);
  else
    kfs_producer_abort(p);
  err->unit_lost = false;
  if (r >= 0)
    saved(p);
  return r == MR_UNSURE || r == MR_REJECT ? MR_RETRY : r;
}

static int save_all(struct kfs *s, struct mr_error *err)
{
  for (size_t i = 0; i < s->n_row; i++) {
    if (!s->row[i]->unsaved)
      continue;
    struct kfs_producer *p = producer_of(s, s->row[i]->source, s->row[i]->lane, err);
    int r = p ? save(p, err) : MR_FATAL;
    if (r < 0)
      return r;
  }
  return MR_OK;
}

static void give(const struct kfs_row *row, mr_mark_fn *mark, void *out)
{
  struct mr_mark m = {.source = row->source,
                      .name = row->lane,
                      .from = row->from,
                      .upto = row->position,
                      .owner = row->owner,
                      .rows = row->rows,
                      .run = row->run,
                      .state = row->state,
                      .state_len = row->state_len};
  mark(out, &m);
}

static int taken_over(const struct kfs_row *row, struct mr_error *err)
{
  return src_fail(err, MR_FENCED, "owner", "lane %s of %s was taken over by another process",
                  row->lane, row->source);
}

static int vanished(struct kfs *s, const struct mr_mark *m, struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "vanished", "lane %s of %s has no row in topic %s any more",
                  m->name, m->source, s->conf->offsets_topic);
}

/* ---------------------------------------------------------------- lanes */

int kfs_start(void *self, struct mr_error *err)
{
  int partitions;
  return kfs_topics_ready(self, true, &partitions, err);
}

int kfs_take(void *self, const char *source, const char *const *lane, size_t n, mr_mark_fn *mark,
             void *out, struct mr_error *err)
{
  struct kfs *s = self;
  if (!s->taken)
    kfs_producer_drop(&s->plain);
  s->taken = true;
  for (size_t i = 0; i < n; i++) {
    struct kfs_producer *p = producer_of(s, source, lane[i], err);
    int r = p ? fresh(p, err) : MR_FATAL;
    if (r < 0)
      return r;
    struct kfs_row *row = kfs_row_find(s, source, lane[i]);
    if (!row)
      continue;
    row->owner++;
    row->mine = row->unsaved = true;
  }
  int r = save_all(s, err);
  for (size_t i = 0; r >= 0 && i < n; i++) {
    const struct kfs_row *row = kfs_row_find(s, source, lane[i]);
    if (row)
      give(row, mark, out);
  }
  return r;
}

/* A row that waits to be saved is ours: the last try's. */
int kfs_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err)
{
  struct kfs *s = self;
  for (size_t i = 0; i < n; i++) {
    const struct mr_mark *m = &lend[i];
    struct kfs_producer *p = producer_of(s, m->source, m->name, err);
    int r = p ? fresh(p, err) : MR_FATAL;
    if (r < 0)
      return r;
    struct kfs_row *row = kfs_row_find(s, m->source, m->name);
    if (row && !row->mine)
      return taken_over(row, err);
    if (row)
      continue;
    if (!(row = kfs_row_add(s, m->source, m->name)))
      return src_no_memory(err);
    row->position = row->from = m->upto;
    row->owner = 1;
    row->mine = row->unsaved = true;
  }
  return save_all(s, err);
}

/* A handle given up and made anew: what is written from now on gets an epoch of its own. */
static int raise_lane(struct kfs *s, const struct mr_mark *m, struct mr_error *err)
{
  struct kfs_producer *p = producer_of(s, m->source, m->name, err);
  int r = p ? fresh(p, err) : MR_FATAL;
  if (r < 0)
    return r;
  struct kfs_row *row = kfs_row_find(s, m->source, m->name);
  if (!row)
    return vanished(s, m, err);
  if (!row->mine)
    return taken_over(row, err);
  row->owner++;
  row->unsaved = true;
  return MR_OK;
}

int kfs_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
               struct mr_error *err)
{
  struct kfs *s = self;
  int r = MR_OK;
  for (size_t i = 0; i < s->n_producer; i++)
    kfs_producer_drop(s->producer[i]);
  for (uint32_t i = 0; r >= 0 && i < u->n; i++)
    r = raise_lane(s, &u->mark[i], err);
  if (r >= 0)
    r = save_all(s, err);
  for (uint32_t i = 0; r >= 0 && i < u->n; i++)
    give(kfs_row_find(s, u->mark[i].source, u->mark[i].name), mark, out);
  return r;
}

/* ---------------------------------------------------------------- a unit */

static int begin_lane(struct kfs *s, const struct mr_mark *m, struct mr_error *err)
{
  struct kfs_producer *p = producer_of(s, m->source, m->name, err);
  int r = p ? fresh(p, err) : MR_FATAL;
  if (r < 0)
    return r;
  const struct kfs_row *row = kfs_row_find(s, m->source, m->name);
  if (!row)
    return vanished(s, m, err);
  if (!row->mine)
    return taken_over(row, err);
  return kfs_producer_begin(p, err);
}

static bool keep_lanes(struct kfs *s, const struct mr_unit *u)
{
  struct kfs_lane *l = realloc(s->lane, (u->n + 1) * sizeof *l);
  if (!l)
    return false;
  s->lane = l;
  s->n_lane = u->n;
  for (uint32_t i = 0; i < u->n; i++)
    l[i] =
        (struct kfs_lane){u->mark[i].lane, kfs_producer_of(s, u->mark[i].source, u->mark[i].name)};
  return true;
}

int kfs_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct kfs *s = self;
  int r = s->taken ? MR_OK : kfs_producer_ready(&s->plain, KFS_CALL_MS, err);
  s->n_batch = 0;
  for (uint32_t i = 0; r >= 0 && s->taken && i < u->n; i++)
    r = begin_lane(s, &u->mark[i], err);
  if (r >= 0 && !keep_lanes(s, u))
    r = src_no_memory(err);
  return r;
}

/* Lanes that came while the unit was open are known when it is begun anew. */
static struct kfs_producer *producer_of_batch(struct kfs *s, const struct mr_batch *b)
{
  if (!s->taken)
    return &s->plain;
  if (s->conf->transactions == KFS_SINK)
    return kfs_producer_of(s, NULL, NULL);
  for (size_t i = 0; i < s->n_lane; i++)
    if (s->lane[i].number == b->lane)
      return s->lane[i].producer;
  return NULL;
}

static bool keep_batch(struct kfs *s, const struct mr_batch *b)
{
  if (s->n_batch == s->cap_batch) {
    size_t cap = s->cap_batch ? 2 * s->cap_batch : 64;
    uint64_t *all = realloc(s->batch, cap * sizeof *all);
    if (!all)
      return false;
    s->batch = all;
    s->cap_batch = cap;
  }
  s->batch[s->n_batch++] = b->id;
  return true;
}

int kfs_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct kfs *s = self;
  struct kfs_producer *p = producer_of_batch(s, b);
  if (!p || !p->rk || (p->id && !p->open)) {
    err->unit_lost = true;
    err->retry_ms = 1;
    return MR_RETRY;
  }
  int r = keep_batch(s, b) ? kfs_rows_send(p, b, err) : src_no_memory(err);
  if (r == MR_REJECT && err->batch == b->id)
    err->batch = 0; /* of this call */
  return r;
}

int kfs_flush(void *self, struct mr_error *err)
{
  struct kfs *s = self;
  if (!s->taken)
    return kfs_producer_flush(&s->plain, err);
  for (size_t i = 0; i < s->n_producer; i++) {
    int r = s->producer[i]->open ? kfs_producer_flush(s->producer[i], err) : MR_OK;
    if (r < 0)
      return r;
  }
  return MR_OK;
}

/* The compare-and-set: this producer is the only writer of its rows, so ours are the truth. */
static int compare(struct kfs *s, const struct mr_unit *u, struct mr_error *err)
{
  for (uint32_t i = 0; i < u->n; i++) {
    const struct mr_mark *m = &u->mark[i];
    const struct kfs_row *row = kfs_row_find(s, m->source, m->name);
    if (!row)
      return vanished(s, m, err);
    if (!row->mine || row->owner != m->owner)
      return taken_over(row, err);
    if (row->position.len != m->from.len ||
        memcmp(row->position.token, m->from.token, row->position.len))
      return src_fail(err, MR_FENCED, "position", "lane %s of %s is not where this unit began",
                      m->name, m->source);
  }
  return MR_OK;
}

/* The state is the mark's: it is copied by keep_state. */
static struct kfs_row moved(const struct kfs_row *row, const struct mr_unit *u,
                            const struct mr_mark *m)
{
  struct kfs_row r = *row;
  r.position = m->upto;
  r.from = m->from;
  r.rows += m->rows;
  r.run = m->run ? m->run : u->run;
  r.state = (void *)m->state;
  r.state_len = m->state_len;
  return r;
}

static bool keep_state(struct kfs_row *r)
{
  void *copy = r->state_len ? malloc(r->state_len) : NULL;
  if (copy)
    memcpy(copy, r->state, r->state_len);
  bool ok = copy || !r->state_len;
  r->state = copy;
  r->state_len = copy ? r->state_len : 0;
  return ok;
}

static int commit_producer(struct kfs_producer *p, const struct mr_unit *u, struct mr_error *err)
{
  struct kfs *s = p->sink;
  int r = send_unsaved(p, err);
  for (uint32_t i = 0; r >= 0 && i < u->n; i++) {
    const struct kfs_row *row = kfs_row_find(s, u->mark[i].source, u->mark[i].name);
    struct kfs_row new = moved(row, u, &u->mark[i]);
    if (belongs(row, p))
      r = kfs_row_send(p, &new, err);
  }
  r = r >= 0 ? kfs_producer_commit(p, s->conf->commit_timeout_ms, err)
             : kfs_producer_give_up(p, err);
  if (r < 0)
    return r;
  saved(p);
  for (uint32_t i = 0; i < u->n; i++) {
    struct kfs_row *row = kfs_row_find(s, u->mark[i].source, u->mark[i].name);
    if (!belongs(row, p))
      continue;
    struct kfs_row new = moved(row, u, &u->mark[i]);
    free(row->state);
    *row = new;
    if (!keep_state(row))
      p->stale = true; /* no memory: the rows are read again */
  }
  return MR_OK;
}

/* With a transaction for each lane some may land and others not: then the lane rows decide. */
int kfs_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct kfs *s = self;
  bool some = false;
  if (!s->taken)
    return kfs_producer_flush(&s->plain, err);
  int r = compare(s, u, err);
  for (size_t i = 0; r >= 0 && i < s->n_producer; i++) {
    struct kfs_producer *p = s->producer[i];
    bool wanted = !p->lane;
    for (uint32_t k = 0; !wanted && k < u->n; k++)
      wanted = !strcmp(u->mark[k].name, p->lane) && !strcmp(u->mark[k].source, p->source);
    if (!wanted)
      continue;
    r = p->open ? commit_producer(p, u, err) : MR_UNSURE;
    if (r < 0 && some)
      r = MR_UNSURE;
    some = true;
  }
  return r;
}

int kfs_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct kfs *s = self;
  for (size_t i = 0; i < s->n_producer; i++)
    kfs_producer_abort(s->producer[i]);
  return MR_OK;
}
