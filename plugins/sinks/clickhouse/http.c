/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP connection: every request has a deadline and looks at the runtime's wake_fd. */
#include <ctype.h>
#include "common/clock.h"
#include "clickhouse.h"

#define GRACE_MS 1000          /* how long a request that should end now may go on */
#define ANSWER_MAX (64u << 20) /* bytes of an answer that are kept */
#define WAIT_MS 1000           /* of one look at the sockets */

/* ---------------------------------------------------------------- the URL */

static char *part(CURLU *u, CURLUPart which, unsigned flags)
{
  char *text = NULL;
  if (curl_url_get(u, which, &text, flags) != CURLUE_OK)
    return NULL;
  char *copy = strdup(text);
  curl_free(text);
  return copy;
}

static CURLU *parse(const char *url)
{
  CURLU *u = curl_url();
  if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK) {
    char *scheme = part(u, CURLUPART_SCHEME, 0);
    bool known = scheme && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
    free(scheme);
    if (known)
      return u;
  }
  curl_url_cleanup(u);
  return NULL;
}

bool ch_url_ok(const char *url)
{
  CURLU *u = parse(url);
  curl_url_cleanup(u);
  return u != NULL;
}

/* "database" of "user=a&database=b", decoded. */
static char *of_query(const char *query, const char *name)
{
  size_t n = strlen(name);
  for (const char *p = query; p && *p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL) {
    if (strncmp(p, name, n) || p[n] != '=')
      continue;
    char *raw = strndup(p + n + 1, strcspn(p + n + 1, "&")), *copy = NULL;
    char *text = raw ? curl_easy_unescape(NULL, raw, 0, NULL) : NULL;
    copy = text ? strdup(text) : NULL;
    curl_free(text);
    free(raw);
    return copy;
  }
  return NULL;
}

/* The first one that is there; the others are freed. */
static char *first(const char *a, char *take_b, char *take_c)
{
  char *chosen = a ? strdup(a) : take_b;
  if (a)
    free(take_b);
  if (chosen) {
    free(take_c);
    return chosen;
  }
  return take_c;
}

/* The host of an URL, brackets and all: this machine? */
static bool is_loopback(const char *host)
{
  return host &&
         (!strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "[::1]"));
}

int ch_http_describe(struct ch_sink *s, struct mr_error *err)
{
  CURLU *u = parse(s->conf->url);
  struct sql_buf base = {0}, where = {0};
  if (!u)
    return src_badconf(err, "url", "not an http:// or https:// URL");
  char *scheme = part(u, CURLUPART_SCHEME, 0), *host = part(u, CURLUPART_HOST, 0);
  char *path = part(u, CURLUPART_PATH, 0), *query = part(u, CURLUPART_QUERY, 0);
  char *port = part(u, CURLUPART_PORT, 0);
  bool tls = scheme && !strcmp(scheme, "https");
  const char *at = port ? port : tls ? "8443" : "8123";
  sql_buf_fmt(&base, "%s://%s:%s%s", scheme ? scheme : "", host ? host : "", at, path ? path : "/");
  sql_buf_fmt(&where, " at %s:%s", host ? host : "", at);
  sql_buf_text(&base);
  sql_buf_text(&where);
  s->compression = s->conf->compression;
  if (s->compression == COMPRESSION_AUTO)
    s->compression = is_loopback(host) ? COMPRESSION_NONE : COMPRESSION_LZ4;
  s->base = (char *)base.p;
  s->where = (char *)where.p;
  s->user = first(s->conf->user, part(u, CURLUPART_USER, CURLU_URLDECODE), of_query(query, "user"));
  s->password = first(s->conf->password, part(u, CURLUPART_PASSWORD, CURLU_URLDECODE),
                      of_query(query, "password"));
  s->database = first(s->conf->database, of_query(query, "database"), strdup("default"));
  free(scheme);
  free(host);
  free(path);
  free(query);
  free(port);
  curl_url_cleanup(u);
  return s->base && s->where && s->database ? MR_OK : ch_no_memory(err);
}

/* ---------------------------------------------------------------- requests */

static bool add_header(struct ch_sink *s, const char *name, const char *value)
{
  struct sql_buf line = {0};
  sql_buf_fmt(&line, "%s%s", name, value);
  struct curl_slist *longer = curl_slist_append(s->headers, sql_buf_text(&line));
  sql_buf_done(&line);
  if (longer)
    s->headers = longer;
  return longer != NULL;
}

static bool open_curl(struct ch_sink *s)
{
  if (s->curl)
    return true;
  s->multi = curl_multi_init();
  s->curl = curl_easy_init();
  bool ok = s->multi && s->curl && add_header(s, "Expect:", "") &&
            add_header(s, "Content-Type: application/octet-stream", "");
  if (ok && s->user)
    ok = add_header(s, "X-ClickHouse-User: ", s->user);
  if (ok && s->password)
    ok = add_header(s, "X-ClickHouse-Key: ", s->password);
  if (!ok)
    ch_http_close(s);
  return ok;
}

void ch_http_close(struct ch_sink *s)
{
  curl_easy_cleanup(s->curl);
  curl_multi_cleanup(s->multi);
  curl_slist_free_all(s->headers);
  s->curl = NULL;
  s->multi = NULL;
  s->headers = NULL;
}

static size_t on_body(char *data, size_t size, size_t n, void *out)
{
  struct ch_answer *a = out;
  size_t len = size * n;
  a->too_long = len > ANSWER_MAX - a->body.len;
  if (a->too_long)
    return 0;
  sql_buf_bytes(&a->body, data, len);
  return a->body.failed ? 0 : len;
}

static int digits(const char *p)
{
  int v = 0;
  while (*p == ' ')
    p++;
  for (; isdigit((unsigned char)*p) && v < 1000000; p++)
    v = 10 * v + (*p - '0');
  return v;
}

static size_t on_header(char *data, size_t size, size_t n, void *out)
{
  static const char name[] = "X-ClickHouse-Exception-Code:";
  struct ch_answer *a = out;
  size_t len = size * n;
  char line[64] = "";
  if (len > sizeof name - 1 && len < sizeof line && !strncasecmp(data, name, sizeof name - 1)) {
    memcpy(line, data, len);
    a->code = digits(line + sizeof name - 1);
  }
  return len;
}

static bool put_escaped(struct ch_sink *s, struct sql_buf *url, const char *text)
{
  char *escaped = curl_easy_escape(s->curl, text, 0);
  if (escaped)
    sql_buf_str(url, escaped);
  curl_free(escaped);
  return escaped != NULL;
}

static bool set_options(struct ch_sink *s, const struct ch_request *r, const char *url,
                        struct ch_answer *a)
{
  CURL *c = s->curl;
  curl_easy_reset(c);
  *s->curl_error = 0;
  bool ok = curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK;
  curl_easy_setopt(c, CURLOPT_POST, 1L);
  curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body ? r->body : "");
  curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->len);
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, s->headers);
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, (long)s->conf->connect_timeout_ms);
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
  curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, (long)r->once);
  curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->curl_error);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, a);
  curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(c, CURLOPT_HEADERDATA, a);
  if (s->conf->tls_ca)
    curl_easy_setopt(c, CURLOPT_CAINFO, s->conf->tls_ca);
  return ok;
}

/* Lets the transfer go until it is done, its time is over, or the runtime wants the call to end. */
static CURLcode transfer(struct ch_sink *s, bool go_on)
{
  struct curl_waitfd wake = {.fd = s->host ? s->host->wake_fd : -1, .events = CURL_WAIT_POLLIN};
  CURLcode result = CURLE_ABORTED_BY_CALLBACK;
  int running = 1, left = 0;
  int64_t until = INT64_MAX;
  if (curl_multi_add_handle(s->multi, s->curl) != CURLM_OK)
    return CURLE_OUT_OF_MEMORY;
  while (curl_multi_perform(s->multi, &running) == CURLM_OK && running && clock_now_ms() < until) {
    bool watch = wake.fd >= 0 && until == INT64_MAX;
    wake.revents = 0;
    if (curl_multi_poll(s->multi, &wake, watch, WAIT_MS, NULL) != CURLM_OK)
      break;
    if (watch && wake.revents)
      until = clock_now_ms() + (go_on ? GRACE_MS : 0);
  }
  for (CURLMsg *m; (m = curl_multi_info_read(s->multi, &left));)
    if (m->msg == CURLMSG_DONE)
      result = m->data.result;
  if (running && !*s->curl_error)
    snprintf(s->curl_error, sizeof s->curl_error, "given up: the pipeline ends");
  curl_multi_remove_handle(s->multi, s->curl);
  return result;
}

/* Old servers name the code in the text alone, and one that fails late has said 200 before. */
static void find_code(struct ch_answer *a)
{
  const char *text = sql_buf_text(&a->body);
  if (a->code || (a->http == 200 && a->body.len == 0))
    return;
  if (a->http != 200 && !strncmp(text, "Code: ", 6))
    a->code = digits(text + 6);
  const char *late = a->http == 200 ? strstr(text, "Code: ") : NULL;
  if (late && strstr(late, "Exception"))
    a->code = digits(late + 6);
}

int ch_http(struct ch_sink *s, const struct ch_request *r, struct ch_answer *ret,
            struct mr_error *err)
{
  struct sql_buf url = {0};
  memset(ret, 0, sizeof *ret);
  if (!open_curl(s))
    return ch_no_memory(err);
  sql_buf_str(&url, s->base);
  sql_buf_str(&url, "?database=");
  bool ok = put_escaped(s, &url, s->database);
  if (r->query) {
    sql_buf_str(&url, "&query=");
    ok = ok && put_escaped(s, &url, r->query);
  }
  sql_buf_str(&url, r->settings);
  ok = ok && set_options(s, r, sql_buf_text(&url), ret) && !url.failed;
  CURLcode result = ok ? transfer(s, r->go_on) : CURLE_OUT_OF_MEMORY;
  if (result == CURLE_OK)
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &ret->http);
  sql_buf_done(&url);
  if (result == CURLE_OK) {
    if (!r->binary || ret->http != 200)
      find_code(ret);
    return MR_OK;
  }
  sql_buf_done(&ret->body);
  if (ret->too_long && r->binary)
    return MR_MORE;
  return ok ? ch_lost(s, result, r->what, err) : ch_no_memory(err);
}

int ch_query(struct ch_sink *s, const char *sql, const char *what, struct sql_buf *ret,
             struct mr_error *err)
{
  struct ch_answer a;
  struct ch_request r = {.what = what,
                         .settings = "&wait_end_of_query=1&default_format=TabSeparated",
                         .body = sql,
                         .len = strlen(sql),
                         .timeout_ms = s->conf->statement_timeout_ms};
  int status = ch_http(s, &r, &a, err);
  if (status >= 0 && (a.http != 200 || a.code))
    status = ch_refused(s, &a, what, err);
  if (status >= 0 && ret) {
    sql_buf_text(&a.body);
    *ret = a.body;
    return a.body.p ? MR_OK : ch_no_memory(err);
  }
  sql_buf_done(&a.body);
  return status;
}

/* ---------------------------------------------------------------- texts of SQL */

char *ch_field(char **at, bool *ret_last)
{
  static const char escape[] = "n\nt\tr\r0\0b\bf\fa\av\v";
  char *begin = *at, *to = begin, *p = begin;
  if (!*begin)
    return NULL;
  for (; *p && *p != '\t' && *p != '\n'; p++) {
    char c = *p;
    if (c == '\\' && p[1]) {
      c = *++p;
      for (size_t i = 0; i + 1 < sizeof escape; i += 2)
        if (escape[i] == c) {
          c = escape[i + 1];
          break;
        }
    }
    *to++ = c;
  }
  *ret_last = *p != '\t';
  *at = *p ? p + 1 : p;
  *to = 0;
  return begin;
}

static void quoted(struct sql_buf *out, const char *text, char quote)
{
  sql_buf_byte(out, quote);
  for (; *text; text++) {
    if (*text == quote || *text == '\\')
      sql_buf_byte(out, '\\');
    sql_buf_byte(out, *text);
  }
  sql_buf_byte(out, quote);
}

void ch_ident(struct sql_buf *out, const char *name)
{
  quoted(out, name, '`');
}

void ch_literal(struct sql_buf *out, const char *text)
{
  quoted(out, text, '\'');
}
