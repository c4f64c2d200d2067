/* SPDX-License-Identifier: Apache-2.0 */
/* One place knows every text that must not be shown, and takes it out of what is shown. */
#include "conf/load.h"
#include <string.h>

void mr_secret_add(struct mr_spec_own *own, const char *text)
{
  if (!text || !text[0])
    return;
  for (guint i = 0; i < own->secrets->len; i++)
    if (!strcmp(g_ptr_array_index(own->secrets, i), text))
      return;
  g_ptr_array_add(own->secrets, g_strdup(text));
}

/* scheme://user:PASSWORD@host: as written, and with its %xx undone. The last @ before the path ends
 * it. */
static void find_in_url(struct mr_spec_own *own, const char *text)
{
  const char *from = strstr(text, "://");
  if (!from)
    return;
  from += 3;
  const char *end = from + strcspn(from, "/?#"), *colon, *at = NULL;
  for (const char *c = from; c < end; c++)
    if (*c == '@')
      at = c;
  colon = at ? memchr(from, ':', (size_t)(at - from)) : NULL;
  if (!colon)
    return;
  g_autofree char *password = g_strndup(colon + 1, (gsize)(at - colon - 1));
  g_autofree char *plain = g_uri_unescape_string(password, NULL);
  mr_secret_add(own, password);
  mr_secret_add(own, plain);
}

/* password=… of connection strings and of URLs' queries. */
static void find_assigned(struct mr_spec_own *own, const char *text)
{
  static const char *const names[] = {"password=", "passwd=", "sslpassword=", "pwd="};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    const char *at = strstr(text, names[i]);
    if (!at)
      continue;
    at += strlen(names[i]);
    const char *end = *at == '\'' ? strchr(at + 1, '\'') : NULL;
    at += end != NULL;
    g_autofree char *password = g_strndup(at, end ? (gsize)(end - at) : strcspn(at, " &"));
    g_autofree char *plain = g_uri_unescape_string(password, NULL);
    mr_secret_add(own, password);
    mr_secret_add(own, plain);
  }
}

void mr_secret_find(struct mr_spec_own *own, const char *text)
{
  find_in_url(own, text);
  find_assigned(own, text);
}

static int longer_first(const void *a, const void *b)
{
  size_t x = strlen(*(char *const *)a), y = strlen(*(char *const *)b);
  return x < y ? 1 : x > y ? -1 : 0;
}

char *mr_secret_redact(const struct mr_spec_own *own, const char *text)
{
  g_ptr_array_sort(own->secrets, longer_first);
  GString *out = g_string_new(NULL);
  for (const char *c = text; *c;) {
    size_t hit = 0;
    for (guint i = 0; !hit && i < own->secrets->len; i++) {
      const char *secret = g_ptr_array_index(own->secrets, i);
      if (g_str_has_prefix(c, secret))
        hit = strlen(secret);
    }
    if (hit)
      g_string_append(out, "***");
    else
      g_string_append_c(out, *c);
    c += hit ? hit : 1;
  }
  return g_string_free(out, FALSE);
}

char *mr_spec_redact(const struct mr_spec *spec, const char *text)
{
  return mr_secret_redact(spec->own, text);
}
