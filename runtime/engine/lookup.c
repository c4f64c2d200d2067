/* SPDX-License-Identifier: Apache-2.0 */
/* The lookup service: who asks for what, and the answers. The loading is in lookup-load.c. */
#include "engine/lookup.h"
#include <sys/eventfd.h>
#include <unistd.h>
#include "data/types.h"
#include "engine/lookup-private.h"
#include "plug/plug.h"

#define FIND_WAIT_US 50000
#define FIND_RETRY_MS 20

struct mr_lookup {
  struct mr_lookup_source *source;
  struct mr_lookup_view *view;
  struct ArrowSchema keys; /* as they are given to find, in the view's order */
  int64_t *key;            /* child of the caller's struct for each key column */
  int64_t n_keys, n;
  int64_t *column;        /* of the view, for each wanted one */
  struct ArrowSchema row; /* what find gives */
};

/* ---- telling */

void mr_lookup_log(struct mr_lookup_source *s, int level, const char *fmt, ...)
{
  va_list ap;
  va_start(ap, fmt);
  g_autofree char *text = g_strdup_vprintf(fmt, ap);
  va_end(ap);
  if (s->all->hooks.log)
    s->all->hooks.log(s->all->hooks.ctx, level, s->spec->name, text);
}

/* Under lock; the sizes of a table that is being written are those of a moment ago at worst. */
static void fill_info(struct mr_lookup_source *s, struct mr_lookup_info *ret)
{
  *ret = (struct mr_lookup_info){.name = s->spec->name,
                                 .state = s->state,
                                 .text = s->text ? s->text : "",
                                 .rows = s->rows,
                                 .rejected = s->rejected,
                                 .age_us = s->loaded_us ? mr_now_us(s->os) - s->loaded_us : -1,
                                 .following = s->following};
  for (guint i = 0; i < s->views->len; i++) {
    struct mr_lookup_view *v = s->views->pdata[i];
    if (!v->table)
      continue;
    mr_table_read(v->table);
    struct mr_table_size size = mr_table_size(v->table);
    mr_table_unlock(v->table);
    ret->keys += size.live;
    ret->bytes += size.bytes;
  }
}

void mr_lookup_tell(struct mr_lookup_source *s, enum mr_lookup_state state, const char *fmt, ...)
{
  struct mr_lookup_info info;
  g_autofree char *text = NULL;
  if (fmt) {
    va_list ap;
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
  }
  pthread_mutex_lock(&s->lock);
  s->state = state;
  fill_info(s, &info);
  g_free(s->text);
  s->text =
      text ? g_steal_pointer(&text)
           : g_strdup_printf("%lld keys, %.1f MB", (long long)info.keys, (double)info.bytes / 1e6);
  g_autofree char *copy = g_strdup(s->text);
  pthread_mutex_unlock(&s->lock);
  info.text = copy;
  if (s->all->hooks.state)
    s->all->hooks.state(s->all->hooks.ctx, &info);
  s->os->wake(s->os, &s->all->changed);
}

void mr_lookups_each(struct mr_lookups *l,
                     void (*each)(void *out, const struct mr_lookup_info *lend), void *out)
{
  for (guint i = 0; i < l->sources->len; i++) {
    struct mr_lookup_source *s = l->sources->pdata[i];
    struct mr_lookup_info info;
    pthread_mutex_lock(&s->lock);
    fill_info(s, &info);
    g_autofree char *text = g_strdup(info.text);
    pthread_mutex_unlock(&s->lock);
    info.text = text;
    each(out, &info);
  }
}

/* ---- the columns of a source */

/* System columns are in the table when somebody names them; _op says what becomes of a row. */
static bool is_own(const struct mr_lookup_source *s, const char *name)
{
  bool named = s->wants && g_strv_contains((const char *const *)s->wants, name);
  return name[0] != '_' || (named && strcmp(name, "_op"));
}

static bool own_columns(const struct mr_lookup_source *s, const struct ArrowSchema *schema,
                        struct ArrowSchema *ret)
{
  bool ok = mr_schema_struct(ret);
  for (int64_t i = 0; ok && i < schema->n_children; i++) {
    struct ArrowSchema c;
    if (!is_own(s, schema->children[i]->name))
      continue;
    ok = mr_schema_copy(schema->children[i], &c) && mr_schema_add(ret, &c);
    if (!ok)
      mr_schema_release(&c);
  }
  return ok;
}

/* The tables' columns must stay what they were when they were asked for. */
static int check_columns(const struct ArrowSchema *have, const struct ArrowSchema *now,
                         struct mr_error *err)
{
  for (int64_t i = 0; i < have->n_children; i++) {
    const char *name = have->children[i]->name;
    int64_t at = mr_schema_find(now, name);
    if (at < 0)
      return mr_fail(err, MR_FATAL, "its column `%s` is gone", name);
    if (!mr_type_equal(have->children[i], now->children[at]))
      return mr_fail(err, MR_FATAL, "the type of its column `%s` has changed", name);
  }
  return MR_OK;
}

int mr_lookup_learn(struct mr_lookup_source *s, struct mr_error *err)
{
  struct ArrowSchema now = {0}, columns;
  int rc = mr_lookup_vt(s)->schema(s->self, &now, err);
  if (rc == MR_OK && (rc = mr_lookup_takes(&now, err)) < 0)
    mr_schema_release(&now);
  if (rc != MR_OK)
    return rc;
  mr_schema_release(&s->schema);
  mr_schema_move(&now, &s->schema);
  if (s->known)
    return check_columns(&s->columns, &s->schema, err);
  if (!own_columns(s, &s->schema, &columns)) {
    mr_schema_release(&columns);
    return mr_fail(err, MR_FATAL, "out of memory");
  }
  pthread_mutex_lock(&s->lock);
  mr_schema_move(&columns, &s->columns);
  s->known = true;
  pthread_mutex_unlock(&s->lock);
  s->os->wake(s->os, &s->all->changed);
  return MR_OK;
}

/* ---- the service as a whole */

static void view_free(void *p)
{
  struct mr_lookup_view *v = p;
  g_ptr_array_unref(v->columns);
  mr_table_unref(v->table);
  g_free(v);
}

static void source_free(void *p)
{
  struct mr_lookup_source *s = p;
  mr_lookup_disconnect(s);
  if (s->wake_fd >= 0)
    close(s->wake_fd);
  for (guint i = 0; i < s->lanes->len; i++)
    g_free(g_array_index(s->lanes, struct mr_lookup_lane, i).name);
  g_array_unref(s->lanes);
  g_ptr_array_unref(s->feeds);
  g_ptr_array_unref(s->views);
  mr_schema_release(&s->schema);
  mr_schema_release(&s->columns);
  mr_journal_free(s->journal);
  g_strfreev(s->wants);
  g_ptr_array_unref(s->asked);
  pthread_mutex_destroy(&s->lock);
  g_free(s->text);
  g_free(s);
}

/* What a journal must have been written for: the plugin and the options in effect, secrets left
 * out. */
static char *fingerprint(const struct mr_lookups *l, const struct mr_stage_spec *spec)
{
  GString *out = g_string_new(spec->plugin->name);
  if (!l->spec->own)
    return g_string_free(out, FALSE);
  const GPtrArray *values = mr_spec_values(l->spec); /* lent */
  g_autofree char *prefix = g_strconcat(spec->name, ".", NULL);
  for (guint i = 0; i < values->len; i++) {
    const struct mr_value *v = values->pdata[i];
    if (g_str_has_prefix(v->path, prefix))
      g_string_append_printf(out, "\n%s=%s", v->path, v->text);
  }
  return g_string_free(out, FALSE);
}

static struct mr_lookup_source *source_new(struct mr_lookups *l, const struct mr_stage_spec *spec)
{
  struct mr_lookup_source *s = g_new0(struct mr_lookup_source, 1);
  s->all = l;
  s->spec = spec;
  s->os = l->hooks.os;
  s->seed[0] = s->os->random(s->os);
  s->seed[1] = s->os->random(s->os);
  s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  s->lanes = g_array_new(FALSE, FALSE, sizeof(struct mr_lookup_lane));
  s->feeds = g_ptr_array_new_with_free_func(mr_lookup_feed_free);
  s->views = g_ptr_array_new_with_free_func(view_free);
  s->asked = g_ptr_array_new();
  s->op = -1;
  if (l->hooks.wants)
    s->wants = l->hooks.wants(l->spec, spec);
  pthread_mutex_init(&s->lock, NULL);
  if (l->hooks.dir) {
    g_autofree char *print = fingerprint(l, spec);
    s->journal = mr_journal_new(l->hooks.dir, spec->name, print);
  }
  return s;
}

/* An option path of the lookup's own becomes one of the file's. */
static int name_option(const struct mr_stage_spec *spec, int rc, struct mr_error *err)
{
  g_autofree char *option = g_strdup(err->option);
  if (rc < 0)
    g_snprintf(err->option, sizeof err->option, "%s%s%s", spec->name, *option ? "." : "", option);
  return rc;
}

struct mr_lookups *mr_lookups_new(const struct mr_spec *spec, const struct mr_lookup_hooks *hooks,
                                  struct mr_error *err)
{
  struct mr_lookups *l = g_new0(struct mr_lookups, 1);
  l->spec = spec;
  l->hooks = *hooks;
  l->sources = g_ptr_array_new_with_free_func(source_free);
  for (guint i = 0; spec->lookups && i < spec->lookups->len; i++) {
    struct mr_lookup_source *s = source_new(l, spec->lookups->pdata[i]);
    g_ptr_array_add(l->sources, s);
    int rc = mr_lookup_connect(s, true, err);
    if (rc >= 0)
      rc = mr_lookup_learn(s, err);
    if (name_option(s->spec, rc, err) < 0) {
      mr_lookups_free(l);
      return NULL;
    }
  }
  return l;
}

int mr_lookups_start(struct mr_lookups *l, struct mr_error *err)
{
  l->started = true;
  for (guint i = 0; i < l->sources->len; i++) {
    struct mr_lookup_source *s = l->sources->pdata[i];
    g_autofree char *name = g_strconcat("lk-", s->spec->name, NULL);
    s->thread = s->os->spawn(s->os, mr_lookup_run, s, name);
    if (!s->thread)
      return mr_fail(err, MR_FATAL, "no thread for lookup `%s`", s->spec->name);
  }
  return MR_OK;
}

void mr_lookups_stop(struct mr_lookups *l)
{
  for (guint i = 0; i < l->sources->len; i++) {
    struct mr_lookup_source *s = l->sources->pdata[i];
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_mutex_unlock(&s->lock);
    mr_lookup_wake(s);
  }
  if (l->sources->len)
    l->hooks.os->wake(l->hooks.os, &l->changed);
  for (guint i = 0; i < l->sources->len; i++) {
    struct mr_lookup_source *s = l->sources->pdata[i];
    if (s->thread)
      s->os->join(s->os, s->thread);
    s->thread = NULL;
  }
}

void mr_lookups_free(struct mr_lookups *l)
{
  if (!l)
    return;
  mr_lookups_stop(l);
  g_ptr_array_unref(l->sources);
  g_free(l);
}

/* ---- waiting */

bool mr_lookup_complete(const struct mr_lookup_source *s)
{
  bool all = true;
  for (guint i = 0; i < s->views->len; i++) {
    const struct mr_lookup_view *v = s->views->pdata[i];
    all &= v->table && v->table_columns == v->columns->len;
  }
  return all;
}

/* Under lock. MR_OK: its tables can be read. MR_IDLE: nobody asked. */
static int readiness(struct mr_lookup_source *s, struct mr_error *err)
{
  const char *text = s->text ? s->text : "connecting";
  if (s->failed) {
    err->unreachable = s->unreachable;
    return mr_fail(err, s->failed, "lookup `%s`: %s", s->spec->name, text);
  }
  if (!s->views->len)
    return MR_IDLE;
  if (mr_lookup_complete(s))
    return MR_OK;
  err->unreachable = s->unreachable;
  err->retry_ms = FIND_RETRY_MS;
  return mr_fail(err, MR_RETRY, "lookup `%s`: %s", s->spec->name, s->stopping ? "stopping" : text);
}

/* The first that is not ready. */
static int all_ready(struct mr_lookups *l, struct mr_error *err)
{
  int rc = MR_OK;
  for (guint i = 0; rc >= 0 && i < l->sources->len; i++) {
    struct mr_lookup_source *s = l->sources->pdata[i];
    mr_error_clear(err);
    pthread_mutex_lock(&s->lock);
    rc = readiness(s, err);
    pthread_mutex_unlock(&s->lock);
  }
  return rc < 0 ? rc : MR_OK;
}

int mr_lookups_ready(struct mr_lookups *l, int64_t timeout_us, struct mr_error *err)
{
  struct mr_os *os = l->hooks.os;
  int64_t until = mr_now_us(os) + timeout_us;
  for (;;) {
    uint32_t seen = mr_event_seen(&l->changed);
    int rc = all_ready(l, err);
    int64_t left = until - mr_now_us(os);
    if (rc != MR_RETRY || left <= 0)
      return rc;
    os->wait(os, &l->changed, seen, left);
  }
}

/* Waits for the columns. MR_IDLE: not known, and nobody is asking. */
static int wait_known(struct mr_lookup_source *s, struct mr_error *err)
{
  for (;;) {
    uint32_t seen = mr_event_seen(&s->all->changed);
    pthread_mutex_lock(&s->lock);
    bool known = s->known, stop = s->stopping;
    int rc = known ? MR_OK : readiness(s, err);
    pthread_mutex_unlock(&s->lock);
    if (known)
      return MR_OK;
    if (!s->all->started)
      return MR_IDLE;
    if (rc < 0 && rc != MR_RETRY)
      return rc;
    if (stop)
      return mr_fail(err, MR_FATAL, "lookup `%s`: stopped before its source answered",
                     s->spec->name);
    s->os->wait(s->os, &s->all->changed, seen, -1);
  }
}

/* ---- handles */

static struct mr_lookup_source *find_source(struct mr_lookups *l, const char *name)
{
  for (guint i = 0; i < l->sources->len; i++) {
    struct mr_lookup_source *s = l->sources->pdata[i];
    if (!strcmp(s->spec->name, name))
      return s;
  }
  return NULL;
}

static int check_keys(const struct mr_lookup_source *s, const struct ArrowSchema *keys,
                      struct mr_error *err)
{
  if (!keys->n_children)
    return mr_fail(err, MR_BADCONF, "no key column");
  for (int64_t i = 0; i < keys->n_children; i++) {
    const struct ArrowSchema *key = keys->children[i];
    char a[128], b[128];
    int64_t at = mr_schema_find(&s->columns, key->name);
    if (at < 0)
      return mr_fail(err, MR_BADCONF, "lookup `%s` has no column `%s`", s->spec->name, key->name);
    const struct ArrowSchema *have = s->columns.children[at];
    mr_type_name(have, a, sizeof a);
    mr_type_name(key, b, sizeof b);
    if (!mr_table_key_ok(have))
      return mr_fail(err, MR_BADCONF, "column `%s` of lookup `%s` is %s: that cannot be a key",
                     key->name, s->spec->name, a);
    if (!mr_table_key_fits(have, key))
      return mr_fail(err, MR_BADCONF,
                     "column `%s` of lookup `%s` is %s, what is looked up is %s: cast one of them",
                     key->name, s->spec->name, a, b);
  }
  return MR_OK;
}

/* The names in the keys' metadata, else every column. */
static GPtrArray *wanted(const struct mr_lookup_source *s, const struct ArrowSchema *keys)
{
  size_t len = 0;
  const char *text = mr_schema_meta(keys, MR_META_WANT, &len);
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  for (int64_t i = 0; !text && i < s->columns.n_children; i++)
    g_ptr_array_add(names, g_strdup(s->columns.children[i]->name));
  while (text && len) {
    const char *end = memchr(text, '\n', len);
    size_t n = end ? (size_t)(end - text) : len;
    g_ptr_array_add(names, g_strndup(text, n));
    text += n;
    len -= n;
    if (end) {
      text++;
      len--;
    }
  }
  return names;
}

static int make_row(const struct mr_lookup_source *s, const GPtrArray *names,
                    struct ArrowSchema *ret, struct mr_error *err)
{
  bool ok = mr_schema_struct(ret);
  ret->flags |= ARROW_FLAG_NULLABLE;
  for (guint i = 0; ok && i < names->len; i++) {
    struct ArrowSchema c;
    int64_t at = mr_schema_find(&s->columns, names->pdata[i]);
    if (at < 0)
      return mr_fail(err, MR_BADCONF, "lookup `%s` has no column `%s`", s->spec->name,
                     (char *)names->pdata[i]);
    ok = mr_schema_copy(s->columns.children[at], &c);
    c.flags |= ARROW_FLAG_NULLABLE;
    ok = ok && mr_schema_add(ret, &c);
    if (!ok)
      mr_schema_release(&c);
  }
  return ok ? MR_OK : mr_fail(err, MR_FATAL, "out of memory");
}

static int compare_names(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The key columns in one order, whatever order they are asked in: the same set, the same table. */
static GPtrArray *sorted_keys(const struct ArrowSchema *keys)
{
  GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
  for (int64_t i = 0; i < keys->n_children; i++)
    g_ptr_array_add(names, g_strdup(keys->children[i]->name));
  g_ptr_array_sort(names, compare_names);
  return names;
}

/* Under lock. The view with these keys, made when it is missing. */
static struct mr_lookup_view *view_for(struct mr_lookup_source *s, GPtrArray *keys)
{
  for (guint i = 0; i < s->views->len; i++) {
    struct mr_lookup_view *v = s->views->pdata[i];
    bool same = v->n_keys == keys->len;
    for (guint k = 0; same && k < keys->len; k++)
      same = !strcmp(v->columns->pdata[k], keys->pdata[k]);
    if (same)
      return v;
  }
  struct mr_lookup_view *v = g_new0(struct mr_lookup_view, 1);
  v->n_keys = keys->len;
  v->columns = g_ptr_array_ref(keys);
  g_ptr_array_add(s->views, v);
  return v;
}

/* Under lock. The column's index in the view; a new one goes behind. */
static int64_t view_column(struct mr_lookup_view *v, const char *name)
{
  guint at;
  if (g_ptr_array_find_with_equal_func(v->columns, name, g_str_equal, &at))
    return at;
  g_ptr_array_add(v->columns, g_strdup(name));
  return v->columns->len - 1;
}

/* Makes sure that the tables will have what is asked for. */
static void subscribe(struct mr_lookup_source *s, struct mr_lookup *h,
                      const struct ArrowSchema *keys, const GPtrArray *names)
{
  g_autoptr(GPtrArray) sorted = sorted_keys(keys);
  pthread_mutex_lock(&s->lock);
  guint views = s->views->len;
  h->view = view_for(s, sorted);
  guint columns = h->view->columns->len;
  for (int64_t i = 0; i < h->n_keys; i++)
    h->key[i] = mr_schema_find(keys, h->view->columns->pdata[i]);
  for (guint i = 0; i < names->len; i++)
    h->column[i] = view_column(h->view, names->pdata[i]);
  bool more = s->views->len > views || h->view->columns->len > columns;
  if (more)
    s->reload = true;
  pthread_mutex_unlock(&s->lock);
  if (more)
    mr_lookup_wake(s);
}

int mr_lookup_open(struct mr_lookups *l, const char *name, const struct ArrowSchema *keys,
                   struct mr_lookup **ret, struct ArrowSchema *give_row, struct mr_error *err)
{
  struct mr_lookup_source *s = find_source(l, name);
  struct ArrowSchema copy;
  if (!s)
    return mr_fail(err, MR_BADCONF, "no lookup `%s`", name);
  int rc = wait_known(s, err);
  if (rc != MR_OK || (rc = check_keys(s, keys, err)) < 0)
    return rc;
  g_autoptr(GPtrArray) names = wanted(s, keys);
  struct mr_lookup *h = g_new0(struct mr_lookup, 1);
  h->source = s;
  h->n_keys = keys->n_children;
  h->n = names->len;
  h->key = g_new0(int64_t, h->n_keys);
  h->column = g_new0(int64_t, h->n + 1);
  rc = make_row(s, names, &h->row, err);
  if (rc >= 0 && (!mr_schema_copy(keys, &h->keys) || !mr_schema_copy(&h->row, &copy)))
    rc = mr_fail(err, MR_FATAL, "out of memory");
  if (rc < 0) {
    mr_lookup_close(h);
    return rc;
  }
  subscribe(s, h, keys, names);
  *give_row = copy;
  *ret = h;
  return MR_OK;
}

void mr_lookup_close(struct mr_lookup *h)
{
  if (!h)
    return;
  mr_schema_release(&h->keys);
  mr_schema_release(&h->row);
  g_free(h->key);
  g_free(h->column);
  g_free(h);
}

/* ---- find */

/* Does the view's table have every column that the handle wants? Under lock. */
static bool table_serves(const struct mr_lookup *h)
{
  const struct mr_lookup_view *v = h->view;
  bool ok = v->table != NULL;
  for (int64_t i = 0; ok && i < h->n; i++)
    ok = h->column[i] < v->table_columns;
  return ok;
}

/* A reference to the table as it is now. NULL with *ret_status when there is none (yet). */
static struct mr_table *take_table(struct mr_lookup *h, int *ret_status, struct mr_error *err)
{
  struct mr_lookup_source *s = h->source;
  struct mr_table *t = NULL;
  pthread_mutex_lock(&s->lock);
  *ret_status = MR_OK;
  if (table_serves(h))
    t = mr_table_ref(h->view->table);
  else
    *ret_status = readiness(s, err);
  pthread_mutex_unlock(&s->lock);
  return t;
}

static struct mr_table *wait_table(struct mr_lookup *h, int *ret_status, struct mr_error *err)
{
  struct mr_lookup_source *s = h->source;
  uint32_t seen = mr_event_seen(&s->all->changed);
  struct mr_table *t = take_table(h, ret_status, err);
  if (t || *ret_status != MR_RETRY)
    return t;
  s->os->wait(s->os, &s->all->changed, seen, FIND_WAIT_US);
  mr_error_clear(err);
  return take_table(h, ret_status, err);
}

/* A bit for each row that was found; NULL: all were, or no memory (*ret_ok). */
static uint8_t *found_bits(const uint32_t *row, int64_t n, int64_t *ret_missing, bool *ret_ok)
{
  *ret_missing = 0;
  for (int64_t i = 0; i < n; i++)
    *ret_missing += row[i] == MR_TABLE_MISSING;
  *ret_ok = true;
  if (!*ret_missing)
    return NULL;
  uint8_t *bits = mr_buf_alloc((n + 7) / 8);
  *ret_ok = bits != NULL;
  for (int64_t i = 0; bits && i < n; i++)
    mr_bit_set(bits, i, row[i] != MR_TABLE_MISSING);
  return bits;
}

/* Gathers the wanted columns; the table is locked for reading. */
static bool gather(const struct mr_lookup *h, const struct mr_table *t, const uint32_t *row,
                   int64_t n, struct ArrowArray *give)
{
  g_autofree struct mr_column *c = g_new0(struct mr_column, h->n + 1);
  bool ok = true;
  for (int64_t i = 0; ok && i < h->n; i++)
    ok = mr_column_init(&c[i], h->row.children[i]) &&
         mr_table_gather(t, h->column[i], row, n, &c[i]);
  ok = ok && mr_rows_finish(c, h->n, n, give);
  for (int64_t i = 0; i < h->n; i++)
    mr_column_done(&c[i]);
  return ok;
}

static int give_found(const struct mr_lookup *h, struct mr_table *t, const struct mr_view *key,
                      int64_t n, struct ArrowArray *give, struct mr_error *err)
{
  g_autofree uint32_t *row = g_new(uint32_t, n + 1);
  struct ArrowArray rows;
  bool ok;
  int64_t missing;
  mr_table_read(t);
  mr_table_find(t, key, n, row);
  ok = gather(h, t, row, n, &rows);
  mr_table_unlock(t);
  if (!ok)
    return mr_fail(err, MR_FATAL, "out of memory");
  uint8_t *bits = found_bits(row, n, &missing, &ok);
  if (!ok) {
    mr_array_release(&rows);
    return mr_fail(err, MR_FATAL, "out of memory");
  }
  rows.buffers[0] = bits; /* the array frees it */
  rows.null_count = missing;
  *give = rows;
  return MR_OK;
}

int mr_lookup_find(struct mr_lookup *h, const struct ArrowArray *keys, struct ArrowArray *give_rows,
                   struct mr_error *err)
{
  int rc;
  struct mr_table *t = wait_table(h, &rc, err);
  if (!t)
    return rc;
  g_autofree struct mr_view *key = g_new0(struct mr_view, h->n_keys);
  for (int64_t i = 0; i < h->n_keys; i++) {
    mr_view_init(&key[i], h->keys.children[h->key[i]], keys->children[h->key[i]]);
    key[i].offset += keys->offset;
  }
  rc = give_found(h, t, key, keys->length, give_rows, err);
  mr_table_unref(t);
  return rc;
}
