/* SPDX-License-Identifier: Apache-2.0 */
/* The cassandra source: the rows of a table, read once over CQL, and its changes, read from the
 * node's commit log. */
#include "cassandra.h"
#include "common/src-error.h"
#include "log.h"

#define OPT(field_, name_, type_, ...)                                                      \
  {                                                                                         \
    .name = name_, .type = type_, .offset = offsetof(struct cass_conf, field_), __VA_ARGS__ \
  }

static const char *const modes[] = {"snapshot", "cdc", "snapshot+cdc", NULL};
static const char *const rows_choices[] = {"regular", "static", NULL};
static const char *const partial_choices[] = {"keep", "read_back", NULL};
static const char *const read_choices[] = {"fast", "durable", NULL};
static const char *const gap_choices[] = {"fail", "warn", NULL};
static const char *const damage_choices[] = {"fail", "skip", NULL};
static const char *const start_choices[] = {"earliest", "latest", NULL};

static const struct mr_opt options[] = {
    CQL_OPTIONS(cass_conf, server),
    OPT(table, "table", MR_TEXT, .flags = MR_REQUIRED, .doc = "Table to read, as KEYSPACE.TABLE"),
    OPT(mode, "mode", MR_CHOICE, .choices = modes, .dflt = "snapshot",
        .doc = "snapshot: the rows that are there, read once; cdc: the changes, from the node's "
               "commit log; snapshot+cdc: both, with no gap between them"),
    OPT(columns, "columns", MR_COLUMNS,
        .doc = "Columns to read and their types; left out: all of the table"),
    OPT(writetime, "writetime", MR_TEXT, .flags = MR_MANY,
        .doc = "Columns whose write time is wanted, as NAME_writetime"),
    OPT(ttl, "ttl", MR_TEXT, .flags = MR_MANY,
        .doc = "Columns whose remaining seconds to live are wanted, as NAME_ttl"),
    OPT(ranges, "ranges", MR_INT, .range = "1..4096", .dflt = "32",
        .doc = "Pieces of the token ring, each with a position of its own; stays as it is once a "
               "scan began"),
    OPT(page, "page", MR_INT, .range = "1..1000000", .dflt = "5000", .doc = "Rows of one answer"),
    OPT(concurrent_queries, "concurrent_queries", MR_INT, .range = "1..1024", .dflt = "8",
        .doc = "Ranges that one connection reads at the same time"),
    OPT(directory, "directory", MR_TEXT, .doc = "cdc: the node's cdc_raw_directory"),
    OPT(history, "history", MR_TEXT,
        .doc = "cdc: folder for the schema's history and the positions of all readers of this "
               "directory, kept by them together"),
    OPT(rows, "rows", MR_CHOICE, .choices = rows_choices, .dflt = "regular",
        .doc = "cdc: changes of rows, or of the partitions' static columns"),
    OPT(partial, "partial", MR_CHOICE, .choices = partial_choices, .dflt = "keep",
        .doc = "cdc: rows have the columns that were written, or are read back whole"),
    OPT(start, "start", MR_CHOICE, .choices = start_choices, .dflt = "earliest",
        .doc = "cdc: where the first run begins: the log's first segment, or its end"),
    OPT(read, "read", MR_CHOICE, .choices = read_choices, .dflt = "fast",
        .doc = "cdc: what the node has written, or only what it has on disk"),
    OPT(delete_, "delete", MR_BOOL, .dflt = "true",
        .doc = "cdc: remove segments that every reader's sinks hold"),
    OPT(on_gap, "on_gap", MR_CHOICE, .choices = gap_choices, .dflt = "fail",
        .doc = "cdc: when segments have gone before they were read"),
    OPT(on_damage, "on_damage", MR_CHOICE, .choices = damage_choices, .dflt = "fail",
        .doc = "cdc: when a segment, or a mutation in it, cannot be read; skip goes on behind it"),
    OPT(cap, "cap", MR_BYTES,
        .doc = "cdc: what the directory may hold, for the alarm at 60 %; left out: as the node has "
               "it (cdc_total_space)"),
    {0},
};

static int validate_cdc(const struct cass_conf *c, struct mr_error *err)
{
  if (!c->directory)
    return src_badconf(err, "directory", "mode cdc needs the node's cdc_raw_directory");
  if (!c->history)
    return src_badconf(err, "history", "mode cdc needs a folder for the log's history");
  if (c->server.hosts.n > 1)
    return src_badconf(err, "hosts", "mode cdc reads the log of one node: name that one alone");
  if (c->writetime.n || c->ttl.n)
    return src_badconf(err, c->writetime.n ? "writetime" : "ttl",
                       "mode cdc has _timestamp, _ttl and _expires for it");
  return MR_OK;
}

static int validate(const void *conf, struct mr_error *err)
{
  const struct cass_conf *c = conf;
  struct sql_name name;
  const char *why = NULL;
  int rc = cql_conf_validate(&c->server, err);
  if (rc < 0)
    return rc;
  if (!sql_name_parse(c->table, CASS_NAME_MAX, &name, &why))
    return src_badconf(err, "table", "%s", why);
  bool whole = name.schema != NULL;
  sql_name_done(&name);
  if (!whole)
    return src_badconf(err, "table", "say KEYSPACE.TABLE");
  if (c->columns && !c->columns->n_children)
    return src_badconf(err, "columns", "no column");
  return c->mode == CASS_SNAPSHOT ? MR_OK : validate_cdc(c, err);
}

/* Nodes and tables that change while they are read are told in the log. */
static void event(void *ctx, const struct cql_event *e)
{
  const struct cass_source *s = ctx;
  char text[400];
  bool ours = e->kind != CQL_SCHEMA_EVENT || (!strcmp(e->keyspace, s->name.schema) &&
                                              (!*e->name || !strcmp(e->name, s->name.table)));
  if (!ours || !s->host || !s->host->log)
    return;
  if (e->kind == CQL_SCHEMA_EVENT)
    snprintf(text, sizeof text, "Cassandra: %s of %s %s%s%s while it is read", e->change, e->target,
             e->keyspace, *e->name ? "." : "", e->name);
  else
    snprintf(text, sizeof text, "Cassandra: node %s is %s", e->keyspace, e->change);
  s->host->log(s->host->ctx, MR_INFO, text);
}

int cass_init(struct cass_source *s, const struct mr_open *o, struct mr_error *err)
{
  const char *why;
  *s = (struct cass_source){.conf = o->conf, .host = o->host, .instance = o->instance};
  s->instances = o->instances ? o->instances : 1;
  int rc = validate(o->conf, err);
  cql_conn_init(&s->conn, &s->conf->server, o->host ? o->host->wake_fd : -1, o->instance);
  if (rc >= 0 && !sql_name_parse(s->conf->table, CASS_NAME_MAX, &s->name, &why))
    rc = src_no_memory(err);
  s->conn.event = event;
  s->conn.event_ctx = s;
  return rc;
}

/* ---- an instance: a scan, a reader of the log, or both */

/* Of both the log's first position is durable before the scan begins, and the log is read when the
 * scan has ended: what was written meanwhile comes twice, with one write time. */
struct instance {
  struct cass_source *scan;
  struct cass_log *log;
  bool scanned;
};

static void close_(void *self)
{
  struct instance *i = self;
  if (i->scan)
    cass_done(i->scan);
  free(i->scan);
  cass_log_close(i->log);
  free(i);
}

static int open_scan(const struct mr_open *o, struct cass_source **ret, struct mr_error *err)
{
  struct cass_source *s = malloc(sizeof *s);
  if (!s)
    return src_no_memory(err);
  *ret = s;
  int rc = cass_init(s, o, err);
  if (rc >= 0)
    rc = src_system_init(&s->system, &o->want,
                         SRC_BIT(SRC_OP) | SRC_BIT(SRC_TIMESTAMP) | SRC_BIT(SRC_POSITION) |
                             SRC_BIT(SRC_ELEMENT) | SRC_BIT(SRC_ORIGINAL),
                         err);
  return rc;
}

static int open_both(const struct mr_open *o, struct instance *i, struct mr_error *err)
{
  int rc = cass_log_open(o, &i->log, err);
  if (rc >= 0 && !(i->scan = malloc(sizeof *i->scan)))
    rc = src_no_memory(err);
  if (rc >= 0)
    rc = cass_init(i->scan, o, err);
  if (rc >= 0)
    i->scan->changes = i->log->changes;
  return rc;
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  const struct cass_conf *conf = o->conf;
  struct instance *i = calloc(1, sizeof *i);
  if (!i)
    return src_no_memory(err);
  int rc = conf->mode == CASS_SNAPSHOT ? open_scan(o, &i->scan, err)
           : conf->mode == CASS_CDC    ? cass_log_open(o, &i->log, err)
                                       : open_both(o, i, err);
  if (rc < 0)
    close_(i);
  else
    *self = i;
  return rc;
}

static int scan_schema(struct cass_source *s, struct ArrowSchema *give, struct mr_error *err)
{
  struct ArrowSchema copy;
  if (!s->columns.release)
    return MR_IDLE;
  if (mr_schema_copy(&s->columns, &copy) && src_system_fields(&s->system, &copy)) {
    *give = copy;
    return MR_OK;
  }
  mr_schema_release(&copy);
  return src_no_memory(err);
}

static int schema_(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct instance *i = self;
  return i->log ? cass_log_schema(i->log, give, err) : scan_schema(i->scan, give, err);
}

static int start_(void *self, struct mr_error *err)
{
  struct instance *i = self;
  int rc = i->log ? cass_log_start(i->log, err) : MR_OK;
  if (rc < 0 || !i->scan)
    return rc;
  if (i->log)
    i->scan->floor = i->log->at.deleted;
  return cass_start(i->scan, err);
}

static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct instance *i = self;
  int rc = MR_OK;
  if (i->scan && !i->scanned) {
    rc = i->log ? cass_log_idle(i->log, err) : MR_OK;
    if (rc >= 0)
      rc = cass_read(i->scan, max_rows, max_bytes, timeout_ms, give, err);
    i->scanned = i->log && rc == MR_END;
    if (!i->scanned)
      return rc;
  }
  return cass_log_read(i->log, max_rows, max_bytes, timeout_ms, give, err);
}

static int cut_(void *self, uint32_t lane, const struct mr_position *at)
{
  struct instance *i = self;
  int rc = i->log ? cass_log_cut(i->log, lane, at) : MR_OK;
  return i->scan && rc >= 0 ? cass_cut(i->scan, lane, at) : rc;
}

static int seek_(void *self, uint32_t lane, const struct mr_position *at, struct mr_error *err)
{
  struct instance *i = self;
  int rc = i->log ? cass_log_seek(i->log, lane, at, err) : MR_OK;
  i->scanned = false; /* ranges that have ended stay so */
  return i->scan && rc >= 0 ? cass_seek(i->scan, lane, at, err) : rc;
}

static int ack_(void *self, const struct mr_unit *lend, struct mr_error *err)
{
  struct instance *i = self;
  return i->log ? cass_log_ack(i->log, lend, err) : MR_OK;
}

static const struct mr_source source = {
    .size = sizeof source,
    .open = open_,
    .schema = schema_,
    .start = start_,
    .read = read_,
    .cut = cut_,
    .seek = seek_,
    .ack = ack_,
    .close = close_,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct cass_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "cassandra",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "rows of a Cassandra table, read once over CQL, and its changes from the commit log",
    .options = options,
    .source = &source,
    .validate = validate,
    .check = cass_check,
    .discover = cass_discover,
};
