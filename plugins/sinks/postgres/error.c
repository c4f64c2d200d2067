/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, in words without secrets and without values of rows. */
#include <ctype.h>
#include <stdio.h>
#include "postgres.h"

#define UNCLASSIFIED_MAX 5 /* errors without a code that are tried again before giving up */

int pg_no_memory(struct mr_error *err)
{
  return src_fail(err, MR_FATAL, "53200", "out of memory");
}

/* classes: two characters each, one blank between. */
static bool is_class(const char *state, const char *classes)
{
  for (;; classes += 3) {
    if (!strncmp(state, classes, 2))
      return true;
    if (!classes[2])
      return false;
  }
}

static int status_of(const char *state)
{
  if (!strcmp(state, "55P03") || !strcmp(state, "55006") || !strcmp(state, "25P03") ||
      !strcmp(state, "25006") || is_class(state, "08 40 53 57 58"))
    return MR_RETRY;
  if (is_class(state, "22 23 44 P0 09"))
    return MR_REJECT;
  if (is_class(state, "28 3D 3F 42"))
    return MR_BADCONF;
  return MR_FATAL;
}

/* One line, without what the server put between double quotes when that may be a value of a row. */
static void clean(char *out, size_t size, const char *text, bool hide)
{
  size_t n = 0;
  bool quoted = false;
  for (; *text && n + 6 < size; text++) {
    char c = *text == '\n' || *text == '\r' || *text == '\t' ? ' ' : *text;
    if (hide && c == '"') {
      if (!quoted)
        n += (size_t)snprintf(out + n, size - n, "\"…\"");
      quoted = !quoted;
      continue;
    }
    if (!quoted && !(c == ' ' && n && out[n - 1] == ' '))
      out[n++] = c;
  }
  while (n && out[n - 1] == ' ')
    n--;
  out[n] = 0;
}

/* The line of the context that COPY wrote, behind the table's name: ", line 17, column x: …". Other
 * lines may hold text of rows, so only the first line that begins with exactly that name counts. */
static const char *copy_context(const struct pg_sink *s, const char *context)
{
  const char *name = pg_is_staged(s) ? PG_STAGE : s->table.table;
  size_t n = strlen(name);
  for (const char *at = context; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
    if (!strncmp(at, "COPY ", 5) && !strncmp(at + 5, name, n) && !strncmp(at + 5 + n, ", line ", 7))
      return at + 5 + n;
  return NULL;
}

static int64_t line_of(const char *place)
{
  int64_t n = 0;
  if (!place)
    return -1;
  for (place += 7; isdigit((unsigned char)*place) && n < INT64_MAX / 20; place++)
    n = n * 10 + (*place - '0');
  return n;
}

/* The column that the server names, or the one in COPY's context. */
static void column_of(const PGresult *res, const char *place, char *out, size_t size)
{
  const char *name = PQresultErrorField(res, PG_DIAG_COLUMN_NAME);
  const char *at = place ? place + 7 : "";
  at += strspn(at, "0123456789");
  out[0] = 0;
  if (name)
    snprintf(out, size, "%s", name);
  else if (!strncmp(at, ", column ", 9))
    snprintf(out, size, "%.*s", (int)strcspn(at + 9, ":\n"), at + 9);
}

/* A value that the column's type has no place for: both types are named. */
static int types_of(struct pg_sink *s, const char *column, const char *state, char *out,
                    size_t size)
{
  int i = *column && state && is_class(state, "22") ? pg_column_find(s, column) : -1;
  *out = 0;
  if (i < 0 || s->column[i].source < 0 || !s->in.release)
    return 0;
  const struct pg_column *c = &s->column[i];
  const char *text =
      evo_message(&s->words, "", c->shown ? c->shown : "another type", s->in.children[c->source]);
  int n = snprintf(out, size, "%s", text);
  return n < (int)size ? n : (int)size - 1;
}

static int unclassified(struct pg_sink *s)
{
  return ++s->unclassified <= UNCLASSIFIED_MAX ? MR_RETRY : MR_FATAL;
}

int pg_refused(struct pg_sink *s, const PGresult *res, const char *what, struct mr_error *err)
{
  const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
  const char *primary = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
  const char *context = PQresultErrorField(res, PG_DIAG_CONTEXT);
  const char *line_text = copy_context(s, context);
  char text[300], column[90], place[300];
  bool known = state && strlen(state) == 5 && strcmp(state, "00000");
  int status = known ? status_of(state) : unclassified(s);
  int64_t line = line_of(line_text), row = -1;
  uint64_t batch = 0;
  if (known)
    s->unclassified = 0;
  if (status == MR_REJECT && line > 0 && pg_sent_find(s, line, &batch, &row)) {
    err->batch = batch;
    err->row = row;
  }
  clean(text, sizeof text, primary ? primary : PQresultErrorMessage(res),
        !known || !is_class(state, "08 23 28 3D 3F 42 53 57"));
  column_of(res, line_text, column, sizeof column);
  int n = snprintf(place, sizeof place, "%s%s", *column ? ", column " : "", column);
  n += types_of(s, column, state, place + n, sizeof place - (size_t)n);
  if (row >= 0)
    snprintf(place + n, sizeof place - (size_t)n, ", row %lld", (long long)row);
  src_fail(err, status, known ? state : "", "%s: %s (SQLSTATE %s%s)%s", what, text,
           known ? state : "not given", place, s->where);
  err->unit_lost = s->in_tx;
  if (status == MR_REJECT)
    snprintf(err->option, sizeof err->option, "%s", column);
  return status;
}

int pg_lost(struct pg_sink *s, const char *what, const char *why, struct mr_error *err)
{
  char text[300];
  clean(text, sizeof text, why ? why : s->pg ? PQerrorMessage(s->pg) : "not connected", false);
  src_fail(err, MR_RETRY, "08006", "%s: %s%s", what, *text ? text : "connection lost", s->where);
  err->unit_lost = s->in_unit;
  err->unreachable = true;
  pg_close(s);
  return MR_RETRY;
}
