/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/letter-file.h"
#include <glib/gstdio.h>
#include <string.h>

static struct mr_letter_file *read_text(const char *text)
{
  struct mr_error err = MR_ERROR_INIT;
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp("letters-XXXXXX", &path, NULL);
  g_assert_cmpint(fd, >=, 0);
  g_close(fd, NULL);
  g_assert_true(g_file_set_contents(path, text, -1, NULL));
  struct mr_letter_file *f = mr_letter_file_read(path, &err);
  g_assert_cmpstr(err.msg, ==, "");
  g_unlink(path);
  return f;
}

#define LETTER(position, rest)                                                        \
  "{\"kind\":\"letter\",\"stage\":\"cast\",\"source\":\"in\",\"lane\":\"0\",\"run\":" \
  "18446744073709551615,\"position\":\"" position "\"" rest "}\n"
#define MARK(sink, from, upto)                                                         \
  "{\"kind\":\"mark\",\"sink\":\"" sink "\",\"source\":\"in\",\"lane\":\"0\",\"run\":" \
  "18446744073709551615,\"position\":\"" from "\",\"upto\":\"" upto "\"}\n"

static const struct mr_letter_entry *letter(const struct mr_letter_file *f, guint i)
{
  g_assert_cmpuint(i, <, f->letters->len);
  return f->letters->pdata[i];
}

static void test_fields(void)
{
  struct mr_letter_file *f = read_text(
      LETTER("7", ",\"element\":2,\"original\":\"{}\",\"row\":{\"a\": [1]}")
          LETTER("8", ",\"element\":null,\"original_base64\":\"/wA=\",\"time\":\"ignored\""));
  const struct mr_letter_entry *a = letter(f, 0), *b = letter(f, 1);
  gsize n;
  g_assert_cmpstr(a->stage, ==, "cast");
  g_assert_cmpuint(a->run, ==, UINT64_MAX);
  g_assert_cmpint(a->element, ==, 2);
  g_assert_cmpuint(mr_position_get(&a->position), ==, 7);
  g_assert_cmpstr(a->row, ==, "{\"a\": [1]}");
  g_assert_cmpmem(g_bytes_get_data(a->original, &n), 2, "{}", 2);
  g_assert_cmpint(b->element, ==, -1);
  g_assert_cmpint(b->line, ==, 2);
  g_assert_null(b->row);
  g_assert_cmpmem(g_bytes_get_data(b->original, &n), 2, "\xff\0", 2);
  mr_letter_file_free(f);
}

/* A mark covers [position, upto) of its sink, lane and run. */
static void test_counts(void)
{
  struct mr_letter_file *f =
      read_text(LETTER("4", "") LETTER("5", "") LETTER("9", "") LETTER("10", "")
                    MARK("out", "5", "8") MARK("out", "8", "10"));
  g_assert_false(mr_letter_file_counts(f, letter(f, 0), "out"));
  g_assert_true(mr_letter_file_counts(f, letter(f, 1), "out"));
  g_assert_true(mr_letter_file_counts(f, letter(f, 2), "out"));
  g_assert_false(mr_letter_file_counts(f, letter(f, 3), "out"));
  g_assert_false(mr_letter_file_counts(f, letter(f, 1), "other"));
  ((struct mr_letter_entry *)letter(f, 1))->run = 1;
  g_assert_false(mr_letter_file_counts(f, letter(f, 1), "out"));
  mr_letter_file_free(f);
}

/* Positions longer than a row's number, as files have them: the number comes first. */
static void test_long_positions(void)
{
  struct mr_letter_file *f = read_text(
      LETTER("0", "") LETTER("15", "") LETTER("16", "")
          LETTER("000000000000000f00000000000000aa", "")
              MARK("out", "000000000000000000000000000000aa", "000000000000001000000000000000aa"));
  g_assert_true(mr_letter_file_counts(f, letter(f, 0), "out"));
  g_assert_true(mr_letter_file_counts(f, letter(f, 1), "out"));
  g_assert_false(mr_letter_file_counts(f, letter(f, 2), "out"));
  g_assert_true(mr_letter_file_counts(f, letter(f, 3), "out"));
  mr_letter_file_free(f);
}

static void test_torn_line(void)
{
  struct mr_letter_file *f = read_text(LETTER("1", "") "{\"kind\":\"let");
  g_assert_cmpuint(f->letters->len, ==, 1);
  g_assert_cmpint(f->bad_lines, ==, 1);
  g_assert_cmpint(f->first_bad, ==, 2);
  mr_letter_file_free(f);
}

static void test_id(void)
{
  struct mr_letter_file *a = read_text(LETTER("1", "")),
                        *b = read_text(LETTER("1", "") LETTER("2", "")),
                        *c = read_text(LETTER("2", "") LETTER("1", "")), *none = read_text("");
  g_assert_cmpstr(a->id, ==, b->id);
  g_assert_cmpstr(a->id, !=, c->id);
  g_assert_cmpuint(none->letters->len, ==, 0);
  mr_letter_file_free(a);
  mr_letter_file_free(b);
  mr_letter_file_free(c);
  mr_letter_file_free(none);
}

static void test_no_file(void)
{
  struct mr_error err = MR_ERROR_INIT;
  g_assert_null(mr_letter_file_read("/nowhere/letters.jsonl", &err));
  g_assert_nonnull(strstr(err.msg, "/nowhere/letters.jsonl"));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/letter-file/fields", test_fields);
  g_test_add_func("/letter-file/counts", test_counts);
  g_test_add_func("/letter-file/long-positions", test_long_positions);
  g_test_add_func("/letter-file/torn-line", test_torn_line);
  g_test_add_func("/letter-file/id", test_id);
  g_test_add_func("/letter-file/no-file", test_no_file);
  return g_test_run();
}
