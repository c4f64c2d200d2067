/* SPDX-License-Identifier: Apache-2.0 */
/* The file and null sinks. */
#include <glib/gstdio.h>
#include <sys/stat.h>
#include "src-host.h"

struct fixture {
  struct src_host h;
  struct ArrowSchema in;
  char *folder, *path, *option;
};

static void set_up(struct fixture *f, gconstpointer data)
{
  src_host_init(&f->h, "sinks", "file");
  f->in = harness_schema("id: int64, name: utf8, _offset: int64");
  f->folder = g_dir_make_tmp("millrace-sink-XXXXXX", NULL);
  f->path = g_build_filename(f->folder, "out.txt", NULL);
  f->option = g_strdup_printf("path=%s", f->path);
}

static void tear_down(struct fixture *f, gconstpointer data)
{
  src_host_done(&f->h);
  mr_schema_release(&f->in);
  GDir *d = g_dir_open(f->folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(d));) {
    g_autofree char *path = g_build_filename(f->folder, name, NULL);
    g_unlink(path);
  }
  g_dir_close(d);
  g_rmdir(f->folder);
  g_free(f->folder);
  g_free(f->path);
  g_free(f->option);
}

static void go(struct fixture *f)
{
  g_assert_cmpint(src_host_open(&f->h, NULL, &f->in), ==, MR_OK);
  if (src_host_start(&f->h) < 0)
    g_error("start: %s", f->h.err.msg);
}

static int write_rows(struct fixture *f, const char *text)
{
  struct ArrowArray rows = harness_rows(&f->in, text);
  struct mr_batch b = harness_batch(&f->in, &rows);
  f->h.err = (struct mr_error)MR_ERROR_INIT;
  int r = f->h.plugin->sink->write(f->h.self, &b, &f->h.err);
  mr_array_release(&b.rows);
  return r;
}

static int unit(struct fixture *f, mr_unit_fn *fn)
{
  struct mr_unit u = {.size = sizeof u};
  f->h.err = (struct mr_error)MR_ERROR_INIT;
  return fn(f->h.self, &u, &f->h.err);
}

static void put(struct fixture *f, const char *text)
{
  g_assert_cmpint(unit(f, f->h.plugin->sink->begin), ==, MR_OK);
  g_assert_cmpint(write_rows(f, text), ==, MR_OK);
  if (unit(f, f->h.plugin->sink->commit) < 0)
    g_error("commit: %s", f->h.err.msg);
}

static void is(const char *path, const char *expected)
{
  g_autofree char *text = NULL;
  g_file_get_contents(path, &text, NULL, NULL);
  g_assert_cmpstr(text, ==, expected);
}

#define CONF(f, ...) src_host_conf(&(f)->h, (f)->option, __VA_ARGS__, NULL)

static void test_appends_lines(struct fixture *f, gconstpointer data)
{
  src_host_conf(&f->h, f->option, NULL); /* the default is jsonl */
  go(f);
  put(f, "1|a|7\n2|~|8\n");
  is(f->path, "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":null}\n");
  src_host_close(&f->h);
  go(f);
  put(f, "3|c|9\n");
  is(f->path, "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":null}\n{\"id\":3,\"name\":\"c\"}\n");
}

/* A row on each line with format json, too: objects with nothing between them are no JSON text. */
static void test_json_is_lines(struct fixture *f, gconstpointer data)
{
  CONF(f, "format=json");
  go(f);
  put(f, "1|a|7\n2|~|8\n");
  put(f, "3|c|9\n");
  g_autofree char *text = NULL;
  g_file_get_contents(f->path, &text, NULL, NULL);
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  g_assert_cmpuint(g_strv_length(lines), ==, 4); /* the last one is empty */
  g_assert_cmpstr(lines[2], ==, "{\"id\":3,\"name\":\"c\"}");
  g_assert_cmpstr(lines[3], ==, "");
}

static void test_nothing_before_commit(struct fixture *f, gconstpointer data)
{
  src_host_conf(&f->h, f->option, NULL);
  go(f);
  unit(f, f->h.plugin->sink->begin);
  g_assert_cmpint(write_rows(f, "1|a|7\n"), ==, MR_OK);
  is(f->path, "");
  g_assert_cmpint(unit(f, f->h.plugin->sink->abort), ==, MR_OK);
  put(f, "2|b|8\n");
  is(f->path, "{\"id\":2,\"name\":\"b\"}\n");
}

/* A unit that is larger than the buffer goes to the file early; its abort cuts it off again. */
static void test_large_unit_aborted(struct fixture *f, gconstpointer data)
{
  g_autofree char *pad = g_strnfill(1000000, 'x'), *row = g_strdup_printf("1|%s|7\n", pad);
  struct stat st;
  src_host_conf(&f->h, f->option, NULL);
  go(f);
  put(f, "2|b|8\n");
  for (int i = 0; i < 12; i++)
    g_assert_cmpint(write_rows(f, row), ==, MR_OK);
  g_assert_cmpint(stat(f->path, &st), ==, 0);
  g_assert_cmpint(st.st_size, >, 8000000);
  g_assert_cmpint(unit(f, f->h.plugin->sink->abort), ==, MR_OK);
  is(f->path, "{\"id\":2,\"name\":\"b\"}\n");
}

static void test_torn_line(struct fixture *f, gconstpointer data)
{
  g_assert_true(g_file_set_contents(f->path, "{\"id\":1}\n{\"id\":2,\"na", -1, NULL));
  src_host_conf(&f->h, f->option, NULL);
  go(f);
  put(f, "3|c|9\n");
  is(f->path, "{\"id\":1}\n{\"id\":2,\"na\n{\"id\":3,\"name\":\"c\"}\n");
}

static void test_csv(struct fixture *f, gconstpointer data)
{
  CONF(f, "format=csv");
  go(f);
  put(f, "1|a b|7\n");
  src_host_close(&f->h);
  go(f);
  put(f, "2|~|8\n");
  is(f->path, "id,name\n1,a b\n2,\n");
}

static void test_csv_of_other_columns(struct fixture *f, gconstpointer data)
{
  g_assert_true(g_file_set_contents(f->path, "id,title\n1,a\n", -1, NULL));
  CONF(f, "format=csv");
  g_assert_cmpint(src_host_open(&f->h, NULL, &f->in), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_BADCONF);
  g_assert_cmpstr(f->h.err.option, ==, "path");
}

static char *only(struct fixture *f, const char *suffix)
{
  char *found = NULL;
  GDir *d = g_dir_open(f->folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(d));)
    if (g_str_has_suffix(name, suffix)) {
      g_assert_null(found);
      found = g_build_filename(f->folder, name, NULL);
    }
  g_dir_close(d);
  return found;
}

static void test_rotates_by_size(struct fixture *f, gconstpointer data)
{
  g_autofree char *pad = g_strnfill(1200, 'x'), *row = g_strdup_printf("1|%s|7\n", pad);
  CONF(f, "rotate.bytes=1KiB", "format=csv");
  go(f);
  put(f, row);
  g_autofree char *first = only(f, ".txt");
  g_assert_nonnull(first);
  g_assert_nonnull(strstr(first, "out-2"));
  g_autofree char *text = g_strdup_printf("id,name\n1,%s\n", pad);
  is(first, text);
  g_unlink(first);
  put(f, "2|b|8\n");
  g_autofree char *part = only(f, ".part");
  is(part, "id,name\n2,b\n");
  src_host_close(&f->h); /* what is committed becomes a whole file */
  g_autofree char *second = only(f, ".txt"), *none = only(f, ".part");
  is(second, "id,name\n2,b\n");
  g_assert_null(none);
}

static void test_part_of_a_killed_run(struct fixture *f, gconstpointer data)
{
  g_autofree char *part = g_strconcat(f->path, ".part", NULL);
  g_assert_true(g_file_set_contents(part, "{\"id\":1}\n", -1, NULL));
  CONF(f, "rotate.bytes=1MiB");
  go(f);
  g_autofree char *found = only(f, ".txt");
  is(found, "{\"id\":1}\n");
}

static void test_evolve(struct fixture *f, gconstpointer data)
{
  struct ArrowSchema more = harness_schema("id: int64, name: utf8, _offset: int64, extra: bool");
  CONF(f, "rotate.bytes=1MiB", "format=csv");
  go(f);
  put(f, "1|a|7\n");
  g_assert_cmpint(f->h.plugin->sink->evolve(f->h.self, &more, &f->h.err), ==, MR_OK);
  mr_schema_release(&f->in);
  mr_schema_move(&more, &f->in);
  put(f, "2|b|8|true\n");
  g_autofree char *first = only(f, ".txt"), *part = only(f, ".part");
  is(first, "id,name\n1,a\n");
  is(part, "id,name,extra\n2,b,true\n");
}

static void test_cannot_write(struct fixture *f, gconstpointer data)
{
  src_host_conf(&f->h, "path=/nowhere/at/all.jsonl", NULL);
  g_assert_cmpint(src_host_open(&f->h, NULL, &f->in), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_FATAL);
  g_assert_nonnull(strstr(f->h.err.msg, "/nowhere/at/all.jsonl"));
}

static void test_full_disk(struct fixture *f, gconstpointer data)
{
  if (g_access("/dev/full", W_OK)) {
    g_test_skip("/dev/full is not there");
    return;
  }
  src_host_conf(&f->h, "path=/dev/full", NULL);
  go(f);
  unit(f, f->h.plugin->sink->begin);
  g_assert_cmpint(write_rows(f, "1|a|7\n"), ==, MR_OK);
  g_assert_cmpint(unit(f, f->h.plugin->sink->commit), ==, MR_RETRY);
  g_assert_nonnull(strstr(f->h.err.msg, "No space left"));
  g_assert_cmpint(unit(f, f->h.plugin->sink->commit), ==,
                  MR_RETRY); /* the same call again, nothing was lost */
}

static void test_check(struct fixture *f, gconstpointer data)
{
  GString *out = g_string_new(NULL);
  src_host_conf(&f->h, f->option, NULL);
  struct mr_open o = harness_open(&f->h.base, f->h.conf, &f->in);
  g_assert_cmpint(f->h.plugin->check(&o, harness_put, out, &f->h.err), ==, MR_OK);
  g_assert_true(g_str_has_suffix(out->str, "out.txt: ok, not there yet"));
  g_assert_false(g_file_test(f->path, G_FILE_TEST_EXISTS));
  g_string_free(out, TRUE);
}

static void test_null(void)
{
  struct fixture f = {0};
  src_host_init(&f.h, "sinks", "null");
  f.in = harness_schema("id: int64");
  src_host_conf(&f.h, "delay=0", NULL);
  go(&f);
  put(&f, "1\n2\n");
  g_assert_cmpint(unit(&f, f.h.plugin->sink->abort), ==, MR_OK);
  mr_schema_release(&f.in);
  src_host_done(&f.h);
}

#define TEST(name, function) \
  g_test_add("/file_sink/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  TEST("appends-lines", test_appends_lines);
  TEST("json-is-lines", test_json_is_lines);
  TEST("nothing-before-commit", test_nothing_before_commit);
  TEST("large-unit-aborted", test_large_unit_aborted);
  TEST("torn-line", test_torn_line);
  TEST("csv", test_csv);
  TEST("csv-of-other-columns", test_csv_of_other_columns);
  TEST("rotates-by-size", test_rotates_by_size);
  TEST("part-of-a-killed-run", test_part_of_a_killed_run);
  TEST("evolve", test_evolve);
  TEST("cannot-write", test_cannot_write);
  TEST("full-disk", test_full_disk);
  TEST("check", test_check);
  g_test_add_func("/null/takes-rows", test_null);
  return g_test_run();
}
