/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include "common/clock.h"
#include "kafka.h"

int kfs_fail(struct kfs *s, const struct kfs_producer *p, rd_kafka_resp_err_t e, const char *what,
             struct mr_error *err)
{
  char brokers[160];
  bool own = p && p->reason[0] && (p->down || e == RD_KAFKA_RESP_ERR__TIMED_OUT);
  kfk_brokers(&s->conf->brokers, brokers, sizeof brokers);
  err->native = e;
  err->unreachable = kfk_is_network(e) || (p && p->down);
  return src_fail(err, MR_RETRY, rd_kafka_err2name(e), "Kafka at %s: %s: %s", brokers, what,
                  own ? p->reason : rd_kafka_err2str(e));
}

/* ---------------------------------------------------------------- callbacks, from rd_kafka_poll */

static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
  struct kfs_producer *p = rd_kafka_opaque(rk);
  const struct mr_host *h = p->sink->host;
  char line[512];
  snprintf(line, sizeof line, "librdkafka %s: %s", facility, text);
  h->log(h->ctx, p->down || level > 6 ? MR_DEBUG : level <= 4 ? MR_WARN : MR_INFO, line);
}

static void on_error(rd_kafka_t *rk, int e, const char *text, void *opaque)
{
  struct kfs_producer *p = opaque;
  if (e == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
    p->down = true;
  else
    snprintf(p->reason, sizeof p->reason, "%s", text);
}

/* Only of messages that failed: the first one counts. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
  struct kfs_producer *p = opaque;
  bool ours =
      m->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || m->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT;
  if (!m->err || p->failed || ours)
    return;
  p->failed = m->err;
  p->failed_batch = kfs_opaque_batch(p->sink, m->_private, &p->failed_row);
}

/* ---------------------------------------------------------------- the handle */

static int make(struct kfs_producer *p, struct mr_error *err)
{
  rd_kafka_conf_t *rc;
  char why[256];
  int r = kfs_conf_producer(p->sink, p->id, &rc, err);
  if (r < 0)
    return r;
  p->down = false;
  p->reason[0] = 0;
  p->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_conf_set_opaque(rc, p);
  rd_kafka_conf_set_log_cb(rc, on_log);
  rd_kafka_conf_set_error_cb(rc, on_error);
  rd_kafka_conf_set_dr_msg_cb(rc, on_delivery);
  p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, rc, why, sizeof why);
  if (!p->rk) {
    rd_kafka_conf_destroy(rc);
    return src_fail(err, MR_BADCONF, "", "librdkafka: %s", why);
  }
  rd_kafka_set_log_queue(p->rk, NULL);
  return MR_OK;
}

void kfs_producer_drop(struct kfs_producer *p)
{
  if (!p->rk)
    return;
  rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                            RD_KAFKA_PURGE_F_NON_BLOCKING);
  rd_kafka_poll(p->rk, 0);
  rd_kafka_destroy(p->rk);
  p->rk = NULL;
  p->open = p->ready = false;
  p->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* What a transactional call answered; takes e. The handle is dropped when it is of no use any
 * more. */
static int answer(struct kfs_producer *p, rd_kafka_error_t *e, const char *what,
                  struct mr_error *err)
{
  rd_kafka_resp_err_t code = rd_kafka_error_code(e);
  bool fatal = rd_kafka_error_is_fatal(e);
  int r = kfs_fail(p->sink, p, code, what, err);
  if (code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED ||
      code == RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT)
    r = MR_FATAL;
  rd_kafka_error_destroy(e);
  if (fatal)
    kfs_producer_drop(p);
  return r;
}

int kfs_producer_ready(struct kfs_producer *p, int64_t deadline_ms, struct mr_error *err)
{
  int64_t until = clock_now_ms() + deadline_ms;
  rd_kafka_error_t *e;
  int r = p->rk ? MR_OK : make(p, err);
  if (r < 0 || !p->id || p->ready)
    return r;
  do {
    e = rd_kafka_init_transactions(p->rk, KFS_SLICE_MS);
    rd_kafka_poll(p->rk, 0);
    if (!e)
      break;
    if (!rd_kafka_error_is_retriable(e) || p->down || kfk_woken(p->sink->host) ||
        clock_now_ms() >= until) {
      r = answer(p, e, "init_transactions", err);
      kfs_producer_drop(p);
      return r;
    }
    rd_kafka_error_destroy(e);
  } while (true);
  p->ready = p->stale = true;
  return MR_OK;
}

int kfs_producer_begin(struct kfs_producer *p, struct mr_error *err)
{
  if (p->open || !p->id)
    return MR_OK;
  p->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_error_t *e = rd_kafka_begin_transaction(p->rk);
  if (e)
    return answer(p, e, "begin_transaction", err);
  p->open = true;
  return MR_OK;
}

void kfs_producer_abort(struct kfs_producer *p)
{
  if (!p->open)
    return;
  p->open = false;
  rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  rd_kafka_error_t *e = rd_kafka_abort_transaction(p->rk, KFS_CALL_MS);
  rd_kafka_poll(p->rk, 0);
  if (!e)
    return;
  rd_kafka_error_destroy(e);
  kfs_producer_drop(p);
}

/* Will the target refuse this message however often it is sent? */
static bool is_final(rd_kafka_resp_err_t e)
{
  return e == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || e == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
         e == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE || e == RD_KAFKA_RESP_ERR_POLICY_VIOLATION;
}

/* A message that was not delivered; the transaction is aborted. A broker refuses a whole batch of
 * messages: whose fault it was is known only when each is sent alone. */
static int undelivered(struct kfs_producer *p, struct mr_error *err)
{
  struct kfs *s = p->sink;
  rd_kafka_resp_err_t e = p->failed;
  uint64_t batch = p->failed_batch;
  int64_t row = p->failed_row;
  int r = kfs_fail(s, p, e, s->conf->topic, err);
  kfs_producer_abort(p);
  p->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
  err->unit_lost = true;
  if (!is_final(e))
    return r;
  err->unreachable = false;
  err->retry_ms = 1;
  if (!s->alone || !batch) {
    s->alone = true;
    return MR_RETRY;
  }
  err->batch = batch;
  err->row = row;
  return MR_REJECT;
}

int kfs_producer_flush(struct kfs_producer *p, struct mr_error *err)
{
  int64_t until = clock_now_ms() + p->sink->conf->commit_timeout_ms;
  rd_kafka_resp_err_t e;
  do
    e = rd_kafka_flush(p->rk, KFS_SLICE_MS);
  while (e && !p->failed && !kfk_woken(p->sink->host) && clock_now_ms() < until);
  if (p->failed)
    return undelivered(p, err);
  return e ? kfs_fail(p->sink, p, e, "messages wait for delivery", err) : MR_OK;
}

int kfs_producer_give_up(struct kfs_producer *p, struct mr_error *err)
{
  char why[256];
  for (int i = 0; i < 10 && !p->failed; i++) /* the report of a failed message may come later */
    rd_kafka_poll(p->rk, 20);
  if (p->failed)
    return undelivered(p, err);
  if (rd_kafka_fatal_error(p->rk, why, sizeof why)) {
    kfs_producer_drop(p);
    return MR_UNSURE;
  }
  kfs_producer_abort(p);
  err->unit_lost = true;
  return MR_RETRY;
}

/* rd_kafka_commit_transaction may be called again while its error is retriable; past the deadline
 * only the lane rows know. */
int kfs_producer_commit(struct kfs_producer *p, int64_t deadline_ms, struct mr_error *err)
{
  int64_t until = clock_now_ms() + deadline_ms;
  rd_kafka_error_t *e;
  while ((e = rd_kafka_commit_transaction(p->rk, KFS_SLICE_MS)) && rd_kafka_error_is_retriable(e) &&
         clock_now_ms() < until)
    rd_kafka_error_destroy(e);
  rd_kafka_poll(p->rk, 0);
  if (!e) {
    p->open = p->sink->alone = false;
    return MR_OK;
  }
  if (!rd_kafka_error_txn_requires_abort(e)) {
    answer(p, e, "commit_transaction", err);
    kfs_producer_drop(p);
    return MR_UNSURE;
  }
  if (p->failed) {
    rd_kafka_error_destroy(e);
    return undelivered(p, err);
  }
  int r = answer(p, e, "commit_transaction", err);
  kfs_producer_abort(p);
  err->unit_lost = true;
  return r;
}

/* ---------------------------------------------------------------- which producer */

static char *transactional_id(const struct kfs *s, const char *source, const char *lane)
{
  const struct kfs_conf *c = s->conf;
  char *id = NULL, base[400];
  if (c->transactional_id)
    snprintf(base, sizeof base, "%.390s", c->transactional_id);
  else
    snprintf(base, sizeof base, "millrace-%.180s-%.180s", s->pipeline, s->stage);
  if (asprintf(&id, "%s%s%s%s%s", base, lane ? "-" : "", lane ? source : "", lane ? "-" : "",
               lane ? lane : "") < 0)
    return NULL;
  return id;
}

static bool same(const char *a, const char *b)
{
  return a ? !strcmp(a, b) : !b;
}

static void producer_free(struct kfs_producer *p)
{
  if (!p)
    return;
  kfs_producer_drop(p);
  free(p->id);
  free(p->source);
  free(p->lane);
  free(p);
}

static struct kfs_producer *producer_new(struct kfs *s, const char *source, const char *lane)
{
  struct kfs_producer *p = calloc(1, sizeof *p);
  if (!p)
    return NULL;
  p->sink = s;
  p->id = transactional_id(s, source, lane);
  p->source = lane ? strdup(source) : NULL;
  p->lane = lane ? strdup(lane) : NULL;
  if (p->id && (!lane || (p->source && p->lane)))
    return p;
  producer_free(p);
  return NULL;
}

struct kfs_producer *kfs_producer_of(struct kfs *s, const char *source, const char *lane)
{
  if (s->conf->transactions == KFS_SINK)
    source = lane = NULL;
  for (size_t i = 0; i < s->n_producer; i++)
    if (same(s->producer[i]->lane, lane) && same(s->producer[i]->source, source))
      return s->producer[i];
  struct kfs_producer *p = producer_new(s, source, lane);
  struct kfs_producer **all = p ? realloc(s->producer, (s->n_producer + 1) * sizeof *all) : NULL;
  if (!all) {
    producer_free(p);
    return NULL;
  }
  s->producer = all;
  return all[s->n_producer++] = p;
}

void kfs_producers_free(struct kfs *s)
{
  for (size_t i = 0; i < s->n_producer; i++) {
    kfs_producer_abort(s->producer[i]);
    producer_free(s->producer[i]);
  }
  free(s->producer);
  kfs_producer_drop(&s->plain);
}
