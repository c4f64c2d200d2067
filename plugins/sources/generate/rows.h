/* SPDX-License-Identifier: Apache-2.0 */
/* The rows that generate makes: row i of a kind is a function of the seed and i, so any part can be
 * made again. */
#ifndef GENERATE_ROWS_H
#define GENERATE_ROWS_H
#include "millrace/build.h"

enum generate_kind { GENERATE_TRADES, GENERATE_PEOPLE, GENERATE_SEQUENCE };
#define GENERATE_MAX_COLUMNS 12
#define GENERATE_EPOCH_US \
  INT64_C(1769594400000000) /* 2026-01-28T10:00:00Z: row 0; a row each millisecond */

/* Adds the kind's columns to a rows schema. false: no memory. */
bool generate_fields(enum generate_kind kind, struct ArrowSchema *rows);
/* Appends row i to the columns of generate_fields (in that order). false: no memory. */
bool generate_row(enum generate_kind kind, uint64_t seed, uint64_t i, struct mr_column *columns);

#endif
