/* SPDX-License-Identifier: Apache-2.0 */
/* Events on their way to rows: which have to be read from the node, and the queue behind those. */
#include "change-in.h"
#include "common/clock.h"
#include "common/src-error.h"

#define SIGN (UINT64_C(1) << 63)
#define PLACE_BYTES 28

/* ---- places */

static void put(struct mr_position *p, uint64_t v, int bytes)
{
  for (int i = bytes - 1; i >= 0; i--)
    p->token[p->len++] = (uint8_t)(v >> (8 * i));
}

struct mr_position cass_place_position(const struct cass_place *at)
{
  struct mr_position p = {0};
  put(&p, (uint64_t)at->segment, 8);
  put(&p, (uint64_t)at->position, 8);
  put(&p, at->event, 4);
  put(&p, (uint64_t)at->deleted ^ SIGN, 8);
  return p;
}

bool cass_place_read(const struct mr_position *p, struct cass_place *ret)
{
  if (p->len != PLACE_BYTES)
    return false;
  *ret = (struct cass_place){.segment = (int64_t)cql_be64(p->token),
                             .position = (int64_t)cql_be64(p->token + 8),
                             .event = cql_be32(p->token + 16),
                             .deleted = (int64_t)(cql_be64(p->token + 20) ^ SIGN)};
  return true;
}

/* ---- the object */

/* `_op` is always made; `_set` and `_range` are made by the schema. */
static int init_system(struct src_system *system, const struct mr_list *want, struct mr_error *err)
{
  const char **name = calloc(want->n + 1, sizeof *name);
  struct mr_list list = {.item = name};
  if (!name)
    return src_no_memory(err);
  name[list.n++] = "_op";
  for (size_t i = 0; i < want->n; i++) {
    const char *w = ((const char *const *)want->item)[i];
    if (strcmp(w, MR_SET) && strcmp(w, MR_RANGE))
      name[list.n++] = w;
  }
  int rc = src_system_init(system, &list,
                           SRC_BIT(SRC_OP) | SRC_BIT(SRC_TIMESTAMP) | SRC_BIT(SRC_POSITION) |
                               SRC_BIT(SRC_ELEMENT) | SRC_BIT(SRC_TTL) | SRC_BIT(SRC_EXPIRES) |
                               SRC_BIT(SRC_ORIGINAL),
                           err);
  free(name);
  return rc;
}

int cass_changes_new(const struct cass_changes_open *o, struct cass_changes **ret,
                     struct mr_error *err)
{
  struct cass_changes *s = calloc(1, sizeof *s);
  if (!s || !seen_init(&s->seen)) {
    free(s);
    return src_no_memory(err);
  }
  s->conf = o->conf;
  s->host = o->host;
  s->conn = o->conn;
  s->name = o->name;
  s->is_static = o->conf->rows == CASS_ROWS_STATIC;
  s->patience_ms = PATIENCE_MS;
  s->whole = o->conf->partial == CASS_PARTIAL_READ_BACK;
  int rc = init_system(&s->system, o->want, err);
  if (rc < 0)
    cass_changes_free(s);
  else
    *ret = s;
  return rc;
}

static void clear_items(struct cass_changes *s)
{
  for (size_t i = 0; i < s->n_item; i++) {
    answer_done(&s->item[i].answer);
    free(s->item[i].memory);
  }
  s->n_item = 0;
}

static void clear_refusals(struct cass_changes *s)
{
  for (size_t i = 0; i < s->n_refusal; i++)
    free(s->refusal[i].column);
  s->n_refusal = 0;
}

void cass_changes_free(struct cass_changes *self)
{
  if (!self)
    return;
  clear_items(self);
  clear_refusals(self);
  change_table_done(&self->t);
  src_system_done(&self->system);
  seen_done(&self->seen);
  sql_buf_done(&self->built);
  free(self->write);
  free(self->item);
  free(self->refusal);
  free(self);
}

void cass_changes_reset(struct cass_changes *self, int64_t floor)
{
  clear_items(self);
  clear_refusals(self);
  for (int64_t i = 0; self->t.column && i < self->t.rows.n_children; i++)
    mr_column_truncate(&self->t.column[i], 0);
  src_system_truncate(&self->system, 0);
  seen_reset(&self->seen, floor);
  self->mutation = (struct mutation){0};
  self->n = self->bytes = 0;
}

int64_t cass_changes_rows(const struct cass_changes *self)
{
  return self->n + (int64_t)self->n_item;
}

int64_t cass_changes_bytes(const struct cass_changes *self)
{
  return self->bytes;
}

int64_t cass_changes_deleted(const struct cass_changes *self)
{
  return self->seen.newest;
}

/* ---- times */

uint64_t change_partition(const struct clog_bytes *key, uint32_t n)
{
  uint64_t hash = CASS_HASH;
  for (uint32_t i = 0; i < n; i++)
    hash = cass_hash(hash, key[i].p, key[i].len);
  return hash;
}

static bool is_write(const struct clog_event *e)
{
  return e->op == CLOG_INSERT || e->op == CLOG_UPDATE;
}

static int64_t later(int64_t a, int64_t b)
{
  return a > b ? a : b;
}

/* The oldest time of what the event does; s->write is filled. */
static int64_t oldest_of(const struct cass_changes *s, const struct clog_event *e)
{
  int64_t oldest = e->op == CLOG_UPDATE ? INT64_MAX : e->timestamp;
  for (size_t i = 0; is_write(e) && i < s->n_write; i++)
    if (s->write[i].time < oldest)
      oldest = s->write[i].time;
  return oldest;
}

/* The newest time of what the event takes away, or changes in a collection; with `partial:
 * read_back` of anything. */
static int64_t taken_of(const struct cass_changes *s, const struct clog_event *e)
{
  int64_t newest = s->whole || !is_write(e) ? e->timestamp : CLOG_NEVER;
  for (uint32_t i = 0; i < e->n_cells; i++) {
    const struct clog_cell *c = &e->cell[i];
    if (!c->dropped && (s->whole || c->op != CLOG_SET || c->column->multi))
      newest = later(newest, c->timestamp);
  }
  return newest;
}

/* A mutation is of one partition. What its events say of each other is settled here: those of one
 * statement have one time, and are not in doubt for it. */
static void enter(struct cass_changes *s, const struct clog_event *e, const struct cass_place *at)
{
  struct mutation *m = &s->mutation;
  if (m->known && m->segment == at->segment && m->position == at->position)
    return;
  uint64_t partition = change_partition(e->key, s->t.n_key);
  *m = (struct mutation){.known = true,
                         .segment = at->segment,
                         .position = at->position,
                         .before = seen_time(&s->seen, partition),
                         .covered = CLOG_NEVER,
                         .partition = partition};
}

/* Is it as old as something that was deleted, or changed in part, before? */
static bool in_doubt(struct cass_changes *s, const struct clog_event *e)
{
  struct mutation *m = &s->mutation;
  int64_t oldest = oldest_of(s, e);
  bool doubt = oldest <= m->before;
  if (is_write(e)) {
    doubt = doubt || oldest <= m->covered || (m->row_deleted && oldest <= m->row_time);
    m->row_deleted = false;
  } else if (e->op == CLOG_DELETE_ROW) { /* what is written of the row comes next, if anything */
    m->row_deleted = true;
    m->row_time = e->timestamp;
  } else {
    m->covered = later(m->covered, e->timestamp);
  }
  return doubt;
}

/* ---- what is to be done */

/* Does it bound a column whose values compare in another way than in Cassandra? */
static bool is_unordered(struct cass_changes *s, const struct clog_event *e)
{
  size_t n = e->op == CLOG_DELETE_RANGE ? range_boxes(e, s->t.box) : 0;
  for (size_t i = 0; i < n; i++)
    if (s->t.box[i].bounded >= 0 && !s->t.col[s->t.clustering[s->t.box[i].bounded]].ordered)
      return true;
  return false;
}

static enum need need_of(struct cass_changes *s, const struct clog_event *e, bool doubt)
{
  if (!is_write(e)) {
    bool many = e->op != CLOG_DELETE_ROW && s->t.n_clustering;
    if (many && (doubt || is_unordered(s, e)))
      return NEED_PARTITION;
    return doubt ? NEED_ROW : NEED_NOTHING;
  }
  if (doubt || s->whole)
    return NEED_ROW;
  bool live = e->op == CLOG_INSERT, stored = false;
  for (size_t i = 0; i < s->n_write; i++) {
    live = live || s->write[i].live;
    stored = stored || s->write[i].stored;
  }
  return stored || !live ? NEED_ELEMENTS : NEED_NOTHING;
}

static struct plan plan_of(struct cass_changes *s, const struct clog_event *e,
                           const struct cass_place *at)
{
  struct plan plan = {.lift = CLOG_NEVER};
  enter(s, e, at);
  uint64_t partition = s->mutation.partition;
  bool doubt = in_doubt(s, e);
  plan.need = need_of(s, e, doubt);
  seen_raise(&s->seen, partition, taken_of(s, e));
  if (doubt || plan.need == NEED_PARTITION) {
    plan.lift = seen_time(&s->seen, partition) + 1;
    seen_raise(&s->seen, partition, plan.lift + (plan.need == NEED_PARTITION));
  }
  return plan;
}

/* ---- the queue */

static size_t bytes_of(const struct clog_bytes *v, uint32_t n)
{
  size_t total = 0;
  for (uint32_t i = 0; i < n; i++)
    total += sizeof *v + (v[i].len > 0 ? (size_t)v[i].len : 0);
  return total;
}

static size_t size_of(const struct clog_event *e, uint32_t n_key)
{
  size_t total = bytes_of(e->key, n_key) + bytes_of(e->clustering, e->n_clustering) +
                 bytes_of(e->start.value, e->start.n) + bytes_of(e->end.value, e->end.n) +
                 e->n_cells * sizeof *e->cell;
  for (uint32_t i = 0; i < e->n_cells; i++)
    total += (e->cell[i].path.len > 0 ? (size_t)e->cell[i].path.len : 0) +
             (e->cell[i].value.len > 0 ? (size_t)e->cell[i].value.len : 0);
  return total;
}

/* Structs are copied first, as they have to be aligned; then the bytes they point to. */
struct copy {
  uint8_t *structs, *bytes;
};

static void copy_bytes(struct copy *c, struct clog_bytes *v)
{
  if (v->len <= 0)
    return;
  memcpy(c->bytes, v->p, (size_t)v->len);
  v->p = c->bytes;
  c->bytes += v->len;
}

static const struct clog_bytes *copy_values(struct copy *c, const struct clog_bytes *v, uint32_t n)
{
  struct clog_bytes *to = (struct clog_bytes *)(void *)c->structs;
  if (n)
    memcpy(to, v, n * sizeof *to);
  c->structs += n * sizeof *to;
  for (uint32_t i = 0; i < n; i++)
    copy_bytes(c, &to[i]);
  return to;
}

static void copy_event(struct clog_event *e, uint32_t n_key, uint8_t *memory)
{
  size_t values = n_key + e->n_clustering + e->start.n + e->end.n;
  size_t structs = e->n_cells * sizeof *e->cell + values * sizeof(struct clog_bytes);
  struct copy c = {memory, memory + structs};
  struct clog_cell *cell = (struct clog_cell *)(void *)c.structs;
  if (e->n_cells)
    memcpy(cell, e->cell, e->n_cells * sizeof *cell);
  c.structs += e->n_cells * sizeof *cell;
  for (uint32_t i = 0; i < e->n_cells; i++) {
    copy_bytes(&c, &cell[i].path);
    copy_bytes(&c, &cell[i].value);
  }
  e->cell = cell;
  e->key = copy_values(&c, e->key, n_key);
  e->clustering = copy_values(&c, e->clustering, e->n_clustering);
  e->start.value = copy_values(&c, e->start.value, e->start.n);
  e->end.value = copy_values(&c, e->end.value, e->end.n);
}

static bool push_item(struct cass_changes *s, const struct clog_event *e,
                      const struct cass_place *at, const struct plan *plan)
{
  size_t size = size_of(e, s->t.n_key), cap = s->cap_item;
  if (s->n_item == cap) {
    cap = cap ? cap * 2 : 64;
    struct change_item *item = realloc(s->item, cap * sizeof *item);
    if (!item)
      return false;
    s->item = item;
    s->cap_item = cap;
  }
  struct change_item *item = &s->item[s->n_item];
  *item = (struct change_item){.event = *e, .at = *at, .plan = *plan};
  item->memory = malloc(size ? size : 1);
  if (!item->memory)
    return false;
  copy_event(&item->event, s->t.n_key, item->memory);
  if (plan->need != NEED_NOTHING)
    s->pushed_ms = clock_now_ms();
  s->n_item++;
  s->bytes += (int64_t)(size + sizeof *item);
  return true;
}

/* ---- */

static bool is_ours(const struct cass_changes *s, const struct clog_event *e)
{
  if (e->op == CLOG_DELETE_PARTITION)
    return true;
  return e->is_static == s->is_static && (!s->is_static || is_write(e));
}

/* An update that says nothing about the columns of the rows: of what was dropped; of static rows,
 * which are there by what they hold, of other columns. */
static bool is_void(const struct cass_changes *s, const struct clog_event *e)
{
  bool void_ = e->op == CLOG_UPDATE;
  for (size_t i = 0; void_ && i < s->n_write; i++)
    void_ = s->is_static && s->write[i].column < 0;
  return void_;
}

int cass_changes_add(struct cass_changes *self, const struct clog_event *e,
                     const struct cass_place *at, struct mr_error *err)
{
  if (!is_ours(self, e))
    return MR_OK;
  if (!change_writes(self, e))
    return src_no_memory(err);
  if (is_void(self, e))
    return MR_OK;
  struct plan plan = plan_of(self, e, at);
  if (plan.need == NEED_NOTHING && !self->n_item)
    return change_rows(self, e, at, &plan, NULL, err);
  return push_item(self, e, at, &plan) ? MR_OK : src_no_memory(err);
}

static int give_items(struct cass_changes *s, struct mr_error *err)
{
  int rc = MR_OK;
  for (size_t i = 0; rc >= 0 && i < s->n_item; i++) {
    const struct change_item *item = &s->item[i];
    if (!change_writes(s, &item->event))
      return src_no_memory(err);
    rc = change_rows(s, &item->event, &item->at, &item->plan, &item->answer, err);
  }
  if (rc >= 0)
    clear_items(s);
  return rc;
}

static int tell_refusals(struct cass_changes *s, struct mr_error *err)
{
  for (size_t i = 0; i < s->n_refusal; i++) {
    const struct refusal *f = &s->refusal[i];
    char msg[400];
    snprintf(msg, sizeof msg, "table %.200s: %s", s->conf->table, f->why);
    struct mr_reject r = {.size = sizeof r,
                          .lane = f->lane,
                          .row = -1,
                          .position = &f->at,
                          .code = "22P02",
                          .msg = msg,
                          .column = f->column};
    if (s->host->reject(s->host->ctx, &r) < 0)
      return src_fail(err, MR_FATAL, "", "a row could not be refused");
  }
  clear_refusals(s);
  return MR_OK;
}

int cass_changes_take(struct cass_changes *self, struct ArrowArray *give, struct mr_error *err)
{
  struct ArrowArray rows;
  int rc = self->n_item ? change_read(self, err) : MR_OK;
  if (rc >= 0)
    rc = give_items(self, err);
  if (rc >= 0)
    rc = tell_refusals(self, err);
  if (rc < 0)
    return rc;
  self->bytes = 0;
  if (!self->n)
    return MR_IDLE;
  if (!mr_rows_finish(self->t.column, self->t.rows.n_children, self->n, &rows) ||
      !src_system_join(&self->system, &rows, give))
    return src_no_memory(err);
  self->n = 0;
  return MR_OK;
}
