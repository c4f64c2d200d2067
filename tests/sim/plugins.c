/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated source, transform and dead-letter sink. Every call may be the last thing its
 * process does. */
#include <stdlib.h>
#include <string.h>
#include "sim.h"

struct source_conf {
  struct sim_world *w;
};
struct source {
  struct sim_world *w;
  const struct mr_host *host;
  int proc;
  struct {
    bool have;
    uint32_t lane;
    uint64_t at, cut;
    uint64_t generation;
  } lane[SIM_LANES];
  bool wide; /* the schema has changed */
};

int64_t sim_id(int lane, uint64_t position, int element)
{
  return lane * 1000 + (int64_t)position * 2 + element;
}

static bool schema_of(struct ArrowSchema *s, bool wide)
{
  return mr_schema_struct(s) && mr_schema_field(s, "id", "l", true) &&
         mr_schema_field(s, "kind", "c", true) &&
         (!wide || mr_schema_field(s, "extra", "l", true)) &&
         mr_schema_field(s, "_position", "L", true) && mr_schema_field(s, "_element", "I", true);
}

static int source_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct source *s = g_new0(struct source, 1);
  s->w = ((const struct source_conf *)o->conf)->w;
  s->host = o->host;
  s->proc = sim_current_proc();
  *self = s;
  return MR_OK;
}

static int source_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return schema_of(give, ((struct source *)self)->wide) ? MR_OK : MR_FATAL;
}

static const char *lane_name(int l)
{
  return l ? "one" : "zero";
}

static int take_lane(struct source *s, int l, struct mr_error *err)
{
  struct mr_position at, zero = mr_position_u64(0);
  int st = s->host->lane(s->host->ctx, lane_name(l), NULL, &s->lane[l].lane, &at, err);
  if (st == MR_LANE_NEW && s->w->c.late_start)
    zero = mr_position_u64(s->w->first[l]);
  if (st == MR_LANE_NEW || st == MR_LANE_LATER)
    st = s->host->lane(s->host->ctx, lane_name(l), &zero, &s->lane[l].lane, &at, err);
  if (st < 0)
    return st;
  s->lane[l].have = true;
  s->lane[l].at = mr_position_get(&at);
  s->lane[l].cut = UINT64_MAX;
  s->lane[l].generation = s->w->generation[l];
  return MR_OK;
}

static int source_start(void *self, struct mr_error *err)
{
  struct source *s = self;
  sim_yield();
  for (int l = 0; l < SIM_LANES; l++) {
    uint64_t rows = (uint64_t)s->w->c.rows[l];
    s->w->first[l] += sim_draw(s->w, rows - MIN(s->w->first[l], rows) + 1) / 2;
    int st = s->w->owner_of[l] == s->proc || s->w->c.everybody ? take_lane(s, l, err) : MR_OK;
    if (st < 0)
      return st;
  }
  return MR_OK;
}

/* The group's moves become known to this process: sooner or later, or by what the target says. */
static int follow_moves(struct source *s, struct mr_error *err)
{
  for (int l = 0; l < SIM_LANES; l++) {
    bool mine = s->w->owner_of[l] == s->proc;
    bool moved = !mine || s->lane[l].generation != s->w->generation[l];
    if (s->lane[l].have && moved && !sim_draw(s->w, 3)) {
      bool lost = sim_draw(s->w, 2);
      sim_trace(s->w, "P%d %s lane %d", s->proc, lost ? "loses" : "gives back", l);
      s->host->lane_end(s->host->ctx, s->lane[l].lane, lost, 20);
      s->lane[l].have = false;
    }
    int st = mine && !s->lane[l].have ? take_lane(s, l, err) : MR_OK;
    if (st < 0)
      return st;
  }
  return MR_OK;
}

static int give_rows(struct source *s, int l, int64_t max, struct mr_batch *give)
{
  struct ArrowSchema schema;
  struct mr_column c[5];
  int nc = s->wide ? 5 : 4;
  uint64_t from = s->lane[l].at, to = from + 1 + sim_draw(s->w, (uint64_t)max);
  to = MIN(to, (uint64_t)s->w->c.rows[l]);
  if (from < s->lane[l].cut)
    to = MIN(to, s->lane[l].cut);
  if (!schema_of(&schema, s->wide))
    return MR_FATAL;
  for (int i = 0; i < nc; i++)
    mr_column_init(&c[i], schema.children[i]);
  for (uint64_t p = from; p < to; p++) {
    mr_column_int(&c[0], sim_id(l, p, 0));
    mr_column_int(&c[1], s->w->kind[l][p]);
    if (s->wide)
      mr_column_int(&c[2], 7);
    mr_column_int(&c[nc - 2], (int64_t)p);
    mr_column_int(&c[nc - 1], 0);
  }
  mr_rows_finish(c, nc, (int64_t)(to - from), &give->rows);
  for (int i = 0; i < nc; i++)
    mr_column_done(&c[i]);
  mr_schema_release(&schema);
  give->lane = s->lane[l].lane;
  give->upto = mr_position_u64(to);
  s->lane[l].at = to;
  return MR_OK;
}

static bool at_end(const struct source *s)
{
  for (int l = 0; l < SIM_LANES; l++)
    if (s->lane[l].have ? s->lane[l].at < (uint64_t)s->w->c.rows[l] : s->w->owner_of[l] == s->proc)
      return false;
  return s->w->c.moves == 0; /* lanes may still come */
}

static int source_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                       struct mr_batch *give, struct mr_error *err)
{
  struct source *s = self;
  sim_sleep((int64_t)sim_draw(s->w, 3000));
  int st = sim_group(&s->w->c) ? follow_moves(s, err) : MR_OK;
  if (st < 0)
    return st;
  if (!s->wide && sim_spend(s->w, &s->w->c.schema_changes, 6)) {
    s->wide = true;
    return MR_SCHEMA;
  }
  int l = (int)sim_draw(s->w, SIM_LANES);
  if (s->lane[l].have && s->lane[l].at < (uint64_t)s->w->c.rows[l] && sim_draw(s->w, 4))
    return give_rows(s, l, 4, give);
  return at_end(s) ? MR_END : MR_IDLE;
}

static int source_cut(void *self, uint32_t lane, const struct mr_position *p)
{
  struct source *s = self;
  for (int l = 0; l < SIM_LANES; l++)
    if (s->lane[l].have && s->lane[l].lane == lane)
      s->lane[l].cut = mr_position_get(p);
  return MR_OK;
}

static int source_seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  struct source *s = self;
  sim_yield();
  for (int l = 0; l < SIM_LANES; l++)
    if (s->lane[l].have && s->lane[l].lane == lane) {
      s->lane[l].at = mr_position_get(p);
      s->lane[l].cut = UINT64_MAX;
    }
  return MR_OK;
}

/* Without a group the run ends. In one, a member that still holds the lane joins again. */
static int source_lost(void *self, uint32_t lane, struct mr_error *err)
{
  struct source *s = self;
  if (!sim_group(&s->w->c))
    return mr_fail(err, MR_FENCED, "no group");
  for (int l = 0; l < SIM_LANES; l++)
    if (s->lane[l].have && s->lane[l].lane == lane) {
      s->lane[l].have = false;
      if (s->w->owner_of[l] == s->proc && s->lane[l].generation == s->w->generation[l])
        s->w->generation[l]++;
      sim_trace(s->w, "P%d finds lane %d taken", s->proc, l);
    }
  return MR_OK;
}

/* Only what every sink holds durably is acknowledged. */
static int source_ack(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct source *s = self;
  for (uint32_t i = 0; i < u->n; i++)
    for (int k = 0; k < (s->w->c.two_sinks ? 2 : 1); k++) {
      const struct sim_lane_row *row =
          sim_durable(s->w, k, strcmp(u->mark[i].name, "zero") ? 1 : 0);
      if (mr_position_cmp(&u->mark[i].upto, &row->position) > 0)
        sim_violate(s->w, "ACK of %s past sink %d", u->mark[i].name, k);
    }
  return MR_OK;
}

static void no_close(void *self)
{
}

static const struct mr_source source_vt = {.size = sizeof source_vt,
                                           .open = source_open,
                                           .schema = source_schema,
                                           .start = source_start,
                                           .read = source_read,
                                           .cut = source_cut,
                                           .ack = source_ack,
                                           .seek = source_seek,
                                           .close = no_close,
                                           .lost = source_lost};
const struct mr_plugin sim_source = {.abi = MR_ABI,
                                     .size = sizeof sim_source,
                                     .conf_size = sizeof(struct source_conf),
                                     .name = "sim_source",
                                     .source = &source_vt};

/* ---- a transform: x gives two rows, d none; f is refused now and then; an input may come out in
 * two batches */

struct transform {
  struct sim_world *w;
  const struct mr_host *host;
  struct ArrowSchema out;
  struct mr_batch held;
  bool holds;
};

static int transform_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct transform *t = g_new0(struct transform, 1);
  t->w = ((const struct source_conf *)o->conf)->w;
  t->host = o->host;
  if (o->in && !mr_schema_copy(o->in, &t->out))
    return MR_FATAL;
  *self = t;
  return MR_OK;
}
static int transform_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return mr_schema_copy(&((struct transform *)self)->out, give) ? MR_OK : MR_FATAL;
}
static int transform_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  struct transform *t = self;
  mr_schema_release(&t->out);
  return mr_schema_copy(in, &t->out) ? MR_OK : MR_FATAL;
}

static void append(struct mr_column *c, const struct mr_view *v, int64_t n, int64_t row,
                   int64_t add)
{
  for (int64_t k = 0; k < n; k++)
    mr_column_int(&c[k], mr_view_int(&v[k], row) + (k == 0 ? add : 0));
}

static void build(struct transform *t, const struct mr_batch *in, int64_t from, int64_t to,
                  struct ArrowArray *rows)
{
  int64_t n = t->out.n_children, out = 0;
  struct mr_column c[8];
  struct mr_view v[8];
  for (int64_t k = 0; k < n; k++) {
    mr_column_init(&c[k], t->out.children[k]);
    mr_view_column(&v[k], &t->out, &in->rows, k);
  }
  for (int64_t i = from; i < to; i++) {
    char kind = (char)mr_view_int(&v[1], i);
    if (kind == 'd')
      continue;
    if (kind == 'f' && sim_draw(t->w, 3) == 0) {
      struct mr_reject r = {.size = sizeof r,
                            .batch = in,
                            .row = i,
                            .code = "flaky",
                            .msg = "refused by the transform"};
      t->host->reject(t->host->ctx, &r);
      continue;
    }
    append(c, v, n, i, 0);
    out++;
    if (kind == 'x')
      append(c, v, n, i, 1), out++;
  }
  mr_rows_finish(c, n, out, rows);
  for (int64_t k = 0; k < n; k++)
    mr_column_done(&c[k]);
}

static int transform_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                           struct mr_error *err)
{
  struct transform *t = self;
  if (!take) {
    mr_array_move(&t->held.rows, &give->rows);
    return MR_OK;
  }
  sim_yield();
  int64_t n = take->rows.length,
          split = sim_draw(t->w, 3) ? n : (int64_t)sim_draw(t->w, (uint64_t)n + 1);
  build(t, take, 0, split, &give->rows);
  if (split < n)
    build(t, take, split, n, &t->held.rows);
  mr_array_release(&take->rows);
  return split < n ? MR_MORE : MR_OK;
}

static const struct mr_transform transform_vt = {.size = sizeof transform_vt,
                                                 .open = transform_open,
                                                 .schema = transform_schema,
                                                 .apply = transform_apply,
                                                 .evolve = transform_evolve,
                                                 .close = no_close};
const struct mr_plugin sim_transform = {.abi = MR_ABI,
                                        .size = sizeof sim_transform,
                                        .conf_size = sizeof(struct source_conf),
                                        .name = "sim_transform",
                                        .transform = &transform_vt};

/* ---- a transform that numbers the rows of a lane, and remembers how far it came: id + number <<
 * 32 */

struct number {
  struct sim_world *w;
  struct ArrowSchema out;
  int64_t last;
};

static int number_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct number *t = g_new0(struct number, 1);
  t->w = ((const struct source_conf *)o->conf)->w;
  if (o->in && !mr_schema_copy(o->in, &t->out))
    return MR_FATAL;
  *self = t;
  return MR_OK;
}
static int number_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return mr_schema_copy(&((struct number *)self)->out, give) ? MR_OK : MR_FATAL;
}
static int number_evolve(void *self, const struct ArrowSchema *in, struct mr_error *err)
{
  struct number *t = self;
  mr_schema_release(&t->out);
  return mr_schema_copy(in, &t->out) ? MR_OK : MR_FATAL;
}
static int number_start(void *self, struct mr_error *err)
{
  sim_yield();
  return sim_spend(((struct number *)self)->w, &((struct number *)self)->w->c.breaks, 10)
             ? mr_fail(err, MR_RETRY, "not up yet")
             : MR_OK;
}

static int number_apply(void *self, struct mr_batch *take, struct mr_batch *give,
                        struct mr_error *err)
{
  struct number *t = self;
  int64_t n = t->out.n_children;
  struct mr_column c[8];
  struct mr_view v[8];
  sim_yield();
  for (int64_t k = 0; k < n; k++) {
    mr_column_init(&c[k], t->out.children[k]);
    mr_view_column(&v[k], &t->out, &take->rows, k);
  }
  for (int64_t i = 0; i < take->rows.length; i++)
    append(c, v, n, i, ++t->last << 32);
  mr_rows_finish(c, n, take->rows.length, &give->rows);
  for (int64_t k = 0; k < n; k++)
    mr_column_done(&c[k]);
  mr_array_release(&take->rows);
  return MR_OK;
}

static int number_save(void *self, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct number *t = self;
  sim_yield();
  return put(out, &t->last, sizeof t->last);
}
static int number_load(void *self, const void *state, size_t len, struct mr_error *err)
{
  struct number *t = self;
  if (len != sizeof t->last)
    return mr_fail(err, MR_FATAL, "state of %zu bytes", len);
  memcpy(&t->last, state, len);
  return MR_OK;
}

static const struct mr_transform number_vt = {.size = sizeof number_vt,
                                              .open = number_open,
                                              .schema = number_schema,
                                              .start = number_start,
                                              .apply = number_apply,
                                              .save = number_save,
                                              .load = number_load,
                                              .evolve = number_evolve,
                                              .close = no_close};
const struct mr_plugin sim_number = {.abi = MR_ABI,
                                     .size = sizeof sim_number,
                                     .conf_size = sizeof(struct source_conf),
                                     .name = "sim_number",
                                     .transform = &number_vt};

/* ---- dead letters: what is written is durable */

static int letters_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  *self = ((const struct source_conf *)o->conf)->w;
  return MR_OK;
}

static char *text_at(const struct mr_batch *b, const char *name, int64_t row)
{
  struct mr_view v;
  int64_t n;
  mr_view_column(&v, b->schema, &b->rows, mr_schema_find(b->schema, name));
  if (mr_view_null(&v, row))
    return NULL;
  const char *p = mr_view_bytes(&v, row, &n);
  return g_strndup(p, (gsize)n);
}

static int64_t number_at(const struct mr_batch *b, const char *name, int64_t row)
{
  g_autofree char *t = text_at(b, name, row);
  return t ? g_ascii_strtoll(t, NULL, 10) : -1;
}

static int letters_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sim_world *w = self;
  for (int64_t i = 0; i < b->rows.length; i++) {
    g_autofree char *kind = text_at(b, "kind", i), *lane = text_at(b, "lane", i);
    struct mr_view run;
    mr_view_column(&run, b->schema, &b->rows, mr_schema_find(b->schema, "run"));
    struct sim_letter *l = g_new0(struct sim_letter, 1);
    l->mark = !strcmp(kind, "mark");
    l->run = (uint64_t)mr_view_int(&run, i);
    l->lane = g_strcmp0(lane, "zero") ? 1 : 0;
    l->position = number_at(b, "position", i);
    l->upto = number_at(b, "upto", i);
    l->sink = text_at(b, "sink", i);
    l->stage = text_at(b, "stage", i);
    g_ptr_array_add(w->letters, l);
    sim_trace(w, "%s run %lx lane %ld at %ld..%ld sink %s", kind, (unsigned long)l->run,
              (long)l->lane, (long)l->position, (long)l->upto, l->sink ? l->sink : "*");
  }
  return MR_OK;
}
static int letters_unit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  return MR_OK;
}

static const struct mr_sink letters_vt = {.size = sizeof letters_vt,
                                          .delivery = MR_PLAIN,
                                          .open = letters_open,
                                          .write = letters_write,
                                          .commit = letters_unit,
                                          .close = no_close};
const struct mr_plugin sim_letters_sink = {.abi = MR_ABI,
                                           .size = sizeof sim_letters_sink,
                                           .conf_size = sizeof(struct source_conf),
                                           .name = "sim_letters",
                                           .sink = &letters_vt};
