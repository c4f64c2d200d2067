/* SPDX-License-Identifier: Apache-2.0 */
/* The null sink takes every row and keeps none: for measuring what stands before it. */
#include <poll.h>
#include <stdlib.h>
#include "common/src-error.h"

struct conf {
  int64_t delay_ms;
};
struct null_sink {
  const struct mr_host *host;
  const struct conf *conf;
};

static const struct mr_opt options[] = {
    {.name = "delay",
     .type = MR_TIME_MS,
     .offset = offsetof(struct conf, delay_ms),
     .range = "0..1h",
     .dflt = "0",
     .doc = "How long each batch takes, to play a slow target"},
    {0},
};

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct null_sink *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  *self = s;
  return MR_OK;
}

static int start(void *self, struct mr_error *err)
{
  return MR_OK;
}

static int unit(void *self, const struct mr_unit *lend, struct mr_error *err)
{
  return MR_OK;
}

static int write_(void *self, const struct mr_batch *lend, struct mr_error *err)
{
  struct null_sink *s = self;
  struct pollfd wake = {.fd = s->host->wake_fd, .events = POLLIN};
  if (s->conf->delay_ms > 0 && poll(&wake, 1, (int)s->conf->delay_ms) > 0)
    return src_fail(err, MR_RETRY, "", "woken");
  return MR_OK;
}

static int evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  return MR_OK;
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_PLAIN,
    .open = open_,
    .start = start,
    .begin = unit,
    .write = write_,
    .commit = unit,
    .abort = unit,
    .evolve = evolve,
    .close = free,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "null",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Takes every row and keeps none",
    .options = options,
    .sink = &sink,
    .flags = MR_PARTIAL | MR_RANGES,
};
