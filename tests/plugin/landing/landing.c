/* SPDX-License-Identifier: Apache-2.0 */
/* A two-phase and an idempotent sink for tests, built from this file by the macros NAME and CLASS:
 * whole numbers into a PostgreSQL table. The unit is one INSERT statement. Two-phase: PREPARE
 * TRANSACTION under the label, and a row in `labels` that becomes visible with it. Idempotent: the
 * block is the statement; its token goes into `tokens` in the same transaction. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/src-error.h"
#include "millrace/build.h"

struct conf {
  const char *url, *table, *prefix;
};
struct landing {
  const struct conf *conf;
  PGconn *pg;
  char *sql;
  size_t len, cap;
};

static const struct mr_opt options[] = {
    {.name = "url",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = offsetof(struct conf, url),
     .doc = "the database"},
    {.name = "table",
     .type = MR_TEXT,
     .flags = MR_REQUIRED,
     .offset = offsetof(struct conf, table),
     .doc = "where rows land"},
    {.name = "prefix",
     .type = MR_TEXT,
     .dflt = "",
     .offset = offsetof(struct conf, prefix),
     .doc = "before each label: prepared transactions of all databases share their names"},
    {0},
};

static int open_(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct landing *s = calloc(1, sizeof *s);
  if (!s)
    return src_no_memory(err);
  s->conf = o->conf;
  *self = s;
  return MR_OK;
}

static void close_(void *self)
{
  struct landing *s = self;
  PQfinish(s->pg);
  free(s->sql);
  free(s);
}

static int connect_(struct landing *s, struct mr_error *err)
{
  if (s->pg && PQstatus(s->pg) == CONNECTION_OK)
    return MR_OK;
  PQfinish(s->pg);
  s->pg = PQconnectdb(s->conf->url);
  if (PQstatus(s->pg) == CONNECTION_OK)
    return MR_OK;
  return src_fail(err, MR_RETRY, "08006", "no connection");
}

static int start(void *self, struct mr_error *err)
{
  return connect_(self, err);
}

/* MR_UNSURE: the statement may have been carried out. ret_rows may be NULL. */
static int run(struct landing *s, const char *sql, int *ret_rows, struct mr_error *err)
{
  PGresult *res = PQexec(s->pg, sql);
  ExecStatusType t = PQresultStatus(res);
  bool ok = t == PGRES_COMMAND_OK || t == PGRES_TUPLES_OK;
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
  if (ok && ret_rows)
    *ret_rows = t == PGRES_TUPLES_OK ? PQntuples(res) : atoi(PQcmdTuples(res));
  int status =
      ok ? MR_OK : src_fail(err, MR_UNSURE, state ? state : "", "%s", PQerrorMessage(s->pg));
  PQclear(res);
  if (!ok && PQtransactionStatus(s->pg) != PQTRANS_IDLE) {
    PQfinish(s->pg);
    s->pg = NULL;
  }
  return status;
}

/* A statement with the label, which has no quotes in it, in place of %s. */
static int run_label(struct landing *s, const char *format, const char *label, int *ret_rows,
                     struct mr_error *err)
{
  char sql[400], name[160];
  snprintf(name, sizeof name, "%s_%s", s->conf->prefix, label);
  snprintf(sql, sizeof sql, format, name);
  int status = connect_(s, err);
  return status < 0 ? status : run(s, sql, ret_rows, err);
}

static bool append(struct landing *s, const char *text, size_t len)
{
  if (s->len + len + 1 > s->cap) {
    size_t cap = 2 * (s->len + len + 1);
    char *grown = realloc(s->sql, cap);
    if (!grown)
      return false;
    s->sql = grown;
    s->cap = cap;
  }
  memcpy(s->sql + s->len, text, len);
  s->sql[s->len += len] = 0;
  return true;
}

static bool append_text(struct landing *s, const char *text)
{
  return append(s, text, strlen(text));
}

static bool begin_statement(struct landing *s, const struct ArrowSchema *in)
{
  bool ok = append_text(s, "INSERT INTO ") && append_text(s, s->conf->table);
  for (int64_t i = 0; ok && i < in->n_children; i++)
    ok = append_text(s, i ? ", \"" : "(\"") && append_text(s, in->children[i]->name) &&
         append_text(s, "\"");
  return ok && append_text(s, ") VALUES ");
}

static int begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  ((struct landing *)self)->len = 0;
  return MR_OK;
}

static int write_(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct landing *s = self;
  size_t before = s->len;
  bool ok = s->len || begin_statement(s, b->schema);
  for (int64_t row = 0; ok && row < b->rows.length; row++)
    for (int64_t i = 0; ok && i < b->schema->n_children; i++) {
      struct mr_view v;
      char text[32];
      mr_view_column(&v, b->schema, &b->rows, i);
      snprintf(text, sizeof text, "%s%lld",
               i                           ? ","
               : s->sql[s->len - 1] == ')' ? ",("
                                           : "(",
               (long long)mr_view_int(&v, row));
      ok = append_text(s, text) && (i + 1 < b->schema->n_children || append_text(s, ")"));
    }
  if (ok)
    return MR_OK;
  s->len = before;
  return src_no_memory(err);
}

/* ---- two-phase */

static int prepare(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct landing *s = self;
  int status = run_label(s, "BEGIN; INSERT INTO labels VALUES('%s')", u->label, NULL, err);
  if (status >= 0)
    status = run(s, s->sql, NULL, err);
  return status < 0 ? status : run_label(s, "PREPARE TRANSACTION '%s'", u->label, NULL, err);
}

static int commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  return run_label(self, "COMMIT PREPARED '%s'", u->label, NULL, err);
}

static int abort_(void *self, const struct mr_unit *u, struct mr_error *err)
{
  int status = MR_OK;
  if (CLASS == MR_TWO_PHASE)
    status = run_label(self, "ROLLBACK PREPARED '%s'", u->label, NULL, err);
  return status == MR_UNSURE && !strcmp(err->code, "42704") ? MR_OK : status; /* no such label */
}

static int resolve(void *self, const char *label, struct mr_error *err)
{
  int n = 0;
  int status = run_label(self, "SELECT 1 FROM pg_prepared_xacts WHERE gid = '%s'", label, &n, err);
  if (status < 0 || n)
    return status < 0 ? status : MR_PREPARED;
  status = run_label(self, "SELECT 1 FROM labels WHERE label = '%s'", label, &n, err);
  return status < 0 ? status : n ? MR_COMMITTED : MR_ABORTED;
}

/* ---- idempotent */

static int seal(void *self, const struct mr_unit *u, mr_put_fn *put, void *out,
                struct mr_error *err)
{
  struct landing *s = self;
  return put(out, s->sql ? s->sql : "", s->len + 1);
}

static int send_(void *self, const char *token, const void *block, size_t len, struct mr_error *err)
{
  struct landing *s = self;
  int fresh = 0;
  int status = connect_(s, err);
  if (status >= 0)
    status = run(s, "BEGIN", NULL, err);
  if (status >= 0)
    status =
        run_label(s, "INSERT INTO tokens VALUES('%s') ON CONFLICT DO NOTHING", token, &fresh, err);
  if (status >= 0 && fresh)
    status = run(s, block, NULL, err);
  return status < 0 ? status : run(s, "COMMIT", NULL, err);
}

static const struct mr_sink sink = {.size = sizeof sink,
                                    .delivery = CLASS,
                                    .open = open_,
                                    .start = start,
                                    .begin = begin,
                                    .write = write_,
                                    .prepare = prepare,
                                    .commit = commit,
                                    .abort = abort_,
                                    .seal = seal,
                                    .send = send_,
                                    .resolve = resolve,
                                    .close = close_};
const struct mr_plugin mr_plugin_desc = {.abi = MR_ABI,
                                         .size = sizeof(struct mr_plugin),
                                         .conf_size = sizeof(struct conf),
                                         .opt_size = sizeof(struct mr_opt),
                                         .name = NAME,
                                         .version = "0",
                                         .license = "Apache-2.0",
                                         .summary = "Lands rows under labels or tokens",
                                         .options = options,
                                         .sink = &sink};
