/* SPDX-License-Identifier: Apache-2.0 */
/* A catalog of the test stages, and no formats. */
#ifndef STAGES_CATALOG_H
#define STAGES_CATALOG_H
#include "conf/spec.h"

extern const struct mr_catalog stages_catalog;

#endif
