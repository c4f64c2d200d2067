/* SPDX-License-Identifier: Apache-2.0 */
#include "common/pg-login.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "common/sql-buf.h"
#include "common/src-error.h"

#define CA_FILE "/etc/ssl/certs/ca-certificates.crt"

const char *const pg_tls_choices[] = {"disable",   "prefer",      "require",
                                      "verify-ca", "verify-full", NULL};

/* ---- parameters */

const char *pg_params_get(const struct pg_params *p, const char *key)
{
  for (int i = 0; i < p->n; i++)
    if (!strcmp(p->key[i], key))
      return p->value[i];
  return NULL;
}

void pg_params_set(struct pg_params *p, const char *key, const char *value)
{
  int i = 0;
  if (!value || p->n == PG_PARAMS_MAX)
    return;
  while (i < p->n && strcmp(p->key[i], key))
    i++;
  p->key[i] = key;
  p->value[i] = value;
  p->n += i == p->n;
}

void pg_params_default(struct pg_params *p, const char *key, const char *value)
{
  if (!pg_params_get(p, key))
    pg_params_set(p, key, value);
}

void pg_params_done(struct pg_params *p)
{
  PQconninfoFree(p->parsed);
  p->parsed = NULL;
}

/* ---- from the options */

/* libpq's own message would repeat pieces of the URL, and the password may be one. */
static int bad_url(struct mr_error *err)
{
  return src_badconf(err, "url", "not a URL or connection string that libpq understands");
}

int pg_login_validate(const struct pg_login *l, struct mr_error *err)
{
  PQconninfoOption *parsed = l->url ? PQconninfoParse(l->url, NULL) : NULL;
  if (l->url && !parsed)
    return bad_url(err);
  PQconninfoFree(parsed);
  return MR_OK;
}

static bool parse_url(struct pg_params *p, const char *url)
{
  p->parsed = PQconninfoParse(url, NULL);
  for (PQconninfoOption *o = p->parsed; o && o->keyword; o++)
    if (o->val)
      pg_params_set(p, o->keyword, o->val);
  return p->parsed != NULL;
}

static bool is_loopback(const char *host)
{
  return !host || !*host || *host == '/' || *host == '@' || !strcmp(host, "localhost") ||
         !strncmp(host, "127.", 4) || !strcmp(host, "::1");
}

static const char *host_of(const struct pg_params *p)
{
  const char *address = pg_params_get(p, "hostaddr");
  return address ? address : pg_params_get(p, "host");
}

/* Beyond this machine a server must show that it is the one that was meant. */
static void set_tls(struct pg_params *p, const struct pg_login *l)
{
  if (l->tls >= 0)
    pg_params_set(p, "sslmode", pg_tls_choices[l->tls]);
  else if (!pg_params_get(p, "service"))
    pg_params_default(p, "sslmode", is_loopback(host_of(p)) ? "prefer" : "verify-full");
  pg_params_set(p, "sslrootcert", l->tls_ca);
  const char *mode = pg_params_get(p, "sslmode");
  if (mode && !strncmp(mode, "verify", 6) && !access(CA_FILE, R_OK))
    pg_params_default(p, "sslrootcert", CA_FILE);
}

int pg_params_init(struct pg_params *p, const struct pg_login *l, struct mr_error *err)
{
  memset(p, 0, sizeof *p);
  if (l->url && !parse_url(p, l->url))
    return bad_url(err);
  pg_params_set(p, "host", l->host);
  pg_params_set(p, "dbname", l->database);
  pg_params_set(p, "user", l->user);
  pg_params_set(p, "password", l->password);
  if (l->port != INT64_MIN) {
    snprintf(p->port, sizeof p->port, "%d", (int)l->port);
    pg_params_set(p, "port", p->port);
  }
  set_tls(p, l);
  pg_params_default(p, "gssencmode", "disable");
  pg_params_default(p, "keepalives", "1");
  pg_params_default(p, "keepalives_idle", "10");
  pg_params_default(p, "keepalives_interval", "5");
  pg_params_default(p, "keepalives_count", "3");
  pg_params_set(p, "client_encoding", "UTF8");
  pg_params_set(p, "application_name", l->application_name);
  return MR_OK;
}

int pg_login_where(const struct pg_login *l, char **give_where, struct mr_error *err)
{
  struct pg_params p;
  struct sql_buf text = {0};
  int status = pg_params_init(&p, l, err);
  if (status < 0)
    return status;
  const char *host = pg_params_get(&p, "host"), *port = pg_params_get(&p, "port"),
             *base = pg_params_get(&p, "dbname"), *user = pg_params_get(&p, "user");
  if (!host)
    host = pg_params_get(&p, "hostaddr");
  sql_buf_fmt(&text, " at %s:%s", host && *host ? host : "local socket", port ? port : "5432");
  if (base)
    sql_buf_fmt(&text, ", database %s", base);
  if (user)
    sql_buf_fmt(&text, ", user %s", user);
  pg_params_done(&p);
  sql_buf_text(&text);
  *give_where = (char *)text.p;
  return *give_where ? MR_OK : src_no_memory(err);
}
