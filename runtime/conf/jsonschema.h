/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema (2020-12) of pipeline files, from the option tables: what editors complete and
 * underline with. */
#ifndef MR_JSONSCHEMA_H
#define MR_JSONSCHEMA_H
#include "conf/spec.h"

/* plugins: const struct mr_plugin *, all that may be named. Caller frees with g_free. */
char *mr_jsonschema(const GPtrArray *plugins, const struct mr_catalog *catalog);

#endif
