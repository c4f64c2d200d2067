/* SPDX-License-Identifier: Apache-2.0 */
/* A unit as plain Stream Loads, each under a label of its own: for servers without transactions,
 * and for rows that write different columns. The runtime keeps the encoded loads, and sends them
 * again until each label is known to have landed; a label lands once.
 *
 * A block is MAGIC, a random number (a label that exists is then this block's own, and nobody
 * else's) and parts: struct part, the headers (a line each), the body. Rows of a table without key
 * are one part, so that a refused load leaves nothing behind. */
#include <unistd.h>
#include "common/sql-text.h"
#include "starrocks.h"

#define MAGIC "SRL1"
#define NONCE 6            /* bytes */
#define STILL_MS 200       /* until a label that is still loading is asked for again */
#define REFUSED_MAX 100000 /* rows that are remembered as refused */

struct part {
  uint64_t headers, body; /* bytes */
  int64_t rows;
};

void sr_labelled_done(struct sr_sink *s)
{
  for (size_t i = 0; i < s->n_refused; i++) {
    free(s->refused[i].text);
    free(s->refused[i].why);
  }
  free(s->refused);
  free(s->written);
  sql_buf_done(&s->block);
  s->refused = NULL;
  s->written = NULL;
  s->n_refused = s->n_written = s->cap_written = 0;
}

static void clear(struct sr_sink *s)
{
  sr_groups_clear(s);
  sql_buf_clear(&s->rows);
  sql_buf_clear(&s->block);
  s->n_rows = 0;
  s->n_written = 0;
}

int sr_labelled_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  clear(self);
  return sr_ready(self, err);
}

int sr_labelled_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  clear(s);
  return MR_OK;
}

int64_t sr_labelled_window(void *self)
{
  const struct sr_sink *s = self;
  return s->label_seconds * 1000;
}

/* ---------------------------------------------------------------- parts */

static bool put_headers(struct sr_sink *s, const struct sr_group *g, struct sql_buf *out)
{
  bool whole = !g->deletes && !memchr(g->use, 0, (size_t)s->n_fields);
  bool partial = !whole || s->conf->partial_update != PARTIAL_NO;
  struct curl_slist *list = NULL;
  char *own = whole ? NULL : sr_columns_header(s, g->use);
  bool ok = (whole || own) && sr_load_headers(s, whole ? s->columns_header : own, partial, &list);
  for (const struct curl_slist *l = list; l && ok; l = l->next)
    sql_buf_fmt(out, "%s%s", l == list ? "" : "\n", l->data);
  curl_slist_free_all(list);
  free(own);
  return ok && !out->failed;
}

static int put_head(struct sr_sink *s, struct mr_error *err)
{
  uint8_t nonce[NONCE];
  if (getentropy(nonce, sizeof nonce))
    return src_fail(err, MR_FATAL, "", "no random numbers");
  sql_buf_str(&s->block, MAGIC);
  sql_buf_bytes(&s->block, nonce, sizeof nonce);
  return MR_OK;
}

static int put_part(struct sr_sink *s, struct sr_group *g, struct mr_error *err)
{
  struct sql_buf headers = {0};
  const struct sql_buf *body = &g->rows;
  if (!g->n_rows)
    return MR_OK;
  if (s->conf->format == FORMAT_JSON)
    sql_buf_byte(&g->rows, ']');
  int status = put_headers(s, g, &headers) ? MR_OK : src_no_memory(err);
  if (status >= 0 && s->conf->compression != PACK_NONE) {
    status = sr_pack(s, g->rows.p, g->rows.len, err);
    body = &s->packed;
  }
  struct part p = {.headers = headers.len, .body = body->len, .rows = g->n_rows};
  if (status >= 0 && !s->block.len)
    status = put_head(s, err);
  sql_buf_bytes(&s->block, &p, sizeof p);
  sql_buf_bytes(&s->block, headers.p, headers.len);
  sql_buf_bytes(&s->block, body->p, body->len);
  sql_buf_done(&headers);
  return status >= 0 && (s->block.failed || g->rows.failed) ? src_no_memory(err) : status;
}

/* What the groups hold becomes parts; they are empty then. */
static int close_groups(struct sr_sink *s, struct mr_error *err)
{
  int status = MR_OK;
  sr_groups_settle(s);
  for (int i = 0; i < s->n_groups && status >= 0; i++)
    status = put_part(s, &s->group[i], err);
  sr_groups_clear(s);
  return status;
}

/* ---------------------------------------------------------------- writing */

static const char *known_refusal(const struct sr_sink *s, const char *text, size_t len)
{
  for (size_t i = 0; i < s->n_refused; i++)
    if (sr_same_row(text, len, s->refused[i].text, s->refused[i].len))
      return s->refused[i].why;
  return NULL;
}

/* Appends a row to its group, or rejects it. */
static int write_row(struct sr_encoding *e, int64_t row, struct mr_error *err)
{
  struct sr_sink *s = e->s;
  struct sr_misfit m = {0};
  int bad = 0, status = sr_group_find(e, row, err);
  if (status == MR_MORE && (status = close_groups(s, err)) >= 0)
    status = sr_group_find(e, row, err);
  if (status < 0)
    return status;
  size_t start = s->rows.len, len;
  e->use = s->use;
  if (!sr_put_row(e, row, &m, &bad))
    return sr_reject(e, row, &m, s->field[bad].column->name, err);
  const char *text = sr_row_text(s, start, s->rows.len, &len);
  const char *why = s->n_refused && !s->rows.failed ? known_refusal(s, text, len) : NULL;
  if (!why)
    return s->rows.failed ? src_no_memory(err) : MR_OK;
  s->rows.len = start;
  s->n_rows--;
  m = (struct sr_misfit){"filtered", why};
  return sr_reject(e, row, &m, NULL, err);
}

static bool remember(struct sr_sink *s, const struct mr_batch *b)
{
  if (s->n_written == s->cap_written) {
    size_t cap = s->cap_written ? 2 * s->cap_written : 64;
    const struct mr_batch **grown = realloc(s->written, cap * sizeof *grown);
    if (!grown)
      return false;
    s->written = grown;
    s->cap_written = cap;
  }
  s->written[s->n_written++] = b;
  return true;
}

int sr_labelled_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sr_sink *s = self;
  struct sr_encoding e;
  int status = MR_OK;
  if (!b->rows.length)
    return MR_OK;
  sr_encoding_bind(&e, s, b);
  for (int64_t row = 0; row < b->rows.length && status >= 0; row++)
    status = write_row(&e, row, err);
  if (status >= 0 && !remember(s, b))
    status = src_no_memory(err);
  err->unit_lost |= status < 0; /* rows are in several places: the unit is written anew */
  return status;
}

int sr_labelled_seal(void *self, const struct mr_unit *u, mr_put_fn *put, void *out,
                     struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = close_groups(s, err);
  if (status < 0) {
    err->unit_lost = true;
    return status;
  }
  s->fresh = true;
  return put(out, s->block.p, s->block.len);
}

/* ---------------------------------------------------------------- refusals */

static int keep_refused(void *out, const char *text, size_t len, const char *why,
                        struct mr_error *err)
{
  struct sr_sink *s = out;
  if (s->n_refused >= REFUSED_MAX || known_refusal(s, text, len))
    return MR_OK;
  struct sr_refused *grown = realloc(s->refused, (s->n_refused + 1) * sizeof *grown);
  struct sr_refused r = {.text = strndup(text, len), .why = strdup(why), .len = len};
  if (grown)
    s->refused = grown;
  if (!grown || !r.text || !r.why) {
    free(r.text);
    free(r.why);
    return src_no_memory(err);
  }
  s->refused[s->n_refused++] = r;
  return MR_OK;
}

/* The first row of a batch that the log names. */
static bool find_in(struct sr_sink *s, const struct mr_batch *b, int64_t n_rows,
                    struct mr_error *err)
{
  struct sr_encoding e;
  sr_encoding_bind(&e, s, b);
  for (int64_t row = 0; row < b->rows.length; row++) {
    struct sr_misfit m;
    struct mr_error ignored = {.size = sizeof ignored};
    int bad;
    size_t len;
    sr_groups_clear(s);
    if (sr_group_find(&e, row, &ignored) != MR_OK)
      continue;
    e.use = s->use;
    bool put = sr_put_row(&e, row, &m, &bad);
    const char *text = put ? sr_row_text(s, 0, s->rows.len, &len) : NULL;
    const char *why = text ? known_refusal(s, text, len) : NULL;
    if (!why && (!put || n_rows != 1))
      continue;
    err->batch = b->id;
    err->row = row;
    if (why)
      src_fail(err, MR_REJECT, "filtered", "%.400s", why);
    return true;
  }
  return false;
}

/* A load was refused for its rows: the same bytes will be each time, so it cannot land later
 * either. MR_REJECT names one; the others are known when the unit is written again. After a crash
 * none can be named: the rows are read again. */
static int find_refused(struct sr_sink *s, const struct sr_reply *reply, int64_t n_rows,
                        struct mr_error *err)
{
  struct mr_error why = {.size = sizeof why, .row = -1};
  int status = MR_OK;
  err->unit_lost = true;
  err->row = -1;
  if (!s->n_written)
    return MR_REJECT;
  if (reply->error_url)
    status = sr_log_read(s, reply->error_url, keep_refused, s, &why);
  bool found = false;
  for (size_t i = 0; i < s->n_written && !found && status >= 0; i++)
    found = find_in(s, s->written[i], n_rows, err);
  sr_groups_clear(s);
  if (found)
    return MR_REJECT;
  return src_fail(err, MR_FATAL, reply->status,
                  "load of %s: %.300s; which rows they are cannot be read from the server's log",
                  s->shown, reply->message);
}

/* ---------------------------------------------------------------- sending */

static int still_loading(const char *label, struct mr_error *err)
{
  err->retry_ms = STILL_MS;
  return src_fail(err, MR_RETRY, "", "the load of label %s has not ended yet", label);
}

/* MR_OK: it has landed; MR_MORE: it is not there, and may be sent. */
static int settle(struct sr_sink *s, const char *label, struct mr_error *err)
{
  int state = sr_label_state(s, label, err);
  if (state < 0)
    return state;
  if (state == MR_COMMITTED)
    return MR_OK;
  return state == MR_RUNNING || state == MR_PREPARED ? still_loading(label, err) : MR_MORE;
}

/* The server's answer was not that the load is done. */
static int not_loaded(struct sr_sink *s, const char *label, const struct part *p,
                      const struct sr_reply *reply, struct mr_error *err)
{
  struct mr_error why = *err;
  int status;
  if (reply->verdict == SR_MISSING || reply->verdict == SR_DENIED) {
    status = sr_status(s, reply, "load", err);
    return status == MR_BADCONF ? MR_FATAL : status;
  }
  if (reply->verdict != SR_FAILED && reply->verdict != SR_LABEL_EXISTS)
    return err->native == MR_BADCONF ? MR_FATAL
                                     : MR_RETRY; /* the label is asked before it goes again */
  status = settle(s, label, err);
  if (status == MR_OK)
    src_log(s->host, MR_INFO, "%.300s; label %s has landed all the same", why.msg, label);
  if (status != MR_MORE)
    return status;
  *err = why;
  if (reply->verdict == SR_LABEL_EXISTS)
    return MR_RETRY; /* it was aborted meanwhile: an aborted label is free */
  status = sr_refused(s, reply, "load", err);
  if (status == MR_REJECT)
    return find_refused(s, reply, p->rows, err);
  return status == MR_BADCONF ? MR_FATAL : status;
}

static int send_part(struct sr_sink *s, const char *label, const struct part *p,
                     const uint8_t *data, struct mr_error *err)
{
  struct sr_reply reply;
  int status = s->fresh ? MR_MORE : settle(s, label, err);
  if (status != MR_MORE)
    return status;
  enum sr_verdict v = sr_put(s, label, (const char *)data, (size_t)p->headers, data + p->headers,
                             (size_t)p->body, &reply, err);
  if (v != SR_DONE)
    status = not_loaded(s, label, p, &reply, err);
  else if (reply.filtered)
    status = src_fail(err, MR_FATAL, "filtered",
                      "label %s landed without %lld rows that the server filtered, though it was "
                      "told to take all or nothing",
                      label, (long long)reply.filtered);
  else
    status = MR_OK;
  sr_reply_done(&reply);
  return status;
}

static int damaged(struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "", "a block that was kept is damaged, or of another sink");
}

/* The part at *at, which moves behind it. */
static bool take_part(const uint8_t **at, const uint8_t *end, struct part *p)
{
  size_t left = (size_t)(end - *at);
  if (left < sizeof *p)
    return false;
  memcpy(p, *at, sizeof *p);
  left -= sizeof *p;
  *at += sizeof *p;
  return p->headers <= left && p->body <= left - p->headers;
}

static int send_parts(struct sr_sink *s, const char *token, const uint8_t *at, const uint8_t *end,
                      struct mr_error *err)
{
  struct sql_buf nonce = {0};
  int status = MR_OK;
  sql_text_hex(&nonce, at, NONCE);
  at += NONCE;
  for (int i = 0; at < end && status >= 0; i++) {
    struct part p;
    char label[SR_LABEL_MAX + 1];
    if (!take_part(&at, end, &p)) {
      status = damaged(err);
      break;
    }
    snprintf(label, sizeof label, i ? "%.80s_%s_p%d" : "%.80s_%s", token, sql_buf_text(&nonce), i);
    status = send_part(s, label, &p, at, err);
    at += p.headers + p.body;
  }
  sql_buf_done(&nonce);
  return status;
}

int sr_labelled_send(void *self, const char *token, const void *block, size_t len,
                     struct mr_error *err)
{
  struct sr_sink *s = self;
  const uint8_t *at = block;
  int status = sr_http_open(s, err);
  if (status < 0 || !len)
    return status;
  if (len < sizeof MAGIC - 1 + NONCE || memcmp(at, MAGIC, sizeof MAGIC - 1))
    return damaged(err);
  status = send_parts(s, token, at + sizeof MAGIC - 1, at + len, err);
  s->fresh = false;
  if (status >= 0) {
    s->unclassified = 0;
    sr_labelled_done(s);
  }
  return status;
}
