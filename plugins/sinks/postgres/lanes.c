/* SPDX-License-Identifier: Apache-2.0 */
/* millrace_offsets: how far each lane is, in the same database and the same transactions as the
 * rows.
 *
 * A lane row changes only by UPDATE … WHERE owner = mine AND position = from, and each such
 * statement must count exactly one row. It is made by found() alone, so a row that has vanished is
 * an error and never a fresh start. */
#include "common/hex.h"
#include "postgres.h"

#define LANES_AT_ONCE 200         /* statements in one query string */
#define LANES_BYTES (1024 * 1024) /* of saved state in one query string, one lane's aside */

static const char columns_sql[] = "lane, position, owner, rows_total, last_run, last_from, state";

/* %s: the type of positions. */
static const char create_sql[] =
    "CREATE TABLE IF NOT EXISTS %s (pipeline %s NOT NULL, sink %s NOT NULL, source %s NOT NULL,"
    " lane %s NOT NULL, position %s NOT NULL, owner bigint NOT NULL, rows_total bigint NOT NULL,"
    " last_run bigint NOT NULL, last_from %s NOT NULL,"
    " updated_at timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, state %s,"
    " PRIMARY KEY (pipeline, sink, source, lane))";

static int try_read(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  PGresult *res = NULL;
  sql_buf_fmt(&sql, "SELECT %s FROM %s WHERE 1 = 0", columns_sql, s->offsets_name);
  int status = pg_query(s, sql_buf_text(&sql), "SELECT from millrace_offsets", &res, err);
  if (status >= 0)
    s->text_positions = PQftype(res, 1) != PG_BYTEA;
  PQclear(res);
  sql_buf_done(&sql);
  return status;
}

/* Two instances that create it at once: one of them gets a unique violation, and finds the table a
 * moment later. */
static int create_offsets(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  const char *text = s->genuine ? "text" : "varchar(300)";
  const char *bytes = s->genuine ? "bytea" : "varchar(200)";
  sql_buf_fmt(&sql, create_sql, s->offsets_name, text, text, text, text, bytes, bytes,
              s->genuine ? "bytea" : "text");
  int status = pg_run(s, sql_buf_text(&sql), "CREATE TABLE millrace_offsets",
                      s->conf->statement_timeout_ms, PG_GIVE_UP, NULL, NULL, err);
  sql_buf_done(&sql);
  return status < 0 && pg_made_meanwhile(err) ? MR_OK : status;
}

/* A table of before it had this column. */
static int add_state(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  if (!s->conf->create_offsets) {
    snprintf(err->option, sizeof err->option, "create_offsets");
    return src_fail(err, MR_BADCONF, "42703",
                    "table millrace_offsets has no column `state` (bytea)%s, and create_offsets is "
                    "false",
                    s->where);
  }
  sql_buf_fmt(&sql, "ALTER TABLE %s ADD COLUMN IF NOT EXISTS state bytea", s->offsets_name);
  int status = pg_run(s, sql_buf_text(&sql), "ALTER TABLE millrace_offsets",
                      s->conf->statement_timeout_ms, PG_GIVE_UP, NULL, NULL, err);
  sql_buf_done(&sql);
  return status < 0 ? status : try_read(s, err);
}

int pg_lanes_prepare(struct pg_sink *s, struct mr_error *err)
{
  int status = try_read(s, err);
  if (status < 0 && s->pg && s->genuine && !strcmp(err->code, "42703"))
    return add_state(s, err);
  bool absent = status < 0 && s->pg && status != MR_RETRY;
  if (absent && s->genuine && strcmp(err->code, "42P01"))
    return status;
  if (absent && !s->conf->create_offsets) {
    snprintf(err->option, sizeof err->option, "create_offsets");
    return src_fail(err, MR_BADCONF, "42P01",
                    "table millrace_offsets does not exist%s, and create_offsets is false",
                    s->where);
  }
  if (absent)
    status = create_offsets(s, err);
  return absent && status >= 0 ? try_read(s, err) : status;
}

/* " WHERE pipeline = … AND sink = … AND source = …" */
static void where_source(struct pg_sink *s, struct sql_buf *sql, const char *source)
{
  sql_buf_str(sql, " WHERE pipeline = ");
  pg_literal(s, sql, s->pipeline);
  sql_buf_str(sql, " AND sink = ");
  pg_literal(s, sql, s->stage);
  sql_buf_str(sql, " AND source = ");
  pg_literal(s, sql, source);
}

static void where_lane(struct pg_sink *s, struct sql_buf *sql, const struct mr_mark *m)
{
  where_source(s, sql, m->source);
  sql_buf_str(sql, " AND lane = ");
  pg_literal(s, sql, m->name);
}

static uint64_t number(const PGresult *res, int row, int column)
{
  return strtoull(PQgetvalue(res, row, column), NULL, 10);
}

/* Why a lane did not count: the owner, the position, or no row. */
static int miss(struct pg_sink *s, const struct mr_mark *m, struct mr_error *err)
{
  struct sql_buf sql = {0};
  PGresult *res = NULL;
  sql_buf_fmt(&sql, "SELECT owner FROM %s", s->offsets_name);
  where_lane(s, &sql, m);
  int status = pg_query(s, sql_buf_text(&sql), "SELECT from millrace_offsets", &res, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  bool gone = PQntuples(res) == 0;
  uint64_t owner = gone ? 0 : number(res, 0, 0);
  PQclear(res);
  if (gone)
    return src_fail(err, MR_FATAL, "vanished",
                    "lane %s of %s has no row in millrace_offsets any more%s", m->name, m->source,
                    s->where);
  if (owner != m->owner)
    return src_fail(err, MR_FENCED, "owner",
                    "lane %s of %s was taken over: owner %llu, mine %llu%s", m->name, m->source,
                    (unsigned long long)owner, (unsigned long long)m->owner, s->where);
  return src_fail(err, MR_FENCED, "position", "lane %s of %s is not where this unit began%s",
                  m->name, m->source, s->where);
}

/* ---------------------------------------------------------------- take */

static void where_lanes(struct pg_sink *s, struct sql_buf *sql, const char *source,
                        const char *const *name, size_t n)
{
  where_source(s, sql, source);
  sql_buf_str(sql, " AND lane IN (");
  for (size_t i = 0; i < n; i++) {
    sql_buf_str(sql, i ? ", " : "");
    pg_literal(s, sql, name[i]);
  }
  sql_buf_byte(sql, ')');
}

/* *ret_own: the bytes, malloc'd. false: unreadable. */
static bool state_at(struct pg_sink *s, const PGresult *res, int row, void **ret_own,
                     struct mr_mark *ret)
{
  const char *text = PQgetvalue(res, row, 6);
  size_t n = strlen(text);
  if (PQgetisnull(res, row, 6) || !n)
    return true;
  if (!(*ret_own = malloc(n)))
    return false;
  ret->state = *ret_own;
  if (s->text_positions) {
    ret->state_len = hex_read(text, *ret_own, n / 2);
    return ret->state_len != SIZE_MAX;
  }
  unsigned char *p = PQunescapeBytea((const unsigned char *)text, &ret->state_len);
  if (p)
    memcpy(*ret_own, p, ret->state_len);
  PQfreemem(p);
  return p != NULL;
}

static int give_lanes(struct pg_sink *s, const PGresult *res, const char *source, mr_mark_fn *mark,
                      void *out, struct mr_error *err)
{
  for (int i = 0; i < PQntuples(res); i++) {
    struct mr_mark m = {.source = source, .name = PQgetvalue(res, i, 0)};
    void *state = NULL;
    if (!pg_position(s, res, i, 1, &m.upto) || !pg_position(s, res, i, 5, &m.from) ||
        !state_at(s, res, i, &state, &m)) {
      free(state);
      return src_fail(err, MR_FATAL, "", "millrace_offsets: lane %.100s has an unreadable row%s",
                      m.name, s->where);
    }
    m.owner = number(res, i, 2);
    m.rows = number(res, i, 3);
    m.run = number(res, i, 4);
    mark(out, &m);
    free(state);
  }
  return MR_OK;
}

/* Servers without UPDATE … RETURNING: the same in a transaction, the update's lock first. */
static int take_in_two(struct pg_sink *s, const char *where, PGresult **ret, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int64_t timeout = s->conf->statement_timeout_ms;
  int status = pg_run(s, "BEGIN", "BEGIN", timeout, PG_GIVE_UP, NULL, NULL, err);
  sql_buf_fmt(&sql, "UPDATE %s SET owner = owner + 1%s", s->offsets_name, where);
  if (status >= 0)
    status = pg_run(s, sql_buf_text(&sql), "UPDATE millrace_offsets", timeout, PG_GIVE_UP, NULL,
                    NULL, err);
  sql_buf_clear(&sql);
  sql_buf_fmt(&sql, "SELECT %s FROM %s%s", columns_sql, s->offsets_name, where);
  if (status >= 0)
    status = pg_query(s, sql_buf_text(&sql), "SELECT from millrace_offsets", ret, err);
  if (status >= 0)
    status = pg_run(s, "COMMIT", "COMMIT", timeout, PG_GIVE_UP, NULL, NULL, err);
  else if (s->pg)
    pg_run(s, "ROLLBACK", "ROLLBACK", timeout, PG_GIVE_UP, NULL, NULL,
           &(struct mr_error){.size = sizeof(struct mr_error)});
  sql_buf_done(&sql);
  return status;
}

int pg_take(void *self, const char *source, const char *const *lane_name, size_t n,
            mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct pg_sink *s = self;
  struct sql_buf sql = {0}, where = {0};
  PGresult *res = NULL;
  int status = pg_connect(s, err);
  if (status < 0 || n == 0)
    return status;
  where_lanes(s, &where, source, lane_name, n);
  sql_buf_fmt(&sql, "UPDATE %s SET owner = owner + 1%s RETURNING %s", s->offsets_name,
              sql_buf_text(&where), columns_sql);
  if (s->genuine)
    status = pg_query(s, sql_buf_text(&sql), "UPDATE millrace_offsets", &res, err);
  else
    status = take_in_two(s, sql_buf_text(&where), &res, err);
  if (status >= 0)
    status = give_lanes(s, res, source, mark, out, err);
  PQclear(res);
  sql_buf_done(&sql);
  sql_buf_done(&where);
  return status;
}

/* ---------------------------------------------------------------- reread */

static int simple(struct pg_sink *s, const char *sql, const char *what, struct mr_error *err)
{
  return pg_run(s, sql, what, s->conf->statement_timeout_ms, PG_GO_ON, NULL, NULL, err);
}

static void give_up_transaction(struct pg_sink *s)
{
  struct mr_error ignored = {.size = sizeof ignored};
  if (s->pg)
    simple(s, "ROLLBACK", "ROLLBACK", &ignored);
}

static void count_answer(void *ctx, PGresult *res)
{
  *(bool *)ctx = !strcmp(PQcmdTuples(res), "1");
}

/* Raises one lane's owner where it is the mark's, and reads the row. */
static int raise_lane(struct pg_sink *s, const struct mr_mark *m, PGresult **ret,
                      struct mr_error *err)
{
  struct sql_buf sql = {0}, where = {0};
  bool mine = false;
  where_lane(s, &where, m);
  sql_buf_fmt(&sql, "UPDATE %s SET owner = owner + 1%s AND owner = %llu", s->offsets_name,
              sql_buf_text(&where), (unsigned long long)m->owner);
  int status = pg_run(s, sql_buf_text(&sql), "UPDATE millrace_offsets",
                      s->conf->statement_timeout_ms, PG_GIVE_UP, count_answer, &mine, err);
  if (status >= 0 && !mine)
    status = miss(s, m, err);
  sql_buf_clear(&sql);
  sql_buf_fmt(&sql, "SELECT %s FROM %s%s", columns_sql, s->offsets_name, sql_buf_text(&where));
  if (status >= 0)
    status = pg_query(s, sql_buf_text(&sql), "SELECT from millrace_offsets", ret, err);
  sql_buf_done(&sql);
  sql_buf_done(&where);
  return status;
}

/* All lanes in one transaction: their rows are given only when every owner is raised and that is
 * durable. */
int pg_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
              struct mr_error *err)
{
  struct pg_sink *s = self;
  PGresult **row = calloc(u->n + 1, sizeof *row);
  int status = row ? pg_connect(s, err) : pg_no_memory(err);
  if (status >= 0)
    status = simple(s, "BEGIN", "BEGIN", err);
  for (uint32_t i = 0; status >= 0 && i < u->n; i++)
    status = raise_lane(s, &u->mark[i], &row[i], err);
  if (status >= 0)
    status = simple(s, "COMMIT", "COMMIT", err);
  else
    give_up_transaction(s);
  for (uint32_t i = 0; status >= 0 && i < u->n; i++)
    status = give_lanes(s, row[i], u->mark[i].source, mark, out, err);
  for (uint32_t i = 0; row && i < u->n; i++)
    PQclear(row[i]);
  free(row);
  return status;
}

/* ---------------------------------------------------------------- found */

static void insert_sql(struct pg_sink *s, struct sql_buf *sql, const struct mr_mark *m)
{
  const char *const names[] = {s->pipeline, s->stage, m->source, m->name};
  sql_buf_fmt(sql,
              "INSERT INTO %s (pipeline, sink, source, lane, position, owner, rows_total, last_run,"
              " last_from) VALUES (",
              s->offsets_name);
  for (int i = 0; i < 4; i++) {
    pg_literal(s, sql, names[i]);
    sql_buf_str(sql, ", ");
  }
  pg_hex_literal(s, sql, &m->upto);
  sql_buf_str(sql, ", 1, 0, 0, ");
  pg_hex_literal(s, sql, &m->upto);
  sql_buf_byte(sql, ')');
}

/* All or none; outside any unit. */
int pg_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err)
{
  struct pg_sink *s = self;
  struct sql_buf sql = {0};
  int status = pg_connect(s, err);
  if (status >= 0)
    status = simple(s, "BEGIN", "BEGIN", err);
  for (size_t i = 0; status >= 0 && i < n; i++) {
    sql_buf_clear(&sql);
    insert_sql(s, &sql, &lend[i]);
    status = simple(s, sql_buf_text(&sql), "INSERT INTO millrace_offsets", err);
  }
  sql_buf_done(&sql);
  if (status >= 0)
    status = simple(s, "COMMIT", "COMMIT", err);
  else
    give_up_transaction(s);
  if (status == MR_REJECT && !strcmp(err->code, "23505"))
    status = MR_FENCED; /* the row is there: another process was first, or our own lost answer */
  else if (status == MR_REJECT)
    status = MR_FATAL;
  return status;
}

/* ---------------------------------------------------------------- compare and set */

static void set_sql(struct pg_sink *s, struct sql_buf *sql, const struct mr_mark *m, uint64_t run)
{
  sql_buf_fmt(sql, "UPDATE %s SET position = ", s->offsets_name);
  pg_hex_literal(s, sql, &m->upto);
  sql_buf_fmt(sql, ", rows_total = rows_total + %llu, last_run = %llu, last_from = ",
              (unsigned long long)m->rows, (unsigned long long)(m->run ? m->run : run));
  pg_hex_literal(s, sql, &m->from);
  sql_buf_str(sql, ", state = ");
  if (m->state_len)
    pg_hex_bytes(s, sql, m->state, m->state_len);
  else
    sql_buf_str(sql, "NULL");
  sql_buf_str(sql, ", updated_at = CURRENT_TIMESTAMP");
  where_lane(s, sql, m);
  sql_buf_fmt(sql, " AND owner = %llu AND position = ", (unsigned long long)m->owner);
  pg_hex_literal(s, sql, &m->from);
}

struct counts {
  const struct mr_mark *mark, *missed; /* mark: of the next answer */
};

static void count_row(void *ctx, PGresult *res)
{
  struct counts *c = ctx;
  if (strcmp(PQcmdTuples(res), "1") && !c->missed)
    c->missed = c->mark;
  c->mark++;
}

static int set_some(struct pg_sink *s, const struct mr_unit *u, uint32_t from, uint32_t to,
                    const struct mr_mark **ret_missed, struct mr_error *err)
{
  struct sql_buf sql = {0};
  struct counts c = {.mark = &u->mark[from]};
  for (uint32_t i = from; i < to; i++) {
    sql_buf_str(&sql, i > from ? "; " : "");
    set_sql(s, &sql, &u->mark[i], u->run);
  }
  int status = pg_run(s, sql_buf_text(&sql), "UPDATE millrace_offsets", s->conf->commit_timeout_ms,
                      PG_GO_ON, count_row, &c, err);
  sql_buf_done(&sql);
  if (status >= 0 && !c.missed && c.mark != &u->mark[to])
    c.missed = &u->mark[from]; /* fewer answers than statements */
  *ret_missed = c.missed;
  return status;
}

/* Lanes from `from` on that go into one query string: to the one that is given. */
static uint32_t some_lanes(const struct pg_sink *s, const struct mr_unit *u, uint32_t from)
{
  uint32_t step = s->multi ? LANES_AT_ONCE : 1, to = from;
  size_t bytes = 0;
  do
    bytes += u->mark[to++].state_len;
  while (to < u->n && to - from < step && bytes + u->mark[to].state_len <= LANES_BYTES);
  return to;
}

int pg_lanes_set(struct pg_sink *s, const struct mr_unit *u, struct mr_error *err)
{
  for (uint32_t i = 0, to; i < u->n; i = to) {
    const struct mr_mark *missed = NULL;
    to = some_lanes(s, u, i);
    int status = set_some(s, u, i, to, &missed, err);
    if (status < 0)
      return status == MR_REJECT ? MR_FATAL : status;
    if (missed)
      return miss(s, missed, err);
  }
  return MR_OK;
}

/* ---------------------------------------------------------------- trying the promise */

#define PROBE "_millrace_probe" /* a lane that is never kept */

struct probe_count {
  const char *want;
  bool ok;
};

static void see_count(void *ctx, PGresult *res)
{
  struct probe_count *c = ctx;
  c->ok = !strcmp(PQcmdTuples(res), c->want);
}

typedef void statement_fn(struct pg_sink *s, struct sql_buf *sql, const struct mr_mark *m);

static void update_sql(struct pg_sink *s, struct sql_buf *sql, const struct mr_mark *m)
{
  set_sql(s, sql, m, 1);
}

static bool changes(struct pg_sink *s, statement_fn *make, const struct mr_mark *m,
                    const char *want)
{
  struct mr_error ignored = {.size = sizeof ignored};
  struct sql_buf sql = {0};
  struct probe_count c = {want, false};
  make(s, &sql, m);
  int status = pg_run(s, sql_buf_text(&sql), "probe", s->conf->statement_timeout_ms, PG_GIVE_UP,
                      see_count, &c, &ignored);
  sql_buf_done(&sql);
  return status >= 0 && c.ok;
}

/* The compare-and-set counts rows as it should, inside a transaction. */
static bool counts_right(struct pg_sink *s)
{
  struct mr_position p = mr_position_u64(0), other = mr_position_u64(1);
  struct mr_mark m = {.source = "", .name = PROBE, .upto = p, .from = p, .owner = 1};
  struct mr_mark wrong_owner = m, wrong_position = m;
  wrong_owner.owner = 2;
  wrong_position.from = other;
  return changes(s, insert_sql, &m, "1") && changes(s, update_sql, &m, "1") &&
         changes(s, update_sql, &wrong_owner, "0") && changes(s, update_sql, &wrong_position, "0");
}

/* PostgreSQL says COMMIT; others say it in other words. */
static int learn_tag(struct pg_sink *s, struct mr_error *err)
{
  int status =
      pg_run(s, "BEGIN", "BEGIN", s->conf->statement_timeout_ms, PG_GIVE_UP, NULL, NULL, err);
  return status < 0 ? status : pg_commit_tag(s, s->commit_tag, err);
}

/* Exactly once rests on two things that a server may only pretend to do: ROLLBACK, and the row
 * counts of UPDATE. */
int pg_lanes_probe(struct pg_sink *s, struct mr_error *err)
{
  struct mr_error ignored = {.size = sizeof ignored};
  struct sql_buf sql = {0};
  PGresult *res = NULL;
  int64_t timeout = s->conf->statement_timeout_ms;
  int status = pg_run(s, "BEGIN", "BEGIN", timeout, PG_GIVE_UP, NULL, NULL, err);
  if (status < 0)
    return status;
  bool counts = counts_right(s);
  if (s->pg)
    pg_run(s, "ROLLBACK", "ROLLBACK", timeout, PG_GIVE_UP, NULL, NULL, &ignored);
  sql_buf_fmt(&sql, "SELECT owner FROM %s WHERE lane = '" PROBE "'", s->offsets_name);
  status = pg_query(s, sql_buf_text(&sql), "SELECT from millrace_offsets", &res, err);
  sql_buf_done(&sql);
  bool rolled_back = status >= 0 && PQntuples(res) == 0;
  PQclear(res);
  if (status >= 0 && !(counts && rolled_back))
    status = src_fail(
        err, MR_FATAL, "0A000", "this server cannot keep the promise of exactly once: %s%s",
        rolled_back ? "the row counts of UPDATE are wrong" : "ROLLBACK keeps the rows", s->where);
  return status < 0 ? status : learn_tag(s, err);
}
