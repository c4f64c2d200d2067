/* SPDX-License-Identifier: Apache-2.0 */
/* millrace_offsets: how far each lane is, in the same database and the same transactions as the
 * rows.
 *
 * A lane row changes only by UPDATE … WHERE owner = mine AND position = from, and each such
 * statement must count exactly one row: the connection asks for rows found (CLIENT_FOUND_ROWS),
 * because an update that changes nothing would count none. A row is made by found() alone, so one
 * that has vanished is an error and never a fresh start. Names are compared byte by byte. */
#include "mysql-sink.h"

#define LANES_AT_ONCE 200         /* statements in one query string */
#define LANES_BYTES (1024 * 1024) /* of saved state in one query string, one lane's aside */

static const char columns_sql[] = "lane, position, owner, rows_total, last_run, last_from, state";

static const char create_sql[] =
    "CREATE TABLE IF NOT EXISTS %s (pipeline varbinary(255) NOT NULL, sink varbinary(255) NOT NULL,"
    " source varbinary(255) NOT NULL, lane varbinary(2048) NOT NULL, position varbinary(64) NOT"
    " NULL, owner bigint unsigned NOT NULL, rows_total bigint unsigned NOT NULL,"
    " last_run bigint unsigned NOT NULL, last_from varbinary(64) NOT NULL,"
    " updated_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), state longblob,"
    " PRIMARY KEY (pipeline, sink, source, lane)) ENGINE=InnoDB ROW_FORMAT=DYNAMIC";

static int simple(struct my_sink *s, const char *sql, const char *what, struct mr_error *err)
{
  return maria_exec(&s->conn, sql, what, MARIA_GO_ON, err);
}

/* A connection that breaks in a transaction is remembered: its session may hold lane rows. */
static int start_transaction(struct my_sink *s, struct mr_error *err)
{
  s->conn.in_tx = true;
  return simple(s, "START TRANSACTION", "START TRANSACTION", err);
}

/* COMMIT after a good status, else ROLLBACK. */
static int end_transaction(struct my_sink *s, int status, struct mr_error *err)
{
  struct mr_error ignored = {.size = sizeof ignored};
  if (status >= 0)
    status = simple(s, "COMMIT", "COMMIT", err);
  if (status < 0 && s->conn.db && simple(s, "ROLLBACK", "ROLLBACK", &ignored) < 0)
    maria_close(&s->conn);
  s->conn.in_tx = false;
  return status;
}

static int try_read(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  MYSQL_RES *res = NULL;
  sql_buf_fmt(&sql, "SELECT %s FROM %s LIMIT 0", columns_sql, s->offsets_name);
  int status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from millrace_offsets", &res, err);
  sql_buf_done(&sql);
  if (status >= 0)
    mysql_free_result(res);
  return status;
}

int my_lanes_prepare(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = try_read(s, err);
  bool old = status < 0 && !strcmp(err->code, "42S22"); /* of before it had the column state */
  if (status >= 0 || (!old && strcmp(err->code, "42S02")))
    return status;
  if (!s->conf->create_offsets && old) {
    snprintf(err->option, sizeof err->option, "create_offsets");
    return src_fail(err, MR_BADCONF, "42S22",
                    "table millrace_offsets has no column `state` (longblob)%s, and create_offsets "
                    "is false",
                    s->conn.where);
  }
  if (!s->conf->create_offsets) {
    snprintf(err->option, sizeof err->option, "create_offsets");
    return src_fail(err, MR_BADCONF, "42S02",
                    "table millrace_offsets does not exist%s, and create_offsets is false",
                    s->conn.where);
  }
  sql_buf_fmt(&sql, old ? "ALTER TABLE %s ADD COLUMN state longblob" : create_sql, s->offsets_name);
  status = simple(s, sql_buf_text(&sql),
                  old ? "ALTER TABLE millrace_offsets" : "CREATE TABLE millrace_offsets", err);
  sql_buf_done(&sql);
  return status < 0 ? status : try_read(s, err);
}

/* " WHERE pipeline = … AND sink = … AND source = …" */
static void where_source(struct my_sink *s, struct sql_buf *sql, const char *source)
{
  sql_buf_str(sql, " WHERE pipeline = ");
  maria_literal(sql, s->pipeline);
  sql_buf_str(sql, " AND sink = ");
  maria_literal(sql, s->stage);
  sql_buf_str(sql, " AND source = ");
  maria_literal(sql, source);
}

static void where_lane(struct my_sink *s, struct sql_buf *sql, const struct mr_mark *m)
{
  where_source(s, sql, m->source);
  sql_buf_str(sql, " AND lane = ");
  maria_literal(sql, m->name);
}

static void position(struct sql_buf *sql, const struct mr_position *p)
{
  maria_hex(sql, p->token, p->len);
}

/* Why a lane did not count: the owner, the position, or no row. Ends the transaction: what it sees
 * may be older than what was found. */
static int miss(struct my_sink *s, const struct mr_mark *m, struct mr_error *err)
{
  struct sql_buf sql = {0};
  MYSQL_RES *res = NULL;
  my_roll_back(s);
  sql_buf_fmt(&sql, "SELECT owner FROM %s", s->offsets_name);
  where_lane(s, &sql, m);
  int status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from millrace_offsets", &res, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  MYSQL_ROW row = mysql_fetch_row(res);
  bool gone = !row;
  uint64_t owner = gone ? 0 : strtoull(row[0], NULL, 10);
  mysql_free_result(res);
  if (gone)
    return src_fail(err, MR_FATAL, "vanished",
                    "lane %s of %s has no row in millrace_offsets any more%s", m->name, m->source,
                    s->conn.where);
  if (owner != m->owner)
    return src_fail(err, MR_FENCED, "owner",
                    "lane %s of %s was taken over: owner %llu, mine %llu%s", m->name, m->source,
                    (unsigned long long)owner, (unsigned long long)m->owner, s->conn.where);
  return src_fail(err, MR_FENCED, "position", "lane %s of %s is not where this unit began%s",
                  m->name, m->source, s->conn.where);
}

/* ---------------------------------------------------------------- take */

static bool read_position(const char *text, unsigned long n, struct mr_position *ret)
{
  memset(ret, 0, sizeof *ret);
  if (!text || n > sizeof ret->token)
    return false;
  memcpy(ret->token, text, n);
  ret->len = (uint16_t)n;
  return true;
}

static int give_lanes(struct my_sink *s, MYSQL_RES *res, const char *source, mr_mark_fn *mark,
                      void *out, struct mr_error *err)
{
  MYSQL_ROW row;
  mysql_data_seek(res, 0);
  while ((row = mysql_fetch_row(res))) {
    const unsigned long *n = mysql_fetch_lengths(res);
    struct mr_mark m = {.source = source, .name = row[0]};
    if (!read_position(row[1], n[1], &m.upto) || !read_position(row[5], n[5], &m.from))
      return src_fail(err, MR_FATAL, "",
                      "millrace_offsets: lane %.100s has an unreadable position%s", m.name,
                      s->conn.where);
    m.owner = strtoull(row[2], NULL, 10);
    m.rows = strtoull(row[3], NULL, 10);
    m.run = strtoull(row[4], NULL, 10);
    m.state = row[6];
    m.state_len = n[6];
    mark(out, &m);
  }
  return MR_OK;
}

/* In one transaction: the update waits for an old transaction's lock, then the rows are read. */
static int raise_owners(struct my_sink *s, const char *where, MYSQL_RES **ret, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = start_transaction(s, err);
  sql_buf_fmt(&sql, "UPDATE %s SET owner = owner + 1%s", s->offsets_name, where);
  if (status >= 0)
    status =
        maria_exec(&s->conn, sql_buf_text(&sql), "UPDATE millrace_offsets", MARIA_GIVE_UP, err);
  sql_buf_clear(&sql);
  sql_buf_fmt(&sql, "SELECT %s FROM %s%s FOR UPDATE", columns_sql, s->offsets_name, where);
  if (status >= 0)
    status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from millrace_offsets", ret, err);
  sql_buf_done(&sql);
  return status;
}

int my_take(void *self, const char *source, const char *const *lane_name, size_t n,
            mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct my_sink *s = self;
  struct sql_buf where = {0};
  MYSQL_RES *res = NULL;
  int status = maria_connect(&s->conn, err);
  if (status < 0 || n == 0)
    return status;
  where_source(s, &where, source);
  for (size_t i = 0; i < n; i++) {
    sql_buf_str(&where, i ? ", " : " AND lane IN (");
    maria_literal(&where, lane_name[i]);
  }
  sql_buf_byte(&where, ')');
  status = raise_owners(s, sql_buf_text(&where), &res, err);
  sql_buf_done(&where);
  status = end_transaction(s, status, err);
  if (status >= 0)
    status = give_lanes(s, res, source, mark, out, err);
  mysql_free_result(res);
  return status;
}

/* ---------------------------------------------------------------- reread */

static void count_one(void *ctx, MYSQL_RES *res, uint64_t changed)
{
  *(bool *)ctx = changed == 1;
}

/* Raises one lane's owner where it is the mark's, and reads the row. */
static int raise_lane(struct my_sink *s, const struct mr_mark *m, MYSQL_RES **ret,
                      struct mr_error *err)
{
  struct sql_buf sql = {0}, where = {0};
  bool mine = false;
  where_lane(s, &where, m);
  sql_buf_fmt(&sql, "UPDATE %s SET owner = owner + 1%s AND owner = %llu", s->offsets_name,
              sql_buf_text(&where), (unsigned long long)m->owner);
  int status =
      maria_run(&s->conn, sql_buf_text(&sql), sql.len, "UPDATE millrace_offsets",
                s->conf->server.statement_timeout_ms, MARIA_GIVE_UP, count_one, &mine, err);
  if (status >= 0 && !mine)
    status = miss(s, m, err);
  sql_buf_clear(&sql);
  sql_buf_fmt(&sql, "SELECT %s FROM %s%s FOR UPDATE", columns_sql, s->offsets_name,
              sql_buf_text(&where));
  if (status >= 0)
    status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from millrace_offsets", ret, err);
  sql_buf_done(&sql);
  sql_buf_done(&where);
  return status;
}

/* All lanes in one transaction: their rows are given only when every owner is raised and that is
 * durable. */
int my_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
              struct mr_error *err)
{
  struct my_sink *s = self;
  MYSQL_RES **row = calloc(u->n + 1, sizeof *row);
  int status = row ? maria_connect(&s->conn, err) : src_no_memory(err);
  if (status >= 0)
    status = start_transaction(s, err);
  for (uint32_t i = 0; status >= 0 && i < u->n; i++)
    status = raise_lane(s, &u->mark[i], &row[i], err);
  status = end_transaction(s, status, err);
  for (uint32_t i = 0; status >= 0 && i < u->n; i++)
    status = give_lanes(s, row[i], u->mark[i].source, mark, out, err);
  for (uint32_t i = 0; row && i < u->n; i++)
    mysql_free_result(row[i]);
  free(row);
  return status;
}

/* ---------------------------------------------------------------- found */

static void insert_sql(struct my_sink *s, struct sql_buf *sql, const struct mr_mark *m)
{
  const char *const names[] = {s->pipeline, s->stage, m->source, m->name};
  sql_buf_fmt(sql,
              "INSERT INTO %s (pipeline, sink, source, lane, position, owner, rows_total, last_run,"
              " last_from) VALUES (",
              s->offsets_name);
  for (int i = 0; i < 4; i++) {
    maria_literal(sql, names[i]);
    sql_buf_str(sql, ", ");
  }
  position(sql, &m->upto);
  sql_buf_str(sql, ", 1, 0, 0, ");
  position(sql, &m->upto);
  sql_buf_byte(sql, ')');
}

/* All or none; outside any unit. */
int my_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err)
{
  struct my_sink *s = self;
  struct sql_buf sql = {0};
  int status = maria_connect(&s->conn, err);
  if (status >= 0)
    status = start_transaction(s, err);
  for (size_t i = 0; status >= 0 && i < n; i++) {
    sql_buf_clear(&sql);
    insert_sql(s, &sql, &lend[i]);
    status = simple(s, sql_buf_text(&sql), "INSERT INTO millrace_offsets", err);
  }
  sql_buf_done(&sql);
  status = end_transaction(s, status, err);
  if (status == MR_REJECT && err->native == 1062)
    status = MR_FENCED; /* the row is there: another process was first, or our own lost answer */
  else if (status == MR_REJECT)
    status = MR_FATAL;
  return status;
}

/* ---------------------------------------------------------------- compare and set */

static void set_sql(struct my_sink *s, struct sql_buf *sql, const struct mr_mark *m, uint64_t run)
{
  sql_buf_fmt(sql, "UPDATE %s SET position = ", s->offsets_name);
  position(sql, &m->upto);
  sql_buf_fmt(sql, ", rows_total = rows_total + %llu, last_run = %llu, last_from = ",
              (unsigned long long)m->rows, (unsigned long long)(m->run ? m->run : run));
  position(sql, &m->from);
  sql_buf_str(sql, ", state = ");
  if (m->state_len)
    maria_hex(sql, m->state, m->state_len);
  else
    sql_buf_str(sql, "NULL");
  sql_buf_str(sql, ", updated_at = CURRENT_TIMESTAMP(6)");
  where_lane(s, sql, m);
  sql_buf_fmt(sql, " AND owner = %llu AND position = ", (unsigned long long)m->owner);
  position(sql, &m->from);
}

struct counts {
  const struct mr_mark *mark, *missed; /* mark: of the next answer */
};

static void count_row(void *ctx, MYSQL_RES *res, uint64_t changed)
{
  struct counts *c = ctx;
  if (changed != 1 && !c->missed)
    c->missed = c->mark;
  c->mark++;
}

static int set_some(struct my_sink *s, const struct mr_unit *u, uint32_t from, uint32_t to,
                    const struct mr_mark **ret_missed, struct mr_error *err)
{
  struct sql_buf sql = {0};
  struct counts c = {.mark = &u->mark[from]};
  for (uint32_t i = from; i < to; i++) {
    sql_buf_str(&sql, i > from ? "; " : "");
    set_sql(s, &sql, &u->mark[i], u->run);
  }
  int status = maria_run(&s->conn, sql_buf_text(&sql), sql.len, "UPDATE millrace_offsets",
                         s->conf->commit_timeout_ms, MARIA_GO_ON, count_row, &c, err);
  sql_buf_done(&sql);
  if (status >= 0 && !c.missed && c.mark != &u->mark[to])
    c.missed = &u->mark[from]; /* fewer answers than statements */
  *ret_missed = c.missed;
  return status;
}

/* Lanes from `from` on that go into one query string: to the one that is given. */
static uint32_t some_lanes(const struct mr_unit *u, uint32_t from)
{
  uint32_t to = from;
  size_t bytes = 0;
  do
    bytes += u->mark[to++].state_len;
  while (to < u->n && to - from < LANES_AT_ONCE && bytes + u->mark[to].state_len <= LANES_BYTES);
  return to;
}

int my_lanes_set(struct my_sink *s, const struct mr_unit *u, struct mr_error *err)
{
  for (uint32_t i = 0, to; i < u->n; i = to) {
    const struct mr_mark *missed = NULL;
    to = some_lanes(u, i);
    int status = set_some(s, u, i, to, &missed, err);
    if (status < 0)
      return status == MR_REJECT ? MR_FATAL : status;
    if (missed)
      return miss(s, missed, err);
  }
  return MR_OK;
}
