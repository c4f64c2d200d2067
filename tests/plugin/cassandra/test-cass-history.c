/* SPDX-License-Identifier: Apache-2.0 */
/* Notes in the folder that readers share: sets of segments, positions, the slowest reader, the node
 * it belongs to, the schema's text. */
#include "folder.h"
#include "sources/cassandra/history.h"

#define ERR                                    \
  {                                            \
    .size = sizeof(struct mr_error), .row = -1 \
  }

static struct mr_position at_segment(uint64_t segment)
{
  struct mr_position p = mr_position_u64(segment);
  p.len = 28;
  return p;
}

static void test_sets(void)
{
  static const int64_t in[] = {5, 1, 9, 5, 3, INT64_MAX};
  struct cass_ids ids = {0};
  for (size_t i = 0; i < G_N_ELEMENTS(in); i++)
    g_assert_true(cass_ids_add(&ids, in[i]));
  g_assert_cmpuint(ids.n, ==, 5);
  for (size_t i = 1; i < ids.n; i++)
    g_assert_cmpint(ids.id[i - 1], <, ids.id[i]);
  g_assert_true(cass_ids_has(&ids, 9) && !cass_ids_has(&ids, 4) && !cass_ids_has(&ids, 0));
  cass_ids_drop(&ids, 5);
  cass_ids_drop(&ids, 4);
  g_assert_cmpuint(ids.n, ==, 4);
  cass_ids_drop_below(&ids, 4);
  g_assert_true(ids.n == 2 && ids.id[0] == 9);
  cass_ids_done(&ids);
}

static void test_notes(void)
{
  struct mr_error err = ERR;
  struct cass_history h;
  struct cass_note note = {.at = at_segment(77), .store = "state-1"}, back;
  char *folder = folder_new();
  g_assert_cmpint(cass_history_open(&h, folder, "p", "s", &err), ==, MR_OK);
  g_assert_cmpint(cass_history_read(&h, &back, &err), ==, MR_IDLE);
  g_assert_cmpuint(back.at.len, ==, 0);
  g_assert_true(cass_ids_add(&note.cdc, 77) && cass_ids_add(&note.cdc, 80));
  g_assert_true(cass_ids_add(&note.kept, 70));
  for (int i = 0; i < 2; i++) { /* the second replaces the first */
    g_assert_cmpint(cass_history_write(&h, &note, &err), ==, MR_OK);
    g_assert_cmpint(cass_history_read(&h, &back, &err), ==, MR_OK);
    g_assert_cmpint(mr_position_cmp(&back.at, &note.at), ==, 0);
    g_assert_cmpstr(back.store, ==, "state-1");
    g_assert_true(back.cdc.n == 2 && cass_ids_has(&back.cdc, 80));
    g_assert_true(back.kept.n == 1 && cass_ids_has(&back.kept, 70));
    cass_note_done(&back);
  }
  cass_note_done(&note);
  cass_history_done(&h);
  folder_free(folder);
}

static void test_a_note_that_cannot_be_read(void)
{
  struct mr_error err = ERR;
  struct cass_history h;
  struct cass_note back;
  char *folder = folder_new();
  g_autofree char *path = g_build_filename(folder, "p.s.position", NULL);
  g_assert_cmpint(cass_history_open(&h, folder, "p", "s", &err), ==, MR_OK);
  writer_save(path, "position 00zz\n", -1);
  g_assert_cmpint(cass_history_read(&h, &back, &err), ==, MR_FATAL);
  g_assert_nonnull(strstr(err.msg, path));
  cass_note_done(&back);
  cass_history_done(&h);
  folder_free(folder);
}

static void write_reader(const char *folder, const char *pipeline, uint64_t segment, int64_t kept)
{
  struct mr_error err = ERR;
  struct cass_history h;
  struct cass_note note = {0};
  if (segment)
    note.at = at_segment(segment);
  if (kept)
    g_assert_true(cass_ids_add(&note.kept, kept));
  g_assert_cmpint(cass_history_open(&h, folder, pipeline, "s", &err), ==, MR_OK);
  g_assert_cmpint(cass_history_write(&h, &note, &err), ==, MR_OK);
  cass_note_done(&note);
  cass_history_done(&h);
}

static void test_readers(void)
{
  struct mr_error err = ERR;
  struct cass_history h;
  struct cass_readers all;
  char *folder = folder_new();
  g_assert_cmpint(cass_history_open(&h, folder, "a", "s", &err), ==, MR_OK);
  g_assert_cmpint(cass_history_readers(&h, &all, &err), ==, MR_OK);
  g_assert_cmpint(all.oldest, ==, INT64_MIN); /* nobody: nothing is removed */
  write_reader(folder, "a", 30, 7);
  write_reader(folder, "b", 20, 0);
  g_assert_cmpint(cass_history_readers(&h, &all, &err), ==, MR_OK);
  g_assert_cmpint(all.oldest, ==, 20);
  g_assert_cmpstr(all.slowest, ==, "b.s");
  g_assert_true(all.kept.n == 1 && all.kept.id[0] == 7);
  cass_ids_done(&all.kept);
  write_reader(folder, "c", 0, 0); /* it has not begun */
  g_assert_cmpint(cass_history_readers(&h, &all, &err), ==, MR_OK);
  g_assert_cmpint(all.oldest, ==, INT64_MIN);
  g_assert_cmpstr(all.slowest, ==, "c.s");
  cass_ids_done(&all.kept);
  cass_history_done(&h);
  folder_free(folder);
}

static void test_the_node(void)
{
  struct mr_error err = ERR;
  struct cass_history h;
  char *folder = folder_new();
  g_assert_cmpint(cass_history_open(&h, folder, "a", "s", &err), ==, MR_OK);
  g_assert_cmpint(cass_history_node(&h, "11111111-0000", &err), ==, MR_OK);
  g_assert_cmpint(cass_history_node(&h, "11111111-0000", &err), ==, MR_OK);
  g_assert_cmpint(cass_history_node(&h, "11111111-0001", &err), ==, MR_BADCONF);
  g_assert_nonnull(strstr(err.msg, "11111111-0000"));
  cass_history_done(&h);
  folder_free(folder);
}

static void test_the_schema(void)
{
  struct mr_error err = ERR;
  struct cass_history h;
  struct sql_buf text = {0}, back = {0};
  char *folder = folder_new();
  g_assert_cmpint(cass_history_open(&h, folder, "a", "s", &err), ==, MR_OK);
  g_assert_cmpint(cass_history_load(&h, &back, &err), ==, MR_IDLE);
  for (int i = 0; i < 20000; i++)
    sql_buf_str(&text, "CREATE;\n");
  g_assert_cmpint(cass_history_save(&h, &text, &err), ==, MR_OK);
  g_assert_cmpint(cass_history_load(&h, &back, &err), ==, MR_OK);
  g_assert_cmpmem(back.p, back.len, text.p, text.len);
  sql_buf_done(&text);
  sql_buf_done(&back);
  cass_history_done(&h);
  folder_free(folder);
}

static void test_a_folder_that_cannot_be(void)
{
  struct mr_error err = ERR;
  struct cass_history h;
  g_assert_cmpint(cass_history_open(&h, "/proc/none/history", "a", "s", &err), ==, MR_BADCONF);
  g_assert_cmpstr(err.option, ==, "history");
  cass_history_done(&h);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/history/sets", test_sets);
  g_test_add_func("/history/notes", test_notes);
  g_test_add_func("/history/unreadable", test_a_note_that_cannot_be_read);
  g_test_add_func("/history/readers", test_readers);
  g_test_add_func("/history/node", test_the_node);
  g_test_add_func("/history/schema", test_the_schema);
  g_test_add_func("/history/folder", test_a_folder_that_cannot_be);
  return g_test_run();
}
