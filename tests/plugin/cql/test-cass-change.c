/* SPDX-License-Identifier: Apache-2.0 */
/* Events of the commit log into rows, with the node's answers written beforehand. */
#include <fcntl.h>
#include <glib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "common/clog-cql.h"
#include "common/src-error.h"
#include "harness.h"
#include "../../../plugins/sources/cassandra/change-in.h"

/* k.t (a, c, d) -> st, l, v; c in descending order. */
static const char schema_cql[] =
    "CREATE TABLE k.t (a int, c int, d text, st int STATIC, l list<int>, v int, PRIMARY KEY (a, c, "
    "d)) WITH CLUSTERING ORDER BY (c DESC, d ASC) AND ID = a86f5b40-e55f-11f1-ad33-63fc70c928eb;";
#define INT "0009"
#define TEXT "000d"
#define INTS "00200009"
#define LONG "0002"
#define LONGS "00200002"

struct fixture {
  struct harness base;
  struct cass_conf conf;
  struct sql_name name;
  struct cql_conn conn;
  int node; /* the other end */
  struct clog_schema *schema;
  const struct clog_table *log;
  struct cass_table table;
  struct cass_changes *changes;
  struct mr_error err;
  GPtrArray *memory;
  /* the event that is made */
  struct clog_event e;
  struct clog_bytes key[1], clustering[2], bound[4];
  struct clog_cell cell[16];
  struct cass_place at;
};

/* ---- the node's side */

static void put(GByteArray *b, const void *p, size_t n)
{
  g_byte_array_append(b, p, (guint)n);
}
static void put_be(GByteArray *b, uint64_t v, size_t n)
{
  v = GUINT64_TO_BE(v);
  put(b, (uint8_t *)&v + 8 - n, n);
}
static void put_hex(GByteArray *b, const char *hex)
{
  for (; *hex; hex += 2)
    put_be(b, (uint64_t)(g_ascii_xdigit_value(hex[0]) << 4 | g_ascii_xdigit_value(hex[1])), 1);
}
static void put_text(GByteArray *b, const char *s)
{
  put_be(b, strlen(s), 2);
  put(b, s, strlen(s));
}
/* types: "INT TEXT …" of the items, as options. */
static void put_metadata(GByteArray *b, const char *const *types)
{
  put_be(b, 1, 4);
  put_be(b, g_strv_length((char **)types), 4);
  put_text(b, "k");
  put_text(b, "t");
  for (int i = 0; types[i]; i++) {
    put_text(b, "x");
    put_hex(b, types[i]);
  }
}
static void answer(struct fixture *f, int16_t stream, uint8_t opcode, const GByteArray *body)
{
  GByteArray *b = g_byte_array_new();
  put_hex(b, "8400");
  put_be(b, (uint16_t)stream, 2);
  put_be(b, opcode, 1);
  put_be(b, body->len, 4);
  put(b, body->data, body->len);
  g_assert_cmpint(write(f->node, b->data, b->len), ==, (gssize)b->len);
  g_byte_array_unref(b);
}
static void answer_prepared(struct fixture *f, const char *const *types)
{
  GByteArray *b = g_byte_array_new();
  put_be(b, CQL_PREPARED, 4);
  put_text(b, "id");
  put_hex(b, "000000000000000000000000");
  put_metadata(b, types);
  answer(f, 1, CQL_RESULT, b);
  g_byte_array_unref(b);
}
/* cells: hex of each, "~" for null, of n rows. */
static void answer_rows(struct fixture *f, int16_t stream, const char *const *types, uint32_t n,
                        const char *cells)
{
  GByteArray *b = g_byte_array_new();
  g_auto(GStrv) cell = g_strsplit(cells, " ", -1);
  put_be(b, CQL_ROWS, 4);
  put_metadata(b, types);
  put_be(b, n, 4);
  for (int i = 0; n && cell[i]; i++) {
    if (*cell[i] == '~') {
      put_be(b, UINT32_MAX, 4);
      continue;
    }
    put_be(b, strlen(cell[i]) / 2, 4);
    put_hex(b, cell[i]);
  }
  answer(f, stream, CQL_RESULT, b);
  g_byte_array_unref(b);
}
static void answer_error(struct fixture *f, int16_t stream, uint32_t code, const char *text)
{
  GByteArray *b = g_byte_array_new();
  put_be(b, code, 4);
  put_text(b, text);
  if (code == CQL_UNPREPARED)
    put_text(b, "id");
  answer(f, stream, CQL_ERROR, b);
  g_byte_array_unref(b);
}

/* Items of k.t as 5.0 prepares them: the key, l, v, the times of both. */
static const char *const types[] = {INT, INT, TEXT, INTS, INT, LONGS, LONG, NULL};
static const char *const types_4[] = {INT, INT, TEXT, INTS, INT, LONG, NULL};
static const char *const types_static[] = {INT, INT, LONG, NULL};

/* ---- set up */

static void add_column(struct fixture *f, const char *name, const char *type, enum cass_kind kind,
                       int32_t position)
{
  f->table.column = g_renew(struct cass_column, f->table.column, f->table.n + 1);
  f->table.column[f->table.n++] =
      (struct cass_column){g_strdup(name), g_strdup(type), kind, position};
}

static void learn_schema(struct fixture *f)
{
  f->schema = clog_schema_new(NULL, NULL);
  if (clog_cql_read(f->schema, schema_cql, strlen(schema_cql), &f->err) < 0)
    g_error("%s", f->err.msg);
  for (size_t i = 0; (f->log = clog_schema_nth(f->schema, i)); i++)
    if (!strcmp(f->log->keyspace, "k"))
      break;
  add_column(f, "a", "int", CASS_PARTITION_KEY, 0);
  add_column(f, "c", "int", CASS_CLUSTERING, 0);
  add_column(f, "d", "text", CASS_CLUSTERING, 1);
  add_column(f, "st", "int", CASS_STATIC, -1);
  add_column(f, "l", "list<int>", CASS_REGULAR, -1);
  add_column(f, "v", "int", CASS_REGULAR, -1);
}

static void connect_both(struct fixture *f, const char *release)
{
  int both[2];
  g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, both), ==, 0);
  cql_conn_init(&f->conn, &f->conf.server, -1, 0);
  f->conn.fd = both[0];
  f->node = both[1];
  fcntl(f->conn.fd, F_SETFL, O_NONBLOCK);
  f->conn.version = 4;
  cql_codec_init(&f->conn.codec, 4);
  snprintf(f->conn.release, sizeof f->conn.release, "%s", release);
}

static void open_changes(struct fixture *f, const char *want)
{
  g_auto(GStrv) names = g_strsplit(want, ",", -1);
  struct mr_list list = {.item = names, .n = *want ? g_strv_length(names) : 0};
  struct cass_changes_open o = {
      .conf = &f->conf, .host = &f->base.host, .want = &list, .conn = &f->conn, .name = &f->name};
  int rc = cass_changes_new(&o, &f->changes, &f->err);
  if (rc < 0)
    g_error("%s", f->err.msg);
  f->changes->patience_ms = 0; /* answers are taken as they are */
}

static void learn(struct fixture *f, const char *const *prepared)
{
  bool changed = true;
  answer_prepared(f, prepared);
  int rc = cass_changes_table(f->changes, &f->table, &changed, &f->err);
  if (rc < 0)
    g_error("%s", f->err.msg);
  g_assert_false(changed);
}

static void init(struct fixture *f)
{
  *f = (struct fixture){.err = MR_ERROR_INIT, .memory = g_ptr_array_new_with_free_func(g_free)};
  harness_init(&f->base);
  f->conf = (struct cass_conf){.table = "k.t", .page = 100, .server.request_timeout_ms = 60000};
  f->name = (struct sql_name){(char *)"k", (char *)"t"};
  f->at = (struct cass_place){.segment = 7, .position = 100};
  learn_schema(f);
}

static void set_up(struct fixture *f, const char *want)
{
  init(f);
  connect_both(f, "5.0.4");
  open_changes(f, want);
  learn(f, types);
}

static void tear_down(struct fixture *f)
{
  cass_changes_free(f->changes);
  cql_conn_close(&f->conn);
  close(f->node);
  clog_schema_free(f->schema);
  cass_table_done(&f->table);
  g_ptr_array_unref(f->memory);
  harness_done(&f->base);
}

/* ---- events */

static struct clog_bytes an_int(struct fixture *f, int v)
{
  uint32_t be = GUINT32_TO_BE((uint32_t)v);
  uint8_t *p = g_memdup2(&be, 4);
  g_ptr_array_add(f->memory, p);
  return (struct clog_bytes){p, 4};
}
static struct clog_bytes a_text(const char *s)
{
  return (struct clog_bytes){(const uint8_t *)s, (int32_t)strlen(s)};
}
static struct clog_bytes a_path(struct fixture *f, int v)
{
  uint8_t *p = g_malloc0(16);
  p[15] = (uint8_t)v;
  g_ptr_array_add(f->memory, p);
  return (struct clog_bytes){p, 16};
}
static const struct clog_bytes nothing = {NULL, -1};

/* An event of its own mutation, of partition a = 1; d NULL: of no row. */
static void begin(struct fixture *f, enum clog_op op, int64_t timestamp, int c, const char *d)
{
  f->key[0] = an_int(f, 1);
  f->e = (struct clog_event){.op = op, .table = f->log, .key = f->key, .timestamp = timestamp};
  f->e.cell = f->cell;
  f->e.clustering = f->clustering;
  f->at.position += 100;
  f->at.event = 0;
  if (!d)
    return;
  f->clustering[0] = an_int(f, c);
  f->clustering[1] = a_text(d);
  f->e.n_clustering = 2;
}
/* The next event of the same mutation. */
static void also(struct fixture *f, enum clog_op op, int64_t timestamp, int c, const char *d)
{
  uint32_t event = f->at.event + 1;
  begin(f, op, timestamp, c, d);
  f->at.position -= 100;
  f->at.event = event;
}

static struct clog_cell *cell(struct fixture *f, const char *column, enum clog_cell_op op,
                              int64_t timestamp, struct clog_bytes path, struct clog_bytes value)
{
  const struct clog_column *found = NULL;
  for (uint32_t i = 0; i < f->log->kind_start[CLOG_COLUMN_KINDS]; i++)
    if (!strcmp(f->log->column[i].name, column))
      found = &f->log->column[i];
  g_assert_nonnull(found);
  struct clog_cell *to = &f->cell[f->e.n_cells++];
  *to = (struct clog_cell){.column = found,
                           .op = op,
                           .path = path,
                           .value = op == CLOG_SET ? value : nothing,
                           .timestamp = timestamp};
  return to;
}
static void set_v(struct fixture *f, int64_t timestamp, int v)
{
  cell(f, "v", CLOG_SET, timestamp, nothing, an_int(f, v));
}
static void add(struct fixture *f)
{
  int rc = cass_changes_add(f->changes, &f->e, &f->at, &f->err);
  if (rc < 0)
    g_error("%s", f->err.msg);
}
static void insert(struct fixture *f, int64_t timestamp, int c, const char *d, int v)
{
  begin(f, CLOG_INSERT, timestamp, c, d);
  set_v(f, timestamp, v);
  add(f);
}
static void delete_row(struct fixture *f, int64_t timestamp, int c, const char *d)
{
  begin(f, CLOG_DELETE_ROW, timestamp, c, d);
  add(f);
}
/* All rows with clustering columns from (start, start_d] to (end, end_d], in storage order. */
static void delete_range(struct fixture *f, int64_t timestamp, int start, const char *start_d,
                         int end, const char *end_d)
{
  begin(f, CLOG_DELETE_RANGE, timestamp, 0, NULL);
  f->bound[0] = an_int(f, start);
  f->bound[2] = an_int(f, end);
  if (start_d)
    f->bound[1] = a_text(start_d);
  if (end_d)
    f->bound[3] = a_text(end_d);
  f->e.start = (struct clog_bound){f->bound, start_d ? 2 : 1, false};
  f->e.end = (struct clog_bound){f->bound + 2, end_d ? 2 : 1, true};
  add(f);
}

/* ---- what comes out */

static void taken(struct fixture *f, const char *want)
{
  struct ArrowSchema schema;
  struct ArrowArray rows;
  int rc = cass_changes_take(f->changes, &rows, &f->err);
  if (rc < 0)
    g_error("%s", f->err.msg);
  if (rc == MR_IDLE) {
    g_assert_cmpstr("", ==, want);
    return;
  }
  g_assert_cmpint(cass_changes_schema(f->changes, &schema, &f->err), ==, MR_OK);
  g_autofree char *text = harness_text(&schema, &rows);
  g_assert_cmpstr(text, ==, want);
  mr_array_release(&rows);
  mr_schema_release(&schema);
  g_assert_cmpint(cass_changes_rows(f->changes), ==, 0);
}

/* a|c|d|l|v|_set|_range|_op|_timestamp */
#define ALL "{true,true,true,true,true}"
#define KEY_V "{true,true,true,false,true}"
#define KEY_L "{true,true,true,true,false}"
#define KEY "{true,true,true,false,false}"

static void test_schema(void)
{
  struct fixture f;
  struct ArrowSchema s;
  set_up(&f, "_timestamp,_ttl,_expires,_position,_element,_set,_range");
  g_assert_cmpint(cass_changes_schema(f.changes, &s, &f.err), ==, MR_OK);
  g_autofree char *text = harness_columns(&s);
  g_assert_cmpstr(text, ==,
                  "a: int32, c: int32, d: utf8, l: list<int32>, v: int32, "
                  "_set: struct<a: bool, c: bool, d: bool, l: bool, v: bool>, "
                  "_range: struct<c: " HARNESS_BOUNDS("int32") ", d: " HARNESS_BOUNDS(
                      "utf8") ">, _op: utf8, _timestamp: timestamptz, _ttl: int32, "
                              "_expires: timestamptz, _position: uint64, _element: uint32");
  mr_schema_release(&s);
  tear_down(&f);
}

static void test_plain(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  insert(&f, 10, 5, "x", 50);
  begin(&f, CLOG_INSERT, 11, 6, "y");
  add(&f);
  begin(&f, CLOG_UPDATE, 12, 5, "x");
  set_v(&f, 12, 51);
  add(&f);
  delete_row(&f, 13, 5, "x");
  begin(&f, CLOG_DELETE_PARTITION, 14, 0, NULL);
  add(&f);
  g_assert_cmpint(cass_changes_rows(f.changes), ==, 5);
  g_assert_cmpint(cass_changes_deleted(f.changes), ==, 14);
  taken(&f, "1|5|x|~|50|" KEY_V "|~|insert|10\n"
            "1|6|y|~|~|" KEY "|~|insert|11\n"
            "1|5|x|~|51|" KEY_V "|~|update|12\n"
            "1|5|x|~|~|" KEY "|~|delete|13\n"
            "1|~|~|~|~|{true,false,false,false,false}|{~,~}|delete|14\n");
  taken(&f, "");
  tear_down(&f);
}

/* Cells of one row with several times, and with a time to live. */
static void test_times(void)
{
  struct fixture f;
  set_up(&f, "_timestamp,_ttl,_expires,_element");
  begin(&f, CLOG_INSERT, 20, 5, "x");
  f.e.ttl = 60;
  f.e.expires = 1000;
  struct clog_cell *c = cell(&f, "v", CLOG_SET, 20, nothing, an_int(&f, 1));
  c->ttl = 60;
  c->expires = 1000;
  cell(&f, "l", CLOG_CLEAR, 18, nothing, nothing);
  cell(&f, "l", CLOG_SET, 19, a_path(&f, 1), an_int(&f, 7));
  cell(&f, "l", CLOG_SET, 19, a_path(&f, 2), an_int(&f, 8));
  add(&f);
  taken(&f, "1|5|x|~|1|" KEY_V "|~|insert|20|60|1000000000|0\n"
            "1|5|x|[7,8]|~|" KEY_L "|~|update|19|~|~|1\n");
  tear_down(&f);
}

/* Ranges: c is in descending order, so that what comes later in storage is less. */
static void test_range(void)
{
  struct fixture f;
  set_up(&f, "_timestamp,_element");
  delete_range(&f, 30, 8, "m", 3, NULL);
  taken(&f, "1|8|~|~|~|{true,true,false,false,false}|{~,{m,~,false,false}}|delete|30|0\n"
            "1|~|~|~|~|{true,false,false,false,false}|{{3,8,true,false},~}|delete|30|1\n");
  tear_down(&f);
}

/* A list that got an element is read from the node; so is whether a row is left without cells. */
static void test_elements(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  begin(&f, CLOG_UPDATE, 40, 5, "x");
  set_v(&f, 40, 2);
  cell(&f, "l", CLOG_SET, 40, a_path(&f, 3), an_int(&f, 9));
  add(&f);
  insert(&f, 41, 6, "y", 3); /* waits behind it */
  begin(&f, CLOG_UPDATE, 42, 6, "y");
  cell(&f, "v", CLOG_UNSET, 42, nothing, nothing);
  add(&f);
  begin(&f, CLOG_UPDATE, 43, 7, "z");
  cell(&f, "v", CLOG_UNSET, 43, nothing, nothing);
  add(&f);
  g_assert_cmpint(cass_changes_rows(f.changes), ==, 4);
  /* in another order than they are asked for */
  answer_rows(&f, 2, types, 0, "");
  answer_rows(&f, 0, types, 1,
              "00000001 00000005 78 00000002000000040000000800000004"
              "00000009 00000002 ~ 0000000000000028");
  answer_rows(&f, 1, types, 1, "00000001 00000006 79 ~ ~ ~ ~");
  taken(&f, "1|5|x|[8,9]|2|" ALL "|~|update|40\n"
            "1|6|y|~|3|" KEY_V "|~|insert|41\n"
            "1|6|y|~|~|" KEY_V "|~|update|42\n"
            "1|7|z|~|~|" KEY "|~|delete|43\n");
  tear_down(&f);
}

/* What is no newer than a deletion before it is given as the node has it, above its time. */
static void test_doubt(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  delete_row(&f, 100, 5, "x");
  insert(&f, 90, 5, "x", 1);  /* gone */
  insert(&f, 100, 6, "y", 2); /* there, and written later again */
  insert(&f, 200, 7, "z", 3); /* newer: nothing to read */
  delete_row(&f, 50, 8, "w"); /* gone */
  answer_rows(&f, 0, types, 0, "");
  answer_rows(&f, 1, types, 1,
              "00000001 00000006 79 000000010000000400000008 00000002 "
              "00000002ffffffff000000080000000000000050 000000000000012c");
  answer_rows(&f, 2, types, 0, "");
  taken(&f, "1|5|x|~|~|" KEY "|~|delete|100\n"
            "1|5|x|~|~|" KEY "|~|delete|101\n"
            "1|6|y|[8]|~|" KEY_L "|~|insert|102\n"
            "1|6|y|~|2|" KEY_V "|~|update|300\n"
            "1|7|z|~|3|" KEY_V "|~|insert|200\n"
            "1|8|w|~|~|" KEY "|~|delete|103\n");
  tear_down(&f);
}

/* Statements of one batch have one time: they are no doubt for each other, but for a row that is
 * deleted and written. */
static void test_batch(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  delete_row(&f, 10, 1, "a");
  also(&f, CLOG_DELETE_ROW, 10, 2, "b");
  add(&f);
  also(&f, CLOG_INSERT, 10, 2, "b");
  set_v(&f, 10, 4);
  add(&f);
  also(&f, CLOG_INSERT, 10, 3, "c");
  set_v(&f, 10, 5);
  add(&f);
  answer_rows(&f, 0, types, 0, "");
  taken(&f, "1|1|a|~|~|" KEY "|~|delete|10\n"
            "1|2|b|~|~|" KEY "|~|delete|10\n"
            "1|2|b|~|~|" KEY "|~|delete|11\n"
            "1|3|c|~|5|" KEY_V "|~|insert|10\n");
  tear_down(&f);
}

/* A range in doubt: its partition is deleted and given anew, page by page. */
static void test_partition(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  delete_row(&f, 100, 5, "x");
  delete_range(&f, 80, 8, NULL, 3, NULL);
  answer_prepared(&f, types); /* the row's statement is known, the partition's is not */
  answer_rows(&f, 1, types, 2,
              "00000001 ~ ~ ~ ~ ~ ~ " /* its static columns are all of it */
              "00000001 00000009 71 ~ 00000004 ~ 0000000000000064");
  taken(&f, "1|5|x|~|~|" KEY "|~|delete|100\n"
            "1|~|~|~|~|{true,false,false,false,false}|{~,~}|delete|101\n"
            "1|9|q|~|4|" ALL "|~|insert|102\n");
  tear_down(&f);
}

static void test_static(void)
{
  struct fixture f;
  init(&f);
  f.conf.rows = CASS_ROWS_STATIC;
  connect_both(&f, "5.0.4");
  open_changes(&f, "_timestamp");
  learn(&f, types_static);
  insert(&f, 9, 5, "x", 50); /* none of ours */
  begin(&f, CLOG_UPDATE, 10, 0, NULL);
  f.e.is_static = true;
  cell(&f, "st", CLOG_SET, 10, nothing, an_int(&f, 3));
  add(&f);
  delete_row(&f, 12, 5, "x");
  begin(&f, CLOG_UPDATE, 20, 0, NULL);
  f.e.is_static = true;
  cell(&f, "st", CLOG_UNSET, 20, nothing, nothing);
  add(&f);
  begin(&f, CLOG_DELETE_PARTITION, 30, 0, NULL);
  add(&f);
  answer_rows(&f, 0, types_static, 1, "00000001 ~ ~"); /* a row is there, but nothing static */
  taken(&f, "1|3|{true,true}|update|10\n"
            "1|~|{true,false}|delete|20\n"
            "1|~|{true,false}|delete|30\n");
  tear_down(&f);
}

/* `partial: read_back`: whole rows, whatever was written of them. */
static void test_whole(void)
{
  struct fixture f;
  init(&f);
  f.conf.partial = CASS_PARTIAL_READ_BACK;
  connect_both(&f, "4.1.8");
  open_changes(&f, "_timestamp");
  learn(&f, types_4);
  begin(&f, CLOG_UPDATE, 40, 5, "x");
  set_v(&f, 40, 2);
  add(&f);
  insert(&f, 39, 6, "y", 2); /* older than what was seen */
  delete_row(&f, 90, 6, "y");
  answer_rows(&f, 0, types_4, 1,
              "00000001 00000005 78 000000010000000400000008 00000002 0000000000000028");
  answer_rows(&f, 1, types_4, 0, "");
  taken(&f, "1|5|x|[8]|2|~|update|40\n"
            "1|6|y|~|~|~|delete|41\n"
            "1|6|y|~|~|~|delete|90\n");
  tear_down(&f);
}

/* A value that does not fit: the event is refused with its place, the others go on. */
static void test_refused(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  insert(&f, 10, 5, "x", 50);
  begin(&f, CLOG_INSERT, 11, 6, "\xff");
  set_v(&f, 11, 1);
  add(&f);
  begin(&f, CLOG_INSERT, 12, 7, "y");
  set_v(&f, 12, 2);
  cell(&f, "l", CLOG_CLEAR, 11, nothing, nothing);
  cell(&f, "l", CLOG_SET, 12, a_path(&f, 1), a_text("not four bytes"));
  add(&f);
  insert(&f, 13, 8, "z", 51);
  g_assert_cmpint(f.base.rejects->len, ==, 0);
  taken(&f, "1|5|x|~|50|" KEY_V "|~|insert|10\n"
            "1|8|z|~|51|" KEY_V "|~|insert|13\n");
  g_assert_cmpint(f.base.rejects->len, ==, 2);
  const struct harness_reject *r = f.base.rejects->pdata[0];
  g_assert_cmpstr(r->column, ==, "d");
  g_assert_cmpstr(r->msg, ==, "table k.t: not valid UTF-8");
  r = f.base.rejects->pdata[1];
  g_assert_cmpstr(r->column, ==, "l");
  tear_down(&f);
}

/* A node that restarted has forgotten the statement; one that is overloaded is asked again. */
static void test_again(void)
{
  struct fixture f;
  struct ArrowArray rows;
  set_up(&f, "_timestamp");
  begin(&f, CLOG_UPDATE, 43, 7, "z");
  cell(&f, "v", CLOG_UNSET, 43, nothing, nothing);
  add(&f);
  answer_error(&f, 0, 0x1001, "busy");
  g_assert_cmpint(cass_changes_take(f.changes, &rows, &f.err), ==, MR_RETRY);
  answer_error(&f, 0, CQL_UNPREPARED, "unknown");
  answer_prepared(&f, types);
  answer_rows(&f, 0, types, 0, "");
  taken(&f, "1|7|z|~|~|" KEY "|~|delete|43\n");
  tear_down(&f);
}

/* A node that has not done yet what it has written to its log is asked again. */
static void test_stale(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  f.changes->patience_ms = 60000;
  begin(&f, CLOG_UPDATE, 42, 6, "y");
  cell(&f, "v", CLOG_UNSET, 42, nothing, nothing);
  add(&f);
  answer_rows(&f, 0, types, 1, "00000001 00000006 79 ~ 00000003 ~ 0000000000000029");
  answer_rows(&f, 0, types, 0, "");
  taken(&f, "1|6|y|~|~|" KEY "|~|delete|42\n");
  begin(&f, CLOG_UPDATE, 43, 7, "z");
  set_v(&f, 43, 2);
  cell(&f, "l", CLOG_SET, 43, a_path(&f, 3), an_int(&f, 9));
  add(&f);
  answer_rows(&f, 0, types, 0, ""); /* not there yet */
  answer_rows(&f, 0, types, 1,
              "00000001 00000007 7a 000000010000000400000008 00000002 ~ 000000000000002b");
  answer_rows(&f, 0, types, 1,
              "00000001 00000007 7a 000000010000000400000009 00000002 ~ 000000000000002b");
  taken(&f, "1|7|z|[9]|2|" ALL "|~|update|43\n");
  tear_down(&f);
}

static bool has(enum cql_kind kind, enum clog_cell_op op, const char *path, const char *value,
                const char *stored, int32_t len)
{
  struct cql_type t = {.kind = kind};
  struct clog_cell c = {.op = op, .path = a_text(path), .value = value ? a_text(value) : nothing};
  struct clog_bytes v = {(const uint8_t *)stored, len};
  return change_has_element(&c, &t, &v);
}

/* Whether a stored value shows what was done to an element. */
static void test_confirmed(void)
{
  static const char list[] = "\0\0\0\2\0\0\0\1a\0\0\0\1b", map[] = "\0\0\0\1\0\0\0\1a\0\0\0\1b",
                    udt[] = "\377\377\377\377\0\0\0\1b";
  g_assert_true(has(CQL_LIST, CLOG_SET, "?", "b", list, sizeof list - 1));
  g_assert_false(has(CQL_LIST, CLOG_SET, "?", "c", list, sizeof list - 1));
  g_assert_true(has(CQL_SET, CLOG_SET, "b", "", list, sizeof list - 1));
  g_assert_false(has(CQL_SET, CLOG_UNSET, "b", NULL, list, sizeof list - 1));
  g_assert_true(has(CQL_SET, CLOG_UNSET, "c", NULL, list, sizeof list - 1));
  g_assert_true(has(CQL_SET, CLOG_UNSET, "c", NULL, NULL, -1));
  g_assert_false(has(CQL_SET, CLOG_SET, "c", "", NULL, -1));
  g_assert_true(has(CQL_MAP, CLOG_SET, "a", "b", map, sizeof map - 1));
  g_assert_false(has(CQL_MAP, CLOG_SET, "a", "c", map, sizeof map - 1));
  g_assert_false(has(CQL_MAP, CLOG_UNSET, "a", NULL, map, sizeof map - 1));
  g_assert_true(has(CQL_MAP, CLOG_CLEAR, "", NULL, map, sizeof map - 1));
  struct cql_type t = {.kind = CQL_UDT};
  struct clog_cell c = {.op = CLOG_SET, .value = a_text("b")};
  struct clog_bytes v = {(const uint8_t *)udt, sizeof udt - 1};
  c.path = (struct clog_bytes){(const uint8_t *)"\0\1", 2};
  g_assert_true(change_has_element(&c, &t, &v));
  c.path = (struct clog_bytes){(const uint8_t *)"\0\0", 2};
  g_assert_false(change_has_element(&c, &t, &v));
  c = (struct clog_cell){.op = CLOG_UNSET, .path = c.path, .value = nothing};
  g_assert_true(change_has_element(&c, &t, &v));
}

/* A column was dropped behind the events at hand: another item stands in its place. */
static void test_dropped(void)
{
  static const char *const columns[] = {TEXT, TEXT, INT, TEXT, NULL}, *const without[] = {
                                                                          INT, INT, TEXT, INT,
                                                                          INT, INT, LONG, NULL};
  struct fixture f;
  set_up(&f, "_timestamp");
  begin(&f, CLOG_UPDATE, 43, 7, "z");
  set_v(&f, 43, 3);
  cell(&f, "l", CLOG_SET, 43, a_path(&f, 3), an_int(&f, 9));
  add(&f);
  delete_row(&f, 40, 8, "w");
  answer_error(&f, 0, CQL_UNPREPARED, "unknown");
  answer_error(&f, 1, CQL_UNPREPARED, "unknown");
  answer_error(&f, 1, 0x2200, "Undefined column name l");
  answer_rows(&f, 1, columns, 4,
              "61 706172746974696f6e5f6b6579 00000000 696e74 "
              "63 636c7573746572696e67 00000000 696e74 "
              "64 636c7573746572696e67 00000001 74657874 "
              "76 726567756c6172 ffffffff 696e74");
  answer_prepared(&f, without);
  answer_rows(&f, 0, without, 1,
              "00000001 00000007 7a 00000001 00000003 00000001 000000000000002b");
  answer_rows(&f, 1, without, 0, "");
  taken(&f, "1|7|z|~|3|" ALL "|~|update|43\n"
            "1|8|w|~|~|" KEY "|~|delete|44\n");
  tear_down(&f);
}

static void test_scanned(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  struct cass_scan_items items = cass_changes_scan(f.changes);
  g_assert_cmpstr(items.cql, ==,
                  "\"a\", \"c\", \"d\", \"l\", \"v\", writetime(\"l\"), writetime(\"v\")");
  g_assert_cmpint(items.n, ==, 7);
  g_assert_cmpint(items.key, ==, 1);
  g_assert_cmpint(items.clustering, ==, 2);
  struct cql_column columns[7] = {{0}};
  static const enum cql_kind kinds[] = {CQL_INT, CQL_INT,  CQL_TEXT,  CQL_LIST,
                                        CQL_INT, CQL_LIST, CQL_BIGINT};
  struct cql_type of_int = {.kind = CQL_INT}, of_long = {.kind = CQL_BIGINT};
  for (int i = 0; i < 7; i++)
    columns[i].type.kind = kinds[i];
  columns[3].type.child = &of_int;
  columns[5].type.child = &of_long;
  columns[3].type.n_child = columns[5].type.n_child = 1;
  static const uint8_t list[] = {0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 8},
                       times[] = {0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 70},
                       time[] = {0, 0, 0, 0, 0, 0, 0, 60}, four[] = {0, 0, 0, 4};
  struct cass_cell row[] = {{four, 4},           {four, 4}, {(const uint8_t *)"k", 1},
                            {list, sizeof list}, {four, 4}, {times, sizeof times},
                            {time, sizeof time}};
  struct mr_position at = {0};
  g_assert_cmpint(cass_changes_scanned(f.changes, columns, row, 3, &at, &f.err), ==, MR_OK);
  row[3].n = row[5].n = -1;
  g_assert_cmpint(cass_changes_scanned(f.changes, columns, row, 3, &at, &f.err), ==, MR_OK);
  row[4].n = row[6].n = -1; /* its key is all of it */
  g_assert_cmpint(cass_changes_scanned(f.changes, columns, row, 3, &at, &f.err), ==, MR_OK);
  taken(&f, "4|4|k|[8]|~|" KEY_L "|~|insert|70\n"
            "4|4|k|~|4|" KEY_V "|~|update|60\n"
            "4|4|k|~|4|" KEY_V "|~|insert|60\n"
            "4|4|k|~|~|" KEY "|~|insert|0\n");
  tear_down(&f);
}

/* A floor puts all that is not newer in doubt; nothing waits after a reset. */
static void test_reset(void)
{
  struct fixture f;
  set_up(&f, "_timestamp");
  insert(&f, 10, 5, "x", 50);
  begin(&f, CLOG_UPDATE, 11, 7, "z");
  cell(&f, "v", CLOG_UNSET, 11, nothing, nothing);
  add(&f);
  cass_changes_reset(f.changes, 500);
  g_assert_cmpint(cass_changes_rows(f.changes), ==, 0);
  g_assert_cmpint(cass_changes_deleted(f.changes), ==, 500);
  taken(&f, "");
  insert(&f, 499, 5, "x", 50);
  insert(&f, 600, 5, "x", 51);
  answer_rows(&f, 0, types, 0, "");
  taken(&f, "1|5|x|~|~|" KEY "|~|delete|501\n"
            "1|5|x|~|51|" KEY_V "|~|insert|600\n");
  tear_down(&f);
}

static void test_place(void)
{
  struct cass_place at = {.segment = 1763740000000, .position = 5, .event = 2, .deleted = -3}, got;
  struct mr_position p = cass_place_position(&at), later;
  g_assert_true(cass_place_read(&p, &got));
  g_assert_cmpint(got.segment, ==, at.segment);
  g_assert_cmpint(got.position, ==, 5);
  g_assert_cmpint(got.event, ==, 2);
  g_assert_cmpint(got.deleted, ==, -3);
  at.position = 6;
  at.event = 0;
  later = cass_place_position(&at);
  g_assert_cmpint(mr_position_cmp(&p, &later), <, 0);
  p.len--;
  g_assert_false(cass_place_read(&p, &got));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cass-change/schema", test_schema);
  g_test_add_func("/cass-change/plain", test_plain);
  g_test_add_func("/cass-change/times", test_times);
  g_test_add_func("/cass-change/range", test_range);
  g_test_add_func("/cass-change/elements", test_elements);
  g_test_add_func("/cass-change/doubt", test_doubt);
  g_test_add_func("/cass-change/batch", test_batch);
  g_test_add_func("/cass-change/partition", test_partition);
  g_test_add_func("/cass-change/static", test_static);
  g_test_add_func("/cass-change/whole", test_whole);
  g_test_add_func("/cass-change/refused", test_refused);
  g_test_add_func("/cass-change/again", test_again);
  g_test_add_func("/cass-change/stale", test_stale);
  g_test_add_func("/cass-change/confirmed", test_confirmed);
  g_test_add_func("/cass-change/dropped", test_dropped);
  g_test_add_func("/cass-change/scanned", test_scanned);
  g_test_add_func("/cass-change/reset", test_reset);
  g_test_add_func("/cass-change/place", test_place);
  return g_test_run();
}
