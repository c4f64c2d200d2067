/* SPDX-License-Identifier: Apache-2.0 */
/* The kafka source: the plugin object. kafka.h says how it is put together. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "kafka.h"

void kafka_close(void *self)
{
  struct kafka *k = self;
  kafka_client_close(k);
  if (k->decoder)
    k->host->decoder_free(k->decoder);
  src_system_done(&k->system);
  if (k->wake >= 0)
    close(k->wake);
  free(k->header);
  free(k->key_json);
  free(k->pipeline_stage);
  free(k);
}

static int open_parts(struct kafka *k, const struct mr_open *o, struct mr_error *err)
{
  uint32_t all = SRC_BIT(SRC_COLUMNS) - 1;
  int r = src_system_init(&k->system, &o->want, all, err);
  if (r < 0)
    return r;
  if (asprintf(&k->pipeline_stage, "%s-%s", o->pipeline ? o->pipeline : "",
               o->stage ? o->stage : "") < 0) {
    k->pipeline_stage = NULL;
    return src_no_memory(err);
  }
  k->store = MR_HAS(o, store) ? o->store : NULL;
  k->new_store = MR_HAS(o, new_store);
  k->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (k->wake < 0)
    return src_fail(err, MR_RETRY, "", "no file descriptor left");
  return k->host->decoder(k->host->ctx, k->conf->format, &k->decoder, err);
}

/* What the file says, else what the runtime allows, up to the amount that more of does not make
 * faster. */
static int64_t queue_size(const struct kafka_conf *c, int64_t memory)
{
  int64_t size = memory > 0 && memory < KAFKA_QUEUE ? memory : KAFKA_QUEUE;
  return c->queue > 0 ? c->queue : size > KAFKA_QUEUE_MIN ? size : KAFKA_QUEUE_MIN;
}

int kafka_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct kafka *k = calloc(1, sizeof *k);
  if (!k)
    return src_no_memory(err);
  k->host = o->host;
  k->conf = o->conf;
  k->instance = o->instance;
  k->instances = o->instances;
  k->bounded = o->bounded;
  k->queue = queue_size(k->conf, o->memory);
  k->wake = -1;
  int r = open_parts(k, o, err);
  if (r < 0)
    kafka_close(k);
  else
    *self = k;
  return r;
}

static int cut(void *self, uint32_t lane, const struct mr_position *position)
{
  struct kafka_part *p = kafka_part_of_lane(self, lane);
  int64_t at = (int64_t)mr_position_get(position);
  if (p)
    p->cut = at > p->at ? at : INT64_MAX;
  return MR_OK;
}

static int seek(void *self, uint32_t lane, const struct mr_position *position, struct mr_error *err)
{
  struct kafka *k = self;
  struct kafka_part *p = kafka_part_of_lane(k, lane);
  if (!p)
    return MR_OK;
  if (k->open == p)
    kafka_forget_open(k);
  int r = kafka_part_seek(k, p, (int64_t)mr_position_get(position), err);
  if (r < 0)
    return r;
  p->at = (int64_t)mr_position_get(position);
  p->cut = INT64_MAX;
  p->ended = p->at >= p->end;
  return MR_OK;
}

/* Tells the group how far every sink is, for tools that show lag. Not waited for, and never read
 * back but by start: committed. */
static int ack(void *self, const struct mr_unit *unit, struct mr_error *err)
{
  struct kafka *k = self;
  if (!k->conf->group || !k->rk)
    return MR_OK;
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new((int)unit->n);
  for (uint32_t i = 0; i < unit->n; i++) {
    struct kafka_part *p = kafka_part_of_lane(k, unit->mark[i].lane);
    int64_t at = (int64_t)mr_position_get(&unit->mark[i].upto);
    if (!p || at == p->committed)
      continue;
    p->committed = at;
    rd_kafka_topic_partition_t *t = rd_kafka_topic_partition_list_add(l, p->topic, p->number);
    t->offset = at;
    if (unit->label && (t->metadata = strdup(unit->label)))
      t->metadata_size = strlen(unit->label);
  }
  if (l->cnt && !(k->subscribed && rd_kafka_assignment_lost(k->rk)))
    rd_kafka_commit(k->rk, l, 1);
  rd_kafka_topic_partition_list_destroy(l);
  return MR_OK;
}

static void wake(void *self)
{
  struct kafka *k = self;
  ssize_t r = write(k->wake, &(uint64_t){1}, sizeof(uint64_t));
  (void)r; /* EAGAIN: it is awake already */
}

static int check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self;
  const struct rd_kafka_metadata *md;
  char brokers[160], line[256];
  int r = kafka_open(o, &self, err);
  if (r < 0)
    return r;
  struct kafka *k = self;
  r = kafka_client_open(k, err);
  if (r == MR_OK)
    r = kafka_client_metadata(k, KAFKA_DEADLINE_MS, &md, err);
  if (r == MR_OK) {
    r = kafka_client_topics(k, md, err);
    kfk_brokers(&k->conf->brokers, brokers, sizeof brokers);
    for (int i = 0; r == MR_OK && i < md->topic_cnt; i++) {
      int n =
          snprintf(line, sizeof line,
                   "%sKafka at %s, %d broker%s, topic %.100s: %d partition%s, ok", i ? "\n" : "",
                   brokers, md->broker_cnt, md->broker_cnt == 1 ? "" : "s", md->topics[i].topic,
                   md->topics[i].partition_cnt, md->topics[i].partition_cnt == 1 ? "" : "s");
      r = put(out, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
    }
    rd_kafka_metadata_destroy(md);
  }
  kafka_close(k);
  return r;
}

static const struct mr_source source = {
    .size = sizeof(struct mr_source),
    .open = kafka_open,
    .schema = kafka_schema,
    .start = kafka_start,
    .read = kafka_read,
    .cut = cut,
    .seek = seek,
    .ack = ack,
    .wake = wake,
    .close = kafka_close,
    .lost = kafka_lost,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct kafka_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "kafka",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Messages of Kafka topics",
    .options = kafka_options,
    .source = &source,
    .validate = kafka_validate,
    .check = check,
    .discover = kafka_discover,
};
