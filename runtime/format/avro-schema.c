/* SPDX-License-Identifier: Apache-2.0 */
#include "format/avro.h"
#include <ctype.h>
#include <stdio.h>

#define UINT64_DIGITS 20
#define PATH_BYTES 4096 /* of a nested record's name */

/* ---------------------------------------------------------------- what can be named */

/* Source: Avro 1.11, "Names". */
static bool is_name(const char *s)
{
  bool ok = isalpha((unsigned char)*s) || *s == '_';
  for (; ok && *s; s++)
    ok = isalnum((unsigned char)*s) || *s == '_';
  return ok;
}

static bool is_space(const char *s)
{
  char part[PATH_BYTES];
  for (;; s++) {
    size_t n = strcspn(s, ".");
    if (n >= sizeof part)
      return false;
    memcpy(part, s, n);
    part[n] = 0;
    if (!is_name(part))
      return false;
    s += n;
    if (!*s)
      return true;
  }
}

int mr_avro_check(const struct mr_avro_conf *c, struct mr_error *err)
{
  const char *option = c->record && !is_name(c->record)  ? "record"
                       : c->space && !is_space(c->space) ? "namespace"
                                                         : NULL;
  if (!option)
    return MR_OK;
  snprintf(err->option, sizeof err->option, "%s", option);
  return mr_fail(err, MR_BADCONF,
                 "%s: not a name of Avro: letters, digits and _, a digit not first", option);
}

static const char *refusal_of_parts(const struct ArrowSchema *s)
{
  const char *why = s->n_children ? NULL : "an empty struct";
  for (int64_t i = 0; !why && i < s->n_children; i++)
    why = mr_avro_refusal(s->children[i]);
  return why;
}

static const char *refusal_of_type(const struct ArrowSchema *s)
{
  switch (mr_kind_of(s)) {
  case MR_K_NONE: return "a type that is not carried";
  case MR_K_LIST: return refusal_of_type(s->children[0]);
  case MR_K_MAP:
    if (mr_kind_of(s->children[0]->children[0]) != MR_K_TEXT)
      return "a map's keys are text in Avro";
    return refusal_of_type(s->children[0]->children[1]);
  case MR_K_STRUCT: return refusal_of_parts(s);
  default: return NULL;
  }
}

const char *mr_avro_refusal(const struct ArrowSchema *column)
{
  if (!is_name(column->name))
    return "Avro's names are letters, digits and _, a digit not first: rename it";
  return refusal_of_type(column);
}

/* ---------------------------------------------------------------- JSON */

/* Where the schema goes; the first failure stays in st. */
struct text {
  mr_put_fn *put;
  void *out;
  int st;
};

static void put_n(struct text *t, const char *s, size_t n)
{
  if (t->st >= 0)
    t->st = t->put(t->out, s, n);
}

static void put(struct text *t, const char *s)
{
  put_n(t, s, strlen(s));
}

static void put_key(struct text *t, const char *key, const char *value)
{
  put(t, "\"");
  put(t, key);
  put(t, "\": \"");
  put(t, value);
  put(t, "\"");
}

static void put_logical(struct text *t, const char *type, const char *logical)
{
  put(t, "{");
  put_key(t, "type", type);
  put(t, ", ");
  put_key(t, "logicalType", logical);
  put(t, "}");
}

static void put_decimal(struct text *t, int precision, int scale)
{
  char numbers[64];
  if (scale < 0) { /* Avro's scales begin at 0 */
    precision -= scale;
    scale = 0;
  }
  snprintf(numbers, sizeof numbers, ", \"precision\": %d, \"scale\": %d}", precision, scale);
  put(t, "{\"type\": \"bytes\", \"logicalType\": \"decimal\"");
  put(t, numbers);
}

static void put_type(struct text *t, const struct ArrowSchema *s, const char *path);

static void put_fields(struct text *t, const struct ArrowSchema *s, const char *path, bool top)
{
  char name[PATH_BYTES];
  bool more = false;
  put(t, ", \"fields\": [");
  for (int64_t i = 0; i < s->n_children; i++) {
    const struct ArrowSchema *c = s->children[i];
    bool nullable = c->flags & ARROW_FLAG_NULLABLE;
    if (top && mr_schema_is_system(c))
      continue;
    put(t, more ? ", {" : "{");
    more = true;
    put_key(t, "name", c->name);
    put(t, ", \"type\": ");
    snprintf(name, sizeof name, "%s.%s", path, c->name);
    put_type(t, c, name);
    put(t, nullable ? ", \"default\": null}" : "}");
  }
  put(t, "]}");
}

/* Nested records have names of their own: the column's path, its last part the name, the others its
 * namespace. */
static void put_record(struct text *t, const struct ArrowSchema *s, const char *path)
{
  put(t, "{\"type\": \"record\", ");
  put_key(t, "name", path);
  put_fields(t, s, path, false);
}

static void put_items(struct text *t, const char *type, const char *key,
                      const struct ArrowSchema *item, const char *path)
{
  put(t, "{");
  put_key(t, "type", type);
  put(t, ", \"");
  put(t, key);
  put(t, "\": ");
  put_type(t, item, path);
  put(t, "}");
}

static void put_plain(struct text *t, const struct ArrowSchema *s, const char *path)
{
  int precision, scale;
  switch (mr_kind_of(s)) {
  case MR_K_BOOL: put(t, "\"boolean\""); break;
  case MR_K_INT8:
  case MR_K_INT16:
  case MR_K_INT32:
  case MR_K_UINT8:
  case MR_K_UINT16: put(t, "\"int\""); break;
  case MR_K_UINT32:
  case MR_K_INT64: put(t, "\"long\""); break;
  case MR_K_UINT64: put_decimal(t, UINT64_DIGITS, 0); break;
  case MR_K_FLOAT32: put(t, "\"float\""); break;
  case MR_K_FLOAT64: put(t, "\"double\""); break;
  case MR_K_DECIMAL:
    mr_decimal_of(s, &precision, &scale);
    put_decimal(t, precision, scale);
    break;
  case MR_K_DATE: put_logical(t, "int", "date"); break;
  case MR_K_TIME: put_logical(t, "long", "time-micros"); break;
  case MR_K_TIMESTAMP:
    put_logical(t, "long", *mr_zone_of(s) ? "timestamp-micros" : "local-timestamp-micros");
    break;
  case MR_K_FIXED: put_logical(t, "string", "uuid"); break;
  case MR_K_BINARY: put(t, "\"bytes\""); break;
  case MR_K_LIST: put_items(t, "array", "items", s->children[0], path); break;
  case MR_K_MAP: put_items(t, "map", "values", s->children[0]->children[1], path); break;
  case MR_K_STRUCT: put_record(t, s, path); break;
  default: put(t, "\"string\""); break;
  }
}

static void put_type(struct text *t, const struct ArrowSchema *s, const char *path)
{
  bool nullable = s->flags & ARROW_FLAG_NULLABLE;
  if (mr_kind_of(s) == MR_K_NULL) {
    put(t, "\"null\"");
    return;
  }
  put(t, nullable ? "[\"null\", " : "");
  put_plain(t, s, path);
  put(t, nullable ? "]" : "");
}

static int avro_type(const struct ArrowSchema *column, mr_put_fn *out_put, void *out,
                     struct mr_error *err)
{
  struct text t = {out_put, out, MR_OK};
  if (mr_avro_refusal(column))
    return MR_BADCONF;
  if (mr_kind_of(column) == MR_K_NULL)
    put(&t, "\"null\"");
  else
    put_plain(&t, column, column->name);
  return t.st;
}

static int avro_schema(const void *conf, const struct ArrowSchema *in, mr_put_fn *out_put,
                       void *out, struct mr_error *err)
{
  const struct mr_avro_conf *c = conf;
  struct text t = {out_put, out, MR_OK};
  const char *name = c && c->record ? c->record : "row";
  char path[PATH_BYTES];
  snprintf(path, sizeof path, "%s%s%s", c && c->space ? c->space : "", c && c->space ? "." : "",
           name);
  put(&t, "{\"type\": \"record\", ");
  put_key(&t, "name", name);
  if (c && c->space) {
    put(&t, ", ");
    put_key(&t, "namespace", c->space);
  }
  put_fields(&t, in, path, true);
  return t.st;
}

const struct mr_format_text mr_avro_text = {.type = avro_type, .schema = avro_schema};

/* ---------------------------------------------------------------- the format */

static const struct mr_opt options[] = {
    {.name = "record",
     .type = MR_TEXT,
     .offset = offsetof(struct mr_avro_conf, record),
     .dflt = "row",
     .doc = "name of the record in the schema"},
    {.name = "namespace",
     .type = MR_TEXT,
     .offset = offsetof(struct mr_avro_conf, space),
     .doc = "namespace of the record"},
    {.name = "schema_id",
     .type = MR_INT,
     .offset = offsetof(struct mr_avro_conf, schema_id),
     .range = "0..2147483647",
     .doc = "the schema's number in a registry: goes before each message, behind a zero byte; left "
            "out: nothing does"},
    {0}};

const struct mr_format_desc mr_format_avro = {
    .name = "avro",
    .summary = "Avro's binary encoding of each row, without a file around it",
    .options = options,
    .conf_size = sizeof(struct mr_avro_conf),
    .encoder = &mr_avro_encoder,
    .text = &mr_avro_text};
