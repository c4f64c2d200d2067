/* SPDX-License-Identifier: Apache-2.0 */
#include "bench-json.h"
#include <simdjson.h>

namespace od = simdjson::ondemand;

static bool put(struct mr_column *c, od::value v)
{
  if (v.is_null())
    return mr_column_null(c);
  switch (c->kind) {
  case MR_K_INT64: {
    int64_t x;
    if (v.get_int64().get(x))
      return false;
    push_int(c, x);
    return true;
  }
  case MR_K_FLOAT64: {
    double x;
    if (v.get_double().get(x))
      return false;
    push_real(c, x);
    return true;
  }
  case MR_K_BOOL: {
    bool x;
    if (v.get_bool().get(x))
      return false;
    push_bool(c, x);
    return true;
  }
  default: {
    std::string_view x;
    return !v.get_string().get(x) && push_text(c, x.data(), x.size());
  }
  }
}

static bool read_row(struct table *t, od::parser &parser, simdjson::padded_string_view text)
{
  od::document doc;
  od::object object;
  if (parser.iterate(text).get(doc) || doc.get_object().get(object))
    return false;
  int64_t row = t->col[0].length, last = -1;
  for (auto field : object) {
    od::raw_json_string raw;
    od::value v;
    std::string_view key;
    if (field.unescaped_key().get(key) || field.value().get(v))
      return false;
    int64_t i = table_find(t, last, key.data(), key.size());
    if (i < 0)
      continue;
    last = i;
    if (t->col[i].length != row)
      mr_column_truncate(&t->col[i], row);
    if (!put(&t->col[i], v))
      return false;
  }
  for (int64_t i = 0; i < t->n; i++)
    if (t->col[i].length == row && !mr_column_null(&t->col[i]))
      return false;
  return true; /* 3.0 cannot say whether text follows; newer ones have at_end() */
}

static od::parser the_parser;
static std::string copy;

bool simdjson_row_padded(struct table *t, const char *data, size_t len)
{
  return read_row(t, the_parser,
                  simdjson::padded_string_view(data, len, len + simdjson::SIMDJSON_PADDING));
}

bool simdjson_row_copied(struct table *t, const char *data, size_t len)
{
  if (copy.size() < len + simdjson::SIMDJSON_PADDING)
    copy.resize(2 * len + simdjson::SIMDJSON_PADDING);
  memcpy(&copy[0], data, len);
  return read_row(t, the_parser, simdjson::padded_string_view(copy.data(), len, copy.size()));
}
