/* SPDX-License-Identifier: Apache-2.0 */
/* Published collections of hard cases, through the real decoder. */
#include <math.h>
#include <stdio.h>
#include "fixture.h"
#include "format/json.h"

static struct ArrowSchema columns; /* j json; f float64; g float32; t utf8 */
static struct mr_decoder *decoder;

/* A message `{"KEY":` value `}`; returns what decode did and, when a row came, its columns as text.
 */
static int decode_value(const char *key, const char *value, gsize len, char **ret_row)
{
  struct mr_error err;
  g_autoptr(GString) m = g_string_new(NULL);
  g_string_printf(m, "{\"%s\":", key);
  g_string_append_len(m, value, (gssize)len);
  g_string_append_c(m, '}');
  int st = decode_n(decoder, m->str, m->len, &err);
  g_autofree char *row = take_text(decoder);
  if (st < 0)
    g_assert_cmpstr(row, ==, "");
  if (ret_row)
    *ret_row = g_steal_pointer(&row);
  return st;
}

static void check_file(const char *name, const char *text, gsize len)
{
  struct mr_error err;
  struct mr_json_conf none = {.unknown = MR_UNKNOWN_ADD};
  struct mr_decoder *inferring = decoder_of("json", &none);
  int as_json = decode_value("j", text, len, NULL),
      ignored = decode_value("ignored", text, len, NULL);
  int bare = decode_n(decoder, text, len, &err), inferred = decode_n(inferring, text, len, &err);
  if (name[0] == 'y' && (as_json != 1 || ignored != 1))
    g_error("%s: refused", name);
  if (name[0] == 'n' && (as_json >= 0 || ignored >= 0 || bare >= 0 || inferred >= 0))
    g_error("%s: accepted", name);
  if (as_json != ignored)
    g_error("%s: a json column and an ignored key differ", name);
  g_free(take_text(decoder));
  g_free(take_text(inferring));
  mr_decoder_free(inferring);
}

static void test_suite(void)
{
  g_autofree char *dir = corpus("json-test-suite/test_parsing");
  int n = 0;
  if (!dir)
    return;
  g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
  g_assert_nonnull(d);
  for (const char *name; (name = g_dir_read_name(d)); n++) {
    g_autofree char *path = g_build_filename(dir, name, NULL), *text = NULL;
    gsize len;
    g_assert_true(g_file_get_contents(path, &text, &len, NULL));
    check_file(name, text, len);
  }
  g_assert_cmpint(n, >=, 318);
}

/* Lines "number:valid:bytes", "number:invalid:bytes". Control characters are escaped for JSON. */
static void test_utf8(void)
{
  g_autofree char *path = corpus("utf8tests/utf8tests.bin"), *text = NULL;
  gsize len;
  int valid = 0, invalid = 0;
  if (!path)
    return;
  g_assert_true(g_file_get_contents(path, &text, &len, NULL));
  for (char *p = text, *line_end; p < text + len; p = line_end + 1) {
    line_end = memchr(p, '\n', (gsize)(text + len - p));
    if (!line_end)
      line_end = text + len;
    char *kind = memchr(p, ':', (gsize)(line_end - p)),
         *bytes = kind ? memchr(kind + 1, ':', (gsize)(line_end - kind - 1)) : NULL;
    if (!bytes || *p == '#')
      continue;
    bool good = !strncmp(kind, ":valid:", 7);
    g_autoptr(GString) value = g_string_new("\"");
    for (char *q = bytes + 1; q < line_end; q++) {
      if ((unsigned char)*q < ' ' || *q == '"' || *q == '\\')
        g_string_append_printf(value, "\\u%04x", *q);
      else
        g_string_append_c(value, *q);
    }
    g_string_append_c(value, '"');
    if ((decode_value("t", value->str, value->len, NULL) == 1) != good)
      g_error("utf8tests %.*s", (int)(bytes - p), p);
    if ((decode_value("ignored", value->str, value->len, NULL) == 1) != good)
      g_error("utf8tests, ignored %.*s", (int)(bytes - p), p);
    g_assert_true(mr_utf8_valid(bytes + 1, (size_t)(line_end - bytes - 1)) == good);
    *(good ? &valid : &invalid) += 1;
  }
  g_assert_cmpint(valid, >, 15);
  g_assert_cmpint(invalid, >, 100);
}

static bool is_json_number(const char *s)
{
  return g_regex_match_simple("^-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][-+]?[0-9]+)?$", s,
                              G_REGEX_DOLLAR_ENDONLY, 0);
}

static void check_number(const char *text, uint32_t want32, uint64_t want64, locale_t c)
{
  g_autofree char *scratch = g_malloc(strlen(text) + 1);
  double d = 0, want;
  float f = 0, wantf;
  memcpy(&want, &want64, 8);
  memcpy(&wantf, &want32, 4);
  enum mr_text_status st = mr_text_f64(text, (int64_t)strlen(text), c, scratch, &d),
                      stf = mr_text_f32(text, (int64_t)strlen(text), c, scratch, &f);
  g_assert_cmpint(st, ==, isinf(want) ? MR_TEXT_RANGE : MR_TEXT_OK);
  g_assert_cmpint(stf, ==, isinf(wantf) ? MR_TEXT_RANGE : MR_TEXT_OK);
  if (st == MR_TEXT_OK)
    g_assert_cmpmem(&d, 8, &want, 8);
  if (stf == MR_TEXT_OK)
    g_assert_cmpmem(&f, 4, &wantf, 4);
  if (!is_json_number(text))
    return;
  g_autofree char *row = NULL, *rowf = NULL, *shown = g_strdup_printf("null,%.17g,null,null", want),
                  *shownf = g_strdup_printf("null,null,%.17g,null", (double)wantf);
  g_assert_cmpint(decode_value("f", text, strlen(text), &row), ==, isinf(want) ? MR_REJECT : 1);
  g_assert_cmpint(decode_value("g", text, strlen(text), &rowf), ==, isinf(wantf) ? MR_REJECT : 1);
  if (!isinf(want))
    g_assert_cmpstr(row, ==, shown);
  if (!isinf(wantf))
    g_assert_cmpstr(rowf, ==, shownf);
}

/* Lines "half float double text" with the bits in hex. */
static void test_numbers(void)
{
  static const char *const file[] = {"exponents-near-ixx-extrema.txt", "golang-org-issue-36657.txt",
                                     "lemire-fast-float.txt", "more-test-cases.txt",
                                     "tencent-rapidjson.txt"};
  g_autofree char *dir = corpus("parse-number");
  int n = 0;
  if (!dir)
    return;
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  for (size_t i = 0; i < MR_COUNT(file); i++) {
    g_autofree char *path = g_build_filename(dir, file[i], NULL), *all = NULL;
    g_assert_true(g_file_get_contents(path, &all, NULL, NULL));
    g_auto(GStrv) line = g_strsplit(all, "\n", -1);
    for (char **l = line; *l; l++) {
      unsigned half, bits32;
      unsigned long long bits64;
      int at = 0;
      if (sscanf(*l, "%4x %8x %16llx %n", &half, &bits32, &bits64, &at) != 3 || at != 31)
        continue;
      check_number(*l + at, bits32, bits64, c);
      n++;
    }
  }
  freelocale(c);
  g_assert_cmpint(n, >, 6000);
}

/* Strings that have made programs stumble: into a column and out again, unchanged. */
static void test_strings(void)
{
  g_autofree char *path = corpus("blns/blns.json"), *text = NULL;
  struct mr_error err = MR_ERROR_INIT;
  gsize len;
  if (!path)
    return;
  g_assert_true(g_file_get_contents(path, &text, &len, NULL));
  struct ArrowSchema s;
  struct ArrowArray rows, out;
  schema_of("v list<utf8>", &s);
  struct mr_json_conf conf = {.columns = &s};
  struct mr_format f = {mr_format_find("json"), NULL};
  struct mr_encoder *e = NULL;
  struct mr_decoder *d = decoder_of("json", &conf);
  g_autofree char *m = g_strdup_printf("{\"v\":%s}", text);
  g_assert_cmpint(decode_text(d, m), ==, 1);
  g_assert_cmpint(mr_decoded(d, &rows, &err), ==, MR_OK);
  g_assert_cmpint(mr_encoder_new(&f, &s, &e, &err), ==, MR_OK);
  g_assert_cmpint(mr_encode(e, &(struct mr_batch){.schema = &s, .rows = rows}, &out, &err), ==,
                  MR_OK);
  const int32_t *o = out.buffers[1];
  g_assert_cmpint(decode_n(d, out.buffers[2], (size_t)o[1], &err), ==, 1);
  g_autofree char *before = rows_text(&s, &rows), *after = take_text(d);
  g_assert_cmpstr(before, ==, after);
  g_assert_cmpint(rows.children[0]->children[0]->length, >, 500);
  mr_array_release(&out);
  mr_array_release(&rows);
  mr_encoder_free(e);
  mr_decoder_free(d);
  mr_schema_release(&s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  schema_of("j json; f float64; g float32; t utf8", &columns);
  struct mr_json_conf conf = {.columns = &columns};
  decoder = decoder_of("json", &conf);
  g_test_add_func("/json/corpus/test-suite", test_suite);
  g_test_add_func("/json/corpus/utf8", test_utf8);
  g_test_add_func("/json/corpus/numbers", test_numbers);
  g_test_add_func("/json/corpus/strings", test_strings);
  int st = g_test_run();
  mr_decoder_free(decoder);
  mr_schema_release(&columns);
  return st;
}
