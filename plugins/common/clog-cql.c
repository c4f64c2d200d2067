/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-cql.h"
#include <stdlib.h>
#include "common/src-error.h"

#define TEXT_MAX 4096 /* bytes of one name or type */

/* A token: a word in lower case, a "quoted" name, a 'string', a number, or one sign. */
enum token_kind { T_END, T_WORD, T_NAME, T_STRING, T_SIGN };
struct token {
  enum token_kind kind;
  char text[TEXT_MAX];
};
struct scan {
  const char *p, *end, *text;
  struct token now;
  struct clog_schema *schema;
  int64_t segment, position; /* where what is read now is in force from */
  struct mr_error *err;
};

/* ---------------------------------------------------------------- tokens */

static int line_of(const struct scan *s)
{
  int line = 1;
  for (const char *p = s->text; p < s->p; p++)
    line += *p == '\n';
  return line;
}

static int fail(struct scan *s, const char *what)
{
  return src_fail(s->err, MR_REJECT, "schema", "line %d: %s at `%.60s`", line_of(s), what,
                  s->now.text);
}

static bool starts(const struct scan *s, const char *with)
{
  size_t n = strlen(with);
  return (size_t)(s->end - s->p) >= n && !memcmp(s->p, with, n);
}

static void skip_to(struct scan *s, const char *mark)
{
  const char *at = memmem(s->p, (size_t)(s->end - s->p), mark, strlen(mark));
  s->p = at ? at + strlen(mark) : s->end;
}

/* `-- from segment S position P` */
static int read_place(struct scan *s)
{
  long long segment, position;
  char line[128];
  const char *eol = memchr(s->p, '\n', (size_t)(s->end - s->p));
  int n = (int)((eol ? eol : s->end) - s->p);
  snprintf(line, sizeof line, "%.*s", n, s->p);
  if (sscanf(line, "-- from segment %lld position %lld", &segment, &position) != 2)
    return MR_OK;
  int status = clog_schema_commit(s->schema, s->segment, s->position, s->err);
  s->segment = segment;
  s->position = position;
  return status;
}

static int skip_blanks(struct scan *s)
{
  int status = MR_OK;
  while (s->p < s->end && status >= 0) {
    if (starts(s, "--"))
      status = read_place(s);
    if (starts(s, "--") || starts(s, "//"))
      skip_to(s, "\n");
    else if (starts(s, "/*"))
      skip_to(s, "*/");
    else if (strchr(" \t\r\n", *s->p) && *s->p)
      s->p++;
    else
      break;
  }
  return status;
}

static bool is_word(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* What stands between two signs; doubled signs are one. */
static int read_quoted(struct scan *s, char sign)
{
  size_t n = 0;
  for (s->p++; s->p < s->end && n < TEXT_MAX - 1; s->now.text[n++] = *s->p++)
    if (*s->p == sign && (++s->p == s->end || *s->p != sign)) {
      s->now.text[n] = 0;
      return MR_OK;
    }
  s->now.text[n] = 0;
  return fail(s, "no closing quote, or a text that is too long");
}

/* A string between $$, as function bodies are. */
static int read_dollars(struct scan *s)
{
  s->now.text[0] = 0;
  s->p += 2;
  skip_to(s, "$$");
  return MR_OK;
}

/* Words may have hyphens and points within when a digit or a letter follows: UUIDs, numbers. */
static int read_word(struct scan *s, bool hyphens)
{
  size_t n = 0;
  for (; s->p < s->end && n < TEXT_MAX - 1 && (is_word(*s->p) || (hyphens && *s->p == '-')); s->p++)
    s->now.text[n++] = (char)(*s->p >= 'A' && *s->p <= 'Z' ? *s->p + 32 : *s->p);
  s->now.text[n] = 0;
  return MR_OK;
}

/* hyphens: the token may be a UUID. */
static int next_as(struct scan *s, bool hyphens)
{
  int status = skip_blanks(s);
  s->now.text[0] = 0;
  s->now.kind = T_END;
  if (status < 0 || s->p == s->end)
    return status;
  if (*s->p == '"' || *s->p == '\'') {
    s->now.kind = *s->p == '"' ? T_NAME : T_STRING;
    return read_quoted(s, *s->p);
  }
  s->now.kind = T_STRING;
  if (starts(s, "$$"))
    return read_dollars(s);
  s->now.kind = is_word(*s->p) ? T_WORD : T_SIGN;
  if (s->now.kind == T_WORD)
    return read_word(s, hyphens);
  s->now.text[0] = *s->p++;
  s->now.text[1] = 0;
  return MR_OK;
}

static int next(struct scan *s)
{
  return next_as(s, false);
}

static bool is(const struct scan *s, const char *text)
{
  return (s->now.kind == T_WORD || s->now.kind == T_SIGN) && !strcmp(s->now.text, text);
}

/* Takes this token if it is the next. */
static bool take(struct scan *s, const char *text, int *status)
{
  if (*status < 0 || !is(s, text))
    return false;
  *status = next(s);
  return *status >= 0;
}

static int expect(struct scan *s, const char *text)
{
  int status = MR_OK;
  if (take(s, text, &status) || status < 0)
    return status;
  char what[64];
  snprintf(what, sizeof what, "`%s` expected", text);
  return fail(s, what);
}

/* A name, copied. NULL: *ret_status says why. Caller frees. */
static char *name(struct scan *s, int *ret_status)
{
  char *out = NULL;
  if (*ret_status < 0)
    return NULL;
  if (s->now.kind != T_WORD && s->now.kind != T_NAME)
    *ret_status = fail(s, "a name expected");
  else if (!(out = strdup(s->now.text)))
    *ret_status = src_no_memory(s->err);
  else
    *ret_status = next(s);
  return out;
}

/* keyspace.name */
static int full_name(struct scan *s, char **ret_keyspace, char **ret_name)
{
  int status = MR_OK;
  *ret_keyspace = name(s, &status);
  if (status >= 0)
    status = expect(s, ".");
  *ret_name = name(s, &status);
  return status;
}

static int if_exists(struct scan *s)
{
  int status = MR_OK;
  if (take(s, "if", &status)) {
    take(s, "not", &status);
    return status < 0 ? status : expect(s, "exists");
  }
  return status;
}

/* To the end of the statement. */
static int skip_statement(struct scan *s)
{
  int status = MR_OK;
  while (status >= 0 && s->now.kind != T_END && !is(s, ";"))
    status = next(s);
  take(s, ";", &status);
  return status;
}

/* A type's text as it stands, up to a comma, a closing bracket or a word behind it. */
static int type_text(struct scan *s, char **ret)
{
  struct sql_buf out = {0};
  int depth = 0, status = MR_OK;
  bool first = true;
  for (; status >= 0; first = false, status = next(s)) {
    bool sign = s->now.kind == T_SIGN;
    if (s->now.kind == T_END || (!depth && ((sign && !is(s, "<")) || (!sign && !first))))
      break;
    depth += is(s, "<") - is(s, ">");
    const char *quote = s->now.kind == T_NAME ? "\"" : s->now.kind == T_STRING ? "'" : "";
    sql_buf_fmt(&out, "%s%s%s", quote, s->now.text, quote);
    if (is(s, ">") && !depth) {
      status = next(s);
      break;
    }
  }
  *ret = status >= 0 ? strdup(sql_buf_text(&out)) : NULL;
  sql_buf_done(&out);
  return status < 0 || *ret ? status : src_no_memory(s->err);
}

/* ---------------------------------------------------------------- CREATE TYPE */

static void free_list(char **list, size_t n)
{
  for (size_t i = 0; list && i < n; i++)
    free(list[i]);
  free(list);
}

struct fields {
  char **name, **type;
  size_t n;
};

static int add_field(struct scan *s, struct fields *f)
{
  char **names = realloc(f->name, (f->n + 1) * sizeof *names),
       **types = names ? realloc(f->type, (f->n + 1) * sizeof *types) : NULL;
  int status = MR_OK;
  if (names)
    f->name = names;
  if (!types)
    return src_no_memory(s->err);
  f->type = types;
  types[f->n] = NULL;
  names[f->n] = name(s, &status);
  f->n++;
  return status < 0 ? status : type_text(s, &types[f->n - 1]);
}

static int create_type(struct scan *s)
{
  char *keyspace = NULL, *type = NULL;
  struct fields f = {0};
  int status = if_exists(s);
  if (status >= 0)
    status = full_name(s, &keyspace, &type);
  if (status >= 0)
    status = expect(s, "(");
  do {
    if (status >= 0)
      status = add_field(s, &f);
  } while (take(s, ",", &status));
  if (status >= 0)
    status = expect(s, ")");
  struct clog_type_row row = {keyspace, type, (const char *const *)f.name,
                              (const char *const *)f.type, f.n};
  if (status >= 0)
    status = clog_schema_put_type(s->schema, &row, CLOG_NEVER, s->err);
  free_list(f.name, f.n);
  free_list(f.type, f.n);
  free(keyspace);
  free(type);
  return status;
}

/* ---------------------------------------------------------------- CREATE TABLE */

struct table {
  char *keyspace, *name;
};

static int put_column(struct scan *s, const struct table *t, const char *column, int kind,
                      int32_t position, bool descending, const char *type)
{
  struct clog_column_row row = {t->keyspace, t->name, column, kind, position, descending, type};
  return clog_schema_put_column(s->schema, &row, CLOG_NEVER, s->err);
}

/* name type [STATIC] [MASKED WITH …] [PRIMARY KEY] */
static int column(struct scan *s, const struct table *t)
{
  int status = MR_OK, kind = CLOG_REGULAR, depth = 0;
  char *type = NULL, *column_name = name(s, &status);
  if (status >= 0)
    status = type_text(s, &type);
  if (take(s, "static", &status))
    kind = CLOG_STATIC;
  while (status >= 0 && s->now.kind != T_END && !is(s, ";") &&
         (depth || (!is(s, ",") && !is(s, ")")))) {
    if (is(s, "primary"))
      kind = CLOG_PARTITION_KEY;
    depth += is(s, "(") - is(s, ")");
    status = next(s);
  }
  if (status >= 0)
    status = put_column(s, t, column_name, kind, 0, false, type);
  free(column_name);
  free(type);
  return status;
}

static int key_column(struct scan *s, const struct table *t, enum clog_column_kind kind, int32_t at)
{
  int status = MR_OK;
  char *key = name(s, &status);
  if (status >= 0)
    status = put_column(s, t, key, kind, at, false, NULL);
  free(key);
  return status;
}

/* (a, b) or a */
static int partition_key(struct scan *s, const struct table *t)
{
  int status = MR_OK;
  int32_t at = 0;
  if (!take(s, "(", &status))
    return status < 0 ? status : key_column(s, t, CLOG_PARTITION_KEY, 0);
  do {
    status = key_column(s, t, CLOG_PARTITION_KEY, at++);
  } while (take(s, ",", &status));
  return status < 0 ? status : expect(s, ")");
}

/* KEY (partition key, clustering…) */
static int primary_key(struct scan *s, const struct table *t)
{
  int32_t at = 0;
  int status = expect(s, "key");
  if (status >= 0)
    status = expect(s, "(");
  if (status >= 0)
    status = partition_key(s, t);
  while (take(s, ",", &status))
    status = key_column(s, t, CLOG_CLUSTERING, at++);
  return status < 0 ? status : expect(s, ")");
}

static int definitions(struct scan *s, const struct table *t)
{
  int status = expect(s, "(");
  do {
    if (status >= 0 && !is(s, ")"))
      status = take(s, "primary", &status) ? primary_key(s, t) : status < 0 ? status : column(s, t);
  } while (take(s, ",", &status));
  return status < 0 ? status : expect(s, ")");
}

static bool parse_uuid(const char *text, uint8_t ret[16])
{
  int n = 0;
  for (; *text; text++) {
    int v = *text >= '0' && *text <= '9'   ? *text - '0'
            : *text >= 'a' && *text <= 'f' ? *text - 'a' + 10
                                           : -1;
    if (*text == '-')
      continue;
    if (v < 0 || n == 32)
      return false;
    ret[n / 2] = (uint8_t)(n % 2 ? ret[n / 2] | v : v << 4);
    n++;
  }
  return n == 32;
}

static int table_id(struct scan *s, struct clog_table_row *row, uint8_t id[16])
{
  int status = is(s, "=") ? next_as(s, true) : expect(s, "=");
  if (status < 0)
    return status;
  if (!parse_uuid(s->now.text, id))
    return fail(s, "a UUID expected");
  row->id = id;
  return next(s);
}

/* BY (a ASC, b DESC): the columns' types and places are known by now. */
static int clustering_order(struct scan *s, const struct table *t)
{
  int32_t at = 0;
  int status = expect(s, "order");
  if (status >= 0)
    status = expect(s, "by");
  if (status >= 0)
    status = expect(s, "(");
  do {
    char *key = name(s, &status);
    if (status >= 0)
      status = put_column(s, t, key, CLOG_CLUSTERING, at++, is(s, "desc"), NULL);
    free(key);
    if (status >= 0 && (is(s, "asc") || is(s, "desc")))
      status = next(s);
  } while (take(s, ",", &status));
  return status < 0 ? status : expect(s, ")");
}

/* Over `= value`, to AND or the end. */
static int skip_option(struct scan *s)
{
  int status = MR_OK;
  while (status >= 0 && s->now.kind != T_END && !is(s, ";") && !is(s, "and"))
    status = next(s);
  return status;
}

static int options(struct scan *s, const struct table *t, struct clog_table_row *row,
                   uint8_t id[16])
{
  int status = MR_OK;
  do {
    if (take(s, "id", &status))
      status = table_id(s, row, id);
    else if (take(s, "clustering", &status))
      status = clustering_order(s, t);
    else if (take(s, "cdc", &status) && (status = expect(s, "=")) >= 0)
      row->cdc = is(s, "true");
    else if (status >= 0 && is(s, "compact"))
      row->compact = 1;
    if (status >= 0)
      status = skip_option(s);
  } while (take(s, "and", &status));
  return status;
}

static int create_table(struct scan *s)
{
  struct table t = {0};
  struct clog_table_row row = {0};
  uint8_t id[16] = {0};
  int status = if_exists(s);
  if (status >= 0)
    status = full_name(s, &t.keyspace, &t.name);
  if (status >= 0) {
    clog_schema_delete(s->schema, CLOG_ROW_TABLE, t.keyspace, t.name, NULL, INT64_MAX);
    clog_schema_delete(s->schema, CLOG_ROW_COLUMN, t.keyspace, t.name, NULL, INT64_MAX);
    clog_schema_delete(s->schema, CLOG_ROW_DROPPED, t.keyspace, t.name, NULL, INT64_MAX);
    status = definitions(s, &t);
  }
  if (take(s, "with", &status))
    status = options(s, &t, &row, id);
  row.keyspace = t.keyspace;
  row.table = t.name;
  if (status >= 0 && !row.id)
    status = fail(s, "CREATE TABLE has no ID (DESCRIBE … WITH INTERNALS prints it)");
  if (status >= 0)
    status = clog_schema_put_table(s->schema, &row, CLOG_NEVER, s->err);
  free(t.keyspace);
  free(t.name);
  return status;
}

/* ---------------------------------------------------------------- ALTER TABLE */

/* DROP name [USING TIMESTAMP n] */
static int alter_drop(struct scan *s, const struct table *t)
{
  int status = MR_OK;
  long long at = INT64_MAX;
  char *column_name = name(s, &status);
  if (take(s, "using", &status) && (status = expect(s, "timestamp")) >= 0) {
    if (sscanf(s->now.text, "%lld", &at) != 1)
      status = fail(s, "a timestamp expected");
    if (status >= 0)
      status = next(s);
  }
  const struct clog_dropped_row row = {t->keyspace, t->name, column_name, -1, NULL, at};
  if (status >= 0)
    status = clog_schema_drop_column(s->schema, &row, s->err);
  free(column_name);
  return status;
}

static int alter_table(struct scan *s)
{
  struct table t = {0};
  int status = if_exists(s);
  if (status >= 0)
    status = full_name(s, &t.keyspace, &t.name);
  if (take(s, "add", &status))
    status = column(s, &t);
  else if (take(s, "drop", &status))
    status = alter_drop(s, &t);
  free(t.keyspace);
  free(t.name);
  return status;
}

/* ---------------------------------------------------------------- statements */

static int statement(struct scan *s)
{
  int status = MR_OK;
  if (take(s, "create", &status)) {
    if (take(s, "table", &status))
      status = create_table(s);
    else if (take(s, "type", &status))
      status = create_type(s);
  } else if (take(s, "alter", &status) && take(s, "table", &status)) {
    status = alter_table(s);
  }
  return status < 0 ? status : skip_statement(s);
}

int clog_cql_read(struct clog_schema *schema, const char *text, size_t n, struct mr_error *err)
{
  struct scan s = {.p = text, .end = text + n, .text = text, .schema = schema, .err = err};
  int status = next(&s);
  while (status >= 0 && s.now.kind != T_END)
    status = statement(&s);
  return status < 0 ? status : clog_schema_commit(schema, s.segment, s.position, err);
}
