/* SPDX-License-Identifier: Apache-2.0 */
/* One test of a pipeline: rows are given to stages, what comes out elsewhere is compared. */
#include <string.h>
#include "app/test-file.h"
#include "app/yaml-rows.h"
#include "conf/suggest.h"
#include "data/types.h"
#include "engine/dry.h"
#include "engine/given.h"

#define SHOWN 20 /* differences of one stage that are listed */

struct reject {
  char *stage, *code, *message, *column, *row;
  bool expected;
};
struct pipeline_test {
  struct mr_test_file *t;
  struct mr_app_file *f;
  struct mr_ynode *node;
  GHashTable *got;    /* stage's name -> struct mr_rows *, of the stages in `expect` */
  GPtrArray *rejects; /* struct reject * */
  struct mr_error err;
};

static void reject_free(void *p)
{
  struct reject *r = p;
  g_free(r->stage);
  g_free(r->code);
  g_free(r->message);
  g_free(r->column);
  g_free(r->row);
  g_free(r);
}

static void rows_free(void *p)
{
  mr_rows_finish_all(p);
  g_free(p);
}

static void on_rows(void *ctx, const struct mr_stage_spec *stage, const struct mr_batch *b)
{
  struct pipeline_test *p = ctx;
  struct mr_rows *r = g_hash_table_lookup(p->got, stage->name);
  if (r)
    mr_rows_add(r, b->schema, &b->rows, INT64_MAX, &p->err);
}

static void on_reject(void *ctx, const struct mr_dry_reject *lend)
{
  struct pipeline_test *p = ctx;
  struct reject *r = g_new0(struct reject, 1);
  r->stage = g_strdup(lend->stage->name);
  r->code = g_strdup(lend->code);
  r->message = g_strdup(lend->message);
  r->column = g_strdup(lend->column);
  r->row = g_strdup(lend->row);
  g_ptr_array_add(p->rejects, r);
}

/* The stage that a key names, reported when there is none of that kind. */
static const struct mr_stage_spec *named(struct pipeline_test *p, struct mr_ynode *n, bool lookup,
                                         bool sink)
{
  const struct mr_spec *spec = p->f->spec;
  GPtrArray *stages = lookup ? spec->lookups : spec->stages;
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  for (guint i = 0; i < stages->len; i++) {
    const struct mr_stage_spec *st = g_ptr_array_index(stages, i);
    if (st->kind == MR_STAGE_SINK && !sink)
      continue;
    if (!strcmp(st->name, n->key))
      return st;
    g_ptr_array_add(names, st->name);
  }
  g_autofree char *hint = mr_suggest_text(n->key, (const char *const *)names->pdata, names->len);
  mr_ynode_key_problem(p->t->problems, n, "the pipeline has no %s `%s`%s",
                       lookup ? "lookup"
                       : sink ? "stage"
                              : "stage that gives rows",
                       n->key, hint);
  return NULL;
}

/* ---- lookups: rows of the test in the place of their sources */

/* The columns of a stage: as the test declares them under `types`, else as the stage knows them. */
static bool columns_of(struct pipeline_test *p, const struct mr_stage_spec *st,
                       const struct ArrowSchema *known, struct mr_ynode *where,
                       struct ArrowSchema *ret)
{
  struct mr_ynode *types = mr_ynode_get(mr_ynode_get(p->node, "types"), st->name);
  if (types)
    return mr_schema_struct(ret) && mr_yaml_columns(types, p->t->problems, ret);
  if (known)
    return mr_schema_copy(known, ret);
  mr_ynode_problem(p->t->problems, where,
                   "the columns of `%s` are known only from its data: name them under `types`",
                   st->name);
  return false;
}

struct table {
  struct mr_given given;
  struct ArrowSchema schema;
};

static void table_free(void *p)
{
  struct table *t = p;
  mr_given_finish(&t->given);
  mr_schema_release(&t->schema);
  g_free(t);
}

static bool fill_lookup(struct pipeline_test *p, struct mr_stage_spec *st, GPtrArray *tables)
{
  struct mr_ynode *rows = mr_ynode_get(mr_ynode_get(p->node, "lookups"), st->name);
  struct mr_ynode *none = rows ? NULL : mr_ynode_new(MR_NODE_LIST, NULL);
  struct table *t = g_new0(struct table, 1);
  g_ptr_array_add(tables, t);
  t->given.schema = &t->schema;
  bool ok =
      columns_of(p, st, mr_checked_schema(p->f->checked, st), rows ? rows : p->node, &t->schema) &&
      mr_yaml_rows(rows ? rows : none, &t->schema, st->name, p->t->problems, &t->given.rows);
  mr_ynode_free(none);
  struct mr_given_entry all = {.end = ok ? t->given.rows.length : 0};
  g_array_append_val(mr_given_add(&t->given, "test")->entries, all);
  st->plugin = &mr_given_plugin;
  st->conf = &t->given;
  st->refresh_ms = 0;
  return ok;
}

static bool fill_lookups(struct pipeline_test *p, GPtrArray *tables)
{
  GPtrArray *lookups = p->f->spec->lookups;
  struct mr_ynode *given = mr_ynode_get(p->node, "lookups");
  bool ok = true;
  for (guint i = 0; i < mr_ynode_count(given); i++)
    ok = named(p, mr_ynode_kid(given, i), true, false) && ok;
  for (guint i = 0; ok && i < lookups->len; i++)
    ok = fill_lookup(p, g_ptr_array_index(lookups, i), tables);
  return ok;
}

/* ---- input */

static bool give(struct pipeline_test *p, struct mr_dry *d, struct mr_ynode *rows)
{
  const struct mr_stage_spec *st = named(p, rows, false, false);
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema schema = {0};
  struct ArrowArray array = {0};
  g_autofree char *whose = g_strdup_printf("stage `%s`", rows->key);
  bool ok = st && columns_of(p, st, mr_dry_schema(d, st->name), rows, &schema) &&
            mr_yaml_rows(rows, &schema, whose, p->t->problems, &array);
  if (ok && mr_dry_give(d, st->name, &schema, &array, &err) < 0) {
    mr_test_note(p->t, "%s", err.msg);
    ok = false;
  }
  mr_schema_release(&schema);
  return ok;
}

static bool give_all(struct pipeline_test *p, struct mr_dry *d)
{
  struct mr_ynode *input = mr_ynode_get(p->node, "input");
  bool ok = true;
  for (guint i = 0; ok && i < mr_ynode_count(input); i++)
    ok = give(p, d, mr_ynode_kid(input, i));
  if (!mr_ynode_count(input))
    mr_ynode_problem(p->t->problems, input ? input : p->node, "`input` is missing");
  return ok;
}

/* ---- what came out */

static char *row_text(const struct mr_rows *r, guint i)
{
  GString *s = g_string_new("{");
  for (int64_t k = 0; k < r->schema.n_children; k++) {
    const char *cell = ((char **)r->rows->pdata[i])[k];
    if (mr_schema_is_system(r->schema.children[k]))
      continue;
    g_string_append_printf(s, "%s%s: %s", s->len > 1 ? ", " : "", r->schema.children[k]->name,
                           cell ? cell : "null");
  }
  g_string_append_c(s, '}');
  return g_string_free(s, FALSE);
}

/* Columns that the expected row names must be equal. Gives the number of differences. */
static int compare_row(struct pipeline_test *p, const char *stage, const struct mr_ynode *expected,
                       const struct mr_rows *want, const struct mr_rows *got, guint i)
{
  int n = 0;
  for (guint k = 0; k < mr_ynode_count(expected); k++) {
    const char *name = mr_ynode_kid(expected, k)->key;
    int64_t c = mr_schema_find(&want->schema, name);
    const char *a = ((char **)got->rows->pdata[i])[c], *b = ((char **)want->rows->pdata[i])[c];
    if (g_strcmp0(a, b) && n++ < SHOWN)
      mr_test_note(p->t, "%s, row %u, column %s: got %s, expected %s", stage, i + 1, name,
                   a ? a : "null", b ? b : "null");
  }
  return n;
}

static void compare_rows(struct pipeline_test *p, struct mr_ynode *list, const struct mr_rows *want,
                         const struct mr_rows *got)
{
  guint n = got->rows->len, m = want->rows->len;
  int differences = 0;
  if (n != m)
    mr_test_note(p->t, "%s: %u row%s, expected %u", list->key, n, n == 1 ? "" : "s", m);
  for (guint i = 0; i < MIN(n, m) && differences < SHOWN; i++)
    differences += compare_row(p, list->key, mr_ynode_kid(list, i), want, got, i);
  for (guint i = MIN(n, m); i < MAX(n, m) && i < MIN(n, m) + SHOWN; i++) {
    g_autofree char *row = row_text(n > m ? got : want, i);
    mr_test_note(p->t, "%s, row %u: %s %s", list->key, i + 1,
                 n > m ? "not expected:" : "missing:", row);
  }
}

static void check_stage(struct pipeline_test *p, struct mr_dry *d, struct mr_ynode *list)
{
  struct mr_error err = MR_ERROR_INIT;
  const struct mr_rows *got = g_hash_table_lookup(p->got, list->key);
  const struct ArrowSchema *schema =
      got->schema.release ? &got->schema : mr_dry_schema(d, list->key);
  struct ArrowArray rows = {0};
  struct mr_rows want;
  g_autofree char *whose = g_strdup_printf("stage `%s`", list->key);
  if (!schema) {
    if (mr_ynode_count(list))
      mr_test_note(p->t, "%s: no rows", list->key);
    return;
  }
  if (!mr_yaml_rows(list, schema, whose, p->t->problems, &rows))
    return;
  mr_rows_init(&want);
  if (mr_rows_add(&want, schema, &rows, INT64_MAX, &err))
    compare_rows(p, list, &want, got);
  else
    mr_test_note(p->t, "%s: %s", list->key, err.msg);
  mr_rows_finish_all(&want);
  mr_array_release(&rows);
}

/* `columns`: exactly these names and types, in this order; system columns do not count. */
static void check_columns(struct pipeline_test *p, struct mr_dry *d, struct mr_ynode *map)
{
  const struct ArrowSchema *schema = named(p, map, false, true) ? mr_dry_schema(d, map->key) : NULL;
  struct ArrowSchema want = {0};
  guint n = 0;
  char x[128], y[128];
  if (!mr_schema_struct(&want) || !mr_yaml_columns(map, p->t->problems, &want))
    return mr_schema_release(&want);
  for (int64_t i = 0; schema && i < schema->n_children; i++) {
    const struct ArrowSchema *c = schema->children[i];
    const struct ArrowSchema *w = n < (guint)want.n_children ? want.children[n] : NULL;
    if (mr_schema_is_system(c))
      continue;
    n++;
    if (!w)
      mr_test_note(p->t, "%s: column %s %s is not expected", map->key, c->name,
                   mr_type_name(c, x, sizeof x));
    else if (strcmp(c->name, w->name) || !mr_type_equal(c, w))
      mr_test_note(p->t, "%s: column %u is %s %s, expected %s %s", map->key, n, c->name,
                   mr_type_name(c, x, sizeof x), w->name, mr_type_name(w, y, sizeof y));
  }
  for (; n < (guint)want.n_children; n++)
    mr_test_note(p->t, "%s: column %s is missing", map->key, want.children[n]->name);
  mr_schema_release(&want);
}

static bool fits(const char *expected, const char *got)
{
  return !expected || !g_strcmp0(expected, got);
}

static void check_reject(struct pipeline_test *p, struct mr_ynode *n)
{
  static const char *const keys[] = {"stage", "code", "column", "message", "row", NULL};
  struct mr_test_file *t = p->t;
  if (!mr_test_keys(t, n, keys))
    return;
  const char *stage = mr_test_text(t, n, "stage"), *code = mr_test_text(t, n, "code"),
             *column = mr_test_text(t, n, "column"), *message = mr_test_text(t, n, "message"),
             *row = mr_test_text(t, n, "row");
  for (guint i = 0; i < p->rejects->len; i++) {
    struct reject *r = p->rejects->pdata[i];
    if (r->expected || !fits(stage, r->stage) || !fits(code, r->code) || !fits(column, r->column) ||
        (message && !strstr(r->message ? r->message : "", message)) ||
        (row && !strstr(r->row ? r->row : "", row)))
      continue;
    r->expected = true;
    return;
  }
  g_autofree char *text = mr_ynode_text(n);
  mr_test_note(t, "no such rejected row: %s", text);
}

static void check_rejects(struct pipeline_test *p)
{
  struct mr_ynode *list = mr_ynode_get(p->node, "rejects");
  for (guint i = 0; i < mr_ynode_count(list); i++)
    check_reject(p, mr_ynode_kid(list, i));
  for (guint i = 0; i < p->rejects->len; i++) {
    const struct reject *r = p->rejects->pdata[i];
    if (!r->expected)
      mr_test_note(p->t, "%s rejected a row: %s: %s%s%s", r->stage, r->code, r->message,
                   r->row ? ": " : "", r->row ? r->row : "");
  }
}

static void check_all(struct pipeline_test *p, struct mr_dry *d)
{
  struct mr_ynode *expect = mr_ynode_get(p->node, "expect"),
                  *columns = mr_ynode_get(p->node, "columns");
  for (guint i = 0; i < mr_ynode_count(expect); i++)
    check_stage(p, d, mr_ynode_kid(expect, i));
  for (guint i = 0; i < mr_ynode_count(columns); i++)
    check_columns(p, d, mr_ynode_kid(columns, i));
  check_rejects(p);
  if (p->err.msg[0])
    mr_test_note(p->t, "%s", p->err.msg);
}

/* ---- a test */

static bool watch_stages(struct pipeline_test *p)
{
  struct mr_ynode *expect = mr_ynode_get(p->node, "expect");
  bool ok = true;
  for (guint i = 0; i < mr_ynode_count(expect); i++) {
    const struct mr_stage_spec *st = named(p, mr_ynode_kid(expect, i), false, true);
    ok = ok && st;
    if (!st)
      continue;
    struct mr_rows *r = g_new0(struct mr_rows, 1);
    mr_rows_init(r);
    g_hash_table_insert(p->got, st->name, r);
  }
  return ok;
}

static void run(struct pipeline_test *p)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_dry_options o = {
      .wants = mr_check_wants, .rows = on_rows, .reject = on_reject, .ctx = p};
  struct mr_dry *d = mr_dry_new(p->f->spec, &o, &err);
  if (!d || mr_dry_start(d, &err) < 0)
    mr_test_note(p->t, "%s", err.msg);
  else if (give_all(p, d))
    check_all(p, d);
  mr_dry_free(d);
}

static void test_one(struct mr_test_file *t, struct mr_app_file *f, struct mr_ynode *n)
{
  static const char *const keys[] = {"name",  "input",   "expect",  "rejects",
                                     "types", "lookups", "columns", NULL};
  g_autoptr(GPtrArray) tables = g_ptr_array_new_with_free_func(table_free);
  struct pipeline_test p = {.t = t, .f = f, .node = n, .err = MR_ERROR_INIT};
  p.got = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, rows_free);
  p.rejects = g_ptr_array_new_with_free_func(reject_free);
  const char *name = mr_test_keys(t, n, keys) ? mr_test_text(t, n, "name") : NULL;
  if (!name)
    mr_ynode_problem(t->problems, n, "`name` is missing");
  else if (watch_stages(&p) && fill_lookups(&p, tables))
    run(&p);
  mr_test_end(t, name ? name : "?");
  g_hash_table_unref(p.got);
  g_ptr_array_unref(p.rejects);
}

void mr_test_pipeline(struct mr_test_file *t, struct mr_app_file *f, struct mr_ynode *list)
{
  if (list->type != MR_NODE_LIST)
    mr_ynode_problem(t->problems, list, "a list of tests is expected here");
  for (guint i = 0; i < mr_ynode_count(list); i++)
    test_one(t, f, mr_ynode_kid(list, i));
}
