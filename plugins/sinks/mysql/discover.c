/* SPDX-License-Identifier: Apache-2.0 */
/* One server's health, and what tables and columns it has. */
#include "common/maria-discover.h"
#include "common/sql-ddl.h"
#include "mysql-sink.h"

int my_check(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  struct sql_buf text = {0};
  int status = my_open(o, &self, err);
  struct my_sink *s = self;
  if (status >= 0)
    status = maria_connect(&s->conn, err);
  if (status >= 0)
    status = my_target_columns(s, err);
  bool absent = status == MR_BADCONF && !strcmp(err->code, "42S02") && s->conf->create;
  if (absent)
    status = MR_OK;
  if (status >= 0 && s->in.release)
    status = my_version_check(s, err);
  if (!absent && status >= 0 && s->in.release && s->conf->evolve == EVOLVE_NONE)
    status = my_target_plan(s, err);
  if (status >= 0) {
    maria_describe_server(&s->conn, &text);
    sql_buf_fmt(&text, "%s, table %s%s: ok%s", s->conn.where, s->shown,
                absent ? " (will be created)" : "",
                s->conn.loads ? "" : "; rows go by INSERT (local_infile is off)");
    status = put(out, text.p, text.len) < 0 ? MR_FATAL : MR_OK;
  }
  sql_buf_done(&text);
  my_free(s);
  return status;
}

int my_discover(const struct mr_open *o, const char *table, mr_put_fn *put, void *out,
                struct mr_error *err)
{
  void *self = NULL;
  int status = my_open(o, &self, err);
  struct my_sink *s = self;
  if (status >= 0)
    status = maria_discover(&s->conn, table, put, out, err);
  my_free(s);
  return status;
}

static bool type_ddl(void *self, const struct ArrowSchema *c, struct sql_buf *out)
{
  return maria_type_ddl(c, self && my_is_key(self, c->name), out);
}

static int table_ddl(void *self, struct sql_buf *out, struct mr_error *err)
{
  return my_target_ddl(self, out, err);
}

int my_ddl(const struct mr_open *o, mr_put_fn *put, void *out, struct mr_error *err)
{
  void *self = NULL;
  int status = my_open(o, &self, err);
  if (status >= 0)
    status = sql_put_ddl(self, o->in, type_ddl, table_ddl, put, out, err);
  my_free(self);
  return status;
}

int my_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  return sql_put_type(type_ddl, c, put, out, err);
}
