/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/random.h>
#include "kafka.h"

void kfs_close(void *self)
{
  struct kfs *s = self;
  kfs_producers_free(s);
  kfs_rows_done(s);
  kfs_rows_free(s);
  free(s->lane);
  free(s->batch);
  free(s->pipeline);
  free(s->stage);
  free(s);
}

static int open_parts(struct kfs *s, const struct mr_open *o, struct mr_error *err)
{
  s->pipeline = strdup(o->pipeline ? o->pipeline : "");
  s->stage = strdup(o->stage ? o->stage : "");
  if (!s->pipeline || !s->stage)
    return src_no_memory(err);
  if (getrandom(&s->self_id, sizeof s->self_id, 0) != sizeof s->self_id)
    return src_fail(err, MR_RETRY, "", "no random numbers");
  if (o->instances > 1 && s->conf->transactions == KFS_SINK)
    return src_badconf(err, "transactions", "parallel needs transactions: lane");
  return o->in ? kfs_rows_plan(s, o->in, err) : MR_OK;
}

int kfs_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct kfs *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  s->plain.sink = s;
  int r = open_parts(s, o, err);
  if (r < 0)
    kfs_close(s);
  else
    *self = s;
  return r;
}

static int evolve(void *self, const struct ArrowSchema *to, struct mr_error *err)
{
  return kfs_rows_plan(self, to, err);
}

/* Nothing is made. */
static int check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self;
  char brokers[160], line[512];
  int partitions, r = kfs_open(o, &self, err);
  if (r < 0)
    return r;
  struct kfs *s = self;
  r = kfs_topics_ready(s, false, &partitions, err);
  if (r >= 0) {
    kfk_brokers(&s->conf->brokers, brokers, sizeof brokers);
    int n = partitions ? snprintf(line, sizeof line, "Kafka at %s, topic %s: %d partition%s, ok",
                                  brokers, s->conf->topic, partitions, partitions == 1 ? "" : "s")
                       : snprintf(line, sizeof line, "Kafka at %s, topic %s: not there yet, ok",
                                  brokers, s->conf->topic);
    r = put(out, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
  }
  kfs_close(s);
  return r;
}

static int ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct kfs_conf *c = o->conf;
  return o->host->format_ddl(o->host->ctx, c->format, o->in, put, out, err);
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_TRANSACTIONAL,
    .open = kfs_open,
    .start = kfs_start,
    .take = kfs_take,
    .found = kfs_found,
    .begin = kfs_begin,
    .write = kfs_write,
    .flush = kfs_flush,
    .commit = kfs_commit,
    .abort = kfs_abort,
    .reread = kfs_reread,
    .evolve = evolve,
    .state_bytes = KFS_STATE_MAX,
    .close = kfs_close,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct kfs_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "kafka",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Rows as messages of a Kafka topic, in transactions",
    .options = kfs_options,
    .sink = &sink,
    .validate = kfs_validate,
    .check = check,
    .ddl = ddl,
};
