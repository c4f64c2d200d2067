/* SPDX-License-Identifier: Apache-2.0 */
/* The statement and its cursor. */
#include "common/sql-text.h"
#include "common/src-error.h"
#include "common/clock.h"
#include "postgres.h"

#define PAGE_ROWS 8192
#define ROW_BYTES_FIRST 512 /* what a row is taken to have before one was seen */

/* ---- types: OIDs of PostgreSQL's own types never change (src/include/catalog/pg_type.dat) */

static const struct {
  Oid type, array;
  const char *format, *extension;
} types[] = {{16, 1000, "b", NULL},
             {20, 1016, "l", NULL},
             {21, 1005, "s", NULL},
             {23, 1007, "i", NULL},
             {26, 1028, "I", NULL},
             {700, 1021, "f", NULL},
             {701, 1022, "g", NULL},
             {25, 1009, "u", NULL},
             {1043, 1015, "u", NULL},
             {1042, 1014, "u", NULL},
             {19, 1003, "u", NULL},
             {17, 1001, "z", NULL},
             {1082, 1182, "tdD", NULL},
             {1083, 1183, "ttu", NULL},
             {1114, 1115, "tsu:", NULL},
             {1184, 1185, "tsu:UTC", NULL},
             {2950, 2951, "w:16", "arrow.uuid"},
             {114, 199, "u", "arrow.json"},
             {3802, 3807, "u", "arrow.json"}};
#define NUMERIC 1700
#define NUMERIC_ARRAY 1231

/* numeric(p,s) of a modifier; one without, or with a scale that Arrow has not, is text: all its
 * digits stay. */
static bool numeric_format(int modifier, char *out, size_t size)
{
  int precision = ((modifier - 4) >> 16) & 0xffff, scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
  bool ok = modifier >= 4 && precision <= 38 && scale >= 0 && scale <= precision;
  snprintf(out, size, ok ? "d:%d,%d" : "u", precision, scale);
  return ok;
}

static bool single(const char *name, Oid type, int modifier, struct ArrowSchema *ret,
                   bool *ret_array)
{
  char format[24] = "u";
  const char *extension = NULL;
  *ret_array = type == NUMERIC_ARRAY;
  if (type == NUMERIC || type == NUMERIC_ARRAY)
    numeric_format(modifier, format, sizeof format);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (types[i].type == type || types[i].array == type) {
      snprintf(format, sizeof format, "%s", types[i].format);
      extension = types[i].extension;
      *ret_array = types[i].array == type;
    }
  return mr_schema_init(ret, name, format, true) &&
         (!extension || mr_schema_set_meta(ret, MR_META_EXTENSION, extension));
}

bool pg_add_column(struct ArrowSchema *columns, const char *name, Oid type, int modifier)
{
  struct ArrowSchema c, list;
  bool array, ok = single(name, type, modifier, &c, &array);
  if (ok && array) {
    ok = mr_schema_rename(&c, "item") && mr_schema_init(&list, name, "+l", true) &&
         mr_schema_add(&list, &c);
    if (ok)
      c = list;
    else
      mr_schema_release(&list);
  }
  ok = ok && mr_schema_add(columns, &c);
  if (!ok)
    mr_schema_release(&c);
  return ok;
}

static enum pg_key key_of(Oid type)
{
  switch (type) {
  case 20:
  case 21:
  case 23:
  case 26: return PG_KEY_INT;
  case 1082: return PG_KEY_DATE;
  case 1114: return PG_KEY_TIMESTAMP;
  case 1184: return PG_KEY_TIMESTAMPTZ;
  case 25:
  case 1043:
  case 2950: return PG_KEY_TEXT;
  default: return PG_KEY_NONE;
  }
}

/* ---- the statement */

static void from_text(const struct pg_source *s, struct sql_buf *sql)
{
  const struct qry_conf *q = &s->conf->query;
  struct sql_name name;
  const char *why;
  sql_buf_str(sql, " FROM ");
  if (q->table && sql_name_parse(q->table, PG_NAME_MAX, &name, &why)) {
    sql_name_quoted(sql, &name);
    sql_name_done(&name);
  } else if (!q->table) {
    sql_buf_fmt(sql, "(%s\n)", q->query); /* a comment at its end ends with the line */
  }
  sql_buf_str(sql, " AS millrace_q");
}

static void columns_text(const struct pg_source *s, struct sql_buf *sql)
{
  const struct qry_conf *q = &s->conf->query;
  for (int64_t i = 0; i < s->source.columns.n_children; i++) {
    if (i)
      sql_buf_str(sql, ", ");
    sql_ident(sql, s->source.columns.children[i]->name);
  }
  if (!q->incremental)
    return;
  sql_buf_str(sql, ", ");
  sql_ident(sql, q->incremental);
}

/* Texts are compared byte by byte, whatever the database's language is: so are positions. */
static void key_text(const struct pg_source *s, struct sql_buf *sql)
{
  sql_ident(sql, s->conf->query.incremental);
  if (s->key_type == PG_KEY_TEXT)
    sql_buf_str(sql, "::text COLLATE \"C\"");
}

static void select_text(const struct pg_source *s, const struct qry_mark *from, struct sql_buf *sql)
{
  sql_buf_str(sql, "DECLARE millrace_c NO SCROLL CURSOR FOR SELECT ");
  columns_text(s, sql);
  from_text(s, sql);
  if (!s->conf->query.incremental) {
    if (s->order)
      sql_buf_fmt(sql, " ORDER BY %s", s->order);
    return;
  }
  sql_buf_str(sql, " WHERE ");
  key_text(s, sql);
  sql_buf_str(sql, from->kind == QRY_START ? " IS NOT NULL ORDER BY " : " >= $1 ORDER BY ");
  key_text(s, sql);
}

static const char *parameter(const struct pg_source *s, const struct qry_mark *from,
                             struct sql_buf *b)
{
  if (from->kind == QRY_TEXT)
    return from->text;
  if (s->key_type == PG_KEY_DATE)
    sql_text_date(b, from->number);
  else if (s->key_type == PG_KEY_INT)
    sql_buf_fmt(b, "%lld", (long long)from->number);
  else
    sql_text_timestamp(b, from->number, ' ', s->key_type == PG_KEY_TIMESTAMPTZ ? "UTC" : "");
  return sql_buf_text(b);
}

/* ---- what the query gives */

static int result_index(const PGresult *res, const char *name)
{
  for (int i = 0; i < PQnfields(res); i++)
    if (!strcmp(PQfname(res, i), name))
      return i;
  return -1;
}

static int check_names(struct pg_source *s, const PGresult *res, struct mr_error *err)
{
  const struct qry_conf *q = &s->conf->query;
  for (int64_t i = 0; q->columns && i < q->columns->n_children; i++)
    if (result_index(res, q->columns->children[i]->name) < 0)
      return src_badconf(err, "columns", "the database has no column `%s` here%s",
                         q->columns->children[i]->name, s->where);
  if (!q->incremental)
    return MR_OK;
  int at = result_index(res, q->incremental);
  if (at < 0)
    return src_badconf(err, "incremental", "the database has no column `%s` here%s", q->incremental,
                       s->where);
  s->key_type = key_of(PQftype(res, at));
  if (s->key_type == PG_KEY_NONE)
    return src_badconf(err, "incremental",
                       "column `%s` is no integer, date, timestamp, text or uuid", q->incremental);
  return MR_OK;
}

static bool take_columns(const PGresult *res, struct ArrowSchema *give)
{
  struct ArrowSchema columns;
  bool ok = mr_schema_struct(&columns);
  for (int i = 0; ok && i < PQnfields(res); i++)
    ok = pg_add_column(&columns, PQfname(res, i), PQftype(res, i), PQfmod(res, i));
  if (ok)
    *give = columns;
  else
    mr_schema_release(&columns);
  return ok;
}

int pg_check_query(struct pg_source *s, struct ArrowSchema *give, struct mr_error *err)
{
  struct sql_buf sql = {0};
  PGresult *res = NULL;
  sql_buf_str(&sql, "SELECT *");
  from_text(s, &sql);
  sql_buf_str(&sql, " LIMIT 0");
  int rc = sql.failed ? src_no_memory(err) : pg_query(s, sql_buf_text(&sql), NULL, 0, &res, err);
  sql_buf_done(&sql);
  if (rc >= 0)
    rc = check_names(s, res, err);
  if (rc >= 0 && give && !take_columns(res, give))
    rc = src_no_memory(err);
  PQclear(res);
  return rc;
}

/* The table's primary key: in its order a table is read again as it was read before. */
static int learn_order(struct pg_source *s, struct mr_error *err)
{
  static const char sql[] =
      "SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.n) FROM pg_index i,"
      " unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, n), pg_attribute a"
      " WHERE i.indrelid = $1::regclass AND i.indisprimary AND a.attrelid = i.indrelid AND "
      "a.attnum = k.attnum";
  struct sql_buf name = {0};
  struct sql_name parsed;
  const char *why;
  PGresult *res = NULL;
  if (s->order || !s->conf->query.table || s->conf->query.incremental)
    return MR_OK;
  if (!sql_name_parse(s->conf->query.table, PG_NAME_MAX, &parsed, &why))
    return src_badconf(err, "table", "%s", why);
  sql_name_quoted(&name, &parsed);
  sql_name_done(&parsed);
  const char *param[] = {sql_buf_text(&name)};
  int rc = pg_query(s, sql, param, 1, &res, err);
  if (rc >= 0 && PQntuples(res) == 1 && !PQgetisnull(res, 0, 0))
    s->order = strdup(PQgetvalue(res, 0, 0));
  PQclear(res);
  sql_buf_done(&name);
  return rc;
}

/* ---- backend */

static int connect_(void *self, struct mr_error *err)
{
  struct pg_source *s = self;
  bool fresh = !s->pg || PQstatus(s->pg) != CONNECTION_OK;
  int rc = pg_connect(s, err);
  if (rc >= 0 && fresh)
    rc = pg_check_query(s, NULL, err); /* what is wrong with it is said at start */
  return rc < 0 ? rc : learn_order(s, err);
}

/* The lock of this transaction keeps the columns as they are until the query is over. */
static int begin_transaction(struct pg_source *s, struct mr_error *err)
{
  if (PQtransactionStatus(s->pg) == PQTRANS_INTRANS)
    return MR_OK;
  return pg_query(s, "BEGIN READ ONLY", NULL, 0, NULL, err);
}

static int describe(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  int rc = begin_transaction(self, err);
  return rc < 0 ? rc : pg_check_query(self, give, err);
}

static void end(void *self)
{
  struct pg_source *s = self;
  struct mr_error ignored = {.size = sizeof ignored};
  PQclear(s->page);
  s->page = NULL;
  if (s->fetching)
    pg_disconnect(s); /* an answer is on its way that nobody wants */
  else if (s->pg && PQtransactionStatus(s->pg) != PQTRANS_IDLE)
    pg_query(s, "ROLLBACK", NULL, 0, NULL, &ignored);
}

static int begin(void *self, const struct qry_mark *from, struct mr_error *err)
{
  struct pg_source *s = self;
  struct sql_buf sql = {0}, value = {0};
  s->over = s->fetching = false;
  s->at = 0;
  s->key = s->conf->query.incremental ? (int)s->source.columns.n_children : -1;
  select_text(s, from, &sql);
  bool bound = from->kind >= QRY_NUMBER;
  const char *param[] = {bound ? parameter(s, from, &value) : NULL};
  int rc = sql.failed || value.failed ? src_no_memory(err) : begin_transaction(s, err);
  if (rc >= 0)
    rc = pg_query(s, sql_buf_text(&sql), param, bound, NULL, err);
  sql_buf_done(&sql);
  sql_buf_done(&value);
  if (rc < 0)
    end(s);
  return rc;
}

/* So many rows that they have about the bytes that are wanted. */
static int64_t page_rows(const struct pg_source *s, int64_t most, int64_t bytes)
{
  int64_t fit = bytes / (s->row_bytes > 0 ? s->row_bytes : ROW_BYTES_FIRST) + 1;
  if (fit > most)
    fit = most;
  return fit < 1 ? 1 : fit > PAGE_ROWS ? PAGE_ROWS : fit;
}

static void measure(struct pg_source *s)
{
  int64_t bytes = 0;
  int rows = PQntuples(s->page), sample = rows < 64 ? rows : 64;
  for (int i = 0; i < sample; i++)
    for (int c = 0; c < PQnfields(s->page); c++)
      bytes += 8 + PQgetlength(s->page, i, c);
  if (sample)
    s->row_bytes = bytes / sample + 1;
}

static int fetch(struct pg_source *s, int64_t most, int64_t bytes, struct mr_error *err)
{
  char sql[64];
  int rc = MR_OK;
  PQclear(s->page);
  s->page = NULL;
  s->at = 0;
  if (!s->fetching) {
    s->asked = page_rows(s, most, bytes);
    snprintf(sql, sizeof sql, "FETCH %lld FROM millrace_c", (long long)s->asked);
    rc = pg_send(s, sql, err);
    s->fetching = rc >= 0;
    s->fetch_deadline = clock_now_ms() + s->conf->statement_timeout_ms;
  }
  if (rc >= 0)
    rc = pg_receive(s, s->read_until, s->fetch_deadline, &s->page, err);
  if (rc == MR_IDLE)
    return rc;
  s->fetching = false;
  if (rc == MR_OK)
    measure(s);
  return rc;
}

static int next(void *self, int64_t most, int64_t bytes, struct mr_error *err)
{
  struct pg_source *s = self;
  if (s->page && s->at + 1 < PQntuples(s->page)) {
    s->at++;
    return MR_OK;
  }
  if (s->over)
    return MR_END;
  int rc = fetch(s, most, bytes, err);
  if (rc != MR_OK)
    return rc;
  s->over = PQntuples(s->page) < s->asked; /* fewer than asked for: there are no more */
  return PQntuples(s->page) ? MR_OK : MR_END;
}

static int value(void *self, int64_t at, struct mr_column *c, const struct ArrowSchema *schema,
                 int64_t *ret_bytes, const char **ret_why)
{
  struct pg_source *s = self;
  int n = PQgetlength(s->page, s->at, (int)at);
  *ret_bytes += 8 + n;
  if (PQgetisnull(s->page, s->at, (int)at))
    return mr_column_null(c) ? MR_OK : MR_FATAL;
  return qry_value(c, schema, PQgetvalue(s->page, s->at, (int)at), n, ret_why);
}

static int bad_key(const struct pg_source *s, struct mr_error *err)
{
  return src_fail(
      err, MR_FATAL, "",
      "column `%s` has a value that cannot be a position (a text over %d bytes, or infinity)",
      s->conf->query.incremental, QRY_TEXT_MAX);
}

static int key(void *self, struct qry_mark *ret, struct mr_error *err)
{
  struct pg_source *s = self;
  const char *text = PQgetvalue(s->page, s->at, s->key);
  int n = PQgetlength(s->page, s->at, s->key);
  char *stop;
  *ret = (struct qry_mark){.kind = s->key_type == PG_KEY_TEXT ? QRY_TEXT : QRY_NUMBER};
  if (s->key_type == PG_KEY_TEXT) {
    if (n > QRY_TEXT_MAX)
      return bad_key(s, err);
    memcpy(ret->text, text, (size_t)n);
    return MR_OK;
  }
  if (s->key_type == PG_KEY_INT) {
    ret->number = strtoll(text, &stop, 10); /* the server wrote it */
    return *stop ? bad_key(s, err) : MR_OK;
  }
  if (!qry_timestamp(text, n, s->key_type == PG_KEY_TIMESTAMPTZ, &ret->number))
    return bad_key(s, err);
  if (s->key_type == PG_KEY_DATE)
    ret->number /= INT64_C(86400000000);
  return MR_OK;
}

const struct qry_backend pg_backend = {.connect = connect_,
                                       .describe = describe,
                                       .begin = begin,
                                       .next = next,
                                       .value = value,
                                       .key = key,
                                       .end = end};
