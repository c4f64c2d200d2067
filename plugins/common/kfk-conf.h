/* SPDX-License-Identifier: Apache-2.0 */
/* What the Kafka plugins share: options for encryption and log-in, setting librdkafka's
 * configuration from them, and deadlines. */
#ifndef KFK_CONF_H
#define KFK_CONF_H
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include "millrace/plugin.h"

enum kfk_tls_mode { KFK_TLS_AUTO, KFK_TLS_ON, KFK_TLS_OFF };

struct kfk_tls {
  int32_t mode;
  const char *ca, *cert, *key, *key_password;
  bool verify;
};
struct kfk_sasl {
  int32_t mechanism;
  const char *user, *password;
};

/* Sub-options of MR_GROUP options whose value is struct kfk_tls, struct kfk_sasl. */
extern const struct mr_opt kfk_tls_options[], kfk_sasl_options[];

/* Element i of a list of texts. lend. */
static inline const char *kfk_text(const struct mr_list *l, size_t i)
{
  return ((const char *const *)l->item)[i];
}
/* "a:9092,b:9092" in buf (cut to size bytes); returns buf. */
const char *kfk_brokers(const struct mr_list *brokers, char *buf, size_t size);
/* Sets one property; value NULL: leaves it. MR_BADCONF names `option`, and never shows a secret. */
int kfk_set(rd_kafka_conf_t *rc, const char *name, const char *value, const char *option,
            struct mr_error *err);
int kfk_set_int(rd_kafka_conf_t *rc, const char *name, int64_t value, const char *option,
                struct mr_error *err);
/* A property that not every version of the library has. */
void kfk_set_if_known(rd_kafka_conf_t *rc, const char *name, const char *value);
/* The user's own properties; MR_BADCONF for one of `owned` (ended by NULL), which the plugin needs
 * as it sets it. */
int kfk_set_map(rd_kafka_conf_t *rc, const struct mr_list *map, const char *option,
                const char *const *owned, struct mr_error *err);
/* Protocol, certificates and log-in. */
int kfk_set_security(rd_kafka_conf_t *rc, const struct mr_list *brokers, const struct kfk_tls *t,
                     const struct kfk_sasl *s, struct mr_error *err);
int kfk_validate_sasl(const struct kfk_sasl *s, struct mr_error *err);
/* Should the running call return? */
bool kfk_woken(const struct mr_host *h);
/* The broker could not be reached, or did not let us in. */
bool kfk_is_network(rd_kafka_resp_err_t e);

#endif
