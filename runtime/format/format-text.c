/* SPDX-License-Identifier: Apache-2.0 */
/* What values become in the formats of text: what `inspect` and `discover --ddl` say. */
#include "format/formats.h"

static int put_text(mr_put_fn *put, void *out, const char *s)
{
  return put(out, s, strlen(s));
}

/* The text of kinds that are written alike in JSON (between quotes) and CSV; NULL: another. */
static const char *time_text(const struct ArrowSchema *c)
{
  switch (mr_kind_of(c)) {
  case MR_K_DATE: return "2026-01-28";
  case MR_K_TIME: return "10:00:00.123456";
  case MR_K_TIMESTAMP:
    return *mr_zone_of(c) ? "2026-01-28T10:00:00.123456Z" : "2026-01-28T10:00:00.123456";
  case MR_K_FIXED: return "hexadecimal with hyphens";
  case MR_K_BINARY: return "base64";
  default: return NULL;
  }
}

static int json_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err);

static int json_nested(const struct ArrowSchema *c, const char *what, mr_put_fn *put, void *out,
                       struct mr_error *err)
{
  int st = put_text(put, out, what);
  return st < 0 ? st : json_type(c, put, out, err);
}

static int json_struct(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  int st = put_text(put, out, "object with ");
  for (int64_t i = 0; i < c->n_children && st >= 0; i++) {
    st = put_text(put, out, i ? ", " : "");
    st = st < 0 ? st : put_text(put, out, c->children[i]->name);
    st = st < 0 ? st : json_nested(c->children[i], ": ", put, out, err);
  }
  return st;
}

static int json_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  enum mr_kind k = mr_kind_of(c);
  const char *time = time_text(c);
  if (time) {
    int st = put_text(put, out, "text, ");
    return st < 0 ? st : put_text(put, out, time);
  }
  switch (k) {
  case MR_K_NONE: return MR_BADCONF;
  case MR_K_NULL: return put_text(put, out, "null");
  case MR_K_BOOL: return put_text(put, out, "true or false");
  case MR_K_TEXT: return put_text(put, out, mr_schema_is_json(c) ? "the value itself" : "text");
  case MR_K_LIST: return json_nested(c->children[0], "array of ", put, out, err);
  case MR_K_MAP: return json_nested(c->children[0]->children[1], "object of ", put, out, err);
  case MR_K_STRUCT: return json_struct(c, put, out, err);
  default: return put_text(put, out, "number");
  }
}

static int csv_type(const struct ArrowSchema *c, mr_put_fn *put, void *out, struct mr_error *err)
{
  const char *time = time_text(c);
  if (time)
    return put_text(put, out, time);
  switch (mr_kind_of(c)) {
  case MR_K_NONE: return MR_BADCONF;
  case MR_K_NULL: return put_text(put, out, "nothing");
  case MR_K_BOOL: return put_text(put, out, "true or false");
  case MR_K_TEXT: return put_text(put, out, mr_schema_is_json(c) ? "JSON" : "text");
  case MR_K_LIST:
  case MR_K_MAP:
  case MR_K_STRUCT: return put_text(put, out, "JSON");
  default: return put_text(put, out, "number");
  }
}

const struct mr_format_text mr_json_text = {.type = json_type};
const struct mr_format_text mr_csv_text = {.type = csv_type};
