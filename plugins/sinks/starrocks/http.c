/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to FE, and where it sends them on: redirects are followed here and not by libcurl, so
 * that credentials go only to hosts that the pipeline file allows. */
#include "common/clock.h"
#include "starrocks.h"

#define HOPS_MAX 3              /* FE, the leading FE, BE */
#define CONTINUE_MS 60000L      /* a busy FE may take its time with 307 or 100 */
#define GRACE_MS 5000           /* how long a request may go on once it should return */
#define UPLOAD_BYTES (1L << 20) /* that libcurl sends at once */
#define ANSWER_MAX (4 << 20)    /* bytes of an answer that are kept */

/* ---------------------------------------------------------------- addresses */

static char *url_part(const char *url, CURLUPart part, unsigned flags)
{
  CURLU *u = curl_url();
  char *text = NULL, *copy = NULL;
  if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
      curl_url_get(u, part, &text, flags) == CURLUE_OK)
    copy = strdup(text);
  curl_free(text);
  curl_url_cleanup(u);
  return copy;
}

bool sr_url_ok(const char *url)
{
  char *scheme = url_part(url, CURLUPART_SCHEME, 0), *user = url_part(url, CURLUPART_USER, 0);
  bool ok = scheme && !user && (!strcmp(scheme, "http") || !strcmp(scheme, "https"));
  free(scheme);
  free(user);
  return ok;
}

char *sr_url_host(const char *url)
{
  return url_part(url, CURLUPART_HOST, 0);
}

static bool same_place(const char *pattern, const char *host, long port)
{
  char full[300];
  snprintf(full, sizeof full, "%s:%ld", host, port);
  return !strcmp(pattern, "*") || !strcasecmp(pattern, host) || !strcasecmp(pattern, full);
}

bool sr_map_address(const struct sr_sink *s, const char *fe_host, const char *host, long port,
                    struct sql_buf *ret)
{
  const struct mr_list *map = &s->conf->be_address_map;
  const char *const *to = map->item;
  const char *place = NULL;
  for (size_t i = 0; i < map->n && !place; i++)
    if (same_place(map->key[i], host, port))
      place = strcmp(to[i], "*") ? to[i] : host;
  if (!place && !strcasecmp(host, fe_host))
    place = host;
  if (!place)
    return false;
  const char *colon = strrchr(place, ':'), *bracket = strrchr(place, ']');
  if (colon && colon > bracket && (bracket || strchr(place, ':') == colon))
    sql_buf_str(ret, place);
  else
    sql_buf_fmt(ret, "%s:%ld", place, port);
  return true;
}

/* Replaces the host of a URL that a server named by what the map has for it. */
static bool mapped(struct sr_sink *s, const char *url, struct sql_buf *ret, struct mr_error *err)
{
  const char *const *fe = s->conf->url.item;
  char *fe_host = sr_url_host(fe[s->fe]), *host = sr_url_host(url);
  char *scheme = url_part(url, CURLUPART_SCHEME, 0), *path = url_part(url, CURLUPART_PATH, 0);
  char *query = url_part(url, CURLUPART_QUERY, 0);
  char *number = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  bool ok = fe_host && host && scheme && path && number;
  sql_buf_clear(ret);
  if (ok) {
    sql_buf_fmt(ret, "%s://", scheme);
    ok = sr_map_address(s, fe_host, host, strtol(number, NULL, 10), ret);
    sql_buf_fmt(ret, "%s%s%s", path, query ? "?" : "", query ? query : "");
  }
  if (!ok) {
    src_badconf(err, "be_address_map",
                "the server names %s:%s, where credentials may not go: add it to be_address_map",
                host ? host : "an address that is none", number ? number : "?");
    err->native = MR_BADCONF;
  }
  free(fe_host);
  free(host);
  free(scheme);
  free(path);
  free(query);
  free(number);
  return ok;
}

/* ---------------------------------------------------------------- libcurl's calls back */

static size_t on_answer(char *data, size_t size, size_t n, void *self)
{
  struct sr_sink *s = self;
  if (s->answer.len < ANSWER_MAX)
    sql_buf_bytes(&s->answer, data, size * n);
  return size * n;
}

static size_t on_body(char *to, size_t size, size_t n, void *self)
{
  struct sr_sink *s = self;
  size_t left = s->body_len - s->body_at, want = size * n;
  size_t now = left < want ? left : want;
  memcpy(to, s->body + s->body_at, now);
  s->body_at += now;
  return now;
}

static int on_seek(void *self, curl_off_t offset, int origin)
{
  struct sr_sink *s = self;
  if (origin != SEEK_SET || offset < 0 || (size_t)offset > s->body_len)
    return CURL_SEEKFUNC_FAIL;
  s->body_at = (size_t)offset;
  return CURL_SEEKFUNC_OK;
}

/* ---------------------------------------------------------------- one hop */

static void set_method(struct sr_sink *s, const struct sr_request *r)
{
  CURL *e = s->easy;
  s->body = r->body;
  s->body_len = r->len;
  s->body_at = 0;
  if (r->body) {
    curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->len);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_READDATA, s);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, on_seek);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, s);
    curl_easy_setopt(e, CURLOPT_EXPECT_100_TIMEOUT_MS, CONTINUE_MS);
  } else if (!strcmp(r->method, "POST")) {
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
  } else {
    curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
  }
}

static void set_up(struct sr_sink *s, const struct sr_request *r, const char *url)
{
  CURL *e = s->easy;
  curl_easy_reset(e);
  curl_easy_setopt(e, CURLOPT_URL, url);
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L); /* libcurl sends again what a used one lost */
  curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
  curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BYTES);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
  curl_easy_setopt(e, CURLOPT_USERNAME, s->conf->user ? s->conf->user : "root");
  curl_easy_setopt(e, CURLOPT_PASSWORD, s->conf->password ? s->conf->password : "");
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)s->conf->connect_timeout_ms);
  curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_answer);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, s);
  if (s->conf->tls_ca)
    curl_easy_setopt(e, CURLOPT_CAINFO, s->conf->tls_ca);
  set_method(s, r);
}

static CURLcode finished(struct sr_sink *s)
{
  CURLMsg *m;
  int left;
  while ((m = curl_multi_info_read(s->multi, &left)))
    if (m->msg == CURLMSG_DONE)
      return m->data.result;
  return CURLE_RECV_ERROR;
}

/* Runs the transfer; a wake of the runtime leaves it a little time. */
static CURLcode perform(struct sr_sink *s, bool *ret_woken)
{
  struct curl_waitfd wake = {.fd = s->host ? s->host->wake_fd : -1, .events = CURL_WAIT_POLLIN};
  int64_t end = 0;
  int running = 1;
  *ret_woken = false;
  while (curl_multi_perform(s->multi, &running) == CURLM_OK && running) {
    bool listen = wake.fd >= 0 && !end;
    wake.revents = 0;
    if (curl_multi_poll(s->multi, &wake, listen ? 1 : 0, 500, NULL) != CURLM_OK)
      break;
    if (listen && wake.revents)
      end = clock_now_ms() + GRACE_MS;
    if (end && clock_now_ms() > end) {
      *ret_woken = true;
      return CURLE_ABORTED_BY_CALLBACK;
    }
  }
  return running ? CURLE_RECV_ERROR : finished(s);
}

static bool not_reached(CURLcode code)
{
  return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
         code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
}

static void place_of(const char *url, struct sql_buf *out)
{
  char *host = sr_url_host(url), *port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  sql_buf_fmt(out, "%s:%s", host ? host : "?", port ? port : "?");
  free(host);
  free(port);
}

static enum sr_transport hop(struct sr_sink *s, const struct sr_request *r, const char *url,
                             long *ret_status, struct mr_error *err)
{
  bool woken;
  set_up(s, r, url);
  sql_buf_clear(&s->answer);
  curl_multi_add_handle(s->multi, s->easy);
  CURLcode code = perform(s, &woken);
  curl_multi_remove_handle(s->multi, s->easy);
  if (code == CURLE_OK) {
    char *location = NULL;
    curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, ret_status);
    curl_easy_getinfo(s->easy, CURLINFO_REDIRECT_URL, &location);
    free(s->location);
    s->location = location ? strdup(location) : NULL;
    return SR_ANSWERED;
  }
  struct sql_buf place = {0};
  place_of(url, &place);
  src_fail(err, MR_RETRY, "08006", "%s: %s", sql_buf_text(&place),
           woken ? "stopped waiting because the run is to end" : curl_easy_strerror(code));
  sql_buf_done(&place);
  err->unreachable = !woken;
  return not_reached(code) ? SR_UNREACHED : SR_CUT;
}

/* ---------------------------------------------------------------- whole requests */

static bool is_redirect(long status)
{
  return status == 307 || status == 308 || status == 301 || status == 302;
}

static enum sr_transport follow(struct sr_sink *s, const struct sr_request *r, struct sql_buf *url,
                                long *ret_status, struct mr_error *err)
{
  for (int i = 0; i < HOPS_MAX; i++) {
    enum sr_transport t = hop(s, r, sql_buf_text(url), ret_status, err);
    if (t != SR_ANSWERED || !is_redirect(*ret_status) || !s->location)
      return t;
    if (!mapped(s, s->location, url, err))
      return SR_UNREACHED;
  }
  src_fail(err, MR_RETRY, "08006", "redirected more than %d times", HOPS_MAX);
  return SR_UNREACHED;
}

enum sr_transport sr_http(struct sr_sink *s, const struct sr_request *r, long *ret_status,
                          struct mr_error *err)
{
  const char *const *fe = s->conf->url.item;
  struct sql_buf url = {0};
  enum sr_transport t = SR_UNREACHED;
  err->native = 0;
  if (r->url) {
    if (mapped(s, r->url, &url, err))
      t = follow(s, r, &url, ret_status, err);
    sql_buf_done(&url);
    return t;
  }
  for (size_t i = 0; i < s->conf->url.n && t == SR_UNREACHED; i++) {
    if (i)
      s->fe = (s->fe + 1) % s->conf->url.n;
    size_t n = strlen(fe[s->fe]);
    sql_buf_clear(&url);
    sql_buf_bytes(&url, fe[s->fe], n && fe[s->fe][n - 1] == '/' ? n - 1 : n);
    sql_buf_str(&url, r->path);
    t = follow(s, r, &url, ret_status, err);
  }
  sql_buf_done(&url);
  return t;
}

int sr_http_open(struct sr_sink *s, struct mr_error *err)
{
  if (!s->easy)
    s->easy = curl_easy_init();
  if (!s->multi)
    s->multi = curl_multi_init();
  return s->easy && s->multi ? MR_OK : src_no_memory(err);
}

void sr_http_close(struct sr_sink *s)
{
  if (s->easy)
    curl_easy_cleanup(s->easy);
  if (s->multi)
    curl_multi_cleanup(s->multi);
  s->easy = NULL;
  s->multi = NULL;
  free(s->location);
  s->location = NULL;
  sql_buf_done(&s->answer);
}
