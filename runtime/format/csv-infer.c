/* SPDX-License-Identifier: Apache-2.0 */
#include "format/csv.h"

static bool is_word(const struct mr_csv_field *f, const char *word)
{
  return (size_t)f->n == strlen(word) && !memcmp(f->s, word, (size_t)f->n);
}

static bool is_bool(const struct mr_csv_field *f)
{
  static const char *const word[] = {"true", "false", "True", "False", "TRUE", "FALSE"};
  for (size_t i = 0; i < MR_COUNT(word); i++)
    if (is_word(f, word[i]))
      return true;
  return false;
}

/* Digits as people write numbers: no zeros in front (08123 is a postal code), no plus, at most one
 * point with digits on both sides. *ret_whole: no point, no exponent. */
static bool is_number(const struct mr_csv_field *f, bool *ret_whole)
{
  int64_t i = f->n && f->s[0] == '-', from = i;
  while (i < f->n && f->s[i] >= '0' && f->s[i] <= '9')
    i++;
  if (i == from || (f->s[from] == '0' && i - from > 1))
    return false;
  *ret_whole = i == f->n;
  if (*ret_whole || f->s[i] != '.')
    return *ret_whole || (f->s[i] | 0x20) == 'e';
  return i + 1 < f->n && f->s[i + 1] >= '0' && f->s[i + 1] <= '9';
}

static struct mr_csv_shape shape_of(const struct mr_csv_field *f, locale_t c, char *scratch)
{
  static const struct mr_cell cell = {
      .kind = MR_K_INT64, .most = INT64_MAX, .most_minus = UINT64_C(1) << 63};
  struct mr_csv_shape s = {.looks = MR_CSV_TEXT};
  bool whole;
  int64_t v;
  double d;
  uint8_t buf[16];
  if (is_bool(f))
    s.looks = MR_CSV_BOOL;
  if (s.looks == MR_CSV_BOOL || !is_number(f, &whole))
    return s;
  if (!whole) {
    if (mr_text_f64(f->s, f->n, c, scratch, &d) == MR_TEXT_OK)
      s.looks = MR_CSV_FLOAT;
    return s;
  }
  if (is_word(f, "-0") || mr_cell_parse(&cell, f->s, f->n, c, scratch, buf) != MR_TEXT_OK)
    return s;
  memcpy(&v, buf, 8);
  s.looks = MR_CSV_INT;
  s.inexact = v > INT64_C(1) << 53 || v < -(INT64_C(1) << 53);
  return s;
}

bool mr_csv_shape_widen(struct mr_csv_shape *s, const struct mr_csv_field *f, locale_t c,
                        char *scratch)
{
  if (s->looks == MR_CSV_TEXT)
    return false;
  struct mr_csv_shape v = shape_of(f, c, scratch), old = *s;
  enum mr_csv_looks a = old.looks < v.looks ? old.looks : v.looks,
                    b = old.looks < v.looks ? v.looks : old.looks;
  s->inexact |= v.inexact;
  if (a == MR_CSV_NOTHING || a == b)
    s->looks = b;
  else
    s->looks = a == MR_CSV_INT && b == MR_CSV_FLOAT && !s->inexact ? b : MR_CSV_TEXT;
  return s->looks != old.looks;
}

const char *mr_csv_shape_format(const struct mr_csv_shape *s)
{
  static const char *const format[] = {"u", "b", "l", "g", "u"};
  return format[s->looks];
}
