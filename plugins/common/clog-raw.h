/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of system_schema as they were last written: what clog-schema.c makes tables from. One
 * thread, one owner. */
#ifndef CLOG_RAW_H
#define CLOG_RAW_H
#include "common/clog-schema.h"

/* Structs that begin with one of these are kept in a list, found by name. */
struct raw_named {
  char *name;
  int64_t written; /* us */
};
struct raw_list {
  struct raw_named **item;
  size_t n;
};

struct raw_column {
  struct raw_named base;
  enum clog_column_kind kind;
  int32_t position;
  bool descending;
  char *type;      /* NULL: not written yet */
  int64_t dropped; /* us; of dropped columns */
};
struct raw_table {
  struct raw_named base;
  bool has_id, cdc, compact, counter;
  uint8_t id[16];
  struct raw_list columns, dropped; /* of struct raw_column */
};
struct raw_type {
  struct raw_named base;
  char **field, **type; /* n of each */
  size_t n;
};
struct raw_keyspace {
  struct raw_named base;
  bool touched;                  /* since the last commit */
  struct raw_list tables, types; /* of struct raw_table, struct raw_type */
};

/* The item of this name; NULL: none. */
struct raw_named *raw_find(const struct raw_list *list, const char *name);
/* The same, made when there is none (size: of its struct, zeroed); NULL: no memory. */
struct raw_named *raw_get(struct raw_list *list, const char *name, size_t size);
/* Frees all keyspaces. */
void raw_done(struct raw_list *keyspaces);

#endif
