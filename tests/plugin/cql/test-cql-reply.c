/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: rows, prepared statements, errors, events; each cut at every byte. */
#include "base/base.h"
#include "common/cql-reply.h"
#include "wire.h"

/* A frame whose body ends where its memory does. */
static struct cql_frame frame_of(int version, uint8_t opcode, const char *hex, uint8_t **ret_body)
{
  g_autoptr(GByteArray) b = wire_bytes(hex);
  *ret_body = g_memdup2(b->data, b->len);
  return (struct cql_frame){
      .version = (uint8_t)version, .opcode = opcode, .body = *ret_body, .len = b->len};
}

static const char rows_hex[] =
    "00000002 00000003 00000002 00000002 abcd 0002'ks' 0001't' 0001'a' 0009"
    " 0002'bc' 0020 000d 00000002"
    " 00000004 00000007 ffffffff 00000004 00000008 00000004 00000000";

static void test_rows(void)
{
  struct mr_error err = MR_ERROR_INIT;
  struct cql_rows rows;
  g_autofree uint8_t *body = NULL;
  struct cql_frame f = frame_of(4, CQL_RESULT, rows_hex, &body);
  int64_t n;
  g_assert_cmpint(cql_reply_kind(&f), ==, CQL_ROWS);
  g_assert_cmpint(cql_reply_rows(&f, &rows, &err), ==, MR_OK);
  g_assert_cmpint(rows.n, ==, 2);
  g_assert_cmpint(rows.columns.n, ==, 2);
  g_assert_cmpstr(rows.columns.item[1].name, ==, "bc");
  g_assert_cmpint(rows.columns.item[1].type.child[0].kind, ==, CQL_TEXT);
  g_assert_cmpmem(rows.paging, rows.paging_len, "\xab\xcd", 2);
  g_assert_cmpint(cql_be32(cql_read_value(&rows.cells, &n)), ==, 7);
  g_assert_null(cql_read_value(&rows.cells, &n));
  g_assert_true(cql_columns_equal(&rows.columns, &rows.columns));
  cql_columns_done(&rows.columns);
}

/* Every prefix of an answer is refused or leaves cells that end too early: nothing is read behind
 * it. */
static void test_rows_cut(void)
{
  g_autofree uint8_t *body = NULL;
  struct cql_frame f = frame_of(4, CQL_RESULT, rows_hex, &body);
  for (size_t len = 0; len < f.len; len++) {
    struct mr_error err = MR_ERROR_INIT;
    struct cql_rows rows;
    g_autofree uint8_t *part = g_memdup2(body, len);
    struct cql_frame cut = f;
    int64_t n;
    cut.body = part;
    cut.len = len;
    int rc = cql_reply_rows(&cut, &rows, &err);
    for (int i = 0; rc >= 0 && i < 4; i++)
      cql_read_value(&rows.cells, &n);
    g_assert_true(rc < 0 ? *err.msg : rows.cells.failed);
    cql_columns_done(&rows.columns);
  }
}

static void refused_rows(const char *hex, const char *words)
{
  struct mr_error err = MR_ERROR_INIT;
  struct cql_rows rows;
  g_autofree uint8_t *body = NULL;
  struct cql_frame f = frame_of(5, CQL_RESULT, hex, &body);
  g_assert_cmpint(cql_reply_rows(&f, &rows, &err), ==, MR_FATAL);
  g_assert_nonnull(strstr(err.msg, words));
  cql_columns_done(&rows.columns);
}

static void test_rows_refused(void)
{
  refused_rows("00000001", "rows were expected");
  refused_rows("00000002 00000001 00000001 0000 0000 0001'a' 0099 00000000",
               "column `a`: unknown type 0x0099");
  refused_rows("00000002 00000001 00000001 0000 0000 0001'a' 0000 0003'Odd' 00000000",
               "column `a`: unknown type `Odd`");
  refused_rows("00000002 00000001 7fffffff 0000 0000", "number of columns");
  refused_rows("00000002 00000001 ffffffff 0000 0000", "number of columns");
  refused_rows("00000002 00000001 00000000 0000 0000 7fffffff", "number of rows");
  refused_rows("00000002 00000001 00000001 0000 0000 0001'a' 0009 7fffffff", "number of rows");
  refused_rows("00000002 00000004 00000001 00000000", "without the columns");
}

static void test_prepared(void)
{
  static const char v5[] =
      "00000004 0002'id' 0003'mid' 00000001 00000001 00000001 0000 0002'ks' 0001't' 0001'k' 0002"
      " 00000001 00000001 0002'ks' 0001't' 0001'a' 000c";
  static const char v4[] = "00000004 0002'id' 00000000 00000000 00000000 00000004 00000000";
  struct mr_error err = MR_ERROR_INIT;
  struct cql_prepared p;
  g_autofree uint8_t *body = NULL, *body4 = NULL;
  struct cql_frame f = frame_of(5, CQL_RESULT, v5, &body), f4 = frame_of(4, CQL_RESULT, v4, &body4);
  g_assert_cmpint(cql_reply_prepared(&f, &p, &err), ==, MR_OK);
  g_assert_cmpmem(p.id, p.id_len, "id", 2);
  g_assert_cmpmem(p.metadata_id, p.metadata_id_len, "mid", 3);
  g_assert_cmpint(p.bind.n, ==, 1);
  g_assert_cmpint(p.columns.item[0].type.kind, ==, CQL_UUID);
  cql_prepared_done(&p);
  g_assert_cmpint(cql_reply_prepared(&f4, &p, &err), ==, MR_OK);
  g_assert_null(p.metadata_id);
  cql_prepared_done(&p);
  for (size_t len = 0; len < f.len; len++) {
    g_autofree uint8_t *part = g_memdup2(body, len);
    struct cql_frame cut = {.version = 5, .opcode = CQL_RESULT, .body = part, .len = len};
    g_assert_cmpint(cql_reply_prepared(&cut, &p, &err), <, MR_OK);
    cql_prepared_done(&p);
  }
}

static void is_error(const char *hex, int status, const char *words)
{
  struct mr_error err = MR_ERROR_INIT;
  int32_t code;
  g_autofree uint8_t *body = NULL;
  struct cql_frame f = frame_of(4, CQL_ERROR, hex, &body);
  g_assert_cmpint(cql_reply_error(&f, &code, &err), ==, status);
  g_assert_cmpstr(err.msg, ==, words);
}

static void test_errors(void)
{
  is_error("00001000 0004'none' 0006 00000002 00000001", MR_RETRY, "none (error 0x1000)");
  is_error("00001001 0000", MR_RETRY, " (error 0x1001)");
  is_error("00001002 0001'b'", MR_RETRY, "b (error 0x1002)");
  is_error("00001200 0001't'", MR_RETRY, "t (error 0x1200)");
  is_error("00001300 0001'f'", MR_RETRY, "f (error 0x1300)");
  is_error("0000000a 0001'p'", MR_RETRY, "p (error 0x000a)");
  is_error("00002500 0001'u' 0002'id'", MR_RETRY, "u (error 0x2500)");
  is_error("00002200 0003'a' 0a 'b'", MR_BADCONF, "a b (error 0x2200)");
  is_error("00000100 0001'x'", MR_BADCONF, "x (error 0x0100)");
  is_error("00000000 0001'x'", MR_RETRY, "x (error 0x0000)");
  is_error("00001003 0001'x'", MR_FATAL, "x (error 0x1003)");
  is_error("00001500 0001'x'", MR_FATAL, "x (error 0x1500)");
  is_error("0000", MR_FATAL, "malformed answer of Cassandra: an error that cannot be read");
}

static void test_events(void)
{
  struct cql_event e;
  g_autofree uint8_t *a = NULL, *b = NULL, *c = NULL, *d = NULL;
  struct cql_frame f =
      frame_of(5, CQL_EVENT, "000d'SCHEMA_CHANGE' 0007'UPDATED' 0005'TABLE' 0002'ks' 0001't'", &a);
  g_assert_true(cql_reply_event(&f, &e));
  g_assert_cmpint(e.kind, ==, CQL_SCHEMA_EVENT);
  g_assert_cmpstr(e.change, ==, "UPDATED");
  g_assert_cmpstr(e.name, ==, "t");
  f = frame_of(5, CQL_EVENT, "000d'STATUS_CHANGE' 0004'DOWN' 04 7f000001 00002352", &b);
  g_assert_true(cql_reply_event(&f, &e));
  g_assert_cmpstr(e.change, ==, "DOWN");
  g_assert_cmpstr(e.keyspace, ==, "127.0.0.1:9042");
  f = frame_of(5, CQL_RESULT, "00000005 0007'DROPPED' 0008'KEYSPACE' 0002'ks'", &c);
  g_assert_true(cql_reply_event(&f, &e));
  g_assert_cmpstr(e.keyspace, ==, "ks");
  g_assert_cmpstr(e.name, ==, "");
  f = frame_of(5, CQL_EVENT, "0005'OTHER'", &d);
  g_assert_false(cql_reply_event(&f, &e));
}

static void test_supported(void)
{
  g_autofree uint8_t *body = NULL;
  struct cql_frame f =
      frame_of(5, CQL_SUPPORTED,
               "0002 0001'A' 0001 0001'x' 000b'COMPRESSION' 0002 0006'snappy' 0003'lz4'", &body);
  g_assert_true(cql_reply_supports(&f, "COMPRESSION", "lz4"));
  g_assert_false(cql_reply_supports(&f, "COMPRESSION", "x"));
  g_assert_false(cql_reply_supports(&f, "A", "lz4"));
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/cql-reply/rows", test_rows);
  g_test_add_func("/cql-reply/rows-cut", test_rows_cut);
  g_test_add_func("/cql-reply/rows-refused", test_rows_refused);
  g_test_add_func("/cql-reply/prepared", test_prepared);
  g_test_add_func("/cql-reply/errors", test_errors);
  g_test_add_func("/cql-reply/events", test_events);
  g_test_add_func("/cql-reply/supported", test_supported);
  return g_test_run();
}
