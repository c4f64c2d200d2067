/* SPDX-License-Identifier: Apache-2.0 */
/* What the server can do, found out by trying: names and version numbers of servers that speak this
 * protocol say little. */
#include "postgres.h"

/* Runs a statement and forgets its result; true when the server did it. */
static bool works(struct pg_sink *s, const char *sql)
{
  struct mr_error ignored = {.size = sizeof ignored};
  return s->pg && pg_run(s, sql, "probe", s->conf->statement_timeout_ms, PG_GIVE_UP, NULL, NULL,
                         &ignored) >= 0;
}

struct copy_answer {
  bool copy, binary;
};

static void see_copy(void *ctx, PGresult *res)
{
  struct copy_answer *a = ctx;
  a->copy = PQresultStatus(res) == PGRES_COPY_IN;
  a->binary = PQbinaryTuples(res);
}

/* A server may refuse COPY, or say yes and not mean it: only the COPY answer in the asked form
 * counts. */
static bool copy_works(struct pg_sink *s, bool binary)
{
  struct mr_error ignored = {.size = sizeof ignored};
  struct sql_buf sql = {0};
  struct copy_answer a = {false, false};
  if (!works(s, "BEGIN"))
    return false;
  sql_buf_fmt(&sql, "COPY %s (", s->target);
  pg_column_list(s, "", &sql);
  sql_buf_str(&sql, binary ? ") FROM STDIN (FORMAT binary)" : ") FROM STDIN");
  pg_run(s, sql_buf_text(&sql), "probe", s->conf->statement_timeout_ms, PG_GIVE_UP, see_copy, &a,
         &ignored);
  sql_buf_done(&sql);
  if (a.copy)
    pg_copy_cancel(s);
  works(s, "ROLLBACK");
  return s->pg && a.copy && a.binary == binary;
}

static int choose_form(struct pg_sink *s, struct mr_error *err)
{
  static const char *const name[] = {"binary COPY", "text COPY", "INSERT"};
  enum pg_form wish = s->form;
  if (s->conf->mode == MODE_UPSERT && !s->use_temp)
    s->form = wish = FORM_INSERT;
  if (s->form == FORM_BINARY && !copy_works(s, true))
    s->form = FORM_TEXT;
  if (s->form == FORM_TEXT && !copy_works(s, false))
    s->form = FORM_INSERT;
  if (!s->pg)
    return pg_connect(s, err);
  if (s->form != wish && !s->warned_form) {
    s->warned_form = true;
    src_log(s->host, MR_WARN, "the server refuses %s; %s is written by %s", name[wish], s->shown,
            name[s->form]);
  }
  return MR_OK;
}

static void key_list(const struct pg_sink *s, struct sql_buf *sql)
{
  const char *const *key = s->conf->key.item;
  for (size_t i = 0; i < s->conf->key.n; i++) {
    sql_buf_str(sql, i ? ", " : "");
    sql_ident(sql, key[i]);
  }
}

/* EXPLAIN plans the statement without doing it, and planning finds (or does not find) the unique
 * index. */
static int try_conflict(struct pg_sink *s, struct mr_error *err)
{
  struct sql_buf sql = {0};
  PGresult *res = NULL;
  sql_buf_fmt(&sql, "EXPLAIN INSERT INTO %s (", s->target);
  key_list(s, &sql);
  sql_buf_str(&sql, ") SELECT ");
  key_list(s, &sql);
  sql_buf_fmt(&sql, " FROM %s WHERE 1 = 0 ON CONFLICT (", s->target);
  key_list(s, &sql);
  sql_buf_str(&sql, ") DO NOTHING");
  int status = pg_query(s, sql_buf_text(&sql), "EXPLAIN INSERT ON CONFLICT", &res, err);
  sql_buf_done(&sql);
  PQclear(res);
  return status;
}

/* On a hypertable no such index can be made without the time column. */
static int no_index(struct pg_sink *s, struct mr_error *err)
{
  struct mr_error ignored = {.size = sizeof ignored};
  char *time = NULL;
  pg_hyper_time_column(s, &time, &ignored);
  snprintf(err->option, sizeof err->option, "key");
  int status = src_fail(err, MR_BADCONF, "42P10",
                        "mode upsert needs a primary key or unique index on exactly the key columns"
                        " of %s%s%s%s",
                        s->shown, time ? ", a hypertable: its keys contain its time column " : "",
                        time ? time : "", s->where);
  free(time);
  return status;
}

static int probe_upsert(struct pg_sink *s, struct mr_error *err)
{
  int status = try_conflict(s, err);
  s->use_conflict = status >= 0;
  if (status < 0 && !strcmp(err->code, "42P10"))
    return no_index(s, err);
  if (status < 0 && (s->genuine || !s->pg))
    return status;
  s->use_temp = true;
  if (!s->genuine) {
    struct mr_error ignored = {.size = sizeof ignored};
    s->use_temp = pg_stage_prepare(s, &ignored) >= 0;
    src_log(s->host, MR_WARN, "upserts into %s go by %s%s", s->shown,
            s->use_temp ? "a staging table" : "single rows",
            s->use_conflict ? "" : " with DELETE and INSERT (no ON CONFLICT)");
  }
  return s->pg ? MR_OK : pg_connect(s, err);
}

int pg_probe(struct pg_sink *s, struct mr_error *err)
{
  int status = MR_OK;
  s->use_temp = s->use_conflict = true;
  if (s->conf->mode == MODE_UPSERT)
    status = probe_upsert(s, err);
  if (status >= 0 && !s->genuine)
    status = choose_form(s, err);
  return status;
}
