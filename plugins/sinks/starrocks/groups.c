/* SPDX-License-Identifier: Apache-2.0 */
/* Rows by the columns that they write: one load has one list of columns. Groups fill side by side
 * as long as their loads may go in any order: no two have rows of one key that write the same
 * column. A row that would break this goes behind what is there. */
#include "common/sql-text.h"
#include "starrocks.h"
#include "millrace/changes.h"

#define GROUPS_MAX 64 /* bits of sr_seen.groups */
#define SEEN_MIN 1024 /* places */

struct sr_seen {
  uint64_t key, groups; /* a hash, 0: free; the groups that have rows of it */
};

static void swap_rows(struct sr_sink *s, struct sr_group *g)
{
  struct sql_buf rows = s->rows;
  int64_t n = s->n_rows;
  s->rows = g->rows;
  s->n_rows = g->n_rows;
  g->rows = rows;
  g->n_rows = n;
}

void sr_groups_settle(struct sr_sink *s)
{
  if (s->at_group >= 0)
    swap_rows(s, &s->group[s->at_group]);
  s->at_group = -1;
}

void sr_groups_clear(struct sr_sink *s)
{
  sr_groups_settle(s);
  for (int i = 0; i < s->n_groups; i++) {
    free(s->group[i].use);
    sql_buf_done(&s->group[i].rows);
  }
  s->n_groups = 0;
  if (s->cap_seen > SEEN_MIN && s->n_seen < s->cap_seen / 16) { /* clearing costs what was used */
    free(s->seen);
    s->seen = NULL;
    s->cap_seen = 0;
  }
  if (s->seen)
    memset(s->seen, 0, s->cap_seen * sizeof *s->seen);
  s->n_seen = 0;
}

void sr_groups_done(struct sr_sink *s)
{
  sr_groups_clear(s);
  free(s->group);
  free(s->seen);
  free(s->use);
  s->group = NULL;
  s->seen = NULL;
  s->use = NULL;
}

/* ---------------------------------------------------------------- keys */

/* FNV-1a over the key's text; a hash that two keys share costs a load, no row. */
static uint64_t key_hash(const struct sr_encoding *e, int64_t row, struct sql_buf *text)
{
  uint64_t h = 14695981039346656037u;
  sql_buf_clear(text);
  for (int i = 0; i < e->s->n_fields; i++) {
    const struct sr_field *f = &e->s->field[i];
    if (f->column->is_key && !mr_view_null(&f->v, row))
      sql_text_value(text, &f->v, row);
    sql_buf_byte(text, 0);
  }
  for (size_t i = 0; i < text->len; i++)
    h = (h ^ text->p[i]) * 1099511628211u;
  return h ? h : 1;
}

static struct sr_seen *place(struct sr_seen *table, size_t cap, uint64_t key)
{
  size_t at = key & (cap - 1);
  while (table[at].key && table[at].key != key)
    at = (at + 1) & (cap - 1);
  return &table[at];
}

static struct sr_seen *seen_of(struct sr_sink *s, uint64_t key)
{
  if (s->n_seen * 2 >= s->cap_seen) {
    size_t cap = s->cap_seen ? s->cap_seen * 2 : SEEN_MIN;
    struct sr_seen *grown = calloc(cap, sizeof *grown);
    if (!grown)
      return NULL;
    for (size_t i = 0; i < s->cap_seen; i++)
      if (s->seen[i].key)
        *place(grown, cap, s->seen[i].key) = s->seen[i];
    free(s->seen);
    s->seen = grown;
    s->cap_seen = cap;
  }
  struct sr_seen *at = place(s->seen, s->cap_seen, key);
  s->n_seen += !at->key;
  at->key = key;
  return at;
}

/* ---------------------------------------------------------------- groups */

/* What a row writes, in s->use. */
static bool read_use(const struct sr_encoding *e, int64_t row, bool deleted)
{
  struct sr_sink *s = e->s;
  if (!s->use && !(s->use = malloc((size_t)s->n_columns + 1)))
    return false;
  for (int i = 0; i < s->n_fields; i++) {
    const struct sr_field *f = &s->field[i];
    s->use[i] = f->column->is_key || (!deleted && mr_set_has(&f->set, row));
  }
  return true;
}

static int find(const struct sr_sink *s, bool deletes)
{
  for (int i = 0; i < s->n_groups; i++)
    if (s->group[i].deletes == deletes && !memcmp(s->group[i].use, s->use, (size_t)s->n_fields))
      return i;
  return -1;
}

static int add(struct sr_sink *s, bool deletes)
{
  struct sr_group *grown = realloc(s->group, (size_t)(s->n_groups + 1) * sizeof *grown);
  uint8_t *use = malloc((size_t)s->n_fields + 1);
  if (grown)
    s->group = grown;
  if (!grown || !use) {
    free(use);
    return -1;
  }
  memcpy(use, s->use, (size_t)s->n_fields);
  grown[s->n_groups] = (struct sr_group){.use = use, .deletes = deletes};
  return s->n_groups++;
}

static bool meet(const struct sr_sink *s, const struct sr_group *a, bool deletes)
{
  if (a->deletes || deletes)
    return true;
  for (int i = 0; i < s->n_fields; i++)
    if (a->use[i] && s->use[i] && !s->field[i].column->is_key)
      return true;
  return false;
}

/* Has another group rows of that key which this row would have to stay behind? */
static bool is_behind(const struct sr_sink *s, uint64_t groups, int own, bool deletes)
{
  for (int i = 0; i < s->n_groups; i++)
    if (i != own && groups >> i & 1 && meet(s, &s->group[i], deletes))
      return true;
  return false;
}

static void enter(struct sr_sink *s, int group)
{
  if (s->at_group == group)
    return;
  sr_groups_settle(s);
  swap_rows(s, &s->group[group]);
  s->at_group = group;
}

int sr_group_find(const struct sr_encoding *e, int64_t row, struct mr_error *err)
{
  struct sr_sink *s = e->s;
  bool partial = s->set_source >= 0;
  if (!partial && s->at_group >= 0)
    return MR_OK; /* one group has them all */
  bool deletes = partial && e->ops && sr_is_delete(e, row);
  if (!read_use(e, row, deletes))
    return src_no_memory(err);
  int at = find(s, deletes);
  if (partial) {
    struct sql_buf text = {0};
    struct sr_seen *seen = seen_of(s, key_hash(e, row, &text));
    bool failed = !seen || text.failed;
    sql_buf_done(&text);
    if (failed)
      return src_no_memory(err);
    if ((at < 0 && s->n_groups == GROUPS_MAX) || is_behind(s, seen->groups, at, deletes))
      return MR_MORE;
    if (at < 0 && (at = add(s, deletes)) < 0)
      return src_no_memory(err);
    seen->groups |= (uint64_t)1 << at;
  } else if (at < 0 && (at = add(s, false)) < 0) {
    return src_no_memory(err);
  }
  enter(s, at);
  return MR_OK;
}
