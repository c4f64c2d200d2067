/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MR_LOG_TEXT_H
#define MR_LOG_TEXT_H
#include "conf/spec.h"
#include "engine/pipeline.h"

#define MR_LOG_ERROR 3 /* a level above those of plugins: the command ends */

/* An event as a line of the log, with its newline, as settings.log.format has it; secrets are left
 * out. wall_us: since 1970. Caller frees. Any thread. */
char *mr_log_text(const struct mr_spec *spec, const struct mr_log_event *e, int64_t wall_us);

#endif
