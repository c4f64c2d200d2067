/* SPDX-License-Identifier: Apache-2.0 */
#include "common/evolve.h"
#include <strings.h>
#include "common/src-error.h"
#include "millrace/build.h"

const char *const evo_choices[] = {"none", "add", "full", NULL};

int evo_validate(int policy, bool drop_columns, struct mr_error *err)
{
  if (drop_columns && policy != EVOLVE_FULL)
    return src_badconf(err, "drop_columns", "only evolve: full drops columns");
  return MR_OK;
}

/* ---------------------------------------------------------------- names of types */

static void decimal_name(const struct ArrowSchema *s, struct sql_buf *out)
{
  int precision, scale;
  mr_decimal_of(s, &precision, &scale);
  sql_buf_fmt(out, "decimal(%d,%d)", precision, scale);
}

static void nested_name(const struct ArrowSchema *s, enum mr_kind k, struct sql_buf *out)
{
  const struct ArrowSchema *of = k == MR_K_MAP ? s->children[0] : s;
  sql_buf_str(out, k == MR_K_LIST ? "list<" : k == MR_K_MAP ? "map<" : "struct<");
  for (int64_t i = 0; i < of->n_children; i++) {
    sql_buf_str(out, i ? ", " : "");
    if (k == MR_K_STRUCT)
      sql_buf_fmt(out, "%s: ", of->children[i]->name);
    evo_type_name(of->children[i], out);
  }
  sql_buf_byte(out, '>');
}

void evo_type_name(const struct ArrowSchema *s, struct sql_buf *out)
{
  static const char *const names[] = {
      [MR_K_NULL] = "null",     [MR_K_BOOL] = "bool",       [MR_K_INT8] = "int8",
      [MR_K_INT16] = "int16",   [MR_K_INT32] = "int32",     [MR_K_INT64] = "int64",
      [MR_K_UINT8] = "uint8",   [MR_K_UINT16] = "uint16",   [MR_K_UINT32] = "uint32",
      [MR_K_UINT64] = "uint64", [MR_K_FLOAT32] = "float32", [MR_K_FLOAT64] = "float64",
      [MR_K_DATE] = "date",     [MR_K_TIME] = "time",       [MR_K_BINARY] = "binary",
      [MR_K_FIXED] = "uuid"};
  enum mr_kind k = mr_kind_of(s);
  if (k == MR_K_DECIMAL)
    decimal_name(s, out);
  else if (k == MR_K_LIST || k == MR_K_MAP || k == MR_K_STRUCT)
    nested_name(s, k, out);
  else if (k == MR_K_TIMESTAMP)
    sql_buf_str(out, *mr_zone_of(s) ? "timestamptz" : "timestamp");
  else if (k == MR_K_TEXT)
    sql_buf_str(out, mr_schema_is_json(s) ? "json" : "utf8");
  else
    sql_buf_str(out, (size_t)k < sizeof names / sizeof *names && names[k] ? names[k] : "unknown");
}

const char *evo_message(struct sql_buf *out, const char *msg, const char *expected,
                        const struct ArrowSchema *got)
{
  sql_buf_clear(out);
  sql_buf_fmt(out, "%s (expected %s, got ", msg, expected);
  evo_type_name(got, out);
  sql_buf_byte(out, ')');
  return sql_buf_text(out);
}

/* ---------------------------------------------------------------- words and figures */

static void count(const struct evo_table *t, const char *name)
{
  t->host->metric(t->host->ctx, name, MR_NO_LANE, 1);
}

bool evo_refuses_rows(const struct evo_table *t, const struct evo_column *c,
                      const struct ArrowSchema *from, bool came_later)
{
  struct sql_buf name = {0};
  if (c->key || c->fixed || (!came_later && t->policy == EVOLVE_NONE))
    return false;
  evo_type_name(from, &name);
  src_log(t->host, MR_WARN,
          "column %s of %s has type %.100s and the input brings %.100s: such rows are refused",
          c->name, t->shown, c->type, sql_buf_text(&name));
  count(t, "columns_unfit_total");
  sql_buf_done(&name);
  return true;
}

/* ---------------------------------------------------------------- comparing */

static bool same_name(const struct evo_table *t, const char *a, const char *b)
{
  return !(t->any_case ? strcasecmp(a, b) : strcmp(a, b));
}

static bool same_type(const struct ArrowSchema *a, const struct ArrowSchema *b)
{
  if (strcmp(a->format, b->format) || mr_schema_is_json(a) != mr_schema_is_json(b) ||
      a->n_children != b->n_children)
    return false;
  for (int64_t i = 0; i < a->n_children; i++)
    if (!same_type(a->children[i], b->children[i]))
      return false;
  return true;
}

static bool has(const struct evo_table *t, const struct ArrowSchema *s, const char *name)
{
  for (int64_t i = 0; i < s->n_children; i++)
    if (same_name(t, s->children[i]->name, name))
      return true;
  return false;
}

static int find(const struct evo_table *t, const char *name, struct evo_column *ret)
{
  for (int i = 0; t->column(t->self, i, ret); i++)
    if (same_name(t, ret->name, name))
      return i;
  return -1;
}

static int64_t own_columns(const struct ArrowSchema *s)
{
  int64_t n = 0;
  for (int64_t i = 0; i < s->n_children; i++)
    n += !mr_schema_is_system(s->children[i]);
  return n;
}

/* The k-th column that is no system column. */
static const struct ArrowSchema *own_column(const struct ArrowSchema *s, int64_t k)
{
  for (int64_t i = 0; i < s->n_children; i++)
    if (!mr_schema_is_system(s->children[i]) && k-- == 0)
      return s->children[i];
  return NULL;
}

/* ---------------------------------------------------------------- the steps */

/* A column that has another name than before, in the same place and of the same type: to add the
 * one and leave the other would tear its values apart. */
static int check_renames(const struct evo_table *t, const struct ArrowSchema *before,
                         const struct ArrowSchema *to, struct mr_error *err)
{
  struct evo_column c;
  int64_t n = own_columns(before);
  for (int64_t k = 0; own_columns(to) == n && k < n; k++) {
    const struct ArrowSchema *old = own_column(before, k), *now = own_column(to, k);
    if (has(t, to, old->name) || has(t, before, now->name) || !same_type(old, now) ||
        find(t, now->name, &c) >= 0 || find(t, old->name, &c) < 0)
      continue;
    count(t, "columns_renamed_total");
    return src_badconf(err, "table",
                       "column %s of the input is called %s now, and a rename is not followed: "
                       "rename the column of %s, or add %s to it, and start again",
                       old->name, now->name, t->shown, now->name);
  }
  return MR_OK;
}

static int alter(const struct evo_table *t, enum evo_act act, int i, const struct ArrowSchema *to,
                 bool *ret_changed, struct mr_error *err)
{
  int status = t->alter(t->self, act, i, to, err);
  *ret_changed |= status >= 0;
  return status;
}

/* The input has the column no more. */
static int lose(const struct evo_table *t, int i, const struct evo_column *c, bool *ret_changed,
                struct mr_error *err)
{
  if (c->key)
    return src_badconf(err, "table", "the input has no column %s any more, a key column of %s",
                       c->name, t->shown);
  bool full = t->policy == EVOLVE_FULL && !c->fixed;
  bool drop = full && t->drop_columns, relax = full && !drop && c->demands;
  int status =
      drop || relax ? alter(t, drop ? EVO_DROP : EVO_RELAX, i, NULL, ret_changed, err) : MR_OK;
  if (status < 0)
    return status;
  src_log(t->host, MR_WARN, "the input has no column %s any more: that of %s %s", c->name, t->shown,
          drop    ? "is dropped"
          : relax ? "may be null now, and is in new rows"
                  : "stays, and new rows leave it out");
  count(t, drop ? "columns_dropped_total" : "columns_gone_total");
  return MR_OK;
}

static int add(const struct evo_table *t, const struct ArrowSchema *to, bool *ret_changed,
               struct mr_error *err)
{
  int status = alter(t, EVO_ADD, -1, to, ret_changed, err);
  if (status < 0)
    return status;
  src_log(t->host, MR_INFO, "added column %s to %s", to->name, t->shown);
  count(t, "columns_added_total");
  return MR_OK;
}

static int widen(const struct evo_table *t, int i, const struct evo_column *c,
                 const struct ArrowSchema *to, bool *ret_changed, struct mr_error *err)
{
  struct sql_buf name = {0}, old = {0};
  sql_buf_str(&old, c->type);
  evo_type_name(to, &name);
  int status = alter(t, EVO_WIDEN, i, to, ret_changed, err);
  if (status >= 0) {
    src_log(t->host, MR_INFO, "column %s of %s was %.100s and is widened for %.100s", to->name,
            t->shown, sql_buf_text(&old), sql_buf_text(&name));
    count(t, "columns_widened_total");
  }
  sql_buf_done(&name);
  sql_buf_done(&old);
  return status;
}

static int follow_gone(const struct evo_table *t, const struct ArrowSchema *before,
                       const struct ArrowSchema *to, bool *ret_changed, struct mr_error *err)
{
  struct evo_column c;
  int status = MR_OK;
  for (int64_t k = 0; status >= 0 && k < before->n_children; k++) {
    const char *name = before->children[k]->name;
    int i = mr_schema_is_system(before->children[k]) || has(t, to, name) ? -1 : find(t, name, &c);
    if (i >= 0)
      status = lose(t, i, &c, ret_changed, err);
  }
  return status;
}

static int follow_come(const struct evo_table *t, const struct ArrowSchema *to, bool *ret_changed,
                       struct mr_error *err)
{
  struct evo_column c;
  int status = MR_OK;
  for (int64_t k = 0; status >= 0 && k < to->n_children; k++) {
    const struct ArrowSchema *in = to->children[k];
    if (mr_schema_is_system(in))
      continue;
    int i = find(t, in->name, &c);
    if (i < 0)
      status = add(t, in, ret_changed, err);
    else if (t->policy == EVOLVE_FULL && !c.fixed && !c.key && t->widens(t->self, i, in))
      status = widen(t, i, &c, in, ret_changed, err);
  }
  return status;
}

int evo_follow(const struct evo_table *t, const struct ArrowSchema *before,
               const struct ArrowSchema *to, struct mr_error *err)
{
  bool changed = false;
  int status = before ? check_renames(t, before, to, err) : MR_OK;
  if (status >= 0 && t->policy != EVOLVE_NONE)
    status = follow_come(t, to, &changed, err);
  if (status >= 0 && before)
    status = follow_gone(t, before, to, &changed, err);
  return status >= 0 && changed ? t->look(t->self, err) : status;
}

int evo_input(struct ArrowSchema *in, const struct ArrowSchema *to, struct mr_error *err)
{
  struct ArrowSchema copy;
  if (!mr_schema_copy(to, &copy)) {
    mr_schema_release(&copy);
    return src_no_memory(err);
  }
  mr_schema_release(in);
  *in = copy;
  return MR_OK;
}
