/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-json [CASES [SEED]]: random messages, some of them damaged, read by our decoder and by
 * jansson. Both must agree on whether a message is good and on every value. Payloads lie in heap
 * blocks of their exact size, so that a build with -Db_sanitize=address,undefined sees each byte
 * too many.
 *
 * Where the two may differ: numbers that jansson cannot hold, NUL in keys, and messages with a
 * duplicate key that only we refuse (an earlier value of the wrong type counts for us, jansson
 * forgets it). */
#include <jansson.h>
#include <math.h>
#include "../unit/format/fixture.h"
#include "format/cell.h"
#include "format/json.h"
#include "random.h"

#define PICK(a) (a[below(MR_COUNT(a))])

/* ---------------------------------------------------------------- messages */

static void space(GString *m)
{
  static const char *const s[] = {"", "", "", "", "", "", " ", "\n", "\t", "\r\n  "};
  g_string_append(m, PICK(s));
}

static void number(GString *m)
{
  static const char *const odd[] = {"0",
                                    "-0",
                                    "9223372036854775807",
                                    "-9223372036854775808",
                                    "9223372036854775808",
                                    "1.0",
                                    "1e3",
                                    "-1.5e-7",
                                    "0.1",
                                    "123456789012345678",
                                    "1e308",
                                    "1e309",
                                    "4.9e-324",
                                    "01",
                                    "1.",
                                    ".5",
                                    "-",
                                    "+1",
                                    "1e",
                                    "0.30000000000000004",
                                    "18446744073709551615",
                                    "18446744073709551616",
                                    "17976931348623157e292",
                                    "2.2250738585072014e-308"};
  if (below(3))
    g_string_append_printf(m, "%s%u", below(4) ? "" : "-",
                           below(2) ? below(100) : below(UINT32_MAX));
  else
    g_string_append(m, PICK(odd));
}

static void text(GString *m)
{
  static const char *const part[] = {
      "a",        "bc",           "some plain words that are longer than eight bytes",
      "\\n",      "\\\"",         "\\\\",
      "\\u0041",  "\\u0000",      "\\ud83d\\ude00",
      "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
      "\x7f",     "\\/",          "\\ud800",
      "\\udc00",  "\xed\xa0\x80", "\xc0\x80",
      "\\x",      "\n",           "\xf4\x90\x80\x80"};
  g_string_append_c(m, '"');
  for (uint32_t n = below(5); n; n--)
    g_string_append(m, part[below(100) ? below(14) : below(MR_COUNT(part))]);
  g_string_append_c(m, '"');
}

static void value(GString *m, int depth);

static void object(GString *m, int depth)
{
  static const char *const key[] = {
      "i",       "s", "f", "b",       "j",
      "l",       "o", "m", "x",       "y",
      "z",       "u", "",  "\\u0069", "a longer key than most of them are",
      "n\\u0000"};
  g_string_append_c(m, '{');
  for (uint32_t n = below(5), k = 0; k < n; k++) {
    if (k)
      g_string_append_c(m, ',');
    space(m);
    g_string_append_printf(m, "\"%s\"",
                           key[below(60) ? below(MR_COUNT(key) - 1) : MR_COUNT(key) - 1]);
    space(m);
    g_string_append_c(m, ':');
    space(m);
    value(m, depth + 1);
    space(m);
  }
  g_string_append_c(m, '}');
}

static void array(GString *m, int depth)
{
  g_string_append_c(m, '[');
  for (uint32_t n = below(4), k = 0; k < n; k++) {
    if (k)
      g_string_append_c(m, ',');
    space(m);
    value(m, depth + 1);
    space(m);
  }
  g_string_append_c(m, ']');
}

static void value(GString *m, int depth)
{
  uint32_t k = below(depth > 4 ? 6 : 9);
  if (k < 2)
    number(m);
  else if (k < 4)
    text(m);
  else if (k == 4)
    g_string_append(m, below(2) ? "true" : "false");
  else if (k == 5)
    g_string_append(m, "null");
  else if (k == 6)
    array(m, depth);
  else
    object(m, depth);
}

/* A row whose values mostly have the columns' types, so that many are accepted. */
static void row(GString *m)
{
  static const char key[] = "isfbjlomu";
  g_string_append_c(m, '{');
  bool first = true;
  for (uint32_t n = below(10), start = below(9), k = 0; k < n; k++) {
    char c = key[below(8) ? (start + k) % 9 : below(9)];
    g_string_append_printf(m, "%s\"%c\":", first ? "" : ",", c);
    first = false;
    space(m);
    if (!below(12))
      g_string_append(m, "null");
    else if (!below(20) || c == 'j')
      value(m, 1);
    else if (c == 'i' || c == 'u')
      g_string_append_printf(m, "%u", below(UINT32_MAX));
    else if (c == 'f')
      number(m);
    else if (c == 's')
      text(m);
    else if (c == 'b')
      g_string_append(m, below(2) ? "true" : "false");
    else if (c == 'l')
      g_string_append_printf(m, below(4) ? "[%u , null,-%u]" : "[]", below(9), below(900000));
    else if (c == 'o')
      g_string_append_printf(m, "{\"x\":%u,\"y\":[\"\\u00e9\"],\"q\":1}", below(99));
    else
      g_string_append_printf(m, "{\"k%u\":\"v\",\"k%u\":null}", below(3), below(3));
    space(m);
  }
  g_string_append_c(m, '}');
}

static void damage(GString *m)
{
  static const char *const piece[] = {"\"", "\\",  "{",   "}",   "[",       "]",    ",",
                                      ":",  "0",   "-",   ".",   "e",       "\xff", "\xc3",
                                      "\n", "tru", "nul", "\\u", "\\ud800", " ",    "//"};
  gsize at = m->len ? below((uint32_t)m->len) : 0;
  switch (below(5)) {
  case 0:
    if (m->len)
      m->str[at] = (char)below(256);
    break;
  case 1:
    if (m->len)
      g_string_erase(m, (gssize)at, 1);
    break;
  case 2: g_string_insert(m, (gssize)at, PICK(piece)); break;
  case 3: g_string_truncate(m, at); break;
  default: {
    gsize n = MIN(m->len - at, below(20));
    g_autofree char *copy = g_strndup(m->str + at, n);
    g_string_insert_len(m, (gssize)at, copy, (gssize)n);
  }
  }
}

static void message(GString *m)
{
  g_string_truncate(m, 0);
  space(m);
  if (below(3))
    row(m);
  else {
    g_string_append_c(m, '[');
    for (uint32_t n = below(4), k = 0; k < n; k++) {
      if (k)
        g_string_append(m, below(2) ? "," : " ,\n");
      if (below(5))
        row(m);
      else
        object(m, 1);
    }
    g_string_append_c(m, ']');
  }
  space(m);
  if (below(2))
    for (uint32_t n = below(4); n; n--)
      damage(m);
}

/* ---------------------------------------------------------------- values as text */

static void put_bytes(GString *out, const char *s, gsize n)
{
  for (gsize i = 0; i < n; i++)
    g_string_append_printf(out, "%02x", (unsigned char)s[i]);
}

static int by_text(const void *a, const void *b)
{
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_json(GString *out, json_t *j)
{
  char *t = json_dumps(j, JSON_SORT_KEYS | JSON_ENCODE_ANY | JSON_COMPACT);
  g_string_append(out, t ? t : "?");
  free(t);
}

/* What a value must become in a column; false: it must be refused. */
static bool expect(GString *out, json_t *j, const struct ArrowSchema *s)
{
  enum mr_kind k = mr_kind_of(s);
  if (!j || json_is_null(j)) {
    g_string_append(out, "null");
    return true;
  }
  if (mr_schema_is_json(s)) {
    put_json(out, j);
    return true;
  }
  if (mr_kind_is_int(k)) {
    g_string_append_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
    return json_is_integer(j) && (k == MR_K_INT64 || json_integer_value(j) >= 0);
  }
  if (k == MR_K_FLOAT64) {
    g_string_append_printf(out, "%.17g", json_number_value(j) + 0.0);
    return json_is_number(j);
  }
  if (k == MR_K_BOOL) {
    g_string_append(out, json_is_true(j) ? "true" : "false");
    return json_is_boolean(j);
  }
  if (k == MR_K_TEXT) {
    if (json_is_string(j))
      put_bytes(out, json_string_value(j), json_string_length(j));
    return json_is_string(j);
  }
  bool ok = true;
  if (k == MR_K_LIST) {
    if (!json_is_array(j))
      return false;
    for (size_t i = 0; i < json_array_size(j); i++) {
      ok = ok && expect(out, json_array_get(j, i), s->children[0]);
      g_string_append_c(out, ',');
    }
    return ok;
  }
  if (!json_is_object(j))
    return false;
  if (k == MR_K_STRUCT) {
    for (int64_t i = 0; i < s->n_children; i++) {
      ok = ok && expect(out, json_object_get(j, s->children[i]->name), s->children[i]);
      g_string_append_c(out, ',');
    }
    return ok;
  }
  g_autoptr(GPtrArray) entry = g_ptr_array_new_with_free_func(g_free);
  const char *key;
  json_t *v;
  json_object_foreach(j, key, v)
  {
    GString *e = g_string_new(key);
    g_string_append_c(e, '=');
    ok = expect(e, v, s->children[0]->children[1]) && ok;
    g_ptr_array_add(entry, g_string_free(e, FALSE));
  }
  if (entry->len)
    qsort(entry->pdata, entry->len, sizeof(void *), by_text);
  for (guint i = 0; i < entry->len; i++)
    g_string_append_printf(out, "%s;", (char *)entry->pdata[i]);
  return ok;
}

static void actual(GString *out, const struct mr_view *v, int64_t i);

static void actual_child(GString *out, const struct mr_view *v, int64_t kid, int64_t i)
{
  struct mr_view c;
  mr_view_init(&c, v->schema->children[kid], v->array->children[kid]);
  actual(out, &c, i);
}

static void actual_map(GString *out, const struct mr_view *v, int64_t i)
{
  g_autoptr(GPtrArray) entry = g_ptr_array_new_with_free_func(g_free);
  const struct ArrowSchema *s = v->schema->children[0];
  const struct ArrowArray *a = v->array->children[0];
  struct mr_view key, value_;
  int64_t from, to, n;
  mr_view_init(&key, s->children[0], a->children[0]);
  mr_view_init(&value_, s->children[1], a->children[1]);
  mr_view_range(v, i, &from, &to);
  for (; from < to; from++) {
    const char *k = mr_view_bytes(&key, from, &n);
    GString *e = g_string_new_len(k, (gssize)n);
    g_string_append_c(e, '=');
    actual(e, &value_, from);
    g_ptr_array_add(entry, g_string_free(e, FALSE));
  }
  if (entry->len)
    qsort(entry->pdata, entry->len, sizeof(void *), by_text);
  for (guint k = 0; k < entry->len; k++)
    g_string_append_printf(out, "%s;", (char *)entry->pdata[k]);
}

static void actual(GString *out, const struct mr_view *v, int64_t i)
{
  int64_t n, from, to;
  if (mr_view_null(v, i)) {
    g_string_append(out, "null");
    return;
  }
  switch (v->kind) {
  case MR_K_FLOAT64: g_string_append_printf(out, "%.17g", mr_view_f64(v, i) + 0.0); return;
  case MR_K_BOOL: g_string_append(out, mr_view_bool(v, i) ? "true" : "false"); return;
  case MR_K_TEXT: {
    const char *s = mr_view_bytes(v, i, &n);
    if (!mr_schema_is_json(v->schema)) {
      put_bytes(out, s, (gsize)n);
      return;
    }
    json_t *j = json_loadb(s, (size_t)n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    put_json(out, j);
    json_decref(j);
    return;
  }
  case MR_K_STRUCT:
    for (int64_t k = 0; k < v->schema->n_children; k++) {
      actual_child(out, v, k, v->offset + i);
      g_string_append_c(out, ',');
    }
    return;
  case MR_K_LIST:
    mr_view_range(v, i, &from, &to);
    for (; from < to; from++) {
      actual_child(out, v, 0, from);
      g_string_append_c(out, ',');
    }
    return;
  case MR_K_MAP: actual_map(out, v, i); return;
  default: g_string_append_printf(out, "%" G_GINT64_FORMAT, (gint64)mr_view_int(v, i));
  }
}

/* ---------------------------------------------------------------- comparing */

struct tally {
  long accepted, refused, unsure;
};

/* What the oracle says: 1 good, 0 bad, -1 it cannot say. */
static int oracle(const GString *m, const struct ArrowSchema *s, GString *out)
{
  json_error_t e;
  if (memchr(m->str, 0, m->len))
    return 0; /* jansson loses a NUL between tokens; JSON has none anywhere */
  json_t *j = json_loadb(m->str, m->len, JSON_ALLOW_NUL, &e);
  if (!j)
    return json_error_code(&e) == json_error_numeric_overflow ||
                   json_error_code(&e) == json_error_null_byte_in_key
               ? -1
               : 0;
  bool ok = true;
  size_t n = json_is_array(j) ? json_array_size(j) : 1;
  for (size_t i = 0; i < n; i++) {
    json_t *r = json_is_array(j) ? json_array_get(j, i) : j;
    ok = ok && json_is_object(r) && expect(out, r, s);
    g_string_append_c(out, '|');
  }
  json_decref(j);
  return ok;
}

static bool has_duplicate(const GString *m)
{
  json_t *j = json_loadb(m->str, m->len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
  json_decref(j);
  return !j;
}

static void ours(struct mr_decoder *d, const struct ArrowSchema *s, GString *out)
{
  struct ArrowArray rows;
  struct mr_error err = MR_ERROR_INIT;
  struct mr_view v;
  if (mr_decoded(d, &rows, &err) != MR_OK)
    g_error("decoded: %s", err.msg);
  if (mr_array_check(s, &rows, true, &err) != MR_OK)
    g_error("bad array: %s", err.msg);
  mr_view_init(&v, s, &rows);
  for (int64_t i = 0; i < rows.length; i++) {
    actual(out, &v, i);
    g_string_append_c(out, '|');
  }
  mr_array_release(&rows);
}

static void one_case(struct mr_decoder *d, struct mr_decoder *inferring,
                     const struct ArrowSchema *s, GString *m, struct tally *t)
{
  struct mr_error err;
  g_autoptr(GString) want = g_string_new(NULL), got = g_string_new(NULL);
  message(m);
  int good = oracle(m, s, want), rows = decode_n(d, m->str, m->len, &err);
  (void)decode_n(inferring, m->str, m->len, &err); /* must only not crash */
  ours(d, s, got);
  if (rows < 0 && got->len)
    g_error("rows of a refused message: %s", m->str);
  if (good < 0 || (good && rows < 0 && has_duplicate(m))) {
    t->unsure++;
    return;
  }
  if (good != (rows >= 0))
    g_error("jansson %s, we %s (%s): %s", good ? "accepts" : "refuses",
            rows >= 0 ? "accept" : "refuse", err.msg, m->str);
  if (good && strcmp(want->str, got->str))
    g_error("not the same values: %s\njansson %s\nours    %s", m->str, want->str, got->str);
  if (good)
    t->accepted++;
  else
    t->refused++;
}

int main(int argc, char **argv)
{
  long cases = argc > 1 ? atol(argv[1]) : 20000;
  random_seed(argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
  struct ArrowSchema s;
  struct tally t = {0};
  schema_of("i int64; s utf8; f float64; b bool; j json; l list<int64>; o struct<x: int64, y: "
            "list<utf8>>; m map<utf8,utf8>; u uint64",
            &s);
  struct mr_json_conf conf = {.columns = &s}, none = {.unknown = MR_UNKNOWN_ADD};
  struct mr_decoder *d = decoder_of("json", &conf), *inferring = decoder_of("json", &none);
  GString *m = g_string_new(NULL);
  for (long i = 0; i < cases; i++) {
    one_case(d, inferring, &s, m, &t);
    if (i % 64 < 63)
      continue;
    g_autofree char *rows = take_text(inferring); /* checks the array */
    if (i % 2048 < 2047)
      continue;
    mr_decoder_free(inferring);
    inferring = decoder_of("json", &none);
  }
  printf("%ld messages: %ld accepted, %ld refused by both; %ld that jansson cannot judge\n", cases,
         t.accepted, t.refused, t.unsure);
  g_string_free(m, TRUE);
  mr_decoder_free(d);
  mr_decoder_free(inferring);
  mr_schema_release(&s);
  return t.accepted && t.refused ? 0 : 1;
}
