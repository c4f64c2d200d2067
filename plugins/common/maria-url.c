/* SPDX-License-Identifier: Apache-2.0 */
/* mysql://user:password@host:port/database and the options beside it; literals and names. */
#include "common/maria-conn.h"
#include "common/sql-text.h"

#define DEFAULT_PORT 3306

static int hex_digit(char c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 32;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes p[0..n) with %XX decoded; NULL: no memory or a bad escape. */
static char *decoded(const char *p, size_t n)
{
  char *out = malloc(n + 1), *to = out;
  for (size_t i = 0; out && i < n; i++) {
    if (p[i] != '%') {
      *to++ = p[i];
      continue;
    }
    int high = i + 2 < n ? hex_digit(p[i + 1]) : -1, low = i + 2 < n ? hex_digit(p[i + 2]) : -1;
    if (high < 0 || low < 0 || !(high | low)) {
      free(out);
      return NULL;
    }
    *to++ = (char)(high << 4 | low);
    i += 2;
  }
  if (out)
    *to = 0;
  return out;
}

static bool put(char **field, const char *p, size_t n)
{
  free(*field);
  *field = decoded(p, n);
  return *field != NULL;
}

static bool parse_port(const char *p, size_t n, unsigned *ret)
{
  unsigned v = 0;
  for (size_t i = 0; i < n; i++) {
    if (p[i] < '0' || p[i] > '9' || v > 65535)
      return false;
    v = v * 10 + (unsigned)(p[i] - '0');
  }
  *ret = v;
  return n && v && v <= 65535;
}

/* host, host:port or [address]:port */
static bool parse_host(struct maria_conn *c, const char *p, size_t n)
{
  const char *end = p + n, *stop;
  if (n && *p == '[') {
    stop = memchr(p, ']', n);
    if (!stop || !put(&c->server, p + 1, (size_t)(stop - p - 1)))
      return false;
    stop++;
  } else {
    stop = memchr(p, ':', n);
    stop = stop ? stop : end;
    if (stop > p && !put(&c->server, p, (size_t)(stop - p)))
      return false;
  }
  return stop == end || (*stop == ':' && parse_port(stop + 1, (size_t)(end - stop - 1), &c->port));
}

static bool parse_user(struct maria_conn *c, const char *p, size_t n)
{
  const char *colon = memchr(p, ':', n);
  size_t user = colon ? (size_t)(colon - p) : n;
  return put(&c->user, p, user) && (!colon || put(&c->password, colon + 1, n - user - 1));
}

static bool parse_url(struct maria_conn *c, const char *url)
{
  if (!strncmp(url, "mysql://", 8))
    url += 8;
  else if (!strncmp(url, "mariadb://", 10))
    url += 10;
  else
    return false;
  size_t n = strcspn(url, "/?#");
  const char *at = memrchr(url, '@', n), *host = at ? at + 1 : url;
  if (at && !parse_user(c, url, (size_t)(at - url)))
    return false;
  if (!parse_host(c, host, (size_t)(url + n - host)))
    return false;
  if (url[n] == '/' && url[n + 1] && !put(&c->base, url + n + 1, strlen(url + n + 1)))
    return false;
  return url[n] != '?' && url[n] != '#' && (!c->base || !strpbrk(c->base, "?#/"));
}

static bool replace(char **field, const char *value)
{
  if (!value)
    return true;
  free(*field);
  *field = strdup(value);
  return *field != NULL;
}

static bool describe(struct maria_conn *c)
{
  struct sql_buf b = {0};
  sql_buf_fmt(&b, " at %s", c->server);
  if (*c->server != '/')
    sql_buf_fmt(&b, ":%u", c->port);
  if (c->base)
    sql_buf_fmt(&b, ", database %s", c->base);
  if (c->user)
    sql_buf_fmt(&b, ", user %s", c->user);
  sql_buf_text(&b);
  c->where = (char *)b.p;
  return c->where != NULL;
}

int maria_init(struct maria_conn *c, const struct maria_conf *conf, const struct mr_host *host,
               struct mr_error *err)
{
  memset(c, 0, sizeof *c);
  c->conf = conf;
  c->host = host;
  c->port = DEFAULT_PORT;
  if (conf->url && !parse_url(c, conf->url)) {
    maria_done(c);
    return src_badconf(err, "url", "not a URL like mysql://user:password@host:port/database");
  }
  bool ok = replace(&c->server, conf->host) && replace(&c->base, conf->database) &&
            replace(&c->user, conf->user) && replace(&c->password, conf->password);
  if (ok && !c->server)
    ok = replace(&c->server, "127.0.0.1");
  if (conf->port != INT64_MIN)
    c->port = (unsigned)conf->port;
  if (ok && describe(c))
    return MR_OK;
  maria_done(c);
  return src_no_memory(err);
}

int maria_validate(const struct maria_conf *conf, struct mr_error *err)
{
  struct maria_conn c;
  int status = maria_init(&c, conf, NULL, err);
  if (status >= 0)
    maria_done(&c);
  return status;
}

void maria_done(struct maria_conn *c)
{
  maria_close(c);
  free(c->server);
  free(c->base);
  free(c->user);
  free(c->password);
  free(c->where);
  free(c->peer);
  free(c->old_peer);
  memset(c, 0, sizeof *c);
}

/* ---------------------------------------------------------------- names and literals */

void maria_ident(struct sql_buf *out, const char *name)
{
  sql_buf_byte(out, '`');
  for (; *name; name++) {
    if (*name == '`')
      sql_buf_byte(out, '`');
    sql_buf_byte(out, *name);
  }
  sql_buf_byte(out, '`');
}

void maria_name(struct sql_buf *out, const struct sql_name *n)
{
  if (n->schema) {
    maria_ident(out, n->schema);
    sql_buf_byte(out, '.');
  }
  maria_ident(out, n->table);
}

void maria_hex(struct sql_buf *out, const void *p, size_t n)
{
  sql_buf_str(out, "x'");
  sql_text_hex(out, p, n);
  sql_buf_byte(out, '\'');
}

void maria_literal(struct sql_buf *out, const char *text)
{
  bool plain = true;
  for (const char *p = text; *p; p++)
    plain = plain && *p != '\'' && *p != '\\';
  if (plain) {
    sql_buf_fmt(out, "'%s'", text);
    return;
  }
  sql_buf_str(out, "CONVERT(");
  maria_hex(out, text, strlen(text));
  sql_buf_str(out, " USING utf8mb4)");
}

/* Where the server's own words go on behind a quoted value: at the last "' for ", else behind the
 * last quote. */
static const char *behind_value(const char *first)
{
  const char *end = strrchr(first, '\'') + 1;
  for (const char *p = first + 1; (p = strstr(p, "' for ")); p++)
    end = p + 1;
  return end;
}

void maria_clean(char *out, size_t size, const char *text, bool hide)
{
  const char *first = hide ? strchr(text, '\'') : NULL;
  size_t n = 0;
  for (; *text && n + 8 < size; text++) {
    char c = (unsigned char)*text < 0x20 ? ' ' : *text;
    if (text == first) {
      n += (size_t)snprintf(out + n, size - n, "'…'");
      text = behind_value(first) - 1;
    } else if (!(c == ' ' && n && out[n - 1] == ' ')) {
      out[n++] = c;
    }
  }
  while (n && out[n - 1] == ' ')
    n--;
  out[n] = 0;
}
