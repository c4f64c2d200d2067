/* SPDX-License-Identifier: Apache-2.0 */
/* An idempotent sink whose target forgets tokens: a block is sent only while its record is young.
 */
#include "one-lane.h"

#define WINDOW_MS 1000

/* ---- a clock that is put forward */

struct moved_os {
  struct mr_os vt;
  _Atomic int64_t by_us;
};
static struct moved_os moved;

static int64_t moved_now(struct mr_os *os)
{
  return mr_os_real()->now_us(mr_os_real()) + moved.by_us;
}
static int64_t moved_wall(struct mr_os *os)
{
  return mr_os_real()->wall_us(mr_os_real()) + moved.by_us;
}
static struct mr_os *moved_os(void)
{
  moved.vt = *mr_os_real();
  moved.vt.now_us = moved_now;
  moved.vt.wall_us = moved_wall;
  return &moved.vt;
}

/* ---- the sink: its process sleeps when it has sent the first block, and nobody answers */

struct sink {
  struct target *t;
  GArray *ids;
};
static int sink_open(const struct mr_open *o, void **self, struct mr_error *err)
{
  struct sink *s = g_new0(struct sink, 1);
  s->t = ((const struct conf *)o->conf)->t;
  s->ids = g_array_new(FALSE, FALSE, sizeof(int64_t));
  *self = s;
  return MR_OK;
}
static int sink_begin(void *self, const struct mr_unit *u, struct mr_error *err)
{
  g_array_set_size(((struct sink *)self)->ids, 0);
  return MR_OK;
}
static int sink_write(void *self, const struct mr_batch *b, struct mr_error *err)
{
  struct sink *s = self;
  for (int64_t i = 0; i < b->rows.length; i++) {
    int64_t id = id_of(b, i);
    g_array_append_val(s->ids, id);
  }
  return MR_OK;
}
static int sink_seal(void *self, const struct mr_unit *u, mr_put_fn *put, void *out,
                     struct mr_error *err)
{
  const struct sink *s = self;
  return put(out, s->ids->data, s->ids->len * sizeof(int64_t));
}
static int sink_send(void *self, const char *token, const void *block, size_t len,
                     struct mr_error *err)
{
  struct target *t = ((struct sink *)self)->t;
  const int64_t *id = block;
  bool first = t->calls++ == 0;
  for (size_t i = 0; i < len / sizeof *id && (!first || t->lands); i++)
    t->landed[id[i]]++;
  if (!first)
    return MR_OK;
  moved.by_us += WINDOW_MS * 600;
  err->retry_ms = 1;
  return mr_fail(err, MR_UNSURE, "no answer");
}
static int sink_abort(void *self, const struct mr_unit *u, struct mr_error *err)
{
  return MR_OK;
}
static int64_t sink_window(void *self)
{
  return WINDOW_MS;
}
static void sink_close(void *self)
{
  g_array_unref(((struct sink *)self)->ids);
  g_free(self);
}
static const struct mr_sink sink_vt = {.size = sizeof sink_vt,
                                       .delivery = MR_IDEMPOTENT,
                                       .open = sink_open,
                                       .begin = sink_begin,
                                       .write = sink_write,
                                       .abort = sink_abort,
                                       .seal = sink_seal,
                                       .send = sink_send,
                                       .window = sink_window,
                                       .close = sink_close};
static const struct mr_plugin sink_plugin = {
    .abi = MR_ABI, .size = sizeof sink_plugin, .name = "sink", .sink = &sink_vt};

/* ---- the tests */

static void assert_stops(struct target *t, const char *dir)
{
  g_autofree char *why = run_once(t, &sink_plugin, moved_os(), dir, MR_PENDING_ASK);
  g_assert_nonnull(why);
  g_assert_nonnull(strstr(why, "may no longer know"));
  g_assert_nonnull(strstr(why, "label unit_a_1 (src/l0 from 0 to "));
  g_assert_nonnull(strstr(why, " UTC)"));
  g_assert_nonnull(strstr(why, "--pending not-landed"));
}

/* The process that slept stops, so does its successor; the user's word settles it. */
static void settle(struct target *t, enum mr_pending_word word)
{
  char *dir = new_state();
  assert_stops(t, dir);
  int sent = t->calls;
  assert_stops(t, dir);
  g_assert_cmpint(t->calls, ==, sent);
  g_autofree char *why = run_once(t, &sink_plugin, moved_os(), dir, word);
  g_assert_cmpstr(why, ==, NULL);
  for (int i = 0; i < ROWS; i++)
    if (t->landed[i] != 1)
      g_error("row %d landed %d times", i, t->landed[i]);
  remove_state(dir);
}

static void test_landed(void)
{
  struct target t = {.lands = true};
  settle(&t, MR_PENDING_LANDED);
}
static void test_not_landed(void)
{
  struct target t = {0};
  settle(&t, MR_PENDING_NOT_LANDED);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/window/landed", test_landed);
  g_test_add_func("/window/not-landed", test_not_landed);
  return g_test_run();
}
