/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's own mock cluster: one broker in this process, and a producer for it. Failures stop
 * the test. */
#ifndef MOCK_H
#define MOCK_H
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdint.h>

struct mock {
  rd_kafka_t *rk; /* producer, and the cluster's owner */
  rd_kafka_mock_cluster_t *cluster;
  char *option; /* "brokers=127.0.0.1:…", for src_host_conf */
};
void mock_init(struct mock *m);
void mock_done(struct mock *m);
void mock_topic(struct mock *m, const char *name, int partitions);
/* One message; key and value may be NULL. Returns when the broker has it. */
void mock_put(struct mock *m, const char *topic, int partition, const char *key, const char *value);
/* With a timestamp in ms and one header. */
void mock_put_full(struct mock *m, const char *topic, int partition, const char *key,
                   const char *value, int64_t ms, const char *header, const char *header_value);
void mock_put_many(struct mock *m, const char *topic, int partition, int n, int first, int size);
/* The offset committed to a group, or a negative number. */
int64_t mock_committed(struct mock *m, const char *group, const char *topic, int partition);

#endif
