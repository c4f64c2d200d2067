/* SPDX-License-Identifier: Apache-2.0 */
/* The server's answers: flat JSON objects whose Status is the only verdict. HTTP says 200 to almost
 * everything. */
#include <ctype.h>
#include "starrocks.h"

#define UNCLASSIFIED_MAX 5 /* refusals of unknown kind that are tried again before giving up */

/* ---------------------------------------------------------------- reading */

static const char *skip_blank(const char *p)
{
  return p + strspn(p, " \t\r\n");
}

/* The end of a string that begins at p (behind its quote): its closing quote, or NULL. */
static const char *string_end(const char *p)
{
  for (; *p && *p != '"'; p++)
    if (*p == '\\' && p[1])
      p++;
  return *p ? p : NULL;
}

static void put_escaped(const char **p, char *out, size_t size, size_t *n)
{
  char c = *++*p;
  if (c == 'u') {
    unsigned v = 0;
    int digits = 0;
    for (; digits < 4 && isxdigit((unsigned char)(*p)[1]); digits++, ++*p)
      v = v * 16 + (unsigned)((*p)[1] <= '9' ? (*p)[1] - '0' : ((*p)[1] | 32) - 'a' + 10);
    c = v < 128 ? (char)v : '?';
  } else {
    c = c == 'n' || c == 'r' || c == 't' ? ' ' : c;
  }
  if (*n + 1 < size)
    out[(*n)++] = c;
}

/* Copies a value (a string without its quotes, else the bare token) into out; gives what follows
 * it, NULL: not JSON. */
static const char *take_value(const char *p, char *out, size_t size)
{
  size_t n = 0;
  int depth = 0;
  if (*p == '"') {
    const char *end = string_end(++p);
    for (; end && p < end; p++) {
      if (*p == '\\')
        put_escaped(&p, out, size, &n);
      else if (n + 1 < size)
        out[n++] = *p;
    }
    out[n] = 0;
    return end ? end + 1 : NULL;
  }
  for (; *p && (depth || (*p != ',' && *p != '}')); p++) {
    depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
    if (n + 1 < size && !isspace((unsigned char)*p))
      out[n++] = *p;
  }
  out[n] = 0;
  return p;
}

struct value {
  char text[2048];
};

static void keep(struct sr_reply *r, const char *name, const char *v)
{
  if (!strcasecmp(name, "Status"))
    snprintf(r->status, sizeof r->status, "%.47s", v);
  else if (!strcasecmp(name, "state"))
    snprintf(r->state, sizeof r->state, "%.23s", v);
  else if (!strcasecmp(name, "Message") || !strcasecmp(name, "msg") ||
           (!strcasecmp(name, "reason") && *v))
    snprintf(r->message, sizeof r->message, "%.399s", v);
  else if (!strcasecmp(name, "NumberFilteredRows"))
    r->filtered = strtoll(v, NULL, 10);
  else if (!strcasecmp(name, "ErrorURL") && *v && !r->error_url)
    r->error_url = strdup(v);
}

static bool read_object(const char *p, struct sr_reply *r)
{
  char name[64];
  struct value v;
  p = skip_blank(p);
  if (*p++ != '{')
    return false;
  for (;;) {
    p = skip_blank(p);
    if (*p == '}')
      return true;
    if (*p != '"' || !(p = take_value(p, name, sizeof name)))
      return false;
    p = skip_blank(p);
    if (*p != ':' || !(p = take_value(skip_blank(p + 1), v.text, sizeof v.text)))
      return false;
    keep(r, name, v.text);
    p = skip_blank(p);
    if (*p == ',')
      p++;
    else if (*p != '}')
      return false; /* cut off */
  }
}

static enum sr_verdict verdict_of(const char *status)
{
  static const struct {
    const char *status;
    enum sr_verdict verdict;
  } known[] = {
      {"OK", SR_DONE},
      {"Success", SR_DONE},
      {"Publish Timeout", SR_DONE}, /* committed, and visible in a while */
      {"LABEL_ALREADY_EXISTS", SR_LABEL_EXISTS},
      {"Label Already Exists", SR_LABEL_EXISTS},
      {"TXN_NOT_EXISTS", SR_NO_TXN},
      {"TXN_IN_PROCESSING", SR_BUSY},
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcasecmp(known[i].status, status))
      return known[i].verdict;
  return *status ? SR_FAILED : SR_LOST;
}

void sr_reply_parse(const struct sql_buf *text, long http, struct sr_reply *ret)
{
  struct sql_buf copy = {0};
  *ret = (struct sr_reply){.verdict = SR_LOST, .http = http};
  sql_buf_bytes(&copy, text->p, text->len);
  bool whole = read_object(sql_buf_text(&copy), ret);
  sql_buf_done(&copy);
  if (http == 401 || http == 403)
    ret->verdict = SR_DENIED;
  else if (http == 404 || http == 405)
    ret->verdict = SR_MISSING;
  else if (http == 200 && whole)
    ret->verdict = verdict_of(ret->status);
  if (!*ret->message)
    snprintf(ret->message, sizeof ret->message, whole ? "no message" : "HTTP status %ld", http);
}

void sr_reply_done(struct sr_reply *r)
{
  free(r->error_url);
  r->error_url = NULL;
}

/* ---------------------------------------------------------------- meaning */

static bool has(const char *message, const char *const *words)
{
  for (; *words; words++)
    if (strcasestr(message, *words))
      return true;
  return false;
}

bool sr_blames_rows(const struct sr_reply *r)
{
  static const char *const rows[] = {
      "filtered rows",           "parse json", "parse error", "json parse",
      "primary key size exceed", "not a json", "null value",  NULL};
  return r->filtered > 0 || has(r->message, rows);
}

static int kind_of(struct sr_sink *s, const struct sr_reply *r)
{
  static const char *const later[] = {"too many tablet",
                                      "too many version",
                                      "running txns",
                                      "memory",
                                      "timeout",
                                      "timed out",
                                      "rpc",
                                      "http cuncurrent",
                                      "concurrent",
                                      "try again",
                                      "retry",
                                      "index channel",
                                      "no available",
                                      "no backend",
                                      "has no backend",
                                      "not alive",
                                      "leader",
                                      "transaction is",
                                      "aborted",
                                      NULL};
  static const char *const wrong[] = {"unknown table",
                                      "unknown database",
                                      "access denied",
                                      "only primary key",
                                      "unknown column",
                                      "authorization",
                                      "not a valid header",
                                      "no privilege",
                                      "does not exist",
                                      "column has no source",
                                      NULL};
  if (sr_blames_rows(r))
    return MR_REJECT;
  if (has(r->message, wrong))
    return MR_BADCONF;
  if (has(r->message, later))
    return MR_RETRY;
  return ++s->unclassified <= UNCLASSIFIED_MAX ? MR_RETRY : MR_FATAL;
}

int sr_refused(struct sr_sink *s, const struct sr_reply *r, const char *what, struct mr_error *err)
{
  int status = kind_of(s, r);
  src_fail(err, status, r->status, "%s of %s: %s: %.300s", what, s->shown, r->status, r->message);
  err->unit_lost = true;
  err->row = -1;
  if (status == MR_BADCONF)
    snprintf(err->option, sizeof err->option, "table");
  return status;
}
