/* SPDX-License-Identifier: Apache-2.0 */
/* Reading rows back by their keys: many requests are on their way at a time. */
#include <poll.h>
#include "change-in.h"
#include "common/clock.h"
#include "common/src-error.h"

enum { QUERY_VALUES = 1, QUERY_PAGE = 4, QUERY_STATE = 8 };
#define IN_FLIGHT 128      /* requests */
#define FLIGHT_BYTES 65536 /* of requests: what a socket takes while the node answers others */
#define SETTLE_MS 10       /* a node does what it has written to the log a moment later */
#define PARTITION_MS 300   /* the same where the answer is not looked at */
#define PREPARES_MAX 3     /* in a row that a node forgets at once */

void answer_done(struct answer *a)
{
  for (size_t i = 0; i < a->n; i++)
    free(a->body[i]);
  free(a->body);
  free(a->len);
  *a = (struct answer){0};
}

static bool answer_add(struct answer *a, const struct cql_frame *f)
{
  uint8_t **body = realloc(a->body, (a->n + 1) * sizeof *body);
  if (body)
    a->body = body;
  size_t *len = body ? realloc(a->len, (a->n + 1) * sizeof *len) : NULL;
  if (len)
    a->len = len;
  uint8_t *copy = len ? malloc(f->len ? f->len : 1) : NULL;
  if (!copy)
    return false;
  memcpy(copy, f->body, f->len);
  a->body[a->n] = copy;
  a->len[a->n++] = f->len;
  return true;
}

/* ---- requests */

static void put_values(struct sql_buf *b, const struct clog_bytes *v, uint32_t n)
{
  for (uint32_t i = 0; i < n; i++)
    cql_put_value(b, v[i].p, v[i].len > 0 ? (size_t)v[i].len : 0);
}

/* paging: the state behind the last page; empty: the first one. */
static void put_execute(const struct cass_changes *s, const struct change_item *item,
                        const struct sql_buf *paging, struct sql_buf *b)
{
  bool pages = item->plan.need == NEED_PARTITION;
  const struct cql_prepared *p =
      &s->t.statement[pages ? STATEMENT_PARTITION : STATEMENT_ROW].prepared;
  uint32_t n_clustering = pages ? 0 : item->event.n_clustering;
  int32_t flags = QUERY_VALUES | (pages ? QUERY_PAGE : 0) | (paging->len ? QUERY_STATE : 0);
  cql_put_short(b, p->id, p->id_len);
  if (s->conn->version >= 5)
    cql_put_short(b, p->metadata_id, p->metadata_id_len);
  cql_put_u16(b, cql_consistency_codes[s->conf->server.consistency]);
  if (s->conn->version >= 5)
    cql_put_i32(b, flags);
  else
    sql_buf_byte(b, (char)flags);
  cql_put_u16(b, (uint16_t)(s->t.n_key + n_clustering));
  put_values(b, item->event.key, s->t.n_key);
  put_values(b, item->event.clustering, n_clustering);
  if (pages)
    cql_put_i32(b, (int32_t)s->conf->page);
  if (paging->len)
    cql_put_value(b, paging->p, paging->len);
}

/* A node that has forgotten a statement is told it again. */
static int refused(struct cass_changes *s, enum statement which, const struct cql_frame *f,
                   bool *ret_forgotten, struct mr_error *err)
{
  int32_t code;
  int rc = cql_conn_refused(s->conn, f, &code, err);
  *ret_forgotten = code == CQL_UNPREPARED;
  if (*ret_forgotten)
    cql_prepared_done(&s->t.statement[which].prepared);
  else if (s->conn->asked)
    cql_conn_close(s->conn); /* the other answers are not waited for */
  return rc;
}

/* ---- rows */

/* Requests on their way: the stream's number is an index. */
struct flight {
  size_t item[IN_FLIGHT], bytes[IN_FLIGHT]; /* bytes 0: free */
  size_t n, total;
  size_t next; /* the first item that may not have been sent */
  bool forgotten;
};

static bool waits_for_row(const struct change_item *item)
{
  return (item->plan.need == NEED_ELEMENTS || item->plan.need == NEED_ROW) && !item->answer.done;
}

static int send_row(struct cass_changes *s, struct flight *fl, size_t item, struct mr_error *err)
{
  struct sql_buf b = {0};
  static const struct sql_buf none;
  int16_t stream = 0;
  while (fl->bytes[stream])
    stream++;
  put_execute(s, &s->item[item], &none, &b);
  int rc = cql_conn_send_more(s->conn, CQL_EXECUTE, stream, &b, err);
  if (rc >= 0) {
    fl->item[stream] = item;
    fl->bytes[stream] = b.len;
    fl->total += b.len;
    fl->n++;
  }
  sql_buf_done(&b);
  return rc;
}

static int send_rows(struct cass_changes *s, struct flight *fl, struct mr_error *err)
{
  int rc = MR_OK;
  for (; rc >= 0 && fl->next < s->n_item && fl->n < IN_FLIGHT && fl->total < FLIGHT_BYTES;
       fl->next++)
    if (waits_for_row(&s->item[fl->next]))
      rc = send_row(s, fl, fl->next, err);
  return rc;
}

static int take_row(struct cass_changes *s, struct flight *fl, struct mr_error *err)
{
  struct cql_frame f;
  int rc = cql_conn_receive(s->conn, INT64_MAX, &f, err);
  if (rc < 0)
    return rc;
  if (f.stream < 0 || f.stream >= IN_FLIGHT || !fl->bytes[f.stream]) {
    cql_conn_close(s->conn);
    return src_fail(err, MR_RETRY, "", "an answer to no question%s", s->conn->where);
  }
  struct change_item *item = &s->item[fl->item[f.stream]];
  fl->total -= fl->bytes[f.stream];
  fl->bytes[f.stream] = 0;
  fl->n--;
  if (f.opcode == CQL_ERROR) {
    bool forgotten;
    rc = refused(s, STATEMENT_ROW, &f, &forgotten, err);
    fl->forgotten |= forgotten;
    return forgotten ? MR_OK : rc;
  }
  if (!answer_add(&item->answer, &f))
    return src_no_memory(err);
  item->answer.done = true;
  return MR_OK;
}

/* All that wait for a row, as far as the node knows the statement. */
static int read_rows(struct cass_changes *s, bool *ret_forgotten, struct mr_error *err)
{
  struct flight fl = {0};
  int rc = change_prepare(s, STATEMENT_ROW, err);
  if (rc >= 0)
    rc = send_rows(s, &fl, err);
  while (rc >= 0 && fl.n) {
    rc = take_row(s, &fl, err);
    if (rc >= 0 && !fl.forgotten)
      rc = send_rows(s, &fl, err);
  }
  *ret_forgotten = fl.forgotten;
  if (rc < 0 && s->conn->asked)
    cql_conn_close(s->conn);
  return rc;
}

/* ---- partitions */

static void pause_until(int64_t until_ms)
{
  int64_t left = until_ms - clock_now_ms();
  if (left > 0)
    poll(NULL, 0, (int)left);
}

static int read_page(struct cass_changes *s, struct change_item *item, struct sql_buf *paging,
                     struct mr_error *err)
{
  struct sql_buf b = {0};
  struct cql_frame f;
  struct cql_rows rows;
  bool forgotten;
  put_execute(s, item, paging, &b);
  int rc = cql_conn_send(s->conn, CQL_EXECUTE, &b, err);
  sql_buf_done(&b);
  if (rc >= 0)
    rc = cql_conn_receive(s->conn, INT64_MAX, &f, err);
  if (rc < 0)
    return rc;
  if (f.opcode == CQL_ERROR)
    return refused(s, STATEMENT_PARTITION, &f, &forgotten, err);
  rc = cql_reply_rows(&f, &rows, err);
  cql_columns_done(&rows.columns);
  if (rc < 0)
    return rc;
  sql_buf_clear(paging);
  sql_buf_bytes(paging, rows.paging, rows.paging_len);
  return answer_add(&item->answer, &f) && !paging->failed ? MR_OK : src_no_memory(err);
}

static int read_partition(struct cass_changes *s, struct change_item *item, struct mr_error *err)
{
  struct sql_buf paging = {0};
  answer_done(&item->answer);
  pause_until(s->pushed_ms + PARTITION_MS);
  int rc = change_prepare(s, STATEMENT_PARTITION, err);
  do {
    if (rc >= 0)
      rc = read_page(s, item, &paging, err);
  } while (rc >= 0 && paging.len);
  item->answer.done = rc >= 0;
  sql_buf_done(&paging);
  return rc;
}

static int read_all_rows(struct cass_changes *s, struct mr_error *err)
{
  bool forgotten = true;
  int rc = MR_OK;
  for (int i = 0; rc >= 0 && forgotten && i < PREPARES_MAX; i++)
    rc = read_rows(s, &forgotten, err);
  if (rc < 0 || !forgotten)
    return rc;
  return src_fail(err, MR_RETRY, "", "the node does not keep a prepared statement%s",
                  s->conn->where);
}

/* Takes back the answers that do not show their events. */
static bool drop_unconfirmed(struct cass_changes *s)
{
  bool any = false;
  for (size_t i = 0; i < s->n_item; i++) {
    struct change_item *item = &s->item[i];
    bool row = item->plan.need == NEED_ELEMENTS || item->plan.need == NEED_ROW;
    if (!row || item->answer.confirmed)
      continue;
    if (change_is_confirmed(s, item)) {
      item->answer.confirmed = true;
      continue;
    }
    answer_done(&item->answer);
    any = true;
  }
  return any;
}

int change_read(struct cass_changes *s, struct mr_error *err)
{
  int64_t until = s->pushed_ms + s->patience_ms, pause = SETTLE_MS;
  int rc = cql_conn_open(s->conn, err);
  pause_until(s->pushed_ms + SETTLE_MS);
  if (rc >= 0)
    rc = read_all_rows(s, err);
  for (; rc >= 0 && clock_now_ms() < until && drop_unconfirmed(s); pause *= 2) {
    pause_until(clock_now_ms() + pause);
    rc = read_all_rows(s, err);
  }
  for (size_t i = 0; rc >= 0 && i < s->n_item; i++)
    if (s->item[i].plan.need == NEED_PARTITION && !s->item[i].answer.done)
      rc = read_partition(s, &s->item[i], err);
  return rc;
}
