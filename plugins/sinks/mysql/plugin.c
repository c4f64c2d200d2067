/* SPDX-License-Identifier: Apache-2.0 */
/* The mysql sink: rows and positions in one transaction of a MariaDB or MySQL server. */
#include "mysql-sink.h"

#define OPT(field_, name_, type_, ...)                                                    \
  {                                                                                       \
    .name = name_, .type = type_, .offset = offsetof(struct my_conf, field_), __VA_ARGS__ \
  }
#define NAME_BYTES (4 * MARIA_NAME_MAX)

static const char *const mode_choices[] = {"append", "upsert", NULL};
static const char *const method_choices[] = {"auto", "load", "insert", NULL};

static const struct mr_opt options[] = {
    MARIA_OPTIONS(my_conf, server, "30s"),
    OPT(table, "table", MR_TEXT, .flags = MR_REQUIRED, .doc = "Target table, [database.]table"),
    OPT(mode, "mode", MR_CHOICE, .choices = mode_choices, .dflt = "append",
        .doc = "append inserts every row; upsert keeps one row for each key"),
    OPT(key, "key", MR_TEXT, .flags = MR_MANY | MR_PARTITION,
        .doc = "Columns of the unique key, for mode upsert and create"),
    OPT(version, "version", MR_TEXT,
        .doc = "Column whose newest value wins, for each column of a row; else the last row does"),
    OPT(create, "create", MR_BOOL, .doc = "Create the target table when it does not exist"),
    OPT(create_offsets, "create_offsets", MR_BOOL, .dflt = "true",
        .doc = "Create the table millrace_offsets when it does not exist"),
    EVO_OPTIONS(my_conf),
    OPT(method, "method", MR_CHOICE, .choices = method_choices, .dflt = "auto",
        .doc =
            "How rows are written; auto: LOAD DATA LOCAL, or INSERT where the server forbids it"),
    OPT(statement_bytes, "statement_bytes", MR_BYTES, .range = "1KiB..256MiB", .dflt = "4MiB",
        .doc = "Rows of so many bytes go into one statement"),
    OPT(commit_timeout_ms, "commit_timeout", MR_TIME_MS, .range = "1ms..24h", .dflt = "30s",
        .doc = "Deadline for the answer to COMMIT"),
    {0},
};

static bool name_fits(const char *name)
{
  size_t chars = 0;
  for (const char *p = name; *p; p++)
    chars += (*p & 0xc0) != 0x80;
  return chars > 0 && chars <= MARIA_NAME_MAX;
}

static int validate(const void *conf, struct mr_error *err)
{
  const struct my_conf *c = conf;
  struct sql_name name;
  const char *why = NULL;
  const char *const *key = c->key.item;
  if (!sql_name_parse(c->table, NAME_BYTES, &name, &why))
    return src_badconf(err, "table", "%s", why);
  sql_name_done(&name);
  int status = ups_key_validate(c->mode == MODE_UPSERT, &c->key, err);
  if (status < 0)
    return status;
  for (size_t i = 0; i < c->key.n; i++)
    if (!name_fits(key[i]))
      return src_badconf(err, "key", "a column name is empty or longer than 64 characters");
  status = ups_version_validate(c->version, c->mode == MODE_UPSERT, &c->key, err);
  if (status >= 0)
    status = evo_validate(c->evolve, c->drop_columns, err);
  return status < 0 ? status : maria_validate(&c->server, err);
}

/* Names longer than the server keeps are refused before it sees them. */
static int check_names(const struct my_sink *s, struct mr_error *err)
{
  for (int64_t i = 0; i < s->in.n_children; i++)
    if (!name_fits(s->in.children[i]->name))
      return src_fail(err, MR_BADCONF, "42000",
                      "column name is empty or longer than 64 characters: %.80s",
                      s->in.children[i]->name);
  return MR_OK;
}

static char *quoted_name(const struct sql_name *n)
{
  struct sql_buf b = {0};
  maria_name(&b, n);
  sql_buf_text(&b);
  return (char *)b.p;
}

static int fill(struct my_sink *s, const struct mr_open *o, struct mr_error *err)
{
  const char *why = NULL;
  s->pipeline = strdup(o->pipeline ? o->pipeline : "");
  s->stage = strdup(o->stage ? o->stage : "");
  s->shown = strdup(s->conf->table);
  if (!s->pipeline || !s->stage || !s->shown || (o->in && !mr_schema_copy(o->in, &s->in)))
    return src_no_memory(err);
  if (!sql_name_parse(s->conf->table, NAME_BYTES, &s->table, &why))
    return src_badconf(err, "table", "%s", why);
  s->offsets.schema = s->table.schema ? strdup(s->table.schema) : NULL;
  s->offsets.table = strdup("millrace_offsets");
  s->target = quoted_name(&s->table);
  s->offsets_name = s->offsets.table ? quoted_name(&s->offsets) : NULL;
  if (!s->target || !s->offsets_name)
    return src_no_memory(err);
  int status = check_names(s, err);
  if (status >= 0)
    status = my_version_rows(s, err);
  if (status >= 0)
    status = maria_init(&s->conn, &s->conf->server, s->host, err);
  s->conn.writes = true;
  if (status >= 0 && !s->conn.base && !s->table.schema)
    return src_badconf(err, "database", "no database is named: in url, database, or table");
  return status;
}

int my_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct my_sink *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  s->op_source = s->set_source = s->range_source = -1;
  int status = fill(s, o, err);
  if (status < 0)
    my_free(s);
  else
    *self = s;
  return status;
}

void my_free(void *self)
{
  struct my_sink *s = self;
  if (!s)
    return;
  maria_done(&s->conn);
  my_target_forget(s);
  sql_buf_done(&s->rows);
  sql_buf_done(&s->words);
  sql_buf_done(&s->load_sql);
  sql_buf_done(&s->tail_sql);
  free(s->set);
  mr_schema_release(&s->in);
  sql_name_done(&s->table);
  sql_name_done(&s->offsets);
  free(s->row_of);
  free(s->dead);
  free(s->target);
  free(s->offsets_name);
  free(s->shown);
  free(s->pipeline);
  free(s->stage);
  free(s);
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_TRANSACTIONAL,
    .open = my_open,
    .start = my_start,
    .take = my_take,
    .found = my_found,
    .begin = my_begin,
    .write = my_write,
    .flush = my_flush,
    .commit = my_commit,
    .abort = my_abort,
    .evolve = my_evolve,
    .state_bytes = INT64_C(16) << 20,
    .close = my_free,
    .reread = my_reread,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct my_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "mysql",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Writes rows to a MariaDB or MySQL table, exactly once",
    .options = options,
    .sink = &sink,
    .validate = validate,
    .check = my_check,
    .discover = my_discover,
    .ddl = my_ddl,
    .type = my_type,
    .flags = MR_PARTIAL | MR_RANGES,
};
