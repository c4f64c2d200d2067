/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows does the server filter? A batch is tried in a transaction of its own that is always
 * rolled back; the error log names rows by their text, which is looked up in what was sent. Rows
 * that the log does not name are found by halves. */
#include "starrocks.h"

#define LOG_TIMEOUT_MS 10000
#define CUT_TEXT 256 /* bytes from which on a row's text in the log may be the beginning only */

struct search {
  const struct mr_batch *b;
  struct sql_buf body;
  char label[SR_LABEL_MAX + 1];
};

/* The text of a row as it was sent, without what stands between rows. */
static const char *row_text(const struct sr_sink *s, int64_t row, size_t *ret_len)
{
  return sr_row_text(s, row ? (size_t)s->row_end[row - 1] : 0, (size_t)s->row_end[row], ret_len);
}

static bool is_live(const struct sr_sink *s, int64_t row)
{
  return !mr_bit_get(s->dead, row);
}

static int64_t gather(struct sr_sink *s, int64_t from, int64_t to, struct sql_buf *out)
{
  int64_t n = 0;
  bool csv = s->conf->format == FORMAT_CSV;
  sql_buf_clear(out);
  for (int64_t row = from; row < to; row++) {
    size_t len;
    if (!is_live(s, row))
      continue;
    const char *p = row_text(s, row, &len);
    if (!csv)
      sql_buf_str(out, n ? ",\n" : "[");
    sql_buf_bytes(out, p, csv ? len + 1 : len);
    n++;
  }
  return n;
}

static int bury(struct sr_sink *s, const struct search *f, int64_t row, const char *why,
                struct mr_error *err)
{
  struct mr_reject r = {.size = sizeof r,
                        .batch = f->b,
                        .batch_id = f->b->id,
                        .row = row,
                        .code = "filtered",
                        .msg = why};
  mr_bit_set(s->dead, row, true);
  int status = s->host->reject(s->host->ctx, &r);
  return status < 0 ? src_fail(err, status, "", "a rejected row") : MR_OK;
}

/* ---------------------------------------------------------------- the error log */

bool sr_same_row(const char *sent, size_t n, const char *text, size_t len)
{
  return n >= len && !memcmp(sent, text, len) && (n == len || len >= CUT_TEXT);
}

/* One entry: "Error: why. Row: text". */
static int read_entry(struct sr_sink *s, const char *entry, size_t len, sr_entry_fn *call,
                      void *out, struct mr_error *err)
{
  const char *at = memmem(entry, len, "Row: ", 5);
  if (!at)
    return MR_OK;
  const char *text = at + 5;
  size_t text_len = len - (size_t)(text - entry), why_len = (size_t)(at - entry);
  size_t skip = why_len > 7 && !memcmp(entry, "Error: ", 7) ? 7 : 0;
  char *why = strndup(entry + skip, why_len - skip);
  int status = why ? call(out, text, text_len, why, err) : src_no_memory(err);
  free(why);
  return status;
}

int sr_log_read(struct sr_sink *s, const char *url, sr_entry_fn *entry, void *out,
                struct mr_error *err)
{
  struct sr_request r = {.method = "GET", .url = url, .timeout_ms = LOG_TIMEOUT_MS};
  struct mr_error why = {.size = sizeof why, .row = -1};
  long http = 0;
  int status = MR_OK;
  if (sr_http(s, &r, &http, &why) != SR_ANSWERED || http != 200) {
    src_log(s->host, MR_WARN, "the log of filtered rows cannot be read (%s)",
            *why.msg ? why.msg : "no such log");
    return MR_OK;
  }
  const char *p = sql_buf_text(&s->answer), *end = p + s->answer.len;
  while (p < end && status >= 0) {
    const char *next = memmem(p + 1, (size_t)(end - p - 1), "\nError: ", 8);
    size_t len = next ? (size_t)(next - p) : (size_t)(end - p);
    while (!next && len && p[len - 1] == '\n')
      len--;
    status = read_entry(s, p, len, entry, out, err);
    p = next ? next + 1 : end;
  }
  return status;
}

struct burial {
  struct sr_sink *s;
  const struct search *f;
  int64_t from, to, n;
};

/* Rejects the rows that an entry names. */
static int bury_entry(void *out, const char *text, size_t len, const char *why,
                      struct mr_error *err)
{
  struct burial *b = out;
  int status = MR_OK;
  for (int64_t row = b->from; row < b->to && status >= 0; row++) {
    size_t n;
    const char *sent = row_text(b->s, row, &n);
    if (!is_live(b->s, row) || !sr_same_row(sent, n, text, len))
      continue;
    status = bury(b->s, b->f, row, why, err);
    b->n++;
  }
  return status;
}

/* ---------------------------------------------------------------- trials */

/* Loads and prepares the gathered rows under a label of their own, and rolls it back. */
static enum sr_verdict try_body(struct sr_sink *s, struct search *f, struct sr_reply *ret,
                                struct mr_error *err)
{
  struct sr_reply ignored;
  struct mr_error why = {.size = sizeof why, .row = -1};
  snprintf(f->label, sizeof f->label, "%.100s_t%lld", s->label, (long long)++s->trials);
  s->one_table = true;
  enum sr_verdict v = sr_step(s, STEP_BEGIN, f->label, ret, err);
  if (v == SR_DONE)
    v = sr_load_rows(s, f->label, &f->body, ret, err);
  if (v == SR_DONE)
    v = sr_step(s, STEP_PREPARE, f->label, ret, err);
  sr_step(s, STEP_ROLLBACK, f->label, &ignored, &why); /* if that fails it is left to time out */
  s->one_table = false;
  sr_reply_done(&ignored);
  return v;
}

static int search(struct sr_sink *s, struct search *f, int64_t from, int64_t to,
                  struct mr_error *err);

static int refused(struct sr_sink *s, struct search *f, int64_t from, int64_t to, int64_t n,
                   const struct sr_reply *reply, bool *ret_again, struct mr_error *err)
{
  struct burial b = {s, f, from, to, 0};
  int status = MR_OK;
  if (!sr_blames_rows(reply))
    return sr_status(s, reply, "load", err);
  if (n == 1) {
    while (!is_live(s, from))
      from++;
    return bury(s, f, from, reply->message, err);
  }
  if (reply->error_url)
    status = sr_log_read(s, reply->error_url, bury_entry, &b, err);
  *ret_again = b.n > 0;
  if (status < 0 || b.n)
    return status;
  int64_t middle = from + (to - from) / 2;
  status = search(s, f, from, middle, err);
  return status < 0 ? status : search(s, f, middle, to, err);
}

/* Leaves rows of [from, to) alive that the server takes together. */
static int search(struct sr_sink *s, struct search *f, int64_t from, int64_t to,
                  struct mr_error *err)
{
  bool again = true;
  int status = MR_OK;
  while (again && status >= 0) {
    struct sr_reply reply = {.verdict = SR_DONE};
    int64_t n = gather(s, from, to, &f->body);
    again = false;
    if (!n)
      return MR_OK;
    enum sr_verdict v = try_body(s, f, &reply, err);
    if (v != SR_DONE || reply.filtered)
      status = v == SR_FAILED || v == SR_DONE ? refused(s, f, from, to, n, &reply, &again, err)
                                              : sr_status(s, &reply, "a trial load", err);
    sr_reply_done(&reply);
  }
  return status;
}

int sr_isolate(struct sr_sink *s, const struct mr_batch *b, struct mr_error *err)
{
  struct search f = {.b = b};
  int64_t n = b->rows.length;
  uint8_t *ends = (uint8_t *)s->row_end;
  bool room = sr_dead_clear(s, n) &&
              mr_buf_reserve(&ends, &s->row_end_cap, 0, n * (int64_t)sizeof *s->row_end);
  s->row_end = (int64_t *)(void *)ends;
  if (!room)
    return src_no_memory(err);
  int status = sr_encode(s, b, s->row_end, err);
  if (status >= 0)
    status = search(s, &f, 0, n, err);
  if (status >= 0) {
    s->n_rows = gather(s, 0, n, &f.body);
    struct sql_buf old = s->rows;
    s->rows = f.body;
    f.body = old;
    if (!s->n_rows)
      sql_buf_clear(&s->rows);
  }
  sql_buf_done(&f.body);
  return status >= 0 && s->rows.failed ? src_no_memory(err) : status;
}
