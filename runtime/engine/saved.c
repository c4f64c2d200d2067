/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/saved.h"
#include <string.h>

#define MAGIC "MS1"
#define MAGIC_LEN 3
#define HEAD (2 + 4 + MR_SAVED_PRINT)

static bool entry_at(const uint8_t *p, size_t n, size_t *at, struct mr_saved_entry *ret)
{
  if (*at == 0)
    *at = MAGIC_LEN;
  if (n < *at || n - *at < HEAD)
    return false;
  const uint8_t *head = p + *at;
  size_t name = (size_t)head[0] | (size_t)head[1] << 8;
  size_t data =
      (size_t)head[2] | (size_t)head[3] << 8 | (size_t)head[4] << 16 | (size_t)head[5] << 24;
  if (n - *at - HEAD < name || n - *at - HEAD - name < data)
    return false;
  *ret = (struct mr_saved_entry){.stage = (const char *)head + HEAD,
                                 .stage_len = name,
                                 .print = head + 6,
                                 .data = head + HEAD + name,
                                 .len = data};
  *at += HEAD + name + data;
  return true;
}

bool mr_saved_next(GBytes *value, size_t *at, struct mr_saved_entry *ret)
{
  gsize n = 0;
  const uint8_t *p = value ? g_bytes_get_data(value, &n) : NULL;
  return p && entry_at(p, n, at, ret);
}

bool mr_saved_valid(GBytes *value)
{
  struct mr_saved_entry e;
  size_t at = 0;
  gsize n;
  const uint8_t *p = g_bytes_get_data(value, &n);
  if (n < MAGIC_LEN || memcmp(p, MAGIC, MAGIC_LEN))
    return false;
  while (entry_at(p, n, &at, &e))
    ;
  return at == n;
}

static bool is_of(const struct mr_saved_entry *e, const char *stage, size_t len)
{
  return e->stage_len == len && !memcmp(e->stage, stage, len);
}

static bool find(GBytes *value, const char *stage, size_t len, struct mr_saved_entry *ret)
{
  size_t at = 0;
  while (mr_saved_next(value, &at, ret))
    if (is_of(ret, stage, len))
      return true;
  return false;
}

bool mr_saved_find(GBytes *value, const char *stage, struct mr_saved_entry *ret)
{
  return find(value, stage, strlen(stage), ret);
}

static void add(GByteArray *out, const struct mr_saved_entry *e)
{
  const uint8_t head[6] = {(uint8_t)e->stage_len,   (uint8_t)(e->stage_len >> 8),
                           (uint8_t)e->len,         (uint8_t)(e->len >> 8),
                           (uint8_t)(e->len >> 16), (uint8_t)(e->len >> 24)};
  if (!out->len)
    g_byte_array_append(out, (const uint8_t *)MAGIC, MAGIC_LEN);
  g_byte_array_append(out, head, sizeof head);
  g_byte_array_append(out, e->print, MR_SAVED_PRINT);
  g_byte_array_append(out, (const uint8_t *)e->stage, (guint)e->stage_len);
  if (e->len)
    g_byte_array_append(out, e->data, (guint)e->len);
}

static GBytes *finish(GByteArray *take)
{
  if (take->len)
    return g_byte_array_free_to_bytes(take);
  g_byte_array_unref(take);
  return NULL;
}

GBytes *mr_saved_one(const char *stage, const uint8_t *print, const void *data, size_t len)
{
  GByteArray *out = g_byte_array_new();
  add(out, &(struct mr_saved_entry){stage, strlen(stage), print, data, len});
  return finish(out);
}

GBytes *mr_saved_merge(GBytes *under, GBytes *over)
{
  GByteArray *out = g_byte_array_new();
  struct mr_saved_entry e, other;
  for (size_t at = 0; mr_saved_next(under, &at, &e);)
    if (!find(over, e.stage, e.stage_len, &other))
      add(out, &e);
  for (size_t at = 0; mr_saved_next(over, &at, &e);)
    add(out, &e);
  return finish(out);
}

GBytes *mr_saved_filter(GBytes *value, mr_saved_keep_fn *keep, void *out)
{
  GByteArray *left = g_byte_array_new();
  struct mr_saved_entry e;
  for (size_t at = 0; mr_saved_next(value, &at, &e);)
    if (keep(out, &e))
      add(left, &e);
  return finish(left);
}
