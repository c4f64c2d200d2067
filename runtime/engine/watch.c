/* SPDX-License-Identifier: Apache-2.0 */
/* What is counted for those who watch a run: errors by their kind and code, and how long rows were
 * on their way into each sink. */
#include "engine/engine.h"

#define POSITION_TEXT 130
#define MAX_ERRORS 64 /* kinds and codes of one stage; more are counted as "other" */

void mr_stage_error(struct mr_stage *s, const char *kind, const char *code)
{
  g_autofree char *key = g_strconcat(kind, "\t", code && *code ? code : "", NULL);
  pthread_mutex_lock(&s->p->lock);
  int64_t *n = g_hash_table_lookup(s->errors, key);
  if (!n && g_hash_table_size(s->errors) >= MAX_ERRORS) {
    g_free(key);
    key = g_strconcat(kind, "\tother", NULL);
    n = g_hash_table_lookup(s->errors, key);
  }
  if (!n) {
    n = g_new0(int64_t, 1);
    g_hash_table_insert(s->errors, g_strdup(key), n);
  }
  ++*n;
  pthread_mutex_unlock(&s->p->lock);
}

static gint by_name(gconstpointer a, gconstpointer b)
{
  return strcmp(a, b);
}

/* The two halves of each key, sorted. Under the lock. */
static void each_pair(GHashTable *table, mr_metric_fn *fn, void *out)
{
  GList *names = g_list_sort(g_hash_table_get_keys(table), by_name);
  for (GList *n = names; n; n = n->next) {
    g_auto(GStrv) part = g_strsplit(n->data, "\t", 2);
    fn(out, part[0], part[1], *(int64_t *)g_hash_table_lookup(table, n->data));
  }
  g_list_free(names);
}

void mr_pipeline_metrics(struct mr_pipeline *p, size_t i, mr_metric_fn *metric, void *out)
{
  pthread_mutex_lock(&p->lock);
  each_pair(((struct mr_stage *)p->stages->pdata[i])->metrics, metric, out);
  pthread_mutex_unlock(&p->lock);
}

void mr_pipeline_errors(struct mr_pipeline *p, size_t i, mr_metric_fn *error, void *out)
{
  pthread_mutex_lock(&p->lock);
  each_pair(((struct mr_stage *)p->stages->pdata[i])->errors, error, out);
  pthread_mutex_unlock(&p->lock);
}

void mr_pipeline_lanes(struct mr_pipeline *p, size_t i,
                       void (*lane)(void *out, const char *source, const char *name,
                                    const char *position),
                       void *out)
{
  pthread_mutex_lock(&p->lock);
  const struct mr_stage *s = p->stages->pdata[i];
  for (guint k = 0; k < s->snk.lanes->len; k++) {
    const struct mr_sink_lane *sl = s->snk.lanes->pdata[k];
    char at[POSITION_TEXT];
    if (!sl->owned || !sl->has_row)
      continue;
    mr_position_text(&sl->stored, at, sizeof at);
    lane(out, sl->lane->source->spec->name, sl->lane->name, at);
  }
  pthread_mutex_unlock(&p->lock);
}

static void note(struct mr_latency **l, int64_t now_us, int64_t latency_us, int64_t rows)
{
  if (!*l)
    *l = g_new0(struct mr_latency, 1);
  mr_latency_add(*l, now_us, latency_us, rows);
}

void mr_sink_watch(struct mr_stage *s)
{
  int64_t now = mr_now_us(s->p->os), wall = s->p->os->wall_us(s->p->os);
  for (guint i = 0; i < s->snk.unit->len; i++) {
    const struct mr_kept *k = &g_array_index(s->snk.unit, struct mr_kept, i);
    const struct mr_since *since = &k->m->since;
    int64_t rows = k->m->batch.rows.length - k->n_dead;
    if (rows > 0 && since->read_us)
      note(&s->snk.latency, now, now - since->read_us, rows);
    if (rows > 0 && since->event_us != INT64_MIN)
      note(&s->snk.event_latency, now, wall - since->event_us, rows);
  }
}

static void view(const struct mr_latency *l, int64_t now, struct mr_latency_view *ret)
{
  if (l)
    mr_latency_view(l, now, ret);
  else
    *ret = (struct mr_latency_view){.p50_us = -1, .p95_us = -1, .p99_us = -1};
}

static int64_t lag_of(const struct mr_stage *s, int64_t now)
{
  int64_t oldest = atomic_load_explicit(&s->oldest_us, memory_order_relaxed);
  return oldest ? MAX(now - oldest, 0) : 0;
}

/* What waits before the stage, and what a sink holds that is not durable. Under the lock. */
static void look_at_backlog(struct mr_stage *s, struct mr_stage_stats *ret)
{
  ret->backlog_rows = atomic_load_explicit(&s->held_rows, memory_order_relaxed);
  for (guint k = 0; k < s->inputs->len; k++) {
    struct mr_channel *c = s->inputs->pdata[k];
    ret->slots += (int64_t)c->ring.mask + 1;
    ret->queued +=
        (int64_t)mr_ring_used(&c->ring) + atomic_load_explicit(&c->behind, memory_order_relaxed);
    ret->backlog_rows += atomic_load_explicit(&c->rows, memory_order_relaxed);
  }
}

/* Under the lock. */
static void look_at_stage(struct mr_stage *s, int64_t now, struct mr_stage_stats *ret)
{
  *ret = (struct mr_stage_stats){.name = s->spec->name,
                                 .plugin = s->spec->plugin->name,
                                 .kind = s->spec->kind,
                                 .instance = s->instance,
                                 .rows_in = s->rows_in,
                                 .rows_out = s->rows_out,
                                 .bytes_out = s->bytes_out,
                                 .rejected = s->rejected,
                                 .retries = s->retries,
                                 .busy_us = s->busy_us,
                                 .stall_us = s->stall_us,
                                 .connect_errors = s->connect_errors,
                                 .watermark_us = s->watermark_us,
                                 .late_rows = s->late_rows,
                                 .lag_us = lag_of(s, now),
                                 .status = s->status};
  g_strlcpy(ret->text, s->status_text ? s->status_text : "", sizeof ret->text);
  g_strlcpy(ret->last_error, s->last_error ? s->last_error : "", sizeof ret->last_error);
  view(s->snk.latency, now, &ret->latency);
  view(s->snk.event_latency, now, &ret->event_latency);
  look_at_backlog(s, ret);
}

size_t mr_pipeline_stats(struct mr_pipeline *p, struct mr_stage_stats *ret, size_t max)
{
  size_t n = MIN(max, p->stages->len);
  int64_t now = mr_now_us(p->os);
  pthread_mutex_lock(&p->lock);
  for (size_t i = 0; i < n; i++)
    look_at_stage(p->stages->pdata[i], now, &ret[i]);
  pthread_mutex_unlock(&p->lock);
  return n;
}
