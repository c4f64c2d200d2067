/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <strings.h>
#include "kafka.h"

static const char *const members[] = {"one", "many", NULL};
static const char *const starts[] = {"earliest", "latest", "committed", NULL};
static const char *const gaps[] = {"fail", "continue", NULL};
const struct mr_opt kafka_options[] = {
    {.name = "brokers",
     .type = MR_TEXT,
     .flags = MR_REQUIRED | MR_MANY,
     .offset = offsetof(struct kafka_conf, brokers),
     .doc = "Addresses of one or more brokers, host:port"},
    {.name = "topics",
     .type = MR_TEXT,
     .flags = MR_REQUIRED | MR_MANY,
     .offset = offsetof(struct kafka_conf, topics),
     .doc = "Topics to read"},
    {.name = "group",
     .type = MR_TEXT,
     .offset = offsetof(struct kafka_conf, group),
     .doc = "Consumer group: offsets are committed to it for lag tools"},
    {.name = "members",
     .type = MR_CHOICE,
     .offset = offsetof(struct kafka_conf, members),
     .dflt = "one",
     .choices = members,
     .doc = "many: join the group and share the partitions with other processes"},
    {.name = "start",
     .type = MR_CHOICE,
     .offset = offsetof(struct kafka_conf, start),
     .dflt = "earliest",
     .choices = starts,
     .doc = "Where the first run begins; committed: the group's offsets, else earliest"},
    {.name = "start_at",
     .type = MR_TEXT,
     .offset = offsetof(struct kafka_conf, start_at),
     .doc =
         "The first run begins at the first message of this time or later (2026-01-28T10:00:00Z)"},
    {.name = "start_offsets",
     .type = MR_INT,
     .flags = MR_KEYED,
     .offset = offsetof(struct kafka_conf, start_offsets),
     .range = "0..",
     .doc =
         "Where the first run begins, by \"topic:partition\", or \"partition\" of a single topic"},
    {.name = "on_gap",
     .type = MR_CHOICE,
     .offset = offsetof(struct kafka_conf, on_gap),
     .dflt = "fail",
     .choices = gaps,
     .doc = "When the broker has already deleted messages that were not read: fail, or continue "
            "behind them"},
    {.name = "format",
     .type = MR_FORMAT,
     .offset = offsetof(struct kafka_conf, format),
     .dflt = "json",
     .doc = "Format of the message value"},
    {.name = "key_columns",
     .type = MR_TEXT,
     .flags = MR_MANY,
     .offset = offsetof(struct kafka_conf, key_columns),
     .doc = "Columns that a tombstone's key (JSON) names: it becomes a row with these and _op = "
            "delete"},
    {.name = "queue",
     .type = MR_BYTES,
     .offset = offsetof(struct kafka_conf, queue),
     .range = "1MiB..2GiB",
     .doc = "Memory for messages fetched ahead, over all partitions; left out: up to 32MiB"},
    {.name = "client_id",
     .type = MR_TEXT,
     .offset = offsetof(struct kafka_conf, client_id),
     .doc = "Name that the broker logs; left out: millrace-PIPELINE-STAGE"},
    {.name = "tls",
     .type = MR_GROUP,
     .offset = offsetof(struct kafka_conf, tls),
     .sub_size = sizeof(((struct kafka_conf *)0)->tls),
     .sub = kfk_tls_options,
     .doc = "Encryption"},
    {.name = "sasl",
     .type = MR_GROUP,
     .offset = offsetof(struct kafka_conf, sasl),
     .sub_size = sizeof(((struct kafka_conf *)0)->sasl),
     .sub = kfk_sasl_options,
     .doc = "Log-in"},
    {.name = "rdkafka",
     .type = MR_TEXT,
     .flags = MR_KEYED,
     .offset = offsetof(struct kafka_conf, rdkafka),
     .doc = "Any other option of librdkafka, by its own name"},
    {.name = "options",
     .type = MR_TEXT,
     .flags = MR_KEYED,
     .offset = offsetof(struct kafka_conf, options),
     .doc = "Another name of rdkafka"},
    {0},
};

/* What the source needs as it sets it itself. */
static const char *const owned[] = {
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "log.queue",
    "partition.assignment.strategy",
    NULL,
};

static bool is_given(const struct kafka_conf *c, const char *name)
{
  for (size_t i = 0; i < c->rdkafka.n; i++)
    if (!strcmp(c->rdkafka.key[i], name))
      return true;
  for (size_t i = 0; i < c->options.n; i++)
    if (!strcmp(c->options.key[i], name))
      return true;
  return false;
}

/* What never changes: the runtime keeps the positions, and one process wants its first row soon. */
static int set_fixed(rd_kafka_conf_t *rc, struct mr_error *err)
{
  static const char *const fixed[][2] = {
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "error"},
      {"enable.partition.eof", "true"},
      {"allow.auto.create.topics", "false"},
      {"partition.assignment.strategy", "cooperative-sticky"},
      {"check.crcs", "true"},
      {"log.queue", "true"},
      {"log.connection.close", "false"},
      {"fetch.wait.max.ms", "30"},
      {"fetch.error.backoff.ms", "100"},
      {"fetch.max.bytes", "16777216"},
      {"reconnect.backoff.ms", "50"},
      {"reconnect.backoff.max.ms", "2000"},
      {"socket.nagle.disable", "true"},
      {"socket.keepalive.enable", "true"},
      {"socket.connection.setup.timeout.ms", "5000"},
      {"topic.metadata.refresh.interval.ms", "30000"},
      {NULL, NULL},
  };
  for (size_t i = 0; fixed[i][0]; i++) {
    int r = kfk_set(rc, fixed[i][0], fixed[i][1], "", err);
    if (r < 0)
      return r;
  }
  kfk_set_if_known(rc, "fetch.queue.backoff.ms", "5");
  return MR_OK;
}

static int64_t within(int64_t v, int64_t low, int64_t high)
{
  return v < low ? low : v > high ? high : v;
}

/* librdkafka's limits are for each partition: those with their own queue. A fetch may overshoot
 * them by its own size. */
static int set_queue(rd_kafka_conf_t *rc, const struct kafka *k, int64_t queues,
                     struct mr_error *err)
{
  const int64_t bytes = k->queue / (queues > 0 ? queues : 1), none = INT64_MAX;
  const struct {
    const char *name;
    int64_t value;
  } limit[] = {
      {"queued.max.messages.kbytes", within(bytes / 1024, 64, none)},
      {"queued.min.messages", within(bytes / KAFKA_MESSAGE_COST, 64, none)},
      {"fetch.message.max.bytes", within(bytes / 2, KAFKA_FETCH_MIN, KAFKA_FETCH_MAX)},
  };
  int r = MR_OK;
  for (size_t i = 0; r == MR_OK && i < sizeof limit / sizeof *limit; i++)
    if (!is_given(k->conf, limit[i].name))
      r = kfk_set_int(rc, limit[i].name, limit[i].value, "queue", err);
  return r;
}

static int set_names(rd_kafka_conf_t *rc, const struct kafka *k, struct mr_error *err)
{
  char brokers[4096], id[160];
  const struct kafka_conf *c = k->conf;
  snprintf(id, sizeof id, "millrace-%s", k->pipeline_stage);
  int r = kfk_set(rc, "bootstrap.servers", kfk_brokers(&c->brokers, brokers, sizeof brokers),
                  "brokers", err);
  if (r == MR_OK)
    r = kfk_set(rc, "client.id", c->client_id ? c->client_id : id, "client_id", err);
  /* librdkafka assigns partitions only to a handle with a group; ours stays unused unless the file
   * names one. */
  if (r == MR_OK)
    r = kfk_set(rc, "group.id", c->group ? c->group : id, "group", err);
  if (r == MR_OK)
    r = kfk_set_int(rc, "max.poll.interval.ms", KAFKA_MAX_POLL_MS, "", err);
  return r;
}

int kafka_conf_make(const struct kafka *k, int64_t max_queues, rd_kafka_conf_t **ret,
                    struct mr_error *err)
{
  const struct kafka_conf *c = k->conf;
  rd_kafka_conf_t *rc = rd_kafka_conf_new();
  int r = set_fixed(rc, err);
  if (r == MR_OK)
    r = set_names(rc, k, err);
  if (r == MR_OK)
    r = set_queue(rc, k, max_queues, err);
  if (r == MR_OK)
    r = kfk_set_security(rc, &c->brokers, &c->tls, &c->sasl, err);
  if (r == MR_OK)
    r = kfk_set_map(rc, &c->rdkafka, "rdkafka", owned, err);
  if (r == MR_OK)
    r = kfk_set_map(rc, &c->options, "options", owned, err);
  if (r < 0)
    rd_kafka_conf_destroy(rc);
  else
    *ret = rc;
  return r;
}

int kafka_digits(const char *s, int n)
{
  int v = 0;
  for (int i = 0; i < n; i++) {
    if (s[i] < '0' || s[i] > '9')
      return -1;
    v = v * 10 + (s[i] - '0');
  }
  return v;
}

/* Days from 1970-01-01 of a proleptic Gregorian date. */
static int64_t days(int64_t y, int m, int d)
{
  y -= m <= 2;
  int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
  int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* "Z", "+hh:mm", "-hh:mm" or nothing, to the end of the text. */
static bool zone(const char *s, int64_t *ret_minutes)
{
  *ret_minutes = 0;
  if (!*s || !strcmp(s, "Z"))
    return true;
  if ((*s != '+' && *s != '-') || strlen(s) != 6 || s[3] != ':')
    return false;
  int h = kafka_digits(s + 1, 2), m = kafka_digits(s + 4, 2);
  *ret_minutes = (*s == '-' ? -1 : 1) * (int64_t)(h * 60 + m);
  return h >= 0 && h < 15 && m >= 0 && m < 60;
}

/* ".123456": milliseconds of it; what is finer is cut. */
static const char *fraction(const char *s, int *ret_ms)
{
  int scale = 100;
  *ret_ms = 0;
  if (*s != '.' || s[1] < '0' || s[1] > '9')
    return s;
  for (s++; *s >= '0' && *s <= '9'; s++, scale /= 10)
    *ret_ms += (*s - '0') * scale;
  return s;
}

/* "hh:mm:ss[.sss]" */
static bool clock_ms(const char *s, const char **ret_rest, int64_t *ret_ms)
{
  int h = kafka_digits(s, 2), m = h < 0 || s[2] != ':' ? -1 : kafka_digits(s + 3, 2);
  int sec = m < 0 || s[5] != ':' ? -1 : kafka_digits(s + 6, 2), ms;
  if (h < 0 || h > 23 || m < 0 || m > 59 || sec < 0 || sec > 59)
    return false;
  *ret_rest = fraction(s + 8, &ms);
  *ret_ms = ((h * 60 + m) * 60 + sec) * INT64_C(1000) + ms;
  return true;
}

bool kafka_time(const char *s, int64_t *ret_ms)
{
  size_t n = strlen(s);
  if (n < 10)
    return false;
  int y = kafka_digits(s, 4), m = s[4] == '-' ? kafka_digits(s + 5, 2) : -1;
  int d = s[7] == '-' ? kafka_digits(s + 8, 2) : -1;
  int64_t ms = 0, minutes = 0;
  const char *rest = s + 10;
  if (y < 0 || m < 1 || m > 12 || d < 1 || d > 31)
    return false;
  if (n > 10 && ((s[10] != 'T' && s[10] != ' ') || n < 19 || !clock_ms(s + 11, &rest, &ms)))
    return false;
  if (!zone(rest, &minutes))
    return false;
  *ret_ms = days(y, m, d) * INT64_C(86400000) + ms - minutes * 60000;
  return true;
}

static int validate_topics(const struct kafka_conf *c, struct mr_error *err)
{
  for (size_t i = 0; i < c->topics.n; i++) {
    const char *t = kfk_text(&c->topics, i);
    if (*t == '^' ||
        strspn(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            strlen(t) ||
        !*t || strlen(t) > 249)
      return src_badconf(err, "topics", "%.100s is not a topic name", t);
    for (size_t j = 0; j < i; j++)
      if (!strcmp(t, kfk_text(&c->topics, j)))
        return src_badconf(err, "topics", "topic %s is named twice", t);
  }
  return MR_OK;
}

/* "topic:partition" or "partition" of one of the topics. */
static int validate_offsets(const struct kafka_conf *c, struct mr_error *err)
{
  for (size_t i = 0; i < c->start_offsets.n; i++) {
    const char *key = c->start_offsets.key[i], *colon = strrchr(key, ':');
    const char *number = colon ? colon + 1 : key;
    bool known = !colon && c->topics.n == 1;
    for (size_t t = 0; colon && t < c->topics.n; t++)
      known = known || (!strncmp(key, kfk_text(&c->topics, t), (size_t)(colon - key)) &&
                        strlen(kfk_text(&c->topics, t)) == (size_t)(colon - key));
    size_t n = strlen(number);
    if (!known || !n || n > 9 || kafka_digits(number, (int)n) < 0)
      return src_badconf(err, "start_offsets",
                         "\"%.80s\" is not topic:partition of a topic read here", key);
  }
  return MR_OK;
}

int kafka_validate(const void *conf, struct mr_error *err)
{
  const struct kafka_conf *c = conf;
  int64_t ms;
  if (c->members == KAFKA_MANY && !c->group)
    return src_badconf(err, "group", "members: many needs a group");
  if (c->start == KAFKA_COMMITTED && !c->group)
    return src_badconf(err, "group", "start: committed needs a group");
  if (c->start_at && !kafka_time(c->start_at, &ms))
    return src_badconf(err, "start_at", "not a time; write it as 2026-01-28T10:00:00Z");
  int r = kfk_validate_sasl(&c->sasl, err);
  if (r == MR_OK)
    r = validate_topics(c, err);
  if (r == MR_OK)
    r = validate_offsets(c, err);
  if (r < 0)
    return r;
  struct kafka k = {.conf = c, .pipeline_stage = (char *)"check", .queue = KAFKA_QUEUE};
  rd_kafka_conf_t *rc;
  r = kafka_conf_make(&k, KAFKA_QUEUES, &rc, err);
  if (r == MR_OK)
    rd_kafka_conf_destroy(rc);
  return r;
}
