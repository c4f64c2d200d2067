/* SPDX-License-Identifier: Apache-2.0 */
/* CSV (RFC 4180) with a choice of delimiter, quote and null text. Stricter than some: a quote
 * inside a field without quotes, and text behind a closing quote, are refused rather than guessed
 * at. Records end with \n or \r\n. */
#ifndef MR_CSV_H
#define MR_CSV_H
#include "format/cell.h"
#include "format/format.h"

struct mr_csv_conf { /* filled from mr_csv_options */
  const struct ArrowSchema *columns;
  const char *delimiter, *quote, *null_text; /* NULL: the default */
  bool header;
};
extern const struct mr_opt mr_csv_options[];
extern const struct mr_decoder_vt mr_csv_decoder;
extern const struct mr_encoder_vt mr_csv_encoder;

struct mr_csv_dialect {
  char delimiter;
  int quote; /* -1: there is none */
  const char *null_text;
  int64_t null_len;
  bool header;
};
/* The dialect of conf (NULL: defaults), lent by it. MR_BADCONF: a delimiter or quote that cannot be
 * one. */
int mr_csv_dialect_init(struct mr_csv_dialect *d, const struct mr_csv_conf *conf,
                        struct mr_error *err);

struct mr_csv_field { /* lent by the message, or by the record when quotes were unfolded */
  const char *s;
  int64_t n;
  bool quoted;
};
struct mr_csv_record {
  struct mr_csv_field *field;
  int64_t n, cap; /* cap: elements */
  uint8_t *text;
  int64_t text_cap;             /* bytes */
  const char *at, *code, *what; /* of a failure */
  bool open;                    /* the failure: a quote was not closed before the end */
};
/* Reads the record at p into r (a blank line: one empty field). Returns the place after its line
 * end, or NULL with r's failure. */
const char *mr_csv_record_read(const struct mr_csv_dialect *d, struct mr_csv_record *r,
                               const char *p, const char *end);
void mr_csv_record_finish(struct mr_csv_record *r);

static inline bool mr_csv_is_null(const struct mr_csv_dialect *d, const struct mr_csv_field *f)
{
  return !f->quoted && f->n == d->null_len && !memcmp(f->s, d->null_text, (size_t)f->n);
}

/* csv-infer.c: what the fields of a column have looked like. */
enum mr_csv_looks { MR_CSV_NOTHING, MR_CSV_BOOL, MR_CSV_INT, MR_CSV_FLOAT, MR_CSV_TEXT };
struct mr_csv_shape {
  enum mr_csv_looks looks;
  bool inexact; /* int: a value that a double may not hold */
};
/* Widens s by a field that is not null. c: a "C" locale; scratch: room for n + 1 bytes. true: s
 * changed. */
bool mr_csv_shape_widen(struct mr_csv_shape *s, const struct mr_csv_field *f, locale_t c,
                        char *scratch);
/* Arrow format of the column. */
const char *mr_csv_shape_format(const struct mr_csv_shape *s);

#endif
