/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the JSON decoder: the columns to fill, compiled into a tree of nodes. */
#ifndef MR_JSON_H
#define MR_JSON_H
#include <locale.h>
#include "format/format.h"
#include "format/json-scan.h"
#include "format/json-shape.h"
#include "format/extents.h"

enum mr_json_unknown { MR_UNKNOWN_IGNORE, MR_UNKNOWN_ADD, MR_UNKNOWN_DEAD_LETTER };
enum mr_json_absent { MR_ABSENT_NULL, MR_ABSENT_UNSET };
enum mr_json_time { MR_TIME_ISO, MR_TIME_S, MR_TIME_MILLI, MR_TIME_MICRO };

struct mr_json_conf { /* filled from mr_json_options */
  const struct ArrowSchema *columns;
  int32_t unknown, timestamps;
  bool quoted_numbers;
  int32_t absent;
};
extern const struct mr_opt mr_json_options[];

#define MR_JSON_IGNORED \
  256 /* undeclared keys that are remembered for each object, so that they are skipped fast */
#define MR_JSON_KEY_INLINE 24

/* One key of one object: where its value goes, and which key came after it last time. */
struct mr_json_field {
  uint64_t word[MR_JSON_KEY_INLINE / 8], mask[MR_JSON_KEY_INLINE / 8]; /* `text`, as far as it is */
  struct mr_json_node *node;          /* NULL: the value is passed over */
  struct mr_json_field *next, *other; /* what followed last time, and before that */
  char *text; /* `"key":` as it stands in messages, or a text that no message has (keys that need
                 escapes) */
  char *key;  /* unescaped, key_len bytes */
  int64_t len, key_len;
  uint32_t hash;
};
struct mr_json_keys {
  struct mr_json_field first,
      other;                   /* first.next: the first key; other: keys past MR_JSON_IGNORED */
  struct mr_json_field **slot; /* hash table of mask + 1 places, linear probing */
  uint32_t mask;
  int32_t ignored;
};

/* A column, or part of a nested one. */
struct mr_json_node {
  struct mr_cell t;
  struct mr_json_shape
      *shape; /* of a type that was inferred, and so may be widened; lent. NULL: declared */
  struct mr_column *col;    /* lent from the builders */
  int64_t room;             /* elements for which data and valid have memory */
  int64_t hint, bytes_hint; /* what the last batch took */
  char *path;               /* for messages: "a.b" */
  struct mr_json_node *kid; /* struct: its fields; list: the element; map: key, value */
  int64_t n_kid;
  struct mr_json_keys *keys; /* struct */
};

struct mr_json {
  struct mr_decoder base;
  struct mr_json_conf conf;
  struct ArrowSchema schema;
  bool known, schema_new; /* schema: there are columns; decoded has to say so */
  bool widen;             /* the last failure was one that a wider schema may cure */
  bool new_keys,
      pass_new; /* keys may become columns; not those of this message, whose shape is known */
  struct mr_json_kept *kept; /* messages of the rows so far, to be read again with wider columns;
                                NULL: no inference */
  struct mr_column rows;     /* a struct column: the builders */
  struct mr_json_node root;
  struct mr_json_set *set;     /* NULL: a key that is not there is null */
  struct ArrowSchema declared; /* the columns without a declared `_set` */
  struct mr_json_shape *shape; /* of all messages; NULL: no inference */
  struct mr_json_in in;
  const uint8_t *start;      /* of the message */
  struct mr_extents extents; /* of the message's rows; none: it is one object */
  uint8_t *scratch;
  int64_t scratch_cap;
  locale_t c;
};

/* json-plan.c: builders and nodes for d->schema. false: no memory. */
bool mr_json_plan(struct mr_json *d);
void mr_json_plan_free(struct mr_json *d); /* also frees the builders */
/* Gives the rows so far and leaves the builders empty. */
bool mr_json_take(struct mr_json *d, struct ArrowArray *give);
/* Cuts a node, and what was begun below it, back to n elements. */
void mr_json_rollback(struct mr_json_node *n, int64_t length);
void mr_json_rollback_rows(struct mr_json *d, int64_t rows); /* of all columns */
bool mr_json_grow(struct mr_json_node *n);
bool mr_json_put_null(struct mr_json_node *n);
uint32_t mr_json_hash(const uint8_t *key, int64_t len);
struct mr_json_field *mr_json_field_find(const struct mr_json_keys *k, const uint8_t *key,
                                         int64_t len, uint32_t hash);
/* Remembers a key without a column; its place, or &k->other when there are too many. */
struct mr_json_field *mr_json_field_ignore(struct mr_json_keys *k, const uint8_t *key, int64_t len,
                                           uint32_t hash);

/* json-set.c: `_set`. All but init do nothing without d->set; false: no memory. */
bool mr_json_set_init(struct mr_json *d); /* takes a declared `_set` out of d->conf.columns */
void mr_json_set_finish(struct mr_json *d);
bool mr_json_set_plan(struct mr_json *d); /* for d->schema */
/* Adds `_set` to a copy of d->schema. */
bool mr_json_set_schema(const struct mr_json *d, struct ArrowSchema *rows);
/* The row that is being read has no key for the column. */
bool mr_json_set_absent(struct mr_json *d, int64_t column, int64_t row);
void mr_json_set_rollback(struct mr_json *d, int64_t rows);
/* The finished columns with `_set` in its place. */
bool mr_json_set_take(struct mr_json *d, struct ArrowArray *give);

/* json-infer.c: begins inference. false: no memory. */
bool mr_json_infer_init(struct mr_json *d);
void mr_json_infer_finish(struct mr_json *d);
/* Keeps a message that was read. false: no memory. */
bool mr_json_keep(struct mr_json *d, const void *data, size_t len);
void mr_json_keep_none(struct mr_json *d); /* the rows were given away */
/* After a failure with d->widen (rolled back): widens the columns by this message, reads all kept
 * messages and this one again. As mr_host.decode, with d->in filled. */
int mr_json_widen(struct mr_json *d, const void *data, size_t len);
/* Reads one message: rows, or -1 with d->in filled and nothing added. */
int64_t mr_json_message(struct mr_json *d, const void *data, size_t len);

/* json-decode.c: appends the rows of d->in's message, p at its first byte. Returns their number, or
 * -1 with d->in filled; then the caller rolls back. */
int64_t mr_json_rows(struct mr_json *d, const uint8_t *p);
/* Appends one value to n; depth: brackets open around it. */
const uint8_t *mr_json_value(struct mr_json *d, const uint8_t *p, struct mr_json_node *n,
                             int depth);
const uint8_t *mr_json_no_memory(struct mr_json *d, const uint8_t *at);
/* json-value.c: kinds that are spelt as text or number, and maps. */
const uint8_t *mr_json_scalar(struct mr_json *d, const uint8_t *p, struct mr_json_node *n);
const uint8_t *mr_json_map(struct mr_json *d, const uint8_t *p, struct mr_json_node *n, int depth);
const uint8_t *mr_json_end_nested(struct mr_json *d, const uint8_t *p, struct mr_json_node *n,
                                  int64_t end);
const uint8_t *mr_json_bad(struct mr_json *d, const uint8_t *at, struct mr_json_node *n,
                           const char *code, const char *what);
/* Room for n bytes and 16 more, or NULL. */
uint8_t *mr_json_scratch(struct mr_json *d, int64_t n);

/* Room for one more element is there after this. */
static inline bool mr_json_room(struct mr_json_node *n)
{
  return MR_LIKELY(n->col->length < n->room) || mr_json_grow(n);
}
/* Counts an element that was written, as not null. */
static inline void mr_json_push(struct mr_column *c)
{
  if (MR_UNLIKELY(c->valid != NULL))
    mr_bit_set(c->valid, c->length, true);
  c->length++;
}
static inline int32_t *mr_json_offsets(struct mr_column *c)
{
  return (int32_t *)(void *)c->data;
}

#endif
