/* SPDX-License-Identifier: Apache-2.0 */
/* skeleton: a source that counts. It has one lane; a position in it is the number of the next row.
 * The contract is in millrace/plugin.h; begin with the options, the columns and next_rows. */
#include <poll.h>
#include <stdlib.h>
#include "millrace/build.h"
#include "millrace/plugin.h"

struct conf { /* filled from the options */
  int64_t rows;
};
struct self {
  const struct mr_host *host;
  const struct conf *conf;
  struct ArrowSchema schema;
  struct mr_column n;
  uint32_t lane;
  uint64_t at, cut; /* the next row; where a batch must end (UINT64_MAX: anywhere) */
};

static const struct mr_opt options[] = {
    {.name = "rows",
     .type = MR_INT,
     .offset = offsetof(struct conf, rows),
     .range = "0..",
     .dflt = "10",
     .doc = "Rows to make"},
    {0},
};

static int fail(struct mr_error *err, int status, const char *msg)
{
  strncpy(err->msg, msg, sizeof err->msg - 1);
  return status;
}

static void close_(void *p)
{
  struct self *self = p;
  mr_column_done(&self->n);
  mr_schema_release(&self->schema);
  free(self);
}

static bool make_columns(struct self *self)
{
  struct ArrowSchema n;
  if (!mr_schema_struct(&self->schema) || !mr_schema_init(&n, "n", "l", false))
    return false;
  if (!mr_column_init(&self->n, &n)) {
    mr_schema_release(&n);
    return false;
  }
  return mr_schema_add(&self->schema, &n);
}

/* Also called by `millrace check`: touches nothing outside. */
static int open_(const struct mr_open *o, void **ret, struct mr_error *err)
{
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return fail(err, MR_FATAL, "out of memory");
  self->host = o->host;
  self->conf = o->conf;
  self->cut = UINT64_MAX;
  if (!make_columns(self)) {
    close_(self);
    return fail(err, MR_FATAL, "out of memory");
  }
  *ret = self;
  return MR_OK;
}

static int schema(void *p, struct ArrowSchema *give, struct mr_error *err)
{
  struct self *self = p;
  if (mr_schema_copy(&self->schema, give))
    return MR_OK;
  mr_schema_release(give);
  return fail(err, MR_FATAL, "out of memory");
}

/* Connects, and names the lanes: the runtime says where each goes on. */
static int start(void *p, struct mr_error *err)
{
  struct self *self = p;
  const struct mr_host *h = self->host;
  struct mr_position from, first = mr_position_u64(0);
  int r = h->lane(h->ctx, "all", NULL, &self->lane, &from, err);
  if (r == MR_LANE_NEW || r == MR_LANE_LATER)
    r = h->lane(h->ctx, "all", &first, &self->lane, &from, err);
  if (r < 0)
    return r;
  self->at = mr_position_get(&from);
  return MR_OK;
}

static bool next_rows(struct self *self, uint64_t n)
{
  for (uint64_t i = 0; i < n; i++)
    if (!mr_column_int(&self->n, (int64_t)(self->at + i)))
      return false;
  return true;
}

/* Rows of one lane, and the position behind them. MR_IDLE: none now; MR_END: none any more. */
static int read_(void *p, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct self *self = p;
  uint64_t end = (uint64_t)self->conf->rows;
  if (self->at >= end)
    return MR_END;
  if (self->cut > self->at && self->cut < end)
    end = self->cut;
  uint64_t n = end - self->at < (uint64_t)max_rows ? end - self->at : (uint64_t)max_rows;
  if (!n) {
    struct pollfd wake = {.fd = self->host->wake_fd, .events = POLLIN};
    poll(&wake, 1, timeout_ms);
    return MR_IDLE;
  }
  if (!next_rows(self, n) || !mr_rows_finish(&self->n, 1, (int64_t)n, &give->rows)) {
    mr_column_truncate(&self->n, 0);
    return fail(err, MR_FATAL, "out of memory");
  }
  self->at += n;
  give->lane = self->lane;
  give->upto = mr_position_u64(self->at);
  give->watermark_us = INT64_MIN;
  return MR_OK;
}

static int cut(void *p, uint32_t lane, const struct mr_position *at)
{
  ((struct self *)p)->cut = mr_position_get(at);
  return MR_OK;
}

static int seek(void *p, uint32_t lane, const struct mr_position *at, struct mr_error *err)
{
  ((struct self *)p)->at = mr_position_get(at);
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
    .name = "skeleton",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "Counts rows",
    .options = options,
    .source = &source,
};
