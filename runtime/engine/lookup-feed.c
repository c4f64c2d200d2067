/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a lookup under construction, and the journal that a load is continued from. */
#include <sys/eventfd.h>
#include "engine/lookup-private.h"

#define RESUME_MAX_US INT64_C(3600000000) /* a load that began earlier is begun anew */
#define GARBAGE_MIN 65536                 /* replaced rows that are never worth a compaction */

/* ---- feeds: the tables under construction */

void mr_lookup_feed_free(void *p)
{
  struct mr_lookup_feed *f = p;
  mr_table_unref(f->table);
  g_free(f->pick);
  g_free(f->read);
  g_free(f);
}

/* The first n columns of a view as a schema. */
static bool view_schema(struct mr_lookup_source *s, const struct mr_lookup_view *v, int64_t n,
                        struct ArrowSchema *ret)
{
  bool ok = mr_schema_struct(ret);
  for (int64_t i = 0; ok && i < n; i++) {
    struct ArrowSchema c;
    int64_t at = mr_schema_find(&s->columns, v->columns->pdata[i]);
    ok = mr_schema_copy(s->columns.children[at], &c) && mr_schema_add(ret, &c);
    if (!ok)
      mr_schema_release(&c);
  }
  return ok;
}

static struct mr_lookup_feed *feed_new(struct mr_lookup_source *s, struct mr_lookup_view *v,
                                       int64_t n)
{
  struct ArrowSchema schema;
  struct mr_lookup_feed *f = g_new0(struct mr_lookup_feed, 1);
  f->view = v;
  f->n = n;
  f->pick = g_new0(int64_t, n);
  f->read = g_new0(struct mr_view, n);
  if (view_schema(s, v, n, &schema))
    f->table = mr_table_new(&schema, v->n_keys, s->seed);
  mr_schema_release(&schema);
  if (f->table)
    return f;
  mr_lookup_feed_free(f);
  return NULL;
}

static void clear_wake(struct mr_lookup_source *s)
{
  eventfd_t n;
  if (eventfd_read(s->wake_fd, &n) < 0)
    return; /* nobody woke */
}

/* Fresh tables for all views. */
static int make_feeds(struct mr_lookup_source *s, struct mr_error *err)
{
  int rc = MR_OK;
  g_ptr_array_set_size(s->feeds, 0);
  pthread_mutex_lock(&s->lock);
  s->reload = false;
  clear_wake(s);
  for (guint i = 0; rc >= 0 && i < s->views->len; i++) {
    struct mr_lookup_view *v = s->views->pdata[i];
    struct mr_lookup_feed *f = feed_new(s, v, v->columns->len);
    if (f)
      g_ptr_array_add(s->feeds, f);
    else
      rc = mr_fail(err, MR_FATAL, "out of memory");
  }
  pthread_mutex_unlock(&s->lock);
  return rc;
}

void mr_lookup_pick(struct mr_lookup_source *s, const struct ArrowSchema *from)
{
  for (guint i = 0; i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    pthread_mutex_lock(&s->lock); /* the list grows in other threads */
    for (int64_t k = 0; k < f->n; k++)
      f->pick[k] = mr_schema_find(from, f->view->columns->pdata[k]);
    pthread_mutex_unlock(&s->lock);
  }
}

int mr_lookup_feed_rows(struct mr_lookup_source *s, const struct mr_view *column,
                        const uint8_t *deleted, int64_t n, struct mr_error *err)
{
  int rc = MR_OK;
  for (guint i = 0; rc >= 0 && i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    for (int64_t k = 0; k < f->n; k++)
      f->read[k] = column[f->pick[k]];
    if (f->shown)
      mr_table_write(f->table);
    rc = mr_table_apply(f->table, f->read, deleted, n, err);
    if (f->shown)
      mr_table_unlock(f->table);
  }
  return rc;
}

void mr_lookup_show(struct mr_lookup_source *s)
{
  pthread_mutex_lock(&s->lock);
  for (guint i = 0; i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    mr_table_unref(f->view->table);
    f->view->table = mr_table_ref(f->table);
    f->view->table_columns = f->n;
    f->shown = true;
  }
  s->ready = true;
  s->unreachable = false;
  s->loaded_us = mr_now_us(s->os);
  pthread_mutex_unlock(&s->lock);
}

/* ---- the journal: trouble with it costs a full load after a restart, never the lookup */

void mr_lookup_journal_failed(struct mr_lookup_source *s, const struct mr_error *err)
{
  mr_lookup_log(s, MR_WARN, "%s: the load cannot be continued after a restart", err->msg);
  mr_journal_drop(s->journal);
}

/* The columns that any view holds, in the source's order. */
static bool journal_schema(struct mr_lookup_source *s, struct ArrowSchema *ret)
{
  bool ok = mr_schema_struct(ret);
  for (int64_t i = 0; ok && i < s->columns.n_children; i++) {
    bool used = false;
    for (guint v = 0; v < s->views->len; v++)
      used |=
          g_ptr_array_find_with_equal_func(((struct mr_lookup_view *)s->views->pdata[v])->columns,
                                           s->columns.children[i]->name, g_str_equal, NULL);
    struct ArrowSchema c;
    if (!used)
      continue;
    ok = mr_schema_copy(s->columns.children[i], &c) && mr_schema_add(ret, &c);
    if (!ok)
      mr_schema_release(&c);
  }
  return ok;
}

static void set_lane(struct mr_lookup_source *s, const char *name, const struct mr_position *at)
{
  uint32_t id;
  struct mr_lookup_lane *lane = mr_lookup_lane(s, name, &id);
  lane->has = true;
  lane->at = *at;
}

static int on_journal_rows(void *out, const char *lane, const struct mr_position *upto,
                           const struct ArrowSchema *columns, const struct ArrowArray *rows,
                           const uint8_t *deleted, struct mr_error *err)
{
  struct mr_lookup_source *s = out;
  g_autofree struct mr_view *column = g_new0(struct mr_view, columns->n_children);
  for (int64_t i = 0; i < columns->n_children; i++)
    mr_view_column(&column[i], columns, rows, i);
  mr_lookup_pick(s, columns);
  set_lane(s, lane, upto);
  return mr_lookup_feed_rows(s, column, deleted, rows->length, err);
}

void mr_lookup_forget_lanes(struct mr_lookup_source *s)
{
  for (guint i = 0; i < s->lanes->len; i++)
    g_array_index(s->lanes, struct mr_lookup_lane, i).has = false;
}

/* Goes on where the journal ends, or begins a new one. true: its load was complete. */
static int resume(struct mr_lookup_source *s, bool fresh, bool *ret_loaded, struct mr_error *err)
{
  struct ArrowSchema need;
  struct mr_journal_state state = {0};
  int64_t now = s->os->wall_us(s->os),
          max = s->spec->refresh_ms ? s->spec->refresh_ms * 1000 : RESUME_MAX_US;
  *ret_loaded = false;
  if (!s->journal)
    return MR_OK;
  pthread_mutex_lock(&s->lock);
  bool ok = journal_schema(s, &need);
  pthread_mutex_unlock(&s->lock);
  int rc = !ok ? mr_fail(err, MR_FATAL, "out of memory")
           : fresh
               ? MR_IDLE
               : mr_journal_resume(s->journal, &need, &s->columns, on_journal_rows, s, &state, err);
  bool stale = state.loaded ? s->spec->refresh_ms > 0
                            : now - state.started_us > max || now < state.started_us;
  if (rc == MR_OK && stale) {
    rc = make_feeds(s, err);
    rc = rc < 0 ? rc : MR_IDLE;
  }
  if (rc == MR_IDLE) {
    mr_lookup_forget_lanes(s);
    rc = mr_journal_begin(s->journal, &need, now, false, err);
  } else if (rc == MR_OK) {
    *ret_loaded = state.loaded;
  }
  mr_schema_release(&need);
  return rc;
}

/* What was read again from the journal may have come half way when that failed: everything is made
 * anew. */
int mr_lookup_begin(struct mr_lookup_source *s, bool fresh, bool *ret_loaded, struct mr_error *err)
{
  mr_lookup_forget_lanes(s);
  int rc = make_feeds(s, err);
  if (rc < 0 || resume(s, fresh, ret_loaded, err) >= 0)
    return rc;
  mr_lookup_journal_failed(s, err);
  *ret_loaded = false;
  mr_lookup_forget_lanes(s);
  return make_feeds(s, err);
}

static int journal_copy(void *out, const struct mr_view *column, const int64_t *row, int64_t n,
                        struct mr_error *err)
{
  struct mr_lookup_source *s = out;
  struct mr_lookup_feed *f = s->feeds->pdata[0];
  struct ArrowSchema schema;
  struct mr_position none = {0};
  pthread_mutex_lock(&s->lock);
  bool ok = view_schema(s, f->view, f->n, &schema);
  pthread_mutex_unlock(&s->lock);
  int rc = ok ? mr_journal_rows(s->journal, "", &none, &schema, column, row, n, NULL, err)
              : mr_fail(err, MR_FATAL, "out of memory");
  mr_schema_release(&schema);
  return rc;
}

/* Replaces the journal of a followed table by one of its live rows. */
static int journal_rewrite(struct mr_lookup_source *s, struct mr_error *err)
{
  struct mr_lookup_feed *f = s->feeds->pdata[0];
  struct ArrowSchema schema;
  pthread_mutex_lock(&s->lock);
  bool ok = view_schema(s, f->view, f->n, &schema);
  pthread_mutex_unlock(&s->lock);
  int rc = ok ? mr_journal_begin(s->journal, &schema, s->os->wall_us(s->os), true, err)
              : mr_fail(err, MR_FATAL, "out of memory");
  if (rc >= 0)
    rc = mr_table_each(f->table, journal_copy, s, err);
  for (guint i = 0; rc >= 0 && i < s->lanes->len; i++) {
    const struct mr_lookup_lane *l = &g_array_index(s->lanes, struct mr_lookup_lane, i);
    if (l->has && *l->name)
      rc = mr_journal_rows(s->journal, l->name, &l->at, &schema, NULL, NULL, 0, NULL, err);
  }
  mr_schema_release(&schema);
  if (rc >= 0)
    rc = mr_journal_loaded(s->journal, err);
  return rc < 0 ? rc : mr_journal_switch(s->journal, err);
}

/* ---- compaction of followed tables */

static int copy_rows(void *out, const struct mr_view *column, const int64_t *row, int64_t n,
                     struct mr_error *err)
{
  struct mr_lookup_feed *f = out;
  int rc = MR_OK;
  for (int64_t i = 0; rc >= 0 && i < n;) {
    int64_t run = 1; /* rows that stand next to each other go in one call */
    while (i + run < n && row[i + run] == row[i] + run)
      run++;
    for (int64_t k = 0; k < f->n; k++) {
      f->read[k] = column[k];
      f->read[k].offset += row[i];
    }
    rc = mr_table_apply(f->table, f->read, NULL, run, err);
    i += run;
  }
  return rc;
}

static int compact(struct mr_lookup_source *s, struct mr_lookup_feed *f, struct mr_error *err)
{
  pthread_mutex_lock(&s->lock);
  struct mr_lookup_feed *to = feed_new(s, f->view, f->n);
  pthread_mutex_unlock(&s->lock);
  if (!to)
    return mr_fail(err, MR_FATAL, "out of memory");
  int rc = mr_table_each(f->table, copy_rows, to, err); /* only this thread writes: no lock */
  if (rc >= 0) {
    mr_table_trim(to->table);
    struct mr_table *old = f->table;
    f->table = to->table;
    to->table = old;
  }
  mr_lookup_feed_free(to);
  return rc;
}

int mr_lookup_compact(struct mr_lookup_source *s, struct mr_error *err)
{
  bool any = false;
  for (guint i = 0; i < s->feeds->len; i++) {
    struct mr_lookup_feed *f = s->feeds->pdata[i];
    struct mr_table_size size = mr_table_size(f->table);
    if (size.rows - size.live < GARBAGE_MIN || size.rows < 2 * size.live)
      continue;
    int rc = compact(s, f, err);
    if (rc < 0)
      return rc;
    any = true;
  }
  if (!any)
    return MR_OK;
  mr_lookup_show(s);
  /* several tables with different keys do not fold into one list of rows: their journal keeps
   * growing until the next full load */
  if (mr_journal_is_open(s->journal) && s->feeds->len == 1 && journal_rewrite(s, err) < 0) {
    mr_lookup_journal_failed(s, err);
    mr_error_clear(err);
  }
  return MR_OK;
}
