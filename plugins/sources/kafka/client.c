/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/clock.h"
#include "kafka.h"

/* ---------------------------------------------------------------- callbacks: from
 * rd_kafka_consumer_poll, so on our thread */

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
  struct kafka *k = rd_kafka_opaque(rk);
  char line[512];
  bool minor =
      k->down ||
      !strcmp(facility, "AUTOCREATE"); /* old brokers: topics are looked for before anything else */
  snprintf(line, sizeof line, "librdkafka %s: %s", facility, text);
  k->host->log(k->host->ctx, minor || level > 6 ? MR_DEBUG : level <= 4 ? MR_WARN : MR_INFO, line);
}

static void on_error(rd_kafka_t *rk, int e, const char *text, void *opaque)
{
  struct kafka *k = opaque;
  char why[256];
  if (e == RD_KAFKA_RESP_ERR__FATAL) {
    e = rd_kafka_fatal_error(rk, why, sizeof why);
    k->fatal = true;
    text = why;
  }
  if (e == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
    k->down = true;
  if (e != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || !k->reason[0]) {
    snprintf(k->reason, sizeof k->reason, "%s", text);
    snprintf(k->code, sizeof k->code, "%s", rd_kafka_err2name((rd_kafka_resp_err_t)e));
  }
  k->host->metric(k->host->ctx, "connect_errors_total", MR_NO_LANE, 1);
}

static int on_stats(rd_kafka_t *rk, char *json, size_t len, void *opaque)
{
  struct kafka *k = opaque;
  k->host->log(k->host->ctx, MR_DEBUG, json);
  return 0; /* librdkafka frees it */
}

static void on_commit(rd_kafka_t *rk, rd_kafka_resp_err_t e, rd_kafka_topic_partition_list_t *list,
                      void *opaque)
{
  struct kafka *k = opaque;
  char line[300];
  if (!e || e == RD_KAFKA_RESP_ERR__NO_OFFSET)
    return;
  k->host->metric(k->host->ctx, "group_commit_errors_total", MR_NO_LANE, 1);
  snprintf(line, sizeof line, "offsets were not committed to group %s, which lag tools read: %s",
           k->conf->group, rd_kafka_err2str(e));
  if (!k->warned_commit)
    k->host->log(k->host->ctx, MR_WARN, line);
  k->warned_commit = true;
}

/* ---------------------------------------------------------------- the handle */

static bool make_topics(struct kafka *k)
{
  size_t n = k->conf->topics.n;
  k->topic = calloc(n, sizeof *k->topic);
  for (size_t i = 0; k->topic && i < n; i++)
    if (!(k->topic[i] =
              rd_kafka_topic_new(k->rk, ((const char *const *)k->conf->topics.item)[i], NULL)))
      return false;
  return k->topic;
}

static int open_handle(struct kafka *k, int64_t queues, struct mr_error *err)
{
  rd_kafka_conf_t *rc;
  char why[256];
  int r = kafka_conf_make(k, queues, &rc, err);
  if (r < 0)
    return r;
  k->queues = queues;
  rd_kafka_conf_set_opaque(rc, k);
  rd_kafka_conf_set_log_cb(rc, on_log);
  rd_kafka_conf_set_error_cb(rc, on_error);
  rd_kafka_conf_set_stats_cb(rc, on_stats);
  rd_kafka_conf_set_offset_commit_cb(rc, on_commit);
  if (k->conf->members == KAFKA_MANY)
    rd_kafka_conf_set_rebalance_cb(rc, kafka_rebalance);
  k->rk = rd_kafka_new(RD_KAFKA_CONSUMER, rc, why, sizeof why);
  if (!k->rk) {
    rd_kafka_conf_destroy(rc);
    return src_fail(err, MR_BADCONF, "", "librdkafka: %s", why);
  }
  rd_kafka_poll_set_consumer(k->rk);
  rd_kafka_set_log_queue(k->rk, NULL);
  k->events = rd_kafka_queue_get_consumer(k->rk);
  rd_kafka_queue_io_event_enable(k->events, k->wake, &(uint64_t){1}, sizeof(uint64_t));
  return make_topics(k) ? MR_OK : src_no_memory(err);
}

int kafka_client_open(struct kafka *k, struct mr_error *err)
{
  return k->rk ? MR_OK : open_handle(k, KAFKA_QUEUES, err);
}

int kafka_client_reopen(struct kafka *k, int64_t queues, struct mr_error *err)
{
  kafka_client_close(k);
  return open_handle(k, queues, err);
}

/* Leaves the group, so that its other members take over now and not when the session times out. */
static void leave_group(struct kafka *k)
{
  int64_t until = clock_now_ms() + KAFKA_CALL_MS;
  rd_kafka_error_t *e = rd_kafka_consumer_close_queue(k->rk, k->events);
  while (!e && !rd_kafka_consumer_closed(k->rk) && clock_now_ms() < until)
    rd_kafka_consumer_poll(k->rk, 20);
  if (e)
    rd_kafka_error_destroy(e);
}

/* librdkafka before 2.3 aborts the process when a member is destroyed between joining a group and
 * its first assignment (its issue 4312): such a handle is left to the end of the process, which
 * follows at once. The library stays loaded: the handle's threads are in it. */
static bool may_destroy(const struct kafka *k)
{
  if (!k->subscribed || k->joined || rd_kafka_version() >= KAFKA_FIXED_STICKY)
    return true;
  dlopen("librdkafka.so.1", RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  return false;
}

void kafka_client_close(struct kafka *k)
{
  if (!k->rk)
    return;
  k->closing = true;
  bool destroy = may_destroy(k);
  if (k->subscribed)
    leave_group(k);
  kafka_parts_free(k);
  for (size_t i = 0; k->topic && i < k->conf->topics.n; i++)
    if (k->topic[i])
      rd_kafka_topic_destroy(k->topic[i]);
  free(k->topic);
  k->topic = NULL;
  if (k->events) {
    rd_kafka_queue_io_event_enable(k->events, -1, NULL, 0); /* nobody reads `wake` any more */
    rd_kafka_queue_destroy(k->events);
  }
  if (destroy)
    rd_kafka_destroy_flags(k->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
  k->rk = NULL;
  k->events = NULL;
  k->subscribed = k->closing = k->joined = false;
}

void kafka_client_serve(struct kafka *k)
{
  rd_kafka_message_t *m = rd_kafka_consumer_poll(k->rk, 0);
  if (m)
    rd_kafka_message_destroy(m);
}

/* ---------------------------------------------------------------- requests */

int kafka_client_fail(struct kafka *k, rd_kafka_resp_err_t e, const char *what,
                      struct mr_error *err)
{
  char brokers[160];
  bool own = k->reason[0] && (k->down || e == RD_KAFKA_RESP_ERR__TIMED_OUT);
  kfk_brokers(&k->conf->brokers, brokers, sizeof brokers);
  err->native = e;
  err->unreachable = kfk_is_network(e) || k->down;
  const char *code = own ? k->code : rd_kafka_err2name(e);
  bool hint = !strcmp(code, "_SSL") && k->conf->tls.mode == KFK_TLS_AUTO;
  return src_fail(err, MR_RETRY, code, "Kafka at %s: %s: %s%s", brokers, what,
                  own ? k->reason : rd_kafka_err2str(e),
                  hint ? " (tls: {mode: off} is for brokers without encryption)" : "");
}

/* One try; waits in slices so that wake() and a refused connection are noticed. */
int kafka_client_metadata(struct kafka *k, int64_t deadline_ms,
                          const struct rd_kafka_metadata **ret, struct mr_error *err)
{
  int64_t until = clock_now_ms() + deadline_ms, slice = 250;
  rd_kafka_resp_err_t e;
  k->down = false;
  do {
    int64_t left = until - clock_now_ms();
    e = rd_kafka_metadata(k->rk, 0, NULL, ret, (int)(slice < left ? slice : left > 1 ? left : 1));
    if (!e)
      break;
    kafka_client_serve(k);
    slice *= 2;
  } while (!k->down && !kfk_woken(k->host) && clock_now_ms() < until);
  if (e)
    return kafka_client_fail(k, e, "no metadata", err);
  k->down = false;
  k->reason[0] = 0;
  return MR_OK;
}

static int topic_fails(struct kafka *k, const struct rd_kafka_metadata_topic *t,
                       struct mr_error *err)
{
  char brokers[160], what[300];
  kfk_brokers(&k->conf->brokers, brokers, sizeof brokers);
  if (t->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
      t->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
    return src_badconf(err, "topics", "Kafka at %s has no topic %s", brokers, t->topic);
  snprintf(what, sizeof what, "topic %.249s", t->topic);
  return kafka_client_fail(k, t->err, what, err);
}

int kafka_client_topics(struct kafka *k, const struct rd_kafka_metadata *md, struct mr_error *err)
{
  for (size_t i = 0; i < k->conf->topics.n; i++) {
    const char *name = ((const char *const *)k->conf->topics.item)[i];
    const struct rd_kafka_metadata_topic *t = NULL;
    for (int j = 0; j < md->topic_cnt; j++)
      if (!strcmp(md->topics[j].topic, name))
        t = &md->topics[j];
    if (!t || (!t->err && !t->partition_cnt))
      return kafka_client_fail(k, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, name, err);
    if (t->err)
      return topic_fails(k, t, err);
  }
  return MR_OK;
}

/* Times past the last message come back as OFFSET_END: ask for the end. */
static int ends_of(struct kafka *k, rd_kafka_topic_partition_list_t *list, struct mr_error *err)
{
  rd_kafka_topic_partition_list_t *late = rd_kafka_topic_partition_list_new(4);
  for (int i = 0; i < list->cnt; i++)
    if (list->elems[i].offset < 0)
      rd_kafka_topic_partition_list_add(late, list->elems[i].topic, list->elems[i].partition)
          ->offset = RD_KAFKA_OFFSET_END;
  rd_kafka_resp_err_t e = late->cnt ? rd_kafka_offsets_for_times(k->rk, late, KAFKA_CALL_MS)
                                    : RD_KAFKA_RESP_ERR_NO_ERROR;
  for (int i = 0; !e && i < late->cnt; i++)
    e = late->elems[i].err ? late->elems[i].err
                           : rd_kafka_topic_partition_list_set_offset(list, late->elems[i].topic,
                                                                      late->elems[i].partition,
                                                                      late->elems[i].offset);
  rd_kafka_topic_partition_list_destroy(late);
  return e ? kafka_client_fail(k, e, "offsets", err) : MR_OK;
}

int kafka_client_offsets(struct kafka *k, rd_kafka_topic_partition_list_t *list,
                         struct mr_error *err)
{
  if (!list->cnt)
    return MR_OK;
  rd_kafka_resp_err_t e = rd_kafka_offsets_for_times(k->rk, list, KAFKA_CALL_MS);
  for (int i = 0; !e && i < list->cnt; i++)
    e = list->elems[i].err;
  if (e) {
    kafka_client_serve(k);
    return kafka_client_fail(k, e, "offsets", err);
  }
  return ends_of(k, list, err);
}
