/* SPDX-License-Identifier: Apache-2.0 */
#include "app/row-schema.h"
#include "conf/json-out.h"
#include "data/types.h"

#define DATE "-?[0-9]{4,}-[0-9]{2}-[0-9]{2}"
#define TIME "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}"

/* "type": what it is, or null where the column may be null. */
static void put_type(struct mr_json_out *w, const char *type, bool nullable)
{
  if (!nullable) {
    mr_json_out_text(w, "type", type);
    return;
  }
  mr_json_out_open(w, "type", '[');
  mr_json_out_text(w, NULL, type);
  mr_json_out_text(w, NULL, "null");
  mr_json_out_close(w, '[');
}

static void put_integer(struct mr_json_out *w, enum mr_kind k, bool nullable)
{
  static const struct {
    int64_t least;
    const char *most;
  } range[] = {[MR_K_INT8] = {INT8_MIN, "127"},
               [MR_K_INT16] = {INT16_MIN, "32767"},
               [MR_K_INT32] = {INT32_MIN, "2147483647"},
               [MR_K_INT64] = {INT64_MIN, "9223372036854775807"},
               [MR_K_UINT8] = {0, "255"},
               [MR_K_UINT16] = {0, "65535"},
               [MR_K_UINT32] = {0, "4294967295"},
               [MR_K_UINT64] = {0, "18446744073709551615"}};
  put_type(w, "integer", nullable);
  mr_json_out_int(w, "minimum", range[k].least);
  mr_json_out_raw(w, "maximum", range[k].most);
}

/* JSON has no NaN and no infinities. */
static void put_float(struct mr_json_out *w, bool nullable)
{
  static const char *const texts[] = {"NaN", "Infinity", "-Infinity"};
  mr_json_out_open(w, "anyOf", '[');
  mr_json_out_open(w, NULL, '{');
  mr_json_out_text(w, "type", "number");
  mr_json_out_close(w, '{');
  mr_json_out_open(w, NULL, '{');
  mr_json_out_open(w, "enum", '[');
  for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
    mr_json_out_text(w, NULL, texts[i]);
  if (nullable)
    mr_json_out_text(w, NULL, NULL);
  mr_json_out_close(w, '[');
  mr_json_out_close(w, '{');
  mr_json_out_close(w, '[');
}

static void put_text(struct mr_json_out *w, const char *pattern, bool nullable)
{
  put_type(w, "string", nullable);
  if (pattern)
    mr_json_out_text(w, "pattern", pattern);
}

static void put_value(struct mr_json_out *w, const char *key, const struct ArrowSchema *s);

/* all: no other keys, and none is left out. */
static void put_object(struct mr_json_out *w, const struct ArrowSchema *s, bool nullable, bool all)
{
  put_type(w, "object", nullable);
  mr_json_out_open(w, "properties", '{');
  for (int64_t i = 0; i < s->n_children; i++)
    if (!mr_schema_is_system(s->children[i]))
      put_value(w, s->children[i]->name, s->children[i]);
  mr_json_out_close(w, '{');
  mr_json_out_open(w, "required", '[');
  for (int64_t i = 0; all && i < s->n_children; i++)
    if (!mr_schema_is_system(s->children[i]))
      mr_json_out_text(w, NULL, s->children[i]->name);
  mr_json_out_close(w, '[');
  mr_json_out_bool(w, "additionalProperties", false);
}

static void put_kind(struct mr_json_out *w, const struct ArrowSchema *s, bool nullable)
{
  enum mr_kind k = mr_kind_of(s);
  switch (k) {
  case MR_K_BOOL: put_type(w, "boolean", nullable); return;
  case MR_K_FLOAT32:
  case MR_K_FLOAT64: put_float(w, nullable); return;
  case MR_K_DECIMAL: put_type(w, "number", nullable); return;
  case MR_K_DATE: put_text(w, "^" DATE "$", nullable); return;
  case MR_K_TIME: put_text(w, "^" TIME "$", nullable); return;
  case MR_K_TIMESTAMP:
    put_text(w, mr_zone_of(s)[0] ? "^" DATE "T" TIME "Z$" : "^" DATE "T" TIME "$", nullable);
    return;
  case MR_K_TEXT:
    if (!mr_schema_is_json(s)) /* else it may be anything */
      put_text(w, NULL, nullable);
    return;
  case MR_K_BINARY:
    put_text(w, NULL, nullable);
    mr_json_out_text(w, "contentEncoding", "base64");
    return;
  case MR_K_FIXED: put_text(w, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", nullable); return;
  case MR_K_LIST:
    put_type(w, "array", nullable);
    put_value(w, "items", s->children[0]);
    return;
  case MR_K_STRUCT: put_object(w, s, nullable, true); return;
  case MR_K_MAP:
    put_type(w, "object", nullable);
    put_value(w, "additionalProperties", s->children[0]->children[1]);
    return;
  case MR_K_NULL: mr_json_out_text(w, "type", "null"); return;
  default: put_integer(w, k, nullable); return;
  }
}

static void put_value(struct mr_json_out *w, const char *key, const struct ArrowSchema *s)
{
  char type[128];
  mr_json_out_open(w, key, '{');
  mr_json_out_text(w, "description", mr_type_name(s, type, sizeof type));
  put_kind(w, s, s->flags & ARROW_FLAG_NULLABLE);
  mr_json_out_close(w, '{');
}

char *mr_row_schema(const char *title, const struct ArrowSchema *rows)
{
  struct mr_json_out w = {.text = g_string_new(NULL)};
  bool partial = mr_schema_find(rows, "_set") >= 0;
  mr_json_out_open(&w, NULL, '{');
  mr_json_out_text(&w, "$schema", "https://json-schema.org/draft/2020-12/schema");
  mr_json_out_text(&w, "title", title);
  put_object(&w, rows, false, !partial);
  mr_json_out_close(&w, '{');
  return g_string_free(w.text, FALSE);
}
