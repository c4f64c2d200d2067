/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include "common/kfk-conf.h"
#include "common/src-error.h"

static const char *const tls_modes[] = {"auto", "on", "off", NULL};
static const char *const mechanisms[] = {"plain",  "scram_sha_256", "scram_sha_512",
                                         "gssapi", "oauthbearer",   NULL};
static const char *const mechanism_names[] = {"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI",
                                              "OAUTHBEARER"};

#define AT(group, field) (uint32_t) offsetof(struct group, field)

const struct mr_opt kfk_tls_options[] = {
    {.name = "mode",
     .type = MR_CHOICE,
     .offset = AT(kfk_tls, mode),
     .dflt = "auto",
     .choices = tls_modes,
     .doc = "auto: on unless every broker is on this machine"},
    {.name = "ca",
     .type = MR_TEXT,
     .offset = AT(kfk_tls, ca),
     .doc = "File with the certificates of authorities to trust; left out: the system's"},
    {.name = "cert",
     .type = MR_TEXT,
     .offset = AT(kfk_tls, cert),
     .doc = "File with the client's certificate (PEM)"},
    {.name = "key",
     .type = MR_TEXT,
     .offset = AT(kfk_tls, key),
     .doc = "File with the client's private key (PEM)"},
    {.name = "key_password",
     .type = MR_TEXT,
     .flags = MR_SECRET,
     .offset = AT(kfk_tls, key_password),
     .doc = "Password of the private key"},
    {.name = "verify",
     .type = MR_BOOL,
     .offset = AT(kfk_tls, verify),
     .dflt = "true",
     .doc = "Whether the broker's certificate and name are verified"},
    {0},
};
const struct mr_opt kfk_sasl_options[] = {
    {.name = "mechanism",
     .type = MR_CHOICE,
     .offset = AT(kfk_sasl, mechanism),
     .choices = mechanisms,
     .doc = "How the client logs in"},
    {.name = "user", .type = MR_TEXT, .offset = AT(kfk_sasl, user), .doc = "User name"},
    {.name = "password",
     .type = MR_TEXT,
     .flags = MR_SECRET,
     .offset = AT(kfk_sasl, password),
     .doc = "Password"},
    {0},
};
const char *kfk_brokers(const struct mr_list *brokers, char *buf, size_t size)
{
  size_t used = 0;
  buf[0] = 0;
  for (size_t i = 0; i < brokers->n && used < size; i++)
    used += (size_t)snprintf(buf + used, size - used, "%s%s", i ? "," : "", kfk_text(brokers, i));
  return buf;
}

/* The host of "[scheme://]host:port" or "[v6]:port". */
static void broker_host(const char *broker, char *ret, size_t size)
{
  const char *s = strstr(broker, "://");
  s = s ? s + 3 : broker;
  bool bracket = *s == '[';
  s += bracket;
  size_t n = strcspn(s, bracket ? "]" : ":");
  snprintf(ret, size, "%.*s", (int)n, s);
}

static bool is_local(const char *broker)
{
  char host[256];
  struct in_addr v4;
  broker_host(broker, host, sizeof host);
  if (inet_pton(AF_INET, host, &v4) == 1)
    return ntohl(v4.s_addr) >> 24 == 127;
  return !strcasecmp(host, "localhost") || !strcmp(host, "::1");
}

static bool wants_tls(const struct mr_list *brokers, const struct kfk_tls *tls)
{
  bool local = true;
  for (size_t i = 0; i < brokers->n; i++)
    local = local && is_local(kfk_text(brokers, i));
  return tls->mode == KFK_TLS_ON || (tls->mode != KFK_TLS_OFF && !local);
}

int kfk_set(rd_kafka_conf_t *rc, const char *name, const char *value, const char *option,
            struct mr_error *err)
{
  char why[256];
  if (!value || rd_kafka_conf_set(rc, name, value, why, sizeof why) == RD_KAFKA_CONF_OK)
    return MR_OK;
  bool secret = strstr(name, "password") || strstr(name, "secret") || strstr(name, "token") ||
                strstr(name, ".pem") || strstr(name, "jaas");
  return src_badconf(err, option, "librdkafka: %s: %s", name, secret ? "value refused" : why);
}

/* A setting that not every version of the library has. */
void kfk_set_if_known(rd_kafka_conf_t *rc, const char *name, const char *value)
{
  char why[256];
  rd_kafka_conf_set(rc, name, value, why, sizeof why);
}

int kfk_set_int(rd_kafka_conf_t *rc, const char *name, int64_t value, const char *option,
                struct mr_error *err)
{
  char text[24];
  snprintf(text, sizeof text, "%lld", (long long)value);
  return kfk_set(rc, name, text, option, err);
}

int kfk_set_map(rd_kafka_conf_t *rc, const struct mr_list *map, const char *option,
                const char *const *owned, struct mr_error *err)
{
  for (size_t i = 0; i < map->n; i++) {
    char path[96];
    snprintf(path, sizeof path, "%s.%s", option, map->key[i]);
    for (const char *const *o = owned; *o; o++)
      if (!strcmp(*o, map->key[i]))
        return src_badconf(err, path, "%s is set by the plugin itself", map->key[i]);
    int r = kfk_set(rc, map->key[i], kfk_text(map, i), path, err);
    if (r < 0)
      return r;
  }
  return MR_OK;
}

int kfk_set_security(rd_kafka_conf_t *rc, const struct mr_list *brokers, const struct kfk_tls *t,
                     const struct kfk_sasl *s, struct mr_error *err)
{
  bool tls = wants_tls(brokers, t), sasl = s->mechanism >= 0;
  int r = kfk_set(rc, "security.protocol",
                  tls ? (sasl ? "sasl_ssl" : "ssl") : (sasl ? "sasl_plaintext" : "plaintext"),
                  "tls", err);
  if (r == MR_OK && tls && !t->verify)
    r = kfk_set(rc, "enable.ssl.certificate.verification", "false", "tls.verify", err);
  if (r == MR_OK && tls)
    r = kfk_set(rc, "ssl.endpoint.identification.algorithm", t->verify ? "https" : "none",
                "tls.verify", err);
  if (r == MR_OK)
    r = kfk_set(rc, "ssl.ca.location", t->ca, "tls.ca", err);
  if (r == MR_OK)
    r = kfk_set(rc, "ssl.certificate.location", t->cert, "tls.cert", err);
  if (r == MR_OK)
    r = kfk_set(rc, "ssl.key.location", t->key, "tls.key", err);
  if (r == MR_OK)
    r = kfk_set(rc, "ssl.key.password", t->key_password, "tls.key_password", err);
  if (r == MR_OK && sasl)
    r = kfk_set(rc, "sasl.mechanisms", mechanism_names[s->mechanism], "sasl.mechanism", err);
  if (r == MR_OK && sasl)
    r = kfk_set(rc, "sasl.username", s->user, "sasl.user", err);
  if (r == MR_OK && sasl)
    r = kfk_set(rc, "sasl.password", s->password, "sasl.password", err);
  return r;
}

int kfk_validate_sasl(const struct kfk_sasl *s, struct mr_error *err)
{
  if (s->mechanism < 0 && (s->user || s->password))
    return src_badconf(err, "sasl.mechanism", "a user or password needs a mechanism");
  return MR_OK;
}

bool kfk_is_network(rd_kafka_resp_err_t e)
{
  switch (e) {
  case RD_KAFKA_RESP_ERR__TRANSPORT:
  case RD_KAFKA_RESP_ERR__RESOLVE:
  case RD_KAFKA_RESP_ERR__TIMED_OUT:
  case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
  case RD_KAFKA_RESP_ERR__AUTHENTICATION:
  case RD_KAFKA_RESP_ERR__SSL:
  case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
  case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
  case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED: return true;
  default: return false;
  }
}

bool kfk_woken(const struct mr_host *h)
{
  struct pollfd p = {.fd = h->wake_fd, .events = POLLIN};
  return h->wake_fd >= 0 && poll(&p, 1, 0) > 0;
}
