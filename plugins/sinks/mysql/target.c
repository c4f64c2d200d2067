/* SPDX-License-Identifier: Apache-2.0 */
/* What the target table looks like, and how the pipeline's columns go into it. */
#include "mysql-sink.h"
#include "millrace/changes.h"

int my_statement(struct my_sink *s, struct sql_buf *sql, const char *kind,
                 enum maria_patience patience, struct mr_error *err)
{
  char what[160];
  snprintf(what, sizeof what, "%s %s", kind, s->shown);
  int status = sql->failed ? src_no_memory(err)
                           : maria_exec(&s->conn, sql_buf_text(sql), what, patience, err);
  sql_buf_clear(sql);
  return status;
}

static void forget_plan(struct my_sink *s)
{
  free(s->field);
  free(s->field_column);
  free(s->types);
  s->field = NULL;
  s->field_column = NULL;
  s->types = NULL;
  s->n_fields = 0;
  my_range_forget(s);
}

void my_target_forget(struct my_sink *s)
{
  forget_plan(s);
  for (int i = 0; i < s->n_columns; i++) {
    struct my_column *c = &s->column[i];
    free(c->name);
    free(c->shown);
    free(c->collation);
    free(c->preset);
    free(c->comment);
  }
  free(s->column);
  s->column = NULL;
  s->n_columns = 0;
}

/* Names of columns are the same in upper and lower case. */
int my_column_find(const struct my_sink *s, const char *name)
{
  for (int i = 0; i < s->n_columns; i++)
    if (!strcasecmp(s->column[i].name, name))
      return i;
  return -1;
}

bool my_is_key(const struct my_sink *s, const char *name)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++)
    if (!strcasecmp(key[i], name))
      return true;
  return false;
}

void my_column_list(const struct my_sink *s, const char *prefix, struct sql_buf *out)
{
  for (int i = 0; i < s->n_fields; i++) {
    sql_buf_str(out, i ? ", " : "");
    if (prefix)
      sql_buf_fmt(out, "%s.", prefix);
    maria_ident(out, s->column[s->field_column[i]].name);
  }
}

/* ---------------------------------------------------------------- the catalog */

/* " WHERE TABLE_SCHEMA = … AND TABLE_NAME = …" */
static void where_table(const struct my_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, " WHERE TABLE_SCHEMA = ");
  if (s->table.schema)
    maria_literal(sql, s->table.schema);
  else
    sql_buf_str(sql, "DATABASE()");
  sql_buf_str(sql, " AND TABLE_NAME = ");
  maria_literal(sql, s->table.table);
}

static int no_table(struct my_sink *s, struct mr_error *err)
{
  snprintf(err->option, sizeof err->option, "table");
  return src_fail(err, MR_BADCONF, "42S02",
                  "table %s does not exist%s; create it, or say create: true", s->shown,
                  s->conn.where);
}

/* Exactly once needs a table that takes part in transactions. */
static int check_engine(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  MYSQL_RES *res = NULL;
  sql_buf_str(&sql, "SELECT TABLE_TYPE, ENGINE, (SELECT TRANSACTIONS FROM"
                    " information_schema.ENGINES e WHERE e.ENGINE = t.ENGINE) FROM"
                    " information_schema.TABLES t");
  where_table(s, &sql);
  int status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from the catalog", &res, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  MYSQL_ROW row = mysql_fetch_row(res);
  if (!row) {
    status = no_table(s, err);
  } else if (row[0] && strstr(row[0], "VIEW")) {
    snprintf(err->option, sizeof err->option, "table");
    status = src_fail(err, MR_BADCONF, "42809", "%s is a view%s: name its table", s->shown,
                      s->conn.where);
  } else if (!row[2] || strcasecmp(row[2], "YES")) {
    snprintf(err->option, sizeof err->option, "table");
    status = src_fail(err, MR_BADCONF, "0A000",
                      "table %s has the engine %s, which has no transactions: rows could not be"
                      " written exactly once%s",
                      s->shown, row[1] ? row[1] : "(none)", s->conn.where);
  }
  mysql_free_result(res);
  return status;
}

static int64_t number(const char *text)
{
  return text ? strtoll(text, NULL, 10) : -1;
}
static char *copy(const char *text)
{
  return text ? strdup(text) : NULL;
}

static const char columns_sql[] =
    "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT,"
    " CHARACTER_MAXIMUM_LENGTH, CHARACTER_OCTET_LENGTH, NUMERIC_PRECISION, NUMERIC_SCALE,"
    " DATETIME_PRECISION, COLLATION_NAME, EXTRA, COLUMN_COMMENT FROM information_schema.COLUMNS";

static bool add_column(struct my_sink *s, MYSQL_ROW row)
{
  struct my_column *c = &s->column[s->n_columns++];
  struct maria_catalog k = {row[1],         row[2],         number(row[5]), number(row[6]),
                            number(row[7]), number(row[8]), number(row[9])};
  const char *extra = row[11] ? row[11] : "";
  *c = (struct my_column){.name = copy(row[0]), .shown = copy(row[2]), .source = -1};
  maria_type_read(&k, &c->type);
  c->type.not_null = row[3] && !strcmp(row[3], "NO");
  c->preset = copy(row[4]);
  c->collation = copy(row[10]);
  c->comment = copy(row[12]);
  c->generated = strstr(extra, "VIRTUAL GENERATED") || strstr(extra, "STORED GENERATED") ||
                 strstr(extra, "PERSISTENT");
  c->counts = strstr(extra, "auto_increment") != NULL;
  c->has_default = c->preset || c->counts;
  return c->name && c->shown;
}

int my_target_columns(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  my_target_forget(s);
  int status = check_engine(s, err);
  sql_buf_str(&sql, columns_sql);
  where_table(s, &sql);
  sql_buf_str(&sql, " ORDER BY ORDINAL_POSITION");
  if (status >= 0)
    status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from the catalog", &res, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  s->column = calloc((size_t)mysql_num_rows(res) + 1, sizeof *s->column);
  bool ok = s->column != NULL;
  while (ok && (row = mysql_fetch_row(res)))
    ok = add_column(s, row);
  mysql_free_result(res);
  return ok ? MR_OK : src_no_memory(err);
}

/* ---------------------------------------------------------------- creating the table */

/* Text is told apart to the last byte, trailing blanks too: keys that differ stay different. Of a
 * server that nobody has asked: MariaDB's. */
static const char *exact_collation(const struct my_sink *s)
{
  return !s->conn.db || strstr(mysql_get_server_info(s->conn.db), "MariaDB") ? "utf8mb4_nopad_bin"
                                                                             : "utf8mb4_0900_bin";
}

static int column_ddl(struct my_sink *s, const struct ArrowSchema *c, struct sql_buf *sql,
                      struct mr_error *err)
{
  bool key = my_is_key(s, c->name);
  maria_ident(sql, c->name);
  sql_buf_byte(sql, ' ');
  if (!maria_type_ddl(c, key, sql))
    return src_fail(err, MR_BADCONF, "", "column %s has a type without a name in MariaDB", c->name);
  sql_buf_str(sql, key ? " NOT NULL" : " NULL");
  return MR_OK;
}

int my_target_ddl(struct my_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  int n = 0, status = MR_OK;
  sql_buf_fmt(sql, "CREATE TABLE IF NOT EXISTS %s (", s->target);
  for (int64_t i = 0; status >= 0 && i < s->in.n_children; i++) {
    if (mr_schema_is_system(s->in.children[i]))
      continue;
    sql_buf_str(sql, n++ ? ", " : "");
    status = column_ddl(s, s->in.children[i], sql, err);
  }
  sql_buf_str(sql, s->conf->version ? ", " UPS_WRITTEN " json NULL" : "");
  for (size_t i = 0; i < s->conf->key.n; i++) {
    sql_buf_str(sql, i ? ", " : ", PRIMARY KEY (");
    maria_ident(sql, key[i]);
  }
  sql_buf_fmt(sql, "%s) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE %s",
              s->conf->key.n ? ")" : "", exact_collation(s));
  return status;
}

static int create_table(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = my_target_ddl(s, &sql, err);
  if (status >= 0)
    status = my_statement(s, &sql, "CREATE TABLE", MARIA_GIVE_UP, err);
  sql_buf_done(&sql);
  if (status >= 0)
    src_log(s->conn.host, MR_INFO, "created table %s%s", s->shown, s->conn.where);
  return status;
}

/* ---------------------------------------------------------------- planning */

static bool wanted(const struct my_sink *s, const struct my_column *c)
{
  return c->source >= 0 && !mr_schema_is_system(s->in.children[c->source]);
}

static int check_unfilled(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf names = {0};
  for (int i = 0; i < s->n_columns; i++) {
    struct my_column *c = &s->column[i];
    if (c->type.not_null && !c->has_default && !c->generated && !wanted(s, c))
      sql_buf_fmt(&names, "%s%s", names.len ? ", " : "", c->name);
  }
  int status = MR_OK;
  if (names.len) {
    snprintf(err->option, sizeof err->option, "table");
    status = src_fail(err, MR_BADCONF, "23502",
                      "table %s: NOT NULL without a default, and nothing fills it: %.300s",
                      s->shown, sql_buf_text(&names));
  }
  sql_buf_done(&names);
  return status;
}

/* Links input and table; the input's columns that the table has not are counted, and named in
 * *missing. */
static int link_columns(struct my_sink *s, struct sql_buf *missing)
{
  int n = 0;
  s->op_source = s->set_source = s->range_source = -1;
  for (int i = 0; i < s->n_columns; i++)
    s->column[i].source = -1;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const char *name = s->in.children[i]->name;
    int at = my_column_find(s, name);
    if (!strcmp(name, "_op"))
      s->op_source = (int)i;
    else if (!strcmp(name, MR_SET))
      s->set_source = (int)i;
    else if (!strcmp(name, MR_RANGE))
      s->range_source = (int)i;
    else if (mr_schema_is_system(s->in.children[i]))
      continue;
    else if (at >= 0)
      s->column[at].source = (int32_t)i;
    else
      sql_buf_fmt(missing, "%s%s", n++ ? ", " : "", name);
  }
  return n;
}

/* The input's column has no way into the table's: its rows are refused, or the table is. */
static int no_way(struct my_sink *s, int column, const struct maria_type *type,
                  struct mr_error *err)
{
  const struct ArrowSchema *from = s->in.children[s->column[column].source];
  struct evo_table t = my_evolve_table(s);
  struct evo_column e;
  struct sql_buf brings = {0};
  my_evolve_column(s, column, &e);
  if (evo_refuses_rows(&t, &e, from, s->lenient)) {
    maria_field_unfit(from, type, &s->field[s->n_fields]);
    s->field_column[s->n_fields++] = column;
    return MR_OK;
  }
  evo_type_name(from, &brings);
  snprintf(err->option, sizeof err->option, "table");
  int status = src_fail(err, MR_BADCONF, "42804",
                        "column %s of %s has type %s and the pipeline brings %.100s: add a cast",
                        e.name, s->shown, e.type, sql_buf_text(&brings));
  sql_buf_done(&brings);
  return status;
}

static int plan_field(struct my_sink *s, int column, struct mr_error *err)
{
  struct my_column *c = &s->column[column];
  const struct ArrowSchema *from = s->in.children[c->source];
  struct maria_type type = c->type;
  if (c->generated) {
    snprintf(err->option, sizeof err->option, "table");
    return src_fail(err, MR_BADCONF, "428C9", "column %s of %s is generated: it cannot be written",
                    c->name, s->shown);
  }
  c->is_key = my_is_key(s, c->name);
  type.not_null |= c->is_key && s->conf->mode == MODE_UPSERT;
  if (!maria_field_plan(from, &type, &s->field[s->n_fields]))
    return no_way(s, column, &type, err);
  s->field_column[s->n_fields++] = column;
  return MR_OK;
}

static int plan_fields(struct my_sink *s, struct mr_error *err)
{
  forget_plan(s);
  s->field = calloc((size_t)s->n_columns + 1, sizeof *s->field);
  s->field_column = calloc((size_t)s->n_columns + 1, sizeof *s->field_column);
  if (!s->field || !s->field_column)
    return src_no_memory(err);
  for (int i = 0; i < s->n_columns; i++) {
    int status = s->column[i].source < 0 ? MR_OK : plan_field(s, i, err);
    if (status < 0)
      return status;
  }
  if (s->n_fields)
    return MR_OK;
  return src_fail(err, MR_BADCONF, "", "table %s has none of the pipeline's columns", s->shown);
}

/* ---- the key */

struct indexes {
  const char *name; /* of the index that is being read */
  size_t hits, columns;
  int others, matching;
  bool prefix;
};

static void end_index(const struct my_sink *s, struct indexes *x)
{
  bool is_key = x->hits == s->conf->key.n && x->columns == x->hits && !x->prefix;
  if (x->name && is_key)
    x->matching++;
  else if (x->name)
    x->others++;
  x->hits = x->columns = 0;
  x->prefix = false;
}

static void read_indexes(struct my_sink *s, MYSQL_RES *res, struct indexes *x)
{
  MYSQL_ROW row;
  while ((row = mysql_fetch_row(res))) {
    if (!x->name || strcmp(x->name, row[0]))
      end_index(s, x);
    x->name = row[0];
    x->columns++;
    x->hits += row[1] && my_is_key(s, row[1]);
    x->prefix |= row[2] != NULL;
  }
  end_index(s, x);
}

static int check_index(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  struct indexes x = {0};
  MYSQL_RES *res = NULL;
  sql_buf_str(&sql, "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS");
  where_table(s, &sql);
  sql_buf_str(&sql, " AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX");
  int status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT from the catalog", &res, err);
  sql_buf_done(&sql);
  if (status < 0)
    return status;
  read_indexes(s, res, &x);
  mysql_free_result(res);
  s->only_key = x.others == 0;
  if (x.matching)
    return MR_OK;
  snprintf(err->option, sizeof err->option, "key");
  return src_fail(err, MR_BADCONF, "42P10",
                  "mode upsert needs a primary key or unique index on exactly the key columns of"
                  " %s, in their whole length%s",
                  s->shown, s->conn.where);
}

static int check_key(struct my_sink *s, struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++) {
    int at = my_column_find(s, key[i]);
    if (at >= 0 && wanted(s, &s->column[at]))
      continue;
    snprintf(err->option, sizeof err->option, "key");
    return src_fail(err, MR_BADCONF, "", "key column %s is %s", key[i],
                    at < 0 ? "no column of the table" : "not among the pipeline's columns");
  }
  return check_index(s, err);
}

int my_target_plan(struct my_sink *s, struct mr_error *err)
{
  struct sql_buf missing = {0};
  int n = link_columns(s, &missing), status = MR_OK;
  if (n && s->lenient) {
    src_log(s->conn.host, MR_WARN, "columns that %s has not are left out (evolve: none): %s",
            s->shown, sql_buf_text(&missing));
  } else if (n && s->conf->evolve == EVOLVE_NONE) {
    snprintf(err->option, sizeof err->option, "table");
    status = src_fail(err, MR_BADCONF, "42S22",
                      "table %s has no column %.300s; add it, or say evolve: add", s->shown,
                      sql_buf_text(&missing));
  }
  sql_buf_done(&missing);
  s->partial = s->set_source >= 0 && s->conf->mode == MODE_UPSERT;
  if (status >= 0)
    status = check_unfilled(s, err);
  if (status >= 0)
    status = plan_fields(s, err);
  if (status >= 0 && s->conf->mode == MODE_UPSERT)
    status = check_key(s, err);
  if (status >= 0)
    status = my_version_plan(s, err);
  if (status >= 0)
    status = my_range_plan(s, err);
  s->logged = s->versioned || s->range_source >= 0;
  return status < 0 ? status : my_rows_plan(s, err);
}

int my_target_learn(struct my_sink *s, struct mr_error *err)
{
  int status = my_target_columns(s, err);
  if (status == MR_BADCONF && !strcmp(err->code, "42S02") && s->conf->create) {
    status = create_table(s, err);
    if (status >= 0)
      status = my_target_columns(s, err);
  }
  struct evo_table t = my_evolve_table(s);
  if (status >= 0)
    status = evo_follow(&t, NULL, &s->in, err);
  if (status >= 0)
    status = my_version_add(s, err);
  if (status >= 0)
    status = my_target_plan(s, err);
  if (status < 0)
    my_target_forget(s);
  s->learned = status >= 0;
  return status;
}
