/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>
#include "kafka.h"

static const char *const transactions[] = {"sink", "lane", NULL};
static const char *const compressions[] = {"none", "gzip", "snappy", "lz4", "zstd", NULL};

#define AT(field) (uint32_t) offsetof(struct kfs_conf, field)

const struct mr_opt kfs_options[] = {
    {.name = "brokers",
     .type = MR_TEXT,
     .flags = MR_REQUIRED | MR_MANY,
     .offset = AT(brokers),
     .doc = "Addresses of one or more brokers, host:port"},
    {.name = "topic",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = AT(topic),
     .doc = "Topic to write"},
    {.name = "format",
     .type = MR_FORMAT,
     .offset = AT(format),
     .dflt = "json",
     .doc = "Format of the message value"},
    {.name = "key",
     .type = MR_TEXT,
     .flags = MR_MANY,
     .offset = AT(key),
     .doc = "Columns of the message key: one of text or bytes as it is, else a JSON object; left "
            "out: the column _key where the rows have it"},
    {.name = "key_format",
     .type = MR_FORMAT,
     .offset = AT(key_format),
     .dflt = "json",
     .doc = "Format of a key that is not one column of text or bytes"},
    {.name = "headers",
     .type = MR_TEXT,
     .flags = MR_KEYED,
     .offset = AT(headers),
     .doc = "Headers: name: column of text or bytes; _headers of the rows are passed on besides"},
    {.name = "partition",
     .type = MR_TEXT,
     .offset = AT(partition),
     .doc = "Integer column that is the partition; left out: by the key's hash, as Java's client"},
    {.name = "timestamp",
     .type = MR_TEXT,
     .offset = AT(timestamp),
     .doc = "Timestamp column that is the message's time"},
    {.name = "create",
     .type = MR_BOOL,
     .offset = AT(create),
     .dflt = "false",
     .doc = "Make the topic when it is missing"},
    {.name = "partitions",
     .type = MR_INT,
     .offset = AT(partitions),
     .range = "1..100000",
     .doc = "Partitions of a topic that is made; left out: the broker's default"},
    {.name = "replication",
     .type = MR_INT,
     .offset = AT(replication),
     .range = "1..100",
     .doc = "Copies of topics that are made; left out: the broker's default"},
    {.name = "compression",
     .type = MR_CHOICE,
     .offset = AT(compression),
     .dflt = "lz4",
     .choices = compressions,
     .doc = "Compression of the messages"},
    {.name = "transactions",
     .type = MR_CHOICE,
     .offset = AT(transactions),
     .dflt = "sink",
     .choices = transactions,
     .doc = "sink: one transactional.id, one process; lane: one for each lane, for groups and "
            "parallel"},
    {.name = "transactional_id",
     .type = MR_TEXT,
     .offset = AT(transactional_id),
     .doc = "Left out: millrace-PIPELINE-SINK"},
    {.name = "transaction_timeout",
     .type = MR_TIME_MS,
     .offset = AT(transaction_timeout_ms),
     .dflt = "60s",
     .range = "1s..15m",
     .doc = "The broker aborts a transaction that is open for longer; more than commit"},
    {.name = "commit_timeout",
     .type = MR_TIME_MS,
     .offset = AT(commit_timeout_ms),
     .dflt = "15s",
     .range = "1s..10m",
     .doc = "How long an answer to a commit is waited for, before the outcome is asked"},
    {.name = "offsets_topic",
     .type = MR_TEXT,
     .offset = AT(offsets_topic),
     .dflt = "millrace_offsets",
     .doc = "Compacted topic of one partition that holds the positions; made when it is missing"},
    {.name = "client_id",
     .type = MR_TEXT,
     .offset = AT(client_id),
     .doc = "Name that the broker logs; left out: millrace-PIPELINE-SINK"},
    {.name = "tls",
     .type = MR_GROUP,
     .offset = AT(tls),
     .sub_size = sizeof(struct kfk_tls),
     .sub = kfk_tls_options,
     .doc = "Encryption"},
    {.name = "sasl",
     .type = MR_GROUP,
     .offset = AT(sasl),
     .sub_size = sizeof(struct kfk_sasl),
     .sub = kfk_sasl_options,
     .doc = "Log-in"},
    {.name = "rdkafka",
     .type = MR_TEXT,
     .flags = MR_KEYED,
     .offset = AT(rdkafka),
     .doc = "Any other option of librdkafka, by its own name"},
    {0},
};

static const char *const owned[] = {
    "bootstrap.servers",
    "metadata.broker.list",
    "transactional.id",
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "transaction.timeout.ms",
    "isolation.level",
    "log.queue",
    "compression.codec",
    "compression.type",
    "delivery.report.only.error",
    NULL,
};

static int set_all(rd_kafka_conf_t *rc, const char *const (*pair)[2], struct mr_error *err)
{
  int r = MR_OK;
  for (size_t i = 0; r == MR_OK && pair[i][0]; i++)
    r = kfk_set(rc, pair[i][0], pair[i][1], "", err);
  return r;
}

static int set_common(rd_kafka_conf_t *rc, const struct kfs *s, struct mr_error *err)
{
  static const char *const fixed[][2] = {
      {"log.connection.close", "false"},
      {"log.queue", "true"},
      {"reconnect.backoff.ms", "50"},
      {"reconnect.backoff.max.ms", "2000"},
      {"socket.nagle.disable", "true"},
      {"socket.keepalive.enable", "true"},
      {"socket.connection.setup.timeout.ms", "5000"},
      {NULL, NULL},
  };
  const struct kfs_conf *c = s->conf;
  char brokers[4096], id[200];
  snprintf(id, sizeof id, "millrace-%.80s-%.80s", s->pipeline, s->stage);
  int r = set_all(rc, fixed, err);
  if (r == MR_OK)
    r = kfk_set(rc, "bootstrap.servers", kfk_brokers(&c->brokers, brokers, sizeof brokers),
                "brokers", err);
  if (r == MR_OK)
    r = kfk_set(rc, "client.id", c->client_id ? c->client_id : id, "client_id", err);
  return r == MR_OK ? kfk_set_security(rc, &c->brokers, &c->tls, &c->sasl, err) : r;
}

static int finish(rd_kafka_conf_t *rc, int r, rd_kafka_conf_t **ret)
{
  if (r < 0)
    rd_kafka_conf_destroy(rc);
  else
    *ret = rc;
  return r;
}

int kfs_conf_producer(const struct kfs *s, const char *id, rd_kafka_conf_t **ret,
                      struct mr_error *err)
{
  static const char *const fixed[][2] = {
      {"enable.idempotence", "true"},
      {"delivery.report.only.error", "true"},
      {"linger.ms", "5"},
      {"batch.size", "1000000"},
      {"queue.buffering.max.messages", "500000"},
      {"queue.buffering.max.kbytes", "65536"},
      {"partitioner", "murmur2_random"}, /* as Java's client */
      {NULL, NULL},
  };
  const struct kfs_conf *c = s->conf;
  rd_kafka_conf_t *rc = rd_kafka_conf_new();
  int r = set_common(rc, s, err);
  if (r == MR_OK)
    r = set_all(rc, fixed, err);
  if (r == MR_OK)
    r = kfk_set(rc, "compression.codec", compressions[c->compression], "compression", err);
  if (r == MR_OK)
    r = kfk_set(rc, "transactional.id", id, "transactional_id", err);
  if (r == MR_OK && id)
    r = kfk_set_int(rc, "transaction.timeout.ms", c->transaction_timeout_ms, "transaction_timeout",
                    err);
  if (r == MR_OK && s->max_bytes > 2 * KFS_BATCH_OVERHEAD)
    r = kfk_set_int(rc, "message.max.bytes", s->max_bytes - KFS_BATCH_OVERHEAD, "", err);
  /* a message must be given up before its transaction is */
  if (r == MR_OK && id)
    r = kfk_set_int(rc, "message.timeout.ms", c->transaction_timeout_ms, "transaction_timeout",
                    err);
  if (r == MR_OK)
    r = kfk_set_map(rc, &c->rdkafka, "rdkafka", owned, err);
  return finish(rc, r, ret);
}

int kfs_conf_reader(const struct kfs *s, rd_kafka_conf_t **ret, struct mr_error *err)
{
  static const char *const fixed[][2] = {
      {"isolation.level", "read_committed"},
      {"enable.partition.eof", "true"},
      {"fetch.wait.max.ms", "20"},
      {"auto.offset.reset", "earliest"},
      {"check.crcs", "true"},
      {NULL, NULL},
  };
  rd_kafka_conf_t *rc = rd_kafka_conf_new();
  int r = set_common(rc, s, err);
  if (r == MR_OK)
    r = set_all(rc, fixed, err);
  return finish(rc, r, ret);
}

static int validate_topic(const char *option, const char *t, struct mr_error *err)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  if (!*t || strlen(t) > 249 || strspn(t, letters) != strlen(t))
    return src_badconf(err, option, "%.100s is not a topic name", t);
  return MR_OK;
}

int kfs_validate(const void *conf, struct mr_error *err)
{
  const struct kfs_conf *c = conf;
  struct kfs s = {.conf = c, .pipeline = (char *)"check", .stage = (char *)"check"};
  rd_kafka_conf_t *rc;
  int r = validate_topic("topic", c->topic, err);
  if (r == MR_OK)
    r = validate_topic("offsets_topic", c->offsets_topic, err);
  if (r == MR_OK && !strcmp(c->topic, c->offsets_topic))
    r = src_badconf(err, "offsets_topic", "the rows and their positions need a topic each");
  if (r == MR_OK)
    r = kfk_validate_sasl(&c->sasl, err);
  if (r == MR_OK && c->commit_timeout_ms >= c->transaction_timeout_ms)
    r = src_badconf(err, "commit_timeout", "must be less than transaction_timeout");
  if (r == MR_OK)
    r = kfs_conf_producer(&s, "check", &rc, err);
  if (r == MR_OK)
    rd_kafka_conf_destroy(rc);
  return r;
}
