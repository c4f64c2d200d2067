/* SPDX-License-Identifier: Apache-2.0 */
#include "format/cell.h"
#include <strings.h>

static void integer_range(struct mr_cell *t)
{
  int bits = 8 * mr_kind_width(t->kind);
  bool with_sign = mr_kind_is_signed(t->kind);
  t->most = with_sign ? (UINT64_C(1) << (bits - 1)) - 1 : UINT64_MAX >> (64 - bits);
  t->most_minus = with_sign ? UINT64_C(1) << (bits - 1) : 0;
}

void mr_cell_init(struct mr_cell *t, const struct ArrowSchema *s)
{
  *t = (struct mr_cell){.kind = mr_kind_of(s)};
  t->is_json = t->kind == MR_K_TEXT && mr_schema_is_json(s);
  t->utc = !strcmp(mr_zone_of(s), "UTC");
  t->zoned = mr_zone_of(s)[0] != 0;
  mr_decimal_of(s, &t->precision, &t->scale);
  if (mr_kind_is_int(t->kind))
    integer_range(t);
}

static void put_integer(enum mr_kind k, uint64_t v, uint8_t *ret)
{
  uint32_t v32 = (uint32_t)v;
  uint16_t v16 = (uint16_t)v;
  switch (mr_kind_width(k)) {
  case 8: memcpy(ret, &v, 8); break;
  case 4: memcpy(ret, &v32, 4); break;
  case 2: memcpy(ret, &v16, 2); break;
  default: ret[0] = (uint8_t)v;
  }
}

static enum mr_text_status parse_integer(const struct mr_cell *t, const char *s, int64_t n,
                                         uint8_t *ret)
{
  int64_t at = n && (s[0] == '-' || s[0] == '+');
  bool minus = at && s[0] == '-', over = false;
  uint64_t v = 0;
  if (at == n)
    return MR_TEXT_BAD;
  for (int64_t i = at; i < n; i++) {
    if (s[i] < '0' || s[i] > '9')
      return MR_TEXT_BAD;
    over |=
        __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v);
  }
  if (over || v > (minus ? t->most_minus : t->most))
    return MR_TEXT_RANGE;
  put_integer(t->kind, minus ? 0 - v : v, ret);
  return MR_TEXT_OK;
}

static bool is_word(const char *s, int64_t n, const char *word)
{
  return (size_t)n == strlen(word) && !strncasecmp(s, word, (size_t)n);
}

static enum mr_text_status parse_bool(const char *s, int64_t n, uint8_t *ret)
{
  bool yes = is_word(s, n, "true") || is_word(s, n, "t") || is_word(s, n, "1");
  if (!yes && !is_word(s, n, "false") && !is_word(s, n, "f") && !is_word(s, n, "0"))
    return MR_TEXT_BAD;
  *ret = yes;
  return MR_TEXT_OK;
}

static enum mr_text_status parse_timestamp(const struct mr_cell *t, const char *s, int64_t n,
                                           uint8_t *ret)
{
  int64_t us;
  bool offset;
  enum mr_text_status st = mr_text_timestamp(s, n, &us, &offset);
  if (st != MR_TEXT_OK)
    return st;
  if (!offset && t->zoned && !t->utc)
    return MR_TEXT_BAD;
  memcpy(ret, &us, 8);
  return MR_TEXT_OK;
}

static enum mr_text_status parse_decimal(const struct mr_cell *t, const char *s, int64_t n,
                                         uint8_t *ret)
{
  __int128 v;
  enum mr_text_status st = mr_text_decimal(s, n, t->precision, t->scale, false, &v);
  if (st == MR_TEXT_OK)
    memcpy(ret, &v, 16);
  return st;
}

static enum mr_text_status parse_time(const char *s, int64_t n, uint8_t *ret)
{
  int64_t us;
  enum mr_text_status st = mr_text_time(s, n, &us);
  if (st == MR_TEXT_OK)
    memcpy(ret, &us, 8);
  return st;
}

static enum mr_text_status parse_date(const char *s, int64_t n, uint8_t *ret)
{
  int32_t days;
  enum mr_text_status st = mr_text_date(s, n, &days);
  if (st == MR_TEXT_OK)
    memcpy(ret, &days, 4);
  return st;
}

static enum mr_text_status parse_float(const struct mr_cell *t, const char *s, int64_t n,
                                       locale_t c, char *scratch, uint8_t *ret)
{
  double d;
  float f;
  enum mr_text_status st = MR_TEXT_OK;
  bool finite = !mr_text_not_finite(s, n, &d);
  f = finite ? 0 : (float)d;
  if (t->kind == MR_K_FLOAT32) {
    if (!finite || (st = mr_text_f32(s, n, c, scratch, &f)) == MR_TEXT_OK)
      memcpy(ret, &f, 4);
  } else {
    if (!finite || (st = mr_text_f64(s, n, c, scratch, &d)) == MR_TEXT_OK)
      memcpy(ret, &d, 8);
  }
  return st;
}

enum mr_text_status mr_cell_parse(const struct mr_cell *t, const char *s, int64_t n, locale_t c,
                                  char *scratch, uint8_t ret[16])
{
  switch (t->kind) {
  case MR_K_BOOL: return parse_bool(s, n, ret);
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return parse_float(t, s, n, c, scratch, ret);
  case MR_K_DECIMAL: return parse_decimal(t, s, n, ret);
  case MR_K_DATE: return parse_date(s, n, ret);
  case MR_K_TIME: return parse_time(s, n, ret);
  case MR_K_TIMESTAMP: return parse_timestamp(t, s, n, ret);
  case MR_K_FIXED: return mr_text_uuid(s, n, ret);
  default: return mr_kind_is_int(t->kind) ? parse_integer(t, s, n, ret) : MR_TEXT_BAD;
  }
}

enum mr_text_status mr_cell_epoch(const char *s, int64_t n, int unit_scale, uint8_t ret[16])
{
  __int128 v;
  enum mr_text_status st = mr_text_decimal(s, n, 30, unit_scale, true, &v);
  if (st != MR_TEXT_OK)
    return st;
  int64_t us = (int64_t)v;
  if (us != v)
    return MR_TEXT_RANGE;
  memcpy(ret, &us, 8);
  return MR_TEXT_OK;
}

static bool is_time(const struct mr_cell *t)
{
  return t->kind == MR_K_DATE || t->kind == MR_K_TIME || t->kind == MR_K_TIMESTAMP;
}

const char *mr_cell_code(const struct mr_cell *t, enum mr_text_status st)
{
  if (is_time(t))
    return st == MR_TEXT_RANGE ? MR_CODE_TIME_RANGE : MR_CODE_TIME;
  return st == MR_TEXT_RANGE ? MR_CODE_RANGE : MR_CODE_TEXT;
}

const char *mr_cell_reason(const struct mr_cell *t, enum mr_text_status st)
{
  bool range = st == MR_TEXT_RANGE;
  switch (t->kind) {
  case MR_K_BOOL: return "not true or false";
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: return range ? "a number out of range" : "not a number";
  case MR_K_DECIMAL: return range ? "a decimal with too many digits" : "not a decimal number";
  case MR_K_DATE: return range ? "a date that does not exist" : "not a date YYYY-MM-DD";
  case MR_K_TIME: return range ? "a time of day that does not exist" : "not a time HH:MM:SS";
  case MR_K_TIMESTAMP:
    if (range)
      return "a time that does not exist or does not fit";
    return t->zoned && !t->utc ? "not an ISO 8601 time with an offset" : "not an ISO 8601 time";
  case MR_K_FIXED: return "not a UUID";
  case MR_K_BINARY: return "not base64";
  case MR_K_TEXT: return t->is_json ? "not JSON" : "not text";
  default: return range ? "an integer out of range" : "not an integer";
  }
}
