/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by COPY FROM STDIN, sent as they come. */
#include <poll.h>
#include "common/clock.h"
#include "postgres.h"

#define CHUNK (64 * 1024) /* bytes of encoded rows that go to libpq at once */

/* ---------------------------------------------------------------- what both ways of writing need
 */

bool pg_is_staged(const struct pg_sink *s)
{
  return s->conf->mode == MODE_UPSERT && s->use_temp;
}

void pg_write_target(const struct pg_sink *s, struct sql_buf *out)
{
  sql_buf_str(out, pg_is_staged(s) ? PG_STAGE : s->target);
}

void pg_column_list(const struct pg_sink *s, const char *prefix, struct sql_buf *out)
{
  for (int i = 0; i < s->n_fields; i++) {
    sql_buf_str(out, i ? ", " : "");
    sql_buf_str(out, prefix);
    sql_ident(out, s->column[s->field_column[i]].name);
  }
}

static bool keep_skip(struct pg_sent *e, int64_t row)
{
  if (e->n_skip == e->cap_skip) {
    int64_t cap = e->cap_skip ? 2 * e->cap_skip : 16;
    int64_t *grown = realloc(e->skip, (size_t)cap * sizeof *grown);
    if (!grown)
      return false;
    e->skip = grown;
    e->cap_skip = cap;
  }
  e->skip[e->n_skip++] = row;
  return true;
}

int pg_bad_row(struct pg_sink *s, int64_t row, const char *code, const char *msg,
               const char *column)
{
  struct mr_reject r = {.size = sizeof r,
                        .lane = s->batch->lane,
                        .batch = s->batch,
                        .batch_id = s->batch->id,
                        .row = row,
                        .code = code,
                        .msg = msg,
                        .column = column};
  if (s->isolating)
    mr_bit_set(s->dead, row, true);
  else if (!keep_skip(&s->sent[s->n_sent - 1], row))
    return MR_FATAL;
  return s->host->reject(s->host->ctx, &r);
}

/* The encoder found it: the server does not see the row. */
static int bad_row(void *ctx, int64_t row, int field, const char *code, const char *msg)
{
  struct pg_sink *s = ctx;
  const struct pg_column *c = field < s->n_fields ? &s->column[s->field_column[field]] : NULL;
  const char *column = c ? c->name : NULL;
  const struct ups_fault *why =
      field == s->n_fields ? pg_stage_fault(s, s->batch, row, &column) : NULL;
  if (why) {
    code = why->code;
    msg = why->msg;
  } else if (c && !strcmp(code, "23502") && !pg_set_has(s, s->batch, field, row))
    msg = c->is_key ? "the row does not write its key" : "the row does not write a NOT NULL column";
  else if (c && strcmp(code, "23502"))
    msg = evo_message(&s->words, msg, c->shown ? c->shown : "another type",
                      s->in.children[c->source]);
  return pg_bad_row(s, row, code, msg, column);
}

int pg_rows_of(struct pg_sink *s, const struct mr_batch *b, struct pg_rows *ret,
               struct mr_error *err)
{
  const struct ArrowSchema *schema = b->schema ? b->schema : &s->in;
  s->batch = b;
  for (int i = 0; i < s->n_fields; i++) {
    int32_t at = s->column[s->field_column[i]].source;
    pg_field_bind(&s->field[i], schema->children[at], b->rows.children[at]);
  }
  *ret = (struct pg_rows){.field = s->field,
                          .n = s->n_fields,
                          .text = s->form == FORM_TEXT,
                          .skip = s->isolating ? s->dead : NULL,
                          .bad = bad_row,
                          .ctx = s};
  if (!pg_set_mask(s, b))
    return pg_no_memory(err);
  if (!pg_is_staged(s))
    return MR_OK;
  int own = 0, status = pg_stage_fill(s, b, &own, err);
  ret->n += own;
  return status;
}

/* ---------------------------------------------------------------- COPY */

static void name_copy(const struct pg_sink *s, char *out, size_t size)
{
  snprintf(out, size, "COPY %s", s->shown);
}

static int open_copy(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  char what[160];
  name_copy(s, what, sizeof what);
  sql_buf_str(&sql, "COPY ");
  pg_write_target(s, &sql);
  sql_buf_str(&sql, " (");
  pg_column_list(s, "", &sql);
  if (pg_is_staged(s))
    pg_stage_list(s, &sql);
  sql_buf_str(&sql, s->form == FORM_BINARY ? ") FROM STDIN (FORMAT binary)" : ") FROM STDIN");
  int status =
      pg_run(s, sql_buf_text(&sql), what, s->conf->statement_timeout_ms, PG_GO_ON, NULL, NULL, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  s->copying = true;
  s->input_seen = false;
  sql_buf_clear(&s->out);
  if (s->form == FORM_BINARY)
    pg_copy_header(&s->out);
  return MR_OK;
}

/* Gives a chunk to libpq and waits until the socket has taken it; *hurry: no waiting any more,
 * libpq keeps what is left. */
static int put(struct pg_sink *s, bool *hurry, struct mr_error *err)
{
  char what[160];
  int64_t deadline = clock_now_ms() + s->conf->statement_timeout_ms;
  int left = 1;
  name_copy(s, what, sizeof what);
  if (s->out.len && PQputCopyData(s->pg, (const char *)s->out.p, (int)s->out.len) != 1)
    return pg_lost(s, what, NULL, err);
  sql_buf_clear(&s->out);
  while (!*hurry && (left = PQflush(s->pg)) > 0) {
    enum waited w = pg_wait(s, POLLOUT | POLLIN, deadline, PG_GIVE_UP);
    if (w == WAITED_OVER)
      return pg_lost(s, what, "the server takes no data within the statement timeout", err);
    *hurry = w == WAITED_WOKEN;
    struct pollfd in = {.fd = PQsocket(s->pg), .events = POLLIN};
    if (w == WAITED_READY && poll(&in, 1, 0) > 0) {
      s->input_seen = true;
      if (!PQconsumeInput(s->pg))
        return pg_lost(s, what, NULL, err);
    }
  }
  return left < 0 ? pg_lost(s, what, NULL, err) : MR_OK;
}

/* During COPY the server speaks up only when something is wrong (or to send a notice). */
static bool has_spoken(struct pg_sink *s)
{
  struct pollfd in = {.fd = PQsocket(s->pg), .events = POLLIN};
  return s->input_seen || poll(&in, 1, 0) > 0;
}

int pg_copy_ready(struct pg_sink *s, struct mr_error *err)
{
  int status = MR_OK;
  if (s->copying && has_spoken(s)) {
    status = pg_copy_end(s, err);
    for (int i = 0; i < s->n_sent; i++)
      free(s->sent[i].skip);
    s->n_sent = 0; /* the next COPY counts its lines from 1 */
    s->lines = 0;
  }
  return status >= 0 && !s->copying ? open_copy(s, err) : status;
}

int pg_copy_rows(struct pg_sink *s, const struct pg_rows *rows, int64_t from, int64_t to,
                 struct mr_error *err)
{
  bool hurry = false;
  int status = MR_OK;
  while (status >= 0 && from < to) {
    int64_t n = pg_rows_encode(rows, from, to, CHUNK, &s->out, &from);
    if (n < 0)
      return n == MR_FATAL ? pg_no_memory(err) : src_fail(err, (int)n, "", "a rejected row");
    status = put(s, &hurry, err);
  }
  return status;
}

int pg_copy_end(struct pg_sink *s, struct mr_error *err)
{
  char what[160];
  name_copy(s, what, sizeof what);
  s->copying = false;
  if (s->form == FORM_BINARY)
    pg_copy_trailer(&s->out);
  if (s->out.len && PQputCopyData(s->pg, (const char *)s->out.p, (int)s->out.len) != 1)
    return pg_lost(s, what, NULL, err);
  sql_buf_clear(&s->out);
  if (PQputCopyEnd(s->pg, NULL) != 1)
    return pg_lost(s, what, NULL, err);
  return pg_take_results(s, what, s->conf->statement_timeout_ms, PG_GO_ON, NULL, NULL, err);
}

void pg_copy_cancel(struct pg_sink *s)
{
  struct mr_error ignored = {.size = sizeof ignored};
  s->copying = false;
  if (!s->pg)
    return;
  if (PQputCopyEnd(s->pg, "given up") != 1)
    pg_close(s);
  else
    pg_take_results(s, "COPY", s->conf->statement_timeout_ms, PG_GO_ON, NULL, NULL, &ignored);
}
