/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of expressions: columns and a row, and what the expression gives. */
#include <string.h>
#include "app/test-file.h"
#include "app/yaml-rows.h"
#include "data/types.h"
#include "expr/expr.h"

struct bad_row {
  bool any;
  char code[32];
  char *message;
};

static void on_bad(void *out, int64_t row, const char *code, const char *msg)
{
  struct bad_row *b = out;
  if (b->any)
    return;
  b->any = true;
  g_strlcpy(b->code, code, sizeof b->code);
  b->message = g_strdup(msg);
}

/* `error:` names the code, or a part of the message. */
static void expect_error(struct mr_test_file *t, const char *expected, const char *code,
                         const char *message)
{
  if (!expected)
    mr_test_note(t, "error %s: %s", code, message);
  else if (strcmp(expected, code) && !strstr(message, expected))
    mr_test_note(t, "got error %s: %s; expected error %s", code, message, expected);
}

/* The result as a rows schema and rows of one column, `result`. Takes type and value. */
static void as_rows(struct ArrowSchema *type, struct ArrowArray *value, struct ArrowSchema *schema,
                    struct ArrowArray *rows)
{
  if (!mr_schema_struct(schema) || !mr_schema_rename(type, "result") ||
      !mr_schema_add(schema, type) || !mr_array_init(rows, 1, 1, 1))
    g_error("out of memory");
  mr_array_move(value, rows->children[0]);
}

static void compare(struct mr_test_file *t, struct mr_ynode *equals,
                    const struct ArrowSchema *schema, const struct ArrowArray *rows)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray expected = {0};
  struct mr_rows r;
  if (!mr_yaml_value(equals, schema, t->problems, &expected))
    return;
  mr_rows_init(&r);
  if (!mr_rows_add(&r, schema, rows, 1, &err) || !mr_rows_add(&r, schema, &expected, 1, &err))
    mr_test_note(t, "%s", err.msg);
  else {
    const char *got = ((char **)r.rows->pdata[0])[0], *want = ((char **)r.rows->pdata[1])[0];
    if (g_strcmp0(got, want))
      mr_test_note(t, "got %s, expected %s", got ? got : "null", want ? want : "null");
  }
  mr_rows_finish_all(&r);
  mr_array_release(&expected);
}

static void check_type(struct mr_test_file *t, const char *expected, const struct ArrowSchema *type)
{
  char name[128];
  if (expected && strcmp(expected, mr_type_name(type, name, sizeof name)))
    mr_test_note(t, "the type is %s, expected %s", name, expected);
}

/* Evaluates over one row. Takes type. */
static void evaluate(struct mr_test_file *t, struct mr_ynode *n, struct mr_expr *e,
                     struct ArrowSchema *type, const struct ArrowSchema *in,
                     const struct ArrowArray *row)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowArray value = {0}, rows = {0};
  struct ArrowSchema schema = {0};
  struct bad_row bad = {0};
  const char *error = mr_test_text(t, n, "error");
  struct mr_ynode *equals = mr_ynode_get(n, "equals");
  check_type(t, mr_test_text(t, n, "type"), type);
  if (mr_expr_eval(e, in, row, &value, on_bad, &bad, &err) < 0) {
    expect_error(t, error, err.code, err.msg);
    mr_schema_release(type);
    return;
  }
  as_rows(type, &value, &schema, &rows);
  if (bad.any)
    expect_error(t, error, bad.code, bad.message);
  else if (error)
    mr_test_note(t, "no error; expected error %s", error);
  if (equals && !bad.any)
    compare(t, equals, &schema, &rows);
  g_free(bad.message);
  mr_array_release(&rows);
  mr_schema_release(&schema);
}

/* The row that the expression is evaluated over: one, without columns when none are declared. */
static bool make_row(struct mr_test_file *t, struct mr_ynode *n, struct ArrowSchema *schema,
                     struct ArrowArray *row)
{
  struct mr_ynode *columns = mr_ynode_get(n, "columns"), *values = mr_ynode_get(n, "row");
  if (!mr_schema_struct(schema) || (columns && !mr_yaml_columns(columns, t->problems, schema)))
    return false;
  if (!schema->n_children)
    return mr_array_init(row, 1, 1, 0);
  struct mr_ynode *list = mr_ynode_new(MR_NODE_LIST, NULL);
  g_ptr_array_add(list->kids, values ? values : mr_ynode_new(MR_NODE_MAP, list));
  bool ok = mr_yaml_rows(list, schema, "the table", t->problems, row);
  if (values)
    g_ptr_array_steal_index(list->kids, 0);
  mr_ynode_free(list);
  return ok;
}

static void test_one(struct mr_test_file *t, struct mr_ynode *n)
{
  static const char *const keys[] = {"name",   "expr",  "columns", "row",
                                     "equals", "error", "type",    NULL};
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema schema = {0}, type = {0};
  struct ArrowArray row = {0};
  struct mr_expr *e = NULL;
  const char *text = mr_test_keys(t, n, keys) ? mr_test_text(t, n, "expr") : NULL;
  const char *name = mr_test_text(t, n, "name");
  if (!text)
    mr_ynode_problem(t->problems, n, "`expr` is missing");
  else if (!mr_ynode_get(n, "equals") && !mr_ynode_get(n, "error"))
    mr_ynode_problem(t->problems, n, "`equals` or `error` is missing");
  else if (make_row(t, n, &schema, &row)) {
    if (mr_expr_new(text, &schema, &e, &type, &err) < 0)
      expect_error(t, mr_test_text(t, n, "error"), "at compile time", err.msg);
    else
      evaluate(t, n, e, &type, &schema, &row);
  }
  mr_test_end(t, name ? name : text ? text : "?");
  mr_expr_free(e);
  mr_array_release(&row);
  mr_schema_release(&schema);
}

void mr_test_expr(struct mr_test_file *t, struct mr_ynode *list)
{
  if (list->type != MR_NODE_LIST)
    mr_ynode_problem(t->problems, list, "a list of expressions is expected here");
  for (guint i = 0; i < mr_ynode_count(list); i++)
    test_one(t, mr_ynode_kid(list, i));
}
