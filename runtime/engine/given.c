/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/given.h"
#include "base/base.h"
#include "data/array.h"

struct lane {
  const struct mr_given_lane *given;
  uint32_t id;
  bool named;
  guint next;   /* entry */
  uint64_t cut; /* first position that is not in this batch */
};
struct self {
  const struct mr_host *host;
  struct mr_given *g;
  struct lane *lane;
  guint n;
};

static const struct mr_given_entry *entry(const struct mr_given_lane *l, guint i)
{
  return &g_array_index(l->entries, struct mr_given_entry, i);
}

/* ---- the conf */

struct mr_given_lane *mr_given_add(struct mr_given *g, const char *name)
{
  struct mr_given_lane *l = g_new0(struct mr_given_lane, 1);
  l->name = g_strdup(name);
  l->entries = g_array_new(FALSE, TRUE, sizeof(struct mr_given_entry));
  if (!g->lanes)
    g->lanes = g_ptr_array_new();
  g_ptr_array_add(g->lanes, l);
  return l;
}

void mr_given_finish(struct mr_given *g)
{
  for (guint i = 0; g->lanes && i < g->lanes->len; i++) {
    struct mr_given_lane *l = g->lanes->pdata[i];
    for (guint k = 0; k < l->entries->len; k++) {
      const struct mr_given_entry *e = entry(l, k);
      g_free(e->code);
      g_free(e->message);
      if (e->data)
        g_bytes_unref(e->data);
    }
    g_array_unref(l->entries);
    g_free(l->name);
    g_free(l);
  }
  if (g->lanes)
    g_ptr_array_unref(g->lanes);
  g->lanes = NULL;
  mr_array_release(&g->rows);
}

/* ---- the source */

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct self *s = g_new0(struct self, 1);
  uint32_t instances = o->instances ? o->instances : 1;
  s->host = o->host;
  s->g = (struct mr_given *)o->conf;
  s->lane = g_new0(struct lane, s->g->lanes->len + 1);
  for (guint i = o->instance; i < s->g->lanes->len; i += instances)
    s->lane[s->n++] = (struct lane){.given = s->g->lanes->pdata[i], .cut = UINT64_MAX};
  *self = s;
  return MR_OK;
}

static int schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  const struct self *s = self;
  if (mr_schema_copy(s->g->schema, give))
    return MR_OK;
  mr_schema_release(give);
  return mr_fail(err, MR_FATAL, "out of memory");
}

static void go_to(struct lane *l, uint64_t position)
{
  for (l->next = 0; l->next < l->given->entries->len; l->next++)
    if (entry(l->given, l->next)->position >= position)
      return;
}

static int name_lane(const struct mr_host *h, struct lane *l, struct mr_error *err)
{
  struct mr_position zero = mr_position_u64(0), from = zero;
  int st = h->lane(h->ctx, l->given->name, NULL, &l->id, &from, err);
  if (st == MR_LANE_NEW || st == MR_LANE_LATER)
    st = h->lane(h->ctx, l->given->name, &zero, &l->id, &from, err);
  if (st < 0)
    return st;
  l->named = true;
  go_to(l, mr_position_get(&from));
  return MR_OK;
}

static int start(void *self, struct mr_error *err)
{
  struct self *s = self;
  g_autofree const char **names = g_new0(const char *, s->n + 1);
  for (guint i = 0; i < s->n; i++)
    names[i] = s->lane[i].given->name;
  int st = MR_HAS(s->host, lanes) ? s->host->lanes(s->host->ctx, names, s->n, err) : MR_OK;
  for (guint i = 0; st >= 0 && i < s->n; i++)
    if (!s->lane[i].named)
      st = name_lane(s->host, &s->lane[i], err);
  return st < 0 ? st : MR_OK;
}

static void refuse(const struct self *s, const struct lane *l, const struct mr_given_entry *e)
{
  gsize len = 0;
  const void *data = e->data ? g_bytes_get_data(e->data, &len) : NULL;
  struct mr_position at = mr_position_u64(e->position);
  struct mr_reject r = {.size = sizeof r,
                        .lane = l->id,
                        .row = -1,
                        .position = &at,
                        .data = data,
                        .len = len,
                        .code = e->code,
                        .msg = e->message};
  s->host->reject(s->host->ctx, &r);
}

/* Entries [l->next, to) as a batch. */
static int give_entries(struct self *s, struct lane *l, guint to, struct mr_batch *give,
                        struct mr_error *err)
{
  int64_t from = entry(l->given, l->next)->from, end = entry(l->given, to - 1)->end;
  if (!mr_rows_slice(&s->g->rows, from, end - from, &give->rows))
    return mr_fail(err, MR_FATAL, "out of memory");
  for (guint i = l->next; i < to; i++)
    if (entry(l->given, i)->code)
      refuse(s, l, entry(l->given, i));
  l->next = to;
  l->cut = UINT64_MAX;
  give->lane = l->id;
  give->upto = mr_position_u64(entry(l->given, to - 1)->position + 1);
  return MR_OK;
}

static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct self *s = self;
  struct lane *l = s->lane;
  while (l < s->lane + s->n && l->next >= l->given->entries->len)
    l++;
  if (l == s->lane + s->n)
    return MR_END;
  if (max_rows <= 0)
    return MR_IDLE;
  guint to = l->next;
  int64_t rows = 0;
  if (l->cut <= entry(l->given, to)->position) /* it was for the batch before */
    l->cut = UINT64_MAX;
  for (; to < l->given->entries->len && entry(l->given, to)->position < l->cut; to++) {
    rows += entry(l->given, to)->end - entry(l->given, to)->from;
    if (rows > max_rows && to > l->next)
      break;
  }
  return give_entries(s, l, to, give, err);
}

static struct lane *find(struct self *s, uint32_t id)
{
  for (guint i = 0; i < s->n; i++)
    if (s->lane[i].named && s->lane[i].id == id)
      return &s->lane[i];
  return NULL;
}

static int cut(void *self, uint32_t lane, const struct mr_position *p)
{
  struct lane *l = find(self, lane);
  if (l)
    l->cut = mr_position_get(p);
  return MR_OK;
}

static int seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  struct lane *l = find(self, lane);
  if (l)
    go_to(l, mr_position_get(p));
  return MR_OK;
}

static void close_(void *self)
{
  struct self *s = self;
  g_free(s->lane);
  g_free(s);
}

static const struct mr_source source = {.size = sizeof source,
                                        .open = open_,
                                        .schema = schema,
                                        .start = start,
                                        .read = read_,
                                        .cut = cut,
                                        .seek = seek,
                                        .close = close_};
static const struct mr_opt options[] = {{0}};
const struct mr_plugin mr_given_plugin = {.abi = MR_ABI,
                                          .size = sizeof(struct mr_plugin),
                                          .conf_size = sizeof(struct mr_given),
                                          .opt_size = sizeof(struct mr_opt),
                                          .name = "given",
                                          .version = MR_VERSION,
                                          .license = "Apache-2.0",
                                          .summary = "Rows in memory",
                                          .options = options,
                                          .source = &source};
