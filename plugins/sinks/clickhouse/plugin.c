/* SPDX-License-Identifier: Apache-2.0 */
/* The clickhouse sink: one unit is one Native block in one INSERT over HTTP, sent with a token by
 * which the server knows it again. */
#include "clickhouse.h"

#define NAME_MAX_BYTES 256

#define OPT(field_, name_, type_, ...)                                                    \
  {                                                                                       \
    .name = name_, .type = type_, .offset = offsetof(struct ch_conf, field_), __VA_ARGS__ \
  }

static const char *const mode_choices[] = {"append", "upsert", NULL};
static const char *const delivery_choices[] = {"auto", "exactly_once", "at_least_once", NULL};
static const char *const compression_choices[] = {"auto", "none", "lz4", "zstd", NULL};
static const char *const nulls_choices[] = {"reject", "default", NULL};

static const struct mr_opt options[] = {
    OPT(url, "url", MR_TEXT, .flags = MR_SECRET | MR_REQUIRED,
        .doc = "http://user:password@host:8123/?database=name, or https://"),
    OPT(user, "user", MR_TEXT, .doc = "User name; wins over url"),
    OPT(password, "password", MR_TEXT, .flags = MR_SECRET, .doc = "Password; wins over url"),
    OPT(database, "database", MR_TEXT, .doc = "Database of tables that are named without one"),
    OPT(tls_ca, "tls_ca", MR_TEXT, .doc = "File of certificate authorities, for https"),
    OPT(table, "table", MR_TEXT, .flags = MR_REQUIRED, .doc = "Target table, database.name"),
    OPT(mode, "mode", MR_CHOICE, .choices = mode_choices, .dflt = "append",
        .doc = "append inserts every row; upsert inserts versions into a ReplacingMergeTree"),
    OPT(key, "key", MR_TEXT, .flags = MR_MANY | MR_PARTITION,
        .doc = "Columns of the key, for mode upsert and create"),
    OPT(version, "version", MR_TEXT,
        .doc = "Column that says which row of a key is newer; left out: the source's position"),
    OPT(create, "create", MR_BOOL, .doc = "Create the target table when it does not exist"),
    OPT(order_by, "order_by", MR_TEXT, .flags = MR_MANY,
        .doc = "Columns that a created table is ordered by; left out: key"),
    OPT(partition_by, "partition_by", MR_TEXT, .doc = "PARTITION BY of a created table, SQL"),
    OPT(window, "window", MR_INT, .range = "0..", .dflt = "10000",
        .doc = "Blocks that a created table remembers (non_replicated_deduplication_window)"),
    OPT(delivery, "delivery", MR_CHOICE, .choices = delivery_choices, .dflt = "auto",
        .doc =
            "exactly_once: refuse a table that cannot; auto: what the table can, with a warning"),
    EVO_OPTIONS(ch_conf),
    OPT(nulls, "nulls", MR_CHOICE, .choices = nulls_choices, .dflt = "reject",
        .doc = "A null in a column that takes none: reject the row, or write the type's default"),
    OPT(compression, "compression", MR_CHOICE, .choices = compression_choices, .dflt = "auto",
        .doc =
            "Of the request's body, and of the block that is kept on disk; auto: lz4, but none to "
            "this machine"),
    OPT(connect_timeout_ms, "connect_timeout", MR_TIME_MS, .range = "1ms..1h", .dflt = "10s",
        .doc = "Deadline for a connection"),
    OPT(statement_timeout_ms, "statement_timeout", MR_TIME_MS, .range = "1ms..24h", .dflt = "30s",
        .doc = "Deadline for the answer to anything but INSERT"),
    OPT(insert_timeout_ms, "insert_timeout", MR_TIME_MS, .range = "1ms..24h", .dflt = "5m",
        .doc = "Deadline for the answer to an INSERT"),
    {0},
};

static int check_names(const struct ch_conf *c, struct mr_error *err)
{
  struct sql_name name;
  const char *why = NULL;
  if (!sql_name_parse(c->table, NAME_MAX_BYTES, &name, &why))
    return src_badconf(err, "table", "%s", why);
  sql_name_done(&name);
  return MR_OK;
}

static int validate(const void *conf, struct mr_error *err)
{
  const struct ch_conf *c = conf;
  if (c->mode == MODE_UPSERT && c->key.n == 0)
    return src_badconf(err, "key", "mode upsert needs the key columns");
  if (c->version && c->mode != MODE_UPSERT)
    return src_badconf(err, "version", "only mode upsert has versions");
  if (!ch_url_ok(c->url))
    return src_badconf(err, "url", "not an http:// or https:// URL");
  int status = evo_validate(c->evolve, c->drop_columns, err);
  return status < 0 ? status : check_names(c, err);
}

int ch_input_check(const struct ch_sink *s, const struct ArrowSchema *in, struct mr_error *err)
{
  if (s->conf->mode == MODE_UPSERT || mr_schema_find(in, MR_RANGE) < 0)
    return MR_OK;
  return src_badconf(
      err, "mode",
      "rows come here that mean deletes of many rows (`_range`), which mode append "
      "would insert; if that is meant, drop `_range` before: select: {drop: _range}");
}

/* A delete of many rows means what every instance has written. */
static int check_instances(const struct mr_open *o, struct mr_error *err)
{
  if (o->instances < 2 || mr_schema_find(o->in, MR_RANGE) < 0)
    return MR_OK;
  return src_badconf(err, "",
                     "rows come here that mean deletes of many rows (`_range`), also of those that "
                     "other instances have not written yet: leave out `parallel`");
}

static int fill(struct ch_sink *s, const struct mr_open *o, struct mr_error *err)
{
  const char *why = NULL;
  s->pipeline = strdup(o->pipeline ? o->pipeline : "");
  s->stage = strdup(o->stage ? o->stage : "");
  s->shown = strdup(s->conf->table);
  if (!s->pipeline || !s->stage || !s->shown)
    return ch_no_memory(err);
  if (o->in && !mr_schema_copy(o->in, &s->in))
    return ch_no_memory(err);
  if (!sql_name_parse(s->conf->table, NAME_MAX_BYTES, &s->table, &why))
    return src_badconf(err, "table", "%s", why);
  int status = o->in ? ch_input_check(s, o->in, err) : MR_OK;
  if (status >= 0 && o->in)
    status = check_instances(o, err);
  if (status >= 0)
    status = ch_http_describe(s, err);
  if (status < 0)
    return status;
  s->target = ch_quoted_name(s, &s->table);
  return s->target ? MR_OK : ch_no_memory(err);
}

int ch_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct ch_sink *s = calloc(1, sizeof *s);
  if (!s)
    return ch_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  s->op_source = s->range_source = s->version_node = s->deleted_node = -1;
  int status = fill(s, o, err);
  if (status < 0)
    ch_free(s);
  else
    *self = s;
  return status;
}

void ch_free(void *self)
{
  struct ch_sink *s = self;
  if (!s)
    return;
  ch_abort(s, NULL, NULL);
  free(s->written);
  free(s->lent);
  sql_buf_done(&s->words);
  ch_http_close(s);
  ch_target_forget(s);
  ch_server_forget(&s->server);
  free(s->engine.engine);
  free(s->engine.engine_full);
  free(s->engine.version_column);
  free(s->engine.deleted_column);
  mr_schema_release(&s->in);
  sql_name_done(&s->table);
  char *texts[] = {s->pipeline, s->stage, s->target,   s->shown,   s->base,
                   s->where,    s->user,  s->password, s->database};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    free(texts[i]);
  free(s->dead);
  free(s->deleted);
  free(s);
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_IDEMPOTENT,
    .open = ch_open,
    .start = ch_start,
    .begin = ch_begin,
    .write = ch_write,
    .abort = ch_abort,
    .seal = ch_seal,
    .send = ch_send,
    .evolve = ch_evolve,
    .close = ch_free,
    .window = ch_window,
    .unit_rows = CH_UNIT_ROWS,
    .unit_bytes = CH_UNIT_BYTES,
};

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct ch_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "clickhouse",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Writes rows to a ClickHouse table, exactly once within its token window",
    .options = options,
    .sink = &sink,
    .validate = validate,
    .check = ch_check,
    .discover = ch_discover,
    .flags = MR_RANGES,
    .ddl = ch_ddl,
    .type = ch_type,
};
