/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-cql [CASES [SEED]]: damaged answers of Cassandra, through frames, replies, types and values
 * into columns that must be sound Arrow. The first byte of an input says how the rest is read. Each
 * buffer ends where its memory does, so that a build with -Db_sanitize=address,undefined sees each
 * byte too many. */
#include "base/base.h"
#include "common/cql-reply.h"
#include "common/cql-value.h"
#include "data/array.h"
#include "fuzz.h"
#include "../plugin/cql/wire.h"

#define ROWS_MAX 64

/* The rows of a page as columns, refused ones left out. */
static void columns_of(struct cql_rows *rows, int32_t k)
{
  const struct cql_type *t = &rows->columns.item[k].type;
  struct cql_read cells = rows->cells;
  struct mr_error err = MR_ERROR_INIT;
  struct ArrowSchema s;
  struct ArrowArray a;
  struct mr_column c = {0};
  const char *why;
  int64_t n;
  g_assert_true(cql_type_arrow(t, "c", &s));
  bool carried = mr_column_init(&c, &s);
  for (int32_t i = 0; carried && i < rows->n * rows->columns.n && i < ROWS_MAX && !cells.failed;
       i++) {
    const uint8_t *p = cql_read_value(&cells, &n);
    int64_t before = c.length;
    int rc = i % rows->columns.n == k ? cql_value(&c, t, &s, p, n, &why) : MR_REJECT;
    g_assert_cmpint(c.length, ==, before + (rc == MR_OK));
  }
  if (carried) {
    g_assert_true(mr_column_finish(&c, &a));
    if (mr_array_check(&s, &a, true, &err) < 0) {
      g_printerr("unsound column: %s\n", err.msg);
      abort();
    }
    mr_array_release(&a);
  }
  mr_column_done(&c);
  mr_schema_release(&s);
}

static void read_reply(const struct cql_frame *f)
{
  struct mr_error err = MR_ERROR_INIT;
  struct cql_rows rows;
  struct cql_prepared prepared;
  struct cql_event event;
  int32_t code;
  if (cql_reply_rows(f, &rows, &err) >= 0)
    for (int32_t k = 0; k < rows.columns.n && k < 8; k++)
      columns_of(&rows, k);
  cql_columns_done(&rows.columns);
  cql_reply_prepared(f, &prepared, &err);
  cql_prepared_done(&prepared);
  cql_reply_error(f, &code, &err);
  cql_reply_event(f, &event);
  cql_reply_supports(f, "COMPRESSION", "lz4");
}

static void read_frames(uint8_t how, const uint8_t *p, size_t n)
{
  struct cql_codec c;
  struct cql_frame f;
  struct mr_error err = MR_ERROR_INIT;
  cql_codec_init(&c, how & 1 ? 5 : 4);
  c.segments = how & 1;
  c.lz4 = how & 2;
  sql_buf_bytes(&c.in, p, n);
  while (cql_codec_next(&c, &f, &err) == MR_OK)
    read_reply(&f);
  cql_codec_done(&c);
}

static void read_type(bool class, const char *text, size_t n)
{
  struct cql_type t, copy;
  struct mr_error err = MR_ERROR_INIT;
  struct sql_buf b = {0};
  int rc =
      class ? cql_type_class(text, n, &t, &err) : cql_type_text(text, n, NULL, NULL, 0, &t, &err);
  if (rc >= 0) {
    g_assert_true(cql_type_copy(&t, &copy) && cql_type_equal(&t, &copy));
    cql_type_done(&copy);
    cql_type_name(&t, &b);
  }
  cql_type_done(&t);
  sql_buf_done(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (!size)
    return 0;
  g_autofree uint8_t *p = g_memdup2(data + 1, size - 1);
  struct cql_frame f = {.version = data[0] & 8 ? 5 : 4, .body = p, .len = size - 1};
  switch (data[0] & 7) {
  case 0:
  case 1:
  case 2:
  case 3: read_frames(data[0], p, size - 1); break;
  case 4:
  case 5: read_type(data[0] & 1, (const char *)p, size - 1); break;
  default: f.opcode = data[0] & 1 ? CQL_RESULT : CQL_EVENT; read_reply(&f);
  }
  return 0;
}

#ifndef LIBFUZZER
#define M "org.apache.cassandra.db.marshal."
/* Good inputs, as bytes of wire_bytes. */
static const char *const corpus[] = {
    "0f 00000002 00000001 00000002 0000 0000 0001'a' 0020 0009 0002'bc' 0021 000d 0031 0002 0006 "
    "000e 00000001"
    " 00000014 00000002 00000004 00000001 00000004 00000002"
    " 0000002d 00000001 00000001'k' 00000020 0000000c 00000002 0000000000000001 0000000c "
    "010203040506070809101112",
    "07 00000002 00000003 00000003 00000002 abcd 0002'ks' 0001't' 0001'a' 0009 0001'b' 000c "
    "0001'c' 0010 00000001"
    " 00000004 00000007 00000010 00000000000000000000000000000000 00000004 7f000001",
    "07 00000002 00000001 00000002 0000 0000 0001'v' 0000 0056'" M "VectorType(" M "FloatType, 3)'"
    " 0001'u' 0030 0001'k' 0001'u' 0002 0001'x' 0015 0001'y' 0012 00000001 0000000c 3fc00000 "
    "3fc00000 3fc00000"
    " 00000013 00000003 020406 00000008 00000000000003e8",
    "0f 00000004 0002'id' 0003'mid' 00000001 00000001 00000001 0000 0002'ks' 0001't' 0001'k' 0002 "
    "00000001 00000001"
    " 0002'ks' 0001't' 0001'a' 000c",
    "06 000d'SCHEMA_CHANGE' 0007'UPDATED' 0005'TABLE' 0002'ks' 0001't'",
    "01 090002a4c8c1 850000010800000000 b5557486",
    "00 84000001 08 00000010 00000002 00000001 00000000 00000000",
    "02 84010001 08 00000009 00000004 40 00000001",
    /* each type by its number, and one value of it */
    "07 00000002 00000001 00000008 0002'ks' 0001't' 0001'a' 0001 0001'b' 0002 0001'c' 0003 0001'd' "
    "0004 0001'e' 0005 0001'f' 0006 0001'g' 0007 0001'h' 0008 00000001"
    " 00000003'abc' 00000008 7fffffffffffffff 00000002 00ff 00000001 01 00000008 0000000000000005"
    " 00000006 00000003 0b1f 00000008 3ff8000000000000 00000004 3fc00000",
    "07 00000002 00000001 00000008 0002'ks' 0001't' 0001'a' 0009 0001'b' 000b 0001'c' 000c 0001'd' "
    "000d 0001'e' 000e 0001'f' 000f 0001'g' 0010 0001'h' 0011 00000001"
    " 00000004 ffffffff 00000008 0000018c251f8c00 00000010 000102030405460788090a0b0c0d0e0f"
    " 00000002 c3a4 00000009 00ffffffffffffffff 00000010 000102030405160788090a0b0c0d0e0f"
    " 00000010 20010db8000000000000000000000001 00000004 80004e20",
    "07 00000002 00000001 00000008 0002'ks' 0001't' 0001'a' 0012 0001'b' 0013 0001'c' 0014 0001'd' "
    "0015 0001'e' 0022 0009 0001'f' 0021 0009 000d 0001'g' 0030 0002'ks' 0001'u' 0002 0001'x' 0009 "
    "0001'y' 0020 000d 0001'h' 0031 0002 000e 0006 00000001"
    " 00000008 00004e94914f0000 00000002 8000 00000001 80 00000004 0204fe01"
    " 0000000c 00000001 00000004 00000007 0000000f 00000001 00000004 00000001 00000003'abc'"
    " 00000015 00000004 00000009 0000000d 00000001 00000005'hallo'"
    " 0000000e 00000001 2a 00000005 00000002 7b",
    /* a page, and that there is another one, with the schema's new id */
    "07 00000002 0000000b 00000001 00000003 abcdef 00000004 01020304 0002'ks' 0001't' 0001'a' 0009 "
    "00000001 00000004 00000001",
    /* errors, with what each has behind its text */
    "07 00001000 0003'why' 0006 00000003 00000001",
    "07 00001200 0003'why' 0006 00000001 00000002 00",
    "07 00001300 0003'why' 0006 00000001 00000002 00000001 04 7f000001 0001 01",
    "07 00002500 0003'why' 0003 abcdef",
    "07 00002400 0003'why' 0002'ks' 0001't'",
    "07 0002 000b'CQL_VERSION' 0001 0005'3.4.5' 000b'COMPRESSION' 0002 0006'snappy' 0003'lz4'",
    "06 000d'STATUS_CHANGE' 0002'UP' 04 7f000001 00002352",
    "06 000f'TOPOLOGY_CHANGE' 0008'NEW_NODE' 10 20010db8000000000000000000000001 00002352",
    "05'" M "UserType(ks,506c616365,6e6f:" M "Int32Type,73:" M "FrozenType(" M "SetType(" M
    "DurationType)))'",
    "05'" M "ReversedType(" M "MapType(" M "UTF8Type," M "TupleType(" M "InetAddressType," M
    "DecimalType)))'",
    "04'map<text, frozen<list<tuple<int, vector<float, 3>>>>>'",
    "04'frozen<set<\"Mixed Name\">>'",
    "04'counter'",
};

int main(int argc, char **argv)
{
  g_autoptr(GPtrArray) seeds = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
  for (size_t i = 0; i < G_N_ELEMENTS(corpus); i++)
    g_ptr_array_add(seeds, wire_bytes(corpus[i]));
  return fuzz_main(argc, argv, seeds);
}
#endif
