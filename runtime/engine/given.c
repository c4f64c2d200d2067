/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/given.h"
#include "base/base.h"
#include "data/array.h"

struct self {
  const struct mr_host *host;
  struct mr_given *g;
  uint32_t lane;
  bool named;
  guint next;       /* entry */
  uint64_t cut;     /* first position that is not in this batch */
};

static const struct mr_given_entry *entry(const struct self *s, guint i)
{
  return &g_array_index(s->g->entries, struct mr_given_entry, i);
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct self *s = g_new0(struct self, 1);
  s->host = o->host;
  s->g = (struct mr_given *)o->conf;
  s->cut = UINT64_MAX;
  if (o->instance) /* one lane: the other instances have nothing to read */
    s->next = s->g->entries->len;
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

static void go_to(struct self *s, uint64_t position)
{
  for (s->next = 0; s->next < s->g->entries->len; s->next++)
    if (entry(s, s->next)->position >= position)
      return;
}

static int start(void *self, struct mr_error *err)
{
  struct self *s = self;
  struct mr_position zero = mr_position_u64(0), from = zero;
  if (s->named || s->next)
    return MR_OK;
  int st = s->host->lane(s->host->ctx, s->g->lane, NULL, &s->lane, &from, err);
  if (st == MR_LANE_NEW || st == MR_LANE_LATER)
    st = s->host->lane(s->host->ctx, s->g->lane, &zero, &s->lane, &from, err);
  if (st < 0)
    return st;
  s->named = true;
  go_to(s, mr_position_get(&from));
  return MR_OK;
}

static void refuse(struct self *s, const struct mr_given_entry *e)
{
  gsize len = 0;
  const void *data = e->data ? g_bytes_get_data(e->data, &len) : NULL;
  struct mr_position at = mr_position_u64(e->position);
  struct mr_reject r = {.size = sizeof r,
                        .lane = s->lane,
                        .row = -1,
                        .position = &at,
                        .data = data,
                        .len = len,
                        .code = e->code,
                        .msg = e->message};
  s->host->reject(s->host->ctx, &r);
}

static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct self *s = self;
  guint n = s->g->entries->len, to = s->next;
  if (s->next >= n)
    return MR_END;
  if (max_rows <= 0)
    return MR_IDLE;
  int64_t from = to ? entry(s, to - 1)->end : 0, end = from;
  while (to < n && entry(s, to)->position < s->cut && (end == from || end - from < max_rows))
    end = entry(s, to++)->end;
  if (to == s->next) { /* the cut was for the batch before */
    s->cut = UINT64_MAX;
    return MR_IDLE;
  }
  if (!mr_rows_slice(&s->g->rows, from, end - from, &give->rows))
    return mr_fail(err, MR_FATAL, "out of memory");
  for (guint i = s->next; i < to; i++)
    if (entry(s, i)->code)
      refuse(s, entry(s, i));
  s->next = to;
  s->cut = UINT64_MAX;
  give->lane = s->lane;
  give->upto = mr_position_u64(entry(s, to - 1)->position + 1);
  return MR_OK;
}

static int cut(void *self, uint32_t lane, const struct mr_position *p)
{
  ((struct self *)self)->cut = mr_position_get(p);
  return MR_OK;
}

static int seek(void *self, uint32_t lane, const struct mr_position *p, struct mr_error *err)
{
  go_to(self, mr_position_get(p));
  return MR_OK;
}

static void close_(void *self)
{
  g_free(self);
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
