/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the log what happened to rows: to batches and units at debug level, to single rows that
 * settings.trace names, and from where on which columns are masked. Costs nothing where nobody
 * asks. */
#include "data/types.h"
#include "engine/engine.h"
#include "expr/expr.h"

#define TEXT 130 /* a position as text */

/* Finds the traced rows of one shape. */
struct mr_trace {
  struct mr_shape *shape; /* a reference */
  struct mr_expr *text;   /* the column as text; NULL: it is not among the columns */
};

void mr_trace_init(struct mr_pipeline *p)
{
  const struct mr_list *values = &p->spec->settings.trace_values;
  if (!p->event || p->dry || !p->spec->settings.trace_column)
    return;
  p->traced = g_hash_table_new(g_str_hash, g_str_equal);
  for (size_t i = 0; i < values->n; i++)
    g_hash_table_add(p->traced, (char *)((const char *const *)values->item)[i]);
}

static void trace_free(struct mr_trace *t)
{
  if (!t)
    return;
  mr_expr_free(t->text);
  mr_shape_unref(t->shape);
  g_free(t);
}

void mr_trace_finish(struct mr_stage *s)
{
  trace_free(s->trace);
  mr_shape_unref(s->snk.masked_of);
  g_free(s->snk.masked);
}

static bool debugged(const struct mr_pipeline *p)
{
  return p->event && !p->dry && p->spec->settings.log_level == MR_DEBUG;
}

/* ---- finding rows */

/* The traced column of rows of this schema as text; NULL: they have none. */
static struct mr_expr *column_text(const struct mr_pipeline *p, const struct ArrowSchema *schema)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_expr *e = NULL;
  const char *name = p->spec->settings.trace_column;
  if (mr_schema_find(schema, name) < 0)
    return NULL;
  g_auto(GStrv) part = g_strsplit(name, "\"", -1);
  g_autofree char *quoted = g_strjoinv("\"\"", part);
  g_autofree char *text = g_strdup_printf("CAST(\"%s\" AS text)", quoted);
  return mr_expr_new(text, schema, &e, NULL, &err) < 0 ? NULL : e;
}

static struct mr_expr *expr_of(struct mr_stage *s, struct mr_shape *shape)
{
  if (s->trace && s->trace->shape == shape)
    return s->trace->text;
  trace_free(s->trace);
  s->trace = g_new0(struct mr_trace, 1);
  s->trace->shape = mr_shape_ref(shape);
  s->trace->text = column_text(s->p, &shape->schema);
  return s->trace->text;
}

/* Calls found() for each row with a traced value, which is lent. */
typedef void found_fn(void *out, int64_t row, const char *value);
static void find_rows(const struct mr_pipeline *p, struct mr_expr *e, const struct mr_batch *b,
                      found_fn *found, void *out)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray texts = {0};
  struct ArrowSchema type;
  struct mr_view v;
  if (mr_expr_eval(e, b->schema, &b->rows, &texts, NULL, NULL, &err) < 0)
    return;
  if (texts.n_buffers > 2 && mr_schema_init(&type, "", "u", true)) {
    mr_view_init(&v, &type, &texts);
    for (int64_t i = 0; i < b->rows.length; i++) {
      int64_t n = 0;
      const char *bytes = mr_view_null(&v, i) ? NULL : mr_view_bytes(&v, i, &n);
      g_autofree char *value = bytes ? g_strndup(bytes, (gsize)n) : NULL;
      if (value && g_hash_table_contains(p->traced, value))
        found(out, i, value);
    }
    mr_schema_release(&type);
  }
  mr_array_release(&texts);
}

/* ---- telling */

static void tell(struct mr_stage *s, struct mr_log_event *e)
{
  e->stage = s->spec->name;
  e->kind = s->spec->kind;
  s->p->event(s->p->log_ctx, e);
}

/* What is told of a row beside itself. */
struct telling {
  struct mr_stage *s;
  struct mr_log_event e;
  const struct mr_batch *b;
  const uint8_t *dead;
};

static void tell_row(void *out, int64_t row, const char *value)
{
  struct telling *t = out;
  struct mr_log_event e = t->e;
  char position[TEXT] = "";
  int64_t i = mr_schema_find(t->b->schema, "_position");
  struct mr_view v;
  if (t->dead && mr_bit_get(t->dead, row))
    return;
  if (i >= 0)
    mr_view_column(&v, t->b->schema, &t->b->rows, i);
  if (i >= 0 && !mr_view_null(&v, row)) {
    struct mr_position at = mr_position_u64((uint64_t)mr_view_int(&v, row));
    mr_position_text(&at, position, sizeof position);
  }
  g_autofree char *id = g_strdup_printf("%s=%s", t->s->p->spec->settings.trace_column, value);
  e.level = MR_INFO;
  e.row = id;
  e.position = *position ? position : NULL;
  e.rows = -1;
  tell(t->s, &e);
}

static void set_lane(const struct mr_stage *s, uint32_t lane, struct mr_log_event *e)
{
  const struct mr_lane *l = mr_lane_table_at(&s->p->lanes, lane);
  e->source = l ? l->source->spec->name : NULL;
  e->lane = l ? l->name : NULL;
}

/* A batch on its way, or a unit's (unit not NULL) without its dead rows. */
static void tell_batch(struct mr_stage *s, const char *event, const struct mr_message *m,
                       const uint8_t *dead, const char *unit)
{
  bool debug = debugged(s->p) && !unit;
  if ((!debug && !s->p->traced) || !m->batch.rows.length)
    return;
  char from[TEXT], upto[TEXT];
  struct telling t = {.s = s,
                      .e = {.level = MR_DEBUG,
                            .event = event,
                            .from = from,
                            .upto = upto,
                            .unit = unit,
                            .rows = m->batch.rows.length},
                      .b = &m->batch,
                      .dead = dead};
  set_lane(s, m->batch.lane, &t.e);
  mr_position_text(&m->since.from, from, sizeof from);
  mr_position_text(&m->batch.upto, upto, sizeof upto);
  if (debug)
    tell(s, &t.e);
  struct mr_expr *e = s->p->traced ? expr_of(s, m->shape) : NULL;
  if (e)
    find_rows(s->p, e, &m->batch, tell_row, &t);
}

void mr_trace_batch(struct mr_stage *s, const char *event, const struct mr_message *m)
{
  tell_batch(s, event, m, NULL, NULL);
}

void mr_trace_refused(struct mr_stage *s, const struct mr_batch *b, int64_t row, const char *code)
{
  struct mr_expr *e = s->p->traced ? column_text(s->p, b->schema) : NULL;
  if (!e)
    return;
  g_autofree void *memory = NULL;
  struct mr_batch one = mr_row_look(b, row, &memory);
  struct telling t = {s, {.event = "refused", .text = code}, &one, NULL};
  set_lane(s, b->lane, &t.e);
  find_rows(s->p, e, &one, tell_row, &t);
  mr_expr_free(e);
}

void mr_trace_durable(struct mr_stage *s, const struct mr_unit *u)
{
  for (guint i = 0; s->p->traced && i < s->snk.unit->len; i++) {
    const struct mr_kept *k = &g_array_index(s->snk.unit, struct mr_kept, i);
    tell_batch(s, "durable", k->m, k->dead, u->label ? u->label : "");
  }
  for (uint32_t i = 0; debugged(s->p) && i < u->n; i++) {
    char from[TEXT], upto[TEXT];
    const struct mr_mark *m = &u->mark[i];
    struct mr_log_event e = {.level = MR_DEBUG,
                             .event = "durable",
                             .source = m->source,
                             .lane = m->name,
                             .unit = u->label,
                             .rows = (int64_t)m->rows,
                             .from = from,
                             .upto = upto};
    mr_position_text(&m->from, from, sizeof from);
    mr_position_text(&m->upto, upto, sizeof upto);
    tell(s, &e);
  }
}

/* ---- from where on what is masked */

static void list_masked(GString *out, const struct ArrowSchema *s, const char *path)
{
  for (int64_t i = 0; i < s->n_children; i++) {
    const struct ArrowSchema *c = s->children[i];
    size_t n = 0;
    const char *how = mr_schema_meta(c, MR_META_MASKED, &n);
    g_autofree char *at = g_strdup_printf("%s%s%s", path, *path ? "." : "", c->name);
    if (how)
      g_string_append_printf(out, "%s%s (%.*s)", out->len ? ", " : "", at, (int)n, how);
    list_masked(out, c, at);
  }
}

/* Looks again when the columns have become others. */
static void look_at_masks(struct mr_stage *s)
{
  GString *now = g_string_new(NULL);
  list_masked(now, &s->in->schema, "");
  if (!now->len)
    g_string_append(now, "nothing");
  if (g_strcmp0(now->str, s->snk.masked)) {
    g_free(s->snk.masked);
    s->snk.masked = g_strdup(now->str);
    s->snk.masks++;
  }
  mr_shape_unref(s->snk.masked_of);
  s->snk.masked_of = mr_shape_ref(s->in);
  g_string_free(now, TRUE);
}

void mr_trace_masks(struct mr_stage *s, struct mr_sink_lane *sl, const struct mr_position *from)
{
  if (!s->p->event || s->p->dry || !s->in || !mr_stage_masked(s))
    return;
  if (s->snk.masked_of != s->in)
    look_at_masks(s);
  if (sl->masks == s->snk.masks)
    return;
  char at[TEXT];
  sl->masks = s->snk.masks;
  mr_position_text(from, at, sizeof at);
  g_autofree char *text = g_strdup_printf("mask: from position %s of lane %s on: %s", at,
                                          sl->lane->name, s->snk.masked);
  struct mr_log_event e = {.level = MR_INFO,
                           .event = "masked",
                           .source = sl->lane->source->spec->name,
                           .lane = sl->lane->name,
                           .from = at,
                           .rows = -1,
                           .text = text};
  tell(s, &e);
}
