/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"
#include <stdlib.h>
#include "common/clog-node.h"
#include "common/src-error.h"

#define CONNECT_MS 10000
#define REQUEST_MS 60000

/* The names of all keyspaces but Cassandra's own; their tables are known by their ids. */
static int keyspaces(struct cql_conn *c, char ***ret, int32_t *ret_n, struct mr_error *err)
{
  struct cql_rows rows;
  int rc =
      cql_conn_query(c, "SELECT keyspace_name FROM system_schema.keyspaces", NULL, 0, &rows, err);
  cql_columns_done(&rows.columns);
  char **name = rc < 0 ? NULL : calloc((size_t)rows.n + 1, sizeof *name);
  int32_t n = 0;
  for (int32_t i = 0; name && i < rows.n; i++) {
    int64_t len;
    const uint8_t *p = cql_read_value(&rows.cells, &len);
    if (p && (len < 6 || memcmp(p, "system", 6) != 0) &&
        (name[n] = strndup((const char *)p, (size_t)len)))
      n++;
  }
  *ret = name;
  *ret_n = n;
  return rc < 0 || name ? rc : src_no_memory(err);
}

int node_schema(struct clog_schema *schema, const char *host, const char *user,
                struct mr_error *err)
{
  struct cql_conn c;
  struct cql_conf conf = {.hosts = {.item = &host, .n = 1},
                          .user = user,
                          .password = user ? getenv("CASSANDRA_PASSWORD") : NULL,
                          .connect_timeout_ms = CONNECT_MS,
                          .request_timeout_ms = REQUEST_MS,
                          .tls = -1,
                          .protocol = INT64_MIN,
                          .compression = true};
  char **name = NULL;
  int32_t n = 0;
  cql_conn_init(&c, &conf, -1, 0);
  int rc = cql_conn_open(&c, err);
  if (rc >= 0)
    rc = keyspaces(&c, &name, &n, err);
  for (int32_t i = 0; rc >= 0 && i < n; i++)
    rc = clog_node_read(schema, &c, name[i], err);
  for (int32_t i = 0; i < n; i++)
    free(name[i]);
  free(name);
  cql_conn_close(&c);
  return rc < 0 ? rc : clog_schema_commit(schema, 0, 0, err);
}
