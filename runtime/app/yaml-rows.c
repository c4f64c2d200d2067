/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML row is written as JSON and read by the JSON decoder: one reader for every type. */
#include "app/yaml-rows.h"
#include <string.h>
#include "conf/suggest.h"
#include "data/types.h"
#include "format/json.h"
#include "millrace/changes.h"

/* ---- to JSON */

static bool is_null(const struct mr_ynode *n)
{
  return !n->quote && (n->bare || !strcmp(n->text, "null") || !strcmp(n->text, "~"));
}

/* A number as JSON spells it. */
static bool is_number(const char *c)
{
  c += *c == '-';
  if (!g_ascii_isdigit(*c) || (*c == '0' && g_ascii_isdigit(c[1])))
    return false;
  while (g_ascii_isdigit(*c))
    c++;
  if (*c == '.' && g_ascii_isdigit(c[1]))
    for (c++; g_ascii_isdigit(*c);)
      c++;
  if (*c != 'e' && *c != 'E')
    return !*c;
  c++;
  c += *c == '+' || *c == '-';
  if (!g_ascii_isdigit(*c))
    return false;
  while (g_ascii_isdigit(*c))
    c++;
  return !*c;
}

static void put_text(GString *out, const char *text)
{
  g_string_append_c(out, '"');
  for (const char *c = text; *c; c++) {
    if (*c == '"' || *c == '\\')
      g_string_append_printf(out, "\\%c", *c);
    else if ((unsigned char)*c < 0x20)
      g_string_append_printf(out, "\\u%04x", *c);
    else
      g_string_append_c(out, *c);
  }
  g_string_append_c(out, '"');
}

static void put_scalar(GString *out, const struct mr_ynode *n, const struct ArrowSchema *type)
{
  bool text = type && mr_kind_of(type) == MR_K_TEXT && !mr_schema_is_json(type);
  bool raw = !n->quote && !text &&
             (is_number(n->text) || !strcmp(n->text, "true") || !strcmp(n->text, "false"));
  if (is_null(n))
    g_string_append(out, "null");
  else if (raw)
    g_string_append(out, n->text);
  else
    put_text(out, n->text);
}

/* The type of what stands inside a value of `type` under a key; NULL: not known. */
static const struct ArrowSchema *inner(const struct ArrowSchema *type, const char *key)
{
  enum mr_kind k = type ? mr_kind_of(type) : MR_K_NONE;
  int64_t i = k == MR_K_STRUCT && key ? mr_schema_find(type, key) : -1;
  if (i >= 0)
    return type->children[i];
  if (k == MR_K_LIST)
    return type->children[0];
  return k == MR_K_MAP ? type->children[0]->children[1] : NULL;
}

static void put_value(GString *out, const struct mr_ynode *n, const struct ArrowSchema *type)
{
  bool map = n->type == MR_NODE_MAP;
  if (n->type == MR_NODE_SCALAR) {
    put_scalar(out, n, type);
    return;
  }
  g_string_append_c(out, map ? '{' : '[');
  for (guint i = 0; i < mr_ynode_count(n); i++) {
    const struct mr_ynode *kid = mr_ynode_kid(n, i);
    if (i)
      g_string_append_c(out, ',');
    if (map) {
      put_text(out, kid->key);
      g_string_append_c(out, ':');
    }
    put_value(out, kid, inner(type, kid->key));
  }
  g_string_append_c(out, map ? '}' : ']');
}

/* ---- to rows */

struct mr_decoder *mr_yaml_decoder(const struct ArrowSchema *schema, struct mr_error *err)
{
  const struct mr_json_conf conf = {.columns = schema,
                                    .unknown = MR_UNKNOWN_DEAD_LETTER,
                                    .timestamps = MR_TIME_ISO,
                                    .quoted_numbers = true,
                                    .absent = mr_schema_find(schema, MR_SET) >= 0};
  const struct mr_format format = {mr_format_find("json"), &conf};
  struct mr_decoder *d = NULL;
  return mr_decoder_new(&format, &d, err) < 0 ? NULL : d;
}

static bool known_columns(const struct mr_ynode *row, const struct ArrowSchema *schema,
                          const char *whose, GPtrArray *problems)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new();
  bool ok = true;
  for (int64_t i = 0; i < schema->n_children; i++)
    g_ptr_array_add(names, (char *)schema->children[i]->name);
  for (guint i = 0; i < mr_ynode_count(row); i++) {
    struct mr_ynode *kid = mr_ynode_kid(row, i);
    if (mr_schema_find(schema, kid->key) >= 0)
      continue;
    g_autofree char *hint =
        mr_suggest_text(kid->key, (const char *const *)names->pdata, names->len);
    mr_ynode_key_problem(problems, kid, "%s has no column `%s`%s", whose, kid->key, hint);
    ok = false;
  }
  return ok;
}

static bool decode_row(struct mr_decoder *d, struct mr_ynode *row, const struct ArrowSchema *schema,
                       const char *whose, GPtrArray *problems)
{
  struct mr_error err = MR_ERROR_INIT;
  if (row->type != MR_NODE_MAP) {
    mr_ynode_problem(problems, row, "a row is a mapping of columns to values");
    return false;
  }
  if (!known_columns(row, schema, whose, problems))
    return false;
  GString *json = g_string_new("{");
  for (guint i = 0; i < mr_ynode_count(row); i++) {
    const struct mr_ynode *kid = mr_ynode_kid(row, i);
    g_string_append(json, i ? "," : "");
    put_text(json, kid->key);
    g_string_append_c(json, ':');
    put_value(json, kid, schema->children[mr_schema_find(schema, kid->key)]);
  }
  g_string_append_c(json, '}');
  int st = mr_decode(d, json->str, json->len, &err);
  g_string_free(json, TRUE);
  if (st >= 0)
    return true;
  const char *what = strstr(err.msg, "column "); /* not the byte of a text that nobody sees */
  mr_ynode_problem(problems, row, "%s", what ? what : err.msg);
  return false;
}

bool mr_yaml_rows(struct mr_ynode *list, const struct ArrowSchema *schema, const char *whose,
                  GPtrArray *problems, struct ArrowArray *give)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_decoder *d = mr_yaml_decoder(schema, &err);
  bool ok = d != NULL;
  if (!d)
    mr_ynode_problem(problems, list, "%s", err.msg);
  if (ok && list->type != MR_NODE_LIST && !list->bare) {
    mr_ynode_problem(problems, list, "a list of rows is expected here");
    ok = false;
  }
  for (guint i = 0; d && i < mr_ynode_count(list); i++)
    ok = decode_row(d, mr_ynode_kid(list, i), schema, whose, problems) && ok;
  if (ok && mr_decoded(d, give, &err) < 0) {
    mr_ynode_problem(problems, list, "%s", err.msg);
    ok = false;
  }
  mr_decoder_free(d);
  return ok;
}

bool mr_yaml_value(struct mr_ynode *value, const struct ArrowSchema *schema, GPtrArray *problems,
                   struct ArrowArray *give)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_decoder *d = mr_yaml_decoder(schema, &err);
  GString *json = g_string_new("{");
  put_text(json, schema->children[0]->name);
  g_string_append_c(json, ':');
  put_value(json, value, schema->children[0]);
  g_string_append_c(json, '}');
  bool ok = d && mr_decode(d, json->str, json->len, &err) >= 0 && mr_decoded(d, give, &err) >= 0;
  if (!ok) {
    const char *what = strstr(err.msg, "column ");
    mr_ynode_problem(problems, value, "%s", what ? what : err.msg);
  }
  g_string_free(json, TRUE);
  mr_decoder_free(d);
  return ok;
}

bool mr_yaml_columns(struct mr_ynode *map, GPtrArray *problems, struct ArrowSchema *rows)
{
  bool ok = true;
  for (guint i = 0; i < mr_ynode_count(map); i++) {
    struct mr_ynode *n = mr_ynode_kid(map, i);
    struct mr_error err = MR_ERROR_INIT;
    struct ArrowSchema column;
    if (map->type != MR_NODE_MAP || n->type != MR_NODE_SCALAR ||
        mr_type_parse(n->text, n->key, &column, &err) < 0) {
      mr_ynode_problem(problems, n, "%s", err.msg[0] ? err.msg : "a type is expected here");
      ok = false;
    } else if (!mr_schema_add(rows, &column))
      g_error("out of memory");
  }
  return ok;
}
