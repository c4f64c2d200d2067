/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows of the table does a delete of many rows mean? Many of them are asked for in one query,
 * whose answer is read in the Native format: values go into the next block as they came. */
#include "clickhouse.h"
#include "common/sql-text.h"

#define QUERY_DELETES 50        /* in one query: servers take long to compile more conditions */
#define QUERY_BYTES (64u << 10) /* of conditions; a server parses 256 KiB by default */
#define NOBODY "toUInt32(4294967295)"
#define WHICH "millrace_which"

bool ch_lookup_copies(const struct ch_type *t)
{
  switch (t->kind) {
  case CH_NONE:
  case CH_JSON:
  case CH_ARRAY:
  case CH_MAP:
  case CH_TUPLE: return false;
  default: return true;
  }
}

/* Where a row stands decides what replaces it: its key, its order, its partition. */
bool ch_lookup_keeps(const struct ch_sink *s, int node)
{
  const struct ch_column *c = &s->column[s->node_column[node]];
  bool made = node == s->version_node || node == s->deleted_node;
  bool version = s->engine.version_column && !strcmp(c->name, s->engine.version_column);
  return !made && !version && (c->is_key || ch_mentions(s->engine.engine_full, c->name));
}

bool ch_lookup_orders(const struct ch_sink *s, const struct ch_bound *c)
{
  const struct ch_node *n = &s->node[c->node];
  switch (n->op) {
  case CH_OP_SCALED:
  case CH_OP_FLOAT:
  case CH_OP_DECIMAL: return true;
  case CH_OP_BYTES:
  case CH_OP_FIXED: return c->value.kind == MR_K_TEXT || c->value.kind == MR_K_BINARY;
  case CH_OP_TEXT:
    return c->value.kind == MR_K_DATE || c->value.kind == MR_K_TIME ||
           c->value.kind == MR_K_TIMESTAMP;
  default: return false;
  }
}

/* ---------------------------------------------------------------- the query */

static void put_bytes(struct sql_buf *sql, const void *data, int64_t len)
{
  const uint8_t *p = data;
  sql_buf_byte(sql, '\'');
  for (int64_t i = 0; i < len; i++)
    if (p[i] < ' ' || p[i] == '\'' || p[i] == '\\')
      sql_buf_fmt(sql, "\\x%02X", p[i]);
    else
      sql_buf_byte(sql, (char)p[i]);
  sql_buf_byte(sql, '\'');
}

static int64_t us_of(const struct mr_view *v, int64_t i)
{
  int64_t x = mr_view_int(v, i);
  return v->kind == MR_K_DATE ? x * 86400000000 : x;
}

static void put_instant(struct sql_buf *sql, const struct ch_type *t, int64_t us)
{
  if (t->kind == CH_DATETIME) {
    sql_buf_fmt(sql, "toDateTime(%lld)", (long long)(us / 1000000));
    return;
  }
  sql_buf_str(sql, "toDateTime64('");
  sql_text_timestamp(sql, us, ' ', "");
  sql_buf_str(sql, "', 6, 'UTC')");
}

/* A value as one of the column's type. */
static void put_value(struct sql_buf *sql, const struct ch_sink *s, int node,
                      const struct mr_view *v, int64_t i)
{
  const struct ch_column *c = &s->column[s->node_column[node]];
  int64_t len = v->width;
  if (c->type.kind == CH_DATETIME || c->type.kind == CH_DATETIME64) {
    put_instant(sql, &c->type, us_of(v, i));
    return;
  }
  sql_buf_str(sql, "CAST(");
  if (v->kind == MR_K_BOOL) {
    sql_buf_byte(sql, '0' + mr_view_bool(v, i));
  } else if (v->kind == MR_K_TEXT || v->kind == MR_K_BINARY) {
    const char *p = mr_view_bytes(v, i, &len);
    put_bytes(sql, p, len);
  } else if (v->kind == MR_K_FIXED && c->type.kind == CH_FIXED) {
    put_bytes(sql, mr_view_fixed(v, i), len);
  } else {
    sql_buf_byte(sql, '\'');
    sql_text_value(sql, v, i);
    sql_buf_byte(sql, '\'');
  }
  sql_buf_str(sql, ", ");
  ch_literal(sql, c->wire);
  sql_buf_byte(sql, ')');
}

static void put_compare(struct sql_buf *sql, const struct ch_deletes *d, const struct ch_bound *c,
                        const char *op, const struct mr_view *v, int64_t i, int *n)
{
  if (mr_view_null(v, i))
    return;
  sql_buf_str(sql, (*n)++ ? " AND " : "");
  ch_ident(sql, c->name);
  sql_buf_str(sql, op);
  put_value(sql, d->s, c->node, v, i);
}

/* What one delete means, in brackets. */
static void put_condition(struct sql_buf *sql, const struct ch_deletes *d, int64_t row)
{
  int n = 0;
  sql_buf_byte(sql, '(');
  for (int k = 0; k < d->n_bound; k++) {
    const struct ch_bound *c = &d->bound[k];
    const struct mr_view *b = c->range.bound;
    put_compare(sql, d, c, " = ", &c->value, row, &n);
    if (!mr_range_bounds(&c->range, row))
      continue;
    put_compare(sql, d, c, mr_view_bool(&b[MR_LOWER_INC], row) ? " >= " : " > ", &b[MR_LOWER], row,
                &n);
    put_compare(sql, d, c, mr_view_bool(&b[MR_UPPER_INC], row) ? " <= " : " < ", &b[MR_UPPER], row,
                &n);
  }
  sql_buf_byte(sql, ')');
}

static void put_columns(struct sql_buf *sql, const struct ch_sink *s)
{
  for (int i = 0; i < s->n_nodes; i++) {
    const struct ch_column *c = &s->column[s->node_column[i]];
    bool plain = !strcmp(c->wire, c->shown);
    if (!ch_lookup_keeps(s, i) || !ch_lookup_copies(&c->type))
      continue;
    sql_buf_str(sql, plain ? "" : "CAST(");
    ch_ident(sql, c->name);
    sql_buf_str(sql, plain ? ", " : ", ");
    if (!plain) {
      ch_literal(sql, c->wire);
      sql_buf_str(sql, "), ");
    }
  }
}

/* The query for deletes [from, *to); *to is moved back to what one query can hold. */
static void put_query(struct sql_buf *sql, const struct ch_deletes *d, int64_t from, int64_t *to)
{
  struct sql_buf any = {0}, which = {0};
  const char *deleted = d->s->engine.deleted_column ? d->s->engine.deleted_column : CH_DELETED;
  int64_t i = from;
  for (; i < *to && i - from < QUERY_DELETES && any.len < QUERY_BYTES; i++) {
    sql_buf_str(&any, i > from ? " OR " : "");
    size_t at = any.len;
    put_condition(&any, d, d->row[i]);
    sql_buf_bytes(&which, any.p + at, any.len - at);
    sql_buf_fmt(&which, ", toUInt32(%lld), ", (long long)i);
  }
  *to = i;
  sql_buf_str(sql, "SELECT ");
  put_columns(sql, d->s);
  sql_buf_fmt(sql, "multiIf(%s" NOBODY ") AS " WHICH " FROM %s FINAL WHERE ", sql_buf_text(&which),
              d->s->target);
  if (ch_column_find(d->s, deleted) >= 0) {
    ch_ident(sql, deleted);
    sql_buf_str(sql, " = 0 AND ");
  }
  sql_buf_fmt(sql, "(%s) LIMIT %d FORMAT Native", sql_buf_text(&any), CH_FOUND_ROWS + 1);
  sql->failed |= any.failed || which.failed;
  sql_buf_done(&any);
  sql_buf_done(&which);
}

/* ---------------------------------------------------------------- the answer */

struct native {
  const uint8_t *p, *end;
};

static bool get_varint(struct native *n, uint64_t *ret)
{
  *ret = 0;
  for (int shift = 0; n->p < n->end && shift < 63; shift += 7) {
    *ret |= (uint64_t)(*n->p & 127) << shift;
    if (!(*n->p++ & 128))
      return true;
  }
  return false;
}

static bool get_bytes(struct native *n, uint64_t len, const uint8_t **ret)
{
  *ret = n->p;
  if (len > (uint64_t)(n->end - n->p))
    return false;
  n->p += len;
  return true;
}

/* Name and type, as they are expected. */
static bool get_name(struct native *n, const char *want)
{
  const uint8_t *p;
  uint64_t len;
  return get_varint(n, &len) && get_bytes(n, len, &p) &&
         (!want || (strlen(want) == len && !memcmp(p, want, len)));
}

static bool get_column(struct native *n, const struct ch_column *c, int64_t rows,
                       struct ch_found_column *ret)
{
  uint64_t len, count = (uint64_t)rows;
  const uint8_t *skipped;
  if (!get_name(n, NULL) || !get_name(n, c->wire) ||
      (c->type.nullable && !get_bytes(n, count, &ret->nulls)))
    return false;
  ret->data = n->p;
  if (c->type.kind != CH_STRING && !get_bytes(n, count * (uint64_t)c->type.width, &skipped))
    return false;
  for (uint64_t i = 0; i < count && c->type.kind == CH_STRING; i++)
    if (!get_varint(n, &len) || !get_bytes(n, len, &skipped))
      return false;
  ret->len = (size_t)(n->p - ret->data);
  return true;
}

/* One block. which: room for its rows. */
static bool get_block(struct native *n, const struct ch_sink *s, struct ch_found_column *column,
                      const uint8_t **ret_which, int64_t *ret_rows)
{
  uint64_t columns, rows;
  if (!get_varint(n, &columns) || !get_varint(n, &rows) || rows > CH_FOUND_ROWS + 1)
    return false;
  *ret_rows = (int64_t)rows;
  for (int i = 0; i < s->n_nodes; i++) {
    const struct ch_column *c = &s->column[s->node_column[i]];
    column[i] = (struct ch_found_column){0};
    if (ch_lookup_keeps(s, i) && ch_lookup_copies(&c->type) &&
        !get_column(n, c, *ret_rows, &column[i]))
      return false;
  }
  return get_name(n, WHICH) && get_name(n, "UInt32") && get_bytes(n, 4 * rows, ret_which);
}

/* Counts the rows, and gives them to each() where it is not NULL. */
static int walk(const struct ch_sink *s, const struct sql_buf *body, ch_found_fn *each, void *out,
                int64_t *ret_rows, struct mr_error *err)
{
  struct native n = {body->p, body->p + body->len};
  struct ch_found_column *column = calloc((size_t)s->n_nodes, sizeof *column);
  int status = column ? MR_OK : ch_no_memory(err);
  *ret_rows = 0;
  while (status >= 0 && n.p < n.end) {
    const uint8_t *which;
    struct ch_found f = {.column = column};
    if (!get_block(&n, s, column, &which, &f.rows)) {
      status = src_fail(err, MR_RETRY, "", "the rows of %s%s that were asked for cannot be read",
                        s->shown, s->where);
      break;
    }
    *ret_rows += f.rows;
    uint32_t *aligned = each ? malloc((size_t)f.rows * 4 + 1) : NULL;
    if (each && !aligned)
      status = ch_no_memory(err);
    if (aligned)
      memcpy(aligned, which, (size_t)f.rows * 4);
    f.which = aligned;
    if (status >= 0 && each && f.rows)
      status = each(out, &f, err);
    free(aligned);
  }
  free(column);
  return status;
}

static int ask(const struct ch_deletes *d, const char *sql, struct ch_answer *ret,
               struct mr_error *err)
{
  struct ch_sink *s = d->s;
  struct ch_request r = {.what = "SELECT of what is deleted",
                         .settings = "&wait_end_of_query=1&optimize_move_to_prewhere=0",
                         .body = sql,
                         .len = strlen(sql),
                         .timeout_ms = s->conf->statement_timeout_ms,
                         .binary = true};
  int status = ch_http(s, &r, ret, err);
  if (status < 0 || status == MR_MORE)
    return status;
  if (ret->http == 200 && !ret->code)
    return MR_OK;
  status = ch_refused(s, ret, r.what, err);
  sql_buf_done(&ret->body);
  return status;
}

/* One query; MR_MORE: its answer is too long. */
static int look(const struct ch_deletes *d, int64_t from, int64_t *to, ch_found_fn *each, void *out,
                struct mr_error *err)
{
  struct sql_buf sql = {0};
  struct ch_answer a;
  int64_t rows = 0;
  put_query(&sql, d, from, to);
  int status = sql.failed ? ch_no_memory(err) : ask(d, sql_buf_text(&sql), &a, err);
  sql_buf_done(&sql);
  if (status != MR_OK)
    return status;
  status = walk(d->s, &a.body, NULL, NULL, &rows, err);
  if (status >= 0 && rows > CH_FOUND_ROWS)
    status = MR_MORE;
  if (status == MR_OK)
    status = walk(d->s, &a.body, each, out, &rows, err);
  sql_buf_done(&a.body);
  return status;
}

int ch_lookup(const struct ch_deletes *d, int64_t from, int64_t to, ch_found_fn *each, void *out,
              struct mr_error *err)
{
  int64_t most = to - from, end;
  int status = MR_OK;
  while (from < to && status == MR_OK) {
    end = to - from < most ? to : from + most;
    status = look(d, from, &end, each, out, err);
    if (status == MR_MORE && end - from > 1) {
      most = (end - from) / 2;
      status = MR_OK;
      continue;
    }
    from = status == MR_OK ? end : from;
  }
  if (status == MR_MORE)
    err->row = from;
  return status;
}
