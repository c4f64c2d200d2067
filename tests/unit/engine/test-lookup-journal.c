/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/lookup-journal.h"
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "data/types.h"

struct fixture {
  char *dir, *path;
  struct ArrowSchema s;
  struct ArrowArray rows;
  struct mr_view view[5];
  GString *seen;
};

static struct ArrowSchema schema(const char *text)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  g_autofree char *type = g_strdup_printf("struct<%s>", text);
  g_assert_cmpint(mr_type_parse(type, "", &s, &err), ==, MR_OK);
  return s;
}

/* Five rows of: i, its text, (null for 2), a list, a uuid. */
static void setup(struct fixture *f, gconstpointer data)
{
  struct mr_column c[5];
  f->dir = g_dir_make_tmp("millrace-test-XXXXXX", NULL);
  f->path = g_build_filename(f->dir, "users.lookup", NULL);
  f->s = schema("id: int64, name: utf8, tags: list<utf8>, ref: uuid, extra: bool");
  for (int i = 0; i < 5; i++)
    g_assert_true(mr_column_init(&c[i], f->s.children[i]));
  for (int i = 0; i < 5; i++) {
    uint8_t uuid[16] = {(uint8_t)i};
    g_autofree char *name = g_strdup_printf("n%d", i);
    g_assert_true(mr_column_int(&c[0], i) &&
                  (i == 2 ? mr_column_null(&c[1]) : mr_column_text(&c[1], name)));
    for (int k = 0; k < i; k++)
      g_assert_true(mr_column_text(&c[2].child[0], name));
    g_assert_true(mr_column_end(&c[2]) && mr_column_fixed(&c[3], uuid) &&
                  mr_column_bool(&c[4], i & 1));
  }
  g_assert_true(mr_rows_finish(c, 5, 5, &f->rows));
  mr_column_done(&c[2]);
  for (int i = 0; i < 5; i++)
    mr_view_column(&f->view[i], &f->s, &f->rows, i);
  f->seen = g_string_new(NULL);
}
static void teardown(struct fixture *f, gconstpointer data)
{
  g_unlink(f->path);
  g_rmdir(f->dir);
  mr_array_release(&f->rows);
  mr_schema_release(&f->s);
  g_free(f->dir);
  g_free(f->path);
  g_string_free(f->seen, TRUE);
}

/* "lane@17:0=n0,1=n1-" for rows up to 17 of which 1 is a delete. */
static int on_rows(void *out, const char *lane, const struct mr_position *upto,
                   const struct ArrowSchema *columns, const struct ArrowArray *rows,
                   const uint8_t *deleted, struct mr_error *err)
{
  GString *seen = out;
  struct mr_view id, name;
  mr_view_column(&id, columns, rows, mr_schema_find(columns, "id"));
  mr_view_column(&name, columns, rows, mr_schema_find(columns, "name"));
  g_string_append_printf(seen, "%s@%d:", lane, (int)mr_position_get(upto));
  for (int64_t i = 0; i < rows->length; i++) {
    int64_t n = 1;
    const char *p = mr_view_null(&name, i) ? "~" : mr_view_bytes(&name, i, &n);
    g_string_append_printf(seen, "%d=%.*s%s,", (int)mr_view_int(&id, i), (int)n, p,
                           deleted && mr_bit_get(deleted, i) ? "-" : "");
  }
  g_string_append_c(seen, ' ');
  return MR_OK;
}

static int resume(struct fixture *f, struct mr_journal *j, const char *need,
                  struct mr_journal_state *ret)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema n = schema(need);
  g_string_truncate(f->seen, 0);
  int rc = mr_journal_resume(j, &n, &f->s, on_rows, f->seen, ret, &err);
  if (rc < 0)
    g_error("%s", err.msg);
  mr_schema_release(&n);
  return rc;
}

static struct mr_journal *begin(struct fixture *f, const char *columns)
{
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s = schema(columns);
  struct mr_journal *j = mr_journal_new(f->dir, "users", "print");
  g_assert_cmpint(mr_journal_begin(j, &s, 1234, false, &err), ==, MR_OK);
  mr_schema_release(&s);
  return j;
}
static void add(struct fixture *f, struct mr_journal *j, const char *lane, uint64_t upto,
                const int64_t *row, int64_t n, const uint8_t *deleted)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_position at = mr_position_u64(upto);
  g_assert_cmpint(mr_journal_rows(j, lane, &at, &f->s, f->view, row, n, deleted, &err), ==, MR_OK);
}

#define ALL "id: int64, name: utf8, tags: list<utf8>, ref: uuid, extra: bool"

static void test_resume(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_journal_state state;
  struct mr_journal *j = begin(f, ALL);
  struct stat st;
  g_assert_cmpint(stat(f->path, &st), ==, 0);
  g_assert_cmpint(st.st_mode & 0777, ==, 0600);
  add(f, j, "a", 2, NULL, 2, NULL);
  add(f, j, "b", 9, (int64_t[]){4, 2, 3}, 3, (uint8_t[]){4});
  mr_journal_free(j);
  j = mr_journal_new(f->dir, "users", "print");
  g_assert_cmpint(resume(f, j, "id: int64, name: utf8", &state), ==, MR_OK);
  g_assert_cmpstr(f->seen->str, ==, "a@2:0=n0,1=n1, b@9:4=n4,2=~,3=n3-, ");
  g_assert_false(state.loaded);
  g_assert_cmpint(state.started_us, ==, 1234);
  add(f, j, "a", 3, (int64_t[]){0}, 1, NULL);
  g_assert_cmpint(mr_journal_loaded(j, &err), ==, MR_OK);
  mr_journal_free(j);
  j = mr_journal_new(f->dir, "users", "print");
  g_assert_cmpint(resume(f, j, ALL, &state), ==, MR_OK);
  g_assert_cmpstr(f->seen->str, ==, "a@2:0=n0,1=n1, b@9:4=n4,2=~,3=n3-, a@3:0=n0, ");
  g_assert_true(state.loaded);
  mr_journal_drop(j);
  g_assert_cmpint(resume(f, j, ALL, &state), ==, MR_IDLE);
  mr_journal_free(j);
}

/* A new file each time: filesystems wait for the disk when one is replaced. */
static void put_file(const char *path, const char *data, gsize n)
{
  g_unlink(path);
  FILE *out = fopen(path, "w");
  g_assert_nonnull(out);
  g_assert_cmpuint(fwrite(data, 1, n, out), ==, n);
  g_assert_cmpint(fclose(out), ==, 0);
}

/* A file cut anywhere is a true state of earlier, and goes on being written. */
static void test_torn(struct fixture *f, gconstpointer data)
{
  struct mr_journal_state state;
  g_autofree char *whole = NULL;
  gsize len, last = 0;
  struct mr_journal *j = begin(f, ALL);
  for (uint64_t i = 1; i <= 3; i++)
    add(f, j, "a", i, (int64_t[]){(int64_t)i}, 1, NULL);
  mr_journal_free(j);
  g_assert_true(g_file_get_contents(f->path, &whole, &len, NULL));
  for (gsize cut = len; cut-- > 0;) {
    put_file(f->path, whole, cut);
    j = mr_journal_new(f->dir, "users", "print");
    int rc = resume(f, j, ALL, &state);
    gsize rows = strlen(f->seen->str);
    g_assert_true(rc == MR_OK || rc == MR_IDLE);
    g_assert_true(g_str_has_prefix("a@1:1=n1, a@2:2=~, a@3:3=n3, ", f->seen->str));
    g_assert_cmpuint(rows, <, 29);
    if (rc == MR_OK && rows != last) { /* goes on behind what is whole */
      g_autofree char *before = g_strdup(f->seen->str),
                      *want = g_strconcat(before, "z@7:4=n4, ", NULL);
      add(f, j, "z", 7, (int64_t[]){4}, 1, NULL);
      mr_journal_free(j);
      j = mr_journal_new(f->dir, "users", "print");
      g_assert_cmpint(resume(f, j, ALL, &state), ==, MR_OK);
      g_assert_cmpstr(f->seen->str, ==, want);
      last = rows;
    }
    mr_journal_free(j);
  }
}

/* A changed byte anywhere is found. */
static void test_flipped(struct fixture *f, gconstpointer data)
{
  struct mr_journal_state state;
  g_autofree char *whole = NULL;
  gsize len;
  struct mr_journal *j = begin(f, ALL);
  for (uint64_t i = 1; i <= 3; i++)
    add(f, j, "a", i, (int64_t[]){(int64_t)i}, 1, NULL);
  mr_journal_free(j);
  g_assert_true(g_file_get_contents(f->path, &whole, &len, NULL));
  for (gsize at = 0; at < len; at++) {
    whole[at] ^= 0x20;
    put_file(f->path, whole, len);
    whole[at] ^= 0x20;
    j = mr_journal_new(f->dir, "users", "print");
    resume(f, j, ALL, &state);
    g_assert_true(g_str_has_prefix("a@1:1=n1, a@2:2=~, a@3:3=n3, ", f->seen->str));
    g_assert_cmpuint(strlen(f->seen->str), <, 29);
    mr_journal_free(j);
  }
}

/* Of other options, with other columns, or of a source that lost one: begun anew. */
static void test_others(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_journal_state state;
  struct mr_journal *j = begin(f, "id: int64, name: utf8");
  add(f, j, "a", 2, NULL, 2, NULL);
  mr_journal_free(j);
  j = mr_journal_new(f->dir, "users", "other options");
  g_assert_cmpint(resume(f, j, "id: int64", &state), ==, MR_IDLE);
  mr_journal_free(j);
  j = mr_journal_new(f->dir, "users", "print");
  g_assert_cmpint(resume(f, j, "id: int64, extra: bool", &state), ==, MR_IDLE);
  g_assert_cmpint(resume(f, j, "id: utf8", &state), ==, MR_IDLE);
  g_assert_cmpint(resume(f, j, "id: int64", &state), ==, MR_OK);
  struct ArrowSchema need = schema("id: int64"), from = schema("id: int64, extra: bool");
  g_assert_cmpint(mr_journal_resume(j, &need, &from, on_rows, f->seen, &state, &err), ==, MR_IDLE);
  mr_schema_release(&need);
  mr_schema_release(&from);
  mr_journal_free(j);
}

static void test_switch(struct fixture *f, gconstpointer data)
{
  struct mr_error err = MR_ERROR_INIT;
  struct mr_journal_state state;
  struct mr_journal *j = begin(f, "id: int64, name: utf8");
  add(f, j, "a", 5, NULL, 5, NULL);
  struct ArrowSchema s = schema("id: int64, name: utf8");
  g_assert_cmpint(mr_journal_begin(j, &s, 99, true, &err), ==, MR_OK);
  add(f, j, "a", 5, (int64_t[]){1}, 1, NULL);
  struct mr_journal *k = mr_journal_new(f->dir, "users", "print");
  g_assert_cmpint(resume(f, k, "id: int64", &state), ==,
                  MR_OK); /* the old one is there until the switch */
  g_assert_cmpstr(f->seen->str, ==, "a@5:0=n0,1=n1,2=~,3=n3,4=n4, ");
  g_assert_cmpint(mr_journal_switch(j, &err), ==, MR_OK);
  add(f, j, "a", 6, (int64_t[]){3}, 1, NULL);
  g_assert_cmpint(resume(f, k, "id: int64", &state), ==, MR_OK);
  g_assert_cmpstr(f->seen->str, ==, "a@5:1=n1, a@6:3=n3, ");
  g_assert_cmpint(state.started_us, ==, 99);
  mr_schema_release(&s);
  mr_journal_free(j);
  mr_journal_free(k);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(path, fn) g_test_add("/lookup-journal/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("resume", test_resume);
  ADD("torn", test_torn);
  ADD("flipped", test_flipped);
  ADD("others", test_others);
  ADD("switch", test_switch);
  return g_test_run();
}
