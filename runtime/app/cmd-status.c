/* SPDX-License-Identifier: Apache-2.0 */
/* millrace status [URL]: asks a running pipeline. */
#include <curl/curl.h>
#include <stdio.h>
#include "app/app.h"
#include "app/top.h"

#define TIMEOUT_MS 5000L

static size_t gather(char *data, size_t size, size_t n, void *out)
{
  g_string_append_len(out, data, (gssize)(size * n));
  return size * n;
}

char *mr_status_get(const char *url, const char *path)
{
  g_autofree char *whole = g_strconcat(url, path, NULL);
  GString *body = g_string_new(NULL);
  CURL *c = curl_easy_init();
  char why[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(c, CURLOPT_URL, whole);
  curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, gather);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, body);
  CURLcode rc = curl_easy_perform(c);
  curl_easy_cleanup(c);
  if (rc == CURLE_OK)
    return g_string_free(body, FALSE);
  fprintf(stderr, "millrace: no answer from %s: %s (is `settings.http` set in the file?)\n", url,
          *why ? why : curl_easy_strerror(rc));
  g_string_free(body, TRUE);
  return NULL;
}

const char *mr_status_url(const char *arg)
{
  return *arg ? arg : "http://127.0.0.1:9600";
}

int mr_cmd_status(int argc, char **argv)
{
  gboolean ready = FALSE;
  GOptionEntry entries[] = {
      {"ready", 0, 0, G_OPTION_ARG_NONE, &ready, "one line: ready, or the cause", NULL}, {NULL}};
  const char *url =
      mr_app_options(&argc, &argv, "[URL]", "what a running pipeline does, as JSON", entries);
  if (!url)
    return MR_EXIT_USAGE;
  g_autofree char *body = mr_status_get(mr_status_url(url), ready ? "/readyz" : "/status");
  if (!body)
    return MR_EXIT_UNREACHABLE;
  fputs(body, stdout);
  return ready && !g_str_has_prefix(body, "ready") ? MR_EXIT_FAILED : MR_EXIT_OK;
}
