/* SPDX-License-Identifier: Apache-2.0 */
/* Segments of a directory in turn: those that grow, vanish, are empty or damaged. */
#include "common/clock.h"
#include "folder.h"
#include "sources/cassandra/follow.h"

#define ERR                                    \
  {                                            \
    .size = sizeof(struct mr_error), .row = -1 \
  }
#define LIMIT_MS 60000

/* The next mutation as segment * 1000 + number; what else comes: its status, below 0 or MR_IDLE. */
static int64_t next(struct cass_follow *f)
{
  struct mr_error err = ERR;
  struct clog_entry e;
  int rc = cass_follow_next(f, &e, &err);
  return rc == MR_OK ? e.segment * 1000 + e.data[0] : rc;
}

/* The same, waited for. */
static int64_t wait_next(struct cass_follow *f)
{
  int64_t until = clock_now_ms() + LIMIT_MS, got;
  while ((got = next(f)) == MR_IDLE && clock_now_ms() < until)
    cass_follow_wait(f, clock_now_ms() + 1000, -1);
  return got;
}

static struct cass_follow begin(const char *folder, int64_t segment, int64_t position)
{
  struct cass_follow f;
  cass_follow_init(&f, folder, CLOG_FAST);
  cass_follow_seek(&f, segment, position);
  return f;
}

static void test_in_turn(void)
{
  char *folder = folder_new();
  folder_segment(folder, 9, 2);
  folder_segment(folder, 10, 0);
  folder_segment(folder, 11, 1);
  folder_idx(folder, 9, "92\nCOMPLETED");
  struct cass_follow f = begin(folder, 0, 0);
  g_assert_cmpint(wait_next(&f), ==, 9000);
  g_assert_cmpint(wait_next(&f), ==, 9001);
  g_assert_cmpint(wait_next(&f), ==, 11000);
  g_assert_cmpint(next(&f), ==, MR_IDLE);
  g_assert_cmpint(f.segment, ==, 11);
  folder_segment(folder, 12,
                 1); /* renamed into place: the one that is open is not the newest now */
  g_assert_cmpint(wait_next(&f), ==, 12000);
  cass_follow_done(&f);
  folder_free(folder);
}

static void test_from_a_place(void)
{
  struct mr_error err = ERR;
  struct clog_entry first, e;
  char *folder = folder_new();
  folder_segment(folder, 5, 3);
  struct cass_follow f = begin(folder, 5, 0);
  g_assert_cmpint(cass_follow_next(&f, &first, &err), ==, MR_OK);
  cass_follow_seek(&f, 5, first.end);
  g_assert_cmpint(next(&f), ==, 5001);
  cass_follow_seek(&f, 5, first.position); /* it itself comes again */
  g_assert_cmpint(cass_follow_next(&f, &e, &err), ==, MR_OK);
  g_assert_cmpint(e.position, ==, first.position);
  cass_follow_seek(&f, 4, first.end); /* a position of a segment that is gone says nothing here */
  g_assert_cmpint(next(&f), ==, 5000);
  cass_follow_done(&f);
  folder_free(folder);
}

static void test_one_that_vanished(void)
{
  char *folder = folder_new();
  folder_segment(folder, 1, 1);
  folder_segment(folder, 2, 1);
  folder_segment(folder, 3, 1);
  struct cass_follow f = begin(folder, 0, 0);
  g_assert_cmpint(wait_next(&f), ==, 1000);
  folder_drop(folder, 2); /* listed, and gone before it is opened */
  g_assert_cmpint(wait_next(&f), ==, 3000);
  cass_follow_done(&f);
  folder_free(folder);
}

static void test_a_head_that_is_being_written(void)
{
  char *folder = folder_new();
  g_autofree char *path = folder_log(folder, 2);
  folder_segment(folder, 1, 1);
  folder_idx(folder, 1, "56\nCOMPLETED");
  writer_save(path, "\0\0\0\7\0\0\0\0\0\0\0\2\0\2{}\0\0\0\0", 20); /* its checksum is still zero */
  struct cass_follow f = begin(folder, 0, 0);
  g_assert_cmpint(next(&f), ==, 1000);
  g_assert_cmpint(next(&f), ==, MR_IDLE);
  g_assert_cmpint(next(&f), ==, MR_IDLE);
  folder_segment(folder, 2, 1);
  g_assert_cmpint(wait_next(&f), ==, 2000);
  cass_follow_done(&f);
  folder_free(folder);
}

static void test_a_head_that_was_never_written(void)
{
  static const char zeros[4096];
  char *folder = folder_new();
  g_autofree char *path = folder_log(folder, 2);
  folder_segment(folder, 1, 1);
  folder_idx(folder, 1, "56\nCOMPLETED");
  writer_save(path, zeros, sizeof zeros);
  struct cass_follow f = begin(folder, 0, 0);
  g_assert_cmpint(next(&f), ==, 1000);
  g_assert_cmpint(next(&f), ==, MR_IDLE);
  folder_segment(folder, 3, 1); /* the node died, and began another */
  g_assert_cmpint(wait_next(&f), ==, 3000);
  folder_idx(folder, 2, "77\nCOMPLETED"); /* it had data: its head is damaged */
  cass_follow_seek(&f, 2, 0);
  g_assert_cmpint(wait_next(&f), ==, MR_REJECT);
  cass_follow_done(&f);
  folder_free(folder);
}

static void test_one_that_cannot_be_read(void)
{
  char *folder = folder_new();
  g_autofree char *path = folder_log(folder, 2);
  folder_segment(folder, 1, 1);
  folder_segment(folder, 3, 1);
  writer_save(path, "\0\0\0\6\0\0\0\0\0\0\0\2\0\2{}\0\0\0\0", 20); /* of Cassandra 3 */
  struct cass_follow f = begin(folder, 0, 0);
  g_assert_cmpint(wait_next(&f), ==, 1000);
  g_assert_cmpint(wait_next(&f), ==, MR_REJECT);
  g_assert_null(f.open);
  g_assert_cmpint(f.segment, ==, 2);
  g_assert_cmpint(next(&f), ==, MR_REJECT); /* until it is left */
  cass_follow_skip(&f);
  g_assert_cmpint(wait_next(&f), ==, 3000);
  cass_follow_done(&f);
  folder_free(folder);
}

static void test_the_end(void)
{
  struct mr_error err = ERR;
  int64_t segment, position;
  char *folder = folder_new();
  struct cass_follow f = begin(folder, 0, 0);
  g_assert_cmpint(cass_follow_end(&f, &segment, &position, &err), ==, MR_OK);
  g_assert_cmpint(segment, ==, INT64_MIN);
  folder_segment(folder, 1, 1);
  folder_segment(folder, 2, 2);
  folder_segment(folder, 3, 0);
  g_assert_cmpint(cass_follow_end(&f, &segment, &position, &err), ==, MR_OK);
  g_assert_cmpint(segment, ==, 2);
  cass_follow_seek(&f, segment, position);
  g_assert_cmpint(next(&f), ==, MR_IDLE);
  cass_follow_done(&f);
  folder_free(folder);
}

static void test_no_folder(void)
{
  struct cass_follow f = begin("/proc/none", 0, 0);
  g_assert_cmpint(next(&f), ==, MR_RETRY);
  cass_follow_done(&f);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/follow/in-turn", test_in_turn);
  g_test_add_func("/follow/place", test_from_a_place);
  g_test_add_func("/follow/vanished", test_one_that_vanished);
  g_test_add_func("/follow/head", test_a_head_that_is_being_written);
  g_test_add_func("/follow/blank", test_a_head_that_was_never_written);
  g_test_add_func("/follow/unreadable", test_one_that_cannot_be_read);
  g_test_add_func("/follow/end", test_the_end);
  g_test_add_func("/follow/no-folder", test_no_folder);
  return g_test_run();
}
