/* SPDX-License-Identifier: Apache-2.0 */
/* The kafka source against librdkafka's mock cluster. */
#include "mock.h"
#include "src-host.h"

struct fixture {
  struct mock mock;
  struct src_host h;
};

static void set_up(struct fixture *f, gconstpointer data)
{
  mock_init(&f->mock);
  mock_topic(&f->mock, "t", 2);
  src_host_init(&f->h, "sources", "kafka");
}

static void tear_down(struct fixture *f, gconstpointer data)
{
  src_host_done(&f->h);
  mock_done(&f->mock);
}

#define CONF(f, ...)                                                                    \
  src_host_conf(&(f)->h, (f)->mock.option, "topics=t", "columns=id: int64, name: utf8", \
                __VA_ARGS__, NULL)
#define GO(f, want)                                                 \
  G_STMT_START                                                      \
  {                                                                 \
    g_assert_cmpint(src_host_open(&(f)->h, want, NULL), ==, MR_OK); \
    if (src_host_start(&(f)->h) != MR_OK)                           \
      g_error("start: %s", (f)->h.err.msg);                         \
  }                                                                 \
  G_STMT_END
#define ROWS(f, n, text)                                \
  G_STMT_START                                          \
  {                                                     \
    g_autofree char *rows_ = src_host_rows(&(f)->h, n); \
    g_assert_cmpstr(rows_, ==, text);                   \
  }                                                     \
  G_STMT_END

static void put(struct fixture *f, const char *value)
{
  mock_put(&f->mock, "t", 0, NULL, value);
}

static struct mr_batch read_ok(struct fixture *f, int64_t max_rows)
{
  struct mr_batch b;
  int r = src_host_read(&f->h, max_rows, &b);
  if (r != MR_OK)
    g_error("read gave %d: %s", r, f->h.err.msg);
  return b;
}

/* ---- rows and positions */

static void test_arrays_and_objects(struct fixture *f, gconstpointer data)
{
  put(f, "[{\"id\":1,\"name\":\"a\"},{\"id\":2,\"name\":\"b\"},{\"id\":3}]");
  put(f, "{\"id\":4,\"name\":\"d\"}");
  CONF(f, "start=earliest");
  GO(f, "_offset,_element");
  ROWS(f, 4, "1|a|0|0\n2|b|0|1\n3|~|0|2\n4|d|1|0\n");
  g_assert_cmpint(src_host_lane(&f->h, "t/0")->position, ==, 2);
  g_assert_cmpint(src_host_lane(&f->h, "t/1")->position, ==, 0);
}

/* A letter of one row does not need the others' bytes. */
static void test_originals(struct fixture *f, gconstpointer data)
{
  put(f, " [{\"id\":1}, {\"id\":2,\"name\":\"b\"} ]\n");
  put(f, "{\"id\":3} ");
  CONF(f, "start=earliest");
  GO(f, "_element,_original");
  ROWS(f, 3, "1|~|0|{\"id\":1}\n2|b|1|{\"id\":2,\"name\":\"b\"}\n3|~|0|{\"id\":3} \n");
}

/* A message of three rows is given whole even when fewer rows were asked for. */
static void test_message_is_atomic(struct fixture *f, gconstpointer data)
{
  put(f, "[{\"id\":1},{\"id\":2},{\"id\":3}]");
  put(f, "{\"id\":4}");
  CONF(f, "start=earliest");
  GO(f, NULL);
  struct mr_batch b = read_ok(f, 2);
  g_assert_cmpint(b.rows.length, ==, 3);
  g_assert_cmpuint(mr_position_get(&b.upto), ==, 1);
  mr_array_release(&b.rows);
}

static void test_one_lane_a_batch(struct fixture *f, gconstpointer data)
{
  mock_put(&f->mock, "t", 0, NULL, "{\"id\":1}");
  mock_put(&f->mock, "t", 1, NULL, "{\"id\":2}");
  mock_put(&f->mock, "t", 0, NULL, "{\"id\":3}");
  mock_put(&f->mock, "t", 1, NULL, "{\"id\":4}");
  CONF(f, "start=earliest");
  GO(f, "_partition,_topic");
  g_autofree char *rows = src_host_rows(&f->h, 4);
  g_assert_nonnull(strstr(rows, "1|~|0|t\n"));
  g_assert_nonnull(strstr(rows, "4|~|1|t\n"));
  g_assert_cmpint(src_host_lane(&f->h, "t/0")->position, ==, 2);
  g_assert_cmpint(src_host_lane(&f->h, "t/1")->position, ==, 2);
}

static void test_system_columns(struct fixture *f, gconstpointer data)
{
  mock_put_full(&f->mock, "t", 1, "k1", "{\"id\":7}", 1700000000123, "trace", "abc");
  CONF(f, "start=earliest");
  GO(f, "_key,_topic,_partition,_offset,_timestamp,_headers,_op,_position,_element,_original");
  g_autofree char *columns = harness_columns(&f->h.schema);
  g_assert_cmpstr(
      columns, ==,
      "id: int64, name: utf8, _key: binary, _topic: utf8, _partition: int32, _offset: int64, "
      "_timestamp: timestamptz, _headers: map<utf8, binary>, _op: utf8, "
      "_position: uint64, _element: uint32, _original: binary");
  ROWS(f, 1, "7|~|k1|t|1|0|1700000000123000|[{trace,abc}]|insert|0|0|{\"id\":7}\n");
}

static void test_infers_columns(struct fixture *f, gconstpointer data)
{
  put(f, "{\"a\":1,\"b\":\"x\"}");
  src_host_conf(&f->h, f->mock.option, "topics=t", NULL);
  g_assert_cmpint(src_host_open(&f->h, "_offset", NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_OK);
  ROWS(f, 1, "1|x|0\n");
}

static void test_schema_grows(struct fixture *f, gconstpointer data)
{
  CONF(f, "unknown=add");
  GO(f, "_offset");
  put(f, "{\"id\":1}");
  ROWS(f, 1, "1|~|0\n");
  put(f, "{\"id\":2,\"extra\":true}");
  ROWS(f, 1, "2|~|true|1\n");
}

/* ---- cut and seek */

static void test_cut(struct fixture *f, gconstpointer data)
{
  struct mr_position at = mr_position_u64(2), far = mr_position_u64(100);
  for (int i = 0; i < 5; i++)
    put(f, "[{\"id\":1},{\"id\":2}]");
  CONF(f, "start=earliest");
  GO(f, NULL);
  g_assert_cmpint(f->h.plugin->source->cut(f->h.self, 0, &at), ==, MR_OK);
  for (uint64_t upto = 0;
       upto != 2;) { /* messages come one by one or together, but no batch holds the border */
    struct mr_batch b = read_ok(f, 1000);
    upto = mr_position_get(&b.upto);
    g_assert_cmpuint(upto, <=, 2);
    mr_array_release(&b.rows);
  }
  g_assert_cmpint(f->h.plugin->source->cut(f->h.self, 0, &far), ==, MR_OK);
  ROWS(f, 6, "1|~\n2|~\n1|~\n2|~\n1|~\n2|~\n");
  g_assert_cmpint(src_host_lane(&f->h, "t/0")->position, ==, 5);
}

static void test_seek(struct fixture *f, gconstpointer data)
{
  struct mr_position at = mr_position_u64(1);
  mock_put_many(&f->mock, "t", 0, 1000, 0, 10);
  CONF(f, "start=earliest");
  GO(f, NULL);
  g_free(src_host_rows(&f->h, 700));
  g_assert_cmpint(f->h.plugin->source->seek(f->h.self, 0, &at, &f->h.err), ==, MR_OK);
  struct mr_batch b = read_ok(f, 1);
  g_autofree char *first = harness_text(&f->h.schema, &b.rows);
  g_assert_cmpstr(first, ==, "1|~\n");
  g_assert_cmpuint(mr_position_get(&b.upto), ==, 2);
  mr_array_release(&b.rows);
  int64_t rows = 0;
  while (rows < 998) {
    b = read_ok(f, 10000);
    rows += b.rows.length;
    mr_array_release(&b.rows);
  }
  g_assert_cmpint(rows, ==, 998);
  g_assert_cmpuint(mr_position_get(&b.upto), ==, 1000);
}

/* ---- what cannot be decoded, and tombstones */

static void test_reject(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}");
  put(f, "{\"id\":oops}");
  put(f, "[{\"id\":2},{\"id\":\"x\"}]");
  put(f, "{\"id\":3}");
  CONF(f, "start=earliest");
  GO(f, "_offset");
  ROWS(f, 2, "1|~|0\n3|~|3\n");
  g_assert_cmpint(src_host_lane(&f->h, "t/0")->position, ==, 4);
  g_assert_cmpuint(f->h.refused->len, ==, 2);
  struct src_refused *r = f->h.refused->pdata[0];
  g_assert_cmpstr(r->lane, ==, "t/0");
  g_assert_cmpint(r->position, ==, 1);
  g_assert_cmpstr(r->data, ==, "{\"id\":oops}");
  g_assert_cmpint(((struct src_refused *)f->h.refused->pdata[1])->position, ==, 2);
}

/* The position moves past messages that gave no row. */
static void test_only_rejects(struct fixture *f, gconstpointer data)
{
  put(f, "x");
  CONF(f, "start=earliest");
  GO(f, "_offset");
  struct mr_batch b = read_ok(f, 10);
  g_assert_cmpint(b.rows.length, ==, 0);
  g_assert_cmpuint(mr_position_get(&b.upto), ==, 1);
  mr_array_release(&b.rows);
  g_assert_cmpuint(f->h.refused->len, ==, 1);
}

static void test_tombstones_are_skipped(struct fixture *f, gconstpointer data)
{
  mock_put(&f->mock, "t", 0, "1", NULL);
  mock_put(&f->mock, "t", 0, "2", NULL);
  put(f, "{\"id\":3}");
  CONF(f, "start=earliest");
  GO(f, "_op");
  ROWS(f, 1, "3|~|insert\n");
  g_assert_cmpint(src_host_metric(&f->h, "tombstones_total"), ==, 2);
  int warnings = 0;
  for (guint i = 0; i < f->h.base.logs->len; i++)
    warnings += strstr(f->h.base.logs->pdata[i], "tombstones") != NULL;
  g_assert_cmpint(warnings, ==, 1);
}

static void test_tombstones_delete(struct fixture *f, gconstpointer data)
{
  mock_put(&f->mock, "t", 0, "17", NULL);
  mock_put(&f->mock, "t", 0, "{\"id\":18}", NULL);
  mock_put(&f->mock, "t", 0, NULL, NULL);
  mock_put(&f->mock, "t", 0, "no number", NULL);
  put(f, "{\"id\":19,\"name\":\"z\"}");
  CONF(f, "start=earliest", "key_columns=id");
  GO(f, "_op,_offset");
  ROWS(f, 3, "17|~|delete|0\n18|~|delete|1\n19|z|insert|4\n");
  g_assert_cmpuint(f->h.refused->len, ==, 2);
}

static void test_tombstone_text_key(struct fixture *f, gconstpointer data)
{
  mock_put(&f->mock, "t", 0, "it's \"me\"", NULL);
  CONF(f, "start=earliest", "key_columns=name");
  GO(f, "_op");
  ROWS(f, 1, "~|it's \"me\"|delete\n");
}

/* ---- where it starts */

static void test_resume(struct fixture *f, gconstpointer data)
{
  for (int i = 0; i < 4; i++)
    put(f, i % 2 ? "{\"id\":1}" : "{\"id\":0}");
  CONF(f, "start=earliest");
  GO(f, "_offset");
  ROWS(f, 1, "0|~|0\n");
  src_host_close(&f->h);
  GO(f, "_offset");
  ROWS(f, 3, "1|~|1\n0|~|2\n1|~|3\n");
}

static void test_start_latest(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}");
  CONF(f, "start=latest");
  GO(f, "_offset");
  g_assert_cmpint(src_host_lane(&f->h, "t/0")->position, ==, 1);
  put(f, "{\"id\":2}");
  ROWS(f, 1, "2|~|1\n");
}

/* A lane that is found after the first run starts at its beginning, whatever `start` says. */
static void test_later_lane(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}");
  f->h.ran = true;
  CONF(f, "start=latest");
  GO(f, "_offset");
  ROWS(f, 1, "1|~|0\n");
}

static void test_start_offsets(struct fixture *f, gconstpointer data)
{
  for (int i = 0; i < 4; i++)
    put(f, "{\"id\":5}");
  CONF(f, "start_offsets.t:0=2", "start_offsets.1=0");
  g_assert_cmpint(src_host_validate(&f->h), ==, MR_OK);
  GO(f, "_offset");
  ROWS(f, 2, "5|~|2\n5|~|3\n");
}

static void test_start_committed(struct fixture *f, gconstpointer data)
{
  struct mr_mark mark = {.source = "stage", .name = "t/0", .lane = 0};
  struct mr_unit unit = {.size = sizeof unit, .n = 1, .mark = &mark};
  for (int i = 0; i < 3; i++)
    put(f, "{\"id\":5}");
  CONF(f, "group=g", "start=earliest");
  GO(f, "_offset");
  ROWS(f, 2, "5|~|0\n5|~|1\n");
  mark.upto = mr_position_u64(2);
  g_assert_cmpint(f->h.plugin->source->ack(f->h.self, &unit, &f->h.err), ==, MR_OK);
  for (int i = 0; i < 100 && mock_committed(&f->mock, "g", "t", 0) != 2; i++)
    g_usleep(20000);
  g_assert_cmpint(mock_committed(&f->mock, "g", "t", 0), ==, 2);

  struct src_host other;
  src_host_init(&other, "sources", "kafka");
  src_host_conf(&other, f->mock.option, "topics=t", "columns=id: int64", "group=g",
                "start=committed", NULL);
  g_assert_cmpint(src_host_open(&other, "_offset", NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&other), ==, MR_OK);
  g_autofree char *rows = src_host_rows(&other, 1);
  g_assert_cmpstr(rows, ==, "5|2\n");
  src_host_done(&other);
}

static void test_lane_waits_for_sinks(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}");
  CONF(f, "start=earliest");
  f->h.lane_fails = 1;
  g_assert_cmpint(src_host_open(&f->h, NULL, NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_RETRY);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_OK);
  ROWS(f, 1, "1|~\n");
}

static void test_instances_share(struct fixture *f, gconstpointer data)
{
  struct mr_open o;
  mock_put(&f->mock, "t", 0, NULL, "{\"id\":1}");
  mock_put(&f->mock, "t", 1, NULL, "{\"id\":2}");
  CONF(f, "start=earliest");
  o = harness_open(&f->h.base, f->h.conf, NULL);
  o.instance = 1;
  o.instances = 2;
  g_assert_cmpint(f->h.plugin->source->open(&o, &f->h.self, &f->h.err), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_OK);
  ROWS(f, 1, "2|~\n");
  g_assert_null(src_host_lane(&f->h, "t/0"));
}

/* ---- the end of a bounded run */

static void test_bounded(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  put(f, "{\"id\":1}");
  put(f, "{\"id\":2}");
  CONF(f, "start=earliest");
  f->h.bounded = true;
  GO(f, NULL);
  put(f, "{\"id\":3}"); /* after the start: not part of it */
  ROWS(f, 100, "1|~\n2|~\n");
  g_assert_cmpint(src_host_read(&f->h, 10, &b), ==, MR_END);
}

static void test_bounded_empty(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  CONF(f, "start=earliest");
  f->h.bounded = true;
  GO(f, NULL);
  g_assert_cmpint(src_host_read_once(&f->h, 10, 0, &b), ==, MR_END);
}

/* ---- trouble */

static void test_unreachable(struct fixture *f, gconstpointer data)
{
  int64_t begin = g_get_monotonic_time();
  src_host_conf(&f->h, "brokers=127.0.0.1:1", "topics=t", NULL);
  g_assert_cmpint(src_host_open(&f->h, NULL, NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_RETRY);
  g_assert_true(f->h.err.unreachable);
  g_assert_nonnull(strstr(f->h.err.msg, "127.0.0.1:1"));
  g_assert_nonnull(strstr(f->h.err.msg, "Connection refused"));
  g_assert_cmpint(g_get_monotonic_time() - begin, <, 5 * G_USEC_PER_SEC);
  g_assert_cmpint(src_host_metric(&f->h, "connect_errors_total"), >, 0);
}

static void test_missing_topic(struct fixture *f, gconstpointer data)
{
  rd_kafka_mock_topic_set_error(f->mock.cluster, "absent", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
  src_host_conf(&f->h, f->mock.option, "topics=t,absent", NULL);
  g_assert_cmpint(src_host_open(&f->h, NULL, NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_BADCONF);
  g_assert_cmpstr(f->h.err.option, ==, "topics");
  g_assert_nonnull(strstr(f->h.err.msg, "absent"));
}

static void test_broker_down_and_up(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  int r = MR_IDLE;
  put(f, "{\"id\":1}");
  CONF(f, "start=earliest");
  GO(f, NULL);
  ROWS(f, 1, "1|~\n");
  rd_kafka_mock_broker_set_down(f->mock.cluster, 1);
  for (int i = 0; i < 50 && r == MR_IDLE; i++)
    r = src_host_read_once(&f->h, 10, 100, &b);
  g_assert_cmpint(r, ==, MR_RETRY);
  g_assert_true(f->h.err.unreachable);
  rd_kafka_mock_broker_set_up(f->mock.cluster, 1);
  put(f, "{\"id\":2}");
  for (int i = 0; i < 50 && r != MR_OK; i++)
    r = src_host_read_once(&f->h, 10, 100, &b);
  g_assert_cmpint(r, ==, MR_OK);
  g_assert_cmpint(b.rows.length, ==, 1);
  mr_array_release(&b.rows);
}

/* The stored position is past the end: the topic was made anew. */
static void test_gap_beyond(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  put(f, "{\"id\":1}");
  CONF(f, "start_offsets.t:0=500");
  GO(f, NULL);
  g_assert_cmpint(src_host_read(&f->h, 10, &b), ==, MR_FATAL);
  g_assert_nonnull(strstr(f->h.err.msg, "t/0"));
  g_assert_nonnull(strstr(f->h.err.msg, "500"));
}

/* The broker has deleted what was not read yet (the mock keeps 5 MB). */
static void make_gap(struct fixture *f)
{
  for (int i = 0; i < 10; i++)
    mock_put_many(&f->mock, "t", 0, 10, i * 10, 100000);
}

static void test_gap_fail(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  make_gap(f);
  CONF(f, "start_offsets.t:0=0", "on_gap=fail");
  GO(f, NULL);
  g_assert_cmpint(src_host_read(&f->h, 10, &b), ==, MR_FATAL);
  g_assert_cmpstr(f->h.err.code, ==, "gap");
  g_assert_nonnull(strstr(f->h.err.msg, "offset 0 is no longer there"));
}

static void test_gap_continue(struct fixture *f, gconstpointer data)
{
  make_gap(f);
  CONF(f, "start_offsets.t:0=0", "on_gap=continue");
  GO(f, "_offset");
  g_autofree char *rows = src_host_rows(&f->h, 1);
  int first = 0;
  g_assert_cmpint(sscanf(rows, "%d|~|", &first), ==, 1);
  g_assert_cmpint(first, >, 0);
  g_assert_cmpint(src_host_metric(&f->h, "gap_messages_total"), ==, first);
}

static void test_wake(struct fixture *f, gconstpointer data)
{
  struct mr_batch b;
  int64_t begin = g_get_monotonic_time();
  CONF(f, "start=earliest");
  GO(f, NULL);
  f->h.plugin->source->wake(f->h.self);
  g_assert_cmpint(src_host_read_once(&f->h, 10, 20000, &b), ==, MR_IDLE);
  g_assert_cmpint(g_get_monotonic_time() - begin, <, 10 * G_USEC_PER_SEC);
}

/* ---- consumer group; that lanes move is tested on a real broker, the mock takes minutes at times
 */

/* Another process has the lane of t/0: nothing more of it is given, t/1 goes on. */
static void test_group_lane_lost(struct fixture *f, gconstpointer data)
{
  const struct mr_source *v;
  struct mr_batch b;
  bool more = false;
  mock_put(&f->mock, "t", 0, NULL, "{\"id\":1}");
  mock_put(&f->mock, "t", 1, NULL, "{\"id\":2}");
  CONF(f, "group=g", "members=many");
  GO(f, NULL);
  g_free(src_host_rows(&f->h, 2));
  v = f->h.plugin->source;
  uint32_t lost = !strcmp(((struct src_lane *)f->h.lanes->pdata[0])->name, "t/0") ? 0 : 1;
  g_assert_cmpint(v->lost(f->h.self, lost, &f->h.err), ==, MR_OK);
  mock_put(&f->mock, "t", 0, NULL, "{\"id\":3}");
  mock_put(&f->mock, "t", 1, NULL, "{\"id\":4}");
  for (int i = 0; i < 200; i++) {
    if (src_host_read_once(&f->h, 10, 20, &b) != MR_OK)
      continue;
    g_assert_cmpint(b.lane, !=, lost);
    more = true;
    mr_array_release(&b.rows);
  }
  g_assert_true(more);
}

static void test_lane_lost_without_group(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}");
  CONF(f, "start=earliest");
  GO(f, NULL);
  ROWS(f, 1, "1|~\n");
  g_assert_cmpint(f->h.plugin->source->lost(f->h.self, 0, &f->h.err), ==, MR_FENCED);
}

static void test_group_lane_waits(struct fixture *f, gconstpointer data)
{
  put(f, "{\"id\":1}");
  CONF(f, "group=g", "members=many");
  f->h.lane_fails = 3;
  GO(f, NULL);
  ROWS(f, 1, "1|~\n");
}

/* ---- the file's mistakes */

static void bad(struct fixture *f, const char *option, const char *set, const char *set2)
{
  CONF(f, set, set2 ? set2 : "on_gap=fail");
  if (src_host_validate(&f->h) != MR_BADCONF)
    g_error("accepted: %s", set);
  g_assert_cmpstr(f->h.err.option, ==, option);
  g_assert_null(strstr(f->h.err.msg, "hunter2"));
}

static void test_validate(struct fixture *f, gconstpointer data)
{
  CONF(f, "start=earliest");
  g_assert_cmpint(src_host_validate(&f->h), ==, MR_OK);
  bad(f, "group", "members=many", NULL);
  bad(f, "group", "start=committed", NULL);
  bad(f, "start_at", "start_at=yesterday", NULL);
  bad(f, "start_at", "start_at=2026-13-01T00:00:00Z", NULL);
  bad(f, "start_offsets", "start_offsets.other:0=1", NULL);
  bad(f, "start_offsets", "start_offsets.t:x=1", NULL);
  bad(f, "topics", "topics=a b", NULL);
  bad(f, "rdkafka.no.such.thing", "rdkafka.no.such.thing=1", NULL);
  bad(f, "rdkafka.enable.auto.commit", "rdkafka.enable.auto.commit=true", NULL);
  bad(f, "rdkafka.fetch.min.bytes", "rdkafka.fetch.min.bytes=many", NULL);
  bad(f, "sasl.mechanism", "sasl.password=hunter2", NULL);
  CONF(f, "start_at=2026-01-28T10:00:00.5+01:00", "rdkafka.fetch.min.bytes=10");
  g_assert_cmpint(src_host_validate(&f->h), ==, MR_OK);
}

static void test_tls_by_default(struct fixture *f, gconstpointer data)
{
  /* A broker that is not this machine gets TLS: the mock, reached by another name of it, does not
   * speak it. */
  src_host_conf(&f->h, f->mock.option, "topics=t", "tls.mode=on", "rdkafka.log_level=0", NULL);
  g_assert_cmpint(src_host_open(&f->h, NULL, NULL), ==, MR_OK);
  g_assert_cmpint(src_host_start(&f->h), ==, MR_RETRY);
  g_assert_true(f->h.err.unreachable);
  g_assert_nonnull(strstr(f->h.err.msg, "SSL"));
}

static void test_check(struct fixture *f, gconstpointer data)
{
  GString *out = g_string_new(NULL);
  CONF(f, "start=earliest");
  struct mr_open o = harness_open(&f->h.base, f->h.conf, NULL);
  g_assert_cmpint(f->h.plugin->check(&o, harness_put, out, &f->h.err), ==, MR_OK);
  g_assert_nonnull(strstr(out->str, "topic t: 2 partitions, ok"));
  g_string_free(out, TRUE);
}

static void test_discover(struct fixture *f, gconstpointer data)
{
  GString *out = g_string_new(NULL);
  put(f, "{\"a\":1,\"b\":{\"c\":[\"x\"]}}");
  put(f, "broken");
  src_host_conf(&f->h, f->mock.option, "topics=t", NULL);
  struct mr_open o = harness_open(&f->h.base, f->h.conf, NULL);
  g_assert_cmpint(f->h.plugin->discover(&o, NULL, harness_put, out, &f->h.err), ==, MR_OK);
  g_assert_cmpstr(out->str, ==, "{\"table\":\"t\"}\n");
  g_string_truncate(out, 0);
  g_assert_cmpint(f->h.plugin->discover(&o, "t", harness_put, out, &f->h.err), ==, MR_OK);
  g_assert_cmpstr(out->str, ==,
                  "{\"column\":\"a\",\"source_type\":null,\"type\":\"int64\",\"nullable\":true}\n"
                  "{\"column\":\"b\",\"source_type\":null,\"type\":\"struct<c: "
                  "list<utf8>>\",\"nullable\":true}\n");
  g_string_free(out, TRUE);
}

#define TEST(name, function) \
  g_test_add("/kafka/" name, struct fixture, NULL, set_up, function, tear_down)

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  TEST("arrays-and-objects", test_arrays_and_objects);
  TEST("originals", test_originals);
  TEST("message-is-atomic", test_message_is_atomic);
  TEST("one-lane-a-batch", test_one_lane_a_batch);
  TEST("system-columns", test_system_columns);
  TEST("infers-columns", test_infers_columns);
  TEST("schema-grows", test_schema_grows);
  TEST("cut", test_cut);
  TEST("seek", test_seek);
  TEST("reject", test_reject);
  TEST("only-rejects", test_only_rejects);
  TEST("tombstones-are-skipped", test_tombstones_are_skipped);
  TEST("tombstones-delete", test_tombstones_delete);
  TEST("tombstone-text-key", test_tombstone_text_key);
  TEST("resume", test_resume);
  TEST("start-latest", test_start_latest);
  TEST("later-lane", test_later_lane);
  TEST("start-offsets", test_start_offsets);
  TEST("start-committed", test_start_committed);
  TEST("lane-waits-for-sinks", test_lane_waits_for_sinks);
  TEST("instances-share", test_instances_share);
  TEST("bounded", test_bounded);
  TEST("bounded-empty", test_bounded_empty);
  TEST("unreachable", test_unreachable);
  TEST("missing-topic", test_missing_topic);
  TEST("broker-down-and-up", test_broker_down_and_up);
  TEST("gap-beyond", test_gap_beyond);
  TEST("gap-fail", test_gap_fail);
  TEST("gap-continue", test_gap_continue);
  TEST("wake", test_wake);
  TEST("group-lane-waits", test_group_lane_waits);
  TEST("group-lane-lost", test_group_lane_lost);
  TEST("lane-lost-without-group", test_lane_lost_without_group);
  TEST("validate", test_validate);
  TEST("tls-by-default", test_tls_by_default);
  TEST("check", test_check);
  TEST("discover", test_discover);
  return g_test_run();
}
