/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's services for plugins. What the layers below can do is filled in here; what belongs
 * to a running pipeline starts as something harmless, for the owner of the struct to replace. */
#ifndef MR_HOST_H
#define MR_HOST_H
#include "base/base.h"

/* Fills *h: decoders, encoders, expressions and types for good; log and metric that do nothing,
 * notify that does nothing, reject that takes every row and forgets it, lanes and lookups that
 * answer MR_FATAL, wake_fd -1. ctx: what these get as their first argument. The owner sets other
 * fields afterwards. */
void mr_host_init(struct mr_host *h, void *ctx);

/* Whether a lookup can be asked with these keys (a rows schema; children are named as the table's
 * columns): every column is in row, and of a type that can be equal. MR_BADCONF with a message. */
int mr_lookup_match(const struct ArrowSchema *keys, const struct ArrowSchema *row,
                    const char *lookup, struct mr_error *err);

#endif
