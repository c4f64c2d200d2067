/* SPDX-License-Identifier: Apache-2.0 */
/* The postgres source: rows of a query or table, read once or followed by a growing column. */
#include "common/src-error.h"
#include "common/clock.h"
#include "postgres.h"

#define OPT(field_, name_, type_, ...)                                                    \
  {                                                                                       \
    .name = name_, .type = type_, .offset = offsetof(struct pg_conf, field_), __VA_ARGS__ \
  }

static const struct mr_opt options[] = {
    PG_LOGIN_OPTIONS(pg_conf, login),
    QRY_OPTIONS(pg_conf, query),
    OPT(connect_timeout_ms, "connect_timeout", MR_TIME_MS, .range = "1ms..1h", .dflt = "10s",
        .doc = "Deadline for a connection"),
    OPT(statement_timeout_ms, "statement_timeout", MR_TIME_MS, .range = "1ms..24h", .dflt = "5m",
        .doc = "Deadline for an answer of the server"),
    PG_LOGIN_NAME_OPTION(pg_conf, login),
    {0},
};

static int validate(const void *conf, struct mr_error *err)
{
  const struct pg_conf *c = conf;
  struct sql_name name;
  const char *why = NULL;
  int rc = qry_validate(&c->query, err);
  if (rc < 0)
    return rc;
  if (c->query.table && !sql_name_parse(c->query.table, PG_NAME_MAX, &name, &why))
    return src_badconf(err, "table", "%s", why);
  if (c->query.table)
    sql_name_done(&name);
  return pg_login_validate(&c->login, err);
}

static void close_(void *self)
{
  struct pg_source *s = self;
  if (!s)
    return;
  qry_source_done(&s->source);
  pg_disconnect(s);
  free(s->where);
  free(s->application);
  free(s->order);
  free(s);
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  int rc = validate(o->conf, err);
  if (rc < 0)
    return rc;
  struct pg_source *s = calloc(1, sizeof *s);
  struct sql_buf name = {0};
  if (!s)
    return src_no_memory(err);
  s->conf = o->conf;
  s->host = o->host;
  sql_buf_fmt(&name, "millrace/%s/%s", o->pipeline ? o->pipeline : "", o->stage ? o->stage : "");
  s->application = strdup(sql_buf_text(&name));
  sql_buf_done(&name);
  rc = s->application ? pg_describe_server(s, err) : src_no_memory(err);
  if (rc >= 0)
    rc = qry_source_init(&s->source, o, &s->conf->query, &pg_backend, s, err);
  if (rc < 0)
    close_(s);
  else
    *self = s;
  return rc;
}

static int schema_(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return qry_source_schema(&((struct pg_source *)self)->source, give, err);
}
static int start(void *self, struct mr_error *err)
{
  return qry_source_start(&((struct pg_source *)self)->source, err);
}
static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct pg_source *s = self;
  s->read_until = clock_now_ms() + timeout_ms;
  return qry_source_read(&s->source, max_rows, max_bytes, timeout_ms, give, err);
}
static int cut(void *self, uint32_t lane, const struct mr_position *at)
{
  return qry_source_cut(&((struct pg_source *)self)->source, lane, at);
}
static int seek(void *self, uint32_t lane, const struct mr_position *at, struct mr_error *err)
{
  return qry_source_seek(&((struct pg_source *)self)->source, lane, at, err);
}

static const struct mr_source source = {
    .size = sizeof source,
    .open = open_,
    .schema = schema_,
    .start = start,
    .read = read_,
    .cut = cut,
    .seek = seek,
    .close = close_,
};
const struct mr_plugin mr_plugin_desc = {
    .abi = MR_ABI,
    .size = sizeof(struct mr_plugin),
    .conf_size = sizeof(struct pg_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "postgres",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary = "rows of a PostgreSQL query or table, read once or followed by a growing column",
    .options = options,
    .source = &source,
    .validate = validate,
    .check = pg_check,
    .discover = pg_discover,
};
