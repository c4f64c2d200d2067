/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a module's descriptor is one that this runtime can use. */
#ifndef MR_DESCRIPTOR_H
#define MR_DESCRIPTOR_H
#include "base/base.h"

/* NULL: fine; else the reason ("abi 2, this runtime has 1"), caller frees with g_free. object_size:
 * bytes of the symbol, 0 when not known. folder: "sources", "transforms", "sinks". Reads no further
 * than the descriptor's own sizes allow. */
char *mr_descriptor_check(const struct mr_plugin *p, size_t object_size, const char *folder,
                          const char *name);
/* The same for one table of a sink's functions, as mr_plugin.choose gives them. */
char *mr_descriptor_sink(const struct mr_sink *v);

#endif
