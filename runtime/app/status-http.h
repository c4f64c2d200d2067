/* SPDX-License-Identifier: Apache-2.0 */
/* What a running pipeline shows over HTTP when the file says `settings.http`: read-only, no rows,
 * no configuration.
 *
 *   /status          JSON: state, rows, memory, one entry for each stage instance
 *   /metrics         the same for Prometheus
 *   /healthz         200 while the process lives
 *   /readyz          200 when every stage runs, else 503 with the cause
 *   /health/STAGE    asks that stage's server, on its own settings alone: status, latency, error */
#ifndef MR_STATUS_HTTP_H
#define MR_STATUS_HTTP_H
#include "conf/spec.h"
#include "engine/pipeline.h"

struct mr_status_http;
/* Listens on the spec's address with a thread of its own. NULL with *ret_why (caller frees). */
struct mr_status_http *mr_status_http_new(const struct mr_spec *spec, struct mr_pipeline *p,
                                          char **ret_why);
void mr_status_http_free(struct mr_status_http *h); /* takes NULL; before the pipeline is freed */

#endif
