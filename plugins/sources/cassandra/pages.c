/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of several ranges at a time over one connection. A range's next page is asked for as soon
 * as one of it has come. The next answer is taken only when the rows before it are, so that at most
 * one page is held, as lent bytes; the others wait in the sockets. */
#include "cassandra.h"
#include "common/src-error.h"

enum { QUERY_VALUES = 1, QUERY_PAGE = 4, QUERY_STATE = 8 };

/* The table has other columns than it had: only those that the scan wants are asked for. */
static void forget_all(struct cass_source *s)
{
  free(s->select.all);
  s->select.all = NULL;
  cql_prepared_done(&s->prepared);
}

static bool is_known(const struct cass_source *s, const struct cql_columns *c)
{
  return s->types.n ? cql_columns_equal(&s->types, c) : cass_select_has(&s->select, c);
}

static int prepare_all(struct cass_source *s, struct mr_error *err)
{
  int rc = cql_conn_prepare(&s->conn, s->select.all, &s->prepared, err);
  if (rc >= 0 && !is_known(s, &s->prepared.columns))
    forget_all(s);
  return rc;
}

static int prepare_items(struct cass_source *s, struct mr_error *err)
{
  int rc = cql_conn_prepare(&s->conn, s->select.cql, &s->prepared, err);
  if (rc >= 0 && s->types.n && !cql_columns_equal(&s->types, &s->prepared.columns))
    rc = src_fail(err, MR_FATAL, "",
                  "columns of table %s have another type than when the scan began%s",
                  s->conf->table, s->conn.where);
  return rc;
}

int cass_pages_prepare(struct cass_source *s, struct mr_error *err)
{
  if (s->prepared.id)
    return MR_OK;
  int rc = s->select.all ? prepare_all(s, err) : MR_OK;
  if (rc >= 0 && !s->select.all)
    rc = prepare_items(s, err);
  if (rc < 0)
    cql_prepared_done(&s->prepared);
  return rc;
}

static void free_query(struct cass_query *q)
{
  q->lane = NULL;
  q->asked = q->skipping = false;
  sql_buf_clear(&q->paging);
}

void cass_pages_stop(struct cass_source *s)
{
  if (s->conn.asked)
    cql_conn_close(&s->conn); /* the answers are not wanted any more */
  for (size_t i = 0; i < s->n_query; i++)
    free_query(&s->query[i]);
  s->now = NULL;
  s->pending = false;
  s->page.n = 0;
}

void cass_pages_end(struct cass_source *s)
{
  free_query(s->now);
  s->now = NULL;
}

/* Asks for a page: the first, or the one behind q->paging. */
static int ask_page(struct cass_source *s, struct cass_query *q, struct mr_error *err)
{
  struct sql_buf b = {0};
  int32_t flags = QUERY_VALUES | QUERY_PAGE | (q->paging.len ? QUERY_STATE : 0);
  uint64_t first = htobe64((uint64_t)q->first), last = htobe64((uint64_t)q->lane->last);
  cql_put_short(&b, s->prepared.id, s->prepared.id_len);
  if (s->conn.version >= 5)
    cql_put_short(&b, s->prepared.metadata_id, s->prepared.metadata_id_len);
  cql_put_u16(&b, cql_consistency_codes[s->conf->server.consistency]);
  if (s->conn.version >= 5)
    cql_put_i32(&b, flags);
  else
    sql_buf_byte(&b, (char)flags);
  cql_put_u16(&b, 2);
  cql_put_value(&b, &first, sizeof first);
  cql_put_value(&b, &last, sizeof last);
  cql_put_i32(&b, (int32_t)s->conf->page);
  if (q->paging.len)
    cql_put_value(&b, q->paging.p, q->paging.len);
  int rc = cql_conn_send_more(&s->conn, CQL_EXECUTE, (int16_t)(q - s->query), &b, err);
  q->asked = rc >= 0;
  sql_buf_done(&b);
  return rc;
}

/* The first range that is neither read nor being read. NULL: none. */
static struct cass_lane *next_lane(const struct cass_source *s)
{
  for (size_t i = s->at; i < s->n_lane; i++) {
    bool free = s->lane[i].at.kind != CASS_DONE;
    for (size_t k = 0; free && k < s->n_query; k++)
      free = s->query[k].lane != &s->lane[i];
    if (free)
      return &s->lane[i];
  }
  return NULL;
}

/* The pages of one query have one beginning: q->first stays. */
static int begin(struct cass_source *s, struct cass_query *q, struct cass_lane *l,
                 struct mr_error *err)
{
  q->lane = l;
  q->first = l->at.kind == CASS_AT ? l->at.token : l->first;
  q->skipping = l->at.kind == CASS_AT && !l->whole;
  l->whole = false;
  return ask_page(s, q, err);
}

int cass_pages_fill(struct cass_source *s, struct mr_error *err)
{
  struct cass_lane *l = NULL;
  int rc = s->conn.asked ? MR_OK : cql_conn_open(&s->conn, err);
  if (rc >= 0)
    rc = cass_pages_prepare(s, err);
  for (size_t i = 0; rc >= 0 && i < s->n_query; i++)
    if (!s->query[i].lane && (l = next_lane(s)))
      rc = begin(s, &s->query[i], l, err);
  return rc;
}

static int refused(struct cass_source *s, const struct cql_frame *f, struct mr_error *err)
{
  int32_t code;
  int rc = cql_conn_refused(&s->conn, f, &code, err);
  if (code == CQL_UNPREPARED)
    cql_prepared_done(&s->prepared); /* the node has forgotten it: it started anew, or an ALTER */
  return rc;
}

/* Another client may have made the node know the statement again, with the columns of now. */
static int changed(struct cass_source *s, struct mr_error *err)
{
  bool added = s->select.all != NULL;
  if (added)
    forget_all(s);
  return src_fail(err, added ? MR_RETRY : MR_FATAL, "",
                  "columns of table %s changed during the scan%s", s->conf->table, s->conn.where);
}

static int take_page(struct cass_source *s, struct cass_query *q, const struct cql_frame *f,
                     struct mr_error *err)
{
  int rc = cql_reply_rows(f, &s->page, err);
  bool same = rc >= 0 && cql_columns_equal(&s->page.columns, &s->types);
  cql_columns_done(&s->page.columns);
  if (rc < 0)
    return rc;
  if (!same)
    return changed(s, err);
  sql_buf_clear(&q->paging);
  sql_buf_bytes(&q->paging, s->page.paging, s->page.paging_len);
  if (q->paging.failed)
    return src_no_memory(err);
  s->now = q;
  return q->paging.len ? ask_page(s, q, err) : MR_OK;
}

int cass_pages_next(struct cass_source *s, int64_t until_ms, struct mr_error *err)
{
  struct cql_frame f;
  int rc = cql_conn_receive(&s->conn, until_ms, &f, err);
  if (rc != MR_OK)
    return rc;
  if (f.stream < 0 || (size_t)f.stream >= s->n_query || !s->query[f.stream].asked)
    return src_fail(err, MR_RETRY, "08P01", "an answer to no question came%s", s->conn.where);
  struct cass_query *q = &s->query[f.stream];
  q->asked = false;
  return f.opcode == CQL_ERROR ? refused(s, &f, err) : take_page(s, q, &f, err);
}
