/* SPDX-License-Identifier: Apache-2.0 */
#include "format/csv.h"

static bool is_mark(const char *s)
{
  return s[0] && !s[1] && (unsigned char)s[0] < 0x80 && s[0] != '\n' && s[0] != '\r';
}

int mr_csv_dialect_init(struct mr_csv_dialect *d, const struct mr_csv_conf *conf,
                        struct mr_error *err)
{
  const char *delimiter = conf && conf->delimiter ? conf->delimiter : ",",
             *quote = conf && conf->quote ? conf->quote : "\"";
  d->null_text = conf && conf->null_text ? conf->null_text : "";
  d->null_len = (int64_t)strlen(d->null_text);
  d->header = conf ? conf->header : true;
  if (!strcmp(delimiter, "tab") || !strcmp(delimiter, "\\t"))
    delimiter = "\t";
  if (!is_mark(delimiter))
    return mr_fail(err, MR_BADCONF, "delimiter: one ASCII character, or tab");
  if (*quote && (!is_mark(quote) || *quote == *delimiter))
    return mr_fail(err, MR_BADCONF,
                   "quote: one ASCII character that is not the delimiter, or empty");
  d->delimiter = *delimiter;
  d->quote = *quote ? *quote : -1;
  return MR_OK;
}

static const char *fail(struct mr_csv_record *r, const char *at, const char *code, const char *what)
{
  r->at = at;
  r->code = code;
  r->what = what;
  return NULL;
}

static struct mr_csv_field *add_field(struct mr_csv_record *r)
{
  if (r->n == r->cap) {
    int64_t cap = r->cap ? 2 * r->cap : 32;
    struct mr_csv_field *f = realloc(r->field, (size_t)cap * sizeof *f);
    if (!f)
      return NULL;
    r->field = f;
    r->cap = cap;
  }
  return &r->field[r->n++];
}

static const char *plain_field(const struct mr_csv_dialect *d, struct mr_csv_record *r,
                               struct mr_csv_field *f, const char *p, const char *end)
{
  const char *from = p;
  for (; p < end && *p != d->delimiter && *p != '\n'; p++) {
    if (*p == d->quote)
      return fail(r, p, MR_CODE_CSV, "a quote inside a field without quotes");
    if (*p != '\r')
      continue;
    if (p + 1 == end || p[1] == '\n')
      break;
    return fail(r, p, MR_CODE_CSV, "a carriage return inside a field without quotes");
  }
  *f = (struct mr_csv_field){from, p - from, false};
  return p;
}

/* p behind the opening quote; unfolds doubled ones into *out. */
static const char *quoted_field(const struct mr_csv_dialect *d, struct mr_csv_record *r,
                                struct mr_csv_field *f, const char *p, const char *end, char **out)
{
  const char *from = p;
  char *o = *out;
  bool folded = false;
  for (;; p++) {
    if (p == end) {
      r->open = true;
      return fail(r, from - 1, MR_CODE_CSV, "a quote that is not closed");
    }
    if (*p == d->quote) {
      if (p + 1 == end || p[1] != d->quote)
        break;
      folded = true;
      p++;
    }
    *o++ = *p;
  }
  *f = (struct mr_csv_field){folded ? *out : from, o - *out, true};
  if (folded)
    *out = o;
  return p + 1;
}

const char *mr_csv_record_read(const struct mr_csv_dialect *d, struct mr_csv_record *r,
                               const char *p, const char *end)
{
  r->n = 0;
  r->open = false;
  if (!mr_buf_reserve(&r->text, &r->text_cap, 0, end - p + 1))
    return fail(r, p, MR_CODE_MEMORY, "no memory");
  char *out = (char *)r->text;
  for (;; p++) {
    struct mr_csv_field *f = add_field(r);
    if (!f)
      return fail(r, p, MR_CODE_MEMORY, "no memory");
    bool quoted = p < end && *p == d->quote;
    p = quoted ? quoted_field(d, r, f, p + 1, end, &out) : plain_field(d, r, f, p, end);
    if (!p)
      return NULL;
    if (p < end && *p == d->delimiter)
      continue;
    if (p < end && *p == '\r' && (p + 1 == end || p[1] == '\n'))
      p++;
    if (p == end || *p == '\n')
      return p + (p < end);
    return fail(r, p, MR_CODE_CSV, "text behind a closing quote");
  }
}

void mr_csv_record_finish(struct mr_csv_record *r)
{
  free(r->field);
  free(r->text);
}
