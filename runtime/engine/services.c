/* SPDX-License-Identifier: Apache-2.0 */
/* The services a stage's plugin may call: mr_host, on the stage's own thread. */
#include "engine/engine.h"
#include "engine/lookup.h"
#include "plug/host.h"

static void svc_log(void *ctx, int level, const char *text)
{
  struct mr_stage *s = ctx;
  mr_pipeline_log(s->p, s, level, "%s", text);
}

static void svc_metric(void *ctx, const char *name, uint32_t lane, int64_t value)
{
  struct mr_stage *s = ctx;
  pthread_mutex_lock(&s->p->lock);
  /* what is set, and not added, belongs to a lane where it names one: "name\tlane" */
  bool total = g_str_has_suffix(name, "_total");
  const struct mr_lane *l = total ? NULL : mr_lane_table_at(&s->p->lanes, lane);
  g_autofree char *key = g_strconcat(name, l ? "\t" : NULL, l ? l->name : NULL, NULL);
  int64_t *v = g_hash_table_lookup(s->metrics, key);
  if (!v) {
    v = g_new0(int64_t, 1);
    g_hash_table_insert(s->metrics, g_strdup(key), v);
  }
  *v = total ? *v + value : value;
  pthread_mutex_unlock(&s->p->lock);
}

static void svc_notify(void *ctx)
{
  struct mr_stage *s = ctx;
  s->p->os->wake(s->p->os, &s->event);
}

static int svc_reject(void *ctx, const struct mr_reject *r)
{
  struct mr_stage *s = ctx;
  g_ptr_array_add(s->letters, mr_letter_from(s, r));
  return MR_OK;
}

static int svc_lanes(void *ctx, const char *const *names, size_t n, struct mr_error *err)
{
  return mr_lanes_announce(ctx, names, n, err);
}

static int svc_lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
                    struct mr_position *ret_from, struct mr_error *err)
{
  return mr_lanes_name(ctx, name, first, ret, ret_from, err);
}

static int svc_lane_end(void *ctx, uint32_t lane, bool lost, int64_t wait_ms)
{
  return mr_lanes_end(ctx, lane, lost, wait_ms);
}

static int svc_lookup(void *ctx, const char *name, const struct ArrowSchema *keys,
                      struct mr_lookup **ret, struct ArrowSchema *give_row, struct mr_error *err)
{
  struct mr_stage *s = ctx;
  if (!s->p->lookups)
    return mr_fail(err, MR_BADCONF, "the file declares no lookups");
  return mr_lookup_open(s->p->lookups, name, keys, ret, give_row, err);
}

void mr_services_init(struct mr_stage *s)
{
  mr_host_init(&s->host, s);
  s->host.wake_fd = s->wake_fd;
  s->host.log = svc_log;
  s->host.metric = svc_metric;
  s->host.notify = svc_notify;
  s->host.reject = svc_reject;
  s->host.lanes = svc_lanes;
  s->host.lane = svc_lane;
  s->host.lane_end = svc_lane_end;
  s->host.lookup = svc_lookup;
  s->host.find = mr_lookup_find;
  s->host.lookup_free = mr_lookup_close;
}
