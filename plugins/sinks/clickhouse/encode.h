/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of a Native block: Arrow values in, the bytes that ClickHouse reads out.
 *
 * A node is one type of a column's tree, with the bytes that it has gathered so far; batches are
 * appended, the whole block is given at the end. Source: ClickHouse, Native format (revision 0: no
 * block info), as 18.16 and 26 read it. One thread. Little-endian machines. */
#ifndef CLICKHOUSE_ENCODE_H
#define CLICKHOUSE_ENCODE_H
#include "millrace/plugin.h"
#include "type.h"

enum ch_op {
  CH_OP_NONE = 0,
  CH_OP_SCALED, /* integers, dates, times: value * mul / div, within lo .. hi */
  CH_OP_FLOAT,
  CH_OP_DECIMAL,
  CH_OP_BYTES, /* text, binary */
  CH_OP_TEXT,  /* any value as text (nested ones: as JSON) */
  CH_OP_FIXED, /* text, binary, UUID into FixedString */
  CH_OP_UUID,
  CH_OP_UUID_TEXT,
  CH_OP_ENUM_TEXT,
  CH_OP_ENUM_INT,
  CH_OP_IPV4,
  CH_OP_IPV6,
  CH_OP_ARRAY,
  CH_OP_MAP,
  CH_OP_TUPLE,
  CH_OP_NULLS, /* a column of which no value was seen */
  CH_OP_UNFIT  /* every value is refused */
};

struct ch_node {
  const struct ch_type *type; /* lend: the column's */
  enum ch_op op;
  int64_t mul, div, lo, hi; /* CH_OP_SCALED; lo, hi: in the source's unit */
  int64_t zero;             /* what stands for no value */
  struct sql_buf nulls, data;
  int64_t elements; /* ARRAY, MAP: of the child so far */
  struct ch_node *child;
  int n_child;
  int *from; /* TUPLE: the source's child for each of ours */
  size_t mark_nulls, mark_data;
  int64_t mark_elements;
};

/* Narrows a planned node to days that servers before 20 can show: later ones read as 1970. */
void ch_node_limit_days(struct ch_node *n);

/* Where values stand: elements of lists belong to a row further up. */
struct ch_scope {
  const struct ch_scope *up;
  const struct mr_view *list; /* whose elements these are */
  int64_t from, to;           /* of list */
};

/* What the encoding of one batch knows and finds. */
struct ch_batch {
  const uint8_t *deleted; /* bit i: row i is a delete; NULL: none is */
  bool defaults;          /* a null where none can be becomes the type's default */
  const char *column;     /* in work */
  bool is_key;
  uint8_t *dead; /* bit i: row i is refused */
  int64_t n_dead;
  void (*bad)(void *out, int64_t row, const char *code, const char *msg, const char *column);
  void *out;
};

/* Plans how values of s become a `type` (lend, as long as the node lives). false: they cannot, or
 * no memory; the node is releasable either way. */
bool ch_node_plan(struct ch_node *n, const struct ArrowSchema *s, const struct ch_type *type);
/* Makes of a node that could not be planned one that takes nulls and refuses every value. false: a
 * Tuple. */
bool ch_node_unfit(struct ch_node *n);
void ch_node_done(struct ch_node *n);
void ch_node_clear(struct ch_node *n); /* forgets the bytes, keeps the memory */
void ch_node_mark(struct ch_node *n);
void ch_node_back(struct ch_node *n);         /* to the mark */
bool ch_node_failed(const struct ch_node *n); /* memory was short */
int64_t ch_node_bytes(const struct ch_node *n);
/* Appends values [from, to). Refused ones go to b->bad, once for each row; zeros stand for them. */
void ch_node_put(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                 int64_t to, const struct ch_scope *scope);
/* Appends nothing, count times: nulls where they can be, else the type's default. */
void ch_node_put_nothing(struct ch_node *n, int64_t count);
/* Hands the gathered bytes to each(), in the order of the format. < 0 of each() ends it. */
typedef int ch_bytes_fn(void *out, const void *data, size_t len);
int ch_node_give(const struct ch_node *n, ch_bytes_fn *each, void *out);

/* ---- values.c */
/* Refuses value i. */
void ch_bad(struct ch_batch *b, const struct ch_scope *scope, int64_t i, const char *code,
            const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void ch_put_values(struct ch_batch *b, struct ch_node *n, const struct mr_view *v, int64_t from,
                   int64_t to, const struct ch_scope *scope);
void ch_put_zeros(struct ch_node *n, int64_t count);
void ch_varint(struct sql_buf *out, uint64_t v);

/* ---- wide.c: decimals and integers of up to 32 bytes */
/* Appends v * 10^(digits) in `width` bytes. digits < 0 divides; 0: done; 1: digits would be lost;
 * 2: more than `precision` digits (0: more than the width holds; -1: than it holds without sign).
 */
int ch_put_wide(struct sql_buf *out, const uint8_t value[16], int digits, int precision, int width);

#endif
