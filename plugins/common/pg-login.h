/* SPDX-License-Identifier: Apache-2.0 */
/* How a plugin comes to a PostgreSQL server: the options, and libpq's parameters made from them. */
#ifndef PG_LOGIN_H
#define PG_LOGIN_H
#include <libpq-fe.h>
#include "millrace/plugin.h"

#define PG_PARAMS_MAX 64

/* Values of the options, lent by the host. */
struct pg_login {
  const char *url, *host, *database, *user, *password, *tls_ca, *application_name;
  int64_t port;
  int32_t tls;
};

extern const char *const pg_tls_choices[];

/* The options of a `struct pg_login member` of `struct type`; application_name is said apart, to
 * stand at the end. */
#define PG_LOGIN_OPT(conf_, member_, field_, name_, type_, ...)                                 \
  {                                                                                             \
    .name = name_, .type = type_, .offset = offsetof(struct conf_, member_.field_), __VA_ARGS__ \
  }
#define PG_LOGIN_OPTIONS(conf_, member_)                                                     \
  PG_LOGIN_OPT(conf_, member_, url, "url", MR_TEXT, .flags = MR_SECRET,                      \
               .doc = "postgresql://user:password@host:port/database, or key=value text of " \
                      "libpq"),                                                              \
      PG_LOGIN_OPT(conf_, member_, host, "host", MR_TEXT,                                    \
                   .doc = "Server name, address or socket folder; wins over url"),           \
      PG_LOGIN_OPT(conf_, member_, port, "port", MR_INT, .range = "1..65535",                \
                   .doc = "Server port"),                                                    \
      PG_LOGIN_OPT(conf_, member_, database, "database", MR_TEXT, .doc = "Database name"),   \
      PG_LOGIN_OPT(conf_, member_, user, "user", MR_TEXT, .doc = "User name"),               \
      PG_LOGIN_OPT(conf_, member_, password, "password", MR_TEXT, .flags = MR_SECRET,        \
                   .doc = "Password"),                                                       \
      PG_LOGIN_OPT(conf_, member_, tls, "tls", MR_CHOICE, .choices = pg_tls_choices,         \
                   .doc = "Encryption; left out: verify-full, on loopback prefer"),          \
      PG_LOGIN_OPT(conf_, member_, tls_ca, "tls_ca", MR_TEXT,                                \
                   .doc = "File of certificate authorities")
#define PG_LOGIN_NAME_OPTION(conf_, member_)                                  \
  PG_LOGIN_OPT(conf_, member_, application_name, "application_name", MR_TEXT, \
               .doc = "Shown in pg_stat_activity; left out: millrace/PIPELINE/STAGE")

/* Is url one that libpq understands? MR_BADCONF with err->option. */
int pg_login_validate(const struct pg_login *l, struct mr_error *err);
/* *give_where (free): " at HOST:PORT, database D, user U", for messages. MR_BADCONF as above. */
int pg_login_where(const struct pg_login *l, char **give_where, struct mr_error *err);

/* Parameters for PQconnectStartParams; what they point to is lent by the login, the caller and
 * `parsed`. */
struct pg_params {
  const char *key[PG_PARAMS_MAX + 1], *value[PG_PARAMS_MAX + 1]; /* NULL-terminated */
  int n;
  PQconninfoOption *parsed;
  char port[16];
};
/* All but the application's name. After MR_OK: pg_params_done. MR_BADCONF: url. */
int pg_params_init(struct pg_params *p, const struct pg_login *l, struct mr_error *err);
const char *pg_params_get(const struct pg_params *p, const char *key);       /* NULL: not set */
void pg_params_set(struct pg_params *p, const char *key, const char *value); /* NULL: nothing */
void pg_params_default(struct pg_params *p, const char *key, const char *value);
void pg_params_done(struct pg_params *p);

#endif
