/* SPDX-License-Identifier: Apache-2.0 */
/* Rows -> messages. The value holds every column but the system ones. */
#include <stdlib.h>
#include "common/clock.h"
#include "kafka.h"

/* A message's opaque: the unit's batch in the upper half, counted from 1, the row below. */
#define ROW_BITS 32

void *kfs_opaque(const struct kfs *s, int64_t row)
{
  return (void *)(uintptr_t)((uint64_t)s->n_batch << ROW_BITS | (uint32_t)row);
}

uint64_t kfs_opaque_batch(const struct kfs *s, const void *opaque, int64_t *ret_row)
{
  uint64_t v = (uintptr_t)opaque, batch = v >> ROW_BITS;
  *ret_row = (uint32_t)v;
  return batch && batch <= s->n_batch ? s->batch[batch - 1] : 0;
}

/* ---------------------------------------------------------------- plan */

static bool is_bytes(const struct ArrowSchema *column)
{
  enum mr_kind k = mr_kind_of(column);
  return k == MR_K_TEXT || k == MR_K_BINARY;
}

static int column_of(const struct ArrowSchema *in, const char *name, const char *option,
                     int64_t *ret, struct mr_error *err)
{
  *ret = mr_schema_find(in, name);
  return *ret >= 0 ? MR_OK : src_badconf(err, option, "no column %s reaches this sink", name);
}

/* Columns lent by `in` as rows of their own. */
static bool subset_init(struct kfs_subset *u, const struct ArrowSchema *in)
{
  u->schema = *in;
  u->schema.n_children = 0;
  u->schema.children = calloc((size_t)in->n_children + 1, sizeof *u->schema.children);
  u->column = calloc((size_t)in->n_children + 1, sizeof *u->column);
  return u->schema.children && u->column;
}

static void subset_add(struct kfs_subset *u, const struct ArrowSchema *in, int64_t column)
{
  u->column[u->schema.n_children] = column;
  u->schema.children[u->schema.n_children++] = in->children[column];
}

static void subset_done(struct kfs *s, struct kfs_subset *u)
{
  if (u->encoder)
    s->host->encoder_free(u->encoder);
  free(u->schema.children);
  free(u->column);
  memset(u, 0, sizeof *u);
}

static int make_encoder(struct kfs *s, struct kfs_subset *u, const struct mr_format *format,
                        struct mr_error *err)
{
  const char *name = s->host->format_name(format);
  u->line = !strcmp(name, "jsonl") || !strcmp(name, "csv");
  return s->host->encoder(s->host->ctx, format, &u->schema, &u->encoder, err);
}

static int plan_value(struct kfs *s, struct mr_error *err)
{
  const struct ArrowSchema *in = &s->schema;
  if (!subset_init(&s->value, in))
    return src_no_memory(err);
  for (int64_t i = 0; i < in->n_children; i++)
    if (in->children[i]->name[0] != '_')
      subset_add(&s->value, in, i);
  return make_encoder(s, &s->value, s->conf->format, err);
}

static int plan_key(struct kfs *s, struct mr_error *err)
{
  const struct ArrowSchema *in = &s->schema;
  const struct mr_list *key = &s->conf->key;
  s->raw_key = key->n ? -1 : mr_schema_find(in, "_key");
  if (!key->n)
    return MR_OK;
  if (!subset_init(&s->keys, in))
    return src_no_memory(err);
  for (size_t i = 0; i < key->n; i++) {
    int64_t at;
    int r = column_of(in, kfk_text(key, i), "key", &at, err);
    if (r < 0)
      return r;
    subset_add(&s->keys, in, at);
  }
  if (key->n == 1 && is_bytes(s->keys.schema.children[0])) {
    s->raw_key = s->keys.column[0];
    return MR_OK;
  }
  return make_encoder(s, &s->keys, s->conf->key_format, err);
}

static int plan_headers(struct kfs *s, struct mr_error *err)
{
  const struct mr_list *h = &s->conf->headers;
  s->header_column = calloc(h->n + 1, sizeof *s->header_column);
  if (!s->header_column)
    return src_no_memory(err);
  for (size_t i = 0; i < h->n; i++) {
    char path[96];
    snprintf(path, sizeof path, "headers.%s", h->key[i]);
    int r = column_of(&s->schema, kfk_text(h, i), path, &s->header_column[i], err);
    if (r < 0)
      return r;
    if (!is_bytes(s->schema.children[s->header_column[i]]))
      return src_badconf(err, path, "column %s is neither text nor bytes", kfk_text(h, i));
  }
  return MR_OK;
}

static int plan_places(struct kfs *s, struct mr_error *err)
{
  const struct kfs_conf *c = s->conf;
  int r = MR_OK;
  s->op = mr_schema_find(&s->schema, "_op");
  s->headers_in = mr_schema_find(&s->schema, "_headers");
  s->partition = s->timestamp = -1;
  if (c->partition)
    r = column_of(&s->schema, c->partition, "partition", &s->partition, err);
  if (r >= 0 && c->timestamp)
    r = column_of(&s->schema, c->timestamp, "timestamp", &s->timestamp, err);
  if (r < 0)
    return r;
  enum mr_kind p = s->partition < 0 ? MR_K_INT32 : mr_kind_of(s->schema.children[s->partition]);
  if (p < MR_K_INT8 || p > MR_K_UINT64)
    return src_badconf(err, "partition", "column %s is no integer", c->partition);
  if (s->timestamp >= 0 && mr_kind_of(s->schema.children[s->timestamp]) != MR_K_TIMESTAMP)
    return src_badconf(err, "timestamp", "column %s is no timestamp", c->timestamp);
  return MR_OK;
}

void kfs_rows_done(struct kfs *s)
{
  subset_done(s, &s->value);
  subset_done(s, &s->keys);
  free(s->header_column);
  s->header_column = NULL;
  if (s->schema.release)
    mr_schema_release(&s->schema);
}

int kfs_rows_plan(struct kfs *s, const struct ArrowSchema *in, struct mr_error *err)
{
  kfs_rows_done(s);
  if (!mr_schema_copy(in, &s->schema))
    return src_no_memory(err);
  int r = plan_value(s, err);
  if (r >= 0)
    r = plan_key(s, err);
  if (r >= 0)
    r = plan_headers(s, err);
  return r >= 0 ? plan_places(s, err) : r;
}

/* ---------------------------------------------------------------- one batch */

struct bytes {
  const void *p; /* NULL: a null */
  size_t n;
};
struct sending {
  struct kfs *s;
  struct kfs_producer *p;
  const struct mr_batch *b;
  struct ArrowArray value, key; /* encoded: a value for each row */
  bool has_key;
  int64_t until_ms;
};

static int encode(struct sending *d, const struct kfs_subset *u, struct ArrowArray *give,
                  struct mr_error *err)
{
  struct mr_batch part = *d->b;
  struct ArrowArray **kids = calloc((size_t)u->schema.n_children + 1, sizeof *kids);
  if (!kids)
    return src_no_memory(err);
  for (int64_t i = 0; i < u->schema.n_children; i++)
    kids[i] = d->b->rows.children[u->column[i]];
  part.schema = &u->schema;
  part.rows.n_children = u->schema.n_children;
  part.rows.children = kids;
  int r = d->s->host->encode(u->encoder, &part, give, err);
  free(kids);
  return r;
}

static struct bytes encoded(const struct kfs_subset *u, const struct ArrowArray *a, int64_t row)
{
  const int32_t *end = (const int32_t *)a->buffers[1] + a->offset + row;
  struct bytes v = {(const char *)a->buffers[2] + end[0], (size_t)(end[1] - end[0])};
  v.n -= u->line && v.n;
  return v;
}

static struct bytes cell(const struct sending *d, int64_t column, int64_t row)
{
  struct mr_view v;
  struct bytes ret = {NULL, 0};
  int64_t n;
  mr_view_column(&v, d->b->schema, &d->b->rows, column);
  if (mr_view_null(&v, row))
    return ret;
  ret.p = mr_view_bytes(&v, row, &n);
  ret.n = (size_t)n;
  return ret;
}

static bool is_delete(const struct sending *d, int64_t row)
{
  if (d->s->op < 0)
    return false;
  struct bytes op = cell(d, d->s->op, row);
  return op.n == 6 && !memcmp(op.p, "delete", 6);
}

static struct bytes key_of(const struct sending *d, int64_t row)
{
  if (d->has_key)
    return encoded(&d->s->keys, &d->key, row);
  return d->s->raw_key >= 0 ? cell(d, d->s->raw_key, row) : (struct bytes){NULL, 0};
}

static void add_header(rd_kafka_headers_t *h, const char *name, size_t n, struct bytes v)
{
  rd_kafka_header_add(h, name, (ssize_t)n, v.p, (ssize_t)v.n);
}

/* The headers that came with the row (_headers). */
static void pass_headers(const struct sending *d, int64_t row, rd_kafka_headers_t *h)
{
  struct mr_view map, key, value;
  int64_t from, to, n, m;
  mr_view_column(&map, d->b->schema, &d->b->rows, d->s->headers_in);
  if (mr_view_null(&map, row))
    return;
  const struct ArrowSchema *es = map.schema->children[0];
  const struct ArrowArray *ea = map.array->children[0];
  mr_view_init(&key, es->children[0], ea->children[0]);
  mr_view_init(&value, es->children[1], ea->children[1]);
  key.offset += ea->offset;
  value.offset += ea->offset;
  mr_view_range(&map, row, &from, &to);
  for (int64_t i = from; i < to; i++) {
    const char *name = mr_view_bytes(&key, i, &n);
    struct bytes v = {NULL, 0};
    if (!mr_view_null(&value, i)) {
      v.p = mr_view_bytes(&value, i, &m);
      v.n = (size_t)m;
    }
    add_header(h, name, (size_t)n, v);
  }
}

static rd_kafka_headers_t *headers_of(const struct sending *d, int64_t row)
{
  const struct kfs *s = d->s;
  const struct mr_list *named = &s->conf->headers;
  if (!named->n && s->headers_in < 0)
    return NULL;
  rd_kafka_headers_t *h = rd_kafka_headers_new(8);
  if (s->headers_in >= 0)
    pass_headers(d, row, h);
  for (size_t i = 0; i < named->n; i++) {
    struct bytes v = cell(d, s->header_column[i], row);
    if (v.p)
      add_header(h, named->key[i], strlen(named->key[i]), v);
  }
  return h;
}

static int64_t number(const struct sending *d, int64_t column, int64_t row, int64_t none)
{
  struct mr_view v;
  if (column < 0)
    return none;
  mr_view_column(&v, d->b->schema, &d->b->rows, column);
  return mr_view_null(&v, row) ? none : mr_view_int(&v, row);
}

static rd_kafka_resp_err_t produce(const struct sending *d, int64_t row, struct bytes key,
                                   struct bytes value)
{
  rd_kafka_vu_t vu[8] = {
      {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = d->s->conf->topic},
      {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
      {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)key.p, key.n}},
      {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)value.p, value.n}},
      {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = kfs_opaque(d->s, row)},
  };
  size_t n = 5;
  int64_t us = number(d, d->s->timestamp, row, INT64_MIN);
  int64_t partition = number(d, d->s->partition, row, RD_KAFKA_PARTITION_UA);
  rd_kafka_headers_t *h = headers_of(d, row);
  if (us != INT64_MIN && us >= 0)
    vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = us / 1000};
  if (d->s->partition >= 0)
    vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = (int32_t)partition};
  if (h)
    vu[n++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = h};
  rd_kafka_error_t *e = rd_kafka_produceva(d->p->rk, vu, n);
  rd_kafka_resp_err_t code = e ? rd_kafka_error_code(e) : RD_KAFKA_RESP_ERR_NO_ERROR;
  if (e)
    rd_kafka_error_destroy(e);
  if (code && h)
    rd_kafka_headers_destroy(h);
  return code;
}

static int refuse(const struct sending *d, int64_t row, const char *code, const char *msg)
{
  struct mr_reject r = {.size = sizeof r,
                        .lane = d->b->lane,
                        .batch = d->b,
                        .batch_id = d->b->id,
                        .row = row,
                        .code = code,
                        .msg = msg};
  return d->s->host->reject(d->s->host->ctx, &r);
}

static bool of_the_row(rd_kafka_resp_err_t e)
{
  return e == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || e == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION;
}

/* A full queue is waited for: what was taken of the batch cannot be taken back. */
static int send_row(const struct sending *d, int64_t row, struct mr_error *err)
{
  bool deleted = is_delete(d, row);
  struct bytes key = key_of(d, row), value = {NULL, 0};
  rd_kafka_resp_err_t e;
  if (deleted && !key.p)
    return refuse(d, row, "22004", "a delete needs a key");
  if (!deleted)
    value = encoded(&d->s->value, &d->value, row);
  while ((e = produce(d, row, key, value)) == RD_KAFKA_RESP_ERR__QUEUE_FULL && !d->p->failed &&
         clock_now_ms() < d->until_ms)
    rd_kafka_poll(d->p->rk, 50);
  if (!e)
    return d->s->alone ? kfs_producer_flush(d->p, err) : MR_OK;
  if (of_the_row(e))
    return refuse(d, row, rd_kafka_err2name(e), rd_kafka_err2str(e));
  kfs_fail(d->s, d->p, e, d->s->conf->topic, err);
  int r = kfs_producer_give_up(d->p, err);
  err->unit_lost = true;
  return r == MR_UNSURE ? MR_RETRY : r;
}

static int send_rows(struct sending *d, struct mr_error *err)
{
  int r = encode(d, &d->s->value, &d->value, err);
  if (r >= 0 && d->s->keys.encoder) {
    d->has_key = true;
    r = encode(d, &d->s->keys, &d->key, err);
  }
  for (int64_t i = 0; r >= 0 && i < d->b->rows.length; i++)
    r = send_row(d, i, err);
  if (d->p->rk) /* it may have been given up */
    rd_kafka_poll(d->p->rk, 0);
  return r;
}

int kfs_rows_send(struct kfs_producer *p, const struct mr_batch *b, struct mr_error *err)
{
  struct kfs *s = p->sink;
  struct sending d = {
      .s = s, .p = p, .b = b, .until_ms = clock_now_ms() + s->conf->commit_timeout_ms};
  if (!b->rows.length)
    return MR_OK;
  int r = send_rows(&d, err);
  if (d.value.release)
    mr_array_release(&d.value);
  if (d.key.release)
    mr_array_release(&d.key);
  return r;
}
