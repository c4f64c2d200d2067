/* SPDX-License-Identifier: Apache-2.0 */
/* A sink's unit, with sinks that answer in the ways the contract allows: what may be read when, one
 * letter for each refused row. */
#include "one-lane.h"

#define HEALTHY 5 /* commits after which the connection holds */

/* ---- a sink that copies nothing: it reads what was written when it is flushed or committed */

struct sink {
  struct target *t;
  const struct mr_host *host;
  GPtrArray *staged;  /* const struct mr_batch *, since the last flush */
  GPtrArray *flushed; /* accepted by the target */
  int64_t rows;       /* written in this unit */
};
static int sink_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct sink *s = g_new0(struct sink, 1);
  s->t = ((const struct conf *)o->conf)->t;
  s->host = o->host;
  s->staged = g_ptr_array_new();
  s->flushed = g_ptr_array_new();
  *self = s;
  return MR_OK;
}
static void forget(struct sink *s)
{
  g_ptr_array_set_size(s->staged, 0);
  g_ptr_array_set_size(s->flushed, 0);
  s->rows = 0;
}
static int sink_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  forget(self);
  return MR_OK;
}
static bool is_reported(const struct sink *s, int64_t id)
{
  return s->t->reports && id % 10 == 3;
}
static int sink_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sink *s = self;
  s->t->sink = g_thread_self();
  if (s->t->late && s->t->calls++ == 0) {
    err->unit_lost = true;
    return mr_fail_code(err, MR_REJECT, "23514", "a row of an earlier write");
  }
  s->rows += b->rows.length;
  if (s->t->breaks_after && s->rows > s->t->breaks_after) {
    g_assert_cmpint(++s->t->calls, <, 100); /* written again for ever */
    err->unit_lost = true;
    err->retry_ms = 1;
    return mr_fail(err, MR_RETRY, "connection lost");
  }
  for (int64_t i = 0; i < b->rows.length; i++) {
    struct mr_reject r = {
        .size = sizeof r, .batch = b, .row = i, .code = "22003", .msg = "does not fit"};
    if (is_reported(s, id_of(b, i)))
      s->host->reject(s->host->ctx, &r);
  }
  g_ptr_array_add(s->staged, (void *)b);
  return MR_OK;
}
static bool is_poisoned(const struct sink *s)
{
  for (guint i = 0; i < s->staged->len; i++) {
    const struct mr_batch *b = s->staged->pdata[i];
    for (int64_t k = 0; k < b->rows.length; k++)
      if (id_of(b, k) == s->t->poison)
        return true;
  }
  return false;
}
static void accept_staged(struct sink *s)
{
  for (guint i = 0; i < s->staged->len; i++)
    g_ptr_array_add(s->flushed, s->staged->pdata[i]);
  g_ptr_array_set_size(s->staged, 0);
}
static int sink_flush(void *self, struct mr_error *err)
{
  struct sink *s = self;
  if (s->t->flush_breaks && s->t->flushes++ == 0) {
    err->retry_ms = 1;
    return mr_fail(err, MR_RETRY, "not now");
  }
  if (is_poisoned(s)) {
    g_ptr_array_set_size(s->staged, 0);
    return mr_fail_code(err, MR_REJECT, "23514", "some row is bad");
  }
  accept_staged(s);
  return MR_OK;
}
static int sink_commit(void *self, const struct mr_unit *u, struct mr_error *err)
{
  struct sink *s = self;
  int from = s->t->given;
  for (int i = 0; s->t->trickles && i < 2000 && s->t->given - 3 < from && s->t->given < INT_MAX;
       i++)
    g_usleep(200);
  s->t->most_rows = MAX(s->t->most_rows, s->rows);
  if (++s->t->commits == HEALTHY)
    s->t->breaks_after = 0;
  if (is_poisoned(s))
    return mr_fail_code(err, MR_REJECT, "23514", "some row is bad");
  accept_staged(s);
  for (guint i = 0; i < s->flushed->len; i++) {
    const struct mr_batch *b = s->flushed->pdata[i];
    for (int64_t k = 0; k < b->rows.length; k++)
      if (!is_reported(s, id_of(b, k)))
        s->t->landed[id_of(b, k)]++;
  }
  forget(s);
  return MR_OK;
}
static int sink_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  is_poisoned(self); /* until it returns everything can be read */
  forget(self);
  return MR_OK;
}
static void sink_close(void *self)
{
  struct sink *s = self;
  g_ptr_array_unref(s->staged);
  g_ptr_array_unref(s->flushed);
  g_free(s);
}
static const struct mr_sink sink_vt = {.size = sizeof sink_vt,
                                       .delivery = MR_PLAIN,
                                       .open = sink_open,
                                       .begin = sink_begin,
                                       .write = sink_write,
                                       .flush = sink_flush,
                                       .commit = sink_commit,
                                       .abort = sink_abort,
                                       .close = sink_close};
static const struct mr_plugin sink_plugin = {
    .abi = MR_ABI, .size = sizeof sink_plugin, .name = "sink", .sink = &sink_vt};

/* ---- the tests */

static void run_on(struct target *t, struct mr_os *os)
{
  char *dir = new_state();
  g_autofree char *why = run_once(t, &sink_plugin, os, dir, MR_PENDING_ASK);
  g_assert_cmpstr(why, ==, NULL);
  remove_state(dir);
}

static void run(struct target *t)
{
  run_on(t, mr_os_real());
}

/* Each row landed once, or is one letter. */
static void check(const struct target *t)
{
  for (int i = 0; i < ROWS; i++) {
    int dead = i == t->poison || (t->reports && i % 10 == 3);
    if (t->landed[i] != !dead)
      g_error("row %d landed %d times", i, t->landed[i]);
    if (t->letters[i] != dead)
      g_error("row %d has %d letters", i, t->letters[i]);
  }
}

static void test_batches_stay(void)
{
  struct target t = {.poison = -1};
  run(&t);
  check(&t);
}

static void test_batches_stay_in_bisecting(void)
{
  struct target t = {.poison = 157, .flush_breaks = true};
  run(&t);
  check(&t);
  g_assert_cmpint(t.flushes, >, 1);
}

/* write reports rows, flush refuses another one of the slice: it is written in halves, and the rows
 * are reported again. */
static void test_one_letter_a_row(void)
{
  struct target t = {.poison = 57, .late = true, .reports = true};
  run(&t);
  check(&t);
}

/* A connection that never lasts for a unit: units are halved until they pass, and grow again. */
static void test_smaller_units(void)
{
  struct target t = {.poison = -1, .breaks_after = 30};
  run(&t);
  check(&t);
  g_assert_cmpint(t.calls, >, 0);
  g_assert_cmpint(t.commits, >=, HEALTHY);
  g_assert_cmpint(t.most_rows, >, 30);
}

/* Barriers come sooner than commits end: a unit takes what several of them were for. */
static void test_slow_commits(void)
{
  struct target t = {.poison = -1, .trickles = true};
  run(&t);
  check(&t);
  g_assert_cmpint(t.commits, <=, ROWS / TRICKLE / 2);
}

/* ---- lag */

static struct mr_os watched_os;
static struct target *watched;
static int64_t seen_out;
static int looks;

/* The sink wakes its source right behind a commit. */
static void look(struct mr_os *os, struct mr_event *e)
{
  struct mr_stage_stats stats[2];
  mr_os_real()->wake(mr_os_real(), e);
  if (watched->sink != g_thread_self())
    return;
  g_assert_cmpuint(mr_pipeline_stats(watched->p, stats, 2), ==, 2);
  if (stats[1].rows_out == seen_out || !stats[1].backlog_rows)
    return;
  seen_out = stats[1].rows_out;
  looks++;
  g_assert_cmpint(stats[1].lag_us, >, 0);
}

/* Rows that wait lag also between two units. */
static void test_lag_of_what_waits(void)
{
  struct target t = {.poison = -1, .trickles = true};
  watched = &t;
  seen_out = looks = 0;
  watched_os = *mr_os_real();
  watched_os.wake = look;
  run_on(&t, &watched_os);
  check(&t);
  g_assert_cmpint(looks, >, 3);
}

/* ---- labels */

static void test_labels_differ(void)
{
  const char *const names[][2] = {
      {"trades", "warehouse"},
      {"trades_of_the_northern_shops", "warehouse"},
      {"trades_of_the_northern_stalls", "warehouse"},
      {"trades", "warehouse_of_the_north_eastern_shops"},
      {"trades", "warehouse_of_the_north_eastern_stalls"},
      {"Trades", "warehouse"},
      {"trades-a", "warehouse"},
      {"trades_a", "warehouse"},
  };
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    char *label = mr_label_text(names[i][0], names[i][1], UINT64_MAX);
    g_assert_cmpuint(strlen(label), <=, 64);
    g_assert_cmpuint(strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789_"), ==, strlen(label));
    g_assert_true(g_hash_table_add(seen, label));
  }
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/unit/labels-differ", test_labels_differ);
  g_test_add_func("/unit/batches-stay", test_batches_stay);
  g_test_add_func("/unit/batches-stay-in-bisecting", test_batches_stay_in_bisecting);
  g_test_add_func("/unit/one-letter-a-row", test_one_letter_a_row);
  g_test_add_func("/unit/smaller-units", test_smaller_units);
  g_test_add_func("/unit/slow-commits", test_slow_commits);
  g_test_add_func("/unit/lag-of-what-waits", test_lag_of_what_waits);
  return g_test_run();
}
