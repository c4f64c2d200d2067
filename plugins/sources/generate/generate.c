/* SPDX-License-Identifier: Apache-2.0 */
/* The generate source: seeded rows, at full speed or at a rate, that can be read again from any
 * position.
 *
 * Row i (over all lanes) belongs to lane i % lanes; a lane's position counts its own rows. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "common/src-error.h"
#include "common/src-system.h"
#include "rows.h"

struct conf {
  int32_t kind;
  int64_t rows, rate, lanes, seed;
};
struct lane {
  uint32_t id;
  uint64_t index, at, end,
      cut; /* rows of this lane: next, first not wanted, first not in this batch */
  bool named;
};
struct generate {
  const struct mr_host *host;
  const struct conf *conf;
  struct src_system system;
  struct mr_column column[GENERATE_MAX_COLUMNS];
  int64_t n_column, given; /* given: rows since `since_ns` */
  int64_t rate;            /* of this instance */
  int64_t since_ns;
  struct lane *lane;
  size_t n_lane, next;
};

static const char *const kinds[] = {"trades", "people", "sequence", NULL};
static const struct mr_opt options[] = {
    {.name = "kind",
     .type = MR_CHOICE,
     .offset = offsetof(struct conf, kind),
     .dflt = "trades",
     .choices = kinds,
     .doc = "What the rows look like: trades, people (made-up personal data), or sequence (id)"},
    {.name = "rows",
     .type = MR_INT,
     .offset = offsetof(struct conf, rows),
     .range = "0..",
     .dflt = "0",
     .doc = "How many rows over all lanes; 0: without end"},
    {.name = "rate",
     .type = MR_INT,
     .offset = offsetof(struct conf, rate),
     .range = "0..",
     .dflt = "0",
     .doc = "Rows a second, divided among parallel instances; 0: as fast as they are taken"},
    {.name = "lanes",
     .type = MR_INT,
     .offset = offsetof(struct conf, lanes),
     .range = "1..1024",
     .dflt = "1",
     .doc = "How many lanes the rows are spread over, round robin"},
    {.name = "seed",
     .type = MR_INT,
     .offset = offsetof(struct conf, seed),
     .dflt = "1",
     .doc = "The same seed gives the same rows"},
    {0},
};

static int64_t now_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct generate *g = self;
  if (mr_schema_struct(give) && generate_fields((enum generate_kind)g->conf->kind, give) &&
      src_system_fields(&g->system, give))
    return MR_OK;
  mr_schema_release(give);
  return src_no_memory(err);
}

static void close_(void *self)
{
  struct generate *g = self;
  for (int64_t i = 0; i < g->n_column; i++)
    mr_column_done(&g->column[i]);
  src_system_done(&g->system);
  free(g->lane);
  free(g);
}

static bool open_columns(struct generate *g)
{
  struct ArrowSchema s;
  bool ok = mr_schema_struct(&s) && generate_fields((enum generate_kind)g->conf->kind, &s);
  for (int64_t i = 0; ok && i < s.n_children; i++, g->n_column++)
    ok = mr_column_init(&g->column[i], s.children[i]);
  mr_schema_release(&s);
  return ok;
}

/* The lanes of this instance: those whose number is `instance` modulo `instances`. */
static bool open_lanes(struct generate *g, uint32_t instance, uint32_t instances)
{
  const struct conf *c = g->conf;
  uint64_t lanes = (uint64_t)c->lanes, rows = (uint64_t)c->rows;
  g->lane = calloc((size_t)lanes, sizeof *g->lane);
  for (uint64_t i = instance; g->lane && i < lanes; i += instances ? instances : 1)
    g->lane[g->n_lane++] = (struct lane){
        .index = i,
        .end = rows ? rows / lanes + (i < rows % lanes) : UINT64_MAX,
        .cut = UINT64_MAX,
    };
  return g->lane;
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct generate *g = calloc(1, sizeof *g);
  if (!g)
    return src_no_memory(err);
  g->host = o->host;
  g->conf = o->conf;
  g->rate = o->instances > 1 && g->conf->rate ? (g->conf->rate + o->instances - 1) / o->instances
                                              : g->conf->rate;
  uint32_t makes = SRC_BIT(SRC_PARTITION) | SRC_BIT(SRC_OFFSET) | SRC_BIT(SRC_TIMESTAMP) |
                   SRC_BIT(SRC_OP) | SRC_BIT(SRC_POSITION) | SRC_BIT(SRC_ELEMENT) |
                   SRC_BIT(SRC_ORIGINAL);
  int r = src_system_init(&g->system, &o->want, makes, err);
  if (r == MR_OK && o->bounded && !g->conf->rows)
    r = src_badconf(err, "rows", "rows must be given when the run is to end by itself");
  if (r == MR_OK && (!open_columns(g) || !open_lanes(g, o->instance, o->instances)))
    r = src_no_memory(err);
  if (r < 0)
    close_(g);
  else
    *self = g;
  return r;
}

static int name_lane(struct generate *g, struct lane *l, struct mr_error *err)
{
  const struct mr_host *h = g->host;
  struct mr_position from, zero = mr_position_u64(0);
  char name[24];
  snprintf(name, sizeof name, "%llu", (unsigned long long)l->index);
  int r = h->lane(h->ctx, name, NULL, &l->id, &from, err);
  if (r == MR_LANE_NEW || r == MR_LANE_LATER)
    r = h->lane(h->ctx, name, &zero, &l->id, &from, err);
  if (r < 0)
    return r;
  l->at = mr_position_get(&from);
  l->named = true;
  return MR_OK;
}

static int start(void *self, struct mr_error *err)
{
  struct generate *g = self;
  for (size_t i = 0; i < g->n_lane; i++) {
    int r = g->lane[i].named ? MR_OK : name_lane(g, &g->lane[i], err);
    if (r < 0)
      return r;
  }
  g->since_ns = now_ns();
  return MR_OK;
}

/* The next lane that still has rows, round robin; NULL: none. */
static struct lane *next_lane(struct generate *g)
{
  for (size_t i = 0; i < g->n_lane; i++) {
    struct lane *l = &g->lane[g->next++ % g->n_lane];
    if (l->at < l->end)
      return l;
  }
  return NULL;
}

/* Rows that the rate allows now, at most max; when that is none, waits for the next one, or until
 * woken. */
static int64_t allowed(struct generate *g, int64_t max, int32_t timeout_ms)
{
  if (!g->rate)
    return max;
  int64_t rate = g->rate, now = now_ns();
  int64_t due = (int64_t)((double)(now - g->since_ns) * (double)rate / 1e9) + 1 - g->given;
  if (due <= 0) {
    int64_t wait_ms = (1 - due) * 1000 / rate + 1;
    struct pollfd wake = {.fd = g->host->wake_fd, .events = POLLIN};
    poll(&wake, 1, wait_ms < timeout_ms ? (int)wait_ms : timeout_ms);
    return 0;
  }
  return due < max ? due : max;
}

static bool add_row(struct generate *g, const struct lane *l, uint64_t at)
{
  uint64_t row = at * (uint64_t)g->conf->lanes + l->index;
  struct src_message m = {
      .partition = (int32_t)l->index,
      .offset = (int64_t)at,
      .timestamp_us = GENERATE_EPOCH_US + (int64_t)row * 1000,
      .op = "insert",
      .position = at,
  };
  return generate_row((enum generate_kind)g->conf->kind, (uint64_t)g->conf->seed, row, g->column) &&
         (!g->system.n || src_system_add(&g->system, &m, 1));
}

static void forget(struct generate *g)
{
  for (int64_t i = 0; i < g->n_column; i++)
    mr_column_truncate(&g->column[i], 0);
  src_system_truncate(&g->system, 0);
}

static int64_t row_bytes(enum generate_kind kind)
{
  return kind == GENERATE_TRADES ? 88 : kind == GENERATE_PEOPLE ? 160 : 8;
}

static int make(struct generate *g, struct lane *l, uint64_t n, struct mr_batch *give,
                struct mr_error *err)
{
  struct ArrowArray rows;
  for (uint64_t i = 0; i < n; i++)
    if (!add_row(g, l, l->at + i)) {
      forget(g);
      return src_no_memory(err);
    }
  if (!mr_rows_finish(g->column, g->n_column, (int64_t)n, &rows) ||
      !src_system_join(&g->system, &rows, &give->rows))
    return src_no_memory(err);
  l->at += n;
  g->given += (int64_t)n;
  give->lane = l->id;
  give->upto = mr_position_u64(l->at);
  give->watermark_us = GENERATE_EPOCH_US + (int64_t)(l->at * (uint64_t)g->conf->lanes) * 1000;
  return MR_OK;
}

static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct generate *g = self;
  struct lane *l = next_lane(g);
  if (!l)
    return MR_END;
  int64_t fit = max_bytes / row_bytes((enum generate_kind)g->conf->kind) + 1;
  int64_t max = fit < max_rows ? fit : max_rows;
  int64_t n = max > 0 ? allowed(g, max, timeout_ms) : 0;
  uint64_t end = l->cut > l->at && l->cut < l->end ? l->cut : l->end;
  if (n <= 0)
    return MR_IDLE;
  return make(g, l, (uint64_t)n < end - l->at ? (uint64_t)n : end - l->at, give, err);
}

static struct lane *find_lane(struct generate *g, uint32_t id)
{
  for (size_t i = 0; i < g->n_lane; i++)
    if (g->lane[i].named && g->lane[i].id == id)
      return &g->lane[i];
  return NULL;
}

static int cut(void *self, uint32_t lane, const struct mr_position *p)
{
  struct lane *l = find_lane(self, lane);
  if (l)
    l->cut = mr_position_get(p);
  return MR_OK;
}

static int seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  struct lane *l = find_lane(self, lane);
  if (l)
    l->at = mr_position_get(p);
  return MR_OK;
}

static const struct mr_source source = {
    .size = sizeof(struct mr_source),
    .open = open_,
    .schema = schema,
    .start = start,
    .read = read_,
    .cut = cut,
    .seek = seek,
    .close = close_,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "generate",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Seeded made-up rows: trades, people or a sequence",
    .options = options,
    .source = &source,
};
