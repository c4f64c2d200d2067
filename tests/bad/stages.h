/* SPDX-License-Identifier: Apache-2.0 */
/* Small plugins for tests of everything that happens before rows flow. No I/O, no state. */
#ifndef STAGES_H
#define STAGES_H
#include "millrace/plugin.h"

extern const struct mr_plugin
    stage_rows; /* source: `columns`, some labelled; what is wanted of the system columns */
extern const struct mr_plugin stage_calc; /* transform: `where`, `set`, `drop` */
extern const struct mr_plugin stage_ask;  /* transform: columns of a lookup */
extern const struct mr_plugin
    stage_keep; /* sink: upsert needs a key; `health` says what its check answers */

#endif
