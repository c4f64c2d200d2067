/* SPDX-License-Identifier: Apache-2.0 */
/* The target table: its columns, which of them the input fills, and making and widening it. */
#include "starrocks.h"

#define COLUMN_FACTS 6         /* that are asked of each column */
#define LABELS_MIN 10000       /* labels that should be kept; the server's default is 1000 */
#define LABEL_SECONDS 259200   /* the server's default, where it does not say */
#define LABEL_SECONDS_MIN 3600 /* and for how long */

void sr_target_forget(struct sr_sink *s)
{
  for (int i = 0; i < s->n_fields; i++)
    free(s->field[i].key);
  for (int i = 0; i < s->n_columns; i++) {
    free(s->column[i].name);
    free(s->column[i].shown);
  }
  free(s->field);
  free(s->column);
  free(s->columns_header);
  free(s->use); /* as long as the columns are many */
  s->use = NULL;
  s->field = NULL;
  s->column = NULL;
  s->columns_header = NULL;
  s->n_fields = s->n_columns = 0;
  s->learned = false;
}

int sr_target_find(const struct sr_sink *s, const char *name)
{
  for (int i = 0; i < s->n_columns; i++)
    if (!strcasecmp(s->column[i].name, name))
      return i;
  return -1;
}

bool sr_in_key(const struct sr_sink *s, const char *name)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++)
    if (!strcasecmp(key[i], name))
      return true;
  return false;
}

/* ---------------------------------------------------------------- reading */

static void where_table(struct sr_sink *s, struct sql_buf *sql)
{
  sql_buf_str(sql, " WHERE TABLE_SCHEMA = ");
  sr_sql_literal(sql, s->database);
  sql_buf_str(sql, " AND TABLE_NAME = ");
  sr_sql_literal(sql, s->table);
}

static bool add_column(struct sr_sink *s, MYSQL_ROW row)
{
  struct sr_column *grown = realloc(s->column, (size_t)(s->n_columns + 1) * sizeof *grown);
  if (!grown)
    return false;
  s->column = grown;
  struct sr_column *c = &grown[s->n_columns];
  *c = (struct sr_column){.name = strdup(row[0] ? row[0] : ""),
                          .shown = strdup(row[1] ? row[1] : ""),
                          .nullable = row[2] && !strcasecmp(row[2], "YES"),
                          .has_default = row[3] != NULL,
                          .is_key = row[4] && !strcasecmp(row[4], "PRI"),
                          .generated = row[5] && *row[5],
                          .source = -1};
  s->n_columns++;
  if (!c->name || !c->shown)
    return false;
  sr_type_parse(c->shown, c);
  return true;
}

static int read_model(struct sr_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  MYSQL_RES *res = NULL;
  sql_buf_str(&sql, "SELECT TABLE_MODEL FROM information_schema.tables_config");
  where_table(s, &sql);
  int status = sr_sql_query(s, sql_buf_text(&sql), "SELECT", &res, err);
  sql_buf_done(&sql);
  MYSQL_ROW row = res ? mysql_fetch_row(res) : NULL;
  const char *model = row && row[0] ? row[0] : "";
  s->model = !strncmp(model, "PRIMARY", 7)     ? MODEL_PRIMARY
             : !strncmp(model, "UNIQUE", 6)    ? MODEL_UNIQUE
             : !strncmp(model, "AGGREGATE", 9) ? MODEL_AGGREGATE
                                               : MODEL_DUPLICATE;
  mysql_free_result(res);
  return status;
}

static int no_table(struct sr_sink *s, struct mr_error *err)
{
  snprintf(err->option, sizeof err->option, "table");
  return src_fail(err, MR_BADCONF, "42S02",
                  "table %s does not exist%s; create it, or say create: true", s->shown, s->where);
}

/* The columns as the catalog tells them, a line each. */
static int ask_columns(struct sr_sink *s, MYSQL_RES **ret, struct sql_buf *ret_seen,
                       struct mr_error *err)
{
  struct sql_buf sql = {0};
  MYSQL_ROW row;
  sql_buf_str(&sql, "SELECT COLUMN_NAME, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, COLUMN_KEY, "
                    "GENERATION_EXPRESSION FROM information_schema.columns");
  where_table(s, &sql);
  sql_buf_str(&sql, " ORDER BY ORDINAL_POSITION");
  int status = sr_sql_query(s, sql_buf_text(&sql), "SELECT", ret, err);
  sql_buf_done(&sql);
  sql_buf_clear(ret_seen);
  while (status >= 0 && (row = mysql_fetch_row(*ret)))
    for (int i = 0; i < COLUMN_FACTS; i++)
      sql_buf_fmt(ret_seen, "%s%c", row[i] ? row[i] : "", i + 1 < COLUMN_FACTS ? '\t' : '\n');
  if (status >= 0)
    mysql_data_seek(*ret, 0);
  return status;
}

int sr_target_columns(struct sr_sink *s, struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  bool room = true;
  sr_target_forget(s);
  int status = ask_columns(s, &res, &s->catalog, err);
  while (status >= 0 && room && (row = mysql_fetch_row(res)))
    room = add_column(s, row);
  mysql_free_result(res);
  if (status < 0 || !room)
    return status < 0 ? status : src_no_memory(err);
  return s->n_columns ? read_model(s, err) : no_table(s, err);
}

int sr_target_compare(struct sr_sink *s, struct mr_error *err)
{
  struct sql_buf now = {0};
  MYSQL_RES *res = NULL;
  int status = ask_columns(s, &res, &now, err);
  if (status >= 0 && strcmp(sql_buf_text(&now), sql_buf_text(&s->catalog))) {
    src_log(s->host, MR_INFO, "the columns of %s have changed: reading them again", s->shown);
    s->learned = false;
  }
  mysql_free_result(res);
  sql_buf_done(&now);
  return status;
}

/* ---------------------------------------------------------------- making and widening */

static bool can_be_key(const struct ArrowSchema *c)
{
  enum mr_kind k = mr_kind_of(c);
  return !mr_schema_is_system(c) && k != MR_K_FLOAT32 && k != MR_K_FLOAT64 && k < MR_K_LIST &&
         !mr_schema_is_json(c);
}

int sr_target_column(struct sr_sink *s, const struct ArrowSchema *c, bool key, struct sql_buf *out,
                     struct mr_error *err)
{
  sr_sql_ident(out, c->name);
  sql_buf_byte(out, ' ');
  if (!sr_type_ddl(c, key, out))
    return src_fail(err, MR_BADCONF, "", "column %s has a type that StarRocks has not", c->name);
  sql_buf_str(out, key && s->conf->mode == MODE_UPSERT ? " NOT NULL" : " NULL");
  return MR_OK;
}

/* The input's column of that name, or (NULL) the first that can be a key. */
static int64_t input_of(const struct sr_sink *s, const char *name)
{
  for (int64_t i = 0; i < s->in.n_children; i++)
    if (name ? !strcasecmp(name, s->in.children[i]->name) : can_be_key(s->in.children[i]))
      return i;
  return -1;
}

static int every_column_ddl(struct sr_sink *s, struct sql_buf *keys, struct sql_buf *out,
                            struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  size_t n = s->conf->key.n ? s->conf->key.n : 1;
  int64_t first = -1;
  int status = MR_OK;
  for (size_t i = 0; i < n && status >= 0; i++) {
    first = input_of(s, s->conf->key.n ? key[i] : NULL);
    if (first < 0)
      return src_fail(err, MR_BADCONF, "", "create: the pipeline has no column %s",
                      s->conf->key.n ? key[i] : "that a table can be keyed by");
    sql_buf_str(out, i ? ", " : "");
    sql_buf_str(keys, i ? ", " : "");
    sr_sql_ident(keys, s->in.children[first]->name);
    status = sr_target_column(s, s->in.children[first], true, out, err);
  }
  for (int64_t i = 0; i < s->in.n_children && status >= 0; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    if (mr_schema_is_system(c) || sr_in_key(s, c->name) || (!s->conf->key.n && i == first))
      continue;
    sql_buf_str(out, ", ");
    status = sr_target_column(s, c, false, out, err);
  }
  return status;
}

int sr_target_ddl(struct sr_sink *s, struct sql_buf *out, struct mr_error *err)
{
  struct sql_buf keys = {0};
  sql_buf_str(out, "CREATE TABLE IF NOT EXISTS ");
  sr_sql_ident(out, s->database);
  sql_buf_byte(out, '.');
  sr_sql_ident(out, s->table);
  sql_buf_str(out, " (");
  int status = every_column_ddl(s, &keys, out, err);
  const char *k = sql_buf_text(&keys);
  sql_buf_fmt(out, ") %s KEY (%s) DISTRIBUTED BY HASH (%s)",
              s->conf->mode == MODE_UPSERT ? "PRIMARY" : "DUPLICATE", k, k);
  if (s->conf->buckets > 0)
    sql_buf_fmt(out, " BUCKETS %lld", (long long)s->conf->buckets);
  if (s->conf->replicas > 0)
    sql_buf_fmt(out, " PROPERTIES (\"replication_num\" = \"%lld\")", (long long)s->conf->replicas);
  sql_buf_done(&keys);
  return status >= 0 && out->failed ? src_no_memory(err) : status;
}

static int create_table(struct sr_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = sr_target_ddl(s, &sql, err);
  if (status >= 0)
    status = sr_sql_query(s, sql_buf_text(&sql), "CREATE TABLE", NULL, err);
  sql_buf_done(&sql);
  if (status >= 0)
    src_log(s->host, MR_INFO, "created table %s%s", s->shown, s->where);
  return status < 0 ? status : sr_target_columns(s, err);
}

/* ---------------------------------------------------------------- planning */

static int link_columns(struct sr_sink *s, struct sql_buf *missing)
{
  int n = 0;
  s->op_source = s->set_source = -1;
  for (int i = 0; i < s->n_columns; i++)
    s->column[i].source = -1;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const char *name = s->in.children[i]->name;
    int at = sr_target_find(s, name);
    if (!strcmp(name, "_op"))
      s->op_source = (int)i;
    else if (!strcmp(name, "_set"))
      s->set_source = (int)i;
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
static int no_way(struct sr_sink *s, int column, struct mr_error *err)
{
  const struct ArrowSchema *from = s->in.children[s->column[column].source];
  struct evo_table t = sr_evolve_table(s);
  struct evo_column e;
  struct sql_buf brings = {0};
  sr_evolve_column(s, column, &e);
  if (evo_refuses_rows(&t, &e, from, s->lenient))
    return MR_OK;
  evo_type_name(from, &brings);
  snprintf(err->option, sizeof err->option, "table");
  int status = src_fail(err, MR_BADCONF, "42804",
                        "column %s of %s has type %s and the pipeline brings %.100s: add a cast",
                        e.name, s->shown, e.type, sql_buf_text(&brings));
  sql_buf_done(&brings);
  return status;
}

static int plan_field(struct sr_sink *s, int column, struct mr_error *err)
{
  struct sql_buf key = {0};
  struct sr_column *c = &s->column[column];
  bool fits = sr_type_fits(s->in.children[c->source], c);
  if (c->generated)
    return src_badconf(err, "table", "column %s of %s is generated: it cannot be written", c->name,
                       s->shown);
  int status = fits ? MR_OK : no_way(s, column, err);
  if (status < 0)
    return status;
  sql_buf_byte(&key, ',');
  sql_buf_json(&key, c->name);
  sql_buf_byte(&key, ':');
  s->field[s->n_fields++] =
      (struct sr_field){.column = c, .key = (char *)key.p, .key_len = key.len, .unfit = !fits};
  return key.failed ? src_no_memory(err) : MR_OK;
}

static int plan_fields(struct sr_sink *s, struct mr_error *err)
{
  int status = MR_OK;
  for (int i = 0; i < s->n_fields; i++)
    free(s->field[i].key);
  free(s->field);
  s->n_fields = 0;
  s->field = calloc((size_t)s->n_columns + 1, sizeof *s->field);
  if (!s->field)
    return src_no_memory(err);
  s->all_columns = true;
  for (int i = 0; i < s->n_columns && status >= 0; i++) {
    s->all_columns &= s->column[i].source >= 0;
    if (s->column[i].source >= 0)
      status = plan_field(s, i, err);
  }
  if (status >= 0 && !s->n_fields)
    status = src_badconf(err, "table", "table %s has none of the pipeline's columns", s->shown);
  return status;
}

static int check_unfilled(struct sr_sink *s, struct mr_error *err)
{
  bool partial = s->conf->partial_update != PARTIAL_NO || s->set_source >= 0;
  for (int i = 0; i < s->n_columns; i++) {
    const struct sr_column *c = &s->column[i];
    if (c->source < 0 && !c->nullable && !c->has_default && !c->generated &&
        (!partial || c->is_key))
      return src_badconf(err, "table",
                         "column %s of %s is NOT NULL without a default, and nothing fills it",
                         c->name, s->shown);
  }
  return MR_OK;
}

static int check_mode(struct sr_sink *s, struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  bool upsert = s->conf->mode == MODE_UPSERT;
  if (upsert && s->model != MODEL_PRIMARY)
    return src_badconf(err, "mode", "table %s has no primary key: mode upsert needs one", s->shown);
  if (s->conf->partial_update != PARTIAL_NO && s->model != MODEL_PRIMARY)
    return src_badconf(err, "partial_update", "table %s has no primary key", s->shown);
  for (int i = 0; upsert && i < s->n_columns; i++) {
    const struct sr_column *c = &s->column[i];
    if (c->is_key && c->source < 0)
      return src_badconf(err, "table", "key column %s of %s is not among the pipeline's columns",
                         c->name, s->shown);
    if (c->is_key != sr_in_key(s, c->name))
      return src_badconf(err, "key", "column %s is %s of %s", c->name,
                         c->is_key ? "part of the primary key" : "not part of the primary key",
                         s->shown);
  }
  for (size_t i = 0; upsert && i < s->conf->key.n; i++)
    if (sr_target_find(s, key[i]) < 0)
      return src_badconf(err, "key", "%s has no column %s", s->shown, key[i]);
  if (!upsert && s->model == MODEL_PRIMARY)
    src_log(s->host, MR_INFO, "%s has a primary key: rows of the same key replace each other",
            s->shown);
  return MR_OK;
}

char *sr_columns_header(const struct sr_sink *s, const uint8_t *use)
{
  struct sql_buf out = {0};
  for (int i = 0; i < s->n_fields; i++) {
    if (use && !use[i])
      continue;
    sql_buf_str(&out, out.len ? "," : "");
    sr_sql_ident(&out, s->field[i].column->name);
  }
  if (s->conf->mode == MODE_UPSERT)
    sql_buf_str(&out, ",__op");
  sql_buf_text(&out);
  if (!out.failed)
    return (char *)out.p;
  sql_buf_done(&out);
  return NULL;
}

/* CSV always names its columns; JSON only when the table has more than the input: else a missing
 * name would be NULL instead of the column's default. */
static int make_header(struct sr_sink *s, struct mr_error *err)
{
  free(s->columns_header);
  s->columns_header = NULL;
  if (s->conf->format == FORMAT_JSON && s->all_columns && s->conf->partial_update == PARTIAL_NO)
    return MR_OK;
  s->columns_header = sr_columns_header(s, NULL);
  return s->columns_header ? MR_OK : src_no_memory(err);
}

int sr_target_plan(struct sr_sink *s, struct mr_error *err)
{
  struct sql_buf missing = {0};
  int n = link_columns(s, &missing), status = MR_OK;
  if (n && s->lenient)
    src_log(s->host, MR_WARN, "columns that %s has not are left out (evolve: none): %s", s->shown,
            sql_buf_text(&missing));
  else if (n)
    status = src_badconf(err, "table", "table %s has no column %.300s; add it, or say evolve: add",
                         s->shown, sql_buf_text(&missing));
  sql_buf_done(&missing);
  if (status >= 0)
    status = check_unfilled(s, err);
  if (status >= 0)
    status = plan_fields(s, err);
  if (status >= 0)
    status = check_mode(s, err);
  return status < 0 ? status : make_header(s, err);
}

int sr_target_learn(struct sr_sink *s, bool may_alter, struct mr_error *err)
{
  int status = sr_target_columns(s, err);
  if (status == MR_BADCONF && !strcmp(err->code, "42S02") && s->conf->create) {
    memset(err->code, 0, sizeof err->code);
    *err->option = 0;
    status = create_table(s, err);
  }
  if (status >= 0 && !may_alter && sr_evolve_needed(s))
    return MR_OK;
  if (status >= 0)
    status = sr_evolve_follow(s, NULL, &s->in, err);
  if (status >= 0)
    status = sr_target_plan(s, err);
  if (status < 0)
    sr_target_forget(s);
  s->learned = status >= 0;
  return status;
}

/* ---------------------------------------------------------------- labels */

void sr_labels_warn(struct sr_sink *s)
{
  struct mr_error ignored = {.size = sizeof ignored};
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  s->label_seconds = LABEL_SECONDS;
  if (sr_sql_query(s, "ADMIN SHOW FRONTEND CONFIG LIKE 'label_keep%'", "ADMIN SHOW", &res,
                   &ignored) < 0) {
    src_log(s->host, MR_INFO, "how long labels are kept cannot be read (%.100s)", ignored.msg);
    return;
  }
  while (mysql_num_fields(res) > 2 && (row = mysql_fetch_row(res))) {
    int64_t v = row[0] && row[2] ? strtoll(row[2], NULL, 10) : 0;
    bool number = row[0] && !strcmp(row[0], "label_keep_max_num");
    bool seconds = row[0] && !strcmp(row[0], "label_keep_max_second");
    if (seconds)
      s->label_seconds = v;
    if ((number && v < LABELS_MIN) || (seconds && v < LABEL_SECONDS_MIN))
      src_log(
          s->host, MR_WARN,
          "%s is %lld: a busy database forgets a label before a stopped pipeline may ask for it",
          row[0], (long long)v);
  }
  mysql_free_result(res);
}
