/* SPDX-License-Identifier: Apache-2.0 */
/* Which rows a statement was refused for.
 *
 * LOAD DATA LOCAL goes on where it should stop: what it cut, replaced or left out is a warning, and
 * the rows are in the table (or not). So each warning is a refusal: the stretch is taken back, the
 * rows that are named are rejected, and the others are written again.
 *
 * MariaDB numbers rows (GET DIAGNOSTICS … ROW_NUMBER) without counting those that failed a CHECK
 * before; they are counted here, and a second round that still finds rows of that kind shows that
 * the server counts in another way: then nothing is blamed on a row, and the caller halves. */
#include "mysql-sink.h"

#define SHOWN_MAX 1000 /* warnings that are looked at in one round */
#define ER_DUP_ENTRY 1062
#define ER_NO_PARENT 1452
#define ER_CONSTRAINT 4025 /* MariaDB's CHECK */

struct complaint {
  unsigned code;
  char state[6], msg[330];
  int64_t line; /* of the statement's rows, from 1; 0: not known */
};
struct complaints {
  struct complaint *item;
  int n, cap;
};

/* Of the statement and not of its rows: unsafe for replication, or old syntax. */
static bool is_about_statement(unsigned code)
{
  return code == 1592 || code == 1287 || code == 1681;
}

static bool read_warnings(struct my_sink *s, struct complaints *c, struct mr_error *err)
{
  MYSQL_RES *res = NULL;
  MYSQL_ROW row;
  char sql[48];
  snprintf(sql, sizeof sql, "SHOW WARNINGS LIMIT %d", SHOWN_MAX);
  if (maria_query(&s->conn, sql, "SHOW WARNINGS", &res, err) < 0)
    return false;
  c->cap = (int)mysql_num_rows(res);
  c->item = calloc((size_t)c->cap + 1, sizeof *c->item);
  while (c->item && (row = mysql_fetch_row(res))) {
    struct complaint *at = &c->item[c->n++];
    at->code = (unsigned)strtoul(row[1], NULL, 10);
    snprintf(at->msg, sizeof at->msg, "%s", row[2]);
    strcpy(at->state, "22000");
  }
  mysql_free_result(res);
  return c->item != NULL;
}

/* The numbers of the rows, by one variable for each condition. */
static bool ask_lines(struct my_sink *s, struct complaints *c, struct mr_error *err)
{
  struct sql_buf sql = {0};
  for (int i = 0; i < c->n; i++)
    sql_buf_fmt(&sql,
                "%sGET DIAGNOSTICS CONDITION %d @millrace_r%d = ROW_NUMBER, @millrace_s%d ="
                " RETURNED_SQLSTATE",
                i ? "; " : "", i + 1, i, i);
  int status = maria_exec(&s->conn, sql_buf_text(&sql), "GET DIAGNOSTICS", MARIA_GO_ON, err);
  sql_buf_clear(&sql);
  for (int i = 0; i < c->n; i++)
    sql_buf_fmt(&sql, "%s@millrace_r%d, @millrace_s%d", i ? ", " : "SELECT ", i, i);
  MYSQL_RES *res = NULL;
  if (status >= 0)
    status = maria_query(&s->conn, sql_buf_text(&sql), "SELECT", &res, err);
  sql_buf_done(&sql);
  if (status < 0)
    return false;
  MYSQL_ROW row = mysql_fetch_row(res);
  for (int i = 0; row && i < c->n; i++) {
    c->item[i].line = row[2 * i] ? strtoll(row[2 * i], NULL, 10) : 0;
    if (row[2 * i + 1] && strncmp(row[2 * i + 1], "01", 2))
      snprintf(c->item[i].state, sizeof c->item[i].state, "%s", row[2 * i + 1]);
  }
  mysql_free_result(res);
  return row != NULL;
}

/* Rows whose fate hangs on other rows: those may be refused themselves, so these come last. */
static bool is_dependent(unsigned code)
{
  return code == ER_DUP_ENTRY || code == ER_NO_PARENT;
}

static void count_checks(const struct my_sink *s, struct complaints *c)
{
  int64_t before = 0;
  for (int i = 0; i < c->n; i++) {
    if (c->item[i].line > 0)
      c->item[i].line += before;
    before += c->item[i].code == ER_CONSTRAINT && s->form == MARIA_FORM_LOAD;
  }
}

static bool has_dead(const struct my_sink *s, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    if (mr_bit_get(s->dead, i))
      return true;
  return false;
}

static int blame(struct my_sink *s, const struct complaint *c)
{
  struct mr_error why = {.size = sizeof why};
  int64_t row = s->row_of[c->line - 1];
  if (mr_bit_get(s->dead, row))
    return MR_OK;
  maria_refused(&s->conn, c->code, c->state, c->msg, "the server", &why);
  return my_bad_row(s, row, c->state, why.msg, NULL);
}

/* Rejects the rows that are named; false: not all complaints can be trusted. */
static bool blame_all(struct my_sink *s, struct complaints *c)
{
  bool independent = false, check = false;
  for (int i = 0; i < c->n; i++) {
    if (c->item[i].line < 1 || c->item[i].line > s->n_rows)
      return false;
    independent |= !is_dependent(c->item[i].code);
    check |= c->item[i].code == ER_CONSTRAINT;
  }
  if (check && has_dead(s, s->batch->rows.length) && c->n > 1)
    return false;
  for (int i = 0; i < c->n; i++)
    if (!(independent && is_dependent(c->item[i].code)) && blame(s, &c->item[i]) < 0)
      return false;
  return c->n > 0;
}

static void drop_statement_warnings(struct complaints *c)
{
  int kept = 0;
  for (int i = 0; i < c->n; i++)
    if (!is_about_statement(c->item[i].code))
      c->item[kept++] = c->item[i];
  c->n = kept;
}

int my_refused_rows(struct my_sink *s, struct mr_error *err)
{
  struct complaints c = {0};
  struct mr_error why = {.size = sizeof why};
  if (!read_warnings(s, &c, &why)) {
    free(c.item);
    *err = why;
    return s->conn.db ? src_no_memory(err) : MR_RETRY;
  }
  bool lines = s->careful && s->conn.genuine && c.n > 0 && ask_lines(s, &c, &why);
  drop_statement_warnings(&c);
  if (lines)
    count_checks(s, &c);
  int status = MR_OK;
  if (c.n) {
    char what[160];
    snprintf(what, sizeof what, "LOAD DATA INTO %s", s->shown);
    if (!*err->msg)
      maria_refused(&s->conn, c.item[0].code, c.item[0].state, c.item[0].msg, what, err);
    status = MR_REJECT;
    s->found_bad = lines && blame_all(s, &c);
  }
  free(c.item);
  return status;
}
