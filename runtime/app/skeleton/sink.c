/* SPDX-License-Identifier: Apache-2.0 */
/* skeleton: a sink that appends rows to a file. Plain delivery: a unit is written when it is
 * committed, at least once. The contract is in millrace/plugin.h; begin with the options, start and
 * commit. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "millrace/build.h"
#include "millrace/plugin.h"

struct conf { /* filled from the options */
  const char *path;
  const struct mr_format *format;
};
struct self {
  const struct mr_host *host;
  const struct conf *conf;
  struct mr_encoder *encoder;
  int fd;
  char *unit; /* the bytes of the unit so far */
  size_t len;
};

static const struct mr_opt options[] = {
    {.name = "path",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = offsetof(struct conf, path),
     .doc = "File to append to"},
    {.name = "format",
     .type = MR_FORMAT,
     .offset = offsetof(struct conf, format),
     .dflt = "jsonl",
     .doc = "Format of the rows"},
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
  if (self->encoder)
    self->host->encoder_free(self->encoder);
  if (self->fd >= 0)
    close(self->fd);
  free(self->unit);
  free(self);
}

/* The columns that come in: known at open, or when the first rows come; they may change. */
static int evolve(void *p, const struct ArrowSchema *in, struct mr_error *err)
{
  struct self *self = p;
  struct mr_encoder *encoder;
  int r = self->host->encoder(self->host->ctx, self->conf->format, in, &encoder, err);
  if (r < 0)
    return r;
  if (self->encoder)
    self->host->encoder_free(self->encoder);
  self->encoder = encoder;
  return MR_OK;
}

/* Also called by `millrace check`: touches nothing outside. */
static int open_(const struct mr_open *o, void **ret, struct mr_error *err)
{
  struct self *self = calloc(1, sizeof *self);
  if (!self)
    return fail(err, MR_FATAL, "out of memory");
  self->host = o->host;
  self->conf = o->conf;
  self->fd = -1;
  int r = o->in ? evolve(self, o->in, err) : MR_OK;
  if (r < 0)
    close_(self);
  else
    *ret = self;
  return r;
}

/* Connects. MR_RETRY: the runtime waits and calls again. */
static int start(void *p, struct mr_error *err)
{
  struct self *self = p;
  if (self->fd < 0)
    self->fd = open(self->conf->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (self->fd >= 0)
    return MR_OK;
  err->native = errno;
  return fail(err, MR_FATAL, "the file cannot be opened");
}

static int begin(void *p, const struct mr_unit *lend, struct mr_error *err)
{
  ((struct self *)p)->len = 0;
  return MR_OK;
}

static bool keep(struct self *self, const char *bytes, size_t n)
{
  char *more = realloc(self->unit, self->len + n + 1);
  if (!more)
    return false;
  self->unit = more;
  memcpy(more + self->len, bytes, n);
  self->len += n;
  return true;
}

/* A batch of the unit; on failure nothing of it is kept. */
static int write_(void *p, const struct mr_batch *lend, struct mr_error *err)
{
  struct self *self = p;
  struct ArrowArray lines;
  if (!lend->rows.length)
    return MR_OK;
  int r = self->host->encode(self->encoder, lend, &lines, err);
  if (r < 0)
    return r;
  const int32_t *end = (const int32_t *)lines.buffers[1] + lines.offset;
  const char *bytes = lines.buffers[2];
  if (!keep(self, bytes + end[0], (size_t)(end[lines.length] - end[0])))
    r = fail(err, MR_FATAL, "out of memory");
  mr_array_release(&lines);
  return r;
}

/* Makes the unit durable; the runtime records the positions when this has returned. */
static int commit(void *p, const struct mr_unit *lend, struct mr_error *err)
{
  struct self *self = p;
  for (size_t done = 0; done < self->len;) {
    ssize_t n = write(self->fd, self->unit + done, self->len - done);
    if (n < 0) {
      err->native = errno;
      return fail(err, MR_FATAL, "the file cannot be written");
    }
    done += (size_t)n;
  }
  self->len = 0;
  if (!fdatasync(self->fd))
    return MR_OK;
  err->native = errno;
  return fail(err, MR_FATAL, "the file cannot be synced");
}

static int abort_(void *p, const struct mr_unit *lend, struct mr_error *err)
{
  ((struct self *)p)->len = 0;
  return MR_OK;
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_PLAIN,
    .open = open_,
    .start = start,
    .begin = begin,
    .write = write_,
    .commit = commit,
    .abort = abort_,
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
    .summary = "Appends rows to a file",
    .options = options,
    .sink = &sink,
};
