/* SPDX-License-Identifier: Apache-2.0 */
#include "expr/json.h"
#include "expr/utf8.h"

struct cursor {
  const char *p, *end;
};

static void blanks(struct cursor *c)
{
  while (c->p < c->end && (*c->p == ' ' || *c->p == '\t' || *c->p == '\n' || *c->p == '\r'))
    c->p++;
}

static bool take(struct cursor *c, char ch)
{
  blanks(c);
  if (c->p == c->end || *c->p != ch)
    return false;
  c->p++;
  return true;
}

static bool is_hex(char c)
{
  return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static bool skip_escape(struct cursor *c)
{
  if (++c->p == c->end)
    return false;
  if (*c->p != 'u')
    return strchr("\"\\/bfnrt", *c->p) && *c->p;
  if (c->end - c->p < 5)
    return false;
  for (int k = 1; k < 5; k++)
    if (!is_hex(c->p[k]))
      return false;
  c->p += 4;
  return true;
}

static bool skip_string(struct cursor *c)
{
  if (c->p == c->end || *c->p != '"')
    return false;
  for (c->p++; c->p < c->end && *c->p != '"'; c->p++) {
    if ((unsigned char)*c->p < ' ')
      return false;
    if (*c->p == '\\' && !skip_escape(c))
      return false;
  }
  if (c->p == c->end)
    return false;
  c->p++;
  return true;
}

static bool digits(struct cursor *c)
{
  const char *from = c->p;
  while (c->p < c->end && *c->p >= '0' && *c->p <= '9')
    c->p++;
  return c->p > from;
}

static bool skip_number(struct cursor *c)
{
  if (c->p < c->end && *c->p == '-')
    c->p++;
  const char *from = c->p;
  if (!digits(c) || (*from == '0' && c->p - from > 1))
    return false;
  if (c->p < c->end && *c->p == '.') {
    c->p++;
    if (!digits(c))
      return false;
  }
  if (c->p < c->end && (*c->p | 32) == 'e') {
    c->p++;
    if (c->p < c->end && (*c->p == '+' || *c->p == '-'))
      c->p++;
    return digits(c);
  }
  return true;
}

static bool skip_word(struct cursor *c, const char *word)
{
  size_t n = strlen(word);
  if ((size_t)(c->end - c->p) < n || memcmp(c->p, word, n))
    return false;
  c->p += n;
  return true;
}

static bool skip_value(struct cursor *c, int depth);

static bool skip_members(struct cursor *c, int depth)
{
  if (take(c, '}'))
    return true;
  do {
    blanks(c);
    if (!skip_string(c) || !take(c, ':') || !skip_value(c, depth))
      return false;
  } while (take(c, ','));
  return take(c, '}');
}

static bool skip_elements(struct cursor *c, int depth)
{
  if (take(c, ']'))
    return true;
  do {
    if (!skip_value(c, depth))
      return false;
  } while (take(c, ','));
  return take(c, ']');
}

static bool skip_value(struct cursor *c, int depth)
{
  if (depth > MR_JSON_DEPTH)
    return false;
  blanks(c);
  if (c->p == c->end)
    return false;
  switch (*c->p) {
  case '{': c->p++; return skip_members(c, depth + 1);
  case '[': c->p++; return skip_elements(c, depth + 1);
  case '"': return skip_string(c);
  case 't': return skip_word(c, "true");
  case 'f': return skip_word(c, "false");
  case 'n': return skip_word(c, "null");
  default: return skip_number(c);
  }
}

static bool at_end(struct cursor *c)
{
  blanks(c);
  return c->p == c->end;
}

bool mr_json_valid(struct mr_span s)
{
  struct cursor c = {s.p, s.p + s.n};
  return skip_value(&c, 0) && at_end(&c);
}

char mr_json_first(struct mr_span s)
{
  struct cursor c = {s.p, s.p + s.n};
  return at_end(&c) ? 0 : *c.p;
}

static int next_char(const char **p, const char *end, char to[4]);

/* Does the string (with its quotes) spell the key? */
static bool same_key(struct mr_span raw, struct mr_span key)
{
  const char *p = raw.p + 1, *end = raw.p + raw.n - 1;
  char c[4];
  int64_t at = 0;
  if (!memchr(raw.p, '\\', (size_t)raw.n))
    return raw.n == key.n + 2 && !memcmp(p, key.p, (size_t)key.n);
  while (p < end) {
    int n = next_char(&p, end, c);
    if (n < 0 || at + n > key.n || memcmp(c, key.p + at, (size_t)n))
      return false;
    at += n;
  }
  return at == key.n;
}

/* The value at the cursor as a span. */
static bool value_span(struct cursor *c, struct mr_span *ret)
{
  blanks(c);
  const char *from = c->p;
  if (!skip_value(c, 1))
    return false;
  *ret = (struct mr_span){from, c->p - from};
  return true;
}

enum mr_json_found mr_json_member(struct mr_span s, struct mr_span key, struct mr_span *ret)
{
  struct cursor c = {s.p, s.p + s.n};
  enum mr_json_found found = MR_JSON_NONE;
  struct mr_span value;
  if (!take(&c, '{'))
    return mr_json_valid(s) ? MR_JSON_NONE : MR_JSON_BAD;
  if (take(&c, '}'))
    return at_end(&c) ? MR_JSON_NONE : MR_JSON_BAD;
  do {
    blanks(&c);
    const char *from = c.p;
    if (!skip_string(&c))
      return MR_JSON_BAD;
    struct mr_span raw = {from, c.p - from};
    if (!take(&c, ':') || !value_span(&c, &value))
      return MR_JSON_BAD;
    if (!same_key(raw, key))
      continue;
    *ret = value;
    found = MR_JSON_FOUND;
  } while (take(&c, ','));
  return take(&c, '}') && at_end(&c) ? found : MR_JSON_BAD;
}

int64_t mr_json_length(struct mr_span s)
{
  struct cursor c = {s.p, s.p + s.n};
  int64_t n = 0;
  if (!take(&c, '['))
    return mr_json_valid(s) ? -2 : -1;
  if (take(&c, ']'))
    return at_end(&c) ? 0 : -1;
  do {
    if (!skip_value(&c, 1))
      return -1;
    n++;
  } while (take(&c, ','));
  return take(&c, ']') && at_end(&c) ? n : -1;
}

enum mr_json_found mr_json_element(struct mr_span s, int64_t index, struct mr_span *ret)
{
  struct cursor c = {s.p, s.p + s.n};
  int64_t n = mr_json_length(s);
  if (n < 0)
    return n == -1 ? MR_JSON_BAD : MR_JSON_NONE;
  if (index < 0)
    index = index < -n ? -1 : index + n;
  if (index < 0 || index >= n)
    return MR_JSON_NONE;
  take(&c, '[');
  for (int64_t i = 0; i < index; i++) {
    skip_value(&c, 1);
    take(&c, ',');
  }
  value_span(&c, ret);
  return MR_JSON_FOUND;
}

/* ---- strings */

static uint32_t hex4(const char *p)
{
  uint32_t v = 0;
  for (int k = 0; k < 4; k++)
    v = v * 16 + (uint32_t)(p[k] <= '9' ? p[k] - '0' : (p[k] | 32) - 'a' + 10);
  return v;
}

/* The character of \uXXXX at p (after the u), with its second half; 0: none. */
static uint32_t unicode(const char *p, const char *end, int *ret_bytes)
{
  uint32_t c = hex4(p);
  *ret_bytes = 4;
  if (c < 0xD800 || c > 0xDFFF)
    return c;
  if (c > 0xDBFF || end - p < 10 || p[4] != '\\' || p[5] != 'u')
    return 0;
  uint32_t low = hex4(p + 6);
  *ret_bytes = 10;
  return low < 0xDC00 || low > 0xDFFF ? 0 : 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
}

/* The byte or escape at *p, which moves on; the bytes it stands for, or -1. */
static int next_char(const char **p, const char *end, char to[4])
{
  static const char from[] = "bfnrt", by[] = "\b\f\n\r\t";
  const char *s = *p;
  int bytes;
  if (*s != '\\') {
    *to = *s;
    *p = s + 1;
    return 1;
  }
  *p = s + 2;
  if (s[1] != 'u') {
    const char *known = strchr(from, s[1]);
    *to = known ? by[known - from] : s[1];
    return 1;
  }
  uint32_t c = unicode(s + 2, end, &bytes);
  *p += bytes;
  return c ? mr_utf8_encode(c, to) : -1;
}

int64_t mr_json_unescape(struct mr_span s, char *to)
{
  const char *p = s.p + 1, *end = s.p + s.n - 1;
  int64_t n = 0;
  while (p < end) {
    char c[4];
    int bytes = next_char(&p, end, c);
    if (bytes < 0)
      return -1;
    memcpy(to + n, c, (size_t)bytes);
    n += bytes;
  }
  return n;
}
