/* SPDX-License-Identifier: Apache-2.0 */
/* Builds the stages and channels of a pipeline file, runs their threads, ends them. */
#include "engine/pipeline.h"
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "engine/engine.h"
#include "engine/lookup.h"
#include "plug/host.h"

#define CHANNEL_SLOTS 16
#define CHANNEL_SLOTS_BLOCKS \
  128 /* batches that wait while a whole block is sent; memory bounds them, too */
#define SOURCE_MEMORY_SHARE 2 /* of settings.memory, for a source's own queues */

/* ---- lookups */

static void on_lookup_log(void *ctx, int level, const char *lookup, const char *text)
{
  struct mr_pipeline *p = ctx;
  if (p->log)
    p->log(p->log_ctx, level, lookup, text);
}

static bool open_lookups(struct mr_pipeline *p, const struct mr_pipeline_options *o,
                         struct mr_error *err)
{
  if (!p->spec->lookups->len)
    return true;
  mr_host_init(&p->lookup_services, p);
  struct mr_lookup_hooks hooks = {.ctx = p,
                                  .os = p->os,
                                  .dir = o->dir,
                                  .pipeline = p->spec->name,
                                  .services = &p->lookup_services,
                                  .wants = o->wants,
                                  .log = on_lookup_log};
  p->lookups = mr_lookups_new(p->spec, &hooks, err);
  return p->lookups != NULL;
}

/* ---- stages */

void mr_stage_init(struct mr_stage *s, struct mr_pipeline *p, const struct mr_stage_spec *spec,
                   size_t index, uint32_t instance, uint32_t instances)
{
  *s = (struct mr_stage){.p = p,
                         .spec = spec,
                         .index = index,
                         .instance = instance,
                         .instances = instances,
                         .wake_fd = -1};
  s->inputs = g_ptr_array_new();
  s->outputs = g_ptr_array_new();
  s->letters = g_ptr_array_new_with_free_func(mr_letter_free);
  s->watermark_us = INT64_MIN;
  s->metrics = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  s->errors = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  s->src.lanes = g_ptr_array_new();
  s->src.to_found = g_ptr_array_new();
  s->snk.lanes = g_ptr_array_new_with_free_func(mr_sink_lane_free);
  s->snk.states = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);
  s->snk.unit = g_array_new(FALSE, TRUE, sizeof(struct mr_kept));
  s->snk.written = g_ptr_array_new_with_free_func(mr_written_free);
  s->snk.letters = g_ptr_array_new_with_free_func(mr_letter_free);
  s->snk.block = g_byte_array_new();
  s->snk.label = g_strdup("");
  if (p->os == mr_os_real())
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  mr_services_init(s);
  mr_state_init(s);
  s->open = (struct mr_open){.size = sizeof s->open,
                             .instance = instance,
                             .instances = instances,
                             .host = &s->host,
                             .conf = spec->conf,
                             .pipeline = p->spec->name,
                             .stage = spec->name,
                             .bounded = p->once,
                             .store = p->store_name,
                             .new_store = p->new_store,
                             .memory = p->spec->settings.memory / SOURCE_MEMORY_SHARE};
}

void mr_stage_finish(struct mr_stage *s)
{
  for (guint i = 0; i < s->outputs->len; i++) {
    struct mr_fan *f = s->outputs->pdata[i];
    for (size_t k = 0; k < f->n; k++)
      mr_channel_finish(&f->channel[k]);
    g_free(f->channel);
    g_free(f->to);
    g_free(f);
  }
  mr_message_unref(s->pending);
  mr_when_free(s->when);
  mr_shape_unref(s->in);
  mr_shape_unref(s->out);
  g_ptr_array_unref(s->inputs);
  g_ptr_array_unref(s->outputs);
  g_ptr_array_unref(s->letters);
  g_hash_table_unref(s->metrics);
  g_hash_table_unref(s->errors);
  mr_trace_finish(s);
  g_free(s->snk.latency);
  g_free(s->snk.event_latency);
  g_ptr_array_unref(s->src.lanes);
  g_ptr_array_unref(s->src.to_found);
  g_ptr_array_unref(s->snk.lanes);
  g_ptr_array_unref(s->snk.states);
  mr_state_finish(s);
  g_array_unref(s->snk.unit);
  g_ptr_array_unref(s->snk.written);
  g_ptr_array_unref(s->snk.letters);
  g_byte_array_unref(s->snk.block);
  g_free(s->snk.label);
  g_strfreev(s->wants);
  g_free(s->status_text);
  g_free(s->last_error);
  if (s->wake_fd >= 0)
    close(s->wake_fd);
}

bool mr_stage_reaches(const struct mr_stage *from, const struct mr_stage *to)
{
  return from->p->reach[from->index * from->p->spec->stages->len + to->index];
}

static guint spec_index(const struct mr_spec *spec, const char *name)
{
  for (guint i = 0; i < spec->stages->len; i++)
    if (!strcmp(((struct mr_stage_spec *)spec->stages->pdata[i])->name, name))
      return i;
  return spec->stages->len;
}

static void compute_reach(struct mr_pipeline *p)
{
  guint n = p->spec->stages->len;
  p->reach = g_new0(bool, n *n + 1);
  for (guint i = 0; i < n; i++) {
    const struct mr_stage_spec *s = p->spec->stages->pdata[i];
    for (char **in = s->input; in && *in; in++)
      p->reach[spec_index(p->spec, *in) * n + i] = true;
  }
  for (guint k = 0; k < n; k++)
    for (guint i = 0; i < n; i++)
      for (guint j = 0; j < n; j++)
        if (p->reach[i * n + k] && p->reach[k * n + j])
          p->reach[i * n + j] = true;
}

/* Does the stage keep state, or stand behind one that does? A dry run has no sinks to keep it. */
static bool is_of_one_sink(const struct mr_pipeline *p, guint i)
{
  const GPtrArray *specs = p->spec->stages;
  const struct mr_stage_spec *spec = specs->pdata[i];
  bool kept = mr_state_kept(spec);
  for (guint k = 0; k < specs->len; k++)
    kept |= p->reach[k * specs->len + i] && mr_state_kept(specs->pdata[k]);
  return kept && !p->dry && spec->kind == MR_STAGE_TRANSFORM;
}

/* The sinks that each have such a stage for themselves: struct mr_stage_spec *; else one NULL. */
static GPtrArray *owners_of(const struct mr_pipeline *p, guint i)
{
  const GPtrArray *specs = p->spec->stages;
  GPtrArray *owners = g_ptr_array_new();
  for (guint k = 0; is_of_one_sink(p, i) && k < specs->len; k++) {
    struct mr_stage_spec *to = specs->pdata[k];
    if (to->kind == MR_STAGE_SINK && p->reach[i * specs->len + k])
      g_ptr_array_add(owners, to);
  }
  if (!owners->len)
    g_ptr_array_add(owners, NULL);
  return owners;
}

static void add_stages_of(struct mr_pipeline *p, guint i)
{
  const struct mr_stage_spec *spec = p->spec->stages->pdata[i];
  uint32_t n = (uint32_t)MAX(spec->parallel, 1);
  g_autoptr(GPtrArray) owners = owners_of(p, i);
  for (uint32_t k = 0; k < n * owners->len; k++) {
    struct mr_stage *s = g_new0(struct mr_stage, 1);
    mr_stage_init(s, p, spec, i, k, n * owners->len);
    s->sink = owners->pdata[k / n];
    g_ptr_array_add(p->stages, s);
    if (spec->kind == MR_STAGE_SOURCE)
      p->sources_left++;
    if (spec->kind == MR_STAGE_SINK)
      p->sinks_left++;
  }
}

static void add_stages(struct mr_pipeline *p)
{
  for (guint i = 0; i < p->spec->stages->len; i++)
    add_stages_of(p, i);
}

/* A sink of blocks takes rows as fast as memory is copied, and none while a block is on its way. */
static size_t slots_before(const struct mr_stage_spec *reader)
{
  bool blocks = reader->kind == MR_STAGE_SINK && reader->plugin->sink->delivery == MR_IDEMPOTENT;
  return blocks ? CHANNEL_SLOTS_BLOCKS : CHANNEL_SLOTS;
}

/* The reader's instances that work for this sink; NULL: for all. */
static void connect_to(struct mr_stage *from, const struct mr_stage_spec *reader,
                       const struct mr_stage_spec *sink)
{
  struct mr_pipeline *p = from->p;
  struct mr_fan *f = g_new0(struct mr_fan, 1);
  f->n = (size_t)MAX(reader->parallel, 1);
  f->channel = g_malloc0(sizeof *f->channel * f->n);
  f->to = g_new0(struct mr_stage *, f->n);
  for (guint i = 0; i < p->stages->len; i++) {
    struct mr_stage *to = p->stages->pdata[i];
    if (to->spec != reader || to->sink != sink)
      continue;
    size_t k = to->instance % f->n;
    f->to[k] = to;
    if (!mr_channel_init(&f->channel[k], p->os, slots_before(reader), &from->event, &to->event))
      g_error("out of memory");
    f->channel[k].from = from;
    g_ptr_array_add(to->inputs, &f->channel[k]);
  }
  g_ptr_array_add(from->outputs, f);
}

static void connect_stages(struct mr_stage *from, guint k)
{
  const struct mr_stage_spec *reader = from->p->spec->stages->pdata[k];
  g_autoptr(GPtrArray) owners = owners_of(from->p, k);
  if (!reader->input || !g_strv_contains((const char *const *)reader->input, from->spec->name))
    return;
  if (from->sink && reader->kind == MR_STAGE_SINK && from->sink != reader)
    return;
  for (guint i = 0; i < owners->len; i++)
    if (!from->sink || !owners->pdata[i] || from->sink == owners->pdata[i])
      connect_to(from, reader, owners->pdata[i]);
}

static void connect_all(struct mr_pipeline *p)
{
  for (guint i = 0; i < p->stages->len; i++) {
    struct mr_stage *from = p->stages->pdata[i];
    for (guint k = 0; k < p->spec->stages->len; k++)
      connect_stages(from, k);
  }
}

/* ---- opening, from the sources on */

static struct mr_stage *first_input(struct mr_stage *s)
{
  for (guint i = 0; i < s->p->stages->len; i++) {
    struct mr_stage *from = s->p->stages->pdata[i];
    if (s->spec->input && s->spec->input[0] && !strcmp(from->spec->name, s->spec->input[0]))
      return from;
  }
  return NULL;
}

static void set_wants(struct mr_stage *s, const struct mr_pipeline_options *o)
{
  s->wants = o->wants ? o->wants(s->p->spec, s->spec) : NULL;
  s->open.want.n = s->wants ? g_strv_length(s->wants) : 0;
  s->open.want.item = s->wants;
}

/* true: opened, or its input's columns are not known before the run. */
static bool open_stage(struct mr_stage *s, const struct mr_pipeline_options *o)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_stage *from = first_input(s);
  struct mr_shape *in = from ? from->out : NULL;
  if (s->spec->kind == MR_STAGE_SOURCE)
    set_wants(s, o);
  if (s->spec->kind == MR_STAGE_TRANSFORM && !in)
    return true;
  if (!mr_stage_open(s, in))
    return false;
  if (s->spec->when && in && !(s->when = mr_when_new(s, &in->schema, &err))) {
    mr_pipeline_fail(s->p, s, MR_BADCONF, &err);
    return false;
  }
  return s->spec->kind == MR_STAGE_SINK || mr_stage_shape(s, &s->out);
}

static bool open_all(struct mr_pipeline *p, const struct mr_pipeline_options *o)
{
  g_autofree bool *seen = g_new0(bool, p->stages->len + 1);
  for (guint left = p->stages->len, before = left + 1; left && left < before;) {
    before = left;
    for (guint i = 0; i < p->stages->len; i++) {
      struct mr_stage *s = p->stages->pdata[i], *from = first_input(s);
      guint k = 0;
      while (from && p->stages->pdata[k] != from)
        k++;
      if (seen[i] || (from && !seen[k]))
        continue;
      if (!open_stage(s, o))
        return false;
      seen[i] = true;
      left--;
    }
  }
  return true;
}

static void on_freed(void *ctx)
{
  struct mr_pipeline *p = ctx;
  if (atomic_load_explicit(&p->budget.used, memory_order_relaxed) < p->budget.limit * 3 / 4)
    return;
  mr_pipeline_wake(p); /* a source may wait for this */
}

/* Are there positions that live nowhere but in the store? */
static bool needs_store(const struct mr_spec *spec)
{
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *s = spec->stages->pdata[i];
    if (s->kind == MR_STAGE_SINK && mr_stage_sink(s)->delivery != MR_TRANSACTIONAL)
      return true;
  }
  return false;
}

struct mr_pipeline *mr_pipeline_new(const struct mr_spec *spec, const struct mr_pipeline_options *o,
                                    struct mr_error *err, const char **ret_stage)
{
  struct mr_pipeline *p = g_new0(struct mr_pipeline, 1);
  *ret_stage = NULL;
  p->spec = spec;
  p->os = o->os;
  p->store = o->store;
  p->once = o->once;
  p->pending = o->pending;
  p->reset_state = o->reset_state;
  p->store_name = needs_store(spec) ? g_strdup(o->store_name) : NULL;
  p->new_store = o->new_store;
  p->log = o->log;
  p->event = o->event;
  p->log_ctx = o->ctx;
  p->tick = o->tick;
  p->dry = o->dry;
  pthread_mutex_init(&p->lock, NULL);
  p->stages = g_ptr_array_new();
  p->budget.limit = spec->settings.memory / SOURCE_MEMORY_SHARE;
  p->budget.freed = on_freed;
  p->budget.ctx = p;
  p->run =
      (p->os->random(p->os) << 33 ^ p->os->random(p->os) << 24) & INT64_MAX & ~UINT64_C(0xffffff);
  mr_trace_init(p);
  compute_reach(p);
  add_stages(p);
  connect_all(p);
  p->letters = mr_letters_new(p, err);
  if (spec->dead_letter && !p->letters)
    *ret_stage = spec->dead_letter->name;
  else if (open_lookups(p, o, err) && open_all(p, o))
    return p;
  if (p->failed_text) {
    snprintf(err->msg, sizeof err->msg, "%s", p->failed_text);
    *ret_stage = NULL;
  }
  mr_pipeline_free(p);
  return NULL;
}

void mr_pipeline_free(struct mr_pipeline *p)
{
  if (!p)
    return;
  for (guint i = 0; i < p->stages->len; i++)
    mr_stage_close(p->stages->pdata[i]);
  mr_lookups_free(p->lookups);
  mr_letters_free(p->letters);
  for (guint i = 0; i < p->stages->len; i++) {
    mr_stage_finish(p->stages->pdata[i]);
    g_free(p->stages->pdata[i]);
  }
  for (uint32_t i = 0; i < mr_lane_table_len(&p->lanes); i++) {
    struct mr_lane *l = mr_lane_table_at(&p->lanes, i);
    g_free(l->name);
    g_free(l->taken_why);
    g_free(l);
  }
  g_ptr_array_unref(p->stages);
  mr_lane_table_finish(&p->lanes);
  pthread_mutex_destroy(&p->lock);
  g_free(p->reach);
  g_free(p->failed_text);
  g_free(p->store_name);
  if (p->traced)
    g_hash_table_unref(p->traced);
  g_free(p);
}

/* ---- running */

void mr_pipeline_log(struct mr_pipeline *p, struct mr_stage *s, int level, const char *fmt, ...)
{
  va_list ap;
  if (!p->log)
    return;
  va_start(ap, fmt);
  g_autofree char *text = g_strdup_vprintf(fmt, ap);
  va_end(ap);
  p->log(p->log_ctx, level, s ? s->spec->name : NULL, text);
}

void mr_pipeline_wake(struct mr_pipeline *p)
{
  for (guint i = 0; i < p->stages->len; i++)
    p->os->wake(p->os, &((struct mr_stage *)p->stages->pdata[i])->event);
}

/* Plugins' running calls return soon. */
static void wake_plugins(struct mr_pipeline *p)
{
  for (guint i = 0; i < p->stages->len; i++) {
    struct mr_stage *s = p->stages->pdata[i];
    const struct mr_plugin *pl = s->spec->plugin;
    void (*wake)(void *) = pl->source      ? pl->source->wake
                           : pl->transform ? pl->transform->wake
                                           : mr_stage_sink(s->spec)->wake;
    bool now = mr_stopping(p) == MR_ABORT || pl->source;
    uint64_t one = 1;
    if (!now)
      continue;
    if (s->wake_fd >= 0 && write(s->wake_fd, &one, sizeof one) < 0)
      continue;
    pthread_mutex_lock(&p->lock);
    if (s->opened && wake)
      wake(s->self);
    pthread_mutex_unlock(&p->lock);
  }
}

static void set_stop(struct mr_pipeline *p, int stop)
{
  int old = mr_stopping(p);
  while (old < stop && !atomic_compare_exchange_weak_explicit(
                           &p->stop, &old, stop, memory_order_acq_rel, memory_order_acquire))
    ;
  p->os->wake(p->os, &p->done);
  mr_pipeline_wake(p);
}

void mr_pipeline_drain(struct mr_pipeline *p)
{
  int64_t none = 0, by = mr_now_us(p->os) + p->spec->settings.shutdown_ms * 1000;
  atomic_compare_exchange_strong_explicit(&p->stop_by_us, &none, by, memory_order_relaxed,
                                          memory_order_relaxed);
  set_stop(p, MR_DRAIN);
}

void mr_pipeline_stop(struct mr_pipeline *p)
{
  if (mr_stopping(p) == MR_RUN)
    mr_pipeline_drain(p);
  else
    set_stop(p, MR_ABORT);
}

/* Under the lock. Is there a sink besides this one that goes on? */
static bool others_go_on(const struct mr_pipeline *p, const struct mr_stage *sink)
{
  for (guint i = 0; i < p->stages->len; i++) {
    const struct mr_stage *s = p->stages->pdata[i];
    if (s->spec->kind == MR_STAGE_SINK && s->spec != sink->spec && !s->snk.paused)
      return true;
  }
  return false;
}

void mr_pipeline_fail(struct mr_pipeline *p, struct mr_stage *s, int status,
                      const struct mr_error *err)
{
  if (s)
    mr_stage_error(s, "failed", err->code);
  pthread_mutex_lock(&p->lock);
  bool pauses = s && s->spec->kind == MR_STAGE_SINK && status == MR_BADCONF && s->started &&
                !s->snk.paused && others_go_on(p, s);
  if (pauses)
    s->snk.paused = true;
  if (!p->failed_text) {
    p->failed_status = status;
    p->failed_unreachable = err->unreachable;
    p->failed_text = s ? g_strdup_printf("%s: %s%s%s", s->spec->name, err->option,
                                         *err->option ? ": " : "", err->msg)
                       : g_strdup(err->msg);
  }
  pthread_mutex_unlock(&p->lock);
  if (pauses) {
    mr_stage_status(s, MR_ST_PAUSED, "%s", err->msg);
    mr_pipeline_log(p, s, MR_WARN, "paused, the other sinks go on: %s%s%s", err->option,
                    *err->option ? ": " : "", err->msg);
    return;
  }
  if (s)
    atomic_store_explicit(&s->status, MR_ST_FAILED, memory_order_relaxed);
  set_stop(p, MR_ABORT);
}

static bool spawn_all(struct mr_pipeline *p)
{
  for (guint i = p->stages->len; i-- > 0;) {
    struct mr_stage *s = p->stages->pdata[i];
    void (*fn)(void *) = s->spec->kind == MR_STAGE_SOURCE ? mr_source_run
                         : s->spec->kind == MR_STAGE_SINK ? mr_sink_run
                                                          : mr_transform_run;
    if (!(s->thread = p->os->spawn(p->os, fn, s, s->spec->name)))
      return false;
  }
  return true;
}

static void watch(struct mr_pipeline *p)
{
  int told = MR_RUN;
  for (;;) {
    uint32_t seen = mr_event_seen(&p->done);
    int stop = mr_stopping(p);
    if (stop != told)
      wake_plugins(p);
    told = stop;
    if (stop == MR_ABORT || !atomic_load_explicit(&p->sinks_left, memory_order_acquire))
      return;
    int64_t by = atomic_load_explicit(&p->stop_by_us, memory_order_relaxed);
    if (by && mr_now_us(p->os) > by) {
      struct mr_error err = MR_ERROR_INIT;
      mr_fail(&err, MR_FATAL,
              "not everything could be committed within settings.shutdown; the rest is read again "
              "at the next start");
      p->overdue = !p->failed_text;
      mr_pipeline_fail(p, NULL, MR_FATAL, &err);
      continue;
    }
    p->os->wait(p->os, &p->done, seen, 200000);
    if (p->tick)
      p->tick(p->log_ctx, p);
  }
}

int mr_pipeline_run(struct mr_pipeline *p)
{
  p->next_barrier_us = mr_now_us(p->os) + p->spec->settings.checkpoint_ms * 1000;
  struct mr_error err = MR_ERROR_INIT;
  if (p->lookups && mr_lookups_start(p->lookups, &err) < 0)
    mr_pipeline_fail(p, NULL, MR_FATAL, &err);
  else if (!spawn_all(p)) {
    mr_fail(&err, MR_FATAL, "no thread could be started");
    mr_pipeline_fail(p, NULL, MR_FATAL, &err);
  }
  watch(p);
  if (p->lookups)
    mr_lookups_stop(p->lookups);
  if (mr_stopping(p) == MR_ABORT)
    wake_plugins(p);
  for (guint i = 0; i < p->stages->len; i++) {
    struct mr_stage *s = p->stages->pdata[i];
    if (s->thread)
      p->os->join(p->os, s->thread);
    s->thread = NULL;
  }
  if (p->failed_text)
    return p->failed_status < 0 ? p->failed_status : MR_FATAL;
  return mr_stopping(p) == MR_ABORT ? MR_FATAL : MR_OK;
}

bool mr_pipeline_overdue(const struct mr_pipeline *p)
{
  return p->overdue;
}

const char *mr_pipeline_failure(struct mr_pipeline *p, bool *ret_unreachable)
{
  *ret_unreachable = p->failed_unreachable;
  return p->failed_text;
}

/* ---- looking at it */

void mr_pipeline_lookups(struct mr_pipeline *p,
                         void (*each)(void *out, const struct mr_lookup_info *lend), void *out)
{
  if (p->lookups)
    mr_lookups_each(p->lookups, each, out);
}

uint64_t mr_pipeline_letters(const struct mr_pipeline *p)
{
  return atomic_load_explicit(&((struct mr_pipeline *)p)->letters_written, memory_order_relaxed);
}
int64_t mr_pipeline_memory(const struct mr_pipeline *p)
{
  return atomic_load_explicit(&((struct mr_pipeline *)p)->budget.used, memory_order_relaxed);
}
