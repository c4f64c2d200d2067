/* SPDX-License-Identifier: Apache-2.0 */
/* The starrocks sink: rows by Stream Load's transactions, exactly once. */
#include <stdio.h>
#include "starrocks.h"
#include "millrace/changes.h"

#define OPT(field_, name_, type_, ...)                                                    \
  {                                                                                       \
    .name = name_, .type = type_, .offset = offsetof(struct sr_conf, field_), __VA_ARGS__ \
  }

static const char *const mode_choices[] = {"append", "upsert", NULL};
static const char *const load_choices[] = {"transaction", "labelled", "multi", NULL};
static const char *const format_choices[] = {"json", "csv", NULL};
static const char *const pack_choices[] = {"none", "lz4", "zstd", NULL};
static const char *const partial_choices[] = {"none", "row", "column", NULL};

static const struct mr_opt options[] = {
    OPT(url, "url", MR_TEXT, .flags = MR_REQUIRED | MR_MANY,
        .doc = "http://host:8030 of a frontend (FE); more than one: tried in turn"),
    OPT(user, "user", MR_TEXT, .dflt = "root", .doc = "User name"),
    OPT(password, "password", MR_TEXT, .flags = MR_SECRET, .doc = "Password"),
    OPT(sql_host, "sql_host", MR_TEXT,
        .doc = "Host of the MySQL protocol; left out: the frontend's"),
    OPT(sql_port, "sql_port", MR_INT, .range = "1..65535", .dflt = "9030",
        .doc = "Port of the MySQL protocol"),
    OPT(tls_ca, "tls_ca", MR_TEXT,
        .doc = "File of certificate authorities, for https and the MySQL protocol"),
    OPT(table, "table", MR_TEXT, .flags = MR_REQUIRED, .doc = "Target table, database.name"),
    OPT(mode, "mode", MR_CHOICE, .choices = mode_choices, .dflt = "append",
        .doc = "append inserts every row; upsert writes and deletes by primary key"),
    OPT(key, "key", MR_TEXT, .flags = MR_MANY | MR_PARTITION,
        .doc = "Columns of the primary key, for mode upsert"),
    OPT(be_address_map, "be_address_map", MR_TEXT, .flags = MR_KEYED,
        .doc = "Where backends are reached: HOST, HOST:PORT or * as FE names them, to HOST, "
               "HOST:PORT or *"),
    OPT(load, "load", MR_CHOICE, .choices = load_choices, .dflt = "transaction",
        .doc = "transaction: a unit is a transaction, prepared and committed; labelled: plain "
               "loads, for servers without transactions and for rows that carry only some columns; "
               "multi: rows and positions in one transaction (StarRocks 4.0)"),
    OPT(format, "format", MR_CHOICE, .choices = format_choices, .dflt = "json",
        .doc = "How rows are sent"),
    OPT(compression, "compression", MR_CHOICE, .choices = pack_choices, .dflt = "none",
        .doc = "How bodies are compressed"),
    OPT(body_bytes, "body_bytes", MR_BYTES, .range = "1KiB..1GiB", .dflt = "32MiB",
        .doc = "A load is sent once it has so many bytes"),
    OPT(timezone, "timezone", MR_TEXT, .dflt = "UTC",
        .doc = "Sent with every load; DATETIME columns hold instants in UTC"),
    OPT(strict_mode, "strict_mode", MR_BOOL, .dflt = "true",
        .doc = "The server refuses values that do not fit; false: it stores NULL"),
    OPT(partial_update, "partial_update", MR_CHOICE, .choices = partial_choices, .dflt = "none",
        .doc = "The pipeline's columns alone are written, others of the row stay"),
    OPT(headers, "headers", MR_TEXT, .flags = MR_KEYED,
        .doc = "More headers of a load: merge_condition, warehouse, load_mem_limit"),
    OPT(create, "create", MR_BOOL, .doc = "Create the target table when it does not exist"),
    OPT(replicas, "replicas", MR_INT, .range = "1..99",
        .doc = "replication_num of a created table; left out: the server's"),
    OPT(buckets, "buckets", MR_INT, .range = "1..100000",
        .doc = "Buckets of a created table; left out: the server's choice"),
    EVO_OPTIONS(sr_conf),
    OPT(connect_timeout_ms, "connect_timeout", MR_TIME_MS, .range = "1ms..1h", .dflt = "10s",
        .doc = "Deadline for a connection"),
    OPT(request_timeout_ms, "request_timeout", MR_TIME_MS, .range = "1ms..24h", .dflt = "60s",
        .doc = "Deadline for the answer to a request"),
    OPT(transaction_timeout_ms, "transaction_timeout", MR_TIME_MS, .range = "1s..72h",
        .dflt = "10m", .doc = "After which the server drops a transaction that is not prepared"),
    OPT(prepared_timeout_ms, "prepared_timeout", MR_TIME_MS, .range = "1s..72h", .dflt = "24h",
        .doc = "After which the server drops a prepared transaction"),
    {0},
};

static bool known_place(const char *p)
{
  return *p && !strpbrk(p, "/@ ");
}

/* Headers that are the sink's own business. */
static bool is_own(const char *name)
{
  static const char *const own[] = {"label",
                                    "db",
                                    "table",
                                    "format",
                                    "columns",
                                    "compression",
                                    "expect",
                                    "timezone",
                                    "strict_mode",
                                    "timeout",
                                    "column_separator",
                                    "row_delimiter",
                                    "strip_outer_array",
                                    "max_filter_ratio",
                                    "authorization",
                                    "partial_update",
                                    "partial_update_mode",
                                    "enable_merge_commit",
                                    NULL};
  for (int i = 0; own[i]; i++)
    if (!strcasecmp(own[i], name))
      return true;
  return !*name || strpbrk(name, ": \r\n");
}

static int validate_lists(const struct sr_conf *c, struct mr_error *err)
{
  const char *const *url = c->url.item, *const *to = c->be_address_map.item;
  const char *const *value = c->headers.item;
  for (size_t i = 0; i < c->url.n; i++)
    if (!sr_url_ok(url[i]))
      return src_badconf(err, "url", "not http://host:port (user and password are options)");
  for (size_t i = 0; i < c->be_address_map.n; i++)
    if (!known_place(c->be_address_map.key[i]) || !known_place(to[i]))
      return src_badconf(err, "be_address_map", "addresses are HOST, HOST:PORT or *");
  for (size_t i = 0; i < c->headers.n; i++)
    if (is_own(c->headers.key[i]) || strpbrk(value[i], "\r\n"))
      return src_badconf(err, "headers", "%.60s: the sink sends this header itself, or it is none",
                         c->headers.key[i]);
  return c->url.n ? MR_OK : src_badconf(err, "url", "an address of a frontend is needed");
}

static int validate(const void *conf, struct mr_error *err)
{
  const struct sr_conf *c = conf;
  const char *dot = strchr(c->table, '.');
  if (!dot || dot == c->table || !dot[1] || strchr(dot + 1, '.'))
    return src_badconf(err, "table", "the table is written database.name");
  if (c->mode == MODE_UPSERT && !c->key.n)
    return src_badconf(err, "key", "mode upsert needs the key columns");
  if (c->partial_update != PARTIAL_NO && c->mode != MODE_UPSERT)
    return src_badconf(err, "partial_update", "partial updates need mode upsert");
  int status = evo_validate(c->evolve, c->drop_columns, err);
  return status < 0 ? status : validate_lists(c, err);
}

static bool describe(struct sr_sink *s)
{
  const char *const *url = s->conf->url.item;
  struct sql_buf b = {0};
  char *host = s->conf->sql_host ? strdup(s->conf->sql_host) : sr_url_host(url[0]);
  sql_buf_fmt(&b, " at %s:%lld, user %s", host ? host : "?", (long long)s->conf->sql_port,
              s->conf->user ? s->conf->user : "root");
  sql_buf_text(&b);
  free(host);
  s->where = (char *)b.p;
  return !b.failed;
}

static int fill(struct sr_sink *s, const struct mr_open *o, struct mr_error *err)
{
  const char *dot = strchr(s->conf->table, '.');
  s->pipeline = strdup(o->pipeline ? o->pipeline : "");
  s->stage = strdup(o->stage ? o->stage : "");
  s->shown = strdup(s->conf->table);
  s->database = strndup(s->conf->table, dot ? (size_t)(dot - s->conf->table) : 0);
  s->table = strdup(dot ? dot + 1 : "");
  bool room = s->pipeline && s->stage && s->shown && s->database && s->table && describe(s);
  if (room && o->in)
    room = mr_schema_copy(o->in, &s->in);
  return room ? MR_OK : src_no_memory(err);
}

/* Loads of one transaction have the same columns. */
static int check_set(const struct sr_sink *s, struct mr_error *err)
{
  int64_t at = s->in.release ? mr_schema_find(&s->in, MR_SET) : -1;
  if (at < 0 || !mr_set_valid(s->in.children[at]))
    return MR_OK;
  if (s->conf->mode != MODE_UPSERT)
    return src_badconf(err, "mode", "rows that carry only some columns (_set) need mode upsert");
  if (s->conf->load != LOAD_LABELLED)
    return src_badconf(err, "load",
                       "rows that carry only some columns (_set) need load: labelled, as the loads "
                       "of one transaction have the same columns");
  return MR_OK;
}

static int check_instances(const struct sr_sink *s, const struct mr_open *o, struct mr_error *err)
{
  if (s->conf->load == LOAD_MULTI && o->instances > 1)
    return src_badconf(err, "load", "load: multi has one session: it goes with parallel: 1 only");
  return MR_OK;
}

int sr_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct sr_sink *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->host = o->host;
  s->conf = o->conf;
  s->op_source = s->set_source = s->at_group = -1;
  int status = fill(s, o, err);
  if (status >= 0)
    status = check_set(s, err);
  if (status >= 0)
    status = check_instances(s, o, err);
  if (status < 0)
    sr_free(s);
  else
    *self = s;
  return status;
}

void sr_free(void *self)
{
  struct sr_sink *s = self;
  if (!s)
    return;
  sr_http_close(s);
  sr_sql_close(s);
  sr_target_forget(s);
  sr_groups_done(s);
  sr_labelled_done(s);
  sr_multi_done(s);
  sql_buf_done(&s->rows);
  sql_buf_done(&s->packed);
  sql_buf_done(&s->catalog);
  sql_buf_done(&s->alter);
  sql_buf_done(&s->words);
  mr_schema_release(&s->in);
  free(s->row_end);
  free(s->dead);
  free(s->pipeline);
  free(s->stage);
  free(s->database);
  free(s->table);
  free(s->shown);
  free(s->where);
  free(s);
}

static const struct mr_sink sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_TWO_PHASE,
    .open = sr_open,
    .start = sr_start,
    .begin = sr_begin,
    .write = sr_write,
    .prepare = sr_prepare,
    .commit = sr_commit,
    .abort = sr_abort,
    .resolve = sr_resolve,
    .evolve = sr_evolve,
    .close = sr_free,
    /* what a run with `load: labelled` has left: */
    .seal = sr_labelled_seal,
    .send = sr_labelled_send,
};

static const struct mr_sink labelled_sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_IDEMPOTENT,
    .open = sr_open,
    .start = sr_start,
    .begin = sr_labelled_begin,
    .write = sr_labelled_write,
    .seal = sr_labelled_seal,
    .send = sr_labelled_send,
    .abort = sr_labelled_abort,
    .window = sr_labelled_window,
    .unit_bytes = 64 << 20, /* a unit without key is one body */
    /* what a run with `load: transaction` has left: */
    .prepare = sr_prepare,
    .commit = sr_commit,
    .resolve = sr_resolve,
    .evolve = sr_evolve,
    .close = sr_free,
};

static const struct mr_sink multi_sink = {
    .size = sizeof(struct mr_sink),
    .delivery = MR_TRANSACTIONAL,
    .open = sr_open,
    .start = sr_start,
    .take = sr_multi_take,
    .found = sr_multi_found,
    .begin = sr_multi_begin,
    .write = sr_write,
    .commit = sr_multi_commit,
    .abort = sr_multi_abort,
    .evolve = sr_evolve,
    .close = sr_free,
    .reread = sr_multi_reread,
    .alone = true,
};

static const struct mr_sink *choose(const void *conf)
{
  static const struct mr_sink *const by_load[] = {&sink, &labelled_sink, &multi_sink};
  return by_load[((const struct sr_conf *)conf)->load];
}

const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct sr_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "starrocks",
    .version = MILLRACE_VERSION,
    .license = "Apache-2.0",
    .summary = "Writes rows to a StarRocks table by Stream Load, exactly once",
    .options = options,
    .sink = &sink,
    .validate = validate,
    .check = sr_check,
    .discover = sr_discover,
    .ddl = sr_ddl,
    .flags = MR_PARTIAL,
    .choose = choose,
    .type = sr_type,
};
