/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's embedded mock cluster in a process of its own, filled with trades for the demo.
 * Prints the address of its broker when everything is in, then serves until stdin ends.
 * usage: mock-kafka TOPIC TRADES PER_MESSAGE */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A mock partition keeps 5 MiB and forgets the oldest beyond that. */
enum { PARTITIONS = 16, TRADE_BYTES = 256, MAX_PER_MESSAGE = 1000, FLUSH_MS = 30000 };

#define MIX UINT64_C(2654435761)

static void die(const char *what, const char *why)
{
  fprintf(stderr, "mock-kafka: %s: %s\n", what, why);
  exit(3);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
  char err[256];
  if (rd_kafka_conf_set(conf, name, value, err, sizeof err) != RD_KAFKA_CONF_OK)
    die(name, err);
}

static rd_kafka_t *start(void)
{
  char err[256];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "test.mock.num.brokers", "1");
  set(conf, "linger.ms", "5");
  set(conf, "log_level", "3");
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, err, sizeof err);
  if (!rk)
    die("start", err);
  return rk;
}

/* Trade i as JSON; the buyers 1 to 1000 are in the demo's table of users. */
static int trade(char *out, long i)
{
  uint64_t mixed = ((uint64_t)i * MIX) & UINT32_MAX;
  return snprintf(out, TRADE_BYTES,
                  "{\"trade_id\":%ld,\"match_seq\":%ld,\"price\":%lu.%02lu,\"quantity\":%lu,"
                  "\"buy_user_id\":%lu,\"sell_user_id\":%lu,\"buy_order_id\":%ld,"
                  "\"sell_order_id\":%ld}",
                  1000000000 + i, 70000000000 + 3 * i, 10 + mixed % 900, mixed % 100,
                  1 + mixed % 500, 1 + mixed % 1000, 1 + (mixed >> 7) % 1000, 20000000000 + 2 * i,
                  20000000001 + 2 * i);
}

static size_t message(char *out, long first, long count)
{
  char *p = out;
  for (long i = first; i < first + count; i++) {
    *p++ = i == first ? '[' : ',';
    p += trade(p, i);
  }
  *p++ = ']';
  return (size_t)(p - out);
}

static void produce(rd_kafka_t *rk, const char *topic, int32_t partition, const char *data,
                    size_t len)
{
  rd_kafka_resp_err_t e;
  do {
    e = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)data, len),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    rd_kafka_poll(rk, e ? 10 : 0);
  } while (e == RD_KAFKA_RESP_ERR__QUEUE_FULL);
  if (e)
    die("produce", rd_kafka_err2str(e));
}

/* The trades, and three messages that cannot be decoded. */
static void fill(rd_kafka_t *rk, const char *topic, long trades, long per_message)
{
  static const char *const bad[] = {"{\"trade_id\":1,\"price\":", "[{\"trade_id\":\"twelve\"}]",
                                    "not JSON at all"};
  char *data = malloc((size_t)per_message * TRADE_BYTES + 2);
  int32_t partition = 0;
  if (!data)
    die("memory", "not enough");
  for (long i = 0; i < trades; i += per_message) {
    long count = trades - i < per_message ? trades - i : per_message;
    produce(rk, topic, partition++ % PARTITIONS, data, message(data, i, count));
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    produce(rk, topic, (int32_t)i, bad[i], strlen(bad[i]));
  free(data);
  if (rd_kafka_flush(rk, FLUSH_MS))
    die("produce", "not delivered in time");
}

int main(int argc, char **argv)
{
  char byte;
  long trades = argc == 4 ? atol(argv[2]) : 0, per_message = argc == 4 ? atol(argv[3]) : 0;
  if (trades < 1 || per_message < 1 || per_message > MAX_PER_MESSAGE) {
    fprintf(stderr, "usage: mock-kafka TOPIC TRADES PER_MESSAGE\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  rd_kafka_t *rk = start();
  rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(rk);
  rd_kafka_mock_topic_create(cluster, argv[1], PARTITIONS, 1);
  fill(rk, argv[1], trades, per_message);
  printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
  fflush(stdout);
  while (read(STDIN_FILENO, &byte, 1) > 0)
    ;
  rd_kafka_destroy(rk);
  return 0;
}
