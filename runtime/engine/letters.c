/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: rows that were refused, with what is known of them, through a sink plugin of their
 * own; and marks, by which a letter counts. A letter is durable before the commit that passes its
 * row; a place that cannot be written stops the pipeline. */
#include "data/array.h"
#include "engine/engine.h"
#include "format/format.h"
#include <stdio.h>

#define WRITE_TRIES 6

struct mr_letters {
  struct mr_pipeline *p;
  pthread_mutex_t lock;
  struct mr_stage stage; /* the dead-letter sink's instance; no thread of its own */
  struct ArrowSchema schema;
  int64_t window_us, in_window; /* the limit */
};

enum {
  C_KIND,
  C_TIME,
  C_PIPELINE,
  C_STAGE,
  C_SINK,
  C_SOURCE,
  C_LANE,
  C_RUN,
  C_POSITION,
  C_UPTO,
  C_ELEMENT,
  C_CODE,
  C_MESSAGE,
  C_COLUMN,
  C_ROW,
  C_CHANGE,
  C_ORIGINAL,
  C_BASE64,
  C_N
};
static const struct {
  const char *name, *format;
} columns[C_N] = {{"kind", "u"},     {"time", "tsu:UTC"},     {"pipeline", "u"}, {"stage", "u"},
                  {"sink", "u"},     {"source", "u"},         {"lane", "u"},     {"run", "L"},
                  {"position", "u"}, {"upto", "u"},           {"element", "l"},  {"code", "u"},
                  {"message", "u"},  {"column", "u"},         {"row", "u"},      {"change", "u"},
                  {"original", "u"}, {"original_base64", "u"}};

void mr_letter_free(void *p)
{
  struct mr_letter *l = p;
  if (!l)
    return;
  g_free(l->stage);
  g_free(l->sink);
  g_free(l->source);
  g_free(l->lane);
  g_free(l->code);
  g_free(l->message);
  g_free(l->column);
  g_free(l->row_json);
  g_free(l->change_json);
  if (l->original)
    g_bytes_unref(l->original);
  g_free(l);
}

/* ---- making a letter */

bool mr_stage_masked(const struct mr_stage *s)
{
  for (guint i = 0; i < s->p->stages->len; i++) {
    const struct mr_stage *o = s->p->stages->pdata[i];
    if (o != s && !strcmp(o->spec->plugin->name, "mask") && mr_stage_reaches(o, s))
      return true;
  }
  return false;
}

static bool originals_kept(const struct mr_stage *s)
{
  return s->p->spec->originals != MR_ORIGINALS_DROP;
}

struct mr_batch mr_row_look(const struct mr_batch *b, int64_t row, void **ret_memory)
{
  struct mr_batch one = *b;
  size_t n = (size_t)b->rows.n_children;
  struct ArrowArray **list = g_malloc0(n * (sizeof *list + sizeof **list) + 1);
  struct ArrowArray *kids = (struct ArrowArray *)(list + n);
  for (size_t i = 0; i < n; i++) {
    kids[i] = *b->rows.children[i];
    kids[i].offset += row;
    kids[i].length = 1;
    list[i] = &kids[i];
  }
  one.rows.children = list;
  one.rows.length = 1;
  *ret_memory = list;
  return one;
}

static char *row_json(const struct mr_batch *b, int64_t row)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_encoder *e = NULL;
  const struct mr_format f = {mr_format_find("json"), NULL};
  g_autofree void *memory = NULL;
  struct mr_batch one = mr_row_look(b, row, &memory);
  struct ArrowArray text = {0};
  char *json = NULL;
  if (mr_encoder_new(&f, b->schema, &e, &err) >= 0 && mr_encode(e, &one, &text, &err) >= 0) {
    struct ArrowSchema type;
    struct mr_view v;
    int64_t n;
    if (mr_schema_init(&type, "", "z", false)) {
      mr_view_init(&v, &type, &text);
      const char *p = mr_view_bytes(&v, 0, &n);
      json = g_strndup(p, (gsize)n);
      mr_schema_release(&type);
    }
    mr_array_release(&text);
  }
  mr_encoder_free(e);
  return json;
}

/* What the row means, of a stream of changes: system columns, without their `_`. */
static char *change_json(const struct mr_batch *b, int64_t row)
{
  static const char *const names[] = {"_op", "_timestamp", "_ttl", "_expires", "_range"};
  struct ArrowArray *kid[G_N_ELEMENTS(names)];
  struct ArrowSchema schema = {0};
  struct mr_batch part = *b;
  bool ok = mr_schema_find(b->schema, "_op") >= 0 && mr_schema_struct(&schema);
  part.schema = &schema;
  part.rows.children = kid;
  part.rows.n_children = 0;
  for (gsize i = 0; ok && i < G_N_ELEMENTS(names); i++) {
    struct ArrowSchema c = {0};
    int64_t at = mr_schema_find(b->schema, names[i]);
    if (at < 0)
      continue;
    ok = mr_schema_copy(b->schema->children[at], &c) && mr_schema_rename(&c, names[i] + 1) &&
         mr_schema_add(&schema, &c);
    mr_schema_release(&c);
    kid[part.rows.n_children++] = b->rows.children[at];
  }
  char *json = ok ? row_json(&part, row) : NULL;
  mr_schema_release(&schema);
  return json;
}

static bool system_view(const struct mr_batch *b, const char *name, struct mr_view *v)
{
  int64_t i = mr_schema_find(b->schema, name);
  if (i < 0)
    return false;
  mr_view_column(v, b->schema, &b->rows, i);
  return true;
}

/* Position, element and original bytes from the system columns. */
static void fill_origin(struct mr_letter *l, const struct mr_stage *s, const struct mr_batch *b,
                        int64_t row)
{
  struct mr_view v;
  int64_t n;
  l->element = -1;
  if (system_view(b, "_position", &v) && !mr_view_null(&v, row)) {
    l->position = mr_position_u64((uint64_t)mr_view_int(&v, row));
    l->has_position = true;
  }
  if (system_view(b, "_element", &v) && !mr_view_null(&v, row))
    l->element = mr_view_int(&v, row);
  if (originals_kept(s) && system_view(b, "_original", &v) && !mr_view_null(&v, row)) {
    const char *p = mr_view_bytes(&v, row, &n);
    l->original = g_bytes_new(p, (gsize)n);
  }
}

static struct mr_letter *letter(struct mr_stage *s, uint32_t lane, const char *code,
                                const char *msg, const char *column)
{
  struct mr_letter *l = g_new0(struct mr_letter, 1);
  l->stage = g_strdup(s->spec->name);
  if (s->spec->kind == MR_STAGE_SINK || s->sink)
    l->sink = g_strdup(s->sink ? s->sink->name : s->spec->name);
  const struct mr_lane *ln = mr_lane_table_at(&s->p->lanes, lane);
  if (ln) {
    l->source = g_strdup(ln->source->spec->name);
    l->lane = g_strdup(ln->name);
  }
  l->code = g_strdup(code && *code ? code : "rejected");
  l->message = g_strdup(msg);
  l->column = g_strdup(column);
  l->run = mr_stage_run(s, lane);
  l->element = l->row = -1;
  return l;
}

struct mr_letter *mr_letter_new(struct mr_stage *s, const struct mr_batch *b, int64_t row,
                                const char *code, const char *msg, const char *column)
{
  struct mr_letter *l = letter(s, b->lane, code, msg, column);
  l->row = row;
  l->batch = b->id;
  mr_trace_refused(s, b, row, l->code);
  fill_origin(l, s, b, row);
  if (originals_kept(s) || mr_stage_masked(s) || s->p->dry) {
    l->row_json = row_json(b, row);
    l->change_json = change_json(b, row);
  }
  return l;
}

struct mr_letter *mr_letter_from(struct mr_stage *s, const struct mr_reject *r)
{
  if (r->batch && r->row >= 0)
    return mr_letter_new(s, r->batch, r->row, r->code, r->msg, r->column);
  struct mr_letter *l = letter(s, r->lane, r->code, r->msg, r->column);
  if (r->position)
    l->position = *r->position, l->has_position = true;
  if (r->data && originals_kept(s))
    l->original = g_bytes_new(r->data, r->len);
  return l;
}

/* ---- writing */

static void put_text(struct mr_column *c, const char *text)
{
  bool ok = text ? mr_column_text(c, text) : mr_column_null(c);
  if (!ok)
    g_error("out of memory");
}

void mr_position_text(const struct mr_position *p, char *ret, size_t size)
{
  *ret = 0;
  if (p->len == 8)
    snprintf(ret, size, "%lu", (unsigned long)mr_position_get(p));
  else
    for (size_t i = 0; i < p->len && 2 * i + 2 < size; i++)
      snprintf(ret + 2 * i, 3, "%02x", p->token[i]);
}

static void put_position(struct mr_column *c, const struct mr_position *p)
{
  char text[130] = "";
  if (p)
    mr_position_text(p, text, sizeof text);
  put_text(c, p && p->len ? text : NULL);
}

static void put_original(struct mr_column *c, const struct mr_letter *l)
{
  gsize n = 0;
  const void *p = l->original ? g_bytes_get_data(l->original, &n) : NULL;
  bool text = p && mr_utf8_valid(p, n);
  if (text ? !mr_column_bytes(&c[C_ORIGINAL], p, (int64_t)n) : !mr_column_null(&c[C_ORIGINAL]))
    g_error("out of memory");
  g_autofree char *b64 = p && !text ? g_base64_encode(p, n) : NULL;
  put_text(&c[C_BASE64], b64);
}

static void put_common(struct mr_letters *ls, struct mr_column *c, const char *kind, uint64_t run)
{
  put_text(&c[C_KIND], kind);
  mr_column_int(&c[C_TIME], ls->p->os->wall_us(ls->p->os));
  put_text(&c[C_PIPELINE], ls->p->spec->name);
  mr_column_int(&c[C_RUN], (int64_t)run);
}

static void put_letter(struct mr_letters *ls, struct mr_column *c, const struct mr_letter *l)
{
  put_common(ls, c, "letter", l->run);
  put_text(&c[C_STAGE], l->stage);
  put_text(&c[C_SINK], l->sink);
  put_text(&c[C_SOURCE], l->source);
  put_text(&c[C_LANE], l->lane);
  put_position(&c[C_POSITION], l->has_position ? &l->position : NULL);
  put_text(&c[C_UPTO], NULL);
  if (l->element >= 0)
    mr_column_int(&c[C_ELEMENT], l->element);
  else
    mr_column_null(&c[C_ELEMENT]);
  put_text(&c[C_CODE], l->code);
  put_text(&c[C_MESSAGE], l->message);
  put_text(&c[C_COLUMN], l->column);
  put_text(&c[C_ROW], l->row_json);
  put_text(&c[C_CHANGE], l->change_json);
  put_original(c, l);
}

static void put_mark(struct mr_letters *ls, struct mr_column *c, const struct mr_unit *u,
                     const struct mr_mark *m)
{
  put_common(ls, c, "mark", m->run);
  put_text(&c[C_STAGE], NULL);
  put_text(&c[C_SINK], u->sink);
  put_text(&c[C_SOURCE], m->source);
  put_text(&c[C_LANE], m->name);
  put_position(&c[C_POSITION], &m->from);
  put_position(&c[C_UPTO], &m->upto);
  for (int i = C_ELEMENT; i < C_N; i++)
    mr_column_null(&c[i]);
}

/* Writes rows through the sink plugin and makes them durable. Under the lock. */
static bool write_rows(struct mr_letters *ls, struct mr_stage *caller, struct ArrowArray *rows)
{
  const struct mr_sink *v = mr_stage_sink(ls->stage.spec);
  struct mr_batch b = {.size = sizeof b,
                       .lane = MR_NO_LANE,
                       .schema = &ls->schema,
                       .rows = *rows,
                       .watermark_us = INT64_MIN,
                       .id = 1};
  struct mr_unit u = {.size = sizeof u,
                      .pipeline = ls->p->spec->name,
                      .sink = "dead_letter",
                      .label = "",
                      .run = ls->p->run};
  struct mr_error err = MR_ERROR_INIT;
  int st = MR_OK;
  for (int tries = 1; tries <= WRITE_TRIES; tries++) {
    mr_error_clear(&err);
    if (!ls->stage.started)
      st = v->start ? v->start(ls->stage.self, &err) : MR_OK;
    if (st >= 0)
      ls->stage.started = true;
    if (st >= 0 && v->begin)
      st = v->begin(ls->stage.self, &u, &err);
    if (st >= 0)
      st = v->write(ls->stage.self, &b, &err);
    if (st >= 0)
      st = v->commit(ls->stage.self, &u, &err);
    if (st >= 0)
      return true;
    if (v->abort)
      v->abort(ls->stage.self, &u, &err);
    if ((st != MR_RETRY && st != MR_UNSURE) || !mr_stage_backoff(caller, tries, &err))
      break;
    st = MR_OK;
  }
  g_autofree char *why = g_strdup(err.msg);
  mr_fail(&err, MR_FATAL, "dead letters cannot be written: %s", why);
  mr_pipeline_fail(ls->p, caller, MR_FATAL, &err);
  return false;
}

static void columns_init(struct mr_letters *ls, struct mr_column *c)
{
  for (int i = 0; i < C_N; i++)
    if (!mr_column_init(&c[i], ls->schema.children[i]))
      g_error("out of memory");
}

static bool write_columns(struct mr_letters *ls, struct mr_stage *caller, struct mr_column *c,
                          int64_t n)
{
  struct ArrowArray rows = {0};
  if (!mr_rows_finish(c, C_N, n, &rows))
    g_error("out of memory");
  for (int i = 0; i < C_N; i++)
    mr_column_done(&c[i]);
  bool ok = write_rows(ls, caller, &rows);
  mr_array_release(&rows);
  return ok;
}

/* More letters than the file allows? Under the lock. */
static bool over_limit(struct mr_letters *ls, int64_t n)
{
  const struct mr_spec *spec = ls->p->spec;
  int64_t now = mr_now_us(ls->p->os);
  if (spec->letters_rows <= 0)
    return false;
  if (now - ls->window_us > spec->letters_per_ms * 1000) {
    ls->window_us = now;
    ls->in_window = 0;
  }
  ls->in_window += n;
  return ls->in_window > spec->letters_rows;
}

static bool none_declared(struct mr_stage *s, const struct mr_letter *l)
{
  struct mr_error err = MR_ERROR_INIT;
  mr_fail_code(&err, MR_FATAL, l->code,
               "a row was refused (%s: %s) and the file declares no dead_letter", l->code,
               l->message);
  mr_pipeline_fail(s->p, s, MR_FATAL, &err);
  return false;
}

bool mr_letters_flush(struct mr_stage *s, GPtrArray *letters)
{
  struct mr_letters *ls = s->p->letters;
  struct mr_column c[C_N];
  if (!letters->len)
    return true;
  if (!ls)
    return none_declared(s, letters->pdata[0]);
  columns_init(ls, c);
  int64_t n = letters->len;
  for (guint i = 0; i < letters->len; i++)
    put_letter(ls, c, letters->pdata[i]);
  pthread_mutex_lock(&ls->lock);
  bool over = over_limit(ls, n);
  bool ok = write_columns(ls, s, c, n);
  pthread_mutex_unlock(&ls->lock);
  g_ptr_array_set_size(letters, 0);
  atomic_fetch_add_explicit(&s->p->letters_written, (uint64_t)n, memory_order_relaxed);
  if (!over || !ok)
    return ok;
  struct mr_error err = MR_ERROR_INIT;
  mr_fail(&err, MR_FATAL, "more than %ld dead letters in %ld ms (dead_letter.limit)",
          (long)s->p->spec->letters_rows, (long)s->p->spec->letters_per_ms);
  mr_pipeline_fail(s->p, s, MR_FATAL, &err);
  return false;
}

bool mr_letters_mark(struct mr_stage *s, const struct mr_unit *u)
{
  struct mr_letters *ls = s->p->letters;
  struct mr_column c[C_N];
  if (!ls || !s->snk.lettered || !u->n)
    return true;
  s->snk.lettered = false;
  columns_init(ls, c);
  for (uint32_t i = 0; i < u->n; i++)
    put_mark(ls, c, u, &u->mark[i]);
  pthread_mutex_lock(&ls->lock);
  bool ok = write_columns(ls, s, c, u->n);
  pthread_mutex_unlock(&ls->lock);
  return ok;
}

void mr_stage_settle(struct mr_stage *s, bool ok)
{
  if (!ok) {
    g_ptr_array_set_size(s->letters, (gint)s->letters_kept);
    return;
  }
  guint fresh = s->letters->len - (guint)s->letters_kept;
  if (!fresh)
    return;
  atomic_fetch_add_explicit(&s->rejected, fresh, memory_order_relaxed);
  for (gsize i = s->letters_kept; i < s->letters->len; i++)
    mr_stage_error(s, "refused", ((struct mr_letter *)s->letters->pdata[i])->code);
  s->letters_kept = s->letters->len;
  if (!s->p->letters && !s->p->dry)
    none_declared(s, s->letters->pdata[0]);
}

/* ---- life */

struct mr_letters *mr_letters_new(struct mr_pipeline *p, struct mr_error *err)
{
  if (!p->spec->dead_letter)
    return NULL;
  struct mr_letters *ls = g_new0(struct mr_letters, 1);
  ls->p = p;
  pthread_mutex_init(&ls->lock, NULL);
  if (!mr_schema_struct(&ls->schema))
    g_error("out of memory");
  for (int i = 0; i < C_N; i++)
    if (!mr_schema_field(&ls->schema, columns[i].name, columns[i].format, true))
      g_error("out of memory");
  if (!mr_schema_set_meta(ls->schema.children[C_ROW], MR_META_EXTENSION, "arrow.json") ||
      !mr_schema_set_meta(ls->schema.children[C_CHANGE], MR_META_EXTENSION, "arrow.json"))
    g_error("out of memory");
  mr_stage_init(&ls->stage, p, p->spec->dead_letter, 0, 0, 1);
  ls->stage.open.in = &ls->schema;
  void *self = NULL;
  if (mr_stage_sink(p->spec->dead_letter)->open(&ls->stage.open, &self, err) < 0) {
    mr_letters_free(ls);
    return NULL;
  }
  ls->stage.self = self;
  ls->stage.opened = true;
  return ls;
}

void mr_letters_free(struct mr_letters *l)
{
  if (!l)
    return;
  mr_stage_close(&l->stage);
  mr_stage_finish(&l->stage);
  mr_schema_release(&l->schema);
  pthread_mutex_destroy(&l->lock);
  g_free(l);
}
