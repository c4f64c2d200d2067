/* SPDX-License-Identifier: Apache-2.0 */
/* Arrow columns -> rows of PostgreSQL's COPY, binary or text. One encoder for each pair of source
 * column and target type is chosen once; the row loop then only switches on it. Any thread, one
 * owner; no allocation for a row but the growth of the buffer.
 *
 * Source: PostgreSQL manual, "COPY", section Binary Format, and the *_recv functions of the server.
 */
#ifndef PG_ENCODE_H
#define PG_ENCODE_H
#include "common/sql-buf.h"
#include "millrace/build.h"

enum pg_oid {
  PG_BOOL = 16,
  PG_BYTEA = 17,
  PG_NAME = 19,
  PG_INT8 = 20,
  PG_INT2 = 21,
  PG_INT4 = 23,
  PG_TEXT = 25,
  PG_JSON = 114,
  PG_XML = 142,
  PG_FLOAT4 = 700,
  PG_FLOAT8 = 701,
  PG_BPCHAR = 1042,
  PG_VARCHAR = 1043,
  PG_DATE = 1082,
  PG_TIME = 1083,
  PG_TIMESTAMP = 1114,
  PG_TIMESTAMPTZ = 1184,
  PG_NUMERIC = 1700,
  PG_UUID = 2950,
  PG_JSONB = 3802
};

enum pg_op {
  PG_OP_NULL,  /* a column of which no value was seen: always null */
  PG_OP_SAME2, /* 16-bit integers as they are */
  PG_OP_SAME4, /* 32-bit integers and floats as they are */
  PG_OP_SAME8, /* 64-bit ones */
  PG_OP_INT,   /* any integer into smallint, integer or bigint, range checked */
  PG_OP_FLOAT, /* any float or integer into real or double precision */
  PG_OP_BOOL,
  PG_OP_DATE,
  PG_OP_TIME,
  PG_OP_TIMESTAMP,
  PG_OP_DATE_TIMESTAMP, /* a date into a timestamp: midnight */
  PG_OP_BYTES,          /* text or binary as it is */
  PG_OP_JSONB_BYTES,    /* the same behind jsonb's version byte */
  PG_OP_UUID,
  PG_OP_UUID_TEXT,
  PG_OP_DECIMAL,
  PG_OP_INT_NUMERIC,
  PG_OP_FLOAT_NUMERIC,
  PG_OP_AS_TEXT, /* any value's canonical text into a text type */
  PG_OP_AS_JSON, /* a nested value as JSON */
  PG_OP_ARRAY,
  PG_OP_UNFIT,    /* every value is refused */
  PG_OP_TEXT_ONLY /* only the server can read it: COPY in text form */
};

/* One column: the plan, and for a batch the buffers. */
struct pg_field {
  enum pg_op op;
  uint32_t oid, elem_oid;
  int32_t typmod, max_chars; /* max_chars: of varchar(n), char(n); 0: any */
  int precision, scale;      /* of a numeric that has them; precision 0: any */
  int src_scale;
  bool not_null, digits_checked, has_nul; /* has_nul: this batch's text has a zero byte somewhere */
  struct pg_field *item;                  /* of an array; owned */
  struct mr_view v;
  const uint8_t *data;    /* of fixed kinds: the slice's first value */
  const int32_t *offsets; /* of text and binary: the slice's first offset */
};

/* The type of a target column, with domains already replaced by what they are made of. */
struct pg_type {
  uint32_t oid, elem_oid; /* elem_oid: of an array, else 0 */
  int32_t typmod;
  bool text_like; /* enum, citext: a label in text form is also its binary form */
  bool not_null;
  bool bracketed; /* pgvector's: reads a list of numbers as JSON writes it */
};

/* Chooses the encoder of a source column for a target type. false: this pair has none (or no
 * memory); ret is then empty. */
bool pg_field_plan(const struct ArrowSchema *from, const struct pg_type *to, struct pg_field *ret);
/* A field for a pair that has none: nulls pass, every value is a bad one. */
void pg_field_unfit(const struct ArrowSchema *from, const struct pg_type *to, struct pg_field *ret);
void pg_field_done(struct pg_field *f);
/* Points the field at a column of a lent array. */
void pg_field_bind(struct pg_field *f, const struct ArrowSchema *s, const struct ArrowArray *a);

/* Called for a row that the target can never take; the row is left out. code: an SQLSTATE.
 * Negative: stop with that. */
typedef int pg_bad_fn(void *ctx, int64_t row, int field, const char *code, const char *msg);

struct pg_rows {
  struct pg_field *field; /* n, bound */
  int n;
  bool text;           /* COPY text instead of binary */
  const uint8_t *skip; /* a bit for each row that is left out; NULL: none */
  pg_bad_fn *bad;
  void *ctx;
};
/* Appends rows [from, to) until out holds `enough` bytes; *ret_next: the first row not looked at.
 * Returns >= 0: rows appended; < 0 what bad() returned, or MR_FATAL's value when memory is short.
 */
int64_t pg_rows_encode(const struct pg_rows *r, int64_t from, int64_t to, size_t enough,
                       struct sql_buf *out, int64_t *ret_next);
/* The text form of one value that is not null, unescaped, as COPY text and parameters take it.
 * false: see pg_rows bad codes, in *ret_code and *ret_msg (static text). */
bool pg_field_text(struct pg_field *f, int64_t i, struct sql_buf *out, const char **ret_code,
                   const char **ret_msg);
void pg_copy_header(struct sql_buf *out);
void pg_copy_trailer(struct sql_buf *out);

#endif
