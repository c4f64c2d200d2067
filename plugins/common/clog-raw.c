/* SPDX-License-Identifier: Apache-2.0 */
#include "common/clog-raw.h"
#include <stdlib.h>
#include "common/clog-private.h"
#include "common/src-error.h"

typedef void free_fn(struct raw_named *item);

/* ---------------------------------------------------------------- lists */

struct raw_named *raw_find(const struct raw_list *list, const char *name)
{
  for (size_t i = 0; i < list->n; i++)
    if (!strcmp(list->item[i]->name, name))
      return list->item[i];
  return NULL;
}

struct raw_named *raw_get(struct raw_list *list, const char *name, size_t size)
{
  struct raw_named *item = raw_find(list, name), **more;
  if (item)
    return item;
  item = calloc(1, size);
  more = item ? realloc(list->item, (list->n + 1) * sizeof *more) : NULL;
  if (more)
    list->item = more;
  if (more)
    item->name = strdup(name);
  if (!more || !item->name) {
    free(item);
    return NULL;
  }
  item->written = CLOG_NEVER;
  return list->item[list->n++] = item;
}

static void list_done(struct raw_list *list, free_fn *done)
{
  for (size_t i = 0; i < list->n; i++) {
    done(list->item[i]);
    free(list->item[i]->name);
    free(list->item[i]);
  }
  free(list->item);
  *list = (struct raw_list){0};
}

/* Takes out what a deletion covers: the item of this name (NULL: all) if not written later. */
static void list_delete(struct raw_list *list, const char *name, int64_t written, free_fn *done)
{
  size_t kept = 0;
  for (size_t i = 0; i < list->n; i++) {
    struct raw_named *item = list->item[i];
    if ((name && strcmp(name, item->name)) || item->written > written) {
      list->item[kept++] = item;
      continue;
    }
    done(item);
    free(item->name);
    free(item);
  }
  list->n = kept;
}

static void free_column(struct raw_named *item)
{
  free(((struct raw_column *)item)->type);
}

static void free_table(struct raw_named *item)
{
  struct raw_table *t = (struct raw_table *)item;
  list_done(&t->columns, free_column);
  list_done(&t->dropped, free_column);
}

static void free_texts(char **text, size_t n)
{
  for (size_t i = 0; text && i < n; i++)
    free(text[i]);
  free(text);
}

static void free_type(struct raw_named *item)
{
  struct raw_type *t = (struct raw_type *)item;
  free_texts(t->field, t->n);
  free_texts(t->type, t->n);
}

static void free_keyspace(struct raw_named *item)
{
  struct raw_keyspace *k = (struct raw_keyspace *)item;
  list_done(&k->tables, free_table);
  list_done(&k->types, free_type);
}

void raw_done(struct raw_list *keyspaces)
{
  list_done(keyspaces, free_keyspace);
}

/* ---------------------------------------------------------------- rows */

static struct raw_keyspace *get_keyspace(struct clog_schema *s, const char *name)
{
  struct raw_keyspace *k =
      (struct raw_keyspace *)raw_get(clog_schema_raw(s), name, sizeof(struct raw_keyspace));
  if (k)
    k->touched = true;
  return k;
}

static struct raw_table *get_table(struct clog_schema *s, const char *keyspace, const char *name)
{
  struct raw_keyspace *k = get_keyspace(s, keyspace);
  return k ? (struct raw_table *)raw_get(&k->tables, name, sizeof(struct raw_table)) : NULL;
}

static void stamp(struct raw_named *item, int64_t written)
{
  if (written > item->written)
    item->written = written;
}

static void put_flag(bool *flag, int value)
{
  if (value >= 0)
    *flag = value > 0;
}

int clog_schema_put_table(struct clog_schema *self, const struct clog_table_row *row,
                          int64_t written, struct mr_error *err)
{
  struct raw_table *t = get_table(self, row->keyspace, row->table);
  if (!t)
    return src_no_memory(err);
  if (written < t->base.written) /* of an earlier table of this name */
    return MR_OK;
  stamp(&t->base, written);
  put_flag(&t->cdc, row->cdc);
  put_flag(&t->compact, row->compact);
  put_flag(&t->counter, row->counter);
  if (row->id) {
    memcpy(t->id, row->id, sizeof t->id);
    t->has_id = true;
  }
  return MR_OK;
}

static bool put_text(char **text, const char *new)
{
  if (!new || (*text && !strcmp(*text, new)))
    return true;
  char *copy = strdup(new);
  if (!copy)
    return false;
  free(*text);
  *text = copy;
  return true;
}

int clog_schema_put_column(struct clog_schema *self, const struct clog_column_row *row,
                           int64_t written, struct mr_error *err)
{
  struct raw_table *t = get_table(self, row->keyspace, row->table);
  struct raw_column *c =
      t ? (struct raw_column *)raw_get(&t->columns, row->column, sizeof(struct raw_column)) : NULL;
  if (!c || !put_text(&c->type, row->type))
    return src_no_memory(err);
  stamp(&c->base, written);
  if (row->kind >= 0) {
    c->kind = (enum clog_column_kind)row->kind;
    c->position = row->position;
    c->descending = row->descending;
  }
  return MR_OK;
}

int clog_schema_put_dropped(struct clog_schema *self, const struct clog_dropped_row *row,
                            int64_t written, struct mr_error *err)
{
  struct raw_table *t = get_table(self, row->keyspace, row->table);
  struct raw_column *c =
      t ? (struct raw_column *)raw_get(&t->dropped, row->column, sizeof(struct raw_column)) : NULL;
  if (!c || !put_text(&c->type, row->type))
    return src_no_memory(err);
  stamp(&c->base, written);
  if (row->kind >= 0)
    c->kind = (enum clog_column_kind)row->kind;
  if (row->dropped != CLOG_NEVER)
    c->dropped = row->dropped;
  return MR_OK;
}

int clog_schema_drop_column(struct clog_schema *self, const struct clog_dropped_row *row,
                            struct mr_error *err)
{
  struct raw_table *t = get_table(self, row->keyspace, row->table);
  if (!t)
    return src_no_memory(err);
  const struct raw_column *c = (struct raw_column *)raw_find(&t->columns, row->column);
  if (!c)
    return MR_OK;
  struct clog_dropped_row whole = *row;
  whole.kind = (int)c->kind;
  whole.type = c->type;
  int status = clog_schema_put_dropped(self, &whole, c->base.written, err);
  if (status == MR_OK)
    list_delete(&t->columns, row->column, INT64_MAX, free_column);
  return status;
}

static char **copy_texts(const char *const *text, size_t n)
{
  char **out = calloc(n ? n : 1, sizeof *out);
  for (size_t i = 0; out && i < n; i++)
    if (!(out[i] = strdup(text[i]))) {
      free_texts(out, n);
      return NULL;
    }
  return out;
}

int clog_schema_put_type(struct clog_schema *self, const struct clog_type_row *row, int64_t written,
                         struct mr_error *err)
{
  struct raw_keyspace *k = get_keyspace(self, row->keyspace);
  struct raw_type *t =
      k ? (struct raw_type *)raw_get(&k->types, row->name, sizeof(struct raw_type)) : NULL;
  char **field = t ? copy_texts(row->field, row->n) : NULL,
       **type = field ? copy_texts(row->type, row->n) : NULL;
  if (!type) {
    free_texts(field, row->n);
    return src_no_memory(err);
  }
  free_type(&t->base);
  stamp(&t->base, written);
  t->field = field;
  t->type = type;
  t->n = row->n;
  return MR_OK;
}

/* A table's columns have deletions of their own. */
static void delete_of_table(struct raw_table *t, enum clog_row_kind what, const char *column,
                            int64_t written)
{
  if (what == CLOG_ROW_COLUMN || what == CLOG_ROW_DROPPED)
    list_delete(what == CLOG_ROW_COLUMN ? &t->columns : &t->dropped, column, written, free_column);
  if (what == CLOG_ROW_TABLE && t->base.written <= written)
    t->has_id = t->cdc = t->compact = t->counter = false;
}

void clog_schema_delete(struct clog_schema *self, enum clog_row_kind what, const char *keyspace,
                        const char *name, const char *column, int64_t written)
{
  struct raw_keyspace *k = (struct raw_keyspace *)raw_find(clog_schema_raw(self), keyspace);
  if (!k)
    return;
  k->touched = true;
  if (what == CLOG_ROW_TYPE)
    list_delete(&k->types, name, written, free_type);
  for (size_t i = 0; i < k->tables.n; i++) {
    struct raw_table *t = (struct raw_table *)k->tables.item[i];
    if (!name || !strcmp(name, t->base.name))
      delete_of_table(t, what, column, written);
  }
}
