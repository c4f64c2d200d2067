/* SPDX-License-Identifier: Apache-2.0 */
/* The mysql source: rows of a query or table, read once or followed by a growing column. */
#include "common/clock.h"
#include "common/maria-discover.h"
#include "mysql-source.h"

static const struct mr_opt options[] = {
    MARIA_OPTIONS(my_conf, server, "5m"),
    QRY_OPTIONS(my_conf, query),
    {0},
};

static int validate(const void *conf, struct mr_error *err)
{
  const struct my_conf *c = conf;
  struct sql_name name;
  const char *why = NULL;
  int rc = qry_validate(&c->query, err);
  if (rc < 0)
    return rc;
  if (c->query.table && !sql_name_parse(c->query.table, 4 * MARIA_NAME_MAX, &name, &why))
    return src_badconf(err, "table", "%s", why);
  if (c->query.table)
    sql_name_done(&name);
  return maria_validate(&c->server, err);
}

static void close_(void *self)
{
  struct my_source *s = self;
  if (!s)
    return;
  qry_source_done(&s->source);
  maria_quit(&s->conn, &s->fetch, s->over);
  maria_done(&s->conn);
  mr_schema_release(&s->result);
  sql_buf_done(&s->sql);
  free(s->place);
  free(s->order);
  free(s);
}

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  int rc = validate(o->conf, err);
  if (rc < 0)
    return rc;
  struct my_source *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->conf = o->conf;
  rc = maria_init(&s->conn, &s->conf->server, o->host, err);
  if (rc >= 0)
    rc = qry_source_init(&s->source, o, &s->conf->query, &my_backend, s, err);
  if (rc < 0)
    close_(s);
  else
    *self = s;
  return rc;
}

static int schema_(void *self, struct ArrowSchema *give, struct mr_error *err)
{
  return qry_source_schema(&((struct my_source *)self)->source, give, err);
}
static int start(void *self, struct mr_error *err)
{
  return qry_source_start(&((struct my_source *)self)->source, err);
}
static int read_(void *self, int64_t max_rows, int64_t max_bytes, int32_t timeout_ms,
                 struct mr_batch *give, struct mr_error *err)
{
  struct my_source *s = self;
  s->read_until = clock_now_ms() + timeout_ms;
  return qry_source_read(&s->source, max_rows, max_bytes, timeout_ms, give, err);
}
static int cut(void *self, uint32_t lane, const struct mr_position *at)
{
  return qry_source_cut(&((struct my_source *)self)->source, lane, at);
}
static int seek(void *self, uint32_t lane, const struct mr_position *at, struct mr_error *err)
{
  return qry_source_seek(&((struct my_source *)self)->source, lane, at, err);
}

/* One server's health: connects, and asks for the query's columns. */
static int check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  struct my_source s = {.conf = o->conf};
  struct sql_buf text = {0};
  const char *table = s.conf->query.table;
  int rc = maria_init(&s.conn, &s.conf->server, o->host, err);
  if (rc < 0)
    return rc;
  rc = maria_connect(&s.conn, err);
  if (rc >= 0)
    rc = my_check_query(&s, err);
  if (rc >= 0) {
    maria_describe_server(&s.conn, &text);
    sql_buf_fmt(&text, "%s, %s%s: ok", s.conn.where, table ? "table " : "query",
                table ? table : "");
    rc = put(out, text.p, text.len) < 0 ? MR_FATAL : MR_OK;
  }
  sql_buf_done(&text);
  mr_schema_release(&s.result);
  maria_done(&s.conn);
  return rc;
}

static int discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                    struct mr_error *err)
{
  const struct my_conf *conf = o->conf;
  struct maria_conn c;
  int rc = maria_init(&c, &conf->server, o->host, err);
  if (rc < 0)
    return rc;
  rc = maria_discover(&c, table, put, out, err);
  maria_done(&c);
  return rc;
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
    .conf_size = sizeof(struct my_conf),
    .opt_size = sizeof(struct mr_opt),
    .name = "mysql",
    .version = "0.1.0",
    .license = "Apache-2.0",
    .summary =
        "rows of a MariaDB or MySQL query or table, read once or followed by a growing column",
    .options = options,
    .source = &source,
    .validate = validate,
    .check = check,
    .discover = discover,
};
