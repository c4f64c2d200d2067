/* SPDX-License-Identifier: Apache-2.0 */
/* The postgres sink: rows and positions in one transaction of a PostgreSQL server, or of one that
 * speaks its protocol. */
#include "postgres.h"

#define OPT(field_, name_, type_, ...)                                                    \
  {                                                                                       \
    .name = name_, .type = type_, .offset = offsetof(struct pg_conf, field_), __VA_ARGS__ \
  }

static const char *const mode_choices[] = {"append", "upsert", NULL};
static const char *const method_choices[] = {"auto", "copy", "insert", NULL};

static const struct mr_opt connection_options[] = {
    {.name = "max_batches",
     .type = MR_INT,
     .offset = offsetof(struct pg_conf_connection, max_batches),
     .range = "0..",
     .dflt = "0",
     .doc = "Batches before a new connection is made at the next unit; 0: never"},
    {0},
};

static const struct mr_opt hypertable_options[] = {
    {.name = "time",
     .type = MR_TEXT,
     .offset = offsetof(struct pg_conf_hypertable, time),
     .flags = MR_REQUIRED,
     .doc = "Column of the time, a timestamp or a date"},
    {.name = "chunk",
     .type = MR_TIME_MS,
     .offset = offsetof(struct pg_conf_hypertable, chunk_ms),
     .range = "1s..3650d",
     .dflt = "7d",
     .doc = "Time that one chunk holds"},
    {.name = "space",
     .type = MR_TEXT,
     .offset = offsetof(struct pg_conf_hypertable, space),
     .doc = "Column by whose hash chunks are split further"},
    {.name = "partitions",
     .type = MR_INT,
     .offset = offsetof(struct pg_conf_hypertable, partitions),
     .range = "1..32767",
     .doc = "Parts of that split"},
    {0},
};

static const struct mr_opt options[] = {
    PG_LOGIN_OPTIONS(pg_conf, login),
    OPT(table, "table", MR_TEXT, .flags = MR_REQUIRED, .doc = "Target table, schema.name"),
    OPT(mode, "mode", MR_CHOICE, .choices = mode_choices, .dflt = "append",
        .doc = "append inserts every row; upsert keeps one row for each key"),
    OPT(key, "key", MR_TEXT, .flags = MR_MANY | MR_PARTITION,
        .doc = "Columns of the unique key, for mode upsert and create"),
    OPT(create, "create", MR_BOOL, .doc = "Create the target table when it does not exist"),
    OPT(create_offsets, "create_offsets", MR_BOOL, .dflt = "true",
        .doc = "Create the table millrace_offsets when it does not exist"),
    OPT(version, "version", MR_TEXT,
        .doc = "Column whose newest value wins, for each column of a row; else the last row does"),
    EVO_OPTIONS(pg_conf),
    OPT(columns, "columns", MR_COLUMNS,
        .doc = "Column types of the target, for servers whose catalog cannot be read"),
    OPT(method, "method", MR_CHOICE, .choices = method_choices, .dflt = "auto",
        .doc = "How rows are written; auto: COPY, or INSERT where COPY is refused"),
    OPT(insert_rows, "insert_rows", MR_INT, .range = "1..65535", .dflt = "100",
        .doc = "Rows of one INSERT statement"),
    OPT(insert_waits, "insert_waits", MR_BOOL,
        .doc = "Wait for the answer to each INSERT before the next is sent"),
    OPT(connect_timeout_ms, "connect_timeout", MR_TIME_MS, .range = "1ms..1h", .dflt = "10s",
        .doc = "Deadline for a connection"),
    OPT(statement_timeout_ms, "statement_timeout", MR_TIME_MS, .range = "1ms..24h", .dflt = "30s",
        .doc = "Deadline for an answer of the server to anything but COMMIT"),
    OPT(commit_timeout_ms, "commit_timeout", MR_TIME_MS, .range = "1ms..24h", .dflt = "30s",
        .doc = "Deadline for the answer to COMMIT"),
    OPT(connection, "connection", MR_GROUP, .sub_size = sizeof(struct pg_conf_connection),
        .sub = connection_options, .doc = "How long a connection is used"),
    OPT(hypertable, "hypertable", MR_GROUP, .sub_size = sizeof(struct pg_conf_hypertable),
        .sub = hypertable_options, .doc = "TimescaleDB: what create makes is a hypertable"),
    PG_LOGIN_NAME_OPTION(pg_conf, login),
    {0},
};

static int validate(const void *conf, struct mr_error *err)
{
  const struct pg_conf *c = conf;
  struct sql_name name;
  const char *why = NULL;
  const char *const *key = c->key.item;
  if (!sql_name_parse(c->table, PG_NAME_MAX, &name, &why))
    return src_badconf(err, "table", "%s", why);
  sql_name_done(&name);
  int status = ups_key_validate(c->mode == MODE_UPSERT, &c->key, err);
  if (status < 0)
    return status;
  for (size_t i = 0; i < c->key.n; i++)
    if (!*key[i] || strlen(key[i]) > PG_NAME_MAX)
      return src_badconf(err, "key", "a column name is empty or longer than 63 bytes");
  status = ups_version_validate(c->version, c->mode == MODE_UPSERT, &c->key, err);
  if (status >= 0)
    status = evo_validate(c->evolve, c->drop_columns, err);
  if (status >= 0)
    status = pg_login_validate(&c->login, err);
  return status < 0 ? status : pg_hyper_validate(c, err);
}

/* Names longer than the server keeps would be cut, and two of them could become one. */
static int check_names(const struct pg_sink *s, struct mr_error *err)
{
  for (int64_t i = 0; i < s->in.n_children; i++)
    if (strlen(s->in.children[i]->name) > PG_NAME_MAX)
      return src_fail(err, MR_BADCONF, "42622", "column name is longer than 63 bytes: %.80s…",
                      s->in.children[i]->name);
  return MR_OK;
}

static char *quoted_name(const struct sql_name *n)
{
  struct sql_buf b = {0};
  sql_name_quoted(&b, n);
  sql_buf_text(&b);
  return (char *)b.p;
}

static int fill(struct pg_sink *s, const struct mr_open *o, struct mr_error *err)
{
  const char *why = NULL;
  s->pipeline = strdup(o->pipeline ? o->pipeline : "");
  s->stage = strdup(o->stage ? o->stage : "");
  s->shown = strdup(s->conf->table);
  if (!s->pipeline || !s->stage || !s->shown)
    return pg_no_memory(err);
  if (o->in && !mr_schema_copy(o->in, &s->in))
    return pg_no_memory(err);
  if (!sql_name_parse(s->conf->table, PG_NAME_MAX, &s->table, &why))
    return src_badconf(err, "table", "%s", why);
  s->offsets.schema = s->table.schema ? strdup(s->table.schema) : NULL;
  s->offsets.table = strdup("millrace_offsets");
  s->target = quoted_name(&s->table);
  s->offsets_name = s->offsets.table ? quoted_name(&s->offsets) : NULL;
  if (!s->target || !s->offsets_name)
    return pg_no_memory(err);
  int status = check_names(s, err);
  if (status >= 0)
    status = ups_rows_check(s->conf->version, s->conf->mode == MODE_UPSERT, &s->in, strcmp, err);
  return status < 0 ? status : pg_conn_describe(s, err);
}

int pg_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct pg_sink *s = calloc(1, sizeof *s);
  if (!s)
    return pg_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  s->op_source = s->set_source = s->range_source = -1;
  int status = fill(s, o, err);
  if (status < 0)
    pg_free(s);
  else
    *self = s;
  return status;
}

void pg_free(void *self)
{
  struct pg_sink *s = self;
  if (!s)
    return;
  pg_close(s);
  pg_target_forget(s);
  for (int i = 0; i < s->n_sent; i++)
    free(s->sent[i].skip);
  free(s->sent);
  free(s->made);
  free(s->masks);
  free(s->ends);
  sql_buf_done(&s->written);
  free(s->dead);
  sql_buf_done(&s->out);
  sql_buf_done(&s->words);
  mr_schema_release(&s->in);
  sql_name_done(&s->table);
  sql_name_done(&s->offsets);
  free(s->target);
  free(s->offsets_name);
  free(s->hyper_schema);
  free(s->shown);
  free(s->where);
  free(s->pipeline);
  free(s->stage);
  free(s);
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_TRANSACTIONAL,
    .open = pg_open,
    .start = pg_start,
    .take = pg_take,
    .found = pg_found,
    .begin = pg_begin,
    .write = pg_write,
    .flush = pg_flush,
    .commit = pg_commit,
    .abort = pg_abort,
    .evolve = pg_evolve,
    .state_bytes = INT64_C(16) << 20,
    .close = pg_free,
    .reread = pg_reread,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct pg_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "postgres",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Writes rows to a PostgreSQL table, exactly once",
    .options = options,
    .sink = &sink,
    .validate = validate,
    .check = pg_check,
    .discover = pg_discover,
    .ddl = pg_ddl,
    .type = pg_type_put,
    .flags = MR_PARTIAL | MR_RANGES,
};
