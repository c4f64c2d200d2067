/* SPDX-License-Identifier: Apache-2.0 */
/* One lookup table in memory: rows in column chunks and an index over their key columns. The last
 * row of a key wins.
 *
 * Memory: 5 bytes for each index slot (at most 7/8 full) besides the columns. Rows that an upsert
 * replaced stay as garbage until the table is compacted into a new one.
 *
 * Threads: a table that was not shown to others belongs to one thread. Once shared, readers bracket
 * mr_table_find and mr_table_gather by mr_table_read and mr_table_unlock, and the one writer
 * brackets mr_table_apply by mr_table_write and mr_table_unlock; readers of a table without a
 * writer never wait. */
#ifndef MR_LOOKUP_TABLE_H
#define MR_LOOKUP_TABLE_H
#include "base/base.h"
#include "millrace/build.h"

struct mr_table;

#define MR_TABLE_MISSING UINT32_MAX
#define MR_TABLE_ROWS_MAX (UINT32_MAX - 1) /* rows, garbage included */

struct mr_table_size {
  int64_t live, rows; /* keys; rows with garbage */
  int64_t bytes;      /* of columns and index, as allocated */
};

/* A table of these columns (a rows schema, copied), of which the first n_keys are the key: of any
 * type but floats, lists, structs and maps. seed: two secret random numbers, against keys that are
 * chosen to collide. NULL: no memory. One reference is the caller's. */
struct mr_table *mr_table_new(const struct ArrowSchema *columns, int64_t n_keys,
                              const uint64_t seed[2]);
struct mr_table *mr_table_ref(struct mr_table *t);
void mr_table_unref(struct mr_table *t); /* takes NULL */

/* Upserts n rows in their order; column[i] reads the table's column i. deleted (may be NULL): a bit
 * for each row; such a row takes its key out. A row with a null in its key is left out. MR_FATAL:
 * no memory or too many rows; the table holds a part of the rows then. */
int mr_table_apply(struct mr_table *t, const struct mr_view *column, const uint8_t *deleted,
                   int64_t n, struct mr_error *err);
/* Gives back memory that was reserved for growth; for a table that is complete. */
void mr_table_trim(struct mr_table *t);
/* The row of each of n keys, MR_TABLE_MISSING for those without; key[i] reads key column i, whose
 * type fits (mr_table_key_fits). */
void mr_table_find(const struct mr_table *t, const struct mr_view *key, int64_t n,
                   uint32_t *ret_row);
/* Appends column `column` of n rows to c (of the same type); null for MR_TABLE_MISSING. false: no
 * memory. */
bool mr_table_gather(const struct mr_table *t, int64_t column, const uint32_t *row, int64_t n,
                     struct mr_column *c);
/* Calls each() with rows that are live, some at a time, in the order they came. column: views of
 * the table's columns; row: n indexes into them. Stops at the first status < 0 and returns it. */
typedef int mr_table_rows_fn(void *out, const struct mr_view *column, const int64_t *row, int64_t n,
                             struct mr_error *err);
int mr_table_each(const struct mr_table *t, mr_table_rows_fn *each, void *out,
                  struct mr_error *err);

void mr_table_read(struct mr_table *t);
void mr_table_write(struct mr_table *t);
void mr_table_unlock(struct mr_table *t);
struct mr_table_size mr_table_size(const struct mr_table *t);

/* May a column of type `probe` be looked up in a key column of type `key`? Integers of any width
 * fit each other; else the types are equal. Floats, lists, structs and maps are no keys. */
bool mr_table_key_ok(const struct ArrowSchema *key);
bool mr_table_key_fits(const struct ArrowSchema *key, const struct ArrowSchema *probe);

#endif
