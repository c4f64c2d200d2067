/* SPDX-License-Identifier: Apache-2.0 */
#include "classify.h"
#include <stdbool.h>
#include <string.h>

#define MAX_NAME 256 /* bytes of a name that are looked at in one go */
#define INNER_MIN \
  5 /* a pattern shorter than this must be a word of its own: "ssn" is in "classname" */

/* Words are separated by one space. */
static const char *const phi[] = {
    "medical record", "mrn", "diagnosis",       "diagnoses", "prescription",
    "patient id",     "ssn", "social security", NULL};
static const char *const pii[] = {"email", "e mail",      "phone",       "address",
                                  "addr",  "credit card", "card number", "ip address",
                                  "ip",    "ipv",         NULL};

static bool is_upper(char c)
{
  return c >= 'A' && c <= 'Z';
}
static bool is_lower(char c)
{
  return (c >= 'a' && c <= 'z') || (unsigned char)c >= 0x80;
}
static bool is_letter(char c)
{
  return is_upper(c) || is_lower(c);
}

/* Does a word end between s[i - 1] and s[i]? "userPhone" -> user phone, "IPAddress" -> ip address.
 */
static bool breaks(const char *s, size_t i, size_t n)
{
  if (is_lower(s[i - 1]) && is_upper(s[i]))
    return true;
  return is_upper(s[i - 1]) && is_upper(s[i]) && i + 1 < n && is_lower(s[i + 1]);
}

/* Writes " word word " in lower case; out has room for 2 * n + 2 bytes and a NUL. */
static void split(const char *s, size_t n, char *out)
{
  size_t at = 0;
  out[at++] = ' ';
  for (size_t i = 0; i < n; i++) {
    if (!is_letter(s[i])) {
      if (out[at - 1] != ' ')
        out[at++] = ' ';
      continue;
    }
    if (i && is_letter(s[i - 1]) && breaks(s, i, n))
      out[at++] = ' ';
    out[at++] = is_upper(s[i]) ? (char)(s[i] - 'A' + 'a') : s[i];
  }
  if (out[at - 1] != ' ')
    out[at++] = ' ';
  out[at] = 0;
}

/* The pattern's words, one after the other, the last one perhaps with s or es. */
static bool has_words(const char *words, const char *pattern)
{
  size_t n = strlen(pattern);
  for (const char *p = words; (p = strchr(p, ' ')); p++) {
    if (strncmp(p + 1, pattern, n))
      continue;
    const char *end = p + 1 + n;
    if (*end == ' ' || !strncmp(end, "s ", 2) || !strncmp(end, "es ", 3))
      return true;
  }
  return false;
}

/* The pattern without its spaces, inside one word. */
static bool has_inner(const char *words, const char *pattern)
{
  char flat[64];
  size_t n = 0;
  for (const char *p = pattern; *p; p++)
    if (*p != ' ')
      flat[n++] = *p;
  flat[n] = 0;
  return n >= INNER_MIN && strstr(words, flat);
}

static bool any(const char *words, const char *const *patterns)
{
  for (; *patterns; patterns++)
    if (has_words(words, *patterns) || has_inner(words, *patterns))
      return true;
  return false;
}

static enum mask_class classify_part(const char *name, size_t len)
{
  char words[2 * MAX_NAME + 3];
  split(name, len, words);
  return any(words, phi) ? MASK_PHI : any(words, pii) ? MASK_PII : MASK_CLEAR;
}

/* A longer name is looked at in overlapping parts: no length hides a pattern. */
enum mask_class mask_classify(const char *name, size_t len)
{
  enum mask_class best = MASK_CLEAR;
  for (size_t from = 0;; from += MAX_NAME / 2) {
    size_t n = len - from < MAX_NAME ? len - from : MAX_NAME;
    enum mask_class c = classify_part(name + from, n);
    if (c > best)
      best = c;
    if (from + n >= len)
      return best;
  }
}

const char *mask_class_name(enum mask_class c)
{
  return c == MASK_PHI ? "phi" : c == MASK_PII ? "pii" : "";
}
