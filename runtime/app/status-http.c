/* SPDX-License-Identifier: Apache-2.0 */
#include "app/status-http.h"
#include "app/metrics-text.h"
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include "conf/json-out.h"
#include "engine/lookup.h"
#include "plug/host.h"

#define MAX_STAGES 256
#define CONNECTION_LIMIT 32
#define CONNECTION_TIMEOUT_S 10

struct mr_status_http {
  const struct mr_spec *spec;
  struct mr_pipeline *p;
  struct MHD_Daemon *daemon;
};

struct answer {
  unsigned status;
  const char *type;
  GString *text;
};

static const char *const states[] = {"new", "waiting", "running", "done", "failed", "paused"};
static const char *state_name(int s)
{
  return s >= 0 && s < (int)G_N_ELEMENTS(states) ? states[s] : "unknown";
}
static const char *kind_name(enum mr_stage_kind k)
{
  return k == MR_STAGE_SOURCE ? "source" : k == MR_STAGE_SINK ? "sink" : "transform";
}

/* The worst state of all stages; *ret the stage that is in it. */
static int overall(const struct mr_stage_stats *s, size_t n, const struct mr_stage_stats **ret)
{
  static const int badness[] = {2, 3, 1, 0, 5, 4}; /* by state */
  *ret = NULL;
  for (size_t i = 0; i < n; i++)
    if (!*ret || badness[s[i].status] > badness[(*ret)->status])
      *ret = &s[i];
  return *ret ? (*ret)->status : 0;
}

/* ---- /status */

/* What lanes have each is one number here: their sum. */
struct summing {
  struct mr_json_out *w;
  const char *name; /* interned; NULL: none yet */
  int64_t sum;
};
static void put_sum(struct summing *m)
{
  if (m->name)
    mr_json_out_int(m->w, m->name, m->sum);
}
static void sum_metric(void *out, const char *name, const char *lane, int64_t value)
{
  struct summing *m = out;
  if (g_strcmp0(m->name, name)) {
    put_sum(m);
    m->name = g_intern_string(name);
    m->sum = 0;
  }
  m->sum += value;
}

static bool has_watermark(const struct mr_stage_stats *s)
{
  return s->kind == MR_STAGE_SOURCE && s->watermark_us != INT64_MIN;
}

/* Seconds; null: nothing came in the last minute. */
static void put_seconds(struct mr_json_out *w, const char *key, int64_t us)
{
  if (us < 0)
    mr_json_out_text(w, key, NULL);
  else
    mr_json_out_real(w, key, (double)us / 1e6);
}

static void put_latency(struct mr_json_out *w, const char *key, const struct mr_latency_view *v)
{
  mr_json_out_open(w, key, '{');
  put_seconds(w, "p50", v->p50_us);
  put_seconds(w, "p95", v->p95_us);
  put_seconds(w, "p99", v->p99_us);
  mr_json_out_close(w, '{');
}

static void put_lane(void *out, const char *source, const char *name, const char *position)
{
  struct mr_json_out *w = out;
  mr_json_out_open(w, NULL, '{');
  mr_json_out_text(w, "source", source);
  mr_json_out_text(w, "lane", name);
  mr_json_out_text(w, "position", position);
  mr_json_out_close(w, '{');
}

static void put_sink(struct mr_json_out *w, struct mr_status_http *h,
                     const struct mr_stage_stats *s, size_t i)
{
  put_seconds(w, "lag_seconds", s->lag_us);
  mr_json_out_int(w, "backlog_rows", s->backlog_rows);
  mr_json_out_real(w, "rows_per_second", s->latency.rows_per_second);
  put_latency(w, "latency_seconds", &s->latency);
  if (s->event_latency.rows)
    put_latency(w, "event_latency_seconds", &s->event_latency);
  mr_json_out_open(w, "lanes", '[');
  mr_pipeline_lanes(h->p, i, put_lane, w);
  mr_json_out_close(w, '[');
}

static void put_error(void *out, const char *kind, const char *code, int64_t n)
{
  struct mr_json_out *w = out;
  mr_json_out_open(w, NULL, '{');
  mr_json_out_text(w, "type", kind);
  mr_json_out_text(w, "code", *code ? code : NULL);
  mr_json_out_int(w, "count", n);
  mr_json_out_close(w, '{');
}

/* Stage i of the pipeline. */
static void put_stage(struct mr_json_out *w, struct mr_status_http *h,
                      const struct mr_stage_stats *s, size_t i)
{
  g_autofree char *safe = mr_spec_redact(h->spec, s->text),
                  *last = mr_spec_redact(h->spec, s->last_error);
  mr_json_out_open(w, NULL, '{');
  mr_json_out_text(w, "name", s->name);
  mr_json_out_text(w, "kind", kind_name(s->kind));
  mr_json_out_text(w, "plugin", s->plugin);
  mr_json_out_int(w, "instance", s->instance);
  mr_json_out_text(w, "state", state_name(s->status));
  mr_json_out_text(w, "waits_for", *safe ? safe : NULL);
  mr_json_out_text(w, "last_error", *last ? last : NULL);
  mr_json_out_int(w, "rows_in", s->rows_in);
  mr_json_out_int(w, "rows_out", s->rows_out);
  mr_json_out_int(w, "rejected", s->rejected);
  mr_json_out_int(w, "retries", s->retries);
  mr_json_out_int(w, "bytes_out", s->bytes_out);
  mr_json_out_int(w, "queued", s->queued);
  mr_json_out_int(w, "ring_slots", s->slots);
  mr_json_out_real(w, "busy_seconds", (double)s->busy_us / 1e6);
  mr_json_out_real(w, "stall_seconds", (double)s->stall_us / 1e6);
  if (s->kind == MR_STAGE_SINK)
    put_sink(w, h, s, i);
  if (has_watermark(s)) {
    mr_json_out_real(w, "watermark_seconds", (double)s->watermark_us / 1e6);
    mr_json_out_int(w, "late_rows", s->late_rows);
  }
  mr_json_out_open(w, "errors", '[');
  mr_pipeline_errors(h->p, i, put_error, w);
  mr_json_out_close(w, '[');
  mr_json_out_open(w, "metrics", '{');
  struct summing m = {.w = w};
  mr_pipeline_metrics(h->p, i, sum_metric, &m);
  put_sum(&m);
  mr_json_out_close(w, '{');
  mr_json_out_close(w, '{');
}

/* Indexed by mr_lookup_state. */
static const char *const lookup_states[] = {"new", "waiting", "loading", "ready", "failed"};

struct listing {
  struct mr_json_out w;
  const struct mr_spec *spec;
};
static void put_lookup(void *out, const struct mr_lookup_info *i)
{
  struct listing *l = out;
  g_autofree char *safe = mr_spec_redact(l->spec, i->text);
  mr_json_out_open(&l->w, NULL, '{');
  mr_json_out_text(&l->w, "name", i->name);
  mr_json_out_text(&l->w, "state", lookup_states[i->state]);
  mr_json_out_text(&l->w, "text", safe);
  mr_json_out_int(&l->w, "keys", i->keys);
  mr_json_out_int(&l->w, "bytes", i->bytes);
  mr_json_out_int(&l->w, "rows", i->rows);
  mr_json_out_int(&l->w, "rejected", i->rejected);
  if (i->age_us >= 0)
    mr_json_out_real(&l->w, "age_seconds", (double)i->age_us / 1e6);
  mr_json_out_bool(&l->w, "following", i->following);
  mr_json_out_close(&l->w, '{');
}

static void status(struct mr_status_http *h, struct answer *a)
{
  struct mr_stage_stats s[MAX_STAGES];
  size_t n = mr_pipeline_stats(h->p, s, MAX_STAGES);
  const struct mr_stage_stats *worst;
  struct listing l = {{.text = a->text}, h->spec};
  struct mr_json_out *w = &l.w;
  mr_json_out_open(w, NULL, '{');
  mr_json_out_text(w, "pipeline", h->spec->name);
  mr_json_out_text(w, "state", state_name(overall(s, n, &worst)));
  mr_json_out_int(w, "memory_bytes", mr_pipeline_memory(h->p));
  mr_json_out_int(w, "dead_letters", (int64_t)mr_pipeline_letters(h->p));
  mr_json_out_open(w, "stages", '[');
  for (size_t i = 0; i < n; i++)
    put_stage(w, h, &s[i], i);
  mr_json_out_close(w, '[');
  mr_json_out_open(w, "lookups", '[');
  mr_pipeline_lookups(h->p, put_lookup, &l);
  mr_json_out_close(w, '[');
  mr_json_out_close(w, '{');
}

static void metrics(struct mr_status_http *h, struct answer *a)
{
  a->type = "text/plain; version=0.0.4";
  mr_metrics_text(h->p, a->text);
}

/* ---- /readyz, /health/STAGE */

static void ready(struct mr_status_http *h, struct answer *a)
{
  struct mr_stage_stats s[MAX_STAGES];
  size_t n = mr_pipeline_stats(h->p, s, MAX_STAGES);
  const struct mr_stage_stats *worst;
  int st = overall(s, n, &worst);
  g_autofree char *safe = mr_spec_redact(h->spec, worst ? worst->text : "");
  a->type = "text/plain";
  if (st == 2 || st == 3) {
    g_string_assign(a->text, "ready\n");
    return;
  }
  a->status = MHD_HTTP_SERVICE_UNAVAILABLE;
  g_string_printf(a->text, "%s is %s%s%s\n", worst ? worst->name : "the pipeline", state_name(st),
                  *safe ? ": " : "", safe);
}

static int put_text(void *out, const void *data, size_t len)
{
  g_string_append_len(out, data, (gssize)len);
  return 0;
}

static void health(struct mr_status_http *h, const char *name, struct answer *a)
{
  const struct mr_stage_spec *s = mr_spec_stage(h->spec, name);
  struct mr_json_out w = {.text = a->text};
  struct mr_error err = {.size = sizeof err, .row = -1};
  struct mr_host host;
  g_autoptr(GString) line = g_string_new(NULL);
  if (!s || !s->plugin->check) {
    a->status = MHD_HTTP_NOT_FOUND;
    g_string_printf(a->text, "{\"error\": \"%s\"}\n",
                    s ? "this stage has no server" : "no such stage");
    return;
  }
  mr_host_init(&host, NULL);
  struct mr_open o = {.size = sizeof o,
                      .instances = 1,
                      .host = &host,
                      .conf = s->conf,
                      .pipeline = h->spec->name,
                      .stage = s->name};
  int64_t t = g_get_monotonic_time();
  int st = s->plugin->check(&o, put_text, line, &err);
  g_autofree char *now = g_date_time_format_iso8601(g_date_time_new_now_utc()),
                  *safe = mr_spec_redact(h->spec, st < 0 ? err.msg : line->str);
  a->status = st < 0 ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK;
  mr_json_out_open(&w, NULL, '{');
  mr_json_out_text(&w, "stage", s->name);
  mr_json_out_text(&w, "status", st < 0 ? "down" : "up");
  mr_json_out_text(&w, "last_check", now);
  mr_json_out_real(&w, "latency_ms", (double)(g_get_monotonic_time() - t) / 1e3);
  mr_json_out_text(&w, "error", st < 0 ? safe : NULL);
  mr_json_out_text(&w, "detail", st < 0 ? NULL : safe);
  mr_json_out_close(&w, '{');
}

/* ---- the server */

static void route(struct mr_status_http *h, const char *url, struct answer *a)
{
  if (!strcmp(url, "/status"))
    status(h, a);
  else if (!strcmp(url, "/metrics"))
    metrics(h, a);
  else if (!strcmp(url, "/readyz"))
    ready(h, a);
  else if (!strcmp(url, "/healthz"))
    g_string_assign(a->text, "{\"status\": \"up\"}\n");
  else if (g_str_has_prefix(url, "/health/"))
    health(h, url + 8, a);
  else {
    a->status = MHD_HTTP_NOT_FOUND;
    g_string_assign(
        a->text,
        "{\"error\": \"there are /status, /metrics, /healthz, /readyz and /health/STAGE\"}\n");
  }
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
  struct answer a = {MHD_HTTP_OK, "application/json", NULL};
  if (strcmp(method, "GET"))
    return MHD_NO;
  a.text = g_string_new(NULL);
  route(ctx, url, &a);
  struct MHD_Response *r =
      MHD_create_response_from_buffer(a.text->len, a.text->str, MHD_RESPMEM_MUST_COPY);
  MHD_add_response_header(r, "Content-Type", a.type);
  enum MHD_Result ok = MHD_queue_response(c, a.status, r);
  MHD_destroy_response(r);
  g_string_free(a.text, TRUE);
  return ok;
}

/* "127.0.0.1:9600"; the address in brackets when it is IPv6. */
static bool parse_address(const char *text, struct sockaddr_storage *ret)
{
  const char *colon = strrchr(text, ':');
  guint64 port;
  if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL))
    return false;
  g_autofree char *host = g_strndup(text, (gsize)(colon - text));
  struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;
  memset(ret, 0, sizeof *ret);
  if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons((uint16_t)port);
    return true;
  }
  size_t n = strlen(host);
  if (n < 2 || host[0] != '[' || host[n - 1] != ']')
    return false;
  host[n - 1] = 0;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons((uint16_t)port);
  return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
}

struct mr_status_http *mr_status_http_new(const struct mr_spec *spec, struct mr_pipeline *p,
                                          char **ret_why)
{
  struct sockaddr_storage at;
  if (!parse_address(spec->settings.http, &at)) {
    *ret_why = g_strdup_printf("settings.http: `%s` is no ADDRESS:PORT", spec->settings.http);
    return NULL;
  }
  struct mr_status_http *h = g_new0(struct mr_status_http, 1);
  h->spec = spec;
  h->p = p;
  unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | (at.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
  h->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_SOCK_ADDR, &at,
                               MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTION_LIMIT,
                               MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONNECTION_TIMEOUT_S,
                               MHD_OPTION_END);
  if (h->daemon)
    return h;
  *ret_why = g_strdup_printf("settings.http: cannot listen on %s", spec->settings.http);
  g_free(h);
  return NULL;
}

void mr_status_http_free(struct mr_status_http *h)
{
  if (!h)
    return;
  MHD_stop_daemon(h->daemon);
  g_free(h);
}
