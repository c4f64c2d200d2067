/* SPDX-License-Identifier: Apache-2.0 */
/* `load: multi`: a unit is one transaction over two tables (StarRocks 4.0), the target and
 * millrace_offsets in the same database, so that rows and positions become visible together.
 *
 * StarRocks has no compare-and-set: one process at a time is what the state folder's lock gives,
 * and a session number in the offsets table lets a process see that it was followed by another.
 * Labels are made of session and unit number, both in that table: whoever comes next knows the one
 * label that its predecessor may have left open, and settles it before it reads a position. */
#include "common/sql-text.h"
#include "starrocks.h"

#define OFFSETS "millrace_offsets"
#define ID_BYTES 16
#define STILL_MS 200 /* until a label that is not visible yet is asked for again */
#define LANES_AT_ONCE 500

struct sr_lane {
  char *source, *name;
  uint64_t rows; /* total */
};

void sr_multi_done(struct sr_sink *s)
{
  for (size_t i = 0; i < s->n_lanes; i++) {
    free(s->lane[i].source);
    free(s->lane[i].name);
  }
  free(s->lane);
  s->lane = NULL;
  s->n_lanes = 0;
}

/* ---------------------------------------------------------------- rows of the offsets table */

static uint64_t fnv(uint64_t h, const char *const *part, size_t n)
{
  for (size_t i = 0; i < n; i++)
    for (const char *p = part[i];; p++) {
      h = (h ^ (uint8_t)*p) * 1099511628211u;
      if (!*p)
        break;
    }
  return h;
}

/* The key of a row: primary keys hold 128 bytes at most, and names may be longer. */
static void put_id(struct sr_sink *s, const char *source, const char *lane, struct sql_buf *out)
{
  const char *const part[] = {s->pipeline, s->stage, source, lane};
  uint64_t h[2] = {fnv(14695981039346656037u, part, 4), fnv(0x9e3779b97f4a7c15u, part, 4)};
  sql_text_hex(out, (const uint8_t *)h, ID_BYTES);
}

static void put_position(struct sql_buf *out, const struct mr_position *p)
{
  sql_text_hex(out, p->token, p->len);
}

static int digit(char c)
{
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_position(const char *text, struct mr_position *ret)
{
  size_t n = text ? strlen(text) : 1;
  memset(ret, 0, sizeof *ret);
  if (n % 2 || n / 2 > sizeof ret->token)
    return false;
  for (size_t i = 0; i < n; i += 2) {
    int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0)
      return false;
    ret->token[i / 2] = (uint8_t)(high << 4 | low);
  }
  ret->len = (uint16_t)(n / 2);
  return true;
}

static const char columns[] = "`id`,`pipeline`,`sink`,`source`,`lane`,`position`,`owner`,"
                              "`rows_total`,`last_run`,`last_from`";

struct row {
  const char *source, *lane;
  const struct mr_position *upto, *from;
  uint64_t owner, rows, run;
};

static void put_sql(struct sr_sink *s, const struct row *r, struct sql_buf *out)
{
  const char *const names[] = {s->pipeline, s->stage, r->source, r->lane};
  sql_buf_str(out, "('");
  put_id(s, r->source, r->lane, out);
  sql_buf_byte(out, '\'');
  for (int i = 0; i < 4; i++) {
    sql_buf_byte(out, ',');
    sr_sql_literal(out, names[i]);
  }
  sql_buf_str(out, ",'");
  put_position(out, r->upto);
  sql_buf_fmt(out, "',%llu,%llu,'%llu','", (unsigned long long)r->owner,
              (unsigned long long)r->rows, (unsigned long long)r->run);
  put_position(out, r->from);
  sql_buf_str(out, "')");
}

static void put_json(struct sr_sink *s, const struct row *r, struct sql_buf *out)
{
  static const char *const key[] = {"pipeline", "sink", "source", "lane"};
  const char *const names[] = {s->pipeline, s->stage, r->source, r->lane};
  sql_buf_str(out, out->len ? ",\n{\"id\":\"" : "[{\"id\":\"");
  put_id(s, r->source, r->lane, out);
  sql_buf_byte(out, '"');
  for (int i = 0; i < 4; i++) {
    sql_buf_fmt(out, ",\"%s\":", key[i]);
    sql_buf_json(out, names[i]);
  }
  sql_buf_str(out, ",\"position\":\"");
  put_position(out, r->upto);
  sql_buf_fmt(out, "\",\"owner\":%llu,\"rows_total\":%llu,\"last_run\":\"%llu\",\"last_from\":\"",
              (unsigned long long)r->owner, (unsigned long long)r->rows,
              (unsigned long long)r->run);
  put_position(out, r->from);
  sql_buf_str(out, "\",\"__op\":0}");
}

static void put_table(struct sr_sink *s, struct sql_buf *out)
{
  sr_sql_ident(out, s->database);
  sql_buf_str(out, ".`" OFFSETS "`");
}

static int insert(struct sr_sink *s, const struct row *row, size_t n, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_str(&sql, "INSERT INTO ");
  put_table(s, &sql);
  sql_buf_fmt(&sql, " (%s) VALUES ", columns);
  for (size_t i = 0; i < n; i++) {
    sql_buf_str(&sql, i ? ", " : "");
    put_sql(s, &row[i], &sql);
  }
  int status = sr_sql_query(s, sql_buf_text(&sql), "INSERT INTO " OFFSETS, NULL, err);
  sql_buf_done(&sql);
  return status == MR_BADCONF ? MR_FATAL : status;
}

static int make_table(struct sr_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_str(&sql, "CREATE TABLE IF NOT EXISTS ");
  put_table(s, &sql);
  sql_buf_str(&sql, " (`id` VARCHAR(32) NOT NULL, `pipeline` VARCHAR(1024) NULL, "
                    "`sink` VARCHAR(1024) NULL, `source` VARCHAR(1024) NULL, "
                    "`lane` VARCHAR(65533) NULL, `position` VARCHAR(128) NULL, "
                    "`owner` BIGINT NULL, `rows_total` BIGINT NULL, `last_run` VARCHAR(20) NULL, "
                    "`last_from` VARCHAR(128) NULL) PRIMARY KEY (`id`) DISTRIBUTED BY HASH (`id`)");
  if (s->conf->replicas > 0)
    sql_buf_fmt(&sql, " PROPERTIES (\"replication_num\" = \"%lld\")", (long long)s->conf->replicas);
  int status = sr_sql_query(s, sql_buf_text(&sql), "CREATE TABLE " OFFSETS, NULL, err);
  sql_buf_done(&sql);
  return status;
}

enum { C_SOURCE, C_LANE, C_POSITION, C_OWNER, C_ROWS, C_RUN, C_FROM };

static int select_rows(struct sr_sink *s, const struct mr_mark *const *mark, size_t n,
                       MYSQL_RES **ret, struct mr_error *err)
{
  struct sql_buf sql = {0};
  sql_buf_str(&sql, "SELECT `source`, `lane`, `position`, `owner`, `rows_total`, `last_run`, "
                    "`last_from` FROM ");
  put_table(s, &sql);
  sql_buf_str(&sql, " WHERE `id` IN (");
  for (size_t i = 0; i < n; i++) {
    sql_buf_str(&sql, i ? ", '" : "'");
    put_id(s, mark[i]->source, mark[i]->name, &sql);
    sql_buf_byte(&sql, '\'');
  }
  sql_buf_byte(&sql, ')');
  int status = sr_sql_query(s, sql_buf_text(&sql), "SELECT from " OFFSETS, ret, err);
  sql_buf_done(&sql);
  return status == MR_BADCONF ? MR_FATAL : status;
}

/* ---------------------------------------------------------------- totals */

static struct sr_lane *lane_of(struct sr_sink *s, const char *source, const char *name)
{
  for (size_t i = 0; i < s->n_lanes; i++)
    if (!strcmp(s->lane[i].name, name) && !strcmp(s->lane[i].source, source))
      return &s->lane[i];
  struct sr_lane *grown = realloc(s->lane, (s->n_lanes + 1) * sizeof *grown);
  struct sr_lane made = {strdup(source), strdup(name), 0};
  if (grown)
    s->lane = grown;
  if (!grown || !made.source || !made.name) {
    free(made.source);
    free(made.name);
    return NULL;
  }
  s->lane[s->n_lanes] = made;
  return &s->lane[s->n_lanes++];
}

static int give(struct sr_sink *s, MYSQL_RES *res, mr_mark_fn *mark, void *out,
                struct mr_error *err)
{
  MYSQL_ROW row;
  while ((row = mysql_fetch_row(res))) {
    struct mr_mark m = {.source = row[C_SOURCE] ? row[C_SOURCE] : "",
                        .name = row[C_LANE] ? row[C_LANE] : "",
                        .owner = s->session};
    if (!read_position(row[C_POSITION], &m.upto) || !read_position(row[C_FROM], &m.from))
      return src_fail(err, MR_FATAL, "", OFFSETS ": lane %.100s has an unreadable position%s",
                      m.name, s->where);
    m.rows = row[C_ROWS] ? strtoull(row[C_ROWS], NULL, 10) : 0;
    m.run = row[C_RUN] ? strtoull(row[C_RUN], NULL, 10) : 0;
    struct sr_lane *lane = lane_of(s, m.source, m.name);
    if (!lane)
      return src_no_memory(err);
    lane->rows = m.rows;
    mark(out, &m);
  }
  return MR_OK;
}

/* ---------------------------------------------------------------- sessions */

static const struct mr_mark session_mark = {.source = "", .name = ""};

static int read_session(struct sr_sink *s, uint64_t *ret_session, uint64_t *ret_unit,
                        struct mr_error *err)
{
  const struct mr_mark *mark = &session_mark;
  MYSQL_RES *res = NULL;
  int status = select_rows(s, &mark, 1, &res, err);
  MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
  *ret_session = row && row[C_OWNER] ? strtoull(row[C_OWNER], NULL, 10) : 0;
  *ret_unit = row && row[C_ROWS] ? strtoull(row[C_ROWS], NULL, 10) : 0;
  mysql_free_result(res);
  return status;
}

static void label_of(struct sr_sink *s, uint64_t session, uint64_t unit, char *ret, size_t size)
{
  struct sql_buf id = {0};
  put_id(s, "", "", &id);
  snprintf(ret, size, "millrace_%.16s_%llu_%llu", sql_buf_text(&id), (unsigned long long)session,
           (unsigned long long)unit);
  sql_buf_done(&id);
}

static struct row session_row(uint64_t session, uint64_t unit)
{
  static const struct mr_position none;
  return (struct row){
      .source = "", .lane = "", .upto = &none, .from = &none, .owner = session, .rows = unit};
}

/* MR_OK: the label is visible; MR_IDLE: it is not there, and nobody can commit it any more. */
static int settle(struct sr_sink *s, const char *label, struct mr_error *err)
{
  int state = sr_label_state(s, label, err);
  if (state == MR_RUNNING || state == MR_PREPARED) {
    int status = sr_label_rollback(s, label, err);
    if (status != MR_FATAL)
      return status < 0 ? status : MR_IDLE;
    state = sr_label_state(s, label, err); /* it was committed meanwhile */
  }
  if (state < 0)
    return state;
  if (state != MR_COMMITTED)
    return MR_IDLE;
  if (s->visible)
    return MR_OK;
  err->retry_ms = STILL_MS;
  return src_fail(err, MR_RETRY, "", "label %s is committed and not visible yet", label);
}

static int need_version(struct sr_sink *s, struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  int status = sr_sql_query(s, "SELECT current_version()", "SELECT current_version()", &res, err);
  MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
  long major = row && row[0] ? strtol(row[0], NULL, 10) : 0;
  if (status >= 0 && major < 4)
    status = src_badconf(err, "load",
                         "StarRocks %.40s%s has no transactions over several tables (4.0 has): say "
                         "load: transaction",
                         row && row[0] ? row[0] : "?", s->where);
  mysql_free_result(res);
  return status;
}

/* What the predecessor left is settled; then the session is ours. */
static int open_session(struct sr_sink *s, struct mr_error *err)
{
  uint64_t before, unit;
  char label[SR_LABEL_MAX + 1];
  if (s->session)
    return MR_OK;
  int status = sr_http_open(s, err);
  if (status >= 0)
    status = need_version(s, err);
  if (status >= 0)
    status = make_table(s, err);
  if (status >= 0)
    status = read_session(s, &before, &unit, err);
  if (status < 0)
    return status;
  label_of(s, before, unit + 1, label, sizeof label);
  status = settle(s, label, err);
  if (status < 0)
    return status;
  struct row row = session_row(before + 1, 0);
  status = insert(s, &row, 1, err);
  if (status < 0)
    return status;
  s->session = before + 1;
  s->unit = 0;
  return MR_OK;
}

/* Is the session still ours? */
static int check_session(struct sr_sink *s, struct mr_error *err)
{
  uint64_t session, unit;
  int status = read_session(s, &session, &unit, err);
  if (status >= 0 && session != s->session)
    return src_fail(err, MR_FENCED, "", "another process has taken over: session %llu, ours %llu%s",
                    (unsigned long long)session, (unsigned long long)s->session, s->where);
  if (status >= 0)
    s->unit = unit;
  return status;
}

/* ---------------------------------------------------------------- lanes */

int sr_multi_take(void *self, const char *source, const char *const *lane_name, size_t n,
                  mr_mark_fn *mark, void *out, struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = open_session(s, err);
  for (size_t from = 0; from < n && status >= 0; from += LANES_AT_ONCE) {
    size_t some = n - from < LANES_AT_ONCE ? n - from : LANES_AT_ONCE;
    struct mr_mark wanted[LANES_AT_ONCE];
    const struct mr_mark *each[LANES_AT_ONCE];
    MYSQL_RES *res = NULL;
    for (size_t i = 0; i < some; i++) {
      wanted[i] = (struct mr_mark){.source = source, .name = lane_name[from + i]};
      each[i] = &wanted[i];
    }
    status = select_rows(s, each, some, &res, err);
    if (status >= 0)
      status = give(s, res, mark, out, err);
    mysql_free_result(res);
  }
  return status;
}

/* A row that is there already is our own lost answer, or somebody else's. */
static int found_already(struct sr_sink *s, const struct mr_mark *m, bool *ret_there,
                         struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  struct mr_position at;
  int status = select_rows(s, &m, 1, &res, err);
  MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
  *ret_there = row;
  if (row && (!read_position(row[C_POSITION], &at) || mr_position_cmp(&at, &m->upto)))
    status = MR_FENCED;
  mysql_free_result(res);
  return status;
}

int sr_multi_found(void *self, const struct mr_mark *lend, size_t n, struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = open_session(s, err);
  for (size_t i = 0; i < n && status >= 0; i++) {
    bool there;
    struct row row = {.source = lend[i].source,
                      .lane = lend[i].name,
                      .upto = &lend[i].upto,
                      .from = &lend[i].upto,
                      .owner = s->session};
    status = found_already(s, &lend[i], &there, err);
    if (status >= 0 && !there)
      status = insert(s, &row, 1, err);
  }
  return status;
}

int sr_multi_reread(void *self, const struct mr_unit *u, mr_mark_fn *mark, void *out,
                    struct mr_error *err)
{
  struct sr_sink *s = self;
  const struct mr_mark **each = calloc(u->n + 1, sizeof *each);
  MYSQL_RES *res = NULL;
  int status = each ? sr_http_open(s, err) : src_no_memory(err);
  if (status >= 0 && *s->label)
    status = settle(s, s->label, err);
  if (status >= 0)
    status = check_session(s, err);
  for (uint32_t i = 0; i < u->n && each; i++)
    each[i] = &u->mark[i];
  if (status >= 0)
    status = select_rows(s, each, u->n, &res, err);
  if (status >= 0)
    status = give(s, res, mark, out, err);
  mysql_free_result(res);
  free(each);
  return status;
}

/* ---------------------------------------------------------------- units */

int sr_multi_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  struct mr_unit own = *u;
  char label[SR_LABEL_MAX + 1];
  int status = open_session(s, err);
  if (status < 0)
    return status;
  label_of(s, s->session, s->unit + 1, label, sizeof label);
  own.label = label;
  return sr_begin(s, &own, err);
}

int sr_multi_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  struct mr_unit own = *u;
  own.label = s->label;
  return sr_abort(s, &own, err);
}

/* The positions, as rows of the same transaction. */
static int load_positions(struct sr_sink *s, const struct mr_unit *u, struct mr_error *err)
{
  struct sql_buf body = {0};
  struct sr_reply reply;
  struct row session = session_row(s->session, s->unit + 1);
  put_json(s, &session, &body);
  for (uint32_t i = 0; i < u->n; i++) {
    const struct mr_mark *m = &u->mark[i];
    struct sr_lane *lane = lane_of(s, m->source, m->name);
    if (!lane) {
      sql_buf_done(&body);
      return src_no_memory(err);
    }
    struct row row = {.source = m->source,
                      .lane = m->name,
                      .upto = &m->upto,
                      .from = &m->from,
                      .owner = s->session,
                      .rows = lane->rows + m->rows,
                      .run = m->run ? m->run : u->run};
    put_json(s, &row, &body);
  }
  sql_buf_byte(&body, ']');
  int status = body.failed ? src_no_memory(err) : MR_OK;
  if (status >= 0 && sr_load_plain(s, s->label, OFFSETS, body.p, body.len, &reply, err) != SR_DONE)
    status = sr_status(s, &reply, "load of " OFFSETS, err);
  sql_buf_done(&body);
  return status == MR_REJECT ? MR_FATAL : status;
}

static int send_commit(struct sr_sink *s, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_reply reply;
  enum sr_verdict v = sr_step(s, STEP_COMMIT, s->label, &reply, err);
  bool rows = v == SR_FAILED && sr_blames_rows(&reply);
  int status = v == SR_DONE ? MR_OK : MR_UNSURE; /* the rows decide, whatever the answer was */
  if (rows)
    status = sr_rows_refused(s, sr_refused(s, &reply, "commit", err), err);
  sr_reply_done(&reply);
  if (status < 0)
    return status;
  s->unit++;
  for (uint32_t i = 0; i < u->n; i++) {
    struct sr_lane *lane = lane_of(s, u->mark[i].source, u->mark[i].name);
    if (lane)
      lane->rows += u->mark[i].rows;
  }
  s->begun = s->loaded = s->careful = false;
  s->unclassified = 0;
  return MR_OK;
}

int sr_multi_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sr_sink *s = self;
  int status = sr_send_rows(s, true, err);
  if (status >= 0)
    status = load_positions(s, u, err);
  if (status >= 0)
    status = check_session(s, err);
  if (status >= 0)
    return send_commit(s, u, err);
  err->unit_lost = true;
  return status;
}
