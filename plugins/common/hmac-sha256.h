/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC-SHA-256 with one key and many short messages. One object, one thread. */
#ifndef MR_HMAC_SHA256_H
#define MR_HMAC_SHA256_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MR_HMAC_SIZE 32  /* bytes of a result */
#define MR_HMAC_KEY_ID 8 /* characters of a key id */

struct mr_hmac;

/* Keys the function with len bytes; they are not kept outside libcrypto. NULL: libcrypto refused or
 * memory is short. */
struct mr_hmac *mr_hmac_new(const void *key, size_t len);
/* HMAC of prefix followed by data, into ret (MR_HMAC_SIZE bytes). Either part may be empty. false:
 * libcrypto failed. */
bool mr_hmac_sum(struct mr_hmac *h, const void *prefix, size_t prefix_len, const void *data,
                 size_t len, uint8_t *ret);
/* Names a key without showing it: the first 8 hexadecimal digits of SHA-256("millrace-key-id:" +
 * key), NUL-terminated in ret. */
bool mr_hmac_key_id(const void *key, size_t len, char ret[MR_HMAC_KEY_ID + 1]);
/* Wipes the key; takes NULL. */
void mr_hmac_free(struct mr_hmac *h);

#endif
