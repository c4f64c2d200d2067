/* SPDX-License-Identifier: Apache-2.0 */
#include "mock.h"
#include <glib.h>
#include <string.h>

static rd_kafka_t *client(rd_kafka_type_t type, const char *brokers, const char *group)
{
  char why[256];
  rd_kafka_conf_t *c = rd_kafka_conf_new();
  rd_kafka_conf_set(c, "client.id", "mock", why, sizeof why);
  rd_kafka_conf_set(c, "log_level", "0", why, sizeof why);
  if (brokers)
    rd_kafka_conf_set(c, "bootstrap.servers", brokers, why, sizeof why);
  if (group)
    rd_kafka_conf_set(c, "group.id", group, why, sizeof why);
  if (type == RD_KAFKA_PRODUCER)
    rd_kafka_conf_set(c, "linger.ms", "0", why, sizeof why);
  rd_kafka_t *rk = rd_kafka_new(type, c, why, sizeof why);
  g_assert_nonnull(rk);
  return rk;
}

void mock_init(struct mock *m)
{
  rd_kafka_t *owner = client(RD_KAFKA_PRODUCER, NULL, NULL);
  m->cluster = rd_kafka_mock_cluster_new(owner, 1);
  g_assert_nonnull(m->cluster);
  m->option = g_strdup_printf("brokers=%s", rd_kafka_mock_cluster_bootstraps(m->cluster));
  m->rk = client(RD_KAFKA_PRODUCER, rd_kafka_mock_cluster_bootstraps(m->cluster), NULL);
}

/* The cluster's thread takes up to a second to notice: meanwhile the next test runs. */
static gpointer tear_down(gpointer cluster)
{
  rd_kafka_t *owner = rd_kafka_mock_cluster_handle(cluster);
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(owner);
  return NULL;
}

void mock_done(struct mock *m)
{
  rd_kafka_destroy(m->rk);
  g_thread_unref(g_thread_new("mock", tear_down, m->cluster));
  g_free(m->option);
}

void mock_topic(struct mock *m, const char *name, int partitions)
{
  g_assert_cmpint(rd_kafka_mock_topic_create(m->cluster, name, partitions, 1), ==, 0);
}

void mock_put_full(struct mock *m, const char *topic, int partition, const char *key,
                   const char *value, int64_t ms, const char *header, const char *header_value)
{
  rd_kafka_headers_t *h = rd_kafka_headers_new(1);
  if (header)
    rd_kafka_header_add(h, header, -1, header_value, -1);
  rd_kafka_resp_err_t e = rd_kafka_producev(
      m->rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, key ? strlen(key) : 0),
      RD_KAFKA_V_VALUE((void *)value, value ? strlen(value) : 0), RD_KAFKA_V_TIMESTAMP(ms),
      RD_KAFKA_V_HEADERS(h), RD_KAFKA_V_END);
  g_assert_cmpint(e, ==, 0);
  g_assert_cmpint(rd_kafka_flush(m->rk, 10000), ==, 0);
}

void mock_put(struct mock *m, const char *topic, int partition, const char *key, const char *value)
{
  mock_put_full(m, topic, partition, key, value, 0, NULL, NULL);
}

void mock_put_many(struct mock *m, const char *topic, int partition, int n, int first, int size)
{
  g_autofree char *pad = g_strnfill((gsize)size, 'x');
  for (int i = first; i < first + n; i++) {
    g_autofree char *value = g_strdup_printf("{\"id\":%d,\"pad\":\"%s\"}", i, pad);
    g_assert_cmpint(rd_kafka_producev(m->rk, RD_KAFKA_V_TOPIC(topic),
                                      RD_KAFKA_V_PARTITION(partition),
                                      RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                      RD_KAFKA_V_VALUE(value, strlen(value)), RD_KAFKA_V_END),
                    ==, 0);
  }
  g_assert_cmpint(rd_kafka_flush(m->rk, 20000), ==, 0);
}

int64_t mock_committed(struct mock *m, const char *group, const char *topic, int partition)
{
  rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, rd_kafka_mock_cluster_bootstraps(m->cluster), group);
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);
  rd_kafka_topic_partition_list_add(l, topic, partition);
  g_assert_cmpint(rd_kafka_committed(rk, l, 5000), ==, 0);
  int64_t at = l->elems[0].offset;
  rd_kafka_topic_partition_list_destroy(l);
  rd_kafka_destroy(rk);
  return at;
}
