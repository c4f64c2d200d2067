/* SPDX-License-Identifier: Apache-2.0 */
/* A host for a source or a plain sink under test: the harness, with lanes that are kept as a store
 * would keep them, the runtime's own formats behind decoder and encoder, and conf structs filled by
 * option names. Failures stop the test. */
#ifndef SRC_HOST_H
#define SRC_HOST_H
#include "harness.h"

struct src_lane {
  char *name;
  bool known, ended, lost;
  struct mr_position token;
  int64_t position; /* the token's first 8 bytes */
};
struct src_refused {
  char *lane, *code, *data;
  int64_t position;
};
struct src_host {
  struct harness base;
  const struct mr_plugin *plugin;
  GPtrArray *lanes;   /* struct src_lane *; the index is the lane's number. Outlives the plugin's
                         instances */
  GPtrArray *refused; /* struct src_refused *: the rejects of a source */
  bool ran;           /* a lane asked for from now on is LATER */
  bool bounded;       /* for the next open */
  int lane_fails;     /* how many calls of lane() answer MR_RETRY first */
  void *conf, *self;
  struct ArrowSchema schema;
  GPtrArray *pool, *columns; /* memory of confs */
  struct mr_error err;
};
/* kind: "sources" or "sinks". */
void src_host_init(struct src_host *h, const char *kind, const char *plugin);
void src_host_done(struct src_host *h);

/* A conf filled from defaults and "name=value" texts (ended by NULL): "tls.mode=off",
 * "rdkafka.client.rack=x" for keyed options, "topics=a,b" for lists, "columns=id: int64, name:
 * utf8". Names that the plugin's table does not have go to its format. */
void src_host_conf(struct src_host *h, const char *first, ...) G_GNUC_NULL_TERMINATED;
int src_host_validate(struct src_host *h); /* with the error in h->err */

/* open and start; want: "_offset,_op" or NULL. The status of what failed first, or MR_OK. */
int src_host_open(struct src_host *h, const char *want, const struct ArrowSchema *in);
int src_host_start(struct src_host *h);
void src_host_close(struct src_host *h);

/* Reads until something other than MR_IDLE comes, for at most 10 s; a batch's rows must agree with
 * schema(), which is asked again after MR_SCHEMA. The caller releases b->rows. */
int src_host_read(struct src_host *h, int64_t max_rows, struct mr_batch *ret);
/* One read with its own timeout; MR_SCHEMA is handled as above. */
int src_host_read_once(struct src_host *h, int64_t max_rows, int32_t timeout_ms,
                       struct mr_batch *ret);
/* Reads until n rows came (or MR_END): their text, lane by lane in the order of reading. The lanes'
 * positions follow. g_free. */
char *src_host_rows(struct src_host *h, int64_t n);
struct src_lane *src_host_lane(struct src_host *h, const char *name); /* NULL: never named */
int64_t src_host_metric(struct src_host *h, const char *name);

#endif
