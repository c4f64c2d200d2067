/* SPDX-License-Identifier: Apache-2.0 */
/* The cassandra source: the rows of a table, read once over CQL. */
#include "cassandra.h"
#include "common/src-error.h"

#define OPT(field_, name_, type_, ...)                                                      \
  {                                                                                         \
    .name = name_, .type = type_, .offset = offsetof(struct cass_conf, field_), __VA_ARGS__ \
  }

static const char *const modes[] = {"snapshot", NULL};

static const struct mr_opt options[] = {
    CQL_OPTIONS(cass_conf, server),
    OPT(table, "table", MR_TEXT, .flags = MR_REQUIRED, .doc = "Table to read, as KEYSPACE.TABLE"),
    OPT(mode, "mode", MR_CHOICE, .choices = modes, .dflt = "snapshot",
        .doc = "snapshot: the rows that are there, read once"),
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
    {0},
};

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
  return c->columns && !c->columns->n_children ? src_badconf(err, "columns", "no column") : MR_OK;
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

static void close_(void *self)
{
  if (self)
    cass_done(self);
  free(self);
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct cass_source *s = malloc(sizeof *s);
  if (!s)
    return src_no_memory(err);
  int rc = cass_init(s, o, err);
  if (rc >= 0)
    rc = src_system_init(&s->system, &o->want,
                         SRC_BIT(SRC_OP) | SRC_BIT(SRC_TIMESTAMP) | SRC_BIT(SRC_POSITION) |
                             SRC_BIT(SRC_ELEMENT) | SRC_BIT(SRC_ORIGINAL),
                         err);
  if (rc < 0)
    close_(s);
  else
    *self = s;
  return rc;
}

static int schema_(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  struct cass_source *s = self;
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

static const struct mr_source source = {
    .size = sizeof source,
    .open = open_,
    .schema = schema_,
    .start = cass_start,
    .read = cass_read,
    .cut = cass_cut,
    .seek = cass_seek,
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
    .summary = "rows of a Cassandra table, read once over CQL",
    .options = options,
    .source = &source,
    .validate = validate,
    .check = cass_check,
    .discover = cass_discover,
};
