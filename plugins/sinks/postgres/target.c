/* SPDX-License-Identifier: Apache-2.0 */
/* The target table: which columns it has, which the input fills, and how each is encoded. */
#include "common/sql-ddl.h"
#include "postgres.h"
#include "common/pg-type.h"
#include "millrace/changes.h"

int pg_column_find(const struct pg_sink *s, const char *name)
{
  for (int i = 0; i < s->n_columns; i++)
    if (!strcmp(s->column[i].name, name))
      return i;
  return -1;
}

static void forget_plan(struct pg_sink *s)
{
  pg_range_forget(s);
  for (int i = 0; i < s->n_fields; i++)
    pg_field_done(&s->field[i]);
  free(s->field);
  free(s->field_column);
  s->field = NULL;
  s->field_column = NULL;
  s->n_fields = 0;
}

void pg_target_forget(struct pg_sink *s)
{
  forget_plan(s);
  for (int i = 0; i < s->n_columns; i++) {
    free(s->column[i].name);
    free(s->column[i].shown);
    free(s->column[i].fallback);
    free(s->column[i].label);
  }
  free(s->column);
  s->column = NULL;
  s->n_columns = 0;
  s->learned = false;
}

static struct pg_column *add_column(struct pg_sink *s, const char *name)
{
  struct pg_column *grown = realloc(s->column, (size_t)(s->n_columns + 1) * sizeof *grown);
  if (!grown)
    return NULL;
  s->column = grown;
  struct pg_column *c = &grown[s->n_columns];
  *c = (struct pg_column){.name = strdup(name), .source = -1, .type = {.typmod = -1}};
  s->n_columns += c->name != NULL;
  return c->name ? c : NULL;
}

bool pg_is_key(const struct pg_sink *s, const char *name)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++)
    if (!strcmp(key[i], name))
      return true;
  return false;
}

/* ---------------------------------------------------------------- reading the columns */

/* Names and types as the answer of an empty SELECT has them: every server can say that. */
static int columns_by_select(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  PGresult *res = NULL;
  sql_buf_fmt(&sql, "SELECT * FROM %s WHERE 1 = 0", s->target);
  int status = pg_query(s, sql_buf_text(&sql), "SELECT", &res, err);
  sql_buf_done(&sql);
  for (int i = 0; status >= 0 && i < PQnfields(res); i++) {
    struct pg_column *c = add_column(s, PQfname(res, i));
    if (!c)
      status = pg_no_memory(err);
    else
      c->type = (struct pg_type){.oid = PQftype(res, i), .typmod = PQfmod(res, i)};
  }
  PQclear(res);
  return status;
}

/* What only the catalog knows. Domains are followed to the type below them. */
static const char catalog_sql[] =
    "SELECT a.attname, a.attnotnull, coalesce(to_jsonb(a)->>'attgenerated', '') <> '',"
    " a.atthasdef OR coalesce(to_jsonb(a)->>'attidentity', '') <> '', b.oid,"
    " CASE WHEN e.typcategory = 'A' THEN e.typelem ELSE 0 END,"
    " CASE WHEN t.typtype = 'd' THEN coalesce(b.mod, -1) ELSE a.atttypmod END,"
    " e.typtype = 'e' OR e.typname = 'citext' OR (e.typcategory = 'A' AND EXISTS (SELECT 1 FROM"
    " pg_catalog.pg_type i WHERE i.oid = e.typelem AND (i.typtype = 'e' OR i.typname = 'citext'))),"
    " pg_catalog.format_type(a.atttypid, a.atttypmod), e.typname IN ('vector', 'halfvec')"
    " FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid,"
    " LATERAL (WITH RECURSIVE d(oid, base, kind, mod) AS ("
    "SELECT t.oid, t.typbasetype, t.typtype, a.atttypmod UNION ALL"
    " SELECT p.oid, p.typbasetype, p.typtype, CASE WHEN d.mod >= 0 THEN d.mod ELSE m.typtypmod END"
    " FROM d JOIN pg_catalog.pg_type m ON m.oid = d.oid JOIN pg_catalog.pg_type p ON p.oid = d.base"
    " WHERE d.kind = 'd') SELECT oid, mod FROM d WHERE kind <> 'd') b"
    " JOIN pg_catalog.pg_type e ON e.oid = b.oid"
    " WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

static bool is_true(const PGresult *res, int row, int column)
{
  return PQgetvalue(res, row, column)[0] == 't';
}

static void catalog_row(struct pg_sink *s, const PGresult *res, int row)
{
  int i = pg_column_find(s, PQgetvalue(res, row, 0));
  if (i < 0)
    return;
  struct pg_column *c = &s->column[i];
  c->type.not_null = is_true(res, row, 1);
  c->generated = is_true(res, row, 2);
  c->has_default = is_true(res, row, 3);
  c->type.oid = (uint32_t)strtoul(PQgetvalue(res, row, 4), NULL, 10);
  c->type.elem_oid = (uint32_t)strtoul(PQgetvalue(res, row, 5), NULL, 10);
  c->type.typmod = (int32_t)strtol(PQgetvalue(res, row, 6), NULL, 10);
  c->type.text_like = is_true(res, row, 7);
  c->type.bracketed = is_true(res, row, 9);
  free(c->shown);
  c->shown = strdup(PQgetvalue(res, row, 8));
}

static int columns_by_catalog(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf name = {0}, sql = {0};
  PGresult *res = NULL;
  pg_literal(s, &name, s->target);
  sql_buf_fmt(&sql, catalog_sql, sql_buf_text(&name));
  int status = pg_query(s, sql_buf_text(&sql), "SELECT from the catalog", &res, err);
  for (int i = 0; status >= 0 && i < PQntuples(res); i++)
    catalog_row(s, res, i);
  PQclear(res);
  sql_buf_done(&name);
  sql_buf_done(&sql);
  return status;
}

/* Types that the pipeline file declares: they win where the server cannot say. */
static int columns_by_declaration(struct pg_sink *s, struct mr_error *err)
{
  const struct ArrowSchema *d = s->conf->columns;
  for (int64_t i = 0; d && i < d->n_children; i++) {
    int at = pg_column_find(s, d->children[i]->name);
    struct pg_column *c = at >= 0 ? &s->column[at] : add_column(s, d->children[i]->name);
    if (!c)
      return pg_no_memory(err);
    pg_type_of(d->children[i], &c->type);
  }
  return MR_OK;
}

static int no_table(struct pg_sink *s, struct mr_error *err)
{
  snprintf(err->option, sizeof err->option, "table");
  return src_fail(err, MR_BADCONF, "42P01",
                  "table %s does not exist (SQLSTATE 42P01)%s; create it, or say create: true",
                  s->shown, s->where);
}

/* Servers that are not PostgreSQL have codes of their own, or none; then the words must do. */
static bool is_no_table(const struct pg_sink *s, const struct mr_error *err)
{
  if (!strcmp(err->code, "42P01") || !strcmp(err->code, "3F000") || !strncmp(err->code, "42S", 3))
    return true;
  return !s->genuine &&
         (strcasestr(err->msg, "does not exist") || strcasestr(err->msg, "not found"));
}

int pg_target_columns(struct pg_sink *s, struct mr_error *err)
{
  struct mr_error catalog = {.size = sizeof catalog};
  pg_target_forget(s);
  int status = columns_by_select(s, err);
  if (status < 0 && s->pg && is_no_table(s, err))
    return no_table(s, err);
  if (status < 0 && !(s->pg && s->conf->columns && status != MR_RETRY))
    return status;
  if (columns_by_catalog(s, &catalog) >= 0)
    return MR_OK;
  if (!s->pg)
    return src_fail(err, MR_RETRY, catalog.code, "%s", catalog.msg);
  s->genuine = s->multi = false;
  src_log(s->host, MR_INFO, "catalog not readable (%s); going on with %s types of %s",
          *catalog.code ? catalog.code : "no code",
          s->conf->columns ? "the declared" : "the listed", s->shown);
  return columns_by_declaration(s, err);
}

/* ---------------------------------------------------------------- creating the table */

static bool column_ddl(struct pg_sink *s, const struct ArrowSchema *c, struct sql_buf *sql)
{
  sql_ident(sql, c->name);
  sql_buf_byte(sql, ' ');
  bool ok = pg_hyper_type(s, c, sql);
  const char *time = s->conf->hypertable.time;
  if (pg_is_key(s, c->name) || (time && !strcmp(time, c->name)))
    sql_buf_str(sql, " NOT NULL");
  return ok;
}

static void key_ddl(struct pg_sink *s, struct sql_buf *sql)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++) {
    sql_buf_str(sql, i ? ", " : ", PRIMARY KEY (");
    sql_ident(sql, key[i]);
  }
  if (s->conf->key.n)
    sql_buf_byte(sql, ')');
}

bool pg_made_meanwhile(const struct mr_error *err)
{
  return !strcmp(err->code, "23505") || !strcmp(err->code, "42P07") || !strcmp(err->code, "42710");
}

static int create_sql(struct pg_sink *s, struct sql_buf *sql, struct mr_error *err)
{
  int n = 0, status = MR_OK;
  sql_buf_fmt(sql, "CREATE TABLE %s%s (", s->genuine ? "IF NOT EXISTS " : "", s->target);
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const struct ArrowSchema *c = s->in.children[i];
    if (mr_schema_is_system(c))
      continue;
    sql_buf_str(sql, n++ ? ", " : "");
    if (!column_ddl(s, c, sql))
      status =
          src_fail(err, MR_BADCONF, "", "column %s has a type without a PostgreSQL name", c->name);
  }
  pg_version_ddl(s, sql);
  key_ddl(s, sql);
  sql_buf_byte(sql, ')');
  return status < 0 ? status : pg_hyper_ddl(s, sql, err);
}

static bool type_ddl(void *self, const struct ArrowSchema *c, struct sql_buf *out)
{
  return self ? pg_hyper_type(self, c, out) : pg_type_ddl(c, out); /* NULL: of no table */
}

static int table_ddl(void *self, struct sql_buf *out, struct mr_error *err)
{
  ((struct pg_sink *)self)->genuine = true;
  return create_sql(self, out, err);
}

int pg_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  int status = pg_open(o, &self, err);
  if (status >= 0)
    status = sql_put_ddl(self, o->in, type_ddl, table_ddl, put, out, err);
  pg_free(self);
  return status;
}

int pg_type_put(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  return sql_put_type(type_ddl, c, put, out, err);
}

static int create_table(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  int status = pg_hyper_available(s, err);
  if (status >= 0)
    status = create_sql(s, &sql, err);
  if (status >= 0) /* one string: both statements or none */
    status = pg_run(s, sql_buf_text(&sql), "CREATE TABLE", s->conf->statement_timeout_ms,
                    PG_GIVE_UP, NULL, NULL, err);
  sql_buf_done(&sql);
  if (status >= 0)
    src_log(s->host, MR_INFO, "created %s %s%s", s->conf->hypertable.time ? "hypertable" : "table",
            s->shown, s->where);
  else if (pg_made_meanwhile(err))
    status = MR_OK;
  return status;
}

/* ---------------------------------------------------------------- planning */

static bool wanted(const struct pg_sink *s, const struct pg_column *c)
{
  return c->source >= 0 && !mr_schema_is_system(s->in.children[c->source]);
}

static int check_unfilled(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf names = {0};
  for (int i = 0; i < s->n_columns; i++) {
    struct pg_column *c = &s->column[i];
    bool own = s->conf->version && !strcmp(c->name, UPS_WRITTEN);
    if (c->type.not_null && !c->has_default && !c->generated && !own && !wanted(s, c))
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
static int link_columns(struct pg_sink *s, struct sql_buf *missing)
{
  int n = 0;
  s->op_source = s->set_source = s->range_source = -1;
  for (int i = 0; i < s->n_columns; i++)
    s->column[i].source = -1;
  for (int64_t i = 0; i < s->in.n_children; i++) {
    const char *name = s->in.children[i]->name;
    int at = pg_column_find(s, name);
    if (!strcmp(name, "_op"))
      s->op_source = (int)i;
    else if (!strcmp(name, "_set"))
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
static int no_way(struct pg_sink *s, int column, const struct pg_type *type, bool sign,
                  struct mr_error *err)
{
  const struct pg_column *c = &s->column[column];
  const struct ArrowSchema *from = s->in.children[c->source];
  struct evo_table t = pg_evolve_table(s);
  struct evo_column e;
  struct sql_buf brings = {0};
  pg_evolve_column(s, column, &e);
  if (evo_refuses_rows(&t, &e, from, s->lenient)) {
    pg_field_unfit(from, type, &s->field[s->n_fields]);
    s->field_column[s->n_fields++] = column;
    return MR_OK;
  }
  pg_field_done(&s->field[s->n_fields]);
  evo_type_name(from, &brings);
  snprintf(err->option, sizeof err->option, "table");
  int status = src_fail(err, MR_BADCONF, "42804",
                        "column %s of %s has type %s and the pipeline brings %.100s: add a cast%s",
                        c->name, s->shown, e.type, sql_buf_text(&brings),
                        sign ? ", or make the column numeric(20,0)" : "");
  sql_buf_done(&brings);
  return status;
}

static int plan_field(struct pg_sink *s, int column, struct mr_error *err)
{
  struct pg_column *c = &s->column[column];
  const struct ArrowSchema *from = s->in.children[c->source];
  if (c->generated) {
    snprintf(err->option, sizeof err->option, "table");
    return src_fail(err, MR_BADCONF, "428C9", "column %s of %s is generated: it cannot be written",
                    c->name, s->shown);
  }
  c->is_key = pg_is_key(s, c->name);
  struct pg_type type = c->type;
  if (s->conf->mode == MODE_UPSERT)
    type.not_null = c->is_key ? s->range_source < 0 /* else stage.c looks */
                              : type.not_null && s->op_source < 0 &&
                                    !s->partial; /* a delete brings its key, an update some more */
  /* values above the signed range would be found only when they come */
  bool unsigned_into_signed = mr_kind_of(from) == MR_K_UINT64 &&
                              (type.oid == PG_INT8 || type.oid == PG_INT4 || type.oid == PG_INT2);
  bool fits = pg_field_plan(from, &type, &s->field[s->n_fields]);
  if (!fits || (unsigned_into_signed && !s->lenient && s->conf->evolve == EVOLVE_NONE))
    return no_way(s, column, &type, unsigned_into_signed, err);
  s->field_column[s->n_fields++] = column;
  return MR_OK;
}

static int plan_fields(struct pg_sink *s, struct mr_error *err)
{
  forget_plan(s);
  size_t own =
      5 + (size_t)s->n_columns / PG_SET_BITS + 4 * s->conf->key.n; /* the staging table's */
  s->field = calloc((size_t)s->n_columns + own, sizeof *s->field);
  s->field_column = calloc((size_t)s->n_columns + 1, sizeof *s->field_column);
  if (!s->field || !s->field_column)
    return pg_no_memory(err);
  for (int i = 0; i < s->n_columns; i++) {
    if (s->column[i].source < 0)
      continue;
    int status = plan_field(s, i, err);
    if (status < 0)
      return status;
  }
  if (s->n_fields)
    return MR_OK;
  return src_fail(err, MR_BADCONF, "", "table %s has none of the pipeline's columns", s->shown);
}

static int check_key(struct pg_sink *s, struct mr_error *err)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; s->conf->mode == MODE_UPSERT && i < s->conf->key.n; i++) {
    int at = pg_column_find(s, key[i]);
    if (at >= 0 && wanted(s, &s->column[at]))
      continue;
    snprintf(err->option, sizeof err->option, "key");
    return src_fail(err, MR_BADCONF, "", "key column %s is %s", key[i],
                    at < 0 ? "no column of the table" : "not among the pipeline's columns");
  }
  return MR_OK;
}

static enum pg_form best_form(const struct pg_sink *s)
{
  if (s->conf->method == METHOD_INSERT)
    return FORM_INSERT;
  for (int i = 0; i < s->n_fields; i++)
    if (s->field[i].op == PG_OP_TEXT_ONLY)
      return FORM_TEXT;
  return FORM_BINARY;
}

int pg_target_plan(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf missing = {0};
  int n = link_columns(s, &missing), status = MR_OK;
  if (n && s->lenient) {
    src_log(s->host, MR_WARN, "columns that %s has not are left out (evolve: none): %s", s->shown,
            sql_buf_text(&missing));
  } else if (n && s->conf->evolve == EVOLVE_NONE) {
    snprintf(err->option, sizeof err->option, "table");
    status = src_fail(err, MR_BADCONF, "42703",
                      "table %s has no column %.300s; add it, or say evolve: add", s->shown,
                      sql_buf_text(&missing));
  }
  sql_buf_done(&missing);
  s->partial = s->conf->mode == MODE_UPSERT && s->set_source >= 0;
  if (status >= 0)
    status = check_unfilled(s, err);
  if (status >= 0)
    status = plan_fields(s, err);
  if (status >= 0)
    status = check_key(s, err);
  if (status >= 0)
    status = pg_version_plan(s, err);
  if (status >= 0)
    status = pg_range_plan(s, err);
  if (status >= 0 && (s->partial || s->versioned))
    status = pg_partial_learn(s, err);
  s->form = best_form(s);
  return status;
}

int pg_target_learn(struct pg_sink *s, struct mr_error *err)
{
  int status = pg_target_columns(s, err);
  if (status == MR_BADCONF && !strcmp(err->code, "42P01") && s->conf->create) {
    status = create_table(s, err);
    if (status >= 0)
      status = pg_target_columns(s, err);
  }
  struct evo_table t = pg_evolve_table(s);
  if (status >= 0)
    status = pg_hyper_available(s, err);
  if (status >= 0)
    status = pg_hyper_check(s, err);
  if (status >= 0)
    status = evo_follow(&t, NULL, &s->in, err);
  if (status >= 0)
    status = pg_version_add(s, err);
  if (status >= 0)
    status = pg_target_plan(s, err);
  if (status >= 0)
    status = pg_probe(s, err);
  if (status < 0)
    pg_target_forget(s);
  s->learned = status >= 0;
  return status;
}
