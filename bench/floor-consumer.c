/* SPDX-License-Identifier: Apache-2.0 */
/* The floor under every Kafka source: reads a topic from its beginning to the end it has at start
 * and counts messages, nothing else. usage: floor-consumer BROKERS TOPIC [NAME=VALUE…] */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_BATCH = 10000, MAX_PARTITIONS = 256, TIMEOUT_MS = 30000 };

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
  char err[256];
  if (rd_kafka_conf_set(conf, name, value, err, sizeof err) != RD_KAFKA_CONF_OK) {
    fprintf(stderr, "floor-consumer: %s\n", err);
    exit(2);
  }
}

static rd_kafka_t *connect_to(const char *brokers, char **option, int n)
{
  char err[256];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "group.id", "floor");
  set(conf, "enable.auto.commit", "false");
  set(conf, "enable.auto.offset.store", "false");
  for (int i = 0; i < n; i++) {
    char *value = strchr(option[i], '=');
    if (value)
      *value++ = '\0';
    set(conf, option[i], value ? value : "");
  }
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, err, sizeof err);
  if (!rk) {
    fprintf(stderr, "floor-consumer: %s\n", err);
    exit(3);
  }
  return rk;
}

/* Assigns every partition from its beginning; returns how many messages they hold. */
static int64_t assign_all(rd_kafka_t *rk, const char *topic)
{
  const struct rd_kafka_metadata *meta;
  rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
  if (rd_kafka_metadata(rk, 0, rkt, &meta, TIMEOUT_MS) || !meta->topics[0].partition_cnt) {
    fprintf(stderr, "floor-consumer: no metadata of %s\n", topic);
    exit(3);
  }
  int64_t total = 0;
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(MAX_PARTITIONS);
  for (int32_t p = 0; p < meta->topics[0].partition_cnt; p++) {
    int64_t low = 0, high = 0;
    rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, TIMEOUT_MS);
    rd_kafka_topic_partition_list_add(list, topic, p)->offset = low;
    total += high - low;
  }
  rd_kafka_assign(rk, list);
  rd_kafka_topic_partition_list_destroy(list);
  rd_kafka_metadata_destroy(meta);
  rd_kafka_topic_destroy(rkt);
  return total;
}

int main(int argc, char **argv)
{
  static rd_kafka_message_t *batch[MAX_BATCH];
  if (argc < 3) {
    fprintf(stderr, "usage: floor-consumer BROKERS TOPIC [NAME=VALUE…]\n");
    return 2;
  }
  double begin = now(), first = 0;
  rd_kafka_t *rk = connect_to(argv[1], argv + 3, argc - 3);
  int64_t want = assign_all(rk, argv[2]), count = 0;
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
  while (count < want) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 1000, batch, MAX_BATCH);
    for (ssize_t i = 0; i < n; i++) {
      count += !batch[i]->err;
      rd_kafka_message_destroy(batch[i]);
    }
    if (n > 0 && !first)
      first = now();
  }
  double end = now();
  printf("{\"rows\": %lld, \"seconds\": %.6f, \"first\": %.6f}\n", (long long)count, end - begin,
         first - begin);
  fflush(stdout);
  _Exit(0); /* closing a consumer takes time that belongs to nobody's rows */
}
