/* SPDX-License-Identifier: Apache-2.0 */
/* A unit is one Native block: columns grow as batches come, seal gives the block, send inserts it.
 */
#include "clickhouse.h"

#define CODE_VIOLATED 469     /* VIOLATED_CONSTRAINT */
#define ROWS_OF_BATCH_BITS 20 /* a version is a position, and a number below it for the row */

int ch_start(void *self, struct mr_error *err)
{
  struct ch_sink *s = self;
  int status = ch_server_learn(s, err);
  if (status >= 0 && s->in.release && !s->learned)
    status = ch_target_learn(s, err);
  else if (status >= 0 && !s->engine.engine) /* a kept block may be sent before columns are known */
    status = ch_server_window(s, err);
  return status == MR_REJECT ? MR_FATAL : status;
}

int64_t ch_window(void *self)
{
  const struct ch_sink *s = self;
  return s->exactly_once ? s->engine.window_seconds * 1000 : 0;
}

static void clear(struct ch_sink *s)
{
  for (int i = 0; i < s->n_nodes; i++)
    ch_node_clear(&s->node[i]);
  for (int i = 0; i < s->n_written; i++)
    free(s->written[i].dead);
  ch_ranges_clear(s);
  s->n_written = 0;
  s->rows = 0;
}

int ch_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct ch_sink *s = self;
  int status = ch_start(s, err);
  clear(s);
  return status;
}

int ch_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  clear(self);
  return MR_OK;
}

/* ---------------------------------------------------------------- rows */

struct refusals {
  struct ch_sink *s;
  const struct mr_batch *b;
  int status;
};

static void on_bad(void *out, int64_t row, const char *code, const char *msg, const char *column)
{
  struct refusals *r = out;
  struct ch_sink *s = r->s;
  int at = column && strcmp(code, "23502") ? ch_column_find(s, column) : -1;
  if (at >= 0 && s->column[at].source >= 0)
    msg = evo_message(&s->words, msg, s->column[at].shown,
                      r->b->schema->children[s->column[at].source]);
  struct mr_reject reject = {.size = sizeof reject,
                             .lane = r->b->lane,
                             .batch = r->b,
                             .batch_id = r->b->id,
                             .row = row,
                             .code = code,
                             .msg = msg,
                             .column = column};
  int status = r->s->host->reject(r->s->host->ctx, &reject);
  if (status < 0)
    r->status = status;
}

static bool is_delete(const struct mr_view *op, int64_t i)
{
  int64_t len;
  if (mr_view_null(op, i))
    return false;
  const char *p = mr_view_bytes(op, i, &len);
  return len == 6 && !memcmp(p, "delete", 6);
}

/* A bit for each row that is a delete; NULL: the table has no place for it, or there is no _op. */
static bool find_deletes(struct ch_sink *s, const struct mr_batch *b, struct ch_batch *work)
{
  struct mr_view op;
  int64_t bytes = b->rows.length / 8 + 1;
  if (s->conf->mode != MODE_UPSERT || s->op_source < 0)
    return true;
  if (!mr_buf_reserve(&s->deleted, &s->deleted_cap, 0, bytes))
    return false;
  memset(s->deleted, 0, (size_t)bytes);
  mr_view_column(&op, b->schema, &b->rows, s->op_source);
  work->deleted = s->deleted;
  for (int64_t i = 0; i < b->rows.length && op.kind == MR_K_TEXT; i++) {
    bool is = is_delete(&op, i);
    mr_bit_set(s->deleted, i, is);
    if (is && s->deleted_node < 0)
      ch_bad(work, NULL, i, "0A000",
             "the table has no column that could say that a row is deleted");
  }
  return true;
}

/* Versions grow with the position, and from row to row; where rows are read again, they go back. */
static int first_version(struct ch_sink *s, const struct mr_batch *b, struct mr_error *err)
{
  if (s->version_node < 0)
    return MR_OK;
  uint64_t at = mr_position_get(&b->upto);
  if (b->upto.len != 8 || at >> (64 - ROWS_OF_BATCH_BITS))
    return src_badconf(err, "version",
                       "this source's positions are no numbers that a version of "
                       "a row could be made of: name a column with `version`");
  uint64_t least = at << ROWS_OF_BATCH_BITS;
  if (s->version_lane != b->lane || least > s->version || at < s->version_at)
    s->version = least;
  s->version_at = at;
  s->version_lane = b->lane;
  return MR_OK;
}

void ch_put_made(struct ch_sink *s, int64_t from, int64_t to, const struct ch_batch *work)
{
  for (int64_t i = from; i < to && s->version_node >= 0; i++) {
    s->version++;
    sql_buf_bytes(&s->node[s->version_node].data, &s->version, 8);
  }
  for (int64_t i = from; i < to && s->deleted_node >= 0; i++)
    sql_buf_byte(&s->node[s->deleted_node].data, work->deleted && mr_bit_get(work->deleted, i));
}

void ch_put_rows(struct ch_sink *s, const struct mr_batch *b, int64_t from, int64_t to,
                 struct ch_batch *work)
{
  for (int i = 0; i < s->n_nodes; i++) {
    const struct ch_column *c = &s->column[s->node_column[i]];
    struct mr_view v;
    if (i == s->version_node || i == s->deleted_node)
      continue;
    mr_view_column(&v, b->schema, &b->rows, c->source);
    work->column = c->name;
    work->is_key = c->is_key;
    ch_node_put(work, &s->node[i], &v, from, to, NULL);
  }
}

/* All rows at once; when some were refused, again without them. Gives the rows that went in. */
static int64_t put_rows(struct ch_sink *s, const struct mr_batch *b, struct ch_batch *work)
{
  int64_t n = b->rows.length, from = 0, rows = 0;
  ch_put_rows(s, b, 0, n, work);
  if (!work->n_dead) {
    ch_put_made(s, 0, n, work);
    return n;
  }
  for (int i = 0; i < s->n_nodes; i++)
    ch_node_back(&s->node[i]);
  while (from < n) {
    int64_t to = from;
    while (to < n && !mr_bit_get(work->dead, to))
      to++;
    ch_put_rows(s, b, from, to, work);
    ch_put_made(s, from, to, work);
    rows += to - from;
    from = to + 1;
  }
  return rows;
}

bool ch_remember(struct ch_sink *s, struct ch_written *w)
{
  if (s->n_written == s->cap_written) {
    int cap = s->cap_written ? 2 * s->cap_written : 64;
    struct ch_written *grown = realloc(s->written, (size_t)cap * sizeof *grown);
    if (!grown)
      return false;
    s->written = grown;
    s->cap_written = cap;
  }
  w->first = s->rows;
  s->rows += w->rows;
  s->written[s->n_written++] = *w;
  return true;
}

static bool remember_batch(struct ch_sink *s, const struct mr_batch *b, const struct ch_batch *work,
                           int64_t rows)
{
  size_t bytes = (size_t)b->rows.length / 8 + 1;
  struct ch_written w = {.batch = b->id, .rows = rows};
  if (work->n_dead && !(w.dead = malloc(bytes)))
    return false;
  if (w.dead)
    memcpy(w.dead, work->dead, bytes);
  bool ok = ch_remember(s, &w);
  if (!ok)
    free(w.dead);
  return ok;
}

/* The batch and row that a row of the block is. */
static bool find_row(const struct ch_sink *s, int64_t at, struct mr_error *err)
{
  for (int i = 0; i < s->n_written; i++) {
    const struct ch_written *w = &s->written[i];
    int64_t k = at - w->first, row = 0;
    if (k < 0 || k >= w->rows)
      continue;
    for (; w->dead && (k > 0 || mr_bit_get(w->dead, row)); row++)
      k -= !mr_bit_get(w->dead, row);
    err->batch = w->batch;
    err->row = w->dead ? row : w->from + (w->marks ? 0 : k);
    return true;
  }
  return false;
}

/* The batch goes in, or nothing of it: the caller takes the nodes back. */
static int put_batch(struct ch_sink *s, const struct mr_batch *b, struct ch_batch *work,
                     const struct refusals *r, struct mr_error *err)
{
  int64_t before = s->rows;
  int n_written = s->n_written, n_lent = s->n_lent, status = MR_OK;
  bool ranges = ch_ranges_in(s, b);
  int64_t rows = ranges ? 0 : put_rows(s, b, work);
  if (ranges)
    status = ch_ranges_put(s, b, work, err);
  bool ok = true;
  for (int i = 0; i < s->n_nodes; i++)
    ok = ok && !ch_node_failed(&s->node[i]);
  if (ok && status >= 0 && r->status < 0)
    status = src_fail(err, r->status, "", "a rejected row");
  if (ok && status >= 0 && !ranges)
    ok = remember_batch(s, b, work, rows);
  if (ok && status >= 0 && s->range_source >= 0)
    ok = ch_ranges_lend(s, b, work->n_dead ? work->dead : NULL);
  if (ok && status >= 0)
    return MR_OK;
  s->rows = before;
  while (s->n_written > n_written)
    free(s->written[--s->n_written].dead);
  while (s->n_lent > n_lent)
    free(s->lent[--s->n_lent].dead);
  return status < 0 ? status : ch_no_memory(err);
}

int ch_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct ch_sink *s = self;
  struct refusals r = {.s = s, .b = b};
  struct ch_batch work = {.defaults = s->conf->nulls == NULLS_DEFAULT, .bad = on_bad, .out = &r};
  int64_t bytes = b->rows.length / 8 + 1;
  if (!b->rows.length)
    return MR_OK;
  int status = s->learned ? first_version(s, b, err) : ch_target_learn(s, err);
  if (status < 0)
    return status;
  if (!mr_buf_reserve(&s->dead, &s->dead_cap, 0, bytes))
    return ch_no_memory(err);
  memset(s->dead, 0, (size_t)bytes);
  work.dead = s->dead;
  for (int i = 0; i < s->n_nodes; i++)
    ch_node_mark(&s->node[i]);
  if (!find_deletes(s, b, &work))
    return ch_no_memory(err);
  status = put_batch(s, b, &work, &r, err);
  for (int i = 0; i < s->n_nodes && status < 0; i++)
    ch_node_back(&s->node[i]);
  return status;
}

/* ---------------------------------------------------------------- the block */

/* The columns may be others than at the unit's begin: an old server would misread the block. */
int ch_seal(void *self, const struct mr_unit *u, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct ch_sink *s = self;
  struct sql_buf before = {0}, now = {0};
  uint64_t after = 0;
  ch_block_columns(s, &before);
  int status = s->rows ? ch_target_compare(s, err) : MR_OK;
  ch_block_columns(s, &now);
  if (status >= 0 && strcmp(sql_buf_text(&before), sql_buf_text(&now))) {
    status = src_fail(err, MR_RETRY, "53", "the columns of %s have changed", s->shown);
    err->unit_lost = true;
  }
  sql_buf_done(&before);
  sql_buf_done(&now);
  if (status >= 0 && s->rows && s->exactly_once)
    status = ch_server_newest(s, &after, err);
  if (status >= 0)
    status = ch_block_write(s, after, put, out, err);
  return status < 0 ? status : s->exactly_once ? MR_OK : MR_IDLE;
}

/* Old servers take bytes of another type for what they are not. */
static int check_columns(struct ch_sink *s, const struct ch_block *b, struct mr_error *err)
{
  struct sql_buf now = {0};
  if (s->server.major >= 23 || !s->learned)
    return MR_OK;
  ch_block_columns(s, &now);
  bool same = !strcmp(sql_buf_text(&now), b->columns);
  sql_buf_done(&now);
  return same ? MR_OK
              : src_fail(err, MR_FATAL, "53",
                         "a block was sealed for other columns than %s%s has now, "
                         "and this server (%s) would misread it",
                         s->shown, s->where, s->server.version);
}

/* "Constraint `c` for table … is violated at row 3.": it alone, and nothing of the block landed. */
static int violated(struct ch_sink *s, const struct ch_block *b, struct mr_error *err)
{
  static const char words[] = "violated at row ";
  const char *p = strstr(err->msg, words);
  int64_t row = 0;
  for (p = p ? p + sizeof words - 1 : ""; *p >= '0' && *p <= '9' && row < INT32_MAX; p++)
    row = 10 * row + (*p - '0');
  bool mine = !memcmp(s->sealed, b->nonce, sizeof s->sealed);
  return mine && row > 0 && find_row(s, row - 1, err) ? MR_REJECT : MR_FATAL;
}

/* A block that may have landed is sent again only while the table surely knows its token: until
 * half of the blocks that it remembers have come since. A part that is its own counts, too. */
static int check_window(struct ch_sink *s, const struct ch_block *b, struct mr_error *err)
{
  bool fresh = !s->sent && !memcmp(s->sealed, b->nonce, sizeof s->sealed);
  uint64_t newest = 0, most = (uint64_t)(s->engine.window - s->engine.window / 2);
  if (!s->exactly_once || fresh)
    return MR_OK;
  int status = ch_server_newest(s, &newest, err);
  if (status < 0 || newest <= b->after || newest - b->after <= most)
    return status;
  return src_fail(err, MR_FENCED, "",
                  "%llu blocks have come into %s%s since a block was sealed "
                  "that may be among them; it remembers %lld",
                  (unsigned long long)(newest - b->after), s->shown, s->where,
                  (long long)s->engine.window);
}

/* The answer to an INSERT is empty; what else came is an error, or not from this server. */
static int insert(struct ch_sink *s, const struct ch_block *b, const char *settings,
                  struct mr_error *err)
{
  struct ch_answer a;
  struct ch_request r = {.query = b->query,
                         .settings = settings,
                         .what = "INSERT",
                         .body = b->body,
                         .len = b->len,
                         .timeout_ms = s->conf->insert_timeout_ms,
                         .go_on = true,
                         .once = true};
  s->sent = true;
  int status = ch_http(s, &r, &a, err);
  if (status < 0)
    return status;
  if (a.http != 200 || a.code || a.body.len)
    status = ch_refused(s, &a, "INSERT", err);
  if (a.code == CODE_VIOLATED)
    status = violated(s, b, err);
  sql_buf_done(&a.body);
  return status == MR_BADCONF ? MR_FATAL : status;
}

int ch_send(void *self, const char *token, const void *block, size_t len, struct mr_error *err)
{
  struct ch_sink *s = self;
  struct ch_block b;
  struct sql_buf settings = {0};
  int status = ch_server_learn(s, err);
  if (status < 0)
    return status;
  status = ch_block_read(block, len, &b, err);
  if (status >= 0)
    status = check_columns(s, &b, err);
  if (status >= 0 && b.rows)
    status = check_window(s, &b, err);
  sql_buf_str(&settings, s->server.insert_settings);
  if (s->server.token)
    sql_buf_fmt(&settings, "&insert_deduplication_token=%s-%s", token, b.nonce);
  if (b.compressed)
    sql_buf_str(&settings, "&decompress=1");
  if (status >= 0 && b.rows)
    status = insert(s, &b, sql_buf_text(&settings), err);
  sql_buf_done(&settings);
  ch_block_done(&b);
  return status;
}
