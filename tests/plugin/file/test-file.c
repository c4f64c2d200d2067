/* SPDX-License-Identifier: Apache-2.0 */
/* The file source. */
#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>
#include "src-host.h"

struct fixture {
  struct src_host h;
  char *folder, *path, *option;
};

static void set_up(struct fixture *f, gconstpointer data)
{
  src_host_init(&f->h, "sources", "file");
  f->folder = g_dir_make_tmp("millrace-file-XXXXXX", NULL);
  f->path = g_build_filename(f->folder, "in.log", NULL);
  f->option = g_strdup_printf("path=%s", f->path);
}

static void tear_down(struct fixture *f, gconstpointer data)
{
  GDir *d = g_dir_open(f->folder, 0, NULL);
  for (const char *name; (name = g_dir_read_name(d));) {
    g_autofree char *path = g_build_filename(f->folder, name, NULL);
    g_unlink(path);
  }
  g_dir_close(d);
  g_rmdir(f->folder);
  src_host_done(&f->h);
  g_free(f->folder);
  g_free(f->path);
  g_free(f->option);
}

static void add(const char *path, const char *text)
{
  FILE *out = fopen(path, "a");
  g_assert_nonnull(out);
  fputs(text, out);
  fclose(out);
}

static void put(struct fixture *f, const char *text)
{
  g_assert_true(g_file_set_contents(f->path, text, -1, NULL));
}

static void go(struct fixture *f, const char *want)
{
  g_assert_cmpint(src_host_open(&f->h, want, NULL), ==, MR_OK);
  if (src_host_start(&f->h) < 0)
    g_error("start: %s", f->h.err.msg);
}

#define CONF(f, ...) src_host_conf(&(f)->h, (f)->option, __VA_ARGS__, NULL)
#define JSONL "columns=id: int64, name: utf8"
#define ROWS(f, n, text)                                \
  G_STMT_START                                          \
  {                                                     \
    g_autofree char *rows_ = src_host_rows(&(f)->h, n); \
    g_assert_cmpstr(rows_, ==, text);                   \
  }                                                     \
  G_STMT_END

static void ends(struct fixture *f)
{
  struct mr_batch b;
  g_assert_cmpint(src_host_read_once(&f->h, 10, 0, &b), ==, MR_END);
}

/* ---- whole files */

static void test_jsonl(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1,\"name\":\"a\"}\n\n[{\"id\":2},{\"id\":3}]\r\n{\"id\":4}");
  CONF(f, JSONL);
  go(f, "_offset,_element,_original");
  ROWS(f, 4,
       "1|a|0|0|{\"id\":1,\"name\":\"a\"}\n2|~|21|0|{\"id\":2}\n"
       "3|~|21|1|{\"id\":3}\n4|~|42|0|{\"id\":4}\n");
  ends(f);
}

static void test_reject(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}\nnot json\n{\"id\":2}\n");
  CONF(f, JSONL);
  go(f, NULL);
  ROWS(f, 2, "1|~\n2|~\n");
  ends(f);
  g_assert_cmpuint(f->h.refused->len, ==, 1);
  g_assert_cmpstr(((struct src_refused *)f->h.refused->pdata[0])->data, ==, "not json");
}

static void test_csv(struct fixture *f, gconstpointer data)
{
  put(f, "id,name\n1,a\n2,\"two\nlines\"\n3,c\n");
  CONF(f, "format=csv", JSONL);
  go(f, "_offset");
  ROWS(f, 3, "1|a|8\n2|two\nlines|12\n3|c|26\n");
  ends(f);
}

/* A quote that is never closed costs one line, not the rest of the file. */
static void test_csv_open_quote(struct fixture *f, gconstpointer data)
{
  put(f, "id,name\n1,\"a\n2,b\n3,c\n");
  CONF(f, "format=csv", JSONL);
  go(f, NULL);
  ROWS(f, 2, "2|b\n3|c\n");
  ends(f);
  g_assert_cmpuint(f->h.refused->len, ==, 1);
  g_assert_cmpstr(((struct src_refused *)f->h.refused->pdata[0])->data, ==, "1,\"a");
}

static void test_csv_without_header(struct fixture *f, gconstpointer data)
{
  put(f, "1;a\n2;b\n");
  CONF(f, "format=csv", "header=false", "delimiter=;", JSONL);
  go(f, NULL);
  ROWS(f, 2, "1|a\n2|b\n");
  ends(f);
}

static void test_csv_missing_column(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  put(f, "id,title\n1,a\n");
  CONF(f, "format=csv", JSONL);
  go(f, NULL);
  g_assert_cmpint(src_host_read(&f->h, 10, &b), ==, MR_BADCONF);
  g_assert_nonnull(strstr(f->h.err.msg, "name"));
}

/* Columns of each file by its own header; the types come with the first file. */
static void test_several_files(struct fixture *f, gconstpointer data)
{
  g_autofree char *second = g_build_filename(f->folder, "in2.log", NULL);
  g_autofree char *option = g_strdup_printf("path=%s/in*.log", f->folder);
  put(f, "id,name\n1,a\n");
  add(second, "name,id\nb,2\n");
  src_host_conf(&f->h, option, "format=csv", JSONL, NULL);
  go(f, "_topic");
  g_autofree char *expected = g_strdup_printf("1|a|%s\n2|b|%s\n", f->path, second);
  ROWS(f, 2, expected);
  ends(f);
  g_assert_nonnull(src_host_lane(&f->h, second));
}

static void test_infers(struct fixture *f, gconstpointer data)
{
  put(f, "a,b\n1,x\n");
  CONF(f, "format=csv");
  go(f, NULL);
  ROWS(f, 1, "1|x\n");
  g_autofree char *columns = harness_columns(&f->h.schema);
  g_assert_cmpstr(columns, ==, "a: int64, b: utf8");
}

static void test_json_document(struct fixture *f, gconstpointer data)
{
  put(f, "[\n  {\"id\": 1},\n  {\"id\": 2}\n]\n");
  CONF(f, "format=json", JSONL);
  go(f, NULL);
  ROWS(f, 2, "1|~\n2|~\n");
  ends(f);
  g_assert_cmpuint(f->h.refused->len, ==, 0);
}

static void test_gzip(struct fixture *f, gconstpointer data)
{
  g_autofree char *path = g_strconcat(f->path, ".gz", NULL),
                  *option = g_strdup_printf("path=%s", path);
  gzFile out = gzopen(path, "wb");
  gzputs(out, "id,name\n1,a\n2,b\n");
  gzclose(out);
  src_host_conf(&f->h, option, "format=csv", JSONL, NULL);
  go(f, NULL);
  ROWS(f, 1, "1|a\n");
  src_host_close(&f->h);
  go(f, NULL);
  ROWS(f, 5, "2|b\n");
  ends(f);
}

static void test_long_line(struct fixture *f, gconstpointer data)
{
  g_autofree char *pad = g_strnfill(600000, 'x');
  g_autofree char *text =
      g_strdup_printf("{\"id\":1}\n{\"id\":2,\"name\":\"%s\"}\n{\"id\":3}\n", pad);
  put(f, text);
  CONF(f, "max_line=2KiB", JSONL);
  go(f, NULL);
  ROWS(f, 2, "1|~\n3|~\n");
  ends(f);
  g_assert_cmpuint(f->h.refused->len, ==, 1);
  g_assert_cmpstr(((struct src_refused *)f->h.refused->pdata[0])->code, ==, "54000");
}

static void test_missing(struct fixture *f, gconstpointer data)
{
  CONF(f, JSONL);
  g_assert_cmpint(src_host_open(&f->h, NULL, NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_BADCONF);
  g_assert_cmpstr(f->h.err.option, ==, "path");
  g_assert_nonnull(strstr(f->h.err.msg, f->path));
}

/* ---- positions */

static void test_resume(struct fixture *f, gconstpointer data)
{
  put(f, "id,name\n1,a\n2,b\n3,c\n");
  CONF(f, "format=csv", JSONL);
  go(f, "_offset");
  ROWS(f, 1, "1|a|8\n");
  src_host_close(&f->h);
  go(f, "_offset");
  ROWS(f, 5, "2|b|12\n3|c|16\n");
  src_host_close(&f->h);
  go(f, "_offset");
  ends(f);
}

static void test_replaced_file_is_read_again(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}\n{\"id\":2}\n");
  CONF(f, JSONL);
  go(f, NULL);
  ROWS(f, 5, "1|~\n2|~\n");
  int64_t before = src_host_lane(&f->h, f->path)->position;
  src_host_close(&f->h);
  add(f->path, ""); /* the old inode stays in use, so that the new file gets another one */
  g_autofree char *old = g_build_filename(f->folder, "old", NULL);
  g_assert_cmpint(g_rename(f->path, old), ==, 0);
  put(f, "{\"id\":3}\n");
  go(f, NULL);
  ROWS(f, 5, "3|~\n");
  g_assert_cmpint(src_host_lane(&f->h, f->path)->position, >, before);
}

static void test_cut_and_seek(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}\n{\"id\":2}\n{\"id\":3}\n{\"id\":4}\n");
  CONF(f, JSONL);
  go(f, NULL);
  struct mr_batch b, first;
  g_assert_cmpint(src_host_read(&f->h, 1, &first), ==, MR_OK);
  struct mr_position at =
      mr_position_u64(20); /* in the middle of the third line: its row begins before it */
  g_assert_cmpint(f->h.plugin->source->cut(f->h.self, 0, &at), ==, MR_OK);
  g_assert_cmpint(src_host_read(&f->h, 10, &b), ==, MR_OK);
  g_assert_cmpint(b.rows.length, ==, 2);
  mr_array_release(&b.rows);
  g_assert_cmpint(f->h.plugin->source->seek(f->h.self, 0, &first.upto, &f->h.err), ==, MR_OK);
  ROWS(f, 10, "2|~\n3|~\n4|~\n");
  mr_array_release(&first.rows);
}

/* ---- followed files */

static void test_follow(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  put(f, "{\"id\":1}\n{\"id\":");
  CONF(f, "mode=follow", JSONL);
  go(f, NULL);
  ROWS(f, 1, "1|~\n");
  g_assert_cmpint(src_host_read_once(&f->h, 10, 100, &b), ==, MR_IDLE);
  add(f->path, "2}\n");
  ROWS(f, 1, "2|~\n");
}

static void test_follow_comes_later(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  CONF(f, "mode=follow", "format=csv", JSONL);
  go(f, NULL);
  g_assert_cmpint(src_host_read_once(&f->h, 10, 0, &b), ==, MR_IDLE);
  put(f, "id,na");
  g_assert_cmpint(src_host_read_once(&f->h, 10, 0, &b), ==, MR_IDLE);
  add(f->path, "me\n1,a\n");
  ROWS(f, 1, "1|a\n");
}

static void test_follow_latest(struct fixture *f, gconstpointer data)
{
  put(f, "id,name\n1,a\n");
  CONF(f, "mode=follow", "start=latest", "format=csv", JSONL);
  go(f, NULL);
  add(f->path, "2,b\n");
  ROWS(f, 1, "2|b\n");
}

static void rotate(struct fixture *f)
{
  g_autofree char *old = g_strconcat(f->path, ".1", NULL);
  g_assert_cmpint(g_rename(f->path, old), ==, 0);
}

static void test_rotation(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}\n");
  CONF(f, "mode=follow", JSONL);
  go(f, "_offset");
  ROWS(f, 1, "1|~|0\n");
  g_autofree char *old = g_strconcat(f->path, ".1", NULL);
  rotate(f);
  add(old, "{\"id\":2}\n{\"id\":3}"); /* its writer has not noticed yet; the last line has no end */
  add(f->path, "{\"id\":4}\n");
  ROWS(f, 3, "2|~|9\n3|~|18\n4|~|0\n");
}

static void test_copytruncate(struct fixture *f, gconstpointer data)
{
  put(f, "id,name\n1,a\n22,b\n");
  CONF(f, "mode=follow", "format=csv", JSONL);
  go(f, NULL);
  ROWS(f, 2, "1|a\n22|b\n");
  int64_t before = src_host_lane(&f->h, f->path)->position;
  g_assert_cmpint(truncate(f->path, 0), ==, 0);
  add(f->path, "id,name\n3,c\n");
  ROWS(f, 1, "3|c\n");
  g_assert_cmpint(src_host_lane(&f->h, f->path)->position, >, before);
}

/* Rotated while nothing ran: what was left of the old file comes first. */
static void test_rotated_while_stopped(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}\n{\"id\":2}\n");
  CONF(f, "mode=follow", JSONL);
  go(f, NULL);
  ROWS(f, 1, "1|~\n");
  src_host_close(&f->h);
  rotate(f);
  g_usleep(20000);
  put(f, "{\"id\":3}\n");
  go(f, NULL);
  ROWS(f, 2, "2|~\n3|~\n");
}

static void test_gap(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}\n{\"id\":2}\n");
  CONF(f, "mode=follow", JSONL);
  go(f, NULL);
  ROWS(f, 1, "1|~\n");
  src_host_close(&f->h);
  rotate(f);
  put(f, "{\"id\":3}\n");
  g_autofree char *old = g_strconcat(f->path, ".1", NULL);
  g_unlink(old);
  g_assert_cmpint(src_host_open(&f->h, NULL, NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_FATAL);
  g_assert_cmpstr(f->h.err.code, ==, "gap");
  src_host_close(&f->h);
  CONF(f, "mode=follow", "on_gap=continue", JSONL);
  go(f, NULL);
  ROWS(f, 1, "3|~\n");
}

static void test_follow_new_file(struct fixture *f, gconstpointer data)
{
  g_autofree char *option = g_strdup_printf("path=%s/*.log", f->folder);
  g_autofree char *second = g_build_filename(f->folder, "late.log", NULL);
  put(f, "{\"id\":1}\n");
  src_host_conf(&f->h, option, "mode=follow", JSONL, NULL);
  go(f, NULL);
  ROWS(f, 1, "1|~\n");
  add(second, "{\"id\":2}\n");
  ROWS(f, 1, "2|~\n");
}

static void test_follow_bounded(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}\n{\"id\":2}\n");
  CONF(f, "mode=follow", JSONL);
  f->h.bounded = true;
  go(f, NULL);
  add(f->path, "{\"id\":3}\n");
  ROWS(f, 9, "1|~\n2|~\n");
  ends(f);
}

static void test_validate(struct fixture *f, gconstpointer data)
{
  CONF(f, "start=latest");
  g_assert_cmpint(src_host_validate(&f->h), ==, MR_BADCONF);
  src_host_conf(&f->h, "path=x.gz", "mode=follow", NULL);
  g_assert_cmpint(src_host_validate(&f->h), ==, MR_BADCONF);
  CONF(f, "mode=follow", "start=latest");
  g_assert_cmpint(src_host_validate(&f->h), ==, MR_OK);
}

#define TEST(name, function) \
  g_test_add("/file/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  TEST("jsonl", test_jsonl);
  TEST("reject", test_reject);
  TEST("csv", test_csv);
  TEST("csv-open-quote", test_csv_open_quote);
  TEST("csv-without-header", test_csv_without_header);
  TEST("csv-missing-column", test_csv_missing_column);
  TEST("several-files", test_several_files);
  TEST("infers", test_infers);
  TEST("json-document", test_json_document);
  TEST("gzip", test_gzip);
  TEST("long-line", test_long_line);
  TEST("missing", test_missing);
  TEST("resume", test_resume);
  TEST("replaced-file-is-read-again", test_replaced_file_is_read_again);
  TEST("cut-and-seek", test_cut_and_seek);
  TEST("follow", test_follow);
  TEST("follow-comes-later", test_follow_comes_later);
  TEST("follow-latest", test_follow_latest);
  TEST("rotation", test_rotation);
  TEST("copytruncate", test_copytruncate);
  TEST("rotated-while-stopped", test_rotated_while_stopped);
  TEST("gap", test_gap);
  TEST("follow-new-file", test_follow_new_file);
  TEST("follow-bounded", test_follow_bounded);
  TEST("validate", test_validate);
  return g_test_run();
}
