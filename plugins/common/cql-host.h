/* SPDX-License-Identifier: Apache-2.0 */
/* A contact point, and the part of a connection before the protocol. */
#ifndef CQL_HOST_H
#define CQL_HOST_H
#include "common/cql-conn.h"

struct cql_host {
  char name[256], port[8];
};
/* HOST, HOST:PORT, [IPv6], [IPv6]:PORT, or a bare IPv6 address. false: none of these. */
bool cql_host_parse(const char *text, struct cql_host *ret);
bool cql_host_loopback(const struct cql_host *h);
/* TCP and TLS to one node; the codec begins anew. */
int cql_conn_dial(struct cql_conn *c, const struct cql_host *h, struct mr_error *err);

#endif
