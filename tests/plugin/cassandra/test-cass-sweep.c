/* SPDX-License-Identifier: Apache-2.0 */
/* Which segments are removed, which losses are told, when the directory is said to fill up. */
#include "folder.h"
#include "sources/cassandra/log.h"

#define ERR                                    \
  {                                            \
    .size = sizeof(struct mr_error), .row = -1 \
  }

struct fixture {
  char *raw, *history;
  struct cass_conf conf;
  struct mr_host host;
  struct cass_log log;
  GString *said;
  int64_t gaps;
};

static void on_log(void *ctx, int level, const char *text)
{
  struct fixture *f = ctx;
  g_assert_cmpint(level, ==, MR_WARN);
  g_string_append_printf(f->said, "%s\n", text);
}

static void on_metric(void *ctx, const char *name, uint32_t lane, int64_t value)
{
  struct fixture *f = ctx;
  (void)lane;
  if (!strcmp(name, "gaps_total"))
    f->gaps += value;
}

static void set_up(struct fixture *f, gconstpointer data)
{
  struct mr_error err = ERR;
  (void)data;
  f->raw = folder_new();
  f->history = folder_new();
  f->said = g_string_new(NULL);
  f->conf = (struct cass_conf){.directory = f->raw, .delete_ = true, .cap = INT64_MIN};
  f->host = (struct mr_host){.ctx = f, .log = on_log, .metric = on_metric, .wake_fd = -1};
  f->log = (struct cass_log){.conf = &f->conf, .host = &f->host, .node = {.blocks = true}};
  cass_follow_init(&f->log.follow, f->raw, CLOG_FAST);
  g_assert_cmpint(cass_history_open(&f->log.history, f->history, "p", "s", &err), ==, MR_OK);
}

static void tear_down(struct fixture *f, gconstpointer data)
{
  (void)data;
  cass_follow_done(&f->log.follow);
  cass_history_done(&f->log.history);
  cass_note_done(&f->log.note);
  g_string_free(f->said, TRUE);
  folder_free(f->raw);
  folder_free(f->history);
}

/* Every sink holds what comes before this segment. */
static void hold(struct fixture *f, uint64_t segment)
{
  struct mr_error err = ERR;
  f->log.note.at = mr_position_u64(segment);
  f->log.note.at.len = 28;
  f->log.at.segment = (int64_t)segment;
  g_assert_cmpint(cass_log_note(&f->log, &err), ==, MR_OK);
}

static int sweep(struct fixture *f)
{
  struct mr_error err = ERR;
  g_assert_cmpint(cass_follow_list(&f->log.follow, &err), ==, MR_OK);
  return cass_log_sweep(&f->log, &err);
}

/* The node has the segment open under another name. */
static void in_use(struct fixture *f, int64_t id)
{
  g_autofree char *path = folder_log(f->raw, id),
                  *other = g_strdup_printf("%s/%lld.other", f->raw, (long long)id);
  g_assert_cmpint(link(path, other), ==, 0);
}

static void test_removal(struct fixture *f, gconstpointer data)
{
  (void)data;
  for (int64_t id = 1; id <= 6; id++) {
    folder_segment(f->raw, id, 1);
    in_use(f, id);
    if (id != 2 && id != 3)
      folder_idx(f->raw, id, "50\nCOMPLETED");
  }
  folder_idx(f->raw, 3, "50"); /* it writes on there */
  g_assert_true(cass_ids_add(&f->log.note.kept, 4));
  hold(f, 6);
  g_assert_cmpint(sweep(f), ==, MR_OK);
  g_assert_false(folder_has(f->raw, 1));
  g_assert_true(folder_has(f->raw, 2)); /* without an idx it is the node's to remove */
  g_assert_true(folder_has(f->raw, 3));
  g_assert_true(folder_has(f->raw, 4)); /* could not be read */
  g_assert_false(folder_has(f->raw, 5));
  g_assert_true(folder_has(f->raw, 6)); /* not read to its end */
  g_autofree char *idx = folder_idx_path(f->raw, 1);
  g_assert_false(g_file_test(idx, G_FILE_TEST_EXISTS));
}

static void test_leftovers(struct fixture *f, gconstpointer data)
{
  (void)data;
  folder_segment(f->raw, 1, 0); /* no idx, no other name: a node that was stopped left it */
  folder_segment(f->raw, 2, 1);
  hold(f, 2);
  g_assert_cmpint(sweep(f), ==, MR_OK);
  g_assert_false(folder_has(f->raw, 1));
  g_assert_true(folder_has(f->raw, 2));
}

static void test_delete_false(struct fixture *f, gconstpointer data)
{
  (void)data;
  f->conf.delete_ = false;
  folder_segment(f->raw, 1, 1);
  hold(f, 9);
  g_assert_cmpint(sweep(f), ==, MR_OK);
  g_assert_true(folder_has(f->raw, 1));
}

static int look(struct fixture *f, struct mr_error *err)
{
  g_assert_cmpint(cass_follow_list(&f->log.follow, err), ==, MR_OK);
  return cass_log_gaps(&f->log, err);
}

static void test_gaps(struct fixture *f, gconstpointer data)
{
  struct mr_error err = ERR;
  (void)data;
  for (int64_t id = 1; id <= 4; id++)
    folder_segment(f->raw, id, 1);
  folder_idx(f->raw, 1, "50\nCOMPLETED");
  folder_idx(f->raw, 3, "50\nCOMPLETED");
  f->log.at.segment = 2;
  g_assert_cmpint(look(f, &err), ==, MR_OK);
  g_assert_true(f->log.note.cdc.n == 1 && f->log.note.cdc.id[0] == 3); /* 2 and 4 may vanish */
  folder_drop(f->raw, 1);
  folder_drop(f->raw, 2);
  folder_drop(f->raw, 4);
  g_assert_cmpint(look(f, &err), ==, MR_OK);
  folder_drop(f->raw, 3);
  g_assert_cmpint(look(f, &err), ==, MR_FATAL);
  g_assert_cmpstr(err.code, ==, "gap");
  g_assert_nonnull(strstr(err.msg, "segment 3 has gone"));
  g_assert_cmpint(f->gaps, ==, 0);
}

static void test_gaps_that_are_warned_of(struct fixture *f, gconstpointer data)
{
  struct mr_error err = ERR;
  (void)data;
  f->conf.on_gap = CASS_GAP_WARN;
  for (int64_t id = 1; id <= 3; id++)
    g_assert_true(cass_ids_add(&f->log.note.cdc, id));
  folder_segment(f->raw, 2, 1);
  g_assert_cmpint(look(f, &err), ==, MR_OK);
  g_assert_cmpint(f->gaps, ==, 2);
  g_assert_nonnull(strstr(f->said->str, "segment 1 has gone"));
  g_assert_nonnull(strstr(f->said->str, "segment 3 has gone"));
  g_assert_cmpint(look(f, &err), ==, MR_OK); /* once */
  g_assert_cmpint(f->gaps, ==, 2);
}

static void test_alarm(struct fixture *f, gconstpointer data)
{
  struct mr_error err = ERR;
  int64_t used;
  (void)data;
  folder_segment(f->raw, 1, 1);
  folder_idx(f->raw, 1, "50");
  hold(f, 1);
  g_assert_cmpint(cass_log_used(f->raw, &used, &err), ==, MR_OK);
  f->conf.cap = used * 2;
  g_assert_cmpint(cass_log_tick(&f->log, &err), ==, MR_OK);
  g_assert_cmpstr(f->said->str, ==, "");
  f->conf.cap = used * 10 / 6 - 1;
  for (int i = 0; i < 3; i++) /* told once */
    g_assert_cmpint(cass_log_tick(&f->log, &err), ==, MR_OK);
  g_assert_nonnull(strstr(f->said->str, "(60 %)"));
  g_assert_nonnull(strstr(f->said->str, "p.s\n"));
  g_assert_cmpuint(strlen(f->said->str), ==,
                   (size_t)(strchr(f->said->str, '\n') - f->said->str + 1));
  f->conf.cap = used * 4; /* emptier again */
  g_assert_cmpint(cass_log_tick(&f->log, &err), ==, MR_OK);
  f->conf.cap = used;
  f->log.node.blocks = false;
  g_string_truncate(f->said, 0);
  g_assert_cmpint(cass_log_tick(&f->log, &err), ==, MR_OK);
  g_assert_nonnull(strstr(f->said->str, "deletes segments that were not read"));
}

#define ADD(path, test) g_test_add(path, struct fixture, NULL, set_up, test, tear_down)

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  ADD("/sweep/removal", test_removal);
  ADD("/sweep/leftovers", test_leftovers);
  ADD("/sweep/delete-false", test_delete_false);
  ADD("/sweep/gaps", test_gaps);
  ADD("/sweep/gaps-warned", test_gaps_that_are_warned_of);
  ADD("/sweep/alarm", test_alarm);
  return g_test_run();
}
