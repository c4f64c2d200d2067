/* SPDX-License-Identifier: Apache-2.0 */
/* skeleton: a transform that writes one text column in capitals. The contract is in
 * millrace/plugin.h; begin with the options, the columns that come and go, and put_value. */
#include <stdlib.h>
#include "millrace/build.h"
#include "millrace/plugin.h"

struct conf { /* filled from the options */
  const char *column;
};
struct self {
  const struct conf *conf;
  struct ArrowSchema in; /* also what goes out */
  int64_t column;
};

static const struct mr_opt options[] = {
    {.name = "column",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = offsetof(struct conf, column),
     .doc = "The text column to write in capitals"},
    {0},
};

static int fail(struct mr_error *err, int status, const char *option, const char *msg)
{
  strncpy(err->option, option, sizeof err->option - 1);
  strncpy(err->msg, msg, sizeof err->msg - 1);
  return status;
}

/* The columns that come in: known at open, or when the first rows come; they may change. */
static int evolve(void *p, const struct ArrowSchema *in, struct mr_error *err)
{
  struct self *self = p;
  struct ArrowSchema copy;
  int64_t at = mr_schema_find(in, self->conf->column);
  if (at < 0 || mr_kind_of(in->children[at]) != MR_K_TEXT)
    return fail(err, MR_BADCONF, "column", "there is no text column of this name");
  if (!mr_schema_copy(in, &copy)) {
    mr_schema_release(&copy);
    return fail(err, MR_FATAL, "", "out of memory");
  }
  mr_schema_release(&self->in);
  self->in = copy;
  self->column = at;
  return MR_OK;
}

static void close_(void *p)
{
  struct self *self = p;
  mr_schema_release(&self->in);
  free(self);
}

/* Also called by `millrace check`: touches nothing outside. */
static int open_(const struct mr_open *o, void **ret, struct mr_error *err)
{
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return fail(err, MR_FATAL, "", "out of memory");
  self->conf = o->conf;
  int status = o->in ? evolve(self, o->in, err) : MR_OK;
  if (status < 0)
    close_(self);
  else
    *ret = self;
  return status;
}

static int schema(void *p, struct ArrowSchema *give, struct mr_error *err)
{
  struct self *self = p;
  if (!self->in.release)
    return MR_IDLE;
  if (mr_schema_copy(&self->in, give))
    return MR_OK;
  mr_schema_release(give);
  return fail(err, MR_FATAL, "", "out of memory");
}

static int start(void *p, struct mr_error *err)
{
  return MR_OK;
}

static bool put_value(struct mr_column *to, const char *text, int64_t n)
{
  if (!mr_column_bytes(to, text, n))
    return false;
  uint8_t *copy = to->bytes + to->bytes_len - n;
  for (int64_t i = 0; i < n; i++)
    if (copy[i] >= 'a' && copy[i] <= 'z')
      copy[i] -= 'a' - 'A';
  return true;
}

/* A new column: buffers that came in may be shared, and are never written. */
static bool make_column(const struct self *self, const struct ArrowArray *rows,
                        struct ArrowArray *give)
{
  struct mr_column to;
  struct mr_view from;
  bool ok = mr_column_init(&to, self->in.children[self->column]);
  mr_view_column(&from, &self->in, rows, self->column);
  for (int64_t i = 0; ok && i < rows->length; i++) {
    int64_t n;
    const char *text = mr_view_bytes(&from, i, &n);
    ok = mr_view_null(&from, i) ? mr_column_null(&to) : put_value(&to, text, n);
  }
  ok = ok && mr_column_finish(&to, give);
  mr_column_done(&to);
  return ok;
}

static int apply(void *p, struct mr_batch *take, struct mr_batch *give, struct mr_error *err)
{
  struct self *self = p;
  struct ArrowArray column;
  if (!make_column(self, &take->rows, &column))
    return fail(err, MR_FATAL, "", "out of memory");
  struct ArrowArray *old = take->rows.children[self->column];
  old->release(old);
  *old = column;
  give->rows = take->rows; /* moved: the other columns are passed on as they are */
  take->rows.release = NULL;
  give->lane = take->lane;
  give->upto = take->upto;
  give->watermark_us = take->watermark_us;
  return MR_OK;
}

static const struct mr_transform transform = {
    .size = sizeof(struct mr_transform),
    .open = open_,
    .schema = schema,
    .start = start,
    .apply = apply,
    .evolve = evolve,
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
    .summary = "Writes a text column in capitals",
    .options = options,
    .transform = &transform,
};
