/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>
#include "common/clock.h"
#include "kafka.h"

/* ---------------------------------------------------------------- the batch under construction */

int kafka_schema(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct kafka *k = self;
  struct ArrowSchema own = {0};
  int r = k->host->decoder_schema(k->decoder, &own, err);
  if (r != MR_OK)
    return r;
  bool ok = mr_schema_copy(&own, give) && src_system_fields(&k->system, give);
  mr_schema_release(&own);
  if (ok)
    return MR_OK;
  mr_schema_release(give);
  return src_no_memory(err);
}

void kafka_forget_open(struct kafka *k)
{
  struct ArrowArray rows = {0};
  struct mr_error ignored = {.size = sizeof ignored, .row = -1};
  if (k->open && k->rows) {
    int r = k->host->decoded(k->decoder, &rows, &ignored);
    if (r == MR_SCHEMA)
      r = k->host->decoded(k->decoder, &rows, &ignored);
    mr_array_release(&rows);
  }
  src_system_truncate(&k->system, 0);
  k->open = NULL;
  k->hungry = false;
  k->rows = k->bytes = 0;
}

/* Gives what was gathered. MR_SCHEMA: nothing yet, the next call goes on here. MR_IDLE: the decoder
 * knows no columns yet. */
static int give_batch(struct kafka *k, struct mr_batch *give, struct mr_error *err)
{
  struct ArrowArray rows = {0};
  int r = k->host->decoded(k->decoder, &rows, err);
  k->hungry = r == MR_IDLE;
  if (r == MR_IDLE && !k->rows)
    k->open = NULL; /* only rejects so far: the position is told with the first rows */
  if (r != MR_OK)
    return r;
  if (rows.length != k->rows || !src_system_join(&k->system, &rows, &give->rows)) {
    mr_array_release(&rows);
    return src_fail(err, MR_FATAL, "", "the decoder gave another number of rows than it counted");
  }
  give->lane = k->open->lane;
  give->upto = mr_position_u64((uint64_t)k->open->at);
  give->watermark_us = INT64_MIN;
  k->open = NULL;
  k->rows = k->bytes = 0;
  return MR_OK;
}

/* ---------------------------------------------------------------- one message */

/* Fills k->header with the message's headers. false: no memory. */
static bool read_headers(struct kafka *k, const rd_kafka_message_t *m, size_t *ret_n)
{
  rd_kafka_headers_t *h;
  *ret_n = 0;
  if (!src_system_wants(&k->system, SRC_HEADERS) || rd_kafka_message_headers(m, &h))
    return true;
  size_t n = rd_kafka_header_cnt(h);
  if (n > k->header_cap) {
    struct src_header *more = realloc(k->header, n * sizeof *more);
    if (!more)
      return false;
    k->header = more;
    k->header_cap = n;
  }
  for (; *ret_n < n; ++*ret_n) {
    struct src_header *to = &k->header[*ret_n];
    if (rd_kafka_header_get_all(h, *ret_n, &to->name, &to->value, &to->len))
      break;
  }
  return true;
}

static bool add_system(struct kafka *k, const struct kafka_part *p, const rd_kafka_message_t *m,
                       const char *op, int64_t n)
{
  size_t n_header;
  rd_kafka_timestamp_type_t type;
  int64_t ms = rd_kafka_message_timestamp(m, &type);
  const struct mr_host *h = k->host;
  const struct mr_extent *extent = m->payload && MR_HAS(h, extents) ? h->extents(k->decoder) : NULL;
  bool fits = extent || n == 1 || (int64_t)m->len * n <= KAFKA_ORIGINAL_MAX;
  if (!read_headers(k, m, &n_header))
    return false;
  struct src_message s = {
      .key = m->key,
      .key_len = m->key_len,
      .topic = p->topic,
      .partition = p->number,
      .offset = m->offset,
      .timestamp_us = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? SRC_NO_TIME : ms * 1000,
      .header = k->header,
      .n_header = n_header,
      .op = op,
      .position = (uint64_t)m->offset,
      .original = fits ? m->payload : NULL,
      .original_len = fits ? m->len : 0,
      .extent = extent,
  };
  return src_system_add(&k->system, &s, n);
}

static void reject(struct kafka *k, const struct kafka_part *p, const rd_kafka_message_t *m,
                   const void *data, size_t len, const struct mr_error *why)
{
  struct mr_position position = mr_position_u64((uint64_t)m->offset);
  struct mr_reject r = {
      .size = sizeof r,
      .lane = p->lane,
      .row = -1,
      .position = &position,
      .data = data,
      .len = len,
      .code = why->code,
      .msg = why->msg,
      .column = why->option[0] ? why->option : NULL,
  };
  k->host->reject(k->host->ctx, &r);
}

/* Decodes data as the value of m. */
static int decode(struct kafka *k, struct kafka_part *p, const rd_kafka_message_t *m,
                  const void *data, size_t len, const char *op, struct mr_error *err)
{
  int n = k->host->decode(k->decoder, data, len, err);
  if (n == MR_REJECT) {
    struct mr_error why = *err;
    *err = (struct mr_error){.size = err->size, .row = -1};
    reject(k, p, m, data, len, &why);
    return MR_OK;
  }
  if (n < 0)
    return n;
  if (k->system.n && n && !add_system(k, p, m, op, n))
    return src_no_memory(err);
  k->rows += n;
  return MR_OK;
}

static bool reserve_json(struct kafka *k, size_t need)
{
  if (need <= k->key_json_cap)
    return true;
  char *more = realloc(k->key_json, need);
  if (!more)
    return false;
  k->key_json = more;
  k->key_json_cap = need;
  return true;
}

static size_t put_quoted(char *out, const char *s, size_t n)
{
  size_t at = 0;
  out[at++] = '"';
  for (size_t i = 0; i < n; i++)
    if (s[i] == '"' || s[i] == '\\') {
      out[at++] = '\\';
      out[at++] = s[i];
    } else if ((unsigned char)s[i] < 0x20) {
      at += (size_t)sprintf(out + at, "\\u%04x", (unsigned char)s[i]);
    } else {
      out[at++] = s[i];
    }
  out[at++] = '"';
  return at;
}

/* Whether a key reads as a JSON value that may stand as it is: an object, a string, a number, true,
 * false. */
static bool is_json(const char *s, size_t n)
{
  if (!n)
    return false;
  if (*s == '{' || *s == '"' || (n == 4 && !memcmp(s, "true", 4)) ||
      (n == 5 && !memcmp(s, "false", 5)))
    return true;
  size_t i = *s == '-';
  if (i == n || (s[i] == '0' && i + 1 < n))
    return false;
  while (i < n && s[i] >= '0' && s[i] <= '9')
    i++;
  return i == n;
}

/* The JSON object that a tombstone's key stands for: the key itself, or {"column": key} for a
 * single key column. 0: no memory. */
static size_t key_object(struct kafka *k, const char *key, size_t len)
{
  const char *name = *(const char *const *)k->conf->key_columns.item;
  size_t at = 0, n = strlen(name);
  if (!reserve_json(k, 6 * (len + n) + 16))
    return 0;
  if (len && *key == '{') {
    memcpy(k->key_json, key, len);
    return len;
  }
  k->key_json[at++] = '{';
  at += put_quoted(k->key_json + at, name, n);
  k->key_json[at++] = ':';
  if (is_json(key, len)) {
    memcpy(k->key_json + at, key, len);
    at += len;
  } else {
    at += put_quoted(k->key_json + at, key, len);
  }
  k->key_json[at++] = '}';
  return at;
}

static int tombstone(struct kafka *k, struct kafka_part *p, const rd_kafka_message_t *m,
                     struct mr_error *err)
{
  k->host->metric(k->host->ctx, "tombstones_total", p->lane, 1);
  if (!k->conf->key_columns.n || !src_system_wants(&k->system, SRC_OP)) {
    if (!k->warned_tombstone)
      k->host->log(k->host->ctx, MR_WARN,
                   "messages without a value (tombstones) are skipped: key_columns and a sink that "
                   "uses _op (mode: upsert) make deletes of them");
    k->warned_tombstone = true;
    return MR_OK;
  }
  if (!m->key) {
    struct mr_error why = {.code = "tombstone", .msg = "a message without value and without key"};
    reject(k, p, m, NULL, 0, &why);
    return MR_OK;
  }
  size_t n = key_object(k, m->key, m->key_len);
  return n ? decode(k, p, m, k->key_json, n, "delete", err) : src_no_memory(err);
}

/* ---------------------------------------------------------------- errors that come in place of
 * messages */

/* The broker no longer has, or does not have yet, the offset that is to be read. */
static int gap(struct kafka *k, struct kafka_part *p, struct mr_error *err)
{
  int64_t low, high;
  char line[400];
  rd_kafka_resp_err_t e =
      rd_kafka_query_watermark_offsets(k->rk, p->topic, p->number, &low, &high, KAFKA_CALL_MS);
  if (e) {
    p->sought = p->at;
    return kafka_client_fail(k, e, p->name, err);
  }
  if (p->at >= low && p->at <= high) /* it is there after all */
    return kafka_part_seek(k, p, p->at, err);
  bool beyond = p->at > high;
  snprintf(line, sizeof line,
           beyond ? "%s: offset %lld is past the end (%lld): the topic was deleted and made again"
                  : "%s: offset %lld is no longer there, the oldest is %lld",
           p->name, (long long)p->at, (long long)(beyond ? high : low));
  if (k->conf->on_gap == KAFKA_GAP_FAIL)
    return src_fail(err, MR_FATAL, "gap", "%s (on_gap: continue goes on behind the gap)", line);
  k->host->log(k->host->ctx, MR_WARN, line);
  k->host->metric(k->host->ctx, "gaps_total", p->lane, 1);
  if (!beyond)
    k->host->metric(k->host->ctx, "gap_messages_total", p->lane, low - p->at);
  p->at = low;
  return kafka_part_seek(k, p, low, err);
}

static int message_error(struct kafka *k, struct kafka_part *p, const rd_kafka_message_t *m,
                         struct mr_error *err)
{
  switch (m->err) {
  case RD_KAFKA_RESP_ERR__PARTITION_EOF:
    if (m->offset > p->at) /* control records of transactions stand before the end */
      p->at = m->offset;
    return MR_OK;
  case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
  case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE: return gap(k, p, err);
  case RD_KAFKA_RESP_ERR__BAD_MSG:
  case RD_KAFKA_RESP_ERR__BAD_COMPRESSION:
    return src_fail(err, MR_FATAL, rd_kafka_err2name(m->err), "%s: offset %lld: %s", p->name,
                    (long long)m->offset, rd_kafka_message_errstr(m));
  default: return kafka_client_fail(k, m->err, p->name, err);
  }
}

/* ---------------------------------------------------------------- gathering */

static int64_t border(const struct kafka_part *p)
{
  return p->cut < p->end ? p->cut : p->end;
}

static int message(struct kafka *k, struct kafka_part *p, const rd_kafka_message_t *m,
                   struct mr_error *err)
{
  if (m->err)
    return message_error(k, p, m, err);
  if (m->offset < p->at)
    return MR_OK; /* from before a seek */
  p->flow.bytes += (int64_t)m->len;
  int r = m->payload ? decode(k, p, m, m->payload, m->len, "insert", err) : tombstone(k, p, m, err);
  p->at = r < 0 ? p->at : m->offset + 1;
  k->bytes += (int64_t)m->len;
  return r;
}

/* Whether a queue of n messages is (almost) as long as librdkafka lets it grow: see set_queue. */
static bool was_full(const struct kafka *k, const struct kafka_flow *f, size_t n)
{
  int64_t limit = k->queue / k->queues * 9 / 10;
  int64_t bytes = f->bytes / (f->messages + 1), count = (int64_t)n;
  return count * KAFKA_MESSAGE_COST > limit || count * bytes > limit;
}

/* Wakes librdkafka when it has stopped fetching because the queue was full, and half of that was
 * taken since. */
static void watch_flow(struct kafka *k, struct kafka_part *p, size_t taken)
{
  struct kafka_flow *f = &p->flow;
  size_t now = rd_kafka_queue_length(p->queue), rest = f->before > taken ? f->before - taken : 0;
  f->before = now;
  if (now > rest) { /* something came in: it is fetching */
    f->high = now + taken;
    f->kicked = false;
  } else if (!f->kicked && now < f->high / 2 && was_full(k, f, f->high)) {
    kafka_part_kick(k, p);
    f->kicked = true;
  }
}

/* Takes the next messages from librdkafka without waiting; 0: none there. */
static size_t take(struct kafka *k, struct kafka_part *p)
{
  p->first_held = p->n_held = 0;
  ssize_t n = rd_kafka_consume_batch_queue(p->queue, 0, p->held, KAFKA_CHUNK);
  if (n <= 0)
    return 0;
  p->n_held = (size_t)n;
  p->flow.messages += n;
  watch_flow(k, p, (size_t)n);
  return p->n_held;
}

/* Whether the next message that is held belongs to this batch. An error is handled by a call that
 * gives nothing. */
static bool belongs(const struct kafka_part *p, bool empty)
{
  const rd_kafka_message_t *m = p->held[p->first_held];
  if (m->err && m->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
    return empty;
  return m->err || m->offset < border(p);
}

/* Whether the batch ends here because of a cut or the end of a bounded run, and not for want of
 * messages. */
static bool at_border(const struct kafka_part *p)
{
  if (p->at >= border(p))
    return true;
  const rd_kafka_message_t *m = p->first_held < p->n_held ? p->held[p->first_held] : NULL;
  return m && !m->err && m->offset >= border(p);
}

/* Moves the position to the border, also over offsets that are missing before it. */
static void reach_border(struct kafka_part *p)
{
  if (p->at < border(p))
    p->at = border(p);
  if (p->at >= p->cut)
    p->cut = INT64_MAX;
  if (p->at >= p->end) {
    p->ended = true;
    kafka_part_drop_held(p);
  }
}

/* Decodes what is there for one partition, each message destroyed while it is still in the cache.
 * Sets k->open when its position moved or rows were made. */
static int gather(struct kafka *k, struct kafka_part *p, int64_t max_rows, int64_t max_bytes,
                  struct mr_error *err)
{
  int64_t from = p->at;
  k->open = p;
  while (k->rows < max_rows && k->bytes < max_bytes) {
    if (p->first_held == p->n_held && !take(k, p))
      break;
    if (!belongs(p, p->at == from && !k->rows))
      break;
    rd_kafka_message_t *m = p->held[p->first_held];
    p->held[p->first_held++] = NULL;
    int r = message(k, p, m, err);
    rd_kafka_message_destroy(m);
    if (r < 0) {
      kafka_forget_open(k);
      return r;
    }
  }
  if (at_border(p))
    reach_border(p);
  if (p->at == from && !k->rows)
    k->open = NULL;
  return MR_OK;
}

/* ---------------------------------------------------------------- read */

static bool all_ended(const struct kafka *k)
{
  for (size_t i = 0; i < k->n_part; i++)
    if (!k->part[i]->ended && !k->part[i]->lost)
      return false;
  return k->bounded && (k->n_part || !k->subscribed);
}

/* Gathers from the first partition, round robin, that has something; while the decoder is hungry,
 * only from its own. */
static int gather_any(struct kafka *k, int64_t max_rows, int64_t max_bytes, struct mr_error *err)
{
  int r = MR_OK;
  if (k->open)
    return k->hungry ? gather(k, k->open, k->rows + max_rows, k->bytes + max_bytes, err) : MR_OK;
  for (size_t i = 0; r == MR_OK && !k->open && i < k->n_part; i++) {
    struct kafka_part *p = k->part[k->next++ % k->n_part];
    if (p->placed && !p->ended && !p->lost && p->sought < 0)
      r = gather(k, p, max_rows, max_bytes, err);
  }
  return r;
}

static void wait_for_more(struct kafka *k, int32_t timeout_ms)
{
  struct pollfd p[2] = {{.fd = k->wake, .events = POLLIN},
                        {.fd = k->host->wake_fd, .events = POLLIN}};
  poll(p, 2, timeout_ms);
}

static void clear_wake(struct kafka *k)
{
  uint64_t n;
  ssize_t r = read(k->wake, &n, sizeof n);
  (void)r; /* EAGAIN: nothing was there */
}

/* Lag of each partition by what the last fetch said; once a second. */
static void measure(struct kafka *k)
{
  int64_t now = clock_now_ms(), low, high;
  if (now - k->measured_ms < 1000)
    return;
  k->measured_ms = now;
  for (size_t i = 0; i < k->n_part; i++) {
    struct kafka_part *p = k->part[i];
    if (p->placed && !rd_kafka_get_watermark_offsets(k->rk, p->topic, p->number, &low, &high) &&
        high >= p->at)
      k->host->metric(k->host->ctx, "lag_messages", p->lane, high - p->at);
  }
}

/* Nothing came while no broker answers: says so, unless one answers now. */
static int still_down(struct kafka *k, struct mr_error *err)
{
  const struct rd_kafka_metadata *md;
  int r = kafka_client_metadata(k, KAFKA_CALL_MS / 4, &md, err);
  if (r == MR_OK)
    rd_kafka_metadata_destroy(md);
  return r == MR_OK ? MR_IDLE : r;
}

static int tend(struct kafka *k, struct mr_error *err)
{
  kafka_client_serve(k);
  if (k->fatal)
    return src_fail(err, MR_FATAL, k->code, "Kafka: %s", k->reason);
  measure(k);
  return kafka_refresh(k, err);
}

/* What can be given without waiting; MR_IDLE: nothing. */
static int step(struct kafka *k, int64_t max_rows, int64_t max_bytes, struct mr_batch *give,
                struct mr_error *err)
{
  clear_wake(k);
  int r = tend(k, err);
  if (r == MR_OK && max_rows > 0)
    r = gather_any(k, max_rows, max_bytes, err);
  if (r < 0)
    return r;
  return max_rows > 0 && k->open ? give_batch(k, give, err) : MR_IDLE;
}

int kafka_read(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
               struct mr_batch *give, struct mr_error *err)
{
  struct kafka *k = self;
  int r = step(k, max_rows, max_bytes, give, err);
  if (r != MR_IDLE || max_rows <= 0)
    return r;
  if (all_ended(k))
    return MR_END;
  if (timeout_ms > 0 && !k->down) {
    wait_for_more(k, timeout_ms);
    r = step(k, max_rows, max_bytes, give, err);
  }
  return r == MR_IDLE && k->down ? still_down(k, err) : r;
}
