/* SPDX-License-Identifier: Apache-2.0 */
/* Upserts where the newest version wins, and deletes of many rows: what rows must have for a SQL
 * sink to stage them, in the same words for each of these. Header-only, any thread. */
#ifndef UPSERT_H
#define UPSERT_H
#include "common/src-error.h"
#include "millrace/changes.h"

/* The target's column of versions: a JSON object. Of each column it has the version of its last
 * write, and under "" that of the newest delete that the row outlived. */
#define UPS_WRITTEN "millrace_written"
#define UPS_KEYS_MAX 32 /* columns of a key */

/* Why a row cannot be staged. */
struct ups_fault {
  const char *code, *msg;
};

/* Is the row a delete? op: a view of `_op`, kind 0 without one. */
static inline bool ups_is_delete(const struct mr_view *op, int64_t i)
{
  int64_t n;
  if (op->kind != MR_K_TEXT || mr_view_null(op, i))
    return false;
  const char *text = mr_view_bytes(op, i, &n);
  return n == 6 && !memcmp(text, "delete", 6);
}

/* The rules among the options about how many columns a key has. */
static inline int ups_key_validate(bool upsert, const struct mr_list *key, struct mr_error *err)
{
  if (upsert && key->n > UPS_KEYS_MAX)
    return src_badconf(err, "key", "more than %d columns", UPS_KEYS_MAX);
  if (upsert && key->n == 0)
    return src_badconf(err, "key", "mode upsert needs the key columns");
  return MR_OK;
}

/* ---------------------------------------------------------------- versions */

/* The rules among the options; version NULL: none. */
static inline int ups_version_validate(const char *version, bool upsert, const struct mr_list *key,
                                       struct mr_error *err)
{
  const char *const *name = (const char *const *)key->item;
  if (!version)
    return MR_OK;
  if (!upsert)
    return src_badconf(err, "version", "only mode upsert has versions");
  for (size_t i = 0; i < key->n; i++)
    if (!strcmp(name[i], version))
      return src_badconf(err, "version", "the version is no key column");
  return MR_OK;
}
/* The rules about the rows; c: their column of the version, NULL: they have none (in_table: the
 * table has). */
static inline int ups_version_source(const char *version, const struct ArrowSchema *rows,
                                     const struct ArrowSchema *c, bool in_table,
                                     struct mr_error *err)
{
  enum mr_kind k = c ? mr_kind_of(c) : MR_K_NONE;
  if (!c)
    return src_badconf(err, "version", "version column %s is %s", version,
                       in_table ? "not among the pipeline's columns" : "no column of the table");
  if ((k < MR_K_INT8 || k > MR_K_UINT64) && k != MR_K_TIMESTAMP)
    return src_badconf(err, "version", "version column %s is neither an integer nor a timestamp",
                       version);
  if (mr_schema_find(rows, UPS_WRITTEN) >= 0)
    return src_badconf(err, "version",
                       "column " UPS_WRITTEN " is made here: leave it out of the rows");
  return MR_OK;
}

struct ups_version {
  struct mr_view value, set;
};
static inline void ups_version_view(struct ups_version *v, const struct ArrowSchema *schema,
                                    const struct ArrowArray *rows, int64_t at)
{
  mr_view_column(&v->value, schema, rows, at);
  mr_set_view(&v->set, schema, rows, schema->children[at]->name);
}
/* NULL: the row has a version. */
static inline const struct ups_fault *ups_version_fault(const struct ups_version *v, int64_t i)
{
  static const struct ups_fault none = {"23502", "the row has no version"};
  static const struct ups_fault large = {"22003", "the version is above 9223372036854775807"};
  if (mr_view_null(&v->value, i) || !mr_set_has(&v->set, i))
    return &none;
  return v->value.kind == MR_K_UINT64 && mr_view_int(&v->value, i) < 0 ? &large : NULL;
}

/* ---------------------------------------------------------------- the key, deletes of many rows */

/* MR_BADCONF: the sink's mode, or the column, has no deletes of many rows. */
static inline int ups_range_check(const struct ArrowSchema *range, bool upsert,
                                  struct mr_error *err)
{
  int status = MR_OK;
  const char *option = upsert ? "table" : "mode";
  if (!upsert)
    status = src_fail(err, MR_BADCONF, "0A000",
                      "deletes of many rows (_range) need mode: upsert; select: {drop: _range}"
                      " leaves them out");
  else if (!mr_range_valid(range))
    status = src_fail(err, MR_BADCONF, "0A000", "_range is not a struct of bounds");
  if (status < 0)
    snprintf(err->option, sizeof err->option, "%s", option);
  return status;
}
/* What the rows alone tell, before there is a connection; nothing where they are not known (not
 * released: no schema). same: 0 for two names of one column. */
static inline int ups_rows_check(const char *version, bool upsert, const struct ArrowSchema *rows,
                                 int (*same)(const char *, const char *), struct mr_error *err)
{
  const struct ArrowSchema *from = NULL;
  if (!rows->release)
    return MR_OK;
  int64_t range = mr_schema_find(rows, MR_RANGE);
  int status = range >= 0 ? ups_range_check(rows->children[range], upsert, err) : MR_OK;
  if (status < 0 || !version)
    return status;
  for (int64_t i = 0; !from && i < rows->n_children; i++)
    if (!same(rows->children[i]->name, version))
      from = rows->children[i];
  return ups_version_source(version, rows, from, true, err);
}
/* Are values of this kind ordered, in a column of text, as they are in the rows? */
static inline bool ups_text_orders(enum mr_kind from)
{
  return from == MR_K_TEXT || from == MR_K_FIXED;
}

/* One of the key's columns in a batch. */
struct ups_key {
  struct mr_view value, set;
  struct mr_range_columns range;
  bool unordered; /* the table orders its values in another way than the rows do */
};
static inline void ups_key_view(struct ups_key *k, const struct ArrowSchema *schema,
                                const struct ArrowArray *rows, int64_t at, bool unordered)
{
  const char *name = schema->children[at]->name;
  mr_view_column(&k->value, schema, rows, at);
  mr_set_view(&k->set, schema, rows, name);
  mr_range_view(&k->range, schema, rows, name);
  k->unordered = unordered;
}
/* Does a delete of many rows say what the key column is? Without `_set` by a value; that of a
 * column which cannot be bounded must be there. */
static inline bool ups_key_named(const struct ups_key *k, int64_t i)
{
  if (k->set.kind == MR_K_BOOL)
    return mr_set_has(&k->set, i);
  return k->range.column.kind != MR_K_STRUCT || !mr_view_null(&k->value, i);
}
/* NULL: the key allows to stage the row. *ret_key: the column that does not, -1: `_range` itself.
 */
static inline const struct ups_fault *ups_key_fault(const struct ups_key *key, size_t n, int64_t i,
                                                    bool deleted, int *ret_key)
{
  static const struct ups_fault unwritten = {"23502", "the row does not write its key"};
  static const struct ups_fault null = {"23502", "null in a column that is NOT NULL"};
  static const struct ups_fault many_null = {"23502", "a delete of many rows with a key of null"};
  static const struct ups_fault unordered = {
      "0A000", "the delete bounds a column that the table orders in another way"};
  static const struct ups_fault no_delete = {"22023", "_range in a row that is no delete"};
  bool many = mr_range_has(&key[0].range, i);
  *ret_key = -1;
  if (many && !deleted)
    return &no_delete;
  for (size_t k = 0; k < n; k++) {
    bool written = mr_set_has(&key[k].set, i);
    *ret_key = (int)k;
    if (many && key[k].unordered && mr_range_bounds(&key[k].range, i))
      return &unordered;
    if ((written && !mr_view_null(&key[k].value, i)) || (many && !ups_key_named(&key[k], i)))
      continue;
    return many ? &many_null : written ? &null : &unwritten;
  }
  return NULL;
}
/* Which key columns a delete of many rows names: a bit for each. */
static inline int64_t ups_key_mask(const struct ups_key *key, size_t n, int64_t i)
{
  int64_t mask = 0;
  for (size_t k = 0; k < n; k++)
    mask |= ups_key_named(&key[k], i) ? INT64_C(1) << k : 0;
  return mask;
}

#endif
