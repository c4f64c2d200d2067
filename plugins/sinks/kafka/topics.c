/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the topics are there, and making those that may be made. */
#include <stdlib.h>
#include "common/clock.h"
#include "kafka.h"

static int metadata(struct kfs *s, const struct rd_kafka_metadata **ret, struct mr_error *err)
{
  struct kfs_producer *p = &s->plain;
  int64_t until = clock_now_ms() + KFS_START_MS;
  int r = kfs_producer_ready(p, KFS_START_MS, err);
  if (r < 0)
    return r;
  rd_kafka_resp_err_t e;
  p->down = false;
  do {
    e = rd_kafka_metadata(p->rk, 1, NULL, ret, KFS_SLICE_MS);
    rd_kafka_poll(p->rk, 0);
  } while (e && !p->down && !kfk_woken(s->host) && clock_now_ms() < until);
  return e ? kfs_fail(s, p, e, "no metadata", err) : MR_OK;
}

static const struct rd_kafka_metadata_topic *find(const struct rd_kafka_metadata *md,
                                                  const char *name)
{
  for (int i = 0; i < md->topic_cnt; i++)
    if (!strcmp(md->topics[i].topic, name))
      return &md->topics[i];
  return NULL;
}

/* MR_OK: made, or it was there. */
static int made(rd_kafka_event_t *ev, rd_kafka_resp_err_t *ret)
{
  size_t n = 0;
  *ret = ev ? rd_kafka_event_error(ev) : RD_KAFKA_RESP_ERR__TIMED_OUT;
  if (*ret)
    return MR_RETRY;
  const rd_kafka_topic_result_t **t =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
  *ret = n ? rd_kafka_topic_result_error(t[0]) : RD_KAFKA_RESP_ERR_NO_ERROR;
  return !*ret || *ret == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS ? MR_OK : MR_RETRY;
}

static int make_topic(struct kfs *s, const char *name, int partitions, bool compact,
                      struct mr_error *err)
{
  char why[256];
  int copies = s->conf->replication > 0 ? (int)s->conf->replication : -1;
  rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(name, partitions, copies, why, sizeof why);
  if (!t)
    return src_fail(err, MR_BADCONF, "", "topic %s: %s", name, why);
  if (compact) {
    rd_kafka_NewTopic_set_config(t, "cleanup.policy", "compact");
    rd_kafka_NewTopic_set_config(t, "segment.bytes", KFS_OFFSETS_SEGMENT);
  }
  rd_kafka_queue_t *q = rd_kafka_queue_new(s->plain.rk);
  rd_kafka_CreateTopics(s->plain.rk, &t, 1, NULL, q);
  rd_kafka_event_t *ev = rd_kafka_queue_poll(q, KFS_CALL_MS);
  rd_kafka_resp_err_t e;
  int r = made(ev, &e);
  if (r < 0) {
    snprintf(why, sizeof why, "topic %.200s cannot be made", name);
    r = kfs_fail(s, &s->plain, e, why, err);
  }
  if (ev)
    rd_kafka_event_destroy(ev);
  rd_kafka_queue_destroy(q);
  rd_kafka_NewTopic_destroy(t);
  return r;
}

static int64_t entry_of(const rd_kafka_ConfigResource_t *resource, const char *name)
{
  size_t n;
  const rd_kafka_ConfigEntry_t **all = rd_kafka_ConfigResource_configs(resource, &n);
  for (size_t i = 0; i < n; i++)
    if (!strcmp(rd_kafka_ConfigEntry_name(all[i]), name) && rd_kafka_ConfigEntry_value(all[i]))
      return strtoll(rd_kafka_ConfigEntry_value(all[i]), NULL, 10);
  return 0;
}

/* The topic's limit, so that a message over it is refused here and alone. Not everybody may ask. */
static int64_t max_bytes_of(struct kfs *s)
{
  int64_t found = 0;
  rd_kafka_ConfigResource_t *c =
      rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, s->conf->topic);
  rd_kafka_queue_t *q = rd_kafka_queue_new(s->plain.rk);
  rd_kafka_DescribeConfigs(s->plain.rk, &c, 1, NULL, q);
  rd_kafka_event_t *ev = rd_kafka_queue_poll(q, KFS_START_MS);
  if (ev && !rd_kafka_event_error(ev)) {
    size_t n;
    const rd_kafka_ConfigResource_t **all =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(ev), &n);
    found = n ? entry_of(all[0], "max.message.bytes") : 0;
  }
  if (ev)
    rd_kafka_event_destroy(ev);
  rd_kafka_queue_destroy(q);
  rd_kafka_ConfigResource_destroy(c);
  return found;
}

static int missing(struct kfs *s, const char *name, struct mr_error *err)
{
  char brokers[160];
  kfk_brokers(&s->conf->brokers, brokers, sizeof brokers);
  return src_badconf(err, "topic", "Kafka at %s has no topic %s; create: true makes it", brokers,
                     name);
}

static bool is_missing(const struct rd_kafka_metadata_topic *t)
{
  return !t || t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

static int look_at(struct kfs *s, const struct rd_kafka_metadata *md, bool make,
                   int *ret_partitions, struct mr_error *err)
{
  const struct kfs_conf *c = s->conf;
  const struct rd_kafka_metadata_topic *t = find(md, c->topic), *o = find(md, c->offsets_topic);
  int r = MR_OK;
  *ret_partitions = is_missing(t) ? 0 : t->partition_cnt;
  if (is_missing(t) && !c->create)
    return missing(s, c->topic, err);
  if (t && t->err && !is_missing(t))
    return kfs_fail(s, &s->plain, t->err, c->topic, err);
  if (o && !o->err && o->partition_cnt != 1)
    return src_badconf(err, "offsets_topic", "topic %s has %d partitions; it must have one",
                       c->offsets_topic, o->partition_cnt);
  if (make && is_missing(t))
    r = make_topic(s, c->topic, c->partitions > 0 ? (int)c->partitions : -1, false, err);
  if (r == MR_OK && make && is_missing(o))
    r = make_topic(s, c->offsets_topic, 1, true, err);
  return r;
}

int kfs_topics_ready(struct kfs *s, bool make, int *ret_partitions, struct mr_error *err)
{
  const struct rd_kafka_metadata *md;
  int r = metadata(s, &md, err);
  if (r < 0)
    return r;
  r = look_at(s, md, make, ret_partitions, err);
  rd_kafka_metadata_destroy(md);
  if (r == MR_OK && make)
    s->max_bytes = max_bytes_of(s);
  return r;
}
