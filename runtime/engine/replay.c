/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/replay.h"
#include <string.h>
#include "conf/option.h"
#include "data/array.h"
#include "data/types.h"
#include "format/json.h"
#include "millrace/changes.h"

struct maker {
  const struct mr_spec *spec;
  const struct mr_checked *checked;
  const struct mr_letter_file *file;
  bool rows;
  GHashTable *by_row; /* names of stages: a letter of theirs has nothing but its row */
  struct mr_replay *r;
};

/* ---- which way a letter goes */

static void find_format(void *out, const struct mr_opt *opt, const char *path, const char *key,
                        void *field)
{
  const struct mr_format **ret = out;
  if (opt->type == MR_FORMAT && !*ret)
    *ret = *(const struct mr_format **)field;
}

/* The format that a source reads messages with; NULL: none that could read one alone again. */
static const struct mr_format *format_of(const struct mr_stage_spec *source)
{
  const struct mr_format *f = NULL;
  mr_option_walk(source->plugin->options, source->plugin->opt_size, source->conf, find_format, &f);
  return f && f->desc && strcmp(f->desc->name, "csv") ? f : NULL; /* a line lacks its header */
}

/* Are rows made of one row on the way from the source to the stage? Then a message that is sent
 * again would bring the others too. */
static bool multiplied(const struct mr_spec *spec, const char *source, const char *stage)
{
  for (guint i = 0; i < spec->stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(spec->stages, i);
    if (st->kind == MR_STAGE_TRANSFORM && !strcmp(st->plugin->name, "explode") &&
        strcmp(st->name, stage) && mr_replay_leads(spec, source, st->name) &&
        mr_replay_leads(spec, st->name, stage))
      return true;
  }
  return false;
}

enum way { WAY_NONE, WAY_MESSAGE, WAY_ROW };

static bool is_kind(const struct mr_stage_spec *st, enum mr_stage_kind kind)
{
  return st && st->kind == kind;
}

static bool is_known(const struct maker *m, const struct mr_letter_entry *l)
{
  return l->stage && l->source && is_kind(mr_spec_stage(m->spec, l->source), MR_STAGE_SOURCE) &&
         mr_spec_stage(m->spec, l->stage);
}

static bool has_row(const struct mr_letter_entry *l)
{
  return l->row && strcmp(l->stage, l->source);
}

static bool has_message(const struct maker *m, const struct mr_letter_entry *l)
{
  return l->original && format_of(mr_spec_stage(m->spec, l->source)) &&
         !multiplied(m->spec, l->source, l->stage);
}

/* Letters of one stage all go the same way: they share lanes, whose positions must ascend. */
static void choose_ways(struct maker *m)
{
  for (guint i = 0; i < m->file->letters->len; i++) {
    const struct mr_letter_entry *l = m->file->letters->pdata[i];
    if (is_known(m, l) && has_row(l) && (m->rows || !has_message(m, l)))
      g_hash_table_add(m->by_row, l->stage);
  }
}

static enum way way_of(const struct maker *m, const struct mr_letter_entry *l)
{
  if (g_hash_table_contains(m->by_row, l->stage))
    return has_row(l) ? WAY_ROW : WAY_NONE;
  return has_message(m, l) ? WAY_MESSAGE : WAY_NONE;
}

/* ---- groups */

static void group_free(void *p)
{
  struct mr_replay_group *g = p;
  g_free(g->stage);
  g_free(g->sink);
  g_ptr_array_unref(g->letters);
  mr_replay_graph_free(g->spec);
  mr_given_finish(&g->given);
  mr_schema_release(&g->schema);
  g_free(g);
}

static const char *source_of(const struct mr_replay_group *g)
{
  return ((const struct mr_letter_entry *)g->letters->pdata[0])->source;
}

static struct mr_replay_group *group_for(struct mr_replay *r, const struct mr_letter_entry *l,
                                         const char *sink, bool by_row)
{
  for (guint i = 0; i < r->groups->len; i++) {
    struct mr_replay_group *g = r->groups->pdata[i];
    if (!strcmp(g->stage, l->stage) && !strcmp(g->sink, sink) && g->by_row == by_row &&
        !strcmp(source_of(g), l->source))
      return g;
  }
  struct mr_replay_group *g = g_new0(struct mr_replay_group, 1);
  g->stage = g_strdup(l->stage);
  g->sink = g_strdup(sink);
  g->by_row = by_row;
  g->letters = g_ptr_array_new();
  g_ptr_array_add(r->groups, g);
  return g;
}

static void sort_letter(struct maker *m, struct mr_letter_entry *l)
{
  bool counts = false;
  if (!is_known(m, l)) {
    m->r->unknown++;
    return;
  }
  enum way way = way_of(m, l);
  for (guint i = 0; i < m->spec->stages->len; i++) {
    const struct mr_stage_spec *sink = g_ptr_array_index(m->spec->stages, i);
    if (sink->kind != MR_STAGE_SINK || !mr_replay_leads(m->spec, l->stage, sink->name) ||
        !mr_letter_file_counts(m->file, l, sink->name))
      continue;
    counts = true;
    if (way != WAY_NONE)
      g_ptr_array_add(group_for(m->r, l, sink->name, way == WAY_ROW)->letters, l);
  }
  m->r->early += !counts;
  m->r->hopeless += counts && way == WAY_NONE;
}

/* ---- rows of a group */

struct build {
  struct mr_replay_group *g;
  struct mr_decoder *d;
  struct ArrowSchema columns;  /* that the decoder gives */
  struct ArrowSchema declared; /* that it is told to give; lives as long as it */
  struct mr_column *col;       /* one for each column of the group's schema */
  struct mr_decoder *changes;  /* of what the letters say that their rows mean; NULL: nothing */
  struct ArrowSchema meaning;  /* its columns: system columns without their `_` */
  struct ArrowArray change;    /* of one letter */
  int64_t n;
};

static const void *text_of(const struct mr_replay_group *g, const struct mr_letter_entry *l,
                           gsize *ret_len)
{
  if (!g->by_row)
    return g_bytes_get_data(l->original, ret_len);
  *ret_len = strlen(l->row);
  return l->row;
}

/* One letter's rows; MR_REJECT: it cannot be read. */
static int decode(struct build *b, const struct mr_letter_entry *l, struct ArrowArray *give,
                  struct mr_error *err)
{
  gsize len;
  const void *text = text_of(b->g, l, &len);
  int st = mr_decode(b->d, text, len, err);
  if (st < 0)
    return st;
  while ((st = mr_decoded(b->d, give, err)) == MR_SCHEMA) {}
  if (st == MR_IDLE)
    return mr_fail_code(err, MR_REJECT, MR_CODE_SHAPE, "no columns are known");
  return st;
}

/* ---- what a row means */

static bool any_change(const struct mr_replay_group *g)
{
  for (guint i = 0; i < g->letters->len; i++)
    if (((struct mr_letter_entry *)g->letters->pdata[i])->change)
      return true;
  return false;
}

/* What letters say of rows whose columns are not known. */
static const struct {
  const char *name, *format;
} meanings[] = {{"_op", "u"}, {"_timestamp", "tsu:UTC"}, {"_ttl", "i"}, {"_expires", "tsu:UTC"}};

/* The system columns of `known`; where they are not known, those of meanings, and whether there is
 * a `_range`. */
static bool meaning_columns(struct build *b, const struct ArrowSchema *known)
{
  bool ok = mr_schema_struct(&b->meaning);
  for (int64_t i = 0; ok && known && i < known->n_children; i++) {
    struct ArrowSchema c = {0};
    if (mr_schema_is_system(known->children[i]))
      ok = mr_schema_copy(known->children[i], &c) && mr_schema_rename(&c, c.name + 1) &&
           mr_schema_add(&b->meaning, &c);
    mr_schema_release(&c);
  }
  for (gsize i = 0; ok && !known && i < G_N_ELEMENTS(meanings); i++)
    ok = mr_schema_field(&b->meaning, meanings[i].name + 1, meanings[i].format, true);
  if (known || !ok)
    return ok;
  return mr_schema_field(&b->meaning, "range", "u", true) &&
         mr_schema_set_meta(b->meaning.children[G_N_ELEMENTS(meanings)], MR_META_EXTENSION,
                            "arrow.json");
}

static int open_changes(struct build *b, const struct ArrowSchema *known, struct mr_error *err)
{
  if (!b->g->by_row || !any_change(b->g))
    return MR_OK;
  if (!meaning_columns(b, known))
    return mr_fail(err, MR_FATAL, "out of memory");
  const struct mr_json_conf conf = {.columns = &b->meaning, .quoted_numbers = true};
  const struct mr_format format = {mr_format_find("json"), &conf};
  return mr_decoder_new(&format, &b->changes, err);
}

/* MR_REJECT: the letter cannot be read, or means what only known columns can tell. */
static int decode_change(struct build *b, bool known, const struct mr_letter_entry *l,
                         struct mr_error *err)
{
  struct mr_view v;
  mr_array_release(&b->change);
  if (!b->changes || !l->change)
    return MR_OK;
  int st = mr_decode(b->changes, l->change, strlen(l->change), err);
  if (st >= 0)
    st = mr_decoded(b->changes, &b->change, err);
  if (st < 0 || known || !b->change.release)
    return st < 0 ? st : MR_OK;
  mr_view_column(&v, &b->meaning, &b->change, G_N_ELEMENTS(meanings));
  if (mr_view_null(&v, 0))
    return MR_OK;
  return mr_fail_code(err, MR_REJECT, MR_CODE_SHAPE,
                      "it is a delete of many rows, whose columns `check` does not know: declare "
                      "`columns`");
}

/* Everything once: what a format learns from its data is known afterwards. */
static int learn(struct build *b, struct mr_error *err)
{
  for (guint i = 0; i < b->g->letters->len; i++) {
    struct ArrowArray rows = {0};
    struct mr_error bad = MR_ERROR_INIT;
    if (decode(b, b->g->letters->pdata[i], &rows, &bad) >= 0)
      mr_array_release(&rows);
  }
  int st = mr_decoder_schema(b->d, &b->columns, err);
  if (st == MR_IDLE && !mr_schema_struct(&b->columns))
    st = mr_fail(err, MR_FATAL, "out of memory");
  return st;
}

static const struct ArrowSchema *known_schema(const struct maker *m,
                                              const struct mr_replay_group *g)
{
  const struct mr_stage_spec *st = mr_spec_stage(m->spec, g->by_row ? g->stage : source_of(g));
  if (g->by_row)
    st = st->input && st->input[0] ? mr_spec_stage(m->spec, st->input[0]) : NULL;
  return st ? mr_checked_schema(m->checked, st) : NULL;
}

/* The columns of `all` that are no system columns. */
static bool own_columns(const struct ArrowSchema *all, struct ArrowSchema *ret)
{
  bool ok = mr_schema_struct(ret);
  for (int64_t i = 0; ok && i < all->n_children; i++) {
    struct ArrowSchema c;
    if (!mr_schema_is_system(all->children[i]))
      ok = mr_schema_copy(all->children[i], &c) && mr_schema_add(ret, &c);
  }
  return ok;
}

/* A row leaves out what it does not write, if its source makes such rows. */
static bool partial(const struct maker *m, const struct build *b)
{
  const struct mr_format *f = format_of(mr_spec_stage(m->spec, source_of(b->g)));
  bool json = f && f->desc->options == mr_json_options && f->conf;
  return json && ((const struct mr_json_conf *)f->conf)->absent == MR_ABSENT_UNSET;
}

static int open_decoder(const struct maker *m, struct build *b, const struct ArrowSchema *known,
                        struct mr_error *err)
{
  if (!b->g->by_row)
    return mr_decoder_new(format_of(mr_spec_stage(m->spec, source_of(b->g))), &b->d, err);
  const struct mr_json_conf conf = {.columns = &b->declared,
                                    .quoted_numbers = true,
                                    .absent =
                                        known ? mr_schema_find(known, MR_SET) >= 0 : partial(m, b)};
  const struct mr_json_conf any = {.unknown = -1, .absent = conf.absent};
  const struct mr_format format = {mr_format_find("json"), known ? &conf : &any};
  if (known && !own_columns(known, &b->declared))
    return mr_fail(err, MR_FATAL, "out of memory");
  return mr_decoder_new(&format, &b->d, err);
}

static bool set_schema(struct build *b, const struct ArrowSchema *known)
{
  struct ArrowSchema *s = &b->g->schema;
  if (known)
    return mr_schema_copy(known, s);
  bool ok = mr_schema_copy(&b->columns, s) && mr_schema_field(s, "_position", "L", true) &&
            mr_schema_field(s, "_element", "I", true) && mr_schema_field(s, "_original", "z", true);
  for (gsize i = 0; ok && b->changes && i < G_N_ELEMENTS(meanings); i++)
    ok = mr_schema_field(s, meanings[i].name, meanings[i].format, true);
  return ok;
}

/* A value that the letter itself knows; what it does not know is null. */
static bool put_system(struct build *b, struct mr_column *c, const struct ArrowSchema *s,
                       const struct mr_letter_entry *l, int64_t element)
{
  const char *name = s->name;
  int64_t at = b->change.release && *name == '_' ? mr_schema_find(&b->meaning, name + 1) : -1;
  struct mr_view v;
  gsize len;
  if (at >= 0)
    mr_view_column(&v, &b->meaning, &b->change, at);
  if (at >= 0 && !mr_view_null(&v, 0) && mr_type_equal(b->meaning.children[at], s))
    return mr_column_append(c, &v, 0);
  if (!strcmp(name, "_position"))
    return mr_column_int(c, l->line);
  if (!strcmp(name, "_element"))
    return mr_column_int(c, element);
  if (!strcmp(name, "_op"))
    return mr_column_text(c, "insert");
  if (strcmp(name, "_original") || !l->original)
    return mr_column_null(c);
  const void *p = g_bytes_get_data(l->original, &len);
  return mr_column_bytes(c, p, (int64_t)len);
}

/* `_set` of a row with the columns of `to`; those that the decoder does not know are written. */
static bool put_set(struct mr_column *c, const struct ArrowSchema *to, const struct build *b,
                    const struct ArrowArray *rows, int64_t row)
{
  bool ok = true;
  for (int64_t i = 0; ok && i < to->n_children; i++) {
    struct mr_view v;
    mr_set_view(&v, &b->columns, rows, to->children[i]->name);
    ok = mr_column_bool(&c->child[i], mr_set_has(&v, row));
  }
  return ok && mr_column_end(c);
}

static bool put_row(struct build *b, const struct ArrowArray *rows, int64_t row,
                    const struct mr_letter_entry *l)
{
  const struct ArrowSchema *s = &b->g->schema;
  bool ok = true;
  for (int64_t i = 0; ok && i < s->n_children; i++) {
    int64_t from = mr_schema_find(&b->columns, s->children[i]->name);
    struct mr_view v;
    if (from >= 0)
      mr_view_column(&v, &b->columns, rows, from);
    if (!strcmp(s->children[i]->name, MR_SET) && mr_set_valid(s->children[i]))
      ok = put_set(&b->col[i], s->children[i], b, rows, row);
    else if (from >= 0 && mr_type_equal(b->columns.children[from], s->children[i]))
      ok = mr_column_append(&b->col[i], &v, row);
    else
      ok = put_system(b, &b->col[i], s->children[i], l, l->element >= 0 ? l->element : row);
  }
  b->n += ok;
  return ok;
}

/* Puts the letter's row, or all rows of its message where that was refused as a whole. A letter
 * with an element holds that element alone, or the message it stands in. */
static int put_rows(struct build *b, const struct ArrowArray *rows, const struct mr_letter_entry *l,
                    struct mr_error *err)
{
  bool one = !b->g->by_row && l->element >= 0;
  int64_t from = one && rows->length != 1 ? l->element : 0, end = one ? from + 1 : rows->length;
  if (end > rows->length)
    return mr_fail_code(err, MR_REJECT, MR_CODE_SHAPE, "the message has no row %lld any more",
                        (long long)l->element);
  for (int64_t i = from; i < end; i++)
    if (!put_row(b, rows, i, l))
      return mr_fail(err, MR_FATAL, "out of memory");
  return MR_OK;
}

static struct mr_given_lane *lane_of(const struct maker *m, struct mr_replay_group *g,
                                     const struct mr_letter_entry *l)
{
  const char *lane = g_str_has_prefix(l->lane, "letters:") ? "again" : l->lane; /* of a replay */
  g_autofree char *name =
      g_strdup_printf("letters:%s:%s:%s:%" G_GUINT64_FORMAT, m->file->id, g->stage, lane, l->run);
  for (guint i = 0; g->given.lanes && i < g->given.lanes->len; i++) {
    struct mr_given_lane *known = g->given.lanes->pdata[i];
    if (!strcmp(known->name, name))
      return known;
  }
  return mr_given_add(&g->given, name);
}

static int add_entry(const struct maker *m, struct build *b, const struct mr_letter_entry *l,
                     struct mr_error *err)
{
  struct mr_given_entry e = {.position = (uint64_t)l->line, .from = b->n};
  struct mr_error bad = MR_ERROR_INIT;
  struct ArrowArray rows = {0};
  int st = decode_change(b, known_schema(m, b->g) != NULL, l, &bad);
  if (st >= 0)
    st = decode(b, l, &rows, &bad);
  if (st >= 0) {
    st = put_rows(b, &rows, l, &bad);
    mr_array_release(&rows);
  }
  if (st < 0 && st != MR_REJECT)
    return mr_fail(err, st, "%s", bad.msg);
  if (st < 0) {
    gsize len;
    const void *text = text_of(b->g, l, &len);
    e.code = g_strdup(bad.code);
    e.message = g_strdup(bad.msg);
    e.data = g_bytes_new(text, len);
  }
  e.end = b->n;
  g_array_append_val(lane_of(m, b->g, l)->entries, e);
  return MR_OK;
}

/* Letters of one lane one after another, so that its rows lie together. Letters of one run and lane
 * come to count in the file's order: none does behind one that was replayed. */
static int by_lane(gconstpointer a, gconstpointer b)
{
  const struct mr_letter_entry *x = *(struct mr_letter_entry *const *)a,
                               *y = *(struct mr_letter_entry *const *)b;
  int c = strcmp(x->lane, y->lane);
  if (x->run != y->run)
    return x->run < y->run ? -1 : 1;
  if (c)
    return c;
  return (x->line > y->line) - (x->line < y->line);
}

static int fill(const struct maker *m, struct build *b, struct mr_error *err)
{
  const struct ArrowSchema *known = known_schema(m, b->g);
  int st = open_decoder(m, b, known, err);
  if (st >= 0)
    st = open_changes(b, known, err);
  if (st >= 0)
    st = learn(b, err);
  if (st >= 0 && !set_schema(b, known))
    st = mr_fail(err, MR_FATAL, "out of memory");
  if (st < 0)
    return st;
  b->col = g_new0(struct mr_column, b->g->schema.n_children + 1);
  for (int64_t i = 0; i < b->g->schema.n_children; i++)
    if (!mr_column_init(&b->col[i], b->g->schema.children[i]))
      return mr_fail(err, MR_FATAL, "out of memory");
  g_ptr_array_sort(b->g->letters, by_lane);
  for (guint i = 0; st >= 0 && i < b->g->letters->len; i++)
    st = add_entry(m, b, b->g->letters->pdata[i], err);
  if (st >= 0 && !mr_rows_finish(b->col, b->g->schema.n_children, b->n, &b->g->given.rows))
    st = mr_fail(err, MR_FATAL, "out of memory");
  b->g->given.schema = &b->g->schema;
  return st;
}

static int make_group(const struct maker *m, struct mr_replay_group *g, struct mr_error *err)
{
  struct build b = {.g = g};
  int st = fill(m, &b, err);
  for (int64_t i = 0; b.col && i < g->schema.n_children; i++)
    mr_column_done(&b.col[i]);
  g_free(b.col);
  mr_decoder_free(b.d);
  mr_decoder_free(b.changes);
  mr_schema_release(&b.meaning);
  mr_array_release(&b.change);
  mr_schema_release(&b.columns);
  mr_schema_release(&b.declared);
  mr_replay_graph(g, m->spec, source_of(g));
  return st;
}

struct mr_replay *mr_replay_new(const struct mr_spec *spec, const struct mr_checked *checked,
                                const struct mr_letter_file *file, bool rows, struct mr_error *err)
{
  struct maker m = {.spec = spec, .checked = checked, .file = file, .rows = rows};
  g_autoptr(GHashTable) by_row = g_hash_table_new(g_str_hash, g_str_equal);
  m.by_row = by_row;
  m.r = g_new0(struct mr_replay, 1);
  m.r->groups = g_ptr_array_new_with_free_func(group_free);
  choose_ways(&m);
  for (guint i = 0; i < file->letters->len; i++)
    sort_letter(&m, file->letters->pdata[i]);
  for (guint i = 0; i < m.r->groups->len; i++)
    if (make_group(&m, m.r->groups->pdata[i], err) < 0) {
      mr_replay_free(m.r);
      return NULL;
    }
  return m.r;
}

void mr_replay_free(struct mr_replay *r)
{
  if (!r)
    return;
  g_ptr_array_unref(r->groups);
  g_free(r);
}
