/* SPDX-License-Identifier: Apache-2.0 */
/* Mutations as bytes into row changes, and the schema they are read with. Real nodes' mutations are
 * in tests/e2e/test_commitlog.py; these are shapes that are rare there. */
#include "common/clog-cql.h"
#include "common/clog-system.h"
#include "harness.h"

#define ID "a86f5b40e55f11f1ad3363fc70c928eb"
#define SCALARS                                            \
  "CREATE TABLE k.t (id int PRIMARY KEY, i4 int, t text) " \
  "WITH ID = a86f5b40-e55f-11f1-ad33-63fc70c928eb AND cdc = true;"
/* UPDATE k.t SET t = null, i4 = 7 WHERE id = 3 */
#define UPDATE         \
  "01" ID "0400000003" \
  "10"                 \
  "fd4076bcfdaad9"     \
  "f015007da1"         \
  "00"                 \
  "02"                 \
  "026934"             \
  "0174"               \
  "01"                 \
  "20"                 \
  "000000000007"       \
  "050000"             \
  "01"

struct fixture {
  struct clog_schema *schema;
  struct clog_decoder *decoder;
  struct clog_events events;
  struct mr_error err;
  uint8_t *bytes;
};

static void set_up(struct fixture *f, const char *cql)
{
  *f = (struct fixture){.err = MR_ERROR_INIT, .schema = clog_schema_new(NULL, NULL)};
  f->decoder = clog_decoder_new(f->schema);
  int status = clog_cql_read(f->schema, cql, strlen(cql), &f->err);
  if (status < 0)
    g_error("%s", f->err.msg);
}

static void tear_down(struct fixture *f)
{
  clog_decoder_free(f->decoder);
  clog_schema_free(f->schema);
  g_free(f->bytes);
}

static int decode_at(struct fixture *f, const char *hex, int64_t position, int32_t version)
{
  size_t n = strlen(hex) / 2;
  g_free(f->bytes);
  f->bytes = g_malloc(n);
  for (size_t i = 0; i < n; i++)
    f->bytes[i] =
        (uint8_t)(g_ascii_xdigit_value(hex[2 * i]) << 4 | g_ascii_xdigit_value(hex[2 * i + 1]));
  struct clog_entry e = {.data = f->bytes,
                         .len = (uint32_t)n,
                         .segment = 5,
                         .position = position,
                         .end = position + 1};
  return clog_decode(f->decoder, &e, version, &f->events, &f->err);
}

static int decode(struct fixture *f, const char *hex)
{
  return decode_at(f, hex, 100, 7);
}

static void test_update(void)
{
  struct fixture f;
  set_up(&f, SCALARS);
  g_assert_cmpint(decode(&f, UPDATE), ==, MR_OK);
  g_assert_cmpuint(f.events.n, ==, 1);
  const struct clog_event *e = f.events.event;
  g_assert_cmpint(e->op, ==, CLOG_UPDATE);
  g_assert_cmpstr(e->table->name, ==, "t");
  g_assert_cmpint(cql_be32(e->key[0].p), ==, 3);
  g_assert_cmpuint(e->n_cells, ==, 2);
  g_assert_cmpstr(e->cell[0].column->name, ==, "i4");
  g_assert_cmpint(e->cell[0].op, ==, CLOG_SET);
  g_assert_cmpint(cql_be32(e->cell[0].value.p), ==, 7);
  g_assert_cmpstr(e->cell[1].column->name, ==, "t");
  g_assert_cmpint(e->cell[1].op, ==, CLOG_UNSET);
  g_assert_cmpint(e->timestamp, ==, e->cell[1].timestamp);
  g_assert_cmpint(e->timestamp, >, INT64_C(1700000000000000));
  tear_down(&f);
}

/* Every beginning of a mutation is refused, and every byte more. */
static void test_lengths(void)
{
  struct fixture f;
  set_up(&f, SCALARS);
  for (size_t n = 2; n < strlen(UPDATE); n += 2) {
    g_autofree char *part = g_strndup(UPDATE, n);
    g_assert_cmpint(decode(&f, part), ==, MR_REJECT);
    g_assert_nonnull(strstr(f.err.msg, "segment 5: position 100: "));
  }
  g_assert_cmpint(decode(&f, UPDATE "00"), ==, MR_REJECT);
  g_assert_nonnull(strstr(f.err.msg, "k.t: bytes behind its end"));
  g_assert_cmpint(decode(&f, "00"), ==, MR_REJECT);
  tear_down(&f);
}

static void test_unknown(void)
{
  struct fixture f;
  set_up(&f, "");
  g_assert_cmpint(decode(&f, UPDATE), ==, MR_SCHEMA);
  const struct clog_unknown *u = clog_decoder_unknown(f.decoder);
  g_assert_null(u->table);
  g_assert_cmpint(u->id[0], ==, 0xa8);
  const char *less = "CREATE TABLE k.t (id int PRIMARY KEY, t text) "
                     "WITH ID = a86f5b40-e55f-11f1-ad33-63fc70c928eb;";
  g_assert_cmpint(clog_cql_read(f.schema, less, strlen(less), &f.err), ==, MR_OK);
  g_assert_cmpint(decode(&f, UPDATE), ==, MR_SCHEMA);
  g_assert_cmpstr(u->table->name, ==, "t");
  g_assert_cmpmem(u->column, u->column_len, "i4", 2);
  g_assert_cmpint(clog_cql_read(f.schema, SCALARS, strlen(SCALARS), &f.err), ==, MR_OK);
  g_assert_cmpint(decode(&f, UPDATE), ==, MR_OK);
  tear_down(&f);
}

static bool nothing(void *ctx, const char *keyspace, const char *table)
{
  (void)ctx;
  (void)keyspace;
  (void)table;
  return false;
}

static void test_unwanted(void)
{
  struct fixture f;
  set_up(&f, "");
  clog_decoder_free(f.decoder);
  clog_schema_free(f.schema);
  f.schema = clog_schema_new(nothing, NULL);
  f.decoder = clog_decoder_new(f.schema);
  g_assert_cmpint(clog_cql_read(f.schema, SCALARS, strlen(SCALARS), &f.err), ==, MR_OK);
  g_assert_cmpint(decode(&f, UPDATE), ==, MR_IDLE);
  tear_down(&f);
}

/* A deletion after 2038 is one in version 8, and none can be in version 7. */
static void test_times(void)
{
  struct fixture f;
  set_up(&f, SCALARS);
  /* a cell with a TTL: minimum deletion time 2425953966 */
  const char *expiring = "01" ID "0400000003"
                         "10"
                         "00"
                         "f03a99736e"
                         "00"
                         "01"
                         "026934"
                         "01"
                         "20"
                         "02"
                         "00"
                         "00"
                         "8258"
                         "00000007"
                         "01";
  g_assert_cmpint(decode_at(&f, expiring, 100, 8), ==, MR_OK);
  const struct clog_cell *c = f.events.event->cell;
  g_assert_cmpint(c->ttl, ==, 600);
  g_assert_cmpint(c->expires, ==, INT64_C(1442880000) + 0x3a99736e);
  g_assert_cmpint(c->expires, >, INT32_MAX);
  tear_down(&f);
}

/* 70 columns: those present are listed while they are fewer than half. */
static void wide(struct fixture *f, uint32_t present)
{
  GString *hex = g_string_new("01" ID "0400000001"
                              "10"
                              "00"
                              "00"
                              "00"
                              "46");
  for (int i = 0; i < 70; i++)
    g_string_append_printf(hex, "03%02x%02x%02x", 'w', '0' + i / 10, '0' + i % 10);
  g_string_append_printf(hex,
                         "01"
                         "00"
                         "%02x",
                         70 - present);
  for (uint32_t i = 0; i < 70; i++)
    if (present < 35 ? i >= 70 - present : i < 70 - present)
      g_string_append_printf(hex, "%02x", i);
  for (uint32_t i = 70 - present; i < 70; i++)
    g_string_append_printf(hex, "0000%08x", i);
  g_string_append(hex, "01");
  g_assert_cmpint(decode(f, hex->str), ==, MR_OK);
  const struct clog_event *e = f->events.event;
  g_assert_cmpuint(e->n_cells, ==, present);
  for (uint32_t i = 0; i < present; i++) {
    g_assert_cmpuint(cql_be32(e->cell[i].value.p), ==, 70 - present + i);
    g_assert_cmpint(atoi(e->cell[i].column->name + 1), ==, (int)(70 - present + i));
  }
  g_string_free(hex, TRUE);
}

static void test_wide(void)
{
  struct fixture f;
  GString *cql = g_string_new("CREATE TABLE k.t (id int PRIMARY KEY");
  for (int i = 0; i < 70; i++)
    g_string_append_printf(cql, ", w%02d int", i);
  g_string_append(cql, ") WITH ID = a86f5b40-e55f-11f1-ad33-63fc70c928eb;");
  set_up(&f, cql->str);
  for (uint32_t present = 1; present < 70; present++)
    wide(&f, present);
  g_string_free(cql, TRUE);
  tear_down(&f);
}

#define TWO_TYPES                                                                            \
  "-- from segment 5 position 50\n"                                                          \
  "CREATE TYPE k.place (street text, no int);\n"                                             \
  "CREATE TABLE k.\"Odd \"\"name\" (a int, b text, c int, s int static, u place, old text, " \
  "PRIMARY KEY ((a, b), c)) WITH CLUSTERING ORDER BY (c DESC) AND comment = 'x; y' "         \
  "AND ID = 11111111-e55f-11f1-ad33-63fc70c928eb AND cdc = true;\n"                          \
  "ALTER TABLE k.\"Odd \"\"name\" DROP old USING TIMESTAMP 77;\n"                            \
  "CREATE FUNCTION k.f (x int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE java AS "     \
  "$$ return 'a; b'; $$;\n"                                                                  \
  "-- from segment 6 position 10\n"                                                          \
  "CREATE TYPE k.place (street text, no int, zip text);\n"

static void test_versions(void)
{
  struct fixture f;
  uint8_t id[16] = {0x11, 0x11, 0x11, 0x11, 0xe5, 0x5f, 0x11, 0xf1,
                    0xad, 0x33, 0x63, 0xfc, 0x70, 0xc9, 0x28, 0xeb};
  set_up(&f, TWO_TYPES);
  const struct clog_table *before = clog_schema_table(f.schema, id, 1, 1),
                          *first = clog_schema_table(f.schema, id, 6, 9),
                          *second = clog_schema_table(f.schema, id, 6, 10);
  g_assert_true(before == first && first != second);
  g_assert_cmpstr(first->name, ==, "Odd \"name");
  g_assert_true(first->cdc);
  g_assert_cmpuint(clog_table_count(first, CLOG_PARTITION_KEY), ==, 2);
  g_assert_true(clog_table_columns(first, CLOG_CLUSTERING)->descending);
  const struct clog_column *u =
      clog_schema_column(f.schema, id, CLOG_REGULAR, (const uint8_t *)"u", 1);
  g_assert_cmpuint(u->type.n_child, ==, 3);
  g_assert_true(u->multi);
  const struct clog_column *old = clog_table_columns(first, CLOG_REGULAR);
  g_assert_cmpstr(old->name, ==, "old");
  g_assert_true(old->gone);
  g_assert_cmpint(old->dropped, ==, 77);
  struct sql_buf once = {0}, again = {0};
  clog_cql_write(f.schema, &once);
  tear_down(&f);
  set_up(&f, sql_buf_text(&once));
  clog_cql_write(f.schema, &again);
  g_assert_cmpstr(sql_buf_text(&once), ==, sql_buf_text(&again));
  sql_buf_done(&once);
  sql_buf_done(&again);
  tear_down(&f);
}

static void test_bad_cql(void)
{
  static const struct {
    const char *cql, *said;
  } cases[] = {
      {"CREATE TABLE k.t (id int PRIMARY KEY);", "line 1: CREATE TABLE has no ID"},
      {"\n\nCREATE TABLE k.t id int", "line 3: `(` expected"},
      {"CREATE TABLE t (id int PRIMARY KEY)", "`.` expected"},
      {"CREATE TABLE k.t (id int PRIMARY KEY) WITH ID = 12;", "a UUID expected"},
      {"CREATE TYPE k.\"x (a int);", "no closing quote"},
      {"CREATE TABLE k.t (id int PRIMARY KEY, x nosuch) WITH ID = "
       "a86f5b40-e55f-11f1-ad33-63fc70c928eb;",
       "table k.t: column x: unknown type `nosuch`"},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    struct mr_error err = MR_ERROR_INIT;
    struct clog_schema *s = clog_schema_new(NULL, NULL);
    g_assert_cmpint(clog_cql_read(s, cases[i].cql, strlen(cases[i].cql), &err), ==, MR_REJECT);
    if (!strstr(err.msg, cases[i].said))
      g_error("%s: %s", cases[i].cql, err.msg);
    clog_schema_free(s);
  }
}

/* The ids of system_schema's own tables are what Cassandra makes of their names. */
/* Names that no statement makes, of a damaged or foreign log: they are nobody's, and harmless. */
static void test_nameless_schema_rows(void)
{
  struct fixture f;
  set_up(&f, SCALARS);
  const struct clog_table *types = NULL;
  for (size_t i = 0; (types = clog_schema_nth(f.schema, i)) && strcmp(types->name, "types"); i++)
    continue;
  g_assert_nonnull(types);
  struct clog_bytes key = {(const uint8_t *)"k", 1}, names[] = {{NULL, 0}, {NULL, -1}};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    struct clog_event e = {.op = CLOG_DELETE_ROW,
                           .table = types,
                           .key = &key,
                           .clustering = &names[i],
                           .n_clustering = 1,
                           .timestamp = INT64_MAX};
    struct clog_events events = {.event = &e, .n = 1, .system_schema = true};
    struct clog_entry entry = {.segment = 5, .position = 100, .end = 101};
    g_assert_cmpint(clog_system_apply(f.schema, &events, &entry, &f.err), >=, 0);
  }
  g_assert_cmpint(decode(&f, UPDATE), ==, MR_OK);
  tear_down(&f);
}

static void test_system_ids(void)
{
  struct clog_schema *s = clog_schema_new(NULL, NULL);
  const struct clog_table *t;
  size_t n = 0;
  for (; (t = clog_schema_nth(s, n)); n++) {
    g_autofree char *name = g_strconcat("system_schema", t->name, NULL);
    g_autoptr(GChecksum) md5 = g_checksum_new(G_CHECKSUM_MD5);
    uint8_t id[16];
    gsize len = sizeof id;
    g_checksum_update(md5, (const guchar *)name, -1);
    g_checksum_get_digest(md5, id, &len);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x30);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
    g_assert_cmpmem(id, 16, t->id, 16);
    g_assert_true(clog_id_is_system(t->id));
  }
  g_assert_cmpuint(n, ==, 11);
  clog_schema_free(s);
}

int main(int argc, char **argv)
{
  g_test_init(&argc, &argv, NULL);
  g_test_add_func("/clog-decode/update", test_update);
  g_test_add_func("/clog-decode/lengths", test_lengths);
  g_test_add_func("/clog-decode/unknown", test_unknown);
  g_test_add_func("/clog-decode/unwanted", test_unwanted);
  g_test_add_func("/clog-decode/times", test_times);
  g_test_add_func("/clog-decode/wide", test_wide);
  g_test_add_func("/clog-schema/versions", test_versions);
  g_test_add_func("/clog-schema/bad-cql", test_bad_cql);
  g_test_add_func("/clog-schema/nameless-rows", test_nameless_schema_rows);
  g_test_add_func("/clog-schema/system-ids", test_system_ids);
  return g_test_run();
}
