/* SPDX-License-Identifier: Apache-2.0 */
#include "format/json-scan.h"

const uint64_t mr_u64_pow10[20] = {1ull,
                                   10ull,
                                   100ull,
                                   1000ull,
                                   10000ull,
                                   100000ull,
                                   1000000ull,
                                   10000000ull,
                                   100000000ull,
                                   1000000000ull,
                                   10000000000ull,
                                   100000000000ull,
                                   1000000000000ull,
                                   10000000000000ull,
                                   100000000000000ull,
                                   1000000000000000ull,
                                   10000000000000000ull,
                                   100000000000000000ull,
                                   1000000000000000000ull,
                                   10000000000000000000ull};

static int hex_digit(uint8_t c)
{
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Four hex digits at p, or -1. */
static int32_t hex4(const uint8_t *p, const uint8_t *end)
{
  int32_t v = 0;
  if (end - p < 4)
    return -1;
  for (int i = 0; i < 4; i++) {
    int h = hex_digit(p[i]);
    if (h < 0)
      return -1;
    v = v << 4 | h;
  }
  return v;
}

static void put_utf8(uint8_t **out, uint32_t c)
{
  uint8_t *o = *out;
  if (c < 0x80) {
    *o++ = (uint8_t)c;
  } else if (c < 0x800) {
    *o++ = (uint8_t)(0xc0 | c >> 6);
    *o++ = (uint8_t)(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    *o++ = (uint8_t)(0xe0 | c >> 12);
    *o++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    *o++ = (uint8_t)(0x80 | (c & 0x3f));
  } else {
    *o++ = (uint8_t)(0xf0 | c >> 18);
    *o++ = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    *o++ = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    *o++ = (uint8_t)(0x80 | (c & 0x3f));
  }
  *out = o;
}

/* \uXXXX, p at the u; a pair of surrogates is one character, half a pair is refused. */
static const uint8_t *escape_u(struct mr_json_in *in, const uint8_t *p, uint8_t **out)
{
  int32_t a = hex4(p + 1, in->end), b;
  if (a < 0)
    return mr_json_fail(in, p, MR_CODE_JSON, "\\u without four hex digits");
  const uint8_t *at = p;
  p += 5;
  if (a >= 0xdc00 && a <= 0xdfff)
    return mr_json_fail(in, at, MR_CODE_UTF8, "half a surrogate pair");
  if (a >= 0xd800 && a <= 0xdbff) {
    if (in->end - p < 6 || p[0] != '\\' || p[1] != 'u' || (b = hex4(p + 2, in->end)) < 0xdc00 ||
        b > 0xdfff)
      return mr_json_fail(in, at, MR_CODE_UTF8, "half a surrogate pair");
    a = 0x10000 + ((a - 0xd800) << 10) + (b - 0xdc00);
    p += 6;
  }
  if (out)
    put_utf8(out, (uint32_t)a);
  return p;
}

const uint8_t *mr_json_escape(struct mr_json_in *in, const uint8_t *p, uint8_t **out)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  if (in->end - p < 2)
    return mr_json_fail(in, p, MR_CODE_JSON, "the message ends inside a string");
  if (p[1] == 'u')
    return escape_u(in, p + 1, out);
  const char *s = p[1] ? strchr(from, p[1]) : NULL;
  if (!s)
    return mr_json_fail(in, p, MR_CODE_JSON, "an unknown escape in a string");
  if (out)
    *(*out)++ = (uint8_t)to[s - from];
  return p + 2;
}

const uint8_t *mr_json_odd(struct mr_json_in *in, const uint8_t *p, uint8_t **out)
{
  if (p >= in->end)
    return mr_json_fail(in, p, MR_CODE_JSON, "the message ends inside a string");
  if (*p == '\\')
    return mr_json_escape(in, p, out);
  if (*p < 0x80)
    return mr_json_fail(in, p, MR_CODE_JSON, "a control character in a string");
  for (int n; p < in->end && *p >= 0x80; p += n) {
    if (!(n = mr_utf8_seq(p, in->end - p)))
      return mr_json_fail(in, p, MR_CODE_UTF8, "invalid UTF-8");
    if (!out)
      continue;
    memcpy(*out, p, (size_t)n);
    *out += n;
  }
  return p;
}

const uint8_t *mr_json_string_skip(struct mr_json_in *in, const uint8_t *p)
{
  for (;;) {
    p = mr_json_run(p, in->end);
    if (MR_LIKELY(p < in->end && *p == '"'))
      return p + 1;
    if (!(p = mr_json_odd(in, p, NULL)))
      return NULL;
  }
}

static const uint8_t *digits_skip(const uint8_t *p)
{
  while (*p >= '0' && *p <= '9')
    p++;
  return p;
}

const uint8_t *mr_json_number_skip(struct mr_json_in *in, const uint8_t *p)
{
  const uint8_t *from = p + (*p == '-'), *part;
  p = digits_skip(from);
  if (p == from || (*from == '0' && p - from > 1))
    return mr_json_fail(in, from, MR_CODE_JSON, "not a number");
  if (*p == '.') {
    part = p + 1;
    if ((p = digits_skip(part)) == part)
      return mr_json_fail(in, p, MR_CODE_JSON, "a number without digits after its point");
  }
  if ((*p | 0x20) == 'e') {
    part = p + 1;
    part += *part == '+' || *part == '-';
    if ((p = digits_skip(part)) == part)
      return mr_json_fail(in, p, MR_CODE_JSON, "a number without digits in its exponent");
  }
  return p;
}

static const uint8_t *array_skip(struct mr_json_in *in, const uint8_t *p, int depth)
{
  p = mr_json_ws(p + 1);
  if (*p == ']')
    return p + 1;
  while (p) {
    if (!(p = mr_json_skip(in, p, depth)) || !(p = mr_json_next(in, p, ']')))
      return NULL;
    if (*p == ']')
      return p + 1;
  }
  return NULL;
}

static const uint8_t *object_skip(struct mr_json_in *in, const uint8_t *p, int depth)
{
  p = mr_json_ws(p + 1);
  if (*p == '}')
    return p + 1;
  for (;;) {
    if (*p != '"')
      return mr_json_fail(in, p, MR_CODE_JSON, "a key in quotes is missing");
    if (!(p = mr_json_string_skip(in, p + 1)) || !(p = mr_json_colon(in, p)) ||
        !(p = mr_json_skip(in, p, depth)) || !(p = mr_json_next(in, p, '}')))
      return NULL;
    if (*p == '}')
      return p + 1;
  }
}

const uint8_t *mr_json_skip(struct mr_json_in *in, const uint8_t *p, int depth)
{
  switch (*p) {
  case '"': return mr_json_string_skip(in, p + 1);
  case '{':
  case '[':
    if (depth >= MR_JSON_DEPTH)
      return mr_json_fail(in, p, MR_CODE_LIMIT, "nested deeper than 512 brackets");
    return *p == '{' ? object_skip(in, p, depth + 1) : array_skip(in, p, depth + 1);
  case 't': return mr_json_literal(in, p, "true");
  case 'f': return mr_json_literal(in, p, "false");
  case 'n': return mr_json_literal(in, p, "null");
  default: return mr_json_number_skip(in, p);
  }
}

const uint8_t *mr_json_begin(struct mr_json_in *in, const void *data, size_t len)
{
  const uint8_t *p = data, *end = p + len;
  while (end > p && (end[-1] == ' ' || end[-1] == '\n' || end[-1] == '\r' || end[-1] == '\t'))
    end--;
  *in = (struct mr_json_in){.end = end};
  if (end == p)
    return mr_json_fail(in, p, MR_CODE_SHAPE, "an empty message");
  if (len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
    return mr_json_fail(in, p, MR_CODE_JSON, "a byte order mark");
  if (end[-1] != '}' && end[-1] != ']')
    return mr_json_fail(in, end - 1, MR_CODE_SHAPE,
                        "the message does not end as an object or array of objects");
  return mr_json_ws(p);
}
