/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MR_ROW_SCHEMA_H
#define MR_ROW_SCHEMA_H
#include <glib.h>
#include "millrace/build.h"

/* The JSON Schema (2020-12) of the objects that the formats json and jsonl write of such rows.
 * Caller frees. */
char *mr_row_schema(const char *title, const struct ArrowSchema *rows);

#endif
