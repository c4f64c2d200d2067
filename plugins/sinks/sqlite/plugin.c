/* SPDX-License-Identifier: Apache-2.0 */
/* The sqlite sink: rows and positions in one transaction of an SQLite file. */
#include "sqlite.h"

#define OPT(field_, name_, type_, ...)                                                    \
  {                                                                                       \
    .name = name_, .type = type_, .offset = offsetof(struct sq_conf, field_), __VA_ARGS__ \
  }

static const char *const mode_choices[] = {"append", "upsert", NULL};

static const struct mr_opt options[] = {
    OPT(path, "path", MR_TEXT, .flags = MR_REQUIRED, .doc = "The database file"),
    OPT(table, "table", MR_TEXT, .flags = MR_REQUIRED, .doc = "Target table"),
    OPT(mode, "mode", MR_CHOICE, .choices = mode_choices, .dflt = "append",
        .doc = "append inserts every row; upsert keeps one row for each key"),
    OPT(key, "key", MR_TEXT, .flags = MR_MANY | MR_PARTITION,
        .doc = "Columns of the unique key, for mode upsert and create"),
    OPT(version, "version", MR_TEXT,
        .doc = "Column whose newest value wins, for each column of a row; else the last row does"),
    OPT(create, "create", MR_BOOL, .doc = "Create the target table when it does not exist"),
    EVO_OPTIONS(sq_conf),
    OPT(busy_timeout_ms, "busy_timeout", MR_TIME_MS, .range = "0..1h", .dflt = "5s",
        .doc = "How long to wait for another writer of the file"),
    {0},
};

static int validate(const void *conf, struct mr_error *err)
{
  const struct sq_conf *c = conf;
  struct sql_name name;
  const char *why = NULL;
  if (!*c->path || !strcmp(c->path, ":memory:"))
    return src_badconf(err, "path", "a file is needed: memory does not survive the run");
  if (!sql_name_parse(c->table, SQ_NAME_MAX, &name, &why))
    return src_badconf(err, "table", "%s", why);
  bool main_only = !name.schema || !strcmp(name.schema, "main");
  sql_name_done(&name);
  if (!main_only)
    return src_badconf(err, "table", "an SQLite file has only the schema main");
  int status = ups_key_validate(c->mode == MODE_UPSERT, &c->key, err);
  if (status >= 0)
    status = ups_version_validate(c->version, c->mode == MODE_UPSERT, &c->key, err);
  return status < 0 ? status : evo_validate(c->evolve, c->drop_columns, err);
}

static int fill(struct sq_sink *s, const struct mr_open *o, struct mr_error *err)
{
  const char *why = NULL;
  struct sql_buf quoted = {0};
  s->pipeline = strdup(o->pipeline ? o->pipeline : "");
  s->stage = strdup(o->stage ? o->stage : "");
  if (!s->pipeline || !s->stage || (o->in && !mr_schema_copy(o->in, &s->in)))
    return sq_no_memory(err);
  if (!sql_name_parse(s->conf->table, SQ_NAME_MAX, &s->table, &why))
    return src_badconf(err, "table", "%s", why);
  sql_name_quoted(&quoted, &s->table);
  sql_buf_text(&quoted);
  s->target = (char *)quoted.p;
  if (!s->target)
    return sq_no_memory(err);
  return sq_table_input(s, err);
}

int sq_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct sq_sink *s = calloc(1, sizeof *s);
  if (!s)
    return sq_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  s->op_source = -1;
  int status = fill(s, o, err);
  if (status < 0)
    sq_free(s);
  else
    *self = s;
  return status;
}

void sq_free(void *self)
{
  struct sq_sink *s = self;
  if (!s)
    return;
  sq_rollback(s);
  sq_table_forget(s);
  sqlite3_close_v2(s->db);
  sql_buf_done(&s->cells);
  sql_buf_done(&s->words);
  sql_buf_done(&s->written);
  sql_buf_done(&s->known.other);
  free(s->row);
  mr_schema_release(&s->in);
  sql_name_done(&s->table);
  free(s->target);
  free(s->pipeline);
  free(s->stage);
  free(s);
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_TRANSACTIONAL,
    .open = sq_open,
    .start = sq_start,
    .take = sq_take,
    .found = sq_found,
    .begin = sq_begin,
    .write = sq_write,
    .commit = sq_commit,
    .abort = sq_abort,
    .evolve = sq_evolve,
    .state_bytes = INT64_C(16) << 20,
    .close = sq_free,
    .reread = sq_reread,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct sq_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "sqlite",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Writes rows to an SQLite file, exactly once",
    .options = options,
    .sink = &sink,
    .validate = validate,
    .check = sq_check,
    .discover = sq_discover,
    .ddl = sq_ddl,
    .type = sq_type,
    .flags = MR_PARTIAL | MR_RANGES,
};
