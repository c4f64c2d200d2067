/* SPDX-License-Identifier: Apache-2.0 */
/* Lane rows: messages of the compacted topic conf->offsets_topic, written in the transaction of the
 * rows they stand for. Key: "pipeline/sink/source/lane". Value, a line of text:
 * "v1 owner=3 rows=120 run=77 position=000000000000002a from=0000000000000010 by=5f3a…", and
 * " state=…", in hexadecimal digits, where transforms have saved some. */
#include <inttypes.h>
#include <stdlib.h>
#include "common/clock.h"
#include "common/hex.h"
#include "kafka.h"

#define VALUE_FMT \
  "v1 owner=%" PRIu64 " rows=%" PRIu64 " run=%" PRIu64 " position=%s from=%s by=%016" PRIx64
#define STATE " state="
#define HEX (2 * sizeof(((struct mr_position *)0)->token) + 2)

struct kfs_row *kfs_row_find(struct kfs *s, const char *source, const char *lane)
{
  for (size_t i = 0; i < s->n_row; i++)
    if (!strcmp(s->row[i]->lane, lane) && !strcmp(s->row[i]->source, source))
      return s->row[i];
  return NULL;
}

static void row_free(struct kfs_row *r)
{
  if (!r)
    return;
  free(r->source);
  free(r->lane);
  free(r->state);
  free(r);
}

struct kfs_row *kfs_row_add(struct kfs *s, const char *source, const char *lane)
{
  struct kfs_row *r = kfs_row_find(s, source, lane);
  if (r)
    return r;
  struct kfs_row **all = realloc(s->row, (s->n_row + 1) * sizeof *all);
  if (!all)
    return NULL;
  s->row = all;
  r = calloc(1, sizeof *r);
  if (r) {
    r->source = strdup(source);
    r->lane = strdup(lane);
  }
  if (!r || !r->source || !r->lane) {
    row_free(r);
    return NULL;
  }
  return s->row[s->n_row++] = r;
}

void kfs_rows_free(struct kfs *s)
{
  for (size_t i = 0; i < s->n_row; i++)
    row_free(s->row[i]);
  free(s->row);
}

/* ---------------------------------------------------------------- writing */

static const char *to_hex(const struct mr_position *p, char *ret)
{
  hex_write(ret, p->token, p->len);
  return p->len ? ret : "-";
}

/* A row's message; caller frees; NULL: no memory. */
static char *value_of(const struct kfs *s, const struct kfs_row *row)
{
  char position[HEX], from[HEX], *value;
  char *state = malloc(2 * row->state_len + 1);
  if (state)
    hex_write(state, row->state, row->state_len);
  int n = state ? asprintf(&value, VALUE_FMT "%s%s", row->owner, row->rows, row->run,
                           to_hex(&row->position, position), to_hex(&row->from, from), s->self_id,
                           row->state_len ? STATE : "", state)
                : -1;
  free(state);
  return n < 0 ? NULL : value;
}

int kfs_row_send(struct kfs_producer *p, const struct kfs_row *row, struct mr_error *err)
{
  struct kfs *s = p->sink;
  char *key, *value = value_of(s, row);
  if (!value || asprintf(&key, "%s/%s/%s/%s", s->pipeline, s->stage, row->source, row->lane) < 0) {
    free(value);
    return src_no_memory(err);
  }
  rd_kafka_vu_t vu[] = {
      {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = s->conf->offsets_topic},
      {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = 0},
      {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
      {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {key, strlen(key)}},
      {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value, strlen(value)}},
  };
  rd_kafka_error_t *e = rd_kafka_produceva(p->rk, vu, sizeof vu / sizeof *vu);
  free(key);
  free(value);
  if (!e)
    return MR_OK;
  rd_kafka_resp_err_t code = rd_kafka_error_code(e);
  rd_kafka_error_destroy(e);
  return kfs_fail(s, p, code, s->conf->offsets_topic, err);
}

/* ---------------------------------------------------------------- reading */

static bool from_hex(const char *text, struct mr_position *ret)
{
  memset(ret, 0, sizeof *ret);
  size_t n = hex_read(text, ret->token, sizeof ret->token);
  ret->len = (uint16_t)n;
  return n != SIZE_MAX && (text[2 * n] == 0 || !strcmp(text, "-"));
}

/* false: unreadable, or no memory. */
static bool read_state(const char *value, struct kfs_row *ret)
{
  const char *text = strstr(value, STATE);
  size_t len = text ? strlen(text += strlen(STATE)) : 0;
  if (!len)
    return true;
  if (!(ret->state = malloc(len)))
    return false;
  ret->state_len = hex_read(text, ret->state, len / 2);
  return ret->state_len != SIZE_MAX;
}

/* "source/lane" behind "pipeline/sink/"; NULL: of another sink. */
static char *own_key(const struct kfs *s, const rd_kafka_message_t *m)
{
  char *prefix, *rest = NULL;
  int n = asprintf(&prefix, "%s/%s/", s->pipeline, s->stage);
  if (n < 0)
    return NULL;
  if (m->key_len > (size_t)n && !memcmp(m->key, prefix, (size_t)n))
    rest = strndup((const char *)m->key + n, m->key_len - (size_t)n);
  free(prefix);
  return rest;
}

/* What another process wrote counts; what is ours is known, unless its answer was lost. */
static int take_in(struct kfs *s, const char *source, const char *lane, const char *value,
                   struct mr_error *err)
{
  struct kfs_row new = {0}, *row;
  char position[HEX + 1], from[HEX + 1];
  uint64_t by;
  if (sscanf(value,
             "v1 owner=%" SCNu64 " rows=%" SCNu64 " run=%" SCNu64
             " position=%130s from=%130s by=%" SCNx64,
             &new.owner, &new.rows, &new.run, position, from, &by) != 6 ||
      !from_hex(position, &new.position) || !from_hex(from, &new.from))
    return src_fail(err, MR_FATAL, "", "topic %s: lane %s of %s has an unreadable row",
                    s->conf->offsets_topic, lane, source);
  if (!(row = kfs_row_add(s, source, lane)))
    return src_no_memory(err);
  if (row->unsaved && new.owner < row->owner)
    return MR_OK; /* older than what waits to be saved */
  if (!read_state(value, &new)) {
    free(new.state);
    return src_fail(err, MR_FATAL, "", "topic %s: lane %s of %s has unreadable state",
                    s->conf->offsets_topic, lane, source);
  }
  free(row->state);
  new.source = row->source;
  new.lane = row->lane;
  new.mine = by == s->self_id;
  *row = new;
  return MR_OK;
}

static int take_message(struct kfs *s, const rd_kafka_message_t *m, struct mr_error *err)
{
  char *key = own_key(s, m), *slash = key ? strchr(key, '/') : NULL;
  char *value = m->payload ? strndup(m->payload, m->len) : NULL;
  int r = MR_OK;
  if (slash && value) {
    *slash = 0;
    r = take_in(s, key, slash + 1, value, err);
  }
  free(key);
  free(value);
  return r;
}

/* To the end the topic has now: past transactions of others that are still open. */
static int read_all(struct kfs *s, rd_kafka_t *rk, rd_kafka_topic_t *t, int64_t until,
                    struct mr_error *err)
{
  int64_t low, high;
  bool stuck = false;
  while (clock_now_ms() < until && !kfk_woken(s->host)) {
    rd_kafka_message_t *m = rd_kafka_consume(t, 0, 50);
    rd_kafka_poll(rk, 0);
    if (!m)
      continue;
    int r = m->err ? MR_OK : take_message(s, m, err);
    rd_kafka_resp_err_t e = m->err;
    int64_t at = m->offset;
    rd_kafka_message_destroy(m);
    if (r < 0)
      return r;
    if (!e)
      s->offsets_next = at + 1;
    else if (e != RD_KAFKA_RESP_ERR__PARTITION_EOF)
      return kfs_fail(s, NULL, e, s->conf->offsets_topic, err);
    else if (!rd_kafka_get_watermark_offsets(rk, s->conf->offsets_topic, 0, &low, &high) &&
             at >= high) {
      s->offsets_next = at;
      return MR_OK;
    } else
      stuck = true;
  }
  return src_fail(err, MR_RETRY, "", "topic %s: %s", s->conf->offsets_topic,
                  stuck ? "waiting for the end of a transaction that somebody holds open"
                        : "its end was not reached in time");
}

int kfs_offsets_read(struct kfs *s, int64_t deadline_ms, struct mr_error *err)
{
  rd_kafka_conf_t *rc;
  char why[256];
  int r = kfs_conf_reader(s, &rc, err);
  if (r < 0)
    return r;
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, rc, why, sizeof why);
  if (!rk) {
    rd_kafka_conf_destroy(rc);
    return src_fail(err, MR_FATAL, "", "librdkafka: %s", why);
  }
  rd_kafka_topic_t *t = rd_kafka_topic_new(rk, s->conf->offsets_topic, NULL);
  int64_t from = s->offsets_next > 0 ? s->offsets_next : RD_KAFKA_OFFSET_BEGINNING;
  if (!t || rd_kafka_consume_start(t, 0, from))
    r = kfs_fail(s, NULL, rd_kafka_last_error(), s->conf->offsets_topic, err);
  else {
    r = read_all(s, rk, t, clock_now_ms() + deadline_ms, err);
    rd_kafka_consume_stop(t, 0);
  }
  if (t)
    rd_kafka_topic_destroy(t);
  rd_kafka_destroy(rk);
  return r;
}
