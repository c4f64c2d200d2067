/* SPDX-License-Identifier: Apache-2.0 */
/* What a lookup's source may call (mr_host), and how its instance comes and goes. */
#include <sys/eventfd.h>
#include <unistd.h>
#include "engine/engine.h"
#include "engine/lookup-private.h"

const struct mr_source *mr_lookup_vt(const struct mr_lookup_source *s)
{
  return s->spec->plugin->source;
}

/* ---- services */

static void host_log(void *ctx, int level, const char *text)
{
  mr_lookup_log(ctx, level, "%s", text);
}
static void host_metric(void *ctx, const char *name, uint32_t lane, int64_t value)
{
}
static void host_notify(void *ctx)
{
  struct mr_lookup_source *s = ctx;
  s->os->wake(s->os, &s->event);
}

/* "trades/0 at 17: " as far as it is known. */
static void put_place(const struct mr_lookup_source *s, const struct mr_reject *r, GString *out)
{
  char at[2 * sizeof r->position->token + 1];
  if (r->lane < s->lanes->len)
    g_string_append(out, g_array_index(s->lanes, struct mr_lookup_lane, r->lane).name);
  if (r->position && r->position->len) {
    mr_position_text(r->position, at, sizeof at);
    g_string_append_printf(out, "%sat %s", out->len ? " " : "", at);
  }
  if (out->len)
    g_string_append(out, ": ");
}

/* The first of a load is told whole; its end tells how many there were. */
static int host_reject(void *ctx, const struct mr_reject *r)
{
  struct mr_lookup_source *s = ctx;
  pthread_mutex_lock(&s->lock);
  bool first = s->rejected++ == s->rejected_before;
  pthread_mutex_unlock(&s->lock);
  if (first) {
    g_autoptr(GString) place = g_string_new(NULL);
    put_place(s, r, place);
    mr_lookup_log(s, MR_WARN, "a row was refused (%s): %s%s; further ones are counted",
                  r->code ? r->code : "rejected", place->str, r->msg ? r->msg : "");
  }
  if (s->all->hooks.reject)
    s->all->hooks.reject(s->all->hooks.ctx, s->spec->name, r);
  return MR_OK;
}

struct mr_lookup_lane *mr_lookup_lane(struct mr_lookup_source *s, const char *name,
                                      uint32_t *ret_id)
{
  guint i = 0;
  for (; i < s->lanes->len; i++)
    if (!strcmp(g_array_index(s->lanes, struct mr_lookup_lane, i).name, name))
      break;
  if (i == s->lanes->len) {
    struct mr_lookup_lane lane = {.name = g_strdup(name)};
    g_array_append_val(s->lanes, lane);
  }
  *ret_id = i;
  return &g_array_index(s->lanes, struct mr_lookup_lane, i);
}

static int host_lanes(void *ctx, const char *const *names, size_t n, struct mr_error *err)
{
  return MR_OK;
}
/* A lane without a position begins at its beginning, whatever the source's own start option says: a
 * table is all of it. */
static int host_lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
                     struct mr_position *ret_from, struct mr_error *err)
{
  struct mr_lookup_source *s = ctx;
  uint32_t id;
  struct mr_lookup_lane *lane = mr_lookup_lane(s, name, &id);
  if (!lane->has && !first) {
    *ret = id;
    return MR_LANE_LATER;
  }
  if (!lane->has)
    lane->at = *first;
  lane->has = true;
  *ret = id;
  *ret_from = lane->at;
  return MR_LANE_KNOWN;
}
static int host_lane_end(void *ctx, uint32_t lane, bool lost, int64_t wait_ms)
{
  return MR_OK;
}

static int host_no_lookup(void *ctx, const char *name, const struct ArrowSchema *keys,
                          struct mr_lookup **ret, struct ArrowSchema *give_row,
                          struct mr_error *err)
{
  return mr_fail(err, MR_BADCONF, "a lookup cannot use another one");
}

static void host_init(struct mr_lookup_source *s)
{
  const struct mr_host *base = s->all->hooks.services;
  if (base)
    s->host = *base;
  s->host.abi = MR_ABI;
  s->host.size = sizeof s->host;
  s->host.ctx = s;
  s->host.wake_fd = s->wake_fd;
  s->host.log = host_log;
  s->host.metric = host_metric;
  s->host.notify = host_notify;
  s->host.reject = host_reject;
  s->host.lanes = host_lanes;
  s->host.lane = host_lane;
  s->host.lane_end = host_lane_end;
  s->host.lookup = host_no_lookup;
  s->host.find = NULL;
}

/* ---- the instance */

static int open_with(struct mr_lookup_source *s, bool want_op, struct mr_error *err)
{
  void *self = NULL;
  g_ptr_array_set_size(s->asked, 0);
  for (char **w = s->wants; w && *w; w++)
    if (strcmp(*w, "_op"))
      g_ptr_array_add(s->asked, *w);
  if (want_op)
    g_ptr_array_add(s->asked, (char *)"_op");
  host_init(s);
  s->open = (struct mr_open){.size = sizeof s->open,
                             .instances = 1,
                             .host = &s->host,
                             .conf = s->spec->conf,
                             .want = {s->asked->pdata, NULL, s->asked->len},
                             .pipeline = s->all->hooks.pipeline,
                             .stage = s->spec->name,
                             .bounded = s->bounded};
  mr_error_clear(err);
  int rc = mr_lookup_vt(s)->open(&s->open, &self, err);
  pthread_mutex_lock(&s->lock);
  s->self = rc >= 0 ? self : NULL;
  pthread_mutex_unlock(&s->lock);
  return rc;
}

/* Deletes are wanted from sources that know them; the others refuse the column. */
int mr_lookup_connect(struct mr_lookup_source *s, bool bounded, struct mr_error *err)
{
  mr_lookup_disconnect(s);
  s->bounded = bounded;
  int rc = open_with(s, true, err);
  return rc == MR_BADCONF ? open_with(s, false, err) : rc;
}

void mr_lookup_disconnect(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  void *self = s->self;
  s->self = NULL;
  pthread_mutex_unlock(&s->lock);
  if (self)
    mr_lookup_vt(s)->close(self);
}

void mr_lookup_wake(struct mr_lookup_source *s)
{
  eventfd_write(s->wake_fd, 1);
  pthread_mutex_lock(&s->lock); /* self cannot be closed meanwhile */
  if (s->self && MR_HAS(mr_lookup_vt(s), wake))
    mr_lookup_vt(s)->wake(s->self);
  pthread_mutex_unlock(&s->lock);
  s->os->wake(s->os, &s->event);
}
