/* SPDX-License-Identifier: Apache-2.0 */
#include "src-host.h"
#include <stdarg.h>
#include <stdlib.h>
#include "data/types.h"
#include "format/format.h"

#define WAIT_US (10 * G_USEC_PER_SEC)

/* ---- services */

static struct src_host *of(void *ctx)
{
  return ctx; /* base is the first member */
}

static void move_to(struct src_lane *l, const struct mr_position *p)
{
  l->token = *p;
  l->position = (int64_t)mr_position_get(p);
}

static int on_lane(void *ctx, const char *name, const struct mr_position *first, uint32_t *ret,
                   struct mr_position *ret_from, struct mr_error *err)
{
  struct src_host *h = of(ctx);
  uint32_t i = 0;
  if (h->lane_fails > 0) {
    h->lane_fails--;
    return mr_fail(err, MR_RETRY, "a sink is away");
  }
  while (i < h->lanes->len && strcmp(((struct src_lane *)h->lanes->pdata[i])->name, name))
    i++;
  if (i == h->lanes->len) {
    struct src_lane *l = g_new0(struct src_lane, 1);
    l->name = g_strdup(name);
    g_ptr_array_add(h->lanes, l);
  }
  struct src_lane *l = h->lanes->pdata[i];
  if (first && !l->known) {
    l->known = true;
    move_to(l, first);
  }
  if (!l->known)
    return h->ran ? MR_LANE_LATER : MR_LANE_NEW;
  l->ended = l->lost = false;
  *ret = i;
  *ret_from = l->token;
  return MR_LANE_KNOWN;
}

static int on_lane_end(void *ctx, uint32_t lane, bool lost, int64_t wait_ms)
{
  struct src_lane *l = of(ctx)->lanes->pdata[lane];
  l->ended = true;
  l->lost = lost;
  return MR_OK;
}

static int on_reject(void *ctx, const struct mr_reject *r)
{
  struct src_host *h = of(ctx);
  struct src_refused *f = g_new0(struct src_refused, 1);
  f->lane = g_strdup(((struct src_lane *)h->lanes->pdata[r->lane])->name);
  f->code = g_strdup(r->code);
  f->data = g_strndup(r->data ? r->data : "", r->len);
  f->position = r->position ? (int64_t)mr_position_get(r->position) : -1;
  g_ptr_array_add(h->refused, f);
  return MR_OK;
}

static const struct mr_extent *on_extents(struct mr_decoder *d)
{
  return mr_decoder_extents(d);
}

static int on_decoder(void *ctx, const struct mr_format *f, struct mr_decoder **ret,
                      struct mr_error *err)
{
  return mr_decoder_new(f, ret, err);
}
static const char *format_name(const struct mr_format *f)
{
  return f->desc->name;
}

static int on_encoder(void *ctx, const struct mr_format *f, const struct ArrowSchema *in,
                      struct mr_encoder **ret, struct mr_error *err)
{
  return mr_encoder_new(f, in, ret, err);
}

static void lane_free(void *p)
{
  g_free(((struct src_lane *)p)->name);
  g_free(p);
}

static void schema_free(void *p)
{
  mr_schema_release(p);
  g_free(p);
}

static void refused_free(void *p)
{
  struct src_refused *f = p;
  g_free(f->lane);
  g_free(f->code);
  g_free(f->data);
  g_free(f);
}

void src_host_init(struct src_host *h, const char *kind, const char *plugin)
{
  memset(h, 0, sizeof *h);
  harness_init(&h->base);
  struct mr_host *host = &h->base.host;
  host->reject = on_reject;
  host->lane = on_lane;
  host->lane_end = on_lane_end;
  host->decoder = on_decoder;
  host->decode = mr_decode;
  host->decoded = mr_decoded;
  host->decoder_schema = mr_decoder_schema;
  host->decoder_free = mr_decoder_free;
  host->extents = on_extents;
  host->encoder = on_encoder;
  host->encode = mr_encode;
  host->encoder_free = mr_encoder_free;
  host->format_name = format_name;
  h->lanes = g_ptr_array_new_with_free_func(lane_free);
  h->refused = g_ptr_array_new_with_free_func(refused_free);
  h->pool = g_ptr_array_new_with_free_func(g_free);
  h->columns = g_ptr_array_new_with_free_func(schema_free);
  h->plugin = harness_load(kind, plugin);
}

void src_host_done(struct src_host *h)
{
  src_host_close(h);
  g_ptr_array_unref(h->lanes);
  g_ptr_array_unref(h->refused);
  g_ptr_array_unref(h->pool);
  g_ptr_array_unref(h->columns);
  harness_done(&h->base);
}

/* ---- conf */

static void *keep(struct src_host *h, void *p)
{
  g_ptr_array_add(h->pool, p);
  return p;
}

static size_t field_size(const struct mr_opt *o)
{
  return o->type == MR_BOOL ? sizeof(bool) : o->type == MR_CHOICE ? sizeof(int32_t) : 8;
}

static int64_t scaled(const char *value)
{
  static const struct {
    const char *unit;
    int64_t factor;
  } units[] = {{"KiB", 1024}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"ms", 1},
               {"s", 1000},   {"m", 60000},     {"h", 3600000},   {"d", 86400000}};
  char *end;
  int64_t v = g_ascii_strtoll(value, &end, 10);
  for (size_t i = 0; i < G_N_ELEMENTS(units); i++)
    if (!strcmp(end, units[i].unit))
      return v * units[i].factor;
  g_assert_cmpstr(end, ==, "");
  return v;
}

static int32_t choice(const struct mr_opt *o, const char *value)
{
  for (int32_t i = 0; o->choices[i]; i++)
    if (!strcmp(o->choices[i], value))
      return i;
  g_error("%s has no choice %s", o->name, value);
}

static void fill_defaults(struct src_host *h, const struct mr_opt *table, void *conf);

static const struct mr_format *format(struct src_host *h, const char *name)
{
  struct mr_format *f = keep(h, g_new0(struct mr_format, 1));
  f->desc = mr_format_find(name);
  g_assert_nonnull(f->desc);
  void *conf = keep(h, g_malloc0(f->desc->conf_size + 1));
  fill_defaults(h, f->desc->options, conf);
  f->conf = conf;
  return f;
}

static void set_value(struct src_host *h, const struct mr_opt *o, void *field, const char *value)
{
  switch (o->type) {
  case MR_BOOL: *(bool *)field = !strcmp(value, "true"); break;
  case MR_INT:
  case MR_BYTES:
  case MR_TIME_MS: *(int64_t *)field = scaled(value); break;
  case MR_CHOICE: *(int32_t *)field = choice(o, value); break;
  case MR_FORMAT: *(const struct mr_format **)field = format(h, value); break;
  case MR_COLUMNS: {
    struct ArrowSchema *s = g_new0(struct ArrowSchema, 1);
    *s = harness_schema(value);
    g_ptr_array_add(h->columns, s);
    *(const struct ArrowSchema **)field = s;
    break;
  }
  default: *(const char **)field = keep(h, g_strdup(value));
  }
}

static void list_add(struct src_host *h, const struct mr_opt *o, struct mr_list *l, const char *key,
                     const char *value)
{
  size_t size = field_size(o);
  char *items = keep(h, g_malloc0((l->n + 1) * size));
  if (l->n)
    memcpy(items, l->item, l->n * size);
  set_value(h, o, items + l->n * size, value);
  if (key) {
    const char **keys = keep(h, g_new0(const char *, l->n + 1));
    if (l->n)
      memcpy(keys, l->key, l->n * sizeof *keys);
    keys[l->n] = keep(h, g_strdup(key));
    l->key = keys;
  }
  l->item = items;
  l->n++;
}

static void set_many(struct src_host *h, const struct mr_opt *o, struct mr_list *l,
                     const char *value)
{
  g_auto(GStrv) part = g_strsplit(value, ",", -1);
  for (char **p = part; *p; p++)
    list_add(h, o, l, NULL, *p);
}

static void fill_absent(const struct mr_opt *o, void *field)
{
  if (o->flags & (MR_MANY | MR_KEYED))
    memset(field, 0, sizeof(struct mr_list));
  else if (o->type == MR_CHOICE)
    *(int32_t *)field = -1;
  else if (o->type == MR_INT || o->type == MR_BYTES || o->type == MR_TIME_MS)
    *(int64_t *)field = INT64_MIN;
}

static void fill_defaults(struct src_host *h, const struct mr_opt *o, void *conf)
{
  for (; o && o->name; o++) {
    void *field = (char *)conf + o->offset;
    if (o->type == MR_GROUP)
      fill_defaults(h, o->sub, field);
    else if (!o->dflt)
      fill_absent(o, field);
    else if (o->flags & MR_MANY)
      set_many(h, o, field, o->dflt);
    else
      set_value(h, o, field, o->dflt);
  }
}

static bool set_named(struct src_host *h, const struct mr_opt *o, void *conf, const char *name,
                      const char *value)
{
  for (; o && o->name; o++) {
    size_t n = strlen(o->name);
    void *field = (char *)conf + o->offset;
    bool below = !strncmp(name, o->name, n) && name[n] == '.';
    if (below && o->type == MR_GROUP)
      return set_named(h, o->sub, field, name + n + 1, value);
    if (below && o->flags & MR_KEYED)
      return list_add(h, o, field, name + n + 1, value), true;
    if (strcmp(name, o->name))
      continue;
    if (o->flags & MR_MANY)
      set_many(h, o, field, value);
    else
      set_value(h, o, field, value);
    return true;
  }
  return false;
}

static bool set_in_format(struct src_host *h, const char *name, const char *value)
{
  for (const struct mr_opt *o = h->plugin->options; o->name; o++)
    if (o->type == MR_FORMAT) {
      const struct mr_format *f = *(const struct mr_format **)((char *)h->conf + o->offset);
      return f && set_named(h, f->desc->options, (void *)f->conf, name, value);
    }
  return false;
}

void src_host_conf(struct src_host *h, const char *first, ...)
{
  va_list ap;
  va_start(ap, first);
  h->conf = keep(h, g_malloc0(h->plugin->conf_size + 1));
  fill_defaults(h, h->plugin->options, h->conf);
  for (const char *s = first; s; s = va_arg(ap, const char *)) {
    const char *eq = strchr(s, '=');
    g_autofree char *name = g_strndup(s, (gsize)(eq - s));
    if (!set_named(h, h->plugin->options, h->conf, name, eq + 1) && !set_in_format(h, name, eq + 1))
      g_error("no option %s", name);
  }
  va_end(ap);
}

int src_host_validate(struct src_host *h)
{
  h->err = (struct mr_error)MR_ERROR_INIT;
  return h->plugin->validate ? h->plugin->validate(h->conf, &h->err) : MR_OK;
}

/* ---- life */

int src_host_open(struct src_host *h, const char *want, const struct ArrowSchema *in)
{
  struct mr_open o = harness_open(&h->base, h->conf, in);
  char **names = keep(h, g_strsplit(want ? want : "", ",", -1));
  for (char **p = names; *p; p++)
    keep(h, *p);
  o.want = (struct mr_list){.item = names, .n = g_strv_length(names)};
  o.bounded = h->bounded;
  h->err = (struct mr_error)MR_ERROR_INIT;
  return (h->plugin->source ? h->plugin->source->open : h->plugin->sink->open)(&o, &h->self,
                                                                               &h->err);
}

static int ask_schema(struct src_host *h)
{
  mr_schema_release(&h->schema);
  memset(&h->schema, 0, sizeof h->schema);
  return h->plugin->source->schema(h->self, &h->schema, &h->err);
}

int src_host_start(struct src_host *h)
{
  h->err = (struct mr_error)MR_ERROR_INIT;
  if (!h->plugin->source)
    return h->plugin->sink->start(h->self, &h->err);
  int r = ask_schema(h);
  return r < 0 ? r : h->plugin->source->start(h->self, &h->err);
}

void src_host_close(struct src_host *h)
{
  if (h->self)
    (h->plugin->source ? h->plugin->source->close : h->plugin->sink->close)(h->self);
  h->self = NULL;
  mr_schema_release(&h->schema);
  memset(&h->schema, 0, sizeof h->schema);
  h->ran = true;
}

/* ---- reading */

static void check_batch(struct src_host *h, const struct mr_batch *b)
{
  g_assert_nonnull(b->rows.release);
  g_assert_cmpint(b->rows.offset, ==, 0);
  g_assert_cmpint(b->rows.n_children, ==, h->schema.n_children);
  for (int64_t i = 0; i < b->rows.n_children; i++)
    g_assert_cmpint(b->rows.children[i]->length, ==, b->rows.length);
  g_assert_cmpuint(b->lane, <, h->lanes->len);
}

int src_host_read_once(struct src_host *h, int64_t max_rows, int32_t timeout_ms,
                       struct mr_batch *ret)
{
  int r;
  do {
    h->err = (struct mr_error)MR_ERROR_INIT;
    memset(ret, 0, sizeof *ret);
    ret->size = sizeof *ret;
    r = h->plugin->source->read(h->self, max_rows, 1 << 20, timeout_ms, ret, &h->err);
    if (r == MR_SCHEMA)
      g_assert_cmpint(ask_schema(h), ==, MR_OK);
  } while (r == MR_SCHEMA);
  if (r != MR_OK)
    return r;
  if (!h->schema.release)
    g_assert_cmpint(ask_schema(h), ==, MR_OK);
  check_batch(h, ret);
  ret->schema = &h->schema;
  return r;
}

int src_host_read(struct src_host *h, int64_t max_rows, struct mr_batch *ret)
{
  int64_t until = g_get_monotonic_time() + WAIT_US;
  int r = MR_IDLE;
  while (r == MR_IDLE && g_get_monotonic_time() < until)
    r = src_host_read_once(h, max_rows, 100, ret);
  return r;
}

char *src_host_rows(struct src_host *h, int64_t n)
{
  GString *out = g_string_new(NULL);
  int64_t until = g_get_monotonic_time() + WAIT_US;
  while (n > 0 && g_get_monotonic_time() < until) {
    struct mr_batch b;
    int r = src_host_read(h, n, &b);
    if (r < 0)
      g_error("read: %s", h->err.msg);
    if (r != MR_OK)
      break;
    g_autofree char *text = harness_text(&h->schema, &b.rows);
    g_string_append(out, text);
    move_to(h->lanes->pdata[b.lane], &b.upto);
    n -= b.rows.length;
    mr_array_release(&b.rows);
  }
  return g_string_free(out, FALSE);
}

struct src_lane *src_host_lane(struct src_host *h, const char *name)
{
  for (guint i = 0; i < h->lanes->len; i++)
    if (!strcmp(((struct src_lane *)h->lanes->pdata[i])->name, name))
      return h->lanes->pdata[i];
  return NULL;
}

int64_t src_host_metric(struct src_host *h, const char *name)
{
  const int64_t *v = g_hash_table_lookup(h->base.metrics, name);
  return v ? *v : 0;
}
