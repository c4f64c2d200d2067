/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions of Stream Load, and what became of a label. Source: StarRocks documentation,
 * "Stream Load transaction interface"; get_load_state decides whatever an answer leaves open. */
#include "starrocks.h"

#define ROLLBACK_TRIES 3

static bool add(struct curl_slist **list, const char *name, const char *value)
{
  struct sql_buf line = {0};
  sql_buf_fmt(&line, "%s: %s", name, value);
  struct curl_slist *grown = line.failed ? NULL : curl_slist_append(*list, sql_buf_text(&line));
  sql_buf_done(&line);
  if (grown)
    *list = grown;
  return grown;
}

static bool add_number(struct curl_slist **list, const char *name, int64_t v)
{
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)v);
  return add(list, name, text);
}

/* Steps of a transaction over several tables name none, and are answered by FE. */
static bool is_multi(const struct sr_sink *s)
{
  return s->conf->load == LOAD_MULTI && !s->one_table;
}

static bool add_names(struct sr_sink *s, struct curl_slist **list, const char *label)
{
  return add(list, "db", s->database) && add(list, "label", label) &&
         (!is_multi(s) || add(list, "transaction_type", "multi"));
}

/* A header that libcurl would add, taken out. */
static bool bare(struct curl_slist **list, const char *line)
{
  struct curl_slist *grown = curl_slist_append(*list, line);
  if (grown)
    *list = grown;
  return grown;
}

/* The one header of loads that begin needs, too. */
static bool add_warehouse(struct sr_sink *s, struct curl_slist **list)
{
  const char *const *value = s->conf->headers.item;
  for (size_t i = 0; i < s->conf->headers.n; i++)
    if (!strcasecmp(s->conf->headers.key[i], "warehouse"))
      return add(list, "warehouse", value[i]);
  return true;
}

/* Sends a request and reads the verdict; the headers are freed. */
static enum sr_verdict ask(struct sr_sink *s, struct sr_request *r, bool headers_ok,
                           const char *what, struct sr_reply *ret, struct mr_error *err)
{
  long http = 0;
  struct mr_error why = {.size = sizeof why, .row = -1};
  *ret = (struct sr_reply){.verdict = SR_NOT_SENT};
  enum sr_transport t = SR_UNREACHED;
  if (headers_ok)
    t = sr_http(s, r, &http, &why);
  else
    src_no_memory(&why);
  curl_slist_free_all(r->headers);
  if (t == SR_ANSWERED) {
    sr_reply_parse(&s->answer, http, ret);
    if (ret->verdict != SR_DONE)
      src_fail(err, MR_RETRY, ret->status, "%s of %s: %s: %.300s", what, s->shown,
               *ret->status ? ret->status : "no verdict", ret->message);
    return ret->verdict;
  }
  ret->verdict = t == SR_CUT ? SR_LOST : SR_NOT_SENT;
  src_fail(err, MR_RETRY, why.code, "%s of %s: %.400s", what, s->shown, why.msg);
  err->unreachable = why.unreachable;
  err->native = why.native;
  memcpy(err->option, why.option, sizeof err->option);
  return ret->verdict;
}

enum sr_verdict sr_step(struct sr_sink *s, enum sr_step step, const char *label,
                        struct sr_reply *ret, struct mr_error *err)
{
  static const char *const path[] = {"/api/transaction/begin", "/api/transaction/prepare",
                                     "/api/transaction/commit", "/api/transaction/rollback"};
  static const char *const what[] = {"begin", "prepare", "commit", "rollback"};
  struct sr_request r = {
      .method = "POST", .path = path[step], .timeout_ms = s->conf->request_timeout_ms};
  bool ok = add_names(s, &r.headers, label) &&
            (is_multi(s) || add(&r.headers, "table", s->table)) &&
            bare(&r.headers, "Content-Type:");
  if (step == STEP_BEGIN)
    ok = ok && add_warehouse(s, &r.headers) &&
         add_number(&r.headers, "timeout", s->conf->transaction_timeout_ms / 1000) &&
         add_number(&r.headers, "idle_transaction_timeout", s->conf->transaction_timeout_ms / 1000);
  if (step == STEP_PREPARE)
    ok = ok && add_number(&r.headers, "prepared_timeout", s->conf->prepared_timeout_ms / 1000);
  return ask(s, &r, ok, what[step], ret, err);
}

/* ---------------------------------------------------------------- loads */

static bool add_format(struct sr_sink *s, struct curl_slist **list)
{
  static const char *const pack[] = {NULL, "lz4_frame", "zstd"};
  bool ok;
  if (s->conf->format == FORMAT_JSON)
    ok = add(list, "format", "json") && add(list, "strip_outer_array", "true") &&
         add(list, "ignore_json_size", "true");
  else
    ok = add(list, "format", "csv") && add(list, "column_separator", "\\x01") &&
         add(list, "row_delimiter", "\\x02");
  if (ok && s->conf->compression != PACK_NONE)
    ok = add(list, "compression", pack[s->conf->compression]);
  return ok;
}

static bool add_own(struct sr_sink *s, struct curl_slist **list)
{
  const char *const *value = s->conf->headers.item;
  bool ok = true;
  for (size_t i = 0; i < s->conf->headers.n && ok; i++)
    ok = add(list, s->conf->headers.key[i], value[i]);
  return ok;
}

bool sr_load_headers(struct sr_sink *s, const char *columns, bool partial, struct curl_slist **list)
{
  bool by_column = s->conf->partial_update == PARTIAL_COLUMN;
  bool ok = add(list, "Expect", "100-continue") && add(list, "timezone", s->conf->timezone) &&
            add(list, "strict_mode", s->conf->strict_mode ? "true" : "false") &&
            add(list, "max_filter_ratio", "0") && add_format(s, list) && add_own(s, list);
  if (ok && columns)
    ok = add(list, "columns", columns);
  if (ok && partial)
    ok = add(list, "partial_update", "true") &&
         add(list, "partial_update_mode", by_column ? "column" : "row");
  return ok;
}

enum sr_verdict sr_load(struct sr_sink *s, const char *label, const uint8_t *rows, size_t len,
                        struct sr_reply *ret, struct mr_error *err)
{
  struct sr_request r = {.method = "PUT",
                         .path = "/api/transaction/load",
                         .body = rows,
                         .len = len,
                         .timeout_ms = s->conf->request_timeout_ms};
  bool ok =
      add_names(s, &r.headers, label) && add(&r.headers, "table", s->table) &&
      sr_load_headers(s, s->columns_header, s->conf->partial_update != PARTIAL_NO, &r.headers);
  return ask(s, &r, ok, "load", ret, err);
}

enum sr_verdict sr_load_plain(struct sr_sink *s, const char *label, const char *table,
                              const uint8_t *rows, size_t len, struct sr_reply *ret,
                              struct mr_error *err)
{
  struct sr_request r = {.method = "PUT",
                         .path = "/api/transaction/load",
                         .body = rows,
                         .len = len,
                         .timeout_ms = s->conf->request_timeout_ms};
  bool ok = add_names(s, &r.headers, label) && add(&r.headers, "table", table) &&
            add(&r.headers, "Expect", "100-continue") && add(&r.headers, "format", "json") &&
            add(&r.headers, "strip_outer_array", "true") &&
            add(&r.headers, "strict_mode", "true") && add(&r.headers, "timezone", "UTC") &&
            add(&r.headers, "max_filter_ratio", "0");
  return ask(s, &r, ok, "load", ret, err);
}

static bool add_lines(struct curl_slist **list, const char *lines, size_t n)
{
  bool ok = true;
  while (n && ok) {
    const char *end = memchr(lines, '\n', n);
    size_t len = end ? (size_t)(end - lines) : n;
    char *line = strndup(lines, len);
    ok = line && bare(list, line);
    free(line);
    lines += len + (end != NULL);
    n -= len + (end != NULL);
  }
  return ok;
}

enum sr_verdict sr_put(struct sr_sink *s, const char *label, const char *headers, size_t n_headers,
                       const uint8_t *rows, size_t len, struct sr_reply *ret, struct mr_error *err)
{
  struct sql_buf path = {0};
  char *db = curl_easy_escape(s->easy, s->database, 0);
  char *table = curl_easy_escape(s->easy, s->table, 0);
  sql_buf_fmt(&path, "/api/%s/%s/_stream_load", db ? db : "", table ? table : "");
  struct sr_request r = {.method = "PUT",
                         .path = sql_buf_text(&path),
                         .body = rows,
                         .len = len,
                         .timeout_ms = s->conf->request_timeout_ms};
  bool ok = db && table && !path.failed && add(&r.headers, "label", label) &&
            add_number(&r.headers, "timeout", s->conf->transaction_timeout_ms / 1000) &&
            add_lines(&r.headers, headers, n_headers);
  enum sr_verdict v = ask(s, &r, ok, "load", ret, err);
  curl_free(db);
  curl_free(table);
  sql_buf_done(&path);
  return v;
}

/* ---------------------------------------------------------------- states */

static int outcome_of(const char *state)
{
  static const struct {
    const char *state;
    int outcome;
  } known[] = {{"UNKNOWN", MR_UNKNOWN},     {"PREPARE", MR_RUNNING},   {"PREPARED", MR_PREPARED},
               {"COMMITTED", MR_COMMITTED}, {"VISIBLE", MR_COMMITTED}, {"ABORTED", MR_ABORTED}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcasecmp(known[i].state, state))
      return known[i].outcome;
  return MR_RETRY;
}

int sr_label_state(struct sr_sink *s, const char *label, struct mr_error *err)
{
  struct sql_buf path = {0};
  struct sr_reply reply;
  char *db = curl_easy_escape(s->easy, s->database, 0);
  sql_buf_fmt(&path, "/api/%s/get_load_state?label=%s", db ? db : "", label);
  curl_free(db);
  struct sr_request r = {
      .method = "GET", .path = sql_buf_text(&path), .timeout_ms = s->conf->request_timeout_ms};
  ask(s, &r, !path.failed, "get_load_state", &reply, err);
  sql_buf_done(&path);
  s->visible = !strcasecmp(reply.state, "VISIBLE");
  int outcome = reply.http == 200 ? outcome_of(reply.state) : MR_RETRY;
  if (outcome < 0 && reply.http == 200)
    src_fail(err, MR_RETRY, "", "get_load_state of %s: state \"%s\": %.200s", label, reply.state,
             reply.message);
  err->unreachable = outcome < 0;
  if (outcome < 0 && err->native == MR_BADCONF)
    outcome = MR_BADCONF;
  sr_reply_done(&reply);
  return outcome;
}

int sr_label_rollback(struct sr_sink *s, const char *label, struct mr_error *err)
{
  for (int i = 0; i < ROLLBACK_TRIES; i++) {
    struct sr_reply reply;
    int state = sr_label_state(s, label, err);
    if (state == MR_ABORTED || state == MR_UNKNOWN)
      return MR_OK;
    if (state == MR_COMMITTED)
      return src_fail(err, MR_FATAL, "", "label %s is committed: it cannot be rolled back", label);
    if (state < 0)
      return state;
    enum sr_verdict v = sr_step(s, STEP_ROLLBACK, label, &reply, err);
    sr_reply_done(&reply);
    if (v == SR_NO_TXN && state == MR_RUNNING)
      return MR_OK; /* no BE knows it any more: nobody can prepare or commit it */
  }
  return src_fail(err, MR_RETRY, "", "rollback of label %s is not confirmed yet", label);
}

int sr_status(struct sr_sink *s, const struct sr_reply *r, const char *what, struct mr_error *err)
{
  err->unit_lost = true;
  switch (r->verdict) {
  case SR_MISSING:
    snprintf(err->option, sizeof err->option, "load");
    return src_fail(err, MR_BADCONF, "404",
                    "%s: the server has no transaction interface (StarRocks 2.4 or later has); "
                    "load: labelled does without",
                    what);
  case SR_DENIED:
    err->unreachable = true;
    return src_fail(err, MR_RETRY, "28000", "%s: access denied for user %s at %s: %.200s", what,
                    s->conf->user ? s->conf->user : "root", s->where, r->message);
  case SR_FAILED: return sr_refused(s, r, what, err);
  default: return err->native == MR_BADCONF ? MR_BADCONF : MR_RETRY;
  }
}
