/* SPDX-License-Identifier: Apache-2.0 */
#include "common/hmac-sha256.h"
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>

struct mr_hmac {
  EVP_MAC_CTX *ctx;
};

struct mr_hmac *mr_hmac_new(const void *key, size_t len)
{
  struct mr_hmac *h = calloc(1, sizeof *h);
  EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0), OSSL_PARAM_END};
  if (h && mac)
    h->ctx = EVP_MAC_CTX_new(mac);
  EVP_MAC_free(mac); /* the context holds its own reference */
  if (h && h->ctx && EVP_MAC_init(h->ctx, key, len, params))
    return h;
  mr_hmac_free(h);
  return NULL;
}

bool mr_hmac_sum(struct mr_hmac *h, const void *prefix, size_t prefix_len, const void *data,
                 size_t len, uint8_t *ret)
{
  size_t n = 0;
  /* a NULL key starts again with the key that is there: a third of the cost of keying anew */
  return EVP_MAC_init(h->ctx, NULL, 0, NULL) && EVP_MAC_update(h->ctx, prefix, prefix_len) &&
         EVP_MAC_update(h->ctx, data, len) && EVP_MAC_final(h->ctx, ret, &n, MR_HMAC_SIZE) &&
         n == MR_HMAC_SIZE;
}

bool mr_hmac_key_id(const void *key, size_t len, char ret[MR_HMAC_KEY_ID + 1])
{
  static const char prefix[] = "millrace-key-id:", digits[] = "0123456789abcdef";
  uint8_t sum[EVP_MAX_MD_SIZE];
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) &&
            EVP_DigestUpdate(ctx, prefix, sizeof prefix - 1) && EVP_DigestUpdate(ctx, key, len) &&
            EVP_DigestFinal_ex(ctx, sum, NULL);
  EVP_MD_CTX_free(ctx);
  for (int i = 0; ok && i < MR_HMAC_KEY_ID; i++)
    ret[i] = digits[sum[i / 2] >> (i % 2 ? 0 : 4) & 15];
  ret[ok ? MR_HMAC_KEY_ID : 0] = 0;
  return ok;
}

void mr_hmac_free(struct mr_hmac *h)
{
  if (h)
    EVP_MAC_CTX_free(h->ctx);
  free(h);
}
