/* SPDX-License-Identifier: Apache-2.0 */
/* The map of types of a sink: what `inspect` shows. */
#ifndef MR_APP_TYPES_H
#define MR_APP_TYPES_H
#include "millrace/plugin.h"

/* One pair. format: what the sink writes, NULL where it has its own types; target: NULL where there
 * is none. All lent for the call. */
typedef void mr_app_type_fn(void *ctx, const char *format, const char *type, const char *target);
/* Calls f for each type of pipeline files, in the order of the documentation; formats one after the
 * other. No I/O. Of a plugin that is no sink, or makes nothing: no call. */
void mr_app_types(const struct mr_plugin *p, mr_app_type_fn *f, void *ctx);

#endif
