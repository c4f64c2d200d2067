/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MR_METRICS_TEXT_H
#define MR_METRICS_TEXT_H
#include <glib.h>
#include "engine/pipeline.h"

/* What a pipeline counts as Prometheus' text format 0.0.4: the samples of each metric together,
 * behind its HELP and TYPE. Appends to out. Any thread. */
void mr_metrics_text(struct mr_pipeline *p, GString *out);

#endif
