/* SPDX-License-Identifier: Apache-2.0 */
#include "app/metrics-text.h"
#include <math.h>
#include <string.h>
#include "conf/json-out.h"
#include "engine/lookup.h"

#define MAX_STAGES 256

/* All metrics in the order in which they first came. */
struct metrics {
  GPtrArray *all;      /* struct metric * */
  GHashTable *by_name; /* the same */
};
struct metric {
  char *name;
  const char *type, *help;
  GString *lines;
};

static void metric_free(void *p)
{
  struct metric *m = p;
  g_free(m->name);
  g_string_free(m->lines, TRUE);
  g_free(m);
}

static struct metric *metric_of(struct metrics *ms, const char *name, const char *type,
                                const char *help)
{
  struct metric *m = g_hash_table_lookup(ms->by_name, name);
  if (m)
    return m;
  m = g_new0(struct metric, 1);
  m->name = g_strdup(name);
  m->type = type;
  m->help = help;
  m->lines = g_string_new(NULL);
  g_ptr_array_add(ms->all, m);
  g_hash_table_insert(ms->by_name, m->name, m);
  return m;
}

static void put_value(GString *out, double value)
{
  char text[MR_REAL_TEXT];
  g_string_append_printf(out, " %s\n", isnan(value) ? "NaN" : mr_real_text(text, value));
}

/* name="value", escaped, behind what stands in the brackets already. */
static void put_label(GString *out, const char *name, const char *value)
{
  char last = out->len ? out->str[out->len - 1] : '{';
  g_string_append_printf(out, "%s%s=\"", last == '{' ? "" : ",", name);
  for (const char *c = value; *c; c++)
    g_string_append_printf(out, *c == '\n' ? "\\n" : *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
  g_string_append_c(out, '"');
}

static const char *kind_name(enum mr_stage_kind k)
{
  return k == MR_STAGE_SOURCE ? "source" : k == MR_STAGE_SINK ? "sink" : "transform";
}

/* A sample of a stage: name{stage="…",instance="…"[,label="…"][,label2="…"]} value. */
struct labels {
  const char *name[2], *value[2]; /* NULL: none */
};
static void put_sample(struct metric *m, const char *suffix, const struct mr_stage_stats *s,
                       const struct labels *more, double value)
{
  g_autofree char *instance = g_strdup_printf("%u", s->instance);
  g_string_append_printf(m->lines, "%s%s{", m->name, suffix);
  put_label(m->lines, "stage", s->name);
  put_label(m->lines, "instance", instance);
  for (int i = 0; more && i < 2; i++)
    if (more->value[i] && *more->value[i])
      put_label(m->lines, more->name[i], more->value[i]);
  g_string_append_c(m->lines, '}');
  put_value(m->lines, value);
}

/* ---- of stages */

static struct metric *stage_metric(struct metrics *ms, const struct mr_stage_stats *s,
                                   const char *name, const char *type, const char *help)
{
  g_autofree char *whole = g_strdup_printf("millrace_%s_%s", kind_name(s->kind), name);
  return metric_of(ms, whole, type, help);
}

static void put(struct metrics *ms, const struct mr_stage_stats *s, const char *name,
                const char *help, double value)
{
  const char *type = g_str_has_suffix(name, "_total") ? "counter" : "gauge";
  put_sample(stage_metric(ms, s, name, type, help), "", s, NULL, value);
}

static double seconds(int64_t us)
{
  return us < 0 ? NAN : (double)us / 1e6;
}

static void put_summary(struct metrics *ms, const struct mr_stage_stats *s, const char *name,
                        const char *help, const struct mr_latency_view *v)
{
  struct metric *m = stage_metric(ms, s, name, "summary", help);
  const struct {
    const char *quantile;
    int64_t us;
  } all[] = {{"0.5", v->p50_us}, {"0.95", v->p95_us}, {"0.99", v->p99_us}};
  for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
    struct labels quantile = {{"quantile"}, {all[i].quantile}};
    put_sample(m, "", s, &quantile, seconds(all[i].us));
  }
  put_sample(m, "_sum", s, NULL, seconds(v->sum_us));
  put_sample(m, "_count", s, NULL, (double)v->rows);
}

static void put_sink(struct metrics *ms, const struct mr_stage_stats *s)
{
  put(ms, s, "lag_seconds", "how long ago the oldest row was read that is not durable",
      seconds(s->lag_us));
  put(ms, s, "backlog_rows", "rows that were read and are not durable", (double)s->backlog_rows);
  put(ms, s, "rows_per_second", "rows made durable in a second, over the last ten to twenty",
      s->latency.rows_per_second);
  put_summary(ms, s, "latency_seconds", "from reading a row until it is durable, last minute",
              &s->latency);
  if (s->event_latency.rows)
    put_summary(ms, s, "event_latency_seconds",
                "from a row's event time until it is durable, last minute", &s->event_latency);
}

static void put_stage(struct metrics *ms, const struct mr_stage_stats *s)
{
  put(ms, s, "up", "whether it runs, or is done", s->status == 2 || s->status == 3);
  put(ms, s, "rows_in_total", "rows that it got; of a source: read", (double)s->rows_in);
  put(ms, s, "rows_out_total", "rows that it gave; of a sink: durable", (double)s->rows_out);
  put(ms, s, "bytes_out_total", "the same in bytes of columns", (double)s->bytes_out);
  put(ms, s, "rows_rejected_total", "rows that it refused", (double)s->rejected);
  put(ms, s, "retries_total", "calls that were made again", (double)s->retries);
  put(ms, s, "connect_errors_total", "calls that found no server", (double)s->connect_errors);
  put(ms, s, "queued_messages", "batches and barriers that wait before it", (double)s->queued);
  put(ms, s, "busy_seconds_total", "time at work", seconds(s->busy_us));
  put(ms, s, "stall_seconds_total", "time in which what is behind it was full",
      seconds(s->stall_us));
  if (s->kind == MR_STAGE_SINK)
    put_sink(ms, s);
  if (s->kind == MR_STAGE_SOURCE && s->watermark_us != INT64_MIN) {
    put(ms, s, "watermark_seconds", "event time up to which all rows have come",
        (double)s->watermark_us / 1e6);
    put(ms, s, "late_rows_total", "rows behind the watermark", (double)s->late_rows);
  }
}

struct named {
  struct metrics *ms;
  const struct mr_stage_stats *s;
};
static void own_metric(void *out, const char *name, const char *lane, int64_t value)
{
  const struct named *n = out;
  g_autofree char *whole = g_strdup_printf("millrace_%s_%s", n->s->plugin, name);
  const char *type = g_str_has_suffix(name, "_total") ? "counter" : "gauge";
  struct labels of_lane = {{"lane"}, {lane}};
  put_sample(metric_of(n->ms, whole, type, NULL), "", n->s, &of_lane, (double)value);
}

static void error_metric(void *out, const char *kind, const char *code, int64_t value)
{
  const struct named *n = out;
  struct labels what = {{"type", "code"}, {kind, code}};
  put_sample(stage_metric(n->ms, n->s, "errors_total", "counter",
                          "by type (unreachable, transient, refused: a row, failed) and code"),
             "", n->s, &what, (double)value);
}

/* ---- of lookups */

static void lookup_metrics(void *out, const struct mr_lookup_info *i)
{
  const struct {
    const char *name;
    double value;
  } all[] = {{"millrace_lookup_ready", i->state == MR_LOOKUP_READY},
             {"millrace_lookup_keys", (double)i->keys},
             {"millrace_lookup_bytes", (double)i->bytes},
             {"millrace_lookup_rows_total", (double)i->rows},
             {"millrace_lookup_rows_rejected_total", (double)i->rejected},
             {"millrace_lookup_age_seconds", (double)i->age_us / 1e6}};
  size_t n = G_N_ELEMENTS(all) - (i->age_us < 0); /* never loaded: no age */
  for (size_t k = 0; k < n; k++) {
    const char *type = g_str_has_suffix(all[k].name, "_total") ? "counter" : "gauge";
    struct metric *m = metric_of(out, all[k].name, type, NULL);
    g_string_append_printf(m->lines, "%s{", m->name);
    put_label(m->lines, "lookup", i->name);
    g_string_append_c(m->lines, '}');
    put_value(m->lines, all[k].value);
  }
}

static void put_alone(struct metrics *ms, const char *name, const char *type, const char *help,
                      double value)
{
  struct metric *m = metric_of(ms, name, type, help);
  g_string_append(m->lines, m->name);
  put_value(m->lines, value);
}

static void print(const struct metrics *ms, GString *out)
{
  for (guint i = 0; i < ms->all->len; i++) {
    const struct metric *m = ms->all->pdata[i];
    if (m->help)
      g_string_append_printf(out, "# HELP %s %s\n", m->name, m->help);
    g_string_append_printf(out, "# TYPE %s %s\n%s", m->name, m->type, m->lines->str);
  }
}

void mr_metrics_text(struct mr_pipeline *p, GString *out)
{
  struct mr_stage_stats s[MAX_STAGES];
  size_t n = mr_pipeline_stats(p, s, MAX_STAGES);
  struct metrics ms = {g_ptr_array_new_with_free_func(metric_free),
                       g_hash_table_new(g_str_hash, g_str_equal)};
  for (size_t i = 0; i < n; i++) {
    struct named of = {&ms, &s[i]};
    put_stage(&ms, &s[i]);
    mr_pipeline_errors(p, i, error_metric, &of);
    mr_pipeline_metrics(p, i, own_metric, &of);
  }
  mr_pipeline_lookups(p, lookup_metrics, &ms);
  put_alone(&ms, "millrace_memory_bytes", "gauge", "of batches in flight",
            (double)mr_pipeline_memory(p));
  put_alone(&ms, "millrace_dead_letters_total", "counter", "rows written to the dead letters",
            (double)mr_pipeline_letters(p));
  print(&ms, out);
  g_hash_table_unref(ms.by_name);
  g_ptr_array_unref(ms.all);
}
