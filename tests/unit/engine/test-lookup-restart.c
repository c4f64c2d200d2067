/* SPDX-License-Identifier: Apache-2.0 */
/* The lookup service after its process was killed, or ended. */
#include <signal.h>
#include <sys/wait.h>
#include "scripted-lookup.h"

/* A child loads until batch 5 and is killed there; the next process goes on at batch 5. */
static void killed_at_5(struct fixture *f)
{
  pid_t pid = fork();
  g_assert_cmpint(pid, >=, 0);
  if (!pid) {
    f->script.hold_at = 5;
    start(f);
    handle(f, "id: int64", "email");
    while (get(f, &f->script.reads) < 8)
      g_usleep(1000);
    kill(getpid(), SIGKILL);
  }
  int status;
  g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
  g_assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void ten_batches(struct fixture *f)
{
  for (int i = 0; i < 10; i++) {
    g_autofree char *rows = g_strdup_printf("%d=b%d %d=b%d 100=b%d", i, i, i + 10, i, i);
    add(f, rows);
  }
}
static void check_ten(struct fixture *f, struct mr_lookup *h)
{
  CHECK(h, "b0 b0 b4 b5 b9 b9 b9 - ", 0, 10, 4, 5, 9, 19, 100, 101);
}

static void test_killed_mid_load(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  f->script.follow = true;
  ten_batches(f);
  killed_at_5(f);
  f->script.hold_at = 5;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  while (get(f, &f->script.reads) < 1)
    g_usleep(1000);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 5);
  set(f, &f->script.hold_at, -1);
  ready(f);
  check_ten(f, h);
  g_assert_cmpint(get(f, &f->script.opens), <=, 3);
  mr_lookup_close(h);
}

/* Too long ago, with other columns, or with a journal that cannot be read: loaded anew, and
 * complete. */
static void test_killed_long_ago(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  ten_batches(f);
  killed_at_5(f);
  wall_shift_us = INT64_C(2) * 3600 * 1000000;
  f->script.hold_at = 0;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  while (get(f, &f->script.reads) < 1)
    g_usleep(1000);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 0);
  set(f, &f->script.hold_at, -1);
  ready(f);
  check_ten(f, h);
  mr_lookup_close(h);
}

static void test_killed_other_columns(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  ten_batches(f);
  killed_at_5(f);
  f->script.hold_at = 0;
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email\nten");
  while (get(f, &f->script.reads) < 1)
    g_usleep(1000);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 0);
  set(f, &f->script.hold_at, -1);
  ready(f);
  check_ten(f, h);
  mr_lookup_close(h);
}

/* A followed table: rows, updates and deletes are there again, and only what came meanwhile is
 * read. */
static void test_restart_followed(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  f->script.follow = true;
  ten_batches(f);
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  add(f, "0=new 19-");
  UNTIL(h, "new - b9 ", 0, 19, 9);
  mr_lookup_close(h);
  service_free(f);
  add(f, "9=newer");
  start(f);
  h = handle(f, "id: int64", "email");
  ready(f);
  UNTIL(h, "new - newer b4 ", 0, 19, 9, 4);
  g_assert_cmpint(get(f, &f->script.first_read), ==, 11);
  mr_lookup_close(h);
}

/* A table that does not follow, or is refreshed, is read anew. */
static void test_restart_whole(struct fixture *f, gconstpointer data)
{
  f->hooks.dir = f->dir;
  for (int round = 0; round < 2; round++) {
    f->stage.refresh_ms = round ? 3600000 : 0;
    g_ptr_array_set_size(f->script.batch, 0);
    add(f, "1=a 2=b");
    start(f);
    struct mr_lookup *h = handle(f, "id: int64", "email");
    ready(f);
    CHECK(h, "a b ", 1, 2);
    mr_lookup_close(h);
    service_free(f);
    f->script.opens = 0;
    g_ptr_array_set_size(f->script.batch, 0);
    add(f, "2=c");
    start(f);
    h = handle(f, "id: int64", "email");
    ready(f);
    UNTIL(h, "- c ", 1, 2); /* at once, unless it was stopped before it knew that nothing follows */
    mr_lookup_close(h);
    service_free(f);
    f->script.opens = 0;
  }
}

/* A journal that cannot be written costs nothing but the restart. */
static void test_no_journal(struct fixture *f, gconstpointer data)
{
  g_autofree char *missing = g_build_filename(f->dir, "missing", NULL);
  f->hooks.dir = missing;
  ten_batches(f);
  start(f);
  struct mr_lookup *h = handle(f, "id: int64", "email");
  ready(f);
  check_ten(f, h);
  mr_lookup_close(h);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
#define ADD(path, fn) g_test_add("/lookup/" path, struct fixture, NULL, setup, fn, teardown)
  ADD("killed/mid-load", test_killed_mid_load); /* these fork: before any other thread is */
  ADD("killed/long-ago", test_killed_long_ago);
  ADD("killed/other-columns", test_killed_other_columns);
  ADD("restart/followed", test_restart_followed);
  ADD("restart/whole", test_restart_whole);
  ADD("restart/no-journal", test_no_journal);
  return g_test_run();
}
