/* SPDX-License-Identifier: Apache-2.0 */
/* Writing column values as JSON text: what the JSON encoder is made of, and CSV's nested values.
 * Output grows in one binary column. Functions that write return false when memory is short, the
 * output passes 2 GiB or a value cannot be written; then code and what say why. */
#ifndef MR_JSON_WRITER_H
#define MR_JSON_WRITER_H
#include <locale.h>
#include "format/format.h"

/* A column, or part of a nested one. */
struct mr_json_writer_node {
  struct mr_view v; /* of the batch being written */
  bool is_json, zoned;
  int scale;
  uint8_t *key; /* `"name":`, key_len bytes */
  int64_t key_len;
  struct mr_json_writer_node *kid;
  int64_t n_kid, column; /* column: its index in the parent */
  struct mr_view set;    /* of a column: what `_set` says of it */
};
struct mr_json_writer {
  struct mr_json_writer_node root; /* its kids: the columns, system columns left out */
  struct mr_column out;
  const char *name;        /* the column being written, for messages; lent */
  const char *code, *what; /* why a value was refused: static strings */
  locale_t c;
};

/* false: no memory, or a type that JSON cannot show; to be finished all the same. */
bool mr_json_writer_init(struct mr_json_writer *e, const struct ArrowSchema *in);
void mr_json_writer_finish(struct mr_json_writer *e);
/* The rows to be written next; lent until the next call. */
void mr_json_writer_batch(struct mr_json_writer *e, const struct mr_batch *b);
bool mr_json_writer_put(struct mr_json_writer *e, const void *p, int64_t n);
/* Value i of n as JSON. */
bool mr_json_writer_value(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i);
/* Value i of a kind with short texts, without quotes; o: room for MR_TEXT_DECIMAL_MAX bytes.
 * Returns the length. */
int mr_json_writer_short(struct mr_json_writer *e, const struct mr_json_writer_node *n, int64_t i,
                         char *o);
bool mr_json_writer_end(
    struct mr_json_writer *e); /* what was put since the last end is one value of `out` */
/* MR_REJECT with err filled from code and what; `out` is emptied. */
int mr_json_writer_refused(struct mr_json_writer *e, int64_t row, struct mr_error *err);

#endif
