/* SPDX-License-Identifier: Apache-2.0 */
/* discover: the topics of a cluster; the columns that messages of one topic have. */
#include "common/clock.h"
#include "kafka.h"

#define SAMPLE_MESSAGES 1000
#define SAMPLE_MS 2000

static int put_text(mr_put_fn *put, void *out, const char *s)
{
  return put(out, s, strlen(s));
}

/* A topic's name needs no escapes in JSON; a column's may. */
static int put_json(mr_put_fn *put, void *out, const char *s)
{
  char one[8];
  int r = put(out, "\"", 1);
  for (; *s && r >= 0; s++) {
    if (*s == '"' || *s == '\\')
      snprintf(one, sizeof one, "\\%c", *s);
    else if ((unsigned char)*s < 0x20)
      snprintf(one, sizeof one, "\\u%04x", (unsigned char)*s);
    else
      snprintf(one, sizeof one, "%c", *s);
    r = put_text(put, out, one);
  }
  return r < 0 ? r : put(out, "\"", 1);
}

/* A type as pipeline files write it. */
static int put_type(const struct ArrowSchema *s, mr_put_fn *put, void *out)
{
  static const char *const plain[] = {
      [MR_K_BOOL] = "bool",       [MR_K_INT8] = "int8",       [MR_K_INT16] = "int16",
      [MR_K_INT32] = "int32",     [MR_K_INT64] = "int64",     [MR_K_UINT8] = "uint8",
      [MR_K_UINT16] = "uint16",   [MR_K_UINT32] = "uint32",   [MR_K_UINT64] = "uint64",
      [MR_K_FLOAT32] = "float32", [MR_K_FLOAT64] = "float64", [MR_K_DATE] = "date",
      [MR_K_TIME] = "time",       [MR_K_TEXT] = "utf8",       [MR_K_BINARY] = "binary",
      [MR_K_FIXED] = "uuid",      [MR_K_NULL] = "utf8",
  };
  enum mr_kind k = mr_kind_of(s);
  int precision, scale, r;
  char text[48];
  if (k == MR_K_DECIMAL) {
    mr_decimal_of(s, &precision, &scale);
    snprintf(text, sizeof text, "decimal(%d,%d)", precision, scale);
    return put_text(put, out, text);
  }
  if (k == MR_K_TIMESTAMP)
    return put_text(put, out, *mr_zone_of(s) ? "timestamptz" : "timestamp");
  if (mr_schema_is_json(s))
    return put_text(put, out, "json");
  if (k != MR_K_LIST && k != MR_K_STRUCT && k != MR_K_MAP)
    return put_text(put, out, plain[k]);
  const struct ArrowSchema *parent = k == MR_K_MAP ? s->children[0] : s;
  r = put_text(put, out, k == MR_K_LIST ? "list<" : k == MR_K_MAP ? "map<" : "struct<");
  for (int64_t i = 0; r >= 0 && i < parent->n_children; i++) {
    if (i)
      r = put_text(put, out, ", ");
    if (r >= 0 && k == MR_K_STRUCT)
      r = put_text(put, out, parent->children[i]->name);
    if (r >= 0 && k == MR_K_STRUCT)
      r = put_text(put, out, ": ");
    if (r >= 0)
      r = put_type(parent->children[i], put, out);
  }
  return r < 0 ? r : put_text(put, out, ">");
}

static int topics(struct kafka *k, mr_put_fn *put, void *out, struct mr_error *err)
{
  const struct rd_kafka_metadata *md;
  rd_kafka_resp_err_t e = rd_kafka_metadata(k->rk, 1, NULL, &md, KAFKA_DEADLINE_MS);
  int r = MR_OK;
  if (e) {
    kafka_client_serve(k);
    return kafka_client_fail(k, e, "no metadata", err);
  }
  for (int i = 0; r >= 0 && i < md->topic_cnt; i++) {
    if (!strncmp(md->topics[i].topic, "__", 2))
      continue;
    r = put_text(put, out, "{\"table\":");
    r = r < 0 ? r : put_json(put, out, md->topics[i].topic);
    r = r < 0 ? r : put_text(put, out, "}\n");
  }
  rd_kafka_metadata_destroy(md);
  return r;
}

/* Decodes what the topic's oldest messages hold; what cannot be decoded is passed over. */
static int sample(struct kafka *k, const char *topic, struct mr_error *err)
{
  const struct rd_kafka_metadata *md;
  rd_kafka_topic_t *t = rd_kafka_topic_new(k->rk, topic, NULL);
  rd_kafka_resp_err_t e =
      t ? rd_kafka_metadata(k->rk, 0, t, &md, KAFKA_DEADLINE_MS) : rd_kafka_last_error();
  rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(4);
  if (!e) {
    e = md->topic_cnt ? md->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    for (int i = 0; !e && i < md->topics[0].partition_cnt; i++)
      rd_kafka_topic_partition_list_add(l, topic, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_metadata_destroy(md);
  }
  int left = l->cnt;
  if (!e)
    e = rd_kafka_assign(k->rk, l);
  rd_kafka_topic_partition_list_destroy(l);
  if (t)
    rd_kafka_topic_destroy(t);
  int64_t until = clock_now_ms() + SAMPLE_MS;
  for (int n = 0; !e && left > 0 && n < SAMPLE_MESSAGES && clock_now_ms() < until; n++) {
    struct mr_error ignored = {.size = sizeof ignored, .row = -1};
    rd_kafka_message_t *m = rd_kafka_consumer_poll(k->rk, 100);
    left -= m && m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (m && !m->err && m->payload)
      k->host->decode(k->decoder, m->payload, m->len, &ignored);
    if (m)
      rd_kafka_message_destroy(m);
  }
  return e ? kafka_client_fail(k, e, topic, err) : MR_OK;
}

static int columns(struct kafka *k, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct ArrowArray rows = {0};
  struct ArrowSchema s = {0};
  int r = k->host->decoded(k->decoder, &rows, err);
  mr_array_release(&rows);
  if (r >= 0)
    r = k->host->decoder_schema(k->decoder, &s, err);
  if (r == MR_IDLE)
    return src_fail(err, MR_FATAL, "", "no message that can be decoded: the columns are not known");
  for (int64_t i = 0; r >= 0 && i < s.n_children; i++) {
    r = put_text(put, out, "{\"column\":");
    r = r < 0 ? r : put_json(put, out, s.children[i]->name);
    r = r < 0 ? r : put_text(put, out, ",\"source_type\":null,\"type\":\"");
    r = r < 0 ? r : put_type(s.children[i], put, out);
    r = r < 0 ? r : put_text(put, out, "\",\"nullable\":true}\n");
  }
  mr_schema_release(&s);
  return r;
}

int kafka_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                   struct mr_error *err)
{
  void *self;
  int r = kafka_open(o, &self, err);
  if (r < 0)
    return r;
  struct kafka *k = self;
  r = kafka_client_open(k, err);
  if (r >= 0)
    r = table ? sample(k, table, err) : topics(k, put, out, err);
  if (r >= 0 && table)
    r = columns(k, put, out, err);
  kafka_close(self);
  return r;
}
